// SPDX-License-Identifier: Apache-2.0
// What a front end's messages mean. Each has one length, and one number of descriptors; the rest is
// looked at here, before anything is done.
//
// Offered is what is tested, and nothing else: no memory slots, no postcopy, no channel of our own,
// no descriptors of inflight buffers. (What is in flight needs none: buffers are used in their
// order, and a ring tells how far it is.)
#include "datapath/native/io/vhost/vhost_io.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define BIT(n)	   (1ULL << (n))
#define F_PROTOCOL 30 // VHOST_USER_F_PROTOCOL_FEATURES

// As QEMU's virtio-net has them, but for UDP fragmentation offload, which no flag of ours means.
#define OFFERED                                                                                    \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MTU) |           \
	 BIT(VIRTIO_NET_F_GSO) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |     \
	 BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
	 BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |    \
	 BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |     \
	 BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |      \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(F_PROTOCOL) | BIT(VIRTIO_F_VERSION_1) |                \
	 BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER))

// Of the protocol's own features.
enum { P_MQ = 0, P_LOG_SHMFD = 1, P_RARP = 2, P_REPLY_ACK = 3, P_NET_MTU = 4 };
#define P_OFFERED (BIT(P_MQ) | BIT(P_LOG_SHMFD) | BIT(P_RARP) | BIT(P_REPLY_ACK) | BIT(P_NET_MTU))

#define RING_MAX 32768
#define MTU_MIN	 68
#define MTU_MAX	 65535
#define NO_FD	 (1u << 8) // of a ring's kick and call: polled

#define ANSWERED 1 // instead of 0: the message has its own answer

static struct vhost_setup *setup_of(struct vhost_device *d, uint32_t ring)
{
	if (ring >= RTE_DIM(d->setup))
		return NULL;
	for (; d->n_setup <= ring; d->n_setup++)
		d->setup[d->n_setup] = (struct vhost_setup) {.call = -1};
	return &d->setup[ring];
}

static int answer(struct vhost_device *d, struct vhost_message *m, uint32_t size)
{
	int ret = weft_vhost_message_reply(d->watch.fd, m, size);

	return ret < 0 ? ret : ANSWERED;
}

static int answer_u64(struct vhost_device *d, struct vhost_message *m, uint64_t value)
{
	m->payload.u64 = value;
	return answer(d, m, sizeof(value));
}

// ---- Features ------------------------------------------------------------------------------

static int get_features(struct vhost_device *d, struct vhost_message *m)
{
	return answer_u64(d, m, OFFERED);
}

// While a ring is in use only a migration may begin or end.
static int set_features(struct vhost_device *d, struct vhost_message *m)
{
	uint64_t now = m->payload.u64, changed = now ^ d->negotiated;
	bool in_use = false;

	for (uint16_t i = 0; i < d->n_setup; i++)
		in_use = in_use || d->setup[i].started;
	if ((now & ~OFFERED) != 0 || (in_use && (changed & ~BIT(VHOST_F_LOG_ALL)) != 0))
		return -EINVAL;
	d->negotiated = now;
	if (in_use && changed != 0) {
		weft_vhost_set_logged(d, (now & BIT(VHOST_F_LOG_ALL)) != 0);
		if (d->is_up)
			atomic_store(&d->features, now);
	}
	return 0;
}

static int get_protocol_features(struct vhost_device *d, struct vhost_message *m)
{
	return answer_u64(d, m, P_OFFERED);
}

static int set_protocol_features(struct vhost_device *d, struct vhost_message *m)
{
	if ((m->payload.u64 & ~P_OFFERED) != 0)
		return -EINVAL;
	d->protocol = m->payload.u64;
	return 0;
}

static int get_queue_num(struct vhost_device *d, struct vhost_message *m)
{
	return answer_u64(d, m, VHOST_PAIRS_MAX);
}

static int set_owner(struct vhost_device *d, struct vhost_message *m)
{
	(void)d;
	(void)m;
	return 0;
}

static int reset_owner(struct vhost_device *d, struct vhost_message *m)
{
	(void)m;
	for (uint16_t i = 0; i < d->n_setup; i++) {
		d->setup[i].kicked = d->setup[i].enabled = false;
		weft_vhost_ring_off(d, i);
	}
	return 0;
}

static int set_mtu(struct vhost_device *d, struct vhost_message *m)
{
	if (m->payload.u64 < MTU_MIN || m->payload.u64 > MTU_MAX)
		return -EINVAL;
	d->mtu = (uint16_t)m->payload.u64;
	return 0;
}

// After a migration, of a VM whose driver cannot say it itself: the world should learn that this
// MAC is here now.
static int send_rarp(struct vhost_device *d, struct vhost_message *m)
{
	atomic_store(&d->io->rarp, (m->payload.u64 & (VHOST_RARP_ASKED - 1)) | VHOST_RARP_ASKED);
	weft_vhost_tell();
	return 0;
}

