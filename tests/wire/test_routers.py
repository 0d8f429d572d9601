# SPDX-License-Identifier: Apache-2.0
"""Routing between networks of one node (section H: 66, 68, 78, 85, 98)."""
import pytest

from vm import YES, arrives


class Routed:
    """Two dual-stack networks on one router; `a` and `b` use it as their gateway."""

    def __init__(self, lab, groups=None, mtus=(1500, 1500)):
        self.lab = lab
        self.nets = [lab.network(f"10.0.{i}.0/24", f"fd00:{i}::/64", mtu=mtus[i - 1]) for i in (1, 2)]
        self.router = lab.api.create("router", name="r")
        for net in self.nets:
            for v in ("v4", "v6"):
                self.join(net[v])
        self.a, self.b = (self.host(net, groups) for net in self.nets)

    def join(self, subnet, on=True):
        verb = "add_router_interface" if on else "remove_router_interface"
        return self.lab.api.request("PUT", f"/v2.0/routers/{self.router['id']}/{verb}", {"subnet_id": subnet["id"]})

    def gateway_mac(self, net):
        ports = self.lab.api.list("port", device_id=self.router["id"], network_id=net["id"])
        ip = net["v4"]["gateway_ip"]
        return next(p["mac_address"] for p in ports if ip in (f["ip_address"] for f in p["fixed_ips"]))

    def host(self, net, groups=None):
        vm = self.lab.vm(net, groups)
        vm.netns.ip("route", "add", "default", "via", net["v4"]["gateway_ip"])
        vm.netns.ip("-6", "route", "add", "default", "via", net["v6"]["gateway_ip"])
        return vm

    def close(self):
        api = self.lab.api
        if api.get("router", self.router["id"])["routes"]:
            api.update("router", self.router["id"], routes=[])
        for p in api.list("port", device_id=self.router["id"]):
            api.request("PUT", f"/v2.0/routers/{self.router['id']}/remove_router_interface", {"port_id": p["id"]})
        api.delete("router", self.router["id"])


@pytest.fixture
def routed(lab):
    made = []

    def make(*args, **kw):
        made.append(Routed(lab, *args, **kw))
        return made[-1]

    yield make
    for r in made:
        r.close()


def test_networks_on_a_router_reach_each_other(routed):
    """66: ping, TCP and UDP, IPv4 and IPv6."""
    r = routed()
    assert r.a.ping(r.b.ip) and r.b.ping(r.a.ip)
    assert r.a.ping(r.b.ip6) and r.b.ping(r.a.ip6)
    assert r.a.tcp(r.b, 8080) and r.a.tcp(r.b, 8080, version=6)
    assert r.b.udp(r.a, 5353) and r.b.udp(r.a, 5353, version=6)


def test_a_routed_packet_has_one_less_ttl_and_comes_from_the_gateway(routed):
    """66: TTL - 1 once; the source MAC is the gateway's on the destination network."""
    from scapy.layers.inet import IP

    r = routed()
    gateway = next(p for p in r.lab.api.list("port", device_id=r.router["id"])
                   if p["network_id"] == r.nets[1]["id"])
    with r.b.sniff() as got:
        assert r.a.ping(r.b.ip, 56, True, 1, "-t", "33")
        frame = got(lambda p: IP in p and p[IP].src == r.a.ip)
    assert frame[IP].ttl == 32
    assert frame.src == gateway["mac_address"]
    assert frame.dst == r.b.mac


def test_rules_hold_across_the_router_and_cut_live_flows(lab, routed):
    """16 (G), 24: both ends' groups judge routed traffic; a rule that goes stops it."""
    group = lab.group("ingress tcp 8080")
    r = routed([group])
    assert r.a.tcp(r.b, 8080)
    assert not r.a.tcp(r.b, 8081, expect=False)
    assert not r.a.ping(r.b.ip, expect=False)
    client, server = r.a.tcp_pair(r.b, 8080)
    with client, server:
        assert arrives(client, server)
        lab.api.delete("security_group_rule", group["rules"][0]["id"])
        assert not arrives(client, server, settle=r.lab.settle)
        assert not arrives(server, client, settle=r.lab.settle)


def test_the_router_answers_for_itself(routed):
    """68: echo to its addresses on both sides, v4 and v6; its ARP is answered."""
    r = routed()
    for net in r.nets:
        assert r.a.ping(net["v4"]["gateway_ip"])
        assert r.a.ping(net["v6"]["gateway_ip"])


def test_a_traceroute_shows_the_router(routed):
    r = routed()
    out = r.a.netns.run("ping", "-n", "-c", "1", "-W", "2", "-t", "1", r.b.ip, check=False)
    assert f"From {r.nets[0]['v4']['gateway_ip']}" in out and "Time to live exceeded" in out
    out = r.a.netns.run("ping", "-n", "-c", "1", "-W", "2", "-t", "1", r.b.ip6, check=False)
    assert f"From {r.nets[0]['v6']['gateway_ip']}" in out and "Hop limit" in out


