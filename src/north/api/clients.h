// SPDX-License-Identifier: Apache-2.0
// Clients: the connections to one listening socket of the API, how long each may take, and which
// one gives way.
//
// Anybody who reaches the socket can open connections and send a byte now and then. So places are
// limited, in all and for each peer, and time is: a request's head and body have a time in all, not
// from one byte to the next. A new connection always gets in. When there is no place for it,
// another one ends: of the new one's own peer if that has all it may have, else of the peer that
// has most. Among those, in this order, and of equals the one that has been at it longest:
//
//   1. whoever has not yet said who he is: its first request is not whole
//   2. known clients between two requests
//   3. known clients that are still sending a request
//   4. those that take their answer
//
// A connection that has to end is shut down; the server sees that and closes it, and until then it
// counts no more.
//
// Threads    one (the control thread)
// Ownership  a client belongs to its list: from add to remove
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

// Who: an IPv4 address, the first 64 bits of an IPv6 address (a host has as many addresses as it
// likes), or a local user.
struct client_peer {
	uint8_t family; // 4, 6, or 0: a user
	uint8_t b[8];
};

struct client_group { // the connections of one peer
	TAILQ_ENTRY(client_group) in_list;
	struct client_peer peer;
	unsigned n;	 // that do not end
	unsigned in_all; // with those that do
};

enum client_phase {
	CLIENT_HEAD,   // waits, or its request's head is not whole
	CLIENT_BODY,   // its body is not whole
	CLIENT_ANSWER, // takes the answer
};

struct client {
	TAILQ_ENTRY(client) in_list;
	struct client_group *group;
	int fd; // the server's
	enum client_phase phase;
	bool known;	   // a request of its own was let in
	bool ends;	   // it was shut down
	uint64_t since_ms; // when the phase began
};

struct clients {
	TAILQ_HEAD(client_list, client) list;
	TAILQ_HEAD(, client_group) groups;
	unsigned n;		// that do not end
	unsigned max, per_peer; // at least 1
};

// The time that each phase may take in all, milliseconds.
// From the end of the answer before, or from the TLS handshake's begin.
#define CLIENT_HEAD_MS	 60000
#define CLIENT_BODY_MS	 60000
#define CLIENT_ANSWER_MS 300000

void weft_clients_init(struct clients *cs, unsigned max, unsigned per_peer);
void weft_clients_fini(struct clients *cs);

// Who is at the other end of a connected socket. from: what accept() said.
struct client_peer weft_client_peer(int fd, const struct sockaddr *from);

// Make room for one more connection of this peer: 0, or 1 when another one was shut down for it.
unsigned weft_clients_make_room(struct clients *cs, const struct client_peer *peer);
struct client *weft_clients_add(struct clients *cs, const struct client_peer *peer, int fd,
				uint64_t now_ms);
// The one that has this descriptor and does not end; NULL = none.
struct client *weft_clients_get(struct clients *cs, int fd);
void weft_clients_remove(struct clients *cs, struct client *c);

void weft_client_enters(struct client *c, enum client_phase phase, uint64_t now_ms);

// Shut down who has taken too long. Returns how many.
unsigned weft_clients_expire(struct clients *cs, uint64_t now_ms);
