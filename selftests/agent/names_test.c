// SPDX-License-Identifier: Apache-2.0
/*
 * Names of rules, DNS messages and kept answers: what is refused, what an answer
 * may say, and that no bytes make the parser do worse than refuse.
 */
#include "names/cache.h"
#include "names/message.h"
#include "names/name.h"
#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_parse(void)
{
	static const struct {
		const char *text, *name;	/* NULL: refused */
	} cases[] = {
		{ "api.stripe.com", "api.stripe.com" },
		{ "API.Stripe.COM.", "api.stripe.com" },
		{ "*.github.com", "*.github.com" },
		{ "_dmarc.example.com", "_dmarc.example.com" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "b\xc3\xbc" "cher.example", NULL },
		{ "localhost", NULL }, { "*", NULL }, { "*.com", NULL }, { "", NULL },
		{ ".", NULL }, { "a..b", NULL }, { ".a.b", NULL }, { "a.b..", NULL },
		{ "-a.example", NULL }, { "a-.example", NULL }, { "a*.example.com", NULL },
		{ "a.*.example.com", NULL }, { "a b.example", NULL }, { "a/b.example", NULL },
		{ "a\\.b.example", NULL }, { "1.2.3.400", NULL },
	};
	char text[400], out[NAMES_TEXT_MAX];
	const char *why;
	bool right = true;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const int ret = name_parse(cases[i].text, out, &why);

		if (cases[i].name ? ret || strcmp(out, cases[i].name) : !ret) {
			right = false;
			printf("# %s\n", cases[i].text);
		}
	}
	tap_ok(right, "name_takes_what_a_query_can_say");
	memset(text, 'a', sizeof(text));
	memcpy(text + 63, ".com", 5);
	tap_ok(!name_parse(text, out, &why), "name_of_63_letters_is_taken");
	memset(text, 'a', 64);
	memcpy(text + 64, ".com", 5);
	tap_ok(name_parse(text, out, &why) == -EINVAL && strstr(why, "63"),
	       "name_of_64_letters_is_refused");
	for (size_t i = 0; i < 254; i++)
		text[i] = i % 2 ? '.' : 'a';
	text[253] = '\0';
	tap_ok(!name_parse(text, out, &why), "name_of_253_letters_is_taken");
	memcpy(text + 253, "a", 2);
	tap_ok(name_parse(text, out, &why) == -EINVAL && strstr(why, "253"),
	       "name_of_254_letters_is_refused");
	tap_ok(name_is_meant("abc.de") && name_is_meant("dead.beef.") && name_is_meant("*.a.b") &&
		       !name_is_meant("192.0.2.1") && !name_is_meant("2001:db8::1") &&
		       !name_is_meant("192.0.2.0/24"),
	       "name_is_told_from_an_address");
}

static void test_sets(void)
{
	char *patterns[] = { "*.github.com", "a.example", "api.stripe.com" };
	const struct name_set set = { patterns, 3 };

	tap_ok(name_set_has(&set, "api.stripe.com") && name_set_has(&set, "gist.github.com") &&
		       name_set_has(&set, "a.b.c.github.com"), "set_has_names_and_what_is_below");
	tap_ok(!name_set_has(&set, "github.com") && !name_set_has(&set, "stripe.com") &&
		       !name_set_has(&set, "evilgithub.com") && !name_set_has(&set, "") &&
		       !name_set_has(&set, "x.api.stripe.com"), "set_has_nothing_else");
	tap_ok(name_matches("*.github.com", "a.b.github.com") &&
		       !name_matches("*.github.com", "github.com") &&
		       !name_matches("*.github.com", "notgithub.com"), "match_agrees_with_sets");
}

/* --- messages --- */

static unsigned char bytes[70000];
static size_t len;

static void put(const void *data, size_t count)
{
	memcpy(bytes + len, data, count);
	len += count;
}

static void put16(unsigned int value)
{
	const unsigned char both[] = { (unsigned char)(value >> 8), (unsigned char)value };

	put(both, 2);
}

static void put_name(const char *name)
{
	while (*name) {
		const size_t label = strcspn(name, ".");
		const unsigned char count = (unsigned char)label;

		put(&count, 1);
		put(name, label);
		name += label + (name[label] == '.');
	}
	put("", 1);
}

