// SPDX-License-Identifier: Apache-2.0
/*
 * A module that is newer or older than the agent: the agent's own client finds out, says
 * what to do, asks it for nothing, and works again with one that fits.
 */
#include "kernel/genl_internal.h"
#include "kmod.h"
#include "tap.h"

/* Every call that would change something is refused before it reaches the module. */
static bool keeps_away(struct knl *knl)
{
	struct knl_container container = { .generation = 1 };

	return knl_container_set(knl, &container) && knl_agent_set(knl, 1) && *knl_reason(knl);
}

int main(void)
{
	const uint32_t own = HOODY_GENL_VERSION;
	struct knl *knl;

	tap_plan(10);
	knl = knl_open();
	tap_ok(knl && knl_state(knl) == KNL_ABSENT && strstr(knl_reason(knl), "modprobe hoody"),
	       "version_no_module");
	tap_ok(knl && keeps_away(knl), "version_no_module_is_asked_for_nothing");
	if (!knl || kmod_load(""))
		kmod_die("hoody.ko cannot be loaded");
	tap_ok(knl_probe(knl) == KNL_READY && knl_info(knl)->protocol == own,
	       "version_of_the_agent_is_the_module_s");
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "older" : "newer";

		knl->protocol = i ? own + 1 : own - 1;
		tap_ok(knl_probe(knl) == KNL_INCOMPATIBLE &&
		       strstr(knl_reason(knl), "install module and agent of one release"),
		       "version_%s_module_is_noticed", name);
		tap_note("%s", knl_reason(knl));
		tap_ok(keeps_away(knl), "version_%s_module_is_asked_for_nothing", name);
	}
	knl->protocol = own;
	tap_ok(knl_probe(knl) == KNL_READY && !*knl_reason(knl), "version_that_fits_works_again");
	tap_ok(!knl_agent_set(knl, 0), "version_that_fits_is_asked");
	knl_close(knl);
	tap_ok(!kmod_remove("hoody"), "version_leaves_no_module");
	return tap_done();
}
