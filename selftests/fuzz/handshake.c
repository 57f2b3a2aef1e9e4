// SPDX-License-Identifier: Apache-2.0
/*
 * Replies of SOCKS5 and CONNECT proxies: the first byte chooses the kind, the parts
 * are what comes at once. What is sent fits, and no byte behind the answer is taken.
 */
#include "fuzz.h"
#include "relay/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const uint8_t kind = fuzz_byte(&input);
	struct exit_spec spec = {
		.kind = kind & 1 ? EXIT_HTTP : EXIT_SOCKS5, .port = 1080,
		.address = { .family = AF_INET }, .has_login = kind & 2,
		.user = "user", .password = "p\xc3\xa4ssword",
	};
	struct address destination = { .family = kind & 4 ? AF_INET6 : AF_INET };
	static struct handshake handshake;
	size_t total = 0;
	int ret = 0;

	memset(&handshake, 0, sizeof(handshake));
	if (kind & 8)
		handshake_begin_probe(&handshake, &spec);
	else
		handshake_begin(&handshake, &spec, &destination, 443);
	handshake.associate = kind & 16 && !(kind & 1);
	while (!ret && input.len) {
		struct fuzz_input part = fuzz_part(&input);
		char *bytes = fuzz_copy(part, false);
		size_t at = 0;

		do {
			size_t used = 0;

			ret = handshake_feed(&handshake, bytes + at, part.len - at, &used);
			fuzz_need(used <= part.len - at, "no more than came is taken");
			fuzz_need(handshake.out_len <= HANDSHAKE_OUT_MAX, "what is sent fits");
			fuzz_need(ret <= 1 && ret > -HANDSHAKE_FAULTS, "a result of the header's");
			handshake.out_len = 0;
			at += used;
			total += used;
			if (!used)
				break;
		} while (!ret && at < part.len);
		free(bytes);
	}
	fuzz_need(ret != 1 || handshake.step == HANDSHAKE_DONE, "done is done");
	fuzz_need(total <= HANDSHAKE_IN_MAX + 1024, "a proxy cannot talk for ever");
	return 0;
}
