#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kill weftd with SIGKILL again and again while clients write, and compare afterwards.

Run as root in a network namespace of its own (test_crash.py does): crash.py WEFTD KILLS [SEED]

Writers create, change and delete objects of their own and note what was acknowledged. Whatever had no answer when
the daemon died may have happened or not, but wholly. After every restart the daemon's lists must agree
with the notes: everything acknowledged is there, nothing refused is, nothing is half applied, and no
address is used twice.
"""
import http.client
import ipaddress
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

API = ("127.0.0.1", 9696)
WRITERS = 4
ALIVE_MAX = 60  # objects of each kind that a writer keeps
START_TIMEOUT_S = 20


class NoAnswer(Exception):
    """The daemon died before it answered."""


class Client:
    def __init__(self):
        self.connection = None

    def call(self, method, path, body=None):
        """(status, parsed body); NoAnswer when the request may have arrived but no answer did."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*API, timeout=30)
            data = None if body is None else json.dumps(body)
            self.connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as e:
            self.connection.close()
            self.connection = None
            raise NoAnswer from e

    def list(self, collection):
        status, body = self.call("GET", f"/v2.0/{collection}")
        assert status == 200, f"GET {collection}: {status} {body}"
        return body[collection.replace("-", "_")]


class Writer(threading.Thread):
    """Requests about objects that nobody else touches, and the notes about them."""

    def __init__(self, number, seed, networks):
        super().__init__(daemon=True)
        self.number = number
        self.random = random.Random(seed)
        self.networks = networks
        self.client = Client()
        self.serial = 0
        self.go = threading.Event()
        self.idle = threading.Event()
        self.idle.set()
        self.failure = None
        self.ports = {}  # name -> {"id", "description"}
        self.groups = {}  # name -> {"id", "rules": set of descriptions}
        self.refused = set()  # names that must never be seen
        self.unknown = None  # called with what is there; settles the request that had no answer
        self.acknowledged = 0
        self.unanswered = 0

    def run(self):
        try:
            while True:
                self.go.wait()
                self.idle.clear()
                if self.go.is_set():
                    self.step()
                else:
                    self.idle.set()
        except NoAnswer:
            raise AssertionError("a request without a note")
        except BaseException as e:  # for the main thread to report
            self.failure = e
            self.idle.set()

    def step(self):
        action = self.random.choices(
            [self.create_port, self.create_bulk, self.update_port, self.delete_port,
             self.create_group, self.create_rule, self.delete_group, self.be_refused],
            [6, 2, 5, 4, 2, 4, 1, 2])[0]
        try:
            action()
        except NoAnswer:
            self.unanswered += 1
            self.go.clear()
        finally:
            self.idle.set()

    def name(self):
        self.serial += 1
        return f"w{self.number}-{self.serial:06d}"

    def expect(self, wanted, method, path, body=None):
        status, answer = self.client.call(method, path, body)
        self.unknown = None
        assert status == wanted, f"{method} {path} {body}: {status} {answer}, expected {wanted}"
        self.acknowledged += 1
        return answer

    # Each action first says how to settle itself without an answer, then asks.

    def create_port(self):
        if len(self.ports) >= ALIVE_MAX:
            return self.delete_port()
        name = self.name()
        self.unknown = lambda seen: self.adopt_ports(seen, [name])
        body = {"port": {"name": name, "network_id": self.random.choice(self.networks)}}
        port = self.expect(201, "POST", "/v2.0/ports", body)["port"]
        self.ports[name] = {"id": port["id"], "description": ""}

    def create_bulk(self):
        if len(self.ports) >= ALIVE_MAX:
            return self.delete_port()
        names = [self.name() for _ in range(3)]
        self.unknown = lambda seen: self.adopt_ports(seen, names)
        network = self.random.choice(self.networks)
        body = {"ports": [{"name": n, "network_id": network} for n in names]}
        for port in self.expect(201, "POST", "/v2.0/ports", body)["ports"]:
            self.ports[port["name"]] = {"id": port["id"], "description": ""}

    def adopt_ports(self, seen, names):
        there = [n for n in names if n in seen.ports]
        assert there in ([], names), f"half of a bulk request: {there} of {names}"
        for name in there:
            port = seen.ports[name]
            self.ports[name] = {"id": port["id"], "description": port["description"]}

    def update_port(self):
        if not self.ports:
            return
        port = self.ports[self.random.choice(list(self.ports))]
        old, new = port["description"], self.name()

        def settle(seen):
            there = seen.by_id[port["id"]]["description"]
            assert there in (old, new), f"port {port['id']}: {there!r} is neither {old!r} nor {new!r}"
            port["description"] = there

        self.unknown = settle
        self.expect(200, "PUT", f"/v2.0/ports/{port['id']}", {"port": {"description": new}})
        port["description"] = new

    def delete_port(self):
        if not self.ports:
            return
        name = self.random.choice(list(self.ports))

        def settle(seen):
            if name not in seen.ports:
                del self.ports[name]

        self.unknown = settle
        self.expect(204, "DELETE", f"/v2.0/ports/{self.ports[name]['id']}")
        del self.ports[name]

    def create_group(self):
        if len(self.groups) >= ALIVE_MAX:
            return self.delete_group()
        name = self.name()

        def settle(seen):
            if name in seen.groups:
                self.groups[name] = {"id": seen.groups[name]["id"], "rules": set()}

        self.unknown = settle
        body = {"security_group": {"name": name}}
        group = self.expect(201, "POST", "/v2.0/security-groups", body)["security_group"]
        self.groups[name] = {"id": group["id"], "rules": set()}

    def create_rule(self):
        if not self.groups:
            return
        group = self.groups[self.random.choice(list(self.groups))]
        if len(group["rules"]) >= ALIVE_MAX:
            return
        name = self.name()

        def settle(seen):
            if name in seen.rules.get(group["id"], ()):
                group["rules"].add(name)

        self.unknown = settle
        rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
                "port_range_min": 1 + self.serial % 65535, "description": name,
                "port_range_max": 1 + self.serial % 65535, "ethertype": "IPv4"}
        self.expect(201, "POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        group["rules"].add(name)

    def delete_group(self):
        if not self.groups:
            return
        name = self.random.choice(list(self.groups))

        def settle(seen):
            if name not in seen.groups:
                del self.groups[name]

        self.unknown = settle
        self.expect(204, "DELETE", f"/v2.0/security-groups/{self.groups[name]['id']}")
        del self.groups[name]

    def be_refused(self):
        """A bulk request whose last item is wrong: none of it may ever be seen."""
        names = [self.name() for _ in range(3)]
        self.refused.update(names)
        network = self.random.choice(self.networks)
        items = [{"name": n, "network_id": network} for n in names]
        items[-1].update(self.random.choice([
            {"network_id": "00000000-dead-4000-8000-000000000000"},
            {"fixed_ips": [{"ip_address": "192.0.2.1"}]},
            {"security_groups": ["00000000-dead-4000-8000-000000000000"]},
            {"admin_state_up": "perhaps"},
        ]))
        status, answer = self.client.call("POST", "/v2.0/ports", {"ports": items})
        assert 400 <= status < 500, f"{items}: {status} {answer}, expected a refusal"


class Seen:
    """What the daemon has after a restart, and what must hold for it by itself."""

    def __init__(self, client):
        ports = client.list("ports")
        groups = client.list("security-groups")
        self.subnets = {s["id"]: s for s in client.list("subnets")}
        self.ports = {p["name"]: p for p in ports}
        self.by_id = {p["id"]: p for p in ports}
        self.groups = {g["name"]: g for g in groups}
        group_ids = {g["id"] for g in groups}
        self.rules = {}
        self.egress = {}
        for rule in client.list("security-group-rules"):
            gid = rule["security_group_id"]
            assert gid in group_ids, f"rule {rule['id']} of group {gid}, which is gone"
            if rule["description"]:
                self.rules.setdefault(gid, set()).add(rule["description"])
            elif rule["direction"] == "egress":
                self.egress[gid] = self.egress.get(gid, 0) + 1
        assert len(self.ports) == len(ports), "two ports have one name"
        self.check_addresses(ports, group_ids)

    def check_addresses(self, ports, group_ids):
        used = set()
        for port in ports:
            keys = [(port["network_id"], port["mac_address"])]
            assert port["fixed_ips"], f"port {port['name']} has no address"
            for ip in port["fixed_ips"]:
                subnet = self.subnets[ip["subnet_id"]]
                assert subnet["network_id"] == port["network_id"], f"port {port['name']}: {ip}"
                net = ipaddress.ip_network(subnet["cidr"])
                assert ipaddress.ip_address(ip["ip_address"]) in net, f"port {port['name']}: {ip}"
                keys.append((port["network_id"], ip["ip_address"]))
            for key in keys:
                assert key not in used, f"port {port['name']}: {key} is used twice"
                used.add(key)
            assert set(port["security_groups"]) <= group_ids, f"port {port['name']}: its group is gone"


class Daemon:
    def __init__(self, program, directory):
        self.program = program
        self.config = directory / "weftd.conf"
        self.log = directory / "weftd.log"
        (directory / "state").mkdir()
        (directory / "run").mkdir()
        self.config.write_text(
            f"[node]\nhost = crash\nrun_dir = {directory}/run\nstate_dir = {directory}/state\n"
            f"log = warning\n[api]\nlisten = {API[0]}:{API[1]}\n"
            "[datapath]\nhugepages = off\nsessions = 4096\n")
        self.process = None
        self.starts = []

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "-c", str(self.config)],
                                            stdout=log, stderr=log)

    def wait_ready(self):
        begin = time.monotonic()
        while time.monotonic() - begin < START_TIMEOUT_S:
            if self.process.poll() is not None:
                raise AssertionError(f"weftd ended with {self.process.returncode}: {self.tail()}")
            try:
                if Client().call("GET", "/v2.0/")[0] == 200:
                    self.starts.append(time.monotonic() - begin)
                    return
            except NoAnswer:
                time.sleep(0.01)
        raise AssertionError(f"weftd is not ready after {START_TIMEOUT_S} s: {self.tail()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]


def make_networks(client):
    ids = []
    for i in range(2):
        status, body = client.call("POST", "/v2.0/networks", {"network": {"name": f"net{i}"}})
        assert status == 201, body
        ids.append(body["network"]["id"])
        # Small, so that addresses that were freed are given out again all the time.
        for version, cidr in ((4, f"10.{i}.0.0/23"), (6, f"fd00:{i}::/120")):
            subnet = {"network_id": ids[-1], "ip_version": version, "cidr": cidr}
            status, body = client.call("POST", "/v2.0/subnets", {"subnet": subnet})
            assert status == 201, body
    return ids


def compare(writer, seen):
    """The notes of one writer with what is there."""
    if writer.unknown:
        writer.unknown(seen)
        writer.unknown = None
    mine = f"w{writer.number}-"
    there = {n for n in seen.ports if n.startswith(mine)}
    assert there == set(writer.ports), \
        f"ports: lost {set(writer.ports) - there}, unexpected {there - set(writer.ports)}"
    for name, port in writer.ports.items():
        assert seen.ports[name]["id"] == port["id"], f"port {name} has another id"
        assert seen.ports[name]["description"] == port["description"], f"port {name} lost a change"
    there = {n for n in seen.groups if n.startswith(mine)}
    assert there == set(writer.groups), \
        f"groups: lost {set(writer.groups) - there}, unexpected {there - set(writer.groups)}"
    for name, group in writer.groups.items():
        rules = seen.rules.get(group["id"], set())
        assert rules == group["rules"], f"group {name}: rules {rules ^ group['rules']} differ"
        assert seen.egress.get(group["id"]) == 2, f"group {name} lacks its first two rules"
    assert not writer.refused & set(seen.ports), "something refused is there"


def load(writers, seconds):
    for w in writers:
        w.go.set()
    time.sleep(seconds)


def settle(writers):
    for w in writers:
        w.go.clear()
    for w in writers:
        assert w.idle.wait(60), f"writer {w.number} hangs"
        if w.failure:
            raise w.failure


def main():
    program, kills = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"crash: {kills} kills, seed {seed}", flush=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="weft-crash-") as directory:
        daemon = Daemon(program, pathlib.Path(directory))
        daemon.start()
        try:
            daemon.wait_ready()
            networks = make_networks(Client())
            writers = [Writer(i, f"{seed}-{i}", networks) for i in range(WRITERS)]
            for w in writers:
                w.start()
            for i in range(kills):
                load(writers, chance.uniform(0.01, 0.15))
                daemon.kill()
                settle(writers)
                daemon.start()
                # Now and then it dies again before it is up.
                if chance.random() < 0.1:
                    time.sleep(chance.uniform(0, 0.2))
                    daemon.kill()
                    daemon.start()
                daemon.wait_ready()
                seen = Seen(Client())
                for w in writers:
                    compare(w, seen)
                if (i + 1) % 20 == 0:
                    print(f"crash: {i + 1} kills, {sum(w.acknowledged for w in writers)} acknowledged, "
                          f"{sum(w.unanswered for w in writers)} unanswered, "
                          f"{len(seen.by_id)} ports now", flush=True)
            starts = sorted(daemon.starts)
            print(f"crash: all agree; a start took {starts[len(starts) // 2] * 1000:.0f} ms "
                  f"(median), {starts[-1] * 1000:.0f} ms at most")
        finally:
            daemon.kill()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    os.umask(0o077)
    main()
