/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of memory merging: the module's messages, what the kernel says of a
 * process's memory, and actors: processes in a cgroup that map memory when told
 * to. Beside kmod.h, in one file of a program.
 */
#ifndef HOODY_SELFTESTS_KSM_H
#define HOODY_SELFTESTS_KSM_H

#include "kmod.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define KSM_MIB		(1UL << 20)
#define KSM_SYS		"/sys/kernel/mm/ksm/"
#define KSM_DAX		"/run/hoody-dax"
#define KSM_DAX_FILE	KSM_DAX "/file"

struct ksm_status {
	uint32_t	state;
	unsigned int	names;
	uint64_t	count[__HOODY_KSM_COUNT_MAX];
};

/* Registers container @n of project @project at @cgroup (a path). */
static inline int ksm_container(struct kmod_nl *nl, uint32_t n, uint32_t project,
				const char *cgroup)
{
	static uint64_t generation;
	struct kmod_container container = { .generation = ++generation };

	kmod_id(container.id, n);
	kmod_id(container.project, project);
	container.cgroup = kmod_cgroup_id(cgroup);
	return kmod_container_set(nl, &container);
}

/* @names: one string, with blanks between. */
static inline int ksm_set(struct kmod_nl *nl, uint32_t n, uint32_t mode, uint32_t domain,
			  const char *names)
{
	char buffer[2048], copy[1024], *name, *rest = copy;
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_KSM_SET, 0);
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, n);
	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	mnl_attr_put_u32(header, HOODY_A_KSM_MODE, mode);
	if (domain) {
		kmod_id(id, domain);
		mnl_attr_put(header, HOODY_A_KSM_DOMAIN, HOODY_ID_LEN, id);
	}
	snprintf(copy, sizeof(copy), "%s", names);
	while ((name = strsep(&rest, " ")))
		if (*name)
			mnl_attr_put_strz(header, HOODY_A_KSM_NAME, name);
	return kmod_nl_talk(nl, header, NULL, NULL);
}

static inline int ksm_status_attr(const struct nlattr *attr, void *data)
{
	struct ksm_status *status = data;

	switch (mnl_attr_get_type(attr)) {
	case HOODY_A_KSM_STATE:
		status->state = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_KSM_NAME:
		status->names++;
		break;
	case HOODY_A_KSM_COUNTS:
		if (mnl_attr_get_payload_len(attr) == sizeof(status->count))
			memcpy(status->count, mnl_attr_get_payload(attr), sizeof(status->count));
		break;
	}
	return MNL_CB_OK;
}

static inline int ksm_status_read(const struct nlmsghdr *header, void *data)
{
	return mnl_attr_parse(header, sizeof(struct genlmsghdr), ksm_status_attr, data);
}

static inline int ksm_get(struct kmod_nl *nl, uint32_t n, struct ksm_status *status)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_KSM_GET, 0);
	uint8_t id[HOODY_ID_LEN];

	memset(status, 0, sizeof(*status));
	kmod_id(id, n);
	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	return kmod_nl_talk(nl, header, ksm_status_read, status);
}

/* Waits for a state, or for -ENOENT where @state is 0. */
static inline bool ksm_wait(struct kmod_nl *nl, uint32_t n, uint32_t state)
{
	struct ksm_status status = {};

	for (uint64_t end = limit_end_us(60); limit_now_us() < end; usleep(2000)) {
		int err = ksm_get(nl, n, &status);

		if (state ? !err && status.state == state : err == -ENOENT)
			return true;
	}
	printf("# container %u is in state %u, not %u\n", n, status.state, state);
	return false;
}

static inline bool ksm_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static inline uint64_t ksm_read(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
	}
	return strtoull(text, NULL, 10);
}

/* What /proc/PID/smaps says of the area at an address, or of all (0). */
struct ksm_area {
	unsigned long	merged;		/* bytes */
	unsigned int	marked;		/* areas with the flag "mg" */
};

static inline struct ksm_area ksm_area(pid_t pid, uintptr_t at)
{
	struct ksm_area area = { 0 };
	unsigned long from, to, kib;
	char path[64], line[4096];
	bool inside = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = !at || (from <= at && at < to);
		else if (inside && sscanf(line, "KSM: %lu kB", &kib) == 1)
			area.merged += kib * 1024;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			area.marked += strstr(line, " mg") != NULL;
	}
	if (file)
		fclose(file);
	return area;
}

/* Waits until the area at @at has @bytes merged (0: none). */
static inline bool ksm_wait_merged(pid_t pid, uintptr_t at, unsigned long bytes)
{
	struct ksm_area area = { 0 };

	for (uint64_t end = limit_end_us(120); limit_now_us() < end; usleep(20000)) {
		area = ksm_area(pid, at);
		if (bytes ? area.merged >= bytes : !area.merged)
			return true;
	}
	printf("# %lu bytes of process %d are merged, not %lu\n", area.merged, pid, bytes);
	return false;
}

/* What an actor is told to do; it answers with an address or a process number. */
enum ksm_order {
	KSM_MAP,		/* private memory of @value bytes, the same in every actor */
	KSM_MAP_SHARED,
	KSM_MAP_HUGETLB,
	KSM_MAP_DEVICE,
	KSM_MAP_DAX,		/* @value bytes of KSM_DAX_FILE, written to */
	KSM_MAP_LOCKED,
	KSM_MAP_SPARSE,		/* @value bytes of which one page in a GiB is there */
	KSM_MAP_HUGE,		/* transparent huge pages */
	KSM_LOCK,		/* locks what is at @value, a MiB */
	KSM_UNMERGEABLE,	/* madvise() for what is at @value, a MiB */
	KSM_LEAVE,		/* prctl(): out of merging */
	KSM_FORK,		/* a child that waits */
	KSM_EXEC,		/* a child that executes this program, which maps 1 MiB */
	KSM_CHURN,		/* maps, forks and unmaps for ever */
};

