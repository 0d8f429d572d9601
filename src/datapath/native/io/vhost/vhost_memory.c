// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <rte_common.h>

#include "datapath/native/io/vhost/vhost_guard.h"

// A mapping begins and ends with a page; of a file in huge pages, with one of those.
static uint64_t page_of(int fd)
{
	struct statfs fs;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : page;
}

// What cannot be sealed, or only by others, is not; whatever else stands in the way, the guard is
// there.
static void seal(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals >= 0 && (seals & (F_SEAL_SHRINK | F_SEAL_SEAL)) == 0)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
}

// size bytes of the file, from offset on: *host is where they are.
static int map_file(struct vhost_mapping *m, int fd, uint64_t size, uint64_t offset,
		    _Atomic bool *hit, uint8_t **host)
{
	uint64_t page = page_of(fd), begin = offset & ~(page - 1);
	struct stat st;
	void *at;
	int guard;

	if (size == 0 || size > VHOST_MEMORY_MAX || offset > INT64_MAX - size)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	// What is no file has no length that could be looked at.
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset + size)
		return -ENXIO;
	seal(fd);
	size_t len = RTE_ALIGN_CEIL(offset + size - begin, page);
	at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)begin);
	if (at == MAP_FAILED)
		return -errno;
	guard = weft_vhost_guard_add(at, len, hit);
	if (guard < 0) {
		munmap(at, len);
		return guard;
	}
	*m = (struct vhost_mapping) {at, len, guard};
	*host = (uint8_t *)at + (offset - begin);
	return 0;
}

static void unmap(struct vhost_mapping *m)
{
	if (m->len == 0)
		return;
	weft_vhost_guard_remove(m->guard);
	munmap(m->at, m->len);
	m->len = 0;
}

// ---- The VM's memory -----------------------------------------------------------------------

// Addresses do not go round the end.
static bool is_possible(const struct vhost_region *r, uint64_t *total)
{
	*total += r->size;
	return r->size <= VHOST_MEMORY_MAX && *total <= VHOST_MEMORY_MAX &&
	       r->guest <= UINT64_MAX - r->size && r->user <= UINT64_MAX - r->size;
}

int weft_vhost_memory_map(struct vhost_shared *m, const struct vhost_region *regions,
			  const int *fds, uint32_t n, _Atomic bool *hit)
{
	uint64_t total = 0;
	int ret = n > 0 && n <= VRING_REGIONS ? 0 : -EINVAL;

	m->table.n = 0;
	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		const struct vhost_region *r = &regions[i];
		struct vring_region *to = &m->table.at[i];

		if (!is_possible(r, &total)) {
			ret = -EINVAL;
			break;
		}
		ret = map_file(&m->map[i], fds[i], r->size, r->offset, hit, &to->host);
		if (ret < 0)
			break;
		to->guest = r->guest;
		to->size = r->size;
		m->user[i] = r->user;
		m->table.n++;
	}
	if (ret < 0)
		weft_vhost_memory_unmap(m);
	return ret;
}

void weft_vhost_memory_unmap(struct vhost_shared *m)
{
	for (uint32_t i = 0; i < m->table.n; i++)
		unmap(&m->map[i]);
	m->table.n = 0;
}

void *weft_vhost_memory_find(const struct vhost_shared *m, uint64_t user)
{
	for (uint32_t i = 0; i < m->table.n; i++)
		if (user - m->user[i] < m->table.at[i].size)
			return m->table.at[i].host + (user - m->user[i]);
	return NULL;
}

// ---- The log -------------------------------------------------------------------------------

int weft_vhost_log_map(struct vring_log *log, struct vhost_mapping *map, int fd, uint64_t size,
		       uint64_t offset, _Atomic bool *hit)
{
	int ret = map_file(map, fd, size, offset, hit, &log->bits);

	if (ret == 0)
		log->size = size;
	return ret;
}

void weft_vhost_log_unmap(struct vring_log *log, struct vhost_mapping *map)
{
	unmap(map);
	*log = (struct vring_log) {0};
}
