// SPDX-License-Identifier: Apache-2.0
// Next hops: who says that he has an address, what of it is believed, and what is said against it.
#include "datapath/native/outside/announce.h"
#include "datapath/native/testing/resolver_fixture.h"

// ---- Moving --------------------------------------------------------------------------------

static void announcement_moves_a_known_next_hop_at_once(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t gen = gen_of(tb, "ext"), version = weft_resolver_version(tb->dp.node.resolver);
	struct mac_addr mac;
	struct frame q;

	(void)state;
	testbed_pass_time(tb, 2000);
	says_arp(tb, "ext", &other_mac, 1, "203.0.113.254", "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, other_mac.b, 6);
	assert_true(gen_of(tb, "ext") != gen);
	assert_true(weft_resolver_version(tb->dp.node.resolver) != version);
	assert_int_equal(stats(tb).moves, 1);
	quiet(tb);
	testbed_pass_time(tb, 1200); // is it really there?
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, other_mac.b, 6);
	testbed_free(tb);
}

static void hosts_that_quarrel_do_not_move_it_with_each_packet(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t gen = gen_of(tb, "ext");
	struct mac_addr mac;

	(void)state;
	for (int i = 0; i < 50; i++)
		says_arp(tb, "ext", i % 2 == 0 ? &other_mac : &gateway_mac, 2, "203.0.113.254",
			 "203.0.113.254");
	assert_int_equal(gen_of(tb, "ext"), gen);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, gateway_mac.b, 6);
	testbed_free(tb);
}

static void set_na_flags(struct frame *f, uint8_t flags)
{
	uint8_t before = f->b[58];
	uint16_t sum;

	// The checksum follows (RFC 1624): only one byte changes.
	sum = (uint16_t)(f->b[56] << 8 | f->b[57]);
	uint32_t s = (uint32_t)(uint16_t)~sum + (uint16_t) ~(before << 8) + (uint32_t)(flags << 8);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	sum = (uint16_t)~s;
	f->b[56] = (uint8_t)(sum >> 8);
	f->b[57] = (uint8_t)sum;
	f->b[58] = flags;
}

