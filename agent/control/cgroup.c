// SPDX-License-Identifier: Apache-2.0
/* cgroup v2, see cgroup.h. */
#include "control/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AGENT_CGROUP	"/hoody-agent"

/* proc_pid_mountinfo(5): space, tab, newline and backslash are \ooo. */
static void unescape(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* "36 35 0:30 ROOT MOUNTPOINT options [optional...] - TYPE source options" */
static bool is_cgroup2(char *line, char *mount_point)
{
	const char *type = strstr(line, " - ");
	char root[PATH_MAX];

	if (!type || strncmp(type + 3, "cgroup2 ", 8) ||
	    sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount_point) != 2)
		return false;
	unescape(mount_point);
	return true;
}

int cgroup_mount_setup(struct cgroup_mount *mount)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t size = 0;
	char *line = NULL;

	mount->fd = -1;
	if (!file)
		return -errno;
	while (mount->fd < 0 && getline(&line, &size, file) > 0) {
		if (is_cgroup2(line, mount->path))
			mount->fd = open(mount->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	free(line);
	fclose(file);
	return mount->fd < 0 ? -ENOENT : 0;
}

void cgroup_mount_clear(struct cgroup_mount *mount)
{
	if (mount->fd >= 0)
		close(mount->fd);
	mount->fd = -1;
}

const char *cgroup_path_fault(const char *path)
{
	if (path[0] != '/')
		return "does not start with /: give it relative to the cgroup2 mount, like /lxc.payload.web";
	if (!path[1])
		return "is the root of all cgroups";
	for (const char *part = path; part; part = strchr(part + 1, '/')) {
		size_t len = strcspn(part + 1, "/");

		if (len == 0)
			return "has an empty part";
		if ((len == 1 && part[1] == '.') || (len == 2 && part[1] == '.' && part[2] == '.'))
			return "holds a . or .. part";
	}
	return NULL;
}

/* openat2(2) has no wrapper in glibc. */
int cgroup_open(const struct cgroup_mount *mount, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	long fd;

	if (mount->fd < 0)
		return -ENOENT;
	while (*path == '/')
		path++;
	fd = syscall(SYS_openat2, mount->fd, *path ? path : ".", &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int cgroup_resolve(const struct cgroup_mount *mount, const char *path, uint64_t *id)
{
	int fd = cgroup_open(mount, path, O_PATH | O_DIRECTORY), ret = 0;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		ret = -errno;
	else
		*id = st.st_ino;
	close(fd);
	return ret;
}

/* The "0::PATH" line of proc_pid_cgroup(5). */
static int own_path(char *path)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX + 8];
	int ret = -ENOENT;

	if (!file)
		return -errno;
	while (ret && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) || strlen(line + 3) >= PATH_MAX)
			continue;
		strcpy(path, line + 3);
		ret = 0;
	}
	fclose(file);
	return ret;
}

static int enter(const struct cgroup_mount *mount, const char *path)
{
	char file[PATH_MAX + 16];
	int fd, ret = 0;

	if (mkdirat(mount->fd, path + 1, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	fd = cgroup_open(mount, file, O_WRONLY);
	if (fd < 0)
		return fd;
	/* 0 means the writing process, cgroups(7). */
	if (write(fd, "0", 1) != 1)
		ret = -errno;
	close(fd);
	return ret;
}

int cgroup_join_agent(const struct cgroup_mount *mount, const char *path, uint64_t *id,
		      char *joined)
{
	char own[PATH_MAX];
	int ret;

	ret = own_path(own);
	if (ret)
		return ret;
	if (!path)
		path = strcmp(own, "/") ? own : AGENT_CGROUP;
	if (strcmp(path, own)) {
		ret = enter(mount, path);
		if (ret)
			return ret;
	}
	strcpy(joined, path);
	return cgroup_resolve(mount, path, id);
}
