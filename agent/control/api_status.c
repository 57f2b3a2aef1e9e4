// SPDX-License-Identifier: Apache-2.0
/*
 * GET /api/v1/status: what the agent is doing. The worker's counters are asked
 * for while the caller waits; where no worker can answer they are null.
 */
#include "control/api.h"
#include "control/firewall.h"
#include "control/kernel_sync.h"
#include "control/network.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void add_container_counts(const struct control *control, yyjson_mut_doc *document,
				 yyjson_mut_val *data)
{
	yyjson_mut_val *counts = yyjson_mut_obj_add_obj(document, data, "containers");

	yyjson_mut_obj_add_uint(document, counts, "registered",
				model_containers_count(control->model));
	yyjson_mut_obj_add_uint(document, counts, "running", model_running_count(control->model));
	yyjson_mut_obj_add_uint(document, counts, "tombstones",
				model_tombstones_count(control->model));
}

/* What a damaged database would be put back from, and whether one was. */
static void add_database(const struct control *control, yyjson_mut_doc *document,
			 yyjson_mut_val *data)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "database");
	const char *fault = db_copy_fault(control->db), *restored = db_restored(control->db);

	yyjson_mut_obj_add_str(document, object, "copy", *fault ? "failed" : "kept");
	if (*fault)
		yyjson_mut_obj_add_strcpy(document, object, "copy_reason", fault);
	else
		yyjson_mut_obj_add_null(document, object, "copy_reason");
	yyjson_mut_obj_add_uint(document, object, "copies", db_copies(control->db));
	if (*restored)
		yyjson_mut_obj_add_strcpy(document, object, "restored", restored);
	else
		yyjson_mut_obj_add_null(document, object, "restored");
}

struct stats_target {
	yyjson_mut_doc	*document;
	yyjson_mut_val	*object;
};

static void add_stat(void *context, const char *name, uint64_t value)
{
	struct stats_target *target = context;

	yyjson_mut_obj_add(target->object, yyjson_mut_strcpy(target->document, name),
			   yyjson_mut_uint(target->document, value));
}

static void add_real_ip(const struct control *control, yyjson_mut_doc *document,
			yyjson_mut_val *data)
{
	static const char *const states[] = {
		[IMAGE_REAL_IP_OFF] = "off",
		[IMAGE_REAL_IP_UNAVAILABLE] = "unavailable",
		[IMAGE_REAL_IP_ON] = "on",
	};
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "real_ip");
	enum image_real_ip_mode mode = control_real_ip_mode(control);
	struct stats_target target = { .document = document };
	const char *reason = kernel_sync_reason(control);

	yyjson_mut_obj_add_str(document, object, "state", states[mode]);
	if (mode == IMAGE_REAL_IP_OFF)
		reason = "switched off in the configuration";
	if (*reason)
		yyjson_mut_obj_add_strcpy(document, object, "reason", reason);
	else
		yyjson_mut_obj_add_null(document, object, "reason");
	if (mode != IMAGE_REAL_IP_ON) {
		yyjson_mut_obj_add_null(document, object, "module_version");
		yyjson_mut_obj_add_null(document, object, "stats");
		return;
	}
	yyjson_mut_obj_add_strcpy(document, object, "module_version",
				  knl_info(control->knl)->version);
	yyjson_mut_obj_add_uint(document, object, "containers_refused", control->kernel_failed);
	target.object = yyjson_mut_obj_add_obj(document, object, "stats");
	knl_stats(control->knl, add_stat, &target);
}

/* "loaded", "off" or "unavailable" with the reason: what keeps containers from starting. */
static void add_firewall(const struct control *control, yyjson_mut_doc *document,
			 yyjson_mut_val *data)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "firewall");
	const struct firewall *firewall = control->firewall;
	const char *state = "unavailable";

	if (firewall->bpf)
		state = "loaded";
	else if (control->config->firewall == CONFIG_FIREWALL_OFF)
		state = "off";
	yyjson_mut_obj_add_str(document, object, "state", state);
	if (!firewall->bpf && firewall->fault[0])
		yyjson_mut_obj_add_strcpy(document, object, "reason", firewall->fault);
	else
		yyjson_mut_obj_add_null(document, object, "reason");
	yyjson_mut_obj_add_uint(document, object, "load_ms", firewall->load_ms);
	yyjson_mut_obj_add_uint(document, object, "enforced", firewall->enforced);
	yyjson_mut_obj_add_uint(document, object, "failed", firewall->failed);
}

