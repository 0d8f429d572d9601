# SPDX-License-Identifier: Apache-2.0
"""What an operator sees with `weft` and what a Prometheus server reads, against packets that were really sent."""
import contextlib
import json
import re
import subprocess
import time

import pytest

import frames
from lab import BUILD, HOST
from probe import Flow, expect, expect_frames
from vm import NO, YES


def run(lab, *args):
    """(status, stdout, stderr) of weft inside the node."""
    p = subprocess.run(["ip", "netns", "exec", lab.node.name, f"{BUILD}/weft", *args],
                       capture_output=True, text=True, timeout=20, env=lab.weft_env())
    return p.returncode, p.stdout, p.stderr


def as_json(lab, *args):
    return json.loads(lab.weft("--json", *args))


def pair(lab):
    """vm1, which anybody may not reach, and vm2, open on TCP 80 and ping."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64", name="red")
    web = lab.group("ingress tcp 80", "ingress icmp", name="web")
    return lab.vm(net, [lab.group(name="closed")], name="vm1"), lab.vm(net, [web], name="vm2"), web


def row(text, beginning):
    return next(line for line in text.splitlines() if line.startswith(beginning))


def test_show_ports_and_port_tell_state_addresses_and_reason(lab):
    a, b, web = pair(lab)
    waiting = lab.api.create("port", network_id=a.net["id"], name="vm3", **{"binding:host_id": HOST})
    text = lab.weft("show", "ports")
    line = row(text, a.id[:11])
    assert all(word in line for word in ("vm1", "ACTIVE", a.ip, a.ip6, a.tap))
    line = row(text, waiting["id"][:11])
    assert "DOWN" in line and f"no interface tap{waiting['id'][:11]}" in line
    for name in ("vm2", b.id, b.id[:8]):
        port = as_json(lab, "show", "port", name)
        assert (port["id"], port["status"], port["mac"]) == (b.id, "ACTIVE", b.mac)
    assert set(port["fixed_ips"]) == {b.ip, b.ip6}
    assert [g["name"] for g in port["security_groups"]] == ["web"]
    text = lab.weft("show", "port", "vm2")
    assert b.id in text and web["id"] in text and b.ip6 in text


def test_show_networks_and_groups_list_what_ports_here_use(lab):
    a, _, web = pair(lab)
    unused_net = lab.network("10.9.0.0/24", name="unused")
    unused = lab.group(name="nobodys")
    nets, groups = lab.weft("show", "networks"), lab.weft("show", "groups")
    assert "red" in row(nets, a.net["id"]) and str(a.net["mtu"]) in row(nets, a.net["id"])
    assert "web" in row(groups, web["id"])
    assert unused_net["id"] not in nets and unused["id"] not in groups
    group = next(g for g in as_json(lab, "show", "groups")["groups"] if g["id"] == web["id"])
    assert (group["rules"], group["ports"], group["stateful"]) == (4, 1, True)
    network = as_json(lab, "show", "networks")["networks"][0]
    assert network["ports"] == 2 and {s["cidr"] for s in network["subnets"]} == {"10.0.0.0/24", "fd00:1::/64"}


def test_show_sessions_lists_a_connection_while_it_is_known(lab):
    a, b, _ = pair(lab)
    c = lab.vm(a.net)
    flow = Flow(a, b, 80)
    with contextlib.closing(flow):
        port = flow.client.getsockname()[1]

        def found(*args):
            return [s for s in as_json(lab, "show", "sessions", *args)["sessions"] if s["src_port"] == port]

        (session,) = found()
        assert (session["src"], session["dst"], session["dst_port"]) == (a.ip, b.ip, 80)
        assert (session["in_port"], session["out_port"], session["state"]) == (a.id, b.id, "established")
        assert session["forward"]["packets"] > 1 and session["reply"]["packets"] > 0
        assert len(found("--port", "vm1")) == len(found("--port", b.id)) == 1
        assert found("--port", c.id) == []
        assert str(port) in lab.weft("show", "sessions", "--port", "vm2")
        assert len(as_json(lab, "show", "sessions", "--limit", "1")["sessions"]) == 1
    lab.wait(lambda: found()[0]["state"] != "established", what="the end of the connection seen")


def test_drops_are_counted_by_reason_and_shown_with_their_packet(lab):
    a, b, _ = pair(lab)
    before = lab.api.drops()
    expect_frames(a, b, {"permitted": frames.tcp(a, b, 1000, 80)},
                  {"refused": frames.udp(a, b, 1000, 4444), "spoofed": frames.udp(a, b, 1000, 80, src="10.0.0.99")})
    after = lab.api.drops()
    assert after["ingress-rules"] == before["ingress-rules"] + 1
    assert after["spoofed-ip"] == before["spoofed-ip"] + 1
    assert a.drops("spoofed-ip") == 1
    shown = {d["packet"].rsplit(" ttl", 1)[0]: d["reason"] for d in lab.api.weft("drops?limit=50")["samples"]}
    assert shown[f"udp {a.ip}:1000 > {b.ip}:4444"] == "ingress-rules"
    assert shown[f"udp 10.0.0.99:1000 > {b.ip}:80"] == "spoofed-ip"

    def latest():
        a.send(frames.udp(a, b, 1000, 4444))  # again: what else is dropped may push it out of the few that are shown
        text = lab.weft("show", "drops")
        return f"udp {a.ip}:1000 > {b.ip}:4444" in text and text

    text = lab.wait(latest, what="the refused packet shown")
    assert "No ingress rule of the receiver's security groups permits it." in text
    assert "vlan-tagged" not in text and "vlan-tagged" in lab.weft("show", "drops", "--all")


def test_watch_drops_prints_a_refused_packet_as_it_happens(lab):
    a, b, _ = pair(lab)
    watch = lab.node.popen(f"{BUILD}/weft", "watch", "drops", "--interval", "1", "--count", "3",
                           env=lab.weft_env(), stdout=subprocess.PIPE, text=True)
    for i in range(12):  # before, while and after it looks: it says only what happens while it runs
        a.send(frames.udp(a, b, 2000 + i, 4444))
        time.sleep(0.1)
    a.send(frames.tcp(a, b, 1000, 80))
    text, _ = watch.communicate(timeout=20)
    assert watch.returncode == 0
    told = [line for line in text.splitlines() if f"> {b.ip}:4444" in line]
    assert told and all("ingress-rules" in line for line in told)
    assert len(told) == len(set(told)), "a packet is told twice"
    assert f"{b.ip}:80" not in text
    status, out, _ = run(lab, "--json", "watch", "drops", "--count", "1")
    assert status == 0 and all(json.loads(line) is not None for line in out.splitlines())


def test_show_workers_counts_packets(lab):
    a, b, _ = pair(lab)

    def packets():
        return sum(w["packets"] for w in as_json(lab, "show", "workers")["workers"])

    before = packets()
    assert a.ping(b.ip, count=3)
    assert packets() >= before + 6
    assert lab.weft("show", "workers").splitlines()[0].startswith("WORKER")


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_trace_says_what_happens_to_real_packets_and_does_nothing_itself(lab, version):
    a, b, web = pair(lab)
    v = "ipv6 " if version == 6 else ""
    if version == 6:
        web["rules"].insert(0, lab.rule(web, "ingress ipv6 tcp 80"))
    to = f"[{b.ip6}]" if version == 6 else b.ip
    expect(a, b, [f"{v}tcp 80"], [f"{v}tcp 22"])
    sessions, drops = lab.api.weft("sessions")["count"], lab.api.drops()["ingress-rules"]
    yes, no = (as_json(lab, "trace", "vm1", f"tcp > {to}:{port} syn") for port in (80, 22))
    assert (yes["verdict"], yes["out_ports"]) == ("forward", [b.id])
    assert yes["stages"][-1]["rule"] == web["rules"][0]["id"]
    assert (no["verdict"], no["reason"], no["stages"][-1]["stage"]) == ("drop", "ingress-rules", "ingress")
    with b.sniff() as got:
        text = lab.weft("trace", "vm1", f"tcp > {to}:80 syn")
        assert web["rules"][0]["id"] in text and "\n=> forward" in text
        assert got(lambda p: frames.TCP in p, NO) is None
        a.send(frames.tcp(a, b, 1000, 80, version=version))
        assert got(lambda p: frames.TCP in p)
    assert lab.api.drops()["ingress-rules"] == drops
    assert lab.api.weft("sessions")["count"] <= sessions + 1


def test_trace_names_spoofing_unknown_addresses_and_answers_of_the_node(lab):
    a, b, _ = pair(lab)

    def reason(packet):
        return as_json(lab, "trace", "vm1", packet).get("reason")

    assert reason(f"icmp > {b.ip}") is None
    assert reason(f"icmp 10.0.0.99 > {b.ip}") == "spoofed-ip"
    assert reason(f"icmp > {b.ip} smac=fa:16:3e:00:00:99") == "spoofed-mac"
    assert reason("icmp > 10.0.0.99") == "unknown-destination"
    assert reason("arp who-has 10.0.0.99") == "arp-unknown"
    assert reason("ether type=0x88cc") in ("ethertype", "reserved-multicast")
    assert reason("hex:" + bytes(frames.udp(a, b, 1, 2)).hex()) == "ingress-rules"
    assert "arp" in lab.weft("trace", "vm1", f"arp who-has {b.ip}")


def test_trace_gives_the_reason_that_the_datapath_counts_when_nobody_gets_the_packet(lab):
    a, b, _ = pair(lab)
    assert as_json(lab, "trace", "vm1", "udp > 224.0.0.18:9")["reason"] == "ingress-rules"
    assert as_json(lab, "trace", "vm1", f"tcp > {b.ip}:80 syn")["out_ports"] == [b.id]
    b.unplug()
    lab.wait(lambda: as_json(lab, "trace", "vm1", f"tcp > {b.ip}:80 syn").get("reason") == "port-detached",
             what="the trace that knows of the missing interface")


def test_trace_of_a_packet_of_an_open_connection_finds_its_session(lab):
    a, b, _ = pair(lab)
    flow = Flow(a, b, 80)
    with contextlib.closing(flow):
        port = flow.client.getsockname()[1]
        back = as_json(lab, "trace", "vm2", f"tcp {b.ip}:80 > {a.ip}:{port} ack")
        assert back["verdict"] == "forward" and back["out_ports"] == [a.id]
        other = as_json(lab, "trace", "vm2", f"tcp {b.ip}:80 > {a.ip}:{port ^ 1} ack")
        assert other["verdict"] == "drop"


def test_explain_shows_the_rules_in_force_and_follows_a_change(lab):
    _, b, web = pair(lab)
    text = lab.weft("explain", "vm2")
    assert web["rules"][0]["id"] in text and "ingress IPv4 tcp 80" in text
    assert f"{b.mac} {b.ip}/32" in text
    added = lab.rule(web, "ingress udp 53 from 192.0.2.0/24")
    lab.api.delete("security_group_rule", web["rules"][0]["id"])
    b.update(allowed_address_pairs=[{"ip_address": "10.5.0.0/16"}])
    text = lab.weft("explain", "vm2")
    assert web["rules"][0]["id"] not in text
    assert "192.0.2.0/24" in row(text, "    " + added["id"])
    assert f"{b.mac} 10.5.0.0/16" in text
    answer = as_json(lab, "explain", "vm2")
    assert answer["neutron"]["port"]["id"] == b.id
    rules = [r["id"] for g in answer["policy"]["groups"] for r in g["rules"]]
    assert added["id"] in rules and web["rules"][0]["id"] not in rules


def test_every_show_command_prints_json_that_parses(lab):
    pair(lab)
    for words in ("show ports", "show port vm1", "show networks", "show groups", "show sessions", "show drops",
                  "show workers", "explain vm1"):
        answer = as_json(lab, *words.split())
        assert isinstance(answer, dict) and answer, words


def test_exit_status_is_0_when_done_1_when_failed_2_when_misused(lab):
    pair(lab)
    cases = {
        0: ["show ports", "show port vm1", "wait-ready", "--help", "--version", "show port --help", "completion", "man"],
        1: ["show port nope", "explain nope", "show sessions --port nope", "trace vm1 rubbish",
            "--api http://127.0.0.1:1 show ports", "--api http://127.0.0.1:1 wait-ready --timeout 1"],
        2: ["show nonsense", "nonsense", "show port", "show ports extra", "trace vm1", "watch drops --count x",
            "show ports --nonsense", "--nonsense", "show sessions --limit"],
    }
    for status, lines in cases.items():
        for line in lines:
            got, out, err = run(lab, *line.split())
            assert got == status, f"weft {line}: status {got}: {err}"
            if status:
                assert out == "" and len(err.splitlines()) >= 1 and err.startswith("weft: "), line
            else:
                assert err == "", line


def test_cli_finds_the_daemon_by_option_and_environment(lab):
    url = "http://127.0.0.1:9696"
    a, _, _ = pair(lab)
    assert a.id[:11] in lab.weft("--api", url, "show", "ports")
    for env, status in ((url, 0), ("http://127.0.0.1:1", 1)):
        p = subprocess.run(["ip", "netns", "exec", lab.node.name, "env", f"WEFT_API={env}", f"{BUILD}/weft",
                            "show", "ports"], capture_output=True, text=True)
        assert p.returncode == status, p.stderr


def test_requests_do_not_hold_up_the_datapath(lab):
    """Hundreds of objects at once, long and dear lists: no tick waits for them. How late a tick comes is the machine's as well, so
    what is asserted is how long it waited for the control thread; the loop itself may stand still for longer."""
    net = lab.network()
    group = lab.group()
    for attempt in range(3):
        port = {"network_id": net["id"], "binding:host_id": HOST, "security_groups": [group["id"]]}
        made = lab.api.request("POST", "/v2.0/ports", {"ports": [port] * 80})["ports"]
        rules = [{"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
                  "port_range_min": 1 + i + 1000 * attempt, "port_range_max": 1 + i + 1000 * attempt} for i in range(1000)]
        lab.api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": rules})
        query = "&".join(["sort_key=port_range_min&sort_dir=desc"] * 240)
        listed = lab.api.request("GET", f"/v2.0/security-group-rules?{query}")["security_group_rules"]
        numbers = [r["port_range_min"] for r in listed if r["port_range_min"]]
        assert numbers == sorted(numbers, reverse=True) and len(numbers) == 1000 * (attempt + 1)
        for p in made:
            lab.api.delete("port", p["id"])
        control = as_json(lab, "show", "workers")["control"]
        if control["held_ever_us"] <= 20000:
            break
        lab.restart()
    else:
        raise AssertionError(f"a tick waited for {control['held_ever_us']} us")
    assert "ticks came at most" in lab.weft("show", "workers")
    samples, _ = parse_metrics(lab.api.request("GET", "/metrics"))
    assert ("weft_control_late_seconds", frozenset({("what", "held")})) in samples


# ---- Prometheus ----

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? '
                    r'([-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|Inf|NaN))')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse_metrics(text):
    """The text format, strictly: {(name, frozenset of labels): value}, {name: type}. Metrics of a name stand together,
    after their HELP and TYPE, and no sample comes twice."""
    assert text.endswith("\n")
    samples, types, current = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in types, f"{current} comes twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == current and kind in ("counter", "gauge")
            assert kind != "counter" or name.endswith("_total")
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line}"
            name, labels, value = match.groups()
            key = name, frozenset(LABEL.findall(labels or ""))
            assert name == current and key not in samples, line
            samples[key] = float(value)
    return samples, types


def metrics(lab):
    return parse_metrics(lab.api.request("GET", "/metrics"))


def test_metrics_are_prometheus_text_and_its_counters_grow_with_the_traffic(lab):
    a, b, _ = pair(lab)
    first, types = metrics(lab)
    assert types["weft_drops_total"] == "counter" and types["weft_sessions"] == "gauge"
    expect_frames(a, b, {"permitted": frames.tcp(a, b, 1000, 80)}, {"refused": frames.udp(a, b, 1000, 4444)})
    assert a.ping(b.ip, count=3)
    second, _ = metrics(lab)
    shrunk = [k for k, v in first.items() if types[k[0]] == "counter" and second.get(k, 0) < v]
    assert not shrunk

    def grown(name, **labels):
        key = name, frozenset(labels.items())
        return second[key] - first[key]

    assert grown("weft_drops_total", reason="ingress-rules") == 1
    assert grown("weft_drops_total", reason="spoofed-mac") == 0
    assert grown("weft_port_received_packets_total", port=a.id) >= 5
    assert grown("weft_port_sent_packets_total", port=b.id) >= 4
    assert grown("weft_port_received_bytes_total", port=a.id) >= 3 * 98
    workers = [dict(labels)["worker"] for name, labels in first if name == "weft_worker_packets_total"]
    assert sum(grown("weft_worker_packets_total", worker=w) for w in workers) >= 8
    assert second["weft_ports_attached", frozenset()] == 2


def test_bytes_counted_are_those_of_the_frames(lab):
    a, b, _ = pair(lab)
    frame = frames.tcp(a, b, 1000, 80, data=b"x" * 346)
    assert len(frame) == 400
    before = b.show()["counters"]
    expect_frames(a, b, {f"number {i}": frames.tcp(a, b, 1000 + i, 80, data=b"x" * 346) for i in range(10)})
    lab.wait(lambda: b.show()["counters"]["to_vm_packets"] >= before["to_vm_packets"] + 10, YES, "ten packets")
    after = b.show()["counters"]
    others = after["to_vm_packets"] - before["to_vm_packets"] - 10
    size = after["to_vm_bytes"] - before["to_vm_bytes"] - 4000
    assert size == 0 if others == 0 else 0 < size < others * 200
