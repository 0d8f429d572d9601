# SPDX-License-Identifier: Apache-2.0
"""North-south without a floating IP: VMs reach the internet by their router's address, IPv6 ones as they are (70, 86, 87)."""
import pytest

from internet import Internet, Tenant
from probe import expect

PHYSICAL = ["physnet1"]
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@KINDS
def test_a_vm_reaches_the_internet(lab, vlan):
    """70, 87: all that a VM asks is answered; nobody outside reaches it."""
    net = Internet(lab, vlan)
    vm = Tenant(net).vm()
    expect(vm, net.host, yes=["icmp", "tcp 80", "udp 53", "ipv6 icmp", "ipv6 tcp 80", "ipv6 udp 53"])
    expect(vm, net.gateway, yes=["icmp", "tcp 80", "udp 53", "ipv6 icmp", "ipv6 tcp 80", "ipv6 udp 53"])
