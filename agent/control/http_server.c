// SPDX-License-Identifier: Apache-2.0
/* The control API's socket: made, guarded, taken down. See http_server.h. */
#include "control/http_internal.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Says no and closes; the little that is said fits into the socket's buffer. */
static void turn_away(struct http_server *server, int fd, const char *message)
{
	char *body = server->error_body(503, message);
	char text[1024];
	int len;

	len = snprintf(text, sizeof(text),
		       "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
		       "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
		       body ? strlen(body) : 0, body ? body : "");
	(void)!send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(body);
	close(fd);
}

/* Root, or whoever the agent runs as: on a host that is not root's own, itself. */
static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	log_warning("control API refuses a peer: uid=%d", (int)peer.uid);
	return false;
}

/* A free slot; where there is none, the place of a connection that does nothing. */
static int find_slot(struct http_server *server)
{
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (!server->connections[i])
			return i;
	}
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (http_connection_idle(server->connections[i])) {
			http_connection_destroy(server->connections[i]);
			return i;
		}
	}
	return -1;
}

static int on_accept(sd_event_source *source, int listener, uint32_t events, void *context)
{
	struct http_server *server = context;
	int fd;

	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		http_server_adopt(server, fd);
	return 0;
}

void http_server_adopt(struct http_server *server, int fd)
{
	int slot = find_slot(server);

	if (slot < 0 || server->stopping) {
		turn_away(server, fd, "too many connections to the control API");
		return;
	}
	server->connections[slot] = http_connection_create(server, fd);
	if (!server->connections[slot])
		turn_away(server, fd, "out of memory");
	else
		/* Told when it asks: an answer before that may be lost with the connection. */
		server->connections[slot]->forbidden = !server->open && !may_ask(fd);
}

/* A socket file that nobody listens on is left over from a crash. */
static int remove_stale(const struct sockaddr_un *address)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;
	struct stat st;

	if (sock < 0)
		return -errno;
	if (lstat(address->sun_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			ret = -EEXIST;
		else if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) == 0)
			ret = -EADDRINUSE;
		else if (unlink(address->sun_path) < 0)
			ret = -errno;
	}
	close(sock);
	return ret;
}

static void make_directory(const char *path)
{
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return;
	*slash = '\0';
	/* Where this fails bind() tells why. */
	(void)!mkdir(directory, 0755);
}

static int open_socket(const char *path, char *fault, size_t fault_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = -1, ret;
	mode_t mask;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	make_directory(path);
	ret = remove_stale(&address);
	if (ret == -EADDRINUSE) {
		snprintf(fault, fault_size, "%s: another agent is running", path);
		return ret;
	}
	if (!ret) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		mask = umask(0177);
		if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    listen(fd, HTTP_CONNECTIONS_MAX) < 0)
			ret = -errno;
		umask(mask);
	}
	if (!ret)
		return fd;
	if (fd >= 0)
		close(fd);
	snprintf(fault, fault_size, "[agent] control_socket: %s: %s", path, strerror(-ret));
	return ret;
}

struct http_server *http_server_create(sd_event *event, const char *path, http_handler *handler,
				       http_error_body *error_body, void *context, char *fault,
				       size_t fault_size)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	server->fd = open_socket(path, fault, fault_size);
	if (server->fd < 0)
		goto err_free;
	server->event = sd_event_ref(event);
	server->handler = handler;
	server->error_body = error_body;
	server->context = context;
	snprintf(server->path, sizeof(server->path), "%s", path);
	if (sd_event_add_io(event, &server->accept, server->fd, EPOLLIN, on_accept, server) < 0) {
		snprintf(fault, fault_size, "the control socket cannot be watched");
		goto err_close;
	}
	return server;

err_close:
	sd_event_unref(server->event);
	unlink(server->path);
	close(server->fd);
err_free:
	free(server);
	return NULL;
}

