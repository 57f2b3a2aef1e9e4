// SPDX-License-Identifier: Apache-2.0
/* What a process may ask the kernel for, see seal.h. */
#include "lib/seal.h"

#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int seal_process(const struct seal *seal)
{
	log_warning("event=unsealed hint=\"this is a sanitizer build\"");
	return 0;
}
#else
static int add_sockets(scmp_filter_ctx filter, const struct seal *seal)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(families) / sizeof(families[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				       SCMP_A0(SCMP_CMP_EQ, families[i], 0),
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM));
	for (size_t i = 0; !ret && i < seal->options_count; i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
				       SCMP_A1(SCMP_CMP_EQ, seal->options[i].level, 0),
				       SCMP_A2(SCMP_CMP_EQ, seal->options[i].name, 0));
	return ret;
}

static int add_common(scmp_filter_ctx filter)
{
	int ret;

	/* No memory ever becomes code. */
	ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* OpenSSL's socket BIO asks. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				       SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	return ret;
}

int seal_process(const struct seal *seal)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret;

	if (!filter)
		return -ENOMEM;
	ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; !ret && i < seal->calls_count; i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, seal->calls[i], 0);
	if (!ret)
		ret = add_sockets(filter, seal);
	if (!ret)
		ret = add_common(filter);
	if (!ret)
		ret = seal->more(filter);
	/* A tree instead of a list: every call of a request goes through it. */
	if (!ret)
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!ret)
		ret = seccomp_load(filter);
	seccomp_release(filter);
	return ret;
}
#endif /* not a sanitizer build */
