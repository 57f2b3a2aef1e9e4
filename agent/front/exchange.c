/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request with its response, see exchange.h.
 */
#include "front/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "front/authorize.h"
#include "front/early.h"
#include "front/exchange_internal.h"
#include "front/middleware.h"
#include "front/refusal.h"
#include "lib/log.h"
#include "route/route.h"

static struct exchange *of_upstream(struct up_request *request)
{
	return container_of(request, struct exchange, upstream);
}

static void free_memo(struct exchange *exchange)
{
	if (exchange->memo)
		explicit_bzero((char *)exchange->memo->authorization.data,
			       exchange->memo->authorization.len);
	free(exchange->memo);
	exchange->memo = NULL;
}

/* The one place where an exchange ends: everything about it is known here. */
void exchange_finish(struct exchange *exchange, const char *how)
{
	struct front_thread *thread = thread_of(exchange);
	char container[ID_TEXT_LEN + 1];

	front_uncount(thread, requests_open);
	if (exchange->tunnel)
		front_uncount(thread, upgrades_open);
	/* The whole id is part of a secret, the host name: shortened. */
	id_format(exchange->container, container);
	log_debug("event=exchange client=%s method=%s container=%.8s port=%u status=%u "
		  "bytes_in=%llu bytes_out=%llu ms=%llu end=%s",
		  exchange->connection->client_text, exchange->method, container, exchange->port,
		  exchange->status, (unsigned long long)exchange->bytes_in,
		  (unsigned long long)exchange->bytes_out,
		  (unsigned long long)(thread->loop.now - exchange->started), how);
	exchange->audit.record.bytes_in = exchange->bytes_in;
	exchange->audit.record.bytes_out = exchange->bytes_out;
	front_audit_end(&exchange->audit, thread, exchange->status, how);
	free_memo(exchange);
	pass_withdraw(thread->board->passes, &exchange->ticket);
	list_del(&exchange->expiring);
	list_del(&exchange->node);
	slab_free(&thread->exchanges, exchange);
}

/* ---- from upstream ---- */

static void on_interim(struct up_request *request, struct http_head *head)
{
	struct exchange *exchange = of_upstream(request);

	exchange_fields_response(head);
	exchange_count_status(thread_of(exchange), head->status);
	exchange->front->interim(exchange, head);
}

/*
 * What this host offers beside is for us to say: the app's own would send clients
 * past it. A client that has come by TLS is told of HTTP/3.
 */
static void set_alternative(const struct exchange *exchange, struct http_head *head)
{
	const struct front_connection *connection = exchange->connection;
	const char *alternative = connection->thread->alternative;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		if (http_text_equal(head->fields[i].name, HTTP_TEXT("Alt-Svc")))
			head->fields[i].drop = true;
	}
	/* Only a hint: without room the response goes without it. */
	if (connection->tls && alternative[0] && head->status >= 200)
		http_head_add(head, HTTP_TEXT("Alt-Svc"),
			      (struct http_text){alternative, strlen(alternative)});
}

static void on_head(struct up_request *request, struct http_head *head)
{
	struct exchange *exchange = of_upstream(request);
	struct front_thread *thread = thread_of(exchange);

	exchange->status = head->status;
	front_audit_head(&exchange->audit);
	exchange_count_status(thread, head->status);
	if (request->tunnel) {
		exchange->tunnel = true;
		front_count(thread, upgrades);
		front_count(thread, upgrades_open);
	}
	exchange_fields_response(head);
	set_alternative(exchange, head);
	exchange->front->head(exchange, head);
}

static void on_data(struct up_request *request, const char *data, size_t len)
{
	struct exchange *exchange = of_upstream(request);

	exchange->bytes_out += len;
	exchange->front->data(exchange, data, len);
}

static void on_end(struct up_request *request, struct http_head *trailers)
{
	struct exchange *exchange = of_upstream(request);

	if (trailers)
		exchange_fields_trailers(trailers);
	exchange->front->end(exchange, trailers);
	if (!exchange->tunnel)
		exchange_finish(exchange, "complete");
}

static void on_flush(struct up_request *request)
{
	struct exchange *exchange = of_upstream(request);

	exchange->front->flush(exchange);
}

static bool on_blocked(struct up_request *request)
{
	struct exchange *exchange = of_upstream(request);

	return exchange->front->blocked(exchange);
}

