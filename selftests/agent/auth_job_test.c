// SPDX-License-Identifier: Apache-2.0
/*
 * Secrets at rest, the cache of what slow checks found, and the threads that
 * run them: bounds, shares, and that a changed secret is a changed answer.
 */
#include "auth/base64.h"
#include "auth_support.h"

#include <pthread.h>
#include <stdatomic.h>

static struct action_table actions;

static void test_base64(void)
{
	static const struct {
		enum base64_alphabet alphabet;
		const char *text;
		ssize_t len;
	} cases[] = {
		{ BASE64_STANDARD, "", 0 },	 { BASE64_STANDARD, "Zg==", 1 },
		{ BASE64_STANDARD, "Zm8=", 2 },	 { BASE64_STANDARD, "Zm9v", 3 },
		{ BASE64_STANDARD, "Zg", -1 },	 { BASE64_STANDARD, "Zg=", -1 },
		{ BASE64_STANDARD, "Zg===", -1 }, { BASE64_STANDARD, "Zh==", -1 },
		{ BASE64_STANDARD, "Zm9=", -1 },  { BASE64_STANDARD, "Z===", -1 },
		{ BASE64_STANDARD, "====", -1 },  { BASE64_STANDARD, "Zm9v\n", -1 },
		{ BASE64_STANDARD, "Zm 9", -1 },  { BASE64_STANDARD, "_-_-", -1 },
		{ BASE64_URL, "_-_-", 3 },	  { BASE64_URL, "Zg", 1 },
		{ BASE64_URL, "Zg==", -1 },	  { BASE64_URL, "Zh", -1 },
		{ BASE64_URL, "Z", -1 },	  { BASE64_URL, "+/+/", -1 },
		{ BASE64_URL, "Zm9vYmFyZm9vYmFyZm9vYmFy", -1 },	/* more than there is room for */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t out[16];
		char again[32];
		ssize_t len = base64_decode(cases[i].alphabet, cases[i].text,
					    strlen(cases[i].text), out, sizeof(out));
		bool right = cases[i].len < 0 ? len < 0 : len == cases[i].len;

		if (len >= 0) {
			base64_encode(cases[i].alphabet, out, len, again);
			right &= !strcmp(again, cases[i].text);
		}
		tap_ok(right, "base64_%zu '%s'", i, cases[i].text);
	}
}

static void test_password(void)
{
	static const char *const bad[] = {
		"", "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
		"$argon2id$v=16$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
		"$argon2id$v=19$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA",
	};
	struct secret_password first, second, parsed;
	char text[SECRET_PASSWORD_TEXT_MAX];

	tap_ok(!secret_password_create("correct horse", 13, &first) &&
		       !secret_password_create("correct horse", 13, &second) &&
		       memcmp(first.salt, second.salt, SECRET_SALT_LEN) &&
		       memcmp(first.hash, second.hash, SECRET_HASH_LEN),
	       "password_same_twice_has_different_hashes");
	tap_ok(secret_password_verify(&first, "correct horse", 13) == 1, "password_right");
	tap_ok(secret_password_verify(&first, "correct hors", 12) == 0, "password_shorter");
	tap_ok(secret_password_verify(&first, "Correct horse", 13) == 0, "password_case");
	tap_ok(secret_password_verify(&first, "", 0) == 0, "password_empty");
	secret_password_format(&first, text);
	tap_ok(!secret_password_parse(text, strlen(text), &parsed) &&
		       !memcmp(&first, &parsed, sizeof(first)),
	       "password_text_form_round_trip");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_ok(secret_password_parse(bad[i], strlen(bad[i]), &parsed) < 0,
		       "password_text_refused_%zu", i);
}

