// SPDX-License-Identifier: Apache-2.0
#include "packets.h"

#include <rte_mempool.h>
#include <stdio.h>

#include "base/addr.h"

uint8_t packet_pattern[FRAME_MAX];

static void fill(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	struct rte_mbuf *m = object;

	(void)pool;
	(void)arg;
	(void)index;
	memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, packet_pattern, FRAME_MAX);
}

void packets_init(struct rte_mempool *pool)
{
	for (size_t i = 0; i < FRAME_MAX; i++)
		packet_pattern[i] = (uint8_t)(i * 7 + 3);
	rte_mempool_obj_iter(pool, fill, NULL);
}

static bool read_eth(const char *hex, uint8_t out[12])
{
	if (hex == NULL || strlen(hex) != 24)
		return false;
	for (size_t i = 0; i < 12; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
			return false;
	return true;
}

static bool read_ip(const json_t *o, const char *name, rte_be32_t *out)
{
	struct ip_addr ip;
	const char *text = json_string_value(json_object_get(o, name));

	if (text == NULL || weft_ip_parse(text, &ip) != 0 || ip.family != 4)
		return false;
	memcpy(out, ip.b, 4);
	return true;
}

bool way_read(const json_t *o, int number, uint16_t len, struct way *w)
{
	const char *got = json_string_value(json_object_get(o, "got_eth"));
	struct frame *f = &w->sent;
	rte_be32_t src, dst;

	memset(w, 0, sizeof(*w));
	w->len = len;
	w->check_eth = got != NULL && got[0] != '\0';
	if (!read_eth(json_string_value(json_object_get(o, "eth")), f->eth) ||
	    !read_ip(o, "src", &src) || !read_ip(o, "dst", &dst) ||
	    !read_ip(o, "got_src", &w->got_src) || !read_ip(o, "got_dst", &w->got_dst) ||
	    (w->check_eth && !read_eth(got, w->got_eth)))
		return false;
	f->src = src;
	f->dst = dst;
	f->type = RTE_BE16(0x0800);
	f->version_ihl = 0x45;
	f->total_len = rte_cpu_to_be_16((uint16_t)(len - 14));
	f->ttl = 64;
	f->proto = 17;
	f->udp_len = rte_cpu_to_be_16((uint16_t)(len - 34));
	f->magic = MAGIC;
	f->way = (uint8_t)number;
	f->csum = (uint16_t)~ip_sum(f);
	w->got_ttl = (uint8_t)(64 - json_integer_value(json_object_get(o, "hops")));
	return true;
}
