// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests of the tests: does what a kernel with checks must report, one fault for
 * each loading. A check that is missing, or has switched itself off, finds nothing in
 * the module either; this one it has to find.
 *
 *	fault		write-after-free, past-the-end, double-free, leak, warning: what
 *			a kernel as it is shipped finds when it is told to;
 *			read-after-free, sleep, rcu, deadlock, shift, object: what the
 *			debug kernel finds besides; race: what the one for races finds
 */
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

#define SIZE	90

static char *fault = "";
module_param(fault, charp, 0444);

static struct kmem_cache *cache;

static noinline void fault_read_after_free(void)
{
	u8 *object = kmem_cache_alloc(cache, GFP_KERNEL), *alias = object;

	/* The compiler is not to know that they are the same. */
	OPTIMIZER_HIDE_VAR(alias);
	if (!object)
		return;
	kmem_cache_free(cache, object);
	READ_ONCE(alias[8]);
}

/* Seen when the object is given out again. */
static noinline void fault_write_after_free(void)
{
	u8 *object = kmem_cache_alloc(cache, GFP_KERNEL), *alias = object;

	OPTIMIZER_HIDE_VAR(alias);
	if (!object)
		return;
	kmem_cache_free(cache, object);
	WRITE_ONCE(alias[48], 1);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	if (object)
		kmem_cache_free(cache, object);
}

static noinline void fault_past_the_end(void)
{
	u8 *object = kmem_cache_alloc(cache, GFP_KERNEL);
	size_t at = SIZE;

	OPTIMIZER_HIDE_VAR(at);
	if (!object)
		return;
	WRITE_ONCE(object[at], 1);
	kmem_cache_free(cache, object);
}

static noinline void fault_double_free(void)
{
	u8 *object = kmem_cache_alloc(cache, GFP_KERNEL), *alias = object;

	OPTIMIZER_HIDE_VAR(alias);
	if (!object)
		return;
	kmem_cache_free(cache, object);
	kmem_cache_free(cache, alias);
}

static noinline void fault_leak(void)
{
	void *object = kmalloc(SIZE, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(object);
}

static noinline void fault_warning(void)
{
	WARN(1, "faulty: as it was told to\n");
}

/* They protect nothing: taken in both orders, they are a fault. */
static DEFINE_SPINLOCK(lock_a);
static DEFINE_SPINLOCK(lock_b);

static noinline void fault_sleep(void)
{
	spin_lock(&lock_a);
	might_sleep();
	spin_unlock(&lock_a);
}

static int value;
static int __rcu *pointer = (int __rcu *)&value;

static noinline void fault_rcu(void)
{
	pr_info("faulty: %d\n", *rcu_dereference(pointer));
}

/* The two locks in both orders: by one task, so that nothing hangs. */
static noinline void fault_deadlock(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);
	spin_lock(&lock_b);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

static noinline void fault_shift(void)
{
	int bits = 40;

	OPTIMIZER_HIDE_VAR(bits);
	value = 1 << bits;
}

static void timer_never(struct timer_list *timer)
{
}

/* Memory is freed with a timer in it that runs. */
static noinline void fault_object(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return;
	timer_setup(timer, timer_never, 0);
	mod_timer(timer, jiffies + 3600 * HZ);
	kfree(timer);
}

static int shared;

static noinline int race_write(void *unused)
{
	while (!kthread_should_stop()) {
		shared++;
		cond_resched();
	}
	return 0;
}

/* A second task counts what we count, with nothing between us, for ten seconds. */
static noinline void fault_race(void)
{
	unsigned long end = jiffies + 10 * HZ;
	struct task_struct *task = kthread_run(race_write, NULL, "faulty");

	if (IS_ERR(task))
		return;
	while (time_before(jiffies, end)) {
		shared++;
		cond_resched();
	}
	kthread_stop(task);
}

static const struct {
	const char	*name;
	void		(*commit)(void);
} faults[] = {
	{ "race", fault_race },
	{ "read-after-free", fault_read_after_free },
	{ "write-after-free", fault_write_after_free },
	{ "past-the-end", fault_past_the_end },
	{ "double-free", fault_double_free },
	{ "leak", fault_leak },
	{ "warning", fault_warning },
	{ "sleep", fault_sleep },
	{ "rcu", fault_rcu },
	{ "deadlock", fault_deadlock },
	{ "shift", fault_shift },
	{ "object", fault_object },
};

static int __init faulty_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(faults); i++) {
		if (strcmp(faults[i].name, fault))
			continue;
		cache = kmem_cache_create("faulty", SIZE, 0, 0, NULL);
		if (!cache)
			return -ENOMEM;
		faults[i].commit();
		return 0;
	}
	return -EINVAL;
}

static void __exit faulty_exit(void)
{
	kmem_cache_destroy(cache);
}

module_init(faulty_init);
module_exit(faulty_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Faults that a kernel's checks must report, for tests");
