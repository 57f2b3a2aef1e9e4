// SPDX-License-Identifier: Apache-2.0
/* When a wall clock is believed: see agent/lib/wall.h. */
#include "lib/wall.h"
#include "tap.h"

#define SECOND	1000000ull
#define HOUR	(3600 * SECOND)
#define DAY	(24 * HOUR)

int main(void)
{
	const uint64_t boot = 5 * DAY, real = 20000 * DAY;
	struct wall wall = { 0 };
	bool drifts = true;
	int64_t jump;

	tap_plan(12);
	tap_ok(!wall_take(&wall, real, boot, &jump) && !jump, "wall_start_is_not_believed");
	tap_ok(!wall_take(&wall, real + HOUR - SECOND, boot + HOUR - SECOND, &jump),
	       "wall_start_is_not_believed_for_an_hour");
	tap_ok(wall_take(&wall, real + HOUR, boot + HOUR, &jump), "wall_then_it_is");
	tap_ok(wall_take(&wall, real + 2 * HOUR + 3000 * SECOND, boot + 2 * HOUR, &jump) && !jump,
	       "wall_small_step_is_none");
	/* Led on by half a second a minute: more than an hour in a week. */
	for (uint64_t i = 1; i <= 7 * 24 * 60; i++)
		drifts &= wall_take(&wall, real + 2 * HOUR + 3000 * SECOND + i * 60 * SECOND + i * SECOND / 2,
				    boot + 2 * HOUR + i * 60 * SECOND, &jump) && !jump;
	tap_ok(drifts, "wall_slow_change_is_no_jump");

	wall = (struct wall){ 0 };
	wall_take(&wall, real, boot, &jump);
	wall_take(&wall, real + 2 * HOUR, boot + 2 * HOUR, &jump);
	tap_ok(!wall_take(&wall, real + 700 * DAY, boot + 3 * HOUR, &jump) && jump > 600LL * (int64_t)DAY,
	       "wall_jump_ahead_is_not_believed");
	tap_ok(!wall_take(&wall, real + 701 * DAY - SECOND, boot + 3 * HOUR + DAY - SECOND, &jump) && !jump,
	       "wall_jump_is_not_believed_for_a_day");
	tap_ok(wall_take(&wall, real + 701 * DAY, boot + 3 * HOUR + DAY, &jump), "wall_then_it_is_again");
	tap_ok(!wall_take(&wall, real + DAY, boot + 3 * HOUR + DAY + SECOND, &jump) && jump < 0,
	       "wall_jump_back_is_not_believed");
	tap_ok(!wall_take(&wall, real + 2 * DAY - HOUR, boot + 3 * HOUR + 2 * DAY - HOUR, &jump),
	       "wall_jump_back_is_not_believed_for_a_day");
	tap_ok(wall_take(&wall, real + 2 * DAY + SECOND, boot + 3 * HOUR + 2 * DAY + 2 * SECOND, &jump),
	       "wall_it_is_believed_in_the_end");

	/* A host that slept has lost no time: it counts in both. */
	tap_ok(wall_take(&wall, real + 30 * DAY, boot + 3 * HOUR + 30 * DAY + SECOND, &jump) && !jump,
	       "wall_sleep_is_no_jump");
	return tap_done();
}
