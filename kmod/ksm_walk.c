// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk over the processes of the host that brings every address space of a
 * marked container to what its mark says. One worker, one walk at a time, for
 * all containers together: its cost grows with the number of processes and not
 * with that of containers.
 *
 *	a command       -> walks, one after the other, until one finds no work
 *	every period    -> one walk, and more where it found work
 *	no mark is left -> no walk
 *
 * Processes are taken in the order of their numbers, in chunks: a chunk is found
 * under RCU, with a reference to each, and then worked on with nothing held. A
 * process that is killed meanwhile is skipped; what one forks behind the walk
 * was born with its parent's mark, or is found by the next.
 */
#include <linux/cgroup.h>
#include <linux/delay.h>
#include <linux/idr.h>
#include <linux/ksm.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "compat.h"
#include "ksm.h"

/* Processes that are worked on between two looks at the table of processes. */
#define CHUNK_TASKS	32
/* Numbers that one RCU section goes through. */
#define CHUNK_PIDS	512
/* Walks in a row before the worker waits for the next period all the same. */
#define WALKS_IN_A_ROW	16
/* At the end no period comes any more: how often what was busy is tried again, and when. */
#define EXIT_TRIES	50
#define EXIT_PAUSE_MS	200

struct found {
	struct task_struct	*task;
	struct hoody_ksm_mark	*mark;
};

static unsigned int ksm_period = HOODY_KSM_PERIOD;

static int period_set(const char *text, const struct kernel_param *param)
{
	return param_set_uint_minmax(text, param, 1, 3600);
}

static const struct kernel_param_ops period_ops = { .set = period_set, .get = param_get_uint };
module_param_cb(ksm_period, &period_ops, &ksm_period, 0644);
MODULE_PARM_DESC(ksm_period, "seconds between two walks over the host's processes, 1 to 3600");

static struct workqueue_struct *queue;
static void walk_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(work, walk_work);
static u64 walk_number = 1;		/* writers: the worker, under ksm_lock */
static bool leaving;			/* the module goes */
/*
 * Processes that a walk has seen marked, by number: when they started, with which
 * memory, and the walk's number. One that was marked while it was about to exec()
 * has other memory since, without a mark, and has not laid it down. The worker's
 * alone; holds no more than there are processes.
 */
static DEFINE_XARRAY(seen);

u64 ksm_walk_number(void)
{
	lockdep_assert_held(&ksm_lock);
	return walk_number;
}

void ksm_walk_request(void)
{
	mod_delayed_work(queue, &work, 0);
}

/* Under RCU: the mark of the nearest cgroup above @task that has one. */
static struct hoody_ksm_mark *task_mark(struct task_struct *task)
{
	struct cgroup *cgroup;
	struct hoody_ksm_mark *mark;

	for (cgroup = task_dfl_cgroup(task); cgroup; cgroup = cgroup_parent(cgroup))
		hlist_for_each_entry_rcu(mark, ksm_bucket(cgroup), by_cgroup)
			if (mark->cgroup == cgroup)
				return mark;
	return NULL;
}

/* Fills @found with processes from *@nr on, which moves; false: there are no more. */
static bool chunk_collect(int *nr, struct found *found, unsigned int *count)
{
	struct pid *pid = NULL;

	*count = 0;
	rcu_read_lock();
	for (int i = 0; i < CHUNK_PIDS && *count < CHUNK_TASKS; i++, ++*nr) {
		struct task_struct *task;

		pid = idr_get_next(&init_pid_ns.idr, nr);
		if (!pid)
			break;
		task = pid_task(pid, PIDTYPE_TGID);
		/* A task sets others of its flags as it runs; this one is for life. */
		if (!task || data_race(READ_ONCE(task->flags)) & PF_KTHREAD)
			continue;
		found[*count].mark = task_mark(task);
		if (!found[*count].mark)
			continue;
		found[*count].task = get_task_struct(task);
		++*count;
	}
	rcu_read_unlock();
	return pid;
}

/* The memory of a process, also where its first thread has ended. NULL: none. */
static struct mm_struct *process_mm(struct task_struct *leader)
{
	struct mm_struct *mm = NULL;
	struct task_struct *thread;

	rcu_read_lock();
	/* Its signal structure is there for as long as it has not been reaped. */
	if (pid_alive(leader))
		for_each_thread(leader, thread) {
			mm = get_task_mm(thread);
			if (mm)
				break;
		}
	rcu_read_unlock();
	return mm;
}

