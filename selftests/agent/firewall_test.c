// SPDX-License-Identifier: Apache-2.0
/*
 * The rule compiler against the reference evaluator: random policies of every
 * shape, and for each many questions near the edges of its rules. Then what is
 * refused, and that the largest policies fit.
 *
 * The random numbers start from a fixed seed, so that a failure repeats; it is
 * the first argument, to look for more.
 */
#include "firewall_sample.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define QUESTIONS	400
#define POLICIES	500

static bool agrees(const struct sample *sample, const struct fw_image *image,
		   const struct fw_question *question, uint32_t counts[3])
{
	const struct fw_answer want = fw_reference(&sample->policy, question);
	const struct fw_answer got = fw_image_decide(image, question);

	counts[want.action]++;
	if (got.action == want.action && got.rule == want.rule)
		return true;
	tap_note("direction %u family %u address %08x:%08x:%08x:%08x protocol %u port %u: "
		 "image says %u rule %u, reference %u rule %u", question->direction,
		 question->family, question->address[0], question->address[1],
		 question->address[2], question->address[3], question->protocol, question->port,
		 got.action, got.rule, want.action, want.rule);
	return false;
}

static void test_random(void)
{
	static const uint32_t sizes[] = { 0, 1, 2, 5, 20, 100, 400, 1500 };
	uint32_t counts[3] = { 0 }, wrong = 0, asked = 0, refused = 0, i, j;

	for (i = 0; i < POLICIES && wrong < 10; i++) {
		const unsigned int spread = sample_any(2) ? 3 : 1 + sample_any(256);
		struct fw_image image = { 0 };
		struct fw_question question;
		struct fw_fault fault;
		struct sample sample;

		sample_make(&sample, sizes[i % 8], spread);
		if (fw_compile(&sample.policy, &image, &fault)) {
			refused++;
			tap_note("%s", fault.text);
		}
		for (j = 0; j < QUESTIONS && image.words && wrong < 10; j++, asked++) {
			sample_question(&sample, spread, &question);
			wrong += !agrees(&sample, &image, &question, counts);
		}
		fw_image_clear(&image);
		sample_clear(&sample);
	}
	tap_note("%u decisions: %u none, %u allow, %u deny", asked, counts[0], counts[1], counts[2]);
	tap_ok(!refused, "firewall_random_policies_compile");
	tap_ok(!wrong && asked >= 100000, "firewall_image_agrees_with_reference");
	tap_ok(counts[0] > 10000 && counts[1] > 10000 && counts[2] > 10000,
	       "firewall_sample_questions_see_every_answer");
}

/* Nested prefixes with more rules each than are merged: links are walked. */
static void test_deep(void)
{
	const uint32_t rules = 24 * 100;
	uint32_t counts[3] = { 0 }, wrong = 0, i;
	struct fw_image image = { 0 };
	struct fw_question question;
	struct fw_fault fault;
	struct sample sample;

	sample_make(&sample, rules, 2);
	for (i = 0; i < rules; i++) {
		struct fw_rule *rule = &sample.rules[i];

		rule->direction = FW_EGRESS;
		rule->protocol = sample_any(2) ? FW_TCP : FW_UDP;
		rule->anywhere = false;
		rule->prefixes_count = 1;
		rule->port_first = rule->port_last = (uint16_t)(i * 7);
		memset(&sample.prefixes[4 * i], 0, sizeof(struct fw_prefix));
		sample.prefixes[4 * i].family = i / 100 % 2;
		sample.prefixes[4 * i].length = (uint8_t)(i / 100);
	}
	tap_ok(!fw_compile(&sample.policy, &image, &fault), "firewall_deep_policy_compiles");
	for (i = 0; i < 20000 && image.words; i++) {
		sample_question(&sample, 2, &question);
		question.direction = FW_EGRESS;
		question.protocol = sample_any(2) ? IPPROTO_TCP : IPPROTO_UDP;
		question.port = sample_any(rules) * 7;
		question.address[0] >>= sample_any(16);
		wrong += !agrees(&sample, &image, &question, counts);
	}
	tap_ok(!wrong && counts[FW_ALLOW] > 1000 && counts[FW_DENY] > 100,
	       "firewall_deep_policy_agrees");
	fw_image_clear(&image);
	sample_clear(&sample);
}

/* @count single addresses all over IPv4, its first and its last among them. */
static uint32_t spread(uint32_t count, uint32_t i)
{
	return i + 1 == count ? UINT32_MAX : (uint32_t)(((uint64_t)i << 32) / count);
}

