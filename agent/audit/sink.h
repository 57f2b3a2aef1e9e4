/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where entries go beside the database: a file or a pipe with one JSON object a
 * line, and the journal, where ids are shortened: the whole ones are part of a
 * secret, the host name, and the journal has other readers than the trail.
 */
#ifndef HOODY_AUDIT_SINK_H
#define HOODY_AUDIT_SINK_H

#include "audit/entry.h"

/* Opens @path to append to; a pipe is never waited for. A descriptor or a negative errno. */
int audit_sink_open(const char *path);

/* 0, or a negative errno: the entry did not go there. */
int audit_sink_file(int fd, const struct audit_entry *entry);
int audit_sink_journal(const struct audit_entry *entry);

#endif /* HOODY_AUDIT_SINK_H */
