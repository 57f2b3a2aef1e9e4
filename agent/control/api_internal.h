/* SPDX-License-Identifier: Apache-2.0 */
/* Between the dispatcher of the API and what admits calls over HTTPS. */
#ifndef HOODY_CONTROL_API_INTERNAL_H
#define HOODY_CONTROL_API_INTERNAL_H

#include "control/api.h"

/* Both: 0, or -1 where the call has been answered. */
int api_remote_admit(struct api_call *call);
int api_remote_scope(struct api_call *call, const struct api_route *route);

/* 401 that asks for a token. */
void api_reply_unauthorized(struct api_call *call, const char *message);

#endif /* HOODY_CONTROL_API_INTERNAL_H */
