# SPDX-License-Identifier: Apache-2.0
"""The demo's second act: a router, a floating IP, source NAT, and a web server outside the cloud."""
import contextlib
import json
import socket
import threading

from netns import Netns, sh

WAIT_YES, WAIT_NO = 5, 0.5
WEB, WEB_GATEWAY, PROVIDER = "198.51.100.80", "198.51.100.1", "203.0.113.1"

PICTURE = """
        ┌───────────────────┐
        │ web 198.51.100.80 │   somewhere in the internet
        └─────────┬─────────┘
          provider's router 203.0.113.1
                  │             external network 203.0.113.0/24, physical network "outside"
  ┌───────────────┴──────────────────────────────────────────────┐
  │ weftd        router 203.0.113.20     floating IP 203.0.113.50│
  └──────┬───────────────────────────────────────────┬───────────┘
    network front 10.1.0.0/24                  network back 10.2.0.0/24
  ┌──────┴──────────────────┐                ┌───────┴────────────┐
  │ www 10.1.0.11           │                │ db 10.2.0.11       │
  │ floating IP 203.0.113.50│                │ no floating IP     │
  └─────────────────────────┘                └────────────────────┘
  www: TCP 80 may come in from anywhere; db: TCP 80 from network front only; both may open anything
"""

OPERATOR = """
network create --external --share --provider-network-type flat --provider-physical-network outside ext
subnet create --network ext --no-dhcp --subnet-range 203.0.113.0/24 --gateway 203.0.113.1 ext4
"""
# Addresses are chosen only so that the picture can show them: that is the operator's right.
ROUTER = "router set --external-gateway ext --fixed-ip ip-address=203.0.113.20 r"
TENANT = """
network create front
network create back
subnet create --network front --subnet-range 10.1.0.0/24 front4
subnet create --network back --subnet-range 10.2.0.0/24 back4
router create r
router add subnet r front4
router add subnet r back4
security group create www
security group create db
security group rule create --ingress --protocol tcp --dst-port 80 www
security group rule create --ingress --protocol tcp --dst-port 80 --remote-ip 10.1.0.0/24 db
port create --network front --security-group www --fixed-ip subnet=front4,ip-address=10.1.0.11 www
port create --network back --security-group db --fixed-ip subnet=back4,ip-address=10.2.0.11 db
"""
FLOATING = "floating ip create --floating-ip-address 203.0.113.50 ext"


class Web:
    """A web server beyond the provider's router. It says whom it sees."""

    def __init__(self, demo):
        self.label = "web"
        self.router, self.netns = (Netns(f"{demo.prefix}-{n}") for n in ("provider", "web"))
        for n in (self.router, self.netns):
            demo.cleanup.callback(n.close)
        demo.cleanup.callback(demo.stop_weftd)  # before its physical network goes
        self.router.sysctl("net.ipv4.ip_forward", 1)
        sh("ip", "link", "add", "wan", "netns", demo.node.name, "type", "veth", "peer", "name", "cloud", "netns", self.router.name)
        sh("ip", "link", "add", "lan", "netns", self.router.name, "type", "veth", "peer", "name", "eth0", "netns", self.netns.name)
        for netns, interface, address in ((self.router, "cloud", PROVIDER), (self.router, "lan", WEB_GATEWAY), (self.netns, "eth0", WEB)):
            netns.ip("addr", "add", address + "/24", "dev", interface)
            netns.ip("link", "set", interface, "up")
        self.netns.ip("route", "add", "default", "via", WEB_GATEWAY)
        # Outsiders who know the inside's addresses: they try, too.
        self.router.ip("route", "add", "10.0.0.0/8", "via", "203.0.113.20")
        self.listen()

    def listen(self):
        s = self.netns.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", 80))
        s.listen(16)
        threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, server):
        while True:
            c, peer = server.accept()
            with contextlib.suppress(OSError), c:
                c.recv(4096)
                body = f"you are {peer[0]}".encode()
                c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def connect(netns, address, port, expect, say=b""):
    """What the other side says on a new connection; None if there is none."""
    with contextlib.suppress(OSError), netns.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(WAIT_YES if expect else WAIT_NO)
        s.connect((address, port))
        if say:
            s.sendall(say)
        return s.recv(200).decode().rpartition("\r\n")[2]
    return None


