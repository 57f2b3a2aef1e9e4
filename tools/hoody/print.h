/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What "hoody" writes: JSON as it came, aligned tables and lists of fields, and
 * errors. Text of the API is never written raw to a terminal: control
 * characters in it are shown, not obeyed.
 */
#ifndef HOODY_CLI_PRINT_H
#define HOODY_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <yyjson.h>

#include "api.h"
#include "command.h"

#define PRINT_COLUMNS_MAX 12

enum print_colour {
	PRINT_PLAIN,
	PRINT_BOLD,
	PRINT_DIM,
	PRINT_RED,
	PRINT_GREEN,
	PRINT_YELLOW,
};

struct print_table;

/*
 * A table is collected, then written with every column as wide as its widest
 * cell. @headings is NULL-terminated and stays the caller's; texts are copied.
 * Allocation that fails is kept and reported by print_table_finish().
 */
struct print_table *print_table_create(const char *const *headings);
void print_table_cell(struct print_table *table, const char *text, enum print_colour colour);
/* Writes to standard output and destroys. CLI_DONE or CLI_FAILED. */
enum cli_status print_table_finish(struct cli *cli, struct print_table *table);
void print_table_destroy(struct print_table *table);

/* One "name: value" line; names are padded to @width columns. */
void print_field(const struct cli *cli, int width, const char *name, const char *text,
		 enum print_colour colour);
__attribute__((format(printf, 4, 5))) void print_fieldf(const struct cli *cli, int width,
							const char *name, const char *format, ...);

/* The sequence that switches to a colour; NULL for PRINT_PLAIN. */
const char *print_colour_code(enum print_colour colour);

/* @text, safe for a terminal. */
void print_text(FILE *to, const char *text);

/* One line of standard output, safe for a terminal, whatever the agent put in it. */
__attribute__((format(printf, 1, 2))) void print_line(const char *format, ...);

/* The value as indented JSON and a line end on standard output. */
enum cli_status print_json(yyjson_val *value);
enum cli_status print_json_mut(yyjson_mut_doc *doc);

/*
 * print_refusal(): what became of a call that failed, on standard error: code,
 * field and message of the agent, or why there was no answer. Always CLI_FAILED.
 */
enum cli_status print_refusal(const struct cli *cli, const struct api_reply *reply);
/* "hoody: ..." (as JSON with --json) on standard error; returns @status. */
__attribute__((format(printf, 3, 4))) enum cli_status
print_error(const struct cli *cli, enum cli_status status, const char *format, ...);

#endif /* HOODY_CLI_PRINT_H */
