// SPDX-License-Identifier: Apache-2.0
// What is lost where no worker sees it: by port, in sum, and after the port has gone.
#include "datapath/native/show/show.h"

#include "base/text.h"
#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/outside/uplink.h"

struct lossy { // an interface that has only its counters
	struct port_io io;
	struct port_io_stats stats;
	bool closed;
};

static uint16_t carry_nothing(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	(void)pkts;
	(void)n;
	return 0;
}

static void tell(const struct port_io *io, struct port_io_stats *out)
{
	*out = ((const struct lossy *)io)->stats;
}

static void end(struct port_io *io)
{
	((struct lossy *)io)->closed = true;
}

static const struct port_io_ops lossy_ops = {
	.name = "lossy", .tx = carry_nothing, .stats = tell, .close = end};

static struct port_io *put(struct testbed *tb, const char *port, struct lossy *l)
{
	l->io.ops = &lossy_ops;
	return atomic_exchange(&weft_tables_port(tb->dp.tables, port)->io, &l->io);
}

static json_int_t lost(struct testbed *tb, const char *reason)
{
	json_t *o = NULL, *l;
	struct err err;
	json_int_t n = -1;
	size_t i;

	assert_int_equal(weft_native_show(&tb->dp, DATAPATH_SHOW_DROPS, NULL, 10, &o, &err), 0);
	json_array_foreach(json_object_get(o, "losses"), i, l)
		if (strcmp(json_string_value(json_object_get(l, "reason")), reason) == 0)
			n = json_integer_value(json_object_get(l, "packets"));
	json_decref(o);
	return n;
}

static void assert_metric(struct testbed *tb, const char *line)
{
	struct text t = {0};

	weft_native_metrics(&tb->dp, &t);
	if (strstr(t.s, line) == NULL)
		fail_msg("no metric %s", line);
	weft_text_fini(&t);
}

static void what_interfaces_lose_is_shown_and_stays_when_they_go(void **state)
{
	struct testbed *tb = two_ports("");
	struct lossy a = {.stats = {.rx_lost = 5, .rx_malformed = 2, .tx_refused = 1}};
	struct lossy b = {.stats = {.rx_lost = 70, .tx_segmented = 9}};
	struct port_io *memory[2] = {put(tb, "client", &a), put(tb, "server", &b)};

	(void)state;
	assert_int_equal(lost(tb, "ring-full"), 75);
	assert_int_equal(lost(tb, "malformed"), 2);
	assert_int_equal(lost(tb, "refused"), 1);
	assert_metric(tb, "weft_losses_total{reason=\"ring-full\"} 75\n");
	assert_metric(tb, "weft_port_ring_lost_total{port=\"client\"} 5\n");
	assert_metric(tb, "weft_port_ring_lost_total{port=\"server\"} 70\n");
	assert_metric(tb, "weft_port_malformed_total{port=\"client\"} 2\n");
	assert_metric(tb, "weft_port_refused_total{port=\"client\"} 1\n");

	// It is detached: a counter of the node does not fall.
	weft_native_ops.detach((struct datapath *)&tb->dp, "client");
	assert_int_equal(lost(tb, "ring-full"), 75);
	assert_metric(tb, "weft_losses_total{reason=\"malformed\"} 2\n");
	assert_metric(tb, "weft_port_ring_lost_total{port=\"client\"} 0\n");
	put(tb, "client", &(struct lossy) {.stats = {.rx_lost = 1}});
	assert_int_equal(lost(tb, "ring-full"), 76);

	for (size_t i = 0; i < 2; i++)
		atomic_store(&weft_tables_port(tb->dp.tables, i == 0 ? "client" : "server")->io,
			     memory[i]);
	testbed_free(tb);
	assert_true(a.closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_interfaces_lose_is_shown_and_stays_when_they_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
