// SPDX-License-Identifier: Apache-2.0
/* File, pipe and journal, see sink.h. */
#include "audit/sink.h"
#include "lib/id.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

int audit_sink_open(const char *path)
{
	struct stat st;
	int flags = O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_CREAT;
	int fd;

	/* Read and write: a pipe without a reader can be opened that way. */
	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		fd = open(path, (flags & ~O_CREAT) | O_RDWR);
	else
		fd = open(path, flags | O_WRONLY, 0600);
	return fd < 0 ? -errno : fd;
}

int audit_sink_file(int fd, const struct audit_entry *entry)
{
	size_t len;
	char *line = audit_entry_line(entry, &len);
	ssize_t written;

	if (!line)
		return -ENOMEM;
	/* A line is below PIPE_BUF: all of it, or nothing. */
	written = write(fd, line, len);
	free(line);
	if (written == (ssize_t)len)
		return 0;
	return written < 0 ? -errno : -ENOSPC;
}

int audit_sink_journal(const struct audit_entry *entry)
{
	const struct audit_record *record = &entry->record;
	char id[ID_TEXT_LEN + 1], client[INET6_ADDRSTRLEN];
	char who[128];

	id_format(record->container, id);
	audit_client_format(record, client, sizeof(client));
	snprintf(who, sizeof(who), "%s", entry->kind == AUDIT_CHANGE ? entry->actor : client);
	return sd_journal_send("MESSAGE=%s %s %s %s: %u %s", audit_kind_name(entry->kind), who,
			       record->method, record->path, record->status, record->outcome,
			       "PRIORITY=6", "HOODY_KIND=%s", audit_kind_name(entry->kind),
			       "HOODY_CONTAINER=%.8s", id, "HOODY_CLIENT=%s", client,
			       "HOODY_METHOD=%s", record->method, "HOODY_SERVICE=%s",
			       record->service, "HOODY_STATUS=%u", record->status,
			       "HOODY_OUTCOME=%s", record->outcome, "HOODY_GROUP=%s",
			       record->group, "HOODY_ACTOR=%s", entry->actor, NULL);
}
