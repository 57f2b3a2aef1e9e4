// SPDX-License-Identifier: Apache-2.0
/*
 * The profile compiler. Its tables are compared with what libseccomp makes of
 * the same rules: random profiles, the BPF program that libseccomp would load,
 * run by a small interpreter here, on arguments near the bounds. Then the rest
 * of the format, and what is refused with which words.
 *
 * A call may have several rules with conditions, of which one must hold. Merged
 * into one filter, libseccomp 2.6.0 forgets some of them (an example stands at
 * test_merged()), so each goes to a filter of its own, and a call is what the
 * first of the filters says that does not say the default. It also leaves out
 * the load of the call's number now and then; such a filter is not asked.
 */
#include "tap.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "profile/profile.h"

#define PROFILES	600
#define DECISIONS	400	/* of each profile */
#define FILTERS		9	/* of each architecture: rules of one call */

static unsigned int seed = 20;
static struct profile_report report;
static const struct profile_options options = { .kernel_major = 6, .kernel_minor = 12 };

static unsigned int pick(unsigned int n)
{
	return rand_r(&seed) % n;
}

/* Runs a seccomp program; only what libseccomp writes. */
static uint32_t bpf_run(const struct sock_filter *code, size_t count, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < count; pc++) {
		const struct sock_filter *op = &code[pc];
		bool jump;

		switch (op->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + op->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= op->k;
			continue;
		case BPF_RET | BPF_K:
			return op->k;
		case BPF_JMP | BPF_JA:
			pc += op->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K: jump = a == op->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: jump = a > op->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: jump = a >= op->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: jump = a & op->k; break;
		default:
			printf("Bail out! instruction %#x is new to the interpreter\n", op->code);
			exit(1);
		}
		pc += jump ? op->jt : op->jf;
	}
	printf("Bail out! the program ran past its end\n");
	exit(1);
}

/* It loads arguments, and so has rules, but not the number that they are for. */
static bool bpf_broken(const struct sock_filter *code, size_t count)
{
	bool number = false, arguments = false;

	for (size_t i = 0; i < count; i++) {
		if (code[i].code != (BPF_LD | BPF_W | BPF_ABS))
			continue;
		number |= code[i].k == offsetof(struct seccomp_data, nr);
		arguments |= code[i].k >= offsetof(struct seccomp_data, args);
	}
	return arguments && !number;
}

static uint32_t bpf_verdict(uint32_t result)
{
	switch (result & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW: return HOODY_ACTION_ALLOW;
	case SECCOMP_RET_LOG: return HOODY_ACTION_LOG;
	case SECCOMP_RET_TRAP: return HOODY_ACTION_TRAP;
	case SECCOMP_RET_KILL_THREAD: return HOODY_ACTION_KILL_THREAD;
	case SECCOMP_RET_KILL_PROCESS: return HOODY_ACTION_KILL_PROCESS;
	default: return HOODY_ACTION_ERRNO | (result & SECCOMP_RET_DATA) << 16;
	}
}

static const struct {
	const char	*name;
	uint32_t	scmp;
} actions[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW }, { "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP }, { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(1) }, { "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(38) },
};

