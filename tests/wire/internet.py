# SPDX-License-Identifier: Apache-2.0
"""The internet: an external network on a physical network, its gateway, and a host beyond it.

    VM -- router -- external network 203.0.113.0/24 -- gateway .1 -- internet 192.0.2.0/24 -- host .7
                    2001:db8:ffff::/64              ::1            2001:db8:beef::/64        ::7

The gateway knows nothing of what is behind the routers, except IPv6 networks (Tenant.announce6): those are routed.
"""
import itertools

_numbers = itertools.count(1)


class Internet:
    def __init__(self, lab, vlan=None, mtu=1500, far_mtu=1500, physical="physnet1"):
        """mtu: the external network's; far_mtu: that of the link between the gateway and the host."""
        self.lab, self.out, self.vlan = lab, lab.outside(physical), vlan
        self.network = lab.provider("203.0.113.0/24", "2001:db8:ffff::/64", vlan=vlan, physical=physical, external=True,
                                    mtu=mtu)
        self.gateway = self.out.host("203.0.113.1/24", "2001:db8:ffff::1/64", vlan=vlan, mtu=mtu, forward=True)
        self.host = self.out.beyond(self.gateway, "192.0.2.7/24", "2001:db8:beef::7/64", mtu=far_mtu)

    def router(self, *subnets, snat=None, **attrs):
        """A router with its gateway on the external network; snat: enable_snat, if it is to be said."""
        info = {"network_id": self.network["id"]}
        if snat is not None:
            info["enable_snat"] = snat
        r = self.lab.api.create("router", name=f"r{next(_numbers)}", external_gateway_info=info, **attrs)
        for s in subnets:
            self.lab.join(r, s)
        return r

    def floating(self, vm=None, **attrs):
        """A floating IP for the VM (or for nobody yet)."""
        if vm is not None:
            attrs["port_id"] = vm.id
        return self.lab.api.create("floatingip", floating_network_id=self.network["id"], **attrs)

    def route(self, prefix, via):
        """The gateway's route to what is behind a router."""
        self.gateway.netns.ip("-6" if ":" in prefix else "-4", "route", "replace", prefix, "via", via)


def outer(router, version=4):
    """The router's own address outside."""
    for f in router["external_gateway_info"]["external_fixed_ips"]:
        if (":" in f["ip_address"]) == (version == 6):
            return f["ip_address"]
    raise AssertionError(f"router {router['id']} has no IPv{version} gateway address")


class Tenant:
    """A dual-stack network on a router with a gateway."""

    def __init__(self, internet, n=1, snat=None, mtu=1500, **attrs):
        self.lab, self.internet = internet.lab, internet
        self.net = self.lab.network(f"10.0.{n}.0/24", f"2001:db8:{n}::/64", mtu=mtu)
        self.router = internet.router(self.net["v4"], self.net["v6"], snat=snat, **attrs)
        self.ip, self.ip6 = outer(self.router), outer(self.router, 6)
        internet.route(self.net["v6"]["cidr"], self.ip6)

    def vm(self, groups=None, **attrs):
        vm = self.lab.vm(self.net, groups, **attrs)
        vm.default_routes()
        return vm