struct ksm_actor {
	pid_t	pid;
	int	fd;
};

/* Page @i of every actor holds the same, and no two pages do. */
static inline void *ksm_map(size_t size, int flags, int fd, bool fill)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		return NULL;
	for (size_t i = 0; fill && i < size; i += 4096) {
		memset(memory + i, 0x5a, 4096);
		*(size_t *)(memory + i) = i;
	}
	return memory;
}

static inline void *ksm_map_device(void)
{
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0xf0000);

	close(fd);
	return memory == MAP_FAILED ? NULL : memory;
}

/* Copies of one's own, of a file that lies in memory and is mapped without a page cache. */
static inline void *ksm_map_dax(size_t size)
{
	int fd = open(KSM_DAX_FILE, O_RDWR | O_CLOEXEC);
	struct statx stat = { 0 };
	char *memory;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) ||
	    !(stat.stx_attributes & STATX_ATTR_DAX))
		return NULL;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return NULL;
	memset(memory, 0xa5, size);
	return memory;
}

static inline void *ksm_map_sparse(size_t size)
{
	char *memory = ksm_map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, false);

	if (memory)
		madvise(memory, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; memory && i < size; i += 1UL << 30)
		memory[i] = 1;
	return memory;
}

static inline void *ksm_map_huge(size_t size)
{
	char *memory = ksm_map(size + 2 * KSM_MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1, false);

	if (!memory)
		return NULL;
	memory = (char *)(((uintptr_t)memory + 2 * KSM_MIB - 1) & ~(2 * KSM_MIB - 1));
	madvise(memory, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < size; i += 4096) {
		memset(memory + i, 0xa5, 4096);
		*(size_t *)(memory + i) = i;
	}
	return memory;
}

static inline pid_t ksm_fork(bool exec)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ready[1], 1);
		if (exec)
			execl("/proc/self/exe", "ksm-child", "--child", (char *)NULL);
		if (write(1, "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static inline void ksm_churn(void)
{
	for (;;) {
		void *memory = ksm_map(64 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1, true);
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		munmap(memory, 64 * 4096);
	}
}

static inline uintptr_t ksm_actor_do(enum ksm_order order, uintptr_t value)
{
	int private = MAP_PRIVATE | MAP_ANONYMOUS;
	void *memory;

	switch (order) {
	case KSM_MAP:
		/* Unmerged and merged pages of one size, whatever the host prefers. */
		return (uintptr_t)ksm_map(value, private, -1, true);
	case KSM_MAP_SHARED:
		return (uintptr_t)ksm_map(value, MAP_SHARED | MAP_ANONYMOUS, -1, true);
	case KSM_MAP_HUGETLB:
		return (uintptr_t)ksm_map(value, private | MAP_HUGETLB, -1, true);
	case KSM_MAP_DEVICE:
		return (uintptr_t)ksm_map_device();
	case KSM_MAP_DAX:
		return (uintptr_t)ksm_map_dax(value);
	case KSM_MAP_LOCKED:
		memory = ksm_map(value, private, -1, true);
		return memory && !mlock(memory, value) ? (uintptr_t)memory : 0;
	case KSM_MAP_SPARSE:
		return (uintptr_t)ksm_map_sparse(value);
	case KSM_MAP_HUGE:
		return (uintptr_t)ksm_map_huge(value);
	case KSM_LOCK:
		return !mlock((void *)value, KSM_MIB);
	case KSM_UNMERGEABLE:
		return !madvise((void *)value, KSM_MIB, MADV_UNMERGEABLE);
	case KSM_LEAVE:
		return !prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	case KSM_FORK:
	case KSM_EXEC:
		return ksm_fork(order == KSM_EXEC);
	case KSM_CHURN:
		ksm_churn();
	}
	return 0;
}

static inline struct ksm_actor ksm_actor(const char *cgroup, const char *name)
{
	uintptr_t order[2], answer;
	struct ksm_actor actor;
	char path[256];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		kmod_die("socketpair");
	fflush(stdout);
	actor.pid = fork();
	if (actor.pid < 0)
		kmod_die("fork");
	if (!actor.pid) {
		dup2(pair[1], 3);
		close_range(4, ~0u, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
		if (!ksm_write(path, "0"))
			_exit(1);
		while (read(3, order, sizeof(order)) == sizeof(order)) {
			answer = ksm_actor_do(order[0], order[1]);
			if (write(3, &answer, sizeof(answer)) != sizeof(answer))
				break;
		}
		_exit(0);
	}
	close(pair[1]);
	actor.fd = pair[0];
	return actor;
}

/* 0 where it could not be done. */
static inline uintptr_t ksm_do(const struct ksm_actor *actor, enum ksm_order order,
			       uintptr_t value)
{
	uintptr_t message[2] = { order, value }, answer;

	if (send(actor->fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
		return 0;
	if (order == KSM_CHURN)
		return 1;
	return recv(actor->fd, &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer) ? answer : 0;
}

static inline void ksm_stop(struct ksm_actor *actor)
{
	close(actor->fd);
	kill(actor->pid, SIGKILL);
	waitpid(actor->pid, NULL, 0);
}

#endif /* HOODY_SELFTESTS_KSM_H */
