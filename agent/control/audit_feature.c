// SPDX-License-Identifier: Apache-2.0
/*
 * The audit trail as a part of control: made from the configuration before
 * anything serves, and told when that changes. agent/audit/ does the rest.
 */
#include "audit/audit.h"
#include "control/feature.h"

#include <stdio.h>
#include <string.h>

static void find_realm(void *context, const uint8_t id[AUDIT_ID_LEN], char realm[AUDIT_REALM_MAX])
{
	struct control *control = context;
	const struct container *container = model_find(control->model, id);

	if (container)
		memcpy(realm, container->realm, sizeof(container->realm));
}

_Static_assert(AUDIT_REALM_MAX == MODEL_REALM_MAX, "realms are copied");
_Static_assert(AUDIT_ID_LEN == ID_LEN, "ids are copied");

static void accuse(void *context, const void *feed, const char *why)
{
	struct control *control = context;

	supervise_accuse(control->supervisor, feed, why);
}

static struct audit_config config_of(const struct config *config)
{
	struct audit_config audit = {
		.database = config->audit_database,
		.journal = config->audit_journal,
		.ring_records = config->audit_ring_records,
		.size_max = config->audit_size_max,
		.keep_days = config->audit_keep_days,
	};

	memcpy(audit.file, config->audit_file, sizeof(audit.file));
	memcpy(audit.directory, config->state_directory, sizeof(audit.directory));
	return audit;
}

/* What happens to the agent as a whole. */
static void note(struct control *control, const char *what)
{
	struct audit_entry entry = { .actor = "root" };

	snprintf(entry.record.method, sizeof(entry.record.method), "%s", what);
	snprintf(entry.record.outcome, sizeof(entry.record.outcome), "done");
	audit_change(control->audit, &entry);
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	const struct audit_callbacks callbacks = {
		.realm = find_realm, .accuse = accuse, .context = control,
	};
	const struct audit_config config = config_of(control->config);

	if (!config_audits(control->config))
		return 0;
	control->audit = audit_create(control->event, &config, &callbacks, fault, fault_size);
	if (!control->audit)
		return -1;
	note(control, control->handover ? "UPGRADE" : "START");
	return 0;
}

static void tear_down(struct control *control)
{
	if (!control->audit)
		return;
	note(control, "STOP");
	audit_destroy(control->audit);
	control->audit = NULL;
}

static void reloaded(struct control *control)
{
	const struct audit_config config = config_of(control->config);

	if (!control->audit)
		return;
	audit_reconfigure(control->audit, &config);
	note(control, "RELOAD");
}

const struct feature audit_feature = {
	.name = "audit",
	.set_up = set_up,
	.tear_down = tear_down,
	.reloaded = reloaded,
};
