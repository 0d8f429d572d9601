// SPDX-License-Identifier: Apache-2.0
// Packets longer than a buffer, or than the next network carries, and what a router does with them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/frames/services.h"
#include "datapath/native/testing/testbed.h"

#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})
#define TCP(from_port, to_port, size)       \
	((struct l4) {.proto = 6,           \
		      .sport = (from_port), \
		      .dport = (to_port),   \
		      .tcp_flags = 0x02,    \
		      .payload = (size)})

// n1 (MTU 4000, "a") and n2 (as given, "b") on router "r"; outside is "ext".
static struct testbed *networks(uint32_t mtu)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 4000);
	testbed_network(tb, "n2", mtu);
	testbed_provider(tb, "ext", 4000, 0);
	testbed_rule_set(tb, "all", true, "egress 4 any\negress 6 any\ningress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1 fd01::1", "all");
	testbed_port(tb, "b", "n2", "10.0.2.1 fd02::1", "all");
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24,fd01::fe/64 n2|r2|10.0.2.254/24,fd02::fe/64 "
			    "!ext|rx|203.0.113.1/24,2001:db8::1/64",
			    "", "203.0.113.1");
	testbed_commit(tb);
	return tb;
}

static struct frame a2b(struct l4 l4)
{
	return testbed_frame("a", "r1", "10.0.1.1", "10.0.2.1", l4);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

// The next IPv4 datagram that the port gets, put together of fragments in order; none is longer
// than the MTU. *n: of how many. False: none came.
static bool reassembled(struct testbed *tb, const char *port, uint32_t mtu, struct frame *out,
			int *n)
{
	struct frame f;
	size_t at = 0;

	*n = 0;
	while (testbed_receive(tb, port, &f)) {
		uint32_t bits = get16(f.b + 20);

		assert_in_range(f.len, 34, mtu + 14);
		assert_int_equal(weft_csum(f.b + 14, 20, 0), 0);
		assert_int_equal((bits & 0x1fff) * 8, at);
		if (at == 0)
			memcpy(out->b, f.b, 34);
		assert_memory_equal(out->b + 18, f.b + 18, 2);
		memcpy(out->b + 34 + at, f.b + 34, f.len - 34);
		at += f.len - 34;
		++*n;
		if ((bits & 0x2000) != 0)
			continue;
		out->len = 34 + at;
		out->b[16] = (uint8_t)((20 + at) >> 8);
		out->b[17] = (uint8_t)(20 + at);
		memset(out->b + 20, 0, 2);
		memset(out->b + 24, 0, 2);
		uint16_t csum = weft_csum(out->b + 14, 20, 0);
		memcpy(out->b + 24, &csum, 2);
		return true;
	}
	assert_int_equal(*n, 0); // half a datagram is none
	return false;
}

static void what_lies_in_several_buffers_is_fragmented(void **state)
{
	static const uint32_t mtus[] = {68, 576, 1400, 1500, 3000};

	(void)state;
	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		struct testbed *tb = networks(mtus[i]);
		struct frame f = a2b(UDP(1, 2, 3900)), got;
		int n;

		// Both as it lies with the VM and with the checksum left to the device; the latter
		// twice, as the flow's first packet and a later one.
		testbed_checksum(&f);
		for (int k = 0; k < 4; k++) {
			if (k < 2)
				testbed_send(tb, "a", &f);
			else
				testbed_send_offloaded(tb, "a", &f, 0);
			assert_true(reassembled(tb, "b", mtus[i], &got, &n));
			assert_int_equal(n, (3908 + ((mtus[i] - 20) & ~7u) - 1) /
						    ((mtus[i] - 20) & ~7u));
			assert_int_equal(got.len, f.len);
			assert_memory_equal(got.b + 34, f.b + 34, f.len - 34);
			assert_true(testbed_checksum_ok(&got));
		}
		testbed_free(tb);
	}
}

