# SPDX-License-Identifier: Apache-2.0
"""Remote groups and address groups: sets of addresses that change under the rules that use them. Numbers are those of
the case list in the issue's reference."""
import pytest

import frames
from lab import ApiError
from probe import Flow, expect, expect_all, expect_frames, flows

VERSIONS = pytest.mark.parametrize("version", ["", "ipv6 "], ids=["ipv4", "ipv6"])
BOTH = {"cidr": "10.0.0.0/24", "cidr6": "fd00:1::/64"}


def udp_frame(src, dst, ip, port=9):
    return frames.udp(src, dst, dport=port, data=ip.encode(), src=ip)


@VERSIONS
def test_a_self_referencing_group_admits_its_members_for_what_the_rule_says(lab, version):
    """35, 36, 37: and the rules change under live members."""
    v = version
    net = lab.network(**BOTH)
    group = lab.group()
    rule = lab.rule(group, f"ingress {v}tcp 3333 from group:{group['id']}")
    a, b = lab.vm(net, [group]), lab.vm(net, [group])
    outsider = lab.vm(net, [lab.group()])
    expect_all([(a, b, f"{v}tcp 3333", True), (b, a, f"{v}tcp 3333", True), (a, b, f"{v}tcp 3344", False),
                (a, b, f"{v}icmp", False), (outsider, b, f"{v}tcp 3333", False)])
    lab.rule(group, f"ingress {v}tcp 3344 from group:{group['id']}")
    expect_all([(a, b, f"{v}tcp 3333", True), (a, b, f"{v}tcp 3344", True), (outsider, b, f"{v}tcp 3344", False)])
    lab.api.delete("security_group_rule", rule["id"])
    lab.rule(group, f"ingress {v}tcp 1-65535 from group:{group['id']}")
    expect_all([(a, b, f"{v}tcp 1", True), (a, b, f"{v}tcp 65535", True), (a, b, f"{v}udp 3333", False),
                (outsider, b, f"{v}tcp 1", False)])


@VERSIONS
def test_a_vm_that_joins_the_remote_group_is_admitted_and_one_that_leaves_is_cut(lab, version):
    """38: with no change of a rule; established flows included, and of nobody else."""
    v = version
    n = 6 if v else 4
    net = lab.network(**BOTH)
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress {v}any from group:{members['id']}")])
    a, c = lab.vm(net, [members]), lab.vm(net, [lab.group()])
    expect_all([(a, b, f"{v}tcp 80", True), (c, b, f"{v}tcp 80", False)])
    plain = c.port["security_groups"]
    c.update(security_groups=[*plain, members["id"]])
    stays = [Flow(a, b, 81, "tcp", n), Flow(a, b, 81, "udp", n)]
    cut = [Flow(c, b, 82, "tcp", n), Flow(c, b, 82, "udp", n)]
    c.update(security_groups=plain)
    flows(alive=stays, dead=cut, only="server")
    flows(alive=stays, dead=cut)
    for f in stays + cut:
        f.close()
    expect_all([(a, b, f"{v}tcp 83", True), (c, b, f"{v}tcp 83", False)])


def test_a_deleted_member_is_no_member(lab):
    """38: its address, used by the next port, admits only if that port is a member."""
    net = lab.network()
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress any from group:{members['id']}")])
    a, keep = lab.vm(net, [members]), lab.vm(net, [members])
    expect(a, b, ["tcp 80"])
    ip = a.ip
    lab.remove(a)
    c = lab.vm(net, [lab.group()], fixed_ips=[{"ip_address": ip}])
    expect_all([(keep, b, "tcp 80", True), (c, b, "tcp 80", False), (c, b, "icmp", False)])


def test_a_member_that_changes_its_address_is_known_by_the_new_one_only(lab):
    """38, 48."""
    net = lab.network()
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}")])
    a = lab.vm(net, [members], fixed_ips=[{"ip_address": "10.0.0.50"}])
    loose = lab.vm(net, port_security_enabled=False)
    expect_frames(loose, b, {"old": udp_frame(loose, b, "10.0.0.50")}, {"new": udp_frame(loose, b, "10.0.0.60")})
    a.update(fixed_ips=[{"ip_address": "10.0.0.60"}])
    expect_frames(loose, b, {"new": udp_frame(loose, b, "10.0.0.60", 10)},
                  {"old": udp_frame(loose, b, "10.0.0.50", 10)})


