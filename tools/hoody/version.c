// SPDX-License-Identifier: Apache-2.0
/*
 * hoody version: this program's version, and the agent's and the module's where
 * the agent answers. That it does not answer is said, and is no failure: the
 * question was for versions.
 */
#include <string.h>

#include "api.h"
#include "print.h"

static void add_or_null(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key,
			const char *text)
{
	if (text)
		yyjson_mut_obj_add_str(doc, root, key, text);
	else
		yyjson_mut_obj_add_null(doc, root, key);
}

static enum cli_status run_version(struct cli *cli, const struct cli_args *args)
{
	const char *agent, *module, *state, *no_module;
	struct api_reply reply = {};
	struct api *api = cli_api(cli);
	enum cli_status status = CLI_DONE;
	yyjson_mut_val *root;
	yyjson_mut_doc *doc;
	bool answered;

	(void)args;
	if (!api)
		return CLI_FAILED;
	answered = !api_call(api, "GET", "/api/v1/status", NULL, &reply);
	agent = yyjson_get_str(yyjson_obj_get(reply.data, "version"));
	module = yyjson_get_str(
		yyjson_obj_get(yyjson_obj_get(reply.data, "real_ip"), "module_version"));
	/* Switched off, it is not looked for. */
	state = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(reply.data, "real_ip"), "state"));
	no_module = state && !strcmp(state, "off") ? "not in use (real_ip = off)" : "not loaded";
	if (cli->json) {
		doc = yyjson_mut_doc_new(NULL);
		root = yyjson_mut_obj(doc);
		yyjson_mut_doc_set_root(doc, root);
		yyjson_mut_obj_add_str(doc, root, "hoody", HOODY_VERSION);
		add_or_null(doc, root, "agent", agent);
		add_or_null(doc, root, "module", module);
		status = doc && root ? print_json_mut(doc)
				     : print_error(cli, CLI_FAILED, "out of memory");
		yyjson_mut_doc_free(doc);
	} else {
		print_field(cli, 8, "hoody", HOODY_VERSION, PRINT_PLAIN);
		print_field(cli, 8, "agent", answered && agent ? agent : "not reachable",
			    answered && agent ? PRINT_PLAIN : PRINT_YELLOW);
		if (answered)
			print_field(cli, 8, "module", module ? module : no_module,
				    module ? PRINT_PLAIN : PRINT_YELLOW);
		else if (!reply.error)
			print_error(cli, CLI_DONE, "%s", reply.fault);
	}
	api_reply_clear(&reply);
	return status;
}

const struct cli_command version_commands[] = {
	{
		.path = "version",
		.summary = "show the versions of this program, the agent and the module",
		.run = run_version,
	},
	{},
};
