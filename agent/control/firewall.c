// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall as a feature of the control process, see firewall.h and feature.h:
 * documents in, the host's interfaces watched, everything else is called from here.
 *
 * Programs are loaded when the agent starts, before the control API answers: the
 * kernel checks them first, which is not for the start of a container to wait for.
 */
#include "control/firewall.h"
#include "control/feature.h"
#include "control/network.h"
#include "kernel/bpf.h"
#include "kernel/links.h"
#include "lib/log.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

static struct firewall_entry **bucket(const struct firewall *firewall, const uint8_t id[ID_LEN])
{
	return (struct firewall_entry **)&firewall->buckets[id_hash(id) % FIREWALL_BUCKETS];
}

struct firewall_entry *firewall_find(const struct firewall *firewall, const uint8_t id[ID_LEN])
{
	struct firewall_entry *entry = *bucket(firewall, id);

	while (entry && memcmp(entry->id, id, ID_LEN))
		entry = entry->next;
	return entry;
}

struct firewall_entry *firewall_entry_get(struct firewall *firewall, const uint8_t id[ID_LEN])
{
	struct firewall_entry *entry = firewall_find(firewall, id);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	memcpy(entry->id, id, ID_LEN);
	entry->next = *bucket(firewall, id);
	*bucket(firewall, id) = entry;
	return entry;
}

static void free_entry(struct firewall *firewall, struct firewall_entry *entry)
{
	struct firewall_entry **link = bucket(firewall, entry->id);

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	firewall_rules_free(entry->rules);
	firewall_names_clear(entry);
	free(entry->image_ids);
	free(entry->drops.events);
	free(entry->flows.events);
	free(entry->learned);
	free(entry->addresses);
	free(entry);
}

/* --- the host --- */

static void take_host_address(void *context, const struct address *address)
{
	struct firewall_host *host = context;
	const bool v4 = address->family == AF_INET;
	struct fw_prefix *prefix;

	if (host->count == host->room) {
		const uint32_t room = host->room ? host->room * 2 : 16;
		void *grown = reallocarray(host->addresses, room, sizeof(*host->addresses));

		if (!grown)
			return;
		host->addresses = grown;
		host->room = room;
	}
	prefix = &host->addresses[host->count++];
	*prefix = (struct fw_prefix){ .family = v4 ? FW_V4 : FW_V6, .length = v4 ? 32 : 128 };
	memcpy(prefix->address, v4 ? (const void *)&address->v4 : (const void *)&address->v6,
	       v4 ? 4 : 16);
}

/* True where the host has other addresses than before. */
static bool learn_host(struct firewall *firewall)
{
	struct firewall_host fresh = { 0 }, *host = &firewall->host;
	bool same;

	if (knl_links_addresses(take_host_address, &fresh)) {
		log_error("firewall: the host's addresses cannot be read");
		free(fresh.addresses);
		return false;
	}
	same = fresh.count == host->count &&
	       (!fresh.count || !memcmp(fresh.addresses, host->addresses,
					fresh.count * sizeof(*fresh.addresses)));
	free(host->addresses);
	*host = fresh;
	return !same;
}

/* Interfaces that have come or changed their names. */
static void match_interfaces(struct firewall *firewall)
{
	for (size_t i = 0; i < model_containers_count(firewall->control->model); i++) {
		const struct container *container =
			model_container_at(firewall->control->model, i);
		const struct firewall_entry *entry;
		uint32_t ifindex;

		if (!container->running || !container->netdev[0])
			continue;
		entry = firewall_find(firewall, container->id);
		ifindex = if_nametoindex(container->netdev);
		if (!entry || (ifindex == entry->ifindex && entry->state == FIREWALL_ENFORCED))
			continue;
		if (ifindex)
			firewall_apply(firewall, container);
	}
}

