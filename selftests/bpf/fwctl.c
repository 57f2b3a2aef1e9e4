// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall's kernel side as a program for scripts: reads commands from
 * standard input, answers each with one line, "ok ..." or "error ...".
 *
 *	fwctl PINS [clsact]
 *	attach IF | detach IF | withdraw IF
 *	commit IF slot=N gen=N [mac=M] [addr=A]... [quota=N] [open=egress|ingress]...
 *		[exit=block|MAC]
 *		[protect=A]... [rule=DIRECTION,ACTION,PROTOCOL,CIDR|-,PORTS|-]...
 *	counters IF		packets/bytes of each rule
 *	drops SLOT		reason=count of every reason that is not 0
 *	passed SLOT		packets out and in
 *	flows SLOT		open flows: egress ingress agent
 *	agent CGROUP-ID LEVEL	whose connections to containers pass
 *	clear SLOT | sweep
 */
#include "kernel/bpf.h"
#include "lib/address.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES	64

static struct knl_bpf *bpf;

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
	va_list args;

	printf("error ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return -1;
}

static int done(int ret)
{
	if (ret < 0)
		return fail("%s", strerror(-ret));
	puts("ok");
	return 0;
}

static int parse_rule(char *text, struct fw_rule *rule, struct fw_prefix *prefix)
{
	static const char *const protocols[] = { "any", "tcp", "udp", "icmp", "icmpv6" };
	char *field[5], *save = NULL;
	const char *why = "";
	unsigned int i;

	for (i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : text, ",", &save);
		if (!field[i])
			return fail("rule '%s' has too few fields", text);
	}
	*rule = (struct fw_rule){ .port_last = UINT16_MAX, .protocol = 255 };
	rule->direction = !strcmp(field[0], "ingress");
	rule->action = !strcmp(field[1], "deny") ? FW_DENY : FW_ALLOW;
	for (i = 0; i < 5; i++)
		if (!strcmp(field[2], protocols[i]))
			rule->protocol = (uint8_t)i;
	rule->anywhere = !strcmp(field[3], "-");
	if (!rule->anywhere && fw_prefix_parse(field[3], prefix, &why))
		return fail("prefix %s", why);
	rule->prefixes = prefix;
	rule->prefixes_count = !rule->anywhere;
	if (strcmp(field[4], "-") &&
	    fw_ports_parse(field[4], &rule->port_first, &rule->port_last, &why))
		return fail("port %s", why);
	return 0;
}

static int parse_mac(const char *text, uint8_t mac[6])
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5]) == 6 ? 0 : -1;
}

struct draft {
	struct fw_policy	policy;
	struct fw_rule		rules[RULES];
	struct fw_prefix	prefixes[RULES], protected[RULES];
};

static int add_address(struct draft *draft, const char *text)
{
	struct address address;

	if (address_parse(text, strlen(text), &address))
		return fail("address %s", text);
	if (address.family == AF_INET)
		memcpy(draft->policy.addresses4[draft->policy.addresses4_count++], &address.v4, 4);
	else
		memcpy(draft->policy.addresses6[draft->policy.addresses6_count++], &address.v6, 16);
	return 0;
}

static int parse_option(struct draft *draft, char *option)
{
	struct fw_policy *policy = &draft->policy;
	char *value = strchr(option, '=');
	const char *why;
	int i;

	if (!value)
		return fail("option '%s' has no value", option);
	*value++ = '\0';
	if (!strcmp(option, "slot")) {
		policy->slot = (uint32_t)atoi(value);
	} else if (!strcmp(option, "gen")) {
		policy->generation = strtoull(value, NULL, 10);
	} else if (!strcmp(option, "quota")) {
		for (i = 0; i < FW_FLOW_CLASSES; i++)
			policy->quota[i] = (uint32_t)atoi(value);
	} else if (!strcmp(option, "open")) {
		policy->flags |= !strcmp(value, "egress") ? FW_EGRESS_OPEN : FW_INGRESS_OPEN;
	} else if (!strcmp(option, "exit")) {
		policy->flags |= !strcmp(value, "block") ? FW_EXIT_BLOCK : FW_EXIT_RELAY;
		if (policy->flags & FW_EXIT_RELAY)
			return parse_mac(value, policy->steer_mac) ? fail("exit %s", value) : 0;
	} else if (!strcmp(option, "mac")) {
		policy->flags |= FW_MAC_KNOWN;
		return parse_mac(value, policy->mac) ? fail("mac %s", value) : 0;
	} else if (!strcmp(option, "addr")) {
		return add_address(draft, value);
	} else if (!strcmp(option, "protect")) {
		if (fw_prefix_parse(value, &draft->protected[policy->protected_count++], &why))
			return fail("protect %s", why);
	} else if (!strcmp(option, "rule") && policy->rules_count < RULES) {
		i = (int)policy->rules_count++;
		return parse_rule(value, &draft->rules[i], &draft->prefixes[i]);
	} else {
		return fail("option '%s' is unknown", option);
	}
	return 0;
}

