/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker takes from itself, see sandbox.h.
 */
#include "front/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/hoody.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/seal.h"

/* Everything that version @abi of Landlock can forbid and we never do. */
static void landlock_rights(struct landlock_ruleset_attr *attr, int abi)
{
	memset(attr, 0, sizeof(*attr));
	attr->handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (abi >= 2)
		attr->handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr->handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	/* Connecting is our job; the container's port may be any. */
	if (abi >= 4)
		attr->handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP;
	if (abi >= 5)
		attr->handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= 6)
		attr->scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
}

int sandbox_enter(void)
{
	struct landlock_ruleset_attr attr;
	int abi, ruleset, err = 0;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi <= 0) {
		log_warning("event=landlock_missing hint=\"boot with lsm=landlock,... to take the "
			    "file system from the worker; seccomp still forbids opening files\"");
		return 0;
	}
	landlock_rights(&attr, abi);
	ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0))
		err = -errno;
	close(ruleset);
	return err;
}

/* Allowed with any arguments. */
static const int allowed[] = {
	/* sockets that exist */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(accept4),
	SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(getsockopt),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* sealed files that came with a message */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(pread64),
	/* memory */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	/* threads that exist, time, randomness, the end */
	SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(gettid), SCMP_SYS(getpid),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const struct seal_option options[] = {
	{ SOL_IP, HOODY_SO_REALIP },
	{ SOL_IPV6, HOODY_SO_REALIP },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ SOL_SOCKET, SO_LINGER },
};

static int add_more(scmp_filter_ctx filter)
{
	/* One end goes to control: the way to its API. */
	const int ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2,
					 SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0),
					 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM));

	return ret ?: seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				       SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS, 0));
}

int sandbox_seal(void)
{
	return seal_process(&(const struct seal){
		.calls = allowed,
		.calls_count = sizeof(allowed) / sizeof(allowed[0]),
		.options = options,
		.options_count = sizeof(options) / sizeof(options[0]),
		.more = add_more,
	});
}
