/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of containers, each in the one order that holds at every moment:
 *
 *	start, update	database -> model -> features -> kernel -> image in all workers
 *			-> done
 *	stop, delete	database -> model -> image in all workers (connections are
 *			cut) -> kernel -> features -> done
 *
 * A change that fails before the commit has changed nothing. After the commit
 * nothing fails: the answer waits until it holds everywhere. What was stopped and
 * stays so is neither in the kernel nor in an image: it is done with the commit,
 * whatever the number of containers.
 */
#ifndef HOODY_CONTROL_CHANGE_H
#define HOODY_CONTROL_CHANGE_H

#include "control/control.h"

typedef void change_done(void *context);

/*
 * change_put(): stores @container (new, updated, started or stopped), which is
 * taken over in any case. 0: @done is called once, later or before this returns.
 * Else a negative errno and no @done: -ENOSPC (full: too many containers or no disk),
 * -EADDRINUSE, -EIO, -ENOMEM; db_fault() may know more; -ECANCELED: a feature cannot
 * be enforced on it, control->refusal says which and why.
 */
int change_put(struct control *control, struct container *container, change_done *done,
	       void *context);

/* change_delete(): leaves a tombstone. As above; the container must exist. */
int change_delete(struct control *control, const struct container *container, change_done *done,
		  void *context);

/* Forgets tombstones that are older than the configuration says. */
void change_purge_tombstones(struct control *control);

/*
 * At the start: a running container whose cgroup or interface is gone (the host
 * was rebooted) is marked stopped; it starts again when its manager says so.
 */
void change_stop_vanished(struct control *control);

#endif /* HOODY_CONTROL_CHANGE_H */
