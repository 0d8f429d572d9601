# SPDX-License-Identifier: Apache-2.0
"""Guest: a real virtual machine (QEMU) on a port, with Debian's cloud kernel and a busybox of its own.

The guest runs commands that come over a virtio serial port; it needs no network for that. Its memory is a memfd that weftd can
map, so no huge pages are needed. With /dev/kvm it boots in about two seconds, else it is emulated.
"""
import functools
import glob
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import time

from lab import HOST, ROOT
from netns import sh
from vm import YES

CACHE = os.path.join(ROOT, "build", "guest")
# In the order in which they need each other.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover",
           "net_failover", "virtio_net", "virtio_console")
PROGRAMS = ("/usr/bin/busybox", "/usr/bin/iperf3", "/usr/sbin/ethtool", "/usr/bin/nc.openbsd")

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp /run
/bin/busybox --install -s
ln -sf nc.openbsd /bin/nc
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
for m in @MODULES@; do insmod /lib/$m.ko; done
ip link set lo up; ip link set eth0 up
until line=$(ls /dev/vport*p1); do sleep 0.05; done 2>/dev/null
exec 3<>$line
echo '@@ready' >&3
while read -r line <&3; do (eval "$line") </dev/null >&3 2>&1; echo "@@end $?" >&3; done
"""

LEASE = r"""#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip -4 addr flush dev $interface scope global
ip addr add $ip/$mask dev $interface
[ -z "$mtu" ] || ip link set $interface mtu $mtu
[ -z "$router" ] || ip route replace default via $router
"""


class Unavailable(Exception):
    """Why there can be no guests here."""


# ---- What it boots ----

def _kernel():
    """(vmlinuz, directory of modules): this machine's own, else Debian's cloud kernel, fetched once and unpacked."""
    for image in sorted(glob.glob("/boot/vmlinuz-*-amd64"), reverse=True):
        modules = "/lib/modules/" + image.split("vmlinuz-")[1]
        if os.path.isdir(modules):
            return image, modules
    os.makedirs(CACHE, exist_ok=True)
    if not glob.glob(CACHE + "/root/boot/vmlinuz-*"):
        try:
            depends = sh("apt-cache", "depends", "linux-image-cloud-amd64")
            package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
            sh("apt-get", "download", "-q", package, cwd=CACHE, timeout=120)
            sh("dpkg-deb", "-x", glob.glob(f"{CACHE}/{package}_*.deb")[0], CACHE + "/root.part")
            shutil.rmtree(CACHE + "/root", ignore_errors=True)
            os.rename(CACHE + "/root.part", CACHE + "/root")
        except (RuntimeError, AttributeError, IndexError, OSError, subprocess.SubprocessError) as e:
            raise Unavailable(f"Debian's cloud kernel cannot be fetched: {e}") from e
    return glob.glob(CACHE + "/root/boot/vmlinuz-*")[0], glob.glob(CACHE + "/root/lib/modules/*")[0]


def _archive(files):
    """An initramfs (cpio, newc): {path: bytes or (mode, bytes)}; the directories come by themselves."""
    out = bytearray()

    def add(path, mode, data):
        name = path.encode() + b"\0"
        fields = (len(out) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        out.extend(b"070701" + b"".join(b"%08x" % f for f in fields) + name)
        out.extend(b"\0" * (-len(out) % 4))
        out.extend(data)
        out.extend(b"\0" * (-len(out) % 4))

    made = set()
    for path, data in files.items():
        parts = path.split("/")
        for i in range(1, len(parts)):
            directory = "/".join(parts[:i])
            if directory not in made:
                made.add(directory)
                add(directory, stat.S_IFDIR | 0o755, b"")
        add(path, stat.S_IFREG | 0o755, data)
    add("TRAILER!!!", 0, b"")
    return bytes(out)


def _read(path):
    with open(path, "rb") as f:
        return f.read()


@functools.lru_cache(None)
def _image(directory):
    """(vmlinuz, initramfs)"""
    kernel, modules = _kernel()
    files = {"init": INIT.replace("@MODULES@", " ".join(MODULES)).encode(), "lease": LEASE.encode()}
    for name in MODULES:
        found = glob.glob(f"{modules}/kernel/**/{name}.ko*", recursive=True)
        if not found or not found[0].endswith(".ko"):
            raise Unavailable(f"{modules} has no {name}.ko")
        files[f"lib/{name}.ko"] = _read(found[0])
    for program in PROGRAMS:
        if not os.path.exists(program):
            raise Unavailable(f"{program} is not installed")
        files["bin/" + os.path.basename(program)] = _read(program)
        for library in re.findall(r"(/\S+)", sh("ldd", program)):
            files[library.lstrip("/")] = _read(library)
    path = directory + "/initramfs"
    with open(path, "wb") as f:
        f.write(_archive(files))
    return kernel, path


@functools.lru_cache(None)
def acceleration():
    """"kvm" or "tcg". A /dev/kvm without the processor's own virtualization runs none but adapted kernels."""
    hardware = any(os.path.isdir("/sys/module/" + m) for m in ("kvm_intel", "kvm_amd"))
    return "kvm" if hardware and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def require():
    """Raises Unavailable."""
    if shutil.which("qemu-system-x86_64") is None:
        raise Unavailable("qemu-system-x86_64 is not installed")
    _kernel()


