// SPDX-License-Identifier: Apache-2.0
/*
 * Policies in the kernel: what a replacement does to flows and counters, quotas,
 * drop events, and random policies whose verdicts on random packets are held
 * against the reference evaluator.
 */
#include "firewall_case.h"
#include "firewall_sample.h"

/* A new policy: flows that it forbids stop, others go on; counters are exact. */
static void test_replace(void)
{
	struct knl_bpf_counters old = {};
	struct fw_policy next = policy;
	struct fw_rule fewer[RULES];

	memcpy(fewer, base_rules, sizeof(fewer));
	fewer[R_WEB].action = FW_DENY;
	next.rules = fewer;
	next.generation = 2;
	out4(bad4, 6), packet_tcp(&p, 2999, 443, SYN);
	EGRESS(FW_DROP_RULE, "replace_denied_packet_is_counted");
	in4(friend4, 6), packet_tcp(&p, 2999, 22, SYN);
	INGRESS(FW_PASSED, "replace_ingress_flow_opens");
	fragment4(dns4, 17, 7, 0, true), packet_udp(&p, 1200, 53), packet_add(&p, 8);
	EGRESS(FW_PASSED, "replace_first_fragment_passes");
	out4(web4, 6), packet_tcp(&p, 3000, 443, SYN);
	EGRESS(FW_PASSED, "replace_flow_opens_under_the_old_policy");
	out4(dns4, 17), packet_udp(&p, 3001, 53);
	EGRESS(FW_PASSED, "replace_second_flow_opens");
	tap_ok(commit(&next, &old), "replace_policy_is_committed");
	tap_ok(old.generation == 1 && old.count == RULES && old.counters[R_BAD].packets == 1 &&
	       old.counters[R_SSH].packets == 1 && old.counters[R_SSH].bytes == 54 &&
	       !old.counters[R_UDP_IN].packets, "replace_final_counters_are_exact");
	free(old.counters);
	fragment4(dns4, 17, 7, 16, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "replace_forgets_datagrams_of_the_old_policy");
	out4(web4, 6), packet_tcp(&p, 3000, 443, ACK);
	EGRESS(FW_DROP_POLICY_CHANGED, "replace_cuts_the_forbidden_flow");
	in4(web4, 6), packet_tcp(&p, 443, 3000, ACK);
	INGRESS(FW_DROP_NO_FLOW, "replace_forgets_the_forbidden_flow");
	in4(dns4, 17), packet_udp(&p, 53, 3001);
	INGRESS(FW_PASSED, "replace_keeps_the_allowed_flow");
	tap_ok(!knl_bpf_counters(bpf, IFINDEX, &old) && old.generation == 2 &&
	       old.counters[R_DNS].packets == 1, "replace_counts_the_kept_flow_under_its_rule");
	free(old.counters);
	next.rules_count = 0;
	next.generation = 3;
	tap_ok(commit(&next, NULL), "reset_policy_without_rules_is_committed");
	in4(dns4, 17), packet_udp(&p, 53, 3001);
	INGRESS(FW_DROP_POLICY_CHANGED, "reset_cuts_every_flow");
	out4(dns4, 17), packet_udp(&p, 3002, 53);
	EGRESS(FW_DROP_DEFAULT, "reset_denies_egress");
	next.flags |= FW_EGRESS_OPEN | FW_INGRESS_OPEN;
	next.generation = 4;
	tap_ok(commit(&next, NULL), "open_policy_is_committed");
	out4(stranger4, 6), packet_tcp(&p, 3003, 25, SYN);
	EGRESS(FW_PASSED, "open_policy_passes_egress");
	in4(stranger4, 6), packet_tcp(&p, 3004, 25, SYN);
	INGRESS(FW_PASSED, "open_policy_passes_ingress");
	packet_ethernet(&p, peer_mac, own_mac, 0x0800);
	packet_ipv4(&p, friend4, web4, 6), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "open_policy_still_checks_the_source");
}

