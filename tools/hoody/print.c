// SPDX-License-Identifier: Apache-2.0
/*
 * Errors, fields and JSON. A failed write to standard output is an error like
 * any other: "hoody ... > /full/disk" must not report success (see main.c,
 * which checks the stream once at the end).
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "print.h"

void print_text(FILE *to, const char *text)
{
	size_t left = strlen(text), used;
	mbstate_t state = {};
	wchar_t wide;

	for (; left; text += used, left -= used) {
		used = mbrtowc(&wide, text, left, &state);
		if (used == (size_t)-1 || used == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			used = 1;
		} else if (iswprint((wint_t)wide)) {
			fwrite(text, 1, used, to);
			continue;
		}
		/* Escapes, line ends and broken UTF-8 alike. */
		for (size_t i = 0; i < used; i++)
			fprintf(to, "\\x%02x", (unsigned char)text[i]);
	}
}

const char *print_colour_code(enum print_colour colour)
{
	static const char *const codes[] = {
		[PRINT_BOLD] = "\033[1m",   [PRINT_DIM] = "\033[2m",	 [PRINT_RED] = "\033[31m",
		[PRINT_GREEN] = "\033[32m", [PRINT_YELLOW] = "\033[33m",
	};

	return codes[colour];
}

void print_field(const struct cli *cli, int width, const char *name, const char *text,
		 enum print_colour colour)
{
	const char *code = cli->colour ? print_colour_code(colour) : NULL;

	printf("%s%s:%*s%s", cli->colour ? "\033[1m" : "", name, width - (int)strlen(name), "",
	       cli->colour ? "\033[0m" : "");
	fputs(code ? code : "", stdout);
	print_text(stdout, text);
	fputs(code ? "\033[0m\n" : "\n", stdout);
}

void print_fieldf(const struct cli *cli, int width, const char *name, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_field(cli, width, name, text, PRINT_PLAIN);
}

void print_line(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	print_text(stdout, text ? text : "(out of memory)");
	putchar('\n');
	free(text);
}

static enum cli_status put_json(char *text)
{
	if (!text) {
		fputs("hoody: the reply cannot be written as JSON\n", stderr);
		return CLI_FAILED;
	}
	puts(text);
	free(text);
	return CLI_DONE;
}

enum cli_status print_json(yyjson_val *value)
{
	return put_json(yyjson_val_write(value, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL));
}

enum cli_status print_json_mut(yyjson_mut_doc *doc)
{
	return put_json(yyjson_mut_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL));
}

static void put_prefix(const struct cli *cli)
{
	fprintf(stderr, "%shoody:%s ", cli->colour_errors ? "\033[31m" : "",
		cli->colour_errors ? "\033[0m" : "");
}

enum cli_status print_error(const struct cli *cli, enum cli_status status, const char *format, ...)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *error;
	char text[1024], *json = NULL;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!cli->json) {
		put_prefix(cli);
		print_text(stderr, text);
		fputc('\n', stderr);
		return status;
	}
	doc = yyjson_mut_doc_new(NULL);
	if (doc) {
		yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
		error = yyjson_mut_obj_add_obj(doc, yyjson_mut_doc_get_root(doc), "error");
		yyjson_mut_obj_add_str(doc, error, "code",
				       status == CLI_USAGE ? "usage" : "client");
		yyjson_mut_obj_add_str(doc, error, "message", text);
		json = yyjson_mut_write(doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);
	}
	fprintf(stderr, "%s\n", json ? json : "{\"error\":{\"code\":\"client\"}}");
	free(json);
	yyjson_mut_doc_free(doc);
	return status;
}

enum cli_status print_refusal(const struct cli *cli, const struct api_reply *reply)
{
	const char *code = yyjson_get_str(yyjson_obj_get(reply->error, "code"));
	const char *message = yyjson_get_str(yyjson_obj_get(reply->error, "message"));
	const char *field = yyjson_get_str(yyjson_obj_get(reply->error, "field"));
	char *json;

	if (!reply->error)
		return print_error(cli, CLI_FAILED, "%s", reply->fault);
	if (cli->json) {
		json = yyjson_val_write(reply->root, 0, NULL);
		fprintf(stderr, "%s\n", json ? json : "{\"error\":{}}");
		free(json);
		return CLI_FAILED;
	}
	put_prefix(cli);
	fputs("refused: ", stderr);
	if (field) {
		print_text(stderr, field);
		fputs(": ", stderr);
	}
	print_text(stderr, message ? message : "no message");
	fputs(" (", stderr);
	print_text(stderr, code ? code : "no code");
	fprintf(stderr, ", %ld)\n", reply->status);
	return CLI_FAILED;
}
