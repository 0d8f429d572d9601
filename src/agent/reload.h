// SPDX-License-Identifier: Apache-2.0
// Reload (SIGHUP): what of a changed configuration file can be taken up while packets flow, and a
// sentence about the rest.
//
// Taken up are [node] log, and [api] tokens, tls_cert and tls_key, with what is in these files now.
// A file that is wrong, or that names something wrong, changes nothing.
//
// Threads    one (the control thread)
#pragma once

#include "agent/config.h"
#include "north/api/api.h"

struct reload {
	const char *path; // the file; NULL: weftd runs with the defaults
	struct config *config;
	struct api *api;
};

// 0, or -errno and a line in the log that says why nothing changed. What was taken up is in the
// config.
int weft_reload(const struct reload *r);