static void begin(unsigned int flags, const char *name, unsigned int type)
{
	len = 0;
	put16(0x1234);
	put16(flags);
	put16(1);
	put("\0\0\0\0\0\0", 6);
	put_name(name);
	put16(type);
	put16(1);
}

static void record(const char *name, unsigned int type, unsigned int ttl, const void *data,
		   size_t count)
{
	put_name(name);
	put16(type);
	put16(1);
	put16(0);
	put16(ttl);
	put16((unsigned int)count);
	put(data, count);
	bytes[7]++;
	if (!bytes[7])
		bytes[6]++;
}

static void cname(const char *name, const char *target, unsigned int ttl)
{
	size_t from;

	record(name, 5, ttl, "", 0);
	from = len;
	put_name(target);
	bytes[from - 1] = (unsigned char)(len - from);
}

static struct names_question question;
static struct names_answer answer;

static int ask(const char *name, unsigned int type)
{
	begin(0x0100, name, type);
	return names_read_query(bytes, len, &question);
}

static int read_answer(void)
{
	return names_read_answer(bytes, len, &question, 0x1234, &answer);
}

static void test_queries(void)
{
	unsigned char request[NAMES_REQUEST_MAX];
	ssize_t ret;

	tap_ok(!ask("API.Stripe.com", NAMES_A) && !strcmp(question.name, "api.stripe.com") &&
		       question.type == NAMES_A && question.room == 512 && question.recursion,
	       "query_is_read");
	ret = names_make_request(&question, 0xabcd, request);
	tap_ok(ret > 12 && request[0] == 0xab && request[1] == 0xcd &&
		       !memcmp(request + 12, "\3api\6stripe\3com", 16), "request_is_made_anew");
	begin(0x8180, "a.example", NAMES_A);
	tap_ok(names_read_query(bytes, len, &question) == -EBADMSG, "answer_is_no_query");
	begin(0x2800, "a.example", NAMES_A);
	tap_ok(names_read_query(bytes, len, &question) == NAMES_NOTIMP, "update_is_not_implemented");
	begin(0x0100, "a.example", NAMES_A);
	bytes[5] = 2;
	tap_ok(names_read_query(bytes, len, &question) == NAMES_FORMERR, "two_questions_are_refused");
	begin(0x0100, "x.github.com", NAMES_A);
	bytes[12] = 8;
	bytes[14] = '.';
	tap_ok(names_read_query(bytes, len, &question) == NAMES_FORMERR,
	       "dot_inside_of_a_part_is_refused");
	ask("a.example", NAMES_A);
	len = names_make_refusal(bytes, len, &question, NAMES_REFUSED);
	tap_ok(len == question.end && bytes[2] == 0x81 && bytes[3] == 0x85, "refusal_has_the_question");
}

static void test_answers(void)
{
	ask("www.example", NAMES_A);
	begin(0x8180, "WWW.example", NAMES_A);
	cname("www.example", "cdn.example", 60);
	cname("cdn.example", "edge.example", 7);
	record("edge.example", 1, 300, "\xc0\0\2\1", 4);
	record("edge.example", 1, 300, "\xc0\0\2\2", 4);
	tap_ok(!read_answer() && answer.count == 2 && answer.address_ttl == 7 && answer.ttl == 7,
	       "chain_leads_to_addresses");
	record("other.example", 1, 300, "\xc0\0\2\3", 4);
	tap_ok(read_answer() == -EBADMSG, "address_of_another_name_is_refused");
	begin(0x8180, "www.example", NAMES_A);
	cname("www.example", "b.example", 60);
	cname("b.example", "www.example", 60);
	tap_ok(read_answer() == -E2BIG, "chain_in_a_circle_is_refused");
	begin(0x8180, "www.example", NAMES_A);
	for (unsigned int i = 0; i < NAMES_ADDRESSES_MAX; i++)
		record("www.example", 1, 300, (const unsigned char[]){ 192, 0, (unsigned char)(i >> 8),
				(unsigned char)i }, 4);
	tap_ok(!read_answer() && answer.count == 512, "512_addresses_are_taken");
	record("www.example", 1, 300, "\xc0\0\2\1", 4);
	tap_ok(read_answer() == -E2BIG, "513_addresses_are_refused");
	begin(0x8180, "evil.example", NAMES_A);
	tap_ok(read_answer() == -EAGAIN, "answer_to_another_question_is_none");
	begin(0x8180, "www.example", NAMES_A);
	bytes[1]++;
	tap_ok(read_answer() == -EAGAIN, "answer_with_another_id_is_none");
	begin(0x8183, "www.example", NAMES_A);
	tap_ok(!read_answer() && answer.rcode == NAMES_NXDOMAIN && answer.ttl == 0,
	       "unknown_name_without_an_authority_is_not_kept");
}

