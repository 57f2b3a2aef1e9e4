// SPDX-License-Identifier: Apache-2.0
/*
 * Profiles replaced under a storm of forks, vforks, execs and threads, with a
 * canary: a call that every one of the profiles refuses and that must never
 * succeed, and one that none of them refuses and that must never fail. Then
 * the module goes while a task sleeps inside a call that was hooked.
 */
#include "tap.h"
#include "gate.h"

#include <sys/mman.h>

#define A	GATE_ROOT "/storm"
#define STORMS	3
#define SWAPS	10000	/* of tables, hooks the same */
#define MOVES	16	/* of hooks */

#define PROFILE(rest)	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"]," \
			"\"syscalls\":[{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\"," \
			"\"errnoRet\":77}," rest "]}"
#define OTHER(name, errno)	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" errno "}"

/* What the storms count; shared with everything that they fork. */
struct tally {
	uint64_t	refused, leaked, allowed, broken, execs, threads, vforks;
	int		stop;
};

static struct tally *tally;
static struct kmod_nl nl;

static void add(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void canary(void)
{
	add(gate_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0) == -77 ? &tally->refused : &tally->leaked);
	add(gate_int80(64, 0, 0, 0, 0, 0) == -77 ? &tally->refused : &tally->leaked);
	add(gate_syscall(SYS_getpgid, 0, 0, 0, 0, 0, 0) >= 0 ? &tally->allowed : &tally->broken);
}

static void *canary_thread(void *unused)
{
	canary();
	add(&tally->threads);
	return NULL;
}

static void storm_once(int fd)
{
	char number[16];
	pthread_t thread;
	pid_t pid;

	if (!pthread_create(&thread, NULL, canary_thread, NULL))
		pthread_join(thread, NULL);
	pid = fork();
	if (!pid) {
		canary();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	canary();
	snprintf(number, sizeof(number), "%d", fd);
	pid = vfork(); /* NOLINT: the point is how it starts a task */
	if (!pid) {
		execl("/proc/self/exe", "gate_storm_test", "canary", number, NULL);
		_exit(1);
	}
	add(&tally->vforks);
	waitpid(pid, NULL, 0);
}

static pid_t storm_start(int fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	gate_move(A, 0);
	while (!__atomic_load_n(&tally->stop, __ATOMIC_ACQUIRE))
		storm_once(fd);
	_exit(0);
}

static void replace(unsigned int times, const char *one, const char *other, const char *what)
{
	static uint64_t generation;
	struct hoody_table *tables[] = { gate_compile(other), gate_compile(one) };
	uint64_t start = limit_now_us();
	unsigned int failed = 0;

	for (unsigned int i = 0; i < times; i++)
		failed += !!gate_table_load(&nl, "storm", ++generation, tables[i % 2]);
	free(tables[0]);
	free(tables[1]);
	tap_note("%s: %llu us each", what, (unsigned long long)(limit_now_us() - start) / (times ?: 1));
	tap_ok(!failed, "replace_%s_%u_times (%u failed: %s)", what, times, failed, nl.text);
}

static void test_storm(int fd)
{
	pid_t pids[STORMS];
	unsigned int failed = 0;

	replace(2, PROFILE(OTHER("acct", "5")), PROFILE(OTHER("acct", "6")), "warm_up");
	if (gate_attach(&nl, 1, A, "storm", HOODY_GATE_ENFORCE)) {
		printf("Bail out! attach: %s\n", nl.text);
		exit(1);
	}
	fflush(stdout);
	for (int i = 0; i < STORMS; i++)
		pids[i] = storm_start(fd);
	replace(SWAPS, PROFILE(OTHER("acct", "5")), PROFILE(OTHER("acct", "6")), "tables");
	replace(MOVES, PROFILE(OTHER("acct", "5")), PROFILE(OTHER("mount", "6")), "hooks");
	replace(2, PROFILE(OTHER("acct", "5")), PROFILE(OTHER("acct", "6")), "settle");
	for (int i = 0; i < 500; i++)
		failed += !!gate_attach(&nl, 1, A, "storm", HOODY_GATE_ENFORCE);
	tap_ok(!failed, "replace_policies_500_times");
	__atomic_store_n(&tally->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < STORMS; i++)
		waitpid(pids[i], NULL, 0);
	tap_note("%llu refused, %llu allowed; %llu threads, %llu vforks, %llu execs",
		 (unsigned long long)tally->refused, (unsigned long long)tally->allowed,
		 (unsigned long long)tally->threads, (unsigned long long)tally->vforks,
		 (unsigned long long)tally->execs);
	tap_ok(tally->refused && !tally->leaked, "canary_never_succeeds (%llu)",
	       (unsigned long long)tally->leaked);
	tap_ok(tally->allowed && !tally->broken, "allowed_call_never_fails (%llu)",
	       (unsigned long long)tally->broken);
	tap_ok(tally->threads && tally->execs && tally->vforks, "storm_did_all_of_it");
	tap_ok(gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_getppid) +
	       gate_count(&nl, 1, HOODY_ARCH_IA32, 64) == tally->refused, "every_refusal_is_counted");
}

