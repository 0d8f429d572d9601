// SPDX-License-Identifier: Apache-2.0
// Traffic: plays two VMs through two virtio-user ports, one busy thread, and verifies what arrives.
//
// Commands come as lines of JSON on standard input, one answer line for each:
//   {"open": NAME, "a": SOCKET, "b": SOCKET}   connect a pair of ports to a switch's two vhost-user sockets
//   {"close": NAME}
//   {"run": NAME, "size": 64, "users": 1000, "seconds": 3.0, "ab": WAY, "ba": WAY, "rate": 0, "mode": "both"}
// WAY is what one direction looks like when it is sent and when it must arrive:
//   {"eth": "<24 hex digits: destination, source>", "src": IP, "dst": IP, "got_eth": …, "got_src": …, "got_dst": …, "hops": 0}
// A "got_eth" of "" is not checked (a switch that writes its own MACs).
//
// mode   "both"   users = distinct UDP 5-tuples from a to b, each with its reply, both directions at once, round-robin. First
//                 every user's packet is sent and answered once, so that what is measured is known flows.
//        "setups" each packet from a has a 5-tuple never used before and is answered by b; counted when the answer is back.
//        That takes "known_s" seconds at most (10): what the switch did not learn by then is not known when it is measured.
//        "known": true leaves it out: an earlier run has done it.
// rate   packets a second in each direction; 0 = as many as the switch takes. With a rate, latency is measured.
// size   of the frame, with the 4 bytes of its FCS
//
// Every packet's length, MACs, IPv4 header and its checksum, TTL and ports (against the flow number in the payload) are
// checked; every 64th packet's payload byte by byte. "share" is how much of the time this thread really ran.
#include <errno.h>
#include <jansson.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"

#define BURST	   32
#define RING	   1024
#define PAIRS_MAX  16
#define WINDOW	   192 // packets on their way while flows are made known
#define SPORTS	   16384
#define FIRST_PORT 1024
#define FIRST_DEST 5000
#define PATTERN	   64 // where the payload's constant bytes begin
#define FRAME_MAX  1518
#define MAGIC	   0x77e7
#define BUCKETS	   65536 // of the latency histogram, 0.1 us each

struct __attribute__((packed)) frame {
	uint8_t eth[12];
	rte_be16_t type;
	uint8_t version_ihl, tos;
	rte_be16_t total_len, id, frag;
	uint8_t ttl, proto;
	uint16_t csum;
	rte_be32_t src, dst;
	rte_be16_t sport, dport, udp_len;
	uint16_t udp_csum;
	uint16_t magic;
	uint8_t way, zero;
	uint32_t user;
	uint64_t tsc;
	uint8_t pad[6];
};
_Static_assert(sizeof(struct frame) == PATTERN, "written as one line");

struct way {
	struct frame sent;
	uint8_t got_eth[12];
	bool check_eth;
	rte_be32_t got_src, got_dst;
	uint8_t got_ttl;
};

struct end { // one of the two VMs
	uint16_t port;
	uint32_t next; // user
	uint16_t n, done;
	struct rte_mbuf *staged[BURST]; // made but not yet taken by the switch
	uint64_t sent, received, bad, checked;
};

struct pair {
	char name[32];
	struct end end[2];
};

struct run {
	struct pair *pair;
	struct way way[2];
	uint16_t len; // without FCS
	uint32_t users;
	double seconds, rate, known_s;
	bool setups, known;
	uint64_t answered;
	uint32_t *latency;
};

static struct pair pairs[PAIRS_MAX];
static size_t n_pairs;
static struct rte_mempool *tx_pool, *rx_pool;
static uint8_t pattern[FRAME_MAX];

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s\n", what);
	exit(1);
}

static json_t *problem(const char *what, const char *of)
{
	return json_pack("{s:s, s:s}", "error", what, "of", of == NULL ? "" : of);
}

// ---- Ports -----------------------------------------------------------------------------------------

