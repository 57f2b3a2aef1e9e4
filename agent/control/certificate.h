/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One certificate with its key: read, checked and written anew by control,
 * because the worker may read no file. Which ones there are: certificates.h.
 */
#ifndef HOODY_CONTROL_CERTIFICATE_H
#define HOODY_CONTROL_CERTIFICATE_H

#include "control/config.h"

#define CERTIFICATE_NAMES_MAX	100	/* more than any authority puts into one */
#define CERTIFICATE_FILE_MAX	(256 * 1024)	/* a chain is rarely more than 10 KiB */

struct certificate {
	char		*pem;		/* leaf, chain, key; NULL: none */
	size_t		len;
	char		*names;		/* lower case, a blank between two */
	char		issuer[128];	/* its common name, or organization */
	int64_t		not_before, not_after;
};

/* Bytes of a file, with a '\n' behind them that @len does not count. */
struct certificate_bytes {
	char	*data;
	size_t	len;
};

/*
 * certificate_read(): the file @path of @directory (AT_FDCWD). 0, or -EINVAL
 * with what is wrong in @fault. Where @inside is set, nothing leads out of
 * @directory and no link is followed: for files that others may write.
 */
int certificate_read(int directory, const char *path, bool inside,
		     struct certificate_bytes *bytes, char *fault, size_t fault_size);
/* Wipes what may be a key. */
void certificate_bytes_clear(struct certificate_bytes *bytes);

/*
 * certificate_parse(): the leaf, then its chain, in @chain; its key in @key. 0,
 * or -EINVAL with what is wrong in @fault and @certificate as it was.
 */
int certificate_parse(const struct certificate_bytes *chain, const struct certificate_bytes *key,
		      struct certificate *certificate, char *fault, size_t fault_size);
void certificate_clear(struct certificate *certificate);

/* Whether it is for @name, itself or by a wildcard. */
bool certificate_covers(const struct certificate *certificate, const char *name);

/*
 * certificate_load(): that of this node, as configured. 0, or -EINVAL after a
 * @report of what is wrong. What works but will not please browsers (expired,
 * other names) is reported too, starting with "warning: ".
 */
int certificate_load(const struct config *config, struct certificate *certificate,
		     config_report *report, void *context);

#endif /* HOODY_CONTROL_CERTIFICATE_H */
