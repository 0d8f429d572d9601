// SPDX-License-Identifier: Apache-2.0
#include "tests/stress/play.h"

static json_t *counts_json(const uint64_t n[STAMPS])
{
	return json_pack("[I,I,I]", (json_int_t)n[STAMP_ALLOWED], (json_int_t)n[STAMP_FORBIDDEN],
			 (json_int_t)n[STAMP_CHANGING]);
}

static json_t *class_json(const struct class *c)
{
	return json_pack("{s:s,s:i,s:i,s:b,s:o,s:o,s:o,s:o,s:I,s:I}", "name", c->name, "from",
			 c->from, "target", c->target, "steady", c->steady, "sent",
			 counts_json(c->count[0].sent), "seen", counts_json(c->count[0].seen),
			 "answers_sent", counts_json(c->count[1].sent), "answers_seen",
			 counts_json(c->count[1].seen), "first_sent", (json_int_t)c->first_sent,
			 "first_seen", (json_int_t)c->first_seen);
}

static json_t *vm_json(const struct vm *v)
{
	json_t *o = json_pack("{s:s,s:o,s:o}", "name", v->name, "sent", counts_json(v->sent),
			      "seen", counts_json(v->seen));
	const struct {
		const char *name;
		uint64_t n;
	} rest[] = {
		{"arrived", v->arrived},
		{"asked", v->asked},
		{"answered", v->answered},
		{"icmp_errors", v->icmp_errors},
		{"adverts", v->adverts},
		{"never_taken", v->never_taken},
		{"late", v->late},
		{"ring_full", v->ring_full},
		{"connections", v->connections},
		{"disorders", v->disorders},
	};

	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		json_object_set_new(o, rest[i].name, json_integer((json_int_t)rest[i].n));
	return o;
}

json_t *play_report(struct play *p)
{
	json_t *vms = json_array(), *classes = json_array();

	for (unsigned int i = 0; i < p->n_vms; i++)
		json_array_append_new(vms, vm_json(&p->vms[i]));
	for (unsigned int i = 0; i < p->n_classes; i++)
		json_array_append_new(classes, class_json(&p->classes[i]));
	return json_pack("{s:o,s:o,s:I,s:O,s:I,s:I,s:I}", "vms", vms, "classes", classes, "errors",
			 (json_int_t)p->errors, "told", p->told, "copies", (json_int_t)p->copies,
			 "connections", (json_int_t)p->connections, "abandoned",
			 (json_int_t)p->abandoned);
}
