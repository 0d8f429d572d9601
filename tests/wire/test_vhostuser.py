# SPDX-License-Identifier: Apache-2.0
"""vhost-user ports with real virtual machines: QEMU, a Linux driver, and nothing between it and weftd but shared memory."""
import json
import os
import re
import signal
import stat
import subprocess

import pytest

import guest
from guest import Guest, guest_port
from lab import Lab

MEGABYTES = 16


@pytest.fixture(scope="module", autouse=True)
def possible(datapath):
    if datapath != "native":
        pytest.skip(f"{datapath} has no vhost-user ports")
    try:
        guest.require()
    except guest.Unavailable as e:
        pytest.skip(f"no virtual machines here: {e}")


class Site:
    """A lab and its guests, all of one network."""

    def __init__(self, config=""):
        self.lab = Lab("native", config)
        self.guests = []
        self.net = self.lab.network("10.0.0.0/24", "fd00:1::/64")
        self.group = self.lab.group("ingress any", "ingress ipv6 any")

    def guest(self, kind="vhostuser", groups=None, **how):
        port = guest_port(self.lab, self.net, [self.group] if groups is None else groups, kind)
        g = Guest(self.lab, self.net, port, kind, **how)
        self.guests.append(g)
        g.start(wait=False)
        return g

    def ready(self):
        for g in self.guests:
            g.wait_booted()
            g.wait_status("ACTIVE")
            g.configure()

    def close(self):
        for g in self.guests:
            g.kill()
        self.lab.close()


@pytest.fixture(scope="module")
def site(possible):
    """Two guests on vhost-user, one on a tap."""
    site = Site()
    try:
        site.a, site.b, site.c = site.guest(), site.guest(), site.guest("tap")
        site.ready()
        yield site
    finally:
        site.close()


def counters(g):
    return g.show()["counters"]


def transfer(sender, receiver, ip, megabytes=MEGABYTES):
    """Send so much over TCP; what came must be what was sent. The mean length of the packets that the sender made."""
    receiver.run(f"rm -f /tmp/came; nc -{6 if ':' in ip else 4} -d -l 5000 > /tmp/came & echo $! > /tmp/pid")
    sender.run(f"[ -s /tmp/data{megabytes} ] || dd if=/dev/urandom of=/tmp/data{megabytes} bs=1M count={megabytes}")
    before = counters(sender)
    sender.run(f"for i in 1 2 3 4 5; do nc -N {ip} 5000 < /tmp/data{megabytes} && break; sleep 0.2; done", timeout=60)
    receiver.run("for i in $(seq 50); do kill -0 $(cat /tmp/pid) 2>/dev/null || break; sleep 0.1; done")
    after = counters(sender)
    sent = sender.run(f"md5sum < /tmp/data{megabytes}").split()[0]
    assert receiver.run("md5sum < /tmp/came").split()[0] == sent
    return ((after["from_vm_bytes"] - before["from_vm_bytes"]) /
            (after["from_vm_packets"] - before["from_vm_packets"]))


