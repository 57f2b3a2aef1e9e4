// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests of the tests: does what a kernel that checks its memory must report,
 * one fault for each loading. A check that is missing finds nothing in the module
 * either; this one it has to find.
 *
 *	fault		write-after-free, past-the-end, double-free, leak, warning
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>

#define SIZE	90

static char *fault = "";
module_param(fault, charp, 0444);

static struct kmem_cache *cache;

/* Seen when the object is given out again. */
static noinline void fault_write_after_free(void)
{
	u8 *object = kmem_cache_alloc(cache, GFP_KERNEL), *alias = object;

	/* The compiler is not to know that they are the same. */
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

static const struct {
	const char	*name;
	void		(*commit)(void);
} faults[] = {
	{ "write-after-free", fault_write_after_free },
	{ "past-the-end", fault_past_the_end },
	{ "double-free", fault_double_free },
	{ "leak", fault_leak },
	{ "warning", fault_warning },
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
