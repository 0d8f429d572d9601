# SPDX-License-Identifier: Apache-2.0
"""Packets longer than a buffer, or than the next network carries: routers fragment them, or say so, and answer them."""
import contextlib
import os
import socket

import pytest

from internet import Internet, outer
from test_offload import MB, transfer
from test_routers import Routed
from vm import YES

PHYSICAL = ["physnet1"]
DONT = 0  # IP_PMTUDISC_DONT: no DF


@pytest.fixture
def routed(lab):
    """Networks of MTU 9000 and 1400 on one router."""
    r = Routed(lab, [lab.group("ingress any", "ingress ipv6 any")], (9000, 1400))
    r.a.netns.ip("link", "set", "eth0", "mtu", 9000)
    yield r
    r.close()


def test_a_router_answers_echoes_of_any_length(routed):
    """In one piece of several buffers, and in fragments; of both families, on the near address and the far one."""
    for net in routed.nets:
        for v in ("v4", "v6"):
            gateway = net[v]["gateway_ip"]
            for size in (56, 1972, 2100, 3000, 8900):
                assert routed.a.ping(gateway, size, True, 1, "-M", "do"), f"{gateway}, {size} bytes in one"
            for size in (1300, 3000, 20000, 60000):
                assert routed.b.ping(gateway, size), f"{gateway}, {size} bytes in fragments"


def test_a_router_answers_echoes_of_any_length_from_outside(lab):
    i = Internet(lab, mtu=9000)
    net = lab.network("10.0.1.0/24", "2001:db8:1::/64")
    router = i.router(net["v4"], net["v6"])
    lab.vm(net)
    for version in (4, 6):
        address = outer(router, version)
        assert i.gateway.ping(address)
        for size in (2100, 8900):
            assert i.gateway.ping(address, size, True, 1, "-M", "do"), f"{address}, {size} bytes in one"
        for size in (3000, 20000):
            if version == 4:
                assert i.host.ping(address, size), f"{address}, {size} bytes in fragments"
            assert i.gateway.ping(address, size + 10000), f"{address}, {size + 10000} bytes in fragments"


def test_datagrams_longer_than_the_next_network_carries_arrive(routed):
    """Without DF: in one buffer, in several, and in fragments that are cut again."""
    client, server = routed.a.udp_pair(routed.b, 53)
    with contextlib.closing(client), contextlib.closing(server):
        client.setsockopt(socket.IPPROTO_IP, 10, DONT)
        server.settimeout(YES)
        for size in (1372, 1373, 1500, 2100, 4000, 8972, 8973, 20000, 60000):
            data = os.urandom(size)
            client.send(data)
            assert server.recv(65536) == data, f"{size} bytes"


def test_tcp_of_a_host_without_path_mtu_discovery_arrives(routed):
    """Its segments are longer than the next network carries, and leave the VM as 64 KB to be cut."""
    routed.a.netns.run("sysctl", "-q", "-w", "net.ipv4.ip_no_pmtu_disc=1")
    routed.b.netns.ip("link", "set", "eth0", "mtu", 9000)  # so that it asks for such
    client, server = routed.a.tcp_pair(routed.b, 80)
    with contextlib.closing(client), contextlib.closing(server):
        transfer(client, server, 2 * MB)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 1400
