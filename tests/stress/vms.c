// SPDX-License-Identifier: Apache-2.0
// VMs: plays all VMs of the stress test on vhost-user sockets, one thread, and checks every
// packet. stress.py drives it.
//
// Commands come as lines of JSON on standard input, one answer line for each:
//   {"vm": NAME, "path": SOCKET, "mac": M, "gateway": M, "gateway6": M, "ip": IP, "ip6": IP}   ->
//   {"id": number}
//   {"class": NAME, "kind": …, …}           a kind of traffic (read_class)
//                                           -> {"id": number}
//   {"connect": VM}, {"cut": VM, "graceful": bool}
//   {"send": bool, "rate": packets/s}       0: as many as the rings take
//   {"changing": [class…], "note": TEXT}    what these send from now on may arrive or not.
//                                           Answered when all that was sent before went through
//   {"set": [[class, "allowed" | "forbidden", target VM]…]}    that is so from now on
//   {"idle": true}                          -> seconds since anything came, packets in rings
//   {"report": true}
#include <errno.h>
#include <jansson.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "tests/stress/play.h"

#define LINE_MAX_LEN 65536
#define RX_BUDGET    64
#define BURY_EVERY   4096 // turns
#define BARRIER_S    20.0 // patience

static struct play play;

struct barrier {
	bool pending;
	double since;
	uint16_t mark[VMS_MAX];
	struct vm_rings *rings[VMS_MAX];
};
static struct barrier barrier;

static json_t *problem(const char *what)
{
	return json_pack("{s:s}", "error", what);
}

static void say(json_t *answer)
{
	json_dumpf(answer, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	fflush(stdout);
	json_decref(answer);
}

// ---- Reading -------------------------------------------------------------------------------

static bool read_mac(const json_t *o, const char *name, uint8_t out[6])
{
	const char *text = json_string_value(json_object_get(o, name));
	struct mac_addr mac;

	if (text == NULL || weft_mac_parse(text, &mac) != 0)
		return false;
	memcpy(out, mac.b, 6);
	return true;
}

// Not given: all zero.
static bool read_ip(const json_t *o, const char *name, uint8_t *out, size_t size)
{
	const char *text = json_string_value(json_object_get(o, name));
	struct ip_addr ip;

	memset(out, 0, size);
	if (text == NULL)
		return true;
	if (weft_ip_parse(text, &ip) != 0)
		return false;
	memcpy(out, ip.b, size);
	return true;
}

static json_t *add_vm(const json_t *o)
{
	struct vm *v = &play.vms[play.n_vms];
	const char *path = json_string_value(json_object_get(o, "path"));

	if (play.n_vms == VMS_MAX || path == NULL || strlen(path) >= sizeof(v->path) ||
	    !read_mac(o, "mac", v->mac) || !read_mac(o, "gateway", v->gateway) ||
	    !read_mac(o, "gateway6", v->gateway6) || !read_ip(o, "ip", v->ip, 4) ||
	    !read_ip(o, "ip6", v->ip6, 16))
		return problem("vm: something is missing or wrong");
	snprintf(v->name, sizeof(v->name), "%s", json_string_value(json_object_get(o, "vm")));
	snprintf(v->path, sizeof(v->path), "%s", path);
	return json_pack("{s:i}", "id", (int)play.n_vms++);
}

static bool read_kind(const char *text, enum kind *out)
{
	static const char *const kinds[] = {"udp", "tcp", "icmp", "frag", "bcast", "flood", "arp"};

	for (size_t i = 0; text != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i], text) == 0) {
			*out = (enum kind)i;
			return true;
		}
	return false;
}

