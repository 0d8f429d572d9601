// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile.h"

#include <event2/event.h>

#include "plan/planner_testing.h"

// A datapath that mirrors the plan, and a store that counts; both refuse on demand.
struct datapath {
	struct mirror mirror;
	bool refuse;
	const struct plan_batch *prepared;
	size_t applied; // batches
	struct map *attached;
};

static int fake_prepare(struct datapath *dp, const struct plan_batch *batch, size_t *refused,
			struct err *err)
{
	assert_null(dp->prepared);
	if (dp->refuse) {
		*refused = batch->n - 1;
		return weft_fail(err, -ENOSPC, "port x: no room");
	}
	dp->prepared = batch;
	return 0;
}

static void fake_forget(struct datapath *dp)
{
	assert_non_null(dp->prepared);
	dp->prepared = NULL;
}

static void fake_apply(struct datapath *dp, const struct plan_batch *batch)
{
	assert_ptr_equal(dp->prepared, batch);
	dp->prepared = NULL;
	dp->applied++;
	mirror_apply(&dp->mirror, batch);
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->changes[i].kind == PLAN_PORT && batch->changes[i].op == PLAN_DEL)
			weft_map_del(dp->attached, batch->changes[i].port->id);
	}
}

static int fake_attach(struct datapath *dp, const char *port_id, const char *ifname,
		       struct err *err)
{
	(void)ifname;
	(void)err;
	weft_map_put(dp->attached, port_id, dp);
	return 0;
}

static void fake_detach(struct datapath *dp, const char *port_id)
{
	weft_map_del(dp->attached, port_id);
}

static const struct datapath_ops fake_ops = {
	.name = "fake",
	.prepare = fake_prepare,
	.apply = fake_apply,
	.forget = fake_forget,
	.attach = fake_attach,
	.detach = fake_detach,
};

struct fake_store {
	size_t written;
	int refuse; // with that code
	const struct datapath *dp;
	size_t applied; // what the datapath had applied when the last write came
};

static int fake_write(void *store, const struct model_change *changes, size_t n, struct err *err)
{
	struct fake_store *s = store;

	(void)changes;
	s->applied = s->dp->applied;
	if (s->refuse != 0)
		return weft_fail(err, s->refuse, "the disk is full");
	s->written += n;
	return 0;
}

struct bench {
	struct model *model;
	struct planner *planner;
	struct event_base *loop;
	struct datapath dp;
	struct fake_store store;
	struct links *links;
	struct reconcile r;
	struct err err;
	char net[WEFT_ID_LEN + 1], port[WEFT_ID_LEN + 1];
};

static struct bench *bench_new(void)
{
	const struct model_config config = {
		.host = HOST,
		.default_vif = "tap",
		.vhostuser_mode = "client",
		.run_dir = "/run/weft",
		.physnet_mtu = 1500,
	};
	struct bench *b = calloc(1, sizeof(*b));

	b->model = weft_model_new(&config);
	b->planner = weft_planner_new(HOST, b->model);
	b->loop = event_base_new();
	b->dp.mirror.objects = weft_map_new();
	b->dp.attached = weft_map_new();
	b->store.dp = &b->dp;
	const struct links_config links = {b->loop, b->model, b->planner, &fake_ops, &b->dp};

	assert_int_equal(weft_links_new(&links, &b->links, &b->err), 0);
	b->r = (struct reconcile) {b->planner, &fake_ops,  &b->dp,   b->links,
				   NULL,       fake_write, &b->store};
	return b;
}

static void bench_free(struct bench *b)
{
	weft_links_free(b->links);
	weft_planner_free(b->planner);
	weft_model_free(b->model);
	mirror_fini(&b->dp.mirror);
	weft_map_free(b->dp.attached);
	event_base_free(b->loop);
	free(b);
}

// One request, as the API makes it: commit, or abort when the commit is refused.
static int finish(struct bench *b, struct txn *t)
{
	int ret;

	b->err = (struct err) {0};
	ret = weft_reconcile_commit(&b->r, t, &b->err);
	if (ret != 0)
		weft_txn_abort(t);
	weft_txn_free(t);
	return ret;
}

static int create(struct bench *b, enum resource type, json_t *body, char *id)
{
	struct txn *t = weft_txn_begin(b->model);
	const struct object *o;

	assert_int_equal(weft_txn_create(t, &admin, type, body, &o, &b->err), 0);
	json_decref(body);
	strcpy(id, o->id);
	return finish(b, t);
}

static int remove_object(struct bench *b, enum resource type, const char *id)
{
	struct txn *t = weft_txn_begin(b->model);

	assert_int_equal(weft_txn_delete(t, &admin, type, id, &b->err), 0);
	return finish(b, t);
}

static int create_network(struct bench *b)
{
	return create(b, RES_NETWORK, json_object(), b->net);
}

static int create_port(struct bench *b)
{
	return create(b, RES_PORT,
		      json_pack("{s:s, s:s}", "network_id", b->net, "binding:host_id", HOST),
		      b->port);
}

