/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the kernel's routing (rtnetlink). */
#ifndef HOODY_KERNEL_ROUTE_H
#define HOODY_KERNEL_ROUTE_H

#include "lib/address.h"

/*
 * knl_address_is_local(): 1 where @address is one of this host's own in this
 * network namespace, 0 where it is not, or a negative errno. Asks for one
 * route, so that the number of interfaces does not matter.
 */
int knl_address_is_local(const struct address *address);

#endif /* HOODY_KERNEL_ROUTE_H */
