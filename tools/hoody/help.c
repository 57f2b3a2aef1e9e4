// SPDX-License-Identifier: Apache-2.0
/*
 * hoody help, hoody COMMAND --help and hoody complete: three readers of the
 * command tables. Help goes to standard output and succeeds, since it was asked
 * for. Completion is asked by the shell's scripts (tools/packaging/completion)
 * at every tab, so it stays silent about errors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "help.h"
#include "options.h"
#include "print.h"

static const char *bold(const struct cli *cli)
{
	return cli->colour ? "\033[1m" : "";
}

static const char *plain(const struct cli *cli)
{
	return cli->colour ? "\033[0m" : "";
}

static void put_option_line(const struct cli_option *option)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
		 option->letter ?: ' ', option->letter ? ", " : "  ", option->name,
		 option->value ? " " : "", option->value ?: "");
	printf("  %-30s %s%s%s\n", left, option->help, option->required ? " (required)" : "",
	       option->kind == CLI_LIST ? " (repeatable)" : "");
}

static void put_synopsis(const struct cli_command *command)
{
	const struct cli_positional *positional = command->positionals;
	const struct cli_option *option;

	printf("hoody %s", command->path);
	for (option = command->options; option && option->name; option++) {
		if (option->required)
			printf(" --%s %s", option->name, option->value);
	}
	if (command->options)
		fputs(" [OPTION]...", stdout);
	for (; positional && positional->name; positional++)
		printf(positional->optional ? " [%s]%s" : " %s%s", positional->name,
		       positional->repeated ? "..." : "");
	putchar('\n');
}

enum cli_status help_command(struct cli *cli, const struct cli_command *command)
{
	const struct cli_positional *positional = command->positionals;
	const struct cli_option *option;

	printf("%s%s%s\n\n", bold(cli), command->summary, plain(cli));
	printf("Usage: ");
	put_synopsis(command);
	if (command->details)
		printf("\n%s\n", command->details);
	if (positional && positional->name)
		printf("\n%sArguments%s\n", bold(cli), plain(cli));
	for (; positional && positional->name; positional++)
		printf("  %-30s %s\n", positional->name, positional->help);
	printf("\n%sOptions%s\n", bold(cli), plain(cli));
	for (option = command->options; option && option->name; option++)
		put_option_line(option);
	for (option = cli_global_options; option->name; option++)
		put_option_line(option);
	return CLI_DONE;
}

/* The commands whose path starts with @prefix ("" for all); how many they are. */
static int put_commands(FILE *to, const char *prefix)
{
	const struct cli_command *const *table;
	const struct cli_command *command;
	size_t len = strlen(prefix);
	int count = 0;

	for (table = cli_tables; *table; table++) {
		for (command = *table; command->path; command++) {
			if (len && (strncmp(command->path, prefix, len) != 0 ||
				    (command->path[len] != ' ' && command->path[len])))
				continue;
			fprintf(to, "  %-39s  %s\n", command->path, command->summary);
			count++;
		}
	}
	return count;
}

enum cli_status help_group(struct cli *cli, int argc, char *const *argv)
{
	char prefix[128] = "";
	size_t len = 0;
	int i;

	for (i = 0; i < argc && argv[i][0] == '-'; i++)
		;
	for (; i < argc && argv[i][0] != '-' && len < sizeof(prefix); i++)
		len += snprintf(prefix + len, sizeof(prefix) - len, "%s%s", len ? " " : "",
				argv[i]);
	if (len && !command_is_group(prefix))
		return print_error(cli, CLI_USAGE, "no command starts with '%s' (see 'hoody help')",
				   prefix);
	printf("Usage: hoody %s%sCOMMAND [OPTION]...\n\n%sCommands%s\n", prefix, len ? " " : "",
	       bold(cli), plain(cli));
	put_commands(stdout, prefix);
	if (len)
		return CLI_DONE;
	printf("\n%sOptions of every command%s\n", bold(cli), plain(cli));
	for (const struct cli_option *option = cli_global_options; option->name; option++)
		put_option_line(option);
	printf("\n%sEnvironment%s\n"
	       "  HOODY_API    the agent: unix:PATH or https://HOST (default " API_DEFAULT ")\n"
	       "  HOODY_TOKEN  token sent with every call; the unix socket needs none\n"
	       "  HOODY_CA     file with certificates to trust in place of the system's\n"
	       "  NO_COLOR     not empty: never colours\n"
	       "\nSee hoody(1). 'hoody COMMAND --help' explains a command.\n",
	       bold(cli), plain(cli));
	return CLI_DONE;
}

