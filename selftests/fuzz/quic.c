// SPDX-License-Identifier: Apache-2.0
/*
 * Datagrams of QUIC clients, from the socket on: what belongs to no connection, the
 * table of ids, ngtcp2 with OpenSSL below it and HTTP/3 above. The clock is the target's,
 * and sockets are played. A part of an input is
 *
 *	'r' BYTES	a datagram as it is; 'm': from another address
 *	'g' SIZE BYTES	many of SIZE times 8 bytes in one call of the kernel
 *	'i' FRAMES	an Initial packet, sealed as any client can
 *	'c'		a real client says and hears what is due: the handshake, acknowledgements
 *	'p' FRAMES	what that client says, but these frames instead: sealed with its keys
 *	'o'		from here on it is at the other address, or back
 *	't' N		2^N milliseconds go by
 *	'a' BYTES, 'e'	the app's bytes, its end
 */
#include "front/http3.h"
#include "lib/front.h"
#include "lib/initial.h"

#include <errno.h>
#include <netinet/udp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#define DATAGRAM	1200
#define HEARD_MAX	64	/* datagrams that wait for the client */
#define ROUNDS		12

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *timeout);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_clock_gettime(clockid_t id, struct timespec *now);

/* A key that is nobody's. */
static const char pem[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBjjCCATWgAwIBAgIUBvOFRRObXMjw7hVLC6ngfvRdrwowCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjIyMDE1MzdaGA8yMTI2MTAyOTIwMTUz\n"
	"N1owDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEsU\n"
	"RpQz0p+MApNmySOlwdhk5ewvkTWNXr4AOFQFrP98TRzE4ouEQGgSS+BL2JFSX89h\n"
	"KVBXk9iZ8B7Y/kZs1ICjbTBrMB0GA1UdDgQWBBRbpyiFxm8x4oSVjdnSRcNj9GCM\n"
	"6jAfBgNVHSMEGDAWgBRbpyiFxm8x4oSVjdnSRcNj9GCM6jAPBgNVHRMBAf8EBTAD\n"
	"AQH/MBgGA1UdEQQRMA+CDSoubi5iLmV4YW1wbGUwCgYIKoZIzj0EAwIDRwAwRAIg\n"
	"KVmadf8P/R2wQpJDv92xqjne2PXJBvjbiAjOt0UDh3kCIC+wg1v+aRSTXOGHXIBk\n"
	"JZ5uynLrWTmoZlQI+Nc/GcJ0\n"
	"-----END CERTIFICATE-----\n"
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfEiLM626rNWeNfwd\n"
	"zW0OGvwSlMFp23ntlo3pH7nMBU+hRANCAARLFEaUM9KfjAKTZskjpcHYZOXsL5E1\n"
	"jV6+ADhUBaz/fE0cxOKLhEBoEkvgS9iRUl/PYSlQV5PYmfAe2P5GbNSA\n"
	"-----END PRIVATE KEY-----\n";

static struct front_thread *thread;
static struct quic_listener *listener;
static uint64_t clock_ns;	/* 0: the real one */
static struct sockaddr_in places[2];	/* of the client */
static size_t received[2], sent[2];
static bool spoken;		/* a real client has: its address is proved */

/* What the socket has to give. */
static struct {
	const uint8_t	*bytes;
	size_t		len, segment;
	unsigned int	place;
} waiting;

static struct {
	uint8_t	bytes[1500];
	size_t	len;
} heard[HEARD_MAX];
static size_t heard_count;

static struct {
	ngtcp2_conn		*conn;
	SSL			*ssl;
	ngtcp2_crypto_ossl_ctx	*tls;
	ngtcp2_crypto_conn_ref	ref;
	int64_t			stream;		/* -1: none yet */
	unsigned int		place;
	const uint8_t		*frames;	/* instead of its own; NULL: its own */
	size_t			frames_len;
} peer;
static SSL_CTX *peer_context;

/* ---- the kernel ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	if (!clock_ns || id != CLOCK_MONOTONIC)
		return __real_clock_gettime(id, now);
	now->tv_sec = (time_t)(clock_ns / NGTCP2_SECONDS);
	now->tv_nsec = (long)(clock_ns % NGTCP2_SECONDS);
	return 0;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *timeout)
{
	struct msghdr *message = &messages[0].msg_hdr;
	struct cmsghdr *at = CMSG_FIRSTHDR(message);
	const int segment = (int)waiting.segment;

	if (!waiting.bytes) {
		errno = EAGAIN;
		return -1;
	}
	fuzz_need(count && message->msg_iov->iov_len >= waiting.len, "a socket's worth fits");
	memcpy(message->msg_iov->iov_base, waiting.bytes, waiting.len);
	memcpy(message->msg_name, &places[waiting.place], sizeof(places[0]));
	message->msg_namelen = sizeof(places[0]);
	at->cmsg_level = SOL_UDP;
	at->cmsg_type = UDP_GRO;
	at->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(at), &segment, sizeof(segment));
	message->msg_controllen = segment ? CMSG_SPACE(sizeof(segment)) : 0;
	messages[0].msg_len = (unsigned int)waiting.len;
	waiting.bytes = NULL;
	return 1;
}

static void hear(const uint8_t *bytes, size_t len, size_t segment)
{
	for (size_t at = 0; at < len; at += segment) {
		const size_t part = len - at < segment ? len - at : segment;

		fuzz_need(part <= sizeof(heard[0].bytes), "no datagram is longer than a link takes");
		if (heard_count == HEARD_MAX)
			return;
		memcpy(heard[heard_count].bytes, bytes + at, part);
		heard[heard_count++].len = part;
	}
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct sockaddr_in *to = message->msg_name;
	const struct iovec *part = message->msg_iov;
	size_t segment = part->iov_len;
	struct cmsghdr *at;
	unsigned int place;

	if (fd != listener->source.fd)
		return __real_sendmsg(fd, message, flags);
	for (at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR((struct msghdr *)message, at)) {
		uint16_t size;

		if (at->cmsg_level != SOL_UDP || at->cmsg_type != UDP_SEGMENT)
			continue;
		memcpy(&size, CMSG_DATA(at), sizeof(size));
		segment = size;
	}
	place = to->sin_addr.s_addr == places[1].sin_addr.s_addr;
	fuzz_need(segment && to->sin_addr.s_addr == places[place].sin_addr.s_addr &&
		  to->sin_port == places[place].sin_port, "it is sent to who has asked");
	sent[place] += part->iov_len;
	/* RFC 9000 8.1: nobody is made to send much to another. */
	fuzz_need(spoken || sent[place] <= 3 * received[place], "at most three times what came");
	hear(part->iov_base, part->iov_len, segment);
	return (ssize_t)part->iov_len;
}

