// SPDX-License-Identifier: Apache-2.0
// Datagrams are in a hash and in two queues by age: of all, for the timeout, and of their port, so that a port that sends
// more than its share only pushes out its own.
//
// Every first fragment is judged by its own ports, so one with other ports than before (the 16-bit id came around) just
// takes the datagram over. When all of a datagram's bytes went by it is forgotten, so the next with its id starts anew.
#include "datapath/native/fragment.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define LIFE_MS	   30000
#define PORTS	   (UINT16_MAX + 1)
#define PORT_SHARE 4 // a port may have 1/4 of the datagrams and of the waiting fragments
#define NONE	   UINT32_MAX

struct queue { // of datagrams, oldest first
	uint32_t first, last;
};

struct link {
	uint32_t prev, next;
};

struct datagram {
	struct flow_key name;  // sport and dport hold the id; proto only in IPv4 (RFC 791, 8200)
	uint32_t hash, chain;  // next in its bucket, or in the list of free ones
	struct link all, port; // in the queues
	uint32_t born_ms;
	uint32_t held, held_last; // waiting fragments in order of arrival
	uint32_t first_len;	  // bytes that the first fragment covers
	uint32_t bytes, total;	  // that went by; 0: the last fragment was not seen yet
	rte_be16_t sport, dport;
	uint8_t proto, icmp_type, icmp_code;
	bool icmp_query;
	bool known; // the first fragment was seen
	bool bad;   // something overlapped the first fragment: the rest goes too (RFC 5722)
};

struct held {
	struct rte_mbuf *m;
	uint32_t next;
	uint16_t port;
};

struct port_use {
	struct queue queue; // + 1, so that zeroed memory is empty
	uint32_t datagrams, held;
};

struct fragments {
	struct datagram *datagrams;
	struct held *held;
	uint32_t *buckets;
	struct port_use *ports; // by index; only touched pages take memory
	uint32_t n_datagrams, n_held, mask;
	uint32_t free_datagram, free_held;
	struct queue all;
	uint32_t doomed; // fragments of pushed-out datagrams, to be handed out as expired
};

struct fragments *weft_fragments_new(uint32_t datagrams, uint32_t held)
{
	struct fragments *f = calloc(1, sizeof(*f));
	uint32_t buckets = 16;

	if (f == NULL)
		return NULL;
	f->n_datagrams = datagrams < PORT_SHARE ? PORT_SHARE : datagrams;
	f->n_held = held < PORT_SHARE ? PORT_SHARE : held;
	while (buckets < f->n_datagrams)
		buckets *= 2;
	f->mask = buckets - 1;
	f->datagrams = calloc(f->n_datagrams, sizeof(*f->datagrams));
	f->held = calloc(f->n_held, sizeof(*f->held));
	f->buckets = malloc(buckets * sizeof(*f->buckets));
	f->ports = calloc(PORTS, sizeof(*f->ports));
	if (f->datagrams == NULL || f->held == NULL || f->buckets == NULL || f->ports == NULL) {
		weft_fragments_free(f);
		return NULL;
	}
	memset(f->buckets, 0xff, buckets * sizeof(*f->buckets));
	for (uint32_t i = 0; i < f->n_datagrams; i++)
		f->datagrams[i].chain = i + 1 < f->n_datagrams ? i + 1 : NONE;
	for (uint32_t i = 0; i < f->n_held; i++)
		f->held[i].next = i + 1 < f->n_held ? i + 1 : NONE;
	f->all.first = f->all.last = f->doomed = NONE;
	return f;
}

void weft_fragments_free(struct fragments *f)
{
	if (f == NULL)
		return;
	for (uint32_t i = 0; f->held != NULL && i < f->n_held; i++)
		rte_pktmbuf_free(f->held[i].m);
	free(f->datagrams);
	free(f->held);
	free(f->buckets);
	free(f->ports);
	free(f);
}

// ---- Queues: a datagram's number stands in them as number + 1 in the port's, so that zero is empty.

static void queue_all(struct fragments *f, uint32_t d)
{
	f->datagrams[d].all = (struct link) {.prev = f->all.last, .next = NONE};
	if (f->all.last != NONE)
		f->datagrams[f->all.last].all.next = d;
	else
		f->all.first = d;
	f->all.last = d;
}

static void unqueue_all(struct fragments *f, uint32_t d)
{
	struct link l = f->datagrams[d].all;

	*(l.prev != NONE ? &f->datagrams[l.prev].all.next : &f->all.first) = l.next;
	*(l.next != NONE ? &f->datagrams[l.next].all.prev : &f->all.last) = l.prev;
}

