// SPDX-License-Identifier: Apache-2.0
/*
 * The syscall gate on a running kernel: what a profile does to tasks that run
 * already, in every mode and through every entry, and what becomes of the host.
 * gate_storm_test.c replaces profiles under load.
 */
#include "tap.h"
#include "gate.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <ucontext.h>

#define IA32	"\"architectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],"
#define ALLOW	"{\"defaultAction\":\"SCMP_ACT_ALLOW\"," IA32 "\"syscalls\":["
#define END	"]}"
#define RULE(names, action)	"{\"names\":[" names "],\"action\":\"SCMP_ACT_" action "\"}"

/* SYS_SECCOMP of asm/siginfo.h, which glibc does not have. */
#define SYS_SECCOMP_CODE	1

#define A	GATE_ROOT "/a"
#define B	GATE_ROOT "/b"
#define DEEP	A "/1/2/3/4"

static const char *const cgroups[] = { GATE_ROOT, A, B, A "/1", A "/1/2", A "/1/2/3", DEEP };
static struct kmod_nl nl;

static const char deny_mount[] = ALLOW RULE("\"mount\",\"ptrace\"", "ERRNO") END;
static const char deny_getppid[] =
	ALLOW "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77}" END;

/* mount(2) that fails for another reason (-ENODEV: no such file system) when it is let through. */
#define TRY_MOUNT	SYS_mount, (long)"x", (long)"/", (long)"none-such", 0, 0
#define TRY_MOUNT32	21, 0, 0, 0, 0, 0

static void setup(void)
{
	gate_begin(&nl, A);
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++)
		gate_cgroup(cgroups[i]);
}

/* Is @function hooked? NULL: how many lines there are in all. */
static int hooked(const char *function)
{
	FILE *file = fopen("/sys/kernel/tracing/enabled_functions", "r");
	char line[512];
	int found = 0;

	if (!file)
		kmod_die("enabled_functions");
	while (fgets(line, sizeof(line), file))
		found += function ? !strncmp(line, function, strlen(function)) &&
				    line[strlen(function)] == ' ' : 1;
	fclose(file);
	return found;
}

static void test_attach(void)
{
	struct actor actor = actor_start(A, NULL), host = actor_start(GATE_ROOT, NULL);
	long before = actor_call(&actor, TRY_MOUNT);
	int lines = hooked(NULL);

	tap_ok(before == -ENODEV, "attach_before_the_call_goes_through (%ld)", before);
	tap_ok(!gate_profile(&nl, "p", 1, deny_mount), "profile_loads: %s", nl.text);
	tap_ok(hooked(NULL) == lines, "profile_without_a_container_hooks_nothing");
	tap_ok(!gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE), "attach: %s", nl.text);
	tap_ok(actor_call(&actor, TRY_MOUNT) == -EPERM, "attach_holds_for_a_running_task");
	tap_ok(actor_call(&actor, SYS_ptrace, PTRACE_TRACEME) == -EPERM, "attach_holds_for_ptrace");
	tap_ok(actor_call32(&actor, TRY_MOUNT32) == -EPERM, "attach_holds_for_int80");
	tap_ok(actor_call(&actor, SYS_getppid) == getpid(), "attach_leaves_other_calls");
	tap_ok(actor_call(&host, TRY_MOUNT) == -ENODEV, "attach_leaves_the_host");
	tap_ok(hooked("__x64_sys_mount") == 1 && hooked("__x64_sys_ptrace") == 1 &&
	       hooked("__ia32_sys_mount") == 1 && hooked("__ia32_compat_sys_ptrace") == 1,
	       "hooks_are_those_of_the_profile");
	tap_ok(hooked(NULL) - lines == 5 && gate_stat(&nl, HOODY_STAT_GATE_HOOKED) == 5,
	       "hooks_are_no_more (%d, %llu)", hooked(NULL) - lines,
	       (unsigned long long)gate_stat(&nl, HOODY_STAT_GATE_HOOKED));
	tap_ok(gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_mount) == 1 &&
	       gate_count(&nl, 1, HOODY_ARCH_IA32, 21) == 1, "refused_calls_are_counted");
	tap_ok(!gate_profile(&nl, "p", 2, deny_getppid), "replace: %s", nl.text);
	tap_ok(actor_call(&actor, TRY_MOUNT) == -ENODEV && actor_call(&actor, SYS_getppid) == -77,
	       "replace_holds_at_once_both_ways");
	tap_ok(!hooked("__x64_sys_mount") && hooked(NULL) - lines == 1, "replace_moves_the_hooks");
	tap_ok(actor_call32(&actor, 64) == -77, "replace_function_of_two_architectures");
	tap_ok(gate_profile(&nl, "p", 1, deny_getppid) == -ESTALE, "replace_needs_a_newer_generation");
	tap_ok(gate_profile_del(&nl, "p") == -EBUSY, "profile_in_use_stays: %s", nl.text);
	tap_ok(kmod_unload() == -EAGAIN, "module_in_use_stays");
	tap_ok(!gate_attach(&nl, 1, A, NULL, 0), "detach");
	tap_ok(actor_call(&actor, SYS_getppid) == getpid(), "detach_frees_at_once");
	tap_ok(hooked(NULL) == lines, "detach_takes_the_hooks_out");
	tap_ok(!gate_profile_del(&nl, "p"), "profile_goes");
	actor_stop(&actor);
	actor_stop(&host);
}

