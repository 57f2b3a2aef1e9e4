// SPDX-License-Identifier: Apache-2.0
/*
 * What the syscall gate costs, beside a seccomp filter of the same profile:
 * instructions per call, in a machine whose clock counts them (tools/vm
 * --icount; one nanosecond is one instruction). Prints a table for each of two
 * profiles: Docker's default, and one that allows every call that libseccomp knows
 * but refuses getppid and lets getpgid pass for two values of its argument: cheap
 * calls, so that little but the filters is in the figures.
 */
#include "../lib/gate.h"

#include <seccomp.h>
#include <sys/mman.h>

#define A	GATE_ROOT "/cost"
#define B	GATE_ROOT "/beside"
#define ROUNDS	7
#define CALLS	2000
#define TASKS	1000
#define DOCKER	"/usr/share/containers/seccomp.json"

static struct kmod_nl nl;

/* All in one process, so that every case runs the same code. */
enum { PLAIN, CHECKED, REFUSED, KINDS };
static const char *const kinds[KINDS] = { "allowed", "argument-checked", "refused" };

/* A profile and a call of each kind under it, with its first argument. */
struct scene {
	const char		*title;
	struct hoody_table	*table;
	struct {
		int	nr;
		long	arg;
	} calls[KINDS];
};

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
static uint64_t measure(int nr, long arg)
{
	uint64_t best = UINT64_MAX, start, took;

	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		for (int i = 0; i < CALLS; i++)
			gate_syscall(nr, arg, 0, 0, 0, 0, 0);
		took = now() - start;
		if (took < best)
			best = took;
	}
	return best / CALLS;
}

/* The cheap profile. */
static struct hoody_table *cheap_table(void)
{
	struct hoody_table *table;
	bool first = true;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":"
		"[\"SCMP_ARCH_X86\"],\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[");
	for (int nr = 0; nr < HOODY_TABLE_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		if (name && nr != SYS_getppid && nr != SYS_getpgid) {
			fprintf(out, "%s\"%s\"", first ? "" : ",", name);
			first = false;
		}
		free(name);
	}
	fprintf(out, "]},{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
		"{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"},"
		"{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	fclose(out);
	table = gate_compile(text);
	free(text);
	return table;
}

static struct hoody_table *docker_table(void)
{
	static char text[PROFILE_JSON_MAX];
	FILE *file = fopen(DOCKER, "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (!size)
		kmod_die(DOCKER);
	fclose(file);
	text[size] = '\0';
	return gate_compile(text);
}

static uint32_t filter_action(const struct hoody_table_action *action)
{
	return action->kind == HOODY_ACTION_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(action->error);
}

/* One rule of @table as libseccomp has it. */
static void filter_rule(scmp_filter_ctx filter, const struct hoody_table *table, int nr,
			const struct hoody_table_rule *rule, const struct hoody_table_cond *conds)
{
	static const enum scmp_compare ops[] = {
		[HOODY_OP_NE] = SCMP_CMP_NE, [HOODY_OP_LT] = SCMP_CMP_LT, [HOODY_OP_LE] = SCMP_CMP_LE,
		[HOODY_OP_EQ] = SCMP_CMP_EQ, [HOODY_OP_GE] = SCMP_CMP_GE, [HOODY_OP_GT] = SCMP_CMP_GT,
	};
	struct scmp_arg_cmp args[6];

	for (int i = 0; i < rule->conds; i++) {
		const struct hoody_table_cond *cond = &conds[rule->cond + i];

		args[i] = cond->mask == UINT64_MAX ?
			  (struct scmp_arg_cmp){ cond->arg, ops[cond->op], cond->value, 0 } :
			  (struct scmp_arg_cmp){ cond->arg, SCMP_CMP_MASKED_EQ, cond->mask, cond->value };
	}
	seccomp_rule_add_array(filter, filter_action(&table->action[rule->action]), nr, rule->conds, args);
}

/* A seccomp filter that decides as @table does, on this process. */
static void filter_load(const struct hoody_table *table)
{
	const struct hoody_table_cond *conds = (const void *)(table + 1);
	const struct hoody_table_check *checks = (const void *)(conds + table->conds);
	const struct hoody_table_rule *rules =
		(const void *)(checks + table->checks[0] + table->checks[1]);
	uint32_t otherwise = filter_action(&table->action[table->beyond[HOODY_ARCH_X86_64]]);
	scmp_filter_ctx filter = seccomp_init(otherwise);

	for (int nr = 0; nr < HOODY_TABLE_CALLS; nr++) {
		uint8_t decision = table->decision[HOODY_ARCH_X86_64][nr];
		const struct hoody_table_check *check = &checks[decision & ~HOODY_TABLE_CHECKED];

		if (!(decision & HOODY_TABLE_CHECKED)) {
			if (filter_action(&table->action[decision]) != otherwise)
				seccomp_rule_add(filter, filter_action(&table->action[decision]), nr, 0);
			continue;
		}
		for (int i = 0; i < check->rules; i++)
			filter_rule(filter, table, nr, &rules[check->rule + i], conds);
	}
	if (seccomp_load(filter))
		_exit(1);
}

/* Measures in a child, in @cgroup and under a seccomp filter where those are given. */
static struct cost cost_of(const struct scene *scene, const char *cgroup, bool filtered)
{
	struct cost *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cost cost;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (cgroup)
			gate_move(cgroup, 0);
		if (filtered)
			filter_load(scene->table);
		for (int kind = 0; kind < KINDS; kind++)
			shared->each[kind] = measure(scene->calls[kind].nr, scene->calls[kind].arg);
		/* The figures must be those of the case. */
		for (int kind = 0; kind < KINDS; kind++) {
			long result = gate_syscall(scene->calls[kind].nr, scene->calls[kind].arg, 0, 0, 0, 0, 0);

			if ((result == -EPERM) != (kind == REFUSED && (cgroup || filtered)))
				_exit(2 + kind);
		}
		_exit(0);
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

static void play(const struct scene *scene)
{
	static uint64_t generation;
	struct cost base, filter, host, gate;

	gate_attach(&nl, 1, A, NULL, 0);
	base = cost_of(scene, NULL, false);
	filter = cost_of(scene, NULL, true);
	if (gate_table_load(&nl, "cost", ++generation, scene->table))
		kmod_die(nl.text);
	attach_cost();
	host = cost_of(scene, NULL, false);
	gate = cost_of(scene, A, false);
	printf("%-34s", scene->title);
	for (int kind = 0; kind < KINDS; kind++)
		printf("%*s", 16, kinds[kind]);
	printf("\n");
	line("no profile", base, base);
	line("gate, task of the container", gate, base);
	line("gate, task of the host", host, base);
	line("seccomp filter, same profile", filter, base);
}

int main(void)
{
	const struct scene scenes[] = {
		{ "Docker's default: instructions", docker_table(),
		  { { SYS_getpgrp, 0 }, { SYS_personality, 0xffffffff }, { SYS_swapon, 0 } } },
		{ "cheap calls: instructions", cheap_table(),
		  { { SYS_getpgrp, 0 }, { SYS_getpgid, 0 }, { SYS_getppid, 0 } } },
	};
	int err = kmod_load("");

	if (err || kmod_nl_open(&nl)) {
		printf("gate_cost: no module (%s)\n", strerror(-err));
		return 1;
	}
	gate_cgroup(GATE_ROOT);
	gate_cgroup(A);
	gate_cgroup(B);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++)
		play(&scenes[i]);
	attach_tasks_cost();
	gate_delete(&nl, 1);
	rmdir(A);
	rmdir(B);
	rmdir(GATE_ROOT);
	return 0;
}
