// SPDX-License-Identifier: Apache-2.0
// The IP step of the parser: IPv4 with its options, IPv6 with its extension headers.
#include "datapath/frames/packet_parts.h"

enum {
	EXT_HOP_BY_HOP = 0,
	EXT_ROUTING = 43,
	EXT_FRAGMENT = 44,
	EXT_AUTH = 51,
	EXT_DEST = 60,
	EXT_MAX = 8, // RFC 8200 knows of 7 places; more are made to tire a parser
	OPTION6_JUMBO = 0xc2,
};

// Offset and size of a fragment, for both families; `more` fragments follow.
static enum drop set_fragment(struct packet *p, uint32_t offset, bool more, uint32_t payload)
{
	if (offset == 0 && !more)
		return DROP_NONE;
	// Only the last fragment may end between two units of 8 bytes, and none beyond 64 KiB
	// ("ping of death").
	if (payload == 0 || (more && payload % 8 != 0) || offset + payload > UINT16_MAX)
		return DROP_BAD_HEADER;
	p->fragment = offset == 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
	p->frag_offset = (uint16_t)offset;
	return DROP_NONE;
}

static bool options4_ok(const uint8_t *o, uint32_t len)
{
	for (uint32_t i = 0; i < len;) {
		if (o[i] == 0) // end of list: the rest is padding
			return true;
		if (o[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 >= len || o[i + 1] < 2 || o[i + 1] > len - i)
			return false;
		i += o[i + 1];
	}
	return true;
}

static enum drop parse_ip4(const uint8_t *frame, uint32_t seen, struct packet *p)
{
	const uint8_t *ip = frame + p->l3;
	if (p->l3 + 20u > seen)
		return DROP_TRUNCATED;
	uint32_t header = (ip[0] & 0x0fu) * 4;
	p->l3_len = weft_read16(ip + 2);
	if (ip[0] >> 4 != 4 || header < 20 || p->l3_len < header)
		return DROP_BAD_HEADER;
	if (p->l3 + header > seen)
		return DROP_TRUNCATED;
	p->has_options = header > 20;
	if (p->has_options && !options4_ok(ip + 20, header - 20))
		return DROP_BAD_HEADER;

	p->key.family = 4;
	p->key.proto = ip[9];
	p->ttl = ip[8];
	memcpy(&p->key.src4, ip + 12, 4);
	memcpy(&p->key.dst4, ip + 16, 4);
	p->frag_id = weft_read16(ip + 4);
	uint16_t bits = weft_read16(ip + 6);
	enum drop why =
		set_fragment(p, (bits & 0x1fffu) * 8, (bits & 0x2000) != 0, p->l3_len - header);
	if (why == DROP_NONE && p->fragment != FRAGMENT_LATER)
		p->l4 = (uint16_t)(p->l3 + header);
	return why;
}

static bool options6_ok(const uint8_t *o, uint32_t len)
{
	for (uint32_t i = 0; i < len;) {
		if (o[i] == 0) { // Pad1
			i++;
			continue;
		}
		if (i + 1 >= len || o[i + 1] + 2u > len - i || o[i] == OPTION6_JUMBO)
			return false;
		i += o[i + 1] + 2u;
	}
	return true;
}

static enum drop parse_fragment6(const uint8_t *h, uint32_t payload, struct packet *p)
{
	uint16_t bits = weft_read16(h + 2);
	p->frag_id = weft_read32(h + 4);
	return set_fragment(p, bits & 0xfff8u, (bits & 1) != 0, payload);
}

static bool is_extension(uint8_t kind)
{
	return kind == EXT_HOP_BY_HOP || kind == EXT_ROUTING || kind == EXT_FRAGMENT ||
	       kind == EXT_AUTH || kind == EXT_DEST;
}

static uint32_t extension_length(uint8_t kind, uint8_t field)
{
	if (kind == EXT_FRAGMENT)
		return 8;
	return kind == EXT_AUTH ? (field + 2u) * 4 : (field + 1u) * 8;
}

// What the header's own fields may not say; its whole `size` is readable.
static bool extension_ok(uint8_t kind, const uint8_t *h, uint32_t size, uint32_t place)
{
	switch (kind) {
	case EXT_HOP_BY_HOP:
		return place == 0 && options6_ok(h + 2, size - 2);
	case EXT_DEST:
		return options6_ok(h + 2, size - 2);
	case EXT_ROUTING:
		return h[2] != 0 || h[3] == 0;
	case EXT_AUTH:
		return size >= 12 && size % 8 == 0;
	default:
		return true;
	}
}

// The walk over the extension headers: where it stands, and at which kind of header.
struct walk {
	uint32_t at, seen;
	uint32_t end; // of the IP packet
	uint8_t kind;
	bool met_fragment;
};

static enum drop step_over(const uint8_t *frame, struct walk *w, uint32_t place, struct packet *p)
{
	const uint8_t *h = frame + w->at;
	enum drop cut = p->fragment == FRAGMENT_FIRST ? DROP_FRAG_TINY : DROP_TRUNCATED;
	if (place == EXT_MAX)
		return DROP_BAD_HEADER;
	if (w->at + 8 > w->seen)
		return cut;
	uint32_t size = extension_length(w->kind, h[1]);
	if (w->at + size > w->seen)
		return cut;
	if (!extension_ok(w->kind, h, size, place))
		return DROP_BAD_HEADER;
	if (w->kind == EXT_FRAGMENT) {
		if (w->met_fragment)
			return DROP_BAD_HEADER;
		w->met_fragment = true;
		enum drop why = parse_fragment6(h, w->end - w->at - size, p);
		if (why != DROP_NONE)
			return why;
	}
	p->has_options = true;
	w->kind = h[0];
	w->at += size;
	return DROP_NONE;
}

static enum drop parse_ip6(const uint8_t *frame, uint32_t seen, struct packet *p)
{
	const uint8_t *ip = frame + p->l3;
	struct walk w = {.at = p->l3 + 40u};
	if (w.at > seen)
		return DROP_TRUNCATED;
	uint16_t payload = weft_read16(ip + 4);
	// A hop-by-hop header with payload length 0 announces a jumbogram (RFC 2675).
	if (ip[0] >> 4 != 6 || (payload == 0 && ip[6] == EXT_HOP_BY_HOP))
		return DROP_BAD_HEADER;
	p->key.family = 6;
	p->ttl = ip[7];
	p->l3_len = 40u + payload;
	memcpy(p->key.src6, ip + 8, 16);
	memcpy(p->key.dst6, ip + 24, 16);

	w.kind = ip[6];
	w.end = w.at + payload;
	w.seen = seen < w.end ? seen : w.end;
	for (uint32_t i = 0; is_extension(w.kind) && p->fragment != FRAGMENT_LATER; i++) {
		enum drop why = step_over(frame, &w, i, p);
		if (why != DROP_NONE)
			return why;
	}
	p->key.proto = w.kind;
	if (p->fragment == FRAGMENT_LATER || w.kind == PROTO_NO_NEXT)
		return DROP_NONE;
	// Neighbour discovery in fragments, even in a single one, only serves to hide it (RFC
	// 6980).
	if (w.met_fragment && w.kind == PROTO_ICMPV6 && w.at < w.seen &&
	    frame[w.at] >= ND_ROUTER_SOLICIT && frame[w.at] <= ND_REDIRECT)
		return DROP_BAD_HEADER;
	p->l4 = (uint16_t)w.at;
	return DROP_NONE;
}

enum drop weft_packet_ip(const uint8_t *frame, uint32_t seen, struct packet *p)
{
	return p->key.family == 4 ? parse_ip4(frame, seen, p) : parse_ip6(frame, seen, p);
}
