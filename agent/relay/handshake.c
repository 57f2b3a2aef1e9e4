// SPDX-License-Identifier: Apache-2.0
/* The proxy's side of the conversation is in the RFCs that handshake.h names. */
#include "relay/handshake.h"

#include "auth/base64.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SOCKS_VERSION		5
#define SOCKS_LOGIN_VERSION	1
#define SOCKS_NO_LOGIN		0
#define SOCKS_LOGIN		2
#define SOCKS_CONNECT		1
#define SOCKS_ASSOCIATE		3
#define SOCKS_IPV4		1
#define SOCKS_NAME		3
#define SOCKS_IPV6		4

const char *handshake_fault_name(enum handshake_fault fault)
{
	static const char *const names[HANDSHAKE_FAULTS] = {
		[HANDSHAKE_FINE] = "none",
		[HANDSHAKE_MALFORMED] = "malformed",
		[HANDSHAKE_LOGIN] = "login",
		[HANDSHAKE_REFUSED] = "refused",
		[HANDSHAKE_UNREACHABLE] = "unreachable",
	};

	return names[fault];
}

static void put(struct handshake *handshake, const void *bytes, size_t len)
{
	memcpy(handshake->out + handshake->out_len, bytes, len);
	handshake->out_len += len;
}

static void put_byte(struct handshake *handshake, unsigned int byte)
{
	handshake->out[handshake->out_len++] = (char)byte;
}

/* 1: a probe has seen what it wants to see. */
static int put_socks_request(struct handshake *handshake)
{
	const bool v4 = handshake->destination.family == AF_INET;
	const uint16_t port = htons(handshake->port);

	if (handshake->probe) {
		handshake->step = HANDSHAKE_DONE;
		return 1;
	}
	put_byte(handshake, SOCKS_VERSION);
	put_byte(handshake, handshake->associate ? SOCKS_ASSOCIATE : SOCKS_CONNECT);
	put_byte(handshake, 0);
	put_byte(handshake, v4 ? SOCKS_IPV4 : SOCKS_IPV6);
	put(handshake, &handshake->destination.v6, v4 ? 4 : 16);
	put(handshake, &port, sizeof(port));
	handshake->step = HANDSHAKE_ASKED;
	return 0;
}

static void put_socks_login(struct handshake *handshake)
{
	const struct exit_spec *spec = handshake->spec;

	put_byte(handshake, SOCKS_LOGIN_VERSION);
	put_byte(handshake, (unsigned int)strlen(spec->user));
	put(handshake, spec->user, strlen(spec->user));
	put_byte(handshake, (unsigned int)strlen(spec->password));
	put(handshake, spec->password, strlen(spec->password));
	handshake->step = HANDSHAKE_LOGGED_IN;
}

/* CONNECT, or for a probe a request that is the proxy's own to answer. */
static void put_http(struct handshake *handshake)
{
	const struct exit_spec *spec = handshake->spec;
	const struct address_listen to = { handshake->destination, handshake->port };
	char place[ADDRESS_LISTEN_TEXT_MAX], login[2 * EXIT_SECRET_MAX];
	char encoded[BASE64_ENCODED_MAX(sizeof(login))];
	int len;

	address_listen_format(&to, place);
	/* Without a host: with one, a proxy that is also a transparent one would go there. */
	len = handshake->probe ?
		      snprintf(handshake->out, sizeof(handshake->out), "OPTIONS * HTTP/1.0\r\n") :
		      snprintf(handshake->out, sizeof(handshake->out),
			       "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", place, place);
	handshake->out_len = (size_t)len;
	if (spec->has_login) {
		len = snprintf(login, sizeof(login), "%s:%s", spec->user, spec->password);
		base64_encode(BASE64_STANDARD, (const uint8_t *)login, (size_t)len, encoded);
		len = snprintf(handshake->out + handshake->out_len,
			       sizeof(handshake->out) - handshake->out_len,
			       "Proxy-Authorization: Basic %s\r\n", encoded);
		handshake->out_len += (size_t)len;
		explicit_bzero(login, sizeof(login));
		explicit_bzero(encoded, sizeof(encoded));
	}
	put(handshake, "\r\n", 2);
	handshake->step = HANDSHAKE_ASKED;
}

static void begin(struct handshake *handshake)
{
	if (handshake->spec->kind != EXIT_SOCKS5) {
		put_http(handshake);
		return;
	}
	/* One method: a login that was given is not left out because a proxy likes it so. */
	put_byte(handshake, SOCKS_VERSION);
	put_byte(handshake, 1);
	put_byte(handshake, handshake->spec->has_login ? SOCKS_LOGIN : SOCKS_NO_LOGIN);
	handshake->step = HANDSHAKE_GREETED;
}

void handshake_begin(struct handshake *handshake, const struct exit_spec *spec,
		     const struct address *destination, uint16_t port)
{
	memset(handshake, 0, sizeof(*handshake));
	handshake->spec = spec;
	handshake->destination = *destination;
	handshake->port = port;
	begin(handshake);
}

