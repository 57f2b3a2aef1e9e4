// SPDX-License-Identifier: Apache-2.0
/* Changes of containers and their order, see change.h. */
#include "control/change.h"
#include "control/feature.h"
#include "control/kernel_sync.h"
#include "control/publish.h"
#include "lib/log.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS	86400

/* A change that is committed and on its way to the workers. */
struct change {
	struct control	*control;
	uint8_t		id[ID_LEN];
	bool		revokes;	/* the kernel's part comes last */
	change_done	*done;
	void		*context;
};

/* Every worker has it: what it revokes is cut. */
static void on_published(void *context)
{
	struct change *change = context;
	struct control *control = change->control;

	if (change->revokes) {
		kernel_sync_remove(control, change->id);
		features_gone(control, change->id);
		/* Its address may be what another one waits for. */
		if (kernel_sync_failed(control))
			publish_request(control->publisher, NULL, NULL);
	}
	change->done(change->context);
	free(change);
}

static struct change *change_create(struct control *control, const uint8_t id[ID_LEN], bool revokes,
				    change_done *done, void *context)
{
	struct change *change = malloc(sizeof(*change));

	if (!change)
		return NULL;
	*change = (struct change){
		.control = control, .revokes = revokes, .done = done, .context = context,
	};
	memcpy(change->id, id, ID_LEN);
	return change;
}

/* After the commit: there is no way back, so memory that lacks ends the agent. */
static void must(int ret)
{
	if (!ret)
		return;
	log_error("out of memory behind a commit: ends, to start again from the database");
	abort();
}

int change_put(struct control *control, struct container *container, change_done *done,
	       void *context)
{
	struct container *old = model_find(control->model, container->id);
	bool visible = container->running || (old && old->running);
	struct change *change = NULL;
	int ret;

	for (unsigned int i = 0; i < container->addresses_count; i++) {
		struct container *owner = model_find_address(control->model,
							     &container->addresses[i]);

		if (owner && owner != old) {
			ret = -EADDRINUSE;
			goto err_free;
		}
	}
	ret = model_reserve(control->model, container);
	if (ret)
		goto err_free;
	if (container->running && features_prepare(control, container, control->refusal,
						   sizeof(control->refusal))) {
		ret = -ECANCELED;
		goto err_free;
	}
	ret = -ENOMEM;
	change = change_create(control, container->id, !container->running, done, context);
	if (!change)
		goto err_free;
	ret = db_put_container(control->db, container);
	if (ret)
		goto err_free;

	if (old)
		control->kernel_failed -= old->kernel_state == MODEL_KERNEL_FAILED;
	container->kernel_state = MODEL_KERNEL_ABSENT;
	must(model_set(control->model, container));
	features_changed(control, container);
	if (!visible) {
		free(change);
		done(context);
		return 0;
	}
	if (container->running)
		kernel_sync_container(control, container);
	must(publish_request(control->publisher, on_published, change));
	return 0;

err_free:
	free(change);
	container_free(container);
	return ret;
}

/* A bound is a bound for tombstones as well: the oldest one makes room. */
static int make_tombstone_room(struct control *control)
{
	const struct tombstone *oldest;
	int ret;

	if (model_tombstones_count(control->model) < MODEL_TOMBSTONES_MAX)
		return 0;
	oldest = model_oldest_tombstone(control->model);
	ret = db_delete_tombstone(control->db, oldest->id);
	if (ret)
		return ret;
	log_warning("tombstone forgotten before its time, there are too many: max=%d",
		    MODEL_TOMBSTONES_MAX);
	model_delete_tombstone(control->model, oldest->id);
	return 0;
}

int change_delete(struct control *control, const struct container *container, change_done *done,
		  void *context)
{
	struct tombstone tombstone = { .deleted_at = time(NULL) };
	struct change *change;
	int ret;

	memcpy(tombstone.id, container->id, ID_LEN);
	memcpy(tombstone.project, container->project, ID_LEN);
	change = change_create(control, container->id, true, done, context);
	if (!change)
		return -ENOMEM;
	ret = make_tombstone_room(control);
	if (!ret)
		ret = db_delete_container(control->db, &tombstone);
	if (ret) {
		free(change);
		return ret;
	}
	control->kernel_failed -= container->kernel_state == MODEL_KERNEL_FAILED;
	must(model_add_tombstone(control->model, &tombstone));
	model_delete(control->model, tombstone.id);
	permission_store_remove(control->permissions, DB_LEVEL_CONTAINER, tombstone.id);
	must(publish_request(control->publisher, on_published, change));
	return 0;
}

void change_purge_tombstones(struct control *control)
{
	int64_t before = time(NULL) - (int64_t)control->config->tombstone_days * DAY_SECONDS;
	size_t count, i = 0;

	if (!wall_ask(&control->wall) || control->config->tombstone_days == 0)
		return;
	if (db_delete_tombstones(control->db, before, &count)) {
		log_error("tombstones cannot be purged: error=\"%s\"", db_fault(control->db));
		return;
	}
	if (count == 0)
		return;
	while (i < model_tombstones_count(control->model)) {
		const struct tombstone *tombstone = model_tombstone_at(control->model, i);

		if (tombstone->deleted_at < before)
			model_delete_tombstone(control->model, tombstone->id);
		else
			i++;
	}
	log_info("tombstones purged: count=%zu", count);
	publish_request(control->publisher, NULL, NULL);
}

static bool has_vanished(struct control *control, struct container *container)
{
	container->cgroup_id = 0;
	if (container->cgroup &&
	    cgroup_resolve(&control->cgroups, container->cgroup, &container->cgroup_id))
		return true;
	return container->netdev[0] && !if_nametoindex(container->netdev);
}

void change_stop_vanished(struct control *control)
{
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		struct container *container = model_container_at(control->model, i);
		char id[ID_TEXT_LEN + 1];

		if (!container->running || !has_vanished(control, container))
			continue;
		id_format(container->id, id);
		log_warning("container is marked stopped, its cgroup or interface is gone: container=%.8s",
			    id);
		model_set_running(control->model, container, false);
		container->updated_at = time(NULL);
		if (db_put_container(control->db, container))
			log_error("cannot be stored: error=\"%s\"", db_fault(control->db));
	}
}
