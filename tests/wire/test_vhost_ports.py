# SPDX-License-Identifier: Apache-2.0
"""vhost-user ports by the hundred, and what QEMU says after a migration; QEMU's part is played by front_end.py."""
import os
import struct
import threading
import time

import pytest
from scapy.layers.l2 import Dot1Q

import frames
from front_end import SIZE, FrontEnd
from guest import guest_port
from lab import HOST
from vm import NO, YES

PHYSICAL = ["physnet1"]
MANY = 300
RARP = 0x8035


def path_of(lab, port):
    return f"{lab.dir}/run/vhu{port['id'][:11]}"


class Vm:
    """A port with a driver, as frames.py wants it."""

    def __init__(self, lab, net, groups, **attrs):
        self.lab, self.port = lab, guest_port(lab, net, groups, **attrs)
        self.id, self.mac = self.port["id"], self.port["mac_address"]
        self.ip = self.port["fixed_ips"][0]["ip_address"]
        self.front = FrontEnd(path_of(lab, self.port))

    def start(self):
        self.front.start()
        self.lab.wait(lambda: self.lab.api.get("port", self.id)["status"] == "ACTIVE", what="the port is ACTIVE")

    def guest(self):
        return self.lab.api.weft("ports/" + self.id)["guest"]


@pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
def test_mac_of_a_migrated_vm_is_told_outside(lab, vlan):
    net = lab.provider(vlan=vlan)
    vm = Vm(lab, net, [lab.group("ingress any")],
            allowed_address_pairs=[{"ip_address": "203.0.113.77", "mac_address": "00:00:5e:00:01:07"}])
    with vm.front, lab.outside().tap() as got:
        vm.start()
        for n, mac in enumerate((vm.mac, "00:00:5e:00:01:07"), 1):
            vm.front.rarp(mac)
            seen = got(lambda p: p.src == mac and (p[Dot1Q].type if Dot1Q in p else p.type) == RARP)
            assert seen is not None and seen.dst == "ff:ff:ff:ff:ff:ff"
            assert (seen[Dot1Q].vlan if Dot1Q in seen else None) == vlan
            assert vm.guest()["announced"] == n
        vm.front.rarp("02:00:00:00:00:99")
        lab.wait(lambda: vm.guest()["announce_refused"] == 1, what="another MAC is refused")
        assert got(lambda p: p.src == "02:00:00:00:00:99", NO) is None
        assert vm.guest()["announced"] == 2


def test_migrated_vm_is_no_news_on_a_network_of_this_node_alone(lab):
    net = lab.network()
    a, b = (Vm(lab, net, [lab.group("ingress any")]) for _ in range(2))
    with a.front, b.front, lab.outside().tap() as got:
        a.start()
        b.start()
        a.front.rarp(a.mac)
        assert b.front.receive(0.3) is None
        assert got(lambda p: p.src == a.mac, NO) is None
        assert a.guest()["announced"] == a.guest()["announce_refused"] == 0


def test_vm_that_takes_its_memory_back_hurts_nobody_else(own_lab):
    lab = own_lab
    net, group = lab.network(), lab.group("ingress any")
    a, b, c = (Vm(lab, net, [group]) for _ in range(3))
    pid = lab.daemon.pid
    with b.front, c.front:
        for vm in (a, b, c):
            vm.start()
        for again in range(3):
            for size in (0, 4096, SIZE):  # all of it; all but a page of the receiving ring; the sending ring
                os.ftruncate(a.front.fd, size)
                b.front.send(frames.udp(b, a))  # somebody writes to it; somebody polls it anyway
                lab.wait(lambda: lab.api.get("port", a.id)["status"] == "DOWN", what="its port is DOWN")
                b.front.send(frames.udp(b, c, data=b"still here"))
                while b"still here" not in (frame := c.front.receive(YES)):
                    pass
                a.front.close()
                a.front = FrontEnd(path_of(lab, a.port))
                a.start()
        a.front.close()
    assert lab.daemon.pid == pid and lab.daemon.poll() is None


