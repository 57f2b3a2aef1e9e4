// SPDX-License-Identifier: Apache-2.0
/* Collecting and handing out entries, see audit.h. */
#include "audit/search.h"
#include "audit/sink.h"
#include "lib/log.h"
#include "lib/wall.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TRIM_INTERVAL_US	(10 * 1000000ull)
#define TRIM_ENTRIES		2000	/* of one turn */
#define DAY_US			(86400 * 1000000ull)
#define COMPLAIN_US		(10 * 1000000ull)

struct feed {
	struct audit		*audit;		/* NULL: the slot is free */
	struct audit_ring	rings[AUDIT_RINGS_MAX];
	unsigned int		count;
	int			wake;
	int			memory;		/* the rings' memfd, for the next control */
	sd_event_source		*io;
	bool			broken;
};

struct audit {
	sd_event		*event;
	struct audit_config	config;
	struct audit_callbacks	callbacks;
	struct audit_store	*store;
	int			file;		/* -1: none */
	struct feed		feeds[AUDIT_FEEDS_MAX];
	sd_event_source		*timer, *trim;
	struct audit_status	status;
	struct audit_searches	searches;
	bool			batch;		/* a transaction is open */
	uint64_t		complained_us;
	struct wall		wall;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A sink that fails does so for every entry: one line in ten seconds. */
static void complain(struct audit *audit, const char *sink, const char *why)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC);

	if (audit->complained_us && now - audit->complained_us < COMPLAIN_US)
		return;
	audit->complained_us = now;
	log_error("audit entries are lost: sink=%s error=\"%s\"", sink, why);
}

static void batch_begin(struct audit *audit)
{
	audit->batch = audit->store && !audit_store_begin(audit->store);
}

static void batch_end(struct audit *audit, uint64_t put)
{
	if (audit->batch && audit_store_commit(audit->store)) {
		complain(audit, "database", audit_store_fault(audit->store));
		audit->status.lost_database += put;
	}
	audit->batch = false;
}

/* Into all sinks; the number of rows that the open batch has got by it. */
static unsigned int hand_out(struct audit *audit, struct audit_entry *entry)
{
	unsigned int put = 0;
	int ret;

	if (audit->batch && !audit_store_put(audit->store, entry)) {
		put = 1;
	} else if (audit->store) {
		audit->status.lost_database++;
		complain(audit, "database", audit_store_fault(audit->store));
	}
	if (audit->file >= 0) {
		ret = audit_sink_file(audit->file, entry);
		if (ret) {
			audit->status.lost_file++;
			complain(audit, "file", strerror(-ret));
		}
	}
	if (audit->config.journal) {
		ret = audit_sink_journal(entry);
		if (ret) {
			audit->status.lost_journal++;
			complain(audit, "journal", strerror(-ret));
		}
	}
	audit->status.written++;
	return put;
}

static void add_realm(struct audit *audit, struct audit_entry *entry)
{
	if (audit->callbacks.realm)
		audit->callbacks.realm(audit->callbacks.context, entry->record.container,
				       entry->realm);
}

/* Up to @most entries of @ring; how many there were. */
static unsigned int drain_ring(struct audit *audit, struct feed *feed, struct audit_ring *ring,
			       unsigned int most, uint64_t *put)
{
	struct audit_entry entry = { .kind = AUDIT_EXCHANGE };
	unsigned int taken = 0;
	int ret = 0;

	while (taken < most && (ret = audit_ring_pop(ring, &entry.record)) > 0) {
		taken++;
		if (!audit_record_valid(&entry.record)) {
			audit->status.refused++;
			ret = -EBADMSG;
			break;
		}
		entry.id = 0;
		entry.realm[0] = '\0';
		add_realm(audit, &entry);
		*put += hand_out(audit, &entry);
	}
	if (ret < 0) {
		feed->broken = true;
		audit->callbacks.accuse(audit->callbacks.context, feed,
					"its audit records are malformed");
	}
	return taken;
}

static unsigned int drain_feed(struct audit *audit, struct feed *feed, unsigned int most,
			       uint64_t *put)
{
	unsigned int taken = 0;

	for (unsigned int i = 0; i < feed->count && taken < most && !feed->broken; i++)
		taken += drain_ring(audit, feed, &feed->rings[i], most - taken, put);
	return taken;
}

/* One batch; how many entries it had. */
static unsigned int drain(struct audit *audit)
{
	unsigned int taken = 0;
	uint64_t put = 0;

	batch_begin(audit);
	for (int i = 0; i < AUDIT_FEEDS_MAX && taken < AUDIT_BATCH_MAX; i++) {
		if (audit->feeds[i].audit)
			taken += drain_feed(audit, &audit->feeds[i], AUDIT_BATCH_MAX - taken, &put);
	}
	batch_end(audit, put);
	return taken;
}

