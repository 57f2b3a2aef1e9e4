// SPDX-License-Identifier: Apache-2.0
/*
 * From model to image, see publish.h. An image is rebuilt as a whole: for 10,000
 * running containers that takes about a millisecond, and there is no second way
 * that could disagree with the first. It holds what can be reached and what is
 * deleted: to a client a container that is stopped is one that is not known, so
 * that registering it needs no image at all.
 */
#include "control/publish.h"
#include "control/aliases.h"
#include "control/limits.h"
#include "control/services.h"
#include "control/tokens.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS	1000

struct waiter {
	struct waiter	*next;
	uint64_t	sequence;	/* told when this image is everywhere */
	publish_done	*done;
	void		*context;
};

struct publisher {
	struct control	*control;
	uint64_t	sequence;	/* of the last image that was built */
	struct image_builder *builder;	/* kept: its memory is paid for once */
	bool		wanted;		/* something changed since */
	struct waiter	*first, **last;	/* in order of sequences */
	sd_event_source	*defer, *retry;
};

static void fill(const struct container *container, struct image_container *out)
{
	const struct address *v4 = container_address(container, AF_INET);
	const struct address *v6 = container_address(container, AF_INET6);

	memset(out, 0, sizeof(*out));
	memcpy(out->id, container->id, ID_LEN);
	memcpy(out->project, container->project, ID_LEN);
	out->generation = container->generation;
	out->flags = IMAGE_RUNNING;
	if (container->kernel_state == MODEL_KERNEL_SET)
		out->flags |= IMAGE_REAL_IP;
	if (v4) {
		out->flags |= IMAGE_HAS_V4;
		out->address4 = v4->v4;
	}
	if (v6) {
		out->flags |= IMAGE_HAS_V6;
		out->address6 = v6->v6;
	}
}

/* Every model that is stored, once, however many containers it holds for. */
static int add_permissions(const struct control *control, struct image_builder *builder)
{
	const struct permission_store *store = control->permissions;
	const struct action_table *actions = permission_store_actions(store);
	uint32_t number;
	int ret;

	ret = image_builder_add_blob(builder, actions, action_table_size(actions), &number);
	if (!ret)
		image_builder_set_actions(builder, number);
	for (size_t i = 0; i < permission_store_count(store) && !ret; i++) {
		struct permission_entry *entry = permission_store_at(store, i);

		ret = image_builder_add_blob(builder, entry->blob, entry->size, &entry->number);
	}
	return ret;
}

static int add_all(const struct control *control, struct image_builder *builder)
{
	const struct config *config = control->config;
	const struct model *model = control->model;
	struct image_container entry;
	int ret = 0;

	for (unsigned int i = 0; i < config->services_count && !ret; i++)
		ret = image_builder_add_default(builder, config->services[i].name,
						config->services[i].port);
	if (!ret)
		ret = add_permissions(control, builder);
	for (size_t i = 0; i < model_containers_count(model) && !ret; i++) {
		const struct container *container = model_container_at(model, i);
		const struct permission_entry *permissions;

		if (!container->running)
			continue;
		fill(container, &entry);
		permissions = permission_store_effective(control->permissions, container->id,
							 container->project);
		entry.permissions = permissions ? permissions->number : 0;
		ret = limits_publish(control, builder, container->id, &entry);
		if (!ret)
			ret = services_publish(control, builder, container->id, &entry);
		if (!ret)
			ret = image_builder_add_container(builder, &entry, container->ports,
							  container->ports_count);
	}
	if (!ret)
		ret = aliases_publish(control, builder);
	memset(&entry, 0, sizeof(entry));
	entry.flags = IMAGE_RUNNING | IMAGE_CONTROL;
	memcpy(entry.id, IMAGE_CONTROL_ID, ID_LEN);
	/* Without a token there is nobody whom the API would answer. */
	if (!ret && tokens_count(control->tokens))
		ret = image_builder_add_container(builder, &entry, NULL, 0);
	memset(&entry, 0, sizeof(entry));
	entry.flags = IMAGE_DELETED;
	for (size_t i = 0; i < model_tombstones_count(model) && !ret; i++) {
		const struct tombstone *tombstone = model_tombstone_at(model, i);

		memcpy(entry.id, tombstone->id, ID_LEN);
		memcpy(entry.project, tombstone->project, ID_LEN);
		ret = image_builder_add_container(builder, &entry, NULL, 0);
	}
	return ret;
}

