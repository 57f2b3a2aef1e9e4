// SPDX-License-Identifier: Apache-2.0
/*
 * Memory merging by the module alone: what is marked and what is left alone, who
 * follows, that all memory comes back, and what happens where there is no room
 * for it. The kernel's own files (smaps, ksm_stat) are the witnesses.
 */
#include "ksm.h"
#include "tap.h"

#include <poll.h>
#include <sys/mount.h>

#define ROOT	"/sys/fs/cgroup/hoody-ksm"
#define A	ROOT "/a"
#define B	ROOT "/b"
#define C	ROOT "/c"
#define SIZE	(4 * KSM_MIB)
#define EXECS	40u

static struct kmod_nl nl;

/* A file system in memory that the machine was told to take for persistent (memmap=). */
static void setup_dax(void)
{
	if (system("modprobe -a nd_e820 nd_pmem ext4 && for i in $(seq 300); do "
		   "[ -b /dev/pmem0 ] && break; sleep 0.1; done && "
		   "busybox mke2fs -b 4096 /dev/pmem0 >/dev/null && mkdir -p " KSM_DAX " && "
		   "mount -t ext4 -o dax=always /dev/pmem0 " KSM_DAX " && truncate -s 1M " KSM_DAX_FILE) ||
	    access(KSM_DAX_FILE, F_OK))
		kmod_die("a file system with DAX");
}

static void setup(void)
{
	static const char *const cgroups[] = { ROOT, A, B, C };

	if (kmod_load("") || kmod_nl_open(&nl))
		kmod_die("module");
	if (!ksm_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory"))
		kmod_die("memory controller");
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++) {
		if (mkdir(cgroups[i], 0755) && errno != EEXIST)
			kmod_die(cgroups[i]);
		if (!i && !ksm_write(ROOT "/cgroup.subtree_control", "+memory"))
			kmod_die("memory controller");
	}
	ksm_write(KSM_SYS "sleep_millisecs", "1");
	ksm_write(KSM_SYS "pages_to_scan", "20000");
	ksm_write(KSM_SYS "smart_scan", "0");
	ksm_write(KSM_SYS "run", "1");
	ksm_write("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	ksm_write("/proc/sys/vm/nr_hugepages", "2");
	if (ksm_container(&nl, 1, 1, A) || ksm_container(&nl, 2, 1, B) ||
	    ksm_container(&nl, 3, 2, C))
		kmod_die("containers");
}

/* Another walk for container 1, by naming what is not there. */
static bool walk_again(const char *names)
{
	static unsigned int n;
	char all[256];

	snprintf(all, sizeof(all), "%s none-%u", names, n++);
	return !ksm_set(&nl, 1, HOODY_KSM_ON, 0, all) && ksm_wait(&nl, 1, HOODY_KSM_MARKED);
}

static uint64_t stat_of(pid_t pid, const char *name)
{
	char path[64], line[128], key[64];
	unsigned long value, result = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/ksm_stat", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %lu", key, &value) == 2 && !strcmp(key, name))
			result = value;
	if (file)
		fclose(file);
	return result;
}

static void test_refused(void)
{
	struct ksm_status status;

	tap_ok(ksm_get(&nl, 1, &status) == -ENOENT && nl.text[0], "get_unmarked: %s", nl.text);
	tap_ok(ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "") == -ENOENT, "off_unmarked");
	tap_ok(ksm_set(&nl, 99, HOODY_KSM_ON, 0, "") == -ENOENT, "on_unknown: %s", nl.text);
	ksm_container(&nl, 4, 1, "/none");
	tap_ok(ksm_set(&nl, 4, HOODY_KSM_ON, 0, "") == -EINVAL && nl.offset,
	       "on_without_cgroup: %s", nl.text);
	ksm_container(&nl, 4, 1, "/sys/fs/cgroup");
	tap_ok(ksm_set(&nl, 4, HOODY_KSM_ON, 0, "") == -EINVAL, "on_root_cgroup: %s", nl.text);
	tap_ok(ksm_set(&nl, 1, 2, 0, "") == -ERANGE, "mode_out_of_range: %s", nl.text);
	tap_ok(ksm_set(&nl, 1, HOODY_KSM_ON, 0, "1 2 3 4 5 6 7 8 9 a b c d e f g h") == -E2BIG,
	       "names_too_many: %s", nl.text);
	tap_ok(ksm_set(&nl, 1, HOODY_KSM_ON, 0, "sixteen-letters-") && nl.text[0],
	       "name_too_long: %s", nl.text);
	tap_ok(ksm_get(&nl, 1, &status) == -ENOENT, "refused_marks_nothing");
}

