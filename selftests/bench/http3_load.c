// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/3 clients that ask for "/" over and over: what h2load is to HTTP/2.
 *
 *	http3_load ADDRESS PORT HOST CONNECTIONS STREAMS SECONDS
 *
 * Each connection has so many requests under way at any moment, and a socket of its
 * own; all in one thread. The certificate is not looked at. Prints the number of
 * answers; one that is not 200 and complete, or a connection that ends, is an error.
 * Datagrams leave in trains and are taken in trains (udp(7): UDP_SEGMENT, UDP_GRO), so
 * that the load generator needs as little of its processor as it can.
 */
#include "lib/address.h"

#include <errno.h>
#include <netinet/udp.h>
#include <nghttp3/nghttp3.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX	64
#define STREAMS_MAX	64
#define ID_LEN		8
#define PIECES_MAX	16
#define TRAIN_BYTES	65536
#define STREAM_WINDOW	(256 * 1024)
#define WINDOW		(1024 * 1024)

struct client {
	int		fd;
	ngtcp2_conn	*conn;
	ngtcp2_crypto_conn_ref	ref;
	ngtcp2_crypto_ossl_ctx	*tls;
	SSL		*ssl;
	nghttp3_conn	*http;
	struct sockaddr_storage	own;
	socklen_t	own_len;
	unsigned int	running;	/* requests */
	bool		writable;	/* there is, or may be, something to send */
};

static struct client clients[CONNECTIONS_MAX];
static struct sockaddr_storage server;
static socklen_t server_len;
static const char *host;
static unsigned int streams;
static unsigned long answers;
static uint8_t train[TRAIN_BYTES];

static void die(const char *what, const char *why)
{
	fprintf(stderr, "http3_load: %s: %s\n", what, why);
	exit(1);
}

static ngtcp2_tstamp now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NGTCP2_SECONDS + ts.tv_nsec;
}

/* ---- HTTP/3 ---- */

static nghttp3_nv field(const char *name, const char *value)
{
	return (nghttp3_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0};
}

static void ask(struct client *client)
{
	const nghttp3_nv fields[] = {
		field(":method", "GET"), field(":scheme", "https"), field(":authority", host),
		field(":path", "/"), field("user-agent", "http3_load"),
	};
	int64_t id;

	while (client->running < streams) {
		/* The server gives more as it is told of answers that have come. */
		if (ngtcp2_conn_open_bidi_stream(client->conn, &id, NULL))
			return;
		if (nghttp3_conn_submit_request(client->http, id, fields,
						sizeof(fields) / sizeof(fields[0]), NULL, NULL))
			die("request", "no memory");
		client->running++;
		client->writable = true;
	}
}

static int on_field(nghttp3_conn *http, int64_t id, int32_t token, nghttp3_rcbuf *name,
		    nghttp3_rcbuf *value, uint8_t flags, void *user_data, void *stream_data)
{
	nghttp3_vec text = nghttp3_rcbuf_get_buf(value);

	if (token == NGHTTP3_QPACK_TOKEN__STATUS && (text.len != 3 || memcmp(text.base, "200", 3)))
		die("an answer's status", "not 200");
	return 0;
}

static int on_body(nghttp3_conn *http, int64_t id, const uint8_t *bytes, size_t len,
		   void *user_data, void *stream_data)
{
	struct client *client = user_data;

	ngtcp2_conn_extend_max_stream_offset(client->conn, id, len);
	ngtcp2_conn_extend_max_offset(client->conn, len);
	return 0;
}

static int on_answer(nghttp3_conn *http, int64_t id, void *user_data, void *stream_data)
{
	answers++;
	return 0;
}

static int on_refused(nghttp3_conn *http, int64_t id, uint64_t code, void *user_data,
		      void *stream_data)
{
	die("an answer", "malformed");
	return 0;
}

