# SPDX-License-Identifier: Apache-2.0
"""VMs directly on a physical network: flat and VLAN provider networks, and hosts outside with real Linux stacks."""
import pytest

from probe import expect_all

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


@pytest.fixture
def world(lab):
    return lambda vlan=None, **attrs: World(lab, vlan, **attrs)


@KINDS
def test_vm_and_outside_host_reach_each_other_as_the_rules_say(world, vlan):
    w = world(vlan)
    expect_all([(w.a, w.host, t, True) for t in ("icmp", "tcp 80", "tcp 81", "udp 53", "ipv6 icmp", "ipv6 tcp 81", "ipv6 udp 53")]
               + [(w.host, w.a, t, True) for t in ("icmp", "tcp 80", "ipv6 icmp", "ipv6 tcp 80")]
               + [(w.host, w.a, t, False) for t in ("tcp 81", "udp 53", "ipv6 tcp 81", "ipv6 udp 53")]
               + [(w.a, w.b, "tcp 80", True)])
