// SPDX-License-Identifier: Apache-2.0
/* One relay process and the messages to it, see relay_daemon.h. */
#include "control/relay_daemon_internal.h"

#include "kernel/steer.h"
#include "lib/ipc.h"
#include "lib/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void relay_child_kill(struct relay_child *child, const char *why)
{
	if (child->killed || !child->pid)
		return;
	log_error("relay killed: pid=%d reason=\"%s\"", (int)child->pid, why);
	child->killed = true;
	kill(child->pid, SIGKILL);
}

static bool is_waited_for(const struct relay_child *child)
{
	return child->count || child->state == RELAY_CHILD_STARTING || child->ending;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct relay_child *child = context;

	if (is_waited_for(child))
		relay_child_kill(child, "it did not answer in time");
	return 0;
}

/* The time runs for the oldest question. */
static void arm(struct relay_child *child)
{
	sd_event_source_set_time_relative(child->timer, ANSWER_US);
	sd_event_source_set_enabled(child->timer, is_waited_for(child) ? SD_EVENT_ONESHOT :
									 SD_EVENT_OFF);
}

static void take_out(struct relay_child *child, struct outstanding *question)
{
	*question = child->outstanding[child->first];
	child->first = (child->first + 1) % OUTSTANDING_MAX;
	child->count--;
}

void relay_child_clear(struct relay_child *child)
{
	child->io = sd_event_source_disable_unref(child->io);
	child->reaper = sd_event_source_disable_unref(child->reaper);
	child->timer = sd_event_source_disable_unref(child->timer);
	child->end = sd_event_source_disable_unref(child->end);
	if (child->sock >= 0)
		close(child->sock);
	if (child->counted >= 0)
		close(child->counted);
	child->sock = child->counted = -1;
	/* Whoever waits learns that nothing is carried there any more, and may ask others. */
	child->killed = true;
	while (child->count) {
		struct outstanding question;

		take_out(child, &question);
		relay_gather_answer(question.gather, child, question.type, NULL);
	}
	child->pid = 0;
}

void relay_child_reap(struct relay_child *child)
{
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	relay_child_clear(child);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct relay_child *child = context;
	const bool clean = info->si_code == CLD_EXITED && !info->si_status;

	if (clean && child->state == RELAY_CHILD_DRAINING)
		log_info("relay has drained: pid=%d", (int)info->si_pid);
	else
		log_error("relay ended: pid=%d %s=%d%s", (int)info->si_pid,
			  info->si_code == CLD_EXITED ? "status" : "signal", info->si_status,
			  child == child->daemon->current ?
				  "; containers with an exit reach nothing until the next one is ready" :
				  "");
	relay_daemon_ended(child, clean);
	return 0;
}

/* A port that the relay answers from. It has to do without where there is none. */
static int on_port(struct relay_child *child, const struct ipc_message *message,
		   const struct relay_port *port)
{
	int fd, ret;

	if (message->length != sizeof(*port) || !port->port || port->port > UINT16_MAX ||
	    (port->family != AF_INET && port->family != AF_INET6))
		return -1;
	fd = knl_steer_datagrams_from((sa_family_t)port->family, (uint16_t)port->port);
	/* Asked for again and again: told once. */
	if (fd < 0 && child->port_refused != port->port)
		log_warning("datagrams of containers cannot be answered from a port: port=%u "
			    "error=\"%s\" hint=\"another program has it at all addresses: bind it "
			    "to some\"", port->port, strerror(-fd));
	child->port_refused = fd < 0 ? port->port : 0;
	ret = ipc_send(child->sock, RELAY_PORT_SOCKET, 0, port, sizeof(*port), &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
	return ret && ret != -EPIPE && ret != -ECONNRESET ? -1 : 0;
}

/* 0, or -1 where it is no such message. */
static int on_learn(struct relay_child *child, const struct ipc_message *message,
		    const struct relay_learn *learn)
{
	const struct relay_daemon *daemon = child->daemon;
	struct relay_ack ack = { .status = -ENOSYS };

	if (message->length != sizeof(*learn) || learn->count > NAMES_ADDRESSES_MAX ||
	    !memchr(learn->name, '\0', sizeof(learn->name)))
		return -1;
	for (unsigned int i = 0; i < learn->count; i++) {
		if (learn->addresses[i].family != AF_INET && learn->addresses[i].family != AF_INET6)
			return -1;
	}
	if (daemon->learn)
		ack.status = daemon->learn(daemon->attach_context, learn);
	/* Where its channel is full the relay gives the query up. */
	ipc_send(child->sock, RELAY_LEARNED, message->sequence, &ack, sizeof(ack), NULL, 0);
	return 0;
}

/* What answers a question of @type. */
static void expect(uint32_t type, uint32_t *reply, size_t *length)
{
	switch (type) {
	case RELAY_POLICY:
		*reply = RELAY_ACK;
		*length = sizeof(struct relay_ack);
		return;
	case RELAY_STATS:
		*reply = RELAY_STATS_REPLY;
		*length = sizeof(struct relay_stats);
		return;
	default:
		*reply = RELAY_TOTALS_REPLY;
		*length = sizeof(struct relay_totals);
	}
}

/* 0, or -1 where the message does not fit what was asked. */
static int on_message(struct relay_child *child, const struct ipc_message *message,
		      const void *payload)
{
	const struct relay_ack *ack = payload;
	struct outstanding question;
	uint32_t reply;
	size_t length;

	if (message->type == RELAY_READY && child->state == RELAY_CHILD_STARTING) {
		child->state = RELAY_CHILD_READY;
		relay_daemon_ready(child);
		return 0;
	}
	if (message->type == RELAY_PORT && child->state >= RELAY_CHILD_SERVING)
		return on_port(child, message, payload);
	if (message->type == RELAY_LEARN)
		return on_learn(child, message, payload);
	if (!child->count)
		return -1;
	question = child->outstanding[child->first];
	expect(question.type, &reply, &length);
	if (message->sequence != question.sequence || message->type != reply ||
	    message->length != length)
		return -1;
	take_out(child, &question);
	if (question.type == RELAY_POLICY && ack->status) {
		log_error("relay refuses the policy: error=\"%s\"", strerror(-ack->status));
		relay_child_kill(child, "it goes on with what was revoked");
	}
	relay_gather_answer(question.gather, child, question.type, payload);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct relay_child *child = context;
	union {
		struct relay_ack	ack;
		struct relay_stats	stats;
		struct relay_totals	totals;
		struct relay_port	port;
		struct relay_learn	learn;
	} payload;
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count;
	ssize_t ret;

	memset(&payload, 0, sizeof(payload));
	while ((ret = ipc_receive(fd, &message, &payload, sizeof(payload), fds, &count)) >= 0) {
		while (count)
			close(fds[--count]);
		if (message.type == RELAY_STATS_REPLY)
			payload.stats.fault[sizeof(payload.stats.fault) - 1] = '\0';
		if (on_message(child, &message, &payload)) {
			relay_child_kill(child, "its message does not fit");
			break;
		}
	}
	if (ret < 0 && ret != -EAGAIN) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		if (ret != -ECONNRESET)
			relay_child_kill(child, "its channel is broken");
		return 0;
	}
	arm(child);
	return 0;
}

