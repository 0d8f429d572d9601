# SPDX-License-Identifier: Apache-2.0
"""Inside a network and between networks: isolation, equal MACs and addresses, broadcast, multicast, MTU, TTL. Numbers
are those of the case list in the issue's reference."""
import pytest
from scapy.layers.l2 import Ether

import frames
from lab import ApiError
from probe import Flow, expect, expect_all, expect_frames, flows
from vm import NO, YES

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


def open_group(lab):
    return lab.group("ingress any", "ingress ipv6 any")


def test_networks_with_the_same_addresses_and_macs_are_isolated(lab):
    """58, G17: the same MAC, addresses, ports on two networks of one node; both work, each reaches its own."""
    group = open_group(lab)
    ends = []
    for _ in range(2):
        net = lab.network("10.0.0.0/24", "fd00:1::/64")
        ends.append([lab.vm(net, [group], mac_address=f"fa:16:3e:aa:aa:{i:02x}",
                            fixed_ips=[{"ip_address": f"10.0.0.{i}"}, {"ip_address": f"fd00:1::{i}"}]) for i in (11, 12)])
    (a, b), (c, d) = ends
    assert (a.mac, b.ip, b.ip6) == (c.mac, d.ip, d.ip6)
    # The same five-tuple at once on both; each VM sees only what its own network sent.
    with b.sniff() as b_got, d.sniff() as d_got:
        a.send(frames.udp(a, b, 7, 7, b"one"))
        c.send(frames.udp(c, d, 7, 7, b"two"))
        assert b_got(lambda p: b"one" in bytes(p)) and d_got(lambda p: b"two" in bytes(p))
        assert b_got(lambda p: b"two" in bytes(p), NO) is None and d_got(lambda p: b"one" in bytes(p), NO) is None
    expect_all([(x, y, t, True) for x, y in ((a, b), (c, d), (b, a)) for t in ("icmp", "ipv6 icmp", "tcp 80", "ipv6 tcp 80")])
    tcp, twin = Flow(a, b, 80), Flow(c, d, 80)
    flows(alive=[tcp, twin])
    lab.remove(d)
    flows(alive=[tcp])


def test_nothing_crosses_from_one_network_to_another(lab):
    """G17: unicast to the other's MAC, broadcast, ARP, even between ports without port security."""
    nets = [lab.network("10.0.0.0/24"), lab.network("10.0.0.0/24")]
    a, mine = (lab.vm(nets[0], port_security_enabled=False) for _ in range(2))
    theirs = lab.vm(nets[1], port_security_enabled=False, fixed_ips=[{"ip_address": "10.0.0.77"}])
    shouts = {"broadcast": frames.udp(a, mine, dst="255.255.255.255", to_mac=frames.BROADCAST),
              "multicast": frames.udp(a, mine, dst="224.1.1.1", to_mac="01:00:5e:01:01:01"),
              "arp": frames.arp(a, "10.0.0.77")}
    with theirs.sniff() as got:
        expect_frames(a, mine, shouts)
        a.send(frames.udp(a, theirs))
        assert got(lambda p: p.src == a.mac, NO) is None
    with a.sniff() as got:
        a.send(frames.arp(a, mine.ip), frames.arp(a, "10.0.0.77"))
        assert got(lambda p: p.type == 0x0806 and p.psrc == mine.ip)
        assert got(lambda p: p.type == 0x0806 and p.psrc == "10.0.0.77", NO) is None


def test_a_group_that_admits_everything_admits_nobody_of_another_network(lab):
    """58: rules do not join networks."""
    group = open_group(lab)
    a = lab.vm(lab.network("10.0.0.0/24"), [group], fixed_ips=[{"ip_address": "10.0.0.5"}])
    net = lab.network("10.0.0.0/24")
    b, c = lab.vm(net, [group], fixed_ips=[{"ip_address": "10.0.0.6"}]), lab.vm(net, [group])
    a.netns.ip("neigh", "add", b.ip, "lladdr", b.mac, "dev", "eth0")
    expect_all([(a, b, "icmp", False), (a, b, "tcp 80", False), (c, b, "icmp", True)])
    assert a.drops("unknown-destination") > 0


