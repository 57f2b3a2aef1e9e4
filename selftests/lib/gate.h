/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the syscall gate: profiles from JSON, containers that have one,
 * and actors: processes in a cgroup that make system calls when told to. Beside
 * kmod.h, in one file of a program. An actor makes no call of its own but read,
 * write and exit, so that a profile may refuse nearly everything.
 */
#ifndef HOODY_SELFTESTS_GATE_H
#define HOODY_SELFTESTS_GATE_H

#include "kmod.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "profile/profile.h"

#define GATE_ROOT	"/sys/fs/cgroup/hoody-gate"

/* The table of @json, or NULL. */
static inline struct hoody_table *gate_compile(const char *json)
{
	static struct profile_report report;
	struct profile_options options = { .kernel_major = 6, .kernel_minor = 12 };
	struct hoody_table *table;

	errno = -profile_compile(json, strlen(json), &options, &table, &report);
	if (errno)
		printf("# profile: %s\n", report.error);
	return table;
}

/* Loads @table as @name; -errno of the kernel. */
static inline int gate_table_load(struct kmod_nl *nl, const char *name, uint64_t generation,
				  const struct hoody_table *table)
{
	struct nlmsghdr *header;
	char *buffer;
	int err;

	buffer = malloc(table->size + 512);
	header = kmod_nl_message(nl, buffer, HOODY_CMD_PROFILE_SET, 0);
	mnl_attr_put_strz(header, HOODY_A_PROFILE, name);
	mnl_attr_put_u64(header, HOODY_A_GENERATION, generation);
	mnl_attr_put(header, HOODY_A_TABLE, table->size, table);
	err = kmod_nl_talk(nl, header, NULL, NULL);
	free(buffer);
	return err;
}

/* Loads @json as @name; -errno of the compiler or of the kernel. */
static inline int gate_profile(struct kmod_nl *nl, const char *name, uint64_t generation,
			       const char *json)
{
	struct hoody_table *table = gate_compile(json);
	int err = table ? gate_table_load(nl, name, generation, table) : -errno;

	free(table);
	return err;
}

static inline int gate_profile_del(struct kmod_nl *nl, const char *name)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_PROFILE_DEL, 0);

	mnl_attr_put_strz(header, HOODY_A_PROFILE, name);
	return kmod_nl_talk(nl, header, NULL, NULL);
}

/* Container number @n at @cgroup (a path) with @profile, or without where it is NULL. */
static inline int gate_attach(struct kmod_nl *nl, uint32_t n, const char *cgroup,
			      const char *profile, uint32_t mode)
{
	static uint64_t generation;
	char buffer[1024];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_CONTAINER_SET, 0);
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, n);
	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	mnl_attr_put(header, HOODY_A_PROJECT, HOODY_ID_LEN, id);
	mnl_attr_put_u64(header, HOODY_A_GENERATION, ++generation);
	mnl_attr_put_u64(header, HOODY_A_CGROUP, kmod_cgroup_id(cgroup));
	if (profile) {
		mnl_attr_put_strz(header, HOODY_A_PROFILE, profile);
		mnl_attr_put_u32(header, HOODY_A_GATE_MODE, mode);
	}
	return kmod_nl_talk(nl, header, NULL, NULL);
}

static inline int gate_delete(struct kmod_nl *nl, uint32_t n)
{
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, n);
	return kmod_container_del(nl, id, 0);
}

struct gate_count {
	uint32_t	arch, nr;
	uint64_t	count;		/* of that call */
	unsigned int	messages;	/* calls with any count */
};

static inline int gate_count_read(const struct nlmsghdr *header, void *data)
{
	struct gate_count *wanted = data;
	uint32_t arch = 0, nr = 0;
	const struct nlattr *attr;
	uint64_t count = 0;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == HOODY_A_ARCH)
			arch = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == HOODY_A_SYSCALL)
			nr = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == HOODY_A_COUNT)
			count = mnl_attr_get_u64(attr);
	}
	wanted->messages++;
	if (arch == wanted->arch && nr == wanted->nr)
		wanted->count = count;
	return MNL_CB_OK;
}

/* What container @n counted for a call. */
static inline uint64_t gate_count(struct kmod_nl *nl, uint32_t n, uint32_t arch, uint32_t nr)
{
	struct gate_count wanted = { .arch = arch, .nr = nr };
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_GATE_GET, NLM_F_DUMP);
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, n);
	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	if (kmod_nl_talk(nl, header, gate_count_read, &wanted))
		return UINT64_MAX;
	return wanted.count;
}

