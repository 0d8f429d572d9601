# SPDX-License-Identifier: Apache-2.0
"""Samples that can be trusted: each taken in slices between measurements of the limit, and marked when something disturbed it.

A sample is disturbed when
  - the generator did not run all the time (somebody else had its core). Threads of the switch under test, beside the one that polls,
    are part of what is measured: what they took is told ("own"), and is no disturbance;
  - the limits beside its slices disagree, or the slices do: something began or ended meanwhile;
  - the limit is far below the best one seen for that size in the whole run: a slow phase, as when a neighbour works on the same
    physical core. All then runs slowly, also the limit, but neither cycles nor ratios are what they were.
It is taken again while there is patience: for the point, and in all. What stays disturbed is marked, never used silently.
"""
import glob
import json
import os
import select
import statistics
import subprocess
import time

import switches

BUILD = os.environ.setdefault("WEFT_BUILD", os.path.join(switches.ROOT, "build"))
MIN_SHARE = 0.93  # of the window that the generator must really have run
MAX_APART = 0.15  # how far limits, or slices, may be apart
OWN = 0.02  # of the time: below that a switch's own threads are not worth telling
MIN_LIMIT = 0.80  # of the best limit of that size
TICK = os.sysconf("SC_CLK_TCK")


class Traffic:
    """The generator's process: one command, one answer."""

    def __init__(self):
        made = subprocess.run(["ninja", "-C", BUILD, "bench/traffic"], capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(f"bench/traffic does not build:\n{made.stdout[-3000:]}{made.stderr}")
        self.log = open("/tmp/weft-bench-traffic.log", "w")
        self.proc = subprocess.Popen([f"{BUILD}/bench/traffic", "-l", "0", "--in-memory", "--single-file-segments", "--no-pci",
                                      "-m", "512"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                     start_new_session=True)
        self.said = b""

    def _line(self, until):
        while b"\n" not in self.said:
            left = until - time.monotonic()
            data = os.read(self.proc.stdout.fileno(), 65536) if left > 0 and select.select(
                [self.proc.stdout], [], [], left)[0] else b""
            if not data:
                self.proc.kill()
                raise RuntimeError("traffic ended" if left > 0 else "traffic does not answer")
            self.said += data
        line, _, self.said = self.said.partition(b"\n")
        return line

    def ask(self, timeout=30, **command):
        self.proc.stdin.write(json.dumps(command).encode() + b"\n")
        self.proc.stdin.flush()
        until = time.monotonic() + timeout
        while True:
            line = self._line(until)
            if line.startswith(b"{"):
                break
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"traffic: {answer['of']}: {answer['error']}")
        return answer

    def run(self, switch, size, users, seconds, **more):
        return self.ask(timeout=30 + seconds + more.get("known_s", 10), run=switch.name, size=size, users=users, seconds=seconds,
                        ab=switch.ab, ba=switch.ba, **more)

    def close(self):
        self.proc.stdin.close()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()


def own_seconds(switch):
    """CPU seconds so far of the switch's threads that are not bound to the polling core alone."""
    total = 0
    for pid in switch.pids():
        for task in glob.glob(f"/proc/{pid}/task/*"):
            try:
                with open(task + "/status") as f:
                    cores = next(line.split()[1] for line in f if line.startswith("Cpus_allowed_list"))
                with open(task + "/stat") as f:
                    fields = f.read().rpartition(")")[2].split()
            except (OSError, StopIteration):  # it ended
                continue
            if cores != str(switches.CORE):
                total += int(fields[11]) + int(fields[12])
    return total / TICK


def apart(values):
    """How far the smallest and the largest are, of their mean."""
    mean = sum(values) / len(values) if values else 0
    return (max(values) - min(values)) / mean if mean > 0 else 0


class Sampler:
    """seconds: of one sample; patience: seconds that repetitions may cost in all, point_s: at one point."""

    def __init__(self, seconds, patience, quick):
        self.seconds, self.patience = seconds, patience
        self.bracket_s = min(0.2, seconds)
        self.slices = 3 if seconds >= 1.5 else 2
        self.point_s = 12 * seconds
        self.known_s = 3 if quick else 10
        self.best = {}  # size: Mpps of the limit
        self.traffic = self.limit = None
        self.start()

    def start(self):
        """The generator and the limit; also after they were lost."""
        self.close()
        try:
            self.traffic = Traffic()
            self.limit = switches.LIMIT()
            self.traffic.ask(open=self.limit.name, a=self.limit.a, b=self.limit.b)
            self._until_it_flows(self.limit)
            self.limit.pause()
        except BaseException:
            self.close()
            raise

    def is_well(self):
        return self.traffic.proc.poll() is None and all(p.poll() is None for p in self.limit.procs)

    def close(self):
        if self.traffic is not None:
            try:
                if self.limit is not None:
                    self.limit.go()  # the generator says goodbye to it
            except RuntimeError:  # it has ended
                pass
            self.traffic.close()
        if self.limit is not None:
            self.limit.close()
        self.traffic = self.limit = None

    def _until_it_flows(self, switch):
        for _ in range(100):
            if self.traffic.run(switch, 64, 1, 0.02)["received"] > 0:
                return
        raise RuntimeError(f"{switch.name}: nothing arrives")

    # ---- Switches ----

    def open(self, cls):
        switch = cls()
        try:
            self.traffic.ask(open=switch.name, a=switch.a, b=switch.b)
            switch.ready()
            self._until_it_flows(switch)
            switch.pause()
            return switch
        except BaseException:
            try:
                self.shut(switch)
            except RuntimeError:  # the traffic never had it, or is gone: what went wrong first counts
                pass
            raise

    def shut(self, switch):
        try:
            switch.go()
            self.traffic.ask(close=switch.name)
        finally:
            switch.close()

    # ---- Samples ----

    def bracket(self, size):
        self.limit.go()
        s = self.traffic.run(self.limit, size, 1000, self.bracket_s, known_s=1)
        self.limit.pause()
        if s["share"] >= MIN_SHARE:
            self.best[size] = max(self.best.get(size, 0), s["mpps"])
        return s

    def is_slow(self, size, limit):
        return limit < MIN_LIMIT * self.best.get(size, 0)

    def slow_text(self, size, limit):
        return f"slow phase, limit {limit:.1f} of {self.best[size]:.1f}"

    def _window(self, switch, size, users, seconds, **more):
        """One run, with cycles per packet and the switch's own threads' share of the time."""
        cycles, own, began = switch.cycles(), own_seconds(switch), time.monotonic()
        s = self.traffic.run(switch, size, users, seconds, **more)
        s["own"] = (own_seconds(switch) - own) / (time.monotonic() - began)
        if cycles is not None:
            now = switch.cycles()
            s["cycles"] = (now[0] - cycles[0]) / max(1, now[1] - cycles[1])
        return s

    def sample(self, switch, size, users, runs=None, prepare=None, **more):
        """One sample; "disturbed" says why it may not be used, or is None. runs: so many in a row without a limit between them, the
        last one counts. prepare(): what comes first, when the switch runs."""
        brackets, windows = [self.bracket(size)], []
        switch.go()
        try:
            if prepare is not None:
                prepare()
            elif more.get("mode") != "setups":
                self.traffic.run(switch, size, users, 0.01, known_s=self.known_s)
            for i in range(runs or self.slices):
                if i > 0 and runs is None:
                    switch.pause()
                    brackets.append(self.bracket(size))
                    switch.go()
                windows.append(self._window(switch, size, users, self.seconds / (2 if runs else self.slices), known=True, **more))
            switch.forget()
        finally:
            switch.pause()
        brackets.append(self.bracket(size))
        limits = [b["mpps"] for b in brackets]
        s = self._together(windows) if runs is None else {**windows[-1], "runs": [w["setups_per_s"] for w in windows],
                                                          "first_per_s": windows[0]["setups_per_s"]}
        s["bad"] = sum(w["bad"] for w in windows)
        s["limit"] = sum(limits) / len(limits)
        s["ratio"] = s["mpps"] / s["limit"]
        rates = [w["mpps"] for w in windows] if runs is None and "rate" not in more else []
        s["disturbed"] = self._why(brackets, windows, limits, rates, size)
        return s

    def _together(self, windows):
        """Slices of one length as one: sums or means; latencies by their median."""
        s = dict(windows[0])
        for key in s:
            values = [w[key] for w in windows]
            if key in ("sent", "received", "bad", "seconds"):
                s[key] = sum(values)
            elif key in ("p50_us", "p99_us"):
                s[key] = statistics.median(values)
            else:
                s[key] = sum(values) / len(values)
        return s

    def _why(self, brackets, windows, limits, rates, size):
        share = min([b["share"] for b in brackets] + [w["share"] + (w["own"] if w["share"] < MIN_SHARE else 0) for w in windows])
        if share < MIN_SHARE:
            return f"generator ran {share:.0%}"
        if apart(limits) > MAX_APART:
            return f"limits {apart(limits):.0%} apart"
        if self.is_slow(size, min(limits)):
            return self.slow_text(size, min(limits))
        if apart(rates) > MAX_APART and max(w["own"] for w in windows) < OWN:
            return f"slices {apart(rates):.0%} apart"
        return None

    def measure(self, switch, size, users, **more):
        """Samples until one is undisturbed, as long as there is patience: the point's, and the whole run's."""
        began = time.monotonic()
        while True:
            at = time.monotonic()
            s = self.sample(switch, size, users, **more)
            took = time.monotonic() - at
            spent = time.monotonic() - began
            if s["disturbed"] is None or spent + took > self.point_s or self.patience < took:
                return s
            if self.is_slow(size, s["limit"]):
                self._wait(size, began + self.point_s - took)
            self.patience -= time.monotonic() - at

    def _wait(self, size, until):
        """Slow phases last for seconds to minutes."""
        until = min(until, time.monotonic() + self.patience)
        while time.monotonic() + 1 < until:
            time.sleep(1)
            if not self.is_slow(size, self.bracket(size)["mpps"]):
                return

    def recheck(self, rows):
        """What was measured before the best limit was known."""
        for r in rows:
            if r["disturbed"] is None and self.is_slow(r["size"], r["limit"]):
                r["disturbed"] = self.slow_text(r["size"], r["limit"])
