// SPDX-License-Identifier: Apache-2.0
// The DHCPv6 service: whether a question gets an answer, and which. What a message looks like is
// in dhcp6_message.c, what an answer says in dhcp6_answer.c.
//
// There are no leases to keep: a port's addresses are what the plan says, so the same question
// has the same answer on every node and after every restart.
#include "datapath/frames/services.h"

#include <string.h>

#include "datapath/frames/dhcp6_answer.h"
#include "base/bytes.h"

enum {
	IP6 = 14, // offsets in the answer's frame
	UDP = IP6 + 40,
	MESSAGE = UDP + 8,
	PROTO_UDP = 17,
	PORT_CLIENT = 546,
	PORT_SERVER = 547,
};

const struct ip_addr weft_dhcp6_servers = {6, {0xff, 0x02, [13] = 1, [15] = 2}};

static void make_duid(uint8_t *duid)
{
	static const uint8_t link_layer_ethernet[4] = {0, 3, 0, 1}; // RFC 8415, 11.4

	memcpy(duid, link_layer_ethernet, 4);
	memcpy(duid + 4, weft_service_mac.b, 6);
}

// Are all the addresses that the client wants confirmed the port's? 1, 0; -1: it names none.
static int confirms(const struct dhcp6_exchange *x)
{
	int good = -1;

	for (size_t i = 0; i < x->q.n_ias; i++) {
		const uint8_t *hint;
		size_t at = 0;

		while ((hint = weft_dhcp6_next_address(&x->q.ias[i], &at)) != NULL)
			good = good != 0 && weft_dhcp6_is_leased(x, hint);
	}
	return good;
}

// Does the message have the identifiers that its type must have, and none that it must not (RFC
// 8415, 16)?
static bool is_proper(const struct dhcp6_question *q)
{
	switch (q->type) {
	case DHCP6_SOLICIT:
	case DHCP6_CONFIRM:
	case DHCP6_REBIND:
		return q->client_id != NULL && q->server_id == NULL;
	case DHCP6_INFORMATION_REQUEST:
		return q->n_ias == 0;
	default:
		return q->client_id != NULL && q->server_id != NULL;
	}
}

static enum dhcp_result decide(struct dhcp6_exchange *x)
{
	const struct dhcp6_question *q = &x->q;
	int confirmed;

	if (!is_proper(q))
		return DHCP_MALFORMED;
	if (q->server_id != NULL && (q->server_id_len != DHCP6_DUID_LEN ||
				     memcmp(q->server_id, x->duid, DHCP6_DUID_LEN) != 0))
		return DHCP_NO_ANSWER;
	x->type = DHCP6_REPLY;
	x->status = -1;
	switch (q->type) {
	case DHCP6_SOLICIT:
		if (x->lease->n_ips == 0)
			return DHCP_NO_ANSWER;
		x->has_rapid = q->rapid_commit;
		if (!x->has_rapid)
			x->type = DHCP6_ADVERTISE;
		break;
	case DHCP6_CONFIRM:
		confirmed = confirms(x);
		if (confirmed < 0)
			return DHCP_NO_ANSWER;
		x->status = confirmed ? STATUS6_SUCCESS : STATUS6_NOT_ON_LINK;
		break;
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
		x->status = STATUS6_SUCCESS;
		break;
	default:
		break;
	}
	return DHCP_ANSWERED;
}

static bool is_clients_type(uint8_t type)
{
	switch (type) {
	case DHCP6_SOLICIT:
	case DHCP6_REQUEST:
	case DHCP6_CONFIRM:
	case DHCP6_RENEW:
	case DHCP6_REBIND:
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
	case DHCP6_INFORMATION_REQUEST:
		return true;
	default:
		return false;
	}
}

static bool is_for_us(const uint8_t *buf, const struct packet *p, const struct dhcp6_lease *lease)
{
	static const uint8_t unspecified[16];

	return p->kind == PACKET_IP && p->key.family == 6 && p->key.proto == PROTO_UDP &&
	       p->fragment == FRAGMENT_NONE && p->key.dport == htobe16(PORT_SERVER) &&
	       memcmp(p->key.dst6, weft_dhcp6_servers.b, 16) == 0 && p->key.src6[0] != 0xff &&
	       memcmp(p->key.src6, unspecified, 16) != 0 &&
	       memcmp(buf + 6, lease->client.b, 6) == 0;
}

static size_t write_headers(uint8_t *buf, size_t message_len, const struct packet *p,
			    const struct dhcp6_lease *lease)
{
	struct ip_addr from = weft_ip_link_local_of(&weft_service_mac);
	uint8_t *ip = buf + IP6, *udp = buf + UDP;
	size_t len = 8 + message_len;
	uint16_t sum;

	memcpy(buf, lease->client.b, 6);
	memcpy(buf + 6, weft_service_mac.b, 6);
	weft_put16(buf + 12, 0x86dd);
	memset(ip, 0, 48);
	ip[0] = 0x60;
	weft_put16(ip + 4, len);
	ip[6] = PROTO_UDP;
	ip[7] = 64;
	memcpy(ip + 8, from.b, 16);
	memcpy(ip + 24, p->key.src6, 16);

	weft_put16(udp, PORT_SERVER);
	weft_put16(udp + 2, PORT_CLIENT);
	weft_put16(udp + 4, len);
	sum = weft_csum(udp, len, weft_csum_pseudo6(ip + 8, ip + 24, PROTO_UDP, (uint32_t)len));
	// 0 would mean that there is no checksum (RFC 8200, 8.1).
	if (sum == 0)
		sum = 0xffff;
	memcpy(udp + 6, &sum, 2);
	return MESSAGE + message_len;
}

enum dhcp_result weft_dhcp6_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
				   const struct dhcp6_lease *lease, size_t *answer_len)
{
	struct dhcp6_exchange x = {.lease = lease};
	uint8_t question[DHCP6_MAX]; // its buffer becomes the answer
	enum dhcp_result result;
	size_t start = p->l4 + 8u, size;

	*answer_len = 0;
	if (!is_for_us(buf, p, lease) || cap < MESSAGE + DHCP6_MAX)
		return DHCP_NO_ANSWER;
	// The parser has seen that the datagram's length is possible, but not that all of it is
	// in this buffer.
	size = (size_t)(buf[p->l4 + 4] << 8 | buf[p->l4 + 5]) - 8;
	if (start + size > len || size == 0 || size > sizeof(question))
		return DHCP_MALFORMED;
	if (!is_clients_type(buf[start]))
		return DHCP_NO_ANSWER;
	memcpy(question, buf + start, size);
	if (!weft_dhcp6_read(question, size, &x.q))
		return DHCP_MALFORMED;
	make_duid(x.duid);
	result = decide(&x);
	if (result != DHCP_ANSWERED)
		return result;
	weft_dhcp6_assign(&x);
	size = weft_dhcp6_write(buf + MESSAGE, DHCP6_MAX, &x);
	*answer_len = write_headers(buf, size, p, lease);
	return DHCP_ANSWERED;
}
