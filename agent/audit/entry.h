/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of the audit trail, whatever it is about, and its text forms.
 */
#ifndef HOODY_AUDIT_ENTRY_H
#define HOODY_AUDIT_ENTRY_H

#include "lib/audit_ring.h"

#include <yyjson.h>

#define AUDIT_REALM_MAX		64
#define AUDIT_ACTOR_MAX		80

/* The values are stored. */
enum audit_kind {
	AUDIT_EXCHANGE	= 1,	/* a request through the proxy, refused or not */
	AUDIT_CHANGE	= 2,	/* a call of the control API that was to change something */
};

struct audit_entry {
	int64_t			id;		/* its place in the trail; 0: not stored yet */
	enum audit_kind		kind;
	struct audit_record	record;
	char			realm[AUDIT_REALM_MAX];		/* of the container, then */
	char			actor[AUDIT_ACTOR_MAX];		/* of a change: "root", "token:..." */
};

const char *audit_kind_name(enum audit_kind kind);

/* audit_time_format(): RFC 3339 in UTC with microseconds. */
#define AUDIT_TIME_MAX		32
void audit_time_format(uint64_t time_us, char out[AUDIT_TIME_MAX]);
/* "2026-01-31", "2026-01-31T12:00:00Z" (with or without a fraction), seconds since 1970; 0 or -EINVAL. */
int audit_time_parse(const char *text, uint64_t *time_us);

/* Empty where the client is not known. */
void audit_client_format(const struct audit_record *record, char *out, size_t size);

yyjson_mut_val *audit_entry_json(yyjson_mut_doc *document, const struct audit_entry *entry);

/* One line of NDJSON with its line end, from malloc(); or NULL. */
char *audit_entry_line(const struct audit_entry *entry, size_t *len);

#endif /* HOODY_AUDIT_ENTRY_H */
