# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: the outside's way to a VM, the VM's way out, and what happens when they move (71, 73, 74)."""
import contextlib

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import ARP

from internet import At, Internet, Tenant, seen_as
from lab import Lab
from probe import Flow, expect, expect_all, flows

PHYSICAL = ["physnet1"]
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
EVERYTHING = ["icmp", "tcp 80", "udp 53", "sctp 9", "ip 47", "ip 253"]


def announcement(ip, mac=None):
    """Is it gratuitous ARP of this address?"""
    return lambda p: ARP in p and p[ARP].psrc == p[ARP].pdst == ip and (mac is None or p[ARP].hwsrc == mac)


def move(lab, public, vm):
    """The floating IP to another VM, or (None) to nobody."""
    return lab.api.update("floatingip", public.fip["id"], port_id=vm and vm.id)


@KINDS
def test_a_floating_ip_leads_in_and_out_whatever_the_protocol(lab, vlan):
    net = Internet(lab, vlan)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress any")])
    public = net.floating(vm)
    expect_all([(net.host, public, p, True) for p in EVERYTHING] + [(net.gateway, public, "tcp 81", True)])
    vm2 = t.vm([lab.group()])
    out = net.floating(vm2)
    expect(vm2, net.host, yes=EVERYTHING)
    assert seen_as(vm2, net.host, source_port=40001) == (out.ip, 40001)
    assert seen_as(vm, net.host, source_port=40001) == (public.ip, 40001)
    assert seen_as(net.host, public, source_port=40001) == (net.host.ip, 40001)


def test_groups_judge_whom_they_see_outside(lab):
    net = Internet(lab)
    t = Tenant(net)
    open_to_host = net.floating(t.vm([lab.group("ingress tcp 80 from 192.0.2.7/32", "ingress icmp from 203.0.113.0/24")]))
    closed = net.floating(t.vm([lab.group()]))
    only_out = t.vm([lab.group("egress tcp 80 to 192.0.2.7/32", egress=False)])
    net.floating(only_out)
    expect_all([(net.host, open_to_host, "tcp 80", True), (net.host, open_to_host, "tcp 81", False),
                (net.host, open_to_host, "icmp", False), (net.gateway, open_to_host, "icmp", True),
                (net.gateway, open_to_host, "tcp 80", False), (net.host, closed, "icmp", False), (net.host, closed, "tcp 80", False),
                (only_out, net.host, "tcp 80", True), (only_out, net.host, "tcp 81", False), (only_out, net.gateway, "tcp 80", False)])


def test_a_floating_ip_of_nobody_is_not_there(lab):
    net = Internet(lab)
    t = Tenant(net)
    t.vm()
    nobody = net.floating()
    assert not net.gateway.ping(nobody.ip, expect=False)
    assert "lladdr" not in net.gateway.netns.ip("neigh", "show", nobody.ip)
    assert net.gateway.ping(t.ip)


def test_a_floating_ip_works_without_source_nat_and_with_the_router_of_others(lab):
    """Each router has its own; enable_snat is about those without."""
    net = Internet(lab)
    tenants = [Tenant(net, 1, snat=False), Tenant(net, 2)]
    group = lab.group("ingress tcp 80")
    for t in tenants:
        vm = t.vm([group])
        public = net.floating(vm)
        expect(net.host, public, yes=["tcp 80"], no=["tcp 81"])
        assert seen_as(vm, net.host)[0] == public.ip


def test_each_fixed_ip_has_its_own_floating_ip(lab):
    net = Internet(lab)
    t = Tenant(net)
    subnet = t.net["v4"]["id"]
    vm = t.vm([lab.group("ingress tcp 80")], fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}])
    publics = [net.floating(vm, fixed_ip_address=ip) for ip in vm.ips(4)]
    for ip, public in zip(vm.ips(4), publics):
        vm.netns.ip("route", "replace", "default", "via", t.net["v4"]["gateway_ip"], "src", ip)
        assert seen_as(vm, net.host)[0] == public.ip
        assert seen_as(net.host, public)[0] == net.host.ip


# ---- They come, go and move ------------------------------------------------------------------------


