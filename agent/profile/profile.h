/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile compiler: a seccomp profile as OCI, Docker and Podman write it
 * (JSON) in, the kernel's decision table (struct hoody_table, see
 * <linux/hoody.h>) out. A pure function of its arguments: no file, no system
 * call, nothing kept. It trusts nothing in the text; what it does not
 * understand completely it refuses, with the JSON path.
 *
 * Where profiles leave room it does what runc with libseccomp does, so that the
 * gate and a real seccomp filter of the same profile agree; docs/syscalls.md
 * lists it.
 */
#ifndef HOODY_PROFILE_PROFILE_H
#define HOODY_PROFILE_PROFILE_H

#include <linux/hoody.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROFILE_JSON_MAX	(1024 * 1024)	/* bytes of text */
#define PROFILE_TEXT_MAX	256
#define PROFILE_WARNINGS_MAX	64

struct profile_options {
	const char *const *caps;	/* "CAP_..." of the container's bounding set; may be NULL */
	size_t		caps_count;
	unsigned int	kernel_major;	/* for minKernel */
	unsigned int	kernel_minor;
	bool		accepted;	/* once: what it says twice is no reason to refuse it */
};

struct profile_report {
	char		error[PROFILE_TEXT_MAX];	/* "$.path: what is wrong and what to do" */
	char		warnings[PROFILE_WARNINGS_MAX][PROFILE_TEXT_MAX];
	unsigned int	warnings_count;		/* those kept */
	unsigned int	warnings_dropped;	/* those that did not fit */
};

/*
 * profile_compile(): 0 and a table that the caller frees, or -EINVAL (the
 * profile; @report->error says why), -E2BIG (a bound of the table) or -ENOMEM.
 * @report is filled in either case.
 */
int profile_compile(const char *json, size_t size, const struct profile_options *options,
		    struct hoody_table **table, struct profile_report *report);

/* What @table says to a call: enum hoody_action | errno << 16. As the kernel does. */
uint32_t profile_decide(const struct hoody_table *table, enum hoody_arch arch, unsigned int nr,
			const uint64_t args[6]);

/*
 * profile_essential(): warns in @report about calls without which hardly any
 * program starts or ends (execve, mmap, exit_group, ...) and that @table refuses.
 */
void profile_essential(const struct hoody_table *table, struct profile_report *report);

/*
 * profile_io_uring(): warns in @report where @table refuses, always or for some
 * arguments, what io_uring does for a task without a system call of its own, and lets
 * io_uring_setup pass; or io_uring_enter, with which a task uses a ring that it has.
 */
void profile_io_uring(const struct hoody_table *table, struct profile_report *report);

/* Does @table refuse the call whatever its arguments are? */
bool profile_refuses(const struct hoody_table *table, enum hoody_arch arch, unsigned int nr);

enum profile_format {
	PROFILE_OCI,	/* JSON for a runtime: what capabilities and kernel leave of it, no more */
	PROFILE_LXC,	/* the policy file of lxc.seccomp.profile, version 2 */
};

/*
 * profile_export(): the same profile for a seccomp filter at container start, as
 * text that the caller frees. Decides as the table does, but for what LXC's format
 * cannot say: "log" is "allow" there, and both ways to kill are one. As
 * profile_compile().
 */
int profile_export(const char *json, size_t size, const struct profile_options *options,
		   enum profile_format format, char **text, struct profile_report *report);

/* The name of a call, at most @size bytes with its NUL; "#<number>" where it has none. */
void profile_call_name(enum hoody_arch arch, unsigned int nr, char *name, size_t size);

#endif /* HOODY_PROFILE_PROFILE_H */
