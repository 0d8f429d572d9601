// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/dhcp6_message.h"
#include "datapath/frames/service_testing.h"

enum { UDP_AT = 54, MESSAGE = 62, OPTIONS = MESSAGE + DHCP6_OPTIONS };

#define CLIENT	   "0001 000a 00030001fa163e00000a "
#define SERVER	   "0002 000a 00030001027765667401 "
#define OTHER	   "0002 000a 00030001aaaaaaaaaaaa "
#define OURS	   "fd000001000000000000000000000005 "
#define SECOND	   "fd000001000000000000000000000006 "
#define STALE	   "fd000001000000000000000000000077 "
#define ELSEWHERE  "fd990000000000000000000000000001 "
#define LIFE	   "00015180 00015180 "
#define ADDR(ip)   "0005 0018 " ip "00000000 00000000 "
#define IA_EMPTY   "0003 000c 11223344 00000000 00000000 "
#define IA_OF(ip)  "0003 0028 11223344 00000000 00000000 " ADDR(ip)
#define IA2_OF(ip) "0003 0028 00000002 00000000 00000000 " ADDR(ip)
#define PREFIXES   "0019 000c 00000009 00000000 00000000 "
#define TEMPORARY  "0004 0004 00000008 "
#define LEASED	   "11223344 0000a8c0 00010e00 0005 0018 " OURS LIFE

static const struct ip_addr ips[] = {{6, {0xfd, 0, 0, 1, [15] = 5}},
				     {6, {0xfd, 0, 0, 1, [15] = 6}}};
static const struct ip_prefix links[] = {{{6, {0xfd, 0, 0, 1}}, 64}};
static const struct ip_addr dns[] = {{6, {0xfd, [15] = 0x53}},
				     {4, {10, 0, 0, 2}},
				     {6, {0}},
				     {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}};

static struct dhcp6_lease lease(void)
{
	return (struct dhcp6_lease) {
		.client = {{0xfa, 0x16, 0x3e, 0, 0, 0x0a}},
		.ips = ips,
		.n_ips = 1,
		.links = links,
		.n_links = 1,
		.lease_s = 86400,
		.domain = "example.test",
		.dns = dns,
		.n_dns = 4,
	};
}

static void set16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static struct frame question(uint8_t type, const char *options)
{
	struct frame f =
		frame_hex("333300010002 fa163e00000a 86dd 60000000 0000 11 01 "
			  "fe80000000000000f8163efffe00000a "
			  "ff020000000000000000000000010002 0222 0223 0000 0000 00 010203");

	f.b[MESSAGE] = type;
	frame_add(&f, options);
	set16(f.b + 18, f.len - UDP_AT);
	set16(f.b + 58, f.len - UDP_AT);
	return f;
}

static enum dhcp_result answer(struct frame *f, const struct dhcp6_lease *l)
{
	struct packet p;
	size_t len;

	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, 0, &p), DROP_NONE);
	enum dhcp_result result = weft_dhcp6_answer(f->b, f->len, 1514, &p, l, &len);
	if (result != DHCP_ANSWERED) {
		assert_int_equal(len, 0);
		return result;
	}
	f->len = len;
	assert_memory_equal(f->b, l->client.b, 6);
	frame_assert_from_service(f, 22, UDP_AT);
	return result;
}

// The option's n-th value in an answer; -1 = not there.
static int option_n(const struct frame *f, uint16_t code, int n, const uint8_t **value)
{
	for (size_t i = OPTIONS; i < f->len;) {
		int len = f->b[i + 2] << 8 | f->b[i + 3];

		assert_true(i + 4 + (size_t)len <= f->len);
		*value = f->b + i + 4;
		if ((f->b[i] << 8 | f->b[i + 1]) == code && n-- == 0)
			return len;
		i += 4 + (size_t)len;
	}
	return -1;
}

static void assert_option_n(const struct frame *f, uint16_t code, int n, const char *hex)
{
	struct frame e = frame_hex(hex);
	const uint8_t *value;

	assert_int_equal(option_n(f, code, n, &value), e.len);
	assert_memory_equal(value, e.b, e.len);
}

