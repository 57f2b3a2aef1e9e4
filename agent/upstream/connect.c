/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a socket towards a container, see connect.h.
 */
#include "upstream/connect.h"

#include <errno.h>
#include <linux/hoody.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ipc.h"
#include "lib/log.h"

/* Milliseconds between two log lines of a thread; the counter has every case. */
#define REFUSAL_LOG_INTERVAL	1000

bool up_connect_per_client(const struct image *image, const struct image_container *container)
{
	return image_header(image)->settings.real_ip_mode == IMAGE_REAL_IP_ON &&
	       (container->flags & IMAGE_REAL_IP);
}

static int open_socket(sa_family_t family)
{
	int one = 1, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Heads and chunks are written whole: waiting for more only delays. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int connect_ordinary(int fd, sa_family_t family, const struct image_container *container,
			    uint16_t port)
{
	struct sockaddr_storage storage;
	struct address address = {.family = family};
	socklen_t len;

	if (family == AF_INET)
		address.v4 = container->address4;
	else
		address.v6 = container->address6;
	len = address_sockaddr(&address, port, &storage);
	if (connect(fd, (struct sockaddr *)&storage, len) && errno != EINPROGRESS)
		return -errno;
	return 0;
}

/* 0, or what the module said. */
static int connect_real(int fd, const struct image_container *container,
			const struct up_client *client, uint16_t port)
{
	struct hoody_realip arg;
	int level;

	memset(&arg, 0, sizeof(arg));
	arg.family = client->address.family;
	arg.client_port = htons(client->port);
	arg.flags = client->port ? 0 : HOODY_REALIP_ANY_PORT;
	arg.container_port = htons(port);
	if (client->address.family == AF_INET) {
		arg.client4 = client->address.v4;
		arg.container4 = container->address4;
		level = SOL_IP;
	} else {
		arg.client6 = client->address.v6;
		arg.container6 = container->address6;
		level = SOL_IPV6;
	}
	return setsockopt(fd, level, HOODY_SO_REALIP, &arg, sizeof(arg)) ? -errno : 0;
}

/* 0 where the connection is under way, 1 where an ordinary one is right. */
static int try_real(struct up_context *context, int fd, const struct image_container *container,
		    const struct up_client *client, uint16_t port)
{
	int err = connect_real(fd, container, client, port);

	if (!err) {
		up_count(context, real_ip_used);
		return 0;
	}
	if (err == -EADDRNOTAVAIL) {
		up_count(context, real_ip_local_client);
		return 1;
	}
	up_count(context, real_ip_refused);
	if (context->loop->now < context->refusal_logged + REFUSAL_LOG_INTERVAL)
		return -EACCES;
	context->refusal_logged = context->loop->now;
	log_warning("event=real_ip_refused error=\"%s\" hint=\"the container is not reached "
		    "rather than from a wrong address; see hoody status\"", strerror(-err));
	return -EACCES;
}

/* A stream whose other end control has been given. */
static int connect_control(struct up_context *context)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -errno;
	err = ipc_send(IPC_WORKER_FD, IPC_API, 0, NULL, 0, &pair[1], 1);
	close(pair[1]);
	if (err) {
		close(pair[0]);
		return err;
	}
	up_count(context, upstream_connects);
	return pair[0];
}

int up_connect(struct up_context *context, const struct image_container *container,
	       const struct up_client *client, uint16_t port, bool *real_ip)
{
	uint32_t wanted = client->address.family == AF_INET ? IMAGE_HAS_V4 : IMAGE_HAS_V6;
	sa_family_t family = container->flags & IMAGE_HAS_V4 ? AF_INET : AF_INET6;
	bool real = up_connect_per_client(context->image, container);
	int fd, err = 1;

	*real_ip = false;
	if (container->flags & IMAGE_CONTROL)
		return connect_control(context);
	if (container->flags & wanted)
		family = client->address.family;
	fd = open_socket(family);
	if (fd < 0)
		return fd;
	if (!real)
		up_count(context, real_ip_off);
	else if (!(container->flags & wanted))
		up_count(context, real_ip_family);
	else
		err = try_real(context, fd, container, client, port);
	if (!err)
		*real_ip = true;
	else if (err > 0)
		err = connect_ordinary(fd, family, container, port);
	if (err) {
		close(fd);
		return err;
	}
	up_count(context, upstream_connects);
	return fd;
}
