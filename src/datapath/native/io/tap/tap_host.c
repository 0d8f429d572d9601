// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/tap/tap_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

// One filter at a fixed place, so that a second daemon after a crash finds it there.
#define FILTER_PRIORITY 1
#define FILTER_HANDLE	1

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void fd_end(int *fd)
{
	close_fd(*fd);
}

#define auto_fd __attribute__((cleanup(fd_end))) int

// What carries no Ethernet frames (a tun device, a tunnel) can be no VM's.
static int check_ethernet(const char *ifname, struct err *err)
{
	struct ifreq ifr = {0};
	auto_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return weft_fail(err, -errno, "interface %s: cannot read its type: %s", ifname,
				 strerror(errno));
	if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return weft_fail(err, -EINVAL, "interface %s: it is no Ethernet interface", ifname);
	return 0;
}

int weft_tap_host_init(struct tap_host *h, const char *ifname, struct err *err)
{
	unsigned int ifindex = strlen(ifname) < IFNAMSIZ ? if_nametoindex(ifname) : 0;

	*h = (struct tap_host) {.ifname = ifname, .ifindex = (int)ifindex, .netlink.fd = -1};
	if (ifindex == 0)
		return weft_fail(err, -ENODEV, "interface %s: it does not exist", ifname);
	int ret = check_ethernet(ifname, err);
	if (ret < 0)
		return ret;
	ret = weft_netlink_open(&h->netlink);
	if (ret < 0)
		return weft_fail(err, ret, "interface %s: no netlink socket: %s", ifname,
				 strerror(-ret));
	return 0;
}

void weft_tap_host_fini(struct tap_host *h)
{
	weft_netlink_close(&h->netlink);
}

// The hook that filters hang on. It may be there already.
static int add_clsact(struct tap_host *h)
{
	struct tcmsg tc = {.tcm_family = AF_UNSPEC,
			   .tcm_ifindex = h->ifindex,
			   .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
			   .tcm_parent = TC_H_CLSACT};
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	weft_netlink_add(&r, TCA_KIND, "clsact", sizeof("clsact"));
	int ret = weft_netlink_send(&h->netlink, &r);
	return ret == -EEXIST ? 0 : ret;
}

static void filter_start(struct netlink_request *r, struct tap_host *h, const char *kind)
{
	struct tcmsg tc = {.tcm_family = AF_UNSPEC,
			   .tcm_ifindex = h->ifindex,
			   .tcm_handle = FILTER_HANDLE,
			   .tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
			   .tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL))};

	weft_netlink_begin(r, RTM_NEWTFILTER, NLM_F_CREATE, &tc, sizeof(tc));
	weft_netlink_add(r, TCA_KIND, kind, strlen(kind) + 1);
}