static void queue_port(struct fragments *f, uint32_t d)
{
	struct port_use *u = &f->ports[f->datagrams[d].name.in_port];

	f->datagrams[d].port = (struct link) {.prev = u->queue.last, .next = 0};
	if (u->queue.last != 0)
		f->datagrams[u->queue.last - 1].port.next = d + 1;
	else
		u->queue.first = d + 1;
	u->queue.last = d + 1;
	u->datagrams++;
}

static void unqueue_port(struct fragments *f, uint32_t d)
{
	struct port_use *u = &f->ports[f->datagrams[d].name.in_port];
	struct link l = f->datagrams[d].port;

	*(l.prev != 0 ? &f->datagrams[l.prev - 1].port.next : &u->queue.first) = l.next;
	*(l.next != 0 ? &f->datagrams[l.next - 1].port.prev : &u->queue.last) = l.prev;
	u->datagrams--;
}

// ---- Waiting fragments

// The oldest of a list; its place is free again.
static struct rte_mbuf *held_pop(struct fragments *f, uint32_t *list)
{
	struct held *h = &f->held[*list];
	uint32_t place = *list;
	struct rte_mbuf *m = h->m;

	*list = h->next;
	h->m = NULL;
	h->next = f->free_held;
	f->free_held = place;
	f->ports[h->port].held--;
	return m;
}

static bool held_push(struct fragments *f, struct datagram *d, struct rte_mbuf *m)
{
	struct port_use *u = &f->ports[d->name.in_port];
	uint32_t place = f->free_held;

	if (place == NONE || u->held >= f->n_held / PORT_SHARE)
		return false;
	f->free_held = f->held[place].next;
	f->held[place] = (struct held) {.m = m, .next = NONE, .port = d->name.in_port};
	if (d->held == NONE)
		d->held = place;
	else
		f->held[d->held_last].next = place;
	d->held_last = place;
	u->held++;
	return true;
}

// ---- Datagrams

static struct flow_key name_of(const struct packet *p)
{
	struct flow_key name = p->key;

	// IPv6 may have other headers between the fragment header and the transport, so the first fragment's protocol
	// is not the others'.
	if (name.family == 6)
		name.proto = 0;
	name.sport = (rte_be16_t)(p->frag_id >> 16);
	name.dport = (rte_be16_t)p->frag_id;
	return name;
}

static uint32_t find(const struct fragments *f, const struct flow_key *name, uint32_t hash)
{
	uint32_t d = f->buckets[hash & f->mask];

	while (d != NONE &&
	       (f->datagrams[d].hash != hash || !weft_flow_equal(&f->datagrams[d].name, name)))
		d = f->datagrams[d].chain;
	return d;
}

static void forget(struct fragments *f, uint32_t number)
{
	struct datagram *d = &f->datagrams[number];
	uint32_t *at = &f->buckets[d->hash & f->mask];

	while (*at != number)
		at = &f->datagrams[*at].chain;
	*at = d->chain;
	unqueue_all(f, number);
	unqueue_port(f, number);
	// Whoever still waits is handed out as expired, and counts for its port until then.
	while (d->held != NONE) {
		uint32_t place = d->held;
		d->held = f->held[place].next;
		f->held[place].next = f->doomed;
		f->doomed = place;
	}
	d->chain = f->free_datagram;
	f->free_datagram = number;
}

static struct datagram *create(struct fragments *f, const struct flow_key *name, uint32_t hash,
			       uint32_t now_ms)
{
	struct port_use *u = &f->ports[name->in_port];

	if (u->datagrams >= f->n_datagrams / PORT_SHARE)
		forget(f, u->queue.first - 1);
	else if (f->free_datagram == NONE)
		forget(f, f->all.first);

	uint32_t number = f->free_datagram;
	struct datagram *d = &f->datagrams[number];
	f->free_datagram = d->chain;
	*d = (struct datagram) {
		.name = *name, .hash = hash, .born_ms = now_ms, .held = NONE, .held_last = NONE};
	d->chain = f->buckets[hash & f->mask];
	f->buckets[hash & f->mask] = number;
	queue_all(f, number);
	queue_port(f, number);
	return d;
}

// ---- Fragments

struct extent { // of one fragment, in the datagram's payload
	uint32_t len;
	bool more;
};