/* Threads that ran before the attach: each reports its last result. */
static int thread_stop;
static long thread_results[4];

static void *thread_run(void *slot)
{
	while (!__atomic_load_n(&thread_stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n((long *)slot, gate_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0),
				 __ATOMIC_RELEASE);
		gate_syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
	return NULL;
}

static void prepare_threads(void)
{
	pthread_t thread;

	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, thread_run, &thread_results[i]);
}

/* The actor tells its own threads' results through a call that it may make. */
static bool threads_all(const struct actor *actor, bool refused)
{
	char path[64];
	long results[4];
	bool same = false;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", actor->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t end = limit_end_us(20); !same && limit_now_us() < end;) {
		same = true;
		if (pread(fd, results, sizeof(results), (off_t)(uintptr_t)thread_results) !=
		    sizeof(results))
			break;
		for (int i = 0; i < 4; i++)
			same &= refused ? results[i] == -77 : results[i] > 0;
		sched_yield();
	}
	close(fd);
	return same;
}

static void test_threads(void)
{
	struct actor actor = actor_start(A, prepare_threads);

	tap_ok(threads_all(&actor, false), "threads_run");
	gate_profile(&nl, "p", 1, deny_getppid);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	tap_ok(threads_all(&actor, true), "threads_are_all_refused");
	gate_attach(&nl, 1, A, NULL, 0);
	tap_ok(threads_all(&actor, false), "threads_are_all_free_again");
	kill(actor.pid, SIGKILL);
	actor_stop(&actor);
	gate_profile_del(&nl, "p");
}

static void test_cgroups(void)
{
	struct actor actor = actor_start(DEEP, NULL);

	gate_profile(&nl, "p", 1, deny_getppid);
	gate_profile(&nl, "q", 1, deny_mount);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	gate_attach(&nl, 2, B, "q", HOODY_GATE_ENFORCE);
	tap_ok(actor_call(&actor, SYS_getppid) == -77, "cgroup_deep_below");
	tap_ok(!actor_call(&actor, SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) &&
	       actor_call(&actor, SYS_getppid) == -77, "cgroup_in_new_namespaces");
	gate_move(B, actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) > 0 && actor_call(&actor, TRY_MOUNT) == -EPERM,
	       "cgroup_moved_to_another_container");
	gate_move(GATE_ROOT, actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) > 0, "cgroup_moved_out");
	gate_move(DEEP, actor.pid);
	gate_attach(&nl, 2, DEEP, "q", HOODY_GATE_ENFORCE);
	tap_ok(actor_call(&actor, SYS_getppid) == -77 && actor_call(&actor, TRY_MOUNT) == -EPERM,
	       "cgroup_of_one_below_another_both_hold");
	tap_ok(gate_attach(&nl, 3, "/sys/fs/cgroup", "q", 0) == -EINVAL && nl.text[0],
	       "cgroup_root_is_refused: %s", nl.text);
	tap_ok(gate_attach(&nl, 3, B, "none", 0) == -ENOENT && nl.text[0],
	       "profile_unknown_is_refused: %s", nl.text);
	gate_delete(&nl, 1);
	tap_ok(actor_call(&actor, SYS_getppid) > 0, "delete_detaches");
	gate_delete(&nl, 2);
	actor_stop(&actor);
	tap_ok(!gate_profile_del(&nl, "p") && !gate_profile_del(&nl, "q"), "profiles_go");
}

