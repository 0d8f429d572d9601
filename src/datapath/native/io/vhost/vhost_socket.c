// SPDX-License-Identifier: Apache-2.0
// A vhost-user port's socket: QEMU connects to it, or it connects to QEMU's.
#include "datapath/native/io/vhost/vhost_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static struct sockaddr_un address_of(const struct vhost_io *v)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(a.sun_path, v->path); // as long as that
	return a;
}

static int make_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

// ---- QEMU connects -------------------------------------------------------------------------

// What a process that was killed left behind goes; what somebody listens on stays.
static int remove_stale(const struct vhost_io *v, struct err *err)
{
	struct sockaddr_un address = address_of(v);
	struct stat st;
	int fd, ret;

	if (lstat(v->path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : weft_fail(err, -errno, "socket %s: %s", v->path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return weft_fail(err, -EEXIST, "socket %s: something else has this name", v->path);
	fd = make_socket();
	if (fd < 0)
		return weft_fail(err, fd, "socket %s: %s", v->path, strerror(-fd));
	ret = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	close(fd);
	if (ret != ECONNREFUSED)
		return weft_fail(err, -EADDRINUSE, "socket %s: another process listens on it",
				 v->path);
	if (unlink(v->path) < 0 && errno != ENOENT)
		return weft_fail(err, -errno, "socket %s: cannot be replaced: %s", v->path,
				 strerror(errno));
	return 0;
}

// The group may use it, the world may not. It is made for us alone, so there is no moment at which
// others may.
static int listen_on(struct vhost_io *v, gid_t group)
{
	struct sockaddr_un address = address_of(v);
	mode_t before;
	int ret;

	v->socket.fd = make_socket();
	if (v->socket.fd < 0)
		return v->socket.fd;
	before = umask(0177);
	ret = bind(v->socket.fd, (struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (ret < 0)
		return -errno;
	if (chown(v->path, (uid_t)-1, group) < 0 || chmod(v->path, 0660) < 0 ||
	    listen(v->socket.fd, BACKLOG) < 0)
		ret = -errno;
	else
		ret = weft_vhost_watch(&v->socket);
	if (ret < 0)
		unlink(v->path);
	return ret;
}

// Without a descriptor for it the connection waits, and would be told of again and again.
static void accept_one(struct vhost_watch *w)
{
	struct vhost_io *v = (struct vhost_io *)((char *)w - offsetof(struct vhost_io, socket));
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		weft_vhost_device_begin(v, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		weft_vhost_rest(w);
		weft_vhost_try_again(v);
	}
}

// ---- It connects to QEMU -------------------------------------------------------------------

static void connect_to(struct vhost_io *v)
{
	struct sockaddr_un address = address_of(v);
	int fd = make_socket();

	bool there = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	if (!there && fd >= 0)
		close(fd);
	if (!there || weft_vhost_device_begin(v, fd) < 0)
		weft_vhost_try_again(v);
}

// ---- Either --------------------------------------------------------------------------------

int weft_vhost_socket_open(struct vhost_io *v, gid_t group, struct err *err)
{
	int ret;

	if (!v->server) {
		connect_to(v);
		return 0;
	}
	v->socket.ready = accept_one;
	ret = remove_stale(v, err);
	if (ret < 0)
		return ret;
	ret = listen_on(v, group);
	if (ret == 0)
		return 0;
	weft_vhost_unwatch(&v->socket);
	return weft_fail(err, ret, "socket %s: cannot be made: %s", v->path, strerror(-ret));
}

void weft_vhost_socket_close(struct vhost_io *v)
{
	v->waits = false;
	if (v->socket.fd < 0)
		return;
	weft_vhost_unwatch(&v->socket);
	unlink(v->path);
}

void weft_vhost_socket_try(struct vhost_io *v)
{
	if (!v->server)
		connect_to(v);
	else if (v->socket.fd >= 0 && weft_vhost_watch(&v->socket) < 0)
		weft_vhost_try_again(v);
}
