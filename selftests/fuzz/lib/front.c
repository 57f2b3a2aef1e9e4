// SPDX-License-Identifier: Apache-2.0
/* The worker's thread in hands of a fuzz target, see front.h. */
#include "lib/front.h"
#include "auth/blob.h"
#include "front/limit.h"
#include "front/pass.h"
#include "upstream/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define APPS_MAX	32
#define TURNS		6

int __wrap_up_connect(struct up_context *context, const struct image_container *container,
		      const struct up_client *client, uint16_t port, bool *real_ip);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

static struct front_thread *thread;
static struct front_board board;
static bool setting_up;
static int apps[APPS_MAX];
static unsigned int apps_count;

/* The worker's thread is turned by hand; libFuzzer's own are threads. */
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	return setting_up ? 0 : __real_pthread_create(id, attributes, start, argument);
}

int __wrap_up_connect(struct up_context *context, const struct image_container *container,
		      const struct up_client *client, uint16_t port, bool *real_ip)
{
	int pair[2];

	*real_ip = false;
	if (apps_count == APPS_MAX)
		return -ECONNREFUSED;
	fuzz_need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "sockets");
	apps[apps_count++] = pair[1];
	up_count(context, upstream_connects);
	return pair[0];
}

/* ---- the image ---- */

static uint32_t add_permissions(struct image_builder *builder)
{
	static const char body[] =
		"{\"groups\":{\"ci\":{\"type\":\"token\",\"value\":\"" FUZZ_TOKEN "\"}},"
		"\"permissions\":{\"ci\":{\"http\":true,\"files\":[\"read\"]}},\"default\":\"deny\"}";
	static struct action_table actions;
	struct permissions_source source = { .actions = &actions };
	struct permissions_error error;
	struct permissions *permissions;
	struct auth_blob *blob;
	unsigned int unusable = 0;
	uint32_t number = 0;
	size_t size;

	action_table_default(&actions);
	image_builder_add_blob(builder, &actions, action_table_size(&actions), &number);
	image_builder_set_actions(builder, number);
	permissions = permissions_parse(body, sizeof(body) - 1, &source, &error);
	fuzz_need(permissions && !permissions_seal(permissions), "permissions");
	blob = auth_compile(permissions, NULL, NULL, &size, &unusable);
	fuzz_need(blob && !image_builder_add_blob(builder, blob, size, &number), "compiled");
	free(blob);
	permissions_free(permissions);
	return number;
}

static struct image *make_image(void)
{
	static const struct image_settings settings = {
		.node = "n", .base_domain = "b.example", .real_ip_mode = IMAGE_REAL_IP_OFF,
		.threads = 1, .connections_max = 64, .upstream_idle_max = 8,
		.upstream_idle_per_key_max = 4, .upstream_per_container_max = 16,
		.head_bytes_max = 4096, .header_fields_max = 32, .buffer_bytes = 16384,
		/* Of the machine's clock, which no input may depend on. */
		.handshake_timeout = 1u << 30, .head_timeout = 1u << 30, .keepalive_timeout = 1u << 30,
		.body_timeout = 1u << 30, .connect_timeout = 1u << 30, .response_timeout = 1u << 30,
		.upgrade_idle_timeout = 1u << 30, .upstream_idle_timeout = 1u << 30,
		.requests_per_connection_max = 1000,
	};
	const struct image_option options[2] = {
		{ .service = "grpc", .flags = IMAGE_OPTION_H2C },
		{ .service = "shop", .flags = IMAGE_OPTION_VIA, .via_service = "http", .via_instance = 80,
		  .via_container = "\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb" },
	};
	struct image_builder *builder = image_builder_create(&settings, 1);
	struct image_container container = {
		.generation = 1, .flags = IMAGE_RUNNING | IMAGE_HAS_V4,
		.address4.s_addr = htonl(0x0a000002), .options_count = 2,
	};
	struct image *image;
	int fd;

	image_builder_add_default(builder, "grpc", 50051);
	image_builder_add_default(builder, "shop", 8081);
	image_builder_add_default(builder, "files", 73);
	image_builder_add_options(builder, options, 2, &container.options_first);
	memset(container.id, 0xaa, IMAGE_ID_LEN);
	memset(container.project, 0xee, IMAGE_ID_LEN);
	image_builder_add_container(builder, &container, NULL, 0);
	container.options_count = 0;
	memset(container.id, 0xbb, IMAGE_ID_LEN);
	container.permissions = add_permissions(builder);
	image_builder_add_container(builder, &container, NULL, 0);
	fd = image_builder_finish(builder);
	image_builder_destroy(builder);
	image = image_open(fd);
	fuzz_need(image != NULL, "an image");
	close(fd);
	return image;
}

