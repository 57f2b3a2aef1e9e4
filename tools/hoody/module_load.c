// SPDX-License-Identifier: Apache-2.0
/* Freezer and module loader, see module_load.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "module_load.h"

#define NAME "hoody"
/* Sockets and system calls that were on their way out: they leave within moments. */
#define BUSY_TRIES 250
#define BUSY_NS	   (20 * 1000000l)

int module_freeze(const char *mount, const char *path, uint64_t id, bool frozen)
{
	char directory[2 * PATH_MAX];
	int fd, dir, ret = 0;
	struct stat st;

	snprintf(directory, sizeof(directory), "%s%s", mount, path);
	dir = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(dir, &st) || st.st_ino != id) {
		close(dir);
		return 0;
	}
	fd = openat(dir, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, frozen ? "1" : "0", 1) != 1)
		ret = -errno;
	/* Removed between the two. */
	if (ret == -ENODEV || ret == -ENOENT)
		ret = fstat(dir, &st) == 0 && st.st_nlink == 0 ? 0 : ret;
	if (fd >= 0)
		close(fd);
	close(dir);
	return ret;
}

/* The exit status of a program that is looked for in PATH; -1: it could not be run. */
static int run(char *const *arguments, bool quiet)
{
	int status, null = -1;
	sigset_t none;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* Its own words are for people: the standard output may be JSON. */
		if (quiet)
			null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (dup2(quiet ? null : STDERR_FILENO, STDOUT_FILENO) < 0 ||
		    (quiet && dup2(null, STDERR_FILENO) < 0))
			_exit(127);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

int module_find(const char *file, int *fd, char fault[MODULE_FAULT_MAX])
{
	static char *const modinfo[] = {"modinfo", "-F", "vermagic", NAME, NULL};

	*fd = -1;
	if (file) {
		*fd = open(file, O_RDONLY | O_CLOEXEC);
		if (*fd >= 0)
			return 0;
		snprintf(fault, MODULE_FAULT_MAX, "--module %.150s: %s", file, strerror(errno));
		return -1;
	}
	if (run(modinfo, true) == 0)
		return 0;
	snprintf(fault, MODULE_FAULT_MAX,
		 "there is no module " NAME " for the running kernel: install it (dkms status), or "
		 "name its file with --module");
	return -1;
}

int module_unload(char fault[MODULE_FAULT_MAX])
{
	const struct timespec pause = {.tv_nsec = BUSY_NS};

	for (int tries = 0; tries < BUSY_TRIES; tries++) {
		if (!syscall(SYS_delete_module, NAME, O_NONBLOCK) || errno == ENOENT)
			return 0;
		if (errno != EAGAIN && errno != EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == EAGAIN || errno == EBUSY)
		snprintf(fault, MODULE_FAULT_MAX,
			 "the module is in use by something that is not this agent's: another "
			 "agent, or connections of one that has ended (ss -tn)");
	else
		snprintf(fault, MODULE_FAULT_MAX, "the module cannot be unloaded: %s",
			 strerror(errno));
	return -1;
}

int module_load(const char *file, int fd, char fault[MODULE_FAULT_MAX])
{
	static char *const modprobe[] = {"modprobe", NAME, NULL};
	int status;

	if (file) {
		if (!syscall(SYS_finit_module, fd, "", 0) || errno == EEXIST)
			return 0;
		snprintf(fault, MODULE_FAULT_MAX, "%.150s cannot be loaded: %s", file,
			 strerror(errno));
		return -1;
	}
	status = run(modprobe, false);
	if (!status)
		return 0;
	snprintf(fault, MODULE_FAULT_MAX, "modprobe " NAME " failed (%d)", status);
	return -1;
}
