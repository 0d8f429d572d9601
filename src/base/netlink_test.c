// SPDX-License-Identifier: Apache-2.0
#include "base/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void attributes_lie_one_in_another_and_are_aligned(void **state)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct netlink_request r;
	struct rtattr *outer, *inner;

	(void)state;
	weft_netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE, &link, sizeof(link));
	outer = weft_netlink_add(&r, IFLA_LINKINFO, NULL, 0);
	inner = weft_netlink_add(&r, IFLA_INFO_KIND, "veth", 5);
	weft_netlink_end(&r, outer);
	assert_int_equal(r.head.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
	assert_int_equal(inner->rta_len, 4 + 5);
	assert_int_equal(outer->rta_len, 4 + 12); // the inner one takes a multiple of four bytes
	assert_int_equal(r.head.nlmsg_len, 16 + sizeof(link) + 4 + 12);
	assert_string_equal(RTA_DATA(inner), "veth");
}

static void the_kernels_answer_is_told(void **state)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = 0x7fffffff};
	struct netlink_request r;
	struct netlink n;

	(void)state;
	assert_int_equal(weft_netlink_open(&n), 0);
	weft_netlink_begin(&r, RTM_GETLINK, 0, &link, sizeof(link));
	assert_int_equal(weft_netlink_send(&n, &r), -ENODEV);
	link.ifi_index = 1; // an answer with data is none that was expected
	weft_netlink_begin(&r, RTM_GETLINK, 0, &link, sizeof(link));
	assert_int_equal(weft_netlink_send(&n, &r), -EPROTO);
	// The acknowledgement of that one is passed over.
	link.ifi_index = 0x7fffffff;
	weft_netlink_begin(&r, RTM_GETLINK, 0, &link, sizeof(link));
	assert_int_equal(weft_netlink_send(&n, &r), -ENODEV);
	weft_netlink_close(&n);
	assert_int_equal(n.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_lie_one_in_another_and_are_aligned),
		cmocka_unit_test(the_kernels_answer_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
