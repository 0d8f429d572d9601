// SPDX-License-Identifier: Apache-2.0
// Vring, what nearly every packet is, in passes over the whole burst, so that each waits for one
// kind of memory: the ring, descriptors, packets. They end at the first packet that is anything
// else; the general functions (vring_pop.c, vring_push.c) go on there.
//
// Plain is: a chain in a split ring, or one slot of a packed one; its descriptors in the ring or
// in an indirect table; each in one region of the memory. What both directions use is here; with
// `packed` known where it is compiled.
#pragma once

#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

#include "datapath/native/io/lent.h"
#include "datapath/native/io/vhost/vring_priv.h"

struct vring_word { // a table may be anywhere
	uint64_t value;
} __attribute__((packed, may_alias));

// One read of each field; what stands there afterwards does not matter.
static inline struct vring_desc vring_read(const void *table, uint32_t i)
{
	const volatile struct vring_word *at = table;
	uint64_t word[2] = {at[2 * i].value, at[2 * i + 1].value};
	struct vring_desc d;

	_Static_assert(sizeof(d) == sizeof(word), "two words");
	memcpy(&d, word, sizeof(d));
	return d;
}

// A chain's head, or a slot, as a split ring has it; and what to give back.
static inline struct vring_desc vring_read_head(const struct vring_state *r, uint16_t head,
						bool packed, uint16_t *id)
{
	struct vring_desc d = vring_read(r->desc, head);
	struct vring_packed_desc slot;

	_Static_assert(sizeof(d) == sizeof(slot), "slots are as long as descriptors");
	*id = head;
	if (packed) {
		memcpy(&slot, &d, sizeof(slot));
		*id = slot.id;
		d.flags = slot.flags &
			  (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
	}
	return d;
}

// Where len bytes at a guest's address are; NULL: nowhere, or not in one region.
static inline uint8_t *vring_host(const struct vring_memory *m, uint64_t guest, uint32_t len)
{
	for (uint32_t i = 0; i < m->n; i++) {
		uint64_t offset = guest - m->at[i].guest; // huge if it lies before

		if (offset < m->at[i].size)
			return len <= m->at[i].size - offset ? m->at[i].host + offset : NULL;
	}
	return NULL;
}

// The chains that are there, at most n: whose heads exist. Packed: the slots.
static inline uint16_t vring_heads(struct vring_state *r, uint16_t n, uint16_t *heads, bool packed)
{
	uint16_t there = weft_vring_available(r, n);

	for (uint16_t i = 0; i < there; i++) {
		if (packed) {
			uint32_t at = (uint32_t)r->next + i;

			heads[i] = (uint16_t)(at >= r->size ? at - r->size : at);
			continue;
		}
		heads[i] = __atomic_load_n(&r->avail->ring[(uint16_t)(r->next + i) & (r->size - 1)],
					   __ATOMIC_RELAXED);
		if (unlikely(heads[i] >= r->size))
			return i;
		rte_prefetch0(&r->desc[heads[i]]);
	}
	return there;
}

static inline void vring_give_split(struct vring_state *r, uint16_t head, uint32_t len)
{
	struct vring_used_elem *e = &r->used->ring[r->next++ & (r->size - 1)];

	e->id = head;
	e->len = len;
}

// 1 to LENT_HEAD bytes, and no other is read or written.
static inline void vring_copy_head(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len > 64) {
		uint8_t first[64], last[64];

		memcpy(first, from, 64);
		memcpy(last, from + len - 64, 64);
		memcpy(to, first, 64);
		memcpy(to + len - 64, last, 64);
	} else if (len >= 32) {
		uint8_t first[32], last[32];

		memcpy(first, from, 32);
		memcpy(last, from + len - 32, 32);
		memcpy(to, first, 32);
		memcpy(to + len - 32, last, 32);
	} else {
		memcpy(to, from, len);
	}
}
