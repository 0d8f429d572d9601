// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/tap/tap_io.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>

#include "datapath/native/io/segment.h"
#include "datapath/native/io/vnet.h"

#define MESSAGES_MAX 64
#define IOV_MAX_SUM  512 // on the stack; a 64 KB packet takes 34
#define PIECES_MORE  3 // than segments: the virtio-net header, and a tag in the midst of the first

struct batch {
	struct mmsghdr msgs[MESSAGES_MAX];
	struct virtio_net_hdr vnet[MESSAGES_MAX];
	rte_be16_t tag[MESSAGES_MAX][2];
	struct iovec iov[IOV_MAX_SUM];
};

#define MACS_LEN (2 * RTE_ETHER_ADDR_LEN)

// A tag goes between the MACs and the rest, without touching the packet: others may be sending
// the same one. *m is what is left of the first segment; the number of pieces used.
static unsigned int put_tag(struct batch *b, unsigned int i, const struct rte_mbuf *m,
			    struct iovec *iov)
{
	struct virtio_net_hdr *v = &b->vnet[i];

	b->tag[i][0] = RTE_BE16(RTE_ETHER_TYPE_VLAN);
	b->tag[i][1] = rte_cpu_to_be_16(m->vlan_tci);
	iov[0] = (struct iovec) {.iov_base = rte_pktmbuf_mtod(m, void *), .iov_len = MACS_LEN};
	iov[1] = (struct iovec) {.iov_base = b->tag[i], .iov_len = sizeof(b->tag[i])};
	iov[2] = (struct iovec) {.iov_base = rte_pktmbuf_mtod_offset(m, void *, MACS_LEN),
				 .iov_len = m->data_len - MACS_LEN};
	if (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		v->csum_start += sizeof(b->tag[i]);
	if (v->hdr_len > 0)
		v->hdr_len += sizeof(b->tag[i]);
	return 3;
}

// How many of the packets fit: at least one. *segments: what the kernel may still have to make of
// them, before it comes back.
static unsigned int prepare(struct batch *b, struct rte_mbuf **pkts, uint16_t n, uint32_t *segments)
{
	unsigned int i, used = 0;

	for (i = 0; i < n && i < MESSAGES_MAX; i++) {
		const struct rte_mbuf *m = pkts[i];
		uint32_t more = weft_segments_of(m);
		struct iovec *iov = b->iov + used;

		if (used + PIECES_MORE + m->nb_segs > IOV_MAX_SUM || more > *segments)
			break;
		*segments -= more;
		weft_vnet_out(m, &b->vnet[i]);
		b->iov[used++] = (struct iovec) {.iov_base = &b->vnet[i], .iov_len = TAP_VNET_LEN};
		if (unlikely(m->ol_flags & RTE_MBUF_F_TX_VLAN)) {
			used += put_tag(b, i, m, b->iov + used);
			m = m->next;
		}
		for (; m != NULL; m = m->next)
			b->iov[used++] = (struct iovec) {.iov_base = rte_pktmbuf_mtod(m, void *),
							 .iov_len = m->data_len};
		b->msgs[i] = (struct mmsghdr) {
			.msg_hdr = {.msg_iov = iov, .msg_iovlen = (size_t)(b->iov + used - iov)}};
	}
	return i;
}

static void refuse(struct tap_io *t, struct rte_mbuf **pkts, uint16_t n)
{
	__atomic_fetch_add(&t->tx_refused, n, __ATOMIC_RELAXED);
	rte_pktmbuf_free_bulk(pkts, n);
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

static bool is_gone(int error)
{
	return error == ENXIO || error == ENODEV || error == ENETDOWN || error == EBADF;
}

uint16_t weft_tap_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap_io *t = (struct tap_io *)io;
	uint32_t segments = SEGMENTS_MOST;
	struct batch b;
	uint16_t done = 0;

	while (done < n) {
		unsigned int ready;

		if (weft_segments_of(pkts[done]) > segments)
			break;
		ready = prepare(&b, pkts + done, n - done, &segments);
		int sent = ready > 0 ? sendmmsg(t->ring.fd, b.msgs, ready, MSG_DONTWAIT) : -1;

		if (sent > 0) {
			rte_pktmbuf_free_bulk(pkts + done, (unsigned int)sent);
			done += (uint16_t)sent;
		} else if (ready == 0) {
			refuse(t, pkts + done, 1); // more segments than any packet has
			done++;
		} else if (is_full(errno)) {
			break;
		} else if (is_gone(errno)) {
			refuse(t, pkts + done, n - done);
			return n;
		} else if (errno != EINTR) {
			refuse(t, pkts + done,
			       1); // this one: too long, or its header is impossible
			done++;
		}
	}
	return done;
}
