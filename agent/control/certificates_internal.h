/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the certificates share with each other. */
#ifndef HOODY_CONTROL_CERTIFICATES_INTERNAL_H
#define HOODY_CONTROL_CERTIFICATES_INTERNAL_H

#include "control/certificates.h"

/*
 * Read what has changed since it was read last: the directory, this node's. True
 * where what is to be served has changed.
 */
bool certificates_scan(struct certificates *certificates);
bool certificates_scan_node(struct certificates *certificates);

/* A new key of tickets; the ones before it still open theirs. 0 or -errno. */
int certificates_rotate(struct certificates *certificates);

/* Watches what the configuration names now, and starts the clock of ticket keys. */
void certificates_watch(struct certificates *certificates);
void certificates_watch_clear(struct certificates *certificates);

#endif /* HOODY_CONTROL_CERTIFICATES_INTERNAL_H */