/* Two processes with the same memory, and all that follows from one of them. */
static void test_merge(void)
{
	struct ksm_actor one = ksm_actor(A, "one"), two = ksm_actor(A, "two");
	struct ksm_actor outside = ksm_actor(ROOT, "outside");
	uintptr_t at1 = ksm_do(&one, KSM_MAP, SIZE), at2 = ksm_do(&two, KSM_MAP, SIZE);
	uintptr_t later, out = ksm_do(&outside, KSM_MAP, SIZE);
	struct ksm_status status;
	pid_t child;

	tap_ok(at1 && at2 && !ksm_area(one.pid, 0).marked, "before_nothing_is_marked");
	tap_ok(!ksm_set(&nl, 1, HOODY_KSM_ON, 0, "") && ksm_wait(&nl, 1, HOODY_KSM_MARKED),
	       "container_is_marked");
	tap_ok(ksm_area(one.pid, at1).marked && ksm_area(two.pid, at2).marked, "areas_are_marked");
	tap_ok(ksm_wait_merged(one.pid, at1, SIZE) && ksm_wait_merged(two.pid, at2, SIZE),
	       "identical_pages_are_merged");
	tap_ok(!ksm_area(outside.pid, out).marked && !ksm_area(outside.pid, 0).merged,
	       "outside_is_left_alone");
	later = ksm_do(&one, KSM_MAP, KSM_MIB);
	tap_ok(ksm_area(one.pid, later).marked, "new_mapping_follows");
	child = ksm_do(&one, KSM_FORK, 0);
	tap_ok(ksm_area(child, at1).marked, "fork_follows");
	child = ksm_do(&one, KSM_EXEC, 0);
	tap_ok(ksm_area(child, 0).marked && ksm_wait_merged(child, 0, KSM_MIB), "exec_follows");
	/* Stopped, so that the counts of kernel and module can be compared. */
	ksm_write(KSM_SYS "run", "0");
	walk_again("");
	ksm_get(&nl, 1, &status);
	tap_ok(status.count[HOODY_KSM_PROCESSES] == 4, "processes_are_counted: %lu",
	       (unsigned long)status.count[HOODY_KSM_PROCESSES]);
	tap_ok(status.count[HOODY_KSM_PAGES] >= 2 * SIZE / 4096 &&
	       status.count[HOODY_KSM_PAGES] >= stat_of(one.pid, "ksm_merging_pages") +
						stat_of(two.pid, "ksm_merging_pages") &&
	       status.count[HOODY_KSM_ITEMS] >= status.count[HOODY_KSM_PAGES],
	       "pages_are_counted: %lu pages, %lu items",
	       (unsigned long)status.count[HOODY_KSM_PAGES],
	       (unsigned long)status.count[HOODY_KSM_ITEMS]);
	tap_note("%lu walks in %lu us, %lu areas of %lu processes marked",
		 (unsigned long)status.count[HOODY_KSM_WALKS],
		 (unsigned long)status.count[HOODY_KSM_WALK_NS] / 1000,
		 (unsigned long)status.count[HOODY_KSM_AREAS_MARKED],
		 (unsigned long)status.count[HOODY_KSM_PROCESSES_MARKED]);
	ksm_write(KSM_SYS "run", "1");

	tap_ok(ksm_set(&nl, 3, HOODY_KSM_ON, 0, "") == -EBUSY && strstr(nl.text, "domain"),
	       "other_domain_is_refused: %s", nl.text);
	tap_ok(!ksm_set(&nl, 2, HOODY_KSM_ON, 0, "") && ksm_wait(&nl, 2, HOODY_KSM_MARKED),
	       "same_domain_is_accepted");
	tap_ok(!ksm_set(&nl, 2, HOODY_KSM_OFF, 0, "") && ksm_wait(&nl, 2, 0), "which_ends_at_once");

	tap_ok(!ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "") && ksm_wait(&nl, 1, 0), "container_is_undone");
	tap_ok(!ksm_area(one.pid, 0).merged && !ksm_area(two.pid, 0).merged &&
	       !ksm_area(child, 0).merged, "all_memory_is_back");
	tap_ok(!ksm_area(one.pid, 0).marked && !ksm_area(child, 0).marked, "no_area_is_marked");
	later = ksm_do(&one, KSM_MAP, KSM_MIB);
	tap_ok(!ksm_area(one.pid, later).marked, "new_mapping_is_not_marked");
	tap_ok(!ksm_set(&nl, 3, HOODY_KSM_ON, 0, "") && ksm_wait(&nl, 3, HOODY_KSM_MARKED) &&
	       !ksm_set(&nl, 3, HOODY_KSM_OFF, 0, "") && ksm_wait(&nl, 3, 0),
	       "other_domain_is_accepted_afterwards");
	ksm_stop(&one);
	ksm_stop(&two);
	ksm_stop(&outside);
}

