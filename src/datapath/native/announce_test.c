// SPDX-License-Identifier: Apache-2.0
// What is announced, when, and how often.
#include "datapath/native/announce.h"

#include "datapath/native/resolver_fixture.h"

static void floating(struct testbed *tb, const char *id, const char *ip, const char *mac_of,
		     const char *fixed)
{
	struct plan_floating *f = calloc(1, sizeof(*f));

	snprintf(f->id, sizeof(f->id), "%s", id);
	snprintf(f->router_id, sizeof(f->router_id), "r");
	snprintf(f->network_id, sizeof(f->network_id), "ext");
	f->ip = ip_of(ip);
	f->mac = testbed_mac(mac_of);
	f->fixed = ip_of(fixed);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_FLOATING, f);
	testbed_commit(tb);
}

struct heard {
	uint32_t requests, replies, adverts;
};

// The announcements that a port was given for an address from a MAC.
static struct heard heard(struct testbed *tb, const char *port, const char *text,
			  const char *mac_of)
{
	struct mac_addr mac = testbed_mac(mac_of);
	struct ip_addr ip = ip_of(text);
	struct heard h = {0};
	struct packet p;
	struct told t;
	struct frame f;

	while (testbed_receive(tb, port, &f)) {
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
		if (!weft_neighbour_told(f.b, f.len, &p, &t) || !weft_ip_equal(&t.ip, &ip) ||
		    !weft_mac_equal(&t.mac, &mac) || memcmp(f.b + 6, mac.b, 6) != 0)
			continue;
		assert_true(f.b[0] & 1);
		assert_true(t.overrides);
		if (p.kind == PACKET_ARP) {
			assert_true(weft_ip_equal(&p.arp_spa, &p.arp_tpa));
			h.requests += p.arp_op == 1;
			h.replies += p.arp_op == 2;
		} else {
			assert_int_equal(f.b[58], 0xa0); // router, override
			h.adverts++;
		}
	}
	return h;
}

static void quiet(struct testbed *tb)
{
	testbed_pass_time(tb, 3000);
	heard(tb, "ext", "0.0.0.1", "");
	heard(tb, "local", "0.0.0.1", "");
	heard(tb, "a", "0.0.0.1", "");
}

static void expect(struct testbed *tb, const char *port, const char *ip, const char *mac_of,
		   uint32_t each)
{
	struct heard h = heard(tb, port, ip, mac_of);

	if (ip_of(ip).family == 6) {
		assert_int_equal(h.adverts, each);
		return;
	}
	assert_int_equal(h.requests, each);
	assert_int_equal(h.replies, each);
}

static void floating_ip_is_announced_three_times_to_the_whole_network(void **state)
{
	struct testbed *tb = north();

	(void)state;
	quiet(tb);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	testbed_pass_time(tb, 100);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_pass_time(tb, 900);
	expect(tb, "ext", "203.0.113.20", "fm", 0);
	testbed_pass_time(tb, 100);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_pass_time(tb, 1000);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_pass_time(tb, 5000);
	expect(tb, "ext", "203.0.113.20", "fm", 0);
	expect(tb, "local", "203.0.113.20", "fm", 3);
	expect(tb, "a", "203.0.113.20", "fm", 0);
	testbed_free(tb);
}

static void floating_ip_that_moves_is_announced_again_and_one_that_stays_is_not(void **state)
{
	struct testbed *tb = north();

	(void)state;
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	quiet(tb);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.20", "fm", 0);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.2");
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.20", "fm", 3);
	floating(tb, "f", "203.0.113.20", "fm2", "10.0.1.2");
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.20", "fm2", 3);
	testbed_free(tb);
}

static void address_that_goes_is_not_announced_any_more(void **state)
{
	struct testbed *tb = north();

	(void)state;
	quiet(tb);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	testbed_pass_time(tb, 100);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	testbed_pass_time(tb, 5000);
	expect(tb, "ext", "203.0.113.20", "fm", 0);
	assert_int_equal(weft_announcer_waiting(tb->dp.announcer), 0);
	testbed_free(tb);
}

static void external_router_put(struct testbed *tb, const char *addrs, bool up)
{
	char interfaces[128];

	snprintf(interfaces, sizeof(interfaces), "n1|r1|10.0.1.254/24 !ext|rx|%s", addrs);
	testbed_router(tb, "r", up, interfaces, "");
	testbed_commit(tb);
}

static void router_announces_the_addresses_of_its_gateway_when_they_come_or_change(void **state)
{
	struct testbed *tb = north();

	(void)state;
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.1", "rx", 3);
	expect(tb, "a", "10.0.1.254", "r1", 0); // those inside are answered for
	external_router_put(tb, "203.0.113.1/24,2001:db8::1/64,2001:db8::2/64", true);
	testbed_pass_time(tb, 3000);
	expect(tb, "local", "2001:db8::1", "rx", 3); // from before
	expect(tb, "ext", "2001:db8::2", "rx", 3);
	external_router_put(tb, "203.0.113.1/24", false);
	external_router_put(tb, "203.0.113.1/24", true);
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.1", "rx", 3);
	testbed_free(tb);
}

static void network_whose_uplink_comes_announces_all_it_has(void **state)
{
	struct testbed *tb = north();

	(void)state;
	testbed_network(tb, "ext2", 1500);
	external_router_put(tb, "203.0.113.1/24,2001:db8::1/64", true);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	quiet(tb);
	weft_announce_network(&tb->dp, ext(tb) + 1);
	testbed_pass_time(tb, 3000);
	assert_int_equal(heard(tb, "ext", "203.0.113.20", "fm").requests, 0);
	weft_announce_network(&tb->dp, ext(tb));
	weft_announce_network(&tb->dp, ext(tb)); // once more changes nothing
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.20", "fm", 3);
	expect(tb, "local", "2001:db8::1", "rx", 3);
	testbed_free(tb);
}

static void thousands_of_addresses_are_spread_over_time(void **state)
{
	struct testbed *tb = north();
	struct frame f;
	uint32_t most = 0, all = 0, ticks = 0;
	char id[16], ip[32];

	(void)state;
	quiet(tb);
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "f%u", i);
		snprintf(ip, sizeof(ip), "203.0.%u.%u", 120 + i / 250, i % 250 + 1);
		floating(tb, id, ip, id, "10.0.1.1");
	}
	while (weft_announcer_waiting(tb->dp.announcer) > 0 && ticks < 1000) {
		uint32_t n = 0;

		testbed_pass_time(tb, 100);
		ticks++;
		while (testbed_receive(tb, "ext", &f))
			n++;
		while (testbed_receive(tb, "local", &f))
			continue;
		most = n > most ? n : most;
		all += n;
	}
	assert_int_equal(all, 2000 * 3 * 2);
	assert_in_range(most, 1, 128);
	assert_in_range(ticks, 100, 400);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floating_ip_is_announced_three_times_to_the_whole_network),
		cmocka_unit_test(
			floating_ip_that_moves_is_announced_again_and_one_that_stays_is_not),
		cmocka_unit_test(address_that_goes_is_not_announced_any_more),
		cmocka_unit_test(
			router_announces_the_addresses_of_its_gateway_when_they_come_or_change),
		cmocka_unit_test(network_whose_uplink_comes_announces_all_it_has),
		cmocka_unit_test(thousands_of_addresses_are_spread_over_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
