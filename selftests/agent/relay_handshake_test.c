// SPDX-License-Identifier: Apache-2.0
/*
 * Exits as text, and what is said to proxies: every answer whole and byte by
 * byte, answers that lie, and random bytes, which must never be read beyond
 * their end nor taken for a connection.
 */
#include "relay/handshake.h"
#include "relay/udp.h"

#include "tap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXT(literal)	literal, sizeof(literal) - 1

static int parse(const char *text, struct exit_spec *spec)
{
	const char *why = NULL;
	const int ret = exit_parse(text, strlen(text), spec, &why);

	return ret ? -(why != NULL) : 0;
}

static void test_exits(void)
{
	static const char *const refused[] = {
		"", "socks5", "socks5:", "socks5://", "directly", "direct://", "block:",
		"socks4://192.0.2.1", "socks5://host", "socks5://192.0.2.1:0",
		"socks5://192.0.2.256", "socks5://host.test:0", "socks5://host.test:70000",
		"socks5://host.test:", "socks5://*.host.test", "socks5://ho_st..test",
		"socks5://192.0.2.1:65536", "socks5://192.0.2.1:x", "socks5://@192.0.2.1",
		"socks5://user@192.0.2.1", "socks5://:pw@192.0.2.1", "socks5://user:@192.0.2.1",
		"socks5://a%zz:b@192.0.2.1", "socks5://a%00:b@192.0.2.1", "socks5://a%3ab:c@192.0.2.1",
		"http://192.0.2.1/path", "http://2001:db8::1]:80", "https://[2001:db8::1",
	};
	char long_user[400], text[EXIT_TEXT_MAX];
	struct exit_spec spec, other;
	size_t i;

	tap_ok(!parse("direct", &spec) && spec.kind == EXIT_DIRECT && !exit_is_relayed(&spec) &&
	       !parse("BLOCK", &spec) && spec.kind == EXIT_BLOCK, "exit_without_a_proxy");
	tap_ok(!parse("socks5://192.0.2.1", &spec) && spec.port == 1080 && !spec.has_login &&
	       exit_is_relayed(&spec), "exit_has_a_port_by_default");
	tap_ok(!parse("https://u%40x:p%3A%25%2f@[2001:db8::1]:8443/", &spec) &&
	       spec.kind == EXIT_HTTPS && spec.address.family == AF_INET6 && spec.port == 8443 &&
	       !strcmp(spec.user, "u@x") && !strcmp(spec.password, "p:%/"), "exit_is_decoded");
	exit_format(&spec, text);
	tap_ok(!strcmp(text, "https://***:***@[2001:db8::1]:8443"), "exit_is_shown_without_secrets");
	tap_ok(!parse("http://u:p@Proxy.Example.test.:3128", &other) && other.port == 3128 &&
	       !strcmp(other.host, "proxy.example.test") &&
	       !parse("http://u:p@proxy.example.test:3128", &spec) && exit_equal(&spec, &other) &&
	       !parse("http://u:p@192.0.2.1:3128", &spec) && !exit_equal(&spec, &other),
	       "exit_may_have_a_name");
	exit_format(&other, text);
	tap_ok(!strcmp(text, "http://***:***@proxy.example.test:3128"), "exit_of_a_name_is_shown");
	parse("https://u%40x:p%3A%25%2f@[2001:db8::1]:8443/", &spec);
	tap_ok(!parse("https://u%40x:other@[2001:db8::1]:8443", &other) && !exit_equal(&spec, &other) &&
	       exit_equal(&spec, &spec), "exit_another_password_is_another_exit");
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (parse(refused[i], &spec) != -1)
			break;
	}
	tap_ok(i == sizeof(refused) / sizeof(refused[0]), "exit_refuses_%s",
	       i < sizeof(refused) / sizeof(refused[0]) ? refused[i] : "what_is_wrong");
	snprintf(long_user, sizeof(long_user), "socks5://%0256d:x@192.0.2.1", 0);
	tap_ok(parse(long_user, &spec) == -1, "exit_refuses_256_bytes_of_user");
	snprintf(long_user, sizeof(long_user), "socks5://%0255d:x@192.0.2.1", 0);
	tap_ok(!parse(long_user, &spec) && strlen(spec.user) == 255, "exit_takes_255_bytes_of_user");
}

