// SPDX-License-Identifier: Apache-2.0
// Source NAT of very many flows.
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/testing/rounds.h"

// One address, some destinations, three quarters of all the ports that there are.
static void hundreds_of_thousands_of_flows_share_an_address(void **state)
{
	enum { DESTINATIONS = ROUNDS(8), FLOWS = 50000 * DESTINATIONS };
	struct testbed *tb = testbed_new(1u << 20);
	bool *used = calloc((size_t)DESTINATIONS << 16, sizeof(*used));
	uint64_t random = 1;

	(void)state;
	assert_non_null(used);
	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "ext", 1500);
	testbed_port(tb, "u", "n1", "10.0.0.1", NULL);
	internet(tb, "x", "203.0.113.9");
	testbed_router_snat(tb, "r", "n1|r1|10.0.255.254/16 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_commit(tb);
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint32_t host = i / 1000, to = i % DESTINATIONS;
		uint64_t before = tb->w->stats.translated;
		char src[16], dst[16];
		uint16_t sport, port;

		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		sport = (uint16_t)(1024 + (random >> 33) % (65536 - 1024));
		snprintf(src, sizeof(src), "10.0.%u.%u", host / 200, 1 + host % 200);
		snprintf(dst, sizeof(dst), "198.51.100.%u", 1 + to);
		port = port_of(tb, "u", src, dst, UDP(sport, 53, 0));
		assert_int_not_equal(port, 0);
		// A host may use a port again: that is the same flow.
		assert_true(used[to << 16 | port] == (tb->w->stats.translated == before));
		used[to << 16 | port] = true;
	}
	print_message("%u flows, %llu ports tried in vain\n",
		      weft_session_count(tb->dp.node.sessions),
		      (unsigned long long)tb->w->stats.nat_tries);
	assert_true(weft_session_count(tb->dp.node.sessions) > FLOWS * 99 / 100);
	assert_int_equal(tb->w->drops[DROP_NAT_EXHAUSTED], 0);
	free(used);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hundreds_of_thousands_of_flows_share_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
