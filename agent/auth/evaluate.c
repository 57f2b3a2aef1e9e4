// SPDX-License-Identifier: Apache-2.0
/*
 * Deciding about a request, see evaluate.h for the rules. First who the client
 * is (a set of groups), then what the service gives to whom (sets again), then
 * the answer.
 */
#include "auth/evaluate_internal.h"
#include "auth/base64.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Decoded Basic credentials: user name, ":", password. */
#define BASIC_MAX	(PERMISSIONS_USERNAME_MAX + 1 + PERMISSIONS_PASSWORD_MAX)

const char *auth_reason_name(enum auth_reason reason)
{
	static const char *const names[AUTH_REASON_COUNT] = {
#define X(name) [AUTH_REASON_##name] = #name,
		AUTH_REASONS(X)
#undef X
	};

	return names[reason];
}

int evaluation_known(const struct evaluation *evaluation, const uint8_t secret[AUTH_SECRET_ID_LEN])
{
	const struct auth_job *settled = evaluation->settled;

	if (settled && !memcmp(settled->digest, evaluation->digest, AUTH_DIGEST_LEN)) {
		for (unsigned int i = 0; i < settled->checks_count; i++) {
			if (!memcmp(settled->checks[i].secret, secret, AUTH_SECRET_ID_LEN))
				return settled->checks[i].fits;
		}
	}
	return auth_cache_get(evaluation->context->cache, evaluation->digest, secret,
			      evaluation->request->now_monotonic);
}

/* The last piece that begins at or before the address; the first begins at zero. */
static struct blob_set groups_of_v4(const struct auth_blob *blob, uint32_t address)
{
	const struct blob_range4 *ranges = BLOB_AT(blob, ranges4, blob_range4);
	uint32_t low = 0, high = blob->ranges4.count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (ranges[middle].first <= address)
			low = middle;
		else
			high = middle;
	}
	return ranges[low].groups;
}

static struct blob_set groups_of_v6(const struct auth_blob *blob, const struct in6_addr *address)
{
	const struct blob_range6 *ranges = BLOB_AT(blob, ranges6, blob_range6);
	uint32_t low = 0, high = blob->ranges6.count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(ranges[middle].first, address, sizeof(*address)) <= 0)
			low = middle;
		else
			high = middle;
	}
	return ranges[low].groups;
}

static void match_address(struct evaluation *evaluation)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct address *client = &evaluation->request->client;
	struct in_addr mapped = client->v4;
	bool is_v4 = client->family == AF_INET;

	if (client->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&client->v6)) {
		memcpy(&mapped, &client->v6.s6_addr[12], sizeof(mapped));
		is_v4 = true;
	}
	if (is_v4 && blob->ranges4.count)
		evaluation->matched = groups_of_v4(blob, ntohl(mapped.s_addr));
	else if (!is_v4 && blob->ranges6.count)
		evaluation->matched = groups_of_v6(blob, &client->v6);
}

/* "<scheme> <rest>", RFC 9110 11.4: the scheme in any case, one blank or more. */
static bool credentials_of(struct http_text value, struct http_text scheme, struct http_text *rest)
{
	struct http_text head = { value.data, scheme.len };
	size_t at = scheme.len;

	if (value.len <= at || value.data[at] != ' ' || !http_text_equal(head, scheme))
		return false;
	while (at < value.len && value.data[at] == ' ')
		at++;
	*rest = (struct http_text){ value.data + at, value.len - at };
	return rest->len > 0;
}

static void match_token(struct evaluation *evaluation, struct http_text token)
{
	const struct blob_token *tokens = BLOB_AT(evaluation->blob, tokens, blob_token);
	uint32_t low = 0, high = evaluation->blob->tokens.count;
	uint8_t hash[SECRET_HASH_LEN];

	if (!high || token.len > PERMISSIONS_TOKEN_MAX)
		return;
	if (!secret_token_hash(token.data, token.len, hash)) {
		evaluation->no_memory = true;
		return;
	}
	/*
	 * The search tells by its time where a hash lies, which leads to no token;
	 * whether it is the right one is asked in constant time.
	 */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(tokens[middle].hash, hash, sizeof(hash)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < evaluation->blob->tokens.count &&
	    secret_equal(tokens[low].hash, hash, sizeof(hash)))
		evaluation->matched = blob_set_or(evaluation->matched, tokens[low].groups);
}

