# SPDX-License-Identifier: Apache-2.0
"""Changes of the policy are atomic: a packet is judged by the old one or by the new one, never by something between.

Frames flow without a pause, each with a number of its own, while the API changes the policy some hundred times."""
import contextlib
import ctypes
import itertools
import os
import select
import socket
import struct
import time

import pytest

import frames
from probe import Flow, flows

_streams = itertools.count(1)


def only(s, offset, word):
    """Let a packet socket receive only frames with this 32-bit word at this offset."""
    code = [(0x20, 0, 0, offset), (0x15, 0, 1, word), (0x06, 0, 0, 0xffff), (0x06, 0, 0, 0)]  # ld, jeq, ret, ret
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", len(code), ctypes.addressof(program)))  # SO_ATTACH_FILTER


class Stream:
    """Numbered frames from one VM to another, one every millisecond, for the length of a block; afterwards `sent` says
    how many left and `seen` which arrived. Every 16th frame comes from a new source port, or (first_packets_only) each.

    A process of its own sends, so that the test's requests and the frames do not wait for each other; what arrives
    waits in the receiving socket."""

    def __init__(self, a, b, dport, first_packets_only=False, source=None):
        self.sent, self.seen = 0, set()
        self._out, self._in = a.raw(), b.raw()
        self._each = 1 if first_packets_only else 16
        number = 0x57656674 + next(_streams)
        packet = frames.udp(a, b, 1, dport, struct.pack("!II", number, 0), src=source)
        packet[frames.UDP].chksum = 0
        self._frame = bytearray(bytes(packet))
        self._in.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        self._in.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        only(self._in, len(self._frame) - 8, number)

    def _send_until(self, stop, told):
        sent = 0
        while not select.select([stop], [], [], 0.001)[0]:
            struct.pack_into("!H", self._frame, 34, 1024 + sent // self._each % 60000)  # the source port
            struct.pack_into("!I", self._frame, len(self._frame) - 4, sent)
            self._out.send(self._frame)
            sent += 1
        os.write(told, struct.pack("!I", sent))

    def __enter__(self):
        stop, self._stop = os.pipe()
        self._told, told = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._stop)
                self._send_until(stop, told)
            finally:
                os._exit(0)
        os.close(stop)
        os.close(told)
        return self

    def __exit__(self, *_):
        os.write(self._stop, b".")
        self.sent, = struct.unpack("!I", os.read(self._told, 4))
        os.waitpid(self._pid, 0)
        for fd in (self._stop, self._told):
            os.close(fd)
        self._in.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                self.seen.add(struct.unpack("!I", self._in.recv(2000)[-4:])[0])
        _, missed = struct.unpack("II", self._in.getsockopt(263, 6, 8))  # PACKET_STATISTICS
        self._out.close()
        self._in.close()
        assert missed == 0, "the test's own socket was too small"

    @property
    def lost(self):
        return sorted(set(range(self.sent)) - self.seen)


def alternate(first, second, times):
    for _ in range(times):
        first()
        second()


def pair(lab, *rules):
    net = lab.network()
    group = lab.group(*rules)
    return lab.vm(net, [lab.group()]), lab.vm(net, [group]), group


def test_a_policy_that_never_permits_lets_nothing_through_while_rules_change(lab):
    """Rules for the neighbouring ports come and go; the port between is never open, the one beyond never closed."""
    a, b, group = pair(lab, "ingress udp 200")
    with Stream(a, b, 101, first_packets_only=True) as never, Stream(a, b, 200) as always:
        for _ in range(200):
            rules = [lab.rule(group, f"ingress udp {p}") for p in (100, 102)]
            for r in rules:
                lab.api.delete("security_group_rule", r["id"])
    assert never.sent > 100 and never.seen == set()
    assert always.sent > 100 and always.lost == []


def test_groups_exchanged_never_open_what_neither_permits_nor_close_what_both_permit(lab):
    a, b, one = pair(lab, "ingress udp 100", "ingress udp 200")
    two = lab.group("ingress udp 102", "ingress udp 200")
    with Stream(a, b, 101, first_packets_only=True) as never, Stream(a, b, 200) as always, \
            Stream(a, b, 200, first_packets_only=True) as always_new:
        alternate(lambda: lab.set_groups(b, two), lambda: lab.set_groups(b, one), 100)
    assert never.sent > 100 and never.seen == set()
    assert always.sent > 100 and always.lost == []
    assert always_new.lost == []


