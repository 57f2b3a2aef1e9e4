// SPDX-License-Identifier: Apache-2.0
/* Text forms of audit entries, see entry.h. */
#include "audit/entry.h"
#include "lib/id.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *audit_kind_name(enum audit_kind kind)
{
	return kind == AUDIT_CHANGE ? "change" : "exchange";
}

void audit_time_format(uint64_t time_us, char out[AUDIT_TIME_MAX])
{
	time_t seconds = (time_t)(time_us / 1000000);
	char date[24] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, AUDIT_TIME_MAX, "%s.%06uZ", date, (unsigned int)(time_us % 1000000));
}

int audit_time_parse(const char *text, uint64_t *time_us)
{
	struct tm tm = { 0 };
	const char *rest;
	uint64_t fraction = 0, unit = 100000;
	long long seconds;
	char *end;

	if (strlen(text) > 40)
		return -EINVAL;
	if (!text[strspn(text, "0123456789")] && *text && strlen(text) < 12) {
		seconds = strtoll(text, &end, 10);
		*time_us = (uint64_t)seconds * 1000000;
		return 0;
	}
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest) {
		memset(&tm, 0, sizeof(tm));
		rest = strptime(text, "%Y-%m-%d", &tm);
		if (!rest || *rest)
			return -EINVAL;
	} else {
		if (*rest == '.') {
			for (rest++; isdigit((unsigned char)*rest); rest++, unit /= 10)
				fraction += unit * (*rest - '0');
		}
		if (strcmp(rest, "Z"))
			return -EINVAL;
	}
	seconds = timegm(&tm);
	if (seconds < 0)
		return -EINVAL;
	*time_us = (uint64_t)seconds * 1000000 + fraction;
	return 0;
}

void audit_client_format(const struct audit_record *record, char *out, size_t size)
{
	out[0] = '\0';
	if (record->client_family == AF_INET || record->client_family == AF_INET6)
		inet_ntop(record->client_family, record->client, out, (socklen_t)size);
}

static void add_id(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		   const uint8_t id[AUDIT_ID_LEN])
{
	static const uint8_t none[AUDIT_ID_LEN];
	char text[ID_TEXT_LEN + 1];

	if (!memcmp(id, none, sizeof(none))) {
		yyjson_mut_obj_add_null(document, object, name);
		return;
	}
	id_format(id, text);
	yyjson_mut_obj_add_strcpy(document, object, name, text);
}

static void add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		     const char *text)
{
	if (text[0])
		yyjson_mut_obj_add_strcpy(document, object, name, text);
	else
		yyjson_mut_obj_add_null(document, object, name);
}

static void add_exchange(yyjson_mut_doc *document, yyjson_mut_val *object,
			 const struct audit_record *record)
{
	add_text(document, object, "service", record->service);
	yyjson_mut_obj_add_uint(document, object, "instance", record->instance);
	yyjson_mut_obj_add_uint(document, object, "port", record->port);
	yyjson_mut_obj_add_uint(document, object, "bytes_in", record->bytes_in);
	yyjson_mut_obj_add_uint(document, object, "bytes_out", record->bytes_out);
	yyjson_mut_obj_add_uint(document, object, "authorize_us", record->authorize_us);
	yyjson_mut_obj_add_uint(document, object, "upstream_us", record->upstream_us);
	yyjson_mut_obj_add_uint(document, object, "total_us", record->total_us);
	yyjson_mut_obj_add_bool(document, object, "upgraded", record->flags & AUDIT_UPGRADED);
	add_text(document, object, "group", record->group);
	add_text(document, object, "reason", record->reason);
	add_text(document, object, "action", record->action);
}

yyjson_mut_val *audit_entry_json(yyjson_mut_doc *document, const struct audit_entry *entry)
{
	const struct audit_record *record = &entry->record;
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char text[INET6_ADDRSTRLEN > AUDIT_TIME_MAX ? INET6_ADDRSTRLEN : AUDIT_TIME_MAX];

	if (entry->id)
		yyjson_mut_obj_add_int(document, object, "id", entry->id);
	audit_time_format(record->time_us, text);
	yyjson_mut_obj_add_strcpy(document, object, "time", text);
	yyjson_mut_obj_add_str(document, object, "kind", audit_kind_name(entry->kind));
	add_id(document, object, "project", record->project);
	add_id(document, object, "container", record->container);
	add_text(document, object, "realm", entry->realm);
	audit_client_format(record, text, sizeof(text));
	add_text(document, object, "client", text);
	yyjson_mut_obj_add_uint(document, object, "client_port", record->client_port);
	add_text(document, object, "protocol", record->protocol);
	yyjson_mut_obj_add_bool(document, object, "tls", record->flags & AUDIT_TLS);
	add_text(document, object, "method", record->method);
	add_text(document, object, "path", record->path);
	yyjson_mut_obj_add_bool(document, object, "path_cut", record->flags & AUDIT_PATH_CUT);
	yyjson_mut_obj_add_uint(document, object, "status", record->status);
	add_text(document, object, "outcome", record->outcome);
	if (entry->kind == AUDIT_CHANGE)
		add_text(document, object, "actor", entry->actor);
	else
		add_exchange(document, object, record);
	return object;
}

char *audit_entry_line(const struct audit_entry *entry, size_t *len)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	char *text = NULL;

	if (!document)
		return NULL;
	yyjson_mut_doc_set_root(document, audit_entry_json(document, entry));
	text = yyjson_mut_write(document,
				YYJSON_WRITE_NEWLINE_AT_END | YYJSON_WRITE_ALLOW_INVALID_UNICODE,
				len);
	yyjson_mut_doc_free(document);
	return text;
}