static void test_left_alone(void)
{
	struct ksm_actor actor = ksm_actor(A, "actor"), named = ksm_actor(A, "leave-me");
	struct ksm_actor leaver = ksm_actor(A, "leaver");
	uintptr_t plain = ksm_do(&actor, KSM_MAP, KSM_MIB);
	uintptr_t shared = ksm_do(&actor, KSM_MAP_SHARED, KSM_MIB);
	uintptr_t hugetlb = ksm_do(&actor, KSM_MAP_HUGETLB, 2 * KSM_MIB);
	uintptr_t device = ksm_do(&actor, KSM_MAP_DEVICE, 0);
	uintptr_t dax = ksm_do(&actor, KSM_MAP_DAX, KSM_MIB);
	uintptr_t locked = ksm_do(&actor, KSM_MAP_LOCKED, KSM_MIB), late, later;
	struct ksm_status status;

	ksm_do(&named, KSM_MAP, KSM_MIB);
	tap_ok(plain && shared && hugetlb && device && dax && locked, "mappings_are_there");
	ksm_set(&nl, 1, HOODY_KSM_ON, 0, "leave-me other");
	tap_ok(ksm_wait(&nl, 1, HOODY_KSM_MARKED) && ksm_area(actor.pid, plain).marked,
	       "plain_is_marked");
	tap_ok(!ksm_area(actor.pid, shared).marked, "shared_is_not");
	tap_ok(!ksm_area(actor.pid, hugetlb).marked, "hugetlb_is_not");
	tap_ok(!ksm_area(actor.pid, device).marked, "device_is_not");
	tap_ok(!ksm_area(actor.pid, dax).marked, "dax_is_not");
	tap_ok(!ksm_area(actor.pid, locked).marked, "locked_is_not");
	ksm_get(&nl, 1, &status);
	tap_ok(!ksm_area(named.pid, 0).marked && status.count[HOODY_KSM_NAMED] == 1 &&
	       status.names == 2, "named_process_is_not");
	late = ksm_do(&actor, KSM_MAP, KSM_MIB);
	ksm_do(&actor, KSM_LOCK, late);
	later = ksm_do(&actor, KSM_MAP, KSM_MIB);
	tap_ok(ksm_do(&actor, KSM_UNMERGEABLE, later) && ksm_do(&leaver, KSM_LEAVE, 0),
	       "process_asks_to_be_left_out");
	walk_again("leave-me");
	ksm_get(&nl, 1, &status);
	tap_ok(!ksm_area(actor.pid, late).marked, "locked_later_is_undone");
	tap_ok(!ksm_area(actor.pid, later).marked, "unmergeable_stays_so");
	tap_ok(!ksm_area(leaver.pid, 0).marked && status.count[HOODY_KSM_LEFT] == 1,
	       "process_that_left_stays_out");
	walk_again("actor");
	tap_ok(!ksm_area(actor.pid, 0).marked && !ksm_area(actor.pid, 0).merged,
	       "named_later_is_undone");
	tap_ok(ksm_area(named.pid, 0).marked, "no_longer_named_is_marked");
	tap_ok(!kmod_container_del(&nl, (uint8_t[HOODY_ID_LEN]){ 0xc0, [HOODY_ID_LEN - 1] = 1 }, 0),
	       "container_is_deleted");
	for (uint64_t end = limit_end_us(30);
	     ksm_area(named.pid, 0).marked && limit_now_us() < end;)
		usleep(2000);
	tap_ok(!ksm_area(named.pid, 0).marked, "which_undoes_its_mark");
	ksm_stop(&actor);
	ksm_stop(&named);
	ksm_stop(&leaver);
	ksm_container(&nl, 1, 1, A);
}

