/* SPDX-License-Identifier: Apache-2.0 */
/* Files that operators name: read whole, up to a limit. */
#ifndef HOODY_CLI_FILE_H
#define HOODY_CLI_FILE_H

#include <stddef.h>

#include "command.h"

/*
 * file_read(): the text of file @name with a NUL behind it, from malloc(). NULL with
 * errno: EFBIG where there are more than @max bytes.
 */
char *file_read(const char *name, size_t max);
/* file_argument(): the same, "-" is standard input; says why there is none. */
char *file_argument(const struct cli *cli, const char *name, size_t max);

#endif /* HOODY_CLI_FILE_H */
