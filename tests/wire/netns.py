# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: make them, enter them for the length of a block, open sockets inside.

A socket belongs to the namespace in which it was made, whatever thread uses it afterwards; so a test
process can hold sockets of many hosts at once and no helper process is needed.
"""
import ctypes
import os
import socket
import subprocess
import threading
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_home = threading.local()


def sh(*args, check=True, **kw):
    """Run a command; its output as text. On failure the error shows what it said."""
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kw)
    if check and p.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: status {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


@contextmanager
def inside(name):
    """Make sockets (and read /proc/net) in the namespace `name`; this thread only."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(there)
        os.close(home)


class Netns:
    """A network namespace with loopback up, removed by close()."""

    def __init__(self, name):
        self.name = name
        sh("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args, check=True):
        return sh("ip", "-n", self.name, *args, check=check)

    def run(self, *args, check=True, timeout=120, **kw):
        return sh("ip", "netns", "exec", self.name, *args, check=check, timeout=timeout, **kw)

    def popen(self, *args, **kw):
        """Started inside; `ip netns exec` execs, so the pid is the program's own."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, args)], **kw)

    def socket(self, *args):
        with inside(self.name):
            return socket.socket(*args)

    def sysctl(self, key, value):
        with inside(self.name), open("/proc/sys/" + key.replace(".", "/"), "w") as f:  # of the thread's namespace
            f.write(str(value))

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
