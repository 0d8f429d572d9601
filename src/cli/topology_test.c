// SPDX-License-Identifier: Apache-2.0
#include "cli/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void a_tree_has_everything_once_at_its_place(void **state)
{
	json_t *all = json_loads(
		"{\"networks\": [{\"id\": \"n1\", \"name\": \"red\", \"mtu\": 1450, \"subnets\": "
		"[{\"cidr\": \"10.0.0.0/24\", \"gateway\": \"10.0.0.1\"}]}, {\"id\": \"n2\", \"name\": "
		"\"\", \"subnets\": []}],"
		"\"ports\": [{\"id\": \"p1\", \"name\": \"vm1\", \"network\": \"n1\", \"fixed_ips\": "
		"[\"10.0.0.5\"], \"status\": \"ACTIVE\"}, {\"id\": \"p2\", \"name\": \"\", "
		"\"network\": \"n1\", \"fixed_ips\": [], \"status\": \"DOWN\"}],"
		"\"routers\": [{\"id\": \"r1\", \"name\": \"r\", \"admin_up\": false, \"snat\": "
		"\"203.0.113.2\", \"interfaces\": [{\"network\": \"n1\", \"network_name\": \"red\", "
		"\"external\": false, \"addresses\": [\"10.0.0.1/24\"]}, {\"network\": \"n2\", "
		"\"network_name\": \"\", \"external\": true, \"addresses\": []}]}],"
		"\"floatingips\": [{\"address\": \"203.0.113.5\", \"port\": \"p1\", \"router_name\": "
		"\"r\", \"forwardings\": [{\"port\": \"p2\", \"protocol\": \"tcp\", \"ports\": "
		"\"8080\"}]}]}",
		0, NULL);
	struct text t = {0};

	(void)state;
	assert_non_null(all);
	weft_topology(&t, all);
	assert_string_equal(t.s, "network red (n1), MTU 1450\n"
				 "  subnet 10.0.0.0/24, gateway 10.0.0.1\n"
				 "  router r (r1): 10.0.0.1/24\n"
				 "  port vm1 (p1): 10.0.0.5, ACTIVE\n"
				 "    floating IP 203.0.113.5 by router r\n"
				 "  port p2, DOWN\n"
				 "    forwarded from 203.0.113.5 tcp 8080 by router r\n"
				 "network n2\n"
				 "  router r (r1)\n"
				 "router r (r1), source NAT to 203.0.113.2, down\n"
				 "  network red (n1): 10.0.0.1/24\n"
				 "  external network n2\n");
	weft_text_fini(&t);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_has_everything_once_at_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
