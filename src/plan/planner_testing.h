// SPDX-License-Identifier: Apache-2.0
// What the planner's tests share: a model that is changed as the API does it, and a mirror that
// applies batches as a datapath would and complains when a reference does not resolve.
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/map.h"
#include "plan/planner.h"

#define HOST "node1"

static const struct caller admin = {.project_id = "p", .is_admin = true};

// The plan as batches make it: "kind ids" -> object.
struct mirror {
	struct map *objects;
};

static inline void mirror_key(enum plan_kind kind, const void *object, char *key, size_t size)
{
	char text[WEFT_NET_STRLEN], mac[WEFT_MAC_STRLEN];

	if (kind == PLAN_MEMBER) {
		const struct plan_member *m = object;

		snprintf(key, size, "%d %s %s", kind, m->set_id,
			 weft_prefix_text(&m->prefix, text));
	} else if (kind == PLAN_NEIGHBOUR) {
		const struct plan_neighbour *n = object;

		snprintf(key, size, "%d %s %s %s %s", kind, n->network_id,
			 weft_ip_text(&n->ip, text), weft_mac_text(&n->mac, mac), n->port_id);
	} else {
		snprintf(key, size, "%d %s", kind, (const char *)object); // the id comes first
	}
}

// NULL = not there. Not for members and neighbours.
static inline const void *mirror_get(const struct mirror *m, enum plan_kind kind, const char *id)
{
	char key[64];

	snprintf(key, sizeof(key), "%d %s", kind, id);
	return weft_map_get(m->objects, key);
}

static inline bool mirror_has(const struct mirror *m, enum plan_kind kind, const char *id)
{
	return mirror_get(m, kind, id) != NULL;
}

// The network's neighbour at that address; NULL = none.
static inline const struct plan_neighbour *mirror_neighbour(const struct mirror *m,
							    const char *network, const char *ip)
{
	char text[WEFT_IP_STRLEN];

	for (struct map_entry *e = weft_map_first(m->objects); e != NULL; e = weft_map_next(e)) {
		const struct plan_neighbour *n = weft_map_value(e);

		if (atoi(weft_map_key(e)) == PLAN_NEIGHBOUR &&
		    strcmp(n->network_id, network) == 0 &&
		    strcmp(weft_ip_text(&n->ip, text), ip) == 0)
			return n;
	}
	return NULL;
}

// What an object names must be there already when it is put.
static inline void mirror_check(const struct mirror *m, const struct plan_change *c)
{
	if (c->kind == PLAN_SUBNET)
		assert_true(mirror_has(m, PLAN_NETWORK, c->subnet->network_id));
	if (c->kind == PLAN_NEIGHBOUR)
		assert_true(mirror_has(m, PLAN_NETWORK, c->neighbour->network_id));
	if (c->kind == PLAN_ROUTER) {
		for (size_t i = 0; i < c->router->n_interfaces; i++)
			assert_true(
				mirror_has(m, PLAN_NETWORK, c->router->interfaces[i].network_id));
	}
	if (c->kind == PLAN_FLOATING) {
		assert_true(mirror_has(m, PLAN_ROUTER, c->floating->router_id));
		assert_true(mirror_has(m, PLAN_NETWORK, c->floating->network_id));
	}
	if (c->kind == PLAN_FORWARDING)
		assert_true(mirror_has(m, PLAN_FLOATING, c->forwarding->floating_id));
	if (c->kind == PLAN_PORT) {
		assert_true(mirror_has(m, PLAN_NETWORK, c->port->network_id));
		for (size_t i = 0; i < c->port->n_rule_sets; i++)
			assert_true(mirror_has(m, PLAN_RULE_SET, c->port->rule_sets[i]));
	}
}

// A deletion says what the object was part of.
static inline void mirror_check_name(const struct plan_change *c, const void *old)
{
	if (c->kind == PLAN_SUBNET)
		assert_string_equal(c->subnet->network_id,
				    ((const struct plan_subnet *)old)->network_id);
	if (c->kind == PLAN_FORWARDING)
		assert_string_equal(c->forwarding->floating_id,
				    ((const struct plan_forwarding *)old)->floating_id);
}

