// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/live_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/carry/live.h"
#include "datapath/native/show/show.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/trace_final.h"

struct live_watch {
	uint32_t number;
	uint16_t port;
	char id[WEFT_ID_LEN + 1];
	uint32_t read_ms;
	uint16_t n; // workers
	struct live *of[NATIVE_MAX_WORKERS];
};

static void watch_free(void *arg)
{
	struct live_watch *watch = arg;

	for (uint16_t i = 0; i < watch->n; i++)
		free(watch->of[i]);
	free(watch);
}

static void withdraw(struct native *dp)
{
	for (uint16_t i = 0; i < dp->n_workers; i++)
		atomic_store_explicit(&dp->workers[i]->onlooker, NULL, memory_order_release);
}

static void end(struct native *dp)
{
	struct live_watch *watch = dp->watch;

	withdraw(dp);
	dp->watch = NULL;
	weft_vstore_retire(dp->node.vs, watch, watch_free);
}

static struct live_watch *watch_new(struct native *dp, const struct port *port,
				    const struct datapath_filter *filter)
{
	struct live_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->port = port->index;
	memcpy(watch->id, port->id, sizeof(watch->id));
	watch->read_ms = native_now_ms(&dp->node);
	for (; watch->n < dp->n_workers; watch->n++) {
		struct live *l = calloc(1, sizeof(*l));

		watch->of[watch->n] = l;
		if (l == NULL) {
			watch_free(watch);
			return NULL;
		}
		weft_live_init(l, port->index, filter);
	}
	return watch;
}

int weft_native_watch(struct native *dp, const char *port_id, const struct datapath_filter *filter,
		      uint32_t *number, struct err *err)
{
	const struct port *port = weft_tables_port(dp->tables, port_id);

	if (port == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", port_id);
	weft_native_watch_tick(dp);
	if (dp->watch != NULL)
		return weft_fail(err, -EBUSY,
				 "port %s is being watched, and a node watches one port at a time; "
				 "a watch that nobody reads ends after %d s",
				 dp->watch->id, LIVE_LEASE_MS / 1000);
	dp->watch = watch_new(dp, port, filter);
	if (dp->watch == NULL)
		return weft_fail(err, -ENOMEM, "no memory for what is seen of port %s", port_id);
	dp->watch->number = *number = ++dp->n_watches;
	for (uint16_t i = 0; i < dp->n_workers; i++)
		atomic_store_explicit(&dp->workers[i]->onlooker, &dp->watch->of[i]->onlooker,
				      memory_order_release);
	return 0;
}

// ---- What was seen -------------------------------------------------------------------------

static const char *verdict(const struct live_record *r)
{
	if (r->why == DROP_SERVICE_DONE)
		return "consumed";
	if (r->why != DROP_NONE)
		return "drop";
	if (r->waits)
		return "wait";
	if (r->answered)
		return "answer";
	return r->flooded ? "flood" : "forward";
}

static const char *text_of(const struct live_frame *f, struct packet *p, char *buf, size_t size)
{
	weft_packet_parse(f->bytes, f->len, f->total, 0, p);
	return weft_packet_text(f->bytes, f->len, p, buf, size);
}

// How the packet is known on its other side, if it is translated.
static void set_other_side(json_t *o, const struct live_record *r, const struct packet *here)
{
	char buf[256];
	struct packet p;

	json_object_set_new(o, "leaves_as", json_null());
	json_object_set_new(o, "came_as", json_null());
	if (r->translated)
		json_object_set_new(o, "came_as",
				    json_string(weft_flow_text(&r->came, buf, sizeof(buf))));
	if (r->leaves.len == 0 || r->answered || r->why != DROP_NONE || here->kind != PACKET_IP)
		return;
	text_of(&r->leaves, &p, buf, sizeof(buf));
	if (!weft_flow_equal(&p.key, &here->key))
		json_object_set_new(o, "leaves_as", json_string(buf));
}

static json_t *id_of(const struct native *dp, uint16_t port)
{
	const struct port *p = native_port(&dp->node, port);

	return p == NULL ? json_null() : json_string(p->id);
}

static void set_ways(struct native *dp, json_t *o, const struct live_record *r, uint16_t watched)
{
	json_t *out = json_array();
	uint16_t in = r->in_port;

	// What the node answers comes from no port.
	if (r->to_port && r->answered && in == watched)
		in = NATIVE_NO_PORT;
	for (uint16_t i = 0; !r->to_port && r->why == DROP_NONE && i < RTE_MIN(r->n_out, LIVE_OUT);
	     i++)
		json_array_append_new(out, id_of(dp, r->out[i]));
	if (r->to_port && r->why == DROP_NONE)
		json_array_append_new(out, id_of(dp, watched));
	json_object_set_new(o, "n_out", json_integer(r->to_port ? 1 : r->n_out));
	json_object_set_new(o, "out_ports", out);
	json_object_set_new(o, "in_port", id_of(dp, r->to_port ? in : watched));
	if (!r->to_port && r->why == DROP_NONE && r->n_out == 1 &&
	    native_port(&dp->node, r->out[0]) != NULL)
		weft_trace_set_way(dp, native_port(&dp->node, r->out[0]), o);
}

static json_t *record_json(struct native *dp, const struct live_record *r, uint16_t watched,
			   uint64_t now)
{
	const struct session s = {.state = r->state, .flags = r->refused ? SESSION_REFUSED : 0};
	uint64_t ago = now > r->at ? (now - r->at) / (dp->node.tsc_hz / 1000000) : 0;
	struct packet p;
	char text[256];
	json_t *o = json_pack("{s:I,s:s,s:s,s:I,s:s,s:s?,s:b,s:s?,s:s?}", "ago_us", (json_int_t)ago,
			      "direction", r->to_port ? "to" : "from", "packet",
			      text_of(&r->here, &p, text, sizeof(text)), "length",
			      (json_int_t)r->here.total, "verdict", verdict(r), "session",
			      r->flow == LIVE_NO_FLOW ? NULL : weft_native_session_state(&s),
			      "first", r->flow == LIVE_FIRST, "egress_rule",
			      r->egress_rule[0] == '\0' ? NULL : r->egress_rule, "ingress_rule",
			      r->ingress_rule[0] == '\0' ? NULL : r->ingress_rule);

	if (r->why != DROP_NONE && r->why != DROP_SERVICE_DONE) {
		json_object_set_new(o, "reason", json_string(weft_drop_word(r->why)));
		json_object_set_new(o, "sentence", json_string(weft_drop_sentence(r->why)));
	}
	set_other_side(o, r, &p);
	set_ways(dp, o, r, watched);
	return o;
}

static int oldest_first(const void *a, const void *b)
{
	const struct live_record *x = *(struct live_record *const *)a;
	const struct live_record *y = *(struct live_record *const *)b;

	return x->at < y->at ? -1 : x->at > y->at;
}

// The workers go on meanwhile; what is read keeps its place until the tail passes it.
static json_t *read_all(struct native *dp, const struct live_watch *watch)
{
	const struct live_record **all = calloc((size_t)watch->n * LIVE_SLOTS, sizeof(*all));
	uint32_t head[NATIVE_MAX_WORKERS];
	json_t *list = json_array();
	uint64_t now = rte_rdtsc();
	size_t n = 0;

	for (uint16_t i = 0; all != NULL && i < watch->n; i++) {
		struct live *l = watch->of[i];

		head[i] = atomic_load_explicit(&l->head, memory_order_acquire);
		for (uint32_t k = atomic_load(&l->tail); k != head[i]; k++)
			all[n++] = &l->ring[k & (LIVE_SLOTS - 1)];
	}
	if (n > 0)
		qsort(all, n, sizeof(all[0]), oldest_first);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, record_json(dp, all[i], watch->port, now));
	for (uint16_t i = 0; all != NULL && i < watch->n; i++)
		atomic_store_explicit(&watch->of[i]->tail, head[i], memory_order_release);
	free(all);
	return list;
}

