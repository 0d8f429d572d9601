// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/eal.h"

#include <errno.h>
#include <linux/mman.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "base/skip.h"
#include "base/text.h"

#include <cmocka.h>

static struct rte_mempool *pool;

static const struct datapath_config config = {.workers = 2};

static void refused(const char *spec, uint16_t n, const char *why)
{
	struct err err = {0};
	int cores[8];

	assert_int_equal(weft_eal_cores(spec, n, cores, &err), -EINVAL);
	if (strstr(err.msg, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

static void cores_are_read_from_lists_and_ranges(void **state)
{
	(void)state;
	cpu_set_t mask, two;
	int cores[4], first = -1, second = -1;
	char spec[64];

	assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && second < 0; cpu++) {
		if (!CPU_ISSET(cpu, &mask))
			continue;
		if (first < 0)
			first = cpu;
		else
			second = cpu;
	}
	if (second != first + 1)
		weft_skip("this machine gives us one core, or scattered ones");

	CPU_ZERO(&two);
	CPU_SET(first, &two);
	CPU_SET(second, &two);
	assert_int_equal(sched_setaffinity(0, sizeof(two), &two), 0);

	snprintf(spec, sizeof(spec), "%d,%d", second, first);
	assert_int_equal(weft_eal_cores(spec, 2, cores, NULL), 0);
	assert_int_equal(cores[0], second);
	assert_int_equal(cores[1], first);

	snprintf(spec, sizeof(spec), "%d-%d", first, second);
	assert_int_equal(weft_eal_cores(spec, 2, cores, NULL), 0);
	assert_int_equal(cores[0], first);
	assert_int_equal(cores[1], second);
	refused(spec, 3, "too few for 3 workers");

	// Ours to choose: the first core last, and then they share.
	assert_int_equal(weft_eal_cores("", 3, cores, NULL), 0);
	assert_int_equal(cores[0], second);
	assert_int_equal(cores[1], first);
	assert_int_equal(cores[2], second);

	snprintf(spec, sizeof(spec), "%d", second + 1);
	refused(spec, 1, "has no core");
	assert_int_equal(sched_setaffinity(0, sizeof(mask), &mask), 0);
}

static void malformed_cores_are_refused(void **state)
{
	(void)state;
	static const char *const specs[] = {"x",  "1-",	 "-1",	 "3-2", ",",   "0,",
					    "0x", "0 1", "0--1", " 0",	"1,,2"};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		refused(specs[i], 1, "expected core numbers");
	refused("4095", 1, "has no core 4095");
	refused("99999999999999999999", 1, "has no core");
}

static void start_is_fast_and_leaves_the_thread_alone(void **state)
{
	(void)state;
	cpu_set_t before, after;
	struct err err = {0};
	bool huge;

	assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof(before), &before), 0);
	uint64_t t = weft_now_ms();
	if (weft_eal_start(&config, &huge, &err) < 0)
		fail_msg("%s", err.msg);
	if (weft_eal_pool(&config, &pool, &err) < 0)
		fail_msg("%s", err.msg);
	t = weft_now_ms() - t;
	print_message("started in %u ms, huge pages: %s\n", (unsigned int)t, huge ? "yes" : "no");
	assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	assert_int_equal(weft_eal_start(&config, &huge, &err), -EALREADY);
}

static void *take_and_give(void *arg)
{
	struct rte_mbuf *pkts[64];
	bool *ok = arg;

	*ok = rte_thread_register() == 0 &&
	      rte_mempool_default_cache(pool, rte_lcore_id()) != NULL &&
	      rte_pktmbuf_alloc_bulk(pool, pkts, 64) == 0;
	if (*ok)
		rte_pktmbuf_free_bulk(pkts, 64);
	rte_thread_unregister();
	return NULL;
}

static void buffers_hold_2_kb_and_threads_of_ours_have_a_cache(void **state)
{
	(void)state;
	pthread_t thread;
	bool ok = false;

	assert_non_null(pool); // made by an earlier test
	assert_int_equal(rte_pktmbuf_data_room_size(pool), 2048 + RTE_PKTMBUF_HEADROOM);
	assert_true(rte_mempool_avail_count(pool) >= 16383);
	assert_int_equal(pthread_create(&thread, NULL, take_and_give, &ok), 0);
	pthread_join(thread, NULL);
	assert_true(ok);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

// ---- Huge pages that are not there after all ----

// What the kernel does about huge pages in the next test. Whoever looks for some first gets them,
// and `left` mappings more.
static struct {
	bool pretended, beyond_limit;
	int asked, left;
} pages;

// ThreadSanitizer maps memory before it can be told of anything.
#define EARLY __attribute__((no_sanitize("thread")))

// Touching it is answered by SIGBUS, as beyond a control group's limit.
EARLY static void *beyond_limit(size_t len)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);

	return (void *)syscall(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

EARLY static void *map(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if ((flags & MAP_HUGETLB) != 0 && pages.pretended) {
		flags &= (int)~(MAP_HUGETLB | (unsigned int)MAP_HUGE_MASK << MAP_HUGE_SHIFT);
		if (pages.beyond_limit)
			return beyond_limit(len);
		if (pages.asked++ > 0 && pages.left-- <= 0) {
			errno = ENOMEM;
			return MAP_FAILED;
		}
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

// In the C library's place, by both of its names.
void *plain_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset) __asm__("mmap");
EARLY void *plain_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return map(addr, len, prot, flags, fd, offset);
}
void *large_mmap(void *addr, size_t len, int prot, int flags, int fd,
		 off_t offset) __asm__("mmap64");
EARLY void *large_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return map(addr, len, prot, flags, fd, offset);
}

