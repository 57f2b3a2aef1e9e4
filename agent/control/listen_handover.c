// SPDX-License-Identifier: Apache-2.0
/* Listening sockets from one control process to the next, see listen.h. */
#include "control/listen.h"
#include "control/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void listen_save(const struct listen_set *set, struct handover *handover)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, handover->root, "listeners");
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, object, "list");

	yyjson_mut_obj_add_uint(document, object, "threads", set->message.threads);
	handover_hex(handover, object, "secret", set->message.quic_secret,
		     sizeof(set->message.quic_secret));
	for (unsigned int i = 0; i < set->message.addresses; i++) {
		const struct config_listener *listener = &set->listeners[i];
		const unsigned int count = LISTEN_SLOTS * set->message.threads;
		yyjson_mut_val *entry = yyjson_mut_arr_add_obj(document, list), *fds;
		char text[ADDRESS_LISTEN_TEXT_MAX];

		address_listen_format(&listener->address, text);
		handover->failed |= !yyjson_mut_obj_add_strcpy(document, entry, "address", text) ||
				    !yyjson_mut_obj_add_bool(document, entry, "tls", listener->tls) ||
				    !yyjson_mut_obj_add_bool(document, entry, "quic", listener->quic) ||
				    !yyjson_mut_obj_add_bool(document, entry, "redirects",
							     listener->redirects);
		fds = yyjson_mut_obj_add_arr(document, entry, "fds");
		for (unsigned int k = 0; k < count; k++)
			handover_fd(handover, fds, NULL, set->fds[i * count + k]);
	}
}

static int adopt_one(struct listen_set *set, unsigned int i, yyjson_val *entry)
{
	struct config_listener *listener = &set->listeners[i];
	const unsigned int count = LISTEN_SLOTS * set->message.threads;
	yyjson_val *fds = yyjson_obj_get(entry, "fds"), *fd;
	size_t k, max;

	if (address_listen_parse(handover_text(entry, "address"), 0, &listener->address) ||
	    yyjson_arr_size(fds) != count)
		return -EBADMSG;
	listener->tls = yyjson_get_bool(yyjson_obj_get(entry, "tls"));
	listener->quic = yyjson_get_bool(yyjson_obj_get(entry, "quic"));
	listener->redirects = yyjson_get_bool(yyjson_obj_get(entry, "redirects"));
	set->message.flags[i] = (listener->tls ? IPC_LISTENER_TLS : 0) |
				(listener->quic ? IPC_LISTENER_QUIC : 0) |
				(listener->redirects ? IPC_LISTENER_REDIRECT : 0);
	yyjson_arr_foreach(fds, k, max, fd) {
		set->fds[i * count + k] = handover_taken_fd(fd);
		/* Of TCP there is one slot. */
		if (set->fds[i * count + k] < 0 && (listener->quic || k < set->message.threads))
			return -EBADMSG;
	}
	return 0;
}

struct listen_set *listen_adopt(const struct handover_found *found)
{
	yyjson_val *object = yyjson_obj_get(found->root, "listeners"), *entry;
	yyjson_val *list = yyjson_obj_get(object, "list");
	struct listen_set *set = calloc(1, sizeof(*set));
	const int64_t threads = handover_number(object, "threads");
	size_t i, max;

	if (!set)
		return NULL;
	memset(set->fds, -1, sizeof(set->fds));
	set->message.threads = (uint32_t)threads;
	set->message.addresses = (uint32_t)yyjson_arr_size(list);
	if (threads < 1 || set->message.addresses < 1 ||
	    set->message.addresses > CONFIG_LISTENERS_MAX ||
	    (uint64_t)threads * set->message.addresses > IPC_FDS_MAX ||
	    handover_bytes(object, "secret", set->message.quic_secret,
			   sizeof(set->message.quic_secret)))
		goto err_close;
	set->sockets = set->message.threads * set->message.addresses;
	yyjson_arr_foreach(list, i, max, entry) {
		if (adopt_one(set, i, entry))
			goto err_close;
	}
	return set;

err_close:
	listen_close(set);
	return NULL;
}
