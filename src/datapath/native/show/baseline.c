// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/baseline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/packet/counter.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/show.h"

#define WORDS(s) (sizeof(s) / sizeof(uint64_t))

void weft_native_since(uint64_t *counters, const uint64_t *base, size_t n)
{
	// Two workers that write one counter may lose a count.
	for (size_t i = 0; i < n; i++)
		counters[i] = counters[i] > base[i] ? counters[i] - base[i] : 0;
}

static struct port_stats sum_of(const struct native *dp, const struct port *p)
{
	struct port_stats sum = {0};

	for (uint16_t i = 0; i < dp->n_workers; i++) {
		const uint64_t *s = (const uint64_t *)&dp->workers[i]->port_stats[p->index];

		for (size_t k = 0; k < WORDS(sum); k++)
			((uint64_t *)&sum)[k] += COUNTED(s[k]);
	}
	return sum;
}

static uint32_t drops_of(const struct native *dp, const struct port *p, enum drop reason)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < dp->n_workers; i++)
		n += COUNTED(dp->workers[i]->port_drops[p->index][reason]);
	return n;
}

struct port_stats weft_native_port_stats(const struct native *dp, const struct port *p)
{
	struct port_stats sum = sum_of(dp, p);

	if (p->baseline != NULL)
		weft_native_since((uint64_t *)&sum, (const uint64_t *)&p->baseline->stats,
				  WORDS(sum));
	return sum;
}

uint32_t weft_native_port_drops(const struct native *dp, const struct port *p, enum drop reason)
{
	uint32_t n = drops_of(dp, p, reason);

	return p->baseline == NULL ? n : n - p->baseline->drops[reason];
}

uint64_t weft_native_drops(const struct native *dp, enum drop reason)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < dp->n_workers; i++)
		sum += COUNTED(dp->workers[i]->drops[reason]);
	return sum;
}

// Each of its counters by itself; the worker goes on counting.
struct worker_stats weft_native_worker_stats(const struct worker *w)
{
	const uint64_t *from = (const uint64_t *)&w->stats;
	struct worker_stats stats;

	_Static_assert(sizeof(stats) % sizeof(uint64_t) == 0, "counters only");
	for (size_t i = 0; i < WORDS(stats); i++)
		((uint64_t *)&stats)[i] = COUNTED(from[i]);
	return stats;
}

void weft_native_reset_json(const struct native *dp, bool was_reset, uint32_t at_ms, json_t *o)
{
	json_object_set_new(o, "counters_reset_ago_ms",
			    was_reset ? json_integer(native_now_ms(&dp->node) - at_ms)
				      : json_null());
}

// ---- Reset ---------------------------------------------------------------------------------

static int reset_port(struct native *dp, struct port *p)
{
	const struct port_io *io = atomic_load(&p->io);

	if (p->baseline == NULL)
		p->baseline = calloc(1, sizeof(*p->baseline));
	if (p->baseline == NULL)
		return -ENOMEM;
	p->baseline->at_ms = native_now_ms(&dp->node);
	p->baseline->stats = sum_of(dp, p);
	for (int r = 0; r < DROP_COUNT; r++)
		p->baseline->drops[r] = drops_of(dp, p, (enum drop)r);
	p->baseline->io = (struct port_io_stats) {0};
	if (io != NULL)
		io->ops->stats((struct port_io *)io, &p->baseline->io);
	return 0;
}

static int reset_all(struct native *dp)
{
	int ret = 0;

	if (dp->baseline == NULL)
		dp->baseline = calloc(1, sizeof(*dp->baseline));
	if (dp->baseline == NULL)
		return -ENOMEM;
	dp->baseline->at_ms = native_now_ms(&dp->node);
	for (int r = 0; r < DROP_COUNT; r++)
		dp->baseline->drops[r] = weft_native_drops(dp, (enum drop)r);
	dp->baseline->losses = weft_native_losses(dp);
	for (uint16_t i = 0; i < dp->n_workers; i++)
		dp->baseline->workers[i] = weft_native_worker_stats(dp->workers[i]);
	for (uint32_t i = 0; i < NATIVE_MAX_PORTS && ret == 0; i++)
		if (native_port(&dp->node, (uint16_t)i) != NULL)
			ret = reset_port(dp, native_port(&dp->node, (uint16_t)i));
	return ret;
}

int weft_native_reset_counters(struct native *dp, const char *port_id, struct err *err)
{
	struct port *p = port_id == NULL ? NULL : weft_tables_port(dp->tables, port_id);
	int ret;

	if (port_id != NULL && p == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", port_id);
	ret = p != NULL ? reset_port(dp, p) : reset_all(dp);
	return ret == 0 ? 0 : weft_fail(err, ret, "no memory to remember the counters");
}
