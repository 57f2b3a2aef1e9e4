/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nearly every command does: asks the agent one thing, and shows what it answers
 * or says why it does not. Commands that page, follow or wait ask by call_ask() and
 * decide themselves what comes next.
 */
#ifndef HOODY_CLI_CALL_H
#define HOODY_CLI_CALL_H

#include <yyjson.h>

#include "api.h"
#include "command.h"

#define CALL_PATH_MAX 1536 /* bytes with the NUL; the filters of "hoody logs" are the longest */

struct print_table;

struct call {
	const char *method;
	/* The body, or none: JSON text, or a document of call_body(), which the call frees. */
	const char *text;
	yyjson_mut_doc *body;
	/* Prints reply->data for people, and has the command's status; NULL: always as JSON. */
	enum cli_status (*show)(struct cli *cli, const struct call *call,
				const struct api_reply *reply);
	/* The rest is for @show alone. */
	const struct cli_args *args;
	const char *done; /* what has been done, such as "deleted" */
	/* Of call_rows(). */
	const char *const *headings;
	void (*add)(struct print_table *table, yyjson_val *entry);
	const char *list; /* the data's member that is the list; NULL: the data are */
};

/*
 * call_body(): a body with an empty object, *@root, to be filled in; NULL after saying
 * why. It is the caller's, yyjson_mut_doc_free(), until a call has it. Texts that are
 * added and not copied have to stay until the call returns.
 */
yyjson_mut_doc *call_body(const struct cli *cli, yyjson_mut_val **root);

/*
 * call_ask(): one question to the agent. @format, as of printf(), makes its path; what
 * that is given must need no escaping in a URL. CLI_DONE with @reply for
 * api_reply_clear(), or CLI_FAILED after saying why, with @reply empty. A body with a
 * text that is not UTF-8 is not sent; what is made of one is wiped, for the secrets
 * there may be.
 */
__attribute__((format(printf, 4, 5))) enum cli_status call_ask(struct cli *cli,
							       const struct call *call,
							       struct api_reply *reply,
							       const char *format, ...);
/* call_show(): asks in the same way, and prints the data: with --json as they are. */
__attribute__((format(printf, 3, 4))) enum cli_status
call_show(struct cli *cli, const struct call *call, const char *format, ...);

/* For call.show: a table with a row, by call.add, of each entry of a list. */
enum cli_status call_rows(struct cli *cli, const struct call *call, const struct api_reply *reply);
/* For call.show: "deleted NAME", of call.done and the first positional argument. */
enum cli_status call_done(struct cli *cli, const struct call *call, const struct api_reply *reply);

#endif /* HOODY_CLI_CALL_H */
