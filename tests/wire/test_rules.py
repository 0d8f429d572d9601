# SPDX-License-Identifier: Apache-2.0
"""What rules permit: protocols, ports, types, prefixes, families. Numbers are those of the case list in the issue's
reference; every test shows something that passes beside what does not."""
import pytest

import frames
from lab import ApiError
from probe import expect, expect_all, expect_frames
from vm import YES


def two(lab, ingress=(), egress=True, cidr6="fd00:1::/64", extra=()):
    """A sender that may send anything, and a receiver with these rules."""
    net = lab.network("10.0.0.0/24", cidr6)
    return lab.vm(net, [lab.group()]), lab.vm(net, [lab.group(*ingress, egress=egress), *extra])


def test_a_vm_without_groups_has_arp_and_dhcp_and_nothing_else(lab):
    """19. Neither as sender nor as receiver."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    bare = lab.vm(net, [], dhcp=True)
    open_ = lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])
    other = lab.vm(net, [lab.group()])
    assert bare.lease()["ip"] == bare.ip
    expect_all([(bare, open_, "icmp", False), (bare, open_, "ipv6 icmp", False), (bare, open_, "tcp 80", False),
                (open_, bare, "icmp", False), (open_, bare, "ipv6 udp 53", False), (other, open_, "tcp 80", True)])
    assert open_.netns.ip("neigh", "show", bare.ip).split()[-1] != "FAILED"


def test_removing_the_last_group_of_a_live_vm_stops_ping_and_its_return_brings_it_back(lab):
    """19, 25."""
    group = lab.group("ingress icmp")
    net = lab.network()
    a, b = lab.vm(net, [group]), lab.vm(net, [group])
    c = lab.vm(net, [group])
    expect(a, b, ["icmp"])
    lab.set_groups(b)
    expect_all([(a, b, "icmp", False), (b, a, "icmp", False), (a, c, "icmp", True)])
    lab.set_groups(b, group)
    expect(a, b, ["icmp"])


def test_an_ingress_tcp_rule_opens_all_tcp_ports_and_nothing_else(lab):
    """2."""
    a, b = two(lab, ["ingress tcp"])
    expect(a, b, ["tcp 1", "tcp 22", "tcp 65535"], ["udp 22", "icmp", "ipv6 tcp 22"])


def test_an_ingress_udp_rule_opens_all_udp_ports_and_nothing_else(lab):
    """3."""
    a, b = two(lab, ["ingress udp"])
    expect(a, b, ["udp 1", "udp 65535"], ["tcp 22", "icmp", "ipv6 udp 22"])


def test_an_ingress_rule_lets_nothing_out(lab):
    """2. The receiver opens no connection of its own; its replies pass."""
    net = lab.network()
    a = lab.vm(net, [lab.group("ingress any")])
    b = lab.vm(net, [lab.group("ingress tcp", egress=False)])
    expect_all([(a, b, "tcp 80", True), (b, a, "tcp 80", False), (b, a, "icmp", False)])


@pytest.mark.parametrize("version", ["", "ipv6 "], ids=["ipv4", "ipv6"])
def test_egress_tcp_only_lets_only_tcp_out_and_nothing_in(lab, version):
    """4."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a = lab.vm(net, [lab.group(f"egress {version}tcp", egress=False)])
    b = lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])
    expect_all([(a, b, f"{version}tcp 80", True), (a, b, f"{version}udp 80", False),
                (a, b, f"{version}icmp", False), (b, a, f"{version}tcp 80", False)])


@pytest.mark.parametrize("version", ["", "ipv6 "], ids=["ipv4", "ipv6"])
def test_egress_udp_only_lets_only_udp_out_and_nothing_in(lab, version):
    """5."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a = lab.vm(net, [lab.group(f"egress {version}udp", egress=False)])
    b = lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])
    expect_all([(a, b, f"{version}udp 80", True), (a, b, f"{version}tcp 80", False),
                (a, b, f"{version}icmp", False), (b, a, f"{version}udp 80", False)])


def test_egress_rules_have_ports_and_prefixes_of_the_destination(lab):
    """4, 13, 16."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    b, c = (lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")]) for _ in range(2))
    a = lab.vm(net, [lab.group(f"egress tcp 80 to {b.ip}/32", f"egress ipv6 udp 53 to {c.ip6}/128", egress=False)])
    expect_all([(a, b, "tcp 80", True), (a, b, "tcp 81", False), (a, c, "tcp 80", False),
                (a, c, "ipv6 udp 53", True), (a, b, "ipv6 udp 53", False), (a, c, "ipv6 udp 54", False)])


