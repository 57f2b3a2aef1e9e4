/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line's parser: argv and the tables in, struct cli_args or one
 * precise complaint out. Pure: prints nothing, reads nothing but its arguments.
 */
#ifndef HOODY_CLI_OPTIONS_H
#define HOODY_CLI_OPTIONS_H

#include "command.h"

/*
 * options_parse(): 0, or -EINVAL with the reason in @fault (at most
 * CLI_FAULT_MAX bytes with its NUL) and, as far as it was known, the command in
 * @args. With --help among the options nothing else is checked. Options may
 * stand anywhere after the command's words; the global ones before it too; "--"
 * ends them.
 */
int options_parse(int argc, char *const *argv, struct cli_args *args, char fault[CLI_FAULT_MAX]);

/* The option of @command, or a global one, with this name or letter; or NULL. */
const struct cli_option *options_find(const struct cli_command *command, const char *name,
				      size_t len);
const struct cli_option *options_find_letter(const struct cli_command *command, char letter);

/*
 * args_value(): the value given for option @name, or NULL. args_flag(): whether
 * it was given. args_next(): each value of a repeated option; start with
 * *@cursor = 0; NULL at the end. A name that the command does not have is a
 * bug and aborts.
 */
const char *args_value(const struct cli_args *args, const char *name);
bool args_flag(const struct cli_args *args, const char *name);
const char *args_next(const struct cli_args *args, const char *name, size_t *cursor);

/* Checks for tables, see cli_check_fn. */
const char *check_id(const char *text);
const char *check_address(const char *text);
const char *check_service(const char *text);
const char *check_service_port(const char *text);
const char *check_cgroup(const char *text);
const char *check_netdev(const char *text);
const char *check_text(const char *text);
const char *check_profile(const char *text);

/*
 * check_number(): 0 with *@number, or -ERANGE for what is not a decimal number
 * from @low to @high without sign or leading zeros.
 */
int check_number(const char *text, unsigned long low, unsigned long high, unsigned long *number);

#endif /* HOODY_CLI_OPTIONS_H */
