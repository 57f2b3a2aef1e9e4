/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1 codec: what it takes, what it refuses, and that it does not matter
 * where the bytes are cut. The refusals are the shapes that request smuggling
 * takes; each of them must be -EBADMSG, or the errno beside it.
 */
#include <errno.h>
#include <string.h>

#include "lib/http1.h"
#include "lib/http1_chunk.h"
#include "tap.h"

#define FIELDS	16
#define H	"Host: a.example\r\n"
#define END	"\r\n"
#define OPTIONS_11	"a,b,c,d,e,f,g,h,i,j,k,"
#define OPTIONS_33	OPTIONS_11 OPTIONS_11 OPTIONS_11
#define TEXT(text)	(text), sizeof(text) - 1

static struct http_field fields[FIELDS];

/* Finds and decodes one head, fed in two pieces cut at @cut. */
static int decode(const char *bytes, size_t len, size_t cut, bool response, struct http_head *head)
{
	size_t scanned = 0;
	char *copy = malloc(len + 1);
	ssize_t found;
	int err;

	memcpy(copy, bytes, len);
	found = http1_head_length(copy, cut, &scanned);
	if (!found)
		found = http1_head_length(copy, len, &scanned);
	head->fields = fields;
	head->fields_max = FIELDS;
	if (found < 0)
		err = found;
	else if (!found)
		err = -EAGAIN;
	else if (response)
		err = http1_decode_response(head, copy, found, false);
	else
		err = http1_decode_request(head, copy, found);
	free(copy);
	return err;
}

static const struct {
	const char		*name, *bytes;
	size_t			len;
	enum http_framing	framing;
	uint64_t		length;
	bool			persistent, upgrade;
} good_requests[] = {
	{"get", TEXT("GET / HTTP/1.1\r\n" H END), HTTP_BODY_NONE, 0, true, false},
	{"get_close", TEXT("GET / HTTP/1.1\r\n" H "Connection: Close\r\n" END), HTTP_BODY_NONE, 0,
	 false, false},
	{"http10", TEXT("GET / HTTP/1.0\r\n" END), HTTP_BODY_NONE, 0, false, false},
	{"http10_keep", TEXT("GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n" END),
	 HTTP_BODY_NONE, 0, true, false},
	{"length", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n" END), HTTP_BODY_LENGTH, 5,
	 true, false},
	{"length_leading_zeros", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 0005\r\n" END),
	 HTTP_BODY_LENGTH, 5, true, false},
	{"length_blanks_around", TEXT("POST / HTTP/1.1\r\n" H "Content-Length:   5  \r\n" END),
	 HTTP_BODY_LENGTH, 5, true, false},
	{"chunked", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n" END),
	 HTTP_BODY_STREAM, 0, true, false},
	{"upgrade", TEXT("GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\n"
			 "Upgrade: websocket\r\n" END), HTTP_BODY_NONE, 0, true, true},
	{"absolute_form", TEXT("GET http://a.example/x?y HTTP/1.1\r\n" H END), HTTP_BODY_NONE, 0,
	 true, false},
	{"absolute_form_case", TEXT("GET HTTP://A.example HTTP/1.1\r\n" H END), HTTP_BODY_NONE, 0,
	 true, false},
	{"asterisk", TEXT("OPTIONS * HTTP/1.1\r\n" H END), HTTP_BODY_NONE, 0, true, false},
	{"empty_value", TEXT("GET / HTTP/1.1\r\n" H "X:\r\n" END), HTTP_BODY_NONE, 0, true, false},
	{"obs_text", TEXT("GET / HTTP/1.1\r\n" H "X: \xc3\xbc\r\n" END), HTTP_BODY_NONE, 0, true,
	 false},
	{"connect", TEXT("CONNECT a.example:443 HTTP/1.1\r\n" H END), HTTP_BODY_NONE, 0, true,
	 false},
};

