// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/slow.h"

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <string.h>

#include "datapath/native/carry/live.h"
#include "datapath/native/carry/answer.h"
#include "datapath/native/packet/counter.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/carry/route.h"
#include "datapath/native/carry/slow_session.h"

#define JUDGE_TRIES 4 // of a packet that the policy changes under again and again

void weft_judge_init(struct judge *j, const struct node *node, uint64_t epoch,
		     const struct packet *p, const uint8_t *eth, uint32_t frame_len)
{
	*j = (struct judge) {
		.node = node,
		.epoch = epoch,
		.next_hops = weft_resolver_version(node->resolver),
		.in = native_policy(node, p->key.in_port, epoch),
		.pkt = p,
		.eth = eth,
		.frame_len = frame_len,
		.wire_len = frame_len,
		.related_to = NATIVE_NO_PORT,
		.next_port = NATIVE_NO_PORT,
	};
	memcpy(j->eth_out, eth, sizeof(j->eth_out));
	j->now = p->key;
	if (j->in != NULL)
		j->network_index = j->in->network_index;
}

// ---- Verdicts ------------------------------------------------------------------------------

// False: the policy has changed since the judgement: judge it again if `again`, or if it may not
// pass without a session.
static bool forward(struct worker *w, struct rte_mbuf *m, struct judge *j, bool again)
{
	bool plain = weft_slow_makes_session(j);
	uint32_t gen = native_gen(w->node, j->in->index, j->out->index);
	enum drop why = weft_slow_untranslatable(j);

	if (why != DROP_NONE) {
		weft_drop(w, m, j->in->index, why);
		return true;
	}
	// A change of the policy, or of a next hop, since the judgement: it is not to be kept,
	// and what is not kept has no answers. Under change after change this packet is carried
	// without.
	if (plain && !weft_slow_is_current(j)) {
		if (again || weft_slow_needs_session(j))
			return false;
	} else if (plain && !weft_slow_make(w, j, gen, &why)) {
		if (j->nat_router.family != 0) // RFC 5508, REQ-8
			j->icmp = (struct icmp_error) {3, 13, 0, j->nat_router};
		weft_route_tell(w, m, j);
		weft_drop(w, m, j->in->index, why);
		return true;
	}
	if (j->hops > 0 || judge_translates(j))
		weft_route_out(w, m, j);
	else
		weft_send(w, m, j->out->index);
	return true;
}

static void flood_one(struct worker *w, struct rte_mbuf *m, struct judge *j, uint16_t port,
		      uint32_t *reached, enum drop *last)
{
	const struct port_policy *out = native_policy(w->node, port, j->epoch);
	const struct port *p = native_port(w->node, port);
	struct live *live = weft_live(w);
	struct rte_mbuf *copy;

	if (port == j->in->index || out == NULL || p == NULL ||
	    atomic_load_explicit(&p->io, memory_order_relaxed) == NULL)
		return;
	*last = weft_judge_receiver(j, out);
	if (*last != DROP_NONE) {
		if (unlikely(live != NULL))
			weft_live_refused(live, w, m, j, port, *last);
		return;
	}
	copy = rte_pktmbuf_clone(m, w->node->pool);
	if (unlikely(copy == NULL)) { // the copies that wait to be sent may hold them all
		weft_send_flush(w);
		copy = rte_pktmbuf_clone(m, w->node->pool);
	}
	++*reached;
	if (copy == NULL) { // counted for the receiver, as what is lost on the way to it
		COUNT(w->drops[DROP_NO_BUFFER], 1);
		COUNT(w->port_stats[port].tx_drops, 1);
		return;
	}
	weft_send(w, copy, port);
}

void weft_slow_flood(struct worker *w, struct rte_mbuf *m, struct judge *j)
{
	const uint16_t *ports;
	size_t n = weft_judge_receivers(j, &ports);
	enum drop last = j->if_nobody;
	uint32_t reached = 0;

	for (size_t i = 0; i < n; i++)
		flood_one(w, m, j, ports[i], &reached, &last);
	if (reached == 0)
		weft_drop(w, m, j->in->index, last == DROP_NONE ? j->if_nobody : last);
	else
		rte_pktmbuf_free(m);
}

// ---- The way in ----------------------------------------------------------------------------

