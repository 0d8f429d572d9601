// SPDX-License-Identifier: Apache-2.0
// Datagrams are in a hash and in queues by age: of all, for the timeout, of their port, and those
// of their port that have fragments waiting. Who has how many datagrams, and how many buffers wait
// for whom, is counted by shares.h: a port that sends more than its share only pushes out its own,
// and when everything is taken whoever has most gives way.
//
// Every first fragment is judged by its own ports, so one that is another than before (the 16-bit
// id came around) just takes the datagram over. When all of a datagram's bytes went by it is
// forgotten, so the next with its id starts anew. A copy of a fragment that comes after that looks
// like a part of the next one, ahead of its first, and may be; so it waits, but not for long.
#include "datapath/native/packet/fragment.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/packet/ranges.h"
#include "datapath/native/packet/shares.h"

#define LIFE_MS	    30000
#define BRIEF_MS    1000 // more than the ways of one datagram's fragments differ by
#define WHOLE_MOST  256	 // a power of 2
#define PORTS	    (UINT16_MAX + 1)
#define PORT_SHARE  4 // a port may have 1/4 of the datagrams and of the waiting buffers
#define EXPIRE_MOST 64
#define NONE	    UINT32_MAX

struct queue { // of datagrams, oldest first: their numbers + 1, so that zeroed memory is empty
	uint32_t first, last;
};

enum queues { BY_AGE, OF_PORT, WAITING_OF_PORT, QUEUES };

struct datagram {
	struct flow_key name; // sport and dport hold the id; proto only in IPv4 (RFC 791, 8200)
	uint32_t hash, chain; // next in its bucket, or in the list of free ones
	struct {
		uint32_t prev, next;
	} in[QUEUES];
	uint32_t born_ms;
	uint32_t held, held_last; // waiting fragments in order of arrival
	uint32_t first_len;	  // bytes that the first fragment covers
	uint32_t total;		  // 0: the last fragment was not seen yet
	struct ranges seen;
	uint64_t head; // the first fragment's transport header, of which a copy has the same
	rte_be16_t sport, dport;
	uint8_t proto, icmp_type, icmp_code;
	bool icmp_query;
	bool known; // the first fragment was seen
	bool brief; // it was not, and one with this name was whole just now
	bool bad;   // something overlapped: the rest goes too (RFC 5722, 8200)
};

struct whole { // one that all went by
	struct flow_key name;
	uint32_t since_ms;
	bool there;
};

struct held {
	struct rte_mbuf *m;
	uint32_t next;
};

struct port_queues {
	struct queue of[2]; // OF_PORT, WAITING_OF_PORT
};

struct fragments {
	struct datagram *datagrams;
	struct held *held;
	uint32_t *buckets;
	struct port_queues *ports; // by index; only touched pages take memory
	uint32_t n_datagrams, n_held, mask;
	uint32_t free_datagram, free_held;
	struct queue by_age[2];		// the brief ones are in the second
	struct whole whole[WHOLE_MOST]; // by hash; the latest stays
	struct shares known;		// datagrams
	struct shares waiting;		// buffers
	fragment_drop drop;
	void *drop_arg;
};

static bool allocate(struct fragments *f, uint32_t buckets)
{
	f->datagrams = calloc(f->n_datagrams, sizeof(*f->datagrams));
	f->held = calloc(f->n_held, sizeof(*f->held));
	f->buckets = malloc(buckets * sizeof(*f->buckets));
	f->ports = calloc(PORTS, sizeof(*f->ports));
	return weft_shares_init(&f->known, f->n_datagrams, f->n_datagrams / PORT_SHARE) &&
	       weft_shares_init(&f->waiting, f->n_held, f->n_held / PORT_SHARE) &&
	       f->datagrams != NULL && f->held != NULL && f->buckets != NULL && f->ports != NULL;
}

