/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a changed configuration over, and checking one. */
#ifndef HOODY_CONTROL_RELOAD_H
#define HOODY_CONTROL_RELOAD_H

#include "control/control.h"

/*
 * control_reload(): reads the configuration anew and takes it over as a whole;
 * where anything in it is wrong, all stays as it was and the log says why.
 */
void control_reload(struct control *control);

/* Who workers of @config run as. 0, or -EINVAL after a @report. */
int control_identity(const struct config *config, struct spawn_identity *identity,
		     config_report *report, void *context);

/* In control.c: the module and the agent's cgroup, and back. */
void control_real_ip_set_up(struct control *control);
void control_real_ip_clear(struct control *control);

#endif /* HOODY_CONTROL_RELOAD_H */
