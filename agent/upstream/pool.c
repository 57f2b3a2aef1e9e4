/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept connections: a hash table by container, port and, where connections come
 * from the clients' own addresses, client address. The port of the client is no
 * part of the key: it names a connection of the client, not the client.
 *
 * Bounded three times: per key (the oldest of that key goes), per thread (the
 * longest idle goes) and, together with those in use, per container.
 */
#include "upstream/http2.h"

#include <string.h>

void up_pool_key(struct up_key *key, struct up_container *container, uint16_t port,
		 const struct up_client *client, bool per_client)
{
	memset(key, 0, sizeof(*key));
	key->container = container;
	key->port = port;
	key->family = AF_UNSPEC;
	if (!per_client)
		return;
	key->family = client->address.family;
	if (key->family == AF_INET)
		memcpy(key->client, &client->address.v4, sizeof(client->address.v4));
	else
		memcpy(key->client, &client->address.v6, sizeof(client->address.v6));
}

/* 64-bit finalizer of a multiplicative hash; clients cannot see its order. */
static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 29;
	return h;
}

uint64_t up_pool_hash(const struct up_key *key)
{
	uint64_t low, high;

	memcpy(&low, key->client, 8);
	memcpy(&high, key->client + 8, 8);
	return mix(mix(mix((uintptr_t)key->container + key->port) ^ low) ^ high);
}

static bool key_equal(const struct up_key *a, const struct up_key *b)
{
	return a->container == b->container && a->port == b->port && a->family == b->family &&
	       !memcmp(a->client, b->client, sizeof(a->client));
}

void up_pool_remove(struct up_connection *connection)
{
	struct up_context *context = connection->context;

	if (!connection->idle)
		return;
	connection->idle = false;
	list_del(&connection->in_bucket);
	list_del(&connection->in_oldest);
	list_del(&connection->in_container_idle);
	context->idle_count--;
	context->idle_counts[connection->hash % UP_IDLE_BUCKETS]--;
	up_uncount(context, upstream_idle);
}

struct up_connection *up_pool_take(struct up_context *context, const struct up_key *key,
				   uint64_t hash)
{
	struct up_connection *connection;

	/* The one used last is first: it is the least likely to be dead. */
	list_for_each_entry(connection, &context->idle_buckets[hash % UP_IDLE_BUCKETS], in_bucket) {
		if (connection->hash == hash && key_equal(&connection->key, key)) {
			up_pool_remove(connection);
			return connection;
		}
	}
	return NULL;
}

static void evict(struct up_connection *connection)
{
	up_count(connection->context, upstream_evicted);
	up_connection_close(connection);
}

static struct list *bucket_of(const struct up_connection *connection)
{
	struct up_context *context = connection->context;

	if (connection->http2)
		return &context->http2_buckets[connection->hash % UP_HTTP2_BUCKETS];
	return &context->idle_buckets[connection->hash % UP_IDLE_BUCKETS];
}

void up_pool_offer_http2(struct up_connection *connection)
{
	list_add(&connection->in_bucket, bucket_of(connection));
}

void up_pool_busy(struct up_connection *connection)
{
	if (!connection->idle)
		return;
	up_pool_remove(connection);
	up_pool_offer_http2(connection);
	loop_timer_stop(&connection->timer);
}

struct up_connection *up_pool_find_http2(struct up_context *context, const struct up_key *key,
					 uint64_t hash)
{
	struct up_connection *connection;

	list_for_each_entry(connection, &context->http2_buckets[hash % UP_HTTP2_BUCKETS],
			    in_bucket) {
		if (connection->hash == hash && key_equal(&connection->key, key) &&
		    up_http2_accepts(connection))
			return connection;
	}
	return NULL;
}

/* Of @most kept ones of @connection's key, or more, the oldest; NULL where there are fewer. */
static struct up_connection *one_too_many(const struct up_connection *connection,
					  const struct list *bucket, unsigned int most)
{
	struct up_connection *other, *oldest = NULL;
	unsigned int same = 0;

	list_for_each_entry(other, bucket, in_bucket) {
		if (other->idle && other->hash == connection->hash &&
		    key_equal(&other->key, &connection->key)) {
			same++;
			oldest = other;
		}
	}
	return same >= most ? oldest : NULL;
}

void up_pool_keep(struct up_connection *connection)
{
	struct up_context *context = connection->context;
	const struct image_settings *settings = &image_header(context->image)->settings;
	struct list *bucket = bucket_of(connection);
	struct up_connection *oldest = NULL;

	if (!settings->upstream_idle_max || !settings->upstream_idle_per_key_max ||
	    (connection->real_ip && settings->real_ip_mode != IMAGE_REAL_IP_ON)) {
		up_connection_close(connection);
		return;
	}
	/* Only where there are as many can so many be of one key. */
	if (context->idle_counts[connection->hash % UP_IDLE_BUCKETS] >=
	    settings->upstream_idle_per_key_max)
		oldest = one_too_many(connection, bucket, settings->upstream_idle_per_key_max);
	if (oldest)
		evict(oldest);
	else if (context->idle_count >= settings->upstream_idle_max)
		evict(list_first_entry(&context->idle_oldest, struct up_connection, in_oldest));
	connection->idle = true;
	list_del(&connection->in_bucket);
	list_add(&connection->in_bucket, bucket);
	list_add_tail(&connection->in_oldest, &context->idle_oldest);
	list_add_tail(&connection->in_container_idle, &connection->key.container->idle);
	context->idle_count++;
	context->idle_counts[connection->hash % UP_IDLE_BUCKETS]++;
	up_count(context, upstream_idle);
	loop_timer_start(context->loop, &connection->timer, LOOP_TIMER_UPSTREAM_IDLE);
}

bool up_pool_make_room(struct up_context *context, struct up_container *container)
{
	uint32_t most = image_header(context->image)->settings.upstream_per_container_max;

	if (container->open < most)
		return true;
	if (list_empty(&container->idle))
		return false;
	evict(list_first_entry(&container->idle, struct up_connection, in_container_idle));
	return true;
}
