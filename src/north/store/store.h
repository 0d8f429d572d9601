// SPDX-License-Identifier: Apache-2.0
// Store: where the model's objects survive. One call writes one transaction's changes, durably,
// or nothing.
//
// Threads    one (the control thread)
// Errors     0 or -errno; err says which file and what an operator can do
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/model.h"

struct store;

// Open or create; `path` is the SQLite file. Refuses a file of a newer schema.
int weft_store_open(const char *path, struct store **out, struct err *err);
void weft_store_close(struct store *s);

// A copy of everything stored, made while it is in use and whole: a state file by itself, in
// place of any that is there. *path (PATH_MAX bytes) is where it is: the state file's name with
// "-backup" behind.
int weft_store_backup(struct store *s, char *path, struct err *err);

// Every stored object into the model; *n = how many. What is damaged, or refers to what is not
// there, is left out (weft_model_left_out), and stays stored. It fails only if the file cannot be
// read.
int weft_store_load(struct store *s, struct model *m, size_t *n, struct err *err);

// Delete what is stored of that type and id, as weft_store_write does. -ENOENT: there is no such
// thing.
int weft_store_remove(struct store *s, enum resource type, const char *id, struct err *err);

// Durable when it returns 0; nothing is written otherwise, nor will a crash bring it back.
// -EINPROGRESS: neither is sure, because the disk took the transaction, then failed, and could
// not be made to forget it. Nothing else is written until it can.
int weft_store_write(struct store *s, const struct model_change *changes, size_t n,
		     struct err *err);
