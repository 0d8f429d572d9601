# SPDX-License-Identifier: Apache-2.0
"""How hosts of IPv6 networks get their addresses and their router: advertisements, SLAAC, DHCPv6. The hosts are real: the kernel,
rdisc6 and ISC's dhclient (run from a copy, because a distribution may confine the installed one to its own directories)."""
import ipaddress
import json
import os
import re
import shutil
import time

from scapy.layers.dhcp6 import (DHCP6_Advertise, DHCP6_Confirm, DHCP6_RelayForward, DHCP6_Renew, DHCP6_Reply, DHCP6_Request,
                                DHCP6_Solicit, DHCP6OptClientId, DHCP6OptDNSServers, DHCP6OptIA_NA, DHCP6OptIAAddress,
                                DHCP6OptServerId, DHCP6OptStatusCode, DUID_LL)
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPv6)
from scapy.layers.l2 import Ether

from vm import NO, YES

DNS = ["2001:db8::53", "2001:db8::54"]


def network(lab, mode=None, address_mode=None, number=1, enable_dhcp=True, **attrs):
    """A network with one IPv6 subnet; None: hosts are told by nobody."""
    net = lab.network(None, **attrs)
    net["v6"] = subnet(lab, net, mode, address_mode, number, enable_dhcp)
    return net


def subnet(lab, net, mode, address_mode=None, number=1, enable_dhcp=True):
    modes = {"ipv6_ra_mode": mode} if mode else {}
    if address_mode or mode:
        modes["ipv6_address_mode"] = address_mode or mode
    return lab.api.create("subnet", network_id=net["id"], ip_version=6, cidr=f"fd00:{number}::/64", dns_nameservers=DNS,
                          enable_dhcp=enable_dhcp, **modes)


class Router:
    def __init__(self, lab, *subnets):
        self.lab, self.id = lab, lab.api.create("router")["id"]
        for s in subnets:
            self.join(subnet_id=s["id"])

    def join(self, verb="add_router_interface", **what):
        self.lab.api.request("PUT", f"/v2.0/routers/{self.id}/{verb}", what)

    def leave(self, s):
        self.join("remove_router_interface", subnet_id=s["id"])

    def mac(self, net):
        return next(p["mac_address"] for p in self.lab.api.list("port", device_id=self.id) if p["network_id"] == net["id"])

    def link_local(self, net):
        return link_local(self.mac(net))


def link_local(mac):
    b = bytearray.fromhex(mac.replace(":", ""))
    b[0] ^= 2
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + b[:3] + b"\xff\xfe" + b[3:]))


def guest(lab, net, groups=None, **attrs):
    """A VM that listens to routers, as any Linux does that is left alone."""
    vm = lab.vm(net, groups, attach=False, **attrs)
    vm.plug()
    vm.netns.ip("link", "set", "eth0", "down")
    for key, value in (("accept_ra", 1), ("accept_dad", 1), ("router_solicitation_delay", 0), ("dad_transmits", 0)):
        vm.netns.sysctl("net.ipv6.conf.eth0." + key, value)
    vm.netns.ip("link", "set", "eth0", "up")
    vm.wait_status("ACTIVE")
    return vm


def addresses(vm, deprecated=False):
    """{global address: preferred lifetime}"""
    found = json.loads(vm.netns.ip("-6", "-j", "addr", "show", "dev", "eth0", "scope", "global"))
    return {a["local"]: a["preferred_life_time"] for o in found for a in o.get("addr_info", []) if "local" in a and
            bool(a.get("deprecated")) == deprecated}


def default_routers(vm):
    return set(re.findall(r"via (\S+)", vm.netns.ip("-6", "route", "show", "default")))


def rdisc6(vm):
    """What a real solicitor is told."""
    return vm.netns.run("rdisc6", "-1", "-r", "3", "-w", "1000", "eth0", check=False)


def is_ra(p):
    return ICMPv6ND_RA in p


# ---- Advertisements --------------------------------------------------------------------------------

