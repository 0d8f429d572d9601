// SPDX-License-Identifier: Apache-2.0
// The rule compiler: rules are brought into one normal form, sorted so that those of a class and
// protocol stand together, and then written out in one pass. O(n log n).
#include "datapath/native/rules/rules.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/rules/rules_priv.h"
#include "datapath/native/vmap/vmap_priv.h"

enum remote { REMOTE_ANY, REMOTE_PREFIX, REMOTE_SET };

// A rule in normal form; sorted by these fields, in this order.
struct item {
	uint8_t table;
	uint8_t remote; // enum remote
	rule_addr addr; // REMOTE_PREFIX
	uint8_t len;
	uint32_t set;  // REMOTE_SET
	int16_t proto; // -1 first
	bool has_key;  // false first
	uint16_t first, last;
	uint32_t rule;
};

// The arrays while they grow; each has room for what n rules can need at most.
struct build {
	struct rule_class *classes;
	struct rule_proto *protos;
	uint16_t *key_first, *key_last;
	uint32_t *key_rule;
	rule_addr *starts;
	uint32_t *start_class;
	uint32_t *sets;
	size_t n_classes, n_protos, n_keys, n_starts, n_sets;
	struct {
		size_t class, start, set; // the first
		uint32_t n_classes, n_starts, n_sets, set_class;
	} tables[RULE_TABLES];
};

// ---- Normal form ---------------------------------------------------------------------------

static rule_addr addr_number(const struct ip_addr *ip)
{
	uint64_t half[2];
	uint32_t v4;

	if (ip->family == 4) {
		memcpy(&v4, ip->b, sizeof(v4));
		return be32toh(v4);
	}
	memcpy(half, ip->b, sizeof(half));
	return (rule_addr)be64toh(half[0]) << 64 | be64toh(half[1]);
}

