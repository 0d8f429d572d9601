// SPDX-License-Identifier: Apache-2.0
#include "operate/packet_text.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "operate/packet_build.h"

static const char grammar[] =
	"forms: \"tcp|udp|sctp [SRC[:PORT] >] DST:PORT [syn ack ...]\", \"icmp [SRC >] DST "
	"[type=8 code=0]\", \"ip [SRC >] DST proto=47\", \"arp|nd who-has IP [tell IP]\", "
	"\"arp|nd reply IP [is-at MAC]\", \"dhcp discover\", \"ether type=0x88cc\"; with smac= "
	"dmac= vlan= ttl= len=";

struct reader {
	const char *text;
	char *words[32];
	size_t n, at;
	struct packet_spec *spec;
	bool has_type, has_code, has_dmac;
	struct err *err;
};

static int fail_word(struct reader *r, const char *what)
{
	if (r->at < r->n)
		return weft_fail(r->err, -EINVAL, "packet \"%.200s\": at \"%.60s\": %s; %s",
				 r->text, r->words[r->at], what, grammar);
	return weft_fail(r->err, -EINVAL, "packet \"%.200s\": at its end: %s; %s", r->text, what,
			 grammar);
}

static const char *word(const struct reader *r)
{
	return r->at < r->n ? r->words[r->at] : "";
}

static bool take_word(struct reader *r, const char *w)
{
	if (strcmp(word(r), w) != 0)
		return false;
	r->at++;
	return true;
}

static bool parse_number(const char *text, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	v = strtoul(text, &end, 0);
	if (*end != '\0' || errno != 0 || v > max)
		return false;
	*out = v;
	return true;
}

bool weft_packet_end(const char *text, struct ip_addr *ip, int32_t *port)
{
	char host[64];
	const char *colon = NULL, *end = text + strlen(text);
	uint32_t v;

	if (text[0] == '[') {
		end = strchr(++text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		colon = end[1] == ':' ? end + 1 : NULL;
	} else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
		end = colon = strchr(text, ':');
	}
	if ((size_t)(end - text) >= sizeof(host))
		return false;
	memcpy(host, text, end - text);
	host[end - text] = '\0';
	if (colon != NULL) {
		if (!parse_number(colon + 1, 65535, &v))
			return false;
		*port = v;
	}
	return weft_ip_parse(host, ip) == 0;
}

static bool is_arrow(const char *w)
{
	return strcmp(w, ">") == 0 || strcmp(w, "->") == 0;
}

// [SRC >] DST
static int read_endpoints(struct reader *r, bool ports)
{
	struct packet_spec *s = r->spec;
	int32_t sport = 40000, dport = -1;

	if (r->at + 1 < r->n && is_arrow(r->words[r->at + 1])) {
		if (!weft_packet_end(word(r), &s->src, &sport))
			return fail_word(r, "this is no address");
		r->at++;
	}
	if (is_arrow(word(r)))
		r->at++;
	if (!weft_packet_end(word(r), &s->dst, &dport))
		return fail_word(
			r, "a destination address is wanted here: IP, IP:PORT or [IPV6]:PORT");
	if (ports && dport < 0)
		return fail_word(r, "the destination needs a port");
	if (!ports && dport >= 0)
		return fail_word(r, "this protocol has no ports");
	r->at++;
	s->sport = sport;
	s->dport = dport;
	if (s->src.family != 0 && s->src.family != s->dst.family)
		return fail_word(r, "source and destination are of different families");
	return 0;
}

// who-has IP [tell IP] | reply IP [is-at MAC]
static int read_resolution(struct reader *r, uint8_t family)
{
	struct packet_spec *s = r->spec;

	s->asks = take_word(r, "who-has");
	if (!s->asks && !take_word(r, "reply"))
		return fail_word(r, "who-has or reply is expected");
	if (weft_ip_parse(word(r), &s->target) != 0 || s->target.family != family)
		return fail_word(r, family == 4 ? "an IPv4 address is expected"
						: "an IPv6 address is expected");
	r->at++;
	if (s->asks && take_word(r, "tell")) {
		if (weft_ip_parse(word(r), &s->src) != 0 || s->src.family != family)
			return fail_word(r, "this is no address of the family");
		r->at++;
	} else if (!s->asks && take_word(r, "is-at")) {
		if (weft_mac_parse(word(r), &s->target_mac) != 0)
			return fail_word(r, "this is no MAC address");
		s->has_target_mac = true;
		r->at++;
	}
	return 0;
}

