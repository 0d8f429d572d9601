// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include <string.h>

// A request and its reply have the same layout (RFC 826): Ethernet, then from offset 14 the kinds
// and sizes of the addresses, the operation, sender and target.
enum {
	ARP_FRAME_LEN = 42,
	OP = 21, // low byte of the operation
	OP_REQUEST = 1,
	OP_REPLY = 2,
	SENDER_MAC = 22,
	SENDER_IP = 28,
	TARGET_MAC = 32,
	TARGET_IP = 38,
};

size_t weft_arp_answer(uint8_t *buf, size_t len, size_t cap, const struct mac_addr *mac)
{
	static const uint8_t request[] = {0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, OP_REQUEST};
	uint8_t asked[4];
	if (len < ARP_FRAME_LEN || cap < ARP_FRAME_LEN ||
	    memcmp(buf + 12, request, sizeof(request)) != 0 ||
	    memcmp(buf + SENDER_IP, buf + TARGET_IP, 4) == 0)
		return 0;

	memcpy(buf, buf + 6, 6);
	memcpy(buf + 6, mac->b, 6);
	buf[OP] = OP_REPLY;
	memcpy(asked, buf + TARGET_IP, 4);
	memcpy(buf + TARGET_MAC, buf + SENDER_MAC, 10); // MAC and IP of who asked
	memcpy(buf + SENDER_MAC, mac->b, 6);
	memcpy(buf + SENDER_IP, asked, 4);
	return ARP_FRAME_LEN;
}
