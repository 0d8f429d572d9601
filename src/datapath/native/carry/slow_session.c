// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/slow_session.h"

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <stddef.h>
#include <string.h>

#include "datapath/native/carry/live.h"
#include "datapath/native/packet/counter.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/carry/route.h"
#include "datapath/native/carry/slow.h"

// What the original direction's first packet looked like, as far as the stages ask.
static void packet_of_session(const struct session *original, struct packet *p)
{
	memset(p, 0, sizeof(*p));
	p->kind = PACKET_IP;
	weft_session_key(original, &p->key);
	p->ethertype = p->key.family == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6;
	if (p->key.proto == 1 || p->key.proto == 58) {
		p->icmp_query = true;
		p->icmp_type = rte_be_to_cpu_16(p->key.dport) >> 8;
		p->icmp_code = rte_be_to_cpu_16(p->key.dport) & 0xff;
	}
}

bool weft_slow_is_stale(const struct node *node, const struct session *s)
{
	return native_session_gen(s) != native_gen(node, s->key.in_port, weft_session_out_port(s));
}

// A direction's flags and its generation where they must change together: they lie in one word.
union standing {
	struct {
		uint16_t out_port, flags;
		uint32_t gen;
	};
	uint64_t word;
};

_Static_assert(offsetof(struct session, out_port) % sizeof(uint64_t) == 0 &&
		       offsetof(struct session, flags) == offsetof(struct session, out_port) +
								  offsetof(union standing, flags) &&
		       offsetof(struct session, gen) ==
			       offsetof(struct session, out_port) + offsetof(union standing, gen),
	       "one word");

typedef uint64_t __attribute__((may_alias)) standing_word;

static standing_word *standing_of(struct session *s)
{
	return (standing_word *)((char *)s + offsetof(struct session, out_port));
}

static union standing standing_get(struct session *s)
{
	return (union standing) {.word = __atomic_load_n(standing_of(s), __ATOMIC_ACQUIRE)};
}

