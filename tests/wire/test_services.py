# SPDX-License-Identifier: Apache-2.0
"""What the datapath answers itself: DHCP, ARP, neighbour discovery. Real clients (udhcpc, the kernel) and single frames.
Numbers are those of the case list in the issue's reference."""

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6MLReport, ICMPv6MLReport2, ICMPv6ND_RS, ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

import frames
from probe import expect_all, expect_frames
from vm import NO, YES


def dhcp_frame(vm, kind, xid=1, source="0.0.0.0", dst="255.255.255.255", to_mac=frames.BROADCAST, chaddr=None,
               ciaddr="0.0.0.0", **options):
    body = BOOTP(chaddr=bytes.fromhex((chaddr or vm.mac).replace(":", "")), xid=xid, ciaddr=ciaddr)
    return Ether(src=vm.mac, dst=to_mac) / IP(src=source, dst=dst) / UDP(sport=68, dport=67) / body / DHCP(
        options=[("message-type", kind), *options.items(), "end"])


def dhcp_answer(vm, question, timeout=YES):
    """{option: value} of the answer, with 'yiaddr' and 'frame'; None without one (then with timeout=NO)."""
    xid = question[BOOTP].xid
    with vm.sniff() as got:
        vm.send(question)
        answer = got(lambda p: BOOTP in p and p[BOOTP].op == 2 and p[BOOTP].xid == xid, timeout)
    if answer is None:
        return None
    options = {o[0]: o[1] if len(o) == 2 else o[1:] for o in answer[DHCP].options if isinstance(o, tuple)}
    return {**options, "yiaddr": answer[BOOTP].yiaddr, "frame": answer}


OFFER, ACK, NAK = 2, 5, 6


# ---- DHCP ----

def test_a_lease_has_router_dns_mtu_domain_and_classless_routes(lab):
    """With a real client; the routes are the subnet's host routes."""
    net = lab.network(mtu=1400)
    lab.api.update("subnet", net["v4"]["id"], dns_nameservers=["10.0.0.53", "192.0.2.53"],
                   host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}])
    a = lab.vm(net, dhcp=True)
    lease = a.lease()
    assert lease["ip"] == a.ip and lease["mask"] == "24" and lease["subnet"] == "255.255.255.0"
    assert lease["router"] == "10.0.0.1" and lease["dns"] == "10.0.0.53 192.0.2.53" and lease["mtu"] == "1400"
    assert "192.0.2.0/24 10.0.0.9" in lease["staticroutes"] and "0.0.0.0/0 10.0.0.1" in lease["staticroutes"]
    assert int(lease["lease"]) > 60
    assert "mtu 1400" in a.netns.ip("link", "show", "eth0")


def test_every_vm_gets_its_own_address_and_they_talk(lab):
    net = lab.network()
    vms = [lab.vm(net, dhcp=True) for _ in range(3)]
    assert len({vm.lease()["ip"] for vm in vms}) == 3
    expect_all([(vms[0], vms[1], "icmp", True), (vms[1], vms[2], "tcp 80", True)])


