// SPDX-License-Identifier: Apache-2.0
/*
 * The relay process: control's messages and the listeners. It ends when control
 * is gone, and takes no connection before the first policy and the sandbox.
 *
 *	policy -> READY -> sockets -> serves -> DRAIN: serves what is open -> ends
 */
#include "relay/strict.h"
#include "relay/udp.h"

#include "front/sandbox.h"
#include "lib/ipc.h"
#include "lib/log.h"
#include "names/forward.h"
#include "relay/counted.h"
#include "relay/health.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>

#define ACCEPTS_PER_TURN	64

struct relay_listener {
	struct loop_source	source;
	struct loop_timer	pause;		/* no descriptors: tries again later */
	struct loop_task	more;
	struct relay		*relay;
	bool			datagrams, strict;
};

struct relay_process {
	struct relay		relay;
	bool			has_sockets;
	struct loop_source	control;
	struct relay_listener	listeners[FW_RELAY_SOCKETS];
	bool			ready;
	int			counted;	/* memfd, while it drains; else -1 */
	int			status;
};

/* Where distributions keep the certificates that they trust. */
static const char *const trusted[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static const uint32_t durations[LOOP_TIMER_CLASSES] = {
	[LOOP_TIMER_CONNECT] = 15000,		/* until an exit carries a connection: the policy says */
	[LOOP_TIMER_UPGRADE] = 24 * 3600 * 1000,	/* idle: as the firewall's flows */
	[LOOP_TIMER_LINGER] = 1800 * 1000,	/* half closed: the same */
	[LOOP_TIMER_ACCEPT] = 100,
	[LOOP_TIMER_KEEPALIVE] = 120 * 1000,	/* idle UDP (RFC 4787 4.3) */
	[LOOP_TIMER_RESPONSE] = 5000,		/* of a DNS server over TCP, or of control */
	[LOOP_TIMER_HEAD] = 1500,		/* the same over UDP: then asked again */
	[LOOP_TIMER_EXPIRY] = 3000,		/* of an address of a proxy that has others */
	[LOOP_TIMER_HANDSHAKE] = 10000,		/* a container's idle TCP to port 53 */
};

static void load_trust(struct relay *relay)
{
	relay->trust = X509_STORE_new();
	for (size_t i = 0; relay->trust && i < sizeof(trusted) / sizeof(trusted[0]); i++) {
		if (X509_STORE_load_file(relay->trust, trusted[i]))
			break;
	}
	ERR_clear_error();
}

bool relay_address(const struct sockaddr_storage *storage, struct address *address, uint16_t *port)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;

	memset(address, 0, sizeof(*address));
	address->family = storage->ss_family;
	if (storage->ss_family == AF_INET) {
		address->v4 = v4->sin_addr;
		*port = ntohs(v4->sin_port);
	} else if (storage->ss_family == AF_INET6) {
		address->v6 = v6->sin6_addr;
		*port = ntohs(v6->sin6_port);
	} else {
		return false;
	}
	return true;
}

static void take(struct relay *relay, int fd, const struct sockaddr_storage *from, bool strict)
{
	struct address peer, destination;
	const struct relay_container *container;
	struct sockaddr_storage local = { 0 };
	socklen_t len = sizeof(local);
	uint16_t port, unused;

	if (!relay_address(from, &peer, &unused) ||
	    getsockname(fd, (struct sockaddr *)&local, &len) ||
	    !relay_address(&local, &destination, &port)) {
		close(fd);
		return;
	}
	/* A name is asked of the container's servers, whatever resolver it names. */
	container = port == 53 ? relay_policy_by_address(relay->policy, &peer) : NULL;
	if (container && relay_policy_forwards(container)) {
		names_stream_start(relay->names, fd, &peer, &destination);
		return;
	}
	relay_session_start(relay, fd, &peer, &destination, port, strict);
}

static void take_datagrams(struct relay_listener *listener)
{
	if (relay_take_datagrams(listener->relay, listener->source.fd, listener->strict))
		loop_post(&listener->relay->loop, &listener->more);
}

