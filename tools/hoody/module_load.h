/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's half of a reload of the kernel module: the freezer of cgroups, and taking
 * the module out and in. Needs root on the host itself.
 */
#ifndef HOODY_CLI_MODULE_LOAD_H
#define HOODY_CLI_MODULE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define MODULE_FAULT_MAX 256

/*
 * module_freeze(): writes the freezer of the cgroup directory @path below @mount, where it
 * is the one with the inode number @id. 0, also where it has gone, with its processes;
 * or a negative errno.
 */
int module_freeze(const char *mount, const char *path, uint64_t id, bool frozen);

/*
 * module_find(): makes as sure as can be, before anything is taken away, that there is
 * something to load: @file, or with NULL what modprobe has. 0 with the descriptor of
 * @file or -1 in *@fd; or -1 with the reason in @fault.
 */
int module_find(const char *file, int *fd, char fault[MODULE_FAULT_MAX]);

/* 0, also where it is not loaded; or -1 with the reason in @fault. */
int module_unload(char fault[MODULE_FAULT_MAX]);

/* @fd as module_find() gave it. 0, or -1 with the reason in @fault. */
int module_load(const char *file, int fd, char fault[MODULE_FAULT_MAX]);

#endif /* HOODY_CLI_MODULE_LOAD_H */
