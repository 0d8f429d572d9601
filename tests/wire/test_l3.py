# SPDX-License-Identifier: Apache-2.0
"""What translation must not break: ICMP errors both ways, path MTUs, fragments, checksums, routes (RFC 5508, 4787)."""
import contextlib
import errno
import itertools
import os
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror, fragment
from scapy.packet import Raw

from internet import Internet, Tenant, refused, seen_as, target, too_big, traceroute
from probe import Flow, expect, expect_all, flows
from test_offload import transfer
from vm import NO, YES

PHYSICAL = ["physnet1"]
MB = 1024 * 1024
SO_NO_CHECK = 11
_ids = itertools.count(1)
WAYS = pytest.mark.parametrize("way", ["snat", "floating"])


class World:
    """A VM that is open for everything, with a floating IP or without; `outer`: the address it goes out by."""

    def __init__(self, lab, floating=True, net=None, **attrs):
        self.net = net or Internet(lab)
        self.t = Tenant(self.net, **attrs)
        self.vm = self.t.vm([lab.group("ingress any", "ingress ipv6 any")])
        self.public = self.net.floating(self.vm) if floating else None
        self.outer = self.public.ip if floating else self.t.ip


def is_sound(packet):
    """Are all checksums right, those of a quoted packet included?"""
    def same(layer, name, made):
        return getattr(layer, name) == getattr(made, name)

    again = packet.copy()
    for layer in (IP, ICMP, UDP):
        if layer in again:
            del again[layer].chksum
    again = type(packet)(bytes(again))
    for layer in (IP, ICMP, UDP):
        if layer in packet and not same(packet[layer], "chksum", again[layer]) and not (
                layer is UDP and packet[UDP].chksum == 0):
            return False
    if IPerror in packet:
        inner = IP(bytes(packet[IPerror]))
        made = inner.copy()
        del made.chksum
        return inner.chksum == IP(bytes(made)).chksum
    return True


# ---- ICMP errors -----------------------------------------------------------------------------------


def test_a_traceroute_from_outside_shows_the_router_and_the_floating_ip(lab):
    w = World(lab)
    way = ["192.0.2.1", w.t.ip, w.public.ip]
    for options in ([], ["-I"], ["-T", "-p", "80"]):
        assert traceroute(w.net.host, w.public.ip, *options) == way
    assert traceroute(w.vm, w.net.host.ip) == [w.t.net["v4"]["gateway_ip"], w.net.gateway.ip, w.net.host.ip]


def test_a_traceroute_between_floating_ips_shows_both_routers(lab):
    w = World(lab)
    v = World(lab, net=w.net, n=2)
    assert traceroute(w.vm, v.public.ip, "-I") == [w.t.net["v4"]["gateway_ip"], v.t.ip, v.public.ip]


def test_a_traceroute_from_outside_shows_ipv6_as_it_is(lab):
    w = World(lab)
    assert traceroute(w.net.host, w.vm.ip6) == ["2001:db8:beef::1", w.t.ip6, w.vm.ip6]


def test_what_a_floating_ips_vm_refuses_is_told_outside(lab):
    """The error comes from the floating IP and quotes what its receiver sent: nothing of the inside is seen."""
    w = World(lab)
    with w.net.host.sniff() as got:
        assert refused(w.net.host, w.public.ip, 9)
        error = got(lambda p: ICMP in p and p[ICMP].type == 3)
    assert error[IP].src == w.public.ip and error[IP].dst == w.net.host.ip
    quoted = error[IPerror]
    assert (quoted.src, quoted.dst, error[UDPerror].dport) == (w.net.host.ip, w.public.ip, 9)
    assert is_sound(error)
    assert socket.inet_aton(w.vm.ip) not in bytes(error[IP])
    assert refused(w.net.host, w.vm.ip6, 9)