@pytest.mark.parametrize("proto", ["tcp", "udp", "ipv6 tcp", "ipv6 udp"])
def test_a_port_range_has_both_its_ends_and_not_their_neighbours(lab, proto):
    """6."""
    a, b = two(lab, [f"ingress {proto} 12345-12346"])
    expect(a, b, [f"{proto} 12345", f"{proto} 12346"], [f"{proto} 12344", f"{proto} 12347"])


def test_overlapping_and_adjacent_ranges_are_a_union(lab):
    a, b = two(lab, ["ingress tcp 100-200", "ingress tcp 150-300", "ingress tcp 301-302", "ingress tcp 65535"])
    expect(a, b, [f"tcp {p}" for p in (100, 150, 200, 201, 300, 301, 302, 65535)],
           [f"tcp {p}" for p in (99, 303, 65534)])


def test_ports_from_one_to_65535_are_all_ports(lab):
    """G4: canonicalised to none; the ends are open."""
    a, b = two(lab, ["ingress udp 1-65535"])
    expect(a, b, ["udp 1", "udp 65535"], ["tcp 1"])


def test_protocols_by_number_are_those_by_name(lab):
    """9, 10: "6" with a port opens that port only."""
    a, b = two(lab, ["ingress 6 22", "ingress 17 53", "ingress 1", "ingress ipv6 58"])
    expect(a, b, ["tcp 22", "udp 53", "icmp", "ipv6 icmp"], ["tcp 23", "udp 54", "ip 47", "ipv6 tcp 22"])


@pytest.mark.parametrize("name", ["sctp", "132"])
def test_sctp_has_ports(lab, name):
    """9."""
    a, b = two(lab, [f"ingress {name} 3366", f"ingress ipv6 {name} 3366"])
    expect(a, b, ["sctp 3366", "ipv6 sctp 3366"], ["sctp 3367", "ipv6 sctp 3365", "udp 3366", "tcp 3366"])


@pytest.mark.parametrize("rule,number", [("47", 47), ("gre", 47), ("112", 112), ("vrrp", 112), ("esp", 50), ("253", 253)])
def test_a_rule_for_another_protocol_passes_that_protocol_only(lab, rule, number):
    """12."""
    a, b = two(lab, [f"ingress {rule}", f"ingress ipv6 {rule}"])
    expect(a, b, [f"ip {number}", f"ipv6 ip {number}"], ["ip 99", "ipv6 ip 99", "tcp 80", "icmp", "ipv6 icmp"])


def test_an_any_rule_covers_every_protocol_of_its_family(lab):
    """14, 15: also protocols that nobody has a name for, IPv6 too."""
    a, b = two(lab, ["ingress any"])
    expect(a, b, ["tcp 80", "udp 80", "icmp", "ip 47", "ip 253", "sctp 9"],
           ["ipv6 tcp 80", "ipv6 icmp", "ipv6 ip 47"])
    c, d = two(lab, ["ingress ipv6 any"])
    expect(c, d, ["ipv6 tcp 80", "ipv6 udp 80", "ipv6 icmp", "ipv6 ip 47", "ipv6 ip 253"],
           ["tcp 80", "icmp", "ip 47"])


def test_protocol_ip_is_any(lab):
    """G3: 'ip' and 0 are every protocol, as with Neutron's iptables driver."""
    a, b = two(lab, ["ingress ip"])
    expect(a, b, ["tcp 80", "udp 80", "icmp", "ip 47"], ["ipv6 tcp 80"])


def test_an_icmp_rule_has_type_and_code(lab):
    """A8 of the reference: the learn driver admits every type."""
    a, b = two(lab, ["ingress icmp 13/0", "ingress icmp 42"])
    expect(a, b, ["icmp 13/0", "icmp 42/0", "icmp 42/7"], ["icmp", "icmp 13/1", "icmp 15/0", "ipv6 icmp"])


def test_icmp_type_zero_and_code_zero_are_values_and_not_absence(lab):
    """G4: a truthiness trap."""
    a, b = two(lab, ["ingress icmp 0/0", "ingress udp 9"])
    expect(a, b, ["icmp 0/0", "udp 9"], ["icmp 8/0", "icmp", "icmp 13/0"])


