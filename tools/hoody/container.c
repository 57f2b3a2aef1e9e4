// SPDX-License-Identifier: Apache-2.0
/*
 * Reads containers from the API: one of them into the plain model, all of them
 * page by page.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "container.h"
#include "print.h"

#define PAGE_LIMIT "500"
#define CURSOR_MAX 512

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

int container_parse(yyjson_val *json, struct container *container)
{
	yyjson_val *key, *value;
	size_t i, max;

	memset(container, 0, sizeof(*container));
	container->id = text_of(json, "id");
	if (!container->id[0])
		return -EINVAL;
	container->project = text_of(json, "project");
	container->name = text_of(json, "name");
	container->realm = text_of(json, "realm");
	container->state = text_of(json, "state");
	container->cgroup = text_of(json, "cgroup");
	container->netdev = text_of(json, "netdev");
	container->real_ip = text_of(json, "real_ip");
	container->created_at = text_of(json, "created_at");
	container->updated_at = text_of(json, "updated_at");
	container->generation = yyjson_get_uint(yyjson_obj_get(json, "generation"));
	container->gateway = yyjson_get_bool(yyjson_obj_get(json, "gateway"));
	yyjson_arr_foreach(yyjson_obj_get(json, "addresses"), i, max, value)
	{
		if (yyjson_is_str(value) && container->addresses_count < CONTAINER_ADDRESSES_MAX)
			container->addresses[container->addresses_count++] = yyjson_get_str(value);
	}
	yyjson_obj_foreach(yyjson_obj_get(json, "ports"), i, max, key, value)
	{
		if (yyjson_is_uint(value) && container->ports_count < CONTAINER_PORTS_MAX)
			container->ports[container->ports_count++] = (struct container_port){
				yyjson_get_str(key), (unsigned int)yyjson_get_uint(value)};
	}
	return 0;
}

/* A cursor is the agent's own text: only what needs no escaping in a URL is sent back. */
static bool cursor_is_plain(const char *cursor)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	return *cursor && strlen(cursor) < CURSOR_MAX && !cursor[strspn(cursor, plain)];
}

enum cli_status container_each(struct cli *cli, bool quiet,
			       void (*each)(yyjson_val *json, void *context), void *context)
{
	char path[CURSOR_MAX + 64] = CONTAINER_PATH "?limit=" PAGE_LIMIT, cursor[CURSOR_MAX] = "";
	struct api *api = cli_api(cli);
	struct api_reply reply;
	yyjson_val *value;
	const char *next;
	size_t i, max;
	int ret;

	while (api) {
		ret = api_call(api, "GET", path, NULL, &reply);
		if (ret) {
			if (!quiet)
				print_refusal(cli, &reply);
			break;
		}
		yyjson_arr_foreach(reply.data, i, max, value) each(value, context);
		next = text_of(reply.root, "next_cursor");
		/* The same cursor twice would go on for ever. */
		if (!*next || !cursor_is_plain(next) || !strcmp(next, cursor)) {
			api_reply_clear(&reply);
			if (!*next)
				return CLI_DONE;
			return quiet ? CLI_FAILED
				     : print_error(cli, CLI_FAILED,
						   "the agent's cursor cannot be used: the list is "
						   "not complete");
		}
		snprintf(cursor, sizeof(cursor), "%s", next);
		snprintf(path, sizeof(path), "%s?limit=%s&cursor=%s", CONTAINER_PATH, PAGE_LIMIT,
			 cursor);
		api_reply_clear(&reply);
	}
	if (api)
		api_reply_clear(&reply);
	return CLI_FAILED;
}

static void complete_one(yyjson_val *json, void *context)
{
	const char *partial = context, *id = text_of(json, "id");

	if (strncmp(id, partial, strlen(partial)) != 0)
		return;
	print_text(stdout, id);
	putchar('\t');
	print_text(stdout, text_of(json, "name"));
	putchar('\n');
}

void container_complete(struct cli *cli, const char *partial)
{
	container_each(cli, true, complete_one, (void *)partial);
}
