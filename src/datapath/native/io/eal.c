// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/eal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "base/log.h"
#include "datapath/native/io/huge.h"
#include "datapath/native/packet/limits.h"

// A DPDK port's rings, for each worker: 1,024 packets to be received and as many to be sent.
#define BUFFERS_PER_RING   2048
// A worker has at most one burst of 64 packets in its hands; the largest (64 KB of TCP) is a
// chain of 33 buffers. The rest is for its cache, for fragments that wait and for the NICs'
// rings.
#define BUFFERS_PER_WORKER 8192
#define BUFFERS_SHARED	   8192
#define BUFFERS_CACHED	   RTE_MEMPOOL_CACHE_MAX_SIZE
// What a buffer takes in memory, at most.
#define BUFFER_SIZE	   (RTE_MBUF_DEFAULT_BUF_SIZE + sizeof(struct rte_mbuf) + 128)
// For everything else that is allocated from DPDK's heap. Costs nothing until it is touched.
#define HEAP_SPARE_MB	   64

#define PREFIX "weft"

static bool started;
static FILE *log_stream;
static char log_last[512];  // what EAL said last: the cause, when it fails
static bool trying;	    // a failure now is no error
static bool may_do_without; // huge pages are in use, and need not be
static bool listening;	    // lines are not logged: the first is kept
static char heard[512];

static bool is_dpdk(const struct datapath_physical *p)
{
	return !datapath_is_interface(p->device);
}

// On a bus that EAL has to look at, for what is listed only; virtual devices are made later.
static bool is_on_a_bus(const struct datapath_physical *p)
{
	const char *colon = strchr(p->device, ':'), *comma = strchr(p->device, ',');

	return is_dpdk(p) && colon != NULL && (comma == NULL || colon < comma);
}

static uint32_t dpdk_devices(const struct datapath_config *config)
{
	uint32_t n = 0;

	for (size_t i = 0; i < config->n_physical; i++)
		n += is_dpdk(&config->physical[i]);
	return n;
}

static uint32_t buffers(const struct datapath_config *config)
{
	uint32_t per_worker = BUFFERS_PER_WORKER + dpdk_devices(config) * BUFFERS_PER_RING;

	// One less than a power of two suits the ring behind the pool best.
	return rte_align32pow2(BUFFERS_SHARED + per_worker * (uint32_t)config->workers) - 1;
}

static size_t heap_mb(const struct datapath_config *config)
{
	return (buffers(config) * BUFFER_SIZE >> 20) + HEAP_SPARE_MB;
}

// DPDK writes whole lines.
static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	size_t end = len;

	while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == ' '))
		end--;
	if (end == 0)
		return (ssize_t)len;
	snprintf(log_last, sizeof(log_last), "%.*s", (int)RTE_MIN(end, sizeof(log_last) - 1), text);

	if (listening) {
		if (heard[0] == '\0')
			snprintf(heard, sizeof(heard), "%s", log_last);
		return (ssize_t)len;
	}
	// It wants pages of every size. What there is was looked at before (choose_memory).
	if (strstr(log_last, "hugepages reported on node") != NULL)
		return (ssize_t)len;

	uint32_t level = (uint32_t)rte_log_cur_msg_loglevel();
	weft_log(trying			? LOG_LEVEL_INFO
		 : level <= RTE_LOG_ERR ? LOG_LEVEL_ERROR
					: LOG_LEVEL_WARNING,
		 "DPDK: %s", log_last);
	return (ssize_t)len;
}

static int log_open(struct err *err)
{
	cookie_io_functions_t io = {.write = log_write};

	log_stream = fopencookie(NULL, "w", io);
	if (log_stream == NULL)
		return weft_fail(err, -ENOMEM, "no memory for DPDK's log");
	setvbuf(log_stream, NULL, _IOLBF, BUFSIZ);
	rte_openlog_stream(log_stream);
	return 0;
}