struct part {
	const char	*bytes;		/* of the proxy */
	size_t		len;
};

/* The end of @size bytes that nothing follows: reading beyond them ends the test. */
static char *edge(size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t room = (size + page - 1) / page * page + page;
	char *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || mprotect(memory + room, page, PROT_NONE))
		exit(1);
	return memory + room;
}

/* Feeds all parts, @step bytes more at a time. The last result; *@rest: not used. */
static int talk(const char *text, const struct part *parts, size_t count, size_t step, size_t *rest)
{
	const struct address to = { .family = AF_INET, .v4.s_addr = htonl(0xc0000263) };
	struct handshake handshake;
	struct exit_spec spec;
	static char *end;
	int ret = 0;

	if (!end)
		end = edge(65536);
	if (parse(text, &spec))
		return -99;
	handshake_begin(&handshake, &spec, &to, 443);
	for (size_t i = 0; i < count && !ret; i++) {
		size_t have = 0, start = 0, used;

		while (!ret && have < parts[i].len) {
			have = have + step < parts[i].len ? have + step : parts[i].len;
			memcpy(end - (have - start), parts[i].bytes + start, have - start);
			ret = handshake_feed(&handshake, end - (have - start), have - start, &used);
			if (used > have - start)
				return -98;
			start += used;
		}
		*rest = parts[i].len - start;
	}
	return ret;
}

#define SOCKS		"socks5://192.0.2.1"
#define SOCKS_LOGIN	"socks5://bob:secret@192.0.2.1"
#define HTTP		"http://192.0.2.1"

