// SPDX-License-Identifier: Apache-2.0
/* Files of wg-quick(8): counts stay within their arrays, and no secret is in a refusal. */
#include "control/wireguard_file.h"
#include "fuzz.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wireguard_file file;
	char *text = fuzz_copy((struct fuzz_input){ data, size }, false), why[160] = "";
	const int ret = wireguard_file_parse(text, size, &file, why, sizeof(why));

	fuzz_need(!ret || ret == -EINVAL, "0 or -EINVAL");
	fuzz_need(!ret || why[0], "a refusal says why");
	fuzz_need(file.peers_count <= WIREGUARD_PEERS_MAX &&
		  file.addresses_count <= WIREGUARD_ADDRESSES_MAX &&
		  file.dns_count <= WIREGUARD_DNS_MAX, "no more than there is room for");
	for (uint32_t i = 0; !ret && i < file.peers_count; i++) {
		fuzz_need(file.peers[i].has_public_key, "a peer has a key");
		fuzz_need(file.peers[i].allowed_count <= WIREGUARD_ALLOWED_MAX, "ranges");
		for (uint32_t n = 0; n < file.peers[i].allowed_count; n++) {
			const struct wireguard_prefix *prefix = &file.peers[i].allowed[n];

			fuzz_need(prefix->length <= (prefix->address.family == AF_INET ? 32 : 128),
				  "a prefix fits its family");
		}
	}
	free(text);
	return 0;
}
