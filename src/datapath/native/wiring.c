// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/wiring.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/native/metadata_port.h"
#include "datapath/native/outside/advertise.h"
#include "datapath/native/outside/announce.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/live_watch.h"
#include "datapath/native/uplink_device.h"

static void made(void *arg, struct port *p, uint32_t before)
{
	struct native *dp = arg;

	p->metadata_source = weft_metadata_source(p->index, before);
	p->worker = (uint16_t)(p->index % dp->n_workers);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->workers[i];

		memset(&w->port_stats[p->index], 0, sizeof(w->port_stats[0]));
		memset(&w->port_drops[p->index], 0, sizeof(w->port_drops[0]));
	}
}

static struct trunk *trunk(void *arg, const char *physical)
{
	return weft_trunk_find(arg, physical);
}

static bool is_asked(void *arg, const struct neighbour_key *key)
{
	const struct native *dp = arg;

	return dp->node.resolver != NULL && weft_resolver_has(dp->node.resolver, key);
}

static void advertise(void *arg, uint32_t network, const struct adverts *old,
		      const struct adverts *new, struct campaign **campaign)
{
	struct native *dp = arg;

	weft_advertise_change(dp->advertiser, network, old, new, campaign);
}

void weft_wiring_new(struct native *dp, void (*detach)(void *native, struct port *p))
{
	struct tables_hooks hooks = {
		.arg = dp,
		.made = made,
		.detach = detach,
		.trunk = trunk,
		.is_asked = is_asked,
		.advertise = advertise,
	};

	dp->advertiser = weft_advertiser_new(&dp->node);
	dp->tables = weft_tables_new(&dp->node, &hooks);
	dp->node.resolver = weft_resolver_new(&dp->node);
	dp->node.announcer = weft_announcer_new(&dp->node);
}

void weft_wiring_free(struct native *dp)
{
	if (dp->tables == NULL)
		return;
	weft_native_watch_stop(dp);
	free(dp->baseline);
	weft_resolver_free(dp->node.resolver);
	weft_announcer_free(dp->node.announcer);
	weft_advertiser_free(dp->advertiser);
	weft_vstore_reclaim(dp->node.vs);
	weft_tables_free(dp->tables);
	dp->tables = NULL;
}
