/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of upstream connections: who may be given whose connection, what goes
 * when it is full, and that nothing outlives its container.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "tap.h"
#include "upstream/http2.h"

#define IDLE_MAX	6
#define PER_KEY_MAX	2
#define CONTAINER_MAX	8

struct bench {
	struct loop		loop;
	struct buf_pool		buffers;
	struct ipc_stats	stats;
	struct up_context	context;
	struct image_settings	settings;
	struct image_container	container;
	struct image		*image;
	struct up_container	*up;
	uint16_t		port;
};

static struct image *make_image(struct bench *bench)
{
	static uint64_t sequence;
	struct image_builder *builder = image_builder_create(&bench->settings, ++sequence);
	struct image *image;
	int fd;

	if (!builder || image_builder_add_container(builder, &bench->container, NULL, 0))
		return NULL;
	fd = image_builder_finish(builder);
	image_builder_destroy(builder);
	image = image_open(fd);
	close(fd);
	return image;
}

/* A container that listens on loopback. */
static int setup(struct bench *bench)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	bench->port = ntohs(address.sin_port);
	bench->settings = (struct image_settings){
		.node = "n",
		.base_domain = "example",
		.threads = 1,
		.upstream_idle_max = IDLE_MAX,
		.upstream_idle_per_key_max = PER_KEY_MAX,
		.upstream_per_container_max = CONTAINER_MAX,
	};
	memset(bench->container.id, 1, IMAGE_ID_LEN);
	memset(bench->container.project, 2, IMAGE_ID_LEN);
	bench->container.generation = 1;
	bench->container.flags = IMAGE_RUNNING | IMAGE_HAS_V4;
	bench->container.address4 = address.sin_addr;
	bench->image = make_image(bench);
	if (!bench->image || loop_setup(&bench->loop))
		return -ENOMEM;
	bench->context.loop = &bench->loop;
	bench->context.buffers = &bench->buffers;
	bench->context.stats = &bench->stats;
	bench->context.image = bench->image;
	up_context_setup(&bench->context);
	bench->up = up_container_get(&bench->context, &bench->container);
	return bench->up ? 0 : -ENOMEM;
}

static struct up_client client_of(const char *text, uint16_t port)
{
	struct up_client client = {.port = port};

	if (address_parse(text, strlen(text), &client.address))
		abort();
	return client;
}

static struct up_key key_of(struct bench *bench, const char *text, uint16_t client_port)
{
	struct up_client client = client_of(text ? text : "192.0.2.1", client_port);
	struct up_key key;

	up_pool_key(&key, bench->up, bench->port, &client, text != NULL);
	return key;
}

/* A connection for @text's client (NULL: anybody's), as if its response were read. */
static struct up_connection *keep(struct bench *bench, const char *text, uint16_t client_port)
{
	struct up_key key = key_of(bench, text, client_port);
	struct up_client client = client_of(text ? text : "192.0.2.1", client_port);
	struct up_connection *connection;
	enum up_failure failure;

	connection = up_connection_open(&bench->context, &bench->container, &client, &key, &failure);
	if (!connection)
		abort();
	connection->connecting = false;
	connection->keep = true;
	up_connection_release(connection);
	return connection;
}

static struct up_connection *take(struct bench *bench, const struct up_key *key)
{
	return up_pool_take(&bench->context, key, up_pool_hash(key));
}

static void test_keys(struct bench *bench)
{
	struct up_connection *connection = keep(bench, "192.0.2.1", 1000);
	struct up_key key = key_of(bench, "192.0.2.2", 1000);

	tap_ok(!take(bench, &key), "pool_other_client_gets_nothing");
	key = key_of(bench, "::ffff:0:0", 1000);
	tap_ok(!take(bench, &key), "pool_other_family_gets_nothing");
	key = key_of(bench, NULL, 1000);
	tap_ok(!take(bench, &key), "pool_ordinary_is_not_a_clients");
	key = key_of(bench, "192.0.2.1", 1000);
	key.port++;
	tap_ok(!take(bench, &key), "pool_other_service_gets_nothing");
	key = key_of(bench, "192.0.2.1", 2000);
	tap_ok(take(bench, &key) == connection, "pool_same_client_from_another_port");
	tap_ok(!take(bench, &key), "pool_taken_once");
	up_connection_close(connection);

	connection = keep(bench, NULL, 1000);
	key = key_of(bench, "192.0.2.1", 1000);
	tap_ok(!take(bench, &key), "pool_clients_is_not_an_ordinary");
	key = key_of(bench, NULL, 3000);
	tap_ok(take(bench, &key) == connection, "pool_ordinary_is_anybodys");
	up_connection_close(connection);
}

static void test_collisions(struct bench *bench)
{
	struct up_connection *connection = keep(bench, "192.0.2.1", 1);
	struct up_key key = key_of(bench, "192.0.2.9", 1);

	/* Another client whose hash happens to be the same. */
	tap_ok(!up_pool_take(&bench->context, &key, connection->hash),
	       "pool_equal_hash_is_not_an_equal_client");
	up_connection_close(connection);
}

