// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/tap/tap_io.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "datapath/native/io/vnet.h"
#include "datapath/native/io/extend.h"

#define BURST_MAX  64
// Large packets of one burst: each takes 33 buffers.
#define COPIES_MAX 8

// One burst between its passes.
struct batch {
	uint16_t n, copies;
	struct tpacket2_hdr *slots[BURST_MAX];
	struct rte_mbuf *pkts[BURST_MAX];
	struct tap_cursor after; // the slots

	// Packets that come by the socket, in order.
	struct mmsghdr msgs[COPIES_MAX];
	struct iovec iov[COPIES_MAX][1 + TAP_SEGMENTS_MAX];
	struct virtio_net_hdr vnet[COPIES_MAX];
};

static bool is_ready(const uint8_t *slot)
{
	const struct tpacket2_hdr *h = (const struct tpacket2_hdr *)slot;

	return (__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

static bool is_copy(const struct tpacket2_hdr *h)
{
	return (h->tp_status & TP_STATUS_COPY) != 0;
}

static void advance(const struct tap_io *t, struct tap_cursor *c)
{
	c->slot += t->ring.frame_size;
	if (++c->frame < t->ring.frames_per_block)
		return;
	c->frame = 0;
	if (++c->block == t->ring.blocks)
		c->block = 0;
	c->slot = t->ring.memory + (size_t)c->block * t->ring.block_size;
}

// First pass: which slots are there.
static void collect(const struct tap_io *t, struct batch *b, uint16_t n)
{
	struct tap_cursor c = t->next;

	b->n = 0;
	b->copies = 0;
	while (b->n < n && is_ready(c.slot)) {
		struct tpacket2_hdr *h = (struct tpacket2_hdr *)c.slot;

		if (is_copy(h) && b->copies++ == COPIES_MAX) {
			b->copies--;
			break;
		}
		b->slots[b->n++] = h;
		advance(t, &c);
		rte_prefetch0(c.slot);
	}
	b->after = c;
}

static void prepare_copy(struct tap_io *t, struct batch *b, uint16_t k, struct rte_mbuf *m,
			 uint32_t len)
{
	struct iovec *iov = b->iov[k];
	size_t n = 0;

	iov[n++] = (struct iovec) {.iov_base = &b->vnet[k], .iov_len = TAP_VNET_LEN};
	// Without buffers the packet still has to leave the queue; the kernel then cuts it off.
	if (len <= TAP_PACKET_MAX && weft_extend(t->pool, m, len))
		for (; m != NULL; m = m->next)
			iov[n++] = (struct iovec) {.iov_base = rte_pktmbuf_mtod(m, void *),
						   .iov_len = m->data_len};
	b->msgs[k] = (struct mmsghdr) {.msg_hdr = {.msg_iov = iov, .msg_iovlen = n}};
}

// Fetch the large packets, all by one system call. msg_len stays 0 where none came.
static void fetch_copies(struct tap_io *t, struct batch *b)
{
	uint16_t done = 0, errors = 0;

	for (uint16_t i = 0; i < b->n; i++)
		if (is_copy(b->slots[i]))
			prepare_copy(t, b, done++, b->pkts[i], b->slots[i]->tp_len);
	for (done = 0; done < b->copies && errors <= COPIES_MAX;) {
		int got = recvmmsg(t->ring.fd, b->msgs + done, b->copies - done,
				   MSG_DONTWAIT | MSG_TRUNC, NULL);
		if (got > 0) {
			done += (uint16_t)got;
			continue;
		}
		errors++;
		if (errno == EAGAIN)
			break;
		// The interface's going down is reported in between and takes no packet with it.
		if (errno != EINTR && errno != ENETDOWN)
			done++;
	}
}

static bool take_copy(const struct batch *b, uint16_t k, const struct rte_mbuf *m)
{
	return m->pkt_len > 0 && b->msgs[k].msg_len == TAP_VNET_LEN + m->pkt_len;
}

static bool take_slot(struct tap_io *t, const struct tpacket2_hdr *h, struct rte_mbuf *m)
{
	const uint8_t *from = (const uint8_t *)h + h->tp_mac;

	// Cut off, but not queued: too many large ones wait already.
	if (h->tp_len > h->tp_snaplen || h->tp_len > TAP_PACKET_MAX ||
	    !weft_extend(t->pool, m, h->tp_len))
		return false;
	for (; m != NULL; m = m->next) {
		rte_memcpy(rte_pktmbuf_mtod(m, void *), from, m->data_len);
		from += m->data_len;
	}
	return true;
}

static uint16_t tag_type(const struct tpacket2_hdr *h)
{
	return h->tp_status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : RTE_ETHER_TYPE_VLAN;
}

static bool insert_tag(const struct tpacket2_hdr *h, struct rte_mbuf *m)
{
	uint16_t tpid = tag_type(h);
	rte_be16_t tag[2] = {rte_cpu_to_be_16(tpid), rte_cpu_to_be_16(h->tp_vlan_tci)};
	char *frame = rte_pktmbuf_prepend(m, sizeof(tag));

	if (frame == NULL)
		return false;
	memmove(frame, frame + sizeof(tag), 2 * RTE_ETHER_ADDR_LEN);
	memcpy(frame + 2 * RTE_ETHER_ADDR_LEN, tag, sizeof(tag));
	if (m->l2_len > 0)
		m->l2_len += sizeof(tag);
	return true;
}

// The kernel has taken the outer tag out of the frame. A provider's (802.1ad) is no VLAN of ours:
// it goes back.
static bool take_tag(const struct tap_io *t, const struct tpacket2_hdr *h, struct rte_mbuf *m)
{
	if (!t->tags_aside || tag_type(h) != RTE_ETHER_TYPE_VLAN)
		return insert_tag(h, m);
	m->vlan_tci = h->tp_vlan_tci;
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	return true;
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED); // only this worker writes
}

uint16_t weft_tap_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap_io *t = (struct tap_io *)io;
	struct batch b;
	uint16_t out = 0, copy = 0;

	(void)share; // the one and only
	if (likely(!is_ready(t->next.slot)))
		return 0;
	collect(t, &b, RTE_MIN(n, BURST_MAX));
	if (rte_pktmbuf_alloc_bulk(t->pool, b.pkts, b.n) < 0)
		return 0; // they wait in the ring
	if (b.copies > 0)
		fetch_copies(t, &b);

	for (uint16_t i = 0; i < b.n; i++) {
		struct tpacket2_hdr *h = b.slots[i];
		struct rte_mbuf *m = b.pkts[i];
		struct virtio_net_hdr vnet;
		bool ok;

		if (is_copy(h)) {
			ok = take_copy(&b, copy, m);
			vnet = b.vnet[copy++];
		} else {
			ok = take_slot(t, h, m);
			memcpy(&vnet, (uint8_t *)h + h->tp_mac - sizeof(vnet), sizeof(vnet));
		}
		if (!ok) {
			count(&t->rx_lost);
		} else if (weft_vnet_in(&vnet, m) < 0 ||
			   (h->tp_status & TP_STATUS_VLAN_VALID && !take_tag(t, h, m))) {
			count(&t->rx_malformed);
			ok = false;
		}
		if (ok)
			pkts[out++] = m;
		else
			rte_pktmbuf_free(m);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	}
	t->next = b.after;
	return out;
}
