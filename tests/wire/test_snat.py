# SPDX-License-Identifier: Apache-2.0
"""Source NAT: who is translated to what, thousands at once, what becomes of flows when things change."""
import contextlib
import errno
import select
import socket
import struct
import threading
import time

import pytest

import frames
from internet import Internet, Tenant
from lab import Lab
from probe import Flow, flows
from vm import YES, checksum

PHYSICAL = ["physnet1"]
IP_PKTINFO, IP_RECVERR = 8, 11


def echo_to(clients, server, port=53):
    """Each client's (VM, source port) datagram is answered with where it came from; [(address, port)] as the server saw."""
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(contextlib.closing(server.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        s.bind(("", port))
        s.settimeout(YES)
        asked, seen = [], {}
        for i, (vm, source_port) in enumerate(clients):
            c = stack.enter_context(contextlib.closing(vm.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            c.bind(("", source_port))
            c.settimeout(YES)
            c.sendto(b"%d" % i, (server.ip, port))
            asked.append(c)
        for _ in clients:
            data, peer = s.recvfrom(100)
            seen[int(data)] = peer
        for i, peer in seen.items():
            s.sendto(b"for %d" % i, peer)
        for i, c in enumerate(asked):
            data, peer = c.recvfrom(100)
            assert data == b"for %d" % i and peer == (server.ip, port)
        return [seen[i] for i in range(len(clients))]


def test_two_tenants_with_equal_addresses_and_ports_do_not_meet(lab):
    net = Internet(lab)
    tenants = [Tenant(net, 1, n6=1), Tenant(net, 1, n6=2)]
    a, b = (t.vm(fixed_ips=[{"ip_address": "10.0.1.7", "subnet_id": t.net["v4"]["id"]}]) for t in tenants)
    assert a.ip == b.ip and tenants[0].ip != tenants[1].ip
    assert echo_to([(a, 5000), (b, 5000)], net.host) == [(tenants[0].ip, 5000), (tenants[1].ip, 5000)]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.closing(net.host.listen(80)))
        clients = [stack.enter_context(contextlib.closing(vm.connect(net.host.ip, 80, source_port=6000))) for vm in (a, b)]
        by = {}
        for _ in clients:
            peer, address = server.accept()
            by[address] = stack.enter_context(contextlib.closing(peer))
        for c, t in zip(clients, tenants):
            by[t.ip, 6000].sendall(t.ip.encode())
            c.settimeout(YES)
            assert c.recv(100) == t.ip.encode()


def test_equal_source_ports_behind_one_router_are_told_apart(lab):
    """RFC 4787: the port is kept where it can be, and low ones stay low."""
    net = Internet(lab)
    t = Tenant(net)
    vms = [t.vm() for _ in range(3)]
    for port in (5000, 500):
        seen = echo_to([(vm, port) for vm in vms], net.host)
        assert {ip for ip, _ in seen} == {t.ip}
        ports = [p for _, p in seen]
        assert port in ports and len(set(ports)) == 3
        assert all((p < 1024) == (port < 1024) for p in ports)


def test_a_mapping_is_the_same_towards_everybody(lab):
    """RFC 4787, REQ-1."""
    net = Internet(lab)
    t = Tenant(net)
    first, second = t.vm(), t.vm()
    with contextlib.closing(first.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken, \
            contextlib.closing(second.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        taken.bind(("", 5000))
        s.bind(("", 5000))
        seen = []
        with contextlib.ExitStack() as stack:
            servers = []
            for host, port in ((net.host, 53), (net.host, 54), (net.gateway, 53)):
                servers.append(stack.enter_context(contextlib.closing(host.socket(socket.AF_INET, socket.SOCK_DGRAM))))
                servers[-1].bind(("", port))
                servers[-1].settimeout(YES)
                taken.sendto(b"mine", (host.ip, port))
                assert servers[-1].recvfrom(100)[1] == (t.ip, 5000)
                s.sendto(b"other", (host.ip, port))
                seen.append(servers[-1].recvfrom(100)[1])
    assert len(set(seen)) == 1 and seen[0][0] == t.ip and seen[0][1] != 5000


def test_pings_of_equal_identifiers_are_told_apart(lab):
    net = Internet(lab)
    t = Tenant(net)
    vms = [t.vm(configure=False) for _ in range(3)]
    assert [echo_once(vm, net.host.ip, t.gateway_mac, b"from %d" % i) for i, vm in enumerate(vms)] == [7, 7, 7]


def echo_once(vm, ip, mac, data):
    """An echo of identifier 7; that of its answer."""
    from scapy.layers.inet import ICMP, IP

    with vm.sniff() as got:
        vm.send(frames.Ether(src=vm.mac, dst=mac) / IP(src=vm.ip, dst=ip) / ICMP(id=7, seq=1) / data)
        answer = got(lambda p: ICMP in p and p[ICMP].type == 0 and bytes(p[ICMP].payload)[:len(data)] == data)
    return answer and answer[ICMP].id


# ---- Thousands -------------------------------------------------------------------------------------


class Echo(threading.Thread):
    """Answers datagrams on some ports of the host, on all of its addresses; who asked is kept by what was asked."""

    def __init__(self, host, ports):
        super().__init__()
        self.sockets, self.seen, self.running = [], {}, True
        for p in ports:
            s = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            s.setsockopt(0, IP_PKTINFO, 1)
            s.bind(("", p))
            s.setblocking(False)
            self.sockets.append(s)

    def run(self):
        while self.running:
            for s in select.select(self.sockets, [], [], 0.05)[0]:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        data, aux, _, peer = s.recvmsg(100, 100)
                        self.seen[data] = (peer, aux[0][2][8:12], s.getsockname()[1])
                        s.sendmsg([data], [(0, IP_PKTINFO, b"\0\0\0\0" + aux[0][2][8:12] + b"\0\0\0\0")], 0, peer)

    def close(self):
        self.running = False
        self.join()
        for s in self.sockets:
            s.close()


class Asker:
    """Sends UDP datagrams of (source port, address, port) as frames, and finds the answers."""

    def __init__(self, vm, mac, flows_of_vm):
        self.vm, self.head = vm, bytes.fromhex((mac + vm.mac).replace(":", "")) + b"\x08\x00"
        self.left = {f"{vm.id[:8]} {f[0]} {f[1]} {f[2]}".encode(): f for f in flows_of_vm}
        self.wrong = []
        self.socket = s = vm.raw()
        s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        s.setblocking(False)

    def send(self):
        """What has no answer yet (again: the queues of a busy machine lose some)."""
        for n, (data, (sport, ip, dport)) in enumerate(list(self.left.items())):
            self.socket.send(self.head + udp_packet(self.vm.ip, ip, sport, dport, data))
            if n % 64 == 63:
                time.sleep(0.002)
                self.read()

    def read(self):
        """How many have no answer?"""
        with contextlib.suppress(BlockingIOError):
            while True:
                f = self.socket.recv(2000)
                if f[12:14] == b"\x08\x00" and f[23] == 17:
                    self._answer(f)
        return len(self.left)

    def _answer(self, f):
        data = f[42:14 + int.from_bytes(f[16:18], "big")]
        ports = struct.unpack("!HH", f[34:38])
        told = f"{self.vm.id[:8]} {ports[1]} {socket.inet_ntoa(f[26:30])} {ports[0]}".encode()
        if data != told or f[30:34] != socket.inet_aton(self.vm.ip):
            self.wrong.append((data, told))
        self.left.pop(data, None)


def ask_until_answered(lab, *askers):
    for _ in range(5):
        for a in askers:
            a.send()
        with contextlib.suppress(AssertionError):
            lab.wait(lambda: sum(a.read() for a in askers) == 0, 1)
            return
    raise AssertionError(f"{sum(len(a.left) for a in askers)} flows were not answered: {lab.api.drops()}")


def udp_packet(src, dst, sport, dport, data):
    """With its IP checksum; the UDP one is not made (RFC 768: 0)."""
    head = b"\x45\0" + (28 + len(data)).to_bytes(2, "big") + b"\0\0\x40\0\x40\x11\0\0" + socket.inet_aton(src) + socket.inet_aton(dst)
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return head + sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + (8 + len(data)).to_bytes(2, "big") + b"\0\0" + data


@pytest.fixture
def large_lab(datapath):
    lab = Lab(datapath, "[datapath]\nsessions = 131072\n", physical=PHYSICAL)
    yield lab
    lab.close()


def test_twenty_thousand_flows_are_answered_each_to_its_own(large_lab):
    """Half of them to one address and port, half to many; the same source ports at every VM."""
    lab = large_lab
    net = Internet(lab)
    t = Tenant(net)
    vms = [t.vm(configure=False) for _ in range(4)]
    net.gateway.netns.ip("route", "add", "198.18.0.0/24", "via", net.host.ip)
    net.host.netns.ip("route", "add", "local", "198.18.0.0/24", "dev", "lo")
    server = Echo(net.host, range(53, 57))
    server.start()
    many = [(f"198.18.0.{h}", p) for h in range(1, 251) for p in range(53, 57)]
    to_one = [(10000 + i, net.host.ip, 53) for i in range(2500)]
    to_many = [(20000 + i % 5, *many[i // 5 % len(many)]) for i in range(2500)]
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        askers = [Asker(vm, t.gateway_mac, to_one + to_many) for vm in vms]
        for a in askers:
            stack.callback(a.socket.close)
        ask_until_answered(lab, *askers)
    assert not [w for a in askers for w in a.wrong]
    tuples = list(server.seen.values())
    assert len(tuples) == 20000
    assert len(set(tuples)) == 20000, "two flows had the same translated tuple"
    assert {peer[0] for peer, _, _ in tuples} == {t.ip}


def test_when_no_port_is_left_it_is_counted_and_told_and_nobody_else_is_hurt(lab):
    """1,023 low ports towards one destination: the next one is refused, another destination is not."""
    net = Internet(lab)
    t = Tenant(net)
    greedy, late = t.vm(configure=False), t.vm()
    asker = Asker(greedy, t.gateway_mac, [(p, net.host.ip, 53) for p in range(1, 1024)])
    server = Echo(net.host, [53, 54])
    server.start()
    with contextlib.closing(asker.socket), contextlib.closing(server), \
            contextlib.closing(late.socket(socket.AF_INET, socket.SOCK_DGRAM)) as c:
        assert late.ping(net.host)
        ask_until_answered(lab, asker)
        before = lab.api.drops().get("nat-exhausted", 0)
        c.bind(("", 500))
        c.settimeout(YES)
        c.setsockopt(0, IP_RECVERR, 1)
        c.connect((net.host.ip, 53))
        c.send(b"me, too")
        with pytest.raises(OSError) as refused:
            c.recv(100)
        assert refused.value.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH)
        assert lab.api.drops()["nat-exhausted"] == before + 1
        assert late.drops("nat-exhausted") == 1
        c.connect((net.host.ip, 54))
        c.send(b"elsewhere")
        assert c.recv(100) == b"elsewhere"


# ---- Changes under open flows ----------------------------------------------------------------------


def test_unrelated_changes_leave_translated_flows_alone_and_a_removed_rule_cuts_its_own(lab):
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("egress tcp 80", "egress tcp 81", egress=False)
    other = lab.group()
    vm, second = t.vm([group]), t.vm([group])
    with contextlib.ExitStack() as stack:
        def flow(*args):
            return stack.enter_context(contextlib.closing(Flow(*args)))

        a, b, c = flow(vm, net.host, 80), flow(vm, net.host, 81), flow(second, net.host, 80)
        before = [f.server.getpeername() for f in (a, b, c)]
        assert {ip for ip, _ in before} == {t.ip}
        rule = lab.rule(group, "egress udp 53")
        net.floating()
        lab.api.update("router", t.router["id"], routes=[{"destination": "198.18.0.0/24", "nexthop": vm.ip}])
        flows(alive=[a, b, c])
        lab.api.delete("security_group_rule", rule["id"])
        lab.set_groups(second, group, other)
        lab.api.update("router", t.router["id"], routes=[])
        flows(alive=[a, b, c])
        lab.api.delete("security_group_rule", group["rules"][1]["id"])
        flows(alive=[a, c], dead=[b])
        lab.rule(group, "egress tcp 81")
        flows(alive=[a, b, c])
        assert [f.server.getpeername() for f in (a, b, c)] == before


def test_a_flow_keeps_its_port_when_it_is_judged_again(lab):
    """A mapping that is not its first choice (another VM has that port) is kept, too."""
    net = Internet(lab)
    t = Tenant(net)
    group = lab.group("egress tcp 80", "egress tcp 81", egress=False)
    vms = [t.vm([group]) for _ in range(2)]
    with contextlib.closing(net.host.listen(80)) as server, contextlib.ExitStack() as stack:
        server.settimeout(YES)
        pairs = []
        for vm in vms:
            c = stack.enter_context(contextlib.closing(vm.connect(net.host.ip, 80, source_port=7000)))
            peer, address = server.accept()
            pairs.append((c, stack.enter_context(contextlib.closing(peer)), address))
        assert pairs[0][2] == (t.ip, 7000) and pairs[1][2][1] != 7000
        pairs[0][0].close()
        pairs[0][1].close()
        lab.api.delete("security_group_rule", group["rules"][1]["id"])
        c, peer, _ = pairs[1]
        c.sendall(b"still here")
        peer.settimeout(YES)
        assert peer.recv(100) == b"still here"
        peer.sendall(b"so am I")
        c.settimeout(YES)
        assert c.recv(100) == b"so am I"


@pytest.mark.parametrize("end", ["terminated", "killed"])
def test_tcp_through_the_router_goes_on_when_weftd_is_restarted(own_lab, end):
    import signal

    lab = own_lab
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm()
    with contextlib.closing(Flow(vm, net.host, 80)) as flow, contextlib.closing(Flow(vm, net.host, 80, "tcp", 6)) as flow6:
        lab.restart(signal.SIGKILL if end == "killed" else signal.SIGTERM)
        flows(alive=[flow, flow6], only="client")
        flows(alive=[flow, flow6])
        assert flow.server.getpeername()[0] == t.ip
