# SPDX-License-Identifier: Apache-2.0
"""The stress test's site: six VMs on three networks of one router, floating IPs, what each sends, and what can be changed about it.

What the policy is now is a dictionary (`now`); a class of traffic has a function from it to the VM that its packets may reach (None: nobody). So a
change touches exactly the classes whose answer is another one afterwards, and all others must not notice.

    net1   A  steady            net2   B  steady              net3   E  its connection is cut and made again;
           C  rules and groups         D  set down and up            the router loses its interface there
           F  floods
"""
import json
import select
import subprocess

from lab import BUILD, HOST, Lab

VMS = ("A", "B", "C", "D", "E", "F")
A, B, C, D, E, F = range(6)
NETS = {A: 0, C: 0, F: 0, B: 1, D: 1, E: 2}
IP = {A: "10.71.1.10", C: "10.71.1.12", F: "10.71.1.15", B: "10.71.2.11", D: "10.71.2.13", E: "10.71.3.14"}
IP6 = {vm: f"fd71:{net + 1}::{10 + vm}" for vm, net in NETS.items()}
EXTRA_IP = "10.71.1.200"  # C's allowed address pair
MAC = "02:71:00:00:00:{:02x}"
PATIENCE = 40  # seconds for an answer of the VMs' program; it has 20 for what must go through weftd
GATEWAY3 = "02:71:00:00:03:01"

CONFIG = """[datapath]
vif = vhostuser
workers = {workers}
cores = {cores}
sessions = {sessions}
port_share = 90
"""


