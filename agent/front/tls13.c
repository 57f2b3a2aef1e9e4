/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of one connection, see tls13.h.
 *
 * Reading: connection->received has what came and was not used; it goes into the
 * thread's room with what the socket gives, is opened there, and what the caller
 * does not take goes back. Between two calls a connection therefore holds memory
 * only for an incomplete record or for data that nobody has asked for yet.
 * Writing: records are sealed in that room and sent; what the socket does not
 * take is kept, and the bytes that it stands for count as written when it is gone.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "front/connection.h"
#include "front/tls13_internal.h"

/* In a row, as OpenSSL has it: a client that sends only these has no request. */
#define IDLE_RECORDS_MAX	32
/* Of one key: AES-GCM's margin is 2^24.5 full records (RFC 8446 5.5). */
#define RECORDS_OF_A_KEY	(1 << 24)
/* What one call seals; kept for as long as a slow client needs to take it. */
#define SEALED_MAX		32768
#define KEY_UPDATE		24
#define KEY_UPDATE_LEN		5

struct front_tls13_ciphers {
	EVP_CIPHER		*fetched[3];
	EVP_MAC_CTX		*hmacs[2];	/* SHA-256, SHA-384 */
	struct tls13_suite	suites[3];
};

struct front_tls13 {
	struct tls13_keys	in, out;
	struct buf		sealed;		/* records that the socket did not take */
	size_t			standing;	/* of the caller's bytes @sealed stands for */
	uint16_t		plain;		/* opened content at the head of what was received */
	uint16_t		tail;		/* bytes of that record behind it */
	uint8_t			idle_records;
	bool			shaken;		/* our Finished is out: records count */
	bool			answer_update;	/* the client wants our keys changed too */
	bool			ended, failed;
};

/* ---- ciphers ---- */

struct front_tls13_ciphers *front_tls13_ciphers_create(void)
{
	static const struct {
		const char	*cipher;
		uint16_t	id;
		uint8_t		key_len, secret_len, hash;
	} all[] = {
		{"AES-128-GCM", 0x1301, 16, 32, 0},
		{"AES-256-GCM", 0x1302, 32, 48, 1},
		{"ChaCha20-Poly1305", 0x1303, 32, 32, 0},
	};
	struct front_tls13_ciphers *ciphers = calloc(1, sizeof(*ciphers));
	unsigned int i;

	if (!ciphers)
		return NULL;
	ciphers->hmacs[0] = tls13_hmac("SHA256");
	ciphers->hmacs[1] = tls13_hmac("SHA384");
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		ciphers->fetched[i] = EVP_CIPHER_fetch(NULL, all[i].cipher, NULL);
		/* One that is missing (by policy) is not offered to clients either. */
		if (!ciphers->fetched[i] || !ciphers->hmacs[all[i].hash])
			continue;
		ciphers->suites[i] = (struct tls13_suite){
			.cipher = ciphers->fetched[i],
			.hmac = ciphers->hmacs[all[i].hash],
			.id = all[i].id,
			.key_len = all[i].key_len,
			.secret_len = all[i].secret_len,
		};
	}
	return ciphers;
}

void front_tls13_ciphers_destroy(struct front_tls13_ciphers *ciphers)
{
	unsigned int i;

	if (!ciphers)
		return;
	for (i = 0; i < 3; i++)
		EVP_CIPHER_free(ciphers->fetched[i]);
	EVP_MAC_CTX_free(ciphers->hmacs[0]);
	EVP_MAC_CTX_free(ciphers->hmacs[1]);
	free(ciphers);
}

/* ---- from the handshake ---- */

/* Counts what we have sent with the keys that follow it: session tickets. */
static void on_message(int write, int version, int type, const void *bytes, size_t len, SSL *ssl,
		       void *argument)
{
	struct front_tls13 *tls13 = argument;

	if (!write)
		return;
	if (type == SSL3_RT_HEADER && tls13->shaken)
		tls13->out.sequence++;
	else if (type == SSL3_RT_HANDSHAKE && len && *(const uint8_t *)bytes == SSL3_MT_FINISHED)
		tls13->shaken = true;
}

struct front_tls13 *front_tls13_create(SSL *ssl)
{
	struct front_tls13 *tls13 = calloc(1, sizeof(*tls13));

	if (!tls13)
		return NULL;
	tls13->out.encrypts = true;
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, tls13);
	return tls13;
}

