// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/dhcp_options.h"

#include <string.h>

#include "base/bytes.h"

enum { VALUE_MAX = 1024 };

struct value {
	uint8_t b[VALUE_MAX];
	size_t len;
};

static void append(struct value *v, const void *bytes, size_t len)
{
	if (v->len + len <= sizeof(v->b)) {
		memcpy(v->b + v->len, bytes, len);
		v->len += len;
	}
}

static void append32(struct value *v, uint32_t n)
{
	be32_t be = htobe32(n);
	append(v, &be, 4);
}

static void append_route(struct value *v, const struct ip_prefix *dst, const uint8_t *via)
{
	struct ip_prefix p = weft_prefix_masked(dst);
	uint8_t route[9] = {p.len};
	size_t n = (p.len + 7u) / 8;
	memcpy(route + 1, p.ip.b, n);
	memcpy(route + 1 + n, via, 4);
	append(v, route, n + 5);
}

// Classless routes (RFC 3442). A client that takes them ignores the router option (which is sent
// too, for those that do not), so the default route is among them; and a server off the subnet
// must be reachable for renewals.
static void append_routes(struct value *v, const struct dhcp_lease *lease)
{
	static const uint8_t on_link[4];
	static const uint8_t link_local[2] = {169, 254};
	struct ip_prefix server = {.ip = lease->server, .len = 32};
	struct ip_prefix any = {.ip.family = 4};
	bool has_default = false, has_server = false;
	for (size_t i = 0; i < lease->n_routes; i++) {
		const struct dhcp_route *r = &lease->routes[i];
		if (r->dst.ip.family != 4)
			continue;
		append_route(v, &r->dst, r->via.b);
		has_default |= r->dst.len == 0;
		has_server |= weft_prefix_equal(&r->dst, &server);
	}
	if (!has_server && memcmp(lease->server.b, link_local, 2) == 0)
		append_route(v, &server, on_link);
	if (!has_default && lease->gateway.family == 4)
		append_route(v, &any, lease->gateway.b);
}

static const struct dhcp_option *find_extra(const struct dhcp_lease *lease, uint8_t code)
{
	for (size_t i = 0; i < lease->n_extra; i++) {
		if (lease->extra[i].code == code)
			return &lease->extra[i];
	}
	return NULL;
}

// What keeps the protocol going is not for a port's options to change, nor is what only clients
// say.
static bool is_protocol(uint8_t code)
{
	switch (code) {
	case CODE_PAD:
	case CODE_REQUESTED_IP:
	case CODE_OVERLOAD:
	case CODE_TYPE:
	case CODE_SERVER_ID:
	case CODE_PARAMETERS:
	case CODE_MESSAGE:
	case CODE_MAX_SIZE:
	case CODE_CLIENT_ID:
	case CODE_RELAY_AGENT:
	case CODE_END:
		return true;
	default:
		return false;
	}
}

static uint32_t lease_time(const struct dhcp_lease *lease)
{
	const struct dhcp_option *o = find_extra(lease, CODE_LEASE);
	if (o == NULL || o->len != 4)
		return lease->lease_s;
	be32_t be;
	memcpy(&be, o->value, 4);
	return be32toh(be);
}

static void append_timer(struct value *v, uint8_t code, const struct dhcp_lease *lease)
{
	uint32_t s = lease_time(lease);
	if (code == CODE_LEASE)
		append32(v, s);
	else if (s != UINT32_MAX) // for ever: nothing to renew
		append32(v, code == CODE_T1 ? s / 2 : (uint32_t)((uint64_t)s * 7 / 8));
}

// What the lease itself says under this code; empty when it says nothing.
static void build(struct value *v, uint8_t code, const struct dhcp_lease *lease)
{
	struct ip_prefix subnet = {.ip = lease->ip, .len = lease->prefix_len};
	struct ip_addr last = weft_prefix_last(&subnet);
	struct ip_addr any = {.family = 4};
	be16_t mtu = htobe16(lease->mtu);
	switch (code) {
	case CODE_MASK:
		append32(v, subnet.len == 0 ? 0 : UINT32_MAX << (32 - subnet.len));
		break;
	case CODE_ROUTER:
		if (lease->gateway.family == 4)
			append(v, lease->gateway.b, 4);
		break;
	case CODE_DNS:
		for (size_t i = 0; i < lease->n_dns; i++) {
			// Neutron's word for "no resolver at all" is the address 0.0.0.0.
			if (lease->dns[i].family == 4 && memcmp(lease->dns[i].b, any.b, 4) != 0)
				append(v, lease->dns[i].b, 4);
		}
		break;
	case CODE_HOSTNAME:
		append(v, lease->hostname, strlen(lease->hostname));
		break;
	case CODE_DOMAIN:
		append(v, lease->domain, strlen(lease->domain));
		break;
	case CODE_MTU:
		if (lease->mtu >= 68)
			append(v, &mtu, 2);
		break;
	case CODE_BROADCAST:
		if (subnet.len < 31)
			append(v, last.b, 4);
		break;
	case CODE_LEASE:
	case CODE_T1:
	case CODE_T2:
		append_timer(v, code, lease);
		break;
	case CODE_ROUTES:
	case CODE_ROUTES_MS:
		append_routes(v, lease);
		break;
	default:
		break;
	}
}

