// SPDX-License-Identifier: Apache-2.0
// trace --live: real packets at a port, as they pass.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/http.h"
#include "cli/run.h"

#define LOOK_MS 200

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static json_int_t number_at(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

// Local time so long ago, with the date and the zone or without: "14:03:59.120345".
static void time_text(json_int_t ago_us, bool whole, char out[64])
{
	struct timespec now;
	struct tm tm;
	char day[32], zone[8];

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - ago_us;
	time_t s = us / 1000000;
	localtime_r(&s, &tm);
	strftime(day, sizeof(day), whole ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(out, 64, "%s.%06d%s", day, (int)(us % 1000000), whole ? zone : "");
}

// "NAME (ID)", or the id.
static void who(struct text *t, const char *name, const char *id)
{
	if (name == NULL || name[0] == '\0')
		weft_text_add(t, "%s", id);
	else if (strncmp(name, "uplink:", 7) == 0)
		weft_text_add(t, "%s", name);
	else
		weft_text_add(t, "%s (%.11s)", name, id);
}

static void ways(struct text *t, const json_t *p)
{
	const json_t *names = json_object_get(p, "out_port_names"), *v;
	json_int_t more = number_at(p, "n_out") -
			  (json_int_t)json_array_size(json_object_get(p, "out_ports"));
	const json_t *vlan = json_object_get(p, "vlan");
	size_t i;

	if (strcmp(text_at(p, "direction"), "to") == 0) {
		weft_text_add(t, " from ");
		if (json_is_string(json_object_get(p, "in_port")))
			who(t, text_at(p, "in_port_name"), text_at(p, "in_port"));
		else
			weft_text_add(t, "the node");
		return;
	}
	json_array_foreach(json_object_get(p, "out_ports"), i, v) {
		weft_text_add(t, "%s", i == 0 ? " to " : ", ");
		who(t, json_string_value(json_array_get(names, i)), json_string_value(v));
	}
	if (i > 0 && more > 0)
		weft_text_add(t, " and %lld more", (long long)more);
	if (vlan != NULL)
		weft_text_add(t, " by %s", text_at(p, "interface"));
	if (json_is_integer(vlan))
		weft_text_add(t, " VLAN %lld", (long long)json_integer_value(vlan));
}

static void fate(struct text *t, const json_t *p)
{
	const char *session = text_at(p, "session"), *rule;

	weft_text_add(t, "%s", text_at(p, "verdict"));
	if (text_at(p, "reason")[0] != '\0')
		weft_text_add(t, " %s", text_at(p, "reason"));
	ways(t, p);
	if (session[0] != '\0')
		weft_text_add(t, ", %s",
			      json_is_true(json_object_get(p, "first")) ? "makes a session"
									: "session ");
	if (session[0] != '\0' && !json_is_true(json_object_get(p, "first")))
		weft_text_add(t, "%s", session);
	if (text_at(p, "leaves_as")[0] != '\0')
		weft_text_add(t, ", leaves as %s", text_at(p, "leaves_as"));
	if (text_at(p, "came_as")[0] != '\0')
		weft_text_add(t, ", came as %s", text_at(p, "came_as"));
	for (int i = 0; i < 2; i++) {
		rule = text_at(p, i == 0 ? "egress_rule_text" : "ingress_rule_text");
		if (rule[0] != '\0')
			weft_text_add(t, ", rule %.8s: %s",
				      text_at(p, i == 0 ? "egress_rule" : "ingress_rule"), rule);
	}
	if (text_at(p, "sentence")[0] != '\0')
		weft_text_add(t, ". %s", text_at(p, "sentence"));
}

static void print_packet(const struct invocation *in, json_t *p)
{
	struct text t = {0};
	char when[64];

	time_text(number_at(p, "ago_us"), in->json, when);
	if (in->json) {
		json_object_del(p, "ago_us");
		json_object_set_new(p, "time", json_string(when));
		json_dumpf(p, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	fate(&t, p);
	printf("%s %-4s %s, %lld bytes: %s\n", when, text_at(p, "direction"), text_at(p, "packet"),
	       (long long)number_at(p, "length"), t.s);
	weft_text_fini(&t);
}

struct live {
	const struct invocation *in;
	json_int_t watch, matched, missed;
	double count, left; // packets that may be shown; 0 = no limit
};

// What is new.
static int look(struct live *l, struct err *err)
{
	json_t *j = NULL, *p;
	char path[64];
	size_t i;
	int ret;

	snprintf(path, sizeof(path), "/weft/v1/watch/%lld", (long long)l->watch);
	ret = weft_http(l->in->api, path, NULL, &j, err);
	if (ret != 0)
		return ret;
	l->matched = number_at(j, "matched");
	l->missed = number_at(j, "missed");
	json_array_foreach(json_object_get(j, "packets"), i, p) {
		if (l->count > 0 && l->left <= 0)
			break;
		print_packet(l->in, p);
		l->left--;
	}
	if (fflush(stdout) != 0)
		ret = weft_fail(err, -EIO, "nobody reads what is printed");
	json_decref(j);
	return ret;
}

static int begin(struct live *l, struct err *err)
{
	json_t *body = json_pack("{s:s}", "port", l->in->args[0]), *j = NULL;
	int ret;

	if (l->in->args[1] != NULL)
		json_object_set_new(body, "filter", json_string(l->in->args[1]));
	ret = weft_http(l->in->api, "/weft/v1/watch", body, &j, err);
	l->watch = ret == 0 ? number_at(j, "watch") : 0;
	if (ret == 0)
		fprintf(stderr, "weft: watching %s %s\n", text_at(j, "port"),
			text_at(j, "port_name"));
	json_decref(body);
	json_decref(j);
	return ret;
}

static void end(const struct live *l)
{
	json_t *body = json_pack("{s:I}", "watch", l->watch), *j = NULL;
	struct err err;

	weft_http(l->in->api, "/weft/v1/unwatch", body, &j, &err); // else it ends by itself
	json_decref(body);
	json_decref(j);
	if (l->in->json)
		printf("{\"matched\":%lld,\"missed\":%lld}\n", (long long)l->matched,
		       (long long)l->missed);
	else if (l->missed > 0)
		fprintf(stderr,
			"weft: %lld of %lld packets are not shown: each worker tells at most 100 a "
			"second; a filter helps\n",
			(long long)l->missed, (long long)l->matched);
}

int weft_run_trace_live(const struct invocation *in, struct err *err)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	struct live l = {.in = in};
	double seconds = 0;
	int ret = weft_run_number("count", in->options[2], 1, &l.count, err);

	if (ret == 0)
		ret = weft_run_number("seconds", in->options[3], 0.1, &seconds, err);
	if (ret == 0)
		ret = begin(&l, err);
	if (ret != 0)
		return ret;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	l.left = l.count;
	uint64_t until = weft_now_ms() + (uint64_t)(seconds * 1000);
	do {
		nanosleep(&pause, NULL);
		ret = look(&l, err);
	} while (ret == 0 && !interrupted && (l.count == 0 || l.left > 0) &&
		 (seconds == 0 || weft_now_ms() < until));
	end(&l);
	return interrupted ? 0 : ret;
}
