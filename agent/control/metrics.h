/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures for Prometheus (text format 0.0.4): GET /metrics on the control socket
 * and, with [metrics] listen, on an address of its own that answers nothing else.
 */
#ifndef HOODY_CONTROL_METRICS_H
#define HOODY_CONTROL_METRICS_H

#include "control/control.h"

#define METRICS_TYPE	"text/plain; version=0.0.4; charset=utf-8"

#endif /* HOODY_CONTROL_METRICS_H */
