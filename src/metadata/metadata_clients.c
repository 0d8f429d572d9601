// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_clients.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct metadata_source {
	struct in_addr source;
	unsigned int refs;	// connections
	unsigned int n;		// of them, those that do not have to end
	unsigned int under_way; // requests
	LIST_ENTRY(metadata_source) in_list;
};

struct metadata_clients {
	struct metadata_limits limits;
	pthread_mutex_t lock; // of everything below
	bool ends;
	unsigned int n; // that do not have to end
	TAILQ_HEAD(, metadata_client) list;
	LIST_HEAD(, metadata_source) sources;
};

static void *need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct metadata_clients *weft_metadata_clients_new(const struct metadata_limits *limits)
{
	struct metadata_clients *cs = need(calloc(1, sizeof(*cs)));

	cs->limits = *limits;
	pthread_mutex_init(&cs->lock, NULL);
	TAILQ_INIT(&cs->list);
	LIST_INIT(&cs->sources);
	return cs;
}

void weft_metadata_clients_free(struct metadata_clients *cs)
{
	pthread_mutex_destroy(&cs->lock);
	free(cs);
}

// ---- Under the lock ------------------------------------------------------------------------

static struct metadata_source *find_source(const struct metadata_clients *cs, struct in_addr source)
{
	struct metadata_source *s;

	LIST_FOREACH(s, &cs->sources, in_list)
		if (s->source.s_addr == source.s_addr)
			return s;
	return NULL;
}

static struct metadata_source *get_source(struct metadata_clients *cs, struct in_addr source)
{
	struct metadata_source *s = find_source(cs, source);

	if (s == NULL) {
		s = need(calloc(1, sizeof(*s)));
		s->source = source;
		LIST_INSERT_HEAD(&cs->sources, s, in_list);
	}
	s->refs++;
	return s;
}

static bool is_over(uint64_t now_ms, uint64_t since_ms, uint32_t limit_ms)
{
	return now_ms >= since_ms + limit_ms;
}

static void count_off(struct metadata_clients *cs, struct metadata_client *c)
{
	if (atomic_exchange(&c->ends, true))
		return;
	cs->n--;
	c->port->n--;
}

static void end(struct metadata_clients *cs, struct metadata_client *c)
{
	count_off(cs, c);
	shutdown(c->fd, SHUT_RDWR);
}

// May it lose its place to a connection of a port that has so many?
static bool may_give_way(const struct metadata_client *c, unsigned int others)
{
	switch (c->phase) {
	case CLIENT_WAITS:
		return true;
	case CLIENT_SENDS:
		return c->port->n > others;
	case CLIENT_ANSWERED:
		return c->port->n > others + 1;
	}
	return false;
}

// Of two that may: does this one go first?
static bool goes_first(const struct metadata_client *c, const struct metadata_client *than)
{
	bool waits = c->phase == CLIENT_WAITS;

	if (waits != (than->phase == CLIENT_WAITS))
		return waits;
	if (c->port->n != than->port->n)
		return c->port->n > than->port->n;
	if (c->phase != than->phase)
		return c->phase == CLIENT_SENDS;
	return c->since_ms < than->since_ms;
}

static struct metadata_client *who_gives_way(const struct metadata_clients *cs,
					     struct in_addr source)
{
	const struct metadata_source *s = find_source(cs, source);
	unsigned int others = s == NULL ? 0 : s->n;
	struct metadata_client *c, *first = NULL;

	TAILQ_FOREACH(c, &cs->list, in_list)
		if (!atomic_load(&c->ends) && may_give_way(c, others) &&
		    (first == NULL || goes_first(c, first)))
			first = c;
	return first;
}

// ---- A connection's life -------------------------------------------------------------------

bool weft_metadata_clients_admit(struct metadata_clients *cs, struct in_addr source, bool *gave_way)
{
	struct metadata_client *c = NULL;
	bool ok;

	pthread_mutex_lock(&cs->lock);
	if (cs->n >= cs->limits.connections)
		c = who_gives_way(cs, source);
	if (c != NULL)
		end(cs, c);
	ok = !cs->ends && cs->n < cs->limits.connections;
	pthread_mutex_unlock(&cs->lock);
	*gave_way = c != NULL;
	return ok;
}

struct metadata_client *weft_metadata_client_open(struct metadata_clients *cs,
						  struct in_addr source, uint64_t serial, int fd,
						  uint64_t now_ms)
{
	struct metadata_client *c = need(calloc(1, sizeof(*c)));

	c->source = source;
	c->serial = serial;
	c->fd = fd;
	c->opened_ms = c->since_ms = now_ms;
	c->phase = CLIENT_SENDS;
	pthread_mutex_lock(&cs->lock);
	c->port = get_source(cs, source);
	c->port->n++;
	cs->n++;
	TAILQ_INSERT_TAIL(&cs->list, c, in_list);
	if (cs->ends)
		end(cs, c);
	pthread_mutex_unlock(&cs->lock);
	return c;
}

void weft_metadata_client_close(struct metadata_clients *cs, struct metadata_client *c)
{
	pthread_mutex_lock(&cs->lock);
	count_off(cs, c);
	TAILQ_REMOVE(&cs->list, c, in_list);
	if (--c->port->refs == 0) {
		LIST_REMOVE(c->port, in_list);
		free(c->port);
	}
	pthread_mutex_unlock(&cs->lock);
	free(c);
}

void weft_metadata_client_sends(struct metadata_clients *cs, struct metadata_client *c)
{
	pthread_mutex_lock(&cs->lock);
	c->phase = CLIENT_SENDS;
	pthread_mutex_unlock(&cs->lock);
}

bool weft_metadata_client_enter(struct metadata_clients *cs, struct metadata_client *c,
				uint64_t now_ms)
{
	bool may;

	pthread_mutex_lock(&cs->lock);
	may = c->port->under_way < cs->limits.port_requests;
	if (may) {
		c->port->under_way++;
		c->phase = CLIENT_ANSWERED;
		c->since_ms = now_ms;
	}
	pthread_mutex_unlock(&cs->lock);
	return may;
}

void weft_metadata_client_leave(struct metadata_clients *cs, struct metadata_client *c,
				uint64_t now_ms)
{
	pthread_mutex_lock(&cs->lock);
	if (c->phase == CLIENT_ANSWERED)
		c->port->under_way--;
	c->phase = CLIENT_WAITS;
	c->since_ms = now_ms;
	pthread_mutex_unlock(&cs->lock);
}

// ---- Ends ----------------------------------------------------------------------------------

unsigned int weft_metadata_clients_expire(struct metadata_clients *cs, uint64_t now_ms)
{
	const struct metadata_limits *limits = &cs->limits;
	struct metadata_client *c;
	unsigned int n = 0;

	pthread_mutex_lock(&cs->lock);
	TAILQ_FOREACH(c, &cs->list, in_list) {
		bool late = c->phase != CLIENT_ANSWERED &&
			    is_over(now_ms, c->since_ms, limits->request_ms);

		if (atomic_load(&c->ends) ||
		    (!late && !is_over(now_ms, c->opened_ms, limits->connection_ms)))
			continue;
		n += c->phase != CLIENT_WAITS; // else it was only kept open
		end(cs, c);
	}
	pthread_mutex_unlock(&cs->lock);
	return n;
}

void weft_metadata_clients_end(struct metadata_clients *cs)
{
	struct metadata_client *c;

	pthread_mutex_lock(&cs->lock);
	cs->ends = true;
	TAILQ_FOREACH(c, &cs->list, in_list)
		end(cs, c);
	pthread_mutex_unlock(&cs->lock);
}
