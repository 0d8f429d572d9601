// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/metadata_port.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "datapath/native/policy/tables_priv.h"

#define MTU	   1500
#define INDEX_BITS 14

_Static_assert(NATIVE_MAX_PORTS == 1 << INDEX_BITS, "an index has its bits in a source");

rte_be32_t weft_metadata_source(uint16_t index, uint32_t n)
{
	return rte_cpu_to_be_32(0x64400000 | (n & 0xff) << INDEX_BITS | (uint32_t)(index + 1));
}

// ---- The interface -------------------------------------------------------------------------

struct opening { // for the thread that goes there
	const struct datapath_metadata *way;
	struct rte_mempool *pool;
	struct port_io *io;
	struct err *err;
	int ret;
};

static void *open_there(void *arg)
{
	struct opening *o = arg;

	if (setns(o->way->netns, CLONE_NEWNET) != 0)
		o->ret = weft_fail(o->err, -errno, "its network namespace cannot be entered: %s",
				   strerror(errno));
	else
		o->ret = weft_tap_open_apart(o->way->ifname, MTU, o->pool, &o->io, o->err);
	return NULL;
}

// By a thread of its own: the one that calls stays in its namespace whatever happens.
static int open_interface(struct native *dp, const struct datapath_metadata *way,
			  struct port_io **out, struct err *err)
{
	struct opening o = {.way = way, .pool = dp->node.pool, .err = err};
	sigset_t all, before;
	pthread_t thread;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the control thread's
	ret = pthread_create(&thread, NULL, open_there, &o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret != 0)
		return weft_fail(err, -ret, "no thread can be made: %s", strerror(ret));
	pthread_join(thread, NULL);
	*out = o.io;
	return o.ret;
}

// ---- The port ------------------------------------------------------------------------------

// A network of which nothing else is a part.
static void network_put(struct tables *t)
{
	struct network *n = weft_tables_alloc(sizeof(*n));

	*n = (struct network) {.mtu = MTU, .uplink = NATIVE_NO_PORT};
	strcpy(n->id, METADATA_PORT_ID);
	n->index = weft_tables_network_index(t, n->id);
	weft_vmap_put(t->node->networks, n->id, n);
}

void weft_metadata_put(struct native *dp, struct port_io *io, const struct mac_addr *here,
		       const struct mac_addr *there)
{
	struct plan_port plan = {
		.id = METADATA_PORT_ID, .network_id = METADATA_PORT_ID, .admin_up = true};
	struct port *p;

	network_put(dp->tables);
	weft_tables_port_put(dp->tables, &plan, PORT_METADATA);
	weft_tables_commit(dp->tables);
	p = weft_tables_port(dp->tables, METADATA_PORT_ID);
	p->reason[0] = '\0';
	atomic_store_explicit(&p->io, io, memory_order_release);
	memcpy(dp->node.metadata_eth, there->b, 6);
	memcpy(dp->node.metadata_eth + 6, here->b, 6);
	weft_workers_set_ports(dp);
	atomic_store_explicit(&dp->node.metadata_port, p->index, memory_order_release);
}

int weft_metadata_open(struct native *dp, const struct datapath_metadata *way, struct err *err)
{
	struct port_io *io;
	int ret;

	if (weft_tables_port(dp->tables, METADATA_PORT_ID) == NULL &&
	    weft_tables_room(dp->tables) == 0)
		return weft_fail(err, -ENOSPC,
				 "metadata: this node has its limit of %d ports, and the way to "
				 "the proxy is one",
				 NATIVE_MAX_PORTS - 1);
	ret = open_interface(dp, way, &io, err);
	if (ret == 0)
		weft_metadata_put(dp, io, &way->here, &way->there);
	return ret;
}
