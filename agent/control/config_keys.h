/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the configuration's keys: what each is called, where its value
 * goes, what it may be and what it is when it is not given.
 */
#ifndef HOODY_CONTROL_CONFIG_KEYS_H
#define HOODY_CONTROL_CONFIG_KEYS_H

#include "control/config.h"

#define CONFIG_KEYS_MAX		96
#define CONFIG_THREADS_AUTO_MAX	8

struct config_key {
	const char	*section, *name;
	/*
	 * Parses @value into @config. 0, or -EINVAL with what is wrong and what
	 * is accepted in @fault. @first: the first time that this key is given.
	 */
	int		(*set)(const struct config_key *key, struct config *config,
			       const char *value, bool first, char *fault, size_t fault_size);
	const char	*fallback;	/* the default, in the file's own words; NULL: none */
	size_t		offset, size;	/* of the field in struct config */
	uint64_t	min, max;	/* of numbers, in the field's unit */
	bool		repeatable;
};

extern const struct config_key config_keys[];

/* The key's index in config_keys, or -1. */
int config_key_find(const char *section, const char *name);

/* The section that has a key of this name, or NULL: for messages. */
const char *config_key_section_of(const char *name);

void config_keys_set_defaults(struct config *config);

/* Where QUIC follows TLS: adds its listeners. 0, or -ENOSPC where there is no room. */
int config_follow_tls(struct config *config);

#endif /* HOODY_CONTROL_CONFIG_KEYS_H */
