# SPDX-License-Identifier: Apache-2.0
"""Large transfers through translation: whole segments, made and checked checksums, and tools that nobody here wrote."""
import contextlib
import hashlib
import json
import os
import socket

import pytest

from internet import Internet, Tenant, target, too_big
from test_offload import offloads, transfer
from vm import YES

PHYSICAL = ["physnet1"]
MB = 1024 * 1024
UDP_SEGMENT = 103
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
OFFLOADS = pytest.mark.parametrize("offload", [True, False], ids=["large segments", "checksums on the wire"])
PLAIN = ("tx", "off", "tso", "off", "gso", "off")


def checksum_errors(host):
    """Packets that the host's stack refused for their checksums."""
    lines = [line.split() for line in host.read("/proc/thread-self/net/snmp").splitlines()]
    total = 0
    for names, values in zip(lines[::2], lines[1::2]):
        total += sum(int(v) for n, v in zip(names, values) if n in ("InCsumErrors", "InHdrErrors"))
    return total + sum(int(line.split()[1]) for line in host.read("/proc/thread-self/net/snmp6").splitlines()
                       if "InCsumErrors" in line)


@contextlib.contextmanager
def plain(lab, net, vm):
    """Nobody leaves a checksum or a segment to somebody else: all are made, and checked by whoever receives."""
    for host in (vm, net.host, net.gateway):
        offloads(host, "off")
    for interface in ("eth1", vm.tap):
        lab.node.run("ethtool", "-K", interface, *PLAIN)
    for port in json.loads(net.out.switch.run("ip", "-j", "link")):
        if port["ifname"] != "lo":
            net.out.switch.run("ethtool", "-K", port["ifname"], *PLAIN, "gro", "off")
    try:
        yield
    finally:
        lab.node.run("ethtool", "-K", "eth1", "tx", "on", "tso", "on", "gso", "on")
        net.out.switch.run("ethtool", "-K", "node", "tx", "on", "tso", "on", "gso", "on")


def both_ways(client, server, version=4):
    a, b = client.tcp_pair(server, 80, version)
    with contextlib.closing(a), contextlib.closing(b):
        transfer(a, b, 4 * MB)
        transfer(b, a, 4 * MB)


@OFFLOADS
@VERSIONS
def test_bulk_data_of_a_vm_without_floating_ip(lab, version, offload):
    net = Internet(lab)
    vm = Tenant(net).vm()
    before = vm.show()["counters"]["from_vm_packets"]
    with contextlib.nullcontext() if offload else plain(lab, net, vm):
        both_ways(vm, net.host, version)
    packets = vm.show()["counters"]["from_vm_packets"] - before
    assert (packets < 4 * MB / 1448) == offload, "what the VM sent came in other pieces than it was to"
    assert [checksum_errors(h) for h in (vm, net.host, net.gateway)] == [0, 0, 0]


@OFFLOADS
@KINDS
def test_bulk_data_by_a_floating_ip(lab, vlan, offload):
    net = Internet(lab, vlan)
    vm = Tenant(net).vm([lab.group("ingress tcp 80")])
    public = net.floating(vm)
    with contextlib.nullcontext() if offload else plain(lab, net, vm):
        both_ways(net.host, public)
        both_ways(vm, net.host)
    assert [checksum_errors(h) for h in (vm, net.host, net.gateway)] == [0, 0, 0]


def test_bulk_data_between_floating_ips(lab):
    """Translated twice on its way, at full size."""
    net = Internet(lab)
    a, b = (Tenant(net, n).vm([lab.group("ingress tcp 80")]) for n in (1, 2))
    net.floating(a)
    both_ways(a, net.floating(b))


@VERSIONS
def test_one_large_udp_send_arrives_as_its_segments(lab, version):
    net = Internet(lab)
    vm = Tenant(net).vm()
    data = os.urandom(30 * 1200 + 77)
    client, server = vm.udp_pair(net.host, 53, version)
    with contextlib.closing(client), contextlib.closing(server):
        server.settimeout(YES)
        client.send(b"who is there")  # the next hop is known from here on
        server.recv(100)
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        client.send(data)
        got = b""
        while len(got) < len(data):
            part = server.recv(65536)
            assert len(part) <= 1200
            got += part
        assert got == data


@VERSIONS
def test_packets_of_exactly_the_mtu_pass_and_larger_ones_are_not_sent(lab, version):
    """98."""
    net = Internet(lab)
    vm = Tenant(net).vm()
    assert "1 received" in too_big(vm, target(net.host, version), 1500)
    assert "1 received" not in too_big(vm, target(net.host, version), 1501)
    assert vm.ping(target(net.host, version), 20000)


@VERSIONS
def test_iperf3_runs_both_ways(lab, version):
    net = Internet(lab)
    vm = Tenant(net).vm()
    server = net.host.netns.popen("iperf3", "-s", "-p", 5201, stdout=-3, stderr=-3)
    try:
        def run(*options):
            """The server listens anew for each test, a moment after the one before."""
            result = json.loads(vm.netns.run("iperf3", "-c", target(net.host, version), "-p", 5201, "-J", *options, check=False))
            return None if "onnection refused" in result.get("error", "") or "busy" in result.get("error", "") else result

        for options, what in ((["-n", "16M", "-P", "4"], "sum_received"), (["-n", "16M", "-R"], "sum_received"),
                              (["-u", "-b", "20M", "-n", "1M", "-l", "1200"], "sum")):
            result = lab.wait(lambda: run(*options), what="iperf3's server")
            assert "error" not in result
            assert result["end"][what]["bytes"] > 0.9e6
    finally:
        server.terminate()
        server.wait()


def test_nc_carries_a_file_in_by_the_floating_ip_and_out(lab):
    net = Internet(lab)
    vm = Tenant(net).vm([lab.group("ingress tcp 8000")])
    public = net.floating(vm)
    data = os.urandom(MB)
    for client, server, ip in ((net.host, vm, public.ip), (vm, net.host, net.host.ip)):
        with open(f"{lab.dir}/received", "wb") as file:
            listener = server.netns.popen("nc", "-l", "-p", 8000, stdout=file)
            lab.wait(lambda s=server: ":1F40 " in s.read("/proc/thread-self/net/tcp"), what="nc")
            client.netns.popen("nc", "-N", ip, 8000, stdin=-1).communicate(data, timeout=10)
            assert listener.wait(10) == 0
        with open(file.name, "rb") as file:
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest()
