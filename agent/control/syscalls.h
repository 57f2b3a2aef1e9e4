/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syscall profiles and which container has which: the agent's half of the gate
 * (docs/syscalls.md). Profiles are kept as the JSON that they came in, and compiled
 * once; attachments belong to containers, running or not.
 *
 * Order. A profile goes into the kernel before the container that it holds for is
 * committed as running (the feature's hook "prepare"), so before anything of it is
 * reachable; what the kernel refuses then refuses the start. A change while it runs
 * goes to the kernel first, in one step that never leaves the container without a
 * table, and to the database when it holds. The registry's own synchronisation
 * (kernel_sync.c) carries the attachment with everything else of a container.
 *
 * Fail direction: a container with a profile does not start where the module is
 * absent or refuses. One that runs already stays as it is, is reported as not
 * enforced, and is tried again with every tick.
 */
#ifndef HOODY_CONTROL_SYSCALLS_H
#define HOODY_CONTROL_SYSCALLS_H

#include "control/control.h"
#include "profile/profile.h"

#define SYSCALLS_PROFILES_MAX	1024
#define SYSCALLS_DENIALS_MAX	1024	/* kept in memory, of all containers */
#define SYSCALLS_CAPS_MAX	64
#define SYSCALLS_FAULT_MAX	512
/* Refuses every call; attached in learn mode only, where no profile was named. */
#define SYSCALLS_LEARN		"hoody.learn"

struct syscalls_profile {
	char			name[HOODY_PROFILE_NAME_MAX + 1];
	char			*source;	/* JSON, as it was loaded */
	char			*caps[SYSCALLS_CAPS_MAX];	/* "CAP_...": of includes and excludes */
	size_t			caps_count;
	struct hoody_table	*table;
	uint64_t		generation;
	int64_t			loaded_at;	/* seconds since 1970 */
};

struct syscalls_attachment {
	uint8_t		id[ID_LEN];
	char		profile[HOODY_PROFILE_NAME_MAX + 1];
	uint32_t	mode;		/* enum hoody_gate_mode */
};

struct syscalls_denial {
	int64_t			time;	/* seconds since 1970 */
	struct knl_denial	call;
};

struct syscalls {
	struct syscalls_profile	*profiles[SYSCALLS_PROFILES_MAX];	/* in order of names */
	size_t			profiles_count;
	struct syscalls_profile	*learn;		/* SYSCALLS_LEARN; not among the others */
	struct syscalls_attachment *attachments;	/* in order of ids */
	size_t			attachments_count, attachments_room;
	struct syscalls_denial	denials[SYSCALLS_DENIALS_MAX];	/* a ring */
	size_t			denials_count;	/* ever; the next one's place is what remains */
	sd_event_source		*events;
};

/* The names of modes, "enforce" and "learn". */
extern const char *const syscalls_modes[__HOODY_GATE_MAX];

/* NULL: there is none. SYSCALLS_LEARN is found, too. */
struct syscalls_profile *syscalls_profile_find(const struct syscalls *syscalls, const char *name);
const struct syscalls_attachment *syscalls_find(const struct syscalls *syscalls,
						const uint8_t id[ID_LEN]);
size_t syscalls_users(const struct syscalls *syscalls, const char *name);

/* Why @name cannot be a profile's, as the end of a sentence; or NULL. */
const char *syscalls_name_fault(const char *name);

/*
 * syscalls_profile_create(): compiles. NULL with errno EINVAL (report->error says
 * why), E2BIG (as well) or ENOMEM. @accepted: it was, by whatever version.
 */
struct syscalls_profile *syscalls_profile_create(const char *name, const char *source,
						 const char *const *caps, size_t caps_count,
						 bool accepted, struct profile_report *report);
void syscalls_profile_free(struct syscalls_profile *profile);
/* What profile_compile() is to assume for @profile on this host. */
struct profile_options syscalls_options(const struct syscalls_profile *profile);

/*
 * Changes, done when they return 0; else nothing has changed, the negative errno
 * is -ENOSPC (full), -EBUSY (in use), -ECANCELED (the kernel refused, or the module
 * is not there) or another, and @fault says why in words. syscalls_profile_put()
 * takes @profile over on success, in the place of the one of its name, which all of
 * its containers lose at once. syscalls_attach(): @name NULL detaches.
 */
int syscalls_profile_put(struct control *control, struct syscalls_profile *profile, char *fault,
			 size_t fault_size);
int syscalls_profile_delete(struct control *control, const char *name, char *fault,
			    size_t fault_size);
int syscalls_attach(struct control *control, const struct container *container, const char *name,
		    uint32_t mode, char *fault, size_t fault_size);

/* For kernel_sync.c: fills @out's profile; what it names must be loaded first. */
void syscalls_describe(const struct control *control, const struct container *container,
		       struct knl_container *out);
/* Loads what @out names; 0 or a negative errno, with the kernel's words in knl_fault(). */
int syscalls_load(const struct control *control, const struct knl_container *out);
/* The module is there (again): loads what differs, and takes out what nobody needs. */
void syscalls_resync(struct control *control);

/* Whether the kernel enforces it now (or learns), or why not; "" where it does. */
const char *syscalls_unenforced(const struct control *control, const struct container *container);

#endif /* HOODY_CONTROL_SYSCALLS_H */
