// SPDX-License-Identifier: Apache-2.0
/*
 * Reading an image, see image.h; image_builder.c writes it.
 *
 * image_open() checks everything that a later look-up relies on: that every
 * offset points inside, every name ends, every container is found in the
 * buckets, and that half of the buckets are empty, so that probing ends. After
 * that a look-up does no check of its own.
 */
#include "lib/image.h"
#include "lib/id.h"
#include "lib/image_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef F_GET_SEALS
#error "needs _GNU_SOURCE"
#endif

struct image {
	atomic_uint	references;
	size_t		size;
	const struct image_header *header;	/* the mapping */
};

static const void *at(const struct image_header *header, uint32_t offset)
{
	return (const char *)header + offset;
}

/* An array of @count elements at @offset, behind the header and inside the image. */
static bool range_ok(const struct image_header *header, uint32_t offset, uint32_t count,
		     size_t element, size_t alignment)
{
	if (count == 0)
		return true;
	return offset >= sizeof(*header) && offset % alignment == 0 && offset <= header->size &&
	       count <= (header->size - offset) / element;
}

static bool name_ok(const char *name, size_t size)
{
	return name[0] != '\0' && memchr(name, '\0', size) != NULL;
}

static bool services_ok(const struct image_header *header, uint32_t offset, uint32_t count)
{
	const struct image_service *services = at(header, offset);

	if (count > IMAGE_SERVICES_MAX ||
	    !range_ok(header, offset, count, sizeof(*services), _Alignof(struct image_service)))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (!name_ok(services[i].name, sizeof(services[i].name)) || !services[i].port)
			return false;
	}
	return true;
}

static bool settings_ok(const struct image_settings *settings)
{
	return name_ok(settings->node, sizeof(settings->node)) &&
	       name_ok(settings->base_domain, sizeof(settings->base_domain)) &&
	       settings->audit_query <= IMAGE_AUDIT_KEEP &&
	       settings->real_ip_mode <= IMAGE_REAL_IP_ON && settings->threads >= 1 &&
	       settings->threads <= IMAGE_THREADS_MAX;
}

static const struct image_container *find(const struct image_header *header,
					  const uint8_t id[IMAGE_ID_LEN])
{
	const struct image_container *containers = at(header, header->containers_offset);
	const uint32_t *buckets = at(header, header->buckets_offset);
	uint32_t mask = header->buckets_count - 1;

	if (!header->containers_count)
		return NULL;
	for (uint32_t i = (uint32_t)id_hash(id) & mask; buckets[i]; i = (i + 1) & mask) {
		const struct image_container *container = &containers[buckets[i] - 1];

		if (!memcmp(container->id, id, IMAGE_ID_LEN))
			return container;
	}
	return NULL;
}

static bool blobs_ok(const struct image_header *header)
{
	const struct image_blob *blobs = at(header, header->blobs_offset);

	if (header->blobs_count > IMAGE_BLOBS_MAX || header->actions > header->blobs_count ||
	    !range_ok(header, header->blobs_offset, header->blobs_count, sizeof(*blobs),
		      _Alignof(struct image_blob)))
		return false;
	for (uint32_t i = 0; i < header->blobs_count; i++) {
		if (blobs[i].size == 0 || !range_ok(header, blobs[i].offset, blobs[i].size, 1,
						    IMAGE_BLOB_ALIGN))
			return false;
	}
	return true;
}

/* Strictly ascending: a search finds each, and none is there twice. */
static bool aliases_ok(const struct image_header *header)
{
	const struct image_alias *aliases = at(header, header->aliases_offset);

	if (header->aliases_count > IMAGE_ALIASES_MAX ||
	    !range_ok(header, header->aliases_offset, header->aliases_count, sizeof(*aliases),
		      _Alignof(struct image_alias)))
		return false;
	for (uint32_t i = 0; i < header->aliases_count; i++) {
		if (!name_ok(aliases[i].name, sizeof(aliases[i].name)) ||
		    !name_ok(aliases[i].service, sizeof(aliases[i].service)) ||
		    !aliases[i].instance ||
		    (i && strcmp(aliases[i - 1].name, aliases[i].name) >= 0))
			return false;
	}
	return true;
}

static bool limits_ok(const struct image_header *header)
{
	const struct image_limit *limits = at(header, header->limits_offset);

	if (!range_ok(header, header->limits_offset, header->limits_count, sizeof(*limits),
		      _Alignof(struct image_limit)))
		return false;
	for (uint32_t i = 0; i < header->limits_count; i++) {
		if (!memchr(limits[i].service, '\0', sizeof(limits[i].service)) ||
		    !image_limit_ok(&limits[i]))
			return false;
	}
	return true;
}

static bool options_ok(const struct image_header *header)
{
	const struct image_option *options = at(header, header->options_offset);

	if (!range_ok(header, header->options_offset, header->options_count, sizeof(*options),
		      _Alignof(struct image_option)))
		return false;
	for (uint32_t i = 0; i < header->options_count; i++) {
		if (!image_option_ok(&options[i]))
			return false;
	}
	return true;
}

static bool buckets_ok(const struct image_header *header)
{
	const uint32_t *buckets = at(header, header->buckets_offset);
	uint32_t count = header->buckets_count, used = 0;

	if (header->containers_count == 0)
		return count == 0;
	if (count & (count - 1) || count / 2 < header->containers_count ||
	    !range_ok(header, header->buckets_offset, count, sizeof(*buckets), sizeof(*buckets)))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (buckets[i] > header->containers_count)
			return false;
		used += buckets[i] != 0;
	}
	return used == header->containers_count;
}

