# SPDX-License-Identifier: Apache-2.0
"""Complete sessions with clients that nobody here wrote, and packets under the policy that they made."""
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own, about Python's modules
    import openstack
from openstack import exceptions

from clients import URL, client
from lab import HOST
from netns import inside
from probe import Flow, expect, expect_all, flows
from vm import NO

def adopt(lab, name):
    """The VM on the port of that name."""
    (port,) = lab.api.list("port", name=name)
    net = lab.api.get("network", port["network_id"])
    for subnet in lab.api.list("subnet", network_id=net["id"]):
        net[f"v{subnet['ip_version']}"] = subnet
    return lab.adopt(net, port)


def nothing_left(lab):
    return all(lab.api.list(kind) == [] for kind in ("network", "subnet", "port", "address_group")) and \
        [g["name"] for g in lab.api.list("security_group") if g["name"] != "default"] == []


def test_complete_session_with_the_openstack_client(lab):
    make = client(lab, """
        network create red --mtu 1400 --description first-network --tag blue -f json
        subnet create s4 --network red --subnet-range 10.0.0.0/24 --gateway 10.0.0.254 --dns-nameserver 192.0.2.53 --allocation-pool start=10.0.0.10,end=10.0.0.99 --host-route destination=198.51.100.0/24,gateway=10.0.0.7 -f json
        subnet create s6 --network red --ip-version 6 --subnet-range fd00:1::/64 -f json
        address group create trusted --address 10.0.0.10/32 -f json
        security group create client -f json
        security group create server --description serves -f json
        security group rule create server --ingress --protocol tcp --dst-port 80:81 --remote-address-group trusted -f json
        security group rule create server --ingress --protocol udp --dst-port 53 --remote-group client -f json
        security group rule create server --ingress --protocol icmp --icmp-type 8 --remote-ip 10.0.0.0/24 -f json
        security group rule create server --ingress --ethertype IPv6 --protocol ipv6-icmp -f json
        port create vm1 --network red --host node1 --security-group client --fixed-ip subnet=s4,ip-address=10.0.0.10 --fixed-ip subnet=s6 -f json
        port create vm2 --network red --host node1 --security-group server --tag green -f json
        port create vm3 --network red --host node1 --security-group server -f json
        """)
    net, s4, s6, trusted, client_group, server_group, tcp, udp, icmp, icmp6, vm1, vm2, vm3 = make
    assert (net["mtu"], net["description"]) == (1400, "first-network")
    assert (s4["gateway_ip"], s4["dns_nameservers"]) == ("10.0.0.254", ["192.0.2.53"])
    assert s4["allocation_pools"] == [{"start": "10.0.0.10", "end": "10.0.0.99"}]
    assert (s6["ip_version"], s6["gateway_ip"]) == (6, "fd00:1::")
    assert (tcp["port_range_min"], tcp["port_range_max"], tcp["remote_address_group_id"]) == (80, 81, trusted["id"])
    assert udp["remote_group_id"] == client_group["id"]
    assert "10.0.0.10" in [f["ip_address"] for f in vm1["fixed_ips"]]
    assert (vm2["binding_host_id"], vm2["binding_vif_type"], vm2["tags"]) == (HOST, "tap", ["green"])

    a, b, c = (adopt(lab, name) for name in ("vm1", "vm2", "vm3"))
    expect_all([(a, b, "tcp 80", True), (a, b, "tcp 82", False), (c, b, "tcp 80", False),
                (a, b, "udp 53", True), (c, b, "udp 53", False), (c, b, "icmp", True), (a, b, "ipv6 icmp", True),
                (b, a, "icmp", False), (a, b, "ipv6 tcp 80", False)])
    lease = c.dhcp()
    assert (lease["ip"], lease["router"], lease["dns"]) == (c.ip, "10.0.0.254", "192.0.2.53")

    look = client(lab, f"""
        network list --tags blue -f json
        network show red -f json
        subnet list --network red --ip-version 4 -f json
        subnet show s6 -f json
        port list --network red --host node1 --mac-address {b.mac} -f json
        port list --fixed-ip ip-address=10.0.0.10 -f json
        port show vm2 -f json
        security group list -f json
        security group show server -f json
        security group rule list server --ingress --protocol tcp -f json
        security group rule show {udp['id']} -f json
        address group list -f json
        address group show trusted -f json
        network agent list --host node1 -f json
        extension list --network -f json
        """)
    assert [n["Name"] for n in look[0]] == ["red"]
    assert set(look[1]["subnets"]) == {s4["id"], s6["id"]}
    assert [s["Name"] for s in look[2]] == ["s4"]
    assert look[3]["cidr"] == "fd00:1::/64"
    assert {p["Name"] for p in look[4]} == {"vm2"}
    assert [p["Name"] for p in look[5]] == ["vm1"]
    assert (look[6]["status"], look[6]["security_group_ids"]) == ("ACTIVE", [server_group["id"]])
    assert {"client", "server"} <= {g["Name"] for g in look[7]}
    assert len(look[8]["rules"]) == 6
    assert [r["Port Range"] for r in look[9]] == ["80:81"]
    assert look[10]["security_group_id"] == server_group["id"]
    assert [g["Name"] for g in look[11]] == ["trusted"] and look[12]["addresses"] == ["10.0.0.10/32"]
    assert look[13][0]["Host"] == HOST and look[13][0]["Alive"]
    assert {"security-group", "address-group", "standard-attr-tag"} <= {e["Alias"] for e in look[14]}

    tcp_flow, udp_flow = Flow(a, b, 80), Flow(a, b, 53, "udp")
    client(lab, f"""
        security group rule delete {tcp['id']}
        security group rule create server --ingress --protocol tcp --dst-port 22 --remote-address-group trusted -f json
        address group set trusted --address {c.ip}/32
        address group unset trusted --address 10.0.0.10/32
        port set vm1 --security-group server --allowed-address ip-address=10.0.0.200
        """)
    flows(alive=[udp_flow], dead=[tcp_flow])
    expect_all([(c, b, "tcp 22", True), (a, b, "tcp 22", False), (a, b, "tcp 80", False), (b, a, "icmp", True)])
    a.add_ip("10.0.0.200/24")
    a.netns.ip("route", "change", "10.0.0.0/24", "dev", "eth0", "src", "10.0.0.200")
    assert a.ping(b.ip)
    (changed,) = client(lab, """
        port unset vm1 --security-group client --allowed-address ip-address=10.0.0.200,mac-address=%s
        network set red --name crimson --description renamed --no-tag
        port set vm3 --disable --name third --tag violet --description off
        subnet set s4 --no-dns-nameservers --dns-nameserver 192.0.2.54 --tag x
        security group set server --name servers --tag y
        address group set trusted --name friends
        port show third -f json
        """ % a.mac)
    assert (changed["admin_state_up"], changed["status"], changed["tags"]) == (False, "DOWN", ["violet"])
    flows(dead=[udp_flow])  # it came from the group "client"
    expect_all([(b, a, "icmp", True), (a, b, "icmp", False), (b, c, "icmp", False)])
    net = lab.api.get("network", net["id"])
    assert (net["name"], net["tags"], net["description"]) == ("crimson", [], "renamed")
    assert lab.api.get("subnet", s4["id"])["dns_nameservers"] == ["192.0.2.54"]

    for words, says in ((("network", "delete", "crimson"), "in use"),
                        (("subnet", "create", "--network", "crimson", "--subnet-range", "10.0.0.128/25", "o"),
                         "overlaps")):
        with pytest.raises(RuntimeError, match="status 1") as e:
            lab.openstack(*words)
        assert says in str(e.value)
    client(lab, """
        port delete vm1 vm2 third
        subnet delete s4 s6
        network delete crimson
        security group delete client servers
        address group delete friends
        """)
    assert nothing_left(lab)
    with b.sniff() as got:
        a.ping(b.ip, expect=False)
        assert got(timeout=NO) is None


