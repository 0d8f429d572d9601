// SPDX-License-Identifier: Apache-2.0
// What packets do to the state of their connection.
//
// From the flags that each direction has shown (RFC 9293), without sequence numbers:
//
//   NEW          a SYN, or in loose mode an ACK in the middle of a connection (picked up). It
//                becomes established when both directions have shown SYN and ACK, in whatever
//                order (so also by a simultaneous open); a connection picked up, when the other
//                side acknowledges.
//   ESTABLISHED  a FIN in both directions closes it, and so does a RST. A SYN of the end that
//                opened it changes nothing: the endpoints settle it by a challenge ACK (RFC
//                5961).
//   CLOSING      goes after a short timeout. A SYN of either end is a new connection, to be
//                judged as one.
//
// A SYN of the other end is refused (tcp-state) but where both ends open at the same time: it would
// open a connection that no rule was asked for.
//
// Beside Linux's conntrack (tcp_conntracks in nf_conntrack_proto_tcp.c of Linux 6; "invalid" is
// what Neutron's firewall drops, what Linux ignores passes):
//
//   packet                                   Linux              here
//   SYN, opening end, established            passes             passes
//   SYN, other end, opening                  simultaneous open  the same
//   SYN, other end, SYN-ACK sent             invalid            refused
//   SYN, other end, established              invalid            refused
//   SYN, opening end, FIN from one side      passes             passes
//   SYN, opening end, both FINs, no last ACK passes             judged as a new connection
//   SYN, opening end, after that, or a RST   reopens            judged as a new connection
//   SYN, other end, both FINs and last ACK   reopens            judged as a new connection
//   SYN, other end, before that, or a RST    invalid            judged as a new connection
//   SYN-ACK, opening end, never asked        invalid            refused
//   SYN-ACK, opening end, established        invalid            passes: it may send what it
//                                            likes, its flow is permitted
//   ACK, opening end, SYN unanswered         invalid            refused, unless loose
//   ACK, other end, SYN unanswered           passes             passes, opens nothing
//   FIN, other end, SYN unanswered           invalid            passes: it is the answer, and
//                                            opens nothing
//   RST, inside the window                   closes             closes, until both ends go on
//   outside the window                       invalid            passes
//
// Why no windows: the four numbers of each direction that windows need (end, largest end, window,
// scale) have no room in its cache line, and every packet would have to write them, behind a header
// that the fast path need not read. What windows would keep out is a packet with the right
// addresses and ports of who does not see the connection. A port's addresses cannot be forged
// (anti-spoof), so that is a host outside; and the receiver, which knows its window better, refuses
// it (RFC 5961). What remains is that the state can be moved from there: what that is worth
// follows.
//
// A RST may be forged by someone who does not see the connection, and without sequence numbers it
// is believed. So it only lowers the state: packets of the connection still pass, and when
// afterwards *both* directions acknowledge without RST or FIN (a receiver of a genuine RST sends
// nothing more), it is established again.
//
// Other protocols are established by the first answer.
//
// tcp_flags of a direction: FIN, SYN, RST and ACK, and ALIVE in the bit of CWR. Several workers
// may set and clear bits, so they change atomically; most packets change none. In whatever order
// the packets of a direction are taken, its end can do no more with them than by sending them in
// that order: what the other end has to say is in the other direction's bits.
#include <netinet/in.h>

#include "datapath/native/session/session_table.h"

#define FIN	  0x01
#define SYN	  0x02
#define RST	  0x04
#define ACK	  0x10
#define URG	  0x20
#define ALIVE	  0x80 // acknowledged something since the RST
#define HANDSHAKE (SYN | ACK)
#define KEPT	  (FIN | SYN | RST | ACK)

// The combinations that a stack sends; PSH, ECE and CWR say nothing. Indexed by URG ACK RST SYN
// FIN.
#define COMBINATION(flags) (((flags)&0x30) >> 1 | ((flags)&0x07))
#define VALID(flags)	   (1u << COMBINATION(flags))
#define VALID_COMBINATIONS                                                                  \
	(VALID(SYN) | VALID(SYN | URG) | VALID(SYN | ACK) | VALID(RST) | VALID(RST | ACK) | \
	 VALID(FIN | ACK) | VALID(FIN | ACK | URG) | VALID(ACK) | VALID(ACK | URG))

static bool is_valid(uint8_t flags)
{
	return VALID_COMBINATIONS >> COMBINATION(flags) & 1;
}

enum drop weft_tcp_may_open(uint8_t tcp_flags, bool loose)
{
	if (!is_valid(tcp_flags))
		return DROP_TCP_FLAGS;
	switch (tcp_flags & KEPT) {
	case SYN:
		return DROP_NONE;
	case ACK:
		return loose ? DROP_NONE : DROP_TCP_STATE;
	default:
		return DROP_TCP_STATE;
	}
}

static uint8_t seen(const struct session *s)
{
	return __atomic_load_n(&s->tcp_flags, __ATOMIC_RELAXED);
}

static void note(struct session *s, uint8_t flags)
{
	if ((seen(s) & flags) != flags)
		__atomic_fetch_or(&s->tcp_flags, flags, __ATOMIC_RELAXED);
}