static const struct {
	const char		*name;
	enum scmp_compare	op;
} ops[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

/* Calls of both, of one architecture only, and those that ia32 multiplexes. */
static const char *const calls[] = {
	"read", "write", "open", "clone", "clone3", "personality", "mount", "umount2", "ptrace", "bpf",
	"prctl", "ioctl", "fcntl", "mmap", "mprotect", "futex", "execve", "unshare", "setns", "keyctl",
	"add_key", "io_uring_setup", "openat2", "getppid", "arch_prctl", "modify_ldt", "iopl", "ioperm",
	"waitpid", "mmap2", "_llseek", "stat64", "newfstatat", "quotactl", "kcmp",
	"process_vm_readv", "name_to_handle_at", "sched_setattr", "umount", "clock_settime64",
};
static const char *const muxed[] = { "socket", "bind", "accept4", "sendto", "recvmmsg", "msgget",
				     "shmat", "semop", "accept", "semctl", "semtimedop" };

static const uint64_t values[] = { 0, 1, 2, 16, 0xff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
				   0x100000000, 0x100000001, 0x7fffffffffffffff, 0x8000000000000000,
				   0xffffffffffffffff };
#define COUNT(array)	(sizeof(array) / sizeof(*(array)))

static uint64_t random_value(void)
{
	return values[pick(COUNT(values))] + (pick(3) ? 0 : pick(3) - 1);
}

/* A profile as JSON, and the same as libseccomp filters, one per architecture. */
struct pair {
	char		*json;
	size_t		size;
	FILE		*out;
	scmp_filter_ctx	contexts[HOODY_ARCHS][FILTERS];
	struct sock_filter *programs[HOODY_ARCHS][FILTERS];
	size_t		lengths[HOODY_ARCHS][FILTERS];
	uint32_t	other;				/* the default */
	bool		broken[HOODY_ARCHS];		/* a filter that never looks at the number */
	unsigned int	filter;				/* the next rule's */
	int		numbers[HOODY_ARCHS][64];	/* of the calls with rules */
	unsigned int	numbers_count[HOODY_ARCHS];
	bool		ia32;
};

static void pair_rule(struct pair *pair, uint32_t action, const char *name, unsigned int count,
		      const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name);

	for (int arch = 0; arch < 1 + pair->ia32; arch++) {
		int err = seccomp_rule_add_array(pair->contexts[arch][pair->filter], action, nr, count,
						 args);

		if (err && err != -EDOM) {
			printf("Bail out! libseccomp refuses a rule for %s: %s\n", name, strerror(-err));
			exit(1);
		}
	}
	pair->filter++;
}

/* One entry of "syscalls" for @name, with @count conditions. */
static void pair_entry(struct pair *pair, unsigned int action, const char *name, unsigned int count)
{
	struct scmp_arg_cmp args[3];
	unsigned int used = 0;
	bool twice = false;

	fprintf(pair->out, "{\"names\":[\"%s\"],\"action\":\"%s\"", name, actions[action].name);
	if (actions[action].scmp == SCMP_ACT_ERRNO(38))
		fprintf(pair->out, ",\"errnoRet\":38");
	fprintf(pair->out, ",\"args\":[");
	for (unsigned int i = 0; i < count; i++) {
		unsigned int arg = pick(6), op = pick(COUNT(ops));
		uint64_t first = random_value(), second = random_value();

		twice |= used >> arg & 1;
		used |= 1u << arg;
		if (ops[op].op == SCMP_CMP_MASKED_EQ)
			second &= first;
		args[i] = (struct scmp_arg_cmp){ arg, ops[op].op, first, second };
		fprintf(pair->out, "%s{\"index\":%u,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"%s\"}",
			i ? "," : "", arg, (unsigned long long)first, (unsigned long long)second,
			ops[op].name);
	}
	fprintf(pair->out, "]}");
	if (twice)
		for (unsigned int i = 0; i < count; i++)
			pair_rule(pair, actions[action].scmp, name, 1, &args[i]);
	else
		pair_rule(pair, actions[action].scmp, name, count, args);
}

/* The program that libseccomp would give to the kernel. */
static void pair_export(struct pair *pair, int arch, int filter)
{
	int fd = memfd_create("bpf", MFD_CLOEXEC);
	off_t size;

	if (fd < 0 || seccomp_export_bpf(pair->contexts[arch][filter], fd)) {
		printf("Bail out! seccomp_export_bpf\n");
		exit(1);
	}
	size = lseek(fd, 0, SEEK_END);
	pair->programs[arch][filter] = malloc(size);
	pair->lengths[arch][filter] = size / sizeof(struct sock_filter);
	if (pread(fd, pair->programs[arch][filter], size, 0) != size)
		exit(1);
	close(fd);
	pair->broken[arch] |= bpf_broken(pair->programs[arch][filter], pair->lengths[arch][filter]);
}

static uint32_t pair_verdict(const struct pair *pair, int arch, const struct seccomp_data *data)
{
	uint32_t verdict = pair->other;

	for (int i = 0; i < FILTERS && verdict == pair->other; i++)
		verdict = bpf_verdict(bpf_run(pair->programs[arch][i], pair->lengths[arch][i], data));
	return verdict;
}

