/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker without control: plays control's part of lib/ipc.h, so that tests
 * and measurements can have the data path alone. One container of project
 * aaaa...a with id bbbb...b, and, in every image, a tombstone cccc...c and a
 * stopped one dddd...d, on node "node-t" of "containers.test".
 *
 *	worker_driver [-l ADDR:PORT]... [-L ADDR:PORT]... [-Q ADDR:PORT]... [-c PEM]
 *		      [-a ADDRESS]... [-p SERVICE=PORT]... [-2 SERVICE]... [-o SETTING=NUMBER]...
 *		      [-t THREADS] [-r]
 *
 * -L listens for TLS, -Q for QUIC; -2: SERVICE speaks HTTP/2 (h2c); -r wants the clients' own addresses. Prints
 * "ready PID", then obeys lines on standard input and answers each with lines that end in "ok ..." or "failed ERRNO": start, stop,
 * delete, address ADDRESS, reload PEM, stats, drain MS. End of input ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/listen.h"
#include "front/worker.h"
#include "lib/address.h"
#include "lib/image.h"
#include "lib/ipc.h"
#include "lib/log.h"

#define SERVICES_MAX	8

struct driver {
	struct config		config;	/* of which only listeners and threads are used */
	const char		*pem;
	struct image_settings	settings;
	struct image_service	services[SERVICES_MAX];
	unsigned int		services_count;
	struct image_option	options[SERVICES_MAX];
	unsigned int		options_count;
	struct image_container	container;
	int			sock;
	pid_t			worker;
	uint64_t		sequence;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "worker_driver: %s: %s\n", what, strerror(err));
	exit(EXIT_FAILURE);
}

static void defaults(struct driver *driver)
{
	driver->settings = (struct image_settings){
		.node = "node-t",
		.base_domain = "containers.test",
		.real_ip_mode = IMAGE_REAL_IP_OFF,
		.threads = 1,
		.connections_max = 10000,
		.upstream_idle_max = 1000,
		.upstream_idle_per_key_max = 256,
		.upstream_per_container_max = 2000,
		.head_bytes_max = 32768,
		.header_fields_max = 100,
		.buffer_bytes = 65536,
		.handshake_timeout = 10000,
		.head_timeout = 10000,
		.keepalive_timeout = 60000,
		.body_timeout = 60000,
		.connect_timeout = 5000,
		.response_timeout = 60000,
		.upgrade_idle_timeout = 0,
		.upstream_idle_timeout = 60000,
	};
	memset(driver->container.id, 0xbb, IMAGE_ID_LEN);
	memset(driver->container.project, 0xaa, IMAGE_ID_LEN);
	driver->container.flags = IMAGE_RUNNING;
	driver->container.generation = 1;
}

static void set_option(struct driver *driver, const char *text)
{
	static const struct {
		const char	*name;
		size_t		offset;
	} options[] = {
#define OPTION(name) {#name, offsetof(struct image_settings, name)}
		OPTION(real_ip_mode), OPTION(connections_max), OPTION(upstream_idle_max),
		OPTION(upstream_idle_per_key_max), OPTION(upstream_per_container_max),
		OPTION(head_bytes_max), OPTION(header_fields_max), OPTION(buffer_bytes),
		OPTION(handshake_timeout), OPTION(head_timeout), OPTION(keepalive_timeout),
		OPTION(body_timeout), OPTION(connect_timeout), OPTION(response_timeout),
		OPTION(upgrade_idle_timeout), OPTION(upstream_idle_timeout),
		OPTION(requests_per_connection_max), OPTION(early_data),
#undef OPTION
	};
	const char *equals = strchr(text, '=');
	uint32_t value;
	size_t i;

	for (i = 0; equals && i < sizeof(options) / sizeof(options[0]); i++) {
		if (strlen(options[i].name) == (size_t)(equals - text) &&
		    !strncmp(options[i].name, text, equals - text)) {
			value = strtoul(equals + 1, NULL, 10);
			memcpy((char *)&driver->settings + options[i].offset, &value, sizeof(value));
			return;
		}
	}
	die(text, EINVAL);
}

static void set_address(struct driver *driver, const char *text)
{
	struct address address;

	if (address_parse(text, strlen(text), &address))
		die(text, EINVAL);
	if (address.family == AF_INET) {
		driver->container.flags |= IMAGE_HAS_V4;
		driver->container.address4 = address.v4;
	} else {
		driver->container.flags |= IMAGE_HAS_V6;
		driver->container.address6 = address.v6;
	}
}

