/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the host's packet filter, by libnftables. The library is looked for
 * when it is first needed: a host whose containers need no address translation
 * does without it.
 */
#ifndef HOODY_KERNEL_NFT_H
#define HOODY_KERNEL_NFT_H

#include <stddef.h>

/*
 * knl_nft_run(): commands in the language of nft(8), as one transaction: all of them
 * or none. 0, or a negative errno with @fault: -ENOPKG where there is no library,
 * -EINVAL where the kernel refuses.
 */
int knl_nft_run(const char *commands, char *fault, size_t fault_size);

#endif /* HOODY_KERNEL_NFT_H */
