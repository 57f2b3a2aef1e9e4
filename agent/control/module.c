// SPDX-License-Identifier: Apache-2.0
/* Holds, and the steps of a reload of the kernel module, see module.h. */
#include "control/module.h"
#include "control/fault.h"
#include "control/feature.h"
#include "control/kernel_sync.h"
#include "control/publish.h"
#include "control/syscalls.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAMES_SHOWN	8

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

bool module_is_reloading(const struct control *control)
{
	return control->module && control->module->phase != MODULE_IDLE;
}

bool module_is_released(const struct control *control)
{
	return control->module && control->module->phase == MODULE_RELEASED;
}

static bool has_profile(const struct control *control, const struct container *container)
{
	return container->running && syscalls_find(control->syscalls, container->id);
}

static const char *name_of(const struct container *container, char id[ID_TEXT_LEN + 1])
{
	id_format(container->id, id);
	return container->name[0] ? container->name : id;
}

static const struct module_hold *hold_find(const struct control *control, const uint8_t id[ID_LEN])
{
	return documents_find(control->module->holds, id);
}

static int hold_read(const struct control *control, const struct container *container,
		     struct freezer_state *state)
{
	if (!container->cgroup)
		return -ENOENT;
	return freezer_read(&control->cgroups, container->cgroup, container->cgroup_id, state);
}

bool module_may_thaw(const struct control *control, const struct module_hold *hold,
		     const char **reason)
{
	const struct container *container = model_find(control->model, hold->id);

	*reason = "it does not run";
	if (!container || !container->running || container->cgroup_id != hold->cgroup)
		return false;
	*reason = MODULE_RELOADING;
	if (module_is_reloading(control))
		return false;
	*reason = syscalls_unenforced(control, container);
	if (**reason)
		return false;
	*reason = "it was frozen before the module was reloaded";
	return !hold->before;
}

/* A hold is over when its container has gone, or is confirmed and as it was before. */
static bool is_over(const struct control *control, const struct module_hold *hold)
{
	const struct container *container = model_find(control->model, hold->id);
	struct freezer_state state;
	const char *reason;
	int ret;

	if (!container || !container->running || container->cgroup_id != hold->cgroup)
		return true;
	if (!module_may_thaw(control, hold, &reason))
		return hold->before && !*syscalls_unenforced(control, container);
	ret = hold_read(control, container, &state);
	return ret == -ENOENT || ret == -ESTALE || (!ret && !state.wanted);
}

static void hold_drop(struct control *control, const struct module_hold *hold)
{
	struct module_hold none = { .count = 0 };

	memcpy(none.id, hold->id, ID_LEN);
	if (documents_store(control->module->holds, &none))
		log_error("what a reload of the module froze cannot be struck off: error=\"%s\"",
			  db_fault(control->db));
}

static void settle(struct control *control)
{
	const struct id_table *table = &control->module->holds->table;

	if (module_is_reloading(control))
		return;
	for (size_t i = table->count; i-- > 0;) {
		const struct module_hold *hold = table->list[i];

		if (is_over(control, hold))
			hold_drop(control, hold);
	}
}

/* --- begin --- */

/* The names of the first containers that have a profile, in @text, and how many have. */
static size_t list_profiled(const struct control *control, char *text, size_t size)
{
	size_t count = 0, used = 0;
	char id[ID_TEXT_LEN + 1];

	text[0] = '\0';
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		const struct container *container = model_container_at(control->model, i);

		if (!has_profile(control, container))
			continue;
		if (count++ < NAMES_SHOWN && used < size)
			used += snprintf(text + used, size - used, "%s%s", count > 1 ? ", " : "",
					 name_of(container, id));
	}
	if (count > NAMES_SHOWN && used < size)
		snprintf(text + used, size - used, " and %zu more", count - NAMES_SHOWN);
	return count;
}

