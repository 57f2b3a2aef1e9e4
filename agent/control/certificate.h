/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate that the worker serves: read, checked and packed by control,
 * because the worker may read no file.
 */
#ifndef HOODY_CONTROL_CERTIFICATE_H
#define HOODY_CONTROL_CERTIFICATE_H

#include "control/config.h"

/*
 * certificate_load(): reads chain and key as configured, checks that they parse
 * and belong together, and returns a sealed memfd with both as PEM (leaf, chain,
 * key); the caller closes it. -EINVAL after a @report of what is wrong. What
 * works but will not please browsers (expired, other names) is reported too,
 * starting with "warning: ".
 */
int certificate_load(const struct config *config, config_report *report, void *context);

#endif /* HOODY_CONTROL_CERTIFICATE_H */
