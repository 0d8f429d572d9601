# SPDX-License-Identifier: Apache-2.0
"""Ports and their interfaces: who comes first, who goes first, and what the status says."""
import contextlib
import socket
import time

import pytest

import frames
from lab import HOST, ApiError
from netns import Netns, inside, sh
from probe import Flow, expect, expect_all, expect_frames, flows
from vm import NO


def reason(lab, port):
    """What `weft show port` says about why it is not ACTIVE."""
    lines = lab.weft("show", "port", port["id"]).splitlines()
    return next((line.split(None, 1)[1] for line in lines if line.startswith("reason")), "")


def test_status_follows_the_interface(lab):
    net = lab.network()
    a, b = lab.vm(net), lab.vm(net, attach=False)
    assert b.status() == "DOWN"
    assert b.tap in reason(lab, b.port)
    b.plug()
    b.wait_status("ACTIVE")
    b.configure()
    assert reason(lab, b.port) in ("", "-")
    assert a.ping(b.ip)
    b.unplug()
    b.wait_status("DOWN")
    assert b.tap in reason(lab, b.port)
    assert a.status() == "ACTIVE"


def test_port_plugged_again_is_active_again_under_the_same_policy(lab):
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    group = lab.group("ingress tcp 80", "ingress ipv6 tcp 80")
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [group])
    flow = Flow(a, b, 80)
    for _ in range(3):
        b.unplug()
        b.wait_status("DOWN")
        b.plug()
        b.wait_status("ACTIVE")
        b.configure()
        expect(a, b, ["tcp 80", "ipv6 tcp 80"], ["tcp 81", "ipv6 tcp 81"])
    flows(alive=[flow])


def test_interface_may_come_before_its_port(lab):
    net = lab.network()
    a = lab.vm(net)
    subnet = net["v4"]["id"]
    with contextlib.closing(Netns(lab.prefix + "early")) as early:
        made = lab.api.create("port", network_id=net["id"], fixed_ips=[{"subnet_id": subnet}])
        tap = "tap" + made["id"][:11]
        sh("ip", "link", "add", tap, "netns", lab.node.name, "up", "type", "veth", "peer", "name", "eth0",
           "address", made["mac_address"], "netns", early.name)
        early.ip("link", "set", "eth0", "up")
        early.ip("addr", "add", made["fixed_ips"][0]["ip_address"] + "/24", "dev", "eth0")
        assert "bound to no host" in reason(lab, made)
        assert not a.ping(made["fixed_ips"][0]["ip_address"], expect=False)
        lab.api.update("port", made["id"], **{"binding:host_id": HOST})
        lab.wait(lambda: lab.api.get("port", made["id"])["status"] == "ACTIVE", what="the port ACTIVE")
        assert early.run("ping", "-n", "-c1", "-W5", a.ip)


def test_port_that_is_administratively_down_carries_nothing_until_it_is_up(lab):
    net = lab.network()
    a, b, c = (lab.vm(net, [lab.group("ingress any")]) for _ in range(3))
    cut, stays = Flow(a, b, 80), Flow(a, c, 80)
    b.update(admin_state_up=False)
    assert b.status() == "DOWN"
    assert "administratively down" in reason(lab, b.port)
    flows(alive=[stays], dead=[cut])
    expect_all([(a, c, "udp 53", True), (a, b, "udp 53", False), (b, a, "udp 53", False)])
    b.update(admin_state_up=True)
    b.wait_status("ACTIVE")
    flows(alive=[stays, cut])


def test_port_deleted_while_attached_is_cut_off_at_once(lab):
    net = lab.network()
    a, b, c = (lab.vm(net, [lab.group("ingress any")]) for _ in range(3))
    cut, stays = Flow(a, b, 80, "udp"), Flow(a, c, 80, "udp")
    lab.api.delete("port", b.id)
    flows(alive=[stays], dead=[cut])
    expect_all([(a, c, "tcp 80", True), (a, b, "tcp 80", False), (b, c, "udp 53", False)])
    with pytest.raises(ApiError) as e:
        lab.api.get("port", b.id)
    assert e.value.status == 404


