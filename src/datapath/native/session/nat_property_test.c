// SPDX-License-Identifier: Apache-2.0
// NAT against a reference model: thousands of flows with few ports, so that many clash, both
// ways, while floating IPs move.
//
// The model knows of each flow, named by its inside (host, port, remote host, its port), what it
// is outside. It says of every frame who must get it and how it must look, to the byte; what it
// does not expect, nobody may get. No two flows may be the same outside.
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/testing/rounds.h"

#include "datapath/native/carry/fast.h"
#include "datapath/native/policy/tables.h"

#define STEPS	     ROUNDS(40000)
#define SEEDS	     8
#define HOSTS	     3
#define PORTS	     40 // FIRST_PORT and on; of remote hosts the first few
#define FIRST_PORT   1000
#define REMOTES	     4
#define REMOTE_PORTS 4
#define FLOATINGS    3
#define FORWARDED    4 // ports of host 1, outside 8000 and on

enum { P_TCP, P_UDP, P_UDPLITE, P_ECHO, P_GRE, PROTOCOLS };

static const uint8_t numbers[PROTOCOLS] = {6, 17, 136, 1, 47};

// An address outside: a floating IP, the forwarding one, or a router's.
enum { FORWARDING = FLOATINGS, GATEWAYS, OUTSIDES = GATEWAYS + 2 };

static const struct host {
	const char *name, *ip, *gateway;
	int router;
} hosts[HOSTS] = {
	{"a", "10.0.1.1", "r1", 0},
	{"b", "10.0.1.2", "r1", 0},
	{"c", "10.0.2.1", "s1", 1},
};

static const struct outside {
	const char *mac, *ip;
	int router;
} outsides[OUTSIDES] = {
	{"f0", "203.0.113.50", 0}, {"f1", "203.0.113.51", 0}, {"f2", "203.0.113.52", 1},
	{"ff", "203.0.113.60", 0}, {"rx", GATEWAY, 0},	      {"sx", "203.0.113.3", 1},
};

static const char *const remotes[REMOTES] = {"198.51.100.1", "198.51.100.2", "198.51.100.3",
					     "198.51.100.4"};

struct flow {
	bool is_known;
	int outside;
	uint16_t port; // there
};

struct name { // of a flow, inside
	int proto, host, port, remote, remote_port;
};

struct model {
	struct testbed *tb;
	uint64_t random;
	uint16_t frag_id;
	int floating_host[FLOATINGS]; // -1 = nobody
	struct flow flows[PROTOCOLS][HOSTS][PORTS][REMOTES][REMOTE_PORTS];
	uint32_t delivered, refused, clashes, moved;
};

static uint32_t pick(struct model *m, uint32_t n)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m->random >> 33) % n;
}

static struct flow *flow_of(struct model *m, const struct name *n)
{
	return &m->flows[n->proto][n->host][n->port][n->remote][n->remote_port];
}

static int outside_of(const struct model *m, int host)
{
	for (int i = 0; i < FLOATINGS; i++)
		if (m->floating_host[i] == host)
			return i;
	return GATEWAYS + hosts[host].router;
}

// Would it be translated the same way today?
static bool is_alive(const struct model *m, const struct name *n, const struct flow *f)
{
	return f->outside == FORWARDING || f->outside == outside_of(m, n->host);
}

// Who is known by this outside.
static bool find_outside(struct model *m, int outside, uint16_t port, struct name *n)
{
	for (n->host = 0; n->host < HOSTS; n->host++)
		for (n->port = 0; n->port < PORTS; n->port++) {
			const struct flow *f = flow_of(m, n);

			if (f->is_known && f->outside == outside && f->port == port)
				return true;
		}
	return false;
}

// ---- Frames --------------------------------------------------------------------------------

enum mode { MODE_PLAIN, MODE_NO_CHECKSUM, MODE_FRAGMENTS, MODE_OFFLOAD, MODES };

static struct l4 l4_of(const struct name *n, bool to_remote, uint16_t port, size_t payload)
{
	uint16_t remote_port = (uint16_t)(FIRST_PORT + n->remote_port);
	struct l4 l4 = {.proto = numbers[n->proto], .tcp_flags = ACK, .payload = payload};

	if (n->proto == P_GRE)
		return l4;
	if (n->proto == P_ECHO) {
		l4.sport = port;
		l4.dport = to_remote ? 0x0800 : 0;
		return l4;
	}
	l4.sport = to_remote ? port : remote_port;
	l4.dport = to_remote ? remote_port : port;
	return l4;
}