def test_a_member_on_another_node_is_a_member(lab):
    """G6: all networks, all hosts. Its packets come here from a port that may use any address."""
    net, far = lab.network(**BOTH), lab.network("10.9.0.0/24")
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}", f"ingress ipv6 udp from group:{members['id']}")])
    other = lab.api.create("port", network_id=net["id"], security_groups=[members["id"]], **{"binding:host_id": "node2"})
    unbound = lab.api.create("port", network_id=far["id"], security_groups=[members["id"]])
    ips = [f["ip_address"] for p in (other, unbound) for f in p["fixed_ips"]]
    assert len(ips) == 3
    loose = lab.vm(net, port_security_enabled=False)
    expect_frames(loose, b, {ip: udp_frame(loose, b, ip) for ip in ips},
                  {"nobody": udp_frame(loose, b, "10.0.0.99"), "nobody6": udp_frame(loose, b, "fd00:1::99")})
    lab.api.delete("port", other["id"])
    expect_frames(loose, b, {"still": udp_frame(loose, b, ips[2], 10)},
                  {ip: udp_frame(loose, b, ip, 10) for ip in ips[:2]})


def test_allowed_address_pairs_of_members_are_members(lab):
    """G6: addresses and prefixes, of their family."""
    net = lab.network(**BOTH)
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}", f"ingress ipv6 udp from group:{members['id']}")])
    a = lab.vm(net, [members], allowed_address_pairs=[{"ip_address": "10.0.0.200"}, {"ip_address": "10.7.0.0/24"},
                                                      {"ip_address": "fd00:7::/64"}])
    loose = lab.vm(net, port_security_enabled=False)
    inside = ["10.0.0.200", "10.7.0.0", "10.7.0.255", "fd00:7::", "fd00:7::ffff:1"]
    outside = ["10.0.0.201", "10.6.255.255", "10.8.0.0", "fd00:7:0:1::", "fd00:6::1"]
    expect_frames(loose, b, {ip: udp_frame(loose, b, ip) for ip in inside},
                  {ip: udp_frame(loose, b, ip) for ip in outside})
    expect_frames(a, b, {"own": udp_frame(a, b, a.ip), **{ip: udp_frame(a, b, ip, 10) for ip in inside}},
                  {ip: udp_frame(a, b, ip, 10) for ip in outside})
    a.update(allowed_address_pairs=[{"ip_address": "10.7.0.0/24"}])
    expect_frames(loose, b, {ip: udp_frame(loose, b, ip, 11) for ip in inside[1:3]},
                  {ip: udp_frame(loose, b, ip, 11) for ip in (inside[0], *inside[3:])})


@VERSIONS
def test_a_member_with_any_address_does_not_make_everybody_a_member(lab, version):
    """G6, B: by address alone a pair of the whole family would open its peers to the world. The member's own address
    admits it; what it forwards for others needs a rule by prefix."""
    net = lab.network(**BOTH)
    members = lab.group()
    everything, far = ("::/0", "fd00:8::1") if version else ("0.0.0.0/0", "10.8.0.1")
    b = lab.vm(net, [lab.group(f"ingress {version}udp from group:{members['id']}")])
    a = lab.vm(net, [members], allowed_address_pairs=[{"ip_address": everything}])
    outsider = lab.vm(net, [lab.group()])
    expect_all([(a, b, f"{version}udp 80", True), (outsider, b, f"{version}udp 80", False)])
    lab.rule(b.port["security_groups"][0], f"ingress {version}tcp from {everything}")
    expect_frames(a, b, {"by prefix": frames.tcp(a, b, 1, 80, src=far)}, {"by group": frames.udp(a, b, src=far)})


def test_two_remote_groups_each_admit_exactly_what_their_rule_says(lab):
    """41."""
    net = lab.network()
    g1, g2 = lab.group(), lab.group()
    b = lab.vm(net, [lab.group(f"ingress tcp 3333 from group:{g1['id']}", f"ingress any from group:{g2['id']}")])
    a1, a2, both, none = (lab.vm(net, g) for g in ([g1], [g2], [g1, g2], [lab.group()]))
    expect_all([(a1, b, "tcp 3333", True), (a1, b, "tcp 3334", False), (a1, b, "icmp", False),
                (a2, b, "tcp 3333", True), (a2, b, "tcp 3334", True), (a2, b, "icmp", True),
                (both, b, "icmp", True), (none, b, "tcp 3333", False), (none, b, "icmp", False)])