/* The entry of @seen that stands for @task, whose memory is @mm, in this walk. */
static void *seen_entry(const struct task_struct *task, const struct mm_struct *mm)
{
	u64 which = hash_64(task->start_boottime ^ hash_64((unsigned long)mm, 64), 48);

	return xa_mk_value(which << 8 | (u8)walk_number);
}

static bool seen_before(const struct task_struct *task, const struct mm_struct *mm)
{
	void *entry = xa_load(&seen, task->tgid);

	return entry && xa_to_value(entry) >> 8 == xa_to_value(seen_entry(task, mm)) >> 8;
}

static void seen_forget_others(void)
{
	unsigned long nr;
	void *entry;

	xa_for_each(&seen, nr, entry)
		if ((u8)xa_to_value(entry) != (u8)walk_number)
			xa_erase(&seen, nr);
}

static bool name_left_out(const struct hoody_ksm_mark *mark, const struct task_struct *task)
{
	const struct hoody_ksm_wish *wish = &mark->wish;
	bool result = false;

	mutex_lock(&ksm_lock);
	for (unsigned int i = 0; i < wish->names_count && !result; i++)
		/* Of a name that changes meanwhile some bytes are the new one's. */
		result = !data_race(strncmp(wish->names[i], task->comm, TASK_COMM_LEN));
	mutex_unlock(&ksm_lock);
	return result;
}

static void result_note(struct hoody_ksm_mark *mark, enum ksm_mm_result result,
			enum hoody_ksm_count changed)
{
	switch (result) {
	case KSM_MM_NOTHING:
		return;
	case KSM_MM_CHANGED:
		mark->walk[changed]++;
		break;
	case KSM_MM_BUSY:
		mark->walk[HOODY_KSM_BUSY]++;
		break;
	case KSM_MM_CGROUP_LIMIT:
		mark->walk_stopped = HOODY_KSM_STOPPED_CGROUP;
		break;
	case KSM_MM_HOST_LIMIT:
		mark->walk_stopped = HOODY_KSM_STOPPED_HOST;
		break;
	case KSM_MM_NO_MEMORY:
		mark->walk_stopped = HOODY_KSM_STOPPED_KERNEL;
		break;
	}
	mark->changes++;
}

static void process_mark(struct hoody_ksm_mark *mark, struct task_struct *task,
			 struct mm_struct *mm)
{
	if (!hoody_mm_flag_test(mm, MMF_VM_MERGE_ANY) && seen_before(task, mm) &&
	    !(mm->def_flags & VM_LOCKED))
		mark->walk[HOODY_KSM_LEFT]++;
	else
		result_note(mark, ksm_mm_mark(mm, &mark->walk[HOODY_KSM_AREAS_MARKED]),
			    HOODY_KSM_PROCESSES_MARKED);
	/* Without memory for the entry the process may be marked against its will. */
	if (hoody_mm_flag_test(mm, MMF_VM_MERGE_ANY) || seen_before(task, mm))
		xa_store(&seen, task->tgid, seen_entry(task, mm), GFP_KERNEL);
	result_note(mark, ksm_mm_unmark(mm, true), HOODY_KSM_PROCESSES_UNMARKED);
}

static void process_visit(struct hoody_ksm_mark *mark, struct task_struct *task)
{
	struct mm_struct *mm = process_mm(task);
	long zero_pages;
	bool named;

	if (!mm)
		return;
	named = READ_ONCE(mark->on) && name_left_out(mark, task);
	if (READ_ONCE(mark->on) && !named)
		process_mark(mark, task, mm);
	else
		result_note(mark, ksm_mm_unmark(mm, false), HOODY_KSM_PROCESSES_UNMARKED);
	mark->walk[HOODY_KSM_NAMED] += named;
	mark->walk[HOODY_KSM_PROCESSES]++;
	/* ksmd counts with plain writes, and is at it: figures of some moment are enough. */
	zero_pages = data_race(mm_ksm_zero_pages(mm));
	mark->walk[HOODY_KSM_PAGES] += data_race(READ_ONCE(mm->ksm_merging_pages));
	mark->walk[HOODY_KSM_ZERO_PAGES] += max(zero_pages, 0L);
	mark->walk[HOODY_KSM_ITEMS] += data_race(READ_ONCE(mm->ksm_rmap_items));
	/* Should all others be gone: its memory is not ours to take down. */
	mmput_async(mm);
}

