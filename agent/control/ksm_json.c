// SPDX-License-Identifier: Apache-2.0
/* What a container asks of memory merging, as JSON: in a call's body, and stored. */
#include "control/ksm.h"

#include <errno.h>
#include <string.h>

char *ksm_entry_format(const struct ksm_entry *entry)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *names;
	char *text = NULL;

	if (root) {
		yyjson_mut_doc_set_root(document, root);
		yyjson_mut_obj_add_str(document, root, "mode", entry->on ? "on" : "off");
		names = yyjson_mut_obj_add_arr(document, root, "exclude");
		for (unsigned int i = 0; i < entry->names_count; i++)
			yyjson_mut_arr_add_str(document, names, entry->names[i]);
		text = yyjson_mut_write(document, 0, NULL);
	}
	yyjson_mut_doc_free(document);
	return text;
}

static int parse_names(yyjson_val *list, struct ksm_entry *entry, const char **message)
{
	yyjson_val *value;
	size_t i, max;

	*message = "must be a list of at most 16 names of processes, of 1 to 15 bytes each";
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > HOODY_KSM_NAMES_MAX)
		return -EINVAL;
	entry->names_count = 0;
	memset(entry->names, 0, sizeof(entry->names));
	yyjson_arr_foreach(list, i, max, value)
	{
		size_t len = yyjson_get_len(value);

		if (!yyjson_is_str(value) || !len || len >= KNL_KSM_NAME_MAX ||
		    strlen(yyjson_get_str(value)) != len)
			return -EINVAL;
		memcpy(entry->names[entry->names_count++], yyjson_get_str(value), len);
	}
	return 0;
}

int ksm_entry_parse(yyjson_val *body, struct ksm_entry *entry, const char **field,
		    const char **message)
{
	yyjson_val *key, *value;
	bool has_mode = false;
	size_t i, max;

	yyjson_obj_foreach(body, i, max, key, value)
	{
		*field = yyjson_get_str(key);
		/* A key is a string. NOLINTNEXTLINE(clang-analyzer-core.*) */
		if (!strcmp(*field, "mode")) {
			*message = "must be \"on\" or \"off\"";
			if (!yyjson_equals_str(value, "on") && !yyjson_equals_str(value, "off"))
				return -EINVAL;
			entry->on = yyjson_equals_str(value, "on");
			has_mode = true;
		} else if (!strcmp(*field, "exclude")) {
			if (parse_names(value, entry, message))
				return -EINVAL;
		} else {
			*message = "is not a known field";
			return -EINVAL;
		}
	}
	*field = "mode";
	*message = "is required: \"on\" or \"off\"";
	return has_mode ? 0 : -EINVAL;
}
