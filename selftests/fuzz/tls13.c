// SPDX-License-Identifier: Apache-2.0
/*
 * Records of TLS 1.3 after the handshake, both directions of one connection. The
 * target has the client's keys, so that the input need not break AES first: its parts
 * say which records there are, and what the agent must make of them is known.
 *
 * First byte: the cipher suite. Then parts; the first byte of each says what it is:
 *	d content	data		p N content	the same with N bytes of padding
 *	t T content	a record of any type		x N content	data, damaged at N
 *	u N		a key update	r bytes		as they are, not protected
 *	w content	the agent writes it		c		and ends its side
 *	l N, s N	how much a read asks for, how much the socket passes at a time
 *	e		the client's end of the connection
 */
#include "front/connection.h"
#include "front/tls13_internal.h"
#include "fuzz.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#define STREAM_MAX	(1 << 20)
#define SECRET_MAX	48
#define PIECES_MAX	64
#define IDLE_MAX	32	/* records without data in a row that are borne */
#define ENDED		-2
#define SILENT		-1

ssize_t __wrap_recv(int fd, void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
int __wrap_SSL_version(const SSL *ssl);
int __wrap_SSL_has_pending(const SSL *ssl);
const SSL_CIPHER *__wrap_SSL_get_current_cipher(const SSL *ssl);
uint8_t __wrap_SSL_SESSION_get_max_fragment_length(const SSL_SESSION *session);

struct stream {
	uint8_t	*bytes;
	size_t	len, used;
};

static struct {
	struct stream		to_agent, from_agent;	/* records */
	struct stream		sent, written;		/* what is in them, as it should be */
	size_t			read;			/* of @sent, by the agent */
	size_t			arrived;		/* of @to_agent */
	size_t			step, ask;
	bool			full;			/* the socket, for the next call */
	bool			eof;
	bool			over;			/* nothing more may come out */
	bool			raw;			/* the same, by bytes that are no record */
	int			alert;			/* that ends it; ENDED, SILENT */
	bool			told;			/* the socket takes an alert as a whole */
	unsigned int		idle;
	bool			asked;			/* for a key update of the agent's */
	unsigned int		updates;		/* that it owes or has sent */
	bool			shut;
	struct tls13_keys	client, server;
} world;

static struct tls13_suite suites[3] = {
	{ .id = 0x1301, .key_len = 16, .secret_len = 32 },
	{ .id = 0x1302, .key_len = 32, .secret_len = 48 },
	{ .id = 0x1303, .key_len = 32, .secret_len = 32 },
};
static const struct tls13_suite *suite;
static struct front_tls13_ciphers *ciphers;
static struct front_thread *thread;
static struct front_connection *connection;
static SSL *ssl;

/* ---- what is around the agent's records ---- */

int __wrap_SSL_version(const SSL *of)
{
	return TLS1_3_VERSION;
}

int __wrap_SSL_has_pending(const SSL *of)
{
	return 0;
}

const SSL_CIPHER *__wrap_SSL_get_current_cipher(const SSL *of)
{
	const uint8_t id[2] = { suite->id >> 8, suite->id & 0xff };

	return SSL_CIPHER_find(ssl, id);
}

uint8_t __wrap_SSL_SESSION_get_max_fragment_length(const SSL_SESSION *session)
{
	return TLSEXT_max_fragment_length_DISABLED;
}

static void append(struct stream *stream, const void *bytes, size_t len)
{
	fuzz_need(len <= STREAM_MAX - stream->len, "an input makes no more than that");
	if (len)
		memcpy(stream->bytes + stream->len, bytes, len);
	stream->len += len;
}

/* A short answer means that the socket is empty, as the kernel has it. */
ssize_t __wrap_recv(int fd, void *bytes, size_t len, int flags)
{
	struct stream *stream = &world.to_agent;
	size_t n = world.arrived - stream->used;

	if (!n && world.eof)
		return 0;
	if (!n) {
		errno = EAGAIN;
		return -1;
	}
	n = n < len ? n : len;
	memcpy(bytes, stream->bytes + stream->used, n);
	stream->used += n;
	return n;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	size_t n = len < world.step ? len : world.step;

	world.full = !world.full && len > world.step;
	if (world.full) {
		errno = EAGAIN;
		return -1;
	}
	append(&world.from_agent, bytes, n);
	return n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct stream *const streams[] = { &world.to_agent, &world.from_agent, &world.sent,
					   &world.written };
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	suites[0].cipher = EVP_aes_128_gcm();
	suites[1].cipher = EVP_aes_256_gcm();
	suites[2].cipher = EVP_chacha20_poly1305();
	suites[0].hmac = suites[2].hmac = tls13_hmac("SHA256");
	suites[1].hmac = tls13_hmac("SHA384");
	ssl = SSL_new(context);
	ciphers = front_tls13_ciphers_create();
	thread = calloc(1, sizeof(*thread));
	connection = calloc(1, sizeof(*connection));
	fuzz_need(ssl && ciphers && thread && connection, "memory");
	/* Exactly as large as the worker has it: a byte too far is seen. */
	thread->records = malloc(FRONT_TLS13_RECORDS);
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		streams[i]->bytes = malloc(STREAM_MAX);
	buf_pool_setup(&thread->buffers);
	connection->thread = thread;
	return 0;
}

/* ---- the connection ---- */

static void learn(const char *label, uint8_t first, struct tls13_keys *keys, bool encrypts)
{
	char line[256];
	int at = snprintf(line, sizeof(line), "%s_TRAFFIC_SECRET_0 %064d ", label, 0);

	*keys = (struct tls13_keys){ .suite = suite, .encrypts = encrypts };
	keys->secret_len = suite->secret_len;
	for (unsigned int i = 0; i < suite->secret_len; i++) {
		keys->secret[i] = first + i;
		at += snprintf(line + at, sizeof(line) - at, "%02x", keys->secret[i]);
	}
	fuzz_need(!tls13_keys_apply(keys), "keys");
	front_tls13_learn(connection->tls13, line);
}

static void begin(void)
{
	struct stream *const streams[] = { &world.to_agent, &world.from_agent, &world.sent,
					   &world.written };

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		streams[i]->len = streams[i]->used = 0;
	world.read = world.arrived = 0;
	world.step = world.ask = 4096;
	world.full = world.eof = world.over = world.raw = world.asked = world.shut = false;
	world.idle = world.updates = 0;
	world.alert = SILENT;
	connection->tls13 = front_tls13_create(ssl);
	fuzz_need(connection->tls13 != NULL, "memory");
	learn("CLIENT", 1, &world.client, true);
	learn("SERVER", 77, &world.server, false);
	fuzz_need(front_tls13_begin(connection->tls13, ciphers, ssl), "it begins");
}

/* Until there is nothing more: what comes out is what was sent, and all of it. */
static void read_all(void)
{
	char *bytes = malloc(world.ask);
	ssize_t n;

	while ((n = front_tls13_read(connection, bytes, world.ask)) > 0) {
		fuzz_need((size_t)n <= world.sent.len - world.read &&
			  !memcmp(bytes, world.sent.bytes + world.read, n),
			  "what is read was sent, in this order");
		world.read += n;
		fuzz_need(buf_len(&connection->received) < FRONT_TLS13_RECORDS,
			  "no more is kept than there is room for");
	}
	free(bytes);
	if (world.arrived < world.to_agent.len || world.raw)
		return;
	fuzz_need(world.read == world.sent.len, "what came is read");
	if (!world.over)
		fuzz_need(n == -EAGAIN && !front_tls13_has_more(connection), "it waits for more");
	else if (world.alert == ENDED)
		fuzz_need(n == 0, "the end is the end");
	else
		fuzz_need(n == -ECONNRESET, "a fault is the end");
}

static void deliver(void)
{
	unsigned int pieces = 0;

	while (world.arrived < world.to_agent.len) {
		size_t more = world.to_agent.len - world.arrived;

		/* In small pieces at first: where they are cut is what matters. */
		world.arrived += more < world.step || ++pieces > PIECES_MAX ? more : world.step;
		connection->socket_readable = connection->readable = true;
		read_all();
	}
}

/* ---- what the client sends, and what it must lead to ---- */

static void end_with(int alert)
{
	if (!world.over) {
		world.alert = alert;
		world.told = world.step >= 2 + TLS13_OVERHEAD;
	}
	world.over = true;
}

static void take_message(const uint8_t *bytes, size_t len)
{
	if (len != 5 || memcmp(bytes, "\30\0\0\1", 4)) {
		end_with(TLS13_UNEXPECTED_MESSAGE);
	} else if (bytes[4] > 1) {
		end_with(TLS13_ILLEGAL_PARAMETER);
	} else {
		if (bytes[4] && !world.asked)
			world.updates++;
		world.asked |= bytes[4];
		fuzz_need(!tls13_keys_update(&world.client), "keys");
	}
}

/* @inner: content, type, padding. */
static void predict(const uint8_t *inner, size_t len)
{
	uint8_t type;

	if (world.over)
		return;
	while (len && !inner[len - 1])
		len--;
	if (!len) {
		end_with(TLS13_UNEXPECTED_MESSAGE);
		return;
	}
	type = inner[--len];
	if (type == TLS13_DATA && len) {
		append(&world.sent, inner, len);
		world.idle = 0;
	} else if (++world.idle > IDLE_MAX) {
		end_with(TLS13_UNEXPECTED_MESSAGE);
	} else if (type == TLS13_HANDSHAKE) {
		take_message(inner, len);
	} else if (type == TLS13_ALERT) {
		if (len != 2)
			end_with(TLS13_DECODE_ERROR);
		else if (inner[1] == TLS13_CLOSE_NOTIFY)
			end_with(ENDED);
		else if (inner[1] != TLS13_USER_CANCELED)
			end_with(SILENT);
	} else if (type != TLS13_DATA) {
		end_with(TLS13_UNEXPECTED_MESSAGE);
	}
}

/* One record of @type, with @padding, damaged at @damage unless that is 0. */
static void send_record(uint8_t type, struct fuzz_input content, size_t padding, size_t damage)
{
	const size_t len = content.len + 1 + padding;
	uint8_t *inner = calloc(1, len), *record = malloc(len + TLS13_OVERHEAD);
	size_t last = len - 1;
	ssize_t n;

	fuzz_need(inner && record, "memory");
	if (content.len)
		memcpy(inner, content.at, content.len);
	inner[content.len] = type;
	/* Sealed with the last byte as its type, which is how padding is written. */
	n = tls13_seal(&world.client, inner[last], inner, last, record);
	fuzz_need(n > 0, "sealed");
	if (damage) {
		/* Not in its type or length: those would make it another record. */
		damage %= n - 3;
		record[damage < 2 ? 1 + damage : 3 + damage] ^= 1;
		end_with(TLS13_BAD_RECORD_MAC);
	} else {
		predict(inner, len);
	}
	append(&world.to_agent, record, n);
	free(inner);
	free(record);
	deliver();
}

/* Nothing behind them begins where a record does: whatever ends it, no data comes. */
static void send_raw(struct fuzz_input bytes)
{
	if (!bytes.len)
		return;
	world.raw = world.over = true;
	append(&world.to_agent, bytes.at, bytes.len);
	deliver();
}

/* ---- what the agent sends ---- */

static void write_all(struct fuzz_input bytes)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < bytes.len) {
		n = front_tls13_write(connection, bytes.at + done, bytes.len - done);
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			break;
		fuzz_need(n > 0 && (size_t)n <= bytes.len - done, "some of it is written");
		append(&world.written, bytes.at + done, n);
		done += n;
	}
	fuzz_need(n > 0 || world.raw || (world.over && world.alert != ENDED),
		  "only a fault ends writing");
	if (done)
		world.asked = false;
}

