// SPDX-License-Identifier: Apache-2.0
#include "vif/link_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>

#include "base/log.h"

struct link {
	UT_hash_handle hh;
	int ifindex;
	char name[IFNAMSIZ];
	uint32_t seen; // the dump that saw it last
};

struct link_watch {
	int fd;
	struct event *event;
	link_wanted wanted;
	link_changed changed;
	void *arg;
	struct link *links; // by index
	uint32_t dump;	    // number of the dump under way or done
	bool dumping, dump_again;
};

bool weft_link_is_tap(const char *name)
{
	return strlen(name) == LINK_NAME_LEN && strncmp(name, "tap", 3) == 0;
}

static void forget(struct link_watch *w, struct link *l)
{
	HASH_DEL(w->links, l);
	w->changed(w->arg, l->name, 0);
	free(l);
}

static void link_is(struct link_watch *w, int ifindex, const char *name)
{
	struct link *l;

	HASH_FIND_INT(w->links, &ifindex, l);
	if (l != NULL && strcmp(l->name, name) == 0) {
		l->seen = w->dump;
		return;
	}
	if (l != NULL)
		forget(w, l);
	if (!w->wanted(w->arg, name))
		return;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		abort();
	l->ifindex = ifindex;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->seen = w->dump;
	HASH_ADD_INT(w->links, ifindex, l);
	w->changed(w->arg, l->name, ifindex);
}

static int ask_dump(struct link_watch *w, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} ask = {
		.h = {.nlmsg_len = sizeof(ask),
		      .nlmsg_type = RTM_GETLINK,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	};

	if (w->dumping) {
		w->dump_again = true;
		return 0;
	}
	w->dump++;
	w->dumping = true;
	w->dump_again = false;
	ask.h.nlmsg_seq = w->dump;
	if (send(w->fd, &ask, sizeof(ask), 0) < 0)
		return weft_fail(err, -errno, "interfaces cannot be listed: netlink: %s",
				 strerror(errno));
	return 0;
}

// What the finished dump did not show is gone.
static void end_dump(struct link_watch *w)
{
	struct err err = {0};
	struct link *l, *tmp;

	w->dumping = false;
	if (w->dump_again) {
		if (ask_dump(w, &err) != 0)
			weft_log_error("%s", err.msg);
		return;
	}
	HASH_ITER(hh, w->links, l, tmp) {
		if (l->seen != w->dump)
			forget(w, l);
	}
}

static void take_link(struct link_watch *w, const struct nlmsghdr *h)
{
	const struct ifinfomsg *i = NLMSG_DATA(h);
	char name[IFNAMSIZ] = "";
	struct link *l;
	int left;

	// Bridges tell of their members with the same types; those are not interfaces that come
	// or go.
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*i)) || i->ifi_family != AF_UNSPEC)
		return;
	left = IFLA_PAYLOAD(h);
	for (const struct rtattr *a = IFLA_RTA(i); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_IFNAME && RTA_PAYLOAD(a) <= sizeof(name))
			memcpy(name, RTA_DATA(a), RTA_PAYLOAD(a));
	}
	name[sizeof(name) - 1] = '\0';
	if (h->nlmsg_type == RTM_NEWLINK) {
		link_is(w, i->ifi_index, name);
		return;
	}
	HASH_FIND_INT(w->links, &i->ifi_index, l);
	if (l != NULL)
		forget(w, l);
}

static void take_messages(struct link_watch *w, const void *buf, size_t size)
{
	size_t left = size;

	for (const struct nlmsghdr *h = buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			w->dump_again = true;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			end_dump(w);
		else if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK)
			take_link(w, h);
	}
}

static void read_all(struct link_watch *w)
{
	static _Alignas(struct nlmsghdr) char buf[65536];
	struct err err = {0};

	for (;;) {
		ssize_t n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n > 0) {
			take_messages(w, buf, n);
		} else if (n < 0 && errno == ENOBUFS) {
			weft_log_warning(
				"netlink lost notifications; the interfaces are read again");
			if (ask_dump(w, &err) != 0)
				weft_log_error("%s", err.msg);
		} else if (n == 0 || errno != EINTR) {
			return;
		}
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_all(arg);
}

static int open_socket(struct link_watch *w, struct err *err)
{
	struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int size = 4 << 20;

	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		return weft_fail(err, -errno, "interfaces cannot be watched: netlink: %s",
				 strerror(errno));
	// Hundreds of interfaces may come at once; a refusal only costs a second dump.
	if (setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return 0;
}

int weft_link_watch_start(struct event_base *loop, link_wanted wanted, link_changed changed,
			  void *arg, struct link_watch **out, struct err *err)
{
	struct link_watch *w = calloc(1, sizeof(*w));
	int ret;

	if (w == NULL)
		abort();
	w->wanted = wanted;
	w->changed = changed;
	w->arg = arg;
	ret = open_socket(w, err);
	if (ret == 0)
		ret = ask_dump(w, err);
	while (ret == 0 && w->dumping) {
		struct pollfd p = {.fd = w->fd, .events = POLLIN};

		if (poll(&p, 1, 5000) <= 0)
			ret = weft_fail(err, -EIO,
					"interfaces cannot be listed: netlink does not "
					"answer");
		else
			read_all(w);
	}
	if (ret == 0) {
		w->event = event_new(loop, w->fd, EV_READ | EV_PERSIST, on_readable, w);
		if (w->event == NULL || event_add(w->event, NULL) != 0)
			ret = weft_fail(err, -ENOMEM, "interfaces cannot be watched: no event");
	}
	if (ret != 0) {
		weft_link_watch_stop(w);
		return ret;
	}
	*out = w;
	return 0;
}

void weft_link_watch_stop(struct link_watch *w)
{
	struct link *l, *tmp;

	if (w == NULL)
		return;
	if (w->event != NULL)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	HASH_ITER(hh, w->links, l, tmp) {
		HASH_DEL(w->links, l);
		free(l);
	}
	free(w);
}