int weft_native_watched(struct native *dp, uint32_t number, json_t **out, struct err *err)
{
	struct live_watch *watch = dp->watch;
	uint64_t matched = 0, missed = 0;
	json_t *list;

	if (watch == NULL || watch->number != number)
		return weft_fail(err, -ENOENT,
				 "watch %u has ended: its port is gone, or nobody has read it for "
				 "%d s",
				 number, LIVE_LEASE_MS / 1000);
	watch->read_ms = native_now_ms(&dp->node);
	list = read_all(dp, watch);
	for (uint16_t i = 0; i < watch->n; i++) {
		matched += atomic_load_explicit(&watch->of[i]->matched, memory_order_relaxed);
		missed += atomic_load_explicit(&watch->of[i]->missed, memory_order_relaxed);
	}
	*out = json_pack("{s:s,s:I,s:I,s:o}", "port", watch->id, "matched", (json_int_t)matched,
			 "missed", (json_int_t)missed, "packets", list);
	return 0;
}

// ---- The end -------------------------------------------------------------------------------

void weft_native_unwatch(struct native *dp, uint32_t number)
{
	if (dp->watch != NULL && dp->watch->number == number)
		end(dp);
}

void weft_native_watch_tick(struct native *dp)
{
	if (dp->watch != NULL &&
	    (int32_t)(native_now_ms(&dp->node) - dp->watch->read_ms) > LIVE_LEASE_MS)
		end(dp);
}

void weft_native_watch_port_gone(struct native *dp, uint16_t port)
{
	if (dp->watch != NULL && dp->watch->port == port)
		end(dp);
}

void weft_native_watch_stop(struct native *dp)
{
	if (dp->watch == NULL)
		return;
	watch_free(dp->watch);
	dp->watch = NULL;
}