struct http_server *http_server_create_from(sd_event *event, int fd, const char *path,
					    http_handler *handler, http_error_body *error_body,
					    void *context)
{
	struct http_server *server = http_server_create_bare(event, handler, error_body, context);

	if (!server || fd < 0)
		return server;
	server->open = false;
	server->fd = fd;
	snprintf(server->path, sizeof(server->path), "%s", path);
	if (sd_event_add_io(event, &server->accept, fd, EPOLLIN, on_accept, server) >= 0)
		return server;
	/* The socket stays as it is: another server may be made of it. */
	server->fd = -1;
	server->path[0] = '\0';
	http_server_destroy(server);
	return NULL;
}

static void set_paused(struct http_server *server, bool paused)
{
	server->paused = paused;
	if (server->accept)
		sd_event_source_set_enabled(server->accept, paused ? SD_EVENT_OFF : SD_EVENT_ON);
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (server->connections[i])
			http_connection_watch(server->connections[i]);
	}
}

void http_server_pause(struct http_server *server)
{
	set_paused(server, true);
}

void http_server_resume(struct http_server *server)
{
	set_paused(server, false);
}

bool http_server_quiet(const struct http_server *server)
{
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (server->connections[i] && !http_connection_idle(server->connections[i]))
			return false;
	}
	return !server->exchanges;
}

int http_server_listener(const struct http_server *server)
{
	return server->fd;
}

size_t http_server_waiting(const struct http_server *server, int fds[HTTP_CONNECTIONS_MAX])
{
	size_t count = 0;

	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		const struct http_connection *connection = server->connections[i];

		if (connection && http_connection_idle(connection) && !connection->in_len &&
		    !connection->close_after)
			fds[count++] = connection->fd;
	}
	return count;
}

struct http_server *http_server_create_bare(sd_event *event, http_handler *handler,
					    http_error_body *error_body, void *context)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->fd = -1;
	server->event = sd_event_ref(event);
	server->handler = handler;
	server->error_body = error_body;
	server->context = context;
	server->open = true;
	return server;
}

struct http_server *http_server_create_tcp(sd_event *event, const struct address_listen *address,
					   http_handler *handler, http_error_body *error_body,
					   void *context, char *fault, size_t fault_size)
{
	struct http_server *server = http_server_create_bare(event, handler, error_body, context);
	char text[ADDRESS_LISTEN_TEXT_MAX];
	struct sockaddr_storage storage;
	socklen_t len;
	int one = 1;

	if (!server) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	len = address_sockaddr(&address->address, address->port, &storage);
	server->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0 ||
	    setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(server->fd, (struct sockaddr *)&storage, len) < 0 ||
	    listen(server->fd, HTTP_CONNECTIONS_MAX) < 0 ||
	    sd_event_add_io(event, &server->accept, server->fd, EPOLLIN, on_accept, server) < 0) {
		address_listen_format(address, text);
		snprintf(fault, fault_size, "cannot listen on %s: %s", text, strerror(errno));
		http_server_destroy(server);
		return NULL;
	}
	return server;
}

void http_server_stop(struct http_server *server)
{
	if (server->stopping)
		return;
	server->stopping = true;
	server->accept = sd_event_source_disable_unref(server->accept);
	if (server->path[0])
		unlink(server->path);
	if (server->fd >= 0)
		close(server->fd);
	server->fd = -1;
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (server->connections[i] && http_connection_idle(server->connections[i]))
			http_connection_destroy(server->connections[i]);
	}
}

void http_server_destroy(struct http_server *server)
{
	if (!server)
		return;
	http_server_stop(server);
	/* Nobody answers these any more: what they waited for is gone as well. */
	while (server->exchanges)
		http_reply(&server->exchanges->request, 503,
			   server->error_body(503, "the agent ends"), NULL);
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (server->connections[i])
			http_connection_destroy(server->connections[i]);
	}
	sd_event_unref(server->event);
	free(server);
}