static json_t *add_class(const json_t *o)
{
	struct class *c = &play.classes[play.n_classes];
	int from, family, hops, sport, dport, flows;
	json_int_t receivers;
	const char *name, *kind;
	json_t *rest;
	int routed, steady, spoofed, pressed;

	if (play.n_classes == CLASSES_MAX ||
	    json_unpack((json_t *)(uintptr_t)o,
			"{s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:F,s:I,s:b,s:b,s:b,s:b,s?o}", "class",
			&name, "kind", &kind, "from", &from, "family", &family, "hops", &hops,
			"sport", &sport, "dport", &dport, "flows", &flows, "weight", &c->weight,
			"receivers", &receivers, "routed", &routed, "steady", &steady,
			"spoofed_mac", &spoofed, "pressed", &pressed, "src", &rest) != 0 ||
	    !read_kind(kind, &c->kind) || !read_ip(o, "src", c->src, 16) ||
	    !read_ip(o, "dst", c->dst, 16) || !read_ip(o, "got_src", c->got_src, 16) ||
	    !read_ip(o, "got_dst", c->got_dst, 16) || from < 0 || from >= VMS_MAX || flows < 1 ||
	    (c->kind == KIND_TCP && flows > CONNS_MAX))
		return problem("class: something is missing or wrong");
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->id = (uint8_t)play.n_classes;
	c->from = (uint8_t)from;
	c->family = (uint8_t)family;
	c->hops = (uint8_t)hops;
	c->sport = (uint16_t)sport;
	c->dport = (uint16_t)dport;
	c->flows = (uint32_t)flows;
	c->receivers = (uint64_t)receivers;
	c->routed = routed;
	c->steady = steady;
	c->spoofed_mac = spoofed;
	c->pressed = pressed;
	c->stamp = STAMP_CHANGING;
	c->target = NOBODY;
	if (c->kind == KIND_UDP || c->kind == KIND_ICMP) {
		c->heard = calloc(c->flows, sizeof(*c->heard));
		if (c->heard == NULL)
			return problem("out of memory");
	}
	return json_pack("{s:i}", "id", (int)play.n_classes++);
}

// ---- Commands ------------------------------------------------------------------------------

static struct vm *vm_of(const json_t *number)
{
	json_int_t i = json_integer_value(number);

	return json_is_integer(number) && i >= 0 && i < play.n_vms ? &play.vms[i] : NULL;
}

static struct class *class_of(const json_t *number)
{
	json_int_t i = json_integer_value(number);

	return json_is_integer(number) && i >= 0 && i < play.n_classes ? &play.classes[i] : NULL;
}

static json_t *do_connect(const json_t *o)
{
	struct vm *v = vm_of(json_object_get(o, "connect"));
	// Those that change how a packet lies in the rings.
	uint64_t features = LAB_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
			    (play_random(&play, 2) ? LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0);

	if (v == NULL || v->rings != NULL)
		return problem("connect: no such VM, or it is connected");
	if (!vm_connect(v, features))
		return json_pack("{s:b}", "connected", 0);
	return json_pack("{s:b}", "connected", 1);
}

static json_t *do_cut(const json_t *o)
{
	struct vm *v = vm_of(json_object_get(o, "cut"));

	if (v == NULL || v->rings == NULL)
		return problem("cut: no such VM, or it is not connected");
	vm_cut(v, json_is_true(json_object_get(o, "graceful")), play.now);
	return json_pack("{s:i}", "cuts", (int)v->connections);
}

// NULL: the answer comes later.
static json_t *do_changing(const json_t *o)
{
	const char *note = json_string_value(json_object_get(o, "note"));
	const json_t *id;
	size_t i;

	json_array_foreach(json_object_get(o, "changing"), i, id) {
		struct class *c = class_of(id);

		if (c == NULL)
			return problem("changing: no such class");
		c->stamp = STAMP_CHANGING;
		c->version++;
		snprintf(c->note, sizeof(c->note), "%s at %.6f", note == NULL ? "?" : note,
			 play.now - play.begun);
	}
	for (i = 0; i < play.n_vms; i++) {
		vm_publish(&play.vms[i]);
		barrier.rings[i] = play.vms[i].rings;
		barrier.mark[i] = vm_mark(&play.vms[i]);
	}
	barrier.pending = true;
	barrier.since = play.now;
	return NULL;
}

static json_t *do_set(const json_t *o)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(o, "set"), i, one) {
		struct class *c = class_of(json_array_get(one, 0));
		const char *state = json_string_value(json_array_get(one, 1));
		json_int_t target = json_integer_value(json_array_get(one, 2));

		if (c == NULL || state == NULL || target < 0 || target >= play.n_vms)
			return problem("set: no such class, state or VM");
		c->stamp = strcmp(state, "allowed") == 0 ? STAMP_ALLOWED : STAMP_FORBIDDEN;
		c->target = (uint8_t)target;
		c->version++;
	}
	return json_pack("{s:f}", "at", play.now - play.begun);
}