static size_t checksum_at(const struct frame *f)
{
	return f->b[23] == 6 ? 50 : 40;
}

static uint16_t pseudo_sum(const struct frame *f)
{
	uint32_t src, dst;

	memcpy(&src, f->b + 26, 4);
	memcpy(&dst, f->b + 30, 4);
	return (uint16_t)weft_csum_add(
		"", 0, weft_csum_pseudo4(src, dst, f->b[23], (uint16_t)(f->len - 34)));
}

static void put_sum(struct frame *f, uint16_t sum)
{
	memcpy(f->b + checksum_at(f), &sum, 2);
}

// What a guest sends that leaves the checksum to the device.
static void send_offloaded(struct testbed *tb, const char *port, const struct frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->b, f->len);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 |
		      (f->b[23] == 6 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = f->b[23] == 6 ? 20 : 8;
	tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
	weft_fast_burst(tb->w, weft_tables_port(tb->dp.tables, port)->index, &m, 1);
	weft_send_flush(tb->w);
}

static bool nobody_gets_anything(struct model *m)
{
	struct frame got;

	for (int i = 0; i < HOSTS; i++)
		if (testbed_receive(m->tb, hosts[i].name, &got))
			return false;
	return !testbed_receive(m->tb, "x", &got);
}

// Send `f`, get what `to` got. Expected frames of every kind are made by the same way of sending:
// `want` is how the receiver sees the plain one.
static void send_as(struct model *m, enum mode mode, const char *from, const struct frame *f)
{
	struct frame copy = *f;

	switch (mode) {
	case MODE_NO_CHECKSUM:
		put_sum(&copy, 0);
		testbed_send(m->tb, from, &copy);
		return;
	case MODE_OFFLOAD:
		put_sum(&copy, pseudo_sum(&copy));
		send_offloaded(m->tb, from, &copy);
		return;
	case MODE_FRAGMENTS:
		copy = testbed_fragment(f, ++m->frag_id, 0, 48);
		testbed_send(m->tb, from, &copy);
		copy = testbed_fragment(f, m->frag_id, 48, f->len - 34 - 48);
		testbed_send(m->tb, from, &copy);
		return;
	default:
		testbed_send(m->tb, from, f);
	}
}

static bool same(const struct frame *got, const struct frame *want)
{
	return got->len == want->len && memcmp(got->b, want->b, want->len) == 0;
}

static void must_get(struct model *m, enum mode mode, const char *to, struct frame want)
{
	struct frame got, part;

	assert_true(testbed_receive(m->tb, to, &got));
	age(&want, 1);
	switch (mode) {
	case MODE_NO_CHECKSUM:
		put_sum(&want, 0);
		break;
	case MODE_OFFLOAD:
		put_sum(&want, pseudo_sum(&want));
		break;
	case MODE_FRAGMENTS:
		part = testbed_fragment(&want, m->frag_id, 0, 48);
		assert_true(same(&got, &part));
		assert_true(testbed_receive(m->tb, to, &got));
		want = testbed_fragment(&want, m->frag_id, 48, want.len - 34 - 48);
		break;
	default:
		assert_true(testbed_checksum_ok(&want));
	}
	assert_true(same(&got, &want));
	assert_true(nobody_gets_anything(m));
	m->delivered++;
}

static void must_not_get(struct model *m)
{
	assert_true(nobody_gets_anything(m));
	m->refused++;
}

static enum mode pick_mode(struct model *m, const struct name *n, size_t *payload)
{
	enum mode mode = pick(m, 3) == 0 ? (enum mode)pick(m, MODES) : MODE_PLAIN;

	if (mode == MODE_NO_CHECKSUM && n->proto != P_UDP)
		mode = MODE_PLAIN;
	if (mode == MODE_OFFLOAD && n->proto != P_UDP && n->proto != P_TCP)
		mode = MODE_PLAIN;
	*payload = pick(m, 64) + (mode == MODE_FRAGMENTS ? 64 : 0);
	return mode;
}

// ---- Steps ---------------------------------------------------------------------------------

static struct name pick_name(struct model *m)
{
	struct name n = {(int)pick(m, PROTOCOLS), (int)pick(m, HOSTS), (int)pick(m, PORTS),
			 (int)pick(m, REMOTES), (int)pick(m, REMOTE_PORTS)};

