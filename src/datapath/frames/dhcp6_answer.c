// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/dhcp6_answer.h"

#include <string.h>
#include <sys/param.h>

#include "base/bytes.h"

enum {
	PREFERENCE_FIRST = 255, // the client need not wait for other servers
	REFRESH_MIN_S = 600,	// RFC 8415, 21.23
};

// ---- Which address is in which identity association ----------------------------------------

static bool names(const struct dhcp6_ia *ia, const struct ip_addr *ip)
{
	const uint8_t *hint;
	size_t at = 0;

	while ((hint = weft_dhcp6_next_address(ia, &at)) != NULL)
		if (memcmp(hint, ip->b, 16) == 0)
			return true;
	return false;
}

static bool names_any(const struct dhcp6_exchange *x, const struct dhcp6_ia *ia)
{
	for (size_t i = 0; i < x->lease->n_ips; i++)
		if (names(ia, &x->lease->ips[i]))
			return true;
	return false;
}

// The n-th IA_NA that names none of the port's addresses, else the first IA_NA.
static const struct dhcp6_ia *nth_free(const struct dhcp6_exchange *x, size_t n)
{
	const struct dhcp6_ia *first = NULL;

	for (size_t i = 0; i < x->q.n_ias; i++) {
		const struct dhcp6_ia *ia = &x->q.ias[i];

		if (ia->kind != OPTION6_IA_NA)
			continue;
		if (!names_any(x, ia) && n-- == 0)
			return ia;
		first = first == NULL ? ia : first;
	}
	return first;
}

// Who gets each address: the IA that names it; of those that nobody names, one for each IA that
// has none, and the rest for the first.
void weft_dhcp6_assign(struct dhcp6_exchange *x)
{
	size_t unnamed = 0;

	x->n_ips = MIN(x->lease->n_ips, (size_t)DHCP6_IPS_MAX);
	for (size_t k = 0; k < x->n_ips; k++) {
		x->holder[k] = NULL;
		for (size_t i = 0; i < x->q.n_ias && x->holder[k] == NULL; i++)
			if (x->q.ias[i].kind == OPTION6_IA_NA &&
			    names(&x->q.ias[i], &x->lease->ips[k]))
				x->holder[k] = &x->q.ias[i];
		if (x->holder[k] == NULL)
			x->holder[k] = nth_free(x, unnamed++);
	}
}

bool weft_dhcp6_is_leased(const struct dhcp6_exchange *x, const uint8_t *ip)
{
	for (size_t i = 0; i < x->lease->n_ips; i++)
		if (memcmp(x->lease->ips[i].b, ip, 16) == 0)
			return true;
	return false;
}

static bool is_on_link(const struct dhcp6_exchange *x, const uint8_t *b)
{
	struct ip_addr ip = {.family = 6};

	memcpy(ip.b, b, 16);
	for (size_t i = 0; i < x->lease->n_links; i++)
		if (weft_prefix_contains(&x->lease->links[i], &ip))
			return true;
	return false;
}

// ---- Identity associations -----------------------------------------------------------------

static void put_status(struct dhcp6_writer *w, enum dhcp6_status status)
{
	size_t o = weft_dhcp6_begin(w, OPTION6_STATUS);

	weft_dhcp6_put16(w, status);
	weft_dhcp6_end(w, o);
}

static void put_address(struct dhcp6_writer *w, const uint8_t *ip, uint32_t lifetime_s)
{
	size_t o = weft_dhcp6_begin(w, OPTION6_IA_ADDRESS);

	weft_dhcp6_put(w, ip, 16);
	weft_dhcp6_put32(w, lifetime_s); // preferred
	weft_dhcp6_put32(w, lifetime_s); // valid
	weft_dhcp6_end(w, o);
}

static size_t begin_ia(struct dhcp6_writer *w, const struct dhcp6_ia *ia, uint32_t lifetime_s)
{
	bool for_ever = lifetime_s == UINT32_MAX;
	size_t o = weft_dhcp6_begin(w, ia->kind);

	weft_dhcp6_put(w, ia->iaid, 4);
	if (ia->kind != OPTION6_IA_TA) { // T1 and T2: half and four fifths (RFC 8415, 21.4)
		weft_dhcp6_put32(w, for_ever ? lifetime_s : lifetime_s / 2);
		weft_dhcp6_put32(w,
				 for_ever ? lifetime_s : (uint32_t)((uint64_t)lifetime_s * 4 / 5));
	}
	return o;
}