static bool has_port_field(int proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

static int normal_protocol(const struct plan_rule *r, struct item *it, struct err *err)
{
	if (r->proto < -1 || r->proto > 255)
		return weft_fail(err, -EINVAL, "rule %s: there is no protocol %d", r->id, r->proto);
	it->proto = r->proto;
	if (r->has_ports) {
		if (!has_port_field(r->proto))
			return weft_fail(err, -EINVAL, "rule %s: protocol %d has no ports", r->id,
					 r->proto);
		if (r->port_min > r->port_max)
			return weft_fail(err, -EINVAL, "rule %s: port range %u-%u is empty", r->id,
					 r->port_min, r->port_max);
		it->has_key = true;
		it->first = r->port_min;
		it->last = r->port_max;
		return 0;
	}
	if (!rule_is_icmp(r->family, r->proto))
		return 0;
	if (r->icmp_type > 255 || r->icmp_code > 255 || (r->icmp_type < 0 && r->icmp_code >= 0))
		return weft_fail(err, -EINVAL, "rule %s: ICMP type %d with code %d cannot be",
				 r->id, r->icmp_type, r->icmp_code);
	if (r->icmp_type < 0)
		return 0;
	it->has_key = true;
	it->first = (uint16_t)(r->icmp_type << 8 | (r->icmp_code < 0 ? 0 : r->icmp_code));
	it->last = (uint16_t)(r->icmp_type << 8 | (r->icmp_code < 0 ? 0xff : r->icmp_code));
	return 0;
}

// Sets get their number here; it is held until the compilation is over.
static int normal_remote(const struct plan_rule *r, struct sets *sets, struct item *it,
			 struct err *err)
{
	struct ip_prefix p;

	switch (r->remote) {
	case PLAN_REMOTE_ANY:
		return 0;
	case PLAN_REMOTE_PREFIX:
		if (r->prefix.ip.family != r->family || r->prefix.len > (r->family == 6 ? 128 : 32))
			return weft_fail(err, -EINVAL, "rule %s: its remote prefix is not of IPv%d",
					 r->id, r->family);
		if (r->prefix.len == 0)
			return 0;
		p = weft_prefix_masked(&r->prefix);
		it->remote = REMOTE_PREFIX;
		it->addr = addr_number(&p.ip);
		it->len = p.len;
		return 0;
	case PLAN_REMOTE_SET:
		if (r->set_id[0] == '\0')
			return weft_fail(err, -EINVAL, "rule %s: its remote set has no id", r->id);
		it->remote = REMOTE_SET;
		it->set = weft_sets_number(sets, r->set_id);
		weft_sets_hold(sets, it->set);
		return 0;
	}
	return weft_fail(err, -EINVAL, "rule %s: unknown kind of remote", r->id);
}

static int normal(const struct plan_rule *r, uint32_t index, struct sets *sets, struct item *it,
		  struct err *err)
{
	int ret;

	*it = (struct item) {.rule = index};
	if (r->family != 4 && r->family != 6)
		return weft_fail(err, -EINVAL, "rule %s: there is no IPv%d", r->id, r->family);
	if (r->direction != PLAN_EGRESS && r->direction != PLAN_INGRESS)
		return weft_fail(err, -EINVAL, "rule %s: unknown direction", r->id);
	it->table = (uint8_t)rule_table_of(r->direction, r->family);
	ret = normal_protocol(r, it, err);
	return ret != 0 ? ret : normal_remote(r, sets, it, err);
}

#define ORDER(a, b)                                \
	do {                                       \
		if ((a) != (b))                    \
			return (a) < (b) ? -1 : 1; \
	} while (0)

static int compare_class(const struct item *a, const struct item *b)
{
	ORDER(a->table, b->table);
	ORDER(a->remote, b->remote);
	ORDER(a->addr, b->addr);
	ORDER(a->len, b->len);
	ORDER(a->set, b->set);
	return 0;
}

static int compare(const void *va, const void *vb)
{
	const struct item *a = va, *b = vb;
	int order = compare_class(a, b);

	if (order != 0)
		return order;
	ORDER(a->proto, b->proto);
	ORDER(a->has_key, b->has_key);
	ORDER(a->first, b->first);
	ORDER(b->last, a->last); // the wider first
	ORDER(a->rule, b->rule);
	return 0;
}

// ---- Classes -------------------------------------------------------------------------------

// One protocol of a class: the union of its rules as disjoint intervals.
static void add_proto(struct build *b, const struct item *it, size_t n)
{
	struct rule_proto *p = &b->protos[b->n_protos++];
	uint32_t next = 0; // the first key that is not covered

	*p = (struct rule_proto) {(uint32_t)it->proto, RULE_NONE, (uint32_t)b->n_keys, 0};
	if (!it->has_key) {
		p->any = it->rule;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (it[i].last < next)
			continue;
		b->key_first[b->n_keys] = it[i].first > next ? it[i].first : (uint16_t)next;
		b->key_last[b->n_keys] = it[i].last;
		b->key_rule[b->n_keys++] = it[i].rule;
		next = it[i].last + 1u;
		p->n++;
	}
}

static uint32_t add_class(struct build *b, size_t table, uint32_t parent, const struct item *it,
			  size_t n)
{
	struct rule_class *c = &b->classes[b->n_classes++];

	*c = (struct rule_class) {RULE_NONE, parent, (uint32_t)b->n_protos, 0};
	if (n > 0 && it[0].proto == -1) {
		c->any = it[0].rule;
		n = 0;
	}
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && it[j].proto == it[i].proto;)
			j++;
		add_proto(b, &it[i], j - i);
		c->n_protos++;
	}
	return b->tables[table].n_classes++;
}

// How many items from the first on are of its class.
static size_t class_length(const struct item *it, size_t n)
{
	size_t i = 1;

	while (i < n && compare_class(&it[0], &it[i]) == 0)
		i++;
	return i;
}

// ---- Prefixes ------------------------------------------------------------------------------

struct open_prefix {
	rule_addr last;
	uint32_t class;
};

static void add_start(struct build *b, size_t table, rule_addr start, uint32_t class)
{
	if (b->tables[table].n_starts > 0 && b->starts[b->n_starts - 1] == start) {
		b->start_class[b->n_starts - 1] = class;
		return;
	}
	b->starts[b->n_starts] = start;
	b->start_class[b->n_starts++] = class;
	b->tables[table].n_starts++;
}