// Without DF, segments that are longer than the next network carries.
static void what_is_to_be_segmented_is_and_then_fragmented(void **state)
{
	struct testbed *tb = networks(1400);
	struct frame f = a2b(TCP(1, 2, 3900)), got;
	uint32_t sequence = 0;
	int n;

	(void)state;
	testbed_send_offloaded(tb, "a", &f, 1448);
	while (reassembled(tb, "b", 1400, &got, &n)) {
		uint32_t len = (uint32_t)got.len - 54;

		assert_int_equal(len, 3900 - sequence < 1448 ? 3900 - sequence : 1448);
		assert_int_equal(n, len + 40 > 1400 ? 2 : 1);
		assert_int_equal(get16(got.b + 38) << 16 | get16(got.b + 40), sequence);
		assert_memory_equal(got.b + 54, f.b + 54 + sequence, len);
		assert_true(testbed_checksum_ok(&got));
		sequence += len;
	}
	assert_int_equal(sequence, 3900);
	// Datagrams that travel as one.
	f = a2b(UDP(5, 6, 3900));
	testbed_send_offloaded(tb, "a", &f, 1460);
	for (sequence = 0; reassembled(tb, "b", 1400, &got, &n); sequence += got.len - 42) {
		assert_int_equal(get16(got.b + 38), got.len - 34);
		assert_memory_equal(got.b + 42, f.b + 42 + sequence, got.len - 42);
		assert_true(testbed_checksum_ok(&got));
	}
	assert_int_equal(sequence, 3900);
	testbed_free(tb);
}

static void dont_fragment(struct frame *f)
{
	uint16_t csum;

	f->b[20] |= 0x40;
	memset(f->b + 24, 0, 2);
	csum = weft_csum(f->b + 14, 20, 0);
	memcpy(f->b + 24, &csum, 2);
}

static void with_df_the_sender_is_told_however_long_it_is(void **state)
{
	struct testbed *tb = networks(1400);
	struct frame f = a2b(TCP(1, 2, 3900)), got;

	(void)state;
	dont_fragment(&f);
	for (int i = 0; i < 3; i++) {
		if (i < 2)
			testbed_send(tb, "a", &f);
		else
			testbed_send_offloaded(tb, "a", &f, 1448);
		assert_int_equal(testbed_drop(tb), DROP_TOO_BIG);
		assert_true(testbed_receive(tb, "a", &got));
		assert_memory_equal(got.b + 34, "\x03\x04", 2);
		assert_int_equal(get16(got.b + 40), 1400);
		assert_int_equal(weft_csum(got.b + 34, got.len - 34, 0), 0);
		assert_false(testbed_receive(tb, "b", &got));
	}
	testbed_free(tb);
}

static void fragments_longer_than_the_next_network_carries_are_cut_again(void **state)
{
	struct testbed *tb = networks(576);
	struct frame f = a2b(UDP(1, 2, 3900)), part, got;
	int n;

	(void)state;
	testbed_checksum(&f);
	for (size_t at = 0; at < 3908; at += 2000) {
		part = testbed_fragment(&f, 9, at, RTE_MIN((size_t)2000, 3908 - at));
		testbed_send(tb, "a", &part);
	}
	assert_true(reassembled(tb, "b", 576, &got, &n));
	assert_memory_equal(got.b + 34, f.b + 34, f.len - 34);
	testbed_free(tb);
}

// ---- Echo ----------------------------------------------------------------------------------

static struct frame echo(const char *from, const char *to, const char *src, const char *dst,
			 size_t payload)
{
	bool v6 = strchr(src, ':') != NULL;
	struct frame f = testbed_frame(from, to, src, dst,
				       (struct l4) {.proto = v6 ? 58 : 1,
						    .sport = 5,
						    .dport = v6 ? 0x8000 : 0x800,
						    .payload = payload});
	uint16_t csum;

	if (v6) {
		csum = weft_csum(f.b + 54, f.len - 54,
				 weft_csum_pseudo6(f.b + 22, f.b + 38, 58, (uint32_t)f.len - 54));
		memcpy(f.b + 56, &csum, 2);
	} else {
		testbed_checksum(&f);
	}
	return f;
}

