/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's part of exchanging the kernel module while containers run (hoody module
 * reload, docs/adr/0011). The module cannot go while a profile is attached or a socket
 * is open that carries a client's address, so both are taken off it; containers with a
 * profile are frozen from before that until their profile is confirmed by the new one.
 *
 *		begin			release			resume
 *	IDLE ---------> DRAINING --------------> RELEASED ----------> IDLE
 *	  ^		    |  resume, nobody asks	   |  nobody asks
 *	  +-----------------+ <----------------------------+
 *
 * DRAINING	workers open no more sockets with real IP; the operator's command
 *		freezes. All profiles are attached still.
 * RELEASED	checked: all that have a profile are frozen. Nothing of ours is in the
 *		module, and nothing is put there.
 *
 * The command freezes, unloads, loads and thaws; control, which has no right to any of
 * it, says when. What is to be frozen is in the database before the first is, so that it
 * stays known whoever dies when: a hold goes when its container does, or when its profile
 * is confirmed and it runs again. Control never thaws, and lets nothing be thawed before.
 */
#ifndef HOODY_CONTROL_MODULE_H
#define HOODY_CONTROL_MODULE_H

#include "control/control.h"
#include "control/documents.h"
#include "control/freezer.h"

#define MODULE_RELOADING	"the kernel module is being reloaded: wait for it, or look at " \
				"hoody status"
/* Without a call for so long, the command has died: the module is used again. */
#define MODULE_SESSION_S	60

enum module_phase {
	MODULE_IDLE,
	MODULE_DRAINING,
	MODULE_RELEASED,
};

/* A container that a reload has frozen, or is about to. */
struct module_hold {
	uint8_t		id[ID_LEN];
	unsigned int	count;		/* see documents.h */
	uint64_t	cgroup;		/* inode of the directory that is frozen */
	bool		before;		/* it was frozen before, and stays so */
};

struct module {
	struct documents	*holds;
	enum module_phase	phase;
	uint64_t		number;	/* of the reload; another one is another command's */
	uint64_t		until;	/* seconds of CLOCK_MONOTONIC */
};

bool module_is_reloading(const struct control *control);
bool module_is_released(const struct control *control);

/*
 * module_begin(): 0; -EBUSY with names in @fault where a running container has a profile
 * and @keep is false; or another negative errno, and nothing has changed. A reload that
 * was under way is over.
 */
int module_begin(struct control *control, bool keep, char *fault, size_t fault_size);

/*
 * module_check(): 0 where module_release() would let the module go, or why not yet:
 * -ENOENT	reload @number is over, or the agent was restarted
 * -EINPROGRESS	sockets with real IP are open
 * -EAGAIN	a container is not frozen yet
 * -EPERM	a task is stopped by its tracer, see freezer.h
 * -ESTALE	a container has got a profile since module_begin()
 * Any other: what the cgroup's files gave.
 */
int module_check(struct control *control, uint64_t number, char *fault, size_t fault_size);

/* 0 and the module may go; or as module_check(), or the kernel's error. */
int module_release(struct control *control, uint64_t number, char *fault, size_t fault_size);

/* The module, if it is there, is used again: profiles are attached as far as they can be. */
void module_resume(struct control *control);

/* May the container of @hold run? Where not, @reason (never empty then) says why. */
bool module_may_thaw(const struct control *control, const struct module_hold *hold,
		     const char **reason);

/* Sockets with real IP that hold the module. */
uint64_t module_connections(const struct control *control);

#endif /* HOODY_CONTROL_MODULE_H */
