// SPDX-License-Identifier: Apache-2.0
// Trace: the real slow path with a recorder, on the control thread; nothing is sent, counted or
// remembered.
//
// Threads    control
// Errors     -ENOENT unknown port
#pragma once

#include "datapath/native/native.h"

int weft_native_trace(struct native *dp, const char *port_id, const uint8_t *frame, size_t len,
		      json_t **out, struct err *err);