static void pair_calls(struct pair *pair, unsigned int other)
{
	unsigned int names = 1 + pick(24);
	bool taken[COUNT(calls)] = { 0 }, first = true;

	for (unsigned int i = 0; i < names; i++) {
		unsigned int call = pick(COUNT(calls)), action, entries;
		bool plain = pick(2);

		if (taken[call])
			continue;
		taken[call] = true;
		do
			action = pick(COUNT(actions));
		while (action == other);
		/* Of one call all conditional rules have one action: libseccomp has no order. */
		entries = plain ? 1 : 1 + pick(3);
		pair->filter = 0;
		while (entries--) {
			fprintf(pair->out, first ? "" : ",");
			pair_entry(pair, action, calls[call], plain ? 0 : 1 + pick(3));
			first = false;
		}
		for (int arch = 0; arch < HOODY_ARCHS; arch++) {
			int nr = seccomp_syscall_resolve_name_arch(arch ? SCMP_ARCH_X86 : SCMP_ARCH_X86_64,
								   calls[call]);
			if (nr >= 0)
				pair->numbers[arch][pair->numbers_count[arch]++] = nr;
		}
	}
	if (!first && pick(2)) {
		do
			names = pick(COUNT(actions));
		while (names == other);
		for (unsigned int i = 0; i < COUNT(muxed); i += 1 + pick(3)) {
			fprintf(pair->out, ",");
			pair->filter = 0;
			pair_entry(pair, names, muxed[i], 0);
		}
		pair->numbers[HOODY_ARCH_IA32][pair->numbers_count[HOODY_ARCH_IA32]++] = 102;
		pair->numbers[HOODY_ARCH_IA32][pair->numbers_count[HOODY_ARCH_IA32]++] = 117;
	}
}

static void pair_create(struct pair *pair)
{
	unsigned int other = pick(COUNT(actions));

	memset(pair, 0, sizeof(*pair));
	pair->ia32 = pick(2);
	pair->out = open_memstream(&pair->json, &pair->size);
	pair->other = bpf_verdict(actions[other].scmp);
	for (int i = 0; i < FILTERS; i++) {
		pair->contexts[0][i] = seccomp_init(actions[other].scmp);
		pair->contexts[1][i] = seccomp_init(actions[other].scmp);
		seccomp_arch_remove(pair->contexts[1][i], SCMP_ARCH_NATIVE);
		seccomp_arch_add(pair->contexts[1][i], SCMP_ARCH_X86);
	}
	fprintf(pair->out, "{\"defaultAction\":\"%s\",", actions[other].name);
	if (actions[other].scmp == SCMP_ACT_ERRNO(38))
		fprintf(pair->out, "\"defaultErrnoRet\":38,");
	fprintf(pair->out, "\"architectures\":[%s],\"syscalls\":[",
		pair->ia32 ? "\"SCMP_ARCH_X86\"" : "");
	pair_calls(pair, other);
	fprintf(pair->out, "]}");
	fclose(pair->out);
	for (int i = 0; i < FILTERS; i++) {
		pair_export(pair, 0, i);
		pair_export(pair, 1, i);
	}
}

static void pair_free(struct pair *pair)
{
	for (int i = 0; i < HOODY_ARCHS * FILTERS; i++) {
		seccomp_release(pair->contexts[i / FILTERS][i % FILTERS]);
		free(pair->programs[i / FILTERS][i % FILTERS]);
	}
	free(pair->json);
}

/* How many of DECISIONS random calls the two see differently; tells the first. */
static unsigned int pair_compare(struct pair *pair, const struct hoody_table *table,
				 unsigned int *compared)
{
	unsigned int wrong = 0;

	for (int i = 0; i < DECISIONS; i++) {
		int arch = pick(2);
		struct seccomp_data data = { .arch = arch ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64 };
		unsigned int count = pair->numbers_count[arch];
		uint32_t wanted, got;
		uint64_t args[6];

		if (pair->broken[arch])
			continue;
		++*compared;
		data.nr = count && pick(4) ? pair->numbers[arch][pick(count)] : (int)pick(600);
		for (int j = 0; j < 6; j++) {
			args[j] = random_value();
			if (arch)
				args[j] = (uint32_t)args[j];
			data.args[j] = args[j];
		}
		if (arch && (data.nr == 102 || data.nr == 117))
			data.args[0] = args[0] = pick(30);
		wanted = arch && !pair->ia32 ? HOODY_ACTION_KILL_THREAD :
			 pair_verdict(pair, arch, &data);
		got = profile_decide(table, arch, data.nr, args);
		if (got != wanted && !wrong++)
			tap_note("arch %d call %d args %llx %llx %llx %llx %llx %llx: libseccomp %#x, ours "
				 "%#x\n# %s", arch, data.nr, (unsigned long long)args[0],
				 (unsigned long long)args[1], (unsigned long long)args[2],
				 (unsigned long long)args[3], (unsigned long long)args[4],
				 (unsigned long long)args[5], wanted, got, pair->json);
	}
	return wrong;
}

