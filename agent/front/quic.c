/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread has of QUIC, see quic.h: its sockets, from control, and the
 * tables. A thread that drains keeps the sockets: they carry what it still has.
 */
#include "front/quic.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "front/http3.h"

int quic_prepare(void)
{
	/* Fetches ciphers, for which libraries look into files. */
	return ngtcp2_crypto_ossl_init() ? -EIO : 0;
}

int quic_create(struct front_thread *thread, uint8_t socket, const uint8_t *secret)
{
	struct quic *quic = calloc(1, sizeof(*quic));
	int err = -ENOMEM;

	thread->quic = quic;
	if (!quic)
		return err;
	quic->thread = thread;
	quic->socket = socket;
	memcpy(quic->secret, secret, sizeof(quic->secret));
	slab_setup(&quic->connections, sizeof(struct quic_connection));
	slab_setup(&quic->ids_slab, sizeof(struct quic_id));
	slab_setup(&quic->streams, sizeof(struct front_http3_stream));
	slab_setup(&quic->chunks, sizeof(struct front_http3_chunk));
	quic->inbox = quic_inbox_create();
	quic->output = malloc(QUIC_BATCH_BYTES);
	if (quic->inbox && quic->output)
		err = quic_table_create(quic);
	thread->loop.alarmed = quic_table_run;
	return err;
}

void quic_close(struct front_thread *thread)
{
	struct quic *quic = thread->quic;
	unsigned int i;

	for (i = 0; quic && i < quic->listeners_count; i++) {
		close(quic->listeners[i].source.fd);
		quic->listeners[i].source.fd = -1;
	}
	if (quic)
		quic->listeners_count = 0;
}

void quic_destroy(struct front_thread *thread)
{
	struct quic *quic = thread->quic;

	if (!quic)
		return;
	quic_close(thread);
	quic_table_destroy(quic);
	slab_clear(&quic->connections);
	slab_clear(&quic->ids_slab);
	slab_clear(&quic->streams);
	slab_clear(&quic->chunks);
	free(quic->inbox);
	free(quic->output);
	explicit_bzero(quic->secret, sizeof(quic->secret));
	free(quic);
	thread->quic = NULL;
}

void quic_listener_watch(struct quic_listener *listener)
{
	listener->wants_room = !list_empty(&listener->blocked);
	loop_modify(&listener->thread->loop, &listener->source,
		    EPOLLIN | EPOLLET | (listener->wants_room ? EPOLLOUT : 0));
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct quic_listener *listener = container_of(source, struct quic_listener, source);
	struct quic_connection *connection;
	struct list waiting;

	if (events & EPOLLOUT && !list_empty(&listener->blocked)) {
		/* Those that meet a full socket again queue up again. */
		list_setup(&waiting);
		waiting.next = listener->blocked.next;
		waiting.prev = listener->blocked.prev;
		waiting.next->prev = waiting.prev->next = &waiting;
		list_setup(&listener->blocked);
		while (!list_empty(&waiting)) {
			connection = list_first_entry(&waiting, struct quic_connection, blocked);
			list_del(&connection->blocked);
			quic_connection_unblock(connection);
		}
	}
	if (listener->wants_room && list_empty(&listener->blocked))
		quic_listener_watch(listener);
	if (events & (EPOLLIN | EPOLLERR))
		quic_receive(listener);
}

static void advertise(struct front_thread *thread, const struct sockaddr_storage *address)
{
	uint16_t port = address->ss_family == AF_INET ?
				((const struct sockaddr_in *)address)->sin_port :
				((const struct sockaddr_in6 *)address)->sin6_port;

	/* RFC 7838; a day, after which a client asks TCP again. */
	if (!thread->alternative[0])
		snprintf(thread->alternative, sizeof(thread->alternative), "h3=\":%u\"; ma=86400",
			 ntohs(port));
}

int quic_listen(struct front_thread *thread, int fd)
{
	struct quic *quic = thread->quic;
	struct quic_listener *listener = &quic->listeners[quic->listeners_count];
	socklen_t len = sizeof(listener->address);
	int err;

	listener->thread = thread;
	listener->source.fd = fd;
	listener->source.ready = listener_ready;
	listener->segments = true;
	list_setup(&listener->blocked);
	if (getsockname(fd, (struct sockaddr *)&listener->address, &len))
		return -errno;
	advertise(thread, &listener->address);
	err = loop_add(&thread->loop, &listener->source, EPOLLIN | EPOLLET);
	if (!err)
		quic->listeners_count++;
	return err;
}

struct quic_listener *quic_listener_of(struct quic *quic, const struct sockaddr_storage *local)
{
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)local, *b6;
	const struct sockaddr_in *a = (const struct sockaddr_in *)local, *b;
	unsigned int i;

	for (i = 0; i < quic->listeners_count; i++) {
		struct quic_listener *listener = &quic->listeners[i];

		if (listener->address.ss_family != local->ss_family)
			continue;
		b = (const struct sockaddr_in *)&listener->address;
		b6 = (const struct sockaddr_in6 *)&listener->address;
		if (local->ss_family == AF_INET) {
			if (a->sin_port == b->sin_port &&
			    (!b->sin_addr.s_addr || b->sin_addr.s_addr == a->sin_addr.s_addr))
				return listener;
		} else if (a6->sin6_port == b6->sin6_port &&
			   (IN6_IS_ADDR_UNSPECIFIED(&b6->sin6_addr) ||
			    IN6_ARE_ADDR_EQUAL(&b6->sin6_addr, &a6->sin6_addr))) {
			return listener;
		}
	}
	return NULL;
}
