# SPDX-License-Identifier: Apache-2.0
"""Probes: many questions at once, so that waiting for what must not come is paid once.

expect(a, b, yes=["tcp 80", "icmp"], no=["udp 53"]) sends all of them together. What must come proves that the path
works; what must not come has not come when all that was under way has (Lab.settle). A probe is written like a rule:

    [ipv6] tcp PORT        a connection is made
    [ipv6] udp PORT        a datagram arrives and its answer comes back
    [ipv6] icmp            an echo is answered
    [ipv6] icmp TYPE/CODE  a message of that type arrives
    [ipv6] sctp PORT       an INIT chunk arrives
    [ipv6] ip PROTOCOL     a packet of that protocol arrives

expect_frames() does the same with frames that are sent as they are.
"""
import contextlib
import itertools
import select
import socket
import struct
import time

from vm import YES, checksum

_numbers = itertools.count(1)
ICMP6_FILTER = 1


def _raw_marker(number):
    return b"weft-probe-%08d" % number


class Probe:
    def __init__(self, sender, receiver, text):
        self.sender, self.receiver, self.text = sender, receiver, text
        words = text.split()
        self.version = 4
        if words[0] == "ipv6":
            self.version = 6
            words.pop(0)
        self.kind = words[0]
        self.arg = words[1] if len(words) > 1 else None
        self.marker = _raw_marker(next(_numbers))
        self.family = socket.AF_INET if self.version == 4 else socket.AF_INET6
        self.to = receiver.ip if self.version == 4 else receiver.ip6
        self.passed = False
        self.sockets = []  # (socket, what to do when it is readable or writable, for writing)

    def __str__(self):
        return f"{self.text} from {self.sender.port['id'][:8]} to {self.to}"

    def _open(self, vm, kind, proto=0):
        s = vm.socket(self.family, kind, proto)
        s.setblocking(False)
        if self.version == 6 and kind != socket.SOCK_RAW:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return s

    def _watch(self, s, react, writing=False):
        self.sockets.append((s, react, writing))

    def _any(self):
        return "::" if self.version == 6 else "0.0.0.0"

    def start(self):
        getattr(self, "_start_" + self.kind)()

    def _start_tcp(self):
        port = int(self.arg)
        server = self._open(self.receiver, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((self._any(), port))
        server.listen(8)
        self._watch(server, lambda s: None)
        client = self._open(self.sender, socket.SOCK_STREAM)
        client.connect_ex((self.to, port))
        self._watch(client, self._connected, writing=True)

    def _connected(self, s):
        self.passed = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def _start_udp(self):
        server = self._open(self.receiver, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((self._any(), int(self.arg)))
        self._watch(server, self._answer)
        client = self._open(self.sender, socket.SOCK_DGRAM)
        client.connect((self.to, int(self.arg)))
        self._watch(client, self._marked)
        client.send(self.marker)

    @staticmethod
    def _answer(s):
        data, peer = s.recvfrom(2000)
        s.sendto(data, peer)

    def _marked(self, s):
        if self.marker in s.recv(2000):
            self.passed = True

    def _start_icmp(self):
        proto = socket.IPPROTO_ICMP if self.version == 4 else socket.IPPROTO_ICMPV6
        kind, code = (int(x) for x in (self.arg or "8/0").split("/"))
        if self.arg is None:
            kind = 8 if self.version == 4 else 128
        client = self._open(self.sender, socket.SOCK_RAW, proto)
        watched = client if self.arg is None else self._open(self.receiver, socket.SOCK_RAW, proto)
        if watched is not client:
            self.sockets.append((client, lambda s: s.recv(2000), False))
        if self.version == 6 and self.arg is None:  # not the question, where a VM asks itself
            watched.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER,
                               struct.pack("8I", *[0xffffffff] * 4, 0xfffffffd, *[0xffffffff] * 3))
        self._watch(watched, self._marked)
        head = struct.pack("!BBHHH", kind, code, 0, int(self.marker[-4:]), 1)
        if self.version == 4:
            head = struct.pack("!BBHHH", kind, code, checksum(head + self.marker), int(self.marker[-4:]), 1)
        client.sendto(head + self.marker, (self.to, 0))

    def _start_ip(self, payload=b"", proto=None):
        proto = proto if proto is not None else int(self.arg)
        server = self._open(self.receiver, socket.SOCK_RAW, proto)
        self._watch(server, self._marked)
        client = self._open(self.sender, socket.SOCK_RAW, proto)
        self._watch(client, lambda s: s.recv(2000))
        client.sendto(payload + self.marker, (self.to, 0))

    def _start_sctp(self):
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(self.marker), 1, 65536, 1, 1, 1) + self.marker
        self._start_ip(struct.pack("!HHII", 40000, int(self.arg), 0, 0) + chunk, proto=132)

    def close(self):
        for s, _, _ in self.sockets:
            s.close()