// Does the kernel have that much in huge pages of one size?
static bool huge_pages_free(size_t mb)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	struct dirent *entry;
	bool enough = false;

	while (dir != NULL && !enough && (entry = readdir(dir)) != NULL) {
		unsigned long kb;

		if (sscanf(entry->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		size_t len = RTE_ALIGN_CEIL(mb << 20, (size_t)kb << 10);
		void *p = weft_huge_map(len, (unsigned int)__builtin_ctzl(kb << 10));
		if (p == NULL)
			continue;
		munmap(p, len);
		enough = true;
	}
	if (dir != NULL)
		closedir(dir);
	return enough;
}

static int choose_memory(const struct datapath_config *config, bool *huge, struct err *err)
{
	size_t mb = heap_mb(config);

	*huge = config->hugepages != DATAPATH_HUGEPAGES_OFF && huge_pages_free(mb);
	if (*huge || config->hugepages == DATAPATH_HUGEPAGES_OFF)
		return 0;
	if (config->hugepages == DATAPATH_HUGEPAGES_REQUIRE)
		return weft_fail(err, -ENOMEM,
				 "hugepages = require, but fewer than %zu MB of huge pages are "
				 "free (sysctl vm.nr_hugepages)",
				 mb);
	weft_log_info("fewer than %zu MB of huge pages are free: using ordinary memory, which is "
		      "a little slower",
		      mb);
	return 0;
}

// EAL makes <dir>/dpdk/<prefix>, although with --no-shconf and --in-memory nothing is ever put
// there. Let it do so where no other daemon does, and leave nothing behind.
struct runtime_dir {
	char path[PATH_MAX - 32];
	bool temporary;
	char *saved; // of the environment
};

static int runtime_dir_begin(struct runtime_dir *d, const char *run_dir, struct err *err)
{
	d->temporary = run_dir == NULL || run_dir[0] == '\0';
	snprintf(d->path, sizeof(d->path), "%s", d->temporary ? "/tmp/weft-XXXXXX" : run_dir);
	if (d->temporary && mkdtemp(d->path) == NULL)
		return weft_fail(err, -errno, "cannot make %s: %s", d->path, strerror(errno));

	const char *before = getenv("RUNTIME_DIRECTORY");
	d->saved = before != NULL ? strdup(before) : NULL;
	setenv("RUNTIME_DIRECTORY", d->path, 1);
	return 0;
}

static void runtime_dir_end(struct runtime_dir *d)
{
	char path[PATH_MAX];

	if (d->saved != NULL)
		setenv("RUNTIME_DIRECTORY", d->saved, 1);
	else
		unsetenv("RUNTIME_DIRECTORY");
	free(d->saved);

	snprintf(path, sizeof(path), "%s/dpdk/" PREFIX, d->path);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/dpdk", d->path);
	rmdir(path);
	if (d->temporary)
		rmdir(d->path);
}

// EAL would bind this thread to one core, for good; and it wants to be told one that exists.
static int eal_init(const struct datapath_config *config, size_t mb, bool huge)
{
	static char allow[] = "-a", no_pci[] = "--no-pci";
	char line[256], *argv[16 + 2 * NATIVE_MAX_TRUNKS], *rest = line;
	cpu_set_t affinity;
	bool restore = pthread_getaffinity_np(pthread_self(), sizeof(affinity), &affinity) == 0;
	int cpu = sched_getcpu(), argc = 0;

	int len = snprintf(line, sizeof(line),
			   "weftd --lcores=0@%d --no-telemetry --log-level=warning "
			   "--file-prefix=" PREFIX,
			   cpu < 0 ? 0 : cpu);
	if (huge)
		snprintf(line + len, sizeof(line) - (size_t)len, " --in-memory");
	else
		snprintf(line + len, sizeof(line) - (size_t)len, " --no-huge --no-shconf -m %zu",
			 mb);
	while (argc < 12 && (argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	int words = argc;
	for (size_t i = 0; i < config->n_physical && i < NATIVE_MAX_TRUNKS; i++) {
		if (!is_on_a_bus(&config->physical[i]))
			continue;
		argv[argc++] = allow;
		argv[argc++] = (char *)(uintptr_t)config->physical[i].device;
	}
	if (argc == words)
		argv[argc++] = no_pci;
	argv[argc] = NULL;

	int ret = rte_eal_init(argc, argv);
	if (restore)
		pthread_setaffinity_np(pthread_self(), sizeof(affinity), &affinity);
	return ret;
}

int weft_eal_start(const struct datapath_config *config, bool *huge, struct err *err)
{
	struct runtime_dir dir;
	bool use_huge;
	int ret;

	if (started)
		return weft_fail(err, -EALREADY, "DPDK can be started only once in a process");
	ret = choose_memory(config, &use_huge, err);
	if (ret == 0)
		ret = log_open(err);
	if (ret == 0)
		ret = runtime_dir_begin(&dir, config->run_dir, err);
	if (ret < 0)
		return ret;

	started = true;
	may_do_without = use_huge && config->hugepages == DATAPATH_HUGEPAGES_AUTO;
	log_last[0] = '\0';
	trying = may_do_without;
	ret = eal_init(config, heap_mb(config), use_huge);
	trying = false;
	int code = rte_errno;
	runtime_dir_end(&dir);
	if (ret >= 0) {
		*huge = use_huge;
		return 0;
	}
	// Pages may have gone since choose_memory, and DPDK does not start twice.
	ret = may_do_without ? -ERESTART : code > 0 ? -code : -EINVAL;
	return weft_fail(err, ret, "DPDK does not start: %s",
			 log_last[0] != '\0' ? log_last : rte_strerror(code));
}

void weft_eal_stop(void)
{
	rte_eal_cleanup();
	rte_openlog_stream(NULL);
	if (log_stream != NULL)
		fclose(log_stream);
	log_stream = NULL;
}

void weft_eal_listen(bool on)
{
	listening = on;
	if (on)
		heard[0] = '\0';
}

const char *weft_eal_heard(void)
{
	return heard;
}

// As rte_pktmbuf_pool_create(), but without huge pages that would keep each buffer within a page
// of its own, for devices that we do not have then: 4 KB for each 2.3 KB.
int weft_eal_pool(const struct datapath_config *config, struct rte_mempool **out, struct err *err)
{
	unsigned int flags = rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
	int no_memory = may_do_without ? -ERESTART : -ENOMEM;
	struct rte_mempool *pool = rte_mempool_create_empty(
		"weft", buffers(config), RTE_MBUF_DEFAULT_BUF_SIZE + sizeof(struct rte_mbuf),
		BUFFERS_CACHED, sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY, flags);
	int ret;

	if (pool == NULL)
		return weft_fail(err, no_memory, "no memory for %u packet buffers: %s",
				 buffers(config), rte_strerror(rte_errno));
	ret = rte_mempool_set_ops_byname(pool, "ring_mp_mc", NULL);
	if (ret < 0) {
		rte_mempool_free(pool);
		return weft_fail(
			err, -ENOTSUP,
			"DPDK has no memory pool driver \"ring\": install librte-mempool-ring23");
	}
	rte_pktmbuf_pool_init(pool, NULL);
	ret = rte_mempool_populate_default(pool);
	if (ret < 0) {
		rte_mempool_free(pool);
		return weft_fail(err, no_memory, "no memory for %u packet buffers: %s",
				 buffers(config), rte_strerror(-ret));
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	*out = pool;
	return 0;
}

// The cores that this process may use, all but the first, then the first: that one serves
// interrupts and, most likely, the control thread. More workers than cores share them.
static int cores_choose(const cpu_set_t *allowed, uint16_t n, int *cores)
{
	int list[CPU_SETSIZE];
	int count = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, allowed))
			list[count++] = cpu;
	for (int i = 0; i < n; i++)
		cores[i] = list[(i + 1) % count];
	return 0;
}

// One "a" or "a-b" of a list; *at becomes what follows it, NULL at the end.
static int cores_next(const char **at, unsigned long *first, unsigned long *last)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return -EINVAL;
	*first = *last = strtoul(*at, &end, 10);
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]))
			return -EINVAL;
		*last = strtoul(end + 1, &end, 10);
	}
	if (*end != '\0' && *end != ',')
		return -EINVAL;
	*at = *end == ',' ? end + 1 : NULL;
	return *first <= *last ? 0 : -EINVAL;
}