static void test_learn(void)
{
	struct actor actor = actor_start(A, NULL);
	uint64_t learned = gate_stat(&nl, HOODY_STAT_GATE_LEARNED);

	gate_profile(&nl, "p", 1, "{\"defaultAction\":\"SCMP_ACT_ERRNO\"," IA32 "\"syscalls\":[]}");
	tap_ok(!gate_attach(&nl, 1, A, "p", HOODY_GATE_LEARN), "learn_everything: %s", nl.text);
	tap_ok(actor_call(&actor, SYS_getppid) > 0 && actor_call32(&actor, 20) == actor.pid,
	       "learn_lets_calls_through");
	tap_ok(gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_getppid) == 1 &&
	       gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_read) > 0 &&
	       gate_count(&nl, 1, HOODY_ARCH_IA32, 20) == 1, "learn_counts_calls");
	tap_ok(gate_stat(&nl, HOODY_STAT_GATE_LEARNED) > learned, "learn_is_in_the_statistics");
	tap_note("%llu functions hooked", (unsigned long long)gate_stat(&nl, HOODY_STAT_GATE_HOOKED));
	gate_profile(&nl, "p", 2, deny_getppid);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	tap_ok(actor_call(&actor, SYS_getppid) == -77 &&
	       gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_getppid) == 2, "learn_to_enforce_counts_on");
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
	actor_stop(&actor);
}

static void ignore_sigsys(void)
{
	sigset_t set;

	signal(SIGSYS, SIG_IGN);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static siginfo_t *trap_info;
static void trap_handler(int signal, siginfo_t *info, void *context)
{
	*trap_info = *info;
	trap_info->si_errno = 5;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4321;
}

static void prepare_trap(void)
{
	struct sigaction action = { .sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &action, NULL);
}

static void test_actions(void)
{
	static const char *const kills[] = { "KILL", "KILL_THREAD", "KILL_PROCESS" };
	struct actor actor;
	char json[512];
	int status;

	for (int i = 0; i < 3; i++) {
		actor = actor_start(A, i ? ignore_sigsys : prepare_trap);
		actor_call(&actor, SYS_getppid);
		snprintf(json, sizeof(json),
			 ALLOW "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_%s\"}" END, kills[i]);
		gate_profile(&nl, "p", i + 1, json);
		gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
		tap_ok(actor_call(&actor, SYS_getppid) == ACTOR_DEAD, "action_%s_ends_it", kills[i]);
		status = actor_stop(&actor);
		tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
		       "action_%s_by_sigsys (%#x)", kills[i], status);
	}
	trap_info = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	actor = actor_start(A, prepare_trap);
	gate_profile(&nl, "p", 10, ALLOW RULE("\"getppid\"", "TRAP") END);
	tap_ok(actor_call(&actor, SYS_getppid) == 4321, "action_trap_handler_sets_the_result");
	tap_ok(trap_info->si_errno == 5 && trap_info->si_code == SYS_SECCOMP_CODE &&
	       trap_info->si_syscall == SYS_getppid && trap_info->si_arch == AUDIT_ARCH_X86_64 &&
	       trap_info->si_call_addr, "action_trap_tells_the_call");
	gate_profile(&nl, "p", 11, ALLOW RULE("\"getppid\"", "LOG") END);
	tap_ok(actor_call(&actor, SYS_getppid) == getpid(), "action_log_allows");
	tap_ok(gate_stat(&nl, HOODY_STAT_GATE_LOGGED) == 1, "action_log_is_counted");
	gate_profile(&nl, "p", 12, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	tap_ok(actor_call32(&actor, 20) == ACTOR_DEAD, "architecture_left_out_is_killed");
	actor_stop(&actor);
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
}

/* A container's init: process 1 of a pid namespace, deaf to all but forced signals. */
static void test_init(void)
{
	int status = 0, ready[2], go[2];
	char byte;
	pid_t pid;

	if (pipe(ready) || pipe(go))
		kmod_die("pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		gate_move(A, 0);
		unshare(CLONE_NEWPID);
		pid = fork();
		if (!pid) {
			if (write(ready[1], "x", 1) != 1 || read(go[0], &byte, 1) != 1)
				_exit(2);
			gate_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0);
			_exit(3);
		}
		waitpid(pid, &status, 0);
		_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 1);
	}
	if (read(ready[0], &byte, 1) != 1)
		kmod_die("the namespace's init");
	gate_profile(&nl, "p", 1, ALLOW RULE("\"getppid\"", "KILL") END);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	if (write(go[1], "x", 1) != 1)
		kmod_die("write");
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && !WEXITSTATUS(status), "action_kill_ends_a_container_init");
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
}

