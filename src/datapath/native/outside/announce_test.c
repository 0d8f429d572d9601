// SPDX-License-Identifier: Apache-2.0
// What is announced, when, and how often.
#include "datapath/native/outside/announce.h"

#include "datapath/native/testing/resolver_fixture.h"

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

static void silence(struct testbed *tb)
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
	struct testbed *tb = new_north();

	(void)state;
	silence(tb);
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
	struct testbed *tb = new_north();

	(void)state;
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	silence(tb);
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
	struct testbed *tb = new_north();

	(void)state;
	silence(tb);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	testbed_pass_time(tb, 100);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	testbed_pass_time(tb, 5000);
	expect(tb, "ext", "203.0.113.20", "fm", 0);
	assert_int_equal(weft_announcer_waiting(tb->dp.node.announcer), 0);
	testbed_free(tb);
}

static void external_router_put(struct testbed *tb, const char *addrs, bool up)
{
	char interfaces[128];

	snprintf(interfaces, sizeof(interfaces), "n1|r1|10.0.1.254/24 !ext|rx|%s", addrs);
	testbed_router(tb, "r", up, interfaces, "");
	testbed_commit(tb);
}

static void router_announces_its_addresses_outside_when_they_come_or_change(void **state)
{
	struct testbed *tb = new_north();

	(void)state;
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.1", "rx", 3);
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

// A host that knows the MAC of a gateway that was removed goes on with the new one's at once, and
// does not find out by itself.
static void hosts_inside_are_told_of_their_gateways_new_mac(void **state)
{
	struct testbed *tb = new_north();

	(void)state;
	testbed_pass_time(tb, 3000);
	expect(tb, "b", "10.0.1.254", "r1", 2);
	expect(tb, "a", "fd01::fe", "r1", 2);
	// Nothing changed: nothing is said.
	north_router(tb);
	testbed_commit(tb);
	testbed_pass_time(tb, 3000);
	expect(tb, "a", "10.0.1.254", "r1", 0);
	// The interface goes, and another one comes, of this router or of another one.
	testbed_router(tb, "r", true, "!ext|rx|203.0.113.1/24", "");
	testbed_commit(tb);
	testbed_router(tb, "q", true, "n1|r1-new|10.0.1.254/24,fd01::fe/64", "");
	testbed_commit(tb);
	testbed_pass_time(tb, 3000);
	expect(tb, "a", "10.0.1.254", "r1-new", 2);
	expect(tb, "b", "fd01::fe", "r1-new", 2);
	testbed_router(tb, "q", true, "n1|r1-newer|10.0.1.254/24", "");
	testbed_commit(tb);
	testbed_pass_time(tb, 3000);
	expect(tb, "a", "10.0.1.254", "r1-newer", 2);
	testbed_free(tb);
}

static void what_is_outside_does_not_wait_for_what_is_inside(void **state)
{
	struct testbed *tb = new_north();
	char id[16], interfaces[64];

	(void)state;
	silence(tb);
	for (uint32_t i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		snprintf(interfaces, sizeof(interfaces), "n1|%s|10.%u.%u.254/24", id, 2 + i / 250,
			 i % 250);
		testbed_router(tb, id, true, interfaces, "");
	}
	testbed_commit(tb);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	testbed_pass_time(tb, 100);
	expect(tb, "ext", "203.0.113.20", "fm", 1);
	testbed_free(tb);
}

static void network_whose_uplink_comes_announces_all_it_has(void **state)
{
	struct testbed *tb = new_north();

	(void)state;
	testbed_network(tb, "ext2", 1500);
	external_router_put(tb, "203.0.113.1/24,2001:db8::1/64", true);
	floating(tb, "f", "203.0.113.20", "fm", "10.0.1.1");
	silence(tb);
	weft_announce_network(&tb->dp.node, ext(tb) + 1);
	testbed_pass_time(tb, 3000);
	assert_int_equal(heard(tb, "ext", "203.0.113.20", "fm").requests, 0);
	weft_announce_network(&tb->dp.node, ext(tb));
	weft_announce_network(&tb->dp.node, ext(tb)); // once more changes nothing
	testbed_pass_time(tb, 3000);
	expect(tb, "ext", "203.0.113.20", "fm", 3);
	expect(tb, "local", "2001:db8::1", "rx", 3);
	testbed_free(tb);
}

static void thousands_of_addresses_are_spread_over_time(void **state)
{
	struct testbed *tb = new_north();
	struct frame f;
	uint32_t most = 0, all = 0, ticks = 0;
	char id[16], ip[32];

	(void)state;
	silence(tb);
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "f%u", i);
		snprintf(ip, sizeof(ip), "203.0.%u.%u", 120 + i / 250, i % 250 + 1);
		floating(tb, id, ip, id, "10.0.1.1");
	}
	while (weft_announcer_waiting(tb->dp.node.announcer) > 0 && ticks < 1000) {
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

// ---- VMs that came from another node ----

static const uint8_t rarp_head[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};

static void announce_vm(struct testbed *tb, const char *port, struct mac_addr mac)
{
	weft_announce_vm(&tb->dp.node, weft_tables_port(tb->dp.tables, port), &mac);
	rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
}

static void migrated_vm_is_announced_to_the_uplink_as_qemu_does(void **state)
{
	struct testbed *tb = new_north();
	struct mac_addr mac = testbed_mac("local");
	struct port *p = weft_tables_port(tb->dp.tables, "local");
	static const uint8_t zero[18];
	struct frame f;

	(void)state;
	quiet(tb);
	announce_vm(tb, "local", mac);
	assert_true(testbed_receive(tb, "ext", &f));
	assert_int_equal(f.len, 60);
	for (int i = 0; i < 6; i++)
		assert_int_equal(f.b[i], 0xff);
	assert_memory_equal(f.b + 6, mac.b, 6);
	assert_memory_equal(f.b + 12, rarp_head, sizeof(rarp_head));
	assert_memory_equal(f.b + 22, mac.b, 6);
	assert_memory_equal(f.b + 28, zero, 4);
	assert_memory_equal(f.b + 32, mac.b, 6);
	assert_memory_equal(f.b + 38, zero, 4);
	assert_memory_equal(f.b + 42, zero, 18);
	assert_false(testbed_receive(tb, "ext", &f));
	assert_false(testbed_receive(tb, "local", &f));
	assert_int_equal(p->announced, 1);
	assert_int_equal(p->announce_refused, 0);

	// Each time that it asks.
	announce_vm(tb, "local", mac);
	assert_true(testbed_receive(tb, "ext", &f));
	testbed_free(tb);
}

static void only_macs_that_a_port_may_use_are_announced_for_it(void **state)
{
	struct testbed *tb = new_north();
	struct mac_addr pair;
	struct port *p;
	struct frame f;

	(void)state;
	assert_int_equal(weft_mac_parse("00:00:5e:00:01:07", &pair), 0);
	testbed_port_with(tb, "local", "ext", "203.0.113.9", "all",
			  "00:00:5e:00:01:07|203.0.113.77/32", true);
	testbed_port(tb, "open", "ext", "203.0.113.10", NULL);
	testbed_port_with(tb, "down", "ext", "203.0.113.11", "all", "", false);
	testbed_commit(tb);
	quiet(tb);
	p = weft_tables_port(tb->dp.tables, "local");
	announce_vm(tb, "local", pair);
	assert_true(testbed_receive(tb, "ext", &f));
	assert_memory_equal(f.b + 6, pair.b, 6);

	announce_vm(tb, "local", testbed_mac("a"));
	announce_vm(tb, "local", testbed_mac("rx"));
	announce_vm(tb, "local", gateway_mac);
	assert_int_equal(p->announced, 1);
	assert_int_equal(p->announce_refused, 3);
	// Without port security it may send from any; but QEMU has no other than the port's.
	announce_vm(tb, "open", testbed_mac("local"));
	announce_vm(tb, "down", testbed_mac("down"));
	assert_false(testbed_receive(tb, "ext", &f));
	testbed_free(tb);
}

static void nothing_is_said_where_no_uplink_is(void **state)
{
	struct testbed *tb = new_north();
	struct frame f;

	(void)state;
	quiet(tb);
	announce_vm(tb, "a", testbed_mac("a"));
	assert_false(testbed_receive(tb, "ext", &f));
	assert_false(testbed_receive(tb, "a", &f));
	assert_false(testbed_receive(tb, "b", &f));
	assert_int_equal(weft_tables_port(tb->dp.tables, "a")->announced, 0);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floating_ip_is_announced_three_times_to_the_whole_network),
		cmocka_unit_test(
			floating_ip_that_moves_is_announced_again_and_one_that_stays_is_not),
		cmocka_unit_test(address_that_goes_is_not_announced_any_more),
		cmocka_unit_test(router_announces_its_addresses_outside_when_they_come_or_change),
		cmocka_unit_test(hosts_inside_are_told_of_their_gateways_new_mac),
		cmocka_unit_test(what_is_outside_does_not_wait_for_what_is_inside),
		cmocka_unit_test(network_whose_uplink_comes_announces_all_it_has),
		cmocka_unit_test(thousands_of_addresses_are_spread_over_time),
		cmocka_unit_test(migrated_vm_is_announced_to_the_uplink_as_qemu_does),
		cmocka_unit_test(only_macs_that_a_port_may_use_are_announced_for_it),
		cmocka_unit_test(nothing_is_said_where_no_uplink_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
