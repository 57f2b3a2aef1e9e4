/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of "hoody firewall" share. */
#ifndef HOODY_CLI_FIREWALL_H
#define HOODY_CLI_FIREWALL_H

#include "api.h"
#include "command.h"

#define FIREWALL_PATH_MAX 192

#define FIREWALL_CONTAINER_OPTION                                                                  \
	{.name = "container",                                                                      \
	 .letter = 'c',                                                                            \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "whose firewall"}

/* "/api/v1/containers/ID/firewall" and @rest behind it. */
void firewall_path(const struct cli_args *args, const char *rest, char path[FIREWALL_PATH_MAX]);

/* One call about the whole firewall; shows it, or says @done where that is not NULL. */
enum cli_status firewall_call(struct cli *cli, const struct cli_args *args, const char *method,
			      const char *rest, const char *body, const char *done);

#endif /* HOODY_CLI_FIREWALL_H */