int weft_eal_cores(const char *spec, uint16_t n, int *cores, struct err *err)
{
	cpu_set_t allowed, seen;
	unsigned long first, last;
	uint16_t count = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return weft_fail(err, -errno, "cannot read the CPU affinity: %s", strerror(errno));
	if (spec == NULL || spec[0] == '\0')
		return cores_choose(&allowed, n, cores);

	CPU_ZERO(&seen);
	for (const char *at = spec; at != NULL;) {
		if (cores_next(&at, &first, &last) < 0)
			return weft_fail(err, -EINVAL,
					 "cores = %s: expected core numbers such as \"0\", \"2-5\" "
					 "or \"1,3\"",
					 spec);
		for (unsigned long cpu = first; cpu <= last; cpu++) {
			if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))
				return weft_fail(err, -EINVAL,
						 "cores = %s: this process has no core %lu", spec,
						 cpu);
			if (CPU_ISSET(cpu, &seen))
				return weft_fail(err, -EINVAL,
						 "cores = %s: core %lu stands there twice", spec,
						 cpu);
			CPU_SET(cpu, &seen);
			if (count < n)
				cores[count++] = (int)cpu;
		}
	}
	if (count < n)
		return weft_fail(err, -EINVAL, "cores = %s: too few for %u workers", spec, n);
	return 0;
}