def test_unreachable_destinations_are_told(routed):
    r = routed()
    out = r.a.netns.run("ping", "-n", "-c", "1", "-W", "2", "10.0.2.200", check=False)
    assert "Destination Host Unreachable" in out
    out = r.a.netns.run("ping", "-n", "-c", "1", "-W", "2", "10.99.0.1", check=False)
    assert "Destination Net Unreachable" in out
    assert r.a.ping(r.b.ip)


def test_different_mtus_are_told_and_tcp_finds_its_way(routed):
    """98: path MTU discovery across networks of different MTU; what may be fragmented is."""
    r = routed(mtus=(1500, 1300))
    out = r.a.netns.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1400", r.b.ip, check=False)
    assert "mtu = 1300" in out or "Frag needed" in out
    assert r.a.ping(r.b.ip, 1400, True, 1, "-M", "dont")
    out = r.a.netns.run("ping", "-n", "-c", "2", "-W", "2", "-M", "do", "-s", "1400", r.b.ip6, check=False)
    assert "1300" in out
    data = bytes(range(256)) * 4096
    client, server = r.a.tcp_pair(r.b, 8080)
    with client, server:
        client.settimeout(YES)
        server.settimeout(YES)
        client.setblocking(True)
        import threading

        t = threading.Thread(target=client.sendall, args=(data,))
        t.start()
        got = b""
        while len(got) < len(data):
            got += server.recv(65536)
        t.join()
    assert got == data


def test_removing_an_interface_stops_live_flows_and_adding_it_resumes(routed):
    r = routed()
    client, server = r.a.udp_pair(r.b, 4000)
    with client, server:
        assert arrives(client, server)
        r.join(r.nets[1]["v4"], on=False)
        assert not arrives(client, server, settle=r.lab.settle)
        r.join(r.nets[1]["v4"])
        assert arrives(client, server)


def test_hosts_follow_a_gateway_that_comes_back_with_another_mac(routed):
    """They know the old MAC, and would find out by themselves only when it has not answered for half a minute."""
    from scapy.layers.l2 import ARP

    r = routed()
    net = r.nets[0]
    gateway = net["v4"]["gateway_ip"]
    assert r.a.ping(r.b.ip)
    old = r.gateway_mac(net)
    with r.a.sniff() as got:
        r.join(net["v4"], on=False)
        r.join(net["v4"])
        new = r.gateway_mac(net)
        assert new != old
        assert got(lambda p: ARP in p and p[ARP].psrc == gateway and p[ARP].hwsrc == new) is not None
        r.lab.wait(lambda: new in r.a.netns.ip("neigh", "show", gateway), what="the new MAC known")
    assert r.a.ping(r.b.ip)


def test_a_pair_for_the_gateways_address_takes_it_from_nobody(routed):
    """Any VM may have it as a pair and not use it."""
    r = routed()
    net = r.nets[0]
    pairs = [{"ip_address": net[v]["gateway_ip"]} for v in ("v4", "v6")]
    other = r.lab.vm(net, allowed_address_pairs=pairs)
    for vm in (r.a, other):
        vm.netns.ip("neigh", "flush", "all")
        for v in ("v4", "v6"):
            assert vm.ping(net[v]["gateway_ip"])
    assert r.a.ping(r.b.ip) and r.a.ping(r.b.ip6)


def test_a_router_that_is_down_carries_nothing(lab, routed):
    r = routed()
    assert r.a.ping(r.b.ip)
    lab.api.update("router", r.router["id"], admin_state_up=False)
    assert not r.a.ping(r.b.ip, expect=False)
    lab.api.update("router", r.router["id"], admin_state_up=True)
    assert r.a.ping(r.b.ip)


def test_an_extra_route_leads_to_a_vm_that_forwards(lab, routed):
    """Extra routes: the next hop is a VM with an address pair for what is behind it."""
    r = routed()
    inner = "192.168.77.7"
    r.b.update(allowed_address_pairs=[{"ip_address": inner}])
    r.b.netns.ip("addr", "add", f"{inner}/32", "dev", "lo")
    assert not r.a.ping(inner, expect=False)
    lab.api.update("router", r.router["id"], routes=[{"destination": "192.168.77.0/24", "nexthop": r.b.ip}])
    for g in r.b.port["security_groups"]:
        lab.rule(g, "ingress icmp")
    assert r.a.ping(inner)


def test_trace_names_the_router(lab, routed):
    r = routed()
    out = lab.weft("trace", r.a.id, f"tcp > {r.b.ip}:22 syn")
    assert "route" in out and r.router["id"] in out
    out = lab.weft("show", "routers")
    assert r.router["id"] in out and "10.0.1.1/24" in out and "fd00:2::/64" in out
