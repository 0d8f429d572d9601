// SPDX-License-Identifier: Apache-2.0
// Uplinks in the tables: a provider network's way out of the node is a port of it without port
// security, made up here, so that floods, sessions, generations and counters need to know nothing
// of it. Its id is the network's.
#include "datapath/native/policy/tables_priv.h"

#include <string.h>

static bool is_elsewhere(const struct port_ctl *c, const struct trunk *trunk, uint32_t vlan)
{
	return c->trunk != trunk || c->vlan != vlan;
}

// A replaced one's index is free only after a grace period: for a moment there are two.
bool weft_tables_uplink_takes_index(const struct tables *t, const struct plan_network *plan)
{
	const struct trunk *trunk = t->hooks.trunk(t->hooks.arg, plan->physical);
	const struct port_ctl *c = weft_map_get(t->ports, plan->id);

	return trunk != NULL && plan->segment < TRUNK_VLANS &&
	       (c == NULL || is_elsewhere(c, trunk, plan->segment));
}

uint16_t weft_tables_uplink_put(struct tables *t, const struct plan_network *plan)
{
	struct trunk *trunk = t->hooks.trunk(t->hooks.arg, plan->physical);
	struct plan_port port = {.admin_up = true};
	struct port_ctl *c = weft_map_get(t->ports, plan->id);

	if (c != NULL && is_elsewhere(c, trunk, plan->segment))
		weft_tables_uplink_del(t, plan->id);
	if (trunk == NULL || plan->segment >= TRUNK_VLANS)
		return NATIVE_NO_PORT;
	memcpy(port.id, plan->id, sizeof(port.id));
	memcpy(port.network_id, plan->id, sizeof(port.network_id));
	weft_tables_port_put(t, &port, PORT_UPLINK);
	c = weft_map_get(t->ports, plan->id);
	if (c->trunk == NULL)
		strcpy(c->port->reason, "the device of its physical network is not attached");
	c->trunk = trunk;
	c->vlan = (uint16_t)plan->segment;
	return c->port->index;
}

void weft_tables_uplink_del(struct tables *t, const char *network_id)
{
	const struct port_ctl *c = weft_map_get(t->ports, network_id);

	if (c != NULL && c->port->role == PORT_UPLINK)
		weft_tables_port_del(t, network_id);
}
