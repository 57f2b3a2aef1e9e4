// SPDX-License-Identifier: Apache-2.0
/*
 * The registry through its netlink door: what set, replace and delete mean,
 * conflicts, generations, events, dumps beside writers, 10,000 containers, the
 * limit, and that namespaces are apart. Times and memory are printed, never
 * asserted.
 */
#include <poll.h>
#include <signal.h>

#include "kmod.h"
#include "tap.h"

static struct kmod_nl nl;

/* A container that is number @n: ids and addresses follow from it. */
static struct kmod_container numbered(uint32_t n)
{
	struct kmod_container container = { .generation = 1, .flags = HOODY_CONTAINER_REALIP,
					    .count4 = 1, .count6 = 1 };
	uint32_t low = htonl(n);

	kmod_id(container.id, n);
	kmod_id(container.project, n / 100 + 1);
	container.addr4[0].s_addr = htonl(0x0a400000 + n);
	inet_pton(AF_INET6, "2001:db8:40::", &container.addr6[0]);
	memcpy(&container.addr6[0].s6_addr[12], &low, 4);
	return container;
}

static bool same(const struct kmod_container *a, const struct kmod_container *b)
{
	return !memcmp(a->id, b->id, HOODY_ID_LEN) &&
	       !memcmp(a->project, b->project, HOODY_ID_LEN) && a->generation == b->generation &&
	       a->cgroup == b->cgroup && a->flags == b->flags && a->count4 == b->count4 &&
	       a->count6 == b->count6 &&
	       !memcmp(a->addr4, b->addr4, a->count4 * sizeof(a->addr4[0])) &&
	       !memcmp(a->addr6, b->addr6, a->count6 * sizeof(a->addr6[0]));
}

static bool registered_as(const struct kmod_container *wanted)
{
	struct kmod_container got;

	return !kmod_container_get(&nl, wanted->id, &got) && same(&got, wanted);
}

/* That @err is -@error, with text, at the attribute that starts at @offset (0: none). */
static bool refused(int err, int error, uint32_t offset)
{
	if (err == -error && *nl.text && nl.offset == offset)
		return true;
	tap_note("%d '%s' at %u, expected -%d at %u", err, nl.text, nl.offset, error, offset);
	return false;
}

/* Offsets in the messages of kmod_container_set(): headers, then ID, PROJECT, GENERATION. */
#define AT_ID		20
#define AT_GENERATION	(AT_ID + 16 + 16)
#define AT_FIRST_ADDR	(AT_GENERATION + 12)
#define AT_SECOND_ADDR	(AT_FIRST_ADDR + 8)

static void test_set(void)
{
	struct kmod_container container = numbered(1), whole;
	uint64_t cgroup;

	mkdir("/sys/fs/cgroup/registry-test", 0755);
	cgroup = kmod_cgroup_id("/sys/fs/cgroup/registry-test");
	for (container.count4 = 0; container.count4 < HOODY_MAX_ADDRS; container.count4++)
		container.addr4[container.count4].s_addr = htonl(0x0a500001 + container.count4);
	for (container.count6 = 1; container.count6 < HOODY_MAX_ADDRS; container.count6++) {
		container.addr6[container.count6] = container.addr6[0];
		container.addr6[container.count6].s6_addr[8] = container.count6;
	}
	container.cgroup = cgroup;
	container.generation = UINT64_MAX - 1;
	tap_ok(!kmod_container_set(&nl, &container), "set_accepts_all_fields");
	tap_ok(registered_as(&container), "get_returns_what_was_set");

	whole = numbered(1);
	whole.generation = UINT64_MAX;
	whole.flags = 0;
	whole.count6 = 0;
	tap_ok(!kmod_container_set(&nl, &whole) && registered_as(&whole),
	       "replace_turns_off_what_it_leaves_out");
	container = numbered(2);
	container.addr4[0].s_addr = htonl(0x0a500003);
	container.cgroup = cgroup;
	tap_ok(!kmod_container_set(&nl, &container), "replace_frees_addresses_and_cgroup");
	tap_ok(!kmod_container_del(&nl, whole.id, 0) &&
	       kmod_container_get(&nl, whole.id, &container) == -ENOENT, "delete_forgets");
	tap_ok(refused(kmod_container_del(&nl, whole.id, 0), ENOENT, AT_ID), "delete_twice_refused");
	kmod_id(container.id, 2);
	kmod_container_del(&nl, container.id, 0);
	rmdir("/sys/fs/cgroup/registry-test");
}

