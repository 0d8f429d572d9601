# SPDX-License-Identifier: Apache-2.0
"""Fragments are judged with their first one, in whatever order they come, and cannot be used to get round a rule."""
import contextlib
import itertools
import os
import random
import socket

import pytest
from scapy.layers.inet import UDP, fragment
from scapy.layers.inet6 import IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

import frames
from probe import expect_frames
from vm import YES

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
_ids = itertools.count(1000)


def pair(lab, *ingress):
    """Whoever is asked may be asked about UDP 53 only (or what is said), whoever asks about nothing."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    rules = ingress or ("ingress udp 53", "ingress ipv6 udp 53")
    return lab.vm(net, [lab.group()]), lab.vm(net, [lab.group(*rules)])


def pieces(packet, size=600):
    """An IP packet in a list of frames, in order."""
    if frames.IPv6 in packet:
        ip6 = packet[frames.IPv6]
        whole = frames.IPv6(src=ip6.src, dst=ip6.dst) / IPv6ExtHdrFragment(id=next(_ids)) / ip6.payload
        return [frames.Ether(src=packet.src, dst=packet.dst) / p for p in fragment6(whole, size)]
    packet[frames.IP].id = next(_ids)
    return fragment(packet, size // 8 * 8)


def piece(a, b, version, id, offset, more, body, protocol=17):
    """One fragment by hand; offset in bytes."""
    if version == 6:
        return (frames.ip(a, b, version=6) / IPv6ExtHdrFragment(nh=protocol, offset=offset // 8, m=more, id=id)
                / Raw(body))
    return frames.ip(a, b, proto=protocol, id=id, flags="MF" if more else 0, frag=offset // 8) / Raw(body)


def udp_bytes(a, b, version, to_port, data):
    """A UDP datagram (header and data) as bytes, its checksum right for a and b."""
    packet = frames.udp(a, b, 9, to_port, data, version=version)
    return bytes(type(packet)(bytes(packet))[UDP])


@VERSIONS
def test_big_echo_passes_where_echo_is_permitted_and_only_there(lab, version):
    a, b = pair(lab, "ingress icmp", "ingress ipv6 icmp")
    target = b.ip6 if version == 6 else b.ip
    back = a.ip6 if version == 6 else a.ip
    assert a.ping(target, 8000)
    assert not b.ping(back, 8000, expect=False)


@VERSIONS
def test_big_datagrams_pass_in_both_directions_where_their_port_is_permitted_and_only_there(lab, version):
    a, b = pair(lab)
    data = os.urandom(20000)
    client, server = a.udp_pair(b, 53, version)
    other, closed = a.udp_pair(b, 54, version)
    with contextlib.ExitStack() as stack:
        for s in (client, server, other, closed):
            stack.enter_context(contextlib.closing(s))
        other.send(data)
        client.send(data)
        server.settimeout(YES)
        got, peer = server.recvfrom(65536)
        assert got == data
        server.sendto(data[::-1], peer)
        client.settimeout(YES)
        assert client.recv(65536) == data[::-1]
        lab.settle()
        closed.setblocking(False)
        with pytest.raises(BlockingIOError):
            closed.recv(65536)
    assert a.show()["drops"].get("ingress-rules", 0) + b.show()["drops"].get("ingress-rules", 0) > 0


@VERSIONS
def test_fragments_in_any_order_are_put_together_by_the_receiver(lab, version):
    a, b = pair(lab)
    server = b.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.closing(server):
        server.bind(("::" if version == 6 else "0.0.0.0", 53))
        server.settimeout(YES)
        order = random.Random(7)
        for i in range(12):
            data = bytes([i]) * 3000
            parts = pieces(frames.udp(a, b, 9, 53, data, version=version))
            assert len(parts) > 4
            if i == 0:
                parts.reverse()  # the first fragment last of all
            else:
                order.shuffle(parts)
            a.send(*parts)
            assert server.recv(65536) == data, f"datagram {i}"


@VERSIONS
def test_every_fragment_of_what_is_not_permitted_is_dropped_in_any_order(lab, version):
    a, b = pair(lab)
    bad, good = {}, {}
    for i in range(6):
        no = pieces(frames.udp(a, b, 9, 54, b"n%d" % i * 800, version=version))
        yes = pieces(frames.udp(a, b, 9, 53, b"y%d" % i * 800, version=version))
        for parts in (no, yes):
            random.Random(i).shuffle(parts)
        bad.update({f"refused {i}.{k}": p for k, p in enumerate(no)})
        good.update({f"permitted {i}.{k}": p for k, p in enumerate(yes)})
    expect_frames(a, b, good, bad)


@VERSIONS
def test_later_fragment_without_its_first_one_goes_nowhere(lab, version):
    """Also when another datagram between the same hosts is under way."""
    a, b = pair(lab)
    good = pieces(frames.udp(a, b, 9, 53, b"y" * 2000, version=version))
    orphans = {f"offset {n}": piece(a, b, version, next(_ids), n, 1, b"orphan" * 20) for n in (64, 512, 4096, 60000)}
    expect_frames(a, b, {f"part {i}": p for i, p in enumerate(good)}, orphans)


@VERSIONS
def test_fragments_that_overwrite_others_are_dropped_and_counted(lab, version):
    """Of each datagram a permitted first fragment is through already."""
    a, b = pair(lab)
    datagram = udp_bytes(a, b, version, 53, b"y" * 96)
    other = udp_bytes(a, b, version, 54, b"n" * 96)
    tcp = bytes(frames.tcp(a, b, 9, 80, "S", data=b"n" * 40, version=version)[frames.TCP])
    honest, covered, again, header = (next(_ids) for _ in range(4))
    before = a.drops("fragment-overlap")
    expect_frames(a, b, {f"first of {id}": piece(a, b, version, id, 0, 1, datagram[:56])
                         for id in (honest, covered, again)})
    expect_frames(
        a, b, {"the honest one's rest": piece(a, b, version, honest, 56, 0, datagram[56:])},
        {"over the first one's data": piece(a, b, version, covered, 24, 1, other[24:56]),
         "what follows that": piece(a, b, version, covered, 56, 0, other[56:]),
         "a first one again, with another port": piece(a, b, version, again, 0, 1, other[:56]),
         "what follows that one": piece(a, b, version, again, 56, 0, other[56:]),
         "inside a TCP header": piece(a, b, version, header, 8, 0, tcp[8:], protocol=6)})
    assert a.drops("fragment-overlap") >= before + 3


@VERSIONS
def test_tiny_first_fragment_is_dropped_and_counted(lab, version):
    """8 bytes hold the ports of TCP but not its flags (RFC 1858)."""
    a, b = pair(lab, "ingress any", "ingress ipv6 any")
    tcp = bytes(frames.tcp(a, b, 9, 80, "S", data=b"t" * 100, version=version)[frames.TCP])
    big, small = next(_ids), next(_ids)
    before = a.drops("fragment-tiny")
    expect_frames(a, b,
                  {"first of 24": piece(a, b, version, big, 0, 1, tcp[:24], 6),
                   "its rest": piece(a, b, version, big, 24, 0, tcp[24:], 6)},
                  {"first of 8": piece(a, b, version, small, 0, 1, tcp[:8], 6),
                   "its rest": piece(a, b, version, small, 8, 0, tcp[8:], 6)})
    assert a.drops("fragment-tiny") == before + 1


def test_flood_of_orphan_fragments_is_bounded_and_leaves_others_alone(lab):
    a, b = pair(lab)
    c = lab.vm(a.net, [lab.group()])
    for _ in range(5):
        a.send(*(piece(a, b, 4, next(_ids), 800, 1, b"orphan" * 50) for _ in range(400)))
    assert c.udp(b, 53)
    data = os.urandom(8000)
    client, server = c.udp_pair(b, 53)
    with contextlib.closing(client), contextlib.closing(server):
        server.settimeout(YES)
        client.send(data)
        assert server.recv(65536) == data


@VERSIONS
def test_big_datagram_over_an_established_flow_needs_no_rule_back(lab, version):
    """Replies of a server without any egress rule, in fragments."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a = lab.vm(net, [lab.group()])
    b = lab.vm(net, [lab.group("ingress udp 53", "ingress ipv6 udp 53", egress=False)])
    client, server = a.udp_pair(b, 53, version)
    with contextlib.closing(client), contextlib.closing(server):
        client.send(b"question")
        server.settimeout(YES)
        _, peer = server.recvfrom(100)
        for size in (5000, 60000):
            server.sendto(b"r" * size, peer)
            client.settimeout(YES)
            assert client.recv(65536) == b"r" * size
    assert not b.udp(a, 53, version, expect=False)


