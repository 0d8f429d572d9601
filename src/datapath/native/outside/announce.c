// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/outside/announce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "datapath/native/policy/claim.h"
#include "datapath/frames/neighbour_frame.h"

#define ROUNDS	  3
#define ROUND_MS  1000
#define DEFEND_MS 10000
// Frames that one tick may send.
#define TICK_SENT 256
// "network address"
#define KEY_LEN	  (WEFT_ID_LEN + 1 + WEFT_IP_STRLEN)

enum where { INSIDE, OUTSIDE };

struct announced {
	char network_id[WEFT_ID_LEN + 1];
	struct ip_addr ip;
	struct mac_addr mac;
	enum where where;
	bool waits, was_defended;
	uint8_t round; // that comes next
	uint32_t due_ms, defended_ms;
	TAILQ_ENTRY(announced) of_owner, of_round;
};

TAILQ_HEAD(announced_list, announced);

// What an object of the plan was announced with; several addresses of a router.
struct owner {
	char router_id[WEFT_ID_LEN + 1]; // of a floating IP
	struct ip_addr fixed;
	struct announced_list list;
};

struct announcer {
	struct node *node;
	uint32_t now_ms;
	struct map *owners;		     // id -> struct owner
	struct map *addresses;		     // "network address" -> struct announced
	struct announced_list round[ROUNDS]; // each in the order in which it is due
	size_t n_waiting;
	uint64_t sent, defended;
};

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct announcer *weft_announcer_new(struct node *node)
{
	struct announcer *a = must(calloc(1, sizeof(*a)));

	a->node = node;
	a->owners = weft_map_new();
	a->addresses = weft_map_new();
	for (size_t i = 0; i < ROUNDS; i++)
		TAILQ_INIT(&a->round[i]);
	return a;
}

// ---- What waits ----------------------------------------------------------------------------

static void stop_waiting(struct announcer *a, struct announced *n)
{
	if (!n->waits)
		return;
	TAILQ_REMOVE(&a->round[n->round], n, of_round);
	n->waits = false;
	a->n_waiting--;
}

static void wait_for_round(struct announcer *a, struct announced *n, uint8_t round, uint32_t due_ms)
{
	stop_waiting(a, n);
	n->round = round;
	n->due_ms = due_ms;
	n->waits = true;
	a->n_waiting++;
	TAILQ_INSERT_TAIL(&a->round[round], n, of_round);
}

// Inside, where nothing gets lost on a wire, twice is enough, and does not make the outside wait.
static uint8_t first_round(const struct announced *n)
{
	return n->where == OUTSIDE ? 0 : 1;
}

static char *key_of(char key[KEY_LEN], const char *network_id, const struct ip_addr *ip)
{
	char text[WEFT_IP_STRLEN];

	snprintf(key, KEY_LEN, "%s %s", network_id, weft_ip_text(ip, text));
	return key;
}

static void forget(struct announcer *a, struct owner *o)
{
	struct announced *n;
	char key[KEY_LEN];

	while ((n = TAILQ_FIRST(&o->list)) != NULL) {
		TAILQ_REMOVE(&o->list, n, of_owner);
		stop_waiting(a, n);
		// It may be another owner's by now.
		if (weft_map_get(a->addresses, key_of(key, n->network_id, &n->ip)) == n)
			weft_map_del(a->addresses, key);
		free(n);
	}
	free(o);
}

void weft_announcer_free(struct announcer *a)
{
	if (a == NULL)
		return;
	for (struct map_entry *e = weft_map_first(a->owners); e; e = weft_map_next(e))
		forget(a, weft_map_value(e));
	weft_map_free(a->owners);
	weft_map_free(a->addresses);
	free(a);
}

static struct announced *find(struct owner *o, const char *network_id, const struct ip_addr *ip,
			      const struct mac_addr *mac)
{
	struct announced *n;

	TAILQ_FOREACH(n, &o->list, of_owner)
		if (strcmp(n->network_id, network_id) == 0 && weft_ip_equal(&n->ip, ip) &&
		    weft_mac_equal(&n->mac, mac))
			return n;
	return NULL;
}