static void turn(void)
{
	fuzz_front_turn(-1);
}

static void due(struct loop *loop)
{
	quic_table_run(loop);
	loop->stop = true;
}

static void deliver(const uint8_t *bytes, size_t len, size_t segment, unsigned int place)
{
	uint8_t *copy;

	if (!len || len > QUIC_BATCH_BYTES)
		return;
	copy = malloc(len);
	fuzz_need(copy != NULL, "memory");
	memcpy(copy, bytes, len);
	waiting.bytes = copy;
	waiting.len = len;
	waiting.segment = segment;
	waiting.place = place;
	received[place] += len;
	quic_receive(listener);
	waiting.bytes = NULL;
	free(copy);
	turn();
}

/* ---- Initial packets of anybody ---- */

/* Always with the same connection id, so that some meet their connection. */
static void say_initial(struct fuzz_input frames, uint8_t number)
{
	const size_t head = 5 + 1 + 8 + 1 + 4 + 1 + 4 + 1, payload = DATAGRAM - head - INITIAL_TAG;
	const uint32_t length = (uint32_t)(1 + payload + INITIAL_TAG) | 0x80000000u;
	uint8_t packet[DATAGRAM] = { 0xc0, 0, 0, 0, 1, 8 };
	struct quic_keys keys;

	memcpy(packet + 6, "12345678" "\4abcd", 13);
	for (int i = 0; i < 4; i++)
		packet[20 + i] = (uint8_t)(length >> (24 - 8 * i));
	packet[head - 1] = number;
	if (frames.len > payload)
		frames.len = payload;
	if (frames.len)
		memcpy(packet + head, frames.at, frames.len);
	fuzz_need(!quic_keys_derive(1, (const uint8_t *)"12345678", 8, &keys), "keys");
	initial_seal(&keys, packet, head, payload);
	deliver(packet, sizeof(packet), 0, 0);
}

/* ---- a real client ---- */

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
	return peer.conn;
}

static int encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *context,
		   const uint8_t *plain, size_t len, const uint8_t *nonce, size_t nonce_len,
		   const uint8_t *head, size_t head_len)
{
	uint8_t other[2048] = { 0 };	/* PADDING, behind the frames */

	fuzz_need(len <= sizeof(other), "a packet");
	if (!peer.frames)
		memcpy(other, plain, len);
	else
		memcpy(other, peer.frames, peer.frames_len < len ? peer.frames_len : len);
	return ngtcp2_crypto_encrypt_cb(dest, aead, context, other, len, nonce, nonce_len, head, head_len);
}

