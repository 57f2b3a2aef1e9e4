/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reader and the builder of an image agree on beyond image.h: bounds,
 * seals and the flags that exist.
 */
#ifndef HOODY_LIB_IMAGE_LAYOUT_H
#define HOODY_LIB_IMAGE_LAYOUT_H

#include "lib/image.h"

#include <fcntl.h>
#include <string.h>

#define IMAGE_CONTAINERS_MAX	(1u << 18)	/* 65536 and their tombstones */
#define IMAGE_SERVICES_MAX	64		/* of one table */
#define IMAGE_ALIASES_MAX	131072		/* 65536, each with a domain */
#define IMAGE_THREADS_MAX	64
#define IMAGE_BLOBS_MAX		(1u << 17)	/* projects and containers with permissions */
#define IMAGE_BLOB_ALIGN	8
#define IMAGE_SIZE_MAX		(1ll << 30)
#define IMAGE_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define IMAGE_OPTIONS_ALL	(IMAGE_OPTION_H2C | IMAGE_OPTION_VIA)
#define IMAGE_FLAGS_ALL		(IMAGE_RUNNING | IMAGE_DELETED | IMAGE_REAL_IP | IMAGE_HAS_V4 | \
				 IMAGE_HAS_V6 | IMAGE_CONTROL)

/* Names end, and what stands in for all instances stands for no other thing. */
static inline bool image_option_ok(const struct image_option *option)
{
	if (!option->service[0] || !memchr(option->service, '\0', sizeof(option->service)) ||
	    !memchr(option->via_service, '\0', sizeof(option->via_service)) ||
	    option->flags & ~(uint32_t)IMAGE_OPTIONS_ALL)
		return false;
	return !(option->flags & IMAGE_OPTION_VIA) ||
	       (option->via_service[0] && option->via_instance);
}

#endif /* HOODY_LIB_IMAGE_LAYOUT_H */
