// SPDX-License-Identifier: Apache-2.0
// NAT: what a translated flow's packets become, and the ports of shared addresses. IPv4 only;
// IPv6 is routed.
//
// A translated flow is a session with SESSION_NAT: what leaves in one direction is what enters in
// the other, reversed, so a direction becomes its peer's key reversed. There is no other table.
// Every translated packet has a session; what cannot have one (errors about unknown flows,
// unasked answers) is dropped.
//
// Ports  Source NAT to an address that many share keeps no list of ports either. A flow tries
//        ports in a sequence that its own end (address, port, protocol) gives: first its own
//        port, then keyed hashes of it. The session table is the arbiter: a port is free if
//        nobody has the reply's key. So one address carries as many flows as there are
//        destinations, times 64,512; most mappings are the same for all destinations, and are the
//        same again after a restart.
//
//        After a restart flows are picked up in the middle. Who had another port than its own
//        then takes its own one, if it is the first; slow_claim.c finds out, and gives it to
//        whose it is.
//
// What it holds of RFC 4787 (UDP), 5382 (TCP) and 5508 (ICMP):
//   yes     mapping: one address per router; ports from the range of the original (below 1024, or
//           not); no ALGs; deterministic; hairpinning to floating IPs, with the external source;
//           errors never end a mapping; fragmentation needed is told, errors are translated
//           inside, both ways; fragments in any order; TCP's simultaneous open; unasked SYNs get
//           no answer; outbound and inbound packets refresh; exhaustion is told (administratively
//           prohibited)
//   mostly  endpoint-independent mapping (RFC 4787, REQ-1): but another port is taken where the
//           same one would clash; the parity of ports
//   no      ports are shared between flows to different destinations (REQ-3); filtering is
//           address and port dependent (REQ-8), so what a SNATed host has opened is not reached
//           through the router's address by others, hairpinning there included; the shortest
//           timeouts are the configuration's and by default those of sessions: 30 s for
//           unanswered UDP (REQ-5: 120) and for ICMP (RFC 5508, REQ-2: 60), less than RFC 5382's
//           4 min for opening and closing connections. Wrong checksums stay wrong by as much
//           (they are updated, not made anew), so the receiver refuses what was broken.
//
// Protocols  TCP, UDP, UDP-Lite, DCCP and ICMP queries: address and port (identifier). SCTP:
//            address; its checksum covers the port but not the address, so a port that is taken
//            is not replaced. All others: address; one flow to each remote address.
//
// Threads    the worker; the trace asks for candidates, too
#pragma once

#include <rte_mbuf.h>

#include "datapath/frames/packet.h"
#include "datapath/native/session/session.h"

#define NAT_TRIES 128

// What a packet of this direction leaves as; in_port stays. Without SESSION_NAT it is the
// direction's own key.
void weft_nat_leaves_as(const struct session *s, struct flow_key *out);

// An ICMP error that travels with the direction, about a packet of the other one (RFC 5508, 4.2):
// *quote is that packet as its sender knows it, *out what the error itself leaves as.
void weft_nat_error_leaves_as(const struct session *s, const struct packet *error,
			      struct flow_key *out, struct flow_key *quote);

// The port (in an ICMP query: identifier) to try as the n-th for the flow that enters as `key`.
// False: there are no more.
bool weft_nat_candidate(const struct flow_key *key, uint32_t n, rte_be16_t *sport);

// Translate a packet of a live SESSION_NAT direction. l4: offset of its transport header; 0 = a
// later fragment. MACs and TTL are not touched. The headers are writable and in the first
// segment.
void weft_nat_carry(struct rte_mbuf *m, const struct session *s, uint16_t l4);

// The same for any parsed packet: it becomes `to`.
void weft_nat_rewrite(struct rte_mbuf *m, const struct packet *p, const struct flow_key *to);

// Translate an ICMP error: its addresses become those of `to`, the packet that it quotes becomes
// `quote` (RFC 5508, 4.2). What the quotation was cut off from is left out.
void weft_nat_rewrite_error(struct rte_mbuf *m, const struct packet *p, const struct flow_key *to,
			    const struct flow_key *quote);
