/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields on their way through. Nothing in front of this proxy is trusted, so
 * whatever a client says about where it comes from is dropped and said anew:
 *
 *	X-Forwarded-For		the client's address, nothing else
 *	X-Forwarded-Proto	http or https
 *	X-Forwarded-Host	what the client called, as in Host
 *	X-Forwarded-Port	the port in it, or the scheme's
 *	X-Hoody-Instance	the instance number in the host name
 *	Early-Data		1 where the handshake is not over (RFC 8470 5.1)
 *	X-Hoody-Pass		to a middleware alone (front/middleware.h)
 *	X-Hoody-Real-IP		socket or header: where the address is to be found
 *				(added by upstream/, which opens the socket)
 *
 * Forwarded (RFC 7239) is not sent, so that there is one truth; X-Real-IP and
 * its relatives are removed. Date and Server are the app's own affair.
 */
#include <string.h>

#include "front/middleware.h"

/* ":8443" of the authority, else the scheme's default. */
static struct http_text forwarded_port(const struct http_head *head)
{
	size_t i = head->authority.len;

	while (i && head->authority.data[i - 1] >= '0' && head->authority.data[i - 1] <= '9')
		i--;
	if (i && i < head->authority.len && head->authority.data[i - 1] == ':')
		return (struct http_text){head->authority.data + i, head->authority.len - i};
	return head->tls ? HTTP_TEXT("443") : HTTP_TEXT("80");
}

static void drop_request_fields(struct http_head *head)
{
	unsigned int i;

	http_head_strip_hops(head);
	for (i = 0; i < head->fields_count; i++) {
		struct http_field *field = &head->fields[i];

		switch (field->id) {
		case HTTP_FIELD_FORWARDED:
		case HTTP_FIELD_HOODY:
		case HTTP_FIELD_HOST:	/* head->authority stands for it */
			field->drop = true;
			break;
		case HTTP_FIELD_EXPECT:
			/* RFC 9110 10.1.1: not for HTTP/1.0, which knows no 100. */
			field->drop = !head->minor;
			break;
		case HTTP_FIELD_TRAILER:
			field->drop = head->framing != HTTP_BODY_STREAM;
			break;
		default:
			break;
		}
	}
}

/* TE is for one hop; that trailers are welcome holds for the next one too. */
static bool add_te(struct http_head *head)
{
	return http_head_add(head, HTTP_TEXT("TE"), HTTP_TEXT("trailers")) &&
	       http_head_add(head, HTTP_TEXT("Connection"), HTTP_TEXT("TE"));
}

bool exchange_fields_request(struct http_head *head, const struct exchange *exchange,
			     unsigned int instance, struct http_text pass,
			     struct exchange_fields *scratch)
{
	struct http_text client = {exchange->connection->client_text, 0};
	struct http_text number = {scratch->instance, 0};

	if (exchange->passed) {
		address_format(&exchange->client.address, scratch->client);
		client.data = scratch->client;
	}
	client.len = strlen(client.data);
	drop_request_fields(head);
	if (pass.len && !http_head_add(head, HTTP_TEXT(MIDDLEWARE_PASS_FIELD), pass))
		return false;
	if (exchange->early && !http_head_add(head, HTTP_TEXT("Early-Data"), HTTP_TEXT("1")))
		return false;
	if (head->te_trailers && !head->upgrade && !add_te(head))
		return false;
	number.len = http_number(scratch->instance, instance);
	return http_head_add(head, HTTP_TEXT("X-Forwarded-For"), client) &&
	       http_head_add(head, HTTP_TEXT("X-Forwarded-Proto"),
			     head->tls ? HTTP_TEXT("https") : HTTP_TEXT("http")) &&
	       http_head_add(head, HTTP_TEXT("X-Forwarded-Host"), head->authority) &&
	       http_head_add(head, HTTP_TEXT("X-Forwarded-Port"), forwarded_port(head)) &&
	       http_head_add(head, HTTP_TEXT("X-Hoody-Instance"), number);
}

/*
 * Another version of HTTP or TLS on the same connection would carry requests
 * past routing and permissions: those are not offered on.
 */
static bool upgrade_allowed(struct http_text list)
{
	struct http_text token;

	while (http_list_next(&list, &token)) {
		if (http_text_equal(token, HTTP_TEXT("h2c")) ||
		    http_text_equal(token, HTTP_TEXT("h2")) ||
		    (token.len >= 4 &&
		     (http_text_equal((struct http_text){token.data, 4}, HTTP_TEXT("http")) ||
		      http_text_equal((struct http_text){token.data, 4}, HTTP_TEXT("tls/")))))
			return false;
	}
	return true;
}

struct http_text exchange_fields_upgrade(const struct http_head *head)
{
	struct http_text upgrade = {0};
	unsigned int i;

	/* A body in between would make it unclear where the new protocol begins. */
	if (!head->upgrade || head->framing != HTTP_BODY_NONE)
		return upgrade;
	for (i = 0; i < head->fields_count; i++) {
		if (head->fields[i].id != HTTP_FIELD_UPGRADE)
			continue;
		if (upgrade.len || !upgrade_allowed(head->fields[i].value))
			return (struct http_text){0};
		upgrade = head->fields[i].value;
	}
	return upgrade;
}

void exchange_fields_response(struct http_head *head)
{
	unsigned int i;

	http_head_strip_hops(head);
	for (i = 0; i < head->fields_count; i++) {
		if (head->fields[i].id == HTTP_FIELD_TRAILER)
			head->fields[i].drop = head->framing != HTTP_BODY_STREAM;
	}
}

void exchange_fields_trailers(struct http_head *trailers)
{
	unsigned int i;

	for (i = 0; i < trailers->fields_count; i++)
		trailers->fields[i].drop = !http_trailer_allowed(trailers->fields[i].id);
}