	if (n.proto == P_ECHO || n.proto == P_GRE)
		n.remote_port = 0;
	if (n.proto == P_GRE)
		n.port = 0;
	return n;
}

static uint16_t own_port(const struct name *n)
{
	return n->proto == P_GRE ? 0 : (uint16_t)(FIRST_PORT + n->port);
}

// A flow begins: what must its outside be? False: there is none. The port is 0 if any free one
// may be taken.
static bool begins(struct model *m, const struct name *n, struct flow *f)
{
	int outside = outside_of(m, n->host);
	struct name other = *n;

	*f = (struct flow) {true, outside, own_port(n)};
	if (!find_outside(m, outside, f->port, &other))
		return true;
	if (!is_alive(m, &other, flow_of(m, &other)) &&
	    (outside < FLOATINGS || n->proto == P_GRE)) {
		flow_of(m, &other)->is_known = false; // of the address's last owner
		return true;
	}
	m->clashes++;
	f->port = 0;
	return n->proto != P_GRE;
}

static void error_about_it(struct model *m, const struct name *n, const struct flow *f,
			   const struct frame *sent, const struct frame *seen)
{
	const struct outside *o = &outsides[f->outside];
	const struct host *h = &hosts[n->host];
	struct frame inner = *sent, error, want;

	age(&inner, 1);
	error = testbed_icmp_error("x", o->mac, "192.0.2.1", o->ip, 3, 1, seen);
	want = testbed_icmp_error(h->gateway, h->name, "192.0.2.1", h->ip, 3, 1, &inner);
	testbed_checksum(&error);
	testbed_checksum(&want);
	testbed_send(m->tb, "x", &error);
	must_get(m, MODE_PLAIN, h->name, want);
}

static void host_sends(struct model *m)
{
	struct name n = pick_name(m), other = n;
	const struct host *h = &hosts[n.host];
	struct flow *f = flow_of(m, &n), now;
	const struct outside *o;
	size_t payload;
	enum mode mode = pick_mode(m, &n, &payload);
	struct l4 l4 = l4_of(&n, true, own_port(&n), payload);
	struct frame sent, want, seen;
	bool is_new = !f->is_known || !is_alive(m, &n, f);

	// In the middle of a connection it would have to wait for one that claims its port
	// (slow_claim.c).
	l4.tcp_flags = is_new ? SYN : ACK;
	sent = summed(h->name, h->gateway, h->ip, remotes[n.remote], l4);
	if (!is_new) {
		now = *f;
	} else {
		f->is_known = false;
		if (!begins(m, &n, &now)) {
			send_as(m, mode, h->name, &sent);
			// The router says so, but not too often.
			if (testbed_receive(m->tb, h->name, &seen))
				assert_memory_equal(seen.b + 34, "\x03\x0d", 2);
			must_not_get(m);
			return;
		}
	}
	if (now.port == 0 && n.proto != P_GRE) { // it tells by its first packet which one it took
		testbed_send(m->tb, h->name, &sent);
		assert_true(testbed_receive(m->tb, "x", &seen));
		now.port = n.proto == P_ECHO ? (uint16_t)(seen.b[38] << 8 | seen.b[39])
					     : source_port(&seen);
		assert_true(now.port >= 1024 || own_port(&n) < 1024);
		assert_false(find_outside(m, now.outside, now.port, &other));
	}
	*f = now;
	o = &outsides[now.outside];
	l4.sport = now.port;
	want = summed(o->mac, "x", o->ip, remotes[n.remote], l4);
	send_as(m, mode, h->name, &sent);
	must_get(m, mode, "x", want);
	age(&want, 1);
	if (mode == MODE_PLAIN && pick(m, 16) == 0)
		error_about_it(m, &n, f, &sent, &want);
}

// A frame for an address and port outside; n names its protocol and remote end.
static bool arrives(struct model *m, struct name *n, int outside, uint16_t port)
{
	struct flow *f;

	if (find_outside(m, outside, port, n)) {
		f = flow_of(m, n);
		if (is_alive(m, n, f))
			return true;
		f->is_known = false;
	}
	if (n->proto == P_ECHO || outside >= GATEWAYS)
		return false;
	n->port = n->proto == P_GRE ? 0 : port - FIRST_PORT;
	n->host = outside < FLOATINGS ? m->floating_host[outside] : 1;
	if (outside == FORWARDING) {
		if ((n->proto != P_TCP && n->proto != P_UDP) || port < 8000 ||
		    port >= 8000 + FORWARDED)
			return false;
		n->port = port - 8000;
	}
	if (n->host < 0 || n->port < 0 || n->port >= PORTS)
		return false;
	f = flow_of(m, n);
	if (f->is_known && is_alive(m, n, f)) // its answers have another outside
		return false;
	*f = (struct flow) {true, outside, port};
	return true;
}

