/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the upgrade share with each other. */
#ifndef HOODY_CONTROL_UPGRADE_INTERNAL_H
#define HOODY_CONTROL_UPGRADE_INTERNAL_H

#include "control/upgrade.h"

#include <limits.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

struct upgrade {
	struct control		*control;
	enum upgrade_state	state;
	uint64_t		number;
	char			program[PATH_MAX];
	struct stat		file;		/* of the program, when this process began */
	char			from[64], reason[UPGRADE_REASON_MAX];
	bool			can_return;
	bool			reload;		/* asked for meanwhile */
	int			self;		/* this program's file, for its way back; -1: not open */
	int			configuration;	/* this one's struct config */
	int			old, old_configuration;	/* the same of the program before */
	/* The check: */
	pid_t			pid;		/* 0: none runs */
	int			output;
	char			text[UPGRADE_REASON_MAX];
	size_t			text_len;
	sd_event_source		*child, *io, *looks;	/* looks: also when the check is late */
	unsigned int		looked;
};

/* Nothing has happened: says so, and goes on. */
void upgrade_refuse(struct upgrade *upgrade, const char *why);
/* As handover_save(), for this upgrade. */
int upgrade_write_state(struct upgrade *upgrade, struct handover *handover);
/* The check has found nothing. */
void upgrade_wait(struct upgrade *upgrade);

/* upgrade_check.c: 0, or a negative errno and nothing runs. */
int upgrade_check_start(struct upgrade *upgrade);
/* @running: it still does, or may, and is killed. */
void upgrade_check_clear(struct upgrade *upgrade, bool running);

#endif /* HOODY_CONTROL_UPGRADE_INTERNAL_H */