def test_unknown_unicast_reaches_ports_without_port_security_only(lab):
    """They may have any MAC. Where there are none, nobody has it."""
    net = lab.network()
    a, b = lab.vm(net, [open_group(lab)]), lab.vm(net, [open_group(lab)])
    known, unknown = frames.udp(a, b), frames.udp(a, b, to_mac="fa:16:3e:99:99:99")
    expect_frames(a, b, {"known": known}, {"unknown": unknown})
    assert a.drops("unknown-destination") == 1
    loose = lab.vm(net, port_security_enabled=False)
    expect_frames(a, loose, {"unknown": unknown})
    expect_frames(a, b, {"known": known}, {"unknown": unknown})
    assert a.drops("unknown-destination") == 1


def test_unicast_reaches_its_receiver_only(lab):
    """Not even an unfiltered port of the network sees what two others say."""
    net = lab.network()
    a, b = lab.vm(net, [open_group(lab)]), lab.vm(net, [open_group(lab)])
    loose = lab.vm(net, port_security_enabled=False)
    with loose.sniff() as got:
        expect(a, b, ["tcp 80", "udp 80", "icmp"])
        assert got(lambda p: {p.src, p.dst} == {a.mac, b.mac}, NO) is None


@VERSIONS
def test_multicast_and_broadcast_reach_the_receivers_whose_rules_permit(lab, version):
    """B: where Neutron's driver lets them in without ingress rules."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    v = "ipv6 " if version == 6 else ""
    a = lab.vm(net, [lab.group()])
    yes = [lab.vm(net, [lab.group(f"ingress {v}udp 5353")]), lab.vm(net, port_security_enabled=False)]
    no = [lab.vm(net, [lab.group(f"ingress {v}udp 5354")]), lab.vm(net, [])]
    if version == 4:
        shouts = {"multicast": frames.udp(a, a, dport=5353, dst="224.0.0.251", to_mac="01:00:5e:00:00:fb"),
                  "broadcast": frames.udp(a, a, dport=5353, dst="10.0.0.255", to_mac=frames.BROADCAST)}
    else:
        shouts = {"multicast": frames.udp(a, a, dport=5353, dst="ff02::fb", to_mac="33:33:00:00:00:fb", version=6)}
    other = {"other port": frames.udp(a, a, dport=5355, dst="ff02::fb" if version == 6 else "224.0.0.251",
                                      to_mac="33:33:00:00:00:fb" if version == 6 else "01:00:5e:00:00:fb", version=version)}
    seen = [vm.raw() for vm in no]
    expect_frames(a, yes[0], shouts, other)
    expect_frames(a, yes[1], {**shouts, **other})
    for s in seen:
        s.setblocking(False)
        got = []
        try:
            while True:
                got.append(s.recv(2000))
        except BlockingIOError:
            s.close()
        assert not [g for g in got if bytes(shouts["multicast"]) == g[:len(bytes(shouts["multicast"]))]]


def test_multicast_obeys_the_senders_egress_rules(lab):
    net = lab.network()
    a = lab.vm(net, [lab.group("egress udp 5353", egress=False)])
    b = lab.vm(net, [open_group(lab)])
    to = {"dst": "224.0.0.251", "to_mac": "01:00:5e:00:00:fb"}
    expect_frames(a, b, {"mdns": frames.udp(a, b, dport=5353, **to)}, {"ssdp": frames.udp(a, b, dport=1900, **to)})


def test_bridge_control_frames_end_at_the_port(lab):
    """IEEE 802.1Q 8.6.3, port security or not."""
    net = lab.network()
    a, b = (lab.vm(net, port_security_enabled=False) for _ in range(2))

    def control(last):
        return Ether(src=a.mac, dst=f"01:80:c2:00:00:{last:02x}", type=0x88cc) / (b"x" * 50)

    expect_frames(a, b, {"above": control(0x10)}, {f"{i:02x}": control(i) for i in (0, 1, 2, 3, 0xe, 0xf)})
    assert a.drops("reserved-multicast") == 6


def test_a_frame_never_comes_back_to_its_sender(lab):
    net = lab.network()
    a, b = (lab.vm(net, port_security_enabled=False) for _ in range(2))
    mine = {"to itself": frames.udp(a, a), "broadcast": frames.udp(a, b, dst="255.255.255.255", to_mac=frames.BROADCAST)}
    with a.sniff() as got:
        expect_frames(a, b, {"broadcast": mine["broadcast"]}, {"to itself": mine["to itself"]})
        assert got(lambda p: p.src == a.mac, NO) is None
    assert a.drops("own-address") == 1


@VERSIONS
def test_the_ttl_is_untouched_inside_a_network(lab, version):
    """A network is no hop: TTL 1 arrives as TTL 1, first packet and later ones."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [open_group(lab)])
    ttl = {"hlim": 1} if version == 6 else {"ttl": 1, "tos": 0xb8, "id": 4711}
    for data in (b"first", b"second", b"third"):
        expect_frames(a, b, {"frame": frames.udp(a, b, data=data, version=version, **ttl)})


