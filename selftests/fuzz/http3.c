// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/3 connections of clients: bytes of streams into nghttp3's session and what
 * becomes of its events. QUIC below is played: ngtcp2 and quic_connection.c are not
 * part of it. A part of an input is
 *
 *	's' STREAM BYTES...	the client's bytes on a stream; 'f' the same, and its end
 *	'x' STREAM		the client takes the stream back; 'n': it wants no answer
 *	'a' BYTES, 'e'		the app's bytes, its end
 */
#include "front/http3.h"
#include "lib/front.h"

#define STREAMS	128
#define VECTORS	16

uint64_t __wrap_ngtcp2_conn_get_pto(ngtcp2_conn *conn);
int __wrap_ngtcp2_conn_open_uni_stream(ngtcp2_conn *conn, int64_t *id, void *data);
void *__wrap_ngtcp2_conn_get_stream_user_data(ngtcp2_conn *conn, int64_t id);
int __wrap_ngtcp2_conn_set_stream_user_data(ngtcp2_conn *conn, int64_t id, void *data);
void __wrap_ngtcp2_conn_extend_max_offset(ngtcp2_conn *conn, uint64_t len);
int __wrap_ngtcp2_conn_extend_max_stream_offset(ngtcp2_conn *conn, int64_t id, uint64_t len);
int __wrap_ngtcp2_conn_shutdown_stream(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code);
int __wrap_ngtcp2_conn_shutdown_stream_read(ngtcp2_conn *conn, uint32_t flags, int64_t id,
					    uint64_t code);
void __wrap_ngtcp2_conn_set_keep_alive_timeout(ngtcp2_conn *conn, ngtcp2_duration timeout);
void __wrap_quic_connection_write(struct quic_connection *quic);
void __wrap_quic_connection_closed(struct quic_connection *quic);
void __wrap_quic_connection_free(struct quic_connection *quic);

struct stream {
	void	*data;
	bool	open, received, sent, reset;
};

static struct stream streams[STREAMS];
static int64_t next_uni;
static struct front_thread *thread;

static struct stream *stream_at(int64_t id)
{
	return id >= 0 && id < STREAMS ? &streams[id] : NULL;
}

uint64_t __wrap_ngtcp2_conn_get_pto(ngtcp2_conn *conn)
{
	return NGTCP2_SECONDS;
}

int __wrap_ngtcp2_conn_open_uni_stream(ngtcp2_conn *conn, int64_t *id, void *data)
{
	*id = next_uni;
	next_uni += 4;
	return 0;
}

void *__wrap_ngtcp2_conn_get_stream_user_data(ngtcp2_conn *conn, int64_t id)
{
	struct stream *stream = stream_at(id);

	return stream && stream->open ? stream->data : NULL;
}

int __wrap_ngtcp2_conn_set_stream_user_data(ngtcp2_conn *conn, int64_t id, void *data)
{
	stream_at(id)->data = data;
	return 0;
}

void __wrap_ngtcp2_conn_extend_max_offset(ngtcp2_conn *conn, uint64_t len)
{
}

int __wrap_ngtcp2_conn_extend_max_stream_offset(ngtcp2_conn *conn, int64_t id, uint64_t len)
{
	return 0;
}

int __wrap_ngtcp2_conn_shutdown_stream(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code)
{
	struct stream *stream = stream_at(id);

	if (stream)
		stream->reset = true;
	return 0;
}

int __wrap_ngtcp2_conn_shutdown_stream_read(ngtcp2_conn *conn, uint32_t flags, int64_t id,
					    uint64_t code)
{
	struct stream *stream = stream_at(id);

	if (stream)
		stream->received = true;
	return 0;
}

void __wrap_ngtcp2_conn_set_keep_alive_timeout(ngtcp2_conn *conn, ngtcp2_duration timeout)
{
}

