/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's API as a client sees it: one call, one parsed reply. Speaks HTTP
 * through libcurl, over the unix socket of this host or over HTTPS with a token.
 */
#ifndef HOODY_CLI_API_H
#define HOODY_CLI_API_H

#include <stddef.h>
#include <yyjson.h>

#define API_DEFAULT    "unix:/run/hoody/control.sock"
#define API_REPLY_MAX  (16 << 20) /* bytes; a page of a list is far below */
#define API_CONNECT_MS 5000
#define API_REPLY_MS   60000 /* a stop waits until connections are cut */
#define API_FAULT_MAX  512

struct api;

struct api_reply {
	long status;	 /* HTTP; 0 where there was no reply at all */
	yyjson_doc *doc; /* owns all below; NULL without a reply */
	yyjson_val *root;
	yyjson_val *data;	   /* of a success */
	yyjson_val *error;	   /* of a refusal: {code, message, field?} */
	char fault[API_FAULT_MAX]; /* why there is neither data nor error */
};

/*
 * api_open(): @address is "unix:PATH" or "https://HOST[:PORT][/PREFIX]", @token
 * and @ca_file (trusted in place of the system's) may be NULL. NULL with the
 * reason in @fault.
 */
struct api *api_open(const char *address, const char *token, const char *ca_file,
		     char fault[API_FAULT_MAX]);
void api_close(struct api *api);
const char *api_address(const struct api *api);

/*
 * api_call(): @path starts with "/api/". @body is JSON or NULL. Fills @reply,
 * which api_reply_clear() frees. 0 with reply->data; -EREMOTEIO with
 * reply->error where the agent refused; -EIO with reply->fault otherwise.
 */
int api_call(struct api *api, const char *method, const char *path, const char *body,
	     struct api_reply *reply);
void api_reply_clear(struct api_reply *reply);

#endif /* HOODY_CLI_API_H */