def test_members_of_one_group_are_isolated_without_a_rule_for_themselves(lab):
    """43: base services work all the same."""
    net = lab.network(**BOTH)
    group = lab.group("ingress tcp 22")
    a, b = lab.vm(net, [group], dhcp=True), lab.vm(net, [group])
    expect(a, b, ["tcp 22"], ["icmp", "ipv6 icmp", "tcp 23"])
    lab.rule(group, f"ingress icmp from group:{group['id']}")
    expect(a, b, ["icmp"], ["ipv6 icmp"])


def test_permission_from_one_group_to_another_has_one_direction(lab):
    """44: vm0 in {sg0, sg1}; sg1 permits icmp from sg0."""
    net = lab.network()
    sg0 = lab.group()
    sg1 = lab.group(f"ingress icmp from group:{sg0['id']}")
    vm0, vm1, vm2 = lab.vm(net, [sg0, sg1]), lab.vm(net, [sg0]), lab.vm(net, [sg1])
    expect_all([(vm0, vm2, "icmp", True), (vm1, vm2, "icmp", True), (vm1, vm0, "icmp", True),
                (vm2, vm1, "icmp", False), (vm2, vm0, "icmp", False), (vm0, vm1, "icmp", False)])
    lab.rule(sg0, f"ingress tcp 22 from group:{sg0['id']}")
    flow = Flow(vm1, vm0, 22)
    lab.set_groups(vm0, sg1)
    flows(dead=[flow])
    expect_all([(vm1, vm0, "icmp", True), (vm1, vm0, "tcp 22", False), (vm0, vm2, "icmp", False)])


@VERSIONS
def test_egress_to_a_remote_group_reaches_its_members_only(lab, version):
    v = version
    net = lab.network(**BOTH)
    members = lab.group(f"ingress {v}any")
    open_ = lab.group(f"ingress {v}any")
    a = lab.vm(net, [lab.group(f"egress {v}tcp to group:{members['id']}", egress=False)])
    b, c = lab.vm(net, [members]), lab.vm(net, [open_])
    expect_all([(a, b, f"{v}tcp 80", True), (a, b, f"{v}udp 80", False), (a, c, f"{v}tcp 80", False)])
    lab.set_groups(c, members)
    lab.set_groups(b, open_)
    expect_all([(a, c, f"{v}tcp 80", True), (a, b, f"{v}tcp 80", False)])


def test_a_rule_for_ipv4_does_not_admit_the_ipv6_addresses_of_members(lab):
    """14."""
    net = lab.network(**BOTH)
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress tcp from group:{members['id']}")])
    a = lab.vm(net, [members])
    expect(a, b, ["tcp 80"], ["ipv6 tcp 80"])


def test_a_remote_group_of_many_members_admits_each_and_nobody_else(lab):
    """Sets are not expanded into rules; 1,000 members, in one request."""
    net = lab.network("10.0.0.0/20")
    members = lab.group()
    b = lab.vm(net, [lab.group(f"ingress udp from group:{members['id']}")])
    bodies = [{"network_id": net["id"], "security_groups": [members["id"]],
               "fixed_ips": [{"ip_address": f"10.0.{i // 250 + 1}.{i % 250 + 1}"}]} for i in range(1000)]
    ports = lab.api.request("POST", "/v2.0/ports", {"ports": bodies})["ports"]
    loose = lab.vm(net, port_security_enabled=False)
    ips = [p["fixed_ips"][0]["ip_address"] for p in ports]
    expect_frames(loose, b, {ip: udp_frame(loose, b, ip) for ip in (ips[0], ips[499], ips[999])},
                  {ip: udp_frame(loose, b, ip) for ip in ("10.0.1.0", "10.0.1.251", "10.0.4.251", "10.0.5.1")})
    for p in ports[:3]:
        lab.api.delete("port", p["id"])
    expect_frames(loose, b, {ips[3]: udp_frame(loose, b, ips[3], 10)},
                  {ip: udp_frame(loose, b, ip, 10) for ip in ips[:3]})


