/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command of "hoody" is: a path of words, options, positional arguments
 * and a function. One table per group of commands; parsing, help and completion
 * are all read from the tables, so that they cannot disagree.
 */
#ifndef HOODY_CLI_COMMAND_H
#define HOODY_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum cli_status {
	CLI_DONE = 0,
	CLI_FAILED = 1, /* refused by the agent, or not possible */
	CLI_USAGE = 2,	/* the command line itself is wrong */
};

#define CLI_GIVEN_MAX 256 /* options and positional arguments of one call */
#define CLI_FAULT_MAX 256

enum cli_kind {
	CLI_FLAG,  /* no value */
	CLI_VALUE, /* at most once */
	CLI_LIST,  /* any number of times */
};

/*
 * Why @text cannot be the value, as the end of a sentence that begins with the
 * option's name ("must be 24 hexadecimal digits"); NULL where it can.
 */
typedef const char *(*cli_check_fn)(const char *text);

struct cli_option {
	const char *name; /* without dashes; NULL ends a table */
	char letter;	  /* or 0 */
	enum cli_kind kind;
	bool required;
	const char *value; /* what the value is called in help */
	const char *help;
	cli_check_fn check;	  /* or NULL */
	const char *const *words; /* possible values, NULL-terminated, or NULL */
};

struct cli_positional {
	const char *name; /* NULL ends a table */
	const char *help;
	bool repeated; /* one or more; the last of its table */
	bool optional;
	cli_check_fn check;
};

struct cli;
struct cli_args;

struct cli_command {
	const char *path;		  /* "containers register"; NULL ends a table */
	const char *summary;		  /* one line, no full stop */
	const char *details;		  /* further lines of its help, or NULL */
	const struct cli_option *options; /* or NULL */
	const struct cli_positional *positionals;
	enum cli_status (*run)(struct cli *cli, const struct cli_args *args);
};

struct cli_given {
	const struct cli_option *option;
	const char *value; /* NULL for a flag */
};

/* A command line that was understood. Strings are argv's. */
struct cli_args {
	const struct cli_command *command;
	struct cli_given given[CLI_GIVEN_MAX];
	size_t given_count;
	const char *positional[CLI_GIVEN_MAX];
	size_t positional_count;
	bool json;
	bool help;
};

/* State of one run. */
struct cli {
	bool json;	    /* print data as the API gave it */
	bool colour;	    /* on standard output */
	bool colour_errors; /* on standard error */
	struct api *api;    /* opened by the first command that asks: cli_api() */
};

/* The tables, one file each. */
extern const struct cli_command containers_commands[];
extern const struct cli_command network_commands[];
extern const struct cli_command permissions_commands[];
extern const struct cli_command ksm_commands[];
extern const struct cli_command firewall_commands[];
extern const struct cli_command firewall_why_commands[];
extern const struct cli_command status_commands[];
extern const struct cli_command syscalls_commands[];
extern const struct cli_command logs_commands[];
extern const struct cli_command posture_commands[];
extern const struct cli_command tokens_commands[];
extern const struct cli_command aliases_commands[];
extern const struct cli_command limits_commands[];
extern const struct cli_command services_commands[];
extern const struct cli_command certificates_commands[];
extern const struct cli_command upgrade_commands[];
extern const struct cli_command module_commands[];
extern const struct cli_command version_commands[];
extern const struct cli_command ca_commands[];
extern const struct cli_command help_commands[];

/* All tables, in the order of help; NULL-terminated. */
extern const struct cli_command *const cli_tables[];

/* Options of every command. */
extern const struct cli_option cli_global_options[];

/*
 * The agent's API as the environment names it; one connection a run. NULL after
 * the reason has been printed.
 */
struct api *cli_api(struct cli *cli);

/*
 * command_find(): the command whose path is the longest prefix of @words;
 * *@used is the number of words of its path. NULL where there is none.
 */
const struct cli_command *command_find(const char *const *words, size_t count, size_t *used);

/* True where @word starts the path of at least one command after @prefix ("" or "a b"). */
bool command_is_group(const char *prefix);

#endif /* HOODY_CLI_COMMAND_H */
