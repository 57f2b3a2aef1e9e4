// SPDX-License-Identifier: Apache-2.0
/* cgroup v2's freezer, see freezer.h. */
#include "control/freezer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX	32
#define CGROUPS_MAX	16384

/* A small file of the directory @dir. 0 with its text, or a negative errno. */
static int read_small(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return (int)len;
	text[len] = '\0';
	return 0;
}

int freezer_read(const struct cgroup_mount *mount, const char *path, uint64_t id,
		 struct freezer_state *state)
{
	int dir = cgroup_open(mount, path, O_RDONLY | O_DIRECTORY), ret = 0;
	char text[256];
	struct stat st;

	if (dir < 0)
		return dir;
	if (fstat(dir, &st) < 0)
		ret = -errno;
	else if (st.st_ino != id)
		ret = -ESTALE;
	if (!ret)
		ret = read_small(dir, "cgroup.freeze", text, sizeof(text));
	if (!ret) {
		state->wanted = text[0] == '1';
		ret = read_small(dir, "cgroup.events", text, sizeof(text));
	}
	if (!ret)
		state->frozen = strstr(text, "frozen 1") != NULL;
	close(dir);
	return ret;
}

struct search {
	size_t	cgroups;
	pid_t	task, tracer;
};

/* proc_pid_status(5), which everybody may read. A task that has gone is not stopped. */
static bool is_stopped(pid_t task, pid_t *tracer)
{
	char path[64], line[256];
	bool stopped = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", task);
	file = fopen(path, "re");
	if (!file)
		return false;
	*tracer = 0;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "State:\tt", 8))
			stopped = true;
		if (sscanf(line, "TracerPid: %d", tracer) == 1)
			break;
	}
	fclose(file);
	return stopped;
}

static int search_tasks(struct search *search, int dir)
{
	int fd = openat(dir, "cgroup.threads", O_RDONLY | O_CLOEXEC), ret = 0;
	char line[32];
	FILE *file;

	if (fd < 0)
		return -errno;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	while (!ret && fgets(line, sizeof(line), file)) {
		search->task = (pid_t)strtol(line, NULL, 10);
		ret = is_stopped(search->task, &search->tracer);
	}
	if (!ret && ferror(file))
		ret = -EIO;
	fclose(file);
	return ret;
}

/* Takes @dir over. */
static int search_below(struct search *search, int dir, unsigned int depth)
{
	struct dirent *entry;
	DIR *list = NULL;
	int ret = -E2BIG;

	if (depth > DEPTH_MAX || ++search->cgroups > CGROUPS_MAX)
		goto out;
	ret = search_tasks(search, dir);
	if (ret)
		goto out;
	list = fdopendir(dir);
	ret = list ? 0 : -ENOMEM;
	while (!ret && (entry = readdir(list))) {
		int below;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			ret = search_below(search, below, depth + 1);
		else if (errno != ENOENT)
			ret = -errno;
	}
out:
	if (list)
		closedir(list);
	else
		close(dir);
	return ret;
}

int freezer_find_stopped(const struct cgroup_mount *mount, const char *path, pid_t *task,
			 pid_t *tracer)
{
	int dir = cgroup_open(mount, path, O_RDONLY | O_DIRECTORY), ret;
	struct search search = { 0 };

	if (dir < 0)
		return dir;
	ret = search_below(&search, dir, 0);
	*task = search.task;
	*tracer = search.tracer;
	return ret;
}