@WAYS
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_errors_from_outside_are_about_what_the_vm_sent(lab, way, proto):
    """The quotation is translated back, and an error about nothing does not come in."""
    w = World(lab, way == "floating")
    host, vm = w.net.host, w.vm
    with contextlib.closing(Flow(vm, host, 80, proto)) as flow, vm.sniff() as got:
        port = flow.client.getsockname()[1]
        seen = flow.server.getpeername()
        assert seen[0] == w.outer
        l4 = UDP if proto == "udp" else TCP
        sent = IP(src=w.outer, dst=host.ip) / l4(sport=seen[1], dport=80)
        raw = host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with contextlib.closing(raw):
            for about, mark in ((sent, 1), (IP(src=w.outer, dst=host.ip) / l4(sport=seen[1], dport=81), 2)):
                error = IP(src=host.ip, dst=w.outer) / ICMP(type=3, code=13, unused=mark) / Raw(bytes(about)[:28 + 8 * (mark - 1)])
                raw.sendto(bytes(error), (w.outer, 0))
            error = IP(src="192.0.2.50", dst=w.outer) / ICMP(type=11, code=0) / Raw(bytes(sent)[:28])
            raw.sendto(bytes(error), (w.outer, 0))
        first = got(lambda p: ICMP in p and p[ICMP].type == 3)
        later = got(lambda p: ICMP in p and p[ICMP].type == 11)
        for e, source in ((first, host.ip), (later, "192.0.2.50")):
            assert (e[IP].src, e[IP].dst) == (source, vm.ip)
            assert (e[IPerror].src, e[IPerror].dst) == (vm.ip, host.ip)
            inner = e[UDPerror if proto == "udp" else TCPerror]
            assert (inner.sport, inner.dport) == (port, 80)
            assert is_sound(e)
        assert not got(lambda p: ICMP in p and bytes(p[ICMP])[4:8] == b"\0\0\0\2", timeout=NO)
        if proto == "udp":  # it is the socket's business, too
            assert flow.client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EHOSTUNREACH
        flows(alive=[flow])


def test_echo_errors_are_translated_too(lab):
    """Time exceeded about a ping: the identifier comes back as the VM's."""
    w = World(lab, False)
    out = w.vm.netns.run("ping", "-n", "-c", "1", "-W", "3", "-t", "2", w.net.host.ip, check=False)
    assert f"From {w.net.gateway.ip}" in out and "Time to live exceeded" in out


# ---- Path MTUs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_a_small_tenant_network_is_told_outside(lab, version):
    """The router says how large a packet may be, about the packet as the outside sent it."""
    w = World(lab, mtu=1300)
    ip = target(w.vm, 6) if version == 6 else w.public.ip
    host = w.net.host
    assert "1 received" in too_big(host, ip, 1300)
    layer = ICMP if version == 4 else None
    with host.sniff() as got:
        said = too_big(host, ip, 1400)
        assert "1300" in said
        assert f"From {w.t.ip6 if version == 6 else w.t.ip}" in said
        if layer:
            error = got(lambda p: ICMP in p and p[ICMP].type == 3 and p[ICMP].code == 4)
            assert error[ICMP].nexthopmtu == 1300 and error[IPerror].dst == w.public.ip and is_sound(error)
    assert host.ping(ip, 4000, True, 1, "-M", "dont")


@pytest.mark.parametrize("way", ["snat", "floating"])
def test_a_narrow_link_beyond_is_found_both_ways(lab, way):
    """Fragmentation needed from a router far outside reaches the VM, translated."""
    w = World(lab, way == "floating", Internet(lab, narrow=1300))
    assert "1300" in too_big(w.vm, w.net.host.ip, 1400)
    client, server = w.vm.tcp_pair(w.net.host, 80)
    with contextlib.closing(client), contextlib.closing(server):
        transfer(client, server, MB)
        transfer(server, client, MB)
    if way == "floating":
        client, server = w.net.host.tcp_pair(w.public, 80)
        with contextlib.closing(client), contextlib.closing(server):
            transfer(client, server, MB)
            transfer(server, client, MB)


# ---- Fragments and checksums -----------------------------------------------------------------------


