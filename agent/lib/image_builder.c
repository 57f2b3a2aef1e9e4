// SPDX-License-Identifier: Apache-2.0
/*
 * Writing an image, see image.h.
 *
 * Containers and services are collected in two growing arrays and put out in
 * one go: header, default services, containers' services, containers, buckets.
 * The builder belongs to one thread.
 */
#include "lib/id.h"
#include "lib/image.h"
#include "lib/image_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct image_builder {
	struct image_header	header;
	struct image_service	defaults[IMAGE_SERVICES_MAX];
	struct image_service	*services;	/* of all containers, behind each other */
	size_t			services_count, services_room;
	struct image_container	*containers;	/* services_offset: an index for now */
	size_t			containers_count, containers_room;
	struct image_blob	*blobs;		/* offsets: into blob_bytes for now */
	size_t			blobs_count, blobs_room;
	char			*blob_bytes;
	size_t			blob_bytes_count, blob_bytes_room;
	struct image_alias	*aliases;
	size_t			aliases_count, aliases_room;
	struct image_limit	*limits;
	size_t			limits_count, limits_room;
	struct image_option	*options;
	size_t			options_count, options_room;
};

/* Makes room for @more elements; doubles, so that adding stays cheap. */
static int reserve(void **array, size_t *room, size_t used, size_t more, size_t element)
{
	size_t wanted = *room ? *room : 64;
	void *grown;

	if (used + more <= *room)
		return 0;
	while (wanted < used + more)
		wanted *= 2;
	grown = reallocarray(*array, wanted, element);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

void image_builder_restart(struct image_builder *builder, const struct image_settings *settings,
			   uint64_t sequence)
{
	struct image_header *header = &builder->header;

	memset(header, 0, sizeof(*header));
	memcpy(header->magic, IMAGE_MAGIC, sizeof(header->magic));
	header->version = IMAGE_VERSION;
	header->header_size = sizeof(*header);
	header->sequence = sequence;
	header->settings = *settings;
	builder->containers_count = 0;
	builder->services_count = 0;
	builder->blobs_count = 0;
	builder->blob_bytes_count = 0;
	builder->aliases_count = 0;
	builder->limits_count = 0;
	builder->options_count = 0;
}

struct image_builder *image_builder_create(const struct image_settings *settings,
					   uint64_t sequence)
{
	struct image_builder *builder = calloc(1, sizeof(*builder));

	if (builder)
		image_builder_restart(builder, settings, sequence);
	return builder;
}

int image_builder_add_default(struct image_builder *builder, const char *service, uint16_t port)
{
	struct image_service *entry = &builder->defaults[builder->header.services_count];
	size_t len = strlen(service);

	if (len == 0 || len >= sizeof(entry->name) || port == 0)
		return -EINVAL;
	if (builder->header.services_count == IMAGE_SERVICES_MAX)
		return -ENOSPC;
	memcpy(entry->name, service, len + 1);
	entry->port = port;
	builder->header.services_count++;
	return 0;
}

int image_builder_add_container(struct image_builder *builder,
				const struct image_container *container,
				const struct image_service *services, size_t services_count)
{
	struct image_container *added;
	int ret;

	if (services_count > IMAGE_SERVICES_MAX)
		return -EINVAL;
	if (builder->containers_count == IMAGE_CONTAINERS_MAX)
		return -ENOSPC;
	ret = reserve((void **)&builder->containers, &builder->containers_room,
		      builder->containers_count, 1, sizeof(*builder->containers));
	if (ret)
		return ret;
	ret = reserve((void **)&builder->services, &builder->services_room,
		      builder->services_count, services_count, sizeof(*builder->services));
	if (ret)
		return ret;
	added = &builder->containers[builder->containers_count++];
	*added = *container;
	added->services_offset = (uint32_t)builder->services_count;
	added->services_count = (uint32_t)services_count;
	if (services_count)
		memcpy(builder->services + builder->services_count, services,
		       services_count * sizeof(*services));
	builder->services_count += services_count;
	return 0;
}

static size_t aligned(size_t size)
{
	return (size + IMAGE_BLOB_ALIGN - 1) / IMAGE_BLOB_ALIGN * IMAGE_BLOB_ALIGN;
}

int image_builder_add_blob(struct image_builder *builder, const void *data, size_t size,
			   uint32_t *number)
{
	size_t used = builder->blob_bytes_count, room = aligned(size);
	int ret;

	if (size == 0 || size > IMAGE_SIZE_MAX)
		return -EINVAL;
	if (builder->blobs_count == IMAGE_BLOBS_MAX || used + room > IMAGE_SIZE_MAX)
		return -ENOSPC;
	ret = reserve((void **)&builder->blobs, &builder->blobs_room, builder->blobs_count, 1,
		      sizeof(*builder->blobs));
	if (!ret)
		ret = reserve((void **)&builder->blob_bytes, &builder->blob_bytes_room, used, room,
			      1);
	if (ret)
		return ret;
	memcpy(builder->blob_bytes + used, data, size);
	memset(builder->blob_bytes + used + size, 0, room - size);
	builder->blob_bytes_count += room;
	builder->blobs[builder->blobs_count++] =
		(struct image_blob){ (uint32_t)used, (uint32_t)size };
	*number = (uint32_t)builder->blobs_count;
	return 0;
}

int image_builder_add_alias(struct image_builder *builder, const struct image_alias *alias)
{
	int ret;

	if (!memchr(alias->name, '\0', sizeof(alias->name)) || !alias->name[0] ||
	    !memchr(alias->service, '\0', sizeof(alias->service)) || !alias->service[0] ||
	    !alias->instance)
		return -EINVAL;
	if (builder->aliases_count == IMAGE_ALIASES_MAX)
		return -ENOSPC;
	ret = reserve((void **)&builder->aliases, &builder->aliases_room, builder->aliases_count, 1,
		      sizeof(*builder->aliases));
	if (!ret)
		builder->aliases[builder->aliases_count++] = *alias;
	return ret;
}

int image_builder_add_limits(struct image_builder *builder, const struct image_limit *limits,
			     size_t count, uint32_t *first)
{
	int ret;

	if (count > IMAGE_LIMITS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!memchr(limits[i].service, '\0', sizeof(limits[i].service)) ||
		    !image_limit_ok(&limits[i]))
			return -EINVAL;
	}
	ret = reserve((void **)&builder->limits, &builder->limits_room, builder->limits_count,
		      count, sizeof(*builder->limits));
	if (ret)
		return ret;
	*first = (uint32_t)builder->limits_count;
	if (count)
		memcpy(builder->limits + builder->limits_count, limits, count * sizeof(*limits));
	builder->limits_count += count;
	return 0;
}

