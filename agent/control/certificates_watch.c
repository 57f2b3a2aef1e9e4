// SPDX-License-Identifier: Apache-2.0
/*
 * When certificates are read again: what changes in their directories is told by
 * inotify(7). The directories are watched and not the files, because a file is
 * mostly replaced by renaming another one onto it. Changes that come together
 * are read once, a moment after the first.
 */
#include "control/certificates_internal.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SETTLE_US	300000
#define WATCH_EVENTS	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB)

static int on_settled(sd_event_source *source, uint64_t usec, void *context)
{
	struct certificates *certificates = context;
	bool changed = certificates_scan_node(certificates);

	certificates->settle = sd_event_source_disable_unref(certificates->settle);
	if (!(certificates_scan(certificates) | changed))
		return 0;
	certificates->reloads++;
	certificates_push(certificates->control);
	return 0;
}

static int on_watch(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct certificates *certificates = context;
	char bytes[16 * 1024];

	/* What it was does not matter: all is looked at. */
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	if (!certificates->settle &&
	    sd_event_add_time_relative(certificates->control->event, &certificates->settle,
				       CLOCK_MONOTONIC, SETTLE_US, 1000, on_settled, certificates) < 0)
		log_error("changed certificates are not read: error=\"no timer\"");
	return 0;
}

static int on_rotation(sd_event_source *source, uint64_t usec, void *context)
{
	struct certificates *certificates = context;

	if (certificates_rotate(certificates))
		log_error("keys of session tickets are not changed: error=\"no randomness\"");
	else
		certificates_push(certificates->control);
	sd_event_source_set_time_relative(
		source, certificates->control->config->ticket_rotation * 1000ull);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* The directory of @path; of a directory itself where @whole is set. */
static void watch(int fd, const char *path, bool whole)
{
	char directory[PATH_MAX];
	char *slash;

	if (!path[0])
		return;
	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!whole && slash)
		slash[slash == directory] = '\0';
	if (inotify_add_watch(fd, directory, WATCH_EVENTS) < 0)
		log_warning("certificates are not watched: directory=%s error=\"%s\" "
			    "hint=\"reload the agent after a change\"",
			    directory, strerror(errno));
}

void certificates_watch_clear(struct certificates *certificates)
{
	certificates->watched = sd_event_source_disable_unref(certificates->watched);
	certificates->settle = sd_event_source_disable_unref(certificates->settle);
	certificates->rotation = sd_event_source_disable_unref(certificates->rotation);
	if (certificates->watch >= 0)
		close(certificates->watch);
	certificates->watch = -1;
}

void certificates_watch(struct certificates *certificates)
{
	const struct config *config = certificates->control->config;
	sd_event *event = certificates->control->event;

	certificates_watch_clear(certificates);
	if (sd_event_add_time_relative(event, &certificates->rotation, CLOCK_MONOTONIC,
				       config->ticket_rotation * 1000ull, 1000000, on_rotation,
				       certificates) < 0)
		log_error("keys of session tickets are not changed: error=\"no timer\"");
	certificates->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (certificates->watch < 0 ||
	    sd_event_add_io(event, &certificates->watched, certificates->watch, EPOLLIN, on_watch,
			    certificates) < 0) {
		log_warning("certificates are not watched: error=\"%s\" "
			    "hint=\"reload the agent after a change\"",
			    strerror(errno));
		return;
	}
	watch(certificates->watch, config->certificate, false);
	watch(certificates->watch, config->key, false);
	watch(certificates->watch, config->certificates, true);
}