def datagram_to(w, source, to, data, order):
    """One datagram in fragments from the host (or the VM) in that order; what the receiver got, and from where."""
    receiver = w.vm if source is w.net.host else w.net.host
    with contextlib.closing(receiver.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s, \
            contextlib.closing(source.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        s.bind(("", 53))
        s.settimeout(YES)
        raw.connect((to, 0))
        pieces = fragment(IP(src=source.ip, dst=to, id=next(_ids)) / UDP(sport=4000, dport=53) / Raw(data), 1000)
        for i in order(range(len(pieces))):
            raw.send(bytes(pieces[i]))
        return s.recvfrom(65536)


@WAYS
@pytest.mark.parametrize("order", [list, lambda r: list(reversed(r)), lambda r: [1, 0, *r[2:]]],
                         ids=["in order", "backwards", "second first"])
def test_fragments_in_any_order(lab, way, order):
    w = World(lab, way == "floating")
    data = os.urandom(4000)
    got, who = datagram_to(w, w.vm, w.net.host.ip, data, order)
    assert got == data and who[0] == w.outer
    if way == "floating":
        got, who = datagram_to(w, w.net.host, w.public.ip, data, order)
        assert got == data and who == (w.net.host.ip, 4000)


@WAYS
def test_large_datagrams_and_answers(lab, way):
    """Of the kernels' own making: 20 kB there, 20 kB back."""
    w = World(lab, way == "floating")
    client, server = w.vm.udp_pair(w.net.host, 53)
    data = os.urandom(20000)
    with contextlib.closing(client), contextlib.closing(server):
        server.settimeout(YES)
        client.settimeout(YES)
        client.send(data)
        got, who = server.recvfrom(65536)
        assert got == data and who[0] == w.outer
        server.sendto(data[::-1], who)
        assert client.recv(65536) == data[::-1]


@WAYS
def test_udp_without_checksum_stays_so(lab, way):
    w = World(lab, way == "floating")
    client, server = w.vm.udp_pair(w.net.host, 53)
    with contextlib.closing(client), contextlib.closing(server), w.net.host.sniff() as out, w.vm.sniff() as back:
        for s in (client, server):
            s.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            s.settimeout(YES)
        client.send(b"none")
        data, who = server.recvfrom(100)
        server.sendto(b"here neither", who)
        assert data == b"none" and who[0] == w.outer and client.recv(100) == b"here neither"
        for got in (out, back):
            assert got(lambda p: UDP in p and 53 in (p[UDP].sport, p[UDP].dport))[UDP].chksum == 0


@WAYS
def test_checksums_are_right_on_the_wire(lab, way):
    """Of short packets of every kind, made whole by the VM."""
    w = World(lab, way == "floating")
    w.vm.netns.run("ethtool", "-K", "eth0", "tx", "off")
    with w.net.out.tap() as got:
        expect(w.vm, w.net.host, yes=["icmp", "udp 53", "udp 54", "udp 55"])
        for proto in (ICMP, UDP):
            frame = got(lambda p, proto=proto: proto in p and p[IP].src == w.outer)
            assert is_sound(frame[IP])


# ---- Routes ----------------------------------------------------------------------------------------


def test_an_extra_route_outside_leads_to_another_gateway(lab):
    """A route over the external network whose next hop is not the default one: translated there, too."""
    w = World(lab, False)
    second = w.net.out.host("203.0.113.9/24", vlan=w.net.vlan, forward=True)
    far = w.net.out.beyond(second, "198.18.5.7/24")
    lab.api.update("router", w.t.router["id"], routes=[{"destination": "198.18.5.0/24", "nexthop": "203.0.113.9"}])
    assert traceroute(w.vm, far.ip) == [w.t.net["v4"]["gateway_ip"], "203.0.113.9", far.ip]
    assert seen_as(w.vm, far)[0] == w.t.ip
    assert seen_as(w.vm, w.net.host)[0] == w.t.ip


def test_networks_inside_reach_each_other_untranslated(lab):
    """Source NAT is for what leaves: not between the networks of a router, nor for who has a floating IP."""
    w = World(lab)
    inner = lab.network("10.0.9.0/24", "2001:db8:9::/64")
    for v in ("v4", "v6"):
        lab.join(w.t.router, inner[v])
    b = lab.vm(inner, [lab.group("ingress any", "ingress ipv6 any")])
    b.default_routes()
    expect_all([(x, y, p, True) for x, y in ((w.vm, b), (b, w.vm)) for p in ("icmp", "tcp 80", "ipv6 icmp", "ip 47")])
    assert seen_as(w.vm, b)[0] == w.vm.ip
    assert seen_as(b, w.vm)[0] == b.ip
    assert seen_as(b, w.public)[0] == w.t.ip


def test_a_router_between_external_networks_carries_nobody_elses_traffic(lab):
    """Whoever outside sends to the router what is for somebody else outside is not served."""
    w = World(lab)
    other = w.net.out.host("203.0.113.200/24", vlan=w.net.vlan)
    other.netns.ip("route", "add", "192.0.2.0/25", "via", w.t.ip)
    assert not other.ping(w.net.host, expect=False)
    assert other.ping(w.public.ip)


def test_an_inside_address_from_outside_is_not_believed(lab):
    """A prefix rule for the inside does not open the floating IP to who claims such an address outside."""
    w = World(lab)
    vm = w.t.vm([lab.group(f"ingress udp 53 from {w.vm.ip}/32", "ingress udp 54")])
    public = w.net.floating(vm)
    gateway = w.net.gateway
    with vm.sniff() as got, contextlib.closing(gateway.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        before = lab.api.drops().get("reverse-path", 0)
        raw.sendto(bytes(IP(src=w.vm.ip, dst=public.ip) / UDP(sport=1, dport=53) / Raw(b"spoofed")), (public.ip, 0))
        raw.sendto(bytes(IP(src=gateway.ip, dst=public.ip) / UDP(sport=1, dport=54) / Raw(b"honest")), (public.ip, 0))
        assert got(lambda p: UDP in p and p[UDP].dport == 54)
        assert not got(lambda p: UDP in p and p[UDP].dport == 53, NO)
        assert lab.api.drops()["reverse-path"] == before + 1
