// SPDX-License-Identifier: Apache-2.0
/*
 * Parses a command line against the tables of commands. An option's name must
 * be complete: abbreviations would break the day a second option starts alike.
 * For a name that is nearly right the nearest one is suggested.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

const struct cli_option cli_global_options[] = {
	{.name = "json", .kind = CLI_FLAG, .help = "print the data as JSON, errors too"},
	{.name = "help", .letter = 'h', .kind = CLI_FLAG, .help = "explain the command and exit"},
	{},
};

__attribute__((format(printf, 2, 3))) static int complain(char fault[CLI_FAULT_MAX],
							  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault, CLI_FAULT_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static const struct cli_option *find_in(const struct cli_option *table, const char *name,
					size_t len, char letter)
{
	for (; table && table->name; table++) {
		if (letter ? table->letter == letter
			   : strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	}
	return NULL;
}

const struct cli_option *options_find(const struct cli_command *command, const char *name,
				      size_t len)
{
	const struct cli_option *option = find_in(cli_global_options, name, len, 0);

	if (!option && command)
		option = find_in(command->options, name, len, 0);
	return option;
}

const struct cli_option *options_find_letter(const struct cli_command *command, char letter)
{
	const struct cli_option *option = find_in(cli_global_options, NULL, 0, letter);

	if (!option && command)
		option = find_in(command->options, NULL, 0, letter);
	return option;
}

/* Levenshtein's distance of two short words; words past the bound are far away. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[33], diagonal, above, i, j;

	if (a_len > 32 || b_len > 32)
		return 32;
	for (j = 0; j <= b_len; j++)
		row[j] = j;
	for (i = 1; i <= a_len; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			above = row[j];
			row[j] = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] > above + 1)
				row[j] = above + 1;
			if (row[j] > row[j - 1] + 1)
				row[j] = row[j - 1] + 1;
			diagonal = above;
		}
	}
	return row[b_len];
}

/* The name of an option that was probably meant, or NULL. */
static const char *nearest(const struct cli_command *command, const char *name, size_t len)
{
	const struct cli_option *tables[2] = {command->options, cli_global_options};
	const struct cli_option *option;
	const char *best = NULL;
	size_t best_distance = 3, d, i;

	for (i = 0; i < 2; i++) {
		for (option = tables[i]; option && option->name; option++) {
			d = distance(name, len, option->name, strlen(option->name));
			if (len >= 3 && !strncmp(option->name, name, len))
				d = 1;
			if (d < best_distance) {
				best_distance = d;
				best = option->name;
			}
		}
	}
	return best;
}

static int unknown_option(const struct cli_command *command, const char *arg,
			  char fault[CLI_FAULT_MAX])
{
	size_t len = strcspn(arg, "=");
	const char *meant = NULL;

	if (!command)
		return complain(fault, "unknown option '%.*s' before the command", (int)len, arg);
	if (!strncmp(arg, "--", 2))
		meant = nearest(command, arg + 2, len - 2);
	if (meant)
		return complain(fault, "unknown option '%.*s' (did you mean --%s?)", (int)len, arg,
				meant);
	return complain(fault, "unknown option '%.*s'", (int)len, arg);
}

static int take(struct cli_args *args, const struct cli_option *option, const char *value,
		char fault[CLI_FAULT_MAX])
{
	const char *wrong;
	size_t i;

	if (option == &cli_global_options[0]) {
		args->json = true;
		return 0;
	}
	if (option == &cli_global_options[1]) {
		args->help = true;
		return 0;
	}
	for (i = 0; option->kind != CLI_LIST && i < args->given_count; i++) {
		if (args->given[i].option == option)
			return complain(fault, "--%s is given twice", option->name);
	}
	if (args->given_count == CLI_GIVEN_MAX)
		return complain(fault, "more than %d options", CLI_GIVEN_MAX);
	wrong = value && option->check ? option->check(value) : NULL;
	if (wrong)
		return complain(fault, "--%s %s (got '%.64s')", option->name, wrong, value);
	args->given[args->given_count++] = (struct cli_given){option, value};
	return 0;
}

/*
 * One argument that starts with a dash, and the value that follows it. Returns
 * the number of arguments used, or -EINVAL.
 */
static int parse_option(int argc, char *const *argv, struct cli_args *args,
			char fault[CLI_FAULT_MAX])
{
	const struct cli_option *option;
	const char *arg = argv[0], *value = NULL;
	int used = 1;

	if (arg[1] == '-') {
		option = options_find(args->command, arg + 2, strcspn(arg + 2, "="));
		value = strchr(arg, '=');
		value = value ? value + 1 : NULL;
	} else {
		option = options_find_letter(args->command, arg[1]);
		value = arg[2] ? arg + 2 : NULL;
	}
	if (!option)
		return unknown_option(args->command, arg, fault);
	if (option->kind == CLI_FLAG && value)
		return complain(fault, "--%s takes no value", option->name);
	if (option->kind != CLI_FLAG && !value) {
		if (argc < 2)
			return complain(fault, "--%s needs a value: %s", option->name,
					option->value);
		value = argv[1];
		used = 2;
	}
	return take(args, option, value, fault) ?: used;
}

