# SPDX-License-Identifier: Apache-2.0
"""The internet: an external network on a physical network, its gateway, and a host beyond it.

    VM -- router -- external network 203.0.113.0/24 -- gateway .1 -- internet 192.0.2.0/24 -- host .7
                    2001:db8:ffff::/64              ::1            2001:db8:beef::/64        ::7

The gateway knows nothing of what is behind the routers, except the tenants' IPv6 networks: those are routed. With
narrow=1300 there is a second router before the host, and between the two a link of that MTU, of which neither end knows.
"""
import contextlib
import itertools
import re
import socket

from vm import YES

_numbers = itertools.count(1)
IP_RECVERR, IP_MTU_DISCOVER = 11, 10


class At:
    """A host by another of its names: a VM by its floating IP. Probes and sockets are the host's, the address is this one."""

    def __init__(self, host, ip, **more):
        self.host, self.ip = host, ip
        self.__dict__.update(more)

    def __getattr__(self, name):
        return getattr(self.host, name)


class Internet:
    def __init__(self, lab, vlan=None, mtu=1500, narrow=None, physical="physnet1"):
        """mtu: the external network's."""
        self.lab, self.out, self.vlan = lab, lab.outside(physical), vlan
        self.network = lab.provider("203.0.113.0/24", "2001:db8:ffff::/64", vlan=vlan, physical=physical, external=True,
                                    mtu=mtu)
        self.gateway = self.out.host("203.0.113.1/24", "2001:db8:ffff::1/64", vlan=vlan, mtu=mtu, forward=True)
        last = self.gateway
        if narrow:
            last = self.out.beyond(last, "192.0.2.130/30", "2001:db8:bee::2/64", mtu=narrow, forward=True)
            self.gateway.netns.ip("route", "add", "192.0.2.0/25", "via", "192.0.2.130")
            self.gateway.netns.ip("-6", "route", "add", "2001:db8:beef::/64", "via", "2001:db8:bee::2")
        self.host = self.out.beyond(last, "192.0.2.7/25", "2001:db8:beef::7/64")

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
        """A floating IP for the VM (or for nobody yet): the VM by that address, its dict as .fip."""
        if vm is not None:
            attrs["port_id"] = vm.id
        fip = self.lab.api.create("floatingip", floating_network_id=self.network["id"], **attrs)
        return At(vm, fip["floating_ip_address"], fip=fip)

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
    """A dual-stack network on a router with a gateway. Two tenants with the same n have the same IPv4 addresses."""

    def __init__(self, internet, n=1, snat=None, mtu=1500, n6=None, **attrs):
        self.lab, self.internet = internet.lab, internet
        self.net = self.lab.network(f"10.0.{n}.0/24", f"2001:db8:{n6 or n}::/64", mtu=mtu)
        self.router = internet.router(self.net["v4"], self.net["v6"], snat=snat, **attrs)
        self.ip, self.ip6 = outer(self.router), outer(self.router, 6)
        internet.route(self.net["v6"]["cidr"], self.ip6)

    def vm(self, groups=None, configure=True, **attrs):
        vm = self.lab.vm(self.net, groups, configure=configure, **attrs)
        if configure:
            vm.default_routes()
        return vm

    @property
    def gateway_mac(self):
        """Of the router, as its VMs see it."""
        return next(p["mac_address"] for p in self.lab.api.list("port", device_id=self.router["id"])
                    if p["network_id"] == self.net["id"])


# ---- What a host can find out ----

def target(host, version=4):
    return host.ip6 if version == 6 else host.ip


def seen_as(client, server, version=4, port=80, source_port=0):
    """The (address, port) that the server sees the client by, over TCP."""
    with contextlib.closing(server.listen(port, version=version)) as s:
        with contextlib.closing(client.connect(target(server, version), port, source_port=source_port)):
            s.settimeout(YES)
            peer, address = s.accept()
            peer.close()
            return address[:2]


def traceroute(host, ip, *options):
    """The addresses on the way, by the real traceroute; "*" where nobody answered."""
    for _ in range(3):
        out = host.netns.run("traceroute", "-n", "-q", 1, "-w", 2, "-m", 9, *options, ip)
        way = [re.match(r" *\d+ +(\S+)", line).group(1) for line in out.splitlines()[1:]]
        # About one run in fifty of `traceroute -6 -T` sees none of the resets that its host received.
        if "-T" not in options or "*" not in way:
            break
    return way


def too_big(host, ip, size):
    """One echo that may not be fragmented, of `size` bytes in all; what ping said."""
    data = size - (48 if ":" in ip else 28)
    host.netns.ip("-6" if ":" in ip else "-4", "route", "flush", "cache")
    return host.netns.run("ping", "-n", "-c", 1, "-W", 2, "-M", "do", "-s", data, ip, check=False)


def refused(client, ip, port):
    """Does a datagram to a port where nobody listens come back as an error?"""
    with contextlib.closing(client.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.settimeout(YES)
        s.connect((ip, port))
        s.send(b"anybody?")
        try:
            s.recv(100)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        raise AssertionError("somebody answered")
