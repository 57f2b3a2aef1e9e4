// SPDX-License-Identifier: Apache-2.0
/*
 * The profile compiler: what each part of the format means, what is refused
 * with which words, its bounds, and texts turned at random. Beside libseccomp
 * it is put by profile_seccomp_test.c.
 */
#include "tap.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#include "profile/profile.h"

#define COUNT(array)	(sizeof(array) / sizeof(*(array)))

static unsigned int seed = 20;
static struct profile_report report;
static const struct profile_options options = { .kernel_major = 6, .kernel_minor = 12 };

static unsigned int pick(unsigned int n)
{
	return rand_r(&seed) % n;
}

/* Compiles @json; -1 and the report where it is refused. */
static uint32_t verdict_of(const char *json, const struct profile_options *how, enum hoody_arch arch,
			   unsigned int nr, uint64_t arg0)
{
	uint64_t args[6] = { arg0, 0, 0, 0, 0, 0 };
	struct hoody_table *table;
	uint32_t verdict;

	if (profile_compile(json, strlen(json), how, &table, &report))
		return UINT32_MAX;
	verdict = profile_decide(table, arch, nr, args);
	free(table);
	return verdict;
}

/*
 * Either of two conditions on one argument, of which the first holds: ours must
 * say so. (One filter of libseccomp 2.6.0 for both answers with the default.)
 */
static const char merged[] =
	"{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"syscalls\":["
	"{\"names\":[\"setns\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38,\"args\":["
	"{\"index\":0,\"value\":9223372036854775807,\"op\":\"SCMP_CMP_LT\"},"
	"{\"index\":0,\"value\":4294967294,\"op\":\"SCMP_CMP_LT\"}]}]}";

static void test_merged(void)
{
	const uint64_t args[6] = { 0xffffffff };
	struct hoody_table *table;
	uint32_t verdict = 0;

	if (!profile_compile(merged, strlen(merged), &options, &table, &report)) {
		verdict = profile_decide(table, HOODY_ARCH_X86_64, SYS_setns, args);
		free(table);
	}
	tap_ok(verdict == (HOODY_ACTION_ERRNO | 38u << 16), "rules_of_one_call_all_count (%#x) %s", verdict,
	       report.error);
}

#define ERRNO(n)	(HOODY_ACTION_ERRNO | (uint32_t)(n) << 16)
#define DENY		"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
#define ALLOW		"{\"defaultAction\":\"SCMP_ACT_ALLOW\","
#define X86		"\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":" \
			"[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]},{\"architecture\":\"SCMP_ARCH_AARCH64\"," \
			"\"subArchitectures\":[\"SCMP_ARCH_ARM\"]}],"

/* What makes an entry one that may hold or not; and reading with one first argument. */
#define HERE		"\"includes\":{\"arches\":[\"amd64\"]}"
#define EQ(arg, value)	"{\"index\":" arg ",\"value\":" value ",\"op\":\"SCMP_CMP_EQ\"}"
#define IF(value)	"{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[" EQ("0", value) "]}"