struct gate_seen {
	uint32_t	events, pid, nr, verdict, mode;
	uint64_t	left_out, args[6];
	char		comm[32];
};

static int event_read(const struct nlmsghdr *header, void *data)
{
	struct gate_seen *seen = data;
	const struct nlattr *attr;
	uint32_t event = 0;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == HOODY_A_EVENT)
			event = mnl_attr_get_u32(attr);
	if (event != HOODY_EVENT_GATE)
		return MNL_CB_OK;
	seen->events++;
	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case HOODY_A_PID: seen->pid = mnl_attr_get_u32(attr); break;
		case HOODY_A_SYSCALL: seen->nr = mnl_attr_get_u32(attr); break;
		case HOODY_A_ACTION: seen->verdict = mnl_attr_get_u32(attr); break;
		case HOODY_A_GATE_MODE: seen->mode = mnl_attr_get_u32(attr); break;
		case HOODY_A_COUNT: seen->left_out += mnl_attr_get_u64(attr); break;
		case HOODY_A_ARGS:
			memcpy(seen->args, mnl_attr_get_payload(attr), sizeof(seen->args));
			break;
		case HOODY_A_COMM:
			snprintf(seen->comm, sizeof(seen->comm), "%s", mnl_attr_get_str(attr));
			break;
		}
	}
	return MNL_CB_OK;
}