static void test_local(void)
{
	static const char *const local[] = { "127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1",
					     "224.0.0.1", "255.255.255.255", "::1", "::",
					     "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1" };
	static const char *const other[] = { "192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1" };
	struct address address;
	bool right = true;

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		right = right && !address_parse(local[i], strlen(local[i]), &address) &&
			names_address_is_local(&address);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		right = right && !address_parse(other[i], strlen(other[i]), &address) &&
			!names_address_is_local(&address);
	tap_ok(right, "addresses_that_no_name_may_have");
}

static void test_cache(void)
{
	struct names_cache *cache = names_cache_create();
	const uint8_t a[ID_LEN] = { 1 }, b[ID_LEN] = { 2 };
	const unsigned char *kept;
	unsigned char query[64], last;
	uint32_t age;
	size_t kept_len, query_len;

	ask("WWW.example", NAMES_A);
	query_len = len;
	memcpy(query, bytes, len);
	begin(0x8180, "www.example", NAMES_A);
	record("www.example", 1, 300, "\xc0\0\2\1", 4);
	names_cache_put(cache, a, &question, bytes, len, 300, 1000);
	kept = names_cache_get(cache, a, &question, 101000, &kept_len, &age);
	tap_ok(kept && kept_len == len && age == 100, "kept_answer_is_given_again");
	query[0] = 0x77;
	names_set_asker(bytes, len, query, &question, age);
	last = bytes[len - 7];
	tap_ok(query_len && bytes[0] == 0x77 && !memcmp(bytes + 12, "\3WWW", 4) && last == 200,
	       "kept_answer_is_the_asker_s");
	tap_ok(!names_cache_get(cache, b, &question, 2000, &kept_len, &age),
	       "another_container_s_is_not_given");
	tap_ok(!names_cache_get(cache, a, &question, 301000, &kept_len, &age), "kept_answer_ends");
	names_cache_put(cache, b, &question, bytes, len, 300, 1000);
	for (unsigned int i = 0; i < 3 * NAMES_CACHE_MAX; i++) {
		snprintf(question.name, sizeof(question.name), "n%u.example", i);
		names_cache_put(cache, a, &question, bytes, len, 300, 1000);
	}
	tap_ok(names_cache_get(cache, a, &question, 1000, &kept_len, &age) != NULL,
	       "newest_answer_is_kept");
	strcpy(question.name, "n1.example");
	tap_ok(!names_cache_get(cache, a, &question, 1000, &kept_len, &age), "oldest_answer_goes");
	strcpy(question.name, "www.example");
	tap_ok(names_cache_get(cache, b, &question, 1000, &kept_len, &age) != NULL,
	       "another_container_s_answer_stays");
	names_cache_destroy(cache);
}

/* Sound messages with bytes changed, and noise: the sanitizers say whether it is bad. */
static void test_noise(void)
{
	unsigned int read = 0;

	srandom(7);
	for (unsigned int i = 0; i < 30000; i++) {
		ask("www.example", NAMES_A);
		begin(0x8180, "www.example", NAMES_A);
		cname("www.example", "cdn.example", 60);
		record("cdn.example", 1, 300, "\xc0\0\2\1", 4);
		record("cdn.example", 28, 300, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
		for (unsigned int n = (unsigned int)random() % 4; n; n--)
			bytes[(size_t)random() % len] = (unsigned char)random();
		if (random() % 4 == 0)
			len = (size_t)random() % len;
		if (!read_answer()) {
			read++;
			names_set_asker(bytes, len, bytes, &question, 5);
			names_truncate(bytes, len, 40);
		}
		names_read_query(bytes, len, &question);
	}
	tap_ok(read > 5000 && read < 30000, "noise_is_refused");
}

int main(void)
{
	tap_plan(33);
	test_parse();
	test_sets();
	test_queries();
	test_answers();
	test_local();
	test_cache();
	test_noise();
	return tap_done();
}
