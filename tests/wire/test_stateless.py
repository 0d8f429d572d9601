# SPDX-License-Identifier: Apache-2.0
"""Stateless groups: every packet by its own direction's rules. Numbers are those of the case list in the issue's
reference."""
import pytest

import frames
from lab import ApiError
from probe import Flow, expect, expect_all, expect_frames, flows

VERSIONS = pytest.mark.parametrize("version", ["", "ipv6 "], ids=["ipv4", "ipv6"])
BOTH = ("10.0.0.0/24", "fd00:1::/64")


@VERSIONS
def test_replies_need_a_rule_of_their_own(lab, version):
    """61: client to server fails until the client's group admits replies on ephemeral ports."""
    v = version
    net = lab.network(*BOTH)
    client_group = lab.group(stateful=False)
    a = lab.vm(net, [client_group])
    b = lab.vm(net, [lab.group(f"ingress {v}tcp 80", f"ingress {v}icmp", f"ingress {v}udp 53", stateful=False)])
    other = lab.vm(net, [lab.group()])
    expect_all([(a, b, f"{v}tcp 80", False), (a, b, f"{v}udp 53", False), (a, b, f"{v}icmp", False),
                (other, b, f"{v}tcp 80", True)])
    lab.rule(client_group, f"ingress {v}tcp 1024-65535")
    expect(a, b, [f"{v}tcp 80"], [f"{v}udp 53", f"{v}icmp", f"{v}tcp 81"])
    lab.rule(client_group, f"ingress {v}udp 1024-65535")
    lab.rule(client_group, f"ingress {v}icmp {'129' if v else '0'}")
    expect(a, b, [f"{v}tcp 80", f"{v}udp 53", f"{v}icmp"], [f"{v}tcp 81"])


def test_a_stateless_server_needs_an_egress_rule_for_its_replies(lab):
    """61, the other side."""
    net = lab.network()
    server_group = lab.group("ingress tcp 80", "ingress udp 53", stateful=False, egress=False)
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [server_group])
    expect_frames(a, b, {"question": frames.udp(a, b, 5000, 53)})
    lab.rule(server_group, "egress udp 1024-65535")
    expect(a, b, ["udp 53"], ["tcp 80"])
    lab.rule(server_group, "egress tcp")
    expect(a, b, ["tcp 80"])


def test_a_rule_for_replies_admits_them_without_a_question(lab):
    """What stateless means: there is no connection."""
    net = lab.network()
    a = lab.vm(net, [lab.group("ingress tcp 1024-65535", stateful=False)])
    b = lab.vm(net, [lab.group(stateful=False)])
    expect_frames(b, a, {"syn-ack": frames.tcp(b, a, 80, 40000, "SA"), "reset": frames.tcp(b, a, 80, 40001, "R"),
                         "fin": frames.tcp(b, a, 80, 40002, "FA")}, {"low port": frames.tcp(b, a, 80, 1000, "SA")})


def test_rules_of_a_stateless_group_change_what_passes_at_once_in_both_directions(lab):
    """24 for stateless groups: the reply's rule goes, replies stop; the other direction goes on."""
    net = lab.network()
    client_group = lab.group("ingress udp 1024-65535", stateful=False)
    a, b = lab.vm(net, [client_group]), lab.vm(net, [lab.group("ingress udp", stateful=False)])
    flow = Flow(a, b, 53, "udp")
    lab.api.delete("security_group_rule", client_group["rules"][0]["id"])
    flows(alive=[flow], only="client")
    stays = Flow(lab.vm(net, [lab.group()]), b, 54, "udp")
    flows(alive=[stays], dead=[flow], only="server")
    lab.rule(client_group, "ingress udp 1024-65535")
    flows(alive=[flow, stays])


def test_base_services_work_with_stateless_groups(lab):
    """G7: DHCP, ARP, ND."""
    net = lab.network(*BOTH)
    group = lab.group(stateful=False)
    rules = [("icmp", 8), ("icmp", 0), ("ipv6 icmp", 128), ("ipv6 icmp", 129)]
    a, b = lab.vm(net, [group], dhcp=True), lab.vm(net, [group], dhcp=True)
    assert a.lease()["ip"] == a.ip
    for proto, kind in rules:
        lab.rule(group, f"ingress {proto} {kind}")
    expect(a, b, ["icmp", "ipv6 icmp"], ["tcp 80"])


@VERSIONS
def test_large_pings_are_fragmented_and_pass(lab, version):
    """63, G14: a stateless group accepts fragmented ICMP."""
    net = lab.network(*BOTH)
    group = lab.group(f"ingress {version}icmp", "ingress udp 53", stateful=False)
    a, b = lab.vm(net, [group]), lab.vm(net, [group])
    assert a.ping(b.ip6 if version else b.ip, 4000)
    expect(a, b, [f"{version}icmp"], ["tcp 80", "udp 54"])


def test_stateless_and_stateful_groups_do_not_mix_and_bound_groups_do_not_change(lab):
    """64: 409, and nothing changes."""
    net = lab.network()
    stateful, stateless = lab.group("ingress icmp"), lab.group("ingress icmp", stateful=False)
    a, b = lab.vm(net, [stateful]), lab.vm(net, [stateful])
    for change in (lambda: lab.set_groups(b, stateful, stateless),
                   lambda: lab.api.update("security_group", stateful["id"], stateful=False),
                   lambda: lab.api.create("port", network_id=net["id"], security_groups=[stateful["id"], stateless["id"]])):
        with pytest.raises(ApiError) as e:
            change()
        assert e.value.status == 409
    expect(a, b, ["icmp"], ["tcp 80"])


def test_a_group_detached_made_stateless_and_attached_again_works(lab):
    """65."""
    net = lab.network()
    group = lab.group("ingress icmp")
    a, b = lab.vm(net, [group]), lab.vm(net, [group])
    expect(a, b, ["icmp"])
    for vm in (a, b):
        lab.set_groups(vm)
    lab.api.update("security_group", group["id"], stateful=False)
    for vm in (a, b):
        lab.set_groups(vm, group)
    expect(a, b, ["icmp"], ["tcp 80"])
    assert lab.api.weft("groups")["groups"] and not next(
        g for g in lab.api.weft("groups")["groups"] if g["id"] == group["id"])["stateful"]


def test_a_stateful_peer_keeps_its_own_state(lab):
    """A stateless client and a stateful server: the server's replies ride on its state, the client needs a rule."""
    net = lab.network()
    a_group = lab.group("ingress tcp 1024-65535", stateful=False)
    a, b = lab.vm(net, [a_group]), lab.vm(net, [lab.group("ingress tcp 80", egress=False)])
    expect_all([(a, b, "tcp 80", True), (b, a, "tcp 2000", False), (a, b, "tcp 81", False)])


def test_remote_groups_work_in_stateless_groups(lab):
    net = lab.network()
    group = lab.group(stateful=False)
    lab.rule(group, f"ingress tcp from group:{group['id']}")
    a, b, c = lab.vm(net, [group]), lab.vm(net, [group]), lab.vm(net, [lab.group()])
    expect_all([(a, b, "tcp 80", True), (c, b, "tcp 80", False), (a, b, "udp 80", False)])
