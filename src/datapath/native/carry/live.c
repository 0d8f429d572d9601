// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/live.h"

#include <stddef.h>
#include <string.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/carry/slow_session.h"

// ---- What is wanted ------------------------------------------------------------------------

static bool is_end(const struct datapath_end *e, uint8_t family, const void *ip, rte_be16_t port)
{
	if (e->has_port && e->port != rte_be_to_cpu_16(port))
		return false;
	return e->ip.family == 0 ||
	       (e->ip.family == family && memcmp(e->ip.b, ip, family == 4 ? 4 : 16) == 0);
}

static bool are_ends(const struct datapath_filter *f, uint8_t family, const void *src,
		     rte_be16_t sport, const void *dst, rte_be16_t dport)
{
	return (is_end(&f->ends[0], family, src, sport) &&
		is_end(&f->ends[1], family, dst, dport)) ||
	       (is_end(&f->ends[1], family, src, sport) && is_end(&f->ends[0], family, dst, dport));
}

static bool is_protocol(const struct datapath_filter *f, uint8_t proto)
{
	return f->protocol == 0 || f->protocol == proto ||
	       (f->protocol == 1 && proto == 58); // one word for both
}

bool weft_live_matches(const struct datapath_filter *f, const struct packet *p)
{
	const struct flow_key *k = &p->key;
	bool has_ports = k->proto != 1 && k->proto != 58;

	if (f->ethertype != 0 && f->ethertype != p->ethertype)
		return false;
	if (p->kind == PACKET_ARP)
		return f->protocol == 0 && are_ends(f, 4, p->arp_spa.b, 0, p->arp_tpa.b, 0);
	if (p->kind != PACKET_IP)
		return f->protocol == 0 && f->ends[0].ip.family == 0 && f->ends[1].ip.family == 0 &&
		       !f->ends[0].has_port && !f->ends[1].has_port;
	if (!is_protocol(f, k->proto))
		return false;
	if (k->family == 4)
		return are_ends(f, 4, &k->src4, has_ports ? k->sport : 0, &k->dst4,
				has_ports ? k->dport : 0);
	return are_ends(f, 6, k->src6, has_ports ? k->sport : 0, k->dst6, has_ports ? k->dport : 0);
}

static void count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static bool in_time(struct live *l, uint32_t now_ms)
{
	uint32_t regained = (uint32_t)((uint64_t)(now_ms - l->at_ms) * LIVE_PER_SECOND / 1000);

	if (regained > 0) {
		l->spent = regained >= l->spent ? 0 : l->spent - regained;
		l->at_ms = now_ms;
	}
	if (l->spent >= LIVE_PER_SECOND)
		return false;
	l->spent++;
	return true;
}

static uint32_t next(const struct live *l)
{
	return atomic_load_explicit(&l->head, memory_order_relaxed) + l->n_leaving;
}

static struct live_record *slot(struct live *l)
{
	return &l->ring[next(l) & (LIVE_SLOTS - 1)];
}

static void publish(struct live *l, uint32_t n)
{
	uint32_t head = atomic_load_explicit(&l->head, memory_order_relaxed);

	atomic_store_explicit(&l->head, head + n, memory_order_release);
}

static void parse(const struct rte_mbuf *m, uint16_t in_port, struct packet *p)
{
	weft_packet_parse(rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m),
			  rte_pktmbuf_pkt_len(m), in_port, p);
}

// One that matches is counted; may it be told?
static bool takes(struct live *l, const struct worker *w, const struct packet *p)
{
	uint32_t used = next(l) - atomic_load_explicit(&l->tail, memory_order_acquire);

	if (!weft_live_matches(&l->filter, p))
		return false;
	count(&l->matched);
	// While a packet is in hand others are told: one place is always its own.
	if (used < LIVE_SLOTS - 1 && in_time(l, w->now_ms))
		return true;
	count(&l->missed);
	return false;
}

// ---- Records -------------------------------------------------------------------------------

static void clear(struct live_record *r, uint16_t in_port)
{
	memset(r, 0, offsetof(struct live_record, here));
	r->here.len = 0;
	r->leaves.len = 0;
	r->at = rte_rdtsc();
	r->in_port = in_port;
}

static void keep(struct live_frame *f, const struct rte_mbuf *m)
{
	f->total = rte_pktmbuf_pkt_len(m);
	f->len = RTE_MIN(rte_pktmbuf_data_len(m), LIVE_BYTES);
	memcpy(f->bytes, rte_pktmbuf_mtod(m, const void *), f->len);
}

static void note_session(struct live_record *r, struct session *s, enum live_flow flow)
{
	const struct session *original = weft_session_original(s);

	r->flow = (uint8_t)flow;
	r->state = weft_session_state(original);
	r->refused = (weft_session_flags(original) & SESSION_REFUSED) != 0;
}

