// SPDX-License-Identifier: Apache-2.0
/*
 * The syscall gate beside others on the same function: a live patch, of which the
 * kernel accepts one user only, and tracers, with which it is shared. Whoever comes
 * first, a refused call stays refused, and who cannot be served is told.
 */
#include "tap.h"
#include "gate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>

#define A	GATE_ROOT "/others"
#define TRACING	"/sys/kernel/tracing/"
#define PATCH	"/sys/kernel/livepatch/rival/"

/* mount(2) that fails for another reason (-ENODEV: no such file system) when it is let through. */
#define TRY_MOUNT	SYS_mount, (long)"x", (long)"/", (long)"none-such", 0, 0
#define PATCHED		(-EUCLEAN)	/* what the live patch says */

static const char deny[] =
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
	"{\"names\":[\"mount\",\"acct\"],\"action\":\"SCMP_ACT_ERRNO\"},"
	"{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77}]}";

static const char other[] =
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
	"{\"names\":[\"acct\"],\"action\":\"SCMP_ACT_ERRNO\"}]}";

static struct kmod_nl nl;
static struct actor actor;
static uint64_t generation;

static int write_file(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), err;

	if (fd < 0)
		return -errno;
	err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static bool refused(void)
{
	return actor_call(&actor, TRY_MOUNT) == -EPERM && actor_call(&actor, SYS_acct, 1) == -EPERM &&
	       actor_call(&actor, SYS_getppid) == -77;
}

static bool attach(void)
{
	return !gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
}

static void detach(void)
{
	gate_attach(&nl, 1, A, NULL, 0);
}

/* --- a live patch --- */

static int patch_remove(void)
{
	uint64_t end = limit_end_us(60);

	/* Every task has to leave the patched function first; refused until it is in force. */
	while (write_file(PATCH "enabled", "0", 0) == -EBUSY && limit_now_us() < end)
		usleep(10000);
	return kmod_remove("rival");
}

/* A task sees the patch when the kernel has found it outside of patched functions. */
static bool patch_works(void)
{
	uint64_t end = limit_end_us(60);

	while (actor_call(&actor, TRY_MOUNT) != PATCHED) {
		if (limit_now_us() > end)
			return false;
		usleep(10000);
	}
	return true;
}

static void test_patch(void)
{
	int err = kmod_load_helper("rival", "");

	tap_ok(!err && patch_works(), "patch_is_there_first (%d)", err);
	err = gate_attach(&nl, 1, A, "p", HOODY_GATE_ENFORCE);
	tap_ok(err == -EBUSY && strstr(nl.text, "__x64_sys_mount:"),
	       "patched_first_attach_fails_and_names_the_function (%d): %s", err, nl.text);
	tap_ok(!gate_stat(&nl, HOODY_STAT_GATE_HOOKED) && actor_call(&actor, SYS_acct, 1) != -EPERM &&
	       actor_call(&actor, TRY_MOUNT) == PATCHED, "patched_first_nothing_is_changed");
	err = patch_remove();
	tap_ok(!err && actor_call(&actor, TRY_MOUNT) == -ENODEV, "patch_goes (%d)", err);
	tap_ok(attach() && refused(), "patch_gone_attach_succeeds: %s", nl.text);
	err = kmod_load_helper("rival", "");
	tap_ok(err == -EBUSY, "attached_first_the_patch_is_refused (%d)", err);
	tap_ok(refused() && gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_mount) == 2,
	       "attached_first_calls_stay_refused");
	detach();
	err = kmod_load_helper("rival", "");
	tap_ok(!err && patch_works() && !patch_remove(),
	       "detached_leaves_the_function_to_others (%d)", err);
}

/* --- tracers --- */

struct tracer {
	const char	*name;
	bool		(*start)(struct tracer *tracer);
	uint64_t	(*hits)(const struct tracer *tracer);
	void		(*stop)(struct tracer *tracer);
	const char	*target;	/* an event, a function or a tracer, as @start takes it */
	uint32_t	type;		/* of a BPF program, or of a perf event */
	int		program, link;	/* descriptors */
};

