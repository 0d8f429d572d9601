// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vring.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>

#include <rte_atomic.h>
#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "datapath/native/io/vhost/vring_priv.h"

#define READ(field)	   __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define HAS(features, bit) (((features) >> (bit)&1) != 0)
#define WRAP		   (1u << 15)
#define LOG_PAGE	   4096

// ---- Memory --------------------------------------------------------------------------------

// The region that len bytes at p are in; NULL: none.
static const struct vring_region *region_of(const struct vring_memory *m, const void *p, size_t len)
{
	for (uint32_t i = 0; i < m->n; i++) {
		uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)m->at[i].host);

		if (offset <= m->at[i].size && len <= m->at[i].size - offset)
			return &m->at[i];
	}
	return NULL;
}

static bool is_inside(const struct vring_memory *m, const void *p, size_t len, size_t alignment)
{
	return p != NULL && (uintptr_t)p % alignment == 0 && region_of(m, p, len) != NULL;
}

// One address range may lie in several regions.
static bool add_pieces(const struct vring_memory *m, uint64_t guest, uint32_t len,
		       struct vring_pieces *p)
{
	p->len += len;
	while (len > 0) {
		uint32_t part = 0;

		if (unlikely(p->n == VRING_PIECES))
			return false;
		for (uint32_t i = 0; i < m->n; i++) {
			uint64_t offset = guest - m->at[i].guest;

			if (offset >= m->at[i].size)
				continue;
			part = (uint32_t)RTE_MIN((uint64_t)len, m->at[i].size - offset);
			p->at[p->n++] = (struct vring_piece) {m->at[i].host + offset, guest, part};
			break;
		}
		if (unlikely(part == 0))
			return false;
		guest += part;
		len -= part;
	}
	return true;
}

// ---- Begin and end -------------------------------------------------------------------------

bool weft_vring_fits(const struct vring_memory *memory, const struct vring_place *p,
		     uint64_t features)
{
	size_t n = p->size, event = HAS(features, VIRTIO_RING_F_EVENT_IDX) ? sizeof(uint16_t) : 0;

	if (HAS(features, VIRTIO_F_RING_PACKED))
		return is_inside(memory, p->desc, n * sizeof(struct vring_packed_desc), 16) &&
		       is_inside(memory, p->avail, sizeof(struct vring_packed_desc_event), 4) &&
		       is_inside(memory, p->used, sizeof(struct vring_packed_desc_event), 4);
	return n > 0 && (n & (n - 1)) == 0 &&
	       is_inside(memory, p->desc, n * sizeof(struct vring_desc), 16) &&
	       is_inside(memory, p->avail,
			 sizeof(struct vring_avail) + n * sizeof(uint16_t) + event, 2) &&
	       is_inside(memory, p->used,
			 sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) + event, 4);
}

void weft_vring_note(const struct vring_log *log, uint64_t guest, uint32_t len)
{
	uint64_t page = guest / LOG_PAGE, end = (guest + len - 1) / LOG_PAGE;

	for (; len > 0 && page <= end && page / 8 < log->size; page++)
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << page % 8),
				  __ATOMIC_RELEASE); // behind what was written
}

// The device wrote to the ring itself. It is found by where it lies, not by what QEMU gives for
// this (SET_VRING_ADDR): that is the used ring's address, which of a packed ring is the event
// area's, and its descriptors are written to as well.
static void log_ring(const struct vring_state *r, const void *p, uint32_t len)
{
	const struct vring_region *at;

	if (likely(!r->logged))
		return;
	at = region_of(r->memory, p, len);
	if (at != NULL)
		vring_log(r, at->guest + (uint64_t)((const uint8_t *)p - at->host), len);
}