static bool containers_ok(const struct image_header *header)
{
	const struct image_container *containers = at(header, header->containers_offset);

	if (header->containers_count > IMAGE_CONTAINERS_MAX ||
	    !range_ok(header, header->containers_offset, header->containers_count,
		      sizeof(*containers), _Alignof(struct image_container)) ||
	    !buckets_ok(header))
		return false;
	for (uint32_t i = 0; i < header->containers_count; i++) {
		const struct image_container *container = &containers[i];

		/* Found under its own id: neither missing in the buckets nor twice. */
		if (container->flags & ~IMAGE_FLAGS_ALL ||
		    container->permissions > header->blobs_count ||
		    container->limits_count > IMAGE_LIMITS_MAX ||
		    container->limits_count > header->limits_count ||
		    container->limits_first > header->limits_count - container->limits_count ||
		    container->options_count > IMAGE_OPTIONS_MAX ||
		    container->options_count > header->options_count ||
		    container->options_first > header->options_count - container->options_count ||
		    !services_ok(header, container->services_offset, container->services_count) ||
		    find(header, container->id) != container)
			return false;
	}
	return true;
}

static int check(const struct image_header *header, size_t size)
{
	if (memcmp(header->magic, IMAGE_MAGIC, sizeof(header->magic)) ||
	    header->version != IMAGE_VERSION || header->header_size != sizeof(*header))
		return EPROTO;
	if (header->size != size || !settings_ok(&header->settings) ||
	    !services_ok(header, header->services_offset, header->services_count) ||
	    !blobs_ok(header) || !aliases_ok(header) || !limits_ok(header) ||
	    !options_ok(header) ||
	    !containers_ok(header))
		return EBADMSG;
	return 0;
}

struct image *image_open(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct image *image = NULL;
	void *mapping = MAP_FAILED;
	struct stat st;
	int error;

	if (seals < 0 || (seals & IMAGE_SEALS) != IMAGE_SEALS) {
		errno = EPERM;
		return NULL;
	}
	if (fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size < (off_t)sizeof(struct image_header) || st.st_size > IMAGE_SIZE_MAX) {
		errno = EBADMSG;
		return NULL;
	}
	image = calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	mapping = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED) {
		error = errno;
		goto err_free;
	}
	image->size = st.st_size;
	image->header = mapping;
	atomic_init(&image->references, 1);
	error = check(image->header, image->size);
	if (error)
		goto err_unmap;
	return image;

err_unmap:
	munmap(mapping, st.st_size);
err_free:
	free(image);
	errno = error;
	return NULL;
}

struct image *image_get(struct image *image)
{
	atomic_fetch_add_explicit(&image->references, 1, memory_order_relaxed);
	return image;
}

void image_put(struct image *image)
{
	if (!image || atomic_fetch_sub_explicit(&image->references, 1, memory_order_acq_rel) != 1)
		return;
	munmap((void *)image->header, image->size);
	free(image);
}

const struct image_header *image_header(const struct image *image)
{
	return image->header;
}

const struct image_container *image_container_find(const struct image *image,
						   const uint8_t id[IMAGE_ID_LEN])
{
	return find(image->header, id);
}

const struct image_alias *image_alias_find(const struct image *image, const char *name)
{
	const struct image_alias *aliases = at(image->header, image->header->aliases_offset);
	uint32_t low = 0, high = image->header->aliases_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(name, aliases[middle].name);

		if (!order)
			return &aliases[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct image_limit *image_limits(const struct image *image,
				       const struct image_container *container)
{
	const struct image_limit *limits = at(image->header, image->header->limits_offset);

	return limits + container->limits_first;
}

const struct image_option *image_option_find(const struct image *image,
					     const struct image_container *container,
					     const char *service, size_t service_len,
					     uint16_t instance)
{
	const struct image_option *options = at(image->header, image->header->options_offset);
	const struct image_option *found = NULL;

	if (service_len >= IMAGE_NAME_MAX)
		return NULL;
	options += container->options_first;
	for (uint32_t i = 0; i < container->options_count; i++) {
		if (memcmp(options[i].service, service, service_len) ||
		    options[i].service[service_len])
			continue;
		if (options[i].instance == instance)
			return &options[i];
		if (!options[i].instance)
			found = &options[i];
	}
	return found;
}

const void *image_blob(const struct image *image, uint32_t number, size_t *size)
{
	const struct image_blob *blobs = at(image->header, image->header->blobs_offset);

	if (!number)
		return NULL;
	*size = blobs[number - 1].size;
	return at(image->header, blobs[number - 1].offset);
}

static uint16_t port_of(const struct image_header *header, uint32_t offset, uint32_t count,
			const char *service, size_t service_len)
{
	const struct image_service *services = at(header, offset);

	for (uint32_t i = 0; i < count; i++) {
		if (!memcmp(services[i].name, service, service_len) &&
		    services[i].name[service_len] == '\0')
			return services[i].port;
	}
	return 0;
}

uint16_t image_service_port(const struct image *image, const struct image_container *container,
			    const char *service, size_t service_len, uint16_t instance)
{
	const struct image_header *header = image->header;
	uint16_t port;

	if (service_len == 0 || service_len >= IMAGE_NAME_MAX)
		return 0;
	if (service_len == 4 && !memcmp(service, "http", 4))
		return instance == 1 ? 80 : instance;
	port = port_of(header, container->services_offset, container->services_count, service,
		       service_len);
	if (port)
		return port;
	return port_of(header, header->services_offset, header->services_count, service,
		       service_len);
}
