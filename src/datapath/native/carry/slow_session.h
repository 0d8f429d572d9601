// SPDX-License-Identifier: Apache-2.0
// Sessions as the slow path uses them: find one, judge it again, let it carry a packet, make one.
//
//   slow_session.c   find, judge again, carry
//   slow_make.c      make
//   slow_claim.c     whose is a port that was picked up
//
// Threads    the worker
#pragma once

#include <string.h>

#include "datapath/native/judge/judge.h"
#include "datapath/native/worker/worker.h"

// The MACs of the other direction.
static inline void weft_eth_swap(uint8_t out[12], const uint8_t in[12])
{
	memcpy(out, in + 6, 6);
	memcpy(out + 6, in, 6);
}

// The session of a parsed packet's key; NULL = none, or a packet that never has one.
struct session *weft_slow_find(const struct session_table *t, const struct packet *p);

bool weft_slow_is_stale(const struct node *node, const struct session *s);

// Did the rules refuse it when it was judged last?
static inline bool weft_slow_is_refused(struct session *s)
{
	return (weft_session_flags(weft_session_original(s)) & SESSION_REFUSED) != 0;
}

enum rejudged {
	REJUDGED_GOOD,
	// Permitted, but its next hop outside is not known now: it stays as it is, and stale.
	REJUDGED_WAITS,
	REJUDGED_REFUSED, // no rule permits it: *why; it stays, stale and marked (SESSION_REFUSED)
	REJUDGED_CUT,	  // removed
};
// Judge a connection again, by its original direction, under the present policy. It is cut if it
// may not pass, or would pass another way, or be translated otherwise; but a port that was chosen
// for it stays its own, and so does its state.
enum rejudged weft_slow_rejudge(struct worker *w, struct session *s, enum drop *why);
// The same without any effect. p and j are for the judgement; p must outlive j.
enum rejudged weft_slow_would_rejudge(const struct node *node, struct session *s, struct packet *p,
				      struct judge *j);
// Is a packet of a refused connection refused with it? Otherwise it is judged by itself: what
// goes to another MAC than the connection did, and a new TCP connection of the other end, which
// takes the place of the refused one if it may. (One of the end that is refused would be refused,
// too, and is not to end the mark.)
static inline bool weft_slow_shares_refusal(const struct session *s, const struct packet *p,
					    bool same_way)
{
	if (!(weft_session_flags(s) & SESSION_REPLY))
		return same_way;
	return p->fragment == FRAGMENT_LATER || (p->tcp_flags & 0x12) != 0x02; // SYN, not SYN-ACK
}

// The addresses and ports as the session has them? A port that was chosen is not compared.
bool weft_slow_same_translation(const struct session *original, const struct judge *j);

// May the replies pass? Stateless groups have rules for them.
enum drop weft_slow_judge_replies(const struct node *node, struct session *s);

enum carried {
	CARRIED,
	NOT_CARRIED,	 // the session is of no use (or gone): judge the packet as a new flow
	CARRY_BY_STAGES, // of a live session, but it needs another way, or a router's answer
};

// A packet whose key has a session. CARRIED: the mbuf is taken.
enum carried weft_slow_carry(struct worker *w, struct rte_mbuf *m, const struct packet *p,
			     struct session *s);

// The original's packet of a claim passes, or its first one: remember what an answer must
// acknowledge.
void weft_slow_claim(struct session *original, const uint8_t *frame, const struct packet *p);
// The same for any packet of a claim, before its state is changed. DROP_TCP_STATE: it is an answer
// to another connection.
enum drop weft_slow_check_claim(struct session *s, const uint8_t *frame, const struct packet *p);

enum claimed {
	CLAIMED_NOT,	 // by nobody, or by who has proved it
	CLAIMED_FOR_NOW, // it is not known yet whose it is
	CLAIMED_WRONGLY, // by somebody whose it is not
};
// Has a claim taken the port that `j`, which is picked up in the middle as well, has as its first
// choice? *by: that one.
enum claimed weft_slow_claimed(const struct session_table *t, const struct judge *j,
			       struct session **by);

// Are the policy and the next hops still those that it was judged by?
bool weft_slow_is_current(const struct judge *j);

// Of what was judged FORWARD: does it make a session?
bool weft_slow_makes_session(const struct judge *j);
// Is it translated without a flow that says how? Then its answers find their way back by a
// session, or not at all.
bool weft_slow_needs_session(const struct judge *j);
// Why it cannot be translated; DROP_NONE = it can, or is not.
enum drop weft_slow_untranslatable(const struct judge *j);

// Make the session of a flow that was judged FORWARD; gen was read before the epoch was found
// unchanged. Chooses the port if j->pick_port. False: *why says why it may not start.
bool weft_slow_make(struct worker *w, struct judge *j, uint32_t gen, enum drop *why);

// j->pick_port: choose j->now.sport, from the n-th to try on. False: they are all in use.
bool weft_slow_find_port(const struct session_table *t, struct judge *j, uint32_t *n);

// A live session's packets come another way than expected: remember it.
void weft_slow_correct(struct session *s, const struct judge *j);