static void test_mode(void)
{
	struct kmod_container container = numbered(3);

	container.mode = HOODY_SET_REPLACE;
	tap_ok(refused(kmod_container_set(&nl, &container), ENOENT, AT_ID),
	       "mode_replace_of_unknown_refused");
	container.mode = HOODY_SET_CREATE;
	tap_ok(!kmod_container_set(&nl, &container), "mode_create_of_unknown");
	container.flags = 0;
	tap_ok(refused(kmod_container_set(&nl, &container), EEXIST, AT_ID),
	       "mode_create_of_known_refused");
	container.flags = HOODY_CONTAINER_REALIP;
	tap_ok(registered_as(&container), "mode_refused_create_changes_nothing");
	container.mode = HOODY_SET_REPLACE;
	container.flags = 0;
	tap_ok(!kmod_container_set(&nl, &container) && registered_as(&container),
	       "mode_replace_of_known");
	kmod_container_del(&nl, container.id, 0);
}

static void test_generation(void)
{
	struct kmod_container container = numbered(4), older;

	container.generation = 10;
	kmod_container_set(&nl, &container);
	older = container;
	older.generation = 9;
	older.flags = 0;
	tap_ok(refused(kmod_container_set(&nl, &older), ESTALE, AT_GENERATION) &&
	       registered_as(&container), "generation_lower_refused");
	container.count6 = 0;
	tap_ok(!kmod_container_set(&nl, &container) && registered_as(&container),
	       "generation_same_replaces");
	tap_ok(refused(kmod_container_del(&nl, container.id, 9), ESTALE, AT_ID + 16) &&
	       registered_as(&container), "generation_delete_of_older_refused");
	tap_ok(!kmod_container_del(&nl, container.id, 10), "generation_delete_of_same");
	older.generation = 1;
	tap_ok(!kmod_container_set(&nl, &older), "generation_starts_anew_after_delete");
	tap_ok(!kmod_container_del(&nl, older.id, UINT64_MAX), "generation_delete_of_newer");
}

static void test_conflicts(void)
{
	struct kmod_container a = numbered(5), b = numbered(6), c = numbered(7);
	uint64_t cgroup;

	mkdir("/sys/fs/cgroup/registry-test", 0755);
	cgroup = kmod_cgroup_id("/sys/fs/cgroup/registry-test");
	a.cgroup = cgroup;
	kmod_container_set(&nl, &a);
	/* Its own address first, the other's second: the second is at fault. */
	b.addr4[b.count4++] = a.addr4[0];
	tap_ok(refused(kmod_container_set(&nl, &b), EADDRINUSE, AT_SECOND_ADDR),
	       "conflict_of_addresses_names_the_address");
	tap_ok(kmod_container_get(&nl, b.id, &c) == -ENOENT, "conflict_registers_nothing");
	c = numbered(7);
	c.addr4[0] = numbered(6).addr4[0];
	tap_ok(!kmod_container_set(&nl, &c), "conflict_keeps_no_address_of_the_refused");
	kmod_container_del(&nl, c.id, 0);

	b = numbered(6);
	b.cgroup = cgroup;
	tap_ok(refused(kmod_container_set(&nl, &b), EBUSY, AT_FIRST_ADDR + 8 + 20),
	       "conflict_of_cgroups_names_the_cgroup");
	b.cgroup = 0;
	tap_ok(!kmod_container_set(&nl, &b), "conflict_gone_without_the_cgroup");
	b.addr4[0] = a.addr4[0];
	b.generation = 2;
	tap_ok(refused(kmod_container_set(&nl, &b), EADDRINUSE, AT_FIRST_ADDR),
	       "conflict_in_replace_refused");
	b = numbered(6);
	tap_ok(registered_as(&b), "conflict_in_replace_changes_nothing");

	/* A gives its addresses up, B takes them: a move. */
	a.count4 = a.count6 = 0;
	a.cgroup = 0;
	kmod_container_set(&nl, &a);
	b.addr4[0] = numbered(5).addr4[0];
	b.addr6[0] = numbered(5).addr6[0];
	b.cgroup = cgroup;
	tap_ok(!kmod_container_set(&nl, &b) && registered_as(&b), "address_moves_after_replace");
	kmod_container_del(&nl, b.id, 0);
	a = numbered(5);
	a.cgroup = cgroup;
	tap_ok(!kmod_container_set(&nl, &a) && registered_as(&a), "address_moves_after_delete");
	kmod_container_del(&nl, a.id, 0);
	rmdir("/sys/fs/cgroup/registry-test");
}