static void note_rules(struct live_record *r, const struct judge *j)
{
	if (j->egress_rule != NULL)
		memcpy(r->egress_rule, j->egress_rule, WEFT_ID_LEN);
	if (j->ingress_rule != NULL)
		memcpy(r->ingress_rule, j->ingress_rule, WEFT_ID_LEN);
}

// ---- What the port sends -------------------------------------------------------------------

static void hold(struct live *l, const struct rte_mbuf *m, uint16_t in_port)
{
	clear(&l->now, in_port);
	l->m = m;
	l->leads_to = NATIVE_NO_PORT;
	l->lost = DROP_NONE;
	l->n_sent = l->n_lost = 0;
}

// Alone: the queues are empty before, so what is in them afterwards is what became of it.
static void carry_one(struct live *l, struct worker *w, struct rte_mbuf *m, const struct packet *p,
		      void (*carry)(struct worker *w, struct rte_mbuf *m, uint16_t in_port))
{
	struct session *s = weft_slow_find(w->sessions, p), *after;

	weft_send_flush(w);
	hold(l, m, l->port);
	keep(&l->now.here, m);
	l->tells = true;
	if (s != NULL)
		note_session(&l->now, s, LIVE_OF_FLOW);
	carry(w, m, l->port);
	weft_send_flush(w);
	after = weft_slow_find(w->sessions, p);
	if (after != NULL)
		note_session(&l->now, after, after == s ? LIVE_OF_FLOW : LIVE_FIRST);
	l->tells = false;
	l->m = NULL;
	if (l->now.why == DROP_NONE && l->now.n_out > 0 && l->n_lost >= l->n_sent)
		l->now.why = (uint16_t)l->lost;
	l->now.waits = l->now.waits || l->now.n_out == 0;
	*slot(l) = l->now;
	publish(l, 1);
}

static void by_burst(struct worker *w, struct rte_mbuf *m, uint16_t in_port)
{
	weft_fast_carry(w, in_port, &m, 1);
}

void weft_live_burst(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n)
{
	struct live *l = weft_live(w);
	uint16_t first = 0;

	l->in_port = in_port;
	l->in_burst = true;
	for (uint16_t i = 0; in_port == l->port && i < n; i++) {
		struct packet p;

		parse(pkts[i], in_port, &p);
		if (!takes(l, w, &p))
			continue;
		if (i > first)
			weft_fast_carry(w, in_port, pkts + first, (uint16_t)(i - first));
		first = (uint16_t)(i + 1);
		carry_one(l, w, pkts[i], &p, by_burst);
	}
	if (n > first)
		weft_fast_carry(w, in_port, pkts + first, (uint16_t)(n - first));
	l->in_burst = false;
}

// ---- What the slow path knows --------------------------------------------------------------

// Perhaps it leads to the port, and is refused.
static void carry_other(struct live *l, struct worker *w, struct rte_mbuf *m, uint16_t in_port)
{
	hold(l, m, in_port);
	weft_slow_packet(w, m, in_port);
	l->m = NULL;
}

void weft_live_slow(struct worker *w, struct rte_mbuf *m, uint16_t in_port)
{
	struct live *l = weft_live(w);
	struct packet p;

	if (!l->in_burst) // it has waited
		l->in_port = in_port;
	parse(m, in_port, &p);
	if (!l->in_burst && in_port == l->port && takes(l, w, &p))
		carry_one(l, w, m, &p, weft_slow_packet);
	else
		carry_other(l, w, m, in_port);
}

void weft_live_judged(struct live *l, const struct judge *j)
{
	if (l->m == NULL)
		return;
	l->leads_to = j->out == NULL ? NATIVE_NO_PORT : j->out->index;
	l->now.answered = j->verdict == VERDICT_ANSWER;
	l->now.waits = j->verdict == VERDICT_RESOLVE;
	l->now.flooded = j->verdict == VERDICT_FLOOD;
	if (l->tells || l->leads_to == l->port)
		note_rules(&l->now, j);
}

void weft_live_leads(struct live *l, struct session *s)
{
	if (l->m == NULL)
		return;
	l->leads_to = weft_session_out_port(s);
	if (!l->tells)
		note_session(&l->now, s, LIVE_OF_FLOW);
}

static void dropped(struct onlooker *o, struct worker *w, const struct rte_mbuf *m, enum drop why)
{
	struct live *l = (struct live *)o;
	struct packet p;

	if (m != l->m)
		return;
	if (l->tells) {
		l->now.why = (uint16_t)why;
		return;
	}
	if (l->leads_to != l->port)
		return;
	parse(m, l->now.in_port, &p);
	if (!takes(l, w, &p))
		return;
	l->now.to_port = true;
	l->now.why = (uint16_t)why;
	keep(&l->now.here, m);
	*slot(l) = l->now;
	publish(l, 1);
}