static void assert_option(const struct frame *f, uint16_t code, const char *hex)
{
	assert_option_n(f, code, 0, hex);
}

static void assert_no_option(const struct frame *f, uint16_t code)
{
	const uint8_t *value;

	assert_int_equal(option_n(f, code, 0, &value), -1);
}

static struct frame reply_with(uint8_t type, const char *options, const struct dhcp6_lease *l)
{
	struct frame f = question(type, options);

	assert_int_equal(answer(&f, l), DHCP_ANSWERED);
	assert_int_equal(f.b[MESSAGE], DHCP6_REPLY);
	return f;
}

static struct frame reply(uint8_t type, const char *options)
{
	struct dhcp6_lease l = lease();

	return reply_with(type, options, &l);
}

static void assert_result(uint8_t type, const char *options, enum dhcp_result why)
{
	struct dhcp6_lease l = lease();
	struct frame f = question(type, options), before = f;

	assert_int_equal(answer(&f, &l), why);
	assert_memory_equal(f.b, before.b, f.len);
}

static void a_solicit_gets_the_advertisement_byte_by_byte(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	struct frame f =
		question(DHCP6_SOLICIT, CLIENT "0008 0002 0000 " IA_EMPTY "0006 0004 0017 0018");
	struct frame e = frame_hex(
		"fa163e00000a 027765667401 86dd 60000000 008f 11 40 "
		"fe80000000000000007765fffe667401 fe80000000000000f8163efffe00000a "
		"0223 0222 008f 6f5f 02 010203 " CLIENT SERVER "0007 0001 ff "
		"0003 0028 " LEASED "0017 0020 fd000000000000000000000000000053 "
		"20010db8000000000000000000000001 0018 000e 076578616d706c65 0474657374 00");

	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_int_equal(f.len, e.len);
	assert_memory_equal(f.b, e.b, e.len);
}

static void a_request_gets_the_address(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_REQUEST, CLIENT SERVER IA_OF(OURS));

	assert_option(&f, OPTION6_IA_NA, LEASED);
	assert_option(&f, OPTION6_CLIENT_ID, "00030001fa163e00000a");
	assert_option(&f, OPTION6_SERVER_ID, "00030001027765667401");
	assert_no_option(&f, OPTION6_PREFERENCE);
	assert_no_option(&f, OPTION6_STATUS);
}

static void rapid_commit_saves_a_round(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_SOLICIT, CLIENT IA_EMPTY "000e 0000");

	assert_option(&f, OPTION6_RAPID_COMMIT, "");
	assert_option(&f, OPTION6_IA_NA, LEASED);
}

static void without_a_wish_list_everything_is_sent(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY);

	assert_option(&f, OPTION6_DNS,
		      "fd000000000000000000000000000053 20010db8000000000000000000000001");
	assert_option(&f, OPTION6_DOMAINS, "076578616d706c65 0474657374 00");
	f = reply(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY "0006 0002 0018");
	assert_no_option(&f, OPTION6_DNS);
	assert_option(&f, OPTION6_DOMAINS, "076578616d706c65 0474657374 00");
}

static void information_is_given_without_addresses(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	struct frame f;

	l.n_ips = 0;
	f = reply_with(DHCP6_INFORMATION_REQUEST, CLIENT "0006 0006 0017 0018 0020", &l);
	assert_option(&f, OPTION6_REFRESH_TIME, "00015180");
	assert_option(&f, OPTION6_DOMAINS, "076578616d706c65 0474657374 00");
	f = reply_with(DHCP6_INFORMATION_REQUEST, "0006 0002 0017",
		       &l); // who does not say who it is
	assert_no_option(&f, OPTION6_CLIENT_ID);
	assert_no_option(&f, OPTION6_DOMAINS);
	f = question(DHCP6_SOLICIT, CLIENT IA_EMPTY);
	assert_int_equal(answer(&f, &l), DHCP_NO_ANSWER);
}

