/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding HTTP/1.x heads, see http1.h.
 */
#include "lib/http1.h"

#include <errno.h>
#include <llhttp.h>
#include <string.h>

/* 18 digits cannot overflow 64 bits, and no body is longer. */
#define LENGTH_DIGITS_MAX	18

/* Each one is looked for among all fields, so their number is bounded. */
#define CONNECTION_OPTIONS_MAX	32

ssize_t http1_head_length(const char *bytes, size_t len, size_t *scanned)
{
	const char *line = bytes + *scanned, *end = bytes + len, *lf;

	/* Whole lines only: *scanned always stands at the start of a line. */
	while ((lf = memchr(line, '\n', end - line))) {
		if (lf == line || lf[-1] != '\r')
			return -EBADMSG;
		if (lf == line + 1)
			return lf + 1 - bytes;
		if (*line == ' ' || *line == '\t')
			return -EBADMSG;
		line = lf + 1;
		*scanned = line - bytes;
	}
	return 0;
}

/* What llhttp tells while it runs. */
struct decoder {
	llhttp_t		llhttp;
	struct http_head	*head;
	struct http_text	url, method;
	int			error;
};

static int on_method(llhttp_t *llhttp, const char *at, size_t len)
{
	struct decoder *decoder = llhttp->data;

	decoder->method = (struct http_text){at, len};
	return 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
	struct decoder *decoder = llhttp->data;

	decoder->url = (struct http_text){at, len};
	return 0;
}

static int on_status(llhttp_t *llhttp, const char *at, size_t len)
{
	struct decoder *decoder = llhttp->data;

	decoder->head->reason = (struct http_text){at, len};
	return 0;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct decoder *decoder = llhttp->data;

	/* All bytes are given at once, so that a name comes in one piece. */
	if (!http_head_add(decoder->head, (struct http_text){at, len}, (struct http_text){at, 0})) {
		decoder->error = -E2BIG;
		return -1;
	}
	return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct decoder *decoder = llhttp->data;
	struct http_head *head = decoder->head;

	if (!head->fields_count)
		return -1;
	head->fields[head->fields_count - 1].value = (struct http_text){at, len};
	return 0;
}

/* 2: no body, leave what follows alone. The framing is decided by our own rules. */
static int on_head_complete(llhttp_t *llhttp)
{
	return 2;
}

static const llhttp_settings_t llhttp_settings = {
	.on_method = on_method,
	.on_url = on_url,
	.on_status = on_status,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head_complete,
};

/* Splits @bytes; 0 where llhttp took them all as exactly one head. */
static int split(struct decoder *decoder, llhttp_type_t type, struct http_head *head,
		 const char *bytes, size_t len)
{
	struct http_field *fields = head->fields;
	unsigned int fields_max = head->fields_max;
	llhttp_errno_t result;

	memset(head, 0, sizeof(*head));
	head->fields = fields;
	head->fields_max = fields_max;
	memset(decoder, 0, sizeof(*decoder));
	decoder->head = head;
	llhttp_init(&decoder->llhttp, type, &llhttp_settings);
	decoder->llhttp.data = decoder;
	result = llhttp_execute(&decoder->llhttp, bytes, len);
	if (decoder->error)
		return decoder->error;
	if (result == HPE_INVALID_METHOD) {
		const char *space = memchr(bytes, ' ', len);

		if (space && http_is_token((struct http_text){bytes, space - bytes}))
			return -ENOSYS;
	}
	/* Both mean "head complete"; the last byte must have been the one that did it. */
	if (result != HPE_PAUSED_UPGRADE || llhttp_get_error_pos(&decoder->llhttp) != bytes + len)
		return -EBADMSG;
	return 0;
}

/*
 * "HTTP/1.0" or "HTTP/1.1" and nothing else: llhttp also takes 0.9 and 2.0, and
 * the names of other protocols.
 */
static int check_version(const char *at, size_t len, uint8_t *minor)
{
	if (len != 8 || memcmp(at, "HTTP/", 5))
		return -EBADMSG;
	if (at[5] != '1' || at[6] != '.' || (at[7] != '0' && at[7] != '1'))
		return -EPROTONOSUPPORT;
	*minor = at[7] - '0';
	return 0;
}

