/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state in memory: every container and every tombstone of the host.
 *
 * The database is the truth; the model is what it says, in the shape that look-
 * ups need, so that a request reads no table and a write touches one row. It
 * never holds anything that is not committed: db_*() first, then model_*().
 *
 * Containers and tombstones are kept sorted by id (one binary search finds
 * either, paging follows that order, and an insert moves pointers only); a hash
 * by address tells whose an address is.
 */
#ifndef HOODY_CONTROL_MODEL_H
#define HOODY_CONTROL_MODEL_H

#include "lib/address.h"
#include "lib/id.h"
#include "lib/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_CONTAINERS_MAX	65536
#define MODEL_TOMBSTONES_MAX	131072
#define MODEL_ADDRESSES_MAX	8	/* of each family: HOODY_MAX_ADDRS */
#define MODEL_PORTS_MAX		32
#define MODEL_NAME_MAX		128	/* bytes of UTF-8, with the NUL */
#define MODEL_REALM_MAX		64	/* a host name label, with the NUL */
#define MODEL_CGROUP_MAX	512
#define MODEL_NETDEV_MAX	16	/* IFNAMSIZ */

/* What the kernel module knows of a container. */
enum model_kernel_state {
	MODEL_KERNEL_ABSENT,		/* not registered, and need not be */
	MODEL_KERNEL_SET,		/* registered with this generation */
	MODEL_KERNEL_FAILED,		/* should be registered, and is not */
};

struct container {
	uint8_t		id[ID_LEN];
	uint8_t		project[ID_LEN];
	char		name[MODEL_NAME_MAX];		/* empty: none */
	char		realm[MODEL_REALM_MAX];		/* empty: none */
	char		netdev[MODEL_NETDEV_MAX];	/* empty: none */
	char		*cgroup;	/* below the cgroup2 mount; NULL: none */
	bool		running;
	bool		gateway;
	uint8_t		addresses_count;
	uint8_t		ports_count;
	struct address	*addresses;
	struct image_service *ports;
	uint64_t	generation;
	int64_t		created_at, updated_at;		/* seconds since 1970 */
	/* Not in the database: */
	uint64_t	cgroup_id;	/* inode of the directory; 0: none or not found */
	enum model_kernel_state kernel_state;
};

struct tombstone {
	uint8_t		id[ID_LEN];
	uint8_t		project[ID_LEN];
	int64_t		deleted_at;
};

struct model;

struct model *model_create(void);
void model_destroy(struct model *model);

/*
 * container_copy(): a deep copy, or NULL (ENOMEM). container_free() takes NULL.
 * The two setters copy; they return 0 or -ENOMEM and leave all as it was.
 */
struct container *container_copy(const struct container *container);
void container_free(struct container *container);
int container_set_addresses(struct container *container, const struct address *addresses,
			    unsigned int count);
int container_set_ports(struct container *container, const struct image_service *ports,
			unsigned int count);
int container_set_cgroup(struct container *container, const char *cgroup);

/* The first address of a family, or NULL. */
const struct address *container_address(const struct container *container, sa_family_t family);

struct container *model_find(const struct model *model, const uint8_t id[ID_LEN]);
const struct tombstone *model_find_tombstone(const struct model *model, const uint8_t id[ID_LEN]);
struct container *model_find_address(const struct model *model, const struct address *address);

size_t model_containers_count(const struct model *model);
size_t model_running_count(const struct model *model);
size_t model_tombstones_count(const struct model *model);

/* In order of ids. @index below the count. */
struct container *model_container_at(const struct model *model, size_t index);
const struct tombstone *model_tombstone_at(const struct model *model, size_t index);

/* The index of the first container whose id is larger than @id. */
size_t model_index_after(const struct model *model, const uint8_t id[ID_LEN]);

/*
 * model_set(): puts @container in, or in the place of the one with its id,
 * which is freed. The model owns it afterwards. 0, -ENOSPC (full), -ENOMEM, or
 * -EADDRINUSE where an address is another container's: nothing has changed then
 * and the caller still owns it.
 */
int model_set(struct model *model, struct container *container);

/* Whether model_set() would find room; 0, -ENOSPC or -ENOMEM. Makes it certain. */
int model_reserve(struct model *model, const struct container *container);

/* Removes the container, which must exist, and frees it. */
void model_delete(struct model *model, const uint8_t id[ID_LEN]);

/*
 * model_add_tombstone(): 0 or -ENOMEM. Where there are too many, the oldest one
 * has to go first: model_oldest_tombstone(), model_delete_tombstone().
 */
int model_add_tombstone(struct model *model, const struct tombstone *tombstone);
const struct tombstone *model_oldest_tombstone(const struct model *model);
void model_delete_tombstone(struct model *model, const uint8_t id[ID_LEN]);

/* The running flag changes outside of model_set(): keeps the count. */
void model_set_running(struct model *model, struct container *container, bool running);

#endif /* HOODY_CONTROL_MODEL_H */
