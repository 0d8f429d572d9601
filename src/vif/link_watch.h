// SPDX-License-Identifier: Apache-2.0
// Link watch: which interfaces exist in weftd's network namespace, by netlink (rtnetlink(7)).
//
// Only wanted names count: those of a tap's form, "tap" and 11 characters, and those of physical
// networks. A rename is the old name going and the new one coming; a name that comes back with
// another index is another interface. When the kernel had to drop notifications (ENOBUFS), or a
// dump was interrupted, everything is read again.
//
// Threads    one (the control thread)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LINK_NAME_LEN 14 // "tap" + 11

struct event_base;
struct link_watch;

// The interface `name` has this index; 0: it is gone.
typedef void (*link_changed)(void *arg, const char *name, int ifindex);

// Does the name count? The answer for a name must not change.
typedef bool (*link_wanted)(void *arg, const char *name);

// Reads what is there (changed() is called for each before this returns), then watches.
int weft_link_watch_start(struct event_base *loop, link_wanted wanted, link_changed changed,
			  void *arg, struct link_watch **out, struct err *err);
void weft_link_watch_stop(struct link_watch *w);

// "tap" and 11 characters?
bool weft_link_is_tap(const char *name);
