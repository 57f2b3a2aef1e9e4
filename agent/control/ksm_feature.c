// SPDX-License-Identifier: Apache-2.0
/*
 * The wishes about memory merging and the module's marks, see ksm.h. At every
 * tick the marks are read, and each container that is to take part, runs and is
 * registered with the module is marked (again: the module takes the same wish
 * for nothing new); every other mark is withdrawn.
 *
 * A container whose merged pages cost more memory than they save, after ksmd had
 * the time to find some, is taken out for an hour, the next time for two.
 */
#include "control/feature.h"
#include "control/ksm.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOON_US		200000
/* Full scans of ksmd before its findings about a container are judged. */
#define JUDGED_SCANS	3

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* The index of the first entry whose id is not smaller. */
static size_t position(const struct ksm *ksm, const uint8_t id[ID_LEN])
{
	size_t low = 0, high = ksm->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(ksm->entries[middle].id, id, ID_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ksm_entry *ksm_find(const struct ksm *ksm, const uint8_t id[ID_LEN])
{
	size_t at = position(ksm, id);

	return at < ksm->count && !memcmp(ksm->entries[at].id, id, ID_LEN) ? &ksm->entries[at] :
									      NULL;
}

/* The entry of @id, made where it is missing; NULL: no memory. */
static struct ksm_entry *entry_get(struct ksm *ksm, const uint8_t id[ID_LEN])
{
	struct ksm_entry *entry = ksm_find(ksm, id);
	size_t at = position(ksm, id);

	if (entry)
		return entry;
	if (ksm->count == ksm->room) {
		size_t room = ksm->room ? ksm->room * 2 : 16;
		void *grown = reallocarray(ksm->entries, room, sizeof(*ksm->entries));

		if (!grown)
			return NULL;
		ksm->entries = grown;
		ksm->room = room;
	}
	entry = &ksm->entries[at];
	memmove(entry + 1, entry, (ksm->count++ - at) * sizeof(*entry));
	memset(entry, 0, sizeof(*entry));
	memcpy(entry->id, id, ID_LEN);
	return entry;
}

static void entry_remove(struct ksm *ksm, struct ksm_entry *entry)
{
	memmove(entry, entry + 1,
		(char *)&ksm->entries[--ksm->count] - (char *)entry);
}

static void take_mark(void *context, const struct knl_ksm *mark)
{
	struct ksm *ksm = context;
	struct ksm_entry *entry = entry_get(ksm, mark->id);

	/* Without memory for it, a mark that nobody asked for stays a tick longer. */
	if (entry)
		entry->kernel = *mark;
}

static bool takes_part(const struct control *control, const struct ksm_entry *entry)
{
	const struct container *container = model_find(control->model, entry->id);

	return entry->on && container && container->running && container->cgroup_id &&
	       container->kernel_state == MODEL_KERNEL_SET && entry->paused_until <= now_s();
}

bool ksm_judge(const struct ksm_host *host, struct ksm_entry *entry, uint64_t now)
{
	uint64_t pause = KSM_PAUSE_MIN_S;
	char id[ID_TEXT_LEN + 1];
	struct ksm_gain gain;

	if (!entry->kernel.state)
		entry->judged_from = 0;
	else if (!entry->judged_from)
		entry->judged_from = host->full_scans + JUDGED_SCANS;
	ksm_gain_of(host, entry, &gain);
	if (entry->kernel.state != HOODY_KSM_MARKED || gain.net >= 0 ||
	    host->full_scans < entry->judged_from) {
		entry->losses = 0;
		return false;
	}
	if (++entry->losses < KSM_LOSS_TICKS)
		return false;
	entry->losses = 0;
	for (unsigned int i = 0; i < entry->pauses && pause < KSM_PAUSE_MAX_S; i++)
		pause *= 2;
	if (pause > KSM_PAUSE_MAX_S)
		pause = KSM_PAUSE_MAX_S;
	entry->pauses++;
	entry->paused_until = now + pause;
	id_format(entry->id, id);
	log_info("memory merging: costs a container more than it saves, pauses: container=%.8s "
		 "net=%lld seconds=%llu", id, (long long)gain.net, (unsigned long long)pause);
	return true;
}

static void entry_sync(struct control *control, struct ksm_entry *entry)
{
	const struct container *container = model_find(control->model, entry->id);
	struct knl_ksm_wish wish = { .names_count = entry->names_count };
	int ret;

	if (!takes_part(control, entry)) {
		entry->refusal[0] = '\0';
		if (entry->kernel.state == HOODY_KSM_MARKING || entry->kernel.state == HOODY_KSM_MARKED)
			knl_ksm_clear(control->knl, entry->id);
		return;
	}
	memcpy(wish.domain, container->project, ID_LEN);
	memcpy(wish.names, entry->names, sizeof(wish.names));
	ret = knl_ksm_set(control->knl, entry->id, &wish);
	snprintf(entry->refusal, sizeof(entry->refusal), "%s", ret ? knl_fault(control->knl) : "");
}

void ksm_refresh(struct control *control)
{
	struct ksm *ksm = control->ksm;

	for (size_t i = 0; i < ksm->count; i++)
		memset(&ksm->entries[i].kernel, 0, sizeof(ksm->entries[i].kernel));
	ksm->asked = control->knl && knl_state(control->knl) == KNL_READY &&
		     !knl_ksm_dump(control->knl, take_mark, ksm);
	ksm_host_read(&ksm->host);
}

static void ksm_tick(struct control *control)
{
	struct ksm *ksm = control->ksm;
	bool active = false;

	ksm_refresh(control);
	for (size_t i = 0; i < ksm->count;) {
		struct ksm_entry *entry = &ksm->entries[i];

		if (ksm->asked) {
			ksm_judge(&ksm->host, entry, now_s());
			entry_sync(control, entry);
		}
		active |= entry->kernel.state || (ksm->asked && takes_part(control, entry));
		if (!entry->on && !entry->kernel.state)
			entry_remove(ksm, entry);
		else
			i++;
	}
	ksm_governor_step(ksm->governor, active, control->config->ksm_cpu_percent, &ksm->host);
}

static int on_soon(sd_event_source *source, uint64_t usec, void *context)
{
	ksm_tick(context);
	return 0;
}

/* A tick in a moment: when the change that calls has reached the module's registry. */
static void tick_soon(struct control *control)
{
	struct ksm *ksm = control->ksm;

	if (!control->event)
		return;
	if (!ksm->soon) {
		sd_event_add_time_relative(control->event, &ksm->soon, CLOCK_MONOTONIC, SOON_US, 0,
					   on_soon, control);
		return;
	}
	sd_event_source_set_time_relative(ksm->soon, SOON_US);
	sd_event_source_set_enabled(ksm->soon, SD_EVENT_ONESHOT);
}

int ksm_store(struct control *control, const struct ksm_entry *wanted, char *fault,
	      size_t fault_size)
{
	const struct container *own = model_find(control->model, wanted->id);
	struct ksm *ksm = control->ksm;
	struct ksm_entry *entry;
	char *text = NULL, id[ID_TEXT_LEN + 1];
	int ret;

	for (size_t i = 0; wanted->on && i < ksm->count; i++) {
		const struct container *other = model_find(control->model, ksm->entries[i].id);

		if (!ksm->entries[i].on || !other || !memcmp(other->project, own->project, ID_LEN))
			continue;
		id_format(other->project, id);
		snprintf(fault, fault_size,
			 "containers of project %s share memory on this host; switch theirs off "
			 "first: pages are never shared between projects", id);
		return -EBUSY;
	}
	entry = entry_get(ksm, wanted->id);
	if (wanted->on || wanted->names_count)
		text = ksm_entry_format(wanted);
	if (!entry || (!text && (wanted->on || wanted->names_count)))
		return -ENOMEM;
	ret = db_put_document(control->db, DB_KIND_KSM, wanted->id, ID_LEN, text, NULL);
	free(text);
	if (ret)
		return ret;
	entry->on = wanted->on;
	entry->names_count = wanted->names_count;
	memcpy(entry->names, wanted->names, sizeof(entry->names));
	entry->paused_until = 0;
	entry->losses = entry->pauses = 0;
	ksm_tick(control);
	/* What the module has made of it is in the answer. */
	ksm_refresh(control);
	return 0;
}

void ksm_gain_of(const struct ksm_host *host, const struct ksm_entry *entry, struct ksm_gain *gain)
{
	uint64_t pages = entry->kernel.count[HOODY_KSM_PAGES];
	uint64_t all = host->pages_shared + host->pages_sharing;

	/* One copy of each has to stay, and is everybody's in equal parts. */
	gain->saved = all ? (uint64_t)((double)pages * host->pages_sharing / all) * KSM_PAGE : 0;
	gain->zero = entry->kernel.count[HOODY_KSM_ZERO_PAGES] * KSM_PAGE;
	gain->metadata = entry->kernel.count[HOODY_KSM_ITEMS] * HOODY_KSM_ITEM_BYTES;
	gain->net = (int64_t)(gain->saved - gain->metadata);
}

const char *ksm_state_of(const struct control *control, const struct ksm_entry *entry,
			 char *reason, size_t reason_size)
{
	static const char *const states[] = {
		[HOODY_KSM_MARKING] = "marking",
		[HOODY_KSM_MARKED] = "on",
		[HOODY_KSM_UNMARKING] = "unmerging",
		[HOODY_KSM_STOPPED_CGROUP] = "waiting",
		[HOODY_KSM_STOPPED_HOST] = "waiting",
		[HOODY_KSM_STOPPED_KERNEL] = "waiting",
	};
	const char *why = "", *state;

	if (!entry || (!entry->on && !entry->kernel.state)) {
		state = "off";
	} else if (!control->ksm->asked) {
		state = "unavailable";
		why = control->knl ? knl_reason(control->knl) :
				     "real_ip = off: the agent does not use the kernel module";
	} else if (entry->refusal[0]) {
		state = "refused";
		why = entry->refusal;
	} else if (entry->paused_until > now_s()) {
		state = "paused";
		why = "it cost more memory than it saved; it is tried again after a while";
	} else if (entry->kernel.state && entry->kernel.state < sizeof(states) / sizeof(*states)) {
		state = states[entry->kernel.state];
		if (entry->kernel.state == HOODY_KSM_STOPPED_CGROUP)
			why = "the container's memory.max has no room for its own copies: raise it";
		else if (entry->kernel.state == HOODY_KSM_STOPPED_HOST)
			why = "the host has no memory for the copies";
		else if (entry->kernel.state == HOODY_KSM_STOPPED_KERNEL)
			why = "the kernel has no memory for its tables";
	} else {
		state = "stopped";
		why = "the container does not run, or has no cgroup";
	}
	if (control->ksm->host.fault[0] && !why[0] && entry && entry->on)
		why = control->ksm->host.fault;
	snprintf(reason, reason_size, "%s", why);
	return state;
}

static int load_one(void *context, const void *key, size_t key_len, const char *body)
{
	struct ksm_entry parsed = { 0 }, *entry;
	const char *field, *message;
	struct ksm *ksm = context;
	yyjson_doc *document;
	int ret = -EINVAL;

	document = yyjson_read(body, strlen(body), 0);
	if (document && key_len == ID_LEN)
		ret = ksm_entry_parse(yyjson_doc_get_root(document), &parsed, &field, &message);
	yyjson_doc_free(document);
	if (ret)
		return ret;
	memcpy(parsed.id, key, ID_LEN);
	entry = entry_get(ksm, key);
	if (!entry)
		return -ENOMEM;
	*entry = parsed;
	return 0;
}

static int ksm_set_up(struct control *control, char *fault, size_t fault_size)
{
	const char *socket = control->config->control_socket;
	const char *slash = strrchr(socket, '/');
	char directory[sizeof(control->config->control_socket)];
	int ret = -ENOMEM;

	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - socket), socket);
	control->ksm = calloc(1, sizeof(*control->ksm));
	if (control->ksm)
		control->ksm->governor = ksm_governor_create(directory);
	if (control->ksm && control->ksm->governor)
		ret = db_load_documents(control->db, DB_KIND_KSM, load_one, control->ksm);
	if (ret)
		snprintf(fault, fault_size, "memory merging: what is stored cannot be used: %s",
			 strerror(-ret));
	return ret;
}

/* The marks stay: a restart of the agent unmerges nothing. */
static void ksm_tear_down(struct control *control)
{
	struct ksm *ksm = control->ksm;

	if (!ksm)
		return;
	ksm_governor_destroy(ksm->governor);
	sd_event_source_disable_unref(ksm->soon);
	free(ksm->entries);
	free(ksm);
	control->ksm = NULL;
}

static void ksm_changed(struct control *control, const struct container *container)
{
	if (ksm_find(control->ksm, container->id))
		tick_soon(control);
}

static void ksm_gone(struct control *control, const uint8_t id[ID_LEN])
{
	struct ksm_entry *entry = ksm_find(control->ksm, id);

	/* Deleted: its document has gone with it. */
	if (entry && !model_find(control->model, id))
		entry_remove(control->ksm, entry);
	tick_soon(control);
}

const struct feature ksm_feature = {
	.name = "ksm",
	.set_up = ksm_set_up,
	.tear_down = ksm_tear_down,
	.changed = ksm_changed,
	.gone = ksm_gone,
	.tick = ksm_tick,
};