def test_slaac_gives_the_address_that_the_api_shows_and_the_way_out(lab):
    """Address, default route, MTU; then traffic across the router and to its link-local address."""
    nets = [network(lab, "slaac", number=n, mtu=1400) for n in (1, 2)]
    router = Router(lab, *(net["v6"] for net in nets))
    open_group = lab.group("ingress ipv6 any")
    a, b = (guest(lab, net, [open_group]) for net in nets)
    for vm, net in ((a, nets[0]), (b, nets[1])):
        lab.wait(lambda: vm.ip6 in addresses(vm), what="the port's address")
        assert set(addresses(vm)) == {vm.ip6} and addresses(vm)[vm.ip6] in range(14000, 14401)
        assert default_routers(vm) == {router.link_local(net)}
        assert vm.read("/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1400"
    assert a.ping(b.ip6) and b.tcp(a, 8080, version=6)
    assert a.ping(router.link_local(nets[0]) + "%eth0")


def test_an_advertisement_says_all_that_hosts_need(lab):
    net = network(lab, "slaac", mtu=1400, dns_domain="example.test.")
    router = Router(lab, net["v6"])
    a = lab.vm(net)
    told = rdisc6(a)
    for text in (r"Hop limit\s+:\s+64", r"Stateful address conf.\s+:\s+No", r"Stateful other conf.\s+:\s+No",
                 r"Router lifetime\s+:\s+1800", r"Prefix\s+:\s+fd00:1::/64", r"On-link\s+:\s+Yes",
                 r"Autonomous address conf.:\s+Yes", r"Valid time\s+:\s+86400", r"Pref. time\s+:\s+14400", r"MTU\s+:\s+1400",
                 r"Recursive DNS server\s+: 2001:db8::53", r"Recursive DNS server\s+: 2001:db8::54",
                 r"DNS search list\s+: example.test", rf"Source link-layer address: {router.mac(net).upper()}",
                 rf"from {router.link_local(net)}"):
        assert re.search(text, told), f"{text} is not in\n{told}"


def test_flags_follow_the_mode(lab):
    for number, (mode, managed, other, autonomous) in enumerate((("dhcpv6-stateless", "No", "Yes", "Yes"),
                                                                 ("dhcpv6-stateful", "Yes", "No", "No")), 1):
        net = network(lab, mode, number=number)
        Router(lab, net["v6"])
        told = rdisc6(lab.vm(net))
        for text in (rf"Stateful address conf.\s+:\s+{managed}", rf"Stateful other conf.\s+:\s+{other}",
                     rf"Autonomous address conf.:\s+{autonomous}"):
            assert re.search(text, told), f"{mode}: {text} is not in\n{told}"


def test_who_has_no_address_yet_is_answered_by_multicast(lab):
    net = network(lab, "slaac")
    a, b = lab.vm(net), lab.vm(net)
    time.sleep(0.7)  # what a port is told when it is attached would be told by now
    before = advertised(lab)
    router = Router(lab, net["v6"])
    lab.wait(lambda: advertised(lab) >= before + 2, what="the first advertisements")
    with a.sniff() as got, b.sniff() as b_got:
        a.send(Ether(src=a.mac, dst="33:33:00:00:00:02") / IPv6(src="::", dst="ff02::2", hlim=255) / ICMPv6ND_RS())
        ra = got(is_ra, 1)
        assert ra[IPv6].dst == "ff02::1" and ra[IPv6].src == router.link_local(net) and ra[IPv6].hlim == 255
        assert b_got(is_ra, NO) is None


def advertised(lab):
    text = lab.api.request("GET", "/metrics")
    return int(re.search(r'weft_router_advertisements_total{kind="unasked"} (\d+)', text)[1])


def test_nobody_is_told_where_no_mode_is_set(lab):
    """Somebody else's router may advertise; DHCPv6 is served when the address mode says so, or when no mode is set."""
    net = network(lab, None, "dhcpv6-stateful")
    other = network(lab, number=2)
    a, c = lab.vm(net), lab.vm(other)
    assert "No response" in rdisc6(a) or "Timed out" in rdisc6(a)
    told = network(lab, "slaac", number=3)
    with c.sniff() as got, lab.vm(told).sniff() as later:
        Router(lab, other["v6"])
        Router(lab, told["v6"])
        assert later(is_ra)
        assert got(is_ra, NO) is None
    for vm in (a, c):
        assert dhclient(vm, "-1")["new_ip6_address"] == vm.ip6


def test_a_router_that_joins_or_changes_is_told_unasked(lab):
    net = network(lab, "slaac")
    a = lab.vm(net)
    with a.sniff() as got:
        Router(lab, net["v6"])
        ra = got(is_ra)
        assert ra[IPv6].dst == "ff02::1" and ra[ICMPv6ND_RA].routerlifetime == 1800
        assert ra[ICMPv6NDOptPrefixInfo].prefix == "fd00:1::"
    with a.sniff() as got:
        lab.api.update("network", net["id"], mtu=1300)
        assert got(lambda p: is_ra(p) and p[ICMPv6NDOptMTU].mtu == 1300, 5)


def test_a_port_that_is_attached_is_told_at_once(lab):
    net = network(lab, "slaac")
    Router(lab, net["v6"])
    lab.vm(net)
    vm = lab.vm(net, attach=False)
    vm.plug()
    with vm.sniff() as got:
        vm.wait_status("ACTIVE")
        assert got(is_ra)


def test_two_routers_are_two_default_routes(lab):
    net = network(lab, "slaac")
    first, second = Router(lab, net["v6"]), Router(lab)
    port = lab.api.create("port", network_id=net["id"], fixed_ips=[{"subnet_id": net["v6"]["id"]}])
    second.join(port_id=port["id"])
    a = guest(lab, net)
    both = {first.link_local(net), second.link_local(net)}
    lab.wait(lambda: default_routers(a) == both, what="two routers")
    lab.api.request("PUT", f"/v2.0/routers/{second.id}/remove_router_interface", {"port_id": port["id"]})
    lab.wait(lambda: default_routers(a) == {first.link_local(net)}, what="one router")
    assert set(addresses(a)) == {a.ip6}  # the prefix is still the other's


def test_an_interface_that_goes_takes_the_route_and_the_prefix_along(lab):
    net = network(lab, "slaac")
    router = Router(lab, net["v6"])
    a = guest(lab, net)
    lab.wait(lambda: default_routers(a), what="a router")
    router.leave(net["v6"])
    lab.wait(lambda: not default_routers(a) and not addresses(a), what="nothing")
    assert set(addresses(a, deprecated=True)) == {a.ip6}
    router.join(subnet_id=net["v6"]["id"])
    lab.wait(lambda: default_routers(a) and a.ip6 in addresses(a), what="all of it again")


def test_a_router_that_is_set_down_is_no_default_router(lab):
    net = network(lab, "slaac")
    router = Router(lab, net["v6"])
    a = guest(lab, net)
    lab.wait(lambda: default_routers(a), what="a router")
    lab.api.update("router", router.id, admin_state_up=False)
    lab.wait(lambda: not default_routers(a), what="none")
    lab.api.update("router", router.id, admin_state_up=True)
    lab.wait(lambda: default_routers(a), what="the router again")


def test_advertisements_of_vms_reach_nobody_and_those_of_trusted_ports_everybody(lab):
    net = network(lab, "slaac")
    Router(lab, net["v6"])
    evil, a = lab.vm(net), lab.vm(net)
    other = lab.vm(net, port_security_enabled=False)

    def ra(vm):
        return (Ether(src=vm.mac, dst="33:33:00:00:00:01") / IPv6(src=link_local(vm.mac), dst="ff02::1", hlim=255) /
                ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=vm.mac))

    with a.sniff() as got:
        evil.send(ra(evil))
        other.send(ra(other))
        assert got(lambda p: is_ra(p) and p.src == other.mac)
        assert got(lambda p: is_ra(p) and p.src == evil.mac, NO) is None
    assert evil.drops("router-advertisement") == 1


