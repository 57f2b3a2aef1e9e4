// SPDX-License-Identifier: Apache-2.0
/* Dispatch and answers of the control API, see api.h. */
#include "control/api_internal.h"
#include "control/handover.h"
#include "audit/audit.h"
#include "lib/log.h"
#include "lib/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct api {
	struct control		*control;
	struct http_server	*server, *remote;
};

static const struct api_route *const tables[] = {
	api_containers_routes,
	api_ksm_routes,
	api_network_routes,
	api_permissions_routes,
	api_status_routes,
	api_upgrade_routes,
	api_module_routes,
	api_syscalls_routes,
	api_profiles_routes,
	api_logs_routes,
	api_metrics_routes,
	api_posture_routes,
	api_tokens_routes,
	api_firewall_routes,
	api_aliases_routes,
	api_limits_routes,
	api_services_routes,
	api_certificates_routes,
};

/*
 * What a call said is quoted, and cut where it is long; over HTTPS anybody may say
 * anything. A client reads UTF-8 all the same.
 */
static char *error_text(const char *code, const char *field, const char *message)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root, *error;
	char words[512], name[128], *text;

	if (!document)
		return NULL;
	snprintf(words, sizeof(words), "%s", message);
	utf8_repair(words);
	snprintf(name, sizeof(name), "%s", field ? field : "");
	utf8_repair(name);
	root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	error = yyjson_mut_obj_add_obj(document, root, "error");
	yyjson_mut_obj_add_strcpy(document, error, "code", code);
	yyjson_mut_obj_add_strcpy(document, error, "message", words);
	if (field)
		yyjson_mut_obj_add_strcpy(document, error, "field", name);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return text;
}

/* Every call that was to change something, done or refused. */
static void record(const struct api_call *call, int status)
{
	const struct http_request *request = call->request;
	struct audit_entry entry = { .record.status = (uint16_t)status };

	if (!call->control->audit || !strcmp(request->method, "GET"))
		return;
	memcpy(strncmp(request->path, "/api/v1/projects/", 17) ? entry.record.container :
								 entry.record.project,
	       call->id, ID_LEN);
	snprintf(entry.record.method, sizeof(entry.record.method), "%s", request->method);
	snprintf(entry.record.outcome, sizeof(entry.record.outcome), "%s",
		 status < 300 ? "done" : status < 500 ? "refused" : "failed");
	snprintf(entry.actor, sizeof(entry.actor), "%s", call->actor);
	snprintf(entry.realm, sizeof(entry.realm), "%s", call->owner[0] ? call->owner : call->realm);
	entry.record.client_family = call->client.family;
	memcpy(entry.record.client, &call->client.v4, call->client.family == AF_INET ? 4 : 16);
	if (audit_record_path(request->path, strlen(request->path), IMAGE_AUDIT_DROP,
			     entry.record.path))
		entry.record.flags |= AUDIT_PATH_CUT;
	audit_change(call->control->audit, &entry);
}

static void end(struct api_call *call, int status, char *text, const char *allow)
{
	record(call, status);
	http_reply(call->request, status, text, allow);
	yyjson_doc_free(call->document);
	free(call);
}

void api_reply_page(struct api_call *call, yyjson_mut_doc *document, yyjson_mut_val *data,
		    const char *cursor)
{
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char *text;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_val(document, root, "data", data);
	if (cursor)
		yyjson_mut_obj_add_strcpy(document, root, "next_cursor", cursor);
	else
		yyjson_mut_obj_add_null(document, root, "next_cursor");
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	end(call, 200, text, NULL);
}

void api_reply_data(struct api_call *call, int status, yyjson_mut_doc *document,
		    yyjson_mut_val *data)
{
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char *text;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_val(document, root, "data", data);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	end(call, status, text, NULL);
}

void api_reply_error(struct api_call *call, int status, const char *code, const char *field,
		     const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	end(call, status, error_text(code, field, message), NULL);
}

