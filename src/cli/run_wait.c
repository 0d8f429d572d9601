// SPDX-License-Identifier: Apache-2.0
// Commands that wait: wait-ready, watch drops; and those that print what the table says.
#include "cli/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/http.h"
#include "cli/table.h"

int weft_run_number(const char *option, const char *text, double least, double *out,
		    struct err *err)
{
	char *end;

	if (text == NULL)
		return 0;
	*out = strtod(text, &end);
	if (end == text || *end != '\0' || *out < least)
		return weft_fail(err, -EDOM, "--%s %s: a number of at least %g is wanted", option,
				 text, least);
	return 0;
}

static void sleep_s(double s)
{
	struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};

	nanosleep(&t, NULL);
}

int weft_run_wait_ready(const struct invocation *in, struct err *err)
{
	double timeout = 30;
	uint64_t end;
	json_t *j = NULL;
	int ret = weft_run_number("timeout", in->options[0], 0, &timeout, err);

	if (ret != 0)
		return ret;
	end = weft_now_ms() + (uint64_t)(timeout * 1000);
	while (weft_http(in->api, "/weft/v1/ready", NULL, &j, err) != 0) {
		if (weft_now_ms() >= end) {
			char cause[WEFT_ERR_MAX];

			snprintf(cause, sizeof(cause), "%s", err->msg);
			return weft_fail(err, -ETIMEDOUT, "not ready after %g s: %.900s", timeout,
					 cause);
		}
		sleep_s(0.05);
	}
	if (in->json)
		weft_print_json(j);
	json_decref(j);
	return 0;
}

// The local time so long ago: "14:03:59.120".
static void time_text(json_int_t ago_ms, char out[32])
{
	struct timespec now;
	struct tm tm;
	char day[16];

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - ago_ms;
	time_t s = ms / 1000;
	localtime_r(&s, &tm);
	strftime(day, sizeof(day), "%H:%M:%S", &tm);
	snprintf(out, 32, "%s.%03d", day, (int)(ms % 1000));
}

static void print_sample(const struct invocation *in, const json_t *s)
{
	const char *port = json_string_value(json_object_get(s, "port"));
	const char *name = json_string_value(json_object_get(s, "port_name"));
	char when[32];

	if (in->json) {
		json_dumpf(s, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	time_text(json_integer_value(json_object_get(s, "ago_ms")), when);
	printf("%s  %-11.11s  %-16s  %-22s %s\n", when, port == NULL ? "-" : port,
	       name == NULL || name[0] == '\0' ? "-" : name,
	       json_string_value(json_object_get(s, "reason")),
	       json_string_value(json_object_get(s, "packet")));
}

// How far the samples are known: until this moment of the daemon's clock, and so many of that
// moment.
struct seen {
	json_int_t until_ms;
	size_t of_it;
};

// What was sampled since the last look; in == NULL only remembers.
static void print_new(const struct invocation *in, const json_t *samples, struct seen *seen)
{
	size_t again = seen->of_it;

	// The newest is first. A clock that went back is another daemon's.
	if (json_array_size(samples) > 0 &&
	    json_integer_value(json_object_get(json_array_get(samples, 0), "at_ms")) <
		    seen->until_ms) {
		*seen = (struct seen) {0};
		again = 0;
	}
	for (size_t i = json_array_size(samples); i > 0; i--) {
		const json_t *s = json_array_get(samples, i - 1);
		json_int_t at = json_integer_value(json_object_get(s, "at_ms"));

		if (at < seen->until_ms)
			continue;
		if (at > seen->until_ms) {
			*seen = (struct seen) {.until_ms = at};
			again = 0;
		} else if (again > 0) {
			again--;
			continue;
		}
		seen->of_it++;
		if (in != NULL)
			print_sample(in, s);
	}
	fflush(stdout);
}

int weft_run_watch_drops(const struct invocation *in, struct err *err)
{
	double interval = 1, count = 0;
	struct seen seen = {0};
	int ret = weft_run_number("interval", in->options[0], 0.05, &interval, err);

	if (ret == 0)
		ret = weft_run_number("count", in->options[1], 1, &count, err);
	// The look before the first says what happened already.
	for (double i = 0; ret == 0 && (count == 0 || i <= count); i++) {
		json_t *j = NULL;

		if (i > 0)
			sleep_s(interval);
		ret = weft_http(in->api, "/weft/v1/drops?limit=256", NULL, &j, err);
		if (ret == 0)
			print_new(i == 0 ? NULL : in, json_object_get(j, "samples"), &seen);
		json_decref(j);
	}
	return ret;
}

int weft_run_completion(const struct invocation *in, struct err *err)
{
	struct text t = {0};

	(void)in;
	(void)err;
	weft_cli_completion(&t);
	fputs(t.s, stdout);
	weft_text_fini(&t);
	return 0;
}

int weft_run_man(const struct invocation *in, struct err *err)
{
	struct text t = {0};

	(void)in;
	(void)err;
	weft_cli_man(&t);
	fputs(t.s, stdout);
	weft_text_fini(&t);
	return 0;
}
