// SPDX-License-Identifier: Apache-2.0
/*
 * The relay's system calls. It makes TCP and UDP sockets and pipes, and moves bytes; it
 * binds nothing, opens no file and starts no thread or process.
 */
#include "relay/relay.h"

#include "lib/seal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static const int allowed[] = {
	/* connections */
	SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
	SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(pipe2), SCMP_SYS(splice),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
	/* the sealed file of a policy */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(pread64),
	/* memory, time, randomness, the end */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const struct seal_option options[] = {
	{ IPPROTO_TCP, TCP_NODELAY },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_BINDTODEVICE },
};

static int add_more(scmp_filter_ctx filter)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(families) / sizeof(families[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				       SCMP_A0(SCMP_CMP_EQ, families[i], 0),
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	/* A DNS query and its session. */
	return ret ?: seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				       SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
}

int relay_seal(void)
{
	return seal_process(&(const struct seal){
		.calls = allowed,
		.calls_count = sizeof(allowed) / sizeof(allowed[0]),
		.options = options,
		.options_count = sizeof(options) / sizeof(options[0]),
		.more = add_more,
	});
}
