// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/dhcp_message.h"

#include <string.h>

struct area {
	const uint8_t *b;
	size_t len;
};

// Where options may be: the options field, then, if they overflow, `file` and `sname`.
struct areas {
	struct area a[3];
	size_t n;
};

enum { OVERLOAD_FILE = 1, OVERLOAD_SNAME = 2 };

// Step to the next option at or after *i. 1: found; 0: no more; -1: it runs over the end.
static int next_option(const struct area *a, size_t *i)
{
	while (*i < a->len && a->b[*i] == CODE_PAD)
		++*i;
	if (*i >= a->len || a->b[*i] == CODE_END)
		return 0;
	if (*i + 1 >= a->len || a->b[*i + 1] > a->len - *i - 2)
		return -1;
	return 1;
}

static bool areas_ok(const struct areas *s)
{
	for (size_t k = 0; k < s->n; k++) {
		size_t i = 0;
		int found;
		while ((found = next_option(&s->a[k], &i)) > 0)
			i += s->a[k].b[i + 1] + 2u;
		if (found < 0)
			return false;
	}
	return true;
}

// All instances of an option put together, cut at `cap`. Returns its whole length, or -1 when it
// is not there.
static int collect(const struct areas *s, uint8_t code, uint8_t *out, size_t cap)
{
	int total = -1;
	for (size_t k = 0; k < s->n; k++) {
		const struct area *a = &s->a[k];
		for (size_t i = 0; next_option(a, &i) > 0; i += a->b[i + 1] + 2u) {
			if (a->b[i] != code)
				continue;
			size_t have = total < 0 ? 0 : (size_t)total;
			size_t n = a->b[i + 1];
			size_t room = have < cap ? cap - have : 0;
			if (room > 0 && n > 0)
				memcpy(out + have, a->b + i + 2, n < room ? n : room);
			total = (int)(have + n);
		}
	}
	return total;
}

// An option of a fixed size. False: it is there with another size.
static bool collect_fixed(const struct areas *s, uint8_t code, uint8_t *out, size_t size, bool *has)
{
	int n = collect(s, code, out, size);
	*has = n >= 0;
	return n < 0 || (size_t)n == size;
}

static bool find_areas(const uint8_t *m, size_t len, struct areas *s)
{
	*s = (struct areas) {.a[0] = {m + DHCP_OPTIONS, len - DHCP_OPTIONS}, .n = 1};
	uint8_t overload = 0;
	bool has;
	// Looked for in the options field alone: what overflowed cannot overflow again.
	if (!areas_ok(s) || !collect_fixed(s, CODE_OVERLOAD, &overload, 1, &has) || overload > 3)
		return false;
	if ((overload & OVERLOAD_FILE) != 0)
		s->a[s->n++] = (struct area) {m + BOOTP_FILE, DHCP_COOKIE - BOOTP_FILE};
	if ((overload & OVERLOAD_SNAME) != 0)
		s->a[s->n++] = (struct area) {m + BOOTP_SNAME, BOOTP_FILE - BOOTP_SNAME};
	return areas_ok(s);
}

bool weft_dhcp_read(const uint8_t *m, size_t len, struct dhcp_question *q)
{
	static const uint8_t cookie[4] = {99, 130, 83, 99};
	struct areas s;
	if (len < DHCP_OPTIONS || memcmp(m + DHCP_COOKIE, cookie, 4) != 0 ||
	    !find_areas(m, len, &s))
		return false;

	memset(q, 0, sizeof(*q));
	q->op = m[BOOTP_OP];
	q->htype = m[BOOTP_HTYPE];
	q->hlen = m[BOOTP_HLEN];
	memcpy(q->xid, m + BOOTP_XID, 4);
	memcpy(q->flags, m + BOOTP_FLAGS, 2);
	memcpy(q->ciaddr, m + BOOTP_CIADDR, 4);
	memcpy(q->giaddr, m + BOOTP_GIADDR, 4);
	memcpy(q->chaddr, m + BOOTP_CHADDR, 16);

	bool has;
	uint8_t size[2] = {0, 0};
	if (!collect_fixed(&s, CODE_TYPE, &q->type, 1, &has) ||
	    !collect_fixed(&s, CODE_REQUESTED_IP, q->requested, 4, &q->has_requested) ||
	    !collect_fixed(&s, CODE_SERVER_ID, q->server_id, 4, &q->has_server_id) ||
	    !collect_fixed(&s, CODE_MAX_SIZE, size, 2, &has))
		return false;
	q->max_size = (uint16_t)(size[0] << 8 | size[1]);
	int n = collect(&s, CODE_PARAMETERS, q->parameters, sizeof(q->parameters));
	if (n > 0)
		q->n_parameters = (size_t)n < sizeof(q->parameters) ? (size_t)n
								    : sizeof(q->parameters);
	n = collect(&s, CODE_CLIENT_ID, q->client_id, sizeof(q->client_id));
	// Half an identifier would be another's.
	if (n > 0 && (size_t)n <= sizeof(q->client_id))
		q->client_id_len = (size_t)n;
	return true;
}

bool weft_dhcp_put(struct dhcp_writer *w, uint8_t code, const void *value, size_t len)
{
	const uint8_t *v = value;
	size_t pieces = len == 0 ? 1 : (len + 254) / 255;
	if (w->len + len + 2 * pieces + 1 > w->cap)
		return false;
	for (size_t done = 0; pieces > 0; pieces--) {
		size_t n = len - done < 255 ? len - done : 255;
		w->at[w->len++] = code;
		w->at[w->len++] = (uint8_t)n;
		if (n > 0) // an empty option may have no value to point to
			memcpy(w->at + w->len, v + done, n);
		w->len += n;
		done += n;
	}
	return true;
}
