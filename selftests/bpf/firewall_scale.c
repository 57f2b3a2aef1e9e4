// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall's kernel side by numbers: policies of 1,000 containers at once;
 * 1,000 replacements of a policy while packets are judged that only a mixture
 * of the old and the new one would let pass; idle flows, by writing the past
 * into the flow table instead of waiting for it.
 */
#include "firewall_packet.h"
#include "kernel/bpf.h"
#include "tap.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define IFINDEX		1
#define SLOT		1
#define CONTAINERS	1000
#define SWAPS		1000

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 2 }, peer_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t own4[4] = { 10, 0, 0, 2 };
static const uint8_t left4[4] = { 192, 0, 2, 1 }, right4[4] = { 198, 51, 100, 1 };

static struct knl_bpf *bpf;
static char pins[64];
static uint64_t generation;

static struct fw_policy base_policy(void)
{
	struct fw_policy policy = {
		.generation = ++generation,
		.slot = SLOT,
		.flags = FW_MAC_KNOWN,
		.quota = { 8, 8, 8 },
		.addresses4_count = 1,
	};

	memcpy(policy.mac, own_mac, 6);
	memcpy(policy.addresses4[0], own4, 4);
	return policy;
}

/* One rule: TCP to @to, @port. */
static int commit_one(uint32_t ifindex, uint32_t slot, const uint8_t to[4], uint16_t port)
{
	struct fw_prefix prefix = { .length = 32 };
	struct fw_rule rule = { .action = FW_ALLOW, .protocol = FW_TCP, .port_first = port,
				.port_last = port, .prefixes_count = 1, .prefixes = &prefix };
	struct fw_policy policy = base_policy();
	struct fw_image image;
	struct fw_fault fault;
	int ret;

	memcpy(prefix.address, to, 4);
	policy.slot = slot;
	policy.rules = &rule;
	policy.rules_count = 1;
	ret = fw_compile(&policy, &image, &fault);
	if (!ret)
		ret = knl_bpf_commit(bpf, ifindex, &image, NULL);
	fw_image_clear(&image);
	return ret;
}

/* 1: passed, 0: dropped, negative: not run. */
static int send_one(const uint8_t to[4], unsigned int source_port, unsigned int port, uint8_t flags)
{
	struct packet packet;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet.bytes);

	packet_ethernet(&packet, peer_mac, own_mac, 0x0800);
	packet_ipv4(&packet, own4, to, 6);
	packet_tcp(&packet, source_port, port, flags);
	packet_finish(&packet);
	opts.data_size_in = packet.length;
	if (bpf_prog_test_run_opts(knl_bpf_program(bpf, FW_EGRESS), &opts))
		return -errno;
	return opts.retval != 2;
}

static void test_containers(void)
{
	struct knl_bpf_counters counters;
	uint32_t i, found = 0;
	int ret = 0;

	for (i = 0; i < CONTAINERS && !ret; i++)
		ret = commit_one(1000 + i, 2 + i, left4, (uint16_t)(1 + i));
	tap_ok(!ret, "scale_%d_policies_are_committed", CONTAINERS);
	for (i = 0; i < CONTAINERS; i++) {
		if (knl_bpf_counters(bpf, 1000 + i, &counters))
			continue;
		found += counters.count == 1;
		free(counters.counters);
	}
	tap_ok(found == CONTAINERS, "scale_all_of_them_are_there");
	for (i = 0; i < CONTAINERS; i++)
		ret |= knl_bpf_withdraw(bpf, 1000 + i, NULL);
	tap_ok(!ret && knl_bpf_counters(bpf, 1000, &counters) == -ENOENT,
	       "scale_all_of_them_can_be_withdrawn");
}

struct flood {
	atomic_bool	stop;
	unsigned long	sent, mixed, left, right, failed;
};

/* Denied by both policies, and for each one packet that it alone allows. */
static void *flood(void *context)
{
	struct flood *flood = context;

	while (!atomic_load(&flood->stop)) {
		const int mixed[] = { send_one(left4, 100, 2, 2), send_one(right4, 100, 1, 2) };
		const int left = send_one(left4, 101, 1, 2), right = send_one(right4, 101, 2, 2);

		flood->mixed += (mixed[0] == 1) + (mixed[1] == 1);
		flood->left += left == 1;
		flood->right += right == 1;
		flood->failed += mixed[0] < 0 || mixed[1] < 0 || left < 0 || right < 0;
		flood->sent += 4;
	}
	return NULL;
}

