/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 (RFC 8446) after the handshake: records in and out, key updates, alerts,
 * and nothing else. The handshake is OpenSSL's. Once it is over, OpenSSL's 14 kB
 * of state for it are let go, and what is left of a connection are two keys with
 * their counters, which is what thousands of idle clients cost.
 *
 *	handshake (front/tls.c) --begin()--> open --close_notify, a fault--> over
 *
 * Ciphers and hashes are OpenSSL's here too. Not done, since no client may ask for
 * it of us: client certificates, renegotiation. A client that wants smaller records
 * (RFC 6066 4), or has sent early data (front/early.h), stays with OpenSSL.
 */
#ifndef HOODY_FRONT_TLS13_H
#define HOODY_FRONT_TLS13_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct front_connection;
struct front_tls13;
struct front_tls13_ciphers;
struct ssl_st;

/* Room for records of either direction, of a thread: empty between two calls. */
#define FRONT_TLS13_RECORDS	65536

/* Fetched once for all connections; NULL where OpenSSL has them not. */
struct front_tls13_ciphers *front_tls13_ciphers_create(void);
void front_tls13_ciphers_destroy(struct front_tls13_ciphers *ciphers);

/* While the handshake lasts; NULL: no memory, and OpenSSL stays. */
struct front_tls13 *front_tls13_create(struct ssl_st *ssl);
void front_tls13_destroy(struct front_tls13 *tls13, struct front_connection *connection);
/* A line as of SSL_CTX_set_keylog_callback(3): the secrets are taken from it. */
void front_tls13_learn(struct front_tls13 *tls13, const char *line);

/*
 * The handshake that @ssl has finished goes on as @tls13; false where it cannot,
 * and nothing has changed then. What has been received and not given to OpenSSL
 * waits in connection->received and begins with a record.
 */
bool front_tls13_begin(struct front_tls13 *tls13, const struct front_tls13_ciphers *ciphers,
		       struct ssl_st *ssl);

/* As front_tls_read(), ..., front_tls_shutdown(). */
ssize_t front_tls13_read(struct front_connection *connection, void *bytes, size_t len);
ssize_t front_tls13_write(struct front_connection *connection, const void *bytes, size_t len);
bool front_tls13_has_more(const struct front_connection *connection);
void front_tls13_shutdown(struct front_connection *connection);

#endif /* HOODY_FRONT_TLS13_H */