// We poll: the driver need not say when there is something. With an event index it hardly does,
// as long as nobody asks.
static void hush(struct vring_state *r)
{
	uint16_t *flags = r->packed ? &r->device->flags : &r->used->flags;
	uint16_t quiet = r->packed ? VRING_PACKED_EVENT_FLAG_DISABLE : VRING_USED_F_NO_NOTIFY;

	if (READ(*flags) == quiet)
		return;
	__atomic_store_n(flags, quiet, __ATOMIC_RELAXED);
	log_ring(r, flags, sizeof(*flags));
}

bool weft_vring_begin(struct vring_state *r, const struct vring_place *place, uint64_t features,
		      const struct vring_memory *memory, const struct vring_log *log,
		      struct vring_counters *counters, uint16_t base, int call)
{
	__atomic_store_n(&r->on, false, __ATOMIC_RELAXED);
	if (!weft_vring_fits(memory, place, features))
		return false;
	*r = (struct vring_state) {
		.packed = HAS(features, VIRTIO_F_RING_PACKED),
		.event_idx = HAS(features, VIRTIO_RING_F_EVENT_IDX),
		.mergeable = HAS(features, VIRTIO_NET_F_MRG_RXBUF),
		.ecn = HAS(features, VIRTIO_NET_F_GUEST_ECN),
		.logged = HAS(features, VHOST_F_LOG_ALL),
		.header_len = 10,
		.index = place->index,
		.size = place->size,
		.next = base,
		.call = call,
		.memory = memory,
		.log = log,
		.desc = place->desc,
		.avail = place->avail,
		.used = place->used,
		.counters = counters,
	};
	if (r->packed || r->mergeable || HAS(features, VIRTIO_F_VERSION_1))
		r->header_len = 12;
	if (r->packed) {
		r->wrap = base & WRAP;
		r->next = base & (WRAP - 1);
		if (r->next >= r->size)
			return false;
	}
	hush(r);
	if (r->call >= 0)
		eventfd_write(r->call, 1);
	__atomic_store_n(&r->on, true, __ATOMIC_RELAXED);
	return true;
}

uint16_t weft_vring_base(const struct vring_state *r)
{
	return r->packed ? (uint16_t)(r->next | (r->wrap ? WRAP : 0)) : r->next;
}

static void broken(struct vring_state *r)
{
	__atomic_store_n(&r->on, false, __ATOMIC_RELAXED);
	vring_count(&r->counters->malformed);
}

// ---- Chains --------------------------------------------------------------------------------

bool weft_vring_has(const struct vring_state *r, uint16_t ahead)
{
	uint32_t at = (uint32_t)r->next + ahead;
	bool wrap = r->wrap;

	if (ahead >= r->size)
		return false;
	if (at >= r->size) {
		at -= r->size;
		wrap = !wrap;
	}
	uint16_t flags = __atomic_load_n(&r->slots[at].flags, __ATOMIC_ACQUIRE);
	return (flags >> VRING_PACKED_DESC_F_AVAIL & 1) == wrap &&
	       (flags >> VRING_PACKED_DESC_F_USED & 1) != wrap;
}

uint16_t weft_vring_available(struct vring_state *r, uint16_t n)
{
	uint16_t there = 0;

	if (r->packed) {
		while (there < n && weft_vring_has(r, there))
			there++;
		return there;
	}
	there = (uint16_t)(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE) - r->next);
	if (likely(there <= r->size))
		return RTE_MIN(there, n);
	broken(r);
	return 0;
}

// A table of descriptors, by the guest's address; it must lie in one region, as it does unless
// somebody tries it on.
static const uint8_t *find_table(const struct vring_state *r, uint64_t guest, uint32_t len)
{
	for (uint32_t i = 0; i < r->memory->n; i++) {
		const struct vring_region *at = &r->memory->at[i];
		uint64_t offset = guest - at->guest;

		if (offset < at->size && len <= at->size - offset)
			return at->host + offset;
	}
	return NULL;
}

// A table may be anywhere; its entry is as it is now.
static inline void read_entry(void *to, const uint8_t *table, uint32_t i, size_t size)
{
	memcpy(to, table + i * size, size);
	rte_compiler_barrier();
}