class SecondAct:
    """Plays on a Demo: its node, its clients, its way to tell good from bad."""

    def __init__(self, demo):
        self.demo = demo
        self.web = Web(demo)
        self.hosts = {}

    def do(self, project, commands):
        commands = commands.strip().splitlines()
        out = self.demo.openstack(project, commands)
        print("".join(f"  openstack {c}\n" for c in commands), end="", flush=True)
        return out

    def build(self, make_host):
        self.demo.title("Act two: a router, a floating IP, and the world outside")
        print(PICTURE, "\n  the operator:", flush=True)
        said = self.do("operator", OPERATOR)
        print("  project green:", flush=True)
        said += self.do("green", TENANT)
        print("  the operator:", flush=True)
        said += self.do("operator", ROUTER + "\n" + FLOATING)
        ports = {p["name"]: p for p in json.loads(self.demo.curl("green", "ports"))["ports"]}
        if not {"www", "db"} <= set(ports):
            raise self.demo.Failed(f"openstack did not make what was asked for project green:\n{said}")
        self.do("operator", "\n".join(f"port set --host demo {ports[n]['id']}" for n in ("www", "db")))
        self.do("operator", f"floating ip set --port {ports['www']['id']} 203.0.113.50")
        for name in ("www", "db"):
            h = self.hosts[name] = make_host(self.demo, "green", ports[name])
            h.plug()
            h.dhcp()
            h.serve()
            print(f"  {h.label:12} {h.tap}  {h.ip[4]} from DHCP, with its default route", flush=True)

    def line(self, src, dst, what, seen, expect):
        good = seen == expect
        self.demo.bad += not good
        text = f"{'yes' if expect else 'no':3} / {'yes' if seen else 'no'}" + (f": {seen}" if seen else "")
        print(f"  {src:12} {dst:26} {what:8} {self.demo.paint(text, good)}", flush=True)

    def matrix(self):
        self.demo.title("Who reaches whom: expected, and seen")
        www, db, get = self.hosts["www"], self.hosts["db"], b"GET / HTTP/1.0\r\n\r\n"
        for src, dst, address, port, say, expect in (
                (www, "db 10.2.0.11", "10.2.0.11", 80, b"", "green db"),
                (www, "db 10.2.0.11", "10.2.0.11", 22, b"", None),
                (db, "www 10.1.0.11", "10.1.0.11", 80, b"", "green www"),
                (www, "web 198.51.100.80", WEB, 80, get, "you are 203.0.113.50"),
                (db, "web 198.51.100.80", WEB, 80, get, "you are 203.0.113.20"),
                (self.web, "www 203.0.113.50", "203.0.113.50", 80, b"", "green www"),
                (self.web, "www 203.0.113.50", "203.0.113.50", 22, b"", None),
                (self.web, "router 203.0.113.20", "203.0.113.20", 80, b"", None),
                (self.web, "db 10.2.0.11", "10.2.0.11", 80, b"", None),
                (db, "www 203.0.113.50", "203.0.113.50", 80, b"", "green www")):
            self.line(src.label, dst, f"tcp {port}", connect(src.netns, address, port, expect is not None, say), expect)

    def move(self):
        self.demo.title("The floating IP moves, under a live connection")
        db = self.hosts["db"].port["id"]
        self.demo.openstack_one("green", "security", "group", "rule", "create", "--ingress", "--protocol", "tcp", "--dst-port", "80",
                                "--remote-ip", WEB, "db", "-f", "value", "-c", "id")
        with self.web.netns.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.settimeout(WAIT_YES)
            s.connect(("203.0.113.50", 80))
            s.recv(100)
            self.demo.check("web has a connection to 203.0.113.50: www echoes", self.demo.echoes(s))
            self.do("operator", f"floating ip set --port {db} 203.0.113.50")
            self.demo.check("the same connection: nothing comes back any more", not self.demo.echoes(s, WAIT_NO))
        self.demo.check("a new one reaches db", connect(self.web.netns, "203.0.113.50", 80, True) == "green db")

    def trace(self):
        self.demo.title("How does a packet of www leave now? weft trace tells")
        www = self.hosts["www"].port["id"]
        out = self.demo.weft("trace", www, f"tcp > {WEB}:80 syn")
        print(f"  weft trace {www} 'tcp > {WEB}:80 syn'\n\n" + "".join(f"  {line}\n" for line in out.splitlines()))
        self.demo.check("by the router's own address, since the floating IP is db's", "becomes 203.0.113.20" in out)

    def play(self, make_host):
        self.build(make_host)
        self.matrix()
        self.move()
        self.trace()