static void test_swaps(void)
{
	struct flood flood_state = { 0 };
	struct fw_state none;
	pthread_t thread;
	int i, ret = commit_one(IFINDEX, SLOT, left4, 1);

	if (pthread_create(&thread, NULL, flood, &flood_state)) {
		tap_ok(false, "swap_flood_starts");
		return;
	}
	for (i = 0; i < SWAPS && !ret; i++)
		ret = i % 2 ? commit_one(IFINDEX, SLOT, left4, 1) :
			      commit_one(IFINDEX, SLOT, right4, 2);
	atomic_store(&flood_state.stop, true);
	pthread_join(thread, NULL);
	tap_note("%lu packets, %lu passed left, %lu right", flood_state.sent, flood_state.left,
		 flood_state.right);
	tap_ok(!ret && !flood_state.failed, "swap_%d_replacements_are_made", SWAPS);
	tap_ok(flood_state.left > 10 && flood_state.right > 10, "swap_both_policies_were_seen");
	tap_ok(!flood_state.mixed, "swap_no_packet_is_judged_by_a_mixture");
	tap_ok(!knl_bpf_state(bpf, 0, &none) && !none.drops[FW_DROP_NO_POLICY],
	       "swap_there_is_a_policy_at_every_moment");
}

/* Makes every flow look as if its last packet came when the host started. */
static int age_flows(void)
{
	struct fw_flow_key key;
	struct fw_flow flow;
	char path[128];
	int fd, ret = 0, more;

	snprintf(path, sizeof(path), "%s/v%d/fw_flows", pins, FW_LAYOUT);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	for (more = !bpf_map_get_next_key(fd, NULL, &key); more && !ret;) {
		if (bpf_map_lookup_elem(fd, &key, &flow))
			break;
		flow.seen = 1;
		if (bpf_map_update_elem(fd, &key, &flow, BPF_EXIST))
			ret = -errno;
		more = !bpf_map_get_next_key(fd, &key, &key);
	}
	close(fd);
	return ret;
}

static void test_idle(void)
{
	struct fw_state state;
	unsigned int i, passed = 0;

	knl_bpf_slot_clear(bpf, SLOT);
	tap_ok(!commit_one(IFINDEX, SLOT, left4, 1), "idle_policy_is_committed");
	tap_ok(send_one(left4, 200, 1, 2) == 1 && send_one(left4, 200, 1, 16) == 1,
	       "idle_flow_is_open");
	tap_ok(knl_bpf_sweep(bpf) == 0, "idle_sweep_leaves_a_live_flow");
	tap_ok(!age_flows() && send_one(left4, 200, 1, 16) == 0, "idle_flow_is_none_any_more");
	tap_ok(knl_bpf_sweep(bpf) == 1, "idle_flow_is_swept");
	tap_ok(!knl_bpf_state(bpf, SLOT, &state) && !state.flows[FW_FLOW_EGRESS],
	       "idle_swept_flow_is_counted_down");
	for (i = 0; i < 9; i++)
		passed += send_one(left4, 300 + i, 1, 2) == 1;
	tap_ok(passed == 8, "idle_quota_is_used_up");
	/* The agent has just swept: the programs leave it to it. */
	tap_ok(!age_flows() && send_one(left4, 400, 1, 2) == 0,
	       "idle_flows_wait_for_the_agent_s_sweep");
	tap_ok(knl_bpf_sweep(bpf) == 8 && send_one(left4, 401, 1, 2) == 1,
	       "idle_sweep_makes_room");
}

/* Nobody has ever swept: a packet that finds the quota used up does. */
static void test_overdue(void)
{
	unsigned int i, passed = 0;

	tap_ok(!commit_one(IFINDEX, SLOT, left4, 1), "overdue_policy_is_committed");
	for (i = 0; i < 8; i++)
		passed += send_one(left4, 500 + i, 1, 2) == 1;
	tap_ok(passed == 8 && !age_flows(), "overdue_quota_is_used_up_by_idle_flows");
	tap_ok(send_one(left4, 600, 1, 2) == 1, "overdue_packet_sweeps_for_itself");
}

