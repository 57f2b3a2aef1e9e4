/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one thread: epoll, timers, and work put off to the end of a
 * turn. A descriptor is registered once, edge-triggered, for reading and
 * writing; the owner remembers what it was told until a call says EAGAIN.
 *
 * A turn: epoll_wait() -> the clock is read once -> handlers -> timers that ran
 * out -> tasks, a few rounds of them -> memory of what died.
 *
 * A timer belongs to a class, and all timers of a class run equally long, so
 * each class is a list in the order of expiry: arming is two pointer writes and
 * no system call. When a class's duration is changed, timers already armed keep
 * theirs, and may fire late behind longer ones, never early.
 */
#ifndef HOODY_LIB_LOOP_H
#define HOODY_LIB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

enum loop_timer_class {
	LOOP_TIMER_NONE,
	LOOP_TIMER_HANDSHAKE,
	LOOP_TIMER_HEAD,
	LOOP_TIMER_KEEPALIVE,
	LOOP_TIMER_BODY,
	LOOP_TIMER_LINGER,
	LOOP_TIMER_CONNECT,
	LOOP_TIMER_RESPONSE,
	LOOP_TIMER_UPGRADE,
	LOOP_TIMER_UPSTREAM_IDLE,
	LOOP_TIMER_ACCEPT,
	LOOP_TIMER_DRAIN,
	LOOP_TIMER_EXPIRY,
	LOOP_TIMER_CLASSES,
};

struct loop_timer {
	struct list	node;
	uint64_t	deadline;	/* milliseconds, CLOCK_MONOTONIC */
	uint8_t		class;		/* LOOP_TIMER_NONE: not armed */
	void		(*expired)(struct loop_timer *timer, enum loop_timer_class class);
};

/* Work for the end of the turn; posting it twice runs it once. */
struct loop_task {
	struct list	node;
	void		(*run)(struct loop_task *task);
};

struct loop_source {
	int		fd;
	void		(*ready)(struct loop_source *source, uint32_t epoll_events);
};

struct loop {
	int		epoll;
	uint64_t	now;		/* milliseconds, of this turn */
	uint64_t	turn;		/* how many there were, this one included */
	bool		stop;
	struct list	tasks;
	struct list	dead;		/* tasks that free what they stand in */
	struct list	timers[LOOP_TIMER_CLASSES];
	uint32_t	durations[LOOP_TIMER_CLASSES];	/* 0: never */
	uint64_t	first_timer;	/* the first that was armed before this turn is due */
	/* For one who keeps deadlines of any length; asked for anew after each call. */
	uint64_t	alarm;		/* milliseconds, CLOCK_MONOTONIC; 0: none */
	void		(*alarmed)(struct loop *loop);
};

/* 0 or a negative errno. */
int loop_setup(struct loop *loop);
void loop_clear(struct loop *loop);

/* Runs turns until loop->stop. */
void loop_run(struct loop *loop);

/* @events as for epoll_ctl(2). 0 or a negative errno. Closing removes. */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
/* Changes what a source is told; 0 events: errors only. */
int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
/* For a descriptor that stays open, here or in another process: it is told nothing more. */
int loop_remove(struct loop *loop, struct loop_source *source);

void loop_timer_setup(struct loop_timer *timer,
		      void (*expired)(struct loop_timer *timer, enum loop_timer_class class));
/* Starts anew, whatever it did before. LOOP_TIMER_NONE stops it. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, enum loop_timer_class class);
/* Leaves a timer of the same class running: for times that are not to be stretched. */
void loop_timer_keep(struct loop *loop, struct loop_timer *timer, enum loop_timer_class class);
void loop_timer_stop(struct loop_timer *timer);

void loop_task_setup(struct loop_task *task, void (*run)(struct loop_task *task));
void loop_post(struct loop *loop, struct loop_task *task);

/*
 * loop_bury(): @task runs when the turn is over and nobody can hold a pointer
 * to what it frees any more. It must not have been posted otherwise since.
 */
void loop_bury(struct loop *loop, struct loop_task *task);

#endif /* HOODY_LIB_LOOP_H */
