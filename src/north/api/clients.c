// SPDX-License-Identifier: Apache-2.0
#include "north/api/clients.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

void weft_clients_init(struct clients *cs, unsigned max, unsigned per_peer)
{
	*cs = (struct clients) {.max = max, .per_peer = per_peer};
	TAILQ_INIT(&cs->list);
	TAILQ_INIT(&cs->groups);
}

void weft_clients_fini(struct clients *cs)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&cs->list)) != NULL)
		weft_clients_remove(cs, c);
}

struct client_peer weft_client_peer(int fd, const struct sockaddr *from)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct client_peer p = {0};
	struct ucred user = {.uid = (uid_t)-1};
	socklen_t len = sizeof(user);

	if (from->sa_family == AF_INET) {
		p.family = 4;
		memcpy(p.b, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)from)->sin6_addr;
		bool is_v4 = memcmp(a->s6_addr, mapped, sizeof(mapped)) == 0;

		p.family = is_v4 ? 4 : 6;
		memcpy(p.b, is_v4 ? a->s6_addr + 12 : a->s6_addr, is_v4 ? 4 : 8);
	} else {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &len);
		memcpy(p.b, &user.uid, sizeof(user.uid));
	}
	return p;
}

static bool is_same(const struct client_peer *a, const struct client_peer *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static struct client_group *group_of(const struct clients *cs, const struct client_peer *peer)
{
	struct client_group *g;

	TAILQ_FOREACH(g, &cs->groups, in_list) {
		if (is_same(&g->peer, peer))
			return g;
	}
	return NULL;
}

static const struct client_group *greatest_group(const struct clients *cs)
{
	const struct client_group *g, *found = NULL;

	TAILQ_FOREACH(g, &cs->groups, in_list) {
		if (found == NULL || g->n > found->n)
			found = g;
	}
	return found;
}

// The place in the header's list.
static unsigned rank(const struct client *c)
{
	if (c->phase == CLIENT_ANSWER)
		return 4;
	if (!c->known)
		return 1;
	return c->phase == CLIENT_HEAD ? 2 : 3;
}

static bool goes_before(const struct client *a, const struct client *b)
{
	return rank(a) != rank(b) ? rank(a) < rank(b) : a->since_ms < b->since_ms;
}

static void end(struct clients *cs, struct client *c)
{
	shutdown(c->fd, SHUT_RDWR);
	c->ends = true;
	c->group->n--;
	cs->n--;
}

unsigned weft_clients_make_room(struct clients *cs, const struct client_peer *peer)
{
	const struct client_group *g = group_of(cs, peer);
	struct client *c, *first = NULL;

	if (g == NULL || g->n < cs->per_peer)
		g = cs->n < cs->max ? NULL : greatest_group(cs);
	if (g == NULL)
		return 0;
	TAILQ_FOREACH(c, &cs->list, in_list) {
		if (!c->ends && c->group == g && (first == NULL || goes_before(c, first)))
			first = c;
	}
	if (first == NULL)
		return 0;
	end(cs, first);
	return 1;
}

static struct client_group *join(struct clients *cs, const struct client_peer *peer)
{
	struct client_group *g = group_of(cs, peer);

	if (g == NULL) {
		g = calloc(1, sizeof(*g));
		if (g == NULL)
			abort();
		g->peer = *peer;
		TAILQ_INSERT_TAIL(&cs->groups, g, in_list);
	}
	g->n++;
	g->in_all++;
	return g;
}

struct client *weft_clients_add(struct clients *cs, const struct client_peer *peer, int fd,
				uint64_t now_ms)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	*c = (struct client) {.group = join(cs, peer), .fd = fd, .since_ms = now_ms};
	TAILQ_INSERT_TAIL(&cs->list, c, in_list);
	cs->n++;
	return c;
}

struct client *weft_clients_get(struct clients *cs, int fd)
{
	struct client *c;

	// The newest is asked for first.
	TAILQ_FOREACH_REVERSE(c, &cs->list, client_list, in_list)
	{
		if (c->fd == fd && !c->ends)
			return c;
	}
	return NULL;
}

void weft_clients_remove(struct clients *cs, struct client *c)
{
	struct client_group *g = c->group;

	TAILQ_REMOVE(&cs->list, c, in_list);
	cs->n -= !c->ends;
	g->n -= !c->ends;
	if (--g->in_all == 0) {
		TAILQ_REMOVE(&cs->groups, g, in_list);
		free(g);
	}
	free(c);
}

void weft_client_enters(struct client *c, enum client_phase phase, uint64_t now_ms)
{
	c->phase = phase;
	c->since_ms = now_ms;
}

static uint64_t allowed_ms(const struct client *c)
{
	switch (c->phase) {
	case CLIENT_BODY:
		return CLIENT_BODY_MS;
	case CLIENT_ANSWER:
		return CLIENT_ANSWER_MS;
	default:
		return CLIENT_HEAD_MS;
	}
}

unsigned weft_clients_expire(struct clients *cs, uint64_t now_ms)
{
	struct client *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &cs->list, in_list) {
		if (c->ends || now_ms - c->since_ms < allowed_ms(c))
			continue;
		end(cs, c);
		n++;
	}
	return n;
}