/* All that there is, acknowledged at once. */
void __wrap_quic_connection_write(struct quic_connection *quic)
{
	struct front_connection *connection = quic->front;
	nghttp3_conn *session = connection->http3->session;

	for (int turns = 0; turns < 256 && !quic->failed && !connection->closed; turns++) {
		nghttp3_vec pieces[VECTORS];
		struct stream *stream;
		int64_t id = -1;
		int ended = 0;
		nghttp3_ssize count = nghttp3_conn_writev_stream(session, &id, &ended, pieces, VECTORS);
		size_t len = 0;

		if (count < 0) {
			quic_connection_fail(quic, nghttp3_err_infer_quic_app_error_code((int)count));
			return;
		}
		if (id < 0)
			return;
		for (nghttp3_ssize i = 0; i < count; i++) {
			volatile uint8_t last = pieces[i].len ? pieces[i].base[pieces[i].len - 1] : 0;

			len += pieces[i].len + 0 * last;
		}
		stream = stream_at(id);
		nghttp3_conn_add_write_offset(session, id, len);
		nghttp3_conn_add_ack_offset(session, id, len);
		if (stream && ended)
			stream->sent = true;
	}
}

void __wrap_quic_connection_closed(struct quic_connection *quic)
{
}

void __wrap_quic_connection_free(struct quic_connection *quic)
{
	free(quic);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t secret[QUIC_SECRET_LEN];
	void (*alarmed)(struct loop *loop);

	thread = fuzz_front_setup();
	alarmed = thread->loop.alarmed;
	fuzz_need(!quic_create(thread, 0, secret), "QUIC");
	thread->loop.alarmed = alarmed;
	return 0;
}

static void close_stream(struct front_connection *connection, int64_t id, uint64_t code)
{
	struct stream *stream = stream_at(id);

	if (!stream->open || connection->closed)
		return;
	front_http3_stream_closed(connection, id, code);
	*stream = (struct stream){ .received = true };
}

/* As quic_create.c does for ngtcp2's events. */
static void receive(struct front_connection *connection, struct fuzz_input part, bool ended)
{
	const int64_t id = fuzz_byte(&part) % STREAMS;
	struct stream *stream = stream_at(id);

	/* 1 and 3: streams that only a server opens. */
	if (id & 1 || stream->received)
		return;
	if (!stream->open) {
		stream->open = true;
		if (!(id & 2))
			front_http3_stream_opened(connection, id);
	}
	stream->received |= ended;
	if (!stream->reset && !connection->http3->quic->failed) {
		char *copy = fuzz_copy(part, false);

		front_http3_receive(connection, id, (const uint8_t *)copy, part.len, ended);
		free(copy);
	}
}

static void cancel(struct front_connection *connection, struct fuzz_input part, bool ours)
{
	const int64_t id = fuzz_byte(&part) % STREAMS;

	if (id & 3 || !stream_at(id)->open)
		return;
	front_http3_stream_cancelled(connection, id, ours);
	if (!ours)
		stream_at(id)->received = true;
}

static void say(struct front_connection *connection, uint8_t what, struct fuzz_input part)
{
	switch (what) {
	case 's':
	case 'f':
		receive(connection, part, what == 'f');
		break;
	case 'x':
	case 'n':
		cancel(connection, part, what == 'n');
		break;
	case 'a':
		fuzz_front_app(-1, part);
		break;
	case 'e':
		fuzz_front_app_end(-1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct quic_connection *quic = calloc(1, sizeof(*quic));
	struct front_connection *connection = fuzz_front_open(&front_http3, NULL);
	bool over = false;

	memset(streams, 0, sizeof(streams));
	next_uni = 3;
	quic->front = connection;
	quic->quic = thread->quic;
	quic->handshaken = true;
	connection->quic = quic;
	fuzz_need(!front_http3_create(connection, quic) && !front_http3_begin(connection),
		  "a session");
	while (input.len && !over) {
		struct fuzz_input part = fuzz_part(&input);
		const uint8_t what = fuzz_byte(&part);

		say(connection, what, part);
		/* A connection that fails is freed by the loop. */
		over = quic->failed || connection->closed;
		front_connection_post(connection);
		fuzz_front_turn(-1);
		over |= !thread->open_count;
		for (int64_t id = 0; id < STREAMS && !over; id += 4) {
			struct stream *stream = stream_at(id);

			if (stream->open && (stream->reset || (stream->sent && stream->received)))
				close_stream(connection, id, stream->reset ? NGHTTP3_H3_REQUEST_CANCELLED :
									       NGHTTP3_H3_NO_ERROR);
		}
	}
	fuzz_front_close(-1);
	fuzz_need(!thread->quic->held, "no bytes are held");
	return 0;
}