void audit_drain(struct audit *audit)
{
	/* Bounded: workers may fill as fast as this empties. */
	for (int i = 0; i < 4 && drain(audit) == AUDIT_BATCH_MAX; i++)
		continue;
}

static void schedule(struct audit *audit, uint64_t ms)
{
	sd_event_source_set_time_relative(audit->timer, ms * 1000);
	sd_event_source_set_enabled(audit->timer, SD_EVENT_ONESHOT);
}

/* True where all rings are empty and will wake us. */
static bool arm_all(struct audit *audit)
{
	bool more = false;

	for (int i = 0; i < AUDIT_FEEDS_MAX; i++) {
		struct feed *feed = &audit->feeds[i];

		for (unsigned int k = 0; feed->audit && !feed->broken && k < feed->count; k++)
			more |= audit_ring_arm(&feed->rings[k]);
	}
	return !more;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct audit *audit = context;
	unsigned int taken = drain(audit);

	if (taken == AUDIT_BATCH_MAX)
		schedule(audit, 0);
	else if (taken || !arm_all(audit))
		schedule(audit, AUDIT_DRAIN_MS);
	return 0;
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct feed *feed = context;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == sizeof(count))
		schedule(feed->audit, AUDIT_DRAIN_MS);
	return 0;
}

static struct feed *free_feed(struct audit *audit)
{
	for (int i = 0; i < AUDIT_FEEDS_MAX; i++) {
		if (audit->feeds[i].audit)
			continue;
		memset(&audit->feeds[i], 0, sizeof(audit->feeds[i]));
		return &audit->feeds[i];
	}
	return NULL;
}

int audit_attach(struct audit *audit, struct ipc_audit *message, int fds[2], void **out)
{
	struct feed *feed = free_feed(audit);
	int ret;

	if (!feed || message->rings > AUDIT_RINGS_MAX)
		return -ENOSPC;
	message->records = audit->config.ring_records;
	fds[0] = audit_ring_create(message->rings, message->records);
	if (fds[0] < 0)
		return fds[0];
	feed->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = feed->wake < 0 ? -errno : 0;
	fds[1] = feed->wake < 0 ? -1 : dup(feed->wake);
	feed->memory = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (!ret && (fds[1] < 0 || feed->memory < 0))
		ret = -errno;
	if (!ret)
		ret = audit_ring_map(fds[0], feed->rings, message->rings, message->records,
				     feed->wake);
	if (!ret && sd_event_add_io(audit->event, &feed->io, feed->wake, EPOLLIN, on_wake, feed) < 0)
		ret = -ENOMEM;
	if (ret)
		goto err_undo;
	feed->count = message->rings;
	feed->audit = audit;
	for (unsigned int i = 0; i < feed->count; i++)
		audit_ring_arm(&feed->rings[i]);
	*out = feed;
	return 0;

err_undo:
	log_error("a worker has no audit ring: error=\"%s\"", strerror(-ret));
	audit_ring_unmap(feed->rings, message->rings);
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	if (feed->wake >= 0)
		close(feed->wake);
	if (feed->memory >= 0)
		close(feed->memory);
	return ret;
}

void audit_feed_get(const void *which, struct audit_feed *out)
{
	const struct feed *feed = which;

	*out = (struct audit_feed){ .memory = feed->memory, .wake = feed->wake,
				    .rings = feed->count, .records = feed->rings[0].records };
	for (unsigned int i = 0; i < feed->count; i++)
		out->positions[i] = feed->rings[i].position;
}

int audit_feed_set(struct audit *audit, const struct audit_feed *from, void **out)
{
	struct feed *feed = free_feed(audit);
	int ret = feed ? audit_ring_map(from->memory, feed->rings, from->rings, from->records,
					from->wake) : -ENOSPC;

	if (ret)
		return ret;
	if (sd_event_add_io(audit->event, &feed->io, from->wake, EPOLLIN, on_wake, feed) < 0) {
		audit_ring_unmap(feed->rings, from->rings);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < from->rings; i++) {
		feed->rings[i].position = from->positions[i];
		feed->rings[i].seen = from->positions[i];
	}
	feed->wake = from->wake;
	feed->memory = from->memory;
	feed->count = from->rings;
	feed->audit = audit;
	*out = feed;
	/* Whether they sleep is not known: they are looked at. */
	schedule(audit, 0);
	return 0;
}

