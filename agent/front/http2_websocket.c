/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket over HTTP/2 (RFC 8441): the client's extended CONNECT becomes the
 * upgrade of HTTP/1.1 that apps know, with a key of ours, whose answer is checked
 * so that only an app that speaks WebSocket is taken for one (RFC 6455 4.1).
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "front/http2.h"

#define KEY_BYTES	16	/* RFC 6455 4.1 */
#define KEY_LEN		24	/* in base64 */

static bool named(const struct http_field *field, struct http_text name)
{
	return http_text_equal(field->name, name);
}

/* What an app makes of @key (RFC 6455 4.2.2). */
static int answer_to(const char *key, char accept[FRONT_HTTP2_ACCEPT_LEN])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[KEY_LEN + sizeof(guid) - 1], sum[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	memcpy(text, key, KEY_LEN);
	memcpy(text + KEY_LEN, guid, sizeof(guid) - 1);
	if (!EVP_Digest(text, sizeof(text), sum, &len, EVP_sha1(), NULL))
		return -EIO;
	EVP_EncodeBlock((unsigned char *)accept, sum, len);
	return 0;
}

int front_http2_websocket_begin(struct front_http2_stream *stream, struct http_head *head,
				struct front_http2_websocket *scratch)
{
	unsigned char bytes[KEY_BYTES];
	unsigned int i;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	EVP_EncodeBlock((unsigned char *)scratch->key, bytes, sizeof(bytes));
	if (answer_to(scratch->key, stream->accept))
		return -EIO;
	for (i = 0; i < head->fields_count; i++) {
		if (named(&head->fields[i], HTTP_TEXT("sec-websocket-key")))
			head->fields[i].drop = true;
	}
	if (!http_head_add(head, HTTP_TEXT("upgrade"), HTTP_TEXT("websocket")))
		return -E2BIG;
	head->fields[head->fields_count - 1].id = HTTP_FIELD_UPGRADE;
	if (!http_head_add(head, HTTP_TEXT("sec-websocket-key"),
			   (struct http_text){scratch->key, KEY_LEN}))
		return -E2BIG;
	head->method = HTTP_METHOD_GET;
	head->method_name = HTTP_TEXT("GET");
	head->framing = HTTP_BODY_NONE;
	head->upgrade = true;
	stream->websocket = true;
	return 0;
}

bool front_http2_websocket_agreed(const struct front_http2_stream *stream, struct http_head *head)
{
	struct http_text wanted = {stream->accept, FRONT_HTTP2_ACCEPT_LEN - 1};
	unsigned int i, count = 0;
	bool right = false;

	for (i = 0; i < head->fields_count; i++) {
		if (!named(&head->fields[i], HTTP_TEXT("sec-websocket-accept")))
			continue;
		head->fields[i].drop = true;
		/* base64 tells cases apart. */
		right = head->fields[i].value.len == wanted.len &&
			!memcmp(head->fields[i].value.data, wanted.data, wanted.len);
		count++;
	}
	return count == 1 && right;
}
