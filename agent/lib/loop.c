/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one thread, see loop.h.
 */
#include "lib/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS	128	/* taken from the kernel in one call */
/*
 * Rounds of tasks in one turn. What is posted after the last waits for the next
 * turn, so that two busy connections that keep waking each other cannot keep the
 * others waiting.
 */
#define LOOP_TASK_ROUNDS	4

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int loop_setup(struct loop *loop)
{
	int i;

	memset(loop, 0, sizeof(*loop));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	list_setup(&loop->tasks);
	list_setup(&loop->dead);
	for (i = 0; i < LOOP_TIMER_CLASSES; i++)
		list_setup(&loop->timers[i]);
	loop->now = clock_now();
	return 0;
}

void loop_clear(struct loop *loop)
{
	close(loop->epoll);
	loop->epoll = -1;
}

static int control(struct loop *loop, int operation, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll, operation, source->fd, &event) ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, source, events);
}

int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

int loop_remove(struct loop *loop, struct loop_source *source)
{
	return control(loop, EPOLL_CTL_DEL, source, 0);
}

void loop_timer_setup(struct loop_timer *timer,
		      void (*expired)(struct loop_timer *timer, enum loop_timer_class class))
{
	list_setup(&timer->node);
	timer->class = LOOP_TIMER_NONE;
	timer->expired = expired;
}

void loop_timer_stop(struct loop_timer *timer)
{
	list_del(&timer->node);
	timer->class = LOOP_TIMER_NONE;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, enum loop_timer_class class)
{
	loop_timer_stop(timer);
	if (class == LOOP_TIMER_NONE || !loop->durations[class])
		return;
	timer->class = class;
	timer->deadline = loop->now + loop->durations[class];
	list_add_tail(&timer->node, &loop->timers[class]);
}

void loop_timer_keep(struct loop *loop, struct loop_timer *timer, enum loop_timer_class class)
{
	if (timer->class != class)
		loop_timer_start(loop, timer, class);
}

void loop_task_setup(struct loop_task *task, void (*run)(struct loop_task *task))
{
	list_setup(&task->node);
	task->run = run;
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	if (list_empty(&task->node))
		list_add_tail(&task->node, &loop->tasks);
}

void loop_bury(struct loop *loop, struct loop_task *task)
{
	list_del(&task->node);
	list_add_tail(&task->node, &loop->dead);
}

/* Runs what is in @tasks now; what that posts waits for the next call. */
static void run_tasks(struct list *tasks)
{
	struct loop_task *task;
	struct list batch;

	if (list_empty(tasks))
		return;
	list_setup(&batch);
	batch.next = tasks->next;
	batch.prev = tasks->prev;
	batch.next->prev = batch.prev->next = &batch;
	list_setup(tasks);
	while (!list_empty(&batch)) {
		task = list_first_entry(&batch, struct loop_task, node);
		list_del(&task->node);
		task->run(task);
	}
}

static void run_timers(struct loop *loop)
{
	struct loop_timer *timer;
	int i;

	/* What was armed since cannot be due: a class lasts a millisecond or more. */
	if (loop->first_timer > loop->now)
		return;
	for (i = 0; i < LOOP_TIMER_CLASSES; i++) {
		while (!list_empty(&loop->timers[i])) {
			timer = list_first_entry(&loop->timers[i], struct loop_timer, node);
			if (timer->deadline > loop->now)
				break;
			loop_timer_stop(timer);
			timer->expired(timer, i);
		}
	}
}

/* Milliseconds to the next timer, -1 where none is armed. */
static int next_timer(struct loop *loop)
{
	uint64_t first = UINT64_MAX;
	int i;

	for (i = 0; i < LOOP_TIMER_CLASSES; i++) {
		const struct loop_timer *timer;

		if (list_empty(&loop->timers[i]))
			continue;
		timer = list_first_entry(&loop->timers[i], struct loop_timer, node);
		if (timer->deadline < first)
			first = timer->deadline;
	}
	loop->first_timer = first;
	if (loop->alarm && loop->alarm < first)
		first = loop->alarm;
	if (!list_empty(&loop->tasks))
		return 0;
	if (first == UINT64_MAX)
		return -1;
	if (first <= loop->now)
		return 0;
	return first - loop->now > INT_MAX ? INT_MAX : (int)(first - loop->now);
}

void loop_run(struct loop *loop)
{
	struct epoll_event events[LOOP_EVENTS];
	int i, count;

	while (!loop->stop) {
		count = epoll_wait(loop->epoll, events, LOOP_EVENTS, next_timer(loop));
		loop->now = clock_now();
		loop->turn++;
		for (i = 0; i < count; i++) {
			struct loop_source *source = events[i].data.ptr;

			/* Closed by an earlier handler of this turn, freed at its end. */
			if (source->fd >= 0)
				source->ready(source, events[i].events);
		}
		run_timers(loop);
		if (loop->alarm && loop->alarm <= loop->now)
			loop->alarmed(loop);
		for (i = 0; i < LOOP_TASK_ROUNDS; i++)
			run_tasks(&loop->tasks);
		run_tasks(&loop->dead);
	}
}
