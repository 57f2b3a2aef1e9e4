// SPDX-License-Identifier: Apache-2.0
/* Which relays there are, see relay_daemon.h; one by itself is relay_daemon_child.c. */
#include "control/relay_daemon_internal.h"

#include "kernel/steer.h"
#include "lib/ipc.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BACKOFF_FIRST_US	(100 * 1000ull)
#define BACKOFF_MAX_US		(10 * 1000000ull)

static const sa_family_t families[] = { AF_INET, AF_INET6 };
#define FAMILIES	(sizeof(families) / sizeof(families[0]))

bool relay_daemon_is_ready(const struct relay_daemon *daemon)
{
	return daemon->current && daemon->current->state == RELAY_CHILD_SERVING;
}

void relay_daemon_learns(struct relay_daemon *daemon, relay_daemon_learn *learn)
{
	daemon->learn = learn;
}

void relay_daemon_close_sockets(struct relay_daemon *daemon)
{
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		if (daemon->sockets[i] >= 0)
			close(daemon->sockets[i]);
		daemon->sockets[i] = -1;
	}
}

static bool has_sockets(const struct relay_daemon *daemon)
{
	return daemon->sockets[FW_RELAY_TCP4] >= 0 || daemon->sockets[FW_RELAY_TCP6] >= 0;
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

static int send_sockets(const struct relay_daemon *daemon, const struct relay_child *child)
{
	struct relay_sockets message = { 0 };
	int fds[FW_RELAY_SOCKETS];

	for (uint32_t i = 0; i < FW_RELAY_SOCKETS; i++) {
		if (daemon->sockets[i] < 0)
			continue;
		message.which[message.count] = i;
		fds[message.count++] = daemon->sockets[i];
	}
	return ipc_send(child->sock, RELAY_SOCKETS, 0, &message, sizeof(message), fds,
			message.count);
}

/* ---- one that serves ---- */

/* It takes connections: from here on the programs may steer to it. */
static void serve(struct relay_daemon *daemon)
{
	int ret = send_sockets(daemon, daemon->current);

	daemon->current->state = RELAY_CHILD_SERVING;
	daemon->backoff = 0;
	for (size_t i = 0; i < FW_RELAY_SOCKETS && !ret; i++) {
		if (daemon->sockets[i] >= 0)
			ret = daemon->attach(daemon->attach_context, (enum fw_relay_socket)i,
					     daemon->sockets[i]);
	}
	if (!ret)
		return;
	log_error("the firewall's programs do not take the relay's sockets: error=\"%s\"",
		  strerror(-ret));
	relay_child_kill(daemon->current, "it cannot be reached");
}

static int on_restart(sd_event_source *source, uint64_t usec, void *context);

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

static void start(struct relay_daemon *daemon)
{
	const int ret = open_sockets(daemon);

	if (ret)
		log_error("the relay's sockets cannot be made: error=\"%s\"", strerror(-ret));
	else
		daemon->current = relay_child_start(daemon);
	if (daemon->current)
		return;
	relay_daemon_close_sockets(daemon);
	relay_daemon_start_later(daemon);
}

/* ---- the next one ---- */

static struct relay_child *oldest_draining(struct relay_daemon *daemon)
{
	struct relay_child *oldest = NULL;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct relay_child *child = &daemon->children[i];

		if (child->pid && child->state == RELAY_CHILD_DRAINING &&
		    (!oldest || child->end_at < oldest->end_at))
			oldest = child;
	}
	return oldest;
}

struct relay_child *relay_daemon_place(struct relay_daemon *daemon)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct relay_child *child = &daemon->children[i];

		if (child->pid)
			continue;
		*child = (struct relay_child){ .daemon = daemon, .sock = -1, .counted = -1 };
		return child;
	}
	return NULL;
}

/* Where every place is taken: when the oldest that drains has ended. */
static void start_next(struct relay_daemon *daemon)
{
	struct relay_child *oldest = oldest_draining(daemon);
	size_t living = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		living += daemon->children[i].pid != 0;
	if (living == CHILDREN_MAX && oldest) {
		log_warning("relay is ended for the next one, with what it carries: pid=%d",
			    (int)oldest->pid);
		relay_child_end(oldest);
		return;
	}
	daemon->next = relay_child_start(daemon);
	if (!daemon->next)
		relay_daemon_start_later(daemon);
}

