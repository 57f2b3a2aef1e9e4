/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of an exchange that are ours and no app's: for want of permission, of
 * room, of patience. After each the exchange is gone.
 */
#include "front/exchange_internal.h"

#include <stdio.h>
#include <string.h>

#include "front/limit.h"
#include "front/plain.h"
#include "front/refusal.h"

void exchange_count_status(struct front_thread *thread, unsigned int status)
{
	switch (status / 100) {
	case 1:
		front_count(thread, responses_1xx);
		break;
	case 2:
		front_count(thread, responses_2xx);
		break;
	case 3:
		front_count(thread, responses_3xx);
		break;
	case 4:
		front_count(thread, responses_4xx);
		break;
	default:
		front_count(thread, responses_5xx);
		break;
	}
}

static void send_refusal(struct exchange *exchange, struct front_refusal *refusal,
			 const char *code)
{
	exchange_count_status(thread_of(exchange), refusal->head.status);
	exchange->status = refusal->head.status;
	exchange->front->head(exchange, &refusal->head);
	exchange->front->data(exchange, refusal->body, refusal->body_len);
	exchange->front->end(exchange, NULL);
	exchange_finish(exchange, code);
}

void exchange_refuse(struct exchange *exchange, unsigned int status, const char *code,
		     const char *message)
{
	struct front_refusal refusal;

	front_refusal_setup(&refusal, status, code, message, exchange->json);
	send_refusal(exchange, &refusal, code);
}

/* 401 says how to come back; a browser asks its user. */
void exchange_refuse_unauthorized(struct exchange *exchange, const struct auth_decision *decision,
				  struct http_text service)
{
	char challenges[2][AUTH_CHALLENGE_MAX];
	struct front_refusal refusal;
	size_t len;

	front_count(thread_of(exchange), refused_unauthorized);
	front_refusal_setup(&refusal, 401, "unauthorized",
			    "this needs credentials, or other ones than were given",
			    exchange->json);
	for (unsigned int i = 0; i < 2; i++) {
		len = auth_challenge(decision, service, i, challenges[i]);
		if (len)
			http_head_add(&refusal.head, HTTP_TEXT("WWW-Authenticate"),
				      (struct http_text){challenges[i], len});
	}
	send_refusal(exchange, &refusal, "unauthorized");
}

void exchange_refuse_busy(struct exchange *exchange, bool client)
{
	struct front_refusal refusal;
	const char *code = client ? "too_many_checks" : "overloaded";

	front_count(thread_of(exchange), refused_checks);
	front_refusal_setup(&refusal, client ? 429 : 503, code,
			    client ? "too many credentials of this client are being checked, try again" :
				     "credentials cannot be checked now, try again",
			    exchange->json);
	http_head_add(&refusal.head, HTTP_TEXT("Retry-After"), HTTP_TEXT("1"));
	send_refusal(exchange, &refusal, code);
}

void exchange_refuse_memory(struct exchange *exchange)
{
	struct front_refusal refusal;

	front_count(thread_of(exchange), refused_memory);
	front_refusal_setup(&refusal, 503, "overloaded", "too much is going on here, try again",
			    exchange->json);
	http_head_add(&refusal.head, HTTP_TEXT("Retry-After"), HTTP_TEXT("1"));
	send_refusal(exchange, &refusal, "overloaded");
}

bool exchange_check_rate(struct exchange *exchange, const struct route *route,
			 enum limit_phase phase)
{
	struct front_thread *thread = thread_of(exchange);
	struct limit_refusal limit;
	struct front_refusal refusal;
	unsigned int forgotten = 0;
	char retry[16];
	bool allowed;

	if (!route->container->limits_count)
		return true;
	allowed = limit_request(thread->board->limits, thread->image, route->container,
				route->host.service, route->host.service_len,
				&exchange->connection->client.address, phase, limit_now(), &limit,
				&forgotten);
	if (forgotten)
		front_count_add(thread, limits_forgotten, forgotten);
	if (allowed)
		return true;
	front_count(thread, refused_rate);
	front_audit_limit(&exchange->audit, limit.rule);
	front_refusal_setup(&refusal, 429, "rate_limited",
			    "this was asked for too often, try again later", exchange->json);
	snprintf(retry, sizeof(retry), "%u", limit.retry_after);
	http_head_add(&refusal.head, HTTP_TEXT("Retry-After"),
		      (struct http_text){retry, strlen(retry)});
	send_refusal(exchange, &refusal, "rate_limited");
	return false;
}

/* A port that leads to TLS: whatever the request is, this is the end of it. */
void exchange_answer_plain(struct exchange *exchange, const struct http_head *head)
{
	struct front_refusal answer;
	const char *word = front_plain_answer(exchange->connection, head, exchange->json, &answer);

	send_refusal(exchange, &answer, word);
}
