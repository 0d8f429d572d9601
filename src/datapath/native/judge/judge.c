// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/judge/judge.h"

#include <stdarg.h>
#include <stdio.h>

const struct stage weft_stages[] = {
	{"admit", weft_stage_admit},	   {"anti-spoof", weft_stage_spoof},
	{"service", weft_stage_service},   {"egress", weft_stage_egress},
	{"metadata", weft_stage_metadata}, {"route", weft_stage_route},
	{"switch", weft_stage_switch},	   {"ingress", weft_stage_ingress},
};

const size_t weft_n_stages = sizeof(weft_stages) / sizeof(weft_stages[0]);

static void note(json_t *record, const char *stage, const char *verdict, const char *rule,
		 const char *detail)
{
	json_array_append_new(record, json_pack("{s:s,s:s,s:s,s:s?}", "stage", stage, "verdict",
						verdict, "detail", detail, "rule", rule));
}

void weft_judge_note(struct judge *j, const char *stage, const char *verdict, const char *rule,
		     const char *fmt, ...)
{
	char detail[256];
	va_list ap;

	if (j->record == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	note(j->record, stage, verdict, rule, detail);
}

void weft_judge(struct judge *j)
{
	// Until a stage says otherwise: whatever falls off the end of the list is dropped.
	j->verdict = VERDICT_DROP;
	j->why = DROP_INTERNAL;

	for (size_t i = 0; i < weft_n_stages; i++) {
		if (weft_stages[i].run(j) == STAGE_NEXT)
			continue;
		if (j->verdict == VERDICT_DROP && j->record != NULL)
			note(j->record, weft_stages[i].name, "drop", NULL,
			     weft_drop_sentence(j->why));
		return;
	}
}
