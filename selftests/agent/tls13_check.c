// SPDX-License-Identifier: Apache-2.0
/*
 * A TLS 1.3 client that holds the agent's own record layer against OpenSSL's, and
 * one that breaks its rules; tls13.sh runs it. TAP on standard output.
 *
 *	tls13_check PORT HOST BYTES RESUMED
 *
 * BYTES is what an idle connection was found to cost the worker, RESUMED how many
 * sessions were resumed of which each had its own ticket.
 *
 * OpenSSL works on memory here, so that it is ours to say which bytes travel
 * together. Broken records are made with the client's own keys.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/tls13_internal.h"
#include "tap.h"

#define UPLOAD	300000
#define BIG	1000000

struct peer {
	SSL_CTX			*context;
	SSL			*ssl;
	BIO			*in, *out;
	int			fd;
	bool			in_bytes;	/* everything leaves byte by byte */
	unsigned int		updates;	/* key updates of the server's */
	struct tls13_keys	raw;
};

static const char *host;
static int port;
static struct tls13_suite suite = {.id = 0x1301, .key_len = 16, .secret_len = 32};

static void hex(const char *text, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sscanf(text + 2 * i, "%2hhx", &to[i]);
}

/* A client's secret from the key log, as for a program that is to read along. */
static void on_secret(const SSL *ssl, const char *line)
{
	struct peer *peer = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');

	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) || strlen(secret + 1) != 64)
		return;
	peer->raw.suite = &suite;
	peer->raw.encrypts = true;
	peer->raw.secret_len = 32;
	hex(secret + 1, peer->raw.secret, 32);
	tls13_keys_apply(&peer->raw);
}

static void on_message(int write, int version, int type, const void *bytes, size_t len, SSL *ssl,
		       void *argument)
{
	struct peer *peer = argument;

	if (!write && type == SSL3_RT_HANDSHAKE && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		peer->updates++;
}

static void push_bytes(struct peer *peer, const void *bytes, size_t len)
{
	size_t step = peer->in_bytes ? 1 : len;

	for (size_t at = 0; at < len; at += step)
		if (send(peer->fd, (const char *)bytes + at, step, MSG_NOSIGNAL) != (ssize_t)step)
			return;
}

static void push(struct peer *peer)
{
	char *bytes;
	long len = BIO_get_mem_data(peer->out, &bytes);

	push_bytes(peer, bytes, len);
	(void)!BIO_reset(peer->out);
}

/* Waits for more of the server's bytes; false at the end. */
static bool pull(struct peer *peer)
{
	char bytes[65536];
	ssize_t n = recv(peer->fd, bytes, sizeof(bytes), 0);

	return n > 0 && BIO_write(peer->in, bytes, n) == n;
}

static bool begin(struct peer *peer)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 60};

	memset(peer, 0, sizeof(*peer));
	peer->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_keylog_callback(peer->context, on_secret);
	peer->ssl = SSL_new(peer->context);
	peer->in = BIO_new(BIO_s_mem());
	peer->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(peer->in, -1);
	SSL_set_bio(peer->ssl, peer->in, peer->out);
	SSL_set_app_data(peer->ssl, peer);
	SSL_set_msg_callback(peer->ssl, on_message);
	SSL_set_msg_callback_arg(peer->ssl, peer);
	SSL_set_tlsext_host_name(peer->ssl, host);
	SSL_set_connect_state(peer->ssl);
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return !connect(peer->fd, (struct sockaddr *)&server, sizeof(server));
}

/* The handshake; its last flight is still in peer->out. */
static bool shake(struct peer *peer)
{
	while (SSL_do_handshake(peer->ssl) != 1) {
		if (SSL_get_error(peer->ssl, -1) != SSL_ERROR_WANT_READ)
			return false;
		push(peer);
		if (!pull(peer))
			return false;
	}
	return true;
}

static void end(struct peer *peer)
{
	close(peer->fd);
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->context);
	tls13_keys_clear(&peer->raw);
	ERR_clear_error();
}