// False: it is another one by now, which *from says.
static bool standing_change(struct session *s, union standing *from, union standing to)
{
	return __atomic_compare_exchange_n(standing_of(s), &from->word, to.word, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

// What the direction was judged to be. Together: whoever sees the new generation sees the mark,
// and who takes the mark away has judged by this generation or does not find it any more.
static void set_judged(struct session *s, uint32_t gen, uint16_t mark)
{
	union standing from = standing_get(s), to;

	do {
		to = from;
		to.flags |= mark;
		to.gen = gen;
	} while (!standing_change(s, &from, to));
}

// To write down what is found out about it. False: another worker is about to.
static bool may_correct(struct session *s)
{
	uint16_t before = __atomic_fetch_or(&weft_session_original(s)->flags, SESSION_CORRECTING,
					    __ATOMIC_ACQUIRE);

	return (before & SESSION_CORRECTING) == 0;
}

static void corrected(struct session *s)
{
	__atomic_fetch_and(&weft_session_original(s)->flags, (uint16_t)~SESSION_CORRECTING,
			   __ATOMIC_RELEASE);
}

bool weft_slow_same_translation(const struct session *original, const struct judge *j)
{
	struct flow_key now = j->now, was;

	weft_nat_leaves_as(original, &was);
	if (j->pick_port)
		now.sport = was.sport;
	return weft_flow_equal(&now, &was);
}

// What is beyond the way out of the node, and a port without port security, may have got another
// MAC; that is no other way.
static bool is_same_way(const struct session *original, const struct judge *j)
{
	return j->verdict == VERDICT_FORWARD && j->out->index == weft_session_out_port(original) &&
	       j->hops == weft_session_flags(original) >> SESSION_HOPS_SHIFT &&
	       (!j->out->plan->filtered ||
		memcmp(j->eth_out, original->eth_out, sizeof(j->eth_out)) == 0);
}

// Of a direction, by the one who corrects it, while other workers read them (session.h).
static void change_macs(uint8_t *to, const uint8_t *macs, size_t len)
{
	memcpy(to, macs, len);
}

static void adopt_macs(struct session *original, const struct judge *j)
{
	uint8_t back[sizeof(j->eth_out)];

	if (memcmp(j->eth_out, original->eth_out, sizeof(j->eth_out)) == 0)
		return;
	weft_eth_swap(back, j->eth_out);
	change_macs(original->eth_out, j->eth_out, sizeof(j->eth_out));
	change_macs(weft_session_peer(original)->eth_in, back, sizeof(back));
}

// Do rules that follow connections refuse it? What no longer finds its way, or has its rules for
// each direction, is forgotten instead.
static bool is_refused(const struct judge *j)
{
	if (j->verdict != VERDICT_DROP)
		return false;
	return (j->why == DROP_EGRESS_RULES && weft_judge_tracks(j, j->in)) ||
	       (j->why == DROP_INGRESS_RULES && weft_judge_tracks(j, j->out));
}

static enum rejudged compare_way(const struct session *original, const struct judge *j)
{
	if (!weft_slow_same_translation(original, j))
		return REJUDGED_CUT;
	if (j->verdict == VERDICT_RESOLVE ||
	    (j->verdict == VERDICT_DROP && j->why == DROP_NEXT_HOP))
		return REJUDGED_WAITS;
	return is_same_way(original, j) ? REJUDGED_GOOD : REJUDGED_CUT;
}

// But for the rules, would it go the way that it went? Otherwise they refuse another flow than
// this one: a floating IP has moved, say.
static bool keeps_its_way(const struct node *node, const struct session *original,
			  const struct packet *p, uint64_t epoch)
{
	struct judge j;

	weft_judge_init(&j, node, epoch, p, original->eth_in, 0);
	j.rejudge = true;
	j.related_to = weft_session_out_port(original);
	if (j.in == NULL)
		return false;
	weft_judge(&j);
	return compare_way(original, &j) != REJUDGED_CUT;
}

enum rejudged weft_slow_would_rejudge(const struct node *node, struct session *s, struct packet *p,
				      struct judge *j)
{
	struct session *original = weft_session_original(s);

	packet_of_session(original, p);
	weft_judge_init(j, node, weft_vstore_epoch(node->vs), p, original->eth_in, 0);
	j->rejudge = true;
	if (j->in == NULL)
		return REJUDGED_CUT;
	weft_judge(j);
	if (is_refused(j))
		return keeps_its_way(node, original, p, j->epoch) ? REJUDGED_REFUSED : REJUDGED_CUT;
	if (weft_session_is_over(node->sessions, original))
		return REJUDGED_CUT;
	return compare_way(original, j);
}

// What it was judged to be is written down by one worker at a time, and an older judgement never
// over a newer one. False: it stays as it is; if that is stale, its next packet is judged again.
static bool may_settle(struct session *original, uint32_t gen)
{
	if (!may_correct(original))
		return false;
	if ((int32_t)(gen - native_session_gen(original)) > 0)
		return true;
	corrected(original);
	return false;
}

static void mark_refused(struct worker *w, struct session *original, uint32_t gen)
{
	if (weft_slow_is_refused(original) || !may_settle(original, gen))
		return;
	__atomic_fetch_or(&original->flags, SESSION_REFUSED, __ATOMIC_ACQ_REL);
	COUNT(w->stats.revoked, 1);
	corrected(original);
}

static void settle(struct session *original, uint32_t gen, struct judge *j)
{
	if (!may_settle(original, gen))
		return;
	adopt_macs(original, j);
	weft_nat_leaves_as(original, &j->now);
	if (unlikely(weft_slow_is_refused(original)))
		__atomic_fetch_and(&original->flags, (uint16_t)~SESSION_REFUSED, __ATOMIC_ACQ_REL);
	set_judged(weft_session_peer(original), gen,
		   weft_judge_reply(j) != DROP_NONE ? SESSION_SLOW : 0);
	__atomic_store_n(&original->gen, gen, __ATOMIC_RELEASE);
	corrected(original);
}

enum rejudged weft_slow_rejudge(struct worker *w, struct session *s, enum drop *why)
{
	struct session *original = weft_session_original(s);
	// The generation first: whoever sees a new one also sees the epoch that goes with it.
	uint32_t gen = native_gen(w->node, original->key.in_port, weft_session_out_port(original));
	enum rejudged result;
	struct packet p;
	struct judge j;

	COUNT(w->stats.rejudged, !weft_slow_is_refused(original)); // else by each packet
	result = weft_slow_would_rejudge(w->node, original, &p, &j);
	*why = j.why;
	switch (result) {
	case REJUDGED_GOOD:
		settle(original, gen, &j);
		break;
	case REJUDGED_REFUSED:
		mark_refused(w, original, gen);
		break;
	case REJUDGED_CUT:
		COUNT(w->stats.revoked, weft_session_remove(w->session_worker, original));
		break;
	case REJUDGED_WAITS:
		break;
	}
	return result;
}

enum drop weft_slow_judge_replies(const struct node *node, struct session *s)
{
	struct session *original = weft_session_original(s);
	struct packet p;
	struct judge j;

	packet_of_session(original, &p);
	weft_judge_init(&j, node, weft_vstore_epoch(node->vs), &p, original->eth_in, 0);
	j.out = native_policy(node, weft_session_out_port(original), j.epoch);
	memcpy(j.eth_out, original->eth_out, sizeof(j.eth_out));
	weft_nat_leaves_as(original, &j.now);
	if (j.in == NULL || j.out == NULL)
		return DROP_PORT_DETACHED;
	return weft_judge_reply(&j);
}

// A direction that stateless groups do not open: is it still so? The policy may have grown.
static enum drop session_slow_check(struct worker *w, struct session *s)
{
	union standing marked = standing_get(s), clear = marked;
	enum drop why = weft_slow_judge_replies(w->node, s);

	if (why != DROP_NONE)
		return why;
	// Another worker may have judged it by a newer policy meanwhile: then the mark is that
	// one's.
	clear.flags &= (uint16_t)~SESSION_SLOW;
	standing_change(s, &marked, clear);
	return DROP_NONE;
}

struct session *weft_session_related(const struct session_table *t, const struct packet *p,
				     const uint8_t *eth)
{
	struct session *s;
	struct flow_key key;
	bool to_sender;

	if (!p->icmp_error || !p->inner_ok || p->inner.family != p->key.family)
		return NULL;
	// An error goes to the sender of the packet that it is about.
	to_sender = p->key.family == 4 ? p->key.dst4 == p->inner.src4
				       : memcmp(p->key.dst6, p->inner.src6, 16) == 0;
	if (!to_sender || !weft_flow_reverse(&p->inner, p->key.in_port, &key))
		return NULL;
	s = weft_session_get(t, &key, weft_flow_hash(&key));
	// What goes to another port is not that flow's business, and needs rules.
	return s != NULL && memcmp(eth, s->eth_in, RTE_ETHER_ADDR_LEN) == 0 ? s : NULL;
}

struct session *weft_slow_find(const struct session_table *t, const struct packet *p)
{
	if (p->kind != PACKET_IP || ((p->key.proto == 1 || p->key.proto == 58) && !p->icmp_query))
		return NULL;
	return weft_session_get(t, &p->key, weft_flow_hash(&p->key));
}

// Routers outside the node may send from another MAC than the one that is sent to, and take each
// other's place (VRRP); a VM without port security may take another one.
static bool is_from(struct worker *w, struct session *s, const uint8_t *mac)
{
	const struct port_policy *in;

	if (likely(memcmp(mac, s->eth_in + 6, 6) == 0))
		return true;
	in = native_policy(w->node, s->key.in_port, weft_vstore_epoch(w->node->vs));
	if (in == NULL || in->plan->filtered || (mac[0] & 1) != 0)
		return false;
	if (!may_correct(s))
		return true;
	change_macs(s->eth_in + 6, mac, 6);
	// What a router took in from there is answered there.
	if (!(weft_session_flags(s) & SESSION_REPLY) &&
	    weft_session_flags(s) >> SESSION_HOPS_SHIFT != 0)
		change_macs(weft_session_peer(s)->eth_out, mac, 6);
	corrected(s);
	return true;
}

// The mark lasts as long as the direction goes on that no rule permits.
static void refuse(struct worker *w, struct rte_mbuf *m, const struct packet *p, struct session *s,
		   enum drop why)
{
	if (!(weft_session_flags(s) & SESSION_REPLY))
		__atomic_store_n(&s->seen_ms, w->now_ms, __ATOMIC_RELAXED);
	weft_drop(w, m, p->key.in_port, why);
}

// A packet whose key has a session.
enum carried weft_slow_carry(struct worker *w, struct rte_mbuf *m, const struct packet *p,
			     struct session *s)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	struct live *live = weft_live(w);
	enum rejudged judged = REJUDGED_GOOD;
	bool reopened = false, same_way;
	enum drop why;

	if (!is_from(w, s, frame + 6))
		return NOT_CARRIED;
	if (unlikely(live != NULL))
		weft_live_leads(live, s);
	same_way = memcmp(frame, s->eth_in, 6) == 0;
	// Another router would translate it otherwise.
	if (!same_way && (weft_session_flags(s) & SESSION_NAT) != 0)
		return NOT_CARRIED;
	if (weft_slow_is_stale(w->node, s)) {
		judged = weft_slow_rejudge(w, s, &why);
		if (judged == REJUDGED_CUT ||
		    (judged == REJUDGED_REFUSED && !weft_slow_shares_refusal(s, p, same_way)))
			return NOT_CARRIED;
		if (judged == REJUDGED_REFUSED) {
			refuse(w, m, p, s, why);
			return CARRIED;
		}
	}
	if (weft_session_flags(s) & SESSION_SLOW) {
		why = session_slow_check(w, s);
		if (why != DROP_NONE) {
			weft_drop(w, m, p->key.in_port, why);
			return CARRIED;
		}
	}
	if (unlikely(weft_session_is_claim(s)) && p->fragment != FRAGMENT_LATER) {
		why = weft_slow_check_claim(s, frame, p);
		if (why != DROP_NONE) {
			weft_drop(w, m, p->key.in_port, why);
			return CARRIED;
		}
	}
	if (p->fragment != FRAGMENT_LATER) {
		why = weft_session_update(w->sessions, s, p->tcp_flags, &reopened);
		if (reopened) {
			weft_session_remove(w->session_worker, s);
			return NOT_CARRIED;
		}
		if (why != DROP_NONE && !(weft_session_flags(s) & SESSION_UNTRACKED)) {
			weft_drop(w, m, p->key.in_port, why);
			return CARRIED;
		}
	}
	if (!same_way || judged != REJUDGED_GOOD || !weft_session_fits(w, m, s, p->ttl))
		return CARRY_BY_STAGES;
	weft_session_carry(w, m, s, p->l4);
	return CARRIED;
}

bool weft_slow_is_current(const struct judge *j)
{
	return weft_vstore_epoch(j->node->vs) == j->epoch &&
	       weft_resolver_version(j->node->resolver) == j->next_hops;
}

// A live session's packets come another way than expected (another router of the network, say):
// remember it. The sender's MAC is the same (is_from), so that half of it is no MAC that the
// sender may not have.
void weft_slow_correct(struct session *s, const struct judge *j)
{
	uint16_t flags, next;

	if (j->out->index != weft_session_out_port(s) || !may_correct(s))
		return;
	// Looked at now: by what changes from here on it will be judged again.
	if (!weft_slow_is_current(j)) {
		corrected(s);
		return;
	}
	change_macs(s->eth_in, j->eth, 12);
	change_macs(s->eth_out, j->eth_out, 12);
	// Other workers mark the flags at the same time.
	flags = weft_session_flags(s);
	do
		next = (uint16_t)((flags & ((1u << SESSION_HOPS_SHIFT) - 1)) |
				  (uint32_t)j->hops << SESSION_HOPS_SHIFT);
	while (!__atomic_compare_exchange_n(&s->flags, &flags, next, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
	corrected(s);
}
