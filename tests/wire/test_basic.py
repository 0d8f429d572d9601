# SPDX-License-Identifier: Apache-2.0
"""The first things anybody tries."""


def test_two_vms_of_the_default_group_reach_each_other(lab):
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    a, b = lab.vm(net), lab.vm(net)
    assert a.ping(b.ip)
    assert a.ping(b.ip6)
    assert a.tcp(b, 8080)
    assert a.udp(b, 8080, version=6)


def test_no_ingress_rule_no_ping_until_one_is_added(lab):
    net = lab.network()
    group = lab.group()
    a, b = lab.vm(net, [group]), lab.vm(net, [group])
    assert not a.ping(b.ip, expect=False)
    lab.rule(group, "ingress icmp")
    assert a.ping(b.ip)


def test_addresses_come_from_dhcp(lab):
    net = lab.network()
    a, b = lab.vm(net, dhcp=True), lab.vm(net, dhcp=True)
    assert a.lease()["ip"] == a.ip
    assert a.ping(b.ip)


def test_a_network_whose_mtu_grows_carries_longer_packets_at_once(lab):
    net = lab.network(mtu=1400)
    a, b = lab.vm(net), lab.vm(net)
    for vm in (a, b):
        vm.netns.ip("link", "set", "eth0", "mtu", 3000)
    assert a.ping(b.ip, 1372)
    assert not a.ping(b.ip, 2000, False, 1, "-M", "do")
    lab.api.update("network", net["id"], mtu=3000)
    assert a.ping(b.ip, 2000, True, 1, "-M", "do")
