// SPDX-License-Identifier: Apache-2.0
#include "tests/stress/play.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BURST	     32
#define RESERVE	     (LAB_RING / 2) // places that answers may use and questions may not
// Incomplete datagrams of a class: ids are 16,384, each is known for 30 s.
#define RAGS_PER_S   300.0
#define SETTLED	     3 // answers after which nothing but the policy can stop a flow
#define LATE_ANSWERS 4 // of forbidden flows, for each burst of questions

static const char *const stamp_words[STAMPS] = {"allowed", "forbidden", "changing"};

double play_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void play_error(struct play *p, const char *format, ...)
{
	char text[512];
	va_list args;

	if (p->errors++ >= ERRORS_TOLD)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%.6f %s\n", p->now - p->begun, text);
	json_array_append_new(p->told, json_string(text));
}

void play_wrong(struct play *p, const struct class *c, const struct tag *t, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	play_error(p,
		   "%s: %s of class %s, flow %u, seq %u, for %s, %u bytes, sent at %.6f as %s "
		   "(version %u of %u; the latest change: %s)",
		   text, t->dir == 0 ? "question" : "answer", c->name, t->flow, t->seq,
		   t->target < p->n_vms ? p->vms[t->target].name : "all", t->len, t->us / 1e6,
		   stamp_words[t->stamp % STAMPS], t->version, c->version, c->note);
}

// ---- Out -----------------------------------------------------------------------------------

static uint8_t sender_of(const struct class *c, const struct tag *t)
{
	return t->dir == 0 ? c->from : t->target;
}

bool play_send(struct play *p, struct class *c, struct tag *t, enum stamp stamp, uint16_t payload)
{
	uint8_t from = sender_of(c, t);
	struct vm *v = &p->vms[from];

	if (vm_room(v) == 0) {
		v->ring_full++;
		return false;
	}
	if (t->seq == 0 && c->kind != KIND_FRAG)
		t->seq = ++c->seq[t->dir];
	t->magic = TAG_MAGIC;
	t->class = c->id;
	t->stamp = (uint8_t)stamp;
	t->version = c->version;
	t->us = (uint32_t)((p->now - p->begun) * 1e6);
	t->len = frame_length(c, t, payload);
	frame_make(c, p->vms, t, false, NOBODY, vm_frame(v));
	vm_put(v, t->len, (struct vm_slot) {c->id, t->dir, (uint8_t)stamp});
	c->count[t->dir].sent[stamp]++;
	v->sent[stamp]++;
	return true;
}

void play_lost(void *arg, const struct vm_slot *slot, unsigned int vm)
{
	struct play *p = arg;

	if (slot->stamp >= STAMPS) {
		p->vms[vm].asked--;
		return;
	}
	p->classes[slot->class].count[slot->dir].sent[slot->stamp]--;
	p->vms[vm].sent[slot->stamp]--;
}

static uint16_t some_length(struct play *p)
{
	return (uint16_t)(play_random(p, 4) == 0 ? play_random(p, 1400) : play_random(p, 64));
}

static uint8_t target_of(const struct class *c)
{
	return c->target == NOBODY ? 0 : c->target;
}

static bool send_question(struct play *p, struct class *c)
{
	struct tag t = {.target = target_of(c), .flow = c->next_flow};
	// Whether the answer can count on a session is known when it comes.
	if (!play_send(p, c, &t, c->stamp, some_length(p)))
		return false;
	c->next_flow = c->next_flow + 1 == c->flows ? 0 : c->next_flow + 1;
	return true;
}

static bool send_arp(struct play *p, struct class *c)
{
	struct vm *v = &p->vms[c->from];

	if (vm_room(v) == 0)
		return false;
	vm_put(v, (uint32_t)frame_make_arp(c, v, c->stamp == STAMP_FORBIDDEN, vm_frame(v)),
	       (struct vm_slot) {c->id, 0, STAMPS});
	v->asked++;
	return true;
}

