// SPDX-License-Identifier: Apache-2.0
// A physical network's device: bursts of any frames under any tags, mixed with what VMs send, on
// an untagged network and two VLANs with the same addresses. What must hold after every step:
//   - what a VM gets was sent under its network's tag, unchanged, by the wire or by a VM there;
//     or it answers the VM itself
//   - nothing that came by the wire goes back to it unchanged, and nothing with a VM's source MAC
//     that came by it reaches anybody
//   - what goes to the wire has its sender's tag
// and after the last: every packet buffer is back in the pool.
#include "datapath/native/carry/fast.h"
#include "datapath/native/testing/testbed.h"

#include <string.h>

#include "datapath/native/outside/uplink.h"
#include "datapath/native/io/vnet.h"
#include "fuzz.h"

enum { NETWORKS = 3, VMS = 2 * NETWORKS, STEPS_MAX = 48, SENT_MAX = 1024 };

static const struct {
	const char *name;
	uint16_t vlan;
} networks[NETWORKS] = {{"flat", 0}, {"v1", 1}, {"v4094", 4094}};

// Two of each network: the first filtered, the second not.
static const char *const vms[VMS] = {"f1", "f2", "a1", "a2", "z1", "z2"};

struct sent {
	uint16_t vlan;
	bool by_wire;
	struct frame f;
};

struct run {
	struct testbed *tb;
	const uint8_t *in, *end;
	size_t n_sent;
	struct sent sent[SENT_MAX];
};

// The device: what it has received, and what it was given to send.
static struct wire {
	struct port_io io;
	struct run *run;
	uint16_t n;
	struct rte_mbuf *in[NATIVE_BURST];
} wire;

static uint8_t take(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

static bool is_same(const struct frame *a, const struct frame *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

static bool is_vm_mac(const uint8_t *mac, uint16_t vlan)
{
	for (int i = 0; i < VMS; i++) {
		struct mac_addr vm = testbed_mac(vms[i]);

		if (networks[i / 2].vlan == vlan && memcmp(mac, vm.b, 6) == 0)
			return true;
	}
	return false;
}

static void remember(struct run *r, uint16_t vlan, bool by_wire, const struct frame *f)
{
	struct sent *s = &r->sent[r->n_sent++ % SENT_MAX];

	s->vlan = vlan;
	s->by_wire = by_wire;
	s->f = *f;
}

static bool was_sent(const struct run *r, uint16_t vlan, bool by_wire, const struct frame *f)
{
	size_t n = r->n_sent < SENT_MAX ? r->n_sent : SENT_MAX;

	for (size_t i = 0; i < n; i++)
		if (r->sent[i].vlan == vlan && r->sent[i].by_wire == by_wire &&
		    is_same(&r->sent[i].f, f))
			return true;
	return false;
}

// ---- The device ----------------------------------------------------------------------------

static uint16_t wire_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t got = RTE_MIN(n, wire.n);

	(void)io;
	(void)share;
	memcpy(pkts, wire.in, got * sizeof(pkts[0]));
	wire.n -= got;
	memmove(wire.in, wire.in + got, wire.n * sizeof(pkts[0]));
	return got;
}

static uint16_t wire_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t vlan = pkts[i]->ol_flags & RTE_MBUF_F_TX_VLAN ? pkts[i]->vlan_tci : 0;
		struct frame f = {.len = pkts[i]->pkt_len};

		fuzz_assert(f.len <= sizeof(f.b) && pkts[i]->nb_segs == 1);
		memcpy(f.b, rte_pktmbuf_mtod(pkts[i], void *), f.len);
		// A VM's frame under its network's tag; or an answer in the VM's name.
		fuzz_assert(is_vm_mac(f.b + 6, vlan) || was_sent(wire.run, vlan, false, &f));
		fuzz_assert(!was_sent(wire.run, vlan, true, &f) ||
			    was_sent(wire.run, vlan, false, &f));
		rte_pktmbuf_free(pkts[i]);
	}
	return n;
}

static void wire_close(struct port_io *io)
{
	(void)io;
	rte_pktmbuf_free_bulk(wire.in, wire.n);
	wire.n = 0;
}

static const struct port_io_ops wire_ops = {
	.name = "wire", .rx = wire_rx, .tx = wire_tx, .close = wire_close};

// ---- Frames --------------------------------------------------------------------------------

static struct frame any_frame(struct run *r, const char *from)
{
	static const char *const to[] = {"f1", "f2", "a1", "a2", "z1", "z2", "broadcast", "nobody"};
	static const char *const ips[] = {"10.0.0.1", "10.0.0.2", "10.0.0.9",
					  "fd00::1",  "fd00::2",  "fd00::9"};
	uint8_t kind = take(r), a = take(r), b = take(r);
	struct l4 l4 = {.proto = 17, .sport = (uint16_t)(a % 4), .dport = 7, .payload = take(r)};
	struct frame f;

	if ((kind & 3) == 0)
		return testbed_arp(from, ips[a % 3], ips[b % 3]);
	f = testbed_frame(from, to[(kind >> 2) % 8], ips[a % 3 + ((kind & 32) != 0 ? 3 : 0)],
			  ips[b % 3 + ((kind & 32) != 0 ? 3 : 0)], l4);
	for (uint8_t n = kind & 0xc0 ? take(r) % 16 : 0; n > 0; n--) {
		size_t at = 12 + take(r);

		if (at < f.len)
			f.b[at] = take(r);
	}
	return f;
}

