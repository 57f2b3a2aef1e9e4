// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which containers have their memory merged.
 *
 *	(nothing) -- KSM_SET on --> marking <--> marked
 *	                              |            |
 *	        KSM_SET off, container gone, another cgroup
 *	                              v            v
 *	                           unmarking (or stopped) -- all undone --> (nothing)
 *
 * A mark is made by a command and goes by the worker only (ksm_walk.c), when a
 * whole walk has found nothing left to undo. Until then its domain keeps others
 * out, also where its container has long been deleted.
 */
#include <linux/cgroup.h>
#include <linux/slab.h>

#include "ksm.h"

/* The marks and what is wished for them. */
DEFINE_MUTEX(ksm_lock);
LIST_HEAD(ksm_marks);
struct hlist_head ksm_by_cgroup[1 << KSM_BITS];

static struct hoody_ksm_mark *mark_find(struct hoody_registry *registry, const u8 *id)
{
	struct hoody_ksm_mark *mark;

	lockdep_assert_held(&ksm_lock);
	list_for_each_entry(mark, &ksm_marks, node)
		if (mark->registry == registry && !memcmp(mark->id, id, HOODY_ID_LEN))
			return mark;
	return NULL;
}

/* The worker has something to do: at once, and whatever it found before is old. */
static void mark_changed(struct hoody_ksm_mark *mark)
{
	mark->changed = ksm_walk_number();
	mark->settled = false;
	mark->stopped = 0;
	ksm_walk_request();
}

/* Marks of another domain are in the way. All that are there have one domain. */
static int domain_check(const u8 *domain, struct netlink_ext_ack *extack)
{
	struct hoody_ksm_mark *mark;

	mark = list_first_entry_or_null(&ksm_marks, struct hoody_ksm_mark, node);
	if (!mark || !memcmp(mark->wish.domain, domain, HOODY_ID_LEN))
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "memory of domain %*phN is being merged on this host",
			   HOODY_ID_LEN, mark->wish.domain);
	return -EBUSY;
}

static struct hoody_ksm_mark *mark_create(u64 cgroup, struct netlink_ext_ack *extack)
{
	struct hoody_ksm_mark *mark = kzalloc(sizeof(*mark), GFP_KERNEL_ACCOUNT);

	if (!mark)
		return ERR_PTR(-ENOMEM);
	mark->cgroup = cgroup_get_from_id(cgroup);
	if (!IS_ERR(mark->cgroup) && cgroup_parent(mark->cgroup))
		return mark;
	if (!IS_ERR(mark->cgroup))
		cgroup_put(mark->cgroup);
	kfree(mark);
	NL_SET_ERR_MSG(extack, "the container has no cgroup of its own (v2, not the root)");
	return ERR_PTR(-EINVAL);
}

/* hoody_ksm_set() - marks a container, or changes what its mark leaves out. */
int hoody_ksm_set(struct hoody_registry *registry, const u8 *id, u64 cgroup,
		  const struct hoody_ksm_wish *wish, struct netlink_ext_ack *extack)
{
	struct hoody_ksm_mark *mark;
	int err;

	mutex_lock(&ksm_lock);
	err = domain_check(wish->domain, extack);
	if (err)
		goto out;
	mark = mark_find(registry, id);
	if (mark && mark->on && !memcmp(&mark->wish, wish, sizeof(*wish)))
		goto out;
	if (!mark) {
		mark = mark_create(cgroup, extack);
		if (IS_ERR(mark)) {
			err = PTR_ERR(mark);
			goto out;
		}
		mark->registry = registry;
		memcpy(mark->id, id, HOODY_ID_LEN);
		list_add_tail(&mark->node, &ksm_marks);
		hlist_add_head_rcu(&mark->by_cgroup, ksm_bucket(mark->cgroup));
	}
	mark->wish = *wish;
	WRITE_ONCE(mark->on, true);
	mark_changed(mark);
out:
	mutex_unlock(&ksm_lock);
	return err;
}

int hoody_ksm_clear(struct hoody_registry *registry, const u8 *id)
{
	struct hoody_ksm_mark *mark;

	mutex_lock(&ksm_lock);
	mark = mark_find(registry, id);
	if (mark) {
		WRITE_ONCE(mark->on, false);
		mark_changed(mark);
	}
	mutex_unlock(&ksm_lock);
	return mark ? 0 : -ENOENT;
}

void hoody_ksm_orphan(struct hoody_registry *registry, const u8 *id)
{
	struct hoody_ksm_mark *mark;

	mutex_lock(&ksm_lock);
	mark = mark_find(registry, id);
	if (mark) {
		mark->registry = NULL;
		WRITE_ONCE(mark->on, false);
		mark_changed(mark);
	}
	mutex_unlock(&ksm_lock);
}

enum hoody_ksm_state hoody_ksm_state(const struct hoody_ksm_mark *mark)
{
	lockdep_assert_held(&ksm_lock);
	if (mark->stopped)
		return mark->stopped;
	if (!mark->on)
		return HOODY_KSM_UNMARKING;
	return mark->settled ? HOODY_KSM_MARKED : HOODY_KSM_MARKING;
}

unsigned int hoody_ksm_each(struct hoody_registry *registry, const u8 *id, unsigned int from,
			    int (*each)(void *context, const struct hoody_ksm_mark *mark),
			    void *context)
{
	struct hoody_ksm_mark *mark;
	unsigned int number = 0;

	mutex_lock(&ksm_lock);
	list_for_each_entry(mark, &ksm_marks, node) {
		if (mark->registry != registry)
			continue;
		if (id && memcmp(mark->id, id, HOODY_ID_LEN))
			continue;
		if (number++ < from)
			continue;
		if (each(context, mark)) {
			number--;
			break;
		}
	}
	mutex_unlock(&ksm_lock);
	return number;
}