// permit: the flow that permits this packet, and translates it; NULL = none.
struct permit {
	struct session *flow;
	bool is_error; // about the flow, not of it
	struct flow_key binding, quote;
};

static void judge_as(struct worker *w, const struct rte_mbuf *m, const struct packet *p,
		     const struct permit *permit, struct judge *j)
{
	const uint8_t *eth = rte_pktmbuf_mtod(m, const uint8_t *);
	struct live *live = weft_live(w);

	weft_judge_init(j, w->node, weft_vstore_epoch(w->node->vs), p, eth, rte_pktmbuf_pkt_len(m));
	j->wire_len = native_wire_len(m);
	j->dont_fragment = p->key.family == 4 && (eth[20] & 0x40) != 0;
	if (permit != NULL && permit->flow != NULL) {
		j->related_to = weft_session_out_port(permit->flow);
		if (weft_session_flags(permit->flow) & SESSION_NAT) {
			j->binding = &permit->binding;
			j->quote = permit->is_error ? &permit->quote : NULL;
		}
	}
	COUNT(w->stats.judged, 1);
	if (j->in == NULL)
		return;
	weft_judge(j);
	if (unlikely(live != NULL))
		weft_live_judged(live, j);
}

// live: the session that the packet belongs to, if the stages only have to find its way; NULL: a
// new flow.
static struct permit find_permit(struct worker *w, const struct packet *p, const uint8_t *eth,
				 struct session *live)
{
	struct session *related = live != NULL ? NULL : weft_session_related(w->sessions, p, eth);
	struct permit permit = {.flow = live};
	enum rejudged judged = REJUDGED_GOOD;
	enum drop why;

	if (related != NULL && weft_slow_is_stale(w->node, related))
		judged = weft_slow_rejudge(w, related, &why);
	if (judged == REJUDGED_CUT || judged == REJUDGED_REFUSED)
		related = NULL;
	if (related != NULL && !(weft_session_flags(related) & SESSION_SLOW)) {
		permit = (struct permit) {.flow = related, .is_error = true};
		weft_nat_error_leaves_as(related, p, &permit.binding, &permit.quote);
		COUNT(w->stats.related, 1);
	} else if (live != NULL) {
		weft_nat_leaves_as(live, &permit.binding);
	}
	return permit;
}

// False: the policy has changed meanwhile, and the packet is to be judged again, or may not pass.
static bool judge_once(struct worker *w, struct rte_mbuf *m, const struct packet *p,
		       struct session *live, bool again)
{
	const uint8_t *eth = rte_pktmbuf_mtod(m, const uint8_t *);
	struct permit permit = find_permit(w, p, eth, live);
	struct judge j;

	judge_as(w, m, p, &permit, &j);
	if (j.in != NULL && weft_slow_leads_elsewhere(&j)) {
		live = NULL;
		judge_as(w, m, p, NULL, &j);
	}
	if (j.in == NULL) {
		weft_drop(w, m, p->key.in_port, DROP_PORT_DOWN);
		return true;
	}
	switch (j.verdict) {
	case VERDICT_FORWARD:
		if (live != NULL)
			weft_slow_correct(live, &j);
		return forward(w, m, &j, again);
	case VERDICT_FLOOD:
		weft_slow_flood(w, m, &j);
		return true;
	case VERDICT_ANSWER:
		weft_answer(w, m, &j);
		return true;
	case VERDICT_RESOLVE:
		weft_resolver_hold(w, m, j.in->index, &j.ask);
		return true;
	case VERDICT_DROP:
		break;
	}
	weft_route_tell(w, m, &j);
	weft_drop(w, m, p->key.in_port, j.why);
	return true;
}

static void judge_packet(struct worker *w, struct rte_mbuf *m, const struct packet *p,
			 struct session *live)
{
	for (int i = 0; i < JUDGE_TRIES; i++)
		if (judge_once(w, m, p, live, i + 1 < JUDGE_TRIES))
			return;
	weft_drop(w, m, p->key.in_port, DROP_NAT_NO_STATE);
}