/* As SSL_read(3), waiting. */
static int take(struct peer *peer, void *bytes, int len)
{
	int n;

	while ((n = SSL_read(peer->ssl, bytes, len)) <= 0 &&
	       SSL_get_error(peer->ssl, n) == SSL_ERROR_WANT_READ) {
		push(peer);
		if (!pull(peer))
			return 0;
	}
	return n;
}

static void say(struct peer *peer, const char *text)
{
	SSL_write(peer->ssl, text, strlen(text));
}

static const char *request(const char *line, const char *more)
{
	static char text[1024];

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", line, host, more);
	return text;
}

/* The response's body in @body (of @size); its length, or -1: no 200. */
static long answer(struct peer *peer, char *body, size_t size)
{
	char head[8192];
	size_t have = 0, length = 0;
	char *at = NULL, *field;
	int n;

	push(peer);
	while (!at) {
		n = have < sizeof(head) - 1 ? take(peer, head + have, sizeof(head) - 1 - have) : 0;
		if (n <= 0)
			return -1;
		have += n;
		head[have] = '\0';
		at = strstr(head, "\r\n\r\n");
	}
	field = strcasestr(head, "\r\ncontent-length:");
	if (strncmp(head, "HTTP/1.1 200", 12) || !field)
		return -1;
	length = strtoul(field + 17, NULL, 10);
	have -= at + 4 - head;
	if (length >= size)
		return -1;
	memcpy(body, at + 4, have);
	while (have < length && (n = take(peer, body + have, length - have)) > 0)
		have += n;
	body[have] = '\0';
	return have == length ? (long)length : -1;
}

static bool asks(struct peer *peer)
{
	char body[8192];

	say(peer, request("GET /count", ""));
	return answer(peer, body, sizeof(body)) > 0;
}

/* ---- what clients may do ---- */

/* RFC 8448 3: a key, and the first record of data under it. */
static void test_vector(void)
{
	struct tls13_keys keys = {.suite = &suite, .secret_len = 32, .encrypts = true};
	uint8_t data[50], record[50 + TLS13_OVERHEAD], wanted[sizeof(record)];

	hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5", keys.secret, 32);
	hex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a"
	    "9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4", wanted, sizeof(wanted));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i;
	tap_ok(!tls13_keys_apply(&keys) &&
	       tls13_seal(&keys, TLS13_DATA, data, sizeof(data), record) == sizeof(record) &&
	       !memcmp(record, wanted, sizeof(record)), "tls13_key_and_record_as_in_rfc_8448");
	tls13_keys_clear(&keys);
}

static void test_suite(const char *name)
{
	struct peer peer;

	tap_ok(begin(&peer) && SSL_set_ciphersuites(peer.ssl, name) && shake(&peer) &&
	       asks(&peer) && asks(&peer), "tls13_%s", name);
	end(&peer);
}

/* What stays with OpenSSL: an older version, small records. */
static void test_others(void)
{
	struct peer peer;

	tap_ok(begin(&peer) && SSL_set_max_proto_version(peer.ssl, TLS1_2_VERSION) &&
	       shake(&peer) && asks(&peer) && asks(&peer), "tls12_is_served_as_before");
	end(&peer);
	tap_ok(begin(&peer) &&
	       SSL_set_tlsext_max_fragment_length(peer.ssl, TLSEXT_max_fragment_length_512) &&
	       shake(&peer) && asks(&peer) && asks(&peer), "tls13_small_records_if_asked_for");
	end(&peer);
}

static void test_flights(void)
{
	struct peer peer;
	bool good = begin(&peer) && shake(&peer);

	/* Finished, the request and its end travel together. */
	say(&peer, request("GET /count", ""));
	say(&peer, request("GET /count", ""));
	tap_ok(good && asks(&peer), "tls13_requests_beside_the_last_flight");
	end(&peer);

	good = begin(&peer);
	peer.in_bytes = true;
	tap_ok(good && SSL_set_block_padding(peer.ssl, 512) && shake(&peer) && asks(&peer) &&
	       asks(&peer), "tls13_padded_records_in_single_bytes");
	end(&peer);

	good = begin(&peer) && shake(&peer) && asks(&peer);
	say(&peer, request("GET /count", "Connection: close\r\n"));
	SSL_shutdown(peer.ssl);
	{
		char body[8192];

		tap_ok(good && answer(&peer, body, sizeof(body)) > 0 && take(&peer, body, 1) == 0 &&
		       SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN,
		       "tls13_close_notify_of_both_sides");
	}
	end(&peer);
}

