# SPDX-License-Identifier: Apache-2.0
"""Weft, in the ways of the table."""
import signal
import subprocess
import sys

from switches import CORE, IP_A, IP_B, MAC_A, MAC_B, PORTS, WIRE, Switch, way

sys.path.insert(0, WIRE)
from lab import HOST, Lab  # noqa: E402



class Weft(Switch):
    """weftd as installed, with room for the flows of the largest point."""
    name, secured = "weft, groups", True
    CONFIG = {"sessions": 4194304, "port_share": 50}

    def start(self):
        keys = {"vif": "vhostuser", "cores": CORE, **self.CONFIG}
        self.lab = Lab(config="[datapath]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))
        self.procs = [self.lab.daemon]
        self.objects()

    def port(self, net, mac, ip):
        attrs = {"port_security_enabled": False} if not self.secured else {"security_groups": [self.group()["id"]]}
        return self.lab.api.create("port", network_id=net["id"], mac_address=mac, fixed_ips=[{"ip_address": ip}],
                                   **{"binding:host_id": HOST, **attrs})

    def group(self):
        return self.lab.group(f"ingress tcp {PORTS[0]}-{PORTS[1]}", f"ingress udp {PORTS[0]}-{PORTS[1]}", "ingress icmp")

    def sockets(self, a, b):
        self.port_a, self.port_b = a, b
        self.a, self.b = (f"{self.lab.dir}/run/vhu{p['id'][:11]}" for p in (a, b))
        self.wait_sockets()

    def objects(self):
        net = self.lab.network("10.1.0.0/24")
        self.sockets(self.port(net, MAC_A, IP_A), self.port(net, MAC_B, IP_B))

    def ready(self):
        for p in (self.port_a, self.port_b):
            self.lab.wait(lambda p=p: self.lab.api.get("port", p["id"])["status"] == "ACTIVE", 10, "port not ACTIVE")

    def cycles(self):
        w = self.lab.api.weft("workers")["workers"]
        return sum(x["cycles_per_packet"] * x["packets"] for x in w), sum(x["packets"] for x in w)

    def sessions(self):
        return self.lab.api.weft("workers")["sessions"]

    def reserved(self):
        w = self.lab.api.weft("workers")
        return {"reserved_each": w["session_memory_ipv4"] / w["session_capacity"],
                "reserved_both": w["session_memory"] / w["session_capacity"]}

    def log(self):
        return self.lab.log_text()

    def close(self):
        self.procs = []
        try:
            if hasattr(self, "lab"):
                self.close_lab()
        finally:
            super().close()

    def close_lab(self):
        if self.lab.daemon.poll() is None:
            self.lab.daemon.send_signal(signal.SIGCONT)
        try:
            self.lab.close()
        except subprocess.TimeoutExpired:
            self.lab.daemon.kill()
            self.lab.daemon.wait()
            self.lab.close()


class WeftBusy(Weft):
    name = "weft, groups, poll = busy"
    CONFIG = {**Weft.CONFIG, "poll": "busy"}


class WeftDefault(Weft):
    """The default table, of which one port may have a quarter."""
    name = "weft, groups, default table"
    SHARE = 1048576 // 4
    CONFIG = {"sessions": 1048576, "port_share": 25}


class WeftMillion(Weft):
    """A table of a million connections that one port may fill. Without huge pages memory is taken as it is touched; with them all of
    the table is taken at the start, and nothing would grow."""
    name = "weft, groups, no huge pages"
    CONFIG = {"sessions": 1048576, "port_share": 100, "hugepages": "off"}


class WeftOpen(Weft):
    name, secured = "weft, no groups", False


class WeftRouted(Weft):
    """A and B on two networks of one router."""
    name = "weft, groups + routing"
    NETS = ("10.1.0.0/24", "10.2.0.0/24")
    IPS = ("10.1.0.10", "10.2.0.10")

    def objects(self):
        nets = [self.lab.network(cidr) for cidr in self.NETS]
        self.router = self.lab.api.create("router", name="r")
        for n in nets:
            self.lab.api.request("PUT", f"/v2.0/routers/{self.router['id']}/add_router_interface",
                                 {"subnet_id": n["v4"]["id"]})
        gw = [self.gateway(n) for n in nets]
        self.sockets(self.port(nets[0], MAC_A, self.IPS[0]), self.port(nets[1], MAC_B, self.IPS[1]))
        self.ab = way((gw[0], MAC_A), self.IPS[0], self.IPS[1], (MAC_B, gw[1]), hops=1)
        self.ba = way((gw[1], MAC_B), self.IPS[1], self.IPS[0], (MAC_A, gw[0]), hops=1)

    def gateway(self, net):
        ports = self.lab.api.list("port", network_id=net["id"], device_owner="network:router_interface")
        return ports[0]["mac_address"]


class WeftNat(WeftRouted):
    """A speaks to B's floating IP and is seen by its own: both translations at once."""
    name = "weft, groups + floating IPs"

    def objects(self):
        super().objects()
        api = self.lab.api
        ext = api.create("network", name="ext", **{"router:external": True})
        api.create("subnet", network_id=ext["id"], ip_version=4, cidr="192.0.2.0/24", enable_dhcp=False)
        api.update("router", self.router["id"], external_gateway_info={"network_id": ext["id"]})
        fip = [api.request("POST", "/v2.0/floatingips", {"floatingip": {"floating_network_id": ext["id"], "port_id": p["id"]}})
               ["floatingip"]["floating_ip_address"] for p in (self.port_a, self.port_b)]
        ab, ba = self.ab, self.ba
        self.ab = {**ab, "dst": fip[1], "got_src": fip[0], "hops": 2}
        self.ba = {**ba, "dst": fip[0], "got_src": fip[1], "hops": 2}


class WeftScale(Weft):
    """Groups of many rules, beside many other ports of the network and the group; these have no VMs."""
    rules, ports = 10, 2

    def group(self):
        if not hasattr(self, "shared"):
            self.shared = super().group()
            more = [{"security_group_id": self.shared["id"], "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
                     "port_range_min": 6000 + i % 1000, "port_range_max": 6000 + i % 1000,
                     "remote_ip_prefix": f"172.16.{i // 250 % 250}.{i % 250 + 1}/32"} for i in range(self.rules - 5)]
            for i in range(0, len(more), 500):
                self.lab.api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": more[i:i + 500]})
        return self.shared

    def objects(self):
        net = self.lab.network("10.1.0.0/16")
        self.sockets(self.port(net, MAC_A, IP_A), self.port(net, MAC_B, IP_B))  # first, while their addresses are free
        others = [{"network_id": net["id"], "binding:host_id": HOST, "security_groups": [self.group()["id"]],
                   "binding:profile": {"vif_type": "tap"}} for _ in range(self.ports - 2)]
        for i in range(0, len(others), 200):
            self.lab.api.request("POST", "/v2.0/ports", {"ports": others[i:i + 200]})


def weft_scale(rules, ports):
    return type("WeftScaled", (WeftScale,), {"name": f"weft, {rules:,} rules, {ports:,} ports", "rules": rules, "ports": ports})