/* The session, as soon as its streams can be opened. */
static int begin_http(struct client *client)
{
	const nghttp3_callbacks callbacks = {
		.recv_header = on_field,
		.recv_data = on_body,
		.end_stream = on_answer,
		.reset_stream = on_refused,
	};
	int64_t control, encoder, decoder;
	nghttp3_settings settings;

	nghttp3_settings_default(&settings);
	settings.qpack_max_dtable_capacity = 4096;
	settings.qpack_blocked_streams = 16;
	if (nghttp3_conn_client_new(&client->http, &callbacks, &settings, NULL, client) ||
	    ngtcp2_conn_open_uni_stream(client->conn, &control, NULL) ||
	    ngtcp2_conn_open_uni_stream(client->conn, &encoder, NULL) ||
	    ngtcp2_conn_open_uni_stream(client->conn, &decoder, NULL) ||
	    nghttp3_conn_bind_control_stream(client->http, control) ||
	    nghttp3_conn_bind_qpack_streams(client->http, encoder, decoder))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* ---- callbacks of QUIC ---- */

static int on_handshake(ngtcp2_conn *conn, void *user_data)
{
	struct client *client = user_data;

	if (begin_http(client))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	ask(client);
	return 0;
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
		   const uint8_t *bytes, size_t len, void *user_data, void *stream_data)
{
	struct client *client = user_data;
	nghttp3_ssize used;

	used = nghttp3_conn_read_stream2(client->http, id, bytes, len,
					 flags & NGTCP2_STREAM_DATA_FLAG_FIN, now());
	if (used < 0)
		die("HTTP/3", nghttp3_strerror(used));
	ngtcp2_conn_extend_max_stream_offset(conn, id, used);
	ngtcp2_conn_extend_max_offset(conn, used);
	return 0;
}

static int on_acknowledged(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len,
			   void *user_data, void *stream_data)
{
	struct client *client = user_data;
	int err = nghttp3_conn_add_ack_offset(client->http, id, len);

	return err && err != NGHTTP3_ERR_STREAM_NOT_FOUND ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code,
			   void *user_data, void *stream_data)
{
	struct client *client = user_data;

	if (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET && code != NGHTTP3_H3_NO_ERROR)
		die("a stream", "reset");
	nghttp3_conn_close_stream(client->http, id, NGHTTP3_H3_NO_ERROR);
	if (ngtcp2_is_bidi_stream(id)) {
		client->running--;
		ask(client);
	}
	return 0;
}

static int on_streams(ngtcp2_conn *conn, uint64_t max, void *user_data)
{
	struct client *client = user_data;

	if (client->http)
		ask(client);
	return 0;
}

static int on_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user_data,
		     void *stream_data)
{
	struct client *client = user_data;

	return client->http && nghttp3_conn_unblock_stream(client->http, id) ?
		       NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_random(uint8_t *bytes, size_t len, const ngtcp2_rand_ctx *context)
{
	if (RAND_bytes(bytes, len) != 1)
		die("RAND_bytes", "failed");
}

static int on_new_id(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len,
		     void *user_data)
{
	cid->datalen = len;
	return RAND_bytes(cid->data, len) == 1 &&
	       RAND_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN) == 1 ?
		       0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
	.handshake_completed = on_handshake,
	.recv_stream_data = on_data,
	.acked_stream_data_offset = on_acknowledged,
	.stream_close = on_stream_close,
	.extend_max_local_streams_bidi = on_streams,
	.extend_max_stream_data = on_window,
	.rand = on_random,
	.get_new_connection_id = on_new_id,
};

/* ---- bytes ---- */