static void test_sizes(void)
{
	struct ksm_actor one = ksm_actor(A, "one"), two = ksm_actor(A, "two");
	uintptr_t huge = ksm_do(&one, KSM_MAP_HUGE, 4 * KSM_MIB), sparse;

	ksm_do(&two, KSM_MAP_HUGE, 4 * KSM_MIB);
	ksm_set(&nl, 1, HOODY_KSM_ON, 0, "");
	tap_ok(ksm_wait_merged(one.pid, huge, 4 * KSM_MIB), "huge_pages_are_split_and_merged");
	/* A hole costs ksmd of 6.12 a look at every page of it; not what is tested. */
	ksm_write(KSM_SYS "run", "0");
	sparse = ksm_do(&two, KSM_MAP_SPARSE, 64UL << 30);
	tap_ok(sparse && ksm_area(two.pid, sparse).marked, "sparse_mapping_is_marked");
	ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "");
	tap_ok(ksm_wait(&nl, 1, 0) && !ksm_area(one.pid, 0).merged && !ksm_area(two.pid, 0).marked,
	       "huge_and_sparse_are_undone");
	ksm_stop(&one);
	ksm_stop(&two);
	ksm_write(KSM_SYS "run", "1");
}

static bool alive(const struct ksm_actor *actor)
{
	return ksm_do(actor, KSM_MAP, 4096) != 0;
}

