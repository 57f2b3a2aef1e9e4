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
	uint8_t all = class;
	size_t i;

	/* Nearly always true to the end: no branch in the loop. */
	for (i = 0; i < text.len; i++)
		all &= byte_class[(uint8_t)text.data[i]];
	return all == class;
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

struct known_field {
	const char	*name;
	uint8_t		len, id;
	bool		prefix;
};

#define FIELD(text, id) {text, sizeof(text) - 1, id, false}
#define PREFIX(text, id) {text, sizeof(text) - 1, id, true}
static const struct known_field known_a[] = {
	FIELD("accept", HTTP_FIELD_ACCEPT),
	FIELD("authorization", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_c[] = {
	FIELD("cache-control", HTTP_FIELD_NO_TRAILER),
	FIELD("cf-connecting-ip", HTTP_FIELD_FORWARDED),
	FIELD("client-ip", HTTP_FIELD_FORWARDED),
	FIELD("connection", HTTP_FIELD_CONNECTION),
	FIELD("content-encoding", HTTP_FIELD_NO_TRAILER),
	FIELD("content-length", HTTP_FIELD_CONTENT_LENGTH),
	FIELD("content-range", HTTP_FIELD_NO_TRAILER),
	FIELD("content-type", HTTP_FIELD_NO_TRAILER),
	FIELD("cookie", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_e[] = {
	FIELD("expect", HTTP_FIELD_EXPECT),
};
static const struct known_field known_f[] = {
	FIELD("forwarded", HTTP_FIELD_FORWARDED),
};
static const struct known_field known_h[] = {
	FIELD("host", HTTP_FIELD_HOST),
	FIELD("http2-settings", HTTP_FIELD_HOP),
};
static const struct known_field known_k[] = {
	FIELD("keep-alive", HTTP_FIELD_HOP),
};
static const struct known_field known_l[] = {
	FIELD("location", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_m[] = {
	FIELD("max-forwards", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_p[] = {
	FIELD("pragma", HTTP_FIELD_NO_TRAILER),
	FIELD("proxy-authenticate", HTTP_FIELD_HOP),
	FIELD("proxy-authorization", HTTP_FIELD_HOP),
	FIELD("proxy-connection", HTTP_FIELD_HOP),
};
static const struct known_field known_r[] = {
	FIELD("range", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_s[] = {
	FIELD("set-cookie", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_t[] = {
	FIELD("te", HTTP_FIELD_TE),
	FIELD("trailer", HTTP_FIELD_TRAILER),
	FIELD("transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING),
	FIELD("true-client-ip", HTTP_FIELD_FORWARDED),
};
static const struct known_field known_u[] = {
	FIELD("upgrade", HTTP_FIELD_UPGRADE),
};
static const struct known_field known_w[] = {
	FIELD("www-authenticate", HTTP_FIELD_NO_TRAILER),
};
static const struct known_field known_x[] = {
	FIELD("x-client-ip", HTTP_FIELD_FORWARDED),
	FIELD("x-cluster-client-ip", HTTP_FIELD_FORWARDED),
	PREFIX("x-forwarded-", HTTP_FIELD_FORWARDED),
	PREFIX("x-hoody-", HTTP_FIELD_HOODY),
	FIELD("x-original-forwarded-for", HTTP_FIELD_FORWARDED),
	FIELD("x-real-ip", HTTP_FIELD_FORWARDED),
};
#undef FIELD
#undef PREFIX

/* By the first letter: every field of every message is looked for. */
#define LETTER(letter, fields) \
	[letter - 'a'] = {fields, sizeof(fields) / sizeof((fields)[0])}
static const struct {
	const struct known_field	*fields;
	size_t				count;
} known_fields['z' - 'a' + 1] = {
	LETTER('a', known_a),
	LETTER('c', known_c),
	LETTER('e', known_e),
	LETTER('f', known_f),
	LETTER('h', known_h),
	LETTER('k', known_k),
	LETTER('l', known_l),
	LETTER('m', known_m),
	LETTER('p', known_p),
	LETTER('r', known_r),
	LETTER('s', known_s),
	LETTER('t', known_t),
	LETTER('u', known_u),
	LETTER('w', known_w),
	LETTER('x', known_x),
};
#undef LETTER

enum http_field_id http_field_classify(struct http_text name)
{
	unsigned int letter = name.len ? (unsigned int)lower(name.data[0]) - 'a' : 'z';
	const struct known_field *field;
	size_t i;

	if (letter > 'z' - 'a')
		return HTTP_FIELD_OTHER;
	for (i = 0; i < known_fields[letter].count; i++) {
		field = &known_fields[letter].fields[i];
		if (field->prefix ? name.len < field->len : name.len != field->len)
			continue;
		if (name_is(name, field->name, field->len))
			return field->id;
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

size_t http_number(char *at, uint64_t number)
{
	char digits[HTTP_NUMBER_MAX];
	size_t count = 0, i;

	do {
		digits[count++] = '0' + number % 10;
		number /= 10;
	} while (number);
	for (i = 0; i < count; i++)
		at[i] = digits[count - 1 - i];
	return count;
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