static void test_updates(void)
{
	struct peer peer;
	bool good = begin(&peer) && shake(&peer) && asks(&peer);

	for (int i = 0; good && i < 5; i++) {
		good = SSL_key_update(peer.ssl, i % 2 ? SSL_KEY_UPDATE_NOT_REQUESTED :
							SSL_KEY_UPDATE_REQUESTED) && asks(&peer);
	}
	tap_ok(good, "tls13_key_updates_are_followed");
	tap_ok(peer.updates == 3, "tls13_key_updates_are_answered_if_asked_for (%u)", peer.updates);
	end(&peer);
}

/* In records of all sizes. */
static void test_bulk(void)
{
	static char bytes[UPLOAD], body[BIG + 1];
	char head[64], wanted[32];
	struct peer peer;
	bool good = begin(&peer) && shake(&peer);
	size_t at, part;
	long i;

	snprintf(head, sizeof(head), "Content-Length: %d\r\n", UPLOAD);
	say(&peer, request("POST /sink", head));
	for (at = 0, part = 1; at < UPLOAD; at += part, part = part * 3 % 17000 + 1) {
		part = part < UPLOAD - at ? part : UPLOAD - at;
		SSL_write(peer.ssl, bytes + at, part);
	}
	snprintf(wanted, sizeof(wanted), "%d\n", UPLOAD);
	tap_ok(good && answer(&peer, body, sizeof(body)) > 0 && !strcmp(body, wanted),
	       "tls13_upload_in_records_of_all_sizes");
	say(&peer, request("GET /big?1000000", ""));
	good = good && answer(&peer, body, sizeof(body)) == BIG;
	for (i = 0; good && i < BIG; i++)
		good = (uint8_t)body[i] == i % 256;
	tap_ok(good, "tls13_download_is_whole");
	end(&peer);
}

/* ---- what they may not ---- */

/* The alert that answers what the client has sent; -1: none. */
static int alert(struct peer *peer)
{
	char byte;

	ERR_clear_error();
	if (take(peer, &byte, 1) > 0)
		return -1;
	return ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET;
}

static bool begin_raw(struct peer *peer)
{
	bool good = begin(peer) && SSL_set_ciphersuites(peer->ssl, "TLS_AES_128_GCM_SHA256") &&
		    shake(peer);

	push(peer);
	return good && peer->raw.secret_len;
}

/* One record of @type with @len bytes; @flip: where it is damaged, or -1. */
static void refuse(const char *name, int type, const char *bytes, size_t len, int flip, int wanted)
{
	static uint8_t record[TLS13_PLAIN_MAX + 64];
	struct peer peer;
	bool good = begin_raw(&peer);
	ssize_t n = good ? tls13_seal(&peer.raw, type, bytes, len, record) : 0;
	int got;

	if (flip >= 0)
		record[flip] ^= 1;
	push_bytes(&peer, record, n);
	got = alert(&peer);
	tap_ok(good && got == wanted, "tls13_refused_%s (alert %d)", name, got);
	end(&peer);
}

/* Bytes that are no protected record. */
static void refuse_bare(const char *name, const char *bytes, size_t len, int wanted)
{
	struct peer peer;
	bool good = begin_raw(&peer);
	int got;

	push_bytes(&peer, bytes, len);
	got = alert(&peer);
	tap_ok(good && got == wanted, "tls13_refused_%s (alert %d)", name, got);
	end(&peer);
}

