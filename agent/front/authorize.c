/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions at the door, see authorize.h.
 */
#include "front/authorize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "front/exchange.h"

#define EXPIRY_CHECK		1000	/* milliseconds between looks at tokens' ends */
#define AUTHORIZATIONS_MAX	2	/* more than one is refused anyway */

static const struct auth_blob *blob_of(const struct image *image,
				       const struct image_container *container)
{
	size_t size;

	/* authorize_check_image() has opened it. */
	return container ? image_blob(image, container->permissions, &size) : NULL;
}

int authorize_check_image(const struct image *image)
{
	const struct image_header *header = image_header(image);

	for (uint32_t number = 1; number <= header->blobs_count; number++) {
		size_t size;
		const void *data = image_blob(image, number, &size);

		if (number == header->actions ? !action_table_valid(data, size) :
						!auth_blob_open(data, size))
			return -EBADMSG;
	}
	return header->blobs_count && !header->actions ? -EBADMSG : 0;
}

static bool is_method_override(struct http_text name)
{
	return http_text_equal(name, HTTP_TEXT("X-HTTP-Method-Override")) ||
	       http_text_equal(name, HTTP_TEXT("X-HTTP-Method")) ||
	       http_text_equal(name, HTTP_TEXT("X-Method-Override"));
}

/* What the head says of the client; the request points to @values. */
static void read_head(const struct http_head *head, struct auth_request *request,
		      struct http_text values[AUTHORIZATIONS_MAX])
{
	request->authorization = values;
	for (unsigned int i = 0; i < head->fields_count; i++) {
		const struct http_field *field = &head->fields[i];

		if (http_text_equal(field->name, HTTP_TEXT("Authorization"))) {
			if (request->authorization_count < AUTHORIZATIONS_MAX)
				values[request->authorization_count++] = field->value;
		} else if (is_method_override(field->name)) {
			request->action.method_override = true;
		}
	}
	request->action.method = head->method_name;
	request->action.target = head->target;
}

static void set_times(const struct front_thread *thread, struct auth_request *request)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	request->now = now.tv_sec;
	request->now_monotonic = (int64_t)(thread->loop.now / 1000);
}

static struct auth_context context_of(struct front_thread *thread)
{
	size_t size;

	return (struct auth_context){
		.actions = image_blob(thread->image, image_header(thread->image)->actions, &size),
		.cache = thread->authorize.cache,
	};
}

static struct http_text put_text(char **at, struct http_text text)
{
	struct http_text copy = { *at, text.len };

	if (text.len)
		memcpy(*at, text.data, text.len);
	*at += text.len;
	return copy;
}

static struct authorize_memo *make_memo(const struct auth_request *request)
{
	struct http_text authorization = { 0 };
	struct authorize_memo *memo;
	char *at;

	if (request->authorization_count)
		authorization = request->authorization[0];
	memo = malloc(sizeof(*memo) + authorization.len + request->action.method.len +
		      request->action.target.len + request->service.len);
	if (!memo)
		return NULL;
	at = (char *)(memo + 1);
	memo->upgrade = request->action.upgrade;
	memo->method_override = request->action.method_override;
	memo->authorization_count = request->authorization_count;
	memo->authorization = put_text(&at, authorization);
	memo->method = put_text(&at, request->action.method);
	memo->target = put_text(&at, request->action.target);
	memo->service = put_text(&at, request->service);
	return memo;
}

/* ---- waiting ---- */

void authorize_wait_free(struct authorize_wait *wait)
{
	list_del(&wait->all);
	auth_job_free(wait->job);
	buf_clear(&wait->authorize->thread->buffers, &wait->body);
	free(wait->trailers.fields);
	free(wait->head.fields);
	free(wait);
}

