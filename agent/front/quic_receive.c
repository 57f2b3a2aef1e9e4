/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams in. Each goes to its connection by the destination id; what belongs
 * to none is answered without keeping anything, in this order:
 *
 *	a version that we do not speak		Version Negotiation
 *	a short header				stateless reset: its connection is gone
 *	not a client's first packet		nothing
 *	too many connections, or draining	CONNECTION_REFUSED
 *	under load, and without a token		Retry: the client shows that it gets
 *						what is sent to its address
 *	a wrong token				INVALID_TOKEN
 *	anything else				a new connection
 *
 * No answer is longer than what it answers (RFC 9000 8.1, 10.3), and a bucket
 * bounds how many there are.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "front/quic.h"

/* Calls in a row, before others get their turn. */
#define RECEIVES_IN_A_ROW	4
/* RFC 9000 14.1: a client's first datagram is no shorter. */
#define INITIAL_BYTES_MIN	1200
/* RFC 9000 10.3: shorter than this it would tell what it is. */
#define RESET_BYTES_MIN		43
#define RESET_BYTES_MAX		128
/* Handshakes under way in a thread before clients have to show their address. */
#define HANDSHAKES_FREE		100
/* Answers to what belongs to nothing, per thread. */
#define ANSWERS_BURST		1000
#define ANSWERS_PER_SECOND	2000
#define RETRY_LIFE		(10 * NGTCP2_SECONDS)
#define TOKEN_LIFE		(24 * 3600 * NGTCP2_SECONDS)
#define ANSWER_BYTES_MAX	1280

struct datagram {
	const struct quic_path	*path;
	const char		*bytes;
	size_t			len;
	uint8_t			ecn;
};

union control {
	char		space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
	struct cmsghdr	align;
};

/* ---- answers that keep nothing ---- */

static bool may_answer(struct quic *quic)
{
	return front_bucket_take(&quic->answers, quic->thread->loop.now, ANSWERS_BURST,
				 ANSWERS_PER_SECOND);
}

static void answer(struct quic_listener *listener, const struct datagram *datagram,
		   const uint8_t *bytes, ngtcp2_ssize len)
{
	if (len > 0)
		quic_send(listener, datagram->path, 0, (const char *)bytes, len, len);
}

static void negotiate_version(struct quic_listener *listener, const struct datagram *datagram,
			      const ngtcp2_version_cid *ids)
{
	static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2};
	struct quic *quic = listener->thread->quic;
	uint8_t bytes[ANSWER_BYTES_MAX], random;

	if (datagram->len < INITIAL_BYTES_MIN || !may_answer(quic) || RAND_bytes(&random, 1) != 1)
		return;
	front_count(listener->thread, quic_version_negotiations);
	answer(listener, datagram, bytes,
	       ngtcp2_pkt_write_version_negotiation(bytes, sizeof(bytes), random, ids->scid,
						    ids->scidlen, ids->dcid, ids->dcidlen, versions,
						    sizeof(versions) / sizeof(versions[0])));
}

static void reset(struct quic_listener *listener, const struct datagram *datagram,
		  const ngtcp2_version_cid *ids)
{
	uint8_t bytes[RESET_BYTES_MAX], random[RESET_BYTES_MAX];
	struct quic *quic = listener->thread->quic;
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
	size_t size = datagram->len - 1;
	ngtcp2_cid cid;

	if (datagram->len <= RESET_BYTES_MIN || !may_answer(quic))
		return;
	if (size > sizeof(bytes))
		size = sizeof(bytes);
	ngtcp2_cid_init(&cid, ids->dcid, ids->dcidlen);
	if (ngtcp2_crypto_generate_stateless_reset_token(token, quic->secret, sizeof(quic->secret),
							 &cid) ||
	    RAND_bytes(random, sizeof(random)) != 1)
		return;
	front_count(listener->thread, quic_resets);
	answer(listener, datagram, bytes,
	       ngtcp2_pkt_write_stateless_reset(bytes, size, token, random,
						size - NGTCP2_STATELESS_RESET_TOKENLEN));
}

static void refuse(struct quic_listener *listener, const struct datagram *datagram,
		   const ngtcp2_pkt_hd *head, uint64_t code)
{
	uint8_t bytes[ANSWER_BYTES_MAX];

	if (may_answer(listener->thread->quic))
		answer(listener, datagram, bytes,
		       ngtcp2_crypto_write_connection_close(bytes, sizeof(bytes), head->version,
							    &head->scid, &head->dcid, code, NULL, 0));
}

