// SPDX-License-Identifier: Apache-2.0
/*
 * hoody posture: which layers of protection hold, with what was read. Exit status
 * 0 where none fails (with --strict: where all hold), else 1.
 *
 * The agent leaves one question open, because it has given up what answers it: with
 * which cipher dm-crypt encrypts. Where this runs as root of the same host it asks
 * the kernel, and completes the report.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "control/posture.h"
#include "kernel/dm.h"
#include "lib/id.h"
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
		if (!any)
			putchar('\n');
		print_line("  %s: %s", text_of(layer, "layer"), text_of(layer, "advice"));
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
		if (host || i)
			putchar('\n');
		print_line("container %s %s", text_of(container, "id"),
			   text_of(container, "name"));
		show_layers(cli, yyjson_obj_get(container, "layers"));
		show_advice(yyjson_obj_get(container, "layers"));
	}
	printf("\n%llu hold, %llu fail, %llu unknown\n",
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "holds")),
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "fails")),
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(summary, "unknown")));
}

/* --- what only root is told --- */

/*
 * The devices of @source (POSTURE_TABLES, then " 253:0 ..."): the weakest of their
 * ciphers. 0 or a negative errno.
 */
static int cipher_of(const char *source, struct knl_dm_cipher *cipher)
{
	const char *at = source + strlen(POSTURE_TABLES);
	unsigned int major, minor;
	int used, ret = -EINVAL;

	for (; *at; at += used) {
		struct knl_dm_cipher one;

		if (sscanf(at, " %u:%u%n", &major, &minor, &used) != 2)
			return -EINVAL;
		ret = knl_dm_cipher(major, minor, &one);
		if (ret)
			return ret;
		if (at == source + strlen(POSTURE_TABLES) || one.aes_bits < cipher->aes_bits)
			*cipher = one;
	}
	return ret;
}

/* Completes @layer where it is one of those; true where it is told now. */
static bool cipher_tell(yyjson_mut_doc *document, yyjson_mut_val *layer)
{
	const char *source = yyjson_mut_get_str(yyjson_mut_obj_get(layer, "source"));
	const char *verdict = yyjson_mut_get_str(yyjson_mut_obj_get(layer, "verdict"));
	struct knl_dm_cipher cipher;
	char text[POSTURE_VALUE_MAX];
	bool strong;
	int ret;

	if (!source || !verdict || strcmp(verdict, "unknown") != 0 ||
	    strncmp(source, POSTURE_TABLES, strlen(POSTURE_TABLES)) != 0)
		return false;
	ret = cipher_of(source, &cipher);
	strong = !ret && cipher.aes_bits == 256;
	if (ret)
		snprintf(text, sizeof(text), "cannot be read: %s", strerror(-ret));
	else
		snprintf(text, sizeof(text), "%s", cipher.text);
	yyjson_mut_obj_replace(layer, yyjson_mut_str(document, "value"),
			       yyjson_mut_strcpy(document, text));
	if (ret)
		return false;
	yyjson_mut_obj_replace(layer, yyjson_mut_str(document, "verdict"),
			       yyjson_mut_str(document, strong ? "holds" : "fails"));
	if (strong)
		yyjson_mut_obj_replace(layer, yyjson_mut_str(document, "advice"),
				       yyjson_mut_null(document));
	return true;
}

/* --- the report --- */

static void count_verdicts(yyjson_mut_val *layers, uint64_t counts[POSTURE_FAILS + 1])
{
	static const char *const verdicts[] = {"unknown", "holds", "fails"};
	yyjson_mut_val *layer;
	size_t i, max;

	yyjson_mut_arr_foreach(layers, i, max, layer)
	{
		const char *verdict = yyjson_mut_get_str(yyjson_mut_obj_get(layer, "verdict"));

		for (size_t v = 0; verdict && v <= POSTURE_FAILS; v++)
			counts[v] += !strcmp(verdict, verdicts[v]);
	}
}