// Prefixes in order of their first address, the shorter first, so that those which contain the
// one at hand are open: a stack. Where one begins or ends, a piece of the address space begins.
static void add_prefixes(struct build *b, size_t table, const struct item *it, size_t n)
{
	struct open_prefix open[129]; // "any", then at most one of each length
	int bits = table % 2 == 1 ? 128 : 32;
	rule_addr everything = ~(rule_addr)0 >> (128 - bits);
	size_t depth = 1;

	open[0] = (struct open_prefix) {everything, 0};
	add_start(b, table, 0, 0);
	for (size_t i = 0, len; i < n; i += len) {
		rule_addr last = it[i].addr | (it[i].len == bits ? 0 : everything >> it[i].len);

		while (open[depth - 1].last < it[i].addr) {
			depth--;
			add_start(b, table, open[depth].last + 1, open[depth - 1].class);
		}
		len = class_length(&it[i], n - i);
		open[depth] = (struct open_prefix) {last, add_class(b, table, open[depth - 1].class,
								    &it[i], len)};
		add_start(b, table, it[i].addr, open[depth++].class);
	}
	for (; depth > 1 && open[depth - 1].last != everything; depth--)
		add_start(b, table, open[depth - 1].last + 1, open[depth - 2].class);
}

static void add_sets(struct build *b, size_t table, const struct item *it, size_t n)
{
	b->tables[table].set_class = b->tables[table].n_classes;
	for (size_t i = 0, len; i < n; i += len) {
		len = class_length(&it[i], n - i);
		add_class(b, table, 0, &it[i], len);
		b->sets[b->n_sets++] = it[i].set;
		b->tables[table].n_sets++;
	}
}

static void add_table(struct build *b, size_t table, const struct item *it, size_t n)
{
	size_t any = 0, sets;

	b->tables[table].class = b->n_classes;
	b->tables[table].start = b->n_starts;
	b->tables[table].set = b->n_sets;
	if (n == 0)
		return;
	while (any < n && it[any].remote == REMOTE_ANY)
		any++;
	for (sets = any; sets < n && it[sets].remote == REMOTE_PREFIX;)
		sets++;
	add_class(b, table, 0, it, any);
	if (sets > any)
		add_prefixes(b, table, it + any, sets - any);
	add_sets(b, table, it + sets, n - sets);
}

// ---- Out -----------------------------------------------------------------------------------

static void build_init(struct build *b, size_t n)
{
	memset(b, 0, sizeof(*b));
	b->classes = weft_vmap_alloc((n + RULE_TABLES) * sizeof(b->classes[0]));
	b->protos = weft_vmap_alloc((n + 1) * sizeof(b->protos[0]));
	b->key_first = weft_vmap_alloc((n + 1) * sizeof(b->key_first[0]));
	b->key_last = weft_vmap_alloc((n + 1) * sizeof(b->key_last[0]));
	b->key_rule = weft_vmap_alloc((n + 1) * sizeof(b->key_rule[0]));
	b->starts = weft_vmap_alloc((2 * n + RULE_TABLES) * sizeof(b->starts[0]));
	b->start_class = weft_vmap_alloc((2 * n + RULE_TABLES) * sizeof(b->start_class[0]));
	b->sets = weft_vmap_alloc((n + 1) * sizeof(b->sets[0]));
}

static void build_fini(struct build *b)
{
	free(b->classes);
	free(b->protos);
	free(b->key_first);
	free(b->key_last);
	free(b->key_rule);
	free(b->starts);
	free(b->start_class);
	free(b->sets);
}

// The next n bytes of the block, on a multiple of 16.
static void *carve(char *block, size_t *at, size_t n)
{
	char *p = block == NULL ? NULL : block + *at;

	*at = (*at + n + 15) & ~(size_t)15;
	return p;
}

static void *carve_copy(char *block, size_t *at, const void *from, size_t n)
{
	void *p = carve(block, at, n);

	if (p != NULL)
		memcpy(p, from, n);
	return p;
}

