/* SPDX-License-Identifier: Apache-2.0 */
/* Why something is refused, in words for whoever asked for it. */
#ifndef HOODY_CONTROL_FAULT_H
#define HOODY_CONTROL_FAULT_H

#include <stddef.h>

/*
 * fault_set(): writes the reason, cut where @fault ends, and returns @ret: for
 * "return fault_set(...)".
 */
__attribute__((format(printf, 4, 5))) int fault_set(int ret, char *fault, size_t fault_size,
						    const char *format, ...);

#endif /* HOODY_CONTROL_FAULT_H */
