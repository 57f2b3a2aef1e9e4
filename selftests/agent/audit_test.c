// SPDX-License-Identifier: Apache-2.0
/*
 * The ring of audit records and what is done with a record: order, room, waking,
 * a writer that lies about its position or its text, masking of queries, times,
 * percentiles.
 */
#include "audit/search.h"
#include "lib/audit_ring.h"
#include "lib/image.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORDS	AUDIT_RECORDS_MIN
#define MANY	500000u

static int wake;

static void give_up(const char *why)
{
	printf("Bail out! %s: %s\n", why, strerror(errno));
	exit(1);
}

static struct audit_record good(void)
{
	struct audit_record record = { .client_family = AF_INET, .status = 200 };

	strcpy(record.method, "GET");
	strcpy(record.path, "/");
	strcpy(record.outcome, "complete");
	return record;
}

static void open_pair(struct audit_ring *writer, struct audit_ring *reader)
{
	int fd = audit_ring_create(1, RECORDS);

	if (fd < 0 || audit_ring_map(fd, writer, 1, RECORDS, wake) ||
	    audit_ring_map(fd, reader, 1, RECORDS, wake))
		give_up("no ring");
	close(fd);
}

static bool woken(void)
{
	uint64_t count;

	return read(wake, &count, sizeof(count)) == sizeof(count);
}

static void test_order(void)
{
	struct audit_ring writer, reader;
	struct audit_record record = good(), got;
	unsigned int i, in_order = 0;

	open_pair(&writer, &reader);
	tap_ok(audit_ring_pop(&reader, &got) == 0, "ring_is_empty_at_first");
	for (i = 0; i < RECORDS; i++) {
		record.bytes_in = i;
		if (!audit_ring_push(&writer, &record))
			break;
	}
	tap_ok(i == RECORDS, "ring_holds_what_it_is_made_for");
	tap_ok(!audit_ring_push(&writer, &record), "ring_refuses_what_it_has_no_room_for");
	for (i = 0; audit_ring_pop(&reader, &got) == 1; i++)
		in_order += got.bytes_in == i;
	tap_ok(i == RECORDS && in_order == RECORDS, "ring_gives_all_in_order");
	tap_ok(audit_ring_push(&writer, &record) && audit_ring_pop(&reader, &got) == 1,
	       "ring_has_room_again");
	tap_ok(!woken(), "nobody_is_woken_who_does_not_sleep");
	tap_ok(!audit_ring_arm(&reader), "arming_an_empty_ring");
	audit_ring_push(&writer, &record);
	tap_ok(woken(), "a_record_wakes_who_sleeps");
	audit_ring_push(&writer, &record);
	tap_ok(!woken(), "the_next_one_does_not");
	tap_ok(audit_ring_arm(&reader), "arming_tells_of_records_that_wait");
	audit_ring_unmap(&writer, 1);
	audit_ring_unmap(&reader, 1);
}

static void *write_many(void *context)
{
	struct audit_ring *writer = context;
	struct audit_record record = good();

	for (unsigned int i = 0; i < MANY; i++) {
		record.bytes_in = record.bytes_out = i;
		while (!audit_ring_push(writer, &record))
			sched_yield();
	}
	return NULL;
}

static void test_threads(void)
{
	struct audit_ring writer, reader;
	struct audit_record got;
	unsigned int next = 0, wrong = 0;
	pthread_t thread;

	open_pair(&writer, &reader);
	pthread_create(&thread, NULL, write_many, &writer);
	while (next < MANY) {
		int ret = audit_ring_pop(&reader, &got);

		if (ret < 0)
			break;
		if (!ret) {
			sched_yield();
			continue;
		}
		wrong += got.bytes_in != next || got.bytes_out != next;
		next++;
	}
	pthread_join(thread, NULL);
	tap_ok(next == MANY && !wrong, "two_threads_neither_lose_nor_mix");
	audit_ring_unmap(&writer, 1);
	audit_ring_unmap(&reader, 1);
}

static void test_hostile(void)
{
	static const uint64_t lies[] = { RECORDS + 1, UINT64_MAX, 1ull << 63 };
	struct audit_ring writer, reader;
	struct audit_record record, got;
	unsigned int refused = 0;
	int fd;

	for (unsigned int i = 0; i < 3; i++) {
		open_pair(&writer, &reader);
		writer.shared->head = lies[i];
		refused += audit_ring_pop(&reader, &got) == -EBADMSG;
		audit_ring_unmap(&writer, 1);
		audit_ring_unmap(&reader, 1);
	}
	tap_ok(refused == 3, "position_beyond_the_ring_is_refused");
	open_pair(&writer, &reader);
	writer.shared->tail = 12345;
	tap_ok(audit_ring_pop(&reader, &got) == 0, "readers_position_is_its_own");
	audit_ring_unmap(&writer, 1);
	audit_ring_unmap(&reader, 1);

	record = good();
	tap_ok(audit_record_valid(&record), "good_record_is_valid");
	record.flags = 0x80;
	tap_ok(!audit_record_valid(&record), "unknown_flag_is_refused");
	record = good();
	record.client_family = AF_UNIX;
	tap_ok(!audit_record_valid(&record), "unknown_family_is_refused");
	record = good();
	record.status = 1000;
	tap_ok(!audit_record_valid(&record), "status_1000_is_refused");
	record = good();
	memset(record.path, 'x', sizeof(record.path));
	tap_ok(!audit_record_valid(&record), "text_without_end_is_refused");
	record = good();
	strcpy(record.group, "a\nb");
	tap_ok(!audit_record_valid(&record), "line_end_in_text_is_refused");

	fd = memfd_create("unsealed", MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, 192 + RECORDS * 512))
		give_up("no memfd");
	tap_ok(audit_ring_map(fd, &reader, 1, RECORDS, wake) == -EBADMSG, "unsealed_memory_is_refused");
	close(fd);
	fd = audit_ring_create(1, RECORDS);
	tap_ok(audit_ring_map(fd, &reader, 2, RECORDS, wake) == -EBADMSG &&
		       audit_ring_map(fd, &reader, 1, 2 * RECORDS, wake) == -EBADMSG &&
		       audit_ring_map(fd, &reader, 1, RECORDS - 1, wake) == -EBADMSG &&
		       audit_ring_map(fd, &reader, 0, RECORDS, wake) == -EBADMSG,
	       "memory_of_another_size_is_refused");
	close(fd);
}

