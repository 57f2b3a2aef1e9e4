// SPDX-License-Identifier: Apache-2.0
/*
 * Starting a worker or the relay, see spawn.h. Control has one thread, so that the child of
 * fork(2) may call what it likes; it still only gives things up and executes.
 */
#include "control/spawn.h"
#include "lib/ipc.h"
#include "lib/log.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A thousandth stands for one of all memory. What the unit's -1,000 (never) makes -200, which
 * is still later than a container's.
 */
#define OOM_SCORE_MORE	800
#define OOM_SCORE_MAX	1000

int spawn_identity_find(const char *user, struct spawn_identity *identity)
{
	const struct passwd *entry;

	identity->change = geteuid() == 0;
	identity->uid = geteuid();
	identity->gid = getegid();
	if (!identity->change)
		return 0;
	errno = 0;
	entry = getpwnam(user);
	if (!entry)
		return -ENOENT;
	if (entry->pw_uid == 0)
		return -EPERM;
	identity->uid = entry->pw_uid;
	identity->gid = entry->pw_gid;
	return 0;
}

/*
 * Where memory ends the kernel shall take what control can start again, and not control:
 * proc_pid_oom_score_adj(5), to which everyone may add. Without /proc nothing is lost but
 * the order.
 */
void spawn_go_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char text[32] = "";
	long score;

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0) {
		score = strtol(text, NULL, 10) + OOM_SCORE_MORE;
		snprintf(text, sizeof(text), "%ld", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
		if (pwrite(fd, text, strlen(text), 0) < 0)
			log_warning("a process cannot be made to go before control where memory "
				    "ends: error=\"%s\"", strerror(errno));
	}
	close(fd);
}

static const char *give_up_privileges(const struct spawn_identity *identity)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (identity->change) {
		/* The bounding set first: it needs CAP_SETPCAP, which goes with the user. */
		if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
			return "drop the bounding set";
		if (setgroups(0, NULL) < 0)
			return "drop supplementary groups";
		if (setresgid(identity->gid, identity->gid, identity->gid) < 0)
			return "change the group";
		if (setresuid(identity->uid, identity->uid, identity->uid) < 0)
			return "change the user";
	}
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return "drop capabilities";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "set no_new_privs";
	return NULL;
}

/* Signals, descriptors, mask: as if started by hand. */
static const char *clean_up_inherited(int sock)
{
	struct sigaction ignore_not = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &ignore_not, NULL);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return "reset the signal mask";
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return "open /dev/null";
	/* The copy has no close-on-exec flag; dup2() onto itself would keep it. */
	if (sock == IPC_WORKER_FD ? fcntl(sock, F_SETFD, 0) < 0 : dup2(sock, IPC_WORKER_FD) < 0)
		return "place the channel";
	if (close_range(IPC_WORKER_FD + 1, ~0u, 0) < 0)
		return "close other descriptors";
	umask(0077);
	if (chdir("/") < 0)
		return "change to /";
	return NULL;
}

__attribute__((noreturn)) static void be_child(const struct spawn_identity *identity, int sock,
						char *option, char *value)
{
	char *const arguments[] = { "hoody-agent", option, value, NULL };
	char journal[128] = "LC_ALL=C.UTF-8";	/* or what tells that journald listens */
	char *environment[] = { journal, NULL };
	const char *stream = getenv("JOURNAL_STREAM");
	const char *failed;

	spawn_go_first();
	if (stream)
		snprintf(journal, sizeof(journal), "JOURNAL_STREAM=%s", stream);
	failed = clean_up_inherited(sock);
	if (!failed)
		failed = give_up_privileges(identity);
	if (!failed) {
		/* The link leads to the running program even when the file was replaced. */
		execve("/proc/self/exe", arguments, environment);
		failed = "execute the program";
	}
	log_error("%s cannot be started: step=\"%s\" error=\"%s\"", option + 2, failed,
		  strerror(errno));
	_exit(126);
}

/* @value: the option's, or NULL. */
static pid_t spawn(const struct spawn_identity *identity, char *option, char *value, int *sock)
{
	int pair[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		error = errno;
		close(pair[0]);
		close(pair[1]);
		return -error;
	}
	if (pid == 0)
		be_child(identity, pair[1], option, value);
	close(pair[1]);
	*sock = pair[0];
	return pid;
}

pid_t spawn_worker(const struct spawn_identity *identity, int *sock)
{
	char option[] = "--worker";

	return spawn(identity, option, NULL, sock);
}

pid_t spawn_relay(const struct spawn_identity *identity, int *sock)
{
	char option[] = "--relay";

	return spawn(identity, option, NULL, sock);
}

pid_t spawn_resolver(const struct spawn_identity *identity, const char *name, int *sock)
{
	char option[] = "--resolve", *value = strdup(name);
	const pid_t pid = value ? spawn(identity, option, value, sock) : -ENOMEM;

	free(value);
	return pid;
}

/* What cannot be done is said on the standard error, as the program itself would. */
__attribute__((noreturn)) static void be_program(const struct spawn_identity *identity,
						 const struct spawn_program *program)
{
	struct sigaction ignore_not = { .sa_handler = SIG_DFL };
	const char *failed = "place its descriptors";
	sigset_t none;
	int null;

	spawn_go_first();
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &ignore_not, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	umask(0077);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* The descriptors that are given may be those that are wanted: out of the way first. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(program->errors, STDERR_FILENO) < 0 || fchdir(program->directory) < 0)
		goto err;
	const int sock = fcntl(program->sock, F_DUPFD_CLOEXEC, IPC_WORKER_FD + 2);
	const int file = fcntl(program->program_fd, F_DUPFD_CLOEXEC, IPC_WORKER_FD + 2);

	if (sock < 0 || file < 0 || dup2(sock, IPC_WORKER_FD) < 0 ||
	    dup2(file, IPC_WORKER_FD + 1) < 0 || close_range(IPC_WORKER_FD + 2, ~0u, 0) < 0)
		goto err;
	failed = give_up_privileges(identity);
	if (failed)
		goto err;
	execve(program->path, program->arguments, program->environment);
	failed = "execute it";
err:
	dprintf(STDERR_FILENO, "%s: cannot %s: %s\n", program->path, failed, strerror(errno));
	_exit(126);
}

pid_t spawn_program(const struct spawn_identity *identity, const struct spawn_program *program)
{
	pid_t pid = fork();

	if (pid == 0)
		be_program(identity, program);
	return pid < 0 ? -errno : pid;
}

int spawn_restrict_control(void)
{
	static const int needed[] = {
		CAP_NET_ADMIN,		/* netlink, programs on interfaces */
		CAP_BPF, CAP_PERFMON,	/* the firewall's programs and maps */
		CAP_NET_BIND_SERVICE,	/* ports below 1024, at a reload too */
		CAP_SETUID, CAP_SETGID, CAP_SETPCAP, /* to take them from a worker */
		CAP_KILL,		/* a worker that does not answer */
		CAP_DAC_READ_SEARCH,	/* keys that belong to other users */
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (geteuid() != 0)
		return 0;
	if (capng_get_caps_process() < 0)
		return -EIO;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bool keep = false;

		for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
			keep |= needed[i] == cap;
		if (!keep)
			capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
						 CAPNG_INHERITABLE | CAPNG_BOUNDING_SET, cap);
	}
	return capng_apply(CAPNG_SELECT_BOTH) < 0 ? -EPERM : 0;
}