/* Names, values and what stands between them; classifies. */
static int check_fields(struct http_head *head)
{
	struct http_field *field;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		field = &head->fields[i];
		/* llhttp trims before a value, not always after it. */
		while (field->value.len && (field->value.data[field->value.len - 1] == ' ' ||
					    field->value.data[field->value.len - 1] == '\t'))
			field->value.len--;
		if (!http_is_token(field->name) || field->name.data[field->name.len] != ':' ||
		    !http_is_field_value(field->value))
			return -EBADMSG;
		field->id = http_field_classify(field->name);
		/* '_' for '-' hides a field from one of two parsers: never framing. */
		if ((field->id == HTTP_FIELD_CONTENT_LENGTH ||
		     field->id == HTTP_FIELD_TRANSFER_ENCODING) &&
		    memchr(field->name.data, '_', field->name.len))
			return -EBADMSG;
	}
	return 0;
}

static int decode_length(struct http_text text, uint64_t *length)
{
	size_t i;

	if (!text.len || text.len > LENGTH_DIGITS_MAX)
		return -EBADMSG;
	*length = 0;
	for (i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -EBADMSG;
		*length = *length * 10 + (text.data[i] - '0');
	}
	return 0;
}

/*
 * Content-Length and Transfer-Encoding: at most one field of the two, and the
 * latter exactly "chunked". Sets framing to NONE, LENGTH or STREAM.
 */
static int decode_framing(struct http_head *head)
{
	unsigned int i, seen = 0;

	head->framing = HTTP_BODY_NONE;
	for (i = 0; i < head->fields_count; i++) {
		struct http_field *field = &head->fields[i];

		if (field->id == HTTP_FIELD_CONTENT_LENGTH) {
			head->framing = HTTP_BODY_LENGTH;
			head->has_length = true;
			if (decode_length(field->value, &head->length))
				return -EBADMSG;
		} else if (field->id == HTTP_FIELD_TRANSFER_ENCODING) {
			head->framing = HTTP_BODY_STREAM;
			if (head->minor == 0 ||
			    !http_text_equal(field->value, HTTP_TEXT("chunked")))
				return -EBADMSG;
		} else {
			continue;
		}
		if (seen++)
			return -EBADMSG;
	}
	return 0;
}

/* What the peer says of its connection. */
static int decode_connection(struct http_head *head)
{
	unsigned int options = 0;
	bool close = false, keep = false, upgrade = false, te = false, trailers = false;
	struct http_text list, token;
	bool offered = false;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		list = head->fields[i].value;
		switch (head->fields[i].id) {
		case HTTP_FIELD_CONNECTION:
			while (http_list_next(&list, &token)) {
				if (++options > CONNECTION_OPTIONS_MAX)
					return -EBADMSG;
				close |= http_text_equal(token, HTTP_TEXT("close"));
				keep |= http_text_equal(token, HTTP_TEXT("keep-alive"));
				upgrade |= http_text_equal(token, HTTP_TEXT("upgrade"));
				te |= http_text_equal(token, HTTP_TEXT("te"));
			}
			break;
		case HTTP_FIELD_TE:
			while (http_list_next(&list, &token))
				trailers |= http_text_equal(token, HTTP_TEXT("trailers"));
			break;
		case HTTP_FIELD_UPGRADE:
			offered = true;
			break;
		default:
			break;
		}
	}
	head->persistent = !close && (head->minor > 0 || keep);
	head->upgrade = head->minor > 0 && upgrade && offered;
	head->te_trailers = head->minor > 0 && te && trailers;
	return 0;
}

/*
 * "*", "/path?query" or "http://authority/path"; fills target, and authority
 * for the latter. CONNECT keeps what it has: nobody forwards it.
 */
static int decode_target(struct http_head *head, struct http_text url)
{
	size_t i, scheme;

	for (i = 0; i < url.len; i++) {
		/* No fragment is ever sent (RFC 9112 3.2), nothing needs raw other bytes. */
		if (url.data[i] <= ' ' || url.data[i] >= 0x7f || url.data[i] == '#')
			return -EBADMSG;
	}
	head->target = url;
	if (head->method == HTTP_METHOD_CONNECT)
		return url.len ? 0 : -EBADMSG;
	if (url.len && url.data[0] == '/')
		return 0;
	if (url.len == 1 && url.data[0] == '*')
		return head->method == HTTP_METHOD_OPTIONS ? 0 : -EBADMSG;
	if (url.len > 7 && http_text_equal((struct http_text){url.data, 7}, HTTP_TEXT("http://")))
		scheme = 7;
	else if (url.len > 8 &&
		 http_text_equal((struct http_text){url.data, 8}, HTTP_TEXT("https://")))
		scheme = 8;
	else
		return -EBADMSG;
	for (i = scheme; i < url.len && url.data[i] != '/' && url.data[i] != '?';)
		i++;
	head->authority = (struct http_text){url.data + scheme, i - scheme};
	head->target = (struct http_text){url.data + i, url.len - i};
	if (!head->target.len)
		head->target = head->method == HTTP_METHOD_OPTIONS ? HTTP_TEXT("*") :
								     HTTP_TEXT("/");
	/* "http://host?query" has no path to send; a client that means "/" can say so. */
	return head->authority.len && head->target.data[0] != '?' ? 0 : -EBADMSG;
}

