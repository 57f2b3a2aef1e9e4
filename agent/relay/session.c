// SPDX-License-Identifier: Apache-2.0
/*
 * One connection of a container through its exit.
 *
 *	(HELLO) -> CONNECTING -> (TLS) -> (HANDSHAKE) -> OPEN -> both directions ended
 *
 * Until OPEN nothing that the container sends is read, only looked at (HELLO), and
 * the policy's time bounds all of it; where a proxy has several addresses, from the
 * last of them that is tried. Without an exit it goes to its destination directly.
 * Whatever goes wrong resets both sides: a container must not take a connection that
 * broke for one that ended.
 */
#include "relay/health.h"
#include "relay/strict.h"
#include "relay/udp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

static void set_health(struct relay_session *session, enum relay_health health, const char *fault)
{
	if (session->exit->spec.kind != EXIT_DIRECT)
		relay_health_set(session->relay, session->exit, health, fault, session->probe);
}

/* Without a session yet: the container gets a reset. */
static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void close_end(struct relay_end *end, bool broken)
{
	if (end->source.fd < 0)
		return;
	SSL_free(end->ssl);
	end->ssl = NULL;
	if (broken)
		reset(end->source.fd);
	else
		close(end->source.fd);
	end->source.fd = -1;
}

static void free_session(struct loop_task *task)
{
	struct relay_session *session = container_of(task, struct relay_session, task);

	free(session->name);
	free(session);
}

static void end_session(struct relay_session *session, bool broken)
{
	struct relay_association *association = session->association;

	session->association = NULL;
	close_end(&session->client, broken);
	close_end(&session->proxy, broken);
	relay_flow_clear(&session->out);
	relay_flow_clear(&session->in);
	loop_timer_stop(&session->timer);
	list_del(&session->node);
	session->relay->sessions_count--;
	session->container->stats.connections_open--;
	if (session->probe)
		relay_health_probed(session->relay, session->exit);
	relay_exit_put(session->exit);
	explicit_bzero(&session->handshake, sizeof(session->handshake));
	/* It may have been posted. */
	list_del(&session->task.node);
	loop_task_setup(&session->task, free_session);
	loop_bury(&session->relay->loop, &session->task);
	if (association)
		relay_association_end(association);
	relay_left(session->relay);
}

void relay_session_end(struct relay_session *session)
{
	end_session(session, false);
}

void relay_session_cut(struct relay_session *session)
{
	session->container->stats.cut++;
	end_session(session, true);
}

/* The proxy is there and does not work: the next connection tries another address. */
static void avoid_place(struct relay_session *session)
{
	struct relay_places *places = &session->exit->places;

	if (places->count && session->state != RELAY_CONNECTING &&
	    address_equal(&places->addresses[places->first], &session->place))
		places->first = (uint8_t)((places->first + 1) % places->count);
}

/* It did not come to OPEN. @count: the reason's counter. */
static void fail(struct relay_session *session, uint64_t *count, const char *fault)
{
	++*count;
	avoid_place(session);
	set_health(session, RELAY_HEALTH_DOWN, fault);
	end_session(session, true);
}

static void fail_handshake(struct relay_session *session, enum handshake_fault fault)
{
	struct relay_stats *stats = &session->container->stats;

	switch (fault) {
	case HANDSHAKE_LOGIN:
		fail(session, &stats->failed_login, "login");
		return;
	case HANDSHAKE_REFUSED:
		if (session->association)
			session->exit->no_udp_until = session->relay->loop.now + UDP_NONE_MS;
		/* fall through */
	case HANDSHAKE_UNREACHABLE:
		/* The destination's trouble: the exit itself works. */
		++*(fault == HANDSHAKE_REFUSED ? &stats->failed_refused :
						 &stats->failed_unreachable);
		set_health(session, RELAY_HEALTH_UP, "");
		end_session(session, true);
		return;
	default:
		fail(session, &stats->failed_malformed, "malformed");
	}
}