# ---- One of them ----

class Guest:
    """A VM on a port of the lab. kind "vhostuser" or "tap"; device: further properties of virtio-net-pci; server: QEMU makes the
    socket; accel: "kvm" or "tcg", by itself what acceleration() says."""

    def __init__(self, lab, net, port, kind="vhostuser", queues=1, device="", server=False, accel=None):
        self.accel = accel or acceleration()
        self.lab, self.net, self.port = lab, net, port
        self.kind, self.queues, self.device, self.server = kind, queues, device, server
        self.mac, self.id = port["mac_address"], port["id"]
        self.dir = f"{lab.dir}/guest-{self.id[:11]}"
        os.makedirs(self.dir)
        self.qemu = self.line = None
        self.started = 0  # how many QEMUs
        self.received = b""

    @property
    def ip(self):
        return next(f["ip_address"] for f in self.port["fixed_ips"] if ":" not in f["ip_address"])

    @property
    def ip6(self):
        return next(f["ip_address"] for f in self.port["fixed_ips"] if ":" in f["ip_address"])

    @property
    def socket_path(self):
        return f"{self.lab.dir}/run/vhu{self.id[:11]}"

    def status(self):
        return self.lab.api.get("port", self.id)["status"]

    def wait_status(self, status, timeout=YES):
        self.lab.wait(lambda: self.status() == status, timeout, f"port {self.id} {status}")

    def show(self):
        return self.lab.api.weft("ports/" + self.id)

    # ---- Its life ----

    def _netdev(self):
        if self.kind == "tap":
            return ["-netdev", f"tap,id=n,ifname=tap{self.id[:11]},script=no,downscript=no,vhost=off"]
        role = "server=on,wait=off" if self.server else "reconnect=1"
        return ["-chardev", f"socket,id=c,path={self.socket_path},{role}",
                "-netdev", f"vhost-user,id=n,chardev=c,queues={self.queues}"]

    def start(self, wait=True, more=()):
        kernel, initramfs = _image(self.lab.dir)
        multi = ",mq=on" if self.queues > 1 else ""
        if self.accel == "tcg":
            multi += ",vectors=0"  # QEMU 7.2 crashes on vhost-user's MSI-X without KVM
        self.started += 1
        line, monitor = f"{self.dir}/line{self.started}", f"{self.dir}/monitor{self.started}"
        with open(f"{self.dir}/qemu.log", "ab") as log:
            self.qemu = self.lab.node.popen(
                "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                "-machine", f"pc,accel={self.accel},memory-backend=mem", "-cpu", "host" if self.accel == "kvm" else "qemu64",
                "-smp", str(self.queues), "-m", "256M",
                "-object", "memory-backend-memfd,id=mem,size=256M,share=on", *self._netdev(),
                "-device", f"virtio-net-pci,netdev=n,mac={self.mac},romfile={multi}{self.device}",
                "-chardev", f"file,id=boot,path={self.dir}/boot.log", "-device", "isa-serial,chardev=boot",
                "-chardev", f"socket,id=line,path={line},server=on,wait=off", "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=line,name=line", "-monitor", f"unix:{monitor},server=on,wait=off", *more,
                "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 tsc=reliable",
                stdout=log, stderr=log)
        self.lab.wait(lambda: self._connect(line) or self.qemu.poll() is not None, what="QEMU's serial port")
        if self.qemu.poll() is not None:
            raise RuntimeError("QEMU ended: " + self.log())
        self.received = b""
        if wait:
            self.wait_booted()

    def _connect(self, line):
        """QEMU binds the socket a moment before it listens."""
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if self.line.connect_ex(line) == 0:
            return True
        self.line.close()
        self.line = None
        return False

    def log(self):
        return "".join(_read(f"{self.dir}/{n}.log").decode(errors="replace")
                       for n in ("qemu", "boot") if os.path.exists(f"{self.dir}/{n}.log"))

    def wait_booted(self):
        self._until(b"@@ready\n", 30 if self.accel == "kvm" else 600)

    def kill(self, sig=signal.SIGKILL):
        if self.qemu is not None and self.qemu.poll() is None:
            self.qemu.send_signal(sig)
            self.qemu.wait(timeout=YES)
        if self.line is not None:
            self.line.close()
        self.qemu = self.line = None

    def migrate(self, timeout=120):
        """To another QEMU, which comes to the same port's socket while this one still runs. The guest does not notice."""
        old, line, monitor = self.qemu, self.line, f"{self.dir}/monitor{self.started}"
        path = f"{self.dir}/migration{self.started}"
        try:
            self.start(wait=False, more=["-incoming", f"unix:{path}"])
            self.lab.wait(lambda: os.path.exists(path), what="the other QEMU waits for a guest")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(YES)
                s.connect(monitor)

                def say(command):
                    s.sendall(command.encode() + b"\n")
                    answer = b""
                    while not answer.endswith(b"(qemu) "):
                        answer += s.recv(65536)
                    return answer.decode(errors="replace")
                while not s.recv(65536).endswith(b"(qemu) "):
                    pass
                say("migrate_set_parameter max-bandwidth 1g")
                say(f"migrate -d unix:{path}")
                end = time.monotonic() + timeout
                while "completed" not in (state := say("info migrate")):
                    if "failed" in state or time.monotonic() > end:
                        raise AssertionError(f"the migration does not end: {state}\n{self.log()[-2000:]}")
                    time.sleep(0.1)
                return state
        finally:
            old.kill()
            old.wait(timeout=YES)
            line.close()

    def reboot(self):
        """The driver goes and comes while QEMU and its connection stay."""
        self.line.sendall(b"reboot -f\n")
        self.wait_booted()

    # ---- Commands ----

    def _until(self, mark, timeout):
        end = time.monotonic() + timeout
        while mark not in self.received:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.line], [], [], left)[0]
            data = self.line.recv(65536) if ready else b""
            if not data:
                raise AssertionError(f"the guest did not say {mark}: {self.received[-2000:]}\n{self.log()[-2000:]}")
            self.received += data
        before, _, self.received = self.received.partition(mark)
        return before.decode(errors="replace")

    def begin(self, command):
        self.line.sendall(command.encode() + b"\n")

    def end(self, timeout=2 * YES):
        """(status, output) of the command that was begun."""
        out = self._until(b"@@end ", timeout)
        return int(self._until(b"\n", 5)), out

    def run(self, command, check=True, timeout=2 * YES):
        self.begin(command)
        status, out = self.end(timeout)
        if check and status != 0:
            raise AssertionError(f"in the guest, {command}: status {status}\n{out}")
        return out

    def configure(self, dhcp=True):
        if dhcp:
            self.run("udhcpc -i eth0 -n -q -f -t 8 -T 1 -s /lease -O mtu")
        else:
            self.run(f"ip addr add {self.ip}/24 dev eth0")
        if any(":" in f["ip_address"] for f in self.port["fixed_ips"]):
            self.run(f"ip addr add {self.ip6}/64 dev eth0")

    def ping(self, ip, count=3, size=56):
        """How many of the echo requests were answered."""
        out = self.run(f"ping -c {count} -i 0.2 -W 1 -s {size} {ip}", check=False)
        return int(re.search(r"(\d+) packets received", out).group(1))


def guest_port(lab, net, groups=None, kind="vhostuser", **attrs):
    body = {"network_id": net["id"], "binding:host_id": HOST, "binding:profile": {"vif_type": kind}, **attrs}
    if groups is not None:
        body["security_groups"] = [g["id"] for g in groups]
    return lab.api.create("port", **body)