static inline void gate_cgroup(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		kmod_die(path);
}

/* Moves process @pid (0: the caller) into the cgroup. */
static inline void gate_move(const char *path, pid_t pid)
{
	char name[512], text[32];
	int fd;

	snprintf(name, sizeof(name), "%s/cgroup.procs", path);
	fd = open(name, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d", pid);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		kmod_die(name);
	close(fd);
}

/* A system call through int 0x80, as a 32-bit program makes it; -errno on errors. */
static inline long gate_int80(long nr, long a, long b, long c, long d, long e)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* The same by the instruction of 64-bit programs. */
static inline long gate_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "memory", "rcx", "r11");
	return result;
}

struct actor {
	pid_t	pid;
	int	fd;
};

struct actor_request {
	long	arch, nr, args[6];
};

static inline long actor_do(const struct actor_request *request)
{
	const long *a = request->args;

	if (request->arch == HOODY_ARCH_IA32)
		return gate_int80(request->nr, a[0], a[1], a[2], a[3], a[4]);
	return gate_syscall(request->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static inline void actor_loop(int fd)
{
	struct actor_request request = {};
	long result;

	while (gate_syscall(SYS_read, fd, (long)&request, sizeof(request), 0, 0, 0) ==
	       sizeof(request)) {
		result = actor_do(&request);
		gate_syscall(SYS_write, fd, (long)&result, sizeof(result), 0, 0, 0);
	}
	for (;;)
		gate_syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

/* Starts an actor in @cgroup; @prepare (may be NULL) runs in it first. */
static inline struct actor actor_start(const char *cgroup, void (*prepare)(void))
{
	struct actor actor;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		kmod_die("socketpair");
	fflush(stdout);
	actor.pid = fork();
	if (actor.pid < 0)
		kmod_die("fork");
	if (!actor.pid) {
		/* Also the ends of other actors, which would never see theirs close. */
		dup2(pair[1], 3);
		close_range(4, ~0u, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		gate_move(cgroup, 0);
		if (prepare)
			prepare();
		actor_loop(3);
	}
	close(pair[1]);
	actor.fd = pair[0];
	return actor;
}

/* The result of a call that the actor makes; ACTOR_DEAD where it died of it. */
#define ACTOR_DEAD	(-1000000L)

static inline long actor_call6(const struct actor *actor, long arch, long nr, const long args[6])
{
	struct actor_request request = { .arch = arch, .nr = nr };
	long result;

	memcpy(request.args, args, sizeof(request.args));
	if (send(actor->fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request) ||
	    recv(actor->fd, &result, sizeof(result), MSG_WAITALL) != sizeof(result))
		return ACTOR_DEAD;
	return result;
}

/* actor_call(actor, number, arguments...) */
#define actor_call(actor, ...)		actor_make(actor, HOODY_ARCH_X86_64, \
						   (const long[7]){ __VA_ARGS__ })
#define actor_call32(actor, ...)	actor_make(actor, HOODY_ARCH_IA32, \
						   (const long[7]){ __VA_ARGS__ })

static inline long actor_make(const struct actor *actor, long arch, const long words[7])
{
	return actor_call6(actor, arch, words[0], words + 1);
}

/* Ends it; its wait status. */
static inline int actor_stop(struct actor *actor)
{
	int status = 0;

	close(actor->fd);
	waitpid(actor->pid, &status, 0);
	return status;
}

static inline uint64_t gate_stat(struct kmod_nl *nl, enum hoody_stat stat)
{
	struct kmod_stats stats;

	return kmod_stats_get(nl, &stats) ? UINT64_MAX : stats.value[stat];
}

/* What a test begins with: the module, its netlink, and @cgroup below GATE_ROOT. */
static inline void gate_begin(struct kmod_nl *nl, const char *cgroup)
{
	errno = -kmod_load("");
	if (errno)
		kmod_die("loading hoody.ko");
	if (kmod_nl_open(nl))
		kmod_die("netlink family");
	gate_cgroup(GATE_ROOT);
	gate_cgroup(cgroup);
}

/* And ends with: nothing is left of container 1, of @profile, and of the module. */
static inline int gate_end(struct kmod_nl *nl, const char *profile, const char *cgroup)
{
	gate_delete(nl, 1);
	gate_profile_del(nl, profile);
	kmod_nl_close(nl);
	rmdir(cgroup);
	rmdir(GATE_ROOT);
	return kmod_remove("hoody");
}

#endif /* HOODY_SELFTESTS_GATE_H */
