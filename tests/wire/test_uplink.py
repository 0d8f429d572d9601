# SPDX-License-Identifier: Apache-2.0
"""VMs directly on a physical network: flat and VLAN provider networks, and hosts outside with real Linux stacks."""
import contextlib

import pytest

from lab import Lab
from probe import expect_all
from test_offload import MB, offloads, transfer

PHYSICAL = ["physnet1"]
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])


class World:
    """A provider network, two VMs whose groups open TCP 80 and ICMP, and a host outside."""

    def __init__(self, lab, vlan, **attrs):
        self.net = lab.provider("203.0.113.0/24", "2001:db8:1::/64", vlan=vlan, **attrs)
        self.group = lab.group("ingress tcp 80", "ingress icmp", "ingress ipv6 tcp 80", "ingress ipv6 ipv6-icmp")
        self.a, self.b = (lab.vm(self.net, [self.group]) for _ in range(2))
        self.out = lab.outside()
        self.host = self.out.host("203.0.113.200/24", "2001:db8:1::200/64", vlan=vlan, mtu=self.net["mtu"])


def probes(w):
    """What passes between the outside and VM a, and what does not."""
    return ([(w.a, w.host, t, True) for t in ("icmp", "tcp 80", "tcp 81", "udp 53", "ipv6 icmp", "ipv6 tcp 81", "ipv6 udp 53")]
            + [(w.host, w.a, t, True) for t in ("icmp", "tcp 80", "ipv6 icmp", "ipv6 tcp 80")]
            + [(w.host, w.a, t, False) for t in ("tcp 81", "udp 53", "ipv6 tcp 81", "ipv6 udp 53")]
            + [(w.a, w.b, "tcp 80", True)])


@pytest.fixture
def world(lab):
    return lambda vlan=None, **attrs: World(lab, vlan, **attrs)


@KINDS
def test_vm_and_outside_host_reach_each_other_as_the_rules_say(world, vlan):
    expect_all(probes(world(vlan)))


def carried(world, size=4 * MB):
    """Bulk data both ways, IPv4 and IPv6, intact."""
    for version in (4, 6):
        for a, b in ((world.a, world.host), (world.host, world.a)):
            client, server = a.tcp_pair(b, 80, version)
            with contextlib.closing(client), contextlib.closing(server):
                transfer(client, server, size)
                transfer(server, client, size)


@KINDS
def test_bulk_data_with_offloads_is_intact_both_ways(world, vlan):
    w = world(vlan)
    before = w.a.show()["counters"]["from_vm_packets"]
    carried(w)
    assert w.a.show()["counters"]["from_vm_packets"] - before < 16 * MB / 1448, "large packets were cut"


@KINDS
def test_bulk_data_is_intact_when_an_end_has_no_offloads(world, vlan):
    w = world(vlan)
    offloads(w.a, "off")
    carried(w, MB)
    offloads(w.a, "on")
    offloads(w.host, "off")
    carried(w, MB)


def test_dpdk_device_carries_flat_and_vlan_networks(datapath):
    lab = Lab(datapath, physical={"physnet1": "net_af_packet0,iface=eth1"})
    try:
        for vlan in (None, 101):
            w = World(lab, vlan)
            offloads(w.host, "off")  # as on a cable: af_packet takes what it reads for finished
            expect_all(probes(w))
            carried(w, MB)
    finally:
        lab.close()
