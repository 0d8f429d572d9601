# SPDX-License-Identifier: Apache-2.0
"""VM: a host in a network namespace, plugged into a port (or into a physical network: outside.py). Traffic is made with sockets that live in its namespace."""
import contextlib
import os
import select
import socket
import struct
import time

from netns import Netns, inside, sh

YES = 60     # how long to wait for what should come, seconds
NO = object()  # how long for what should not: until everything under way has come where it goes (Lab.settle)

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
MARKER = struct.pack("!HHH", 0x8100, 4001, 0x88b5).ljust(48, b"\0")  # a tag that no port and no network has


def _family(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


class Host:
    """A namespace with an eth0 and addresses. port: what a VM's port says of them, as the API shows it."""

    def __init__(self, lab, name, port):
        self.lab, self.port = lab, port
        self.netns = Netns(name)
        self.mac = port["mac_address"]

    @property
    def id(self):
        return self.port["id"]

    def ips(self, version):
        return [f["ip_address"] for f in self.port["fixed_ips"]
                if (":" in f["ip_address"]) == (version == 6)]

    @property
    def ip(self):
        return self.ips(4)[0]

    @property
    def ip6(self):
        return self.ips(6)[0]

    def add_ip(self, cidr):
        """On return the address is in use; an IPv6 one has its route a moment after it was added."""
        if ":" not in cidr:
            self.netns.ip("addr", "add", cidr, "dev", "eth0")
            return
        self.netns.ip("addr", "add", cidr, "dev", "eth0", "nodad")
        route = socket.inet_pton(socket.AF_INET6, cidr.split("/")[0]).hex() + " 80 "
        self.lab.wait(lambda: route in self.read("/proc/thread-self/net/ipv6_route"), what=f"{cidr} usable")

    def read(self, path):
        """A file of /proc/thread-self/net as this VM sees it."""
        with inside(self.netns.name), open(path) as f:
            return f.read()

    def set_mac(self, mac):
        self.netns.ip("link", "set", "eth0", "address", mac)

    # ---- Sockets ----

    def socket(self, family, kind, proto=0):
        return self.netns.socket(family, kind, proto)

    def listen(self, port, ip=None, version=4):
        """A TCP server that accepts by hand."""
        ip = ip or ("::" if version == 6 else "0.0.0.0")
        s = self.socket(_family(ip), socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((ip, port))
        s.listen(64)
        return s

    def connect(self, ip, port, timeout=YES, source_port=0):
        s = self.socket(_family(ip), socket.SOCK_STREAM)
        s.settimeout(timeout)
        try:
            if source_port:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("", source_port))
            s.connect((ip, port))
        except BaseException:
            s.close()
            raise
        return s

    def connect_or_settle(self, ip, port):
        """As connect(), where it should fail: TimeoutError if there is no connection after all that was under way."""
        s = self.socket(_family(ip), socket.SOCK_STREAM)
        try:
            s.setblocking(False)
            s.connect_ex((ip, port))
            self.lab.settle()
            if not select.select([], [s], [], 0)[1]:
                raise TimeoutError
            if error := s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
        except BaseException:
            s.close()
            raise
        return s

    def tcp(self, to, port, version=4, ip=None, expect=True):
        """Can this VM open a TCP connection to `to` and exchange data? True or False."""
        ip = ip or (to.ip if version == 4 else to.ip6)
        with contextlib.closing(to.listen(port, version=version)) as server:
            try:
                client = self.connect(ip, port) if expect else self.connect_or_settle(ip, port)
            except OSError:
                return False
            with contextlib.closing(client):
                server.settimeout(YES)
                peer, _ = server.accept()
                with contextlib.closing(peer):
                    return exchange(client, peer)

    def tcp_pair(self, to, port, version=4):
        """An open connection: (client socket, server socket)."""
        with contextlib.closing(to.listen(port, version=version)) as server:
            client = self.connect(to.ip if version == 4 else to.ip6, port)
            server.settimeout(YES)
            peer, _ = server.accept()
            return client, peer

    def udp_pair(self, to, port, version=4, source=None, ip=None):
        """(client, server) UDP sockets; the client is connected to the server's address."""
        server_ip = ip or ("::" if version == 6 else "0.0.0.0")
        ip = ip or (to.ip if version == 4 else to.ip6)
        server = to.socket(_family(ip), socket.SOCK_DGRAM)
        server.bind((server_ip, port))
        client = self.socket(_family(ip), socket.SOCK_DGRAM)
        if source:
            client.bind((source, 0))
        client.connect((ip, port))
        return client, server

    def udp(self, to, port, version=4, expect=True):
        """Does a datagram arrive, and its answer come back? True or False."""
        client, server = self.udp_pair(to, port, version)
        with contextlib.closing(client), contextlib.closing(server):
            try:
                client.send(b"question")
                if not expect:
                    self.lab.settle()
                server.settimeout(YES if expect else 0)
                data, addr = server.recvfrom(100)
                server.sendto(b"answer", addr)
                client.settimeout(YES)
                return data == b"question" and client.recv(100) == b"answer"
            except OSError:
                return False

    def ping(self, ip, size=56, expect=True, count=1, *extra):
        """True if every echo is answered."""
        ip = ip if isinstance(ip, str) else ip.ip
        if not expect:
            return self._echo_or_settle(ip, size, "do" in extra)
        p = self.netns.popen("ping", "-n", "-q", "-i", "0.2", "-c", count, "-s", size, "-W", YES, *extra, ip,
                             stdout=-3, stderr=-3)
        return p.wait() == 0

    def _echo_or_settle(self, ip, size, whole):
        """Is one echo answered, after all that was under way? Whoever has no route to `ip` is answered by nobody."""
        family = _family(ip)
        s = self.socket(family, socket.SOCK_RAW,
                        socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP)
        with contextlib.closing(s):
            s.setblocking(False)
            if whole and family == socket.AF_INET:
                s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            mark = os.urandom(8)
            data = (mark * (size // 8 + 1))[:max(size, 8)]
            head = struct.pack("!BBHHH", 128 if family == socket.AF_INET6 else 8, 0, 0, os.getpid() & 0xffff, 1)
            if family == socket.AF_INET:
                head = head[:2] + struct.pack("!H", checksum(head + data)) + head[4:]
            try:
                s.sendto(head + data, (ip, 0))
            except OSError:
                return False
            self.lab.settle()
            reply = 129 if family == socket.AF_INET6 else 0
            while True:
                try:
                    got = s.recv(66000)
                except BlockingIOError:
                    return False
                icmp = got if family == socket.AF_INET6 else got[(got[0] & 15) * 4:]
                if icmp[0] == reply and icmp[8:16] == mark:
                    return True

    # ---- Frames ----

    def raw(self):
        """An AF_PACKET socket on eth0: frames as bytes, both ways."""
        s = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind(("eth0", 3))
        return s

    def send(self, *frames):
        """Send scapy packets (or bytes) as they are."""
        with contextlib.closing(self.raw()) as s:
            for f in frames:
                s.send(bytes(f))

    @contextlib.contextmanager
    def sniff(self):
        """with vm.sniff() as got: ...; got(predicate) waits for a received frame (a scapy Ether) that fits."""
        from scapy.layers.l2 import Ether

        s = self.raw()
        s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING

        def receive(timeout):
            s.settimeout(timeout)
            return Ether(s.recv(65536))

        try:
            yield getter(self.lab, receive)
        finally:
            s.close()


class VM(Host):
    def __init__(self, lab, name, net, port):
        super().__init__(lab, name, port)
        self.net = net
        self.tap = "tap" + port["id"][:11]

    # ---- Its port ----

    def update(self, **attrs):
        self.port = self.lab.api.update("port", self.id, **attrs)

    def status(self):
        return self.lab.api.get("port", self.id)["status"]

    def wait_status(self, status):
        self.lab.wait(lambda: self.status() == status, what=f"port {self.id} {status}")

    def show(self):
        return self.lab.api.weft("ports/" + self.id)

    def drops(self, reason):
        return self.show()["drops"].get(reason, 0)

    # ---- Its interface ----

    def send_marker(self):
        """A frame that the node drops, and counts, whatever the policy of the port."""
        with contextlib.suppress(OSError):  # its interface may be gone
            self.send(b"\2\0\0\0\0\1" + bytes.fromhex(self.mac.replace(":", "")) + MARKER)

    def plug(self):
        node = self.lab.node.name
        sh("ip", "link", "add", self.tap, "netns", node, "type", "veth", "peer", "name", "eth0",
           "address", self.mac, "netns", self.netns.name)
        self.netns.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        self.netns.sysctl("net.ipv6.conf.eth0.accept_ra", 0)
        self.netns.ip("link", "set", "eth0", "mtu", self.net["mtu"], "up")
        self.lab.node.ip("link", "set", self.tap, "up")

    def unplug(self):
        self.lab.node.ip("link", "del", self.tap)

    def configure(self, dhcp=False):
        """Addresses: from DHCP, or as the API says."""
        for f in self.port["fixed_ips"]:
            ip = f["ip_address"]
            subnet = self.net["v6" if ":" in ip else "v4"]
            if dhcp and ":" not in ip:
                continue
            self.add_ip(f"{ip}/{subnet['cidr'].split('/')[1]}")
        if dhcp:
            self.dhcp()

    def default_routes(self):
        """Through its subnets' gateways."""
        for v, flag in (("v4", "-4"), ("v6", "-6")):
            if self.ips(int(v[1])):
                self.netns.ip(flag, "route", "add", "default", "via", self.net[v]["gateway_ip"])

    def dhcp(self, check=True):
        """Run a real DHCP client; True if it got and set the address that the port has."""
        script = f"{self.lab.dir}/udhcpc.sh"
        with open(script, "w") as f:
            f.write("#!/bin/sh\n"
                    "env > " + self.lab.dir + "/lease-$interface-$$ 2>/dev/null\n"
                    "[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\n"
                    f"env > {self.lab.dir}/lease-{self.netns.name}\n"
                    "ip -4 addr flush dev $interface scope global\n"
                    "ip addr add $ip/$mask dev $interface\n"
                    "[ -n \"$mtu\" ] && ip link set $interface mtu $mtu\n"
                    "[ -n \"$router\" ] && ip route replace default via $router || true\n")
        sh("chmod", "+x", script)
        out = self.netns.run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", 5, "-T", 1, "-s", script,
                             "-O", "mtu", "-O", "staticroutes", "-O", "search", "-O", "hostname",
                             check=check)
        return self.lease() if check else out

    def lease(self):
        """What the DHCP client was given: {name: value}."""
        with open(f"{self.lab.dir}/lease-{self.netns.name}") as f:
            return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)


def exchange(a, b, data=b"weft"):
    """Data from socket a to b and back; True when both arrive."""
    try:
        a.settimeout(YES)
        b.settimeout(YES)
        a.sendall(data)
        if b.recv(100) != data:
            return False
        b.sendall(data)
        return a.recv(100) == data
    except OSError:
        return False


def getter(lab, receive):
    """got(fits, timeout) of sniff() and tap(): the first frame that fits, or None. receive(seconds) gives the next one."""
    seen = []

    def got(fits=lambda p: True, timeout=YES):
        for p in seen:
            if fits(p):
                return p
        if timeout is NO:
            lab.settle()
            timeout = 0
        end = time.monotonic() + timeout
        while True:
            try:
                seen.append(receive(max(end - time.monotonic(), 0)))
            except (TimeoutError, BlockingIOError):
                return None
            if fits(seen[-1]):
                return seen[-1]

    return got


def arrives(sender, receiver, data=b"x", settle=None):
    """Does `data` sent on one open socket come out of the other? Of a flow that should be cut: settle=lab.settle."""
    receiver.settimeout(0 if settle else YES)
    try:
        sender.send(data)
        if settle:
            settle()
        return receiver.recv(100) == data
    except OSError:
        return False


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
