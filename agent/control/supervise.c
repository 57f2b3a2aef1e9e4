// SPDX-License-Identifier: Apache-2.0
/*
 * Which workers there are, see supervise.h; one worker by itself is
 * supervise_worker.c. Everything happens in sd-event callbacks of one thread.
 */
#include "control/supervise_internal.h"
#include "lib/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Gauges of a worker that is gone are gone with it. */
static void add_counters(struct ipc_stats *sum, const struct ipc_stats *stats)
{
#define X(name) sum->name += stats->name;
	IPC_COUNTERS(X)
#undef X
}

static void forget_gauges(struct ipc_stats *stats)
{
	stats->connections_open = 0;
	stats->quic_connections_open = 0;
	stats->requests_open = 0;
	stats->upgrades_open = 0;
	stats->upstream_idle = 0;
}

void supervise_answer_stats(struct supervisor *supervisor, const struct worker *worker,
			    uint64_t sequence)
{
	struct ipc_stats sum = supervisor->ended;

	for (int i = 0; i < WORKERS_MAX; i++) {
		if (supervisor->workers[i].pid)
			add_counters(&sum, &supervisor->workers[i].stats);
	}
	for (int i = 0; i < STATS_WAITERS_MAX; i++) {
		struct stats_waiter waiter = supervisor->waiters[i];

		if (!waiter.done || waiter.worker != worker ||
		    (sequence && waiter.sequence != sequence))
			continue;
		memset(&supervisor->waiters[i], 0, sizeof(waiter));
		waiter.done(waiter.context, sequence ? &sum : NULL);
	}
}

/* So that a worker takes few counts with it when it ends; also sees a stuck one. */
static int on_poll(sd_event_source *source, uint64_t usec, void *context)
{
	struct supervisor *supervisor = context;

	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];

		if (worker->pid && worker->state != SUPERVISE_STARTING)
			supervise_worker_send(worker, IPC_STATS, 0, NULL, 0, -1);
	}
	sd_event_source_set_time_relative(source, STATS_POLL_MS * 1000ull);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void supervise_worker_ready(struct supervisor *supervisor, struct worker *worker)
{
	worker->state = SUPERVISE_SERVING;
	worker->kill_at = 0;
	log_info("worker serves: pid=%d threads=%u sockets=%u", (int)worker->pid, worker->threads,
		 supervisor->set->sockets);
	listen_steer(supervisor->set, worker - supervisor->workers);
	if (worker == supervisor->next) {
		struct worker *old = supervisor->current;

		supervisor->current = worker;
		supervisor->next = NULL;
		supervisor->replacing = false;
		if (old) {
			supervise_worker_send(old, IPC_STATS, 0, NULL, 0, -1);
			supervise_worker_drain(old, supervisor->drain_ms, true);
		}
	}
	/* Ours are closed first, so that the kernel deals nothing to them any more. */
	listen_close(supervisor->old_set);
	supervisor->old_set = NULL;
	supervisor->callbacks.serving(supervisor->callbacks.context);
}

static int on_restart(sd_event_source *source, uint64_t usec, void *context);

static void schedule_start(struct supervisor *supervisor)
{
	uint32_t wait = supervisor->backoff_ms;

	supervisor->backoff_ms = wait ? wait * 2 : BACKOFF_FIRST_MS;
	if (supervisor->backoff_ms > BACKOFF_MAX_MS)
		supervisor->backoff_ms = BACKOFF_MAX_MS;
	supervisor->restart = sd_event_source_disable_unref(supervisor->restart);
	if (sd_event_add_time(supervisor->event, &supervisor->restart, CLOCK_MONOTONIC,
			      supervise_in_ms(wait), 1000, on_restart, supervisor) < 0)
		log_error("no timer for the next start of a worker: error=\"%s\"", strerror(errno));
	else if (wait)
		log_info("worker starts again: wait_ms=%u", wait);
}

/* A worker for the part that lacks one: to serve at all, or to take over. */
static void start(struct supervisor *supervisor)
{
	struct worker *worker;

	if (supervisor->draining || supervisor->image < 0 || !supervisor->set || supervisor->next ||
	    (supervisor->current && !supervisor->replacing))
		return;
	supervise_make_room(supervisor);
	worker = supervise_worker_start(supervisor);
	if (!worker)
		schedule_start(supervisor);
	else if (supervisor->current)
		supervisor->next = worker;
	else
		supervisor->current = worker;
}

void supervise_make_room(struct supervisor *supervisor)
{
	struct worker *oldest = NULL;

	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];

		if (!worker->pid)
			return;
		if (worker->state == SUPERVISE_DRAINING && !worker->killed &&
		    (!oldest || worker->started_at < oldest->started_at))
			oldest = worker;
	}
	if (!oldest)
		return;
	log_warning("worker is ended for the next one, with what it has open: pid=%d",
		    (int)oldest->pid);
	supervise_worker_drain(oldest, 0, false);
}