static void test_events(void)
{
	/* For the first one; those that follow come at once, or not at all. */
	struct timeval limit = { .tv_sec = limit_seconds(30) }, rest = { .tv_usec = 200000 };
	struct actor actor = actor_start(A, NULL);
	struct gate_seen seen = { 0 };
	struct kmod_nl events;
	char buffer[8192];
	uint32_t group;
	int length;

	kmod_nl_open(&events);
	group = events.group;
	setsockopt(mnl_socket_get_fd(events.socket), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
		   sizeof(group));
	setsockopt(mnl_socket_get_fd(events.socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	gate_profile(&nl, "p", 1, deny_getppid);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	for (int i = 0; i < 500; i++)
		actor_call(&actor, SYS_getppid, 11, 22, 33, 44, 55, 66);
	while ((length = mnl_socket_recvfrom(events.socket, buffer, sizeof(buffer))) > 0) {
		mnl_cb_run(buffer, length, 0, 0, event_read, &seen);
		if (seen.events)
			setsockopt(mnl_socket_get_fd(events.socket), SOL_SOCKET, SO_RCVTIMEO, &rest,
				   sizeof(rest));
	}
	tap_ok(seen.events > 0 && seen.pid == (uint32_t)actor.pid && seen.nr == SYS_getppid &&
	       seen.verdict == (HOODY_ACTION_ERRNO | 77u << 16) && seen.mode == HOODY_GATE_ENFORCE &&
	       seen.args[0] == 11 && seen.args[5] == 66 && !strcmp(seen.comm, "gate_test"),
	       "events_tell_pid_comm_call_and_arguments");
	tap_ok(seen.events < 500, "events_are_limited (%u of 500, %llu left out between them)",
	       seen.events, (unsigned long long)seen.left_out);
	tap_ok(gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_getppid) == 500, "events_limit_no_counter");
	kmod_nl_close(&events);
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
	actor_stop(&actor);
}

#define VALUE(value)	"{\"names\":[\"copy_file_range\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":79," \
			"\"args\":[{\"index\":1,\"value\":" value ",\"op\":\"SCMP_CMP_EQ\"}]}"

/* The kernel's reading of a table against the compiler's, on arguments near the bounds. */
static void test_arguments(void)
{
	static const char json[] = ALLOW
		"{\"names\":[\"copy_file_range\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77,\"args\":["
		"{\"index\":0,\"value\":4294967290,\"op\":\"SCMP_CMP_GE\"},"
		"{\"index\":1,\"value\":255,\"valueTwo\":16,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
		"{\"names\":[\"copy_file_range\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":78,\"args\":["
		"{\"index\":2,\"value\":7,\"op\":\"SCMP_CMP_LT\"},"
		"{\"index\":3,\"value\":9,\"op\":\"SCMP_CMP_NE\"},"
		"{\"index\":4,\"value\":5,\"op\":\"SCMP_CMP_LE\"}]},"
		"{\"names\":[\"copy_file_range\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":79,\"args\":["
		"{\"index\":4,\"value\":18446744073709551614,\"op\":\"SCMP_CMP_GT\"}]},"
		/* Values that the kernel's table may take together, and some that it may not. */
		VALUE("5") "," VALUE("7") "," VALUE("8") "," VALUE("10") "," VALUE("9") "," VALUE("16") ","
		VALUE("272") END;
	static const long pool[] = { -1, -2, -6, 0x10, 0x110, 0x1ff, 4294967290, 4294967289, 5, 6, 7,
				     8, 9, 10, 0x7fffffff00000010 };
	struct profile_options options = { .kernel_major = 6 };
	struct actor actor = actor_start(A, NULL);
	unsigned int seed = 1, refused = 0, wrong = 0;
	static struct profile_report report;
	struct hoody_table *table;

	if (profile_compile(json, strlen(json), &options, &table, &report))
		kmod_die(report.error);
	gate_profile(&nl, "p", 1, json);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	for (int i = 0; i < 1500; i++) {
		int arch = i % 2, nr = arch ? 377 : SYS_copy_file_range;
		uint64_t seen[6];
		long args[6];
		uint32_t wanted;
		long got;

		for (int j = 0; j < 6; j++) {
			args[j] = pool[rand_r(&seed) % (sizeof(pool) / sizeof(*pool))];
			seen[j] = arch ? (uint32_t)args[j] : (uint64_t)args[j];
		}
		wanted = profile_decide(table, arch, nr, seen);
		got = actor_call6(&actor, arch, nr, args);
		refused += wanted != HOODY_ACTION_ALLOW;
		if (wanted == HOODY_ACTION_ALLOW ? got <= -77 && got >= -79 : got != -(long)(wanted >> 16))
			wrong++;
	}
	tap_ok(!wrong && refused > 400 && refused < 1350,
	       "arguments_are_decided_as_compiled (%u wrong, %u of 1500 refused)", wrong, refused);
	free(table);
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
	actor_stop(&actor);
}

/* A seccomp filter of the application's own: both hold. */
static void prepare_seccomp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 55),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static void test_others(void)
{
	struct actor actor = actor_start(A, prepare_seccomp);

	gate_profile(&nl, "p", 1, deny_getppid);
	gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	tap_ok(actor_call(&actor, SYS_getppid) == -77 && actor_call(&actor, SYS_getpgrp) == -55,
	       "others_seccomp_of_the_application");
	tap_ok(write_file("/proc/sys/kernel/ftrace_enabled", "0") &&
	       actor_call(&actor, SYS_getppid) == -77, "others_ftrace_cannot_be_switched_off");
	gate_delete(&nl, 1);
	gate_profile_del(&nl, "p");
	actor_stop(&actor);
}

