// SPDX-License-Identifier: Apache-2.0
/*
 * No memory: every command of the module is given with its first allocation
 * failing, then with its second, and so on until it succeeds; those that ftrace and
 * kprobes make on its behalf are among them. It says -ENOMEM and has changed
 * nothing, or it succeeds and has changed everything; and nothing is left behind.
 * modules/interpose.c stands between the module and the kernel.
 *
 * With HOODY_FAILSLAB in the environment, which the debug kernel's run sets, it is
 * the kernel's own fault injection that lets allocations fail, of slabs and of pages,
 * by whomever they are asked for while the module is among the callers. What is lost
 * there is found by kmemleak, after the test.
 */
#include "tap.h"
#include "gate.h"
#include "ksm.h"

#include <net/if.h>
#include <sys/ioctl.h>

#define A	GATE_ROOT "/a"
#define B	GATE_ROOT "/b"
#define C	GATE_ROOT "/c"
#define PARAMETERS	"/sys/module/interpose/parameters/"
#define MOST	600	/* allocations of one command */

#define ALLOW	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
#define DENY(name, errno)	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" errno "}"
#define DENY_IF(name, errno)	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" \
	errno ",\"args\":[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"}]}"
#define END	"]}"

static struct kmod_nl nl;
static struct actor actor;
static uint64_t generation;
static struct hoody_table *one, *two;

/* --- who lets memory fail --- */

#define DEBUGFS		"/sys/kernel/debug/"
/* Where modules lie; a call chain with an address from there fails, others do not. */
#define MODULES_FROM	"0xffffffffa0000000"
#define MODULES_TO	"0xffffffffff000000"

static bool failslab;	/* the kernel itself */
static int armed;	/* what fail_at() was told */

static int parameter(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return ksm_read(path);
}

static void fail_at(int n)
{
	char text[16];

	armed = n;
	snprintf(text, sizeof(text), "%d", n);
	if (!ksm_write(failslab ? "/proc/thread-self/fail-nth" : PARAMETERS "fail_at", text))
		kmod_die("fail_at");
}

/* Did the n-th request come, and fail? */
static bool failed_at(int n)
{
	return failslab ? !ksm_read("/proc/thread-self/fail-nth") : parameter("requests") >= n;
}

static void failslab_set(const char *name, const char *text)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	char path[128];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", kinds[i], name);
		if (!ksm_write(path, text))
			kmod_die(path);
	}
}