static int commit(uint32_t ifindex, char **save)
{
	struct draft draft = { 0 };
	struct fw_image image;
	struct fw_fault fault;
	uint32_t i;
	char *option;
	int ret;

	draft.policy.rules = draft.rules;
	draft.policy.protected = draft.protected;
	for (i = 0; i < FW_FLOW_CLASSES; i++)
		draft.policy.quota[i] = 100;
	for (i = 0; i < fw_metadata_count; i++)
		draft.protected[draft.policy.protected_count++] = fw_metadata[i];
	while ((option = strtok_r(NULL, " ", save)))
		if (parse_option(&draft, option))
			return -1;
	ret = fw_compile(&draft.policy, &image, &fault);
	if (ret)
		return fail("%s", fault.text);
	ret = knl_bpf_commit(bpf, ifindex, &image, NULL);
	fw_image_clear(&image);
	return done(ret);
}

static int show_counters(uint32_t ifindex)
{
	struct knl_bpf_counters counters;
	const int ret = knl_bpf_counters(bpf, ifindex, &counters);
	uint32_t i;

	if (ret)
		return done(ret);
	printf("ok");
	for (i = 0; i < counters.count; i++)
		printf(" %llu/%llu", counters.counters[i].packets, counters.counters[i].bytes);
	putchar('\n');
	free(counters.counters);
	return 0;
}

static int show_state(const char *verb, uint32_t slot)
{
	struct fw_state state;
	const int ret = knl_bpf_state(bpf, slot, &state);
	uint32_t i;

	if (ret)
		return done(ret);
	printf("ok");
	for (i = 0; i < FW_REASONS && !strcmp(verb, "drops"); i++)
		if (state.drops[i])
			printf(" %s=%llu", fw_reason_name(i), state.drops[i]);
	for (i = 0; i < FW_DIRECTIONS && !strcmp(verb, "passed"); i++)
		printf(" %llu", state.passed[i]);
	for (i = 0; i < FW_FLOW_CLASSES && !strcmp(verb, "flows"); i++)
		printf(" %llu", state.flows[i]);
	putchar('\n');
	return 0;
}

static int run(char *line)
{
	char *save = NULL, *verb = strtok_r(line, " ", &save);
	char *what = verb ? strtok_r(NULL, " ", &save) : NULL;
	struct fw_config config = { .events_per_second = 0 };
	uint32_t ifindex;

	if (!verb)
		return fail("%s", "empty line");
	if (!strcmp(verb, "sweep"))
		return done(knl_bpf_sweep(bpf));
	if (!what)
		return fail("%s needs an argument", verb);
	if (!strcmp(verb, "drops") || !strcmp(verb, "passed") || !strcmp(verb, "flows"))
		return show_state(verb, (uint32_t)atoi(what));
	if (!strcmp(verb, "clear"))
		return done(knl_bpf_slot_clear(bpf, (uint32_t)atoi(what)));
	if (!strcmp(verb, "agent")) {
		config.agent_cgroup = strtoull(what, NULL, 10);
		config.agent_level = (uint32_t)strtoul(save, NULL, 10);
		return done(knl_bpf_configure(bpf, &config));
	}
	ifindex = if_nametoindex(what);
	if (!ifindex)
		ifindex = (uint32_t)atoi(what);
	if (!strcmp(verb, "attach"))
		return done(knl_bpf_attach(bpf, ifindex));
	if (!strcmp(verb, "detach"))
		return done(knl_bpf_detach(bpf, ifindex));
	if (!strcmp(verb, "withdraw"))
		return done(knl_bpf_withdraw(bpf, ifindex, NULL));
	if (!strcmp(verb, "commit"))
		return commit(ifindex, &save);
	if (!strcmp(verb, "counters"))
		return show_counters(ifindex);
	return fail("'%s' is no command", verb);
}

int main(int argc, char **argv)
{
	struct knl_bpf_options options = { .flows = 65536, .containers = 64 };
	char fault[KNL_BPF_FAULT_MAX], *line = NULL;
	size_t size = 0;
	ssize_t len;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2) {
		fprintf(stderr, "usage: fwctl PINS [clsact]\n");
		return 2;
	}
	options.pins = argv[1];
	options.hook = argc > 2 ? KNL_BPF_CLSACT : KNL_BPF_TCX;
	if (knl_bpf_open(&options, &bpf, fault))
		return fail("%s", fault) ? 1 : 0;
	puts("ok ready");
	while ((len = getline(&line, &size, stdin)) > 0) {
		line[len - 1] = '\0';
		run(line);
	}
	free(line);
	knl_bpf_close(bpf);
	return 0;
}