def test_address_of_a_deleted_port_serves_its_next_owner(lab):
    net = lab.network()
    a, b = lab.vm(net), lab.vm(net)
    assert a.ping(b.ip)
    lab.api.delete("port", b.id)
    c = lab.vm(net, fixed_ips=[{"subnet_id": net["v4"]["id"], "ip_address": b.ip}])
    assert c.mac != b.mac
    a.netns.ip("neigh", "flush", "dev", "eth0")
    assert a.ping(b.ip)
    assert c.show()["counters"]["to_vm_packets"] > 0


def test_port_of_another_host_and_of_none_stay_down_though_their_interface_is_here(lab):
    net = lab.network()
    a, b = lab.vm(net), lab.vm(net)
    for host, says in (("node2", "bound to host node2"), ("", "bound to no host")):
        other = lab.vm(net, attach=False, **{"binding:host_id": host})
        other.plug()
        other.configure()
        expect_all([(a, b, "udp 53", True), (a, other, "udp 53", False), (other, a, "udp 53", False)])
        assert other.status() == "DOWN"
        assert says in reason(lab, other.port)


def test_port_that_moves_to_another_host_is_let_go(lab):
    net = lab.network()
    a, b, c = lab.vm(net), lab.vm(net), lab.vm(net)
    cut, stays = Flow(a, b, 80), Flow(a, c, 80)
    b.update(**{"binding:host_id": "node2"})
    assert b.status() == "DOWN"
    flows(alive=[stays], dead=[cut])
    b.update(**{"binding:host_id": HOST})
    b.wait_status("ACTIVE")
    flows(alive=[stays, cut])


def test_port_that_cannot_be_attached_says_why_and_is_tried_again(lab):
    """A macvlan interface cannot have a larger MTU than the one below it."""
    net = lab.network(mtu=9000)
    port = lab.api.create("port", network_id=net["id"], **{"binding:host_id": HOST})
    tap = "tap" + port["id"][:11]
    lab.node.ip("link", "add", "below", "mtu", 1500, "up", "type", "veth", "peer", "name", "beside")
    try:
        lab.node.ip("link", "add", "link", "below", "name", tap, "type", "macvlan")
        lab.wait(lambda: "cannot set its MTU to 9000" in reason(lab, port), what="the reason")
        assert tap in reason(lab, port)
        assert lab.api.get("port", port["id"])["status"] == "DOWN"
        lab.node.ip("link", "set", "below", "mtu", 9000)
        lab.wait(lambda: lab.api.get("port", port["id"])["status"] == "ACTIVE", what="the port ACTIVE")
    finally:
        lab.node.ip("link", "del", "below")


def test_two_hundred_ports_attached_at_once_all_carry_and_all_go(lab):
    n = 200
    net = lab.network("10.0.0.0/22")
    group = lab.group("ingress udp 53")
    ports = lab.api.request("POST", "/v2.0/ports", {"ports": [
        {"network_id": net["id"], "binding:host_id": HOST, "security_groups": [group["id"]]}
        for _ in range(n)]})["ports"]
    crowd = Netns(lab.prefix + "crowd")
    try:
        batch = "".join(f"link add tap{p['id'][:11]} netns {lab.node.name} up type veth peer name e{i} "
                        f"address {p['mac_address']}\nlink set e{i} up\n" for i, p in enumerate(ports))
        crowd.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6", timeout=5)
        crowd.run("ip", "-batch", "-", input=batch, timeout=60)
        begin = time.monotonic()
        lab.wait(lambda: all(p["status"] == "ACTIVE" for p in lab.api.list("port", network_id=net["id"])
                             if p["device_owner"] == ""), 30, "all ports ACTIVE")
        print(f"{n} ports ACTIVE {time.monotonic() - begin:.1f} s after the last interface was there")
        assert _each_to_the_next(crowd, ports, 53) == set(range(n))
        assert _each_to_the_next(crowd, ports[:20], 54) == set()
    finally:
        crowd.close()
    lab.wait(lambda: all(p["status"] == "DOWN" for p in lab.api.list("port", network_id=net["id"])),
             what="all ports DOWN")
    rest = lab.vm(net, [group]), lab.vm(net, [group])
    expect(*rest, ["udp 53"], ["udp 54"])


