// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/port_io.h"

_Thread_local uint16_t weft_thread_number;
