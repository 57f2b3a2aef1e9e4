/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features: what is enforced on containers beside routing. Each is a file set of
 * its own that hangs itself into the control process by one table of hooks; the
 * order of changes (change.h) calls them at the moments that count:
 *
 *	prepare		before the commit of a container that runs after it; it may
 *			refuse, and nothing has happened
 *	changed		after the commit, before the kernel's registry and the image
 *			have it: from here on the feature must hold for it. The
 *			container is in the model and may be stopped.
 *	gone		a stopped or deleted container has left workers and kernel
 *
 * A feature keeps its state behind a pointer of struct control, stores documents
 * (db_put_document()) and brings its own table of API routes.
 */
#ifndef HOODY_CONTROL_FEATURE_H
#define HOODY_CONTROL_FEATURE_H

#include "control/control.h"

struct feature {
	const char *name;
	/* From the database, before anything serves. 0, or -errno with @fault. */
	int (*set_up)(struct control *control, char *fault, size_t fault_size);
	/* After the last worker has ended; also where set_up failed or never ran. */
	void (*tear_down)(struct control *control);
	/* 0, or -errno with words for people in @fault. */
	int (*prepare)(struct control *control, const struct container *container, char *fault,
		       size_t fault_size);
	void (*changed)(struct control *control, const struct container *container);
	void (*gone)(struct control *control, const uint8_t id[ID_LEN]);
	/* Every KERNEL_SYNC_RETRY_MS: tries again what the kernel refused. */
	void (*tick)(struct control *control);
	/* A new configuration is in force (control->config). */
	void (*reloaded)(struct control *control);
};

extern const struct feature syscalls_feature, module_feature;
/* The list; see feature.c. */
extern const struct feature audit_feature, metrics_feature, tokens_feature;
extern const struct feature aliases_feature;
extern const struct feature limits_feature;
extern const struct feature services_feature;
extern const struct feature certificates_feature, acme_feature;
extern const struct feature ksm_feature;
extern const struct feature network_feature;
extern const struct feature firewall_feature;

/* Every hook may be NULL. features_set_up() stops at the first that fails. */
int features_set_up(struct control *control, char *fault, size_t fault_size);
void features_tear_down(struct control *control);
int features_prepare(struct control *control, const struct container *container, char *fault,
		     size_t fault_size);
void features_changed(struct control *control, const struct container *container);
void features_gone(struct control *control, const uint8_t id[ID_LEN]);
void features_tick(struct control *control);
void features_reloaded(struct control *control);

#endif /* HOODY_CONTROL_FEATURE_H */