static const struct {
	const char	*name, *json;
	enum hoody_arch	arch;
	unsigned int	nr;
	uint64_t	arg0;
	uint32_t	verdict;
} meanings[] = {
	{ "default_errno_is_eperm", DENY "\"syscalls\":[]}", 0, SYS_read, 0, ERRNO(1) },
	{ "default_errno_ret", DENY "\"defaultErrnoRet\":38}", 0, SYS_read, 0, ERRNO(38) },
	{ "default_errno_name", DENY "\"defaultErrno\":\"ENOSYS\"}", 0, 9999, 0, ERRNO(38) },
	{ "rule_errno_is_eperm_whatever_the_default", ALLOW "\"syscalls\":[{\"names\":[\"read\"],"
	  "\"action\":\"SCMP_ACT_ERRNO\"}]}", 0, SYS_read, 0, ERRNO(1) },
	{ "errno_zero", ALLOW "\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_ERRNO\","
	  "\"errnoRet\":0}]}", 0, SYS_read, 0, ERRNO(0) },
	{ "errno_name_and_number", ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\","
	  "\"errno\":\"EPERM\",\"errnoRet\":1,\"args\":null,\"comment\":\"\",\"includes\":{},"
	  "\"excludes\":{}}]}", 0, SYS_read, 0, ERRNO(1) },
	{ "ia32_left_out_is_killed", ALLOW "\"syscalls\":[]}", 1, 3, 0, HOODY_ACTION_KILL_THREAD },
	{ "ia32_by_arch_map", ALLOW X86 "\"syscalls\":[]}", 1, 3, 0, HOODY_ACTION_ALLOW },
	{ "ia32_left_out_numbers_past_the_table", ALLOW "\"syscalls\":[]}", 1, 5000, 0,
	  HOODY_ACTION_KILL_THREAD },
	{ "unconditional_beats_conditional", DENY "\"syscalls\":[{\"names\":[\"read\"],\"action\":"
	  "\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]},"
	  "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}]}", 0, SYS_read, 1, HOODY_ACTION_ALLOW },
	{ "strictest_conditional_wins", DENY "\"syscalls\":[{\"names\":[\"read\"],\"action\":"
	  "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_LT\"}]},"
	  "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":1,"
	  "\"op\":\"SCMP_CMP_EQ\"}]}]}", 0, SYS_read, 1, HOODY_ACTION_KILL_THREAD },
	{ "same_argument_twice_means_or", DENY "\"syscalls\":[{\"names\":[\"read\"],\"action\":"
	  "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_EQ\"},"
	  "{\"index\":0,\"value\":6,\"op\":\"SCMP_CMP_EQ\"}]}]}", 0, SYS_read, 6, HOODY_ACTION_ALLOW },
	{ "the_first_of_two_decides", ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"},"
	  "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"," HERE "}]}", 0, SYS_read, 1, ERRNO(1) },
	{ "what_says_the_default_is_no_rule", ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":"
	  "\"SCMP_ACT_ALLOW\"," HERE "},{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"}]}", 0, SYS_read, 1,
	  HOODY_ACTION_KILL_THREAD },
	{ "another_condition_is_another_rule", DENY "\"syscalls\":[" IF("1") "," IF("2") "]}", 0, SYS_read, 2,
	  HOODY_ACTION_ALLOW },
	{ "another_architecture_is_another_rule", DENY "\"syscalls\":[{\"names\":[\"read\"],\"action\":"
	  "\"SCMP_ACT_ALLOW\"," HERE "},{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"includes\":"
	  "{\"arches\":[\"s390\"]}}]}", 0, SYS_read, 0, HOODY_ACTION_ALLOW },
	{ "socketcall_is_refused_with_socket", ALLOW X86 "\"syscalls\":[{\"names\":[\"socket\"],\"action\":"
	  "\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	  1, 102, 1, ERRNO(1) },
	{ "socketcall_leaves_its_neighbours", ALLOW X86 "\"syscalls\":[{\"names\":[\"socket\"],\"action\":"
	  "\"SCMP_ACT_ERRNO\"}]}", 1, 102, 2, HOODY_ACTION_ALLOW },
	{ "socketcall_is_not_granted_by_a_condition", DENY X86 "\"syscalls\":[{\"names\":[\"socket\"],"
	  "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	  1, 102, 1, ERRNO(1) },
	{ "ipc_version_bits_hide_nothing", ALLOW X86 "\"syscalls\":[{\"names\":[\"msgget\"],\"action\":"
	  "\"SCMP_ACT_ERRNO\"}]}", 1, 117, 0x1000d, ERRNO(1) },
};

static void test_meanings(void)
{
	for (size_t i = 0; i < COUNT(meanings); i++) {
		uint32_t got = verdict_of(meanings[i].json, &options, meanings[i].arch, meanings[i].nr,
					  meanings[i].arg0);

		tap_ok(got == meanings[i].verdict, "meaning_%s (%#x) %s", meanings[i].name, got,
		       report.error);
	}
}

/* The shape of Docker's default: groups that capabilities and kernels switch. */
static const char docker[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1," X86 "\"syscalls\":["
	"{\"names\":[\"read\",\"write\",\"openat\",\"execve\",\"exit_group\",\"futex\",\"socketcall\"],"
	"\"action\":\"SCMP_ACT_ALLOW\"},"
	"{\"names\":[\"process_vm_readv\",\"ptrace\"],\"action\":\"SCMP_ACT_ALLOW\","
	"\"includes\":{\"minKernel\":\"4.8\"}},"
	"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\","
	"\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_NE\"}]},"
	"{\"names\":[\"arch_prctl\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"amd64\",\"x32\"]}},"
	"{\"names\":[\"s390_pci_mmio_read\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"s390\"]}},"
	"{\"names\":[\"mount\",\"bpf\",\"clone\"],\"action\":\"SCMP_ACT_ALLOW\","
	"\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
	"{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2114060288,"
	"\"op\":\"SCMP_CMP_MASKED_EQ\"}],\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"],\"arches\":[\"s390\"]}},"
	"{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38,"
	"\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
	"{\"names\":[\"io_uring_setup\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"99.0\"}}]}";

static void test_docker(void)
{
	static const char *const admin[] = { "CAP_CHOWN", "CAP_SYS_ADMIN" };
	struct profile_options with = { .caps = admin, .caps_count = 2, .kernel_major = 6 };
	struct profile_options old = { .kernel_major = 4, .kernel_minor = 7 };

	tap_ok(verdict_of(docker, &options, 0, SYS_mount, 0) == ERRNO(1) &&
	       verdict_of(docker, &with, 0, SYS_mount, 0) == HOODY_ACTION_ALLOW, "docker_includes_caps");
	tap_ok(verdict_of(docker, &options, 0, SYS_clone3, 0) == ERRNO(38) &&
	       verdict_of(docker, &with, 0, SYS_clone3, 0) == ERRNO(1), "docker_excludes_caps");
	tap_ok(verdict_of(docker, &options, 0, SYS_clone, 0x11) == HOODY_ACTION_ALLOW &&
	       verdict_of(docker, &options, 0, SYS_clone, 0x10000000) == ERRNO(1) &&
	       verdict_of(docker, &with, 0, SYS_clone, 0x10000000) == HOODY_ACTION_ALLOW,
	       "docker_clone_flags");
	tap_ok(verdict_of(docker, &options, 0, SYS_ptrace, 0) == HOODY_ACTION_ALLOW &&
	       verdict_of(docker, &old, 0, SYS_ptrace, 0) == ERRNO(1) &&
	       verdict_of(docker, &options, 0, SYS_io_uring_setup, 0) == ERRNO(1), "docker_min_kernel");
	tap_ok(verdict_of(docker, &options, 0, SYS_arch_prctl, 0) == HOODY_ACTION_ALLOW, "docker_arches");
	tap_ok(verdict_of(docker, &options, 0, SYS_socket, 40) == ERRNO(1) &&
	       verdict_of(docker, &options, 1, 359, 2) == HOODY_ACTION_ALLOW &&
	       verdict_of(docker, &options, 1, 102, 1) == HOODY_ACTION_ALLOW, "docker_socket");
}

/* As the distribution has it for Podman; Docker's is inside its daemon. */
#define SHIPPED	"/usr/share/containers/seccomp.json"

static char *read_shipped(void)
{
	char *text = calloc(1, PROFILE_JSON_MAX);
	FILE *file = fopen(SHIPPED, "re");

	if (!text || !file || !fread(text, 1, PROFILE_JSON_MAX - 1, file)) {
		printf("Bail out! " SHIPPED ": %s\n", strerror(errno));
		exit(1);
	}
	fclose(file);
	return text;
}

/* What stands twice in it is a warning; resolved, nothing stands twice, and it decides the same. */
static void test_shipped(void)
{
	static const char *const admin[] = { "CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON" };
	struct profile_options with = { .caps = admin, .caps_count = 3, .kernel_major = 6 };
	const struct profile_options *how[] = { &options, &with };
	static struct profile_report unused;
	char *json = read_shipped(), *resolved;
	struct hoody_table *table, *again;
	unsigned int differ;

	for (size_t i = 0; i < COUNT(how); i++) {
		differ = UINT32_MAX;
		table = again = NULL;
		resolved = NULL;
		if (!profile_compile(json, strlen(json), how[i], &table, &report) &&
		    !profile_export(json, strlen(json), how[i], PROFILE_OCI, &resolved, &unused) &&
		    !profile_compile(resolved, strlen(resolved), how[i], &again, &unused)) {
			differ = 0;
			for (unsigned int call = 0; call < 2 * 600 * 40; call++) {
				const uint64_t args[6] = { call / 1200, call % 3, call / 1200 % 20 };

				differ += profile_decide(table, call % 2, call / 2 % 600, args) !=
					  profile_decide(again, call % 2, call / 2 % 600, args);
			}
		}
		tap_ok(!differ && report.warnings_count, "shipped_profile_resolves (%u differ, %u warnings) %s",
		       differ, report.warnings_count, unused.error);
		free(table);
		free(again);
		free(resolved);
	}
	tap_ok(strstr(report.warnings[0], "$.syscalls["), "shipped_profile_warns: %s", report.warnings[0]);
	free(json);
}

#define RULE(fields)	ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"," fields "}]}"
#define ARG(fields)	RULE("\"args\":[{" fields "}]")
#define TWO(names1, action1, fields1, names2, action2, fields2) \
	ALLOW "\"syscalls\":[{\"names\":[" names1 "],\"action\":\"SCMP_ACT_" action1 "\"," fields1 "}," \
	"{\"names\":[" names2 "],\"action\":\"SCMP_ACT_" action2 "\"," fields2 "}]}"
#define NONE		"\"comment\":\"\""

static const struct {
	const char *json, *error;	/* the beginning of the error */
} bad[] = {
	{ "", "$: the profile is empty" }, { "{", "$: no JSON" }, { "[]", "$: must be an object" },
	{ "null", "$: must be an object" }, { "{}", "$.defaultAction: is missing" },
	{ "{\"defaultAction\":1}", "$.defaultAction: must be a string" },
	{ "{\"defaultAction\":\"ALLOW\"}", "$.defaultAction: unknown action 'ALLOW'" },
	{ "{\"defaultAction\":\"SCMP_ACT_TRACE\"}", "$.defaultAction: SCMP_ACT_TRACE needs" },
	{ ALLOW "\"what\":1}", "$.what: unknown field" },
	{ ALLOW "\"defaultAction\":\"SCMP_ACT_LOG\"}", "$.defaultAction: stands twice" },
	{ ALLOW "\"defaultErrnoRet\":4096}", "$.defaultErrnoRet: must be a number from 0 to 4095" },
	{ ALLOW "\"defaultErrnoRet\":-1}", "$.defaultErrnoRet: must be" },
	{ ALLOW "\"defaultErrno\":\"EWHAT\"}", "$.defaultErrno: must be the name" },
	{ DENY "\"defaultErrnoRet\":1,\"defaultErrno\":\"ENOSYS\"}", "$.defaultErrnoRet: is 1, but" },
	{ ALLOW "\"architectures\":\"SCMP_ARCH_X86\"}", "$.architectures: must be a list" },
	{ ALLOW "\"architectures\":[\"SCMP_ARCH_VAX\"]}", "$.architectures[0]: unknown architecture" },
	{ ALLOW "\"architectures\":[7]}", "$.architectures[0]: must be a string" },
	{ ALLOW X86 "\"architectures\":[\"SCMP_ARCH_X86\"]}", "$.archMap: stands beside" },
	{ ALLOW "\"archMap\":{}}", "$.archMap: must be a list" },
	{ ALLOW "\"archMap\":[{\"subArchitectures\":[]}]}", "$.archMap[0].architecture: must be" },
	{ ALLOW "\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"x\"]}]}",
	  "$.archMap[0].subArchitectures[0]: unknown" },
	{ ALLOW "\"listenerPath\":\"/run/x\"}", "$.listenerPath: only SCMP_ACT_NOTIFY" },
	{ ALLOW "\"flags\":1}", "$.flags: must be a list" },
	{ ALLOW "\"syscalls\":{}}", "$.syscalls: must be a list" },
	{ ALLOW "\"syscalls\":[3]}", "$.syscalls[0]: must be an object" },
	{ ALLOW "\"syscalls\":[{\"names\":[\"read\"]}]}", "$.syscalls[0].action: must be a string" },
	{ ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
	  "$.syscalls[0].action: SCMP_ACT_NOTIFY needs a supervisor" },
	{ ALLOW "\"syscalls\":[{\"action\":\"SCMP_ACT_LOG\"}]}", "$.syscalls[0].names: must be" },
	{ ALLOW "\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]}", "$.syscalls[0].names: must be" },
	{ ALLOW "\"syscalls\":[{\"names\":[\"read\",5],\"action\":\"SCMP_ACT_LOG\"}]}",
	  "$.syscalls[0].names[1]: must be" },
	{ ALLOW "\"syscalls\":[{\"name\":\"a\",\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\"}]}",
	  "$.syscalls[0].names: must be" },
	{ RULE("\"errnoRet\":99999"), "$.syscalls[0].errnoRet: must be a number" },
	{ RULE("\"errnoRet\":\"1\""), "$.syscalls[0].errnoRet: must be a number" },
	{ RULE("\"errno\":5"), "$.syscalls[0].errno: must be the name" },
	{ RULE("\"extra\":5"), "$.syscalls[0].extra: unknown field" },
	{ RULE("\"args\":{}"), "$.syscalls[0].args: must be a list" },
	{ RULE("\"args\":[1]"), "$.syscalls[0].args[0]: must be an object" },
	{ RULE("\"args\":[{},{},{},{},{},{},{}]"), "$.syscalls[0].args: more than 6" },
	{ ARG("\"value\":1,\"op\":\"SCMP_CMP_EQ\""), "$.syscalls[0].args[0].index: is missing" },
	{ ARG("\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\""), "$.syscalls[0].args[0].index: must be" },
	{ ARG("\"index\":-1,\"value\":1,\"op\":\"SCMP_CMP_EQ\""), "$.syscalls[0].args[0].index: must be" },
	{ ARG("\"index\":0,\"op\":\"SCMP_CMP_EQ\""), "$.syscalls[0].args[0].value: is missing" },
	{ ARG("\"index\":0,\"value\":1.5,\"op\":\"SCMP_CMP_EQ\""), "$.syscalls[0].args[0].value: must be" },
	{ ARG("\"index\":0,\"value\":18446744073709551616,\"op\":\"SCMP_CMP_EQ\""),
	  "$.syscalls[0].args[0].value: must be" },
	{ ARG("\"index\":0,\"value\":1"), "$.syscalls[0].args[0].op: must be a string" },
	{ ARG("\"index\":0,\"value\":1,\"op\":\"==\""), "$.syscalls[0].args[0].op: unknown operator" },
	{ RULE("\"includes\":[]"), "$.syscalls[0].includes: must be an object" },
	{ RULE("\"includes\":{\"cap\":[]}"), "$.syscalls[0].includes.cap: unknown field" },
	{ RULE("\"includes\":{\"caps\":[\"SYS_ADMIN\"]}"), "$.syscalls[0].includes.caps[0]: 'SYS_ADMIN' is no" },
	{ RULE("\"excludes\":{\"arches\":[5]}"), "$.syscalls[0].excludes.arches[0]: must be" },
	{ RULE("\"excludes\":{\"minKernel\":\"4\"}"), "$.syscalls[0].excludes.minKernel: must be" },
	{ RULE("\"includes\":{\"minKernel\":\"4.8x\"}"), "$.syscalls[0].includes.minKernel: must be" },
	{ TWO("\"read\"", "ERRNO", "\"args\":[" EQ("0", "1") "]", "\"read\"", "KILL", "\"args\":[" EQ("0", "1") "]"),
	  "$.syscalls[1].names[0]: contradicts $.syscalls[0], which has another action for 'read'" },
	{ TWO("\"read\"", "ERRNO", "\"args\":[" EQ("0", "1") "," EQ("2", "3") "]," HERE,
	      "\"read\"", "KILL", "\"args\":[" EQ("2", "3") "," EQ("0", "1") "]"),
	  "$.syscalls[0]: contradicts $.syscalls[1]" },
	{ TWO("\"read\"", "ERRNO", NONE, "\"close\",\"read\"", "KILL", NONE),
	  "$.syscalls[1].names[1]: contradicts $.syscalls[0]" },
	{ TWO("\"read\"", "ERRNO", "\"errnoRet\":5", "\"read\"", "ERRNO", NONE),
	  "$.syscalls[1].names[0]: contradicts $.syscalls[0]" },
	{ TWO("\"read\"", "ERRNO", NONE, "\"close\",\"read\"", "ERRNO", NONE),
	  "$.syscalls[1].names[1]: $.syscalls[0] says the same of 'read': leave one out" },
	{ TWO("\"read\"", "ERRNO", "\"excludes\":{\"caps\":[]}", "\"read\"", "ERRNO", NONE),
	  "$.syscalls[1].names[0]: $.syscalls[0] says the same of 'read'" },
	{ TWO("\"read\"", "ALLOW", NONE, "\"read\"", "ALLOW", NONE),
	  "$.syscalls[1].names[0]: $.syscalls[0] says the same of 'read'" },
	{ TWO("\"no_such\"", "LOG", NONE, "\"no_such\"", "LOG", NONE),
	  "$.syscalls[1].names[0]: $.syscalls[0] says the same of 'no_such'" },
	{ TWO("\"read\"", "LOG", "\"args\":[" EQ("0", "1") "," EQ("2", "3") "]",
	      "\"read\"", "LOG", "\"args\":[" EQ("2", "3") "," EQ("0", "1") "]"),
	  "$.syscalls[1].names[0]: $.syscalls[0] says the same of 'read'" },
	{ TWO("\"read\"", "LOG", "\"args\":[" EQ("0", "1") "," EQ("0", "3") "]",
	      "\"read\"", "LOG", "\"args\":[" EQ("0", "3") "]"),
	  "$.syscalls[1].names[0]: $.syscalls[0] says the same of 'read'" },
	{ TWO("\"read\",\"close\",\"read\"", "LOG", NONE, "\"open\"", "LOG", NONE),
	  "$.syscalls[0].names[2]: 'read' stands there twice: leave one out" },
	{ TWO("\"read\",\"read\"", "LOG", "\"includes\":{\"minKernel\":\"99.0\"}", "\"open\"", "LOG", NONE),
	  "$.syscalls[0].names[1]: 'read' stands there twice" },
	{ ALLOW "\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_LOG\"},{\"name\":\"read\","
	  "\"action\":\"SCMP_ACT_LOG\"}]}", "$.syscalls[1].name: $.syscalls[0] says the same of 'read'" },
	{ RULE("\"args\":[" EQ("0", "1") "," EQ("1", "1") "," EQ("0", "1") "]"),
	  "$.syscalls[0].args[2]: the same condition as args[0]: leave one out" },
};

static void test_bad(void)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct hoody_table *table = NULL;
		int err = profile_compile(bad[i].json, strlen(bad[i].json), &options, &table, &report);

		tap_ok(err == -EINVAL && !table && !strncmp(report.error, bad[i].error, strlen(bad[i].error)),
		       "bad_%zu: %s", i, report.error);
		free(table);
	}
}

