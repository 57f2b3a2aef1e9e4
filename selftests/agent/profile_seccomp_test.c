// SPDX-License-Identifier: Apache-2.0
/*
 * The profile compiler beside libseccomp: random profiles, the BPF program that
 * libseccomp would load for the same rules, run by a small interpreter here, on
 * arguments near the bounds.
 *
 * A call may have several rules with conditions, of which one must hold. Merged
 * into one filter, libseccomp 2.6.0 forgets some of them (an example stands in
 * profile_test.c), so each goes to a filter of its own, and a call is what the
 * first of the filters says that does not say the default. It also leaves out
 * the load of the call's number now and then; such a filter is not asked.
 */
#include "tap.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
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
	unsigned int wrong = 0, failed = 0, differing = 0, compared = 0, twice = 0;

	for (int i = 0; i < PROFILES; i++) {
		struct hoody_table *table;
		struct pair pair;
		unsigned int differ;

		pair_create(&pair);
		if (profile_compile(pair.json, pair.size, &options, &table, &report)) {
			/* Chance has made one rule twice, and that is refused. */
			if (strstr(report.error, ": leave one out"))
				twice++;
			else if (!failed++)
				tap_note("%s\n# %s", report.error, pair.json);
		} else {
			differ = pair_compare(&pair, table, &compared);
			wrong += differ;
			differing += !!differ;
			free(table);
		}
		pair_free(&pair);
	}
	tap_ok(!failed && twice < PROFILES / 20, "libseccomp_profiles_compile (%d of %d do not; %d say something twice)",
	       failed, PROFILES, twice);
	tap_ok(!wrong && compared >= 200000, "libseccomp_agrees (%u of %u decisions differ, in %u profiles)",
	       wrong, compared, differing);
}

int main(void)
{
	tap_plan(2);
	test_libseccomp();
	return tap_done();
}