static json_t *do_idle(void)
{
	unsigned int pending = 0;

	for (unsigned int i = 0; i < play.n_vms; i++) {
		vm_publish(&play.vms[i]);
		if (play.vms[i].rings != NULL)
			pending += LAB_RING - vm_room(&play.vms[i]);
	}
	return json_pack("{s:f,s:i}", "idle", play.now - play.heard, "pending", (int)pending);
}

static void bury(bool all)
{
	for (unsigned int i = 0; i < play.n_vms; i++)
		vm_bury(&play.vms[i], i, play.now, all, play_receive, play_lost, &play);
}

static json_t *command(const json_t *o)
{
	if (json_object_get(o, "vm") != NULL)
		return add_vm(o);
	if (json_object_get(o, "class") != NULL)
		return add_class(o);
	if (json_object_get(o, "connect") != NULL)
		return do_connect(o);
	if (json_object_get(o, "cut") != NULL)
		return do_cut(o);
	if (json_object_get(o, "changing") != NULL)
		return do_changing(o);
	if (json_object_get(o, "set") != NULL)
		return do_set(o);
	if (json_object_get(o, "idle") != NULL)
		return do_idle();
	if (json_object_get(o, "send") != NULL) {
		play.sending = json_is_true(json_object_get(o, "send"));
		play.rate = json_number_value(json_object_get(o, "rate"));
		play.emitted = play.now;
		return json_pack("{s:b}", "sending", play.sending);
	}
	if (json_object_get(o, "report") != NULL) {
		bury(true);
		return play_report(&play);
	}
	return problem("unknown command");
}

// False: standard input has ended.
static bool listen_once(void)
{
	static char line[LINE_MAX_LEN];
	static size_t have;
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t n;
	char *end;

	if (poll(&in, 1, 0) != 1)
		return true;
	n = read(STDIN_FILENO, line + have, sizeof(line) - have);
	if (n <= 0)
		return false;
	have += (size_t)n;
	while (!barrier.pending && (end = memchr(line, '\n', have)) != NULL) {
		json_t *o = json_loadb(line, (size_t)(end - line), 0, NULL);
		json_t *answer = o == NULL ? problem("not JSON") : command(o);

		if (answer != NULL)
			say(answer);
		json_decref(o);
		have -= (size_t)(end + 1 - line);
		memmove(line, end + 1, have);
	}
	return have < sizeof(line);
}

static void check_barrier(void)
{
	for (unsigned int i = 0; i < play.n_vms; i++) {
		if (barrier.rings[i] == NULL)
			continue;
		// Passed once is passed: the ring goes on, and its index comes around.
		if (barrier.rings[i] != play.vms[i].rings ||
		    vm_passed(&play.vms[i], barrier.mark[i])) {
			barrier.rings[i] = NULL;
		} else {
			if (play.now - barrier.since < BARRIER_S)
				return;
			barrier.pending = false;
			say(json_pack("{s:s, s:s}", "error", "weftd takes nothing from", "of",
				      play.vms[i].name));
			return;
		}
	}
	barrier.pending = false;
	say(json_pack("{s:f}", "at", play.now - play.begun));
}

// ---- The turn ------------------------------------------------------------------------------

static unsigned int turn(void)
{
	unsigned int n = 0;

	play.now = play_now();
	for (unsigned int i = 0; i < play.n_vms; i++)
		n += vm_receive(&play.vms[i], i, RX_BUDGET, play_receive, &play);
	if (n > 0)
		play.heard = play.now;
	if (play.sending)
		n += play_emit(&play);
	for (unsigned int i = 0; i < play.n_vms; i++)
		vm_publish(&play.vms[i]);
	return n;
}

int main(int argc, char **argv)
{
	play.random = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	play.told = json_array();
	play.begun = play.now = play.heard = play_now();
	frame_init();
	for (uint64_t turns = 0;; turns++) {
		unsigned int n = turn();

		if (barrier.pending)
			check_barrier();
		else if (!listen_once())
			break;
		if (turns % BURY_EVERY == 0)
			bury(false);
		if (n == 0 && (play.rate > 0 || !play.sending))
			nanosleep(&(struct timespec) {.tv_nsec = 20000}, NULL);
	}
	for (unsigned int i = 0; i < play.n_vms; i++)
		vm_cut(&play.vms[i], true, play.now);
	bury(true);
	for (unsigned int i = 0; i < play.n_classes; i++)
		free(play.classes[i].heard);
	json_decref(play.told);
	return 0;
}