static void test_cache(void)
{
	struct auth_cache *cache = auth_cache_create(), *other = auth_cache_create();
	uint8_t digest[AUTH_DIGEST_LEN], again[AUTH_DIGEST_LEN], foreign[AUTH_DIGEST_LEN];
	uint8_t secret[AUTH_SECRET_ID_LEN] = { 1 }, changed[AUTH_SECRET_ID_LEN] = { 2 };
	struct http_text credential = HTTP_TEXT("user:password");

	auth_cache_digest(cache, 'p', credential, digest);
	auth_cache_digest(cache, 'p', credential, again);
	auth_cache_digest(other, 'p', credential, foreign);
	tap_ok(!memcmp(digest, again, sizeof(digest)), "cache_digest_is_stable");
	tap_ok(memcmp(digest, foreign, sizeof(digest)), "cache_digest_differs_between_caches");
	auth_cache_digest(cache, 'j', credential, again);
	tap_ok(memcmp(digest, again, sizeof(digest)), "cache_digest_differs_between_kinds");
	tap_ok(auth_cache_get(cache, digest, secret, 100) == -1, "cache_unknown");
	auth_cache_put(cache, digest, secret, AUTH_CACHE_RIGHT, 100);
	tap_ok(auth_cache_get(cache, digest, secret, 101) == 1, "cache_right");
	tap_ok(auth_cache_get(cache, digest, changed, 101) == -1,
	       "cache_changed_secret_is_unknown");
	tap_ok(auth_cache_get(cache, digest, secret, 100 + AUTH_CACHE_RIGHT_TTL) == -1,
	       "cache_right_runs_out");
	auth_cache_put(cache, again, secret, AUTH_CACHE_WRONG, 100);
	tap_ok(auth_cache_get(cache, again, secret, 101) == 0, "cache_wrong");
	tap_ok(auth_cache_get(cache, again, secret, 100 + AUTH_CACHE_WRONG_TTL) == -1,
	       "cache_wrong_runs_out");
	for (uint32_t i = 0; i < 200000; i++) {
		memcpy(again, &i, sizeof(i));
		auth_cache_put(cache, again, changed, AUTH_CACHE_WRONG, 101);
		auth_cache_put(cache, again, changed, AUTH_CACHE_QUICK, 101);
	}
	tap_ok(auth_cache_get(cache, again, changed, 102) == 1, "cache_quick_is_right");
	tap_ok(auth_cache_get(cache, digest, secret, 102) == 1,
	       "cache_guesses_and_tokens_do_not_push_out_what_is_right");
	auth_cache_destroy(cache);
	auth_cache_destroy(other);
}

/* Jobs whose check stands still until it is let go, by way of a lock in done(). */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int finished;

static void job_done(struct auth_job *job, void *data)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	atomic_fetch_add(&finished, job->checks[0].fits ? 1 : 1000);
	auth_job_free(job);
}

static struct auth_job *make_job(const char *password, const char *client)
{
	struct auth_job *job = auth_job_create(1, strlen(password));
	struct secret_password *stored = &job->checks[0].password;

	job->is_password = true;
	job->input_len = (uint32_t)strlen(password);
	memcpy(job->bytes, password, strlen(password));
	secret_password_create("right", 5, stored);
	address_parse(client, strlen(client), &job->client);
	return job;
}

static int submit(struct auth_helper *helper, const char *password, const char *client)
{
	struct auth_job *job = make_job(password, client);
	int result = auth_helper_submit(helper, job, job_done, NULL);

	if (result)
		auth_job_free(job);
	return result;
}

static void wait_for(int count)
{
	while (atomic_load(&finished) % 1000 + atomic_load(&finished) / 1000 < count)
		sched_yield();
}

static void test_helper(void)
{
	struct auth_helper *helper = auth_helper_create(1, 6, 3);
	struct auth_job *stuck = make_job("right", "192.0.2.9");

	/*
	 * The one thread is held in done() of the first job, which does not count
	 * any more then; what is submitted behind it waits.
	 */
	pthread_mutex_lock(&gate);
	tap_ok(!auth_helper_submit(helper, stuck, job_done, NULL), "helper_takes_a_job");
	tap_ok(!submit(helper, "right", "2001:db8:0:1::1") &&
		       !submit(helper, "wrong", "2001:db8:0:1::2") &&
		       !submit(helper, "right", "2001:db8:0:1:ffff::"),
	       "helper_takes_a_client's_share");
	tap_ok(submit(helper, "right", "2001:db8:0:1::3") == -EBUSY,
	       "helper_share_of_a_64_is_bounded");
	tap_ok(!submit(helper, "right", "2001:db8:0:2::1"), "helper_others_have_their_own");
	while (submit(helper, "right", "192.0.2.1") == 0)
		;
	tap_ok(submit(helper, "right", "192.0.2.2") == -EAGAIN ||
		       submit(helper, "right", "192.0.2.3") == -EAGAIN ||
		       submit(helper, "right", "192.0.2.4") == -EAGAIN,
	       "helper_queue_is_bounded");
	pthread_mutex_unlock(&gate);
	wait_for(5);
	tap_ok(atomic_load(&finished) >= 1000, "helper_wrong_password_is_wrong");
	auth_helper_destroy(helper);
	helper = auth_helper_create(2, 100, 100);
	for (int i = 0; i < 20; i++)
		submit(helper, "right", "192.0.2.1");
	auth_helper_destroy(helper);
	tap_ok(true, "helper_ends_with_jobs_waiting");
}