/* A connection of HTTP/2 is shared by requests, and still by those of one client alone. */
static void test_http2(struct bench *bench)
{
	struct up_key key = key_of(bench, "192.0.2.1", 1000), other;
	struct up_client client = client_of("192.0.2.1", 1000);
	struct up_connection *connection;
	enum up_failure failure;

	connection = up_connection_open(&bench->context, &bench->container, &client, &key, &failure);
	if (!connection || up_http2_setup(connection))
		abort();
	up_pool_offer_http2(connection);
	other = key_of(bench, "192.0.2.2", 1000);
	tap_ok(!up_pool_find_http2(&bench->context, &other, connection->hash),
	       "pool_http2_other_client_gets_nothing");
	other = key_of(bench, NULL, 1000);
	tap_ok(!up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)),
	       "pool_http2_ordinary_is_not_a_clients");
	tap_ok(!take(bench, &key), "pool_http2_is_not_for_http1");
	other = key_of(bench, "192.0.2.1", 2000);
	tap_ok(up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)) == connection &&
	       up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)) == connection,
	       "pool_http2_is_shared_by_its_client");
	connection->http2->streams_count = UP_HTTP2_STREAMS_MAX;
	tap_ok(!up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)),
	       "pool_http2_full_takes_no_more");
	connection->http2->streams_count = 0;
	up_pool_keep(connection);
	tap_ok(bench->context.idle_count == 1 &&
	       up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)) == connection,
	       "pool_http2_kept_is_found");
	up_pool_busy(connection);
	tap_ok(!bench->context.idle_count &&
	       up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)) == connection,
	       "pool_http2_busy_is_found");
	up_context_close_all(&bench->context);
	tap_ok(connection->closed && !up_pool_find_http2(&bench->context, &other, up_pool_hash(&other)),
	       "pool_http2_closed_is_gone");
}

static void test_limits(struct bench *bench)
{
	struct up_connection *first = keep(bench, "192.0.2.1", 1), *second, *third;
	static const char *const clients[] = {"192.0.2.2", "192.0.2.3", "192.0.2.4",
					      "192.0.2.5", "192.0.2.6"};
	struct up_key key = key_of(bench, "192.0.2.1", 1);
	size_t i;

	second = keep(bench, "192.0.2.1", 1);
	third = keep(bench, "192.0.2.1", 1);
	tap_ok(first->closed && !second->closed && !third->closed, "pool_per_key_oldest_goes");
	for (i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		keep(bench, clients[i], 1);
	tap_ok(bench->context.idle_count == IDLE_MAX && bench->stats.upstream_idle == IDLE_MAX,
	       "pool_per_thread_bounded");
	tap_ok(second->closed && take(bench, &key) == third, "pool_longest_idle_goes");
	tap_ok(bench->stats.upstream_evicted == 2, "pool_evictions_counted");
	/* One in use, five kept: room for two more, then a kept one has to go. */
	tap_ok(bench->up->open == IDLE_MAX, "pool_open_counted");
	while (up_pool_make_room(&bench->context, bench->up) && bench->up->open < 2 * CONTAINER_MAX &&
	       !list_empty(&bench->up->idle)) {
		struct up_connection *busy = keep(bench, "192.0.2.7", 1);

		up_pool_remove(busy);
	}
	tap_ok(bench->up->open <= CONTAINER_MAX && list_empty(&bench->up->idle),
	       "pool_container_limit_takes_kept_ones_first");
	while (bench->up->open < CONTAINER_MAX)
		up_pool_remove(keep(bench, "192.0.2.7", 1));
	tap_ok(!up_pool_make_room(&bench->context, bench->up), "pool_container_limit_holds");
	up_context_close_all(&bench->context);
	tap_ok(!bench->up->open && !bench->context.idle_count, "pool_close_all");
}

static void swap_image(struct bench *bench)
{
	struct image *old = bench->image;

	bench->image = make_image(bench);
	up_context_image(&bench->context, bench->image);
	image_put(old);
}

static void test_images(struct bench *bench)
{
	struct up_connection *connection = keep(bench, "192.0.2.1", 1);

	bench->container.generation++;
	swap_image(bench);
	tap_ok(!connection->closed, "pool_new_policy_keeps");
	bench->container.flags &= ~IMAGE_RUNNING;
	swap_image(bench);
	tap_ok(connection->closed && !bench->context.idle_count, "pool_stopped_cuts");
	bench->container.flags |= IMAGE_RUNNING;
	swap_image(bench);
	connection = keep(bench, "192.0.2.1", 1);
	bench->container.address4.s_addr ^= htonl(3);
	swap_image(bench);
	tap_ok(connection->closed, "pool_new_address_cuts");
}

int main(void)
{
	static struct bench bench;
	int err;

	log_init("pool_test", LOG_FORMAT_TEXT);
	tap_plan(28);
	err = setup(&bench);
	if (err) {
		tap_note("setup: %s", strerror(-err));
		return EXIT_FAILURE;
	}
	test_keys(&bench);
	test_collisions(&bench);
	test_http2(&bench);
	test_limits(&bench);
	test_images(&bench);
	up_context_close_all(&bench.context);
	up_container_put(&bench.context, bench.up);
	return tap_done();
}