def test_associating_announces_it_and_new_flows_use_it_at_once(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress icmp", "ingress tcp 80")])
    public = net.floating()
    assert seen_as(vm, net.host)[0] == t.ip
    with net.out.tap() as got:
        move(lab, public, vm)
        assert got(announcement(public.ip))
    assert net.host.ping(public.ip)
    assert seen_as(vm, net.host)[0] == public.ip


def test_disassociating_cuts_at_once_and_leaves_others_alone(lab):
    """74."""
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("ingress icmp", "ingress tcp 80")
    vm, other = t.vm([group]), t.vm([group])
    public, stays = net.floating(vm), net.floating(other)
    with contextlib.ExitStack() as stack:
        inward, outward, unhurt, unhurt_out = (
            stack.enter_context(contextlib.closing(Flow(a, b, 80)))
            for a, b in ((net.host, public), (vm, net.host), (net.host, stays), (other, net.host)))
        move(lab, public, None)
        flows(alive=[unhurt, unhurt_out], dead=[inward, outward])
    assert not net.host.ping(public.ip, expect=False)
    assert seen_as(vm, net.host)[0] == t.ip
    assert net.host.ping(stays.ip)


def test_deleting_the_vm_or_the_floating_ip_ends_it(lab):
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("ingress icmp")
    vm, other = t.vm([group]), t.vm([group])
    first, second = net.floating(vm), net.floating(other)
    assert net.host.ping(first.ip) and net.host.ping(second.ip)
    lab.api.delete("floatingip", first.fip["id"])
    assert not net.host.ping(first.ip, expect=False)
    assert net.host.ping(second.ip)
    lab.remove(other)
    assert not net.host.ping(second.ip, expect=False)
    assert lab.api.get("floatingip", second.fip["id"])["port_id"] is None


@pytest.mark.parametrize("where", ["the same router", "another router"])
def test_a_moved_floating_ip_reaches_the_new_vm_at_once(lab, where):
    """73: the old flows are cut, what comes next is the new VM's, and whoever knew another MAC is told."""
    net = Internet(lab)
    tenants = [Tenant(net, 1)] + [Tenant(net, 2)] * (where == "another router")
    group = lab.group("ingress icmp", "ingress tcp 80")
    a, b = tenants[0].vm([group]), tenants[-1].vm([group])
    public = net.floating(a)
    assert net.host.ping(public.ip)
    with contextlib.closing(Flow(net.host, public, 80)) as old, net.out.tap() as got:
        move(lab, public, b)
        flows(dead=[old])
        now = At(b, public.ip)
        with contextlib.closing(Flow(net.host, now, 80)) as new:
            assert got(announcement(public.ip))
            flows(alive=[new])
        with b.sniff() as pinged:
            assert net.host.ping(public.ip)
            assert pinged(lambda p: ICMP in p)
    assert seen_as(b, net.host)[0] == public.ip
    assert seen_as(a, net.host)[0] == tenants[0].ip


def test_an_address_freed_by_one_router_is_anothers_at_once(lab):
    """73: a floating IP deleted and made anew on another router."""
    net = Internet(lab)
    group = lab.group("ingress icmp")
    a, b = (Tenant(net, n).vm([group]) for n in (1, 2))
    public = net.floating(a)
    assert net.host.ping(public.ip)
    lab.api.delete("floatingip", public.fip["id"])
    with net.out.tap() as got:
        again = net.floating(b, floating_ip_address=public.ip)
        assert got(announcement(public.ip))
    with b.sniff() as pinged:
        assert net.host.ping(again.ip)
        assert pinged(lambda p: ICMP in p)


def test_unrelated_changes_leave_flows_alone_and_a_removed_rule_cuts_them(lab):
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("ingress tcp 80", "ingress tcp 81", "egress tcp 80", egress=False)
    vm = t.vm([group])
    public = net.floating(vm)
    with contextlib.ExitStack() as stack:
        a, b, out = (stack.enter_context(contextlib.closing(Flow(*f)))
                     for f in ((net.host, public, 80), (net.host, public, 81), (vm, net.host, 80)))
        source = out.server.getpeername()
        assert source[0] == public.ip
        rule = lab.rule(group, "ingress udp 53")
        net.floating(t.vm([group]))
        lab.api.delete("security_group_rule", rule["id"])
        flows(alive=[a, b, out])
        lab.api.delete("security_group_rule", group["rules"][1]["id"])
        flows(alive=[a, out], dead=[b])
        lab.rule(group, "ingress tcp 81")
        flows(alive=[a, b, out])
        assert out.server.getpeername() == source


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_removed_rule_cuts_though_the_server_may_send_anything(lab, kind):
    """Nobody's rules are asked outside: the server's next packet must not pass for the beginning of another flow."""
    net = Internet(lab)
    group = lab.group(f"ingress {kind} 80", f"ingress {kind} 81")
    vm = Tenant(net).vm([group])
    public = net.floating(vm)
    with contextlib.closing(Flow(net.host, public, 80, kind)) as a, contextlib.closing(Flow(net.host, public, 81, kind)) as b, \
            contextlib.closing(Flow(vm, net.host, 80, kind)) as out:
        lab.api.delete("security_group_rule", group["rules"][1]["id"])
        flows(alive=[a, out], dead=[b])
        flows(alive=[a, out], dead=[b], only="server")
        lab.rule(group, f"ingress {kind} 81")
        flows(alive=[a, b, out])


def test_flows_go_on_when_weftd_is_restarted(own_lab):
    lab = own_lab
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress tcp 80")])
    public = net.floating(vm)
    with contextlib.closing(Flow(net.host, public, 80)) as inward, contextlib.closing(Flow(vm, net.host, 80)) as outward:
        lab.restart()
        flows(alive=[inward, outward], only="client")
        flows(alive=[inward, outward])


def test_a_router_that_goes_down_takes_its_floating_ips_along(lab):
    net = Internet(lab)
    t = Tenant(net)
    public = net.floating(t.vm([lab.group("ingress icmp", "ingress tcp 80")]))
    with contextlib.closing(Flow(net.host, public, 80)) as flow:
        lab.api.update("router", t.router["id"], admin_state_up=False)
        flows(dead=[flow])
        assert not net.host.ping(public.ip, expect=False)
        lab.api.update("router", t.router["id"], admin_state_up=True)
        flows(alive=[flow])
        assert net.host.ping(public.ip)


# ---- Among each other ------------------------------------------------------------------------------


@pytest.mark.parametrize("routers", [1, 2])
def test_floating_ips_speak_to_each_other(lab, routers):
    net = Internet(lab)
    tenants = [Tenant(net, n + 1) for n in range(routers)]
    group = lab.group("ingress any")
    a, b = tenants[0].vm([group]), tenants[-1].vm([group])
    first, second = net.floating(a), net.floating(b)
    expect_all([(a, second, p, True) for p in EVERYTHING] + [(b, first, p, True) for p in EVERYTHING])
    assert seen_as(a, second)[0] == first.ip
    assert seen_as(b, first)[0] == second.ip


def test_a_vm_reaches_itself_by_its_own_floating_ip(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress tcp 80", "ingress udp 53", "ingress icmp")])
    public = net.floating(vm)
    assert seen_as(vm, public)[0] == public.ip
    expect(vm, public, yes=["tcp 80", "udp 53"], no=["tcp 81", "udp 54"])


@pytest.mark.parametrize("routers", [1, 2])
def test_a_vm_without_reaches_a_floating_ip_by_its_routers_address(lab, routers):
    net = Internet(lab)
    tenants = [Tenant(net, n + 1) for n in range(routers)]
    vm = tenants[0].vm([lab.group()])
    public = net.floating(tenants[-1].vm([lab.group("ingress tcp 80", "ingress udp 53", "ingress icmp")]))
    expect(vm, public, yes=["tcp 80", "udp 53", "icmp"], no=["tcp 81", "udp 54"])
    assert seen_as(vm, public)[0] == tenants[0].ip


def test_a_group_as_remote_does_not_admit_its_members_by_their_floating_ips(lab):
    """What comes by a floating IP comes from outside, whoever sent it; by the prefix it is admitted."""
    net = Internet(lab)
    t = Tenant(net)
    members = lab.group()
    group = lab.group(f"ingress tcp 80 from group:{members['id']}", "ingress tcp 81 from 203.0.113.0/24")
    a, b = t.vm([members]), t.vm([group])
    net.floating(a)
    public = net.floating(b)
    expect_all([(a, b, "tcp 80", True), (a, public, "tcp 80", False), (a, public, "tcp 81", True), (a, b, "tcp 81", False)])