static int open_port(const char *socket, uint16_t *port)
{
	static unsigned number;
	struct rte_eth_conf conf = {0};
	char name[32], args[256];

	snprintf(name, sizeof(name), "net_virtio_user%u", number);
	snprintf(args, sizeof(args),
		 "%s,path=%s,queues=1,queue_size=%d,mrg_rxbuf=1,in_order=1,mac=02:00:00:00:0f:%02x",
		 name, socket, RING, number & 0xff);
	number++;
	if (rte_dev_probe(args) != 0 || rte_eth_dev_get_port_by_name(name, port) != 0 ||
	    rte_eth_dev_configure(*port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(*port, 0, RING, SOCKET_ID_ANY, NULL, rx_pool) != 0 ||
	    rte_eth_tx_queue_setup(*port, 0, RING, SOCKET_ID_ANY, NULL) != 0)
		return -1;
	return rte_eth_dev_start(*port);
}

static struct pair *find_pair(const char *name)
{
	for (size_t i = 0; i < n_pairs; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return &pairs[i];
	return NULL;
}

static void close_port(struct end *e)
{
	struct rte_eth_dev_info info;

	for (uint16_t i = e->done; i < e->n; i++)
		rte_pktmbuf_free(e->staged[i]);
	rte_eth_dev_stop(e->port);
	if (rte_eth_dev_info_get(e->port, &info) == 0) {
		rte_eth_dev_close(e->port);
		rte_dev_remove(info.device);
	}
}

static json_t *do_open(const char *name, const char *a, const char *b)
{
	struct pair *p = &pairs[n_pairs];

	if (a == NULL || b == NULL || n_pairs == PAIRS_MAX || find_pair(name) != NULL)
		return problem("needs a new name and sockets a and b", name);
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	if (open_port(a, &p->end[0].port) != 0)
		return problem("cannot connect", a);
	if (open_port(b, &p->end[1].port) != 0) {
		close_port(&p->end[0]);
		return problem("cannot connect", b);
	}
	n_pairs++;
	return json_pack("{s:s}", "opened", name);
}

static json_t *do_close(const char *name)
{
	struct pair *p = find_pair(name);

	if (p == NULL)
		return problem("is not open", name);
	close_port(&p->end[0]);
	close_port(&p->end[1]);
	*p = pairs[--n_pairs];
	return json_pack("{s:s}", "closed", name);
}

// ---- Packets ---------------------------------------------------------------------------------------

static uint16_t ip_sum(const struct frame *f)
{
	uint16_t w[10];
	uint32_t sum = 0;

	memcpy(w, &f->version_ihl, sizeof(w));
	for (size_t i = 0; i < 10; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static inline void make(struct rte_mbuf *m, const struct run *r, int w, uint32_t user)
{
	struct frame *f = rte_pktmbuf_mtod(m, struct frame *);
	rte_be16_t near = rte_cpu_to_be_16((uint16_t)(FIRST_PORT + user % SPORTS));
	rte_be16_t far = rte_cpu_to_be_16((uint16_t)(FIRST_DEST + user / SPORTS));

	memcpy(f, &r->way[w].sent, sizeof(*f));
	f->sport = w == 0 ? near : far;
	f->dport = w == 0 ? far : near;
	f->user = user;
	if (r->latency != NULL)
		f->tsc = rte_rdtsc();
	m->data_len = r->len;
	m->pkt_len = r->len;
}

static inline bool is_good(const struct rte_mbuf *m, const struct run *r, int w, struct end *e)
{
	const struct frame *f = rte_pktmbuf_mtod(m, const struct frame *);
	const struct way *way = &r->way[w];
	rte_be16_t near, far;

	if (m->pkt_len != r->len || f->magic != MAGIC || f->way != w)
		return false;
	near = rte_cpu_to_be_16((uint16_t)(FIRST_PORT + f->user % SPORTS));
	far = rte_cpu_to_be_16((uint16_t)(FIRST_DEST + f->user / SPORTS));
	if ((way->check_eth && memcmp(f->eth, way->got_eth, 12) != 0) ||
	    f->type != way->sent.type || f->version_ihl != 0x45 ||
	    f->total_len != way->sent.total_len || f->proto != 17 || f->ttl != way->got_ttl ||
	    f->src != way->got_src || f->dst != way->got_dst || ip_sum(f) != 0xffff ||
	    f->sport != (w == 0 ? near : far) || f->dport != (w == 0 ? far : near))
		return false;
	if ((e->checked++ & 63) == 0 && r->len > PATTERN)
		return m->nb_segs == 1 && memcmp((const uint8_t *)f + PATTERN, pattern + PATTERN,
						 (size_t)r->len - PATTERN) == 0;
	return true;
}

// What has arrived at an end. Setups: b answers what it gets, with the same mbuf's flow.
static void receive(struct run *r, int at)
{
	struct end *e = &r->pair->end[at];
	struct rte_mbuf *pkts[BURST], *out[BURST];
	uint16_t n = rte_eth_rx_burst(e->port, 0, pkts, BURST), n_out = 0, sent;

	if (n == 0)
		return;
	for (uint16_t i = 0; i < n; i++) {
		const struct frame *f;

		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 4], void *));
		f = rte_pktmbuf_mtod(pkts[i], const struct frame *);
		if (!is_good(pkts[i], r, !at, e)) {
			e->bad++;
			continue;
		}
		e->received++;
		if (r->latency != NULL) {
			uint64_t tenths = (rte_rdtsc() - f->tsc) * 10000000 / rte_get_tsc_hz();

			r->latency[RTE_MIN(tenths, (uint64_t)BUCKETS - 1)]++;
		}
		if (r->setups && at == 1 && (out[n_out] = rte_pktmbuf_alloc(tx_pool)) != NULL)
			make(out[n_out++], r, 1, f->user);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	if (n_out > 0) {
		sent = rte_eth_tx_burst(e->port, 0, out, n_out);
		rte_pktmbuf_free_bulk(out + sent, n_out - sent);
		e->sent += sent;
	}
}

// Send a burst, or what is left of the last one. Returns how many the switch took.
static uint16_t send_burst(struct run *r, int from, uint16_t n)
{
	struct end *e = &r->pair->end[from];
	uint16_t sent;

	if (e->done == e->n) {
		e->done = e->n = 0;
		if (rte_pktmbuf_alloc_bulk(tx_pool, e->staged, n) != 0)
			return 0;
		for (uint16_t i = 0; i < n; i++) {
			make(e->staged[i], r, from, e->next);
			e->next = e->next + 1 == r->users ? 0 : e->next + 1;
		}
		e->n = n;
	}
	sent = rte_eth_tx_burst(e->port, 0, e->staged + e->done, e->n - e->done);
	e->done += sent;
	e->sent += sent;
	return sent;
}

static void forget_staged(struct end *e)
{
	rte_pktmbuf_free_bulk(e->staged + e->done, e->n - e->done);
	e->done = e->n = 0;
}

// ---- Runs ------------------------------------------------------------------------------------------

// Empty the rings of what an earlier run left.
static void drain(struct run *r)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 50;
	struct rte_mbuf *pkts[BURST];

	while (rte_rdtsc() < end)
		for (int at = 0; at < 2; at++) {
			uint16_t n = rte_eth_rx_burst(r->pair->end[at].port, 0, pkts, BURST);

			rte_pktmbuf_free_bulk(pkts, n);
		}
	for (int at = 0; at < 2; at++) {
		struct end *e = &r->pair->end[at];

		forget_staged(e);
		e->sent = e->received = e->bad = 0;
		e->next = 0;
	}
}

// Each user's packet once, few on their way at a time, so that none is lost. Returns how many arrived.
static uint64_t make_known(struct run *r, int from)
{
	struct end *e = &r->pair->end[from], *to = &r->pair->end[!from];
	uint64_t begin = to->received + to->bad, sent = 0, lost = 0, last, at = rte_rdtsc();
	uint64_t end = at + (uint64_t)(r->known_s / 2 * (double)rte_get_tsc_hz());

	e->next = 0;
	while (sent < r->users && rte_rdtsc() < end) {
		uint64_t arrived = to->received + to->bad - begin;

		if (sent - arrived - lost < WINDOW) {
			sent += send_burst(r, from,
					   (uint16_t)RTE_MIN((uint32_t)BURST, r->users - sent));
		} else if (rte_rdtsc() - at > rte_get_tsc_hz() / 100) {
			lost = sent - arrived;
		}
		last = to->received;
		receive(r, !from);
		receive(r, from);
		if (to->received != last)
			at = rte_rdtsc();
	}
	for (at = rte_rdtsc(); rte_rdtsc() - at < rte_get_tsc_hz() / 100;)
		receive(r, !from);
	forget_staged(e);
	return to->received + to->bad - begin;
}

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void loop(struct run *r, uint64_t begin, uint64_t end)
{
	double per_cycle = r->rate / (double)rte_get_tsc_hz();
	uint64_t now, due = 0;

	while ((now = rte_rdtsc()) < end) {
		uint16_t n = BURST;

		if (r->rate > 0) {
			uint64_t want = (uint64_t)((double)(now - begin) * per_cycle);

			n = (uint16_t)RTE_MIN((uint64_t)BURST, want - due);
			due += n;
		}
		if (n > 0) {
			send_burst(r, 0, n);
			if (!r->setups)
				send_burst(r, 1, n);
		}
		receive(r, 0);
		receive(r, 1);
	}
}

static double percentile(const struct run *r, double of)
{
	uint64_t total = 0, seen = 0;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		total += r->latency[i];
	for (i = 0; i + 1 < BUCKETS; i++) {
		seen += r->latency[i];
		if ((double)seen >= (double)total * of)
			break;
	}
	return (double)i / 10;
}

static json_t *measure(struct run *r)
{
	struct end *a = &r->pair->end[0], *b = &r->pair->end[1];
	uint64_t hz = rte_get_tsc_hz(), begin;
	uint64_t known[2] = {0, 0};
	double cpu, wall;
	json_t *out;

	drain(r);
	if (!r->setups && !r->known) {
		uint32_t *latency = r->latency;

		r->latency = NULL;
		known[0] = make_known(r, 0);
		known[1] = make_known(r, 1);
		r->latency = latency;
	}
	a->sent = b->sent = a->received = b->received = a->bad = b->bad = 0;
	begin = rte_rdtsc();
	cpu = thread_seconds();
	loop(r, begin, begin + (uint64_t)(r->seconds * (double)hz));
	cpu = thread_seconds() - cpu;
	wall = (double)(rte_rdtsc() - begin) / (double)hz;
	out = json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "mpps",
			(double)(a->received + b->received) / wall / 1e6, "setups_per_s",
			r->setups ? (double)a->received / wall : 0.0, "sent",
			(json_int_t)(a->sent + b->sent), "received",
			(json_int_t)(a->received + b->received), "bad",
			(json_int_t)(a->bad + b->bad), "known_ab", (json_int_t)known[0], "known_ba",
			(json_int_t)known[1], "share", cpu / wall, "seconds", wall);
	if (r->latency != NULL) {
		json_object_set_new(out, "p50_us", json_real(percentile(r, 0.50)));
		json_object_set_new(out, "p99_us", json_real(percentile(r, 0.99)));
	}
	return out;
}

