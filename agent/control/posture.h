/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Posture: which layers of protection hold, for the host and for a container, as
 * the kernel says it at this moment. Every layer names what was read and what it
 * said; what cannot be read is unknown, and never taken for good. Nothing here
 * changes anything. docs/posture.md lists the layers.
 *
 * Files are read below @root, which is "" but for tests.
 */
#ifndef HOODY_CONTROL_POSTURE_H
#define HOODY_CONTROL_POSTURE_H

#include <stddef.h>
#include <sys/types.h>

#define POSTURE_LAYERS_MAX	32
#define POSTURE_VALUE_MAX	256

enum posture_verdict {
	POSTURE_UNKNOWN,
	POSTURE_HOLDS,
	POSTURE_FAILS,
};

/* What the source of disk_cipher and swap_cipher begins with; " 253:0 253:1" follows. */
#define POSTURE_TABLES	"device-mapper tables of"

extern const char *const posture_verdicts[];	/* "unknown", "holds", "fails" */

struct posture_layer {
	const char		*name;		/* "user_namespace" */
	enum posture_verdict	verdict;
	char			source[POSTURE_VALUE_MAX];	/* what was read */
	char			value[POSTURE_VALUE_MAX];	/* what it said */
	const char		*advice;	/* what to do where it fails */
};

struct posture {
	const char		*root;
	struct posture_layer	layers[POSTURE_LAYERS_MAX];
	size_t			count;
};

/* A further layer, unknown until it is told. Beyond the bound the last is reused. */
struct posture_layer *posture_add(struct posture *posture, const char *name, const char *advice);

/*
 * posture_read(): the beginning of a file below the root, its last newline cut off;
 * names it as the layer's source. 0, or a negative errno with words in its value.
 */
int posture_read(const struct posture *posture, struct posture_layer *layer, const char *path,
		 char *text, size_t size);

/* The layers of a host that are files: switches, encryption, processor. */
void posture_host(struct posture *posture, const char *state_directory);
/* Those of the process @pid, which is in a container: see posture_find_init(). */
void posture_process(struct posture *posture, pid_t pid);
/* Limits of the cgroup whose directory is @path. */
void posture_cgroup(struct posture *posture, const char *path);

/* The process that is number 1 in its pid namespace, below cgroup @path; else any; 0. */
pid_t posture_find_init(const struct posture *posture, const char *path);

/* The field @name of a /proc/PID/status in @status; "" where it has none. */
void posture_field(const char *status, const char *name, char *value, size_t size);

#endif /* HOODY_CONTROL_POSTURE_H */
