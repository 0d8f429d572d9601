// SPDX-License-Identifier: Apache-2.0
#include "operate/operate.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "operate/describe.h"
#include "base/json.h"
#include "base/log.h"

// One request, for the functions that answer it.
struct question {
	const struct operate *op;
	const char *rest; // what follows the first part of the path, "" = nothing
	const json_t *query, *body;
};

static int find_port(const struct operate *op, const char *what, const struct object **out,
		     struct err *err)
{
	return weft_find_object(op->model, RES_PORT, what, out, err);
}

static int get_limit(const struct question *q, size_t otherwise, size_t *out, struct err *err)
{
	const char *text = weft_json_text(q->query, "limit");
	char *end;
	long v;

	*out = otherwise;
	if (text == NULL)
		return 0;
	v = strtol(text, &end, 10);
	if (text[0] == '\0' || *end != '\0' || v < 0 || v > 10000000)
		return weft_fail(err, -EINVAL,
				 "limit=%.50s: allowed is a number from 0 to "
				 "10000000",
				 text);
	*out = v;
	return 0;
}

struct list {
	const struct operate *op;
	json_t *array;
	struct err *err;
};

static int add_port(const struct object *o, void *arg)
{
	struct list *l = arg;
	json_t *port;
	int ret = weft_operate_port(l->op, o, &port, l->err);

	if (ret == 0)
		json_array_append_new(l->array, port);
	return ret;
}

static int add_local_port(const struct plan_port *port, void *arg)
{
	struct list *l = arg;
	const struct object *o = weft_model_get(l->op->model, RES_PORT, port->id);

	return o == NULL ? 0 : add_port(o, arg);
}

static int get_ports(const struct question *q, json_t **out, struct err *err)
{
	struct list l = {q->op, json_array(), err};
	const char *all = weft_json_text(q->query, "all");
	const struct object *port;
	int ret;

	if (q->rest[0] != '\0') {
		json_decref(l.array);
		ret = find_port(q->op, q->rest, &port, err);
		return ret != 0 ? ret : weft_operate_port(q->op, port, out, err);
	}
	if (all != NULL && strcmp(all, "true") == 0)
		ret = weft_model_each(q->op->model, RES_PORT, add_port, &l);
	else
		ret = weft_planner_each_port(q->op->planner, add_local_port, &l);
	if (ret != 0) {
		json_decref(l.array);
		return ret;
	}
	*out = json_pack("{s:o}", "ports", l.array);
	return 0;
}

static int add_subnet(const struct object *o, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s?, s:s?, s:b}", "id", o->id, "name",
					     weft_json_text(o->attr, "name") ?: "", "cidr",
					     weft_json_text(o->attr, "cidr"), "gateway",
					     weft_json_text(o->attr, "gateway_ip"), "dhcp",
					     weft_json_bool(o->attr, "enable_dhcp", false)));
	return 0;
}

// Put names and owners to the datapath's list of ids.
static void name_all(const struct model *m, enum resource type, json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *id = weft_json_text(v, "id");
		const struct object *o = id == NULL ? NULL : weft_model_get(m, type, id);

		if (o == NULL)
			continue;
		json_object_set_new(v, "name", json_string(weft_object_name(m, type, id)));
		json_object_set_new(v, "project_id", json_string(o->project_id));
		if (type == RES_NETWORK) {
			json_t *subnets = json_array();

			weft_model_each_ref(m, REF_NETWORK_SUBNETS, id, add_subnet, subnets);
			json_object_set_new(v, "subnets", subnets);
		}
	}
}

static int get_networks(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_NETWORKS, NULL, 0, out, err);

	if (ret == 0)
		name_all(op->model, RES_NETWORK, weft_json_array(*out, "networks"));
	return ret;
}

static int get_groups(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_GROUPS, NULL, 0, out, err);

	if (ret == 0)
		name_all(op->model, RES_SECURITY_GROUP, weft_json_array(*out, "groups"));
	return ret;
}

static int get_routers(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	json_t *router, *interface;
	size_t i, k;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_ROUTERS, NULL, 0, out, err);

	if (ret != 0)
		return ret;
	name_all(op->model, RES_ROUTER, weft_json_array(*out, "routers"));
	json_array_foreach(weft_json_array(*out, "routers"), i, router) {
		json_array_foreach(weft_json_array(router, "interfaces"), k, interface) {
			const char *id = weft_json_text(interface, "network");

			json_object_set_new(
				interface, "network_name",
				json_string(weft_object_name(op->model, RES_NETWORK, id)));
		}
	}
	return 0;
}

static void name_networks(const struct model *m, json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *id = weft_json_text(v, "network");

		if (id != NULL)
			json_object_set_new(v, "network_name",
					    json_string(weft_object_name(m, RES_NETWORK, id)));
	}
}

