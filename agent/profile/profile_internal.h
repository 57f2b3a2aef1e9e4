/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the compiler's files: parse.c reads the JSON and hands every rule,
 * already free of names, to table.c, which collects them and lays the table
 * out; syscalls.c turns names into calls.
 */
#ifndef HOODY_PROFILE_INTERNAL_H
#define HOODY_PROFILE_INTERNAL_H

#include "profile/profile.h"

#define IA32_NR_SOCKETCALL	102
#define IA32_NR_IPC		117

#define RULE_CONDS_MAX		6
#define TABLE_RULES_READ	8192	/* rules taken in, before equal ones are dropped */

/* One condition as the profile has it. */
struct profile_cond {
	unsigned int	arg;
	enum hoody_op	op;
	uint64_t	mask, value;
};

/* One rule for one call of one architecture. */
struct table_rule {
	uint16_t	call;		/* arch * HOODY_TABLE_CALLS + number */
	uint8_t		action;		/* index */
	uint8_t		conds_count;	/* 0: unconditional */
	uint16_t	entry;		/* index in $.syscalls, for messages */
	struct profile_cond conds[RULE_CONDS_MAX];
};

struct table_builder {
	struct hoody_table_action actions[HOODY_TABLE_ACTIONS];
	unsigned int	actions_count;
	uint8_t		otherwise;	/* the default action */
	bool		archs[HOODY_ARCHS];	/* the profile speaks of it */
	struct table_rule *rules;
	unsigned int	rules_count, rules_size;
	struct profile_report *report;
};

/* Where a name leads on one architecture. */
struct syscall_target {
	int		nr;		/* -1: no call of its own */
	int		mux_nr;		/* socketcall or ipc, -1: none */
	unsigned int	mux_call;	/* its first argument */
};

/* profile.c; all of them format into the report and return @err */
int profile_fail(struct profile_report *report, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void profile_warn(struct profile_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* parse.c */
int parse_profile(const char *json, size_t size, const struct profile_options *options,
		  struct table_builder *builder);

/* syscalls.c: false where no architecture knows the name */
bool syscalls_resolve(const char *name, struct syscall_target targets[HOODY_ARCHS]);

/* table.c */
int table_action(struct table_builder *builder, enum hoody_action kind, unsigned int error);
int table_add(struct table_builder *builder, const struct table_rule *rule);
int table_build(struct table_builder *builder, struct hoody_table **table);

#endif /* HOODY_PROFILE_INTERNAL_H */