/* A profile of many entries made by @entry. */
static int compile_many(unsigned int count, void (*entry)(FILE *out, unsigned int i))
{
	struct hoody_table *table = NULL;
	char *json;
	size_t size;
	FILE *out = open_memstream(&json, &size);
	int err;

	fprintf(out, ALLOW "\"syscalls\":[");
	for (unsigned int i = 0; i < count; i++) {
		fprintf(out, i ? "," : "");
		entry(out, i);
	}
	fprintf(out, "]}");
	fclose(out);
	err = profile_compile(json, size, &options, &table, &report);
	free(table);
	free(json);
	return err;
}

static void many_same(FILE *out, unsigned int i)
{
	fprintf(out, "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"," HERE "}");
}

/* Nine of each entry's are names of nothing. */
static void many_names(FILE *out, unsigned int i)
{
	fprintf(out, "{\"names\":[\"read\"");
	for (unsigned int j = 0; j < 9; j++)
		fprintf(out, ",\"x%u\"", 10 * i + j);
	fprintf(out, "],\"action\":\"SCMP_ACT_ERRNO\"," HERE "}");
}

static void many_conds(FILE *out, unsigned int i)
{
	fprintf(out, "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":%u,"
		"\"op\":\"SCMP_CMP_EQ\"}]}", i);
}

