# SPDX-License-Identifier: Apache-2.0
"""A VM sends only as itself: addresses, ARP, ND, roles; allowed address pairs widen it, port security off ends it.
Numbers are those of the case list in the issue's reference."""
import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Advertise
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6MLQuery, ICMPv6ND_RA, ICMPv6ND_Redirect, IPv6
from scapy.layers.l2 import ARP, LLC, Dot1Q, Ether

import frames
from lab import ApiError
from probe import Flow, expect, expect_all, expect_frames, flows

OTHER_MAC = "fa:16:3e:00:00:99"


def nets(lab, **attrs):
    """A network, a VM with these attributes and one that everything may reach."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    return lab.vm(net, [lab.group()], **attrs), lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])


def lla(mac):
    """The link-local address that a VM with this MAC gives itself (RFC 4291)."""
    b = [int(x, 16) for x in mac.split(":")]
    return f"fe80::{b[0] ^ 2:02x}{b[1]:02x}:{b[2]:02x}ff:fe{b[3]:02x}:{b[4]:02x}{b[5]:02x}"


def test_a_vm_that_changes_its_mac_is_cut_off_and_back_when_it_takes_its_own_again(lab):
    """47: out and in, ARP too."""
    a, b = nets(lab)
    c = lab.vm(a.net, [lab.group("ingress any")])
    expect(a, b, ["icmp"])
    a.set_mac(OTHER_MAC)
    expect_all([(a, b, "icmp", False), (a, b, "ipv6 icmp", False), (c, b, "icmp", True)])
    assert a.drops("spoofed-mac") > 0
    a.set_mac(a.mac)
    expect(a, b, ["icmp", "ipv6 icmp"])


def test_a_vm_that_changes_its_address_is_cut_off(lab):
    """48."""
    a, b = nets(lab)
    expect(a, b, ["icmp"])
    a.netns.ip("addr", "flush", "dev", "eth0")
    a.add_ip("10.0.0.99/24")
    a.add_ip("fd00:1::99/64")
    c = lab.vm(a.net, [lab.group()])
    expect_all([(a, b, "icmp", False), (a, b, "ipv6 icmp", False), (c, b, "icmp", True)])


def test_frames_with_foreign_source_addresses_are_dropped_and_counted(lab):
    """47, 48; G9."""
    a, b = nets(lab)
    c = lab.vm(a.net, [])
    expect_frames(a, b, {"own": frames.udp(a, b), "own6": frames.udp(a, b, version=6),
                         "link-local": frames.udp(a, b, src=lla(a.mac))},
                  {"other MAC": frames.udp(a, b, mac=OTHER_MAC), "peer's MAC": frames.udp(a, b, mac=c.mac),
                   "receiver's MAC": frames.udp(a, b, mac=b.mac), "group MAC": frames.udp(a, b, mac="01:00:5e:00:00:01"),
                   "other IP": frames.udp(a, b, src="10.0.0.99"), "peer's IP": frames.udp(a, b, src=c.ip),
                   "loopback": frames.udp(a, b, src="127.0.0.1"), "broadcast": frames.udp(a, b, src="255.255.255.255"),
                   "no address": frames.udp(a, b, src="0.0.0.0"), "outside": frames.udp(a, b, src="192.0.2.1"),
                   "other IPv6": frames.udp(a, b, src="fd00:1::99"), "peer's IPv6": frames.udp(a, b, src=c.ip6),
                   "other link-local": frames.udp(a, b, src="fe80::99"), "unspecified": frames.udp(a, b, src="::"),
                   "loopback6": frames.udp(a, b, src="::1"), "mapped": frames.udp(a, b, src=f"::ffff:{a.ip}")})
    drops = a.show()["drops"]
    assert drops["spoofed-mac"] == 4 and drops["spoofed-ip"] == 12


def test_dhcp_from_no_address_passes_for_no_other_protocol(lab):
    """G8; the learn driver let every protocol through with source 0.0.0.0."""
    a, b = nets(lab)
    loose = lab.vm(a.net, port_security_enabled=False)
    b.update(security_groups=[], port_security_enabled=False)
    head = {"src": "0.0.0.0", "dst": "255.255.255.255", "to_mac": frames.BROADCAST}
    expect_frames(a, [b, loose], {"broadcast": frames.udp(a, b, dst="255.255.255.255", to_mac=frames.BROADCAST)},
                  {"udp": frames.udp(a, b, 68, 69, **head), "from port 67": frames.udp(a, b, 67, 67, **head),
                   "tcp": frames.tcp(a, b, 68, 67, **head), "icmp": frames.echo(a, b, **head),
                   "unicast": frames.udp(a, b, 68, 67, src="0.0.0.0")})


def test_arp_tells_only_the_vms_own_addresses(lab):
    """G9: requests, replies and announcements with a foreign sender address or MAC."""
    a, b = nets(lab)
    c = lab.vm(a.net, [])
    expect_frames(a, b, {"announcement": frames.arp(a, a.ip, op=2), "gratuitous": frames.arp(a, a.ip),
                         "reply": frames.arp(a, b.ip, op=2, to_mac=b.mac, tha=b.mac)},
                  {"foreign announcement": frames.arp(a, c.ip, c.ip, op=2),
                   "foreign gratuitous": frames.arp(a, c.ip, c.ip),
                   "foreign reply": frames.arp(a, b.ip, c.ip, op=2, to_mac=b.mac, tha=b.mac),
                   "gateway": frames.arp(a, b.ip, "10.0.0.1", op=2, to_mac=b.mac, tha=b.mac),
                   "foreign sender MAC": frames.arp(a, a.ip, op=2, sha=c.mac),
                   "foreign frame MAC": frames.arp(a, a.ip, op=2, mac=c.mac, sha=a.mac),
                   "request of another": frames.arp(a, b.ip, c.ip)})
    assert a.drops("spoofed-arp") == 6 and a.drops("spoofed-mac") == 1


def test_neighbour_advertisements_are_for_the_vms_own_addresses(lab):
    """G8, G9."""
    a, b = nets(lab)
    c = lab.vm(a.net, [])
    everybody = {"dst": "ff02::1", "to_mac": "33:33:00:00:00:01"}
    expect_frames(a, b, {"own": frames.na(a, b, a.ip6), "own link-local": frames.na(a, b, lla(a.mac), lla(a.mac)),
                         "unsolicited": frames.na(a, b, a.ip6, O=1, **everybody)},
                  {"peer's": frames.na(a, b, c.ip6), "gateway's": frames.na(a, b, "fd00:1::", R=1),
                   "other link-local": frames.na(a, b, "fe80::1"), "multicast": frames.na(a, b, "ff02::1"),
                   "foreign source": frames.na(a, b, a.ip6, c.ip6), "peer's to all": frames.na(a, b, c.ip6, O=1, **everybody)})
    assert a.drops("spoofed-nd") == 5 and a.drops("spoofed-ip") == 1


def test_a_vm_is_no_router_and_no_dhcp_server(lab):
    """53, 54: RA, DHCPv4 and DHCPv6 answers, also behind extension headers; the client's messages reach no VM."""
    from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
    a, b = nets(lab)
    everything = lab.group("egress any", "egress ipv6 any", egress=False)
    lab.set_groups(a, everything)
    source = lla(a.mac)
    all_nodes = {"dst": "ff02::1", "to_mac": "33:33:00:00:00:01", "src": source, "hlim": 255}
    offer = BOOTP(op=2, yiaddr=b.ip, chaddr=bytes.fromhex(b.mac.replace(":", ""))) / DHCP(
        options=[("message-type", "offer"), "end"])
    expect_frames(a, b, {"udp": frames.udp(a, b, 67, 69), "udp6": frames.udp(a, b, 547, 548, version=6)},
                  {"offer": frames.ip(a, b) / UDP(sport=67, dport=68) / offer,
                   "broadcast offer": frames.ip(a, b, dst="255.255.255.255", to_mac=frames.BROADCAST) /
                   UDP(sport=67, dport=68) / offer,
                   "DHCPv6": frames.ip(a, b, src=source) / UDP(sport=547, dport=546) / DHCP6_Advertise(),
                   "RA": frames.ip(a, b, **all_nodes) / ICMPv6ND_RA(),
                   "RA to one": frames.ip(a, b, src=source, hlim=255) / ICMPv6ND_RA(),
                   "RA behind options": frames.ip(a, b, **all_nodes) / IPv6ExtHdrDestOpt() / ICMPv6ND_RA(),
                   "RA in a fragment": frames.ip(a, b, **all_nodes) / IPv6ExtHdrFragment(m=1, nh=58) / ICMPv6ND_RA(),
                   "DHCP question": frames.ip(a, b, dst="255.255.255.255", to_mac=frames.BROADCAST, src="0.0.0.0") /
                   UDP(sport=68, dport=67) / BOOTP(chaddr=bytes(6)) / DHCP(options=[("message-type", "discover"), "end"])})
    drops = a.show()["drops"]
    assert drops["dhcp-server"] == 3 and drops["router-advertisement"] == 3


