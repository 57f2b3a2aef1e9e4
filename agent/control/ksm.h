/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory merging: which containers take part, what it brings each, and at what
 * pace the kernel's scanner may work.
 *
 *	ksm_feature.c	the wishes, from the database, kept equal to the module's marks
 *	ksm_json.c	a wish as JSON
 *	ksm_host.c	the scanner: its settings, and what it has found
 *	api_ksm.c	the calls
 *
 * What the kernel merges it merges for the whole host, so containers of one
 * domain only may take part at a time: see docs/ksm.md.
 */
#ifndef HOODY_CONTROL_KSM_H
#define HOODY_CONTROL_KSM_H

#include "control/control.h"
#include "kernel/genl_ksm.h"

#include <yyjson.h>

#define KSM_PAGE	4096
/* Ticks in a row after which a container that loses memory is taken out. */
#define KSM_LOSS_TICKS	6
/* For how long: doubled each time. */
#define KSM_PAUSE_MIN_S	3600
#define KSM_PAUSE_MAX_S	86400

/* struct ksm_entry - a container that is to take part, or whose mark is being undone. */
struct ksm_entry {
	uint8_t		id[ID_LEN];
	bool		on;		/* asked for; stored */
	unsigned int	names_count;	/* stored */
	char		names[HOODY_KSM_NAMES_MAX][KNL_KSM_NAME_MAX];
	/* What the module says; state 0: it knows nothing of the container. */
	struct knl_ksm	kernel;
	char		refusal[200];	/* the module's words; "": none */
	uint64_t	judged_from;	/* full scans from which on its gain counts; 0: not marked */
	unsigned int	losses;		/* ticks in a row with less than nothing gained */
	unsigned int	pauses;
	uint64_t	paused_until;	/* seconds of CLOCK_MONOTONIC, 0: not paused */
};

/* What the scanner has found, for the whole host; pages. */
struct ksm_host {
	bool		available;	/* the kernel has it */
	bool		engaged;	/* its settings are ours */
	uint64_t	pages_shared, pages_sharing, zero_pages, full_scans;
	uint64_t	pages_to_scan;
	double		cpu_percent;	/* of one processor, since the last tick */
	double		cpu_seconds;	/* since it was engaged */
	char		fault[160];
};

struct ksm_gain {
	uint64_t	saved;		/* bytes, zero pages apart */
	uint64_t	zero;
	uint64_t	metadata;
	int64_t		net;		/* @saved - @metadata */
};

/* struct ksm - control->ksm */
struct ksm {
	struct ksm_entry	*entries;	/* sorted by id */
	size_t			count, room;
	struct ksm_host		host;
	struct ksm_governor	*governor;
	sd_event_source		*soon;		/* a tick ahead of time */
	bool			asked;		/* the module has answered the last tick */
};

/* ksm_feature.c */
struct ksm_entry *ksm_find(const struct ksm *ksm, const uint8_t id[ID_LEN]);
/*
 * ksm_store(): @wanted (id, on, names) is stored and takes hold within a moment. 0;
 * -EBUSY with @fault: a container of another domain takes part; or what
 * db_put_document() says.
 */
int ksm_store(struct control *control, const struct ksm_entry *wanted, char *fault,
	      size_t fault_size);
/* Reads anew what the module and the scanner say. Entries may come, none goes. */
void ksm_refresh(struct control *control);
void ksm_gain_of(const struct ksm_host *host, const struct ksm_entry *entry,
		 struct ksm_gain *gain);
/*
 * A tick's look at what a container gains, @now in seconds: true where it has lost
 * memory for long enough and is taken out from now on (@entry->paused_until).
 */
bool ksm_judge(const struct ksm_host *host, struct ksm_entry *entry, uint64_t now);
/* A word for people and programs, and in @reason what to do about it ("" for nothing). */
const char *ksm_state_of(const struct control *control, const struct ksm_entry *entry,
			 char *reason, size_t reason_size);
/* ksm_json.c */
/* The document that is stored, from malloc(), or NULL. */
char *ksm_entry_format(const struct ksm_entry *entry);
/* 0, or -EINVAL with the field and what is wrong with it. */
int ksm_entry_parse(yyjson_val *body, struct ksm_entry *entry, const char **field,
		    const char **message);

/* ksm_host.c */
/* What the scanner has found so far. */
void ksm_host_read(struct ksm_host *host);
struct ksm_governor *ksm_governor_create(const char *directory);
/*
 * One step: takes the scanner over where @active, sets its pace for @budget
 * percent of a processor, and gives the host's own settings back where not.
 */
void ksm_governor_step(struct ksm_governor *governor, bool active, unsigned int budget,
		       struct ksm_host *host);
/* Gives the host's settings back. */
void ksm_governor_destroy(struct ksm_governor *governor);

#endif /* HOODY_CONTROL_KSM_H */