def test_a_port_is_filtered_from_its_first_packet_on(lab):
    """100: the VM sends and is sent to all the time while it is attached; nothing that is not permitted arrives."""
    net = lab.network()
    quiet, sender = lab.vm(net, [lab.group("ingress udp 7")]), lab.vm(net, [lab.group()])
    good = frames.udp(sender, quiet, dport=7)
    for _ in range(3):
        a = lab.vm(net, [lab.group("egress udp 7", "ingress udp 7", egress=False)], attach=False)
        with quiet.sniff() as got:
            a.plug()
            raw, loud = a.raw(), sender.raw()
            bad = [bytes(frames.udp(a, quiet, dport=8)), bytes(frames.udp(a, quiet, dport=7, src="10.0.0.99"))]
            into = bytes(frames.udp(sender, a, dport=8))
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                for f in bad:
                    raw.send(f)
                loud.send(into)
            a.wait_status("ACTIVE")

            def permitted():  # the first may still find the ring full of what came before
                a.send(frames.udp(a, quiet, dport=7))
                return got(lambda p: p.src == a.mac and frames.UDP in p, 0.2)

            assert lab.wait(permitted, what="a permitted packet")[frames.UDP].dport == 7
            assert got(lambda p: p.src == a.mac and frames.UDP in p and p[frames.UDP].dport == 8, NO) is None
            raw.setblocking(False)
            seen = []
            try:
                while True:
                    seen.append(raw.recv(2000))
            except BlockingIOError:
                pass
            assert into not in [s for s in seen]
        raw.close()
        loud.close()
    expect_frames(sender, quiet, {"good": good})


def test_an_interface_exchanged_at_once_is_noticed(lab):
    """96: unplug and plug without a pause; an old interface is not mistaken for the new one."""
    net = lab.network()
    a, b = lab.vm(net, [lab.group("ingress any")]), lab.vm(net, [lab.group("ingress any")])
    for _ in range(5):
        b.unplug()
        b.plug()
        b.configure()
    lab.wait(lambda: b.status() == "ACTIVE" and a.ping(b.ip), what="ping")


def test_a_flow_of_a_deleted_port_is_not_its_successors(lab):
    """The same MAC, address and interface index range; another group."""
    net = lab.network()
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group("ingress any")])
    a.send(frames.udp(a, b, 5000, 53))
    expect_frames(b, a, {"reply": frames.udp(b, a, 53, 5000)})
    mac, ips = b.mac, [{"ip_address": b.ip}]
    lab.remove(b)
    c = lab.vm(net, [lab.group("ingress udp 54")], mac_address=mac, fixed_ips=ips)
    expect_frames(a, c, {"permitted": frames.udp(a, c, 5000, 54)}, {"old flow": frames.udp(a, c, 5000, 53)})
    expect_frames(c, a, {"reply": frames.udp(c, a, 54, 5000)}, {"old reply": frames.udp(c, a, 53, 5000)})


def test_packets_for_a_port_elsewhere_are_dropped_with_their_reason(lab):
    net = lab.network()
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group("ingress any")])
    far = lab.api.create("port", network_id=net["id"], **{"binding:host_id": "node2"})
    expect_frames(a, b, {"here": frames.udp(a, b)}, {"there": frames.udp(a, b, to_mac=far["mac_address"])})
    assert a.drops("not-local") == 1
    silent = lab.vm(net, [lab.group("ingress any")], attach=False)
    before = lab.api.drops()["port-detached"]
    a.send(frames.udp(a, silent))
    lab.wait(lambda: lab.api.drops()["port-detached"] == before + 1, what="port-detached")