void front_tls13_destroy(struct front_tls13 *tls13, struct front_connection *connection)
{
	if (!tls13)
		return;
	tls13_keys_clear(&tls13->in);
	tls13_keys_clear(&tls13->out);
	buf_clear(&connection->thread->buffers, &tls13->sealed);
	free(tls13);
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* LABEL CLIENT-RANDOM SECRET, the latter two in hex. */
void front_tls13_learn(struct front_tls13 *tls13, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls13_keys *keys;
	const char *at;

	if (!strncmp(line, client, sizeof(client) - 1))
		keys = &tls13->in;
	else if (!strncmp(line, server, sizeof(server) - 1))
		keys = &tls13->out;
	else
		return;
	at = strchr(line + sizeof(client) - 1, ' ');
	keys->secret_len = 0;
	while (at && keys->secret_len < TLS13_SECRET_MAX && digit(at[1]) >= 0 && digit(at[2]) >= 0) {
		keys->secret[keys->secret_len++] = digit(at[1]) << 4 | digit(at[2]);
		at += 2;
	}
}

static const struct tls13_suite *suite_of(const struct front_tls13_ciphers *ciphers, SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	unsigned int i;

	for (i = 0; ciphers && cipher && i < 3; i++) {
		if (ciphers->suites[i].cipher &&
		    ciphers->suites[i].id == SSL_CIPHER_get_protocol_id(cipher))
			return &ciphers->suites[i];
	}
	return NULL;
}

bool front_tls13_begin(struct front_tls13 *tls13, const struct front_tls13_ciphers *ciphers,
		       SSL *ssl)
{
	uint8_t size = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl));
	uint64_t sent = tls13->out.sequence;
	const struct tls13_suite *suite;

	if (SSL_version(ssl) != TLS1_3_VERSION || SSL_has_pending(ssl) ||
	    (size >= TLSEXT_max_fragment_length_512 && size <= TLSEXT_max_fragment_length_4096))
		return false;
	suite = suite_of(ciphers, ssl);
	if (!suite || tls13->in.secret_len != suite->secret_len ||
	    tls13->out.secret_len != suite->secret_len)
		return false;
	tls13->in.suite = tls13->out.suite = suite;
	if (tls13_keys_apply(&tls13->in) || tls13_keys_apply(&tls13->out))
		return false;
	tls13->out.sequence = sent;
	return true;
}

/* ---- out ---- */

/* 0: @sealed is gone; -EAGAIN, -ECONNRESET. */
static int push(struct front_connection *connection)
{
	struct buf *sealed = &connection->tls13->sealed;
	ssize_t n;

	while (buf_len(sealed)) {
		n = send(connection->source.fd, buf_head(sealed), buf_len(sealed), MSG_NOSIGNAL);
		if (n > 0)
			buf_consume(&connection->thread->buffers, sealed, n);
		else if (errno != EINTR)
			return errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	}
	return 0;
}

/* Sends @len sealed bytes, and keeps what does not go. 0, -EAGAIN, -ECONNRESET. */
static int send_sealed(struct front_connection *connection, const char *bytes, size_t len)
{
	ssize_t n = send(connection->source.fd, bytes, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len)
		return 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -ECONNRESET;
	n = n < 0 ? 0 : n;
	/* A record cannot be sealed twice: without memory it is the end. */
	if (buf_append(&connection->thread->buffers, &connection->tls13->sealed, bytes + n, len - n))
		return -ECONNRESET;
	return push(connection);
}

/* Our keys change, and the client is told so with the old ones. Bytes or -EIO. */
static ssize_t seal_update(struct front_tls13 *tls13, uint8_t *to)
{
	static const uint8_t message[KEY_UPDATE_LEN] = {KEY_UPDATE, 0, 0, 1, 0};
	ssize_t n = tls13_seal(&tls13->out, TLS13_HANDSHAKE, message, sizeof(message), to);

	if (n > 0 && tls13_keys_update(&tls13->out))
		return -EIO;
	tls13->answer_update = false;
	return n;
}

