/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's interfaces and addresses, and when they change (rtnetlink). What
 * changed is not told, only that something did: who asks looks again, so that a
 * message that was lost costs nothing.
 */
#ifndef HOODY_KERNEL_LINKS_H
#define HOODY_KERNEL_LINKS_H

#include "lib/address.h"

#include <stdint.h>

struct knl_links;

/* NULL with errno. */
struct knl_links *knl_links_open(void);
void knl_links_close(struct knl_links *links);

/* A descriptor to poll for reading. */
int knl_links_fd(const struct knl_links *links);

/* Empties it: a set of KNL_LINKS_*, 0: nothing, or a negative errno. */
#define KNL_LINKS_INTERFACES	1
#define KNL_LINKS_ADDRESSES	2
int knl_links_events(struct knl_links *links);

/* Each address of this network namespace. 0 or a negative errno. */
typedef void knl_links_address(void *context, const struct address *address);
int knl_links_addresses(knl_links_address *each, void *context);

#endif /* HOODY_KERNEL_LINKS_H */
