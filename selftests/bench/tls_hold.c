// SPDX-License-Identifier: Apache-2.0
/*
 * Idle clients: opens TLS connections, sends one request on each, says "ready"
 * when all are answered, and keeps them open until its standard input ends.
 *
 *	tls_hold ADDRESS PORT HOST COUNT
 */
#include "lib/address.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_MAX 10000

static void die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* Reads the response: head, and the body that its Content-Length announces. */
static void take_response(SSL *ssl)
{
	char bytes[4096];
	size_t received = 0, wanted = 0;

	while (!wanted || received < wanted) {
		const char *end, *length;
		int n = SSL_read(ssl, bytes + received, sizeof(bytes) - 1 - received);

		if (n <= 0)
			die("SSL_read");
		received += n;
		bytes[received] = '\0';
		end = strstr(bytes, "\r\n\r\n");
		length = strcasestr(bytes, "\r\ncontent-length:");
		if (end && (!length || strncmp(bytes, "HTTP/1.1 200", 12))) {
			fprintf(stderr, "unexpected response: %s\n", bytes);
			exit(1);
		}
		if (end)
			wanted = end + 4 - bytes + strtoul(length + 17, NULL, 10);
		if (wanted >= sizeof(bytes)) {
			fprintf(stderr, "the response is too long\n");
			exit(1);
		}
	}
}

static void open_connection(SSL_CTX *context, const struct sockaddr_storage *server,
			    socklen_t length, const char *host)
{
	int fd = socket(server->ss_family, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(context);
	char request[512];
	int n;

	if (fd < 0 || !ssl || connect(fd, (const struct sockaddr *)server, length))
		die("connect");
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, host);
	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	if (SSL_write(ssl, request, n) != n)
		die("SSL_write");
	take_response(ssl);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage server;
	struct address address;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	socklen_t length;
	char byte;
	int count;

	count = argc == 5 ? atoi(argv[4]) : 0;
	if (count < 1 || count > COUNT_MAX || address_parse(argv[1], strlen(argv[1]), &address)) {
		fprintf(stderr, "usage: tls_hold ADDRESS PORT HOST COUNT\n");
		return 2;
	}
	length = address_sockaddr(&address, atoi(argv[2]), &server);
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	/* Ends of the test: what the peer saves by tickets is not the subject. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	for (int i = 0; i < count; i++)
		open_connection(context, &server, length, argv[3]);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