static void mark_free(struct hoody_ksm_mark *mark)
{
	list_del(&mark->node);
	hlist_del_rcu(&mark->by_cgroup);
	cgroup_put(mark->cgroup);
	kfree_rcu(mark, rcu);
}

/* What the walk came to, for all to see; true where another has to follow at once. */
static bool walk_conclude(u64 ns)
{
	struct hoody_ksm_mark *mark, *next;
	bool again = false;

	mutex_lock(&ksm_lock);
	list_for_each_entry_safe(mark, next, &ksm_marks, node) {
		/* A command came after the walk had begun: it has seen a half of it. */
		bool old = mark->changed == walk_number;

		for (unsigned int i = 0; i < __HOODY_KSM_COUNT_MAX; i++)
			mark->count[i] = mark->walk[i] +
					 (i < HOODY_KSM_PROCESSES ? mark->count[i] : 0);
		mark->count[HOODY_KSM_WALKS]++;
		mark->count[HOODY_KSM_WALK_NS] += ns;
		mark->stopped = mark->walk_stopped;
		mark->settled = !old && !mark->changes;
		/* What waits for memory or a lock waits for the next period. */
		again |= old || (mark->changes && !mark->stopped && !mark->count[HOODY_KSM_BUSY]);
		if (mark->settled && !mark->on)
			mark_free(mark);
	}
	seen_forget_others();
	walk_number++;
	mutex_unlock(&ksm_lock);
	return again;
}

static bool walk(void)
{
	static struct found found[CHUNK_TASKS];	/* there is one worker */
	u64 start = ktime_get_ns();
	struct hoody_ksm_mark *mark;
	unsigned int count;
	int nr = 1;
	bool more;

	mutex_lock(&ksm_lock);
	list_for_each_entry(mark, &ksm_marks, node) {
		memset(mark->walk, 0, sizeof(mark->walk));
		mark->changes = 0;
		mark->walk_stopped = 0;
		/* Up to here commands count as the walk before; from here on as this one. */
		if (mark->changed == walk_number)
			mark->changed = 0;
	}
	mutex_unlock(&ksm_lock);
	do {
		more = chunk_collect(&nr, found, &count);
		for (unsigned int i = 0; i < count; i++) {
			process_visit(found[i].mark, found[i].task);
			put_task_struct(found[i].task);
			cond_resched();
		}
		cond_resched();
	} while (more);
	return walk_conclude(ktime_get_ns() - start);
}

static bool nothing_marked(void)
{
	bool result;

	mutex_lock(&ksm_lock);
	result = list_empty(&ksm_marks);
	mutex_unlock(&ksm_lock);
	return result;
}

static void walk_work(struct work_struct *unused)
{
	for (int i = 0; i < WALKS_IN_A_ROW; i++) {
		if (nothing_marked() || !walk())
			break;
	}
	if (!nothing_marked() && !READ_ONCE(leaving))
		queue_delayed_work(queue, &work, READ_ONCE(ksm_period) * HZ);
}

/* Whether there is something that only waits for a lock. */
static bool something_busy(void)
{
	struct hoody_ksm_mark *mark;
	bool result = false;

	mutex_lock(&ksm_lock);
	list_for_each_entry(mark, &ksm_marks, node)
		result |= mark->count[HOODY_KSM_BUSY] && !mark->stopped;
	mutex_unlock(&ksm_lock);
	return result;
}

int __init hoody_ksm_init(void)
{
	queue = alloc_workqueue("hoody_ksm", WQ_UNBOUND, 1);
	return queue ? 0 : -ENOMEM;
}

/*
 * No command comes any more, and the registries have made orphans of all marks.
 * Waits until all is undone, ten seconds for locks that others hold; what cannot be,
 * because memory is short, stays merged: the kernel keeps it in order without us.
 */
void hoody_ksm_exit(void)
{
	struct hoody_ksm_mark *mark, *next;

	WRITE_ONCE(leaving, true);
	cancel_delayed_work_sync(&work);
	if (!nothing_marked())
		walk_work(NULL);
	for (int i = 0; i < EXIT_TRIES && something_busy(); i++) {
		msleep(EXIT_PAUSE_MS);
		walk_work(NULL);
	}
	mutex_lock(&ksm_lock);
	list_for_each_entry_safe(mark, next, &ksm_marks, node) {
		pr_warn("hoody: memory of container %*phN stays merged: none is left to undo it\n",
			HOODY_ID_LEN, mark->id);
		mark_free(mark);
	}
	mutex_unlock(&ksm_lock);
	destroy_workqueue(queue);
	xa_destroy(&seen);
}
