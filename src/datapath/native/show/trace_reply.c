// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/trace_reply.h"

#include <netinet/in.h>
#include <rte_ether.h>
#include <string.h>

#include "datapath/native/carry/route.h"
#include "datapath/frames/services.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/carry/slow_session.h"

#define ANSWER_TTL 64

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t was[16];

	memcpy(was, a, n);
	memcpy(a, b, n);
	memcpy(b, was, n);
}

// A word of what a checksum covers changes, and the checksum with it (RFC 1624, eqn. 3).
static void change(uint8_t *csum, uint8_t *word, uint16_t to)
{
	uint32_t sum = (uint16_t) ~((uint32_t)csum[0] << 8 | csum[1]);

	sum += (uint16_t) ~((uint32_t)word[0] << 8 | word[1]) + (uint32_t)to;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	csum[0] = (uint8_t)(sum >> 8);
	csum[1] = (uint8_t)sum;
	word[0] = (uint8_t)(to >> 8);
	word[1] = (uint8_t)to;
}

static void answer_ip(uint8_t *ip, uint8_t family)
{
	if (family == 4) {
		change(ip + 10, ip + 8, (uint16_t)(ANSWER_TTL << 8 | ip[9]));
		swap(ip + 12, ip + 16, 4);
	} else {
		ip[7] = ANSWER_TTL;
		swap(ip + 8, ip + 24, 16);
	}
}

bool weft_trace_answer(struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *), *l4;
	struct flow_key back;
	struct packet p;

	if (weft_packet_parse(frame, m->data_len, m->pkt_len, NATIVE_NO_PORT, &p) != DROP_NONE ||
	    p.kind != PACKET_IP || p.fragment != FRAGMENT_NONE || p.l4 == 0 ||
	    !weft_flow_reverse(&p.key, NATIVE_NO_PORT, &back))
		return false;
	l4 = frame + p.l4;
	swap(frame, frame + 6, 6);
	answer_ip(frame + p.l3, p.key.family);
	if (p.icmp_query) // type and code, as a flow has them in place of a port
		change(l4 + 2, l4, rte_be_to_cpu_16(back.dport));
	else if (p.key.sport != 0 || p.key.dport != 0)
		swap(l4, l4 + 2, 2);
	if (p.key.proto == IPPROTO_TCP)
		change(l4 + 16, l4 + 12,
		       (uint16_t)(l4[12] << 8 | ((p.tcp_flags & 0x12) == 0x02 ? 0x12 : 0x10)));
	return true;
}

enum drop weft_trace_reply(const struct judge *j, struct rte_mbuf *m)
{
	// As slow_make.c composes them; translated ones are IPv4, so the pair lies as in the table.
	struct session pair[2] = {{.key.family = j->pkt->key.family},
				  {.key.family = j->pkt->key.family}};
	enum drop why = weft_judge_reply(j);
	struct packet p;

	if (why == DROP_NONE)
		why = native_send_drop(native_port(j->node, j->in->index));
	if (why == DROP_NONE)
		why = weft_packet_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
					m->pkt_len, NATIVE_NO_PORT, &p);
	if (why != DROP_NONE)
		return why;
	if (j->hops > 0 && p.ttl <= j->hops)
		return DROP_TTL;
	pair[0].key.proto = j->pkt->key.proto;
	pair[0].key.src4 = j->pkt->key.src4;
	pair[0].key.dst4 = j->pkt->key.dst4;
	pair[0].key.sport = j->pkt->key.sport;
	pair[0].key.dport = j->pkt->key.dport;
	pair[1].key.proto = j->pkt->key.proto;
	pair[1].flags = (uint16_t)(SESSION_REPLY | j->hops << SESSION_HOPS_SHIFT |
				   (judge_translates(j) ? SESSION_NAT : 0));
	weft_eth_swap(pair[1].eth_out, j->eth);
	weft_session_rewrite(m, &pair[1], p.l4);
	return DROP_NONE;
}