// The options already sent, so that none is sent twice.
struct sent {
	uint64_t bits[4];
};

static bool first_time(struct sent *s, uint8_t code)
{
	uint64_t bit = 1ull << (code % 64);
	bool first = (s->bits[code / 64] & bit) == 0;
	s->bits[code / 64] |= bit;
	return first;
}

static void put(struct dhcp_writer *w, struct sent *sent, uint8_t code,
		const struct dhcp_lease *lease)
{
	if (is_protocol(code) || !first_time(sent, code))
		return;
	const struct dhcp_option *extra = find_extra(lease, code);
	if (extra != NULL) {
		weft_dhcp_put(w, code, extra->value, extra->len);
		return;
	}
	struct value v;
	v.len = 0;
	build(&v, code, lease);
	if (v.len > 0)
		weft_dhcp_put(w, code, v.b, v.len);
}

void weft_dhcp_options(struct dhcp_writer *w, uint8_t type, const struct dhcp_question *q,
		       const struct dhcp_lease *lease)
{
	// The mask comes before the router (RFC 2132, 3.3).
	static const uint8_t timers[] = {CODE_LEASE, CODE_T1, CODE_T2};
	static const uint8_t all[] = {CODE_ROUTER,    CODE_ROUTES, CODE_DNS,	  CODE_DOMAIN,
				      CODE_BROADCAST, CODE_MTU,	   CODE_HOSTNAME, CODE_ROUTES_MS};
	struct sent sent = {0};
	weft_dhcp_put(w, CODE_TYPE, &type, 1);
	weft_dhcp_put(w, CODE_SERVER_ID, lease->server.b, 4);
	// RFC 6842: a client recognizes its own identifier in the answer.
	if (q->client_id_len > 0)
		weft_dhcp_put(w, CODE_CLIENT_ID, q->client_id, q->client_id_len);
	if (type == DHCP_NAK)
		return;
	for (size_t i = 0; i < sizeof(timers); i++) {
		// An INFORM has its address from elsewhere and gets no times with it (RFC 2131,
		// 4.3.5).
		if (q->type == DHCP_INFORM)
			first_time(&sent, timers[i]);
		else
			put(w, &sent, timers[i], lease);
	}
	put(w, &sent, CODE_MASK, lease);
	for (size_t i = 0; i < q->n_parameters; i++)
		put(w, &sent, q->parameters[i], lease);
	for (size_t i = 0; q->n_parameters == 0 && i < sizeof(all); i++)
		put(w, &sent, all[i], lease);
	for (size_t i = 0; i < lease->n_extra; i++)
		put(w, &sent, lease->extra[i].code, lease);
}

void weft_dhcp_boot_fields(uint8_t *message, const struct dhcp_lease *lease)
{
	const struct dhcp_option *address = find_extra(lease, CODE_TFTP_ADDRESS);
	const struct dhcp_option *name = find_extra(lease, CODE_TFTP_SERVER);
	const struct dhcp_option *file = find_extra(lease, CODE_BOOT_FILE);
	struct ip_addr ip;
	char text[BOOTP_FILE - BOOTP_SNAME];
	// Each field keeps a NUL at its end.
	if (name != NULL && name->len < sizeof(text)) {
		memcpy(text, name->value, name->len);
		text[name->len] = '\0';
		memcpy(message + BOOTP_SNAME, text, name->len);
		if (weft_ip_parse(text, &ip) == 0 && ip.family == 4)
			memcpy(message + BOOTP_SIADDR, ip.b, 4);
	}
	if (address != NULL && address->len >= 4)
		memcpy(message + BOOTP_SIADDR, address->value, 4);
	if (file != NULL && file->len < DHCP_COOKIE - BOOTP_FILE)
		memcpy(message + BOOTP_FILE, file->value, file->len);
}
