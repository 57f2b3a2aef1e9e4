// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about a container's exit: show and replace. An answer to a change
 * means that it holds, and that what left by another exit has been cut. What was
 * given as a login is never shown again.
 */
#include "auth/base64.h"
#include "control/api.h"
#include "control/firewall.h"
#include "control/network.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* 0 or NULL: none. */
static void add_time(yyjson_mut_doc *document, yyjson_mut_val *data, const char *name, int64_t at)
{
	if (at)
		yyjson_mut_obj_add_int(document, data, name, at);
	else
		yyjson_mut_obj_add_null(document, data, name);
}

static void add_text(yyjson_mut_doc *document, yyjson_mut_val *data, const char *name,
		     const char *text)
{
	if (text && *text)
		yyjson_mut_obj_add_strcpy(document, data, name, text);
	else
		yyjson_mut_obj_add_null(document, data, name);
}

/* What holds, since when, why it is down, and what went wrong last; times since 1970. */
static void add_health(yyjson_mut_doc *document, yyjson_mut_val *data, uint32_t health,
		       int64_t since, const char *fault, const char *last_fault, int64_t fault_at)
{
	yyjson_mut_obj_add_str(document, data, "health", network_health_name(health));
	add_time(document, data, "health_since", since);
	add_text(document, data, "fault", fault);
	add_text(document, data, "last_fault", last_fault);
	add_time(document, data, "last_fault_at", fault_at);
}

static void add_stats(yyjson_mut_doc *document, yyjson_mut_val *data,
		      const struct relay_stats *stats)
{
	const int64_t now = time(NULL);

	add_health(document, data, stats->health,
		   stats->health ? now - (int64_t)(stats->health_ms / 1000) : 0,
		   stats->health == RELAY_HEALTH_DOWN ? stats->fault : NULL, stats->fault,
		   *stats->fault ? now - (int64_t)(stats->fault_ms / 1000) : 0);
	yyjson_mut_obj_add_uint(document, data, "probes", stats->probes);
	yyjson_mut_obj_add_uint(document, data, "probes_failed", stats->probes_failed);
}

static void add_counters(yyjson_mut_doc *document, yyjson_mut_val *data,
			 const struct relay_stats *stats)
{
	yyjson_mut_val *counters = yyjson_mut_obj_add_obj(document, data, "counters");

#define X(name) yyjson_mut_obj_add_uint(document, counters, #name, stats->name);
	RELAY_COUNTERS(X)
#undef X
}

static void add_key(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		    const uint8_t key[KNL_TUNNEL_KEY_LEN])
{
	char text[BASE64_ENCODED_MAX(KNL_TUNNEL_KEY_LEN)];

	base64_encode(BASE64_STANDARD, key, KNL_TUNNEL_KEY_LEN, text);
	yyjson_mut_obj_add_strcpy(document, object, name, text);
}

/* Of a wireguard exit: all that is shown of its file is what the kernel says. */
static void add_tunnel(const struct network *network, const struct network_settings *settings,
		       yyjson_mut_doc *document, yyjson_mut_val *data)
{
	struct tunnel *tunnel = tunnels_find(network->tunnels, settings->tunnel);
	char name[IFNAMSIZ], endpoint[ADDRESS_LISTEN_TEXT_MAX];
	struct knl_tunnel_stats stats = { 0 };
	enum tunnel_health health;
	yyjson_mut_val *object;
	const char *fault;

	if (!tunnel)
		return;
	if (tunnel->ready)
		knl_tunnel_stats(tunnel->index, &stats);
	health = tunnel_health(tunnel, &stats, &fault);
	add_health(document, data, health, tunnel->health_since, fault, tunnel->last_fault,
		   tunnel->fault_at);
	object = yyjson_mut_obj_add_obj(document, data, "tunnel");
	knl_tunnel_name(tunnel->index, name);
	yyjson_mut_obj_add_strcpy(document, object, "interface", name);
	add_key(document, object, "public_key", stats.public_key);
	yyjson_mut_obj_add_uint(document, object, "listen_port", stats.listen_port);
	if (stats.endpoint.port) {
		address_listen_format(&stats.endpoint, endpoint);
		yyjson_mut_obj_add_strcpy(document, object, "endpoint", endpoint);
	}
	add_time(document, object, "last_handshake", stats.last_handshake);
	yyjson_mut_obj_add_uint(document, object, "bytes_out", stats.sent);
	yyjson_mut_obj_add_uint(document, object, "bytes_in", stats.received);
}

/* Where a proxy is that is known by a name. */
static void add_places(const struct network *network, const struct network_settings *settings,
		       yyjson_mut_doc *document, yyjson_mut_val *data)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, data, "exit_addresses");
	struct address addresses[EXIT_ADDRESSES_MAX];
	const unsigned int count = network_hosts_find(network, &settings->spec, addresses);
	char text[ADDRESS_TEXT_MAX];

	for (unsigned int i = 0; i < count; i++) {
		address_format(&addresses[i], text);
		yyjson_mut_arr_add_strcpy(document, list, text);
	}
}

/* Whether the kernel holds the container to its exit. */
static const char *enforcement(const struct control *control, const struct container *container)
{
	const struct firewall_entry *entry = firewall_find(control->firewall, container->id);

	if (!container->running || !entry || entry->state == FIREWALL_IDLE)
		return "idle";
	return entry->state == FIREWALL_ENFORCED ? "enforced" : "failed";
}