/* B has merged more than its limit allows it to have for itself. */
static void test_limit(void)
{
	struct ksm_actor one = ksm_actor(A, "one"), two = ksm_actor(B, "two");
	uintptr_t at1 = ksm_do(&one, KSM_MAP, 4 * SIZE), at2 = ksm_do(&two, KSM_MAP, 4 * SIZE);
	struct ksm_status status;
	unsigned long merged;
	char limit[32];

	ksm_set(&nl, 1, HOODY_KSM_ON, 0, "");
	ksm_set(&nl, 2, HOODY_KSM_ON, 0, "");
	tap_ok(ksm_wait_merged(one.pid, at1, 4 * SIZE) && ksm_wait_merged(two.pid, at2, 4 * SIZE),
	       "limit_merged_first");
	ksm_write(KSM_SYS "run", "0");
	snprintf(limit, sizeof(limit), "%lu",
		 (unsigned long)(ksm_read(B "/memory.current") + 4 * KSM_MIB));
	ksm_write(B "/memory.max", limit);
	ksm_set(&nl, 2, HOODY_KSM_OFF, 0, "");
	tap_ok(ksm_wait(&nl, 2, HOODY_KSM_STOPPED_CGROUP), "limit_stops_the_undoing");
	merged = ksm_area(two.pid, at2).merged;
	tap_ok(merged > 0 && merged < 4 * SIZE, "limit_undone_in_part: %lu KiB left", merged >> 10);
	tap_ok(alive(&two) && strstr(({
		static char text[256];
		int fd = open(B "/memory.events", O_RDONLY | O_CLOEXEC);
		text[read(fd, text, sizeof(text) - 1)] = '\0';
		close(fd);
		text;
	}), "oom_kill 0"), "limit_ends_no_process");
	tap_ok(ksm_set(&nl, 3, HOODY_KSM_ON, 0, "") == -EBUSY, "limit_keeps_its_domain");
	ksm_write(B "/memory.max", "max");
	ksm_set(&nl, 2, HOODY_KSM_OFF, 0, "");
	tap_ok(ksm_wait(&nl, 2, 0) && !ksm_area(two.pid, 0).merged, "limit_raised_undoes_the_rest");
	tap_ok(ksm_area(one.pid, at1).merged == 4 * SIZE, "limit_other_container_keeps_its_own");
	tap_ok(ksm_get(&nl, 2, &status) == -ENOENT, "limit_mark_has_gone");
	ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "");
	ksm_wait(&nl, 1, 0);
	ksm_stop(&one);
	ksm_stop(&two);
	ksm_write(KSM_SYS "run", "1");
}

#define EIGHT	8

/* Eight containers of one project with the same memory: one of all and seven copies less. */
static void test_eight(void)
{
	struct ksm_actor actors[EIGHT];
	uintptr_t at[EIGHT];
	unsigned int before = 0, merged = 0, undone = 0;
	uint64_t shared, sharing;
	char path[64];

	for (unsigned int i = 0; i < EIGHT; i++) {
		snprintf(path, sizeof(path), ROOT "/eight-%u", i);
		if (mkdir(path, 0755) && errno != EEXIST)
			kmod_die(path);
		actors[i] = ksm_actor(path, "eight");
		at[i] = ksm_do(&actors[i], KSM_MAP, KSM_MIB);
		before += !ksm_container(&nl, 10 + i, 1, path) && at[i] && !ksm_area(actors[i].pid, 0).marked;
	}
	tap_ok(before == EIGHT, "eight_containers_have_the_same");
	for (unsigned int i = 0; i < EIGHT; i++)
		ksm_set(&nl, 10 + i, HOODY_KSM_ON, 0, "");
	for (unsigned int i = 0; i < EIGHT; i++)
		merged += ksm_wait_merged(actors[i].pid, at[i], KSM_MIB);
	shared = ksm_read(KSM_SYS "pages_shared");
	sharing = ksm_read(KSM_SYS "pages_sharing");
	/* What else is alike in them is of their own heaps and stacks. */
	tap_ok(merged == EIGHT && shared >= KSM_MIB / 4096 && sharing >= (EIGHT - 1) * KSM_MIB / 4096,
	       "eight_share_one_copy (%u merged; %llu pages for %llu others)", merged,
	       (unsigned long long)shared, (unsigned long long)sharing);
	for (unsigned int i = 0; i < EIGHT; i++)
		ksm_set(&nl, 10 + i, HOODY_KSM_OFF, 0, "");
	for (unsigned int i = 0; i < EIGHT; i++)
		undone += ksm_wait(&nl, 10 + i, 0) && !ksm_area(actors[i].pid, 0).merged;
	tap_ok(undone == EIGHT, "eight_have_their_own_again (%u)", undone);
	for (unsigned int i = 0; i < EIGHT; i++) {
		ksm_stop(&actors[i]);
		snprintf(path, sizeof(path), ROOT "/eight-%u", i);
		rmdir(path);
	}
}

#define CROWD	16

