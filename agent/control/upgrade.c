// SPDX-License-Identifier: Apache-2.0
/* Replacing the program that runs, see upgrade.h; its check is upgrade_check.c. */
#include "control/upgrade.h"
#include "control/acme.h"
#include "control/api.h"
#include "control/control.h"
#include "control/db.h"
#include "control/upgrade_internal.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define LOOK_US		(5 * 1000ull)		/* between two looks at what is under way */
#define QUIET_LOOKS	1000			/* then calls that still go on are cut */
#define SETTLE_LOOKS	3000			/* for a worker that is being replaced */
#define START_US	(20 * 1000000ull)	/* for the first worker of the new program */

const char *upgrade_state_name(enum upgrade_state state)
{
	static const char *const names[] = {
		[UPGRADE_IDLE] = "idle",	 [UPGRADE_CHECKING] = "checking",
		[UPGRADE_WAITING] = "waiting",	 [UPGRADE_STARTING] = "starting",
		[UPGRADE_DONE] = "done",	 [UPGRADE_REFUSED] = "refused",
	};

	return names[state];
}

static void say(const char *text)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", text);
}

/* As if it were asked for now. */
static void reload_again(struct upgrade *upgrade)
{
	if (upgrade->reload)
		kill(getpid(), SIGHUP);
	upgrade->reload = false;
}

void upgrade_refuse(struct upgrade *upgrade, const char *why)
{
	upgrade->looks = sd_event_source_disable_unref(upgrade->looks);
	upgrade->state = UPGRADE_REFUSED;
	snprintf(upgrade->reason, sizeof(upgrade->reason), "%s", why);
	log_error("upgrade refused, version %s goes on: program=%s reason=\"%s\"", HOODY_VERSION,
		  upgrade->program, upgrade->reason);
	say("serving; an upgrade was refused");
	reload_again(upgrade);
}

/* ---- execve(2) ---- */

/*
 * @path takes this process over with what @state has. Returns where it does not: a
 * negative errno, and all is as it was.
 */
static int execute(const struct upgrade *upgrade, const char *path, struct handover *handover,
		   int state)
{
	char *const arguments[] = { (char *)upgrade->program, "--config",
				    (char *)upgrade->control->config_path, NULL };
	char number[16];
	int ret;

	snprintf(number, sizeof(number), "%d", state);
	ret = handover_keep(handover, true);
	if (!ret && (fcntl(state, F_SETFD, 0) < 0 || setenv(HANDOVER_VARIABLE, number, 1) < 0))
		ret = -errno;
	if (!ret) {
		execv(path, arguments);
		ret = -errno;
	}
	unsetenv(HANDOVER_VARIABLE);
	handover_keep(handover, false);
	return ret;
}

/* The configuration as it is in force: its file may be another one's already. */
static int configuration_file(const struct config *config)
{
	int fd = memfd_create("hoody-config", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, config, sizeof(*config)) != sizeof(*config)) {
		close(fd);
		return -1;
	}
	return fd;
}

int upgrade_write_state(struct upgrade *upgrade, struct handover *handover)
{
	struct control *control = upgrade->control;

	if (upgrade->self < 0)
		upgrade->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (upgrade->self < 0)
		return -errno;
	if (upgrade->configuration >= 0)
		close(upgrade->configuration);
	upgrade->configuration = configuration_file(control->config);
	return handover_save(control, handover, upgrade->self, upgrade->configuration, NULL);
}

static void hand_over(struct upgrade *upgrade)
{
	struct handover handover;
	int state, ret;

	acme_interrupt(upgrade->control->acme);
	supervise_reap(upgrade->control->supervisor);
	upgrade->state = UPGRADE_STARTING;
	state = upgrade_write_state(upgrade, &handover);
	ret = state;
	if (state >= 0) {
		log_info("hands over: version=%s program=%s", HOODY_VERSION, upgrade->program);
		ret = execute(upgrade, upgrade->program, &handover, state);
		close(state);
	}
	handover_clear(&handover);
	api_resume(upgrade->control->api);
	upgrade_refuse(upgrade, strerror(-ret));
}

/* ---- waiting ---- */