void weft_live_refused(struct live *l, struct worker *w, const struct rte_mbuf *m,
		       const struct judge *j, uint16_t port, enum drop why)
{
	struct live_record *r = slot(l);
	struct packet p;

	if (port != l->port)
		return;
	parse(m, j->in->index, &p);
	if (!takes(l, w, &p))
		return;
	clear(r, j->in->index);
	r->to_port = true;
	r->flooded = true;
	r->why = (uint16_t)why;
	note_rules(r, j);
	keep(&r->here, m);
	publish(l, 1);
}

// ---- What leaves ---------------------------------------------------------------------------

// The key of the other direction of the flow that the packet is of, as it enters at the port.
static bool other_key(const struct packet *p, uint16_t port, struct flow_key *out)
{
	uint8_t query = p->key.family == 4 ? 8 : 128, reply = p->key.family == 4 ? 0 : 129;
	bool is_echo_reply = p->key.proto == (p->key.family == 4 ? 1 : 58) && p->icmp_query &&
			     p->icmp_type == reply;
	struct flow_key key = p->key;

	// An answer has no answer, but there was a question.
	if (is_echo_reply)
		key.dport = rte_cpu_to_be_16((uint16_t)(query << 8 | p->icmp_code));
	if (!weft_flow_reverse(&key, port, out))
		return false;
	if (is_echo_reply)
		out->dport = key.dport;
	return true;
}

// The direction of a session by which a packet went to the port: the other's key is known.
static struct session *session_of(const struct worker *w, const struct packet *p, uint16_t port)
{
	struct flow_key answer;
	struct session *s;

	if (p->kind != PACKET_IP || p->fragment == FRAGMENT_LATER || !other_key(p, port, &answer))
		return NULL;
	s = weft_session_get(w->sessions, &answer, weft_flow_hash(&answer));
	return s == NULL ? NULL : weft_session_peer(s);
}

static void tell_sent(struct live *l, struct worker *w, const struct rte_mbuf *m)
{
	struct live_record *r = slot(l);
	struct session *s;
	struct packet p;

	parse(m, l->port, &p);
	if (!takes(l, w, &p))
		return;
	clear(r, l->in_port);
	r->to_port = true;
	keep(&r->here, m);
	s = session_of(w, &p, l->port);
	if (s != NULL) {
		bool is_first = !(weft_session_flags(s) & SESSION_REPLY) &&
				__atomic_load_n(&s->packets, __ATOMIC_RELAXED) <= 1;

		note_session(r, s, is_first ? LIVE_FIRST : LIVE_OF_FLOW);
		r->in_port = s->key.in_port;
		r->translated = (weft_session_flags(s) & SESSION_NAT) != 0;
		weft_session_key(s, &r->came);
	} else if (l->in_port == l->port) {
		r->answered = true; // nobody else sends to a port what it has caused
	}
	l->leaving[l->n_leaving++] = m;
}

static void leaving(struct onlooker *o, struct worker *w, uint16_t out_port,
		    struct rte_mbuf *const *pkts, uint16_t n)
{
	struct live *l = (struct live *)o;

	if (l->m != NULL && l->tells && !l->now.waits) { // else it is the question
		if (l->now.n_out == 0)
			keep(&l->now.leaves, pkts[0]);
		if (l->now.n_out < LIVE_OUT)
			l->now.out[l->now.n_out] = out_port;
		l->now.n_out++;
		l->n_sent += n;
	}
	for (uint16_t i = 0; out_port == l->port && i < n; i++)
		tell_sent(l, w, pkts[i]);
}

static void lost(struct onlooker *o, uint16_t out_port, struct rte_mbuf *const *pkts, uint16_t n,
		 enum drop why)
{
	struct live *l = (struct live *)o;
	uint32_t head = atomic_load_explicit(&l->head, memory_order_relaxed);

	if (l->m != NULL && l->tells) {
		l->n_lost += n;
		l->lost = why;
	}
	if (out_port != l->port)
		return;
	for (uint16_t i = 0; i < n; i++)
		for (uint16_t k = 0; k < l->n_leaving; k++)
			if (l->leaving[k] == pkts[i])
				l->ring[(head + k) & (LIVE_SLOTS - 1)].why = (uint16_t)why;
}

static void left(struct onlooker *o)
{
	struct live *l = (struct live *)o;

	publish(l, l->n_leaving);
	l->n_leaving = 0;
}

void weft_live_init(struct live *l, uint16_t port, const struct datapath_filter *filter)
{
	l->onlooker = (struct onlooker) {leaving, lost, left, dropped};
	l->port = port;
	l->filter = *filter;
	l->in_port = l->leads_to = NATIVE_NO_PORT;
}
