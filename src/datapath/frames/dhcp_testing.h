// SPDX-License-Identifier: Apache-2.0
// What the tests of DHCP share: a lease, questions, and what an answer has in it.
#pragma once

#include "datapath/frames/dhcp_message.h"
#include "datapath/frames/service_testing.h"

enum { BOOTP = 42, OPTIONS = BOOTP + DHCP_OPTIONS };

static const struct ip_addr dns[] = {{4, {10, 0, 0, 2}}, {6, {0x20, 1}}, {4, {10, 0, 0, 3}}};
static const struct dhcp_route routes[] = {
	{.dst = {{4, {192, 168, 2, 77}}, 24}, .via = {4, {10, 0, 0, 254}}}};

static inline struct dhcp_lease lease(void)
{
	return (struct dhcp_lease) {
		.client = {{0xfa, 0x16, 0x3e, 0, 0, 0x0a}},
		.ip = {4, {10, 0, 0, 5}},
		.server = {4, {10, 0, 0, 1}},
		.gateway = {4, {10, 0, 0, 1}},
		.prefix_len = 24,
		.lease_s = 86400,
		.mtu = 1450,
		.hostname = "vm1",
		.domain = "example.test",
		.dns = dns,
		.n_dns = 3,
	};
}

// A question from 0.0.0.0 by broadcast with these options (an end mark is added); BOOTP fields
// are zero but for those that every question has.
static inline struct frame question(const char *options)
{
	struct frame f = frame_hex("ffffffffffff fa163e00000a 0800 4500 0000 0001 0000 4011 0000 "
				   "00000000 ffffffff 0044 0043 0000 0000 01010600 01020304");
	f.len = BOOTP + DHCP_COOKIE;
	memcpy(f.b + BOOTP + BOOTP_CHADDR, "\xfa\x16\x3e\x00\x00\x0a", 6);
	frame_add(&f, "63825363");
	frame_add(&f, options);
	frame_add(&f, "ff");
	f.b[16] = (uint8_t)((f.len - 14) >> 8);
	f.b[17] = (uint8_t)(f.len - 14);
	f.b[38] = (uint8_t)((f.len - 34) >> 8);
	f.b[39] = (uint8_t)(f.len - 34);
	return f;
}

static inline enum dhcp_result answer(struct frame *f, const struct dhcp_lease *l)
{
	struct packet p;
	size_t len;
	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, 0, &p), DROP_NONE);
	enum dhcp_result result = weft_dhcp_answer(f->b, f->len, 1514, &p, l, &len);
	if (result != DHCP_ANSWERED) {
		assert_int_equal(len, 0);
		return result;
	}
	f->len = len;
	assert_int_equal(frame_sum(f->b + 14, 20, 0), 0xffff);
	frame_assert_from_service(f, 26, 34);
	return result;
}

// The option's value in an answer, put together; -1 = not there.
static inline int option(const struct frame *f, uint8_t code, uint8_t *out)
{
	int len = -1;
	for (size_t i = OPTIONS; f->b[i] != CODE_END; i += f->b[i + 1] + 2u) {
		assert_true(i + 2 + f->b[i + 1] < f->len);
		if (f->b[i] != code)
			continue;
		len = len < 0 ? 0 : len;
		memcpy(out + len, f->b + i + 2, f->b[i + 1]);
		len += f->b[i + 1];
	}
	return len;
}

static inline void assert_option(const struct frame *f, uint8_t code, const char *hex)
{
	uint8_t value[1024];
	struct frame expected = frame_hex(hex);
	assert_int_equal(option(f, code, value), expected.len);
	assert_memory_equal(value, expected.b, expected.len);
}

static inline void assert_no_option(const struct frame *f, uint8_t code)
{
	uint8_t value[1024];
	assert_int_equal(option(f, code, value), -1);
}

static inline void assert_silent(struct frame f, enum dhcp_result why)
{
	struct dhcp_lease l = lease();
	struct frame before = f;
	assert_int_equal(answer(&f, &l), why);
	assert_memory_equal(f.b, before.b, f.len);
}