void handshake_begin_probe(struct handshake *handshake, const struct exit_spec *spec)
{
	memset(handshake, 0, sizeof(*handshake));
	handshake->spec = spec;
	handshake->probe = true;
	begin(handshake);
}
/* The proxy's choice of method, two bytes. */
static int feed_method(struct handshake *handshake, const unsigned char *bytes)
{
	const bool login = handshake->spec->has_login;

	if (bytes[0] != SOCKS_VERSION)
		return -HANDSHAKE_MALFORMED;
	if (bytes[1] != (login ? SOCKS_LOGIN : SOCKS_NO_LOGIN))
		return bytes[1] == 0xff ? -HANDSHAKE_LOGIN : -HANDSHAKE_MALFORMED;
	if (login) {
		put_socks_login(handshake);
		return 0;
	}
	return put_socks_request(handshake);
}

/* REP of RFC 1928 6. */
static int socks_fault(unsigned int reply)
{
	switch (reply) {
	case 1:		/* general failure: what many say where they cannot connect */
	case 3:		/* network unreachable */
	case 4:		/* host unreachable */
	case 5:		/* connection refused */
	case 6:		/* TTL expired */
		return -HANDSHAKE_UNREACHABLE;
	case 2:		/* not allowed */
	case 7:		/* command not supported */
	case 8:		/* address type not supported */
		return -HANDSHAKE_REFUSED;
	}
	return -HANDSHAKE_MALFORMED;
}

/* The answer to the request; its length depends on the address in it. */
static int feed_reply(struct handshake *handshake, const unsigned char *bytes, size_t len,
		      size_t *used)
{
	size_t address, whole;

	if (len < 5)
		return 0;
	if (bytes[0] != SOCKS_VERSION || bytes[2] != 0)
		return -HANDSHAKE_MALFORMED;
	if (bytes[1] != 0)
		return socks_fault(bytes[1]);
	switch (bytes[3]) {
	case SOCKS_IPV4:
		address = 4;
		break;
	case SOCKS_IPV6:
		address = 16;
		break;
	case SOCKS_NAME:
		address = 1 + (size_t)bytes[4];
		break;
	default:
		return -HANDSHAKE_MALFORMED;
	}
	whole = 4 + address + 2;
	if (len < whole)
		return 0;
	if (bytes[3] != SOCKS_NAME) {
		handshake->bound.family = bytes[3] == SOCKS_IPV4 ? AF_INET : AF_INET6;
		memcpy(&handshake->bound.v6, bytes + 4, address);
		handshake->bound_port = (uint16_t)(bytes[whole - 2] << 8 | bytes[whole - 1]);
	}
	*used = whole;
	handshake->step = HANDSHAKE_DONE;
	return 1;
}

static int feed_socks(struct handshake *handshake, const unsigned char *bytes, size_t len,
		      size_t *used)
{
	int ret;

	if (handshake->step == HANDSHAKE_ASKED)
		return feed_reply(handshake, bytes, len, used);
	if (len < 2)
		return 0;
	*used = 2;
	if (handshake->step == HANDSHAKE_GREETED) {
		ret = feed_method(handshake, bytes);
	} else {
		if (bytes[0] != SOCKS_LOGIN_VERSION)
			return -HANDSHAKE_MALFORMED;
		ret = bytes[1] ? -HANDSHAKE_LOGIN : put_socks_request(handshake);
	}
	/* It speaks only when it is asked: more by now is no SOCKS5. */
	return ret >= 0 && len > 2 ? -HANDSHAKE_MALFORMED : ret;
}

static int status_fault(unsigned int status)
{
	if (status == 407 || status == 401)
		return -HANDSHAKE_LOGIN;
	return status == 502 || status == 503 || status == 504 ? -HANDSHAKE_UNREACHABLE :
								 -HANDSHAKE_REFUSED;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A whole head, up to its empty line. Nothing in it matters but the status. */
static int feed_http(struct handshake *handshake, const char *bytes, size_t len, size_t *used)
{
	static const char version[] = "HTTP/1.";
	const size_t first = strlen("HTTP/1.1 200");
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);
	unsigned int status;

	/* Refused early where it begins as something else: an HTTP/2 proxy, garbage. */
	if (memcmp(bytes, version, len < sizeof(version) - 1 ? len : sizeof(version) - 1))
		return -HANDSHAKE_MALFORMED;
	if (!end)
		return len >= HANDSHAKE_IN_MAX ? -HANDSHAKE_MALFORMED : 0;
	if ((size_t)(end - bytes) < first || (bytes[7] != '0' && bytes[7] != '1') ||
	    bytes[8] != ' ' || !is_digit(bytes[9]) || !is_digit(bytes[10]) ||
	    !is_digit(bytes[11]) || (bytes[12] != ' ' && bytes[12] != '\r') ||
	    memchr(bytes, '\0', (size_t)(end - bytes)))
		return -HANDSHAKE_MALFORMED;
	status = (unsigned int)((bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + bytes[11] - '0');
	if (handshake->probe ? status_fault(status) == -HANDSHAKE_LOGIN || status < 200 :
			       status / 100 != 2)
		return status < 300 ? -HANDSHAKE_MALFORMED : status_fault(status);
	*used = (size_t)(end - bytes) + 4;
	handshake->step = HANDSHAKE_DONE;
	return 1;
}

int handshake_feed(struct handshake *handshake, const char *bytes, size_t len, size_t *used)
{
	*used = 0;
	handshake->out_len = 0;
	if (handshake->step == HANDSHAKE_DONE)
		return 1;
	if (!len)
		return 0;
	if (handshake->spec->kind == EXIT_SOCKS5)
		return feed_socks(handshake, (const unsigned char *)bytes, len, used);
	return feed_http(handshake, bytes, len, used);
}