/* 0 stands for -EBADMSG. */
static const struct {
	const char	*name, *bytes;
	size_t		len;
	int		err;
} bad_requests[] = {
	{"bare_lf_line", TEXT("GET / HTTP/1.1\n" H END), 0},
	{"bare_lf_field", TEXT("GET / HTTP/1.1\r\nHost: a.example\n" END), 0},
	{"bare_lf_end", TEXT("GET / HTTP/1.1\r\n" H "\n"), 0},
	{"bare_cr_line", TEXT("GET / HTTP/1.1\r" H END), 0},
	{"bare_cr_value", TEXT("GET / HTTP/1.1\r\n" H "X: a\rb\r\n" END), 0},
	{"bare_cr_name", TEXT("GET / HTTP/1.1\r\n" H "X\r: a\r\n" END), 0},
	{"cr_cr_lf", TEXT("GET / HTTP/1.1\r\r\n" H END), 0},
	{"cr_cr_lf_field", TEXT("GET / HTTP/1.1\r\n" H "X: a\r\r\n" END), 0},
	{"nul_value", TEXT("GET / HTTP/1.1\r\n" H "X: a\0b\r\n" END), 0},
	{"nul_name", TEXT("GET / HTTP/1.1\r\n" H "X\0: a\r\n" END), 0},
	{"nul_target", TEXT("GET /\0 HTTP/1.1\r\n" H END), 0},
	{"control_value", TEXT("GET / HTTP/1.1\r\n" H "X: a\x01\r\n" END), 0},
	{"del_value", TEXT("GET / HTTP/1.1\r\n" H "X: a\x7f\r\n" END), 0},
	{"obs_fold_space", TEXT("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n" END), 0},
	{"obs_fold_tab", TEXT("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n" END), 0},
	{"obs_fold_first", TEXT("GET / HTTP/1.1\r\n X: a\r\n" H END), 0},
	{"space_before_colon", TEXT("GET / HTTP/1.1\r\n" H "X : a\r\n" END), 0},
	{"tab_before_colon", TEXT("GET / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n" END), 0},
	{"space_in_name", TEXT("GET / HTTP/1.1\r\n" H "X Y: a\r\n" END), 0},
	{"no_colon", TEXT("GET / HTTP/1.1\r\n" H "X\r\n" END), 0},
	{"empty_name", TEXT("GET / HTTP/1.1\r\n" H ": a\r\n" END), 0},
	{"name_bytes", TEXT("GET / HTTP/1.1\r\n" H "X(): a\r\n" END), 0},
	{"name_high", TEXT("GET / HTTP/1.1\r\n" H "X\xff: a\r\n" END), 0},
	{"two_lengths", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n" END), 0},
	{"same_lengths", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n" END), 0},
	{"length_list", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n" END), 0},
	{"length_plus", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n" END), 0},
	{"length_minus", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n" END), 0},
	{"length_hex", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n" END), 0},
	{"length_inner_space", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5 0\r\n" END), 0},
	{"length_empty", TEXT("POST / HTTP/1.1\r\n" H "Content-Length:\r\n" END), 0},
	{"length_overflow", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n" END), 0},
	{"length_underscore", TEXT("POST / HTTP/1.1\r\n" H "Content_Length: 5\r\n" END), 0},
	{"length_and_chunked", TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n"
				    "Transfer-Encoding: chunked\r\n" END), 0},
	{"chunked_and_length", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
				    "Content-Length: 5\r\n" END), 0},
	{"chunked_twice", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
			       "Transfer-Encoding: chunked\r\n" END), 0},
	{"chunked_list", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" END), 0},
	{"gzip_chunked", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" END), 0},
	{"chunked_identity", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n" END), 0},
	{"identity", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n" END), 0},
	{"xchunked", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" END), 0},
	{"chunked_quoted", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" END), 0},
	{"chunked_parameter", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n" END), 0},
	{"chunked_vt", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n" END), 0},
	{"te_empty", TEXT("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" END), 0},
	{"te_underscore", TEXT("POST / HTTP/1.1\r\n" H "Transfer_Encoding: chunked\r\n" END), 0},
	{"te_in_10", TEXT("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" END), 0},
	{"two_hosts", TEXT("GET / HTTP/1.1\r\n" H "Host: b.example\r\n" END), 0},
	{"two_same_hosts", TEXT("GET / HTTP/1.1\r\n" H H END), 0},
	{"two_hosts_10", TEXT("GET / HTTP/1.0\r\n" H "Host: b.example\r\n" END), 0},
	{"no_host", TEXT("GET / HTTP/1.1\r\n" END), 0},
	{"empty_host", TEXT("GET / HTTP/1.1\r\nHost:\r\n" END), 0},
	{"absolute_other_host", TEXT("GET http://b.example/ HTTP/1.1\r\n" H END), 0},
	{"absolute_no_host", TEXT("GET http:///x HTTP/1.1\r\n" H END), 0},
	{"absolute_userinfo", TEXT("GET http://u@a.example/ HTTP/1.1\r\n" H END), 0},
	{"absolute_ftp", TEXT("GET ftp://a.example/ HTTP/1.1\r\n" H END), 0},
	{"absolute_query", TEXT("GET http://a.example?x HTTP/1.1\r\n" H END), 0},
	{"authority_form_get", TEXT("GET a.example:80 HTTP/1.1\r\n" H END), 0},
	{"asterisk_get", TEXT("GET * HTTP/1.1\r\n" H END), 0},
	{"relative_target", TEXT("GET x HTTP/1.1\r\n" H END), 0},
	{"fragment", TEXT("GET /#x HTTP/1.1\r\n" H END), 0},
	{"high_target", TEXT("GET /\xff HTTP/1.1\r\n" H END), 0},
	{"two_spaces", TEXT("GET  / HTTP/1.1\r\n" H END), 0},
	{"space_in_target", TEXT("GET / x HTTP/1.1\r\n" H END), 0},
	{"two_spaces_version", TEXT("GET /  HTTP/1.1\r\n" H END), 0},
	{"tab_separator", TEXT("GET\t/ HTTP/1.1\r\n" H END), 0},
	{"trailing_space_line", TEXT("GET / HTTP/1.1 \r\n" H END), 0},
	{"leading_space", TEXT(" GET / HTTP/1.1\r\n" H END), 0},
	{"no_version", TEXT("GET /aaaaaaaaaaaaa\r\n" H END), 0},
	{"http_09", TEXT("GET / HTTP/0.9\r\n" H END), -EPROTONOSUPPORT},
	{"http_12", TEXT("GET / HTTP/1.2\r\n" H END), -EPROTONOSUPPORT},
	{"http_20", TEXT("GET / HTTP/2.0\r\n" H END), -EPROTONOSUPPORT},
	{"http_lower", TEXT("GET / http/1.1\r\n" H END), 0},
	{"rtsp", TEXT("DESCRIBE / RTSP/1.0\r\n" H END), 0},
	{"ice", TEXT("SOURCE / ICE/1.0\r\n" H END), 0},
	{"h2_preface", TEXT("PRI * HTTP/2.0\r\n\r\n"), -EPROTONOSUPPORT},
	{"unknown_method", TEXT("FROB / HTTP/1.1\r\n" H END), -ENOSYS},
	{"lower_method", TEXT("get / HTTP/1.1\r\n" H END), -ENOSYS},
	{"method_bytes", TEXT("G@T / HTTP/1.1\r\n" H END), 0},
	{"tls_hello", TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03xxxx\r\n\r\n"), 0},
	{"too_many_options", TEXT("GET / HTTP/1.1\r\n" H "Connection: " OPTIONS_33 "\r\n" END), 0},
	{"too_many_fields", TEXT("GET / HTTP/1.1\r\n" H "A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\n"
	 "A: 6\r\nA: 7\r\nA: 8\r\nA: 9\r\nA: 10\r\nA: 11\r\nA: 12\r\nA: 13\r\nA: 14\r\nA: 15\r\n"
	 "A: 16\r\n" END), -E2BIG},
};

static const struct {
	const char		*name, *bytes;
	size_t			len;
	int			err;	/* 1: fine */
	unsigned int		status;
	enum http_framing	framing;
} responses[] = {
	{"ok", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END), 1, 200, HTTP_BODY_LENGTH},
	{"no_reason", TEXT("HTTP/1.1 200\r\nContent-Length: 5\r\n" END), 1, 200, HTTP_BODY_LENGTH},
	{"empty_reason", TEXT("HTTP/1.1 200 \r\n" END), 1, 200, HTTP_BODY_CLOSE},
	{"chunked", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END), 1, 200,
	 HTTP_BODY_STREAM},
	{"until_close", TEXT("HTTP/1.0 200 OK\r\n" END), 1, 200, HTTP_BODY_CLOSE},
	{"no_content", TEXT("HTTP/1.1 204 No Content\r\n" END), 1, 204, HTTP_BODY_NONE},
	{"no_content_length", TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END), 1, 204,
	 HTTP_BODY_NONE},
	{"not_modified", TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" END), 1, 304,
	 HTTP_BODY_NONE},
	{"continue", TEXT("HTTP/1.1 100 Continue\r\n" END), 1, 100, HTTP_BODY_NONE},
	{"hints", TEXT("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n" END), 1, 103, HTTP_BODY_NONE},
	{"switch", TEXT("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n" END), 1, 101,
	 HTTP_BODY_NONE},
	{"not_http", TEXT("hello, this is no http\r\n" END), 0, 0, 0},
	{"http_20", TEXT("HTTP/2.0 200 OK\r\n" END), 0, 0, 0},
	{"two_digits", TEXT("HTTP/1.1 20 OK\r\n" END), 0, 0, 0},
	{"four_digits", TEXT("HTTP/1.1 2000 OK\r\n" END), 0, 0, 0},
	{"status_000", TEXT("HTTP/1.1 000 OK\r\n" END), 0, 0, 0},
	{"status_600", TEXT("HTTP/1.1 600 OK\r\n" END), 0, 0, 0},
	{"two_spaces", TEXT("HTTP/1.1  200 OK\r\n" END), 0, 0, 0},
	{"bare_lf", TEXT("HTTP/1.1 200 OK\nContent-Length: 5\n\n"), 0, 0, 0},
	{"nul_reason", TEXT("HTTP/1.1 200 O\0K\r\n" END), 0, 0, 0},
	{"cr_reason", TEXT("HTTP/1.1 200 O\rK\r\n" END), 0, 0, 0},
	{"two_lengths", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n" END), 0, 0, 0},
	{"length_chunked", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
				"Transfer-Encoding: chunked\r\n" END), 0, 0, 0},
	{"te_other", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n" END), 0, 0, 0},
	{"te_10", TEXT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END), 0, 0, 0},
	{"obs_fold", TEXT("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n" END), 0, 0, 0},
	{"space_colon", TEXT("HTTP/1.1 200 OK\r\nX : a\r\n" END), 0, 0, 0},
};

static const struct {
	const char	*name, *bytes;
	size_t		len;
	const char	*data;		/* NULL: malformed */
} bodies[] = {
	{"one", TEXT("5\r\nhello\r\n0\r\n\r\n"), "hello"},
	{"two", TEXT("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), "hello"},
	{"hex", TEXT("A\r\n0123456789\r\n00b\r\n0123456789a\r\n000\r\n\r\n"), "01234567890123456789a"},
	{"extension", TEXT("5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n"), "hello"},
	{"empty", TEXT("0\r\n\r\n"), ""},
	{"no_size", TEXT("\r\nhello\r\n0\r\n\r\n"), NULL},
	{"not_hex", TEXT("g\r\nhello\r\n0\r\n\r\n"), NULL},
	{"prefix_0x", TEXT("0x5\r\nhello\r\n0\r\n\r\n"), NULL},
	{"minus", TEXT("-5\r\nhello\r\n0\r\n\r\n"), NULL},
	{"plus", TEXT("+5\r\nhello\r\n0\r\n\r\n"), NULL},
	{"space_before", TEXT(" 5\r\nhello\r\n0\r\n\r\n"), NULL},
	{"space_after", TEXT("5 \r\nhello\r\n0\r\n\r\n"), NULL},
	{"overflow", TEXT("10000000000000005\r\nhello\r\n0\r\n\r\n"), NULL},
	{"long_zeros", TEXT("0000000000000005\r\nhello\r\n0\r\n\r\n"), NULL},
	{"bare_lf_size", TEXT("5\nhello\r\n0\r\n\r\n"), NULL},
	{"bare_lf_extension", TEXT("5;a\nhello\r\n0\r\n\r\n"), NULL},
	{"bare_cr_extension", TEXT("5;a\rb\r\nhello\r\n0\r\n\r\n"), NULL},
	{"nul_extension", TEXT("5;a\0\r\nhello\r\n0\r\n\r\n"), NULL},
	{"bare_lf_data", TEXT("5\r\nhello\n0\r\n\r\n"), NULL},
	{"bare_cr_data", TEXT("5\r\nhello\r0\r\n\r\n"), NULL},
	{"short_chunk", TEXT("4\r\nhello\r\n0\r\n\r\n"), NULL},
	{"long_chunk", TEXT("6\r\nhello\r\n0\r\n\r\n"), NULL},
};

/* The body of @index fed in two pieces; false where that went otherwise than it should. */
static bool body_as_expected(size_t index, size_t cut)
{
	const char *pieces[3] = {bodies[index].bytes, bodies[index].bytes + cut,
				 bodies[index].bytes + bodies[index].len};
	struct http1_chunk chunk;
	struct http_text data;
	char got[128];
	size_t len = 0;
	int piece, event = HTTP1_CHUNK_MORE;
	const char *at;

	http1_chunk_setup(&chunk);
	for (piece = 0; piece < 2 && event == HTTP1_CHUNK_MORE; piece++) {
		at = pieces[piece];
		do {
			event = http1_chunk_next(&chunk, &at, pieces[piece + 1], &data);
			if (event == HTTP1_CHUNK_DATA) {
				memcpy(got + len, data.data, data.len);
				len += data.len;
			}
		} while (event == HTTP1_CHUNK_DATA);
	}
	if (!bodies[index].data)
		return event == -EBADMSG;
	return event == HTTP1_CHUNK_LAST && len == strlen(bodies[index].data) &&
	       !memcmp(got, bodies[index].data, len);
}

static void test_requests(void)
{
	struct http_head head;
	size_t i, cut;
	bool passed;

	for (i = 0; i < sizeof(good_requests) / sizeof(good_requests[0]); i++) {
		passed = true;
		for (cut = 0; passed && cut <= good_requests[i].len; cut++)
			passed = !decode(good_requests[i].bytes, good_requests[i].len, cut, false,
					 &head) &&
				 head.framing == good_requests[i].framing &&
				 head.length == good_requests[i].length &&
				 head.persistent == good_requests[i].persistent &&
				 head.upgrade == good_requests[i].upgrade;
		tap_ok(passed, "http1_takes %s", good_requests[i].name);
	}
	for (i = 0; i < sizeof(bad_requests) / sizeof(bad_requests[0]); i++) {
		int wanted = bad_requests[i].err ? bad_requests[i].err : -EBADMSG, err = 0;

		passed = true;
		for (cut = 0; passed && cut <= bad_requests[i].len; cut++) {
			err = decode(bad_requests[i].bytes, bad_requests[i].len, cut, false, &head);
			passed = err == wanted;
		}
		if (!tap_ok(passed, "http1_refuses %s", bad_requests[i].name))
			tap_note("cut at %zu: %d, wanted %d", cut - 1, err, wanted);
	}
}

static void test_responses(void)
{
	struct http_head head;
	size_t i, cut;
	bool passed;

	for (i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		int err = 0;

		passed = true;
		for (cut = 0; passed && cut <= responses[i].len; cut++) {
			err = decode(responses[i].bytes, responses[i].len, cut, true, &head);
			if (responses[i].err == 1)
				passed = !err && head.status == responses[i].status &&
					 head.framing == responses[i].framing;
			else
				passed = err < 0 && err != -EAGAIN;
		}
		if (!tap_ok(passed, "http1_response %s", responses[i].name))
			tap_note("cut at %zu: %d", cut - 1, err);
	}
}

static void test_bodies(void)
{
	size_t i, cut;
	bool passed;

	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		passed = true;
		for (cut = 0; passed && cut <= bodies[i].len; cut++)
			passed = body_as_expected(i, cut);
		tap_ok(passed, "http1_chunked %s", bodies[i].name);
	}
}

/* Extensions are bounded over the whole body, however they are spread. */
static bool extensions_bounded(void)
{
	static const char piece[] = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n";
	struct http1_chunk chunk;
	struct http_text data;
	const char *at;
	int i, event = HTTP1_CHUNK_MORE;

	http1_chunk_setup(&chunk);
	for (i = 0; i < 2 * HTTP1_CHUNK_EXTENSIONS_MAX / 31; i++) {
		at = piece;
		while ((event = http1_chunk_next(&chunk, &at, piece + sizeof(piece) - 1, &data)) ==
		       HTTP1_CHUNK_DATA)
			;
		if (event < 0)
			break;
	}
	return event == -EBADMSG && i >= HTTP1_CHUNK_EXTENSIONS_MAX / 32 - 1;
}

static bool hops_stripped(void)
{
	static const char bytes[] =
		"GET / HTTP/1.1\r\n" H "Connection: x-one, TE , close\r\nX-One: 1\r\nX-Two: 2\r\n"
		"TE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: y\r\n"
		"Proxy-Authorization: z\r\n" END;
	struct http_head head = {.fields = fields, .fields_max = FIELDS};
	unsigned int i, kept = 0;

	if (http1_decode_request(&head, bytes, sizeof(bytes) - 1))
		return false;
	http_head_strip_hops(&head);
	for (i = 0; i < head.fields_count; i++)
		kept += !head.fields[i].drop;
	return kept == 2 && !head.fields[0].drop && !head.fields[3].drop;
}

static bool encodes(void)
{
	struct http_field two[2];
	struct http_head head = {.fields = two, .fields_max = 2, .method = HTTP_METHOD_POST};
	struct http1_encoding encoding = {.framing = HTTP_BODY_STREAM};
	static const char wanted[] = "POST /x HTTP/1.1\r\nHost: a.example\r\nA: 1\r\n"
				     "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	struct buf_pool pool;
	struct buf out = {0};
	bool passed;

	buf_pool_setup(&pool);
	head.method_name = HTTP_TEXT("POST");
	head.target = HTTP_TEXT("/x");
	head.authority = HTTP_TEXT("a.example");
	http_head_add(&head, HTTP_TEXT("A"), HTTP_TEXT("1"));
	http_head_add(&head, HTTP_TEXT("B"), HTTP_TEXT("2"));
	two[1].drop = true;
	passed = !http_head_add(&head, HTTP_TEXT("C"), HTTP_TEXT("3")) &&
		 !http1_encode_request(&pool, &out, &head, &encoding) &&
		 !http1_encode_chunk(&pool, &out, "hello", 5) &&
		 !http1_encode_last_chunk(&pool, &out, NULL) &&
		 buf_len(&out) == sizeof(wanted) - 1 &&
		 !memcmp(buf_head(&out), wanted, sizeof(wanted) - 1);
	buf_clear(&pool, &out);
	buf_pool_clear(&pool);
	return passed;
}

/* Whatever looks like a field that we set ourselves, in the spellings that CGI merges. */
static bool classifies(void)
{
	static const struct http_text forwarded[] = {
		{"X-Forwarded-For", 15}, {"x_forwarded_for", 15}, {"X-FORWARDED_Proto", 17},
		{"Forwarded", 9}, {"X-Real-IP", 9}, {"x_real_ip", 9}, {"True-Client-IP", 14},
	};
	size_t i;

	for (i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
		if (http_field_classify(forwarded[i]) != HTTP_FIELD_FORWARDED)
			return false;
	}
	return http_field_classify(HTTP_TEXT("X-Hoody-Real-IP")) == HTTP_FIELD_HOODY &&
	       http_field_classify(HTTP_TEXT("x_hoody_instance")) == HTTP_FIELD_HOODY &&
	       http_field_classify(HTTP_TEXT("X-Forwarded")) == HTTP_FIELD_OTHER &&
	       http_field_classify(HTTP_TEXT("")) == HTTP_FIELD_OTHER &&
	       http_field_classify(HTTP_TEXT("zz")) == HTTP_FIELD_OTHER;
}

int main(void)
{
	tap_plan(sizeof(good_requests) / sizeof(good_requests[0]) +
		 sizeof(bad_requests) / sizeof(bad_requests[0]) +
		 sizeof(responses) / sizeof(responses[0]) + sizeof(bodies) / sizeof(bodies[0]) + 4);
	test_requests();
	test_responses();
	test_bodies();
	tap_ok(extensions_bounded(), "http1_chunked_extensions_bounded");
	tap_ok(hops_stripped(), "http1_hop_by_hop_fields_dropped");
	tap_ok(encodes(), "http1_encodes_request");
	tap_ok(classifies(), "http1_forwarding_fields_recognized");
	return tap_done();
}
