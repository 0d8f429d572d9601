# SPDX-License-Identifier: Apache-2.0
"""Large and unfinished packets: a kernel hands over TCP and UDP segments of up to 64 KB with checksums to be filled in
and expects the same. Whatever each end can take, the data must arrive as it was sent."""
import contextlib
import hashlib
import os
import socket
import struct
import threading

import pytest

import frames
from probe import expect_frames
from tap import TapVM
from vm import YES, checksum

MB = 1024 * 1024
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
UDP_SEGMENT = 103
ALL = ("tso", "gso", "gro", "tx", "rx", "sg")


def pair(lab, **attrs):
    net = lab.network("10.0.0.0/24", "fd00:1::/64", **attrs)
    group = lab.group("ingress any", "ingress ipv6 any")
    return lab.vm(net, [group]), lab.vm(net, [group])


def offloads(vm, value, *names):
    vm.netns.run("ethtool", "-K", "eth0", *(w for n in names or ALL for w in (n, value)))


def offload(vm, name):
    """Is it on?"""
    lines = vm.netns.run("ethtool", "-k", "eth0").splitlines()
    return next(line.split()[1] for line in lines if line.strip().startswith(name + ":")) == "on"


def transfer(source, sink, size):
    """`size` bytes over an open connection, compared by digest at the far end."""
    data = os.urandom(MB)
    sent, seen = hashlib.sha256(), hashlib.sha256()

    def send():
        left = size
        while left:
            part = data[:min(left, MB)]
            sent.update(part)
            source.sendall(part)
            left -= len(part)

    source.settimeout(YES)
    sink.settimeout(YES)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        left = size
        while left:
            part = sink.recv(min(left, MB))
            assert part, "the connection ended early"
            seen.update(part)
            left -= len(part)
    finally:
        thread.join()
    assert seen.digest() == sent.digest(), "the data was changed on the way"


def both_ways(a, b, version, size):
    client, server = a.tcp_pair(b, 5001, version)
    with contextlib.closing(client), contextlib.closing(server):
        transfer(client, server, size)
        transfer(server, client, size)


@VERSIONS
def test_bulk_data_with_all_offloads_is_intact_in_both_directions(lab, version):
    a, b = pair(lab)
    assert offload(a, "tcp-segmentation-offload")
    before = a.show()["counters"]
    both_ways(a, b, version, 24 * MB)
    after = a.show()["counters"]
    packets = after["from_vm_packets"] - before["from_vm_packets"]
    assert packets < 24 * MB / 1448, "the large packets of the sender were cut before the datapath saw them"


@VERSIONS
@pytest.mark.parametrize("plain", ["sender", "receiver", "both"])
def test_bulk_data_is_intact_when_an_end_has_no_offloads(lab, version, plain):
    a, b = pair(lab)
    for vm, role in ((a, "sender"), (b, "receiver")):
        if plain in (role, "both"):
            offloads(vm, "off")
            assert not offload(vm, "tx-checksumming")
    both_ways(a, b, version, 4 * MB)


@VERSIONS
def test_offloads_switched_while_data_flows(lab, version):
    a, b = pair(lab)
    client, server = a.tcp_pair(b, 5001, version)
    with contextlib.closing(client), contextlib.closing(server):
        for i, names in enumerate((("tso", "gso"), ("tx",), ("gro",), ALL)):
            offloads((a, b)[i % 2], "off", *names)
            transfer(client, server, 2 * MB)
            transfer(server, client, 2 * MB)


@VERSIONS
@pytest.mark.parametrize("receiver", ["with offloads", "without offloads"])
def test_one_large_udp_send_arrives_as_its_segments(lab, version, receiver):
    a, b = pair(lab)
    if receiver == "without offloads":
        offloads(b, "off")
    data = os.urandom(30 * 1200 + 77)
    client, server = a.udp_pair(b, 5002, version)
    with contextlib.closing(client), contextlib.closing(server):
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        client.send(data)
        server.settimeout(YES)
        got = [server.recv(65536) for _ in range(31)]
    assert [len(d) for d in got] == [1200] * 30 + [77]
    assert b"".join(got) == data


def transport_sum(frame):
    """0 when the checksum of this TCP or UDP packet (no options or extension headers) is right."""
    ip = frame[14:]
    if ip[0] >> 4 == 4:
        body = ip[20:struct.unpack("!H", ip[2:4])[0]]
        assert checksum(ip[:20]) == 0, "the IPv4 header's checksum is wrong"
        return checksum(ip[12:20] + struct.pack("!BBH", 0, ip[9], len(body)) + body)
    body = ip[40:40 + struct.unpack("!H", ip[4:6])[0]]
    return checksum(ip[8:40] + struct.pack("!IxxxB", len(body), ip[6]) + body)


