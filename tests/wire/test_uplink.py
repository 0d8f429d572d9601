# SPDX-License-Identifier: Apache-2.0
"""VMs directly on a physical network: flat and VLAN provider networks, and hosts outside with real Linux stacks."""
import contextlib
import os
import re
import socket

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import frames
from lab import HOST, ApiError, Lab
from probe import Flow, expect_all, expect_frames, flows
from test_offload import MB, UDP_SEGMENT, offloads, transfer
from vm import NO, YES

PHYSICAL = ["physnet1"]
KINDS = pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])


class World:
    """A provider network, two VMs whose groups open TCP 80 and ICMP, and a host outside."""

    def __init__(self, lab, vlan, **attrs):
        self.net = lab.provider("203.0.113.0/24", "2001:db8:1::/64", vlan=vlan, **attrs)
        self.group = lab.group("ingress tcp 80", "ingress icmp", "ingress ipv6 tcp 80", "ingress ipv6 ipv6-icmp")
        self.a, self.b = (lab.vm(self.net, [self.group]) for _ in range(2))
        self.out = lab.outside()
        self.host = self.out.host("203.0.113.200/24", "2001:db8:1::200/64", vlan=vlan, mtu=self.net["mtu"])


def probes(w):
    """What passes between the outside and VM a, and what does not."""
    return ([(w.a, w.host, t, True) for t in ("icmp", "tcp 80", "tcp 81", "udp 53", "ipv6 icmp", "ipv6 tcp 81", "ipv6 udp 53")]
            + [(w.host, w.a, t, True) for t in ("icmp", "tcp 80", "ipv6 icmp", "ipv6 tcp 80")]
            + [(w.host, w.a, t, False) for t in ("tcp 81", "udp 53", "ipv6 tcp 81", "ipv6 udp 53")]
            + [(w.a, w.b, "tcp 80", True)])


@pytest.fixture
def world(lab):
    return lambda vlan=None, **attrs: World(lab, vlan, **attrs)


@KINDS
def test_vm_and_outside_host_reach_each_other_as_the_rules_say(world, vlan):
    expect_all(probes(world(vlan)))


def carried(world, size=4 * MB):
    """Bulk data both ways, IPv4 and IPv6, intact."""
    for version in (4, 6):
        for a, b in ((world.a, world.host), (world.host, world.a)):
            client, server = a.tcp_pair(b, 80, version)
            with contextlib.closing(client), contextlib.closing(server):
                transfer(client, server, size)
                transfer(server, client, size)


@KINDS
def test_bulk_data_with_offloads_is_intact_both_ways(world, vlan):
    w = world(vlan)
    before = w.a.show()["counters"]["from_vm_packets"]
    carried(w)
    assert w.a.show()["counters"]["from_vm_packets"] - before < 16 * MB / 1448, "large packets were cut"


@KINDS
def test_bulk_data_is_intact_when_an_end_has_no_offloads(world, vlan):
    w = world(vlan)
    offloads(w.a, "off")
    carried(w, MB)
    offloads(w.a, "on")
    offloads(w.host, "off")
    carried(w, MB)


def test_dpdk_device_carries_flat_and_vlan_networks(datapath):
    lab = Lab(datapath, physical={"physnet1": "net_af_packet0,iface=eth1"})
    try:
        for vlan in (None, 101):
            w = World(lab, vlan)
            offloads(w.host, "off")  # as on a cable: af_packet takes what it reads for finished
            expect_all(probes(w))
            carried(w, MB)
    finally:
        lab.close()


@KINDS
def test_one_large_udp_send_arrives_as_its_segments(world, vlan):
    w = world(vlan)
    data = os.urandom(30 * 1200 + 77)
    for version in (4, 6):
        client, server = w.a.udp_pair(w.host, 5002, version)
        with contextlib.closing(client), contextlib.closing(server):
            client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
            client.send(data)
            server.settimeout(YES)
            assert b"".join(server.recv(65536) for _ in range(31)) == data


@KINDS
def test_fragments_pass_both_ways(world, vlan):
    w = world(vlan)
    assert w.a.ping(w.host.ip, 4000) and w.host.ping(w.a.ip, 4000)
    assert w.a.ping(w.host.ip6, 4000) and w.host.ping(w.a.ip6, 4000)


@KINDS
def test_removed_rule_cuts_flows_from_outside(lab, world, vlan):
    w = world(vlan)
    kept, cut = Flow(w.a, w.host, 8080), Flow(w.host, w.a, 80)
    lab.api.delete("security_group_rule", w.group["rules"][0]["id"])
    flows(alive=[kept], dead=[cut], only="client")
    lab.rule(w.group, "ingress tcp 80")
    flows(alive=[kept, cut])