def test_a_lease_of_a_subnet_without_gateway_names_no_router(lab):
    net = lab.network(None)
    net["v4"] = lab.api.create("subnet", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", gateway_ip=None)
    a = lab.vm(net, dhcp=True)
    assert a.lease()["ip"] == a.ip and "router" not in a.lease()


def test_extra_dhcp_options_are_sent_and_override(lab):
    net = lab.network()
    a = lab.vm(net, extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
                                     {"opt_name": "mtu", "opt_value": "1300"}, {"opt_name": "42", "opt_value": "10.0.0.123"},
                                     {"opt_name": "domain-name", "opt_value": "six.example", "ip_version": 6}], dhcp=True)
    lease = a.lease()
    assert lease["mtu"] == "1300"
    answer = dhcp_answer(a, dhcp_frame(a, "discover", param_req_list=[1, 3, 6, 15, 26, 42, 67]))
    assert answer["message-type"] == OFFER
    # scapy calls a bootfile of option 67 'boot-file-name'; PXE clients also read the header's field.
    assert b"pxelinux.0" in bytes(answer["frame"]) and bytes([42, 4, 10, 0, 0, 123]) in bytes(answer["frame"])
    assert b"six.example" not in bytes(answer["frame"])
    a.update(extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1200"}, {"opt_name": "bootfile-name", "opt_value": None}])
    assert b"pxelinux.0" not in bytes(dhcp_answer(a, dhcp_frame(a, "discover", 2, param_req_list=[26, 67]))["frame"])
    a.dhcp()
    assert a.lease()["mtu"] == "1200"


def test_a_lease_is_renewed_from_its_own_address(lab):
    """G8: unicast to the server and broadcast (rebinding)."""
    net = lab.network()
    a = lab.vm(net, [])
    offer = dhcp_answer(a, dhcp_frame(a, "discover"))
    server, mac = offer["server_id"], offer["frame"].src
    ack = dhcp_answer(a, dhcp_frame(a, "request", 2, requested_addr=a.ip, server_id=server))
    assert (ack["message-type"], ack["yiaddr"], ack["server_id"]) == (ACK, a.ip, server)
    renew = dhcp_answer(a, dhcp_frame(a, "request", 3, a.ip, server, mac, ciaddr=a.ip))
    assert (renew["message-type"], renew["yiaddr"]) == (ACK, a.ip)
    assert renew["frame"][IP].dst == a.ip and renew["frame"].dst == a.mac
    rebind = dhcp_answer(a, dhcp_frame(a, "request", 4, a.ip, ciaddr=a.ip))
    assert rebind["message-type"] == ACK
    inform = dhcp_answer(a, dhcp_frame(a, "inform", 5, a.ip, ciaddr=a.ip))
    assert inform["message-type"] == ACK and inform["yiaddr"] == "0.0.0.0"


def test_a_request_for_a_wrong_address_is_refused_by_nak(lab):
    """And one to another server is not ours to answer."""
    net = lab.network()
    a, b = lab.vm(net, []), lab.vm(net, [])
    server = dhcp_answer(a, dhcp_frame(a, "discover"))["server_id"]
    for xid, options in enumerate(({"requested_addr": "10.0.0.99", "server_id": server}, {"requested_addr": b.ip},
                                   {"requested_addr": "192.168.1.1"}), 10):
        nak = dhcp_answer(a, dhcp_frame(a, "request", xid, **options))
        assert nak["message-type"] == NAK and nak["yiaddr"] == "0.0.0.0" and nak["frame"].dst == frames.BROADCAST
    assert dhcp_answer(a, dhcp_frame(a, "request", 20, requested_addr=a.ip, server_id="10.0.0.77"), NO) is None
    assert dhcp_answer(a, dhcp_frame(a, "request", 21, requested_addr=a.ip, server_id=server))["message-type"] == ACK


def test_a_vm_cannot_lease_for_another_mac_nor_answer_from_another_address(lab):
    """48: DHCP from the wrong IP; a question in another's name."""
    net = lab.network()
    a, b = lab.vm(net, []), lab.vm(net, [])
    assert dhcp_answer(a, dhcp_frame(a, "discover", 30, chaddr=b.mac), NO) is None
    assert dhcp_answer(a, dhcp_frame(a, "request", 31, "10.0.0.99", ciaddr="10.0.0.99"), NO) is None
    assert a.drops("spoofed-ip") == 1
    release = dhcp_frame(a, "release", 32, a.ip, ciaddr=a.ip)
    assert dhcp_answer(a, release, NO) is None
    assert dhcp_answer(a, dhcp_frame(a, "discover", 33))["yiaddr"] == a.ip


def test_a_changed_address_is_leased_on_the_next_question(lab):
    net = lab.network()
    a = lab.vm(net, [], fixed_ips=[{"ip_address": "10.0.0.50"}])
    assert dhcp_answer(a, dhcp_frame(a, "discover", 40))["yiaddr"] == "10.0.0.50"
    a.update(fixed_ips=[{"ip_address": "10.0.0.60"}])
    assert dhcp_answer(a, dhcp_frame(a, "discover", 41))["yiaddr"] == "10.0.0.60"
    assert dhcp_answer(a, dhcp_frame(a, "request", 42, requested_addr="10.0.0.50"))["message-type"] == NAK


def test_dhcp_disabled_is_not_answered_and_reaches_a_server_without_port_security(lab):
    """53: then somebody else may be the server, but not a filtered VM."""
    net = lab.network(None)
    net["v4"] = lab.api.create("subnet", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", enable_dhcp=False)
    a, filtered = lab.vm(net), lab.vm(net)
    assert dhcp_answer(a, dhcp_frame(a, "discover", 50), NO) is None
    server = lab.vm(net, port_security_enabled=False)
    with filtered.sniff() as filtered_got:
        expect_frames(a, server, {"discover": dhcp_frame(a, "discover", 51)})
        offer = Ether(src=server.mac, dst=a.mac) / IP(src=server.ip, dst=a.ip) / UDP(sport=67, dport=68) / BOOTP(
            op=2, yiaddr=a.ip) / DHCP(options=[("message-type", "offer"), "end"])
        expect_frames(server, a, {"offer": offer})
        assert filtered_got(lambda p: UDP in p and p[UDP].dport == 67, NO) is None
    lab.api.update("subnet", net["v4"]["id"], enable_dhcp=True)
    assert dhcp_answer(a, dhcp_frame(a, "discover", 52))["yiaddr"] == a.ip
    lab.api.update("network", net["id"], admin_state_up=False)  # so do networks that are down; else they go on
    expect_frames(a, server, {"discover": dhcp_frame(a, "discover", 53), "other": frames.udp(a, server)})
    lab.api.update("network", net["id"], admin_state_up=True)
    assert dhcp_answer(a, dhcp_frame(a, "discover", 54))["yiaddr"] == a.ip


def test_dhcp_questions_and_answers_are_seen_by_nobody_else(lab):
    """Answered in the datapath, never flooded; not even an unfiltered port hears them."""
    net = lab.network()
    a, b = lab.vm(net), lab.vm(net)
    loose = lab.vm(net, port_security_enabled=False)
    with b.sniff() as b_got, loose.sniff() as loose_got:
        a.dhcp()
        assert a.lease()["ip"] == a.ip
        for got in (b_got, loose_got):
            assert got(lambda p: UDP in p and p[UDP].sport in (67, 68), NO) is None


def test_malformed_dhcp_is_dropped_and_counted(lab):
    net = lab.network()
    a = lab.vm(net, [])
    good = bytes(dhcp_frame(a, "discover", 60))
    for bad in (good[:100], good[:-40], good.replace(b"\x63\x82\x53\x63", b"\x63\x82\x53\x64")):
        a.send(bad)
    assert dhcp_answer(a, dhcp_frame(a, "discover", 61))["yiaddr"] == a.ip
    drops = a.show()["drops"]
    assert drops.get("dhcp-bad", 0) + drops.get("truncated", 0) >= 2


# ---- ARP ----

def test_arp_is_answered_for_known_addresses_and_never_flooded(lab):
    net = lab.network()
    a, b = lab.vm(net, []), lab.vm(net, [])
    silent = lab.vm(net, [], attach=False)
    far = lab.api.create("port", network_id=net["id"], **{"binding:host_id": "node2"})
    far_ip = far["fixed_ips"][0]["ip_address"]
    with b.sniff() as b_got, a.sniff() as got:
        for target, mac in ((b.ip, b.mac), (silent.ip, silent.mac), (far_ip, far["mac_address"])):
            a.send(frames.arp(a, target))
            reply = got(lambda p: ARP in p and p[ARP].op == 2 and p[ARP].psrc == target)
            assert reply is not None, f"no answer for {target}"
            assert reply[ARP].hwsrc == mac and reply[ARP].pdst == a.ip and reply[ARP].hwdst == a.mac and reply.dst == a.mac
        a.send(frames.arp(a, "10.0.0.250"))
        assert got(lambda p: ARP in p and p[ARP].psrc == "10.0.0.250", NO) is None
        assert b_got(lambda p: ARP in p, NO) is None
    assert a.drops("arp-unknown") == 1


def test_an_address_that_goes_is_answered_no_more(lab):
    """76: the neighbour follows the port."""
    net = lab.network()
    a, b = lab.vm(net, []), lab.vm(net, [], fixed_ips=[{"ip_address": "10.0.0.50"}])

    def answered(ip, timeout):
        with a.sniff() as got:
            a.send(frames.arp(a, ip))
            return got(lambda p: ARP in p and p[ARP].psrc == ip, timeout)

    assert answered("10.0.0.50", 5)
    b.update(fixed_ips=[{"ip_address": "10.0.0.60"}])
    assert answered("10.0.0.60", 5)
    assert not answered("10.0.0.50", NO)
    lab.remove(b)
    assert not answered("10.0.0.60", NO)
    c = lab.vm(net, [], fixed_ips=[{"ip_address": "10.0.0.60"}])
    assert answered("10.0.0.60", 5)[ARP].hwsrc == c.mac


def test_an_arp_probe_finds_out_whether_an_address_is_taken(lab):
    """RFC 5227: sender address 0.0.0.0. Its own address is free for the prober."""
    net = lab.network()
    a, b = lab.vm(net, []), lab.vm(net, [])
    with a.sniff() as got:
        a.send(frames.arp(a, b.ip, "0.0.0.0"), frames.arp(a, a.ip, "0.0.0.0"))
        assert got(lambda p: ARP in p and p[ARP].psrc == b.ip)
        assert got(lambda p: ARP in p and p[ARP].psrc == a.ip, NO) is None


def test_unknown_addresses_are_asked_of_unfiltered_ports_only(lab):
    """A port without port security may have any address."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, filtered = lab.vm(net), lab.vm(net)
    loose = lab.vm(net, port_security_enabled=False)
    with filtered.sniff() as got:
        expect_frames(a, loose, {"arp": frames.arp(a, "10.0.0.222"), "ns": frames.ns(a, "fd00:1::222")})
        assert got(lambda p: ARP in p or IPv6 in p and p[IPv6].nh == 58, NO) is None
    loose.add_ip("10.0.0.222/24")
    assert a.ping("10.0.0.222")


# ---- Neighbour discovery ----

def test_neighbour_discovery_is_answered_for_known_addresses_and_never_flooded(lab):
    """Global and link-local, multicast and unicast questions."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net, []), lab.vm(net, [])
    far = lab.api.create("port", network_id=net["id"], **{"binding:host_id": "node2"})
    far_ip = next(f["ip_address"] for f in far["fixed_ips"] if ":" in f["ip_address"])
    link_local = next(line.split()[3].split("/")[0] for line in
                      b.netns.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").splitlines())
    with b.sniff() as b_got, a.sniff() as got:
        for target, mac in ((b.ip6, b.mac), (link_local, b.mac), (far_ip, far["mac_address"])):
            a.send(frames.ns(a, target))
            reply = got(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == target)
            assert reply is not None, f"no answer for {target}"
            assert reply[ICMPv6NDOptDstLLAddr].lladdr == mac and reply[IPv6].dst == a.ip6 and reply[IPv6].hlim == 255
            assert reply[ICMPv6ND_NA].S == 1 and reply.dst == a.mac
        a.send(frames.ns(a, "fd00:1::250"))
        assert got(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == "fd00:1::250", NO) is None
        assert b_got(lambda p: IPv6 in p and p[IPv6].nh == 58, NO) is None
    assert a.drops("nd-unknown") == 1


def test_duplicate_address_detection_finds_taken_addresses_only(lab):
    """55: from "::", by hand and by the kernel."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net, []), lab.vm(net, [])
    with a.sniff() as got:
        a.send(frames.ns(a, b.ip6, "::"), frames.ns(a, a.ip6, "::"))
        reply = got(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == b.ip6)
        assert reply[IPv6].dst == "ff02::1" and reply[ICMPv6ND_NA].S == 0
        assert got(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == a.ip6, NO) is None
    a.netns.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
    a.netns.ip("addr", "add", f"{b.ip6}/64", "dev", "eth0")
    lab.wait(lambda: "dadfailed" in a.netns.ip("-6", "addr", "show", "dev", "eth0"), what="duplicate found")


def test_router_solicitations_and_mld_reports_reach_routers_only(lab):
    """They come from "::" or from the VM's own address, and go to ports that may be routers."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net, []), lab.vm(net)
    router = lab.vm(net, device_owner="network:router_interface_distributed")

    def to_all(dst, mac, src="::", hlim=255):
        return Ether(src=a.mac, dst=mac) / IPv6(src=src, dst=dst, hlim=hlim)

    report = to_all("ff02::16", "33:33:00:00:00:16", hlim=1)
    with b.sniff() as got:
        expect_frames(a, router, {"RS": to_all("ff02::2", "33:33:00:00:00:02") / ICMPv6ND_RS(),
                                  "MLD2": report / ICMPv6MLReport2(), "MLD": report / ICMPv6MLReport(mladdr="ff02::1:3")},
                      {"echo from ::": to_all("ff02::1", "33:33:00:00:00:01") / frames.ICMPv6EchoRequest()})
        assert got(lambda p: p.src == a.mac, NO) is None


def test_base_services_need_no_rules_in_either_family(lab):
    """19, G8: a port without groups resolves and is resolved."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a = lab.vm(net, [], dhcp=True)
    b = lab.vm(net, [lab.group("ingress any", "ingress ipv6 any")])
    c = lab.vm(net, [lab.group()])
    expect_all([(a, b, "icmp", False), (a, b, "ipv6 icmp", False), (c, b, "icmp", True), (c, b, "ipv6 icmp", True)])
    for ip in (b.ip, b.ip6):
        assert b.mac in a.netns.ip("neigh", "show", ip)


def test_dhcp_servers_address_answers_arp_even_without_a_router(lab):
    """So that a unicast renewal finds it."""
    net = lab.network()
    a = lab.vm(net, [])
    offer = dhcp_answer(a, dhcp_frame(a, "discover", 70))
    with a.sniff() as got:
        a.send(frames.arp(a, offer["server_id"]))
        reply = got(lambda p: ARP in p and p[ARP].psrc == offer["server_id"])
    assert reply[ARP].hwsrc == offer["frame"].src
    assert not a.ping(offer["server_id"], expect=False)
