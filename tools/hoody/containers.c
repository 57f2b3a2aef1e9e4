// SPDX-License-Identifier: Apache-2.0
/*
 * hoody containers register|list|show|start|stop|delete.
 */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "container.h"
#include "options.h"
#include "print.h"

static enum print_colour state_colour(const char *state)
{
	return !strcmp(state, "running") ? PRINT_GREEN : PRINT_DIM;
}

static enum print_colour real_ip_colour(const char *real_ip)
{
	return !strcmp(real_ip, "unavailable") ? PRINT_YELLOW : PRINT_PLAIN;
}

/* "a, b" of a container's addresses or ports, at most @size bytes. */
static void join_addresses(const struct container *container, char *text, size_t size)
{
	size_t i, len = 0;

	text[0] = 0;
	for (i = 0; i < container->addresses_count && len < size; i++)
		len += snprintf(text + len, size - len, "%s%s", i ? ", " : "",
				container->addresses[i]);
}

static void join_ports(const struct container *container, char *text, size_t size)
{
	size_t i, len = 0;

	text[0] = 0;
	for (i = 0; i < container->ports_count && len < size; i++)
		len += snprintf(text + len, size - len, "%s%s=%u", i ? ", " : "",
				container->ports[i].service, container->ports[i].port);
}

static void show_fields(const struct cli *cli, const struct container *container)
{
	const int width = 12;
	char text[2048];

	print_field(cli, width, "id", container->id, PRINT_PLAIN);
	print_field(cli, width, "project", container->project, PRINT_PLAIN);
	print_field(cli, width, "name", container->name[0] ? container->name : "-", PRINT_PLAIN);
	if (container->realm[0])
		print_field(cli, width, "realm", container->realm, PRINT_PLAIN);
	print_field(cli, width, "state", container->state, state_colour(container->state));
	print_field(cli, width, "real ip", container->real_ip, real_ip_colour(container->real_ip));
	join_addresses(container, text, sizeof(text));
	print_field(cli, width, "addresses", text[0] ? text : "-", PRINT_PLAIN);
	join_ports(container, text, sizeof(text));
	print_field(cli, width, "ports", text[0] ? text : "the defaults", PRINT_PLAIN);
	print_field(cli, width, "cgroup", container->cgroup[0] ? container->cgroup : "-",
		    PRINT_PLAIN);
	print_field(cli, width, "netdev", container->netdev[0] ? container->netdev : "-",
		    PRINT_PLAIN);
	if (container->gateway)
		print_field(cli, width, "gateway", "yes", PRINT_PLAIN);
	print_fieldf(cli, width, "generation", "%llu", (unsigned long long)container->generation);
	print_field(cli, width, "created", container->created_at, PRINT_PLAIN);
	print_field(cli, width, "updated", container->updated_at, PRINT_PLAIN);
}

/* The container that comes back: what has been done to it, or all of it. */
static enum cli_status show(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	const char *done = call->done;
	struct container container;

	if (container_parse(reply->data, &container))
		return print_error(cli, CLI_FAILED, "the reply is no container");
	if (!done) {
		show_fields(cli, &container);
		return CLI_DONE;
	}
	if (!strcmp(done, "registered") && reply->status == 200)
		done = "updated";
	printf("%s ", done);
	print_text(stdout, container.id);
	fputs(" (", stdout);
	print_text(stdout, container.state);
	printf(", generation %llu)\n", (unsigned long long)container.generation);
	return CLI_DONE;
}

/* cgroup, netdev and addresses: what register and start have in common. */
static void add_place(yyjson_mut_doc *doc, yyjson_mut_val *body, const struct cli_args *args)
{
	const char *cgroup = args_value(args, "cgroup"), *netdev = args_value(args, "netdev");
	yyjson_mut_val *array = NULL;
	const char *address;
	size_t cursor = 0;

	if (cgroup)
		yyjson_mut_obj_add_str(doc, body, "cgroup", cgroup);
	if (netdev)
		yyjson_mut_obj_add_str(doc, body, "netdev", netdev);
	while ((address = args_next(args, "address", &cursor))) {
		if (!array)
			array = yyjson_mut_obj_add_arr(doc, body, "addresses");
		yyjson_mut_arr_add_str(doc, array, address);
	}
}

/* 0, or CLI_USAGE after naming a service that is given twice. */
static enum cli_status add_ports(struct cli *cli, yyjson_mut_doc *doc, yyjson_mut_val *body,
				 const struct cli_args *args)
{
	yyjson_mut_val *ports = NULL, *key;
	const char *text;
	size_t cursor = 0, len;

	while ((text = args_next(args, "port", &cursor))) {
		len = strcspn(text, "=");
		if (!ports)
			ports = yyjson_mut_obj_add_obj(doc, body, "ports");
		if (yyjson_mut_obj_getn(ports, text, len))
			return print_error(cli, CLI_USAGE,
					   "%s: --port: service '%.*s' is given twice",
					   args->command->path, (int)len, text);
		key = yyjson_mut_strncpy(doc, text, len);
		yyjson_mut_obj_add(ports, key,
				   yyjson_mut_uint(doc, strtoul(text + len + 1, NULL, 10)));
	}
	return CLI_DONE;
}

