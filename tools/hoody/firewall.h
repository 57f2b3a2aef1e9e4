/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of "hoody firewall" share. */
#ifndef HOODY_CLI_FIREWALL_H
#define HOODY_CLI_FIREWALL_H

#include "command.h"

/* A format: of a container's id. */
#define FIREWALL_PATH "/api/v1/containers/%s/firewall"

#define FIREWALL_CONTAINER_OPTION                                                                  \
	{.name = "container",                                                                      \
	 .letter = 'c',                                                                            \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "whose firewall"}

/*
 * One call about the whole firewall, with the JSON @text or NULL; shows it, or says @done
 * where that is not NULL.
 */
enum cli_status firewall_call(struct cli *cli, const struct cli_args *args, const char *method,
			      const char *rest, const char *text, const char *done);

#endif /* HOODY_CLI_FIREWALL_H */