def test_a_trusted_port_may_be_router_and_dhcp_server(lab):
    """54, 57, G12: network:* ports; what they say reaches VMs that have no rule for it."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    router = lab.vm(net, device_owner="network:router_interface_distributed")
    vm = lab.vm(net, [])
    other = lab.vm(net, [])
    assert router.port["port_security_enabled"] is False and router.port["security_groups"] == []
    source = lla(router.mac)
    offer = frames.ip(router, vm) / UDP(sport=67, dport=68) / BOOTP(op=2, yiaddr=vm.ip) / DHCP(
        options=[("message-type", "offer"), "end"])
    expect_frames(router, vm, {
        "RA": frames.ip(router, vm, src=source, dst="ff02::1", to_mac="33:33:00:00:00:01", hlim=255) / ICMPv6ND_RA(),
        "offer": offer, "MLD query": frames.ip(router, vm, src=source, dst="ff02::1", to_mac="33:33:00:00:00:01", hlim=1) /
        ICMPv6MLQuery()}, {"udp": frames.udp(router, vm), "echo": frames.echo(router, vm)})
    lab.set_groups(other, lab.group("ingress udp"))
    expect_frames(router, other, {"routed": frames.udp(router, other, src="192.0.2.77")},
                  {"tcp": frames.tcp(router, other, 1, 1, src="192.0.2.77")})


def test_redirects_are_a_matter_of_rules(lab):
    """G9: ICMPv6 redirect is not special."""
    a, b = nets(lab)
    c = lab.vm(a.net, [lab.group("ingress ipv6 udp")])
    redirect = frames.ip(a, b, version=6, hlim=255) / ICMPv6ND_Redirect(tgt=c.ip6, dst="fd00:9::1")
    expect_frames(a, b, {"redirect": redirect})
    expect_frames(a, c, {"udp": frames.udp(a, c, version=6)},
                  {"redirect": frames.ip(a, c, version=6, hlim=255) / ICMPv6ND_Redirect(tgt=b.ip6, dst="fd00:9::1")})


def test_other_ether_types_and_tags_pass_only_without_port_security(lab):
    """60."""
    a, b = nets(lab)
    head = Ether(src=a.mac, dst=b.mac)
    odd = {name: Ether(src=a.mac, dst=b.mac, type=kind) / (b"x" * 50)
           for name, kind in (("LLDP", 0x88cc), ("MPLS", 0x8847), ("PPPoE", 0x8863))}
    odd["802.3"] = Ether(src=a.mac, dst=b.mac, type=50) / LLC(dsap=0x42, ssap=0x42) / (b"x" * 47)
    tagged = {"VLAN": head / Dot1Q(vlan=5) / frames.udp(a, b)[frames.IP],
              "QinQ": Ether(src=a.mac, dst=b.mac, type=0x88a8) / Dot1Q(vlan=5) / frames.udp(a, b)[frames.IP]}
    expect_frames(a, b, {"udp": frames.udp(a, b)}, {**odd, **tagged})
    assert a.drops("ethertype") == 4 and a.drops("vlan-tagged") == 2
    for vm in (a, b):
        vm.update(security_groups=[], port_security_enabled=False)
    expect_frames(a, b, odd, tagged)


def test_allowed_address_pairs_permit_exactly_their_combinations(lab):
    """49: (allowed MAC, allowed IP) passes, either wrong does not."""
    pair_mac = "fa:16:3e:11:22:33"
    a, b = nets(lab, allowed_address_pairs=[{"ip_address": "10.0.0.200"}, {"ip_address": "fd00:1::200"},
                                            {"ip_address": "10.0.0.201", "mac_address": pair_mac}])
    expect_frames(a, b, {"own": frames.udp(a, b), "pair IP": frames.udp(a, b, src="10.0.0.200"),
                         "pair IPv6": frames.udp(a, b, src="fd00:1::200"),
                         "pair MAC and IP": frames.udp(a, b, src="10.0.0.201", mac=pair_mac),
                         "ARP": frames.arp(a, "10.0.0.200", "10.0.0.200", op=2),
                         "ARP with pair MAC": frames.arp(a, "10.0.0.201", "10.0.0.201", op=2, mac=pair_mac),
                         "NA": frames.na(a, b, "fd00:1::200", "fd00:1::200")},
                  {"pair MAC, own IP": frames.udp(a, b, mac=pair_mac),
                   "own MAC, IP of the pair's MAC": frames.udp(a, b, src="10.0.0.201"),
                   "pair MAC, other pair's IP": frames.udp(a, b, src="10.0.0.200", mac=pair_mac),
                   "neither": frames.udp(a, b, src="10.0.0.202", mac="fa:16:3e:11:22:34"),
                   "ARP mixed": frames.arp(a, a.ip, op=2, mac=pair_mac)})


def test_what_is_sent_to_an_allowed_pairs_mac_and_address_is_delivered(lab):
    """G10, 75."""
    pair_mac = "fa:16:3e:11:22:33"
    a, b = nets(lab)
    a.update(allowed_address_pairs=[{"ip_address": "10.0.0.200"}, {"ip_address": "10.0.0.201", "mac_address": pair_mac}])
    lab.set_groups(a, lab.group("ingress icmp", "ingress udp"))
    a.add_ip("10.0.0.200/24")
    assert b.ping("10.0.0.200")
    expect_frames(b, a, {"to the pair's MAC": frames.udp(b, a, dst="10.0.0.201", to_mac=pair_mac)},
                  {"to a MAC nobody has": frames.udp(b, a, dst="10.0.0.201", to_mac=OTHER_MAC)})
    a.update(allowed_address_pairs=[])
    assert not b.ping("10.0.0.200", expect=False)
    assert b.ping(a.ip)


def test_a_pair_of_the_subnets_prefix_leaves_connectivity_as_it_is(lab):
    """50: nobody's traffic is taken away by a VM that may have every address."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group("ingress any", "ingress ipv6 any")
    pairs = [{"ip_address": "10.0.0.0/24"}, {"ip_address": "fd00:1::/64"}]
    a, b = lab.vm(net, [group], allowed_address_pairs=pairs), lab.vm(net, [group])
    c = lab.vm(net, [group])
    expect_all([(x, y, t, True) for x, y in ((a, b), (b, c), (c, a)) for t in ("icmp", "ipv6 icmp", "tcp 80")])
    expect_frames(a, b, {"inside": frames.udp(a, b, src="10.0.0.250"), "inside6": frames.udp(a, b, src="fd00:1::250")},
                  {"outside": frames.udp(a, b, src="10.0.1.1"), "outside6": frames.udp(a, b, src="fd00:2::1")})


