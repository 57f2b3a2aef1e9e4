// SPDX-License-Identifier: Apache-2.0
/*
 * A library that goes between a program and libc in tests of faults: it moves the wall
 * clock, and makes writing to files and sockets fail. What it does stands in the file beside it,
 * <library>.state, and may be changed while the program runs:
 *
 *	int64_t		seconds that the wall clock is ahead (or, negative, behind)
 *	int32_t		errno of every pwrite(2), fsync(2) and fdatasync(2); 0: none
 *	int32_t		N: of N calls of sendmsg(2) that name an address, N - 1 find the
 *			socket full; 0: none does
 *
 * The file is mapped before main(), so a process without a file system sees it too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct shim_state {
	volatile int64_t	ahead;
	volatile int32_t	write_error;
	volatile int32_t	socket_full;
};

static const struct shim_state nothing;
static const struct shim_state *state = &nothing;
static __typeof__(&clock_gettime) next_clock_gettime;
static __typeof__(&pwrite) next_pwrite;
static __typeof__(&sendmsg) next_sendmsg;
static __typeof__(&fsync) next_fsync, next_fdatasync;

__attribute__((constructor)) static void shim_init(void)
{
	char path[PATH_MAX];
	Dl_info info;
	void *memory;
	int fd;

	next_clock_gettime = (__typeof__(next_clock_gettime))dlsym(RTLD_NEXT, "clock_gettime");
	next_pwrite = (__typeof__(next_pwrite))dlsym(RTLD_NEXT, "pwrite64");
	next_sendmsg = (__typeof__(next_sendmsg))dlsym(RTLD_NEXT, "sendmsg");
	next_fsync = (__typeof__(next_fsync))dlsym(RTLD_NEXT, "fsync");
	next_fdatasync = (__typeof__(next_fdatasync))dlsym(RTLD_NEXT, "fdatasync");
	if (!dladdr((void *)shim_init, &info))
		return;
	snprintf(path, sizeof(path), "%s.state", info.dli_fname);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(*state), PROT_READ, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		state = memory;
	close(fd);
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's own, replaced */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = next_clock_gettime(clock, now);

	if (!ret && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += state->ahead;
	return ret;
}

time_t time(time_t *out)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}

static int fails(void)
{
	if (!state->write_error)
		return 0;
	errno = state->write_error;
	return 1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
	return fails() ? -1 : next_pwrite(fd, bytes, len, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	return fails() ? -1 : next_pwrite(fd, bytes, len, offset);
}

int fsync(int fd)
{
	return fails() ? -1 : next_fsync(fd);
}

int fdatasync(int fd)
{
	return fails() ? -1 : next_fdatasync(fd);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static unsigned int calls;

	if (message->msg_name && state->socket_full && ++calls % (unsigned int)state->socket_full) {
		errno = EAGAIN;
		return -1;
	}
	return next_sendmsg(fd, message, flags);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