/* The summary anew: of all pages, with what has been told here. */
static void sum_up(yyjson_mut_doc *document, yyjson_mut_val *data)
{
	yyjson_mut_val *host = yyjson_mut_obj_get(data, "host"), *summary, *each;
	uint64_t counts[POSTURE_FAILS + 1] = {0};
	size_t i, max;

	yyjson_mut_arr_foreach(host, i, max, each) cipher_tell(document, each);
	count_verdicts(host, counts);
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(data, "containers"), i, max, each)
		count_verdicts(yyjson_mut_obj_get(each, "layers"), counts);
	yyjson_mut_obj_remove_key(data, "summary");
	summary = yyjson_mut_obj_add_obj(document, data, "summary");
	yyjson_mut_obj_add_uint(document, summary, "unknown", counts[POSTURE_UNKNOWN]);
	yyjson_mut_obj_add_uint(document, summary, "holds", counts[POSTURE_HOLDS]);
	yyjson_mut_obj_add_uint(document, summary, "fails", counts[POSTURE_FAILS]);
}

/* A page's data joins @data; the first one becomes it. */
static yyjson_mut_val *page_add(yyjson_mut_doc *document, yyjson_mut_val *data, yyjson_val *page)
{
	yyjson_val *containers = yyjson_obj_get(page, "containers"), *container;
	yyjson_mut_val *list = yyjson_mut_obj_get(data, "containers");
	size_t i, max;

	if (!data)
		return yyjson_val_mut_copy(document, page);
	yyjson_arr_foreach(containers, i, max, container)
		yyjson_mut_arr_append(list, yyjson_val_mut_copy(document, container));
	return data;
}

/* All pages, or that of container @id; NULL where it has been said why not. */
static yyjson_doc *read_report(struct cli *cli, const char *id)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	const struct call call = {.method = "GET"};
	char cursor[ID_TEXT_LEN + 1] = "";
	yyjson_doc *result = NULL;
	yyjson_mut_val *data = NULL;
	struct api_reply reply;
	const char *next;

	do {
		if (call_ask(cli, &call, &reply, "/api/v1/posture?%s%s%s%s",
			     id ? "container=" : "limit=500", id ? id : "",
			     cursor[0] ? "&cursor=" : "", cursor))
			goto out;
		data = page_add(document, data, reply.data);
		next = text_of(reply.root, "next_cursor");
		/* One that does not go on would do so for ever. */
		if (*next && (strspn(next, "0123456789abcdef") != ID_TEXT_LEN || next[ID_TEXT_LEN] ||
			      strcmp(next, cursor) <= 0)) {
			print_error(cli, CLI_FAILED, "the agent's cursor cannot be used: the report "
						     "is not complete");
			goto out;
		}
		snprintf(cursor, sizeof(cursor), "%s", next);
		api_reply_clear(&reply);
	} while (cursor[0]);
	sum_up(document, data);
	yyjson_mut_doc_set_root(document, data);
	result = yyjson_mut_doc_imut_copy(document, NULL);
	if (!result)
		print_error(cli, CLI_FAILED, "no memory for the report");
	yyjson_mut_doc_free(document);
	return result;
out:
	api_reply_clear(&reply);
	yyjson_mut_doc_free(document);
	return NULL;
}

static enum cli_status run_posture(struct cli *cli, const struct cli_args *args)
{
	enum cli_status status = CLI_DONE;
	yyjson_val *summary;
	yyjson_doc *report;

	report = read_report(cli, args_value(args, "container"));
	if (!report)
		return CLI_FAILED;
	if (cli->json)
		status = print_json(yyjson_doc_get_root(report));
	else
		show_posture(cli, yyjson_doc_get_root(report));
	summary = yyjson_obj_get(yyjson_doc_get_root(report), "summary");
	if (yyjson_get_uint(yyjson_obj_get(summary, "fails")) ||
	    (args_flag(args, "strict") && yyjson_get_uint(yyjson_obj_get(summary, "unknown"))))
		status = CLI_FAILED;
	yyjson_doc_free(report);
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
		.details = "Of the host and of every running container. Exit status 0: none fails; 1: one does.\n"
			   "Run it as root of the host: with which cipher disks are encrypted is told to nobody else.",
		.options = posture_options,
		.run = run_posture,
	},
	{},
};
