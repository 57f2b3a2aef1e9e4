/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slow check of one credential against one or more secrets, and the threads
 * that run such checks so that those that serve connections never wait.
 *
 *	evaluate -> AUTH_PENDING, job -> auth_helper_submit() -> [helper thread]
 *	   ^                                                           |
 *	   +--- auth_job_settle(), evaluate again with the job <- done()
 *
 * A job owns all that it needs: images and requests may go while it runs. Its
 * bytes are wiped when it is freed. The queue is bounded, and one client (an
 * IPv4 address, an IPv6 /64) has a bounded share of it, so that guessing
 * passwords cannot keep others from logging in.
 */
#ifndef HOODY_AUTH_JOB_H
#define HOODY_AUTH_JOB_H

#include "auth/blob.h"
#include "auth/cache.h"
#include "auth/jwt.h"
#include "lib/address.h"

#define AUTH_CHECKS_MAX	BLOB_KEYS_MAX

struct auth_check {
	uint8_t		secret[AUTH_SECRET_ID_LEN];
	bool		fits;			/* after it ran */
	struct secret_password password;	/* of a password job */
	uint32_t	key_offset, key_len;	/* of a token's: in the job's bytes */
};

struct auth_job {
	struct auth_job	*next;			/* in a queue */
	void		(*done)(struct auth_job *job, void *data);
	void		*data;
	struct address	client;
	uint8_t		digest[AUTH_DIGEST_LEN];
	bool		is_password;
	enum jwt_alg	alg;
	bool		failed;			/* no memory: nothing was found out */
	uint32_t	input_len;		/* a password, or a token's signed part */
	uint32_t	signature_len;
	unsigned int	checks_count;
	struct auth_check *checks;
	size_t		size;			/* of all, to be wiped */
	uint8_t		*bytes;			/* input, signature, keys */
};

/*
 * auth_job_create(): for @checks_count checks with room for @bytes bytes, all
 * zero. NULL: no memory. auth_job_free() takes NULL.
 */
struct auth_job *auth_job_create(unsigned int checks_count, size_t bytes);
void auth_job_free(struct auth_job *job);

/* Runs the checks in this thread. Slow. */
void auth_job_run(struct auth_job *job);

/* Puts what a job that ran found out into the cache of its owner's thread. */
void auth_job_settle(const struct auth_job *job, struct auth_cache *cache, int64_t now);

struct auth_helper;

/*
 * auth_helper_create(): @threads threads, at most @queue_max jobs waiting or
 * running and @client_max of one client. NULL with errno. destroy() ends the
 * threads after what they are at; jobs that still wait are given back unrun, by
 * their done(). It takes NULL.
 */
struct auth_helper *auth_helper_create(unsigned int threads, unsigned int queue_max,
				       unsigned int client_max);
void auth_helper_destroy(struct auth_helper *helper);

/*
 * auth_helper_submit(): @done is called in a helper thread, when the job is the
 * caller's again. 0; -EAGAIN where the queue is full, -EBUSY where the client's
 * share is: the job stays the caller's and the answer is 503 or 429.
 */
int auth_helper_submit(struct auth_helper *helper, struct auth_job *job,
		       void (*done)(struct auth_job *job, void *data), void *data);

#endif /* HOODY_AUTH_JOB_H */
