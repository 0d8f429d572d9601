// SPDX-License-Identifier: Apache-2.0
#include "agent/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
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
#include <time.h>
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
	struct stat st;

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
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return weft_fail(err, -ENOTDIR, "%s = %s: it is no directory", key, path);
	if (access(path, R_OK | W_OK | X_OK) != 0)
		return weft_fail(err, -errno, "%s = %s: it cannot be written to: %s", key, path,
				 strerror(errno));
	return 0;
}

int weft_host_share(const char *path, gid_t group, enum host_share how, struct err *err)
{
	mode_t add = how == HOST_SHARE_WRITE ? S_IWGRP | S_IXGRP | S_ISVTX : S_IXGRP;
	struct stat st;

	if (stat(path, &st) < 0 || (st.st_gid != group && chown(path, (uid_t)-1, group) < 0) ||
	    ((st.st_mode & add) != add && chmod(path, (st.st_mode & 07777) | add) < 0))
		return weft_fail(err, -errno, "%s cannot be opened to the group %u: %s", path,
				 (unsigned int)group, strerror(errno));
	return 0;
}

int weft_host_pass(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0 ||
	    ((st.st_mode & S_IXOTH) == 0 && chmod(path, (st.st_mode & 07777) | S_IXOTH) < 0))
		return weft_fail(err, -errno, "%s cannot be opened to its sockets' groups: %s",
				 path, strerror(errno));
	return 0;
}

// A killed weftd takes a while to be gone: the kernel closes its interfaces one by one, and keeps
// the API's address as long.
static bool is_ending(int pid)
{
	char path[64], text[512], state;
	unsigned int flags;
	struct dirent *e;
	const char *after;
	size_t tasks = 0;
	ssize_t n;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	after = strrchr(text, ')'); // the name before it may have anything
	if (after == NULL || strstr(text, "(weftd)") == NULL ||
	    sscanf(after + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return false;
	if (state != 'Z')
		return (flags & 0x4) != 0; // PF_EXITING
	// The first thread is done; the last one closes the files.
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		tasks += e->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return tasks > 1;
}

static int holder_of(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return atoi(text);
}

int weft_host_lock(const char *key, const char *dir, int *fd, struct err *err)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	char path[256 + 16];
	bool waited = false;

	snprintf(path, sizeof(path), "%s/weftd.lock", dir);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (*fd < 0)
		return weft_fail(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
	for (;;) {
		bool locked = flock(*fd, LOCK_EX | LOCK_NB) == 0;
		int pid = holder_of(*fd);

		if (!is_ending(pid)) {
			// It may have ended between the two questions.
			if (locked || flock(*fd, LOCK_EX | LOCK_NB) == 0)
				break;
			close(*fd);
			*fd = -1;
			return weft_fail(err, -EBUSY,
					 "%s is in use by another weftd (process %d); stop it, or "
					 "give this one a %s of its own",
					 dir, pid, key);
		}
		if (!waited)
			weft_log_info("waiting for the weftd before (process %d) to be gone", pid);
		waited = true;
		nanosleep(&pause, NULL);
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
