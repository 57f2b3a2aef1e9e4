// SPDX-License-Identifier: Apache-2.0
/*
 * hoody ksm show|set: memory that containers share. One container is shown field
 * by field, all of them as a table with a bar for what each has saved.
 */
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define KSM_PATH "/api/v1/containers/%s/ksm"
#define BAR_WIDTH  20
#define WIDTH	   12
#define NAME_MAX_BYTES 15

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static double number_at(yyjson_val *json, const char *object, const char *key)
{
	return yyjson_get_num(yyjson_obj_get(yyjson_obj_get(json, object), key));
}

static void format_bytes(double bytes, char text[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	while ((bytes >= 1024 || bytes <= -1024) && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static enum print_colour state_colour(const char *state)
{
	if (!strcmp(state, "on"))
		return PRINT_GREEN;
	return !strcmp(state, "off") ? PRINT_DIM : PRINT_YELLOW;
}

static void bytes_cell(struct print_table *table, yyjson_val *container, const char *key)
{
	double bytes = number_at(container, "bytes", key);
	char text[32];

	format_bytes(bytes, text);
	print_table_cell(table, text, bytes < 0 ? PRINT_RED : PRINT_PLAIN);
}

/* '#' is what was saved, '-' what ksmd's own tables cost of it. */
static void bar_cell(struct print_table *table, yyjson_val *container, double most)
{
	double saved = number_at(container, "bytes", "saved");
	double metadata = number_at(container, "bytes", "metadata");
	int full = most > 0 ? (int)(saved / most * BAR_WIDTH + 0.5) : 0;
	int cost = most > 0 ? (int)(metadata / most * BAR_WIDTH + 0.5) : 0;
	char bar[BAR_WIDTH + 1];

	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i >= full ? '.' : i >= full - cost ? '-' : '#';
	bar[BAR_WIDTH] = '\0';
	print_table_cell(table, bar, PRINT_PLAIN);
}

static enum cli_status show_table(struct cli *cli, yyjson_val *containers)
{
	static const char *const headings[] = {"CONTAINER", "STATE", "SAVED", "COST",
					       "NET", "ZERO", "SAVED, COST", NULL};
	struct print_table *table = print_table_create(headings);
	yyjson_val *container;
	double most = 0, saved;
	size_t i, max;

	yyjson_arr_foreach(containers, i, max, container)
	{
		saved = number_at(container, "bytes", "saved");
		most = saved > most ? saved : most;
	}
	yyjson_arr_foreach(containers, i, max, container)
	{
		const char *state = text_of(container, "state");

		print_table_cell(table, text_of(container, "container"), PRINT_PLAIN);
		print_table_cell(table, state, state_colour(state));
		bytes_cell(table, container, "saved");
		bytes_cell(table, container, "metadata");
		bytes_cell(table, container, "net");
		bytes_cell(table, container, "zero");
		bar_cell(table, container, most);
	}
	return print_table_finish(cli, table);
}

static enum cli_status show_host(struct cli *cli, const struct call *call,
				 const struct api_reply *reply)
{
	yyjson_val *data = reply->data;
	yyjson_val *containers = yyjson_obj_get(data, "containers");
	yyjson_val *scanner = yyjson_obj_get(data, "scanner");
	char text[32];

	(void)call;
	if (yyjson_is_true(yyjson_obj_get(scanner, "running")))
		print_fieldf(cli, WIDTH, "scanner", "%.1f %% of one processor (budget %.0f %%), %.0f pages at a time",
			     number_at(data, "scanner", "cpu_percent"),
			     number_at(data, "scanner", "cpu_budget_percent"),
			     number_at(data, "scanner", "pages_to_scan"));
	else
		print_field(cli, WIDTH, "scanner", "as the host has set it", PRINT_PLAIN);
	if (text_of(scanner, "fault")[0])
		print_field(cli, WIDTH, "fault", text_of(scanner, "fault"), PRINT_YELLOW);
	format_bytes(number_at(data, "pages", "sharing") * 4096, text);
	print_fieldf(cli, WIDTH, "host", "%s saved by %.0f shared pages", text,
		     number_at(data, "pages", "shared"));
	if (!yyjson_arr_size(containers)) {
		print_field(cli, WIDTH, "containers", "none takes part", PRINT_PLAIN);
		return CLI_DONE;
	}
	putchar('\n');
	return show_table(cli, containers);
}

static void show_bytes(const struct cli *cli, yyjson_val *data, const char *name, const char *key)
{
	double bytes = number_at(data, "bytes", key);
	char text[32];

	format_bytes(bytes, text);
	print_field(cli, WIDTH, name, text, bytes < 0 ? PRINT_RED : PRINT_PLAIN);
}

static enum cli_status show_container(struct cli *cli, const struct call *call,
				      const struct api_reply *reply)
{
	yyjson_val *data = reply->data;
	const char *state = text_of(data, "state"), *reason = text_of(data, "reason");
	yyjson_val *name, *names = yyjson_obj_get(data, "exclude");
	char text[320];
	size_t i, max, len = 0;

	(void)call;
	snprintf(text, sizeof(text), "%s%s%s", state, *reason ? ": " : "", reason);
	print_field(cli, WIDTH, "state", text, state_colour(state));
	text[0] = '\0';
	yyjson_arr_foreach(names, i, max, name)
	{
		if (len < sizeof(text))
			len += snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "",
					yyjson_get_str(name) ?: "");
	}
	print_field(cli, WIDTH, "left out", text[0] ? text : "-", PRINT_PLAIN);
	print_fieldf(cli, WIDTH, "processes", "%.0f, %.0f left out by name, %.0f by themselves",
		     number_at(data, "processes", "total"), number_at(data, "processes", "excluded"),
		     number_at(data, "processes", "left"));
	print_fieldf(cli, WIDTH, "pages", "%.0f merged, %.0f of zeros, %.0f tracked",
		     number_at(data, "pages", "merged"), number_at(data, "pages", "zero"),
		     number_at(data, "pages", "tracked"));
	show_bytes(cli, data, "saved", "saved");
	show_bytes(cli, data, "cost", "metadata");
	show_bytes(cli, data, "net", "net");
	show_bytes(cli, data, "zero pages", "zero");
	return CLI_DONE;
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	const char *id = args_value(args, "container");
	const struct call call = {.method = "GET", .show = id ? show_container : show_host};

	return id ? call_show(cli, &call, KSM_PATH, id)
		  : call_show(cli, &call, "/api/v1/ksm");
}

static enum cli_status run_set(struct cli *cli, const struct cli_args *args)
{
	yyjson_mut_val *body, *names;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {.method = "PUT", .body = doc, .show = show_container};
	const char *name;
	size_t cursor = 0;

	if (!doc)
		return CLI_FAILED;
	yyjson_mut_obj_add_str(doc, body, "mode", args->positional[0]);
	names = yyjson_mut_obj_add_arr(doc, body, "exclude");
	while ((name = args_next(args, "exclude", &cursor)))
		yyjson_mut_arr_add_str(doc, names, name);
	return call_show(cli, &call, KSM_PATH, args_value(args, "container"));
}

static const char *check_mode(const char *text)
{
	return strcmp(text, "on") != 0 && strcmp(text, "off") != 0 ? "must be on or off" : NULL;
}

static const char *check_name(const char *text)
{
	return !*text || strlen(text) > NAME_MAX_BYTES ? "must be 1 to 15 bytes long" : NULL;
}

static const struct cli_option show_options[] = {
	{.name = "container",
	 .letter = 'c',
	 .kind = CLI_VALUE,
	 .value = "ID",
	 .check = check_id,
	 .help = "one container; without it all that take part"},
	{},
};

static const struct cli_option set_options[] = {
	{.name = "container",
	 .letter = 'c',
	 .kind = CLI_VALUE,
	 .required = true,
	 .value = "ID",
	 .check = check_id,
	 .help = "whose memory"},
	{.name = "exclude",
	 .kind = CLI_LIST,
	 .value = "NAME",
	 .check = check_name,
	 .help = "a process to leave out, as in /proc/PID/comm"},
	{},
};

static const struct cli_positional set_positionals[] = {
	{.name = "on|off", .help = "whether it takes part", .check = check_mode},
	{},
};

const struct cli_command ksm_commands[] = {
	{
		.path = "ksm show",
		.summary = "show what containers save by sharing memory, and what it costs",
		.options = show_options,
		.run = run_show,
	},
	{
		.path = "ksm set",
		.summary = "let a container share identical memory with others of its project",
		.details = "Takes hold in the background, without a restart. Names that are not given\n"
			   "again are no longer left out. See docs/ksm.md for what it gives away.",
		.options = set_options,
		.positionals = set_positionals,
		.run = run_set,
	},
	{},
};
