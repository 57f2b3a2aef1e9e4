/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup v2: where it is mounted, which directory a path means, and which one
 * the agent itself is in. Hybrid hosts mount it below /sys/fs/cgroup/unified.
 *
 * A path is relative to the mount ("/lxc.payload.web"); it is resolved inside of
 * it by the kernel (openat2(2), RESOLVE_BENEATH), so that no path can leave it.
 */
#ifndef HOODY_CONTROL_CGROUP_H
#define HOODY_CONTROL_CGROUP_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup_mount {
	int	fd;			/* O_PATH of the mount point; -1: none */
	char	path[PATH_MAX];
};

/* 0, or -ENOENT where no cgroup v2 hierarchy is mounted. */
int cgroup_mount_setup(struct cgroup_mount *mount);
void cgroup_mount_clear(struct cgroup_mount *mount);

/* Why @path cannot be one below the mount, as the end of a sentence; or NULL. */
const char *cgroup_path_fault(const char *path);

/*
 * Opens @path, a directory below the mount or a file in one; @flags as open(2) has them,
 * O_CLOEXEC is added. The descriptor or a negative errno.
 */
int cgroup_open(const struct cgroup_mount *mount, const char *path, uint64_t flags);

/* The inode number of the directory @path: 0 and @id, or a negative errno. */
int cgroup_resolve(const struct cgroup_mount *mount, const char *path, uint64_t *id);

/*
 * cgroup_join_agent(): the cgroup that stands for the agent. With @path NULL it
 * is the one that this process is in, or, where that is the root (and would
 * mean every process of the host), a child of the root, "/hoody-agent". It is
 * made where it is missing, and this process moves into it. 0 with @id and the
 * path in @joined (of PATH_MAX bytes), or a negative errno.
 */
int cgroup_join_agent(const struct cgroup_mount *mount, const char *path, uint64_t *id,
		      char *joined);

#endif /* HOODY_CONTROL_CGROUP_H */
