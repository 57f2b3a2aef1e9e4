// SPDX-License-Identifier: Apache-2.0
/*
 * POST /api/v1/upgrade: the program of the agent's file takes over (upgrade.h),
 * also where it is the same one: what it is linked with may be new. It is answered
 * before the first step; GET /api/v1/status tells what came of it.
 */
#include "control/api.h"
#include "control/upgrade.h"

#include <errno.h>
#include <string.h>

void api_upgrade_add(const struct control *control, yyjson_mut_doc *document, yyjson_mut_val *data)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "upgrade");
	struct upgrade_status status;

	upgrade_status(control->upgrade, &status);
	yyjson_mut_obj_add_str(document, object, "state", upgrade_state_name(status.state));
	yyjson_mut_obj_add_uint(document, object, "number", status.number);
	if (status.from[0])
		yyjson_mut_obj_add_strcpy(document, object, "from", status.from);
	else
		yyjson_mut_obj_add_null(document, object, "from");
	if (status.reason[0])
		yyjson_mut_obj_add_strcpy(document, object, "reason", status.reason);
	else
		yyjson_mut_obj_add_null(document, object, "reason");
}

static void begin(struct api_call *call)
{
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	int ret = upgrade_begin(call->control->upgrade);

	if (ret) {
		api_reply_error(call, 409, "busy", NULL,
				"an upgrade is under way, or the agent ends");
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	api_upgrade_add(call->control, document, data);
	api_reply_data(call, 202, document, data);
}

const struct api_route api_upgrade_routes[] = {
	{ "POST", "/api/v1/upgrade", API_BODY_NONE, NULL, begin },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
