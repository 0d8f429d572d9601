// SPDX-License-Identifier: Apache-2.0
// Metadata: 169.254.169.254 port 80, for every VM of this node that has IPv4, whatever its network.
//
//   VM -> datapath (its own source for each port) -> metadata_netns.h: the kernel's TCP ->
//   metadata_proxy.h: HTTP
//      -> metadata_upstream.h: the configured server            metadata_directory.h says who asks
//
// What cannot be set up is told once and shown; the node's other work goes on without it.
//
// Threads    the control thread; HTTP runs on threads of its own
// Ownership  borrows its configuration and the datapath
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "datapath/datapath.h"
#include "plan/plan.h"

struct metadata_config {
	const char *url; // "" = off
	const char *shared_secret_file;
	uint32_t timeout_s;
};

struct metadata;

// Is what the configuration names there? For --check-config.
int weft_metadata_check(const struct metadata_config *config, struct err *err);
// 0 also when it is off or does not run; only a configuration that is wrong fails (-errno).
int weft_metadata_start(const struct metadata_config *config, const struct datapath_ops *ops,
			struct datapath *dp, struct metadata **out, struct err *err);
void weft_metadata_stop(struct metadata *m); // before the datapath; NULL is allowed

// A batch is in force in the datapath. NULL is allowed.
void weft_metadata_plan_changed(struct metadata *m, const struct plan_batch *batch);

// {"configured": bool, "running": bool, "reason": why it does not run or "", "url", "signed":
// bool, "counts": [{what, count, sentence}], "last_failure", "last_failure_ago_ms"}; the last
// three only while it runs.
json_t *weft_metadata_show(const struct metadata *m);
void weft_metadata_metrics(const struct metadata *m, struct text *out);