def test_networks_of_one_device_are_isolated(lab):
    """The same addresses in the untagged frames and in two VLANs: each host outside has its own peer."""
    worlds = {vlan: World(lab, vlan) for vlan in (None, 101, 102)}
    for vlan, w in worlds.items():
        server = w.a.listen(80)
        with contextlib.closing(server), contextlib.closing(w.host.connect(w.a.ip, 80)) as client:
            server.settimeout(YES)
            server.accept()[0].send(str(vlan).encode())
            assert client.recv(10) == str(vlan).encode()
    a, b, c = (w.a for w in worlds.values())
    with b.sniff() as got_b, c.sniff() as got_c:
        a.send(frames.udp(a, a, dst="255.255.255.255", to_mac=frames.BROADCAST, data=b"only here"))
        worlds[None].host.send(frames.udp(a, a, dst="255.255.255.255", to_mac=frames.BROADCAST, data=b"nor this"))
        assert got_b(lambda p: b"here" in bytes(p) or b"nor" in bytes(p), 0.3) is None
        assert got_c(lambda p: b"here" in bytes(p) or b"nor" in bytes(p), 0.1) is None


@KINDS
def test_broadcast_and_multicast_pass_by_the_rules(lab, world, vlan):
    w = world(vlan)
    lab.rule(w.group, "ingress udp 5353")
    lab.rule(w.group, "ingress ipv6 udp 5353")

    def shouts(h, port):
        return {"broadcast": frames.udp(h, h, dport=port, dst="203.0.113.255", to_mac=frames.BROADCAST),
                "multicast": frames.udp(h, h, dport=port, dst="224.0.0.251", to_mac="01:00:5e:00:00:fb"),
                "multicast6": frames.udp(h, h, dport=port, dst="ff02::fb", to_mac="33:33:00:00:00:fb", version=6)}

    expect_frames(w.host, [w.a, w.b], shouts(w.host, 5353), shouts(w.host, 5354))
    expect_frames(w.a, [w.b, w.host], shouts(w.a, 5353))


def test_frames_of_each_network_carry_its_tag(lab):
    out = lab.outside()
    worlds = [World(lab, vlan) for vlan in (None, 4094)]
    with out.tap() as got:
        for w in worlds:
            assert w.a.ping(w.host)
        assert got(lambda p: p.type == 0x0800 and p.src == worlds[0].a.mac)
        tagged = got(lambda p: Dot1Q in p and p.src == worlds[1].a.mac and p[Dot1Q].type == 0x0800)
        assert tagged[Dot1Q].vlan == 4094
        assert got(lambda p: p.src == worlds[1].a.mac and Dot1Q not in p, NO) is None


@KINDS
def test_dhcp_of_the_plan_stays_on_the_node(lab, vlan):
    net = lab.provider(vlan=vlan)
    with lab.outside().tap() as got:
        vm = lab.vm(net, dhcp=True)
        assert vm.lease()["ip"] == vm.ip
        assert got(lambda p: UDP in p and p[UDP].sport in (67, 68), NO) is None


