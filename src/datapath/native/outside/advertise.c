// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/outside/advertise.h"

#include <rte_random.h>
#include <stdlib.h>
#include <string.h>

// RFC 4861, 6.2.1 and 10
#define INTERVAL_MIN_MS 200000
#define INTERVAL_MAX_MS 600000
#define QUICK_MIN_MS	8000
#define QUICK_MAX_MS	16000 // MAX_INITIAL_RTR_ADVERT_INTERVAL
#define QUICK_COUNT	3     // MAX_INITIAL_RTR_ADVERTISEMENTS
#define FINAL_COUNT	3     // MAX_FINAL_RTR_ADVERTISEMENTS
#define BETWEEN_MS	3000  // MIN_DELAY_BETWEEN_RAS
#define DELAY_MAX_MS	500   // MAX_RA_DELAY_TIME
#define FRAMES_PER_TICK 128

enum kind {
	CAMPAIGN_PERIODIC,
	CAMPAIGN_FINAL,	   // what is in `gone`, with lifetime 0
	CAMPAIGN_GREETING, // to one port
};

struct campaign {
	enum kind kind;
	size_t at; // in the heap
	uint32_t due_ms, last_ms;
	uint32_t network;
	uint16_t port;
	uint8_t left;	     // quick ones, or final ones
	bool has_sent;	     // last_ms counts
	size_t cursor;	     // ports of the network that have had it this time
	struct advert *gone; // CAMPAIGN_FINAL
};

struct advertiser {
	struct node *node;
	uint64_t sent;
	size_t n, cap;
	struct campaign **heap; // the next one first
};

const struct ip_addr weft_all_nodes = {6, {0xff, 0x02, [15] = 1}};
const struct mac_addr weft_all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};

// ---- The heap ------------------------------------------------------------------------------

static bool is_before(const struct campaign *a, const struct campaign *b)
{
	return (int32_t)(a->due_ms - b->due_ms) < 0;
}

static void place(struct advertiser *a, struct campaign *c, size_t at)
{
	a->heap[at] = c;
	c->at = at;
}

