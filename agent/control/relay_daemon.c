// SPDX-License-Identifier: Apache-2.0
/* The relay's life and the messages to it, see relay_daemon.h. */
#include "control/relay_daemon_internal.h"

#include "kernel/steer.h"
#include "lib/ipc.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_US		(10 * 1000000ull)	/* to start, or to answer */
#define BACKOFF_FIRST_US	(100 * 1000ull)
#define BACKOFF_MAX_US		(10 * 1000000ull)

static const sa_family_t families[] = { AF_INET, AF_INET6 };
#define FAMILIES	(sizeof(families) / sizeof(families[0]))

static void start(struct relay_daemon *daemon);

bool relay_daemon_is_ready(const struct relay_daemon *daemon)
{
	return daemon->ready;
}

static void kill_relay(struct relay_daemon *daemon, const char *why)
{
	if (daemon->killed || !daemon->pid)
		return;
	log_error("relay killed: pid=%d reason=\"%s\"", (int)daemon->pid, why);
	daemon->killed = true;
	kill(daemon->pid, SIGKILL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct relay_daemon *daemon = context;

	if (daemon->count || !daemon->ready)
		kill_relay(daemon, "it did not answer in time");
	return 0;
}

/* The time runs for the oldest question. */
static void arm(struct relay_daemon *daemon)
{
	sd_event_source_set_time_relative(daemon->timer, ANSWER_US);
	sd_event_source_set_enabled(daemon->timer, daemon->count || !daemon->ready ?
							   SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* @payload: what was asked for, or NULL. */
static void answer(const struct outstanding *question, const void *payload)
{
	if (question->done)
		question->done(question->context);
	if (question->stats_done)
		question->stats_done(question->context, payload);
	if (question->totals_done)
		question->totals_done(question->context, payload);
}

static void close_sockets(struct relay_daemon *daemon)
{
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		if (daemon->sockets[i] >= 0)
			close(daemon->sockets[i]);
		daemon->sockets[i] = -1;
	}
}

/* Whoever waits learns that nothing is carried any more. */
static void give_up_outstanding(struct relay_daemon *daemon)
{
	while (daemon->count) {
		const struct outstanding question = daemon->outstanding[daemon->first];

		daemon->first = (daemon->first + 1) % OUTSTANDING_MAX;
		daemon->count--;
		answer(&question, NULL);
	}
}

static int on_restart(sd_event_source *source, uint64_t usec, void *context)
{
	struct relay_daemon *daemon = context;

	daemon->restart = sd_event_source_disable_unref(daemon->restart);
	start(daemon);
	return 0;
}

void relay_daemon_clear_process(struct relay_daemon *daemon)
{
	daemon->io = sd_event_source_disable_unref(daemon->io);
	daemon->child = sd_event_source_disable_unref(daemon->child);
	daemon->timer = sd_event_source_disable_unref(daemon->timer);
	if (daemon->sock >= 0)
		close(daemon->sock);
	daemon->sock = -1;
	daemon->pid = 0;
	daemon->ready = false;
	daemon->killed = false;
	close_sockets(daemon);
}

void relay_daemon_start_later(struct relay_daemon *daemon)
{
	daemon->backoff = daemon->backoff ? daemon->backoff * 2 : BACKOFF_FIRST_US;
	if (daemon->backoff > BACKOFF_MAX_US)
		daemon->backoff = BACKOFF_MAX_US;
	daemon->restart = sd_event_source_disable_unref(daemon->restart);
	if (sd_event_add_time_relative(daemon->event, &daemon->restart, CLOCK_MONOTONIC,
				       daemon->backoff, 1000, on_restart, daemon) < 0)
		log_error("the relay cannot be started again: out of memory");
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct relay_daemon *daemon = context;

	log_error("relay ended: pid=%d %s=%d; containers with an exit reach nothing until the next "
		  "one is ready", (int)info->si_pid,
		  info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
	relay_daemon_clear_process(daemon);
	relay_daemon_start_later(daemon);
	give_up_outstanding(daemon);
	return 0;
}

/* It takes connections: from here on the programs may steer to it. */
static void on_ready(struct relay_daemon *daemon)
{
	int ret = 0;

	daemon->ready = true;
	daemon->backoff = 0;
	for (size_t i = 0; i < FW_RELAY_SOCKETS && !ret; i++) {
		if (daemon->sockets[i] >= 0)
			ret = daemon->attach(daemon->attach_context, (enum fw_relay_socket)i,
					     daemon->sockets[i]);
	}
	/* The relay holds them alone: they go when it goes. */
	close_sockets(daemon);
	if (ret) {
		log_error("the firewall's programs do not take the relay's sockets: error=\"%s\"",
			  strerror(-ret));
		kill_relay(daemon, "it cannot be reached");
	}
}

/* A port that the relay answers from. It has to do without where there is none. */
static int on_port(struct relay_daemon *daemon, const struct ipc_message *message,
		   const struct relay_port *port)
{
	int fd, ret;

	if (message->length != sizeof(*port) || !port->port || port->port > UINT16_MAX ||
	    (port->family != AF_INET && port->family != AF_INET6))
		return -1;
	fd = knl_steer_datagrams_from((sa_family_t)port->family, (uint16_t)port->port);
	/* Asked for again and again: told once. */
	if (fd < 0 && daemon->port_refused != port->port)
		log_warning("datagrams of containers cannot be answered from a port: port=%u "
			    "error=\"%s\" hint=\"another program has it at all addresses: bind it "
			    "to some\"", port->port, strerror(-fd));
	daemon->port_refused = fd < 0 ? port->port : 0;
	ret = ipc_send(daemon->sock, RELAY_PORT_SOCKET, 0, port, sizeof(*port), &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
	return ret && ret != -EPIPE && ret != -ECONNRESET ? -1 : 0;
}

/* 0, or -1 where it is no such message. */
static int on_learn(struct relay_daemon *daemon, const struct ipc_message *message,
		    const struct relay_learn *learn)
{
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
	ipc_send(daemon->sock, RELAY_LEARNED, message->sequence, &ack, sizeof(ack), NULL, 0);
	return 0;
}

void relay_daemon_learns(struct relay_daemon *daemon, relay_daemon_learn *learn)
{
	daemon->learn = learn;
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
static int on_message(struct relay_daemon *daemon, const struct ipc_message *message,
		      const void *payload)
{
	const struct relay_ack *ack = payload;
	struct outstanding question;
	uint32_t reply;
	size_t length;

	if (message->type == RELAY_READY && !daemon->ready) {
		on_ready(daemon);
		return 0;
	}
	if (message->type == RELAY_PORT && daemon->ready)
		return on_port(daemon, message, payload);
	if (message->type == RELAY_LEARN)
		return on_learn(daemon, message, payload);
	if (!daemon->count)
		return -1;
	question = daemon->outstanding[daemon->first];
	expect(question.type, &reply, &length);
	if (message->sequence != question.sequence || message->type != reply ||
	    message->length != length)
		return -1;
	daemon->first = (daemon->first + 1) % OUTSTANDING_MAX;
	daemon->count--;
	if (question.type == RELAY_POLICY && ack->status) {
		log_error("relay refuses the policy: error=\"%s\"", strerror(-ack->status));
		kill_relay(daemon, "it goes on with what was revoked");
	}
	answer(&question, payload);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct relay_daemon *daemon = context;
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
		if (on_message(daemon, &message, &payload)) {
			kill_relay(daemon, "its message does not fit");
			break;
		}
	}
	if (ret < 0 && ret != -EAGAIN) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		if (ret != -ECONNRESET)
			kill_relay(daemon, "its channel is broken");
		return 0;
	}
	arm(daemon);
	return 0;
}

/* Sends a question and remembers it. */
static int ask(struct relay_daemon *daemon, const struct outstanding *question, const void *payload,
	       size_t len, int fd)
{
	struct outstanding *slot;
	int ret;

	if (daemon->count == OUTSTANDING_MAX)
		return -ENOBUFS;
	slot = &daemon->outstanding[(daemon->first + daemon->count) % OUTSTANDING_MAX];
	*slot = *question;
	slot->sequence = ++daemon->sequence;
	ret = ipc_send(daemon->sock, question->type, slot->sequence, payload, len, &fd, fd >= 0);
	if (ret)
		return ret;
	if (!daemon->count++)
		arm(daemon);
	return 0;
}

static bool is_missing(int error)
{
	return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

/* For containers whose connections have to say a name: none of it is port 53's. */
static int open_strict(struct relay_daemon *daemon, size_t family)
{
	int *tcp = &daemon->sockets[FW_RELAY_STRICT_TCP4 + family];
	int *udp = &daemon->sockets[FW_RELAY_STRICT_UDP4 + family];

	*tcp = knl_steer_listen(families[family]);
	if (*tcp < 0)
		return *tcp;
	*udp = knl_steer_datagrams_from(families[family], 0);
	return *udp < 0 ? *udp : 0;
}

/* Routes and sockets; a family that the host lacks is left out. */
static int open_sockets(struct relay_daemon *daemon)
{
	int ret, found = 0;

	for (size_t i = 0; i < FAMILIES; i++) {
		ret = knl_steer_listen(families[i]);
		if (is_missing(ret))
			continue;
		if (ret < 0)
			return ret;
		daemon->sockets[FW_RELAY_TCP4 + i] = ret;
		found++;
		ret = knl_steer_datagrams(families[i]);
		if (ret >= 0)
			daemon->sockets[FW_RELAY_UDP4 + i] = ret;
		else
			log_warning("names behind exits cannot be asked over UDP: family=IPv%d "
				    "error=\"%s\" hint=\"another program has port 53 of all "
				    "addresses: bind it to some\"", i ? 6 : 4, strerror(-ret));
		ret = open_strict(daemon, i);
		if (!ret)
			ret = knl_steer_routes_add(families[i]);
		if (ret)
			return ret;
	}
	return found ? 0 : -EAFNOSUPPORT;
}

static int send_sockets(struct relay_daemon *daemon)
{
	struct relay_sockets message = { 0 };
	int fds[FW_RELAY_SOCKETS];

	for (uint32_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		if (daemon->sockets[i] < 0)
			continue;
		message.which[message.count] = i;
		fds[message.count++] = daemon->sockets[i];
	}
	return ipc_send(daemon->sock, RELAY_SOCKETS, 0, &message, sizeof(message), fds,
			message.count);
}

int relay_daemon_watch(struct relay_daemon *daemon)
{
	if (sd_event_add_child(daemon->event, &daemon->child, daemon->pid, WEXITED, on_child,
			       daemon) < 0 ||
	    sd_event_add_io(daemon->event, &daemon->io, daemon->sock, EPOLLIN, on_io, daemon) < 0 ||
	    sd_event_add_time_relative(daemon->event, &daemon->timer, CLOCK_MONOTONIC, ANSWER_US,
				       1000, on_timer, daemon) < 0)
		return -ENOMEM;
	return 0;
}

static void start(struct relay_daemon *daemon)
{
	const struct outstanding question = { .type = RELAY_POLICY };
	pid_t pid;
	int ret;

	ret = open_sockets(daemon);
	if (ret) {
		log_error("the relay's sockets cannot be made: error=\"%s\"", strerror(-ret));
		goto err_sockets;
	}
	pid = spawn_relay(&daemon->identity, &daemon->sock);
	if (pid < 0) {
		log_error("relay cannot be started: error=\"%s\"", strerror(-(int)pid));
		goto err_sockets;
	}
	daemon->pid = pid;
	ret = relay_daemon_watch(daemon);
	if (ret)
		goto err_process;
	ret = send_sockets(daemon) ?:
	      ask(daemon, &question, NULL, 0, daemon->policy);
	/* It may have ended already; then it is reaped and started again. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		kill_relay(daemon, strerror(-ret));
	return;
err_process:
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	relay_daemon_clear_process(daemon);
err_sockets:
	close_sockets(daemon);
	relay_daemon_start_later(daemon);
}

static int make_file(const char *text, size_t len)
{
	int fd = memfd_create("hoody-exits", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < len) {
		const ssize_t written = write(fd, text + done, len - done);

		if (written < 0)
			goto err_close;
		done += (size_t)written;
	}
	if (!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		return fd;
err_close:
	ret = -errno;
	close(fd);
	return ret;
}

int relay_daemon_policy(struct relay_daemon *daemon, const char *text, size_t len,
			relay_daemon_done *done, void *context)
{
	const struct outstanding question = { .type = RELAY_POLICY, .done = done,
					      .context = context };
	int fd = len > RELAY_POLICY_BYTES_MAX ? -E2BIG : make_file(text, len), ret = 0;

	if (fd < 0)
		return fd;
	if (daemon->pid && !daemon->killed)
		ret = ask(daemon, &question, NULL, 0, fd);
	else if (done)
		ret = -ENOTCONN;
	if (ret && daemon->pid && ret != -EPIPE && ret != -ECONNRESET && ret != -ENOTCONN)
		kill_relay(daemon, "its channel is full: it does not read");
	/* This one or the next: it starts with what was said last. */
	if (daemon->policy >= 0)
		close(daemon->policy);
	daemon->policy = fd;
	if (!daemon->pid && !daemon->restart)
		start(daemon);
	return ret;
}

int relay_daemon_stats(struct relay_daemon *daemon, const uint8_t id[ID_LEN],
		       relay_daemon_stats_done *done, void *context)
{
	const struct outstanding question = { .type = RELAY_STATS, .stats_done = done,
					      .context = context };
	struct relay_stats_query query = { 0 };

	if (!daemon->ready || daemon->killed)
		return -ENOTCONN;
	memcpy(query.id, id, ID_LEN);
	return ask(daemon, &question, &query, sizeof(query), -1);
}

int relay_daemon_totals(struct relay_daemon *daemon, relay_daemon_totals_done *done, void *context)
{
	const struct outstanding question = { .type = RELAY_TOTALS, .totals_done = done,
					      .context = context };

	if (!daemon->ready || daemon->killed)
		return -ENOTCONN;
	return ask(daemon, &question, NULL, 0, -1);
}

struct relay_daemon *relay_daemon_create(sd_event *event, const struct spawn_identity *identity,
					 relay_daemon_attach *attach, void *context)
{
	struct relay_daemon *daemon = calloc(1, sizeof(*daemon));

	if (!daemon)
		return NULL;
	daemon->event = event;
	daemon->identity = *identity;
	daemon->attach = attach;
	daemon->attach_context = context;
	daemon->sock = daemon->policy = -1;
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++)
		daemon->sockets[i] = -1;
	return daemon;
}

void relay_daemon_destroy(struct relay_daemon *daemon)
{
	if (!daemon)
		return;
	give_up_outstanding(daemon);
	sd_event_source_disable_unref(daemon->restart);
	if (daemon->pid) {
		/* Nothing leaves from here on, and nobody is asked to finish. */
		kill(daemon->pid, SIGKILL);
		waitpid(daemon->pid, NULL, 0);
	}
	relay_daemon_clear_process(daemon);
	if (daemon->policy >= 0)
		close(daemon->policy);
	for (size_t i = 0; i < FAMILIES; i++)
		knl_steer_routes_remove(families[i]);
	free(daemon);
}