def test_dhcp_server_outside_serves_a_subnet_without_one(lab):
    """A question goes out, and its answer comes in, where the plan has no server."""
    net = lab.provider(cidr=None)
    net["v4"] = lab.api.create("subnet", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    vm, host = lab.vm(net), lab.outside().host("203.0.113.200/24")
    ask = frames.udp(vm, vm, 68, 67, src="0.0.0.0", dst="255.255.255.255", to_mac=frames.BROADCAST)
    expect_frames(vm, host, {"discover": ask})
    expect_frames(host, vm, {"offer": frames.udp(host, vm, 67, 68)})


def test_questions_from_outside_are_answered_for_what_lives_here(lab, world):
    w = world()
    away = lab.api.create("port", network_id=w.net["id"], **{"binding:host_id": "elsewhere"})
    with w.host.sniff() as got:
        w.host.send(frames.arp(w.host, w.a.ip), frames.arp(w.host, away["fixed_ips"][0]["ip_address"]))
        answer = got(lambda p: ARP in p and p[ARP].op == 2)
        assert (answer.psrc, answer.hwsrc) == (w.a.ip, w.a.mac)
        assert got(lambda p: ARP in p and p[ARP].op == 2 and p.psrc != w.a.ip, NO) is None
    # The VM is told at once where the other node's port is, and what it sends there leaves by the uplink.
    with w.out.tap() as got:
        w.a.netns.popen("ping", "-c", 1, "-W", 1, away["fixed_ips"][0]["ip_address"], stdout=-3).wait()
        assert got(lambda p: p.dst == away["mac_address"])


def test_own_frames_that_come_back_go_nowhere(lab, world):
    """A loop outside: a VM's neighbour discovery and its data come back by the uplink."""
    w = world(101)
    before = lab.api.drops()["uplink-loop"]
    back = [frames.udp(w.a, w.b, dport=80, data=b"again"), frames.arp(w.a, w.a.ip),
            frames.udp(w.a, w.a, dst="255.255.255.255", to_mac=frames.BROADCAST)]
    with w.b.sniff() as got:
        w.out.send(*(Ether(src=f.src, dst=f.dst) / Dot1Q(vlan=101, type=f.type) / f.payload for f in back))
        lab.wait(lambda: lab.api.drops()["uplink-loop"] == before + 3, what="the loop is seen")
        assert got(lambda p: b"again" in bytes(p), NO) is None
    assert w.a.ping(w.host) and w.a.ping(w.b)


def test_frames_with_unknown_tags_are_counted(lab, world):
    w = world(101)
    frame = frames.udp(w.host, w.a, dport=80)
    before = w.out.show()["unknown_vlan_packets"]
    w.out.send(Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=77, type=0x0800) / frame.payload,
               Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=77, type=0x0800) / frame.payload)
    lab.wait(lambda: w.out.show()["unknown_vlan_packets"] == before + 2)
    assert w.out.show()["last_unknown_vlan"] == 77
    assert w.host.ping(w.a)


def test_outside_router_advertises_itself_to_vms(lab):
    """SLAAC by a router outside: its advertisement reaches a VM that takes it."""
    net = lab.provider(cidr=None, cidr6="2001:db8:1::/64")
    vm, router = lab.vm(net), lab.outside().host("2001:db8:1::1/64")
    advert = (Ether(src=router.mac, dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
              / ICMPv6ND_RA(routerlifetime=600) / ICMPv6NDOptSrcLLAddr(lladdr=router.mac))
    vm.netns.sysctl("net.ipv6.conf.eth0.accept_ra", 2)
    router.send(advert)
    lab.wait(lambda: "default via fe80::1" in vm.netns.ip("-6", "route"), what="the VM's default route")


def test_jumbo_network_raises_the_mtu_of_its_device(datapath):
    jumbo = "[node]\nglobal_physnet_mtu = 9000\n"
    with contextlib.closing(Lab(datapath, jumbo, physical=PHYSICAL)) as lab:
        w = World(lab, 101, mtu=9000)
        jumbo_frames_pass(w)
        with pytest.raises(ApiError, match="maximum is 9000"):
            lab.api.update("network", w.net["id"], mtu=9001)


def jumbo_frames_pass(w):
    assert "mtu 9000" in w.out.lab.node.ip("link", "show", "eth1")
    assert w.a.ping(w.host, 8972, True, 1, "-M", "do") and w.host.ping(w.a, 8972, True, 1, "-M", "do")
    carried(w, MB)


def test_device_may_go_and_come_back(lab, world):
    w = world(101)
    flow = Flow(w.a, w.host, 8080)
    w.out.unplug()
    lab.wait(lambda: not w.out.show()["attached"])
    assert "eth1" in w.out.show()["reason"]
    assert re.search(r"physnet1: .*eth1", lab.weft("show", "uplinks"))
    assert w.a.ping(w.b)
    w.out.plug()
    lab.wait(lambda: w.out.show()["attached"] and w.out.show()["carrier"])
    flows(alive=[flow])
    assert w.host.ping(w.a)


def test_device_without_carrier_says_so_and_flows_go_on_after(lab, world):
    w = world(101)
    flow = Flow(w.a, w.host, 8080)
    w.out.switch.ip("link", "set", "node", "down")
    lab.wait(lambda: not w.out.show()["carrier"], what="the carrier gone")
    lab.wait(lambda: "no-carrier" in lab.weft("trace", w.a.id, "tcp > 203.0.113.200:80 syn"), what="a trace that says so")
    before = lab.api.drops().get("no-carrier", 0)
    with w.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (w.host.ip, 9))
    lab.wait(lambda: lab.api.drops()["no-carrier"] > before, what="the packet dropped as no-carrier")
    assert w.a.ping(w.b)
    w.out.switch.ip("link", "set", "node", "up")
    lab.wait(lambda: w.out.show()["carrier"], what="the carrier back")
    flows(alive=[flow])
    assert w.a.ping(w.host)