/* What register sets may be taken away again, by an option of its own. */
static const struct clearing {
	const char *option, *contrary;
} clearings[] = {
	{"no-name", "name"},
	{"no-realm", "realm"},
	{"no-port", "port"},
	{"no-gateway", "gateway"},
};

/* 0, or CLI_USAGE after naming two options that exclude each other. */
static enum cli_status check_clearings(struct cli *cli, const struct cli_args *args)
{
	size_t i;

	for (i = 0; i < sizeof(clearings) / sizeof(clearings[0]); i++) {
		const char *option = clearings[i].option, *contrary = clearings[i].contrary;

		if (args_flag(args, option) && args_flag(args, contrary))
			return print_error(cli, CLI_USAGE, "%s: --%s and --%s exclude each other",
					   args->command->path, contrary, option);
	}
	return CLI_DONE;
}

static void add_clearings(yyjson_mut_doc *doc, yyjson_mut_val *body, const struct cli_args *args)
{
	if (args_flag(args, "no-name"))
		yyjson_mut_obj_add_null(doc, body, "name");
	if (args_flag(args, "no-realm"))
		yyjson_mut_obj_add_null(doc, body, "realm");
	if (args_flag(args, "no-port"))
		yyjson_mut_obj_add_obj(doc, body, "ports");
	if (args_flag(args, "gateway") || args_flag(args, "no-gateway"))
		yyjson_mut_obj_add_bool(doc, body, "gateway", args_flag(args, "gateway"));
}

static enum cli_status run_register(struct cli *cli, const struct cli_args *args)
{
	static const char *const texts[] = {"id", "project", "name", "realm"};
	struct call call = {.method = "POST", .show = show, .done = "registered"};
	enum cli_status status;
	yyjson_mut_val *body;
	size_t i;

	status = check_clearings(cli, args);
	if (status)
		return status;
	call.body = call_body(cli, &body);
	if (!call.body)
		return CLI_FAILED;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (args_value(args, texts[i]))
			yyjson_mut_obj_add_str(call.body, body, texts[i],
					       args_value(args, texts[i]));
	}
	add_place(call.body, body, args);
	add_clearings(call.body, body, args);
	status = add_ports(cli, call.body, body, args);
	if (status) {
		yyjson_mut_doc_free(call.body);
		return status;
	}
	return call_show(cli, &call, CONTAINER_PATH);
}

static enum cli_status run_start(struct cli *cli, const struct cli_args *args)
{
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {.method = "POST", .body = doc, .show = show, .done = "started"};

	if (!doc)
		return CLI_FAILED;
	add_place(doc, body, args);
	return call_show(cli, &call, CONTAINER_PATH "/%s/start", args->positional[0]);
}

static enum cli_status run_stop(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "POST", .text = "{}", .show = show, .done = "stopped"};

	return call_show(cli, &call, CONTAINER_PATH "/%s/stop", args->positional[0]);
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET", .show = show};

	return call_show(cli, &call, CONTAINER_PATH "/%s", args->positional[0]);
}

static enum cli_status show_deleted(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	(void)reply;
	printf("deleted %s (its address answers 404; the id is never used again)\n",
	       call->args->positional[0]);
	return CLI_DONE;
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "DELETE", .show = show_deleted, .args = args};

	return call_show(cli, &call, CONTAINER_PATH "/%s", args->positional[0]);
}

/* What run_list() collects from the pages. */
struct list {
	struct print_table *table;
	yyjson_mut_doc *doc;
	yyjson_mut_val *array;
	const char *state; /* only these, or NULL */
	const char *project;
};

static void list_one(yyjson_val *json, void *context)
{
	struct list *list = context;
	struct container container;
	char addresses[1024];

	if (container_parse(json, &container))
		return;
	if ((list->state && strcmp(list->state, container.state) != 0) ||
	    (list->project && strcasecmp(list->project, container.project) != 0))
		return;
	if (list->doc) {
		yyjson_mut_arr_append(list->array, yyjson_val_mut_copy(list->doc, json));
		return;
	}
	join_addresses(&container, addresses, sizeof(addresses));
	print_table_cell(list->table, container.id, PRINT_PLAIN);
	print_table_cell(list->table, container.project, PRINT_PLAIN);
	print_table_cell(list->table, container.name, PRINT_PLAIN);
	print_table_cell(list->table, container.state, state_colour(container.state));
	print_table_cell(list->table, container.real_ip, real_ip_colour(container.real_ip));
	print_table_cell(list->table, addresses, PRINT_PLAIN);
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"ID",	  "PROJECT",   "NAME", "STATE",
					       "REAL IP", "ADDRESSES", NULL};
	struct list list = {
		.state = args_value(args, "state"),
		.project = args_value(args, "project"),
	};
	enum cli_status status;

	if (cli->json) {
		list.doc = yyjson_mut_doc_new(NULL);
		list.array = yyjson_mut_arr(list.doc);
		if (!list.array)
			return print_error(cli, CLI_FAILED, "out of memory");
		yyjson_mut_doc_set_root(list.doc, list.array);
	} else {
		list.table = print_table_create(headings);
	}
	status = container_each(cli, false, list_one, &list);
	/* Half a list looks like a whole one: nothing is printed then. */
	if (list.doc) {
		status = status ?: print_json_mut(list.doc);
		yyjson_mut_doc_free(list.doc);
		return status;
	}
	if (status)
		print_table_destroy(list.table);
	else
		status = print_table_finish(cli, list.table);
	return status;
}

