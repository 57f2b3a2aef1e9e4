// SPDX-License-Identifier: Apache-2.0
/*
 * Reload (SIGHUP) and --check, see reload.h. Whatever can fail is done first,
 * with the new configuration beside the old one; then all of it is swapped.
 */
#include "control/reload.h"
#include "control/certificates.h"
#include "control/feature.h"
#include "control/kernel_sync.h"
#include "control/publish.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int control_identity(const struct config *config, struct spawn_identity *identity,
		     config_report *report, void *context)
{
	char text[256];
	int ret = spawn_identity_find(config->worker_user, identity);

	if (!ret)
		return 0;
	snprintf(text, sizeof(text),
		 ret == -ENOENT ? "[agent] worker_user: there is no user %s: useradd --system %s makes it" :
				  "[agent] worker_user: %s is root; give an unprivileged user (%s)",
		 config->worker_user, ret == -ENOENT ? config->worker_user : "hoody");
	report(context, text);
	return -EINVAL;
}

static void report_to_log(void *context, const char *line)
{
	if (!strncmp(line, "warning: ", 9))
		log_warning("%s", line + 9);
	else
		log_error("reload: %s", line);
}

/* Real IP was switched off and every worker knows: the kernel may forget. */
static void on_switched_off(void *context)
{
	struct control *control = context;

	/* Unless it was switched on again meanwhile. */
	if (!control->config->real_ip && kernel_sync_all(control))
		publish_request(control->publisher, NULL, NULL);
}

/* Nothing fails from here on. Takes all that was made for it over. */
static void swap(struct control *control, struct config *config, struct listen_set *set,
		 struct permission_store *permissions,
		 const struct spawn_identity *identity, struct certificate *node)
{
	struct config *old = control->config;
	bool replace = config_needs_new_worker(old, config);
	int certificate = -1;

	control->config = config;
	permission_store_destroy(control->permissions);
	control->permissions = permissions;
	log_set_level(config->log_level);
	if (config->real_ip && !old->real_ip) {
		control->real_ip_told = false;
		kernel_sync_all(control);
	}
	publish_request(control->publisher, old->real_ip && !config->real_ip ? on_switched_off : NULL,
			control);
	/* So that a new worker starts with what now holds. */
	publish_progress(control->publisher);
	if (config->certificate[0]) {
		certificate = certificates_take(control, node);
		if (certificate < 0)
			log_error("reload: certificates cannot be handed to the worker, the ones before stay: error=\"%s\"",
				  strerror(-certificate));
	}
	supervise_apply(control->supervisor, set, identity, certificate, replace,
			config->handover_timeout);
	features_reloaded(control);
	log_info("reloaded: worker=%s", replace ? "replaced" : "kept");
	config_free(old);
}

void control_reload(struct control *control)
{
	struct config *config = config_load(control->config_path, report_to_log, NULL);
	struct listen_set *set = (struct listen_set *)supervise_listeners(control->supervisor);
	struct permission_store *permissions = NULL;
	struct spawn_identity identity;
	struct certificate node = { 0 };
	const char *what;
	char fault[512];

	if (!config)
		goto err_kept;
	if (config_needs_restart(control->config, config, &what)) {
		log_error("reload: %s has changed: that needs a restart of the agent", what);
		goto err_free;
	}
	/* The agent's cgroup is made before it gives up the right to do so. */
	if (config->real_ip && !control->agent_cgroup && !control->config->real_ip) {
		log_error("reload: [agent] real_ip: switching it on needs a restart of the agent");
		goto err_free;
	}
	if (control_identity(config, &identity, report_to_log, NULL))
		goto err_free;
	if (config->certificate[0] && certificate_load(config, &node, report_to_log, NULL))
		goto err_free;
	permissions = permission_store_rebuild(control->permissions, config, fault, sizeof(fault));
	if (!permissions) {
		log_error("reload: %s", fault);
		goto err_close;
	}
	if (config_needs_new_sockets(control->config, config)) {
		set = listen_open(config, set, fault, sizeof(fault));
		if (!set) {
			log_error("reload: %s", fault);
			goto err_close;
		}
	}
	swap(control, config, set, permissions, &identity, &node);
	return;

err_close:
	permission_store_destroy(permissions);
	certificate_clear(&node);
err_free:
	config_free(config);
err_kept:
	log_error("reload: refused, the configuration in use stays");
}

struct check_report {
	bool	failed;
};

static void report_to_terminal(void *context, const char *line)
{
	struct check_report *report = context;

	report->failed |= strncmp(line, "warning: ", 9) != 0;
	fprintf(stderr, "%s\n", line);
}

int control_check(const char *path)
{
	struct check_report report = { false };
	struct spawn_identity identity;
	struct config *config;
	struct certificate node = { 0 };

	config = config_load(path, report_to_terminal, &report);
	if (!config)
		return 1;
	control_identity(config, &identity, report_to_terminal, &report);
	if (config->certificate[0] && !certificate_load(config, &node, report_to_terminal, &report))
		certificate_clear(&node);
	if (!report.failed)
		printf("%s: good: node %s, base domain %s, %u listen addresses, %u threads\n", path,
		       config->settings.node, config->settings.base_domain, config->listeners_count,
		       config->settings.threads);
	config_free(config);
	return report.failed;
}
