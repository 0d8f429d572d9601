// SPDX-License-Identifier: Apache-2.0
// Rings that are turned on and off, and a device that is ready and gone, as the front end says
// (vhost_protocol.c).
#include "datapath/native/io/vhost/vhost_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "datapath/native/io/vhost/vhost_packed.h"
#include "datapath/native/io/vhost/vring_priv.h"

#define WARN_MS 60000

static _Atomic uint32_t changes;

uint32_t weft_vhost_changes(void)
{
	return atomic_load_explicit(&changes, memory_order_acquire);
}

void weft_vhost_tell(void)
{
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

// ---- Interrupts ----------------------------------------------------------------------------

// Interrupts are written to this descriptor by workers, who must not wait: not for a pipe that
// nobody reads, nor for an event counter that is full. Whether it is one stands nowhere but in its
// name.
static bool is_event_counter(int fd)
{
	char path[32], name[64];
	int flags = fcntl(fd, F_GETFL);
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, name, sizeof(name) - 1);
	if (len < 0 || flags < 0)
		return false;
	name[len] = '\0';
	return strcmp(name, "anon_inode:[eventfd]") == 0 &&
	       ((flags & O_NONBLOCK) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

// < 0: the driver has no interrupts.
static int call_of(struct vhost_device *d, uint16_t ring)
{
	int call = d->setup[ring].call;

	if (call < 0 || is_event_counter(call))
		return call;
	if (!d->is_mute)
		weft_log_warning("socket %s: what QEMU gave to interrupt its driver by is no "
				 "eventfd: ring %u has no interrupts",
				 d->io->path, ring);
	d->is_mute = true;
	vring_count(&vhost_counters(d->io, ring)->mute);
	return -1;
}

// ---- Rings ---------------------------------------------------------------------------------

// By how many queues the VM sends decides which workers look for its packets.
static void note_sending(struct vhost_device *d, uint16_t ring, bool sends)
{
	uint16_t n = VHOST_PAIRS_MAX;

	if (ring % 2 == 0)
		return;
	d->sends[ring / 2] = sends;
	while (n > 0 && !d->sends[n - 1])
		n--;
	if (atomic_exchange(&d->n_sending, n) != n)
		weft_vhost_tell();
}

static struct vring_place place_of(const struct vhost_device *d, uint16_t ring)
{
	const struct vhost_setup *s = &d->setup[ring];

	return (struct vring_place) {
		.index = ring,
		.size = s->size,
		.desc = weft_vhost_memory_find(&d->memory, s->addr.desc_user_addr),
		.avail = weft_vhost_memory_find(&d->memory, s->addr.avail_user_addr),
		.used = weft_vhost_memory_find(&d->memory, s->addr.used_user_addr),
	};
}

static bool is_complete(const struct vhost_device *d, uint16_t ring)
{
	const struct vhost_setup *s = &d->setup[ring];
	struct vring_place place = place_of(d, ring);

	return s->has_addr && s->kicked && s->called && s->enabled &&
	       weft_vring_fits(&d->memory.table, &place, d->negotiated);
}

// A packed ring that is on for the first time may have been in use before weftd was started.
static uint16_t base_of(const struct vhost_device *d, uint16_t ring,
			const struct vring_place *place)
{
	const struct vhost_setup *s = &d->setup[ring];

	if (s->begun || (d->negotiated >> VIRTIO_F_RING_PACKED & 1) == 0)
		return s->base;
	return weft_vhost_packed_base(place->desc, s->size, s->base);
}

// Its setup is complete.
static void ring_on(struct vhost_device *d, uint16_t ring)
{
	struct vhost_io *v = d->io;
	struct vhost_setup *s = &d->setup[ring];
	struct vring_place place = place_of(d, ring);
	uint16_t base = base_of(d, ring, &place);
	int call = call_of(d, ring);

	rte_spinlock_lock(vhost_lock(v, ring));
	weft_vring_begin(&d->rings[ring], &place, d->negotiated, &d->memory.table, &d->log,
			 vhost_counters(v, ring), base, call);
	rte_spinlock_unlock(vhost_lock(v, ring));
	s->started = s->begun = true;
	if (ring / 2 >= atomic_load(&d->n_pairs))
		atomic_store(&d->n_pairs, (uint16_t)(ring / 2 + 1));
	note_sending(d, ring, true);
}

// It is noted how far it came, for whoever goes on. True: it was in use.
static bool ring_stop(struct vhost_device *d, uint16_t ring)
{
	struct vring_state *r = &d->rings[ring];
	bool was_on;

	rte_spinlock_lock(vhost_lock(d->io, ring));
	was_on = r->on;
	__atomic_store_n(&r->on, false, __ATOMIC_RELAXED);
	rte_spinlock_unlock(vhost_lock(d->io, ring));
	if (was_on)
		d->setup[ring].base = weft_vring_base(r);
	return was_on;
}

// ---- Devices -------------------------------------------------------------------------------

static void device_up(struct vhost_device *d)
{
	struct vhost_io *v = d->io;

	d->is_up = true;
	atomic_store(&d->features, d->negotiated);
	atomic_fetch_add(&v->devices, 1);
	atomic_store_explicit(&v->dev, d, memory_order_release);
	atomic_store_explicit(&v->io.up, true, memory_order_release);
	weft_vhost_tell();
}

// A newer device may have taken its place.
static void device_down(struct vhost_device *d)
{
	struct vhost_io *v = d->io;
	struct vhost_device *mine = d;

	d->is_up = false;
	if (!atomic_compare_exchange_strong(&v->dev, &mine, NULL))
		return;
	atomic_store_explicit(&v->io.up, false, memory_order_release);
	weft_vhost_tell();
}

static void device_changed(struct vhost_device *d)
{
	bool up = d->setup[0].started && d->setup[1].started;

	if (up && !d->is_up)
		device_up(d);
	else if (!up && d->is_up)
		device_down(d);
}

void weft_vhost_ring_changed(struct vhost_device *d, uint16_t ring)
{
	bool complete = is_complete(d, ring);

	if (complete && !d->setup[ring].started) {
		ring_on(d, ring);
		device_changed(d);
	} else if (!complete) {
		weft_vhost_ring_off(d, ring);
	}
}

void weft_vhost_ring_off(struct vhost_device *d, uint16_t ring)
{
	if (!d->setup[ring].started)
		return;
	d->setup[ring].started = false;
	device_changed(d);
	ring_stop(d, ring);
	note_sending(d, ring, false);
}

// One that its driver has broken stays off.
void weft_vhost_pause_ring(struct vhost_device *d, uint16_t ring)
{
	d->setup[ring].paused = d->setup[ring].started && ring_stop(d, ring);
}

void weft_vhost_resume_ring(struct vhost_device *d, uint16_t ring)
{
	bool paused = d->setup[ring].paused;

	d->setup[ring].paused = false;
	if (!is_complete(d, ring))
		weft_vhost_ring_off(d, ring);
	else if (paused)
		ring_on(d, ring);
}

void weft_vhost_pause(struct vhost_device *d)
{
	for (uint16_t i = 0; i < d->n_setup; i++)
		weft_vhost_pause_ring(d, i);
}

void weft_vhost_resume(struct vhost_device *d)
{
	for (uint16_t i = 0; i < d->n_setup; i++)
		weft_vhost_resume_ring(d, i);
}

void weft_vhost_change_log(struct vhost_device *d, const struct vring_log *log)
{
	struct vhost_io *v = d->io;

	// All that there are: several rings may share one.
	for (uint16_t i = 0; i < v->n_shares; i++)
		rte_spinlock_lock(&v->shares[i].lock);
	for (uint16_t i = 0; i < VHOST_LANES; i++)
		rte_spinlock_lock(&v->lanes[i].lock);
	d->log = *log;
	for (uint16_t i = 0; i < VHOST_LANES; i++)
		rte_spinlock_unlock(&v->lanes[i].lock);
	for (uint16_t i = 0; i < v->n_shares; i++)
		rte_spinlock_unlock(&v->shares[i].lock);
}

void weft_vhost_set_logged(struct vhost_device *d, bool on)
{
	for (uint16_t i = 0; i < d->n_setup; i++) {
		rte_spinlock_lock(vhost_lock(d->io, i));
		d->rings[i].logged = on;
		rte_spinlock_unlock(vhost_lock(d->io, i));
	}
}

// Who does it again and again is told of once a minute.
bool weft_vhost_may_warn(struct vhost_io *v)
{
	uint64_t now = weft_now_ms();

	if (v->warned_ms != 0 && now - v->warned_ms < WARN_MS)
		return false;
	v->warned_ms = now;
	return true;
}

// ---- Connections ---------------------------------------------------------------------------

int weft_vhost_device_begin(struct vhost_io *v, int fd)
{
	struct vhost_device *d = NULL;
	int ret;

	for (size_t i = 0; i < VHOST_CONNECTIONS_MAX && d == NULL; i++)
		if (v->connections[i].watch.fd < 0)
			d = &v->connections[i];
	if (d == NULL) {
		close(fd);
		return -EUSERS;
	}
	atomic_store(&d->missing, false);
	d->watch = (struct vhost_watch) {.fd = fd, .ready = weft_vhost_serve};
	ret = weft_vhost_watch(&d->watch);
	if (ret < 0)
		weft_vhost_unwatch(&d->watch);
	return ret;
}

// What the rest of the process may still look at stays what it is: the rings are off, and there are
// no more of them than there were.
void weft_vhost_device_end(struct vhost_device *d)
{
	struct vhost_io *v = d->io;

	if (d->is_up)
		device_down(d);
	for (uint16_t i = 0; i < d->n_setup; i++) {
		weft_vhost_ring_off(d, i);
		if (d->setup[i].call >= 0)
			close(d->setup[i].call);
	}
	weft_vhost_memory_unmap(&d->memory);
	weft_vhost_log_unmap(&d->log, &d->log_map[d->log_at]);
	weft_vhost_message_end(&d->message);
	weft_vhost_unwatch(&d->watch);
	memset(d->setup, 0, d->n_setup * sizeof(d->setup[0]));
	d->n_setup = 0;
	d->negotiated = d->protocol = 0;
	d->mtu = 0;
	d->is_mute = false;
	atomic_store(&d->n_pairs, 0);
	if (!v->server && v->path[0] != '\0')
		weft_vhost_try_again(v);
}
