// SPDX-License-Identifier: Apache-2.0
/*
 * The log, see log.h. A line is formatted on the stack, escaped into a second
 * buffer and written by one write(2): lines of threads and of both processes
 * never mix, because a pipe keeps writes below PIPE_BUF (4096) whole.
 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *log_name = "hoody-agent";
static bool log_journal;
static enum log_level log_threshold = LOG_LEVEL_INFO;

/* JOURNAL_STREAM is "device:inode" of the stream that journald reads. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *name, enum log_format format)
{
	struct tm tm;
	time_t now = time(NULL);

	log_name = name;
	log_journal = format == LOG_FORMAT_JOURNAL ||
		      (format == LOG_FORMAT_AUTO && stderr_is_journal());
	/* The first call of this family opens the time zone file. */
	gmtime_r(&now, &tm);
}

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}

static size_t log_prefix(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;

	if (log_journal)
		return snprintf(line, size, "<%d>", level);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	return snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%d] %s: ",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec, now.tv_nsec / 1000000, log_name, (int)getpid(),
			level_name(level));
}

void log_write(enum log_level level, const char *format, ...)
{
	static const char digits[] = "0123456789abcdef";
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	int kept_errno = errno;
	va_list args;
	ssize_t written;
	size_t used;

	if (level > log_threshold)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	used = log_prefix(line, sizeof(line), level);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (used + 5 >= sizeof(line))
			break;
		if (*c >= 0x20 && *c != 0x7f) {
			line[used++] = (char)*c;
			continue;
		}
		line[used++] = '\\';
		line[used++] = 'x';
		line[used++] = digits[*c >> 4];
		line[used++] = digits[*c & 15];
	}
	line[used++] = '\n';
	/* A log that cannot be written must not stop the service. */
	written = write(STDERR_FILENO, line, used);
	(void)written;
	errno = kept_errno;
}