def test_device_may_be_missing_at_the_start(own_lab):
    lab, out = own_lab, own_lab.outside()
    w = World(lab, None)
    lab.stop()
    out.unplug()
    lab.start()
    lab.wait(lambda: "eth1" in (out.show()["reason"] or ""), what="a reason")
    out.plug()
    lab.wait(lambda: out.show()["carrier"])
    for vm in (w.a, w.b):
        vm.wait_status("ACTIVE")
    expect_all(probes(w))


def test_flows_survive_a_restart(own_lab):
    lab = own_lab
    w = World(lab, 101)
    out_, in_ = Flow(w.a, w.host, 8080), Flow(w.host, w.a, 80)
    lab.restart()
    for vm in (w.a, w.b):
        vm.wait_status("ACTIVE")
    flows(alive=[out_, in_])


def test_uplinks_are_shown_and_counted(lab, world):
    w = world(101)
    assert w.a.ping(w.host, count=3)
    shown = w.out.show()
    assert (shown["device"], shown["attached"], shown["carrier"]) == ("eth1", True, True)
    network = next(n for n in shown["networks"] if n["network"] == w.net["id"])
    assert (network["vlan"], network["network_name"]) == (101, w.net["name"])
    assert network["counters"]["received_packets"] >= 3 and network["counters"]["sent_packets"] >= 3
    text = lab.weft("show", "uplinks")
    assert re.search(r"physnet1 +eth1 +yes +yes", text) and w.net["name"] in text
    metrics = lab.api.request("GET", "/metrics")
    assert 'weft_uplink_carrier{physical_network="physnet1"} 1' in metrics
    assert re.search(r'weft_uplink_sent_packets_total\{physical_network="physnet1"\} [1-9]', metrics)
    # It is no port of a VM.
    assert {p["id"] for p in lab.api.weft("ports")["ports"]} == {w.a.id, w.b.id}
    assert w.net["id"] not in re.findall(r'weft_port_\w+\{port="([^"]+)"', metrics)


def test_trace_tells_what_happens_to_a_packet_from_outside(lab, world):
    w = world(101)
    uplink = "uplink:" + w.net["name"]
    answer = lab.api.trace(uplink, f"tcp 203.0.113.200:5555 > {w.a.ip}:80")
    assert (answer["verdict"], answer["out_ports"], answer["port_name"]) == ("forward", [w.a.id], uplink)
    answer = lab.api.trace(w.net["id"], f"tcp 203.0.113.200:5555 > {w.a.ip}:81")
    assert (answer["verdict"], answer["reason"]) == ("drop", "ingress-rules")
    answer = lab.api.trace(uplink, f"udp 203.0.113.200:5 > 203.0.113.99:6")
    assert (answer["verdict"], answer["reason"]) == ("drop", "unknown-destination")
    answer = lab.api.trace(w.a.id, "udp > 203.0.113.200:53 dmac=" + w.host.mac)
    assert (answer["verdict"], answer["out_port_names"]) == ("forward", [uplink])
    final, = answer["final"]
    assert (final["interface"], final["physical_network"], final["vlan"]) == ("eth1", "physnet1", 101)
    assert (final["src_mac"], final["dst_mac"], final["ttl"]) == (w.a.mac, w.host.mac, 64)
    assert "by eth1 (physnet1, VLAN 101): " in lab.weft("trace", w.a.id, "udp > 203.0.113.200:53 dmac=" + w.host.mac)
    assert "=> drop: ingress-rules" in lab.weft("trace", uplink, f"tcp 203.0.113.200:5555 > {w.a.ip}:81")


@pytest.mark.parametrize("device", ["eth1", "net_af_packet0,iface=eth1"], ids=["interface", "dpdk"])
def test_two_workers_share_a_device(datapath, device):
    lab = Lab(datapath, "[datapath]\nworkers = 2\n", {"physnet1": device, "physnet2": "eth2"})
    try:
        worlds = [World(lab, None), World(lab, 101)]
        for w in worlds:
            if device != "eth1":
                offloads(w.host, "off")
            expect_all(probes(w))
        carried(worlds[1], MB)
        net = lab.provider(vlan=7, physical="physnet2")
        vm, host = lab.vm(net), lab.outside("physnet2").host("203.0.113.200/24", vlan=7)
        assert vm.ping(host)
    finally:
        lab.close()
