// SPDX-License-Identifier: Apache-2.0
// Trunks: how a device's bursts are dealt out to its networks, and what goes back to it.
#include "datapath/native/carry/fast.h"
#include "datapath/native/outside/uplink.h"

#include "datapath/native/testing/native_fixture.h"
#include "datapath/frames/services.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/trace.h"

static struct wire { // a trunk's device that is memory
	struct port_io io;
	uint16_t n_in, n_out;
	struct rte_mbuf *in[NATIVE_BURST], *out[NATIVE_BURST];
} wire;

static uint16_t wire_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t got = RTE_MIN(n, wire.n_in);

	(void)io;
	(void)share;
	memcpy(pkts, wire.in, got * sizeof(pkts[0]));
	wire.n_in = 0;
	return got;
}

static uint16_t wire_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	for (uint16_t i = 0; i < n; i++)
		wire.out[wire.n_out++] = pkts[i];
	return n;
}

static void wire_close(struct port_io *io)
{
	(void)io;
	rte_pktmbuf_free_bulk(wire.out, wire.n_out);
	wire.n_out = 0;
}

static const struct port_io_ops wire_ops = {
	.name = "wire", .rx = wire_rx, .tx = wire_tx, .close = wire_close};

#define TAG_NONE  -1
#define TAG_ASIDE 0x10000 // as a kernel interface gives it

static struct rte_mbuf *wire_put(struct testbed *tb, const struct frame *f, int tag)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(
		m, (uint16_t)(f->len + (tag >= 0 && tag < TAG_ASIDE ? 4 : 0)));

	memcpy(at, f->b, 12);
	if (tag >= TAG_ASIDE) {
		m->vlan_tci = (uint16_t)tag;
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	} else if (tag >= 0) {
		at[12] = 0x81;
		at[13] = 0;
		at[14] = (uint8_t)(tag >> 8);
		at[15] = (uint8_t)tag;
		at += 4;
	}
	memcpy(at + 12, f->b + 12, f->len - 12);
	wire.in[wire.n_in++] = m;
	return m;
}

// Networks flat (untagged), v101 and v102 on one trunk, each with a port that has it in its name
// and takes anything.
static struct testbed *on_a_trunk(void)
{
	static const struct {
		const char *network, *port;
		uint32_t vlan;
	} nets[] = {{"flat", "p-flat", 0}, {"v101", "p-101", 101}, {"v102", "p-102", 102}};
	struct testbed *tb = testbed_new(1024);

	testbed_rule_set(tb, "any", true, "ingress 4 any\negress 4 any\n");
	for (size_t i = 0; i < 3; i++) {
		testbed_provider(tb, nets[i].network, 1500, nets[i].vlan);
		testbed_port(tb, nets[i].port, nets[i].network, "10.0.0.1", "any");
	}
	testbed_commit(tb);
	wire = (struct wire) {.io = {&wire_ops, true}};
	testbed_trunk(tb, &wire.io);
	return tb;
}

static void bursts_are_dealt_out_by_their_tags_in_order(void **state)
{
	struct testbed *tb = on_a_trunk();
	static const struct {
		const char *to;
		int tag;
	} of[] = {{"p-101", 101},
		  {"p-flat", TAG_NONE},
		  {"p-102", 102 | 0xe000},
		  {"p-101", 101},
		  {"p-102", 102 | TAG_ASIDE},
		  {"p-flat", 0},
		  {"p-101", 101 | TAG_ASIDE | 0x2000},
		  {"p-flat", TAG_ASIDE}};
	struct frame sent[8], got;

	(void)state;
	for (uint16_t i = 0; i < 8; i++) {
		sent[i] =
			testbed_frame("outside", of[i].to, "10.0.0.200", "10.0.0.1", UDP(i, 2, 8));
		wire_put(tb, &sent[i], of[i].tag);
	}
	assert_int_equal(weft_trunk_poll(tb->w, tb->dp.trunks[0], weft_fast_burst), 8);
	for (uint16_t i = 0; i < 8; i++) {
		assert_true(testbed_receive(tb, of[i].to, &got));
		assert_int_equal(got.len, sent[i].len);
		assert_memory_equal(got.b, sent[i].b, got.len);
	}
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	testbed_free(tb);
}

static void offloads_lose_the_tag_that_was_in_the_frame(void **state)
{
	struct testbed *tb = on_a_trunk();
	struct frame f = testbed_frame("p-101", "outside", "10.0.0.1", "10.0.0.200", UDP(1, 2, 8));
	struct frame in =
		testbed_frame("outside", "nobody", "10.0.0.200", "10.0.0.9", UDP(1, 2, 8));
	struct rte_mbuf *m;

	(void)state;
	m = wire_put(tb, &in, 101);
	m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4;
	m->l2_len = 18;
	m->l3_len = 20;
	rte_mbuf_refcnt_update(m, 1);
	weft_trunk_poll(tb->w, tb->dp.trunks[0], weft_fast_burst);
	assert_int_equal(m->l2_len, 14);
	assert_int_equal(m->pkt_len, in.len);
	rte_pktmbuf_free(m);
	testbed_send(tb, "p-101", &f);
	assert_int_equal(wire.n_out, 1);
	testbed_free(tb);
}

