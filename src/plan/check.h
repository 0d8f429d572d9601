// SPDX-License-Identifier: Apache-2.0
// Check: can an object of the model be planned by itself? For stored objects, which nobody can
// refuse any more.
//
// Errors     -EINVAL, and err says what is wrong with it
// Threads    any
#pragma once

#include "base/err.h"
#include "model/model.h"

int weft_plan_check(const struct model *m, const struct object *o, struct err *err);