/* Every entry with the user name, which is no secret: an unknown one costs nothing. */
static void match_password(struct evaluation *evaluation, struct http_text user)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_password *passwords = BLOB_AT(blob, passwords, blob_password);

	for (uint32_t i = 0; i < blob->passwords.count; i++) {
		const struct blob_password *password = &passwords[i];
		int known;

		if (password->username.len != user.len ||
		    memcmp(blob_text(blob, password->username), user.data, user.len))
			continue;
		known = evaluation_known(evaluation, password->salt);
		if (known == 1) {
			blob_set_add(&evaluation->matched, password->group);
		} else if (known < 0) {
			blob_set_add(&evaluation->unresolved, password->group);
			evaluation->checks[evaluation->checks_count++] = (uint16_t)i;
		}
	}
}

/* @decoded stays in use until the job is made. */
static void match_basic(struct evaluation *evaluation, struct http_text credentials,
			char decoded[BASIC_MAX])
{
	ssize_t len = base64_decode(BASE64_STANDARD, credentials.data, credentials.len,
				    (uint8_t *)decoded, BASIC_MAX);
	const char *colon = len > 0 ? memchr(decoded, ':', len) : NULL;

	if (!colon)
		return;
	evaluation->is_password = true;
	evaluation->password = (struct http_text){ colon + 1, len - (colon + 1 - decoded) };
	/* With the user name: what is known of a password is known of this pair. */
	if (!auth_cache_digest(evaluation->context->cache, 'p',
			       (struct http_text){ decoded, len }, evaluation->digest)) {
		evaluation->no_memory = true;
		return;
	}
	match_password(evaluation, (struct http_text){ decoded, colon - decoded });
}

/* Returns whether @token was filled and has to be cleared. */
static bool match_bearer(struct evaluation *evaluation, struct http_text text,
			 struct jwt_token *token)
{
	evaluation->bearer_shown = true;
	match_token(evaluation, text);
	if (!evaluation->blob->jwts.count || jwt_token_parse(text.data, text.len, token))
		return false;
	if (!auth_cache_digest(evaluation->context->cache, 'j', text, evaluation->digest)) {
		evaluation->no_memory = true;
		return true;
	}
	evaluate_jwt(evaluation, token);
	return true;
}

static const struct blob_service *service_find(const struct auth_blob *blob,
					       struct http_text service)
{
	const struct blob_service *services = BLOB_AT(blob, services, blob_service);
	uint32_t low = 0, high = blob->services.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct blob_text name = services[middle].name;
		int order = memcmp(blob_text(blob, name), service.data,
				   name.len < service.len ? name.len : service.len);

		if (!order && name.len == service.len)
			return &services[middle];
		if (order ? order < 0 : name.len < service.len)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The groups that may do what the request does. */
static struct blob_set granted(const struct evaluation *evaluation,
			       const struct blob_service *service, const char **action)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_action *actions = BLOB_AT(blob, actions, blob_action);
	struct blob_set result = service->allow;

	if (!service->actions_count)
		return result;
	*action = action_find(evaluation->context->actions, evaluation->request->service,
			      &evaluation->request->action);
	for (uint32_t i = 0; *action && i < service->actions_count; i++) {
		struct blob_text name = actions[service->actions_first + i].name;

		if (strlen(*action) == name.len &&
		    !memcmp(blob_text(blob, name), *action, name.len))
			result = blob_set_or(result,
					     actions[service->actions_first + i].groups);
	}
	return result;
}

static void conclude(const struct evaluation *evaluation, struct auth_decision *decision,
		     enum auth_verdict verdict, enum auth_reason reason, const struct blob_set *who)
{
	const struct auth_blob *blob = evaluation->blob;

