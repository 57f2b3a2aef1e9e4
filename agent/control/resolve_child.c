// SPDX-License-Identifier: Apache-2.0
/*
 * The child that looks up one name, see resolve.h: no privileges, one answer to
 * control, and its end after LIMIT_S in any case.
 */
#include "control/resolve.h"

#include "lib/ipc.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_S		10
#define TRY_MS		2000
#define TRIES		2

static void take(struct resolve_answer *answer, const struct ares_addrinfo_node *node)
{
	struct address *address = &answer->addresses[answer->count];

	if (answer->count == EXIT_ADDRESSES_MAX)
		return;
	memset(address, 0, sizeof(*address));
	address->family = (sa_family_t)node->ai_family;
	if (node->ai_family == AF_INET)
		address->v4 = ((const struct sockaddr_in *)node->ai_addr)->sin_addr;
	else if (node->ai_family == AF_INET6)
		address->v6 = ((const struct sockaddr_in6 *)node->ai_addr)->sin6_addr;
	else
		return;
	if (!answer->count++ || (uint32_t)node->ai_ttl < answer->ttl)
		answer->ttl = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;
}

static void on_answer(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
	struct resolve_answer *answer = context;

	if (status == ARES_SUCCESS)
		answer->status = 0;
	else if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
		answer->status = -ENOENT;
	for (const struct ares_addrinfo_node *node = result ? result->nodes : NULL; node;
	     node = node->ai_next)
		take(answer, node);
	ares_freeaddrinfo(result);
}

int resolve_run(const char *name)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM };
	/* No search list: a name means the same on every host. */
	struct ares_options options = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS,
					.timeout = TRY_MS, .tries = TRIES,
					.evsys = ARES_EVSYS_DEFAULT };
	struct resolve_answer answer = { .status = -EAGAIN };
	ares_channel_t *channel = NULL;

	alarm(LIMIT_S);
	if (ares_library_init(ARES_LIB_INIT_ALL) ||
	    ares_init_options(&channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS |
			      ARES_OPT_TRIES | ARES_OPT_EVENT_THREAD))
		return EXIT_FAILURE;
	ares_getaddrinfo(channel, name, NULL, &hints, on_answer, &answer);
	ares_queue_wait_empty(channel, -1);
	ares_destroy(channel);
	return ipc_send(IPC_WORKER_FD, 0, 0, &answer, sizeof(answer), NULL, 0) ? EXIT_FAILURE :
										   EXIT_SUCCESS;
}
