// SPDX-License-Identifier: Apache-2.0
/*
 * Workers from one control process to the next, see supervise.h. They are children
 * of the process, which stays the same, and notice nothing.
 *
 * A worker of another version may count other things: its counters travel with
 * their names, and what this version does not know is left out.
 */
#include "control/handover.h"
#include "control/supervise_internal.h"
#include "lib/log.h"
#include "lib/pass_memory.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[] = {
#define X(name) #name,
	IPC_COUNTERS(X)
#undef X
};
#define NAMES	(sizeof(names) / sizeof(names[0]))

_Static_assert(sizeof(struct ipc_stats) == NAMES * sizeof(uint64_t), "counters only");
_Static_assert(NAMES <= WORKER_LINK_COUNTERS_MAX, "a reply has room for all of them");

static int find_name(const char *name)
{
	for (size_t i = 0; i < NAMES; i++) {
		if (!strcmp(names[i], name))
			return (int)i;
	}
	return -1;
}

static void save_stats(struct handover *handover, yyjson_mut_val *object, const char *key,
		       const struct ipc_stats *stats)
{
	yyjson_mut_val *values = yyjson_mut_obj_add_obj(handover->document, object, key);
	uint64_t counters[NAMES];

	memcpy(counters, stats, sizeof(counters));
	for (size_t i = 0; i < NAMES; i++)
		handover->failed |= !yyjson_mut_obj_add_uint(handover->document, values, names[i],
							     counters[i]);
}

static void take_stats(yyjson_val *values, struct ipc_stats *stats)
{
	uint64_t counters[NAMES];

	for (size_t i = 0; i < NAMES; i++)
		counters[i] = yyjson_get_uint(yyjson_obj_get(values, names[i]));
	memcpy(stats, counters, sizeof(counters));
}

/* What the worker's replies hold, in their order; empty: what nobody knows any more. */
static void save_layout(const struct worker_link *link, struct handover *handover,
			yyjson_mut_val *object)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(handover->document, object, "counters");
	const size_t count = link->counters ? link->counters : NAMES;

	for (size_t i = 0; i < count; i++) {
		const int place = link->counters ? link->layout[i] : (int)i;

		handover->failed |= !yyjson_mut_arr_add_str(handover->document, list,
							    place < 0 ? "" : names[place]);
	}
}

static int take_layout(yyjson_val *list, struct worker_link *link)
{
	size_t i, max;
	yyjson_val *name;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > WORKER_LINK_COUNTERS_MAX)
		return -EBADMSG;
	yyjson_arr_foreach(list, i, max, name)
		link->layout[i] = (int16_t)find_name(yyjson_get_str(name) ?: "");
	link->counters = (uint16_t)yyjson_arr_size(list);
	return 0;
}

static void save_worker(const struct supervisor *supervisor, const struct worker *worker,
			struct handover *handover, yyjson_mut_val *list)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list), *open;
	const struct worker_link *link = &worker->link;

	yyjson_mut_obj_add_int(document, object, "slot", worker - supervisor->workers);
	yyjson_mut_obj_add_int(document, object, "pid", worker->pid);
	handover_fd(handover, object, "sock", link->sock);
	yyjson_mut_obj_add_bool(document, object, "drains", worker->state == SUPERVISE_DRAINING);
	yyjson_mut_obj_add_uint(document, object, "threads", worker->threads);
	yyjson_mut_obj_add_uint(document, object, "image_acked", worker->image_acked);
	yyjson_mut_obj_add_uint(document, object, "certificate_acked", worker->certificate_acked);
	yyjson_mut_obj_add_uint(document, object, "started_at", worker->started_at);
	yyjson_mut_obj_add_uint(document, object, "kill_at", worker->kill_at);
	yyjson_mut_obj_add_uint(document, object, "sequence", link->sequence);
	open = yyjson_mut_obj_add_arr(document, object, "unanswered");
	for (unsigned int i = 0; i < link->count; i++) {
		const unsigned int at = (link->head + i) % WORKER_LINK_OUTSTANDING_MAX;

		yyjson_mut_arr_add_uint(document, open, link->outstanding[at].type);
		handover->failed |= !yyjson_mut_arr_add_uint(document, open,
							     link->outstanding[at].sequence);
	}
	save_layout(link, handover, object);
	save_stats(handover, object, "stats", &worker->stats);
	if (worker->audit)
		supervisor->callbacks.audit_save(
			supervisor->callbacks.context, worker->audit, handover,
			yyjson_mut_obj_add_obj(document, object, "audit"));
}

