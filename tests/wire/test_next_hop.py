# SPDX-License-Identifier: Apache-2.0
"""Next hops on a physical network: asking, waiting, failing, moving; what is announced there, and who answers for what."""
import contextlib
import time

import pytest

from vm import NO, YES, exchange

PHYSICAL = ["physnet1"]
GATEWAY, GATEWAY6 = "203.0.113.1", "2001:db8:f::1"
INTERNET = 102  # VLAN


class North:
    """A router with a gateway on an external network; beyond its next hop a host on the internet."""

    def __init__(self, lab, vlan=None):
        self.lab, self.api, self.out = lab, lab.api, lab.outside()
        self.ext = lab.provider("203.0.113.0/24", "2001:db8:f::/64", vlan=vlan, external=True)
        self.inner = lab.network("10.0.0.0/24", "2001:db8:a::/64")
        self.router = self.api.create("router", external_gateway_info={"network_id": self.ext["id"]})
        for v in ("v4", "v6"):
            self.api.request("PUT", f"/v2.0/routers/{self.router['id']}/add_router_interface",
                             {"subnet_id": self.inner[v]["id"]})
        self.addresses = [f["ip_address"] for f in self.router["external_gateway_info"]["external_fixed_ips"]]
        self.own6 = next(a for a in self.addresses if ":" in a)
        self.own = next(a for a in self.addresses if ":" not in a)
        self.gateway = self.out.host(f"{GATEWAY}/24", f"{GATEWAY6}/64", vlan=vlan, forward=True)
        self.out.join(self.gateway, "eth1", "198.51.100.1/24", "2001:db8:e::1/64", vlan=INTERNET)
        self.gateway.netns.ip("-6", "route", "add", "2001:db8:a::/64", "via", self.own6)
        self.web = self.out.host("198.51.100.7/24", "2001:db8:e::7/64", vlan=INTERNET,
                                 gateway=["198.51.100.1", "2001:db8:e::1"])
        self.vm = self.host()

    def host(self):
        vm = self.lab.vm(self.inner, [self.lab.group("ingress icmp", "ingress tcp")])
        vm.netns.ip("route", "add", "default", "via", self.inner["v4"]["gateway_ip"])
        vm.netns.ip("-6", "route", "add", "default", "via", self.inner["v6"]["gateway_ip"])
        return vm

    def neighbour(self, ip=GATEWAY):
        return next((n for n in self.api.weft("neighbours")["neighbours"] if n["address"] == ip), None)

    def wait_state(self, state, ip=GATEWAY, timeout=YES):
        self.lab.wait(lambda: (self.neighbour(ip) or {}).get("state") == state, timeout, f"{ip} {state}")

    def vanish(self, on=False):
        self.gateway.netns.ip("link", "set", "eth0", "up" if on else "down")

    def floating(self, vm=None):
        port = {"port_id": vm.id} if vm else {}
        return self.api.create("floatingip", floating_network_id=self.ext["id"], **port)

    def close(self):
        for f in self.api.list("floatingip"):
            self.api.delete("floatingip", f["id"])
        for p in self.api.list("port", device_id=self.router["id"], device_owner="network:router_interface"):
            self.api.request("PUT", f"/v2.0/routers/{self.router['id']}/remove_router_interface", {"port_id": p["id"]})
        self.api.delete("router", self.router["id"])


@pytest.fixture
def north(lab):
    made = []

    def make(**kw):
        made.append(North(lab, **kw))
        return made[-1]

    yield make
    for n in made:
        n.close()


def ping_text(vm, ip, seconds):
    """What ping says of one echo."""
    return vm.netns.run("ping", "-n", "-c", 1, "-W", seconds, ip, check=False)


def announcement(ip, mac, op):
    from scapy.layers.l2 import ARP

    return lambda p: (ARP in p and p[ARP].op == op and p[ARP].psrc == p[ARP].pdst == ip and p[ARP].hwsrc == mac
                      and p.src == mac and p.dst == "ff:ff:ff:ff:ff:ff")


def gratuitous(ip, mac):
    from scapy.layers.l2 import ARP, Ether

    return Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc=ip, pdst=ip)


@pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
def test_the_first_packet_waits_for_the_answer(north, vlan):
    """Nothing is lost while the gateway is asked for."""
    n = north(vlan=vlan)
    assert n.neighbour() is None
    assert n.vm.ping(n.web.ip, 56, True, 1)
    assert n.vm.ping(n.web.ip6, 56, True, 1)
    hop = n.neighbour()
    assert (hop["state"], hop["mac"], hop["network"]) == ("known", n.gateway.mac, n.ext["id"])
    assert n.neighbour(GATEWAY6)["mac"] == n.gateway.mac
    assert n.vm.drops("next-hop-wait") == 0


@pytest.mark.parametrize("version", [4, 6])
def test_a_silent_gateway_is_told_to_the_sender_within_seconds(north, version):
    n = north()
    n.vanish()
    began = time.monotonic()
    text = ping_text(n.vm, n.web.ip if version == 4 else n.web.ip6, 8)
    took = time.monotonic() - began
    assert "unreachable" in text.lower(), text
    assert took > 2.5
    # It is not asked for again with each packet, and the answer comes at once.
    began = time.monotonic()
    assert "unreachable" in ping_text(n.vm, n.web.ip if version == 4 else n.web.ip6, 8).lower()
    assert time.monotonic() - began < took
    assert n.vm.drops("next-hop") >= 2


def test_a_next_hop_that_moves_by_announcement_is_followed_at_once(north):
    n = north()
    client, server = n.vm.tcp_pair(n.web, 8080)
    with contextlib.closing(client), contextlib.closing(server):
        assert exchange(client, server)
        time.sleep(1.1)  # it may not move so soon again
        mac = "02:00:5e:77:00:01"
        n.gateway.set_mac(mac)
        n.gateway.send(gratuitous(GATEWAY, mac))
        n.wait_state("known")
        n.lab.wait(lambda: n.neighbour()["mac"] == mac, what="the new MAC")
        assert exchange(client, server)


def test_a_connection_goes_on_when_the_gateway_comes_back(north):
    """Its next hop fails for good; then it is there again: same connection, same translated source."""
    n = north()
    client, server = n.vm.tcp_pair(n.web, 8080)
    with contextlib.closing(client), contextlib.closing(server):
        assert exchange(client, server)
        source = server.getpeername()
        assert source[0] == n.own
        time.sleep(1.1)
        n.vanish()
        n.out.send(gratuitous(GATEWAY, "02:00:5e:99:00:99"))  # nobody's: so it need not be waited for that it fails
        n.lab.wait(lambda: n.neighbour()["mac"] == "02:00:5e:99:00:99", what="the false MAC")
        n.wait_state("failed")
        client.send(b"lost?")
        time.sleep(0.3)
        n.vanish(on=True)
        server.settimeout(YES)
        assert server.recv(100) == b"lost?"
        assert exchange(client, server)
        assert server.getpeername() == source


def test_a_floating_ip_is_announced_when_it_comes_and_when_it_moves(north):
    n = north()
    other = n.host()
    fip = n.floating()
    with n.out.tap() as got:
        assert got(lambda p: fip["floating_ip_address"] in p.summary(), NO) is None
        n.api.update("floatingip", fip["id"], port_id=n.vm.id)
        first = got(lambda p: announcement(fip["floating_ip_address"], p.src, 1)(p))
        assert first is not None
        assert got(announcement(fip["floating_ip_address"], first.src, 2)) is not None
    with n.out.tap() as got:
        assert got(announcement(fip["floating_ip_address"], first.src, 1)) is not None  # repeated
    with n.out.tap() as got:
        n.api.update("floatingip", fip["id"], port_id=other.id)
        assert got(lambda p: announcement(fip["floating_ip_address"], p.src, 1)(p)) is not None


def test_only_a_floating_ip_in_use_is_answered_for(north):
    n = north()
    fip = n.floating()
    ip = fip["floating_ip_address"]
    assert not n.gateway.ping(ip, 56, False)
    assert "lladdr" not in n.gateway.netns.run("ip", "neigh", "show", ip)
    n.api.update("floatingip", fip["id"], port_id=n.vm.id)
    assert n.gateway.ping(ip)
    n.api.update("floatingip", fip["id"], port_id=None)
    n.gateway.netns.ip("neigh", "flush", "all")
    assert not n.gateway.ping(ip, 56, False)


