# SPDX-License-Identifier: Apache-2.0
"""Changes of the policy under continuous traffic: a packet meets the old policy or the new one, never something in
between. Every probe carries a number, so what got through can be named."""
import itertools
import socket
import struct
import threading
import time
import weakref

import pytest

import frames
from probe import Flow, flows
from vm import NO, YES

CHANGES = 200
_numbers = itertools.count(1)


class Gate:
    """What all streams of a VM pass. A worker that gets no processor for a while loses what the interface's ring has no room for (rx_lost); so
    before they could fill it, the VM asks for a MAC and waits for the answer: then all that was sent before has been fetched."""

    ROOM = 64

    def __init__(self, vm, to):
        self.lock, self.n = threading.Lock(), 0
        self.question, self.answer = bytes(frames.arp(vm, to.ip)), socket.inet_aton(to.ip)
        self.socket = vm.raw()
        self.socket.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING

    def send(self, frame):
        with self.lock:
            self.socket.send(frame)
            self.n += 1
            if self.n % self.ROOM == 0:
                self._wait()

    def _wait(self):
        self.socket.settimeout(4 * YES)
        self.socket.send(self.question)
        while True:
            frame = self.socket.recv(2000)
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and frame[28:32] == self.answer:
                return


class Stream:
    """Numbered datagrams, sent from a thread for the length of a `with`; each through the same flow, or each a new
    flow. What arrives is in `seen`."""

    _gates = weakref.WeakKeyDictionary()  # VM -> Gate

    def __init__(self, a, b, to_port, version=4, new_flows=False, source=None):
        self.a, self.b, self.to_port = a, b, to_port
        self.version, self.new_flows, self.source = version, new_flows, source
        self.name = b"stream%04d:" % next(_numbers)
        self.sent, self.seen, self.failure = 0, set(), None
        self._stop = threading.Event()
        self._emptied = 0

    def _send(self):
        try:
            template = bytearray(bytes(frames.udp(self.a, self.b, 5000, self.to_port, self.name + b"%08d" % 0,
                                                  version=self.version, src=self.source)))
            udp = 54 if self.version == 6 else 34
            template[udp + 6:udp + 8] = b"\0\0"  # without checksum: only frames are looked at
            while not self._stop.is_set():
                template[-8:] = b"%08d" % self.sent
                if self.new_flows:
                    template[udp:udp + 2] = (5000 + self.sent % 40000).to_bytes(2, "big")
                self._gate.send(template)
                self.sent += 1
                time.sleep(0.0003)
        except OSError as e:
            self.failure = e

    def _receive(self):
        data = 62 if self.version == 6 else 42
        number = data + len(self.name)
        while not self._stop.is_set():
            try:
                frame = self._in.recv(2000)
            except TimeoutError:
                self._emptied += 1
                continue
            if frame[data:number] == self.name:
                self.seen.add(int(frame[number:number + 8]))

    def __enter__(self):
        if self.a not in self._gates:
            self._gates[self.a] = Gate(self.a, self.b)
        self._gate = self._gates[self.a]
        self._in = self.b.raw()
        self._in.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._in.settimeout(0.05)
        self._threads = [threading.Thread(target=f) for f in (self._receive, self._send)]
        for t in self._threads:
            t.start()
        return self

    def step(self, n=3):
        """Wait for n more to be sent: so packets meet every policy in turn."""
        mark = self.sent
        while self.sent < mark + n and self.failure is None:
            time.sleep(0.0002)

    def settle(self):
        """Wait until what was sent so far has arrived, if it does, and was read."""
        self.a.lab.settle()
        read = self._emptied
        self.a.lab.wait(lambda: self._emptied > read, what="the socket read to its end")

    def lost(self):
        """What was sent so far and has not arrived, after every chance to."""
        wanted, end = set(range(self.sent)), time.monotonic() + YES
        while (missing := wanted - self.seen) and time.monotonic() < end:
            time.sleep(0.02)
        if not missing:
            return None
        return f"{len(missing)} of {len(wanted)} lost: {sorted(missing)[:10]}…, {self._reasons()}"

    def _reasons(self):
        """What everybody on the way counted: the receiving socket itself, weftd, the two interfaces, the kernel's own queue."""
        _, socket_drops = struct.unpack("II", self._in.getsockopt(263, 6, 8))  # PACKET_STATISTICS
        ports = {p: vm.show() for p, vm in (("sender", self.a), ("receiver", self.b))}
        with open("/proc/net/softnet_stat") as f:
            backlog = sum(int(line.split()[1], 16) for line in f)
        links = [vm.netns.ip("-s", "link", "show", "eth0").split("\n", 2)[2] for vm in (self.a, self.b)]
        return (f"of them {socket_drops} by the receiving socket; since the machine's start {backlog} in all its backlogs; "
                f"ports: {ports}; interfaces: {links}")

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join()
        self._in.close()
        assert self.failure is None, self.failure


