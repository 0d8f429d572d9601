# SPDX-License-Identifier: Apache-2.0
"""Outside: a physical network that the node is on: a switch in a namespace, and hosts with real Linux stacks on it.

    out = lab.outside("physnet1")
    web = out.host("203.0.113.7/24", "2001:db8::7/64")            untagged, for a flat network
    peer = out.host("198.51.100.7/24", vlan=101)                  in a VLAN
    router = out.host("203.0.113.1/24", forward=True)             forwards between what it is given
    out.join(router, "eth1", "192.0.2.1/24", vlan=102)            a second interface
    far = out.beyond(router, "192.0.2.7/24")                      on a cable of its own to a router; not on the switch

A host has a VM's sockets, probes and frames (tcp, udp, ping, sniff, ...). The switch is switch.py; the node's
interface is a trunk on it: untagged frames (VLAN 1), and every other VLAN tagged. `out.tap()` is a socket that sees what
passes between the switch and the node, tags included.
"""
import contextlib
import ipaddress
import itertools
import os
import socket
import struct
import subprocess

from netns import Netns, inside, sh
from vm import MARKER, Host, getter

_numbers = itertools.count(1)
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10


class OutsideHost(Host):
    def __init__(self, lab, name, mac):
        super().__init__(lab, name, {"id": name, "mac_address": mac, "fixed_ips": []})


class Outside:
    def __init__(self, lab, name, interface):
        self.lab, self.name, self.interface = lab, name, interface
        self.hosts = []
        self.switch = Netns(f"{lab.prefix}s{next(_numbers)}")
        self.switch.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # it says nothing of its own
        self.process = self.switch.popen("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "switch.py"),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.plug()
        except BaseException:
            self.close()
            raise

    def plug(self):
        """The node's interface, as it would be a NIC's; not up: that is weftd's business."""
        self._cable(self.interface, self.lab.node, "node", "trunk")

    def unplug(self):
        self.lab.node.ip("link", "del", self.interface)

    def _cable(self, interface, netns, port, vlan):
        sh("ip", "link", "add", interface, "netns", netns.name, "type", "veth", "peer", "name", port, "mtu", 9500,
           "netns", self.switch.name)
        self.switch.ip("link", "set", port, "up")
        print("add", port, vlan, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "ok\n"

    def _new(self, mac=None, forward=False):
        n = next(_numbers)
        h = OutsideHost(self.lab, f"{self.lab.prefix}o{n}", mac or f"02:00:5e:10:{n >> 8:02x}:{n & 255:02x}")
        self.hosts.append(h)
        h.netns.sysctl("net.ipv4.icmp_ratelimit", 0)  # what it has to say is a test's answer
        h.netns.sysctl("net.ipv6.icmp.ratelimit", 0)
        if forward:
            h.netns.sysctl("net.ipv4.ip_forward", 1)
            h.netns.sysctl("net.ipv6.conf.all.forwarding", 1)
        return h

    def host(self, *cidrs, vlan=None, mtu=1500, forward=False, gateway=None, mac=None):
        """A host with these addresses; gateway: address (or list of them) of its default route."""
        h = self._new(mac, forward)
        h.vlan = vlan
        self.join(h, "eth0", *cidrs, vlan=vlan, mtu=mtu, mac=h.mac)
        for g in [gateway] if isinstance(gateway, str) else gateway or []:
            h.netns.ip("-6" if ":" in g else "-4", "route", "add", "default", "via", g)
        return h

    def beyond(self, router, *cidrs, mtu=1500, forward=False):
        """A host that is reached through `router` only; the first address of each of its networks is the router's."""
        h = self._new(forward=forward)
        name = f"far{next(_numbers)}"
        sh("ip", "link", "add", "eth0", "netns", h.netns.name, "type", "veth", "peer", "name", name, "netns", router.netns.name)
        networks = [ipaddress.ip_interface(c).network for c in cidrs]
        self._set_up(router, name, [f"{n[1]}/{n.prefixlen}" for n in networks], mtu)
        self._set_up(h, "eth0", cidrs, mtu, h.mac)
        for n in networks:
            h.netns.ip(f"-{n.version}", "route", "add", "default", "via", n[1])
        return h

    def join(self, host, interface, *cidrs, vlan=None, mtu=1500, mac=None):
        """An interface of the host on this network."""
        self._cable(interface, host.netns, f"p{next(_numbers)}", 1 if vlan is None else vlan)
        self._set_up(host, interface, cidrs, mtu, mac)

    @staticmethod
    def _set_up(host, interface, cidrs, mtu, mac=None):
        if mac:
            host.netns.ip("link", "set", interface, "address", mac)
        host.netns.sysctl(f"net.ipv6.conf.{interface}.accept_dad", 0)
        host.netns.sysctl(f"net.ipv6.conf.{interface}.accept_ra", 0)
        host.netns.ip("link", "set", interface, "mtu", mtu, "up")
        for cidr in cidrs:
            host.netns.ip("addr", "add", cidr, "dev", interface, *(["nodad"] if ":" in cidr else []))
            host.port["fixed_ips"].append({"ip_address": cidr.split("/")[0]})

    @contextlib.contextmanager
    def tap(self):
        """with out.tap() as got: ...; got(predicate) waits for a frame (a scapy Ether, with its tag) that the node sent."""
        from scapy.layers.l2 import Ether

        with inside(self.switch.name):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind(("node", 3))
        s.setsockopt(263, PACKET_AUXDATA, 1)
        s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING

        def receive(timeout):
            s.settimeout(timeout)
            data, aux, _, _ = s.recvmsg(65600, 256)
            for _, _, a in aux:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", a[:20])
                if status & TP_STATUS_VLAN_VALID:
                    data = data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
            return Ether(data)

        try:
            yield getter(self.lab, receive)
        finally:
            s.close()

    def settle(self):
        """On return the switch has passed on all that it was given."""
        print("settle", file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "ok\n"

    def send_marker(self):
        """A frame that the node drops, and counts, after all that the switch has given it."""
        with contextlib.suppress(OSError):  # no cable
            self.send(b"\2\0\0\0\0\1\2\0\0\0\0\2" + MARKER)

    def send(self, *frames):
        """Frames (tags and all) as if a host beyond the switch's trunk had sent them to the node."""
        with inside(self.switch.name):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with contextlib.closing(s):
            s.bind(("node", 0))
            for f in frames:
                s.send(bytes(f))

    def show(self):
        return next(u for u in self.lab.api.weft("uplinks")["uplinks"] if u["physical_network"] == self.name)

    def forget(self):
        for h in self.hosts:
            # Now, not when the kernel comes to it: another host may have its addresses next.
            h.netns.run("sh", "-c", "cd /sys/class/net && for i in eth*; do ip link del $i; done", check=False)
            h.netns.close()
        self.hosts.clear()

    def close(self):
        self.forget()
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        self.switch.close()