static void on_signal(int number)
{
}

static void prepare_signal(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	if (sigaction(SIGUSR1, &action, NULL))
		_exit(1);
}

/* Does the actor sleep in the call? False where it does not begin to. */
static bool sleeps(const struct actor *actor)
{
	uint64_t end = limit_end_us(60);
	char path[64], text[64] = "";
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/wchan", actor->pid);
	while (strcmp(text, "hrtimer_nanosleep") && limit_now_us() < end) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		length = read(fd, text, sizeof(text) - 1);
		text[length > 0 ? length : 0] = '\0';
		close(fd);
		sched_yield();
	}
	return !strcmp(text, "hrtimer_nanosleep");
}

/* A task inside a function that was entered through the hook: it has nothing of ours on its stack. */
static void test_unload(void)
{
	static const char json[] = PROFILE("{\"names\":[\"clock_nanosleep\"],\"action\":\"SCMP_ACT_ERRNO\","
					   "\"args\":[{\"index\":0,\"value\":9999,\"op\":\"SCMP_CMP_EQ\"}]}");
	/* Static: the actor has it at the same place. */
	static struct timespec sleep = { .tv_sec = 3600 };
	uint64_t end = limit_end_us(60);
	struct actor_request request = {
		.nr = SYS_clock_nanosleep, .args = { CLOCK_MONOTONIC, 0, (long)&sleep },
	};
	struct actor actor;
	long result = -1;
	int err;

	gate_profile(&nl, "sleep", 1, json);
	gate_attach(&nl, 1, A, "sleep", HOODY_GATE_ENFORCE);
	actor = actor_start(A, prepare_signal);
	tap_ok(actor_call(&actor, SYS_clock_nanosleep, 9999, 0, 0) == -EPERM, "sleep_is_hooked");
	if (send(actor.fd, &request, sizeof(request), 0) != sizeof(request))
		kmod_die("send");
	tap_ok(sleeps(&actor) && kmod_unload() == -EAGAIN, "module_stays_while_it_holds");
	gate_delete(&nl, 1);
	kmod_nl_close(&nl);
	while ((err = kmod_unload()) && limit_now_us() < end)
		sched_yield();
	tap_ok(!err && sleeps(&actor), "module_goes_while_a_task_sleeps_in_the_call (%d)", err);
	tap_ok(!kill(actor.pid, SIGUSR1) &&
	       recv(actor.fd, &result, sizeof(result), MSG_WAITALL) == sizeof(result) && result == -EINTR,
	       "the_task_wakes_up_as_if_nothing_were (%ld)", result);
	actor_stop(&actor);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc == 3 && !strcmp(argv[1], "canary")) {
		tally = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
		canary();
		add(&tally->execs);
		return 0;
	}
	tap_plan(13);
	fd = memfd_create("tally", 0);
	if (fd < 0 || ftruncate(fd, 4096))
		kmod_die("memfd");
	tally = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	gate_begin(&nl, A);
	test_storm(fd);
	test_unload();
	rmdir(A);
	rmdir(GATE_ROOT);
	return tap_done();
}
