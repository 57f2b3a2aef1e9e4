// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks on the entry functions of system calls: which function serves which
 * number, where it is, and how many containers want it hooked. There is one
 * ftrace_ops, and its functions are exactly those that somebody wants.
 *
 * Names come from the tables of the kernel that the module was built for.
 * Addresses are asked of a kprobe that is registered disabled and taken back
 * at once: nothing is called there, nothing is patched, and it knows what
 * ftrace's own look-up does not, functions with more than one name (a call
 * without parameters is one function for all architectures). See
 * docs/adr/0004-gate-addresses.md.
 *
 * Fail direction: a hook is in place before anything relies on it, and taken
 * out after nothing does; if it cannot be placed the caller fails.
 */
#include <linux/kprobes.h>
#include <linux/slab.h>

#include "gate.h"

/* Calls with parameters stand in the tables as functions of their own ABI. */
#define __SYSCALL_NORETURN __SYSCALL

#define __SYSCALL(nr, sym)			[nr] = "__x64_" #sym,
static const char *const x64_names[HOODY_TABLE_CALLS] = {
#include <asm/syscalls_64.h>
};
#undef __SYSCALL

#ifdef CONFIG_IA32_EMULATION
#define __SYSCALL(nr, sym)			[nr] = "__ia32_" #sym,
#define __SYSCALL_WITH_COMPAT(nr, sym, compat)	[nr] = "__ia32_" #compat,
static const char *const ia32_names[HOODY_TABLE_CALLS] = {
#include <asm/syscalls_32.h>
};
#undef __SYSCALL_WITH_COMPAT
#undef __SYSCALL
#else
static const char *const ia32_names[HOODY_TABLE_CALLS];
#endif

/*
 * x32 shares the functions of x86-64 but for these, which it numbers from 512
 * on; "first" is the 64-bit number (arch/x86/entry/syscalls/syscall_64.tbl,
 * frozen since 5.8).
 */
#define X32_FIRST	512

static const struct {
	u16		nr;
	const char	*name;
} x32_calls[] = {
	{ 13, "__x64_compat_sys_rt_sigaction" },
	{ 15, "__x64_compat_sys_x32_rt_sigreturn" },
	{ 16, "__x64_compat_sys_ioctl" },
	{ 19, NULL },				/* readv: the 64-bit function */
	{ 20, NULL },				/* writev */
	{ 45, "__x64_compat_sys_recvfrom" },
	{ 46, "__x64_compat_sys_sendmsg" },
	{ 47, "__x64_compat_sys_recvmsg" },
	{ 59, "__x64_compat_sys_execve" },
	{ 101, "__x64_compat_sys_ptrace" },
	{ 127, "__x64_compat_sys_rt_sigpending" },
	{ 128, "__x64_compat_sys_rt_sigtimedwait_time64" },
	{ 129, "__x64_compat_sys_rt_sigqueueinfo" },
	{ 131, "__x64_compat_sys_sigaltstack" },
	{ 222, "__x64_compat_sys_timer_create" },
	{ 244, "__x64_compat_sys_mq_notify" },
	{ 246, "__x64_compat_sys_kexec_load" },
	{ 247, "__x64_compat_sys_waitid" },
	{ 273, "__x64_compat_sys_set_robust_list" },
	{ 274, "__x64_compat_sys_get_robust_list" },
	{ 278, NULL },				/* vmsplice */
	{ 279, NULL },				/* move_pages */
	{ 295, "__x64_compat_sys_preadv64" },
	{ 296, "__x64_compat_sys_pwritev64" },
	{ 297, "__x64_compat_sys_rt_tgsigqueueinfo" },
	{ 299, "__x64_compat_sys_recvmmsg_time64" },
	{ 307, "__x64_compat_sys_sendmmsg" },
	{ 310, NULL },				/* process_vm_readv */
	{ 311, NULL },				/* process_vm_writev */
	{ 54, NULL },				/* setsockopt */
	{ 55, NULL },				/* getsockopt */
	{ 206, "__x64_compat_sys_io_setup" },
	{ 209, "__x64_compat_sys_io_submit" },
	{ 322, "__x64_compat_sys_execveat" },
	{ 327, "__x64_compat_sys_preadv64v2" },
	{ 328, "__x64_compat_sys_pwritev64v2" },
};

/* One function; x32's own ones come behind the two tables. */
struct gate_function {
	unsigned long	addr;		/* 0: not looked up yet */
	bool		hooked;
};

#define GATE_FUNCTIONS	(GATE_CALLS + ARRAY_SIZE(x32_calls))

static struct gate_function functions[GATE_CALLS + ARRAY_SIZE(x32_calls)];
static u32 users_of[GATE_CALLS];	/* containers that want the call hooked */
static DECLARE_BITMAP(wanted, GATE_CALLS);	/* those with users: all of them are hooked */
static u32 hooked;			/* functions with .hooked, aliases once */
static bool registered;

/*
 * PERMANENT: ftrace cannot be switched off under us. Not RECURSION: that would
 * leave calls out while another tracer is at work in the same context; the
 * callback enters no function that it hooks.
 */
