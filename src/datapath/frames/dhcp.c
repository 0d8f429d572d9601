// SPDX-License-Identifier: Apache-2.0
// The DHCP service: whether a question gets an answer, and which. What a message looks like is in
// dhcp_message.c, which options a lease has in dhcp_options.c.
#include "datapath/frames/services.h"

#include <string.h>

#include "datapath/datapath.h"
#include "datapath/frames/dhcp_message.h"
#include "datapath/frames/dhcp_options.h"
#include "base/bytes.h"

const struct mac_addr weft_service_mac = DATAPATH_SERVICE_MAC;

enum {
	IP4 = 14, // offsets in the answer's frame
	UDP = IP4 + 20,
	MESSAGE = UDP + 8,
	PROTO_UDP = 17,
	PORT_SERVER = 67,
	PORT_CLIENT = 68,
	MESSAGE_MAX = 1500 - 28, // in one packet on any network
	MESSAGE_DEFAULT = 576 - 28,
};

static const uint8_t no_address[4];
static const uint8_t broadcast[4] = {255, 255, 255, 255};

static bool is_for_us(const struct dhcp_question *q, const struct packet *p,
		      const struct dhcp_lease *lease)
{
	static const uint8_t request = 1, ethernet = 1;
	return q->op == request && q->htype == ethernet && q->hlen == 6 &&
	       memcmp(q->chaddr, lease->client.b, 6) == 0 &&
	       memcmp(q->giaddr, no_address, 4) == 0 &&
	       (memcmp(&p->key.dst4, broadcast, 4) == 0 ||
		memcmp(&p->key.dst4, lease->server.b, 4) == 0);
}

// The type of the answer (RFC 2131, 4.3), 0 = none.
static uint8_t decide(const struct dhcp_question *q, const struct dhcp_lease *lease)
{
	switch (q->type) {
	case DHCP_DISCOVER:
		return DHCP_OFFER;
	case DHCP_INFORM:
		return DHCP_ACK;
	case DHCP_REQUEST:
		if (q->has_server_id && memcmp(q->server_id, lease->server.b, 4) != 0)
			return 0;
		// Selecting or rebooting it names the address in an option, renewing and
		// rebinding in ciaddr.
		return memcmp(q->has_requested ? q->requested : q->ciaddr, lease->ip.b, 4) == 0
			       ? DHCP_ACK
			       : DHCP_NAK;
	default:
		return 0;
	}
}

// How long the message may be: by the client's word (option 57 counts the IP and UDP headers),
// and one packet at most.
static size_t message_room(const struct dhcp_question *q, const struct dhcp_lease *lease,
			   size_t cap)
{
	size_t room = q->max_size < 576 ? MESSAGE_DEFAULT : q->max_size - 28u;
	if (lease->mtu >= 576 && room > lease->mtu - 28u)
		room = lease->mtu - 28u;
	if (room > MESSAGE_MAX)
		room = MESSAGE_MAX;
	return room < cap - MESSAGE ? room : cap - MESSAGE;
}

static size_t write_message(uint8_t *m, size_t room, uint8_t type, const struct dhcp_question *q,
			    const struct dhcp_lease *lease)
{
	static const uint8_t reply[4] = {2, 1, 6, 0}; // op, htype, hlen, hops
	static const uint8_t cookie[4] = {99, 130, 83, 99};
	memset(m, 0, room);
	memcpy(m + BOOTP_OP, reply, 4);
	memcpy(m + BOOTP_XID, q->xid, 4);
	memcpy(m + BOOTP_FLAGS, q->flags, 2);
	memcpy(m + BOOTP_CHADDR, q->chaddr, 16);
	memcpy(m + DHCP_COOKIE, cookie, 4);
	if (type == DHCP_ACK)
		memcpy(m + BOOTP_CIADDR, q->ciaddr, 4);
	if (type != DHCP_NAK && q->type != DHCP_INFORM)
		memcpy(m + BOOTP_YIADDR, lease->ip.b, 4);
	if (type != DHCP_NAK)
		weft_dhcp_boot_fields(m, lease);

	struct dhcp_writer w = {.at = m + DHCP_OPTIONS, .cap = room - DHCP_OPTIONS};
	weft_dhcp_options(&w, type, q, lease);
	w.at[w.len++] = CODE_END;
	size_t len = DHCP_OPTIONS + w.len;
	return len < DHCP_MIN ? DHCP_MIN : len;
}