/* Notes how @container is now; what an earlier reload froze and noted it goes on from. */
static int hold_store(struct control *control, const struct container *container, char *fault,
		      size_t fault_size)
{
	struct module_hold hold = { .count = 1, .cgroup = container->cgroup_id };
	const struct module_hold *known = hold_find(control, container->id);
	struct freezer_state state;
	char id[ID_TEXT_LEN + 1];
	int ret;

	ret = hold_read(control, container, &state);
	if (ret)
		return fault_set(ret, fault, fault_size,
				 "the freezer of container %s cannot be read (%s): cgroup v2 with "
				 "cgroup.freeze is needed", name_of(container, id), strerror(-ret));
	if (known && known->cgroup == container->cgroup_id && state.wanted)
		return 0;
	memcpy(hold.id, container->id, ID_LEN);
	hold.before = state.wanted;
	ret = documents_store(control->module->holds, &hold);
	if (ret)
		return fault_set(ret, fault, fault_size, "%s", db_fault(control->db));
	return 0;
}

int module_begin(struct control *control, bool keep, char *fault, size_t fault_size)
{
	struct module *module = control->module;
	char names[256];
	int ret = 0;

	if (module_is_reloading(control))
		module_resume(control);
	if (!keep && list_profiled(control, names, sizeof(names)))
		return fault_set(-EBUSY, fault, fault_size,
				 "containers with a syscall profile run (%s): with --keep they are "
				 "frozen meanwhile", names);
	for (size_t i = 0; !ret && i < model_containers_count(control->model); i++) {
		const struct container *container = model_container_at(control->model, i);

		if (has_profile(control, container))
			ret = hold_store(control, container, fault, fault_size);
	}
	if (ret) {
		settle(control);
		return ret;
	}
	module->phase = MODULE_DRAINING;
	module->number++;
	module->until = now_s() + MODULE_SESSION_S;
	log_info("module: a reload begins: frozen=%zu", list_profiled(control, names, sizeof(names)));
	return 0;
}

/* --- release --- */

static void take_open(void *context, const char *name, uint64_t value)
{
	if (!strcmp(name, "realip_open"))
		*(uint64_t *)context = value;
}

uint64_t module_connections(const struct control *control)
{
	uint64_t open = 0;

	if (control->knl && knl_state(control->knl) == KNL_READY)
		knl_stats(control->knl, take_open, &open);
	return open;
}

/* 0 where nothing of @container can run before it is thawed. */
static int check_frozen(const struct control *control, const struct container *container,
			char *fault, size_t fault_size)
{
	const struct module_hold *hold = hold_find(control, container->id);
	char id[ID_TEXT_LEN + 1];
	const char *name = name_of(container, id);
	struct freezer_state state;
	pid_t task, tracer;
	int ret;

	if (!hold || hold->cgroup != container->cgroup_id)
		return fault_set(-ESTALE, fault, fault_size,
				 "container %s has got its profile meanwhile: begin again", name);
	ret = hold_read(control, container, &state);
	if (ret)
		return fault_set(ret, fault, fault_size, "the freezer of container %s cannot be read: %s",
				 name, strerror(-ret));
	if (!state.frozen)
		return fault_set(-EAGAIN, fault, fault_size,
				 "container %s does not freeze: a process of it does not let itself be "
				 "stopped, see state D in ps", name);
	ret = freezer_find_stopped(&control->cgroups, container->cgroup, &task, &tracer);
	if (ret < 0)
		return fault_set(ret, fault, fault_size, "the processes of container %s cannot be read: %s",
				 name, strerror(-ret));
	if (ret)
		return fault_set(-EPERM, fault, fault_size,
				 "process %d of container %s is stopped by its tracer, process %d, maybe "
				 "within a call: end the tracer first", task, name, tracer);
	return 0;
}

int module_check(struct control *control, uint64_t number, char *fault, size_t fault_size)
{
	struct module *module = control->module;
	uint64_t open;
	int ret = 0;

	if (!module_is_reloading(control) || module->number != number)
		return fault_set(-ENOENT, fault, fault_size,
				 "no reload of this number is under way: the agent was restarted, or "
				 "another one has begun");
	module->until = now_s() + MODULE_SESSION_S;
	if (module_is_released(control))
		return 0;
	open = module_connections(control);
	if (open)
		return fault_set(-EINPROGRESS, fault, fault_size,
				 "%llu connections that carry a client's address hold the module: wait "
				 "until they end, longer with --wait", (unsigned long long)open);
	for (size_t i = 0; !ret && i < model_containers_count(control->model); i++) {
		const struct container *container = model_container_at(control->model, i);

		if (has_profile(control, container))
			ret = check_frozen(control, container, fault, fault_size);
	}
	return ret;
}

