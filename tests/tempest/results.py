# SPDX-License-Identifier: Apache-2.0
"""What became of each test of a subunit stream, and the summary for people."""
import re
from collections import Counter, defaultdict

import subunit
from testtools import StreamResult

FINAL = ("success", "fail", "skip")


class _Collector(StreamResult):
    def __init__(self):
        super().__init__()
        self.status_of, self.text_of = {}, defaultdict(bytes)

    def status(self, test_id=None, test_status=None, file_name=None, file_bytes=None, **kw):
        if test_id is None:
            return
        if file_bytes:
            self.text_of[test_id, file_name] += file_bytes
        if test_status in FINAL:
            self.status_of[test_id] = test_status


def _error(trace):
    """The exception's own words: what follows the last "File" line, without the quoted source."""
    lines = trace.strip().splitlines()
    last = max((i for i, line in enumerate(lines) if line.startswith("  File")), default=-1)
    return " ".join(line.strip() for line in lines[last + 1:] if line.strip() and not line.startswith("    "))


def read(path):
    """[{"test", "status", "error", "reason", "requests"}], by name. requests: the last ones that the test made."""
    collector = _Collector()
    with open(path, "rb") as f:
        subunit.ByteStreamToStreamResult(f).run(collector)
    rows = []
    for test, status in sorted(collector.status_of.items()):
        text = {n: b.decode(errors="replace") for (t, n), b in collector.text_of.items() if t == test}
        requests = re.findall(r"Request \([^)]*\): (\d+ \w+ \S+)", text.get("pythonlogging:''", ""))
        rows.append({"test": re.sub(r"\[.*", "", test), "status": status, "reason": text.get("reason", "").strip(),
                     "error": _error(text.get("traceback", "")), "requests": requests[-6:]})
    return rows


def _module(test):
    m = re.search(r"((?:neutron_tempest_plugin|tempest)\.api\.[a-z_.0-9]+?)\.?(?:[A-Z].*)?\)?$", test)
    return m.group(1) if m else test


def tell(rows):
    """The table by module, what failed and why, and why what was skipped was."""
    table = defaultdict(Counter)
    for r in rows:
        table[_module(r["test"])][r["status"]] += 1
    print(f"{'module':<66} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for module, n in sorted(table.items()):
        print(f"{module:<66} {n['success']:>7} {n['fail']:>7} {n['skip']:>8}")
    for r in rows:
        if r["status"] == "fail":
            print(f"\nFAILED {r['test']}\n  {r['error'][:600]}")
            for request in r["requests"]:
                print(f"    {request}")
    reasons = Counter(r["reason"] for r in rows if r["status"] == "skip")
    print("\nskipped:")
    for reason, n in reasons.most_common():
        print(f"{n:>5} {reason}")


def count(rows):
    n = Counter(r["status"] for r in rows)
    return n["success"], n["fail"], n["skip"]
