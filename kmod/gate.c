// SPDX-License-Identifier: GPL-2.0-only
/*
 * The syscall gate: whose call is it, and what becomes of it.
 *
 *	task enters a hooked function -> gate_hook()
 *	   no member above its cgroup  -> goes on as if nothing were there
 *	   allowed                     -> goes on
 *	   log, or learn mode          -> counted, reported, goes on
 *	   refused                     -> counted, reported, sent to gate_refused(),
 *	                                  which returns in the function's place
 *
 * Fail direction: a task below a member's cgroup is decided by the table that
 * is published at that moment, and what cannot be decided is refused. A member
 * is published after its hooks are in place and unpublished before they go.
 */
#include <linux/cgroup.h>
#include <linux/hash.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/syscall.h>

#include "gate.h"

#define GATE_BITS	10

/* The address that vsyscalls are called at, and what its three slots are. */
#define VSYSCALL_PAGE	0xffffffffff600000UL

/* Members, profiles and the hooks that are placed for them. */
DEFINE_MUTEX(gate_lock);

static struct hlist_head members[1 << GATE_BITS];	/* writers: gate_lock; readers: RCU */
/*
 * Levels of the cgroup tree that have members, one bit each, the last one for
 * itself and everything below: spares most look-ups. Readers: any time.
 */
static unsigned long member_levels;
static u32 level_count[BITS_PER_LONG];			/* gate_lock */

static __always_inline struct hlist_head *member_bucket(const struct cgroup *cgroup)
{
	return &members[hash_ptr(cgroup, GATE_BITS)];
}

static unsigned int level_bit(unsigned int level)
{
	return min_t(unsigned int, level, BITS_PER_LONG - 1);
}

/*
 * Which call is it? The number is the one that the kernel dispatched: tracers
 * and seccomp have had their turn. A vsyscall is emulated by calling the
 * function with no number at all, and is told by its address. U32_MAX where
 * nothing fits, which every profile decides as a number past its table.
 */
static unsigned int call_number(const struct pt_regs *regs, unsigned int *arch)
{
	static const u16 vsyscalls[] = { __NR_gettimeofday, __NR_time, __NR_getcpu };
	unsigned int nr = regs->orig_ax, slot;

	*arch = HOODY_ARCH_X86_64;
	if (syscall_get_arch(current) == AUDIT_ARCH_I386) {
		*arch = HOODY_ARCH_IA32;
		return nr;
	}
	if (nr == U32_MAX) {
		slot = (regs->ip >> 10) & 3;
		if ((regs->ip & ~0xc00UL) == VSYSCALL_PAGE && slot < ARRAY_SIZE(vsyscalls))
			return vsyscalls[slot];
		return nr;
	}
#ifdef CONFIG_X86_X32_ABI
	if (nr & __X32_SYSCALL_BIT)
		return gate_calls_x32(nr & ~__X32_SYSCALL_BIT);
#endif
	return nr;
}

/* Where the arguments of a call lie; those of ia32 are 32 bits wide. */
#define ARG(reg)	offsetof(struct pt_regs, reg)
static const u8 arg_offsets[HOODY_ARCHS][6] = {
	{ ARG(di), ARG(si), ARG(dx), ARG(r10), ARG(r8), ARG(r9) },
	{ ARG(bx), ARG(cx), ARG(dx), ARG(si), ARG(di), ARG(bp) },
};
#undef ARG

unsigned int gate_arg_offset(unsigned int arch, unsigned int arg)
{
	return arg_offsets[arch][arg];
}

void gate_call_args(const struct pt_regs *regs, unsigned int arch, u64 *args)
{
	for (unsigned int i = 0; i < 6; i++) {
		args[i] = *(const unsigned long *)((const u8 *)regs + arg_offsets[arch][i]);
		if (arch == HOODY_ARCH_IA32)
			args[i] = (u32)args[i];
	}
}

static __always_inline u8 check_decide(const struct gate_check *check, const struct pt_regs *regs)
{
	const struct gate_cond *cond = check->first, *end = check->end;

	while (cond < end) {
		u64 arg = *(const unsigned long *)((const u8 *)regs + cond->offset);

		if ((arg & cond->mask) - cond->low > cond->span)
			cond += cond->rest;
		else if (!cond->rest)
			return cond->action;
		cond++;
	}
	return check->otherwise;
}

