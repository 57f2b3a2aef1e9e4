/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names: which spell a route, which are well-formed names of something
 * else, and which are no host names at all.
 */
#include <string.h>

#include "route/host.h"
#include "tap.h"

#define P	"0123456789abcdef01234567"
#define PU	"0123456789ABCDEF01234567"
#define C	"89abcdef0123456789abcdef"
#define NODE	"node-us"
#define BASE	"containers.example"
#define TAIL	"." NODE "." BASE
#define OK(host, svc, n)	{host, sizeof(host) - 1, ROUTE_HOST_OK, svc, n}
#define FOREIGN(host)		{host, sizeof(host) - 1, ROUTE_HOST_FOREIGN, NULL, 0}
#define BAD(host)		{host, sizeof(host) - 1, ROUTE_HOST_MALFORMED, NULL, 0}

#define X10	"xxxxxxxxxx"
#define X60	X10 X10 X10 X10 X10 X10

static const struct {
	const char		*host;
	size_t			len;
	enum route_host_result	result;
	const char		*service;
	unsigned int		instance;
} table[] = {
	/* routes */
	OK(P "-" C "-http-1" TAIL, "http", 1),
	OK(P "-" C "-http-8080" TAIL, "http", 8080),
	OK(P "-" C "-http-65535" TAIL, "http", 65535),
	OK(P "-" C "-terminal-1" TAIL, "terminal", 1),
	OK(P "-" C "-s3-2" TAIL, "s3", 2),
	OK(P "-" C "-a-1" TAIL, "a", 1),
	OK(P "-" C "-http-80" TAIL ".", "http", 80),
	OK(P "-" C "-http-80" TAIL ":443", "http", 80),
	OK(P "-" C "-http-80" TAIL ".:443", "http", 80),
	OK(P "-" C "-http-80" TAIL ":", "http", 80),
	OK(P "-" C "-http-80" TAIL ":0", "http", 80),
	OK(P "-" C "-http-80" TAIL ":65535", "http", 80),
	OK(P "-" C "-http-80" TAIL ":00443", "http", 80),
	OK(PU "-" C "-http-80" TAIL, "http", 80),
	OK(P "-" C "-HTTP-80" TAIL, "http", 80),
	OK(P "-" C "-Terminal-1.NODE-US.Containers.EXAMPLE", "terminal", 1),
	OK(C "-" P "-http-1" TAIL, "http", 1),
	OK(P "-" P "-http-1" TAIL, "http", 1),
	OK(P "-" C "-abcdefg-1" TAIL, "abcdefg", 1),
	OK(P "-" C "-abcdefghijk-1" TAIL, "abcdefghijk", 1),
	OK(P "-" C "-abcdefg-65535" TAIL, "abcdefg", 65535),
	/* the label */
	FOREIGN(P "-" C "-http" TAIL),
	FOREIGN(P "-" C "-http-" TAIL),
	FOREIGN(P "-" C "-http-0" TAIL),
	FOREIGN(P "-" C "-http-01" TAIL),
	FOREIGN(P "-" C "-http-00" TAIL),
	FOREIGN(P "-" C "-http-65536" TAIL),
	FOREIGN(P "-" C "-http-99999" TAIL),
	FOREIGN(P "-" C "-http-100000" TAIL),
	FOREIGN(P "-" C "-http-1a" TAIL),
	FOREIGN(P "-" C "-http--1" TAIL),
	FOREIGN(P "-" C "-http-1-" TAIL),
	FOREIGN(P "-" C "-http-1-2" TAIL),
	FOREIGN(P "-" C "-http1" TAIL),
	FOREIGN(P "-" C "--1" TAIL),
	FOREIGN(P "-" C "-1-1" TAIL),
	FOREIGN(P "-" C "-1a-1" TAIL),
	FOREIGN(P "-" C "-a_b-1" TAIL),
	FOREIGN(P "-" C "-_a-1" TAIL),
	FOREIGN(P "-" C "--http-1" TAIL),
	FOREIGN(P "--" C "-http-1" TAIL),
	FOREIGN("-" P "-" C "-http-1" TAIL),
	FOREIGN(P "_" C "-http-1" TAIL),
	FOREIGN(P "-" C "_http-1" TAIL),
	FOREIGN(P "-" C "-http_1" TAIL),
	FOREIGN(P C "-http-1" TAIL),
	FOREIGN(P "-" C "http-1" TAIL),
	FOREIGN(P "-http-1" TAIL),
	FOREIGN(P "-" C TAIL),
	FOREIGN(P TAIL),
	FOREIGN("0123456789abcdef0123456-" C "-http-1" TAIL),
	FOREIGN("0123456789abcdef012345678-" C "-http-1" TAIL),
	FOREIGN("0123456789abcdef0123456g-" C "-http-1" TAIL),
	FOREIGN(P "-89abcdef0123456789abcde-http-1" TAIL),
	FOREIGN(P "-89abcdef0123456789abcdeff-http-1" TAIL),
	FOREIGN(P "-89abcdef0123456789abcdex-http-1" TAIL),
	FOREIGN("0x23456789abcdef01234567-" C "-http-1" TAIL),
	/* what follows it */
	FOREIGN(P "-" C "-http-1"),
	FOREIGN(P "-" C "-http-1."),
	FOREIGN(P "-" C "-http-1." NODE),
	FOREIGN(P "-" C "-http-1." BASE),
	FOREIGN(P "-" C "-http-1.x" TAIL),
	FOREIGN("x." P "-" C "-http-1" TAIL),
	FOREIGN(P "-" C "-http-1." NODE ".x." BASE),
	FOREIGN(P "-" C "-http-1" TAIL ".x"),
	FOREIGN(P "-" C "-http-1" TAIL "x"),
	FOREIGN(P "-" C "-http-1.x" NODE "." BASE),
	FOREIGN(P "-" C "-http-1.node-u." BASE),
	FOREIGN(P "-" C "-http-1.node-uss." BASE),
	FOREIGN(P "-" C "-http-1." NODE ".containers.exampl"),
	FOREIGN(P "-" C "-http-1." NODE ".ontainers.example"),
	FOREIGN(P "-" C "-http-1." NODE "-containers.example"),
	FOREIGN(P "-" C "-http-1." NODE ".containers.example.com"),
	/* other names */
	FOREIGN("localhost"),
	FOREIGN("a"),
	FOREIGN("example.com"),
	FOREIGN("example.com."),
	FOREIGN("example.com:8080"),
	FOREIGN("192.0.2.1"),
	FOREIGN("192.0.2.1:80"),
	FOREIGN("[::1]"),
	FOREIGN("[::1]:443"),
	FOREIGN("[2001:db8::1]:"),
	FOREIGN("[::ffff:192.0.2.1]"),
	FOREIGN("xn--mnchen-3ya.example"),
	FOREIGN("a_b.example"),
	FOREIGN("-a.example"),
	FOREIGN(NODE "." BASE),
	FOREIGN("api." BASE),
	FOREIGN(X60 "xxx.example"),
	/* no host names */
	BAD(""),
	BAD("."),
	BAD(".."),
	BAD(":80"),
	BAD(".:80"),
	BAD(".example.com"),
	BAD("example..com"),
	BAD("example.com.."),
	BAD(X60 "xxxx.example"),
	BAD(P "-" C "-abcdefghijkl-1" TAIL),
	BAD(X60 "." X60 "." X60 "." X60 "." X10),
	BAD("example.com:80:80"),
	BAD("example.com:8o"),
	BAD("example.com:-1"),
	BAD("example.com: 80"),
	BAD("example.com:65536"),
	BAD("example.com:000080"),
	BAD("example.com:99999"),
	BAD("exa mple.com"),
	BAD(" example.com"),
	BAD("example.com "),
	BAD("exam\tple.com"),
	BAD("example.com\r"),
	BAD("example.com\n"),
	BAD("example.com\0"),
	BAD("exam\0ple.com"),
	BAD(P "-" C "-http-1" TAIL "\0.evil.example"),
	BAD("user@example.com"),
	BAD("example.com/"),
	BAD("example.com/path"),
	BAD("example.com?x"),
	BAD("example.com#x"),
	BAD("http://example.com"),
	BAD("example.com\\x"),
	BAD("example%2ecom"),
	BAD("ex*mple.com"),
	BAD("*.example.com"),
	BAD("a,b.example"),
	BAD("a;b.example"),
	BAD("m\xc3\xbcnchen.example"),
	BAD("\xff.example"),
	BAD("\x7f.example"),
	BAD("a+b.example"),
	BAD("\"example.com\""),
	BAD("(example.com)"),
	BAD("[::1"),
	BAD("[]"),
	BAD("[::1]x"),
	BAD("[::1]:x"),
	BAD("[::1%25eth0]"),
	BAD("[v1.fe80]"),
	BAD("::1"),
	BAD("fe80::1"),
	BAD(P "-" C "-http-1" TAIL ":443x"),
	BAD(P "-" C "-http-1" TAIL ".."),
	BAD(P "-" C "-http-1.." NODE "." BASE),
	BAD(P "-" C "-http-1 " TAIL),
	BAD(P "-" C "-ht/tp-1" TAIL),
};