static void test_agent(void)
{
	struct kmod_agent agent = {};
	uint64_t cgroup;

	mkdir("/sys/fs/cgroup/registry-test", 0755);
	cgroup = kmod_cgroup_id("/sys/fs/cgroup/registry-test");
	tap_ok(!kmod_agent_get(&nl, &agent) && !agent.cgroup && !agent.containers &&
	       agent.protocol == HOODY_GENL_VERSION && agent.max_containers == 65536 &&
	       !strcmp(agent.version, HOODY_VERSION), "agent_get_reports_module");
	tap_note("version %s, protocol %u, at most %u containers", agent.version, agent.protocol,
		 agent.max_containers);
	tap_ok(refused(kmod_agent_set(&nl, kmod_cgroup_id("/sys/fs/cgroup")), EINVAL, AT_ID),
	       "agent_root_cgroup_refused");
	tap_ok(!kmod_agent_set(&nl, cgroup) && !kmod_agent_get(&nl, &agent) &&
	       agent.cgroup == cgroup, "agent_set");
	tap_ok(!kmod_agent_set(&nl, 0) && !kmod_agent_get(&nl, &agent) && !agent.cgroup,
	       "agent_withdrawn");
	rmdir("/sys/fs/cgroup/registry-test");
	tap_ok(refused(kmod_agent_set(&nl, cgroup), ENOENT, AT_ID), "agent_removed_cgroup_refused");
}

struct event {
	uint32_t	event;
	uint8_t		id[HOODY_ID_LEN], project[HOODY_ID_LEN];
	uint64_t	generation;
	int64_t		cgroup;		/* -1: not there */
};

static int event_attr(const struct nlattr *attr, void *data)
{
	struct event *event = data;

	switch (mnl_attr_get_type(attr)) {
	case HOODY_A_EVENT:
		event->event = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_ID:
		memcpy(event->id, mnl_attr_get_payload(attr), HOODY_ID_LEN);
		break;
	case HOODY_A_PROJECT:
		memcpy(event->project, mnl_attr_get_payload(attr), HOODY_ID_LEN);
		break;
	case HOODY_A_GENERATION:
		event->generation = mnl_attr_get_u64(attr);
		break;
	case HOODY_A_CGROUP:
		event->cgroup = mnl_attr_get_u64(attr);
		break;
	}
	return MNL_CB_OK;
}

/* The next event, or false when none comes: they are sent before a command returns. */
static bool next_event(struct kmod_nl *listener, struct event *event)
{
	struct pollfd poll_fd = { .fd = mnl_socket_get_fd(listener->socket), .events = POLLIN };
	char buffer[8192];
	int length;

	memset(event, 0, sizeof(*event));
	event->cgroup = -1;
	if (poll(&poll_fd, 1, 0) != 1)
		return false;
	length = mnl_socket_recvfrom(listener->socket, buffer, sizeof(buffer));
	return length > 0 && mnl_attr_parse((void *)buffer, sizeof(struct genlmsghdr), event_attr,
					    event) >= 0;
}

static bool event_is(struct kmod_nl *listener, uint32_t kind, const struct kmod_container *of)
{
	struct event event;

	if (!next_event(listener, &event) || event.event != kind)
		return false;
	if (!of)
		return event.cgroup == 0;
	return event.cgroup == -1 && !memcmp(event.id, of->id, HOODY_ID_LEN) &&
	       !memcmp(event.project, of->project, HOODY_ID_LEN) &&
	       event.generation == of->generation;
}