def test_a_pair_that_goes_cuts_the_flows_that_only_it_allowed(lab):
    """Revocation covers address pairs: what the VM sends from them, replies too."""
    a, b = nets(lab, allowed_address_pairs=[{"ip_address": "10.0.0.200"}])
    lab.set_groups(a, lab.group("ingress udp 99"))
    a.add_ip("10.0.0.200/24")
    stays = Flow(a, b, 80)
    out = Flow(a, b, 99, "udp", source="10.0.0.200")
    into = Flow(b, a, 99, "udp", to="10.0.0.200")
    a.update(allowed_address_pairs=[])
    flows(alive=[stays], dead=[out])
    flows(alive=[stays], dead=[into], only="server")


def test_two_vms_may_share_an_address_by_pairs(lab):
    """VRRP: whoever has it answers ARP for it, and it moves with an announcement or with the next question."""
    net = lab.network()
    group = lab.group("ingress any")
    vip = {"allowed_address_pairs": [{"ip_address": "10.0.0.200"}]}
    a, b, c = lab.vm(net, [group], **vip), lab.vm(net, [group], **vip), lab.vm(net, [group])

    def move(old, new):
        if old is not None:
            old.netns.ip("addr", "del", "10.0.0.200/32", "dev", "eth0")
        new.add_ip("10.0.0.200/32")

    def leads_to(vm):
        return vm.mac in c.netns.ip("neigh", "show", "10.0.0.200")

    for old, new in ((None, a), (a, b), (b, a)):
        move(old, new)
        c.netns.ip("neigh", "flush", "dev", "eth0")
        assert c.ping("10.0.0.200") and leads_to(new)
    move(a, b)
    b.send(frames.arp(b, "10.0.0.200", "10.0.0.200"))
    lab.wait(lambda: leads_to(b), what="the announcement taken")
    assert c.ping("10.0.0.200")


