// SPDX-License-Identifier: Apache-2.0
// Limits of the native datapath that several rooms know.
#pragma once

#include <stdint.h>

#define NATIVE_MAX_PORTS   16384
#define NATIVE_MAX_WORKERS 32
#define NATIVE_NO_PORT	   UINT16_MAX
#define NATIVE_MAX_TRUNKS  32 // physical networks
#define NATIVE_BURST	   32 // packets
