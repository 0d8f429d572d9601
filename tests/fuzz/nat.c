// SPDX-License-Identifier: Apache-2.0
// NAT, its ICMP errors and its changes: frames of hosts behind two routers and of the outside,
// many of them answers and errors about what was just received, with some bytes changed.
//
// What must hold after every step:
//   - IPv4 leaves by the uplink with an address of the outside only, while its router translates
//   - a host that is filtered gets what is for its own address only
//   - an error from a floating IP is about a packet to that floating IP
//   - as long as everybody's checksums were right, they are right behind the routers
// and after the last: every packet buffer is back in the pool.
#include "datapath/native/testing/testbed.h"

#include <string.h>

#include "datapath/frames/services.h"
#include "fuzz.h"

enum op {
	OP_BUILT,     // from, to, protocol, source port, destination port, flags, payload, changes
	OP_BACK,      // who answers what he got last; changes
	OP_ERROR,     // who complains of what he got last: type, code, how much is quoted; changes
	OP_FRAGMENTS, // as OP_BUILT; where it is cut, order
	OP_RAW,	      // from, MAC, length, frame without its MACs
	OP_POLICY,    // which change
	OP_TIME,      // tenths of a second
	OP_COUNT,
};

enum { A, B, C, FREE, OUTSIDE, PARTIES, STEPS_MAX = 96 };

static const struct party {
	const char *name, *ip, *gateway;
} parties[PARTIES] = {
	{"a", "10.0.1.1", "r1"},    {"b", "10.0.1.2", "r1"},	 {"c", "10.0.2.1", "s1"},
	{"free", "10.0.1.9", "r1"}, {"up", "203.0.113.9", "rx"},
};