static void add_worker(const struct control *control, yyjson_mut_doc *document,
		       yyjson_mut_val *data, const struct ipc_stats *stats)
{
	static const char *const states[] = {
		[SUPERVISE_DOWN] = "down",
		[SUPERVISE_STARTING] = "starting",
		[SUPERVISE_SERVING] = "serving",
		[SUPERVISE_DRAINING] = "draining",
	};
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "worker"), *counters;
	struct supervise_status status;

	supervise_status(control->supervisor, &status);
	if (status.pid)
		yyjson_mut_obj_add_int(document, object, "pid", status.pid);
	else
		yyjson_mut_obj_add_null(document, object, "pid");
	yyjson_mut_obj_add_str(document, object, "state", states[status.state]);
	yyjson_mut_obj_add_uint(document, object, "restarts", status.restarts);
	yyjson_mut_obj_add_uint(document, object, "threads", status.threads);
	yyjson_mut_obj_add_uint(document, object, "draining", status.draining);
	yyjson_mut_obj_add_uint(document, object, "image_sequence", status.image_sequence);
	if (!stats) {
		yyjson_mut_obj_add_null(document, object, "counters");
		return;
	}
	counters = yyjson_mut_obj_add_obj(document, object, "counters");
#define X(name) yyjson_mut_obj_add_uint(document, counters, #name, stats->name);
	IPC_COUNTERS(X)
#undef X
}

/* Of exits and names; "off" where no container needs it. */
static void add_relay(const struct control *control, yyjson_mut_doc *document,
		      yyjson_mut_val *data)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(document, data, "relay");
	struct relay_daemon_status status = { 0 };
	const char *state = "off";

	if (network_has_relay(control)) {
		relay_daemon_status(control->network->daemon, &status);
		state = status.ready ? "serving" : status.pid ? "starting" : "down";
	}
	yyjson_mut_obj_add_str(document, object, "state", state);
	if (status.pid)
		yyjson_mut_obj_add_int(document, object, "pid", status.pid);
	else
		yyjson_mut_obj_add_null(document, object, "pid");
	yyjson_mut_obj_add_uint(document, object, "draining", status.draining);
}

static void add_listeners(const struct control *control, yyjson_mut_doc *document,
			  yyjson_mut_val *data)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, data, "listeners");
	const struct listen_set *set = supervise_listeners(control->supervisor);

	for (unsigned int i = 0; set && i < set->message.addresses; i++) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list);
		char text[ADDRESS_LISTEN_TEXT_MAX];

		address_listen_format(&set->listeners[i].address, text);
		yyjson_mut_obj_add_strcpy(document, object, "address", text);
		yyjson_mut_obj_add_bool(document, object, "tls", set->listeners[i].tls);
		yyjson_mut_obj_add_bool(document, object, "quic", set->listeners[i].quic);
	}
}

static void on_stats(void *context, const struct ipc_stats *stats)
{
	struct api_call *call = context;
	const struct control *control = call->control;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	yyjson_mut_obj_add_str(document, data, "version", HOODY_VERSION);
	yyjson_mut_obj_add_uint(document, data, "protocol", HOODY_GENL_VERSION);
	yyjson_mut_obj_add_strcpy(document, data, "node", control->config->settings.node);
	yyjson_mut_obj_add_strcpy(document, data, "base_domain",
				  control->config->settings.base_domain);
	yyjson_mut_obj_add_uint(document, data, "uptime_seconds",
				(uint64_t)now.tv_sec - control->started_us / 1000000);
	yyjson_mut_obj_add_uint(document, data, "generation", db_generation(control->db));
	add_container_counts(control, document, data);
	add_database(control, document, data);
	add_real_ip(control, document, data);
	add_firewall(control, document, data);
	add_worker(control, document, data, stats);
	add_relay(control, document, data);
	add_listeners(control, document, data);
	api_upgrade_add(control, document, data);
	api_module_add(control, document, data, "frozen");
	api_reply_data(call, 200, document, data);
}

static void status(struct api_call *call)
{
	supervise_stats(call->control->supervisor, on_stats, call);
}

const struct api_route api_status_routes[] = {
	{ "GET", "/api/v1/status", API_BODY_NONE, NULL, status },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
