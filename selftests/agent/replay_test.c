/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Early data that comes twice, by a clock of the test's own: what is remembered, for
 * how long, by whom, and that no room means no.
 */
#include "front/replay.h"
#include "tap.h"

#include <string.h>

#define SECOND	1000000000ull
#define NOW	(1000 * SECOND)
#define FLOOD	200000

static struct replay_table *table;

static enum replay_answer take(uint32_t number, uint64_t now)
{
	uint8_t hello[REPLAY_HELLO_LEN] = {0};

	memcpy(hello, &number, sizeof(number));
	return replay_take(table, hello, now);
}

static void test_memory(void)
{
	tap_ok(take(1, NOW) == REPLAY_NEW, "replay_new");
	tap_ok(take(1, NOW) == REPLAY_SEEN, "replay_seen");
	tap_ok(take(2, NOW) == REPLAY_NEW, "replay_another_is_new");
	/* Eleven seconds are what OpenSSL may let pass. */
	tap_ok(take(1, NOW + 11 * SECOND) == REPLAY_SEEN, "replay_seen_as_long_as_its_ticket_is_young");
	tap_ok(take(1, NOW + 60 * SECOND) == REPLAY_NEW, "replay_forgotten_later");
}

static void test_flood(void)
{
	unsigned int taken = 0, full = 0, again = 0;

	for (uint32_t i = 0; i < FLOOD; i++) {
		enum replay_answer answer = take(i, NOW + 1000 * SECOND);

		taken += answer == REPLAY_NEW;
		full += answer == REPLAY_FULL;
	}
	tap_ok(taken > 50000 && taken <= 65536 && taken + full == FLOOD, "replay_no_room_is_a_no");
	for (uint32_t i = 0; i < FLOOD; i++)
		again += take(i, NOW + 1001 * SECOND) == REPLAY_NEW;
	tap_ok(!again, "replay_nothing_makes_room");
	tap_ok(take(FLOOD, NOW + 2000 * SECOND) == REPLAY_NEW, "replay_room_comes_with_time");
}

static void test_names(void)
{
	struct replay_table *other = replay_table_create();

	tap_ok(other && memcmp(replay_table_name(table), replay_table_name(other), REPLAY_NAME_LEN),
	       "replay_tables_have_names_of_their_own");
	replay_table_destroy(other);
}

int main(void)
{
	tap_plan(9);
	table = replay_table_create();
	if (!table)
		return 1;
	test_memory();
	test_flood();
	test_names();
	replay_table_destroy(table);
	replay_table_destroy(NULL);
	return tap_done();
}
