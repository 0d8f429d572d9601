# SPDX-License-Identifier: Apache-2.0
"""Who has an address or a MAC, where only the wire knows: real IP stacks that take others than the plan says, and move them."""
import contextlib

import pytest

from internet import Internet, Tenant
from netns import Netns
from probe import Flow, flows
from vm import YES

PHYSICAL = ["physnet1"]
ROUTER6 = "2001:db8:77::"  # what the IPv6 router has behind it


@pytest.fixture
def two(lab):
    """Two networks on a router, and a client on the second."""
    a = lab.network("10.0.0.0/24", "2001:db8:a::/64")
    b = lab.network("10.0.1.0/24", "2001:db8:b::/64")
    router = lab.api.create("router")
    for net in (a, b):
        for v in ("v4", "v6"):
            lab.join(router, net[v])
    a["router"] = router
    a["group"] = lab.group("ingress icmp", "ingress ipv6 icmpv6", "ingress tcp 80")
    client = lab.vm(b)
    client.default_routes()
    return a, client


def vm(lab, net, groups=None, **attrs):
    v = lab.vm(net, [net["group"]] if groups is None else groups, **attrs)
    v.default_routes()
    return v


def unfiltered(lab, net):
    return vm(lab, net, [], port_security_enabled=False)


def announce(host, ip, mac=None, dev="eth0"):
    """As keepalived and others do, when they take an address; from the kernel's own table."""
    host.run("/usr/bin/python3", "-c", f"""
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("{dev}", 0))
mac = s.getsockname()[4]
ip = socket.inet_aton("{ip}")
for op in (1, 2):
    s.send(b"\\xff" * 6 + mac + b"\\x08\\x06\\0\\1\\x08\\0\\6\\4\\0" + bytes([op]) + mac + ip + b"\\xff" * 6 + ip)
""")


# ---- A VM without port security that takes another MAC ---------------------------------------------


def test_a_vm_that_takes_another_mac_is_reached_once_port_security_is_off(lab):
    """Tempest's macspoofing scenario, and by its floating IP."""
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("ingress icmp", "ingress tcp 80")
    a, b = t.vm([group]), t.vm([group])
    public = net.floating(b)
    assert a.ping(b.ip) and net.host.ping(public)
    b.set_mac("02:00:5e:77:00:01")
    assert not a.ping(b.ip, 56, False)
    b.update(port_security_enabled=False, security_groups=[])
    a.netns.ip("neigh", "flush", "all")
    lab.wait(lambda: a.ping(b.ip), what="the VM on its own network")
    assert net.host.ping(public)
    assert net.host.tcp(b, 80, ip=public.ip)
    # Once more, while a connection is open: it goes on.
    with contextlib.closing(Flow(net.host, public, 80)) as flow:
        b.set_mac("02:00:5e:77:00:02")
        announce(b.netns, b.ip)
        lab.wait(lambda: net.host.ping(public, 56, False), what="the floating IP at the next MAC")
        flows(alive=[flow])
    # And with port security again it is not believed.
    b.update(port_security_enabled=True, security_groups=[group["id"]])
    assert not net.host.ping(public, 56, False)
    b.set_mac(b.port["mac_address"])
    a.netns.ip("neigh", "flush", "all")
    lab.wait(lambda: a.ping(b.ip) and net.host.ping(public), what="the VM at its port's MAC")


# ---- A VM that is an IPv6 router -------------------------------------------------------------------


