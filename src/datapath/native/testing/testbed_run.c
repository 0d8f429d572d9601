// SPDX-License-Identifier: Apache-2.0
// Testbed: frames in and out, and time.
#include "datapath/native/testing/testbed.h"

#include <string.h>

#include "datapath/native/outside/announce.h"
#include "datapath/native/carry/fast.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed_priv.h"
#include "datapath/native/io/vnet.h"

static struct port *port_of(struct testbed *tb, const char *port)
{
	return must(weft_tables_port(tb->dp.tables, port));
}

// The head alone, the rest stays in the VM's memory: in one piece, or in two.
static void lend(struct rte_mbuf *m, const struct frame *vm, bool pieces)
{
	const uint8_t *rest = vm->b + LENT_HEAD;
	uint32_t len = (uint32_t)vm->len - LENT_HEAD;

	memcpy(rte_pktmbuf_append(m, LENT_HEAD), vm->b, LENT_HEAD);
	m->pkt_len = (uint32_t)vm->len;
	weft_lent_set(m, rest);
	if (pieces && len > 1) {
		struct lent_piece *list = weft_lent_list(m);

		list[0] = (struct lent_piece) {rest, 1};
		list[1] = (struct lent_piece) {rest + 1, len - 1};
		weft_lent_set(m, list);
	}
}

// In as many buffers as it takes.
static void copy_in(struct testbed *tb, struct rte_mbuf *m, const struct frame *f)
{
	for (size_t at = 0, part; at < f->len; at += part) {
		struct rte_mbuf *more = at == 0 ? m : must(rte_pktmbuf_alloc(tb->dp.node.pool));

		part = RTE_MIN(f->len - at, (size_t)rte_pktmbuf_tailroom(more));
		memcpy(rte_pktmbuf_append(more, (uint16_t)part), f->b + at, part);
		if (more != m)
			must_be(rte_pktmbuf_chain(m, more) == 0);
	}
}

static void carry(struct testbed *tb, const char *port, struct rte_mbuf *m)
{
	tb->w->lent = true;
	tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
	weft_fast_burst(tb->w, port_of(tb, port)->index, &m, 1);
	weft_send_flush(tb->w);
}

static void carried(struct testbed *tb)
{
	weft_resolver_turn(tb->w, weft_slow_packet);
	rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
}

void testbed_send(struct testbed *tb, const char *port, const struct frame *f)
{
	struct rte_mbuf *m = must(rte_pktmbuf_alloc(tb->dp.node.pool));
	struct frame vm = *f; // its memory, as long as it is lent

	if (tb->n_sent++ % 2 == 0 && f->len > LENT_HEAD)
		lend(m, &vm, tb->n_sent % 4 == 1);
	else
		copy_in(tb, m, &vm);
	carry(tb, port, m);
	memset(vm.b, 0xdd, sizeof(vm.b));
	carried(tb);
}

void testbed_send_offloaded(struct testbed *tb, const char *port, const struct frame *f,
			    uint16_t segment)
{
	struct rte_mbuf *m = must(rte_pktmbuf_alloc(tb->dp.node.pool));
	bool tcp = f->b[23] == 6;
	const struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = segment == 0 ? VIRTIO_NET_HDR_GSO_NONE
			    : tcp	 ? VIRTIO_NET_HDR_GSO_TCPV4
					 : VIRTIO_NET_HDR_GSO_UDP_L4,
		.gso_size = segment,
		.csum_start = 34,
		.csum_offset = tcp ? 16 : 6,
	};

	copy_in(tb, m, f);
	must_be(weft_vnet_in(&h, m) == 0);
	weft_vnet_put_pseudo_sum(m);
	carry(tb, port, m);
	carried(tb);
}

void testbed_pass_time(struct testbed *tb, uint32_t ms)
{
	for (uint32_t step; ms > 0; ms -= step) {
		step = RTE_MIN(ms, 100U);
		tb->w->now_ms += step;
		weft_resolver_tick(tb->dp.node.resolver, tb->w->now_ms);
		weft_announcer_tick(tb->dp.node.announcer, tb->w->now_ms);
		weft_resolver_turn(tb->w, weft_slow_packet);
		rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
	}
}

bool testbed_receive(struct testbed *tb, const char *port, struct frame *out)
{
	struct memory_io *m = (struct memory_io *)atomic_load(&port_of(tb, port)->io);
	const struct frame *f;

	if (m == NULL || m->head == m->tail)
		return false;
	f = &m->frames[m->head++ % MEMORY_QUEUE];
	out->len = f->len;
	memcpy(out->b, f->b, f->len);
	return true;
}

struct others {
	struct testbed *tb;
	const char *to;
	size_t got;
};

static void count_other(const struct port *p, struct others *o)
{
	struct frame f;

	while (strcmp(p->id, o->to) != 0 && testbed_receive(o->tb, p->id, &f))
		o->got++;
}

static void count_others(struct port *p, const struct plan_port *plan, void *arg)
{
	(void)plan;
	count_other(p, arg);
}

static void count_uplinks(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	(void)trunk;
	(void)vlan;
	count_other(p, arg);
}

void testbed_settle(struct testbed *tb)
{
	struct others all = {tb, "", 0};
	uint32_t now_ms = tb->w->now_ms;

	while (weft_announcer_waiting(tb->dp.node.announcer) > 0) {
		now_ms += 100;
		weft_announcer_tick(tb->dp.node.announcer, now_ms);
	}
	weft_announcer_tick(tb->dp.node.announcer, tb->w->now_ms);
	weft_tables_each_port(tb->dp.tables, count_others, &all);
	weft_tables_each_uplink(tb->dp.tables, count_uplinks, &all);
}

bool testbed_passes(struct testbed *tb, const char *from, const char *to, const struct frame *f)
{
	struct others o = {tb, to, 0};
	struct frame got;
	bool same;

	testbed_send(tb, from, f);
	same = testbed_receive(tb, to, &got) && got.len == f->len &&
	       memcmp(got.b, f->b, f->len) == 0 && !testbed_receive(tb, to, &got);
	weft_tables_each_port(tb->dp.tables, count_others, &o);
	weft_tables_each_uplink(tb->dp.tables, count_uplinks, &o);
	return same && o.got == 0;
}

enum drop testbed_drop(struct testbed *tb)
{
	uint32_t n = atomic_load(&tb->w->n_samples);
	enum drop why = n == 0 ? DROP_NONE
			       : (enum drop)tb->w->samples[(n - 1) & (DROP_SAMPLES - 1)].reason;

	atomic_store(&tb->w->n_samples, 0);
	return why;
}