// Where packets may go, and the MAC that has it on the external network.
static const struct place {
	const char *ip, *mac;
} places[] = {
	{"198.51.100.1", "rx"}, {"198.51.100.2", "sx"}, {"203.0.113.2", "rx"},
	{"203.0.113.3", "sx"},	{"203.0.113.50", "f0"}, {"203.0.113.51", "f1"},
	{"203.0.113.60", "ff"}, {"10.0.1.1", "rx"},	{"10.0.1.2", "f0"},
	{"10.0.2.1", "sx"},	{"10.0.1.254", "rx"},	{"203.0.113.9", "gw"},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

struct run {
	struct testbed *tb;
	const uint8_t *in, *end;
	bool translates;	    // router r; s always does
	bool answers;		    // the outside says who it is
	bool is_damaged;	    // somebody's checksum was wrong
	struct frame last[PARTIES]; // what each got
};

static uint8_t take(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

// ---- Policy --------------------------------------------------------------------------------

static void put_router(struct run *r)
{
	testbed_router_snat(r->tb, "r", "n1|r1|10.0.1.254/24 !up|rx|203.0.113.2/24",
			    "0.0.0.0/0|203.0.113.9", r->translates ? "203.0.113.2" : NULL);
}

static void put_all(struct run *r)
{
	r->translates = r->answers = true;
	testbed_network(r->tb, "n1", 1500);
	testbed_network(r->tb, "n2", 1300);
	testbed_provider(r->tb, "up", 1400, 0);
	testbed_rule_set(
		r->tb, "web", true,
		"egress 4 any\ningress 4 tcp 0-1023\ningress 4 udp 0-1023\ningress 4 icmp\n");
	testbed_rule_set(r->tb, "loose", false, "egress 4 any\ningress 4 udp\ningress 4 icmp\n");
	testbed_port(r->tb, "a", "n1", "10.0.1.1", "web");
	testbed_port(r->tb, "b", "n1", "10.0.1.2", "loose");
	testbed_port(r->tb, "c", "n2", "10.0.2.1", "web");
	testbed_port(r->tb, "free", "n1", "10.0.1.9", NULL);
	put_router(r);
	testbed_router_snat(r->tb, "s", "n2|s1|10.0.2.254/24 !up|sx|203.0.113.3/24",
			    "0.0.0.0/0|203.0.113.9", "203.0.113.3");
	testbed_floating(r->tb, "f0", "r", "up", "203.0.113.50", "10.0.1.1", "a");
	testbed_floating(r->tb, "ff", "r", "up", "203.0.113.60", NULL, "");
	testbed_forwarding(r->tb, "p1", "ff", 6, "80-90>70", "10.0.1.2", "b");
	testbed_forwarding(r->tb, "p2", "ff", 17, "53-53>80", "10.0.1.1", "a");
	testbed_commit(r->tb);
}

static void change_policy(struct run *r, uint8_t which)
{
	bool on = (which & 8) != 0;

	switch (which % 8) {
	case 0:
		testbed_floating(r->tb, "f0", "r", "up", "203.0.113.50",
				 on ? "10.0.1.1" : "10.0.1.2", on ? "a" : "b");
		break;
	case 1:
		testbed_del(r->tb, PLAN_FLOATING, "f0", NULL);
		break;
	case 2:
		testbed_floating(r->tb, "f1", "s", "up", "203.0.113.51", on ? "10.0.2.1" : NULL,
				 on ? "c" : "");
		break;
	case 3:
		r->translates = on;
		put_router(r);
		break;
	case 4:
		testbed_forwarding_del(r->tb, "p1", "ff");
		break;
	case 5:
		testbed_forwarding(r->tb, "p1", "ff", 6, on ? "80-90>70" : "81-81>1000", "10.0.1.2",
				   "b");
		break;
	case 6:
		testbed_rule_set(r->tb, "web", true,
				 on ? "egress 4 any\ningress 4 any\n" : "egress 4 tcp\n");
		break;
	default:
		r->answers = on;
	}
	testbed_commit(r->tb);
}

// ---- What must hold ------------------------------------------------------------------------

static bool is_ip4(const struct frame *f)
{
	return f->len >= 34 && f->b[12] == 0x08 && f->b[13] == 0x00 && f->b[14] == 0x45;
}

// Whole, and all of it is said to be there.
static bool is_sound(const struct frame *f)
{
	return is_ip4(f) && (size_t)(f->b[16] << 8 | f->b[17]) == f->len - 14 &&
	       ((f->b[20] & 0x3f) | f->b[21]) == 0 && f->len >= 54;
}

static void check_checksums(struct run *r, const struct frame *f)
{
	if (!r->is_damaged && is_sound(f))
		fuzz_assert(testbed_checksum_ok(f));
}

static bool is_outer(const uint8_t *ip)
{
	return memcmp(ip, "\xcb\x00\x71", 3) == 0;
}

static void check_outside(struct run *r, const struct frame *f)
{
	const uint8_t *src = f->b + 26;

	if (f->b[12] == 0x08 && f->b[13] == 0x06)
		return;
	fuzz_assert(f->len >= 34 && f->b[12] == 0x08 && f->b[13] == 0x00);
	// The floating IPs of the whole history, and the routers.
	fuzz_assert(is_outer(src) || (!r->translates && memcmp(src, "\x0a\x00\x02", 3) != 0));
	if (is_sound(f) && f->b[23] == 1 && (f->b[34] == 3 || f->b[34] == 11) &&
	    (src[3] == 50 || src[3] == 51) && f->len >= 62)
		fuzz_assert(memcmp(f->b + 42 + 16, src, 4) == 0);
	check_checksums(r, f);
}

static void check_inside(struct run *r, int to, const struct frame *f)
{
	struct ip_addr own;

	if (!is_ip4(f))
		return;
	fuzz_assert(weft_ip_parse(parties[to].ip, &own) == 0);
	fuzz_assert(to == FREE || (f->b[0] & 1) != 0 || memcmp(f->b + 30, own.b, 4) == 0);
	check_checksums(r, f);
}

// ---- Sending -------------------------------------------------------------------------------

static void answer_arp(struct run *r, const struct frame *question)
{
	struct frame f = testbed_arp("gw", "203.0.113.9", "203.0.113.2");

	if (!r->answers || question->b[12] != 0x08 || question->b[13] != 0x06 ||
	    question->b[21] != 1)
		return;
	f.b[21] = 2;
	memcpy(f.b, question->b + 6, 6);
	memcpy(f.b + 28, question->b + 38, 4);
	memcpy(f.b + 32, question->b + 22, 10);
	testbed_send(r->tb, "up", &f);
}

static void collect(struct run *r)
{
	struct frame got;

	for (int round = 0; round < 2; round++) // answers set others free
		for (int to = 0; to < PARTIES; to++)
			while (testbed_receive(r->tb, parties[to].name, &got)) {
				r->last[to] = got;
				if (to != OUTSIDE) {
					check_inside(r, to, &got);
					continue;
				}
				check_outside(r, &got);
				answer_arp(r, &got);
			}
}

static void send(struct run *r, int from, struct frame *f)
{
	if (is_ip4(f) && !(is_sound(f) && testbed_checksum_ok(f)))
		r->is_damaged = true;
	testbed_send(r->tb, parties[from].name, f);
	collect(r);
}

static void repair(struct frame *f)
{
	uint16_t csum;

	if (!is_ip4(f))
		return;
	memset(f->b + 24, 0, 2);
	csum = weft_csum(f->b + 14, 20, 0);
	memcpy(f->b + 24, &csum, 2);
	if (is_sound(f))
		testbed_checksum(f);
}

// Up to three bytes become others; the checksums follow.
static void change(struct run *r, struct frame *f)
{
	uint8_t n = take(r) & 3;

	for (uint8_t i = 0; i < n; i++) {
		size_t at = 12 + take(r);

		if (at < f->len)
			f->b[at] ^= take(r);
	}
	repair(f);
}

static struct frame build(struct run *r, int *from)
{
	static const uint8_t protocols[] = {6, 17, 1, 136, 33, 132, 47};
	static const uint16_t ports[] = {80, 53, 1000, 1001};
	uint8_t who = take(r), where = take(r), ends;
	const struct place *to = &places[where % PLACES];
	struct l4 l4 = {.proto = protocols[take(r) % sizeof(protocols)]};
	const char *src, *mac;

	*from = who % PARTIES;
	ends = take(r);
	l4.sport = ports[ends & 3];
	l4.dport = l4.proto == 1 ? (uint16_t)((ends & 4) != 0 ? 0x0800 : (ends & 0x1f) << 8)
				 : ports[ends >> 2 & 3];
	l4.tcp_flags = take(r);
	l4.payload = 20 + (size_t)take(r) * 6;
	src = *from == OUTSIDE ? places[who / PARTIES % 2].ip : parties[*from].ip;
	mac = *from == OUTSIDE ? to->mac : parties[*from].gateway;
	return testbed_frame(*from == OUTSIDE ? "gw" : parties[*from].name, mac, src, to->ip, l4);
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t keep = a[i];

		a[i] = b[i];
		b[i] = keep;
	}
}

static void send_back(struct run *r)
{
	int who = take(r) % PARTIES;
	struct frame f = r->last[who];

	if (!is_sound(&f))
		return;
	swap(f.b, f.b + 6, 6);
	swap(f.b + 26, f.b + 30, 4);
	f.b[22] = 64;
	if (f.b[23] != 1)
		swap(f.b + 34, f.b + 36, 2);
	else if (f.b[34] == 8)
		f.b[34] = 0;
	change(r, &f);
	send(r, who, &f);
}

static void send_error(struct run *r)
{
	int who = take(r) % PARTIES;
	struct frame about = r->last[who], f;
	uint8_t type = take(r), code = take(r);
	size_t quoted = 20 + take(r) % 64;
	char dst[16];

	if (!is_ip4(&about))
		return;
	if (about.len > 14 + quoted)
		about.len = 14 + quoted;
	snprintf(dst, sizeof(dst), "%u.%u.%u.%u", about.b[26], about.b[27], about.b[28],
		 about.b[29]);
	f = testbed_icmp_error("a", "a", who == OUTSIDE ? "192.0.2.1" : parties[who].ip, dst,
			       (type & 1) != 0 ? 3 : type % 16, code % 16, &about);
	memcpy(f.b, about.b + 6, 6);
	memcpy(f.b + 6, about.b, 6);
	repair(&f);
	change(r, &f);
	send(r, who, &f);
}

static void send_fragments(struct run *r)
{
	int from;
	struct frame whole = build(r, &from), first, later;
	size_t cut = (size_t)take(r) * 8 % 1024, payload = whole.len - 34;
	uint8_t order = take(r);

	testbed_checksum(&whole);
	if (cut == 0 || cut >= payload) {
		send(r, from, &whole);
		return;
	}
	first = testbed_fragment(&whole, order, 0, cut);
	later = testbed_fragment(&whole, order, cut, payload - cut);
	testbed_send(r->tb, parties[from].name, (order & 1) != 0 ? &first : &later);
	testbed_send(r->tb, parties[from].name, (order & 1) != 0 ? &later : &first);
	collect(r);
}

static void send_raw(struct run *r)
{
	int from = take(r) % PARTIES;
	struct mac_addr src = testbed_mac(from == OUTSIDE ? "gw" : parties[from].name);
	struct mac_addr dst =
		testbed_mac(from == OUTSIDE ? places[take(r) % PLACES].mac : parties[from].gateway);
	size_t n = take(r);
	struct frame f = {.len = 12};

	if (n > (size_t)(r->end - r->in))
		n = (size_t)(r->end - r->in);
	memcpy(f.b, dst.b, 6);
	memcpy(f.b + 6, src.b, 6);
	memcpy(f.b + 12, r->in, n);
	r->in += n;
	f.len += n;
	r->is_damaged = true;
	send(r, from, &f);
}

static void step(struct run *r)
{
	int from;
	struct frame f;

	switch ((enum op)(take(r) % OP_COUNT)) {
	case OP_BUILT:
		f = build(r, &from);
		repair(&f);
		change(r, &f);
		send(r, from, &f);
		break;
	case OP_BACK:
		send_back(r);
		break;
	case OP_ERROR:
		send_error(r);
		break;
	case OP_FRAGMENTS:
		send_fragments(r);
		break;
	case OP_RAW:
		send_raw(r);
		break;
	case OP_POLICY:
		change_policy(r, take(r));
		break;
	case OP_TIME:
		testbed_pass_time(r->tb, take(r) * 100u);
		collect(r);
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
	struct rte_mempool *pool;

	memset(r, 0, sizeof(*r));
	r->tb = testbed_new(1024);
	r->in = data;
	r->end = data + len;
	pool = r->tb->dp.node.pool;
	if (pool_size == 0)
		pool_size = rte_mempool_avail_count(pool);
	put_all(r);
	collect(r); // announcements
	for (unsigned i = 0; i < STEPS_MAX && r->in < r->end; i++)
		step(r);
	testbed_free(r->tb);
	fuzz_assert(rte_mempool_avail_count(pool) == pool_size);
	return 0;
}
