// SPDX-License-Identifier: Apache-2.0
// What each command of the table does. 0, or -errno with err set.
#pragma once

#include "cli/commands.h"

int weft_run_show_ports(const struct invocation *in, struct err *err);
int weft_run_show_port(const struct invocation *in, struct err *err);
int weft_run_show_networks(const struct invocation *in, struct err *err);
int weft_run_show_groups(const struct invocation *in, struct err *err);
int weft_run_show_routers(const struct invocation *in, struct err *err);
int weft_run_show_floatingips(const struct invocation *in, struct err *err);
int weft_run_show_nat(const struct invocation *in, struct err *err);
int weft_run_show_neighbours(const struct invocation *in, struct err *err);
int weft_run_show_uplinks(const struct invocation *in, struct err *err);
int weft_run_show_topology(const struct invocation *in, struct err *err);
int weft_run_show_sessions(const struct invocation *in, struct err *err);
int weft_run_show_drops(const struct invocation *in, struct err *err);
int weft_run_show_metadata(const struct invocation *in, struct err *err);
int weft_run_show_left_out(const struct invocation *in, struct err *err);
int weft_run_show_workers(const struct invocation *in, struct err *err);
int weft_run_set_log(const struct invocation *in, struct err *err);
int weft_run_trace(const struct invocation *in, struct err *err);
int weft_run_trace_live(const struct invocation *in, struct err *err);
int weft_run_explain(const struct invocation *in, struct err *err);
int weft_run_flush_sessions(const struct invocation *in, struct err *err);
int weft_run_reset_counters(const struct invocation *in, struct err *err);
int weft_run_store_remove(const struct invocation *in, struct err *err);
int weft_run_watch_drops(const struct invocation *in, struct err *err);
int weft_run_store_backup(const struct invocation *in, struct err *err);
int weft_run_wait_ready(const struct invocation *in, struct err *err);
int weft_run_completion(const struct invocation *in, struct err *err);
int weft_run_man(const struct invocation *in, struct err *err);

// An option's value, if it is given. -EDOM: it is no number, or less than `least`.
int weft_run_number(const char *option, const char *text, double least, double *out,
		    struct err *err);