static void random_bytes(uint8_t *bytes, size_t len, const ngtcp2_rand_ctx *context)
{
	memset(bytes, 0x5a, len);
}

static int new_id(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user_data)
{
	static uint8_t number;

	cid->datalen = len;
	memset(cid->data, ++number, len);
	memset(token, number, NGTCP2_STATELESS_RESET_TOKENLEN);
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.encrypt = encrypt,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
	.rand = random_bytes,
	.get_new_connection_id = new_id,
};

static void peer_path(ngtcp2_path *path)
{
	*path = (ngtcp2_path){
		.local = { (struct sockaddr *)&places[0], sizeof(places[0]) },
		.remote = { (struct sockaddr *)&listener->address, sizeof(struct sockaddr_in) },
	};
}

static void peer_begin(void)
{
	ngtcp2_cid source = { .datalen = 8, .data = "fuzzing1" };
	ngtcp2_cid destination = { .datalen = 8, .data = "fuzzing2" };
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_path path;

	ngtcp2_settings_default(&settings);
	settings.initial_ts = quic_now();
	ngtcp2_transport_params_default(&params);
	params.initial_max_streams_uni = 8;
	params.initial_max_data = params.initial_max_stream_data_uni =
		params.initial_max_stream_data_bidi_local = 1 << 20;
	params.active_connection_id_limit = 4;
	peer_path(&path);
	fuzz_need(!ngtcp2_conn_client_new(&peer.conn, &destination, &source, &path, NGTCP2_PROTO_VER_V1,
					  &callbacks, &settings, &params, NULL, NULL), "a client");
	peer.ssl = SSL_new(peer_context);
	peer.ref.get_conn = conn_of;
	peer.stream = -1;
	fuzz_need(peer.ssl && !ngtcp2_crypto_ossl_ctx_new(&peer.tls, NULL), "its TLS");
	ngtcp2_crypto_ossl_ctx_set_ssl(peer.tls, peer.ssl);
	SSL_set_app_data(peer.ssl, &peer.ref);
	SSL_set_connect_state(peer.ssl);
	SSL_set_alpn_protos(peer.ssl, (const uint8_t *)"\2h3", 3);
	SSL_set_tlsext_host_name(peer.ssl, "a.n.b.example");
	fuzz_need(!ngtcp2_crypto_ossl_configure_client_session(peer.ssl), "QUIC's TLS");
	ngtcp2_conn_set_tls_native_handle(peer.conn, peer.tls);
}

static void peer_end(void)
{
	if (!peer.conn)
		return;
	SSL_set_app_data(peer.ssl, NULL);
	ngtcp2_conn_del(peer.conn);
	SSL_free(peer.ssl);
	ngtcp2_crypto_ossl_ctx_del(peer.tls);
	memset(&peer, 0, sizeof(peer));
}

static void peer_hear(void)
{
	ngtcp2_pkt_info info = { 0 };
	ngtcp2_path path;

	peer_path(&path);
	/* What its answers bring comes behind. */
	for (size_t i = 0; i < heard_count; i++)
		ngtcp2_conn_read_pkt(peer.conn, &path, &info, heard[i].bytes, heard[i].len, quic_now());
	heard_count = 0;
}

/* One datagram, of at least @len bytes of stream where it may send such. */
static bool peer_say(size_t len)
{
	uint8_t packet[DATAGRAM + 252], zeros[DATAGRAM] = { 0 };
	ngtcp2_vec piece = { zeros, len < 1000 ? len : 1000 };
	ngtcp2_ssize size, taken;
	ngtcp2_pkt_info info;
	ngtcp2_path path;

	if (len && peer.stream < 0)
		ngtcp2_conn_open_bidi_stream(peer.conn, &peer.stream, NULL);
	peer_path(&path);
	size = ngtcp2_conn_writev_stream(peer.conn, &path, &info, packet, sizeof(packet), &taken, 0,
					 len ? peer.stream : -1, &piece, len && peer.stream >= 0, quic_now());
	if (size <= 0)
		return false;
	deliver(packet, (size_t)size, 0, peer.place);
	return true;
}

static void peer_turn(void)
{
	spoken = true;
	if (!peer.conn)
		peer_begin();
	for (int round = 0; round < ROUNDS; round++) {
		bool more = heard_count;

		/* Both sides pace what they send. */
		clock_ns += 5 * NGTCP2_MILLISECONDS;
		turn();
		peer_hear();
		while (peer_say(0))
			more = true;
		if (!more && round)
			return;
	}
}