static void put_refused(struct dhcp6_writer *w, const struct dhcp6_ia *ia, enum dhcp6_status status)
{
	size_t o = begin_ia(w, ia, 0);

	put_status(w, status);
	weft_dhcp6_end(w, o);
}

static bool renews(const struct dhcp6_exchange *x)
{
	return x->q.type == DHCP6_RENEW || x->q.type == DHCP6_REBIND;
}

// Does a REQUEST name an address of another link? (RFC 8415, 18.3.2)
static bool is_elsewhere(const struct dhcp6_exchange *x, const struct dhcp6_ia *ia)
{
	const uint8_t *hint;
	size_t at = 0;

	while (x->q.type == DHCP6_REQUEST && (hint = weft_dhcp6_next_address(ia, &at)) != NULL)
		if (!is_on_link(x, hint))
			return true;
	return false;
}

// What the client renews and is not the port's (any more) ends now (RFC 8415, 18.3.4). Returns
// how many.
static size_t put_ended(struct dhcp6_writer *w, const struct dhcp6_exchange *x,
			const struct dhcp6_ia *ia)
{
	const uint8_t *hint;
	size_t at = 0, n = 0;

	while (renews(x) && (hint = weft_dhcp6_next_address(ia, &at)) != NULL)
		if (!weft_dhcp6_is_leased(x, hint)) {
			put_address(w, hint, 0);
			n++;
		}
	return n;
}

static void put_addresses(struct dhcp6_writer *w, const struct dhcp6_exchange *x,
			  const struct dhcp6_ia *ia)
{
	const struct dhcp6_lease *l = x->lease;
	size_t n = 0, begun = w->len, o;

	for (size_t i = 0; i < x->n_ips; i++)
		n += x->holder[i] == ia;
	o = begin_ia(w, ia, n > 0 ? l->lease_s : 0);
	for (size_t i = 0; i < x->n_ips; i++)
		if (x->holder[i] == ia)
			put_address(w, l->ips[i].b, l->lease_s);
	n += put_ended(w, x, ia);
	weft_dhcp6_end(w, o);
	if (n > 0)
		return;
	w->len = begun;
	put_refused(w, ia, renews(x) ? STATUS6_NO_BINDING : STATUS6_NO_ADDRS_AVAIL);
}

static void put_ia(struct dhcp6_writer *w, const struct dhcp6_exchange *x,
		   const struct dhcp6_ia *ia)
{
	switch (x->q.type) {
	case DHCP6_RELEASE:
	case DHCP6_DECLINE: // what is not bound here is named (RFC 8415, 18.3.7)
		if (ia->kind != OPTION6_IA_NA || !names_any(x, ia))
			put_refused(w, ia, STATUS6_NO_BINDING);
		return;
	case DHCP6_SOLICIT:
	case DHCP6_REQUEST:
	case DHCP6_RENEW:
	case DHCP6_REBIND:
		break;
	default:
		return;
	}
	if (ia->kind == OPTION6_IA_NA && is_elsewhere(x, ia))
		put_refused(w, ia, STATUS6_NOT_ON_LINK);
	else if (ia->kind == OPTION6_IA_NA)
		put_addresses(w, x, ia);
	else if (renews(x))
		put_refused(w, ia, STATUS6_NO_BINDING);
	else
		put_refused(w, ia,
			    ia->kind == OPTION6_IA_PD ? STATUS6_NO_PREFIX_AVAIL
						      : STATUS6_NO_ADDRS_AVAIL);
}

// ---- Other options -------------------------------------------------------------------------

// What keeps the protocol going is not for a port's options to change.
static bool is_protocol(uint16_t code)
{
	switch (code) {
	case OPTION6_CLIENT_ID:
	case OPTION6_SERVER_ID:
	case OPTION6_IA_NA:
	case OPTION6_IA_TA:
	case OPTION6_IA_ADDRESS:
	case OPTION6_REQUESTED:
	case OPTION6_PREFERENCE:
	case OPTION6_ELAPSED:
	case OPTION6_RELAYED:
	case OPTION6_AUTHENTICATION:
	case OPTION6_UNICAST:
	case OPTION6_STATUS:
	case OPTION6_RAPID_COMMIT:
	case OPTION6_INTERFACE_ID:
	case OPTION6_RECONFIGURE:
	case OPTION6_RECONFIGURE_ACCEPT:
	case OPTION6_IA_PD:
	case OPTION6_IA_PREFIX:
		return true;
	default:
		return false;
	}
}

