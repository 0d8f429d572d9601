// SPDX-License-Identifier: Apache-2.0
// A session table with one worker, filled by the number of the connection.
#pragma once

#include "datapath/native/testing/session_fixture.h"

struct fixture {
	struct session_table *t;
	struct session_worker *w;
	uint32_t next; // number of the next connection
};

static inline struct fixture start(uint32_t connections, uint32_t share)
{
	struct fixture f = {.t = fixture_table(connections, share, NULL)};

	f.w = weft_session_worker_new(f.t);
	return f;
}

static inline void stop(struct fixture *f)
{
	weft_session_worker_free(f->w);
	weft_sessions_free(f->t);
}

// One more UDP connection of a port.
static inline struct session *more(struct fixture *f, uint16_t port, bool answered, uint32_t now_ms)
{
	struct session_new n = fixture_new(4, IPPROTO_UDP, port, 60, f->next++);
	struct session *s = fixture_add(f->w, &n, now_ms);

	if (s != NULL && answered)
		fixture_answer(f->t, s);
	return s;
}

static inline void fill(struct fixture *f, uint16_t port, uint32_t n, bool answered,
			uint32_t now_ms)
{
	while (n-- > 0)
		assert_non_null(more(f, port, answered, now_ms));
}
