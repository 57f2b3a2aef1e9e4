// SPDX-License-Identifier: Apache-2.0
/* Exits of containers, see network.h. The calls are in api_network.c. */
#include "control/network.h"

#include "control/feature.h"
#include "control/firewall.h"
#include "control/handover.h"
#include "kernel/steer.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

const struct network_settings *network_find(const struct network *network,
					    const uint8_t id[ID_LEN])
{
	return network ? id_table_find(&network->settings, id) : NULL;
}

void network_policy(const struct network *network, const struct container *container,
		    struct fw_policy *policy)
{
	const struct network_settings *settings = network_find(network, container->id);

	if (settings && settings->spec.kind == EXIT_BLOCK) {
		policy->flags |= FW_EXIT_BLOCK;
		return;
	}
	if (policy->flags & FW_NAMES_ONLY || (settings && settings->dns_count))
		policy->flags |= FW_NAMES;
	if (settings && settings->spec.kind == EXIT_WIREGUARD) {
		policy->flags |= FW_EXIT_TUNNEL;
		policy->tunnel = network_tunnel_index(network, settings);
	} else if (settings && exit_is_relayed(&settings->spec)) {
		policy->flags |= FW_EXIT_RELAY;
	}
	if (!(policy->flags & (FW_EXIT_TUNNEL | FW_EXIT_RELAY | FW_NAMES)))
		return;
	if (knl_steer_device(container->netdev, &policy->steer_bridge, policy->steer_mac))
		memset(policy->steer_mac, 0, sizeof(policy->steer_mac));
}

static void add_addresses(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
			  const struct address *addresses, unsigned int count)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, object, name);
	char text[ADDRESS_TEXT_MAX];

	for (unsigned int i = 0; i < count; i++) {
		address_format(&addresses[i], text);
		yyjson_mut_arr_add_strcpy(document, list, text);
	}
}

static void add_exit(const struct network *network, yyjson_mut_doc *document, yyjson_mut_val *exits,
		     const struct network_settings *settings)
{
	const struct exit_spec *spec = &settings->spec;
	yyjson_mut_val *exit = yyjson_mut_arr_add_obj(document, exits);
	struct address addresses[EXIT_ADDRESSES_MAX];

	yyjson_mut_obj_add_str(document, exit, "kind", exit_kind_name(spec->kind));
	if (spec->host[0])
		yyjson_mut_obj_add_str(document, exit, "host", spec->host);
	add_addresses(document, exit, "addresses", addresses,
		      network_hosts_find(network, spec, addresses));
	yyjson_mut_obj_add_uint(document, exit, "port", spec->port);
	if (spec->has_login) {
		yyjson_mut_obj_add_str(document, exit, "user", spec->user);
		yyjson_mut_obj_add_str(document, exit, "password", spec->password);
	}
	if (settings->ca)
		yyjson_mut_obj_add_str(document, exit, "ca", settings->ca);
}

/* @exit: its place in the list, or below 0: directly. */
static void add_container(const struct network *network, yyjson_mut_doc *document,
			  yyjson_mut_val *containers, const struct container *container,
			  ssize_t exit)
{
	const struct network_settings *settings = network_find(network, container->id);
	const struct firewall_rules *rules = network_rules(network, container);
	yyjson_mut_val *entry = yyjson_mut_arr_add_obj(document, containers), *addresses;
	char text[ADDRESS_TEXT_MAX], id[ID_TEXT_LEN + 1];

	id_format(container->id, id);
	yyjson_mut_obj_add_strcpy(document, entry, "id", id);
	if (exit < 0)
		yyjson_mut_obj_add_null(document, entry, "exit");
	else
		yyjson_mut_obj_add_uint(document, entry, "exit", (uint64_t)exit);
	/* The host's servers are asked directly, or not at all: never beside an exit. */
	if (settings && settings->spec.kind == EXIT_WIREGUARD)
		add_addresses(document, entry, "dns", settings->tunnel_dns,
			      settings->tunnel_dns_count);
	else if (settings && (settings->dns_count || settings->spec.kind != EXIT_DIRECT))
		add_addresses(document, entry, "dns", settings->dns, settings->dns_count);
	else
		add_addresses(document, entry, "dns", network->servers, network->servers_count);
	if (settings && settings->spec.kind == EXIT_WIREGUARD) {
		char name[IFNAMSIZ] = "";
		const uint8_t index = network_tunnel_index(network, settings);

		/* Without its tunnel nothing is asked, and nothing leaves. */
		if (index)
			knl_tunnel_name(index, name);
		yyjson_mut_obj_add_strcpy(document, entry, "interface", name);
	}
	if (firewall_has_names(rules))
		firewall_names_to_json(rules, document, entry);
	addresses = yyjson_mut_obj_add_arr(document, entry, "addresses");
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		address_format(&container->addresses[i], text);
		yyjson_mut_arr_add_strcpy(document, addresses, text);
	}
}