static void test_events(void)
{
	struct kmod_container a = numbered(8), b = numbered(9), refused_one = numbered(10);
	struct kmod_nl listener;
	struct event event;

	kmod_nl_open(&listener);
	mnl_socket_setsockopt(listener.socket, NETLINK_ADD_MEMBERSHIP, &listener.group,
			      sizeof(listener.group));
	kmod_container_set(&nl, &a);
	kmod_container_set(&nl, &b);
	refused_one.addr4[0] = a.addr4[0];
	kmod_container_set(&nl, &refused_one);
	a.generation = 2;
	kmod_container_set(&nl, &a);
	kmod_agent_set(&nl, 0);
	kmod_container_del(&nl, b.id, 0);
	kmod_container_del(&nl, b.id, 0);
	kmod_container_del(&nl, a.id, 0);
	a.generation = 1;
	tap_ok(event_is(&listener, HOODY_EVENT_CONTAINER_SET, &a), "events_set");
	tap_ok(event_is(&listener, HOODY_EVENT_CONTAINER_SET, &b), "events_in_order");
	a.generation = 2;
	tap_ok(event_is(&listener, HOODY_EVENT_CONTAINER_SET, &a), "events_refusals_are_silent");
	tap_ok(event_is(&listener, HOODY_EVENT_AGENT_SET, NULL), "events_agent");
	tap_ok(event_is(&listener, HOODY_EVENT_CONTAINER_DEL, &b) &&
	       event_is(&listener, HOODY_EVENT_CONTAINER_DEL, &a), "events_delete");
	tap_ok(!next_event(&listener, &event), "events_no_more_than_changes");
	kmod_nl_close(&listener);
}

#define STABLE	500

/* How often each of the stable containers was seen. */
static unsigned int seen[STABLE];

static int count_seen(const struct nlmsghdr *header, void *data)
{
	struct kmod_container container;
	uint32_t n;

	kmod_container_read(header, &container);
	memcpy(&n, container.id + HOODY_ID_LEN - 4, 4);
	n = ntohl(n);
	if (n >= 1000 && n < 1000 + STABLE)
		seen[n - 1000]++;
	return MNL_CB_OK;
}

/* Until killed: containers come, change and go between the stable ones. */
static void disturb(void)
{
	struct kmod_container container;
	struct kmod_nl own;

	kmod_nl_open(&own);
	for (uint32_t i = 0;; i++) {
		container = numbered(5000 + i % 97);
		if (i % 3 == 2)
			kmod_container_del(&own, container.id, 0);
		else
			kmod_container_set(&own, &container);
		/* A stable one is replaced now and then: it stays registered. */
		if (i % 50 == 0) {
			container = numbered(1000 + i % STABLE);
			container.generation = i + 1;
			kmod_container_set(&own, &container);
		}
	}
}