static void peer_frames(struct fuzz_input frames)
{
	if (!peer.conn)
		peer_turn();
	peer.frames = frames.at;
	peer.frames_len = frames.len;
	peer_say(frames.len + 1);
	peer.frames = NULL;
	peer_hear();
}

/* ---- the target ---- */

/* SETTINGS on stream 2, and a request for container A on stream 0, in STREAM frames. */
static const char request[] =
	"c" FUZZ_SEPARATOR "p\012\002\003\000\004\000" FUZZ_SEPARATOR
	"p\013\000\100\121\001\100\116\000\000\321\327\121\001\057\120\105" "eeeeeeeeeeeeeeeeeeeeeeee-aaaaaaaaaaaaaaaaaaaaaaaa-http-80.n.b.example"
	FUZZ_SEPARATOR "c" FUZZ_SEPARATOR "aHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" FUZZ_SEPARATOR "c";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t secret[QUIC_SECRET_LEN] = "secret";
	struct sockaddr_in *own;
	struct timespec now;
	const char *fault;

	thread = fuzz_front_setup();
	fuzz_need(!quic_prepare() && !quic_create(thread, 0, secret), "QUIC");
	thread->loop.alarmed = due;
	thread->tls = front_tls_create(pem, sizeof(pem) - 1, NULL, &fault);
	fuzz_need(thread->tls != NULL, "TLS");
	listener = &thread->quic->listeners[thread->quic->listeners_count++];
	listener->thread = thread;
	listener->source.fd = -2;
	listener->segments = true;
	list_setup(&listener->blocked);
	own = (struct sockaddr_in *)&listener->address;
	*own = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(443) };
	own->sin_addr.s_addr = htonl(0xcb007101);
	for (int i = 0; i < 2; i++) {
		places[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(40000 + i) };
		places[i].sin_addr.s_addr = htonl(0xcb007132 + i);
	}
	peer_context = SSL_CTX_new(TLS_client_method());
	fuzz_need(peer_context != NULL, "a client's TLS");
	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_ns = (uint64_t)now.tv_sec * NGTCP2_SECONDS + now.tv_nsec;
	/* So that no change makes a target of it that hears nothing. */
	LLVMFuzzerTestOneInput((const uint8_t *)request, sizeof(request) - 1);
	fuzz_need(thread->stats.tls_handshakes == 1 && thread->stats.requests == 1 &&
		  !thread->stats.quic_errors, "a client is served");
	return 0;
}

static void say(uint8_t what, struct fuzz_input part)
{
	static uint8_t number;
	size_t size;

	switch (what) {
	case 'r':
	case 'm':
		deliver(part.at, part.len, 0, what == 'm');
		break;
	case 'g':
		size = fuzz_byte(&part) * 8;
		deliver(part.at, part.len, size, 0);
		break;
	case 'i':
		say_initial(part, number++);
		break;
	case 'c':
		peer_turn();
		break;
	case 'p':
		peer_frames(part);
		break;
	case 'o':
		peer.place ^= 1;
		break;
	case 't':
		clock_ns += NGTCP2_MILLISECONDS << (fuzz_byte(&part) % 24);
		turn();
		break;
	case 'a':
		fuzz_front_app(-1, part);
		break;
	case 'e':
		fuzz_front_app_end(-1);
		break;
	}
}

static void check_nothing_is_left(const struct quic *quic)
{
	fuzz_need(!quic->held && !quic->handshakes && !quic->heap_count, "no bytes, no handshake, no deadline");
	fuzz_need(list_empty(&listener->blocked), "nobody waits for the socket");
	for (uint32_t slot = 0; slot < 4096; slot++)
		fuzz_need(!quic->clients[slot], "no client is counted");
	for (uint32_t bucket = 0; bucket < 16384; bucket++)
		fuzz_need(!quic->ids[bucket], "no connection id leads anywhere");
	fuzz_need(!thread->stats.quic_connections_open, "no connection is counted");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };

	memset(received, 0, sizeof(received));
	memset(sent, 0, sizeof(sent));
	memset(&thread->quic->answers, 0, sizeof(thread->quic->answers));
	heard_count = 0;
	spoken = false;
	while (input.len) {
		struct fuzz_input part = fuzz_part(&input);
		const uint8_t what = fuzz_byte(&part);

		say(what, part);
	}
	fuzz_front_close(-1);
	peer_end();
	check_nothing_is_left(thread->quic);
	return 0;
}