static void a_refresh_time_is_never_shorter_than_allowed(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	l.lease_s = 60;
	struct frame f = reply_with(DHCP6_INFORMATION_REQUEST, CLIENT "0006 0002 0020", &l);

	assert_option(&f, OPTION6_REFRESH_TIME, "00000258");
}

static void a_lease_for_ever_is_never_renewed(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	l.lease_s = UINT32_MAX;
	struct frame f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY, &l);

	assert_option(&f, OPTION6_IA_NA,
		      "11223344 ffffffff ffffffff 0005 0018 " OURS "ffffffff ffffffff");
}

static void renewing_ends_what_is_not_the_ports_any_more(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_RENEW, CLIENT SERVER IA_OF(OURS));

	assert_option(&f, OPTION6_IA_NA, LEASED);
	f = reply(DHCP6_REBIND, CLIENT IA_OF(STALE));
	assert_option(&f, OPTION6_IA_NA, LEASED "0005 0018 " STALE "00000000 00000000");
}

static void renewing_without_addresses_finds_no_binding(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	struct frame f;

	l.n_ips = 0;
	f = reply_with(DHCP6_RENEW, CLIENT SERVER IA_EMPTY, &l);
	assert_option(&f, OPTION6_IA_NA, "11223344 00000000 00000000 000d 0002 0003");
	f = reply_with(DHCP6_RENEW, CLIENT SERVER IA_OF(STALE), &l);
	assert_option(&f, OPTION6_IA_NA,
		      "11223344 00000000 00000000 0005 0018 " STALE "00000000 00000000");
}

static void a_request_for_another_link_is_told(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_REQUEST, CLIENT SERVER IA_OF(ELSEWHERE));

	assert_option(&f, OPTION6_IA_NA, "11223344 00000000 00000000 000d 0002 0004");
	// Another's address on this link: the port's own is given instead.
	f = reply(DHCP6_REQUEST, CLIENT SERVER IA_OF(STALE));
	assert_option(&f, OPTION6_IA_NA, LEASED);
}

static void confirm_says_whether_all_is_still_right(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_CONFIRM, CLIENT IA_OF(OURS));

	assert_option(&f, OPTION6_STATUS, "0000");
	assert_no_option(&f, OPTION6_IA_NA);
	assert_no_option(&f, OPTION6_DNS);
	f = reply(DHCP6_CONFIRM, CLIENT IA_OF(OURS) IA2_OF(ELSEWHERE));
	assert_option(&f, OPTION6_STATUS, "0004");
	f = reply(DHCP6_CONFIRM, CLIENT IA_OF(ELSEWHERE) IA2_OF(OURS));
	assert_option(&f, OPTION6_STATUS, "0004");
	assert_result(DHCP6_CONFIRM, CLIENT IA_EMPTY, DHCP_NO_ANSWER);
}

static void release_and_decline_are_acknowledged(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_RELEASE, CLIENT SERVER IA_OF(OURS));

	assert_option(&f, OPTION6_STATUS, "0000");
	assert_no_option(&f, OPTION6_IA_NA);
	f = reply(DHCP6_DECLINE, CLIENT SERVER IA_OF(STALE));
	assert_option(&f, OPTION6_STATUS, "0000");
	assert_option(&f, OPTION6_IA_NA, "11223344 00000000 00000000 000d 0002 0003");
}

static void prefixes_and_temporary_addresses_are_not_had(void **state)
{
	(void)state;
	struct frame f = reply(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY PREFIXES TEMPORARY);

	assert_option(&f, OPTION6_IA_NA, LEASED);
	assert_option(&f, OPTION6_IA_PD, "00000009 00000000 00000000 000d 0002 0006");
	assert_option(&f, OPTION6_IA_TA, "00000008 000d 0002 0002");
	f = reply(DHCP6_RENEW, CLIENT SERVER PREFIXES TEMPORARY);
	assert_option(&f, OPTION6_IA_PD, "00000009 00000000 00000000 000d 0002 0003");
	assert_option(&f, OPTION6_IA_TA, "00000008 000d 0002 0003");
}

