#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run a program as systemd would from a unit: confined.py UNIT RUN_DIR STATE_DIR PROGRAM ARGUMENT...

The unit file says what the program may do; here it is done without systemd, in the namespaces of the caller: its capabilities,
system-call filter, address families, namespaces, limits, what is read-only or hidden from it, and the devices it has. A setting of
the unit that this does not know ends the run: so that nobody adds one that the tests do not try.
"""
import ctypes
import os
import resource
import subprocess
import sys

CLONE_NEWNS = 0x00020000
MS = {"ro": 1, "remount": 32, "bind": 4096, "rec": 16384, "private": 1 << 18}
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
ALLOW, DENY, NO_SUCH_CALL = 0x7fff0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
NE, LT, LE, EQ, GE, GT, MASKED_EQ = range(1, 8)

CAPABILITIES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot
    sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
    wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_XDP": 44}
NAMESPACES = {"cgroup": 0x02000000, "ipc": 0x08000000, "net": 0x40000000, "mnt": 0x00020000, "pid": 0x20000000,
              "user": 0x10000000, "uts": 0x04000000}
# About how it is started and ended, or kept by what runs it: nothing that it could notice here.
ELSEWHERE = {"Type", "ExecStart", "ExecStartPre", "ExecReload", "Restart", "RestartSec", "TimeoutStopSec", "TimeoutStartSec",
             "RuntimeDirectory", "RuntimeDirectoryPreserve", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory",
             "CPUWeight", "KillMode", "OOMScoreAdjust"}

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        e = ctypes.get_errno()
        raise OSError(e, f"{name}{args}: {os.strerror(e)}")


def read_unit(path):
    """{key: [values, in their order]} of [Service]."""
    unit, section = {}, None
    with open(path) as f:
        for line in f:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and line[0] not in "#;":
                key, _, value = line.partition("=")
                unit.setdefault(key, []).append(value)
    return unit


def words(unit, key):
    return [w for value in unit.pop(key, []) for w in value.split()]


def is_on(unit, key):
    return unit.pop(key, ["no"])[-1] in ("yes", "true", "1")


# ---- Files -----------------------------------------------------------------------------------------

def mount(source, target, kind, *flags, data=None):
    call("mount", source and source.encode(), target.encode(), kind and kind.encode(),
         ctypes.c_ulong(sum(MS[f] for f in flags)), data and data.encode())


def mounts_below(root):
    with open("/proc/self/mountinfo") as f:
        all_of_them = [line.split()[4].encode().decode("unicode_escape") for line in f]
    return [m for m in all_of_them if root == "/" or m == root or m.startswith(root + "/")]


def make_read_only(root, but):
    for m in mounts_below(root):
        if not any(m == b or m.startswith(b + "/") for b in but):
            try:
                mount(None, m, None, "remount", "bind", "ro")
            except OSError:
                pass  # hidden below another one


def private_devices(unit):
    """DevicePolicy=closed: the usual pseudo devices, and those of DeviceAllow (which is a control group's, so here by name)."""
    allowed = ["/dev/" + n for n in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "hugepages")]
    for value in unit.pop("DeviceAllow", []):
        name = value.split()[0]
        allowed.append("/dev/" + name[5:] if name.startswith("char-") else name)
    keep = "/run/weft-confined-dev"
    os.makedirs(keep, exist_ok=True)
    mount("tmpfs", keep, "tmpfs", data="mode=755")
    for path in filter(os.path.exists, allowed):
        to = keep + path[len("/dev"):]
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.makedirs(to) if os.path.isdir(path) else open(to, "w").close()
        mount(path, to, None, "bind", "rec")
    mount(keep, "/dev", None, "bind", "rec")


def confine_files(unit, run_dir, state_dir):
    call("unshare", CLONE_NEWNS)
    mount(None, "/", None, "rec", "private")
    mine = [run_dir, state_dir]
    for path in mine:
        os.makedirs(path, mode=0o755, exist_ok=True)
    held = [os.open(path, os.O_PATH) for path in mine]
    if unit.pop("DevicePolicy", [""])[-1] == "closed":
        private_devices(unit)
    config = os.path.dirname(run_dir)
    with open(f"{config}/weftd.conf") as f:
        text = f.read()
    if is_on(unit, "PrivateTmp"):
        for path in ("/tmp", "/var/tmp"):
            mount("tmpfs", path, "tmpfs", data="mode=1777")
    if is_on(unit, "ProtectHome"):
        for path in filter(os.path.isdir, ("/home", "/root", "/run/user")):
            mount("tmpfs", path, "tmpfs", "ro", data="mode=000")
    # The two directories are where the tests look for them, though they may be below /tmp.
    for fd, path in zip(held, mine):
        os.makedirs(path, exist_ok=True)
        mount(f"/proc/self/fd/{fd}", path, None, "bind")
        os.close(fd)
    with open(f"{config}/weftd.conf", "w") as f:
        f.write(text)
    if unit.pop("ProtectSystem", [""])[-1] == "strict":
        make_read_only("/", mine + ["/dev", "/proc", "/sys"])
    if is_on(unit, "ProtectControlGroups"):
        make_read_only("/sys/fs/cgroup", [])
    if is_on(unit, "ProtectKernelLogs"):
        mount("/dev/null", "/proc/kmsg", None, "bind")


# ---- System calls ----------------------------------------------------------------------------------