static int on_restart(sd_event_source *source, uint64_t usec, void *context)
{
	struct supervisor *supervisor = context;

	supervisor->restart = sd_event_source_disable_unref(supervisor->restart);
	start(supervisor);
	return 0;
}

static bool any_worker(const struct supervisor *supervisor)
{
	for (int i = 0; i < WORKERS_MAX; i++) {
		if (supervisor->workers[i].pid)
			return true;
	}
	return false;
}

/* What one that crashed may have left in it is for none that starts from now on. */
static void leave_passes(struct supervisor *supervisor)
{
	if (supervisor->passes >= 0)
		close(supervisor->passes);
	supervisor->passes = -1;
}

void supervise_worker_ended(struct supervisor *supervisor, struct worker *worker)
{
	bool wanted = worker == supervisor->current || worker == supervisor->next;
	bool failed = worker == supervisor->next;
	bool stable = supervise_in_ms(0) - worker->started_at >= (uint64_t)STABLE_MS * 1000;

	if (worker == supervisor->next)
		supervisor->next = NULL;
	if (worker == supervisor->current) {
		/* One that was about to take over takes over from nobody. */
		supervisor->current = supervisor->next;
		supervisor->next = NULL;
		supervisor->replacing = false;
	}
	supervise_answer_stats(supervisor, worker, 0);
	forget_gauges(&worker->stats);
	add_counters(&supervisor->ended, &worker->stats);
	supervise_worker_clear(worker);
	if (wanted && !supervisor->current)
		leave_passes(supervisor);
	if (wanted && !supervisor->draining) {
		supervisor->restarts++;
		if (stable)
			supervisor->backoff_ms = 0;
		schedule_start(supervisor);
	}
	if (failed && supervisor->callbacks.start_failed)
		supervisor->callbacks.start_failed(supervisor->callbacks.context);
	supervisor->callbacks.progress(supervisor->callbacks.context);
	if (supervisor->draining && !any_worker(supervisor))
		supervisor->callbacks.drained(supervisor->callbacks.context);
}

struct supervisor *supervise_create(sd_event *event, const struct supervise_callbacks *callbacks)
{
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));

	if (!supervisor)
		return NULL;
	supervisor->event = sd_event_ref(event);
	supervisor->callbacks = *callbacks;
	supervisor->certificate = -1;
	supervisor->image = -1;
	supervisor->passes = -1;
	for (int i = 0; i < WORKERS_MAX; i++)
		supervisor->workers[i].link.sock = -1;
	if (sd_event_add_time_relative(event, &supervisor->poll, CLOCK_MONOTONIC,
				       STATS_POLL_MS * 1000ull, 1000000, on_poll, supervisor) < 0) {
		sd_event_unref(supervisor->event);
		free(supervisor);
		return NULL;
	}
	return supervisor;
}

void supervise_destroy(struct supervisor *supervisor)
{
	if (!supervisor)
		return;
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];
		pid_t pid = worker->pid;

		if (!pid)
			continue;
		kill(pid, SIGKILL);
		supervise_worker_clear(worker);
		waitpid(pid, NULL, 0);
	}
	sd_event_source_disable_unref(supervisor->restart);
	sd_event_source_disable_unref(supervisor->poll);
	listen_close(supervisor->old_set);
	listen_close(supervisor->set);
	if (supervisor->certificate >= 0)
		close(supervisor->certificate);
	if (supervisor->image >= 0)
		close(supervisor->image);
	if (supervisor->passes >= 0)
		close(supervisor->passes);
	sd_event_unref(supervisor->event);
	free(supervisor);
}

void supervise_apply(struct supervisor *supervisor, struct listen_set *set,
		     const struct spawn_identity *identity, int certificate, bool replace,
		     uint32_t drain_ms)
{
	if (set != supervisor->set) {
		/* A set that no worker has served yet need not wait for the next. */
		if (supervisor->old_set)
			listen_close(supervisor->set);
		else
			supervisor->old_set = supervisor->set;
		supervisor->set = set;
	}
	if (certificate >= 0)
		supervise_certificate(supervisor, certificate);
	supervisor->identity = *identity;
	supervisor->drain_ms = drain_ms;
	if (!supervisor->current || replace)
		supervise_replace(supervisor);
}

void supervise_replace(struct supervisor *supervisor)
{
	if (!supervisor->current) {
		/* Nothing runs, or the pause after a failure is cut short. */
		start(supervisor);
		return;
	}
	supervisor->replacing = true;
	if (supervisor->next)
		supervise_worker_kill(supervisor->next, "its configuration is out of date");
	else
		start(supervisor);
}

uint64_t supervise_certificate(struct supervisor *supervisor, int fd)
{
	if (supervisor->certificate >= 0)
		close(supervisor->certificate);
	supervisor->certificate = fd;
	supervisor->certificate_sequence++;
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];

		/* One that drains makes no handshakes any more. */
		if (worker->pid && worker->state != SUPERVISE_DRAINING)
			supervise_worker_send(worker, IPC_CERTIFICATE,
					      supervisor->certificate_sequence, NULL, 0, fd);
	}
	return supervisor->certificate_sequence;
}