struct fragments *weft_fragments_new(uint32_t datagrams, uint32_t buffers, fragment_drop drop,
				     void *arg)
{
	struct fragments *f = calloc(1, sizeof(*f));
	uint32_t buckets = 16;

	if (f == NULL)
		return NULL;
	f->drop = drop;
	f->drop_arg = arg;
	f->n_datagrams = datagrams < PORT_SHARE ? PORT_SHARE : datagrams;
	f->n_held = buffers < PORT_SHARE ? PORT_SHARE : buffers;
	while (buckets < f->n_datagrams)
		buckets *= 2;
	f->mask = buckets - 1;
	if (!allocate(f, buckets)) {
		weft_fragments_free(f);
		return NULL;
	}
	memset(f->buckets, 0xff, buckets * sizeof(*f->buckets));
	for (uint32_t i = 0; i < f->n_datagrams; i++)
		f->datagrams[i].chain = i + 1 < f->n_datagrams ? i + 1 : NONE;
	for (uint32_t i = 0; i < f->n_held; i++)
		f->held[i].next = i + 1 < f->n_held ? i + 1 : NONE;
	return f;
}

void weft_fragments_free(struct fragments *f)
{
	if (f == NULL)
		return;
	for (uint32_t i = 0; f->held != NULL && i < f->n_held; i++)
		rte_pktmbuf_free(f->held[i].m);
	weft_shares_fini(&f->known);
	weft_shares_fini(&f->waiting);
	free(f->datagrams);
	free(f->held);
	free(f->buckets);
	free(f->ports);
	free(f);
}

// ---- Queues --------------------------------------------------------------------------------

static struct queue *queue_of(struct fragments *f, const struct datagram *d, enum queues which)
{
	return which == BY_AGE ? &f->by_age[d->brief]
			       : &f->ports[d->name.in_port].of[which - OF_PORT];
}

static void enqueue(struct fragments *f, struct datagram *d, enum queues which)
{
	struct queue *q = queue_of(f, d, which);
	uint32_t number = (uint32_t)(d - f->datagrams) + 1;

	d->in[which].prev = q->last;
	d->in[which].next = 0;
	*(q->last != 0 ? &f->datagrams[q->last - 1].in[which].next : &q->first) = number;
	q->last = number;
}

static void dequeue(struct fragments *f, struct datagram *d, enum queues which)
{
	struct queue *q = queue_of(f, d, which);
	uint32_t prev = d->in[which].prev, next = d->in[which].next;

	*(prev != 0 ? &f->datagrams[prev - 1].in[which].next : &q->first) = next;
	*(next != 0 ? &f->datagrams[next - 1].in[which].prev : &q->last) = prev;
}

static struct datagram *first_in(struct fragments *f, const struct queue *q)
{
	return q->first == 0 ? NULL : &f->datagrams[q->first - 1];
}

static struct datagram *oldest(struct fragments *f, uint16_t port, enum queues which)
{
	return first_in(f, &f->ports[port].of[which - OF_PORT]);
}

static struct datagram *oldest_of_all(struct fragments *f)
{
	return first_in(f, &f->by_age[f->by_age[false].first == 0]);
}

// ---- Waiting fragments ---------------------------------------------------------------------

// The oldest of a datagram's; its place is free again.
static struct rte_mbuf *held_pop(struct fragments *f, struct datagram *d)
{
	struct held *h = &f->held[d->held];
	uint32_t place = d->held;
	struct rte_mbuf *m = h->m;

	d->held = h->next;
	if (d->held == NONE)
		dequeue(f, d, WAITING_OF_PORT);
	h->m = NULL;
	h->next = f->free_held;
	f->free_held = place;
	weft_shares_sub(&f->waiting, d->name.in_port, m->nb_segs);
	return m;
}

// ---- Datagrams -----------------------------------------------------------------------------

static struct flow_key name_of(const struct packet *p)
{
	struct flow_key name = p->key;