static void what_is_sent_carries_its_networks_tag_beside_it(void **state)
{
	struct testbed *tb = on_a_trunk();
	struct frame f;

	(void)state;
	f = testbed_frame("p-flat", "outside", "10.0.0.1", "10.0.0.200", UDP(1, 2, 8));
	testbed_send(tb, "p-flat", &f);
	f = testbed_frame("p-102", "broadcast", "10.0.0.1", "10.0.0.255", UDP(1, 2, 8));
	testbed_send(tb, "p-102", &f);
	assert_int_equal(wire.n_out, 2);
	assert_int_equal(wire.out[0]->ol_flags & RTE_MBUF_F_TX_VLAN, 0);
	assert_true(wire.out[1]->ol_flags & RTE_MBUF_F_TX_VLAN);
	assert_int_equal(wire.out[1]->vlan_tci, 102);
	assert_int_equal(wire.out[1]->pkt_len, f.len);
	testbed_free(tb);
}

static void unknown_tags_are_counted_and_go_nowhere(void **state)
{
	struct testbed *tb = on_a_trunk();
	struct frame f = testbed_frame("outside", "p-101", "10.0.0.200", "10.0.0.1", UDP(1, 2, 8));
	struct trunk *t = tb->dp.trunks[0];
	struct rte_mbuf *provider;

	(void)state;
	wire_put(tb, &f, 103);
	wire_put(tb, &f, 4095 | TAG_ASIDE);
	provider = wire_put(tb, &f, 101);
	rte_pktmbuf_mtod(provider, uint8_t *)[12] = 0x88; // 802.1ad
	rte_pktmbuf_mtod(provider, uint8_t *)[13] = 0xa8;
	weft_trunk_poll(tb->w, t, weft_fast_burst);
	assert_int_equal(t->unknown[0], 3);
	assert_int_equal(tb->w->drops[DROP_VLAN_UNKNOWN], 3);
	assert_int_equal(rte_mempool_in_use_count(tb->dp.node.pool), 0);
	// Without a tag it is another thing.
	testbed_del(tb, PLAN_PORT, "p-flat", NULL);
	testbed_del(tb, PLAN_NETWORK, "flat", NULL);
	testbed_commit(tb);
	testbed_trunk(tb, &wire.io);
	wire_put(tb, &f, TAG_NONE);
	weft_trunk_poll(tb->w, t, weft_fast_burst);
	assert_int_equal(t->unknown[0], 4);
	assert_int_equal(tb->w->drops[DROP_UNTAGGED], 1);
	// A second tag inside of a known one is as forbidden as a VM's.
	f.b[12] = 0x81;
	f.b[13] = 0;
	wire_put(tb, &f, 101 | TAG_ASIDE);
	weft_trunk_poll(tb->w, t, weft_fast_burst);
	assert_int_equal(testbed_drop(tb), DROP_VLAN);
	testbed_free(tb);
}

static void network_that_changes_its_vlan_moves_along(void **state)
{
	struct testbed *tb = on_a_trunk();
	struct frame f = testbed_frame("outside", "p-101", "10.0.0.200", "10.0.0.1", UDP(1, 2, 8));
	struct frame got;

	(void)state;
	testbed_provider(tb, "v101", 1500, 201);
	testbed_commit(tb);
	testbed_trunk(tb, &wire.io);
	wire_put(tb, &f, 101);
	wire_put(tb, &f, 201);
	weft_trunk_poll(tb->w, tb->dp.trunks[0], weft_fast_burst);
	assert_int_equal(tb->dp.trunks[0]->unknown[0], 1);
	assert_true(testbed_receive(tb, "p-101", &got));
	assert_false(testbed_receive(tb, "p-101", &got));
	f = testbed_frame("p-101", "outside", "10.0.0.1", "10.0.0.200", UDP(1, 2, 8));
	wire_close(&wire.io);
	testbed_send(tb, "p-101", &f);
	assert_int_equal(wire.n_out, 1);
	assert_int_equal(wire.out[0]->vlan_tci, 201);
	testbed_free(tb);
}

static void what_would_leave_without_a_carrier_says_so(void **state)
{
	struct testbed *tb = on_a_trunk();
	struct frame f = testbed_frame("p-101", "outside", "10.0.0.1", "10.0.0.200", UDP(1, 2, 8));
	struct port_io *io = atomic_load(&weft_tables_port(tb->dp.tables, "v101")->io);
	struct err err;
	json_t *trace;

	(void)state;
	for (uint32_t i = 1; i <= 2; i++) { // the first packet, and one of a flow
		atomic_store(&io->up, false);
		testbed_send(tb, "p-101", &f);
		assert_int_equal(tb->w->drops[DROP_NO_CARRIER], i);
		assert_int_equal(weft_native_trace(&tb->dp, "p-101", f.b, f.len, &trace, &err), 0);
		assert_string_equal(json_string_value(json_object_get(trace, "reason")),
				    "no-carrier");
		json_decref(trace);
		assert_int_equal(wire.n_out, i - 1);
		atomic_store(&io->up, true);
		testbed_send(tb, "p-101", &f);
		assert_int_equal(wire.n_out, i);
	}
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_would_leave_without_a_carrier_says_so),
		cmocka_unit_test(bursts_are_dealt_out_by_their_tags_in_order),
		cmocka_unit_test(offloads_lose_the_tag_that_was_in_the_frame),
		cmocka_unit_test(what_is_sent_carries_its_networks_tag_beside_it),
		cmocka_unit_test(unknown_tags_are_counted_and_go_nowhere),
		cmocka_unit_test(network_that_changes_its_vlan_moves_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
