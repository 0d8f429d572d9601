# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch with DPDK, in the ways of the table."""
import os
import re
import subprocess
import time

from switches import CORE, IP_A, IP_B, MAC_A, MAC_B, PORTS, Switch, way


class Ovs(Switch):
    """Open vSwitch with DPDK, its defaults; one PMD thread."""
    name = "ovs NORMAL"
    FLOWS = ["actions=NORMAL"]
    PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

    def env(self):
        return {**os.environ, "OVS_RUNDIR": self.dir, "OVS_DBDIR": self.dir, "OVS_LOGDIR": self.dir}

    def run(self, *args, said=None, timeout=60):
        """What it prints. Fails at once when Open vSwitch itself ends."""
        p = subprocess.Popen(args, env=self.env(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + timeout
        while True:
            try:
                out, err = p.communicate(said, timeout=1)
                break
            except subprocess.TimeoutExpired:
                dead = [q.args[0] for q in self.procs if q.poll() is not None]
                if dead or time.monotonic() > end:
                    p.kill()
                    p.communicate()
                    why = f"{dead[0]} has ended" if dead else f"not within {timeout} s"
                    raise RuntimeError(f"{self.name}: {args[0]}: {why}: {self.log()[-600:].strip()}") from None
        if p.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(args)}: status {p.returncode}: {err.strip()}")
        return out

    def start(self):
        d, db = self.dir, f"unix:{self.dir}/db.sock"
        self.run("ovsdb-tool", "create", f"{d}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self.popen("ovsdb-server", f"{d}/conf.db", f"--remote=punix:{d}/db.sock", f"--unixctl={d}/db.ctl", env=self.env())
        self.wait_file(f"{d}/db.sock")
        self.vsctl = ("ovs-vsctl", f"--db={db}")
        self.run(*self.vsctl, "--no-wait", "init")
        self.run(*self.vsctl, "--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                 f"other_config:pmd-cpu-mask={1 << CORE:#x}", "other_config:dpdk-lcore-mask=0x1",
                 "other_config:dpdk-extra=--in-memory --no-pci", "other_config:dpdk-socket-mem=1024")
        self.popen(self.PROGRAM, db, f"--unixctl={d}/vs.ctl", f"--log-file={d}/vs.log", env=self.env())
        self.run(*self.vsctl, "--timeout=60", "--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                 "fail_mode=secure")
        for i, name in enumerate(("a", "b"), 1):
            self.run(*self.vsctl, "--timeout=30", "add-port", "br0", name, "--", "set", "Interface", name,
                     "type=dpdkvhostuser", f"ofport_request={i}")
        self.wait_sockets()
        self.run("ovs-ofctl", "-OOpenFlow14", "add-flows", f"unix:{d}/br0.mgmt", "-", said="\n".join(self.FLOWS) + "\n")

    def wait_file(self, path, timeout=20):
        end = time.monotonic() + timeout
        while not os.path.exists(path):
            if time.monotonic() > end or any(p.poll() is not None for p in self.procs):
                raise RuntimeError(f"{self.name}: no {path}\n{self.log()}")
            time.sleep(0.05)

    def appctl(self, *args):
        return self.run("ovs-appctl", "-t", f"{self.dir}/vs.ctl", *args)

    def forget(self):
        """dpctl/del-flows would leave it refusing to install flows; this does not."""
        self.appctl("revalidator/purge")
        self.appctl("dpctl/flush-conntrack")


def port_masks(low, high):
    """The range as OpenFlow port/mask blocks."""
    while low <= high:
        size = low & -low or 65536
        while low + size - 1 > high:
            size //= 2
        yield f"{low}/{0x10000 - size & 0xffff:#x}" if size > 1 else str(low)
        low += size


LEARNED = 0x1ea


def learn(table, proto):
    """The reverse of this packet's flow, into the other direction's table; as the published learn firewall does."""
    return (f"learn(table={table},cookie={LEARNED},priority=90,idle_timeout=30,hard_timeout=1800,eth_type=0x800,nw_proto={proto},"
            "NXM_OF_ETH_SRC[]=NXM_OF_ETH_DST[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],"
            "NXM_OF_IP_DST[]=NXM_OF_IP_SRC[],NXM_OF_UDP_SRC[]=NXM_OF_UDP_DST[],NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[],"
            "output:NXM_OF_IN_PORT[])")


class OvsLearn(Ovs):
    name = "ovs learn"

    def ofctl(self, command, match):
        return self.run("ovs-ofctl", "-OOpenFlow14", command, f"unix:{self.dir}/br0.mgmt", match)

    def sessions(self):
        """Two learned flows are one connection."""
        count = self.ofctl("dump-aggregate", f"cookie={LEARNED}/-1")
        return int(re.search(r"flow_count=(\d+)", count).group(1)) // 2

    def forget(self):
        self.ofctl("del-flows", f"cookie={LEARNED}/-1")
        super().forget()

    FLOWS = ["table=0,priority=50,in_port=1,dl_src=%s,ip,nw_src=%s,actions=resubmit(,72)" % (MAC_A, IP_A),
             "table=0,priority=50,in_port=2,dl_src=%s,ip,nw_src=%s,actions=resubmit(,72)" % (MAC_B, IP_B),
             "table=72,priority=30,udp,actions=%s,resubmit(,73)" % learn(73, 17)]
    FLOWS += ["table=73,priority=30,udp,dl_dst=%s,nw_dst=%s,tp_dst=%s,actions=%s,output:%d" % (mac, ip, m, learn(72, 17), out)
              for mac, ip, out in ((MAC_A, IP_A, 1), (MAC_B, IP_B, 2)) for m in port_masks(*PORTS)]


class OvsConntrack(Ovs):
    """The stages of Neutron's conntrack firewall: from the VM through the tracker once, its verdict used by both ends."""
    name = "ovs conntrack"

    def sessions(self):
        return int(self.appctl("dpctl/ct-get-nconns").split()[-1])

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


class OvsConntrackSmall(OvsConntrack):
    """Room for as many connections as Weft gives one port."""
    name = "ovs conntrack, small table"
    ENTRIES = 262144

    def start(self):
        super().start()
        self.appctl("dpctl/ct-set-maxconns", str(self.ENTRIES))


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
