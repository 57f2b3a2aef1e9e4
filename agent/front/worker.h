/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker process: everything that clients send is read here, and nothing
 * else is done here. It has no privileges, no files and no state of its own; it
 * can be killed at any time and another one started.
 */
#ifndef HOODY_FRONT_WORKER_H
#define HOODY_FRONT_WORKER_H

/*
 * worker_run(): serves what control sends through IPC_WORKER_FD until it is
 * drained, or control is gone and the last client too. Returns the process's
 * exit status.
 */
int worker_run(void);

#endif /* HOODY_FRONT_WORKER_H */