def test_hosts_of_an_ipv6_router_that_is_a_vm_keep_it(lab):
    """It advertises itself; hosts that check whether it is there hear from itself that it is a router."""
    from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6
    from scapy.layers.l2 import Ether

    net = lab.network("10.0.0.0/24", "2001:db8:a::/64")
    net["group"] = lab.group("ingress icmp", "ingress ipv6 icmpv6")
    router = lab.vm(net, [], port_security_enabled=False)
    router.netns.sysctl("net.ipv6.conf.all.forwarding", 1)
    router.netns.ip("addr", "add", f"{ROUTER6}1/64", "dev", "lo", "nodad")
    host = lab.vm(net, [net["group"]])
    host.netns.sysctl("net.ipv6.conf.eth0.accept_ra", 1)
    local = next(line.split()[1].split("/")[0] for line in
                 router.netns.ip("-6", "addr", "show", "dev", "eth0", "scope", "link").splitlines() if "inet6" in line)

    def routes():
        return host.netns.ip("-6", "route", "show", "default")

    router.send(Ether(src=router.mac, dst="33:33:00:00:00:01") / IPv6(src=local, dst="ff02::1", hlim=255)
                / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=router.mac))
    lab.wait(lambda: local in routes(), what="the default route")
    assert host.ping(f"{ROUTER6}1")
    # The kernel asks the router itself (RFC 4861, 7.3), and hears from it.
    host.netns.ip("-6", "neigh", "change", local, "lladdr", router.mac, "nud", "probe", "dev", "eth0")
    lab.wait(lambda: "REACHABLE" in host.netns.ip("-6", "neigh", "show", local), what="the router's answer")
    assert local in routes()
    assert "router" in host.netns.ip("-6", "neigh", "show", local)
    # The same when it has forgotten the MAC, and asks everybody.
    host.netns.ip("-6", "neigh", "flush", "dev", "eth0")
    assert host.ping(f"{ROUTER6}1")
    assert local in routes()
    assert "router" in host.netns.ip("-6", "neigh", "show", local)
    # ARP, too: of a VM with port security.
    other = lab.vm(net, [net["group"]])
    assert host.ping(other.ip)
    with other.sniff() as got:
        host.netns.ip("neigh", "change", other.ip, "lladdr", other.mac, "nud", "probe", "dev", "eth0")
        assert got(lambda p: p.type == 0x0806 and p.dst == other.mac) is not None
    lab.wait(lambda: "REACHABLE" in host.netns.ip("neigh", "show", other.ip), what="the VM's answer")


# ---- Addresses that the plan does not give to anybody ----------------------------------------------


def test_addresses_of_a_pair_for_a_prefix_are_reached_through_a_router(lab, two):
    net, client = two
    pods = vm(lab, net, allowed_address_pairs=[{"ip_address": "10.0.0.192/28"}, {"ip_address": "2001:db8:a::1:0/112"},
                                               {"ip_address": "172.16.0.0/16"}])
    other = vm(lab, net)
    for ip in ("10.0.0.199/24", "2001:db8:a::1:7/64", "172.16.1.1/32"):
        pods.add_ip(ip)
    before = client.drops("next-hop-wait")
    assert client.ping("10.0.0.199", 56, True, 1)
    assert client.ping("2001:db8:a::1:7", 56, True, 1)
    assert client.tcp(pods, 80, ip="10.0.0.199")
    assert client.drops("next-hop-wait") == before
    # One of them as the next hop of an extra route.
    lab.api.update("router", net["router"]["id"], routes=[{"destination": "172.16.0.0/16", "nexthop": "10.0.0.200"}])
    pods.add_ip("10.0.0.200/24")
    assert client.ping("172.16.1.1", 56, True, 1)
    lab.api.update("router", net["router"]["id"], routes=[])
    # Whoever has no such pair cannot take one.
    pods.netns.ip("addr", "del", "10.0.0.199/24", "dev", "eth0")
    other.add_ip("10.0.0.199/24")
    announce(other.netns, "10.0.0.199")
    assert not client.ping("10.0.0.199", 56, False)


def test_unknown_addresses_behind_a_port_without_port_security_are_reached_through_a_router(lab, two):
    net, client = two
    box = unfiltered(lab, net)
    for ip in ("10.0.0.77/24", "2001:db8:a::77/64", "172.17.1.1/32"):
        box.add_ip(ip)
    assert client.ping("10.0.0.77", 56, True, 1)
    assert client.ping("2001:db8:a::77", 56, True, 1)
    lab.api.update("router", net["router"]["id"], routes=[{"destination": "172.17.0.0/16", "nexthop": "10.0.0.77"}])
    assert client.ping("172.17.1.1", 56, True, 1)
    lab.api.update("router", net["router"]["id"], routes=[])
    # What nobody has is told within seconds, and what is another's stays his.
    text = client.netns.run("ping", "-n", "-c", 1, "-W", 8, "10.0.0.78", check=False)
    assert "unreachable" in text.lower(), text
    other = vm(lab, net)
    box.add_ip(f"{other.ip}/24")
    announce(box.netns, other.ip)
    with other.sniff() as got:
        assert client.ping(other.ip, 77)
        assert got(lambda p: len(p) == 14 + 20 + 8 + 77) is not None


# ---- A standby -------------------------------------------------------------------------------------


