// SPDX-License-Identifier: Apache-2.0
/*
 * Syscall profiles: what compiles is exported in both formats, and what is exported
 * for a runtime compiles again to a table that decides the same.
 */
#include "fuzz.h"
#include "profile/profile.h"

static const char *const caps[] = { "CAP_NET_ADMIN", "CAP_SYS_CHROOT" };
static const struct profile_options options = { caps, 2, 6, 12 };

static void compare(const struct hoody_table *a, const struct hoody_table *b)
{
	static const uint64_t args[3][6] = {
		{ 0 }, { 1, 2, 3, 4, 5, 6 }, { UINT64_MAX, 0x10000000, 8, 16, 32, UINT32_MAX },
	};

	for (unsigned int nr = 0; nr < 470; nr++) {
		for (unsigned int i = 0; i < 3; i++)
			fuzz_need(profile_decide(a, HOODY_ARCH_X86_64, nr, args[i]) ==
				  profile_decide(b, HOODY_ARCH_X86_64, nr, args[i]),
				  "an exported profile decides the same");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct profile_report report;
	struct hoody_table *table = NULL, *again = NULL;
	char *json = fuzz_copy((struct fuzz_input){ data, size }, false), *text = NULL;

	if (profile_compile(json, size, &options, &table, &report)) {
		fuzz_need(report.error[0] != '\0', "a refusal says why");
		goto out;
	}
	profile_essential(table, &report);
	profile_io_uring(table, &report);
	if (!profile_export(json, size, &options, PROFILE_LXC, &text, &report)) {
		free(text);
		text = NULL;
	}
	if (!profile_export(json, size, &options, PROFILE_OCI, &text, &report)) {
		if (!profile_compile(text, strlen(text), &options, &again, &report))
			compare(table, again);
		else
			fuzz_need(!strstr(report.error, "leave one out"), "a resolved profile says nothing twice");
	}
	free(text);
out:
	free(again);
	free(table);
	free(json);
	return 0;
}
