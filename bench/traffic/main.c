// SPDX-License-Identifier: Apache-2.0
// Traffic: plays two VMs through two virtio-user ports, one busy thread, and verifies what arrives.
//
// Commands come as lines of JSON on standard input, one answer line for each:
//   {"open": NAME, "a": SOCKET, "b": SOCKET}   connect a pair of ports to a switch's two
//   vhost-user sockets {"close": NAME} {"run": NAME, "size": 64, "users": 1000, "seconds": 3.0,
//   "ab": WAY, "ba": WAY, "rate": 0, "mode": "both"}
// WAY is what one direction looks like when it is sent and when it must arrive:
//   {"eth": "<24 hex digits: destination, source>", "src": IP, "dst": IP, "got_eth": …,
//   "got_src": …, "got_dst": …, "hops": 0}
// A "got_eth" of "" is not checked (a switch that writes its own MACs).
//
// mode   "both"   users = distinct UDP 5-tuples from a to b, each with its reply, both directions
//        at once. First every user's
//                 packet is sent and answered once, so that what is measured is known flows. That
//                 takes "known_s" seconds at most (10): what the switch did not learn by then is
//                 not known when it is measured. "known": true leaves it
//                 out: an earlier run has done it.
//        "setups" each packet from a has a 5-tuple never used before and is answered by b;
//        counted when the answer is back.
//        "mixed"  both at once
// order  "turns": users take turns, in the order in which they became known; "random": in that of
//        a fixed permutation.
// rate   of users' packets a second in each direction; 0 = as many as the switch takes. With a
//        rate, latency is measured.
// size   of the frame, with the 4 bytes of its FCS
//
// Every packet's length, MACs, IPv4 header and its checksum, TTL and ports (against the flow
// number in the payload) are checked; every 64th packet's payload byte by byte. "share" is how
// much of the time this thread really ran; "lost" how much of what users sent did not arrive.
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#include "packets.h"
#include "ports.h"
#include "run.h"

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s\n", what);
	exit(1);
}

static json_t *problem(const char *what, const char *of)
{
	return json_pack("{s:s, s:s}", "error", what, "of", of == NULL ? "" : of);
}

static json_t *done(const char *error, const char *what, const char *name)
{
	return error != NULL ? problem(error, name) : json_pack("{s:s}", what, name);
}

static bool has_word(const json_t *o, const char *name, const char *word)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text != NULL && strcmp(text, word) == 0;
}

// NULL if all is well.
static const char *read_run(const json_t *o, struct run *r)
{
	json_int_t size = json_integer_value(json_object_get(o, "size"));
	json_int_t users = json_integer_value(json_object_get(o, "users"));
	bool setups = has_word(o, "mode", "setups");
	uint16_t len = (uint16_t)(size - 4);

	if (size < 64 || size > FRAME_MAX)
		return "size must be 64 to 1518";
	r->fresh = setups || has_word(o, "mode", "mixed");
	r->seconds = json_number_value(json_object_get(o, "seconds"));
	r->known = json_is_true(json_object_get(o, "known"));
	r->known_s = json_number_value(json_object_get(o, "known_s"));
	if (r->known_s <= 0)
		r->known_s = 10;
	r->rate = json_number_value(json_object_get(o, "rate"));
	if (!setups && (users < 1 || users > FRESH_FIRST))
		return "users must be 1 to 1048576";
	r->users = setups ? 0 : (uint32_t)users;
	if (!way_read(json_object_get(o, "ab"), 0, len, &r->way[0]) ||
	    !way_read(json_object_get(o, "ba"), 1, len, &r->way[1]))
		return "ab or ba is wrong";
	return NULL;
}

static json_t *do_run(const char *name, const json_t *o)
{
	struct run r = {.pair = pair_find(name)};
	const char *error = r.pair == NULL ? "is not open" : read_run(o, &r);
	json_t *out;

	if (error != NULL)
		return problem(error, name);
	if (r.rate > 0 && (r.latency = run_histogram()) == NULL)
		die("out of memory");
	if (r.users > 0 && has_word(o, "order", "random") &&
	    (r.order = run_shuffled(r.users)) == NULL)
		die("out of memory");
	out = run_measure(&r);
	free(r.latency);
	free(r.order);
	return out;
}

static json_t *command(const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "open"));

	if (name != NULL)
		return done(pair_open(name, json_string_value(json_object_get(o, "a")),
				      json_string_value(json_object_get(o, "b"))),
			    "opened", name);
	name = json_string_value(json_object_get(o, "close"));
	if (name != NULL)
		return done(pair_close(name), "closed", name);
	name = json_string_value(json_object_get(o, "run"));
	return name != NULL ? do_run(name, o) : problem("unknown command", NULL);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t cap = 0;

	if (rte_eal_init(argc, argv) < 0)
		die("EAL does not start");
	tx_pool = rte_pktmbuf_pool_create("tx", 32767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	rx_pool = rte_pktmbuf_pool_create("rx", 65535, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	if (tx_pool == NULL || rx_pool == NULL)
		die("no memory for packets");
	packets_init(tx_pool);
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