/* The index of the action that the profile has for a call with these registers. */
static u8 table_decide(const struct gate_table *table, unsigned int arch, unsigned int nr,
		       const struct pt_regs *regs)
{
	const struct hoody_table *head = &table->head;
	u8 decision;

	decision = nr < HOODY_TABLE_CALLS ? head->decision[arch][nr] : head->beyond[arch];
	if (!(decision & HOODY_TABLE_CHECKED))
		return decision;
	return check_decide(&table->checks[arch][decision & ~HOODY_TABLE_CHECKED], regs);
}

static bool verdict_refuses(u32 verdict)
{
	return (verdict & 0xffff) > HOODY_ACTION_LOG;
}

/* What @member's profile says; tells about it where that is not a plain yes. */
static u32 member_decide(struct gate_member *member, const struct pt_regs *regs)
{
	const struct gate_table *table = rcu_dereference_sched(member->profile->table);
	unsigned int arch, nr = call_number(regs, &arch);
	u8 action = table_decide(table, arch, nr, regs);
	u32 verdict;

	/* Action 0 is "allow" in every table. */
	if (likely(!action))
		return HOODY_ACTION_ALLOW;
	verdict = gate_verdict(&table->head.action[action]);
	if (verdict == HOODY_ACTION_ALLOW)
		return HOODY_ACTION_ALLOW;
	gate_event_report(member, arch, nr, regs, verdict);
	if (!verdict_refuses(verdict) || member->mode == HOODY_GATE_LEARN)
		return HOODY_ACTION_ALLOW;
	return verdict;
}

/*
 * Of all members above a task's cgroup the outermost that refuses has the word.
 * Not inlined: its registers would have to be saved for every call that passes.
 */
static noinline u32 task_decide(const struct pt_regs *regs)
{
	struct cgroup *cgroup = task_dfl_cgroup(current);
	unsigned long levels = READ_ONCE(member_levels) & GENMASK(level_bit(cgroup->level), 0);
	struct gate_member *member;
	u32 verdict;

	while (levels) {
		int level = __ffs(levels);
		int last = level == BITS_PER_LONG - 1 ? cgroup->level : level;

		levels &= levels - 1;
		for (; level <= last; level++) {
			struct cgroup *above = cgroup->ancestors[level];

			hlist_for_each_entry_rcu(member, member_bucket(above), node,
						 rcu_read_lock_sched_held()) {
				if (member->cgroup != above)
					continue;
				verdict = member_decide(member, regs);
				if (verdict != HOODY_ACTION_ALLOW)
					return verdict;
			}
		}
	}
	return HOODY_ACTION_ALLOW;
}

/*
 * Is this an ordinary call that @member's profile plainly allows? Where it is not,
 * task_decide() finds out, also whether it is allowed all the same.
 */
static __always_inline bool member_passes(const struct gate_member *member,
					  const struct pt_regs *regs)
{
	const struct gate_table *table = rcu_dereference_sched(member->profile->table);
	/* One row behind the other: the compiler's check of two bounds is one of ours. */
	const u8 *decisions = (const u8 *)table->head.decision;
	unsigned int nr = regs->orig_ax;
	struct gate_check *const *checks = table->checks;
	u8 decision;

	if (unlikely(nr >= HOODY_TABLE_CALLS))
		return false;
	if (unlikely(syscall_get_arch(current) == AUDIT_ARCH_I386)) {
		decisions += HOODY_TABLE_CALLS;
		checks++;
	}
	decision = decisions[nr];
	if (decision & HOODY_TABLE_CHECKED)
		decision = check_decide(*checks + (decision & ~HOODY_TABLE_CHECKED), regs);
	return !decision;
}

/*
 * Does the call pass by all members above the task's cgroup? The same question as
 * task_decide()'s, for the answer that nearly all calls get: nothing is called here,
 * so that nothing has to be saved.
 */
static __always_inline bool task_passes(const struct pt_regs *regs)
{
	const struct cgroup *cgroup = task_dfl_cgroup(current);
	unsigned long levels = READ_ONCE(member_levels);
	const struct gate_member *member;

	if (unlikely(cgroup->level >= BITS_PER_LONG - 1))
		return !levels;
	for (levels &= (2UL << cgroup->level) - 1; levels; levels &= levels - 1) {
		const struct cgroup *above = cgroup->ancestors[__ffs(levels)];

		hlist_for_each_entry_rcu(member, member_bucket(above), node,
					 rcu_read_lock_sched_held())
			if (member->cgroup == above && !member_passes(member, regs))
				return false;
	}
	return true;
}

