// SPDX-License-Identifier: Apache-2.0
// The names of DHCP options, and what form their values have. dhcp_option.c's; nobody else
// includes this.
#pragma once

#include <stdint.h>

enum form {
	FORM_GUESS,
	FORM_TEXT,
	FORM_IPS,
	FORM_U8,
	FORM_U16,
	FORM_U32,
	FORM_S32,
	FORM_TIME, // seconds; 90m, 2h, 1d, 1w, infinite
	FORM_NAMES,
	FORM_ROUTES,
	FORM_SIP,    // names or addresses (RFC 3361)
	FORM_NTP6,   // addresses and names, each in a suboption (RFC 5908)
	FORM_PARAMS, // texts, each with its length (RFC 5970)
};

struct dhcp_option_name {
	const char *name;
	uint8_t code;
	enum form form;
};

// By name or, name NULL, by number; NULL = unknown.
const struct dhcp_option_name *weft_dhcp_option_name(uint8_t family, const char *name,
						     uint8_t code);
