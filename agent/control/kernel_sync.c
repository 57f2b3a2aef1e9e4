// SPDX-License-Identifier: Apache-2.0
/* The kernel's registry and the model, see kernel_sync.h. */
#include "control/kernel_sync.h"
#include "control/module.h"
#include "control/syscalls.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set_state(struct control *control, struct container *container,
		      enum model_kernel_state state)
{
	control->kernel_failed -= container->kernel_state == MODEL_KERNEL_FAILED;
	container->kernel_state = state;
	control->kernel_failed += container->kernel_state == MODEL_KERNEL_FAILED;
}

static bool ready(const struct control *control)
{
	return control->knl && knl_state(control->knl) == KNL_READY && !module_is_released(control);
}

/* Whose cgroup the module is to know as the agent's. 0: nobody's. */
static uint64_t wanted_agent(const struct control *control)
{
	return control->config->real_ip ? control->agent_cgroup : 0;
}

/* Does anything of @container need the module? */
static bool needed(const struct control *control, const struct container *container)
{
	struct knl_container wanted = { 0 };

	syscalls_describe(control, container, &wanted);
	return control->config->real_ip || wanted.profile[0];
}

static void set_absent(struct control *control, struct container *container)
{
	set_state(control, container, container->running && needed(control, container) ?
					      MODEL_KERNEL_FAILED : MODEL_KERNEL_ABSENT);
}

static void describe(const struct control *control, const struct container *container,
		     struct knl_container *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->id, container->id, ID_LEN);
	memcpy(out->project, container->project, ID_LEN);
	out->generation = container->generation;
	out->cgroup_id = container->cgroup_id;
	out->flags = wanted_agent(control) ? HOODY_CONTAINER_REALIP : 0;
	syscalls_describe(control, container, out);
	for (unsigned int i = 0; i < container->addresses_count; i++)
		out->addresses[out->addresses_count++] = container->addresses[i];
}

static void log_refusal(const struct control *control, const struct container *container, int error)
{
	char id[ID_TEXT_LEN + 1];

	id_format(container->id, id);
	log_warning("kernel refuses a container, neither its clients' addresses nor its profile hold: "
		    "container=%.8s error=\"%s\" text=\"%s\"",
		    id, strerror(-error), knl_fault(control->knl));
}

int kernel_sync_register(const struct control *control, const struct container *container)
{
	struct knl_container wanted, known;
	int ret;

	describe(control, container, &wanted);
	if (!wanted.generation)
		wanted.generation = 1;
	ret = syscalls_load(control, &wanted);
	if (!ret)
		ret = knl_container_set(control->knl, &wanted);
	/*
	 * The registry outlived a database that is older: ours is the truth, under the
	 * generation that is there. Taking the old one out first would leave the
	 * container without its profile for a moment.
	 */
	if (ret == -ESTALE && !knl_container_get(control->knl, container->id, &known)) {
		wanted.generation = known.generation;
		ret = knl_container_set(control->knl, &wanted);
	}
	/* Somebody else has its address still. Its profile need not wait for that. */
	if (ret == -EADDRINUSE && wanted.profile[0]) {
		struct knl_container without = wanted;

		without.addresses_count = 0;
		knl_container_set(control->knl, &without);
		/* For the words of the refusal. */
		ret = knl_container_set(control->knl, &wanted);
	}
	return ret;
}

void kernel_sync_container(struct control *control, struct container *container)
{
	int ret;

	if (!container->running) {
		kernel_sync_remove(control, container->id);
		set_state(control, container, MODEL_KERNEL_ABSENT);
		return;
	}
	if (!ready(control)) {
		set_absent(control, container);
		return;
	}
	ret = kernel_sync_register(control, container);
	if (ret)
		log_refusal(control, container, ret);
	set_state(control, container, ret ? MODEL_KERNEL_FAILED : MODEL_KERNEL_SET);
}