// ---- Memory --------------------------------------------------------------------------------

// Under rings that are in use. If there is none afterwards, the connection ends.
static int set_memory(struct vhost_device *d, struct vhost_message *m)
{
	int ret;

	weft_vhost_pause(d);
	weft_vhost_memory_unmap(&d->memory);
	ret = weft_vhost_memory_map(&d->memory, m->payload.memory.regions, m->fds,
				    m->payload.memory.n, &d->missing);
	if (ret < 0)
		return ret;
	weft_vhost_resume(d);
	for (uint16_t i = 0; i < d->n_setup; i++)
		weft_vhost_ring_changed(d, i);
	return 0;
}

static int set_log(struct vhost_device *d, struct vhost_message *m)
{
	struct vhost_mapping *former = &d->log_map[d->log_at], *next = &d->log_map[d->log_at ^ 1];
	struct vring_log log = {0};
	int ret = weft_vhost_log_map(&log, next, m->fds[0], m->payload.log.size,
				     m->payload.log.offset, &d->missing);

	if (ret < 0)
		return ret;
	d->log_at ^= 1;
	weft_vhost_change_log(d, &log);
	weft_vhost_log_unmap(&log, former);
	return answer(d, m, 0);
}

// Somebody wants to be told of errors in the log, or in a ring: there are none to be told of.
static int ignore(struct vhost_device *d, struct vhost_message *m)
{
	(void)d;
	(void)m;
	return 0;
}

// ---- Rings ---------------------------------------------------------------------------------

static int set_num(struct vhost_device *d, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(d, m->payload.state.index);

	if (s == NULL || s->started || m->payload.state.num == 0 || m->payload.state.num > RING_MAX)
		return -EINVAL;
	s->size = (uint16_t)m->payload.state.num;
	return 0;
}

// While a migration begins the same addresses come again.
static int set_addr(struct vhost_device *d, struct vhost_message *m)
{
	const struct vhost_vring_addr *a = &m->payload.addr;
	struct vhost_setup *s = setup_of(d, a->index);

	if (s == NULL)
		return -EINVAL;
	if (s->started && (a->desc_user_addr != s->addr.desc_user_addr ||
			   a->avail_user_addr != s->addr.avail_user_addr ||
			   a->used_user_addr != s->addr.used_user_addr))
		weft_vhost_ring_off(d, (uint16_t)a->index);
	s->addr = *a;
	s->has_addr = true;
	weft_vhost_ring_changed(d, (uint16_t)a->index);
	return 0;
}

// Packed: what lies in the upper half, where it is with used ones, is where it is with all.
static int set_base(struct vhost_device *d, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(d, m->payload.state.index);

	if (s == NULL || s->started)
		return -EINVAL;
	s->base = (uint16_t)m->payload.state.num;
	return 0;
}

// The ring's end.
static int get_base(struct vhost_device *d, struct vhost_message *m)
{
	uint32_t ring = m->payload.state.index;
	struct vhost_setup *s = setup_of(d, ring);

	if (s == NULL)
		return -EINVAL;
	weft_vhost_ring_off(d, (uint16_t)ring);
	if (s->call >= 0)
		close(s->call);
	*s = (struct vhost_setup) {
		.call = -1, .base = s->base, .begun = s->begun, .enabled = s->enabled};
	m->payload.state.num = s->base;
	return answer(d, m, sizeof(m->payload.state));
}

// Rings are polled: nobody waits for the driver's kick, so all that counts is that the ring is
// given.
static int set_kick(struct vhost_device *d, struct vhost_message *m)
{
	uint16_t ring = m->payload.u64 & (NO_FD - 1);
	struct vhost_setup *s = setup_of(d, ring);

	s->kicked = true;
	// Else it is by a message of its own.
	s->enabled = s->enabled || (d->negotiated & BIT(F_PROTOCOL)) == 0;
	weft_vhost_ring_changed(d, ring);
	return 0;
}

static int set_call(struct vhost_device *d, struct vhost_message *m)
{
	uint16_t ring = m->payload.u64 & (NO_FD - 1);
	struct vhost_setup *s = setup_of(d, ring);
	bool started = s->started;

	s->called = true;
	weft_vhost_pause_ring(d, ring);
	if (s->call >= 0)
		close(s->call);
	s->call = weft_vhost_message_take_fd(m);
	weft_vhost_resume_ring(d, ring);
	if (!started)
		weft_vhost_ring_changed(d, ring);
	return 0;
}