static void retry(struct quic_listener *listener, const struct datagram *datagram,
		  const ngtcp2_pkt_hd *head)
{
	uint8_t bytes[ANSWER_BYTES_MAX], token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
	const struct quic_path *path = datagram->path;
	struct quic *quic = listener->thread->quic;
	ngtcp2_cid cid = {.datalen = QUIC_CID_LEN};
	ngtcp2_ssize len;

	if (!may_answer(quic) || RAND_bytes(cid.data, QUIC_CID_LEN) != 1)
		return;
	quic_cid_set(cid.data, quic->socket);
	len = ngtcp2_crypto_generate_retry_token2(token, quic->secret, sizeof(quic->secret),
						  head->version,
						  (const struct sockaddr *)&path->remote,
						  path->remote_len, &cid, &head->dcid, quic_now());
	if (len < 0)
		return;
	front_count(listener->thread, quic_retries);
	answer(listener, datagram, bytes,
	       ngtcp2_crypto_write_retry(bytes, sizeof(bytes), head->version, &head->scid, &cid,
					 &head->dcid, token, len));
}

/* ---- new connections ---- */

/*
 * What the client's token says. 0: it has shown its address (or the token was
 * for that and has aged: as if there were none, *shown stays false). -EINVAL.
 */
static int check_token(struct quic *quic, const struct datagram *datagram,
		       const ngtcp2_pkt_hd *head, struct quic_accept *accept, ngtcp2_cid *original,
		       bool *shown)
{
	const struct sockaddr *remote = (const struct sockaddr *)&datagram->path->remote;
	socklen_t remote_len = datagram->path->remote_len;

	if (!head->tokenlen)
		return 0;
	switch (head->token[0]) {
	case NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2:
		if (ngtcp2_crypto_verify_retry_token2(original, head->token, head->tokenlen,
						      quic->secret, sizeof(quic->secret),
						      head->version, remote, remote_len, &head->dcid,
						      RETRY_LIFE, quic_now()))
			return -EINVAL;
		accept->original = original;
		accept->retry = &head->dcid;
		accept->token_type = NGTCP2_TOKEN_TYPE_RETRY;
		*shown = true;
		return 0;
	case NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR:
		if (ngtcp2_crypto_verify_regular_token(head->token, head->tokenlen, quic->secret,
						       sizeof(quic->secret), remote, remote_len,
						       TOKEN_LIFE, quic_now()))
			return 0;
		accept->token_type = NGTCP2_TOKEN_TYPE_NEW_TOKEN;
		*shown = true;
		return 0;
	default:
		/* Of another server, or of a life of ours before this one. */
		return 0;
	}
}

static struct quic_connection *accept_new(struct quic_listener *listener,
					  const struct datagram *datagram)
{
	struct front_thread *thread = listener->thread;
	struct quic *quic = thread->quic;
	struct quic_accept accept = {.path = datagram->path};
	struct quic_connection *connection;
	ngtcp2_pkt_hd head;
	ngtcp2_cid original;
	bool shown = false;

	if (ngtcp2_accept(&head, (const uint8_t *)datagram->bytes, datagram->len)) {
		front_count(thread, quic_packets_unknown);
		return NULL;
	}
	/* What is new is steered to another worker: this came before, and waits since. */
	if ((thread->draining && !thread->replaced) || !thread->tls ||
	    thread->open_count >= front_settings(thread)->connections_max) {
		front_count(thread, quic_refused_limit);
		refuse(listener, datagram, &head, NGTCP2_CONNECTION_REFUSED);
		return NULL;
	}
	accept.head = &head;
	accept.original = &head.dcid;
	if (check_token(quic, datagram, &head, &accept, &original, &shown)) {
		front_count(thread, quic_tokens_refused);
		refuse(listener, datagram, &head, NGTCP2_INVALID_TOKEN);
		return NULL;
	}
	if (!shown && quic->handshakes >= HANDSHAKES_FREE) {
		retry(listener, datagram, &head);
		return NULL;
	}
	if (!quic_table_client_get(quic, &datagram->path->remote, &accept.client_slot)) {
		front_count(thread, quic_refused_client);
		refuse(listener, datagram, &head, NGTCP2_CONNECTION_REFUSED);
		return NULL;
	}
	accept.proven = shown;
	connection = quic_connection_create(quic, &accept);
	if (connection)
		return connection;
	quic_table_client_put(quic, accept.client_slot);
	/* Whoever proves the address is counted apart from those that only name it. */
	if (!shown)
		retry(listener, datagram, &head);
	else
		refuse(listener, datagram, &head, NGTCP2_CONNECTION_REFUSED);
	return NULL;
}