static const char *printable(const char *host, size_t len)
{
	static char text[512];
	size_t i, at = 0;

	for (i = 0; i < len && at + 5 < sizeof(text); i++) {
		unsigned char c = host[i];

		if (c > ' ' && c < 0x7f && c != '#' && c != '\\')
			text[at++] = c;
		else
			at += snprintf(text + at, sizeof(text) - at, "_x%02x", c);
	}
	text[at] = '\0';
	return text;
}

int main(void)
{
	static const uint8_t project[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					  0xcd, 0xef, 0x01, 0x23, 0x45, 0x67};
	size_t count = sizeof(table) / sizeof(table[0]), i;
	struct route_host route;
	bool passed;
	char *copy;

	tap_plan(count + 2);
	for (i = 0; i < count; i++) {
		/* Exactly as long as it is: a read past the end is seen by ASan. */
		copy = malloc(table[i].len + !table[i].len);
		memcpy(copy, table[i].host, table[i].len);
		memset(&route, 0, sizeof(route));
		passed = route_host_parse(copy, table[i].len, NODE, BASE, &route) ==
			 table[i].result;
		if (table[i].result == ROUTE_HOST_OK)
			passed = passed && !strcmp(route.service, table[i].service) &&
				 route.service_len == strlen(table[i].service) &&
				 route.instance == table[i].instance;
		else
			passed = passed && !route.instance && !route.service_len;
		tap_ok(passed, "host_%s %s",
		       table[i].result == ROUTE_HOST_OK ? "routes" :
		       table[i].result == ROUTE_HOST_FOREIGN ? "foreign" : "malformed",
		       printable(table[i].host, table[i].len));
		free(copy);
	}
	route_host_parse(PU "-" C "-http-1" TAIL, sizeof(PU "-" C "-http-1" TAIL) - 1, NODE, BASE,
			 &route);
	tap_ok(!memcmp(route.project, project, sizeof(project)), "host_project_bytes");
	tap_ok(route.container[0] == 0x89 && route.container[11] == 0xef, "host_container_bytes");
	return tap_done();
}
