// SPDX-License-Identifier: Apache-2.0
// Claims: translated TCP connections that are picked up in the middle, as after a restart.
//
// Whoever had another port than its own, because that was taken, comes to its own one after a
// restart, if it is the first. Its packets then reach the other one's connection at the far end,
// and that one, finding its port taken, would take a third one, be reset, and die with it. So a
// port that was picked up is a claim until an answer proves it: one that acknowledges about what
// was sent. Until then
//   - an answer that acknowledges something else is not delivered, and the claim is disproved;
//   - another connection that is picked up with the same first choice waits (it would be reset by
//     any other port);
//   - if the claim is disproved, that one takes its place.
// So who had its own port keeps it. The other one's is lost: its connection ends when it is found
// in use, or by its far end's RST. Datagrams have nothing that would tell whose they are.
#include <string.h>

#include "datapath/native/session/nat.h"
#include "datapath/native/carry/slow_session.h"
#include "datapath/frames/numbers.h"

#define ACK 0x10

#define SEQUENCE	4 // where they are in the header
#define ACKNOWLEDGEMENT 8

// More than what is ever on its way, in either direction, and so little of all numbers that chance
// proves one in 64.
#define IN_FLIGHT (INT32_C(1) << 25)

static uint32_t number_at(const uint8_t *frame, const struct packet *p, size_t offset)
{
	rte_be32_t number;

	memcpy(&number, frame + p->l4 + offset, sizeof(number));
	return rte_be_to_cpu_32(number);
}

// Beside the reply's counters, which are not used before its first packet.
static uint32_t *sent_of(struct session *original)
{
	return &weft_session_peer(original)->bytes_low;
}

void weft_slow_claim(struct session *original, const uint8_t *frame, const struct packet *p)
{
	__atomic_store_n(sent_of(original), number_at(frame, p, SEQUENCE), __ATOMIC_RELAXED);
}

enum drop weft_slow_check_claim(struct session *s, const uint8_t *frame, const struct packet *p)
{
	struct session *original = weft_session_original(s);
	uint32_t sent = __atomic_load_n(sent_of(original), __ATOMIC_RELAXED);
	int32_t distance;

	if (s == original) {
		weft_slow_claim(original, frame, p);
		return DROP_NONE;
	}
	// A RST that acknowledges nothing repeats the sender's own numbers: nobody there knows the
	// connection.
	if ((p->tcp_flags & ACK) == 0)
		return DROP_NONE;
	distance = (int32_t)(number_at(frame, p, ACKNOWLEDGEMENT) - sent);
	if (distance > -IN_FLIGHT && distance < IN_FLIGHT) {
		__atomic_store_n(sent_of(original), 0, __ATOMIC_RELAXED);
		return DROP_NONE;
	}
	__atomic_fetch_or(&original->flags, SESSION_DISPROVED, __ATOMIC_RELAXED);
	return DROP_TCP_STATE;
}

static bool is_picked_up(const struct packet *p)
{
	return p->key.proto == PROTO_TCP && (p->tcp_flags & ACK) != 0;
}

enum claimed weft_slow_claimed(const struct session_table *t, const struct judge *j,
			       struct session **by)
{
	struct flow_key first = j->now, reply;
	uint16_t flags;

	*by = NULL;
	if (!j->pick_port || !is_picked_up(j->pkt) ||
	    !weft_nat_candidate(&j->pkt->key, 0, &first.sport) ||
	    !weft_flow_reverse(&first, j->out->index, &reply))
		return CLAIMED_NOT;
	*by = weft_session_get(t, &reply, weft_flow_hash(&reply));
	if (*by == NULL || !weft_session_is_claim(*by))
		return CLAIMED_NOT;
	flags = weft_session_flags(weft_session_original(*by));
	return flags & SESSION_DISPROVED ? CLAIMED_WRONGLY : CLAIMED_FOR_NOW;
}
