# SPDX-License-Identifier: Apache-2.0
"""Routers, floating IPs and port forwardings as the real clients make and change them."""
import signal
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own, about Python's modules
    import openstack
from openstack import exceptions

from clients import URL, client
from lab import ApiError
from netns import inside

PHYSICAL = ["physnet1"]


def refused(lab, words, says):
    """The client's command fails and its message says so."""
    with pytest.raises(RuntimeError, match="status 1") as e:
        lab.openstack(*words.split())
    assert says in str(e.value)


def test_complete_session_with_the_openstack_client(lab):
    made = client(lab, """
        network create out --external --provider-network-type flat --provider-physical-network physnet1 -f json
        subnet create out4 --network out --subnet-range 198.51.100.0/24 --gateway 198.51.100.1 --no-dhcp -f json
        subnet create out6 --network out --ip-version 6 --subnet-range 2001:db8:f::/64 --no-dhcp -f json
        network create red -f json
        subnet create red4 --network red --subnet-range 10.0.0.0/24 -f json
        port create vm --network red --fixed-ip subnet=red4,ip-address=10.0.0.10 -f json
        router create r -f json
        router add subnet r red4
        router set r --external-gateway out
        router show r -f json
        floating ip create out --port vm --description web --tag a -f json
        floating ip create out --floating-ip-address 198.51.100.50 -f json
        """)
    out, out4, _, red, red4, vm, _, router, web, spare = made
    assert out["router:external"] is True
    assert (out["provider:network_type"], out["provider:physical_network"]) == ("flat", "physnet1")
    gateway = router["external_gateway_info"]
    assert (gateway["network_id"], gateway["enable_snat"]) == (out["id"], True)
    assert len(gateway["external_fixed_ips"]) == 2
    assert [i["subnet_id"] for i in router["interfaces_info"]] == [red4["id"]]
    assert (web["port_id"], web["fixed_ip_address"], web["router_id"]) == (vm["id"], "10.0.0.10", router["id"])
    assert (web["status"], web["description"], web["tags"]) == ("ACTIVE", "web", ["a"])
    assert (spare["floating_ip_address"], spare["status"], spare["port_id"]) == ("198.51.100.50", "DOWN", None)

    refused(lab, "router unset --external-gateway r", "required by one or more floating IPs")
    refused(lab, "router remove subnet r red4", "required by one or more floating IPs")
    refused(lab, f"floating ip set --port vm {spare['id']}", "already has a floating IP")
    refused(lab, "floating ip create red", "not a valid external network")
    refused(lab, "network set out --internal", "existing gateway ports")
    refused(lab, "router set r --external-gateway red", "not an external network")
    refused(lab, f"floating ip port forwarding create --internal-ip-address 10.0.0.10 --port vm --protocol tcp "
            f"--internal-protocol-port 80 --external-protocol-port 80 {spare['id']}", "already has a binding floating IP")

    look = client(lab, f"""
        router set r --external-gateway out --fixed-ip subnet=out4,ip-address=198.51.100.77 --disable-snat
        router show r -f json
        floating ip unset --port {web['id']}
        floating ip show {web['id']} -f json
        floating ip port forwarding create {spare['id']} --internal-ip-address 10.0.0.10 --port vm --protocol tcp --internal-protocol-port 80 --external-protocol-port 8080 --description www -f json
        floating ip port forwarding create {spare['id']} --internal-ip-address 10.0.0.10 --port vm --protocol udp --internal-protocol-port 53 --external-protocol-port 53 -f json
        floating ip port forwarding list {spare['id']} --protocol udp -f json
        floating ip list --router r -f json
        floating ip set --port vm --fixed-ip-address 10.0.0.10 {web['id']}
        floating ip list --long -f json
        """)
    changed, alone, tcp, udp, listed, of_router, everything = look
    assert changed["external_gateway_info"] == {
        "network_id": out["id"], "enable_snat": False,
        "external_fixed_ips": [{"subnet_id": out4["id"], "ip_address": "198.51.100.77"}]}
    assert (alone["status"], alone["router_id"], alone["fixed_ip_address"]) == ("DOWN", None, None)
    assert (tcp["external_port"], tcp["internal_port"], tcp["description"]) == (8080, 80, "www")
    assert [p["ID"] for p in listed] == [udp["id"]]
    assert [f["ID"] for f in of_router] == [spare["id"]]
    assert {f["Floating IP Address"]: f["Status"] for f in everything} == \
        {web["floating_ip_address"]: "ACTIVE", "198.51.100.50": "ACTIVE"}
    refused(lab, f"floating ip delete {spare['id']}", "in use by Port Forwarding")
    agent = lab.api.list("agent")[0]["id"]
    refused(lab, f"network agent add router --l3 {agent} r", "")  # nothing is scheduled, and it does not look as if

    (moved,) = client(lab, f"""
        floating ip unset --port {web['id']}
        floating ip port forwarding set {spare['id']} {tcp['id']} --internal-protocol-port 8000 --external-protocol-port 8001 --port vm --internal-ip-address 10.0.0.10
        floating ip port forwarding show {spare['id']} {tcp['id']} -f json
        floating ip port forwarding delete {spare['id']} {tcp['id']} {udp['id']}
        floating ip delete {web['id']} {spare['id']}
        router unset --external-gateway r
        router remove subnet r red4
        router delete r
        port delete vm
        network delete red out
        """)
    assert (moved["internal_port"], moved["external_port"]) == (8000, 8001)
    assert all(lab.api.list(kind) == [] for kind in ("network", "subnet", "port", "router", "floatingip"))