static struct ftrace_ops gate_ops = {
	.func	= gate_hook,
	.flags	= FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT,
};

unsigned int gate_calls_x32(unsigned int nr)
{
	if (nr - X32_FIRST < ARRAY_SIZE(x32_calls))
		return x32_calls[nr - X32_FIRST].nr;
	return nr;
}

/* NULL: a number without a function, or one that only says ENOSYS. */
static const char *function_name(unsigned int function)
{
	const char *name;

	if (function >= GATE_CALLS)
		return x32_calls[function - GATE_CALLS].name;
	if (function < HOODY_TABLE_CALLS)
		name = x64_names[function];
	else
		name = ia32_names[function - HOODY_TABLE_CALLS];
	if (name && !strcmp(strchr(name + 2, '_'), "_sys_ni_syscall"))
		return NULL;
	return name;
}

/* Is @function wanted by a call with users, or by one of @calls (may be NULL)? */
static bool function_wanted(unsigned int function, const unsigned long *calls)
{
	unsigned int call = function < GATE_CALLS ? function :
			    gate_call(HOODY_ARCH_X86_64, x32_calls[function - GATE_CALLS].nr);

	return users_of[call] || (calls && test_bit(call, calls));
}

/*
 * Looks up the addresses of what @calls want and nobody wanted before. All in
 * one go, because taking a kprobe back waits for a grace period.
 */
static int functions_resolve(const unsigned long *calls, struct netlink_ext_ack *extack)
{
	unsigned int function, count = 0;
	struct kprobe *probes, **list;
	int err = -ENOMEM;

	probes = kvcalloc(GATE_FUNCTIONS, sizeof(*probes), GFP_KERNEL);
	list = kvcalloc(GATE_FUNCTIONS, sizeof(*list), GFP_KERNEL);
	if (!probes || !list)
		goto out;
	err = 0;
	for (function = 0; function < GATE_FUNCTIONS && !err; function++) {
		struct kprobe *probe = &probes[count];

		if (functions[function].addr || !function_name(function) ||
		    !function_wanted(function, calls))
			continue;
		probe->symbol_name = function_name(function);
		probe->flags = KPROBE_FLAG_DISABLED;
		err = register_kprobe(probe);
		if (err) {
			NL_SET_ERR_MSG_FMT(extack, "%s: not found in this kernel (%d)",
					   function_name(function), err);
			continue;
		}
		functions[function].addr = (unsigned long)probe->addr;
		list[count++] = probe;
	}
	unregister_kprobes(list, count);
out:
	kvfree(list);
	kvfree(probes);
	return err;
}

/* Is a function that @calls want without an address yet? */
static bool functions_unknown(const unsigned long *calls)
{
	for (unsigned int i = 0; i < GATE_FUNCTIONS; i++)
		if (!functions[i].addr && function_wanted(i, calls) && function_name(i))
			return true;
	return false;
}

/* Another number may have the same function: fcntl of ia32, getpid of both. */
static bool addr_hooked(unsigned long addr)
{
	for (unsigned int i = 0; i < GATE_FUNCTIONS; i++)
		if (functions[i].hooked && functions[i].addr == addr)
			return true;
	return false;
}

static bool addr_wanted(unsigned long addr)
{
	for (unsigned int i = 0; i < GATE_FUNCTIONS; i++)
		if (functions[i].hooked && functions[i].addr == addr && function_wanted(i, NULL))
			return true;
	return false;
}

/*
 * Adds @count functions to the hooked ones, in one pass of patching. The first
 * ones replace the filter that the last use has left.
 */
static int hooks_place(unsigned long *addrs, unsigned int count)
{
	int err;

	err = ftrace_set_filter_ips(&gate_ops, addrs, count, 0, registered ? 0 : 1);
	if (err || registered)
		return err;
	err = register_ftrace_function(&gate_ops);
	registered = !err;
	return err;
}

static void hooks_remove(unsigned long *addrs, unsigned int count)
{
	int err;

	if (!count)
		return;
	/* A filter without functions would mean all of them. */
	if (count == hooked) {
		err = unregister_ftrace_function(&gate_ops);
		registered = err;
	} else {
		err = ftrace_set_filter_ips(&gate_ops, addrs, count, 1, 0);
	}
	if (err)	/* no memory: they stay hooked, and are counted so */
		return;
	hooked -= count;
	for (unsigned int i = 0; i < GATE_FUNCTIONS; i++)
		if (functions[i].hooked && !function_wanted(i, NULL))
			functions[i].hooked = false;
}

/*
 * A whole batch failed: tells which function it was by placing them one after
 * the other, up to the first that fails, and takes them out again.
 */
