# SPDX-License-Identifier: Apache-2.0
"""The switches of the table: each between the same two VMs, A and B, on two vhost-user sockets.

A switch has a name, sockets `a` and `b`, the two directions' packets (`ab`, `ba`: see traffic.c) and can be stopped and
continued as a whole, so that only the one that is measured runs. All have one polling thread, on core 1.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))

CORE = 1
PORTS = (5000, 5999)  # destination ports that the receiver's group admits
MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
IP_A, IP_B = "10.1.0.10", "10.1.0.11"


def hexmac(mac):
    return mac.replace(":", "")


def way(eth, src, dst, got_eth=None, got_src=None, got_dst=None, hops=0):
    """eth: (destination, source) MACs as sent; got_*: as they must arrive (default: unchanged)."""
    pair = "".join(hexmac(m) for m in eth)
    got = pair if got_eth is None else "".join(hexmac(m) for m in got_eth)
    return {"eth": pair, "src": src, "dst": dst, "got_eth": got, "got_src": got_src or src,
            "got_dst": got_dst or dst, "hops": hops}


PLAIN = {"ab": way((MAC_B, MAC_A), IP_A, IP_B), "ba": way((MAC_A, MAC_B), IP_B, IP_A)}


class Switch:
    """ab, ba: the directions; pids: all processes of it."""
    ab, ba = PLAIN["ab"], PLAIN["ba"]

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weft-bench-")
        self.a, self.b = f"{self.dir}/a", f"{self.dir}/b"
        self.procs = []
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def popen(self, *args, **kwargs):
        with open(f"{self.dir}/log", "ab") as log:
            p = subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **kwargs)
        self.procs.append(p)
        return p

    def log(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()

    def wait_sockets(self, timeout=20):
        end = time.monotonic() + timeout
        while not (os.path.exists(self.a) and os.path.exists(self.b)):
            if time.monotonic() > end or any(p.poll() is not None for p in self.procs):
                raise RuntimeError(f"{self.name}: no vhost-user sockets\n{self.log()}")
            time.sleep(0.05)

    def pids(self):
        return [p.pid for p in self.procs]

    def signal(self, sig):
        for pid in self.pids():
            os.kill(pid, sig)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go(self):
        self.signal(signal.SIGCONT)

    def ready(self):
        """Called when the traffic's ports are connected."""

    def forget(self):
        """Flows of earlier points go."""

    def cycles(self):
        """A pair (cycles in non-empty polls, packets) so far, or None."""
        return None

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.terminate()
        for p in self.procs:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Testpmd(Switch):
    """The limit: what goes in comes out, nothing is looked at."""
    mode, name = "io", "testpmd io"

    def start(self):
        self.popen("dpdk-testpmd", "-l", f"0,{CORE}", "--main-lcore", "0", "--in-memory", "--no-pci", "-m", "256",
                   "--vdev", f"net_vhost0,iface={self.a},queues=1", "--vdev", f"net_vhost1,iface={self.b},queues=1",
                   "--", f"--forward-mode={self.mode}", "--auto-start", "--total-num-mbufs=32768", "--rxd=1024",
                   "--txd=1024", "--stats-period=3600")
        self.wait_sockets()


class TestpmdMac(Testpmd):
    mode, name = "mac", "testpmd mac"
    ab, ba = {**PLAIN["ab"], "got_eth": ""}, {**PLAIN["ba"], "got_eth": ""}


# ---- Weft ------------------------------------------------------------------------------------------

class Weft(Switch):
    """weftd as installed, with room for the flows of the largest point."""
    name, secured = "weft, groups", True
    CONFIG = f"""[datapath]
vif = vhostuser
cores = {CORE}
sessions = 4194304
port_share = 50
"""

    def start(self):
        from lab import Lab
        self.lab = Lab(config=self.CONFIG)
        self.procs = [self.lab.daemon]
        self.objects()

    def port(self, net, mac, ip):
        attrs = {"port_security_enabled": False} if not self.secured else {"security_groups": [self.group()["id"]]}
        return self.lab.api.create("port", network_id=net["id"], mac_address=mac, fixed_ips=[{"ip_address": ip}],
                                   **{"binding:host_id": "node1", **attrs})

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

    def close(self):
        if hasattr(self, "lab"):
            if self.lab.daemon.poll() is None:
                self.lab.daemon.send_signal(signal.SIGCONT)
            self.lab.close()
        self.procs = []
        super().close()


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
    """Groups of many rules, beside many other ports of the network."""
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
        others = [{"network_id": net["id"], "binding:host_id": "node1", "security_groups": [self.group()["id"]]}
                  for _ in range(self.ports - 2)]
        for i in range(0, len(others), 200):
            self.lab.api.request("POST", "/v2.0/ports", {"ports": others[i:i + 200]})
        self.sockets(self.port(net, MAC_A, IP_A), self.port(net, MAC_B, IP_B))


