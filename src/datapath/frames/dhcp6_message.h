// SPDX-License-Identifier: Apache-2.0
// DHCPv6 messages (RFC 8415, 8 and 21): what a question says, and a writer of options. The inside
// of the DHCPv6 service; policy is in dhcp6.c.
//
// Layout of a message: type, 3 bytes of transaction id, options. An option is its code and its
// length, 16 bits each, and the value. An identity association (IA) holds options of its own:
// addresses or prefixes, which hold options in turn.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dhcp6_type {
	DHCP6_SOLICIT = 1,
	DHCP6_ADVERTISE = 2,
	DHCP6_REQUEST = 3,
	DHCP6_CONFIRM = 4,
	DHCP6_RENEW = 5,
	DHCP6_REBIND = 6,
	DHCP6_REPLY = 7,
	DHCP6_RELEASE = 8,
	DHCP6_DECLINE = 9,
	DHCP6_INFORMATION_REQUEST = 11,
};

enum dhcp6_code {
	OPTION6_CLIENT_ID = 1,
	OPTION6_SERVER_ID = 2,
	OPTION6_IA_NA = 3,
	OPTION6_IA_TA = 4,
	OPTION6_IA_ADDRESS = 5,
	OPTION6_REQUESTED = 6,
	OPTION6_PREFERENCE = 7,
	OPTION6_ELAPSED = 8,
	OPTION6_RELAYED = 9,
	OPTION6_AUTHENTICATION = 11,
	OPTION6_UNICAST = 12,
	OPTION6_STATUS = 13,
	OPTION6_RAPID_COMMIT = 14,
	OPTION6_INTERFACE_ID = 18,
	OPTION6_RECONFIGURE = 19,
	OPTION6_RECONFIGURE_ACCEPT = 20,
	OPTION6_DNS = 23,
	OPTION6_DOMAINS = 24,
	OPTION6_IA_PD = 25,
	OPTION6_IA_PREFIX = 26,
	OPTION6_REFRESH_TIME = 32,
};

enum dhcp6_status {
	STATUS6_SUCCESS = 0,
	STATUS6_NO_ADDRS_AVAIL = 2,
	STATUS6_NO_BINDING = 3,
	STATUS6_NOT_ON_LINK = 4,
	STATUS6_NO_PREFIX_AVAIL = 6,
};

enum {
	DHCP6_OPTIONS = 4,     // where they begin
	DHCP6_MAX = 1280 - 48, // bytes of a message in one packet on any network
	DHCP6_DUID_MAX = 130,
	DHCP6_IAS_MAX = 16, // of one question; more are not looked at
};

struct dhcp6_ia {
	uint16_t kind; // OPTION6_IA_NA, _TA or _PD
	uint8_t iaid[4];
	const uint8_t *options; // its own, well formed
	size_t len;
};

// What counts of a question. It points into the message.
struct dhcp6_question {
	uint8_t type;
	uint8_t xid[3];
	const uint8_t *client_id, *server_id; // NULL = not there
	size_t client_id_len, server_id_len;
	bool rapid_commit, has_requested;
	const uint8_t *requested; // option codes, 16 bits each
	size_t n_requested;
	size_t n_ias;
	struct dhcp6_ia ias[DHCP6_IAS_MAX];
};

// Read `len` bytes of UDP payload. False: malformed.
bool weft_dhcp6_read(const uint8_t *message, size_t len, struct dhcp6_question *q);
// The next address of an IA at or after *at, which moves behind it: 16 bytes. NULL = no more.
const uint8_t *weft_dhcp6_next_address(const struct dhcp6_ia *ia, size_t *at);

struct dhcp6_writer {
	uint8_t *at; // the message
	size_t len, cap;
	bool full; // something did not fit
};

void weft_dhcp6_put(struct dhcp6_writer *w, const void *value, size_t len);
void weft_dhcp6_put16(struct dhcp6_writer *w, uint32_t value);
void weft_dhcp6_put32(struct dhcp6_writer *w, uint32_t value);
// An option is written between these two. What does not fit leaves no trace: end takes the whole
// option back.
size_t weft_dhcp6_begin(struct dhcp6_writer *w, uint16_t code);
void weft_dhcp6_end(struct dhcp6_writer *w, size_t begun);
void weft_dhcp6_option(struct dhcp6_writer *w, uint16_t code, const void *value, size_t len);
