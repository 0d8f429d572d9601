// SPDX-License-Identifier: Apache-2.0
// Vring, to the driver: a packet goes into as many of its buffers as it takes, or into one.
#include "datapath/native/io/vhost/vring_priv.h"

#include <rte_branch_prediction.h>
#include <rte_memcpy.h>

#include "datapath/native/io/lent.h"
#include "datapath/native/io/vnet.h"

// Buffers for one packet.
#define CHAINS_MAX 128
// Chains without a place that are given back for one packet; the driver may put more there all
// the time.
#define BAD_MAX	   64

struct writer {
	const struct vring_state *r;
	const struct vring_pieces *p;
	uint16_t at;
	uint32_t offset;
};

static void write_bytes(struct writer *to, const void *from, uint32_t len)
{
	const uint8_t *in = from;

	while (len > 0) {
		const struct vring_piece *piece = &to->p->at[to->at];
		uint32_t part = RTE_MIN(len, piece->len - to->offset);

		rte_memcpy(piece->host + to->offset, in, part);
		vring_log(to->r, piece->guest + to->offset, part);
		in += part;
		len -= part;
		to->offset += part;
		if (to->offset == piece->len) {
			to->at++;
			to->offset = 0;
		}
	}
}

void weft_vring_header(const struct vring_state *r, const struct rte_mbuf *m,
		       struct virtio_net_hdr *h)
{
	weft_vnet_out(m, h);
	if (!r->ecn)
		h->gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
}

static void put(const struct vring_state *r, const struct vring_pieces *p, const struct rte_mbuf *m,
		uint16_t buffers)
{
	struct writer to = {.r = r, .p = p};
	struct virtio_net_hdr_mrg_rxbuf h;

	weft_vring_header(r, m, &h.hdr);
	h.num_buffers = buffers; // of which a driver without mergeable buffers expects 1
	write_bytes(&to, &h, r->header_len);
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next)
		write_bytes(&to, rte_pktmbuf_mtod(s, const void *), s->data_len);
	if (weft_is_lent(m)) {
		struct lent_piece one;
		const struct lent_piece *piece = weft_lent_pieces(m, &one);

		for (uint32_t left = m->pkt_len - m->data_len; left > 0; left -= piece++->len)
			write_bytes(&to, piece->at, piece->len);
	}
}

enum found { FOUND, FOUND_LATER, FOUND_NEVER };

// Enough chains for len bytes. What has bad buffers is given back empty, if nothing was found
// before it.
static enum found find(struct vring_state *r, uint64_t len, struct vring_chain *chains,
		       uint16_t *n_chains, struct vring_pieces *p)
{
	uint16_t n = 0, ahead = 0, bad = 0;
	uint64_t left = len;

	p->n = 0;
	p->len = 0;
	while (left > 0) {
		uint64_t before = p->len;

		if (n == CHAINS_MAX || (n == 1 && !r->mergeable))
			return FOUND_NEVER;
		if (r->packed ? !weft_vring_has(r, ahead)
			      : weft_vring_available(r, (uint16_t)(ahead + 1)) <= ahead)
			return FOUND_LATER;
		if (!weft_vring_chain(r, ahead, &chains[n], p))
			return FOUND_LATER;
		if (unlikely(!chains[n].ok || p->len == before)) {
			if (n > 0)
				return FOUND_NEVER;
			if (++bad > BAD_MAX)
				return FOUND_LATER;
			vring_count(&r->counters->malformed);
			weft_vring_give(r, &chains[0], 1);
			p->n = 0;
			p->len = 0;
			continue;
		}
		uint64_t got = RTE_MIN(p->len - before, left);
		chains[n].len = (uint32_t)got;
		ahead += chains[n].slots;
		left -= got;
		n++;
	}
	*n_chains = n;
	return FOUND;
}

// Whatever it is. How many buffers it took; 0: none, and it is done with. False: there is no
// place now.
static bool push_one(struct vring_state *r, const struct rte_mbuf *m, uint16_t *n_chains)
{
	struct vring_chain chains[CHAINS_MAX];
	struct vring_pieces p;

	*n_chains = 0;
	switch (find(r, (uint64_t)r->header_len + m->pkt_len, chains, n_chains, &p)) {
	case FOUND:
		put(r, &p, m, *n_chains);
		weft_vring_give(r, chains, *n_chains);
		return true;
	case FOUND_NEVER:
		vring_count(&r->counters->refused);
		return true;
	case FOUND_LATER:
		break;
	}
	return false;
}

uint16_t weft_vring_push(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n)
{
	uint16_t begin = weft_vring_base(r), i = 0, n_chains;
	bool plain = !r->logged;

	if (!r->on)
		return 0;
	for (; i < n; i++) {
		if (plain)
			i += weft_vring_push_plain(r, pkts + i, n - i);
		if (i == n || !push_one(r, pkts[i], &n_chains))
			break;
		// Behind one that was too long for a buffer there may be others that are not;
		// other buffers are all alike.
		plain = plain && n_chains > 1;
	}
	weft_vring_publish(r, begin);
	return i;
}