/* ---- the loop ---- */

static void stop(struct loop *loop)
{
	loop->stop = true;
}

struct front_thread *fuzz_front_setup(void)
{
	static const struct ipc_listeners listeners = { .threads = 1 };
	struct image *image = make_image();

	pthread_mutex_init(&board.lock, NULL);
	pthread_cond_init(&board.changed, NULL);
	board.limits = limit_table_create();
	board.passes = pass_table_create(-1, 0);
	setting_up = true;
	thread = front_thread_create(&board, image, NULL, &listeners, NULL, 0);
	setting_up = false;
	fuzz_need(thread && board.limits && board.passes, "a thread");
	image_put(image);
	/* One turn at a time, and no waiting: fuzz_front_turn() sets an alarm that is due. */
	thread->loop.alarm = 1;
	thread->loop.alarmed = stop;
	return thread;
}

static void drain(int fd)
{
	char bytes[16384];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

void fuzz_front_turn(int client)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		thread->loop.alarm = 1;
		thread->loop.stop = false;
		loop_run(&thread->loop);
		if (client >= 0)
			drain(client);
		for (unsigned int n = 0; n < apps_count; n++) {
			if (apps[n] >= 0)
				drain(apps[n]);
		}
	}
}

struct front_connection *fuzz_front_open(const struct front_protocol *protocol, int *client)
{
	struct sockaddr_storage peer = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&peer;
	struct front_connection *connection;
	int pair[2];

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(0xcb007105);
	in->sin_port = htons(40000);
	thread->loop.stop = false;
	connection = front_connection_create(thread, &peer);
	fuzz_need(connection != NULL, "a connection");
	if (client) {
		fuzz_need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "sockets");
		*client = pair[1];
		connection->source.fd = pair[0];
		fuzz_need(!loop_add(&thread->loop, &connection->source,
				    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), "epoll");
	}
	front_connection_begin(connection);
	connection->protocol = protocol;
	return connection;
}

static void say(int fd, struct fuzz_input bytes)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return;
		bytes.at += n;
		bytes.len -= (size_t)n;
	}
}

void fuzz_front_client(int client, struct fuzz_input bytes)
{
	say(client, bytes);
	fuzz_front_turn(client);
}

void fuzz_front_app(int client, struct fuzz_input bytes)
{
	if (apps_count && apps[apps_count - 1] >= 0)
		say(apps[apps_count - 1], bytes);
	fuzz_front_turn(client);
}

void fuzz_front_app_end(int client)
{
	if (apps_count && apps[apps_count - 1] >= 0) {
		close(apps[apps_count - 1]);
		apps[apps_count - 1] = -1;
	}
	fuzz_front_turn(client);
}

void fuzz_front_close(int client)
{
	if (client >= 0)
		close(client);
	fuzz_front_turn(-1);
	while (!list_empty(&thread->open))
		front_connection_close(list_first_entry(&thread->open, struct front_connection, node));
	up_context_close_all(&thread->upstream);
	while (apps_count) {
		if (apps[--apps_count] >= 0)
			close(apps[apps_count]);
	}
	fuzz_front_turn(-1);
	fuzz_need(!thread->open_count && !thread->stats.connections_open, "no connection is left");
	fuzz_need(list_empty(&thread->exchange_list) && !thread->stats.requests_open,
		  "no exchange is left");
	fuzz_need(!thread->upstream.idle_count, "no connection to an app is left");
}

void fuzz_front_run(const struct front_protocol *protocol, struct fuzz_input input,
		    bool redirects)
{
	struct front_connection *connection;
	int client;

	connection = fuzz_front_open(protocol, &client);
	connection->redirects = redirects;
	protocol->setup(connection);
	while (input.len) {
		struct fuzz_input part = fuzz_part(&input);
		const uint8_t who = fuzz_byte(&part);

		if (who == 'a')
			fuzz_front_app(client, part);
		else if (who == 'e')
			fuzz_front_app_end(client);
		else
			fuzz_front_client(client, part);
	}
	fuzz_front_close(client);
}
