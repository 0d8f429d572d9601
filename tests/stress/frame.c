// SPDX-License-Identifier: Apache-2.0
#include "tests/stress/frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define ETH	  14
#define TTL	  64
#define COMPLETE  49152 // IP ids below: of datagrams of which all fragments are sent
#define FRAG_STEP 8

static uint8_t pattern[256 + VM_FRAME];

void frame_init(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 31 + 3);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint64_t sum(const uint8_t *p, size_t len, uint64_t from)
{
	for (; len >= 4; p += 4, len -= 4) {
		uint32_t word;

		memcpy(&word, p, 4);
		from += word;
	}
	if (len > 0) {
		uint8_t rest[4] = {0};
		uint32_t word;

		memcpy(rest, p, len);
		memcpy(&word, rest, 4);
		from += word;
	}
	return from;
}

static void put_sum(uint8_t *at, uint64_t s, bool zero_means_none)
{
	uint16_t folded;

	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	folded = (uint16_t)~s;
	if (folded == 0 && zero_means_none)
		folded = 0xffff;
	memcpy(at, &folded, 2);
}

// ---- Who and where -------------------------------------------------------------------------

struct ends {
	const uint8_t *src, *dst; // addresses
	uint8_t eth[12];
	uint8_t ttl;
};

static const uint8_t *gateway_of(const struct vm *v, uint8_t family)
{
	return family == 4 ? v->gateway : v->gateway6;
}

// The receiver's own address, unless the class says otherwise.
static const uint8_t *got_dst(const struct class *c, const struct vm *receiver)
{
	static const uint8_t none[16];

	if (memcmp(c->got_dst, none, 16) != 0)
		return c->got_dst;
	return c->family == 4 ? receiver->ip : receiver->ip6;
}

static void find_ends(const struct class *c, const struct vm *vms, const struct tag *t,
		      bool arrived, uint8_t receiver, struct ends *e)
{
	const struct vm *asker = &vms[c->from], *other = &vms[t->target];
	const struct vm *from = t->dir == 0 ? asker : other, *to = t->dir == 0 ? other : asker;

	if (t->dir == 0 && receiver != NOBODY)
		to = &vms[receiver];
	if (t->dir == 0) {
		e->src = arrived ? c->got_src : c->src;
		e->dst = arrived && c->kind != KIND_BCAST ? got_dst(c, to) : c->dst;
	} else {
		e->src = arrived ? c->dst : got_dst(c, from);
		e->dst = arrived ? c->src : c->got_src;
	}
	e->ttl = (uint8_t)(arrived ? TTL - c->hops : TTL);
	if (c->kind == KIND_BCAST) {
		memset(e->eth, 0xff, 6);
		memcpy(e->eth + 6, from->mac, 6);
	} else if (!c->routed) {
		memcpy(e->eth, to->mac, 6);
		memcpy(e->eth + 6, from->mac, 6);
	} else {
		memcpy(e->eth, arrived ? to->mac : gateway_of(from, c->family), 6);
		memcpy(e->eth + 6, arrived ? gateway_of(to, c->family) : from->mac, 6);
	}
	if (c->spoofed_mac && t->dir == 0)
		e->eth[11] ^= 0x55;
}

// ---- Headers -------------------------------------------------------------------------------

static uint8_t protocol_of(const struct class *c)
{
	switch (c->kind) {
	case KIND_TCP:
		return IPPROTO_TCP;
	case KIND_ICMP:
		return c->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	default:
		return IPPROTO_UDP;
	}
}

// A fragment's place in its datagram, in bytes; the second of an overlapping one begins before
// the first ends.
static uint32_t fragment_unit(const struct tag *t)
{
	return 64 + FRAG_STEP * (t->flow % 100);
}

static uint32_t fragment_offset(const struct tag *t)
{
	uint32_t n = t->l4 & 15, unit = fragment_unit(t);

	return n == 1 && t->l4 >> 4 == ORDER_OVERLAP ? unit - FRAG_STEP : n * unit;
}

static uint16_t ip_id(const struct class *c, const struct tag *t)
{
	if (c->kind != KIND_FRAG)
		return (uint16_t)t->seq;
	if (t->l4 >> 4 == ORDER_FORWARD || t->l4 >> 4 == ORDER_BACKWARD)
		return (uint16_t)(t->seq % COMPLETE);
	return (uint16_t)(COMPLETE + t->seq % (65536 - COMPLETE));
}

static void make_ip(const struct class *c, const struct tag *t, const struct ends *e, uint8_t *ip)
{
	uint32_t len = t->len - ETH;

	if (c->family == 6) {
		memset(ip, 0, 8);
		ip[0] = 0x60;
		put16(ip + 4, len - 40);
		ip[6] = protocol_of(c);
		ip[7] = e->ttl;
		memcpy(ip + 8, e->src, 16);
		memcpy(ip + 24, e->dst, 16);
		return;
	}
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, len);
	put16(ip + 4, ip_id(c, t));
	if (c->kind == KIND_FRAG)
		put16(ip + 6, fragment_offset(t) / 8 | ((t->l4 & 15) < 2 ? 0x2000 : 0));
	ip[8] = e->ttl;
	ip[9] = protocol_of(c);
	memcpy(ip + 12, e->src, 4);
	memcpy(ip + 16, e->dst, 4);
	put_sum(ip + 10, sum(ip, 20, 0), false);
}