static void forget(struct session *s, uint8_t flags)
{
	if (seen(s) & flags)
		__atomic_fetch_and(&s->tcp_flags, (uint8_t)~flags, __ATOMIC_RELAXED);
}

static bool is_picked_up(const struct session *s)
{
	return weft_session_flags(s) & SESSION_PICKED_UP;
}

static void set_normal(struct session *s)
{
	if (is_picked_up(s))
		__atomic_fetch_and(&s->flags, (uint16_t)~SESSION_PICKED_UP, __ATOMIC_RELAXED);
}

struct tcp { // a packet and its connection
	struct session_table *t;
	struct session *s, *peer; // the packet's direction and the other
	struct session *original;
	uint8_t flags;
};

static bool is_complete(const struct tcp *c)
{
	return (seen(c->s) & seen(c->peer) & HANDSHAKE) == HANDSHAKE;
}

static void close_if_both_finished(const struct tcp *c)
{
	if (seen(c->s) & seen(c->peer) & FIN)
		weft_session_state_change(c->t, c->original, SESSION_ESTABLISHED, SESSION_CLOSING);
}

static void reset(const struct tcp *c, uint8_t state)
{
	note(c->s, RST);
	forget(c->s, ALIVE);
	forget(c->peer, ALIVE);
	weft_session_state_change(c->t, c->original, state, SESSION_CLOSING);
}

// May the other end send a SYN of its own? Only if both ends open at the same time: it has seen
// nothing of the handshake, and neither it nor, before its first SYN, the original end has
// acknowledged anything. Any other one would open a connection that no rule was asked for.
static bool opens_as_well(const struct tcp *c)
{
	return !is_picked_up(c->s) && !(seen(c->s) & ACK) &&
	       ((seen(c->s) & SYN) || !(seen(c->peer) & ACK));
}

static enum drop opening(const struct tcp *c)
{
	bool is_reply = c->s != c->original;

	if (is_reply && (c->flags & HANDSHAKE) == SYN && !opens_as_well(c))
		return DROP_TCP_STATE;
	if (c->flags & RST) {
		reset(c, SESSION_NEW);
		return DROP_NONE;
	}
	if (!is_reply && (c->flags & ACK) && !is_picked_up(c->s) && !(seen(c->peer) & SYN)) {
		// It acknowledges what was never sent. Loose: the answers may have gone another
		// way.
		if (!c->t->tcp_loose || (c->flags & SYN))
			return DROP_TCP_STATE;
	}
	// The picked-up packet was a stray one; here the real connection begins.
	if (!is_reply && (c->flags & HANDSHAKE) == SYN) {
		set_normal(c->s);
		set_normal(c->peer);
	}
	note(c->s, c->flags & KEPT);
	if (is_picked_up(c->s) ? is_reply && (c->flags & ACK) : is_complete(c)) {
		weft_session_state_change(c->t, c->original, SESSION_NEW, SESSION_ESTABLISHED);
		close_if_both_finished(c);
	}
	return DROP_NONE;
}

static enum drop established(const struct tcp *c)
{
	if (c->flags & RST) {
		reset(c, SESSION_ESTABLISHED);
	} else if ((c->flags & HANDSHAKE) == SYN && c->s != c->original) {
		return DROP_TCP_STATE;
	} else if (!(c->flags & SYN)) {
		note(c->s, c->flags & KEPT);
		close_if_both_finished(c);
	}
	return DROP_NONE;
}

static enum drop closing(const struct tcp *c, bool *reopened)
{
	if ((c->flags & HANDSHAKE) == SYN) {
		*reopened = true;
		return DROP_NONE;
	}
	if (c->flags & RST) {
		reset(c, SESSION_CLOSING);
		return DROP_NONE;
	}
	note(c->s, c->flags & KEPT);
	if (c->flags & FIN || !((seen(c->s) | seen(c->peer)) & RST) ||
	    (seen(c->s) & seen(c->peer) & FIN))
		return DROP_NONE;
	note(c->s, ALIVE);
	if ((seen(c->s) & seen(c->peer) & ALIVE) && (is_complete(c) || is_picked_up(c->s))) {
		forget(c->s, RST | ALIVE);
		forget(c->peer, RST | ALIVE);
		weft_session_state_change(c->t, c->original, SESSION_CLOSING, SESSION_ESTABLISHED);
	}
	return DROP_NONE;
}

enum drop weft_session_update(struct session_table *t, struct session *s, uint8_t tcp_flags,
			      bool *reopened)
{
	struct session *peer = weft_session_peer(s);
	struct session *original = weft_session_flags(s) & SESSION_REPLY ? peer : s;
	uint8_t state = session_state_get(original);

	*reopened = false;
	if (s->key.proto != IPPROTO_TCP) {
		if (state == SESSION_NEW && s != original)
			weft_session_state_change(t, original, SESSION_NEW, SESSION_ESTABLISHED);
		return DROP_NONE;
	}
	if (unlikely(!is_valid(tcp_flags)))
		return DROP_TCP_FLAGS;

	const struct tcp c = {t, s, peer, original, tcp_flags};
	switch (state) {
	case SESSION_NEW:
		return opening(&c);
	case SESSION_ESTABLISHED:
		return established(&c);
	case SESSION_CLOSING:
		return closing(&c, reopened);
	default: // removed a moment ago by another worker, or just being added by it
		return DROP_NONE;
	}
}
