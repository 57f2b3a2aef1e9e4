/* SPDX-License-Identifier: Apache-2.0 */
/* What the metrics take from the certificates. */
#ifndef HOODY_CONTROL_API_CERTIFICATES_H
#define HOODY_CONTROL_API_CERTIFICATES_H

#include "control/control.h"

#include <stdio.h>

/* Writes their families in the text format of Prometheus. */
void api_certificates_metrics(const struct control *control, FILE *out);

#endif /* HOODY_CONTROL_API_CERTIFICATES_H */
