# SPDX-License-Identifier: Apache-2.0
"""Connections: replies ride on them, changes of the policy cut exactly what they should, idle ones live as long as
configured. Numbers are those of the case list in the issue's reference."""
import contextlib
import time

import pytest

import frames
from lab import Lab
from probe import Flow, expect, expect_all, expect_frames, flows
from vm import YES

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
PROTOS = pytest.mark.parametrize("proto", ["tcp", "udp"])


def family(version):
    return "ipv6 " if version == 6 else ""


def pair(lab, *ingress, egress=True):
    """A client that may open anything and be reached by nothing, a server with these ingress rules."""
    net = lab.network("10.0.0.0/24", "fd00:1::/64")
    server_group = lab.group(*ingress, egress=egress)
    client, server = lab.vm(net, [lab.group()]), lab.vm(net, [server_group])
    return client, server, server_group


@VERSIONS
def test_replies_pass_without_a_rule_for_them(lab, version):
    """22. Neither the client's ingress nor the server's egress has a rule."""
    v = family(version)
    a, b, _ = pair(lab, f"ingress {v}any", egress=False)
    expect_all([(a, b, f"{v}tcp 80", True), (a, b, f"{v}udp 80", True), (a, b, f"{v}icmp", True),
                (b, a, f"{v}tcp 80", False), (b, a, f"{v}udp 80", False), (b, a, f"{v}icmp", False)])


def test_only_the_exact_reverse_of_a_flow_is_its_reply(lab):
    a, b, _ = pair(lab, "ingress any", egress=False)
    flow = Flow(a, b, 53, "udp")
    port = flow.client.getsockname()[1]
    a.send(frames.echo(a, b, id=77))
    expect_frames(b, a, {"reply": frames.udp(b, a, 53, port),
                         "echo reply": frames.echo(b, a, id=77, reply=True)},
                  {"other source port": frames.udp(b, a, 54, port),
                   "other destination port": frames.udp(b, a, 53, port ^ 1),
                   "echo reply to nobody": frames.echo(b, a, id=78, reply=True),
                   "echo request": frames.echo(b, a, id=77),
                   "timestamp reply": frames.ip(b, a) / frames.ICMP(type=14, id=77, seq=1) / (b"6" * 12)})
    flow.close()


@VERSIONS
@PROTOS
def test_rule_removed_cuts_the_flow_in_both_directions_and_only_that_flow(lab, version, proto):
    """24."""
    v = family(version)
    a, b, group = pair(lab, f"ingress {v}{proto} 80", f"ingress {v}{proto} 81")
    cut, stays = Flow(a, b, 80, proto, version), Flow(a, b, 81, proto, version)
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    flows(alive=[stays], dead=[cut])
    for f in (cut, stays):
        f.close()
    expect(a, b, [f"{v}{proto} 81"], [f"{v}{proto} 80"])


@VERSIONS
@PROTOS
def test_rule_removed_cuts_the_flow_even_if_only_replies_flow(lab, version, proto):
    """34: where conntrack drivers are weak."""
    v = family(version)
    a, b, group = pair(lab, f"ingress {v}{proto} 80", f"ingress {v}{proto} 81")
    cut, stays = Flow(a, b, 80, proto, version), Flow(a, b, 81, proto, version)
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    flows(alive=[stays], dead=[cut], only="server")


def test_egress_rule_removed_cuts_the_flow_also_if_only_replies_flow(lab):
    """34."""
    net = lab.network()
    group = lab.group("egress tcp 80", "egress tcp 81", egress=False)
    a, b = lab.vm(net, [group]), lab.vm(net, [lab.group("ingress tcp")])
    cut, stays = Flow(a, b, 80), Flow(a, b, 81)
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    flows(alive=[stays], dead=[cut], only="server")
    flows(alive=[stays], dead=[cut])


@VERSIONS
def test_rule_that_comes_back_lets_the_same_connection_go_on(lab, version):
    """13, 25: nothing that was cut lingers."""
    v = family(version)
    a, b, group = pair(lab, f"ingress {v}tcp 80")
    flow = Flow(a, b, 80, version=version)
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    flows(dead=[flow])
    lab.rule(group, f"ingress {v}tcp 80")
    flows(alive=[flow])


def test_group_detached_cuts_and_attached_again_lets_the_connection_go_on(lab):
    """25."""
    a, b, group = pair(lab, "ingress tcp 80")
    other = lab.group("ingress tcp 81")
    lab.set_groups(b, group, other)
    flow, stays = Flow(a, b, 80), Flow(a, b, 81)
    lab.set_groups(b, other)
    flows(alive=[stays], dead=[flow])
    lab.set_groups(b, group, other)
    flows(alive=[flow, stays])


def test_all_groups_detached_cuts_every_flow_of_the_vm_and_of_no_other(lab):
    """25."""
    a, b, group = pair(lab, "ingress tcp 80")
    c = lab.vm(a.net, [group])
    cut, out, stays = Flow(a, b, 80), Flow(b, c, 80), Flow(a, c, 80)
    lab.set_groups(b)
    flows(alive=[stays], dead=[cut, out])
    lab.set_groups(b, group)
    flows(alive=[stays, cut, out])


