/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a gathered header block to a head, see block.h. The decoder has checked
 * what RFC 9113 8 and RFC 9114 4 ask; on top of it stands what HTTP/1 asks, since
 * that is what the container will read: nothing passes that could be read there
 * in two ways, and all versions refuse the same. Crumbs of cookies become one
 * field again.
 */
#include "front/block.h"

#include <errno.h>
#include <llhttp.h>
#include <string.h>

/* 18 digits cannot overflow 64 bits, and no body is longer. */
#define LENGTH_DIGITS_MAX	18
/* RFC 9113 6.5.2, RFC 9114 4.2.2: what a field counts beyond its bytes. */
#define FIELD_OVERHEAD		32
/* Header lists this much over the limit come from no client that read SETTINGS. */
#define BOMB_FACTOR		4

struct pseudo {
	struct http_text	method, scheme, path, authority, protocol;
	struct http_text	host;
	unsigned int		hosts;
};

/* ---- decoding ---- */

static bool is_pseudo(struct pseudo *pseudo, struct http_text name, struct http_text value)
{
	if (name.len < 2 || name.data[0] != ':')
		return false;
	switch (name.data[1]) {
	case 'm':
		pseudo->method = value;
		break;
	case 's':
		pseudo->scheme = value;
		break;
	case 'a':
		pseudo->authority = value;
		break;
	default:
		if (name.len == 5)
			pseudo->path = value;
		else
			pseudo->protocol = value;
		break;
	}
	return true;
}

/* Content-Length: the one, in digits. */
static int take_length(struct http_head *head, struct http_text text)
{
	size_t i;

	if (head->has_length || !text.len || text.len > LENGTH_DIGITS_MAX)
		return -EBADMSG;
	for (i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -EBADMSG;
		head->length = head->length * 10 + (text.data[i] - '0');
	}
	head->has_length = true;
	return 0;
}

static int take_field(struct http_head *head, struct pseudo *pseudo, struct http_text name,
		      struct http_text value)
{
	struct http_field *field;
	size_t i;

	if (!http_is_token(name) || !http_is_field_value(value))
		return -EBADMSG;
	for (i = 0; i < name.len; i++) {
		if (name.data[i] >= 'A' && name.data[i] <= 'Z')
			return -EBADMSG;
	}
	if (!http_head_add(head, name, value))
		return -E2BIG;
	field = &head->fields[head->fields_count - 1];
	field->id = http_field_classify(name);
	switch (field->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_UPGRADE:
		/* RFC 9113 8.2.2; also with '_' for '-', see http_field_classify(). */
		return -EBADMSG;
	case HTTP_FIELD_TE:
		head->te_trailers = http_text_equal(value, HTTP_TEXT("trailers"));
		return head->te_trailers ? 0 : -EBADMSG;
	case HTTP_FIELD_CONTENT_LENGTH:
		if (memchr(name.data, '_', name.len))
			return -EBADMSG;
		return take_length(head, value);
	case HTTP_FIELD_HOST:
		pseudo->host = value;
		return pseudo->hosts++ ? -EBADMSG : 0;
	default:
		return 0;
	}
}

static bool is_cookie(struct http_text name)
{
	return name.len == 6 && !memcmp(name.data, "cookie", 6);
}

/*
 * Room behind the records for all cookies in one line (RFC 9113 8.2.3). Before
 * anything points into the buffer: it may move.
 */
static int reserve_cookies(struct front_thread *thread, struct buf *block)
{
	struct http_text name, value;
	const char *at, *end;
	size_t need = 0;

	if (!buf_len(block))
		return 0;
	for (at = buf_head(block), end = buf_tail(block); at < end;) {
		record_next(&at, &name, &value);
		if (is_cookie(name))
			need += value.len + 2;
	}
	return need ? buf_reserve(&thread->buffers, block, need) : 0;
}

/* Fills @head's fields from the block; 0, -EBADMSG, -E2BIG or no memory. */
static int decode_fields(struct front_thread *thread, struct buf *block, struct http_head *head,
			 struct pseudo *pseudo)
{
	struct http_text name, value, cookie = {0};
	const char *at, *end;
	int err = reserve_cookies(thread, block);

	if (err || !buf_len(block))
		return err;
	cookie.data = buf_tail(block);
	for (at = buf_head(block), end = buf_tail(block); at < end && !err;) {
		record_next(&at, &name, &value);
		if (is_pseudo(pseudo, name, value))
			continue;
		if (!is_cookie(name)) {
			err = take_field(head, pseudo, name, value);
			continue;
		}
		if (!http_is_field_value(value))
			return -EBADMSG;
		if (cookie.len) {
			memcpy((char *)cookie.data + cookie.len, "; ", 2);
			cookie.len += 2;
		}
		memcpy((char *)cookie.data + cookie.len, value.data, value.len);
		cookie.len += value.len;
	}
	if (!err && cookie.len)
		err = take_field(head, pseudo, HTTP_TEXT("cookie"), cookie);
	return err;
}

/* The methods that HTTP/1 knows here: both versions take the same. */
static bool method_known(struct http_text name)
{
	static const struct http_text methods[] = {
#define XX(number, symbol, string) {#string, sizeof(#string) - 1},
		HTTP_METHOD_MAP(XX)
#undef XX
	};
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (name.len == methods[i].len && !memcmp(name.data, methods[i].data, name.len))
			return name.len != 3 || memcmp(name.data, "PRI", 3);
	}
	return false;
}