static void test_quota(void)
{
	struct fw_policy next = policy;
	struct fw_state state;
	unsigned int i, passed = 0;

	next.generation = 5;
	next.quota[FW_FLOW_EGRESS] = 50;
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && commit(&next, NULL), "quota_policy_is_committed");
	for (i = 0; i < 60; i++) {
		out4(web4, 6), packet_tcp(&p, 4000 + i, 443, SYN);
		passed += judge_in(&p, FW_EGRESS, SLOT) == FW_PASSED;
	}
	tap_ok(passed == 50, "quota_limits_the_container_s_flows");
	out4(web4, 6), packet_tcp(&p, 4100, 443, SYN);
	EGRESS(FW_DROP_FLOW_QUOTA, "quota_names_the_reason");
	in4(friend4, 6), packet_tcp(&p, 4101, 22, SYN);
	INGRESS(FW_PASSED, "quota_of_egress_leaves_ingress_alone");
	tap_ok(!knl_bpf_state(bpf, SLOT, &state) && state.flows[FW_FLOW_EGRESS] == 50 &&
	       state.flows[FW_FLOW_INGRESS] == 1, "quota_counts_open_flows");
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && !knl_bpf_state(bpf, SLOT, &state) &&
	       !state.flows[FW_FLOW_EGRESS], "quota_is_free_after_the_slot_is_cleared");
	out4(web4, 6), packet_tcp(&p, 4000, 443, ACK);
	EGRESS(FW_DROP_NO_FLOW, "quota_cleared_slot_has_no_flows");
	next.quota[FW_FLOW_EGRESS] = 1u << 30;
	next.generation = 6;
	{
		struct fw_image image;
		struct fw_fault fault;

		tap_ok(!fw_compile(&next, &image, &fault) &&
		       knl_bpf_commit(bpf, IFINDEX, &image, NULL) == -ENOSPC,
		       "quota_beyond_the_container_s_share_is_refused");
		fw_image_clear(&image);
	}
}

static unsigned int events;
static struct fw_event last_event;

static void take_event(void *context, const struct fw_event *event)
{
	events++;
	last_event = *event;
}

static void test_events(void)
{
	const struct fw_config loud = { .events_per_second = 1000000 }, quiet = { 0 };
	struct fw_state state;
	unsigned int i;

	tap_ok(knl_bpf_events_open(bpf, take_event, NULL) >= 0 && !knl_bpf_configure(bpf, &loud),
	       "events_can_be_opened");
	out4(bad4, 6), packet_tcp(&p, 5000, 443, SYN);
	EGRESS(FW_DROP_RULE, "events_packet_is_dropped");
	knl_bpf_events_read(bpf);
	tap_ok(events == 1 && last_event.reason == FW_DROP_RULE && last_event.rule == R_BAD &&
	       last_event.slot == SLOT && last_event.ifindex == IFINDEX &&
	       last_event.direction == FW_EGRESS && last_event.family == 4 &&
	       last_event.protocol == 6 && last_event.local_port == htons(5000) &&
	       last_event.remote_port == htons(443) && !memcmp(last_event.local, own4, 4) &&
	       !memcmp(last_event.remote, bad4, 4) && last_event.generation == 5,
	       "events_tell_what_was_dropped_and_why");
	for (i = 0; i < 30000; i++) {
		out4(bad4, 6), packet_tcp(&p, 5001, 443, SYN);
		if (judge_in(&p, FW_EGRESS, SLOT) != FW_DROP_RULE)
			break;
	}
	knl_bpf_state(bpf, SLOT, &state);
	tap_ok(i == 30000 && state.told.lost > 0, "events_lost_ones_are_counted");
	events = 0;
	knl_bpf_events_read(bpf);
	tap_ok(events + state.told.lost == 30000, "events_none_is_lost_uncounted");
	knl_bpf_configure(bpf, &(const struct fw_config){ .events_per_second = 5 });
	events = 0;
	for (i = 0; i < 2000; i++) {
		out4(bad4, 6), packet_tcp(&p, 5002, 443, SYN);
		judge_in(&p, FW_EGRESS, SLOT);
	}
	knl_bpf_events_read(bpf);
	knl_bpf_state(bpf, SLOT, &state);
	tap_ok(events < 1000 && state.told.limited + events == 2000,
	       "events_are_limited_and_the_rest_counted");
	knl_bpf_configure(bpf, &quiet);
}

static bool build_question(const struct fw_question *question, unsigned int port)
{
	const bool out = question->direction == FW_EGRESS;
	uint8_t remote[16];
	unsigned int i;

	for (i = 0; i < 16; i++)
		remote[i] = (uint8_t)(question->address[i / 4] >> (24 - 8 * (i % 4)));
	if (question->family == FW_V4 ? remote[0] >= 224 || !memcmp(remote, own4, 4) :
					remote[0] == 0xff || !memcmp(remote, own6, 16))
		return false;
	if (question->family == FW_V4)
		out ? out4(remote, question->protocol) : in4(remote, question->protocol);
	else
		out ? out6(remote, question->protocol, 64) : in6(remote, question->protocol, 64);
	if (question->protocol == IPPROTO_TCP)
		packet_tcp(&p, port, question->port, SYN);
	else if (question->protocol == IPPROTO_UDP)
		packet_udp(&p, port, question->port);
	else if (question->protocol == IPPROTO_ICMP && question->family == FW_V4)
		packet_icmp(&p, 8, 0, port);
	else if (question->protocol == IPPROTO_ICMPV6 && question->family == FW_V6)
		packet_icmp(&p, 128, 0, port);
	else
		return false;
	/* A client may not use the DHCP server's port. */
	return question->protocol != IPPROTO_UDP || (port != 67 && port != 547);
}

