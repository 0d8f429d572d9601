// SPDX-License-Identifier: Apache-2.0
#include "base/netlink.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int weft_netlink_open(struct netlink *n)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int ret;

	*n = (struct netlink) {.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
	if (n->fd >= 0 && connect(n->fd, (struct sockaddr *)&kernel, sizeof(kernel)) == 0)
		return 0;
	ret = -errno;
	weft_netlink_close(n);
	return ret;
}

void weft_netlink_close(struct netlink *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

void weft_netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags,
			const void *header, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&r->head), header, len);
}

struct rtattr *weft_netlink_add(struct netlink_request *r, uint16_t type, const void *data,
				size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	assert(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_SPACE(len) <= sizeof(*r));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
	return a;
}

void weft_netlink_end(struct netlink_request *r, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)((char *)r + r->head.nlmsg_len - (char *)nest);
}

int weft_netlink_send(struct netlink *n, struct netlink_request *r)
{
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *m = (const struct nlmsghdr *)answer;

	r->head.nlmsg_seq = ++n->seq;
	if (send(n->fd, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t got = recv(n->fd, answer, sizeof(answer), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!NLMSG_OK(m, (size_t)got) || m->nlmsg_seq != r->head.nlmsg_seq)
			continue; // an answer that an interrupted request did not wait for
		if (m->nlmsg_type != NLMSG_ERROR)
			return -EPROTO;
		return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
	}
}