static void many_errnos(FILE *out, unsigned int i)
{
	fprintf(out, "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":%u,\"args\":[{\"index\":0,"
		"\"value\":%u,\"op\":\"SCMP_CMP_EQ\"}]}", i, i);
}

static void many_checks(FILE *out, unsigned int i)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, i);

	fprintf(out, "{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,"
		"\"op\":\"SCMP_CMP_EQ\"}]}", name ?: "read");
	free(name);
}

static void test_bounds(void)
{
	char *big = malloc(PROFILE_JSON_MAX + 1);
	struct hoody_table *table;

	tap_ok(!compile_many(4096, many_same), "bounds_equal_rules_are_one: %s", report.error);
	tap_ok(compile_many(4097, many_same) == -EINVAL, "bounds_entries: %s", report.error);
	tap_ok(!compile_many(1638, many_names), "bounds_names_fit: %s", report.error);
	tap_ok(compile_many(1639, many_names) == -E2BIG &&
	       !strncmp(report.error, "$.syscalls[1638].names[4]:", 26), "bounds_names: %s", report.error);
	tap_ok(!compile_many(1536, many_conds), "bounds_conditions_fit: %s", report.error);
	tap_ok(compile_many(1537, many_conds) == -E2BIG, "bounds_conditions: %s", report.error);
	tap_ok(compile_many(40, many_errnos) == -E2BIG, "bounds_actions: %s", report.error);
	tap_ok(!compile_many(128, many_checks), "bounds_checked_calls_fit: %s", report.error);
	tap_ok(compile_many(140, many_checks) == -E2BIG, "bounds_checked_calls: %s", report.error);
	memset(big, ' ', PROFILE_JSON_MAX + 1);
	tap_ok(profile_compile(big, PROFILE_JSON_MAX + 1, &options, &table, &report) == -E2BIG && !table,
	       "bounds_text: %s", report.error);
	free(big);
}