static void run_pump(struct relay_session *session)
{
	struct relay_stats *stats = &session->container->stats;
	const int out = relay_pump(&session->out, &session->client, &session->proxy,
				   &stats->bytes_out);
	const int in = relay_pump(&session->in, &session->proxy, &session->client,
				  &stats->bytes_in);
	struct loop *loop = &session->relay->loop;

	if ((out < 0 && out != -EAGAIN) || (in < 0 && in != -EAGAIN)) {
		end_session(session, true);
		return;
	}
	/* RFC 1928 7: datagrams are carried for as long as their connection is there. */
	if (session->association ? out == 1 || in == 1 : out == 1 && in == 1) {
		end_session(session, false);
		return;
	}
	if (out == -EAGAIN || in == -EAGAIN)
		loop_post(loop, &session->task);
	loop_timer_start(loop, &session->timer,
			 out == 1 || in == 1 ? LOOP_TIMER_LINGER : LOOP_TIMER_UPGRADE);
}

static void go_on_pumping(struct loop_task *task)
{
	run_pump(container_of(task, struct relay_session, task));
}

/* The address that works is the first to be tried from now on. */
static void prefer_place(struct relay_session *session)
{
	struct relay_places *places = &session->exit->places;

	for (uint8_t i = 0; i < places->count; i++) {
		if (address_equal(&places->addresses[i], &session->place))
			places->first = i;
	}
}

static void opened(struct relay_session *session)
{
	prefer_place(session);
	set_health(session, RELAY_HEALTH_UP, "");
	if (session->probe) {
		end_session(session, false);
		return;
	}
	session->container->stats.established++;
	session->state = RELAY_OPEN;
	explicit_bzero(session->handshake.out, sizeof(session->handshake.out));
	if (!session->proxy.ssl) {
		relay_flow_open_pipe(&session->out);
		relay_flow_open_pipe(&session->in);
	}
	if (session->association &&
	    !relay_association_opened(session->association, session->handshake.bound_port)) {
		end_session(session, true);
		return;
	}
	run_pump(session);
}

/* 1: all is sent, 0: waits. */
static int send_handshake(struct relay_session *session)
{
	struct handshake *handshake = &session->handshake;

	while (session->sent < handshake->out_len) {
		const ssize_t sent = relay_end_write(&session->proxy,
						     handshake->out + session->sent,
						     handshake->out_len - session->sent);

		if (sent < 0)
			return sent == -EAGAIN ? 0 : (int)sent;
		session->sent += (size_t)sent;
	}
	return 1;
}

/* Reads into what will be the first bytes for the container, if they are not ours. */
static ssize_t read_handshake(struct relay_session *session)
{
	struct relay_flow *flow = &session->in;
	ssize_t len;

	_Static_assert(RELAY_CHUNK > HANDSHAKE_IN_MAX, "an answer fits");
	len = relay_end_read(&session->proxy, flow->bytes + flow->end,
			     HANDSHAKE_IN_MAX - flow->end);
	if (len > 0)
		flow->end += (size_t)len;
	return len ? len : -ECONNRESET;
}

static void run_handshake(struct relay_session *session)
{
	struct relay_flow *flow = &session->in;

	for (;;) {
		ssize_t ret = send_handshake(session);
		size_t used;

		if (ret == 0)
			return;
		if (ret > 0)
			ret = read_handshake(session);
		if (ret == -EAGAIN)
			return;
		if (ret < 0) {
			fail(session, &session->container->stats.failed_malformed, "closed");
			return;
		}
		do {
			ret = handshake_feed(&session->handshake, flow->bytes + flow->start,
					     flow->end - flow->start, &used);
			flow->start += used;
		} while (used && !ret && flow->start < flow->end);
		session->sent = 0;
		if (ret < 0) {
			fail_handshake(session, (enum handshake_fault)-ret);
			return;
		}
		if (ret) {
			opened(session);
			return;
		}
		if (flow->end == HANDSHAKE_IN_MAX) {
			fail_handshake(session, HANDSHAKE_MALFORMED);
			return;
		}
	}
}

static void begin_handshake(struct relay_session *session)
{
	session->in.bytes = malloc(RELAY_CHUNK);
	if (!session->in.bytes) {
		session->container->stats.failed_resources++;
		end_session(session, true);
		return;
	}
	session->state = RELAY_HANDSHAKE;
	run_handshake(session);
}

static void run_tls(struct relay_session *session)
{
	int ret;

	ERR_clear_error();
	ret = SSL_connect(session->proxy.ssl);
	if (ret == 1) {
		begin_handshake(session);
		return;
	}
	ret = SSL_get_error(session->proxy.ssl, ret);
	if (ret == SSL_ERROR_WANT_READ || ret == SSL_ERROR_WANT_WRITE)
		return;
	fail(session, &session->container->stats.failed_tls,
	     SSL_get_verify_result(session->proxy.ssl) != X509_V_OK ? "certificate" : "tls");
	ERR_clear_error();
}

