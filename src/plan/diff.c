// SPDX-License-Identifier: Apache-2.0
// Did a rule set only grow? Most changes add a rule or touch one, so first the rules that are the
// same in both are paired off in sorted order; for the few that are left, a wider rule is looked
// for.
#include "plan/diff.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

// Comparing every rule with every other is not worth more than this: the caller then takes it
// that something went.
#define MAX_COMPARISONS 1000000

// What a rule admits, without its name: equal rules are equal bytes.
struct content {
	uint8_t direction, family, remote, len;
	int16_t proto;
	bool has_key; // a port range, or ICMP types and codes as keys
	uint8_t pad;
	uint16_t first, last;
	uint8_t addr[16];
	char set_id[WEFT_ID_LEN + 1];
	uint8_t pad_end[3];
};

_Static_assert(sizeof(struct content) == 68, "no hidden bytes");

static void content_of(const struct plan_rule *r, struct content *c)
{
	memset(c, 0, sizeof(*c));
	c->direction = (uint8_t)r->direction;
	c->family = r->family;
	c->proto = r->proto;
	if (r->has_ports) {
		c->has_key = true;
		c->first = r->port_min;
		c->last = r->port_max;
	} else if (r->proto == (r->family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
		   r->icmp_type >= 0) {
		c->has_key = true;
		c->first = (uint16_t)(r->icmp_type << 8 | (r->icmp_code < 0 ? 0 : r->icmp_code));
		c->last = (uint16_t)(r->icmp_type << 8 | (r->icmp_code < 0 ? 0xff : r->icmp_code));
	}
	if (r->remote == PLAN_REMOTE_SET) {
		c->remote = PLAN_REMOTE_SET;
		memcpy(c->set_id, r->set_id, strnlen(r->set_id, WEFT_ID_LEN));
	} else if (r->remote == PLAN_REMOTE_PREFIX && r->prefix.len > 0) {
		struct ip_prefix p = weft_prefix_masked(&r->prefix);

		c->remote = PLAN_REMOTE_PREFIX;
		c->len = p.len;
		memcpy(c->addr, p.ip.b, sizeof(c->addr));
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct content));
}

static struct content *contents_of(const struct plan_rule_set *set)
{
	struct content *c = calloc(set->n_rules + 1, sizeof(*c));

	if (c == NULL)
		abort();
	for (size_t i = 0; i < set->n_rules; i++)
		content_of(&set->rules[i], &c[i]);
	qsort(c, set->n_rules, sizeof(*c), compare);
	return c;
}

static bool prefix_within(const struct content *inner, const struct content *outer)
{
	unsigned int bytes = outer->len / 8, bits = outer->len % 8;

	if (inner->len < outer->len || memcmp(inner->addr, outer->addr, bytes) != 0)
		return false;
	return bits == 0 || (inner->addr[bytes] ^ outer->addr[bytes]) >> (8 - bits) == 0;
}

// Does `outer` admit everything that `inner` admits, whatever the sets' members are?
static bool within(const struct content *inner, const struct content *outer)
{
	if (inner->direction != outer->direction || inner->family != outer->family)
		return false;
	if (outer->proto != -1 && outer->proto != inner->proto)
		return false;
	if (outer->has_key &&
	    (!inner->has_key || inner->first < outer->first || inner->last > outer->last))
		return false;
	if (outer->remote == PLAN_REMOTE_ANY)
		return true;
	if (outer->remote != inner->remote)
		return false;
	if (outer->remote == PLAN_REMOTE_SET)
		return memcmp(inner->set_id, outer->set_id, sizeof(inner->set_id)) == 0;
	return prefix_within(inner, outer);
}

static bool all_within(const struct content *before, size_t n_before, const struct content *after,
		       size_t n_after)
{
	size_t budget = MAX_COMPARISONS;

	for (size_t i = 0, j = 0; i < n_before; i++) {
		bool found = false;

		while (j < n_after && compare(&after[j], &before[i]) < 0)
			j++;
		if (j < n_after && compare(&after[j], &before[i]) == 0)
			continue;
		for (size_t k = 0; k < n_after && !found && budget > 0; k++, budget--)
			found = within(&before[i], &after[k]);
		if (!found)
			return false;
	}
	return true;
}

bool weft_plan_rules_only_added(const struct plan_rule_set *before,
				const struct plan_rule_set *after)
{
	struct content *old, *new;
	bool ok;

	if (before == NULL || before->n_rules == 0)
		return true;
	if (after == NULL || before->stateful != after->stateful)
		return false;
	old = contents_of(before);
	new = contents_of(after);
	ok = all_within(old, before->n_rules, new, after->n_rules);
	free(old);
	free(new);
	return ok;
}

static bool uses_rule_set(const struct plan_port *p, const char *id)
{
	for (size_t i = 0; i < p->n_rule_sets; i++)
		if (strcmp(p->rule_sets[i], id) == 0)
			return true;
	return false;
}

static bool has_pair(const struct plan_port *p, const struct plan_pair *pair)
{
	for (size_t i = 0; i < p->n_pairs; i++)
		if (weft_mac_equal(&p->pairs[i].mac, &pair->mac) &&
		    weft_prefix_equal(&p->pairs[i].prefix, &pair->prefix))
			return true;
	return false;
}

bool weft_plan_port_has_lost(const struct plan_port *before, const struct plan_port *after)
{
	if (strcmp(before->network_id, after->network_id) != 0 ||
	    !weft_mac_equal(&before->mac, &after->mac) || (before->admin_up && !after->admin_up) ||
	    (!before->filtered && after->filtered))
		return true;
	for (size_t i = 0; i < before->n_pairs; i++)
		if (!has_pair(after, &before->pairs[i]))
			return true;
	for (size_t i = 0; i < before->n_rule_sets; i++)
		if (!uses_rule_set(after, before->rule_sets[i]))
			return true;
	return false;
}
