// SPDX-License-Identifier: Apache-2.0
/*
 * GET /api/v1/posture: which layers hold, of the host and of containers. What the
 * kernel's files say comes from posture.c; what the agent itself knows is added here.
 */
#include "auth/permissions.h"
#include "control/api.h"
#include "control/firewall.h"
#include "control/posture.h"
#include "control/syscalls.h"

#include <net/if.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_DEFAULT	100
#define PAGE_MAX	500

static void tell(struct posture_layer *layer, enum posture_verdict verdict, const char *source,
		 const char *value)
{
	layer->verdict = verdict;
	snprintf(layer->source, sizeof(layer->source), "%s", source);
	snprintf(layer->value, sizeof(layer->value), "%s", value);
}

/* --- the host --- */

static void add_module(const struct control *control, struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "module",
		"modprobe hoody: real client addresses and live syscall profiles need it");
	char text[32];

	if (!control->knl)
		tell(layer, POSTURE_UNKNOWN, "generic netlink", "cannot be used");
	else if (knl_state(control->knl) != KNL_READY)
		tell(layer, POSTURE_FAILS, "netlink family hoody", knl_reason(control->knl));
	else
		tell(layer, POSTURE_HOLDS, "netlink family hoody", knl_info(control->knl)->version);
	layer = posture_add(posture, "module_signed", "sign the module with a key that the kernel trusts");
	if (!posture_read(posture, layer, "/sys/module/hoody/taint", text, sizeof(text)))
		layer->verdict = strchr(text, 'E') ? POSTURE_FAILS : POSTURE_HOLDS;
}

/* The process that reads what clients send. */
static void add_worker(const struct control *control, struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "worker_confined",
		"see the agent's log: it gives the worker up without its sandbox");
	char path[64], status[4096], caps[32], seccomp[8], privs[8];
	struct supervise_status worker;

	supervise_status(control->supervisor, &worker);
	snprintf(path, sizeof(path), "/proc/%d/status", worker.pid);
	if (!worker.pid || posture_read(posture, layer, path, status, sizeof(status)))
		return;
	posture_field(status, "CapBnd", caps, sizeof(caps));
	posture_field(status, "Seccomp", seccomp, sizeof(seccomp));
	posture_field(status, "NoNewPrivs", privs, sizeof(privs));
	snprintf(layer->value, sizeof(layer->value), "CapBnd %s, Seccomp %s, NoNewPrivs %s", caps,
		 seccomp, privs);
	layer->verdict = !strtoull(caps, NULL, 16) && !strcmp(seccomp, "2") && !strcmp(privs, "1") ?
				 POSTURE_HOLDS : POSTURE_FAILS;
}

/* Does @name, which public logs of certificates show, tell a container's two ids? */
static bool name_tells(const char *name)
{
	return strspn(name, "0123456789abcdefABCDEF") == ID_TEXT_LEN && name[ID_TEXT_LEN] == '-';
}

/* A certificate for one host name publishes it, and the name is the secret. */
static void add_url_secrecy(const struct control *control, struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "url_secrecy",
		"use a certificate for *.NODE.BASE: names in certificates are public");
	FILE *file = fopen(control->config->certificate, "re");
	X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
	GENERAL_NAMES *names = certificate ?
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;

	snprintf(layer->source, sizeof(layer->source), "%.250s", control->config->certificate);
	snprintf(layer->value, sizeof(layer->value), "no certificate with names can be read");
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const char *text;

		if (name->type != GEN_DNS)
			continue;
		text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
		if (layer->verdict != POSTURE_FAILS)
			snprintf(layer->value, sizeof(layer->value), "%.200s", text);
		layer->verdict = layer->verdict == POSTURE_FAILS || name_tells(text) ?
					 POSTURE_FAILS : POSTURE_HOLDS;
	}
	GENERAL_NAMES_free(names);
	X509_free(certificate);
	if (file)
		fclose(file);
}

/* --- a container --- */

static void add_gate(const struct control *control, const struct container *container,
		     struct posture *posture)
{
	const struct syscalls_attachment *attachment = syscalls_find(control->syscalls,
								     container->id);
	struct posture_layer *layer = posture_add(posture, "syscall_gate",
		"attach a profile: hoody syscalls attach -c ID NAME");
	const char *reason = syscalls_unenforced(control, container);
	char text[POSTURE_VALUE_MAX];

