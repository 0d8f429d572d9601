// SPDX-License-Identifier: Apache-2.0
// What the tests of the whole datapath begin with: two ports of one network, and frames between
// them.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/native/testing/testbed.h"

#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define TCP(from_port, to_port, flags) \
	((struct l4) {.proto = 6, .sport = (from_port), .dport = (to_port), .tcp_flags = (flags)})
#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})
#define ECHO(request, id) \
	((struct l4) {.proto = 1, .sport = (id), .dport = (uint16_t)((request) ? 0x800 : 0)})

static const char *const open_out = "egress 4 any\negress 6 any\n";

// Network n1 with "client" (10.0.0.1, egress any) and "server" (10.0.0.2, ingress as given).
static inline struct testbed *two_ports(const char *server_rules)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_subnet(tb, "n1-4", "n1", "10.0.0.0/24", "10.0.0.254", true);
	testbed_rule_set(tb, "out", true, open_out);
	testbed_rule_set(tb, "srv", true, server_rules);
	testbed_port(tb, "client", "n1", "10.0.0.1 fd00::1", "out");
	testbed_port(tb, "server", "n1", "10.0.0.2 fd00::2", "srv");
	testbed_commit(tb);
	return tb;
}

static inline struct frame c2s(struct l4 l4)
{
	return testbed_frame("client", "server", "10.0.0.1", "10.0.0.2", l4);
}

static inline struct frame s2c(struct l4 l4)
{
	return testbed_frame("server", "client", "10.0.0.2", "10.0.0.1", l4);
}

static inline bool pass(struct testbed *tb, const char *from, const char *to, struct frame f)
{
	return testbed_passes(tb, from, to, &f);
}

static inline void open_tcp(struct testbed *tb)
{
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, SYN))));
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, SYN | ACK))));
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
}