def test_messages_that_cannot_be_cost_weftd_nothing(own_lab):
    lab = own_lab
    net, group = lab.network(), lab.group("ingress any")
    a, b = (Vm(lab, net, [group]) for _ in range(2))
    a.front.close()
    with b.front:
        b.start()
        before = resources(lab)[0]
        for n in range(300):
            with FrontEnd(path_of(lab, a.port)) as f:
                f.nonsense(n)
        lab.wait(lambda: resources(lab)[0] == before, what="all descriptors are closed")
        silent = FrontEnd(path_of(lab, a.port))
        silent.socket.send(b"\x08\0\0\0\x01\0\0\0\x08\0\0\0")  # and no more
        with FrontEnd(path_of(lab, a.port)) as a.front, silent:
            a.start()
            a.front.send(frames.udp(a, b, data=b"hello"))
            while b"hello" not in b.front.receive(5):
                pass


class Stream(threading.Thread):
    """Numbered packets from one VM to another, some hundred a second."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b
        self.ended = threading.Event()
        self.sent = 0
        self.came = []
        self.longest = 0.0  # pause between two that came

    def _take(self, timeout):
        while (frame := self.b.front.receive(timeout)) is not None:
            if len(frame) == self.length:
                self.came.append(struct.unpack(">I", frame[-4:])[0])
                return True
        return False

    def run(self):
        head = bytes(frames.udp(self.a, self.b, data=b"1234"))[:-4]
        head = head[:40] + b"\0\0" + head[42:]  # no checksum: the number changes
        self.length = len(head) + 4
        last = time.monotonic()
        while not self.ended.is_set():
            self.a.front.send(head + struct.pack(">I", self.sent))
            self.sent += 1
            if self._take(YES):
                self.longest = max(self.longest, time.monotonic() - last)
            last = time.monotonic()
            time.sleep(0.003)


def resources(lab):
    """(descriptors, resident kilobytes, sockets) of weftd."""
    pid = lab.daemon.pid
    with open(f"/proc/{pid}/status") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident, sorted(n for n in os.listdir(f"{lab.dir}/run") if n.startswith("vhu"))


def come_and_go(lab, net, group):
    ports = lab.api.request("POST", "/v2.0/ports", {"ports": [
        {"network_id": net["id"], "binding:host_id": HOST, "binding:profile": {"vif_type": "vhostuser"},
         "security_groups": [group["id"]]} for _ in range(MANY)]})["ports"]
    fronts = [FrontEnd(path_of(lab, p)) for p in ports]
    for f in fronts:
        f.start()
    active = {"ACTIVE": 0}

    def all_active():
        now = [p["status"] for p in lab.api.list("port", network_id=net["id"])]
        active["ACTIVE"] = now.count("ACTIVE")
        return active["ACTIVE"] == MANY + 2
    lab.wait(all_active, what="all ports are ACTIVE")
    busiest = resources(lab)[0]
    for i, f in enumerate(fronts):
        if i % 2 == 0:
            f.close()  # QEMU ends first
    for p in ports:
        lab.api.delete("port", p["id"])
    for i, f in enumerate(fronts):
        if i % 2 == 1:
            f.close()
    return busiest


def test_hundreds_of_ports_come_and_go_beside_two_that_work(own_lab):
    lab = own_lab
    net, group = lab.network("10.0.0.0/22"), lab.group("ingress any")
    a, b = Vm(lab, net, [group]), Vm(lab, net, [group])
    with a.front, b.front:
        a.start()
        b.start()
        stream = Stream(a, b)
        stream.start()
        try:
            fds, _, sockets = resources(lab)
            assert len(sockets) == 2
            sizes = []
            for _ in range(2):
                busiest = come_and_go(lab, net, group)
                assert busiest > fds + MANY
                lab.wait(lambda: resources(lab)[0] == fds, what="all descriptors are closed")
                assert resources(lab)[2] == sockets
                sizes.append(resources(lab)[1])
        finally:
            stream.ended.set()
            stream.join()
        assert sizes[1] - sizes[0] < 4096, f"resident: {sizes}"
        assert stream.came == list(range(stream.sent)), "packets were lost or came twice"
        assert stream.sent > 100 and stream.longest < YES
