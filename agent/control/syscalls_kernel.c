// SPDX-License-Identifier: Apache-2.0
/*
 * Changes of profiles and attachments, in the kernel and in the database, see
 * syscalls.h for their order; and what the gate reports.
 */
#include "control/fault.h"
#include "control/kernel_sync.h"
#include "control/module.h"
#include "control/syscalls_internal.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <yyjson.h>

static bool module_ready(const struct control *control)
{
	return control->knl && knl_state(control->knl) == KNL_READY && !module_is_released(control);
}

static const char *module_reason(const struct control *control)
{
	if (!control->knl)
		return "generic netlink cannot be used";
	return module_is_released(control) ? MODULE_RELOADING : knl_reason(control->knl);
}

void syscalls_describe(const struct control *control, const struct container *container,
		       struct knl_container *out)
{
	const struct syscalls_attachment *attachment = syscalls_find(control->syscalls,
								     container->id);

	if (!attachment)
		return;
	memcpy(out->profile, attachment->profile, sizeof(out->profile));
	out->gate_mode = attachment->mode;
}

int syscalls_load(const struct control *control, const struct knl_container *out)
{
	const struct syscalls_profile *profile;

	if (!out->profile[0])
		return 0;
	profile = syscalls_profile_find(control->syscalls, out->profile);
	return knl_profile_set(control->knl, profile->name, profile->generation, profile->table);
}

/* The kernel keeps tables for nobody. */
static void unload_unused(const struct control *control, const char *name)
{
	if (module_ready(control) && !syscalls_users(control->syscalls, name))
		knl_profile_del(control->knl, name);
}

static int on_events(sd_event_source *source, int fd, uint32_t events, void *context);

struct resync {
	struct control	*control;
	char		(*names)[HOODY_PROFILE_NAME_MAX + 1];
	size_t		count, room;
};

static void note_name(void *context, const char *name, uint32_t users)
{
	struct resync *resync = context;

	if (resync->count == resync->room) {
		size_t room = resync->room ? resync->room * 2 : 64;
		void *grown = reallocarray(resync->names, room, sizeof(*resync->names));

		if (!grown)
			return;
		resync->names = grown;
		resync->room = room;
	}
	snprintf(resync->names[resync->count++], sizeof(*resync->names), "%s", name);
}

void syscalls_resync(struct control *control)
{
	struct syscalls *syscalls = control->syscalls;
	struct resync resync = { .control = control };

	if (!syscalls->events && knl_events_fd(control->knl) >= 0)
		sd_event_add_io(control->event, &syscalls->events, knl_events_fd(control->knl),
				EPOLLIN, on_events, control);
	if (!knl_profile_dump(control->knl, note_name, &resync)) {
		for (size_t i = 0; i < resync.count; i++) {
			const char *name = resync.names[i];
			const struct syscalls_profile *profile = syscalls_profile_find(syscalls, name);

			if (!profile || !syscalls_users(syscalls, name))
				knl_profile_del(control->knl, name);
			else if (knl_profile_set(control->knl, name, profile->generation,
						 profile->table))
				log_error("kernel refuses a profile, its former table holds: profile=%s text=\"%s\"",
					  name, knl_fault(control->knl));
		}
	}
	free(resync.names);
}

/* What a container needs so that a profile can hold for it. 0 or -ECANCELED. */
static int check_enforceable(const struct control *control, const struct container *container,
			     const char *name, char *fault, size_t fault_size)
{
	if (!module_ready(control))
		return fault_set(-ECANCELED, fault, fault_size,
				 "the syscall profile %s cannot be enforced: %s", name,
				 module_reason(control));
	/* What is frozen while it lasts was settled at its beginning. */
	if (module_is_reloading(control))
		return fault_set(-ECANCELED, fault, fault_size,
				 "the syscall profile %s cannot be attached: %s", name,
				 MODULE_RELOADING);
	if (!container->cgroup_id)
		return fault_set(-ECANCELED, fault, fault_size,
				 "the syscall profile %s needs the container's cgroup: register it with --cgroup",
				 name);
	return 0;
}

/*
 * Where the commit fails after this, the kernel knows a container that does not
 * run: its profile holds for a cgroup that has to go, and the next comparison of
 * the registries takes it out.
 */
