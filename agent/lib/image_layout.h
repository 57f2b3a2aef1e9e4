/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reader and the builder of an image agree on beyond image.h: bounds,
 * seals and the flags that exist.
 */
#ifndef HOODY_LIB_IMAGE_LAYOUT_H
#define HOODY_LIB_IMAGE_LAYOUT_H

#include "lib/image.h"

#include <fcntl.h>

#define IMAGE_CONTAINERS_MAX	(1u << 18)	/* 65536 and their tombstones */
#define IMAGE_SERVICES_MAX	64		/* of one table */
#define IMAGE_ALIASES_MAX	131072		/* 65536, each with a domain */
#define IMAGE_THREADS_MAX	64
#define IMAGE_BLOBS_MAX		(1u << 17)	/* projects and containers with permissions */
#define IMAGE_BLOB_ALIGN	8
#define IMAGE_SIZE_MAX		(1ll << 30)
#define IMAGE_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define IMAGE_FLAGS_ALL		(IMAGE_RUNNING | IMAGE_DELETED | IMAGE_REAL_IP | IMAGE_HAS_V4 | \
				 IMAGE_HAS_V6 | IMAGE_CONTROL)

#endif /* HOODY_LIB_IMAGE_LAYOUT_H */