def weft_scale(rules, ports):
    return type("WeftScaled", (WeftScale,), {"name": f"weft, {rules:,} rules, {ports:,} ports", "rules": rules, "ports": ports})


# ---- Open vSwitch ----------------------------------------------------------------------------------

class Ovs(Switch):
    """Open vSwitch with DPDK, its defaults; one PMD thread."""
    name = "ovs NORMAL"
    FLOWS = ["actions=NORMAL"]
    PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

    def run(self, *args, check=True, **kwargs):
        env = {**os.environ, "OVS_RUNDIR": self.dir, "OVS_DBDIR": self.dir, "OVS_LOGDIR": self.dir}
        return subprocess.run(args, check=check, env=env, capture_output=True, text=True, timeout=60, **kwargs)

    def start(self):
        d, db = self.dir, f"unix:{self.dir}/db.sock"
        env = {**os.environ, "OVS_RUNDIR": d, "OVS_DBDIR": d, "OVS_LOGDIR": d}
        self.run("ovsdb-tool", "create", f"{d}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self.popen("ovsdb-server", f"{d}/conf.db", f"--remote=punix:{d}/db.sock", f"--unixctl={d}/db.ctl", env=env)
        while not os.path.exists(f"{d}/db.sock"):
            time.sleep(0.05)
        self.vsctl = ("ovs-vsctl", f"--db={db}")
        self.run(*self.vsctl, "--no-wait", "init")
        self.run(*self.vsctl, "--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                 f"other_config:pmd-cpu-mask={1 << CORE:#x}", "other_config:dpdk-lcore-mask=0x1",
                 "other_config:dpdk-extra=--in-memory --no-pci", "other_config:dpdk-socket-mem=1024")
        self.popen(self.PROGRAM, db, f"--unixctl={d}/vs.ctl", "--log-file=" + d + "/vs.log", env=env)
        self.run(*self.vsctl, "--timeout=60", "--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                 "fail_mode=secure")
        for i, name in enumerate(("a", "b"), 1):
            self.run(*self.vsctl, "--timeout=30", "add-port", "br0", name, "--", "set", "Interface", name,
                     "type=dpdkvhostuser", f"ofport_request={i}")
        self.wait_sockets()
        self.run("ovs-ofctl", "-OOpenFlow14", "add-flows", f"unix:{d}/br0.mgmt", "-", input="\n".join(self.FLOWS) + "\n")

    def forget(self):
        self.run("ovs-appctl", "-t", f"{self.dir}/vs.ctl", "revalidator/purge")
        self.run("ovs-appctl", "-t", f"{self.dir}/vs.ctl", "dpctl/flush-conntrack")


def port_masks(low, high):
    """The range as OpenFlow port/mask blocks."""
    while low <= high:
        size = low & -low or 65536
        while low + size - 1 > high:
            size //= 2
        yield f"{low}/{0x10000 - size & 0xffff:#x}" if size > 1 else str(low)
        low += size


def learn(table, proto):
    """The reverse of this packet's flow, into the other direction's table; as the published learn firewall does."""
    return (f"learn(table={table},priority=90,idle_timeout=30,hard_timeout=1800,eth_type=0x800,nw_proto={proto},"
            "NXM_OF_ETH_SRC[]=NXM_OF_ETH_DST[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],"
            "NXM_OF_IP_DST[]=NXM_OF_IP_SRC[],NXM_OF_UDP_SRC[]=NXM_OF_UDP_DST[],NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[],"
            "output:NXM_OF_IN_PORT[])")


class OvsLearn(Ovs):
    name = "ovs learn"
    FLOWS = ["table=0,priority=50,in_port=1,dl_src=%s,ip,nw_src=%s,actions=resubmit(,72)" % (MAC_A, IP_A),
             "table=0,priority=50,in_port=2,dl_src=%s,ip,nw_src=%s,actions=resubmit(,72)" % (MAC_B, IP_B),
             "table=72,priority=30,udp,actions=%s,resubmit(,73)" % learn(73, 17)]
    FLOWS += ["table=73,priority=30,udp,dl_dst=%s,nw_dst=%s,tp_dst=%s,actions=%s,output:%d" % (mac, ip, m, learn(72, 17), out)
              for mac, ip, out in ((MAC_A, IP_A, 1), (MAC_B, IP_B, 2)) for m in port_masks(*PORTS)]


class OvsConntrack(Ovs):
    """The stages of Neutron's conntrack firewall: from the VM through the tracker once, its verdict used by both ends."""
    name = "ovs conntrack"
    FLOWS = ["table=0,priority=50,in_port=%d,dl_src=%s,ip,nw_src=%s,actions=ct(table=72,zone=1)" % p
             for p in ((1, MAC_A, IP_A), (2, MAC_B, IP_B))]
    FLOWS += ["table=72,priority=50,ct_state=+trk+inv,actions=drop",
              "table=72,priority=50,ct_state=+trk+est+rpl,ip,actions=resubmit(,94)",
              "table=72,priority=40,ct_state=+trk,udp,actions=resubmit(,82)"]
    FLOWS += ["table=82,priority=50,ct_state=+trk+est-rpl,udp,dl_dst=%s,tp_dst=%s,actions=output:%d" % (mac, m, out)
              for mac, out in ((MAC_A, 1), (MAC_B, 2)) for m in port_masks(*PORTS)]
    FLOWS += ["table=82,priority=50,ct_state=+trk+new,udp,dl_dst=%s,tp_dst=%s,actions=ct(commit,zone=1),output:%d" % (mac, m, out)
              for mac, out in ((MAC_A, 1), (MAC_B, 2)) for m in port_masks(*PORTS)]
    FLOWS += ["table=94,priority=1,dl_dst=%s,actions=output:%d" % p for p in ((MAC_A, 1), (MAC_B, 2))]


GW_A, GW_B = "02:00:00:00:01:01", "02:00:00:00:01:02"
IP_B2 = "10.2.0.10"


class OvsConntrackRouted(Ovs):
    """Each network is a zone of its own: tracked where the packet comes from, routed, tracked where it goes to."""
    name = "ovs conntrack + routing"
    ab = way((GW_A, MAC_A), IP_A, IP_B2, (MAC_B, GW_B), hops=1)
    ba = way((GW_B, MAC_B), IP_B2, IP_A, (MAC_A, GW_A), hops=1)
    ENDS = ((1, MAC_A, IP_A, GW_A, 1), (2, MAC_B, IP_B2, GW_B, 2))  # port, MAC, IP, gateway's MAC, zone
    FLOWS = ["table=0,priority=50,in_port=%d,dl_src=%s,ip,nw_src=%s,actions=ct(table=72,zone=%d)" % (p, mac, ip, zone)
             for p, mac, ip, gw, zone in ENDS]
    FLOWS += ["table=72,priority=50,ct_state=+trk+inv,actions=drop",
              "table=72,priority=40,ct_state=+trk+est,udp,actions=resubmit(,75)"]
    FLOWS += ["table=72,priority=40,in_port=%d,ct_state=+trk+new,udp,actions=ct(commit,zone=%d),resubmit(,75)" % (p, zone)
              for p, mac, ip, gw, zone in ENDS]
    FLOWS += ["table=75,priority=10,ip,nw_dst=%s,actions=mod_dl_src:%s,mod_dl_dst:%s,dec_ttl,ct(table=82,zone=%d)" % (ip, gw, mac, zone)
              for p, mac, ip, gw, zone in ENDS]
    FLOWS += ["table=82,priority=60,ct_state=+trk+est+rpl,dl_dst=%s,actions=output:%d" % (mac, p) for p, mac, ip, gw, zone in ENDS]
    FLOWS += ["table=82,priority=50,ct_state=+trk+est-rpl,udp,dl_dst=%s,tp_dst=%s,actions=output:%d" % (mac, m, p)
              for p, mac, ip, gw, zone in ENDS for m in port_masks(*PORTS)]
    FLOWS += ["table=82,priority=50,ct_state=+trk+new,udp,dl_dst=%s,tp_dst=%s,actions=ct(commit,zone=%d),output:%d" % (mac, m, zone, p)
              for p, mac, ip, gw, zone in ENDS for m in port_masks(*PORTS)]


LIMIT = Testpmd
ALL = (TestpmdMac, WeftOpen, Weft, WeftRouted, WeftNat, Ovs, OvsLearn, OvsConntrack, OvsConntrackRouted)