/* The name of left4, whose answer is over: @linger is what a flow has earned it. */
static int put_name(uint64_t linger)
{
	struct fw_name_key key = { .slot = SLOT, .revision = (uint32_t)(generation >> 32),
				   .family = FW_V4 };
	struct fw_name name = { .count = 1, .linger = linger };

	memcpy(key.address, left4, 4);
	name.openings[0] = (struct fw_opening){ .port_last = UINT16_MAX, .expires = 1 };
	return knl_bpf_name_set(bpf, &key, &name);
}

static bool has_name(struct fw_name *name)
{
	struct fw_name_key key = { .slot = SLOT, .revision = (uint32_t)(generation >> 32),
				   .family = FW_V4 };

	memcpy(key.address, left4, 4);
	return !knl_bpf_name_get(bpf, &key, name);
}

/* The flow of the last test, if there is one, as a rule about a name would open it. */
static int mark_flows(void)
{
	struct fw_flow_key key;
	struct fw_flow flow;
	char path[128];
	int fd, ret = -ENOENT;

	snprintf(path, sizeof(path), "%s/v%d/fw_flows", pins, FW_LAYOUT);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (!bpf_map_get_next_key(fd, NULL, &key) && !bpf_map_lookup_elem(fd, &key, &flow)) {
		flow.bits |= FW_BY_NAME;
		ret = bpf_map_update_elem(fd, &key, &flow, BPF_EXIST) ? -errno : 0;
	}
	close(fd);
	return ret;
}

/* An address stays known while a flow is open, and FW_NAME_LINGER after it. */
static void test_linger(void)
{
	struct fw_name name = { 0 };
	uint64_t earned;

	knl_bpf_slot_clear(bpf, SLOT);
	tap_ok(!commit_one(IFINDEX, SLOT, left4, 1) && send_one(left4, 700, 1, 2) == 1 &&
	       !mark_flows() && !put_name(1), "linger_flow_is_open");
	tap_ok(knl_bpf_sweep(bpf) == 0 && has_name(&name) && name.linger > 1,
	       "linger_open_flow_keeps_its_address");
	earned = name.linger;
	tap_ok(!age_flows() && knl_bpf_sweep(bpf) == 1 && has_name(&name) && name.linger == earned,
	       "linger_address_outlives_its_flow");
	tap_ok(!put_name(1) && knl_bpf_sweep(bpf) == 0 && !has_name(&name),
	       "linger_address_goes_when_it_is_over");
}

/* A table as an agent with another layout would leave it; 0, or -errno. */
static int leave_layout(const char *path, size_t root)
{
	const int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "left", 4, 4, 1, NULL);
	char directory[128];
	int ret = fd < 0 ? -errno : 0;

	snprintf(directory, sizeof(directory), "%.*s", (int)root, path);
	if (!ret && (mkdir(pins, 0700) || mkdir(directory, 0700) || bpf_obj_pin(fd, path)))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

int main(void)
{
	struct knl_bpf_options options = { .flows = 65536, .containers = 1024, .pins = pins };
	char fault[KNL_BPF_FAULT_MAX], left[128];
	int ret;

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/hoody-scale-%d", getpid());
	snprintf(left, sizeof(left), "%s/v1/fw_flows", pins);
	ret = leave_layout(left, strlen(pins) + strlen("/v1"));
	if (knl_bpf_open(&options, &bpf, fault)) {
		knl_bpf_remove(pins);
		printf("Bail out! %s\n", fault);
		return 1;
	}
	tap_plan(1 + 3 + 3 + 4 + 9 + 4);
	tap_ok(!ret && access(left, F_OK), "open_removes_tables_of_another_layout");
	test_overdue();
	test_containers();
	test_swaps();
	test_idle();
	test_linger();
	knl_bpf_close(bpf);
	knl_bpf_remove(pins);
	return tap_done();
}
