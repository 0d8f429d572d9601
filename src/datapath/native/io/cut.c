// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/cut.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>

#include "datapath/native/io/segment.h"

#define OPTION_END    0
#define OPTION_NOP    1
#define OPTION_COPIED 0x80

void weft_cut_begin(struct cutter *c, const struct rte_mbuf *m, uint32_t mtu)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	uint16_t bits = rte_be_to_cpu_16(ip->fragment_offset);

	*c = (struct cutter) {
		.m = m,
		.header = rte_ipv4_hdr_len(ip),
		.at = RTE_ETHER_HDR_LEN + rte_ipv4_hdr_len(ip),
		.end = RTE_ETHER_HDR_LEN + rte_be_to_cpu_16(ip->total_length),
		.room = mtu,
		.offset = bits & RTE_IPV4_HDR_OFFSET_MASK,
		.more = (bits & RTE_IPV4_HDR_MF_FLAG) != 0,
	};
	memcpy(c->ip, ip, c->header);
}

// Behind the first fragment: the options that are to be copied, and as many bytes of "end" as make
// the header even.
static void keep_copied_options(struct cutter *c)
{
	uint32_t to = sizeof(struct rte_ipv4_hdr), at = to;

	while (at < c->header && c->ip[at] != OPTION_END) {
		uint32_t len = c->ip[at] == OPTION_NOP || at + 1 == c->header ? 1 : c->ip[at + 1];

		if (len == 0 || len > c->header - at)
			break;
		if (c->ip[at] & OPTION_COPIED) {
			memmove(c->ip + to, c->ip + at, len);
			to += len;
		}
		at += len;
	}
	while (to % 4 != 0)
		c->ip[to++] = OPTION_END;
	c->header = to;
	c->ip[0] = (uint8_t)(RTE_IPV4_VHL_DEF & 0xf0) | (uint8_t)(to / 4);
}

struct rte_mbuf *weft_cut_next(struct cutter *c, struct rte_mempool *pool)
{
	uint32_t len = c->end - c->at, room = (c->room - c->header) & ~7u;
	struct rte_ipv4_hdr *ip;
	bool last = len <= c->room - c->header;
	struct rte_mbuf *m;

	if (!last)
		len = room;
	m = weft_copy_part(c->m, RTE_ETHER_HDR_LEN + c->header, c->at, len, pool);
	if (m == NULL)
		return NULL;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	memcpy(ip, c->ip, c->header);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(c->header + len));
	ip->fragment_offset =
		rte_cpu_to_be_16(c->offset | (last && !c->more ? 0 : RTE_IPV4_HDR_MF_FLAG));
	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, c->header);
	if (c->at == RTE_ETHER_HDR_LEN + c->header)
		keep_copied_options(c);
	c->at += len;
	c->offset += (uint16_t)(len / 8);
	return m;
}
