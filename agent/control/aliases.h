/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aliases: names for a service of a container in place of the long host name.
 * <alias>.<node>.<base domain> and, where it is given, a domain of somebody's own.
 * They end with their container.
 */
#ifndef HOODY_CONTROL_ALIASES_H
#define HOODY_CONTROL_ALIASES_H

#include "control/control.h"

#define ALIASES_MAX	65536

struct alias {
	char		name[64];			/* a label, lower case */
	char		domain[IMAGE_DOMAIN_MAX];	/* empty: none */
	char		service[IMAGE_NAME_MAX];
	uint8_t		container[ID_LEN];
	uint16_t	instance;
	int64_t		created_at;
};

struct aliases {
	struct alias	*list;		/* by name */
	size_t		count, room;
};

struct alias *aliases_find(struct aliases *aliases, const char *name);
/* The alias that has this domain, or NULL. */
struct alias *aliases_find_domain(struct aliases *aliases, const char *domain);

/* As db.h: 0, or a negative errno and nothing has changed. The name must be free. */
int aliases_add(struct control *control, const struct alias *alias);
int aliases_delete(struct control *control, const char *name);

struct image_builder;
int aliases_publish(const struct control *control, struct image_builder *builder);

#endif /* HOODY_CONTROL_ALIASES_H */