static void accept_some(struct relay_listener *listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		const int fd = accept4(listener->source.fd, (struct sockaddr *)&from, &len,
				       SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(listener->relay, fd, &from, listener->strict);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			loop_timer_start(&listener->relay->loop, &listener->pause,
					 LOOP_TIMER_ACCEPT);
			return;
		}
	}
	loop_post(&listener->relay->loop, &listener->more);
}

static void on_more(struct loop_task *task)
{
	struct relay_listener *listener = container_of(task, struct relay_listener, more);

	/* What comes is the next relay's. */
	if (listener->relay->draining)
		return;
	if (listener->datagrams)
		take_datagrams(listener);
	else
		accept_some(listener);
}

static void on_pause_over(struct loop_timer *timer, enum loop_timer_class class)
{
	on_more(&container_of(timer, struct relay_listener, pause)->more);
}

static void on_listener(struct loop_source *source, uint32_t events)
{
	on_more(&container_of(source, struct relay_listener, source)->more);
}

/* From here on it takes what comes. */
static int take_sockets(struct relay_process *process, const struct ipc_message *message,
			const struct relay_sockets *sockets, const int *fds, size_t count)
{
	int ret = 0;

	if (!process->ready || process->has_sockets || message->length != sizeof(*sockets) ||
	    !count || sockets->count != count || count > FW_RELAY_SOCKETS)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (sockets->which[i] >= FW_RELAY_SOCKETS)
			return -EINVAL;
		process->listeners[sockets->which[i]].source.fd = fds[i];
	}
	process->has_sockets = true;
	for (size_t i = 0; !ret && i < FW_RELAY_SOCKETS; i++) {
		if (process->listeners[i].source.fd >= 0)
			ret = loop_add(&process->relay.loop, &process->listeners[i].source,
				       EPOLLIN | EPOLLET);
	}
	if (ret)
		log_error("event=serve_failed error=\"%s\"", strerror(-ret));
	else
		log_info("event=relay_serves");
	return ret;
}

void relay_left(struct relay *relay)
{
	if (relay->draining && !relay->sessions_count && !relay->names->queries_count &&
	    !relay->names->streams_count)
		relay->loop.stop = true;
}

/*
 * The sockets are another relay's too: those of connections are closed, those of
 * datagrams stay for answers to queries that are under way.
 */
static int drain(struct relay_process *process, const int *fds, size_t count)
{
	struct relay *relay = &process->relay;

	if (!process->has_sockets || relay->draining || count != 1)
		return -EINVAL;
	process->counted = fds[0];
	relay->draining = true;
	relay->probe_ms = 0;
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		struct relay_listener *listener = &process->listeners[i];

		if (listener->source.fd < 0)
			continue;
		loop_timer_stop(&listener->pause);
		/* Closing alone would not do: the file is open elsewhere. */
		loop_remove(&relay->loop, &listener->source);
		if (listener->datagrams)
			continue;
		close(listener->source.fd);
		listener->source.fd = -1;
	}
	relay_udp_drain(relay);
	log_info("event=relay_drains connections=%zu", relay->sessions_count);
	relay_left(relay);
	return 0;
}

static bool has_exit(const struct relay_policy *policy, const struct relay_exit *exit)
{
	size_t count;
	struct relay_exit *const *exits = relay_policy_exits(policy, &count);

	for (size_t i = 0; i < count; i++) {
		if (exits[i] == exit)
			return true;
	}
	return false;
}

/* What containers have counted that the new policy does not know. */
static void keep_counters(struct relay *relay, const struct relay_policy *policy)
{
	const struct relay_container *containers;
	size_t count = 0;

	containers = relay->policy ? relay_policy_containers(relay->policy, &count) : NULL;
	for (size_t i = 0; i < count; i++) {
		if (!relay_policy_by_id(policy, containers[i].id))
			relay_counters_add(&relay->gone, &containers[i].stats);
	}
	/* What was open of theirs is not. */
	relay_counters_close(&relay->gone);
}

/* Sessions of the old policy belong to the new one, or end. */
static void move_sessions(struct relay *relay, struct relay_policy *policy)
{
	struct relay_session *session, *next;

	list_for_each_entry_safe(session, next, &relay->sessions, node) {
		if (session->probe) {
			if (!has_exit(policy, session->exit))
				relay_session_cut(session);
			continue;
		}
		struct relay_container *container =
			relay_policy_by_id(policy, session->container->id);

		if (container)
			session->container = container;
		if (!container || !strict_holds(session, container))
			relay_session_cut(session);
	}
}

