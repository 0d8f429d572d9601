# SPDX-License-Identifier: Apache-2.0
"""Port forwardings: single ports of a floating IP lead to VMs."""
import contextlib
import socket

from internet import At, Internet, Tenant, seen_as
from probe import Flow, expect, expect_all, flows
from vm import YES

PHYSICAL = ["physnet1"]


class Shared:
    """A floating IP of nobody's, and VMs whose groups admit everything."""

    def __init__(self, lab, vms=1):
        self.lab, self.net = lab, Internet(lab)
        self.t = Tenant(self.net)
        self.group = lab.group("ingress any")
        self.vms = [self.t.vm([self.group]) for _ in range(vms)]
        self.public = self.net.floating()
        self.ip = self.public.ip
        self.path = f"/v2.0/floatingips/{self.public.fip['id']}/port_forwardings"

    def forward(self, vm, protocol, outer, inner):
        """Ports, or ranges of them ("8000:8010")."""
        kind = "port_range" if isinstance(outer, str) else "port"
        return self.lab.api.request("POST", self.path, {"port_forwarding": {
            "protocol": protocol, "internal_port_id": vm.id, "internal_ip_address": vm.ip, f"external_{kind}": outer,
            f"internal_{kind}": inner}})["port_forwarding"]

    def connects(self, client, vm, outer, inner):
        """Who does the VM say came? None: nobody."""
        with contextlib.closing(vm.listen(inner)) as s:
            s.settimeout(YES)
            try:
                client.connect(self.ip, outer).close()
            except OSError:
                return None
            peer, address = s.accept()
            peer.close()
            return address[0]

    def answers(self, client, vm, outer, inner, settle=None):
        """Does a datagram come to the VM's port, and the answer back from where it was sent to?"""
        with contextlib.closing(vm.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s, \
                contextlib.closing(client.socket(socket.AF_INET, socket.SOCK_DGRAM)) as c:
            s.bind(("", inner))
            s.settimeout(0 if settle else YES)
            c.settimeout(YES)
            c.sendto(b"question", (self.ip, outer))
            if settle:
                settle()
            try:
                data, who = s.recvfrom(100)
                s.sendto(b"answer", who)
                return c.recvfrom(100) == (b"answer", (self.ip, outer))
            except (TimeoutError, BlockingIOError, ConnectionRefusedError):
                return False


def test_ports_lead_to_vms_and_all_others_nowhere(lab):
    s = Shared(lab, 2)
    a, b = s.vms
    s.forward(a, "tcp", 8080, 80)
    s.forward(b, "tcp", 8081, 80)
    s.forward(b, "udp", 8080, 53)
    assert s.connects(s.net.host, a, 8080, 80) == s.net.host.ip
    assert s.connects(s.net.host, b, 8081, 80) == s.net.host.ip
    assert s.connects(s.net.gateway, b, 8081, 80) == s.net.gateway.ip
    assert s.answers(s.net.host, b, 8080, 53)
    expect_all([(s.net.host, At(a, s.ip), p, False) for p in ("tcp 80", "tcp 8081", "udp 8080", "ip 47", "sctp 8080")] +
               [(s.net.host, At(a, s.t.ip), "tcp 80", False), (s.net.host, At(a, s.ip), "icmp", True)])


def test_ranges_lead_to_ranges(lab):
    s = Shared(lab)
    vm = s.vms[0]
    s.forward(vm, "tcp", "8000:8009", "9000:9009")
    s.forward(vm, "udp", "8000:8009", "7000:7009")
    for i in (0, 5, 9):
        assert s.connects(s.net.host, vm, 8000 + i, 9000 + i) == s.net.host.ip
        assert s.answers(s.net.host, vm, 8000 + i, 7000 + i)
    assert not s.answers(s.net.host, vm, 7999, 6999, settle=lab.settle)
    assert not s.answers(s.net.host, vm, 8010, 7010, settle=lab.settle)


def test_groups_judge_the_inner_port(lab):
    s = Shared(lab)
    vm = s.t.vm([lab.group("ingress tcp 80 from 192.0.2.7/32")])
    s.forward(vm, "tcp", 8080, 80)
    s.forward(vm, "tcp", 80, 81)
    assert s.connects(s.net.host, vm, 8080, 80) == s.net.host.ip
    expect_all([(s.net.host, At(vm, s.ip), "tcp 80", False), (s.net.gateway, At(vm, s.ip), "tcp 8080", False),
                (s.net.host, s.net.gateway, "icmp", True)])


def test_what_is_forwarded_is_reached_from_inside_too(lab):
    """By a VM of the same network, by one behind another router, by the VM itself."""
    s = Shared(lab, 2)
    a, b = s.vms
    other = Tenant(s.net, 2)
    c = other.vm()
    s.forward(a, "tcp", 8080, 80)
    s.forward(a, "udp", 8080, 53)
    assert s.connects(b, a, 8080, 80) == s.t.ip
    assert s.connects(c, a, 8080, 80) == other.ip
    assert s.connects(a, a, 8080, 80) == s.t.ip
    assert s.answers(b, a, 8080, 53) and s.answers(c, a, 8080, 53) and s.answers(a, a, 8080, 53)


def test_a_vm_with_a_forwarding_goes_out_by_its_routers_address(lab):
    s = Shared(lab)
    s.forward(s.vms[0], "tcp", 8080, 80)
    assert seen_as(s.vms[0], s.net.host)[0] == s.t.ip
    expect(s.vms[0], s.net.host, yes=["icmp", "udp 53"])


def test_a_forwarding_that_is_changed_or_deleted_cuts_its_flows_and_no_others(lab):
    s = Shared(lab, 2)
    a, b = s.vms
    moved, stays = s.forward(a, "tcp", 8080, 8080), s.forward(a, "tcp", 8081, 8081)
    at = At(a, s.ip)
    with contextlib.closing(Flow(s.net.host, at, 8080)) as cut, contextlib.closing(Flow(s.net.host, at, 8081)) as unhurt:
        lab.api.request("PUT", f"{s.path}/{moved['id']}", {"port_forwarding": {
            "internal_port_id": b.id, "internal_ip_address": b.ip, "internal_port": 80}})
        flows(alive=[unhurt], dead=[cut])
        assert s.connects(s.net.host, b, 8080, 80) == s.net.host.ip
        lab.api.request("DELETE", f"{s.path}/{stays['id']}")
        flows(dead=[unhurt])
    assert s.connects(s.net.host, b, 8080, 80) == s.net.host.ip
    lab.api.request("DELETE", f"{s.path}/{moved['id']}")
    assert not s.net.gateway.ping(s.ip, expect=False)


def test_a_flow_goes_on_while_other_forwardings_change(lab):
    s = Shared(lab)
    vm = s.vms[0]
    s.forward(vm, "tcp", 8080, 8080)
    with contextlib.closing(Flow(s.net.host, At(vm, s.ip), 8080)) as flow:
        other = s.forward(vm, "udp", 53, 53)
        s.forward(vm, "tcp", "9000:9100", "9000:9100")
        lab.api.request("DELETE", f"{s.path}/{other['id']}")
        flows(alive=[flow])
