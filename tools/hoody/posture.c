// SPDX-License-Identifier: Apache-2.0
/*
 * hoody posture: which layers of protection hold, with what was read. Exit status
 * 0 where none fails (with --strict: where all hold), else 1.
 */
#include <string.h>

#include "api.h"
#include "options.h"
#include "print.h"

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static enum print_colour colour_of(const char *verdict)
{
	if (!strcmp(verdict, "holds"))
		return PRINT_GREEN;
	return strcmp(verdict, "fails") ? PRINT_YELLOW : PRINT_RED;
}

static void show_layers(struct cli *cli, yyjson_val *layers)
{
	static const char *const headings[] = {"LAYER", "VERDICT", "READ", "VALUE", NULL};
	struct print_table *table = print_table_create(headings);
	yyjson_val *layer;
	size_t i, max;

	yyjson_arr_foreach(layers, i, max, layer)
	{
		print_table_cell(table, text_of(layer, "layer"), PRINT_PLAIN);
		print_table_cell(table, text_of(layer, "verdict"),
				 colour_of(text_of(layer, "verdict")));
		print_table_cell(table, text_of(layer, "source"), PRINT_DIM);
		print_table_cell(table, text_of(layer, "value"), PRINT_PLAIN);
	}
	print_table_finish(cli, table);
}

/* What to do, each advice once for a list of layers. */
static void show_advice(yyjson_val *layers)
{
	bool any = false;
	yyjson_val *layer;
	size_t i, max;

	yyjson_arr_foreach(layers, i, max, layer)
	{
		if (strcmp(text_of(layer, "verdict"), "fails") != 0)
			continue;
		printf("%s  %s: ", any ? "" : "\n", text_of(layer, "layer"));
		print_text(stdout, text_of(layer, "advice"));
		putchar('\n');
		any = true;
	}
}

static void show_posture(struct cli *cli, yyjson_val *data)
{
	yyjson_val *host = yyjson_obj_get(data, "host"), *container;
	yyjson_val *summary = yyjson_obj_get(data, "summary");
	size_t i, max;

	if (host) {
		printf("host\n");
		show_layers(cli, host);
		show_advice(host);
	}
	yyjson_arr_foreach(yyjson_obj_get(data, "containers"), i, max, container)
	{
		printf("%scontainer %s ", host || i ? "\n" : "", text_of(container, "id"));
		print_text(stdout, text_of(container, "name"));
		putchar('\n');
		show_layers(cli, yyjson_obj_get(container, "layers"));
		show_advice(yyjson_obj_get(container, "layers"));
	}
	printf("\n%llu hold, %llu fail, %llu unknown\n",
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "holds")),
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "fails")),
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "unknown")));
}

static enum cli_status run_posture(struct cli *cli, const struct cli_args *args)
{
	const char *id = args_value(args, "container");
	enum cli_status status = CLI_DONE;
	struct api *api = cli_api(cli);
	yyjson_val *summary;
	struct api_reply reply;
	char path[128];

	if (!api)
		return CLI_FAILED;
	snprintf(path, sizeof(path), "/api/v1/posture%s%s", id ? "?container=" : "?limit=500",
		 id ? id : "");
	if (api_call(api, "GET", path, NULL, &reply)) {
		status = print_refusal(cli, &reply);
		goto out;
	}
	if (cli->json)
		status = print_json(reply.data);
	else
		show_posture(cli, reply.data);
	summary = yyjson_obj_get(reply.data, "summary");
	if (yyjson_get_uint(yyjson_obj_get(summary, "fails")) ||
	    (args_flag(args, "strict") && yyjson_get_uint(yyjson_obj_get(summary, "unknown"))))
		status = CLI_FAILED;
out:
	api_reply_clear(&reply);
	return status;
}

static const struct cli_option posture_options[] = {
	{.name = "container",
	 .letter = 'c',
	 .kind = CLI_VALUE,
	 .value = "ID",
	 .check = check_id,
	 .help = "only this container, not the host"},
	{.name = "strict", .kind = CLI_FLAG, .help = "what is unknown fails, too"},
	{},
};

const struct cli_command posture_commands[] = {
	{
		.path = "posture",
		.summary = "show which layers of protection hold, with evidence",
		.details = "Of the host and of every running container. Exit status 0: none fails; 1: one does.",
		.options = posture_options,
		.run = run_posture,
	},
	{},
};
