// SPDX-License-Identifier: Apache-2.0
// Netlink: requests to the kernel's routing family (rtnetlink(7)), one at a time.
//
//     struct netlink_request r;
//     weft_netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE, &link, sizeof(link));
//     struct rtattr *info = weft_netlink_add(&r, IFLA_LINKINFO, NULL, 0);
//     weft_netlink_add(&r, IFLA_INFO_KIND, "veth", sizeof("veth"));
//     weft_netlink_end(&r, info);
//     ret = weft_netlink_send(&n, &r);
//
// Threads    one at a time
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

struct netlink {
	int fd; // -1: closed
	uint32_t seq;
};

// A request that grows, attribute by attribute. All that weft asks fits.
struct netlink_request {
	struct nlmsghdr head;
	char body[1024];
};

// In the calling thread's network namespace. 0 or -errno; then n is closed.
int weft_netlink_open(struct netlink *n);
void weft_netlink_close(struct netlink *n);

// flags: beside NLM_F_REQUEST and NLM_F_ACK. header: the family's, such as struct ifinfomsg.
void weft_netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags,
			const void *header, size_t len);
// Without data: one that holds others, until weft_netlink_end.
struct rtattr *weft_netlink_add(struct netlink_request *r, uint16_t type, const void *data,
				size_t len);
void weft_netlink_end(struct netlink_request *r, struct rtattr *nest);
// Sends and waits for the answer. 0 or the kernel's -errno; -EPROTO: it is no answer.
int weft_netlink_send(struct netlink *n, struct netlink_request *r);