/* @count records without a byte of data, then a request in one. */
static int empty_records(int count)
{
	const char *text = request("GET /count", "");
	uint8_t records[4096];
	struct peer peer;
	char body[8192];
	bool good = begin_raw(&peer);
	size_t used = 0;
	int i, got;

	for (i = 0; good && i < count; i++)
		used += tls13_seal(&peer.raw, TLS13_DATA, "", 0, records + used);
	if (good)
		used += tls13_seal(&peer.raw, TLS13_DATA, text, strlen(text), records + used);
	/* At once: what comes behind a refusal would reset the connection. */
	push_bytes(&peer, records, used);
	got = good && count < 32 ? (answer(&peer, body, sizeof(body)) > 0 ? 0 : -2) : alert(&peer);
	end(&peer);
	return got;
}

static void test_refusals(void)
{
	static char large[TLS13_PLAIN_MAX + 1];

	refuse("damaged_content", TLS13_DATA, "GET / HTTP/1.1\r\n", 16, TLS13_HEAD + 3,
	       TLS13_BAD_RECORD_MAC);
	refuse("damaged_tag", TLS13_DATA, "GET / HTTP/1.1\r\n", 16, TLS13_HEAD + 17 + TLS13_TAG - 1,
	       TLS13_BAD_RECORD_MAC);
	refuse("no_type", 0, "", 0, -1, TLS13_UNEXPECTED_MESSAGE);
	refuse("unknown_type", 24, "x", 1, -1, TLS13_UNEXPECTED_MESSAGE);
	refuse("too_much_content", TLS13_DATA, large, sizeof(large), -1, TLS13_RECORD_OVERFLOW);
	refuse("message_of_a_handshake", TLS13_HANDSHAKE, "\1\0\0\1\0", 5, -1,
	       TLS13_UNEXPECTED_MESSAGE);
	refuse("key_update_of_a_third_kind", TLS13_HANDSHAKE, "\30\0\0\1\2", 5, -1,
	       TLS13_ILLEGAL_PARAMETER);
	refuse("key_update_and_more", TLS13_HANDSHAKE, "\30\0\0\1\0\30", 6, -1,
	       TLS13_UNEXPECTED_MESSAGE);
	refuse("alert_of_one_byte", TLS13_ALERT, "\1", 1, -1, TLS13_DECODE_ERROR);
	refuse_bare("bare_change_cipher_spec", "\24\3\3\0\1\1", 6, TLS13_UNEXPECTED_MESSAGE);
	refuse_bare("bare_alert", "\25\3\3\0\2\1\0", 7, TLS13_UNEXPECTED_MESSAGE);
	refuse_bare("bare_text", "GET / HTTP/1.1\r\n", 16, TLS13_UNEXPECTED_MESSAGE);
	refuse_bare("record_too_long", "\27\3\3\101\1", 5, TLS13_RECORD_OVERFLOW);
	refuse_bare("record_too_short", "\27\3\3\0\20", 5, TLS13_DECODE_ERROR);
	tap_ok(empty_records(31) == 0, "tls13_some_empty_records_pass");
	tap_ok(empty_records(40) == TLS13_UNEXPECTED_MESSAGE, "tls13_refused_empty_records_for_ever");
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: tls13_check PORT HOST BYTES RESUMED\n");
		return 2;
	}
	port = atoi(argv[1]);
	host = argv[2];
	suite.cipher = EVP_aes_128_gcm();
	suite.hmac = tls13_hmac("SHA256");
	tap_plan(31);
	test_vector();
	test_suite("TLS_AES_128_GCM_SHA256");
	test_suite("TLS_AES_256_GCM_SHA384");
	test_suite("TLS_CHACHA20_POLY1305_SHA256");
	test_others();
	test_flights();
	test_updates();
	test_bulk();
	test_refusals();
	/* With all of OpenSSL's state it would be more than twice as much. */
	tap_ok(atoi(argv[3]) > 0 && atoi(argv[3]) < 9000,
	       "tls13_idle_connection_costs_little (%s bytes)", argv[3]);
	tap_ok(atoi(argv[4]) > 0, "tls13_each_resumption_has_a_ticket_of_its_own");
	return tap_done();
}