static ngtcp2_ssize fill_packet(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *info,
				uint8_t *dest, size_t size, ngtcp2_tstamp time, void *user_data)
{
	struct client *client = user_data;
	nghttp3_vec pieces[PIECES_MAX];

	for (;;) {
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
		ngtcp2_ssize taken = -1, len;
		nghttp3_ssize count = 0;
		int64_t id = -1;
		int ended = 0;

		if (client->http && ngtcp2_conn_get_max_data_left(conn))
			count = nghttp3_conn_writev_stream(client->http, &id, &ended, pieces,
							   PIECES_MAX);
		if (count < 0)
			die("HTTP/3", nghttp3_strerror(count));
		if (ended)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		len = ngtcp2_conn_writev_stream(conn, path, info, dest, size, &taken, flags, id,
						(const ngtcp2_vec *)pieces, count, time);
		if (taken >= 0)
			nghttp3_conn_add_write_offset(client->http, id, taken);
		if (len == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			nghttp3_conn_block_stream(client->http, id);
		else if (len != NGTCP2_ERR_WRITE_MORE)
			return len;
	}
}

static void send_train(struct client *client, size_t len, size_t segment)
{
	char control[CMSG_SPACE(sizeof(uint16_t))] = "";
	struct iovec part = {train, len};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (len > segment) {
		struct cmsghdr *at = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		at->cmsg_level = SOL_UDP;
		at->cmsg_type = UDP_SEGMENT;
		at->cmsg_len = CMSG_LEN(sizeof(uint16_t));
		memcpy(CMSG_DATA(at), &(uint16_t){segment}, sizeof(uint16_t));
	}
	/* A full socket is loss, which QUIC repairs. */
	if (sendmsg(client->fd, &message, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		die("sendmsg", strerror(errno));
}

static void client_write(struct client *client)
{
	ngtcp2_pkt_info info;
	size_t segment;
	ngtcp2_ssize len;

	client->writable = false;
	for (;;) {
		len = ngtcp2_conn_write_aggregate_pkt(client->conn, NULL, &info, train, sizeof(train),
						      &segment, fill_packet, now());
		if (len < 0)
			die("QUIC", ngtcp2_strerror(len));
		if (!len)
			return;
		send_train(client, len, segment);
	}
}

static void client_take(struct client *client, const uint8_t *bytes, size_t len)
{
	ngtcp2_path path = {
		{(struct sockaddr *)&client->own, client->own_len},
		{(struct sockaddr *)&server, server_len},
		NULL,
	};
	ngtcp2_pkt_info info = {0};
	int err = ngtcp2_conn_read_pkt(client->conn, &path, &info, bytes, len, now());

	if (err)
		die("QUIC", ngtcp2_strerror(err));
	client->writable = true;
}

static void client_read(struct client *client)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {train, sizeof(train)};
	ssize_t len;

	for (;;) {
		struct msghdr message = {
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct cmsghdr *at;
		int segment;

		len = recvmsg(client->fd, &message, MSG_DONTWAIT);
		if (len < 0 && errno == EAGAIN)
			return;
		if (len <= 0)
			die("recvmsg", strerror(errno));
		segment = len;
		at = CMSG_FIRSTHDR(&message);
		if (at && at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(at), sizeof(segment));
		for (ssize_t from = 0; from < len; from += segment)
			client_take(client, train + from, len - from < segment ? len - from : segment);
	}
}

/* ---- beginning and end ---- */

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
	return ((struct client *)ref->user_data)->conn;
}

static void set_up_tls(struct client *client, SSL_CTX *context)
{
	client->ref = (ngtcp2_crypto_conn_ref){conn_of, client};
	client->ssl = SSL_new(context);
	if (!client->ssl || ngtcp2_crypto_ossl_configure_client_session(client->ssl) ||
	    ngtcp2_crypto_ossl_ctx_new(&client->tls, client->ssl) ||
	    SSL_set_alpn_protos(client->ssl, (const uint8_t *)"\2h3", 3) ||
	    SSL_set_tlsext_host_name(client->ssl, host) != 1)
		die("TLS", "cannot be set up");
	SSL_set_app_data(client->ssl, &client->ref);
	SSL_set_connect_state(client->ssl);
	ngtcp2_conn_set_tls_native_handle(client->conn, client->tls);
}

static void set_up_conn(struct client *client)
{
	ngtcp2_cid source = {.datalen = ID_LEN}, destination = {.datalen = ID_LEN};
	ngtcp2_path path = {
		{(struct sockaddr *)&client->own, client->own_len},
		{(struct sockaddr *)&server, server_len},
		NULL,
	};
	ngtcp2_transport_params params;
	ngtcp2_settings settings;

	on_random(source.data, ID_LEN, NULL);
	on_random(destination.data, ID_LEN, NULL);
	ngtcp2_settings_default(&settings);
	settings.initial_ts = now();
	ngtcp2_transport_params_default(&params);
	params.initial_max_stream_data_bidi_local = STREAM_WINDOW;
	params.initial_max_stream_data_uni = STREAM_WINDOW;
	params.initial_max_data = WINDOW;
	params.initial_max_streams_uni = 3;
	if (ngtcp2_conn_client_new(&client->conn, &destination, &source, &path,
				   NGTCP2_PROTO_VER_V1, &callbacks, &settings, &params, NULL, client))
		die("QUIC", "no memory");
}

static void client_begin(struct client *client, SSL_CTX *context)
{
	int one = 1;

	client->fd = socket(server.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	client->own_len = sizeof(client->own);
	if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&server, server_len) ||
	    setsockopt(client->fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) ||
	    getsockname(client->fd, (struct sockaddr *)&client->own, &client->own_len))
		die("socket", strerror(errno));
	set_up_conn(client);
	set_up_tls(client, context);
	client_write(client);
}

static void client_end(struct client *client)
{
	ngtcp2_ccerr reason;
	ngtcp2_ssize len;

	ngtcp2_ccerr_default(&reason);
	ngtcp2_ccerr_set_application_error(&reason, NGHTTP3_H3_NO_ERROR, NULL, 0);
	len = ngtcp2_conn_write_connection_close(client->conn, NULL, NULL, train, sizeof(train),
						 &reason, now());
	if (len > 0)
		send_train(client, len, len);
	SSL_set_app_data(client->ssl, NULL);
	nghttp3_conn_del(client->http);
	ngtcp2_conn_del(client->conn);
	SSL_free(client->ssl);
	ngtcp2_crypto_ossl_ctx_del(client->tls);
	close(client->fd);
}

/* Sends what is due; returns how many milliseconds nothing else is. */
static int clients_write(unsigned int count)
{
	ngtcp2_tstamp time = now(), due = time + NGTCP2_SECONDS;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct client *client = &clients[i];
		ngtcp2_tstamp expiry = ngtcp2_conn_get_expiry(client->conn);

		if (expiry <= time) {
			int err = ngtcp2_conn_handle_expiry(client->conn, time);

			if (err)
				die("QUIC", ngtcp2_strerror(err));
			client->writable = true;
		}
		if (client->writable) {
			client_write(client);
			expiry = ngtcp2_conn_get_expiry(client->conn);
		}
		if (expiry < due)
			due = expiry;
	}
	time = now();
	return due <= time ? 0 : (due - time + NGTCP2_MILLISECONDS - 1) / NGTCP2_MILLISECONDS;
}

