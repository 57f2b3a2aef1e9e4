/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From model to image: builds it, hands it to the workers and tells those who
 * wait when every worker has it.
 *
 * Many changes share one image: while one is on its way, what changes meanwhile
 * waits for the next. A caller is told when an image that was built after its
 * change is everywhere, never before.
 */
#ifndef HOODY_CONTROL_PUBLISH_H
#define HOODY_CONTROL_PUBLISH_H

#include "control/control.h"

typedef void publish_done(void *context);

struct publisher *publish_create(struct control *control);
/* Images are counted on from @sequence, before the first one. */
void publish_continue(struct publisher *publisher, uint64_t sequence);
void publish_destroy(struct publisher *publisher);

/*
 * publish_request(): the model or the settings have changed. @done (may be
 * NULL) is called from the event loop, once. 0 or -ENOMEM, in which case the
 * image still goes out but nobody is told.
 */
int publish_request(struct publisher *publisher, publish_done *done, void *context);

/* Builds and sends at once, without waiting: before the first worker. 0 or a negative errno. */
int publish_now(struct publisher *publisher);

/* The supervisor made progress: tells whom it concerns, sends what waits. */
void publish_progress(struct publisher *publisher);

#endif /* HOODY_CONTROL_PUBLISH_H */