def test_a_standby_that_takes_over_a_fixed_address_is_followed_by_routers(lab, two):
    net, client = two
    one = vm(lab, net)
    two_ = vm(lab, net, allowed_address_pairs=[{"ip_address": one.ip}])
    neighbour = vm(lab, net)
    assert client.ping(one.ip) and neighbour.ping(one.ip)
    for old, new in ((one, two_), (two_, one)):
        old.netns.ip("addr", "del", f"{one.ip}/24", "dev", "eth0")
        new.add_ip(f"{one.ip}/24")
        new.netns.ip("route", "replace", "default", "via", net["v4"]["gateway_ip"])
        announce(new.netns, one.ip)
        lab.wait(lambda: client.ping(one.ip, 56, False), what="the address at its new place, through the router")
        assert client.tcp(new, 80, ip=one.ip)
        assert neighbour.ping(one.ip)


# ---- MACs behind a port ----------------------------------------------------------------------------


@contextlib.contextmanager
def inner(host, name, ip, mac=None):
    """A host behind the VM, at its own MAC, as a bridge or a container has them."""
    ns = Netns(name)
    try:
        more = ["address", mac] if mac else []
        host.netns.ip("link", "add", "link", "eth0", "name", "mv0", *more, "netns", name, "type", "macvlan", "mode", "bridge")
        ns.ip("link", "set", "mv0", "up")
        ns.ip("addr", "add", ip, "dev", "mv0")
        ns.mac = next(w for w in ns.ip("-o", "link", "show", "mv0").split("link/ether ")[1].split())
        yield ns
    finally:
        ns.close()


def test_hosts_behind_a_vm_are_reached_and_followed(lab, two):
    net, client = two
    boxes = [unfiltered(lab, net) for _ in range(2)]
    plain = vm(lab, net)
    with inner(boxes[0], lab.prefix + "i1", "10.0.0.77/24") as host:
        mac = host.mac
        assert plain.ping("10.0.0.77", 56, True, 1)
        with boxes[1].sniff() as got:  # what is for it is not for the other one
            assert plain.ping("10.0.0.77", 77, True, 3)
            boxes[0].ping(boxes[1].ip, 33)
            assert got(lambda p: len(p) == 14 + 20 + 8 + 33) is not None
            assert got(lambda p: len(p) == 14 + 20 + 8 + 77, 0.1) is None
        host.ip("route", "add", "default", "via", net["v4"]["gateway_ip"])
        assert client.ping("10.0.0.77", 56, True, 1)
    with inner(boxes[1], lab.prefix + "i2", "10.0.0.77/24", mac) as host:
        host.ip("route", "add", "default", "via", net["v4"]["gateway_ip"])
        announce(host, "10.0.0.77", dev="mv0")
        lab.wait(lambda: plain.ping("10.0.0.77", 56, False), what="the host at its new place")
        lab.wait(lambda: client.ping("10.0.0.77", 56, False), what="the host at its new place, through the router")


def test_a_thousand_hosts_behind_a_vm_are_known(lab, two):
    """As frames say it: a bridge with a thousand MACs."""
    from scapy.layers.l2 import ARP, Ether

    net, _ = two
    box, other = (unfiltered(lab, net) for _ in range(2))
    plain = vm(lab, net)
    macs = [f"02:00:5e:66:{i >> 8:02x}:{i & 255:02x}" for i in range(1000)]
    ip = "10.0.0.99"
    sends = [Ether(src=m, dst=plain.mac) / ARP(op=2, hwsrc=m, psrc=ip, hwdst=plain.mac, pdst=plain.ip) for m in macs]
    for i in range(0, len(sends), 100):
        box.send(*sends[i:i + 100])
        assert box.ping(plain.ip)

    def learned():
        line = next(x for x in lab.api.request("GET", "/metrics").splitlines() if x.startswith("weft_learned_macs "))
        return int(line.split()[1])

    lab.wait(lambda: learned() >= len(macs), what="a thousand MACs")
    with other.sniff() as got:
        for m in macs[::100]:
            plain.send(Ether(src=plain.mac, dst=m) / ARP(op=2, hwsrc=plain.mac, psrc=plain.ip, hwdst=m, pdst=ip))
        assert plain.ping(other.ip, 33)
        assert got(lambda p: len(p) == 14 + 20 + 8 + 33, YES) is not None
        assert got(lambda p: p.dst in macs, 0.1) is None
