// SPDX-License-Identifier: Apache-2.0
#include "plan/check.h"

#include <stdlib.h>

#include "plan/attr.h"
#include "plan/build.h"
#include "plan/rule.h"

// What is built is only looked at, and freed.
static int freed(int ret, enum plan_kind kind, void *object)
{
	if (ret == 0)
		weft_plan_object_free(kind, object);
	return ret;
}

static int check_network(const struct object *o, struct err *err)
{
	struct plan_network *n = NULL;
	int ret = weft_plan_build_network(o, &n, err);

	return freed(ret, PLAN_NETWORK, n);
}

static int check_subnet(const struct model *m, const struct object *o, struct err *err)
{
	struct plan_subnet *s = NULL;
	const struct object *network =
		weft_model_get(m, RES_NETWORK, attr_text(o->attr, "network_id"));
	int ret = weft_plan_build_subnet(o, network, &s, err);

	return freed(ret, PLAN_SUBNET, s);
}

// Wherever it is bound: other nodes' ports are neighbours and members here.
static int check_port(const struct object *o, struct err *err)
{
	struct plan_port *p = NULL;
	struct plan_neighbour *list = NULL;
	struct plan_prefixes members = {0};
	size_t n;
	int ret = weft_plan_build_port(o, &p, err);

	ret = freed(ret, PLAN_PORT, p);
	if (ret == 0)
		ret = weft_plan_build_neighbours(o, "", &list, &n, err);
	free(list);
	if (ret == 0)
		ret = weft_plan_build_members(o, &members, err);
	free(members.prefix);
	return ret;
}

static int check_addresses(const struct object *o, struct err *err)
{
	struct plan_prefixes p = {0};
	size_t n = json_array_size(json_object_get(o->attr, "addresses"));
	int ret = weft_plan_build_addresses(o, 0, n, &p, err);

	free(p.prefix);
	return ret;
}

static int check_router(const struct model *m, const struct object *o, struct err *err)
{
	struct plan_router *r = NULL;
	int ret = weft_plan_build_router(m, o, &r, err);

	return freed(ret, PLAN_ROUTER, r);
}

static int take_first(const struct object *o, void *arg)
{
	*(const struct object **)arg = o;
	return 1;
}

static int check_floating(const struct model *m, const struct object *o, struct err *err)
{
	const struct object *own_port = NULL;
	struct plan_floating *f = NULL;
	int ret;

	weft_model_each_ref(m, REF_FLOATING_IP_PORTS, o->id, take_first, &own_port);
	ret = weft_plan_build_floating(o, own_port, &f, err);
	return freed(ret, PLAN_FLOATING, f);
}

static int check_forwarding(const struct object *o, struct err *err)
{
	struct plan_forwarding *f = NULL;
	int ret = weft_plan_build_forwarding(o, &f, err);

	return freed(ret, PLAN_FORWARDING, f);
}

int weft_plan_check(const struct model *m, const struct object *o, struct err *err)
{
	struct plan_rule rule;

	switch (o->type) {
	case RES_NETWORK:
		return check_network(o, err);
	case RES_SUBNET:
		return check_subnet(m, o, err);
	case RES_PORT:
		return check_port(o, err);
	case RES_SECURITY_GROUP_RULE:
		return weft_plan_rule(o, &rule, err);
	case RES_ADDRESS_GROUP:
		return check_addresses(o, err);
	case RES_ROUTER:
		return check_router(m, o, err);
	case RES_FLOATING_IP:
		return check_floating(m, o, err);
	case RES_PORT_FORWARDING:
		return check_forwarding(o, err);
	case RES_SECURITY_GROUP: // its rules are checked by themselves
	case RES_QUOTA:
	case RES_SUBNET_POOL:
	case RES_COUNT:
		break;
	}
	return 0;
}