def pair(lab, *rules):
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group(*rules)
    return lab.vm(net, [lab.group()]), lab.vm(net, [group]), group


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_rules_replaced_two_hundred_times_never_let_through_what_none_permits(lab, version):
    """Groups of one rule each take turns on the port, and rules come and go in the group: neither kind ever permits 9999."""
    v = "ipv6 " if version == 6 else ""
    a, b, _ = pair(lab)
    groups = [lab.group(f"ingress {v}udp {low}-{high}") for low, high in ((1, 9998), (10000, 65535))]
    lab.set_groups(b, groups[0])
    with Stream(a, b, 9999, version, new_flows=True) as refused:
        for i in range(CHANGES // 2):
            lab.set_groups(b, groups[(i + 1) % 2])
            refused.step()
        group = groups[1] if b.port["security_groups"] == [groups[1]["id"]] else groups[0]
        old = group["rules"][0]["id"]
        for i in range(CHANGES // 2):
            new = lab.rule(group, f"ingress {v}udp {'1-9998' if i % 2 else '10000-65535'} from "
                                  f"{'fd00:1::/64' if version == 6 else '10.0.0.0/24'}")
            lab.api.delete("security_group_rule", old)
            old = new["id"]
            refused.step()
        refused.settle()
        assert refused.seen == set()
        assert refused.sent >= 3 * CHANGES
        lab.rule(group, f"ingress {v}udp 9999")  # and now: so it was the policy that kept them
        lab.wait(lambda: refused.seen, what="the first permitted packet")


def test_members_of_a_remote_group_replaced_two_hundred_times_never_let_a_stranger_in(lab):
    """An address pair walks through the networks around the stranger's address."""
    a, b, group = pair(lab)
    lab.rule(group, f"ingress udp 9999 from group:{group['id']}")
    member = lab.api.create("port", network_id=a.net["id"], security_groups=[group["id"]])
    pairs = [[{"ip_address": p} for p in ("10.0.0.128/25", "10.1.0.0/16")], [{"ip_address": "10.0.0.64/26"}]]
    with Stream(a, b, 9999, new_flows=True) as refused:
        for i in range(CHANGES):
            lab.api.update("port", member["id"], allowed_address_pairs=pairs[i % 2])
            refused.step()
        refused.settle()
        assert refused.seen == set() and refused.sent >= 3 * CHANGES
        lab.api.update("port", member["id"], allowed_address_pairs=[{"ip_address": a.ip}])
        lab.wait(lambda: refused.seen, what="the first permitted packet")


def test_address_group_and_prefix_take_turns_and_one_of_them_always_permits(lab):
    """The other way round: what every policy in turn permits is never refused."""
    a, b, group = pair(lab)
    friends = lab.api.create("address_group", name="friends", addresses=["10.0.0.0/24"])
    texts = (f"ingress udp 9999 from address-group:{friends['id']}", "ingress udp 9000-9999 from 10.0.0.0/24")
    old = lab.rule(group, texts[0])["id"]
    with Stream(a, b, 9999, new_flows=True) as permitted:
        for i in range(CHANGES // 2):
            new = lab.rule(group, texts[(i + 1) % 2])["id"]
            lab.api.delete("security_group_rule", old)
            old = new
            permitted.step()
        assert permitted.lost() is None


def test_groups_exchanged_neither_close_what_both_permit_nor_open_what_none_permits(lab):
    a, b, one = pair(lab, "ingress udp 9998", "ingress udp 200")
    two = lab.group("ingress udp 10000", "ingress udp 200")
    with Stream(a, b, 9999, new_flows=True) as never, Stream(a, b, 200) as always, \
            Stream(a, b, 200, new_flows=True) as always_new:
        for i in range(CHANGES // 2):
            lab.set_groups(b, one if i % 2 else two)
            never.step()
        assert always.lost() is None and always_new.lost() is None
        assert never.sent >= CHANGES and never.seen == set()


def test_members_that_come_and_go_cut_nobody_who_stays_and_admit_nobody_else(lab):
    """Of a remote group and of an address group, whose addresses lie around the stranger's."""
    net = lab.network()
    members = lab.group()
    friends = lab.api.create("address_group", name="friends", addresses=["10.0.0.250/32"])
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}",
                               f"ingress udp 7 from address-group:{friends['id']}")])
    member, stranger, moving = lab.vm(net, [members]), lab.vm(net, [lab.group()]), lab.vm(net, [lab.group()])
    plain = moving.port["security_groups"]
    path = f"/v2.0/address-groups/{friends['id']}/"
    with Stream(stranger, b, 7, new_flows=True) as never, Stream(member, b, 7) as always, \
            Stream(moving, b, 9) as sometimes:
        for i in range(CHANGES // 2):
            comes = i % 2 == 0
            moving.update(security_groups=[*plain, members["id"]] if comes else plain)
            lab.api.request("PUT", path + ("add_addresses" if comes else "remove_addresses"),
                            {"addresses": ["10.0.0.128/25"]})
            for stream in (never, always, sometimes):
                stream.step()
        assert always.lost() is None
        assert never.sent >= CHANGES and never.seen == set()
        sometimes.settle()
        assert 0 < len(sometimes.seen) < sometimes.sent


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_two_hundred_unrelated_changes_lose_no_packet_of_an_established_flow(lab, version):
    """Every kind of object changes: on other ports, and on the receiver's own where the flow is not concerned."""
    v = "ipv6 " if version == 6 else ""
    a, b, group = pair(lab, f"ingress {v}udp 9999", f"ingress {v}tcp 80")
    connection = Flow(a, b, 80, version=version)
    revoked = sum(w["revoked"] for w in lab.api.weft("workers")["workers"])
    other_net = lab.network("10.7.0.0/24")
    other_group = lab.group()
    stranger = lab.vm(other_net, [other_group])

    def change(i):
        kind = i % 8
        if kind == 0:
            change.rule = lab.rule(group, f"ingress tcp {1000 + i}")
        elif kind == 1:
            lab.api.delete("security_group_rule", change.rule["id"])
        elif kind == 2:
            change.port = lab.api.create("port", network_id=a.net["id"], security_groups=[group["id"]])
        elif kind == 3:
            lab.api.delete("port", change.port["id"])
        elif kind == 4:
            lab.set_groups(stranger, *([other_group, group] if i % 16 == 4 else [other_group]))
        elif kind == 5:
            b.update(allowed_address_pairs=[{"ip_address": f"10.8.{i % 250}.0/24"}])
        elif kind == 6:
            stranger.update(admin_state_up=i % 16 != 6)
        else:
            lab.api.update("network", a.net["id"], description=f"number {i}")

    with Stream(a, b, 9999, version) as flow:
        lab.wait(lambda: len(flow.seen) > 10, what="the flow under way")
        for i in range(CHANGES):
            change(i)
            flow.step()
        assert flow.sent >= 3 * CHANGES
        assert flow.lost() is None
        flows(alive=[connection])
        assert sum(w["revoked"] for w in lab.api.weft("workers")["workers"]) == revoked
        permits = next(r["id"] for r in group["rules"])
        lab.api.delete("security_group_rule", permits)  # and one that is related
        mark = flow.sent + 20
        lab.wait(lambda: flow.sent > mark + 100, YES, "more packets")
        flow.settle()
        assert not [n for n in flow.seen if n > mark]
    connection.close()


def test_a_port_that_changes_group_and_address_pair_at_once_is_never_half_changed(lab):
    """In one request. One group lets 9001 out, the other 9002; the address is the port's only with the other. No moment
    has the address and the first group."""
    net = lab.network()
    one, two = lab.group("egress udp 9001", egress=False), lab.group("egress udp 9002", egress=False)
    a, b = lab.vm(net, [one]), lab.vm(net, [lab.group("ingress udp")])
    virtual = "10.0.0.200"
    with Stream(a, b, 9001, new_flows=True, source=virtual) as never, \
            Stream(a, b, 9002, new_flows=True, source=virtual) as sometimes:
        for i in range(CHANGES):
            if i % 2:
                a.update(security_groups=[one["id"]], allowed_address_pairs=[])
            else:
                a.update(security_groups=[two["id"]], allowed_address_pairs=[{"ip_address": virtual}])
            never.step()
        never.settle()
    assert never.sent >= 3 * CHANGES and never.seen == set()
    assert 0 < len(sometimes.seen) < sometimes.sent


def test_a_change_is_in_force_when_its_request_is_answered(lab):
    """Not one packet later, in either sense."""
    a, b, group = pair(lab)
    with b.sniff() as got:
        for i in range(30):
            rule = lab.rule(group, "ingress udp 7")
            a.send(frames.udp(a, b, 9, 7, b"open%02d" % i))
            assert got(lambda p: b"open%02d" % i in bytes(p))
            lab.api.delete("security_group_rule", rule["id"])
            a.send(frames.udp(a, b, 9, 7, b"shut%02d" % i))
            lab.wait(lambda: a.drops("ingress-rules") == i + 1)  # it was judged before the next rule comes
        assert got(lambda p: b"shut" in bytes(p), NO) is None
