/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the wall clock can be believed where something is deleted by its age. A clock
 * that is set wrong, by hand or by an empty battery, must not take an audit trail with
 * it: after a start nothing is deleted for an hour, in which a clock is usually put
 * right, and after a jump of more than an hour for a day, in which someone can see it.
 */
#ifndef HOODY_LIB_WALL_H
#define HOODY_LIB_WALL_H

#include <stdbool.h>
#include <stdint.h>

#define WALL_START_US	(3600 * 1000000ull)
#define WALL_JUMP_US	(3600 * 1000000ull)
#define WALL_PAUSE_US	(86400 * 1000000ull)

/* All zero before the first call. */
struct wall {
	int64_t		ahead_us;	/* the wall clock's, of the time since boot */
	uint64_t	believed_us;	/* time since boot from which on it is; 0: never asked */
};

/*
 * wall_take(): with both clocks as they are now (CLOCK_REALTIME, CLOCK_BOOTTIME): whether
 * the wall clock is believed. @jump_us is by how much it has jumped since the last call;
 * 0: it has not. To be called every few minutes at least: a clock that is led slowly to
 * another time does not jump.
 * wall_ask(): the same with the clocks read here, and a line in the log for a jump.
 */
bool wall_take(struct wall *wall, uint64_t real_us, uint64_t boot_us, int64_t *jump_us);
bool wall_ask(struct wall *wall);

#endif /* HOODY_LIB_WALL_H */
