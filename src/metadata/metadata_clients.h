// SPDX-License-Identifier: Apache-2.0
// Clients: the connections that the proxy has, how long each may take, and which one gives way
// when all places are taken.
//
// Connections are few, and VMs are not to be trusted with time: one that sends its request a byte
// at a time would keep its place for ever, and a few of them together all places there are. So a
// connection has request_ms, from when it is accepted and again from the end of each answer,
// until a whole request is there; and connection_ms in all.
//
// When no place is free, a new connection takes one: of those that wait between two requests, if
// there are any; else of the port that has most, as long as that is more than the new one's port
// has (one more still, if it is being answered, so that ports do not take turns at each other's
// answers). Among those of one port whoever is still sending goes first, and then who has been at
// it longest. So a VM with few connections gets in at once, whatever other VMs do together.
//
// A connection that has to end is shut down; its thread sees that, ends it, and until then it
// counts no more.
//
// Threads    any
// Ownership  a client belongs to its connection: from open to close
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum metadata_phase {
	CLIENT_SENDS,	 // a request that is not whole yet
	CLIENT_WAITS,	 // between two requests
	CLIENT_ANSWERED, // its request is under way
};

struct metadata_limits {
	unsigned int connections, port_requests;
	uint32_t request_ms, connection_ms;
};

struct metadata_source; // one port's connections

struct metadata_client { // who opened a connection
	struct in_addr source;
	// Of the port, at that time (metadata_directory.h); 0 = nobody who is known.
	uint64_t serial;
	uint64_t opened_ms;
	_Atomic bool ends; // it has to: whoever works for it gives up
	// metadata_clients.c only:
	int fd;
	enum metadata_phase phase;
	// It has been so; the time that a request takes counts from the end of the last one.
	uint64_t since_ms;
	struct metadata_source *port;
	TAILQ_ENTRY(metadata_client) in_list;
};

struct metadata_clients;

struct metadata_clients *weft_metadata_clients_new(const struct metadata_limits *limits);
void weft_metadata_clients_free(struct metadata_clients *cs); // all have been closed

// Is there a place for one more connection from this source? *gave_way: because another has to
// end for it.
bool weft_metadata_clients_admit(struct metadata_clients *cs, struct in_addr source,
				 bool *gave_way);
// fd stays the caller's, and open until after close.
struct metadata_client *weft_metadata_client_open(struct metadata_clients *cs,
						  struct in_addr source, uint64_t serial, int fd,
						  uint64_t now_ms);
void weft_metadata_client_close(struct metadata_clients *cs, struct metadata_client *c);

// A request begins; it is whole and goes on, if the port has not port_requests of them under way;
// it is over, however it ended.
void weft_metadata_client_sends(struct metadata_clients *cs, struct metadata_client *c);
bool weft_metadata_client_enter(struct metadata_clients *cs, struct metadata_client *c,
				uint64_t now_ms);
void weft_metadata_client_leave(struct metadata_clients *cs, struct metadata_client *c,
				uint64_t now_ms);

// Who has taken longer than the limits allow ends. Returns how many.
unsigned int weft_metadata_clients_expire(struct metadata_clients *cs, uint64_t now_ms);
// All end, and whoever comes.
void weft_metadata_clients_end(struct metadata_clients *cs);
