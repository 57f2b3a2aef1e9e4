/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit trail: one entry for every exchange, every refusal and every change
 * of policy, in the database, the journal and a file, as configured.
 *
 *	worker's rings --+
 *	                 +--> entry --> database, journal, file
 *	audit_change() --+
 *
 * Rings are emptied AUDIT_DRAIN_MS after the first record, in batches, and as
 * long as anything comes; in between nothing runs. A ring that is full loses
 * records and the worker counts them; what a sink cannot take is counted here.
 */
#ifndef HOODY_AUDIT_AUDIT_H
#define HOODY_AUDIT_AUDIT_H

#include "audit/store.h"
#include "lib/ipc.h"

#include <limits.h>
#include <systemd/sd-event.h>

#define AUDIT_DRAIN_MS		50
#define AUDIT_BATCH_MAX		4096	/* entries between two looks at other events */
#define AUDIT_FEEDS_MAX		8	/* workers that write at the same time */
#define AUDIT_JOBS_MAX		8	/* searches that run at the same time */

struct audit;

struct audit_config {
	bool		database, journal;
	char		file[PATH_MAX];		/* empty: none */
	char		directory[PATH_MAX];	/* of the database */
	uint32_t	ring_records;
	uint64_t	size_max;
	uint32_t	keep_days;		/* 0: as long as there is room */
};

struct audit_callbacks {
	/* The realm of @container, into @realm; leaves it where there is none. */
	void	(*realm)(void *context, const uint8_t container[AUDIT_ID_LEN],
			 char realm[AUDIT_REALM_MAX]);
	/* The writer of @feed is not to be trusted. */
	void	(*accuse)(void *context, const void *feed, const char *why);
	void	*context;
};

struct audit_status {
	uint64_t	written;		/* entries, by all sinks that are on */
	uint64_t	lost_database, lost_journal, lost_file, refused;
	uint64_t	size;			/* of the database */
	int64_t		first, last;		/* entries in it */
};

/* NULL with words in @fault. */
struct audit *audit_create(sd_event *event, const struct audit_config *config,
			   const struct audit_callbacks *callbacks, char *fault, size_t fault_size);
void audit_destroy(struct audit *audit);

/* Size, age, journal and file as in @config from now on; the file is opened anew. */
void audit_reconfigure(struct audit *audit, const struct audit_config *config);

/* As supervise_callbacks has them. */
int audit_attach(struct audit *audit, struct ipc_audit *message, int fds[2], void **out);
void audit_detach(struct audit *audit, void *which);

/*
 * A feed from one control process to the next: audit_feed_get() leaves the
 * descriptors where they are, audit_feed_set() takes them over. 0 or a negative errno.
 */
struct audit_feed {
	int		memory, wake;
	unsigned int	rings;
	uint32_t	records;
	uint64_t	positions[AUDIT_RINGS_MAX];
};
void audit_feed_get(const void *which, struct audit_feed *out);
int audit_feed_set(struct audit *audit, const struct audit_feed *from, void **out);

/* An entry of control's own: kind, time and realm are filled in here. */
void audit_change(struct audit *audit, struct audit_entry *entry);

/* Takes what the rings have now. */
void audit_drain(struct audit *audit);

void audit_status(struct audit *audit, struct audit_status *status);

/* The database; NULL where it is off. */
struct audit_store *audit_database(struct audit *audit);
sd_event *audit_event(struct audit *audit);

/* Those that run, search.c's. */
struct audit_searches {
	struct audit_search	*running[AUDIT_JOBS_MAX];
};
struct audit_searches *audit_searches(struct audit *audit);

#endif /* HOODY_AUDIT_AUDIT_H */
