/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP messages without a wire format, see http.h. Pure functions.
 */
#include "lib/http.h"

#include <string.h>

#define VALUE	1
#define TOKEN	3	/* what may stand in a token may stand in a value */

/* RFC 9110 5.6.2 (tchar) and 5.5 (field-vchar, SP, HTAB). */
static const uint8_t byte_class[256] = {
	['\t'] = VALUE,		[' '] = VALUE,		['!'] = TOKEN,
	['"'] = VALUE,		['#' ... '\''] = TOKEN, ['(' ... ')'] = VALUE,
	['*' ... '+'] = TOKEN,	[','] = VALUE,		['-' ... '.'] = TOKEN,
	['/'] = VALUE,		['0' ... '9'] = TOKEN,	[':' ... '@'] = VALUE,
	['A' ... 'Z'] = TOKEN,	['[' ... ']'] = VALUE,	['^' ... 'z'] = TOKEN,
	['{'] = VALUE,		['|'] = TOKEN,		['}'] = VALUE,
	['~'] = TOKEN,		[0x80 ... 0xff] = VALUE,
};

static bool all_in_class(struct http_text text, uint8_t class)
{
	size_t i;

	for (i = 0; i < text.len; i++) {
		if ((byte_class[(uint8_t)text.data[i]] & class) != class)
			return false;
	}
	return true;
}

bool http_is_token(struct http_text text)
{
	return text.len && all_in_class(text, TOKEN);
}

bool http_is_field_value(struct http_text text)
{
	return all_in_class(text, VALUE);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool http_text_equal(struct http_text a, struct http_text b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++) {
		if (lower(a.data[i]) != lower(b.data[i]))
			return false;
	}
	return true;
}

/*
 * Lower case with '_' as '-': CGI and what descends from it cannot tell the two
 * apart, so X_Forwarded_For must not pass where X-Forwarded-For does not.
 */
static bool name_is(struct http_text name, const char *what, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = lower(name.data[i]);

		if ((c == '_' ? '-' : c) != what[i])
			return false;
	}
	return true;
}

static const struct {
	const char	*name;
	uint8_t		len, id;
	bool		prefix;
} known_fields[] = {
#define FIELD(text, id) {text, sizeof(text) - 1, id, false}
#define PREFIX(text, id) {text, sizeof(text) - 1, id, true}
	FIELD("accept", HTTP_FIELD_ACCEPT),
	FIELD("authorization", HTTP_FIELD_NO_TRAILER),
	FIELD("cache-control", HTTP_FIELD_NO_TRAILER),
	FIELD("cf-connecting-ip", HTTP_FIELD_FORWARDED),
	FIELD("client-ip", HTTP_FIELD_FORWARDED),
	FIELD("connection", HTTP_FIELD_CONNECTION),
	FIELD("content-encoding", HTTP_FIELD_NO_TRAILER),
	FIELD("content-length", HTTP_FIELD_CONTENT_LENGTH),
	FIELD("content-range", HTTP_FIELD_NO_TRAILER),
	FIELD("content-type", HTTP_FIELD_NO_TRAILER),
	FIELD("cookie", HTTP_FIELD_NO_TRAILER),
	FIELD("expect", HTTP_FIELD_EXPECT),
	FIELD("forwarded", HTTP_FIELD_FORWARDED),
	FIELD("host", HTTP_FIELD_HOST),
	FIELD("http2-settings", HTTP_FIELD_HOP),
	FIELD("keep-alive", HTTP_FIELD_HOP),
	FIELD("location", HTTP_FIELD_NO_TRAILER),
	FIELD("max-forwards", HTTP_FIELD_NO_TRAILER),
	FIELD("pragma", HTTP_FIELD_NO_TRAILER),
	FIELD("proxy-authenticate", HTTP_FIELD_HOP),
	FIELD("proxy-authorization", HTTP_FIELD_HOP),
	FIELD("proxy-connection", HTTP_FIELD_HOP),
	FIELD("range", HTTP_FIELD_NO_TRAILER),
	FIELD("set-cookie", HTTP_FIELD_NO_TRAILER),
	FIELD("te", HTTP_FIELD_TE),
	FIELD("trailer", HTTP_FIELD_TRAILER),
	FIELD("transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING),
	FIELD("true-client-ip", HTTP_FIELD_FORWARDED),
	FIELD("upgrade", HTTP_FIELD_UPGRADE),
	FIELD("www-authenticate", HTTP_FIELD_NO_TRAILER),
	FIELD("x-client-ip", HTTP_FIELD_FORWARDED),
	FIELD("x-cluster-client-ip", HTTP_FIELD_FORWARDED),
	PREFIX("x-forwarded-", HTTP_FIELD_FORWARDED),
	PREFIX("x-hoody-", HTTP_FIELD_HOODY),
	FIELD("x-original-forwarded-for", HTTP_FIELD_FORWARDED),
	FIELD("x-real-ip", HTTP_FIELD_FORWARDED),
#undef FIELD
#undef PREFIX
};

/* The first entry of the table, which is sorted, that may begin with @letter. */
static size_t first_known(char letter)
{
	size_t low = 0, high = sizeof(known_fields) / sizeof(known_fields[0]);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (known_fields[middle].name[0] < letter)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

enum http_field_id http_field_classify(struct http_text name)
{
	char first = name.len ? lower(name.data[0]) : 0;
	size_t i;

	for (i = first_known(first); i < sizeof(known_fields) / sizeof(known_fields[0]); i++) {
		if (known_fields[i].name[0] != first)
			break;
		if (known_fields[i].prefix ? name.len < known_fields[i].len :
					     name.len != known_fields[i].len)
			continue;
		if (name_is(name, known_fields[i].name, known_fields[i].len))
			return known_fields[i].id;
	}
	return HTTP_FIELD_OTHER;
}

static const struct {
	struct http_text	name;
	enum http_method	method;
} methods[] = {
	{{"GET", 3}, HTTP_METHOD_GET},	     {{"HEAD", 4}, HTTP_METHOD_HEAD},
	{{"POST", 4}, HTTP_METHOD_POST},     {{"PUT", 3}, HTTP_METHOD_PUT},
	{{"DELETE", 6}, HTTP_METHOD_DELETE}, {{"OPTIONS", 7}, HTTP_METHOD_OPTIONS},
	{{"TRACE", 5}, HTTP_METHOD_TRACE},   {{"CONNECT", 7}, HTTP_METHOD_CONNECT},
};

enum http_method http_method_classify(struct http_text name)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		/* Methods are case-sensitive (RFC 9110 9.1). */
		if (name.len == methods[i].name.len &&
		    !memcmp(name.data, methods[i].name.data, name.len))
			return methods[i].method;
	}
	return HTTP_METHOD_OTHER;
}

