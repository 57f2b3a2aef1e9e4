// SPDX-License-Identifier: Apache-2.0
/* Memory for passes, see pass_memory.h. */
#include "lib/pass_memory.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

int pass_memory_create(void)
{
	int fd = memfd_create("hoody-passes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, PASS_MEMORY_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

void pass_memory_forget(int fd, unsigned int region)
{
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)region * PASS_REGION_BYTES, PASS_REGION_BYTES) < 0)
		log_error("passes of a worker that is gone cannot be forgotten: error=\"%s\"",
			  strerror(errno));
}

void *pass_memory_map(int fd)
{
	const int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	struct stat st;
	void *memory;
	int seals;

	if (fd >= 0) {
		seals = fcntl(fd, F_GET_SEALS);
		if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
		    st.st_size != (off_t)PASS_MEMORY_BYTES) {
			errno = EBADMSG;
			return NULL;
		}
	}
	memory = mmap(NULL, PASS_MEMORY_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void pass_memory_unmap(void *memory)
{
	munmap(memory, PASS_MEMORY_BYTES);
}