static const struct auth_blob *blob_of(const char *password, void **data)
{
	char body[256];

	snprintf(body, sizeof(body),
		 "{\"groups\":{\"p\":{\"type\":\"password\",\"username\":\"u\",\"password\":\"%s\"}},"
		 "\"permissions\":{\"p\":{\"http\":true}}}", password);
	return support_blob(body, false, &actions, data);
}

/* A password that is changed is dead at once, however warm the cache. */
static void test_revocation(void)
{
	struct auth_context context = { &actions, auth_cache_create() };
	struct http_text value = HTTP_TEXT("Basic dTpmaXJzdA==");	/* u:first */
	struct auth_request request = { .authorization = &value, .authorization_count = 1,
					.service = HTTP_TEXT("http"), .client.family = AF_INET };
	struct auth_decision decision;
	void *first_data, *second_data;
	const struct auth_blob *first = blob_of("first", &first_data);
	const struct auth_blob *second = blob_of("second", &second_data);
	bool waited;

	support_evaluate(&context, first, &request, &decision, &waited);
	tap_ok(decision.verdict == AUTH_ALLOW && waited, "revoke_first_time_is_checked");
	support_evaluate(&context, first, &request, &decision, &waited);
	tap_ok(decision.verdict == AUTH_ALLOW && !waited, "revoke_then_remembered");
	support_evaluate(&context, second, &request, &decision, &waited);
	tap_ok(decision.verdict == AUTH_UNAUTHORIZED && waited, "revoke_changed_password_is_dead");
	request.now_monotonic = AUTH_CACHE_RIGHT_TTL;
	support_evaluate(&context, first, &request, &decision, &waited);
	tap_ok(decision.verdict == AUTH_ALLOW && waited, "revoke_memory_runs_out");
	auth_cache_destroy(context.cache);
	free(first_data);
	free(second_data);
}

/*
 * A right signature by HMAC is computed once: known by the token and the key's id. That
 * it is not computed again shows in a key whose bytes are others under the same id.
 */
static void test_signature_remembered(void)
{
	static const char key[] = "0123456789abcdef0123456789abcdef";
	struct auth_context context = { &actions, auth_cache_create() };
	char body[512], token[512], other[512], shown[520], another[520];
	struct http_text value = { shown, 0 };
	struct auth_request request = { .authorization = &value, .authorization_count = 1,
					.service = HTTP_TEXT("http"), .client.family = AF_INET };
	struct auth_decision decision;
	const struct auth_blob *blob;
	struct blob_key *stored;
	char *bytes;
	void *data;

	support_jwt(key, sizeof(key) - 1, "{\"sub\":\"a\",\"exp\":600}", token);
	support_jwt(key, sizeof(key) - 1, "{\"sub\":\"b\",\"exp\":600}", other);
	value.len = (size_t)sprintf(shown, "Bearer %s", token);
	snprintf(body, sizeof(body),
		 "{\"groups\":{\"j\":{\"type\":\"jwt\",\"secret\":\"%s\"}},"
		 "\"permissions\":{\"j\":{\"http\":true}}}", key);
	blob = support_blob(body, false, &actions, &data);
	auth_evaluate(&context, blob, &request, NULL, &decision);
	tap_ok(decision.verdict == AUTH_ALLOW, "signature_is_right");
	stored = (struct blob_key *)&BLOB_AT(blob, keys, blob_key)[0];
	bytes = (char *)blob_text(blob, stored->bytes);
	bytes[0]++;
	auth_evaluate(&context, blob, &request, NULL, &decision);
	tap_ok(decision.verdict == AUTH_ALLOW, "signature_is_not_computed_again");
	value = (struct http_text){ another, (size_t)sprintf(another, "Bearer %s", other) };
	auth_evaluate(&context, blob, &request, NULL, &decision);
	tap_ok(decision.verdict == AUTH_UNAUTHORIZED, "signature_of_another_token_is");
	value = (struct http_text){ shown, strlen(shown) };
	stored->id[0]++;
	auth_evaluate(&context, blob, &request, NULL, &decision);
	tap_ok(decision.verdict == AUTH_UNAUTHORIZED, "signature_under_a_changed_secret_is");
	auth_cache_destroy(context.cache);
	free(data);
}

int main(void)
{
	tap_plan(22 + 14 + 10 + 7 + 4 + 4);
	action_table_default(&actions);
	test_base64();
	test_password();
	test_cache();
	test_helper();
	test_revocation();
	test_signature_remembered();
	return tap_done();
}
