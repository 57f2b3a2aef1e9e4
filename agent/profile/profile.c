// SPDX-License-Identifier: Apache-2.0
/*
 * The compiler's entry, its reports, and a reading of tables in user space that
 * says what the kernel will say.
 */
#include "profile/profile_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* Names in profiles are hostile: what reaches a terminal or a log is printable. */
static void printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int profile_fail(struct profile_report *report, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->error, sizeof(report->error), format, args);
	va_end(args);
	printable(report->error);
	return err;
}

void profile_warn(struct profile_report *report, const char *format, ...)
{
	va_list args;
	char *text;

	if (report->warnings_count == PROFILE_WARNINGS_MAX) {
		report->warnings_dropped++;
		return;
	}
	text = report->warnings[report->warnings_count++];
	va_start(args, format);
	vsnprintf(text, PROFILE_TEXT_MAX, format, args);
	va_end(args);
	printable(text);
	/* The same once more: of another architecture, or another call of the entry. */
	if (report->warnings_count > 1 && !strcmp(text, text - PROFILE_TEXT_MAX))
		report->warnings_count--;
}

int profile_compile(const char *json, size_t size, const struct profile_options *options,
		    struct hoody_table **table, struct profile_report *report)
{
	struct table_builder builder = { .report = report };
	int err;

	*table = NULL;
	memset(report, 0, sizeof(*report));
	if (!size)
		return profile_fail(report, -EINVAL, "$: the profile is empty");
	if (size > PROFILE_JSON_MAX)
		return profile_fail(report, -E2BIG, "$: the profile is longer than %d bytes",
				    PROFILE_JSON_MAX);
	err = table_action(&builder, HOODY_ACTION_ALLOW, 0);	/* number 0, always */
	if (err >= 0)
		err = parse_profile(json, size, options, &builder);
	if (!err)
		err = table_build(&builder, table);
	if (err == -ENOMEM)
		profile_fail(report, err, "$: no memory");
	free(builder.rules);
	return err;
}

static bool cond_holds(const struct hoody_table_cond *cond, uint64_t arg)
{
	arg &= cond->mask;
	switch (cond->op) {
	case HOODY_OP_EQ: return arg == cond->value;
	case HOODY_OP_NE: return arg != cond->value;
	case HOODY_OP_LT: return arg < cond->value;
	case HOODY_OP_LE: return arg <= cond->value;
	case HOODY_OP_GT: return arg > cond->value;
	default:	  return arg >= cond->value;
	}
}

uint32_t profile_decide(const struct hoody_table *table, enum hoody_arch arch, unsigned int nr,
			const uint64_t args[6])
{
	const struct hoody_table_cond *conds = (const void *)(table + 1);
	const struct hoody_table_check *checks = (const void *)(conds + table->conds);
	const struct hoody_table_rule *rules =
		(const void *)(checks + table->checks[0] + table->checks[1]);
	uint8_t decision = nr < HOODY_TABLE_CALLS ? table->decision[arch][nr] : table->beyond[arch];

	if (decision & HOODY_TABLE_CHECKED) {
		const struct hoody_table_check *check = &checks[decision & ~HOODY_TABLE_CHECKED];

		if (arch == HOODY_ARCH_IA32)
			check += table->checks[0];
		decision = check->otherwise;
		for (unsigned int i = 0; i < check->rules; i++) {
			const struct hoody_table_rule *rule = &rules[check->rule + i];
			unsigned int j = 0;

			while (j < rule->conds && cond_holds(&conds[rule->cond + j],
							     args[conds[rule->cond + j].arg]))
				j++;
			if (j == rule->conds) {
				decision = rule->action;
				break;
			}
		}
	}
	return table->action[decision].kind | (uint32_t)table->action[decision].error << 16;
}