void api_reply_text(struct api_call *call, int status, char *text, const char *type,
		    const char *fields)
{
	record(call, status);
	http_reply_as(call->request, status, text, type, fields);
	yyjson_doc_free(call->document);
	free(call);
}

const char *api_query(const struct api_call *call, const char *name)
{
	for (unsigned int i = 0; i < call->query_count; i++) {
		if (!strcmp(call->query[i].name, name))
			return call->query[i].value;
	}
	return NULL;
}

/* Decodes %XX and '+' in place of one part of a query. 0 or -EINVAL. */
static int decode(const char *text, size_t len, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			char digits[3] = { 0 };

			if (i + 2 >= len || !isxdigit((unsigned char)text[i + 1]) ||
			    !isxdigit((unsigned char)text[i + 2]))
				return -EINVAL;
			memcpy(digits, text + i + 1, 2);
			c = (char)strtol(digits, NULL, 16);
			i += 2;
		}
		if (used + 1 >= size || c == '\0')
			return -EINVAL;
		out[used++] = c;
	}
	out[used] = '\0';
	return 0;
}

/* 1: @call's path is one of @pattern, with its id and name; 0: it is not; -1: but for those, it is. */
static int match(const char *pattern, const char *path, struct api_call *call)
{
	int result = 1;

	while (*pattern) {
		bool is_id = strncmp(pattern, "{id}", 4) == 0;

		if (is_id || strncmp(pattern, "{name}", 6) == 0) {
			size_t len = strcspn(path, "/");

			if (len == 0)
				return 0;
			if (is_id ? id_parse(path, len, call->id) :
				    decode(path, len, call->name, sizeof(call->name)))
				result = -1;
			pattern += is_id ? 4 : 6;
			path += len;
		} else if (*pattern++ != *path++) {
			return 0;
		}
	}
	return *path ? 0 : result;
}

static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (list && *list) {
		size_t word = strcspn(list, " ");

		if (word == len && !strncmp(list, name, len))
			return true;
		list += word + (list[word] == ' ');
	}
	return false;
}

/* 0, or the call has been answered. */
static int parse_query(struct api_call *call, const char *accepted)
{
	char *text = call->request->query;

	while (text && *text) {
		struct api_query *query = &call->query[call->query_count];
		size_t len = strcspn(text, "&");
		size_t name = strcspn(text, "=&");
		size_t value = name < len ? name + 1 : len;

		if (call->query_count == API_QUERY_MAX ||
		    decode(text, name, query->name, sizeof(query->name)) ||
		    decode(text + value, len - value, query->value, sizeof(query->value))) {
			api_reply_error(call, 400, "invalid_query", NULL,
					"the query of the URL cannot be read");
			return -1;
		}
		if (!is_listed(accepted, query->name)) {
			api_reply_error(call, 422, "unknown_field", query->name,
					"this call knows no query parameter of this name");
			return -1;
		}
		if (api_query(call, query->name)) {
			api_reply_error(call, 422, "invalid_value", query->name,
					"is given more than once");
			return -1;
		}
		call->query_count++;
		text += len + (text[len] == '&');
	}
	return 0;
}

static bool is_json(const char *content_type)
{
	size_t len = strcspn(content_type, "; \t");

	return len == strlen("application/json") && !strncasecmp(content_type, "application/json", len);
}

/* The first name that an object has twice, in it or below it; or NULL. */
static const char *find_duplicate(yyjson_val *value)
{
	size_t index, max;
	yyjson_val *key, *child;

	if (yyjson_is_arr(value)) {
		yyjson_arr_foreach(value, index, max, child) {
			const char *found = find_duplicate(child);

			if (found)
				return found;
		}
	} else if (yyjson_is_obj(value) && yyjson_obj_size(value) <= 1024) {
		yyjson_obj_foreach(value, index, max, key, child) {
			const char *found = find_duplicate(child);

			/* The look-up gives the first of that name. */
			if (yyjson_obj_getn(value, yyjson_get_str(key), yyjson_get_len(key)) != child)
				return yyjson_get_str(key);
			if (found)
				return found;
		}
	}
	return NULL;
}