int image_builder_add_options(struct image_builder *builder, const struct image_option *options,
			      size_t count, uint32_t *first)
{
	int ret;

	if (count > IMAGE_OPTIONS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!image_option_ok(&options[i]))
			return -EINVAL;
	}
	ret = reserve((void **)&builder->options, &builder->options_room, builder->options_count,
		      count, sizeof(*builder->options));
	if (ret)
		return ret;
	*first = (uint32_t)builder->options_count;
	if (count)
		memcpy(builder->options + builder->options_count, options,
		       count * sizeof(*options));
	builder->options_count += count;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct image_alias *)a)->name, ((const struct image_alias *)b)->name);
}

static int sort_aliases(struct image_builder *builder)
{
	if (builder->aliases_count)
		qsort(builder->aliases, builder->aliases_count, sizeof(*builder->aliases), by_name);
	for (size_t i = 1; i < builder->aliases_count; i++) {
		if (!by_name(&builder->aliases[i - 1], &builder->aliases[i]))
			return -EEXIST;
	}
	return 0;
}

void image_builder_set_actions(struct image_builder *builder, uint32_t number)
{
	builder->header.actions = number;
}

static uint32_t buckets_for(size_t containers)
{
	uint32_t count = 2;

	if (containers == 0)
		return 0;
	while (count < 2 * containers)
		count *= 2;
	return count;
}