static int on_look(sd_event_source *source, uint64_t usec, void *context)
{
	struct upgrade *upgrade = context;
	struct control *control = upgrade->control;
	bool settled = supervise_settled(control->supervisor);

	upgrade->looked++;
	if (control->draining) {
		upgrade_refuse(upgrade, "the agent ends");
	} else if (!settled && upgrade->looked > SETTLE_LOOKS) {
		api_resume(control->api);
		upgrade_refuse(upgrade, "no worker serves, or one is being replaced: see the log");
	} else if (settled && (api_quiet(control->api) || upgrade->looked > QUIET_LOOKS)) {
		/* Never behind something else that this turn of the loop still has to do. */
		hand_over(upgrade);
	} else {
		sd_event_source_set_time_relative(source, LOOK_US);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

void upgrade_wait(struct upgrade *upgrade)
{
	upgrade->state = UPGRADE_WAITING;
	upgrade->looked = 0;
	api_pause(upgrade->control->api);
	upgrade->looks = sd_event_source_disable_unref(upgrade->looks);
	if (sd_event_add_time_relative(upgrade->control->event, &upgrade->looks, CLOCK_MONOTONIC,
				       LOOK_US, 1000, on_look, upgrade) >= 0)
		return;
	api_resume(upgrade->control->api);
	upgrade_refuse(upgrade, "out of memory");
}

/* ---- the new program ---- */

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
	struct upgrade *upgrade = context;

	upgrade_give_up(upgrade, upgrade->reason[0] ? upgrade->reason :
						      "no worker of it served within 20 seconds");
	return 0;
}

/* A child whose end is being told of has not been reaped yet: that is before the next turn. */
void upgrade_failed(struct upgrade *upgrade, const char *why)
{
	if (upgrade->state != UPGRADE_STARTING || !upgrade->looks)
		return;
	snprintf(upgrade->reason, sizeof(upgrade->reason), "%s", why);
	sd_event_source_set_time_relative(upgrade->looks, 0);
}

void upgrade_hold_calls(struct upgrade *upgrade)
{
	if (upgrade->state == UPGRADE_STARTING)
		api_pause(upgrade->control->api);
}

/* It stays, whatever came of it. */
static void end_trial(struct upgrade *upgrade, enum upgrade_state state)
{
	upgrade->state = state;
	if (upgrade->control->api)
		api_resume(upgrade->control->api);
}

void upgrade_serving(struct upgrade *upgrade)
{
	if (upgrade->state != UPGRADE_STARTING)
		return;
	upgrade->looks = sd_event_source_disable_unref(upgrade->looks);
	upgrade->reason[0] = '\0';
	end_trial(upgrade, UPGRADE_DONE);
	log_info("upgraded: from=%s to=%s", upgrade->from, HOODY_VERSION);
	if (upgrade->old >= 0)
		close(upgrade->old);
	if (upgrade->old_configuration >= 0)
		close(upgrade->old_configuration);
	upgrade->old = upgrade->old_configuration = -1;
	if (upgrade->control->handover)
		handover_forget(upgrade->control->handover);
	upgrade->control->handover = NULL;
	reload_again(upgrade);
}

void upgrade_give_up(struct upgrade *upgrade, const char *why)
{
	struct control *control = upgrade->control;
	struct handover handover;
	char path[64];
	int state, ret;

	if (upgrade->state != UPGRADE_STARTING)
		return;
	log_error("upgrade failed, version %s goes on: from=%s to=%s reason=\"%s\"", upgrade->from,
		  upgrade->from, HOODY_VERSION, why);
	upgrade->looks = sd_event_source_disable_unref(upgrade->looks);
	if (upgrade->old < 0 || !upgrade->can_return) {
		snprintf(upgrade->reason, sizeof(upgrade->reason), "%s", why);
		log_error("there is no way back to version %s: this one goes on", upgrade->from);
		end_trial(upgrade, UPGRADE_REFUSED);
		return;
	}
	if (control->acme)
		acme_interrupt(control->acme);
	if (control->supervisor)
		supervise_reap(control->supervisor);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", upgrade->old);
	state = handover_save(control, &handover, upgrade->old, upgrade->old_configuration, why);
	ret = state < 0 ? state : execute(upgrade, path, &handover, state);
	handover_clear(&handover);
	if (state >= 0)
		close(state);
	log_error("the program before cannot be executed again: error=\"%s\"", strerror(-ret));
	end_trial(upgrade, UPGRADE_REFUSED);
}

/* ---- life ---- */

/* What the control process before this one has left. */
static void take_over(struct upgrade *upgrade)
{
	const struct handover_found *found = upgrade->control->handover;
	yyjson_val *root = found->root;

	snprintf(upgrade->program, sizeof(upgrade->program), "%s", handover_text(root, "program"));
	snprintf(upgrade->from, sizeof(upgrade->from), "%s", handover_text(root, "from"));
	upgrade->number = (uint64_t)handover_number(root, "number");
	upgrade->old = handover_taken_fd(yyjson_obj_get(root, "old"));
	upgrade->old_configuration = handover_taken_fd(yyjson_obj_get(root, "configuration"));
	if (!found->returned) {
		upgrade->state = UPGRADE_STARTING;
		/* A database that has been changed for this version is nothing for that one. */
		upgrade->can_return = handover_number(root, "database") == DB_VERSION;
		if (sd_event_add_time_relative(upgrade->control->event, &upgrade->looks,
					       CLOCK_MONOTONIC, START_US, 1000000, on_late,
					       upgrade) < 0)
			log_error("no timer for the first worker: out of memory");
		return;
	}
	/* It is this program: what it kept for the way back is not needed any more. */
	if (upgrade->old >= 0)
		close(upgrade->old);
	if (upgrade->old_configuration >= 0)
		close(upgrade->old_configuration);
	upgrade->old = upgrade->old_configuration = -1;
	upgrade_refuse(upgrade, handover_text(root, "why"));
}

struct upgrade *upgrade_create(struct control *control)
{
	struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
	ssize_t len;

	if (!upgrade)
		return NULL;
	upgrade->control = control;
	upgrade->self = upgrade->configuration = upgrade->old = upgrade->old_configuration = -1;
	upgrade->output = -1;
	len = readlink("/proc/self/exe", upgrade->program, sizeof(upgrade->program) - 1);
	upgrade->program[len > 0 ? len : 0] = '\0';
	if (control->handover)
		take_over(upgrade);
	if (stat(upgrade->program, &upgrade->file))
		memset(&upgrade->file, 0, sizeof(upgrade->file));
	/* After a way back the file is the one that was refused: not again by itself. */
	return upgrade;
}

void upgrade_destroy(struct upgrade *upgrade)
{
	if (!upgrade)
		return;
	upgrade_check_clear(upgrade, true);
	sd_event_source_disable_unref(upgrade->looks);
	if (upgrade->self >= 0)
		close(upgrade->self);
	if (upgrade->configuration >= 0)
		close(upgrade->configuration);
	if (upgrade->old >= 0)
		close(upgrade->old);
	if (upgrade->old_configuration >= 0)
		close(upgrade->old_configuration);
	free(upgrade);
}

void upgrade_save(const struct control *control, struct handover *handover)
{
	const struct upgrade *upgrade = control->upgrade;
	/* On the way back the version is that of the program before, still. */
	const bool back = upgrade->state == UPGRADE_STARTING && upgrade->old >= 0;

	handover->failed |=
		!yyjson_mut_obj_add_strcpy(handover->document, handover->root, "program",
					   upgrade->program) ||
		!yyjson_mut_obj_add_strcpy(handover->document, handover->root, "from",
					   back ? upgrade->from : HOODY_VERSION) ||
		!yyjson_mut_obj_add_uint(handover->document, handover->root, "number",
					 upgrade->number);
}

bool upgrade_is_replaced(const struct upgrade *upgrade)
{
	const struct stat *old = &upgrade->file;
	struct stat now;

	if (stat(upgrade->program, &now))
		return false;
	return now.st_dev != old->st_dev || now.st_ino != old->st_ino ||
	       now.st_size != old->st_size || now.st_mtim.tv_sec != old->st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != old->st_mtim.tv_nsec;
}

static bool is_under_way(const struct upgrade *upgrade)
{
	return upgrade->state == UPGRADE_CHECKING || upgrade->state == UPGRADE_WAITING ||
	       upgrade->state == UPGRADE_STARTING;
}

bool upgrade_postpones(struct upgrade *upgrade)
{
	upgrade->reload |= is_under_way(upgrade);
	return is_under_way(upgrade);
}

int upgrade_begin(struct upgrade *upgrade)
{
	int ret;

	if (upgrade->control->draining || is_under_way(upgrade))
		return -EBUSY;
	upgrade->number++;
	upgrade->reason[0] = '\0';
	upgrade->state = UPGRADE_CHECKING;
	log_info("upgrade: version=%s program=%s", HOODY_VERSION, upgrade->program);
	ret = upgrade_check_start(upgrade);
	if (ret)
		upgrade_refuse(upgrade, strerror(-ret));
	return 0;
}

void upgrade_status(const struct upgrade *upgrade, struct upgrade_status *status)
{
	*status = (struct upgrade_status){
		.state = upgrade->state, .number = upgrade->number, .from = upgrade->from,
		.reason = upgrade->reason,
	};
}