static bool split_table(const struct vring_state *r, uint64_t guest, uint32_t len,
			struct vring_pieces *p)
{
	const uint8_t *table = find_table(r, guest, len);
	uint32_t n = len / sizeof(struct vring_desc), i = 0;

	if (table == NULL || n == 0 || n > r->size)
		return false;
	for (uint32_t steps = 0; steps < RTE_MIN(n, (uint32_t)VRING_PIECES); steps++) {
		struct vring_desc d;

		read_entry(&d, table, i, sizeof(d));
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0 ||
		    !add_pieces(r->memory, d.addr, d.len, p))
			return false;
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return true;
		i = d.next;
		if (i >= n)
			return false;
	}
	return false; // in a circle
}

static bool split_chain(struct vring_state *r, uint16_t ahead, struct vring_chain *c,
			struct vring_pieces *p)
{
	uint16_t mask = r->size - 1, i = READ(r->avail->ring[(uint16_t)(r->next + ahead) & mask]);

	if (unlikely(i >= r->size)) {
		broken(r);
		return false;
	}
	*c = (struct vring_chain) {.id = i, .slots = 1};
	for (uint32_t steps = 0; steps < VRING_PIECES; steps++) {
		const struct vring_desc *d = &r->desc[i];
		uint16_t flags = READ(d->flags);
		uint64_t guest = READ(d->addr);
		uint32_t len = READ(d->len);

		if (flags & VRING_DESC_F_INDIRECT) {
			c->ok = split_table(r, guest, len, p);
			return true;
		}
		if (!add_pieces(r->memory, guest, len, p))
			return true;
		if ((flags & VRING_DESC_F_NEXT) == 0) {
			c->ok = true;
			return true;
		}
		i = READ(d->next);
		if (i >= r->size)
			return true;
	}
	return true; // in a circle, or too long
}

static bool packed_table(const struct vring_state *r, uint64_t guest, uint32_t len,
			 struct vring_pieces *p)
{
	const uint8_t *table = find_table(r, guest, len);
	uint32_t n = len / sizeof(struct vring_packed_desc);

	if (table == NULL || n == 0 || n > VRING_PIECES)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct vring_packed_desc d;

		read_entry(&d, table, i, sizeof(d));
		if (!add_pieces(r->memory, d.addr, d.len, p))
			return false;
	}
	return true;
}

static bool packed_chain(struct vring_state *r, uint16_t ahead, struct vring_chain *c,
			 struct vring_pieces *p)
{
	uint32_t at = (uint32_t)r->next + ahead;

	*c = (struct vring_chain) {.ok = true};
	for (at = at >= r->size ? at - r->size : at; c->slots < r->size;) {
		const struct vring_packed_desc *d = &r->slots[at];
		uint16_t flags = READ(d->flags);
		uint64_t guest = READ(d->addr);
		uint32_t len = READ(d->len);

		c->slots++;
		c->id = READ(d->id);
		if (c->ok && (flags & VRING_DESC_F_INDIRECT) != 0)
			c->ok = packed_table(r, guest, len, p);
		else if (c->ok)
			c->ok = add_pieces(r->memory, guest, len, p);
		if ((flags & VRING_DESC_F_NEXT) == 0)
			return true;
		at = at + 1 == r->size ? 0 : at + 1;
	}
	broken(r); // longer than the ring
	return false;
}

bool weft_vring_chain(struct vring_state *r, uint16_t ahead, struct vring_chain *c,
		      struct vring_pieces *p)
{
	return r->packed ? packed_chain(r, ahead, c, p) : split_chain(r, ahead, c, p);
}

// ---- Giving back ---------------------------------------------------------------------------

static void split_give(struct vring_state *r, const struct vring_chain *chains, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct vring_used_elem *e = &r->used->ring[r->next++ & (r->size - 1)];

		e->id = chains[i].id;
		e->len = chains[i].len;
		log_ring(r, e, sizeof(*e));
	}
}

