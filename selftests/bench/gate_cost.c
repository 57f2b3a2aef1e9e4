// SPDX-License-Identifier: Apache-2.0
/*
 * What the syscall gate costs, beside a seccomp filter of the same profile:
 * instructions per call, in a machine whose clock counts them (tools/vm
 * --icount; one nanosecond is one instruction). Prints a table. The profile
 * allows every call that libseccomp knows, but refuses getppid and lets getpgid
 * pass for two values of its argument.
 */
#include "../lib/gate.h"

#include <seccomp.h>
#include <sys/mman.h>

#define A	GATE_ROOT "/cost"
#define B	GATE_ROOT "/beside"
#define ROUNDS	7
#define CALLS	2000
#define TASKS	1000

static struct kmod_nl nl;

/* All in one process, so that every case runs the same code. */
enum { PLAIN, CHECKED, REFUSED, KINDS };
static const int numbers[KINDS] = { SYS_getpgrp, SYS_getpgid, SYS_getppid };
static const char *const kinds[KINDS] = { "allowed", "argument-checked", "refused" };

struct cost {
	uint64_t	each[KINDS];
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* The least of several rounds: interrupts only add. */
static uint64_t measure(int nr)
{
	uint64_t best = UINT64_MAX, start, took;

	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		for (int i = 0; i < CALLS; i++)
			gate_syscall(nr, 0, 0, 0, 0, 0, 0);
		took = now() - start;
		if (took < best)
			best = took;
	}
	return best / CALLS;
}

/* One rule for every call that is allowed, to JSON or to a filter. */
static void rules(FILE *json, scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp values[] = { SCMP_A0(SCMP_CMP_EQ, 7, 0),
						 SCMP_A0(SCMP_CMP_EQ, 0, 0) };
	bool first = true;

	for (int nr = 0; nr < HOODY_TABLE_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		if (name && nr != SYS_getppid && nr != SYS_getpgid) {
			if (json)
				fprintf(json, "%s\"%s\"", first ? "" : ",", name);
			else
				seccomp_rule_add(filter, SCMP_ACT_ALLOW, nr, 0);
			first = false;
		}
		free(name);
	}
	if (filter)
		for (int i = 0; i < 2; i++)
			seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SYS_getpgid, 1, &values[i]);
}

static char *profile(void)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":"
		"[\"SCMP_ARCH_X86\"],\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\","
		"\"names\":[");
	rules(out, NULL);
	fprintf(out, "]},{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
		"{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"},"
		"{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	fclose(out);
	return text;
}

/* Measures in a child, in @cgroup and under a seccomp filter where those are given. */
static struct cost cost_of(const char *cgroup, bool filtered)
{
	struct cost *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cost cost;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (cgroup)
			gate_move(cgroup, 0);
		if (filtered) {
			scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(1));

			rules(NULL, filter);
			if (seccomp_load(filter))
				_exit(1);
		}
		for (int kind = 0; kind < KINDS; kind++)
			shared->each[kind] = measure(numbers[kind]);
		/* The figures must be those of the case. */
		_exit((gate_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0) == -1) != (cgroup || filtered));
	}
	if (waitpid(pid, &status, 0) != pid || status) {
		printf("gate_cost: the case did not do what it should (%#x)\n", status);
		exit(1);
	}
	cost = *shared;
	munmap(shared, 4096);
	return cost;
}

static void line(const char *name, struct cost cost, struct cost base)
{
	printf("%-34s", name);
	for (int kind = 0; kind < KINDS; kind++)
		printf("%8llu (%+5lld)", (unsigned long long)cost.each[kind],
		       (long long)(cost.each[kind] - base.each[kind]));
	printf("\n");
}

/* Instructions of attaching, with hooks to place and without, to an empty container. */
static void attach_cost(void)
{
	uint64_t start, first, again;

	start = now();
	if (gate_attach(&nl, 1, A, "cost", HOODY_GATE_ENFORCE))
		kmod_die(nl.text);
	first = now() - start;
	start = now();
	gate_attach(&nl, 1, A, "cost", HOODY_GATE_ENFORCE);
	again = now() - start;
	printf("attach: %llu instructions with all %llu hooks to look up and place, %llu with them in place\n",
	       (unsigned long long)first, (unsigned long long)gate_stat(&nl, HOODY_STAT_GATE_HOOKED),
	       (unsigned long long)again);
}

/*
 * The same with tasks in the container: attached anew, with the hooks kept in place
 * by another container that has the profile.
 */
static void attach_tasks_cost(void)
{
	uint64_t start, took;
	pid_t pids[TASKS];

	gate_attach(&nl, 2, B, "cost", HOODY_GATE_ENFORCE);
	gate_attach(&nl, 1, A, NULL, 0);
	for (int i = 0; i < TASKS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			kmod_die("fork");
		if (!pids[i])
			for (;;)
				pause();
		gate_move(A, pids[i]);
	}
	start = now();
	if (gate_attach(&nl, 1, A, "cost", HOODY_GATE_ENFORCE))
		kmod_die(nl.text);
	took = now() - start;
	printf("attach to a running container of %d tasks: %llu instructions, hooks in place\n", TASKS,
	       (unsigned long long)took);
	for (int i = 0; i < TASKS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	gate_delete(&nl, 2);
}

int main(void)
{
	struct cost base, host, gate, filter;
	char *json = profile();
	int err = kmod_load("");

	if (err || kmod_nl_open(&nl)) {
		printf("gate_cost: no module (%s)\n", strerror(-err));
		return 1;
	}
	gate_cgroup(GATE_ROOT);
	gate_cgroup(A);
	gate_cgroup(B);
	base = cost_of(NULL, false);
	filter = cost_of(NULL, true);
	if (gate_profile(&nl, "cost", 1, json))
		kmod_die(nl.text);
	attach_cost();
	host = cost_of(NULL, false);
	gate = cost_of(A, false);
	printf("%-34s", "instructions per system call");
	for (int kind = 0; kind < KINDS; kind++)
		printf("%*s", 16, kinds[kind]);
	printf("\n");
	line("no profile", base, base);
	line("gate, task of the container", gate, base);
	line("gate, task of the host", host, base);
	line("seccomp filter, same profile", filter, base);
	attach_tasks_cost();
	gate_delete(&nl, 1);
	free(json);
	rmdir(A);
	rmdir(B);
	rmdir(GATE_ROOT);
	return 0;
}