static void on_writable(struct up_request *request)
{
	struct exchange *exchange = of_upstream(request);

	exchange->front->resume(exchange);
}

static void refuse_failure(struct exchange *exchange, enum up_failure failure)
{
	struct front_thread *thread = thread_of(exchange);

	switch (failure) {
	case UP_TIMEOUT:
		front_count(thread, upstream_timeout);
		exchange_refuse(exchange, 504, "upstream_timeout", "the service did not answer in time");
		break;
	case UP_LIMIT:
		front_count(thread, refused_upstream_limit);
		exchange_refuse(exchange, 503, "upstream_limit",
		       "the container has too many open connections, try again later");
		break;
	case UP_REFUSED:
		front_count(thread, upstream_failed);
		exchange_refuse(exchange, 502, "real_ip_refused",
		       "the container cannot be reached from the client address");
		break;
	case UP_MALFORMED:
		front_count(thread, upstream_failed);
		exchange_refuse(exchange, 502, "upstream_malformed",
		       "the service sent a response that is not valid HTTP");
		break;
	default:
		front_count(thread, upstream_failed);
		exchange_refuse(exchange, 502, "upstream_failed",
		       "the service does not accept connections or closed this one");
		break;
	}
}

static void on_failed(struct up_request *request, enum up_failure failure)
{
	struct exchange *exchange = of_upstream(request);
	struct front_thread *thread = thread_of(exchange);

	if (failure == UP_OK) {
		exchange->front->over(exchange);
		exchange_finish(exchange, "complete");
		return;
	}
	if (failure != UP_CUT && !exchange->status &&
	    !(failure == UP_RESET && exchange->front->resets)) {
		refuse_failure(exchange, failure);
		return;
	}
	if (failure == UP_CUT)
		front_count(thread, exchanges_cut);
	else if (failure == UP_TIMEOUT)
		front_count(thread, upstream_timeout);
	else
		front_count(thread, upstream_failed);
	exchange->front->reset(exchange);
	exchange_finish(exchange, failure == UP_CUT ? "cut" : "upstream");
}

static const struct up_request_operations upstream_operations = {
	.interim = on_interim,
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.flush = on_flush,
	.blocked = on_blocked,
	.writable = on_writable,
	.failed = on_failed,
};

/* ---- from the codec ---- */

/* True where @exchange has a route; otherwise it has been refused and is gone. */
static bool find_route(struct exchange *exchange, const struct http_head *head,
		       struct route *route)
{
	struct front_thread *thread = thread_of(exchange);

	switch (route_find(thread->image, head->authority.data, head->authority.len, route)) {
	case ROUTE_FOUND:
		return true;
	case ROUTE_MALFORMED:
		exchange->close = true;
		front_count(thread, refused_malformed);
		exchange_refuse(exchange, 400, "malformed_host", "the host name is malformed");
		return false;
	case ROUTE_NO_HOST:
		front_count(thread, refused_no_route);
		exchange_refuse(exchange, 404, "no_route", "this host name leads to no container");
		return false;
	case ROUTE_NO_SERVICE:
		front_count(thread, refused_no_route);
		exchange_refuse(exchange, 404, "no_service", "the container has no service of this name");
		return false;
	case ROUTE_DELETED:
		front_count(thread, refused_deleted);
		exchange_refuse(exchange, 404, "deleted", "the container has been deleted");
		return false;
	case ROUTE_UNAVAILABLE:
		break;
	}
	front_count(thread, refused_unavailable);
	exchange_refuse(exchange, 503, "unavailable", "the container is not running");
	return false;
}

/* True where the request may go on or has to wait; otherwise it is gone. */
static bool check_permission(struct exchange *exchange, struct http_head *head,
			     const struct route *route, bool upgrade,
			     const struct auth_job *settled)
{
	struct http_text service = {route->host.service, route->host.service_len};
	struct auth_decision decision;

	switch (authorize(exchange, route, head, upgrade, settled, &decision)) {
	case AUTHORIZE_ALLOWED:
	case AUTHORIZE_WAITS:
		return true;
	case AUTHORIZE_BUSY:
		exchange_refuse_busy(exchange, true);
		return false;
	case AUTHORIZE_OVERLOADED:
		exchange_refuse_busy(exchange, false);
		return false;
	case AUTHORIZE_REFUSED:
		break;
	}
	if (decision.verdict == AUTH_UNAUTHORIZED) {
		exchange_refuse_unauthorized(exchange, &decision, service);
	} else if (decision.verdict == AUTH_MALFORMED) {
		front_count(thread_of(exchange), refused_malformed);
		exchange_refuse(exchange, 400, "two_authorizations",
		       "the request has more than one Authorization field");
	} else {
		front_count(thread_of(exchange), refused_forbidden);
		exchange_refuse(exchange, 403, "forbidden", "this client may not do this here");
	}
	return false;
}

