/* SPDX-License-Identifier: Apache-2.0 */
/* Memory merging through the module; its words are those of linux/hoody.h. */
#ifndef HOODY_KERNEL_GENL_KSM_H
#define HOODY_KERNEL_GENL_KSM_H

#include "kernel/genl.h"

#define KNL_KSM_NAME_MAX	16	/* with the NUL: a process's name has 15 characters */

struct knl_ksm_wish {
	uint8_t		domain[ID_LEN];
	unsigned int	names_count;
	char		names[HOODY_KSM_NAMES_MAX][KNL_KSM_NAME_MAX];
};

struct knl_ksm {
	uint8_t		id[ID_LEN];
	uint8_t		domain[ID_LEN];
	enum hoody_ksm_state state;
	uint64_t	count[__HOODY_KSM_COUNT_MAX];
};

/*
 * 0 or a negative errno, as the requests of genl.h. knl_ksm_set() changes nothing
 * where the same was asked for before; knl_ksm_clear() is content where nothing
 * is marked. knl_ksm_dump() calls @each for all that is marked or being undone.
 */
int knl_ksm_set(struct knl *knl, const uint8_t id[ID_LEN], const struct knl_ksm_wish *wish);
int knl_ksm_clear(struct knl *knl, const uint8_t id[ID_LEN]);
int knl_ksm_dump(struct knl *knl, void (*each)(void *context, const struct knl_ksm *ksm),
		 void *context);

#endif /* HOODY_KERNEL_GENL_KSM_H */