static void assert_answered(struct testbed *tb, const char *port, const struct frame *asked)
{
	bool v6 = asked->b[12] == 0x86;
	size_t ip = 14, l4 = v6 ? 54 : 34, len = v6 ? 16 : 4, src = ip + (v6 ? 8 : 12);
	struct frame got;

	assert_true(testbed_receive(tb, port, &got));
	assert_int_equal(got.len, asked->len);
	assert_memory_equal(got.b, asked->b + 6, 6);
	assert_memory_equal(got.b + 6, asked->b, 6);
	assert_memory_equal(got.b + src, asked->b + src + len, len);
	assert_memory_equal(got.b + src + len, asked->b + src, len);
	assert_int_equal(got.b[ip + (v6 ? 7 : 8)], 64);
	assert_int_equal(got.b[l4], v6 ? 129 : 0);
	assert_memory_equal(got.b + l4 + 4, asked->b + l4 + 4, asked->len - l4 - 4);
	if (v6)
		assert_int_equal(weft_csum(got.b + 54, got.len - 54,
					   weft_csum_pseudo6(got.b + 22, got.b + 38, 58,
							     (uint32_t)got.len - 54)),
				 0);
	else
		assert_true(testbed_checksum_ok(&got));
	assert_false(testbed_receive(tb, port, &got));
}

static void router_answers_echo_of_any_length_on_all_its_addresses(void **state)
{
	static const char *const addresses[] = {"10.0.1.254", "10.0.2.254", "203.0.113.1",
						"fd01::fe",   "fd02::fe",   "2001:db8::1"};
	static const size_t lengths[] = {0, 1, 16, 100, 1400, 2001, 2100, 3900};
	struct testbed *tb = networks(1500);

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		for (size_t k = 0; k < 2 * sizeof(lengths) / sizeof(lengths[0]); k++) {
			struct frame f = echo("a", "r1", i < 3 ? "10.0.1.1" : "fd01::1",
					      addresses[i], lengths[k / 2]);

			testbed_send(tb, "a", &f);
			assert_answered(tb, "a", &f);
		}
	}
	testbed_free(tb);
}

static void router_answers_echo_of_any_length_from_outside(void **state)
{
	struct testbed *tb = networks(1500);
	struct frame f;

	(void)state;
	for (size_t len = 10; len < 3900; len += 1111) {
		f = echo("x", "rx", "203.0.113.200", "203.0.113.1", len);
		testbed_send(tb, "ext", &f);
		assert_answered(tb, "ext", &f);
		f = echo("x", "rx", "2001:db8::200", "2001:db8::1", len);
		testbed_send(tb, "ext", &f);
		assert_answered(tb, "ext", &f);
	}
	testbed_free(tb);
}

static void echo_of_padded_frame_is_answered_without_the_padding(void **state)
{
	struct testbed *tb = networks(1500);
	struct frame f = echo("a", "r1", "10.0.1.1", "10.0.1.254", 2);
	size_t len = f.len;

	(void)state;
	f.len = 60;
	testbed_send(tb, "a", &f);
	f.len = len;
	assert_answered(tb, "a", &f);
	testbed_free(tb);
}

static void echo_whose_checksum_is_wrong_is_not_made_right(void **state)
{
	struct testbed *tb = networks(1500);
	struct frame f = echo("a", "r1", "10.0.1.1", "10.0.1.254", 100), got;

	(void)state;
	f.b[100] ^= 1;
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "a", &got));
	assert_false(testbed_checksum_ok(&got));
	testbed_free(tb);
}

// The n-th of three fragments.
static struct frame third(const struct frame *f, int n)
{
	size_t len = 1200, from = (size_t)n * len;
	bool v6 = f->b[12] == 0x86, last = n == 2;
	struct frame out = *f;

