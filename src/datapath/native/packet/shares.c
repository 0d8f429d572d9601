// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/packet/shares.h"

#include <stdlib.h>

#define PORTS (UINT16_MAX + 1)

// Links are a port's index + 1, so that zeroed memory is an empty table.
struct share {
	uint32_t count, prev, next;
};

bool weft_shares_init(struct shares *s, uint32_t all, uint32_t each)
{
	*s = (struct shares) {.all = all, .each = each < all ? each : all};
	s->ports = calloc(PORTS, sizeof(*s->ports)); // only touched pages take memory
	s->with = calloc(s->each + 1, sizeof(*s->with));
	return s->ports != NULL && s->with != NULL;
}

void weft_shares_fini(struct shares *s)
{
	free(s->ports);
	free(s->with);
	s->ports = NULL;
	s->with = NULL;
}

static void unlink_port(struct shares *s, uint16_t port)
{
	struct share *p = &s->ports[port];

	*(p->prev != 0 ? &s->ports[p->prev - 1].next : &s->with[p->count]) = p->next;
	if (p->next != 0)
		s->ports[p->next - 1].prev = p->prev;
}

static void link_port(struct shares *s, uint16_t port)
{
	struct share *p = &s->ports[port];
	uint32_t *first = &s->with[p->count];

	p->prev = 0;
	p->next = *first;
	if (*first != 0)
		s->ports[*first - 1].prev = port + 1u;
	*first = port + 1u;
}

static void set_count(struct shares *s, uint16_t port, uint32_t count)
{
	struct share *p = &s->ports[port];

	if (p->count > 0)
		unlink_port(s, port);
	p->count = count;
	if (count > 0)
		link_port(s, port);
	if (count > s->top)
		s->top = count;
	while (s->top > 0 && s->with[s->top] == 0)
		s->top--;
}

enum share_answer weft_shares_ask(const struct shares *s, uint16_t port, uint32_t n, uint16_t *who)
{
	uint32_t count = s->ports[port].count + n;

	if (count > s->each)
		return SHARE_NO;
	if (s->used + n <= s->all)
		return SHARE_YES;
	if (s->top <= count)
		return SHARE_NO;
	*who = (uint16_t)(s->with[s->top] - 1);
	return SHARE_IF;
}

void weft_shares_add(struct shares *s, uint16_t port, uint32_t n)
{
	s->used += n;
	set_count(s, port, s->ports[port].count + n);
}

void weft_shares_sub(struct shares *s, uint16_t port, uint32_t n)
{
	s->used -= n;
	set_count(s, port, s->ports[port].count - n);
}

uint32_t weft_shares_of(const struct shares *s, uint16_t port)
{
	return s->ports[port].count;
}
