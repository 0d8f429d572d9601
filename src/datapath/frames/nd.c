// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include <string.h>

#include "base/bytes.h"

enum {
	IP6 = 14, // of the answer, which has no extension headers
	ADVERT = IP6 + 40,
	ADVERT_LEN = 32, // 24 and one option with the link-layer address
	ANSWER_LEN = ADVERT + ADVERT_LEN,
	SOLICIT_LEN = 24,
	TYPE_SOLICIT = 135,
	TYPE_ADVERT = 136,
	FLAG_ROUTER = 0x80,
	FLAG_SOLICITED = 0x40,
	FLAG_OVERRIDE = 0x20,
	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,
	PROTO_ICMPV6 = 58,
};

static const uint8_t unspecified[16];

// Every option has a length; `source_mac` tells whether the sender's address is among them.
static bool options_ok(const uint8_t *o, size_t len, bool *source_mac)
{
	*source_mac = false;
	while (len > 0) {
		if (len < 8 || o[1] == 0 || o[1] * 8u > len)
			return false;
		if (o[0] == OPTION_SOURCE_MAC)
			*source_mac = true;
		len -= o[1] * 8u;
		o += o[1] * 8u;
	}
	return true;
}

// RFC 4861, 7.1.1.
static bool is_valid_solicitation(const uint8_t *buf, size_t len, const struct packet *p)
{
	static const uint8_t solicited_node[13] = {0xff, 0x02, [11] = 1, 0xff};
	bool source_mac;
	size_t end = p->l3 + (size_t)p->l3_len;
	if (p->kind != PACKET_IP || p->key.family != 6 || p->key.proto != PROTO_ICMPV6 ||
	    p->fragment != FRAGMENT_NONE || p->nd_target == NULL || end > len ||
	    end < p->l4 + (size_t)SOLICIT_LEN)
		return false;
	if (p->icmp_type != TYPE_SOLICIT || p->icmp_code != 0 || p->ttl != 255 ||
	    p->nd_target[0] == 0xff)
		return false;
	size_t options = p->l4 + (size_t)SOLICIT_LEN;
	if (!options_ok(buf + options, end - options, &source_mac))
		return false;
	return memcmp(p->key.src6, unspecified, 16) != 0 ||
	       (!source_mac && memcmp(p->key.dst6, solicited_node, sizeof(solicited_node)) == 0);
}

size_t weft_nd_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
		      const struct mac_addr *mac, enum nd_role role)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	uint8_t target[16];
	if (cap < ANSWER_LEN || !is_valid_solicitation(buf, len, p))
		return 0;
	// Both lie where the answer will be.
	memcpy(target, p->nd_target, 16);
	bool dad = memcmp(p->key.src6, unspecified, 16) == 0;

	memcpy(buf, dad ? all_nodes_mac : buf + 6, 6);
	memcpy(buf + 6, mac->b, 6);
	buf[12] = 0x86;
	buf[13] = 0xdd;

	uint8_t *ip = buf + IP6;
	memset(ip, 0, 40 + ADVERT_LEN);
	ip[0] = 0x60;
	ip[5] = ADVERT_LEN;
	ip[6] = PROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, target, 16);
	memcpy(ip + 24, dad ? all_nodes : p->key.src6, 16);

	uint8_t *na = buf + ADVERT;
	na[0] = TYPE_ADVERT;
	na[4] = dad ? FLAG_OVERRIDE : FLAG_SOLICITED | FLAG_OVERRIDE;
	if (role == ND_ROUTER)
		na[4] |= FLAG_ROUTER;
	memcpy(na + 8, target, 16);
	na[24] = OPTION_TARGET_MAC;
	na[25] = 1;
	memcpy(na + 26, mac->b, 6);
	uint16_t sum = weft_csum(na, ADVERT_LEN,
				 weft_csum_pseudo6(ip + 8, ip + 24, PROTO_ICMPV6, ADVERT_LEN));
	memcpy(na + 2, &sum, 2);
	return ANSWER_LEN;
}