def test_a_port_that_changes_everything_at_once_is_never_half_changed(lab):
    """Group and address in one request: group 1 admits only while the port has no pair, group 2 while it has one. No
    moment has the pair and group 1."""
    net = lab.network()
    one, two = lab.group("egress udp 101", egress=False), lab.group("egress udp 102", egress=False)
    receiver = lab.vm(net, [lab.group("ingress udp")])
    a = lab.vm(net, [one])
    pair_ip = "10.0.0.200"
    with Stream(a, receiver, 101, source=pair_ip, first_packets_only=True) as never, \
            Stream(a, receiver, 102, source=pair_ip, first_packets_only=True) as sometimes:
        alternate(lambda: a.update(security_groups=[two["id"]], allowed_address_pairs=[{"ip_address": pair_ip}]),
                  lambda: a.update(security_groups=[one["id"]], allowed_address_pairs=[]), 100)
    assert never.sent > 100 and never.seen == set()
    assert 0 < len(sometimes.seen) < sometimes.sent


def test_members_that_come_and_go_never_admit_others_or_cut_those_who_stay(lab):
    """A remote group and an address group whose members change all the time."""
    net = lab.network()
    members = lab.group()
    ag = lab.api.create("address_group", name="ag", addresses=["10.0.0.250/32"])
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}", f"ingress udp 7 from address-group:{ag['id']}")])
    member, outsider, moving = lab.vm(net, [members]), lab.vm(net, [lab.group()]), lab.vm(net, [lab.group()])
    plain = moving.port["security_groups"]
    path = f"/v2.0/address-groups/{ag['id']}/"
    other = {"addresses": ["10.0.0.128/25"]}

    def join():
        moving.update(security_groups=[*plain, members["id"]])
        lab.api.request("PUT", path + "add_addresses", other)

    def leave():
        moving.update(security_groups=plain)
        lab.api.request("PUT", path + "remove_addresses", other)

    with Stream(outsider, b, 7, first_packets_only=True) as never, Stream(member, b, 7) as always, \
            Stream(moving, b, 9) as sometimes:
        alternate(join, leave, 60)
    assert never.sent > 100 and never.seen == set()
    assert always.sent > 100 and always.lost == []
    assert 0 < len(sometimes.seen) < sometimes.sent


def test_unrelated_changes_lose_no_packet_and_cut_no_flow(lab):
    """27: other groups, other ports, other networks, names, tags; ports that are made, attached and deleted."""
    a, b, group = pair(lab, "ingress udp 200", "ingress tcp 80")
    flow = Flow(a, b, 80)
    other_net, other = lab.network(), lab.group("ingress tcp 22")
    c = lab.vm(a.net, [other])
    before = lab.api.weft("workers")["workers"][0]["revoked"]
    with Stream(a, b, 200) as stream, Stream(a, b, 200, first_packets_only=True) as new:
        for i in range(40):
            r = lab.rule(other, f"ingress udp {i + 1}")
            lab.set_groups(c)
            lab.set_groups(c, other)
            lab.api.delete("security_group_rule", r["id"])
            port = lab.api.create("port", network_id=other_net["id"], **{"binding:host_id": "node1"})
            lab.api.update("network", a.net["id"], description=str(i))
            b.update(name=f"b{i}")
            lab.api.delete("port", port["id"])
        for _ in range(3):
            lab.remove(lab.vm(a.net, [other]))
    assert stream.sent > 100 and stream.lost == [] and new.lost == []
    assert lab.api.weft("workers")["workers"][0]["revoked"] == before
    flows(alive=[flow])


def test_adding_and_removing_a_rule_opens_and_closes_at_once(lab):
    """When the API has answered, the change is in force: not one packet later."""
    a, b, group = pair(lab)
    rule = None
    with contextlib.ExitStack() as stack:
        out, into = (stack.enter_context(contextlib.closing(vm.raw())) for vm in (a, b))
        into.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        for i in range(30):
            rule = lab.rule(group, "ingress udp 7")
            out.send(bytes(frames.udp(a, b, 9, 7, b"open%02d" % i)))
            lab.wait(lambda: b"open%02d" % i in into.recv(2000), what="a packet after the rule came")
            lab.api.delete("security_group_rule", rule["id"])
            out.send(bytes(frames.udp(a, b, 9, 7, b"shut%02d" % i)))
        time.sleep(0.3)
        into.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                assert b"shut" not in into.recv(2000)