static struct exchange *create(struct front_connection *connection,
			       const struct exchange_front *front, void *owner,
			       const struct http_head *head)
{
	struct front_thread *thread = connection->thread;
	struct exchange *exchange = slab_alloc(&thread->exchanges);
	size_t len;

	if (!exchange)
		return NULL;
	list_add_tail(&exchange->node, &thread->exchange_list);
	list_setup(&exchange->expiring);
	exchange->connection = connection;
	exchange->front = front;
	exchange->owner = owner;
	exchange->started = thread->loop.now;
	exchange->json = front_refusal_wants_json(head);
	len = head->method_name.len < sizeof(exchange->method) ? head->method_name.len :
								 sizeof(exchange->method) - 1;
	memcpy(exchange->method, head->method_name.data, len);
	front_audit_begin(&exchange->audit, connection, head);
	exchange->upstream.operations = &upstream_operations;
	exchange->upstream.to_head = head->method == HTTP_METHOD_HEAD;
	exchange->upstream.idempotent = http_method_idempotent(head->method, head->method_name);
	front_count(thread, requests);
	front_count(thread, requests_open);
	return exchange;
}

/* Methods that end at a proxy; they are none of a browser's, so the client goes too. */
static bool check_method(struct exchange *exchange, const struct http_head *head)
{
	struct front_thread *thread = thread_of(exchange);

	if (head->method != HTTP_METHOD_CONNECT && head->method != HTTP_METHOD_TRACE)
		return true;
	exchange->close = true;
	front_count(thread, refused_malformed);
	if (head->method == HTTP_METHOD_CONNECT)
		exchange_refuse(exchange, 501, "no_tunnel", "CONNECT is not offered here");
	else
		exchange_refuse(exchange, 405, "no_trace", "TRACE is not passed on");
	return false;
}

/* Rates and permissions. True where it may go on or has to wait; otherwise it is gone. */
static bool let_in(struct exchange *exchange, struct http_head *head, const struct route *route,
		   bool upgrade, const struct auth_job *settled)
{
	/* Once, though it comes here again after a slow check. */
	if (!settled && !exchange_check_rate(exchange, route, LIMIT_OF_CLIENT))
		return false;
	if (!check_permission(exchange, head, route, upgrade, settled))
		return false;
	return exchange->wait || exchange_check_rate(exchange, route, LIMIT_OF_ALL);
}

/* From the route to the container. False: refused, and gone. */
static bool go_on(struct exchange *exchange, struct http_head *head,
		  const struct auth_job *settled)
{
	struct front_thread *thread = thread_of(exchange);
	struct exchange_fields scratch;
	struct middleware_way way;
	struct http_text upgrade;
	enum up_failure failure;
	struct route route;

	if (!find_route(exchange, head, &route))
		return false;
	memcpy(exchange->container, route.container->id, IMAGE_ID_LEN);
	exchange->port = route.port;
	front_audit_route(&exchange->audit, &route);
	/* Its clients send tokens. */
	if ((route.container->flags & IMAGE_CONTROL) && !head->tls) {
		front_count(thread, refused_forbidden);
		exchange_refuse(exchange, 403, "tls_needed", "the control API is answered over HTTPS only");
		return false;
	}
	upgrade = exchange_fields_upgrade(head);
	exchange->upstream.upgrade = upgrade.len > 0;
	if (!middleware_take(exchange, head, &route))
		return false;
	/* What has passed was asked all this when it came. */
	if (!exchange->passed && !let_in(exchange, head, &route, upgrade.len > 0, settled))
		return false;
	if (exchange->wait)
		return true;
	if (!middleware_choose(exchange, &route, &way))
		return false;
	front_audit_allowed(&exchange->audit);
	if (!exchange_fields_request(head, exchange, route.host.instance, way.pass, &scratch)) {
		front_count(thread, refused_too_large);
		exchange_refuse(exchange, 431, "too_many_fields", "the request has too many header fields");
		return false;
	}
	exchange->upstream.http2 = way.http2;
	failure = up_request_start(&thread->upstream, &exchange->upstream, way.container,
				   exchange_client(exchange), way.port, head, upgrade);
	if (failure != UP_OK) {
		refuse_failure(exchange, failure);
		return false;
	}
	return true;
}

