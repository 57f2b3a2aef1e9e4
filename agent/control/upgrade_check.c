// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of the check before a handover, see upgrade.h: the running control
 * starts the other program as a child with --check-handover, gives it what it would
 * hand over as descriptor 3, and reads what it says; here is also what that option
 * does. The child opens neither database nor sockets, and changes nothing.
 */
#include "control/certificate.h"
#include "control/config.h"
#include "control/control.h"
#include "control/db.h"
#include "control/firewall.h"
#include "control/reload.h"
#include "control/spawn.h"
#include "control/upgrade_internal.h"
#include "lib/image.h"
#include "lib/ipc.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_US	(20 * 1000000ull)

/* ---- the running control ---- */

void upgrade_check_clear(struct upgrade *upgrade, bool running)
{
	if (upgrade->pid && running) {
		kill(upgrade->pid, SIGKILL);
		waitpid(upgrade->pid, NULL, 0);
	}
	upgrade->pid = 0;
	upgrade->child = sd_event_source_disable_unref(upgrade->child);
	upgrade->io = sd_event_source_disable_unref(upgrade->io);
	if (upgrade->output >= 0)
		close(upgrade->output);
	upgrade->output = -1;
}

static void read_output(struct upgrade *upgrade)
{
	char rest[512];
	ssize_t got;

	do {
		const size_t room = sizeof(upgrade->text) - 1 - upgrade->text_len;

		got = room ? read(upgrade->output, upgrade->text + upgrade->text_len, room) :
			     read(upgrade->output, rest, sizeof(rest));
		if (got > 0 && room)
			upgrade->text_len += (size_t)got;
	} while (got > 0);
	if (got == 0)
		sd_event_source_set_enabled(upgrade->io, SD_EVENT_OFF);
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *context)
{
	read_output(context);
	return 0;
}

static int on_checked(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct upgrade *upgrade = context;
	const bool good = info->si_code == CLD_EXITED && !info->si_status;
	char why[UPGRADE_REASON_MAX + 64];

	read_output(upgrade);
	upgrade_check_clear(upgrade, false);
	upgrade->looks = sd_event_source_disable_unref(upgrade->looks);
	if (good) {
		upgrade_wait(upgrade);
		return 0;
	}
	/* Lines of its own, which are to be one of the log. */
	upgrade->text[upgrade->text_len] = '\0';
	for (char *at = upgrade->text; *at; at++)
		*at = *at == '"' || (unsigned char)*at < ' ' ? ' ' : *at;
	for (size_t len = strlen(upgrade->text); len && upgrade->text[len - 1] == ' '; len--)
		upgrade->text[len - 1] = '\0';
	if (upgrade->text[0])
		snprintf(why, sizeof(why), "%s", upgrade->text);
	else if (info->si_code == CLD_EXITED)
		snprintf(why, sizeof(why), "the new program ended with status %d", info->si_status);
	else
		snprintf(why, sizeof(why), "the new program was ended by signal %d",
			 info->si_status);
	upgrade_refuse(upgrade, why);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
	upgrade_check_clear(context, true);
	upgrade_refuse(context, "the new program did not finish its check in 20 seconds");
	return 0;
}

__attribute__((noreturn)) static void be_check(const struct upgrade *upgrade, int state, int output)
{
	char *const arguments[] = { "hoody-agent", "--config", (char *)upgrade->control->config_path,
				    "--check-handover", NULL };
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null, kept, said;

	spawn_go_first();
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &usual, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	kept = fcntl(state, F_DUPFD_CLOEXEC, IPC_WORKER_FD + 1);
	said = fcntl(output, F_DUPFD_CLOEXEC, IPC_WORKER_FD + 1);
	if (null < 0 || kept < 0 || said < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0 ||
	    dup2(kept, IPC_WORKER_FD) < 0 || close_range(IPC_WORKER_FD + 1, ~0u, 0) < 0)
		_exit(126);
	execv(upgrade->program, arguments);
	dprintf(STDERR_FILENO, "%s cannot be executed: %s\n", upgrade->program, strerror(errno));
	_exit(126);
}