// A datagram's fragments are sent together or not at all.
static bool send_fragments(struct play *p, struct class *c)
{
	static const uint8_t forward[] = {0, 1, 2}, backward[] = {2, 1, 0};
	double rags = (p->now - p->begun) * RAGS_PER_S;
	uint8_t order = (uint8_t)play_random(p, ORDERS);
	const uint8_t *numbers = order == ORDER_BACKWARD ? backward : forward;
	uint32_t seq;

	if (vm_room(&p->vms[c->from]) < 3)
		return false;
	if (order >= ORDER_OVERLAP && (double)c->seq[1] > rags)
		order = ORDER_FORWARD;
	seq = ++c->seq[order >= ORDER_OVERLAP];
	for (unsigned int i = 0; i < (order == ORDER_NO_LAST ? 2u : 3u); i++) {
		struct tag t = {.target = target_of(c),
				.flow = c->next_flow,
				.seq = seq,
				.l4 = (uint8_t)(order << 4 | numbers[i])};
		// What overlaps the first fragment never passes, nor what follows it.
		bool bad = order == ORDER_OVERLAP && numbers[i] > 0;

		play_send(p, c, &t, bad ? STAMP_FORBIDDEN : c->stamp, 0);
	}
	c->next_flow = c->next_flow + 1 == c->flows ? 0 : c->next_flow + 1;
	return true;
}

// A flow that was permitted once must not go on in the other direction either.
static void send_late_answers(struct play *p, struct class *c)
{
	for (int i = 0; i < LATE_ANSWERS; i++) {
		struct tag t = {.dir = 1, .target = c->target, .flow = play_random(p, c->flows)};

		if (c->heard[t.flow].n > 0 && vm_room(&p->vms[c->target]) > RESERVE)
			play_send(p, c, &t, STAMP_FORBIDDEN, 0);
	}
}

static unsigned int emit(struct play *p, struct class *c, unsigned int n)
{
	struct vm *v = &p->vms[c->from];
	unsigned int done = 0;

	if (c->kind == KIND_TCP)
		return vm_room(v) > RESERVE ? play_tcp_emit(p, c, n) : 0;
	if (c->stamp == STAMP_FORBIDDEN && c->heard != NULL && c->target != NOBODY &&
	    c->kind != KIND_FLOOD)
		send_late_answers(p, c);
	for (; done < n && vm_room(v) > RESERVE; done++) {
		bool ok = c->kind == KIND_FRAG	? send_fragments(p, c)
			  : c->kind == KIND_ARP ? send_arp(p, c)
						: send_question(p, c);
		if (!ok)
			break;
	}
	return done;
}

unsigned int play_emit(struct play *p)
{
	double since = p->now - p->emitted;
	unsigned int total = 0;

	p->turn++;
	p->emitted = p->now;
	for (unsigned int k = 0; k < p->n_classes; k++) {
		struct class *c = &p->classes[(k + p->turn) % p->n_classes];
		unsigned int n;

		c->due += p->rate > 0 ? p->rate * c->weight * since : c->weight;
		if (c->due > BURST)
			c->due = BURST;
		n = (unsigned int)c->due;
		if (n == 0)
			continue;
		c->due -= n;
		total += emit(p, c, n);
	}
	return total;
}

// ---- In ------------------------------------------------------------------------------------

static bool may_be_at(const struct class *c, const struct tag *t, unsigned int vm)
{
	if (t->dir == 1)
		return vm == c->from;
	if (c->kind == KIND_BCAST || (t->stamp == STAMP_CHANGING && t->target != vm))
		return (c->receivers >> vm & 1) != 0;
	return t->target == vm;
}

static void check_order(struct play *p, struct class *c, const struct tag *t, unsigned int vm)
{
	bool *any = &c->any_seq[t->dir][vm];
	uint32_t *last = &c->last_seq[t->dir][vm];

	if (*any && t->seq == *last)
		play_wrong(p, c, t, "twice");
	else if (*any && (int32_t)(t->seq - *last) < 0)
		play_wrong(p, c, t, "twice or out of order (%u came before)", *last);
	*any = true;
	*last = t->seq;
}

static void answer(struct play *p, struct class *c, const struct tag *t)
{
	struct tag a = {.dir = 1, .target = t->target, .flow = t->flow};
	const struct heard *h = c->heard == NULL ? NULL : &c->heard[t->flow];
	bool first = h != NULL && (h->version != c->version || h->n < SETTLED);
	enum stamp stamp = c->stamp;

	// The question was let through by a policy that is gone, perhaps.
	if (t->version != c->version || c->stamp != STAMP_ALLOWED)
		return;
	if (c->kind == KIND_FLOOD && t->flow % 4 != 0)
		return;
	// The first question may have passed in the moment of another change, and made no
	// session; and the session of a flow of few packets may have made room for another's.
	if (first || c->pressed)
		stamp = STAMP_CHANGING;
	a.first = first;
	if (play_send(p, c, &a, stamp, t->len > 300 ? some_length(p) : (uint16_t)(t->seq % 16)))
		c->first_sent += first;
}