int syscalls_prepare(struct control *control, const struct container *container, char *fault,
		     size_t fault_size)
{
	const struct syscalls_attachment *attachment = syscalls_find(control->syscalls,
								     container->id);
	int ret;

	if (!attachment)
		return 0;
	/* It may have been loaded a moment ago. */
	if (control->knl && !module_ready(control))
		knl_probe(control->knl);
	ret = check_enforceable(control, container, attachment->profile, fault, fault_size);
	if (ret)
		return ret;
	ret = kernel_sync_register(control, container);
	/* Without its addresses, which somebody has still, its profile holds. */
	if (!ret || ret == -EADDRINUSE)
		return 0;
	return fault_set(ret, fault, fault_size, "the kernel refuses the syscall profile %s: %s",
			 attachment->profile, knl_fault(control->knl));
}

const char *syscalls_unenforced(const struct control *control, const struct container *container)
{
	if (!container->running || !syscalls_find(control->syscalls, container->id))
		return "";
	if (!module_ready(control))
		return module_reason(control);
	if (container->kernel_state != MODEL_KERNEL_SET)
		return "the kernel refuses it, see the agent's log; it is tried again every 10 s";
	return "";
}

/* --- profiles --- */

/* Is @name in force for a container that runs? */
static bool in_use(const struct control *control, const char *name)
{
	const struct syscalls *syscalls = control->syscalls;

	for (size_t i = 0; i < syscalls->attachments_count; i++) {
		const struct syscalls_attachment *attachment = &syscalls->attachments[i];
		const struct container *container = model_find(control->model, attachment->id);

		if (container && container->running && !strcmp(attachment->profile, name))
			return true;
	}
	return false;
}

int syscalls_profile_put(struct control *control, struct syscalls_profile *profile, char *fault,
			 size_t fault_size)
{
	struct syscalls *syscalls = control->syscalls;
	struct syscalls_profile *old = NULL;
	bool found, live;
	size_t place = syscalls_profile_place(syscalls, profile->name, &found);
	char *text;
	int ret;

	if (found)
		old = syscalls->profiles[place];
	else if (syscalls->profiles_count == SYSCALLS_PROFILES_MAX)
		return fault_set(-ENOSPC, fault, fault_size, "there are %d profiles: delete one first",
				 SYSCALLS_PROFILES_MAX);
	text = syscalls_profile_text(profile);
	if (!text)
		return fault_set(-ENOMEM, fault, fault_size, "out of memory");
	profile->generation = db_generation(control->db);
	live = old && in_use(control, profile->name) && module_ready(control);
	if (live && knl_profile_set(control->knl, profile->name, profile->generation,
				    profile->table)) {
		free(text);
		return fault_set(-ECANCELED, fault, fault_size, "the kernel refuses the profile: %s",
				 knl_fault(control->knl));
	}
	ret = db_put_document(control->db, DB_KIND_PROFILE, profile->name, strlen(profile->name),
			      text, &profile->generation);
	free(text);
	if (ret) {
		if (live)
			knl_profile_set(control->knl, old->name, old->generation, old->table);
		return fault_set(ret, fault, fault_size, "%s", db_fault(control->db));
	}
	if (!found) {
		memmove(&syscalls->profiles[place + 1], &syscalls->profiles[place],
			(syscalls->profiles_count - place) * sizeof(*syscalls->profiles));
		syscalls->profiles_count++;
	}
	syscalls->profiles[place] = profile;
	syscalls_profile_free(old);
	log_info("syscall profile loaded: profile=%s containers=%zu live=%s", profile->name,
		 syscalls_users(syscalls, profile->name), live ? "yes" : "no");
	return 0;
}

int syscalls_profile_delete(struct control *control, const char *name, char *fault,
			    size_t fault_size)
{
	struct syscalls *syscalls = control->syscalls;
	size_t users = syscalls_users(syscalls, name), place;
	bool found;
	int ret;

	if (users)
		return fault_set(-EBUSY, fault, fault_size,
				 "%zu container%s it: detach it first, or attach another", users,
				 users == 1 ? " has" : "s have");
	place = syscalls_profile_place(syscalls, name, &found);
	ret = db_put_document(control->db, DB_KIND_PROFILE, name, strlen(name), NULL, NULL);
	if (ret)
		return fault_set(ret, fault, fault_size, "%s", db_fault(control->db));
	unload_unused(control, name);
	syscalls_profile_free(syscalls->profiles[place]);
	syscalls->profiles_count--;
	memmove(&syscalls->profiles[place], &syscalls->profiles[place + 1],
		(syscalls->profiles_count - place) * sizeof(*syscalls->profiles));
	return 0;
}