class Site:
    def __init__(self, sessions, cores):
        self.lab = Lab(config=CONFIG.format(sessions=sessions, workers=len(cores), cores=",".join(map(str, cores))))
        self.api = self.lab.api
        self.now = {"rule": True, "rule6": True, "tcp": True, "frag": True, "group": 1, "member": True, "pair": True,
                    "holder": C, "interface": True, "up": True, "egress": True, "address": True, "noise": True}
        try:
            self._networks()
            self._groups()
            self._ports()
            self._floating()
        except BaseException:
            self.lab.close()
            raise

    def close(self):
        self.lab.close()

    # ---- Objects ----

    def _networks(self):
        self.nets = [self.lab.network(f"10.71.{i}.0/24", f"fd71:{i}::/64") for i in (1, 2, 3)]
        self.router = self.api.create("router", name="r")
        for net in self.nets[:2]:
            self.lab.join(self.router, net["v4"])
            self.lab.join(self.router, net["v6"])
        self.attach_router()
        self.external = self.api.create("network", name="ext", **{"router:external": True})
        self.api.create("subnet", network_id=self.external["id"], ip_version=4, cidr="192.0.2.0/24", enable_dhcp=False)
        self.api.update("router", self.router["id"], external_gateway_info={"network_id": self.external["id"]})

    def _gateway(self, net, family):
        subnet = self.nets[net][f"v{family}"]["id"]
        for port in self.api.list("port", network_id=self.nets[net]["id"], device_owner="network:router_interface"):
            if port["fixed_ips"][0]["subnet_id"] == subnet:
                return port["mac_address"]
        return GATEWAY3  # net3 has none for IPv6, and nobody asks it

    def _groups(self):
        lab = self.lab
        self.group_a = lab.group("ingress udp 5100", "ingress udp 6000-6999", "ingress udp 7000")
        self.group_b = lab.group("ingress udp 5100-5102", "ingress tcp 5101", "ingress icmp 8", "ingress ipv6 udp 5100",
                                 "ingress udp 5009")
        self.group_c = lab.group("ingress udp 5100", "ingress ipv6 udp 5100", "ingress icmp 8", "ingress udp 9000",
                                 "ingress udp 5008")
        self.group_d = lab.group("ingress udp 5100", "ingress udp 5008", egress=False)
        self.group_f = lab.group("ingress udp 9000-9001")
        self.member = lab.group()
        self.addresses = self.api.create("address_group", name="g", addresses=[f"{IP[A]}/32"])
        self.group_1 = lab.group("ingress udp 5004")
        self.group_2 = lab.group("ingress udp 5005")
        lab.rule(self.group_c, f"ingress udp 5006 from group:{self.member['id']}")
        lab.rule(self.group_c, f"ingress udp 5007 from address-group:{self.addresses['id']}")
        self.rules = {}
        for key in self.RULES:
            self.set_rule(key, True)

    # key of `now`: (group, rule)
    RULES = {"rule": ("group_c", "ingress udp 5001"), "rule6": ("group_c", "ingress ipv6 udp 5001"),
             "tcp": ("group_c", "ingress tcp 5002"), "frag": ("group_c", "ingress udp 5003"),
             "egress": ("group_d", "egress udp 5009"), "noise": ("group_b", "ingress udp 5999")}

    def _ports(self):
        groups = {A: [self.group_a], B: [self.group_b, self.member], C: [self.group_c, self.group_1], D: [self.group_d],
                  E: [self.group_b], F: [self.group_f]}
        self.ports = []
        for vm in range(len(VMS)):
            net = self.nets[NETS[vm]]
            fixed = [{"subnet_id": net["v4"]["id"], "ip_address": IP[vm]}, {"subnet_id": net["v6"]["id"], "ip_address": IP6[vm]}]
            pairs = [{"ip_address": EXTRA_IP}] if vm == C else []
            self.ports.append(self.api.create(
                "port", network_id=net["id"], name=VMS[vm], mac_address=MAC.format(vm), fixed_ips=fixed,
                security_groups=[g["id"] for g in groups[vm]], allowed_address_pairs=pairs, **{"binding:host_id": HOST}))

    def _floating(self):
        self.fips = [self.api.create("floatingip", floating_network_id=self.external["id"], port_id=self.ports[vm]["id"])
                     for vm in (A, B, C)]
        self.fip = [f["floating_ip_address"] for f in self.fips]

    # ---- Changes: key of `now`, new value ----

    def attach_router(self):
        port = self.api.create("port", network_id=self.nets[2]["id"], mac_address=GATEWAY3,
                               fixed_ips=[{"subnet_id": self.nets[2]["v4"]["id"], "ip_address": "10.71.3.1"}])
        self.api.request("PUT", f"/v2.0/routers/{self.router['id']}/add_router_interface", {"port_id": port["id"]})

    def set_rule(self, key, on):
        group, text = self.RULES[key]
        if on:
            self.rules[key] = self.lab.rule(getattr(self, group), text)
        else:
            self.api.delete("security_group_rule", self.rules[key]["id"])

    def change(self, key, value):
        api, port = self.api, self.ports
        if key in self.RULES:
            self.set_rule(key, value)
        elif key == "group":
            other = self.group_1 if value == 1 else self.group_2
            api.update("port", port[C]["id"], security_groups=[self.group_c["id"], other["id"]])
        elif key == "member":
            groups = [self.group_b] + ([self.member] if value else [])
            api.update("port", port[B]["id"], security_groups=[g["id"] for g in groups])
        elif key == "address":
            api.request("PUT", f"/v2.0/address-groups/{self.addresses['id']}/{'add' if value else 'remove'}_addresses",
                        {"address_group": {"addresses": [f"{IP[A]}/32"]}})
        elif key == "pair":
            api.update("port", port[C]["id"], allowed_address_pairs=[{"ip_address": EXTRA_IP}] if value else [])
        elif key == "holder":
            api.update("floatingip", self.fips[2]["id"], port_id=port[value]["id"])
        elif key == "up":
            api.update("port", port[D]["id"], admin_state_up=value)
        elif key == "interface" and value:
            self.attach_router()
        elif key == "interface":
            self.lab.join(self.router, self.nets[2]["v4"], on=False)

    def other_value(self, key):
        now = self.now[key]
        return {"group": 3 - now, "holder": C + D - now}.get(key, not now)

    # ---- Traffic ----

    def classes(self):
        """(name, kind, from, to, dport, may(now) -> VM or None, more)"""
        def always(to):
            return lambda now: to

        def when(key, to):
            return lambda now: to if now[key] else None

        def never(now):
            return None

        fa, fb, fm = self.fip
        return [
            ("routed", "udp", A, B, 5100, always(B), {"steady": True, "weight": 2}),
            ("back", "udp", B, C, 5100, always(C), {"steady": True}),
            ("switched", "udp", A, C, 5100, always(C), {"steady": True}),
            ("routed6", "udp", A, B, 5100, always(B), {"steady": True, "family": 6}),
            ("switched6", "udp", A, C, 5100, always(C), {"steady": True, "family": 6}),
            ("echo", "icmp", A, B, 0, always(B), {"steady": True, "weight": 0.2}),
            ("echo-c", "icmp", B, C, 0, always(C), {"steady": True, "weight": 0.2}),
            ("tcp", "tcp", A, B, 5101, always(B), {"steady": True, "flows": 32}),
            ("fragments", "frag", A, B, 5102, always(B), {"steady": True, "weight": 0.5}),
            ("floating", "udp", A, B, 5101, always(B), {"steady": True, "hops": 2, "dst": fb, "got_src": fa}),
            ("broadcast", "bcast", A, None, 9000, always(C), {"receivers": 1 << C | 1 << F, "weight": 0.05}),
            ("broadcast-f", "bcast", A, None, 9001, always(F), {"receivers": 1 << F, "weight": 0.05}),
            ("arp", "arp", A, A, 0, always(A), {"weight": 0.02, "dst": "10.71.1.1"}),
            ("rule", "udp", A, C, 5001, when("rule", C), {}),
            ("rule6", "udp", A, C, 5001, when("rule6", C), {"family": 6}),
            ("tcp-rule", "tcp", A, C, 5002, when("tcp", C), {"flows": 32}),
            ("fragments-rule", "frag", A, C, 5003, when("frag", C), {"weight": 0.5}),
            ("group-1", "udp", A, C, 5004, lambda now: C if now["group"] == 1 else None, {}),
            ("group-2", "udp", A, C, 5005, lambda now: C if now["group"] == 2 else None, {}),
            ("member", "udp", B, C, 5006, when("member", C), {}),
            ("address", "udp", A, C, 5007, when("address", C), {}),
            ("pair", "udp", C, A, 5100, when("pair", A), {"src": EXTRA_IP}),
            ("moving", "udp", A, D, 5008, lambda now: now["holder"] if now["up"] or now["holder"] == C else None,
             {"hops": 2, "dst": fm, "got_src": fa, "routed": True, "receivers": 1 << C | 1 << D}),
            ("from-e", "udp", E, A, 5100, when("interface", A), {}),
            ("to-e", "udp", B, E, 5100, when("interface", E), {}),
            ("down", "udp", B, D, 5100, when("up", D), {}),
            ("egress", "udp", D, B, 5009, lambda now: B if now["egress"] and now["up"] else None, {}),
            ("no-rule", "udp", A, C, 5998, never, {"weight": 0.2}),
            ("no-egress", "udp", D, B, 5100, never, {"weight": 0.2}),
            ("spoofed-ip", "udp", C, A, 5100, never, {"src": "10.71.1.77", "weight": 0.2}),
            ("spoofed-ip6", "udp", A, B, 5100, never, {"src": "fd71:1::77", "family": 6, "weight": 0.2}),
            ("spoofed-mac", "udp", C, A, 5100, never, {"spoofed_mac": True, "weight": 0.2}),
            ("spoofed-arp", "arp", C, C, 0, never, {"src": "10.71.1.77", "dst": "10.71.1.1", "weight": 0.02}),
        ]

    def flood(self, kept):
        return [("kept", "udp", F, A, 7000, lambda now: A, {"flows": kept, "weight": 3, "pressed": True}),
                ("flood", "flood", F, A, 6000, lambda now: A, {"flows": 1 << 24, "weight": 6, "pressed": True})]


