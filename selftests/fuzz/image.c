// SPDX-License-Identifier: Apache-2.0
/*
 * The worker's image. The input is laid over a real one, so that a change is a change
 * of one field and not of everything: pairs of an offset (two bytes, of eight) and a
 * value (eight bytes). Then every look-up that a worker makes.
 */
#include "fuzz.h"
#include "lib/id.h"
#include "lib/image.h"
#include "lib/image_layout.h"

#include <sys/mman.h>
#include <unistd.h>

static uint8_t whole[65536];
static size_t whole_size;

static const struct image_settings settings = {
	.node = "node-us", .base_domain = "containers.example.com",
	.real_ip_mode = IMAGE_REAL_IP_ON, .threads = 2,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct image_builder *builder = image_builder_create(&settings, 7);
	const struct image_service own[2] = { { "terminal", 7681, 0 }, { "files", 9000, 0 } };
	const struct image_limit limit = { "terminal", 60, 60, 60, IMAGE_LIMIT_PER_CLIENT };
	const struct image_option option = { .service = "grpc", .flags = IMAGE_OPTION_H2C };
	struct image_alias alias = { .name = "shop.example.org", .service = "http", .instance = 1 };
	uint32_t number = 0;
	int fd;

	image_builder_add_default(builder, "display", 3998);
	image_builder_add_blob(builder, "permissions", 11, &number);
	for (uint8_t i = 0; i < 3; i++) {
		struct image_container container = {
			.generation = i + 1u, .flags = IMAGE_RUNNING | IMAGE_HAS_V4, .permissions = number,
			.limits_count = 1, .options_count = 1,
		};

		memset(container.id, i, IMAGE_ID_LEN);
		image_builder_add_limits(builder, &limit, 1, &container.limits_first);
		image_builder_add_options(builder, &option, 1, &container.options_first);
		image_builder_add_container(builder, &container, own, 2);
	}
	image_builder_add_alias(builder, &alias);
	strcpy(alias.name, "web.node-us.containers.example.com");
	image_builder_add_alias(builder, &alias);
	fd = image_builder_finish(builder);
	whole_size = (size_t)lseek(fd, 0, SEEK_END);
	fuzz_need(fd >= 0 && whole_size <= sizeof(whole) &&
		  pread(fd, whole, whole_size, 0) == (ssize_t)whole_size, "an image");
	close(fd);
	image_builder_destroy(builder);
	return 0;
}

static void look_up(const struct image *image)
{
	const struct image_header *header = image_header(image);
	const struct image_container *container;
	uint8_t id[IMAGE_ID_LEN];
	size_t size, sum = 0;

	for (uint8_t i = 0; i < 4; i++) {
		memset(id, i, sizeof(id));
		container = image_container_find(image, id);
		if (!container)
			continue;
		sum += image_service_port(image, container, "files", 5, 1);
		sum += image_service_port(image, container, "unknown", 7, 2);
		sum += image_option_find(image, container, "grpc", 4, 1) != NULL;
		for (uint32_t n = 0; n < container->limits_count; n++)
			sum += image_limits(image, container)[n].service[0];
		if (container->permissions) {
			const uint8_t *blob = image_blob(image, container->permissions, &size);

			sum += size ? blob[0] + blob[size - 1] : 0u;
		}
	}
	image_alias_find(image, "shop.example.org");
	image_alias_find(image, "zzz");
	for (uint32_t i = 1; i <= header->blobs_count; i++)
		image_blob(image, i, &size);
	/* Nothing of it may be left out as being of no use. */
	fuzz_need(sum != SIZE_MAX, "a sum");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t changed[sizeof(whole)];
	struct fuzz_input input = { data, size };
	size_t len = whole_size;
	struct image *image;
	int fd;

	memcpy(changed, whole, whole_size);
	while (input.len >= 10) {
		size_t at = 8 * ((size_t)input.at[0] | (size_t)input.at[1] << 8);

		if (at + 8 <= whole_size)
			memcpy(changed + at, input.at + 2, 8);
		else
			len = at % (whole_size + 1);
		input.at += 10;
		input.len -= 10;
	}
	fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fuzz_need(fd >= 0 && write(fd, changed, len) == (ssize_t)len &&
		  !fcntl(fd, F_ADD_SEALS, IMAGE_SEALS), "a sealed file");
	image = image_open(fd);
	close(fd);
	if (image) {
		look_up(image);
		image_put(image);
	}
	return 0;
}