static void vm_sends(struct run *r)
{
	int vm = take(r) % VMS;
	struct frame f = any_frame(r, vms[vm]);

	remember(r, networks[vm / 2].vlan, false, &f);
	testbed_send(r->tb, vms[vm], &f);
}

// The frame that its VLAN's ports may see, or none.
static void note_arrival(struct run *r, uint16_t tci, bool aside, const struct frame *f)
{
	struct frame inner = *f;

	if (aside || f->len < 18 || memcmp(f->b + 12, "\x81\0", 2) != 0) {
		remember(r, aside ? tci & 0xfff : 0, true, &inner);
		return;
	}
	tci = (uint16_t)(f->b[14] << 8 | f->b[15]);
	inner.len -= 4;
	memcpy(inner.b + 12, f->b + 16, f->len - 16);
	remember(r, tci & 0xfff, true, &inner);
}

static void wire_receives(struct run *r)
{
	static const char *const from[] = {"outside", "outside", "stranger", "f1", "a2", "z1"};
	static const uint16_t tcis[] = {0, 1, 4094, 2, 4095, 0x6001, 0xe000};
	struct frame f = any_frame(r, from[take(r) % 6]);
	uint16_t tci = tcis[take(r) % 7];
	uint8_t how = take(r);
	struct virtio_net_hdr h = {0};
	struct rte_mbuf *m;

	if (wire.n == NATIVE_BURST)
		return;
	if ((how & 3) == 1) { // in the frame
		memmove(f.b + 16, f.b + 12, f.len - 12);
		f.b[12] = (how & 4) ? 0x88 : 0x81;
		f.b[13] = (how & 4) ? 0xa8 : 0;
		f.b[14] = (uint8_t)(tci >> 8);
		f.b[15] = (uint8_t)tci;
		f.len += 4;
	}
	if (how & 8)
		f.len = RTE_MAX(f.len * take(r) / 256, (size_t)14);
	m = rte_pktmbuf_alloc(r->tb->dp.node.pool);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f.len), f.b, f.len);
	if (how & 16) {
		h = (struct virtio_net_hdr) {.flags = take(r),
					     .gso_type = take(r),
					     .gso_size = take(r),
					     .csum_start = take(r),
					     .csum_offset = take(r)};
		if (weft_vnet_in(&h, m) < 0) {
			rte_pktmbuf_free(m);
			return;
		}
		memcpy(f.b, rte_pktmbuf_mtod(m, void *), f.len);
	}
	if ((how & 3) == 2) { // beside it
		m->vlan_tci = tci;
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	}
	note_arrival(r, tci, (how & 3) == 2, &f);
	wire.in[wire.n++] = m;
}

// ---- What must hold ------------------------------------------------------------------------

static void look(struct run *r)
{
	for (int i = 0; i < VMS; i++) {
		uint16_t vlan = networks[i / 2].vlan;
		struct frame f;

		while (testbed_receive(r->tb, vms[i], &f)) {
			struct mac_addr vm = testbed_mac(vms[i]);
			bool by_vm = was_sent(r, vlan, false, &f),
			     by_wire = was_sent(r, vlan, true, &f);

			fuzz_assert(by_vm || by_wire || memcmp(f.b, vm.b, 6) == 0);
			if (by_wire && !by_vm)
				fuzz_assert(!is_vm_mac(f.b + 6, vlan));
		}
	}
}

static void setup(struct run *r)
{
	struct testbed *tb = r->tb = testbed_new(1024);

	testbed_rule_set(tb, "open", true,
			 "ingress 4 any\ningress 6 any\negress 4 any\negress 6 any\n");
	for (int i = 0; i < NETWORKS; i++)
		testbed_provider(tb, networks[i].name, 1500, networks[i].vlan);
	for (int i = 0; i < VMS; i++)
		testbed_port(tb, vms[i], networks[i / 2].name,
			     i % 2 == 0 ? "10.0.0.1 fd00::1" : "10.0.0.2 fd00::2",
			     i % 2 == 0 ? "open" : NULL);
	testbed_commit(tb);
	wire = (struct wire) {.io = {&wire_ops, true}, .run = r};
	testbed_trunk(tb, &wire.io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run run; // large
	static unsigned pool_size;
	struct run *r = &run;

	r->n_sent = 0;
	r->in = data;
	r->end = data + len;
	setup(r);
	struct rte_mempool *pool = r->tb->dp.node.pool;
	if (pool_size == 0)
		pool_size = rte_mempool_avail_count(pool);
	for (unsigned i = 0; i < STEPS_MAX && r->in < r->end; i++) {
		uint8_t op = take(r);

		if ((op & 3) == 0) {
			vm_sends(r);
		} else {
			for (uint8_t n = op >> 4; n > 0; n--)
				wire_receives(r);
			weft_trunk_poll(r->tb->w, r->tb->dp.trunks[0], weft_fast_burst);
		}
		look(r);
	}
	testbed_free(r->tb);
	fuzz_assert(rte_mempool_avail_count(pool) == pool_size);
	return 0;
}
