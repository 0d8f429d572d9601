# SPDX-License-Identifier: Apache-2.0
"""Front end: QEMU's end of a vhost-user socket and a driver with one pair of split rings, in a few kilobytes: for tests that need
many ports, or messages that QEMU sends only at rare moments.

    with FrontEnd(path) as f:
        f.start()                   the port is ACTIVE now
        f.send(frame)               bytes or a scapy frame; in this order
        f.receive(1)                the next frame that came, or None after so many seconds
        f.rarp("02:00:00:00:00:01") what QEMU says after a migration
"""
import array
import contextlib
import mmap
import os
import socket
import struct
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SEND_RARP = 8, 9, 10, 12, 13, 19
SET_INFLIGHT_FD = 32
VERSION_1 = 1 << 32
RING, BUFFER, HEADER = 64, 2048, 12
DESC, AVAIL, USED, BUFFERS = 0, 4096, 8192, 12288  # of a ring, from its begin
SIZE = BUFFERS + RING * BUFFER
WRITE = 2
RX, TX = 0, 1


class FrontEnd:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        end = time.monotonic() + 5
        while (error := self.socket.connect_ex(path)) != 0:  # a new port's socket comes a moment later
            assert time.monotonic() < end, f"{path}: {os.strerror(error)}"
            time.sleep(0.005)
        self.fd = os.memfd_create("vm")
        os.ftruncate(self.fd, 2 * SIZE)
        self.memory = mmap.mmap(self.fd, 2 * SIZE)
        # What the other end reads or writes at any moment, in one piece: struct's functions go byte by byte, and write zeros first.
        self.words = memoryview(self.memory).cast("H")
        self.events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
        self.next = [0, 0]  # of the avail rings
        self.seen = [0, 0]  # of the used rings

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        self.words.release()
        self.memory.close()
        for fd in (self.fd, *self.events):
            os.close(fd)

    # ---- Messages ----

    def _say(self, request, payload=b"", fd=None):
        message = struct.pack("<III", request, 1, len(payload)) + payload
        control = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        assert self.socket.sendmsg([message], control) == len(message)

    def features(self):
        """What is offered; whatever was said before has been dealt with."""
        self._say(GET_FEATURES)
        return struct.unpack("<12xQ", self.socket.recv(20, socket.MSG_WAITALL))[0]

    def start(self):
        self._say(SET_OWNER)
        assert self.features() & VERSION_1
        self._say(SET_FEATURES, struct.pack("<Q", VERSION_1))
        self._say(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, 2 * SIZE, 0x10000000, 0), self.fd)
        for ring in (TX, RX):  # with the first ring the device is ready
            at = 0x10000000 + ring * SIZE
            self._say(SET_VRING_NUM, struct.pack("<II", ring, RING))
            self._say(SET_VRING_BASE, struct.pack("<II", ring, 0))
            self._say(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring, 0, at + DESC, at + USED, at + AVAIL, 0))
            self._say(SET_VRING_CALL, struct.pack("<Q", ring), self.events[2 * ring])
            self._say(SET_VRING_KICK, struct.pack("<Q", ring), self.events[2 * ring + 1])
        for i in range(RING):
            self._put(RX, i, BUFFER, WRITE)
        self.features()

    def nonsense(self, n):
        """What no front end says, with descriptors; returns when the other end has hung up."""
        request, payload, fds = ((SET_VRING_NUM, struct.pack("<II", 4096, 64), 8), (SET_INFLIGHT_FD, bytes(24), 1),
                                 (SEND_RARP, bytes(8), 8), (SET_MEM_TABLE, struct.pack("<II", 8, 0) + bytes(256), 8))[n % 4]
        rights = array.array("i", [self.fd] * fds)
        self.socket.sendmsg([struct.pack("<III", request, 1, len(payload)) + payload],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        with contextlib.suppress(ConnectionResetError):
            assert self.socket.recv(1) == b""

    def rarp(self, mac):
        self._say(SEND_RARP, bytes.fromhex(mac.replace(":", "")) + b"\0\0")
        self.features()

    # ---- The driver ----

    def _put(self, ring, i, length, flags):
        at, n = ring * SIZE, self.next[ring]
        struct.pack_into("<QIHH", self.memory, at + DESC + 16 * i, at + BUFFERS + i * BUFFER, length, flags, 0)
        self.words[(at + AVAIL + 4) // 2 + n % RING] = i
        self.next[ring] = n + 1
        self.words[(at + AVAIL + 2) // 2] = (n + 1) & 0xffff

    def _used(self, ring):
        """(buffer, length) of the next one that came back; None if there is none."""
        at, n = ring * SIZE, self.seen[ring]
        if self.words[(at + USED + 2) // 2] == n & 0xffff:
            return None
        self.seen[ring] = n + 1
        return struct.unpack_from("<II", self.memory, at + USED + 4 + 8 * (n % RING))

    def send(self, frame, timeout=1):
        frame, end = bytes(frame), time.monotonic() + timeout
        while self._used(TX):
            pass
        while self.next[TX] - self.seen[TX] == RING:
            assert self._used(TX) or time.monotonic() < end, "the ring stays full"
        i = self.next[TX] % RING
        at = SIZE + BUFFERS + i * BUFFER
        self.memory[at:at + HEADER + len(frame)] = bytes(HEADER) + frame
        self._put(TX, i, HEADER + len(frame), 0)

    def receive(self, timeout=0):
        end = time.monotonic() + timeout
        while (used := self._used(RX)) is None:
            if time.monotonic() >= end:
                return None
            time.sleep(0.0005)
        i, length = used
        at = BUFFERS + i * BUFFER
        frame = bytes(self.memory[at + HEADER:at + length])
        self._put(RX, i, BUFFER, WRITE)
        return frame
