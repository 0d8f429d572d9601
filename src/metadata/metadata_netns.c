// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/netlink.h"

#define LISTENER "listener" // the end that is listened at
#define PORT	 80
#define BACKLOG	 512

static const struct mac_addr here = {{0x02, 0x77, 0x65, 0x66, 0x74, 0x02}};
static const struct mac_addr there = {{0x02, 0x77, 0x65, 0x66, 0x74, 0x03}};
static const uint8_t own[4] = {169, 254, 169, 254}, peer[4] = {169, 254, 169, 253};
static const uint8_t vms[4] = {100, 64, 0, 0};
#define VMS_LEN 10

struct job { // for the thread that goes in
	struct metadata_netns *out;
	struct err *err;
	int ret;
	struct netlink netlink;
};

// ---- The interfaces ------------------------------------------------------------------------

static int make_pair(struct job *j)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct rtattr *info, *data, *other;
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	weft_netlink_add(&r, IFLA_IFNAME, LISTENER, sizeof(LISTENER));
	weft_netlink_add(&r, IFLA_ADDRESS, there.b, sizeof(there.b));
	info = weft_netlink_add(&r, IFLA_LINKINFO, NULL, 0);
	weft_netlink_add(&r, IFLA_INFO_KIND, "veth", sizeof("veth"));
	data = weft_netlink_add(&r, IFLA_INFO_DATA, NULL, 0);
	other = weft_netlink_add(&r, VETH_INFO_PEER, &link, sizeof(link));
	weft_netlink_add(&r, IFLA_IFNAME, METADATA_IFNAME, sizeof(METADATA_IFNAME));
	weft_netlink_add(&r, IFLA_ADDRESS, here.b, sizeof(here.b));
	weft_netlink_end(&r, other);
	weft_netlink_end(&r, data);
	weft_netlink_end(&r, info);
	return weft_netlink_send(&j->netlink, &r);
}

// Up, without an IPv6 address.
static int set_up(struct job *j, int ifindex)
{
	struct ifinfomsg link = {.ifi_index = ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec, *inet6;
	struct netlink_request r;
	int ret;

	weft_netlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	spec = weft_netlink_add(&r, IFLA_AF_SPEC, NULL, 0);
	inet6 = weft_netlink_add(&r, AF_INET6, NULL, 0);
	weft_netlink_add(&r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	weft_netlink_end(&r, inet6);
	weft_netlink_end(&r, spec);
	ret = weft_netlink_send(&j->netlink, &r);
	if (ret != -EAFNOSUPPORT) // a kernel without IPv6
		return ret;
	weft_netlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	return weft_netlink_send(&j->netlink, &r);
}

static int add_address(struct job *j, int ifindex)
{
	struct ifaddrmsg address = {
		.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = (unsigned int)ifindex};
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof(address));
	weft_netlink_add(&r, IFA_LOCAL, own, sizeof(own));
	weft_netlink_add(&r, IFA_ADDRESS, own, sizeof(own));
	return weft_netlink_send(&j->netlink, &r);
}

static int add_neighbour(struct job *j, int ifindex)
{
	struct ndmsg neighbour = {
		.ndm_family = AF_INET, .ndm_ifindex = ifindex, .ndm_state = NUD_PERMANENT};
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour,
			   sizeof(neighbour));
	weft_netlink_add(&r, NDA_DST, peer, sizeof(peer));
	weft_netlink_add(&r, NDA_LLADDR, here.b, sizeof(here.b));
	return weft_netlink_send(&j->netlink, &r);
}

static int add_route(struct job *j, int ifindex)
{
	struct rtmsg route = {
		.rtm_family = AF_INET,
		.rtm_dst_len = VMS_LEN,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = RTNH_F_ONLINK,
	};
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	weft_netlink_add(&r, RTA_DST, vms, sizeof(vms));
	weft_netlink_add(&r, RTA_GATEWAY, peer, sizeof(peer));
	weft_netlink_add(&r, RTA_OIF, &ifindex, sizeof(ifindex));
	return weft_netlink_send(&j->netlink, &r);
}

static int make_interfaces(struct job *j)
{
	static const struct {
		const char *what;
		int (*make)(struct job *j, int ifindex);
	} steps[] = {
		{"its interface up", set_up},
		{"its address", add_address},
		{"its neighbour", add_neighbour},
		{"its route", add_route},
	};
	int ifindex, ret = make_pair(j);

	if (ret != 0)
		return weft_fail(j->err, ret, "a veth pair cannot be made: %s", strerror(-ret));
	ifindex = (int)if_nametoindex(LISTENER);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ret = steps[i].make(j, ifindex);
		if (ret != 0)
			return weft_fail(j->err, ret, "%s cannot be set: %s", steps[i].what,
					 strerror(-ret));
	}
	return 0;
}

// ---- The thread ----------------------------------------------------------------------------

static int listen_there(struct job *j)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret = 0;

	memcpy(&at.sin_addr, own, sizeof(own));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, BACKLOG) != 0)
		ret = weft_fail(j->err, -errno, "169.254.169.254:%d cannot be listened at: %s",
				PORT, strerror(errno));
	if (ret != 0 && fd >= 0)
		close(fd);
	j->out->listen_fd = ret == 0 ? fd : -1;
	return ret;
}

static int go_in(struct job *j)
{
	if (unshare(CLONE_NEWNET) != 0)
		return weft_fail(j->err, -errno, "a network namespace cannot be made%s: %s",
				 errno == EPERM ? " (CAP_SYS_ADMIN)" : "", strerror(errno));
	j->out->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (j->out->fd < 0 || weft_netlink_open(&j->netlink) < 0)
		return weft_fail(j->err, -errno, "a network namespace cannot be used: %s",
				 strerror(errno));
	return 0;
}

static void *thread_main(void *arg)
{
	struct job *j = arg;

	j->ret = go_in(j);
	if (j->ret == 0)
		j->ret = make_interfaces(j);
	if (j->ret == 0)
		j->ret = listen_there(j);
	weft_netlink_close(&j->netlink);
	return NULL;
}

int weft_metadata_netns_open(struct metadata_netns *out, struct err *err)
{
	struct metadata_netns n = {.fd = -1, .listen_fd = -1, .here = here, .there = there};
	struct job j = {.out = &n, .err = err, .netlink.fd = -1};
	sigset_t all, before;
	pthread_t thread;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the control thread's
	ret = pthread_create(&thread, NULL, thread_main, &j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret != 0)
		return weft_fail(err, -ret, "no thread can be made: %s", strerror(ret));
	pthread_join(thread, NULL);
	if (j.ret != 0) {
		if (n.fd >= 0)
			close(n.fd);
		return j.ret;
	}
	*out = n;
	return 0;
}