static void add_service(struct driver *driver, const char *text)
{
	struct image_service *service = &driver->services[driver->services_count];
	const char *equals = strchr(text, '=');

	if (!equals || driver->services_count++ == SERVICES_MAX)
		die(text, EINVAL);
	snprintf(service->name, sizeof(service->name), "%.*s", (int)(equals - text), text);
	service->port = strtoul(equals + 1, NULL, 10);
}

static void add_http2(struct driver *driver, const char *service)
{
	struct image_option *option = &driver->options[driver->options_count];

	if (driver->options_count++ == SERVICES_MAX)
		die(service, EINVAL);
	snprintf(option->service, sizeof(option->service), "%s", service);
	option->flags = IMAGE_OPTION_H2C;
}

static void add_listener(struct driver *driver, const char *text, bool tls, bool quic)
{
	struct config_listener *listener = &driver->config.listeners[driver->config.listeners_count];

	if (driver->config.listeners_count++ == CONFIG_LISTENERS_MAX ||
	    address_listen_parse(text, 443, &listener->address))
		die(text, EINVAL);
	listener->tls = tls;
	listener->quic = quic;
}

/* A stopped or deleted one, all of whose id bytes are @byte. */
static void add_other(struct image_builder *builder, uint8_t byte, uint32_t flags)
{
	struct image_container container = {.generation = 1, .flags = flags};

	memset(container.id, byte, IMAGE_ID_LEN);
	memset(container.project, 0xaa, IMAGE_ID_LEN);
	if (image_builder_add_container(builder, &container, NULL, 0))
		die("image", EINVAL);
}

static int make_image(struct driver *driver)
{
	struct image_builder *builder = image_builder_create(&driver->settings, ++driver->sequence);
	int fd;

	driver->container.options_count = driver->options_count;
	if (!builder || image_builder_add_default(builder, "terminal", 76) ||
	    image_builder_add_options(builder, driver->options, driver->options_count,
				      &driver->container.options_first) ||
	    image_builder_add_container(builder, &driver->container, driver->services,
					driver->services_count))
		die("image", EINVAL);
	add_other(builder, 0xcc, IMAGE_DELETED);
	add_other(builder, 0xdd, 0);
	fd = image_builder_finish(builder);
	if (fd < 0)
		die("image", -fd);
	image_builder_destroy(builder);
	return fd;
}

/* A memfd with what @path has. */
static int load(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("pem", MFD_CLOEXEC);
	char bytes[65536];
	ssize_t n;

	if (from < 0 || to < 0)
		die(path, errno);
	while ((n = read(from, bytes, sizeof(bytes))) > 0) {
		if (write(to, bytes, n) != n)
			die(path, errno);
	}
	close(from);
	return to;
}

/* Waits for a message of @type; returns the ack's status. */
static int await(struct driver *driver, uint32_t type, void *payload, size_t size)
{
	struct pollfd readable = {.fd = driver->sock, .events = POLLIN};
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count = 0;
	ssize_t len;

	do {
		if (poll(&readable, 1, -1) < 0)
			die("poll", errno);
		len = ipc_receive(driver->sock, &message, payload, size, fds, &count);
		if (len < 0)
			die("worker", (int)-len);
	} while (message.type != type);
	return type == IPC_ACK ? ((struct ipc_ack *)payload)->status : 0;
}

static int send_fd(struct driver *driver, uint32_t type, int fd)
{
	struct ipc_ack ack;
	int err = ipc_send(driver->sock, type, driver->sequence, NULL, 0, &fd, 1);

	close(fd);
	if (err)
		die("ipc", -err);
	return await(driver, IPC_ACK, &ack, sizeof(ack));
}

static void start_worker(struct driver *driver)
{
	struct ipc_ack ack;
	struct ipc_listeners listeners;
	int pair[2], fds[IPC_FDS_MAX], err;
	struct listen_set *set;
	unsigned int count;
	char fault[512];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		die("socketpair", errno);
	driver->worker = fork();
	if (driver->worker < 0)
		die("fork", errno);
	if (!driver->worker) {
		dup2(pair[1], IPC_WORKER_FD);
		execl("/proc/self/exe", "worker_driver", "--worker", NULL);
		_exit(127);
	}
	close(pair[1]);
	driver->sock = pair[0];
	driver->config.settings.threads = driver->settings.threads;
	set = listen_open(&driver->config, NULL, fault, sizeof(fault));
	if (!set) {
		fprintf(stderr, "worker_driver: %s\n", fault);
		exit(EXIT_FAILURE);
	}
	count = listen_message(set, 0, &listeners, fds);
	err = ipc_send(driver->sock, IPC_LISTENERS, 0, &listeners, sizeof(listeners), fds, count);
	listen_close(set);
	if (!err && driver->pem)
		err = send_fd(driver, IPC_CERTIFICATE, load(driver->pem));
	if (!err)
		err = send_fd(driver, IPC_IMAGE, make_image(driver));
	if (err)
		die("start", -err);
	await(driver, IPC_READY, &ack, sizeof(ack));
	printf("ready %d\n", (int)driver->worker);
}

