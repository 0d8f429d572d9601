// SPDX-License-Identifier: Apache-2.0
// Packed rings after a restart.
//
// In a split ring it stands in shared memory how far the device has come; in a packed one it does
// not. When weftd ends, QEMU knows only where it began, and offers that to the next one. But the
// descriptors tell it, when each is used by itself, as where drivers put what has several parts
// into indirect tables: then the used ones stand together, and so do those that are to be used.
//
// Virtio 1.1, section 2.7.
//
// Threads    whoever has the ring for himself
#pragma once

#include <linux/virtio_ring.h>
#include <stdint.h>

// The position (bits 0 to 14) and the wrap counter (bit 15) that a ring says; `base`, made to be
// within the ring, if it does not say.
uint16_t weft_vhost_packed_base(const struct vring_packed_desc *ring, uint16_t size, uint16_t base);
