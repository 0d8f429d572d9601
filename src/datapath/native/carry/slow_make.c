// SPDX-License-Identifier: Apache-2.0
// What was judged FORWARD becomes a session.
#include "datapath/native/packet/counter.h"
#include "datapath/native/carry/slow_session.h"

#include <rte_branch_prediction.h>
#include <string.h>

#include "datapath/native/session/nat.h"

bool weft_slow_makes_session(const struct judge *j)
{
	const struct packet *p = j->pkt;

	return p->kind == PACKET_IP && p->fragment != FRAGMENT_LATER && !j->base_service &&
	       !j->asks_server && j->related_to == NATIVE_NO_PORT &&
	       (p->icmp_query || (p->key.proto != 1 && p->key.proto != 58));
}

bool weft_slow_needs_session(const struct judge *j)
{
	return judge_translates(j) && j->binding == NULL;
}

enum drop weft_slow_untranslatable(const struct judge *j)
{
	struct flow_key reply;

	// Its router is not the flow's, or no longer: half of a translation is none.
	if (j->binding != NULL)
		return weft_flow_equal(j->binding, &j->now) ? DROP_NONE : DROP_NAT_NO_STATE;
	if (!weft_slow_needs_session(j))
		return DROP_NONE;
	if (weft_slow_makes_session(j)) // but for an answer to nothing
		return weft_flow_reverse(&j->now, j->out->index, &reply) ? DROP_NONE
									 : DROP_NAT_NO_STATE;
	return j->pkt->fragment == FRAGMENT_NONE && !j->pkt->icmp_error ? DROP_NAT_PROTOCOL
									: DROP_NAT_NO_STATE;
}

bool weft_slow_find_port(const struct session_table *t, struct judge *j, uint32_t *n)
{
	struct flow_key reply;

	for (; weft_nat_candidate(&j->pkt->key, *n, &j->now.sport); ++*n)
		if (weft_flow_reverse(&j->now, j->out->index, &reply) &&
		    weft_session_get(t, &reply, weft_flow_hash(&reply)) == NULL)
			return true;
	return false;
}

static uint32_t idle_ms(const struct worker *w, const struct session *s)
{
	uint32_t idle = w->now_ms - __atomic_load_n(&s->seen_ms, __ATOMIC_RELAXED);

	return (int32_t)idle < 0 ? 0 : idle; // another worker's clock may be ahead
}

// May a connection that stands in the way of a new one be forgotten?
static bool gives_way(struct worker *w, struct session *s)
{
	struct session *original = weft_session_original(s), *reply = weft_session_peer(original);
	uint32_t idle = RTE_MIN(idle_ms(w, original), idle_ms(w, reply));
	enum rejudged judged = REJUDGED_GOOD;
	enum drop why;

	if (weft_slow_is_stale(w->node, s))
		judged = weft_slow_rejudge(w, s, &why);
	if (judged == REJUDGED_CUT)
		return true;
	if (judged != REJUDGED_REFUSED && weft_session_state(original) != SESSION_CLOSING &&
	    idle < weft_session_timeout_ms(w->sessions, original))
		return false;
	weft_session_remove(w->session_worker, original);
	return true;
}

static bool is_peers_key(struct session *s, const struct flow_key *key)
{
	struct flow_key other;

	weft_session_key(weft_session_peer(s), &other);
	return weft_flow_equal(&other, key);
}

// The reply's key is free; j->now.sport is the first port from the n-th on for which it is, if
// that may be chosen.
static enum drop find_reply(struct worker *w, struct judge *j, uint32_t *n, struct flow_key *reply)
{
	struct session *taken;
	uint32_t first = *n;
	bool found;

	if (j->pick_port) {
		found = weft_slow_find_port(w->sessions, j, n);
		COUNT(w->stats.nat_tries, *n - first);
		if (!found) // perhaps whoever has the first choice has no use for it any more
			weft_nat_candidate(&j->pkt->key, 0, &j->now.sport);
	}
	weft_flow_reverse(&j->now, j->out->index, reply);
	taken = weft_session_get(w->sessions, reply, weft_flow_hash(reply));
	// Another worker has just made this very session: whoever adds it finds that.
	if (taken == NULL || is_peers_key(taken, &j->pkt->key) || gives_way(w, taken))
		return DROP_NONE;
	return j->pick_port ? DROP_NAT_EXHAUSTED : DROP_SESSION_CLASH;
}

static void compose(const struct judge *j, const struct flow_key *reply, bool untracked,
		    struct session_new *n)
{
	uint16_t flags = (uint16_t)(j->hops << SESSION_HOPS_SHIFT);

