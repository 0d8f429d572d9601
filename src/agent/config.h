// SPDX-License-Identifier: Apache-2.0
// Configuration: an INI file whose every key is one line of one table (config_keys.c). The table
// drives the parser, what an error says is allowed, and the manual page.
//
//   [section]
//   key = value        ; a comment begins at the start of a line, or after a blank, with ; or #
//
// Everything has a default, so no file is needed. What the parser does not know it refuses: a
// misspelt key must not silently mean its default.
//
// Ownership  struct config owns its texts (weft_config_fini)
// Errors     -EINVAL, and err says "FILE:LINE: what is wrong and what is allowed"; -errno when
//            the file cannot be read
// Threads    any
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "metadata/metadata.h"
#include "base/err.h"
#include "base/log.h"
#include "datapath/datapath.h"
#include "north/api/api.h"

struct config {
	// [node]
	char *host, *run_dir, *state_dir;
	uint32_t log; // enum log_level
	uint32_t global_physnet_mtu;
	// [api]
	char *listen, *socket, *socket_group, *tokens, *tls_cert, *tls_key;
	uint32_t auth; // enum api_auth
	// [store]
	uint32_t store;
	char *endpoints;
	// [datapath]
	uint32_t type, firewall, vif, vhostuser_mode;
	char *vhostuser_group;
	char *cores;
	uint32_t workers, poll, idle_us, priority, tap_ring, sessions, port_share, project_share;
	uint32_t hugepages, tcp_loose;
	struct datapath_timeouts timeouts;
	// [metadata]
	char *metadata_url, *metadata_secret_file;
	uint32_t metadata_timeout;
	// [physical], in the file's order; the names again by themselves
	size_t n_physical;
	struct datapath_physical *physical;
	const char **physical_names;
	// [tunnel]
	char *local_ip, *tunnel_device;
};

// The defaults, then what the text says (NULL, 0: nothing). `name` is for messages. On failure *c
// is empty.
int weft_config_parse(const char *name, const char *text, size_t len, struct config *c,
		      struct err *err);
// The same from a file; path NULL: the defaults alone.
int weft_config_read(const char *path, struct config *c, struct err *err);

// For --check-config: everything that is wrong, a sentence for each: first what the file says,
// and if it can be read at all, what this machine has not (config_check.c): cores, memory, files.
// Returns how many.
typedef void (*config_complain)(void *arg, const char *sentence);
size_t weft_config_check(const char *path, config_complain complain, void *arg);
// Of that, the parts: read on after a mistake; err has the last one. What a whole configuration
// needs of this machine.
int weft_config_read_on(const char *path, struct config *c, config_complain complain, void *arg,
			struct err *err);
void weft_config_fini(struct config *c);

// The datapath's, the API's and the metadata service's share of it; they borrow from c.
struct datapath_config weft_config_datapath(const struct config *c);
struct api_config weft_config_api(const struct config *c);
struct metadata_config weft_config_metadata(const struct config *c);
const char *weft_config_vif(const struct config *c);		// "tap"
const char *weft_config_vhostuser_mode(const struct config *c); // "client" | "server"
// The number of a group that is given by its name or its number; empty: -1. -ENOENT: there is none.
int weft_config_group(const char *name, gid_t *out);

// The manual page weftd(8), in roff.
void weft_config_man(struct text *out);