static int decode_target(struct http_head *head, struct http_text path)
{
	size_t i;

	for (i = 0; i < path.len; i++) {
		/* As in HTTP/1: no fragment is ever sent, nothing needs raw other bytes. */
		if (path.data[i] <= ' ' || path.data[i] >= 0x7f || path.data[i] == '#')
			return -EBADMSG;
	}
	head->target = path;
	if (path.len == 1 && path.data[0] == '*')
		return head->method == HTTP_METHOD_OPTIONS ? 0 : -EBADMSG;
	return path.len && path.data[0] == '/' ? 0 : -EBADMSG;
}

static int decode_pseudo(struct http_head *head, const struct pseudo *pseudo)
{
	head->method_name = pseudo->method;
	head->method = http_method_classify(pseudo->method);
	if (!http_is_token(pseudo->method))
		return -EBADMSG;
	if (!method_known(pseudo->method))
		return -ENOSYS;
	head->authority = pseudo->authority.len ? pseudo->authority : pseudo->host;
	if (!head->authority.len || (pseudo->hosts && !pseudo->host.len))
		return -EBADMSG;
	/* RFC 9113 8.3.1: where both are there, they say the same. */
	if (pseudo->host.len && !http_text_equal(pseudo->host, head->authority))
		return -EBADMSG;
	/* An ordinary CONNECT has nothing more, and goes nowhere. */
	if (head->method == HTTP_METHOD_CONNECT && !pseudo->protocol.len)
		return 0;
	if (!http_text_equal(pseudo->scheme, HTTP_TEXT("https")) &&
	    !http_text_equal(pseudo->scheme, HTTP_TEXT("http")))
		return -EBADMSG;
	return decode_target(head, pseudo->path);
}

/* How long the body is; the decoder holds the client to it. */
static int decode_framing(struct http_head *head, bool ended)
{
	if (ended && head->has_length && head->length)
		return -EBADMSG;
	if (head->has_length)
		head->framing = HTTP_BODY_LENGTH;
	else
		head->framing = ended ? HTTP_BODY_NONE : HTTP_BODY_STREAM;
	return 0;
}

static void reset_head(struct http_head *head)
{
	struct http_field *fields = head->fields;
	unsigned int fields_max = head->fields_max;

	memset(head, 0, sizeof(*head));
	head->fields = fields;
	head->fields_max = fields_max;
	head->minor = 1;
	head->persistent = true;
}

/* What is wrong with the block before anybody looks into it. */
static int check_block(const struct front_thread *thread, const struct front_block *block)
{
	if (block->malformed)
		return -EBADMSG;
	return block->bytes > front_settings(thread)->head_bytes_max ? -EFBIG : 0;
}

int front_block_request(struct front_thread *thread, struct front_block *block,
			struct http_head *head, bool ended, struct http_text *protocol)
{
	struct pseudo pseudo = {0};
	int err;

	reset_head(head);
	err = check_block(thread, block);
	if (!err)
		err = decode_fields(thread, &block->records, head, &pseudo);
	if (!err)
		err = decode_pseudo(head, &pseudo);
	if (!err)
		err = decode_framing(head, ended);
	*protocol = pseudo.protocol;
	return err;
}

int front_block_trailers(struct front_thread *thread, struct front_block *block,
			 struct http_head *head)
{
	struct pseudo pseudo = {0};
	int err;

	reset_head(head);
	err = check_block(thread, block);
	if (!err)
		err = decode_fields(thread, &block->records, head, &pseudo);
	/* Trailers that route or frame are no mistake. */
	return !err && (pseudo.hosts || head->has_length) ? -EBADMSG : err;
}

/* ---- gathering ---- */

void front_block_clear(struct front_thread *thread, struct front_block *block)
{
	buf_clear(&thread->buffers, &block->records);
	memset(block, 0, sizeof(*block));
}

int front_block_add(struct front_thread *thread, struct front_block *block,
		    struct http_text name, struct http_text value)
{
	size_t most = front_settings(thread)->head_bytes_max;

	block->bytes += name.len + value.len + FIELD_OVERHEAD;
	if (block->bytes > BOMB_FACTOR * most)
		return -EFBIG;
	/* Too large: its size goes on being counted, its bytes are not kept. */
	if (block->bytes > most)
		return 0;
	return record_add(&thread->buffers, &block->records, name, value) ? -ENOMEM : 0;
}

const struct front_block_fault *front_block_fault(struct front_thread *thread, int err)
{
	static const struct front_block_fault
		fields = {431, "too_many_fields", "the request has too many header fields"},
		bytes = {431, "head_too_large", "the header section is too large"},
		method = {501, "unknown_method", "this request method is not known here"},
		protocol = {501, "unknown_protocol",
			    "CONNECT is offered for the protocol websocket alone"},
		malformed = {400, "malformed_request", "the request is not valid HTTP"};

	if (err == -E2BIG || err == -EFBIG) {
		front_count(thread, refused_too_large);
		return err == -E2BIG ? &fields : &bytes;
	}
	front_count(thread, refused_malformed);
	if (err == -ENOSYS)
		return &method;
	return err == -EPROTONOSUPPORT ? &protocol : &malformed;
}