static void hooks_blame(const unsigned int *which, unsigned long *addrs, unsigned int count,
			int err, struct netlink_ext_ack *extack)
{
	for (unsigned int i = 0; i < count; i++) {
		struct ftrace_ops probe = {
			.func	= gate_hook,
			.flags	= gate_ops.flags & (FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_IPMODIFY |
						    FTRACE_OPS_FL_PERMANENT),
		};
		int single = ftrace_set_filter_ips(&probe, &addrs[i], 1, 0, 1);

		if (!single) {
			single = register_ftrace_function(&probe);
			if (!single)
				unregister_ftrace_function(&probe);
			ftrace_free_filter(&probe);
		}
		if (!single)
			continue;
		NL_SET_ERR_MSG_FMT(extack, "%s: %s", function_name(which[i]), single == -EBUSY ?
				   "already redirected by another user of ftrace" :
				   single == -ENOMEM ? "no memory to hook it" :
				   "ftrace cannot hook it");
		return;
	}
	/* Memory that lacked, and is there again: it was none of them by itself. */
	NL_SET_ERR_MSG_FMT(extack, "%s and %u more: not hooked (%d)", function_name(which[0]),
			   count - 1, err);
}

static void users_add(const unsigned long *calls, u32 users)
{
	unsigned int call;

	for_each_set_bit(call, calls, GATE_CALLS)
		users_of[call] += users;
	bitmap_or(wanted, wanted, calls, GATE_CALLS);
}

/* Are there calls that nobody wants any more? */
static bool users_remove(const unsigned long *calls, u32 users)
{
	unsigned int call;
	bool last = false;

	for_each_set_bit(call, calls, GATE_CALLS) {
		users_of[call] -= users;
		if (!users_of[call]) {
			__clear_bit(call, wanted);
			last = true;
		}
	}
	return last;
}

/*
 * gate_calls_get() - @users more containers want @calls hooked. On 0 they are,
 * and stay so until gate_calls_put(). Otherwise nothing changed, and @extack
 * names the function that was the reason.
 */
int gate_calls_get(const unsigned long *calls, u32 users, struct netlink_ext_ack *extack)
{
	unsigned int *which, function, count = 0, i;
	unsigned long *addrs;
	int err = -ENOMEM;

	lockdep_assert_held(&gate_lock);
	if (!users)
		return 0;
	/* What attaching comes to on a host with containers like this one. */
	if (bitmap_subset(calls, wanted, GATE_CALLS)) {
		users_add(calls, users);
		return 0;
	}
	if (functions_unknown(calls)) {
		err = functions_resolve(calls, extack);
		if (err)
			return err;
	}
	err = -ENOMEM;
	which = kvcalloc(GATE_FUNCTIONS, sizeof(*which), GFP_KERNEL);
	addrs = kvcalloc(GATE_FUNCTIONS, sizeof(*addrs), GFP_KERNEL);
	if (!which || !addrs)
		goto out;
	for (function = 0; function < GATE_FUNCTIONS; function++) {
		if (functions[function].hooked || !function_name(function) ||
		    !function_wanted(function, calls))
			continue;
		for (i = 0; i < count && addrs[i] != functions[function].addr; i++)
			;
		if (i < count || addr_hooked(functions[function].addr))
			continue;
		which[count] = function;
		addrs[count++] = functions[function].addr;
	}
	err = count ? hooks_place(addrs, count) : 0;
	if (err) {
		hooks_blame(which, addrs, count, err, extack);
		goto out;
	}
	hooked += count;
	for (function = 0; function < GATE_FUNCTIONS; function++)
		if (function_name(function) && function_wanted(function, calls))
			functions[function].hooked = true;
	users_add(calls, users);
out:
	kvfree(addrs);
	kvfree(which);
	return err;
}

/* gate_calls_put() - undoes gate_calls_get(). Where memory lacks, hooks stay. */
void gate_calls_put(const unsigned long *calls, u32 users)
{
	unsigned int function, count = 0, i;
	unsigned long *addrs;

	lockdep_assert_held(&gate_lock);
	if (!users || !users_remove(calls, users))
		return;
	addrs = kvcalloc(GATE_FUNCTIONS, sizeof(*addrs), GFP_KERNEL);
	if (!addrs)
		return;
	for (function = 0; function < GATE_FUNCTIONS; function++) {
		unsigned long addr = functions[function].addr;

		if (!functions[function].hooked || function_wanted(function, NULL) ||
		    addr_wanted(addr))
			continue;
		for (i = 0; i < count && addrs[i] != addr; i++)
			;
		if (i == count)
			addrs[count++] = addr;
	}
	hooks_remove(addrs, count);
	kvfree(addrs);
}

u32 gate_calls_hooked(void)
{
	return READ_ONCE(hooked);
}

/*
 * At unload. Members hold the module, so that nothing is wanted any more; what
 * is hooked still is what no memory could be had for to take it out. ftrace
 * waits for tasks that are in the callback or were sent on by it; a second
 * grace period of RCU tasks, in which each of them schedules, says so here.
 */
void gate_calls_exit(void)
{
	if (registered)
		unregister_ftrace_function(&gate_ops);
	/* Once and here only: 6.12 leaves the freed filter in the ops. */
	ftrace_free_filter(&gate_ops);
	synchronize_rcu_tasks();
}