def is_for(protocol, port):
    def fits(frame):
        head = 34 if frame[12:14] == b"\x08\0" else 54
        proto = frame[23] if head == 34 else frame[20]
        return (frame[12:14] in (b"\x08\0", b"\x86\xdd") and proto == protocol
                and frame[head + 2:head + 4] == struct.pack("!H", port))
    return fits


@VERSIONS
def test_receiver_without_any_offload_gets_finished_udp_packets(lab, version):
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group("ingress any", "ingress ipv6 any")
    a = lab.vm(net, [group])
    data = os.urandom(10 * 1000 + 33)  # the last one is of odd length
    with TapVM(lab, net, group) as b, contextlib.closing(
            a.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.connect((b.ip6 if version == 6 else b.ip, 5003))
        client.send(b"small")
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        client.send(data)
        got = [b.read(is_for(17, 5003)) for _ in range(12)]
    assert None not in got
    assert [transport_sum(f) for f in got] == [0] * 12
    head = 62 if version == 6 else 42
    assert b"".join(f[head:] for f in got) == b"small" + data


@VERSIONS
def test_receiver_without_any_offload_gets_finished_tcp_segments(lab, version):
    """The receiver's half of TCP is done here by hand: it only counts and acknowledges."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group("ingress any", "ingress ipv6 any")
    a = lab.vm(net, [group])
    data = os.urandom(40000)
    size = 74 if version == 6 else 54
    with TapVM(lab, net, group) as b, contextlib.closing(
            a.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)) as client:
        client.setblocking(False)
        client.connect_ex((b.ip6 if version == 6 else b.ip, 5004))
        syn = b.read(is_for(6, 5004))
        assert transport_sum(syn) == 0
        port = int.from_bytes(syn[size - 20:size - 18], "big")
        first = int.from_bytes(syn[size - 16:size - 12], "big") + 1

        def answer(flags, seq, ack):
            segment = frames.tcp(b, a, 5004, port, flags, seq, ack & 0xffffffff, version=version)
            segment[frames.TCP].window = 65535
            b.send(segment)

        answer("SA", 7000, first)
        b.read(is_for(6, 5004))
        assert client.send(data) == len(data)
        got = bytearray()
        while len(got) < len(data):
            f = b.read(is_for(6, 5004))
            assert f is not None, f"only {len(got)} of {len(data)} bytes came"
            assert len(f) <= net["mtu"] + 14, "a segment is larger than the MTU"
            assert transport_sum(f) == 0
            header = (f[size - 8] >> 4) * 4
            start = (int.from_bytes(f[size - 16:size - 12], "big") - first) & 0xffffffff
            if start == len(got):
                got += f[size - 20 + header:]
            answer("A", 7001, first + len(got))
    assert got == data


def test_sctp_association_carries_data(lab):
    a, b = pair(lab)
    try:
        server = b.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError as e:
        pytest.skip(f"this kernel has no SCTP: {e}")
    with contextlib.closing(server):
        server.bind((b.ip, 5005))
        server.listen(1)
        client = a.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        client.settimeout(YES)
        client.connect((b.ip, 5005))
        server.settimeout(YES)
        peer, _ = server.accept()
        with contextlib.closing(client), contextlib.closing(peer):
            transfer(client, peer, MB)
            transfer(peer, client, MB)


@VERSIONS
def test_jumbo_network_carries_packets_of_9000_bytes(lab, version):
    a, b = pair(lab, mtu=9000)
    headers = 48 if version == 6 else 28
    target = b.ip6 if version == 6 else b.ip
    assert a.ping(target, 9000 - headers, True, 1, "-M", "do")
    small_a, small_b = pair(lab)
    assert small_a.ping(small_b.ip6 if version == 6 else small_b.ip, 1400 - headers, True, 1, "-M", "do")
    both_ways(a, b, version, 8 * MB)


def test_frame_larger_than_the_mtu_of_its_network_is_dropped_and_counted(lab):
    a, b = pair(lab, mtu=1400)
    a.netns.ip("link", "set", "eth0", "mtu", 1500)
    expect_frames(a, b, {"1400": frames.udp(a, b, data=b"y" * (1400 - 28))},
                  {"1401": frames.udp(a, b, data=b"y" * (1401 - 28))})
    assert a.drops("oversize") == 1
