/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended CONNECT to upgrade and back, see websocket.h.
 */
#include "front/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "front/thread.h"

#define KEY_BYTES	16	/* RFC 6455 4.1 */
#define KEY_LEN		24	/* in base64 */

static bool named(const struct http_field *field, struct http_text name)
{
	return http_text_equal(field->name, name);
}

/* What an app makes of @key (RFC 6455 4.2.2). */
static int answer_to(const char *key, char accept[FRONT_WEBSOCKET_ACCEPT_LEN])
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

static int become_upgrade(struct http_head *head, char accept[FRONT_WEBSOCKET_ACCEPT_LEN],
			  struct front_websocket *scratch)
{
	unsigned char bytes[KEY_BYTES];
	unsigned int i;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	EVP_EncodeBlock((unsigned char *)scratch->key, bytes, sizeof(bytes));
	if (answer_to(scratch->key, accept))
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
	return 0;
}

int front_websocket_begin(struct http_head *head, struct http_text protocol, bool ended,
			  char accept[FRONT_WEBSOCKET_ACCEPT_LEN], struct front_websocket *scratch)
{
	int err;

	/* Where the tunnel begins must be plain: no body before, none left out. */
	if (ended || head->has_length)
		return -EBADMSG;
	if (!http_text_equal(protocol, HTTP_TEXT("websocket")))
		return -EPROTONOSUPPORT;
	/* The client's own fields are counted by now. */
	head->fields_max += FRONT_FIELDS_ADDED;
	err = become_upgrade(head, accept, scratch);
	head->fields_max -= FRONT_FIELDS_ADDED;
	return err;
}

bool front_websocket_agreed(const char accept[FRONT_WEBSOCKET_ACCEPT_LEN], struct http_head *head)
{
	struct http_text wanted = {accept, FRONT_WEBSOCKET_ACCEPT_LEN - 1};
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