int relay_child_ask(struct relay_child *child, uint32_t type, struct relay_gather *gather,
		    const void *payload, size_t len, int fd)
{
	struct outstanding *slot;
	int ret;

	if (child->count == OUTSTANDING_MAX)
		return -ENOBUFS;
	slot = &child->outstanding[(child->first + child->count) % OUTSTANDING_MAX];
	*slot = (struct outstanding){ .type = type, .sequence = ++child->sequence,
				      .gather = gather };
	ret = ipc_send(child->sock, type, slot->sequence, payload, len, &fd, fd >= 0);
	if (ret)
		return ret;
	if (gather)
		gather->pending++;
	if (!child->count++)
		arm(child);
	return 0;
}

static int on_end(sd_event_source *source, uint64_t usec, void *context)
{
	log_warning("relay is ended with what it still carries: pid=%d reason=\"handover_timeout\"",
		    (int)((struct relay_child *)context)->pid);
	relay_child_end(context);
	return 0;
}

int relay_child_watch_end(struct relay_child *child)
{
	return sd_event_add_time(child->daemon->event, &child->end, CLOCK_MONOTONIC, child->end_at,
				 1000, on_end, child) < 0 ? -ENOMEM : 0;
}

int relay_child_drain(struct relay_child *child, uint64_t end_at)
{
	int ret = 0;

	child->counted = memfd_create("hoody-relay-counted", MFD_CLOEXEC);
	if (child->counted < 0)
		return -errno;
	child->end_at = end_at;
	ret = relay_child_watch_end(child);
	if (!ret)
		ret = ipc_send(child->sock, RELAY_DRAIN, 0, NULL, 0, &child->counted, 1);
	if (!ret)
		child->state = RELAY_CHILD_DRAINING;
	return ret;
}

void relay_child_end(struct relay_child *child)
{
	if (child->ending || child->killed)
		return;
	child->ending = true;
	if (ipc_send(child->sock, RELAY_END, 0, NULL, 0, NULL, 0))
		relay_child_kill(child, "its channel is broken");
	else
		arm(child);
}

int relay_child_watch(struct relay_child *child)
{
	sd_event *event = child->daemon->event;

	if (sd_event_add_child(event, &child->reaper, child->pid, WEXITED, on_child, child) < 0 ||
	    sd_event_add_io(event, &child->io, child->sock, EPOLLIN, on_io, child) < 0 ||
	    sd_event_add_time_relative(event, &child->timer, CLOCK_MONOTONIC, ANSWER_US, 1000,
				       on_timer, child) < 0)
		return -ENOMEM;
	return 0;
}

struct relay_child *relay_child_start(struct relay_daemon *daemon)
{
	struct relay_child *child = relay_daemon_place(daemon);
	pid_t pid;
	int ret;

	if (!child)
		return NULL;
	pid = spawn_relay(&daemon->identity, &child->sock);
	if (pid < 0) {
		log_error("relay cannot be started: error=\"%s\"", strerror(-(int)pid));
		return NULL;
	}
	child->pid = pid;
	ret = relay_child_watch(child);
	if (ret) {
		relay_child_reap(child);
		return NULL;
	}
	ret = relay_child_ask(child, RELAY_POLICY, NULL, NULL, 0, daemon->policy);
	/* It may have ended already; then it is reaped and started again. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		relay_child_kill(child, strerror(-ret));
	return child;
}
