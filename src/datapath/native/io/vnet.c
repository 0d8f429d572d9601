// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vnet.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_sctp.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "datapath/native/io/lent.h"
#include "datapath/frames/numbers.h"

#define TCP_PIECES_MOST 2048
#define UDP_PIECES_MOST 128

// RFC 8200, section 4; RFC 4302.
#define IPV6_HOP_BY_HOP	 0
#define IPV6_ROUTING	 43
#define IPV6_AUTH	 51
#define IPV6_DESTINATION 60
#define IPV6_MAX_HEADERS 16
#define IPV4_FRAGMENT	 (RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)

// The largest that an mbuf's fields can hold; a tag may still be put into the first (tap_rx.c).
#define L2_MAX 120
#define L3_MAX 511

// Where the headers are, as far as they lie in the first segment and are of a kind that a flag
// exists for.
struct headers {
	uint16_t l2, l3, l4; // lengths; l4 0: not TCP and not UDP
	uint8_t family;	     // 4, 6; 0 = not IP
	uint8_t proto;	     // 0 = unknown, or only a fragment of it
};

static const void *at(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	return offset + len <= m->data_len ? rte_pktmbuf_mtod_offset(m, const void *, offset)
					   : NULL;
}

static void find_l4(const struct rte_mbuf *m, struct headers *h)
{
	const struct rte_tcp_hdr *tcp;
	uint32_t offset = h->l2 + h->l3;

	if (h->proto == IPPROTO_UDP && at(m, offset, sizeof(struct rte_udp_hdr)) != NULL)
		h->l4 = sizeof(struct rte_udp_hdr);
	if (h->proto != IPPROTO_TCP || (tcp = at(m, offset, sizeof(*tcp))) == NULL)
		return;
	uint16_t len = (uint16_t)((tcp->data_off >> 4) * 4);
	if (len >= sizeof(*tcp) && at(m, offset, len) != NULL)
		h->l4 = len;
}

static void find_ipv4(const struct rte_mbuf *m, struct headers *h)
{
	const struct rte_ipv4_hdr *ip = at(m, h->l2, sizeof(*ip));

	if (ip == NULL || rte_ipv4_hdr_len(ip) < sizeof(*ip))
		return;
	h->family = 4;
	h->l3 = rte_ipv4_hdr_len(ip);
	if ((ip->fragment_offset & rte_cpu_to_be_16(IPV4_FRAGMENT)) == 0)
		h->proto = ip->next_proto_id;
}

static void find_ipv6(const struct rte_mbuf *m, struct headers *h)
{
	const struct rte_ipv6_hdr *ip = at(m, h->l2, sizeof(*ip));

	if (ip == NULL)
		return;
	uint32_t len = sizeof(*ip);
	uint8_t next = ip->proto;
	for (int i = 0; i < IPV6_MAX_HEADERS; i++) {
		const uint8_t *ext;

		switch (next) {
		case IPV6_HOP_BY_HOP:
		case IPV6_ROUTING:
		case IPV6_DESTINATION:
		case IPV6_AUTH:
			ext = at(m, h->l2 + len, 8);
			if (ext == NULL)
				return;
			len += next == IPV6_AUTH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
			next = ext[0];
			continue;
		default:
			break;
		}
		break;
	}
	h->family = 6;
	if (len <= L3_MAX) {
		h->l3 = (uint16_t)len;
		h->proto = next; // a fragment header is not TCP
	}
}

static void find_headers(const struct rte_mbuf *m, struct headers *h)
{
	const struct rte_ether_hdr *eth = at(m, 0, sizeof(*eth));

	memset(h, 0, sizeof(*h));
	if (eth == NULL)
		return;
	uint16_t type = rte_be_to_cpu_16(eth->ether_type);
	h->l2 = sizeof(*eth);
	while (type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ) {
		const struct rte_vlan_hdr *tag = at(m, h->l2, sizeof(*tag));

		if (tag == NULL || h->l2 + sizeof(*tag) > L2_MAX)
			return;
		type = rte_be_to_cpu_16(tag->eth_proto);
		h->l2 += (uint16_t)sizeof(*tag);
	}
	if (type == RTE_ETHER_TYPE_IPV4)
		find_ipv4(m, h);
	else if (type == RTE_ETHER_TYPE_IPV6)
		find_ipv6(m, h);
	find_l4(m, h);
}