def test_fragments_follow_their_own_first_one_only(lab):
    """Same addresses, other identification, protocol or sender: not this datagram."""
    a, b = pair(lab, "ingress udp 53")
    good = pieces(frames.udp(a, b, 9, 53, b"y" * 1500))
    rest = {}
    for name, change in (("other id", {"id": 9}), ("other protocol", {"proto": 6}), ("other source", {"src": "10.0.0.99"})):
        f = good[1].copy()
        for k, v in change.items():
            setattr(f[frames.IP], k, v)
        f[frames.IP].chksum = None
        rest[name] = f
    expect_frames(a, b, {f"part {i}": f for i, f in enumerate(good)}, rest)


def test_an_ipv6_fragment_header_cannot_hide_what_comes_after(lab):
    """A "fragment" that is whole (RFC 6946) is a packet like any other; neighbour discovery is never fragmented (RFC 6980)."""
    a, b = pair(lab)
    head = frames.ip(a, b, version=6)

    def atomic(port):
        return head / IPv6ExtHdrFragment(id=next(_ids)) / UDP(sport=5, dport=port) / b"x"

    hidden = frames.na(a, b, "fd00:1::")
    hidden_nd = frames.Ether(src=a.mac, dst=b.mac) / frames.IPv6(src=a.ip6, dst=b.ip6, hlim=255) / IPv6ExtHdrFragment(
        id=next(_ids), m=1, nh=58) / Raw(bytes(hidden[frames.IPv6].payload)[:32])
    expect_frames(a, b, {"permitted": atomic(53)}, {"refused": atomic(54), "hidden": hidden_nd})


def test_a_rule_without_ports_needs_no_first_fragment_to_know_its_ports(lab):
    """12, 32: another protocol in fragments."""
    a, b = pair(lab, "ingress gre")
    whole = frames.ip(a, b, id=next(_ids), proto=47) / Raw(b"g" * 2500)
    other = frames.ip(a, b, id=next(_ids), proto=50) / Raw(b"e" * 2500)
    expect_frames(a, b, {f"gre {i}": f for i, f in enumerate(fragment(whole, 1000))},
                  {f"esp {i}": f for i, f in enumerate(fragment(other, 1000))})