static void remote_sends(struct model *m)
{
	struct name n = pick_name(m);
	int outside = (int)pick(m, OUTSIDES);
	uint16_t port = outside == FORWARDING ? (uint16_t)(8000 + pick(m, FORWARDED + 1))
					      : own_port(&n);
	const struct flow *known = flow_of(m, &n);
	size_t payload;
	enum mode mode = pick_mode(m, &n, &payload);
	struct frame f;

	if (known->is_known && pick(m, 4) != 0) {
		outside = known->outside;
		port = known->port;
	}
	if (n.proto == P_GRE)
		port = 0;
	f = summed("x", outsides[outside].mac, remotes[n.remote], outsides[outside].ip,
		   l4_of(&n, false, port, payload));
	send_as(m, mode, "x", &f);
	if (!arrives(m, &n, outside, port)) {
		if (testbed_receive(m->tb, "x", &f)) // port unreachable
			assert_int_equal(f.b[34], 3);
		must_not_get(m);
		return;
	}
	must_get(m, mode, hosts[n.host].name,
		 summed(hosts[n.host].gateway, hosts[n.host].name, remotes[n.remote],
			hosts[n.host].ip, l4_of(&n, false, own_port(&n), payload)));
}

static void floating_moves(struct model *m)
{
	static const char *const routers[] = {"r", "s"};
	int i = (int)pick(m, FLOATINGS), host = (int)pick(m, HOSTS + 1) - 1;

	if (host >= 0 && (hosts[host].router != outsides[i].router ||
			  (outside_of(m, host) < FLOATINGS && outside_of(m, host) != i)))
		return;
	if (host >= 0)
		testbed_floating(m->tb, outsides[i].mac, routers[outsides[i].router], "ext",
				 outsides[i].ip, hosts[host].ip, hosts[host].name);
	else
		testbed_del(m->tb, PLAN_FLOATING, outsides[i].mac, NULL);
	m->floating_host[i] = host;
	testbed_commit(m->tb);
	m->moved++;
}

// Something is taken away that none of the flows needs: all of them are judged again.
static void rules_change(struct model *m)
{
	testbed_rule_set(m->tb, "web", true,
			 pick(m, 2) == 0 ? "egress 4 any\ningress 4 any\n"
					 : "egress 4 any\ningress 4 any\ningress 6 udp\n");
	testbed_commit(m->tb);
}

static struct testbed *node(void)
{
	struct testbed *tb = testbed_new(65536);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "ext", 1500);
	testbed_rule_set(tb, "web", true, "egress 4 any\ningress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "web");
	testbed_port(tb, "b", "n1", "10.0.1.2", "web");
	internet(tb, "x", "203.0.113.9");
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_floating(tb, "ff", "r", "ext", "203.0.113.60", NULL, "");
	testbed_forwarding(tb, "p1", "ff", 6, "8000-8003>1000", "10.0.1.2", "b");
	testbed_forwarding(tb, "p2", "ff", 17, "8000-8003>1000", "10.0.1.2", "b");
	second_router(tb);
	return tb;
}

static void histories_of_flows_agree_with_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct model *m = calloc(1, sizeof(*m));

		assert_non_null(m);
		m->tb = node();
		m->random = seed;
		for (int i = 0; i < FLOATINGS; i++)
			m->floating_host[i] = -1;
		for (int step = 0; step < STEPS; step++) {
			uint32_t kind = pick(m, 1000);

			if (kind < 550)
				host_sends(m);
			else if (kind < 990)
				remote_sends(m);
			else if (kind < 995)
				floating_moves(m);
			else
				rules_change(m);
		}
		assert_true(m->delivered > STEPS / 2 && m->refused > STEPS / 400 &&
			    m->clashes > STEPS / 400 && m->moved > STEPS / 4000);
		print_message("seed %d: %u delivered, %u refused, %u clashes, %u moves\n",
			      (int)seed, m->delivered, m->refused, m->clashes, m->moved);
		testbed_free(m->tb);
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histories_of_flows_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
