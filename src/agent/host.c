// SPDX-License-Identifier: Apache-2.0
#include "agent/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

int weft_host_check_rights(struct err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	const uint32_t need = 1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW;

	if (syscall(SYS_capget, &head, data) != 0)
		return weft_fail(err, -errno, "capabilities cannot be read: %s", strerror(errno));
	if ((data[0].effective & need) != need)
		return weft_fail(err, -EPERM,
				 "no permission: weftd needs CAP_NET_ADMIN and CAP_NET_RAW to "
				 "attach interfaces; run it as root or from its systemd unit");
	return 0;
}

int weft_host_directory(const char *key, const char *path, struct err *err)
{
	char part[256];

	if (strlen(path) >= sizeof(part))
		return weft_fail(err, -ENAMETOOLONG, "%s = %s: the path is too long", key, path);
	for (const char *c = path + 1;; c++) {
		if (*c != '/' && *c != '\0')
			continue;
		memcpy(part, path, c - path);
		part[c - path] = '\0';
		if (mkdir(part, 0750) != 0 && errno != EEXIST)
			return weft_fail(err, -errno, "%s = %s: %s cannot be made: %s", key, path,
					 part, strerror(errno));
		if (*c == '\0')
			break;
	}
	if (access(path, R_OK | W_OK | X_OK) != 0)
		return weft_fail(err, -errno, "%s = %s: it cannot be written to: %s", key, path,
				 strerror(errno));
	return 0;
}

int weft_host_lock(const char *state_dir, int *fd, struct err *err)
{
	char path[256 + 16], holder[32] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "%s/weftd.lock", state_dir);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (*fd < 0)
		return weft_fail(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		n = read(*fd, holder, sizeof(holder) - 1);
		holder[n > 0 ? strcspn(holder, "\n") : 0] = '\0';
		close(*fd);
		*fd = -1;
		return weft_fail(err, -EBUSY,
				 "%s is in use by another weftd (process %s); stop it, or give "
				 "this one a state_dir of its own",
				 state_dir, holder);
	}
	if (ftruncate(*fd, 0) != 0 || dprintf(*fd, "%d\n", getpid()) < 0)
		weft_log_warning("%s: %s", path, strerror(errno));
	return 0;
}

void weft_host_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = path == NULL ? 0 : strlen(path);
	int fd;

	if (len == 0 || len >= sizeof(at.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(at.sun_path, path, len);
	if (path[0] == '@') // an abstract socket
		at.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&at,
			     offsetof(struct sockaddr_un, sun_path) + len) < 0)
		weft_log_warning("the service manager cannot be told \"%s\": %s", state,
				 strerror(errno));
	if (fd >= 0)
		close(fd);
}
