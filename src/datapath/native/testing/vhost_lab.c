// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/testing/vhost_lab.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>

// Of the protocol's own features.
enum { LOG_SHMFD = 1, RARP = 2 };
#define PROTOCOL   (LAB_FEATURE(LOG_SHMFD) | LAB_FEATURE(RARP))
#define F_PROTOCOL LAB_FEATURE(30) // VHOST_USER_F_PROTOCOL_FEATURES
#define F_LOG	   LAB_FEATURE(VHOST_F_LOG_ALL)
#define PAGE	   4096 // of a log of dirty pages
#define LOG_SIZE   ((size_t)LAB_MEMORY / PAGE / 8 + 1)
#define VERSION	   1u
#define REPLY_MASK 4u

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "vhost lab: %s: %s\n", what, strerror(errno));
	abort();
}

unsigned int lab_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	need(d != NULL, "/proc/self/fd");
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

void lab_vm_init(struct lab_vm *vm)
{
	*vm = (struct lab_vm) {.fd = -1, .listener = -1, .log_fd = -1};
	vm->memory_fd = memfd_create("vm", MFD_CLOEXEC);
	need(vm->memory_fd >= 0 && ftruncate(vm->memory_fd, LAB_MEMORY) == 0, "memfd");
	vm->memory = mmap(NULL, LAB_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, vm->memory_fd, 0);
	need(vm->memory != MAP_FAILED, "mmap");
	vm->user = (uintptr_t)vm->memory;
	for (unsigned int i = 0; i < LAB_RINGS; i++) {
		vm->rings[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm->rings[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		need(vm->rings[i].kick >= 0 && vm->rings[i].call >= 0, "eventfd");
	}
	lab_reset_rings(vm);
}

void lab_vm_fini(struct lab_vm *vm)
{
	lab_disconnect(vm);
	if (vm->listener >= 0)
		close(vm->listener);
	for (unsigned int i = 0; i < LAB_RINGS; i++) {
		close(vm->rings[i].kick);
		close(vm->rings[i].call);
	}
	munmap(vm->memory, LAB_MEMORY);
	close(vm->memory_fd);
	if (vm->log != NULL)
		munmap(vm->log, LOG_SIZE);
	if (vm->log_fd >= 0)
		close(vm->log_fd);
}

void lab_reset_rings(struct lab_vm *vm)
{
	for (unsigned int i = 0; i < LAB_RINGS; i++) {
		struct lab_ring *r = &vm->rings[i];
		uint8_t *at = vm->memory + lab_buffer(i, 0) - 65536;

		memset(at, 0, 65536);
		vring_init(&r->vring, LAB_RING, at, 4096);
		r->next = r->last_used = r->next_buffer = 0;
		lab_packed_reset(r);
	}
}

// ---- The socket ----------------------------------------------------------------------------

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	need(strlen(path) < sizeof(a.sun_path), path);
	strcpy(a.sun_path, path);
	return a;
}

int lab_connect(struct lab_vm *vm, const char *path)
{
	struct sockaddr_un a = address_of(path);

	vm->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(vm->fd >= 0, "socket");
	// An answer that does not come is none.
	setsockopt(vm->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval) {.tv_sec = 2},
		   sizeof(struct timeval));
	if (connect(vm->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	int ret = -errno;
	close(vm->fd);
	vm->fd = -1;
	return ret;
}

void lab_listen(struct lab_vm *vm, const char *path)
{
	struct sockaddr_un a = address_of(path);

	unlink(path);
	vm->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(vm->listener >= 0 && bind(vm->listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		     listen(vm->listener, 4) == 0,
	     path);
}

bool lab_accept(struct lab_vm *vm, int wait_ms)
{
	struct pollfd p = {.fd = vm->listener, .events = POLLIN};

	if (poll(&p, 1, wait_ms) != 1)
		return false;
	vm->fd = accept(vm->listener, NULL, NULL);
	return vm->fd >= 0;
}

void lab_disconnect(struct lab_vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
}

bool lab_message(struct lab_vm *vm, uint32_t request, const void *payload, uint32_t len,
		 const int *fds, size_t n_fds)
{
	uint32_t header[3] = {request, VERSION, len};
	struct iovec iov[2] = {{header, sizeof(header)}, {(void *)(uintptr_t)payload, len}};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1};

	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	return sendmsg(vm->fd, &m, MSG_NOSIGNAL) == (ssize_t)(sizeof(header) + len);
}

static bool receive_all(int fd, void *to, size_t len)
{
	return len == 0 || recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

bool lab_ask(struct lab_vm *vm, uint32_t request, const void *payload, uint32_t len, void *reply,
	     uint32_t reply_len)
{
	uint32_t header[3];

	return lab_message(vm, request, payload, len, NULL, 0) &&
	       receive_all(vm->fd, header, sizeof(header)) && (header[1] & REPLY_MASK) != 0 &&
	       header[2] == reply_len && receive_all(vm->fd, reply, reply_len);
}

// ---- The device ----------------------------------------------------------------------------

bool lab_share_memory(struct lab_vm *vm)
{
	struct {
		uint32_t n, padding;
		uint64_t guest_address, size, user_address, offset;
	} table = {1, 0, 0, LAB_MEMORY, vm->user, 0};

	return lab_message(vm, SET_MEM_TABLE, &table, sizeof(table), &vm->memory_fd, 1);
}

bool lab_move_memory(struct lab_vm *vm)
{
	int fd = memfd_create("vm", MFD_CLOEXEC);
	uint8_t *to, *from = vm->memory;

	need(fd >= 0 && ftruncate(fd, LAB_MEMORY) == 0, "memfd");
	to = mmap(NULL, LAB_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(to != MAP_FAILED, "mmap");
	memcpy(to, from, LAB_MEMORY);
	for (unsigned int i = 0; i < LAB_RINGS; i++)
		vring_init(&vm->rings[i].vring, LAB_RING, to + lab_buffer(i, 0) - 65536, 4096);
	vm->memory = to;
	munmap(from, LAB_MEMORY);
	close(vm->memory_fd);
	vm->memory_fd = fd;
	// Another size makes it another table.
	struct {
		uint32_t n, padding;
		uint64_t guest_address, size, user_address, offset;
	} table = {1, 0, 0, LAB_MEMORY - 4096 * (uint64_t)(++vm->moves % 2), vm->user, 0};
	return lab_message(vm, SET_MEM_TABLE, &table, sizeof(table), &vm->memory_fd, 1);
}

static uint64_t user_of(const struct lab_vm *vm, const void *p)
{
	return vm->user + (uint64_t)((const uint8_t *)p - vm->memory);
}

// As QEMU does: what is to be logged of a packed ring, too, is where a split one's used ring
// would be.
static bool set_address(struct lab_vm *vm, uint32_t i, bool log)
{
	const struct lab_ring *r = &vm->rings[i];
	struct vhost_vring_addr addr = {
		.index = i,
		.flags = log ? 1u << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = user_of(vm, r->vring.desc),
		.avail_user_addr = user_of(vm, r->vring.avail),
		.used_user_addr = user_of(vm, r->vring.used),
		.log_guest_addr = (uint64_t)((uint8_t *)r->vring.used - vm->memory),
	};

	return lab_message(vm, SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static bool set_ring(struct lab_vm *vm, uint32_t i)
{
	struct lab_ring *r = &vm->rings[i];
	struct vhost_vring_state num = {i, LAB_RING}, base = {i, lab_is_packed(vm) ? 1u << 15 : 0};
	struct vhost_vring_state on = {i, 1};
	uint64_t index = i;

	return lab_message(vm, SET_VRING_NUM, &num, sizeof(num), NULL, 0) &&
	       lab_message(vm, SET_VRING_BASE, &base, sizeof(base), NULL, 0) &&
	       set_address(vm, i, false) &&
	       lab_message(vm, SET_VRING_CALL, &index, sizeof(index), &r->call, 1) &&
	       lab_message(vm, SET_VRING_KICK, &index, sizeof(index), &r->kick, 1) &&
	       ((vm->features & F_PROTOCOL) == 0 ||
		lab_message(vm, SET_VRING_ENABLE, &on, sizeof(on), NULL, 0));
}

static bool negotiate_protocol(struct lab_vm *vm)
{
	uint64_t offered;

	if ((vm->features & F_PROTOCOL) == 0)
		return true;
	if (!lab_ask(vm, GET_PROTOCOL_FEATURES, NULL, 0, &offered, sizeof(offered)))
		return false;
	vm->protocol = offered & PROTOCOL;
	return lab_message(vm, SET_PROTOCOL_FEATURES, &vm->protocol, sizeof(vm->protocol), NULL, 0);
}

bool lab_start(struct lab_vm *vm, uint64_t features, unsigned int pairs)
{
	uint64_t offered;

	if (!lab_message(vm, SET_OWNER, NULL, 0, NULL, 0) ||
	    !lab_ask(vm, GET_FEATURES, NULL, 0, &offered, sizeof(offered)))
		return false;
	vm->pairs = pairs;
	vm->features = offered & (features | LAB_FEATURE(VIRTIO_F_VERSION_1) |
				  (pairs > 1 ? LAB_FEATURE(VIRTIO_NET_F_MQ) : 0));
	lab_reset_rings(vm);
	if (!negotiate_protocol(vm) ||
	    !lab_message(vm, SET_FEATURES, &vm->features, sizeof(vm->features), NULL, 0) ||
	    !lab_share_memory(vm))
		return false;
	// The first pair comes last: with it the device is ready.
	for (unsigned int i = 2 * pairs; i-- > 0;)
		if (!set_ring(vm, i))
			return false;
	return lab_wait(vm);
}

bool lab_wait(struct lab_vm *vm)
{
	uint64_t offered;

	return lab_ask(vm, GET_FEATURES, NULL, 0, &offered, sizeof(offered));
}

bool lab_stop(struct lab_vm *vm)
{
	for (uint32_t i = 0; i < 2 * vm->pairs; i++) {
		struct vhost_vring_state s = {i, 0};

		if (!lab_ask(vm, GET_VRING_BASE, &s, sizeof(s), &s, sizeof(s)))
			return false;
	}
	return true;
}

// ---- Migration -----------------------------------------------------------------------------

static bool set_logged(struct lab_vm *vm, bool on)
{
	uint64_t features = on ? vm->features | F_LOG : vm->features & ~F_LOG;

	if (!lab_message(vm, SET_FEATURES, &features, sizeof(features), NULL, 0))
		return false;
	for (uint32_t i = 0; i < 2 * vm->pairs; i++)
		if (!set_address(vm, i, on))
			return false;
	vm->features = features;
	return lab_wait(vm);
}

bool lab_log_begin(struct lab_vm *vm)
{
	uint64_t where[2] = {LOG_SIZE, 0};
	uint32_t answer[3];

	if (vm->log != NULL)
		munmap(vm->log, LOG_SIZE);
	if (vm->log_fd >= 0)
		close(vm->log_fd);
	vm->log_fd = memfd_create("log", MFD_CLOEXEC);
	need(vm->log_fd >= 0 && ftruncate(vm->log_fd, (off_t)LOG_SIZE) == 0, "memfd");
	vm->log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->log_fd, 0);
	need(vm->log != MAP_FAILED, "mmap");
	return lab_message(vm, SET_LOG_BASE, where, sizeof(where), &vm->log_fd, 1) &&
	       receive_all(vm->fd, answer, sizeof(answer)) && answer[0] == SET_LOG_BASE &&
	       answer[2] == 0 && set_logged(vm, true);
}

bool lab_log_end(struct lab_vm *vm)
{
	return set_logged(vm, false);
}

bool lab_rarp(struct lab_vm *vm, const uint8_t mac[6])
{
	uint64_t payload = 0;

	memcpy(&payload, mac, 6);
	return lab_message(vm, SEND_RARP, &payload, sizeof(payload), NULL, 0);
}

// ---- The driver ----------------------------------------------------------------------------

void lab_put(struct lab_vm *vm, unsigned int ring, const struct vring_desc *d, unsigned int n)
{
	struct lab_ring *r = &vm->rings[ring];
	uint16_t head = r->next_buffer;

	if (lab_is_packed(vm)) {
		lab_packed_put(r, d, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc *to = &r->vring.desc[(head + i) % LAB_RING];

		*to = d[i];
		if (i + 1 < n) {
			to->flags |= VRING_DESC_F_NEXT;
			to->next = (uint16_t)((head + i + 1) % LAB_RING);
		}
	}
	r->next_buffer = (uint16_t)((head + n) % LAB_RING);
	r->vring.avail->ring[r->next++ % LAB_RING] = head;
	__atomic_store_n(&r->vring.avail->idx, r->next, __ATOMIC_RELEASE);
}

unsigned int lab_pending(struct lab_vm *vm, unsigned int ring)
{
	struct lab_ring *r = &vm->rings[ring];

	if (lab_is_packed(vm)) {
		uint64_t addr;
		uint32_t len;

		while (ring % 2 == 1 && lab_packed_take(r, &addr, &len))
			;
		return lab_packed_pending(r);
	}
	return (uint16_t)(r->next - __atomic_load_n(&r->vring.used->idx, __ATOMIC_ACQUIRE));
}

void lab_give(struct lab_vm *vm, unsigned int pair, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc d = {
			.addr = lab_buffer(2 * pair, vm->rings[2 * pair].next_buffer),
			.len = len,
			.flags = VRING_DESC_F_WRITE,
		};
		lab_put(vm, 2 * pair, &d, 1);
	}
}

bool lab_send(struct lab_vm *vm, unsigned int pair, const struct virtio_net_hdr *h,
	      const void *frame, size_t len, size_t piece)
{
	unsigned int ring = 2 * pair + 1, n = 0;
	struct vring_desc d[LAB_RING];
	const uint8_t *from = frame;
	uint16_t at = vm->rings[ring].next_buffer;

	// A large packet has the buffers from the first one on.
	bool large = 64 + len > LAB_BUFFER;
	if (piece > 0 && len / piece >= LAB_RING - 2)
		return false; // too many for one ring
	if (lab_pending(vm, ring) >= (large ? 1 : LAB_RING / 8))
		return false;
	uint64_t to = lab_buffer(ring, large ? 0 : at);
	uint8_t *header = vm->memory + to;

	memset(header, 0, LAB_HEADER);
	memcpy(header, h, sizeof(*h));
	d[n++] = (struct vring_desc) {.addr = to, .len = LAB_HEADER};
	if (piece == 0) {
		memcpy(header + LAB_HEADER, from, len);
		d[0].len += (uint32_t)len;
		len = 0;
	}
	uint64_t body = to + 64;
	while (len > 0) {
		size_t part = len < piece ? len : piece;

		memcpy(vm->memory + body, from, part);
		d[n++] = (struct vring_desc) {.addr = body, .len = (uint32_t)part};
		body += part;
		from += part;
		len -= part;
	}
	lab_put(vm, ring, d, n);
	return true;
}

// The next used chain of a receiving ring.
static bool take_used(struct lab_vm *vm, struct lab_ring *r, uint64_t *addr, uint32_t *len)
{
	if (lab_is_packed(vm))
		return lab_packed_take(r, addr, len);
	if (r->last_used == __atomic_load_n(&r->vring.used->idx, __ATOMIC_ACQUIRE))
		return false;
	const struct vring_used_elem *e = &r->vring.used->ring[r->last_used++ % LAB_RING];

	*addr = r->vring.desc[e->id % LAB_RING].addr;
	*len = e->len;
	return true;
}

long lab_receive(struct lab_vm *vm, unsigned int pair, struct virtio_net_hdr *h, void *frame,
		 size_t size)
{
	struct lab_ring *r = &vm->rings[2 * pair];
	size_t len = 0;
	uint16_t buffers = 1;

	for (uint16_t i = 0; i < buffers; i++) {
		uint64_t addr;
		uint32_t part;

		if (!take_used(vm, r, &addr, &part))
			return -1;
		const uint8_t *from = vm->memory + addr;

		if (i == 0) {
			memcpy(h, from, sizeof(*h));
			if (vm->features & LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF))
				memcpy(&buffers, from + sizeof(*h), sizeof(buffers));
			from += LAB_HEADER;
			part -= LAB_HEADER;
		}
		need(len + part <= size, "a packet larger than expected");
		memcpy((uint8_t *)frame + len, from, part);
		len += part;
	}
	return (long)len;
}
