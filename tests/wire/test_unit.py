# SPDX-License-Identifier: Apache-2.0
"""weftd with exactly the rights that its systemd unit gives it (confined.py): it does all that it does without limits.

`make wire UNIT=1` runs every wire test so; these are what needs rights, and always run."""
import os
import shutil

import pytest

import frames
from confined import CAPABILITIES, read_unit
from lab import ROOT, Lab
from metadata_server import PORT, MetadataServer
from probe import expect_all
from test_metadata import ask, isolated
from test_uplink import World, probes
from test_vhost_ports import Vm

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's groups of system calls are needed")
UNIT = f"{ROOT}/etc/weftd.service.in"
CONFIG = f"[metadata]\nurl = http://127.0.0.1:{PORT}\n"


@pytest.fixture(scope="module")
def shared_lab(datapath):
    lab = Lab(datapath, CONFIG, physical=["physnet1"], unit=True)
    yield lab
    lab.close()


def status(lab):
    with open(f"/proc/{lab.daemon.pid}/status") as f:
        return dict(line.split(":", 1) for line in f.read().splitlines())


def test_it_runs_with_what_the_unit_says_and_nothing_more(lab):
    of = status(lab)
    given = {w.lower().removeprefix("cap_") for w in read_unit(UNIT)["CapabilityBoundingSet"][0].split()}
    for key in ("CapEff", "CapPrm", "CapBnd"):
        assert int(of[key], 16) == sum(1 << CAPABILITIES.index(c) for c in given), key
    assert of["NoNewPrivs"].strip() == "1" and of["Seccomp"].strip() == "2"
    assert "ermi" not in lab.log_text(), "something was not permitted"


def test_workers_go_before_everything_else_on_their_core(lab):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core, which is for all")
    tasks = f"/proc/{lab.daemon.pid}/task"

    def classes():
        found = {}
        for tid in os.listdir(tasks):
            with open(f"{tasks}/{tid}/comm") as f:
                found[f.read().strip()] = os.sched_getscheduler(int(tid))
        return found
    lab.wait(lambda: classes()["weft-work-0"] == os.SCHED_FIFO, 20, "the worker is in the class of SCHED_FIFO")
    assert classes()["weftd"] == os.SCHED_OTHER


def test_metadata_is_served(lab):
    with MetadataServer(lab):
        vm = isolated(lab)
        assert ask(vm)["headers"]["x-forwarded-for"] == vm.ip
    assert lab.api.weft("metadata")["running"] is True


def test_taps_talk_as_the_rules_say_and_get_addresses(lab):
    net = lab.network("10.0.0.0/24", "fd00::/64", mtu=9000)
    group = lab.group("ingress tcp 80")
    a, b = (lab.vm(net, [group], dhcp=True) for _ in range(2))
    expect_all([(a, b, "tcp 80", True), (a, b, "tcp 81", False)])


@pytest.mark.parametrize("vlan", [None, 101], ids=["flat", "vlan"])
def test_uplinks_carry(lab, vlan):
    expect_all(probes(World(lab, vlan)))


def test_vhost_user_ports_carry(lab):
    net = lab.network()
    a, b = (Vm(lab, net, [lab.group("ingress any")]) for _ in range(2))
    with a.front, b.front:
        a.start()
        b.start()
        frame = bytes(frames.udp(a, b, data=b"hello"))
        a.front.send(frame)
        while (got := b.front.receive(10)) is not None and b"hello" not in got:
            pass
        assert got is not None and got[:12] == frame[:12]


def test_it_starts_again_from_its_state(datapath):
    lab = Lab(datapath, CONFIG, unit=True)
    try:
        vm = lab.vm(lab.network())
        lab.restart()
        lab.wait(lambda: lab.api.get("port", vm.id)["status"] == "ACTIVE", 20, "the port is ACTIVE again")
    finally:
        lab.close()