def test_another_permitting_rule_takes_over_without_a_gap(lab):
    """27. The rule goes by which the flow was opened; one that also permits it is there."""
    a, b, group = pair(lab, "ingress tcp 80", "ingress tcp 1-100", "ingress udp 80", "ingress udp")
    tcp, udp = Flow(a, b, 80), Flow(a, b, 80, "udp")
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    lab.api.delete("security_group_rule", group["rules"][2]["id"])
    flows(alive=[tcp, udp])
    lab.api.delete("security_group_rule", group["rules"][1]["id"])
    flows(alive=[udp], dead=[tcp])


def test_a_group_exchanged_for_an_equal_one_cuts_nothing(lab):
    """27."""
    a, b, group = pair(lab, "ingress tcp 80", "ingress udp 80")
    twin = lab.group("ingress tcp 80", "ingress udp 80")
    tcp, udp = Flow(a, b, 80), Flow(a, b, 80, "udp")
    lab.set_groups(b, twin)
    flows(alive=[tcp, udp])


def revoked(lab):
    return sum(w["revoked"] for w in lab.api.weft("workers")["workers"])


def test_adding_rules_and_groups_cuts_nothing_and_judges_nothing_again(lab):
    """G13."""
    a, b, group = pair(lab, "ingress tcp 80")
    flow = Flow(a, b, 80)
    before = revoked(lab)
    lab.rule(group, "ingress tcp 81")
    lab.set_groups(b, group, lab.group("ingress udp"))
    lab.vm(a.net, [group])
    flows(alive=[flow])
    assert revoked(lab) == before


def test_an_unrelated_change_leaves_flows_alone(lab):
    """27: another group's rules, another port's groups, names and descriptions."""
    a, b, group = pair(lab, "ingress tcp 80")
    other = lab.group("ingress tcp 22", "ingress icmp")
    c = lab.vm(a.net, [other])
    flow = Flow(a, b, 80)
    lab.api.delete("security_group_rule", other["rules"][0]["id"])
    lab.set_groups(c)
    b.update(name="b", description="still b")
    lab.api.update("security_group", group["id"], name="renamed")
    lab.api.update("network", a.net["id"], name="renamed")
    flows(alive=[flow])
    expect_all([(a, b, "tcp 80", True), (a, c, "icmp", False)])


def test_a_cut_udp_flow_stays_cut_until_a_rule_permits_it_again(lab):
    """24, 25: neither end opens it meanwhile."""
    a, b, group = pair(lab, "ingress udp 53", "ingress udp 54")
    flow, stays = Flow(a, b, 53, "udp"), Flow(a, b, 54, "udp")
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    flows(alive=[stays], dead=[flow])
    flows(alive=[stays], dead=[flow], only="server")
    flows(alive=[stays], dead=[flow], only="client")
    lab.rule(group, "ingress udp 53")
    flows(alive=[stays, flow])


def test_icmp_rule_removed_stops_a_running_ping(lab):
    """24: the same echo identifier, whose session exists."""
    a, b, group = pair(lab, "ingress icmp", "ingress udp 9")
    expect_frames(a, b, {"echo": frames.echo(a, b, id=5)})
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    lab.set_groups(b, group)
    expect_frames(a, b, {"udp": frames.udp(a, b)}, {"echo": frames.echo(a, b, id=5, seq=2)})
    expect_frames(b, a, {"udp": frames.udp(b, a)}, {"echo reply": frames.echo(b, a, id=5, seq=2, reply=True)})


# ---- TCP ----

@VERSIONS
def test_tcp_that_opens_no_connection_is_dropped_whatever_the_rules(lab, version):
    a, b, _ = pair(lab, "ingress any", "ingress ipv6 any")
    bad = {f"{flags or 'no flag'}": frames.tcp(a, b, 1000 + i, 80, flags, version=version)
           for i, flags in enumerate(["SA", "R", "RA", "FA", "", "F", "SF", "SR", "FPU", "SRFAPU", "FR"])}
    expect_frames(a, b, {"syn": frames.tcp(a, b, 2000, 80, "S", version=version),
                         "syn with ecn": frames.tcp(a, b, 2001, 80, "SEC", version=version)}, bad)
    drops = a.show()["drops"]
    assert drops["tcp-state"] >= 4 and drops["tcp-flags"] >= 6


def test_a_connection_can_be_opened_again_with_the_same_ports(lab):
    """After FIN or RST: the same five-tuple is a new connection, judged by the rules of now."""
    a, b, group = pair(lab, "ingress tcp 80", "ingress tcp 81")
    for _ in range(3):
        with contextlib.closing(b.listen(80)) as server:
            client = a.connect(b.ip, 80, source_port=34567)
            server.settimeout(YES)
            peer, _ = server.accept()
            client.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: end with RST
            client.close()
            peer.close()
    lab.api.delete("security_group_rule", group["rules"][0]["id"])
    expect_frames(a, b, {"81": frames.tcp(a, b, 34567, 81, "S")}, {"80": frames.tcp(a, b, 34567, 80, "S")})


