// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/rules/rules.h"

#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "datapath/native/rules/rules_priv.h"

// Index of the last element of a sorted array that is not above x, or 0. Without branches that
// depend on the data: packets are not predictable, and a miss costs more than the search.
#define LAST_NOT_ABOVE(array, field, n, x)                                        \
	({                                                                        \
		uint32_t base_ = 0;                                               \
		for (uint32_t n_ = (n); n_ > 1;) {                                \
			uint32_t half_ = n_ / 2;                                  \
			base_ += (array)[base_ + half_] field <= (x) ? half_ : 0; \
			n_ -= half_;                                              \
		}                                                                 \
		base_;                                                            \
	})

// What of a query the classes compare.
struct rule_match {
	const struct rules *rules;
	const struct rule_table *table;
	uint8_t proto;
	bool has_key;
	uint16_t key;
	uint32_t rule; // found
};

static uint32_t class_permit(const struct rule_match *m, uint32_t class)
{
	const struct rule_class *c = &m->table->classes[class];
	const struct rules *r = m->rules;
	const struct rule_proto *p = &r->protos[c->protos];
	const uint16_t *first;
	uint32_t i;

	if (c->any != RULE_NONE || c->n_protos == 0)
		return c->any;
	p += LAST_NOT_ABOVE(p, .proto, c->n_protos, m->proto);
	if (p->proto != m->proto)
		return RULE_NONE;
	if (p->any != RULE_NONE || !m->has_key)
		return p->any;
	first = &r->key_first[p->first];
	i = LAST_NOT_ABOVE(first, , p->n, m->key);
	if (first[i] > m->key || r->key_last[p->first + i] < m->key)
		return RULE_NONE;
	return r->key_rule[p->first + i];
}

// From the longest prefix that contains the address to the shortest; class 0 has been asked before.
static uint32_t prefixes_permit(const struct rule_match *m, const struct rule_query *q)
{
	const struct rule_table *t = m->table;
	uint32_t piece, rule = RULE_NONE;

	if (q->family == 4) {
		const uint32_t *starts = t->starts;
		rte_be32_t addr;

		memcpy(&addr, q->remote, sizeof(addr));
		addr = rte_be_to_cpu_32(addr);
		piece = LAST_NOT_ABOVE(starts, , t->n_starts, addr);
	} else {
		const rule_addr *starts = t->starts;
		rte_be64_t half[2];
		rule_addr addr;

		memcpy(half, q->remote, sizeof(half));
		addr = (rule_addr)rte_be_to_cpu_64(half[0]) << 64 | rte_be_to_cpu_64(half[1]);
		piece = LAST_NOT_ABOVE(starts, , t->n_starts, addr);
	}
	for (uint32_t class = t->start_class[piece]; class != 0 && rule == RULE_NONE;
	     class = t->classes[class].parent)
		rule = class_permit(m, class);
	return rule;
}

static bool set_permits(uint32_t index, void *arg)
{
	struct rule_match *m = arg;

	m->rule = class_permit(m, m->table->set_class + index);
	return m->rule != RULE_NONE;
}

const char *weft_rules_permit(const struct rules *r, const struct sets *sets, uint64_t epoch,
			      const struct rule_query *q)
{
	const struct rule_table *t = &r->tables[rule_table_of(q->direction, q->family)];
	bool icmp = rule_is_icmp(q->family, q->proto);
	struct rule_match m = {
		.rules = r,
		.table = t,
		.proto = q->proto,
		.has_key = q->has_l4,
		.key = icmp ? (uint16_t)(q->icmp_type << 8 | q->icmp_code) : q->port,
	};

	if (t->n_classes == 0)
		return NULL;
	m.rule = class_permit(&m, 0);
	if (m.rule == RULE_NONE && t->n_starts > 0)
		m.rule = prefixes_permit(&m, q);
	if (m.rule == RULE_NONE && t->n_sets > 0)
		weft_sets_match(sets, epoch, q->family, q->remote, t->sets, t->n_sets, set_permits,
				&m);
	return m.rule == RULE_NONE ? NULL : r->ids[m.rule];
}

bool weft_rules_stateful(const struct rules *r)
{
	return r->stateful;
}

size_t weft_rules_memory(const struct rules *r)
{
	return r->size;
}

void weft_rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < RULE_TABLES; i++)
		for (uint32_t j = 0; j < r->tables[i].n_sets; j++)
			weft_sets_release(r->sets, r->tables[i].sets[j]);
	free(r);
}