static void reply(struct api_call *call, const struct relay_stats *stats)
{
	const struct container *container = api_container(call);
	const struct network_settings *settings;
	yyjson_mut_val *data, *dns;
	yyjson_mut_doc *document;
	char text[EXIT_TEXT_MAX] = "direct", address[ADDRESS_TEXT_MAX];
	bool relayed;

	if (!container)
		return;
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	if (!data) {
		yyjson_mut_doc_free(document);
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	settings = network_find(call->control->network, call->id);
	relayed = settings && exit_is_relayed(&settings->spec);
	if (settings)
		exit_format(&settings->spec, text);
	yyjson_mut_obj_add_strcpy(document, data, "exit", text);
	if (settings && settings->ca)
		yyjson_mut_obj_add_strcpy(document, data, "exit_ca", settings->ca);
	if (relayed && settings->spec.host[0])
		add_places(call->control->network, settings, document, data);
	dns = yyjson_mut_obj_add_arr(document, data, "dns");
	for (unsigned int i = 0; settings && i < settings->dns_count; i++) {
		address_format(&settings->dns[i], address);
		yyjson_mut_arr_add_strcpy(document, dns, address);
	}
	yyjson_mut_obj_add_str(document, data, "state", settings &&
			       settings->spec.kind != EXIT_DIRECT ?
				       enforcement(call->control, container) : "direct");
	if (settings && settings->spec.kind == EXIT_WIREGUARD)
		add_tunnel(call->control->network, settings, document, data);
	if (relayed && stats && stats->known) {
		add_stats(document, data, stats);
	} else if (relayed && container->running) {
		yyjson_mut_obj_add_str(document, data, "health", "down");
		yyjson_mut_obj_add_str(document, data, "fault", "relay");
	}
	if (stats && stats->known)
		add_counters(document, data, stats);
	api_reply_data(call, 200, document, data);
}

static void on_stats(void *context, const struct relay_stats *stats)
{
	reply(context, stats);
}

static void show(struct api_call *call)
{
	const struct network *network = call->control->network;

	if (!network->daemon || relay_daemon_stats(network->daemon, call->id, on_stats, call))
		reply(call, NULL);
}

static void on_stored(void *context)
{
	show(context);
}

/* The text of a field, or @fallback; NULL where the call has been answered. */
static const char *text_of(struct api_call *call, const char *name, const char *fallback)
{
	yyjson_val *value = yyjson_obj_get(call->body, name);

	if (!value || yyjson_is_null(value))
		return fallback;
	if (yyjson_is_str(value) && strlen(yyjson_get_str(value)) == yyjson_get_len(value) &&
	    yyjson_get_len(value) <= NETWORK_CA_MAX)
		return yyjson_get_str(value);
	api_reply_error(call, 422, "invalid_value", name,
			"must be text of at most %d bytes without a NUL", NETWORK_CA_MAX);
	return NULL;
}

/* The body as settings; NULL where the call has been answered. */
static struct network_settings *read_body(struct api_call *call)
{
	const struct network_settings *before = yyjson_obj_get(call->body, "exit") ? NULL :
		network_find(call->control->network, call->id);
	struct network_fields fields = { .dns = yyjson_obj_get(call->body, "dns") };
	struct network_fault fault = { .field = "exit" };
	struct network_settings *settings;
	size_t index, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(call->body, index, max, key, value) {
		if (!strcmp(yyjson_get_str(key), "exit") ||
		    !strcmp(yyjson_get_str(key), "exit_ca") ||
		    !strcmp(yyjson_get_str(key), "wireguard") ||
		    !strcmp(yyjson_get_str(key), "dns"))
			continue;
		api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
				"this call knows no field of this name");
		return NULL;
	}
	/* Without an exit it keeps the one it has, with its certificates. */
	fields.exit = text_of(call, "exit", before ? before->text : "direct");
	fields.ca = fields.exit ? text_of(call, "exit_ca", before && before->ca ?
					  before->ca : "") : NULL;
	fields.wireguard = fields.ca ? text_of(call, "wireguard", before && before->wireguard ?
					       before->wireguard : "") : NULL;
	if (!fields.wireguard)
		return NULL;
	if (strlen(fields.exit) > NETWORK_EXIT_MAX) {
		api_reply_error(call, 422, "invalid_value", "exit", "is longer than %d bytes",
				NETWORK_EXIT_MAX);
		return NULL;
	}
	fields.ca = *fields.ca ? fields.ca : NULL;
	fields.wireguard = *fields.wireguard ? fields.wireguard : NULL;
	settings = network_settings_create(call->id, &fields, &fault);
	if (settings)
		return settings;
	if (errno == EINVAL)
		api_reply_error(call, 422, "invalid_value", fault.field, "%s", fault.why);
	else
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
	return NULL;
}

static void replace(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct network_settings *settings = container ? read_body(call) : NULL;
	char fault[384];
	int ret;

	if (!settings)
		return;
	ret = network_store(call->control->network, container, settings, on_stored, call, fault,
			    sizeof(fault));
	if (!ret)
		return;
	switch (ret) {
	case -EINVAL:
	case -EOPNOTSUPP:
		api_reply_error(call, 422, "not_possible", "exit", "%s", fault);
		break;
	case -ENOSPC:
		api_reply_error(call, 507, "full", NULL, "%s", fault);
		break;
	default:
		api_reply_error(call, ret == -ENOMEM ? 503 : 500,
				ret == -ENOMEM ? "unavailable" : "internal", NULL, "%s", fault);
	}
}

#define PATTERN	"/api/v1/containers/{id}/network"

const struct api_route api_network_routes[] = {
	{ "GET", PATTERN, API_BODY_NONE, NULL, show },
	{ "PUT", PATTERN, API_BODY_REQUIRED, NULL, replace },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