static bool probe_start(struct tracer *tracer)
{
	return !write_file(TRACING "kprobe_events", tracer->target, O_APPEND) &&
	       !write_file(TRACING "events/others/probe/enable", "1", 0);
}

static void probe_stop(struct tracer *tracer)
{
	uint64_t end = limit_end_us(30);

	write_file(TRACING "events/others/probe/enable", "0", 0);
	while (write_file(TRACING "kprobe_events", "-:others/probe", O_APPEND) == -EBUSY &&
	       limit_now_us() < end)
		usleep(10000);
}

/* How often the event came. */
static uint64_t probe_hits(const struct tracer *tracer)
{
	FILE *file = fopen(TRACING "kprobe_profile", "r");
	unsigned long long hits, count = 0;
	char name[128];

	while (file && fscanf(file, "%127s %llu %*u", name, &hits) == 2)
		if (!strcmp(name, "probe"))
			count = hits;
	if (file)
		fclose(file);
	return count;
}

static bool program_start(struct tracer *tracer)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = tracer->type);

	options.attach_btf_id = libbpf_find_vmlinux_btf_id(tracer->target, tracer->type);
	tracer->program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "others", "GPL", code, 2, &options);
	if (tracer->program < 0)
		return false;
	tracer->link = bpf_link_create(tracer->program, 0, tracer->type, NULL);
	return tracer->link >= 0;
}

static uint64_t program_hits(const struct tracer *tracer)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	return bpf_prog_get_info_by_fd(tracer->program, &info, &size) ? 0 : info.run_cnt;
}

static void program_stop(struct tracer *tracer)
{
	close(tracer->link);
	close(tracer->program);
}