	if (!attachment) {
		tell(layer, POSTURE_FAILS, "agent and module", "no profile");
		return;
	}
	snprintf(text, sizeof(text), "%s, %s%s%.100s", attachment->profile,
		 syscalls_modes[attachment->mode], *reason ? ", not in force: " : "", reason);
	tell(layer, !*reason && attachment->mode == HOODY_GATE_ENFORCE ? POSTURE_HOLDS : POSTURE_FAILS,
	     "agent and module", text);
}

static void add_real_ip(const struct control *control, const struct container *container,
			struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "real_client_address",
		"hoody status says why; rules inside the container see the host's address until it is on");
	bool on = control_real_ip_mode(control) == IMAGE_REAL_IP_ON &&
		  container->kernel_state == MODEL_KERNEL_SET;

	tell(layer, on ? POSTURE_HOLDS : POSTURE_FAILS, "module's registry",
	     on ? "on" : control->config->real_ip ? "unavailable" : "off");
}

/* With tcx the pinned links of both directions are further evidence. */
static void add_firewall(const struct control *control, const struct container *container,
			 struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "firewall",
		"register the container's interface (--netdev), and give it rules: hoody firewall");
	const struct firewall_entry *entry = control->firewall ?
		firewall_find(control->firewall, container->id) : NULL;
	unsigned int index = container->netdev[0] ? if_nametoindex(container->netdev) : 0;
	char path[256], text[POSTURE_VALUE_MAX];

	if (!index) {
		tell(layer, POSTURE_FAILS, "interface",
		     container->netdev[0] ? "is gone" : "none is registered");
		return;
	}
	if (!entry || entry->state != FIREWALL_ENFORCED) {
		tell(layer, POSTURE_FAILS, "agent", entry && entry->fault[0] ? entry->fault :
									       "no rules are in force");
		return;
	}
	snprintf(path, sizeof(path), "%s/links/%u-ingress", control->config->firewall_pins, index);
	snprintf(text, sizeof(text), "generation %llu on %s, %s",
		 (unsigned long long)entry->generation, container->netdev,
		 access(path, F_OK) ? "by a qdisc" : "its link is pinned");
	tell(layer, POSTURE_HOLDS, path, text);
}

static void add_permissions(const struct control *control, const struct container *container,
			    struct posture *posture)
{
	const struct permission_entry *entry;
	struct posture_layer *layer = posture_add(posture, "proxy_permissions",
		"without them the URL is the only secret: hoody containers proxy permissions replace -c ID --default deny");
	const char *whose = "its own, with deny as the default";

	entry = permission_store_find(control->permissions, DB_LEVEL_CONTAINER, container->id);
	if (!entry) {
		whose = "its project's, with deny as the default";
		entry = permission_store_find(control->permissions, DB_LEVEL_PROJECT,
					      container->project);
	}
	if (!entry)
		tell(layer, POSTURE_FAILS, "agent", "none: who knows the URL may do everything");
	else if (permissions_default_allow(entry->model))
		tell(layer, POSTURE_FAILS, "agent", "the default is to allow");
	else
		tell(layer, POSTURE_HOLDS, "agent", whose);
}

static void add_realm(const struct container *container, struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "realm",
		"register it with --realm, so that tokens of other realms do not see it");

	tell(layer, container->realm[0] ? POSTURE_HOLDS : POSTURE_FAILS, "agent",
	     container->realm[0] ? container->realm : "none");
}

static void judge_container(const struct control *control, const struct container *container,
			    struct posture *posture)
{
	char path[PATH_MAX + MODEL_CGROUP_MAX];
	pid_t init = 0;

	snprintf(path, sizeof(path), "%s%s", control->cgroups.path,
		 container->cgroup ? container->cgroup : "");
	if (container->cgroup)
		init = posture_find_init(posture, path);
	posture_process(posture, init);
	if (container->cgroup)
		posture_cgroup(posture, path);
	add_gate(control, container, posture);
	add_firewall(control, container, posture);
	add_real_ip(control, container, posture);
	add_permissions(control, container, posture);
	add_realm(container, posture);
}

/* --- the call --- */

struct report {
	yyjson_mut_doc	*document;
	size_t		verdicts[POSTURE_FAILS + 1];
};