static int on_links(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct firewall *firewall = context;
	const int seen = knl_links_events(firewall->links);

	if (seen < 0) {
		log_error("firewall: interfaces cannot be watched: looked at every ten seconds");
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	if (seen & KNL_LINKS_ADDRESSES && learn_host(firewall))
		firewall_apply_all(firewall);
	if (seen & KNL_LINKS_INTERFACES)
		match_interfaces(firewall);
	return 0;
}

static void watch_links(struct firewall *firewall)
{
	firewall->links = knl_links_open();
	if (!firewall->links ||
	    sd_event_add_io(firewall->control->event, &firewall->link_events,
			    knl_links_fd(firewall->links), EPOLLIN, on_links, firewall) < 0)
		log_error("firewall: interfaces cannot be watched: looked at every ten seconds");
}

/* --- loading --- */

/* Whose connections pass, by the depth of its cgroup below the mount. */
static int tell_agent(struct firewall *firewall)
{
	struct fw_config config = { .events_per_second = FIREWALL_EVENTS_PER_SECOND };
	const struct control *control = firewall->control;

	config.agent_cgroup = control->agent_cgroup;
	config.agent_level = control->agent_cgroup_level;
	if (!config.agent_cgroup)
		log_error("firewall: the agent has no cgroup: its connections need ingress rules of the host's addresses");
	return knl_bpf_configure(firewall->bpf, &config);
}

static bool is_member(void *context, const struct fw_member_key *key)
{
	const struct firewall *firewall = context;
	struct address address = { .family = key->family == FW_V4 ? AF_INET : AF_INET6 };

	if (key->family == FW_V4)
		memcpy(&address.v4, key->address, 4);
	else
		memcpy(&address.v6, key->address, 16);
	return model_find_address(firewall->control->model, &address);
}

static void fill_members(struct firewall *firewall)
{
	const struct model *model = firewall->control->model;

	knl_bpf_members_keep(firewall->bpf, is_member, firewall);
	for (size_t i = 0; i < model_containers_count(model); i++) {
		const struct container *container = model_container_at(model, i);

		if (firewall_entry_get(firewall, container->id))
			firewall_members_set(firewall, container);
	}
}

int firewall_load(struct firewall *firewall)
{
	const struct config *config = firewall->control->config;
	const struct knl_bpf_options options = {
		.pins = config->firewall_pins, .flows = config->firewall_flows,
		.containers = config->firewall_containers,
	};
	char fault[KNL_BPF_FAULT_MAX];
	bool told = firewall->fault[0];
	struct timespec before, after;
	int ret;

	if (firewall->bpf)
		return 0;
	if (config->firewall == CONFIG_FIREWALL_OFF) {
		snprintf(firewall->fault, sizeof(firewall->fault),
			 "it is switched off in the configuration ([firewall] enabled)");
		return -EOPNOTSUPP;
	}
	clock_gettime(CLOCK_MONOTONIC, &before);
	ret = knl_bpf_open(&options, &firewall->bpf, fault);
	clock_gettime(CLOCK_MONOTONIC, &after);
	if (!ret) {
		ret = tell_agent(firewall);
		if (ret) {
			snprintf(fault, sizeof(fault), "its maps cannot be written: %s",
				 strerror(-ret));
			knl_bpf_close(firewall->bpf);
			firewall->bpf = NULL;
		}
	}
	if (ret) {
		snprintf(firewall->fault, sizeof(firewall->fault), "%s", fault);
		if (!told)
			log_warning("the firewall cannot be loaded, containers with rules do not start: error=\"%s\"",
				    fault);
		return ret;
	}
	firewall->fault[0] = '\0';
	firewall->load_ms = (uint32_t)((after.tv_sec - before.tv_sec) * 1000 +
				       (after.tv_nsec - before.tv_nsec) / 1000000);
	learn_host(firewall);
	watch_links(firewall);
	if (firewall_events_open(firewall))
		log_error("firewall: dropped packets cannot be told");
	firewall_take_over(firewall);
	fill_members(firewall);
	log_info("firewall is loaded: pins=%s flows=%u ms=%u", config->firewall_pins,
		 config->firewall_flows, firewall->load_ms);
	return 0;
}

/* --- hooks --- */

static int take_document(void *context, const void *key, size_t key_len, const char *body)
{
	struct firewall *firewall = context;
	struct firewall_entry *entry;

	if (key_len != ID_LEN)
		return -EBADMSG;
	entry = firewall_entry_get(firewall, key);
	if (!entry)
		return -ENOMEM;
	entry->rules = firewall_rules_parse(body);
	return entry->rules ? 0 : -EBADMSG;
}

static bool has_work(const struct firewall *firewall)
{
	const struct model *model = firewall->control->model;

	for (size_t i = 0; i < model_containers_count(model); i++) {
		const struct container *container = model_container_at(model, i);

		if (container->running && container->netdev[0])
			return true;
	}
	return false;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct firewall *firewall = calloc(1, sizeof(*firewall));
	int ret;

	if (!firewall) {
		snprintf(fault, fault_size, "out of memory");
		return -ENOMEM;
	}
	firewall->control = control;
	control->firewall = firewall;
	ret = db_load_documents(control->db, DB_KIND_FIREWALL, take_document, firewall);
	if (ret) {
		snprintf(fault, fault_size, "the database's firewall rules cannot be read: %s",
			 ret == -ENOMEM ? "out of memory" : "one is damaged, or of a newer version");
		return ret;
	}
	for (size_t i = 0; i < model_containers_count(control->model); i++) {
		if (!firewall_entry_get(firewall, model_container_at(control->model, i)->id))
			return -ENOMEM;
	}
	ret = firewall_load(firewall);
	if (ret && control->config->firewall == CONFIG_FIREWALL_ON) {
		snprintf(fault, fault_size, "firewall: %s", firewall->fault);
		return ret;
	}
	firewall_apply_all(firewall);
	network_names_changed(control->network);
	return 0;
}

static void tear_down(struct control *control)
{
	struct firewall *firewall = control->firewall;

	if (!firewall)
		return;
	sd_event_source_disable_unref(firewall->link_events);
	sd_event_source_disable_unref(firewall->drop_events);
	knl_links_close(firewall->links);
	/* What is in force stays in force. */
	knl_bpf_close(firewall->bpf);
	for (size_t i = 0; i < FIREWALL_BUCKETS; i++) {
		while (firewall->buckets[i])
			free_entry(firewall, firewall->buckets[i]);
	}
	free(firewall->host.addresses);
	free(firewall);
	control->firewall = NULL;
}

static int prepare(struct control *control, const struct container *container, char *fault,
		   size_t fault_size)
{
	struct firewall_entry *entry = firewall_entry_get(control->firewall, container->id);
	struct container_fault why = { 0 };

	if (!entry) {
		snprintf(fault, fault_size, "out of memory");
		return -ENOMEM;
	}
	if (!firewall_check(control->firewall, container, entry->rules, &why))
		return 0;
	snprintf(fault, fault_size, "%s%s%s", why.field, why.field[0] ? ": " : "", why.message);
	return -ECANCELED;
}

static void changed(struct control *control, const struct container *container)
{
	struct firewall *firewall = control->firewall;
	struct firewall_entry *entry = firewall_entry_get(firewall, container->id);

	if (!entry) {
		log_error("firewall: out of memory: a container is not known to it");
		return;
	}
	firewall_members_set(firewall, container);
	/* An interface that it had and has no more is nobody's. */
	if (container->running && !container->netdev[0])
		firewall_withdraw(firewall, entry);
	firewall_apply(firewall, container);
	firewall_apply_dependents(firewall, container);
}

static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	struct firewall *firewall = control->firewall;
	struct firewall_entry *entry = firewall_find(firewall, id);
	const struct container *container = model_find(control->model, id);

	/* Started again before the stop was through. */
	if (!entry || (container && container->running))
		return;
	firewall_withdraw(firewall, entry);
	if (container)
		return;
	firewall_members_forget(firewall, entry);
	free_entry(firewall, entry);
	firewall_apply_dependents(firewall, NULL);
}

