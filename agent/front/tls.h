/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.2 and 1.3 towards clients, by OpenSSL on a BIO that knows what epoll
 * said: it makes no system call whose answer is known to be EAGAIN.
 *
 * A front_tls is a keyring (front/keyring.h) with its settings, shared by all
 * threads and counted; connections keep the one that they began with.
 */
#ifndef HOODY_FRONT_TLS_H
#define HOODY_FRONT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct front_connection;
struct front_tls;

/*
 * front_tls_create(): from the text of lib/keys.h; what @previous (or NULL) has
 * too is taken from there. NULL with *fault set to what is wrong.
 */
struct front_tls *front_tls_create(const char *text, size_t len, const struct front_tls *previous,
				   const char **fault);
struct front_tls *front_tls_get(struct front_tls *tls);
void front_tls_put(struct front_tls *tls);
struct front_keyring;
const struct front_keyring *front_tls_keyring(const struct front_tls *tls);

/* For one connection of QUIC, whose handshake ngtcp2 drives: @app_data is for it. */
struct ssl_st *front_tls_quic(struct front_tls *tls, void *app_data);
/* For one connection. 0 or -ENOMEM. */
int front_tls_attach(struct front_tls *tls, struct front_connection *connection);
/* 1 finished, or there is early data (front/early.h); 0 not yet, -EPROTO failed. */
int front_tls_handshake(struct front_connection *connection);
/* It is finished: lets go of what only it needed. */
void front_tls_finished(struct front_connection *connection);
/*
 * The handshake is over, and what it has settled has been asked for. Over TLS 1.3
 * OpenSSL's part ends here (front/tls13.h): connection->ssl is NULL from now on.
 */
void front_tls_settle(struct front_connection *connection);
/* As recv(2) and send(2), with -EAGAIN, and other errors as -ECONNRESET. */
ssize_t front_tls_read(struct front_connection *connection, void *bytes, size_t len);
ssize_t front_tls_write(struct front_connection *connection, const void *bytes, size_t len);
/* Whether a read may give anything without a new event of the socket. */
bool front_tls_has_more(const struct front_connection *connection);
/* Sends close_notify. */
void front_tls_shutdown(struct front_connection *connection);
void front_tls_detach(struct front_connection *connection);

#endif /* HOODY_FRONT_TLS_H */
