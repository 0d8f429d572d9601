// SPDX-License-Identifier: Apache-2.0
// TCP as far as a firewall sees it: a handshake, requests and answers, FIN from both sides; then
// the next connection. The client's end has a state and a timer; the other end answers what it
// gets.
#include "tests/stress/play.h"

#define FIN	  0x01
#define SYN	  0x02
#define PSH	  0x08
#define ACK	  0x10
#define EXCHANGES 6
#define AGAIN_S	  0.05
#define TRIES	  4
#define SETTLED	  2 // answers heard after which nothing but the policy can stop a connection

enum { CLIENT_IDLE, CLIENT_SYN, CLIENT_DATA, CLIENT_FIN };

static uint8_t flags_of(const struct conn *k)
{
	switch (k->state) {
	case CLIENT_SYN:
		return SYN;
	case CLIENT_DATA:
		return PSH | ACK;
	default:
		return FIN | ACK;
	}
}

static void open_next(struct play *p, const struct class *c, struct conn *k, uint32_t slot)
{
	k->flow = k->open ? k->flow + c->flows : slot;
	k->open = true;
	k->state = CLIENT_SYN;
	k->exchanges = k->tries = k->heard = 0;
	k->busy = false;
	p->connections++;
}

// The next step, or the last one again if nothing was heard.
static bool step(struct play *p, struct class *c, struct conn *k)
{
	struct tag t = {.target = c->target == NOBODY ? 0 : c->target};
	enum stamp stamp = c->stamp;

	if (k->busy && ++k->tries > TRIES) {
		p->abandoned++;
		open_next(p, c, k, 0);
	}
	// A FIN opens nothing, so only a connection that was heard of since the latest change may
	// end.
	if (k->state == CLIENT_FIN && k->version != c->version)
		k->state = CLIENT_DATA;
	if (k->tries > 0 && stamp == STAMP_ALLOWED)
		stamp = STAMP_CHANGING;
	t.flow = k->flow;
	t.l4 = flags_of(k);
	if (!play_send(p, c, &t, stamp, (uint16_t)play_random(p, 600)))
		return false;
	k->busy = true;
	k->at = p->now;
	return true;
}

// What it was allowed to say before the change.
static void send_late(struct play *p, struct class *c, struct conn *k)
{
	struct tag t = {.dir = 1, .target = c->target, .flow = k->server_flow, .l4 = PSH | ACK};

	if (c->target != NOBODY && k->heard > 0 && play_random(p, 8) == 0)
		play_send(p, c, &t, STAMP_FORBIDDEN, 0);
}

unsigned int play_tcp_emit(struct play *p, struct class *c, unsigned int n)
{
	unsigned int done = 0;

	for (uint32_t i = 0; i < c->flows && done < n; i++) {
		uint32_t slot = c->next_flow++ % c->flows;
		struct conn *k = &p->conns[c->id][slot];

		if (k->state == CLIENT_IDLE)
			open_next(p, c, k, slot);
		if (k->busy && p->now - k->at < AGAIN_S)
			continue;
		if (c->stamp == STAMP_FORBIDDEN)
			send_late(p, c, k);
		done += step(p, c, k);
	}
	return done;
}

static void client_sees(struct play *p, struct class *c, struct conn *k, const struct tag *t)
{
	if (t->flow != k->flow || !k->busy)
		return;
	switch (k->state) {
	case CLIENT_SYN:
		if ((t->l4 & SYN) == 0)
			return;
		k->state = CLIENT_DATA;
		break;
	case CLIENT_DATA:
		if ((t->l4 & (SYN | FIN)) != 0)
			return;
		if (++k->exchanges >= EXCHANGES)
			k->state = CLIENT_FIN;
		break;
	default:
		if ((t->l4 & FIN) == 0)
			return;
		struct tag last = {.target = t->target, .flow = k->flow, .l4 = ACK};
		// Both have finished, so it may be forgotten by now.
		play_send(p, c, &last, STAMP_CHANGING, 0);
		k->state = CLIENT_IDLE;
		break;
	}
	k->heard = k->version == t->version ? k->heard + 1 : 1;
	k->version = t->version;
	k->busy = false;
	k->tries = 0;
}

static void server_sees(struct play *p, struct class *c, struct conn *k, const struct tag *t)
{
	struct tag a = {.dir = 1, .target = t->target, .flow = t->flow};
	bool plain;

	if ((t->l4 & (SYN | PSH | FIN)) == 0 || t->version != c->version ||
	    c->stamp != STAMP_ALLOWED)
		return;
	a.l4 = ACK | (t->l4 & SYN ? SYN : t->l4 & FIN ? FIN : PSH);
	k->server_flow = t->flow;
	plain = t->stamp == STAMP_ALLOWED && (t->l4 & SYN) == 0 && k->flow == t->flow &&
		k->version == t->version && k->heard >= SETTLED;
	a.first = !plain;
	if (play_send(p, c, &a, plain ? STAMP_ALLOWED : STAMP_CHANGING,
		      (uint16_t)play_random(p, 600)))
		c->first_sent += a.first;
}

void play_tcp_seen(struct play *p, struct class *c, const struct tag *t)
{
	struct conn *k = &p->conns[c->id][t->flow % c->flows];

	if (t->dir == 1)
		client_sees(p, c, k, t);
	else
		server_sees(p, c, k, t);
}