static void answer(int status)
{
	if (status)
		printf("failed %s\n", strerror(-status));
	else
		printf("ok\n");
}

static void print_stats(struct driver *driver)
{
	struct ipc_stats stats;
	int err = ipc_send(driver->sock, IPC_STATS, 0, NULL, 0, NULL, 0);

	if (err)
		die("ipc", -err);
	await(driver, IPC_STATS_REPLY, &stats, sizeof(stats));
#define X(name) printf(#name " %llu\n", (unsigned long long)stats.name);
	IPC_COUNTERS(X)
#undef X
	printf("ok\n");
}

static void drain(struct driver *driver, uint32_t deadline)
{
	struct ipc_drain request = {.deadline_ms = deadline};
	struct ipc_ack ack;
	int err, status = 0;

	err = ipc_send(driver->sock, IPC_DRAIN, 0, &request, sizeof(request), NULL, 0);
	if (err)
		die("ipc", -err);
	err = await(driver, IPC_ACK, &ack, sizeof(ack));
	if (err) {
		answer(err);
		return;
	}
	printf("draining\n");
	waitpid(driver->worker, &status, 0);
	printf("ok %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	exit(EXIT_SUCCESS);
}

static void obey(struct driver *driver, char *line)
{
	char *argument = strchr(line, ' ');

	line[strcspn(line, "\n")] = '\0';
	if (argument)
		*argument++ = '\0';
	if (!strcmp(line, "start")) {
		driver->container.flags &= ~IMAGE_DELETED;
		driver->container.flags |= IMAGE_RUNNING;
	} else if (!strcmp(line, "stop")) {
		driver->container.flags &= ~IMAGE_RUNNING;
	} else if (!strcmp(line, "delete")) {
		driver->container.flags &= ~IMAGE_RUNNING;
		driver->container.flags |= IMAGE_DELETED;
	} else if (!strcmp(line, "address") && argument) {
		set_address(driver, argument);
	} else if (!strcmp(line, "stats")) {
		print_stats(driver);
		return;
	} else if (!strcmp(line, "reload") && argument) {
		answer(send_fd(driver, IPC_CERTIFICATE, load(argument)));
		return;
	} else if (!strcmp(line, "drain") && argument) {
		drain(driver, strtoul(argument, NULL, 10));
		return;
	} else {
		answer(-EINVAL);
		return;
	}
	answer(send_fd(driver, IPC_IMAGE, make_image(driver)));
}

int main(int argc, char **argv)
{
	static struct driver driver;
	char line[4096];
	int option;

	if (argc == 2 && !strcmp(argv[1], "--worker")) {
		log_init("worker", LOG_FORMAT_TEXT);
		if (getenv("HOODY_DRIVER_DEBUG"))
			log_set_level(LOG_LEVEL_DEBUG);
		return worker_run();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	defaults(&driver);
	while ((option = getopt(argc, argv, "l:L:Q:c:a:p:2:o:t:r")) != -1) {
		switch (option) {
		case 'r':
			driver.settings.real_ip_mode = IMAGE_REAL_IP_ON;
			driver.container.flags |= IMAGE_REAL_IP;
			break;
		case 'Q':
			add_listener(&driver, optarg, true, true);
			break;
		case 'L':
			add_listener(&driver, optarg, true, false);
			break;
		case 'l':
			add_listener(&driver, optarg, false, false);
			break;
		case 'c':
			driver.pem = optarg;
			break;
		case 'a':
			set_address(&driver, optarg);
			break;
		case '2':
			add_http2(&driver, optarg);
			break;
		case 'p':
			add_service(&driver, optarg);
			break;
		case 'o':
			set_option(&driver, optarg);
			break;
		case 't':
			driver.settings.threads = strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	start_worker(&driver);
	while (fgets(line, sizeof(line), stdin))
		obey(&driver, line);
	return EXIT_SUCCESS;
}