static int take_policy(struct relay *relay, const int *fds, size_t count)
{
	struct relay_policy *policy, *old = relay->policy;
	const struct relay_times *times;
	struct stat st;
	char *text;
	int ret = 0;

	if (count != 1 || fstat(fds[0], &st) || st.st_size <= 0 ||
	    st.st_size > RELAY_POLICY_BYTES_MAX)
		return -EINVAL;
	text = malloc((size_t)st.st_size);
	if (!text)
		return -ENOMEM;
	if (pread(fds[0], text, (size_t)st.st_size, 0) != st.st_size)
		ret = -EIO;
	policy = ret ? NULL : relay_policy_create(text, (size_t)st.st_size, old, relay->trust);
	if (!ret && !policy)
		ret = -errno;
	explicit_bzero(text, (size_t)st.st_size);
	free(text);
	if (ret)
		return ret;
	move_sessions(relay, policy);
	keep_counters(relay, policy);
	relay->policy = policy;
	relay_policy_destroy(old);
	times = relay_policy_times(policy);
	relay->loop.durations[LOOP_TIMER_CONNECT] = times->timeout_ms;
	relay->probe_ms = relay->draining ? 0 : times->probe_ms;
	relay_health_policy_changed(relay);
	names_policy_changed(relay->names);
	strict_udp_policy_changed(relay);
	return 0;
}

static int send_stats(struct relay *relay, const struct ipc_message *message,
		      const struct relay_stats_query *query)
{
	struct relay_stats stats = { 0 };
	const struct relay_container *container = NULL;

	if (message->length == sizeof(*query) && relay->policy)
		container = relay_policy_by_id(relay->policy, query->id);
	if (container) {
		stats = container->stats;
		stats.known = 1;
		if (container->exit)
			relay_health_fill(relay, container->exit, &stats);
	}
	return ipc_send(IPC_WORKER_FD, RELAY_STATS_REPLY, message->sequence, &stats, sizeof(stats),
			NULL, 0);
}

static int send_totals(struct relay *relay, const struct ipc_message *message)
{
	const struct relay_container *containers;
	struct relay_stats sum = relay->gone;
	struct relay_totals totals = { 0 };
	size_t count = 0;

	containers = relay->policy ? relay_policy_containers(relay->policy, &count) : NULL;
	for (size_t i = 0; i < count; i++)
		relay_counters_add(&sum, &containers[i].stats);
#define X(name) totals.name = sum.name;
	RELAY_COUNTERS(X)
#undef X
	relay_health_count(relay, &totals);
	return ipc_send(IPC_WORKER_FD, RELAY_TOTALS_REPLY, message->sequence, &totals,
			sizeof(totals), NULL, 0);
}

static int take_port(struct relay *relay, const struct ipc_message *message,
		     const struct relay_port *port, const int *fds, size_t count)
{
	if (message->length != sizeof(*port) || count > 1)
		return -EINVAL;
	relay_udp_port(relay, port->family, port->port, count ? fds[0] : -1);
	return 0;
}

/* A policy is there: the sandbox, then sockets may come. */
static int start(struct relay_process *process)
{
	int ret;

	if (process->ready || !process->relay.policy)
		return 0;
	ret = sandbox_enter();
	if (!ret)
		ret = relay_seal();
	if (ret) {
		log_error("event=start_failed error=\"%s\"", strerror(-ret));
		return ret;
	}
	process->ready = true;
	log_info("event=relay_ready version=%s", HOODY_VERSION);
	return ipc_send(IPC_WORKER_FD, RELAY_READY, 0, NULL, 0, NULL, 0);
}