int upgrade_check_start(struct upgrade *upgrade)
{
	sd_event *event = upgrade->control->event;
	struct handover handover;
	int state, ends[2], ret;

	state = upgrade_write_state(upgrade, &handover);
	handover_clear(&handover);
	if (state < 0)
		return state;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = -errno;
		close(state);
		return ret;
	}
	upgrade->text_len = 0;
	upgrade->output = ends[0];
	upgrade->pid = fork();
	if (upgrade->pid == 0)
		be_check(upgrade, state, ends[1]);
	ret = upgrade->pid < 0 ? -errno : 0;
	close(state);
	close(ends[1]);
	if (ret)
		upgrade->pid = 0;
	if (!ret &&
	    (sd_event_add_child(event, &upgrade->child, upgrade->pid, WEXITED, on_checked,
				upgrade) < 0 ||
	     sd_event_add_io(event, &upgrade->io, upgrade->output, EPOLLIN, on_output, upgrade) < 0 ||
	     sd_event_add_time_relative(event, &upgrade->looks, CLOCK_MONOTONIC, CHECK_US, 1000,
					on_late, upgrade) < 0))
		ret = -ENOMEM;
	if (ret)
		upgrade_check_clear(upgrade, true);
	return ret;
}

/* ---- the other program ---- */

static void report(void *context, const char *line)
{
	bool *failed = context;

	if (!strncmp(line, "warning: ", 9))
		return;
	*failed = true;
	fprintf(stderr, "%s\n", line);
}

/* What only a restart can change. NULL: nothing has. */
static const char *restart_needed(yyjson_val *root, const struct config *config)
{
	if (handover_number(root, "threads") != config->settings.threads)
		return "[agent] threads";
	if (strcmp(handover_text(root, "state_directory"), config->state_directory))
		return "[agent] state_directory";
	if (strcmp(handover_text(root, "control_socket"), config->control_socket))
		return "[agent] control_socket";
	if (strcmp(handover_text(root, "cgroup"), config->cgroup))
		return "[agent] cgroup";
	return NULL;
}

/* Whether this program can go on where that one stops. 0 or -1 (said). */
static int check_found(yyjson_val *root, const struct config *config)
{
	const long long ipc = handover_number(root, "ipc"), image = handover_number(root, "image");
	const long long database = handover_number(root, "database");
	const long long firewall = handover_number(root, "firewall");
	const char *what = restart_needed(root, config);

	if (ipc != IPC_VERSION || image != IMAGE_VERSION) {
		fprintf(stderr,
			"workers of version %s would not understand version %s (%lld.%lld, %d.%d), so that "
			"nothing could be revoked in them: restart the agent instead\n",
			handover_text(root, "from"), HOODY_VERSION, ipc, image, IPC_VERSION,
			IMAGE_VERSION);
		return -1;
	}
	if (database > DB_VERSION) {
		fprintf(stderr,
			"the database has version %lld and version %s knows only up to %d: it is too old\n",
			database, HOODY_VERSION, DB_VERSION);
		return -1;
	}
	/* 0: not loaded, or of a version that did not say. */
	if (firewall && firewall != FW_LAYOUT) {
		fprintf(stderr,
			"the firewall's tables of version %s have another layout than those of version "
			"%s (%lld, %d): what is open would be cut, so restart the agent when that does "
			"no harm\n", handover_text(root, "from"), HOODY_VERSION, firewall, FW_LAYOUT);
		return -1;
	}
	if (what) {
		fprintf(stderr, "%s has changed: that needs a restart of the agent\n", what);
		return -1;
	}
	return 0;
}

int upgrade_check(const char *config_path)
{
	struct handover_found found = { 0 };
	struct spawn_identity identity;
	struct certificate node = { 0 };
	struct config *config;
	bool failed = false;
	char fault[512];

	if (handover_read(&found, IPC_WORKER_FD, fault, sizeof(fault))) {
		fprintf(stderr, "%s\n", fault);
		return 1;
	}
	config = config_load(config_path, report, &failed);
	if (!config)
		return 1;
	control_identity(config, &identity, report, &failed);
	if (config->certificate[0] && !certificate_load(config, &node, report, &failed))
		certificate_clear(&node);
	if (check_found(found.root, config))
		failed = true;
	config_free(config);
	handover_forget(&found);
	return failed;
}