static void test_path(void)
{
	static const struct {
		const char	*target;
		uint32_t	query;
		const char	*wanted;
	} cases[] = {
		{ "/a", IMAGE_AUDIT_NAMES, "/a" },
		{ "/a?b=c", IMAGE_AUDIT_NAMES, "/a?b=*" },
		{ "/a?b=c&d=e&f", IMAGE_AUDIT_NAMES, "/a?b=*&d=*&f" },
		{ "/a?b=c=d&e=", IMAGE_AUDIT_NAMES, "/a?b=*&e=*" },
		{ "/a=b?c=d?e=f", IMAGE_AUDIT_NAMES, "/a=b?c=*" },
		{ "/a?", IMAGE_AUDIT_NAMES, "/a?" },
		{ "/a?b=c", IMAGE_AUDIT_DROP, "/a" },
		{ "/a?b=c", IMAGE_AUDIT_KEEP, "/a?b=c" },
		{ "/a\n\x1b\x80", IMAGE_AUDIT_KEEP, "/a???" },
		{ "", IMAGE_AUDIT_NAMES, "" },
	};
	char out[AUDIT_PATH_MAX], longer[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool cut = audit_record_path(cases[i].target, strlen(cases[i].target),
					     cases[i].query, out);

		tap_ok(!cut && !strcmp(out, cases[i].wanted), "path_%zu_is_recorded_as_it_should", i);
	}
	memset(longer, 'x', sizeof(longer));
	tap_ok(audit_record_path(longer, sizeof(longer), IMAGE_AUDIT_KEEP, out) &&
		       strlen(out) < AUDIT_PATH_MAX && strlen(out) > 240,
	       "long_path_is_cut");
}

static void test_times(void)
{
	static const char *const bad[] = { "", "now", "2026", "2026-13-01", "2026-01-31T12:00:00",
					   "2026-01-31T12:00:00Zx", "2026-01-31T12:00:00+01:00" };
	char text[AUDIT_TIME_MAX];
	unsigned int refused = 0;
	uint64_t time_us;

	/* "2026" is seconds since 1970, and fine. */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused += audit_time_parse(bad[i], &time_us) == -EINVAL;
	tap_ok(refused == 6, "times_that_are_none");
	tap_ok(!audit_time_parse("2026-01-31T12:34:56.789012Z", &time_us) &&
		       (audit_time_format(time_us, text), !strcmp(text, "2026-01-31T12:34:56.789012Z")),
	       "time_is_written_as_it_is_read");
	tap_ok(!audit_time_parse("1970-01-02", &time_us) && time_us == 86400000000ull, "date_alone");
}

static void test_percentiles(void)
{
	struct audit_stats *stats = calloc(1, sizeof(*stats));
	struct audit_entry entry = { .kind = AUDIT_EXCHANGE, .record = good() };
	uint64_t p50, p99;

	if (!stats)
		give_up("no memory");
	tap_ok(audit_histogram_percentile(&stats->total, 50) == 0, "percentile_of_nothing");
	for (uint32_t i = 1; i <= 10000; i++) {
		entry.record.total_us = i;
		audit_stats_add(stats, &entry);
	}
	p50 = audit_histogram_percentile(&stats->total, 50);
	p99 = audit_histogram_percentile(&stats->total, 99);
	tap_ok(p50 >= 5000 && p50 <= 5320 && p99 >= 9900 && p99 <= 10000, "percentiles_within_6_percent");
	entry.record.total_us = UINT32_MAX;
	audit_stats_add(stats, &entry);
	tap_ok(stats->total.max == UINT32_MAX &&
		       audit_histogram_percentile(&stats->total, 100) == UINT32_MAX, "largest_time_is_kept");
	for (unsigned int i = 0; i < 5000; i++) {
		memcpy(entry.record.client, &i, sizeof(i));
		audit_stats_add(stats, &entry);
	}
	tap_ok(stats->clients_other > 0 && stats->total.count == 15001, "clients_beyond_the_table_are_counted");
	free(stats);
}

int main(void)
{
	wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	tap_plan(39);
	test_order();
	test_threads();
	test_hostile();
	test_path();
	test_times();
	test_percentiles();
	return tap_done();
}