static void test_dump(void)
{
	unsigned int wrong = 0, interrupted = 0, dumps;
	struct kmod_container container;
	pid_t child;

	for (uint32_t n = 0; n < STABLE; n++) {
		container = numbered(1000 + n);
		kmod_container_set(&nl, &container);
	}
	memset(seen, 0, sizeof(seen));
	kmod_container_dump(&nl, count_seen, NULL);
	for (uint32_t n = 0; n < STABLE; n++)
		wrong += seen[n] != 1;
	tap_ok(!wrong && !nl.interrupted, "dump_at_rest_is_complete_and_not_interrupted");

	child = fork();
	if (!child)
		disturb();
	/* At least 20 dumps, and as many as it takes to be interrupted once. */
	for (dumps = 0; dumps < 20 || (!interrupted && dumps < 2000); dumps++) {
		memset(seen, 0, sizeof(seen));
		kmod_container_dump(&nl, count_seen, NULL);
		interrupted += nl.interrupted;
		for (uint32_t n = 0; n < STABLE; n++)
			wrong += seen[n] != 1;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	tap_note("%u dumps, %u of them interrupted", dumps, interrupted);
	tap_ok(!wrong, "dump_beside_a_writer_reports_each_exactly_once");
	tap_ok(interrupted, "dump_beside_a_writer_is_marked_interrupted");
	for (uint32_t n = 0; n < 6000; n++) {
		container = numbered(n);
		kmod_container_del(&nl, container.id, 0);
	}
}

static long slab_kib(void)
{
	char line[256];
	long kib, sum = 0;
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Slab: %ld", &kib) == 1 || sscanf(line, "VmallocUsed: %ld", &kib) == 1)
			sum += kib;
	if (file)
		fclose(file);
	return sum;
}

/* Microseconds for one registration and its deletion, over many. */
static double one_registration(void)
{
	struct kmod_container container;
	uint64_t start = limit_now_us();

	for (uint32_t i = 0; i < 500; i++) {
		container = numbered(60000 + i);
		kmod_container_set(&nl, &container);
		kmod_container_del(&nl, container.id, 0);
	}
	return (limit_now_us() - start) / 500.0;
}

static int count_any(const struct nlmsghdr *header, void *data)
{
	++*(unsigned int *)data;
	return MNL_CB_OK;
}

static void test_ten_thousand(void)
{
	struct kmod_container container;
	unsigned int failed = 0, dumped = 0;
	double empty, full;
	struct kmod_agent agent = {};
	long before, after;

	one_registration();
	empty = one_registration();
	before = slab_kib();
	for (uint32_t n = 0; n < 10000; n++) {
		container = numbered(10000 + n);
		failed += kmod_container_set(&nl, &container) != 0;
	}
	after = slab_kib();
	tap_ok(!failed, "ten_thousand_are_accepted");
	full = one_registration();
	tap_note("one registration and its deletion: %.1f us with 0 containers, %.1f us with 10,000",
		 empty, full);
	tap_note("memory: %.0f bytes for a container (slab of the whole machine, 10,000 containers)",
		 (after - before) * 1024.0 / 10000);
	kmod_container_dump(&nl, count_any, &dumped);
	kmod_agent_get(&nl, &agent);
	tap_ok(dumped == 10000 && agent.containers == 10000, "ten_thousand_are_dumped");
	for (uint32_t n = 0; n < 10000; n++) {
		container = numbered(10000 + n);
		failed += !registered_as(&container);
		failed += kmod_container_del(&nl, container.id, 0) != 0;
	}
	kmod_agent_get(&nl, &agent);
	tap_ok(!failed && !agent.containers, "ten_thousand_are_right_and_deleted");
}

/* In a namespace of its own: nothing of the parent's is there, and its events neither. */
static int in_another_namespace(void)
{
	struct kmod_container container = numbered(11), got;
	unsigned int dumped = 0;

	/* With lo down there is no table of local addresses, and no address is usable. */
	if (unshare(CLONE_NEWNET) || system("ip link set lo up") || kmod_nl_open(&nl))
		return 1;
	if (kmod_container_dump(&nl, count_any, &dumped) || dumped ||
	    kmod_container_get(&nl, container.id, &got) != -ENOENT)
		return 2;
	/* The same id and addresses may be registered here as well. */
	container.generation = 7;
	if (kmod_container_set(&nl, &container) || !registered_as(&container))
		return 3;
	return 0;
}

static void test_namespaces(void)
{
	struct kmod_container container = numbered(11);
	struct kmod_nl listener;
	struct event event;
	int status;
	pid_t child;

	kmod_container_set(&nl, &container);
	kmod_nl_open(&listener);
	mnl_socket_setsockopt(listener.socket, NETLINK_ADD_MEMBERSHIP, &listener.group,
			      sizeof(listener.group));
	child = fork();
	if (!child)
		_exit(in_another_namespace());
	waitpid(child, &status, 0);
	if (status)
		tap_note("the other namespace: step %d", WEXITSTATUS(status));
	tap_ok(!status, "namespace_sees_nothing_of_another");
	tap_ok(registered_as(&container), "namespace_is_not_changed_by_another");
	tap_ok(!next_event(&listener, &event), "namespace_hears_nothing_of_another");
	kmod_nl_close(&listener);
	kmod_container_del(&nl, container.id, 0);
}

static void test_limit(void)
{
	struct kmod_container container;

	kmod_nl_close(&nl);
	tap_ok(!kmod_unload(), "module_unloads");
	if (kmod_load("max_containers=3") || kmod_nl_open(&nl))
		kmod_die("the module cannot be loaded again");
	for (uint32_t n = 1; n <= 3; n++) {
		container = numbered(n);
		kmod_container_set(&nl, &container);
	}
	container = numbered(4);
	tap_ok(refused(kmod_container_set(&nl, &container), ENOSPC, 0), "limit_refuses_one_more");
	container = numbered(2);
	container.generation = 2;
	tap_ok(!kmod_container_set(&nl, &container), "limit_lets_replace");
	kmod_container_del(&nl, container.id, 0);
	container = numbered(4);
	tap_ok(!kmod_container_set(&nl, &container), "limit_lets_in_after_a_delete");
	kmod_nl_close(&nl);
	tap_ok(!kmod_unload(), "module_unloads_with_containers_registered");
}

int main(void)
{
	if (kmod_load("") || kmod_nl_open(&nl))
		kmod_die("hoody.ko cannot be loaded");
	tap_plan(51);
	test_agent();
	test_set();
	test_mode();
	test_generation();
	test_conflicts();
	test_events();
	test_dump();
	test_ten_thousand();
	test_namespaces();
	test_limit();
	return tap_done();
}
