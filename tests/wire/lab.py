# SPDX-License-Identifier: Apache-2.0
"""Lab: one node with a real weftd, its API, and hosts ("VMs") in namespaces of their own.

The node is a namespace; weftd runs in it with a store and a run directory of its own. A VM is a namespace
whose eth0 is the other end of a veth pair named tap<11 characters of the port id>, so weftd attaches it as it
would a QEMU tap. Physical networks are outside.py's. Objects are made through the Neutron API only.
"""
import configparser
import http.client
import ipaddress
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

from netns import Netns, inside
from outside import Outside
from vm import VM, YES

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("WEFT_BUILD") or os.path.join(ROOT, "build")
HOST = "node1"
_numbers = itertools.count(1)


class ApiError(Exception):
    def __init__(self, status, body):
        self.status = status
        self.body = body
        e = body.get("NeutronError", {}) if isinstance(body, dict) else {}
        self.type = e.get("type")
        self.message = e.get("message", str(body))
        super().__init__(f"{status} {self.type}: {self.message}")


class _NetnsConnection(http.client.HTTPConnection):
    def __init__(self, netns, port):
        super().__init__("127.0.0.1", port, timeout=60)
        self.netns = netns

    def connect(self):
        with inside(self.netns):
            super().connect()


class Api:
    """The Neutron API as a Python object: api.create('network', name='x') -> dict."""

    PLURALS = {"security_group": "security-groups", "security_group_rule": "security-group-rules",
               "address_group": "address-groups"}

    def __init__(self, netns, port=9696, headers=None):
        self.netns, self.port, self.headers = netns, port, headers or {}
        self._connection = None

    def as_project(self, project, roles="member"):
        return Api(self.netns, self.port, {"X-Project-Id": project, "X-Roles": roles})

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", **self.headers}
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = _NetnsConnection(self.netns, self.port)
            try:
                self._connection.request(method, path, data, headers)
                r = self._connection.getresponse()
                text = r.read()
                break
            except (OSError, http.client.HTTPException):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
        try:
            answer = json.loads(text) if text else None
        except ValueError:
            answer = text.decode(errors="replace")
        if r.status >= 300:
            raise ApiError(r.status, answer)
        return answer

    def _url(self, kind):
        return "/v2.0/" + self.PLURALS.get(kind, kind + "s")

    def create(self, kind, **attrs):
        return self.request("POST", self._url(kind), {kind: attrs})[kind]

    def get(self, kind, id):
        return self.request("GET", f"{self._url(kind)}/{id}")[kind]

    def list(self, kind, **query):
        q = urllib.parse.urlencode(query, doseq=True)
        return self.request("GET", f"{self._url(kind)}{'?' + q if q else ''}")[kind + "s"]

    def update(self, kind, id, **attrs):
        return self.request("PUT", f"{self._url(kind)}/{id}", {kind: attrs})[kind]

    def delete(self, kind, id):
        self.request("DELETE", f"{self._url(kind)}/{id}")

    # The operator's side.
    def weft(self, path):
        return self.request("GET", "/weft/v1/" + path)

    def trace(self, port, packet):
        return self.request("POST", "/weft/v1/trace", {"port": port, "packet": packet})

    def drops(self):
        """{reason: packets}"""
        return {d["reason"]: d["packets"] for d in self.weft("drops")["drops"]}


