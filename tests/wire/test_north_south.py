# SPDX-License-Identifier: Apache-2.0
"""North-south without a floating IP: VMs reach the internet by their router's address, IPv6 ones as they are (70, 86, 87)."""
import contextlib
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from internet import At, Internet, Tenant, refused, seen_as, target, too_big, traceroute
from probe import Flow, expect, expect_all, flows
from test_offload import transfer

PHYSICAL = ["physnet1"]
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
EVERYTHING = ["icmp", "tcp 80", "udp 53", "ipv6 icmp", "ipv6 tcp 80", "ipv6 udp 53"]
MB = 1024 * 1024


@KINDS
def test_a_vm_reaches_the_internet_and_its_gateway(lab, vlan):
    """70, 87: whatever a VM without any ingress rule asks is answered."""
    net = Internet(lab, vlan)
    vm = Tenant(net).vm([lab.group()])
    for host in (net.host, net.gateway):
        expect(vm, host, yes=EVERYTHING)
    assert vm.ping(net.host, 8000) and vm.ping(net.host.ip6, 8000)


def test_the_internet_sees_the_router_of_ipv4_and_the_vm_of_ipv6(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    assert seen_as(vm, net.host, source_port=40001) == (t.ip, 40001)
    assert seen_as(vm, net.host, version=6, source_port=40001) == (vm.ip6, 40001)


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"hello {self.client_address[0]}\n".encode() + b"x" * 300000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@VERSIONS
def test_curl_gets_a_page(lab, version):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    server = HTTPServer(("", 0), Page, bind_and_activate=False)
    server.socket.close()
    server.socket = net.host.listen(80, version=version)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        ip = target(net.host, version)
        page = vm.netns.run("curl", "-s", "-m", 10, f"http://[{ip}]/" if version == 6 else f"http://{ip}/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    who = page.split("\n")[0].split()[1].removeprefix("::ffff:")
    assert who == (vm.ip6 if version == 6 else t.ip)
    assert len(page) > 300000


@VERSIONS
def test_a_packet_loses_one_hop_at_the_router_and_comes_from_its_mac(lab, version):
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    layer = IPv6 if version == 6 else IP
    port = next(p for p in lab.api.list("port", device_id=t.router["id"]) if p["device_owner"] == "network:router_gateway")
    with net.gateway.sniff() as got:
        assert vm.ping(target(net.host, version), 56, True, 1, "-t", "33")
        frame = got(lambda p: layer in p and p[layer].dst == target(net.host, version))
    assert (frame[layer].hlim if version == 6 else frame[layer].ttl) == 32
    assert frame.src == port["mac_address"] and frame.dst == net.gateway.mac
    with vm.sniff() as got:
        assert vm.ping(target(net.host, version))
        frame = got(lambda p: layer in p and p[layer].src == target(net.host, version))
    assert (frame[layer].hlim if version == 6 else frame[layer].ttl) == 62  # the gateway, the router


@VERSIONS
@pytest.mark.parametrize("options", [[], ["-I"], ["-T", "-p", "80"]], ids=["udp", "icmp", "tcp"])
def test_a_traceroute_shows_the_router_the_gateway_and_the_host(lab, version, options):
    net = Internet(lab)
    t = Tenant(net)
    way = [t.net[f"v{version}"]["gateway_ip"], target(net.gateway, version), target(net.host, version)]
    assert traceroute(t.vm(), way[-1], *options) == way


@VERSIONS
def test_what_the_internet_refuses_is_told_to_the_vm(lab, version):
    """Errors from the host itself, and from a router on the way, about UDP and TCP."""
    net = Internet(lab)
    vm = Tenant(net).vm()
    assert refused(vm, target(net.host, version), 9)
    with pytest.raises(ConnectionRefusedError):
        vm.connect(target(net.host, version), 9)
    nowhere = "2001:db8:dead::1" if version == 6 else "198.18.0.1"
    net.gateway.netns.ip(f"-{version}", "route", "add", "unreachable", nowhere)
    with pytest.raises(OSError, match="No route to host|Network is unreachable"):
        vm.connect(nowhere, 9)


def test_a_next_hop_that_is_not_there_is_told(lab):
    net = Internet(lab)
    vm = Tenant(net).vm()
    pings = [vm.netns.popen("ping", "-n", "-c", "1", "-W", "5", nobody, stdout=subprocess.PIPE, text=True)
             for nobody in ("203.0.113.199", "2001:db8:ffff::99")]
    for p in pings:
        assert "nreachable" in p.communicate()[0]
    expect(vm, net.host, yes=["icmp", "ipv6 icmp"])


@VERSIONS
def test_a_narrow_link_beyond_is_found_and_large_transfers_complete(lab, version):
    """Path MTU discovery by a router that is not ours."""
    net = Internet(lab, narrow=1300)
    vm = Tenant(net).vm()
    ip = target(net.host, version)
    client, server = vm.tcp_pair(net.host, 80, version)
    with contextlib.closing(client), contextlib.closing(server):
        transfer(client, server, MB)
        transfer(server, client, MB)
    assert "1 received" in too_big(vm, ip, 1300)
    assert "1300" in too_big(vm, ip, 1400)


@VERSIONS
def test_an_external_network_of_small_mtu_is_told_and_large_transfers_complete(lab, version):
    net = Internet(lab, mtu=1300)
    vm = Tenant(net).vm()
    ip = target(net.host, version)
    client, server = vm.tcp_pair(net.host, 80, version)
    with contextlib.closing(client), contextlib.closing(server):
        transfer(client, server, MB)
        transfer(server, client, MB)
    assert "1 received" in too_big(vm, ip, 1300)
    assert "1300" in too_big(vm, ip, 1400)
    assert vm.ping(ip, 4000, True, 1, "-M", "dont")


def test_nobody_outside_reaches_what_is_behind_a_translating_router(lab):
    """Neither by the router's address nor, though somebody outside has a route, by its own; though every group would
    admit it."""
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress any", "ingress ipv6 any")])
    net.route("10.0.1.0/24", t.ip)
    before = lab.api.drops()
    at_router = ["tcp 80", "udp 53", "sctp 9", "ip 47", "ip 253"]
    expect_all([(net.host, At(vm, t.ip), p, False) for p in at_router] +
               [(net.host, vm, p, False) for p in ("icmp", "tcp 81", "udp 54", "sctp 10", "ip 48", "ip 254")] +
               [(net.host, vm, p, True) for p in ("ipv6 icmp", "ipv6 tcp 80", "ipv6 udp 53", "ipv6 ip 47")])
    drops = lab.api.drops()
    assert drops["nat-no-state"] - before.get("nat-no-state", 0) >= 11


def test_the_router_answers_pings_from_outside(lab):
    net = Internet(lab)
    t = Tenant(net)
    t.vm()
    for ip in (t.ip, t.ip6):
        assert net.host.ping(ip) and net.gateway.ping(ip)
    assert not net.host.ping("10.0.1.1", expect=False)


@VERSIONS
def test_a_router_without_snat_routes_both_ways(lab, version):
    """enable_snat: false. The groups say who may come in."""
    net = Internet(lab)
    t = Tenant(net, snat=False)
    vm = t.vm([lab.group("ingress tcp 80 from 192.0.2.7/32", "ingress ipv6 tcp 80 from 2001:db8:beef::7/128")])
    net.route("10.0.1.0/24", t.ip)
    v = "ipv6 " if version == 6 else ""
    expect_all([(vm, net.host, v + p, True) for p in ("icmp", "tcp 80", "udp 53", "ip 47")] +
               [(net.host, vm, v + "tcp 80", True)] + [(net.host, vm, v + p, False) for p in ("tcp 81", "icmp", "udp 53")] +
               [(net.gateway, vm, v + "tcp 80", False)])
    assert seen_as(vm, net.host, version, source_port=40001) == (target(vm, version), 40001)
    assert traceroute(net.host, target(vm, version), "-T", "-p", "80")[1:] == [
        t.ip6 if version == 6 else t.ip, target(vm, version)]


def test_source_nat_is_switched_off_and_on(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    net.route("10.0.1.0/24", t.ip)
    for on in (False, True):
        lab.api.update("router", t.router["id"],
                       external_gateway_info={"network_id": net.network["id"], "enable_snat": on})
        assert seen_as(vm, net.host)[0] == (t.ip if on else vm.ip)


def test_a_router_that_is_down_and_one_without_gateway_carry_nothing_out(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    at_router = At(vm, t.ip)
    with contextlib.closing(Flow(vm, net.host, 80)) as tcp, contextlib.closing(Flow(vm, net.host, 80, "tcp", 6)) as tcp6:
        lab.api.update("router", t.router["id"], admin_state_up=False)
        flows(dead=[tcp, tcp6])
        expect_all([(vm, net.host, "icmp", False), (vm, net.host, "ipv6 icmp", False), (net.host, at_router, "icmp", False),
                    (net.gateway, net.host, "icmp", True)])
        lab.api.update("router", t.router["id"], admin_state_up=True)
        flows(alive=[tcp, tcp6])
        lab.api.update("router", t.router["id"], external_gateway_info=None)
        flows(dead=[tcp, tcp6])
    for host in (net.host.ip, net.host.ip6):  # the router says so, though not always at once
        lab.wait(lambda h=host: "nreachable" in vm.netns.run("ping", "-n", "-c", "1", "-W", "1", h, check=False),
                 what=f"{host} unreachable")
    assert not net.host.ping(t.ip, expect=False)


def test_a_gateway_that_is_set_again_translates_again(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    assert vm.ping(net.host)
    lab.api.update("router", t.router["id"], external_gateway_info={})
    again = lab.api.update("router", t.router["id"], external_gateway_info={
        "network_id": net.network["id"], "external_fixed_ips": [{"ip_address": "203.0.113.77"}]})
    assert again["external_gateway_info"]["external_fixed_ips"][0]["ip_address"] == "203.0.113.77"
    assert seen_as(vm, net.host)[0] == "203.0.113.77"
    assert net.host.ping("203.0.113.77")


def test_a_network_behind_a_second_router_is_translated_at_the_last(lab):
    """86: routers in series, extra routes both ways; each shows up in a traceroute."""
    net = Internet(lab)
    transit = Tenant(net, 1)
    inner = lab.network("10.0.2.0/24", "2001:db8:2::/64")
    first = lab.api.create("router", name="inner")
    for v in ("v4", "v6"):
        lab.join(first, inner[v])
    port = lab.api.create("port", network_id=transit.net["id"])
    lab.api.request("PUT", f"/v2.0/routers/{first['id']}/add_router_interface", {"port_id": port["id"]})
    addresses = {f["ip_address"].count(":") and 6 or 4: f["ip_address"] for f in port["fixed_ips"]}
    lab.api.update("router", first["id"], routes=[
        {"destination": "0.0.0.0/0", "nexthop": transit.net["v4"]["gateway_ip"]},
        {"destination": "::/0", "nexthop": transit.net["v6"]["gateway_ip"]}])
    lab.api.update("router", transit.router["id"], routes=[
        {"destination": "10.0.2.0/24", "nexthop": addresses[4]}, {"destination": "2001:db8:2::/64", "nexthop": addresses[6]}])
    net.route("2001:db8:2::/64", transit.ip6)
    vm = lab.vm(inner)
    vm.default_routes()
    expect(vm, net.host, yes=EVERYTHING)
    assert seen_as(vm, net.host)[0] == transit.ip
    for version in (4, 6):
        v = f"v{version}"
        assert traceroute(vm, target(net.host, version)) == [
            inner[v]["gateway_ip"], transit.net[v]["gateway_ip"], target(net.gateway, version), target(net.host, version)]
