// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/worker/priority.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <rte_cycles.h>

#include "base/log.h"
#include "datapath/native/worker/worker.h"

static int set_class(int class, uint32_t priority)
{
	const struct sched_param p = {.sched_priority = (int)priority};

	return pthread_setschedparam(pthread_self(), class, &p);
}

// The cores that this process may use and workers do not. False: there is none, or two workers
// are on one.
static bool cores_left(const int *cores, uint16_t n, const cpu_set_t *all, cpu_set_t *left)
{
	*left = *all;
	for (uint16_t i = 0; i < n; i++) {
		if (!CPU_ISSET((size_t)cores[i], left))
			return false;
		CPU_CLR((size_t)cores[i], left);
	}
	return CPU_COUNT(left) > 0;
}

static const char *obstacle(const struct node *node, const int *cores, uint16_t n, cpu_set_t *left)
{
	if (node->config.poll != DATAPATH_POLL_ADAPTIVE)
		return "poll = busy never rests";
	if (!cores_left(cores, n, &node->affinity, left))
		return "no core would be left for everything else";
	if (set_class(SCHED_FIFO, node->config.priority) != 0)
		return "this process may not have more (CAP_SYS_NICE)";
	set_class(SCHED_OTHER, 0);
	return NULL;
}

void weft_priority_prepare(struct node *node, const int *cores, uint16_t n)
{
	cpu_set_t left;
	const char *why;

	node->priority = 0;
	if (node->config.priority == 0 ||
	    pthread_getaffinity_np(pthread_self(), sizeof(node->affinity), &node->affinity) != 0)
		return;
	why = obstacle(node, cores, n, &left);
	if (why != NULL) {
		weft_log_info("workers run at normal priority: %s", why);
		return;
	}
	node->priority = node->config.priority;
	pthread_setaffinity_np(pthread_self(), sizeof(left), &left);
}

void weft_priority_finish(struct node *node)
{
	if (node->priority != 0)
		pthread_setaffinity_np(pthread_self(), sizeof(node->affinity), &node->affinity);
}

static void enter(struct worker *w)
{
	w->priority.rests = 0;
	w->priority.high = set_class(SCHED_FIFO, w->node->priority) == 0;
}

void weft_priority_begin(struct worker *w)
{
	w->priority.awake = rte_rdtsc();
	if (w->node->priority != 0)
		enter(w);
}

void weft_priority_leave(struct worker *w)
{
	w->priority.high = false;
	w->priority.rests = 0;
	set_class(SCHED_OTHER, 0);
}

void weft_priority_rested(struct worker *w, uint64_t clock)
{
	w->priority.awake = clock;
	if (w->node->priority != 0 && !w->priority.high && ++w->priority.rests >= PRIORITY_RESTS)
		enter(w);
}