int publish_now(struct publisher *publisher)
{
	const struct control *control = publisher->control;
	struct image_settings settings = control->config->settings;
	int ret;

	settings.real_ip_mode = control_real_ip_mode(control);
	settings.early_data = control->config->early_data;
	if (!publisher->builder)
		publisher->builder = image_builder_create(&settings, 0);
	if (!publisher->builder)
		return -ENOMEM;
	image_builder_restart(publisher->builder, &settings, publisher->sequence + 1);
	ret = add_all(control, publisher->builder);
	if (!ret)
		ret = image_builder_finish(publisher->builder);
	if (ret < 0)
		return ret;
	publisher->sequence++;
	publisher->wanted = false;
	supervise_publish(control->supervisor, ret, publisher->sequence);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *context)
{
	struct publisher *publisher = context;

	publisher->retry = sd_event_source_disable_unref(publisher->retry);
	publish_progress(publisher);
	return 0;
}

static void send_wanted(struct publisher *publisher)
{
	int ret = publish_now(publisher);

	if (!ret)
		return;
	/* Those who wait go on waiting: their change is not in force yet. */
	log_error("image cannot be built: error=\"%s\"; tried again in %d ms", strerror(-ret),
		  RETRY_MS);
	if (!publisher->retry)
		sd_event_add_time_relative(publisher->control->event, &publisher->retry,
					   CLOCK_MONOTONIC, RETRY_MS * 1000, 1000, on_retry,
					   publisher);
}

void publish_progress(struct publisher *publisher)
{
	uint64_t acked = supervise_acked(publisher->control->supervisor);

	if (acked == publisher->sequence && publisher->wanted && !publisher->retry) {
		send_wanted(publisher);
		/* Where no worker lives the new one is everywhere at once. */
		acked = supervise_acked(publisher->control->supervisor);
	}
	while (publisher->first && publisher->first->sequence <= acked) {
		struct waiter *waiter = publisher->first;

		publisher->first = waiter->next;
		if (!publisher->first)
			publisher->last = &publisher->first;
		waiter->done(waiter->context);
		free(waiter);
	}
}

static int on_defer(sd_event_source *source, void *context)
{
	publish_progress(context);
	return 0;
}

int publish_request(struct publisher *publisher, publish_done *done, void *context)
{
	struct waiter *waiter;

	publisher->wanted = true;
	sd_event_source_set_enabled(publisher->defer, SD_EVENT_ONESHOT);
	if (!done)
		return 0;
	waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){
		.sequence = publisher->sequence + 1, .done = done, .context = context,
	};
	*publisher->last = waiter;
	publisher->last = &waiter->next;
	return 0;
}

struct publisher *publish_create(struct control *control)
{
	struct publisher *publisher = calloc(1, sizeof(*publisher));

	if (!publisher)
		return NULL;
	publisher->control = control;
	publisher->last = &publisher->first;
	if (sd_event_add_defer(control->event, &publisher->defer, on_defer, publisher) < 0) {
		free(publisher);
		return NULL;
	}
	sd_event_source_set_enabled(publisher->defer, SD_EVENT_OFF);
	/* Behind I/O: all requests that are here share one image. */
	sd_event_source_set_priority(publisher->defer, SD_EVENT_PRIORITY_NORMAL + 10);
	return publisher;
}

void publish_continue(struct publisher *publisher, uint64_t sequence)
{
	publisher->sequence = sequence;
}

void publish_destroy(struct publisher *publisher)
{
	if (!publisher)
		return;
	while (publisher->first) {
		struct waiter *waiter = publisher->first;

		publisher->first = waiter->next;
		free(waiter);
	}
	image_builder_destroy(publisher->builder);
	sd_event_source_disable_unref(publisher->defer);
	sd_event_source_disable_unref(publisher->retry);
	free(publisher);
}