static const char *const states[] = {"running", "stopped", NULL};

static const char *check_state(const char *text)
{
	return strcmp(text, "running") != 0 && strcmp(text, "stopped") != 0
		       ? "must be running or stopped"
		       : NULL;
}

#define PLACE_OPTIONS                                                                              \
	{.name = "cgroup",                                                                         \
	 .kind = CLI_VALUE,                                                                        \
	 .value = "PATH",                                                                          \
	 .check = check_cgroup,                                                                    \
	 .help = "its cgroup, from the cgroup2 mount on"},                                         \
		{.name = "netdev",                                                                 \
		 .kind = CLI_VALUE,                                                                \
		 .value = "IF",                                                                    \
		 .check = check_netdev,                                                            \
		 .help = "the host's end of its interface"},                                       \
		{.name = "address",                                                                \
		 .kind = CLI_LIST,                                                                 \
		 .value = "IP",                                                                    \
		 .check = check_address,                                                           \
		 .help = "an address it has"}

static const struct cli_option register_options[] = {
	{.name = "id",
	 .kind = CLI_VALUE,
	 .required = true,
	 .value = "ID",
	 .check = check_id,
	 .help = "24 hexadecimal digits"},
	{.name = "project",
	 .kind = CLI_VALUE,
	 .required = true,
	 .value = "ID",
	 .check = check_id,
	 .help = "the project it belongs to, for good"},
	{.name = "name",
	 .kind = CLI_VALUE,
	 .value = "NAME",
	 .check = check_text,
	 .help = "a name for people"},
	{.name = "no-name", .kind = CLI_FLAG, .help = "it has no name (any more)"},
	{.name = "realm",
	 .kind = CLI_VALUE,
	 .value = "REALM",
	 .check = check_text,
	 .help = "the realm it belongs to"},
	{.name = "no-realm", .kind = CLI_FLAG, .help = "it belongs to none (any more)"},
	PLACE_OPTIONS,
	{.name = "port",
	 .kind = CLI_LIST,
	 .value = "SERVICE=PORT",
	 .check = check_service_port,
	 .help = "where a service listens in it"},
	{.name = "no-port",
	 .kind = CLI_FLAG,
	 .help = "its services listen where the host's table says"},
	{.name = "gateway",
	 .kind = CLI_FLAG,
	 .help = "it may reach the other containers of its project"},
	{.name = "no-gateway", .kind = CLI_FLAG, .help = "it may not (any more)"},
	{},
};

static const struct cli_option start_options[] = {PLACE_OPTIONS, {}};

static const struct cli_option list_options[] = {
	{.name = "project",
	 .kind = CLI_VALUE,
	 .value = "ID",
	 .check = check_id,
	 .help = "only containers of this project"},
	{.name = "state",
	 .kind = CLI_VALUE,
	 .value = "STATE",
	 .check = check_state,
	 .words = states,
	 .help = "only running or only stopped ones"},
	{},
};

static const struct cli_positional one_id[] = {
	{.name = "ID", .help = "the container's id", .check = check_id},
	{},
};

const struct cli_command containers_commands[] = {
	{
		.path = "containers register",
		.summary = "make a container known, or change what is known of it",
		.details = "A new container is stopped until 'hoody containers start'. For an id "
			   "that is\n"
			   "known already the given fields are replaced and the others stay.",
		.options = register_options,
		.run = run_register,
	},
	{
		.path = "containers list",
		.summary = "list the containers of this host",
		.options = list_options,
		.run = run_list,
	},
	{
		.path = "containers show",
		.summary = "show one container",
		.positionals = one_id,
		.run = run_show,
	},
	{
		.path = "containers start",
		.summary = "serve a container: its host names lead to it from now on",
		.details =
			"This starts no process. The LXC hook calls it when the container starts.",
		.options = start_options,
		.positionals = one_id,
		.run = run_start,
	},
	{
		.path = "containers stop",
		.summary = "stop serving a container: 503, and its connections are cut",
		.positionals = one_id,
		.run = run_stop,
	},
	{
		.path = "containers delete",
		.summary = "delete a container for good: 404, and its connections are cut",
		.details = "The id is never used again. Its files are the container manager's "
			   "business.",
		.positionals = one_id,
		.run = run_delete,
	},
	{},
};