/*
 * SIGSYS for the call, as seccomp has it. Nothing that forces a signal with its
 * details is exported: what forcing means is done here. With @fatal nothing can
 * catch it, a tracer neither, and the container's init dies of it as well.
 */
static void signal_send(const struct pt_regs *regs, unsigned int error, bool fatal)
{
	/* A task's own signal handlers do not go away under it. */
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);
	struct k_sigaction *action = &sighand->action[SIGSYS - 1];
	struct kernel_siginfo info;

	spin_lock_irq(&sighand->siglock);
	if (fatal || action->sa.sa_handler == SIG_IGN ||
	    sigismember(&current->blocked, SIGSYS)) {
		action->sa.sa_handler = SIG_DFL;
		sigdelset(&current->blocked, SIGSYS);
	}
	if (fatal)
		action->sa.sa_flags |= SA_IMMUTABLE;
	if (action->sa.sa_handler == SIG_DFL && (fatal || !current->ptrace))
		current->signal->flags &= ~SIGNAL_UNKILLABLE;
	spin_unlock_irq(&sighand->siglock);

	clear_siginfo(&info);
	info.si_signo = SIGSYS;
	info.si_code = SYS_SECCOMP;
	info.si_errno = error;
	info.si_call_addr = (void __user *)regs->ip;
	info.si_syscall = regs->orig_ax;
	info.si_arch = syscall_get_arch(current);
	send_sig_info(SIGSYS, &info, current);
}

/*
 * Runs in the place of a refused call, in its task, with the verdict where the
 * call's result will be. Nothing comes in a register: a BPF program that traces the
 * same function runs in between, and leaves of them what it thinks are the
 * function's parameters. Never sleeps, so that a grace period of RCU tasks covers
 * it at unload.
 */
static noinline long gate_refused(void)
{
	const struct pt_regs *regs = task_pt_regs(current);
	unsigned long verdict = regs->ax;
	unsigned int error = verdict >> 16;

	switch (verdict & 0xffff) {
	case HOODY_ACTION_TRAP:
		signal_send(regs, error, false);
		/* As seccomp: the handler finds the number, and may put a result there. */
		return regs->orig_ax;
	case HOODY_ACTION_KILL_THREAD:
	case HOODY_ACTION_KILL_PROCESS:
		signal_send(regs, 0, true);
		return -EPERM;
	default:
		return -(long)error;
	}
}

/*
 * ftrace's callback: at the first instruction of a hooked function, in the
 * context of the calling task. The function's one parameter, the registers of
 * the user, is where its first parameter goes.
 */
void gate_hook(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
	       struct ftrace_regs *fregs)
{
	const struct pt_regs *regs = (const struct pt_regs *)arch_ftrace_regs(fregs)->regs.di;
	u32 verdict;

	/* A read side of RCU like rcu_read_lock(), and in two instructions. */
	preempt_disable_notrace();
	if (likely(task_passes(regs))) {
		preempt_enable_notrace();
		return;
	}
	verdict = task_decide(regs);
	preempt_enable_notrace();
	if (verdict == HOODY_ACTION_ALLOW)
		return;
	/* Nobody reads it before the call's result is written there. */
	task_pt_regs(current)->ax = verdict;
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)gate_refused);
}

static void member_free(struct rcu_head *rcu)
{
	struct gate_member *member = container_of(rcu, struct gate_member, rcu);

	cgroup_put(member->cgroup);
	if (member->counts && refcount_dec_and_test(&member->counts->refs))
		kvfree(member->counts);
	kfree(member);
}

static struct cgroup *member_cgroup(u64 id, struct netlink_ext_ack *extack)
{
	struct cgroup *cgroup = cgroup_get_from_id(id);

	if (IS_ERR(cgroup)) {
		NL_SET_ERR_MSG(extack, "no cgroup (v2) has this id");
		return ERR_PTR(-ENOENT);
	}
	if (!cgroup_parent(cgroup)) {
		cgroup_put(cgroup);
		NL_SET_ERR_MSG(extack, "the root cgroup can have no profile: the host is in it");
		return ERR_PTR(-EINVAL);
	}
	return cgroup;
}

/*
 * hoody_gate_create() - everything that attaching @profile to the container @id
 * needs, hooks included, but nothing decides by it before hoody_gate_switch().
 * An ERR_PTR says in @extack why not. Under hoody_net.lock.
 */
struct gate_member *hoody_gate_create(struct hoody_registry *registry, const u8 *id,
				      const char *name, u32 mode, u64 cgroup,
				      struct netlink_ext_ack *extack)
{
	struct hoody_profile *profile = hoody_profile_find(registry, name);
	struct gate_member *member;
	struct gate_table *table;
	int err;

