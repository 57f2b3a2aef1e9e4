/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.db: the trail in SQLite, beside the state and apart from it, so that its
 * size, its writes and its damage are nobody else's.
 *
 * Entries are only ever added at the end and taken away at the beginning. There
 * is no index but the row's number: adding costs the same however large the
 * trail is. Who searches does so in windows of rows (audit_store_scan()) and lets
 * others have their turn in between.
 *
 * Added entries are committed many at a time; what a commit has acknowledged
 * survives the agent, and a crash of the host from the last checkpoint on.
 */
#ifndef HOODY_AUDIT_STORE_H
#define HOODY_AUDIT_STORE_H

#include "audit/entry.h"
#include "lib/address.h"

#define AUDIT_STORE_FILE		"audit.db"
#define AUDIT_STORE_APPLICATION_ID	0x686f6175	/* "hoau" */
#define AUDIT_STORE_VERSION		1

struct audit_store;

/* NULL with words in @fault. A file that is damaged or foreign is refused. */
struct audit_store *audit_store_open(const char *directory, char *fault, size_t fault_size);
void audit_store_close(struct audit_store *store);

/*
 * A batch: begin, put any number, commit; 0 or -EIO (audit_store_fault() says why)
 * after which nothing of the batch is stored.
 */
int audit_store_begin(struct audit_store *store);
int audit_store_put(struct audit_store *store, struct audit_entry *entry);
int audit_store_commit(struct audit_store *store);
const char *audit_store_fault(const struct audit_store *store);

/* Number of the first and the last entry; 0 and 0: there is none. */
void audit_store_range(struct audit_store *store, int64_t *first, int64_t *last);

/* Bytes that entries take in the file. */
uint64_t audit_store_size(struct audit_store *store);

/*
 * Takes entries away from the beginning: those older than @before_us, or, with 0,
 * the oldest of all; at most @most. The number, or -EIO.
 */
int audit_store_trim(struct audit_store *store, uint64_t before_us, unsigned int most);

/* What is looked for; zero means any. */
struct audit_filter {
	enum audit_kind		kind;
	bool			has_container, has_project, has_client, has_realm;
	uint8_t			container[AUDIT_ID_LEN], project[AUDIT_ID_LEN];
	struct address		client;
	char			realm[AUDIT_REALM_MAX];
	char			service[32];
	unsigned int		status_min, status_max;	/* 0, 0: any */
	uint64_t		since_us, until_us;	/* until: not included; 0: any */
};

/*
 * Calls @take for the entries from @low to @high (both included) that @filter
 * wants, ascending or descending; it returns false to stop. 0, 1 where it was
 * stopped, or -EIO.
 */
typedef bool audit_take(void *context, const struct audit_entry *entry);
int audit_store_scan(struct audit_store *store, const struct audit_filter *filter, int64_t low,
		     int64_t high, bool descending, audit_take *take, void *context);

#endif /* HOODY_AUDIT_STORE_H */