static void failslab_setup(void)
{
	failslab_set("ignore-gfp-wait", "N");
	failslab_set("verbose", "0");
	failslab_set("require-start", MODULES_FROM);
	failslab_set("require-end", MODULES_TO);
	if (!ksm_write(DEBUGFS "fail_page_alloc/min-order", "0") ||
	    !ksm_write(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N"))
		kmod_die("fail_page_alloc");
}

/* What is freed after a grace period is waited for. */
static bool live_becomes(int wanted)
{
	if (failslab)
		return true;
	for (uint64_t end = limit_end_us(30); parameter("live") != wanted;) {
		if (limit_now_us() > end) {
			tap_note("%d allocations live, %d were expected", parameter("live"), wanted);
			return false;
		}
		usleep(1000);
	}
	return true;
}

/*
 * struct scene - a command and how to see what it did. @done: has it been carried
 * out? @undone: is everything as before it? Both may be called in any state.
 */
struct scene {
	const char	*name;
	int		least;		/* allocations that it makes, at least */
	bool		deep;		/* what ftrace and kprobes ask for on its behalf, too */
	int		(*command)(void);
	bool		(*done)(void);
	bool		(*undone)(void);
	void		(*undo)(void);
};

static void play(const struct scene *scene)
{
	int before, n = 0, err = -ENOMEM, half = 0, wrong = 0, leaked = 0, named = 0;
	bool failed = true;

	ksm_write(PARAMETERS "deep", scene->deep ? "1" : "0");
	while (n < MOST && failed) {
		before = parameter("live");
		fail_at(++n);
		err = scene->command();
		failed = failed_at(n);
		fail_at(0);
		if (err) {
			wrong += err != -ENOMEM;
			named += strstr(nl.text, "_sys_") != NULL;
			half += !scene->undone();
			if (err != -ENOMEM || !scene->undone())
				tap_note("%s, allocation %d: %d, %s", scene->name, n, err, nl.text);
		} else {
			half += !scene->done();
			scene->undo();
		}
		leaked += !live_becomes(before);
	}
	tap_ok(!err && n > scene->least && n < MOST && !wrong && !half && !leaked &&
	       (named > 0 || !scene->deep),
	       "no_memory_%s (%d allocations; %d wrong, %d half applied, %d leaked, %d name a function)",
	       scene->name, n - 1, wrong, half, leaked, named);
}

/* --- containers --- */

static bool container_is(uint32_t n, uint64_t wanted)
{
	struct kmod_container container = { 0 };
	uint8_t id[HOODY_ID_LEN];
	int err;

	kmod_id(id, n);
	err = kmod_container_get(&nl, id, &container);
	return wanted ? !err && container.generation == wanted : err == -ENOENT;
}

/* All that a container may have; @far: other addresses and another cgroup. */
static int container_set(uint32_t n, bool far, const char *profile)
{
	const struct in6_addr addr6 = { .s6_addr = { 0xfd, 8, [14] = n, [15] = far ? 9 : 8 } };
	const uint8_t addr4[4] = { 10, n, 0, far ? 9 : 8 };
	char buffer[2048];
	struct nlmsghdr *header = kmod_nl_message(&nl, buffer, HOODY_CMD_CONTAINER_SET, 0);
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, n);
	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	mnl_attr_put(header, HOODY_A_PROJECT, HOODY_ID_LEN, id);
	mnl_attr_put_u64(header, HOODY_A_GENERATION, ++generation);
	mnl_attr_put(header, HOODY_A_ADDR4, 4, addr4);
	mnl_attr_put(header, HOODY_A_ADDR6, 16, &addr6);
	mnl_attr_put_u64(header, HOODY_A_CGROUP, kmod_cgroup_id(far ? B : A));
	if (profile) {
		mnl_attr_put_strz(header, HOODY_A_PROFILE, profile);
		mnl_attr_put_u32(header, HOODY_A_GATE_MODE, HOODY_GATE_ENFORCE);
	}
	return kmod_nl_talk(&nl, header, NULL, NULL);
}

static bool actor_gets(long getppid, long getpgrp)
{
	return actor_call(&actor, SYS_getppid) == getppid && actor_call(&actor, SYS_getpgrp) == getpgrp;
}

static pid_t free_ppid, free_pgrp;	/* what the actor sees without a profile */

static int create_do(void) { return container_set(1, false, "one"); }
static bool create_done(void) { return container_is(1, generation) && actor_gets(-77, free_pgrp); }
static bool create_undone(void) { return container_is(1, 0) && actor_gets(free_ppid, free_pgrp); }
static void create_undo(void) { gate_delete(&nl, 1); }

/* The hooks of the second profile are others, looked up where nobody had them before. */
static uint64_t replaced;

static int replace_do(void) { return container_set(1, true, "two"); }
static bool replace_done(void)
{
	bool result;

	gate_move(B, actor.pid);
	result = container_is(1, generation) && actor_gets(free_ppid, -55);
	gate_move(A, actor.pid);
	return result;
}
static bool replace_undone(void) { return container_is(1, replaced) && actor_gets(-77, free_pgrp); }
static void replace_undo(void) { container_set(1, false, "one"), replaced = generation; }

static int delete_do(void) { return gate_delete(&nl, 1); }

/* --- profiles --- */

static const char *loaded = "three";

static int profile_do(void) { return gate_table_load(&nl, loaded, ++generation, two); }
static bool profile_there(void)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(&nl, buffer, HOODY_CMD_PROFILE_GET, 0);

	mnl_attr_put_strz(header, HOODY_A_PROFILE, loaded);
	return !kmod_nl_talk(&nl, header, NULL, NULL);
}
static bool profile_absent(void) { return !profile_there(); }
static void profile_undo(void) { gate_profile_del(&nl, loaded); }

static int swap_do(void) { return gate_table_load(&nl, "one", ++generation, two); }
static bool swap_done(void) { return actor_gets(free_ppid, -55); }
static bool swap_undone(void) { return actor_gets(-77, free_pgrp); }
static void swap_undo(void) { gate_table_load(&nl, "one", ++generation, one); }

/* --- memory merging, the agent, what is asked --- */