	decision->verdict = verdict;
	decision->reason = reason;
	if (who && !blob_set_empty(who)) {
		struct blob_text name;

		decision->group = (int)blob_set_first(who);
		name = BLOB_AT(blob, groups, blob_group)[decision->group].name;
		decision->group_name = (struct http_text){ blob_text(blob, name), name.len };
	}
}

/* The job for what is not known; false: no memory. */
static bool make_job(const struct evaluation *evaluation, struct auth_decision *decision)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_password *passwords = BLOB_AT(blob, passwords, blob_password);
	const struct blob_key *keys = BLOB_AT(blob, keys, blob_key);
	const struct jwt_token *token = evaluation->token;
	bool is_password = evaluation->is_password;
	struct http_text input = is_password ? evaluation->password :
					       (struct http_text){ token->input, token->input_len };
	size_t signature = is_password ? 0 : token->signature_len, at = input.len + signature;
	size_t size = at;
	struct auth_job *job;

	for (unsigned int i = 0; !is_password && i < evaluation->checks_count; i++)
		size += keys[evaluation->checks[i]].bytes.len;
	job = auth_job_create(evaluation->checks_count, size);
	if (!job)
		return false;
	job->client = evaluation->request->client;
	job->is_password = is_password;
	job->input_len = (uint32_t)input.len;
	job->signature_len = (uint32_t)signature;
	memcpy(job->digest, evaluation->digest, sizeof(job->digest));
	memcpy(job->bytes, input.data, input.len);
	if (!is_password) {
		job->alg = token->alg;
		memcpy(job->bytes + input.len, token->signature, signature);
	}
	for (unsigned int i = 0; i < evaluation->checks_count; i++) {
		struct auth_check *check = &job->checks[i];
		const struct blob_password *password = &passwords[evaluation->checks[i]];
		const struct blob_key *key = &keys[evaluation->checks[i]];

		if (is_password) {
			check->password = (struct secret_password){ password->memory_kib,
								    password->passes,
								    password->lanes, { 0 }, { 0 } };
			memcpy(check->password.salt, password->salt, SECRET_SALT_LEN);
			memcpy(check->password.hash, password->hash, SECRET_HASH_LEN);
			memcpy(check->secret, password->salt, AUTH_SECRET_ID_LEN);
			continue;
		}
		memcpy(check->secret, key->id, AUTH_SECRET_ID_LEN);
		check->key_offset = (uint32_t)at;
		check->key_len = key->bytes.len;
		memcpy(job->bytes + at, blob_text(blob, key->bytes), key->bytes.len);
		at += key->bytes.len;
	}
	decision->job = job;
	return true;
}

/* Refused, but how: 401 where credentials that match would have helped. */
static void refuse(const struct evaluation *evaluation, struct auth_decision *decision,
		   struct blob_set grant, enum auth_reason reason, const struct blob_set *who)
{
	const struct auth_blob *blob = evaluation->blob;
	struct blob_set basic = blob_set_and(grant, blob->by_basic);
	struct blob_set bearer = blob_set_and(grant, blob->by_bearer);
	struct blob_set shown = blob_set_without(evaluation->matched, blob->by_address);

	conclude(evaluation, decision, AUTH_FORBIDDEN, reason, who);
	if (!blob_set_empty(&shown) || (blob_set_empty(&basic) && blob_set_empty(&bearer)))
		return;
	decision->verdict = AUTH_UNAUTHORIZED;
	decision->challenge_basic = !blob_set_empty(&basic);
	decision->challenge_bearer = !blob_set_empty(&bearer);
	decision->bearer_invalid = evaluation->bearer_shown;
}