// Ports of the asker and the other.
static void ports_of(const struct class *c, const struct tag *t, uint16_t *near, uint16_t *far)
{
	*near = c->sport;
	*far = c->dport;
	if (c->kind == KIND_FLOOD) {
		*near = (uint16_t)(c->sport + t->flow % 32768);
		*far = (uint16_t)(c->dport + t->flow / 32768 % 900);
	} else if (c->kind == KIND_TCP) {
		*near = (uint16_t)(c->sport + t->flow % 16384);
	} else {
		*near = (uint16_t)(c->sport + t->flow);
	}
}

static size_t transport_length(const struct class *c, const struct tag *t)
{
	switch (c->kind) {
	case KIND_TCP:
		return 20;
	case KIND_FRAG:
		return (t->l4 & 15) == 0 ? 8 : 0;
	default:
		return 8;
	}
}

static void make_transport(const struct class *c, const struct tag *t, uint8_t *l4)
{
	uint16_t near, far;

	ports_of(c, t, &near, &far);
	memset(l4, 0, transport_length(c, t));
	switch (c->kind) {
	case KIND_ICMP:
		l4[0] = c->family == 4 ? (t->dir == 0 ? 8 : 0) : (t->dir == 0 ? 128 : 129);
		put16(l4 + 4, near);
		put16(l4 + 6, t->seq);
		return;
	case KIND_FRAG:
		if ((t->l4 & 15) != 0)
			return;
		break;
	default:
		break;
	}
	put16(l4, t->dir == 0 ? near : far);
	put16(l4 + 2, t->dir == 0 ? far : near);
	if (c->kind == KIND_TCP) {
		put16(l4 + 6, t->seq);
		l4[12] = 0x50;
		l4[13] = t->l4;
		put16(l4 + 14, 0xffff);
	} else if (c->kind == KIND_FRAG) {
		put16(l4 + 4, 2 * fragment_unit(t) + sizeof(struct tag) + 16);
	}
}

// Over what l4 has; a fragment has none.
static void make_checksum(const struct class *c, const struct ends *e, uint8_t *l4, size_t len)
{
	uint8_t proto = protocol_of(c);
	size_t size = c->family == 4 ? 4 : 16, at = proto == IPPROTO_TCP   ? 16
						    : proto == IPPROTO_UDP ? 6
									   : 2;
	uint64_t s = 0;

	if (c->kind == KIND_FRAG)
		return;
	if (proto == IPPROTO_UDP)
		put16(l4 + 4, (uint32_t)len);
	if (proto != IPPROTO_ICMP) {
		s = sum(e->src, size, s);
		s = sum(e->dst, size, s);
		s += htons((uint16_t)len) + (uint64_t)htons(proto);
	}
	put_sum(l4 + at, sum(l4, len, s), proto == IPPROTO_UDP);
}

// ---- Frames --------------------------------------------------------------------------------

static size_t ip_length(const struct class *c)
{
	return c->family == 4 ? 20 : 40;
}

uint16_t frame_length(const struct class *c, const struct tag *t, uint16_t payload)
{
	uint32_t n = t->l4 & 15;

	if (c->kind != KIND_FRAG)
		return (uint16_t)(ETH + ip_length(c) + transport_length(c, t) + sizeof(struct tag) +
				  payload);
	// All but the last fill their unit.
	return (uint16_t)(ETH + 20 + (n < 2 ? fragment_unit(t) : sizeof(struct tag) + 16));
}

size_t frame_make(const struct class *c, const struct vm *vms, const struct tag *t, bool arrived,
		  uint8_t receiver, uint8_t *out)
{
	size_t l3 = ETH, l4 = l3 + ip_length(c), tag = l4 + transport_length(c, t),
	       rest = tag + sizeof(*t);
	struct ends e;

	find_ends(c, vms, t, arrived, receiver, &e);
	memcpy(out, e.eth, 12);
	put16(out + 12, c->family == 4 ? 0x0800 : 0x86dd);
	make_ip(c, t, &e, out + l3);
	make_transport(c, t, out + l4);
	memcpy(out + tag, t, sizeof(*t));
	if (t->len > rest)
		memcpy(out + rest, pattern + (t->seq & 255), t->len - rest);
	make_checksum(c, &e, out + l4, t->len - l4);
	return t->len;
}

const uint8_t *frame_find_tag(const uint8_t *frame, uint32_t len)
{
	uint32_t at = ETH;
	uint8_t proto;

	if (len < ETH + 40)
		return NULL;
	if (frame[12] == 0x08 && frame[13] == 0x00) {
		proto = frame[at + 9];
		if (((frame[at + 6] & 0x1f) | frame[at + 7]) != 0)
			proto = 0; // a later fragment
		at += 20;
	} else if (frame[12] == 0x86 && frame[13] == 0xdd) {
		proto = frame[at + 6];
		at += 40;
	} else {
		return NULL;
	}
	at += proto == 0 ? 0 : proto == IPPROTO_TCP ? 20 : 8;
	return at + sizeof(struct tag) <= len ? frame + at : NULL;
}

size_t frame_make_arp(const struct class *c, const struct vm *vm, bool spoofed, uint8_t *out)
{
	static const uint8_t head[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};

	memset(out, 0, 60);
	memset(out, 0xff, 6);
	memcpy(out + 6, vm->mac, 6);
	memcpy(out + 12, head, sizeof(head));
	memcpy(out + 22, vm->mac, 6);
	memcpy(out + 28, spoofed ? c->src : vm->ip, 4);
	memcpy(out + 38, c->dst, 4);
	return 60;
}
