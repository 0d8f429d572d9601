# SPDX-License-Identifier: Apache-2.0
"""Whoever is behind a router: VMs of other kinds than the plain one, and other networks than the plain one."""
import contextlib
import errno
import socket
import struct

import pytest

from internet import At, Internet, Tenant, outer, seen_as
from probe import Flow, expect, expect_all, flows
from vm import YES

PHYSICAL = ["physnet1", "physnet2"]


def test_a_vm_with_its_route_from_dhcp(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = lab.vm(t.net, dhcp=True)
    assert vm.ping(net.host)
    assert seen_as(vm, net.host)[0] == t.ip


def test_a_vm_without_port_security(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm(port_security_enabled=False, security_groups=[])
    expect(vm, net.host, yes=["icmp", "tcp 80", "udp 53"])
    public = net.floating(vm)
    expect(net.host, public, yes=["icmp", "tcp 80", "udp 53", "ip 47"])


def test_stateless_groups_judge_answers_by_their_own_rules(lab):
    """61: an answer from outside needs a rule; what has one works, translated or not."""
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress tcp", "ingress ipv6 tcp", stateful=False)])
    expect(vm, net.host, yes=["tcp 80", "ipv6 tcp 80"], no=["udp 53", "icmp", "ipv6 udp 53"])
    public = net.floating(vm)
    expect_all([(net.host, public, "tcp 80", True), (net.host, public, "udp 53", False), (vm, net.host, "tcp 81", True),
                (vm, net.host, "udp 54", False)])


def test_an_answer_that_nobody_waits_for_any_more_is_refused_as_it_would_be_without_a_router(lab):
    """The VM's own error about an answer goes out translated."""
    net = Internet(lab)
    vm = Tenant(net).vm()
    client, server = vm.udp_pair(net.host, 53)
    with contextlib.closing(server):
        client.send(b"question")
        server.settimeout(YES)
        _, who = server.recvfrom(100)
        client.close()
        server.connect(who)
        server.send(b"answer")
        with pytest.raises(ConnectionRefusedError):
            server.recv(100)


def test_the_same_ports_again_and_again(lab):
    """Connections that end by FIN or RST make room for the next one of the same addresses and ports."""
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    with contextlib.closing(net.host.listen(80)) as server:
        server.settimeout(YES)
        def connect():  # the last acknowledgement may be on its way
            try:
                return vm.connect(net.host.ip, 80, source_port=7000)
            except OSError as e:
                assert e.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE)

        for i in range(30):
            client = lab.wait(connect)
            peer, address = server.accept()
            assert address == (t.ip, 7000)
            if i % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                peer.close()
            else:  # the server closes first and waits; its kernel takes a later sequence number as the next connection's
                peer.close()
                assert client.recv(1) == b""
                client.close()


# ---- Addresses that several VMs may have -----------------------------------------------------------


def claims(vm, ip):
    """The VM takes the address, as keepalived does."""
    vm.netns.ip("addr", "add", f"{ip}/24", "dev", "eth0")
    vm.netns.run("/usr/bin/python3", "-c", f"""
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
mac = bytes.fromhex("{vm.mac.replace(":", "")}")
ip = socket.inet_aton("{ip}")
for op in (1, 2):
    s.send(b"\\xff" * 6 + mac + b"\\x08\\x06\\0\\1\\x08\\0\\6\\4\\0" + bytes([op]) + mac + ip + b"\\xff" * 6 + ip)
""")


def test_a_floating_ip_of_a_shared_address_leads_to_who_has_it(lab):
    """Keepalived, Octavia: a port that is nowhere keeps the address, VMs with it as an allowed pair take turns."""
    net = Internet(lab)
    t = Tenant(net)
    vip = lab.api.create("port", network_id=t.net["id"], fixed_ips=[{"subnet_id": t.net["v4"]["id"]}])
    ip = vip["fixed_ips"][0]["ip_address"]
    group = lab.group("ingress tcp 80", "ingress icmp")
    a, b = (t.vm([group], allowed_address_pairs=[{"ip_address": ip}]) for _ in range(2))
    fip = lab.api.create("floatingip", floating_network_id=net.network["id"], port_id=vip["id"])["floating_ip_address"]
    claims(a, ip)
    expect(net.host, At(a, fip), yes=["icmp", "tcp 80"])
    for old, new in ((a, b), (b, a)):
        with contextlib.closing(Flow(net.host, At(old, fip), 80)) as flow:
            old.netns.ip("addr", "del", f"{ip}/24", "dev", "eth0")
            claims(new, ip)
            lab.wait(lambda: net.host.ping(fip, 56, False), what="the floating IP at its new place")
            flows(dead=[flow])
        expect(net.host, At(new, fip), yes=["icmp", "tcp 80"])


# ---- Networks --------------------------------------------------------------------------------------


def test_a_vm_on_the_external_network_itself(lab):
    """It has an address outside; it meets floating IPs and routers on its own network, and the internet without them."""
    net = Internet(lab)
    t = Tenant(net)
    direct = lab.vm(net.network, [lab.group("ingress tcp 80", "ingress icmp", "ingress udp 53")])
    direct.default_routes()
    inner = t.vm([lab.group("ingress tcp 80", "ingress icmp", "ingress udp 53")])
    expect_all([(direct, net.host, "tcp 80", True), (inner, direct, "tcp 80", True), (inner, direct, "udp 53", True),
                (inner, direct, "icmp", True), (inner, direct, "tcp 81", False), (net.host, direct, "tcp 80", True)])
    assert seen_as(inner, direct)[0] == t.ip
    public = net.floating(inner)
    expect(direct, public, yes=["icmp", "tcp 80", "udp 53"], no=["tcp 81"])
    assert seen_as(direct, public)[0] == direct.ip
    assert seen_as(inner, direct)[0] == public.ip
    assert direct.ping(t.ip)


def test_equal_external_networks_on_two_physical_networks_do_not_meet(lab):
    nets = [Internet(lab, physical=p) for p in PHYSICAL]
    tenants = [Tenant(n, 1, n6=i + 1) for i, n in enumerate(nets)]
    group = lab.group("ingress tcp 80")
    vms = [t.vm([group]) for t in tenants]
    publics = [n.floating(vm, floating_ip_address="203.0.113.77") for n, vm in zip(nets, vms)]
    for net, vm, public in zip(nets, vms, publics):
        assert seen_as(vm, net.host)[0] == public.ip
        with contextlib.closing(Flow(net.host, public, 80)) as flow:
            flows(alive=[flow])
    lab.api.delete("floatingip", publics[0].fip["id"])
    expect_all([(nets[1].host, publics[1], "tcp 80", True), (nets[0].host, publics[0], "tcp 80", False)])


def test_a_second_router_on_the_subnet_translates_who_uses_it(lab):
    """78: both routers answer, each VM goes out by the one that it sends to."""
    net = Internet(lab)
    t = Tenant(net)
    port = lab.api.create("port", network_id=t.net["id"], fixed_ips=[{"subnet_id": t.net["v4"]["id"]}])
    second = net.router()
    lab.api.request("PUT", f"/v2.0/routers/{second['id']}/add_router_interface", {"port_id": port["id"]})
    ip = port["fixed_ips"][0]["ip_address"]
    vm = t.vm()
    assert vm.ping(t.net["v4"]["gateway_ip"]) and vm.ping(ip)
    assert seen_as(vm, net.host)[0] == t.ip
    vm.netns.ip("route", "replace", "default", "via", ip)
    assert seen_as(vm, net.host)[0] == outer(second)


def test_the_cable_pulled_and_put_back(own_lab):
    """Flows go on; floating IPs are announced again."""
    lab = own_lab
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group("ingress tcp 80")])
    with contextlib.closing(Flow(vm, net.host, 80)) as out:
        public = net.floating(t.vm([lab.group("ingress tcp 80")]))
        with contextlib.closing(Flow(net.host, public, 80)) as inward:
            net.out.unplug()
            flows(dead=[out, inward])
            net.out.plug()
            lab.wait(lambda: net.out.show()["attached"], what="the uplink attached")
            flows(alive=[out, inward])
