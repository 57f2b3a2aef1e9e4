/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control process: one thread, one event loop, the owner of all policy.
 *
 * A change travels in one order, see change.h:
 *	database committed -> model -> kernel and image -> worker has it -> answer
 * and what revokes goes through the worker before the kernel forgets.
 *
 * It never reads a byte that a client or a container sent.
 */
#ifndef HOODY_CONTROL_CONTROL_H
#define HOODY_CONTROL_CONTROL_H

#include "control/cgroup.h"
#include "control/config.h"
#include "control/db.h"
#include "control/model.h"
#include "control/permission_store.h"
#include "control/supervise.h"
#include "kernel/genl.h"
#include "lib/wall.h"

#include <systemd/sd-event.h>

struct api;
struct audit;
struct metrics;
struct tokens;
struct aliases;
struct certificates;
struct documents;
struct acme;
struct ksm;
struct publisher;
struct module;
struct syscalls;
struct handover_found;
struct upgrade;
struct firewall;
struct network;

struct control {
	const char		*config_path;
	struct config		*config;
	sd_event		*event;
	struct db		*db;
	struct model		*model;
	struct permission_store	*permissions;
	struct knl		*knl;		/* NULL where netlink cannot be used */
	struct syscalls		*syscalls;
	struct module		*module;	/* what its reload has frozen */
	struct cgroup_mount	cgroups;
	sd_event_source		*kernel_events;
	uint64_t		agent_cgroup;	/* 0: not registered */
	struct ksm		*ksm;
	uint32_t		agent_cgroup_level;	/* depth below the root */
	struct publisher	*publisher;
	struct supervisor	*supervisor;
	struct api		*api;
	struct audit		*audit;		/* NULL: no sink is configured */
	struct metrics		*metrics;
	struct tokens		*tokens;
	struct aliases		*aliases;
	struct documents	*limits, *services;
	struct certificates	*certificates;
	struct acme		*acme;
	struct network		*network;
	struct upgrade		*upgrade;
	struct handover_found	*handover;	/* of the control before; NULL: none, or it is over */
	bool			relay_taken;	/* its relay is this one's */
	struct firewall		*firewall;
	uint64_t		started_us;	/* CLOCK_MONOTONIC */
	char			refusal[512];	/* why a feature refused a change */
	struct wall		wall;
	size_t			kernel_failed;	/* containers in MODEL_KERNEL_FAILED */
	bool			serving_told;	/* READY=1 has been sent */
	bool			real_ip_told, real_ip_was_on;	/* what the log said last */
	bool			draining;
	int			exit_status;
};

/*
 * control_run(): runs the agent with the configuration of @path until it is
 * told to end. Returns the exit status.
 */
int control_run(const char *path);

/* control_check(): hoody-agent --check: 0 where the configuration is good. */
int control_check(const char *path);

/* The mode that the image and the status show. */
enum image_real_ip_mode control_real_ip_mode(const struct control *control);

#endif /* HOODY_CONTROL_CONTROL_H */
