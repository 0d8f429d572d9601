// SPDX-License-Identifier: Apache-2.0
// As datapath_ops.check.
#pragma once

#include "datapath/datapath.h"

void weft_native_check(const struct datapath_config *config, datapath_complain complain, void *arg);