static void several_addresses_are_spread_over_the_associations(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	struct frame f;

	l.n_ips = 2;
	// One for each; both for the only one; and where they were before.
	f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY "0003 000c 00000002 00000000 00000000",
		       &l);
	assert_option_n(&f, OPTION6_IA_NA, 0, LEASED);
	assert_option_n(&f, OPTION6_IA_NA, 1, "00000002 0000a8c0 00010e00 0005 0018 " SECOND LIFE);
	f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY, &l);
	assert_option(&f, OPTION6_IA_NA, LEASED "0005 0018 " SECOND LIFE);
	f = reply_with(DHCP6_RENEW, CLIENT SERVER IA_OF(SECOND) IA2_OF(OURS), &l);
	assert_option_n(&f, OPTION6_IA_NA, 0, "11223344 0000a8c0 00010e00 0005 0018 " SECOND LIFE);
	assert_option_n(&f, OPTION6_IA_NA, 1, "00000002 0000a8c0 00010e00 0005 0018 " OURS LIFE);
	f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA2_OF(OURS) IA_EMPTY, &l);
	assert_option_n(&f, OPTION6_IA_NA, 0, "00000002 0000a8c0 00010e00 0005 0018 " OURS LIFE);
	assert_option_n(&f, OPTION6_IA_NA, 1, "11223344 0000a8c0 00010e00 0005 0018 " SECOND LIFE);
	// More associations than addresses.
	f = reply(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY IA2_OF(OURS));
	assert_option_n(&f, OPTION6_IA_NA, 0, "11223344 00000000 00000000 000d 0002 0002");
	assert_option_n(&f, OPTION6_IA_NA, 1, "00000002 0000a8c0 00010e00 0005 0018 " OURS LIFE);
}

static void extra_options_are_sent_and_override(void **state)
{
	(void)state;
	static const struct dhcp_option extra[] = {{OPTION6_DNS, 16,
						    (const uint8_t *)"0123456789abcdef"},
						   {59, 3, (const uint8_t *)"url"},
						   {OPTION6_SERVER_ID, 3, (const uint8_t *)"bad"}};
	struct dhcp6_lease l = lease();
	struct frame f;

	l.extra = extra;
	l.n_extra = 3;
	f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY "0006 0004 0017 0018", &l);
	assert_option(&f, OPTION6_DNS, "30313233343536373839616263646566");
	assert_option(&f, 59, "75726c"); // not asked for
	assert_option(&f, OPTION6_SERVER_ID, "00030001027765667401");
	assert_option(&f, OPTION6_DOMAINS, "076578616d706c65 0474657374 00");
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
	(void)state;
	static const uint8_t value[255] = {1};
	static const struct dhcp_option extra[] = {{60, 255, value}, {61, 255, value},
						   {62, 255, value}, {63, 255, value},
						   {64, 255, value}, {65, 255, value}};
	struct dhcp6_lease l = lease();
	struct frame f;
	const uint8_t *v;

	l.extra = extra;
	l.n_extra = 6;
	f = reply_with(DHCP6_REQUEST, CLIENT SERVER IA_EMPTY, &l);
	assert_true(f.len <= MESSAGE + DHCP6_MAX);
	assert_option(&f, OPTION6_IA_NA, LEASED);
	assert_int_equal(option_n(&f, 63, 0, &v), 255);
	assert_no_option(&f, 64);
	assert_option(&f, OPTION6_DOMAINS, "076578616d706c65 0474657374 00");
}

