// SPDX-License-Identifier: Apache-2.0
// Numbers of protocols, as IANA lists them.
#pragma once

enum { // IPv4's protocol, IPv6's next header
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_DCCP = 33,
	PROTO_ICMPV6 = 58,
	PROTO_NO_NEXT = 59,
	PROTO_SCTP = 132,
	PROTO_UDPLITE = 136,
};

enum { // RFC 9293, 3.1; 3168
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_CWR = 0x80,
};

enum { // ICMPv6: RFC 2710, 3810, 4861
	MLDV1_REPORT = 131,
	MLDV1_DONE = 132,
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	ND_REDIRECT = 137,
	MLDV2_REPORT = 143,
};
