/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket over HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220): the client's extended
 * CONNECT becomes the upgrade of HTTP/1.1 that apps know, with a key of ours,
 * whose answer is checked so that only an app that speaks WebSocket is taken for
 * one (RFC 6455 4.1).
 */
#ifndef HOODY_FRONT_WEBSOCKET_H
#define HOODY_FRONT_WEBSOCKET_H

#include "lib/http.h"

/* base64 of a SHA-1 sum, and its NUL. */
#define FRONT_WEBSOCKET_ACCEPT_LEN	29

/* What is added to a request; lives until that is encoded. */
struct front_websocket {
	char	key[25];
};

/*
 * front_websocket_begin(): @head, an extended CONNECT for @protocol (@ended: its
 * stream is over already), becomes the upgrade; @accept is what the app has to
 * answer. 0, -EBADMSG, -EPROTONOSUPPORT, -E2BIG or -EIO.
 */
int front_websocket_begin(struct http_head *head, struct http_text protocol, bool ended,
			  char accept[FRONT_WEBSOCKET_ACCEPT_LEN], struct front_websocket *scratch);
/* Whether the app's 101 is the one to our key; marks fields for dropping. */
bool front_websocket_agreed(const char accept[FRONT_WEBSOCKET_ACCEPT_LEN], struct http_head *head);

#endif /* HOODY_FRONT_WEBSOCKET_H */
