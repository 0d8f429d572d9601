// SPDX-License-Identifier: Apache-2.0
// What the model's unit tests share: requests as JSON text with ' for ", and their outcome in one
// call.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/text.h"
#include "model/model.h"

static const struct caller admin = {.project_id = "admin", .is_admin = true};
static const struct caller alice = {.project_id = "alice"};
static const struct caller bob = {.project_id = "bob"};

static struct err last_err;

// A body from printf-like text with single quotes.
__attribute__((format(printf, 1, 0))) static inline json_t *body_va(const char *fmt, va_list args)
{
	char *text;
	if (vasprintf(&text, fmt, args) < 0)
		abort();
	for (char *c = text; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	json_error_t error;
	json_t *v = json_loads(text, 0, &error);
	if (v == NULL)
		fail_msg("test body: %s: %s", error.text, text);
	free(text);
	return v;
}

static inline struct model *model_new(void)
{
	static const char *const physical[] = {"p", "physnet1"};
	const struct model_config config = {.host = "node1",
					    .default_vif = "tap",
					    .vhostuser_mode = "client",
					    .run_dir = "/run/weft",
					    .physnet_mtu = 1500,
					    .physical_networks = physical,
					    .n_physical_networks = 2};
	return weft_model_new(&config);
}

// Requests change more objects than they name (a rule its group), so that what a test holds may
// be past: it stays readable until the program ends, as what it was.
static struct txn **past;
static size_t n_past;

static inline void finish(struct txn *t, int ret)
{
	if (ret == 0)
		weft_txn_commit(t);
	else
		weft_txn_abort(t);
	past = reallocarray(past, n_past + 1, sizeof(struct txn *));
	if (past == NULL)
		abort();
	past[n_past++] = t;
}

// POST in a transaction of its own: 0 and the object, or the refusal in last_err.
__attribute__((format(printf, 5, 6))) static inline int post(struct model *m,
							     const struct caller *who,
							     enum resource type,
							     const struct object **out,
							     const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	weft_auto(json) body = body_va(fmt, args);
	va_end(args);
	const struct object *o;
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_create(t, who, type, body, &o, &last_err);
	finish(t, ret);
	if (ret == 0 && out != NULL)
		*out = o;
	return ret;
}

__attribute__((format(printf, 6, 7))) static inline int put(struct model *m,
							    const struct caller *who,
							    enum resource type, const char *id,
							    const struct object **out,
							    const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	weft_auto(json) body = body_va(fmt, args);
	va_end(args);
	const struct object *o;
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_update(t, who, type, id, body, &o, &last_err);
	finish(t, ret);
	if (ret == 0 && out != NULL)
		*out = o;
	return ret;
}

static inline int drop(struct model *m, const struct caller *who, enum resource type,
		       const char *id)
{
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_delete(t, who, type, id, &last_err);
	finish(t, ret);
	return ret;
}

#define assert_done(call)                                                           \
	do {                                                                        \
		if ((call) != 0)                                                    \
			fail_msg("%s: %s: %s", #call, last_err.kind, last_err.msg); \
	} while (0)

#define assert_refused(call, code, name)                                                           \
	do {                                                                                       \
		int ret_ = (call);                                                                 \
		if (ret_ != (code) || last_err.kind == NULL || strcmp(last_err.kind, (name)) != 0) \
			fail_msg("%s: %d %s: %s, not %d %s", #call, ret_, last_err.kind,           \
				 last_err.msg, (code), (name));                                    \
	} while (0)

static inline const char *text_of(const struct object *o, const char *key)
{
	return weft_json_text(o->attr, key);
}

static inline const char *ip_of(const struct object *port, size_t i)
{
	const json_t *fixed = json_array_get(json_object_get(port->attr, "fixed_ips"), i);
	return weft_json_text(fixed, "ip_address");
}

// A network of alice's with one IPv4 subnet 10.0.0.0/24.
static inline const struct object *alices_network(struct model *m)
{
	const struct object *network;
	assert_done(post(m, &alice, RES_NETWORK, &network, "{'name': 'net1'}"));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}",
			 network->id));
	return network;
}

// The whole model as text, independent of order: equal texts are equal models.
static int dump_object(const struct object *o, void *arg)
{
	json_object_set_new(arg, o->id, json_incref(o->attr));
	return 0;
}

static inline char *model_dump(const struct model *m)
{
	weft_auto(json) all = json_object();
	for (int type = 0; type < RES_COUNT; type++)
		weft_model_each(m, (enum resource)type, dump_object, all);
	return json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
}
