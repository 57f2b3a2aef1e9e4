// SPDX-License-Identifier: Apache-2.0
/*
 * What a walk over the processes costs: instructions for each process and for
 * each memory area, in a machine whose clock counts them (tools/vm --icount; one
 * nanosecond is one instruction). Prints a table.
 */
#include "../lib/ksm.h"

#define ROOT	"/sys/fs/cgroup/hoody-ksm-cost"
#define A	ROOT "/a"
#define TASKS	200
#define AREAS	8000
#define ROUNDS	5

static struct kmod_nl nl;

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void totals(uint64_t *walks, uint64_t *ns)
{
	struct ksm_status status;

	if (ksm_get(&nl, 1, &status))
		kmod_die("the container is not marked");
	*walks = status.count[HOODY_KSM_WALKS];
	*ns = status.count[HOODY_KSM_WALK_NS];
}

/* One walk that finds nothing to do. */
static uint64_t idle_walk(void)
{
	uint64_t best = UINT64_MAX, walks, ns, walks_after, ns_after;
	static unsigned int n;
	char name[16];

	for (int round = 0; round < ROUNDS; round++) {
		totals(&walks, &ns);
		snprintf(name, sizeof(name), "none-%u", n++);
		if (ksm_set(&nl, 1, HOODY_KSM_ON, 0, name) || !ksm_wait(&nl, 1, HOODY_KSM_MARKED))
			kmod_die("walk");
		totals(&walks_after, &ns_after);
		if (walks_after > walks)
			best = least(best, (ns_after - ns) / (walks_after - walks));
	}
	return best;
}

/* Marking all anew; what its walks cost beyond @idle each. */
static uint64_t mark(uint64_t idle)
{
	uint64_t best = UINT64_MAX, walks, ns;

	for (int round = 0; round < ROUNDS; round++) {
		if (ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "") || !ksm_wait(&nl, 1, 0) ||
		    ksm_set(&nl, 1, HOODY_KSM_ON, 0, "") || !ksm_wait(&nl, 1, HOODY_KSM_MARKED))
			kmod_die("mark");
		totals(&walks, &ns);
		best = least(best, ns > walks * idle ? ns - walks * idle : 0);
	}
	return best;
}

/* In a child of the cgroup: @areas that the kernel cannot make one of. */
static pid_t areas_start(unsigned int areas)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready))
		kmod_die("pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ksm_write(A "/cgroup.procs", "0");
		for (unsigned int i = 0; i < areas; i++) {
			if (mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
				_exit(1);
		}
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		kmod_die("child");
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(const pid_t *pids, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

int main(void)
{
	uint64_t empty, idle, few, many, other;
	pid_t pids[TASKS];

	if (kmod_load("") || kmod_nl_open(&nl) || mkdir(ROOT, 0755) || mkdir(A, 0755) ||
	    ksm_container(&nl, 1, 1, A) || ksm_set(&nl, 1, HOODY_KSM_ON, 0, "") ||
	    !ksm_wait(&nl, 1, HOODY_KSM_MARKED))
		kmod_die("setup");
	ksm_write(KSM_SYS "run", "0");
	empty = idle_walk();
	pids[0] = areas_start(0);
	idle = idle_walk();
	few = mark(idle);
	end(pids, 1);
	pids[0] = areas_start(AREAS);
	many = mark(idle_walk());
	end(pids, 1);
	printf("  %-52s %8.0f\n", "marking, for each memory area",
	       (double)(many - few) / AREAS);

	for (unsigned int i = 0; i < TASKS; i++)
		pids[i] = areas_start(0);
	idle = idle_walk();
	printf("  %-52s %8.0f\n", "marking, for each process (about 20 areas)",
	       (double)mark(idle) / TASKS);
	printf("  %-52s %8.0f\n", "every 10 s, for each marked process",
	       (double)(idle - empty) / TASKS);
	for (unsigned int i = 0; i < TASKS; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", pids[i]);
		ksm_write(ROOT "/cgroup.procs", pid);
	}
	other = idle_walk();
	printf("  %-52s %8.0f\n", "every 10 s, for each process of others",
	       (double)(other - empty) / TASKS);
	printf("  %-52s %8.0f\n", "every 10 s, the walk itself on a quiet machine", (double)empty);
	end(pids, TASKS);
	return 0;
}
