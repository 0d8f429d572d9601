// SPDX-License-Identifier: Apache-2.0
// DHCP messages: what a question says, and a writer of options. The inside of the DHCP service;
// policy is in dhcp.c.
//
// Layout of a message (RFC 2131, 2): 236 bytes of BOOTP, the magic cookie, options. An option may
// be continued by another of the same code (RFC 3396), and options may overflow into the `file`
// and `sname` fields (RFC 2132, 9.3).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dhcp_offset {
	BOOTP_OP = 0,
	BOOTP_HTYPE = 1,
	BOOTP_HLEN = 2,
	BOOTP_HOPS = 3,
	BOOTP_XID = 4,
	BOOTP_FLAGS = 10,
	BOOTP_CIADDR = 12,
	BOOTP_YIADDR = 16,
	BOOTP_SIADDR = 20,
	BOOTP_GIADDR = 24,
	BOOTP_CHADDR = 28,
	BOOTP_SNAME = 44,
	BOOTP_FILE = 108,
	DHCP_COOKIE = 236,
	DHCP_OPTIONS = 240,
	DHCP_MIN = 300, // what a BOOTP receiver may insist on (RFC 1542, 2.1)
};

enum dhcp_code {
	CODE_PAD = 0,
	CODE_MASK = 1,
	CODE_ROUTER = 3,
	CODE_DNS = 6,
	CODE_HOSTNAME = 12,
	CODE_DOMAIN = 15,
	CODE_MTU = 26,
	CODE_BROADCAST = 28,
	CODE_REQUESTED_IP = 50,
	CODE_LEASE = 51,
	CODE_OVERLOAD = 52,
	CODE_TYPE = 53,
	CODE_SERVER_ID = 54,
	CODE_PARAMETERS = 55,
	CODE_MESSAGE = 56,
	CODE_MAX_SIZE = 57,
	CODE_T1 = 58,
	CODE_T2 = 59,
	CODE_CLIENT_ID = 61,
	CODE_TFTP_SERVER = 66,
	CODE_BOOT_FILE = 67,
	CODE_RELAY_AGENT = 82,
	CODE_ROUTES = 121,
	CODE_TFTP_ADDRESS = 150,
	CODE_ROUTES_MS = 249, // what Windows asked for before RFC 3442 had a number
	CODE_END = 255,
};

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_DECLINE = 4,
	DHCP_ACK = 5,
	DHCP_NAK = 6,
	DHCP_RELEASE = 7,
	DHCP_INFORM = 8,
};

// What counts of a question, copied out of it: its buffer becomes the answer.
struct dhcp_question {
	uint8_t op, htype, hlen;
	uint8_t type; // 0: plain BOOTP
	uint8_t xid[4], flags[2];
	uint8_t ciaddr[4], giaddr[4], chaddr[16];
	bool has_requested, has_server_id;
	uint8_t requested[4], server_id[4];
	uint16_t max_size; // 0 = not said
	uint8_t parameters[255], client_id[255];
	size_t n_parameters, client_id_len;
};

// Read `len` bytes of UDP payload. False: malformed.
bool weft_dhcp_read(const uint8_t *message, size_t len, struct dhcp_question *q);

// Options, written one behind the other up to `cap`.
struct dhcp_writer {
	uint8_t *at; // start of the options field
	size_t len, cap;
};

// One option, continued when it is longer than 255. False, and nothing is written, when it does
// not fit (with room kept for the end mark).
bool weft_dhcp_put(struct dhcp_writer *w, uint8_t code, const void *value, size_t len);
