# SPDX-License-Identifier: Apache-2.0
"""What the package's removal does: interfaces that weftd took are the host's again."""

from lab import ROOT


def test_interfaces_are_the_hosts_again_and_others_are_left_alone(own_lab):
    lab = own_lab
    vm = lab.vm(lab.network("10.0.0.0/24"), [lab.group("ingress any")])
    tap = f"tap{vm.id[:11]}"
    lab.node.ip("link", "add", "other", "type", "veth", "peer", "name", "end")
    lab.node.run("tc", "qdisc", "add", "dev", "other", "clsact")
    lab.stop()
    lab.node.ip("addr", "add", "10.0.0.254/24", "dev", tap)
    lab.node.ip("link", "set", tap, "up")
    # Nobody is left to send a marker; that the way is there is seen below.
    assert "100% packet loss" in vm.netns.run("ping", "-c", "1", "-W", "1", "10.0.0.254", check=False)

    out = lab.node.run(f"{ROOT}/etc/release-interfaces.sh")
    assert out.split("\n")[0] == f"{tap} is the host's again" and "other" not in out
    assert "clsact" not in lab.node.run("tc", "qdisc", "show", "dev", tap)
    assert "clsact" in lab.node.run("tc", "qdisc", "show", "dev", "other")
    lab.wait(lambda: vm.ping("10.0.0.254"), 20, "the host answers on its interface")
    assert lab.node.run("cat", f"/proc/sys/net/ipv6/conf/{tap}/disable_ipv6").strip() == "0"
