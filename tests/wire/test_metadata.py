# SPDX-License-Identifier: Apache-2.0
"""169.254.169.254: real curl in VMs, a small metadata server in the node."""
import hashlib
import hmac
import json
import subprocess
import threading
import time

import pytest

from conftest import forget
from lab import BUILD, Lab
from metadata_server import BIG, PORT, MetadataServer
from vm import YES

ADDRESS = "169.254.169.254"
URL = f"http://{ADDRESS}"
CONFIG = f"[metadata]\nurl = http://127.0.0.1:{PORT}\ntimeout = 20\n"
SECRET = "wire-test-secret"


@pytest.fixture(scope="module")
def node(datapath):
    """One node with the service, for all tests that leave weftd alone."""
    lab = Lab(datapath, CONFIG)
    with MetadataServer(lab) as server:
        lab.server = server
        yield lab
    lab.close()


@pytest.fixture
def lab(node):
    node.server.asked.clear()
    yield node
    for router in node.api.list("router"):
        for p in node.api.list("port", device_id=router["id"]):
            node.api.request("PUT", f"/v2.0/routers/{router['id']}/remove_router_interface", {"port_id": p["id"]})
        node.api.delete("router", router["id"])
    forget(node)


def curl(vm, path="/", *args, timeout=30):
    """(exit status of curl, HTTP status, body, seconds)"""
    begin = time.monotonic()
    p = subprocess.run(["ip", "netns", "exec", vm.netns.name, "curl", "-s", "--path-as-is", "--max-time", str(timeout),
                        "-w", "\n%{http_code}", *args, URL + path], capture_output=True)
    body, _, status = p.stdout.rpartition(b"\n")
    return p.returncode, int(status or 0), body, time.monotonic() - begin


def ask(vm, path="/", *args):
    """What the server was asked, as it says; the headers as a dict."""
    code, status, body, _ = curl(vm, path, *args)
    assert (code, status) == (0, 200), (code, status, body)
    asked = json.loads(body)
    asked["headers"] = dict(asked["headers"])
    return asked


def router(lab, *nets):
    r = lab.api.create("router", name="r")
    for net in nets:
        lab.api.request("PUT", f"/v2.0/routers/{r['id']}/add_router_interface", {"subnet_id": net["v4"]["id"]})
    return r


def isolated(lab, cidr="10.0.0.0/24", groups=None, **attrs):
    """A VM whose network has no router; the way there as DHCP gives it."""
    net = lab.network(cidr)
    vm = lab.vm(net, groups, **attrs)
    vm.netns.ip("route", "add", ADDRESS, "dev", "eth0")
    return vm


def routed(lab, cidr="10.0.0.0/24", groups=None, mtu=1500, **attrs):
    net = lab.network(cidr, mtu=mtu)
    r = router(lab, net)
    vm = lab.vm(net, groups, **attrs)
    vm.netns.ip("route", "add", "default", "via", net["v4"]["gateway_ip"])
    return vm, r


# ---- Who asks ----

def test_a_vm_on_a_routed_network_is_asked_for_by_its_router(lab):
    vm, r = routed(lab)
    asked = ask(vm, "/latest/meta-data/?a=%2f&b")
    assert asked["path"] == "/latest/meta-data/?a=%2f&b" and asked["method"] == "GET"
    assert asked["headers"]["x-forwarded-for"] == vm.ip
    assert asked["headers"]["x-neutron-router-id"] == r["id"]
    assert "x-neutron-network-id" not in asked["headers"]


def test_a_vm_on_an_isolated_network_is_asked_for_by_its_network(lab):
    vm = isolated(lab)
    asked = ask(vm)
    assert asked["headers"]["x-forwarded-for"] == vm.ip
    assert asked["headers"]["x-neutron-network-id"] == vm.net["id"]
    assert "x-neutron-router-id" not in asked["headers"]


def test_tenants_with_the_same_address_get_their_own_answers(lab):
    vms = [isolated(lab, fixed_ips=[{"ip_address": "10.0.0.7"}]) for _ in range(3)]
    assert len({vm.ip for vm in vms}) == 1
    for vm in vms * 2:
        asked = ask(vm)
        assert asked["headers"]["x-neutron-network-id"] == vm.net["id"]
        assert asked["headers"]["x-forwarded-for"] == "10.0.0.7"


