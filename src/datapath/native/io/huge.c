// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/huge.h"

#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void *weft_huge_map(size_t len, unsigned int log2)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (int)(log2 << MAP_HUGE_SHIFT),
		       -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	// EINVAL: a kernel before 5.14 does not know this. They are believed to be there, then.
	if (madvise(p, len, MADV_POPULATE_WRITE) == 0 || errno == EINVAL)
		return p;
	munmap(p, len);
	return NULL;
}