static void advertisement_without_override_only_makes_us_ask(void **state)
{
	struct testbed *tb = with_gateway();
	struct ip_addr gateway = ip_of("2001:db8::fe");
	struct mac_addr mac;
	struct frame f, q;

	(void)state;
	hold(tb, "2001:db8::fe");
	f.len = weft_neighbour_announcement(f.b, ANNOUNCE_REPLY, &gateway, &gateway_mac);
	testbed_send(tb, "ext", &f);
	quiet(tb);
	testbed_pass_time(tb, 2000);
	f.len = weft_neighbour_announcement(f.b, ANNOUNCE_REPLY, &gateway, &other_mac);
	set_na_flags(&f, 0);
	testbed_send(tb, "ext", &f);
	assert_int_equal(state_of(tb, "2001:db8::fe", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, gateway_mac.b, 6);
	quiet(tb);
	testbed_pass_time(tb, 200);
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, gateway_mac.b, 6);
	set_na_flags(&f, 0x20);
	testbed_send(tb, "ext", &f);
	assert_int_equal(state_of(tb, "2001:db8::fe", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, other_mac.b, 6);
	testbed_free(tb);
}

static void advertisement_that_is_damaged_or_from_afar_is_not_believed(void **state)
{
	struct testbed *tb = with_gateway();
	struct ip_addr gateway = ip_of("2001:db8::fe");
	struct mac_addr mac;
	struct frame good, f;

	(void)state;
	hold(tb, "2001:db8::fe");
	good.len = weft_neighbour_announcement(good.b, ANNOUNCE_REPLY, &gateway, &gateway_mac);
	f = good;
	f.b[81] ^= 1; // checksum
	testbed_send(tb, "ext", &f);
	f = good;
	f.b[21] = 254; // crossed a router
	testbed_send(tb, "ext", &f);
	f = good;
	set_na_flags(&f, 0x60); // "solicited", to a group
	testbed_send(tb, "ext", &f);
	assert_int_equal(state_of(tb, "2001:db8::fe", &mac), NEXT_HOP_UNKNOWN);
	testbed_send(tb, "ext", &good);
	assert_int_equal(state_of(tb, "2001:db8::fe", &mac), NEXT_HOP_KNOWN);
	testbed_free(tb);
}

// What an operator sees of a next hop.
static void take_view(const struct next_hop_view *v, void *arg)
{
	struct next_hop_view *out = arg;

	if (weft_ip_equal(&v->ip, &out->ip))
		*out = *v;
}

static uint32_t heard_ago(struct testbed *tb, const char *ip)
{
	struct next_hop_view v = {.ip = ip_of(ip)};

	weft_resolver_each(tb->dp.node.resolver, take_view, &v);
	assert_true(v.has_mac);
	return tb->w->now_ms - v.heard_ms;
}

static void what_was_not_believed_is_not_heard(void **state)
{
	struct testbed *tb = with_gateway();
	struct mac_addr mac;

	(void)state;
	testbed_pass_time(tb, 2000);
	says_arp(tb, "ext", &other_mac, 1, "203.0.113.254", "203.0.113.254");
	assert_int_equal(heard_ago(tb, "203.0.113.254"), 0);
	testbed_pass_time(tb, 500);
	says_arp(tb, "ext", &gateway_mac, 1, "203.0.113.254", "203.0.113.254"); // too soon
	assert_int_equal(heard_ago(tb, "203.0.113.254"), 500);
	state_of(tb, "203.0.113.254", &mac);
	assert_memory_equal(mac.b, other_mac.b, 6);
	says_arp(tb, "ext", &other_mac, 1, "203.0.113.254", "203.0.113.254");
	assert_int_equal(heard_ago(tb, "203.0.113.254"), 0);
	testbed_free(tb);
}

// ---- Who may say what ----------------------------------------------------------------------

static void filtered_port_speaks_only_for_itself(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac, local = testbed_mac("local");

	(void)state;
	hold(tb, "203.0.113.254");
	says_arp(tb, "local", &local, 2, "203.0.113.254", "203.0.113.1");
	says_arp(tb, "local", &gateway_mac, 2, "203.0.113.254", "203.0.113.1");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	testbed_free(tb);
}

static void port_with_a_pair_for_a_prefix_is_asked_and_believed(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac, local = testbed_mac("local");
	struct frame f;

	(void)state;
	testbed_port_with(tb, "local", "ext", "203.0.113.9", "all", "-|203.0.113.128/25", true);
	testbed_commit(tb);
	quiet(tb);
	hold(tb, "203.0.113.77");
	assert_false(testbed_receive(tb, "local", &f));
	hold(tb, "203.0.113.200");
	assert_true(testbed_receive(tb, "local", &f));
	says_arp(tb, "local", &local, 2, "203.0.113.200", "203.0.113.1");
	assert_int_equal(state_of(tb, "203.0.113.200", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, local.b, 6);
	testbed_free(tb);
}

static void count_conflicts(const struct address_conflict *c, void *arg)
{
	uint64_t *n = arg;

	assert_memory_equal(c->ip.b, "\xcb\x00\x71\x01", 4);
	assert_memory_equal(c->mac.b, other_mac.b, 6);
	*n += c->times;
}

static void claim_for_an_address_of_the_plan_is_a_conflict_and_not_believed(void **state)
{
	struct testbed *tb = with_gateway();
	struct mac_addr mac, own = testbed_mac("rx");
	uint64_t n = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		says_arp(tb, "ext", &other_mac, 1, "203.0.113.1", "203.0.113.1");
	says_arp(tb, "ext", &own, 1, "203.0.113.1", "203.0.113.1"); // our own, come back
	assert_int_equal(stats(tb).conflicts, 3);
	testbed_pass_time(tb, 100);
	weft_resolver_each_conflict(tb->dp.node.resolver, count_conflicts, &n);
	assert_int_equal(n, 3);
	assert_int_equal(state_of(tb, "203.0.113.1", &mac), NEXT_HOP_UNKNOWN);
	testbed_free(tb);
}

// The announcements of an address of ours that "ext" was given, in both forms.
static uint32_t announced(struct testbed *tb, const char *ip, const char *mac_of)
{
	struct mac_addr mac = testbed_mac(mac_of);
	struct ip_addr own = ip_of(ip);
	struct packet p;
	struct frame f;
	struct told t;
	uint32_t n = 0;

	while (testbed_receive(tb, "ext", &f)) {
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
		n += weft_neighbour_told(f.b, f.len, &p, &t) && weft_ip_equal(&t.ip, &own) &&
		     weft_mac_equal(&t.mac, &mac);
	}
	return n;
}

static void false_claim(struct testbed *tb, const char *ip)
{
	struct ip_addr own = ip_of(ip);
	struct frame f = {0};

	f.len = weft_neighbour_announcement(f.b, ANNOUNCE_REPLY, &own, &other_mac);
	testbed_send(tb, "ext", &f);
	testbed_pass_time(tb, 100);
}

static void routers_address_is_defended_once_in_ten_seconds(void **state)
{
	struct testbed *tb = with_gateway();
	struct announcer *a = tb->dp.node.announcer;

	(void)state;
	testbed_pass_time(tb, 3000);
	quiet(tb);
	false_claim(tb, "203.0.113.1");
	assert_int_equal(announced(tb, "203.0.113.1", "rx"), 2);
	for (int i = 0; i < 98; i++)
		false_claim(tb, "203.0.113.1");
	assert_int_equal(announced(tb, "203.0.113.1", "rx"), 0);
	assert_int_equal(weft_announcer_defended(a), 1);
	testbed_pass_time(tb, 100);
	false_claim(tb, "203.0.113.1");
	false_claim(tb, "203.0.113.1");
	assert_int_equal(announced(tb, "203.0.113.1", "rx"), 2);
	// Another address has an interval of its own.
	false_claim(tb, "2001:db8::1");
	assert_int_equal(announced(tb, "2001:db8::1", "rx"), 1);
	assert_int_equal(weft_announcer_defended(a), 3);
	assert_int_equal(stats(tb).conflicts, 102);
	testbed_free(tb);
}

static void only_what_is_announced_is_defended(void **state)
{
	struct testbed *tb = with_gateway();

	(void)state;
	testbed_pass_time(tb, 3000);
	quiet(tb);
	false_claim(tb, "203.0.113.9"); // a VM's, who defends it itself
	assert_int_equal(stats(tb).conflicts, 1);
	assert_int_equal(announced(tb, "203.0.113.9", "local"), 0);
	// The router gives its address up.
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 !ext|rx|203.0.113.3/24", "");
	testbed_commit(tb);
	testbed_pass_time(tb, 3000);
	quiet(tb);
	false_claim(tb, "203.0.113.1");
	assert_int_equal(announced(tb, "203.0.113.1", "rx"), 0);
	false_claim(tb, "203.0.113.3");
	assert_int_equal(announced(tb, "203.0.113.3", "rx"), 2);
	assert_int_equal(weft_announcer_defended(tb->dp.node.announcer), 1);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announcement_moves_a_known_next_hop_at_once),
		cmocka_unit_test(hosts_that_quarrel_do_not_move_it_with_each_packet),
		cmocka_unit_test(advertisement_without_override_only_makes_us_ask),
		cmocka_unit_test(advertisement_that_is_damaged_or_from_afar_is_not_believed),
		cmocka_unit_test(what_was_not_believed_is_not_heard),
		cmocka_unit_test(filtered_port_speaks_only_for_itself),
		cmocka_unit_test(port_with_a_pair_for_a_prefix_is_asked_and_believed),
		cmocka_unit_test(claim_for_an_address_of_the_plan_is_a_conflict_and_not_believed),
		cmocka_unit_test(routers_address_is_defended_once_in_ten_seconds),
		cmocka_unit_test(only_what_is_announced_is_defended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
