// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/slow_session.h"

#include <rte_ether.h>
#include <string.h>

#include "datapath/native/route.h"
#include "datapath/native/slow.h"

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

bool weft_slow_is_stale(const struct worker *w, const struct session *s)
{
	return native_session_gen(s) != native_gen(w->dp, s->key.in_port, s->out_port);
}

// Does the present policy let the original direction go the way that the session goes?
static bool is_permitted(struct worker *w, const struct session *original, const struct packet *p,
			 struct judge *j)
{
	weft_judge_init(j, w->dp, weft_vstore_epoch(w->dp->vs), p, original->eth_in, 0);
	j->rejudge = true;
	if (j->in == NULL)
		return false;
	weft_judge(j);
	return j->verdict == VERDICT_FORWARD && j->out->index == original->out_port &&
	       memcmp(j->eth_out, original->eth_out, sizeof(j->eth_out)) == 0 &&
	       j->hops == original->flags >> SESSION_HOPS_SHIFT;
}

bool weft_slow_rejudge(struct worker *w, struct session *s)
{
	struct session *original = weft_session_original(s), *reply = weft_session_peer(original);
	// The generation first: whoever sees a new one also sees the epoch that goes with it.
	uint32_t gen = native_gen(w->dp, original->key.in_port, original->out_port);
	struct packet p;
	struct judge j;

	packet_of_session(original, &p);
	w->stats.rejudged++;
	if (!is_permitted(w, original, &p, &j)) {
		w->stats.revoked++;
		weft_session_remove(w->session_worker, original);
		return false;
	}
	// Taking the mark away is for the worker of the replies alone, so that it cannot undo this.
	if (weft_judge_reply(&j) != DROP_NONE)
		__atomic_fetch_or(&reply->flags, SESSION_SLOW, __ATOMIC_ACQ_REL);
	// After the mark: whoever sees the new generation sees it, too.
	__atomic_store_n(&original->gen, gen, __ATOMIC_RELEASE);
	__atomic_store_n(&reply->gen, gen, __ATOMIC_RELEASE);
	return true;
}

// A direction that stateless groups do not open: is it still so? The policy may have grown.
static enum drop session_slow_check(struct worker *w, struct session *s)
{
	struct session *original = weft_session_original(s);
	struct packet p;
	struct judge j;
	enum drop why;

	packet_of_session(original, &p);
	weft_judge_init(&j, w->dp, weft_vstore_epoch(w->dp->vs), &p, original->eth_in, 0);
	j.out = native_policy(w->dp, original->out_port, j.epoch);
	memcpy(j.eth_out, original->eth_out, sizeof(j.eth_out));
	if (j.in == NULL || j.out == NULL)
		return DROP_PORT_DETACHED;
	why = weft_judge_reply(&j);
	if (why != DROP_NONE)
		return why;
	// Another worker may have judged by a newer policy meanwhile and set the mark: then its epoch is seen here.
	__atomic_fetch_and(&s->flags, (uint16_t)~SESSION_SLOW, __ATOMIC_ACQ_REL);
	if (weft_vstore_epoch(w->dp->vs) != j.epoch)
		__atomic_fetch_or(&s->flags, SESSION_SLOW, __ATOMIC_ACQ_REL);
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

struct session *weft_slow_find(const struct worker *w, const struct packet *p)
{
	if (p->kind != PACKET_IP || ((p->key.proto == 1 || p->key.proto == 58) && !p->icmp_query))
		return NULL;
	return weft_session_get(w->sessions, &p->key, weft_flow_hash(&p->key));
}

void weft_session_carry(struct worker *w, struct rte_mbuf *m, struct session *s)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	uint64_t bytes = ((uint64_t)s->bytes_high << 32 | s->bytes_low) + len;
	uint8_t hops = (uint8_t)(s->flags >> SESSION_HOPS_SHIFT);