static void decide(struct evaluation *evaluation, struct auth_decision *decision)
{
	static const struct blob_service nothing;
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_service *service = service_find(blob, evaluation->request->service);
	struct blob_set credentials = blob_set_or(blob->by_basic, blob->by_bearer);
	struct blob_set grant, who;
	bool waits = !blob_set_empty(&evaluation->unresolved), hope;

	service = service ? service : &nothing;
	grant = granted(evaluation, service, &decision->action);
	who = blob_set_and(evaluation->matched, service->refuse);
	if (!blob_set_empty(&who)) {
		conclude(evaluation, decision, AUTH_FORBIDDEN, AUTH_REASON_refused_group, &who);
		return;
	}
	/* Where nothing that is still unknown can let it in, nothing is checked. */
	who = blob_set_and(grant, blob_set_or(credentials, evaluation->matched));
	hope = blob->default_allow || !blob_set_empty(&who);
	if (waits && hope) {
		conclude(evaluation, decision, AUTH_PENDING, AUTH_REASON_pending, NULL);
		if (!make_job(evaluation, decision))
			conclude(evaluation, decision, AUTH_UNAVAILABLE,
				 AUTH_REASON_refused_no_memory, NULL);
		return;
	}
	who = blob_set_and(evaluation->matched, credentials);
	decision->strip_authorization = !blob_set_empty(&who);
	who = blob_set_and(evaluation->matched, grant);
	if (!blob_set_empty(&who)) {
		conclude(evaluation, decision, AUTH_ALLOW, AUTH_REASON_allowed_group, &who);
		return;
	}
	who = blob_set_and(evaluation->matched, service->listed);
	if (!blob_set_empty(&who))
		refuse(evaluation, decision, grant, AUTH_REASON_refused_action, &who);
	else if (blob->default_allow)
		conclude(evaluation, decision, AUTH_ALLOW, AUTH_REASON_allowed_default, NULL);
	else
		refuse(evaluation, decision, grant, AUTH_REASON_refused_default, NULL);
}

void auth_evaluate(const struct auth_context *context, const struct auth_blob *blob,
		   const struct auth_request *request, const struct auth_job *settled,
		   struct auth_decision *decision)
{
	struct evaluation evaluation = { .context = context, .blob = blob, .request = request,
					 .settled = settled };
	char decoded[BASIC_MAX];
	struct jwt_token token;
	struct http_text rest;
	bool has_token = false;

	memset(decision, 0, sizeof(*decision));
	decision->group = -1;
	decision->reason = AUTH_REASON_allowed_open;
	if (!blob)
		return;
	match_address(&evaluation);
	evaluation.no_memory = settled && settled->failed;
	if (request->authorization_count > 1 &&
	    !(blob_set_empty(&blob->by_basic) && blob_set_empty(&blob->by_bearer))) {
		/* Two programs could each take another one. */
		conclude(&evaluation, decision, AUTH_MALFORMED, AUTH_REASON_refused_malformed,
			 NULL);
		return;
	}
	if (request->authorization_count == 1) {
		struct http_text value = request->authorization[0];

		if (!blob_set_empty(&blob->by_bearer) &&
		    credentials_of(value, HTTP_TEXT("Bearer"), &rest))
			has_token = match_bearer(&evaluation, rest, &token);
		else if (!blob_set_empty(&blob->by_basic) &&
			 credentials_of(value, HTTP_TEXT("Basic"), &rest))
			match_basic(&evaluation, rest, decoded);
	}
	if (evaluation.no_memory)
		conclude(&evaluation, decision, AUTH_UNAVAILABLE, AUTH_REASON_refused_no_memory,
			 NULL);
	else
		decide(&evaluation, decision);
	decision->expires = evaluation.expires;
	if (has_token)
		jwt_token_clear(&token);
	if (evaluation.is_password)
		secret_wipe(decoded, sizeof(decoded));
}

size_t auth_challenge(const struct auth_decision *decision, struct http_text service,
		      unsigned int index, char out[AUTH_CHALLENGE_MAX])
{
	int len = 0;

	/* Basic first: it is what browsers prompt for (RFC 7617, UTF-8 by section 2.1). */
	if (decision->challenge_basic && index-- == 0)
		len = snprintf(out, AUTH_CHALLENGE_MAX, "Basic realm=\"%.*s\", charset=\"UTF-8\"",
			       (int)service.len, service.data);
	else if (decision->challenge_bearer && index == 0)
		len = snprintf(out, AUTH_CHALLENGE_MAX, "Bearer realm=\"%.*s\"%s",
			       (int)service.len, service.data,
			       decision->bearer_invalid ? ", error=\"invalid_token\"" : "");
	return len > 0 && len < AUTH_CHALLENGE_MAX ? (size_t)len : 0;
}
