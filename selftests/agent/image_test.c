// SPDX-License-Identifier: Apache-2.0
/*
 * The image: what is built is found again, and nothing that is not whole is
 * opened: every byte of an image is changed in several ways, and what is opened
 * all the same must stay inside its memory in every look-up.
 */
#include "lib/id.h"
#include "lib/image.h"
#include "lib/image_layout.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct image_settings settings = {
	.node = "node-us", .base_domain = "containers.example.com",
	.real_ip_mode = IMAGE_REAL_IP_ON, .threads = 2,
};

static void make_id(uint8_t id[IMAGE_ID_LEN], uint32_t number)
{
	memset(id, 0x5a, IMAGE_ID_LEN);
	memcpy(id + 8, &number, sizeof(number));
}

/* An image of @count containers; every third has ports of its own. */
static int build(uint32_t count)
{
	struct image_builder *builder = image_builder_create(&settings, 7);
	const struct image_service own[2] = { { "terminal", 7681, 0 }, { "files", 9000, 0 } };
	const struct image_limit limits[2] = {
		{ .requests = 100, .burst = 200, .period = 1 },
		{ "terminal", 60, 60, 60, IMAGE_LIMIT_PER_CLIENT },
	};
	int fd;

	image_builder_add_default(builder, "terminal", 76);
	image_builder_add_default(builder, "display", 3998);
	for (uint32_t i = 0; i < count; i++) {
		struct image_container container = {
			.generation = i + 1,
			.flags = IMAGE_RUNNING | IMAGE_HAS_V4,
			.address4.s_addr = htonl(0x0a000000 + i),
		};

		make_id(container.id, i);
		make_id(container.project, i / 10);
		if (i % 5 == 0) {
			container.limits_count = 2;
			if (image_builder_add_limits(builder, limits, 2, &container.limits_first))
				return -1;
		}
		if (image_builder_add_container(builder, &container, own, i % 3 ? 0 : 2))
			return -1;
	}
	fd = image_builder_finish(builder);
	image_builder_destroy(builder);
	return fd;
}

static void test_found(void)
{
	int fd = build(1000);
	struct image *image = image_open(fd);
	const struct image_container *container;
	bool all = true, none = true;
	uint8_t id[IMAGE_ID_LEN];

	close(fd);
	tap_ok(image != NULL, "image_open_takes_what_was_built");
	if (!image)
		exit(1);
	tap_ok(image_header(image)->sequence == 7 &&
	       !strcmp(image_header(image)->settings.node, "node-us"), "image_header_is_kept");
	for (uint32_t i = 0; i < 1000; i++) {
		make_id(id, i);
		container = image_container_find(image, id);
		all &= container && container->generation == i + 1 &&
		       container->address4.s_addr == htonl(0x0a000000 + i);
		make_id(id, i + 1000000);
		none &= image_container_find(image, id) == NULL;
	}
	tap_ok(all, "image_find_every_container");
	tap_ok(none, "image_find_no_container_that_is_not_there");

	make_id(id, 3);
	container = image_container_find(image, id);
	tap_ok(image_service_port(image, container, "terminal", 8, 1) == 7681,
	       "image_port_of_the_container_before_the_default");
	tap_ok(image_service_port(image, container, "display", 7, 1) == 3998,
	       "image_port_default");
	make_id(id, 5);
	container = image_container_find(image, id);
	tap_ok(container->limits_count == 2 && image_limits(image, container)[0].burst == 200 &&
	       !strcmp(image_limits(image, container)[1].service, "terminal"),
	       "image_limits_of_the_container");
	make_id(id, 4);
	container = image_container_find(image, id);
	tap_ok(image_service_port(image, container, "terminal", 8, 9) == 76,
	       "image_port_default_without_own");
	tap_ok(image_service_port(image, container, "http", 4, 8080) == 8080 &&
	       image_service_port(image, container, "http", 4, 1) == 80,
	       "image_port_http_by_instance");
	tap_ok(image_service_port(image, container, "term", 4, 1) == 0 &&
	       image_service_port(image, container, "terminals", 9, 1) == 0 &&
	       image_service_port(image, container, "", 0, 1) == 0,
	       "image_port_unknown_service_is_0");
	tap_ok(image_get(image) == image, "image_get_returns_it");
	image_put(image);
	tap_ok(image_container_find(image, id) != NULL, "image_lives_until_its_last_reference");
	image_put(image);
}

