/* SPDX-License-Identifier: Apache-2.0 */
/* Between syscalls.c, which keeps the lists, and syscalls_kernel.c, which changes them. */
#ifndef HOODY_CONTROL_SYSCALLS_INTERNAL_H
#define HOODY_CONTROL_SYSCALLS_INTERNAL_H

#include "control/feature.h"
#include "control/syscalls.h"

/* The index of the profile of this name, or where it would go. */
size_t syscalls_profile_place(const struct syscalls *syscalls, const char *name, bool *found);
/* The profile's document, from malloc(); or NULL. */
char *syscalls_profile_text(const struct syscalls_profile *profile);

/* In memory only. syscalls_set(): 0 or -ENOMEM. */
int syscalls_set(struct syscalls *syscalls, const struct syscalls_attachment *attachment);
void syscalls_clear(struct syscalls *syscalls, const uint8_t id[ID_LEN]);

/* The feature's hook "prepare". */
int syscalls_prepare(struct control *control, const struct container *container, char *fault,
		     size_t fault_size);

#endif /* HOODY_CONTROL_SYSCALLS_INTERNAL_H */
