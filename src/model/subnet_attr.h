// SPDX-License-Identifier: Apache-2.0
// The table of a subnet's attributes and the readers of those that have a form of their own.
#pragma once

#include "model/attr.h"

extern const struct attr weft_subnet_attrs[];