/* As many records of @bytes as one call sends; the size of them, or -EIO. */
static ssize_t seal_data(struct front_tls13 *tls13, const char *bytes, size_t len, uint8_t *to,
			 size_t *taken)
{
	ssize_t used = 0, n;
	size_t part, room;

	*taken = 0;
	if (tls13->answer_update || tls13->out.sequence >= RECORDS_OF_A_KEY) {
		used = seal_update(tls13, to);
		if (used < 0)
			return used;
	}
	while (*taken < len && used + TLS13_OVERHEAD < SEALED_MAX) {
		room = SEALED_MAX - used - TLS13_OVERHEAD;
		part = len - *taken < TLS13_PLAIN_MAX ? len - *taken : TLS13_PLAIN_MAX;
		part = part < room ? part : room;
		n = tls13_seal(&tls13->out, TLS13_DATA, bytes + *taken, part, to + used);
		if (n < 0)
			return n;
		used += n;
		*taken += part;
	}
	return used;
}

ssize_t front_tls13_write(struct front_connection *connection, const void *bytes, size_t len)
{
	struct front_tls13 *tls13 = connection->tls13;
	char *room = connection->thread->records;
	size_t taken;
	ssize_t used;
	int err;

	if (tls13->failed)
		return -ECONNRESET;
	if (tls13->standing) {
		err = push(connection);
		if (err)
			return err;
		/* The caller has kept them in front of it. */
		taken = tls13->standing;
		tls13->standing = 0;
		return taken;
	}
	used = seal_data(tls13, bytes, len, (uint8_t *)room, &taken);
	if (used < 0) {
		tls13->failed = true;
		return -ECONNRESET;
	}
	err = send_sealed(connection, room, used);
	if (!err)
		return taken;
	tls13->standing = taken;
	return err;
}

/* As the last record of ours. Behind one that is not out as a whole it must not go. */
static void send_alert(struct front_connection *connection, enum tls13_alert alert)
{
	struct front_tls13 *tls13 = connection->tls13;
	const uint8_t message[2] = {alert == TLS13_CLOSE_NOTIFY ? 1 : 2, alert};
	uint8_t record[sizeof(message) + TLS13_OVERHEAD];
	ssize_t n;

	if (buf_len(&tls13->sealed))
		return;
	n = tls13_seal(&tls13->out, TLS13_ALERT, message, sizeof(message), record);
	/* It is a word of farewell: nobody waits for it to get through. */
	if (n > 0 && send(connection->source.fd, record, n, MSG_NOSIGNAL) != n)
		tls13->failed = true;
}

void front_tls13_shutdown(struct front_connection *connection)
{
	if (!connection->tls13->failed)
		send_alert(connection, TLS13_CLOSE_NOTIFY);
}

/* ---- in ---- */

static void fail(struct front_connection *connection, enum tls13_alert alert)
{
	if (!connection->tls13->failed)
		send_alert(connection, alert);
	connection->tls13->failed = true;
}

/* A message after the handshake: a client has only one to send (RFC 8446 4.6.3). */
static int take_message(struct front_tls13 *tls13, const uint8_t *at, size_t len)
{
	static const uint8_t head[] = {KEY_UPDATE, 0, 0, 1};

	/* In one record of its own: it changes the keys of what follows. */
	if (len != KEY_UPDATE_LEN || memcmp(at, head, sizeof(head)))
		return TLS13_UNEXPECTED_MESSAGE;
	if (at[4] > 1)
		return TLS13_ILLEGAL_PARAMETER;
	tls13->answer_update |= at[4];
	return tls13_keys_update(&tls13->in) ? TLS13_INTERNAL_ERROR : 0;
}

/* 0, or the alert that answers it. */
static int take_record(struct front_tls13 *tls13, uint8_t type, const uint8_t *at, size_t len)
{
	if (type == TLS13_DATA && len) {
		tls13->idle_records = 0;
		return 0;
	}
	if (++tls13->idle_records > IDLE_RECORDS_MAX)
		return TLS13_UNEXPECTED_MESSAGE;
	switch (type) {
	case TLS13_DATA:
		return 0;
	case TLS13_HANDSHAKE:
		return take_message(tls13, at, len);
	case TLS13_ALERT:
		if (len != 2)
			return TLS13_DECODE_ERROR;
		if (at[1] == TLS13_CLOSE_NOTIFY)
			tls13->ended = true;
		else if (at[1] != TLS13_USER_CANCELED)
			tls13->failed = true;
		return 0;
	default:
		return TLS13_UNEXPECTED_MESSAGE;
	}
}

