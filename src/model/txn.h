// SPDX-License-Identifier: Apache-2.0
// Transactions from the inside: how the resources' rules make further changes in the one at hand.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>

#include "model/model.h"

struct model *weft_txn_model(const struct txn *t);

// Take attr over. The changed object gets the next revision and the time.
const struct object *weft_txn_insert(struct txn *t, enum resource type, json_t *attr);
const struct object *weft_txn_replace(struct txn *t, const struct object *old, json_t *attr);
void weft_txn_remove(struct txn *t, const struct object *o);
// Something that is part of the object has changed (a rule of a group, a subnet of a network): it
// gets its next revision, but not a second one if this transaction has made or changed it
// already. No such object: nothing to do.
void weft_txn_touch(struct txn *t, enum resource type, const char *id);

// A new object's attributes: defaults, a new id, times, revision, project (new reference).
json_t *weft_txn_new_attr(const struct txn *t, enum resource type, const char *project_id);
