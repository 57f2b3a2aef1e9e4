// SPDX-License-Identifier: Apache-2.0
/*
 * Transport of API calls. A reply is bounded in size and time; redirects are
 * never followed and, on the unix socket, no proxy of the environment is asked,
 * so that a token goes to the address that was given and nowhere else.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api.h"

struct api {
	CURL *curl;
	struct curl_slist *headers;
	char *address;
	const char *socket; /* path in @address, or NULL for HTTPS */
	char error[CURL_ERROR_SIZE];
	char *body; /* of the reply being read */
	size_t length;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void explain(char fault[API_FAULT_MAX],
							  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault, API_FAULT_MAX, format, args);
	va_end(args);
}

/* libcurl's write callback; a short return ends the transfer. */
static size_t receive(char *data, size_t one, size_t count, void *context)
{
	struct api *api = context;
	size_t room = api->room ?: 4096;
	char *grown;

	if (count > API_REPLY_MAX - api->length)
		return 0;
	while (room < api->length + count + 1)
		room *= 2;
	if (room != api->room) {
		grown = realloc(api->body, room);
		if (!grown)
			return 0;
		api->body = grown;
		api->room = room;
	}
	memcpy(api->body + api->length, data, count);
	api->length += count;
	return count;
}

static int add_header(struct api *api, const char *text)
{
	struct curl_slist *longer = curl_slist_append(api->headers, text);

	if (!longer)
		return -ENOMEM;
	api->headers = longer;
	return 0;
}

static int add_token(struct api *api, const char *token, char fault[API_FAULT_MAX])
{
	char header[4200];
	const unsigned char *c;

	for (c = (const unsigned char *)token; *c; c++) {
		if (*c <= ' ' || *c > '~') {
			explain(fault, "HOODY_TOKEN has a blank or unprintable character: copy the "
				       "token again, without its line end");
			return -EINVAL;
		}
	}
	if ((size_t)snprintf(header, sizeof(header), "Authorization: Bearer %s", token) >=
	    sizeof(header)) {
		explain(fault, "HOODY_TOKEN is longer than 4096 characters: that is no token");
		return -EINVAL;
	}
	return add_header(api, header);
}

static int set_address(struct api *api, char fault[API_FAULT_MAX])
{
	size_t len = strlen(api->address);

	if (!strncmp(api->address, "unix:", 5)) {
		api->socket = api->address + 5;
		if (api->socket[0] != '/' ||
		    strlen(api->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
			explain(fault,
				"HOODY_API: '%s' must be unix: and an absolute path of at "
				"most 107 characters",
				api->address);
			return -EINVAL;
		}
		return 0;
	}
	while (len && api->address[len - 1] == '/')
		api->address[--len] = 0;
	if (strncmp(api->address, "https://", 8) || len == 8) {
		explain(fault,
			"HOODY_API: '%s' must be unix:PATH or https://HOST (a token is "
			"never sent unencrypted)",
			api->address);
		return -EINVAL;
	}
	return 0;
}

static int set_options(struct api *api, const char *ca_file)
{
	CURL *curl = api->curl;
	const char *protocol = api->socket ? "http" : "https";
	const long oldest = CURL_SSLVERSION_TLSv1_2;
	CURLcode code = CURLE_OK;

	code = code ?: curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, api->error);
	code = code ?: curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	code = code ?: curl_easy_setopt(curl, CURLOPT_WRITEDATA, api);
	code = code ?: curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	code = code ?: curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	code = code ?: curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)API_CONNECT_MS);
	code = code ?: curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)API_REPLY_MS);
	code = code ?: curl_easy_setopt(curl, CURLOPT_USERAGENT, "hoody/" HOODY_VERSION);
	code = code ?: curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocol);
	if (api->socket) {
		code = code ?: curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, api->socket);
		code = code ?: curl_easy_setopt(curl, CURLOPT_PROXY, "");
	} else {
		code = code ?: curl_easy_setopt(curl, CURLOPT_SSLVERSION, oldest);
		if (ca_file) {
			/* These and no others: without the system's directory too. */
			code = code ?: curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
			code = code ?: curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
		}
	}
	return code ? -EIO : 0;
}

