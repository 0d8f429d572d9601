// SPDX-License-Identifier: Apache-2.0 Projects: each has a number among those that have ports here,
// by which the session table counts for it (session.h).
#include "datapath/native/policy/tables_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct project_ctl {
	char id[sizeof(((struct plan_port *)0)->project_id)];
	uint16_t number; // 1 to NATIVE_MAX_PORTS
	uint32_t ports;	 // indexes that are its, those included that wait to be used again
};

void weft_tables_projects_new(struct tables *t)
{
	t->projects = weft_map_new();
}

void weft_tables_projects_free(struct tables *t)
{
	for (struct map_entry *e = weft_map_first(t->projects); e != NULL; e = weft_map_next(e))
		free(weft_map_value(e));
	weft_map_free(t->projects);
}

// There are as many numbers as ports, so one is free.
static uint16_t number_take(struct tables *t)
{
	do
		t->last_project = t->last_project % NATIVE_MAX_PORTS + 1;
	while (t->project_used[t->last_project]);
	t->project_used[t->last_project] = true;
	return t->last_project;
}

static struct project_ctl *project_make(struct tables *t, const char *id)
{
	struct project_ctl *p = weft_map_get(t->projects, id);

	if (p != NULL)
		return p;
	p = weft_tables_alloc(sizeof(*p));
	p->number = number_take(t);
	snprintf(p->id, sizeof(p->id), "%s", id);
	weft_map_put(t->projects, id, p);
	return p;
}

void weft_tables_project_set(struct tables *t, uint16_t port, const char *id)
{
	struct project_ctl *old = t->project_of[port], *new = NULL;

	if (id[0] != '\0') {
		new = project_make(t, id);
		new->ports++;
	}
	t->project_of[port] = new;
	weft_session_port_project(t->node->sessions, port, new == NULL ? 0 : new->number);
	if (old == NULL || --old->ports > 0)
		return;
	t->project_used[old->number] = false;
	weft_map_del(t->projects, old->id);
	free(old);
}