def test_an_icmpv6_echo_rule_admits_echo_and_its_reply(lab):
    """A6 of the reference: type 128 learned backwards never admits 129."""
    a, b = two(lab, ["ingress ipv6 icmp 128"])
    expect(a, b, ["ipv6 icmp"], ["ipv6 icmp 200/0", "icmp"])


@pytest.mark.parametrize("spelling", ["icmp", "icmpv6", "ipv6-icmp", "58", "1"])
def test_every_spelling_of_icmpv6_opens_icmpv6(lab, spelling):
    """G3."""
    a, b = two(lab, [f"ingress ipv6 {spelling}"])
    expect(a, b, ["ipv6 icmp"], ["icmp", "ipv6 tcp 80"])


def test_a_remote_prefix_is_matched_on_the_source(lab):
    """13."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, c = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group()])
    b = lab.vm(net, [lab.group(f"ingress tcp 80 from {a.ip}/32", "ingress tcp 81 from 10.0.0.0/24",
                               "ingress tcp 82 from 10.9.0.0/24", "ingress tcp 83 from 0.0.0.0/0",
                               f"ingress ipv6 tcp 80 from {a.ip6}/128", "ingress ipv6 tcp 81 from fd00:1::/64",
                               "ingress ipv6 tcp 82 from fd00:2::/64", "ingress ipv6 tcp 83 from ::/0")])
    lines = []
    for v in ("", "ipv6 "):
        lines += [(a, b, f"{v}tcp 80", True), (c, b, f"{v}tcp 80", False), (c, b, f"{v}tcp 81", True),
                  (a, b, f"{v}tcp 82", False), (c, b, f"{v}tcp 83", True)]
    expect_all(lines)


def test_a_prefix_with_host_bits_is_the_network_around_it(lab):
    """13: 10.0.0.5/24 is 10.0.0.0/24."""
    a, b = two(lab, ["ingress tcp 80 from 10.0.0.55/24", "ingress tcp 81 from 10.0.1.55/24",
                     "ingress ipv6 tcp 80 from fd00:1::55/64"])
    expect(a, b, ["tcp 80", "ipv6 tcp 80"], ["tcp 81", "ipv6 tcp 81"])


def test_ipv6_rules_for_one_address_are_for_one_address(lab):
    """15, 16."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, c = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group()])
    b = lab.vm(net, [lab.group(f"ingress ipv6 icmp from {a.ip6}/128", f"ingress ipv6 udp 53 from {c.ip6}/128")])
    expect_all([(a, b, "ipv6 icmp", True), (c, b, "ipv6 icmp", False), (a, b, "ipv6 tcp 80", False),
                (c, b, "ipv6 udp 53", True), (a, b, "ipv6 udp 53", False)])


def test_rules_of_several_groups_are_a_union(lab):
    """G2. And a group that goes takes only its own."""
    net = lab.network()
    one, two_ = lab.group("ingress tcp 80"), lab.group("ingress tcp 81", "ingress udp 80")
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [one, two_])
    expect(a, b, ["tcp 80", "tcp 81", "udp 80"], ["tcp 82", "udp 81"])
    lab.set_groups(b, two_)
    expect(a, b, ["tcp 81", "udp 80"], ["tcp 80"])


def test_a_rule_that_two_groups_have_stays_when_one_goes(lab):
    """G2."""
    net = lab.network()
    one, two_ = lab.group("ingress tcp 80"), lab.group("ingress tcp 80-81")
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [one, two_])
    client, server = a.tcp_pair(b, 80)
    lab.api.delete("security_group_rule", two_["rules"][0]["id"])
    expect(a, b, ["tcp 80"], ["tcp 81"])
    client.send(b"still")
    server.settimeout(YES)
    assert server.recv(5) == b"still"


def test_rules_hold_on_ports_of_several_networks(lab):
    """A group is shared by ports; each has its own network."""
    group = lab.group("ingress tcp 80")
    ends = []
    for cidr in ("10.1.0.0/24", "10.2.0.0/24"):
        net = lab.network(cidr)
        ends.append((lab.vm(net, [group]), lab.vm(net, [group])))
    expect_all([line for a, b in ends for line in ((a, b, "tcp 80", True), (a, b, "tcp 81", False))])
    lab.rule(group, "ingress tcp 81")
    expect_all([(a, b, "tcp 81", True) for a, b in ends])


