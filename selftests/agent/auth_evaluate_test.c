// SPDX-License-Identifier: Apache-2.0
/*
 * Decisions: what the product's papers promise, case by case, and then random
 * policies and requests against a second evaluator that knows nothing of blobs,
 * sets or caches and follows the written rules one by one. In bodies ' stands
 * for ".
 */
#include "auth/base64.h"
#include "auth_support.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define NOW 1800000000

static struct action_table actions;
static struct auth_context context = { .actions = &actions };

/* ---- promises ---- */

#define OFFICE_CI "{'groups':{'office':{'type':'ip','range':'203.0.113.0/24'}," \
	"'ci':{'type':'token','value':'ci-secret-token'}}," \
	"'permissions':{'office':{'terminal':true,'display':true,'files':true}," \
	"'ci':{'terminal':true,'exec':true,'files':true}},'default':'deny'}"
#define PROJECT "{'groups':{'office':{'type':'ip','range':'203.0.113.0/24'}}," \
	"'permissions':{'office':{'terminal':true,'files':true,'display':true}},'default':'deny'}"
#define PRODUCTION "{'groups':{'office':{'type':'ip','range':'10.0.0.0/8'}," \
	"'ci':{'type':'token','value':'secret-production-token'}}," \
	"'permissions':{'office':{'http':true,'files':true},'ci':{'http':true,'exec':true}}," \
	"'default':'deny'}"
#define GRANULAR "{'groups':{'g':{'type':'token','value':'guest-token'}}," \
	"'permissions':{'g':{'terminal':['execute'],'files':['read'],'display':['view']," \
	"'sqlite':['query']}},'default':'deny'}"
#define PASSWORD "{'groups':{'p':{'type':'password','username':'anna','password':'pw:with:colons'}}," \
	"'permissions':{'p':{'http':true}},'default':'deny'}"
#define OPEN_BUT "{'groups':{'guests':{'type':'ip','range':'198.51.100.0/24'}," \
	"'boss':{'type':'token','value':'boss-token-1'}}," \
	"'permissions':{'guests':{'terminal':false,'files':['read']},'boss':{'files':true}}," \
	"'default':'allow'}"
#define MIXED "{'groups':{'office':{'type':'ip','ranges':['192.0.2.7','2001:db8::/32']}," \
	"'web':{'type':'password','username':'u','password':'p'}," \
	"'api':{'type':'token','value':'api-token-1'}}," \
	"'permissions':{'office':{'http':true},'web':{'http':true},'api':{'http':true}}," \
	"'default':'deny'}"

