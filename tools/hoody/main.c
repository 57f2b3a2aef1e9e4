// SPDX-License-Identifier: Apache-2.0
/*
 * hoody: the operator's command line. Parses, finds the command's table entry
 * and runs it; everything else is in the file of its group. New to the tree?
 * command.h is the model, call.h what most commands do, containers.c an example.
 *
 * Exit status: 0 done, 1 refused or failed, 2 the command line is wrong.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "options.h"
#include "print.h"

const struct cli_command *const cli_tables[] = {
	status_commands,
	containers_commands,
	permissions_commands,
	firewall_commands,
	network_commands,
	syscalls_commands,
	posture_commands,
	ksm_commands,
	logs_commands,
	firewall_why_commands,
	aliases_commands,
	limits_commands,
	services_commands,
	certificates_commands,
	tokens_commands,
	ca_commands,
	upgrade_commands,
	module_commands,
	version_commands,
	help_commands,
	NULL,
};

const struct cli_command *command_find(const char *const *words, size_t count, size_t *used)
{
	const struct cli_command *command, *best = NULL;
	const struct cli_command *const *table;
	const char *path;
	size_t i, len;

	*used = 0;
	for (table = cli_tables; *table; table++) {
		for (command = *table; command->path; command++) {
			path = command->path;
			for (i = 0; i < count; i++) {
				len = strcspn(path, " ");
				if (strlen(words[i]) != len || memcmp(path, words[i], len))
					break;
				path += len;
				if (!*path)
					break;
				path++;
			}
			if (i < count && !*path && i + 1 > *used) {
				best = command;
				*used = i + 1;
			}
		}
	}
	return best;
}

bool command_is_group(const char *prefix)
{
	const struct cli_command *const *table;
	const struct cli_command *command;
	size_t len = strlen(prefix);

	for (table = cli_tables; *table; table++) {
		for (command = *table; command->path; command++) {
			if (!strncmp(command->path, prefix, len) && command->path[len] == ' ')
				return true;
		}
	}
	return false;
}

struct api *cli_api(struct cli *cli)
{
	const char *address = getenv("HOODY_API");
	char fault[API_FAULT_MAX];

	if (cli->api)
		return cli->api;
	cli->api = api_open(address && *address ? address : API_DEFAULT, getenv("HOODY_TOKEN"),
			    getenv("HOODY_CA"), fault);
	if (!cli->api)
		print_error(cli, CLI_FAILED, "%s", fault);
	return cli->api;
}

/* https://no-color.org: set and not empty. */
static bool wants_colour(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

/* The wrong command line, and the command whose help would have told. */
static enum cli_status complain_usage(struct cli *cli, const struct cli_args *args,
				      const char *fault)
{
	const char *path = args->command ? args->command->path : "";

	if (cli->json)
		return print_error(cli, CLI_USAGE, "%s%s%s", path, *path ? ": " : "", fault);
	print_error(cli, CLI_USAGE, "%s%s%s", path, *path ? ": " : "", fault);
	fprintf(stderr, "See 'hoody %s%s--help'.\n", path, *path ? " " : "");
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	struct cli cli = {};
	struct cli_args *args = calloc(1, sizeof(*args));
	char fault[CLI_FAULT_MAX];
	enum cli_status status;
	int ret;

	setlocale(LC_CTYPE, "");
	if (!args) {
		fputs("hoody: out of memory\n", stderr);
		return CLI_FAILED;
	}
	cli.colour = wants_colour(STDOUT_FILENO);
	cli.colour_errors = wants_colour(STDERR_FILENO);
	ret = options_parse(argc, argv, args, fault);
	cli.json = args->json;
	if (args->help && args->command)
		status = help_command(&cli, args->command);
	else if (args->help)
		status = help_group(&cli, argc - 1, argv + 1);
	else if (argc == 1)
		status = help_brief();
	else if (ret)
		status = complain_usage(&cli, args, fault);
	else
		status = args->command->run(&cli, args);
	api_close(cli.api);
	free(args);
	/* Output that was lost is a failure, even where the call itself was done. */
	if (fflush(stdout) || ferror(stdout)) {
		perror("hoody: standard output");
		status = status ?: CLI_FAILED;
	}
	return status;
}