@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_a_packet_of_exactly_the_mtu_passes_and_a_longer_one_does_not(lab, mtu):
    """98: per network; each network has its own."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64", mtu=mtu)
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [open_group(lab)])
    for vm in (a, b):  # a VM that does not keep to it
        vm.netns.ip("link", "set", "eth0", "mtu", mtu + 200)
        lab.node.ip("link", "set", vm.tap, "mtu", mtu + 200)
    for round in (b"1", b"2"):  # the second time they belong to a session
        expect_frames(a, b, {"exact": frames.udp(a, b, data=round * (mtu - 28)),
                             "exact6": frames.udp(a, b, data=round * (mtu - 48), version=6)},
                      {"longer": frames.udp(a, b, data=round * (mtu - 27)),
                       "longer6": frames.udp(a, b, data=round * (mtu - 47), version=6)})
    assert a.drops("oversize") == 4
    assert a.ping(b.ip, mtu - 28) and a.ping(b.ip6, mtu - 48)


def test_networks_of_different_mtu_live_side_by_side(lab):
    """98."""
    ends = []
    for mtu in (1300, 9000):
        net = lab.network(mtu=mtu)
        ends.append((lab.vm(net, [open_group(lab)]), lab.vm(net, [open_group(lab)]), mtu))
    for a, b, mtu in ends:
        assert a.ping(b.ip, mtu - 28, True, 1, "-M", "do")
        tcp, peer = a.tcp_pair(b, 80)
        tcp.sendall(b"x" * 100000)
        peer.settimeout(YES)
        n = 0
        while n < 100000:
            n += len(peer.recv(65536))
        tcp.close()
        peer.close()


def test_a_changed_mtu_is_in_force_at_once(lab):
    """85, for a network without routers."""
    net = lab.network(mtu=1500)
    a, b = lab.vm(net, [lab.group()]), lab.vm(net, [open_group(lab)])
    big = frames.udp(a, b, data=b"x" * 1400)
    expect_frames(a, b, {"big": big})
    lab.api.update("network", net["id"], mtu=1300)
    expect_frames(a, b, {"small": frames.udp(a, b, data=b"y")}, {"big": frames.udp(a, b, data=b"z" * 1400)})
    lab.api.update("network", net["id"], mtu=1500)
    expect_frames(a, b, {"big": big})


def test_an_equal_mac_on_one_network_is_refused(lab):
    net = lab.network()
    a = lab.vm(net, [])
    with pytest.raises(ApiError) as e:
        lab.api.create("port", network_id=net["id"], mac_address=a.mac)
    assert e.value.status == 409
    assert lab.api.create("port", network_id=lab.network()["id"], mac_address=a.mac)["mac_address"] == a.mac
