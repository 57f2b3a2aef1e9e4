// SPDX-License-Identifier: Apache-2.0
/* Figures over entries, see search.h. */
#include "audit/search.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int bucket_of(uint64_t value)
{
	unsigned int shift;

	if (value > UINT32_MAX)
		value = UINT32_MAX;
	if (value < 16)
		return (unsigned int)value;
	shift = 59 - (unsigned int)__builtin_clzll(value);
	return (shift + 1) * 16 + (unsigned int)((value >> shift) & 15);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned int bucket)
{
	if (bucket < 16)
		return bucket;
	return ((16ull + bucket % 16 + 1) << (bucket / 16 - 1)) - 1;
}

static void add_value(struct audit_histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->buckets[bucket_of(value)]++;
}

uint64_t audit_histogram_percentile(const struct audit_histogram *histogram, unsigned int percent)
{
	uint64_t wanted = (histogram->count * percent + 99) / 100, seen = 0;

	for (unsigned int i = 0; i < AUDIT_STATS_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen >= wanted && seen)
			return bucket_top(i) < histogram->max ? bucket_top(i) : histogram->max;
	}
	return 0;
}

/* The place of @key, a new one where there is room, or NULL. */
static struct audit_tally *tally(struct audit_tally *table, const char *key)
{
	uint64_t hash = 14695981039346656037ull;

	for (const char *c = key; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211ull;
	/* A few steps: a table that is nearly full gives up early, and says so. */
	for (unsigned int i = 0; i < 16; i++) {
		struct audit_tally *entry = &table[(hash + i) % AUDIT_STATS_KEYS];

		if (!entry->key[0]) {
			snprintf(entry->key, sizeof(entry->key), "%s", key);
			return entry;
		}
		if (!strcmp(entry->key, key))
			return entry;
	}
	return NULL;
}

static void add_to(struct audit_tally *table, const char *key, const struct audit_record *record,
		   uint64_t *other)
{
	struct audit_tally *entry = tally(table, key);

	if (!entry) {
		(*other)++;
		return;
	}
	entry->count++;
	entry->bytes_in += record->bytes_in;
	entry->bytes_out += record->bytes_out;
	entry->errors += record->status >= 500 || !record->status;
}

void audit_stats_add(struct audit_stats *stats, const struct audit_entry *entry)
{
	const struct audit_record *record = &entry->record;
	char client[INET6_ADDRSTRLEN];

	if (entry->kind != AUDIT_EXCHANGE) {
		stats->changes++;
		return;
	}
	add_value(&stats->total, record->total_us);
	if (record->upstream_us)
		add_value(&stats->upstream, record->upstream_us);
	stats->bytes_in += record->bytes_in;
	stats->bytes_out += record->bytes_out;
	stats->statuses[record->status < 1000 ? record->status : 0]++;
	audit_client_format(record, client, sizeof(client));
	add_to(stats->services, record->service[0] ? record->service : "-", record,
	       &stats->services_other);
	add_to(stats->clients, client[0] ? client : "-", record, &stats->clients_other);
}

static void add_histogram(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
			  const struct audit_histogram *histogram)
{
	yyjson_mut_val *value = yyjson_mut_obj_add_obj(document, object, name);

	yyjson_mut_obj_add_uint(document, value, "count", histogram->count);
	yyjson_mut_obj_add_uint(document, value, "mean",
				histogram->count ? histogram->sum / histogram->count : 0);
	yyjson_mut_obj_add_uint(document, value, "p50", audit_histogram_percentile(histogram, 50));
	yyjson_mut_obj_add_uint(document, value, "p90", audit_histogram_percentile(histogram, 90));
	yyjson_mut_obj_add_uint(document, value, "p99", audit_histogram_percentile(histogram, 99));
	yyjson_mut_obj_add_uint(document, value, "max", histogram->max);
}

static int by_count(const void *a, const void *b)
{
	const struct audit_tally *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : strcmp(x->key, y->key);
}

static void add_tallies(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
			const char *key, struct audit_tally *table)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, object, name);

	qsort(table, AUDIT_STATS_KEYS, sizeof(*table), by_count);
	for (unsigned int i = 0; i < AUDIT_STATS_TOP && table[i].count; i++) {
		yyjson_mut_val *value = yyjson_mut_arr_add_obj(document, list);

		if (!strcmp(table[i].key, "-"))
			yyjson_mut_obj_add_null(document, value, key);
		else
			yyjson_mut_obj_add_strcpy(document, value, key, table[i].key);
		yyjson_mut_obj_add_uint(document, value, "requests", table[i].count);
		yyjson_mut_obj_add_uint(document, value, "errors", table[i].errors);
		yyjson_mut_obj_add_uint(document, value, "bytes_in", table[i].bytes_in);
		yyjson_mut_obj_add_uint(document, value, "bytes_out", table[i].bytes_out);
	}
}

yyjson_mut_val *audit_stats_json(yyjson_mut_doc *document, struct audit_stats *stats)
{
	yyjson_mut_val *object = yyjson_mut_obj(document), *list;

	yyjson_mut_obj_add_uint(document, object, "requests", stats->total.count);
	yyjson_mut_obj_add_uint(document, object, "changes", stats->changes);
	yyjson_mut_obj_add_uint(document, object, "bytes_in", stats->bytes_in);
	yyjson_mut_obj_add_uint(document, object, "bytes_out", stats->bytes_out);
	add_histogram(document, object, "total_us", &stats->total);
	add_histogram(document, object, "upstream_us", &stats->upstream);
	list = yyjson_mut_obj_add_arr(document, object, "statuses");
	for (unsigned int status = 0; status < 1000; status++) {
		yyjson_mut_val *value;

		if (!stats->statuses[status])
			continue;
		value = yyjson_mut_arr_add_obj(document, list);
		yyjson_mut_obj_add_uint(document, value, "status", status);
		yyjson_mut_obj_add_uint(document, value, "requests", stats->statuses[status]);
	}
	add_tallies(document, object, "services", "service", stats->services);
	add_tallies(document, object, "clients", "client", stats->clients);
	yyjson_mut_obj_add_uint(document, object, "services_other", stats->services_other);
	yyjson_mut_obj_add_uint(document, object, "clients_other", stats->clients_other);
	return object;
}
