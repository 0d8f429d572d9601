# SPDX-License-Identifier: Apache-2.0
"""Frames that a VM might send, as scapy packets. What is not said is what an honest VM would send."""
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, IPv6)
from scapy.layers.l2 import ARP, Ether
from scapy.utils6 import in6_getnsma, in6_getnsmac
import socket

BROADCAST = "ff:ff:ff:ff:ff:ff"


def ip(a, b, src=None, dst=None, version=4, mac=None, to_mac=None, **fields):
    """Ethernet and IP headers from VM a to VM b; an IPv6 src makes it IPv6."""
    if src and ":" in src:
        version = 6
    head = Ether(src=mac or a.mac, dst=to_mac or b.mac)
    if version == 6:
        return head / IPv6(src=src or a.ip6, dst=dst or b.ip6, **fields)
    return head / IP(src=src or a.ip, dst=dst or b.ip, **fields)


def udp(a, b, sport=9, dport=9, data=b"weft", **kw):
    return ip(a, b, **kw) / UDP(sport=sport, dport=dport) / data


def tcp(a, b, sport, dport, flags="S", seq=1, ack=0, data=b"", **kw):
    return ip(a, b, **kw) / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack) / data


def echo(a, b, id=1, seq=1, data=b"weft", reply=False, **kw):
    head = ip(a, b, **kw)
    if IPv6 in head:
        return head / (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=id, seq=seq, data=data)
    return head / ICMP(type=0 if reply else 8, id=id, seq=seq) / data


def arp(a, target, source=None, op=1, mac=None, sha=None, to_mac=BROADCAST, tha="00:00:00:00:00:00"):
    """Who has `target`? (op 2: source is at sha.)"""
    return Ether(src=mac or a.mac, dst=to_mac) / ARP(op=op, hwsrc=sha or mac or a.mac, psrc=source or a.ip,
                                                    hwdst=tha, pdst=target)


def ns(a, target, source=None, mac=None, option=True):
    """Neighbour solicitation; source "::" is duplicate address detection."""
    group = in6_getnsma(socket.inet_pton(socket.AF_INET6, target))
    p = Ether(src=mac or a.mac, dst=in6_getnsmac(group)) / IPv6(
        src=source or a.ip6, dst=socket.inet_ntop(socket.AF_INET6, group), hlim=255) / ICMPv6ND_NS(tgt=target)
    return p / ICMPv6NDOptSrcLLAddr(lladdr=mac or a.mac) if option and source != "::" else p


def na(a, b, target, source=None, mac=None, lladdr=None, dst=None, to_mac=None, **flags):
    return Ether(src=mac or a.mac, dst=to_mac or b.mac) / IPv6(
        src=source or a.ip6, dst=dst or b.ip6, hlim=255) / ICMPv6ND_NA(tgt=target, **flags) / ICMPv6NDOptDstLLAddr(
            lladdr=lladdr or mac or a.mac)