static void take(struct quic_listener *listener, const struct datagram *datagram)
{
	struct front_thread *thread = listener->thread;
	struct quic_connection *connection;
	ngtcp2_version_cid ids;
	int err;

	err = ngtcp2_pkt_decode_version_cid(&ids, (const uint8_t *)datagram->bytes, datagram->len,
					    QUIC_CID_LEN);
	if (err == NGTCP2_ERR_VERSION_NEGOTIATION) {
		negotiate_version(listener, datagram, &ids);
		return;
	}
	if (err) {
		front_count(thread, quic_packets_unknown);
		return;
	}
	connection = quic_table_find(thread->quic, ids.dcid, ids.dcidlen);
	if (!connection && !ids.version) {
		front_count(thread, quic_packets_unknown);
		reset(listener, datagram, &ids);
		return;
	}
	if (!connection)
		connection = accept_new(listener, datagram);
	if (connection)
		quic_connection_read(connection, datagram->path, datagram->ecn, datagram->bytes,
				     datagram->len);
}

/* ---- from the kernel ---- */

/* Where it was sent to, how it was marked, and how long each of its datagrams is. */
static void read_control(struct quic_listener *listener, struct msghdr *message,
			 struct quic_path *path, uint8_t *ecn, size_t *segment)
{
	struct sockaddr_in6 *local6 = (struct sockaddr_in6 *)&path->local;
	struct sockaddr_in *local = (struct sockaddr_in *)&path->local;
	struct cmsghdr *at;
	int number = 0;

	path->local = listener->address;
	path->local_len = listener->address.ss_family == AF_INET ? sizeof(*local) : sizeof(*local6);
	for (at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
			local->sin_addr = ((struct in_pktinfo *)CMSG_DATA(at))->ipi_addr;
		} else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(at);

			local6->sin6_addr = info->ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
				local6->sin6_scope_id = info->ipi6_ifindex;
		} else if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_TOS) {
			*ecn = *(uint8_t *)CMSG_DATA(at) & 3;
		} else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_TCLASS) {
			memcpy(&number, CMSG_DATA(at), sizeof(number));
			*ecn = number & 3;
		} else if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO) {
			memcpy(&number, CMSG_DATA(at), sizeof(number));
			*segment = number > 0 ? number : *segment;
		}
	}
}

static void take_message(struct quic_listener *listener, struct msghdr *message, size_t len)
{
	struct quic_path path;
	struct datagram datagram = {.path = &path};
	size_t segment = len, at;

	memset(&path, 0, sizeof(path));
	memcpy(&path.remote, message->msg_name, message->msg_namelen);
	path.remote_len = message->msg_namelen;
	read_control(listener, message, &path, &datagram.ecn, &segment);
	front_count_add(listener->thread, bytes_from_clients, len);
	for (at = 0; at < len; at += datagram.len) {
		datagram.bytes = (const char *)message->msg_iov->iov_base + at;
		datagram.len = len - at < segment ? len - at : segment;
		front_count(listener->thread, quic_datagrams);
		take(listener, &datagram);
	}
}

/* What one recvmmsg(2) fills; the kernel changes lengths of what it has filled alone. */
struct quic_inbox {
	struct sockaddr_storage	peers[QUIC_BATCH];
	struct mmsghdr		messages[QUIC_BATCH];
	union control		controls[QUIC_BATCH];
	struct iovec		parts[QUIC_BATCH];
	char			bytes[QUIC_BATCH][QUIC_BATCH_BYTES];
};

static void inbox_ready(struct quic_inbox *inbox, int i)
{
	inbox->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &inbox->peers[i],
		.msg_namelen = sizeof(inbox->peers[i]),
		.msg_iov = &inbox->parts[i],
		.msg_iovlen = 1,
		.msg_control = &inbox->controls[i],
		.msg_controllen = sizeof(inbox->controls[i]),
	};
}

struct quic_inbox *quic_inbox_create(void)
{
	struct quic_inbox *inbox = malloc(sizeof(*inbox));
	int i;

	for (i = 0; inbox && i < QUIC_BATCH; i++) {
		inbox->parts[i] = (struct iovec){inbox->bytes[i], QUIC_BATCH_BYTES};
		inbox_ready(inbox, i);
	}
	return inbox;
}

void quic_receive(struct quic_listener *listener)
{
	struct quic_inbox *inbox = listener->thread->quic->inbox;
	struct mmsghdr *messages = inbox->messages;
	int i, count, round;

	for (round = 0; round < RECEIVES_IN_A_ROW; round++) {
		count = recvmmsg(listener->source.fd, messages, QUIC_BATCH, MSG_DONTWAIT, NULL);
		/* An error of an earlier datagram (ICMP) is told once and means nothing here. */
		if (count < 0 && errno == EAGAIN)
			return;
		for (i = 0; i < count; i++) {
			if (messages[i].msg_len)
				take_message(listener, &messages[i].msg_hdr, messages[i].msg_len);
			inbox_ready(inbox, i);
		}
		/* The socket was empty then: what comes later is an event of its own. */
		if (count >= 0 && count < QUIC_BATCH)
			return;
	}
	/* More than our share: edge-triggered, so it has to be asked for again. */
	quic_listener_watch(listener);
}
