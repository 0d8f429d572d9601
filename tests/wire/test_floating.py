# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: the outside's way to a VM, and the VM's way out (71, 73, 74)."""
from internet import Internet, Tenant

PHYSICAL = ["physnet1"]


def test_a_floating_ip_leads_in_and_out(lab):
    net = Internet(lab)
    vm = Tenant(net).vm([lab.group("ingress icmp")])
    fip = net.floating(vm)
    assert vm.ping(net.host)
    assert net.host.ping(fip["floating_ip_address"])
