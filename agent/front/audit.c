// SPDX-License-Identifier: Apache-2.0
/* Audit records of exchanges, see audit.h. */
#include "front/audit.h"

#include <string.h>
#include <time.h>

#include "front/connection.h"
#include "front/limit.h"

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint32_t span(uint64_t from, uint64_t to)
{
	return to - from < UINT32_MAX ? (uint32_t)(to - from) : UINT32_MAX;
}

/* Printable bytes and UTF-8, which is cut between characters. */
static void put_text(char *out, size_t size, const char *text, size_t len)
{
	if (len >= size) {
		len = size - 1;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		out[i] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	out[len] = '\0';
}

static void put_address(struct audit_record *record, const struct up_client *client)
{
	memset(record->client, 0, sizeof(record->client));
	record->client_family = client->address.family;
	record->client_port = client->port;
	if (client->address.family == AF_INET)
		memcpy(record->client, &client->address.v4, sizeof(client->address.v4));
	else
		memcpy(record->client, &client->address.v6, sizeof(client->address.v6));
}

static void put_client(struct audit_record *record, const struct front_connection *connection)
{
	const char *protocol = connection->protocol ? connection->protocol->alpn : "";

	put_address(record, &connection->client);
	put_text(record->protocol, sizeof(record->protocol), protocol, strlen(protocol));
	if (connection->tls || connection->quic)
		record->flags |= AUDIT_TLS;
}

static void push(struct front_thread *thread, const struct audit_record *record)
{
	if (audit_ring_push(thread->audit, record))
		front_count(thread, audit_records);
	else
		front_count(thread, audit_lost);
}

void front_audit_begin(struct front_audit *audit, const struct front_connection *connection,
		       const struct http_head *head)
{
	const struct front_thread *thread = connection->thread;
	struct audit_record *record = &audit->record;

	if (!thread->audit)
		return;
	audit->begun = audit->mark = clock_us(CLOCK_MONOTONIC);
	put_client(record, connection);
	put_text(record->method, sizeof(record->method), head->method_name.data,
		 head->method_name.len);
	if (audit_record_path(head->target.data, head->target.len,
			     front_settings(thread)->audit_query, record->path))
		record->flags |= AUDIT_PATH_CUT;
}

void front_audit_route(struct front_audit *audit, const struct route *route)
{
	struct audit_record *record = &audit->record;

	if (!audit->begun)
		return;
	if (!(route->container->flags & IMAGE_CONTROL)) {
		memcpy(record->container, route->container->id, AUDIT_ID_LEN);
		memcpy(record->project, route->container->project, AUDIT_ID_LEN);
		record->port = route->port;
	}
	record->instance = route->host.instance;
	put_text(record->service, sizeof(record->service), route->host.service,
		 route->host.service_len);
}

void front_audit_decision(struct front_audit *audit, const struct auth_decision *decision)
{
	struct audit_record *record = &audit->record;
	const char *reason;

	if (!audit->begun)
		return;
	reason = auth_reason_name(decision->reason);
	put_text(record->reason, sizeof(record->reason), reason, strlen(reason));
	if (decision->group >= 0)
		put_text(record->group, sizeof(record->group), decision->group_name.data,
			 decision->group_name.len);
	if (decision->action)
		put_text(record->action, sizeof(record->action), decision->action,
			 strlen(decision->action));
}

void front_audit_passed(struct front_audit *audit, const struct up_client *client,
			const uint8_t via[IMAGE_ID_LEN])
{
	struct audit_record *record = &audit->record;
	char id[ID_TEXT_LEN + 1];

	if (!audit->begun)
		return;
	id_format(via, id);
	put_address(record, client);
	put_text(record->reason, sizeof(record->reason), "passed", strlen("passed"));
	put_text(record->group, sizeof(record->group), id, ID_TEXT_LEN);
}

void front_audit_limit(struct front_audit *audit, const struct image_limit *rule)
{
	struct audit_record *record = &audit->record;
	char text[LIMIT_TEXT_MAX];

	if (!audit->begun)
		return;
	limit_text(rule, text);
	put_text(record->reason, sizeof(record->reason), "refused_limit", strlen("refused_limit"));
	put_text(record->group, sizeof(record->group), text, strlen(text));
}

void front_audit_allowed(struct front_audit *audit)
{
	uint64_t now;

	if (!audit->begun)
		return;
	now = clock_us(CLOCK_MONOTONIC);
	audit->record.authorize_us = span(audit->mark, now);
	audit->mark = now;
}

void front_audit_head(struct front_audit *audit)
{
	if (audit->begun)
		audit->record.upstream_us = span(audit->mark, clock_us(CLOCK_MONOTONIC));
}

void front_audit_end(struct front_audit *audit, struct front_thread *thread, unsigned int status,
		     const char *outcome)
{
	struct audit_record *record = &audit->record;

	if (!audit->begun)
		return;
	record->time_us = clock_us(CLOCK_REALTIME);
	record->total_us = span(audit->begun, clock_us(CLOCK_MONOTONIC));
	record->status = (uint16_t)status;
	if (status == 101)
		record->flags |= AUDIT_UPGRADED;
	put_text(record->outcome, sizeof(record->outcome), outcome, strlen(outcome));
	push(thread, record);
}

void front_audit_refused(const struct front_connection *connection, unsigned int status,
			 const char *code)
{
	struct audit_record record = { .status = (uint16_t)status };

	if (!connection->thread->audit)
		return;
	record.time_us = clock_us(CLOCK_REALTIME);
	put_client(&record, connection);
	put_text(record.outcome, sizeof(record.outcome), code, strlen(code));
	push(connection->thread, &record);
}
