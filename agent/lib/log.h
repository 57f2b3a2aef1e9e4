/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line to standard error for each event, key=value style.
 *
 * Where journald listens on standard error (JOURNAL_STREAM) a line starts with
 * its syslog priority in angle brackets, see sd-daemon(3); elsewhere with time,
 * name and level. Control characters are escaped, so that nothing that came
 * from a peer can forge a line, and a line never exceeds LOG_LINE_MAX.
 *
 * The one piece of process-wide state: set by log_init() before threads start.
 */
#ifndef HOODY_LIB_LOG_H
#define HOODY_LIB_LOG_H

#define LOG_LINE_MAX	2048

enum log_format {
	LOG_FORMAT_AUTO,	/* journal where JOURNAL_STREAM names standard error */
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JOURNAL,
};

/* Values are those of syslog(3). */
enum log_level {
	LOG_LEVEL_ERROR		= 3,
	LOG_LEVEL_WARNING	= 4,
	LOG_LEVEL_INFO		= 6,
	LOG_LEVEL_DEBUG		= 7,
};

/*
 * log_init(): @name ("control", "worker") is not copied. Call it before a
 * sandbox closes: it makes the C library load what it needs for the time.
 * The level starts at LOG_LEVEL_INFO.
 */
void log_init(const char *name, enum log_format format);
void log_set_level(enum log_level level);

/* Thread-safe, one write(2), errno is kept, no memory is allocated. */
__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *format, ...);

#define log_error(...)		log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...)	log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)		log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)		log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif /* HOODY_LIB_LOG_H */
