// SPDX-License-Identifier: Apache-2.0
/*
 * Reading SQLite's write-ahead log before SQLite does, see db_internal.h.
 *
 * SQLite takes the first frame whose checksum is wrong for the end of the log: right
 * for a crash in the middle of the last transaction, and a silent loss of everything
 * behind it where a frame in the middle was damaged. The two are told apart here: a
 * crash leaves at most one commit behind the end, since each is synced before the next
 * begins. The format is https://sqlite.org/fileformat2.html, section 4.
 */
#include "control/db_internal.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAGIC		0x377f0682	/* and one more where checksums are big-endian */
#define LOG_HEADER		32
#define FRAME_HEADER		24
#define PAGE_MIN		512
#define PAGE_MAX		65536

struct scan {
	uint8_t		header[LOG_HEADER];
	uint8_t		frame[FRAME_HEADER + PAGE_MAX];
	size_t		page_size;
	bool		big_endian;
};

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static void add_checksum(const struct scan *scan, const uint8_t *bytes, size_t len, uint32_t sum[2])
{
	for (size_t i = 0; i < len; i += 8) {
		uint32_t pair[2];

		memcpy(pair, bytes + i, sizeof(pair));
		sum[0] += (scan->big_endian ? be32toh(pair[0]) : le32toh(pair[0])) + sum[1];
		sum[1] += (scan->big_endian ? be32toh(pair[1]) : le32toh(pair[1])) + sum[0];
	}
}

static void stored_checksum(const uint8_t *at, uint32_t sum[2])
{
	sum[0] = word(at);
	sum[1] = word(at + 4);
}

/* Whether the header is whole; fills @scan from it, and @sum with its checksum. */
static bool take_header(struct scan *scan, uint32_t sum[2])
{
	uint32_t stored[2], magic = word(scan->header);

	scan->big_endian = magic & 1;
	scan->page_size = word(scan->header + 8);
	sum[0] = sum[1] = 0;
	add_checksum(scan, scan->header, 24, sum);
	stored_checksum(scan->header + 24, stored);
	return (magic & ~1u) == LOG_MAGIC && scan->page_size >= PAGE_MIN &&
	       scan->page_size <= PAGE_MAX && !(scan->page_size & (scan->page_size - 1)) &&
	       !memcmp(sum, stored, sizeof(stored));
}

/* Whether the frame follows one with the checksum @sum, which becomes its own. */
static bool follows(const struct scan *scan, uint32_t sum[2])
{
	uint32_t stored[2], computed[2] = { sum[0], sum[1] };

	add_checksum(scan, scan->frame, 8, computed);
	add_checksum(scan, scan->frame + FRAME_HEADER, scan->page_size, computed);
	stored_checksum(scan->frame + 16, stored);
	memcpy(sum, stored, sizeof(stored));
	return !memcmp(computed, stored, sizeof(stored)) &&
	       !memcmp(scan->frame + 8, scan->header + 16, 8);
}

static void read_frames(FILE *file, struct scan *scan, uint32_t sum[2], struct db_log *log)
{
	const size_t size = FRAME_HEADER + scan->page_size;
	unsigned int run = 0;
	bool ended = false;

	while (fread(scan->frame, 1, size, file) == size) {
		const bool whole = follows(scan, sum), commit = word(scan->frame + 4) != 0;

		if (!ended && whole) {
			log->frames++;
			continue;
		}
		/* Behind the end: commits in a row, each of which follows the one before. */
		run = (whole && ended ? run : 0) +
		      (commit && !memcmp(scan->frame + 8, scan->header + 16, 8));
		ended = true;
		if (run > log->behind)
			log->behind = run;
	}
}

int db_log_read(const char *directory, struct db_log *log)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	char path[PATH_MAX];
	FILE *file = NULL;
	uint32_t sum[2];
	size_t got;
	int ret = 0;

	memset(log, 0, sizeof(*log));
	snprintf(path, sizeof(path), "%s/" DB_FILE "-wal", directory);
	if (scan)
		file = fopen(path, "re");
	if (!file) {
		ret = !scan ? -ENOMEM : errno == ENOENT ? 0 : -errno;
		goto out;
	}
	got = fread(scan->header, 1, LOG_HEADER, file);
	if (got < LOG_HEADER)
		goto out;
	if (take_header(scan, sum)) {
		snprintf(log->name, sizeof(log->name), "%08x%08x", word(scan->header + 16),
			 word(scan->header + 20));
		read_frames(file, scan, sum, log);
		log->damaged = log->behind > 1;
	} else {
		/* It is synced before the first frame is written. */
		log->damaged = fgetc(file) != EOF;
	}
	if (ferror(file))
		ret = -EIO;
out:
	if (file)
		fclose(file);
	free(scan);
	return ret;
}
