# SPDX-License-Identifier: Apache-2.0
"""ICMP errors belong to the flow they are about; hop limits belong to routers."""
import contextlib
import socket

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded
from scapy.packet import Raw

import frames
from probe import Flow, expect, expect_frames
from vm import NO, YES

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


def pair(lab):
    """A client that nobody may reach, a server that is open on 53 and 80 and may send nothing of its own: no rule
    for ICMP anywhere."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    rules = [f"ingress {v}{p}" for v in ("", "ipv6 ") for p in ("udp 53", "tcp 80")]
    return lab.vm(net, [lab.group()]), lab.vm(net, [lab.group(*rules, egress=False)])


def errors(version):
    """Kinds of ICMP errors, without what they are about."""
    if version == 6:
        return {"unreachable": ICMPv6DestUnreach(code=4), "too big": ICMPv6PacketTooBig(mtu=1300),
                "time exceeded": ICMPv6TimeExceeded(code=0)}
    return {"unreachable": ICMP(type=3, code=3), "too big": ICMP(type=3, code=4, nexthopmtu=1300),
            "time exceeded": ICMP(type=11, code=0), "bad parameter": ICMP(type=12, code=0)}


def about(b, a, version, kind, flow):
    """From b to a: the error about a packet that a (or whoever `flow` says) sent."""
    quoted = bytes(flow[frames.IPv6] if version == 6 else flow[frames.IP])
    return frames.ip(b, a, version=version) / kind.copy() / Raw(quoted)


@VERSIONS
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_errors_about_a_flow_pass_without_a_rule_and_unrelated_ones_do_not(lab, version, proto):
    a, b = pair(lab)
    to = 53 if proto == "udp" else 80
    flow = Flow(a, b, to, proto, version)
    port = flow.client.getsockname()[1]
    packet = frames.udp if proto == "udp" else (lambda *w, **k: frames.tcp(*w, flags="A", **k))
    related = packet(a, b, port, to, version=version)
    with contextlib.closing(flow):
        good, bad = {}, {}
        for name, kind in errors(version).items():
            # Addressed to the sender of what it quotes, so the kernel there would reset a TCP connection: but it is
            # established, and hard errors about those are only noted.
            good[name] = about(b, a, version, kind, related)
            bad[f"{name}, another source port"] = about(b, a, version, kind,
                                                        packet(a, b, port ^ 1, to, version=version))
            bad[f"{name}, another port"] = about(b, a, version, kind, packet(a, b, port, to + 1, version=version))
        other = "udp" if proto == "tcp" else "tcp"
        bad["another protocol"] = about(b, a, version, errors(version)["unreachable"],
                                        getattr(frames, other)(a, b, port, to, version=version))
        bad["about nothing"] = about(b, a, version, errors(version)["unreachable"],
                                     frames.udp(a, b, 5, 6, version=version))
        before = b.drops("icmp-unrelated")
        expect_frames(b, a, good, bad)
        assert b.drops("icmp-unrelated") > before


@VERSIONS
def test_errors_about_replies_pass_too(lab, version):
    """The client may open nothing but this flow; it says that it does not want the server's answers."""
    v = "ipv6 " if version == 6 else ""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a = lab.vm(net, [lab.group(f"egress {v}udp 53", egress=False)])
    b = lab.vm(net, [lab.group(f"ingress {v}udp 53", egress=False)])
    flow = Flow(a, b, 53, "udp", version)
    with contextlib.closing(flow):
        port = flow.client.getsockname()[1]
        kind = errors(version)["unreachable"]
        expect_frames(a, b,
                      {"related": about(a, b, version, kind, frames.udp(b, a, 53, port, version=version))},
                      {"unrelated": about(a, b, version, kind, frames.udp(b, a, 54, port, version=version))})


@VERSIONS
def test_error_about_a_flow_that_was_cut_does_not_pass(lab, version):
    a, b = pair(lab)
    rules = lab.api.list("security_group_rule", direction="ingress", port_range_min=53,
                         ethertype="IPv6" if version == 6 else "IPv4")
    cut, stays = Flow(a, b, 53, "udp", version), Flow(a, b, 80, "tcp", version)
    kind = errors(version)["too big"]
    with contextlib.closing(cut), contextlib.closing(stays):
        dead = about(b, a, version, kind, frames.udp(a, b, cut.client.getsockname()[1], 53, version=version))
        live = about(b, a, version, kind, frames.tcp(a, b, stays.client.getsockname()[1], 80, "A", version=version))
        expect_frames(b, a, {"about one": dead, "about the other": live})
        lab.api.delete("security_group_rule", rules[0]["id"])
        expect_frames(b, a, {"about the flow that stays": live}, {"about the flow that was cut": dead})