/* Containers whose processes come, go and are killed under the walk. */
static void test_killed(void)
{
	struct ksm_actor actors[CROWD];
	unsigned int marked = 0;

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < CROWD; i++) {
			actors[i] = ksm_actor(A, "crowd");
			ksm_do(&actors[i], KSM_CHURN, 0);
		}
		marked += !ksm_set(&nl, 1, HOODY_KSM_ON, 0, "");
		if (round == 1)
			ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "");
		ksm_write(A "/cgroup.kill", "1");
		for (unsigned int i = 0; i < CROWD; i++)
			ksm_stop(&actors[i]);
		ksm_set(&nl, 1, HOODY_KSM_OFF, 0, "");
		marked += ksm_wait(&nl, 1, 0);
	}
	tap_ok(marked == 4, "killed_under_the_walk");
}

static void test_unload(void)
{
	struct ksm_actor one = ksm_actor(A, "one"), two = ksm_actor(A, "two");
	uintptr_t at = ksm_do(&one, KSM_MAP, SIZE);
	int err = -EAGAIN;

	ksm_do(&two, KSM_MAP, SIZE);
	ksm_set(&nl, 1, HOODY_KSM_ON, 0, "");
	tap_ok(ksm_wait_merged(one.pid, at, SIZE), "unload_merged_first");
	kmod_nl_close(&nl);
	for (uint64_t end = limit_end_us(30); err == -EAGAIN && limit_now_us() < end;)
		err = kmod_unload();
	tap_ok(!err, "unload_with_a_container_marked");
	tap_ok(!ksm_area(one.pid, 0).merged && !ksm_area(two.pid, 0).marked,
	       "unload_leaves_nothing_merged");
	ksm_stop(&one);
	ksm_stop(&two);
}

/*
 * A process that comes into the cgroup and executes a program, with arguments that take
 * long to copy: walks come while its new memory is there and not in use yet.
 */
static pid_t exec_slowly(int *ready)
{
	static char argument[100000];
	char *arguments[16] = { "ksm-child", "--child" };
	int ends[2];
	pid_t pid;

	memset(argument, 'a', sizeof(argument) - 1);
	for (size_t i = 2; i < 15; i++)
		arguments[i] = argument;
	if (pipe(ends))
		kmod_die("pipe");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 1);
		ksm_write(A "/cgroup.procs", "0");
		if (write(1, "c", 1) == 1)
			execv("/proc/self/exe", arguments);
		_exit(1);
	}
	close(ends[1]);
	*ready = ends[0];
	return pid;
}

/* What is marked in that moment is the old memory: the new one is marked later. */
static void test_exec_meanwhile(void)
{
	unsigned int wrong = 0;

	ksm_set(&nl, 1, HOODY_KSM_ON, 0, "");
	for (unsigned int i = 0; i < EXECS; i++) {
		struct pollfd ready = { .events = POLLIN };
		pid_t pid = exec_slowly(&ready.fd);
		char byte = 0;

		while (byte != 'r') {
			if (byte)
				walk_again("");
			if (poll(&ready, 1, byte ? 0 : -1) > 0 && read(ready.fd, &byte, 1) != 1)
				kmod_die("child");
		}
		walk_again("");
		wrong += !ksm_area(pid, 0).marked;
		close(ready.fd);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	tap_ok(!wrong, "exec_under_walks_is_marked (%u of %u are not)", wrong, EXECS);
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "--child")) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!ksm_map(KSM_MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1, true) || write(1, "r", 1) != 1)
			return 1;
		for (;;)
			pause();
	}
	tap_plan(9 + 18 + 1 + 16 + 3 + 8 + 3 + 1 + 3);
	setup();
	setup_dax();
	test_refused();
	test_merge();
	test_exec_meanwhile();
	test_left_alone();
	test_sizes();
	test_limit();
	test_eight();
	test_killed();
	test_unload();
	ksm_write(KSM_SYS "run", "0");
	ksm_write("/proc/sys/vm/nr_hugepages", "0");
	umount2(KSM_DAX, MNT_DETACH);
	rmdir(KSM_DAX);
	rmdir(A);
	rmdir(B);
	rmdir(C);
	rmdir(ROOT);
	return tap_done();
}
