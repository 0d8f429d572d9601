# SPDX-License-Identifier: Apache-2.0
"""Virtual machines with several queues: their packets are received by several workers, and everything holds as with one."""
import signal

import pytest

import guest
from test_vhostuser import Site, transfer

WORKERS = 2
MANY = 100


@pytest.fixture(scope="module")
def site(datapath):
    if datapath != "native":
        pytest.skip(f"{datapath} has no vhost-user ports")
    try:
        guest.require()
    except guest.Unavailable as e:
        pytest.skip(f"no virtual machines here: {e}")
    site = Site(f"[datapath]\nworkers = {WORKERS}\n")
    try:
        site.a, site.b, site.c = site.guest(queues=2), site.guest(queues=2), site.guest()
        site.ready()
        yield site
    finally:
        site.close()


def wait_workers(site, g, n):
    site.lab.wait(lambda: len(g.show()["workers"]) == n, what=f"{n} workers that receive from {g.id}")
    return g.show()["workers"]


def ping_from(g, cpu, ip, count=3, interval=0.2, wait=3):
    """From one of the guest's processors, so by its queue."""
    out = g.run(f"taskset {1 << cpu} ping -c {count} -i {interval} -W {wait} {ip}", check=False)
    return int(out.split(" packets received")[0].split()[-1])


def received(site):
    return {w["worker"]: w["packets"] for w in site.lab.api.weft("workers")["workers"]}


def test_a_port_with_two_queues_has_two_workers(site):
    for g in (site.a, site.b):
        assert sorted(wait_workers(site, g, 2)) == [0, 1]
        assert g.show()["guest"]["queues"] == 2
    assert len(site.c.show()["workers"]) == 1
    text = site.lab.weft("show", "port", site.a.id)
    line = next(line for line in text.splitlines() if line.startswith("workers "))
    assert sorted(line.split()[1:]) == ["0", "1"]
    workers = site.lab.api.weft("workers")["workers"]
    assert [w["shared_ports"] for w in workers] == [2, 2]
    assert sum(w["ports"] for w in workers) == 5
    assert "SHARED" in site.lab.weft("show", "workers")


def test_each_queue_is_its_workers(site):
    shut = site.lab.group()
    site.lab.api.update("port", site.c.id, security_groups=[shut["id"]])  # so that nothing comes back
    try:
        workers = wait_workers(site, site.a, 2)
        for cpu in (0, 1):
            before = received(site)
            assert ping_from(site.a, cpu, site.c.ip, MANY, 0.01, 1) == 0
            after = received(site)
            grown = {w: after[w] - before[w] for w in before}
            assert grown[workers[cpu]] >= MANY and grown[workers[1 - cpu]] < MANY / 2, (cpu, workers, grown)
    finally:
        site.lab.api.update("port", site.c.id, security_groups=[site.group["id"]])


@pytest.mark.parametrize("way", ["ab", "ba", "ac", "ca"])
def test_traffic_goes_both_ways(site, way):
    sender, receiver = (getattr(site, x) for x in way)
    for cpu in range(sender.queues):
        assert ping_from(sender, cpu, receiver.ip) == 3
        assert ping_from(sender, cpu, receiver.ip6) == 3
    assert sender.ping(receiver.ip, size=6000) == 3  # fragments
    assert transfer(sender, receiver, receiver.ip, 8) > 3000
    assert transfer(sender, receiver, receiver.ip6, 4) > 2000


def test_rule_gone_cuts_what_comes_by_any_queue(site):
    group = site.lab.group()
    site.lab.api.update("port", site.b.id, security_groups=[group["id"]])
    try:
        for _ in range(2):
            assert [ping_from(site.a, cpu, site.b.ip) for cpu in (0, 1)] == [0, 0]
            rule = site.lab.rule(group, "ingress icmp")
            assert [ping_from(site.a, cpu, site.b.ip) for cpu in (0, 1)] == [3, 3]
            site.lab.api.delete("security_group_rule", rule["id"])
    finally:
        site.lab.api.update("port", site.b.id, security_groups=[site.group["id"]])


def test_driver_changes_its_number_of_queues(site):
    for _ in range(2):
        site.a.run("ethtool -L eth0 combined 1")
        first = wait_workers(site, site.a, 1)
        assert site.a.show()["guest"]["queues"] == 1
        assert [ping_from(site.a, cpu, site.b.ip) for cpu in (0, 1)] == [3, 3]
        assert transfer(site.a, site.b, site.b.ip, 4) > 2000
        site.a.run("ethtool -L eth0 combined 2")
        assert wait_workers(site, site.a, 2)[0] == first[0]
        # Linux gives a queue its buffers only after it has been turned on.
        site.lab.wait(lambda: ping_from(site.b, 0, site.a.ip) + ping_from(site.b, 1, site.a.ip) == 6, what="buffers")
        assert [ping_from(site.a, cpu, site.b.ip) for cpu in (0, 1)] == [3, 3]
        assert transfer(site.b, site.a, site.a.ip, 4) > 2000


def test_queues_come_back_with_weftd_and_with_qemu(site):
    site.lab.restart(signal.SIGKILL)
    for g in site.guests:
        g.wait_status("ACTIVE")
    wait_workers(site, site.a, 2)
    assert [ping_from(site.a, cpu, site.b.ip) for cpu in (0, 1)] == [3, 3]
    site.b.kill()
    site.b.wait_status("DOWN")
    wait_workers(site, site.b, 1)
    site.b.start()
    site.b.wait_status("ACTIVE")
    site.b.configure()
    wait_workers(site, site.b, 2)
    assert [ping_from(site.b, cpu, site.a.ip) for cpu in (0, 1)] == [3, 3]
    assert transfer(site.b, site.a, site.a.ip, 4) > 2000
