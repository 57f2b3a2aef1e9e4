// SPDX-License-Identifier: Apache-2.0
/*
 * The state in memory: found by id and by address, in order, bounded, and as
 * quick with 10,000 containers as with none.
 */
#include "control/model.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static struct container *make(uint32_t number, const char *const *addresses)
{
	struct container *container = calloc(1, sizeof(*container));
	struct address list[16];
	uint32_t spread = number * 2654435761u;
	unsigned int count = 0;

	/* Not in order, so that inserts go everywhere. */
	memcpy(container->id, &spread, 4);
	memcpy(container->id + 4, &number, 4);
	container->project[0] = 1;
	for (; addresses && addresses[count]; count++)
		address_parse(addresses[count], strlen(addresses[count]), &list[count]);
	container_set_addresses(container, list, count);
	return container;
}

static struct container *owner(const struct model *model, const char *text)
{
	struct address address;

	address_parse(text, strlen(text), &address);
	return model_find_address(model, &address);
}

static void test_addresses(void)
{
	const char *const first[] = { "10.0.0.1", "fd00::1", NULL };
	const char *const second[] = { "10.0.0.2", "10.0.0.1", NULL };
	const char *const moved[] = { "10.0.0.9", NULL };
	struct model *model = model_create();
	struct container *one = make(1, first), *two = make(2, second), *again;

	tap_ok(model_set(model, one) == 0 && owner(model, "10.0.0.1") == one &&
	       owner(model, "fd00::1") == one, "model_find_by_address");
	tap_ok(model_set(model, two) == -EADDRINUSE && !owner(model, "10.0.0.2") &&
	       model_containers_count(model) == 1, "model_refuses_address_of_another");
	again = make(1, moved);
	tap_ok(model_set(model, again) == 0 && !owner(model, "10.0.0.1") &&
	       owner(model, "10.0.0.9") == again, "model_replace_moves_addresses");
	tap_ok(model_set(model, two) == 0 && owner(model, "10.0.0.1") == two,
	       "model_freed_address_can_be_taken");
	model_delete(model, two->id);
	tap_ok(!owner(model, "10.0.0.1") && !owner(model, "10.0.0.2") &&
	       owner(model, "10.0.0.9") == again, "model_delete_forgets_addresses");
	tap_ok(!owner(model, "10.0.0.1") && container_address(again, AF_INET6) == NULL &&
	       container_address(again, AF_INET) == &again->addresses[0],
	       "model_address_of_a_family");
	model_destroy(model);
}

static void test_running(void)
{
	struct model *model = model_create();
	struct container *one = make(1, NULL), *copy;

	one->running = true;
	model_set(model, one);
	tap_ok(model_running_count(model) == 1, "model_counts_running");
	copy = container_copy(one);
	copy->running = false;
	model_set(model, copy);
	tap_ok(model_running_count(model) == 0, "model_counts_running_after_replace");
	model_set_running(model, copy, true);
	tap_ok(model_running_count(model) == 1, "model_counts_running_after_change");
	model_delete(model, copy->id);
	tap_ok(model_running_count(model) == 0, "model_counts_running_after_delete");
	model_destroy(model);
}

static void test_copy(void)
{
	const char *const addresses[] = { "10.0.0.1", NULL };
	const struct image_service port = { "terminal", 76, 0 };
	struct container *one = make(1, addresses), *copy;

	container_set_ports(one, &port, 1);
	container_set_cgroup(one, "/a");
	copy = container_copy(one);
	container_free(one);
	tap_ok(copy->addresses_count == 1 && copy->ports[0].port == 76 && !strcmp(copy->cgroup, "/a"),
	       "container_copy_is_deep");
	container_free(copy);
}

static void test_tombstones(void)
{
	struct model *model = model_create();
	struct tombstone tombstone = { .deleted_at = 100 };

	for (int i = 9; i >= 0; i--) {
		tombstone.id[0] = (uint8_t)i;
		tombstone.deleted_at = 100 + (i * 7) % 10;
		model_add_tombstone(model, &tombstone);
	}
	model_add_tombstone(model, &tombstone);
	tap_ok(model_tombstones_count(model) == 10, "model_keeps_a_tombstone_once");
	tap_ok(model_oldest_tombstone(model)->deleted_at == 100, "model_oldest_tombstone");
	tombstone.id[0] = 5;
	tap_ok(model_find_tombstone(model, tombstone.id) != NULL, "model_find_tombstone");
	model_delete_tombstone(model, tombstone.id);
	tap_ok(!model_find_tombstone(model, tombstone.id), "model_delete_tombstone");
	model_destroy(model);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void test_many(void)
{
	struct model *model = model_create();
	uint64_t start, last = 0;
	bool found = true, ordered = true, after = true;
	size_t seen = 0;

	for (uint32_t i = 0; i < 10000; i++) {
		char text[32];
		const char *const addresses[] = { text, NULL };

		snprintf(text, sizeof(text), "10.1.%u.%u", i / 250, i % 250 + 1);
		start = now_ns();
		if (model_set(model, make(i, addresses)))
			found = false;
		if (i >= 9900)
			last += now_ns() - start;
	}
	tap_note("registration with 10,000 present: %llu ns", (unsigned long long)last / 100);
	for (uint32_t i = 0; i < 10000; i++) {
		struct container *probe = make(i, NULL);

		found &= model_find(model, probe->id) != NULL;
		container_free(probe);
	}
	tap_ok(found && owner(model, "10.1.39.250"), "model_10000_all_found");
	for (size_t i = 0; i < model_containers_count(model); i++) {
		const struct container *here = model_container_at(model, i);

		seen++;
		if (i && memcmp(model_container_at(model, i - 1)->id, here->id, ID_LEN) >= 0)
			ordered = false;
		after &= model_index_after(model, here->id) == i + 1;
	}
	tap_ok(seen == 10000 && ordered, "model_10000_in_order");
	tap_ok(after, "model_pages_go_on_behind_the_last");
	model_destroy(model);
}

static void test_bound(void)
{
	struct model *model = model_create();
	struct container *more;
	int ret = 0;

	for (uint32_t i = 0; i < MODEL_CONTAINERS_MAX && !ret; i++)
		ret = model_set(model, make(i, NULL));
	more = make(MODEL_CONTAINERS_MAX, NULL);
	tap_ok(ret == 0 && model_set(model, more) == -ENOSPC &&
	       model_reserve(model, more) == -ENOSPC, "model_is_bounded");
	container_free(more);
	more = make(7, NULL);
	tap_ok(model_set(model, more) == 0, "model_replaces_when_full");
	model_destroy(model);
}

int main(void)
{
	tap_plan(20);
	test_addresses();
	test_running();
	test_copy();
	test_tombstones();
	test_many();
	test_bound();
	return tap_done();
}
