# SPDX-License-Identifier: Apache-2.0
"""The switches of the table: each between the same two VMs, A and B, on two vhost-user sockets.

A switch has a name, sockets `a` and `b`, the two directions' packets (`ab`, `ba`: see traffic/main.c) and can be stopped and
continued as a whole, so that only the one that is measured runs. All have one polling thread, on core 1. Here are testpmd and what
all have in common; switches_weft.py and switches_ovs.py have the others.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
WIRE = os.path.join(ROOT, "tests", "wire")

CORE = 1
PORTS = (5000, 5999)  # destination ports that the receiver's group admits
MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
IP_A, IP_B = "10.1.0.10", "10.1.0.11"


def hexmac(mac):
    return mac.replace(":", "")


def way(eth, src, dst, got_eth=None, got_src=None, got_dst=None, hops=0):
    """eth: (destination, source) MACs as sent; got_*: as they must arrive (default: unchanged)."""
    pair = "".join(hexmac(m) for m in eth)
    got = pair if got_eth is None else "".join(hexmac(m) for m in got_eth)
    return {"eth": pair, "src": src, "dst": dst, "got_eth": got, "got_src": got_src or src,
            "got_dst": got_dst or dst, "hops": hops}


PLAIN = {"ab": way((MAC_B, MAC_A), IP_A, IP_B), "ba": way((MAC_A, MAC_B), IP_B, IP_A)}


class Switch:
    """ab, ba: the directions; pids: all processes of it."""
    ab, ba = PLAIN["ab"], PLAIN["ba"]

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weft-bench-")
        self.a, self.b = f"{self.dir}/a", f"{self.dir}/b"
        self.procs = []
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def popen(self, *args, **kwargs):
        with open(f"{self.dir}/log", "ab") as log:
            p = subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)
        self.procs.append(p)
        return p

    def log(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()

    def wait_sockets(self, timeout=20):
        end = time.monotonic() + timeout
        while not (os.path.exists(self.a) and os.path.exists(self.b)):
            if time.monotonic() > end or any(p.poll() is not None for p in self.procs):
                raise RuntimeError(f"{self.name}: no vhost-user sockets\n{self.log()}")
            time.sleep(0.05)

    def pids(self):
        return [p.pid for p in self.procs]

    def signal(self, sig):
        for p in self.procs:
            p.send_signal(sig)  # not to one that has ended: its number may be another's
            if p.poll() is not None:
                raise RuntimeError(f"{self.name}: ended by itself, status {p.returncode}\n{self.log()[-600:].strip()}")

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go(self):
        self.signal(signal.SIGCONT)

    def ready(self):
        """Called when the traffic's ports are connected."""

    def forget(self):
        """Flows of earlier points go."""

    def sessions(self):
        """How many connections it knows, or None."""
        return None

    def reserved(self):
        """What it says itself about its memory, for the figures."""
        return {}

    def memory(self):
        """Bytes that are really in its memory, huge pages included."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith(("VmRSS", "HugetlbPages")))
        return total * 1024

    def cycles(self):
        """A pair (cycles in non-empty polls, packets) so far, or None."""
        return None

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.terminate()
        for p in self.procs:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Testpmd(Switch):
    """The limit: what goes in comes out, nothing is looked at."""
    mode, name = "io", "testpmd io"

    def start(self):
        # -l: its command line's thread is on the generator's core and sleeps
        self.popen("dpdk-testpmd", "-l", f"0,{CORE}", "--main-lcore", "0", "--in-memory", "--no-pci", "-m", "256",
                   "--vdev", f"net_vhost0,iface={self.a},queues=1", "--vdev", f"net_vhost1,iface={self.b},queues=1",
                   "--", f"--forward-mode={self.mode}", "--auto-start", "--total-num-mbufs=32768", "--rxd=1024",
                   "--txd=1024", "--stats-period=3600")
        self.wait_sockets()


class TestpmdMac(Testpmd):
    mode, name = "mac", "testpmd mac"
    ab, ba = {**PLAIN["ab"], "got_eth": ""}, {**PLAIN["ba"], "got_eth": ""}


LIMIT = Testpmd
