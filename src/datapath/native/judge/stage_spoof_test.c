// SPDX-License-Identifier: Apache-2.0
// What a filtered port may say of itself, beyond its addresses in packets.
#include "datapath/native/testing/native_fixture.h"

enum {
	ETHERTYPE = 12,
	ARP_OP = 21,
	ARP_SENDER_MAC = 22,
	ARP_SENDER_IP = 28,
	IP6_HOPS = 14 + 7,
	ND_TARGET = 14 + 40 + 8,
};

static enum drop sent(struct testbed *tb, const struct frame *f)
{
	testbed_drop(tb);
	testbed_send(tb, "client", f);
	return testbed_drop(tb);
}

static void a_probe_comes_from_no_address_and_an_answer_does_not(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame f = testbed_arp("client", "0.0.0.0", "10.0.0.2");

	(void)state;
	assert_int_equal(sent(tb, &f), DROP_NONE);
	f.b[ARP_OP] = 2;
	assert_int_equal(sent(tb, &f), DROP_SPOOF_ARP);
	f.b[ARP_OP] = 1;
	f.b[ARP_SENDER_IP + 3] = 1; // 0.0.0.1
	assert_int_equal(sent(tb, &f), DROP_SPOOF_ARP);
	testbed_free(tb);
}

// What a hypervisor sends after a migration: from the port's MAC about the port's MAC.
static void rarp_is_about_the_senders_mac_only(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame f = testbed_arp("client", "0.0.0.0", "0.0.0.0");

	(void)state;
	memcpy(f.b + ETHERTYPE, "\x80\x35", 2);
	f.b[ARP_OP] = 3;
	assert_int_not_equal(sent(tb, &f), DROP_SPOOF_ARP);
	struct mac_addr server = testbed_mac("server");
	memcpy(f.b + ARP_SENDER_MAC, server.b, 6);
	assert_int_equal(sent(tb, &f), DROP_SPOOF_ARP);
	memcpy(f.b + 6, server.b, 6);
	assert_int_equal(sent(tb, &f), DROP_SPOOF_MAC);
	testbed_free(tb);
}

static void a_vm_is_no_dhcp_server_in_either_family(void **state)
{
	static const struct {
		const char *src, *dst;
		uint16_t server, client;
	} of[] = {{"10.0.0.1", "10.0.0.2", 67, 68}, {"fd00::1", "fd00::2", 547, 546}};
	struct testbed *tb = two_ports("ingress 4 udp\ningress 6 udp\n");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct frame f = testbed_frame("client", "server", of[i].src, of[i].dst,
					       UDP(of[i].server, of[i].client, 300));

		assert_int_equal(sent(tb, &f), DROP_DHCP_SERVER);
		// Neither port alone makes a server.
		f = testbed_frame("client", "server", of[i].src, of[i].dst,
				  UDP(of[i].server, 1000, 300));
		assert_int_equal(sent(tb, &f), DROP_NONE);
		f = testbed_frame("client", "server", of[i].src, of[i].dst,
				  UDP(1000, of[i].client, 300));
		assert_int_equal(sent(tb, &f), DROP_NONE);
	}
	testbed_free(tb);
}

static struct frame advert(const char *target)
{
	struct frame f = testbed_frame("client", "server", "fd00::1", "fd00::2",
				       (struct l4) {.proto = 58, .dport = 136 << 8, .payload = 16});
	struct ip_addr ip;

	assert_int_equal(weft_ip_parse(target, &ip), 0);
	f.b[IP6_HOPS] = 255;
	memcpy(f.b + ND_TARGET, ip.b, 16);
	return f;
}

// A pair for everything does not make a group's address somebody's.
static void neighbour_advertisements_are_for_the_ports_own_addresses(void **state)
{
	struct testbed *tb = two_ports("ingress 6 any\n");
	struct frame own = advert("fd00::1"), others = advert("fd00::2"), group = advert("ff02::2");

	(void)state;
	assert_int_not_equal(sent(tb, &own), DROP_SPOOF_ND);
	assert_int_equal(sent(tb, &others), DROP_SPOOF_ND);
	assert_int_equal(sent(tb, &group), DROP_SPOOF_ND);
	testbed_port_with(tb, "client", "n1", "10.0.0.1 fd00::1", "out", "-|::/0", true);
	testbed_commit(tb);
	assert_int_not_equal(sent(tb, &others), DROP_SPOOF_ND);
	assert_int_equal(sent(tb, &group), DROP_SPOOF_ND);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_comes_from_no_address_and_an_answer_does_not),
		cmocka_unit_test(rarp_is_about_the_senders_mac_only),
		cmocka_unit_test(a_vm_is_no_dhcp_server_in_either_family),
		cmocka_unit_test(neighbour_advertisements_are_for_the_ports_own_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