static int read_kind(struct reader *r)
{
	static const struct {
		const char *name;
		enum packet_shape shape;
		uint8_t proto;
	} kinds[] = {
		{"tcp", PACKET_SHAPE_PORTS, IPPROTO_TCP},
		{"udp", PACKET_SHAPE_PORTS, IPPROTO_UDP},
		{"sctp", PACKET_SHAPE_PORTS, IPPROTO_SCTP},
		{"icmp", PACKET_SHAPE_ICMP, IPPROTO_ICMP},
		{"icmp6", PACKET_SHAPE_ICMP, IPPROTO_ICMP},
		{"icmpv6", PACKET_SHAPE_ICMP, IPPROTO_ICMP},
		{"ip", PACKET_SHAPE_IP, 0},
		{"arp", PACKET_SHAPE_ARP, 0},
		{"nd", PACKET_SHAPE_ND, 0},
		{"dhcp", PACKET_SHAPE_DHCP, IPPROTO_UDP},
		{"ether", PACKET_SHAPE_ETHER, 0},
	};
	size_t i = 0;

	while (i < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[i].name, word(r)) != 0)
		i++;
	if (i == sizeof(kinds) / sizeof(*kinds))
		return fail_word(r, "a packet begins with its kind");
	r->at++;
	r->spec->shape = kinds[i].shape;
	r->spec->proto = kinds[i].proto;
	switch (kinds[i].shape) {
	case PACKET_SHAPE_PORTS:
		return read_endpoints(r, true);
	case PACKET_SHAPE_ICMP:
	case PACKET_SHAPE_IP:
		return read_endpoints(r, false);
	case PACKET_SHAPE_ARP:
		return read_resolution(r, 4);
	case PACKET_SHAPE_ND:
		return read_resolution(r, 6);
	case PACKET_SHAPE_DHCP:
		return take_word(r, "discover") ? 0 : fail_word(r, "discover is expected");
	case PACKET_SHAPE_ETHER:
		return 0;
	}
	return fail_word(r, "this is no kind");
}

static int read_pair(struct reader *r, char *value)
{
	struct packet_spec *s = r->spec;
	const char *key = word(r);
	uint32_t v = 0;
	bool ok = false;

	value[-1] = '\0';
	if (strcmp(key, "smac") == 0) {
		ok = weft_mac_parse(value, &s->smac) == 0;
	} else if (strcmp(key, "dmac") == 0) {
		r->has_dmac = ok = weft_mac_parse(value, &s->dmac) == 0;
	} else if (strcmp(key, "vlan") == 0) {
		s->has_vlan = ok = parse_number(value, 4095, &v);
		s->vlan = v;
	} else if (strcmp(key, "ttl") == 0) {
		ok = parse_number(value, 255, &v);
		s->ttl = v;
	} else if (strcmp(key, "len") == 0) {
		ok = parse_number(value, 9000, &v);
		s->payload = v;
	} else if (strcmp(key, "id") == 0) {
		ok = parse_number(value, 65535, &v);
		s->icmp_id = v;
	} else if (strcmp(key, "seq") == 0) {
		ok = parse_number(value, 65535, &v);
		s->icmp_seq = v;
	} else if (strcmp(key, "type") == 0 && s->shape == PACKET_SHAPE_ETHER) {
		ok = parse_number(value, 65535, &v) && v >= 0x600;
		s->ethertype = v;
	} else if (strcmp(key, "type") == 0 && s->shape == PACKET_SHAPE_ICMP) {
		r->has_type = ok = parse_number(value, 255, &v);
		s->icmp_type = v;
	} else if (strcmp(key, "code") == 0 && s->shape == PACKET_SHAPE_ICMP) {
		ok = parse_number(value, 255, &v);
		s->icmp_code = v;
	} else if (strcmp(key, "proto") == 0 && s->shape == PACKET_SHAPE_IP) {
		r->has_code = ok = parse_number(value, 255, &v);
		s->proto = v;
	} else {
		return fail_word(r, "this key is unknown here");
	}
	r->words[r->at][strlen(key)] = ok ? '\0' : '=';
	if (!ok)
		return fail_word(r, "this value is out of range");
	r->at++;
	return 0;
}