static bool try_from(struct relay_session *session);

static bool is_last(const struct relay_session *session)
{
	return session->tries + 1 >= session->exit->places.count;
}

/* This address does not work: the next one, or the end. */
static void try_next(struct relay_session *session)
{
	close_end(&session->proxy, true);
	session->tries++;
	try_from(session);
}

static void connected(struct relay_session *session)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(session->proxy.source.fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
		try_next(session);
		return;
	}
	if (session->exit->spec.kind == EXIT_DIRECT) {
		opened(session);
		return;
	}
	loop_timer_keep(&session->relay->loop, &session->timer, LOOP_TIMER_CONNECT);
	if (session->exit->spec.kind != EXIT_HTTPS) {
		begin_handshake(session);
		return;
	}
	session->proxy.ssl = relay_exit_make_tls(session->exit, session->proxy.source.fd);
	if (!session->proxy.ssl) {
		session->container->stats.failed_resources++;
		end_session(session, true);
		return;
	}
	session->state = RELAY_TLS;
	run_tls(session);
}

static void run_hello(struct relay_session *session);

static void ready(struct loop_source *source, uint32_t events)
{
	struct relay_end *end = container_of(source, struct relay_end, source);
	struct relay_session *session = end->session;

	if (session->state == RELAY_OPEN) {
		run_pump(session);
		return;
	}
	if (session->state == RELAY_HELLO && !(events & (EPOLLERR | EPOLLHUP))) {
		run_hello(session);
		return;
	}
	if (end == &session->client) {
		/* Given up by the container. A half-close is none, and waits. */
		if (events & (EPOLLERR | EPOLLHUP))
			end_session(session, true);
		return;
	}
	switch (session->state) {
	case RELAY_CONNECTING:
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(session);
		return;
	case RELAY_TLS:
		run_tls(session);
		return;
	default:
		run_handshake(session);
	}
}

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct relay_session *session = container_of(timer, struct relay_session, timer);

	if (session->state == RELAY_HELLO)
		session->container->stats.strict_no_hello++;
	if (session->state == RELAY_OPEN || session->state == RELAY_HELLO)
		end_session(session, true);
	else if (session->state == RELAY_CONNECTING && !is_last(session))
		try_next(session);
	else
		fail(session, &session->container->stats.failed_timeout, "timeout");
}

/* To the address that is due, of which there is one. 0 or a negative errno. */
static int connect_proxy(struct relay_session *session)
{
	const struct relay_places *places = &session->exit->places;
	struct sockaddr_storage storage;
	const int one = 1;
	socklen_t len;
	int fd;

	session->place = places->addresses[(places->first + session->tries) % places->count];
	len = address_sockaddr(&session->place, session->exit->spec.port, &storage);
	fd = socket(session->place.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	session->proxy.source.fd = fd;
	if (session->exit->spec.kind == EXIT_DIRECT) {
		const int ret = relay_way_take(session->container, fd, session->way);

		if (ret)
			return ret;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&storage, len) && errno != EINPROGRESS)
		return -errno;
	return 0;
}