/* --- attachments --- */

/* Sets or, with an empty profile, clears. 0 or -ENOMEM. */
static int set_attachment(struct syscalls *syscalls, const struct syscalls_attachment *attachment)
{
	if (attachment->profile[0])
		return syscalls_set(syscalls, attachment);
	syscalls_clear(syscalls, attachment->id);
	return 0;
}

/* In memory and, where the container runs, in the kernel; or nothing has changed. */
static int apply(struct control *control, const struct container *container,
		 const struct syscalls_attachment *before,
		 const struct syscalls_attachment *after, char *fault, size_t fault_size)
{
	int ret = set_attachment(control->syscalls, after);

	if (ret)
		return fault_set(ret, fault, fault_size, "out of memory");
	if (!container->running || !module_ready(control))
		return 0;
	ret = kernel_sync_register(control, container);
	if (!ret)
		return 0;
	fault_set(ret, fault, fault_size, "the kernel refuses it: %s", knl_fault(control->knl));
	set_attachment(control->syscalls, before);
	/* There the profile was attached all the same, see kernel_sync_register(). */
	if (ret == -EADDRINUSE)
		kernel_sync_register(control, container);
	return -ECANCELED;
}

static int store(struct control *control, const struct syscalls_attachment *attachment)
{
	char body[160];

	snprintf(body, sizeof(body), "{\"profile\":\"%s\",\"mode\":\"%s\"}", attachment->profile,
		 syscalls_modes[attachment->mode]);
	return db_put_document(control->db, DB_KIND_SYSCALLS, attachment->id, ID_LEN,
			       attachment->profile[0] ? body : NULL, NULL);
}

int syscalls_attach(struct control *control, const struct container *container, const char *name,
		    uint32_t mode, char *fault, size_t fault_size)
{
	const struct syscalls_attachment *now = syscalls_find(control->syscalls, container->id);
	struct syscalls_attachment before = { .mode = HOODY_GATE_ENFORCE };
	struct syscalls_attachment after = { .mode = mode };
	char id[ID_TEXT_LEN + 1];
	int ret;

	memcpy(before.id, container->id, ID_LEN);
	memcpy(after.id, container->id, ID_LEN);
	if (now)
		before = *now;
	if (name)
		snprintf(after.profile, sizeof(after.profile), "%s", name);
	if (name && container->running) {
		ret = check_enforceable(control, container, name, fault, fault_size);
		if (ret)
			return ret;
	}
	ret = apply(control, container, &before, &after, fault, fault_size);
	if (ret)
		return ret;
	ret = store(control, &after);
	if (ret) {
		fault_set(ret, fault, fault_size, "%s", db_fault(control->db));
		set_attachment(control->syscalls, &before);
		if (container->running && module_ready(control) &&
		    kernel_sync_register(control, container))
			log_error("a profile that could not be stored stays attached: text=\"%s\"",
				  knl_fault(control->knl));
		return ret;
	}
	if (before.profile[0] && strcmp(before.profile, after.profile))
		unload_unused(control, before.profile);
	/* What the kernel refused before it has taken now. */
	if (container->kernel_state == MODEL_KERNEL_FAILED)
		kernel_sync_container(control, model_find(control->model, container->id));
	id_format(container->id, id);
	log_info("syscall profile attached: container=%.8s profile=%s mode=%s", id,
		 name ? name : "none", name ? syscalls_modes[mode] : "none");
	return 0;
}

/* --- what the gate reports --- */

static void keep_denial(void *context, const struct knl_denial *call)
{
	struct syscalls *syscalls = context;
	struct syscalls_denial *denial =
		&syscalls->denials[syscalls->denials_count++ % SYSCALLS_DENIALS_MAX];

	denial->time = time(NULL);
	denial->call = *call;
}

static int on_events(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct control *control = context;

	knl_denials(control->knl, keep_denial, control->syscalls);
	return 0;
}