static int load_drop_program(void)
{
	static const struct bpf_insn drop[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.insns = (uintptr_t)drop,
		.insn_cnt = sizeof(drop) / sizeof(drop[0]),
		.license = (uintptr_t) "Apache-2.0",
		.prog_name = "weft_drop",
	};
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

static int filter_bpf(struct tap_host *h)
{
	struct netlink_request r;
	auto_fd program = load_drop_program();
	uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;

	if (program < 0)
		return program;
	filter_start(&r, h, "bpf");
	struct rtattr *options = weft_netlink_add(&r, TCA_OPTIONS, NULL, 0);
	weft_netlink_add(&r, TCA_BPF_FD, &program, sizeof(program));
	weft_netlink_add(&r, TCA_BPF_NAME, "weft", sizeof("weft"));
	weft_netlink_add(&r, TCA_BPF_FLAGS, &flags, sizeof(flags));
	weft_netlink_end(&r, options);
	return weft_netlink_send(&h->netlink, &r);
}

static int filter_matchall(struct tap_host *h)
{
	struct netlink_request r;
	struct tc_gact drop = {.action = TC_ACT_SHOT};

	filter_start(&r, h, "matchall");
	struct rtattr *options = weft_netlink_add(&r, TCA_OPTIONS, NULL, 0);
	struct rtattr *actions = weft_netlink_add(&r, TCA_MATCHALL_ACT, NULL, 0);
	struct rtattr *first = weft_netlink_add(&r, 1, NULL, 0);
	weft_netlink_add(&r, TCA_ACT_KIND, "gact", sizeof("gact"));
	struct rtattr *parameters = weft_netlink_add(&r, TCA_ACT_OPTIONS, NULL, 0);
	weft_netlink_add(&r, TCA_GACT_PARMS, &drop, sizeof(drop));
	weft_netlink_end(&r, parameters);
	weft_netlink_end(&r, first);
	weft_netlink_end(&r, actions);
	weft_netlink_end(&r, options);
	int ret = weft_netlink_send(&h->netlink, &r);
	// It cannot be changed in place; the one that is there is ours.
	return ret == -EEXIST ? 0 : ret;
}

static int drop_ingress(struct tap_host *h, struct err *err)
{
	int ret = add_clsact(h);

	if (ret == -EPERM)
		return weft_fail(err, ret, "interface %s: CAP_NET_ADMIN is missing", h->ifname);
	if (ret == -ENODEV)
		return weft_fail(err, ret, "interface %s: it is gone", h->ifname);
	if (ret < 0)
		return weft_fail(err, -ENOTSUP,
				 "interface %s: the kernel has no ingress filters "
				 "(CONFIG_NET_SCH_INGRESS): %s",
				 h->ifname, strerror(-ret));
	int bpf = filter_bpf(h);
	if (bpf == 0)
		return 0;
	int matchall = filter_matchall(h);
	if (matchall == 0)
		return 0;
	if (bpf == -ENODEV || matchall == -ENODEV)
		return weft_fail(err, -ENODEV, "interface %s: it is gone", h->ifname);
	return weft_fail(err, -ENOTSUP,
			 "interface %s: cannot keep its frames from the host: neither a cls_bpf "
			 "filter (%s) nor a matchall filter (%s) is accepted",
			 h->ifname, strerror(-bpf), strerror(-matchall));
}

// Where /proc/sys is read-only: without a link-local address there is nothing that IPv6 would send.
static int no_link_local_address(struct tap_host *h)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = h->ifindex};
	uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct netlink_request r;

	weft_netlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	struct rtattr *spec = weft_netlink_add(&r, IFLA_AF_SPEC, NULL, 0);
	struct rtattr *inet6 = weft_netlink_add(&r, AF_INET6, NULL, 0);
	weft_netlink_add(&r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	weft_netlink_end(&r, inet6);
	weft_netlink_end(&r, spec);
	return weft_netlink_send(&h->netlink, &r);
}

static int disable_ipv6(struct tap_host *h, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", h->ifname);
	auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) == 1)
		return 0;
	int ret = no_link_local_address(h);
	if (ret < 0 && ret != -EAFNOSUPPORT) // a kernel without IPv6
		return weft_fail(err, ret, "interface %s: cannot switch IPv6 off: %s", h->ifname,
				 strerror(-ret));
	return 0;
}

int weft_tap_host_isolate(struct tap_host *h, struct err *err)
{
	int ret = drop_ingress(h, err);

	return ret < 0 ? ret : disable_ipv6(h, err);
}

int weft_tap_host_up(struct tap_host *h, uint32_t mtu, struct err *err)
{
	struct ifreq ifr = {0};
	auto_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", h->ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &ifr) < 0)
		return weft_fail(err, -errno, "interface %s: cannot read its MTU: %s", h->ifname,
				 strerror(errno));
	if ((uint32_t)ifr.ifr_mtu < mtu) {
		ifr.ifr_mtu = (int)mtu;
		if (ioctl(fd, SIOCSIFMTU, &ifr) < 0)
			return weft_fail(err, -errno, "interface %s: cannot set its MTU to %u: %s",
					 h->ifname, mtu, strerror(errno));
	}
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_UP) == 0) {
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
			return weft_fail(err, -errno, "interface %s: cannot set it up: %s",
					 h->ifname, strerror(errno));
	}
	return 0;
}
