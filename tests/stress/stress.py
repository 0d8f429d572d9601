# SPDX-License-Identifier: Apache-2.0
"""The stress test: a real weftd under table pressure, changes of the policy, cut connections and fragments at once, and every packet accounted for.

run() sends all classes of traffic of the site (cloud.py) while it makes changes through the API, 100 times a second, and cuts E's connection. Before a change
the program that plays the VMs (vms.c) is told which classes it touches, and waits until all they sent went through; after the API's answer it is told what holds.
So each packet says what the policy was when it was sent: what was forbidden and arrives is an error there and then. What is missing must be in weftd's own counters:
balance() compares them, to the packet.
"""
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "wire"))
sys.path.insert(0, HERE)

from cloud import D, E, VMS, Site, Vms  # noqa: E402

ALLOWED, FORBIDDEN, CHANGING = range(3)
# Reasons that have nothing to do with what the policy permits.
PRESSURE = {"sessions-full", "port-sessions", "project-sessions", "fragment-full", "fragment-timeout", "session-clash", "nat-exhausted"}
# Reasons for what is forbidden, or was for a moment.
POLICY = {"port-down", "spoofed-mac", "spoofed-ip", "spoofed-arp", "egress-rules", "ingress-rules", "unknown-destination", "arp-unknown",
          "no-route", "no-neighbour", "nat-no-state", "tcp-state", "fragment-overlap", "router-address", "not-local"}


class Run:
    def __init__(self, site, vms, seed, changes, reconnects):
        self.site, self.vms, self.random = site, vms, random.Random(seed)
        self.interval = 1 / changes if changes else None
        self.reconnects = reconnects
        self.changes = self.cuts = 0
        self.connected = set(range(len(VMS)))

    def connect(self, vm):
        end = time.monotonic() + 30
        while not self.vms.ask(connect=vm)["connected"]:
            if time.monotonic() > end:
                raise AssertionError(f"{VMS[vm]} cannot connect")
            time.sleep(0.01)
        self.connected.add(vm)

    def wait_active(self, vm):
        site = self.site
        site.lab.wait(lambda: site.api.get("port", site.ports[vm]["id"])["status"] == "ACTIVE", 30, f"{VMS[vm]} not ACTIVE")

    def change(self):
        site, vms = self.site, self.vms
        key = self.random.choice(list(site.now))
        value = site.other_value(key)
        after = {**site.now, key: value}
        touched = vms.touched(site.now, after)
        vms.ask(changing=touched, note=f"change {self.changes}: {key} = {value}")
        site.change(key, value)
        vms.set(touched, after)
        site.now = after
        self.changes += 1

    def reconnect(self):
        if E in self.connected:
            self.vms.ask(cut=E, graceful=self.random.random() < 0.3)
            self.connected.discard(E)
            self.cuts += 1
        else:
            self.connect(E)

    def churn(self, seconds):
        begin = time.monotonic()
        due, cut_at = begin, begin + 0.3
        while (now := time.monotonic()) < begin + seconds:
            if self.reconnects and now >= cut_at:
                self.reconnect()
                cut_at = now + self.random.uniform(0.02, 1 / self.reconnects)
            elif self.interval and now >= due:
                self.change()
                due = max(due + self.interval, now - 0.5)
            else:
                time.sleep(0.0005)
        self.seconds = time.monotonic() - begin
        if E not in self.connected:
            self.connect(E)


def quiet(vms, timeout=30):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        state = vms.ask(idle=True)
        if state["idle"] > 0.5 and state["pending"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"there is no end: {state}")


def counters(site):
    """What weftd says: per VM, and of the whole node."""
    drops = {reason: n for reason, n in site.api.drops().items() if n > 0}
    return [site.api.weft("ports/" + p["id"]) for p in site.ports], drops


