// SPDX-License-Identifier: Apache-2.0
// The store's own structure, shared by sqlite.c and backup.c.
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "north/store/store.h"
#include "north/store/witness.h"

struct store {
	sqlite3 *db;
	sqlite3_stmt *put;
	sqlite3_stmt *del;
	char *path;
	struct witness *witness;
	uint64_t last; // number of the last transaction
	bool in_doubt; // the log may have a transaction that was refused
};