def test_port_security_off_lets_everything_through_and_on_again_enforces_it(lab):
    """56: connectivity survives both switches."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group()
    a, b = lab.vm(net, [group]), lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])
    flow = Flow(a, b, 80)
    spoofed = {"MAC": frames.udp(a, b, mac=OTHER_MAC), "IP": frames.udp(a, b, src="192.0.2.1"),
               "IPv6": frames.udp(a, b, src="fd00:9::1"), "ARP": frames.arp(a, "10.0.0.99", "10.0.0.99", op=2)}
    expect_frames(a, b, {"own": frames.udp(a, b)}, spoofed)
    a.update(security_groups=[], port_security_enabled=False)
    flows(alive=[flow])
    expect_frames(a, b, spoofed)
    expect_all([(b, a, "tcp 80", True), (b, a, "udp 80", True)])
    a.update(port_security_enabled=True, security_groups=[group["id"]])
    flows(alive=[flow])
    expect_frames(a, b, {"own": frames.udp(a, b, 10)},
                  {"MAC": frames.udp(a, b, 10, mac=OTHER_MAC), "IP": frames.udp(a, b, 10, src="192.0.2.1"),
                   "ARP": frames.arp(a, "10.0.0.98", "10.0.0.98", op=2)})
    expect_all([(a, b, "icmp", True), (b, a, "icmp", False)])


def test_port_security_is_inherited_from_the_network_and_excludes_groups_and_pairs(lab):
    """G11: 409 for groups or pairs with it off."""
    net = lab.network(port_security_enabled=False)
    a, b = lab.vm(net), lab.vm(net)
    assert a.port["port_security_enabled"] is False and a.port["security_groups"] == []
    expect_frames(a, b, {"spoofed": frames.udp(a, b, src="192.0.2.1", mac=OTHER_MAC)})
    for attrs in ({"security_groups": [lab.group()["id"]]}, {"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}):
        with pytest.raises(ApiError) as e:
            a.update(**attrs)
        assert e.value.status == 409
    b.update(port_security_enabled=True)
    c = lab.vm(net)
    expect_all([(a, b, "icmp", False), (a, c, "icmp", True)])


def test_a_filtered_vm_is_protected_from_unfiltered_ones(lab):
    """B: what an unfiltered port sends still meets the receiver's rules."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    loose, b = lab.vm(net, port_security_enabled=False), lab.vm(net, [lab.group("ingress tcp 80")])
    expect(loose, b, ["tcp 80"], ["tcp 81", "icmp", "ipv6 tcp 80"])