enum cli_status help_brief(void)
{
	fputs("Usage: hoody COMMAND [OPTION]...\n\nCommands\n", stderr);
	put_commands(stderr, "");
	fputs("\nSee 'hoody --help'.\n", stderr);
	return CLI_USAGE;
}

static enum cli_status run_help(struct cli *cli, const struct cli_args *args)
{
	const struct cli_command *command;
	size_t used;

	command = command_find(args->positional, args->positional_count, &used);
	if (command && used == args->positional_count)
		return help_command(cli, command);
	return help_group(cli, (int)args->positional_count, (char *const *)args->positional);
}

static void candidate(const char *partial, const char *prefix, const char *text, const char *help)
{
	size_t len = strlen(prefix);

	if (!strncmp(partial, prefix, len < strlen(partial) ? len : strlen(partial)) &&
	    (strlen(partial) <= len || !strncmp(partial + len, text, strlen(partial) - len)))
		printf("%s%s\t%s\n", prefix, text, help);
}

/* Next words of all paths that start with @words. */
static void complete_words(const char *const *words, size_t count, const char *partial)
{
	const struct cli_command *const *table;
	const struct cli_command *command;
	char seen[1024] = " ", word[64];
	const char *path;
	size_t i, len;

	for (table = cli_tables; *table; table++) {
		for (command = *table; command->path; command++) {
			path = command->path;
			for (i = 0; i < count; i++) {
				len = strlen(words[i]);
				if (strncmp(path, words[i], len) != 0 || path[len] != ' ')
					break;
				path += len + 1;
			}
			len = strcspn(path, " ");
			if (i < count || len + 2 >= sizeof(word))
				continue;
			/* With blanks around: a group may be in several tables. */
			snprintf(word, sizeof(word), " %.*s ", (int)len, path);
			if (strstr(seen, word) || strlen(seen) + len + 2 > sizeof(seen))
				continue;
			strcat(seen, word + 1);
			snprintf(word, sizeof(word), "%.*s", (int)len, path);
			candidate(partial, "", word, path[len] ? "commands" : command->summary);
		}
	}
}

/* Values of an option or a positional argument. */
static void complete_value(struct cli *cli, cli_check_fn check, const char *const *words,
			   const char *what, const char *partial)
{
	for (; words && *words; words++)
		candidate(partial, "", *words, "");
	if (check == check_id && strcmp(what, "project") != 0)
		container_complete(cli, partial);
	if (check == check_profile)
		profile_complete(cli, partial);
}

static enum cli_status run_complete(struct cli *cli, const struct cli_args *args)
{
	const char *const *words = args->positional;
	size_t count = args->positional_count - 1, skipped = 0, used;
	const char *partial = words[count], *before = count ? words[count - 1] : "";
	const struct cli_option *option = NULL;
	const struct cli_command *command;

	for (; skipped < count && words[skipped][0] == '-'; skipped++)
		;
	words += skipped;
	count -= skipped;
	command = command_find(words, count, &used);
	if (!command) {
		if (partial[0] != '-')
			complete_words(words, count, partial);
		return CLI_DONE;
	}
	if (!strncmp(before, "--", 2))
		option = options_find(command, before + 2, strlen(before + 2));
	else if (before[0] == '-' && before[1] && !before[2])
		option = options_find_letter(command, before[1]);
	if (option && option->kind != CLI_FLAG) {
		complete_value(cli, option->check, option->words, option->name, partial);
	} else if (partial[0] == '-') {
		for (option = command->options; option && option->name; option++)
			candidate(partial, "--", option->name, option->help);
		for (option = cli_global_options; option->name; option++)
			candidate(partial, "--", option->name, option->help);
	} else if (command->positionals) {
		complete_value(cli, command->positionals->check, NULL, "", partial);
	}
	return CLI_DONE;
}

static const struct cli_positional complete_positionals[] = {
	{
		.name = "WORD",
		.help = "the words after 'hoody', the unfinished one last",
		.repeated = true,
	},
	{},
};

static const struct cli_positional help_positionals[] = {
	{
		.name = "COMMAND",
		.help = "its words; without them all commands are listed",
		.repeated = true,
		.optional = true,
	},
	{},
};

const struct cli_command help_commands[] = {
	{
		.path = "help",
		.summary = "explain a command, or list all of them",
		.positionals = help_positionals,
		.run = run_help,
	},
	{
		.path = "complete",
		.summary = "print how a command line can go on (for the shell's completion)",
		.details =
			"One candidate a line, a tab and its explanation. Put -- before the words.",
		.positionals = complete_positionals,
		.run = run_complete,
	},
	{},
};
