// SPDX-License-Identifier: Apache-2.0
// What is shown of a port beside what is kept of it.
#include "model/port.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/router.h"

static json_t *dns_assignment(const json_t *port)
{
	static const char domain[] = "openstacklocal.";
	const char *name = weft_json_text(port, "dns_name");
	json_t *all = json_array();
	size_t i;
	json_t *v;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, v) {
		const char *ip = weft_json_text(v, "ip_address");
		char host[300], fqdn[320];
		if (name != NULL && name[0] != '\0') {
			snprintf(host, sizeof(host), "%s", name);
		} else {
			snprintf(host, sizeof(host), "host-%s", ip);
			for (char *c = host; *c != '\0'; c++)
				if (*c == '.' || *c == ':')
					*c = '-';
		}
		snprintf(fqdn, sizeof(fqdn), "%s.%s", host, domain);
		json_array_append_new(all, json_pack("{s:s, s:s, s:s}", "ip_address", ip,
						     "hostname", host, "fqdn", fqdn));
	}
	return all;
}

// A router's port is on no node and on all of them: it works when it and its router are up. A
// floating IP's port only holds its address. What is attached on a node has the status that the
// node found.
const char *weft_port_status(const struct model *m, const struct object *o)
{
	const struct object *router = weft_router_of_port(m, o->attr);
	if (router != NULL)
		return weft_json_bool(o->attr, "admin_state_up", true) &&
				       weft_json_bool(router->attr, "admin_state_up", true)
			       ? "ACTIVE"
			       : "DOWN";
	if (weft_port_is_floating(o->attr))
		return "N/A";
	const char *status = weft_map_get(m->port_status, o->id);
	return status == NULL ? "DOWN" : status;
}

void weft_port_render(const struct model *m, const struct object *o, json_t *shown)
{
	bool has_addresses = json_array_size(json_object_get(o->attr, "fixed_ips")) > 0;
	json_object_set_new(shown, "status", json_string(weft_port_status(m, o)));
	json_object_set_new(shown, "ip_allocation",
			    json_string(has_addresses ? "immediate" : "none"));
	json_object_set_new(shown, "dns_assignment", dns_assignment(o->attr));
}
