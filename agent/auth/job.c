// SPDX-License-Identifier: Apache-2.0
/*
 * Slow checks and their threads, see job.h. One lock, held for a few pointers;
 * jobs run without it.
 */
#include "auth/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct auth_helper {
	pthread_mutex_t	lock;		/* all below but threads */
	pthread_cond_t	work;
	struct auth_job	*first, **last;	/* waiting */
	struct auth_job	**running;	/* one for each thread, or NULL */
	unsigned int	count;		/* waiting and running */
	unsigned int	queue_max, client_max;
	bool		stop;
	unsigned int	threads_count;
	pthread_t	*threads;
};

struct auth_job *auth_job_create(unsigned int checks_count, size_t bytes)
{
	size_t size = sizeof(struct auth_job) + checks_count * sizeof(struct auth_check) + bytes;
	struct auth_job *job = calloc(1, size);

	if (!job)
		return NULL;
	job->size = size;
	job->checks_count = checks_count;
	job->checks = (struct auth_check *)(job + 1);
	job->bytes = (uint8_t *)(job->checks + checks_count);
	return job;
}

void auth_job_free(struct auth_job *job)
{
	if (job)
		secret_wipe(job, job->size);
	free(job);
}

void auth_job_run(struct auth_job *job)
{
	const char *input = (const char *)job->bytes;

	for (unsigned int i = 0; i < job->checks_count; i++) {
		struct auth_check *check = &job->checks[i];

		if (job->is_password) {
			int result = secret_password_verify(&check->password, input,
							    job->input_len);

			check->fits = result == 1;
			job->failed |= result < 0;
		} else {
			check->fits = jwt_signature_ok(job->alg, job->bytes + check->key_offset,
						       check->key_len, input, job->input_len,
						       job->bytes + job->input_len,
						       job->signature_len);
		}
	}
}

void auth_job_settle(const struct auth_job *job, struct auth_cache *cache, int64_t now)
{
	for (unsigned int i = 0; i < job->checks_count; i++) {
		/* A check that could not be made found nothing out: let it be tried again. */
		if (job->checks[i].fits || !job->failed)
			auth_cache_put(cache, job->digest, job->checks[i].secret,
				       job->checks[i].fits ? AUTH_CACHE_RIGHT : AUTH_CACHE_WRONG,
				       now);
	}
}

static bool same_client(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return false;
	/* The /64 is what one client of IPv6 is given (RFC 6177). */
	return a->family == AF_INET ? a->v4.s_addr == b->v4.s_addr : !memcmp(&a->v6, &b->v6, 8);
}

/* With the lock held. */
static unsigned int client_jobs(const struct auth_helper *helper, const struct address *client)
{
	unsigned int count = 0;

	for (const struct auth_job *job = helper->first; job; job = job->next)
		count += same_client(&job->client, client);
	for (unsigned int i = 0; i < helper->threads_count; i++)
		count += helper->running[i] && same_client(&helper->running[i]->client, client);
	return count;
}

struct thread_start {
	struct auth_helper	*helper;
	unsigned int		index;
};

static void *thread_main(void *data)
{
	struct thread_start start = *(struct thread_start *)data;
	struct auth_helper *helper = start.helper;
	struct auth_job *job;

	free(data);
	pthread_mutex_lock(&helper->lock);
	while (!helper->stop) {
		job = helper->first;
		if (!job) {
			pthread_cond_wait(&helper->work, &helper->lock);
			continue;
		}
		helper->first = job->next;
		if (!helper->first)
			helper->last = &helper->first;
		helper->running[start.index] = job;
		pthread_mutex_unlock(&helper->lock);
		auth_job_run(job);
		pthread_mutex_lock(&helper->lock);
		helper->running[start.index] = NULL;
		helper->count--;
		pthread_mutex_unlock(&helper->lock);
		job->done(job, job->data);
		pthread_mutex_lock(&helper->lock);
	}
	pthread_mutex_unlock(&helper->lock);
	return NULL;
}

struct auth_helper *auth_helper_create(unsigned int threads, unsigned int queue_max,
				       unsigned int client_max)
{
	struct auth_helper *helper = calloc(1, sizeof(*helper));
	int error = ENOMEM;

	if (!helper)
		return NULL;
	pthread_mutex_init(&helper->lock, NULL);
	pthread_cond_init(&helper->work, NULL);
	helper->last = &helper->first;
	helper->queue_max = queue_max;
	helper->client_max = client_max;
	helper->threads = calloc(threads, sizeof(*helper->threads));
	helper->running = calloc(threads, sizeof(struct auth_job *));
	if (!helper->threads || !helper->running)
		goto err_destroy;
	for (unsigned int i = 0; i < threads; i++) {
		struct thread_start *start = malloc(sizeof(*start));

		error = ENOMEM;
		if (!start)
			goto err_destroy;
		*start = (struct thread_start){ helper, i };
		error = pthread_create(&helper->threads[i], NULL, thread_main, start);
		if (error) {
			free(start);
			goto err_destroy;
		}
		/* Nobody reads it before the first submit. */
		pthread_mutex_lock(&helper->lock);
		helper->threads_count++;
		pthread_mutex_unlock(&helper->lock);
	}
	return helper;

err_destroy:
	auth_helper_destroy(helper);
	errno = error;
	return NULL;
}

void auth_helper_destroy(struct auth_helper *helper)
{
	if (!helper)
		return;
	pthread_mutex_lock(&helper->lock);
	helper->stop = true;
	pthread_cond_broadcast(&helper->work);
	pthread_mutex_unlock(&helper->lock);
	for (unsigned int i = 0; i < helper->threads_count; i++)
		pthread_join(helper->threads[i], NULL);
	while (helper->first) {
		struct auth_job *job = helper->first;

		helper->first = job->next;
		job->done(job, job->data);
	}
	pthread_cond_destroy(&helper->work);
	pthread_mutex_destroy(&helper->lock);
	free(helper->threads);
	free(helper->running);
	free(helper);
}

int auth_helper_submit(struct auth_helper *helper, struct auth_job *job,
		       void (*done)(struct auth_job *job, void *data), void *data)
{
	int result = 0;

	job->done = done;
	job->data = data;
	job->next = NULL;
	pthread_mutex_lock(&helper->lock);
	if (client_jobs(helper, &job->client) >= helper->client_max) {
		result = -EBUSY;
	} else if (helper->count >= helper->queue_max) {
		result = -EAGAIN;
	} else {
		helper->count++;
		*helper->last = job;
		helper->last = &job->next;
		pthread_cond_signal(&helper->work);
	}
	pthread_mutex_unlock(&helper->lock);
	return result;
}