static int read_flag(struct reader *r)
{
	static const char *const flags[] = {"fin", "syn", "rst", "psh", "ack", "urg"};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (r->spec->shape == PACKET_SHAPE_PORTS && r->spec->proto == IPPROTO_TCP &&
		    take_word(r, flags[i])) {
			r->spec->tcp_flags |= 1 << i;
			return 0;
		}
	}
	return fail_word(r, "this word is not expected here");
}

static int read_all(struct reader *r)
{
	int ret = read_kind(r);

	while (ret == 0 && r->at < r->n) {
		char *eq = strchr(r->words[r->at], '=');

		ret = eq != NULL ? read_pair(r, eq + 1) : read_flag(r);
	}
	if (ret == 0 && r->spec->shape == PACKET_SHAPE_IP && !r->has_code)
		ret = fail_word(r, "proto= is missing");
	if (ret == 0 && r->spec->shape == PACKET_SHAPE_ETHER && r->spec->ethertype == 0)
		ret = fail_word(r, "type= (from 0x600) is missing");
	return ret;
}

// What the text left out.
static int complete(struct reader *r, const struct packet_sender *from)
{
	struct packet_spec *s = r->spec;
	uint8_t family = s->dst.family;

	if (s->shape == PACKET_SHAPE_ARP || s->shape == PACKET_SHAPE_ND)
		family = s->target.family;
	if (s->src.family == 0 && s->shape != PACKET_SHAPE_DHCP && s->shape != PACKET_SHAPE_ETHER) {
		s->src = family == 4 ? from->ip4 : from->ip6;
		if (s->src.family == 0)
			return weft_fail(r->err, -EINVAL,
					 "packet \"%.200s\": the port has no IPv%u address; write "
					 "the source",
					 r->text, family);
	}
	if (s->proto == IPPROTO_TCP && s->tcp_flags == 0)
		s->tcp_flags = 0x02;
	if (s->shape == PACKET_SHAPE_ICMP && family == 6)
		s->proto = IPPROTO_ICMPV6;
	if (s->shape == PACKET_SHAPE_ICMP && !r->has_type)
		s->icmp_type = family == 6 ? 128 : 8;
	if (!s->has_target_mac)
		s->target_mac = s->smac;
	if (!r->has_dmac)
		weft_packet_destination(s, from);
	return 0;
}

int weft_packet_from_text(const char *text, const struct packet_sender *from, uint8_t *frame,
			  size_t *len, struct err *err)
{
	struct packet_spec spec = {.smac = from->mac, .ttl = 64, .icmp_id = 1, .icmp_seq = 1};
	struct reader r = {.text = text, .spec = &spec, .err = err};
	char copy[512], *save = NULL;
	int ret;

	if (strlen(text) >= sizeof(copy))
		return weft_fail(err, -EINVAL, "packet: the text is longer than %zu characters",
				 sizeof(copy) - 1);
	strcpy(copy, text);
	for (char *c = copy; *c != '\0'; c++)
		*c = tolower((unsigned char)*c);
	for (char *w = strtok_r(copy, " \t\n,", &save); w != NULL;
	     w = strtok_r(NULL, " \t\n,", &save)) {
		if (r.n == sizeof(r.words) / sizeof(*r.words))
			return fail_word(&r, "there are too many words");
		r.words[r.n++] = w;
	}
	ret = read_all(&r);
	if (ret == 0)
		ret = complete(&r, from);
	if (ret == 0)
		*len = weft_packet_build(&spec, frame);
	return ret;
}

int weft_packet_from_hex(const char *text, uint8_t *frame, size_t *len, struct err *err)
{
	size_t n = 0;
	unsigned int nibbles = 0, byte = 0;

	for (const char *c = text; *c != '\0'; c++) {
		if (isspace((unsigned char)*c) || *c == ':' || *c == '-')
			continue;
		if (!isxdigit((unsigned char)*c) || n == PACKET_FRAME_MAX)
			return weft_fail(
				err, -EINVAL,
				"frame: character %zu is no hexadecimal digit, or the frame "
				"is longer than %d bytes",
				(size_t)(c - text) + 1, PACKET_FRAME_MAX);
		byte = byte << 4 | (isdigit((unsigned char)*c) ? *c - '0' : (*c | 0x20) - 'a' + 10);
		if (++nibbles % 2 == 0)
			frame[n++] = byte;
	}
	if (nibbles % 2 != 0 || n < 14)
		return weft_fail(err, -EINVAL,
				 "frame: %u hexadecimal digits are no Ethernet frame (28 at least, "
				 "two a byte)",
				 nibbles);
	*len = n;
	return 0;
}