/* A probe of perf's own, which no file of tracing shows: counts the actor's calls. */
static bool perf_start(struct tracer *tracer)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .config = tracer->type };
	char text[16] = "";
	int fd = open("/sys/bus/event_source/devices/kprobe/type", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		kmod_die("the kernel has no kprobes for perf");
	close(fd);
	attr.type = atoi(text);
	attr.kprobe_func = (uintptr_t)tracer->target;
	tracer->link = syscall(SYS_perf_event_open, &attr, actor.pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return tracer->link >= 0;
}

static uint64_t perf_hits(const struct tracer *tracer)
{
	uint64_t count;

	return read(tracer->link, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void perf_stop(struct tracer *tracer)
{
	close(tracer->link);
}

/* A tracer of tracefs, on all of the actor's functions that are hooked. */
static bool tracefs_start(struct tracer *tracer)
{
	return !write_file(TRACING "set_ftrace_filter", "__x64_sys_mount __x64_sys_acct *_sys_getppid",
			   O_TRUNC) &&
	       !write_file(TRACING "current_tracer", tracer->target, 0);
}

/* Lines that it wrote about the call. */
static uint64_t tracefs_hits(const struct tracer *tracer)
{
	FILE *file = fopen(TRACING "trace", "re");
	char line[512];
	uint64_t found = 0;

	while (file && fgets(line, sizeof(line), file))
		found += line[0] != '#' && strstr(line, "__x64_sys_mount");
	if (file)
		fclose(file);
	return found;
}

static void tracefs_stop(struct tracer *tracer)
{
	write_file(TRACING "current_tracer", "nop", 0);
	write_file(TRACING "set_ftrace_filter", "", O_TRUNC);
}

/* Several at once, which also have each other on the function. */
static void test_tracers(struct tracer *tracers, size_t count)
{
	bool first = attach() && refused(), started;

	for (size_t i = 0; i < count; i++) {
		started = tracers[i].start(&tracers[i]);
		tap_ok(first && started && refused() && refused(),
		       "%s_started_later_calls_stay_refused (%d)", tracers[i].name, started);
	}
	/* Their functions lose their hooks and get them back. */
	first = !gate_profile(&nl, "p", ++generation, other) && actor_call(&actor, TRY_MOUNT) == -ENODEV &&
		!gate_profile(&nl, "p", ++generation, deny);
	tap_ok(first && refused(), "%s_and_others_replacement_under_them", tracers[0].name);
	detach();
	first = actor_call(&actor, TRY_MOUNT) == -ENODEV && actor_call(&actor, SYS_getppid) > 0;
	for (size_t i = 0; i < count; i++)
		tap_ok(first && tracers[i].hits(&tracers[i]) > 0, "%s_goes_on_without_the_gate (%llu)",
		       tracers[i].name, (unsigned long long)tracers[i].hits(&tracers[i]));
	first = attach() && refused();
	for (size_t i = 0; i < count; i++) {
		tap_ok(first && refused(), "%s_was_first_calls_are_refused: %s", tracers[i].name, nl.text);
		tracers[i].stop(&tracers[i]);
		tap_ok(refused(), "%s_gone_calls_stay_refused", tracers[i].name);
	}
	detach();
}

/*
 * Leaves out the programs where the kernel has no types, without which none is
 * loaded: the debug kernel, whose build would take half as long again. A round ends at
 * the first tracer without a name. Returns how many are left.
 */
static size_t tracers_possible(struct tracer *tracers, size_t count, bool types)
{
	size_t left = 0;

	for (size_t i = 0; i < count && tracers[i].name; i++)
		if (tracers[i].start != program_start || types)
			tracers[left++] = tracers[i];
	return left;
}

int main(void)
{
#define PROBE	.start = probe_start, .hits = probe_hits, .stop = probe_stop
#define PROGRAM	.start = program_start, .hits = program_hits, .stop = program_stop
#define PERF	.start = perf_start, .hits = perf_hits, .stop = perf_stop
#define TRACEFS	.start = tracefs_start, .hits = tracefs_hits, .stop = tracefs_stop
	struct tracer rounds[][4] = { {
		{ "kprobe", PROBE, .target = "p:others/probe __x64_sys_mount" },
		{ "fexit", PROGRAM, .target = "__x64_sys_mount", .type = BPF_TRACE_FEXIT },
		{ "fentry_of_getppid", PROGRAM, .target = "__do_sys_getppid", .type = BPF_TRACE_FENTRY },
		{ "function_tracer", TRACEFS, .target = "function" },
	}, {
		{ "kretprobe", PROBE, .target = "r:others/probe __x64_sys_mount" },
		{ "fentry", PROGRAM, .target = "__x64_sys_mount", .type = BPF_TRACE_FENTRY },
		{ "perf_probe", PERF, .target = "__x64_sys_mount" },
	}, {
		{ "fexit_of_getppid", PROGRAM, .target = "__do_sys_getppid", .type = BPF_TRACE_FEXIT },
		{ "perf_return_probe", PERF, .target = "__x64_sys_mount", .type = 1 },
		{ "function_graph_tracer", TRACEFS, .target = "function_graph" },
	} };
	bool types = !access("/sys/kernel/btf/vmlinux", F_OK);
	size_t counts[3], tracers = 0;
	int stats;

	for (size_t i = 0; i < 3; i++) {
		counts[i] = tracers_possible(rounds[i], 4, types);
		tracers += counts[i];
	}
	tap_plan(8 + 4 * tracers + 3 + 1);
	if (!types)
		tap_note("programs are left out: this kernel has no types");
	gate_begin(&nl, A);
	actor = actor_start(A, NULL);
	if (gate_profile(&nl, "p", ++generation, deny))
		kmod_die(nl.text);
	/* Counts the runs of programs. */
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	test_patch();
	for (size_t i = 0; i < 3; i++)
		test_tracers(rounds[i], counts[i]);
	close(stats);
	actor_stop(&actor);
	tap_ok(!gate_end(&nl, "p", A), "module_goes");
	return tap_done();
}