static void test_warnings(void)
{
	static const char twice[] = TWO("\"read\",\"read\"", "ERRNO", NONE, "\"read\"", "KILL", NONE);
	struct profile_options accepted = { .kernel_major = 6, .accepted = true };
	struct hoody_table *table;

	verdict_of(ALLOW "\"syscalls\":[{\"names\":[\"read\",\"no_such_call\"],\"action\":\"SCMP_ACT_KILL\"}]}",
		   &options, 0, 0, 0);
	tap_ok(report.warnings_count == 1 && strstr(report.warnings[0], "no_such_call") &&
	       !strncmp(report.warnings[0], "$.syscalls[0].names[1]:", 23), "warning_unknown_name: %s",
	       report.warnings[0]);
	verdict_of(ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"},"
		   "{\"names\":[\"close\",\"read\"],\"action\":\"SCMP_ACT_KILL\"," HERE "}]}", &options, 0, 0, 0);
	tap_ok(report.warnings_count == 1 && strstr(report.warnings[0], "$.syscalls[0]") &&
	       !strncmp(report.warnings[0], "$.syscalls[1]:", 14), "warning_rule_twice: %s",
	       report.warnings[0]);
	tap_ok(verdict_of(twice, &options, 0, SYS_read, 0) == UINT32_MAX &&
	       verdict_of(twice, &accepted, 0, SYS_read, 0) == ERRNO(1) && report.warnings_count == 1,
	       "warning_of_what_was_accepted_before: %s", report.warnings[0]);
	if (!profile_compile(DENY "\"syscalls\":[]}", strlen(DENY "\"syscalls\":[]}"), &options, &table,
			     &report)) {
		profile_essential(table, &report);
		free(table);
	}
	tap_ok(report.warnings_count > 10 && strstr(report.warnings[0], "execve is refused"),
	       "warning_init_cannot_run: %s", report.warnings[0]);
}

