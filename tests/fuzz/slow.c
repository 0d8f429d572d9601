// SPDX-License-Identifier: Apache-2.0
// The whole native datapath on one thread: any frames from any port, between changes of the
// policy and of the time.
//
// The input is a list of steps, each an opcode and its arguments (enum op). Steps that build
// ordinary packets are there so that sessions come about; the others take frames as they are.
// What must hold after every step:
//   - what a port gets from another port is a frame that a port of the same network sent, unchanged
//   - what comes back to the sender is an answer of the datapath
//   - nobody who is filtered sends from another's address, or plays DHCP server or router
//   - a port without groups sends and gets only what needs no rule; "web" takes part in no TCP
//     but on its open port
// and after the last: every packet buffer is back in the pool.
#include "datapath/native/testing/testbed.h"

#include <string.h>

#include "datapath/frames/packet.h"
#include "fuzz.h"

enum op {
	OP_RAW,	      // port, length (2), frame
	OP_ADDRESSED, // from, to, length (2), frame without its MACs
	OP_BUILT,     // from, to, family, protocol, source port, destination port, flags, payload
	OP_FRAGMENTS, // the same, sent in two or three pieces in any order
	OP_ERROR,     // from, to, family, type, code: about the last frame
	OP_ARP,	      // from, sender, target
	OP_POLICY,    // which change
	OP_TIME,      // seconds
	OP_COUNT,
};

enum { PORTS = 7, STEPS_MAX = 64, SENT_MAX = 512, WEB_PORT = 80 };

struct peer {
	const char *name, *network, *ip4, *ip6, *groups, *pairs;
};

static const struct peer peers[PORTS] = {
	{"client", "n1", "10.0.0.1", "fd00::1", "out", ""},
	{"web", "n1", "10.0.0.2", "fd00::2", "web", ""},
	{"alone", "n1", "10.0.0.3", "fd00::3", "", ""},
	{"free", "n1", "10.0.0.4", "fd00::4", NULL, ""},
	{"pair", "n1", "10.0.0.5", "fd00::5", "out",
	 "-|10.0.0.128/25 02:aa:00:00:00:01|fd00:1::/64"},
	{"loose", "n1", "10.0.0.6", "fd00::6", "loose", ""},
	{"other", "n2", "10.0.0.2", "fd00::2", "out", ""},
};
enum { CLIENT, WEB, ALONE, FREE, PAIR, LOOSE, OTHER };

static const char *const web_open =
	"ingress 4 tcp 80-80\ningress 6 tcp 80-80\ningress 4 icmp 8/0\n";

struct sent {
	uint8_t from;
	struct frame f;
};

struct run {
	struct testbed *tb;
	const uint8_t *in, *end;
	bool web_is_open;
	bool is_there[PORTS];
	struct frame last;
	size_t n_sent;
	struct sent sent[SENT_MAX];
};