def test_provider_networks_are_on_physical_networks_that_are_there(lab):
    create = "network create --provider-network-type"
    (vlan,) = client(lab, f"{create} vlan --provider-physical-network physnet1 --provider-segment 100 v -f json")
    assert (vlan["provider:network_type"], vlan["provider:segmentation_id"]) == ("vlan", 100)
    refused(lab, f"{create} vlan --provider-physical-network physnet1 --provider-segment 100 w", "is in use")
    refused(lab, f"{create} flat --provider-physical-network physnet2 w", "unknown for flat provider network")
    refused(lab, f"{create} flat w", "physical_network required")
    client(lab, f"{create} flat --provider-physical-network physnet1 f -f json")
    refused(lab, f"{create} flat --provider-physical-network physnet1 w", "is in use")


def test_complete_session_with_openstacksdk(lab):
    connection = openstack.connect(auth_type="none", endpoint=URL, load_envvars=False, load_yaml_config=False)
    with inside(lab.node.name):
        session_with_sdk(connection.network)
    connection.close()


def session_with_sdk(n):
    out = n.create_network(name="out", is_router_external=True)
    n.create_subnet(network_id=out.id, ip_version=4, cidr="198.51.100.0/24", is_dhcp_enabled=False)
    red = n.create_network(name="red")
    red4 = n.create_subnet(network_id=red.id, ip_version=4, cidr="10.0.0.0/24")
    one, two = n.create_port(network_id=red.id), n.create_port(network_id=red.id)
    r = n.create_router(name="r", external_gateway_info={"network_id": out.id})
    n.add_interface_to_router(r, subnet_id=red4.id)
    ip = n.create_ip(floating_network_id=out.id)
    assert n.find_available_ip().id == ip.id
    ip = n.update_ip(ip, port_id=one.id)
    assert (ip.router_id, ip.status, ip.port_details["mac_address"]) == (r.id, "ACTIVE", one.mac_address)
    assert n.update_ip(ip, port_id=two.id).fixed_ip_address == two.fixed_ips[0]["ip_address"]
    n.delete_port(two, ignore_missing=False)
    assert n.get_ip(ip.id).port_id is None
    common = {"protocol": "tcp", "internal_port_id": one.id, "internal_ip_address": one.fixed_ips[0]["ip_address"]}
    pf = n.create_port_forwarding(floatingip_id=ip.id, external_port=80, internal_port=8080, **common)
    with pytest.raises(exceptions.BadRequestException, match="collision"):
        n.create_port_forwarding(floatingip_id=ip.id, external_port=80, internal_port=8081, **common)
    assert [p.id for p in n.port_forwardings(ip)] == [pf.id]
    assert n.update_port_forwarding(pf, ip, external_port=81).external_port == 81
    assert n.get_ip(ip.id).router_id == r.id
    n.delete_port_forwarding(pf, ip, ignore_missing=False)
    assert n.find_ip(ip.floating_ip_address).router_id is None
    for extension in ("external-net", "router", "ext-gw-mode", "floating-ip-port-forwarding", "fip-port-details"):
        assert n.find_extension(extension) is not None


def test_members_see_the_outside_but_choose_nothing_there(lab):
    out = lab.network("198.51.100.0/24", **{"router:external": True})
    member, other = lab.api.as_project("p1"), lab.api.as_project("p2")
    assert [x["id"] for x in member.list("network", **{"router:external": True})] == [out["id"]]
    router = member.create("router", external_gateway_info={"network_id": out["id"]})
    ip = member.create("floatingip", floating_network_id=out["id"])
    assert member.list("port") == [] and len(lab.api.list("port", network_id=out["id"])) == 2
    assert other.list("floatingip") == []
    for kind, body in (("floatingip", {"floating_network_id": out["id"], "floating_ip_address": "198.51.100.9"}),
                       ("router", {"external_gateway_info": {"network_id": out["id"], "enable_snat": False}}),
                       ("network", {"router:external": True})):
        with pytest.raises(ApiError) as e:
            member.create(kind, **body)
        assert e.value.status == 403
    for kind, id in (("floatingip", ip["id"]), ("router", router["id"])):
        with pytest.raises(ApiError) as e:
            other.delete(kind, id)
        assert e.value.status == 404


def test_what_leads_outside_survives_a_kill(own_lab):
    lab = own_lab
    out, red = lab.network("198.51.100.0/24", **{"router:external": True}), lab.network("10.0.0.0/24")
    router = lab.api.create("router", external_gateway_info={"network_id": out["id"]})
    lab.api.request("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": red["v4"]["id"]})
    one, two = (lab.api.create("port", network_id=red["id"]) for _ in (1, 2))
    lab.api.create("floatingip", floating_network_id=out["id"], port_id=one["id"])
    ip = lab.api.create("floatingip", floating_network_id=out["id"])
    forwardings = f"/v2.0/floatingips/{ip['id']}/port_forwardings"
    lab.api.request("POST", forwardings, {"port_forwarding": {
        "protocol": "tcp", "external_port_range": "80:89", "internal_port_range": "8080:8089",
        "internal_port_id": two["id"]}})

    def everything():
        return [lab.api.list(kind) for kind in ("router", "port", "floatingip")] + [lab.api.request("GET", forwardings)]

    before = everything()
    lab.restart(signal.SIGKILL)
    assert everything() == before
    # The rules hold for what was loaded as for what was made.
    with pytest.raises(ApiError) as e:
        lab.api.update("router", router["id"], external_gateway_info=None)
    assert e.value.type == "RouterExternalGatewayInUseByFloatingIp"
    lab.api.delete("port", two["id"])
    assert lab.api.request("GET", forwardings)["port_forwardings"] == []