static int get_neighbours(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_NEIGHBOURS, NULL, 0, out, err);

	if (ret != 0)
		return ret;
	name_networks(op->model, weft_json_array(*out, "neighbours"));
	name_networks(op->model, weft_json_array(*out, "conflicts"));
	return 0;
}

// `key` holds a port's id; key_name gets its name.
static void name_port(const struct model *m, json_t *o, const char *key, const char *key_name)
{
	const char *id = weft_json_text(o, key);

	if (id != NULL)
		json_object_set_new(o, key_name, weft_port_name(m, id));
}

static void name_of(const struct model *m, enum resource type, json_t *o, const char *key,
		    const char *key_name)
{
	const char *id = weft_json_text(o, key);

	if (id != NULL)
		json_object_set_new(o, key_name, json_string(weft_object_name(m, type, id)));
}

static int get_floatingips(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	json_t *v, *forwarding;
	size_t i, k;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_FLOATING_IPS, NULL, 0, out, err);

	if (ret != 0)
		return ret;
	name_networks(op->model, weft_json_array(*out, "floatingips"));
	json_array_foreach(weft_json_array(*out, "floatingips"), i, v) {
		name_of(op->model, RES_ROUTER, v, "router", "router_name");
		name_port(op->model, v, "port", "port_name");
		json_array_foreach(weft_json_array(v, "forwardings"), k, forwarding)
			name_port(op->model, forwarding, "port", "port_name");
	}
	return 0;
}

// Connections, or those of them that are translated.
static int get_flows(const struct question *q, enum datapath_show show, json_t **out,
		     struct err *err)
{
	const struct operate *op = q->op;
	const char *what = weft_json_text(q->query, "port");
	const struct object *port = NULL;
	json_t *v;
	size_t limit, i;
	int ret = get_limit(q, 1000, &limit, err);

	if (ret == 0 && what != NULL)
		ret = find_port(op, what, &port, err);
	if (ret == 0)
		ret = op->ops->show(op->datapath, show, port == NULL ? NULL : port->id, limit, out,
				    err);
	if (ret != 0)
		return ret;
	json_array_foreach(weft_json_array(*out, "sessions"), i, v) {
		name_port(op->model, v, "in_port", "in_port_name");
		name_port(op->model, v, "out_port", "out_port_name");
	}
	return 0;
}

static int get_sessions(const struct question *q, json_t **out, struct err *err)
{
	return get_flows(q, DATAPATH_SHOW_SESSIONS, out, err);
}

static int get_nat(const struct question *q, json_t **out, struct err *err)
{
	return get_flows(q, DATAPATH_SHOW_NAT, out, err);
}

static int get_drops(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	json_t *v;
	size_t limit, i;
	int ret = get_limit(q, 20, &limit, err);

	if (ret == 0)
		ret = op->ops->show(op->datapath, DATAPATH_SHOW_DROPS, NULL, limit, out, err);
	if (ret != 0)
		return ret;
	json_array_foreach(weft_json_array(*out, "samples"), i, v)
		name_port(op->model, v, "port", "port_name");
	return 0;
}

static int get_workers(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_WORKERS, NULL, 0, out, err);

	if (ret == 0 && op->late != NULL) {
		struct beat_late l = op->late(op->datapath);

		json_object_set_new(
			*out, "control",
			json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "tick_us", (json_int_t)l.tick_us,
				  "tick_ever_us", (json_int_t)l.tick_ever_us, "held_us",
				  (json_int_t)l.held_us, "held_ever_us", (json_int_t)l.held_ever_us,
				  "loop_us", (json_int_t)l.loop_us, "loop_ever_us",
				  (json_int_t)l.loop_ever_us));
	}
	return ret;
}

static int get_metadata(const struct question *q, json_t **out, struct err *err)
{
	(void)err;
	*out = weft_metadata_show(q->op->metadata);
	return 0;
}

static int post_store_backup(const struct question *q, json_t **out, struct err *err)
{
	char path[PATH_MAX];
	int ret;

	if (q->op->store == NULL)
		return weft_fail(err, -ENOENT, "there is no store to copy");
	ret = weft_store_backup(q->op->store, path, err);
	if (ret == 0)
		*out = json_pack("{s:s}", "file", path);
	return ret;
}

static int post_store_remove(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_store_remove(q->op, q->body, out, err);
}

static int post_flush_sessions(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_flush(q->op, q->body, out, err);
}

static int post_reset_counters(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_reset(q->op, q->body, out, err);
}

static int get_left_out(const struct question *q, json_t **out, struct err *err)
{
	size_t n;
	const struct left_out *l = weft_model_left_out(q->op->model, &n);
	json_t *list = json_array();

	(void)err;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "type",
						      weft_resource_name(l[i].type), "id", l[i].id,
						      "reason", l[i].reason));
	*out = json_pack("{s:o}", "left_out", list);
	return 0;
}

static int get_ready(const struct question *q, json_t **out, struct err *err)
{
	(void)err;
	*out = weft_operate_ready(q->op);
	return 0;
}