/* A table that decides every call, or an error with a text: counts what came, and what is neither. */
struct turned {
	unsigned int good, refused, wrong;
};

static void compile_turned(const char *text, size_t len, struct turned *turned)
{
	uint64_t args[6] = { 0 };
	struct hoody_table *table = NULL;

	if (profile_compile(text, len, &options, &table, &report)) {
		turned->refused++;
		turned->wrong += !report.error[0] || table;
		return;
	}
	turned->good++;
	for (unsigned int nr = 0; nr < 600; nr++)
		turned->wrong += (profile_decide(table, nr % 2, nr, args) & 0xffff) > HOODY_ACTION_MAX;
	free(table);
}

/* Bytes of a good profile turned at random. */
static void test_turned(void)
{
	struct turned turned = { 0 };
	char text[sizeof(docker)];

	for (int i = 0; i < 20000; i++) {
		memcpy(text, docker, sizeof(docker));
		for (unsigned int j = 0; j <= pick(3); j++)
			text[pick(sizeof(docker) - 1)] = pick(4) ? ' ' + pick(95) : pick(256);
		compile_turned(text, sizeof(docker) - 1, &turned);
	}
	tap_ok(!turned.wrong && turned.good > 100 && turned.refused > 5000,
	       "turned_profiles (%u good, %u refused, %u wrong)", turned.good, turned.refused, turned.wrong);
}

