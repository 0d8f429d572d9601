// SPDX-License-Identifier: Apache-2.0
// What the VMs send each other, and whether it arrived as it must.
//
// A user is a UDP 5-tuple from A to B and its reverse. Its number is in the payload, so that the
// receiver can tell which ports it must have. Numbers below FRESH_FIRST are users that come
// again; above are those that are used once: A asks, B answers.
#pragma once

#include <jansson.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SPORTS	    50000
#define FIRST_PORT  1024
#define FIRST_DEST  5000
#define DESTS	    1000 // as many ports as the receiver's group admits
#define FRESH_FIRST (1u << 20)
#define FRESH_END   ((uint32_t)SPORTS * DESTS)
#define PATTERN	    64 // where the payload's constant bytes begin
#define FRAME_MAX   1518
#define MAGIC	    0x77e7

struct __attribute__((packed)) frame {
	uint8_t eth[12];
	rte_be16_t type;
	uint8_t version_ihl, tos;
	rte_be16_t total_len, id, frag;
	uint8_t ttl, proto;
	uint16_t csum;
	rte_be32_t src, dst;
	rte_be16_t sport, dport, udp_len;
	uint16_t udp_csum;
	uint16_t magic;
	uint8_t way, zero;
	uint32_t user;
	uint64_t tsc;
	uint8_t pad[6];
};
_Static_assert(sizeof(struct frame) == PATTERN, "written as one line");

struct way { // one direction: what is sent and what must arrive
	struct frame sent;
	uint8_t got_eth[12];
	bool check_eth;
	rte_be32_t got_src, got_dst;
	uint8_t got_ttl;
	uint16_t len; // without FCS
};

extern uint8_t packet_pattern[FRAME_MAX];

// The pattern, in every buffer of the pool that is sent from.
void packets_init(struct rte_mempool *pool);

// From the command's description of direction 0 (A to B) or 1; len without FCS. False if it is
// wrong.
bool way_read(const json_t *o, int number, uint16_t len, struct way *w);

static inline uint16_t ip_sum(const struct frame *f)
{
	uint16_t w[10];
	uint32_t sum = 0;

	memcpy(w, &f->version_ihl, sizeof(w));
	for (size_t i = 0; i < 10; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static inline rte_be16_t near_port(uint32_t user)
{
	return rte_cpu_to_be_16((uint16_t)(FIRST_PORT + user % SPORTS));
}

static inline rte_be16_t far_port(uint32_t user)
{
	return rte_cpu_to_be_16((uint16_t)(FIRST_DEST + user / SPORTS));
}

static inline void packet_make(struct rte_mbuf *m, const struct way *way, uint32_t user, bool timed)
{
	struct frame *f = rte_pktmbuf_mtod(m, struct frame *);
	bool from_a = way->sent.way == 0;

	memcpy(f, &way->sent, sizeof(*f));
	f->sport = from_a ? near_port(user) : far_port(user);
	f->dport = from_a ? far_port(user) : near_port(user);
	f->user = user;
	if (timed)
		f->tsc = rte_rdtsc();
	m->data_len = way->len;
	m->pkt_len = way->len;
}

// whole: look at every byte of the payload
static inline bool packet_is_good(const struct rte_mbuf *m, const struct way *way, bool whole)
{
	const struct frame *f = rte_pktmbuf_mtod(m, const struct frame *);
	bool from_a = way->sent.way == 0;
	rte_be16_t near, far;

	if (m->pkt_len != way->len || f->magic != MAGIC || f->way != way->sent.way)
		return false;
	near = near_port(f->user);
	far = far_port(f->user);
	if ((way->check_eth && memcmp(f->eth, way->got_eth, 12) != 0) ||
	    f->type != way->sent.type || f->version_ihl != 0x45 ||
	    f->total_len != way->sent.total_len || f->proto != 17 || f->ttl != way->got_ttl ||
	    f->src != way->got_src || f->dst != way->got_dst || ip_sum(f) != 0xffff ||
	    f->sport != (from_a ? near : far) || f->dport != (from_a ? far : near))
		return false;
	if (whole && way->len > PATTERN)
		return m->nb_segs == 1 &&
		       memcmp((const uint8_t *)f + PATTERN, packet_pattern + PATTERN,
			      (size_t)way->len - PATTERN) == 0;
	return true;
}