bool http_method_idempotent(enum http_method method, struct http_text name)
{
	/* Also idempotent by their registration with IANA. */
	static const struct http_text others[] = {
		{"PROPFIND", 8}, {"REPORT", 6}, {"SEARCH", 6}, {"QUERY", 5}, {"MKCOL", 5},
		{"COPY", 4},	 {"MOVE", 4},	{"UNLOCK", 6}, {"PROPPATCH", 9},
	};
	size_t i;

	switch (method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_PUT:
	case HTTP_METHOD_DELETE:
	case HTTP_METHOD_OPTIONS:
	case HTTP_METHOD_TRACE:
		return true;
	case HTTP_METHOD_OTHER:
		break;
	default:
		return false;
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (name.len == others[i].len && !memcmp(name.data, others[i].data, name.len))
			return true;
	}
	return false;
}

bool http_list_next(struct http_text *list, struct http_text *element)
{
	const char *at = list->data, *end = at + list->len, *last;

	while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
		at++;
	if (at == end)
		return false;
	element->data = at;
	while (at < end && *at != ',')
		at++;
	list->data = at;
	list->len = end - at;
	for (last = at; last[-1] == ' ' || last[-1] == '\t';)
		last--;
	element->len = last - element->data;
	return true;
}

bool http_head_add(struct http_head *head, struct http_text name, struct http_text value)
{
	struct http_field *field;

	if (head->fields_count >= head->fields_max)
		return false;
	field = &head->fields[head->fields_count++];
	field->name = name;
	field->value = value;
	field->id = HTTP_FIELD_OTHER;
	field->drop = false;
	return true;
}

/* Drops every field that is called @name. */
static void drop_named(struct http_head *head, struct http_text name)
{
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		/* Host is no option of a connection; dropping it would reroute. */
		if (head->fields[i].id != HTTP_FIELD_HOST &&
		    http_text_equal(head->fields[i].name, name))
			head->fields[i].drop = true;
	}
}

void http_head_strip_hops(struct http_head *head)
{
	struct http_text list, name;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		switch (head->fields[i].id) {
		case HTTP_FIELD_CONNECTION:
			list = head->fields[i].value;
			while (http_list_next(&list, &name)) {
				if (!http_text_equal(name, HTTP_TEXT("close")) &&
				    !http_text_equal(name, HTTP_TEXT("keep-alive")))
					drop_named(head, name);
			}
			/* fall through */
		case HTTP_FIELD_HOP:
		case HTTP_FIELD_TE:
		case HTTP_FIELD_UPGRADE:
		case HTTP_FIELD_CONTENT_LENGTH:
		case HTTP_FIELD_TRANSFER_ENCODING:
			head->fields[i].drop = true;
			break;
		default:
			break;
		}
	}
}

bool http_trailer_allowed(enum http_field_id id)
{
	return id == HTTP_FIELD_OTHER;
}

struct http_text http_reason(unsigned int status)
{
	switch (status) {
	case 200:
		return HTTP_TEXT("OK");
	case 308:
		return HTTP_TEXT("Permanent Redirect");
	case 400:
		return HTTP_TEXT("Bad Request");
	case 404:
		return HTTP_TEXT("Not Found");
	case 405:
		return HTTP_TEXT("Method Not Allowed");
	case 408:
		return HTTP_TEXT("Request Timeout");
	case 414:
		return HTTP_TEXT("URI Too Long");
	case 431:
		return HTTP_TEXT("Request Header Fields Too Large");
	case 500:
		return HTTP_TEXT("Internal Server Error");
	case 501:
		return HTTP_TEXT("Not Implemented");
	case 502:
		return HTTP_TEXT("Bad Gateway");
	case 503:
		return HTTP_TEXT("Service Unavailable");
	case 504:
		return HTTP_TEXT("Gateway Timeout");
	case 505:
		return HTTP_TEXT("HTTP Version Not Supported");
	default:
		return HTTP_TEXT("");
	}
}
