// SPDX-License-Identifier: Apache-2.0
/*
 * One question to the agent: its body becomes text, its path is put together, and a
 * refusal is printed. Keeps nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "print.h"

/*
 * Of bodies: a member for which there was no memory is left out without a word, and a
 * limit without its service would be one of all. What has failed is not sent.
 */
static bool out_of_memory;

static void *noted(void *memory)
{
	out_of_memory |= !memory;
	return memory;
}

static void *body_malloc(void *context, size_t size)
{
	(void)context;
	return noted(malloc(size));
}

static void *body_realloc(void *context, void *memory, size_t old_size, size_t size)
{
	(void)context;
	(void)old_size;
	return noted(realloc(memory, size));
}

static void body_free(void *context, void *memory)
{
	(void)context;
	free(memory);
}

static const yyjson_alc body_memory = {
	.malloc = body_malloc,
	.realloc = body_realloc,
	.free = body_free,
};

yyjson_mut_doc *call_body(const struct cli *cli, yyjson_mut_val **root)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(&body_memory);

	*root = yyjson_mut_obj(doc);
	if (!*root) {
		print_error(cli, CLI_FAILED, "out of memory");
		yyjson_mut_doc_free(doc);
		return NULL;
	}
	yyjson_mut_doc_set_root(doc, *root);
	return doc;
}

static enum cli_status ask_text(struct cli *cli, const char *method, const char *path,
				const char *text, struct api_reply *reply)
{
	struct api *api = cli_api(cli);
	enum cli_status status;

	if (!api)
		return CLI_FAILED;
	if (!api_call(api, method, path, text, reply))
		return CLI_DONE;
	status = print_refusal(cli, reply);
	api_reply_clear(reply);
	return status;
}

/* Frees call->body, whatever comes of it. */
__attribute__((format(printf, 3, 0))) static enum cli_status
ask(struct cli *cli, const struct call *call, const char *format, va_list args,
    struct api_reply *reply)
{
	char path[CALL_PATH_MAX], *text;
	enum cli_status status;
	int len;

	memset(reply, 0, sizeof(*reply));
	len = vsnprintf(path, sizeof(path), format, args);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		yyjson_mut_doc_free(call->body);
		return print_error(cli, CLI_FAILED, "the request's path is too long");
	}
	if (!call->body)
		return ask_text(cli, call->method, path, call->text, reply);
	text = out_of_memory ? NULL : yyjson_mut_write_opts(call->body, 0, &body_memory, NULL, NULL);
	yyjson_mut_doc_free(call->body);
	if (!text)
		return print_error(cli, CLI_FAILED,
				   out_of_memory ? "out of memory" : "an argument is not UTF-8");
	status = ask_text(cli, call->method, path, text, reply);
	explicit_bzero(text, strlen(text));
	free(text);
	return status;
}

enum cli_status call_ask(struct cli *cli, const struct call *call, struct api_reply *reply,
			 const char *format, ...)
{
	enum cli_status status;
	va_list args;

	va_start(args, format);
	status = ask(cli, call, format, args, reply);
	va_end(args);
	return status;
}

enum cli_status call_show(struct cli *cli, const struct call *call, const char *format, ...)
{
	struct api_reply reply;
	enum cli_status status;
	va_list args;

	va_start(args, format);
	status = ask(cli, call, format, args, &reply);
	va_end(args);
	if (status)
		return status;
	status = cli->json || !call->show ? print_json(reply.data) : call->show(cli, call, &reply);
	api_reply_clear(&reply);
	return status;
}

enum cli_status call_rows(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	yyjson_val *list = call->list ? yyjson_obj_get(reply->data, call->list) : reply->data;
	struct print_table *table = print_table_create(call->headings);
	yyjson_val *entry;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, entry) call->add(table, entry);
	return print_table_finish(cli, table);
}

enum cli_status call_done(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	(void)cli;
	(void)reply;
	printf("%s %s\n", call->done, call->args->positional[0]);
	return CLI_DONE;
}