def test_what_is_advertised_is_shown(lab):
    net = network(lab, "dhcpv6-stateless", mtu=1400)
    router = Router(lab, net["v6"])
    lab.vm(net)
    shown = next(r for r in lab.api.weft("routers")["routers"] if r["id"] == router.id)
    assert shown["interfaces"][0]["advertises"] == {
        "lifetime": 1800, "managed": False, "other": True, "mtu": 1400, "prefixes": ["fd00:1::/64"],
        "autonomous": ["fd00:1::/64"], "dns": DNS, "domain": "openstacklocal"}
    line = next(x for x in lab.weft("show", "routers").splitlines() if router.mac(net) in x)
    assert line.split()[-1] == "fd00:1::/64"


# ---- On a physical network -------------------------------------------------------------------------

PHYSICAL = ["physnet1"]


def provider(lab, gateway):
    """A provider network with SLAAC; gateway: its subnet's."""
    net = lab.provider(None)
    net["v6"] = lab.api.create("subnet", network_id=net["id"], ip_version=6, cidr="2001:db8:1::/64", gateway_ip=gateway,
                               ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    return net


def solicit(host):
    host.send(Ether(src=host.mac, dst="33:33:00:00:00:02") / IPv6(src=link_local(host.mac), dst="ff02::2", hlim=255) /
              ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=host.mac))


