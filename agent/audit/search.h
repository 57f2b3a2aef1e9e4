/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches of the trail that take as long as they take: in windows of rows, one
 * an event-loop turn, so that nothing else waits for them.
 */
#ifndef HOODY_AUDIT_SEARCH_H
#define HOODY_AUDIT_SEARCH_H

#include "audit/audit.h"

#define AUDIT_SEARCH_WINDOW	8192	/* rows of one turn */

/* Over: @ret as audit_store_scan() has it. The search is gone after it. */
typedef void audit_search_done(void *context, int ret);

/*
 * audit_search(): from @from on (0: the end that the direction begins at), down
 * or up. 0 and @done follows, later; -EBUSY: too many run; -ENODATA: there is no
 * database; -ENOMEM.
 */
int audit_search(struct audit *audit, const struct audit_filter *filter, int64_t from,
		 bool descending, audit_take *take, audit_search_done *done, void *context);

/* Ends all that run, without @done. */
void audit_search_forget(struct audit *audit);

/* Figures of a set of entries. */
#define AUDIT_STATS_KEYS	1024	/* clients, services that are told apart */
#define AUDIT_STATS_TOP		20
#define AUDIT_STATS_BUCKETS	(33 * 16)

struct audit_histogram {
	uint64_t	count, sum, max;
	uint64_t	buckets[AUDIT_STATS_BUCKETS];	/* 16 to a power of two: within 6 % */
};

struct audit_tally {
	char		key[64];
	uint64_t	count, bytes_in, bytes_out, errors;	/* errors: status 500 and above, or none */
};

struct audit_stats {
	uint64_t		changes;
	struct audit_histogram	total, upstream;
	uint64_t		bytes_in, bytes_out;
	uint64_t		statuses[1000];
	struct audit_tally	services[AUDIT_STATS_KEYS], clients[AUDIT_STATS_KEYS];
	uint64_t		services_other, clients_other;	/* entries of those beyond */
};

void audit_stats_add(struct audit_stats *stats, const struct audit_entry *entry);
uint64_t audit_histogram_percentile(const struct audit_histogram *histogram, unsigned int percent);
yyjson_mut_val *audit_stats_json(yyjson_mut_doc *document, struct audit_stats *stats);

#endif /* HOODY_AUDIT_SEARCH_H */
