// SPDX-License-Identifier: Apache-2.0
// Frames of the parser's tests, in hex: pieces to put together, and the parser run over them. For
// unit tests only.
#pragma once

#include "datapath/frames/frame_hex.h"
#include "datapath/frames/packet.h"

#define ETH		      "fa163e00000b fa163e00000a "
#define IP4_ADDRS	      "0a000005 0a000009 "
#define IP6_ADDRS	      "20010db8000000000000000000000005 20010db8000000000000000000000009 "
#define TCP_SYN		      "04d2 0016 00000000 00000000 5002 2000 76ed 0000 "
#define ND(type)	      type " 00 0000 00000000 20010db8000000000000000000000009 "
#define UDP_8		      "1388 0035 0008 0000 "
#define ARP_FIXED	      "0806 0001 0800 06 04 "
#define ARP_ADDRS	      "fa163e00000a 0a000005 000000000000 0a000001 "
#define IP4(len, frag, proto) ETH "0800 4500 " len " 0007 " frag " 40 " proto " 0000 " IP4_ADDRS
#define IP6(len, next)	      ETH "86dd 60000000 " len " " next " 40 " IP6_ADDRS

static inline enum drop parse(const char *hex, struct packet *p, struct frame *f)
{
	*f = frame_hex(hex);
	return weft_packet_parse(f->b, f->len, f->len, 3, p);
}

#define assert_parse(hex, why)                                           \
	do {                                                             \
		struct packet assert_p;                                  \
		struct frame assert_f;                                   \
		assert_int_equal(parse(hex, &assert_p, &assert_f), why); \
	} while (0)

static inline void assert_text(const struct frame *f, const struct packet *p, const char *text)
{
	char buf[256];
	assert_string_equal(weft_packet_text(f->b, f->len, p, buf, sizeof(buf)), text);
}

static inline void assert_line(const char *hex, const char *text)
{
	struct packet p;
	struct frame f;
	assert_int_equal(parse(hex, &p, &f), DROP_NONE);
	assert_text(&f, &p, text);
}