/* Opens the record at @at: how far to go on, 0 where it is not whole or it is over. */
static size_t open_one(struct front_connection *connection, uint8_t *at, size_t have)
{
	struct front_tls13 *tls13 = connection->tls13;
	uint8_t type = 0;
	size_t len = 0;
	ssize_t n;
	int alert;

	n = tls13_open(&tls13->in, at, have, &type, &len);
	if (!n)
		return 0;
	alert = n < 0 ? -1 - (int)n : take_record(tls13, type, at + TLS13_HEAD, len);
	if (alert || n < 0) {
		fail(connection, alert);
		return 0;
	}
	if (type != TLS13_DATA)
		return n;
	tls13->plain = len;
	tls13->tail = n - TLS13_HEAD - len;
	return len ? TLS13_HEAD : (size_t)n;
}

/* From the socket; 0 where there is nothing now, or never again. */
static size_t receive(struct front_connection *connection, char *to, size_t room)
{
	ssize_t n;

	if (!connection->socket_readable)
		return 0;
	n = recv(connection->source.fd, to, room, 0);
	if (n > 0) {
		/* A short read has emptied the socket. */
		if ((size_t)n < room && !connection->hangup)
			connection->socket_readable = false;
		return n;
	}
	if (!n)
		/* HTTP says itself where it ends: as good as a close_notify. */
		connection->tls13->ended = true;
	else if (errno == EAGAIN || errno == EINTR)
		connection->socket_readable = errno == EINTR;
	else
		connection->tls13->failed = true;
	return 0;
}

/* What was received and what there is, in the thread's room. */
struct room {
	uint8_t	*base;
	size_t	at, end;
};

/* More of it; false where none came. At most what @wanted bytes of content need. */
static bool fill(struct front_connection *connection, struct room *room, size_t wanted)
{
	size_t have = room->end - room->at, most = TLS13_HEAD + TLS13_CIPHER_MAX - have, n;

	memmove(room->base, room->base + room->at, have);
	room->at = 0;
	room->end = have;
	if (most < wanted)
		most = wanted;
	if (most > FRONT_TLS13_RECORDS - have)
		most = FRONT_TLS13_RECORDS - have;
	n = receive(connection, (char *)room->base + have, most);
	room->end += n;
	return n;
}

static size_t take_plain(struct front_tls13 *tls13, struct room *room, void *bytes, size_t len)
{
	size_t part = tls13->plain < len ? tls13->plain : len;

	memcpy(bytes, room->base + room->at, part);
	room->at += part;
	tls13->plain -= part;
	if (!tls13->plain)
		room->at += tls13->tail;
	return part;
}

ssize_t front_tls13_read(struct front_connection *connection, void *bytes, size_t len)
{
	struct front_thread *thread = connection->thread;
	struct front_tls13 *tls13 = connection->tls13;
	struct room room = {.base = (uint8_t *)thread->records};
	struct buf *received = &connection->received;
	size_t total = 0, n;

	room.end = buf_len(received);
	if (room.end)
		memcpy(room.base, buf_head(received), room.end);
	buf_clear(&thread->buffers, received);
	while (total < len) {
		if (tls13->plain) {
			total += take_plain(tls13, &room, (char *)bytes + total, len - total);
			continue;
		}
		if (tls13->ended || tls13->failed)
			break;
		n = open_one(connection, room.base + room.at, room.end - room.at);
		room.at += n;
		if (!n && !tls13->failed && !fill(connection, &room, len - total))
			break;
	}
	if (room.end > room.at && !tls13->failed &&
	    buf_append(&thread->buffers, received, room.base + room.at, room.end - room.at))
		tls13->failed = true;
	if (total == len)
		return total;
	/* An end or an error behind data shows again next time. */
	if (!tls13->ended && !tls13->failed)
		connection->readable = connection->socket_readable;
	if (total)
		return total;
	return tls13->failed ? -ECONNRESET : tls13->ended ? 0 : -EAGAIN;
}

bool front_tls13_has_more(const struct front_connection *connection)
{
	const struct front_tls13 *tls13 = connection->tls13;
	const struct buf *received = &connection->received;

	if (connection->socket_readable || tls13->plain || tls13->ended || tls13->failed)
		return true;
	return buf_len(received) &&
	       tls13_is_whole((const uint8_t *)buf_head(received), buf_len(received));
}
