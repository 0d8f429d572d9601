// SPDX-License-Identifier: Apache-2.0
// Protocol names: those that Neutron knows, which are not quite IANA's.
#include "model/model.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct {
	const char *name;
	int number;
} protocols[] = {
	{"ah", 51}, {"dccp", 33}, {"egp", 8}, {"esp", 50}, {"gre", 47}, {"hopopt", 0}, {"icmp", 1}, {"icmpv6", 58},
	{"igmp", 2}, {"ip", 0}, {"ipip", 4}, {"ipv6-encap", 41}, {"ipv6-frag", 44}, {"ipv6-icmp", 58},
	{"ipv6-nonxt", 59}, {"ipv6-opts", 60}, {"ipv6-route", 43}, {"ospf", 89}, {"pgm", 113}, {"rsvp", 46},
	{"sctp", 132}, {"tcp", 6}, {"udp", 17}, {"udplite", 136}, {"vrrp", 112},
};
// clang-format on

int weft_protocol_number(const char *protocol, uint8_t family)
{
	if (protocol == NULL)
		return -1;
	int number = -EINVAL;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (strcmp(protocol, protocols[i].name) == 0)
			number = protocols[i].number;
	size_t digits = strspn(protocol, "0123456789");
	if (digits > 0 && digits <= 3 && protocol[digits] == '\0' && atoi(protocol) <= 255)
		number = atoi(protocol);
	return family == 6 && number == IPPROTO_ICMP ? IPPROTO_ICMPV6 : number;
}