def test_a_forged_reset_does_not_end_a_connection(datapath):
    """A RST outside the window is ignored by the endpoints; the session must not die of it either."""
    with contextlib.closing(Lab(datapath, "[datapath]\ntcp_closing = 1\ntcp_loose = no\n")) as lab:
        net = lab.network()
        a, b = lab.vm(net, [lab.group()]), lab.vm(net, [lab.group("ingress tcp")])
        c = lab.vm(net, [], port_security_enabled=False)
        flow, reset = Flow(a, b, 80), Flow(a, b, 80)
        for f in (flow, reset):
            port = f.client.getsockname()[1]
            c.send(frames.tcp(a, b, port, 80, "R", seq=12345))
            a.send(frames.tcp(a, b, port, 80, "R", seq=12345))
        flows(alive=[flow])
        reset.close()
        time.sleep(1.6)
        flows(alive=[flow])


def test_strict_tcp_picks_up_no_connection_in_the_middle_and_loose_tcp_does(datapath, lab):
    """Configuration: tcp_loose."""
    def bare_ack(where):
        net = where.network()
        a, b = where.vm(net, [where.group()]), where.vm(net, [where.group("ingress tcp")])
        return a, b, frames.tcp(a, b, 1000, 80, "A", 5, 6, b"x"), frames.tcp(a, b, 1001, 80, "S")

    a, b, ack, syn = bare_ack(lab)
    expect_frames(a, b, {"ack": ack, "syn": syn})
    with contextlib.closing(Lab(datapath, "[datapath]\ntcp_loose = no\n")) as strict:
        a, b, ack, syn = bare_ack(strict)
        expect_frames(a, b, {"syn": syn}, {"ack": ack})
        assert a.drops("tcp-state") == 1


# ---- Time ----

@pytest.fixture(scope="module")
def hasty(datapath):
    """A node whose timeouts are seconds."""
    lab = Lab(datapath, "[datapath]\nudp_unanswered = 1\nudp_answered = 3\nicmp = 1\ntcp_opening = 1\n"
              "tcp_closing = 1\ntcp_loose = no\n")
    yield lab
    lab.close()


def test_idle_flows_live_as_long_as_configured_and_no_longer(hasty):
    """29, 30, 31: an idle TCP connection goes on when the server pushes; UDP answers come late, but not too late."""
    net = hasty.network("10.0.0.0/24", "fd00:1::/64")
    a, b = hasty.vm(net, [hasty.group()]), hasty.vm(net, [hasty.group("ingress any", "ingress ipv6 any", egress=False)])
    tcp, tcp6 = Flow(a, b, 80), Flow(a, b, 80, version=6)
    answered = Flow(a, b, 53, "udp")
    client, server = a.udp_pair(b, 54)
    client.send(b"question")
    server.settimeout(YES)
    _, peer = server.recvfrom(100)
    time.sleep(2)
    server.sendto(b"too late", peer)
    flows(alive=[tcp, tcp6, answered], only="server")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)
    time.sleep(4)
    flows(alive=[tcp, tcp6], dead=[answered], only="server")
    for s in (client, server):
        s.close()


def test_expired_sessions_leave_the_table(hasty):
    """The table's count goes back by itself; nothing walks it on demand."""
    net = hasty.network()
    a, b = hasty.vm(net, [hasty.group()]), hasty.vm(net, [hasty.group("ingress udp")])
    before = hasty.api.weft("workers")["sessions"]
    added = sum(w["sessions_added"] for w in hasty.api.weft("workers")["workers"])
    a.send(*(frames.udp(a, b, port) for port in range(2000, 2200)))
    # Those that others left may expire meanwhile.
    hasty.wait(lambda: sum(w["sessions_added"] for w in hasty.api.weft("workers")["workers"]) >= added + 200,
               what="200 sessions")
    hasty.wait(lambda: not [s for s in hasty.api.weft("sessions")["sessions"] if s["in_port"] == a.id],
               what="sessions expired")
    assert hasty.api.weft("workers")["sessions"] <= before


def test_sessions_count_packets_and_bytes_of_both_directions(lab):
    a, b, _ = pair(lab, "ingress udp")
    flow = Flow(a, b, 53, "udp")
    for _ in range(10):
        flow.client.send(b"x" * 100)
    flows(alive=[flow])
    s, = [s for s in lab.api.weft("sessions")["sessions"]
          if s["in_port"] == a.id and s["protocol"] == 17 and not s["stale"]]
    assert s["state"] == "established"
    assert s["forward"]["packets"] == 13 and s["reply"]["packets"] == 2
    assert s["forward"]["bytes"] > 10 * 142 > s["reply"]["bytes"] > 0