static void test_empty(void)
{
	int fd = build(0);
	struct image *image = image_open(fd);
	uint8_t id[IMAGE_ID_LEN];

	make_id(id, 0);
	tap_ok(image && !image_container_find(image, id), "image_empty_finds_nothing");
	image_put(image);
	close(fd);
}

static void test_seals(void)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	int built = build(3);
	char copy[65536];
	ssize_t size = pread(built, copy, sizeof(copy), 0);

	tap_ok(write(built, "x", 1) < 0 && ftruncate(built, 10) < 0, "image_memfd_is_sealed");
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		int fd = memfd_create("test", MFD_ALLOW_SEALING);
		struct image *image;

		if (write(fd, copy, size) != size)
			exit(1);
		/* F_SEAL_SEAL last: it refuses further ones. */
		for (size_t j = sizeof(seals) / sizeof(seals[0]); j-- > 0;) {
			if (j != i)
				fcntl(fd, F_ADD_SEALS, seals[j]);
		}
		image = image_open(fd);
		tap_ok(!image && errno == EPERM, "image_refuses_missing_seal_%zu", i);
		image_put(image);
		close(fd);
	}
	close(built);
}

static int sealed(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, IMAGE_SEALS))
		exit(1);
	return fd;
}

/* Opens a damaged image; what opens is used all over. 1: refused. */
static int try_damaged(const char *data, size_t size)
{
	int fd = sealed(data, size);
	struct image *image = image_open(fd);
	int refused = image == NULL;
	static volatile size_t touched;
	uint8_t id[IMAGE_ID_LEN];

	close(fd);
	for (uint32_t i = 0; image && i < 12; i++) {
		const struct image_container *container;

		make_id(id, i);
		container = image_container_find(image, id);
		if (container) {
			image_service_port(image, container, "terminal", 8, 1);
			image_service_port(image, container, "none", 4, 1);
			for (uint32_t rule = 0; rule < container->limits_count; rule++)
				touched += strlen(image_limits(image, container)[rule].service);
		}
	}
	image_put(image);
	return refused;
}

static void test_damaged(void)
{
	static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	int fd = build(10);
	size_t size = 0, refused = 0, tried = 0, cut_refused = 0;
	char original[65536], damaged[65536];
	const struct image_header *header = (const struct image_header *)original;
	ssize_t got = pread(fd, original, sizeof(original), 0);
	size_t must = 0, must_refused = 0;

	close(fd);
	size = (size_t)got;
	for (size_t offset = 0; offset < size; offset++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			bool structural = offset < 24 ||
					  (offset >= offsetof(struct image_header, services_offset) &&
					   offset < sizeof(*header)) ||
					  (offset >= header->buckets_offset &&
					   offset < header->buckets_offset + 4 * header->buckets_count);
			int result;

			if ((unsigned char)original[offset] == values[v])
				continue;
			memcpy(damaged, original, size);
			damaged[offset] = (char)values[v];
			result = try_damaged(damaged, size);
			tried++;
			refused += result;
			must += structural;
			must_refused += structural && result;
		}
	}
	tap_note("%zu damaged images, %zu refused; structure: %zu of %zu", tried, refused,
		 must_refused, must);
	/* Few changes of the structure leave one that is consistent (services_offset 2 lower). */
	tap_ok(must_refused * 100 >= must * 90, "image_refuses_damaged_structure");
	tap_ok(tried > 5000, "image_survives_every_changed_byte");
	for (size_t cut = 0; cut < size; cut++)
		cut_refused += try_damaged(original, cut ? cut : 1);
	tap_ok(cut_refused == size, "image_refuses_every_cut");
	memcpy(damaged, original, size);
	damaged[size] = 0;
	tap_ok(try_damaged(damaged, size + 1), "image_refuses_a_longer_one");
}

