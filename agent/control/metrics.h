/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures for Prometheus (text format 0.0.4): GET /metrics on the control socket
 * and, with [metrics] listen, on an address of its own that answers nothing else.
 */
#ifndef HOODY_CONTROL_METRICS_H
#define HOODY_CONTROL_METRICS_H

#include "control/control.h"

#define METRICS_TYPE	"text/plain; version=0.0.4; charset=utf-8"

/* @stats NULL: no worker could be asked. From malloc(), or NULL. */
char *metrics_text(struct control *control, const struct ipc_stats *stats);

#endif /* HOODY_CONTROL_METRICS_H */
