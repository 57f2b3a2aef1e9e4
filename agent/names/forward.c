// SPDX-License-Identifier: Apache-2.0
/* One query of a container, see forward.h. */
#include "names/forward.h"

#include "lib/ipc.h"
#include "names/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void free_query(struct loop_task *task)
{
	struct names_query *query = container_of(task, struct names_query, task);

	free(query->answer);
	free(query);
}

static void end_query(struct names_query *query)
{
	names_stop_asking(query);
	list_del(&query->node);
	query->names->queries_count--;
	list_del(&query->task.node);
	loop_task_setup(&query->task, free_query);
	loop_bury(&query->names->relay->loop, &query->task);
	relay_left(query->names->relay);
}

struct relay_container *names_container(const struct names_query *query)
{
	return relay_policy_by_id(query->names->relay->policy, query->container);
}

static void reply(const struct names_client *client, const unsigned char *message, size_t len)
{
	if (client->stream)
		names_stream_answer(client->stream, message, len);
	else if (client->udp >= 0)
		relay_send_from(client->udp, &client->asked, &client->peer, client->peer_port,
				message, len);
}

/* The end of the query, by an answer without records. */
static void refuse(struct names_query *query, enum names_rcode rcode)
{
	const size_t len = names_make_refusal(query->query, query->question.end, &query->question,
					      rcode);

	reply(&query->client, query->query, len);
	end_query(query);
}

void names_fail(struct names_query *query)
{
	struct relay_container *container = names_container(query);

	if (container)
		container->stats.dns_failed++;
	refuse(query, NAMES_SERVFAIL);
}

/* The end of the query, by the server's answer. */
static void release(struct names_query *query)
{
	struct relay_container *container = names_container(query);
	struct names *names = query->names;
	unsigned char *message = query->answer + 2;
	size_t len = query->have - 2;

	if (!container) {
		end_query(query);
		return;
	}
	names_cache_put(names->cache, query->container, &query->question, message, len, query->ttl,
			names->relay->loop.now);
	names_set_asker(message, len, query->query, &query->question, 0);
	if (!query->client.stream)
		len = names_truncate(message, len, query->question.room);
	reply(&query->client, message, len);
	container->stats.dns_answered++;
	end_query(query);
}

/* Control hears of the addresses first. */
static void tell_control(struct names_query *query, const struct names_answer *answer)
{
	struct names *names = query->names;
	struct relay_learn learn = { .count = answer->count, .ttl = answer->address_ttl };

	memcpy(learn.id, query->container, ID_LEN);
	memcpy(learn.name, query->question.name, sizeof(learn.name));
	memcpy(learn.addresses, answer->addresses, answer->count * sizeof(*learn.addresses));
	query->stage = NAMES_LEARNING;
	query->sequence = ++names->sequence;
	if (ipc_send(IPC_WORKER_FD, RELAY_LEARN, query->sequence, &learn, sizeof(learn), NULL, 0)) {
		names_fail(query);
		return;
	}
	loop_timer_start(&names->relay->loop, &query->timer, LOOP_TIMER_RESPONSE);
}

void names_learned(struct names *names, uint64_t sequence, int status)
{
	struct relay_container *container;
	struct names_query *query;

	list_for_each_entry(query, &names->queries, node) {
		if (query->stage == NAMES_LEARNING && query->sequence == sequence)
			goto found;
	}
	return;
found:
	container = names_container(query);
	if (!status) {
		release(query);
	} else if (status == -EPERM || status == -EACCES) {
		if (container && status == -EPERM)
			container->stats.dns_rebinding++;
		else if (container)
			container->stats.dns_refused++;
		refuse(query, NAMES_REFUSED);
	} else {
		names_fail(query);
	}
}

static bool has_local(const struct names_answer *answer)
{
	for (unsigned int i = 0; i < answer->count; i++) {
		if (names_address_is_local(&answer->addresses[i]))
			return true;
	}
	return false;
}

/* Keeps the message for release(). */
static int keep(struct names_query *query, const unsigned char *message, size_t len)
{
	if (query->answer && message == query->answer + 2) {
		query->have = len + 2;
		return 0;
	}
	free(query->answer);
	query->answer = malloc(len + 2);
	if (!query->answer)
		return -ENOMEM;
	memcpy(query->answer + 2, message, len);
	query->have = len + 2;
	return 0;
}

bool names_answered(struct names_query *query, unsigned char *message, size_t len)
{
	struct names_answer *answer = &query->names->answer;
	struct relay_container *container = names_container(query);
	const int ret = names_read_answer(message, len, &query->question, query->id, answer);

	if (ret == -EAGAIN)
		return false;
	if (!container || ret) {
		if (container)
			container->stats.dns_malformed++;
		names_fail(query);
		return true;
	}
	if (answer->truncated && query->stage == NAMES_UDP) {
		names_stop_asking(query);
		query->stage = NAMES_TCP;
		names_ask(query);
		return true;
	}
	/* This server cannot say. The last one's word is passed on. */
	if ((answer->rcode == NAMES_SERVFAIL || answer->rcode == NAMES_REFUSED) &&
	    query->server + 1 < container->dns_count) {
		names_stop_asking(query);
		query->stage = NAMES_UDP;
		query->tries = 0;
		query->server++;
		loop_post(&query->names->relay->loop, &query->task);
		return true;
	}
	query->ttl = answer->ttl;
	if (has_local(answer)) {
		container->stats.dns_rebinding++;
		refuse(query, NAMES_REFUSED);
		return true;
	}
	if (keep(query, message, len)) {
		names_fail(query);
		return true;
	}
	names_stop_asking(query);
	if (answer->count)
		tell_control(query, answer);
	else
		release(query);
	return true;
}