// RFC 2131, 4.1: to whom an answer goes.
static const uint8_t *destination(uint8_t type, const struct dhcp_question *q,
				  const struct dhcp_lease *lease)
{
	if (type == DHCP_NAK)
		return broadcast;
	if (memcmp(q->ciaddr, no_address, 4) != 0)
		return q->ciaddr;
	// An INFORM without an address cannot be answered to one.
	if ((q->flags[0] & 0x80) != 0 || q->type == DHCP_INFORM)
		return broadcast;
	return lease->ip.b;
}

static size_t write_headers(uint8_t *buf, size_t message_len, const uint8_t *to,
			    const struct dhcp_lease *lease)
{
	uint8_t *ip = buf + IP4, *udp = buf + UDP;
	uint32_t src, dst;
	if (memcmp(to, broadcast, 4) == 0)
		memset(buf, 0xff, 6);
	else
		memcpy(buf, lease->client.b, 6);
	memcpy(buf + 6, weft_service_mac.b, 6);
	weft_put16(buf + 12, 0x0800);

	memset(ip, 0, 28);
	ip[0] = 0x45;
	weft_put16(ip + 2, 28 + message_len);
	ip[6] = 0x40; // don't fragment
	ip[8] = 64;
	ip[9] = PROTO_UDP;
	memcpy(ip + 12, lease->server.b, 4);
	memcpy(ip + 16, to, 4);
	uint16_t sum = weft_csum(ip, 20, 0);
	memcpy(ip + 10, &sum, 2);

	weft_put16(udp, PORT_SERVER);
	weft_put16(udp + 2, PORT_CLIENT);
	weft_put16(udp + 4, 8 + message_len);
	memcpy(&src, ip + 12, 4);
	memcpy(&dst, ip + 16, 4);
	sum = weft_csum(udp, 8 + message_len,
			weft_csum_pseudo4(src, dst, PROTO_UDP, (uint16_t)(8 + message_len)));
	// 0 would mean that there is no checksum (RFC 768).
	if (sum == 0)
		sum = 0xffff;
	memcpy(udp + 6, &sum, 2);
	return MESSAGE + message_len;
}

enum dhcp_result weft_dhcp_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
				  const struct dhcp_lease *lease, size_t *answer_len)
{
	struct dhcp_question q;
	*answer_len = 0;
	if (p->kind != PACKET_IP || p->key.family != 4 || p->key.proto != PROTO_UDP ||
	    p->fragment != FRAGMENT_NONE || p->key.dport != htobe16(PORT_SERVER))
		return DHCP_NO_ANSWER;
	// The parser has seen that the datagram's length is possible, but not that all of it is
	// in this buffer.
	size_t start = p->l4 + 8u;
	size_t size = (size_t)(buf[p->l4 + 4] << 8 | buf[p->l4 + 5]) - 8;
	if (start + size > len || !weft_dhcp_read(buf + start, size, &q))
		return DHCP_MALFORMED;
	if (cap < MESSAGE + DHCP_MIN || !is_for_us(&q, p, lease))
		return DHCP_NO_ANSWER;
	uint8_t type = decide(&q, lease);
	if (type == 0)
		return DHCP_NO_ANSWER;

	size_t n = write_message(buf + MESSAGE, message_room(&q, lease, cap), type, &q, lease);
	*answer_len = write_headers(buf, n, destination(type, &q, lease), lease);
	return DHCP_ANSWERED;
}
