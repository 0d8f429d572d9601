// SPDX-License-Identifier: Apache-2.0
#include "operate/packet_filter.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "operate/packet_text.h"

static const char grammar[] =
	"forms: \"[tcp|udp|sctp|icmp|arp] [END] [> END]\", \"ip proto=47 [END] [> END]\"; an END is "
	"ADDRESS, ADDRESS:PORT, [IPV6]:PORT or :PORT";

static int fail(const char *text, const char *at, const char *what, struct err *err)
{
	if (at == NULL)
		return weft_fail(err, -EINVAL, "filter \"%.200s\": at its end: %s; %s", text, what,
				 grammar);
	return weft_fail(err, -EINVAL, "filter \"%.200s\": at \"%.60s\": %s; %s", text, at, what,
			 grammar);
}

static bool number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	*out = strtoul(text, &end, 0);
	return *end == '\0' && *out <= max;
}

// False: the word is no protocol.
static bool take_protocol(const char *word, struct datapath_filter *f)
{
	static const struct {
		const char *name;
		uint8_t protocol;
		uint16_t ethertype;
	} known[] = {
		{"tcp", IPPROTO_TCP, 0},   {"udp", IPPROTO_UDP, 0},    {"sctp", IPPROTO_SCTP, 0},
		{"icmp", IPPROTO_ICMP, 0}, {"icmp6", IPPROTO_ICMP, 0}, {"icmpv6", IPPROTO_ICMP, 0},
		{"arp", 0, 0x0806},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(word, known[i].name) == 0) {
			f->protocol = known[i].protocol;
			f->ethertype = known[i].ethertype;
			return true;
		}
	}
	return false;
}

static bool take_end(const char *word, struct datapath_end *end)
{
	int32_t port = -1;
	unsigned long n;

	if (word[0] == ':' && word[1] != ':' && number(word + 1, 65535, &n)) {
		*end = (struct datapath_end) {.has_port = true, .port = (uint16_t)n};
		return true;
	}
	if (!weft_packet_end(word, &end->ip, &port))
		return false;
	end->has_port = port >= 0;
	end->port = port >= 0 ? (uint16_t)port : 0;
	return true;
}

// [END] [> END]
static int take_ends(const char *text, char **save, const char *word, struct datapath_filter *f,
		     struct err *err)
{
	bool arrow = false, has_end = false;
	size_t at = 0;

	for (; word != NULL; word = strtok_r(NULL, " \t\n", save)) {
		if (!arrow && (strcmp(word, ">") == 0 || strcmp(word, "->") == 0)) {
			arrow = true;
			has_end = false;
			at = 1;
			continue;
		}
		if (has_end)
			return fail(text, word, "there is one end too many", err);
		if (!take_end(word, &f->ends[at]))
			return fail(text, word, "this is no address or port", err);
		has_end = true;
	}
	if (arrow && !has_end)
		return fail(text, NULL, "an address or a port is wanted behind >", err);
	if ((f->ends[0].has_port || f->ends[1].has_port) && f->ethertype != 0)
		return fail(text, NULL, "ARP has no ports", err);
	return 0;
}

int weft_packet_filter(const char *text, struct datapath_filter *out, struct err *err)
{
	char copy[256], *save = NULL;
	const char *word;
	unsigned long n;

	*out = (struct datapath_filter) {0};
	if (strlen(text) >= sizeof(copy))
		return weft_fail(err, -EINVAL, "filter: the text is longer than %zu characters",
				 sizeof(copy) - 1);
	strcpy(copy, text);
	for (char *c = copy; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	word = strtok_r(copy, " \t\n", &save);
	if (word != NULL && strcmp(word, "ip") == 0) {
		word = strtok_r(NULL, " \t\n", &save);
		if (word == NULL || strncmp(word, "proto=", 6) != 0 || !number(word + 6, 255, &n) ||
		    n == 0)
			return fail(text, word, "proto= and a number from 1 to 255 is wanted", err);
		out->protocol = (uint8_t)n;
		word = strtok_r(NULL, " \t\n", &save);
	} else if (word != NULL && take_protocol(word, out)) {
		word = strtok_r(NULL, " \t\n", &save);
	}
	return take_ends(text, &save, word, out, err);
}