	if (untracked)
		flags |= SESSION_UNTRACKED;
	if (judge_translates(j))
		flags |= SESSION_NAT;
	n->original = (struct session_direction) {
		.key = j->pkt->key, .out_port = j->out->index, .flags = flags};
	memcpy(n->original.eth_in, j->eth, 12);
	memcpy(n->original.eth_out, j->eth_out, 12);
	// Replies come back the same way; if they do not, their first one corrects it.
	n->reply = (struct session_direction) {
		.key = *reply, .out_port = j->in->index, .flags = flags};
	weft_eth_swap(n->reply.eth_in, j->eth_out);
	weft_eth_swap(n->reply.eth_out, j->eth);
	if (weft_judge_reply(j) != DROP_NONE)
		n->reply.flags |= SESSION_SLOW;
}

static void count_made(struct worker *w, const struct session_new *n)
{
	const struct flow_key *key = &n->original.key, *reply = &n->reply.key;

	w->made = (struct made) {reply->in_port, key->src4, key->dst4, reply->src4, reply->dst4};
	COUNT(w->stats.sessions_added, 1);
}

// Another worker has just made it, for a packet that came by another queue: the same way, by the
// same policy.
static bool is_twin(const struct session *s, const struct judge *j, uint32_t gen)
{
	uint8_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
	uint16_t flags = weft_session_flags(s);

	return !(flags & SESSION_REPLY) && (state == SESSION_NEW || state == SESSION_ESTABLISHED) &&
	       native_session_gen(s) == gen && weft_session_out_port(s) == j->out->index &&
	       memcmp(s->eth_in, j->eth, sizeof(s->eth_in)) == 0 &&
	       weft_slow_same_translation(s, j);
}

// The own port of a connection that is picked up may be somebody's who only claims it. False: that
// is still to be seen.
static bool settle_claim(struct worker *w, struct judge *j, enum drop *why)
{
	struct session *by;

	switch (weft_slow_claimed(w->sessions, j, &by)) {
	case CLAIMED_NOT:
		return true;
	case CLAIMED_WRONGLY:
		weft_session_remove(w->session_worker, by);
		return true;
	case CLAIMED_FOR_NOW:
		break;
	}
	j->nat_router.family = 0; // nothing is wrong yet that the sender would have to know
	*why = DROP_NAT_NO_STATE;
	return false;
}

static bool add_translated(struct worker *w, struct judge *j, struct session_new *n, bool untracked,
			   enum drop *why)
{
	struct session *s =
		weft_session_get(w->sessions, &j->pkt->key, weft_flow_hash(&j->pkt->key));
	struct flow_key reply;

	if (!weft_flow_reverse(&j->now, j->out->index, &reply))
		return true;
	if (s != NULL && is_twin(s, j, n->gen)) {
		weft_nat_leaves_as(s, &j->now);
		return true;
	}
	// Same tuple, other MACs: the newer one holds.
	if (s != NULL)
		weft_session_remove(w->session_worker, s);
	if (!settle_claim(w, j, why))
		return false;
	s = NULL;
	// Another worker may take the port that was found free.
	for (uint32_t try = 0; s == NULL && try < NAT_TRIES; try++) {
		*why = find_reply(w, j, &try, &reply);
		if (*why != DROP_NONE)
			return false;
		// To one's own floating IP, from the very port: it would be its own answer.
		if (weft_flow_equal(&reply, &j->pkt->key)) {
			*why = DROP_SESSION_CLASH;
			if (!j->pick_port)
				return false;
			continue;
		}
		compose(j, &reply, untracked, n);
		s = weft_session_add(w->session_worker, n, w->now_ms, why);
		if (s == NULL && (*why != DROP_SESSION_CLASH || !j->pick_port))
			return false;
	}
	if (s == NULL || !(weft_session_flags(s) & SESSION_NAT))
		return false;
	if (unlikely(weft_session_is_claim(s)))
		weft_slow_claim(s, j->eth, j->pkt);
	weft_nat_leaves_as(s, &j->now);
	count_made(w, n);
	COUNT(w->stats.translated, 1);
	return true;
}

static bool add_plain(struct worker *w, const struct judge *j, struct session_new *n,
		      bool untracked, enum drop *why)
{
	struct session *s;
	struct flow_key reply;

	if (!weft_flow_reverse(&j->now, j->out->index, &reply))
		return true;
	compose(j, &reply, untracked, n);
	s = weft_session_add(w->session_worker, n, w->now_ms, why);
	// Same tuple, other MACs, or no longer permitted: the newer one holds.
	if (s != NULL && unlikely(memcmp(s->eth_in, j->eth, sizeof(s->eth_in)) != 0 ||
				  weft_slow_is_refused(s))) {
		weft_session_remove(w->session_worker, s);
		s = weft_session_add(w->session_worker, n, w->now_ms, why);
	}
	if (s == NULL)
		return untracked;
	count_made(w, n);
	return true;
}

bool weft_slow_make(struct worker *w, struct judge *j, uint32_t gen, enum drop *why)
{
	struct session_new n = {.gen = gen, .tcp_flags = j->pkt->tcp_flags, .bytes = j->frame_len};
	bool untracked = !weft_judge_tracks(j, j->in) && !weft_judge_tracks(j, j->out);

	return judge_translates(j) ? add_translated(w, j, &n, untracked, why)
				   : add_plain(w, j, &n, untracked, why);
}