/* Opens all that left: it is what was written, key updates that were owed, and one alert. */
static void check_sent(void)
{
	struct stream *out = &world.from_agent;
	size_t data = 0;
	unsigned int updates = 0;
	int alert = SILENT;

	while (out->used < out->len) {
		uint8_t *at = out->bytes + out->used, type = 0;
		size_t len = 0;
		ssize_t n = tls13_open(&world.server, at, out->len - out->used, &type, &len);

		fuzz_need(n >= 0, "what is sent can be opened");
		if (!n)
			break;		/* cut off by what ended it */
		fuzz_need(alert == SILENT, "an alert is the last record");
		at += TLS13_HEAD;
		if (type == TLS13_DATA) {
			fuzz_need(len <= world.written.len - data &&
				  !memcmp(at, world.written.bytes + data, len), "as it was written");
			data += len;
		} else if (type == TLS13_HANDSHAKE) {
			fuzz_need(len == 5 && !memcmp(at, "\30\0\0\1\0", 5), "a key update");
			fuzz_need(!tls13_keys_update(&world.server), "keys");
			updates++;
		} else {
			fuzz_need(type == TLS13_ALERT && len == 2, "an alert");
			alert = at[1];
		}
		out->used += n;
	}
	fuzz_need(data == world.written.len, "all of it");
	fuzz_need(updates + world.asked == world.updates, "as many key updates as were asked for");
	if (alert > 0 && !world.raw)
		fuzz_need(alert == world.alert, "the alert that it deserves");
	/* A farewell that the socket does not take as a whole is not repeated. */
	if (world.alert > 0 && !world.raw && world.told)
		fuzz_need(alert == world.alert, "an alert says why");
}

