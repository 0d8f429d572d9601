// SPDX-License-Identifier: Apache-2.0
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#define RX 0
#define TX 1

bool vm_connect(struct vm *v, uint64_t features)
{
	struct vm_rings *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	lab_vm_init(&r->lab);
	if (lab_connect(&r->lab, v->path) < 0 || !lab_start(&r->lab, features, 1)) {
		lab_vm_fini(&r->lab);
		free(r);
		return false;
	}
	lab_give(&r->lab, 0, LAB_RING, LAB_BUFFER);
	v->rings = r;
	v->connections++;
	return true;
}

void vm_cut(struct vm *v, bool graceful, double now)
{
	struct vm_rings *r = v->rings;

	if (r == NULL || v->n_old == OLD_MAX)
		return;
	if (graceful)
		lab_stop(&r->lab);
	lab_disconnect(&r->lab);
	r->cut_at = now;
	v->old[v->n_old++] = r;
	v->rings = NULL;
}

// ---- Sending -------------------------------------------------------------------------------

// What the other side is done with must be what came first; else buffers would be written to that
// it still reads.
static void check_used(struct vm *v, struct vm_rings *r)
{
	struct lab_ring *tx = &r->lab.rings[TX];
	uint16_t idx = __atomic_load_n(&tx->vring.used->idx, __ATOMIC_ACQUIRE);

	for (; r->used != idx; r->used++)
		if (tx->vring.used->ring[r->used % LAB_RING].id != r->used % LAB_RING)
			v->disorders++;
}

unsigned int vm_room(struct vm *v)
{
	if (v->rings == NULL)
		return 0;
	check_used(v, v->rings);
	return LAB_RING - (uint16_t)(v->rings->lab.rings[TX].next - v->rings->used);
}

uint8_t *vm_frame(struct vm *v)
{
	struct lab_vm *lab = &v->rings->lab;
	uint8_t *at = lab->memory + lab_buffer(TX, lab->rings[TX].next % LAB_RING);

	memset(at, 0, LAB_HEADER);
	return at + LAB_HEADER;
}

void vm_put(struct vm *v, uint32_t len, struct vm_slot slot)
{
	struct lab_ring *tx = &v->rings->lab.rings[TX];
	uint16_t i = tx->next % LAB_RING;

	tx->vring.desc[i] =
		(struct vring_desc) {.addr = lab_buffer(TX, i), .len = LAB_HEADER + len};
	tx->vring.avail->ring[i] = i;
	tx->next++;
	v->rings->slots[i] = slot;
}

void vm_publish(struct vm *v)
{
	if (v->rings != NULL)
		__atomic_store_n(&v->rings->lab.rings[TX].vring.avail->idx,
				 v->rings->lab.rings[TX].next, __ATOMIC_RELEASE);
}

uint16_t vm_mark(const struct vm *v)
{
	return v->rings == NULL ? 0 : v->rings->lab.rings[TX].next;
}

bool vm_passed(struct vm *v, uint16_t until)
{
	if (v->rings == NULL)
		return true;
	check_used(v, v->rings);
	return (int16_t)(v->rings->used - until) >= 0;
}

// ---- Receiving -----------------------------------------------------------------------------

static unsigned int receive(struct vm *v, struct vm_rings *r, unsigned int index,
			    unsigned int budget, vm_receive_fn *fn, void *arg)
{
	struct lab_ring *rx = &r->lab.rings[RX];
	uint16_t idx = __atomic_load_n(&rx->vring.used->idx, __ATOMIC_ACQUIRE);
	unsigned int n = 0;

	for (; rx->last_used != idx && n < budget; n++) {
		struct vring_used_elem e = rx->vring.used->ring[rx->last_used++ % LAB_RING];
		const uint8_t *buffer = r->lab.memory + lab_buffer(RX, e.id % LAB_RING);

		v->arrived++;
		v->late += r->cut_at > 0;
		fn(arg, index, buffer + LAB_HEADER,
		   e.len > LAB_HEADER && e.len <= LAB_BUFFER ? e.len - LAB_HEADER : 0,
		   r->cut_at > 0);
		rx->vring.avail->ring[rx->next++ % LAB_RING] = (uint16_t)e.id % LAB_RING;
	}
	__atomic_store_n(&rx->vring.avail->idx, rx->next, __ATOMIC_RELEASE);
	return n;
}

unsigned int vm_receive(struct vm *v, unsigned int index, unsigned int budget, vm_receive_fn *fn,
			void *arg)
{
	for (unsigned int i = 0; i < v->n_old; i++)
		receive(v, v->old[i], index, LAB_RING, fn, arg);
	return v->rings == NULL ? 0 : receive(v, v->rings, index, budget, fn, arg);
}

void vm_bury(struct vm *v, unsigned int index, double now, bool all, vm_receive_fn *fn,
	     vm_lost_fn *lost, void *arg)
{
	while (v->n_old > 0 && (all || now - v->old[0]->cut_at > OLD_SECONDS)) {
		struct vm_rings *r = v->old[0];
		struct lab_ring *tx = &r->lab.rings[TX];

		receive(v, r, index, UINT32_MAX, fn, arg);
		check_used(v, r);
		for (uint16_t i = r->used; i != tx->next; i++) {
			lost(arg, &r->slots[i % LAB_RING], index);
			v->never_taken++;
		}
		lab_vm_fini(&r->lab);
		free(r);
		memmove(v->old, v->old + 1, --v->n_old * sizeof(v->old[0]));
	}
}
