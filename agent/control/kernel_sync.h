/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the kernel's registry equal to the model: exactly the running containers
 * are in it, with their addresses, cgroup and syscall profile; with real IP on, they
 * and the agent have the right to it.
 *
 * Where the module is absent or refuses, the container's kernel state says so,
 * the image carries no IMAGE_REAL_IP for it, and kernel_sync_all() tries again
 * when the module appears and every KERNEL_SYNC_RETRY_MS.
 */
#ifndef HOODY_CONTROL_KERNEL_SYNC_H
#define HOODY_CONTROL_KERNEL_SYNC_H

#include "control/control.h"

#define KERNEL_SYNC_RETRY_MS	10000

/* Registers one running container, or takes one that does not run out. */
void kernel_sync_container(struct control *control, struct container *container);

/*
 * Puts @container, which need not be in the model yet, into the registry as it is to
 * be: for what must hold before the commit. 0 or a negative errno with knl_fault().
 * The module must be there (KNL_READY).
 */
int kernel_sync_register(const struct control *control, const struct container *container);

/* Takes an id out, unless a container with this id runs (again). */
void kernel_sync_remove(struct control *control, const uint8_t id[ID_LEN]);

/*
 * kernel_sync_all(): looks for the module, registers the agent, compares the
 * registries and repairs every difference. Returns true where something that
 * the image shows has changed.
 */
bool kernel_sync_all(struct control *control);

/* Tries again what failed before; true as above. */
bool kernel_sync_failed(struct control *control);

/* By the timer, and when families come or go: does what is needed; true as above. */
bool kernel_sync_tick(struct control *control);

/*
 * Takes every container and the agent out of the registry, so that nothing of them holds
 * the module: see module.h, which calls it. 0, or a negative errno with knl_fault() and
 * some of them taken out.
 */
int kernel_sync_release(struct control *control);

/* Why real IP is not available, in words that say what to do; "" where it is. */
const char *kernel_sync_reason(const struct control *control);

/* Withdraws the agent's right to open real-IP connections: at an orderly end. */
void kernel_sync_withdraw(struct control *control);

#endif /* HOODY_CONTROL_KERNEL_SYNC_H */