static inline void mirror_apply(struct mirror *m, const struct plan_batch *b)
{
	char key[256];
	void *old;

	for (size_t i = 0; i < b->n; i++) {
		const struct plan_change *c = &b->changes[i];

		mirror_key(c->kind, c->object, key, sizeof(key));
		old = weft_map_get(m->objects, key);
		if (c->op == PLAN_PUT) {
			mirror_check(m, c);
			// The smallest batch: nothing is put that is there already.
			if (old != NULL)
				assert_false(weft_plan_object_equal(c->kind, old, c->object));
			weft_map_put(m->objects, key, weft_plan_object_copy(c->kind, c->object));
		} else {
			if (old == NULL)
				fail_msg("%s is deleted but was not there", key);
			mirror_check_name(c, old);
			weft_map_del(m->objects, key);
		}
		weft_plan_object_free(c->kind, old);
	}
}

static inline void mirror_fini(struct mirror *m)
{
	for (struct map_entry *e = weft_map_first(m->objects); e != NULL; e = weft_map_next(e))
		weft_plan_object_free(atoi(weft_map_key(e)), weft_map_value(e));
	weft_map_free(m->objects);
}

static inline void assert_mirrors_equal(const struct mirror *a, const struct mirror *b)
{
	for (struct map_entry *e = weft_map_first(a->objects); e != NULL; e = weft_map_next(e)) {
		const char *key = weft_map_key(e);
		const void *other = weft_map_get(b->objects, key);

		if (other == NULL)
			fail_msg("%s is in one plan only", key);
		if (!weft_plan_object_equal(atoi(key), weft_map_value(e), other))
			fail_msg("%s differs", key);
	}
	assert_int_equal(weft_map_count(a->objects), weft_map_count(b->objects));
}

// A cloud: model, planner, mirror. A change is made with add()/set()/del(), several between
// begin() and commit().
struct cloud {
	struct model *model;
	struct planner *planner;
	struct mirror mirror;
	struct txn *txn;
	struct plan_batch last; // of the last commit
	struct err err;
	char ids[2048][WEFT_ID_LEN + 1]; // what add() answered; good as long as the cloud
	size_t n_ids;
};

static inline struct cloud *cloud_new(void)
{
	static const char *const physical[] = {"physnet1"};
	const struct model_config config = {
		.host = HOST,
		.default_vif = "tap",
		.vhostuser_mode = "client",
		.run_dir = "/run/weft",
		.physnet_mtu = 1500,
		.physical_networks = physical,
		.n_physical_networks = 1,
	};
	struct cloud *c = calloc(1, sizeof(*c));

	c->model = weft_model_new(&config);
	c->planner = weft_planner_new(HOST, c->model);
	c->mirror.objects = weft_map_new();
	return c;
}

static inline void cloud_free(struct cloud *c)
{
	weft_plan_batch_fini(&c->last);
	weft_planner_free(c->planner);
	weft_model_free(c->model);
	mirror_fini(&c->mirror);
	free(c);
}

static inline void begin(struct cloud *c)
{
	c->txn = weft_txn_begin(c->model);
}

// The open transaction through the planner into the mirror.
static inline void commit(struct cloud *c)
{
	size_t n;
	const struct model_change *changes = weft_txn_changes(c->txn, &n);

	weft_plan_batch_fini(&c->last);
	if (weft_planner_update(c->planner, changes, n, &c->last, &c->err) != 0)
		fail_msg("%s", c->err.msg);
	mirror_apply(&c->mirror, &c->last);
	weft_planner_commit(c->planner);
	weft_txn_commit(c->txn);
	weft_txn_free(c->txn);
	c->txn = NULL;
}