/* Exactly one Host, at most one for HTTP/1.0, and the one the target names. */
static int decode_host(struct http_head *head)
{
	const struct http_field *host = NULL;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		if (head->fields[i].id != HTTP_FIELD_HOST)
			continue;
		if (host)
			return -EBADMSG;
		host = &head->fields[i];
	}
	if (!host)
		return head->minor ? -EBADMSG : 0;
	if (!host->value.len)
		return -EBADMSG;
	if (head->authority.len && !http_text_equal(head->authority, host->value))
		return -EBADMSG;
	head->authority = host->value;
	return 0;
}

int http1_decode_request(struct http_head *head, const char *bytes, size_t len)
{
	struct decoder decoder;
	const char *line_end, *version;
	int err;

	/* The line's shape first: one blank between each of its three parts. */
	line_end = memchr(bytes, '\r', len);
	if (!line_end || line_end - bytes < 14)
		return -EBADMSG;
	err = split(&decoder, HTTP_REQUEST, head, bytes, len);
	if (err == -E2BIG || err == -ENOSYS)
		return err;
	version = line_end - 8;
	if (version[-1] != ' ')
		return -EBADMSG;
	if (check_version(version, 8, &head->minor))
		return memcmp(version, "HTTP/", 5) ? -EBADMSG : -EPROTONOSUPPORT;
	if (err)
		return err;
	if (decoder.method.data != bytes || decoder.url.data != bytes + decoder.method.len + 1 ||
	    decoder.url.data + decoder.url.len + 1 != version)
		return -EBADMSG;
	head->method_name = decoder.method;
	head->method = http_method_classify(head->method_name);
	if (check_fields(head) || decode_target(head, decoder.url) || decode_host(head) ||
	    decode_framing(head) || decode_connection(head))
		return -EBADMSG;
	return 0;
}

int http1_decode_response(struct http_head *head, const char *bytes, size_t len, bool to_head)
{
	struct decoder decoder;
	bool framed;
	int err;

	err = split(&decoder, HTTP_RESPONSE, head, bytes, len);
	if (err)
		return err;
	/* "HTTP/1.1 200 OK": the code has three digits, a blank on either side. */
	if (len < 14 || check_version(bytes, 8, &head->minor) || bytes[8] != ' ' ||
	    (bytes[12] != ' ' && bytes[12] != '\r') || bytes[9] < '1' || bytes[9] > '5' ||
	    bytes[10] < '0' || bytes[10] > '9' || bytes[11] < '0' || bytes[11] > '9')
		return -EBADMSG;
	head->status = (bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + (bytes[11] - '0');
	if (!http_is_field_value(head->reason) || check_fields(head) || decode_framing(head) ||
	    decode_connection(head))
		return -EBADMSG;
	framed = head->framing != HTTP_BODY_NONE;
	/* RFC 9112 6.3: no body, whatever the fields say. */
	if (to_head || head->status < 200 || head->status == 204 || head->status == 304)
		head->framing = HTTP_BODY_NONE;
	else if (!framed)
		head->framing = HTTP_BODY_CLOSE;
	return 0;
}

int http1_decode_trailers(struct http_head *head, const char *bytes, size_t len)
{
	static const char line[] = "GET / HTTP/1.1\r\n";
	struct decoder decoder;
	struct http_field *fields = head->fields;
	unsigned int fields_max = head->fields_max;

	memset(head, 0, sizeof(*head));
	head->fields = fields;
	head->fields_max = fields_max;
	memset(&decoder, 0, sizeof(decoder));
	decoder.head = head;
	/* A trailer section is a head without its first line: give it one. */
	llhttp_init(&decoder.llhttp, HTTP_REQUEST, &llhttp_settings);
	decoder.llhttp.data = &decoder;
	if (llhttp_execute(&decoder.llhttp, line, sizeof(line) - 1) != HPE_OK)
		return -EBADMSG;
	if (llhttp_execute(&decoder.llhttp, bytes, len) != HPE_PAUSED_UPGRADE ||
	    llhttp_get_error_pos(&decoder.llhttp) != bytes + len)
		return decoder.error ? decoder.error : -EBADMSG;
	return check_fields(head);
}