static void test_libseccomp(void)
{
	unsigned int wrong = 0, failed = 0, differing = 0, compared = 0;

	for (int i = 0; i < PROFILES; i++) {
		struct hoody_table *table;
		struct pair pair;
		unsigned int differ;

		pair_create(&pair);
		if (profile_compile(pair.json, pair.size, &options, &table, &report)) {
			if (!failed++)
				tap_note("%s\n# %s", report.error, pair.json);
		} else {
			differ = pair_compare(&pair, table, &compared);
			wrong += differ;
			differing += !!differ;
			free(table);
		}
		pair_free(&pair);
	}
	tap_ok(!failed, "libseccomp_profiles_compile (%d of %d do not)", failed, PROFILES);
	tap_ok(!wrong && compared >= 200000, "libseccomp_agrees (%u of %u decisions differ, in %u profiles)",
	       wrong, compared, differing);
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

#define RULE(fields)	ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"," fields "}]}"
#define ARG(fields)	RULE("\"args\":[{" fields "}]")

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
	{ ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"},{\"names\":[\"read\"],"
	  "\"action\":\"SCMP_ACT_KILL\"}]}", "$.syscalls[0]: contradicts $.syscalls[1]" },
	{ ALLOW "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,"
	  "\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]},{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":"
	  "[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}", "$.syscalls[0]: contradicts $.syscalls[1]" },
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
	fprintf(out, "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"}");
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
	struct hoody_table *table;

	verdict_of(ALLOW "\"syscalls\":[{\"names\":[\"read\",\"no_such_call\"],\"action\":\"SCMP_ACT_KILL\"}]}",
		   &options, 0, 0, 0);
	tap_ok(report.warnings_count == 1 && strstr(report.warnings[0], "no_such_call") &&
	       !strncmp(report.warnings[0], "$.syscalls[0].names[1]:", 23), "warning_unknown_name: %s",
	       report.warnings[0]);
	if (!profile_compile(DENY "\"syscalls\":[]}", strlen(DENY "\"syscalls\":[]}"), &options, &table,
			     &report)) {
		profile_essential(table, &report);
		free(table);
	}
	tap_ok(report.warnings_count > 10 && strstr(report.warnings[0], "execve is refused"),
	       "warning_init_cannot_run: %s", report.warnings[0]);
}

/* Bytes of a good profile turned at random: a table or an error, nothing else. */
static void test_turned(void)
{
	unsigned int good = 0, refused = 0, silent = 0;
	char text[sizeof(docker)];

	for (int i = 0; i < 20000; i++) {
		struct hoody_table *table = NULL;

		memcpy(text, docker, sizeof(docker));
		for (unsigned int j = 0; j <= pick(3); j++)
			text[pick(sizeof(docker) - 1)] = pick(4) ? ' ' + pick(95) : pick(256);
		if (profile_compile(text, sizeof(docker) - 1, &options, &table, &report)) {
			refused++;
			silent += !report.error[0] || table;
		} else {
			uint64_t args[6] = { 0 };

			good++;
			for (unsigned int nr = 0; nr < 600; nr++)
				silent += (profile_decide(table, nr % 2, nr, args) & 0xffff) > HOODY_ACTION_MAX;
			free(table);
		}
	}
	tap_ok(!silent && good > 100 && refused > 5000, "turned_profiles (%u good, %u refused)", good, refused);
}

int main(void)
{
	tap_plan(3 + COUNT(meanings) + 6 + COUNT(bad) + 8 + 2 + 1);
	test_libseccomp();
	test_merged();
	test_meanings();
	test_docker();
	test_bad();
	test_bounds();
	test_warnings();
	test_turned();
	return tap_done();
}
