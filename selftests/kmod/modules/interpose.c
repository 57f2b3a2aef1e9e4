// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests: lets allocations of hoody.ko fail, one at a time, and keeps count of
 * those that live. Stock kernels have neither fault injection nor a leak detector;
 * this stands between the module as it is shipped and the functions that it calls.
 *
 * Only what the process named by "owner" causes, and what the module asks for, is
 * touched: the caller's name tells. Of memory that was given to it the address is
 * kept until that is freed, by whomever.
 *
 *	deep		1: also what it asks for by way of any function of the kernel
 *			(ftrace, kprobes, ...), which the stack tells
 *	workers		1: what the module's own worker causes, instead
 *	fail_at		writing n lets the n-th request from now fail; 0: none.
 *			Starts "requests" anew
 *	requests	since then
 *	live		allocations that have not been freed
 *	lost		that could not be kept account of: the figures are void
 */
#include <linux/ftrace.h>
#include <linux/hash.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rhashtable.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/ip6_route.h>
#include <net/route.h>

static int owner, deep, workers, fail_at, requests, live, lost;

/* They are read and set while others count: each access is marked as such. */
static int once_set(const char *text, const struct kernel_param *param)
{
	int value, err = kstrtoint(text, 0, &value);

	if (err)
		return err;
	if (param->arg == &fail_at)
		WRITE_ONCE(requests, 0);
	WRITE_ONCE(*(int *)param->arg, value);
	return 0;
}

static int once_get(char *text, const struct kernel_param *param)
{
	return scnprintf(text, PAGE_SIZE, "%d\n", READ_ONCE(*(int *)param->arg));
}

static const struct kernel_param_ops once_ops = { .set = once_set, .get = once_get };
module_param_cb(owner, &once_ops, &owner, 0444);
module_param_cb(deep, &once_ops, &deep, 0644);
module_param_cb(workers, &once_ops, &workers, 0644);
module_param_cb(fail_at, &once_ops, &fail_at, 0644);
module_param_cb(requests, &once_ops, &requests, 0444);
module_param_cb(live, &once_ops, &live, 0444);
module_param_cb(lost, &once_ops, &lost, 0444);

/* Addresses that are kept, in buckets. */
#define KEPT_BITS	10
#define KEPT_EACH	8

static void *kept[1 << KEPT_BITS][KEPT_EACH];	/* kept_lock */
static DEFINE_RAW_SPINLOCK(kept_lock);

static void notrace kept_add(void *object)
{
	void **bucket = kept[hash_ptr(object, KEPT_BITS)];
	unsigned long flags;
	int i;

	raw_spin_lock_irqsave(&kept_lock, flags);
	for (i = 0; i < KEPT_EACH && bucket[i]; i++)
		;
	if (i < KEPT_EACH)
		bucket[i] = object;
	if (i < KEPT_EACH)
		WRITE_ONCE(live, live + 1);
	else
		WRITE_ONCE(lost, lost + 1);
	raw_spin_unlock_irqrestore(&kept_lock, flags);
}

static void notrace kept_remove(void *object)
{
	void **bucket = kept[hash_ptr(object, KEPT_BITS)];
	unsigned long flags;

	if (!object)
		return;
	raw_spin_lock_irqsave(&kept_lock, flags);
	for (int i = 0; i < KEPT_EACH; i++)
		if (bucket[i] == object) {
			bucket[i] = NULL;
			WRITE_ONCE(live, live - 1);
			break;
		}
	raw_spin_unlock_irqrestore(&kept_lock, flags);
}

/* What stands in a function's place: up to six parameters are passed on as they came. */
#define A6	unsigned long a, unsigned long b, unsigned long c, unsigned long d, \
		unsigned long e, unsigned long f

/* Did the module ask by itself? Of the request that is on its way: there is one owner. */
static bool direct;

static unsigned long request(unsigned long (*real)(A6), unsigned long failure, bool memory, A6)
{
	bool account = direct && memory;
	int number = READ_ONCE(requests) + 1;
	unsigned long result;

	WRITE_ONCE(requests, number);
	if (number == READ_ONCE(fail_at))
		return failure;
	result = real(a, b, c, d, e, f);
	if (account && result)
		kept_add((void *)result);
	return result;
}