static void test_answers(void)
{
	static const struct {
		const char *name, *exit;
		struct part parts[3];
		int result;
		size_t rest;
	} cases[] = {
		{ "socks", SOCKS, { { TEXT("\5\0") }, { TEXT("\5\0\0\1\1\2\3\4\0\x50") } }, 1, 0 },
		{ "socks_v6", SOCKS,
		  { { TEXT("\5\0") }, { TEXT("\5\0\0\4aaaabbbbccccdddd\0\x50") } }, 1, 0 },
		{ "socks_name_and_data", SOCKS,
		  { { TEXT("\5\0") }, { TEXT("\5\0\0\3\4name\0\x50hello") } }, 1, 5 },
		{ "socks_login", SOCKS_LOGIN,
		  { { TEXT("\5\2") }, { TEXT("\1\0") }, { TEXT("\5\0\0\1\1\2\3\4\0\x50") } }, 1, 0 },
		{ "socks_login_refused", SOCKS_LOGIN, { { TEXT("\5\2") }, { TEXT("\1\1") } },
		  -HANDSHAKE_LOGIN, 0 },
		{ "socks_wants_no_login", SOCKS_LOGIN, { { TEXT("\5\0") } }, -HANDSHAKE_MALFORMED, 0 },
		{ "socks_wants_a_login", SOCKS, { { TEXT("\5\xff") } }, -HANDSHAKE_LOGIN, 0 },
		{ "socks_version_4", SOCKS, { { TEXT("\4\0") } }, -HANDSHAKE_MALFORMED, 0 },
		{ "socks_unreachable", SOCKS, { { TEXT("\5\0") }, { TEXT("\5\5\0\1\0\0\0\0\0\0") } },
		  -HANDSHAKE_UNREACHABLE, 10 },
		{ "socks_not_allowed", SOCKS, { { TEXT("\5\0") }, { TEXT("\5\2\0\1\0\0\0\0\0\0") } },
		  -HANDSHAKE_REFUSED, 10 },
		{ "socks_reply_99", SOCKS, { { TEXT("\5\0") }, { TEXT("\5\x63\0\1\0\0\0\0\0\0") } },
		  -HANDSHAKE_MALFORMED, 10 },
		{ "socks_address_type_9", SOCKS, { { TEXT("\5\0") }, { TEXT("\5\0\0\x9zzzzzz") } },
		  -HANDSHAKE_MALFORMED, 10 },
		{ "http", HTTP, { { TEXT("HTTP/1.1 200 OK\r\na: b\r\n\r\n") } }, 1, 0 },
		{ "http_10_without_reason_and_data", HTTP, { { TEXT("HTTP/1.0 200\r\n\r\nhi") } }, 1, 2 },
		{ "http_204", HTTP, { { TEXT("HTTP/1.1 204 \r\n\r\n") } }, 1, 0 },
		{ "http_407", HTTP, { { TEXT("HTTP/1.1 407 Login\r\n\r\n") } }, -HANDSHAKE_LOGIN, 0 },
		{ "http_403", HTTP, { { TEXT("HTTP/1.1 403 No\r\n\r\n") } }, -HANDSHAKE_REFUSED, 0 },
		{ "http_502", HTTP, { { TEXT("HTTP/1.1 502 Oh\r\n\r\n") } }, -HANDSHAKE_UNREACHABLE, 0 },
		{ "http_302", HTTP, { { TEXT("HTTP/1.1 302 There\r\n\r\n") } }, -HANDSHAKE_REFUSED, 0 },
		{ "http_status_2x0", HTTP, { { TEXT("HTTP/1.1 2x0 OK\r\n\r\n") } },
		  -HANDSHAKE_MALFORMED, 0 },
		{ "http_status_2000", HTTP, { { TEXT("HTTP/1.1 2000 OK\r\n\r\n") } },
		  -HANDSHAKE_MALFORMED, 0 },
		{ "http_2", HTTP, { { TEXT("HTTP/2 200\r\n\r\n") } }, -HANDSHAKE_MALFORMED, 0 },
		{ "http_nul", HTTP, { { TEXT("HTTP/1.1 200 OK\r\na: \0\r\n\r\n") } },
		  -HANDSHAKE_MALFORMED, 0 },
		{ "http_unfinished", HTTP, { { TEXT("HTTP/1.1 200 OK\r\n") } }, 0, 17 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t count = 0, whole = 0, bytewise = 0;
		int a, b;

		while (count < 3 && cases[i].parts[count].bytes)
			count++;
		a = talk(cases[i].exit, cases[i].parts, count, 65536, &whole);
		b = talk(cases[i].exit, cases[i].parts, count, 1, &bytewise);
		/* How much of a refusal was looked at does not matter. */
		tap_ok(a == cases[i].result && b == a && (a < 0 || whole == cases[i].rest),
		       "answer_%s", cases[i].name);
	}
}

static void test_requests(void)
{
	const struct address v6 = { .family = AF_INET6, .v6.s6_addr = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	struct handshake handshake;
	struct exit_spec spec;
	size_t used;

	parse("http://anne:p%20ss@192.0.2.1", &spec);
	handshake_begin(&handshake, &spec, &v6, 443);
	handshake.out[handshake.out_len] = '\0';
	tap_ok(!strcmp(handshake.out, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
				      "Proxy-Authorization: Basic YW5uZTpwIHNz\r\n\r\n"),
	       "request_of_http");
	parse(SOCKS_LOGIN, &spec);
	handshake_begin(&handshake, &spec, &v6, 443);
	tap_ok(handshake.out_len == 3 && !memcmp(handshake.out, "\5\1\2", 3),
	       "request_of_socks_offers_the_login_only");
	handshake_feed(&handshake, "\5\2", 2, &used);
	tap_ok(handshake.out_len == 12 && !memcmp(handshake.out, "\1\3bob\6secret", 12),
	       "request_of_socks_logs_in");
	handshake_feed(&handshake, "\1\0", 2, &used);
	tap_ok(handshake.out_len == 22 && !memcmp(handshake.out, "\5\1\0\4\x20\1\xd\xb8", 8) &&
	       !memcmp(handshake.out + 20, "\1\xbb", 2), "request_of_socks_names_the_destination");
}

/* What a probe says, and the result of the proxy's answer to it. */
static int probe(const char *text, const char *says, const char *answer, size_t len)
{
	struct handshake handshake;
	struct exit_spec spec;
	size_t used;

	parse(text, &spec);
	handshake_begin_probe(&handshake, &spec);
	handshake.out[handshake.out_len] = '\0';
	return strcmp(handshake.out, says) ? -99 : handshake_feed(&handshake, answer, len, &used);
}

static void test_probes(void)
{
	static const char options[] = "OPTIONS * HTTP/1.0\r\n\r\n";
	struct handshake handshake;
	struct exit_spec spec;
	size_t used;

	tap_ok(probe(HTTP, options, TEXT("HTTP/1.1 400 No\r\n\r\n")) == 1 &&
	       probe(HTTP, options, TEXT("HTTP/1.1 204 Yes\r\n\r\n")) == 1, "probe_of_http_takes_any_answer");
	tap_ok(probe(HTTP, options, TEXT("HTTP/1.1 407 Who\r\n\r\n")) == -HANDSHAKE_LOGIN &&
	       probe(HTTP, options, TEXT("HTTP/1.1 100 Wait\r\n\r\n")) == -HANDSHAKE_MALFORMED &&
	       probe(HTTP, options, TEXT("SSH-2.0-\r\n\r\n")) == -HANDSHAKE_MALFORMED,
	       "probe_of_http_tells_a_refused_login");
	tap_ok(probe(SOCKS, "\5\1", TEXT("\5\0")) == 1 &&
	       probe(SOCKS, "\5\1", TEXT("\5\xff")) == -HANDSHAKE_LOGIN &&
	       probe(SOCKS, "\5\1", TEXT("\5\0\0")) == -HANDSHAKE_MALFORMED,
	       "probe_of_socks_ends_with_the_method");
	parse(SOCKS_LOGIN, &spec);
	handshake_begin_probe(&handshake, &spec);
	tap_ok(!handshake_feed(&handshake, TEXT("\5\2"), &used) && handshake.out_len == 12 &&
	       handshake_feed(&handshake, TEXT("\1\0"), &used) == 1 && !handshake.out_len,
	       "probe_of_socks_logs_in_and_asks_for_nothing");
}

static void test_random(void)
{
	static const char *const exits[] = { SOCKS, SOCKS_LOGIN, HTTP };
	unsigned int seed = 1, opened = 0;
	char bytes[64];
	size_t rest;

	for (int round = 0; round < 30000; round++) {
		struct part part = { bytes, 1 + (size_t)rand_r(&seed) % sizeof(bytes) };

		for (size_t i = 0; i < part.len; i++)
			bytes[i] = (char)(rand_r(&seed) % 7 ? rand_r(&seed) % 6 : rand_r(&seed));
		opened += talk(exits[round % 3], &part, 1, 65536, &rest) == 1;
	}
	/* What is sent before it is asked for is no answer. */
	tap_ok(!opened, "random_bytes_open_nothing");
}

static void test_datagrams(void)
{
	static const unsigned char fragment[] = { 0, 0, 1, 1, 192, 0, 2, 1, 0, 53, 'x' };
	static const unsigned char name[] = { 0, 0, 0, 3, 1, 'a', 0, 53, 0, 0, 0, 0, 0 };
	static const unsigned char no_port[] = { 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 'x' };
	unsigned char bytes[UDP_HEADER_MAX];
	struct address address, from;
	uint16_t port = 0;
	bool cut_is_none = true;
	size_t len;

	address_parse(TEXT("192.0.2.1"), &address);
	len = udp_header_write(&address, 443, bytes);
	tap_ok(len == 10 && udp_header_read(bytes, len, &from, &port) == len && port == 443 &&
	       address_equal(&from, &address), "datagram_header_of_ipv4");
	address_parse(TEXT("2001:db8::1"), &address);
	len = udp_header_write(&address, 65535, bytes);
	tap_ok(len == 22 && udp_header_read(bytes, len, &from, &port) == len && port == 65535 &&
	       address_equal(&from, &address), "datagram_header_of_ipv6");
	while (len--)
		cut_is_none &= !udp_header_read(bytes, len, &from, &port);
	tap_ok(cut_is_none, "datagram_header_that_is_cut");
	tap_ok(!udp_header_read(fragment, sizeof(fragment), &from, &port) &&
	       !udp_header_read(name, sizeof(name), &from, &port) &&
	       !udp_header_read(no_port, sizeof(no_port), &from, &port),
	       "datagram_header_that_is_not_taken");
}

int main(void)
{
	tap_plan(47);
	test_exits();
	test_answers();
	test_requests();
	test_probes();
	test_random();
	test_datagrams();
	return tap_done();
}
