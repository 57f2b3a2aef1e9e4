/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, read from the tables of commands.
 */
#ifndef HOODY_CLI_HELP_H
#define HOODY_CLI_HELP_H

#include "command.h"

enum cli_status help_command(struct cli *cli, const struct cli_command *command);

/*
 * help_group(): the commands that start with the leading words of @argv (all
 * commands where there is none). CLI_USAGE where no command starts so.
 */
enum cli_status help_group(struct cli *cli, int argc, char *const *argv);

/* What "hoody" alone gets: the commands, on standard error. Always CLI_USAGE. */
enum cli_status help_brief(void);

#endif /* HOODY_CLI_HELP_H */