def is_told(host, source):
    """Does the router answer? A host asks three times (RFC 4861, 6.3.7)."""
    for _ in range(3):
        with host.sniff() as got:
            solicit(host)
            if got(lambda p: is_ra(p) and p[IPv6].src == source and p[IPv6].dst == link_local(host.mac), YES / 3):
                return True
    return False


def test_hosts_outside_learn_of_the_gateway_of_their_subnet(lab):
    net = provider(lab, "2001:db8:1::1")
    a, host = lab.vm(net), lab.outside().host()
    with host.sniff() as got:
        router = Router(lab, net["v6"])
        assert got(is_ra)[IPv6].src == router.link_local(net)
    assert is_told(host, router.link_local(net)) and is_told(a, router.link_local(net))


def test_hosts_outside_have_their_own_router_if_ours_is_not_the_gateway(lab):
    """Our VMs hear of both."""
    net = provider(lab, "2001:db8:1::1")
    router = Router(lab)
    port = lab.api.create("port", network_id=net["id"], fixed_ips=[{"subnet_id": net["v6"]["id"]}])
    host = lab.outside().host()
    with host.sniff() as got:
        router.join(port_id=port["id"])
        a = lab.vm(net)
        solicit(host)
        assert is_told(a, router.link_local(net))
        assert got(is_ra, NO) is None
    with a.sniff() as got, host.sniff() as host_got:
        assert is_told(a, router.link_local(net))
        assert host_got(lambda p: ICMPv6ND_RS in p)
        host.send(Ether(src=host.mac, dst="33:33:00:00:00:01") / IPv6(src=link_local(host.mac), dst="ff02::1", hlim=255) /
                  ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=host.mac))
        assert got(lambda p: is_ra(p) and p.src == host.mac)


# ---- DHCPv6 ----------------------------------------------------------------------------------------

def dhclient(vm, *args, requested="dhcp6.name-servers, dhcp6.domain-search"):
    """Run ISC's client; {name: value} of what it was told and has set on eth0."""
    base = f"{vm.lab.dir}/{vm.netns.name}"
    program, script, config, told = (base + end for end in ("-dhclient", "-script", "-conf", "-told"))
    if not os.path.exists(program):
        shutil.copy("/sbin/dhclient", program)
    with open(script, "w") as f:
        f.write("#!/bin/sh\n"
                "case $reason in BOUND6|REBIND6|RENEW6)\n"
                f"  env > {told}\n"
                "  [ -n \"$new_ip6_address\" ] && ip -6 addr replace $new_ip6_address/128 dev eth0 nodad ;;\n"
                "esac\nexit 0\n")
    os.chmod(script, 0o755)
    with open(config, "w") as f:
        f.write(f"request {requested};\n")
    if os.path.exists(told):
        os.unlink(told)
    vm.lab.wait(lambda: "inet6 fe80" in vm.netns.ip("-6", "addr", "show", "dev", "eth0", "-tentative"), what="an own address")
    vm.netns.run(program, "-6", "-D", "LL", "-lf", base + "-leases", "-pf", base + "-pid", "-sf", script, "-cf", config, *args, "eth0")
    if not os.path.exists(told):
        return {}
    with open(told) as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)