static inline json_t *body_of(const char *fmt, va_list args)
{
	char text[4096];
	json_error_t error;
	json_t *body;

	vsnprintf(text, sizeof(text), fmt, args);
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	body = json_loads(text, 0, &error);
	if (body == NULL)
		fail_msg("%s: %s", error.text, text);
	return body;
}

// Create; returns the id. Outside of a transaction: in one of its own.
__attribute__((format(printf, 3, 4))) static inline const char *add(struct cloud *c,
								    enum resource type,
								    const char *fmt, ...)
{
	char *id = c->ids[c->n_ids++ % 2048];
	bool alone = c->txn == NULL;
	const struct object *o = NULL;
	va_list args;
	json_t *body;

	va_start(args, fmt);
	body = body_of(fmt, args);
	va_end(args);
	if (alone)
		begin(c);
	if (weft_txn_create(c->txn, &admin, type, body, &o, &c->err) != 0)
		fail_msg("%s", c->err.msg);
	strcpy(id, o->id);
	if (alone)
		commit(c);
	json_decref(body);
	return id;
}

__attribute__((format(printf, 4, 5))) static inline void set(struct cloud *c, enum resource type,
							     const char *id, const char *fmt, ...)
{
	bool alone = c->txn == NULL;
	va_list args;
	json_t *body;

	va_start(args, fmt);
	body = body_of(fmt, args);
	va_end(args);
	if (alone)
		begin(c);
	if (weft_txn_update(c->txn, &admin, type, id, body, NULL, &c->err) != 0)
		fail_msg("%s", c->err.msg);
	if (alone)
		commit(c);
	json_decref(body);
}

// The transaction as a whole is planned, and then something refuses it.
static inline void abort_after_update(struct cloud *c)
{
	struct plan_batch batch = {0};
	size_t n;
	const struct model_change *changes = weft_txn_changes(c->txn, &n);

	assert_int_equal(weft_planner_update(c->planner, changes, n, &batch, &c->err), 0);
	weft_planner_abort(c->planner);
	weft_plan_batch_fini(&batch);
}

static inline void abandon(struct cloud *c)
{
	weft_txn_abort(c->txn);
	weft_txn_free(c->txn);
	c->txn = NULL;
}

static inline void del(struct cloud *c, enum resource type, const char *id)
{
	bool alone = c->txn == NULL;

	if (alone)
		begin(c);
	if (weft_txn_delete(c->txn, &admin, type, id, &c->err) != 0)
		fail_msg("%s", c->err.msg);
	if (alone)
		commit(c);
}

// A router's interface, by "subnet_id" or "port_id".
static inline void join(struct cloud *c, const char *router, const char *kind, const char *id,
			bool on)
{
	json_t *body = json_pack("{s:s}", kind, id);
	int ret;

	begin(c);
	ret = on ? weft_txn_router_add_interface(c->txn, &admin, router, body, NULL, &c->err)
		 : weft_txn_router_remove_interface(c->txn, &admin, router, body, NULL, &c->err);
	if (ret != 0)
		fail_msg("%s", c->err.msg);
	commit(c);
	json_decref(body);
}

// The plan computed from nothing equals the one that the batches made.
static inline void assert_plan_is_right(struct cloud *c)
{
	struct planner *p = weft_planner_new(HOST, c->model);
	struct mirror scratch = {weft_map_new()};
	struct plan_batch all = {0};

	if (weft_planner_load(p, &all, &c->err) != 0)
		fail_msg("%s", c->err.msg);
	mirror_apply(&scratch, &all);
	assert_mirrors_equal(&c->mirror, &scratch);
	assert_mirrors_equal(&scratch, &c->mirror);
	weft_plan_batch_fini(&all);
	weft_planner_free(p);
	mirror_fini(&scratch);
}

// Changes of the last commit, of one kind and operation.
static inline size_t count(const struct cloud *c, enum plan_op op, enum plan_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < c->last.n; i++)
		n += c->last.changes[i].op == op && c->last.changes[i].kind == kind;
	return n;
}