/* Tables with bytes turned: accepted or refused with a text, never more. */
static void test_tables(void)
{
	struct profile_options options = { .kernel_major = 6 };
	static struct profile_report report;
	unsigned int seed = 7, refused = 0, silent = 0;
	struct hoody_table *table;
	char *buffer, *copy;

	if (profile_compile(deny_mount, strlen(deny_mount), &options, &table, &report))
		kmod_die(report.error);
	buffer = malloc(table->size + 512);
	copy = malloc(table->size + 8);
	for (int i = 0; i < 3000; i++) {
		struct nlmsghdr *header = kmod_nl_message(&nl, buffer, HOODY_CMD_PROFILE_SET, 0);
		size_t size = table->size;

		memcpy(copy, table, size);
		if (i % 10 == 0)
			size = rand_r(&seed) % size;
		else
			for (int j = 0; j <= i % 3; j++)
				copy[i % 2 ? rand_r(&seed) % 160 : rand_r(&seed) % size] = rand_r(&seed);
		mnl_attr_put_strz(header, HOODY_A_PROFILE, "fuzz");
		mnl_attr_put_u64(header, HOODY_A_GENERATION, i + 1);
		mnl_attr_put(header, HOODY_A_TABLE, size, copy);
		if (kmod_nl_talk(&nl, header, NULL, NULL)) {
			refused++;
			silent += !nl.text[0] || !nl.offset;
		}
	}
	tap_ok(refused > 1000 && !silent, "tables_turned_are_refused_with_text (%u, %u without)",
	       refused, silent);
	free(buffer);
	free(copy);
	free(table);
	gate_profile_del(&nl, "fuzz");
}

static void test_many(void)
{
	struct actor actor;
	char name[64], path[128];
	uint64_t start;
	int bad = 0;

	start = limit_now_us();
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		bad += !!gate_profile(&nl, name, 1, i % 2 ? deny_getppid : deny_mount);
	}
	tap_note("1,000 profiles: %llu ms", (unsigned long long)(limit_now_us() - start) / 1000);
	start = limit_now_us();
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(path, sizeof(path), B "/c%d", i);
		gate_cgroup(path);
		bad += !!gate_attach(&nl, 100 + i, path, name, HOODY_GATE_ENFORCE);
	}
	tap_note("1,000 containers: %llu ms", (unsigned long long)(limit_now_us() - start) / 1000);
	tap_ok(!bad, "many_profiles_and_containers");
	actor = actor_start(B "/c777", NULL);
	tap_ok(actor_call(&actor, SYS_getppid) == -77, "many_each_has_its_own_odd");
	gate_move(B "/c778", actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) > 0 && actor_call(&actor, TRY_MOUNT) == -EPERM,
	       "many_each_has_its_own_even");
	actor_stop(&actor);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(path, sizeof(path), B "/c%d", i);
		bad += !!gate_delete(&nl, 100 + i) + !!gate_profile_del(&nl, name) + !!rmdir(path);
	}
	tap_ok(!bad && !gate_stat(&nl, HOODY_STAT_GATE_HOOKED), "many_go_again");
}

static int unload(void)
{
	uint64_t end = limit_end_us(20);
	int err;

	kmod_nl_close(&nl);
	while ((err = kmod_unload()) && limit_now_us() < end)
		sched_yield();
	return err;
}

int main(void)
{
	tap_plan(64);
	setup();
	test_attach();
	test_threads();
	test_cgroups();
	test_learn();
	test_actions();
	test_init();
	test_events();
	test_arguments();
	test_others();
	test_tables();
	test_many();
	tap_ok(!unload(), "module_unloads_when_nobody_has_a_profile");
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++)
		rmdir(cgroups[sizeof(cgroups) / sizeof(*cgroups) - 1 - i]);
	return tap_done();
}