static void test_random(void)
{
	static const uint32_t sizes[] = { 0, 1, 5, 30, 200, 1000 };
	unsigned int wrong = 0, asked = 0, i, j, counts[3] = { 0 };

	for (i = 0; i < 60 && wrong < 10; i++) {
		const unsigned int spread = sample_any(2) ? 3 : 1 + sample_any(256);
		struct sample sample;

		sample_make(&sample, sizes[i % 6], spread);
		sample.policy.slot = SLOT;
		sample.policy.generation = 100 + i;
		sample.policy.flags = FW_MAC_KNOWN;
		memcpy(sample.policy.mac, own_mac, 6);
		memcpy(sample.policy.addresses4[0], own4, 4);
		memcpy(sample.policy.addresses6[0], own6, 16);
		sample.policy.addresses4_count = sample.policy.addresses6_count = 1;
		for (j = 0; j < FW_FLOW_CLASSES; j++)
			sample.policy.quota[j] = 4000;
		if (knl_bpf_slot_clear(bpf, SLOT) || !commit(&sample.policy, NULL))
			wrong += 100;
		for (j = 0; j < 2000 && wrong < 10; j++) {
			struct fw_question question;
			struct fw_answer answer;
			int want, got;

			sample_question(&sample, spread, &question);
			if (!build_question(&question, 1024 + j))
				continue;
			answer = fw_reference(&sample.policy, &question);
			want = answer.action == FW_ALLOW ? FW_PASSED :
			       answer.action == FW_DENY ? FW_DROP_RULE : FW_DROP_DEFAULT;
			got = judge_in(&p, question.direction, SLOT);
			counts[answer.action]++;
			asked++;
			if (got != want) {
				wrong++;
				tap_note("policy %u packet %u: got %d, wanted %d", i, j, got, want);
			}
		}
		sample_clear(&sample);
	}
	tap_note("%u packets: %u none, %u allow, %u deny", asked, counts[0], counts[1], counts[2]);
	tap_ok(!wrong && asked > 20000 && counts[1] > 1000 && counts[2] > 1000,
	       "random_packets_are_judged_as_the_reference_says");
}

/* 10,000 rules: takes no time worth noticing to put in force, and it holds. */
static void test_many(void)
{
	struct fw_rule *many = calloc(10000, sizeof(*many));
	struct fw_prefix *to = calloc(10000, sizeof(*to));
	struct fw_policy next = policy;
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		to[i] = (struct fw_prefix){ .length = 32, .address = { 172, 16, i >> 8, i & 255 } };
		many[i] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443), TO(&to[i]) };
	}
	next.rules = many;
	next.rules_count = 10000;
	next.generation = 1000;
	tap_ok(commit(&next, NULL), "many_rules_are_committed");
	out4((const uint8_t[]){ 172, 16, 9999 >> 8, 9999 & 255 }, 6);
	packet_tcp(&p, 6000, 443, SYN);
	EGRESS(FW_PASSED, "many_rules_last_one_passes");
	out4((const uint8_t[]){ 172, 16, 10000 >> 8, 10000 & 255 }, 6);
	packet_tcp(&p, 6000, 443, SYN);
	EGRESS(FW_DROP_DEFAULT, "many_rules_next_address_is_dropped");
	free(many);
	free(to);
}

static void test_learned_mac(void)
{
	struct fw_policy next = policy;

	next.flags &= ~(uint32_t)FW_MAC_KNOWN;
	next.generation = 2000;
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && commit(&next, NULL), "learn_policy_is_committed");
	out4(web4, 6), packet_tcp(&p, 7000, 443, SYN);
	EGRESS(FW_PASSED, "learn_first_frame_s_mac_holds");
	packet_ethernet(&p, peer_mac, other_mac, 0x0800);
	packet_ipv4(&p, own4, web4, 6), packet_tcp(&p, 7001, 443, SYN);
	EGRESS(FW_DROP_SOURCE_MAC, "learn_another_mac_is_dropped_afterwards");
}

int main(void)
{
	open_firewall();
	tap_plan(1 + 19 + 8 + 6 + 1 + 3 + 3);
	tap_ok(commit(&policy, NULL), "policy_is_committed");
	test_replace();
	test_quota();
	test_events();
	test_random();
	test_many();
	test_learned_mac();
	return close_firewall();
}
