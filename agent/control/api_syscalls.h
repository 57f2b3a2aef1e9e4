/* SPDX-License-Identifier: Apache-2.0 */
/* What the calls about profiles and about containers' syscalls share. */
#ifndef HOODY_CONTROL_API_SYSCALLS_H
#define HOODY_CONTROL_API_SYSCALLS_H

#include "control/api.h"
#include "control/syscalls.h"

/* Answers @call with what syscalls.h refused with @error. */
void syscalls_reply_refusal(struct api_call *call, int error, const char *fault);
/* "warnings": a list of texts. */
void syscalls_add_warnings(yyjson_mut_doc *document, yyjson_mut_val *object,
			   const struct profile_report *report);

#endif /* HOODY_CONTROL_API_SYSCALLS_H */