/* What may not be answered before the handshake's end waits for it: false. */
static bool check_early(struct exchange *exchange, const struct http_head *head, bool *waits)
{
	struct front_thread *thread = thread_of(exchange);

	if (front_early_allowed(exchange->connection, head)) {
		front_count(thread, early_requests);
		exchange->early = true;
		return true;
	}
	if (front_early_wait(exchange, head)) {
		front_count(thread, refused_early);
		exchange_refuse(exchange, 425, "too_early",
				"this request has to come again when the handshake is over");
		return false;
	}
	front_count(thread, early_waited);
	*waits = true;
	return false;
}

struct exchange *exchange_begin(struct front_connection *connection,
				const struct exchange_front *front, void *owner,
				struct http_head *head)
{
	struct exchange *exchange = create(connection, front, owner, head);
	bool waits = false;

	if (!exchange) {
		front_connection_reset(connection);
		return NULL;
	}
	if (front_memory_full(connection->thread)) {
		exchange_refuse_memory(exchange);
		return NULL;
	}
	if (!check_method(exchange, head))
		return NULL;
	if (connection->redirects) {
		exchange_answer_plain(exchange, head);
		return NULL;
	}
	if (front_early_pending(connection) && !check_early(exchange, head, &waits))
		return waits ? exchange : NULL;
	return go_on(exchange, head, NULL) ? exchange : NULL;
}

void exchange_authorized(struct exchange *exchange, struct authorize_wait *wait)
{
	exchange->wait = NULL;
	if (!go_on(exchange, &wait->head, wait->job))
		return;
	if (exchange->wait) {
		/* The permissions have changed meanwhile. */
		authorize_move(exchange->wait, wait);
		return;
	}
	if (buf_len(&wait->body))
		up_request_data(&exchange->upstream, buf_head(&wait->body), buf_len(&wait->body));
	if (wait->ended)
		up_request_end(&exchange->upstream, wait->has_trailers ? &wait->trailers : NULL);
	up_request_flush(&exchange->upstream);
	exchange->front->resume(exchange);
}

static void end_early(struct exchange *exchange, const char *how)
{
	up_request_abort(&exchange->upstream);
	exchange->front->reset(exchange);
	exchange_finish(exchange, how);
}

void exchange_revoke(struct exchange *exchange)
{
	front_count(thread_of(exchange), exchanges_cut);
	end_early(exchange, "revoked");
}

void exchange_expire(struct exchange *exchange)
{
	front_count(thread_of(exchange), exchanges_expired);
	end_early(exchange, "expired");
}

void exchange_request_data(struct exchange *exchange, const char *data, size_t len)
{
	exchange->bytes_in += len;
	if (exchange->wait) {
		authorize_keep_data(exchange->wait, data, len);
		return;
	}
	up_request_data(&exchange->upstream, data, len);
}

void exchange_request_end(struct exchange *exchange, struct http_head *trailers)
{
	if (trailers)
		exchange_fields_trailers(trailers);
	if (exchange->wait) {
		authorize_keep_end(exchange->wait, trailers);
		return;
	}
	up_request_end(&exchange->upstream, trailers);
}

void exchange_request_flush(struct exchange *exchange)
{
	if (!exchange->wait)
		up_request_flush(&exchange->upstream);
}

bool exchange_request_blocked(struct exchange *exchange)
{
	return exchange->wait || up_request_blocked(&exchange->upstream);
}

void exchange_resume(struct exchange *exchange)
{
	if (!exchange->wait)
		up_request_resume(&exchange->upstream);
}

void exchange_abort(struct exchange *exchange)
{
	if (exchange->wait)
		authorize_abandon(exchange);
	else
		up_request_abort(&exchange->upstream);
	exchange_finish(exchange, "client");
}
