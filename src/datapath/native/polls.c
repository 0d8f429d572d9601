// SPDX-License-Identifier: Apache-2.0
// Who polls what.
#include "datapath/native/native.h"

#include <rte_common.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/outside/uplink.h"

static void count_shares(struct native *dp)
{
	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(&dp->node, (uint16_t)i);
		const struct port_io *io = p == NULL ? NULL : atomic_load(&p->io);
		uint16_t shares;

		if (p == NULL)
			continue;
		// What comes from a provider network comes through its trunk.
		if (io == NULL || p->role == PORT_UPLINK)
			shares = 0;
		else
			shares = RTE_MIN(port_io_shares(io), dp->n_workers);
		if (p->shares != shares) // workers read what lies beside it
			p->shares = shares;
	}
}

// list NULL: only count.
static uint16_t list_ports(struct native *dp, uint16_t worker, struct poll_list *list)
{
	uint16_t n = 0;

	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(&dp->node, (uint16_t)i);
		uint16_t share;

		if (p == NULL)
			continue;
		share = (uint16_t)((worker + dp->n_workers - p->worker) % dp->n_workers);
		if (share >= p->shares)
			continue;
		if (list != NULL)
			list->polls[n] = (struct poll) {.port = p, .share = share};
		n++;
	}
	return n;
}

static struct poll_list *make_list(struct native *dp, uint16_t worker)
{
	uint16_t n = list_ports(dp, worker, NULL);
	struct poll_list *list = calloc(1, sizeof(*list) + n * sizeof(list->polls[0]));

	if (list == NULL)
		abort();
	list->n = list_ports(dp, worker, list);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		if (weft_trunk_is_polled_by(dp->trunks[i], worker))
			list->trunks[list->n_trunks++] = dp->trunks[i];
	return list;
}

static bool is_same_list(const struct poll_list *a, const struct poll_list *b)
{
	if (a->n != b->n || a->n_trunks != b->n_trunks ||
	    memcmp(a->trunks, b->trunks, a->n_trunks * sizeof(a->trunks[0])) != 0)
		return false;
	for (uint16_t i = 0; i < a->n; i++)
		if (a->polls[i].port != b->polls[i].port || a->polls[i].share != b->polls[i].share)
			return false;
	return true;
}

void weft_workers_set_ports(struct native *dp)
{
	count_shares(dp);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->workers[i];
		struct poll_list *old = atomic_load(&w->polls), *list = make_list(dp, i);

		if (is_same_list(old, list)) {
			free(list);
			continue;
		}
		atomic_store_explicit(&w->polls, list, memory_order_release);
		weft_vstore_retire(dp->node.vs, old, free);
	}
}
