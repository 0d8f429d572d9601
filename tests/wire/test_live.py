# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of real packets with `weft trace --live`, and that it ends."""
import contextlib
import json
import re
import signal
import subprocess
import threading

import pytest

import frames
from internet import Internet, Tenant
from lab import BUILD
from probe import Flow
from vm import YES

PHYSICAL = ["physnet1"]


def pair(lab):
    """vm1, which nobody may reach, and vm2, open on TCP 80 and ping."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64", name="red")
    web = lab.group("ingress tcp 80", "ingress icmp", name="web")
    return lab.vm(net, [lab.group(name="closed")], name="vm1"), lab.vm(net, [web], name="vm2")


def popen(lab, *args):
    return lab.node.popen(f"{BUILD}/weft", *args, env=lab.weft_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)


@contextlib.contextmanager
def watching(lab, port, *args):
    """weft trace --live; lines(fits) waits for one that fits. It watches already."""
    p = popen(lab, "--json", "trace", "--live", port, *args)
    seen, more = [], threading.Condition()

    def read():
        for line in p.stdout:
            with more:
                seen.append(json.loads(line))
                more.notify_all()

    reader = threading.Thread(target=read)
    reader.start()

    def find(fits):
        with more:
            assert more.wait_for(lambda: any(fits(s) for s in seen), YES), f"not told: {seen}"
            return next(s for s in seen if fits(s))

    assert "watching" in p.stderr.readline()
    try:
        yield p, find, seen
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
        p.wait(timeout=20)
        reader.join()
        p.stdout.close()
        p.stderr.close()


def other(lab):
    """What a second watch is told: it is refused, or over at once."""
    p = popen(lab, "trace", "--live", "vm2", "udp :9", "--seconds", "0.1")
    return p.communicate(timeout=20)[1]


@pytest.mark.parametrize("port", ["vm1", "vm2"])
def test_both_directions_are_told_at_either_end_with_names_and_session(lab, port):
    a, b = pair(lab)
    there, back = ("from", "to") if port == "vm1" else ("to", "from")
    with watching(lab, port, f"tcp > {b.ip}:80") as (p, find, seen):
        with contextlib.closing(Flow(a, b, 80)):
            syn = find(lambda s: s.get("direction") == there and "flags S " in s["packet"])
            answer = find(lambda s: s.get("direction") == back and "flags SA" in s["packet"])
            rest = find(lambda s: s.get("session") == "established")
        a.send(frames.udp(a, b, 1000, 4444))  # does not fit the filter
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=20) == 0
    assert (syn["verdict"], syn["first"], syn["session"]) == ("forward", True, "new")
    assert (syn["in_port"], syn["out_ports"], syn["out_port_names"]) == (a.id, [b.id], ["vm2"])
    assert (answer["in_port_name"], answer["out_port_names"]) == ("vm2", ["vm1"])
    assert syn["length"] >= 54 and rest["time"] > "2"
    assert not any("udp" in s.get("packet", "") for s in seen)
    assert seen[-1]["missed"] == 0 and seen[-1]["matched"] == len(seen) - 1
    assert "is being watched" not in other(lab), "the watch has ended"


@pytest.mark.parametrize("port", ["vm1", "vm2"])
def test_what_is_refused_is_told_with_its_reason(lab, port):
    a, b = pair(lab)
    with watching(lab, port, "udp", "--count", "1") as (p, find, seen):
        a.send(frames.udp(a, b, 1000, 4444))
        drop = find(lambda s: s.get("verdict") == "drop")
        assert p.wait(timeout=20) == 0
    assert (drop["reason"], drop["in_port"], drop["out_ports"]) == ("ingress-rules", a.id, [])
    assert f"udp {a.ip}:1000 > {b.ip}:4444" in drop["packet"]


def test_a_translated_packet_is_told_as_it_is_on_either_side(lab):
    net = Internet(lab)
    t = Tenant(net)
    vm = t.vm([lab.group()])
    with watching(lab, vm.id, "icmp") as (_, find, _seen):
        assert vm.ping(net.host.ip)
        out = find(lambda s: s.get("direction") == "from" and s["verdict"] == "forward")
        back = find(lambda s: s.get("direction") == "to")
    assert f"icmp {vm.ip} > {net.host.ip}" in out["packet"] and f"icmp {t.ip} > {net.host.ip}" in out["leaves_as"]
    assert out["out_port_names"][0].startswith("uplink:") and out["physical_network"] == "physnet1"
    assert f"icmp {net.host.ip} > {vm.ip}" in back["packet"] and f"> {t.ip}" in back["came_as"]


def test_a_flood_is_told_in_part_and_what_is_not_told_is_counted(lab):
    a, b = pair(lab)
    with watching(lab, "vm2", "tcp :80") as (p, find, seen):
        a.send(*[bytes(frames.tcp(a, b, 1000 + i, 80)) for i in range(2000)])  # faster than it tells
        find(lambda s: s.get("verdict") == "forward")
        lab.wait(lambda: lab.api.weft("sessions?limit=1")["count"] >= 400, what="all of them arrived")
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=20) == 0
    told = len(seen) - 1
    assert seen[-1]["matched"] >= 400 and 0 < told <= seen[-1]["matched"]
    assert seen[-1]["missed"] > 0


def test_it_ends_when_weft_is_killed_and_by_itself(lab):
    pair(lab)
    with watching(lab, "vm2") as (p, _, _seen):
        p.kill()
        p.wait(timeout=20)
    lab.wait(lambda: "is being watched" not in other(lab), what="the end of a watch that nobody reads")
    p = popen(lab, "trace", "--live", "vm1", "--seconds", "0.5")
    p.communicate(timeout=20)
    assert p.returncode == 0
    p = popen(lab, "trace", "--live", "vm1", "tpc")
    assert "forms:" in p.communicate(timeout=20)[1] and p.returncode == 1


def test_it_ends_with_its_port(lab):
    _, b = pair(lab)
    p = popen(lab, "trace", "--live", "vm2")
    assert "watching" in p.stderr.readline()
    lab.remove(b)
    assert "has ended" in p.communicate(timeout=20)[1] and p.returncode == 1


def test_a_flush_ends_sessions_of_either_side_and_others_go_on(lab):
    a, b = pair(lab)
    c = lab.vm(a.net, [lab.group("ingress tcp 80")], name="vm3")
    with contextlib.closing(Flow(a, b, 80)) as flow, contextlib.closing(Flow(a, c, 80)) as other_flow:
        text = lab.weft("flush", "sessions", "vm2")
        assert "ended" in text and not text.startswith("0 ")
        sessions = lab.api.weft("sessions?limit=1000")["sessions"]
        assert not [s for s in sessions if b.id in (s["in_port"], s["out_port"]) and s["state"] == "established"]
        assert [s for s in sessions if c.id in (s["in_port"], s["out_port"]) and s["state"] == "established"]
        for f in (flow, other_flow):  # the rules permit it still: it is picked up
            token = f.send(f.client)
            lab.wait(lambda f=f, token=token: f.has(f.server, token), what="what the client sent")


def test_counters_begin_at_0_and_metrics_go_on(lab):
    a, b = pair(lab)
    assert a.ping(b.ip, count=3)

    def shown(port):
        return lab.api.weft(f"ports/{port}")["counters"]["from_vm_packets"]

    def counted():
        text = lab.api.request("GET", "/metrics")
        return int(re.search(rf'weft_port_received_packets_total{{port="{a.id}"}} (\d+)', text)[1])

    before = counted()
    assert shown("vm1") >= 3
    lab.weft("reset", "counters", "--port", "vm1")
    assert shown("vm1") < 3 <= shown("vm2")
    lab.weft("reset", "counters")
    assert shown("vm2") < 3
    assert lab.api.weft("drops")["counters_reset_ago_ms"] >= 0
    assert counted() >= before >= 3