/* A head that owns what it points to, with room for the fields that are added. */
static bool copy_head(struct http_head *to, const struct http_head *from)
{
	size_t fields = from->fields_count + FRONT_FIELDS_ADDED, bytes = 0;
	char *at;

	bytes = from->method_name.len + from->target.len + from->authority.len;
	for (unsigned int i = 0; i < from->fields_count; i++)
		bytes += from->fields[i].name.len + from->fields[i].value.len;
	*to = *from;
	to->fields = malloc(fields * sizeof(*to->fields) + bytes);
	if (!to->fields)
		return false;
	at = (char *)(to->fields + fields);
	to->fields_max = (unsigned int)fields;
	to->method_name = put_text(&at, from->method_name);
	to->target = put_text(&at, from->target);
	to->authority = put_text(&at, from->authority);
	for (unsigned int i = 0; i < from->fields_count; i++) {
		to->fields[i] = from->fields[i];
		to->fields[i].name = put_text(&at, from->fields[i].name);
		to->fields[i].value = put_text(&at, from->fields[i].value);
	}
	return true;
}

/* In a helper thread. */
static void job_done(struct auth_job *job, void *data)
{
	static const uint64_t one = 1;
	struct authorize_wait *wait = data;
	struct authorize *authorize = wait->authorize;

	pthread_mutex_lock(&authorize->lock);
	list_add_tail(&wait->node, &authorize->done);
	/* Under the lock: behind it the thread may take it all down. */
	if (write(authorize->source.fd, &one, sizeof(one)) != sizeof(one))
		abort();	/* the counter is read in between and never full */
	pthread_mutex_unlock(&authorize->lock);
}

static struct authorize_wait *take_done(struct authorize *authorize)
{
	struct authorize_wait *wait = NULL;

	pthread_mutex_lock(&authorize->lock);
	if (!list_empty(&authorize->done)) {
		wait = list_first_entry(&authorize->done, struct authorize_wait, node);
		list_del(&wait->node);
	}
	pthread_mutex_unlock(&authorize->lock);
	return wait;
}

static void source_ready(struct loop_source *source, uint32_t events)
{
	struct authorize *authorize = container_of(source, struct authorize, source);
	struct front_thread *thread = authorize->thread;
	struct authorize_wait *wait;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	while ((wait = take_done(authorize))) {
		auth_job_settle(wait->job, authorize->cache, (int64_t)(thread->loop.now / 1000));
		if (wait->exchange)
			exchange_authorized(wait->exchange, wait);
		authorize_wait_free(wait);
	}
}

struct authorize_wait *authorize_wait_create(struct exchange *exchange,
					     const struct http_head *head, struct auth_job *job)
{
	struct authorize *authorize = &exchange->connection->thread->authorize;
	struct authorize_wait *wait = calloc(1, sizeof(*wait));

	if (!wait || !copy_head(&wait->head, head)) {
		free(wait);
		auth_job_free(job);
		return NULL;
	}
	list_setup(&wait->node);
	wait->authorize = authorize;
	wait->exchange = exchange;
	wait->job = job;
	list_add_tail(&wait->all, &authorize->waiting);
	exchange->wait = wait;
	return wait;
}

static enum authorize_result start_wait(struct exchange *exchange, const struct http_head *head,
					struct auth_job *job)
{
	struct front_thread *thread = exchange->connection->thread;
	struct authorize_wait *wait = authorize_wait_create(exchange, head, job);
	int ret;

	if (!wait)
		return AUTHORIZE_OVERLOADED;
	ret = auth_helper_submit(thread->board->helper, job, job_done, wait);
	if (ret) {
		authorize_abandon(exchange);
		authorize_wait_free(wait);
		return ret == -EBUSY ? AUTHORIZE_BUSY : AUTHORIZE_OVERLOADED;
	}
	front_count(thread, permission_checks);
	return AUTHORIZE_WAITS;
}

static void break_off(struct authorize_wait *wait)
{
	struct front_connection *connection = wait->exchange->connection;

	connection->broken = true;
	front_connection_post(connection);
}