void supervise_save(const struct supervisor *supervisor, struct handover *handover)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, handover->root, "supervisor");
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, handover->root, "workers");

	/* A set that no worker serves yet is the next control's to open again. */
	listen_save(supervisor->old_set ? supervisor->old_set : supervisor->set, handover);
	yyjson_mut_obj_add_uint(document, object, "image_sequence", supervisor->image_sequence);
	yyjson_mut_obj_add_uint(document, object, "certificate_sequence",
				supervisor->certificate_sequence);
	yyjson_mut_obj_add_uint(document, object, "restarts", supervisor->restarts);
	handover_fd(handover, object, "passes", supervisor->passes);
	yyjson_mut_obj_add_uint(document, object, "passes_layout", PASS_LAYOUT);
	save_stats(handover, object, "ended", &supervisor->ended);
	for (int i = 0; i < WORKERS_MAX; i++) {
		const struct worker *worker = &supervisor->workers[i];

		if (worker->pid && !worker->killed && worker != supervisor->next)
			save_worker(supervisor, worker, handover, list);
	}
}

void supervise_reap(struct supervisor *supervisor)
{
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *worker = &supervisor->workers[i];
		const pid_t pid = worker->pid;

		if (!pid || (!worker->killed && worker != supervisor->next))
			continue;
		kill(pid, SIGKILL);
		if (worker == supervisor->next)
			supervisor->next = NULL;
		supervise_worker_clear(worker);
		waitpid(pid, NULL, 0);
	}
}

static int take_link(yyjson_val *object, struct worker_link *link)
{
	yyjson_val *open = yyjson_obj_get(object, "unanswered");
	const size_t count = yyjson_arr_size(open) / 2;

	link->sequence = (uint64_t)handover_number(object, "sequence");
	if (count > WORKER_LINK_OUTSTANDING_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		link->outstanding[i].type = (uint32_t)yyjson_get_uint(yyjson_arr_get(open, 2 * i));
		link->outstanding[i].sequence = yyjson_get_uint(yyjson_arr_get(open, 2 * i + 1));
		link->outstanding[i].deadline = supervise_in_ms(SUPERVISE_ANSWER_MS);
	}
	link->count = (unsigned int)count;
	return take_layout(yyjson_obj_get(object, "counters"), link);
}

static int adopt_worker(struct supervisor *supervisor, yyjson_val *object)
{
	const struct supervise_callbacks *callbacks = &supervisor->callbacks;
	const int64_t slot = handover_number(object, "slot");
	yyjson_val *audit = yyjson_obj_get(object, "audit");
	struct worker *worker;

	if (slot < 0 || slot >= WORKERS_MAX || supervisor->workers[slot].pid)
		return -EBADMSG;
	worker = &supervisor->workers[slot];
	worker->supervisor = supervisor;
	worker->link.sock = handover_taken_fd(yyjson_obj_get(object, "sock"));
	if (worker->link.sock < 0 || handover_number(object, "pid") <= 0 ||
	    take_link(object, &worker->link))
		return -EBADMSG;
	worker->pid = (pid_t)handover_number(object, "pid");
	worker->state = yyjson_get_bool(yyjson_obj_get(object, "drains")) ? SUPERVISE_DRAINING :
									    SUPERVISE_SERVING;
	worker->threads = (uint32_t)handover_number(object, "threads");
	worker->image_acked = (uint64_t)handover_number(object, "image_acked");
	worker->certificate_acked = (uint64_t)handover_number(object, "certificate_acked");
	worker->started_at = (uint64_t)handover_number(object, "started_at");
	worker->kill_at = (uint64_t)handover_number(object, "kill_at");
	take_stats(yyjson_obj_get(object, "stats"), &worker->stats);
	if (worker->state == SUPERVISE_SERVING)
		supervisor->current = worker;
	if (audit && callbacks->audit_adopt)
		callbacks->audit_adopt(callbacks->context, audit, &worker->audit);
	return supervise_worker_watch(worker);
}

/* Of workers of another version: what they have issued ends with them. */
static void take_passes(struct supervisor *supervisor, yyjson_val *object)
{
	int fd = handover_taken_fd(yyjson_obj_get(object, "passes"));

	if (fd >= 0 && handover_number(object, "passes_layout") != PASS_LAYOUT) {
		close(fd);
		fd = -1;
	}
	supervisor->passes = fd;
}

int supervise_adopt(struct supervisor *supervisor, const struct handover_found *found,
		    struct listen_set *set)
{
	yyjson_val *object = yyjson_obj_get(found->root, "supervisor"), *worker;
	yyjson_val *list = yyjson_obj_get(found->root, "workers");
	size_t i, max, adopted = 0;

	supervisor->set = set;
	supervisor->image_sequence = (uint64_t)handover_number(object, "image_sequence");
	supervisor->certificate_sequence = (uint64_t)handover_number(object, "certificate_sequence");
	supervisor->restarts = (uint32_t)handover_number(object, "restarts");
	take_stats(yyjson_obj_get(object, "ended"), &supervisor->ended);
	take_passes(supervisor, object);
	yyjson_arr_foreach(list, i, max, worker) {
		if (adopt_worker(supervisor, worker))
			return -EBADMSG;
		adopted++;
	}
	log_info("workers taken over: count=%zu", adopted);
	return supervisor->current ? 0 : -EBADMSG;
}
