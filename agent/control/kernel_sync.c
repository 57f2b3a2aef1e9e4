// SPDX-License-Identifier: Apache-2.0
/* The kernel's registry and the model, see kernel_sync.h. */
#include "control/kernel_sync.h"
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
	return control->knl && knl_state(control->knl) == KNL_READY && control->agent_cgroup;
}

static void describe(const struct container *container, struct knl_container *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->id, container->id, ID_LEN);
	memcpy(out->project, container->project, ID_LEN);
	out->generation = container->generation;
	out->cgroup_id = container->cgroup_id;
	out->flags = HOODY_CONTAINER_REALIP;
	for (unsigned int i = 0; i < container->addresses_count; i++)
		out->addresses[out->addresses_count++] = container->addresses[i];
}

static void log_refusal(const struct control *control, const struct container *container, int error)
{
	char id[ID_TEXT_LEN + 1];

	id_format(container->id, id);
	log_warning("kernel refuses a container, its clients' addresses are not shown to it: "
		    "container=%.8s error=\"%s\" text=\"%s\"",
		    id, strerror(-error), knl_fault(control->knl));
}

void kernel_sync_container(struct control *control, struct container *container)
{
	struct knl_container wanted;
	int ret;

	if (!container->running) {
		kernel_sync_remove(control, container->id);
		set_state(control, container, MODEL_KERNEL_ABSENT);
		return;
	}
	if (!control->knl) {
		set_state(control, container, MODEL_KERNEL_ABSENT);
		return;
	}
	if (!ready(control)) {
		set_state(control, container, MODEL_KERNEL_FAILED);
		return;
	}
	describe(container, &wanted);
	ret = knl_container_set(control->knl, &wanted);
	/* The registry outlived a database that is older: ours is the truth. */
	if (ret == -ESTALE && !knl_container_del(control->knl, container->id))
		ret = knl_container_set(control->knl, &wanted);
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

static bool same(const struct container *container, const struct knl_container *kernel)
{
	struct knl_container wanted;

	describe(container, &wanted);
	if (memcmp(wanted.project, kernel->project, ID_LEN) ||
	    wanted.generation != kernel->generation || wanted.cgroup_id != kernel->cgroup_id ||
	    wanted.flags != kernel->flags || wanted.addresses_count != kernel->addresses_count)
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

static void compare_one(void *context, const struct knl_container *kernel)
{
	struct difference *difference = context;
	struct container *container = model_find(difference->control->model, kernel->id);

	if (container && container->running) {
		if (same(container, kernel))
			set_state(difference->control, container, MODEL_KERNEL_SET);
		return;
	}
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
		/* An older record of it may hold what another one needs by now. */
		knl_container_del(control->knl, container->id);
	}
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		if (container->kernel_state != MODEL_KERNEL_FAILED)
			continue;
		kernel_sync_container(control, container);
		set++;
	}
	if (set || difference->unknown_count)
		log_info("kernel registry repaired: set=%zu removed=%zu failed=%zu", set,
			 difference->unknown_count, control->kernel_failed);
}

static void all_failed(struct control *control)
{
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);

		set_state(control, container,
			  container->running ? MODEL_KERNEL_FAILED : MODEL_KERNEL_ABSENT);
	}
}

bool kernel_sync_all(struct control *control)
{
	struct difference difference = { .control = control };
	int ret;

	if (!control->knl)
		return false;
	if (knl_probe(control->knl) == KNL_READY && control->agent_cgroup) {
		ret = knl_agent_set(control->knl, control->agent_cgroup);
		if (ret)
			log_error("kernel refuses the agent: error=\"%s\" text=\"%s\"",
				  strerror(-ret), knl_fault(control->knl));
	}
	if (!ready(control)) {
		all_failed(control);
		if (!control->real_ip_told || control->real_ip_was_on)
			log_warning("real IP is unavailable, containers see the host's address until it is: reason=\"%s\"",
				    kernel_sync_reason(control));
		control->real_ip_told = true;
		control->real_ip_was_on = false;
		return true;
	}
	ret = knl_dump(control->knl, compare_restart, compare_one, &difference);
	if (ret || difference.out_of_memory) {
		log_error("kernel registry cannot be read: error=\"%s\"", strerror(-ret));
		all_failed(control);
	} else {
		repair(control, &difference);
	}
	free(difference.unknown);
	if (!control->real_ip_told || !control->real_ip_was_on)
		log_info("real IP is on: module=%s containers=%zu",
			 knl_info(control->knl)->version, model_running_count(control->model));
	control->real_ip_told = true;
	control->real_ip_was_on = true;
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
	before = knl_state(control->knl);
	if (knl_probe(control->knl) != before)
		return kernel_sync_all(control);
	if (!ready(control))
		return false;
	/* Unloaded and loaded again between two looks: it knows nothing of us. */
	if (knl_info(control->knl)->agent_cgroup != control->agent_cgroup)
		return kernel_sync_all(control);
	return kernel_sync_failed(control);
}

const char *kernel_sync_reason(const struct control *control)
{
	if (!control->knl)
		return control->config->real_ip ? "generic netlink cannot be used" : "";
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
