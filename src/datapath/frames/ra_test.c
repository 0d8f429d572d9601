// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/frame_hex.h"

static const struct mac_addr all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
static const struct ip_addr all_nodes = {6, {0xff, 0x02, [15] = 1}};

static struct ra advert(void)
{
	return (struct ra) {
		.router = {{0xfa, 0x16, 0x3e, 0, 0, 0x01}},
		.lifetime_s = RA_LIFETIME_S,
		.other = true,
		.mtu = 1450,
		.n_prefixes = 2,
		.prefixes = {{{{6, {0xfd, 0, 0, 1, [15] = 9}}, 64}, true},
			     {{{6, {0xfd, 0, 0, 2}}, 80}, false}},
		.n_dns = 2,
		.dns = {{6, {0xfd, [15] = 0x53}}, {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}},
		.domain = "example.test",
	};
}

static struct frame write_to_all(const struct ra *ra)
{
	struct frame f;
	struct packet p;

	f.len = weft_ra_write(f.b, RA_MAX, ra, &all_nodes_mac, &all_nodes);
	assert_true(f.len > 0 && f.len <= RA_MAX);
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_int_equal(p.l3_len, f.len - 14);
	assert_int_equal(frame_sum(f.b + 22, f.len - 22, 58 + (uint32_t)(f.len - 54)), 0xffff);
	return f;
}

static void an_advertisement_byte_by_byte(void **state)
{
	(void)state;
	struct ra ra = advert();
	struct frame f = write_to_all(&ra);
	struct frame e = frame_hex(
		"333300000001 fa163e000001 86dd 60000000 00a0 3a ff fe80000000000000f8163efffe000001 "
		"ff020000000000000000000000000001 86 00 6e00 40 40 0708 00000000 00000000 "
		"0101fa163e000001 05010000000005aa "
		"030440c0 00015180 00003840 00000000 fd000001000000000000000000000000 "
		"03045080 00015180 00003840 00000000 fd000002000000000000000000000000 "
		"1905 0000 00000708 fd000000000000000000000000000053 "
		"20010db8000000000000000000000001 "
		"1f03 0000 00000708 076578616d706c65 0474657374 000000");

	assert_int_equal(f.len, e.len);
	assert_memory_equal(f.b, e.b, e.len);
}

static void what_is_withdrawn_has_no_lifetime(void **state)
{
	(void)state;
	struct ra ra = advert();
	ra.withdrawn = true;
	ra.lifetime_s = 0;
	struct frame f = write_to_all(&ra);
	static const uint8_t zero[8];

	assert_memory_equal(f.b + 60, zero, 2);	     // the router
	assert_memory_equal(f.b + 86 + 4, zero, 8);  // the first prefix
	assert_memory_equal(f.b + 118 + 4, zero, 8); // the second
	assert_memory_equal(f.b + 150 + 4, zero, 4); // resolvers
	assert_memory_equal(f.b + 190 + 4, zero, 4); // domain
}

static void what_is_not_known_is_not_said(void **state)
{
	(void)state;
	struct ra ra = {.router = advert().router, .lifetime_s = 1800, .mtu = 1279};
	assert_int_equal(write_to_all(&ra).len, 14 + 40 + 16 + 8);
	ra.mtu = 1280;
	assert_int_equal(write_to_all(&ra).len, 14 + 40 + 16 + 8 + 8);
	strcpy(ra.domain, "bad..name");
	assert_int_equal(write_to_all(&ra).len, 14 + 40 + 16 + 8 + 8);
}

static void the_longest_advertisement_fits(void **state)
{
	(void)state;
	struct ra ra = advert();
	uint8_t b[RA_MAX];
	ra.n_prefixes = RA_PREFIXES_MAX;
	ra.n_dns = RA_DNS_MAX;
	memset(ra.domain, 'a', 253);
	for (size_t i = 63; i < 253; i += 64)
		ra.domain[i] = '.';
	assert_int_equal(weft_ra_write(b, RA_MAX, &ra, &all_nodes_mac, &all_nodes), RA_MAX);
	assert_int_equal(weft_ra_write(b, RA_MAX - 1, &ra, &all_nodes_mac, &all_nodes), 0);
}

static void a_name_becomes_labels(void **state)
{
	(void)state;
	uint8_t out[16];
	assert_int_equal(weft_dns_labels("a.bc", out, sizeof(out)), 6);
	assert_memory_equal(out, "\1a\2bc\0", 6);
	assert_int_equal(weft_dns_labels("a.bc.", out, sizeof(out)), 6);
	assert_int_equal(weft_dns_labels("a.bc", out, 6), 6);
	assert_int_equal(weft_dns_labels("a.bc", out, 5), 0);
	assert_int_equal(weft_dns_labels("", out, sizeof(out)), 0);
	assert_int_equal(weft_dns_labels(".", out, sizeof(out)), 0);
	assert_int_equal(weft_dns_labels("a..b", out, sizeof(out)), 0);
}

// ---- Questions -----------------------------------------------------------------------------

static const char *const from_link_local = "fe80000000000000f8163efffe00000a";
static const char *const from_nobody = "00000000000000000000000000000000";

static struct frame solicitation(const char *src, const char *options)
{
	struct frame f = frame_hex("333300000002 fa163e00000a 86dd 60000000 0000 3a ff");
	frame_add(&f, src);
	frame_add(&f, "ff020000000000000000000000000002 85 00 0000 00000000");
	frame_add(&f, options);
	f.b[19] = (uint8_t)(f.len - 54);
	return f;
}

static bool is_valid(const struct frame *f)
{
	struct packet p;
	return weft_packet_parse(f->b, f->len, f->len, 0, &p) == DROP_NONE &&
	       weft_rs_is_valid(f->b, f->len, &p);
}

static void solicitations_of_hosts_are_valid(void **state)
{
	(void)state;
	struct frame f = solicitation(from_link_local, "0101fa163e00000a");
	assert_true(is_valid(&f));
	f = solicitation(from_link_local, "");
	assert_true(is_valid(&f));
	f = solicitation(from_nobody, "");
	assert_true(is_valid(&f));
	f = solicitation(from_nobody, "0e01 aabbccddeeff"); // an option that nobody knows
	assert_true(is_valid(&f));
}

static void what_rfc_4861_forbids_is_invalid(void **state)
{
	(void)state;
	struct frame f = solicitation(from_nobody, "0101fa163e00000a");
	assert_false(is_valid(&f)); // it has no address and says its MAC
	f = solicitation(from_link_local, "0100fa163e00000a");
	assert_false(is_valid(&f)); // an option of no length
	f = solicitation(from_link_local, "0102fa163e00000a");
	assert_false(is_valid(&f)); // one that runs over the end
	f = solicitation(from_link_local, "0101fa16");
	assert_false(is_valid(&f));
	f = solicitation(from_link_local, "");
	f.b[21] = 254; // it came through a router
	assert_false(is_valid(&f));
	f = solicitation(from_link_local, "");
	f.b[55] = 1; // code
	assert_false(is_valid(&f));
	f = solicitation(from_link_local, "");
	f.b[54] = 134;
	assert_false(is_valid(&f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_advertisement_byte_by_byte),
		cmocka_unit_test(what_is_withdrawn_has_no_lifetime),
		cmocka_unit_test(what_is_not_known_is_not_said),
		cmocka_unit_test(the_longest_advertisement_fits),
		cmocka_unit_test(a_name_becomes_labels),
		cmocka_unit_test(solicitations_of_hosts_are_valid),
		cmocka_unit_test(what_rfc_4861_forbids_is_invalid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
