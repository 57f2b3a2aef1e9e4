/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API: which call goes where, and how answers look.
 *
 * One file per resource brings a table of routes; api.c finds the route, parses
 * body and query, and refuses what does not fit before a handler sees it. A
 * handler ends its call with exactly one of api_reply_*(), at once or later.
 */
#ifndef HOODY_CONTROL_API_H
#define HOODY_CONTROL_API_H

#include "control/control.h"
#include "control/http_server.h"

#include <yyjson.h>

#define API_QUERY_MAX	16
#define API_NAME_MAX	255

struct container_fault;
struct handover;

struct api_query {
	char	name[32];
	char	value[128];
};

struct api_call {
	struct control		*control;
	struct http_request	*request;
	uint8_t			id[ID_LEN];	/* of {id} in the path */
	char			realm[MODEL_REALM_MAX];	/* what it may see; empty: all */
	char			owner[MODEL_REALM_MAX];	/* the realm of the container {id} */
	char			actor[80];	/* for the audit trail: "root", "token:..." */
	struct address		client;		/* over HTTPS; family 0: the control socket */
	char			name[API_NAME_MAX + 1];	/* of {name}, decoded */
	yyjson_doc		*document;	/* of the body, an object; NULL: none */
	yyjson_val		*body;
	struct api_query	query[API_QUERY_MAX];
	unsigned int		query_count;
	/* For handlers that answer later: */
	uint8_t			answer_id[ID_LEN];
	int			answer_status;
	void			*answer;	/* the handler's own */
};

enum api_body {
	API_BODY_NONE,		/* a body is refused */
	API_BODY_OPTIONAL,
	API_BODY_REQUIRED,
};

struct api_route {
	const char	*method;
	const char	*pattern;	/* "/api/v1/containers/{id}/firewall/egress/{name}" */
	enum api_body	body;
	const char	*query;		/* names that are accepted: "limit cursor"; NULL: none */
	void		(*handle)(struct api_call *call);
};

/* The tables, each ended by an entry without a method. */
extern const struct api_route api_containers_routes[];
extern const struct api_route api_ksm_routes[];
extern const struct api_route api_network_routes[];
extern const struct api_route api_permissions_routes[];
extern const struct api_route api_status_routes[];
extern const struct api_route api_upgrade_routes[];
extern const struct api_route api_module_routes[];
extern const struct api_route api_syscalls_routes[];
extern const struct api_route api_profiles_routes[];
extern const struct api_route api_logs_routes[];
extern const struct api_route api_metrics_routes[];
extern const struct api_route api_posture_routes[];
extern const struct api_route api_tokens_routes[];
extern const struct api_route api_firewall_routes[];
extern const struct api_route api_aliases_routes[];
extern const struct api_route api_limits_routes[];
extern const struct api_route api_services_routes[];
extern const struct api_route api_certificates_routes[];

/* What came of the last upgrade, for the status. */
void api_upgrade_add(const struct control *control, yyjson_mut_doc *document, yyjson_mut_val *data);
/* What a reload of the module has frozen, under the name @key. */
void api_module_add(const struct control *control, yyjson_mut_doc *document, yyjson_mut_val *data,
		    const char *key);

struct api *api_create(struct control *control, char *fault, size_t fault_size);
/* A stream that a worker has opened for a client; takes @fd over. */
void api_adopt(struct api *api, int fd);
void api_stop(struct api *api);

/* See http_server_pause(); api_create() takes over what api_save() has left. */
void api_pause(struct api *api);
void api_resume(struct api *api);
bool api_quiet(const struct api *api);
void api_save(const struct api *api, struct handover *handover);
void api_destroy(struct api *api);

/* The value of a query parameter, or NULL. */
const char *api_query(const struct api_call *call, const char *name);

/* The container of {id}, or NULL: then the call has been answered with 404, and is gone. */
struct container *api_container(struct api_call *call);

/*
 * The ends of a call. @data is taken over; it becomes {"data": ...}, with
 * "next_cursor" beside it where @cursor is given. @field may be NULL.
 */
void api_reply_data(struct api_call *call, int status, yyjson_mut_doc *document,
		    yyjson_mut_val *data);
void api_reply_page(struct api_call *call, yyjson_mut_doc *document, yyjson_mut_val *data,
		    const char *cursor);
/* @text, which is taken over, as it is; @fields as http_reply_as() has them. */
void api_reply_text(struct api_call *call, int status, char *text, const char *type,
		    const char *fields);
__attribute__((format(printf, 5, 6))) void api_reply_error(struct api_call *call, int status,
							   const char *code, const char *field,
							   const char *format, ...);
void api_reply_fault(struct api_call *call, const struct container_fault *fault);
/* 422; @message says of @field what it must be, or that it is not known. */
void api_reply_refused(struct api_call *call, const char *field, const char *message);
/* What the store has refused with @error, negative; @full: what for, where it does not say. */
void api_reply_not_stored(struct api_call *call, int error, const char *full);
/* {"data": {@key: [...]}}: each of @count by @item, which gets @items and its number. */
void api_reply_items(struct api_call *call, const char *key, const void *items, unsigned int count,
		     yyjson_mut_val *(*item)(yyjson_mut_doc *document, const void *items,
					     unsigned int number));
/* What was committed has to hold in every worker before @reply(call). */
void api_reply_published(struct api_call *call, void (*reply)(void *call));

#endif /* HOODY_CONTROL_API_H */
