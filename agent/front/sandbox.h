/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker takes from itself before it reads the first byte of a client:
 * the file system and listening on ports (Landlock), every system call that it
 * does not need (seccomp), being traced and core dumps.
 */
#ifndef HOODY_FRONT_SANDBOX_H
#define HOODY_FRONT_SANDBOX_H

/*
 * sandbox_enter(): to be called before threads are made, they inherit it.
 * Landlock is left out, with a log line, where the kernel lacks it. 0 or a
 * negative errno.
 */
int sandbox_enter(void);

/*
 * sandbox_seal(): the system call filter, for all threads that exist. After it
 * no process or thread can be made, no file opened, no port bound. 0 or a
 * negative errno.
 */
int sandbox_seal(void);

#endif /* HOODY_FRONT_SANDBOX_H */