def test_a_stateful_lease_is_the_ports_address(lab):
    """No address is made of the prefix; the way out is still told by the router."""
    nets = [network(lab, "dhcpv6-stateful", number=n) for n in (1, 2)]
    for net in nets:
        lab.api.update("network", net["id"], dns_domain="example.test.")
    router = Router(lab, *(net["v6"] for net in nets))
    open_group = lab.group("ingress ipv6 any")
    a, b = (guest(lab, net, [open_group]) for net in nets)
    for vm, net in ((a, nets[0]), (b, nets[1])):
        lease = dhclient(vm, "-1")
        assert lease["new_ip6_address"] == vm.ip6
        assert lease["new_dhcp6_name_servers"].split() == DNS and "example.test" in lease["new_dhcp6_domain_search"]
        assert lease["new_preferred_life"] == lease["new_max_life"] == "86400"
        lab.wait(lambda: default_routers(vm) == {router.link_local(net)}, what="the router")
        assert set(addresses(vm)) == {vm.ip6}
    assert a.ping(b.ip6) and b.tcp(a, 8080, version=6)


def test_a_lease_is_renewed_given_back_and_had_again(lab):
    net = network(lab, "dhcpv6-stateful")
    a = lab.vm(net, configure=False)
    assert dhclient(a, "-1")["new_ip6_address"] == a.ip6
    dhclient(a, "-r")
    assert dhclient(a, "-1")["new_ip6_address"] == a.ip6


def test_a_stateless_host_makes_its_address_and_asks_for_the_rest(lab):
    net = network(lab, "dhcpv6-stateless")
    Router(lab, net["v6"])
    a = guest(lab, net)
    told = dhclient(a, "-S", "-1")
    assert told["new_dhcp6_name_servers"].split() == DNS and "new_ip6_address" not in told
    lab.wait(lambda: set(addresses(a)) == {a.ip6}, what="the port's address")


def question(vm, message, *options, src=None, servers="ff02::1:2"):
    return (Ether(src=vm.mac, dst="33:33:00:01:00:02") / IPv6(src=src or link_local(vm.mac), dst=servers, hlim=1) /
            UDP(sport=546, dport=547) / message / DHCP6OptClientId(duid=DUID_LL(lladdr=vm.mac)) / list_of(options))


def list_of(options):
    whole = options[0]
    for o in options[1:]:
        whole = whole / o
    return whole


def ask(vm, message, *options, timeout=NO):
    """The answer with the question's transaction id, or None."""
    with vm.sniff() as got:
        vm.send(question(vm, message, *options))
        return got(lambda p: UDP in p and p[UDP].dport == 546 and bytes(p[UDP].payload)[1:4] == message.trid.to_bytes(3, "big"),
                   timeout)


def ia(ip=None):
    return DHCP6OptIA_NA(iaid=7, T1=0, T2=0, ianaopts=[DHCP6OptIAAddress(addr=ip)] if ip else [])


def leased(answer):
    """{address: valid lifetime} of an answer."""
    return {o.addr: o.validlft for o in answer[DHCP6OptIA_NA].ianaopts if isinstance(o, DHCP6OptIAAddress)}


def status(options):
    return next(o.statuscode for o in options if isinstance(o, DHCP6OptStatusCode))


def test_a_changed_address_ends_the_old_lease_when_it_is_renewed(lab):
    net = network(lab, "dhcpv6-stateful")
    a = lab.vm(net, [], fixed_ips=[{"ip_address": "fd00:1::50"}])
    advert = ask(a, DHCP6_Solicit(trid=1), ia(), timeout=YES)
    server = DHCP6OptServerId(duid=advert[DHCP6OptServerId].duid)
    assert DHCP6_Advertise in advert and leased(advert) == {"fd00:1::50": 86400}
    assert advert[DHCP6OptDNSServers].dnsservers == DNS and advert[IPv6].dst == link_local(a.mac)
    reply = ask(a, DHCP6_Request(trid=2), server, ia("fd00:1::50"), timeout=YES)
    assert DHCP6_Reply in reply and leased(reply) == {"fd00:1::50": 86400}
    a.update(fixed_ips=[{"ip_address": "fd00:1::60"}])
    assert leased(ask(a, DHCP6_Renew(trid=3), server, ia("fd00:1::50"), timeout=YES)) == {"fd00:1::60": 86400, "fd00:1::50": 0}
    assert ask(a, DHCP6_Confirm(trid=4), ia("fd00:1::50"), timeout=YES)[DHCP6OptStatusCode].statuscode == 4
    assert ask(a, DHCP6_Confirm(trid=5), ia("fd00:1::60"), timeout=YES)[DHCP6OptStatusCode].statuscode == 0
    elsewhere = ask(a, DHCP6_Request(trid=6), server, ia("fd00:99::1"), timeout=YES)
    assert status(elsewhere[DHCP6OptIA_NA].ianaopts) == 4