@VERSIONS
def test_closed_port_of_a_reachable_vm_refuses_a_connected_udp_socket(lab, version):
    a, b = pair(lab)
    target = b.ip6 if version == 6 else b.ip
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with contextlib.closing(a.socket(family, socket.SOCK_DGRAM)) as open_, \
            contextlib.closing(a.socket(family, socket.SOCK_DGRAM)) as filtered:
        open_.connect((target, 53))
        filtered.connect((target, 54))
        for s in (filtered, open_):
            s.send(b"anybody?")
        open_.settimeout(YES)
        with pytest.raises(ConnectionRefusedError):
            open_.recv(100)
        lab.settle()
        filtered.setblocking(False)
        with pytest.raises(BlockingIOError):
            filtered.recv(100)


@VERSIONS
def test_hop_limit_is_not_decremented_inside_a_network(lab, version):
    a, b = pair(lab)
    field = {"hlim": 1} if version == 6 else {"ttl": 1}
    flow = Flow(a, b, 53, "udp", version)
    port = flow.client.getsockname()[1]
    with contextlib.closing(flow):
        expect_frames(a, b, {"first of a flow": frames.udp(a, b, 1234, 53, b"one hop", version=version, **field),
                             "of an open flow": frames.udp(a, b, port, 53, b"one hop", version=version, **field)})
        expect_frames(b, a, {"reply": frames.udp(b, a, 53, port, b"one hop", version=version, **field)})


@VERSIONS
def test_echo_works_where_it_is_permitted_and_its_error_comes_back(lab, version):
    """An error about an echo request is related to the echo, and to no other echo."""
    v = "ipv6 " if version == 6 else ""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group(f"ingress {v}icmp", egress=False)])
    expect(a, b, [f"{v}icmp"], [f"{v}udp 53"])
    question = {i: frames.echo(a, b, id=i, src=a.ip6 if version == 6 else a.ip) for i in (70, 71)}
    expect_frames(a, b, {"echo": question[70]})
    kind = errors(version)["unreachable"]
    expect_frames(b, a, {"about the echo": about(b, a, version, kind, question[70])},
                  {"about another": about(b, a, version, kind, question[71])})


def test_path_mtu_that_an_error_names_is_used_by_the_sender(lab):
    """UDP, because its errors need not quote a sequence number."""
    a, b = pair(lab)
    flow = Flow(a, b, 53, "udp")
    with contextlib.closing(flow):
        flow.client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        assert flow.client.getsockopt(socket.IPPROTO_IP, 14) == a.net["mtu"]  # IP_MTU
        b.send(about(b, a, 4, ICMP(type=3, code=4, nexthopmtu=1000),
                     frames.udp(a, b, flow.client.getsockname()[1], 53)))
        lab.wait(lambda: flow.client.getsockopt(socket.IPPROTO_IP, 14) == 1000, what="the smaller path MTU")


def test_errors_of_a_hop_on_the_way_pass(lab):
    """23: a router's net-unreachable comes from the router's address, not from the peer's."""
    net = lab.network()
    router = lab.vm(net, device_owner="network:router_interface_distributed", fixed_ips=[{"ip_address": "10.0.0.1"}])
    a = lab.vm(net, [lab.group("egress udp", egress=False)])
    sent = frames.udp(a, router, 5000, 53, dst="192.0.2.9")
    expect_frames(a, router, {"question": sent})

    def error(about):
        return frames.ip(router, a) / ICMP(type=3, code=0) / bytes(about[frames.IP])[:36]

    expect_frames(router, a, {"net unreachable": error(sent)}, {"about nothing": error(frames.udp(a, router, 5000, 53, dst="192.0.2.8"))})


def test_errors_open_no_flow(lab):
    """A related packet makes no session."""
    a, b = pair(lab)
    sent = frames.udp(a, b, 5000, 53)
    expect_frames(a, b, {"question": sent})

    def added():
        return sum(w["sessions_added"] for w in lab.api.weft("workers")["workers"])

    before = added()
    expect_frames(b, a, {"error": frames.ip(b, a) / ICMP(type=3, code=1) / bytes(sent[frames.IP])[:48]})
    assert added() == before


@VERSIONS
def test_error_about_anothers_flow_is_related_to_nobody_else(lab, version):
    """It passes to the sender of what it quotes only; sent to a third VM it needs rules like anything new."""
    a, b = pair(lab)
    c = lab.vm(a.net, [lab.group("ingress any", "ingress ipv6 any")])
    sent = frames.udp(a, b, 5000, 53, version=version)
    expect_frames(a, b, {"question": sent})
    kind = errors(version)["unreachable"]
    expect_frames(b, a, {"to its sender": about(b, a, version, kind, sent)})
    expect_frames(a, c, {"what c admits": frames.udp(a, c, version=version)})
    with c.sniff() as got:
        b.send(about(b, c, version, kind, sent))
        assert got(lambda p: p.src == b.mac, NO) is None