static void process(struct worker *w, struct rte_mbuf *m, const struct packet *p)
{
	struct session *s = weft_slow_find(w->sessions, p);
	uint32_t mtu = atomic_load_explicit(&w->node->mtu[p->key.in_port], memory_order_relaxed);

	if (weft_resolver_heard(w, m, p)) {
		weft_drop(w, m, p->key.in_port, DROP_SERVICE_DONE);
		return;
	}
	// Its first fragment may still wait for a next hop that is known by now, and has no
	// session before it goes on.
	if (s == NULL && p->fragment == FRAGMENT_LATER) {
		weft_resolver_turn(w, weft_slow_packet);
		s = weft_slow_find(w->sessions, p);
	}
	// A session says nothing of the sender's MTU: what is too long goes to the stages, which
	// refuse it.
	if (native_wire_len(m) > mtu + RTE_ETHER_HDR_LEN)
		s = NULL;
	switch (s == NULL ? NOT_CARRIED : weft_slow_carry(w, m, p, s)) {
	case CARRIED:
		return;
	case NOT_CARRIED:
		judge_packet(w, m, p, NULL);
		return;
	case CARRY_BY_STAGES:
		judge_packet(w, m, p, s);
		return;
	}
}

static enum drop parse(const struct rte_mbuf *m, uint16_t in_port, struct packet *p)
{
	return weft_packet_parse(rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m),
				 rte_pktmbuf_pkt_len(m), in_port, p);
}

// The fragments that waited for the first one follow it.
static void release_waiting(struct worker *w, const struct packet *first)
{
	struct rte_mbuf *waiting[NATIVE_BURST];
	uint16_t n;

	while ((n = weft_fragments_take(w->fragments, first, waiting, NATIVE_BURST)) > 0) {
		for (uint16_t i = 0; i < n; i++) {
			enum drop why = DROP_NONE;
			struct packet p;

			if (parse(waiting[i], first->key.in_port, &p) != DROP_NONE) {
				weft_drop(w, waiting[i], first->key.in_port, DROP_BAD_HEADER);
				continue;
			}
			switch (weft_fragment_in(w->fragments, waiting[i], &p, w->now_ms, &why)) {
			case FRAGMENT_GO:
				process(w, waiting[i], &p);
				break;
			case FRAGMENT_HELD:
				break;
			case FRAGMENT_DROP:
				weft_drop(w, waiting[i], first->key.in_port, why);
				break;
			}
		}
	}
}

// What needs no ports: only what the stages would let through so far may wait, or say what later
// fragments are of.
static enum drop admit_fragment(struct worker *w, const struct rte_mbuf *m, const struct packet *p)
{
	struct judge j;

	weft_judge_init(&j, w->node, weft_vstore_epoch(w->node->vs), p,
			rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_pkt_len(m));
	if (j.in == NULL)
		return DROP_PORT_DOWN;
	if (weft_stage_admit(&j) == STAGE_DONE || weft_stage_spoof(&j) == STAGE_DONE)
		return j.why;
	return DROP_NONE;
}

static void process_fragment(struct worker *w, struct rte_mbuf *m, struct packet *p)
{
	uint16_t in_port = p->key.in_port;
	enum drop why = admit_fragment(w, m, p);

	if (why != DROP_NONE) {
		weft_drop(w, m, in_port, why);
		return;
	}
	m->port = in_port; // for those who wait
	switch (weft_fragment_in(w->fragments, m, p, w->now_ms, &why)) {
	case FRAGMENT_GO:
		process(w, m, p);
		if (p->fragment == FRAGMENT_FIRST)
			release_waiting(w, p);
		return;
	case FRAGMENT_HELD:
		return;
	case FRAGMENT_DROP:
		weft_drop(w, m, in_port, why);
		return;
	}
}

void weft_slow_packet(struct worker *w, struct rte_mbuf *m, uint16_t in_port)
{
	struct live *live = weft_live(w);
	struct packet p;
	enum drop why;

	if (unlikely(live != NULL && live->m == NULL)) {
		weft_live_slow(w, m, in_port);
		return;
	}
	if (weft_is_lent(m) && weft_lent_take(m, w->node->pool) < 0) {
		weft_drop(w, m, in_port, DROP_NO_BUFFER);
		return;
	}
	why = parse(m, in_port, &p);
	if (why != DROP_NONE)
		weft_drop(w, m, in_port, why);
	else if (p.kind == PACKET_IP && p.fragment != FRAGMENT_NONE)
		process_fragment(w, m, &p);
	else
		process(w, m, &p);
}
