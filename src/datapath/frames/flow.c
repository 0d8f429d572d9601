// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/bytes.h"

uint64_t weft_flow_secret[4];

// Before main, so that no hash is ever computed without it.
__attribute__((constructor)) static void choose_secret(void)
{
	ssize_t got;

	do
		got = getrandom(weft_flow_secret, sizeof(weft_flow_secret), 0);
	while (got < 0 && errno == EINTR);
	// A table whose buckets a guest can predict would be worse than no daemon.
	if (got != sizeof(weft_flow_secret))
		abort();
	for (int i = 0; i < 4; i++)
		weft_flow_secret[i] |= 1; // an even factor would lose bits
}

// Queries and their answers: RFC 792, 950 (ICMP); 4443, 4620 (ICMPv6).
static const struct {
	uint8_t proto, query, answer;
} icmp_queries[] = {
	{IPPROTO_ICMP, 8, 0},	    // echo
	{IPPROTO_ICMP, 13, 14},	    // timestamp
	{IPPROTO_ICMP, 15, 16},	    // information
	{IPPROTO_ICMP, 17, 18},	    // address mask
	{IPPROTO_ICMPV6, 128, 129}, // echo
	{IPPROTO_ICMPV6, 139, 140}, // node information
};

static bool icmp_answer(const struct flow_key *k, be16_t *dport)
{
	uint16_t type_code = be16toh(k->dport);

	for (size_t i = 0; i < sizeof(icmp_queries) / sizeof(icmp_queries[0]); i++) {
		if (icmp_queries[i].proto != k->proto || icmp_queries[i].query != type_code >> 8)
			continue;
		*dport = htobe16((uint16_t)(icmp_queries[i].answer << 8 | (type_code & 0xff)));
		return true;
	}
	return false;
}

// IPv4 by words, stored as one: what is written field by field and read as a whole at once, as by
// a hash or a copy, has to wait until it is written.
static void reverse4(const struct flow_key *k, uint16_t in_port, struct flow_key *out)
{
	typedef uint64_t words __attribute__((vector_size(FLOW_KEY4_LEN)));
	uint64_t w[2];
	words r;

	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "where the fields are in a word");
	memcpy(w, k, sizeof(w));
	r = (words) {in_port | (w[0] & 0xffff0000) | (w[0] >> 48) << 32 | w[0] >> 32 << 48,
		     w[1] >> 32 | w[1] << 32};
	memcpy(out, &r, sizeof(r));
	memset((char *)out + sizeof(r), 0, sizeof(*out) - sizeof(r));
}

static void reverse6(const struct flow_key *k, uint16_t in_port, struct flow_key *out)
{
	struct flow_key r = {
		.in_port = in_port,
		.proto = k->proto,
		.family = k->family,
		.sport = k->dport,
		.dport = k->sport,
	};

	memcpy(r.src6, k->dst6, sizeof(r.src6));
	memcpy(r.dst6, k->src6, sizeof(r.dst6));
	*out = r;
}

bool weft_flow_reverse(const struct flow_key *k, uint16_t in_port, struct flow_key *out)
{
	bool icmp = k->proto == IPPROTO_ICMP || k->proto == IPPROTO_ICMPV6;
	be16_t identifier = k->sport, answer;

	// ICMP inside IPv6 and ICMPv6 inside IPv4 mean nothing; their "types" are not queries.
	if (icmp && ((k->proto == IPPROTO_ICMPV6) != (k->family == 6) || !icmp_answer(k, &answer)))
		return false;
	if (k->family == 6)
		reverse6(k, in_port, out);
	else
		reverse4(k, in_port, out);
	if (icmp) {
		out->sport = identifier;
		out->dport = answer;
	}
	return true;
}

bool weft_flow_equal(const struct flow_key *a, const struct flow_key *b)
{
	return a->family == b->family &&
	       memcmp(a, b, a->family == 6 ? FLOW_KEY6_LEN : FLOW_KEY4_LEN) == 0;
}
