/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a process that reads foreign bytes: a list, beyond which it is
 * killed. Everything it needs is open before.
 */
#ifndef HOODY_LIB_SEAL_H
#define HOODY_LIB_SEAL_H

#include <seccomp.h>
#include <stddef.h>

struct seal_option {
	int	level, name;		/* of setsockopt(2) */
};

struct seal {
	const int			*calls;		/* allowed with any arguments */
	size_t				calls_count;
	const struct seal_option	*options;	/* those that may be set */
	size_t				options_count;
	/* Adds what is allowed with some arguments only. 0, or a negative errno. */
	int				(*more)(scmp_filter_ctx filter);
};

/*
 * seal_process(): for all threads that exist. Allowed besides are TCP sockets of IPv4 and IPv6,
 * memory that is not executable and asking for a descriptor's flags; opening a file is an
 * error (EACCES) and not the end, for libraries look for some. 0, or a negative errno and
 * nothing is taken. A sanitizer's run time needs what is forbidden: such a build, which is
 * never installed, says that it is not sealed.
 */
int seal_process(const struct seal *seal);

#endif /* HOODY_LIB_SEAL_H */
