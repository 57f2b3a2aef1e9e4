// SPDX-License-Identifier: Apache-2.0
/* The relay's policy (JSON), one after another, as control replaces it. */
#include "fuzz.h"
#include "relay/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct relay_policy *old = NULL;
	static X509_STORE *trust;

	if (!trust)
		trust = X509_STORE_new();

	for (unsigned int i = 0; i < 3 && input.len; i++) {
		struct fuzz_input part = fuzz_part(&input);
		char *json = fuzz_copy(part, false);
		struct relay_policy *policy = relay_policy_create(json, part.len, old, trust);
		size_t count, n;

		free(json);
		if (!policy)
			continue;
		for (n = 0, relay_policy_containers(policy, &count); n < count; n++) {
			const struct relay_container *one = &relay_policy_containers(policy, &count)[n];

			fuzz_need(relay_policy_by_id(policy, one->id) == one, "a container is found");
			fuzz_need(one->dns_count <= RELAY_DNS_MAX, "servers");
			name_set_has(&one->names.allow, "www.example.com");
		}
		relay_policy_destroy(old);
		old = policy;
	}
	relay_policy_destroy(old);
	return 0;
}
