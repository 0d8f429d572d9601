// SPDX-License-Identifier: Apache-2.0
// Vhost guard: memory that a front end shares may lose its pages at any moment, and weftd must not
// die of that.
//
// Whoever has the file can make it shorter. What was mapped and is there no more is SIGBUS for the
// thread that touches it next, a worker as a rule. The handler puts empty memory of our own in the
// place of the whole mapping, marks its owner, and wakes the thread that ends connections
// (vhost_loop.c): the worker goes on and finds zeros. A file that can be sealed is sealed
// (vhost_memory.c), so this is for all others.
//
// SIGBUS anywhere else is what it was before: the end.
//
// Threads    add and remove: under the loop's lock; the handler: any, and it calls nothing but
//            mmap, write and sigaction
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// Before anything is added, and after all is removed. wake: an eventfd, written to when an owner is
// marked. -errno.
int weft_vhost_guard_start(int wake);
void weft_vhost_guard_stop(void);
// *hit becomes true when memory is missing; it must live until the range is removed. Its number, or
// -ENOSPC.
int weft_vhost_guard_add(void *at, size_t len, _Atomic bool *hit);
// Before the memory is unmapped; nobody touches it any more.
void weft_vhost_guard_remove(int number);