/* After everything was read: what must be there, and positional values. */
static int check_complete(const struct cli_args *args, char fault[CLI_FAULT_MAX])
{
	const struct cli_positional *wanted = args->command->positionals;
	const struct cli_option *option;
	const char *wrong;
	size_t i;

	for (option = args->command->options; option && option->name; option++) {
		for (i = 0; i < args->given_count && args->given[i].option != option; i++)
			;
		if (option->required && i == args->given_count)
			return complain(fault, "--%s %s is missing", option->name, option->value);
	}
	for (i = 0; i < args->positional_count; i++) {
		if (!wanted || !wanted->name)
			return complain(fault, "unexpected argument '%.64s'", args->positional[i]);
		wrong = wanted->check ? wanted->check(args->positional[i]) : NULL;
		if (wrong)
			return complain(fault, "%s %s (got '%.64s')", wanted->name, wrong,
					args->positional[i]);
		if (!wanted->repeated || i + 1 == args->positional_count)
			wanted++;
	}
	if (wanted && wanted->name && !wanted->optional)
		return complain(fault, "%s is missing", wanted->name);
	return 0;
}

/* Words up to the first option name the command; the rest of them are its arguments. */
static int find_command(int argc, char *const *argv, struct cli_args *args, int *used,
			char fault[CLI_FAULT_MAX])
{
	size_t words = 0, matched;
	char prefix[128] = "";

	while (words < (size_t)argc && argv[words][0] != '-' && words < 8)
		words++;
	if (!words)
		return complain(fault, "no command given");
	args->command = command_find((const char *const *)argv, words, &matched);
	if (args->command) {
		*used = (int)matched;
		return 0;
	}
	for (matched = 0; matched < words; matched++) {
		size_t len = strlen(prefix);

		snprintf(prefix + len, sizeof(prefix) - len, "%s%s", matched ? " " : "",
			 argv[matched]);
		if (!command_is_group(prefix)) {
			prefix[len] = 0;
			return complain(fault, "unknown command '%s%s%.64s'", prefix,
					len ? " " : "", argv[matched]);
		}
	}
	return complain(fault, "'%s' needs a further word", prefix);
}

int options_parse(int argc, char *const *argv, struct cli_args *args, char fault[CLI_FAULT_MAX])
{
	bool ended = false;
	int i = 1, used = 0, ret;

	memset(args, 0, sizeof(*args));
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		used = parse_option(argc - i, argv + i, args, fault);
		if (used < 0)
			return used;
	}
	if (i == argc && args->help)
		return 0;
	ret = find_command(argc - i, argv + i, args, &used, fault);
	if (ret) {
		/* "hoody containers --help" is a question, not a mistake. */
		for (; i < argc; i++)
			args->help |= !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
		return ret;
	}
	for (i += used; i < argc; i += used) {
		used = 1;
		if (!ended && !strcmp(argv[i], "--")) {
			ended = true;
		} else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			used = parse_option(argc - i, argv + i, args, fault);
			if (used < 0)
				return used;
		} else if (args->positional_count == CLI_GIVEN_MAX) {
			return complain(fault, "more than %d arguments", CLI_GIVEN_MAX);
		} else {
			args->positional[args->positional_count++] = argv[i];
		}
	}
	return args->help ? 0 : check_complete(args, fault);
}

static const struct cli_option *must_have(const struct cli_args *args, const char *name)
{
	const struct cli_option *option = find_in(args->command->options, name, strlen(name), 0);

	if (!option) {
		fprintf(stderr, "hoody: bug: '%s' has no option --%s\n", args->command->path, name);
		abort();
	}
	return option;
}

const char *args_next(const struct cli_args *args, const char *name, size_t *cursor)
{
	const struct cli_option *option = must_have(args, name);

	while (*cursor < args->given_count) {
		const struct cli_given *given = &args->given[(*cursor)++];

		if (given->option == option)
			return given->value;
	}
	return NULL;
}

const char *args_value(const struct cli_args *args, const char *name)
{
	size_t cursor = 0;

	return args_next(args, name, &cursor);
}

bool args_flag(const struct cli_args *args, const char *name)
{
	const struct cli_option *option = must_have(args, name);
	size_t i;

	for (i = 0; i < args->given_count; i++) {
		if (args->given[i].option == option)
			return true;
	}
	return false;
}