static void what_is_acknowledged_is_in_force_and_stored(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	assert_int_equal(create_network(b), 0);
	assert_int_equal(create_port(b), 0);
	assert_true(mirror_has(&b->dp.mirror, PLAN_PORT, b->port));
	assert_true(b->store.written >= 2);
	assert_non_null(weft_model_get(b->model, RES_PORT, b->port));
	bench_free(b);
}

static void what_the_datapath_refuses_changes_nothing(void **state)
{
	struct bench *b = bench_new();
	size_t written;

	(void)state;
	create_network(b);
	written = b->store.written;
	b->dp.refuse = true;
	assert_int_equal(create_port(b), -ENOSPC);
	assert_string_equal(b->err.msg, "port x: no room");
	assert_null(weft_model_get(b->model, RES_PORT, b->port));
	assert_int_equal(b->store.written, written);
	b->dp.refuse = false;
	assert_int_equal(create_port(b), 0); // the plan has no trace of the first attempt
	bench_free(b);
}

static void what_the_store_refuses_never_reached_the_datapath(void **state)
{
	static const int codes[] = {-ENOSPC, -EIO, -EINPROGRESS};
	struct bench *b = bench_new();
	size_t applied;

	(void)state;
	create_network(b);
	applied = b->dp.applied;
	for (size_t i = 0; i < 3; i++) {
		b->store.refuse = codes[i];
		assert_int_equal(create_port(b), codes[i]);
		assert_string_equal(b->err.msg, "the disk is full");
		assert_int_equal(b->dp.applied, applied);
		assert_null(b->dp.prepared);
		assert_null(weft_model_get(b->model, RES_PORT, b->port));
	}
	b->store.refuse = 0;
	assert_int_equal(create_port(b), 0); // nothing has a trace of the attempts
	bench_free(b);
}

static void the_store_has_a_change_before_the_datapath(void **state)
{
	struct bench *b = bench_new();
	size_t applied;

	(void)state;
	create_network(b);
	applied = b->dp.applied;
	assert_int_equal(create_port(b), 0);
	assert_int_equal(b->store.applied, applied);
	assert_int_equal(b->dp.applied, applied + 1);
	assert_int_equal(remove_object(b, RES_PORT, b->port), 0);
	assert_int_equal(b->store.applied, applied + 1);
	assert_int_equal(b->dp.applied, applied + 2);
	bench_free(b);
}

static void a_deletion_that_is_not_stored_does_not_touch_the_port(void **state)
{
	struct bench *b = bench_new();
	char tap[16];

	(void)state;
	create_network(b);
	create_port(b);
	snprintf(tap, sizeof(tap), "tap%.11s", b->port);
	weft_links_interface_changed(b->links, tap, 7);
	weft_links_work(b->links, 1000);
	assert_non_null(weft_map_get(b->dp.attached, b->port));
	b->store.refuse = -ENOSPC;
	assert_int_equal(remove_object(b, RES_PORT, b->port), -ENOSPC);
	assert_true(mirror_has(&b->dp.mirror, PLAN_PORT, b->port));
	// As it was, not attached anew: a socket would be another one.
	assert_non_null(weft_map_get(b->dp.attached, b->port));
	assert_null(weft_links_reason(b->links, b->port));
	b->store.refuse = 0;
	assert_int_equal(remove_object(b, RES_PORT, b->port), 0);
	assert_null(weft_map_get(b->dp.attached, b->port));
	bench_free(b);
}

static void a_start_applies_the_whole_model(void **state)
{
	struct bench *b = bench_new();
	struct mirror empty = {weft_map_new()};
	size_t n;

	(void)state;
	create_network(b);
	create_port(b);
	// As after a restart: the same model, everything below it new.
	mirror_fini(&b->dp.mirror);
	b->dp.mirror = empty;
	weft_planner_free(b->planner);
	b->planner = b->r.planner = weft_planner_new(HOST, b->model);
	weft_links_free(b->links);
	const struct links_config links = {b->loop, b->model, b->planner, &fake_ops, &b->dp};

	assert_int_equal(weft_links_new(&links, &b->links, &b->err), 0);
	b->r.links = b->links;
	assert_int_equal(weft_reconcile_start(&b->r, b->model, &n, &b->err), 0);
	assert_int_equal(n, weft_map_count(b->dp.mirror.objects));
	assert_true(mirror_has(&b->dp.mirror, PLAN_PORT, b->port));
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_acknowledged_is_in_force_and_stored),
		cmocka_unit_test(what_the_datapath_refuses_changes_nothing),
		cmocka_unit_test(what_the_store_refuses_never_reached_the_datapath),
		cmocka_unit_test(the_store_has_a_change_before_the_datapath),
		cmocka_unit_test(a_deletion_that_is_not_stored_does_not_touch_the_port),
		cmocka_unit_test(a_start_applies_the_whole_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