	// IPv6 may have other headers between the fragment header and the transport, so the first
	// fragment's protocol is not the others'.
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

// Whoever still waits is dropped.
static void forget(struct fragments *f, struct datagram *d, enum drop why)
{
	uint32_t number = (uint32_t)(d - f->datagrams), *at = &f->buckets[d->hash & f->mask];

	while (*at != number)
		at = &f->datagrams[*at].chain;
	*at = d->chain;
	while (d->held != NONE)
		f->drop(f->drop_arg, held_pop(f, d), why);
	dequeue(f, d, BY_AGE);
	dequeue(f, d, OF_PORT);
	weft_shares_sub(&f->known, d->name.in_port, 1);
	d->chain = f->free_datagram;
	f->free_datagram = number;
}

static bool was_whole(const struct fragments *f, const struct flow_key *name, uint32_t hash,
		      uint32_t now_ms)
{
	const struct whole *w = &f->whole[hash % WHOLE_MOST];

	return w->there && now_ms - w->since_ms <= BRIEF_MS && weft_flow_equal(&w->name, name);
}

static struct datagram *create(struct fragments *f, const struct flow_key *name, uint32_t hash,
			       bool brief, uint32_t now_ms)
{
	uint16_t who = name->in_port;
	struct datagram *d = NULL;
	uint32_t number;

	// One that has none, when nobody has more than one, takes the oldest.
	if (weft_shares_ask(&f->known, name->in_port, 1, &who) != SHARE_YES) {
		d = oldest(f, who, OF_PORT);
		forget(f, d != NULL ? d : oldest_of_all(f), DROP_FRAG_FULL);
	}
	number = f->free_datagram;
	d = &f->datagrams[number];
	f->free_datagram = d->chain;
	*d = (struct datagram) {.name = *name,
				.hash = hash,
				.born_ms = now_ms,
				.held = NONE,
				.held_last = NONE,
				.brief = brief};
	d->chain = f->buckets[hash & f->mask];
	f->buckets[hash & f->mask] = number;
	enqueue(f, d, BY_AGE);
	enqueue(f, d, OF_PORT);
	weft_shares_add(&f->known, name->in_port, 1);
	return d;
}

static bool held_push(struct fragments *f, struct datagram *d, struct rte_mbuf *m)
{
	uint16_t port = d->name.in_port, who;
	enum share_answer answer;
	uint32_t place;

	while ((answer = weft_shares_ask(&f->waiting, port, m->nb_segs, &who)) == SHARE_IF)
		forget(f, oldest(f, who, WAITING_OF_PORT), DROP_FRAG_FULL);
	if (answer == SHARE_NO)
		return false;
	place = f->free_held; // there is one: each takes a buffer at least
	f->free_held = f->held[place].next;
	f->held[place] = (struct held) {.m = m, .next = NONE};
	if (d->held == NONE) {
		d->held = place;
		enqueue(f, d, WAITING_OF_PORT);
	} else {
		f->held[d->held_last].next = place;
	}
	d->held_last = place;
	weft_shares_add(&f->waiting, port, m->nb_segs);
	return true;
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

// No first fragment needs to be known to see that this would reach into a TCP header (RFC 1858,
// 3128).
static bool is_inside_header(const struct packet *p)
{
	return p->fragment == FRAGMENT_LATER && p->key.proto == IPPROTO_TCP && p->frag_offset < 20;
}

// What the transport header begins with: ports, length and checksum, or sequence number. A copy has
// the same.
static uint64_t head_of(const struct rte_mbuf *m, const struct packet *p)
{
	uint64_t head = 0;
	uint32_t there = rte_pktmbuf_data_len(m) - RTE_MIN(rte_pktmbuf_data_len(m), p->l4);

	memcpy(&head, rte_pktmbuf_mtod_offset(m, const void *, p->l4),
	       RTE_MIN(there, sizeof(head)));
	return head;
}

static void first(struct datagram *d, const struct rte_mbuf *m, const struct packet *p,
		  uint32_t len)
{
	uint64_t head = head_of(m, p);

	// A copy changes nothing.
	if (d->known && d->head == head && d->proto == p->key.proto && d->first_len == len)
		return;
	// Of several first fragments the longest counts: a receiver may put together any of them
	// with what follows.
	if (!d->known || len > d->first_len)
		d->first_len = len;
	d->known = true;
	d->bad = false;
	d->total = 0;
	d->seen = (struct ranges) {0};
	weft_ranges_add(&d->seen, 0, (uint16_t)len);
	d->head = head;
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

// Does it fit to what was seen of the datagram? A copy does.
static bool fits(struct datagram *d, const struct packet *p, const struct extent *e)
{
	uint32_t end = p->frag_offset + e->len;

	if (p->frag_offset < d->first_len || (d->total != 0 && end > d->total) ||
	    (!e->more && d->total != 0 && end != d->total))
		return false;
	if (weft_ranges_add(&d->seen, p->frag_offset, (uint16_t)end) == RANGE_OVERLAP)
		return false;
	if (!e->more)
		d->total = end;
	return true;
}

static enum fragment_result later(struct fragments *f, struct datagram *d, struct rte_mbuf *m,
				  struct packet *p, const struct extent *e, enum drop *why)
{
	if (!d->known) {
		if (held_push(f, d, m))
			return FRAGMENT_HELD;
		*why = DROP_FRAG_FULL;
		return FRAGMENT_DROP;
	}
	if (d->bad || !fits(d, p, e)) {
		d->bad = true;
		*why = DROP_FRAG_OVERLAP;
		return FRAGMENT_DROP;
	}
	restore(d, p);
	return FRAGMENT_GO;
}

static bool is_old(const struct datagram *d, uint32_t now_ms)
{
	return (int32_t)(now_ms - d->born_ms) > (d->brief ? BRIEF_MS : LIFE_MS);
}

// Its first fragment has come.
static void stay(struct fragments *f, struct datagram *d, uint32_t now_ms)
{
	dequeue(f, d, BY_AGE);
	d->brief = false;
	d->born_ms = now_ms;
	enqueue(f, d, BY_AGE);
}

enum fragment_result weft_fragment_in(struct fragments *f, struct rte_mbuf *m, struct packet *p,
				      uint32_t now_ms, enum drop *why)
{
	struct flow_key name = name_of(p);
	uint32_t hash = weft_flow_hash(&name), number = find(f, &name, hash);
	struct datagram *d = number == NONE ? NULL : &f->datagrams[number];
	struct extent e = extent_of(m, p);

	*why = DROP_NONE;
	if (is_inside_header(p)) {
		*why = DROP_FRAG_OVERLAP;
		return FRAGMENT_DROP;
	}
	// Not yet swept, but too old to say anything about this one.
	if (d != NULL && is_old(d, now_ms)) {
		forget(f, d, DROP_FRAG_TIMEOUT);
		d = NULL;
	}
	if (d == NULL)
		d = create(f, &name, hash,
			   p->fragment != FRAGMENT_FIRST && was_whole(f, &name, hash, now_ms),
			   now_ms);

	if (p->fragment == FRAGMENT_FIRST) {
		if (d->brief)
			stay(f, d, now_ms);
		first(d, m, p, e.len);
	} else {
		enum fragment_result result = later(f, d, m, p, &e, why);
		if (result != FRAGMENT_GO)
			return result;
	}
	if (d->total != 0 && weft_ranges_whole(&d->seen, (uint16_t)d->total)) {
		f->whole[hash % WHOLE_MOST] =
			(struct whole) {.name = name, .since_ms = now_ms, .there = true};
		forget(f, d, DROP_FRAG_OVERLAP);
	}
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
	while (taken < n && f->datagrams[number].held != NONE)
		out[taken++] = held_pop(f, &f->datagrams[number]);
	return taken;
}

void weft_fragments_expire(struct fragments *f, uint32_t now_ms)
{
	for (int i = 0, which = 0; i < EXPIRE_MOST && which < 2; i++) {
		struct datagram *d = first_in(f, &f->by_age[which]);

		if (d != NULL && is_old(d, now_ms))
			forget(f, d, DROP_FRAG_TIMEOUT);
		else
			which++;
	}
}