def test_a_remote_group_that_is_deleted_takes_its_permission_along(lab):
    """Neutron deletes the rules that refer to it."""
    net = lab.network()
    members = lab.group()
    group = lab.group(f"ingress tcp 80 from group:{members['id']}", "ingress tcp 81")
    a, b = lab.vm(net, [members]), lab.vm(net, [group])
    expect(a, b, ["tcp 80", "tcp 81"])
    with pytest.raises(ApiError) as e:
        lab.api.delete("security_group", members["id"])
    assert e.value.status == 409
    lab.set_groups(a, lab.group())
    lab.api.delete("security_group", members["id"])
    assert group["rules"][0]["id"] not in [r["id"] for r in lab.api.list("security_group_rule")]
    expect(a, b, ["tcp 81"], ["tcp 80"])


# ---- Address groups ----

@VERSIONS
def test_an_address_group_admits_its_addresses_and_follows_their_changes(lab, version):
    """Members come and go without a change of the rule; flows of those that go are cut."""
    v = version
    n, bits = (6, 128) if v else (4, 32)
    net = lab.network(**BOTH)
    a, c = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group()])
    ip = {x: f"{x.ip6 if v else x.ip}/{bits}" for x in (a, c)}
    ag = lab.api.create("address_group", name="ag", addresses=[ip[a]])
    b = lab.vm(net, [lab.group(f"ingress {v}tcp from address-group:{ag['id']}")])
    expect_all([(a, b, f"{v}tcp 80", True), (a, b, f"{v}udp 80", False), (c, b, f"{v}tcp 80", False)])
    change = {"addresses": [ip[c]]}
    lab.api.request("PUT", f"/v2.0/address-groups/{ag['id']}/add_addresses", change)
    stays, cut = Flow(a, b, 81, "tcp", n), Flow(c, b, 81, "tcp", n)
    lab.api.request("PUT", f"/v2.0/address-groups/{ag['id']}/remove_addresses", change)
    flows(alive=[stays], dead=[cut], only="server")
    flows(alive=[stays], dead=[cut])
    lab.api.request("PUT", f"/v2.0/address-groups/{ag['id']}/add_addresses", change)
    flows(alive=[stays, cut])


def test_an_address_group_has_prefixes_of_both_families(lab):
    """Each rule takes those of its own family."""
    net = lab.network(**BOTH)
    ag = lab.api.create("address_group", name="ag", addresses=["10.5.0.0/16", "10.0.0.77/32", "fd00:5::/32"])
    b = lab.vm(net, [lab.group(f"ingress udp 9 from address-group:{ag['id']}",
                               f"ingress ipv6 udp 10 from address-group:{ag['id']}")])
    loose = lab.vm(net, port_security_enabled=False)
    expect_frames(loose, b, {ip: udp_frame(loose, b, ip, port) for ip, port in
                             (("10.5.0.0", 9), ("10.5.255.255", 9), ("10.0.0.77", 9), ("fd00:5:ffff::1", 10))},
                  {ip: udp_frame(loose, b, ip, port) for ip, port in
                   (("10.4.255.255", 9), ("10.6.0.0", 9), ("10.0.0.78", 9), ("fd00:5::1", 9), ("fd00:6::", 10))})


def test_overlapping_members_are_each_counted(lab):
    """An address that several prefixes, groups and members give stays until the last of them goes."""
    net = lab.network()
    a = lab.vm(net, [lab.group()])
    ag = lab.api.create("address_group", name="ag", addresses=["10.0.0.0/24", "10.0.0.0/28", f"{a.ip}/32"])
    b = lab.vm(net, [lab.group(f"ingress tcp from address-group:{ag['id']}", "ingress udp 9")])
    flow = Flow(a, b, 80)
    remove = f"/v2.0/address-groups/{ag['id']}/remove_addresses"
    lab.api.request("PUT", remove, {"addresses": ["10.0.0.0/24"]})
    flows(alive=[flow])
    lab.api.request("PUT", remove, {"addresses": [f"{a.ip}/32"]})
    flows(alive=[flow])
    udp = Flow(a, b, 9, "udp")
    lab.api.request("PUT", remove, {"addresses": ["10.0.0.0/28"]})
    flows(alive=[udp], dead=[flow])


def test_an_address_group_in_use_cannot_be_deleted(lab):
    net = lab.network()
    a = lab.vm(net, [lab.group()])
    ag = lab.api.create("address_group", name="ag", addresses=[f"{a.ip}/32"])
    group = lab.group(f"ingress tcp from address-group:{ag['id']}")
    b = lab.vm(net, [group])
    with pytest.raises(ApiError) as e:
        lab.api.delete("address_group", ag["id"])
    assert e.value.status == 409
    expect(a, b, ["tcp 80"], ["udp 80"])