void kernel_sync_remove(struct control *control, const uint8_t id[ID_LEN])
{
	const struct container *container = model_find(control->model, id);
	int ret;

	if (!ready(control) || (container && container->running))
		return;
	ret = knl_container_del(control->knl, id);
	if (ret)
		log_warning("kernel keeps a container that is gone: error=\"%s\" text=\"%s\"",
			    strerror(-ret), knl_fault(control->knl));
}

/* What a dump of the registry showed to be wrong, gathered before it is repaired. */
struct difference {
	struct control	*control;
	uint8_t		(*unknown)[ID_LEN];
	size_t		unknown_count, unknown_room;
	bool		out_of_memory;
};

static bool same(const struct control *control, const struct container *container,
		 const struct knl_container *kernel)
{
	struct knl_container wanted;

	describe(control, container, &wanted);
	/* A generation ahead of ours is kept, see kernel_sync_register(). */
	if (memcmp(wanted.project, kernel->project, ID_LEN) ||
	    wanted.generation > kernel->generation || wanted.cgroup_id != kernel->cgroup_id ||
	    wanted.flags != kernel->flags || wanted.addresses_count != kernel->addresses_count ||
	    wanted.gate_mode != kernel->gate_mode || strcmp(wanted.profile, kernel->profile))
		return false;
	/* The kernel may report another order, of the two families at least. */
	for (unsigned int i = 0; i < wanted.addresses_count; i++) {
		unsigned int j = 0;

		while (j < kernel->addresses_count &&
		       !address_equal(&wanted.addresses[i], &kernel->addresses[j]))
			j++;
		if (j == kernel->addresses_count)
			return false;
	}
	return true;
}

static void compare_restart(void *context)
{
	struct difference *difference = context;

	difference->unknown_count = 0;
	for (size_t i = 0; i < model_containers_count(difference->control->model); i++) {
		struct container *container = model_container_at(difference->control->model, i);

		set_state(difference->control, container,
			  container->running ? MODEL_KERNEL_FAILED : MODEL_KERNEL_ABSENT);
	}
}

static void note_unknown(struct difference *difference, const struct knl_container *kernel)
{
	if (difference->unknown_count == difference->unknown_room) {
		size_t room = difference->unknown_room ? difference->unknown_room * 2 : 64;
		void *grown = reallocarray(difference->unknown, room, ID_LEN);

		if (!grown) {
			difference->out_of_memory = true;
			return;
		}
		difference->unknown = grown;
		difference->unknown_room = room;
	}
	memcpy(difference->unknown[difference->unknown_count++], kernel->id, ID_LEN);
}

static void compare_one(void *context, const struct knl_container *kernel)
{
	struct difference *difference = context;
	struct container *container = model_find(difference->control->model, kernel->id);

	if (container && container->running) {
		if (same(difference->control, container, kernel))
			set_state(difference->control, container, MODEL_KERNEL_SET);
		return;
	}
	note_unknown(difference, kernel);
}

static void release_restart(void *context)
{
	struct difference *difference = context;

	difference->unknown_count = 0;
}

/* Every one of them is to go. */
static void release_one(void *context, const struct knl_container *kernel)
{
	note_unknown(context, kernel);
}

int kernel_sync_release(struct control *control)
{
	struct difference difference = { .control = control };
	int ret;

	if (!ready(control))
		return 0;
	ret = knl_dump(control->knl, release_restart, release_one, &difference);
	if (!ret && difference.out_of_memory)
		ret = -ENOMEM;
	for (size_t i = 0; !ret && i < difference.unknown_count; i++)
		ret = knl_container_del(control->knl, difference.unknown[i]);
	if (!ret)
		ret = knl_agent_set(control->knl, 0);
	free(difference.unknown);
	return ret;
}