def test_a_port_that_comes_to_another_instance_asks_in_its_name(datapath, tmp_path):
    """The signature is what Neutron's agent makes; device and project are followed when they change."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    lab = Lab(datapath, CONFIG + f"shared_secret_file = {secret}\n")
    try:
        with MetadataServer(lab):
            vm = isolated(lab, device_id="instance-1")
            for instance in ("instance-1", "instance-2"):
                vm.update(device_id=instance)
                h = ask(vm, "/", "-H", "X-Instance-ID: other", "-H", "X-Tenant-ID: other")["headers"]
                assert h["x-instance-id"] == instance
                assert h["x-tenant-id"] == vm.port["project_id"]
                assert h["x-instance-id-signature"] == hmac.new(SECRET.encode(), instance.encode(),
                                                                hashlib.sha256).hexdigest()
                assert h["x-forwarded-for"] == vm.ip
                assert not [k for k in h if "neutron" in k]
            vm.update(device_id="")
            assert curl(vm)[1] == 404
            assert lab.api.weft("metadata")["signed"] is True
    finally:
        lab.close()


def test_what_a_vm_says_of_itself_is_removed(lab):
    vm = isolated(lab)
    forged = ["X-Forwarded-For: 10.9.9.9", "X-Neutron-Network-ID: other", "X-Neutron-Router-ID: other",
              "X-Instance-ID: other", "X-Tenant-ID: other", "X-Instance-ID-Signature: other", "X_Forwarded_For: 10.9.9.9",
              "X-Kept: yes"]
    asked = ask(vm, "/", *[a for h in forged for a in ("-H", h)])
    assert asked["headers"].pop("x-neutron-network-id") == vm.net["id"]
    assert asked["headers"].pop("x-forwarded-for") == vm.ip
    assert asked["headers"].pop("x-kept") == "yes"
    assert "other" not in asked["headers"].values() and "10.9.9.9" not in asked["headers"].values()


# ---- What is carried ----

def test_methods_bodies_and_refusals_are_carried(lab):
    vm = isolated(lab)
    assert ask(vm, "/password", "-d", "secret")["body"] == "secret"
    assert ask(vm, "/token", "-X", "PUT")["method"] == "PUT"
    assert curl(vm, "/missing")[:2] == (0, 404)
    code, status, body, _ = curl(vm, "/x", "-I")
    assert (code, status) == (0, 200) and b"X-Server: metadata" in body


@pytest.mark.parametrize("mtu", [1500, 1300])
def test_large_answers_arrive_whole(lab, mtu):
    vm, _ = routed(lab, mtu=mtu)
    vm.netns.ip("link", "set", "eth0", "mtu", mtu)
    code, status, body, _ = curl(vm, "/big")
    assert (code, status) == (0, 200) and hashlib.sha256(body).digest() == hashlib.sha256(BIG).digest()


def test_many_vms_ask_at_once(lab):
    vms = [isolated(lab) for _ in range(4)]
    wrong = []

    def one(vm):
        for _ in range(8):
            got = ask(vm)["headers"]["x-neutron-network-id"]
            if got != vm.net["id"]:
                wrong.append(got)

    threads = [threading.Thread(target=one, args=(vm,)) for vm in vms for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and len(lab.server.asked) == 4 * 3 * 8


# ---- The way there ----

def test_dhcp_gives_the_way_where_no_router_is(lab):
    for gateway in ({}, {"gateway_ip": None}):
        net = lab.network(None)
        net["v4"] = lab.api.create("subnet", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", **gateway)
        vm = lab.vm(net, dhcp=True)
        routes = vm.lease()["staticroutes"]
        assert f"{ADDRESS}/32 0.0.0.0" in routes
        # RFC 3442: who takes these routes ignores the router option.
        assert ("0.0.0.0/0 10.0.0.1" in routes) == (not gateway)
        vm.netns.ip("route", "add", ADDRESS, "dev", "eth0")
        assert ask(vm)["headers"]["x-neutron-network-id"] == net["id"]
    net = lab.network()
    router(lab, net)
    vm = lab.vm(net, dhcp=True)
    assert ADDRESS not in vm.lease().get("staticroutes", "")


def test_a_router_that_comes_and_goes_changes_nothing_for_the_vm(lab):
    net = lab.network()
    vm = lab.vm(net)
    vm.netns.ip("route", "add", ADDRESS, "dev", "eth0")
    assert "x-neutron-network-id" in ask(vm)["headers"]
    r = router(lab, net)
    assert ask(vm)["headers"]["x-neutron-router-id"] == r["id"]
    lab.api.request("PUT", f"/v2.0/routers/{r['id']}/remove_router_interface", {"subnet_id": net["v4"]["id"]})
    assert "x-neutron-network-id" in ask(vm)["headers"]


def test_a_pair_for_the_address_takes_it_from_nobody(lab):
    """Who has it may be another tenant of the network, and need not even use it."""
    vm = isolated(lab)
    own = lab.vm(vm.net, [lab.group("ingress tcp 80")], allowed_address_pairs=[{"ip_address": ADDRESS}])
    assert ask(vm)
    own.netns.ip("addr", "add", f"{ADDRESS}/32", "dev", "eth0")
    vm.netns.ip("neigh", "flush", "dev", "eth0")
    with own.listen(80):
        assert ask(vm)


def test_nothing_else_is_reached_there(lab):
    vm = isolated(lab)
    assert ask(vm)
    for port in (22, 8775, 9696):
        code, _, _, _ = curl(vm, "", "--connect-to", f"::{ADDRESS}:{port}", timeout=1)
        assert code in (7, 28)
    assert not vm.ping(ADDRESS, expect=False)


# ---- Rules ----

def test_egress_rules_hold_and_cut_what_is_under_way(lab):
    group = lab.group(egress=False)
    vm = isolated(lab, groups=[group])
    with pytest.raises(TimeoutError):
        vm.connect_or_settle(ADDRESS, 80)
    rule = lab.rule(group, f"egress tcp 80 to {ADDRESS}/32")
    assert ask(vm)
    with vm.connect(ADDRESS, 80) as s:
        s.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n")
        lab.api.delete("security_group_rule", rule["id"])
        before = len(lab.server.asked)
        s.sendall(b"\r\n")
        s.settimeout(0.5)
        with pytest.raises(TimeoutError):
            s.recv(1)
        assert len(lab.server.asked) == before
    with pytest.raises(TimeoutError):
        vm.connect_or_settle(ADDRESS, 80)


def test_stateless_groups_need_a_rule_for_the_answers(lab):
    group = lab.group(stateful=False)
    vm = isolated(lab, groups=[group])
    with pytest.raises(TimeoutError):
        vm.connect_or_settle(ADDRESS, 80)
    lab.rule(group, f"ingress tcp from {ADDRESS}/32")
    assert ask(vm)


# ---- Those who take their time ----

class Slow:
    """VMs that begin requests and do not end them: each sends a byte now and then, on as many connections as it may have."""

    def __init__(self, vms, each=32):
        self._stop = threading.Event()
        self._sockets = [vm.connect(ADDRESS, 80) for vm in vms for _ in range(each)]
        for s in self._sockets:
            s.setblocking(False)
        self._thread = threading.Thread(target=self._run)

    def _say(self, data):
        for s in self._sockets:
            try:
                s.send(data)
            except OSError:
                pass  # it was ended

    def _run(self):
        self._say(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        while not self._stop.wait(0.5):
            self._say(b"x")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for s in self._sockets:
            s.close()


def test_vms_that_are_slow_together_keep_nobody_out(datapath):
    """Twenty VMs want 640 connections; there are 512."""
    lab = Lab(datapath, CONFIG)
    try:
        with MetadataServer(lab):
            net = lab.network()
            vms = [lab.vm(net) for _ in range(21)]
            for vm in vms:
                vm.netns.ip("route", "add", ADDRESS, "dev", "eth0")
            counts = lambda: {c["what"]: c["count"] for c in lab.api.weft("metadata")["counts"]}
            with Slow(vms[:20]):
                # All places are taken when somebody else's had to be.
                lab.wait(lambda: counts()["gave-way"] > 0, what="all places taken")
                for _ in range(3):
                    code, status, _, took = curl(vms[20])
                    assert (code, status) == (0, 200) and took < 20
                lab.wait(lambda: counts()["too-slow"] >= 400, what="the slow ones' end")
            assert "too-slow" in lab.weft("show", "metadata")
    finally:
        lab.close()


# ---- When it fails ----

def test_a_server_that_is_away_or_slow_is_told(datapath):
    lab = Lab(datapath, CONFIG.replace("timeout = 20", "timeout = 3"))
    try:
        vm = isolated(lab)
        code, status, body, _ = curl(vm)
        assert (code, status) == (0, 502) and b"cannot be reached" in body
        with MetadataServer(lab, slow=12):
            assert ask(vm)
            code, status, body, took = curl(vm, "/slow")
            assert (code, status) == (0, 504) and 2.5 < took
        counts = {c["what"]: c["count"] for c in lab.api.weft("metadata")["counts"]}
        assert counts["unreachable"] == 1 and counts["timeout"] == 1 and counts["answered"] == 1
        out = lab.weft("show", "metadata")
        assert "running" in out and "502" in out
        assert 'weft_metadata_total{what="timeout"} 1' in lab.api.request("GET", "/metrics")
    finally:
        lab.close()


def test_stopping_does_not_wait_for_requests_under_way(datapath):
    lab = Lab(datapath, CONFIG.replace("timeout = 20", "timeout = 60"))
    try:
        with MetadataServer(lab, slow=50) as server:
            vm = isolated(lab)
            t = threading.Thread(target=curl, args=(vm, "/slow"))
            t.start()
            lab.wait(lambda: server.asked, what="the request at the server")
            begin = time.monotonic()
            assert lab.stop() == 0
            assert time.monotonic() - begin < 40
            t.join()
            lab.start()
            vm.wait_status("ACTIVE")
            assert ask(vm)
    finally:
        lab.close()


def test_it_is_there_again_after_a_kill(datapath):
    import signal

    lab = Lab(datapath, CONFIG)
    try:
        with MetadataServer(lab):
            vm = isolated(lab)
            assert ask(vm)
            lab.restart(signal.SIGKILL)
            vm.wait_status("ACTIVE")
            assert ask(vm)["headers"]["x-neutron-network-id"] == vm.net["id"]
    finally:
        lab.close()


def test_not_configured_it_is_refused_at_once(datapath):
    lab = Lab(datapath)
    try:
        vms = [routed(lab)[0], isolated(lab)]
        for vm in vms:
            code, _, _, _ = curl(vm)
            assert code == 7
        assert lab.api.drops()["metadata-off"] >= 2
        assert lab.api.weft("metadata")["configured"] is False
        assert "not set" in lab.weft("show", "metadata")
        vm = lab.vm(lab.network("10.3.0.0/24"), dhcp=True)
        assert ADDRESS not in vm.lease().get("staticroutes", "")
    finally:
        lab.close()


def test_the_trace_shows_the_way(lab):
    vm = isolated(lab)
    out = lab.weft("trace", vm.id, f"tcp > {ADDRESS}:80 syn")
    assert "metadata" in out and "forward" in out


def test_without_the_right_to_make_a_namespace_the_rest_works(datapath):
    lab = Lab(datapath, CONFIG)
    try:
        lab.stop()
        log = open(f"{lab.dir}/weftd.log", "ab")
        lab.log = log
        lab.daemon = lab.node.popen("setpriv", "--bounding-set=-sys_admin", f"{BUILD}/weftd", "-c", f"{lab.dir}/weftd.conf",
                                    stdout=log, stderr=log)
        lab.weft("wait-ready", "--timeout", "30")
        shown = lab.api.weft("metadata")
        assert shown["configured"] is True and shown["running"] is False and "CAP_SYS_ADMIN" in shown["reason"]
        assert "CAP_SYS_ADMIN" in lab.log_text()
        code, _, _, _ = curl(isolated(lab))
        assert code == 7
    finally:
        lab.close()