def test_the_routers_own_addresses_are_announced(lab, north):
    from scapy.layers.inet6 import ICMPv6ND_NA

    with lab.outside().tap() as got:
        n = north()
        assert got(lambda p: announcement(n.own, p.src, 1)(p)) is not None
        assert got(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == n.own6 and p[ICMPv6ND_NA].O) is not None


def test_a_claim_for_one_of_our_addresses_is_shown_and_not_believed(north):
    n = north()
    assert n.vm.ping(n.web.ip)
    n.out.send(gratuitous(n.own, "02:00:5e:99:00:99"))
    n.lab.wait(lambda: n.api.weft("neighbours")["conflicts"], what="the conflict")
    conflict = n.api.weft("neighbours")["conflicts"][0]
    assert (conflict["address"], conflict["mac"], conflict["times"]) == (n.own, "02:00:5e:99:00:99", 1)
    assert n.own in n.lab.weft("show", "neighbours")
    assert n.vm.ping(n.web.ip)


def test_a_floating_ip_is_defended_against_a_claim(north):
    """The gateway believes the claim, and then us; of further claims within ten seconds there is no answer (RFC 5227, 2.4)."""
    n = north()
    ip = n.floating(n.vm)["floating_ip_address"]
    assert n.gateway.ping(ip)
    entry = lambda: n.gateway.netns.run("ip", "neigh", "show", ip)
    ours = next(w for w in entry().split() if w.count(":") == 5)
    time.sleep(3)  # what a new address says of itself is over
    with n.out.tap() as got:
        n.out.send(gratuitous(ip, "02:00:5e:99:00:99"))
        assert got(announcement(ip, ours, 1)) is not None
    n.lab.wait(lambda: ours in entry(), what="the gateway's return")
    assert n.gateway.ping(ip)
    with n.out.tap() as got:
        n.out.send(gratuitous(ip, "02:00:5e:99:00:99"))
        conflict = lambda: next(c for c in n.api.weft("neighbours")["conflicts"] if c["address"] == ip)
        n.lab.wait(lambda: conflict()["times"] == 2, what="the second claim noticed")
        assert got(announcement(ip, ours, 1), NO) is None
    assert conflict()["defended"] == 1


def test_a_scan_of_the_external_subnet_hurts_nobody_else(north):
    """One VM sends to very many addresses that nobody has; another reaches the internet for the first time meanwhile."""
    n = north()
    other = n.host()
    s = n.vm.socket(2, 2)
    with contextlib.closing(s):
        for i in range(2, 250):
            for port in range(8):
                with contextlib.suppress(OSError):
                    s.sendto(b"x", (f"203.0.113.{i}", 9 + port))
    assert other.ping(n.web.ip, 56, True, 1)
    assert n.vm.drops("next-hop-wait") > 0 and other.drops("next-hop-wait") == 0


def test_addresses_are_announced_again_when_the_uplink_is_back(north):
    """A switch whose carrier was lost may have forgotten everything, or be another one."""
    def said(ip):
        return lambda p: announcement(ip, p.src, 1)(p)

    n = north()
    fip = n.floating(n.vm)["floating_ip_address"]
    assert n.gateway.ping(fip)
    time.sleep(3)  # the announcements of the association are over
    with n.gateway.sniff() as got:
        assert got(said(n.own), NO) is None
        n.out.switch.ip("link", "set", "node", "down")
        n.lab.wait(lambda: "NO-CARRIER" in n.lab.node.ip("link", "show", n.out.interface), what="the carrier gone")
        time.sleep(1)  # and noticed
        n.out.switch.ip("link", "set", "node", "up")
        assert got(said(n.own)) is not None
        assert got(said(fip)) is not None
    assert n.gateway.ping(fip)


def test_all_subnets_of_the_external_network_are_on_its_link(north):
    """Neutron's routers send directly to hosts in subnets that they have no address in; the next hop of their default route is gone here."""
    n = north()
    n.api.create("subnet", network_id=n.ext["id"], ip_version=4, cidr="192.0.2.0/24")
    host = n.out.host("192.0.2.7/24")
    host.netns.ip("route", "add", "203.0.113.0/24", "dev", "eth0")
    n.vanish()
    assert n.vm.ping(host)
    assert n.vm.tcp(host, 8080)
