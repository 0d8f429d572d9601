// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/dhcp6_message.h"

#include <string.h>

static uint16_t read16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

struct option {
	uint16_t code;
	size_t len;
	const uint8_t *value;
};

// Step over the option at *at. 1: it is in *o; 0: no more; -1: it runs over the end.
static int next_option(const uint8_t *b, size_t len, size_t *at, struct option *o)
{
	if (*at == len)
		return 0;
	if (len - *at < 4 || read16(b + *at + 2) > len - *at - 4)
		return -1;
	*o = (struct option) {read16(b + *at), read16(b + *at + 2), b + *at + 4};
	*at += 4 + o->len;
	return 1;
}

static bool is_list(const uint8_t *b, size_t len)
{
	struct option o;
	size_t at = 0;
	int found;

	while ((found = next_option(b, len, &at, &o)) > 0)
		;
	return found == 0;
}

// What comes before the options of an IA, an address or a prefix; 0 = it has none.
static size_t head_len(uint16_t code)
{
	switch (code) {
	case OPTION6_IA_NA:
	case OPTION6_IA_PD:
		return 12;
	case OPTION6_IA_TA:
		return 4;
	case OPTION6_IA_ADDRESS:
		return 24;
	case OPTION6_IA_PREFIX:
		return 25;
	default:
		return 0;
	}
}

static bool read_ia(const struct option *o, struct dhcp6_question *q)
{
	size_t head = head_len(o->code), at = 0;
	struct option inner;
	struct dhcp6_ia *ia;
	int found;

	if (o->len < head)
		return false;
	while ((found = next_option(o->value + head, o->len - head, &at, &inner)) > 0) {
		size_t own = head_len(inner.code);

		if (inner.len < own || (own != 0 && !is_list(inner.value + own, inner.len - own)))
			return false;
	}
	if (found < 0)
		return false;
	if (q->n_ias == DHCP6_IAS_MAX)
		return true;
	ia = &q->ias[q->n_ias++];
	*ia = (struct dhcp6_ia) {.kind = o->code, .options = o->value + head, .len = o->len - head};
	memcpy(ia->iaid, o->value, 4);
	return true;
}

static bool read_duid(const struct option *o, const uint8_t **duid, size_t *len)
{
	if (*duid != NULL || o->len < 3 || o->len > DHCP6_DUID_MAX)
		return false;
	*duid = o->value;
	*len = o->len;
	return true;
}

static bool read_option(const struct option *o, struct dhcp6_question *q)
{
	switch (o->code) {
	case OPTION6_CLIENT_ID:
		return read_duid(o, &q->client_id, &q->client_id_len);
	case OPTION6_SERVER_ID:
		return read_duid(o, &q->server_id, &q->server_id_len);
	case OPTION6_REQUESTED:
		if (q->has_requested || o->len % 2 != 0)
			return false;
		q->has_requested = true;
		q->requested = o->value;
		q->n_requested = o->len / 2;
		return true;
	case OPTION6_RAPID_COMMIT:
		q->rapid_commit = true;
		return o->len == 0;
	case OPTION6_IA_NA:
	case OPTION6_IA_TA:
	case OPTION6_IA_PD:
		return read_ia(o, q);
	default:
		return true;
	}
}

bool weft_dhcp6_read(const uint8_t *m, size_t len, struct dhcp6_question *q)
{
	struct option o;
	size_t at = 0;
	int found;

	if (len < DHCP6_OPTIONS)
		return false;
	memset(q, 0, sizeof(*q));
	q->type = m[0];
	memcpy(q->xid, m + 1, 3);
	while ((found = next_option(m + DHCP6_OPTIONS, len - DHCP6_OPTIONS, &at, &o)) > 0)
		if (!read_option(&o, q))
			return false;
	return found == 0;
}

const uint8_t *weft_dhcp6_next_address(const struct dhcp6_ia *ia, size_t *at)
{
	struct option o;

	while (next_option(ia->options, ia->len, at, &o) > 0)
		if (o.code == OPTION6_IA_ADDRESS)
			return o.value;
	return NULL;
}

void weft_dhcp6_put(struct dhcp6_writer *w, const void *value, size_t len)
{
	if (w->full || len > w->cap - w->len) {
		w->full = true;
		return;
	}
	if (len > 0) // an empty option may have no value to point to
		memcpy(w->at + w->len, value, len);
	w->len += len;
}

void weft_dhcp6_put16(struct dhcp6_writer *w, uint32_t value)
{
	uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	weft_dhcp6_put(w, b, 2);
}

void weft_dhcp6_put32(struct dhcp6_writer *w, uint32_t value)
{
	weft_dhcp6_put16(w, value >> 16);
	weft_dhcp6_put16(w, value & 0xffff);
}

size_t weft_dhcp6_begin(struct dhcp6_writer *w, uint16_t code)
{
	size_t begun = w->len;

	if (w->full) // the option around this one goes back as a whole
		return SIZE_MAX;
	weft_dhcp6_put16(w, code);
	weft_dhcp6_put16(w, 0);
	return begun;
}

void weft_dhcp6_end(struct dhcp6_writer *w, size_t begun)
{
	size_t len;

	if (begun == SIZE_MAX)
		return;
	if (w->full) {
		w->len = begun;
		w->full = false;
		return;
	}
	len = w->len - begun - 4;
	w->at[begun + 2] = (uint8_t)(len >> 8);
	w->at[begun + 3] = (uint8_t)len;
}

void weft_dhcp6_option(struct dhcp6_writer *w, uint16_t code, const void *value, size_t len)
{
	size_t begun = weft_dhcp6_begin(w, code);

	weft_dhcp6_put(w, value, len);
	weft_dhcp6_end(w, begun);
}
