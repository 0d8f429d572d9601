// SPDX-License-Identifier: Apache-2.0
// Quotas: how many objects of a kind a project may have. -1 is no limit, which is what a project
// has that nobody gave one.
//
// Limits are those of requests: what the model makes by itself (default groups, routers' ports)
// counts, but is not refused.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/model.h"

// The limits of a project, by the names of the resources; "" = those of a project without its own
// (new reference).
json_t *weft_quota_limits(const struct model *m, const char *project_id);

// May the project have `more` objects of this type? -EBUSY (OverQuota) when not.
int weft_quota_check(const struct model *m, enum resource type, const char *project_id, size_t more,
		     struct err *err);

// Give a project limits of its own, or other ones; body has some of the names.
int weft_txn_quota_set(struct txn *t, const struct caller *who, const char *project_id,
		       const json_t *body, struct err *err);
// Take them away. -ENOENT when it has none of its own.
int weft_txn_quota_reset(struct txn *t, const struct caller *who, const char *project_id,
			 struct err *err);