class Balance:
    """What was sent, what arrived, and what weftd says that it dropped."""

    def __init__(self, report, ports, drops):
        self.report, self.ports, self.drops = report, ports, drops
        self.vms, self.classes = report["vms"], report["classes"]
        self.wrong = []
        self.broadcasts = [0] * len(self.vms)
        self.copies = 0
        for c in self.classes:
            if c["name"].startswith("broadcast"):
                n = sum(c["sent"])
                self.broadcasts[c["from"]] += n
                self.copies += n * (2 if c["name"] == "broadcast" else 1)

    def need(self, ok, text):
        if not ok:
            self.wrong.append(text)

    def sent(self, vm):
        return sum(self.vms[vm]["sent"]) + self.vms[vm]["asked"]

    def missing(self, vm, stamps):
        v = self.vms[vm]
        return sum(v["sent"][s] - v["seen"][s] for s in stamps)

    def to_vm(self, vm):
        return self.ports[vm]["counters"]["dropped_to_vm"]

    def rings(self):
        for i, v in enumerate(self.vms):
            counted, drops, sent = self.ports[i]["counters"], self.ports[i]["drops"], self.sent(i)
            taken, down = counted["from_vm_packets"], drops.get("port-down", 0) if i == D else 0
            self.need(taken <= sent <= taken + down, f"{v['name']} sent {sent}, weftd took {taken} (port-down {down})")
            arrived = v["arrived"] - v["adverts"]
            self.need(counted["to_vm_packets"] == arrived, f"{v['name']} got {arrived}, weftd sent {counted['to_vm_packets']}")
            self.need(v["disorders"] == 0, f"{v['name']}: buffers came back in another order, {v['disorders']} times")
            io = self.ports[i]["interface_counters"]
            self.need(io["rx_malformed"] == io["rx_lost"] == io["tx_refused"] == 0, f"{v['name']}: {io}")

    def left(self, vm):
        """What the VM sent and neither arrived nor was dropped on its account: its receivers' loss."""
        v = self.vms[vm]
        return (self.sent(vm) - sum(self.ports[vm]["drops"].values()) - sum(v["seen"]) - v["answered"] -
                self.broadcasts[vm])

    def losses(self):
        left = [self.left(vm) for vm in range(len(self.vms))]
        for v, n in zip(self.vms, left):
            self.need(n >= 0, f"{-n} packets of {v['name']} are counted as dropped and arrived, or came from nowhere")
        unsent = sum(self.to_vm(vm) for vm in range(len(self.vms)))
        copies = self.copies - self.report["copies"]
        # What weftd itself has to say may be lost there, too.
        own = unsent - sum(left) - copies
        limit = unsent if any(v["icmp_errors"] for v in self.vms) else 0
        self.need(0 <= own <= limit, f"lost on the way to VMs: {left} of what they sent and {copies} copies of broadcasts; "
                  f"weftd says {[self.to_vm(vm) for vm in range(len(self.vms))]}")
        everything = sum(self.drops.values())
        by_port = sum(sum(p["drops"].values()) for p in self.ports)
        self.need(everything == by_port + unsent, f"{everything} drops in all, {by_port} of ports' packets, {unsent} to ports")

    def reasons(self):
        for i, v in enumerate(self.vms):
            drops = self.ports[i]["drops"]
            strange = {r: n for r, n in drops.items() if r not in PRESSURE | POLICY}
            self.need(not strange, f"{v['name']}: drops that nothing here can cause: {strange}")
            policy = sum(n for r, n in drops.items() if r in POLICY)
            may = self.missing(i, (FORBIDDEN, CHANGING)) + v["asked"] - v["answered"]
            self.need(policy <= may, f"{v['name']}: {policy} packets dropped by the policy, but only {may} that it may have "
                      f"forbidden are missing: {drops}")

    def steadies(self):
        unsent = sum(self.to_vm(vm) for vm in range(len(self.vms)))
        for c in self.classes:
            lost = c["sent"][ALLOWED] - c["seen"][ALLOWED] + c["answers_sent"][ALLOWED] - c["answers_seen"][ALLOWED]
            if c["steady"]:
                may = unsent
                if c["name"].startswith(("tcp", "fragments")): # new flows
                    may += sum(n for r, n in self.ports[c["from"]]["drops"].items() if r in PRESSURE)
                self.need(lost <= may, f"class {c['name']}, which no change touches, lost {lost} packets; {may} have a reason")
            self.need(c["name"].startswith("broadcast") or c["sent"][ALLOWED] < 100 or sum(c["seen"]) > 0,
                      f"nothing of class {c['name']} arrived")
        self.first = sum(c["first_sent"] for c in self.classes)
        self.first_lost = self.first - sum(c["first_seen"] for c in self.classes)
        self.first_of = {c["name"]: c["first_sent"] - c["first_seen"] for c in self.classes if c["first_sent"] > c["first_seen"]}
        pressure = sum(n for p in self.ports for r, n in p["drops"].items() if r in PRESSURE)
        self.need(self.first_lost <= unsent + pressure,
                  f"{self.first_lost} of {self.first} answers to first packets are lost")

    def check(self):
        self.rings()
        self.losses()
        self.reasons()
        self.steadies()
        n = self.report["errors"]
        self.need(n == 0, f"{n} packets were wrong: " + "\n".join(self.report["told"]))
        return self.wrong

    def table(self):
        yield f"{'VM':4} {'sent':>10} {'arrived':>10} {'dropped':>9} {'to it':>9}  reasons"
        for i, v in enumerate(self.vms):
            drops = self.ports[i]["drops"]
            yield (f"{v['name']:4} {self.sent(i):10} {v['arrived']:10} {sum(drops.values()):9} {self.to_vm(i):9}  " +
                   ", ".join(f"{r} {n}" for r, n in sorted(drops.items())))
        yield f"{'class':15} {'allowed':>10} {'missing':>8} {'forbidden':>10} {'came':>5} {'changing':>9} {'missing':>8}"
        for c in self.classes:
            if sum(c["sent"]) == 0 or c["name"].startswith("broadcast"): # ARP has no tags, copies are counted apart
                continue
            sent = [a + b for a, b in zip(c["sent"], c["answers_sent"])]
            seen = [a + b for a, b in zip(c["seen"], c["answers_seen"])]
            yield (f"{c['name']:15} {sent[0]:10} {sent[0] - seen[0]:8} {sent[1]:10} {seen[1]:5} {sent[2]:9} "
                   f"{sent[2] - seen[2]:8}")


