// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_common.h>

#define VERSION	     1u
#define VERSION_MASK 3u
#define REPLY	     (1u << 2)
#define HEADER	     sizeof(struct vhost_message_header)

// Every descriptor that came with these bytes, to the message; those that have no place in it are
// closed. Also what the kernel had no room for is gone then: the message is not what was sent.
static int take_fds(struct vhost_message *m, struct msghdr *h)
{
	int ret = (h->msg_flags & MSG_CTRUNC) != 0 ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (m->n_fds < VHOST_FDS_MAX) {
				m->fds[m->n_fds++] = fd;
			} else {
				close(fd);
				ret = -EPROTO;
			}
		}
	}
	return ret;
}

// Up to len bytes; 1: all of them came.
static int read_part(int fd, struct vhost_message *m, void *to, uint32_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VHOST_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {to, len};
	struct msghdr h = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	if (got == 0)
		return -ECONNRESET;
	m->got += (uint32_t)got;
	int ret = take_fds(m, &h);
	return ret < 0 ? ret : (uint32_t)got == len;
}

int weft_vhost_message_read(int fd, struct vhost_message *m)
{
	if (m->got < HEADER) {
		int ret =
			read_part(fd, m, (uint8_t *)&m->header + m->got, (uint32_t)HEADER - m->got);

		if (ret <= 0)
			return ret;
		if ((m->header.flags & VERSION_MASK) != VERSION ||
		    m->header.size > sizeof(m->payload))
			return -EPROTO;
	}
	uint32_t at = m->got - (uint32_t)HEADER;
	return at == m->header.size
		       ? 1
		       : read_part(fd, m, (uint8_t *)&m->payload + at, m->header.size - at);
}

int weft_vhost_message_reply(int fd, struct vhost_message *m, uint32_t size)
{
	struct vhost_message_header header = {m->header.request, VERSION | REPLY, size};
	struct iovec iov[2] = {{&header, HEADER}, {&m->payload, size}};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

	return sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(HEADER + size) ? 0
											: -ENOBUFS;
}

int weft_vhost_message_take_fd(struct vhost_message *m)
{
	return m->n_fds == 0 ? -1 : m->fds[--m->n_fds];
}

void weft_vhost_message_end(struct vhost_message *m)
{
	while (m->n_fds > 0)
		close(m->fds[--m->n_fds]);
	m->got = 0;
}