static void run(unsigned int count, double seconds)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), ready, i;
	ngtcp2_tstamp end = now() + seconds * NGTCP2_SECONDS;
	struct epoll_event events[CONNECTIONS_MAX];

	for (i = 0; i < (int)count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event))
			die("epoll_ctl", strerror(errno));
	}
	while (now() < end) {
		ready = epoll_wait(epoll, events, CONNECTIONS_MAX, clients_write(count));
		for (i = 0; i < ready; i++)
			client_read(events[i].data.ptr);
	}
	close(epoll);
}

int main(int argc, char **argv)
{
	unsigned int count = argc == 7 ? atoi(argv[4]) : 0, i;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct address address;

	streams = argc == 7 ? atoi(argv[5]) : 0;
	if (count < 1 || count > CONNECTIONS_MAX || streams < 1 || streams > STREAMS_MAX ||
	    address_parse(argv[1], strlen(argv[1]), &address)) {
		fprintf(stderr, "usage: http3_load ADDRESS PORT HOST CONNECTIONS STREAMS SECONDS\n");
		return 2;
	}
	server_len = address_sockaddr(&address, atoi(argv[2]), &server);
	host = argv[3];
	if (!context || ngtcp2_crypto_ossl_init() ||
	    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
		die("TLS", "cannot be set up");
	for (i = 0; i < count; i++)
		client_begin(&clients[i], context);
	run(count, atof(argv[6]));
	for (i = 0; i < count; i++)
		client_end(&clients[i]);
	SSL_CTX_free(context);
	printf("%lu\n", answers);
	return 0;
}
