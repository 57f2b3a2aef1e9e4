/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets of rate limits, by a clock of the test's own: what passes and when, that a
 * limit holds in total for threads that ask at once, that what is refused takes
 * nothing, that strangers push nothing out of what is for all.
 */
#include "front/limit.h"
#include "lib/image.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND	1000000000ull
#define NOW	(1000 * SECOND)
#define THREADS	8
#define ASKS	20000

static struct limit_table *table;
static unsigned int forgotten;

/* An image of one container with @rules. */
static struct image *image_of(const struct image_limit *rules, uint32_t count)
{
	static const struct image_settings settings = {
		.node = "n", .base_domain = "example.com", .threads = 1,
	};
	struct image_builder *builder = image_builder_create(&settings, 1);
	struct image_container container = { .flags = IMAGE_RUNNING, .limits_count = count };
	struct image *image;
	int fd;

	container.id[0] = 1;
	if (image_builder_add_limits(builder, rules, count, &container.limits_first) ||
	    image_builder_add_container(builder, &container, NULL, 0))
		exit(1);
	fd = image_builder_finish(builder);
	image = image_open(fd);
	close(fd);
	image_builder_destroy(builder);
	if (!image)
		exit(1);
	return image;
}

static struct address v4(uint32_t host)
{
	return (struct address){ .family = AF_INET, .v4.s_addr = htonl(host) };
}

static struct address v6(const char *text)
{
	struct address address;

	if (address_parse(text, strlen(text), &address))
		exit(1);
	return address;
}

/* How long a request has to wait, in seconds; 0: it may go on. */
static uint32_t ask(const struct image *image, const char *service, const struct address *client,
		    enum limit_phase phase, uint64_t now)
{
	static const uint8_t id[IMAGE_ID_LEN] = { 1 };
	struct limit_refusal refusal;

	return limit_request(table, image, image_container_find(image, id), service,
			     strlen(service), client, phase, now, &refusal, &forgotten) ?
		       0 : refusal.retry_after;
}

static unsigned int passed(const struct image *image, const char *service,
			   const struct address *client, enum limit_phase phase, uint64_t now,
			   unsigned int asks)
{
	unsigned int count = 0;

	while (asks--)
		count += !ask(image, service, client, phase, now);
	return count;
}

static void test_pace(void)
{
	const struct image_limit rule = { .requests = 10, .burst = 20, .period = 1 };
	struct image *image = image_of(&rule, 1);
	struct address client = v4(1);

	tap_ok(passed(image, "a", &client, LIMIT_OF_ALL, NOW, 100) == 20, "limit_burst_passes");
	tap_ok(ask(image, "a", &client, LIMIT_OF_ALL, NOW) == 1, "limit_says_when_again");
	tap_ok(passed(image, "a", &client, LIMIT_OF_ALL, NOW + SECOND / 2, 100) == 5,
	       "limit_fills_by_its_rate");
	tap_ok(passed(image, "a", &client, LIMIT_OF_ALL, NOW + 100 * SECOND, 100) == 20,
	       "limit_fills_no_further_than_full");
	tap_ok(passed(image, "a", &client, LIMIT_OF_CLIENT, NOW, 100) == 100,
	       "limit_of_all_is_not_asked_for_the_client");
	image_put(image);
}

static void test_rules(void)
{
	const struct image_limit rules[] = {
		{ .requests = 1, .burst = 10, .period = 3600, .flags = IMAGE_LIMIT_PER_CLIENT },
		{ "b", 1, 1, 86400, IMAGE_LIMIT_PER_CLIENT },
	};
	struct image *image = image_of(rules, 2);
	struct address one = v4(11), other = v4(12);
	struct address six[] = { v6("2001:db8::1"), v6("2001:db8::ffff:1"), v6("2001:db8:0:1::1") };

	tap_ok(passed(image, "b", &one, LIMIT_OF_CLIENT, NOW, 50) == 1, "limit_of_a_service");
	tap_ok(ask(image, "b", &one, LIMIT_OF_CLIENT, NOW) == 86400, "limit_of_a_day_says_so");
	tap_ok(passed(image, "bb", &one, LIMIT_OF_CLIENT, NOW, 50) == 9,
	       "limit_refused_takes_nothing_from_another");
	tap_ok(passed(image, "a", &other, LIMIT_OF_CLIENT, NOW, 50) == 10, "limit_of_each_client");
	tap_ok(passed(image, "a", &six[0], LIMIT_OF_CLIENT, NOW, 6) == 6 &&
	       passed(image, "a", &six[1], LIMIT_OF_CLIENT, NOW, 6) == 4 &&
	       passed(image, "a", &six[2], LIMIT_OF_CLIENT, NOW, 50) == 10,
	       "limit_of_ipv6_is_of_64_bits");
	image_put(image);
}

