// SPDX-License-Identifier: Apache-2.0
#include "cli/topology.h"

#include <stdbool.h>
#include <string.h>

#include "cli/table.h"

static const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static bool has(const json_t *o, const char *key, const char *id)
{
	return strcmp(text_at(o, key), id) == 0;
}

// "NAME (ID)", or the id alone.
static void add_name(struct text *out, const json_t *o, const char *name, const char *id)
{
	if (text_at(o, name)[0] == '\0')
		weft_text_add(out, "%s", text_at(o, id));
	else
		weft_text_add(out, "%s (%s)", text_at(o, name), text_at(o, id));
}

// " WHAT VALUE", if there is one.
static void add_value(struct text *out, const char *what, const json_t *value)
{
	if (value == NULL || json_is_null(value) ||
	    (json_is_array(value) && json_array_size(value) == 0))
		return;
	weft_text_add(out, "%s", what);
	weft_value_text(out, value);
}

static void add_floatings(struct text *out, const json_t *all, const json_t *port)
{
	const json_t *f, *forwarding;
	size_t i, k;

	json_array_foreach(json_object_get(all, "floatingips"), i, f) {
		if (has(f, "port", text_at(port, "id")))
			weft_text_add(out, "    floating IP %s by router %s\n",
				      text_at(f, "address"), text_at(f, "router_name"));
		json_array_foreach(json_object_get(f, "forwardings"), k, forwarding) {
			if (!has(forwarding, "port", text_at(port, "id")))
				continue;
			weft_text_add(out, "    forwarded from %s", text_at(f, "address"));
			add_value(out, " ", json_object_get(forwarding, "protocol"));
			add_value(out, " ", json_object_get(forwarding, "ports"));
			weft_text_add(out, " by router %s\n", text_at(f, "router_name"));
		}
	}
}

static void add_network(struct text *out, const json_t *all, const json_t *network)
{
	const char *id = text_at(network, "id");
	const json_t *o, *interface;
	size_t i, k;

	weft_text_add(out, "network ");
	add_name(out, network, "name", "id");
	add_value(out, ", MTU ", json_object_get(network, "mtu"));
	weft_text_add(out, "\n");
	json_array_foreach(json_object_get(network, "subnets"), i, o) {
		weft_text_add(out, "  subnet %s", text_at(o, "cidr"));
		add_value(out, ", gateway ", json_object_get(o, "gateway"));
		weft_text_add(out, "\n");
	}
	json_array_foreach(json_object_get(all, "routers"), i, o)
		json_array_foreach(json_object_get(o, "interfaces"), k, interface) {
			if (!has(interface, "network", id))
				continue;
			weft_text_add(out, "  router ");
			add_name(out, o, "name", "id");
			add_value(out, ": ", json_object_get(interface, "addresses"));
			weft_text_add(out, "\n");
		}
	json_array_foreach(json_object_get(all, "ports"), i, o) {
		if (!has(o, "network", id))
			continue;
		weft_text_add(out, "  port ");
		add_name(out, o, "name", "id");
		add_value(out, ": ", json_object_get(o, "fixed_ips"));
		weft_text_add(out, ", %s\n", text_at(o, "status"));
		add_floatings(out, all, o);
	}
}

static void add_router(struct text *out, const json_t *router)
{
	const json_t *interface;
	size_t i;

	weft_text_add(out, "router ");
	add_name(out, router, "name", "id");
	add_value(out, ", source NAT to ", json_object_get(router, "snat"));
	weft_text_add(out, "%s\n",
		      json_is_false(json_object_get(router, "admin_up")) ? ", down" : "");
	json_array_foreach(json_object_get(router, "interfaces"), i, interface) {
		weft_text_add(out, "  %snetwork ",
			      json_is_true(json_object_get(interface, "external")) ? "external "
										   : "");
		add_name(out, interface, "network_name", "network");
		add_value(out, ": ", json_object_get(interface, "addresses"));
		weft_text_add(out, "\n");
	}
}

void weft_topology(struct text *out, const json_t *all)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(all, "networks"), i, o)
		add_network(out, all, o);
	json_array_foreach(json_object_get(all, "routers"), i, o)
		add_router(out, o);
}