static void packed_give_one(const struct vring_state *r, uint16_t at, bool wrap,
			    const struct vring_chain *c)
{
	struct vring_packed_desc *d = &r->slots[at];
	uint16_t flags = c->len > 0 ? VRING_DESC_F_WRITE : 0;

	if (wrap)
		flags |= 1 << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED;
	d->id = c->id;
	d->len = c->len;
	__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
	log_ring(r, d, sizeof(*d));
}

static void packed_advance(struct vring_state *r, uint16_t slots)
{
	r->next += slots;
	if (r->next >= r->size) {
		r->next -= r->size;
		r->wrap = !r->wrap;
	}
}

// A packet's first buffer tells how many follow: they must be there when it is seen.
static void packed_give(struct vring_state *r, const struct vring_chain *chains, uint16_t n)
{
	uint16_t first = r->next;
	bool first_wrap = r->wrap;

	for (uint16_t i = 0; i < n; i++) {
		if (i > 0)
			packed_give_one(r, r->next, r->wrap, &chains[i]);
		packed_advance(r, chains[i].slots);
	}
	if (n > 0)
		packed_give_one(r, first, first_wrap, &chains[0]);
}

void weft_vring_give(struct vring_state *r, const struct vring_chain *chains, uint16_t n)
{
	if (r->packed)
		packed_give(r, chains, n);
	else
		split_give(r, chains, n);
}

void weft_vring_hold(struct vring_state *r, const struct vring_chain *c)
{
	if (!r->packed) { // it is seen when the index says so
		split_give(r, c, 1);
		return;
	}
	r->held[r->n_held++] = (struct vring_held) {.id = c->id, .slots = c->slots};
	packed_advance(r, c->slots);
}

// In their order, so that the ring tells at any moment how far it is (vhost_packed.h).
static void give_held(struct vring_state *r, uint16_t before)
{
	r->next = before & (WRAP - 1);
	r->wrap = before & WRAP;
	for (uint16_t i = 0; i < r->n_held; i++) {
		struct vring_chain c = {.id = r->held[i].id, .slots = r->held[i].slots};

		packed_give(r, &c, 1);
	}
	r->n_held = 0;
}

static bool is_passed(uint16_t event, uint16_t now, uint16_t before)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

static bool split_wants(struct vring_state *r)
{
	if (!r->event_idx)
		return (READ(r->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT) == 0;

	uint16_t before = r->signalled, event = READ(r->avail->ring[r->size]);
	bool known = r->signalled_valid;
	r->signalled = r->next;
	r->signalled_valid = true;
	return !known || is_passed(event, r->next, before);
}

static bool packed_wants(struct vring_state *r)
{
	uint16_t flags = READ(r->driver->flags) & 3, event, before = r->signalled;
	bool known = r->signalled_valid;

	r->signalled = r->next;
	r->signalled_valid = true;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (!known)
		return true;
	rte_smp_rmb();
	event = READ(r->driver->off_wrap);
	// Counted as if the lap before the present one lay below 0.
	bool same_lap = (event >> VRING_PACKED_EVENT_F_WRAP_CTR & 1) == r->wrap;
	uint16_t at = event & (WRAP - 1);
	if (r->next <= before)
		before -= r->size;
	if (!same_lap)
		at -= r->size;
	return is_passed(at, r->next, before);
}

void weft_vring_publish(struct vring_state *r, uint16_t before)
{
	if (weft_vring_base(r) == before)
		return;
	if (r->n_held > 0)
		give_held(r, before);
	if (!r->packed) {
		__atomic_store_n(&r->used->idx, r->next, __ATOMIC_RELEASE);
		log_ring(r, &r->used->idx, sizeof(r->used->idx));
	}
	rte_smp_mb(); // before what the driver wants to know is read
	if ((r->packed ? packed_wants(r) : split_wants(r)) && r->call >= 0) {
		eventfd_write(r->call, 1);
		vring_count(&r->counters->interrupts);
	}
}