static void tick(struct control *control)
{
	struct firewall *firewall = control->firewall;

	if (!firewall->bpf) {
		/* BPF may come: a mount that was missing. */
		if (control->config->firewall != CONFIG_FIREWALL_OFF && has_work(firewall) &&
		    !firewall_load(firewall))
			firewall_apply_all(firewall);
		return;
	}
	match_interfaces(firewall);
	firewall_names_tick(firewall);
	if (knl_bpf_sweep(firewall->bpf) < 0)
		log_warning("firewall: idle flows cannot be taken out");
}

const struct feature firewall_feature = {
	.name = "firewall",
	.set_up = set_up,
	.tear_down = tear_down,
	.prepare = prepare,
	.changed = changed,
	.gone = gone,
	.tick = tick,
};

/* --- changes of rules --- */

static int write_document(struct firewall *firewall, const uint8_t id[ID_LEN],
			  const struct firewall_rules *rules, struct container_fault *fault)
{
	const struct db *db = firewall->control->db;
	char *text = NULL;
	int ret;

	if (rules) {
		text = firewall_rules_format(rules);
		if (!text)
			return container_fault_set(fault, 503, "unavailable", "", "out of memory");
	}
	ret = db_put_document(firewall->control->db, DB_KIND_FIREWALL, id, ID_LEN, text, NULL);
	free(text);
	if (!ret)
		return 0;
	return container_fault_set(fault, ret == -ENOSPC ? 507 : 500,
				   ret == -ENOSPC ? "full" : "internal", "",
				   "nothing has changed: %s",
				   *db_fault(db) ? db_fault(db) : strerror(-ret));
}

int firewall_store(struct firewall *firewall, const struct container *container,
		   struct firewall_rules *rules, struct container_fault *fault)
{
	struct firewall_entry *entry = firewall_entry_get(firewall, container->id);
	struct firewall_rules *old;
	char why[sizeof(entry->fault)];

	if (!entry) {
		container_fault_set(fault, 503, "unavailable", "", "out of memory");
		goto err_free;
	}
	if (firewall_has_names(rules) &&
	    network_lacks_servers(firewall->control->network, entry->id)) {
		container_fault_set(fault, 422, "not_possible", "destination",
				    "must be an address or a container: the file of the WireGuard "
				    "tunnel that is the container's exit has no line DNS, and "
				    "names are not asked beside it");
		goto err_free;
	}
	old = entry->rules;
	rules->revision = (old ? old->revision : 0) + 1;
	if (container->running && firewall_check(firewall, container, rules, fault))
		goto err_free;
	if (write_document(firewall, entry->id, rules, fault))
		goto err_free;
	entry->rules = rules;
	firewall_apply(firewall, container);
	if (entry->state != FIREWALL_FAILED) {
		if (firewall_has_names(old) || firewall_has_names(rules))
			network_names_changed(firewall->control->network);
		firewall_rules_free(old);
		return 0;
	}
	/* The kernel has not taken it: what holds is what held. */
	memcpy(why, entry->fault, sizeof(why));
	entry->rules = old;
	if (write_document(firewall, entry->id, old, fault))
		log_error("firewall: the rules of before cannot be stored");
	firewall_apply(firewall, container);
	container_fault_set(fault, 507, "not_enforceable", "", "nothing has changed: %s", why);

err_free:
	firewall_rules_free(rules);
	return -1;
}