class Vms:
    """The program that plays the VMs."""

    def __init__(self, site, seed, cpu):
        self.site, self.names = site, {}
        subprocess.run(["ninja", "-C", BUILD, "tests/stress/stress-vms"], check=True, stdout=subprocess.DEVNULL)
        self.proc = subprocess.Popen(["taskset", "-c", str(cpu), f"{BUILD}/tests/stress/stress-vms", str(seed)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.classes = []
        for vm, name in enumerate(VMS):
            net = NETS[vm]
            self.ask(vm=name, path=f"{site.lab.dir}/run/vhu{site.ports[vm]['id'][:11]}", mac=MAC.format(vm),
                     gateway=site._gateway(net, 4), gateway6=site._gateway(net, 6), ip=IP[vm], ip6=IP6[vm])

    def ask(self, **command):
        self.proc.stdin.write((json.dumps(command) + "\n").encode())
        if not select.select([self.proc.stdout], [], [], PATIENCE)[0]:
            raise AssertionError(f"the VMs do not answer: {command}")
        line = self.proc.stdout.readline()
        if not line:
            raise AssertionError(f"the VMs' program ended with status {self.proc.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"VMs: {answer['error']} {answer.get('of')}: {self.weftd()}")
        return answer

    def weftd(self):
        """How weftd sees it, when something hangs."""
        if self.site.lab.daemon.poll() is not None:
            return f"weftd ended with status {self.site.lab.daemon.poll()}:\n{self.site.lab.log_text()}"
        api = self.site.api
        ports = [api.weft("ports/" + p["id"]) for p in self.site.ports]
        return {"ports": [(p["attached"], p["reason"], p["counters"]) for p in ports], "workers": api.weft("workers")}

    def add(self, classes):
        for name, kind, vm, to, dport, may, more in classes:
            family = more.get("family", 4)
            own = IP6 if family == 6 else IP
            routed = more.get("routed", to is not None and NETS[vm] != NETS[to])
            src = more.get("src", own[vm])
            dst = more.get("dst", "255.255.255.255" if to is None else own[to])
            self.ask(**{"class": name}, kind=kind, family=family, dport=dport, routed=routed, src=src, dst=dst,
                     got_src=more.get("got_src", src), hops=more.get("hops", 1 if routed else 0), flows=more.get("flows", 16),
                     sport=20000 + 300 * len(self.classes) if kind not in ("tcp", "flood") else 20000,
                     weight=float(more.get("weight", 1)), receivers=more.get("receivers", 0), steady=more.get("steady", False),
                     spoofed_mac=more.get("spoofed_mac", False), pressed=more.get("pressed", False), **{"from": vm})
            self.classes.append((name, may, 0 if to is None else to))
        self.set([i for i in range(len(self.classes) - len(classes), len(self.classes))], self.site.now)

    def set(self, ids, now):
        states = []
        for i in ids:
            name, may, to = self.classes[i]
            target = may(now)
            states.append([i, "forbidden" if target is None else "allowed", to if target is None else target])
        self.ask(set=states)

    def touched(self, before, after):
        return [i for i, (_, may, _) in enumerate(self.classes) if may(before) != may(after)]

    def close(self):
        self.proc.stdin.close()
        try:
            return self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            return self.proc.wait()
        finally:
            self.proc.stdout.close()