static const struct {
	const char *name, *body, *client, *authorization, *service, *method, *target;
	enum auth_verdict verdict;
	const char *group;	/* NULL: none */
	bool strip;
	const char *challenges;	/* joined by "|" */
} promises[] = {
	{ "open_without_permissions", NULL, "198.51.100.1", NULL, "terminal", "POST", "/api/v1/terminal/execute", AUTH_ALLOW, NULL, false, "" },
	{ "open_keeps_authorization", NULL, "198.51.100.1", "Bearer x", "http", "GET", "/", AUTH_ALLOW, NULL, false, "" },
	{ "project_office_in", PROJECT, "203.0.113.50", NULL, "terminal", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "project_last_address_in", PROJECT, "203.0.113.255", NULL, "display", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "project_next_address_out", PROJECT, "203.0.114.0", NULL, "terminal", "GET", "/", AUTH_FORBIDDEN, NULL, false, "" },
	{ "project_address_before_out", PROJECT, "203.0.112.255", NULL, "terminal", "GET", "/", AUTH_FORBIDDEN, NULL, false, "" },
	{ "project_mapped_address_in", PROJECT, "::ffff:203.0.113.50", NULL, "terminal", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "project_other_service_out", PROJECT, "203.0.113.50", NULL, "sqlite", "GET", "/", AUTH_FORBIDDEN, NULL, false, "" },
	{ "production_office_http", PRODUCTION, "10.1.2.3", NULL, "http", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "production_office_exec_asks", PRODUCTION, "10.1.2.3", NULL, "exec", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Bearer realm=\"exec\"" },
	{ "production_ci_exec", PRODUCTION, "192.0.2.1", "Bearer secret-production-token", "exec", "POST", "/", AUTH_ALLOW, "ci", true, "" },
	{ "production_ci_files", PRODUCTION, "192.0.2.1", "Bearer secret-production-token", "files", "GET", "/", AUTH_FORBIDDEN, NULL, true, "" },
	{ "production_wrong_token", PRODUCTION, "192.0.2.1", "Bearer secret-production-tokeN", "exec", "POST", "/", AUTH_UNAUTHORIZED, NULL, false, "Bearer realm=\"exec\", error=\"invalid_token\"" },
	{ "ci_token", OFFICE_CI, "192.0.2.1", "Bearer ci-secret-token", "terminal", "POST", "/api/v1/terminal/execute", AUTH_ALLOW, "ci", true, "" },
	{ "ci_scheme_any_case", OFFICE_CI, "192.0.2.1", "bEARER   ci-secret-token", "terminal", "GET", "/", AUTH_ALLOW, "ci", true, "" },
	{ "ci_scheme_basic_is_another", OFFICE_CI, "192.0.2.1", "Basic ci-secret-token", "terminal", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Bearer realm=\"terminal\"" },
	{ "ci_no_scheme", OFFICE_CI, "192.0.2.1", "ci-secret-token", "terminal", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Bearer realm=\"terminal\"" },
	{ "ci_from_the_office_strips", OFFICE_CI, "203.0.113.1", "Bearer ci-secret-token", "terminal", "GET", "/", AUTH_ALLOW, "ci", true, "" },
	{ "office_keeps_apps_token", OFFICE_CI, "203.0.113.1", "Bearer of-the-app", "terminal", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "terminal_execute", GRANULAR, "192.0.2.1", "Bearer guest-token", "terminal", "POST", "/api/v1/terminal/execute", AUTH_ALLOW, "g", true, "" },
	{ "terminal_read_not_listed", GRANULAR, "192.0.2.1", "Bearer guest-token", "terminal", "GET", "/", AUTH_FORBIDDEN, "g", true, "" },
	{ "files_read", GRANULAR, "192.0.2.1", "Bearer guest-token", "files", "GET", "/a", AUTH_ALLOW, "g", true, "" },
	{ "files_write", GRANULAR, "192.0.2.1", "Bearer guest-token", "files", "PUT", "/a", AUTH_FORBIDDEN, "g", true, "" },
	{ "files_delete", GRANULAR, "192.0.2.1", "Bearer guest-token", "files", "DELETE", "/a", AUTH_FORBIDDEN, "g", true, "" },
	{ "display_view", GRANULAR, "192.0.2.1", "Bearer guest-token", "display", "GET", "/", AUTH_ALLOW, "g", true, "" },
	{ "display_control", GRANULAR, "192.0.2.1", "Bearer guest-token", "display", "POST", "/click", AUTH_FORBIDDEN, "g", true, "" },
	{ "database_query", GRANULAR, "192.0.2.1", "Bearer guest-token", "sqlite", "POST", "/api/v1/sqlite/query", AUTH_ALLOW, "g", true, "" },
	{ "database_modify", GRANULAR, "192.0.2.1", "Bearer guest-token", "sqlite", "POST", "/api/v1/sqlite/db?db=/hoody/databases/app.db", AUTH_FORBIDDEN, "g", true, "" },
	{ "database_two_readings", GRANULAR, "192.0.2.1", "Bearer guest-token", "sqlite", "POST", "/api/v1/sqlite/query/../db", AUTH_FORBIDDEN, "g", true, "" },
	{ "granular_asks", GRANULAR, "192.0.2.1", NULL, "files", "GET", "/a", AUTH_UNAUTHORIZED, NULL, false, "Bearer realm=\"files\"" },
	{ "granular_nobody_may_write", GRANULAR, "192.0.2.1", NULL, "files", "PUT", "/a", AUTH_FORBIDDEN, NULL, false, "" },
	{ "password_prompt", PASSWORD, "192.0.2.1", NULL, "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"" },
	{ "password_right", PASSWORD, "192.0.2.1", "Basic YW5uYTpwdzp3aXRoOmNvbG9ucw==", "http", "GET", "/", AUTH_ALLOW, "p", true, "" },
	{ "password_wrong", PASSWORD, "192.0.2.1", "Basic YW5uYTpwdw==", "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"" },
	{ "password_unknown_user", PASSWORD, "192.0.2.1", "Basic YW5uOnB3OndpdGg6Y29sb25z", "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"" },
	{ "password_no_padding", PASSWORD, "192.0.2.1", "Basic YW5uYTpwdzp3aXRoOmNvbG9ucw", "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"" },
	{ "password_no_colon", PASSWORD, "192.0.2.1", "Basic YW5uYQ==", "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"" },
	{ "password_other_service", PASSWORD, "192.0.2.1", NULL, "files", "GET", "/", AUTH_FORBIDDEN, NULL, false, "" },
	{ "false_beats_default", OPEN_BUT, "198.51.100.9", NULL, "terminal", "GET", "/", AUTH_FORBIDDEN, "guests", false, "" },
	{ "false_is_for_the_group", OPEN_BUT, "192.0.2.1", NULL, "terminal", "GET", "/", AUTH_ALLOW, NULL, false, "" },
	{ "list_limits_under_allow", OPEN_BUT, "198.51.100.9", NULL, "files", "GET", "/", AUTH_ALLOW, "guests", false, "" },
	{ "list_asks_who_could_do_more", OPEN_BUT, "198.51.100.9", NULL, "files", "PUT", "/", AUTH_UNAUTHORIZED, "guests", false, "Bearer realm=\"files\"" },
	{ "list_is_widened_by_another", OPEN_BUT, "198.51.100.9", "Bearer boss-token-1", "files", "PUT", "/", AUTH_ALLOW, "boss", true, "" },
	{ "unspoken_service_is_default", OPEN_BUT, "198.51.100.9", NULL, "http", "GET", "/", AUTH_ALLOW, NULL, false, "" },
	{ "mixed_address", MIXED, "192.0.2.7", NULL, "http", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "mixed_address_v6", MIXED, "2001:db8:ffff::1", NULL, "http", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "mixed_v6_outside", MIXED, "2001:db9::1", NULL, "http", "GET", "/", AUTH_UNAUTHORIZED, NULL, false, "Basic realm=\"http\", charset=\"UTF-8\"|Bearer realm=\"http\"" },
	{ "mixed_two_fields", MIXED, "192.0.2.7", "Bearer api-token-1|Basic dTpw", "http", "GET", "/", AUTH_MALFORMED, NULL, false, "" },
	{ "address_only_two_fields_are_the_apps", PROJECT, "203.0.113.50", "Bearer a|Bearer b", "terminal", "GET", "/", AUTH_ALLOW, "office", false, "" },
	{ "default_deny_alone", "{'default':'deny'}", "192.0.2.1", "Bearer x", "http", "GET", "/", AUTH_FORBIDDEN, NULL, false, "" },
	{ "default_allow_alone", "{'default':'allow'}", "192.0.2.1", NULL, "http", "GET", "/", AUTH_ALLOW, NULL, false, "" },
};

static char *double_quotes(const char *text)
{
	char *copy = strdup(text);

	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return copy;
}

static void join_challenges(const struct auth_decision *decision, const char *service, char *out)
{
	char one[AUTH_CHALLENGE_MAX];

	out[0] = '\0';
	for (unsigned int i = 0;
	     auth_challenge(decision, (struct http_text){ service, strlen(service) }, i, one); i++) {
		strcat(out, i ? "|" : "");
		strcat(out, one);
	}
}

static void test_promises(void)
{
	for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
		char *body = promises[i].body ? double_quotes(promises[i].body) : NULL;
		char *fields = promises[i].authorization ? strdup(promises[i].authorization) : NULL;
		struct auth_request request = { .now = NOW };
		struct http_text values[2];
		struct auth_decision decision;
		char challenges[2 * AUTH_CHALLENGE_MAX + 2];
		const struct auth_blob *blob;
		void *data = NULL;
		bool waited;

		blob = body ? support_blob(body, false, &actions, &data) : NULL;
		for (char *field = fields ? strtok(fields, "|") : NULL; field;
		     field = strtok(NULL, "|"))
			values[request.authorization_count++] =
				(struct http_text){ field, strlen(field) };
		request.authorization = values;
		address_parse(promises[i].client, strlen(promises[i].client), &request.client);
		request.service = (struct http_text){ promises[i].service,
						      strlen(promises[i].service) };
		request.action.method = (struct http_text){ promises[i].method,
							    strlen(promises[i].method) };
		request.action.target = (struct http_text){ promises[i].target,
							    strlen(promises[i].target) };
		support_evaluate(&context, blob, &request, &decision, &waited);
		join_challenges(&decision, promises[i].service, challenges);
		if (!tap_ok((blob || !body) && decision.verdict == promises[i].verdict &&
				    decision.strip_authorization == promises[i].strip &&
				    !strcmp(challenges, promises[i].challenges) &&
				    (promises[i].group ?
					     decision.group_name.len == strlen(promises[i].group) &&
						     !memcmp(decision.group_name.data,
							     promises[i].group,
							     decision.group_name.len) :
					     decision.group == -1),
			    "decide_%s", promises[i].name))
			tap_note("verdict %d reason %s group %.*s strip %d challenges %s",
				 decision.verdict, auth_reason_name(decision.reason),
				 (int)decision.group_name.len, decision.group_name.data,
				 decision.strip_authorization, challenges);
		free(data);
		free(body);
		free(fields);
	}
}

/* ---- random policies ---- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned int pick(unsigned int below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 33) % below);
}

static const char *const ranges[] = { "0.0.0.0/0",   "10.0.0.0/8",  "10.1.0.0/16",
				      "10.1.2.0/24", "10.1.2.3",    "10.1.2.128/25",
				      "255.255.255.255", "128.0.0.0/1", "::/0",
				      "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7",
				      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::/1" };
static const char *const clients[] = { "10.1.2.3", "10.1.2.4", "10.1.2.200", "10.1.3.1",
				       "10.200.0.1", "9.255.255.255", "11.0.0.0", "0.0.0.0",
				       "255.255.255.255", "127.255.255.255", "128.0.0.0",
				       "2001:db8::1", "2001:db8:1::7", "2001:db8:1::8",
				       "2001:db8:2::1", "::1", "7fff::", "8000::",
				       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
static const char *const tokens[] = { "token-number-one", "token-number-two",
				      "token-number-three" };
static const char *const users[][2] = { { "anna", "one" }, { "anna", "two" }, { "bob", "one" } };
static const char *const secrets[] = { "0123456789abcdef0123456789abcdef",
				       "fedcba9876543210fedcba9876543210" };
static const char *const services[] = { "terminal", "files", "http" };
static const char *const service_actions[][3] = { { "execute", "read", NULL },
						  { "read", "write", "delete" },
						  { NULL, NULL, NULL } };
static const struct {
	const char *method, *target;
	const char *action[3];		/* by service */
} calls[] = {
	{ "GET", "/", { "read", "read", NULL } },
	{ "POST", "/api/v1/terminal/execute", { "execute", "write", NULL } },
	{ "DELETE", "/x", { "execute", "delete", NULL } },
	{ "GET", "/a%2fb", { NULL, "read", NULL } },
};

/* What a request may carry, and what it proves. */
static struct shown {
	char	text[512];
	int	token;		/* index of tokens, or -1 */
	int	user;		/* of users, or -1 */
	int	secret;		/* of secrets, or -1 */
	int	role;		/* of the token's claim */
} shown[16];
static unsigned int shown_count;

struct random_group {
	enum permissions_type type;
	unsigned int	range[3], ranges_count;
	int		credential;	/* index into the pool of its type */
	int		role;		/* jwt: the claim asked for, or -1 */
	int		grant[3];	/* -1 unsaid, 0 false, 1 true, 2 list */
	unsigned int	list[3];	/* bits of service_actions */
};

struct random_policy {
	unsigned int		count;
	struct random_group	groups[8];
	int			fallback;	/* 0 unsaid, 1 allow, 2 deny */
};

static void add_shown(int token, int user, int secret, int role, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void add_shown(int token, int user, int secret, int role, const char *format, ...)
{
	struct shown *to = &shown[shown_count++];
	va_list args;

	va_start(args, format);
	vsnprintf(to->text, sizeof(to->text), format, args);
	va_end(args);
	to->token = token;
	to->user = user;
	to->secret = secret;
	to->role = role;
}

static void make_jwt(int secret, int role, int exp, char out[512])
{
	char payload[128];

	sprintf(payload, "{\"exp\":%d,\"role\":%d}", exp, role);
	support_jwt(secrets[secret], 32, payload, out);
}

static void make_shown(void)
{
	char text[512], encoded[256];

	add_shown(-1, -1, -1, -1, "%s", "");
	add_shown(-1, -1, -1, -1, "Bearer no-such-token-here");
	add_shown(-1, -1, -1, -1, "Basic bm9ib2R5OngK");
	for (int i = 0; i < 3; i++)
		add_shown(i, -1, -1, -1, "Bearer %s", tokens[i]);
	for (int i = 0; i < 3; i++) {
		sprintf(text, "%s:%s", users[i][0], users[i][1]);
		base64_encode(BASE64_STANDARD, (uint8_t *)text, strlen(text), encoded);
		add_shown(-1, i, -1, -1, "Basic %s", encoded);
	}
	for (int i = 0; i < 2; i++) {
		for (int role = 0; role < 2; role++) {
			make_jwt(i, role, NOW + 600, text);
			add_shown(-1, -1, i, role, "Bearer %s", text);
		}
	}
	make_jwt(0, 0, NOW - 600, text);
	add_shown(-1, -1, -1, -1, "Bearer %s", text);
}

/* Passwords are hashed once: a policy is read in its stored form. */
static char hashes[3][SECRET_PASSWORD_TEXT_MAX];

static void random_policy(struct random_policy *policy)
{
	policy->count = pick(7);
	policy->fallback = (int)pick(3);
	for (unsigned int i = 0; i < policy->count; i++) {
		struct random_group *group = &policy->groups[i];

		group->type = pick(PERMISSIONS_TYPES);
		group->ranges_count = 1 + pick(3);
		for (unsigned int k = 0; k < 3; k++)
			group->range[k] = pick(sizeof(ranges) / sizeof(ranges[0]));
		group->credential = (int)pick(group->type == PERMISSIONS_JWT ? 2 : 3);
		group->role = (int)pick(3) - 1;
		for (unsigned int s = 0; s < 3; s++) {
			group->grant[s] = (int)pick(service_actions[s][0] ? 4 : 3) - 1;
			group->list[s] = 1 + pick(service_actions[s][2] ? 7 : 3);
		}
	}
}

/* A user name may stand in four groups at most. */
static bool policy_allowed(const struct random_policy *policy)
{
	unsigned int anna = 0, bob = 0;

	for (unsigned int i = 0; i < policy->count; i++) {
		if (policy->groups[i].type == PERMISSIONS_PASSWORD) {
			anna += policy->groups[i].credential < 2;
			bob += policy->groups[i].credential == 2;
		}
	}
	return anna <= 4 && bob <= 4;
}

static char *write_group(const struct random_group *group, unsigned int index, char *at)
{
	uint8_t hash[SECRET_HASH_LEN];

	at += sprintf(at, "%s\"g%u\":{\"type\":\"%s\",", index ? "," : "", index,
		      permissions_type_name(group->type));
	switch (group->type) {
	case PERMISSIONS_IP:
		at += sprintf(at, "\"ranges\":[");
		for (unsigned int k = 0; k < group->ranges_count; k++)
			at += sprintf(at, "%s\"%s\"", k ? "," : "", ranges[group->range[k]]);
		return at + sprintf(at, "]}");
	case PERMISSIONS_TOKEN:
		secret_token_hash(tokens[group->credential], strlen(tokens[group->credential]),
				  hash);
		at += sprintf(at, "\"value_sha256\":\"");
		for (unsigned int k = 0; k < sizeof(hash); k++)
			at += sprintf(at, "%02x", hash[k]);
		return at + sprintf(at, "\"}");
	case PERMISSIONS_PASSWORD:
		return at + sprintf(at, "\"username\":\"%s\",\"password_hash\":\"%s\"}",
				    users[group->credential][0], hashes[group->credential]);
	default:
		at += sprintf(at, "\"secret\":\"%s\"", secrets[group->credential]);
		if (group->role >= 0)
			at += sprintf(at, ",\"claims\":{\"role\":%d}", group->role);
		return at + sprintf(at, "}");
	}
}

static void write_policy(const struct random_policy *policy, char *at)
{
	static const char *const fallbacks[] = { "", ",\"default\":\"allow\"",
						 ",\"default\":\"deny\"" };

	at += sprintf(at, "{\"groups\":{");
	for (unsigned int i = 0; i < policy->count; i++)
		at = write_group(&policy->groups[i], i, at);
	at += sprintf(at, "},\"permissions\":{");
	for (unsigned int i = 0; i < policy->count; i++) {
		const struct random_group *group = &policy->groups[i];
		bool first = true;

		at += sprintf(at, "%s\"g%u\":{", i ? "," : "", i);
		for (unsigned int s = 0; s < 3; s++) {
			if (group->grant[s] < 0)
				continue;
			at += sprintf(at, "%s\"%s\":", first ? "" : ",", services[s]);
			first = false;
			if (group->grant[s] < 2) {
				at += sprintf(at, "%s", group->grant[s] ? "true" : "false");
				continue;
			}
			at += sprintf(at, "[");
			for (unsigned int a = 0, n = 0; a < 3; a++) {
				if (group->list[s] >> a & 1)
					at += sprintf(at, "%s\"%s\"", n++ ? "," : "",
						      service_actions[s][a]);
			}
			at += sprintf(at, "]");
		}
		at += sprintf(at, "}");
	}
	sprintf(at, "}%s}", fallbacks[policy->fallback]);
}

/* Bit by bit. */
static bool in_range(const char *range, const char *client)
{
	char network[64];
	uint8_t a[16], b[16];
	int family = strchr(range, ':') ? AF_INET6 : AF_INET;
	int bits = family == AF_INET ? 32 : 128;
	char *slash;

	strcpy(network, range);
	slash = strchr(network, '/');
	if (slash) {
		bits = atoi(slash + 1);
		*slash = '\0';
	}
	if (inet_pton(family, network, a) != 1 || inet_pton(family, client, b) != 1)
		return false;
	for (int i = 0; i < bits; i++) {
		if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

static bool belongs(const struct random_group *group, const char *client, const struct shown *has)
{
	switch (group->type) {
	case PERMISSIONS_IP:
		for (unsigned int k = 0; k < group->ranges_count; k++) {
			if (in_range(ranges[group->range[k]], client))
				return true;
		}
		return false;
	case PERMISSIONS_TOKEN:
		return has->token == group->credential;
	case PERMISSIONS_PASSWORD:
		return has->user == group->credential;
	default:
		return has->secret == group->credential &&
		       (group->role < 0 || group->role == has->role);
	}
}

static bool grants(const struct random_group *group, unsigned int service, const char *action)
{
	if (group->grant[service] != 2)
		return group->grant[service] == 1;
	for (unsigned int a = 0; a < 3; a++) {
		if (group->list[service] >> a & 1 && action &&
		    !strcmp(service_actions[service][a], action))
			return true;
	}
	return false;
}

struct expected {
	enum auth_verdict verdict;
	int	group;
	bool	strip, basic, bearer;
};

/* The rules at the top of evaluate.h, word by word. */
static struct expected reference(const struct random_policy *policy, const char *client,
				 const struct shown *has, unsigned int service,
				 const char *action)
{
	bool allow = policy->fallback == 1 || (policy->fallback == 0 && policy->count == 0);
	struct expected result = { AUTH_FORBIDDEN, -1, false, false, false };
	int refused = -1, granted = -1, listed = -1;
	bool basic = false, bearer = false;

	for (int i = 0; i < (int)policy->count; i++) {
		const struct random_group *group = &policy->groups[i];

		if (!belongs(group, client, has)) {
			if (group->type == PERMISSIONS_PASSWORD)
				basic |= grants(group, service, action);
			else if (group->type != PERMISSIONS_IP)
				bearer |= grants(group, service, action);
			continue;
		}
		result.strip |= group->type != PERMISSIONS_IP;
		if (refused < 0 && group->grant[service] == 0)
			refused = i;
		if (granted < 0 && grants(group, service, action))
			granted = i;
		if (listed < 0 && group->grant[service] == 2)
			listed = i;
	}
	if (refused >= 0) {
		result.group = refused;
		return result;
	}
	if (granted >= 0 || (listed < 0 && allow)) {
		result.verdict = AUTH_ALLOW;
		result.group = granted;
		return result;
	}
	result.group = listed;
	if (!result.strip && (basic || bearer)) {
		result.verdict = AUTH_UNAUTHORIZED;
		result.basic = basic;
		result.bearer = bearer;
	}
	return result;
}

static bool compare_one(const struct auth_blob *blob, const struct random_policy *policy,
			const char *body)
{
	const char *client = clients[pick(sizeof(clients) / sizeof(clients[0]))];
	const struct shown *has = &shown[pick(shown_count)];
	unsigned int service = pick(3), call = pick(sizeof(calls) / sizeof(calls[0]));
	const char *action = calls[call].action[service];
	struct http_text value = { has->text, strlen(has->text) };
	struct auth_request request = { .authorization = &value, .now = NOW };
	struct expected want = reference(policy, client, has, service, action);
	struct auth_decision got;
	bool waited, right;

	request.authorization_count = value.len > 0;
	request.service = (struct http_text){ services[service], strlen(services[service]) };
	request.action.method = (struct http_text){ calls[call].method,
						    strlen(calls[call].method) };
	request.action.target = (struct http_text){ calls[call].target,
						    strlen(calls[call].target) };
	address_parse(client, strlen(client), &request.client);
	support_evaluate(&context, blob, &request, &got, &waited);
	/*
	 * Of a refused request nothing is passed on: then strip may stay unsaid, and
	 * the group too, where no slow check could change the answer.
	 */
	right = got.verdict == want.verdict &&
		(got.group == want.group || (got.verdict == AUTH_FORBIDDEN && got.group == -1)) &&
		(got.verdict != AUTH_ALLOW || got.strip_authorization == want.strip) &&
		got.challenge_basic == want.basic && got.challenge_bearer == want.bearer;
	if (!right)
		tap_note("%s\n# %s %s %s %s %s\n# got %d %d %d %d%d want %d %d %d %d%d", body,
			 client, has->text, services[service], calls[call].method,
			 calls[call].target, got.verdict, got.group, got.strip_authorization,
			 got.challenge_basic, got.challenge_bearer, want.verdict, want.group,
			 want.strip, want.basic, want.bearer);
	return right;
}

#define POLICIES 110000

static void test_random(void)
{
	unsigned int policies = 0, requests = 0, wrong = 0;
	struct random_policy policy;
	char body[8192];
	void *data;

	while (policies < POLICIES && wrong < 5) {
		const struct auth_blob *blob;

		random_policy(&policy);
		if (!policy_allowed(&policy))
			continue;
		write_policy(&policy, body);
		blob = support_blob(body, true, &actions, &data);
		if (!blob) {
			wrong++;
			continue;
		}
		for (int i = 0; i < 4; i++, requests++)
			wrong += !compare_one(blob, &policy, body);
		free(data);
		policies++;
	}
	tap_ok(!wrong && policies == POLICIES, "random_policies_as_the_reference");
	tap_note("%u policies, %u requests", policies, requests);
}

int main(void)
{
	tap_plan((int)(sizeof(promises) / sizeof(promises[0])) + 1);
	action_table_default(&actions);
	context.cache = auth_cache_create();
	for (int i = 0; i < 3; i++) {
		struct secret_password password;

		secret_password_create(users[i][1], strlen(users[i][1]), &password);
		secret_password_format(&password, hashes[i]);
	}
	make_shown();
	test_promises();
	test_random();
	auth_cache_destroy(context.cache);
	return tap_done();
}