static yyjson_mut_val *layers_json(struct report *report, const struct posture *posture)
{
	yyjson_mut_doc *document = report->document;
	yyjson_mut_val *list = yyjson_mut_arr(document);

	for (size_t i = 0; i < posture->count; i++) {
		const struct posture_layer *layer = &posture->layers[i];
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list);

		report->verdicts[layer->verdict]++;
		yyjson_mut_obj_add_str(document, object, "layer", layer->name);
		yyjson_mut_obj_add_str(document, object, "verdict",
				       posture_verdicts[layer->verdict]);
		yyjson_mut_obj_add_strcpy(document, object, "source", layer->source);
		yyjson_mut_obj_add_strcpy(document, object, "value", layer->value);
		if (layer->verdict == POSTURE_HOLDS)
			yyjson_mut_obj_add_null(document, object, "advice");
		else
			yyjson_mut_obj_add_str(document, object, "advice", layer->advice);
	}
	return list;
}

static void add_host(struct report *report, yyjson_mut_val *data, const struct control *control)
{
	struct posture *posture = calloc(1, sizeof(*posture));

	if (!posture)
		return;
	posture->root = "";
	posture_host(posture, control->config->state_directory);
	add_module(control, posture);
	add_worker(control, posture);
	add_url_secrecy(control, posture);
	yyjson_mut_obj_add_val(report->document, data, "host", layers_json(report, posture));
	free(posture);
}

static void add_container(struct report *report, yyjson_mut_val *list,
			  const struct control *control, const struct container *container)
{
	struct posture *posture = calloc(1, sizeof(*posture));
	yyjson_mut_val *object;
	char id[ID_TEXT_LEN + 1];

	if (!posture)
		return;
	posture->root = "";
	judge_container(control, container, posture);
	id_format(container->id, id);
	object = yyjson_mut_arr_add_obj(report->document, list);
	yyjson_mut_obj_add_strcpy(report->document, object, "id", id);
	yyjson_mut_obj_add_strcpy(report->document, object, "name", container->name);
	yyjson_mut_obj_add_val(report->document, object, "layers", layers_json(report, posture));
	free(posture);
}

/* container=, limit= and cursor=; 0, or -1 where the call has been answered. */
static int parse(struct api_call *call, const struct container **one, size_t *start, size_t *limit)
{
	const char *text = api_query(call, "limit"), *cursor = api_query(call, "cursor");
	const char *wanted = api_query(call, "container");
	uint8_t id[ID_LEN];

	*one = NULL;
	*start = 0;
	*limit = text ? strtoul(text, NULL, 10) : PAGE_DEFAULT;
	if (text && (strspn(text, "0123456789") != strlen(text) || *limit < 1 || *limit > PAGE_MAX)) {
		api_reply_error(call, 422, "invalid_value", "limit", "is no number from 1 to %d",
				PAGE_MAX);
		return -1;
	}
	if (wanted || cursor) {
		const char *given = wanted ? wanted : cursor;

		if (id_parse(given, strlen(given), id)) {
			api_reply_error(call, 422, "invalid_value", wanted ? "container" : "cursor",
					"is not 24 hexadecimal digits");
			return -1;
		}
		*start = model_index_after(call->control->model, id);
	}
	if (wanted) {
		*one = model_find(call->control->model, id);
		if (!*one) {
			api_reply_error(call, 404, "not_found", "container",
					"there is no container with this id");
			return -1;
		}
	}
	return 0;
}

static void show(struct api_call *call)
{
	const struct control *control = call->control;
	const struct container *container;
	struct report report = { 0 };
	char cursor[ID_TEXT_LEN + 1] = "";
	yyjson_mut_val *data, *list, *summary;
	size_t i, limit, shown = 0;

	if (parse(call, &container, &i, &limit))
		return;
	report.document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(report.document);
	if (!container)
		add_host(&report, data, control);
	list = yyjson_mut_obj_add_arr(report.document, data, "containers");
	if (container)
		add_container(&report, list, control, container);
	for (; !container && i < model_containers_count(control->model) && shown < limit; i++) {
		const struct container *each = model_container_at(control->model, i);

		if (!each->running)
			continue;
		add_container(&report, list, control, each);
		shown++;
		id_format(each->id, cursor);
	}
	summary = yyjson_mut_obj_add_obj(report.document, data, "summary");
	for (size_t v = 0; v <= POSTURE_FAILS; v++)
		yyjson_mut_obj_add_uint(report.document, summary, posture_verdicts[v],
					report.verdicts[v]);
	api_reply_page(call, report.document, data,
		       !container && shown == limit && i < model_containers_count(control->model) ?
			       cursor : NULL);
}

const struct api_route api_posture_routes[] = {
	{ "GET", "/api/v1/posture", API_BODY_NONE, "container limit cursor", show },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