def test_extra_dhcp_options_are_sent_and_override(lab):
    net = network(lab, "dhcpv6-stateful")
    a = lab.vm(net, [], extra_dhcp_opts=[{"opt_name": "dns-server", "opt_value": "2001:db8::99", "ip_version": 6},
                                         {"opt_name": "bootfile-url", "opt_value": "tftp://[2001:db8::1]/x", "ip_version": 6},
                                         {"opt_name": "bootfile-name", "opt_value": "four", "ip_version": 4}])
    advert = ask(a, DHCP6_Solicit(trid=1), ia(), timeout=YES)
    assert advert[DHCP6OptDNSServers].dnsservers == ["2001:db8::99"]
    assert b"tftp://[2001:db8::1]/x" in bytes(advert) and b"four" not in bytes(advert)


def test_what_is_not_for_the_server_or_malformed_gets_no_answer(lab):
    net = network(lab, "dhcpv6-stateful")
    a, b = lab.vm(net, []), lab.vm(net, [])
    other = DHCP6OptServerId(duid=DUID_LL(lladdr="02:00:00:00:00:99"))
    with b.sniff() as b_got:
        assert ask(a, DHCP6_Request(trid=1), other, ia()) is None
        a.send(Ether(src=a.mac, dst="33:33:00:01:00:02") / IPv6(src=link_local(a.mac), dst="ff02::1:2") /
               UDP(sport=547, dport=547) / DHCP6_RelayForward())
        a.send(bytes(question(a, DHCP6_Solicit(trid=2), ia())).replace(bytes([0, 3, 0, 12]), bytes([0, 3, 0, 13])))
        a.send(question(a, DHCP6_Solicit(trid=3), ia(), src=link_local(b.mac)))
        assert leased(ask(a, DHCP6_Solicit(trid=4), ia(), timeout=YES)) == {a.ip6: 86400}
        assert b_got(lambda p: UDP in p and p[UDP].dport in (546, 547), NO) is None
    assert a.drops("dhcp-bad") == 1 and a.drops("spoofed-ip") == 1


def test_dhcpv6_disabled_reaches_a_server_without_port_security(lab):
    """The same as with DHCPv4: a filtered VM is no server and hears no questions."""
    net = network(lab, enable_dhcp=False)
    a, filtered = lab.vm(net), lab.vm(net)
    server = lab.vm(net, port_security_enabled=False)
    answer = (Ether(src=server.mac, dst=a.mac) / IPv6(src=link_local(server.mac), dst=link_local(a.mac)) /
              UDP(sport=547, dport=546) / DHCP6_Reply(trid=9))
    with server.sniff() as server_got, filtered.sniff() as filtered_got, a.sniff() as got:
        a.send(question(a, DHCP6_Solicit(trid=9), ia()))
        assert server_got(lambda p: DHCP6_Solicit in p)
        server.send(answer)
        assert got(lambda p: DHCP6_Reply in p)
        assert filtered_got(lambda p: UDP in p and p[UDP].dport == 547, NO) is None
    with a.sniff() as got:
        filtered.send(Ether(src=filtered.mac, dst=a.mac) / IPv6(src=link_local(filtered.mac), dst=link_local(a.mac)) /
                      UDP(sport=547, dport=546) / DHCP6_Reply(trid=9))
        assert got(lambda p: DHCP6_Reply in p, NO) is None
    assert filtered.drops("dhcp-server") == 1
