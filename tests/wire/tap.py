# SPDX-License-Identifier: Apache-2.0
"""A port whose VM is this process: a tap device as QEMU opens it, without virtio headers. Its kernel end takes no
offloads, so what is read from it is what would be on a wire: finished checksums, packets that fit the MTU."""
import fcntl
import os
import select
import struct
import time

from lab import HOST
from netns import inside
from vm import YES

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


class TapVM:
    """What frames.py and test code need of a VM (id, mac, ip, ip6, send), and read()."""

    def __init__(self, lab, net, *groups):
        self.lab, self.net = lab, net
        self.port = lab.api.create("port", network_id=net["id"], security_groups=[g["id"] for g in groups],
                                   **{"binding:host_id": HOST})
        self.id, self.mac = self.port["id"], self.port["mac_address"]
        for f in self.port["fixed_ips"]:
            setattr(self, "ip6" if ":" in f["ip_address"] else "ip", f["ip_address"])
        with inside(lab.node.name):
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            name = b"tap" + self.id[:11].encode()
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name, IFF_TAP | IFF_NO_PI))
        lab.wait(lambda: lab.api.get("port", self.id)["status"] == "ACTIVE", what="the tap device's port ACTIVE")

    def send(self, *frames):
        for f in frames:
            os.write(self.fd, bytes(f))

    def read(self, fits=lambda frame: True, timeout=YES):
        """The next frame (bytes) that fits; None when none comes in time."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                frame = os.read(self.fd, 70000)
                if fits(frame):
                    return frame
        return None

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