static void set_lengths(struct rte_mbuf *m, const struct headers *h)
{
	m->l2_len = h->l2;
	m->l3_len = h->l3;
	m->l4_len = h->l4;
	m->ol_flags |= h->family == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags |= h->proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}

// rte_hash_crc() wants aligned data.
static uint32_t crc32c_bytes(const uint8_t *p, uint32_t len, uint32_t crc)
{
	uint64_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		crc = rte_hash_crc_8byte(word, crc);
	}
	for (; len > 0; len--)
		crc = rte_hash_crc_1byte(*p++, crc);
	return crc;
}

static uint32_t crc32c(const struct rte_mbuf *m, uint32_t offset)
{
	uint32_t crc = UINT32_MAX;

	for (; m != NULL; m = m->next) {
		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		crc = crc32c_bytes(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset),
				   m->data_len - offset, crc);
		offset = 0;
	}
	return ~crc;
}

// RFC 9260, appendix A.
static void fill_sctp(struct rte_mbuf *m, uint32_t start)
{
	struct rte_sctp_hdr *sctp = rte_pktmbuf_mtod_offset(m, struct rte_sctp_hdr *, start);

	sctp->cksum = 0;
	sctp->cksum = rte_cpu_to_le_32(crc32c(m, start));
}

// The sum from an offset to the end (RFC 1071): rte_raw_cksum_mbuf() is wrong behind a segment of
// odd length.
static uint16_t sum_from(const struct rte_mbuf *m, uint32_t offset)
{
	uint32_t sum = 0, done = 0;

	for (; m != NULL; m = m->next) {
		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		uint32_t len = m->data_len - offset;
		uint16_t part =
			rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, offset), len);

		sum += done % 2 == 0 ? part : rte_bswap16(part);
		done += len;
		offset = 0;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// The rule of NEEDS_CSUM for whatever lies there: the sum from csum_start to the end, over what
// stands in the field.
static int fill_checksum(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	if (at(m, start + offset, sizeof(uint16_t)) == NULL)
		return -EINVAL;

	uint16_t sum = (uint16_t)~sum_from(m, start);
	if (sum == 0)
		sum = UINT16_MAX; // zero would say "none" in UDP, and both mean the same elsewhere
	memcpy(rte_pktmbuf_mtod_offset(m, char *, start + offset), &sum, sizeof(sum));
	return 0;
}

static int in_checksum(const struct virtio_net_hdr *v, struct rte_mbuf *m, const struct headers *h)
{
	uint32_t start = v->csum_start, offset = v->csum_offset;
	bool ours = h->l4 != 0 && start == (uint32_t)h->l2 + h->l3;

	if (start + offset + sizeof(uint16_t) > m->pkt_len)
		return -EINVAL;
	if (ours &&
	    offset == (h->proto == IPPROTO_TCP ? offsetof(struct rte_tcp_hdr, cksum)
					       : offsetof(struct rte_udp_hdr, dgram_cksum))) {
		set_lengths(m, h);
		return 0;
	}
	if (weft_is_lent(m))
		return -ENOTSUP;
	if (h->proto == IPPROTO_SCTP && start == (uint32_t)h->l2 + h->l3 &&
	    offset == offsetof(struct rte_sctp_hdr, cksum) &&
	    at(m, start, sizeof(struct rte_sctp_hdr)) != NULL) {
		fill_sctp(m, start);
		return 0;
	}
	return fill_checksum(m, start, offset);
}

