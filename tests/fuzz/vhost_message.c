// SPDX-License-Identifier: Apache-2.0
// What a front end says by a vhost-user socket: any messages, with any descriptors, whole, in
// pieces or too short.
//
// The input is a list of these, until it ends:
//   REQUEST HOW FLAGS LEN payload[LEN]
// HOW: low two bits the kind of descriptors, the next four how many of them; bit 6: the payload
// comes by itself after the header was read; bit 7: the header announces one byte more than
// comes. FLAGS: of the header; its low two bits are the version's, with bit 0 turned around, so
// that 0 is version 1. At the end nothing is left: no descriptor, no memory, no device.
#include "datapath/native/io/vhost/vhost_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"

#define FILE_LEN     (1u << 16)
#define MESSAGES_MAX 128
#define FDS_SENT_MAX 15

enum { SEALABLE, UNSEALABLE, EVENTS, NOTHING, KINDS };

static struct vhost_io *v;
static int kinds[KINDS];
static unsigned int descriptors_before;

static unsigned int descriptors(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");

	fuzz_assert(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

// A port without a thread: what it would serve is served here.
static void make_port(void)
{
	if (v != NULL)
		return;
	v = aligned_alloc(64, (sizeof(*v) + sizeof(v->shares[0]) + 63) / 64 * 64);
	fuzz_assert(v != NULL);
	memset(v, 0, sizeof(*v) + sizeof(v->shares[0]));
	weft_log_set_level(LOG_LEVEL_ERROR);
	v->server = true;
	v->n_shares = 1;
	strcpy(v->path, "fuzz");
	v->socket.fd = -1;
	for (size_t i = 0; i < VHOST_CONNECTIONS_MAX; i++) {
		v->connections[i].io = v;
		v->connections[i].watch.fd = -1;
	}
	kinds[SEALABLE] = memfd_create("sealable", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	kinds[UNSEALABLE] = memfd_create("unsealable", MFD_CLOEXEC);
	kinds[EVENTS] = eventfd(0, EFD_CLOEXEC);
	kinds[NOTHING] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fuzz_assert(ftruncate(kinds[SEALABLE], FILE_LEN) == 0);
	fuzz_assert(ftruncate(kinds[UNSEALABLE], FILE_LEN) == 0);
}

static void put(int fd, const void *bytes, size_t len, int kind, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_SENT_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &kinds[kind], sizeof(int));
	}
	fuzz_assert(sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len);
}

// All that has come; one turn reads a header or a payload, and always takes something.
static void serve(struct vhost_device *d)
{
	int left = 0;

	while (d->watch.fd >= 0 && ioctl(d->watch.fd, FIONREAD, &left) == 0 && left > 0) {
		int before = left;
		int fd = d->watch.fd;

		weft_vhost_serve(&d->watch);
		fuzz_assert(d->watch.fd != fd ||
			    (ioctl(fd, FIONREAD, &left) == 0 && left < before));
	}
}

// Answers are read, so that there is room for more.
static void drain(int fd)
{
	char bytes[512];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static const uint8_t *say(struct vhost_device *d, int fd, const uint8_t *in, const uint8_t *end)
{
	struct {
		struct vhost_message_header header;
		uint8_t payload[UINT8_MAX];
	} m;
	uint8_t how = in[1];
	size_t len = in[3];

	if (len > (size_t)(end - in) - 4)
		len = (size_t)(end - in) - 4;
	m.header = (struct vhost_message_header) {
		.request = in[0],
		.flags = in[2] ^ 1u,
		.size = (uint32_t)len + (how >> 7),
	};
	memcpy(m.payload, in + 4, len);
	put(fd, &m, sizeof(m.header) + ((how & 64) != 0 ? 0 : len), how & 3, how >> 2 & 15);
	serve(d);
	if ((how & 64) != 0 && len > 0 && d->watch.fd >= 0) {
		put(fd, m.payload, len, 0, 0);
		serve(d);
	}
	drain(fd);
	return in + 4 + len;
}

static void assert_nothing_is_left(const struct vhost_device *d)
{
	fuzz_assert(d->watch.fd < 0 && d->n_setup == 0 && d->message.n_fds == 0);
	fuzz_assert(atomic_load(&v->dev) == NULL && !v->io.up);
	fuzz_assert(d->memory.table.n == 0 && d->log_map[0].len == 0 && d->log_map[1].len == 0);
	fuzz_assert(descriptors() == descriptors_before);
	for (size_t i = 0; i < 2 * VHOST_PAIRS_MAX; i++)
		fuzz_assert(!d->rings[i].on);
	fuzz_assert(rte_spinlock_trylock(&v->shares[0].lock));
	rte_spinlock_unlock(&v->shares[0].lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	int pair[2];

	make_port();
	if (descriptors_before == 0)
		descriptors_before = descriptors();
	fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	struct vhost_device *d = &v->connections[0];
	d->watch = (struct vhost_watch) {.fd = pair[0], .ready = weft_vhost_serve};
	for (int i = 0; i < MESSAGES_MAX && end - data >= 4 && d->watch.fd >= 0; i++)
		data = say(d, pair[1], data, end);
	close(pair[1]);
	if (d->watch.fd >= 0)
		weft_vhost_serve(&d->watch); // its end
	assert_nothing_is_left(d);
	return 0;
}