/* Wrong answers to what lies at and beside each of @count addresses, four of a rule. */
static uint32_t ask_spread(const struct fw_image *image, uint32_t count)
{
	struct fw_question question = { .direction = FW_EGRESS, .family = FW_V4,
					.protocol = IPPROTO_UDP, .port = 53 };
	uint32_t wrong = 0, i;

	for (i = 0; i < count; i++) {
		struct fw_answer answer;

		question.address[0] = spread(count, i);
		answer = fw_image_decide(image, &question);
		wrong += answer.action != FW_ALLOW || answer.rule != i / 4;
		question.address[0]++;
		wrong += i + 1 < count && fw_image_decide(image, &question).action != FW_NONE;
		question.address[0] -= 2;
		wrong += i && fw_image_decide(image, &question).action != FW_NONE;
	}
	return wrong;
}

/* Of every depth of the index over IPv4 addresses, each answer. */
static void test_index(void)
{
	static const uint32_t counts[] = { 2, 3, 4, 63, 64, 65, 1023, 1024, 1025, 16385, 65535 };
	static struct fw_prefix prefixes[65536];
	static struct fw_rule rules[FW_RULES_MAX];
	struct fw_policy policy = { .generation = 1, .slot = 1, .rules = rules };
	uint32_t round, i;

	for (round = 0; round < sizeof(counts) / sizeof(*counts); round++) {
		const uint32_t count = counts[round];
		struct fw_image image = { 0 };
		struct fw_fault fault;

		for (i = 0; i < count; i++) {
			const uint32_t address = htonl(spread(count, i));

			prefixes[i] = (struct fw_prefix){ .family = FW_V4, .length = 32 };
			memcpy(prefixes[i].address, &address, sizeof(address));
			rules[i / 4] = (struct fw_rule){ .action = FW_ALLOW, .protocol = FW_UDP,
							 .port_last = UINT16_MAX,
							 .prefixes = &prefixes[i / 4 * 4],
							 .prefixes_count = i % 4 + 1 };
		}
		policy.rules_count = (count + 3) / 4;
		tap_ok(!fw_compile(&policy, &image, &fault) && !ask_spread(&image, count),
		       "firewall_index_of_%u_addresses", count);
		fw_image_clear(&image);
	}
}

/* 16,384 rules of different prefixes and ports fit; one more is refused. */
static void test_limits(void)
{
	uint32_t counts[3] = { 0 }, wrong = 0, i;
	struct fw_image image = { 0 };
	struct fw_question question;
	struct fw_fault fault = { 0 };
	struct sample sample;
	int ret;

	sample_make(&sample, FW_RULES_MAX + 1, 250);
	sample.policy.rules_count = FW_RULES_MAX;
	/* Wide denies would answer everything. */
	for (i = 0; i <= FW_RULES_MAX; i++) {
		struct fw_prefix *prefix = &sample.prefixes[4 * i], *end = prefix + 4;

		sample.rules[i].anywhere = false;
		for (; prefix < end; prefix++)
			if (prefix->length < 20)
				prefix->length = prefix->family == FW_V4 ? 32 : 128;
	}
	ret = fw_compile(&sample.policy, &image, &fault);
	tap_ok(!ret, "firewall_16384_rules_fit");
	if (ret)
		tap_note("%s", fault.text);
	tap_note("16384 random rules: %u KiB", image.lines * FW_LINE_SIZE / 1024);
	for (i = 0; i < 500 && image.words; i++) {
		sample_question(&sample, 250, &question);
		wrong += !agrees(&sample, &image, &question, counts);
	}
	tap_note("%u none, %u allow, %u deny", counts[0], counts[1], counts[2]);
	tap_ok(!wrong && counts[1] > 10 && counts[2] > 10, "firewall_16384_rules_agree");
	fw_image_clear(&image);
	for (i = 0; i <= FW_RULES_MAX; i++) {
		sample.rules[i].anywhere = true;
		sample.rules[i].prefixes_count = 0;
	}
	ret = fw_compile(&sample.policy, &image, &fault);
	tap_ok(!ret, "firewall_16384_rules_of_one_prefix_fit");
	fw_image_clear(&image);
	sample.policy.rules_count++;
	ret = fw_compile(&sample.policy, &image, &fault);
	tap_ok(ret == -ENOSPC && !image.words && strstr(fault.text, "16384"),
	       "firewall_16385_rules_are_refused_with_the_limit");
	sample_clear(&sample);
}