int module_release(struct control *control, uint64_t number, char *fault, size_t fault_size)
{
	int ret = module_check(control, number, fault, fault_size);

	if (ret || module_is_released(control))
		return ret;
	ret = kernel_sync_release(control);
	if (ret) {
		fault_set(ret, fault, fault_size, "the kernel refuses: %s", knl_fault(control->knl));
		kernel_sync_all(control);
		return ret;
	}
	control->module->phase = MODULE_RELEASED;
	/* Nothing is in force from here on, and shown so. */
	kernel_sync_all(control);
	log_info("module: nothing of the agent holds it, it may be replaced");
	return 0;
}

/* --- resume --- */

void module_resume(struct control *control)
{
	struct module *module = control->module;
	bool was = module_is_reloading(control);

	module->phase = MODULE_IDLE;
	kernel_sync_all(control);
	settle(control);
	publish_request(control->publisher, NULL, NULL);
	if (was)
		log_info("module: the reload is over: held=%zu", module->holds->table.count);
}

/* --- feature --- */

static int parse(yyjson_val *body, void *document, const char **field, const char **message)
{
	yyjson_val *cgroup = yyjson_obj_get(body, "cgroup");
	struct module_hold *hold = document;

	*field = "cgroup";
	*message = "must be a number";
	if (!yyjson_is_uint(cgroup))
		return -EINVAL;
	hold->count = 1;
	hold->cgroup = yyjson_get_uint(cgroup);
	hold->before = yyjson_is_true(yyjson_obj_get(body, "before"));
	return 0;
}

static char *format(const void *document)
{
	const struct module_hold *hold = document;
	char *text;

	if (asprintf(&text, "{\"cgroup\":%llu,\"before\":%s}", (unsigned long long)hold->cgroup,
		     hold->before ? "true" : "false") < 0)
		return NULL;
	return text;
}

static const struct documents_kind kind = {
	.kind = DB_KIND_HOLD,
	.size = sizeof(struct module_hold),
	.what = "containers frozen by a reload of the module",
	.parse = parse,
	.format = format,
};
_Static_assert(offsetof(struct module_hold, count) == offsetof(struct documents_head, count),
	       "begins as every document");

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	int ret;

	control->module = calloc(1, sizeof(*control->module));
	if (!control->module)
		return -ENOMEM;
	ret = documents_open(&kind, control->db, &control->module->holds, fault, fault_size);
	if (!ret && control->module->holds->table.count)
		log_warning("containers are frozen since a reload of the module: count=%zu "
			    "hint=\"hoody module resume\"", control->module->holds->table.count);
	return ret;
}

static void tear_down(struct control *control)
{
	if (!control->module)
		return;
	documents_close(control->module->holds);
	free(control->module);
	control->module = NULL;
}

/* Where it did not run, what was frozen of it went with its processes. */
static int prepare(struct control *control, const struct container *container, char *fault,
		   size_t fault_size)
{
	const struct container *before = model_find(control->model, container->id);
	const struct module_hold *hold = hold_find(control, container->id);

	if (hold && (!before || !before->running))
		hold_drop(control, hold);
	return 0;
}

static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	const struct container *container = model_find(control->model, id);
	const struct module_hold *hold = hold_find(control, id);

	if (!container)
		documents_forget(control->module->holds, id);
	else if (hold && !container->running)
		hold_drop(control, hold);
}

static void tick(struct control *control)
{
	if (!module_is_reloading(control) || now_s() < control->module->until)
		return;
	log_warning("module: nobody goes on with its reload, what is frozen stays so: "
		    "hint=\"hoody module reload --keep, or hoody module resume\"");
	module_resume(control);
}

const struct feature module_feature = {
	.name = "module",
	.set_up = set_up,
	.tear_down = tear_down,
	.prepare = prepare,
	.gone = gone,
	.tick = tick,
};