static bool same_exit(const struct network_settings *a, const struct network_settings *b)
{
	return exit_equal(&a->spec, &b->spec) && !a->ca == !b->ca &&
	       (!a->ca || !strcmp(a->ca, b->ca));
}

/* What the relay is to do, as relay/policy.h has it; NULL without memory. */
static char *format_policy(const struct network *network, size_t *len)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *exits, *containers;
	const struct network_settings **seen = calloc(network->settings.count + 1, sizeof(*seen));
	const struct config *config = network->control->config;
	size_t seen_count = 0, exit, count;
	const struct container **list = network_list_relayed(network, &count);
	char *text = NULL;

	if (!root || !seen || !list)
		goto out;
	yyjson_mut_doc_set_root(document, root);
	exits = yyjson_mut_obj_add_arr(document, root, "exits");
	containers = yyjson_mut_obj_add_arr(document, root, "containers");
	for (size_t i = 0; i < count; i++) {
		const struct network_settings *settings = network_find(network, list[i]->id);

		if (!settings || !exit_is_relayed(&settings->spec)) {
			add_container(network, document, containers, list[i], -1);
			continue;
		}
		for (exit = 0; exit < seen_count && !same_exit(seen[exit], settings);)
			exit++;
		if (exit == seen_count) {
			seen[seen_count++] = settings;
			add_exit(network, document, exits, settings);
		}
		add_container(network, document, containers, list[i], (ssize_t)exit);
	}
	yyjson_mut_obj_add_uint(document, root, "timeout_ms", config->exit_timeout);
	yyjson_mut_obj_add_uint(document, root, "probe_ms", config->exit_probe);
	text = yyjson_mut_write(document, 0, len);
out:
	free(seen);
	free(list);
	yyjson_mut_doc_free(document);
	return text;
}

bool network_save_names(struct control *control, struct handover *handover)
{
	if (!control->network || !control->network->resolver)
		return false;
	resolver_save(control->network->resolver, handover);
	return true;
}

/* Tells the relay what holds. 0: @done will be called. */
static int push(struct network *network, relay_daemon_done *done, void *context)
{
	size_t len;
	char *text;
	int ret;

	if (!network->daemon)
		return -ENOTCONN;
	network_hosts_sync(network);
	text = format_policy(network, &len);
	if (!text) {
		network->retry = true;
		return -ENOMEM;
	}
	ret = relay_daemon_policy(network->daemon, text, len, done, context);
	network_secret_free(text);
	network->retry = ret && ret != -ENOTCONN;
	if (network->retry)
		log_error("exits: the relay does not get the new policy: error=\"%s\"",
			  strerror(-ret));
	return ret;
}

/* Whether the exit can be enforced here. 0 or -errno with @fault. */
static int check(struct network *network, const struct container *container,
		 const struct network_settings *settings, char *fault, size_t size)
{
	struct firewall *firewall = network->control->firewall;
	int ret;

	if (!settings || (settings->spec.kind == EXIT_DIRECT && !settings->dns_count))
		return 0;
	if (!container->netdev[0]) {
		snprintf(fault, size, "an exit needs the container's interface on the host: "
			 "register it with its netdev");
		return -EINVAL;
	}
	ret = firewall_load(firewall);
	if (ret) {
		snprintf(fault, size, "an exit needs the container firewall: %s",
			 firewall->fault[0] ? firewall->fault : strerror(-ret));
		return -EOPNOTSUPP;
	}
	if (settings->spec.kind == EXIT_WIREGUARD) {
		const bool names = firewall_has_names(network_rules(network, container));

		if (names && !settings->tunnel_dns_count) {
			snprintf(fault, size, "the container has rules about names, and the "
				 "tunnel's file has no line DNS that says whom to ask for them");
			return -EINVAL;
		}
		ret = network_tunnel_need(network, settings, fault, size);
		if (ret || !names)
			return ret;
	} else if (!exit_is_relayed(&settings->spec) && !settings->dns_count)
		return 0;
	ret = network_need_relay(network);
	if (ret)
		snprintf(fault, size, "the relay cannot be started: %s", strerror(-ret));
	return ret;
}

static char *format_document(const struct network_settings *settings)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char *text = NULL;

	if (root) {
		yyjson_mut_doc_set_root(document, root);
		yyjson_mut_obj_add_str(document, root, "exit", settings->text);
		if (settings->ca)
			yyjson_mut_obj_add_str(document, root, "exit_ca", settings->ca);
		if (settings->wireguard)
			yyjson_mut_obj_add_str(document, root, "wireguard", settings->wireguard);
		add_addresses(document, root, "dns", settings->dns, settings->dns_count);
		text = yyjson_mut_write(document, 0, NULL);
	}
	yyjson_mut_doc_free(document);
	return text;
}

static int store(struct network *network, const struct network_settings *settings)
{
	char *text = format_document(settings);
	int ret = text ? id_table_reserve(&network->settings) : -ENOMEM;

	if (!ret)
		ret = db_put_document(network->control->db, DB_KIND_NETWORK, settings->id, ID_LEN,
				      text, NULL);
	network_secret_free(text);
	return ret;
}