void audit_detach(struct audit *audit, void *which)
{
	struct feed *feed = which;

	/* The worker has ended: what it left is at most what its rings hold. */
	for (unsigned int i = 0; i < feed->count && !feed->broken; i++) {
		uint64_t put = 0;

		batch_begin(audit);
		drain_ring(audit, feed, &feed->rings[i], feed->rings[i].records, &put);
		batch_end(audit, put);
	}
	sd_event_source_disable_unref(feed->io);
	audit_ring_unmap(feed->rings, feed->count);
	close(feed->wake);
	close(feed->memory);
	memset(feed, 0, sizeof(*feed));
}

void audit_change(struct audit *audit, struct audit_entry *entry)
{
	unsigned int put;

	entry->kind = AUDIT_CHANGE;
	entry->record.time_us = clock_us(CLOCK_REALTIME);
	if (!entry->realm[0])
		add_realm(audit, entry);
	batch_begin(audit);
	put = hand_out(audit, entry);
	batch_end(audit, put);
}

static int on_trim(sd_event_source *source, uint64_t usec, void *context)
{
	struct audit *audit = context;
	const struct audit_config *config = &audit->config;
	uint64_t now = clock_us(CLOCK_REALTIME), age = config->keep_days * DAY_US;
	uint64_t next = TRIM_INTERVAL_US;
	int gone = 0;

	if (wall_ask(&audit->wall) && age && age < now)
		gone = audit_store_trim(audit->store, now - age, TRIM_ENTRIES);
	if (gone >= 0 && audit_store_size(audit->store) > config->size_max)
		gone = audit_store_trim(audit->store, 0, TRIM_ENTRIES);
	if (gone < 0)
		complain(audit, "database", audit_store_fault(audit->store));
	else if (gone >= TRIM_ENTRIES)
		next = AUDIT_DRAIN_MS * 1000;
	sd_event_source_set_time_relative(source, next);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static void open_file(struct audit *audit)
{
	if (audit->file >= 0)
		close(audit->file);
	audit->file = -1;
	if (!audit->config.file[0])
		return;
	audit->file = audit_sink_open(audit->config.file);
	if (audit->file < 0)
		log_error("[audit] file: %s cannot be opened: %s", audit->config.file,
			  strerror(-audit->file));
}

void audit_reconfigure(struct audit *audit, const struct audit_config *config)
{
	audit->config.journal = config->journal;
	audit->config.size_max = config->size_max;
	audit->config.keep_days = config->keep_days;
	memcpy(audit->config.file, config->file, sizeof(config->file));
	open_file(audit);
}

struct audit *audit_create(sd_event *event, const struct audit_config *config,
			   const struct audit_callbacks *callbacks, char *fault, size_t fault_size)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	snprintf(fault, fault_size, "audit: out of memory");
	if (!audit)
		return NULL;
	audit->event = sd_event_ref(event);
	audit->config = *config;
	audit->callbacks = *callbacks;
	audit->file = -1;
	wall_ask(&audit->wall);
	if (config->database) {
		audit->store = audit_store_open(config->directory, fault, fault_size);
		if (!audit->store)
			goto err_destroy;
	}
	open_file(audit);
	if (config->file[0] && audit->file < 0) {
		snprintf(fault, fault_size, "[audit] file: %s cannot be opened: %s", config->file,
			 strerror(-audit->file));
		goto err_destroy;
	}
	if (sd_event_add_time_relative(event, &audit->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
				       audit) < 0 ||
	    (audit->store && sd_event_add_time_relative(event, &audit->trim, CLOCK_MONOTONIC,
							TRIM_INTERVAL_US, 100000, on_trim,
							audit) < 0))
		goto err_destroy;
	return audit;

err_destroy:
	audit_destroy(audit);
	return NULL;
}

void audit_destroy(struct audit *audit)
{
	if (!audit)
		return;
	audit_search_forget(audit);
	for (int i = 0; i < AUDIT_FEEDS_MAX; i++) {
		if (audit->feeds[i].audit)
			audit_detach(audit, &audit->feeds[i]);
	}
	sd_event_source_disable_unref(audit->timer);
	sd_event_source_disable_unref(audit->trim);
	if (audit->file >= 0)
		close(audit->file);
	audit_store_close(audit->store);
	sd_event_unref(audit->event);
	free(audit);
}

void audit_status(struct audit *audit, struct audit_status *status)
{
	*status = audit->status;
	if (!audit->store)
		return;
	status->size = audit_store_size(audit->store);
	audit_store_range(audit->store, &status->first, &status->last);
}

struct audit_store *audit_database(struct audit *audit)
{
	return audit->store;
}

struct audit_searches *audit_searches(struct audit *audit)
{
	return &audit->searches;
}

sd_event *audit_event(struct audit *audit)
{
	return audit->event;
}