uint64_t supervise_certificate_acked(const struct supervisor *supervisor)
{
	uint64_t acked = supervisor->certificate_sequence;
	bool any = false;

	for (int i = 0; i < WORKERS_MAX; i++) {
		const struct worker *worker = &supervisor->workers[i];

		if (!worker->pid || worker->killed || worker->state != SUPERVISE_SERVING)
			continue;
		any = true;
		if (worker->certificate_acked < acked)
			acked = worker->certificate_acked;
	}
	return any ? acked : 0;
}

const struct listen_set *supervise_listeners(const struct supervisor *supervisor)
{
	return supervisor->set;
}

void supervise_publish(struct supervisor *supervisor, int fd, uint64_t sequence)
{
	if (supervisor->image >= 0)
		close(supervisor->image);
	supervisor->image = fd;
	supervisor->image_sequence = sequence;
	for (int i = 0; i < WORKERS_MAX; i++) {
		if (supervisor->workers[i].pid)
			supervise_worker_send(&supervisor->workers[i], IPC_IMAGE, sequence, NULL, 0,
					      fd);
	}
}

uint64_t supervise_acked(const struct supervisor *supervisor)
{
	uint64_t acked = supervisor->image_sequence;

	for (int i = 0; i < WORKERS_MAX; i++) {
		const struct worker *worker = &supervisor->workers[i];

		if (worker->pid && worker->image_acked < acked)
			acked = worker->image_acked;
	}
	return acked;
}

void supervise_stats(struct supervisor *supervisor, supervise_stats_done *done, void *context)
{
	struct worker *worker = supervisor->current;
	int i = 0;

	while (i < STATS_WAITERS_MAX && supervisor->waiters[i].done)
		i++;
	if (!worker || worker->killed || worker->state != SUPERVISE_SERVING ||
	    i == STATS_WAITERS_MAX ||
	    worker->link.count > WORKER_LINK_OUTSTANDING_MAX / 2) {
		done(context, NULL);
		return;
	}
	supervise_worker_send(worker, IPC_STATS, 0, NULL, 0, -1);
	supervisor->waiters[i] = (struct stats_waiter){
		.done = done, .context = context, .worker = worker,
		.sequence = worker->link.sequence,
	};
}

void supervise_forget(struct supervisor *supervisor, void *context)
{
	for (int i = 0; i < STATS_WAITERS_MAX; i++) {
		if (supervisor->waiters[i].context == context)
			memset(&supervisor->waiters[i], 0, sizeof(supervisor->waiters[i]));
	}
}

void supervise_drain(struct supervisor *supervisor, uint32_t deadline_ms)
{
	supervisor->draining = true;
	supervisor->restart = sd_event_source_disable_unref(supervisor->restart);
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];

		/* Those that drain already had more time. */
		if (worker->pid)
			supervise_worker_drain(worker, deadline_ms, false);
	}
	if (!any_worker(supervisor))
		supervisor->callbacks.drained(supervisor->callbacks.context);
}

void supervise_accuse(struct supervisor *supervisor, const void *feed, const char *why)
{
	for (int i = 0; i < WORKERS_MAX; i++) {
		if (supervisor->workers[i].pid && supervisor->workers[i].audit == feed)
			supervise_worker_kill(&supervisor->workers[i], why);
	}
}

void supervise_kill(struct supervisor *supervisor)
{
	for (int i = 0; i < WORKERS_MAX; i++) {
		if (supervisor->workers[i].pid)
			supervise_worker_kill(&supervisor->workers[i], "the agent was told to end at once");
	}
}

void supervise_status(const struct supervisor *supervisor, struct supervise_status *status)
{
	const struct worker *worker = supervisor->current;

	memset(status, 0, sizeof(*status));
	status->restarts = supervisor->restarts;
	status->state = supervisor->draining ? SUPERVISE_DRAINING : SUPERVISE_DOWN;
	if (!worker)
		return;
	status->pid = worker->pid;
	status->state = worker->state;
	status->threads = worker->threads;
	status->image_sequence = worker->image_acked;
	for (int i = 0; i < WORKERS_MAX; i++)
		status->draining += supervisor->workers[i].pid &&
				    supervisor->workers[i].state == SUPERVISE_DRAINING;
}

bool supervise_settled(const struct supervisor *supervisor)
{
	const struct worker *worker = supervisor->current;

	return worker && worker->state == SUPERVISE_SERVING && !worker->killed &&
	       !supervisor->next && !supervisor->old_set && !supervisor->replacing &&
	       !supervisor->draining;
}

bool supervise_current(const struct supervisor *supervisor)
{
	return supervisor->current;
}

uint64_t supervise_image_sequence(const struct supervisor *supervisor)
{
	return supervisor->image_sequence;
}
