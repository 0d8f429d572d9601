// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGES 32768

// len is 0 while the rest changes.
static struct range {
	_Atomic uintptr_t at;
	_Atomic size_t len;
	_Atomic(_Atomic bool *) hit;
} ranges[RANGES];
static _Atomic int n_ranges; // in use below this
static _Atomic int bell = -1;
static struct sigaction before;

static bool holds(struct range *r, uintptr_t address)
{
	uintptr_t at = atomic_load(&r->at);
	size_t len = atomic_load(&r->len);

	return address - at < len && atomic_load(&r->at) == at;
}

static bool replace(uintptr_t address)
{
	for (int i = 0, n = atomic_load(&n_ranges); i < n; i++) {
		struct range *r = &ranges[i];
		uint64_t one = 1;

		if (!holds(r, address))
			continue;
		if (mmap((void *)atomic_load(&r->at), atomic_load(&r->len), PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			return false;
		atomic_store(atomic_load(&r->hit), true);
		if (write(atomic_load(&bell), &one, sizeof(one)) < 0)
			return true; // it rings already, or there is none
		return true;
	}
	return false;
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)signal;
	(void)context;
	// With the former handler in place the same instruction fails again.
	if (!replace((uintptr_t)info->si_addr))
		sigaction(SIGBUS, &before, NULL);
	errno = saved;
}

int weft_vhost_guard_start(int wake)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	atomic_store(&bell, wake);
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &before) < 0 ? -errno : 0;
}

void weft_vhost_guard_stop(void)
{
	sigaction(SIGBUS, &before, NULL);
	atomic_store(&bell, -1);
}

int weft_vhost_guard_add(void *at, size_t len, _Atomic bool *hit)
{
	for (int i = 0; i < RANGES; i++) {
		struct range *r = &ranges[i];

		if (atomic_load(&r->len) != 0)
			continue;
		atomic_store(&r->at, (uintptr_t)at);
		atomic_store(&r->hit, hit);
		atomic_store(&r->len, len);
		if (i >= atomic_load(&n_ranges))
			atomic_store(&n_ranges, i + 1);
		return i;
	}
	return -ENOSPC;
}

void weft_vhost_guard_remove(int number)
{
	atomic_store(&ranges[number].len, 0);
}
