/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the firewall's API calls. */
#ifndef HOODY_CONTROL_API_FIREWALL_H
#define HOODY_CONTROL_API_FIREWALL_H

#include "control/api.h"
#include "control/firewall.h"

/* api_firewall_explain.c */
void api_firewall_explain(struct api_call *call);
void api_firewall_drops(struct api_call *call);
void api_firewall_events(struct api_call *call);
void api_firewall_learned(struct api_call *call);
void api_firewall_forget(struct api_call *call);

#endif /* HOODY_CONTROL_API_FIREWALL_H */
