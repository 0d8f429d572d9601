#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Switch: a learning VLAN switch in user space, for kernels without VLAN filtering bridges. Run inside a namespace.

Commands on stdin, each answered by a line: `add INTERFACE VLAN` makes an interface an access port of a VLAN, `add INTERFACE
trunk` one with VLAN 1 untagged and all others tagged; `settle` is answered when all that had come has been passed on. An interface that goes is forgotten. Large packets and unfinished
checksums pass as they are: frames are read and written with their virtio-net headers.
"""
import select
import socket
import struct
import sys

SOL_PACKET, ETH_P_ALL = 263, 3
PACKET_ADD_MEMBERSHIP, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 1, 8, 15, 23
PACKET_MR_PROMISC = 1
VLAN_VALID = 0x10
VNET = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
NEEDS_CSUM = 1
UNTAGGED = 1


class Port:
    def __init__(self, name, vlan):
        self.name, self.vlan = name, vlan  # None: a trunk
        self.socket = s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for option in (PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING):
            s.setsockopt(SOL_PACKET, option, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            s.setsockopt(socket.SOL_SOCKET, option + 25, 16 << 20)  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
        s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                     struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b""))
        s.bind((name, ETH_P_ALL))
        s.setblocking(False)

    def receive(self):
        """(VLAN, virtio-net header, frame without tag), or None."""
        data, aux, _, _ = self.socket.recvmsg(66000, 256)
        vlan = UNTAGGED
        for _, _, a in aux:
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", a[:20])
            if status & VLAN_VALID:
                vlan = tci & 0xfff
        if self.vlan is not None:
            if vlan != UNTAGGED:
                return None  # an access port takes no tags
            vlan = self.vlan
        return vlan, data[:10], data[10:]

    def send(self, vlan, head, frame):
        if self.vlan is None and vlan != UNTAGGED:
            flags, kind, hdr_len, size, start, offset = VNET.unpack(head)
            head = VNET.pack(flags, kind, hdr_len + 4 if hdr_len else 0, size, start + 4 if flags & NEEDS_CSUM else 0, offset)
            frame = frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]
        try:
            self.socket.send(head + frame)
        except OSError:
            pass  # full, too long for the interface, or just gone

    def carries(self, vlan):
        return self.vlan in (None, vlan)


def main():
    ports, where = {}, {}
    poll = select.poll()
    poll.register(0, select.POLLIN)

    def drop(fd):
        poll.unregister(fd)
        ports.pop(fd).socket.close()

    settling = False
    while True:
        ready = poll.poll(0 if settling else None)
        if settling and not [fd for fd, _ in ready if fd != 0]:
            print("ok", flush=True)
            settling = False
        for fd, _ in ready:
            if fd == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                if line == "settle\n":
                    settling = True
                    continue
                _, name, vlan = line.split()
                for other in [fd for fd, p in ports.items() if p.name == name]:
                    drop(other)
                p = Port(name, None if vlan == "trunk" else int(vlan))
                ports[p.socket.fileno()] = p
                poll.register(p.socket, select.POLLIN)
                print("ok", flush=True)
                continue
            if fd not in ports:
                continue
            try:
                got = ports[fd].receive()
            except BlockingIOError:
                continue
            except OSError as e:
                if e.errno in (6, 19):  # ENXIO, ENODEV; ENETDOWN is passing
                    drop(fd)
                continue
            if got is None:
                continue
            vlan, head, frame = got
            where[vlan, frame[6:12]] = fd
            to = None if frame[0] & 1 else where.get((vlan, frame[:6]))
            for other, p in list(ports.items()):
                if other != fd and p.carries(vlan) and (to is None or to == other or to not in ports):
                    p.send(vlan, head, frame)


main()