def test_rarp_announces_the_vms_own_mac_only(lab):
    """G8: what a hypervisor sends after a migration."""
    a, b = nets(lab)

    def rarp(mac, hw):
        return Ether(src=mac, dst=frames.BROADCAST, type=0x8035) / ARP(op=3, hwsrc=hw, hwdst=hw, psrc="0.0.0.0", pdst="0.0.0.0")

    expect_frames(a, b, {"own": rarp(a.mac, a.mac)}, {"other": rarp(OTHER_MAC, OTHER_MAC), "mixed": rarp(a.mac, OTHER_MAC)})


def test_smuggled_headers_are_dropped(lab):
    """Lengths that lie, headers that overlap, loops of extension headers."""
    a, b = nets(lab)
    good = frames.udp(a, b)
    short_ip = bytes(good)[:30]
    long_ip = frames.udp(a, b, len=1400)
    bad_ihl = bytearray(bytes(good))
    bad_ihl[14] = 0x42
    version = bytearray(bytes(good))
    version[14] = 0x65
    v6_as_v4 = Ether(src=a.mac, dst=b.mac, type=0x86dd) / good[frames.IP]
    v4_as_v6 = Ether(src=a.mac, dst=b.mac, type=0x0800) / frames.udp(a, b, version=6)[IPv6]
    expect_frames(a, b, {"good": good},
                  {"short": short_ip, "long": long_ip, "ihl": bytes(bad_ihl), "version": bytes(version),
                   "v4 in v6": v6_as_v4, "v6 in v4": v4_as_v6,
                   "udp length": frames.ip(a, b) / UDP(sport=9, dport=9, len=3) / b"x"})
    drops = a.show()["drops"]
    assert drops["truncated"] + drops["bad-header"] == 7
