// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/outside/uplink.h"

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/packet/counter.h"

#define MACS_LEN (2 * RTE_ETHER_ADDR_LEN)

// ---- In ------------------------------------------------------------------------------------

static uint16_t strip(struct rte_mbuf *m)
{
	char *frame = rte_pktmbuf_mtod(m, char *);
	rte_be16_t tci;

	memcpy(&tci, frame + MACS_LEN + sizeof(tci), sizeof(tci));
	memmove(frame + TRUNK_TAG_BYTES, frame, MACS_LEN);
	rte_pktmbuf_adj(m, TRUNK_TAG_BYTES);
	if (m->l2_len >= RTE_ETHER_HDR_LEN + TRUNK_TAG_BYTES)
		m->l2_len -= TRUNK_TAG_BYTES;
	return rte_be_to_cpu_16(tci) & (TRUNK_VLANS - 1);
}

// The frame's VLAN, without its tag from here on. A priority tag (VLAN 0) is none.
static inline uint16_t take_tag(struct rte_mbuf *m)
{
	rte_be16_t type;

	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
		return m->vlan_tci & (TRUNK_VLANS - 1);
	}
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + TRUNK_TAG_BYTES))
		return TRUNK_UNTAGGED;
	memcpy(&type, rte_pktmbuf_mtod_offset(m, const char *, MACS_LEN), sizeof(type));
	if (likely(type != RTE_BE16(RTE_ETHER_TYPE_VLAN)))
		return type == RTE_BE16(RTE_ETHER_TYPE_QINQ) ? TRUNK_NO_VLAN : TRUNK_UNTAGGED;
	return strip(m);
}

// A switch may send us every VLAN that it has, so these would crowd everything else out of the
// samples.
static void refuse(struct worker *w, struct trunk *t, uint16_t vlan, struct rte_mbuf **pkts,
		   uint16_t n)
{
	COUNT(t->unknown[w->id], n);
	atomic_store_explicit(&t->last_unknown, vlan, memory_order_relaxed);
	for (uint16_t i = 0; i < n; i++)
		weft_drop(w, pkts[i], NATIVE_NO_PORT,
			  vlan == TRUNK_UNTAGGED ? DROP_UNTAGGED : DROP_VLAN_UNKNOWN);
}

static inline void deliver(struct worker *w, struct trunk *t, uint16_t vlan, struct rte_mbuf **pkts,
			   uint16_t n, burst_sink carry)
{
	uint16_t port = atomic_load_explicit(&t->port[vlan], memory_order_acquire);

	if (likely(port != NATIVE_NO_PORT))
		carry(w, port, pkts, n);
	else
		refuse(w, t, vlan, pkts, n);
}

// A burst of several VLANs: one of each, its packets in their order.
static void deal(struct worker *w, struct trunk *t, struct rte_mbuf **pkts, uint16_t *vlans,
		 uint16_t n, burst_sink carry)
{
	while (n > 0) {
		struct rte_mbuf *same[NATIVE_BURST];
		uint16_t vlan = vlans[0], n_same = 0, left = 0;

		for (uint16_t i = 0; i < n; i++) {
			if (vlans[i] == vlan) {
				same[n_same++] = pkts[i];
			} else {
				pkts[left] = pkts[i];
				vlans[left++] = vlans[i];
			}
		}
		deliver(w, t, vlan, same, n_same, carry);
		n = left;
	}
}

uint32_t weft_trunk_poll(struct worker *w, struct trunk *t, burst_sink carry)
{
	struct port_io *io = atomic_load_explicit(&t->io, memory_order_acquire);
	struct rte_mbuf *pkts[NATIVE_BURST];
	uint16_t n = io == NULL ? 0
				: io->ops->rx(io, t->every_worker ? w->id : 0, pkts, NATIVE_BURST);
	uint16_t vlans[NATIVE_BURST], differ = 0;

	if (n == 0)
		return 0;
	for (uint16_t i = 0; i < n; i++) {
		vlans[i] = take_tag(pkts[i]);
		differ |= vlans[i] ^ vlans[0];
	}
	w->epoch = weft_vstore_epoch(w->node->vs);
	if (likely(differ == 0))
		deliver(w, t, vlans[0], pkts, n, carry);
	else
		deal(w, t, pkts, vlans, n, carry);
	weft_send_flush(w);
	return n;
}

// ---- Out -----------------------------------------------------------------------------------

struct uplink_io {
	struct port_io io;
	struct port_io *trunk;
	uint16_t vlan;
};

static uint16_t uplink_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	(void)share;
	(void)pkts;
	(void)n;
	return 0;
}

static uint16_t send_untagged(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct port_io *trunk = ((struct uplink_io *)io)->trunk;

	return trunk->ops->tx(trunk, pkts, n);
}

static uint16_t send_tagged(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	const struct uplink_io *u = (struct uplink_io *)io;

	for (uint16_t i = 0; i < n; i++) {
		pkts[i]->vlan_tci = u->vlan;
		pkts[i]->ol_flags |= RTE_MBUF_F_TX_VLAN;
	}
	return u->trunk->ops->tx(u->trunk, pkts, n);
}

// What the device lost cannot be told apart by networks; weft show uplinks has it.
static void uplink_stats(const struct port_io *io, struct port_io_stats *out)
{
	(void)io;
	*out = (struct port_io_stats) {0};
}

static void uplink_close(struct port_io *io)
{
	free(io);
}

static const struct port_io_ops untagged_ops = {
	.name = "uplink",
	.rx = uplink_rx,
	.tx = send_untagged,
	.stats = uplink_stats,
	.close = uplink_close,
};

static const struct port_io_ops tagged_ops = {
	.name = "uplink",
	.rx = uplink_rx,
	.tx = send_tagged,
	.stats = uplink_stats,
	.close = uplink_close,
};

struct port_io *weft_uplink_io_new(struct port_io *trunk, uint16_t vlan)
{
	struct uplink_io *u = calloc(1, sizeof(*u));

	if (u == NULL)
		abort();
	u->io.ops = vlan == TRUNK_UNTAGGED ? &untagged_ops : &tagged_ops;
	atomic_init(&u->io.up, true);
	u->trunk = trunk;
	u->vlan = vlan;
	return &u->io;
}
