// SPDX-License-Identifier: Apache-2.0
/*
 * Calls that come over HTTPS: who they are from, and what of the host they may
 * see. A worker hands over streams that it has opened for api.<base> and
 * <realm>.api.<base>; what comes on them has been written anew by it, and
 * X-Forwarded-For is its own word, which no client can give.
 *
 * A token of a realm sees the realm's containers, as if there were no others.
 * What is allowed to it is said here and nowhere else, and is less than what is
 * there: a call that is not known to keep to a realm answers 404.
 */
#include "control/api_internal.h"
#include "control/tokens.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void refuse_token(struct api_call *call, enum tokens_result result)
{
	static const char *const words[] = {
		[TOKENS_NONE] = "send Authorization: Bearer with a token of this host",
		[TOKENS_DISABLED] = "this token is disabled",
		[TOKENS_EXPIRED] = "this token has expired",
	};

	if (result == TOKENS_ADDRESS)
		api_reply_error(call, 403, "address_not_allowed", NULL,
				"this token may not be used from this address");
	else
		api_reply_unauthorized(call, words[result]);
}

/* The realm in the host name, "" for the host's own; -1 for another name. */
static int realm_of_host(const struct control *control, const char *host,
			 char realm[MODEL_REALM_MAX])
{
	const char *base = control->config->settings.base_domain;
	size_t len = strcspn(host, ":"), tail = strlen(base) + 4, label;

	if (len && host[len - 1] == '.')
		len--;
	if (len < tail || strncasecmp(host + len - strlen(base), base, strlen(base)) ||
	    strncasecmp(host + len - tail, "api.", 4))
		return -1;
	label = len - tail;
	realm[0] = '\0';
	if (!label)
		return 0;
	label--;
	if (label >= MODEL_REALM_MAX || host[label] != '.')
		return -1;
	for (size_t i = 0; i < label; i++)
		realm[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] | 0x20) : host[i];
	realm[label] = '\0';
	return 0;
}

static void refuse_host(struct api_call *call)
{
	api_reply_error(call, 404, "not_found", NULL, "there is no API at this host name");
}

int api_remote_admit(struct api_call *call)
{
	const struct http_request *request = call->request;
	struct control *control = call->control;
	const char *client = request->client;
	char realm[MODEL_REALM_MAX];
	enum tokens_result result;
	struct token *token = NULL;

	snprintf(call->actor, sizeof(call->actor), "nobody");
	/* Without it the list of addresses of a token would mean nothing. */
	if (!client || address_parse(client, strlen(client), &call->client)) {
		api_reply_error(call, 400, "bad_request", NULL, "the client's address is missing");
		return -1;
	}
	result = tokens_check(control->tokens, request->authorization, &call->client, &token);
	if (result != TOKENS_OK) {
		refuse_token(call, result);
		return -1;
	}
	snprintf(call->actor, sizeof(call->actor), "token:%s%s%.48s", token->id,
		 token->name[0] ? " " : "", token->name);
	if (!request->host || realm_of_host(control, request->host, realm) ||
	    (realm[0] && !tokens_find_realm(control->tokens, realm)) ||
	    (realm[0] && token->realm[0] && strcmp(realm, token->realm))) {
		refuse_host(call);
		return -1;
	}
	memcpy(call->realm, realm[0] ? realm : token->realm, sizeof(call->realm));
	return 0;
}

/* A project that has a container of the realm and none that is not of it. */
static bool owns_project(const struct api_call *call)
{
	const struct model *model = call->control->model;
	bool any = false;

	for (size_t i = 0; i < model_containers_count(model); i++) {
		const struct container *container = model_container_at(model, i);

		if (memcmp(container->project, call->id, ID_LEN))
			continue;
		if (strcmp(container->realm, call->realm))
			return false;
		any = true;
	}
	return any;
}

/* Calls about the host as a whole whose handlers keep to call->realm. */
static const char *const for_realms[] = {
	"/api/v1/containers",
	"/api/v1/logs",
	"/api/v1/logs/export",
	"/api/v1/logs/stats",
	"/api/v1/proxy/aliases",
	"/api/v1/proxy/aliases/{name}",
};

int api_remote_scope(struct api_call *call, const struct api_route *route)
{
	static const char containers[] = "/api/v1/containers/{id}";
	static const char projects[] = "/api/v1/projects/{id}/";
	const struct container *container;

	if (!call->realm[0])
		return 0;
	if (!strncmp(route->pattern, containers, strlen(containers))) {
		container = model_find(call->control->model, call->id);
		if (container && !strcmp(container->realm, call->realm))
			return 0;
		api_reply_error(call, 404, "not_found", NULL, "there is no container with this id");
		return -1;
	}
	if (!strncmp(route->pattern, projects, strlen(projects))) {
		if (owns_project(call))
			return 0;
		api_reply_error(call, 404, "not_found", NULL, "there is no project with this id");
		return -1;
	}
	for (size_t i = 0; i < sizeof(for_realms) / sizeof(for_realms[0]); i++) {
		if (!strcmp(route->pattern, for_realms[i]))
			return 0;
	}
	api_reply_error(call, 404, "not_found", NULL, "there is no such call");
	return -1;
}