int network_store(struct network *network, const struct container *container,
		  struct network_settings *settings, relay_daemon_done *done, void *context,
		  char *fault, size_t fault_size)
{
	struct network_settings *old;
	int ret = check(network, container, settings, fault, fault_size);

	if (!ret) {
		ret = store(network, settings);
		if (ret)
			snprintf(fault, fault_size, "it cannot be stored: %s",
				 ret == -ENOMEM ? "out of memory" : db_fault(network->control->db));
	}
	if (ret) {
		network_settings_free(settings);
		return ret;
	}
	old = id_table_put(&network->settings, settings);
	/*
	 * The kernel first: from here on nothing new leaves by the old way. What the
	 * relay still carries by the old exit is cut before it answers.
	 */
	if (container->running)
		firewall_apply(network->control->firewall, container);
	network_settings_free(old);
	network_tunnels_sync(network);
	if (!container->running || push(network, done, context))
		done(context);
	return 0;
}

static int take_document(void *context, const void *key, size_t key_len, const char *body)
{
	struct network *network = context;
	yyjson_doc *document = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	const struct network_fields fields = {
		.exit = yyjson_get_str(yyjson_obj_get(root, "exit")),
		.ca = yyjson_get_str(yyjson_obj_get(root, "exit_ca")),
		.wireguard = yyjson_get_str(yyjson_obj_get(root, "wireguard")),
		.dns = yyjson_obj_get(root, "dns"),
	};
	struct network_settings *settings = NULL;
	struct network_fault fault;
	int ret = -EBADMSG;

	if (key_len == ID_LEN && fields.exit) {
		settings = network_settings_create(key, &fields, &fault);
		ret = settings ? id_table_reserve(&network->settings) : -errno;
	}
	if (!ret)
		network_settings_free(id_table_put(&network->settings, settings));
	else
		network_settings_free(settings);
	yyjson_doc_free(document);
	return ret;
}

static bool is_relay_needed(const struct network *network)
{
	const struct model *model = network->control->model;

	for (size_t i = 0; i < model_containers_count(model); i++) {
		if (network_is_relayed(network, model_container_at(model, i)))
			return true;
	}
	return false;
}

void network_names_changed(struct network *network)
{
	if (!network->daemon && !is_relay_needed(network))
		return;
	if (network_need_relay(network))
		network->retry = true;
	else
		push(network, NULL, NULL);
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct network *network = calloc(1, sizeof(*network));
	int ret;

	if (!network) {
		snprintf(fault, fault_size, "exits: out of memory");
		return -ENOMEM;
	}
	network->control = control;
	control->network = network;
	network->tunnels = tunnels_create();
	if (!network->tunnels) {
		snprintf(fault, fault_size, "exits: out of memory");
		return -ENOMEM;
	}
	ret = db_load_documents(control->db, DB_KIND_NETWORK, take_document, network);
	if (ret) {
		snprintf(fault, fault_size, "database: the exits of containers cannot be used: %s",
			 strerror(-ret));
		return ret;
	}
	network_tunnels_sync(network);
	if (!is_relay_needed(network) && !network_left_relay(control))
		return 0;
	ret = network_need_relay(network);
	if (ret)
		snprintf(fault, fault_size, "the relay cannot be started: %s", strerror(-ret));
	/* What it is told follows with the firewall, which knows the addresses of the host. */
	return ret;
}

static void free_settings(void *settings)
{
	network_settings_free(settings);
}

static void tear_down(struct control *control)
{
	struct network *network = control->network;

	if (!network)
		return;
	relay_daemon_destroy(network->daemon);
	resolver_destroy(network->resolver);
	tunnels_destroy(network->tunnels);
	id_table_free(&network->settings, free_settings);
	free(network);
	control->network = NULL;
}

static int prepare(struct control *control, const struct container *container, char *fault,
		   size_t fault_size)
{
	return check(control->network, container, network_find(control->network, container->id),
		     fault, fault_size);
}

static void changed(struct control *control, const struct container *container)
{
	if (network_is_relayed(control->network, container))
		network_names_changed(control->network);
	else if (network_has_tunnel(control->network, container->id))
		network_hosts_sync(control->network);
}

static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	struct network *network = control->network;

	/* Deleted: its document went with it. */
	if (!model_find(control->model, id))
		network_settings_free(id_table_take_out(&network->settings, id));
	network_tunnels_sync(network);
	if (network->daemon)
		push(network, NULL, NULL);
}

static void tick(struct control *control)
{
	struct network *network = control->network;

	if ((network->daemon && network_read_servers(network)) || network->retry)
		network_names_changed(network);
	network_tunnels_repair(network);
}

/* Its times may have changed. */
static void reloaded(struct control *control)
{
	if (control->network->daemon)
		network_names_changed(control->network);
}

const struct feature network_feature = {
	.name = "network",
	.set_up = set_up,
	.tear_down = tear_down,
	.prepare = prepare,
	.changed = changed,
	.gone = gone,
	.tick = tick,
	.reloaded = reloaded,
};