def test_an_interface_that_carries_no_ethernet_is_refused_with_a_sentence(lab):
    """Its port stays DOWN with a sentence, and goes ACTIVE when the interface is exchanged for one that can be."""
    net = lab.network()
    a, b = lab.vm(net, [lab.group("ingress any")], attach=False), lab.vm(net, [lab.group("ingress any")])
    lab.node.run("ip", "tuntap", "add", "dev", a.tap, "mode", "tun")  # no Ethernet
    lab.wait(lambda: "no Ethernet interface" in reason(lab, a.port), what="the reason")
    assert a.tap in reason(lab, a.port) and a.status() == "DOWN"
    lab.node.run("ip", "tuntap", "del", "dev", a.tap, "mode", "tun")
    a.plug()
    lab.wait(lambda: a.status() == "ACTIVE", what="ACTIVE")
    a.configure()
    expect(a, b, ["icmp"])


def test_the_host_does_not_see_or_answer_a_vms_packets(lab):
    """The interface is out of the host's own stack: no address there answers, nothing is routed."""
    net = lab.network()
    a, b = lab.vm(net, [lab.group("ingress any")]), lab.vm(net, [lab.group("ingress any")])
    lab.node.ip("addr", "add", "10.0.0.77/32", "dev", "lo")
    lab.node.sysctl("net.ipv4.ip_forward", 1)
    try:
        assert not a.ping("10.0.0.77", expect=False)
        with a.sniff() as got:
            a.send(frames.ip(a, a, dst="10.0.0.77", to_mac=frames.BROADCAST) / frames.ICMP() / b"x")
            a.send(frames.arp(a, "10.0.0.77"))
            assert got(lambda p: p.src != a.mac and "10.0.0.77" in str(p.summary()), NO) is None
        assert a.ping(b.ip)
    finally:
        lab.node.ip("addr", "del", "10.0.0.77/32", "dev", "lo")


def test_a_vif_that_the_node_does_not_serve_is_refused_or_shown(lab):
    """binding:profile asks for vhost-user; the answer is Neutron's vif_details or a reason, never a silent tap."""
    net = lab.network()
    port = lab.api.create("port", network_id=net["id"], **{"binding:host_id": "node1", "binding:profile": {"vif_type": "vhostuser"}})
    assert port["binding:vif_type"] == "vhostuser"
    assert port["binding:vif_details"]["vhostuser_socket"].endswith("vhu" + port["id"][:11])
    assert lab.api.get("port", port["id"])["status"] == "DOWN"
    a, b = lab.vm(net), lab.vm(net)
    assert a.port["binding:vif_type"] == "tap"
    expect(a, b, ["icmp"])


def _each_to_the_next(crowd, ports, to_port):
    """Every port sends its successor a datagram; the set of those that received it."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    with contextlib.ExitStack() as stack:
        sockets, got = [], set()
        for i in range(len(ports)):
            with inside(crowd.name):
                s = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)))
            s.bind((f"e{i}", 0x0800))
            s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
            s.setblocking(False)
            sockets.append(s)
        template = Ether() / IP() / UDP(sport=9, dport=to_port) / b"token"
        for i, s in enumerate(sockets):
            a, b = ports[i], ports[(i + 1) % len(ports)]
            f = template.copy()
            f.src, f.dst = a["mac_address"], b["mac_address"]
            f[IP].src, f[IP].dst = a["fixed_ips"][0]["ip_address"], b["fixed_ips"][0]["ip_address"]
            s.send(bytes(f))
        end = time.monotonic() + (3 if to_port == 53 else 0.4)
        while time.monotonic() < end and len(got) < len(ports):
            for i, s in enumerate(sockets):
                with contextlib.suppress(BlockingIOError):
                    if b"token" in s.recv(2000):
                        got.add(i)
            time.sleep(0.005)
        return got
