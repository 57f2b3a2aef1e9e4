// SPDX-License-Identifier: Apache-2.0
/* The table of actions, then a request (method, target): what is read is valid. */
#include "auth/action.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct action_table table, builtin;
	struct fuzz_input input = { data, size };
	const uint8_t flags = fuzz_byte(&input);
	struct fuzz_input parts[3] = { fuzz_part(&input), fuzz_part(&input), fuzz_part(&input) };
	char *text = fuzz_copy(parts[0], false), error[160], names[256];
	char *method = fuzz_copy(parts[1], false), *target = fuzz_copy(parts[2], false);
	const struct action_request request = {
		{ method, parts[1].len }, { target, parts[2].len }, flags & 1, flags & 2,
	};

	if (!builtin.count)
		action_table_default(&builtin);
	if (!action_table_parse(text, parts[0].len, &table, error, sizeof(error))) {
		fuzz_need(action_table_valid(&table, sizeof(table)) &&
			  action_table_valid(&table, action_table_size(&table)), "what is read is valid");
		action_find(&table, HTTP_TEXT("terminal"), &request);
		action_names(&table, "terminal", names, sizeof(names));
	}
	action_find(&builtin, HTTP_TEXT("terminal"), &request);
	action_find(&builtin, HTTP_TEXT("files"), &request);
	free(text);
	free(method);
	free(target);
	return 0;
}
