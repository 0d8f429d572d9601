# SPDX-License-Identifier: Apache-2.0
"""A small session table and a VM that fills it: what it takes is its own share."""
import contextlib
import socket
import threading

import pytest

import frames
from lab import Lab
from probe import Flow, expect_all, flows
from vm import YES

TABLE, SHARE = 1024, 25
FLOOD = 3 * TABLE
PORTION = 32  # an interface's ring has room for twice as many, and for what the hosts say by themselves


@pytest.fixture
def small(datapath):
    lab = Lab(datapath, f"[datapath]\nsessions = {TABLE}\nport_share = {SHARE}\n")
    yield lab
    lab.close()


def datagrams(a, b, first=10000, n=FLOOD):
    """n new flows to port 9999: one packet each, differing in their source port (and without checksum)."""
    frame = bytearray(bytes(frames.udp(a, b, 0, 9999, b"flood")))
    frame[40:42] = b"\0\0"
    made = []
    for port in range(first, first + n):
        frame[34:36] = port.to_bytes(2, "big")
        made.append(bytes(frame))
    return made


def syns(a, b):
    frame = bytearray(bytes(frames.tcp(a, b, 0, 9998)))
    checksum = int.from_bytes(frame[50:52], "big")
    made = []
    for port in range(10000, 10000 + FLOOD):
        frame[34:36] = port.to_bytes(2, "big")
        s = (0xffff ^ checksum) + port
        frame[50:52] = (0xffff ^ ((s & 0xffff) + (s >> 16))).to_bytes(2, "big")
        made.append(bytes(frame))
    return made


@contextlib.contextmanager
def server(vm, port):
    """Answers every datagram."""
    s = vm.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind(("0.0.0.0", port))
    s.settimeout(0.1)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                data, peer = s.recvfrom(100)
                s.sendto(data, peer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        s.close()


def asks(vm, to, source_port, times=1):
    """A new flow to the server: is it answered, so many times?"""
    with contextlib.closing(vm.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.settimeout(YES)
        s.bind(("", source_port))
        try:
            for _ in range(times):
                s.sendto(b"question", (to.ip, 9999))
                if s.recv(100) != b"question":
                    return False
            return True
        except OSError:
            return False


def flood(lab, sender, packets, answers=None):
    """In portions, so that they reach the session table and do not end in a full queue. `answers`: who answers all of them; an answer that comes
    when its question's session has made room for others would be a new flow of his own."""
    told = [vm for vm in (sender, answers) if vm]
    for i in range(0, len(packets), PORTION):
        before = [vm.show()["counters"]["from_vm_packets"] for vm in told]
        sender.send(*packets[i:i + PORTION])
        for vm, n in zip(told, before):
            lab.wait(lambda: vm.show()["counters"]["from_vm_packets"] >= n + PORTION, what="the portion taken")


@pytest.mark.parametrize("kind", ["unanswered", "answered", "half-open"])
def test_flood_of_new_flows_takes_nothing_from_other_ports(small, kind):
    lab = small
    net = lab.network()
    group = lab.group("ingress any")
    a, b, flooder = (lab.vm(net, [group]) for _ in range(3))
    silent = lab.vm(net, [group], configure=False)  # has no address, so it never says anything
    held = [Flow(a, b, 80 + i, "tcp") for i in range(10)] + [Flow(a, b, 200 + i, "udp") for i in range(10)]
    with server(b, 9999):
        packets = {"unanswered": lambda: datagrams(flooder, silent), "answered": lambda: datagrams(flooder, b),
                   "half-open": lambda: syns(flooder, silent)}[kind]()
        answers = b if kind == "answered" else None
        flood(lab, flooder, packets[:FLOOD // 2], answers)
        assert lab.api.weft("sessions")["count"] > 50, "the flood made no sessions"
        flows(alive=held)
        expect_all([(a, b, f"tcp {port}", True) for port in range(1000, 1010)]
                   + [(a, b, f"udp {port}", True) for port in range(1000, 1010)])
        flood(lab, flooder, packets[FLOOD // 2:], answers)
        late = [Flow(a, b, 300 + i, "udp") for i in range(10)]
        flows(alive=held + late)
    assert flooder.show()["sessions"] <= TABLE * SHARE // 100
    for vm in (a, b):
        assert vm.drops("sessions-full") == vm.drops("port-sessions") == 0
    for f in held + late:
        f.close()


def test_port_that_asks_one_question_after_another_is_never_refused(small):
    """What was one question and one answer makes room for the next."""
    lab = small
    net = lab.network()
    group = lab.group("ingress any")
    b, asker = (lab.vm(net, [group]) for _ in range(2))
    kept = Flow(asker, b, 80, "tcp")
    with server(b, 9999):
        assert all(asks(asker, b, 20000 + i) for i in range(2 * TABLE * SHARE // 100))
        flows(alive=[kept])
    assert asker.drops("port-sessions") == 0
    kept.close()


def test_new_conversations_of_a_port_that_holds_its_share_take_the_place_of_its_oldest(small):
    lab = small
    net = lab.network()
    group = lab.group("ingress any")
    a, b, greedy = (lab.vm(net, [group]) for _ in range(3))
    share = TABLE * SHARE // 100
    kept = Flow(greedy, b, 80, "tcp")  # of its days, less has passed than of the others' minutes
    with server(b, 9999):
        assert all(asks(greedy, b, 20000 + i, times=2) for i in range(2 * share))
        assert share - 10 < greedy.show()["sessions"] <= share
        assert asks(a, b, 20000)
        flows(alive=[kept])
    for vm in (a, greedy):
        assert vm.drops("port-sessions") == vm.drops("sessions-full") == 0
    kept.close()


def test_many_flooders_at_once_leave_established_flows_alone(small):
    """Their shares add up to more than the table."""
    lab = small
    net = lab.network()
    group = lab.group("ingress any")
    a, b, *flooders = (lab.vm(net, [group]) for _ in range(7))
    silent = lab.vm(net, [group], configure=False)
    held = [Flow(a, b, 80 + i, "tcp") for i in range(5)] + [Flow(a, b, 200 + i, "udp") for i in range(5)]
    for i in range(2):
        for f in flooders:
            flood(lab, f, datagrams(f, silent, 10000 + 512 * i, 512))
    flows(alive=held)
    expect_all([(a, b, "tcp 1000", True), (a, b, "udp 1000", True), (flooders[0], b, "udp 1000", True)])
    for f in held:
        f.close()
