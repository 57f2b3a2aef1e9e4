// SPDX-License-Identifier: Apache-2.0
/*
 * The rule compiler against the reference evaluator: random policies of every
 * shape, and for each many questions near the edges of its rules. Then what is
 * refused, and that the largest policies fit.
 *
 * The random numbers start from a fixed seed, so that a failure repeats; it is
 * the first argument, to look for more.
 */
#include "firewall/policy.h"
#include "tap.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define QUESTIONS	400
#define POLICIES	500

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t any(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

struct sample {
	struct fw_policy policy;
	struct fw_rule	*rules;
	struct fw_prefix *prefixes;
	struct fw_prefix protected[4];
};

static void mask_prefix(struct fw_prefix *prefix)
{
	const unsigned int whole = prefix->family == FW_V4 ? 32 : 128;
	unsigned int bit;

	for (bit = prefix->length; bit < whole; bit++)
		prefix->address[bit / 8] &= ~(0x80 >> bit % 8);
}

/* Few different bytes, so that prefixes nest and repeat. */
static void random_prefix(struct fw_prefix *prefix, enum fw_family family, unsigned int spread)
{
	const unsigned int bytes = family == FW_V4 ? 4 : 16;
	unsigned int i;

	memset(prefix, 0, sizeof(*prefix));
	prefix->family = family;
	prefix->length = any(3) ? any(bytes * 8 + 1) : bytes * 8;
	for (i = 0; i < bytes; i++)
		prefix->address[i] = (uint8_t)(any(3) ? any(spread) : 0xff - any(2));
	mask_prefix(prefix);
}

static void random_rule(struct fw_rule *rule, struct fw_prefix *prefixes, unsigned int spread)
{
	uint32_t i;

	memset(rule, 0, sizeof(*rule));
	rule->direction = any(2);
	rule->action = any(3) ? FW_ALLOW : FW_DENY;
	rule->protocol = any(5);
	rule->port_last = UINT16_MAX;
	if ((rule->protocol == FW_TCP || rule->protocol == FW_UDP) && any(4)) {
		rule->port_first = any(8) ? any(50) : 65500 + any(36);
		rule->port_last = any(2) ? rule->port_first :
				  rule->port_first + any(UINT16_MAX - rule->port_first + 1);
	}
	rule->anywhere = !any(8);
	rule->prefixes = prefixes;
	rule->prefixes_count = rule->anywhere ? 0 : any(4);
	for (i = 0; i < rule->prefixes_count; i++)
		random_prefix(&prefixes[i], rule->protocol == FW_ICMP ? FW_V4 :
					    rule->protocol == FW_ICMPV6 ? FW_V6 : any(2), spread);
}

static void make_sample(struct sample *sample, uint32_t rules, unsigned int spread)
{
	uint32_t i;

	memset(sample, 0, sizeof(*sample));
	sample->rules = calloc(rules + 1, sizeof(*sample->rules));
	sample->prefixes = calloc(4 * rules + 1, sizeof(*sample->prefixes));
	for (i = 0; i < rules; i++)
		random_rule(&sample->rules[i], &sample->prefixes[4 * i], spread);
	for (i = 0; i < 4; i++) {
		random_prefix(&sample->protected[i], i % 2, spread);
		sample->protected[i].length = i % 2 ? 128 : 32;
	}
	/* Often one that a rule names. */
	for (i = 0; i < rules && any(2); i++)
		if (sample->rules[i].prefixes_count && sample->rules[i].prefixes[0].length ==
		    (sample->rules[i].prefixes[0].family == FW_V4 ? 32 : 128))
			sample->protected[any(4)] = sample->rules[i].prefixes[0];
	sample->policy = (struct fw_policy){
		.generation = 1,
		.slot = 1,
		.rules = sample->rules,
		.rules_count = rules,
		.protected = sample->protected,
		.protected_count = any(5),
	};
}

static void clear_sample(struct sample *sample)
{
	free(sample->rules);
	free(sample->prefixes);
}

/* The last address of a prefix, or the one behind it or before it. */
static void edge_of(const struct fw_prefix *prefix, uint8_t address[16])
{
	const unsigned int bits = prefix->family == FW_V4 ? 32 : 128;
	const int step = (int)any(3) - 1;
	unsigned int bit;
	int i, carry = step;

	memcpy(address, prefix->address, 16);
	if (any(2))
		for (bit = prefix->length; bit < bits; bit++)
			address[bit / 8] |= 0x80 >> bit % 8;
	for (i = (int)bits / 8 - 1; i >= 0 && carry; i--) {
		const int sum = address[i] + carry;

		address[i] = (uint8_t)sum;
		carry = sum < 0 ? -1 : sum > 255;
	}
}

static void random_question(const struct sample *sample, unsigned int spread,
			    struct fw_question *question)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP,
					     IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_ESP };
	struct fw_prefix prefix;
	const struct fw_rule *rule = NULL;
	uint8_t address[16];

	if (sample->policy.rules_count)
		rule = &sample->rules[any(sample->policy.rules_count)];
	memset(question, 0, sizeof(*question));
	question->direction = rule && any(4) ? rule->direction : any(2);
	question->protocol = protocols[any(6)];
	if (question->protocol == IPPROTO_TCP || question->protocol == IPPROTO_UDP)
		question->port = rule && any(2) ? (uint16_t)(rule->port_first + any(3) - 1) :
				 rule && any(2) ? (uint16_t)(rule->port_last + any(3) - 1) :
				 any(65536);
	random_prefix(&prefix, any(2), spread);
	if (rule && rule->prefixes_count && any(5))
		prefix = rule->prefixes[any(rule->prefixes_count)];
	else if (!any(3))
		prefix = sample->protected[any(4)];
	edge_of(&prefix, address);
	fw_question_address(question, prefix.family, address);
}

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
		const unsigned int spread = any(2) ? 3 : 1 + any(256);
		struct fw_image image = { 0 };
		struct fw_question question;
		struct fw_fault fault;
		struct sample sample;

		make_sample(&sample, sizes[i % 8], spread);
		if (fw_compile(&sample.policy, &image, &fault)) {
			refused++;
			tap_note("%s", fault.text);
		}
		for (j = 0; j < QUESTIONS && image.words && wrong < 10; j++, asked++) {
			random_question(&sample, spread, &question);
			wrong += !agrees(&sample, &image, &question, counts);
		}
		fw_image_clear(&image);
		clear_sample(&sample);
	}
	tap_note("%u decisions: %u none, %u allow, %u deny", asked, counts[0], counts[1], counts[2]);
	tap_ok(!refused, "firewall_random_policies_compile");
	tap_ok(!wrong && asked >= 100000, "firewall_image_agrees_with_reference");
	tap_ok(counts[0] > 10000 && counts[1] > 10000 && counts[2] > 10000,
	       "firewall_random_questions_see_every_answer");
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

	make_sample(&sample, rules, 2);
	for (i = 0; i < rules; i++) {
		struct fw_rule *rule = &sample.rules[i];

		rule->direction = FW_EGRESS;
		rule->protocol = any(2) ? FW_TCP : FW_UDP;
		rule->anywhere = false;
		rule->prefixes_count = 1;
		rule->port_first = rule->port_last = (uint16_t)(i * 7);
		memset(&sample.prefixes[4 * i], 0, sizeof(struct fw_prefix));
		sample.prefixes[4 * i].family = i / 100 % 2;
		sample.prefixes[4 * i].length = (uint8_t)(i / 100);
	}
	tap_ok(!fw_compile(&sample.policy, &image, &fault), "firewall_deep_policy_compiles");
	for (i = 0; i < 20000 && image.words; i++) {
		random_question(&sample, 2, &question);
		question.direction = FW_EGRESS;
		question.protocol = any(2) ? IPPROTO_TCP : IPPROTO_UDP;
		question.port = any(rules) * 7;
		question.address[0] >>= any(16);
		wrong += !agrees(&sample, &image, &question, counts);
	}
	tap_ok(!wrong && counts[FW_ALLOW] > 1000 && counts[FW_DENY] > 100,
	       "firewall_deep_policy_agrees");
	fw_image_clear(&image);
	clear_sample(&sample);
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

	make_sample(&sample, FW_RULES_MAX + 1, 250);
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
		random_question(&sample, 250, &question);
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
	clear_sample(&sample);
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
		random_state = strtoull(argv[1], NULL, 0) | 1;
	tap_plan(3 + 2 + 4 + 9 + 16 + 6 + 11 + 2);
	test_random();
	test_deep();
	test_limits();
	test_refused();
	test_texts();
	return tap_done();
}