	memcpy(rte_pktmbuf_mtod(m, void *), s->eth_out, 12);
	if (hops > 0)
		weft_ttl_decrease(rte_pktmbuf_mtod(m, uint8_t *), s->key.family, hops);
	s->packets++;
	s->bytes_low = (uint32_t)bytes;
	s->bytes_high = (uint16_t)(bytes >> 32);
	s->seen_ms = w->now_ms;
	weft_send(w, m, s->out_port);
}

// A packet whose key has a session.
enum carried weft_slow_carry(struct worker *w, struct rte_mbuf *m, const struct packet *p,
			     struct session *s)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	bool reopened = false;
	enum drop why;

	if (memcmp(frame + 6, s->eth_in + 6, 6) != 0)
		return NOT_CARRIED;
	if (weft_slow_is_stale(w, s) && !weft_slow_rejudge(w, s))
		return NOT_CARRIED;
	if (s->flags & SESSION_SLOW) {
		why = session_slow_check(w, s);
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
		if (why != DROP_NONE && !(s->flags & SESSION_UNTRACKED)) {
			weft_drop(w, m, p->key.in_port, why);
			return CARRIED;
		}
	}
	if (memcmp(frame, s->eth_in, 6) != 0 || !weft_session_fits(w, m, s, p->ttl))
		return CARRY_BY_STAGES;
	weft_session_carry(w, m, s);
	return CARRIED;
}

static void eth_swap(uint8_t out[12], const uint8_t in[12])
{
	memcpy(out, in + 6, 6);
	memcpy(out + 6, in, 6);
}

// Make the session of a flow that was judged FORWARD. False: *why says why it may not start.
bool weft_slow_make(struct worker *w, const struct judge *j, uint32_t gen, enum drop *why)
{
	struct session_new n = {.gen = gen, .tcp_flags = j->pkt->tcp_flags};
	bool untracked = !weft_judge_tracks(j, j->in) && !weft_judge_tracks(j, j->out);
	struct flow_key reply;
	struct session *old;
	uint16_t hops = (uint16_t)(j->hops << SESSION_HOPS_SHIFT);

	if (!weft_flow_reverse(&j->pkt->key, j->out->index, &reply))
		return true;
	n.original = (struct session_direction) {.key = j->pkt->key, .out_port = j->out->index};
	memcpy(n.original.eth_in, j->eth, 12);
	memcpy(n.original.eth_out, j->eth_out, 12);
	// Replies come back the same way; if they do not, their first one corrects it.
	n.reply = (struct session_direction) {.key = reply, .out_port = j->in->index};
	eth_swap(n.reply.eth_in, j->eth_out);
	eth_swap(n.reply.eth_out, j->eth);
	n.original.flags = n.reply.flags = hops;
	if (untracked)
		n.original.flags = n.reply.flags = hops | SESSION_UNTRACKED;
	if (weft_judge_reply(j) != DROP_NONE)
		n.reply.flags |= SESSION_SLOW;
	// Same tuple, other MACs: the newer one holds.
	old = weft_session_get(w->sessions, &j->pkt->key, weft_flow_hash(&j->pkt->key));
	if (old != NULL)
		weft_session_remove(w->session_worker, old);
	n.bytes = j->frame_len;
	if (weft_session_add(w->session_worker, &n, w->now_ms, why) == NULL)
		return untracked;
	w->stats.sessions_added++;
	return true;
}

// A live session's packets come another way than expected (another router of the network, say): remember it. Only
// the worker that polls the port carries this direction, so nobody reads it half written.
void weft_slow_correct(struct session *s, const struct judge *j)
{
	uint16_t flags, next;

	if (j->out->index != s->out_port)
		return;
	memcpy(s->eth_in, j->eth, 12);
	memcpy(s->eth_out, j->eth_out, 12);
	// Other workers mark the flags at the same time.
	flags = __atomic_load_n(&s->flags, __ATOMIC_RELAXED);
	do
		next = (uint16_t)((flags & ((1u << SESSION_HOPS_SHIFT) - 1)) |
				  (uint32_t)j->hops << SESSION_HOPS_SHIFT);
	while (!__atomic_compare_exchange_n(&s->flags, &flags, next, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
}