/* Where a value, a list or an object begins in @text, at random. */
static size_t pick_edge(const char *text, size_t len)
{
	size_t at = pick(len);

	for (size_t i = 0; i < len && !strchr("{[,\"", text[at]); i++)
		at = (at + 1) % len;
	return at;
}

/* Pieces of good and bad profiles in each other's place: fields twice, lists in lists, cut ends. */
static void test_spliced(void)
{
	struct turned turned = { 0 };
	char text[4 * sizeof(docker)];

	for (int i = 0; i < 20000; i++) {
		const char *from = pick(4) ? docker : bad[1 + pick(COUNT(bad) - 1)].json;
		size_t len = sizeof(docker) - 1, begin, size, at, cut;

		memcpy(text, docker, len);
		begin = pick_edge(from, strlen(from));
		size = pick(pick(4) ? 40 : strlen(from) - begin + 1);
		size = size > strlen(from) - begin ? strlen(from) - begin : size;
		at = pick_edge(text, len);
		cut = pick(2) ? 0 : pick(size + 1);
		cut = cut > len - at ? len - at : cut;
		memmove(text + at + size, text + at + cut, len - at - cut);
		memcpy(text + at, from + begin, size);
		compile_turned(text, len + size - cut, &turned);
	}
	tap_ok(!turned.wrong && turned.good > 100 && turned.refused > 5000,
	       "spliced_profiles (%u good, %u refused, %u wrong)", turned.good, turned.refused, turned.wrong);
}

/* Bytes with nothing in them of a profile, and the signs of JSON alone. */
static void test_random(void)
{
	static const char signs[] = "{}[]\",:0-9.eE+ tfn\\u\n";
	struct turned turned = { 0 };
	char text[256];

	for (int i = 0; i < 20000; i++) {
		size_t len = pick(sizeof(text) + 1);

		for (size_t j = 0; j < len; j++)
			text[j] = i % 2 ? pick(256) : (unsigned int)signs[pick(sizeof(signs) - 1)];
		compile_turned(text, len, &turned);
	}
	tap_ok(!turned.wrong && turned.refused == 20000, "random_bytes (%u good, %u wrong)", turned.good,
	       turned.wrong);
}

int main(void)
{
	tap_plan(1 + COUNT(meanings) + 6 + 3 + COUNT(bad) + 10 + 4 + 3);
	test_merged();
	test_meanings();
	test_docker();
	test_shipped();
	test_bad();
	test_bounds();
	test_warnings();
	test_turned();
	test_spliced();
	test_random();
	return tap_done();
}