void authorize_keep_data(struct authorize_wait *wait, const char *data, size_t len)
{
	if (buf_append(&wait->authorize->thread->buffers, &wait->body, data, len))
		break_off(wait);
}

void authorize_keep_end(struct authorize_wait *wait, const struct http_head *trailers)
{
	wait->ended = true;
	if (!trailers)
		return;
	wait->has_trailers = copy_head(&wait->trailers, trailers);
	if (!wait->has_trailers)
		break_off(wait);
}

void authorize_move(struct authorize_wait *to, struct authorize_wait *from)
{
	to->body = from->body;
	to->ended = from->ended;
	to->has_trailers = from->has_trailers;
	to->trailers = from->trailers;
	from->body = (struct buf){0};
	from->trailers.fields = NULL;
}

void authorize_abandon(struct exchange *exchange)
{
	exchange->wait->exchange = NULL;
	exchange->wait = NULL;
}

/* ---- deciding ---- */

static void strip_authorization(struct http_head *head)
{
	for (unsigned int i = 0; i < head->fields_count; i++) {
		if (http_text_equal(head->fields[i].name, HTTP_TEXT("Authorization")))
			head->fields[i].drop = true;
	}
}

/* @expires: seconds since 1970, 0: never. */
static void set_expiry(struct exchange *exchange, int64_t expires)
{
	struct front_thread *thread = exchange->connection->thread;
	struct authorize *authorize = &thread->authorize;

	exchange->expires = expires;
	list_del(&exchange->expiring);
	if (!expires)
		return;
	list_add_tail(&exchange->expiring, &authorize->expiring);
	loop_timer_keep(&thread->loop, &authorize->expiry_timer, LOOP_TIMER_EXPIRY);
}

enum authorize_result authorize(struct exchange *exchange, const struct route *route,
				struct http_head *head, bool upgrade,
				const struct auth_job *settled, struct auth_decision *decision)
{
	struct front_thread *thread = exchange->connection->thread;
	const struct auth_blob *blob = blob_of(thread->image, route->container);
	struct auth_context context;
	struct auth_request request = {
		.client = exchange->connection->client.address,
		.service = { route->host.service, route->host.service_len },
		.action.upgrade = upgrade,
	};
	struct http_text values[AUTHORIZATIONS_MAX];

	if (!blob) {
		static const struct auth_decision open = { .group = -1 };

		front_audit_decision(&exchange->audit, &open);
		return AUTHORIZE_ALLOWED;
	}
	context = context_of(thread);
	read_head(head, &request, values);
	set_times(thread, &request);
	auth_evaluate(&context, blob, &request, settled, decision);
	front_audit_decision(&exchange->audit, decision);
	switch (decision->verdict) {
	case AUTH_ALLOW:
		exchange->memo = make_memo(&request);
		if (!exchange->memo)
			return AUTHORIZE_OVERLOADED;
		if (decision->strip_authorization)
			strip_authorization(head);
		set_expiry(exchange, decision->expires);
		return AUTHORIZE_ALLOWED;
	case AUTH_PENDING:
		return start_wait(exchange, head, decision->job);
	case AUTH_UNAVAILABLE:
		return AUTHORIZE_OVERLOADED;
	default:
		return AUTHORIZE_REFUSED;
	}
}

/* The same bytes decide the same: nothing has to be asked. */
static bool same_blob(const struct auth_blob *a, const struct auth_blob *b)
{
	if (!a || !b)
		return a == b;
	return a->size == b->size && !memcmp(a, b, a->size);
}

