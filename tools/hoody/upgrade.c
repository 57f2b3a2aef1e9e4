// SPDX-License-Identifier: Apache-2.0
/*
 * hoody upgrade: the agent's program, as it is now on disk, takes over from the one
 * that runs. Waits until it is done or refused.
 */
#include <string.h>
#include <time.h>

#include "call.h"
#include "print.h"

#define WAIT_SECONDS	60
#define PAUSE_NS	(50 * 1000000l)

/* Upgrade @number has come to its end, or another one has begun. */
static bool is_over(yyjson_val *data, unsigned long long number)
{
	yyjson_val *upgrade = yyjson_obj_get(data, "upgrade");
	const char *state = yyjson_get_str(yyjson_obj_get(upgrade, "state")) ?: "";

	return yyjson_get_uint(yyjson_obj_get(upgrade, "number")) != number ||
	       !strcmp(state, "done") || !strcmp(state, "refused");
}

static enum cli_status show(struct cli *cli, yyjson_val *data)
{
	yyjson_val *upgrade = yyjson_obj_get(data, "upgrade");
	const char *state = yyjson_get_str(yyjson_obj_get(upgrade, "state")) ?: "";
	const char *reason = yyjson_get_str(yyjson_obj_get(upgrade, "reason"));
	yyjson_val *worker = yyjson_obj_get(data, "worker");
	yyjson_val *relay = yyjson_obj_get(data, "relay");

	if (strcmp(state, "done"))
		return print_error(cli, CLI_FAILED, "refused, the agent goes on as it was: %s",
				   reason ? reason : "another upgrade has begun");
	if (cli->json)
		return print_json(upgrade);
	print_field(cli, 8, "agent", yyjson_get_str(yyjson_obj_get(data, "version")) ?: "",
		    PRINT_GREEN);
	print_field(cli, 8, "before", yyjson_get_str(yyjson_obj_get(upgrade, "from")) ?: "",
		    PRINT_PLAIN);
	print_fieldf(cli, 8, "workers", "%llu before it finish what they have",
		     (unsigned long long)yyjson_get_uint(yyjson_obj_get(worker, "draining")));
	if (yyjson_get_uint(yyjson_obj_get(relay, "draining")))
		print_fieldf(cli, 8, "relays", "%llu before it finish what they carry",
			     (unsigned long long)yyjson_get_uint(yyjson_obj_get(relay, "draining")));
	return CLI_DONE;
}

static enum cli_status run_upgrade(struct cli *cli, const struct cli_args *args)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	const struct call call = {.method = "POST"};
	struct api_reply reply;
	enum cli_status status;
	unsigned long long number;
	struct timespec now, end;

	(void)args;
	status = call_ask(cli, &call, &reply, "/api/v1/upgrade");
	if (status)
		return status;
	number = yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(reply.data, "upgrade"), "number"));
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WAIT_SECONDS;
	do {
		nanosleep(&pause, NULL);
		api_reply_clear(&reply);
		/* Where it has just changed hands, the next question is answered. */
		if (!api_call(cli->api, "GET", "/api/v1/status", NULL, &reply) &&
		    is_over(reply.data, number)) {
			status = show(cli, reply.data);
			api_reply_clear(&reply);
			return status;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	api_reply_clear(&reply);
	return print_error(cli, CLI_FAILED, "it is not over after %d seconds: see hoody status and "
					    "the agent's log", WAIT_SECONDS);
}

const struct cli_command upgrade_commands[] = {
	{
		.path = "upgrade",
		.summary = "replace the running agent by its program on disk, without a pause",
		.run = run_upgrade,
	},
	{},
};