#define STAND_IN(name, failure, memory)						\
static unsigned long stand_in_##name(A6)					\
{										\
	return request((void *)name, (unsigned long)(failure), memory, a, b, c, d, e, f); \
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define WORKQUEUE	alloc_workqueue_noprof
#define RHASHTABLE	__rhashtable_init_noprof
#else
#define WORKQUEUE	alloc_workqueue
#define RHASHTABLE	rhashtable_init_noprof
#endif
/* Twice, so that the names above are the ones that are pasted. */
#define STAND_IN_FOR(name, failure, memory)	STAND_IN(name, failure, memory)

STAND_IN(__kmalloc_noprof, 0, true)
STAND_IN(__kmalloc_cache_noprof, 0, true)
STAND_IN(__kmalloc_large_noprof, 0, true)
STAND_IN(__kvmalloc_node_noprof, 0, true)
STAND_IN(pcpu_alloc_noprof, 0, true)
STAND_IN(__alloc_skb, 0, false)
STAND_IN(rt_dst_alloc, 0, false)
STAND_IN(ip6_dst_alloc, 0, false)
STAND_IN(register_kprobe, -ENOMEM, false)
STAND_IN(kmem_cache_alloc_noprof, 0, false)
STAND_IN(kmem_cache_alloc_lru_noprof, 0, false)
STAND_IN(rhashtable_insert_slow, -ENOMEM, false)
STAND_IN_FOR(WORKQUEUE, 0, false)
STAND_IN_FOR(RHASHTABLE, -ENOMEM, false)

#define PLACE(name)	{ (unsigned long)name, (unsigned long)stand_in_##name }
#define PLACE_OF(name)	PLACE(name)

static const struct {
	unsigned long	real, stand_in;
} places[] = {
	PLACE(__kmalloc_noprof), PLACE(__kmalloc_cache_noprof), PLACE(__kmalloc_large_noprof),
	PLACE(__kvmalloc_node_noprof), PLACE(pcpu_alloc_noprof), PLACE(__alloc_skb),
	PLACE(rt_dst_alloc), PLACE(ip6_dst_alloc), PLACE(register_kprobe),
	PLACE(kmem_cache_alloc_noprof), PLACE(kmem_cache_alloc_lru_noprof),
	PLACE(rhashtable_insert_slow), PLACE_OF(WORKQUEUE), PLACE_OF(RHASHTABLE),
};

/* ftrace's address of a function is behind an ENDBR, where it has one. */
#define ENTRY_BYTES	16

/* Functions of a call chain that are looked at. */
#define DEPTH	40

static bool notrace address_is_ours(unsigned long address)
{
	char name[KSYM_SYMBOL_LEN];

	if (address < MODULES_VADDR || address >= MODULES_END)
		return false;
	sprint_symbol(name, address);
	return strstr(name, "[hoody]");
}

/* Is the module among the callers? An xarray asks for its nodes by itself. */
static bool notrace chain_is_ours(unsigned long parent_ip)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned long entries[DEPTH];
	unsigned int count;

	if (!READ_ONCE(deep)) {
		sprint_symbol(name, parent_ip);
		return !strncmp(name, "xas_", 4) || !strncmp(name, "__xas_", 6);
	}
	count = stack_trace_save(entries, DEPTH, 0);
	for (unsigned int i = 0; i < count; i++)
		if (address_is_ours(entries[i]))
			return true;
	return false;
}

static void notrace on_request(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			       struct ftrace_regs *fregs)
{
	bool ours, by_worker = READ_ONCE(workers);

	if (by_worker ? !(current->flags & PF_KTHREAD) : current->pid != READ_ONCE(owner))
		return;
	/* What stands in for a function calls it. */
	if (in_interrupt() || within_module(parent_ip, THIS_MODULE))
		return;
	ours = address_is_ours(parent_ip);
	if (!ours && !chain_is_ours(parent_ip))
		return;
	direct = ours && !by_worker;
	for (int i = 0; i < ARRAY_SIZE(places); i++)
		if (ip - places[i].real < ENTRY_BYTES) {
			ftrace_regs_set_instruction_pointer(fregs, places[i].stand_in);
			return;
		}
}

static void notrace on_free(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    struct ftrace_regs *fregs)
{
	bool second = ip - (unsigned long)kvfree_call_rcu < ENTRY_BYTES;

	kept_remove((void *)ftrace_regs_get_argument(fregs, second));
}

static struct ftrace_ops request_ops = {
	.func	= on_request,
	.flags	= FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_RECURSION,
};
static struct ftrace_ops free_ops = {
	.func	= on_free,
	.flags	= FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_RECURSION,
};

static int __init interpose_init(void)
{
	static const unsigned long frees[] = {
		(unsigned long)kfree, (unsigned long)kvfree, (unsigned long)kvfree_call_rcu,
		(unsigned long)free_percpu,
	};
	int err;

	for (int i = 0; i < ARRAY_SIZE(frees); i++) {
		err = ftrace_set_filter_ip(&free_ops, frees[i], 0, 0);
		if (err) {
			pr_err("interpose: free %d cannot be hooked (%d)\n", i, err);
			goto err_filters;
		}
	}
	for (int i = 0; i < ARRAY_SIZE(places); i++) {
		err = ftrace_set_filter_ip(&request_ops, places[i].real, 0, 0);
		/* Not every kernel lets ftrace into every one: the test sees what is left. */
		if (err)
			pr_notice("interpose: place %d cannot be hooked (%d)\n", i, err);
	}
	err = register_ftrace_function(&free_ops);
	if (err)
		goto err_filters;
	err = register_ftrace_function(&request_ops);
	if (err)
		goto err_free;
	return 0;

err_free:
	unregister_ftrace_function(&free_ops);
err_filters:
	ftrace_free_filter(&request_ops);
	ftrace_free_filter(&free_ops);
	return err;
}

static void __exit interpose_exit(void)
{
	unregister_ftrace_function(&request_ops);
	unregister_ftrace_function(&free_ops);
	ftrace_free_filter(&request_ops);
	ftrace_free_filter(&free_ops);
}

module_init(interpose_init);
module_exit(interpose_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Failing allocations of hoody.ko, for tests");
