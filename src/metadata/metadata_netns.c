// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
	int netlink;
	uint32_t seq;
};

// ---- Netlink ---------------------------------------------------------------------------------------

struct request {
	struct nlmsghdr head;
	char body[512];
};

static void begin(struct request *r, uint16_t type, uint16_t flags, const void *header, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&r->head), header, len);
}

static struct rtattr *add(struct request *r, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
	return a;
}

static void end(struct request *r, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)((char *)r + r->head.nlmsg_len - (char *)nest);
}

static int send_request(struct job *j, struct request *r)
{
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *m = (const struct nlmsghdr *)answer;
	ssize_t n;

	r->head.nlmsg_seq = ++j->seq;
	if (send(j->netlink, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(j->netlink, answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(m, (size_t)n) || m->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
}

// ---- The interfaces --------------------------------------------------------------------------------

static int make_pair(struct job *j)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct rtattr *info, *data, *other;
	struct request r;

	begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	add(&r, IFLA_IFNAME, LISTENER, sizeof(LISTENER));
	add(&r, IFLA_ADDRESS, there.b, sizeof(there.b));
	info = add(&r, IFLA_LINKINFO, NULL, 0);
	add(&r, IFLA_INFO_KIND, "veth", sizeof("veth"));
	data = add(&r, IFLA_INFO_DATA, NULL, 0);
	other = add(&r, VETH_INFO_PEER, &link, sizeof(link));
	add(&r, IFLA_IFNAME, METADATA_IFNAME, sizeof(METADATA_IFNAME));
	add(&r, IFLA_ADDRESS, here.b, sizeof(here.b));
	end(&r, other);
	end(&r, data);
	end(&r, info);
	return send_request(j, &r);
}

// Up, without an IPv6 address.
static int set_up(struct job *j, int ifindex)
{
	struct ifinfomsg link = {.ifi_index = ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec, *inet6;
	struct request r;
	int ret;

	begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	spec = add(&r, IFLA_AF_SPEC, NULL, 0);
	inet6 = add(&r, AF_INET6, NULL, 0);
	add(&r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	end(&r, inet6);
	end(&r, spec);
	ret = send_request(j, &r);
	if (ret != -EAFNOSUPPORT) // a kernel without IPv6
		return ret;
	begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	return send_request(j, &r);
}

static int add_address(struct job *j, int ifindex)
{
	struct ifaddrmsg address = {
		.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = (unsigned int)ifindex};
	struct request r;

	begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof(address));
	add(&r, IFA_LOCAL, own, sizeof(own));
	add(&r, IFA_ADDRESS, own, sizeof(own));
	return send_request(j, &r);
}

static int add_neighbour(struct job *j, int ifindex)
{
	struct ndmsg neighbour = {
		.ndm_family = AF_INET, .ndm_ifindex = ifindex, .ndm_state = NUD_PERMANENT};
	struct request r;

	begin(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour, sizeof(neighbour));
	add(&r, NDA_DST, peer, sizeof(peer));
	add(&r, NDA_LLADDR, here.b, sizeof(here.b));
	return send_request(j, &r);
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
	struct request r;

	begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	add(&r, RTA_DST, vms, sizeof(vms));
	add(&r, RTA_GATEWAY, peer, sizeof(peer));
	add(&r, RTA_OIF, &ifindex, sizeof(ifindex));
	return send_request(j, &r);
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

// ---- The thread ------------------------------------------------------------------------------------

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
	j->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (j->out->fd < 0 || j->netlink < 0)
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
	if (j->netlink >= 0)
		close(j->netlink);
	return NULL;
}

int weft_metadata_netns_open(struct metadata_netns *out, struct err *err)
{
	struct metadata_netns n = {.fd = -1, .listen_fd = -1, .here = here, .there = there};
	struct job j = {.out = &n, .err = err, .netlink = -1};
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