/* One damage each that a check of its own has to find. */
static void test_faults(void)
{
	static const struct {
		const char	*name;
		size_t		offset;
		uint32_t	value;
		int		error;
	} faults[] = {
		{ "version", offsetof(struct image_header, version), IMAGE_VERSION + 1, EPROTO },
		{ "header_size", offsetof(struct image_header, header_size), 8, EPROTO },
		{ "threads_0", offsetof(struct image_header, settings.threads), 0, EBADMSG },
		{ "threads_65", offsetof(struct image_header, settings.threads), 65, EBADMSG },
		{ "real_ip_mode", offsetof(struct image_header, settings.real_ip_mode), 3, EBADMSG },
		{ "services_count", offsetof(struct image_header, services_count), 65, EBADMSG },
		{ "services_offset", offsetof(struct image_header, services_offset), 0xfffffff0, EBADMSG },
		{ "containers_count", offsetof(struct image_header, containers_count), 9, EBADMSG },
		{ "containers_many", offsetof(struct image_header, containers_count), 0xffffffff, EBADMSG },
		{ "containers_offset", offsetof(struct image_header, containers_offset), 4, EBADMSG },
		{ "buckets_odd", offsetof(struct image_header, buckets_count), 33, EBADMSG },
		{ "buckets_few", offsetof(struct image_header, buckets_count), 16, EBADMSG },
		{ "buckets_none", offsetof(struct image_header, buckets_count), 0, EBADMSG },
		{ "buckets_unaligned", offsetof(struct image_header, buckets_offset), 1001, EBADMSG },
	};
	int fd = build(10);
	char original[65536], damaged[65536];
	ssize_t size = pread(fd, original, sizeof(original), 0);

	close(fd);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct image *image;

		memcpy(damaged, original, size);
		memcpy(damaged + faults[i].offset, &faults[i].value, 4);
		fd = sealed(damaged, size);
		image = image_open(fd);
		tap_ok(!image && errno == faults[i].error, "image_refuses_%s", faults[i].name);
		image_put(image);
		close(fd);
	}
}

static double ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1e3 + (now.tv_nsec - start->tv_nsec) / 1e6;
}

static void test_many(void)
{
	struct timespec start;
	struct image *image;
	struct stat st;
	uint8_t id[IMAGE_ID_LEN];
	double built;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &start);
	fd = build(10000);
	built = ms_since(&start);
	clock_gettime(CLOCK_MONOTONIC, &start);
	image = image_open(fd);
	fstat(fd, &st);
	tap_note("10,000 containers: built in %.2f ms, checked in %.2f ms, %lld bytes", built,
		 ms_since(&start), (long long)st.st_size);
	make_id(id, 9999);
	tap_ok(image && image_container_find(image, id), "image_10000_containers");
	image_put(image);
	close(fd);
}

static void test_builder_bounds(void)
{
	struct image_builder *builder = image_builder_create(&settings, 1);
	struct image_service services[IMAGE_SERVICES_MAX + 1] = { 0 };
	struct image_container container = { 0 };
	char name[IMAGE_NAME_MAX + 1];
	int ret = 0;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	tap_ok(image_builder_add_default(builder, name, 1) == -EINVAL, "builder_refuses_long_name");
	tap_ok(image_builder_add_default(builder, "a", 0) == -EINVAL, "builder_refuses_port_0");
	tap_ok(image_builder_add_container(builder, &container, services,
					   IMAGE_SERVICES_MAX + 1) == -EINVAL,
	       "builder_refuses_too_many_services");
	for (int i = 0; i < IMAGE_SERVICES_MAX; i++)
		ret |= image_builder_add_default(builder, "a", 1);
	tap_ok(!ret && image_builder_add_default(builder, "a", 1) == -ENOSPC,
	       "builder_refuses_too_many_defaults");
	image_builder_destroy(builder);
}

int main(void)
{
	tap_plan(41);
	test_found();
	test_empty();
	test_seals();
	test_damaged();
	test_faults();
	test_many();
	test_builder_bounds();
	return tap_done();
}
