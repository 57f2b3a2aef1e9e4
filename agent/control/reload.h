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

#endif /* HOODY_CONTROL_RELOAD_H */