	if (!profile) {
		NL_SET_ERR_MSG(extack, "no such profile");
		return ERR_PTR(-ENOENT);
	}
	member = kzalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);
	if (!member)
		return ERR_PTR(-ENOMEM);
	member->cgroup = member_cgroup(cgroup, extack);
	if (IS_ERR(member->cgroup)) {
		err = PTR_ERR(member->cgroup);
		goto err_free;
	}
	err = -ENOMEM;
	member->counts = kvzalloc(sizeof(*member->counts), GFP_KERNEL_ACCOUNT);
	if (!member->counts)
		goto err_cgroup;
	refcount_set(&member->counts->refs, 1);
	memcpy(member->id, id, HOODY_ID_LEN);
	member->registry = registry;
	member->profile = profile;
	member->mode = mode;
	mutex_lock(&gate_lock);
	table = rcu_dereference_protected(profile->table, lockdep_is_held(&gate_lock));
	err = gate_calls_get(table->restricted, 1, extack);
	if (!err)
		profile->users++;
	mutex_unlock(&gate_lock);
	if (err)
		goto err_counts;
	registry->gated = true;
	/* While a profile holds for anyone, nobody takes the gate away. */
	__module_get(THIS_MODULE);
	return member;

err_counts:
	kvfree(member->counts);
err_cgroup:
	cgroup_put(member->cgroup);
err_free:
	kfree(member);
	return ERR_PTR(err);
}

/* Gives up what hoody_gate_create() got, hooks included. Under gate_lock. */
static void member_release(struct gate_member *member)
{
	struct hoody_profile *profile = member->profile;
	struct gate_table *table;

	table = rcu_dereference_protected(profile->table, lockdep_is_held(&gate_lock));
	gate_calls_put(table->restricted, 1);
	profile->users--;
	call_rcu(&member->rcu, member_free);
	module_put(THIS_MODULE);
}

/* A member that was never published. NULL is nothing. */
void hoody_gate_discard(struct gate_member *member)
{
	if (!member)
		return;
	mutex_lock(&gate_lock);
	member_release(member);
	mutex_unlock(&gate_lock);
}

static void level_add(const struct cgroup *cgroup, int n)
{
	unsigned int bit = level_bit(cgroup->level);

	level_count[bit] += n;
	if (level_count[bit])
		WRITE_ONCE(member_levels, member_levels | BIT(bit));
	else
		WRITE_ONCE(member_levels, member_levels & ~BIT(bit));
}

/*
 * hoody_gate_switch() - a container's member is @after instead of @before,
 * either of which may be NULL. Cannot fail. A task is decided by one of them
 * or, where the cgroup changes, for a moment by both; never by neither.
 */
void hoody_gate_switch(struct gate_member *before, struct gate_member *after)
{
	if (!before && !after)
		return;
	mutex_lock(&gate_lock);
	if (before && after) {
		struct gate_counts *fresh = after->counts;

		after->counts = before->counts;
		refcount_inc(&after->counts->refs);
		kvfree(fresh);
	}
	if (after)
		level_add(after->cgroup, 1);
	if (before && after && before->cgroup == after->cgroup) {
		hlist_replace_rcu(&before->node, &after->node);
	} else {
		if (after)
			hlist_add_head_rcu(&after->node, member_bucket(after->cgroup));
		if (before)
			hlist_del_rcu(&before->node);
	}
	if (before) {
		level_add(before->cgroup, -1);
		member_release(before);
	}
	mutex_unlock(&gate_lock);
}

const char *hoody_gate_profile(const struct gate_member *member, u32 *mode)
{
	*mode = member->mode;
	return member->profile->name;
}

u64 hoody_gate_count(const struct gate_member *member, unsigned int call)
{
	return call < GATE_CALLS ? atomic64_read(&member->counts->calls[call]) : 0;
}

/* The namespace has gone: nobody may still report to its registry. */
void hoody_gate_registry_exit(struct hoody_registry *registry)
{
	if (registry->gated) {
		synchronize_rcu();
		gate_event_flush();
	}
	hoody_profile_free_all(registry);
}

u32 hoody_gate_hooked(void)
{
	return gate_calls_hooked();
}

void hoody_gate_exit(void)
{
	mutex_lock(&gate_lock);
	gate_calls_exit();
	mutex_unlock(&gate_lock);
	gate_event_flush();
}