static int ksm_do_on(void) { return ksm_set(&nl, 1, HOODY_KSM_ON, 0, "some names"); }
static bool ksm_is_on(void)
{
	struct ksm_status status;

	return !ksm_get(&nl, 1, &status) && status.names == 2;
}
static bool ksm_is_absent(void)
{
	struct ksm_status status;

	return ksm_get(&nl, 1, &status) == -ENOENT;
}
static void ksm_undo_on(void) { ksm_set(&nl, 1, HOODY_KSM_OFF, 0, ""), ksm_wait(&nl, 1, 0); }

static int agent_do(void) { return kmod_agent_set(&nl, kmod_cgroup_id(C)); }
static uint64_t agent_now(void)
{
	struct kmod_agent agent = {};

	return kmod_agent_get(&nl, &agent) ? 1 : agent.cgroup;
}
static bool agent_done(void) { return agent_now() == kmod_cgroup_id(C); }
static bool agent_undone(void) { return !agent_now(); }
static void agent_undo(void) { kmod_agent_set(&nl, 0); }

static bool always(void) { return true; }
static bool never(void) { return false; }
static void nothing(void) { }

static int get_do(void)
{
	struct kmod_container container;
	struct kmod_stats stats;
	struct ksm_status status;
	struct kmod_agent agent = {};
	uint8_t id[HOODY_ID_LEN];

	kmod_id(id, 1);
	return kmod_container_get(&nl, id, &container) ?: kmod_agent_get(&nl, &agent) ?:
	       kmod_stats_get(&nl, &stats) ?: ksm_get(&nl, 1, &status) ?:
	       (profile_there() ? 0 : -ENOMEM);
}

/* --- a namespace's first command --- */

static int home;
static struct kmod_nl first_nl;

/* In a new namespace, which goes with the socket. */
static int first_do(void)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct kmod_nl keep = nl;
	int n = armed, err;

	/* What making the namespace asks for is not meant. */
	fail_at(0);
	if (unshare(CLONE_NEWNET) || kmod_nl_open(&first_nl) ||
	    ioctl(mnl_socket_get_fd(first_nl.socket), SIOCSIFFLAGS, &loopback))
		kmod_die("namespace");
	nl = first_nl;
	fail_at(n);
	err = container_set(1, false, NULL);
	if (err && !container_is(1, 0))
		err = -EBADE;
	memcpy(keep.text, nl.text, sizeof(keep.text));
	nl = keep;
	kmod_nl_close(&first_nl);
	if (setns(home, CLONE_NEWNET))
		kmod_die("setns");
	return err;
}

/* --- the module itself --- */

static int module_do(void) { return kmod_load(""); }
static bool module_absent(void) { return access("/sys/module/hoody", F_OK) != 0; }
static void module_undo(void) { kmod_remove("hoody"); }

/*
 * The worker that marks address spaces, out of memory: it says so, and goes on by
 * itself when there is some.
 */
static void play_worker(void)
{
	int n = 0, requests = 0, stopped = 0, wrong = 0;
	struct ksm_status status = { 0 };

	ksm_write(PARAMETERS "deep", "1");
	ksm_write(PARAMETERS "workers", "1");
	while (n < MOST && requests >= n) {
		/* One that the kernel has no record of yet. */
		struct actor fresh = actor_start(A, NULL);

		/* It is in its cgroup then. */
		wrong += actor_call(&fresh, SYS_getpid) != fresh.pid;
		fail_at(++n);
		wrong += ksm_do_on() != 0;
		for (uint64_t end = limit_end_us(60); limit_now_us() < end; usleep(2000))
			if (!ksm_get(&nl, 1, &status) && status.state != HOODY_KSM_MARKING)
				break;
		stopped += status.state == HOODY_KSM_STOPPED_KERNEL;
		requests = parameter("requests");
		fail_at(0);
		wrong += !ksm_wait(&nl, 1, HOODY_KSM_MARKED) || !ksm_area(fresh.pid, 0).marked;
		ksm_undo_on();
		wrong += ksm_area(fresh.pid, 0).marked != 0;
		actor_stop(&fresh);
	}
	ksm_write(PARAMETERS "workers", "0");
	tap_ok(n > 1 && n < MOST && stopped > 0 && !wrong,
	       "no_memory_for_the_worker (%d allocations; %d stopped it, %d wrong)", n - 1, stopped, wrong);
}

/*
 * The same without anybody between: a process appears below a mark, and of what the
 * worker's next walks ask for the first @times requests fail.
 */