def cores(workers):
    """weftd's, and the VMs': one worker has a core for itself, two share one with the VMs."""
    cpus = sorted(os.sched_getaffinity(0))
    return ([cpus[-1]] if workers == 1 else [cpus[0], cpus[-1]][:len(cpus)]), cpus[0]


def run(seconds, rate, seed, workers=1, changes=100, reconnects=2, sessions=16384, tell=lambda text: None):
    """rate: packets a second of a class of weight 1, 0: all that goes. Returns the list of what was wrong."""
    theirs, ours = cores(workers)
    tell(f"seed {seed}, {seconds} s, workers on {theirs}, VMs on {ours}, {'full rate' if not rate else f'{rate}/s a class'}")
    site = Site(sessions, theirs)
    vms = None
    try:
        vms = Vms(site, seed, ours)
        r = Run(site, vms, seed, changes, reconnects)
        for vm in range(len(VMS)):
            r.connect(vm)
        for vm in range(len(VMS)):
            r.wait_active(vm)
        before = counters(site)
        assert not before[1], f"there are drops before anything was sent: {before[1]}"
        vms.add(site.classes())
        vms.ask(send=True, rate=float(rate or 2000))
        time.sleep(0.5)  # what is to last is known before the flood begins
        vms.add(site.flood(sessions // 4))
        vms.ask(send=True, rate=float(rate))
        r.churn(seconds)
        workers = site.api.weft("workers")["workers"]
        table = site.api.weft("sessions?limit=1")
        vms.ask(send=False)
        quiet(vms)
        report = vms.ask(report=True)
        balance = Balance(report, *counters(site))
        wrong = balance.check()
        carried = sum(sum(v["sent"]) for v in report["vms"])
        tell("\n".join(balance.table()))
        tell(f"{carried / r.seconds / 1e3:,.0f} thousand packets/s, {r.changes / r.seconds:.0f} changes/s ({r.changes}), {r.cuts} cuts, "
             f"{report['connections']} TCP connections ({report['abandoned']} given up), drops {balance.drops}")
        tell(f"sessions {table['count']} of {table['capacity']}, first answers lost: {balance.first_lost} of {balance.first} "
             f"{balance.first_of}")
        tell(f"workers: {[{k: w[k] for k in ('packets', 'judged', 'rejudged', 'revoked') if k in w} for w in workers]}")
        status = vms.close()
        if status != 0:
            wrong.append(f"the VMs' program ended with status {status}")
        return wrong
    finally:
        if vms is not None and vms.proc.poll() is None:
            vms.proc.kill()
            vms.proc.wait()
        site.close()
