# SPDX-License-Identifier: Apache-2.0
"""What Weft set out to reach, and whether a run's figures reach it. Ratios are to testpmd io, with groups at both ends.

The peers' figures here are published ones or measured earlier on this workload; those of the same run stand in the page's tables.
"""
import statistics

ROUTED, GROUPS, OPEN = "weft, groups + routing", "weft, groups", "weft, no groups"
BY_USERS = (  # users, target, floor, target cycles, VPP acl without routing, Open vSwitch conntrack, learn
    (1, 0.95, 0.80, 125, "0.66", "0.35", "0.67"),
    (1000, 0.93, 0.72, 135, "0.60", "0.24", "0.45"),
    (10000, 0.90, 0.65, 170, "0.54", "0.16", "0.27"),
    (100000, 0.88, 0.60, 175, "0.39", "0.15", "0.011"),
    (1000000, 0.82, 0.52, 195, "0.26", "0.12", "0.006"))
BY_SIZE = ((512, 1.5, 0.80, "VPP 0.75, conntrack 0.36"), (1518, 1.25, 0.75, "VPP 0.67, conntrack 0.49"))
FULL_TEXT = {"short": "short exchanges", "long": "two-way flows that all go on", "idle": "two-way flows, most silent since 50 s"}
UNCHANGED = 0.95  # of the rate: a change below that is one
LOST = 0.001  # of the established flows' packets, at most, on a full table


def verdict(value, target, floor, less=False):
    """less: smaller is better."""
    if less:
        value, target, floor = -value, -target, None if floor is None else -floor
    if value >= target:
        return "met"
    return "above the floor" if floor is not None and value >= floor else "missed"


class Targets:
    """rows(): (what, best peer, target, floor, reached, verdict). Figures of disturbed samples are shown with ~ and judged in
    brackets; what was not measured says so."""

    def __init__(self, figures, result):
        self.f, self.result, self.out = figures, result, []

    def add(self, what, peer, target, floor, reached, said, disturbed=False):
        if reached is None:
            reached, said = "-", "not measured"
        elif disturbed:
            reached, said = reached + " ~", f"({said})"
        self.out.append((what, peer, target, floor, reached, said))

    def rows(self):
        for users, target, floor, cycles, *peers in BY_USERS:
            who = f"{users:,} user{'s' if users > 1 else ''}"
            self.point(f"64 B, groups + routing, {who}", 64, users, "VPP %s, conntrack %s, learn %s" % tuple(peers), target, floor)
            p = self.f.at(ROUTED, 64, users)
            has = p is not None and "cycles" in p
            self.add(f"the same: cycles a packet, {who}", "", f"≤ {cycles}", "", f"{p['cycles']:.0f}" if has else None,
                     has and verdict(p["cycles"], cycles, None, less=True), has and p["disturbed"])
        for size, target, floor, peer in BY_SIZE:
            self.point(f"{size} B, groups + routing, 1,000 users", size, 1000, peer, target, floor)
        self.compare("routing + groups against groups alone, every user count and size", ROUTED, GROUPS, "Open vSwitch 0.6", 0.98, 0.95)
        self.compare("groups against no groups, every user count and size", GROUPS, OPEN, "VPP 0.7-0.9, conntrack 0.4", 0.97, 0.93)
        self.setups()
        self.full()
        self.memory()
        return self.out

    def point(self, what, size, users, peer, target, floor):
        p = self.f.at(ROUTED, size, users)
        self.add(what, peer, f"{target:.2f}", f"{floor:.2f}", p and f"{p['ratio']:.2f}", p and verdict(p["ratio"], target, floor),
                 p and p["disturbed"])

    def compare(self, what, switch, other, peer, target, floor):
        """By the worst of the points that both have undisturbed."""
        pairs = [(p, self.f.at(other, p["size"], p["users"], p.get("mode"))) for p in self.f.points
                 if p["switch"] == switch and p.get("mode") in (None, "random")]
        pairs = [(p, q) for p, q in pairs if q is not None]
        good = [(p, q) for p, q in pairs if not p["disturbed"] and not q["disturbed"]]
        ratios = [p["ratio"] / q["ratio"] for p, q in good or pairs if q["ratio"] > 0]
        cycles = [p["cycles"] / q["cycles"] for p, q in good or pairs if p.get("cycles") and q.get("cycles")]
        if not ratios:
            return self.add(what, peer, f"{target:.2f}", f"{floor:.2f}", None, None)
        more = f"; cycles {statistics.median(cycles):.2f}" if cycles else ""
        return self.add(what, peer, f"{target:.2f}", f"{floor:.2f}",
                        f"worst {min(ratios):.2f}, median {statistics.median(ratios):.2f}{more}", verdict(min(ratios), target, floor), not good)

    def setups(self):
        for switch in (GROUPS, ROUTED):
            p = self.f.at(switch, 64, 0, "setups")
            self.add(f"new connections a second, one core, {switch}, fifth run in a row", "VPP 0.65 M, conntrack 0.5-0.75 M, learn 0.03 M",
                     "2.5 M", "1.5 M", p and f"{p['setups_per_s'] / 1e6:.2f} M", p and verdict(p["setups_per_s"], 2.5e6, 1.5e6),
                     p and p["disturbed"])
        for what, base, other in (("by 10,000 rules", (10, 2), (10000, 2)), ("by 1,000 ports", (10, 2), (10, 1000))):
            rows = {(r["rules"], r["ports"]): r for r in self.result.get("scale", [])}
            a, b = rows.get(base), rows.get(other)
            have = a is not None and b is not None and a["setups_per_s"] > 0
            change = b["setups_per_s"] / a["setups_per_s"] if have else 0
            self.add(f"the same, unchanged {what}", "", f"≥ {UNCHANGED:.2f} of it", "", f"{change:.2f}" if have else None,
                     have and verdict(change, UNCHANGED, None), have and (a["disturbed"] or b["disturbed"]))

    def full(self):
        for r in self.result.get("full", []):
            if not r["switch"].startswith("weft"):
                continue
            what = FULL_TEXT[r["case"]]
            good = r["setups_per_s"] >= 1000 and r["lost"] <= LOST
            self.add(f"table full of {what}: new flows enter, established ones stay", "VPP and Open vSwitch refuse every new flow", "both", "both",
                     f"{r['setups_per_s']:,.0f} new/s, {r['lost']:.2%} of the established lost", "met" if good else "missed", r["disturbed"])

    def memory(self):
        r = next((r for r in self.result.get("memory", []) if r["switch"].startswith("weft")), None)
        most = r and max(r["bytes_each"], r["reserved_each"])
        self.add("memory per connection, both directions, IPv4, bytes", "conntrack 330, learn 10,000", "≤ 160", "256",
                 r and f"{r['bytes_each']:.0f} grown, {r['reserved_each']:.0f} reserved", r and verdict(most, 160, 256, less=True))
