# SPDX-License-Identifier: Apache-2.0
"""The parts of the table beside throughput by size and users: rules and ports, memory, a full table, a busy poll.

Each part is a list of steps (what it is, a function of the sampler that returns a row); a step that fails costs its own row alone.
"""
from switches_ovs import OvsConntrack, OvsConntrackSmall, OvsLearn
from switches_weft import WeftBusy, WeftDefault, WeftMillion, weft_scale
from targets import FULL_TEXT

RATE = 200000  # packets a second each way, for latency
FULL_RATE = 500000  # of known users, while new flows come in
SILENT_S = 50
FULL = ("short", "long", "idle")
SCALE = ((10, 2), (100, 2), (1000, 2), (10000, 2), (10, 100), (10, 1000))
SCALE_QUICK = ((10, 2), (10000, 2), (10, 1000))


class Open:
    """with Open(sampler, cls) as switch: it runs, alone, and is gone afterwards."""

    def __init__(self, sampler, cls, paused=True):
        self.sampler, self.cls, self.paused = sampler, cls, paused

    def __enter__(self):
        self.switch = self.sampler.open(self.cls)
        if not self.paused:
            self.switch.go()
        return self.switch

    def __exit__(self, *what):
        self.sampler.shut(self.switch)


def latency(sampler, switch):
    return {"switch": switch.name, "size": 64, "users": 1000, "mode": "latency", **sampler.measure(switch, 64, 1000, rate=RATE)}


def setups(sampler, switch, runs=5):
    """Several runs in a row, the first into an empty table: what counts is the last."""
    return {"switch": switch.name, "size": 64, "users": 0, "mode": "setups", **sampler.measure(switch, 64, 0, mode="setups", runs=runs)}


def busy(sampler):
    with Open(sampler, WeftBusy) as switch:
        return latency(sampler, switch)


def scale_step(sampler, rules, ports, users):
    with Open(sampler, weft_scale(rules, ports)) as switch:
        known = sampler.measure(switch, 64, users)
        new = sampler.measure(switch, 64, 0, mode="setups", runs=2)
    return {"rules": rules, "ports": ports, "users": users, "ratio": known["ratio"], "cycles": known.get("cycles"),
            "setups_per_s": new["setups_per_s"], "size": 64, "limit": min(known["limit"], new["limit"]),
            "bad": known["bad"] + new["bad"], "disturbed": known["disturbed"] or new["disturbed"]}


def memory_step(sampler, cls, users, known_s):
    """Growth of the resident memory, huge pages included, by so many connections, per connection. One user's traffic comes first: it
    touches all buffers."""
    with Open(sampler, cls, paused=False) as switch:
        sampler.traffic.run(switch, 64, 1, min(0.5, sampler.seconds))
        before, had = switch.memory(), switch.sessions()
        sampler.traffic.run(switch, 64, users, 0.01, known_s=known_s)
        count, grown = switch.sessions() - had, switch.memory() - before
        row = {"switch": switch.name, "connections": count, "grown_bytes": grown, "bytes_each": grown / max(1, count)}
        return {**row, **switch.reserved()}


def fill(sampler, switch, users, seconds):
    """New flows until the table does not grow any more. How many connections it has then."""
    held, still = switch.sessions(), 0
    for _ in range(20):
        sampler.traffic.run(switch, 64, users, seconds, mode="mixed", rate=FULL_RATE, known=True)
        before, held = held, switch.sessions()
        still = still + 1 if held <= before * 1.01 else 0
        if still == 2:
            break
    return held


def full_step(sampler, cls, entries, case):
    """New flows on a full table, beside known users at a fixed rate. The table is full of
    "short"  one question and one answer each; the known users are 1,000
    "long"   the known users' own two-way flows
    "idle"   two-way flows, all but the known users' silent since SILENT_S."""
    known = entries if case == "long" else min(1000, entries)
    first = known if case == "short" else entries
    fill_s = max(0.2, sampler.seconds)
    with Open(sampler, cls, paused=False) as switch:
        for _ in range(3):  # at least so many packets each way: no short exchanges
            sampler.traffic.run(switch, 64, first, 0.01, known_s=sampler.known_s)
        if case == "idle":
            sampler.traffic.run(switch, 64, known, SILENT_S if sampler.seconds >= 0.5 else 1, rate=FULL_RATE)
            held = switch.sessions()
        else:
            held = fill(sampler, switch, known, fill_s / 2)
        switch.pause()
        switch.forget = lambda: None  # the table stays full, also for a repetition
        s = sampler.measure(switch, 64, known, mode="mixed", rate=FULL_RATE, prepare=lambda: None)
    return {"switch": switch.name, "entries": entries, "case": case, "users": known, "size": 64,
            "held": held, **{k: s[k] for k in ("setups_per_s", "known_mpps", "lost", "limit", "own", "bad", "disturbed")}}


def steps(quick, users_max):
    """(part, what, function of the sampler)"""
    entries = min(WeftDefault.SHARE, users_max)
    million = min(1000000, users_max)
    out = [("busy", "latency, poll = busy", busy)]
    for rules, ports in SCALE_QUICK if quick else SCALE:
        out.append(("scale", f"weft, {rules:,} rules, {ports:,} ports",
                    lambda s, r=rules, p=ports: scale_step(s, r, p, min(10000, users_max))))
    memory = [(WeftMillion, million, 10), (OvsConntrack, million, 20)]
    for cls, users, known_s in memory + ([] if quick else [(OvsLearn, min(300000, users_max), 20)]):
        out.append(("memory", f"{cls.name}: memory", lambda s, c=cls, u=users, k=known_s: memory_step(s, c, u, k)))
    for cls, cases in ((WeftDefault, FULL), (OvsConntrackSmall, FULL), (OvsLearn, ("short", "long"))):
        for case in cases[:2] if quick else cases:
            if not (quick and cls is OvsLearn):
                out.append(("full", f"{cls.name}: full of {FULL_TEXT[case]}", lambda s, c=cls, w=case: full_step(s, c, entries, w)))
    return out


def text(part, row):
    """The row in the terminal."""
    if part == "busy":
        return f"latency, us p50 {row['p50_us']:.1f} p99 {row['p99_us']:.1f}"
    if part == "scale":
        return f"ratio {row['ratio']:.3f} cycles {row['cycles']:.0f}, {row['setups_per_s'] / 1e6:.3f} M new connections/s"
    if part == "memory":
        return f"{row['connections']:,} connections, {row['bytes_each']:.0f} bytes each"
    return (f"{row['held']:,} connections; {row['setups_per_s'] / 1e6:.3f} M new/s, known users' {row['known_mpps']:.2f} Mpps, "
            f"{row['lost']:.1%} lost")
