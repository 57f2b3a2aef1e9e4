// SPDX-License-Identifier: Apache-2.0
/* A wall clock that jumps, see wall.h. */
#include "lib/wall.h"
#include "lib/log.h"

#include <stdlib.h>
#include <time.h>

bool wall_take(struct wall *wall, uint64_t real_us, uint64_t boot_us, int64_t *jump_us)
{
	const int64_t ahead = (int64_t)(real_us - boot_us), change = ahead - wall->ahead_us;

	*jump_us = 0;
	wall->ahead_us = ahead;
	if (!wall->believed_us) {
		wall->believed_us = boot_us + WALL_START_US;
	} else if (llabs(change) > (int64_t)WALL_JUMP_US) {
		*jump_us = change;
		wall->believed_us = boot_us + WALL_PAUSE_US;
	}
	return boot_us >= wall->believed_us;
}

bool wall_ask(struct wall *wall)
{
	struct timespec real, boot;
	int64_t jump;
	bool believed;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	believed = wall_take(wall, (uint64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000,
			     (uint64_t)boot.tv_sec * 1000000 + boot.tv_nsec / 1000, &jump);
	if (jump)
		log_warning("the wall clock has jumped: nothing is deleted by its age for a day: seconds=%lld",
			    (long long)(jump / 1000000));
	return believed;
}