static int handle(struct relay_process *process, const struct ipc_message *message,
		  const void *payload, const int *fds, size_t count)
{
	const struct relay_ack *learned;
	struct relay_ack ack = { 0 };
	bool kept = false;
	int ret = 0;

	switch (message->type) {
	case RELAY_SOCKETS:
		ret = take_sockets(process, message, payload, fds, count);
		kept = !ret;
		break;
	case RELAY_POLICY:
		ack.status = take_policy(&process->relay, fds, count);
		ret = ipc_send(IPC_WORKER_FD, RELAY_ACK, message->sequence, &ack, sizeof(ack),
			       NULL, 0);
		break;
	case RELAY_STATS:
		ret = send_stats(&process->relay, message, payload);
		break;
	case RELAY_TOTALS:
		ret = send_totals(&process->relay, message);
		break;
	case RELAY_PORT_SOCKET:
		ret = take_port(&process->relay, message, payload, fds, count);
		kept = !ret;
		break;
	case RELAY_LEARNED:
		learned = payload;
		if (message->length == sizeof(*learned))
			names_learned(process->relay.names, message->sequence, learned->status);
		break;
	case RELAY_DRAIN:
		ret = drain(process, fds, count);
		kept = !ret;
		break;
	case RELAY_END:
		process->relay.loop.stop = true;
		break;
	case RELAY_COUNTED:
		ret = count == 1 ? relay_counted_take(&process->relay, fds[0]) : -EINVAL;
		break;
	default:
		ret = -EPROTO;
	}
	while (!kept && count)
		close(fds[--count]);
	return ret ? ret : start(process);
}

/* One message of control. Whether there was one. */
static bool read_control(struct relay_process *process)
{
	union {
		struct relay_sockets		sockets;
		struct relay_stats_query	stats;
		struct relay_port		port;
		struct relay_ack		ack;
	} payload;
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count;
	ssize_t ret;

	ret = ipc_receive(process->control.fd, &message, &payload, sizeof(payload), fds, &count);
	if (ret == -EAGAIN)
		return false;
	if (ret >= 0)
		ret = handle(process, &message, &payload, fds, count);
	if (ret >= 0)
		return true;
	log_warning("event=control_gone error=\"%s\"", strerror((int)-ret));
	process->relay.loop.stop = true;
	process->status = process->ready ? EXIT_SUCCESS : EXIT_FAILURE;
	return false;
}

static void on_control(struct loop_source *source, uint32_t events)
{
	read_control(container_of(source, struct relay_process, control));
}

static void heed(struct relay *relay)
{
	while (!relay->loop.stop &&
	       read_control(container_of(relay, struct relay_process, relay)))
		;
}

static int set_up(struct relay_process *process)
{
	struct relay *relay = &process->relay;
	struct rlimit limit;
	int ret = loop_setup(&relay->loop);

	if (ret)
		return ret;
	memcpy(relay->loop.durations, durations, sizeof(durations));
	list_setup(&relay->sessions);
	relay_health_setup(relay);
	ret = names_setup(relay->names, relay);
	if (ret)
		return ret;
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	load_trust(relay);
	relay->udp = relay_udp_create();
	relay->strict = strict_udp_create();
	if (!relay->trust || !relay->udp || !relay->strict)
		return -ENOMEM;
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		struct relay_listener *listener = &process->listeners[i];

		listener->source = (struct loop_source){ -1, on_listener };
		listener->relay = relay;
		listener->strict = i >= FW_RELAY_PLAIN_SOCKETS;
		listener->datagrams = i % FW_RELAY_PLAIN_SOCKETS >= FW_RELAY_UDP4;
		loop_task_setup(&listener->more, on_more);
		loop_timer_setup(&listener->pause, on_pause_over);
	}
	process->control = (struct loop_source){ IPC_WORKER_FD, on_control };
	return loop_add(&relay->loop, &process->control, EPOLLIN);
}

int relay_run(void)
{
	static struct relay_process process;
	static struct names names;
	struct relay_session *session, *next;
	int ret;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	process.relay.names = &names;
	process.relay.heed = heed;
	process.counted = -1;
	ret = set_up(&process);
	if (ret) {
		log_error("event=start_failed error=\"%s\"", strerror(-ret));
		return EXIT_FAILURE;
	}
	loop_run(&process.relay.loop);
	names_clear(&names);
	list_for_each_entry_safe(session, next, &process.relay.sessions, node)
		relay_session_cut(session);
	if (process.counted >= 0)
		relay_counted_write(&process.relay, process.counted);
	return process.status;
}