/* Whether @after lets in, from where its client now is, who was let in before. */
static bool ask_again(struct exchange *exchange, const struct auth_blob *after)
{
	struct front_thread *thread = exchange->connection->thread;
	const struct authorize_memo *memo = exchange->memo;
	struct auth_request request = { .client = exchange->connection->client.address };
	struct auth_decision decision;
	struct auth_context context;

	/* It came while all was open, so nobody knows who it is. */
	if (!memo)
		return false;
	context = context_of(thread);
	request.authorization = &memo->authorization;
	request.authorization_count = memo->authorization_count;
	request.service = memo->service;
	request.action = (struct action_request){ memo->method, memo->target, memo->upgrade,
						  memo->method_override };
	set_times(thread, &request);
	auth_evaluate(&context, after, &request, NULL, &decision);
	/* What would have to be checked anew has to come anew. */
	auth_job_free(decision.job);
	set_expiry(exchange, decision.expires);
	return decision.verdict == AUTH_ALLOW;
}

bool authorize_still_allowed(struct exchange *exchange, const struct image *old)
{
	struct front_thread *thread = exchange->connection->thread;
	const struct auth_blob *before, *after;

	before = blob_of(old, image_container_find(old, exchange->container));
	after = blob_of(thread->image, image_container_find(thread->image, exchange->container));
	if (!after || same_blob(before, after))
		return true;
	return ask_again(exchange, after);
}

bool authorize_client_allowed(struct exchange *exchange)
{
	struct front_thread *thread = exchange->connection->thread;
	const struct auth_blob *blob =
		blob_of(thread->image, image_container_find(thread->image, exchange->container));

	if (blob)
		return ask_again(exchange, blob);
	set_expiry(exchange, 0);
	return true;
}

/*
 * By the wall clock, as tokens' times are: it is looked at, not waited for, so that
 * a clock that was set wrong and is put right counts at once.
 */
static void expiry_check(struct loop_timer *timer, enum loop_timer_class class)
{
	struct authorize *authorize = container_of(timer, struct authorize, expiry_timer);
	struct front_thread *thread = authorize->thread;
	struct exchange *exchange, *tmp;
	struct list due;
	time_t now = time(NULL);

	/* Apart: one that stays allowed by something else goes back to the list. */
	list_setup(&due);
	list_for_each_entry_safe(exchange, tmp, &authorize->expiring, expiring) {
		if (exchange->expires > now)
			continue;
		list_del(&exchange->expiring);
		list_add_tail(&exchange->expiring, &due);
	}
	/* Ending one may end others of its connection: always the first. */
	while (!list_empty(&due)) {
		exchange = list_first_entry(&due, struct exchange, expiring);
		list_del(&exchange->expiring);
		if (!authorize_client_allowed(exchange))
			exchange_expire(exchange);
	}
	if (!list_empty(&authorize->expiring))
		loop_timer_start(&thread->loop, timer, LOOP_TIMER_EXPIRY);
}

/* ---- of a thread ---- */

int authorize_setup(struct front_thread *thread)
{
	struct authorize *authorize = &thread->authorize;

	authorize->thread = thread;
	pthread_mutex_init(&authorize->lock, NULL);
	list_setup(&authorize->done);
	list_setup(&authorize->waiting);
	list_setup(&authorize->expiring);
	loop_timer_setup(&authorize->expiry_timer, expiry_check);
	thread->loop.durations[LOOP_TIMER_EXPIRY] = EXPIRY_CHECK;
	authorize->source.ready = source_ready;
	authorize->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (authorize->source.fd < 0)
		return -errno;
	authorize->cache = auth_cache_create();
	if (!authorize->cache)
		return -ENOMEM;
	return loop_add(&thread->loop, &authorize->source, EPOLLIN | EPOLLET);
}

void authorize_clear(struct front_thread *thread)
{
	struct authorize *authorize = &thread->authorize;
	struct authorize_wait *wait, *next;

	if (!authorize->thread)
		return;
	list_for_each_entry_safe(wait, next, &authorize->waiting, all)
		authorize_wait_free(wait);
	auth_cache_destroy(authorize->cache);
	if (authorize->source.fd >= 0)
		close(authorize->source.fd);
	pthread_mutex_destroy(&authorize->lock);
}
