/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cgroup v2's freezer has of a container. Read here and never written: control has
 * no right to change a cgroup, the operator's command (tools/hoody/module.c) has.
 */
#ifndef HOODY_CONTROL_FREEZER_H
#define HOODY_CONTROL_FREEZER_H

#include "control/cgroup.h"

#include <stdbool.h>
#include <sys/types.h>

struct freezer_state {
	bool	wanted;		/* cgroup.freeze: of this directory, not of one above */
	bool	frozen;		/* cgroup.events: no task in it or below can run */
};

/*
 * freezer_read(): of the directory @path, which must be the one with the inode number
 * @id. 0, -ESTALE where another one is there by now, or another negative errno.
 */
int freezer_read(const struct cgroup_mount *mount, const char *path, uint64_t id,
		 struct freezer_state *state);

/*
 * freezer_find_stopped(): a task in @path or below that its tracer has stopped. Such a
 * one counts as frozen, and may stand between the entry of a system call and the
 * function that does it: where its tracer lets it go, or dies, it makes that call before
 * it freezes in truth. 0 where there is none, 1 with the task and its tracer, -E2BIG
 * where there are more cgroups than are looked through, or another negative errno.
 */
int freezer_find_stopped(const struct cgroup_mount *mount, const char *path, pid_t *task,
			 pid_t *tracer);

#endif /* HOODY_CONTROL_FREEZER_H */
