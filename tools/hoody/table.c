// SPDX-License-Identifier: Apache-2.0
/*
 * Aligned tables. Cells are measured in columns of a terminal, not in bytes;
 * the last column is never padded, so that lines have no blanks at their end.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "print.h"

struct cell {
	char *text; /* already safe to print */
	int width;
	enum print_colour colour;
};

struct print_table {
	const char *const *headings;
	size_t columns;
	struct cell *cells;
	size_t count;
	size_t room;
	bool failed;
};

/* Columns that @text takes; it is printable, or the count of its bytes is good enough. */
static int text_width(const char *text)
{
	wchar_t wide[512];
	size_t count = mbstowcs(wide, text, 512);
	int width;

	if (count == (size_t)-1 || count == 512)
		return (int)strlen(text);
	width = wcswidth(wide, count);
	return width < 0 ? (int)strlen(text) : width;
}

struct print_table *print_table_create(const char *const *headings)
{
	struct print_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->headings = headings;
	while (headings[table->columns] && table->columns < PRINT_COLUMNS_MAX)
		table->columns++;
	return table;
}

void print_table_cell(struct print_table *table, const char *text, enum print_colour colour)
{
	struct cell *grown;
	size_t length;
	FILE *safe;

	if (!table || table->failed)
		return;
	if (table->count == table->room) {
		grown = reallocarray(table->cells, table->room ? table->room * 2 : 64,
				     sizeof(*grown));
		if (!grown)
			goto err_failed;
		table->cells = grown;
		table->room = table->room ? table->room * 2 : 64;
	}
	grown = &table->cells[table->count];
	memset(grown, 0, sizeof(*grown));
	safe = open_memstream(&grown->text, &length);
	if (!safe)
		goto err_failed;
	print_text(safe, *text ? text : "-");
	if (fclose(safe))
		goto err_free;
	grown->width = text_width(grown->text);
	grown->colour = colour;
	table->count++;
	return;

err_free:
	free(grown->text);
err_failed:
	table->failed = true;
}

static void put_row(const struct cli *cli, const struct print_table *table, const struct cell *row,
		    const int *widths)
{
	size_t i;

	for (i = 0; i < table->columns; i++) {
		const char *code = cli->colour ? print_colour_code(row[i].colour) : NULL;
		bool last = i + 1 == table->columns;

		printf("%s%s%s%*s", code ? code : "", row[i].text, code ? "\033[0m" : "",
		       last ? 0 : widths[i] - row[i].width + 2, "");
	}
	putchar('\n');
}

enum cli_status print_table_finish(struct cli *cli, struct print_table *table)
{
	struct cell heading[PRINT_COLUMNS_MAX] = {};
	int widths[PRINT_COLUMNS_MAX] = {};
	enum cli_status status = CLI_DONE;
	size_t i, column;

	if (!table || table->failed) {
		status = print_error(cli, CLI_FAILED, "out of memory");
		goto out;
	}
	for (i = 0; i < table->columns; i++) {
		heading[i].text = (char *)table->headings[i];
		heading[i].width = widths[i] = text_width(table->headings[i]);
		heading[i].colour = PRINT_BOLD;
	}
	for (i = 0; i + table->columns <= table->count; i += table->columns) {
		for (column = 0; column < table->columns; column++) {
			if (table->cells[i + column].width > widths[column])
				widths[column] = table->cells[i + column].width;
		}
	}
	put_row(cli, table, heading, widths);
	for (i = 0; i + table->columns <= table->count; i += table->columns)
		put_row(cli, table, &table->cells[i], widths);
out:
	print_table_destroy(table);
	return status;
}

void print_table_destroy(struct print_table *table)
{
	size_t i;

	for (i = 0; table && i < table->count; i++)
		free(table->cells[i].text);
	if (table)
		free(table->cells);
	free(table);
}