static void test_refused(void)
{
	static const struct fw_prefix too_long = { .length = 33 }, ipv6 = { .family = FW_V6 };
	static const struct fw_prefix host_bits = { .length = 8, .address = { 10, 1 } };
	static const struct {
		struct fw_rule rule;
		const char *field;
	} bad[] = {
		{ { .action = FW_ALLOW, .direction = 2, .port_last = 65535 }, "direction" },
		{ { .action = FW_NONE, .port_last = 65535 }, "action" },
		{ { .action = FW_ALLOW, .protocol = 9, .port_last = 65535 }, "protocol" },
		{ { .action = FW_ALLOW, .protocol = FW_TCP, .port_first = 9, .port_last = 8 }, "port" },
		{ { .action = FW_ALLOW, .protocol = FW_ANY, .port_first = 9, .port_last = 9 }, "port" },
		{ { .action = FW_ALLOW, .protocol = FW_ICMP, .port_last = 9 }, "port" },
		{ { .action = FW_ALLOW, .port_last = 65535, .prefixes_count = 1, .prefixes =
		  &too_long }, "address" },
		{ { .action = FW_ALLOW, .port_last = 65535, .prefixes_count = 1, .prefixes =
		  &host_bits }, "address" },
		{ { .action = FW_ALLOW, .protocol = FW_ICMP, .port_last = 65535, .prefixes_count = 1,
		  .prefixes = &ipv6 }, "protocol" },
	};
	struct fw_policy policy = { .generation = 1, .slot = 1, .rules_count = 1 };
	struct fw_image image = { 0 };
	struct fw_fault fault;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fault.field = NULL;
		policy.rules = &bad[i].rule;
		tap_ok(fw_compile(&policy, &image, &fault) == -EINVAL && !image.words &&
		       fault.field && !strcmp(fault.field, bad[i].field) && fault.rule == 0,
		       "firewall_bad_rule_%u_names_%s", i, bad[i].field);
	}
}

static void test_texts(void)
{
	static const char *const bad[] = { "", "/", "1.2.3", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/",
		"10.0.0.1/8", "1.2.3.4/08", "::ffff:1.2.3.4", "::ffff:0:0/96", "2001:db8::1/64",
		"2001:db8::/129", "api.example.com", "1.2.3.4 ", "01.2.3.4", "fe80::1%eth0" };
	static const char *const good[][2] = { { "0.0.0.0/0", "0.0.0.0/0" }, { "::/0", "::/0" },
		{ "192.0.2.1", "192.0.2.1/32" }, { "2001:DB8::/32", "2001:db8::/32" },
		{ "10.128.0.0/9", "10.128.0.0/9" }, { "::1", "::1/128" } };
	static const char *const bad_ports[] = { "", "0", "65536", "1-", "-1", "9-8", "80,81", "0x50",
		"080", "1-2-3", "0-5" };
	char text[FW_PREFIX_TEXT_MAX];
	struct fw_prefix prefix;
	const char *why = NULL;
	uint16_t first, last;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_ok(fw_prefix_parse(bad[i], &prefix, &why) == -EINVAL && why,
		       "firewall_prefix_refuses_'%s'", bad[i]);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!fw_prefix_parse(good[i][0], &prefix, &why))
			fw_prefix_format(&prefix, text);
		else
			text[0] = '\0';
		tap_ok(!strcmp(text, good[i][1]), "firewall_prefix_reads_'%s'", good[i][0]);
	}
	for (i = 0; i < sizeof(bad_ports) / sizeof(bad_ports[0]); i++)
		tap_ok(fw_ports_parse(bad_ports[i], &first, &last, &why) == -EINVAL,
		       "firewall_ports_refuse_'%s'", bad_ports[i]);
	tap_ok(!fw_ports_parse("8000-65535", &first, &last, &why) && first == 8000 && last == 65535,
	       "firewall_ports_read_a_range");
	for (i = 0; i < FW_REASONS && fw_reason_name(i) && fw_reason_text(i); i++)
		;
	tap_ok(i == FW_REASONS, "firewall_every_reason_has_a_text");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		sample_state = strtoull(argv[1], NULL, 0) | 1;
	tap_plan(3 + 2 + 11 + 4 + 9 + 16 + 6 + 11 + 2);
	test_random();
	test_deep();
	test_index();
	test_limits();
	test_refused();
	test_texts();
	return tap_done();
}