static void what_is_not_for_us_gets_no_answer(void **state)
{
	(void)state;
	struct dhcp6_lease l = lease();
	struct frame f;

	assert_result(DHCP6_REQUEST, CLIENT OTHER IA_EMPTY, DHCP_NO_ANSWER);
	assert_result(DHCP6_RENEW, CLIENT OTHER IA_EMPTY, DHCP_NO_ANSWER);
	assert_result(DHCP6_ADVERTISE, CLIENT SERVER IA_EMPTY, DHCP_NO_ANSWER);
	assert_result(12, CLIENT, DHCP_NO_ANSWER); // a relay agent's
	assert_result(200, CLIENT, DHCP_NO_ANSWER);
	f = question(DHCP6_SOLICIT, CLIENT IA_EMPTY);
	f.b[11] = 0x0b; // another's MAC
	assert_int_equal(answer(&f, &l), DHCP_NO_ANSWER);
	f = question(DHCP6_SOLICIT, CLIENT IA_EMPTY);
	f.b[53] = 0x03; // another group
	assert_int_equal(answer(&f, &l), DHCP_NO_ANSWER);
	f = question(DHCP6_SOLICIT, CLIENT IA_EMPTY);
	memset(f.b + 22, 0, 16); // from "::"
	assert_int_equal(answer(&f, &l), DHCP_NO_ANSWER);
}

static void malformed_questions_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint8_t type;
		const char *options;
	} bad[] = {
		{DHCP6_SOLICIT, IA_EMPTY},			     // nobody asks
		{DHCP6_SOLICIT, CLIENT SERVER IA_EMPTY},	     // of one server
		{DHCP6_REBIND, CLIENT SERVER IA_EMPTY},		     // the same
		{DHCP6_REQUEST, CLIENT IA_EMPTY},		     // of no server
		{DHCP6_RELEASE, SERVER IA_EMPTY},		     // nobody's
		{DHCP6_INFORMATION_REQUEST, CLIENT IA_EMPTY},	     // it wants no address
		{DHCP6_SOLICIT, CLIENT CLIENT IA_EMPTY},	     // twice
		{DHCP6_SOLICIT, CLIENT IA_EMPTY "0006 0003 001700"}, // half a code
		{DHCP6_SOLICIT, CLIENT IA_EMPTY "000e 0001 00"},     // a flag with a value
		{DHCP6_SOLICIT, "0001 0002 0001"},		     // no identifier
		{DHCP6_SOLICIT, CLIENT "0003 000b 11223344 00000000 000000"},
		{DHCP6_SOLICIT, CLIENT "0003 000e 11223344 00000000 00000000 0005"},
		{DHCP6_SOLICIT, CLIENT "0003 0014 11223344 00000000 00000000 0005 0004 00000000"},
		{DHCP6_SOLICIT, CLIENT "0003 000d 11223344"}, // runs over the end
		{DHCP6_SOLICIT, CLIENT IA_EMPTY "0006"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_result(bad[i].type, bad[i].options, DHCP_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_solicit_gets_the_advertisement_byte_by_byte),
		cmocka_unit_test(a_request_gets_the_address),
		cmocka_unit_test(rapid_commit_saves_a_round),
		cmocka_unit_test(without_a_wish_list_everything_is_sent),
		cmocka_unit_test(information_is_given_without_addresses),
		cmocka_unit_test(a_refresh_time_is_never_shorter_than_allowed),
		cmocka_unit_test(a_lease_for_ever_is_never_renewed),
		cmocka_unit_test(renewing_ends_what_is_not_the_ports_any_more),
		cmocka_unit_test(renewing_without_addresses_finds_no_binding),
		cmocka_unit_test(a_request_for_another_link_is_told),
		cmocka_unit_test(confirm_says_whether_all_is_still_right),
		cmocka_unit_test(release_and_decline_are_acknowledged),
		cmocka_unit_test(prefixes_and_temporary_addresses_are_not_had),
		cmocka_unit_test(several_addresses_are_spread_over_the_associations),
		cmocka_unit_test(extra_options_are_sent_and_override),
		cmocka_unit_test(what_does_not_fit_is_left_out_whole),
		cmocka_unit_test(what_is_not_for_us_gets_no_answer),
		cmocka_unit_test(malformed_questions_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
