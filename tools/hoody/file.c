// SPDX-License-Identifier: Apache-2.0
/* Files that operators name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "print.h"

static char *read_stream(FILE *stream, size_t max)
{
	char *text = malloc(max + 1);
	size_t len;

	if (!text)
		return NULL;
	errno = 0;
	len = fread(text, 1, max + 1, stream);
	if (!ferror(stream) && len <= max) {
		text[len] = '\0';
		return text;
	}
	if (!ferror(stream))
		errno = EFBIG;
	else if (!errno)
		errno = EIO;
	/* It may have had a key. */
	explicit_bzero(text, max + 1);
	free(text);
	return NULL;
}

char *file_read(const char *name, size_t max)
{
	FILE *file = fopen(name, "re");
	char *text;
	int fault;

	if (!file)
		return NULL;
	text = read_stream(file, max);
	fault = errno;
	fclose(file);
	errno = fault;
	return text;
}

char *file_argument(const struct cli *cli, const char *name, size_t max)
{
	char *text = strcmp(name, "-") ? file_read(name, max) : read_stream(stdin, max);

	if (!text && errno == EFBIG)
		print_error(cli, CLI_FAILED, "%s: is larger than %zu MiB", name, max >> 20);
	else if (!text)
		print_error(cli, CLI_FAILED, "%s: %s", name, strerror(errno));
	return text;
}