class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """A seccomp filter: what is refused, or what is allowed, by system call and arguments."""
    lib = None

    def __init__(self, otherwise):
        if Filter.lib is None:
            Filter.lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
            Filter.lib.seccomp_init.restype = ctypes.c_void_p
        self.filter = ctypes.c_void_p(self.lib.seccomp_init(ctypes.c_uint32(otherwise)))

    def add(self, action, name, *comparisons):
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # of another architecture
        array = (Comparison * max(1, len(comparisons)))(*[Comparison(*c) for c in comparisons])
        ret = self.lib.seccomp_rule_add_array(self.filter, ctypes.c_uint32(action), number, len(comparisons), array)
        if ret != 0:
            raise OSError(-ret, f"seccomp {name}: {os.strerror(-ret)}")

    def load(self):
        ret = self.lib.seccomp_load(self.filter)
        if ret != 0:
            raise OSError(-ret, f"seccomp: {os.strerror(-ret)}")


def members(group):
    """The system calls of a group, and of those within it."""
    names = set()
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", group], capture_output=True, text=True, check=True)
    for line in text.stdout.splitlines()[1:]:
        word = line.strip()
        if word and word[0] != "#":
            names |= members(word) if word[0] == "@" else {word}
    return names


def call_filters(unit):
    filters = []
    allowed = words(unit, "SystemCallFilter")
    if allowed:
        assert unit.pop("SystemCallErrorNumber", [None])[-1] == "EPERM"
        f = Filter(DENY)
        for name in set().union(members("@default"), *(members(w) if w[0] == "@" else {w} for w in allowed)):
            f.add(ALLOW, name)
        filters.append(f)
    refused = Filter(ALLOW)
    families = words(unit, "RestrictAddressFamilies")
    if families:
        numbers = {FAMILIES[w] for w in families}
        for n in range(64):
            if n not in numbers:
                refused.add(DENY, "socket", (0, EQ, n, 0))
        refused.add(DENY, "socket", (0, GE, 64, 0))
    kinds = words(unit, "RestrictNamespaces")
    if kinds:
        for kind, bit in NAMESPACES.items():
            if kind not in kinds:
                for name in ("unshare", "clone"):
                    refused.add(DENY, name, (0, MASKED_EQ, bit, bit))
                refused.add(DENY, "setns", (1, MASKED_EQ, bit, bit))
        refused.add(DENY, "setns", (1, EQ, 0, 0))
        refused.add(NO_SUCH_CALL, "clone3")  # its flags are behind a pointer
    if is_on(unit, "RestrictRealtime"):
        refused.add(DENY, "sched_setscheduler", (1, GE, 1, 0))
        refused.add(DENY, "sched_setattr")
    if is_on(unit, "MemoryDenyWriteExecute"):
        refused.add(DENY, "mmap", (2, MASKED_EQ, 6, 6))
        refused.add(DENY, "mprotect", (2, MASKED_EQ, 4, 4))
        refused.add(DENY, "pkey_mprotect", (2, MASKED_EQ, 4, 4))
        refused.add(DENY, "shmat", (2, MASKED_EQ, 0o100000, 0o100000))
    if is_on(unit, "RestrictSUIDSGID"):
        for bit in (0o4000, 0o2000):
            for name, arg in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2)):
                refused.add(DENY, name, (arg, MASKED_EQ, bit, bit))
    if is_on(unit, "LockPersonality"):
        refused.add(DENY, "personality", (0, NE, 0, 0))
    if is_on(unit, "ProtectHostname"):
        refused.add(DENY, "sethostname")
        refused.add(DENY, "setdomainname")
    assert unit.pop("SystemCallArchitectures", ["native"]) == ["native"]  # and there is no other one
    return [refused] + filters


# ---- Rights and limits -----------------------------------------------------------------------------

def size(text):
    return resource.RLIM_INFINITY if text == "infinity" else int(text)


def limit(unit):
    for key in [k for k in unit if k.startswith("Limit")]:
        value = size(unit.pop(key)[-1])
        what = getattr(resource, "RLIMIT_" + key[len("Limit"):])
        try:
            resource.setrlimit(what, (value, value))
        except ValueError:  # not even root may raise it here
            most = resource.getrlimit(what)[1]
            resource.setrlimit(what, (most, most))
    os.umask(int(unit.pop("UMask", ["0022"])[-1], 8))


def drop_capabilities(unit):
    keep = {w.lower().removeprefix("cap_") for w in words(unit, "CapabilityBoundingSet")}
    assert words(unit, "AmbientCapabilities") == []
    if is_on(unit, "ProtectClock"):
        keep -= {"sys_time", "wake_alarm"}
    if is_on(unit, "ProtectKernelModules"):
        keep -= {"sys_module"}
    unknown = keep - set(CAPABILITIES)
    assert not unknown, f"capabilities {unknown}?"
    for number, name in enumerate(CAPABILITIES):
        if name not in keep and libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)


def main():
    path, run_dir, state_dir, program = sys.argv[1:5]
    unit = read_unit(path)
    binary = os.open(program, os.O_RDONLY)  # it may lie where nothing is to be seen afterwards
    os.set_inheritable(binary, False)
    for key in ELSEWHERE:
        unit.pop(key, None)
    filters = call_filters(unit)
    limit(unit)
    confine_files(unit, run_dir, state_dir)
    drop_capabilities(unit)
    assert is_on(unit, "NoNewPrivileges")
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if unit:
        sys.exit(f"{path}: confined.py does not know {', '.join(sorted(unit))}")
    for f in filters:
        f.load()
    os.execve(binary, [program, *sys.argv[5:]], os.environ)


if __name__ == "__main__":
    main()
