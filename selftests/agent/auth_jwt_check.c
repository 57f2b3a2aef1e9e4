// SPDX-License-Identifier: Apache-2.0
/*
 * Evaluates tokens that another program made: auth_jwt.sh runs it. Each line of
 * the file has, with tabs between, a name, "in" or "out", the time, a body with
 * the group "j", and a token. TAP on standard output.
 */
#include "auth_support.h"

#include <stdio.h>
#include <stdlib.h>

static struct action_table actions;

static void check_line(char *line)
{
	char *name = strtok(line, "\t"), *want = strtok(NULL, "\t"), *now = strtok(NULL, "\t");
	char *body = strtok(NULL, "\t"), *token = strtok(NULL, "\t\n"), *header;
	struct auth_context context = { &actions, auth_cache_create() };
	struct auth_decision first, second;
	struct auth_request request = { .authorization_count = 1, .service = HTTP_TEXT("http"),
					.client.family = AF_INET };
	const struct auth_blob *blob;
	struct http_text value;
	bool waited, waited_again, in;
	void *data;

	if (!token || !context.cache) {
		tap_ok(false, "a line with five fields");
		return;
	}
	blob = support_blob(body, false, &actions, &data);
	if (!blob) {
		tap_ok(false, "%s", name);
		return;
	}
	header = malloc(strlen(token) + 16);
	value = (struct http_text){ header, (size_t)sprintf(header, "Bearer %s", token) };
	request.authorization = &value;
	request.action = (struct action_request){ HTTP_TEXT("GET"), HTTP_TEXT("/"), false, false };
	request.now = atoll(now);
	support_evaluate(&context, blob, &request, &first, &waited);
	support_evaluate(&context, blob, &request, &second, &waited_again);
	in = !strcmp(want, "in");
	/* The second time nothing is checked anew, and the answer is the same. */
	if (!tap_ok(first.verdict == (in ? AUTH_ALLOW : AUTH_UNAUTHORIZED) &&
			    first.verdict == second.verdict && first.strip_authorization == in &&
			    !waited_again && first.bearer_invalid == !in,
		    "%s", name))
		tap_note("verdict %d then %d, strip %d, waited %d then %d", first.verdict,
			 second.verdict, first.strip_authorization, waited, waited_again);
	free(header);
	free(data);
	auth_cache_destroy(context.cache);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	int lines = 0;
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!file) {
		fprintf(stderr, "usage: auth_jwt_check FILE\n");
		return 2;
	}
	while (getline(&line, &size, file) > 0)
		lines++;
	if (fseek(file, 0, SEEK_SET))
		return 2;
	tap_plan(lines);
	action_table_default(&actions);
	while (getline(&line, &size, file) > 0)
		check_line(line);
	free(line);
	fclose(file);
	return tap_done();
}