// What routers and floating IPs say of their addresses unasked: ARP to everybody about the
// sender, neighbour advertisements to all nodes.
static bool is_announcement(const uint8_t *f, uint32_t len)
{
	static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (len >= 42 && f[12] == 0x08 && f[13] == 0x06)
		return memcmp(f, everybody, 6) == 0 && memcmp(f + 28, f + 38, 4) == 0;
	return len >= 62 && f[12] == 0x86 && f[20] == 58 && f[54] == 136 && f[0] == 0x33;
}

// What is not ours: answers of weftd itself.
static void receive_other(struct play *p, unsigned int vm, const uint8_t *f, uint32_t len)
{
	struct vm *v = &p->vms[vm];

	if (is_announcement(f, len)) {
		v->adverts++;
	} else if (len >= 42 && f[12] == 0x08 && f[13] == 0x06 && f[21] == 2) {
		v->answered++;
		if (memcmp(f, v->mac, 6) != 0 || memcmp(f + 22, v->gateway, 6) != 0)
			play_error(p, "an ARP answer at %s is wrong", v->name);
	} else if (len >= 42 && f[12] == 0x08 && f[23] == 1 && (f[34] == 3 || f[34] == 11)) {
		v->icmp_errors++;
	} else if (len >= 62 && f[12] == 0x86 && f[20] == 58 && (f[54] == 1 || f[54] == 3)) {
		v->icmp_errors++;
	} else if (len >= 62 && f[12] == 0x86 && f[20] == 58 && f[54] == 134) {
		v->adverts++; // a router's
	} else {
		play_error(p,
			   "%s got a frame of %u bytes that nobody sent: %02x%02x %02x... %02x%02x",
			   v->name, len, f[0], f[1], f[6], f[12], f[13]);
	}
}

// All bytes as they must be?
static bool check_bytes(struct play *p, const struct class *c, const struct tag *t, unsigned int vm,
			const uint8_t *frame, uint32_t len)
{
	uint8_t want[VM_FRAME + 64];
	size_t i = 0;

	if (t->len != len) {
		play_wrong(p, c, t, "%u bytes came to %s", len, p->vms[vm].name);
		return false;
	}
	frame_make(c, p->vms, t, true, (uint8_t)vm, want);
	if (memcmp(want, frame, len) == 0)
		return true;
	while (want[i] == frame[i])
		i++;
	play_wrong(p, c, t, "byte %zu is %02x, not %02x, at %s", i, frame[i], want[i],
		   p->vms[vm].name);
	return false;
}

static bool is_tag(const struct play *p, const struct tag *t)
{
	return t->magic == TAG_MAGIC && t->class < p->n_classes && t->dir < 2 &&
	       t->stamp < STAMPS && t->len <= VM_FRAME && t->len >= 60 && t->target < p->n_vms &&
	       (p->classes[t->class].kind == KIND_FLOOD || p->classes[t->class].kind == KIND_TCP ||
		t->flow < p->classes[t->class].flows);
}

static void hear(struct heard *h, uint32_t version)
{
	h->n = h->version == version ? h->n + 1 : 1;
	h->version = version;
}

static void count(struct play *p, struct class *c, const struct tag *t)
{
	if (c->kind == KIND_BCAST) {
		p->copies++;
		return;
	}
	c->count[t->dir].seen[t->stamp]++;
	c->first_seen += t->dir == 1 && t->first;
	p->vms[sender_of(c, t)].seen[t->stamp]++;
}

void play_receive(void *arg, unsigned int vm, const uint8_t *frame, uint32_t len, bool late)
{
	struct play *p = arg;
	const uint8_t *at = frame_find_tag(frame, len);
	struct class *c;
	struct tag t;

	if (at != NULL)
		memcpy(&t, at, sizeof(t));
	if (at == NULL || !is_tag(p, &t)) {
		receive_other(p, vm, frame, len);
		return;
	}
	c = &p->classes[t.class];
	count(p, c, &t);
	if (!check_bytes(p, c, &t, vm, frame, len))
		return;
	if (t.stamp == STAMP_FORBIDDEN)
		play_wrong(p, c, &t, "forbidden, and came to %s", p->vms[vm].name);
	else if (!may_be_at(c, &t, vm))
		play_wrong(p, c, &t, "came to %s", p->vms[vm].name);
	if (c->kind != KIND_FRAG && !late)
		check_order(p, c, &t, vm);
	if (t.dir == 1 && c->heard != NULL)
		hear(&c->heard[t.flow], t.version);
	if (c->kind == KIND_TCP)
		play_tcp_seen(p, c, &t);
	else if (t.dir == 0 &&
		 (c->kind == KIND_UDP || c->kind == KIND_ICMP || c->kind == KIND_FLOOD))
		answer(p, c, &t);
}