static void finish(void)
{
	check_sent();
	buf_clear(&thread->buffers, &connection->received);
	front_tls13_destroy(connection->tls13, connection);
	tls13_keys_clear(&world.client);
	tls13_keys_clear(&world.server);
}

static void play(struct fuzz_input part)
{
	const uint8_t kind = fuzz_byte(&part);
	uint8_t number;

	switch (kind) {
	case 'd':
		send_record(TLS13_DATA, part, 0, 0);
		break;
	case 'p':
		number = fuzz_byte(&part);
		send_record(TLS13_DATA, part, number, 0);
		break;
	case 't':
		number = fuzz_byte(&part);
		send_record(number, part, 0, 0);
		break;
	case 'x':
		number = fuzz_byte(&part);
		send_record(TLS13_DATA, part, 0, number + 1);
		break;
	case 'u': {
		const uint8_t message[5] = { 24, 0, 0, 1, fuzz_byte(&part) };

		send_record(TLS13_HANDSHAKE, (struct fuzz_input){ message, sizeof(message) }, 0, 0);
		break;
	}
	case 'r':
		send_raw(part);
		break;
	case 'w':
		write_all(part);
		break;
	case 'c':
		front_tls13_shutdown(connection);
		world.shut = true;
		break;
	case 'l':
		world.ask = 1 + fuzz_byte(&part) * 97u;
		break;
	case 's':
		world.step = 1 + fuzz_byte(&part) * 33u;
		break;
	case 'e':
		world.eof = true;
		end_with(ENDED);
		connection->socket_readable = connection->readable = true;
		read_all();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };

	suite = &suites[fuzz_byte(&input) % 3];
	begin();
	/* Behind its end the connection only lingers, and reads no more records. */
	while (input.len && !world.shut)
		play(fuzz_part(&input));
	finish();
	return 0;
}
