// SPDX-License-Identifier: Apache-2.0
// Floating IPs: what the other resources ask of them.
//
// Threads    one (the control thread)
#pragma once

#include "base/err.h"
#include "model/model.h"
