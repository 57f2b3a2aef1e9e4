// SPDX-License-Identifier: Apache-2.0
/*
 * TLS 1.3 handshakes and nothing else, and the least that a server can do for them.
 *
 *	tls_shake connect ADDRESS PORT HOST SECONDS new|resumed
 *	tls_shake serve PORT PEM [SUITES]
 *
 * "connect" shakes hands over and over for that long, one connection at a time, and
 * prints how often. Each handshake is checked to be of its kind. "serve" is OpenSSL in
 * a loop: what a proxy adds to. SUITES are those of TLS 1.3, in the order of preference;
 * OpenSSL's own order without.
 */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static SSL_SESSION *session;	/* the newest that a server has given */

static void die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int on_session(SSL *ssl, SSL_SESSION *given)
{
	SSL_SESSION_free(session);
	session = given;
	return 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* One connection; with a session of an earlier one that is resumed. */
static void shake(SSL_CTX *context, const struct sockaddr_storage *server, socklen_t length,
		  const char *host, bool resumed)
{
	struct timeval limit = {.tv_sec = 30};
	struct linger linger = {.l_onoff = 1};
	SSL_SESSION *before = session;
	SSL *ssl = SSL_new(context);
	char byte;
	int fd;

	fd = socket(server->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !ssl || connect(fd, (const struct sockaddr *)server, length))
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, host);
	if (resumed)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) != 1)
		die("SSL_connect");
	if (SSL_session_reused(ssl) != resumed)
		die(resumed ? "the server has not resumed the session" : "a session was resumed");
	/* A ticket is the handshake's last part. */
	errno = 0;
	while (session == before) {
		if (SSL_read(ssl, &byte, 1) > 0 ||
		    (session == before && errno == EAGAIN))
			die("no ticket");
	}
	/* No TIME_WAIT: ports would run out. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	/* OpenSSL forgets the session of a connection that was not closed by the book. */
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
	close(fd);
}

static int run_client(char **argv)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool resumed = !strcmp(argv[5], "resumed");
	struct sockaddr_storage server;
	struct address address;
	unsigned int count = 0;
	socklen_t length;
	double end;

	if (address_parse(argv[1], strlen(argv[1]), &address))
		die(argv[1]);
	length = address_sockaddr(&address, atoi(argv[2]), &server);
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT |
						SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_session);
	/* A read returns once it has seen a ticket. */
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	shake(context, &server, length, argv[3], false);
	for (end = now() + atof(argv[4]); now() < end; count++)
		shake(context, &server, length, argv[3], resumed);
	printf("%u\n", count);
	SSL_CTX_free(context);
	return 0;
}

static int run_server(int port, const char *pem, const char *suites)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, fd;
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char bytes[1024];
	SSL *ssl;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&in, sizeof(in)) || listen(listener, 128) ||
	    SSL_CTX_use_certificate_chain_file(context, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1 ||
	    (suites && SSL_CTX_set_ciphersuites(context, suites) != 1))
		die("serve");
	SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		ssl = SSL_new(context);
		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1)
			SSL_read(ssl, bytes, sizeof(bytes));
		ERR_clear_error();
		SSL_free(ssl);
		close(fd);
	}
	die("accept");
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "connect"))
		return run_client(argv + 1);
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "serve"))
		return run_server(atoi(argv[2]), argv[3], argv[4]);
	fprintf(stderr, "usage: tls_shake connect ADDRESS PORT HOST SECONDS new|resumed\n"
			"       tls_shake serve PORT PEM [SUITES]\n");
	return 2;
}