def test_sdk_asks_for_hundreds_of_objects_by_id(lab):
    """What it wants is in the URL, an argument each."""
    made = [lab.api.create("security_group", name=f"g{i}")["id"] for i in range(3)]
    connection = openstack.connect(auth_type="none", endpoint=URL, load_envvars=False, load_yaml_config=False)
    with inside(lab.node.name):
        for n in (700, 900, 1200):
            ids = [f"00000000-0000-4000-8000-{i:012}" for i in range(n)] + made
            assert sorted(g.id for g in connection.network.security_groups(id=ids)) == sorted(made)
    connection.close()
    for i in made:
        lab.api.delete("security_group", i)


def test_complete_session_with_openstacksdk(lab):
    connection = openstack.connect(auth_type="none", endpoint=URL, load_envvars=False, load_yaml_config=False)
    with inside(lab.node.name):
        session_with_sdk(lab, connection.network)
    connection.close()
    assert nothing_left(lab)


def session_with_sdk(lab, n):
    net = n.create_network(name="red", mtu=1450)
    s4 = n.create_subnet(network_id=net.id, ip_version=4, cidr="10.0.0.0/24", name="s4", gateway_ip=None)
    s6 = n.create_subnet(network_id=net.id, ip_version=6, cidr="fd00:1::/64", name="s6")
    assert s4.gateway_ip is None and s6.is_dhcp_enabled
    n.set_tags(net, ["a", "b"])
    assert set(n.get_network(net.id).tags) == {"a", "b"}
    friends = n.create_address_group(name="friends", addresses=["192.0.2.0/24"])
    clients, servers = (n.create_security_group(name=name) for name in ("clients", "servers"))
    common = {"security_group_id": servers.id, "direction": "ingress"}
    web, dns, ping6 = n.create_security_group_rules([
        {**common, "protocol": "tcp", "port_range_min": 80, "port_range_max": 80, "remote_address_group_id": friends.id},
        {**common, "protocol": "udp", "port_range_min": 53, "port_range_max": 53, "remote_group_id": clients.id},
        {**common, "protocol": "ipv6-icmp", "ethertype": "IPv6"}])
    with pytest.raises(exceptions.ConflictException):
        n.create_security_group_rule(**common, protocol="ipv6-icmp", ethertype="IPv6")
    one, two, three = n.create_ports([
        {"network_id": net.id, "name": f"vm{i}", "binding:host_id": HOST, "security_groups": [g.id]}
        for i, g in ((1, clients), (2, servers), (3, servers))])
    assert [p.status for p in (one, two, three)] == ["DOWN"] * 3

    a, b, c = (adopt(lab, name) for name in ("vm1", "vm2", "vm3"))
    assert n.get_port(two.id).status == "ACTIVE"
    expect_all([(a, b, "udp 53", True), (c, b, "udp 53", False), (a, b, "tcp 80", False), (c, b, "ipv6 icmp", True),
                (a, b, "icmp", False)])
    n.add_addresses_to_address_group(friends, [f"{a.ip}/32", f"{c.ip}/32"])
    expect(a, b, ["tcp 80"], ["tcp 81"])
    flow, stays = Flow(a, b, 80), Flow(c, b, 80)
    n.remove_addresses_from_address_group(friends, [f"{a.ip}/32"])
    flows(alive=[stays], dead=[flow])
    n.update_port(one, security_groups=[servers.id])
    expect_all([(a, b, "ipv6 icmp", True), (a, b, "udp 53", False)])
    n.delete_security_group_rule(web)
    flows(dead=[stays])

    assert {p.name for p in n.ports(network_id=net.id, limit=2)} == {"vm1", "vm2", "vm3"}  # in two pages
    assert [p.name for p in n.ports(fixed_ips=f"ip_address={b.ip}")] == ["vm2"]
    assert n.find_port("vm2").id == two.id and n.find_port("nobody") is None
    assert n.find_security_group_rule(dns.id).remote_group_id == clients.id
    with pytest.raises(exceptions.NotFoundException):
        n.get_port("11111111-1111-1111-1111-111111111111")
    with pytest.raises(exceptions.ConflictException, match="in use"):
        n.delete_security_group(servers, ignore_missing=False)
    stale = n.get_network(net.id)
    n.update_network(net, name="crimson")
    with pytest.raises(exceptions.HttpException) as e:
        n.update_network(stale, name="scarlet", if_revision=stale.revision_number)
    assert e.value.status_code == 412
    assert n.get_network(net.id).name == "crimson"
    assert [x.host for x in n.agents()] == [HOST]
    assert n.find_extension("security-group") is not None

    n.update_port(two, is_admin_state_up=False)
    assert n.get_port(two.id).status == "DOWN"
    expect_all([(a, c, "ipv6 icmp", True), (a, b, "ipv6 icmp", False)])
    for port in n.ports():
        n.delete_port(port, ignore_missing=False)
    n.delete_network(net, ignore_missing=False)
    for group in (clients, servers):
        n.delete_security_group(group, ignore_missing=False)
    n.delete_address_group(friends, ignore_missing=False)
    assert ping6.id not in [r.id for r in n.security_group_rules()]