def ask(probes, wanted):
    """Start all, wait for those that are wanted, then until nothing is under way. Afterwards probe.passed tells."""
    with contextlib.ExitStack() as stack:
        poll, by_fd = select.poll(), {}
        for p in probes:
            stack.callback(p.close)
            p.start()
            for s, react, writing in p.sockets:
                poll.register(s, select.POLLOUT if writing else select.POLLIN)
                by_fd[s.fileno()] = (p, s, react, writing)

        def look(seconds):
            """Whether there was something."""
            ready = poll.poll(seconds * 1000)
            for fd, _ in ready:
                p, s, react, writing = by_fd[fd]
                with contextlib.suppress(OSError):
                    react(s)
                if writing:  # a connection is made or refused once
                    poll.unregister(fd)
            return bool(ready)

        end = time.monotonic() + YES
        while [p for p in probes if p in wanted and not p.passed] and (left := end - time.monotonic()) > 0:
            look(left)
        if len(wanted) < len(probes):
            probes[0].sender.lab.settle(between=lambda: look(0))


def expect_all(lines):
    """lines: (sender, receiver, probe, True | False)."""
    probes = [(Probe(a, b, text), wanted) for a, b, text, wanted in lines]
    wanted = {p for p, w in probes if w}
    assert wanted, "a test of what does not pass needs something that does"
    ask([p for p, _ in probes], wanted)
    wrong = [f"{p}: {'passed' if p.passed else 'did not pass'}" for p, w in probes if p.passed != w]
    assert not wrong, "; ".join(wrong)


def expect(sender, receiver, yes=(), no=()):
    expect_all([(sender, receiver, t, True) for t in yes] + [(sender, receiver, t, False) for t in no])


def expect_frames(sender, receivers, yes=None, no=None):
    """Frames (dicts: name -> scapy packet) sent as they are: at each receiver (a VM or several) all of `yes` must
    arrive unchanged and none of `no`, which is sent before."""
    receivers = receivers if isinstance(receivers, (list, tuple)) else [receivers]
    yes = {k: bytes(v) for k, v in (yes or {}).items()}
    no = {k: bytes(v) for k, v in (no or {}).items()}
    both = set(yes.values()) & set(no.values())
    assert yes and not both, "a test of what does not pass needs something else that does"
    with contextlib.ExitStack() as stack:
        seen = {}
        for r in receivers:
            s = stack.enter_context(contextlib.closing(r.raw()))
            s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
            s.setblocking(False)
            seen[r] = (s, [])
        sender.send(*no.values(), *yes.values())
        begin = time.monotonic()
        while True:
            for s, got in seen.values():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        got.append(s.recv(65536))
            missing = [f"{name} did not arrive at {r.port['id'][:8]}" for r, (_, got) in seen.items()
                       for name, f in yes.items() if not _has(got, f)]
            if not missing or time.monotonic() - begin > YES:
                break
            time.sleep(0.005)
        leaked = [f"{name} arrived at {r.port['id'][:8]}" for r, (_, got) in seen.items()
                  for name, f in no.items() if _has(got, f)]
    assert not missing + leaked, "; ".join(missing + leaked)


def _has(got, frame):
    return any(g[:len(frame)] == frame and not g[len(frame):].strip(b"\0") for g in got)  # short ones are padded


class Flow:
    """A connection, TCP or UDP, that is open: for what happens to it when the policy changes under it."""

    def __init__(self, client, server, port, proto="tcp", version=4, source=None, to=None):
        """source, to: addresses, if not the first of each port (UDP only)."""
        self.lab = client.lab
        self.text = f"{proto}/{port} v{version} from {client.id[:8]} to {server.id[:8]}"
        if proto == "tcp":
            self.client, self.server = client.tcp_pair(server, port, version)
        else:
            self.client, self.server = client.udp_pair(server, port, version, source, to)
            self.client.send(b"hello")
            self.server.settimeout(YES)
            _, peer = self.server.recvfrom(100)
            self.server.connect(peer)
        self._read = {self.client: b"", self.server: b""}
        for s in self._read:
            s.setblocking(False)
        if proto == "tcp":
            for s in self._read:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flows(alive=[self])

    def _other(self, end):
        return self.server if end is self.client else self.client

    def send(self, end):
        """A token from that end; what to look for at the other."""
        token = b"<%d>" % next(_numbers)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            end.send(token)
        return token

    def has(self, end, token):
        with contextlib.suppress(OSError):
            while data := end.recv(65536):
                self._read[end] += data
        return token in self._read[end]

    def close(self):
        self.client.close()
        self.server.close()


def flows(alive=(), dead=(), only=None):
    """Send on all flows, from both ends (or only="client" | "server"): what is sent on `alive` must arrive, what is
    sent on `dead` must not. Whatever TCP kept back arrives when its flow may pass again."""
    sent = []
    for f in [*alive, *dead]:
        for name, end in (("client", f.client), ("server", f.server)):
            if only in (None, name):
                sent.append((f, name, f._other(end), f.send(end)))
    begin = time.monotonic()
    while True:
        missing = [f"{f.text}: what its {name} sent did not arrive" for f, name, end, token in sent
                   if f in alive and not f.has(end, token)]
        if not missing or time.monotonic() - begin > YES:
            break
        time.sleep(0.005)
    if dead:
        dead[0].lab.settle()
    leaked = [f"{f.text}: what its {name} sent arrived" for f, name, end, token in sent
              if f in dead and f.has(end, token)]
    assert not missing + leaked, "; ".join(missing + leaked)