static int on_restart(sd_event_source *source, uint64_t usec, void *context)
{
	struct relay_daemon *daemon = context;

	daemon->restart = sd_event_source_disable_unref(daemon->restart);
	if (!daemon->current)
		start(daemon);
	else if (daemon->replacing && !daemon->next)
		start_next(daemon);
	return 0;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The sockets stay; what is open stays where it is. */
static void take_over(struct relay_daemon *daemon)
{
	struct relay_child *old = daemon->current, *next = daemon->next;

	if (send_sockets(daemon, next)) {
		relay_child_kill(next, "its channel is broken");
		return;
	}
	next->state = RELAY_CHILD_SERVING;
	daemon->current = next;
	daemon->next = NULL;
	daemon->replacing = daemon->holds = false;
	daemon->backoff = 0;
	log_info("relay takes over: pid=%d before=%d", (int)next->pid, (int)old->pid);
	if (relay_child_drain(old, now_us() + daemon->drain_ms * 1000ull))
		relay_child_kill(old, "it cannot be told to drain");
}

void relay_daemon_ready(struct relay_child *child)
{
	struct relay_daemon *daemon = child->daemon;

	if (child == daemon->next && !daemon->holds) {
		take_over(daemon);
		return;
	}
	if (child == daemon->current)
		serve(daemon);
	if (daemon->holds)
		daemon->told(daemon->attach_context, true);
	/* One that was to take over from one that has ended meanwhile. */
	if (child == daemon->current)
		daemon->holds = false;
}

bool relay_daemon_replace(struct relay_daemon *daemon, uint32_t drain_ms, relay_daemon_next *told)
{
	if (!relay_daemon_is_ready(daemon) || !has_sockets(daemon) || daemon->policy < 0)
		return false;
	daemon->drain_ms = drain_ms;
	daemon->told = told;
	daemon->replacing = daemon->holds = true;
	start_next(daemon);
	return true;
}

bool relay_daemon_waits(const struct relay_daemon *daemon)
{
	return daemon->holds && (!daemon->next || daemon->next->state != RELAY_CHILD_READY);
}

void relay_daemon_take_over(struct relay_daemon *daemon)
{
	daemon->holds = false;
	if (daemon->next && daemon->next->state == RELAY_CHILD_READY)
		take_over(daemon);
}

/* ---- ends ---- */

/* What it has counted is its successor's, so that no counter falls. */
static void pass_on_counted(const struct relay_daemon *daemon, const struct relay_child *child)
{
	if (child->counted < 0 || !relay_daemon_is_ready(daemon) ||
	    ipc_send(daemon->current->sock, RELAY_COUNTED, 0, NULL, 0, &child->counted, 1))
		log_warning("what a relay has counted is lost with it: pid=%d", (int)child->pid);
}

/* Nothing is replaced any more where there is nothing to replace. */
static void promote(struct relay_daemon *daemon)
{
	const int ret = open_sockets(daemon);

	daemon->current = daemon->next;
	daemon->next = NULL;
	daemon->replacing = false;
	if (ret) {
		log_error("the relay's sockets cannot be made: error=\"%s\"", strerror(-ret));
		relay_child_kill(daemon->current, "it has no sockets");
	} else if (daemon->current->state == RELAY_CHILD_READY) {
		serve(daemon);
		daemon->holds = false;
	}
}

void relay_daemon_ended(struct relay_child *child, bool clean)
{
	struct relay_daemon *daemon = child->daemon;
	const bool was_current = child == daemon->current, was_next = child == daemon->next;

	if (was_current) {
		daemon->current = NULL;
		/* What waits in their queues has nobody to wait for. */
		relay_daemon_close_sockets(daemon);
	}
	if (was_next)
		daemon->next = NULL;
	if (clean && child->state == RELAY_CHILD_DRAINING)
		pass_on_counted(daemon, child);
	relay_child_clear(child);
	if (was_current && daemon->next)
		promote(daemon);
	else if (was_current || was_next)
		relay_daemon_start_later(daemon);
	else if (daemon->replacing && daemon->current && !daemon->next && !daemon->restart)
		start_next(daemon);
	if (was_next && daemon->holds)
		daemon->told(daemon->attach_context, false);
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
	int fd = len > RELAY_POLICY_BYTES_MAX ? -E2BIG : make_file(text, len), ret;

	if (fd < 0)
		return fd;
	ret = relay_daemon_tell(daemon, fd, done, context);
	/* This one or the next: it starts with what was said last. */
	if (daemon->policy >= 0)
		close(daemon->policy);
	daemon->policy = fd;
	if (!daemon->current && !daemon->restart)
		start(daemon);
	return !done && ret == -ENOTCONN ? 0 : ret;
}

void relay_daemon_status(const struct relay_daemon *daemon, struct relay_daemon_status *status)
{
	memset(status, 0, sizeof(*status));
	if (daemon->current) {
		status->pid = daemon->current->pid;
		status->ready = relay_daemon_is_ready(daemon);
	}
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		status->draining += daemon->children[i].pid &&
				    daemon->children[i].state == RELAY_CHILD_DRAINING;
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
	daemon->policy = -1;
	for (size_t i = 0; i < FW_RELAY_SOCKETS; i++)
		daemon->sockets[i] = -1;
	return daemon;
}

void relay_daemon_destroy(struct relay_daemon *daemon)
{
	if (!daemon)
		return;
	sd_event_source_disable_unref(daemon->restart);
	daemon->current = daemon->next = NULL;
	/* Nothing leaves from here on, and nobody is asked to finish. */
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		relay_child_reap(&daemon->children[i]);
	relay_daemon_close_sockets(daemon);
	if (daemon->policy >= 0)
		close(daemon->policy);
	for (size_t i = 0; i < FAMILIES; i++)
		knl_steer_routes_remove(families[i]);
	free(daemon);
}