/* First out, then in: an address may have moved from one to another. */
static void repair(struct control *control, const struct difference *difference)
{
	size_t set = 0;

	for (size_t i = 0; i < difference->unknown_count; i++)
		knl_container_del(control->knl, difference->unknown[i]);
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		if (container->kernel_state != MODEL_KERNEL_FAILED)
			continue;
		/*
		 * An older record of it may hold what another one needs by now. Taking it
		 * out would take its profile away from tasks that run: where it has one it
		 * is only replaced, and what that leaves in the way goes in the second pass.
		 */
		if (!syscalls_find(control->syscalls, container->id))
			knl_container_del(control->knl, container->id);
	}
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		if (container->kernel_state != MODEL_KERNEL_FAILED)
			continue;
		kernel_sync_container(control, container);
		set++;
	}
	kernel_sync_failed(control);
	if (set || difference->unknown_count)
		log_info("kernel registry repaired: set=%zu removed=%zu failed=%zu", set,
			 difference->unknown_count, control->kernel_failed);
}

static void all_failed(struct control *control)
{
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		set_absent(control, container);
	}
}

static void tell_real_ip(struct control *control)
{
	bool on = control_real_ip_mode(control) == IMAGE_REAL_IP_ON;

	if (!control->config->real_ip || (control->real_ip_told && control->real_ip_was_on == on))
		return;
	if (on)
		log_info("real IP is on: module=%s containers=%zu",
			 knl_info(control->knl)->version, model_running_count(control->model));
	else
		log_warning("real IP is unavailable, containers see the host's address until it is: reason=\"%s\"",
			    kernel_sync_reason(control));
	control->real_ip_told = true;
	control->real_ip_was_on = on;
}

bool kernel_sync_all(struct control *control)
{
	struct difference difference = { .control = control };
	int ret;

	if (!control->knl)
		return false;
	if (knl_probe(control->knl) == KNL_READY && !module_is_released(control) &&
	    knl_info(control->knl)->agent_cgroup != wanted_agent(control)) {
		ret = knl_agent_set(control->knl, wanted_agent(control));
		if (ret)
			log_error("kernel refuses the agent: error=\"%s\" text=\"%s\"",
				  strerror(-ret), knl_fault(control->knl));
	}
	tell_real_ip(control);
	if (!ready(control)) {
		all_failed(control);
		return true;
	}
	syscalls_resync(control);
	ret = knl_dump(control->knl, compare_restart, compare_one, &difference);
	if (ret || difference.out_of_memory) {
		log_error("kernel registry cannot be read: error=\"%s\"", strerror(-ret));
		all_failed(control);
	} else {
		repair(control, &difference);
	}
	free(difference.unknown);
	return true;
}

bool kernel_sync_failed(struct control *control)
{
	size_t before = control->kernel_failed;

	if (!before || !ready(control))
		return false;
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		if (container->kernel_state == MODEL_KERNEL_FAILED)
			kernel_sync_container(control, container);
	}
	return control->kernel_failed != before;
}

bool kernel_sync_tick(struct control *control)
{
	enum knl_state before;

	if (!control->knl)
		return false;
	if (module_is_released(control))
		return false;
	before = knl_state(control->knl);
	if (knl_probe(control->knl) != before)
		return kernel_sync_all(control);
	if (!ready(control))
		return false;
	/* Unloaded and loaded again between two looks: it knows nothing of us. */
	if (knl_info(control->knl)->agent_cgroup != wanted_agent(control))
		return kernel_sync_all(control);
	return kernel_sync_failed(control);
}

const char *kernel_sync_reason(const struct control *control)
{
	if (!control->config->real_ip)
		return "";
	if (!control->knl)
		return "generic netlink cannot be used";
	if (module_is_reloading(control))
		return MODULE_RELOADING;
	if (knl_state(control->knl) != KNL_READY)
		return knl_reason(control->knl);
	if (!control->agent_cgroup)
		return "the agent has no cgroup of its own: mount cgroup2 on /sys/fs/cgroup, or set [agent] cgroup";
	return "";
}

void kernel_sync_withdraw(struct control *control)
{
	if (ready(control))
		knl_agent_set(control->knl, 0);
}
