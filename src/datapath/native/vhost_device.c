// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/vhost_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <string.h>

#include "datapath/native/vhost_packed.h"

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
	if (v != NULL && v->connections < VHOST_CONNECTIONS_MAX) {
		v->connections++;
		d->vid = vid;
		d->features = 0;
		d->mtu = 0;
		atomic_store(&d->n_pairs, 0);
		atomic_store(&d->interrupts, 0);
		for (size_t i = 0; i < RTE_DIM(d->on); i++) {
			d->begun[i] = false;
			atomic_store_explicit(&d->on[i], false, memory_order_relaxed);
			atomic_store_explicit(&d->quiet[i], false, memory_order_relaxed);
		}
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

static void pass_through(rte_spinlock_t *lock)
{
	rte_spinlock_lock(lock);
	rte_spinlock_unlock(lock);
}

// Every packet that was under way is done, and the next sees what the port has now.
static void pass_through_all(struct vhost_io *v)
{
	pass_through(&v->rx_lock);
	for (size_t i = 0; i < VHOST_LANES; i++)
		pass_through(&v->lanes[i].lock);
}

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
	pass_through_all(v);
}

static void destroy_device(int vid)
{
	struct vhost_device *d = device_of(vid);
	struct vhost_io *v = d == NULL ? NULL : atomic_load(&d->io);

	if (v != NULL)
		leave(v, d);
}

// Interrupts are written to this descriptor by workers, who must not wait.
static void do_not_block(int vid, uint16_t ring)
{
	struct rte_vhost_vring vring;
	int flags;

	if (rte_vhost_get_vhost_vring(vid, ring, &vring) < 0 || vring.callfd < 0)
		return;
	flags = fcntl(vring.callfd, F_GETFL);
	if (flags >= 0 && (flags & O_NONBLOCK) == 0)
		fcntl(vring.callfd, F_SETFL, flags | O_NONBLOCK);
}

// A ring that is on for the first time may have been in use before weftd was started.
static void begin(struct vhost_device *d, uint16_t ring)
{
	struct rte_vhost_vring vring;
	uint64_t features = 0;
	uint16_t base, used;

	if (d->begun[ring] || rte_vhost_get_negotiated_features(d->vid, &features) < 0 ||
	    (features >> VIRTIO_F_RING_PACKED & 1) == 0 ||
	    rte_vhost_get_vhost_vring(d->vid, ring, &vring) < 0 ||
	    rte_vhost_get_vring_base(d->vid, ring, &base, &used) < 0)
		return;
	d->begun[ring] = true;
	base = weft_vhost_packed_base(vring.desc_packed, vring.size, base);
	rte_vhost_set_vring_base(d->vid, ring, base, base);
}

// Called with librte_vhost's locks on the rings held, so none of ours may be taken: a worker that holds one of ours may wait for them.
static int vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_device *d = device_of(vid);
	uint16_t pairs = (uint16_t)(ring / 2 + 1);

	if (d == NULL || ring >= RTE_DIM(d->on))
		return -1;
	if (enable) {
		do_not_block(vid, ring);
		begin(d, ring);
	}
	atomic_store(&d->quiet[ring], false);
	atomic_store(&d->on[ring], enable != 0);
	if (pairs > atomic_load(&d->n_pairs))
		atomic_store(&d->n_pairs, pairs);
	return 0;
}

static void guest_notified(int vid)
{
	struct vhost_device *d = device_of(vid);

	if (d != NULL)
		atomic_fetch_add_explicit(&d->interrupts, 1, memory_order_relaxed);
}

const struct rte_vhost_device_ops weft_vhost_callbacks = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
	.guest_notified = guest_notified,
};