struct api *api_open(const char *address, const char *token, const char *ca_file,
		     char fault[API_FAULT_MAX])
{
	struct api *api = calloc(1, sizeof(*api));

	explain(fault, "out of memory");
	if (!api)
		return NULL;
	api->address = strdup(address);
	if (!api->address || set_address(api, fault))
		goto err_close;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(api->curl = curl_easy_init())) {
		explain(fault, "libcurl does not start");
		goto err_close;
	}
	/* "Expect:" would cost every call with a body a round trip. */
	if (add_header(api, "Accept: application/json") || add_header(api, "Expect:") ||
	    add_header(api, "Content-Type: application/json"))
		goto err_close;
	if (token && *token && add_token(api, token, fault))
		goto err_close;
	if (set_options(api, ca_file && *ca_file ? ca_file : NULL)) {
		explain(fault, "this libcurl lacks a protocol that is needed");
		goto err_close;
	}
	return api;

err_close:
	api_close(api);
	return NULL;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	if (api->curl)
		curl_easy_cleanup(api->curl);
	curl_slist_free_all(api->headers);
	free(api->address);
	free(api->body);
	free(api);
}

const char *api_address(const struct api *api)
{
	return api->address;
}

/* What the operator can do about a call that got no reply. */
static void explain_transport(const struct api *api, CURLcode code, char fault[API_FAULT_MAX])
{
	const char *reason = api->error[0] ? api->error : curl_easy_strerror(code);
	long error = 0;

	if (code == CURLE_WRITE_ERROR) {
		explain(fault, "the reply of %s is larger than %d MiB: refused", api->address,
			API_REPLY_MAX >> 20);
		return;
	}
	if (!api->socket) {
		explain(fault, "%s: %s%s", api->address, reason,
			code == CURLE_PEER_FAILED_VERIFICATION
				? " (HOODY_CA names a file with certificates to trust)"
				: "");
		return;
	}
	if (code == CURLE_COULDNT_CONNECT) {
		curl_easy_getinfo(api->curl, CURLINFO_OS_ERRNO, &error);
		if (error == EACCES || error == EPERM)
			explain(fault,
				"%s: permission denied: run it as root, or set HOODY_API to "
				"the https:// address and HOODY_TOKEN",
				api->socket);
		else
			explain(fault,
				"the agent does not answer at %s: %s; is it running? "
				"(systemctl status hoody-agent)",
				api->socket, error ? strerror((int)error) : "no connection");
		return;
	}
	explain(fault, "%s: %s", api->socket, reason);
}

/* Sorts a complete reply into data, error or fault. */
static int understand(const struct api *api, struct api_reply *reply)
{
	bool success = reply->status >= 200 && reply->status < 300;

	reply->doc =
		api->length ? yyjson_read(api->body, api->length, YYJSON_READ_BIGNUM_AS_RAW) : NULL;
	reply->root = yyjson_doc_get_root(reply->doc);
	reply->data = yyjson_obj_get(reply->root, "data");
	reply->error = yyjson_obj_get(reply->root, "error");
	if (success && reply->data)
		return 0;
	if (!success && yyjson_is_obj(reply->error))
		return -EREMOTEIO;
	explain(reply->fault, "%s answered with status %ld and no %s: is that a hoody agent?",
		api->address, reply->status, success ? "data" : "error that can be read");
	return -EIO;
}

int api_call(struct api *api, const char *method, const char *path, const char *body,
	     struct api_reply *reply)
{
	char url[2048];
	CURLcode code;

	memset(reply, 0, sizeof(*reply));
	api->length = 0;
	api->error[0] = 0;
	/* The host part is what the agent sees as Host; the socket says where it goes. */
	if ((size_t)snprintf(url, sizeof(url), "%s%s",
			     api->socket ? "http://localhost" : api->address,
			     path) >= sizeof(url)) {
		explain(reply->fault, "the address %s is too long", api->address);
		return -EIO;
	}
	code = curl_easy_setopt(api->curl, CURLOPT_URL, url);
	code = code ?: curl_easy_setopt(api->curl, CURLOPT_HTTPHEADER, api->headers);
	code = code ?: curl_easy_setopt(api->curl, CURLOPT_HTTPGET, 1L);
	if (body) {
		code = code
			       ?: curl_easy_setopt(api->curl, CURLOPT_POSTFIELDSIZE,
						   (long)strlen(body));
		code = code ?: curl_easy_setopt(api->curl, CURLOPT_POSTFIELDS, body);
	}
	code = code ?: curl_easy_setopt(api->curl, CURLOPT_CUSTOMREQUEST, method);
	code = code ?: curl_easy_perform(api->curl);
	if (code) {
		explain_transport(api, code, reply->fault);
		return -EIO;
	}
	curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &reply->status);
	return understand(api, reply);
}

void api_reply_clear(struct api_reply *reply)
{
	yyjson_doc_free(reply->doc);
	memset(reply, 0, sizeof(*reply));
}