/* 0, or the call has been answered. */
static int parse_body(struct api_call *call, enum api_body wanted)
{
	const struct http_request *request = call->request;
	yyjson_read_err error;
	const char *duplicate;

	if (request->body_len == 0) {
		if (wanted != API_BODY_REQUIRED)
			return 0;
		api_reply_error(call, 400, "invalid_json", NULL,
				"the body is empty; a JSON object is needed");
		return -1;
	}
	if (wanted == API_BODY_NONE) {
		api_reply_error(call, 400, "unexpected_body", NULL, "this call takes no body");
		return -1;
	}
	if (request->content_type && !is_json(request->content_type)) {
		api_reply_error(call, 415, "unsupported_media_type", NULL,
				"the body is %.100s; send Content-Type: application/json",
				request->content_type);
		return -1;
	}
	call->document = yyjson_read_opts(request->body, request->body_len, 0, NULL, &error);
	if (!call->document) {
		api_reply_error(call, 400, "invalid_json", NULL, "byte %zu: %s", error.pos, error.msg);
		return -1;
	}
	call->body = yyjson_doc_get_root(call->document);
	if (!yyjson_is_obj(call->body)) {
		api_reply_error(call, 400, "invalid_json", NULL, "the body is no JSON object");
		return -1;
	}
	duplicate = find_duplicate(call->body);
	if (duplicate) {
		api_reply_error(call, 400, "duplicate_field", duplicate, "is given more than once");
		return -1;
	}
	return 0;
}

/* No route: says whether it is the path or the method, and which there are. */
static void refuse_route(struct api_call *call)
{
	char allow[128] = "";
	bool bad_id = false;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct api_route *route = tables[t]; route->method; route++) {
			int found = match(route->pattern, call->request->path, call);
			size_t used = strlen(allow);

			if (found)
				snprintf(allow + used, sizeof(allow) - used, "%s%s",
					 used ? ", " : "", route->method);
			bad_id |= found < 0;
		}
	}
	if (!allow[0]) {
		api_reply_error(call, 404, "not_found", NULL, "there is no such call");
		return;
	}
	if (bad_id && strstr(allow, call->request->method)) {
		api_reply_error(call, 404, "invalid_id", "id",
				"the id in the path is not 24 hexadecimal digits, or a name in it cannot be read");
		return;
	}
	end(call, 405,
	    error_text("method_not_allowed", NULL, "the Allow field lists what can be done here"),
	    allow);
}

void api_reply_unauthorized(struct api_call *call, const char *message)
{
	char *text = error_text("unauthorized", NULL, message);

	api_reply_text(call, 401, text, "application/json",
		       "WWW-Authenticate: Bearer realm=\"hoody\"\r\n");
}

static struct api_call *call_create(struct api *api, struct http_request *request)
{
	struct api_call *call = calloc(1, sizeof(*call));

	if (!call) {
		http_reply(request, 503, NULL, NULL);
		return NULL;
	}
	call->control = api->control;
	call->request = request;
	return call;
}

static void note_owner(struct api_call *call)
{
	const struct container *container = model_find(call->control->model, call->id);

	if (container)
		memcpy(call->owner, container->realm, sizeof(call->owner));
}

static void dispatch(struct api_call *call)
{
	const struct http_request *request = call->request;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct api_route *route = tables[t]; route->method; route++) {
			if (strcmp(route->method, request->method) ||
			    match(route->pattern, request->path, call) != 1)
				continue;
			note_owner(call);
			if (api_remote_scope(call, route))
				return;
			if (parse_query(call, route->query) || parse_body(call, route->body))
				return;
			route->handle(call);
			return;
		}
	}
	refuse_route(call);
}

/* From the control socket: whoever may open it may do all. */
static void handle(void *context, struct http_request *request)
{
	struct api_call *call = call_create(context, request);

	if (!call)
		return;
	snprintf(call->actor, sizeof(call->actor), "root");
	dispatch(call);
}

