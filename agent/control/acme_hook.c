// SPDX-License-Identifier: Apache-2.0
/*
 * The hook that uacme(1) calls for every challenge: hands what it is told to
 * control and ends when control has answered. It runs as uacme's user and has
 * nothing but its end of a channel.
 */
#include "control/acme_order.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MS	60000

static int copy(char *field, size_t size, const char *argument)
{
	return snprintf(field, size, "%s", argument) < (int)size ? 0 : -1;
}

int acme_hook_run(int argc, char **argv)
{
	struct pollfd wait = { .fd = ACME_HOOK_FD, .events = POLLIN };
	struct acme_hook_message message = { 0 };
	char status = 1;

	if (argc != 6 || copy(message.method, sizeof(message.method), argv[1]) ||
	    copy(message.type, sizeof(message.type), argv[2]) ||
	    copy(message.domain, sizeof(message.domain), argv[3]) ||
	    copy(message.token, sizeof(message.token), argv[4]) ||
	    copy(message.text, sizeof(message.text), argv[5]))
		return 1;
	if (send(ACME_HOOK_FD, &message, sizeof(message), MSG_NOSIGNAL) != sizeof(message)) {
		fprintf(stderr, "hoody-agent: the agent cannot be told of the challenge: %s\n",
			strerror(errno));
		return 1;
	}
	if (poll(&wait, 1, ANSWER_MS) != 1 || recv(ACME_HOOK_FD, &status, 1, 0) != 1) {
		fputs("hoody-agent: the agent does not answer\n", stderr);
		return 1;
	}
	return status != 0;
}
