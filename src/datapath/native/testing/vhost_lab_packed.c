// SPDX-License-Identifier: Apache-2.0
// Vhost lab, packed rings (virtio 1.1, 2.7): an id is the slot that its chain begins in.
#include "datapath/native/testing/vhost_lab.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

static struct vring_packed_desc *slots_of(const struct lab_ring *r)
{
	return (struct vring_packed_desc *)(void *)r->vring.desc;
}

void lab_packed_reset(struct lab_ring *r)
{
	r->wrap = r->used_wrap = true;
	r->used_slot = 0;
}

// The head is shown last.
void lab_packed_put(struct lab_ring *r, const struct vring_desc *d, unsigned int n)
{
	struct vring_packed_desc *slots = slots_of(r);
	uint16_t head = r->next_buffer, head_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = r->next_buffer, flags = d[i].flags;

		flags |= r->wrap ? AVAIL : USED;
		flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0;
		slots[at].addr = d[i].addr;
		slots[at].len = d[i].len;
		slots[at].id = head;
		if (i == 0)
			head_flags = flags;
		else
			slots[at].flags = flags;
		if (++r->next_buffer == LAB_RING) {
			r->next_buffer = 0;
			r->wrap = !r->wrap;
		}
	}
	r->slots[head] = (uint16_t)n;
	r->addr[head] = d[0].addr;
	r->next++;
	__atomic_store_n(&slots[head].flags, head_flags, __ATOMIC_RELEASE);
}

static bool is_used(const struct lab_ring *r, uint16_t slot, bool wrap)
{
	uint16_t flags = __atomic_load_n(&slots_of(r)[slot].flags, __ATOMIC_ACQUIRE);

	return ((flags & AVAIL) != 0) == wrap && ((flags & USED) != 0) == wrap;
}

static void pass(const struct lab_ring *r, uint16_t *slot, bool *wrap)
{
	*slot += r->slots[slots_of(r)[*slot].id % LAB_RING];
	if (*slot >= LAB_RING) {
		*slot -= LAB_RING;
		*wrap = !*wrap;
	}
}

unsigned int lab_packed_pending(const struct lab_ring *r)
{
	uint16_t slot = r->used_slot, left = (uint16_t)(r->next - r->last_used);
	bool wrap = r->used_wrap;

	for (; left > 0 && is_used(r, slot, wrap); left--)
		pass(r, &slot, &wrap);
	return left;
}

bool lab_packed_take(struct lab_ring *r, uint64_t *addr, uint32_t *len)
{
	const struct vring_packed_desc *d = &slots_of(r)[r->used_slot];

	if (r->next == r->last_used || !is_used(r, r->used_slot, r->used_wrap))
		return false;
	*addr = r->addr[d->id % LAB_RING];
	*len = d->len;
	pass(r, &r->used_slot, &r->used_wrap);
	r->last_used++;
	return true;
}