// The parser has checked all the headers that this walks over.
static struct extent extent_of(const struct rte_mbuf *m, const struct packet *p)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3);
	uint32_t at = 40, header;
	uint8_t next = ip[6];

	if (p->key.family == 4) {
		header = (ip[0] & 0x0fu) * 4;
		return (struct extent) {.len = p->l3_len - header, .more = (ip[6] & 0x20) != 0};
	}
	while (next != IPPROTO_FRAGMENT) {
		header = next == IPPROTO_AH ? (ip[at + 1] + 2u) * 4 : (ip[at + 1] + 1u) * 8;
		next = ip[at];
		at += header;
	}
	return (struct extent) {.len = p->l3_len - at - 8, .more = (ip[at + 3] & 1) != 0};
}

// No first fragment needs to be known to see that this would reach into a TCP header (RFC 1858, 3128).
static bool is_inside_header(const struct packet *p)
{
	return p->fragment == FRAGMENT_LATER && p->key.proto == IPPROTO_TCP && p->frag_offset < 20;
}

static void remember_first(struct datagram *d, const struct packet *p, uint32_t len)
{
	// Of several first fragments the longest counts: a receiver may put together any of them with what follows.
	if (!d->known || len > d->first_len)
		d->first_len = len;
	d->known = true;
	d->bad = false;
	d->bytes = 0;
	d->total = 0;
	d->sport = p->key.sport;
	d->dport = p->key.dport;
	d->proto = p->key.proto;
	d->icmp_query = p->icmp_query;
	d->icmp_type = p->icmp_type;
	d->icmp_code = p->icmp_code;
}

static void restore(const struct datagram *d, struct packet *p)
{
	p->first_known = true;
	p->key.sport = d->sport;
	p->key.dport = d->dport;
	p->key.proto = d->proto;
	p->icmp_query = d->icmp_query;
	p->icmp_type = d->icmp_type;
	p->icmp_code = d->icmp_code;
}

static enum fragment_result later(struct fragments *f, struct datagram *d, struct rte_mbuf *m,
				  struct packet *p, enum drop *why)
{
	if (!d->known) {
		if (held_push(f, d, m))
			return FRAGMENT_HELD;
		*why = DROP_FRAG_FULL;
		return FRAGMENT_DROP;
	}
	if (p->frag_offset < d->first_len)
		d->bad = true;
	if (d->bad) {
		*why = DROP_FRAG_OVERLAP;
		return FRAGMENT_DROP;
	}
	restore(d, p);
	return FRAGMENT_GO;
}

enum fragment_result weft_fragment_in(struct fragments *f, struct rte_mbuf *m, struct packet *p,
				      uint32_t now_ms, enum drop *why)
{
	struct flow_key name = name_of(p);
	uint32_t hash = weft_flow_hash(&name), number = find(f, &name, hash);
	struct extent e = extent_of(m, p);
	struct datagram *d;

	*why = DROP_NONE;
	if (is_inside_header(p)) {
		*why = DROP_FRAG_OVERLAP;
		return FRAGMENT_DROP;
	}
	// Not yet swept, but too old to say anything about this one.
	if (number != NONE && (int32_t)(now_ms - f->datagrams[number].born_ms) > LIFE_MS) {
		forget(f, number);
		number = NONE;
	}
	d = number != NONE ? &f->datagrams[number] : create(f, &name, hash, now_ms);

	if (p->fragment == FRAGMENT_FIRST) {
		remember_first(d, p, e.len);
	} else {
		enum fragment_result result = later(f, d, m, p, why);
		if (result != FRAGMENT_GO)
			return result;
	}
	d->bytes += e.len;
	if (!e.more)
		d->total = p->frag_offset + e.len;
	if (d->total != 0 && d->bytes >= d->total)
		forget(f, (uint32_t)(d - f->datagrams));
	return FRAGMENT_GO;
}

uint16_t weft_fragments_take(struct fragments *f, const struct packet *p, struct rte_mbuf **out,
			     uint16_t n)
{
	struct flow_key name = name_of(p);
	uint32_t number = find(f, &name, weft_flow_hash(&name));
	uint16_t taken = 0;

	if (number == NONE || !f->datagrams[number].known)
		return 0;
	struct datagram *d = &f->datagrams[number];
	while (taken < n && d->held != NONE)
		out[taken++] = held_pop(f, &d->held);
	return taken;
}

uint16_t weft_fragments_expire(struct fragments *f, uint32_t now_ms, struct rte_mbuf **out,
			       uint16_t n)
{
	uint16_t taken = 0;

	while (f->all.first != NONE &&
	       (int32_t)(now_ms - f->datagrams[f->all.first].born_ms) > LIFE_MS)
		forget(f, f->all.first);
	while (taken < n && f->doomed != NONE)
		out[taken++] = held_pop(f, &f->doomed);
	return taken;
}