void profile_essential(const struct hoody_table *table, struct profile_report *report)
{
	static const struct {
		int nr;
		const char *name;
	} calls[] = {
		{ SYS_execve, "execve" }, { SYS_mmap, "mmap" }, { SYS_mprotect, "mprotect" },
		{ SYS_munmap, "munmap" }, { SYS_brk, "brk" }, { SYS_read, "read" },
		{ SYS_write, "write" }, { SYS_close, "close" }, { SYS_openat, "openat" },
		{ SYS_newfstatat, "newfstatat" }, { SYS_arch_prctl, "arch_prctl" },
		{ SYS_clone, "clone" }, { SYS_wait4, "wait4" }, { SYS_futex, "futex" },
		{ SYS_rt_sigaction, "rt_sigaction" }, { SYS_rt_sigprocmask, "rt_sigprocmask" },
		{ SYS_rt_sigreturn, "rt_sigreturn" }, { SYS_restart_syscall, "restart_syscall" },
		{ SYS_set_tid_address, "set_tid_address" }, { SYS_exit, "exit" },
		{ SYS_exit_group, "exit_group" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (profile_refuses(table, HOODY_ARCH_X86_64, calls[i].nr))
			profile_warn(report, "%s is refused: hardly any program starts or ends "
				     "without it, the container's init may not run", calls[i].name);
}

/* Is the call refused, or does it depend on its arguments, which io_uring's are not? */
static bool refuses_some(const struct hoody_table *table, unsigned int nr)
{
	return profile_refuses(table, HOODY_ARCH_X86_64, nr) ||
	       table->decision[HOODY_ARCH_X86_64][nr] & HOODY_TABLE_CHECKED;
}

/* Through either entry: its number is the same on ia32, as that of every call since 424. */
static bool passes(const struct hoody_table *table, unsigned int nr)
{
	return !profile_refuses(table, HOODY_ARCH_X86_64, nr) ||
	       !profile_refuses(table, HOODY_ARCH_IA32, nr);
}

void profile_io_uring(const struct hoody_table *table, struct profile_report *report)
{
	/* What the operations of io_uring stand for, include/uapi/linux/io_uring.h. */
	static const struct {
		int nr;
		const char *name;
	} calls[] = {
		{ SYS_openat, "openat" }, { SYS_openat2, "openat2" }, { SYS_socket, "socket" },
		{ SYS_connect, "connect" }, { SYS_bind, "bind" }, { SYS_listen, "listen" },
		{ SYS_accept4, "accept4" }, { SYS_sendmsg, "sendmsg" }, { SYS_recvmsg, "recvmsg" },
		{ SYS_sendto, "sendto" }, { SYS_recvfrom, "recvfrom" },
		{ SYS_setsockopt, "setsockopt" }, { SYS_getsockopt, "getsockopt" },
		{ SYS_read, "read" }, { SYS_write, "write" }, { SYS_readv, "readv" }, { SYS_writev, "writev" },
		{ SYS_pread64, "pread64" }, { SYS_pwrite64, "pwrite64" }, { SYS_close, "close" },
		{ SYS_fsync, "fsync" }, { SYS_sync_file_range, "sync_file_range" },
		{ SYS_fadvise64, "fadvise64" }, { SYS_ioctl, "ioctl" }, { SYS_futex, "futex" },
		{ SYS_fallocate, "fallocate" }, { SYS_ftruncate, "ftruncate" },
		{ SYS_statx, "statx" }, { SYS_unlinkat, "unlinkat" },
		{ SYS_renameat2, "renameat2" }, { SYS_mkdirat, "mkdirat" },
		{ SYS_linkat, "linkat" }, { SYS_symlinkat, "symlinkat" },
		{ SYS_setxattr, "setxattr" }, { SYS_fsetxattr, "fsetxattr" },
		{ SYS_getxattr, "getxattr" }, { SYS_fgetxattr, "fgetxattr" },
		{ SYS_madvise, "madvise" }, { SYS_splice, "splice" }, { SYS_tee, "tee" },
		{ SYS_epoll_ctl, "epoll_ctl" }, { SYS_epoll_wait, "epoll_wait" },
		{ SYS_poll, "poll" }, { SYS_shutdown, "shutdown" },
		{ SYS_waitid, "waitid" }, { SYS_pipe2, "pipe2" },
	};
	const char *first = NULL;
	unsigned int count = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		if (!refuses_some(table, calls[i].nr))
			continue;
		first = first ?: calls[i].name;
		count++;
	}
	if (count && passes(table, SYS_io_uring_setup))
		profile_warn(report, "io_uring_setup is let through, and io_uring does what %s%s "
			     "without a call that the gate sees: refuse io_uring_setup too",
			     first, count > 1 ? " and others of the refused calls do" : " does");
	else if (count && passes(table, SYS_io_uring_enter))
		profile_warn(report, "io_uring_enter is let through: a ring that a task has when the "
			     "profile is attached goes on doing what %s%s: refuse it too",
			     first, count > 1 ? " and others of the refused calls do" : " does");
}

bool profile_refuses(const struct hoody_table *table, enum hoody_arch arch, unsigned int nr)
{
	uint8_t decision = nr < HOODY_TABLE_CALLS ? table->decision[arch][nr] : table->beyond[arch];

	return !(decision & HOODY_TABLE_CHECKED) &&
	       table->action[decision].kind > HOODY_ACTION_LOG;
}
