// SPDX-License-Identifier: Apache-2.0
// Host: what weftd asks of the system it runs on.
//
// Errors     0 or -errno; err is one sentence that says what an operator can do
// Threads    one (the control thread, at start and stop)
#pragma once

#include <sys/types.h>

#include "base/err.h"

// CAP_NET_ADMIN and CAP_NET_RAW are effective.
int weft_host_check_rights(struct err *err);

// Make the directory, and those above it, if missing; it must be writable. `key` is the
// configuration's, for messages.
int weft_host_directory(const char *key, const char *path, struct err *err);

// Let a group enter a directory, and if it may write make files in it, but not take away those of
// others.
enum host_share { HOST_SHARE_ENTER, HOST_SHARE_WRITE };
int weft_host_share(const char *path, gid_t group, enum host_share how, struct err *err);

// Let everybody pass through a directory to what he knows is in it.
int weft_host_pass(const char *path, struct err *err);

// One weftd a directory (`key` is the configuration's): a lock that ends with the process, so
// what is left of one that is gone does not matter. Waits for a predecessor that was killed and
// is about to be gone. *fd is to be closed at the end.
int weft_host_lock(const char *key, const char *dir, int *fd, struct err *err);

// Tell the service manager (sd_notify(3)); nothing happens without one.
void weft_host_notify(const char *state);
