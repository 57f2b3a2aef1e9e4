// SPDX-License-Identifier: Apache-2.0
/*
 * Many clients at once, each with an address of its own, against a server that
 * answers with the address it sees. Every answer must be the address of the
 * client that asked: one wrong answer is a failure of the main job.
 *
 *   load [-p PORT] [-n REQUESTS] [-f PERCENT] [-s SEED] [--plain] HOST SERVER4 SERVER6 CLIENT...
 *
 * HOST is the name in Host and SNI; a client with a colon in its address goes to
 * SERVER6. Each client is a thread that asks again and again, on its kept
 * connection or (PERCENT of the times) on a fresh one. Prints one line of
 * figures; exit status 1 when an answer was wrong or a request failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *host, *server4, *server6;
static unsigned int port = 443, fresh_percent = 5, seed = 1;
static long requests_wanted = 1000;
static bool plain;
static SSL_CTX *tls;
static atomic_long requests_started, answers_right, answers_wrong, failures, connections;

struct client {
	pthread_t thread;
	const char *address;
	unsigned int random;
	int fd;			/* -1: not connected */
	SSL *ssl;
};

static void client_close(struct client *client)
{
	if (client->ssl) {
		SSL_shutdown(client->ssl);
		SSL_free(client->ssl);
		client->ssl = NULL;
	}
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static socklen_t address_of(struct sockaddr_storage *storage, const char *text, unsigned int number)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;
	struct sockaddr_in *four = (struct sockaddr_in *)storage;

	memset(storage, 0, sizeof(*storage));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(number);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1) {
		fprintf(stderr, "load: '%s' is no address\n", text);
		exit(2);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(number);
	return sizeof(*six);
}

static int client_connect(struct client *client)
{
	const char *server = strchr(client->address, ':') ? server6 : server4;
	struct timeval limit = { .tv_sec = 60 };
	struct sockaddr_storage local, remote;
	socklen_t local_len = address_of(&local, client->address, 0);
	socklen_t remote_len = address_of(&remote, server, port);
	int on = 1;

	client->fd = socket(local.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(client->fd, (struct sockaddr *)&local, local_len) ||
	    connect(client->fd, (struct sockaddr *)&remote, remote_len))
		return -errno;
	connections++;
	if (plain)
		return 0;
	client->ssl = SSL_new(tls);
	SSL_set_fd(client->ssl, client->fd);
	SSL_set_tlsext_host_name(client->ssl, host);
	SSL_set1_host(client->ssl, host);
	return SSL_connect(client->ssl) == 1 ? 0 : -EPROTO;
}

static int client_write(struct client *client, const char *data, int length)
{
	int n = plain ? send(client->fd, data, length, MSG_NOSIGNAL) :
			SSL_write(client->ssl, data, length);

	return n == length ? 0 : -EPIPE;
}

static int client_read(struct client *client, char *data, int size)
{
	return plain ? recv(client->fd, data, size, 0) : SSL_read(client->ssl, data, size);
}

/* Reads one answer of known length; @body gets its body. */
static int client_answer(struct client *client, char *body, size_t size)
{
	char buffer[8192], *end, *length;
	size_t have = 0, want;

	for (;;) {
		int n = client_read(client, buffer + have, sizeof(buffer) - 1 - have);

		if (n <= 0)
			return -EPIPE;
		have += n;
		buffer[have] = '\0';
		end = strstr(buffer, "\r\n\r\n");
		if (end)
			break;
		if (have == sizeof(buffer) - 1)
			return -E2BIG;
	}
	end += 4;
	length = strcasestr(buffer, "\r\ncontent-length:");
	if (strncmp(buffer, "HTTP/1.1 200", 12) || !length || length > end) {
		fprintf(stderr, "load: %s: %.*s\n", client->address, (int)strcspn(buffer, "\r"), buffer);
		return -EPROTO;
	}
	want = strtoul(length + 17, NULL, 10);
	while (have < (size_t)(end - buffer) + want) {
		int n = client_read(client, buffer + have, sizeof(buffer) - 1 - have);

		if (n <= 0)
			return -EPIPE;
		have += n;
	}
	snprintf(body, size, "%.*s", (int)want, end);
	return 0;
}

static int client_request(struct client *client)
{
	char request[512], body[256];
	int err, length;

	if (client->fd < 0) {
		err = client_connect(client);
		if (err)
			return err;
	}
	length = snprintf(request, sizeof(request), "GET /address HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	err = client_write(client, request, length);
	if (!err)
		err = client_answer(client, body, sizeof(body));
	if (err)
		return err;
	body[strcspn(body, " \r\n")] = '\0';
	if (strcmp(body, client->address)) {
		fprintf(stderr, "load: WRONG: %s was taken for %s\n", client->address, body);
		answers_wrong++;
	} else {
		answers_right++;
	}
	return 0;
}

static void *client_run(void *arg)
{
	struct client *client = arg;

	while (requests_started++ < requests_wanted) {
		int err;

		if (rand_r(&client->random) % 100 < fresh_percent)
			client_close(client);
		err = client_request(client);
		if (err) {
			fprintf(stderr, "load: %s: %s\n", client->address, strerror(-err));
			failures++;
			client_close(client);
		}
		/* Random order: whoever the scheduler and this say. */
		if (rand_r(&client->random) % 4 == 0)
			sched_yield();
	}
	client_close(client);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "plain", no_argument, NULL, 'P' }, {} };
	struct client *clients;
	int option, count;

	while ((option = getopt_long(argc, argv, "p:n:f:s:", options, NULL)) != -1) {
		switch (option) {
		case 'p': port = atoi(optarg); break;
		case 'n': requests_wanted = atol(optarg); break;
		case 'f': fresh_percent = atoi(optarg); break;
		case 's': seed = atoi(optarg); break;
		case 'P': plain = true; break;
		default: return 2;
		}
	}
	if (argc - optind < 4) {
		fprintf(stderr, "load: HOST SERVER4 SERVER6 CLIENT... are needed\n");
		return 2;
	}
	/* OpenSSL writes without MSG_NOSIGNAL; a lost connection is one failed request. */
	signal(SIGPIPE, SIG_IGN);
	host = argv[optind];
	server4 = argv[optind + 1];
	server6 = argv[optind + 2];
	count = argc - optind - 3;
	if (!plain) {
		tls = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
		if (!getenv("SSL_CERT_FILE") || !SSL_CTX_load_verify_file(tls, getenv("SSL_CERT_FILE"))) {
			fprintf(stderr, "load: SSL_CERT_FILE must name the CA\n");
			return 2;
		}
	}
	clients = calloc(count, sizeof(*clients));
	for (int i = 0; i < count; i++) {
		clients[i].address = argv[optind + 3 + i];
		clients[i].random = seed + i;
		clients[i].fd = -1;
		if (pthread_create(&clients[i].thread, NULL, client_run, &clients[i])) {
			fprintf(stderr, "load: no thread\n");
			exit(1);
		}
	}
	for (int i = 0; i < count; i++)
		pthread_join(clients[i].thread, NULL);
	free(clients);
	printf("right=%ld wrong=%ld failed=%ld connections=%ld\n", answers_right, answers_wrong,
	       failures, connections);
	return answers_wrong || failures;
}