// DPDK takes anonymous ones then.
int memfd_create(const char *name, unsigned int flags)
{
	if ((flags & MFD_HUGETLB) != 0 && pages.pretended) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_memfd_create, name, flags);
}

static bool write_count(const char *name, unsigned int n)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", name);
	FILE *f = fopen(path, "w");
	return f != NULL && fprintf(f, "%u\n", n) > 0 && fclose(f) == 0;
}

// What the kernel says, to this process only.
static bool say_free(unsigned int n)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/sys/kernel/mm/hugepages", "tmpfs", 0, NULL) == 0 &&
	       mkdir("/sys/kernel/mm/hugepages/hugepages-2048kB", 0755) == 0 &&
	       write_count("nr_hugepages", n) && write_count("free_hugepages", n) &&
	       write_count("resv_hugepages", 0) && write_count("surplus_hugepages", 0) &&
	       write_count("nr_overcommit_hugepages", 0);
}

enum { STARTED_HUGE = 1, STARTED_ORDINARY, POOL_RESTARTS, RESTARTS, REFUSED, OTHERWISE, NOT_HERE };

static int start_with(enum datapath_hugepages wanted, unsigned int said, int left, bool limited)
{
	const struct datapath_config c = {.workers = 1, .hugepages = wanted};
	struct rte_mempool *mine;
	struct err err = {0};
	bool huge;
	pid_t pid = fork();
	int ret, status;

	if (pid == 0) {
		if (!say_free(said))
			_exit(NOT_HERE);
		pages.pretended = true;
		pages.left = left;
		pages.beyond_limit = limited;
		ret = weft_eal_start(&c, &huge, &err);
		if (ret < 0)
			_exit(ret == -ERESTART ? RESTARTS : ret == -ENOMEM ? REFUSED : OTHERWISE);
		ret = weft_eal_pool(&c, &mine, &err);
		_exit(ret == -ERESTART ? POOL_RESTARTS
		      : ret < 0	       ? OTHERWISE
		      : huge	       ? STARTED_HUGE
				       : STARTED_ORDINARY);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NOT_HERE)
		weft_skip("no right to mount, so no number of huge pages can be played");
	return WEXITSTATUS(status);
}

static void auto_uses_huge_pages_that_are_there(void **state)
{
	(void)state;
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_AUTO, 512, 512, false), STARTED_HUGE);
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_OFF, 512, 512, false), STARTED_ORDINARY);
}

static void auto_does_without_huge_pages_beyond_a_limit(void **state)
{
	(void)state;
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_AUTO, 512, 512, true), STARTED_ORDINARY);
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_REQUIRE, 512, 512, true), REFUSED);
}

static void auto_asks_for_a_new_process_when_huge_pages_go_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_AUTO, 512, 0, false), RESTARTS);
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_AUTO, 0, 0, false), RESTARTS);
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_AUTO, 512, 8, false), POOL_RESTARTS);
	assert_int_equal(start_with(DATAPATH_HUGEPAGES_REQUIRE, 512, 8, false), OTHERWISE);
}

// Before this process has its own.
static void many_daemons_run_side_by_side(void **state)
{
	(void)state;
	pid_t pids[3];

	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			bool huge;
			struct rte_mempool *mine;

			if (weft_eal_start(&config, &huge, NULL) < 0 ||
			    weft_eal_pool(&config, &mine, NULL) < 0)
				_exit(1);
			usleep(300 * 1000); // until all three are up
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cores_are_read_from_lists_and_ranges),
		cmocka_unit_test(malformed_cores_are_refused),
		cmocka_unit_test(auto_uses_huge_pages_that_are_there),
		cmocka_unit_test(auto_does_without_huge_pages_beyond_a_limit),
		cmocka_unit_test(auto_asks_for_a_new_process_when_huge_pages_go_meanwhile),
		cmocka_unit_test(many_daemons_run_side_by_side),
		cmocka_unit_test(start_is_fast_and_leaves_the_thread_alone),
		cmocka_unit_test(buffers_hold_2_kb_and_threads_of_ours_have_a_cache),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	rte_mempool_free(pool);
	weft_eal_stop();
	return ret;
}