static const struct dhcp_option *find_extra(const struct dhcp6_lease *l, uint16_t code)
{
	for (size_t i = 0; i < l->n_extra; i++)
		if (l->extra[i].code == code)
			return &l->extra[i];
	return NULL;
}

static void put_resolvers(struct dhcp6_writer *w, const struct dhcp6_lease *l)
{
	size_t n = 0, begun = w->len, o = weft_dhcp6_begin(w, OPTION6_DNS);

	for (size_t i = 0; i < l->n_dns; i++)
		if (weft_is_resolver6(&l->dns[i])) {
			weft_dhcp6_put(w, l->dns[i].b, 16);
			n++;
		}
	weft_dhcp6_end(w, o);
	if (n == 0)
		w->len = begun;
}

static void put_domain(struct dhcp6_writer *w, const struct dhcp6_lease *l)
{
	uint8_t name[256];
	size_t len = weft_dns_labels(l->domain, name, sizeof(name));

	if (len > 0)
		weft_dhcp6_option(w, OPTION6_DOMAINS, name, len);
}

// One option that the client wants. What the port's own options say goes before what the lease
// does.
static void put_wanted(struct dhcp6_writer *w, const struct dhcp6_exchange *x, uint16_t code)
{
	const struct dhcp_option *extra = find_extra(x->lease, code);
	uint32_t s = MAX(x->lease->lease_s, (uint32_t)REFRESH_MIN_S);

	if (extra != NULL)
		return; // sent to everybody
	if (code == OPTION6_DNS)
		put_resolvers(w, x->lease);
	else if (code == OPTION6_DOMAINS)
		put_domain(w, x->lease);
	else if (code == OPTION6_REFRESH_TIME && x->q.type == DHCP6_INFORMATION_REQUEST) {
		be32_t be = htobe32(s);

		weft_dhcp6_option(w, code, &be, 4);
	}
}

static bool wants(const struct dhcp6_question *q, uint16_t code)
{
	for (size_t i = 0; i < q->n_requested; i++)
		if ((q->requested[2 * i] << 8 | q->requested[2 * i + 1]) == code)
			return true;
	return !q->has_requested;
}

static void put_configuration(struct dhcp6_writer *w, const struct dhcp6_exchange *x)
{
	static const uint16_t known[] = {OPTION6_DNS, OPTION6_DOMAINS, OPTION6_REFRESH_TIME};

	for (size_t i = 0; i < x->lease->n_extra; i++)
		if (!is_protocol(x->lease->extra[i].code))
			weft_dhcp6_option(w, x->lease->extra[i].code, x->lease->extra[i].value,
					  x->lease->extra[i].len);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (wants(&x->q, known[i]))
			put_wanted(w, x, known[i]);
}

size_t weft_dhcp6_write(uint8_t *m, size_t cap, const struct dhcp6_exchange *x)
{
	struct dhcp6_writer w = {.at = m, .cap = cap};
	bool configures = x->q.type != DHCP6_CONFIRM && x->q.type != DHCP6_RELEASE &&
			  x->q.type != DHCP6_DECLINE;

	weft_dhcp6_put(&w, &x->type, 1);
	weft_dhcp6_put(&w, x->q.xid, 3);
	if (x->q.client_id != NULL)
		weft_dhcp6_option(&w, OPTION6_CLIENT_ID, x->q.client_id, x->q.client_id_len);
	weft_dhcp6_option(&w, OPTION6_SERVER_ID, x->duid, sizeof(x->duid));
	if (x->status >= 0)
		put_status(&w, (enum dhcp6_status)x->status);
	if (x->has_rapid)
		weft_dhcp6_option(&w, OPTION6_RAPID_COMMIT, NULL, 0);
	if (x->type == DHCP6_ADVERTISE) {
		uint8_t first = PREFERENCE_FIRST;

		weft_dhcp6_option(&w, OPTION6_PREFERENCE, &first, 1);
	}
	for (size_t i = 0; i < x->q.n_ias; i++)
		put_ia(&w, x, &x->q.ias[i]);
	if (configures)
		put_configuration(&w, x);
	return w.len;
}
