// SPDX-License-Identifier: Apache-2.0
// Drop reasons: every packet that is not passed on is counted under one of these. Counter, trace,
// REST, metrics and documentation come from this one table: DROP(name, word, sentence for an
// operator).
#pragma once

#include <stdint.h>

#define WEFT_DROPS(DROP)                                                                            \
	DROP(NONE, "none", "Not dropped.")                                                          \
	DROP(TRUNCATED, "truncated", "The packet is shorter than its headers say.")                 \
	DROP(BAD_HEADER, "bad-header", "A header field is impossible (version, length, options).")  \
	DROP(ETHERTYPE, "ethertype", "Not IPv4, IPv6, ARP or RARP, and port security is on.")       \
	DROP(VLAN, "vlan-tagged", "The VM sent a VLAN-tagged frame and the port is no trunk.")      \
	DROP(OVERSIZE, "oversize", "Longer than the network's MTU allows.")                         \
	DROP(PORT_DOWN, "port-down", "The port is administratively down.")                          \
	DROP(SPOOF_MAC, "spoofed-mac", "The source MAC is not one of the port's.")                  \
	DROP(SPOOF_IP, "spoofed-ip",                                                                \
	     "The source address is not a fixed IP or allowed address pair of the port.")           \
	DROP(SPOOF_ARP, "spoofed-arp",                                                              \
	     "The ARP sender address is not a fixed IP or allowed address pair of the port.")       \
	DROP(SPOOF_ND, "spoofed-nd",                                                                \
	     "The neighbour advertisement is for an address that is not the port's.")               \
	DROP(DHCP_SERVER, "dhcp-server", "A VM may not act as a DHCP server.")                      \
	DROP(RA_SENDER, "router-advertisement", "A VM may not send router advertisements.")         \
	DROP(EGRESS_RULES, "egress-rules",                                                          \
	     "No egress rule of the sender's security groups permits it.")                          \
	DROP(INGRESS_RULES, "ingress-rules",                                                        \
	     "No ingress rule of the receiver's security groups permits it.")                       \
	DROP(UNKNOWN_DESTINATION, "unknown-destination",                                            \
	     "No port of the network has the destination MAC; unknown unicast is not flooded.")     \
	DROP(NOT_LOCAL, "not-local",                                                                \
	     "The destination port is on another node and no tunnel leads there.")                  \
	DROP(SELF, "own-address", "The destination is the sending port itself.")                    \
	DROP(PORT_DETACHED, "port-detached", "The destination port is not attached.")               \
	DROP(PORT_FULL, "port-full", "The receiver's queue is full.")                               \
	DROP(NO_BUFFER, "no-buffer", "No packet buffer was free.")                                  \
	DROP(ARP_UNKNOWN, "arp-unknown", "ARP asks for an address that no port has.")               \
	DROP(ND_UNKNOWN, "nd-unknown",                                                              \
	     "Neighbour discovery asks for an address that no port has.")                           \
	DROP(SERVICE_DONE, "service-done", "Consumed by a local service; no answer is due.")        \
	DROP(DHCP_BAD, "dhcp-bad", "A malformed or unanswerable DHCP message.")                     \
	DROP(TCP_FLAGS, "tcp-flags", "An impossible combination of TCP flags.")                     \
	DROP(TCP_STATE, "tcp-state",                                                                \
	     "A TCP packet that belongs to no connection and cannot open one.")                     \
	DROP(ICMP_UNRELATED, "icmp-unrelated", "An ICMP error about no known flow.")                \
	DROP(SESSIONS_FULL, "sessions-full",                                                        \
	     "The session table is full, and nothing was found that may make room for a new flow.") \
	DROP(PORT_SESSIONS, "port-sessions",                                                        \
	     "The port has used up its share of the session table.")                                \
	DROP(PROJECT_SESSIONS, "project-sessions",                                                  \
	     "The port's project has used up its share of the session table.")                      \
	DROP(SESSION_CLASH, "session-clash",                                                        \
	     "The translated address and port of a new flow are in use by another.")                \
	DROP(FRAG_OVERLAP, "fragment-overlap",                                                      \
	     "A fragment that would overwrite the transport header.")                               \
	DROP(FRAG_TINY, "fragment-tiny", "A first fragment too short for its transport header.")    \
	DROP(FRAG_TIMEOUT, "fragment-timeout", "A fragment whose first fragment never came.")       \
	DROP(FRAG_FULL, "fragment-full", "Too many fragments are waiting for their first one.")     \
	DROP(LINK_LOCAL_MULTICAST, "reserved-multicast",                                            \
	     "A bridge control frame (01:80:c2:00:00:0X).")                                         \
	DROP(ROUTER_DOWN, "router-down", "The router is administratively down.")                    \
	DROP(NO_ROUTE, "no-route", "The router has no route to the destination.")                   \
	DROP(NO_NEIGHBOUR, "no-neighbour", "No port of the destination network has the address.")   \
	DROP(TTL, "ttl-exceeded", "The time to live (hop limit) ran out at a router.")              \
	DROP(TOO_BIG, "too-big", "Longer than the next network's MTU and not to be fragmented.")    \
	DROP(NOT_ROUTABLE, "not-routable",                                                          \
	     "A router does not forward these: link-local, multicast, loopback, reserved, not IP.") \
	DROP(ROUTER_ADDRESS, "router-address",                                                      \
	     "For the router itself, and nothing there takes it.")                                  \
	DROP(ROUTE_LOOP, "route-loop", "The packet would pass more than 8 routers of this node.")   \
	DROP(NEXT_HOP, "next-hop", "The next hop on the physical network does not answer.")         \
	DROP(NEXT_HOP_WAIT, "next-hop-wait",                                                        \
	     "Too many packets wait for the next hop's answer on the physical network.")            \
	DROP(NAT_EXHAUSTED, "nat-exhausted",                                                        \
	     "Every port of the router's address is in use towards this destination.")              \
	DROP(NAT_NO_STATE, "nat-no-state",                                                          \
	     "For a translated address, and belongs to no flow that is known.")                     \
	DROP(NAT_PROTOCOL, "nat-protocol", "A packet of this kind cannot be translated.")           \
	DROP(REVERSE_PATH, "reverse-path",                                                          \
	     "Its source address is on the other side of the router, or this node's own.")          \
	DROP(UPLINK_LOOP, "uplink-loop",                                                            \
	     "The physical network sent a frame whose source MAC is this node's own.")              \
	DROP(VLAN_UNKNOWN, "vlan-unknown",                                                          \
	     "A frame from the physical network with a VLAN tag that no network here has.")         \
	DROP(NO_CARRIER, "no-carrier",                                                              \
	     "The physical network's device has no carrier: look at its cable and switch.")         \
	DROP(SERVICE_ADDRESS, "service-address",                                                    \
	     "To this node's own services, which take only DHCP and metadata. "                     \
	     "If it was for the subnet's gateway: no router is there.")                             \
	DROP(UNTAGGED, "untagged",                                                                  \
	     "A frame without a VLAN tag from a physical network on which no flat network is.")     \
	DROP(METADATA_OFF, "metadata-off", "For the metadata service, which is not configured.")    \
	DROP(INTERNAL, "internal", "The datapath's own state was inconsistent; please report it.")

enum drop {
#define DROP(name, word, sentence) DROP_##name,
	WEFT_DROPS(DROP)
#undef DROP
		DROP_COUNT
};

const char *weft_drop_word(enum drop reason);
const char *weft_drop_sentence(enum drop reason);
