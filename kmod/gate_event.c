// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the gate tells: counters per container and call, and events. A calling
 * task leaves its event in a ring and goes on; a worker makes netlink messages
 * of them. The ring is bounded, and so is what one container may put in.
 */
#include <linux/sched.h>

#include "gate.h"

#define RING_SIZE	256	/* a power of two */

struct gate_event {
	struct hoody_registry	*registry;
	struct hoody_gate_event	data;
};

static struct gate_event ring[RING_SIZE];		/* ring_lock */
static unsigned int ring_head, ring_tail;		/* ring_lock */
static DEFINE_RAW_SPINLOCK(ring_lock);	/* raw: taken with preemption off */

static bool ring_take(struct gate_event *event)
{
	bool some;

	raw_spin_lock(&ring_lock);
	some = ring_tail != ring_head;
	if (some)
		*event = ring[ring_tail++ % RING_SIZE];
	raw_spin_unlock(&ring_lock);
	return some;
}

static void ring_drain(struct work_struct *work)
{
	struct gate_event event;

	while (ring_take(&event)) {
		hoody_netlink_gate_event(event.registry, &event.data);
		cond_resched();
	}
}

static DECLARE_WORK(ring_work, ring_drain);

void gate_event_flush(void)
{
	flush_work(&ring_work);
}

/* May this container send one more this second? Races cost or grant a few. */
static bool event_due(struct gate_counts *counts)
{
	unsigned long now = jiffies;

	if (time_after_eq(now, READ_ONCE(counts->window) + HZ) || !READ_ONCE(counts->window)) {
		WRITE_ONCE(counts->window, now ?: 1);
		atomic_set(&counts->window_sent, 0);
	}
	if (atomic_inc_return(&counts->window_sent) <= HOODY_GATE_EVENTS)
		return true;
	atomic_dec(&counts->window_sent);
	atomic_inc(&counts->left_out);
	return false;
}

static void event_put(struct gate_member *member, const struct hoody_gate_event *data)
{
	bool room;

	raw_spin_lock(&ring_lock);
	room = ring_head - ring_tail < RING_SIZE;
	if (room) {
		ring[ring_head % RING_SIZE].registry = member->registry;
		ring[ring_head++ % RING_SIZE].data = *data;
	}
	raw_spin_unlock(&ring_lock);
	if (room)
		schedule_work(&ring_work);
	else
		hoody_stat_inc(member->registry, HOODY_STAT_EVENTS_LOST);
}

/* Counts a call that was not freely allowed and reports it, rate limited. Under RCU. */
void gate_event_report(struct gate_member *member, unsigned int arch, unsigned int nr,
		       const struct pt_regs *regs, u32 verdict)
{
	struct hoody_gate_event data;

	if (nr < HOODY_TABLE_CALLS)
		atomic64_inc(&member->counts->calls[gate_call(arch, nr)]);
	if ((verdict & 0xffff) == HOODY_ACTION_LOG)
		hoody_stat_inc(member->registry, HOODY_STAT_GATE_LOGGED);
	else
		hoody_stat_inc(member->registry, member->mode == HOODY_GATE_LEARN ?
			       HOODY_STAT_GATE_LEARNED : HOODY_STAT_GATE_REFUSED);
	if (!event_due(member->counts))
		return;
	memcpy(data.id, member->id, HOODY_ID_LEN);
	data.mode = member->mode;
	data.pid = task_pid_nr(current);
	memcpy(data.comm, current->comm, sizeof(data.comm));
	data.comm[sizeof(data.comm) - 1] = '\0';
	data.arch = arch;
	data.nr = nr;
	data.verdict = verdict;
	gate_call_args(regs, arch, data.args);
	data.left_out = atomic_xchg(&member->counts->left_out, 0);
	event_put(member, &data);
}
