// SPDX-License-Identifier: Apache-2.0
/* Relays go on while control is replaced, see relay_daemon.h and handover.h. */
#include "control/relay_daemon_internal.h"

#include "control/handover.h"
#include "lib/log.h"

#include <errno.h>

static void save_child(const struct relay_child *child, struct handover *handover,
		       yyjson_mut_val *object)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *open;

	yyjson_mut_obj_add_int(document, object, "pid", child->pid);
	yyjson_mut_obj_add_uint(document, object, "sequence", child->sequence);
	yyjson_mut_obj_add_uint(document, object, "end_at", child->end_at);
	handover_fd(handover, object, "sock", child->sock);
	handover_fd(handover, object, "counted", child->counted);
	open = yyjson_mut_obj_add_arr(document, object, "unanswered");
	for (unsigned int i = 0; i < child->count; i++) {
		const struct outstanding *question =
			&child->outstanding[(child->first + i) % OUTSTANDING_MAX];

		yyjson_mut_arr_add_uint(document, open, question->type);
		handover->failed |= !yyjson_mut_arr_add_uint(document, open, question->sequence);
	}
}

/* Those that do not serve anything, or are to end, are none for the next control. */
static void end_others(struct relay_daemon *daemon)
{
	const bool lost = daemon->current && (!relay_daemon_is_ready(daemon) || daemon->current->killed);

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct relay_child *child = &daemon->children[i];

		if (child->pid && (child->killed || child->state < RELAY_CHILD_SERVING))
			relay_child_reap(child);
	}
	daemon->next = NULL;
	if (!lost)
		return;
	daemon->current = NULL;
	relay_daemon_close_sockets(daemon);
	relay_daemon_start_later(daemon);
}

bool relay_daemon_save(struct relay_daemon *daemon, struct handover *handover, bool sockets)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object, *list;
	struct relay_daemon_status status;

	end_others(daemon);
	relay_daemon_status(daemon, &status);
	if (!status.pid && !status.draining)
		return false;
	object = yyjson_mut_obj_add_obj(document, handover->root, "relay");
	yyjson_mut_obj_add_int(document, object, "version", RELAY_VERSION);
	if (daemon->current)
		save_child(daemon->current, handover, object);
	list = yyjson_mut_obj_add_arr(document, object, "sockets");
	for (size_t i = 0; sockets && status.pid && i < FW_RELAY_SOCKETS; i++)
		handover_fd(handover, list, NULL, daemon->sockets[i]);
	list = yyjson_mut_obj_add_arr(document, object, "drains");
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct relay_child *child = &daemon->children[i];

		if (child->pid && child->state == RELAY_CHILD_DRAINING)
			save_child(child, handover, yyjson_mut_arr_add_obj(document, list));
	}
	handover->failed |= !list;
	return true;
}

/* NULL: it is none. */
static struct relay_child *take_child(struct relay_daemon *daemon, yyjson_val *object,
				      enum relay_child_state state)
{
	yyjson_val *open = yyjson_obj_get(object, "unanswered");
	const size_t count = yyjson_arr_size(open) / 2;
	struct relay_child *child = relay_daemon_place(daemon);

	if (!child)
		return NULL;
	child->sock = handover_taken_fd(yyjson_obj_get(object, "sock"));
	child->counted = handover_taken_fd(yyjson_obj_get(object, "counted"));
	if (child->sock < 0 || handover_number(object, "pid") <= 0 || count > OUTSTANDING_MAX)
		return NULL;
	child->pid = (pid_t)handover_number(object, "pid");
	child->state = state;
	child->sequence = (uint64_t)handover_number(object, "sequence");
	child->end_at = (uint64_t)handover_number(object, "end_at");
	/* Whoever asked is gone; the answers come all the same. */
	for (size_t i = 0; i < count; i++) {
		child->outstanding[i].type = (uint32_t)yyjson_get_uint(yyjson_arr_get(open, 2 * i));
		child->outstanding[i].sequence = yyjson_get_uint(yyjson_arr_get(open, 2 * i + 1));
	}
	child->count = (unsigned int)count;
	if (relay_child_watch(child) ||
	    (state == RELAY_CHILD_DRAINING && relay_child_watch_end(child))) {
		relay_child_reap(child);
		return NULL;
	}
	log_info("relay taken over: pid=%d%s", (int)child->pid,
		 state == RELAY_CHILD_DRAINING ? " drains" : "");
	return child;
}

static void take_sockets(struct relay_daemon *daemon, yyjson_val *list)
{
	size_t index, max;
	yyjson_val *value;

	/* None where the version before did not keep them, and none of another layout. */
	if (yyjson_arr_size(list) != FW_RELAY_SOCKETS)
		return;
	yyjson_arr_foreach(list, index, max, value)
		daemon->sockets[index] = handover_taken_fd(value);
}

int relay_daemon_adopt(struct relay_daemon *daemon, yyjson_val *object)
{
	yyjson_val *list = yyjson_obj_get(object, "drains"), *value;
	size_t index, max;

	take_sockets(daemon, yyjson_obj_get(object, "sockets"));
	yyjson_arr_foreach(list, index, max, value) {
		if (!take_child(daemon, value, RELAY_CHILD_DRAINING))
			return -EBADMSG;
	}
	if (yyjson_obj_get(object, "pid")) {
		daemon->current = take_child(daemon, object, RELAY_CHILD_SERVING);
		if (!daemon->current)
			return -EBADMSG;
	}
	if (handover_number(object, "version") == RELAY_VERSION)
		return 0;
	log_warning("relays of before do not understand this version: what they carry is cut");
	daemon->current = NULL;
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		relay_child_reap(&daemon->children[i]);
	relay_daemon_close_sockets(daemon);
	return 0;
}
