# SPDX-License-Identifier: Apache-2.0
"""Packets longer than a buffer, or than the next network carries: routers fragment them, or say so, and answer them."""
import contextlib
import os
import socket

import pytest
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from internet import Internet, outer
from lab import Lab
from test_offload import MB, transfer
from test_routers import Routed
from test_vhost_ports import Vm
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


def test_a_router_answers_echoes_of_any_length_from_outside(datapath):
    jumbo = "[node]\nglobal_physnet_mtu = 9000\n"
    with contextlib.closing(Lab(datapath, jumbo, physical=PHYSICAL)) as lab:
        echoes_from_outside(lab)


def echoes_from_outside(lab):
    i = Internet(lab, mtu=9000)
    net = lab.network("10.0.1.0/24", "2001:db8:1::/64", mtu=1500)
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


def test_a_vhost_user_port_is_answered_in_fragments_and_its_datagrams_are_cut(lab, routed):
    net, data = routed.nets[0], os.urandom(3000)
    gateway = next(p for p in lab.api.list("port", device_id=routed.router["id"]) if p["network_id"] == net["id"]
                   and p["fixed_ips"][0]["ip_address"] == net["v4"]["gateway_ip"])
    vm = Vm(lab, net, [lab.group("ingress any")])
    to_router = Ether(src=vm.mac, dst=gateway["mac_address"]) / IP(src=vm.ip, dst=net["v4"]["gateway_ip"], id=77)
    with vm.front:
        vm.start()
        for part in reversed(fragment(to_router / ICMP(id=5, seq=1) / Raw(data), 1400)):
            vm.front.send(part)
        parts = []
        while len(parts) < 3:
            frame = vm.front.receive(YES)
            assert frame is not None, f"{len(parts)} of 3 fragments came"
            if IP in Ether(frame):
                parts.append(Ether(frame)[IP])
        answer = IP(bytes(defragment(parts)[0]))
        assert (answer.src, answer[ICMP].type, answer[ICMP].id) == (net["v4"]["gateway_ip"], 0, 5)
        assert bytes(answer[ICMP].payload) == data
        again = answer.copy()
        del again[ICMP].chksum
        assert IP(bytes(again))[ICMP].chksum == answer[ICMP].chksum
        with contextlib.closing(routed.b.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
            server.bind(("0.0.0.0", 53))
            server.settimeout(YES)
            to_router[IP].dst = routed.b.ip
            vm.front.send(to_router / UDP(sport=9, dport=53) / Raw(data[:1950]))
            assert server.recv(65536) == data[:1950]