/* Offsets of the parts; their sizes are multiples of what each needs. Returns the size. */
static uint64_t lay_out(struct image_builder *builder)
{
	struct image_header *header = &builder->header;
	uint64_t offset = (sizeof(*header) + 7) & ~7ull;

	header->containers_count = (uint32_t)builder->containers_count;
	header->buckets_count = buckets_for(builder->containers_count);
	header->containers_offset = (uint32_t)offset;
	offset += builder->containers_count * sizeof(struct image_container);
	header->buckets_offset = (uint32_t)offset;
	offset += (uint64_t)header->buckets_count * sizeof(uint32_t);
	header->services_offset = (uint32_t)offset;
	offset += header->services_count * sizeof(struct image_service);
	for (size_t i = 0; i < builder->containers_count; i++) {
		struct image_container *container = &builder->containers[i];

		container->services_offset =
			(uint32_t)(offset + container->services_offset * sizeof(struct image_service));
	}
	offset += builder->services_count * sizeof(struct image_service);
	header->aliases_offset = (uint32_t)offset;
	header->aliases_count = (uint32_t)builder->aliases_count;
	offset += builder->aliases_count * sizeof(struct image_alias);
	header->limits_offset = (uint32_t)offset;
	header->limits_count = (uint32_t)builder->limits_count;
	offset += builder->limits_count * sizeof(struct image_limit);
	header->options_offset = (uint32_t)offset;
	header->options_count = (uint32_t)builder->options_count;
	offset += builder->options_count * sizeof(struct image_option);
	offset = aligned(offset);
	header->blobs_offset = (uint32_t)offset;
	header->blobs_count = (uint32_t)builder->blobs_count;
	offset += aligned(builder->blobs_count * sizeof(struct image_blob));
	for (size_t i = 0; i < builder->blobs_count; i++)
		builder->blobs[i].offset += (uint32_t)offset;
	offset += builder->blob_bytes_count;
	header->size = offset;
	return offset;
}

static void write_out(const struct image_builder *builder, char *out)
{
	const struct image_header *header = &builder->header;
	uint32_t mask = header->buckets_count - 1;
	uint32_t *buckets = (uint32_t *)(out + header->buckets_offset);
	char *services = out + header->services_offset;
	size_t defaults = header->services_count * sizeof(struct image_service);

	memcpy(out, header, sizeof(*header));
	if (builder->containers_count)
		memcpy(out + header->containers_offset, builder->containers,
		       builder->containers_count * sizeof(struct image_container));
	memcpy(services, builder->defaults, defaults);
	if (builder->services_count)
		memcpy(services + defaults, builder->services,
		       builder->services_count * sizeof(struct image_service));
	if (builder->aliases_count)
		memcpy(out + header->aliases_offset, builder->aliases,
		       builder->aliases_count * sizeof(*builder->aliases));
	if (builder->limits_count)
		memcpy(out + header->limits_offset, builder->limits,
		       builder->limits_count * sizeof(*builder->limits));
	if (builder->options_count)
		memcpy(out + header->options_offset, builder->options,
		       builder->options_count * sizeof(*builder->options));
	if (builder->blobs_count) {
		memcpy(out + header->blobs_offset, builder->blobs,
		       builder->blobs_count * sizeof(*builder->blobs));
		memcpy(out + header->size - builder->blob_bytes_count, builder->blob_bytes,
		       builder->blob_bytes_count);
	}
	/* A new memfd reads as zeros: all buckets are empty. */
	for (size_t n = 0; n < builder->containers_count; n++) {
		uint32_t i = (uint32_t)id_hash(builder->containers[n].id) & mask;

		while (buckets[i])
			i = (i + 1) & mask;
		buckets[i] = (uint32_t)n + 1;
	}
}

int image_builder_finish(struct image_builder *builder)
{
	uint64_t size;
	void *out;
	int fd, ret = sort_aliases(builder);

	if (ret)
		return ret;
	size = lay_out(builder);
	if (size > IMAGE_SIZE_MAX)
		return -EFBIG;
	fd = memfd_create("hoody-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		ret = -errno;
		goto err_close;
	}
	out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (out == MAP_FAILED) {
		ret = -errno;
		goto err_close;
	}
	write_out(builder, out);
	/* F_SEAL_WRITE is refused while a writable mapping exists. */
	munmap(out, size);
	if (fcntl(fd, F_ADD_SEALS, IMAGE_SEALS) < 0) {
		ret = -errno;
		goto err_close;
	}
	builder->containers_count = 0;
	builder->services_count = 0;
	builder->blobs_count = 0;
	builder->blob_bytes_count = 0;
	builder->aliases_count = 0;
	builder->limits_count = 0;
	builder->options_count = 0;
	builder->header.services_count = 0;
	return fd;

err_close:
	close(fd);
	return ret;
}

void image_builder_destroy(struct image_builder *builder)
{
	if (!builder)
		return;
	free(builder->aliases);
	free(builder->limits);
	free(builder->options);
	free(builder->blob_bytes);
	free(builder->blobs);
	free(builder->services);
	free(builder->containers);
	free(builder);
}