static int watch(struct relay_end *end)
{
	return loop_add(&end->session->relay->loop, &end->source,
			EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* This address and those behind it. False: it has ended, and is counted why. */
static bool try_from(struct relay_session *session)
{
	struct relay_stats *stats = &session->container->stats;
	int ret = -EHOSTUNREACH;

	for (; session->tries < session->exit->places.count; session->tries++) {
		ret = connect_proxy(session);
		if (!ret)
			ret = watch(&session->proxy);
		if (!ret || ret == -EMFILE || ret == -ENFILE || ret == -ENOBUFS || ret == -ENOMEM)
			break;
		close_end(&session->proxy, true);
	}
	if (!ret) {
		loop_timer_start(&session->relay->loop, &session->timer,
				 is_last(session) ? LOOP_TIMER_CONNECT : LOOP_TIMER_EXPIRY);
		return true;
	}
	if (session->tries < session->exit->places.count) {
		stats->failed_resources++;
		end_session(session, true);
	} else {
		fail(session, &stats->failed_connect, "connect");
	}
	return false;
}

/* @fd -1: for a probe. */
static struct relay_session *make_session(struct relay *relay, struct relay_container *container,
					  struct relay_exit *exit, int fd)
{
	struct relay_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->relay = relay;
	session->container = container;
	session->exit = exit;
	relay_exit_get(session->exit);
	session->state = RELAY_CONNECTING;
	session->client = (struct relay_end){ .source = { fd, ready }, .session = session };
	session->proxy = (struct relay_end){ .source = { -1, ready }, .session = session };
	relay_flow_setup(&session->out);
	relay_flow_setup(&session->in);
	loop_task_setup(&session->task, go_on_pumping);
	loop_timer_setup(&session->timer, expired);
	list_add_tail(&session->node, &relay->sessions);
	relay->sessions_count++;
	container->stats.connections_open++;
	return session;
}

/* Towards the proxy. False: it has ended, and is counted why. */
static bool dial(struct relay_session *session)
{
	struct relay_stats *stats = &session->container->stats;

	session->state = RELAY_CONNECTING;
	/* Its addresses may change at any time; a session goes on with what there is. */
	if (!session->exit->places.count) {
		fail(session, &stats->failed_name, "name");
		return false;
	}
	return try_from(session);
}

/* What the container says first decides whether anything is dialled. */
static void run_hello(struct relay_session *session)
{
	switch (strict_meet(session)) {
	case 1:
		dial(session);
		return;
	case 0:
		return;
	}
	end_session(session, true);
}

/* The same, or what has to come before. */
static bool set_off(struct relay_session *session)
{
	if (session->state == RELAY_HELLO)
		loop_timer_start(&session->relay->loop, &session->timer, LOOP_TIMER_CONNECT);
	if (!session->probe && watch(&session->client)) {
		session->container->stats.failed_resources++;
		end_session(session, true);
		return false;
	}
	return session->state == RELAY_HELLO || dial(session);
}

/* Takes @fd over. NULL: closed, and counted why. */
static struct relay_session *start(struct relay *relay, int fd, struct relay_container *container,
				   const struct address *destination, uint16_t port, bool associate,
				   bool strict)
{
	struct relay_session *session;
	struct relay_exit *exit;

	container->stats.connections++;
	if (relay->sessions_count >= RELAY_SESSIONS_MAX ||
	    container->stats.connections_open >= RELAY_CONTAINER_MAX) {
		container->stats.refused_limit++;
		reset(fd);
		return NULL;
	}
	exit = container->exit ? container->exit : strict_make_exit(destination, port);
	session = exit ? make_session(relay, container, exit, fd) : NULL;
	if (!container->exit)
		relay_exit_put(exit);
	if (!session) {
		container->stats.failed_resources++;
		reset(fd);
		return NULL;
	}
	handshake_begin(&session->handshake, &session->exit->spec, destination, port);
	session->handshake.associate = associate;
	if (strict)
		session->state = RELAY_HELLO;
	return set_off(session) ? session : NULL;
}

void relay_session_probe(struct relay *relay, struct relay_exit *exit)
{
	struct relay_session *session = relay->sessions_count < RELAY_SESSIONS_MAX ?
		make_session(relay, &relay->prober, exit, -1) : NULL;

	if (!session) {
		relay_health_probed(relay, exit);
		return;
	}
	session->probe = true;
	handshake_begin_probe(&session->handshake, &exit->spec);
	set_off(session);
}

void relay_session_start(struct relay *relay, int fd, const struct address *peer,
			 const struct address *destination, uint16_t port, bool strict)
{
	struct relay_container *container = relay_policy_by_address(relay->policy, peer);
	const int one = 1;

	/* Without an exit only port 53 is steered, and what has to say a name. */
	if (!container || (strict ? !container->names.strict : !container->exit)) {
		relay->strangers++;
		reset(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	start(relay, fd, container, destination, port, false, strict);
}

struct relay_session *relay_session_associate(struct relay *relay, int fd,
					      struct relay_container *container,
					      struct relay_association *association)
{
	/* RFC 1928 4: a client that does not know its own address says so. */
	const struct relay_places *places = &container->exit->places;
	const struct address any = { .family = places->count ?
				     places->addresses[places->first].family : AF_INET };
	struct relay_session *session = start(relay, fd, container, &any, 0, true, false);

	if (session)
		session->association = association;
	return session;
}