static void test_smaller(void)
{
	const struct image_limit large = { "c", 1, 100, 3600, 0 }, small = { "c", 1, 2, 3600, 0 };
	struct image *before = image_of(&large, 1), *after = image_of(&small, 1);
	struct address client = v4(1);

	tap_ok(passed(before, "c", &client, LIMIT_OF_ALL, NOW, 200) == 100 &&
	       ask(after, "c", &client, LIMIT_OF_ALL, NOW) == 3600,
	       "limit_made_smaller_waits_no_longer_than_it_can");
	image_put(before);
	image_put(after);
}

struct asker {
	pthread_t		thread;
	const struct image	*image;
	unsigned int		count;
};

static void *ask_many(void *data)
{
	static const uint8_t id[IMAGE_ID_LEN] = { 1 };
	struct asker *asker = data;
	struct limit_refusal refusal;
	struct address client = v4(1);
	unsigned int lost = 0;

	for (unsigned int i = 0; i < ASKS; i++)
		asker->count += limit_request(table, asker->image,
					      image_container_find(asker->image, id), "d", 1,
					      &client, LIMIT_OF_ALL, NOW, &refusal, &lost);
	return NULL;
}

/* No more and no fewer, however the threads meet. */
static void test_threads(void)
{
	const struct image_limit rule = { "d", 1000000, 50000, 86400, 0 };
	struct asker askers[THREADS];
	unsigned int sum = 0;
	struct image *image = image_of(&rule, 1);

	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ .image = image };
		pthread_create(&askers[i].thread, NULL, ask_many, &askers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(askers[i].thread, NULL);
		sum += askers[i].count;
	}
	tap_ok(sum == 50000, "limit_holds_for_all_threads_in_total");
	image_put(image);
}

static void test_strangers(void)
{
	const struct image_limit rules[] = {
		{ "e", 1, 3, 3600, 0 },
		{ "e", 1, 3, 3600, IMAGE_LIMIT_PER_CLIENT },
	};
	struct image *image = image_of(rules, 2);
	struct address client = v4(1);
	unsigned int before = forgotten;

	passed(image, "e", &client, LIMIT_OF_ALL, NOW, 3);
	for (uint32_t host = 0; host < 400000; host++) {
		struct address stranger = v4(0x0b000000 + host);

		ask(image, "e", &stranger, LIMIT_OF_CLIENT, NOW);
	}
	tap_ok(forgotten > before, "limit_counts_what_it_forgets");
	tap_ok(ask(image, "e", &client, LIMIT_OF_ALL, NOW) > 0,
	       "limit_of_all_outlives_strangers");
	image_put(image);
}

static void test_connections(void)
{
	struct address client = v4(77), six = v6("2001:db8:7::1");
	uint32_t slots[10], slot;
	unsigned int count = 0;

	for (int i = 0; i < 10; i++)
		count += limit_connection_get(table, &client, 4, &slots[i]);
	tap_ok(count == 4, "limit_of_open_connections");
	limit_connection_put(table, slots[0]);
	tap_ok(limit_connection_get(table, &client, 4, &slot) &&
	       !limit_connection_get(table, &client, 4, &slot),
	       "limit_of_open_connections_gives_back");
	tap_ok(limit_connection_get(table, &six, 1, &slot), "limit_of_connections_of_another");
	count = 0;
	for (int i = 0; i < 100; i++)
		count += limit_handshake(table, &client, false, 5, NOW, &forgotten);
	tap_ok(count == 20, "limit_of_handshakes_is_four_seconds_worth");
	tap_ok(limit_handshake(table, &client, true, 5, NOW, &forgotten),
	       "limit_of_proven_addresses_is_apart");
}

static void test_text(void)
{
	const struct image_limit rule = { "terminal", 60, 90, 60, IMAGE_LIMIT_PER_CLIENT };
	char text[LIMIT_TEXT_MAX];

	limit_text(&rule, text);
	tap_ok(!strcmp(text, "60/m burst 90 per client of terminal"), "limit_text %s", text);
}

int main(void)
{
	table = limit_table_create();
	if (!table)
		return 1;
	tap_plan(20);
	test_pace();
	test_rules();
	test_smaller();
	test_threads();
	test_strangers();
	test_connections();
	test_text();
	limit_table_destroy(table);
	return tap_done();
}