// The owner's new list takes over what was announced before, and the rest is news.
static void add(struct announcer *a, struct owner *old, struct owner *now, const char *network_id,
		const struct ip_addr *ip, const struct mac_addr *mac, enum where where)
{
	struct announced *n = old == NULL ? NULL : find(old, network_id, ip, mac);
	char key[KEY_LEN];

	if (n != NULL) {
		TAILQ_REMOVE(&old->list, n, of_owner);
	} else {
		n = must(calloc(1, sizeof(*n)));
		snprintf(n->network_id, sizeof(n->network_id), "%s", network_id);
		n->ip = *ip;
		n->mac = *mac;
		n->where = where;
		wait_for_round(a, n, first_round(n), a->now_ms);
	}
	n->where = where;
	weft_map_put(a->addresses, key_of(key, network_id, ip), n);
	TAILQ_INSERT_TAIL(&now->list, n, of_owner);
}

static struct owner *owner_new(void)
{
	struct owner *o = must(calloc(1, sizeof(*o)));

	TAILQ_INIT(&o->list);
	return o;
}

// ---- Changes of the plan -------------------------------------------------------------------

static void remove_owner(struct announcer *a, const char *id)
{
	struct owner *o = weft_map_del(a->owners, id);

	if (o != NULL)
		forget(a, o);
}

static void take(struct announcer *a, const char *id, struct owner *old, struct owner *now)
{
	weft_map_put(a->owners, id, now);
	if (old != NULL)
		forget(a, old);
}

// It is announced again when it leads to another fixed IP: that may have been another node's.
static void floating_put(struct announcer *a, const struct plan_floating *f)
{
	struct owner *old = weft_map_get(a->owners, f->id), *now = owner_new();
	bool same = old != NULL && strcmp(old->router_id, f->router_id) == 0 &&
		    weft_ip_equal(&old->fixed, &f->fixed);

	snprintf(now->router_id, sizeof(now->router_id), "%s", f->router_id);
	now->fixed = f->fixed;
	add(a, same ? old : NULL, now, f->network_id, &f->ip, &f->mac, OUTSIDE);
	take(a, f->id, old, now);
}

static void router_put(struct announcer *a, const struct plan_router *r)
{
	struct owner *old = weft_map_get(a->owners, r->id), *now = owner_new();

	// Nobody answers at a router that is down; when it comes up its addresses are news.
	for (size_t i = 0; r->admin_up && i < r->n_interfaces; i++) {
		const struct plan_interface *p = &r->interfaces[i];

		for (size_t k = 0; k < p->n_addrs; k++)
			add(a, old, now, p->network_id, &p->addrs[k].ip, &p->mac,
			    p->external ? OUTSIDE : INSIDE);
	}
	take(a, r->id, old, now);
}

void weft_announce_batch(struct node *node, const struct plan_batch *batch)
{
	struct announcer *a = node->announcer;

	for (size_t i = 0; i < batch->n; i++) {
		const struct plan_change *c = &batch->changes[i];

		if (c->kind == PLAN_FLOATING && c->op == PLAN_PUT)
			floating_put(a, c->floating);
		else if (c->kind == PLAN_ROUTER && c->op == PLAN_PUT)
			router_put(a, c->router);
		else if (c->kind == PLAN_FLOATING)
			remove_owner(a, c->floating->id);
		else if (c->kind == PLAN_ROUTER)
			remove_owner(a, c->router->id);
	}
}

static const struct network *network_of(const struct announcer *a, const char *id)
{
	char key[WEFT_ID_LEN + 1] = {0};

	memcpy(key, id, strnlen(id, WEFT_ID_LEN));
	return weft_vmap_get(a->node->networks, key, weft_vstore_epoch(a->node->vs));
}

void weft_announce_network(struct node *node, uint32_t network_index)
{
	struct announcer *a = node->announcer;

	for (struct map_entry *e = weft_map_first(a->owners); e; e = weft_map_next(e)) {
		struct owner *o = weft_map_value(e);
		struct announced *n;

		TAILQ_FOREACH(n, &o->list, of_owner) {
			const struct network *net = network_of(a, n->network_id);

			if (net != NULL && net->index == network_index)
				wait_for_round(a, n, first_round(n), a->now_ms);
		}
	}
}