static void play_worker_failslab(void)
{
	static const char *const times[] = { "1", "2", "3", "5", "8" };
	int wrong = ksm_do_on() != 0, failed = 0;

	wrong += !ksm_wait(&nl, 1, HOODY_KSM_MARKED);
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct actor fresh;
		uint64_t end;

		failslab_set("times", times[i]);
		failslab_set("probability", "100");
		fresh = actor_start(A, NULL);
		wrong += actor_call(&fresh, SYS_getpid) != fresh.pid;
		end = limit_end_us(120);
		while (limit_now_us() < end && !ksm_area(fresh.pid, 0).marked)
			usleep(10000);
		failed += ksm_read(DEBUGFS "failslab/times") == 0;
		failslab_set("probability", "0");
		wrong += !ksm_area(fresh.pid, 0).marked;
		actor_stop(&fresh);
	}
	ksm_undo_on();
	tap_ok(failed > 0 && !wrong, "no_memory_for_the_worker (%d failed, %d wrong)", failed, wrong);
}

static void play_all(void)
{
	static const struct scene scenes[] = {
		{ "registry", 10, false, first_do, always, always, nothing },
		{ "container", 7, true, create_do, create_done, create_undone, create_undo },
		{ "profile", 3, false, profile_do, profile_there, profile_absent, profile_undo },
		{ "agent", 1, false, agent_do, agent_done, agent_undone, agent_undo },
	};
	static const struct scene attached[] = {
		{ "container_replaced", 7, false, replace_do, replace_done, replace_undone, replace_undo },
		{ "profile_swapped", 4, false, swap_do, swap_done, swap_undone, swap_undo },
		{ "merging", 1, false, ksm_do_on, ksm_is_on, ksm_is_absent, ksm_undo_on },
		/* Never refused: where memory lacks its hooks stay, for nobody. */
		{ "container_deleted", 2, false, delete_do, create_undone, never, replace_undo },
	};
	static const struct scene asked = { "answers", 4, false, get_do, always, always, nothing };

	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++)
		play(&scenes[i]);
	if (create_do())
		kmod_die(nl.text);
	replaced = generation;
	for (size_t i = 0; i < sizeof(attached) / sizeof(*attached); i++)
		play(&attached[i]);
	ksm_do_on();
	loaded = "one";
	play(&asked);
	ksm_undo_on();
	if (failslab)
		play_worker_failslab();
	else
		play_worker();
	gate_delete(&nl, 1);
}

/* Somebody listens, so that events are made. */
static void listen_to_events(void)
{
	static struct kmod_nl events;
	uint32_t group;

	if (kmod_nl_open(&events))
		kmod_die("events");
	group = events.group;
	setsockopt(mnl_socket_get_fd(events.socket), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
		   sizeof(group));
}

int main(void)
{
	static const struct scene module = {
		"module", 1, false, module_do, always, module_absent, module_undo
	};
	char parameters[64];

	tap_plan(12);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	gate_cgroup(GATE_ROOT);
	gate_cgroup(A);
	gate_cgroup(B);
	gate_cgroup(C);
	failslab = getenv("HOODY_FAILSLAB");
	snprintf(parameters, sizeof(parameters), "owner=%d", getpid());
	errno = failslab ? 0 : -kmod_load_helper("interpose", parameters);
	if (errno)
		kmod_die("interpose.ko");
	if (failslab)
		failslab_setup();
	play(&module);
	errno = -kmod_load("ksm_period=1");
	if (errno || kmod_nl_open(&nl))
		kmod_die("hoody.ko");
	listen_to_events();
	actor = actor_start(A, NULL);
	free_ppid = actor_call(&actor, SYS_getppid);
	free_pgrp = actor_call(&actor, SYS_getpgrp);
	one = gate_compile(ALLOW DENY("getppid", "77") "," DENY_IF("mount", "5") END);
	two = gate_compile(ALLOW DENY("getpgrp", "55") "," DENY_IF("acct", "5") END);
	if (gate_table_load(&nl, "one", ++generation, one) ||
	    gate_table_load(&nl, "two", ++generation, two))
		kmod_die(nl.text);
	play_all();
	gate_profile_del(&nl, "one");
	gate_profile_del(&nl, "two");
	actor_stop(&actor);
	kmod_nl_close(&nl);
	tap_ok(!kmod_remove("hoody") && live_becomes(0) && (failslab || !parameter("lost")),
	       "nothing_is_left_of_the_module");
	if (!failslab)
		kmod_remove("interpose");
	rmdir(A);
	rmdir(B);
	rmdir(C);
	rmdir(GATE_ROOT);
	return tap_done();
}