def test_many_rules_are_matched_exactly(lab):
    """1,000 rules, every second port: no rule widens its neighbour."""
    net = lab.network()
    group = lab.group()
    rules = [{"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
              "port_range_min": p, "port_range_max": p} for p in range(10000, 12000, 2)]
    lab.api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": rules})
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [group])
    expect(a, b, [f"tcp {p}" for p in (10000, 10998, 11000, 11998)],
           [f"tcp {p}" for p in (9999, 10001, 10999, 11001, 11999, 12000)])


def test_the_default_group_lets_its_members_talk_and_keeps_outsiders_out(lab):
    """17."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net), lab.vm(net)
    outsider = lab.vm(net, [lab.group()])
    expect_all([(a, b, t, True) for t in ("tcp 80", "udp 80", "icmp", "ip 47", "ipv6 tcp 80", "ipv6 icmp")] +
               [(outsider, b, t, False) for t in ("tcp 80", "udp 80", "icmp", "ipv6 tcp 80", "ipv6 icmp")])
    rule = lab.rule(b.port["security_groups"][0], "ingress tcp 22")
    expect(outsider, b, ["tcp 22"], ["icmp", "tcp 23"])
    lab.api.delete("security_group_rule", rule["id"])


def test_two_projects_have_default_groups_of_their_own(lab):
    """17: the group of the same name of another project is another group."""
    net = lab.network(shared=True)
    ends = []
    for project in ("red", "blue"):
        group = lab.api.as_project(project).list("security_group", name="default")[0]
        ends.append([lab.vm(net, [group], project_id=project) for _ in range(2)])
    (a, b), (c, d) = ends
    expect_all([(a, b, "icmp", True), (c, d, "icmp", True), (a, c, "icmp", False), (d, b, "icmp", False)])


def test_ingress_and_egress_rules_both_have_to_permit(lab):
    """G16: at both ends, also on one subnet of one node."""
    net = lab.network()
    a = lab.vm(net, [lab.group("egress tcp 80-81", egress=False)])
    b = lab.vm(net, [lab.group("ingress tcp 81-82")])
    expect(a, b, ["tcp 81"], ["tcp 80", "tcp 82"])


def test_ipv6_extension_headers_do_not_hide_the_protocol(lab):
    """G15: hop-by-hop, routing and destination options before TCP, UDP."""
    from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
    a, b = two(lab, ["ingress ipv6 udp 53"])

    def frame(*headers):
        p = frames.ip(a, b, version=6)
        for h in headers:
            p /= h
        return p

    options = (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt())
    expect_frames(a, b, {"plain": frame(frames.UDP(sport=1, dport=53) / b"1"),
                         "options": frame(*options, frames.UDP(sport=2, dport=53) / b"2"),
                         "routing": frame(IPv6ExtHdrRouting(segleft=0), frames.UDP(sport=3, dport=53) / b"3")},
                  {"other port": frame(*options, frames.UDP(sport=4, dport=54) / b"4"),
                   "tcp": frame(*options, frames.TCP(sport=5, dport=53) / b"5")})


def test_the_api_refuses_rules_that_mean_nothing_and_the_packets_stay_as_they_were(lab):
    """20, 21: status codes of Neutron; a refused change changes nothing."""
    a, b = two(lab, ["ingress tcp 80"])
    group = b.port["security_groups"][0]
    bad = [("ingress gre 80", {}, 400), ("ingress tcp 90-80", {}, 400), ("ingress tcp 0-80", {}, 400),
           ("ingress ipv6-icmp", {}, 400), ("ingress icmp", {"port_range_max": 3}, 400),
           ("ingress icmp 300", {}, 400), ("ingress tcp 70000", {}, 400), ("ingress nonsense", {}, 400),
           ("ingress tcp", {"port_range_min": 80}, 400), ("ingress tcp from fd00::/64", {}, 400),
           ("ingress tcp 80", {}, 409), ("ingress 6 80 from 0.0.0.0/0", {}, 409)]
    for text, attrs, status in bad:
        with pytest.raises(ApiError) as e:
            lab.rule(group, text, **attrs)
        assert e.value.status == status, f"{text}: {e.value}"
    with pytest.raises(ApiError) as e:
        lab.api.delete("security_group", group)
    assert (e.value.status, e.value.type) == (409, "SecurityGroupInUse")
    default = lab.api.list("security_group", name="default")[0]
    with pytest.raises(ApiError) as e:
        lab.api.update("security_group", default["id"], name="other")
    assert e.value.status == 409
    expect(a, b, ["tcp 80"], ["tcp 81", "udp 80", "icmp"])