// The campaign's time has changed: find its place.
static void settle(struct advertiser *a, struct campaign *c)
{
	size_t at = c->at, child;

	while (at > 0 && is_before(c, a->heap[(at - 1) / 2])) {
		place(a, a->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	while ((child = 2 * at + 1) < a->n) {
		if (child + 1 < a->n && is_before(a->heap[child + 1], a->heap[child]))
			child++;
		if (!is_before(a->heap[child], c))
			break;
		place(a, a->heap[child], at);
		at = child;
	}
	place(a, c, at);
}

static struct campaign *add(struct advertiser *a, enum kind kind, uint32_t due_ms)
{
	struct campaign *c = calloc(1, sizeof(*c));

	if (a->n == a->cap) {
		a->cap = a->cap == 0 ? 16 : 2 * a->cap;
		a->heap = realloc(a->heap, a->cap * sizeof(a->heap[0]));
	}
	if (c == NULL || a->heap == NULL)
		abort();
	c->kind = kind;
	c->due_ms = due_ms;
	c->at = a->n++;
	settle(a, c);
	return c;
}

static void take_out(struct advertiser *a, size_t at)
{
	struct campaign *c = a->heap[at], *last = a->heap[--a->n];

	if (at < a->n) {
		place(a, last, at);
		settle(a, last);
	}
	free(c->gone);
	free(c);
}

// ---- What is withdrawn ---------------------------------------------------------------------

static bool has_prefix(const struct ra *ra, const struct ip_prefix *p)
{
	for (size_t i = 0; i < ra->n_prefixes; i++)
		if (weft_prefix_equal(&ra->prefixes[i].prefix, p))
			return true;
	return false;
}

static bool has_resolver(const struct ra *ra, const struct ip_addr *ip)
{
	for (size_t i = 0; i < ra->n_dns; i++)
		if (weft_ip_equal(&ra->dns[i], ip))
			return true;
	return false;
}

// What some router advertises holds.
static void keep_what_is_gone(struct ra *gone, const struct ra *now)
{
	size_t n = 0;

	for (size_t i = 0; i < gone->n_prefixes; i++)
		if (!has_prefix(now, &gone->prefixes[i].prefix))
			gone->prefixes[n++] = gone->prefixes[i];
	gone->n_prefixes = n;
	n = 0;
	for (size_t i = 0; i < gone->n_dns; i++)
		if (!has_resolver(now, &gone->dns[i]))
			gone->dns[n++] = gone->dns[i];
	gone->n_dns = n;
	if (strcmp(gone->domain, now->domain) == 0)
		gone->domain[0] = '\0';
}

// Is there still something to withdraw, beside what is advertised now? The router itself may go
// on, then so does its own lifetime.
static bool is_gone(struct ra *gone, const struct adverts *now)
{
	bool has_router = false;

	gone->withdrawn = true;
	gone->lifetime_s = 0;
	for (size_t i = 0; now != NULL && i < now->n; i++) {
		const struct ra *ra = &now->at[i].ra;

		keep_what_is_gone(gone, ra);
		if (!weft_mac_equal(&gone->router, &ra->router))
			continue;
		has_router = true;
		gone->lifetime_s = ra->lifetime_s;
		gone->managed = ra->managed;
		gone->other = ra->other;
		gone->mtu = ra->mtu;
	}
	return !has_router || gone->n_prefixes > 0 || gone->n_dns > 0 || gone->domain[0] != '\0';
}

// ---- Sending -------------------------------------------------------------------------------

static void send_one(struct advertiser *a, const struct advert *advert,
		     const struct port_policy *port)
{
	struct rte_mbuf *m;
	size_t len;

	if (!advert_is_for(advert, port))
		return;
	m = rte_pktmbuf_alloc(a->node->pool);
	if (m == NULL)
		return;
	len = weft_ra_write(rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m), &advert->ra,
			    &weft_all_nodes_mac, &weft_all_nodes);
	if (len == 0 || rte_pktmbuf_append(m, (uint16_t)len) == NULL) {
		rte_pktmbuf_free(m);
		return;
	}
	weft_send_now(a->node, m, port->index);
	a->sent++;
}

static void tell(struct advertiser *a, const struct campaign *c, uint16_t port, uint64_t epoch)
{
	const struct port_policy *policy = native_policy(a->node, port, epoch);
	const struct port *p = native_port(a->node, port);
	const struct adverts *list;

	if (policy == NULL || !policy->plan->admin_up || atomic_load(&p->io) == NULL)
		return;
	if (c->kind == CAMPAIGN_FINAL) {
		send_one(a, c->gone, policy);
		return;
	}
	list = weft_vmap_get(a->node->adverts, &policy->network_index, epoch);
	for (size_t i = 0; list != NULL && i < list->n; i++)
		send_one(a, &list->at[i], policy);
}

// Go on with the network's ports; true when all have had it. A port that comes or goes meanwhile
// moves others in the list, one of which may be left out or told twice: the next time is not far.
static bool go_on(struct advertiser *a, struct campaign *c, uint64_t epoch, uint32_t *budget)
{
	const struct flood_list *list = weft_vmap_get(a->node->floods, &c->network, epoch);

	for (; list != NULL && c->cursor < list->n; c->cursor++) {
		if (*budget == 0)
			return false;
		--*budget;
		tell(a, c, list->ports[c->cursor], epoch);
	}
	c->cursor = 0;
	return true;
}

static uint32_t between(uint32_t min, uint32_t max)
{
	return min + (uint32_t)rte_rand_max(max - min + 1);
}

static void come_again(struct advertiser *a, struct campaign *c, uint32_t now_ms, uint32_t after_ms)
{
	c->last_ms = now_ms;
	c->has_sent = true;
	c->due_ms = now_ms + after_ms;
	settle(a, c);
}

// Each of these tells whether the campaign is over.

static bool run_periodic(struct advertiser *a, struct campaign *c, uint64_t epoch, uint32_t now_ms,
			 uint32_t *budget)
{
	if (!go_on(a, c, epoch, budget))
		return false;
	if (c->left > 0)
		c->left--;
	come_again(a, c, now_ms,
		   c->left > 0 ? between(QUICK_MIN_MS, QUICK_MAX_MS)
			       : between(INTERVAL_MIN_MS, INTERVAL_MAX_MS));
	return false;
}

static bool run_final(struct advertiser *a, struct campaign *c, uint64_t epoch, uint32_t now_ms,
		      uint32_t *budget)
{
	const struct adverts *now = weft_vmap_get(a->node->adverts, &c->network, epoch);

	if (!is_gone(&c->gone->ra, now)) // it came back
		return true;
	if (!go_on(a, c, epoch, budget))
		return false;
	if (--c->left == 0)
		return true;
	come_again(a, c, now_ms, BETWEEN_MS);
	return false;
}

static bool run(struct advertiser *a, struct campaign *c, uint64_t epoch, uint32_t now_ms,
		uint32_t *budget)
{
	switch (c->kind) {
	case CAMPAIGN_PERIODIC:
		return run_periodic(a, c, epoch, now_ms, budget);
	case CAMPAIGN_FINAL:
		return run_final(a, c, epoch, now_ms, budget);
	case CAMPAIGN_GREETING:
		break;
	}
	tell(a, c, c->port, epoch);
	--*budget;
	return true;
}

void weft_advertiser_tick(struct advertiser *a, uint32_t now_ms)
{
	uint64_t epoch = weft_vstore_epoch(a->node->vs);
	uint32_t budget = FRAMES_PER_TICK;

	while (budget > 0 && a->n > 0 && (int32_t)(a->heap[0]->due_ms - now_ms) <= 0)
		if (run(a, a->heap[0], epoch, now_ms, &budget))
			take_out(a, 0);
}

// ---- Campaigns -----------------------------------------------------------------------------

struct advertiser *weft_advertiser_new(struct node *node)
{
	struct advertiser *a = calloc(1, sizeof(*a));

	if (a == NULL)
		abort();
	a->node = node;
	return a;
}

void weft_advertiser_free(struct advertiser *a)
{
	while (a->n > 0)
		take_out(a, a->n - 1);
	free(a->heap);
	free(a);
}

uint64_t weft_advertiser_sent(const struct advertiser *a)
{
	return a->sent;
}

static struct campaign *begin(struct advertiser *a, uint32_t network)
{
	struct campaign *c = add(a, CAMPAIGN_PERIODIC, native_now_ms(a->node));

	c->network = network;
	c->left = QUICK_COUNT;
	return c;
}

static void again(struct advertiser *a, struct campaign *c)
{
	uint32_t now_ms = native_now_ms(a->node);

	c->left = QUICK_COUNT;
	c->cursor = 0;
	c->due_ms = now_ms;
	if (c->has_sent && now_ms - c->last_ms < BETWEEN_MS)
		c->due_ms = c->last_ms + BETWEEN_MS;
	settle(a, c);
}

// It is not, or not all of it, advertised any longer.
static void withdraw(struct advertiser *a, uint32_t network, const struct advert *gone)
{
	struct campaign *c = add(a, CAMPAIGN_FINAL, native_now_ms(a->node));

	c->network = network;
	c->left = FINAL_COUNT;
	c->gone = malloc(sizeof(*gone));
	if (c->gone == NULL)
		abort();
	*c->gone = *gone;
}

void weft_advertise_change(struct advertiser *a, uint32_t network, const struct adverts *old,
			   const struct adverts *new, struct campaign **campaign)
{
	for (size_t i = 0; old != NULL && i < old->n; i++)
		withdraw(a, network, &old->at[i]);
	if (new != NULL &&*campaign != NULL) {
		again(a, *campaign);
	} else if (new != NULL) {
		*campaign = begin(a, network);
	} else if (*campaign != NULL) {
		take_out(a, (*campaign)->at);
		*campaign = NULL;
	}
}

void weft_advertise_port(struct advertiser *a, uint16_t port)
{
	struct campaign *c =
		add(a, CAMPAIGN_GREETING, native_now_ms(a->node) + between(0, DELAY_MAX_MS));

	c->port = port;
}
