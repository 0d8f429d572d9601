# SPDX-License-Identifier: Apache-2.0
"""TCP between two real guests (iperf3, with the offloads that Linux negotiates by itself), where KVM works.

An emulated guest would measure the emulator, so without KVM there is no figure, but the reason.
"""
import json
import os
import sys

from switches import WIRE

sys.path.insert(0, WIRE)
import guest  # noqa: E402
from lab import Lab  # noqa: E402

BOOT_S = 20
CONFIG = "[datapath]\nvif = vhostuser\nsessions = 1048576\n"  # and else as installed


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


class Unusable(Exception):
    """Why KVM runs no guest here."""


def gone(g):
    g.lab.wait(lambda: g.qemu.poll() is not None, 5, "QEMU's end")
    return f"QEMU ended with status {g.qemu.returncode}"


def boot(lab, net, groups):
    g = guest.Guest(lab, net, guest.guest_port(lab, net, groups), accel="kvm")
    try:
        g.start(wait=False)
        g._until(b"@@ready\n", BOOT_S)
    except RuntimeError as e:
        g.kill()
        raise Unusable(last_line(str(e))) from e
    except (AssertionError, OSError) as e:  # it says nothing, or QEMU is gone
        why = gone(g) if isinstance(e, OSError) else f"a guest did not boot within {BOOT_S} s"
        said = last_line(g.log())
        g.kill()
        raise Unusable(why + (f": {said}" if said else "")) from e
    return g


def iperf(a, b, seconds):
    b.begin("iperf3 -s -1 -D; sleep 0.5")
    b.end()
    out = json.loads(a.run(f"iperf3 -c {b.ip} -t {seconds} -J", timeout=seconds + 20))
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


def run(seconds):
    """{"gbit_per_s": …}, or {"reason": why not}"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return {"reason": "there is no /dev/kvm"}
    try:
        guest.require()
        return with_lab(seconds)
    except guest.Unavailable as e:
        return {"reason": str(e)}
    except Unusable as e:
        return {"reason": f"KVM is not usable here: {e}"}


def with_lab(seconds):
    lab, guests = Lab(config=CONFIG), []
    try:
        groups = [lab.group("ingress tcp 5201", "ingress icmp")]
        nets = [lab.network("10.1.0.0/24"), lab.network("10.2.0.0/24")]
        router = lab.api.create("router", name="r")
        for net in nets:
            lab.join(router, net["v4"])
        for net in (nets[0], nets[0], nets[1]):
            guests.append(boot(lab, net, groups))
            guests[-1].wait_status("ACTIVE")
            guests[-1].configure()
        a, near, far = guests
        return {"gbit_per_s": iperf(a, near, seconds), "routed_gbit_per_s": iperf(a, far, seconds)}
    finally:
        for g in guests:
            g.kill()
        lab.close()
