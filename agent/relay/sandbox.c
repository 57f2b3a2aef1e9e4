// SPDX-License-Identifier: Apache-2.0
/*
 * The relay's system calls. It makes TCP and UDP sockets and pipes, and moves bytes; it
 * binds nothing, opens no file and starts no thread or process.
 */
#include "relay/relay.h"

#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* Such a build is never installed, and its run time needs more. */
int relay_seal(void)
{
	log_warning("event=unsealed hint=\"this is a sanitizer build\"");
	return 0;
}
#else
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

static const struct {
	int	level, name;
} options[] = {
	{ IPPROTO_TCP, TCP_NODELAY },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_BINDTODEVICE },
};

static int add_checked(scmp_filter_ctx filter)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(families) / sizeof(families[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				       SCMP_A0(SCMP_CMP_EQ, families[i], 0),
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM)) ?:
		      seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				       SCMP_A0(SCMP_CMP_EQ, families[i], 0),
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	/* A DNS query and its session. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				       SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	for (size_t i = 0; !ret && i < sizeof(options) / sizeof(options[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
				       SCMP_A1(SCMP_CMP_EQ, options[i].level, 0),
				       SCMP_A2(SCMP_CMP_EQ, options[i].name, 0));
	/* No memory becomes code. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* Of OpenSSL's socket BIO. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				       SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	/* Libraries look for files now and then: an error to them, not an attack. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	return ret;
}

int relay_seal(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; !ret && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!ret)
		ret = add_checked(filter);
	if (!ret)
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!ret)
		ret = seccomp_load(filter);
	seccomp_release(filter);
	return ret;
}
#endif /* not a sanitizer build */
