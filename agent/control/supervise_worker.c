// SPDX-License-Identifier: Apache-2.0
/*
 * One worker process, from its start to its reaping, see supervise.h: what is
 * sent to it, what it answers, and the time that it has for that.
 */
#include "control/supervise_internal.h"
#include "lib/log.h"
#include "lib/pass_memory.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENDED_MS	1000	/* from the end of its channel to its own end */

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t supervise_in_ms(uint64_t ms)
{
	return now_us() + ms * 1000;
}

void supervise_worker_kill(struct worker *worker, const char *why)
{
	if (worker->killed)
		return;
	log_error("worker killed: pid=%d reason=\"%s\"", (int)worker->pid, why);
	worker->killed = true;
	kill(worker->pid, SIGKILL);
}

/* Sets the timer to whatever is due first. */
static void arm(struct worker *worker)
{
	uint64_t due = worker_link_deadline(&worker->link);

	if (worker->kill_at && worker->kill_at < due)
		due = worker->kill_at;
	if (due == UINT64_MAX) {
		sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(worker->timer, due);
	sd_event_source_set_enabled(worker->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct worker *worker = context;
	uint64_t now = now_us();

	if (worker_link_deadline(&worker->link) <= now)
		supervise_worker_kill(worker, "it did not answer in time");
	else if (worker->kill_at && worker->kill_at <= now)
		supervise_worker_kill(worker, worker->state == SUPERVISE_DRAINING ?
				    "it did not end by the deadline of its drain" :
				    "it was not ready in time");
	else
		arm(worker);
	return 0;
}

/* What a worker needs to answer by; one that starts has more to do. */
static uint64_t answer_by(const struct worker *worker)
{
	return supervise_in_ms(worker->state == SUPERVISE_STARTING ? SUPERVISE_START_MS :
							   SUPERVISE_ANSWER_MS);
}

void supervise_worker_send(struct worker *worker, uint32_t type, uint64_t sequence,
			   const void *payload, size_t length, int fd)
{
	int ret;

	if (worker->killed)
		return;
	ret = worker_link_send(&worker->link, type, sequence, payload, length, &fd, fd >= 0,
			       answer_by(worker));
	/* -EPIPE: it has ended and will be reaped in a moment. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		supervise_worker_kill(worker, "its channel is full: it does not read");
	arm(worker);
}

void supervise_worker_drain(struct worker *worker, uint32_t deadline_ms, bool replaced)
{
	const struct ipc_drain drain = { .deadline_ms = deadline_ms, .replaced = replaced };

	supervise_worker_send(worker, IPC_DRAIN, 0, &drain, sizeof(drain), -1);
	worker->state = SUPERVISE_DRAINING;
	worker->kill_at = supervise_in_ms((uint64_t)deadline_ms + KILL_MARGIN_MS);
	arm(worker);
}

static void on_ack(struct worker *worker, const struct worker_link_answer *answer)
{
	if (answer->type == IPC_STATS) {
		supervise_answer_stats(worker->supervisor, worker, answer->sequence);
	} else if (answer->status == 0) {
		if (answer->type == IPC_IMAGE)
			worker->image_acked = answer->sequence;
		else if (answer->type == IPC_CERTIFICATE)
			worker->certificate_acked = answer->sequence;
	} else if (answer->type == IPC_CERTIFICATE && worker->state != SUPERVISE_STARTING) {
		log_error("worker refuses the certificate and keeps the old one: pid=%d error=\"%s\"",
			  (int)worker->pid, strerror(-answer->status));
	} else {
		log_error("worker refuses: pid=%d message=%s error=\"%s\"", (int)worker->pid,
			  answer->type == IPC_IMAGE ? "image" :
			  answer->type == IPC_CERTIFICATE ? "certificate" :
			  answer->type == IPC_AUDIT ? "audit" :
			  answer->type == IPC_PASSES ? "passes" : "drain",
			  strerror(-answer->status));
		supervise_worker_kill(worker, worker->state == SUPERVISE_STARTING ?
					      "it refuses what it needs to start" :
					      "it goes on with what was revoked");
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct worker *worker = context;
	struct supervisor *supervisor = worker->supervisor;
	struct worker_link_answer answer;
	enum worker_link_event event;
	const char *fault = "";

	while ((event = worker_link_receive(&worker->link, &answer, &fault))) {
		if (event == WORKER_LINK_READY) {
			if (worker->state == SUPERVISE_STARTING)
				supervise_worker_ready(supervisor, worker);
			else
				supervise_worker_kill(worker, "it was ready twice");
		} else if (event == WORKER_LINK_ACK) {
			on_ack(worker, &answer);
		} else if (event == WORKER_LINK_API) {
			supervisor->callbacks.api(supervisor->callbacks.context, answer.fd);
		} else if (event == WORKER_LINK_STATS) {
			worker->stats = answer.stats;
			supervise_answer_stats(supervisor, worker, answer.sequence);
		} else {
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
			if (event == WORKER_LINK_BROKEN)
				supervise_worker_kill(worker, fault);
			worker->kill_at = supervise_in_ms(ENDED_MS);
			break;
		}
	}
	arm(worker);
	supervisor->callbacks.progress(supervisor->callbacks.context);
	return 0;
}

void supervise_worker_clear(struct worker *worker)
{
	struct supervisor *supervisor = worker->supervisor;

	if (worker->audit)
		supervisor->callbacks.audit_detach(supervisor->callbacks.context, worker->audit);
	sd_event_source_disable_unref(worker->child);
	sd_event_source_disable_unref(worker->io);
	sd_event_source_disable_unref(worker->timer);
	if (worker->link.sock >= 0)
		close(worker->link.sock);
	if (supervisor->passes >= 0)
		pass_memory_forget(supervisor->passes, worker - supervisor->workers);
	memset(worker, 0, sizeof(*worker));
	worker->link.sock = -1;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct worker *worker = context;
	bool clean = info->si_code == CLD_EXITED && info->si_status == 0;

	if (clean && worker->state == SUPERVISE_DRAINING)
		log_info("worker ended: pid=%d", (int)info->si_pid);
	else if (info->si_code == CLD_EXITED)
		log_error("worker ended by itself: pid=%d status=%d", (int)info->si_pid,
			  info->si_status);
	else
		log_error("worker ended by a signal: pid=%d signal=%s core=%s", (int)info->si_pid,
			  sigabbrev_np(info->si_status) ? sigabbrev_np(info->si_status) : "?",
			  info->si_code == CLD_DUMPED ? "yes" : "no");
	supervise_worker_ended(worker->supervisor, worker);
	return 0;
}

/* Without audit a worker serves nevertheless: that is logged and counted. */
static void feed_audit(struct supervisor *supervisor, struct worker *worker)
{
	struct ipc_audit message = { .rings = worker->threads };
	int fds[2], ret;

	if (!supervisor->callbacks.audit_attach ||
	    supervisor->callbacks.audit_attach(supervisor->callbacks.context, &message, fds,
					       &worker->audit))
		return;
	ret = worker_link_send(&worker->link, IPC_AUDIT, 0, &message, sizeof(message), fds, 2,
			       answer_by(worker));
	if (ret)
		supervise_worker_kill(worker, strerror(-ret));
	close(fds[0]);
	close(fds[1]);
}

_Static_assert(PASS_REGIONS == WORKERS_MAX, "each worker has a region of its own");

/* Without it a worker keeps passes of its own, which end with it. */
static void feed_passes(struct supervisor *supervisor, struct worker *worker)
{
	const unsigned int region = worker - supervisor->workers;

	if (supervisor->passes < 0)
		supervisor->passes = pass_memory_create();
	if (supervisor->passes < 0) {
		log_error("no memory for passes that outlive their worker: error=\"%s\"",
			  strerror(-supervisor->passes));
		return;
	}
	/* Who had the slot before was killed, and may have written until it was reaped. */
	pass_memory_forget(supervisor->passes, region);
	supervise_worker_send(worker, IPC_PASSES, 0, NULL, 0, supervisor->passes);
}

/* All that a worker needs before it can be ready, in the order of lib/ipc.h. */
static void feed(struct supervisor *supervisor, struct worker *worker)
{
	struct ipc_listeners message;
	int fds[IPC_FDS_MAX], ret;
	unsigned int count;

	count = listen_message(supervisor->set, worker - supervisor->workers, &message, fds);
	ret = worker_link_send(&worker->link, IPC_LISTENERS, 0, &message, sizeof(message), fds,
			       count, 0);
	if (ret) {
		supervise_worker_kill(worker, strerror(-ret));
		return;
	}
	feed_audit(supervisor, worker);
	feed_passes(supervisor, worker);
	if (supervisor->certificate >= 0)
		supervise_worker_send(worker, IPC_CERTIFICATE, supervisor->certificate_sequence,
				      NULL, 0, supervisor->certificate);
	supervise_worker_send(worker, IPC_IMAGE, supervisor->image_sequence, NULL, 0,
			      supervisor->image);
}

int supervise_worker_watch(struct worker *worker)
{
	sd_event *event = worker->supervisor->event;

	if (sd_event_add_child(event, &worker->child, worker->pid, WEXITED, on_child, worker) < 0 ||
	    sd_event_add_io(event, &worker->io, worker->link.sock, EPOLLIN, on_io, worker) < 0 ||
	    sd_event_add_time(event, &worker->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer,
			      worker) < 0)
		return -ENOMEM;
	arm(worker);
	return 0;
}

struct worker *supervise_worker_start(struct supervisor *supervisor)
{
	struct worker *worker = supervisor->workers;
	pid_t pid;

	while (worker->pid) {
		if (++worker == supervisor->workers + WORKERS_MAX)
			return NULL;
	}
	memset(worker, 0, sizeof(*worker));
	worker->supervisor = supervisor;
	pid = spawn_worker(&supervisor->identity, &worker->link.sock);
	if (pid < 0) {
		log_error("worker cannot be started: error=\"%s\"", strerror(-(int)pid));
		worker->link.sock = -1;
		return NULL;
	}
	worker->pid = pid;
	worker->state = SUPERVISE_STARTING;
	worker->threads = supervisor->set->message.threads;
	worker->started_at = now_us();
	worker->kill_at = supervise_in_ms(SUPERVISE_START_MS);
	if (supervise_worker_watch(worker)) {
		log_error("worker cannot be watched: error=\"%s\"", strerror(ENOMEM));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		supervise_worker_clear(worker);
		return NULL;
	}
	feed(supervisor, worker);
	return worker;
}
