// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/segment.h"

#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "datapath/native/io/vnet.h"
#include "datapath/frames/numbers.h"

void weft_segment_begin(struct segmenter *s, const struct rte_mbuf *m)
{
	uint32_t headers = (uint32_t)m->l2_len + m->l3_len + m->l4_len;

	*s = (struct segmenter) {.m = m, .headers = headers, .offset = headers};
}

// In one buffer where they fit, as they do up to an MTU of 2,000.
struct rte_mbuf *weft_copy_part(const struct rte_mbuf *from, uint32_t headers, uint32_t offset,
				uint32_t len, struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *payload;

	if (m == NULL)
		return NULL;
	if (headers + len <= rte_pktmbuf_tailroom(m)) {
		char *to = rte_pktmbuf_append(m, (uint16_t)(headers + len));
		const void *at = rte_pktmbuf_read(from, offset, len, to + headers);

		if (at != to + headers)
			memcpy(to + headers, at, len);
	} else {
		rte_pktmbuf_append(m, (uint16_t)headers);
		payload = rte_pktmbuf_copy(from, pool, offset, len);
		if (payload == NULL || rte_pktmbuf_chain(m, payload) < 0) {
			rte_pktmbuf_free(payload);
			rte_pktmbuf_free(m);
			return NULL;
		}
	}
	memcpy(rte_pktmbuf_mtod(m, void *), rte_pktmbuf_mtod(from, const void *), headers);
	return m;
}

static void set_ip(const struct segmenter *s, struct rte_mbuf *m)
{
	uint32_t len = m->pkt_len - m->l2_len;

	if (m->ol_flags & RTE_MBUF_F_TX_IPV4) {
		struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, m->l2_len);

		ip->total_length = rte_cpu_to_be_16((uint16_t)len);
		ip->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + s->index));
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, m->l3_len);
	} else {
		struct rte_ipv6_hdr *ip =
			rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, m->l2_len);

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip)));
	}
}

static void set_transport(const struct segmenter *s, struct rte_mbuf *m, bool last)
{
	uint32_t offset = (uint32_t)m->l2_len + m->l3_len;

	if (s->m->ol_flags & RTE_MBUF_F_TX_UDP_SEG) {
		struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, offset);

		udp->dgram_len = rte_cpu_to_be_16((uint16_t)(m->pkt_len - offset));
	} else {
		struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, offset);

		tcp->sent_seq =
			rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + s->offset - s->headers);
		if (s->index > 0)
			tcp->tcp_flags &= (uint8_t)~TCP_CWR;
		if (!last)
			tcp->tcp_flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	}
}

struct rte_mbuf *weft_segment_next(struct segmenter *s, struct rte_mempool *pool)
{
	uint32_t len = RTE_MIN((uint32_t)s->m->tso_segsz, s->m->pkt_len - s->offset);
	struct rte_mbuf *m = weft_copy_part(s->m, s->headers, s->offset, len, pool);

	if (m == NULL)
		return NULL;
	m->port = s->m->port;
	m->ol_flags |= s->m->ol_flags &
		       (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	m->l2_len = s->m->l2_len;
	m->l3_len = s->m->l3_len;
	m->l4_len = s->m->l4_len;
	set_ip(s, m);
	set_transport(s, m, s->offset + len == s->m->pkt_len);
	weft_vnet_put_pseudo_sum(m);
	s->offset += len;
	s->index++;
	return m;
}