bool weft_announce_defend(struct node *node, const char *network_id, const struct ip_addr *ip)
{
	struct announcer *a = node->announcer;
	char key[KEY_LEN];
	struct announced *n = weft_map_get(a->addresses, key_of(key, network_id, ip));

	if (n == NULL || (n->was_defended && (int32_t)(a->now_ms - n->defended_ms) < DEFEND_MS))
		return false;
	n->was_defended = true;
	n->defended_ms = a->now_ms;
	a->defended++;
	// The last round, and before all that is due later.
	stop_waiting(a, n);
	wait_for_round(a, n, ROUNDS - 1, a->now_ms);
	TAILQ_REMOVE(&a->round[ROUNDS - 1], n, of_round);
	TAILQ_INSERT_HEAD(&a->round[ROUNDS - 1], n, of_round);
	return true;
}

// ---- Out -----------------------------------------------------------------------------------

static void send_one(struct node *node, uint16_t port, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(node->pool);

	if (m == NULL)
		return;
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	weft_send_now(node, m, port);
}

void weft_announce_vm(struct node *node, struct port *p, const struct mac_addr *mac)
{
	uint64_t epoch = weft_vstore_epoch(node->vs);
	const struct port_policy *policy = weft_vslot_value(p->policy, epoch);
	const struct network *net = policy == NULL ? NULL
						   : weft_vslot_value(policy->network, epoch);
	uint8_t frame[NEIGHBOUR_FRAME_MAX];
	char text[WEFT_MAC_STRLEN];

	if (net == NULL || !policy->plan->admin_up)
		return;
	if (!weft_mac_allowed(policy, mac->b)) {
		if (p->announce_refused++ == 0)
			weft_log_warning("port %s: QEMU asks to announce %s, which is not the "
					 "port's: it is not announced",
					 p->id, weft_mac_text(mac, text));
		return;
	}
	if (net->uplink == NATIVE_NO_PORT)
		return;
	send_one(node, net->uplink, frame, weft_neighbour_rarp(frame, mac));
	p->announced++;
}

// To the uplink and all ports of the network. Returns how many frames.
static uint32_t say(struct announcer *a, const struct announced *n)
{
	struct node *node = a->node;
	const struct network *net = network_of(a, n->network_id);
	const struct flood_list *list =
		net == NULL ? NULL
			    : weft_vmap_get(node->floods, &net->index, weft_vstore_epoch(node->vs));
	uint8_t frame[2][NEIGHBOUR_FRAME_MAX];
	size_t forms = n->ip.family == 4 ? 2 : 1, len = 0;

	for (size_t f = 0; f < forms; f++)
		len = weft_neighbour_announcement(
			frame[f], f == 0 ? ANNOUNCE_REQUEST : ANNOUNCE_REPLY, &n->ip, &n->mac);
	for (size_t i = 0; list != NULL && i < list->n; i++)
		for (size_t f = 0; f < forms; f++)
			send_one(node, list->ports[i], frame[f], len);
	a->sent++;
	return list == NULL ? 0 : (uint32_t)(list->n * forms);
}

void weft_announcer_tick(struct announcer *a, uint32_t now_ms)
{
	uint32_t sent = 0;

	a->now_ms = now_ms;
	for (uint8_t round = 0; round < ROUNDS; round++) {
		struct announced *n;

		while (sent < TICK_SENT && (n = TAILQ_FIRST(&a->round[round])) != NULL &&
		       (int32_t)(now_ms - n->due_ms) >= 0) {
			sent += say(a, n) + 1;
			if (round + 1 < ROUNDS)
				wait_for_round(a, n, (uint8_t)(round + 1), now_ms + ROUND_MS);
			else
				stop_waiting(a, n);
		}
	}
}

uint64_t weft_announcer_sent(const struct announcer *a)
{
	return a->sent;
}

uint64_t weft_announcer_defended(const struct announcer *a)
{
	return a->defended;
}

size_t weft_announcer_waiting(const struct announcer *a)
{
	return a->n_waiting;
}
