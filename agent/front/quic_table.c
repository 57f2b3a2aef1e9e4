/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread looks up about its QUIC connections: by connection id, by
 * deadline, and how many a client has. All of it bounded by connections_max.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "front/quic.h"

/* 128 KiB a thread; a connection has about 8 ids. */
#define BUCKETS		16384
#define HEAP_FIRST	64
/*
 * Connections of one address (IPv6: of one /64). Counted by hash: two clients
 * that share a number share its limit, and nobody can choose to.
 */
#define CLIENT_SLOTS	4096
#define CLIENT_MAX	256
#define NO_PLACE	SIZE_MAX

int quic_table_create(struct quic *quic)
{
	quic->ids = calloc(BUCKETS, sizeof(*quic->ids));
	quic->clients = calloc(CLIENT_SLOTS, sizeof(*quic->clients));
	if (!quic->ids || !quic->clients)
		return -ENOMEM;
	return RAND_bytes((unsigned char *)quic->hash_keys, sizeof(quic->hash_keys)) == 1 ?
		       0 : -EIO;
}

void quic_table_destroy(struct quic *quic)
{
	free(quic->ids);
	free(quic->clients);
	free(quic->heap);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* With keys that nobody knows: clients choose ids for their first packets. */
static uint64_t hash(const struct quic *quic, const void *bytes, size_t len)
{
	uint64_t words[3] = {0};

	memcpy(words, bytes, len < sizeof(words) ? len : sizeof(words));
	return fold(fold(words[0] ^ quic->hash_keys[0], words[1] ^ quic->hash_keys[1]) ^ words[2],
		    (len + 1) ^ quic->hash_keys[2]) ^ quic->hash_keys[3];
}

/* ---- connection ids ---- */

static struct quic_id **find(struct quic *quic, const uint8_t *id, size_t len)
{
	struct quic_id **at = &quic->ids[hash(quic, id, len) % BUCKETS];

	while (*at && ((*at)->cid.datalen != len || memcmp((*at)->cid.data, id, len)))
		at = &(*at)->next;
	return at;
}

struct quic_connection *quic_table_find(struct quic *quic, const uint8_t *id, size_t len)
{
	struct quic_id *found = *find(quic, id, len);

	return found ? found->connection : NULL;
}

int quic_table_add(struct quic_connection *connection, const ngtcp2_cid *cid)
{
	struct quic *quic = connection->quic;
	struct quic_id **at = find(quic, cid->data, cid->datalen), *id;

	if (*at)
		return -EEXIST;
	id = slab_alloc(&quic->ids_slab);
	if (!id)
		return -ENOMEM;
	id->cid = *cid;
	id->connection = connection;
	list_add_tail(&id->node, &connection->ids);
	*at = id;
	return 0;
}

static void drop(struct quic *quic, struct quic_id **at)
{
	struct quic_id *id = *at;

	/* It has been found. NOLINTNEXTLINE(clang-analyzer-core.*) */
	*at = id->next;
	list_del(&id->node);
	slab_free(&quic->ids_slab, id);
}

void quic_table_remove(struct quic_connection *connection, const ngtcp2_cid *cid)
{
	struct quic_id **at = find(connection->quic, cid->data, cid->datalen);

	if (*at && (*at)->connection == connection)
		drop(connection->quic, at);
}

void quic_table_remove_all(struct quic_connection *connection)
{
	while (!list_empty(&connection->ids)) {
		struct quic_id *id = list_first_entry(&connection->ids, struct quic_id, node);

		drop(connection->quic, find(connection->quic, id->cid.data, id->cid.datalen));
	}
}

/* ---- deadlines: a binary heap ---- */

static void put(struct quic *quic, size_t at, struct quic_connection *connection)
{
	quic->heap[at] = connection;
	connection->heap_at = at;
}

static void move_up(struct quic *quic, size_t at)
{
	struct quic_connection *connection = quic->heap[at];

	while (at && quic->heap[(at - 1) / 2]->deadline > connection->deadline) {
		put(quic, at, quic->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(quic, at, connection);
}

static void move_down(struct quic *quic, size_t at)
{
	struct quic_connection *connection = quic->heap[at];
	size_t child;

	while ((child = 2 * at + 1) < quic->heap_count) {
		if (child + 1 < quic->heap_count &&
		    quic->heap[child + 1]->deadline < quic->heap[child]->deadline)
			child++;
		if (quic->heap[child]->deadline >= connection->deadline)
			break;
		put(quic, at, quic->heap[child]);
		at = child;
	}
	put(quic, at, connection);
}

static void unschedule(struct quic_connection *connection)
{
	struct quic *quic = connection->quic;
	size_t at = connection->heap_at;

	if (at == NO_PLACE)
		return;
	connection->heap_at = NO_PLACE;
	if (at == --quic->heap_count)
		return;
	put(quic, at, quic->heap[quic->heap_count]);
	move_up(quic, at);
	move_down(quic, at);
}

static int make_room(struct quic *quic)
{
	size_t size = quic->heap_size ? 2 * quic->heap_size : HEAP_FIRST;
	struct quic_connection **heap;

	if (quic->heap_count < quic->heap_size)
		return 0;
	heap = realloc(quic->heap, size * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	quic->heap = heap;
	quic->heap_size = size;
	return 0;
}

/* The loop has milliseconds: never early. */
static void set_alarm(struct quic *quic)
{
	quic->thread->loop.alarm = quic->heap_count ?
		(quic->heap[0]->deadline + NGTCP2_MILLISECONDS - 1) / NGTCP2_MILLISECONDS : 0;
}

int quic_table_schedule(struct quic_connection *connection, uint64_t deadline)
{
	struct quic *quic = connection->quic;

	connection->deadline = deadline;
	if (deadline == UINT64_MAX) {
		unschedule(connection);
	} else if (connection->heap_at != NO_PLACE) {
		move_up(quic, connection->heap_at);
		move_down(quic, connection->heap_at);
	} else if (make_room(quic)) {
		return -ENOMEM;
	} else {
		put(quic, quic->heap_count++, connection);
		move_up(quic, connection->heap_at);
	}
	set_alarm(quic);
	return 0;
}

void quic_table_run(struct loop *loop)
{
	struct front_thread *thread = container_of(loop, struct front_thread, loop);
	struct quic *quic = thread->quic;
	uint64_t now = quic_now();

	while (quic->heap_count && quic->heap[0]->deadline <= now) {
		struct quic_connection *connection = quic->heap[0];

		unschedule(connection);
		quic_connection_expired(connection, now);
	}
	set_alarm(quic);
}

/* ---- clients ---- */

bool quic_table_client_get(struct quic *quic, const struct sockaddr_storage *client,
			   uint32_t *slot)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)client;
	const struct sockaddr_in *in = (const struct sockaddr_in *)client;

	if (client->ss_family == AF_INET)
		*slot = hash(quic, &in->sin_addr, sizeof(in->sin_addr)) % CLIENT_SLOTS;
	else
		*slot = hash(quic, &in6->sin6_addr, 8) % CLIENT_SLOTS;
	if (quic->clients[*slot] >= CLIENT_MAX)
		return false;
	quic->clients[*slot]++;
	return true;
}

void quic_table_client_put(struct quic *quic, uint32_t slot)
{
	quic->clients[slot]--;
}