static void handle_remote(void *context, struct http_request *request)
{
	struct api_call *call = call_create(context, request);

	if (call && !api_remote_admit(call))
		dispatch(call);
}

static char *protocol_error(int status, const char *message)
{
	switch (status) {
	case 403:
		return error_text("forbidden", NULL, message);
	case 408:
		return error_text("timeout", NULL, message);
	case 413:
	case 431:
		return error_text("too_large", NULL, message);
	case 500:
		return error_text("internal", NULL, message);
	case 503:
		return error_text("unavailable", NULL, message);
	}
	return error_text("bad_request", NULL, message);
}

/* The one before leaves its socket: who has connected meanwhile waits in it. */
static struct http_server *open_server(struct api *api, char *fault, size_t fault_size)
{
	struct control *control = api->control;
	const char *path = control->config->control_socket;
	yyjson_val *left = control->handover ? yyjson_obj_get(control->handover->root, "api") : NULL;
	int fd = handover_taken_fd(yyjson_obj_get(left, "listener"));

	snprintf(fault, fault_size, "out of memory");
	if (fd >= 0)
		return http_server_create_from(control->event, fd, path, handle, protocol_error,
					       api);
	return http_server_create(control->event, path, handle, protocol_error, api, fault,
				  fault_size);
}

static void adopt_all(struct http_server *server, yyjson_val *list)
{
	yyjson_val *value;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, value) {
		int fd = handover_taken_fd(value);

		if (fd >= 0)
			http_server_adopt(server, fd);
	}
}

static void take_over(struct api *api)
{
	yyjson_val *left = api->control->handover ?
				   yyjson_obj_get(api->control->handover->root, "api") : NULL;

	adopt_all(api->server, yyjson_obj_get(left, "clients"));
	adopt_all(api->remote, yyjson_obj_get(left, "remote"));
}

static void save_waiting(const struct http_server *server, struct handover *handover,
			 yyjson_mut_val *list)
{
	int fds[HTTP_CONNECTIONS_MAX];
	size_t count = http_server_waiting(server, fds);

	for (size_t i = 0; i < count; i++)
		handover_fd(handover, list, NULL, fds[i]);
}

void api_save(const struct api *api, struct handover *handover)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, handover->root, "api");

	handover_fd(handover, object, "listener", http_server_listener(api->server));
	save_waiting(api->server, handover, yyjson_mut_obj_add_arr(document, object, "clients"));
	save_waiting(api->remote, handover, yyjson_mut_obj_add_arr(document, object, "remote"));
}

struct api *api_create(struct control *control, char *fault, size_t fault_size)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	api->control = control;
	api->server = open_server(api, fault, fault_size);
	if (!api->server)
		goto err_free;
	/* Places of its own: no client can take root's. */
	api->remote = http_server_create_bare(control->event, handle_remote, protocol_error, api);
	if (!api->remote) {
		snprintf(fault, fault_size, "out of memory");
		goto err_destroy;
	}
	take_over(api);
	return api;

err_destroy:
	http_server_destroy(api->server);
err_free:
	free(api);
	return NULL;
}

void api_adopt(struct api *api, int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);

	/* A worker's word is no proof of what it has sent. */
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM) {
		log_warning("control API refuses a descriptor that is no stream");
		close(fd);
		return;
	}
	http_server_adopt(api->remote, fd);
}

void api_pause(struct api *api)
{
	http_server_pause(api->server);
	http_server_pause(api->remote);
}

void api_resume(struct api *api)
{
	http_server_resume(api->server);
	http_server_resume(api->remote);
}

bool api_quiet(const struct api *api)
{
	return http_server_quiet(api->server) && http_server_quiet(api->remote);
}

void api_stop(struct api *api)
{
	http_server_stop(api->server);
	http_server_stop(api->remote);
}

void api_destroy(struct api *api)
{
	if (!api)
		return;
	http_server_destroy(api->server);
	http_server_destroy(api->remote);
	free(api);
}