void weft_vnet_put_pseudo_sum(struct rte_mbuf *m)
{
	const void *ip = at(m, m->l2_len, 0);
	bool v4 = (m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
	bool tcp = (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;
	uint32_t len = m->pkt_len - m->l2_len - m->l3_len;
	uint32_t sum =
		rte_cpu_to_be_16((uint16_t)len) + rte_cpu_to_be_16(tcp ? IPPROTO_TCP : IPPROTO_UDP);

	if (v4)
		sum += rte_raw_cksum((const char *)ip + offsetof(struct rte_ipv4_hdr, src_addr), 8);
	else
		sum += rte_raw_cksum((const char *)ip + offsetof(struct rte_ipv6_hdr, src_addr),
				     32);
	uint16_t field = tcp ? offsetof(struct rte_tcp_hdr, cksum)
			     : offsetof(struct rte_udp_hdr, dgram_cksum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	uint16_t folded = (uint16_t)sum;
	memcpy(rte_pktmbuf_mtod_offset(m, char *, m->l2_len + m->l3_len + field), &folded,
	       sizeof(folded));
}

// 64 KB in segments of one byte would be 65,000 packets, and no stack means that: Linux makes no
// more than some 1,800 TCP segments of one (64 KB by 48 bytes, its least MSS, less a timestamp),
// and 128 datagrams. There is no least size by itself: the kernel merges what somebody sends byte
// by byte.
static bool is_meant(uint8_t proto, uint32_t payload, uint16_t size)
{
	return (payload + size - 1) / size <=
	       (proto == IPPROTO_UDP ? UDP_PIECES_MOST : TCP_PIECES_MOST);
}

static int set_segments(struct rte_mbuf *m, uint8_t proto, uint64_t flag, uint16_t size)
{
	uint32_t payload = m->pkt_len - (m->l2_len + m->l3_len + m->l4_len);

	if (payload <= size)
		return 0;
	if (!is_meant(proto, payload, size))
		return -EINVAL;
	m->ol_flags |= flag;
	m->tso_segsz = size;
	return 0;
}

static int in_segments(const struct virtio_net_hdr *v, struct rte_mbuf *m, const struct headers *h)
{
	uint8_t family, proto;
	uint64_t flag = RTE_MBUF_F_TX_TCP_SEG;

	switch (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		family = 4, proto = IPPROTO_TCP;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		family = 6, proto = IPPROTO_TCP;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		family = h->family, proto = IPPROTO_UDP;
		flag = RTE_MBUF_F_TX_UDP_SEG;
		break;
	default:
		return -EINVAL; // UDP fragmentation among others: Linux does not offer it
	}
	if (h->l4 == 0 || h->family != family || h->proto != proto || v->gso_size == 0)
		return -EINVAL;
	// Segmentation implies that the checksum is to be filled in. A packet that the kernel
	// merged and whose checksum it knows to be right comes without saying so.
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == 0) {
		if (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			return -EINVAL; // of something else than what is to be segmented
		set_lengths(m, h);
		weft_vnet_put_pseudo_sum(m);
	}
	return set_segments(m, proto, flag, v->gso_size);
}

int weft_vnet_in(const struct virtio_net_hdr *v, struct rte_mbuf *m)
{
	struct headers h;
	int ret = 0;

	if (m->pkt_len < sizeof(struct rte_ether_hdr))
		return -EINVAL;
	if ((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 && v->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	find_headers(m, &h);
	if (h.l4 == 0 && weft_is_lent(m))
		return -ENOTSUP; // they may go on behind the head
	if (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		ret = in_checksum(v, m, &h);
	if (ret == 0 && v->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		ret = in_segments(v, m, &h);
	return ret;
}

void weft_vnet_fill(struct rte_mbuf *m)
{
	bool tcp = (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;

	fill_checksum(m, m->l2_len + m->l3_len,
		      tcp ? offsetof(struct rte_tcp_hdr, cksum)
			  : offsetof(struct rte_udp_hdr, dgram_cksum));
	m->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
}

static uint8_t out_gso_type(const struct rte_mbuf *m)
{
	if (m->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		return VIRTIO_NET_HDR_GSO_UDP_L4;

	const struct rte_tcp_hdr *tcp = at(m, (uint32_t)m->l2_len + m->l3_len, sizeof(*tcp));
	uint8_t type = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6
							: VIRTIO_NET_HDR_GSO_TCPV4;
	// Only the first segment may carry it (RFC 3168, section 6.1.2).
	if (tcp != NULL && tcp->tcp_flags & TCP_CWR)
		type |= VIRTIO_NET_HDR_GSO_ECN;
	return type;
}

void weft_vnet_out(const struct rte_mbuf *m, struct virtio_net_hdr *v)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;

	memset(v, 0, sizeof(*v));
	if (l4 == 0)
		return;
	v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->csum_start = (uint16_t)(m->l2_len + m->l3_len);
	v->csum_offset = l4 == RTE_MBUF_F_TX_UDP_CKSUM ? offsetof(struct rte_udp_hdr, dgram_cksum)
						       : offsetof(struct rte_tcp_hdr, cksum);
	if (m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) {
		v->hdr_len = (uint16_t)(m->l2_len + m->l3_len + m->l4_len);
		v->gso_size = m->tso_segsz;
		v->gso_type = out_gso_type(m);
	}
}
