// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/vhost_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "datapath/native/vhost_packed.h"
#include "datapath/native/vring_priv.h"

static struct vhost_device devices[RTE_MAX_VHOST_DEVICE];

// Guards the list and who counts how many connections; the callbacks' threads and the control thread. Nothing is called with it held
// that could wait for one of them.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vhost_io *ports;

static _Atomic uint32_t changes;

uint32_t weft_vhost_changes(void)
{
	return atomic_load_explicit(&changes, memory_order_acquire);
}

void weft_vhost_expect(struct vhost_io *v)
{
	pthread_mutex_lock(&mutex);
	v->next_io = ports;
	ports = v;
	pthread_mutex_unlock(&mutex);
}

void weft_vhost_forget(struct vhost_io *v)
{
	pthread_mutex_lock(&mutex);
	for (struct vhost_io **at = &ports; *at != NULL; at = &(*at)->next_io)
		if (*at == v) {
			*at = v->next_io;
			break;
		}
	// Those that ended with the socket are told of by no callback. Another port may have their numbers by now.
	for (size_t i = 0; i < RTE_DIM(devices); i++) {
		struct vhost_io *mine = v;

		atomic_compare_exchange_strong(&devices[i].io, &mine, NULL);
	}
	pthread_mutex_unlock(&mutex);
}

static struct vhost_device *device_of(int vid)
{
	return vid >= 0 && vid < RTE_MAX_VHOST_DEVICE ? &devices[vid] : NULL;
}

// ---- Rings -----------------------------------------------------------------------------------------

// Interrupts are written to this descriptor by workers, who must not wait: not for a pipe that nobody reads, nor for an event counter that is
// full. Whether it is one stands nowhere but in its name.
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

static void be_mute(struct vhost_io *v, struct vhost_device *d, uint16_t ring)
{
	if (!d->is_mute)
		weft_log_warning("socket %s: what QEMU gave to interrupt its driver by is no "
				 "eventfd: ring %u has no interrupts",
				 v->path, ring);
	d->is_mute = true;
	vring_count(&vhost_counters(v, ring)->mute);
}

// Where to go on. A packed ring that is on for the first time may have been in use before weftd was started.
static uint16_t base_of(struct vhost_device *d, uint16_t ring, uint64_t features,
			const struct rte_vhost_vring *v)
{
	uint16_t base = 0, used;

	rte_vhost_get_vring_base(d->vid, ring, &base, &used);
	if (!d->begun[ring] && (features >> VIRTIO_F_RING_PACKED & 1) != 0 &&
	    v->desc_packed != NULL)
		base = weft_vhost_packed_base(v->desc_packed, v->size, base);
	return base;
}

static void turn_on(struct vhost_io *v, struct vhost_device *d, uint16_t ring)
{
	struct rte_vhost_vring vring;
	uint64_t features = 0;

	if (rte_vhost_get_vhost_vring(d->vid, ring, &vring) < 0 ||
	    rte_vhost_get_negotiated_features(d->vid, &features) < 0 ||
	    weft_vring_memory(d->vid, &d->memory) < 0)
		return;
	if (vring.callfd >= 0 && !is_event_counter(vring.callfd)) {
		be_mute(v, d, ring);
		vring.callfd = -1;
	}
	rte_spinlock_lock(vhost_lock(v, ring));
	if (weft_vring_begin(&d->rings[ring], d->vid, ring, features, &d->memory,
			     vhost_counters(v, ring), base_of(d, ring, features, &vring),
			     vring.callfd))
		d->begun[ring] = true;
	rte_spinlock_unlock(vhost_lock(v, ring));
}

// librte_vhost is told how far it came, for whoever goes on.
static void turn_off(struct vhost_io *v, struct vhost_device *d, uint16_t ring, bool pause)
{
	struct vring_state *r = &d->rings[ring];
	bool was_on;

	rte_spinlock_lock(vhost_lock(v, ring));
	was_on = r->on;
	r->on = false;
	r->paused = pause && (was_on || r->paused);
	rte_spinlock_unlock(vhost_lock(v, ring));
	if (was_on)
		rte_vhost_set_vring_base(d->vid, ring, weft_vring_base(r), weft_vring_base(r));
}

static void pause_all(struct vhost_io *v, struct vhost_device *d)
{
	for (uint16_t i = 0; i < 2 * atomic_load(&d->n_pairs); i++)
		turn_off(v, d, i, true);
}

static void resume_all(struct vhost_io *v, struct vhost_device *d)
{
	for (uint16_t i = 0; i < 2 * atomic_load(&d->n_pairs); i++)
		if (d->rings[i].paused)
			turn_on(v, d, i);
}