static bool read_eth(const char *hex, uint8_t out[12])
{
	if (hex == NULL || strlen(hex) != 24)
		return false;
	for (size_t i = 0; i < 12; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
			return false;
	return true;
}

static bool read_ip(const json_t *o, const char *name, rte_be32_t *out)
{
	struct ip_addr ip;
	const char *text = json_string_value(json_object_get(o, name));

	if (text == NULL || weft_ip_parse(text, &ip) != 0 || ip.family != 4)
		return false;
	memcpy(out, ip.b, 4);
	return true;
}

static bool read_way(const json_t *o, int number, uint16_t len, struct way *w)
{
	const char *got = json_string_value(json_object_get(o, "got_eth"));
	struct frame *f = &w->sent;
	rte_be32_t src, dst;

	memset(w, 0, sizeof(*w));
	w->check_eth = got != NULL && got[0] != '\0';
	if (!read_eth(json_string_value(json_object_get(o, "eth")), f->eth) ||
	    !read_ip(o, "src", &src) || !read_ip(o, "dst", &dst) ||
	    !read_ip(o, "got_src", &w->got_src) || !read_ip(o, "got_dst", &w->got_dst) ||
	    (w->check_eth && !read_eth(got, w->got_eth)))
		return false;
	f->src = src;
	f->dst = dst;
	f->type = RTE_BE16(0x0800);
	f->version_ihl = 0x45;
	f->total_len = rte_cpu_to_be_16((uint16_t)(len - 14));
	f->ttl = 64;
	f->proto = 17;
	f->udp_len = rte_cpu_to_be_16((uint16_t)(len - 34));
	f->magic = MAGIC;
	f->way = (uint8_t)number;
	f->csum = (uint16_t)~ip_sum(f);
	w->got_ttl = (uint8_t)(64 - json_integer_value(json_object_get(o, "hops")));
	return true;
}

static json_t *do_run(const char *name, const json_t *o)
{
	struct run r = {.pair = find_pair(name)};
	json_int_t size = json_integer_value(json_object_get(o, "size"));
	const char *mode = json_string_value(json_object_get(o, "mode"));
	json_t *out;

	if (r.pair == NULL)
		return problem("is not open", name);
	if (size < 64 || size > FRAME_MAX)
		return problem("size must be 64 to 1518", name);
	r.len = (uint16_t)(size - 4);
	r.seconds = json_number_value(json_object_get(o, "seconds"));
	r.known = json_is_true(json_object_get(o, "known"));
	r.known_s = json_number_value(json_object_get(o, "known_s"));
	if (r.known_s <= 0)
		r.known_s = 10;
	r.rate = json_number_value(json_object_get(o, "rate"));
	r.setups = mode != NULL && strcmp(mode, "setups") == 0;
	r.users = r.setups ? UINT32_MAX : (uint32_t)json_integer_value(json_object_get(o, "users"));
	if (r.users == 0 || !read_way(json_object_get(o, "ab"), 0, r.len, &r.way[0]) ||
	    !read_way(json_object_get(o, "ba"), 1, r.len, &r.way[1]))
		return problem("users, ab or ba is wrong", name);
	if (r.rate > 0 && (r.latency = calloc(BUCKETS, sizeof(*r.latency))) == NULL)
		die("out of memory");
	out = measure(&r);
	free(r.latency);
	return out;
}

static json_t *command(const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "open"));

	if (name != NULL)
		return do_open(name, json_string_value(json_object_get(o, "a")),
			       json_string_value(json_object_get(o, "b")));
	name = json_string_value(json_object_get(o, "close"));
	if (name != NULL)
		return do_close(name);
	name = json_string_value(json_object_get(o, "run"));
	return name != NULL ? do_run(name, o) : problem("unknown command", NULL);
}

static void fill(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	struct rte_mbuf *m = object;

	(void)pool;
	(void)arg;
	(void)index;
	memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, pattern, FRAME_MAX);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t cap = 0;

	for (size_t i = 0; i < FRAME_MAX; i++)
		pattern[i] = (uint8_t)(i * 7 + 3);
	if (rte_eal_init(argc, argv) < 0)
		die("EAL does not start");
	tx_pool = rte_pktmbuf_pool_create("tx", 32767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	rx_pool = rte_pktmbuf_pool_create("rx", 65535, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	if (tx_pool == NULL || rx_pool == NULL)
		die("no memory for packets");
	rte_mempool_obj_iter(tx_pool, fill, NULL);
	while (getline(&line, &cap, stdin) > 0) {
		json_t *o = json_loads(line, 0, NULL);
		json_t *answer = o == NULL ? problem("is not JSON", line) : command(o);

		json_dumpf(answer, stdout, JSON_COMPACT);
		fputc('\n', stdout);
		fflush(stdout);
		json_decref(answer);
		json_decref(o);
	}
	free(line);
	rte_eal_cleanup();
	return 0;
}