static int get_log(const struct question *q, json_t **out, struct err *err)
{
	(void)q;
	(void)err;
	*out = json_pack("{s:s}", "level", weft_log_level_name(weft_log_level()));
	return 0;
}

// Until the next reload or start, which go by the configuration.
static int post_log(const struct question *q, json_t **out, struct err *err)
{
	const char *text = weft_json_text(q->body, "level");
	enum log_level level;

	if (text == NULL || weft_log_level_parse(text, &level) != 0)
		return weft_fail(err, -EINVAL,
				 "\"level\" is one of error, warning, info and debug");
	weft_log_set_level(level);
	weft_log_info("the log level is \"%s\" now", text);
	return get_log(q, out, err);
}

static int get_explain(const struct question *q, json_t **out, struct err *err)
{
	const struct object *port;
	int ret = find_port(q->op, q->rest, &port, err);

	return ret != 0 ? ret : weft_operate_explain(q->op, port, out, err);
}

static int post_trace(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_trace(q->op, q->body, out, err);
}

static int post_watch(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_watch(q->op, q->body, out, err);
}

static int get_watch(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_watched(q->op, q->rest, out, err);
}

static int post_unwatch(const struct question *q, json_t **out, struct err *err)
{
	return weft_operate_unwatch(q->op, q->body, out, err);
}

static int get_uplinks(const struct question *q, json_t **out, struct err *err)
{
	const struct operate *op = q->op;
	json_t *v;
	size_t i;
	int ret = op->ops->show(op->datapath, DATAPATH_SHOW_UPLINKS, NULL, 0, out, err);

	if (ret != 0)
		return ret;
	json_array_foreach(weft_json_array(*out, "uplinks"), i, v)
		name_networks(op->model, weft_json_array(v, "networks"));
	return 0;
}

static const struct route {
	const char *method, *name;
	enum { ALONE, MAY_NAME, MUST_NAME } rest; // "name" or "name/REST"
	int (*answer)(const struct question *q, json_t **out, struct err *err);
} routes[] = {
	{"GET", "ports", MAY_NAME, get_ports},
	{"GET", "networks", ALONE, get_networks},
	{"GET", "groups", ALONE, get_groups},
	{"GET", "routers", ALONE, get_routers},
	{"GET", "floatingips", ALONE, get_floatingips},
	{"GET", "nat", ALONE, get_nat},
	{"GET", "neighbours", ALONE, get_neighbours},
	{"GET", "sessions", ALONE, get_sessions},
	{"GET", "drops", ALONE, get_drops},
	{"GET", "workers", ALONE, get_workers},
	{"GET", "ready", ALONE, get_ready},
	{"GET", "metadata", ALONE, get_metadata},
	{"GET", "left-out", ALONE, get_left_out},
	{"POST", "store-backup", ALONE, post_store_backup},
	{"POST", "store-remove", ALONE, post_store_remove},
	{"POST", "flush-sessions", ALONE, post_flush_sessions},
	{"POST", "reset-counters", ALONE, post_reset_counters},
	{"GET", "log", ALONE, get_log},
	{"POST", "log", ALONE, post_log},
	{"GET", "explain", MUST_NAME, get_explain},
	{"POST", "trace", ALONE, post_trace},
	{"POST", "watch", ALONE, post_watch},
	{"GET", "watch", MUST_NAME, get_watch},
	{"POST", "unwatch", ALONE, post_unwatch},
	{"GET", "uplinks", ALONE, get_uplinks},
};

int weft_operate(void *arg, const char *method, const char *path, const json_t *query,
		 const json_t *body, json_t **out, struct err *err)
{
	struct question q = {.op = arg, .rest = "", .query = query, .body = body};
	const struct route *known = NULL;
	size_t n = strcspn(path, "/");

	if (path[n] == '/')
		q.rest = path + n + 1;
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		const struct route *r = &routes[i];

		if (strlen(r->name) != n || strncmp(r->name, path, n) != 0)
			continue;
		if (strcmp(r->method, method) != 0) {
			known = r;
			continue;
		}
		if ((r->rest == ALONE && q.rest[0] != '\0') ||
		    (r->rest == MUST_NAME && q.rest[0] == '\0'))
			break;
		return r->answer(&q, out, err);
	}
	if (known != NULL)
		return weft_fail(err, -EINVAL, "/weft/v1/%s is asked with %s, not %s", known->name,
				 known->method, method);
	return weft_fail(
		err, -ENOENT,
		"/weft/v1/%.100s is nothing; there are ports, ports/PORT, networks, groups, "
		"routers, floatingips, nat, neighbours, uplinks, sessions, drops, workers, "
		"metadata, left-out, log, ready, explain/PORT, trace, watch, unwatch, "
		"flush-sessions, reset-counters, store-backup and store-remove",
		path);
}
