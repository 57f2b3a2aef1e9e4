/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions at the door: between an exchange and agent/auth. What can be said
 * at once is said at once; a password or a signature that has to be checked
 * first makes the exchange wait, with a copy of its head, until a helper thread
 * has done so:
 *
 *	authorize() -> ALLOWED | REFUSED | WAITS
 *	WAITS -> [helper] -> authorize_ready() -> exchange_authorized() -> authorize() again
 *
 * An exchange that was let in by permissions remembers what let it in, and is
 * asked again when an image changes the permissions of its container, and when
 * a token that it came with has expired.
 */
#ifndef HOODY_FRONT_AUTHORIZE_H
#define HOODY_FRONT_AUTHORIZE_H

#include <pthread.h>

#include "auth/evaluate.h"
#include "lib/buf.h"
#include "lib/http.h"
#include "lib/image.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "route/route.h"

/* Jobs that wait or run, and how many of them one client may have. */
#define AUTHORIZE_QUEUE_MAX	256
#define AUTHORIZE_CLIENT_MAX	16

struct exchange;
struct front_thread;

/* Of a thread. */
struct authorize {
	struct auth_cache	*cache;
	struct loop_source	source;		/* eventfd: jobs have run */
	struct front_thread	*thread;
	pthread_mutex_t		lock;		/* of done */
	struct list		done;		/* struct authorize_wait */
	struct list		waiting;	/* all that were submitted; the thread's own */
	struct list		expiring;	/* exchanges that a token let in: exchange->expiring */
	struct loop_timer	expiry_timer;	/* runs while there are any */
};

/* An exchange that waits for a slow check. */
struct authorize_wait {
	struct list		node;		/* done; front_early.waits */
	struct list		all;		/* waiting */
	struct authorize	*authorize;
	struct exchange		*exchange;	/* NULL: it is gone */
	struct auth_job		*job;
	struct http_head	head;		/* a copy, with its bytes behind it */
	/* What the client has sent meanwhile: no more than one read, or its window. */
	struct buf		body;
	bool			ended, has_trailers;
	struct http_head	trailers;	/* a copy as well */
};

/* What asking again needs; of an exchange that permissions let in. */
struct authorize_memo {
	bool			upgrade, method_override;
	unsigned int		authorization_count;
	struct http_text	authorization, method, target, service;
};

enum authorize_result {
	AUTHORIZE_ALLOWED,
	AUTHORIZE_REFUSED,	/* see the decision */
	AUTHORIZE_WAITS,	/* exchange->wait */
	AUTHORIZE_BUSY,		/* 429: this client has too many checks under way */
	AUTHORIZE_OVERLOADED,	/* 503 */
};

/* 0 or a negative errno; clear takes one that was never set up (zeroed). */
int authorize_setup(struct front_thread *thread);
/* After the helpers have ended. */
void authorize_clear(struct front_thread *thread);

/* Whether every blob of @image is what it should be; 0 or -EBADMSG. */
int authorize_check_image(const struct image *image);

/*
 * authorize(): may this request go on? @settled: the job of an earlier WAITS.
 * ALLOWED also takes credentials that were ours out of @head.
 */
enum authorize_result authorize(struct exchange *exchange, const struct route *route,
				struct http_head *head, bool upgrade,
				const struct auth_job *settled, struct auth_decision *decision);

/*
 * authorize_wait_create(): @exchange waits, with a copy of @head, until somebody
 * calls exchange_authorized() and then free(). Takes @job (or NULL). NULL: no
 * memory.
 */
struct authorize_wait *authorize_wait_create(struct exchange *exchange,
					     const struct http_head *head, struct auth_job *job);
void authorize_wait_free(struct authorize_wait *wait);

/*
 * What comes while an exchange waits. Where there is no memory for it the
 * connection ends. authorize_move() hands all of it on to the next wait.
 */
void authorize_keep_data(struct authorize_wait *wait, const char *data, size_t len);
void authorize_keep_end(struct authorize_wait *wait, const struct http_head *trailers);
void authorize_move(struct authorize_wait *to, struct authorize_wait *from);

/* The exchange ends while it waits. */
void authorize_abandon(struct exchange *exchange);

/*
 * authorize_still_allowed(): after thread->image became another than @old:
 * whether @exchange may go on.
 */
bool authorize_still_allowed(struct exchange *exchange, const struct image *old);
/* The same for a client whose address has changed. */
bool authorize_client_allowed(struct exchange *exchange);

#endif /* HOODY_FRONT_AUTHORIZE_H */