static int set_enable(struct vhost_device *d, struct vhost_message *m)
{
	uint32_t ring = m->payload.state.index;
	struct vhost_setup *s = setup_of(d, ring);

	if (s == NULL)
		return -EINVAL;
	s->enabled = m->payload.state.num != 0;
	weft_vhost_ring_changed(d, (uint16_t)ring);
	return 0;
}

// ---- All of them ---------------------------------------------------------------------------

enum fds { NONE, ONE, ONE_OR_POLLED, EACH_REGION };

#define U64   sizeof(uint64_t)
#define STATE sizeof(struct vhost_vring_state)

static const struct {
	int (*handle)(struct vhost_device *d, struct vhost_message *m);
	uint32_t size; // of each region of memory there is one more
	enum fds fds;
} requests[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = {get_features, 0, NONE},
	[VHOST_SET_FEATURES] = {set_features, U64, NONE},
	[VHOST_SET_OWNER] = {set_owner, 0, NONE},
	[VHOST_RESET_OWNER] = {reset_owner, 0, NONE},
	[VHOST_SET_MEM_TABLE] = {set_memory, U64, EACH_REGION},
	[VHOST_SET_LOG_BASE] = {set_log, 2 * U64, ONE},
	[VHOST_SET_LOG_FD] = {ignore, 0, ONE},
	[VHOST_SET_VRING_NUM] = {set_num, STATE, NONE},
	[VHOST_SET_VRING_ADDR] = {set_addr, sizeof(struct vhost_vring_addr), NONE},
	[VHOST_SET_VRING_BASE] = {set_base, STATE, NONE},
	[VHOST_GET_VRING_BASE] = {get_base, STATE, NONE},
	[VHOST_SET_VRING_KICK] = {set_kick, U64, ONE_OR_POLLED},
	[VHOST_SET_VRING_CALL] = {set_call, U64, ONE_OR_POLLED},
	[VHOST_SET_VRING_ERR] = {ignore, U64, ONE_OR_POLLED},
	[VHOST_GET_PROTOCOL_FEATURES] = {get_protocol_features, 0, NONE},
	[VHOST_SET_PROTOCOL_FEATURES] = {set_protocol_features, U64, NONE},
	[VHOST_GET_QUEUE_NUM] = {get_queue_num, 0, NONE},
	[VHOST_SET_VRING_ENABLE] = {set_enable, STATE, NONE},
	[VHOST_SEND_RARP] = {send_rarp, U64, NONE},
	[VHOST_NET_SET_MTU] = {set_mtu, U64, NONE},
};

// Its length and its descriptors are what they must be.
static bool is_well_formed(const struct vhost_message *m)
{
	uint32_t request = m->header.request, size = m->header.size, regions;

	if (request >= VHOST_REQUESTS || requests[request].handle == NULL ||
	    size < requests[request].size)
		return false;
	switch (requests[request].fds) {
	case NONE:
		return size == requests[request].size && m->n_fds == 0;
	case ONE:
		return size == requests[request].size && m->n_fds == 1;
	case ONE_OR_POLLED:
		return size == requests[request].size && m->payload.u64 < 2 * NO_FD &&
		       m->n_fds == ((m->payload.u64 & NO_FD) == 0);
	case EACH_REGION:
		regions = m->payload.memory.n;
		return regions > 0 && regions <= VRING_REGIONS && (int)regions == m->n_fds &&
		       size == requests[request].size + regions * sizeof(struct vhost_region);
	}
	return false;
}

static int deal_with(struct vhost_device *d, struct vhost_message *m)
{
	bool ack = vhost_message_wants_ack(m) && (d->protocol & BIT(P_REPLY_ACK)) != 0;
	int ret = is_well_formed(m) ? requests[m->header.request].handle(d, m) : -EPROTO;

	if (ret == ANSWERED || !ack)
		return ret;
	int sent = answer_u64(d, m, ret < 0);
	return ret < 0 ? ret : sent;
}

static void complain(const struct vhost_device *d, int error)
{
	if (!weft_vhost_may_warn(d->io))
		return;
	weft_log_warning("socket %s: message %u of QEMU cannot be (%u bytes, %d descriptors): %s: "
			 "the connection ends",
			 d->io->path, d->message.header.request, d->message.header.size,
			 d->message.n_fds, strerror(-error));
}

void weft_vhost_serve(struct vhost_watch *w)
{
	struct vhost_device *d =
		(struct vhost_device *)((char *)w - offsetof(struct vhost_device, watch));
	int ret = weft_vhost_message_read(w->fd, &d->message);

	if (ret == 1) {
		ret = deal_with(d, &d->message);
		if (ret >= 0)
			weft_vhost_message_end(&d->message);
	}
	if (ret >= 0)
		return;
	if (ret != -ECONNRESET)
		complain(d, ret);
	weft_vhost_device_end(d);
}