	if (last)
		len = f->len - (v6 ? 54 : 34) - from;
	if (!v6)
		return testbed_fragment(f, 77, from, len);
	memcpy(out.b + 62, f->b + 54 + from, len);
	memcpy(out.b + 54,
	       (uint8_t[]) {58, 0, (uint8_t)(from >> 8), (uint8_t)(from | !last), 0, 0, 0, 77}, 8);
	out.b[18] = (uint8_t)((8 + len) >> 8);
	out.b[19] = (uint8_t)(8 + len);
	out.b[20] = 44;
	out.len = 62 + len;
	return out;
}

// The answer's fragments put together, as the frame of it whole.
static struct frame join(const struct frame part[3])
{
	bool v6 = part[0].b[12] == 0x86;
	size_t header = v6 ? 62 : 34, l4 = v6 ? 54 : 34;
	struct frame out = part[0];

	out.len = l4;
	for (int i = 0; i < 3; i++) {
		memmove(out.b + out.len, part[i].b + header, part[i].len - header);
		out.len += part[i].len - header;
	}
	return out;
}

static void router_answers_echo_in_fragments_in_any_order(void **state)
{
	static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {0, 2, 1}};
	static const struct {
		const char *port, *to, *src, *dst;
	} of[] = {
		{"a", "r1", "10.0.1.1", "10.0.1.254"},
		{"a", "r1", "10.0.1.1", "203.0.113.1"},
		{"a", "r1", "fd01::1", "fd02::fe"},
		{"ext", "rx", "203.0.113.200", "203.0.113.1"},
		{"ext", "rx", "2001:db8::200", "2001:db8::1"},
	};

	(void)state;
	for (size_t k = 0; k < 4 * sizeof(of) / sizeof(of[0]); k++) {
		struct testbed *tb = networks(1500);
		const int *order = orders[k % 4];
		struct frame f = echo(strcmp(of[k / 4].port, "ext") == 0 ? "x" : "a", of[k / 4].to,
				      of[k / 4].src, of[k / 4].dst, 3000),
			     part[3], whole;
		bool v6 = f.b[12] == 0x86;
		size_t l4 = v6 ? 54 : 34;

		for (int i = 0; i < 3; i++) {
			part[i] = third(&f, order[i]);
			testbed_send(tb, of[k / 4].port, &part[i]);
		}
		for (int i = 0; i < 3; i++) {
			struct frame got;

			assert_true(testbed_receive(tb, of[k / 4].port, &got));
			assert_memory_equal(got.b, f.b + 6, 6);
			if (!v6)
				assert_int_equal(weft_csum(got.b + 14, 20, 0), 0);
			uint32_t at = v6 ? get16(got.b + 56) & 0xfff8
					 : (get16(got.b + 20) & 0x1fff) * 8;
			part[at / 1200] = got;
		}
		whole = join(part);
		assert_int_equal(whole.len, f.len);
		assert_int_equal(whole.b[l4], v6 ? 129 : 0);
		assert_memory_equal(whole.b + l4 + 4, f.b + l4 + 4, f.len - l4 - 4);
		assert_int_equal(weft_csum(whole.b + l4, whole.len - l4,
					   v6 ? weft_csum_pseudo6(whole.b + 22, whole.b + 38, 58,
								  (uint32_t)(whole.len - l4))
					      : 0),
				 0);
		assert_false(testbed_receive(tb, of[k / 4].port, &whole));
		testbed_free(tb);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_in_several_buffers_is_fragmented),
		cmocka_unit_test(what_is_to_be_segmented_is_and_then_fragmented),
		cmocka_unit_test(with_df_the_sender_is_told_however_long_it_is),
		cmocka_unit_test(fragments_longer_than_the_next_network_carries_are_cut_again),
		cmocka_unit_test(router_answers_echo_of_any_length_on_all_its_addresses),
		cmocka_unit_test(router_answers_echo_of_any_length_from_outside),
		cmocka_unit_test(echo_of_padded_frame_is_answered_without_the_padding),
		cmocka_unit_test(echo_whose_checksum_is_wrong_is_not_made_right),
		cmocka_unit_test(router_answers_echo_in_fragments_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