class Lab:
    """A node under test. datapath: native (ovs-* and linux when they exist). physical: names of its physical networks, or
    {name: device} where "eth1" is the first one's kernel interface, "eth2" the second's, and so on; see outside(). unit: weftd
    may do what the shipped systemd unit lets it, and no more (UNIT=1: everywhere)."""

    def __init__(self, datapath="native", config="", physical=(), unit=bool(os.environ.get("UNIT"))):
        self.number = next(_numbers)
        self.prefix = f"wt{os.getpid()}-{self.number}"
        self.datapath = datapath
        self.unit = unit
        self.dir = tempfile.mkdtemp(prefix="weft-wire-")
        self.node = Netns(self.prefix)
        self.vms = []
        self.daemon = None
        if not isinstance(physical, dict):
            physical = {name: f"eth{i}" for i, name in enumerate(physical, 1)}
        self.physical = {}
        self.api = Api(self.node.name)
        self.log = open(f"{self.dir}/weftd.log", "ab")
        try:
            for i, name in enumerate(physical, 1):
                self.physical[name] = Outside(self, name, f"eth{i}")
            self._write_config(config, physical)
            self.start()
        except BaseException:
            self.close()
            raise

    def _write_config(self, extra, physical):
        """The lab's own configuration with `extra` (INI text) over it."""
        config = configparser.ConfigParser(interpolation=None)
        config.read_dict({"node": {"host": HOST, "run_dir": f"{self.dir}/run", "state_dir": f"{self.dir}/state"},
                          "datapath": {"type": self.datapath.split("-")[0], "sessions": "16384",
                                       "workers": os.environ.get("WORKERS") or "1"},
                          "physical": physical})
        config.read_string(extra)
        with open(f"{self.dir}/weftd.conf", "w") as f:
            config.write(f)

    # ---- The daemon ----

    def _confinement(self):
        """As systemd starts it from the shipped unit, if that is wanted."""
        if not self.unit:
            return ()
        return ("/usr/bin/python3", f"{ROOT}/tests/wire/confined.py", f"{ROOT}/etc/weftd.service.in", f"{self.dir}/run",
                f"{self.dir}/state")

    def start(self):
        self.log = open(f"{self.dir}/weftd.log", "ab")
        self.daemon = self.node.popen(*self._confinement(), f"{BUILD}/weftd", "-c", f"{self.dir}/weftd.conf",
                                      stdout=self.log, stderr=self.log)
        # By the socket, as an operator's does; by name, because the usual one may be another weftd's.
        ready = self.node.popen(f"{BUILD}/weft", "wait-ready", "--timeout", "30", env=self.weft_env(),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while ready.poll() is None and self.daemon.poll() is None:
            time.sleep(0.005)
        if self.daemon.poll() is not None:
            ready.kill()
        _, said = ready.communicate()
        if ready.returncode != 0:
            raise RuntimeError(f"weftd did not start: {said}\n{self.log_text()}")

    def log_text(self):
        with open(f"{self.dir}/weftd.log", errors="replace") as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        """End weftd; its exit status."""
        self.daemon.send_signal(sig)
        status = self.daemon.wait(timeout=30)
        self.log.close()
        return status

    def restart(self, sig=signal.SIGTERM):
        self.stop(sig)
        self.start()

    def weft(self, *args, check=True):
        """The operator's command line, inside the node."""
        return self.node.run(f"{BUILD}/weft", *args, check=check, env=self.weft_env())

    def weft_env(self):
        return {**os.environ, "WEFT_API": f"unix:{self.dir}/run/api.sock"}

    def openstack(self, *args, check=True):
        """The real client, inside the node."""
        return self.node.run("/usr/bin/openstack", "--os-auth-type", "none", "--os-endpoint",
                             "http://127.0.0.1:9696", *args, check=check, timeout=60,
                             env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.dir})

    def close(self):
        status = None
        if self.daemon is not None and self.daemon.poll() is None:
            status = self.stop()
        for vm in self.vms:
            vm.netns.close()
        for outside in self.physical.values():
            outside.close()
        self.node.close()
        text = self.log_text()
        shutil.rmtree(self.dir, ignore_errors=True)
        if "AddressSanitizer" in text or "ThreadSanitizer" in text or "runtime error:" in text:
            raise AssertionError("the sanitizers found something in weftd:\n" + text)
        if status not in (None, 0):
            raise AssertionError(f"weftd ended with status {status}:\n{text}")

    # ---- Objects, in short ----

    def network(self, cidr="10.0.0.0/24", cidr6=None, gateway6=None, **attrs):
        """A network with one subnet per family; its dict, with 'v4' and 'v6' subnets inside. gateway6: not the IPv6 subnet's first."""
        net = self.api.create("network", **{"name": f"net{next(_numbers)}", **attrs})
        if cidr:
            net["v4"] = self.api.create("subnet", network_id=net["id"], ip_version=4, cidr=cidr)
        if cidr6:
            gateway = {"gateway_ip": gateway6} if gateway6 else {}
            net["v6"] = self.api.create("subnet", network_id=net["id"], ip_version=6, cidr=cidr6, **gateway)
        return net

    def outside(self, physical="physnet1"):
        """What is on a physical network beside the node: .host("203.0.113.7/24", vlan=101) and so on (outside.py)."""
        return self.physical[physical]

    def provider(self, cidr="203.0.113.0/24", cidr6=None, vlan=None, physical="physnet1", external=False, **attrs):
        """A network on a physical network: its untagged frames, or a VLAN. external: one that routers have gateways on. The router
        outside has the first address after the subnet's own, in IPv6, too."""
        if external:
            attrs["router:external"] = True
        if vlan is not None:
            attrs["provider:segmentation_id"] = vlan
        gateway6 = cidr6 and str(ipaddress.ip_network(cidr6)[1])
        return self.network(cidr, cidr6, gateway6, **{"provider:network_type": "flat" if vlan is None else "vlan",
                                                      "provider:physical_network": physical, **attrs})

    def join(self, router, subnet, on=True):
        """The router gets (loses) an interface on the subnet."""
        verb = "add_router_interface" if on else "remove_router_interface"
        return self.api.request("PUT", f"/v2.0/routers/{router['id']}/{verb}", {"subnet_id": subnet["id"]})

    def group(self, *rules, stateful=True, egress=True, name=None):
        """A security group with exactly these rules ("ingress tcp 22", see rule()); egress: keep the default
        two that let everything out."""
        sg = self.api.create("security_group", name=name or f"sg{next(_numbers)}", stateful=stateful)
        if not egress:
            for r in sg["security_group_rules"]:
                self.api.delete("security_group_rule", r["id"])
        sg["rules"] = [self.rule(sg, r) for r in rules]
        return sg

    def rule(self, sg, text, **attrs):
        """'<ingress|egress> [ipv6] [protocol [min[-max]]] [from|to <cidr>|group:<id>|address-group:<id>]';
        of ICMP: type[/code] in place of min[-max]."""
        words = text.split()
        body = {"security_group_id": sg["id"] if isinstance(sg, dict) else sg,
                "direction": words.pop(0), "ethertype": "IPv4"}
        if words and words[0] == "ipv6":
            words.pop(0)
            body["ethertype"] = "IPv6"
        if words and words[0] not in ("from", "to"):
            p = words.pop(0)
            if p != "any":
                body["protocol"] = p
        if words and words[0] not in ("from", "to"):
            icmp = "icmp" in body["protocol"]
            low, _, high = words.pop(0).partition("/" if icmp else "-")
            body["port_range_min"] = int(low)
            if high or not icmp:
                body["port_range_max"] = int(high or low)
        if words:
            words.pop(0)
            kind, _, id = words[0].partition(":")
            if kind == "group":
                body["remote_group_id"] = id
            elif kind == "address-group":
                body["remote_address_group_id"] = id
            else:
                body["remote_ip_prefix"] = words[0]
        return self.api.create("security_group_rule", **{**body, **attrs})

    def vm(self, net, groups=None, dhcp=False, attach=True, configure=True, **attrs):
        """A port on `net` bound to this node and a VM on it. groups: list of group dicts, None = the default group,
        [] = none. The VM has its addresses (by hand, or from DHCP) and is ACTIVE when this returns."""
        body = {"network_id": net["id"], "binding:host_id": HOST, **attrs}
        if groups is not None:
            body["security_groups"] = [g["id"] for g in groups]
        return self.adopt(net, self.api.create("port", **body), dhcp, attach, configure)

    def adopt(self, net, port, dhcp=False, attach=True, configure=True):
        """A VM on a port that is there already (dicts as the API shows them; net with its 'v4' and 'v6')."""
        vm = VM(self, f"{self.prefix}v{next(_numbers)}", net, port)
        self.vms.append(vm)
        if attach:
            vm.plug()
            vm.wait_status("ACTIVE")
            if configure:
                vm.configure(dhcp)
        return vm

    def remove(self, vm):
        """The VM ends and its port is deleted."""
        self.api.delete("port", vm.id)
        vm.netns.close()
        self.vms.remove(vm)

    def set_groups(self, vm, *groups):
        vm.update(security_groups=[g["id"] for g in groups])

    def wait(self, condition, timeout=YES, what="condition"):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.01)
        raise AssertionError(f"{what}: not within {timeout} s")

    def settle(self, between=lambda: None):
        """On return all that was under way between the hosts of this lab has come where it goes, and so have the answers.

        A round: each VM and each physical network sends the node a marker that is dropped and counted, which comes
        behind all that they sent before. The rounds are those of the longest exchange: a neighbour's question and its
        answer, the packet, the same on the other side, and the burst that was counted but not yet sent."""
        for _ in range(6):
            for o in self.physical.values():
                o.settle()
            if self.daemon.poll() is None:
                self._markers()
            for o in self.physical.values():
                o.settle()
            between()

    def _markers(self):
        def counted():
            """{who sends: markers that were counted}, of those whose frames are judged now."""
            ports = {p["id"]: p for p in self.api.weft("ports")["ports"] if p["attached"] and p["admin_up"]}
            uplinks = {u["physical_network"]: u for u in self.api.weft("uplinks")["uplinks"] if u["attached"]} if self.physical else {}
            return {**{vm: ports[vm.id]["drops"].get("vlan-tagged", 0) for vm in self.vms if vm.id in ports},
                    **{o: uplinks[o.name]["unknown_vlan_packets"] for o in self.physical.values() if o.name in uplinks}}

        before, end = counted(), time.monotonic() + YES
        pause, missing = 0.002, list(before)
        while missing and time.monotonic() < end:  # one that finds a full ring is sent again
            for who in missing:
                who.send_marker()
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
            now = counted()
            missing = [who for who in missing if who in now and now[who] == before[who]]
        assert not missing, f"the node does not take what {missing} send"
