// SPDX-License-Identifier: Apache-2.0
/* What is reported about memory merging, when a container pauses, and its JSON. */
#include "control/ksm.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct ksm_entry *entry, const char **field)
{
	yyjson_doc *document = yyjson_read(text, strlen(text), 0);
	static char name[64];
	const char *message;
	int ret;

	memset(entry, 0, sizeof(*entry));
	ret = ksm_entry_parse(yyjson_doc_get_root(document), entry, field, &message);
	snprintf(name, sizeof(name), "%s", *field ? *field : "");
	*field = name;
	yyjson_doc_free(document);
	return ret;
}

static void test_gain(void)
{
	struct ksm_host host = { .pages_shared = 100, .pages_sharing = 300 };
	struct ksm_entry entry = { .kernel.count = {
		[HOODY_KSM_PAGES] = 200, [HOODY_KSM_ZERO_PAGES] = 50, [HOODY_KSM_ITEMS] = 1000 } };
	struct ksm_gain gain;

	ksm_gain_of(&host, &entry, &gain);
	tap_ok(gain.saved == 150 * 4096, "gain_counts_the_copy_that_stays");
	tap_ok(gain.metadata == 64000 && gain.net == 150 * 4096 - 64000, "gain_subtracts_the_cost");
	tap_ok(gain.zero == 50 * 4096, "gain_has_zero_pages_apart");
	host.pages_shared = host.pages_sharing = 0;
	ksm_gain_of(&host, &entry, &gain);
	tap_ok(gain.saved == 0 && gain.net == -64000, "gain_may_be_negative");
}

/* Ticks until it pauses; 100: never. */
static unsigned int ticks(struct ksm_host *host, struct ksm_entry *entry, uint64_t now)
{
	for (unsigned int i = 1; i < 100; i++)
		if (ksm_judge(host, entry, now))
			return i;
	return 100;
}

static void test_pause(void)
{
	struct ksm_host host = { .full_scans = 1000, .pages_shared = 1, .pages_sharing = 3 };
	struct ksm_entry entry = { .kernel.state = HOODY_KSM_MARKED };

	entry.kernel.count[HOODY_KSM_ITEMS] = 100;
	tap_ok(ticks(&host, &entry, 0) == 100, "pause_not_before_it_was_scanned");
	host.full_scans += 3;
	tap_ok(ticks(&host, &entry, 10) == KSM_LOSS_TICKS &&
	       entry.paused_until == 10 + KSM_PAUSE_MIN_S, "pause_after_some_ticks_of_loss");
	tap_ok(ticks(&host, &entry, 0) == KSM_LOSS_TICKS &&
	       entry.paused_until == 2 * KSM_PAUSE_MIN_S, "pause_doubles");
	for (int i = 0; i < 20; i++)
		ticks(&host, &entry, 0);
	tap_ok(entry.paused_until == KSM_PAUSE_MAX_S, "pause_is_a_day_at_most");
	entry.kernel.count[HOODY_KSM_PAGES] = 10;
	tap_ok(ticks(&host, &entry, 0) == 100, "pause_not_with_a_gain");
	entry.kernel.count[HOODY_KSM_PAGES] = 0;
	entry.kernel.state = HOODY_KSM_UNMARKING;
	tap_ok(ticks(&host, &entry, 0) == 100, "pause_not_while_it_is_undone");
}

static void test_json(void)
{
	static const char *const bad[][2] = {
		{ "{}", "mode" },
		{ "{\"mode\":true}", "mode" },
		{ "{\"mode\":\"\"}", "mode" },
		{ "{\"mode\":\"on\",\"more\":1}", "more" },
		{ "{\"mode\":\"on\",\"exclude\":\"a\"}", "exclude" },
		{ "{\"mode\":\"on\",\"exclude\":[1]}", "exclude" },
		{ "{\"mode\":\"on\",\"exclude\":[\"\"]}", "exclude" },
		{ "{\"mode\":\"on\",\"exclude\":[\"a\\u0000b\"]}", "exclude" },
		{ "{\"mode\":\"on\",\"exclude\":[\"sixteen-letters-\"]}", "exclude" },
		{ "{\"mode\":\"on\",\"exclude\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
		  "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}", "exclude" },
	};
	struct ksm_entry entry, again;
	char *text, *comes_back;
	const char *field;
	bool good;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		tap_ok(parse(bad[i][0], &entry, &field) && !strcmp(field, bad[i][1]),
		       "json_refused: %s", bad[i][0]);
	tap_ok(!parse("{\"mode\":\"on\",\"exclude\":[\"postgres\",\"fifteen-letters\"]}", &entry,
		      &field) && entry.on && entry.names_count == 2 &&
	       !strcmp(entry.names[1], "fifteen-letters"), "json_is_understood");
	text = ksm_entry_format(&entry);
	good = text && !parse(text, &again, &field);
	comes_back = good ? ksm_entry_format(&again) : NULL;
	tap_ok(comes_back && strstr(text, "fifteen-letters") && !strcmp(comes_back, text),
	       "json_comes_back_the_same");
	free(comes_back);
	free(text);
}

int main(void)
{
	tap_plan(4 + 6 + 12);
	test_gain();
	test_pause();
	test_json();
	return tap_done();
}