static void on_task(struct loop_task *task)
{
	names_ask(container_of(task, struct names_query, task));
}

static void on_timer(struct loop_timer *timer, enum loop_timer_class class)
{
	struct names_query *query = container_of(timer, struct names_query, timer);

	if (query->stage == NAMES_LEARNING) {
		names_fail(query);
		return;
	}
	names_stop_asking(query);
	if (query->stage == NAMES_TCP || !query->direct || ++query->tries == NAMES_TRIES) {
		query->stage = NAMES_UDP;
		query->tries = 0;
		query->server++;
	}
	names_ask(query);
}

static size_t count_of(const struct names *names, const uint8_t id[ID_LEN])
{
	const struct names_query *query;
	size_t count = 0;

	list_for_each_entry(query, &names->queries, node)
		count += !memcmp(query->container, id, ID_LEN);
	return count;
}

static void start(struct names *names, struct relay_container *container,
		  const struct names_client *client, const struct names_question *question,
		  const unsigned char *bytes)
{
	struct names_query *query = NULL;
	ssize_t len;

	if (names->queries_count < NAMES_QUERIES_MAX &&
	    (names->queries_count < NAMES_CONTAINER_MAX ||
	     count_of(names, container->id) < NAMES_CONTAINER_MAX))
		query = calloc(1, sizeof(*query));
	if (!query) {
		container->stats.dns_limited++;
		reply(client, NULL, 0);
		return;
	}
	query->names = names;
	query->client = *client;
	query->question = *question;
	query->source.fd = -1;
	memcpy(query->container, container->id, ID_LEN);
	memcpy(query->query, bytes, question->end);
	loop_timer_setup(&query->timer, on_timer);
	loop_task_setup(&query->task, on_task);
	list_add_tail(&query->node, &names->queries);
	names->queries_count++;
	if (client->stream)
		names_stream_waits(client->stream, query);
	len = getrandom(&query->id, sizeof(query->id), 0) == sizeof(query->id) ?
		      names_make_request(question, query->id, query->request + 2) : -EIO;
	if (len < 0) {
		names_fail(query);
		return;
	}
	query->request[0] = (unsigned char)(len >> 8);
	query->request[1] = (unsigned char)len;
	query->request_len = (size_t)len + 2;
	names_ask(query);
}

/* What the rules about names say: 0, or how it is answered. -1: it is asked. */
static int judge(struct relay_container *container, const struct names_question *question)
{
	if (!container->names.only)
		return -1;
	if (name_set_has(&container->names.deny, question->name) ||
	    (container->names.closed && !name_set_has(&container->names.allow, question->name)) ||
	    question->type == NAMES_ANY) {
		container->stats.dns_refused++;
		return NAMES_REFUSED;
	}
	/* Addresses and keys that are not learned: who asks goes on with A and AAAA. */
	if (question->type == NAMES_SVCB || question->type == NAMES_HTTPS)
		return NAMES_NOERROR;
	return -1;
}

static bool answer_kept(struct names *names, struct relay_container *container,
			const struct names_client *client, const struct names_question *question,
			const unsigned char *bytes)
{
	static unsigned char message[NAMES_CACHE_BYTES];
	const unsigned char *kept;
	uint32_t age;
	size_t len;

	kept = names_cache_get(names->cache, container->id, question, names->relay->loop.now, &len,
			       &age);
	if (!kept)
		return false;
	memcpy(message, kept, len);
	names_set_asker(message, len, bytes, question, age);
	if (!client->stream)
		len = names_truncate(message, len, question->room);
	container->stats.dns_cached++;
	container->stats.dns_answered++;
	reply(client, message, len);
	return true;
}

void names_take(struct names *names, struct relay_container *container,
		const struct names_client *client, const unsigned char *bytes, size_t len)
{
	struct names_question question;
	unsigned char message[NAMES_REQUEST_MAX];
	int rcode = names_read_query(bytes, len, &question);
	size_t room;

	if (rcode < 0) {
		container->stats.udp_refused += !client->stream;
		reply(client, NULL, 0);
		return;
	}
	container->stats.dns_queries++;
	if (rcode)
		container->stats.dns_malformed++;
	else
		rcode = judge(container, &question);
	if (rcode < 0) {
		if (!answer_kept(names, container, client, &question, bytes))
			start(names, container, client, &question, bytes);
		return;
	}
	room = question.end ? question.end : NAMES_HEADER;
	if (room > sizeof(message)) {
		question.end = 0;
		room = NAMES_HEADER;
	}
	memcpy(message, bytes, room);
	reply(client, message, names_make_refusal(message, room, &question,
						  (enum names_rcode)rcode));
}

int names_setup(struct names *names, struct relay *relay)
{
	names->relay = relay;
	list_setup(&names->queries);
	list_setup(&names->streams);
	names->cache = names_cache_create();
	return names->cache ? 0 : -ENOMEM;
}

void names_policy_changed(struct names *names)
{
	struct names_query *query, *next;

	names_cache_clear(names->cache);
	list_for_each_entry_safe(query, next, &names->queries, node) {
		const struct relay_container *container = names_container(query);

		if (container && (!query->direct || (!container->exit &&
						     relay_way_holds(container, query->way))))
			continue;
		reply(&query->client, NULL, 0);
		end_query(query);
	}
}

void names_clear(struct names *names)
{
	struct names_query *query, *next;

	list_for_each_entry_safe(query, next, &names->queries, node)
		end_query(query);
	names_streams_clear(names);
	names_cache_destroy(names->cache);
	names->cache = NULL;
}