static uint8_t take(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

// ---- Policy --------------------------------------------------------------------------------

static void put_port(struct run *r, int i, const char *groups, bool up)
{
	const struct peer *n = &peers[i];
	char ips[64];
	snprintf(ips, sizeof(ips), "%s %s", n->ip4, n->ip6);
	testbed_port_with(r->tb, n->name, n->network, ips, groups, n->pairs, up);
	r->is_there[i] = true;
}

static void put_all(struct run *r)
{
	for (int k = 1; k <= 2; k++) {
		char net[8], s4[8], s6[8];
		snprintf(net, sizeof(net), "n%d", k);
		snprintf(s4, sizeof(s4), "n%d-4", k);
		snprintf(s6, sizeof(s6), "n%d-6", k);
		testbed_network(r->tb, net, 1500);
		testbed_subnet(r->tb, s4, net, "10.0.0.0/24", "10.0.0.254", k == 1);
		testbed_subnet(r->tb, s6, net, "fd00::/64", NULL, false);
	}
	testbed_member(r->tb, PLAN_PUT, "set", "10.0.0.1/32");
	testbed_rule_set(r->tb, "out", true, "egress 4 any\negress 6 any\ningress 4 udp @set\n");
	testbed_rule_set(r->tb, "web", true, web_open);
	testbed_rule_set(r->tb, "loose", false, "egress 4 any\ningress 4 udp\ningress 6 icmp\n");
	for (int i = 0; i < PORTS; i++)
		put_port(r, i, peers[i].groups, true);
	testbed_commit(r->tb);
	r->web_is_open = true;
}

static void change_policy(struct run *r, uint8_t which)
{
	switch (which % 8) {
	case 0:
	case 1:
		r->web_is_open = which % 8 == 1;
		testbed_rule_set(r->tb, "web", true, r->web_is_open ? web_open : "");
		break;
	case 2:
		testbed_member(r->tb, PLAN_DEL, "set", "10.0.0.1/32");
		break;
	case 3:
		testbed_member(r->tb, PLAN_PUT, "set", "10.0.0.1/32");
		break;
	case 4:
		put_port(r, CLIENT, peers[CLIENT].groups, (which & 8) != 0);
		break;
	case 5:
		put_port(r, LOOSE, (which & 8) != 0 ? "loose" : "out", true);
		break;
	default:
		// A port that goes, with its neighbours, is the planner's business; here it only
		// loses its groups.
		put_port(r, PAIR, (which & 8) != 0 ? "out" : "", true);
	}
	testbed_commit(r->tb);
}

// ---- What must hold ------------------------------------------------------------------------

static bool is_from(const struct frame *f, int port)
{
	struct mac_addr mac = testbed_mac(peers[port].name);
	return memcmp(f->b + 6, mac.b, 6) == 0 ||
	       (port == PAIR && memcmp(f->b + 6, "\x02\xaa\0\0\0\x01", 6) == 0);
}

static bool is_dhcp(const struct packet *p, uint16_t server, uint16_t client)
{
	return p->key.proto == 17 && p->key.sport == rte_cpu_to_be_16(server) &&
	       p->key.dport == rte_cpu_to_be_16(client);
}

// ARP, neighbour and router discovery, listener queries and reports, DHCP: what needs no rule.
static bool needs_no_rule(const struct packet *p)
{
	if (p->kind != PACKET_IP)
		return p->kind != PACKET_OTHER;
	if (p->fragment == FRAGMENT_LATER)
		return false;
	if (p->key.family == 6 && p->key.proto == 58)
		return (p->icmp_type >= 130 && p->icmp_type <= 136) || p->icmp_type == 143;
	if (p->key.family == 4)
		return is_dhcp(p, 68, 67) || is_dhcp(p, 67, 68);
	return is_dhcp(p, 546, 547) || is_dhcp(p, 547, 546);
}

static bool is_own(const void *address, uint8_t family, int port)
{
	struct mac_addr mac = testbed_mac(peers[port].name);
	struct ip_addr local = weft_ip_link_local_of(&mac);
	struct ip_addr ip;
	bool v4 = family == 4;
	fuzz_assert(weft_ip_parse(v4 ? peers[port].ip4 : peers[port].ip6, &ip) == 0);
	if (memcmp(address, ip.b, v4 ? 4 : 16) == 0)
		return true;
	if (!v4 && memcmp(address, local.b, 16) == 0)
		return true;
	return port == PAIR &&
	       memcmp(address, v4 ? "\x0a\0\0" : "\xfd\0\0\x01\0\0\0\0", v4 ? 3 : 8) == 0;
}

static bool is_own_source(const struct packet *p, int port)
{
	static const uint8_t zero[16];
	bool v4 = p->key.family == 4;
	const void *src = v4 ? (const void *)&p->key.src4 : p->key.src6;
	if (memcmp(src, zero, v4 ? 4 : 16) == 0) // what has no address yet
		return needs_no_rule(p);
	return is_own(src, p->key.family, port);
}

static void check_sender(const struct frame *f, const struct packet *p, int from)
{
	if (peers[from].groups == NULL)
		return;
	fuzz_assert(is_from(f, from));
	fuzz_assert(p->kind != PACKET_OTHER);
	if (p->kind == PACKET_IP) {
		fuzz_assert(is_own_source(p, from));
		if (p->fragment == FRAGMENT_LATER)
			return;
		fuzz_assert(
			!is_dhcp(p, p->key.family == 4 ? 67 : 547, p->key.family == 4 ? 68 : 546));
		fuzz_assert(p->key.family == 4 || p->key.proto != 58 || p->icmp_type != 134);
		if (p->nd_target != NULL && p->icmp_type == 136)
			fuzz_assert(is_own(p->nd_target, 6, from));
	}
}

// "alone" has no groups.
static void check_alone(const struct packet *p, int from, int to)
{
	fuzz_assert((from != ALONE && to != ALONE) || needs_no_rule(p));
}

// "web" has one open port, and sends nothing of its own; fragments are judged by their first.
static void check_web(const struct run *r, const struct packet *p, int from, int to)
{
	if ((from != WEB && to != WEB) || needs_no_rule(p) || p->fragment == FRAGMENT_LATER)
		return;
	fuzz_assert(p->key.proto != 17);
	if (p->key.proto == 6)
		fuzz_assert(r->web_is_open && (to == WEB ? p->key.dport : p->key.sport) ==
						      rte_cpu_to_be_16(WEB_PORT));
	if (p->icmp_query)
		fuzz_assert(r->web_is_open && p->icmp_type == (to == WEB ? 8 : 0));
	if (p->icmp_error) // about a TCP connection, or an echo
		fuzz_assert(r->web_is_open && p->inner_ok);
}

static const struct sent *find_sent(const struct run *r, const struct frame *f, int to)
{
	for (size_t i = r->n_sent; i-- > 0;) {
		const struct sent *s = &r->sent[i];
		if (s->from != to && s->f.len == f->len && memcmp(s->f.b, f->b, f->len) == 0 &&
		    strcmp(peers[s->from].network, peers[to].network) == 0)
			return s;
	}
	return NULL;
}

static void check_delivery(const struct run *r, const struct frame *f, int sender, int to)
{
	struct packet p;
	fuzz_assert(weft_packet_parse(f->b, f->len, f->len, 0, &p) == DROP_NONE);
	const struct sent *s = find_sent(r, f, to);
	if (s == NULL) {
		// Not another port's: the datapath itself answers, and only the one who asked.
		fuzz_assert(to == sender && needs_no_rule(&p));
		fuzz_assert(p.kind == PACKET_ARP ? p.arp_op == 2
						 : p.icmp_type == 136 || is_dhcp(&p, 67, 68));
		return;
	}
	check_sender(f, &p, s->from);
	check_alone(&p, s->from, to);
	check_web(r, &p, s->from, to);
}

static void send(struct run *r, int from, const struct frame *f)
{
	struct frame got;
	if (r->n_sent == SENT_MAX)
		return;
	r->sent[r->n_sent].from = (uint8_t)from;
	r->sent[r->n_sent++].f = *f;
	r->last = *f;
	testbed_send(r->tb, peers[from].name, f);
	for (int to = 0; to < PORTS; to++) {
		while (testbed_receive(r->tb, peers[to].name, &got))
			check_delivery(r, &got, from, to);
	}
}

// ---- Steps ---------------------------------------------------------------------------------

static void send_raw(struct run *r, bool addressed)
{
	struct frame f = {.len = 0};
	int from = take(r) % PORTS;
	if (addressed) {
		struct mac_addr src = testbed_mac(peers[from].name);
		struct mac_addr dst = testbed_mac(peers[take(r) % PORTS].name);
		memcpy(f.b, dst.b, 6);
		memcpy(f.b + 6, src.b, 6);
		f.len = 12;
	}
	size_t n = (size_t)take(r) << 8;
	n |= take(r);
	n %= 1600;
	if (n > (size_t)(r->end - r->in))
		n = (size_t)(r->end - r->in);
	memcpy(f.b + f.len, r->in, n);
	r->in += n;
	f.len += n;
	send(r, from, &f);
}

static struct frame build(struct run *r, int *from)
{
	static const uint8_t protocols[] = {6, 17, 1, 58, 132, 47};
	static const uint16_t ports[] = {80, 53, 67, 68, 546, 547, 1000, 1001};
	*from = take(r) % PORTS;
	int to = take(r) % PORTS;
	bool v6 = (take(r) & 1) != 0;
	struct l4 l4 = {.proto = protocols[take(r) % sizeof(protocols)]};
	uint8_t sport = take(r), dport = take(r);
	l4.sport = ports[sport % 8];
	l4.dport = ports[dport % 8];
	if (l4.proto == 1 || l4.proto == 58) // type and code
		l4.dport = (uint16_t)(dport << 8 | (sport & 8));
	l4.tcp_flags = take(r);
	l4.payload = (size_t)take(r) * 4;
	const char *dst = v6 ? peers[to].ip6 : peers[to].ip4;
	return testbed_frame(peers[*from].name, peers[to].name,
			     v6 ? peers[*from].ip6 : peers[*from].ip4, dst, l4);
}

static void send_fragments(struct run *r)
{
	int from;
	struct frame whole = build(r, &from);
	uint8_t order = take(r), id = take(r);
	size_t payload = whole.len - 34, cut = ((size_t)take(r) * 8) % 1024;
	if (whole.b[12] != 0x08 || cut == 0 || cut >= payload) {
		send(r, from, &whole);
		return;
	}
	struct frame first = testbed_fragment(&whole, id, 0, cut);
	struct frame later = testbed_fragment(&whole, id, cut, payload - cut);
	const struct frame *list[] = {(order & 1) != 0 ? &first : &later,
				      (order & 1) != 0 ? &later : &first, &later};
	for (int i = 0; i < ((order & 2) != 0 ? 3 : 2); i++)
		send(r, from, list[i]);
}

static void send_error(struct run *r)
{
	int from = take(r) % PORTS, to = take(r) % PORTS;
	bool v6 = (take(r) & 1) != 0;
	uint8_t type = take(r), code = take(r);
	if (r->last.len < 14)
		return;
	struct frame f = testbed_icmp_error(peers[from].name, peers[to].name,
					    v6 ? peers[from].ip6 : peers[from].ip4,
					    v6 ? peers[to].ip6 : peers[to].ip4, type, code,
					    &r->last);
	send(r, from, &f);
}

static void send_arp(struct run *r)
{
	int from = take(r) % PORTS;
	const char *sender = peers[take(r) % PORTS].ip4;
	struct frame f = testbed_arp(peers[from].name, sender, peers[take(r) % PORTS].ip4);
	send(r, from, &f);
}

static void step(struct run *r)
{
	int from;
	struct frame f;
	switch ((enum op)(take(r) % OP_COUNT)) {
	case OP_RAW:
		send_raw(r, false);
		break;
	case OP_ADDRESSED:
		send_raw(r, true);
		break;
	case OP_BUILT:
		f = build(r, &from);
		send(r, from, &f);
		break;
	case OP_FRAGMENTS:
		send_fragments(r);
		break;
	case OP_ERROR:
		send_error(r);
		break;
	case OP_ARP:
		send_arp(r);
		break;
	case OP_POLICY:
		change_policy(r, take(r));
		break;
	case OP_TIME:
		r->tb->w->now_ms += take(r) * 1000u;
		break;
	case OP_COUNT:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run run; // large
	static unsigned pool_size;
	struct run *r = &run;
	memset(r, 0, offsetof(struct run, sent));
	r->tb = testbed_new(1024);
	r->in = data;
	r->end = data + len;
	struct rte_mempool *pool = r->tb->dp.node.pool;
	if (pool_size == 0)
		pool_size = rte_mempool_avail_count(pool);
	put_all(r);
	for (unsigned i = 0; i < STEPS_MAX && r->in < r->end; i++)
		step(r);
	testbed_free(r->tb);
	fuzz_assert(rte_mempool_avail_count(pool) == pool_size);
	return 0;
}
