// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests: a live patch of one system call function, which redirects it as the
 * syscall gate does. Of two users that want to redirect a function the kernel
 * takes the first. What is patched fails with EUCLEAN.
 */
#include <linux/livepatch.h>
#include <linux/module.h>

static char *function = "__x64_sys_mount";
module_param(function, charp, 0444);

static long rival_call(const struct pt_regs *regs)
{
	return -EUCLEAN;
}

static struct klp_func funcs[] = { { .new_func = rival_call }, { } };
static struct klp_object objects[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init rival_init(void)
{
	funcs[0].old_name = function;
	return klp_enable_patch(&patch);
}

/* The kernel takes the patch back before it lets the module go. */
static void __exit rival_exit(void)
{
}

module_init(rival_init);
module_exit(rival_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A live patch of a system call, for tests");
MODULE_INFO(livepatch, "Y");