def test_port_tells_what_its_guest_is(site):
    shown = site.a.show()
    assert shown["kind"] == "vhostuser"
    assert shown["guest"]["queues"] == 1
    assert {"mrg_rxbuf", "guest_tso4", "host_tso4", "indirect_desc", "event_idx"} <= set(shown["guest"]["features"])
    assert site.c.show()["kind"] == "tap"
    mode = os.stat(site.a.socket_path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    details = site.lab.api.get("port", site.a.id)["binding:vif_details"]
    assert details["vhostuser_socket"] == site.a.socket_path
    assert details["vhostuser_mode"] == "client"
    text = site.lab.weft("show", "port", site.a.id)
    assert "vhostuser" in text and "guest_tso4" in text


def test_guests_have_their_leases_and_reach_each_other(site):
    for g in site.guests:
        assert g.ip in g.run("ip -4 addr show eth0")
    for x, y in ((site.a, site.b), (site.b, site.c), (site.c, site.a)):
        assert x.ping(y.ip) == 3
        assert x.ping(y.ip6) == 3
        assert x.ping(y.ip, size=1472) == 3
        assert x.ping(y.ip, size=6000) == 3  # fragments


@pytest.mark.parametrize("way", ["ab", "ac", "ca"])
def test_tcp_segments_travel_whole_and_unchanged(site, way):
    sender, receiver = (getattr(site, x) for x in way)
    assert transfer(sender, receiver, receiver.ip) > 5000
    assert transfer(sender, receiver, receiver.ip6, 4) > 3000


def test_group_permits_and_its_rule_gone_cuts(site):
    group = site.lab.group("ingress icmp")
    web = site.lab.rule(group, "ingress tcp 80")
    site.lab.api.update("port", site.b.id, security_groups=[group["id"]])
    try:
        site.b.run("(while true; do echo hello | nc -N -l 80; done) & echo $! > /tmp/web")
        ask = f"timeout 2 nc -d {site.b.ip} 80"
        assert "hello" in site.a.run(f"for i in 1 2 3; do {ask} && break; sleep 0.2; done")
        assert "no" in site.a.run(f"timeout 1 nc -d {site.b.ip} 81 || echo no")
        site.lab.api.delete("security_group_rule", web["id"])
        assert "hello" not in site.a.run(ask, check=False)
        assert site.a.ping(site.b.ip) == 3
    finally:
        site.b.run("kill $(cat /tmp/web); killall nc", check=False)
        site.lab.api.update("port", site.b.id, security_groups=[site.group["id"]])
    assert site.a.ping(site.b.ip) == 3


def test_port_taken_down_keeps_its_connection(site):
    site.lab.api.update("port", site.b.id, admin_state_up=False)
    assert site.b.status() == "DOWN"
    assert site.a.ping(site.b.ip, count=2) == 0
    site.lab.api.update("port", site.b.id, admin_state_up=True)
    site.b.wait_status("ACTIVE")
    assert site.a.ping(site.b.ip) == 3
    assert site.b.show()["guest"]["drivers"] == 1


def test_guest_reboots(site):
    site.b.reboot()
    site.b.wait_status("ACTIVE")
    site.b.configure()
    assert site.b.show()["guest"]["drivers"] > 1
    assert site.a.ping(site.b.ip) == 3
    assert site.b.ping(site.c.ip) == 3


def test_qemu_is_killed_and_started_again(site):
    site.b.kill()
    site.b.wait_status("DOWN")
    assert "no VM's driver" in site.lab.weft("show", "port", site.b.id)
    assert site.a.ping(site.c.ip) == 3
    site.b.start()
    site.b.wait_status("ACTIVE")
    site.b.configure()
    assert site.a.ping(site.b.ip) == 3


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_weftd_restarts_under_traffic(site, sig):
    site.c.run("iperf3 -s -1 -D")
    site.b.run("iperf3 -s -1 -D")
    site.a.begin(f"iperf3 -c {site.b.ip} -t 300 -J")
    received = lambda: site.b.show()["counters"]["to_vm_bytes"]
    site.lab.wait(lambda: received() > 1 << 20, what="the transfer")
    site.lab.restart(sig)  # counters begin anew
    for g in (site.a, site.b):
        g.wait_status("ACTIVE")
    # The connection lives on, for iperf3 makes no other; after a pause TCP may wait as long again.
    site.lab.wait(lambda: received() > 1 << 20, what="the transfer to go on")
    site.b.run("killall iperf3")
    _, out = site.a.end(40)
    assert len(json.loads(out)["start"]["connected"]) == 1
    assert site.a.ping(site.b.ip) == 3
    site.c.run("killall iperf3", check=False)


def test_guest_migrates_to_another_qemu_and_goes_on(possible):
    """With a packed ring, on a VLAN outside; its driver leaves it to QEMU to say where it is now."""
    lab = Lab("native", physical=["physnet1"])
    g = client = None
    try:
        net = lab.provider(vlan=101)
        g = Guest(lab, net, guest_port(lab, net, [lab.group("ingress any")]), device=",packed=on,guest_announce=off")
        g.start()
        g.wait_status("ACTIVE")
        g.configure()
        host = lab.outside().host("203.0.113.200/24", vlan=101)
        g.run("dd if=/dev/urandom of=/tmp/data bs=1M count=8; md5sum /tmp/data > /tmp/sum")
        client = host.netns.popen("ping", "-i", "0.02", "-W", "1", g.ip, stdout=subprocess.PIPE, text=True)
        g.ping(host.ip)
        g.migrate()
        g.wait_status("ACTIVE")
        assert g.ping(host.ip) == 3
        assert g.run("md5sum -c /tmp/sum").endswith("OK\n")
        shown = g.show()["guest"]
        assert "packed" in shown["features"] and "log_all" not in shown["features"]
        assert shown["drivers"] == 2
        lab.wait(lambda: g.show()["guest"]["announced"] > 0, what="QEMU asks for an announcement")
        assert g.show()["guest"]["announce_refused"] == 0
        client.send_signal(signal.SIGINT)
        out, _ = client.communicate(timeout=10)
        sent, came = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", out).groups())
        assert came > sent / 2
    finally:
        for process in (client, g):
            if process is not None:
                process.kill()
        lab.close()


def test_port_deleted_takes_its_socket_with_it(site):
    extra = guest_port(site.lab, site.net, [site.group])
    path = f"{site.lab.dir}/run/vhu{extra['id'][:11]}"
    site.lab.wait(lambda: os.path.exists(path), what="the socket")
    site.lab.api.delete("port", extra["id"])
    assert not os.path.exists(path)
    assert site.a.ping(site.b.ip) == 3


def test_drivers_with_other_features():
    """QEMU makes the sockets here; a packed ring, a plain one, and a driver that can nothing; two queues, two workers."""
    site = Site("[datapath]\nvhostuser_mode = server\nworkers = 2\n")
    try:
        a = site.guest(server=True, queues=2, device=",packed=on")
        b = site.guest(server=True, device=",mrg_rxbuf=off,indirect_desc=off,event_idx=off")
        c = site.guest(server=True, device=",mrg_rxbuf=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off")
        site.ready()
        shown = a.show()["guest"]
        assert shown["vhostuser_mode"] == "server"
        assert shown["queues"] == 2
        assert "packed" in shown["features"]
        assert "packed" not in b.show()["guest"]["features"]
        for x, y in ((a, b), (b, c), (c, a)):
            assert x.ping(y.ip) == 3
            assert x.ping(y.ip, size=1472) == 3
            assert transfer(x, y, y.ip, 8) > 3000
            assert transfer(x, y, y.ip6, 4) > 2000
        cut = [g.show()["interface_counters"]["tx_segmented"] for g in site.guests]
        assert cut[:2] == [0, 0] and cut[2] > 0

        site.lab.restart(signal.SIGKILL)
        for g in site.guests:
            g.wait_status("ACTIVE")
        for x, y in ((a, b), (b, c), (c, a)):
            assert x.ping(y.ip) == 3
    finally:
        site.close()