// By how many queues the VM sends decides which workers look for its packets.
static void note_sending(struct vhost_device *d, uint16_t pair, bool sends)
{
	uint16_t n = VHOST_PAIRS_MAX;

	d->sends[pair] = sends;
	while (n > 0 && !d->sends[n - 1])
		n--;
	if (atomic_exchange(&d->n_sending, n) != n)
		atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

// Called with librte_vhost's locks on the rings held.
static int vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);
	uint16_t pairs = (uint16_t)(ring / 2 + 1);

	if (v == NULL || ring >= RTE_DIM(d->rings))
		return -1;
	if (enable)
		turn_on(v, d, ring);
	else
		turn_off(v, d, ring, false);
	if (pairs > atomic_load(&d->n_pairs))
		atomic_store(&d->n_pairs, pairs);
	if (ring % 2 == 1)
		note_sending(d, ring / 2, enable != 0);
	return 0;
}

// After a migration, of a VM whose driver cannot say it itself: the world should learn that this MAC is here now.
static void take_rarp(struct vhost_io *v, const void *message)
{
	struct {
		uint32_t request, flags, size;
		uint8_t mac[6], zero[2];
	} m;
	uint64_t word = 0;

	memcpy(&m, message, sizeof(m));
	if (m.size != sizeof(m.mac) + sizeof(m.zero))
		return;
	memcpy(&word, m.mac, sizeof(m.mac));
	atomic_store(&v->rarp, word | VHOST_RARP_ASKED);
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

// QEMU's docs/interop/vhost-user.rst; a message begins with its number.
enum { SET_MEM_TABLE = 5, SET_LOG_BASE = 6, SEND_RARP = 19 };

static uint32_t request_of(const void *message)
{
	uint32_t request;

	memcpy(&request, message, sizeof(request));
	return request;
}

// Memory under rings that are in use; the log only while it is written to, so that no packet is lost when it begins.
static bool changes_memory(int vid, const void *message)
{
	uint32_t request = request_of(message);
	uint64_t features = 0;

	if (request == SET_LOG_BASE && rte_vhost_get_negotiated_features(vid, &features) == 0)
		return (features >> VHOST_F_LOG_ALL & 1) != 0;
	return request == SET_MEM_TABLE;
}

static enum rte_vhost_msg_result before_message(int vid, void *message)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v != NULL && changes_memory(vid, message))
		pause_all(v, d);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

// Not called if the message failed: then the rings stay off, as there may be no memory.
static enum rte_vhost_msg_result after_message(int vid, void *message)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v != NULL && changes_memory(vid, message))
		resume_all(v, d);
	// librte_vhost's own functions would put the frame between the VM's packets; but they are not in use.
	if (v != NULL && request_of(message) == SEND_RARP)
		take_rarp(v, message);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_hooks = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

// A migration begins or ends.
static int features_changed(int vid, uint64_t features)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v == NULL)
		return -1;
	for (uint16_t i = 0; i < 2 * atomic_load(&d->n_pairs); i++) {
		rte_spinlock_lock(vhost_lock(v, i));
		d->rings[i].logged = features >> VHOST_F_LOG_ALL & 1;
		rte_spinlock_unlock(vhost_lock(v, i));
	}
	return 0;
}

// ---- Connections -----------------------------------------------------------------------------------

static int new_connection(int vid)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v;
	char path[sizeof(v->path)];
	int ret = -1;

	if (d == NULL || rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return -1;
	pthread_mutex_lock(&mutex);
	for (v = ports; v != NULL && strcmp(v->path, path) != 0; v = v->next_io)
		;
	if (v != NULL && v->connections < VHOST_CONNECTIONS_MAX &&
	    rte_vhost_extern_callback_register(vid, &message_hooks, NULL) == 0) {
		v->connections++;
		memset(d, 0, sizeof(*d));
		d->vid = vid;
		atomic_store(&d->io, v);
		ret = 0;
	}
	pthread_mutex_unlock(&mutex);
	return ret;
}

static void destroy_connection(int vid)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v;

	if (d == NULL)
		return;
	pthread_mutex_lock(&mutex);
	v = atomic_exchange(&d->io, NULL);
	if (v != NULL)
		v->connections--;
	pthread_mutex_unlock(&mutex);
}

// ---- Devices ---------------------------------------------------------------------------------------

static void tell(struct vhost_io *v, bool up)
{
	atomic_store_explicit(&v->io.up, up, memory_order_release);
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

static int new_device(int vid)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v == NULL || rte_vhost_get_negotiated_features(vid, &d->features) < 0)
		return -1;
	if (rte_vhost_get_mtu(vid, &d->mtu) < 0)
		d->mtu = 0;
	resume_all(v, d);
	atomic_fetch_add(&v->devices, 1);
	atomic_store_explicit(&v->dev, d, memory_order_release);
	tell(v, true);
	return 0;
}

static void leave(struct vhost_io *v, struct vhost_device *d)
{
	struct vhost_device *mine = d;

	// A newer device may have taken its place; somebody may be inside with this one still.
	if (atomic_compare_exchange_strong(&v->dev, &mine, NULL))
		tell(v, false);
	pause_all(v, d);
}

static void destroy_device(int vid)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v != NULL)
		leave(v, d);
}

const struct rte_vhost_device_ops weft_vhost_callbacks = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
	.features_changed = features_changed,
};
