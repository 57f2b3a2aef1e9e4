/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread of the worker without a thread: the fuzz target turns its loop by hand,
 * writes what the client sends and what the apps answer, and reads both sides so that
 * nothing waits for room. Everything between is the real thing: exchange, routes,
 * permissions, both codecs. Only sockets to apps are pairs of unix sockets.
 *
 * Containers: A is open to all, its service "grpc" speaks HTTP/2; B lets the token
 * FUZZ_TOKEN in; all of A's "shop" passes B's "gate" first.
 */
#ifndef HOODY_SELFTESTS_FUZZ_FRONT_H
#define HOODY_SELFTESTS_FUZZ_FRONT_H

#include "front/connection.h"
#include "fuzz.h"

#define FUZZ_TOKEN	"ci-secret-token"

/* Once. */
struct front_thread *fuzz_front_setup(void);
/* A connection of @protocol. @client: the client's end, or NULL where it has no socket. */
struct front_connection *fuzz_front_open(const struct front_protocol *protocol, int *client);
/* Turns the loop a few times, and reads what was sent to client and apps. */
void fuzz_front_turn(int client);
/* The same with what a client or the newest app connection says before. */
void fuzz_front_client(int client, struct fuzz_input bytes);
void fuzz_front_app(int client, struct fuzz_input bytes);
/* The newest app connection ends. */
void fuzz_front_app_end(int client);
/* Everything ends; what is left over is a fault. */
void fuzz_front_close(int client);
/*
 * All of the above for an input whose parts begin with who speaks: 'a' is the app, 'e'
 * its end, all others the client.
 */
void fuzz_front_run(const struct front_protocol *protocol, struct fuzz_input input,
		    bool redirects);

#endif /* HOODY_SELFTESTS_FUZZ_FRONT_H */
