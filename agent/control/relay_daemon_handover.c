// SPDX-License-Identifier: Apache-2.0
/* The relay goes on while control is replaced, see relay_daemon.h and handover.h. */
#include "control/relay_daemon_internal.h"

#include "control/handover.h"
#include "lib/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

bool relay_daemon_save(struct relay_daemon *daemon, struct handover *handover)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object, *open;

	if (!daemon->pid)
		return false;
	if (!daemon->ready || daemon->killed) {
		kill(daemon->pid, SIGKILL);
		waitpid(daemon->pid, NULL, 0);
		relay_daemon_clear_process(daemon);
		relay_daemon_start_later(daemon);
		return false;
	}
	object = yyjson_mut_obj_add_obj(document, handover->root, "relay");
	yyjson_mut_obj_add_int(document, object, "version", RELAY_VERSION);
	yyjson_mut_obj_add_int(document, object, "pid", daemon->pid);
	yyjson_mut_obj_add_uint(document, object, "sequence", daemon->sequence);
	handover_fd(handover, object, "sock", daemon->sock);
	open = yyjson_mut_obj_add_arr(document, object, "unanswered");
	for (unsigned int i = 0; i < daemon->count; i++) {
		const struct outstanding *question =
			&daemon->outstanding[(daemon->first + i) % OUTSTANDING_MAX];

		yyjson_mut_arr_add_uint(document, open, question->type);
		handover->failed |= !yyjson_mut_arr_add_uint(document, open, question->sequence);
	}
	return true;
}

int relay_daemon_adopt(struct relay_daemon *daemon, yyjson_val *object)
{
	yyjson_val *open = yyjson_obj_get(object, "unanswered");
	const size_t count = yyjson_arr_size(open) / 2;

	daemon->sock = handover_taken_fd(yyjson_obj_get(object, "sock"));
	daemon->pid = (pid_t)handover_number(object, "pid");
	if (daemon->sock < 0 || daemon->pid <= 0 || count > OUTSTANDING_MAX)
		return -EBADMSG;
	if (handover_number(object, "version") != RELAY_VERSION) {
		log_warning("the relay of before does not understand this version: what it carries is cut");
		kill(daemon->pid, SIGKILL);
		waitpid(daemon->pid, NULL, 0);
		relay_daemon_clear_process(daemon);
		return 0;
	}
	daemon->sequence = (uint64_t)handover_number(object, "sequence");
	/* Whoever asked is gone; the answers come all the same. */
	for (size_t i = 0; i < count; i++) {
		daemon->outstanding[i].type = (uint32_t)yyjson_get_uint(yyjson_arr_get(open, 2 * i));
		daemon->outstanding[i].sequence = yyjson_get_uint(yyjson_arr_get(open, 2 * i + 1));
	}
	daemon->count = (unsigned int)count;
	daemon->ready = true;
	log_info("relay taken over: pid=%d", (int)daemon->pid);
	return relay_daemon_watch(daemon);
}