static void write_starts(const struct build *b, size_t table, char *block, size_t *at,
			 struct rule_table *t)
{
	size_t n = b->tables[table].n_starts;
	const rule_addr *from = b->starts + b->tables[table].start;
	uint32_t *v4;

	if (table % 2 == 1) {
		t->starts = carve_copy(block, at, from, n * sizeof(rule_addr));
		return;
	}
	v4 = carve(block, at, n * sizeof(uint32_t));
	for (size_t i = 0; v4 != NULL && i < n; i++)
		v4[i] = (uint32_t)from[i];
	t->starts = v4;
}

// Lay everything out in the block, or, without one, find how large it must be. Returns the size.
static size_t write_rules(const struct build *b, const struct plan_rule_set *plan, char *block)
{
	struct rules nowhere;
	size_t at = 0;
	struct rules *r = carve(block, &at, sizeof(*r));
	rule_id *ids;

	if (r == NULL)
		r = &nowhere;
	for (size_t i = 0; i < RULE_TABLES; i++) {
		struct rule_table *t = &r->tables[i];

		t->n_classes = b->tables[i].n_classes;
		t->n_starts = b->tables[i].n_starts;
		t->n_sets = b->tables[i].n_sets;
		t->set_class = b->tables[i].set_class;
		t->classes = carve_copy(block, &at, b->classes + b->tables[i].class,
					t->n_classes * sizeof(b->classes[0]));
		write_starts(b, i, block, &at, t);
		t->start_class = carve_copy(block, &at, b->start_class + b->tables[i].start,
					    t->n_starts * sizeof(b->start_class[0]));
		t->sets = carve_copy(block, &at, b->sets + b->tables[i].set,
				     t->n_sets * sizeof(b->sets[0]));
	}
	r->protos = carve_copy(block, &at, b->protos, b->n_protos * sizeof(b->protos[0]));
	r->key_first = carve_copy(block, &at, b->key_first, b->n_keys * sizeof(b->key_first[0]));
	r->key_last = carve_copy(block, &at, b->key_last, b->n_keys * sizeof(b->key_last[0]));
	r->key_rule = carve_copy(block, &at, b->key_rule, b->n_keys * sizeof(b->key_rule[0]));
	ids = carve(block, &at, plan->n_rules * sizeof(rule_id));
	for (size_t i = 0; block != NULL && i < plan->n_rules; i++)
		memcpy(ids[i], plan->rules[i].id, sizeof(rule_id));
	r->ids = ids;
	r->stateful = plan->stateful;
	return at;
}

static struct rules *emit(const struct build *b, const struct plan_rule_set *plan,
			  struct sets *sets)
{
	size_t size = write_rules(b, plan, NULL);
	struct rules *r = weft_vmap_alloc(size);

	write_rules(b, plan, (char *)r);
	r->size = size;
	r->sets = sets;
	for (size_t i = 0; i < b->n_sets; i++)
		weft_sets_hold(sets, b->sets[i]);
	return r;
}

int weft_rules_compile(const struct plan_rule_set *plan, struct sets *sets, struct rules **out,
		       struct err *err)
{
	struct item *items = weft_vmap_alloc((plan->n_rules + 1) * sizeof(items[0]));
	struct build b;
	size_t n = 0;
	int ret = 0;

	while (n < plan->n_rules && ret == 0) {
		ret = normal(&plan->rules[n], (uint32_t)n, sets, &items[n], err);
		n++;
	}
	if (ret == 0) {
		qsort(items, n, sizeof(items[0]), compare);
		build_init(&b, n);
		for (size_t i = 0, at = 0; i < RULE_TABLES; i++) {
			size_t end = at;

			while (end < n && items[end].table == i)
				end++;
			add_table(&b, i, items + at, end - at);
			at = end;
		}
		*out = emit(&b, plan, sets);
		build_fini(&b);
	}
	for (size_t i = 0; i < n; i++)
		if (items[i].remote == REMOTE_SET)
			weft_sets_release(sets, items[i].set);
	free(items);
	return ret;
}
