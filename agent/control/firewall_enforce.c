// SPDX-License-Identifier: Apache-2.0
/*
 * From rules to the kernel: which interface, which slot, which image, and the
 * counters that come back when one is replaced. See firewall.h.
 *
 * Fails closed: what cannot be put in force leaves what was in force before, and
 * an interface that is attached without an image passes nothing.
 */
#include "control/firewall.h"
#include "control/network.h"
#include "kernel/bpf.h"
#include "lib/log.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_state(struct firewall *firewall, struct firewall_entry *entry,
		      enum firewall_state state)
{
	firewall->enforced -= entry->state == FIREWALL_ENFORCED;
	firewall->failed -= entry->state == FIREWALL_FAILED;
	entry->state = state;
	firewall->enforced += state == FIREWALL_ENFORCED;
	firewall->failed += state == FIREWALL_FAILED;
	if (state == FIREWALL_ENFORCED || state == FIREWALL_IDLE)
		entry->fault[0] = '\0';
}

/* Told once; the entry's state says it for as long as it lasts. */
__attribute__((format(printf, 3, 4))) static void fail(struct firewall *firewall,
						       struct firewall_entry *entry,
						       const char *format, ...)
{
	char text[sizeof(entry->fault)], id[ID_TEXT_LEN + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strcmp(text, entry->fault)) {
		id_format(entry->id, id);
		log_error("firewall of a container cannot be put in force: container=%.8s error=\"%s\"",
			  id, text);
	}
	set_state(firewall, entry, FIREWALL_FAILED);
	memcpy(entry->fault, text, sizeof(text));
}

static uint32_t free_slot(const struct firewall *firewall)
{
	for (uint32_t slot = 1; slot < FW_SLOTS_MAX; slot++) {
		if (!firewall->slots[slot])
			return slot;
	}
	return 0;
}

/* Quotas of a container: together its share of the flow table. */
static void set_quota(const struct firewall *firewall, uint32_t quota[FW_FLOW_CLASSES])
{
	const struct config *config = firewall->control->config;
	const uint32_t share = config->firewall_flows / config->firewall_containers;

	quota[FW_FLOW_EGRESS] = share / 4;
	quota[FW_FLOW_INGRESS] = share / 8;
	quota[FW_FLOW_AGENT] = share - share / 4 - share / 8;
}

/* Written into every image: the revision of the rules, and how often it was made. */
static uint64_t next_generation(const struct firewall_entry *entry,
				const struct firewall_rules *rules)
{
	const uint64_t floor = (rules ? rules->revision : 0) << 32 | 1;

	return entry->generation < floor ? floor : entry->generation + 1;
}

/* What the replaced image has counted, to the rules that still exist. */
static void keep_counters(struct firewall_entry *entry, struct knl_bpf_counters *old)
{
	for (uint32_t i = 0; i < old->count && i < entry->image_count; i++) {
		struct firewall_rule *rule = firewall_rules_find(entry->rules, entry->image_ids[i]);

		if (!rule)
			continue;
		rule->packets += old->counters[i].packets;
		rule->bytes += old->counters[i].bytes;
	}
	free(old->counters);
}

static void remember_image(struct firewall_entry *entry, const struct firewall_rules *rules)
{
	const uint32_t count = rules ? rules->count : 0;

	free(entry->image_ids);
	entry->image_count = 0;
	entry->image_ids = malloc((count + 1) * sizeof(*entry->image_ids));
	if (!entry->image_ids)
		return;		/* counters of this image are lost with it */
	for (uint32_t i = 0; i < count; i++)
		entry->image_ids[i] = rules->rules[i].id;
	entry->image_count = count;
}

struct firewall_count *firewall_counts(struct firewall *firewall,
				       const struct firewall_entry *entry)
{
	struct knl_bpf_counters now = { 0 };
	struct firewall_count *counts;

	if (!entry->rules)
		return NULL;
	counts = calloc(entry->rules->count + 1, sizeof(*counts));
	if (!counts)
		return NULL;
	for (uint32_t i = 0; i < entry->rules->count; i++) {
		counts[i].packets = entry->rules->rules[i].packets;
		counts[i].bytes = entry->rules->rules[i].bytes;
	}
	if (!firewall->bpf || !entry->ifindex ||
	    knl_bpf_counters(firewall->bpf, entry->ifindex, &now))
		return counts;
	for (uint32_t i = 0; i < now.count && i < entry->image_count; i++) {
		const struct firewall_rule *rule = firewall_rules_find(entry->rules,
								       entry->image_ids[i]);

		if (!rule)
			continue;
		counts[rule - entry->rules->rules].packets += now.counters[i].packets;
		counts[rule - entry->rules->rules].bytes += now.counters[i].bytes;
	}
	free(now.counters);
	return counts;
}

/* The interface was renamed or made anew: the old one passes nothing from now on. */
static void leave_interface(struct firewall *firewall, struct firewall_entry *entry)
{
	struct knl_bpf_counters old;
	char name[IF_NAMESIZE];

	if (!entry->ifindex)
		return;
	if (!knl_bpf_withdraw(firewall->bpf, entry->ifindex, &old))
		keep_counters(entry, &old);
	if (!if_indextoname(entry->ifindex, name))
		knl_bpf_detach(firewall->bpf, entry->ifindex);
	else
		log_warning("an interface that was a container's passes nothing any more: interface=%s",
			    name);
	entry->ifindex = 0;
}

static int compile(struct firewall *firewall, const struct container *container,
		   const struct firewall_entry *entry, const struct firewall_rules *rules,
		   uint32_t slot, struct fw_image *image, struct container_fault *fault)
{
	struct firewall_place place = {
		.slot = slot, .generation = next_generation(entry, rules),
		.exit_flags = entry->exit_flags,
	};

	memcpy(place.steer_mac, entry->steer_mac, sizeof(place.steer_mac));
	set_quota(firewall, place.quota);
	return firewall_compile(firewall->control, &firewall->host, container, rules, &place,
				image, fault);
}

static int take_slot(struct firewall *firewall, struct firewall_entry *entry)
{
	int ret;

	if (entry->slot)
		return 0;
	entry->slot = free_slot(firewall);
	if (!entry->slot)
		return -ENOSPC;
	ret = knl_bpf_slot_clear(firewall->bpf, entry->slot);
	if (ret) {
		entry->slot = 0;
		return ret;
	}
	firewall->slots[entry->slot] = entry;
	return 0;
}

static const char *error_text(int error)
{
	if (error == -ENOSPC)
		return "the kernel's tables are full: raise [firewall] flows, or stop containers";
	return strerror(-error);
}

/* Attached first: from here on it passes nothing until the image is there. */
static int commit(struct firewall *firewall, struct firewall_entry *entry, uint32_t ifindex,
		  const struct fw_image *image)
{
	const struct fw_header *header = (const struct fw_header *)image->words;
	struct knl_bpf_counters old;
	int ret;

	ret = knl_bpf_attach(firewall->bpf, ifindex);
	if (ret)
		return ret;
	ret = firewall_names_prepare(firewall, entry, (uint32_t)(header->head.generation >> 32));
	if (!ret)
		ret = knl_bpf_commit(firewall->bpf, ifindex, image, &old);
	if (ret)
		return ret;
	firewall_names_settle(firewall, entry, (uint32_t)(header->head.generation >> 32));
	keep_counters(entry, &old);
	entry->ifindex = ifindex;
	entry->generation = header->head.generation;
	remember_image(entry, entry->rules);
	return 0;
}

void firewall_apply(struct firewall *firewall, const struct container *container)
{
	struct firewall_entry *entry = firewall_find(firewall, container->id);
	struct container_fault fault = { 0 };
	struct fw_image image = { 0 };
	uint32_t ifindex;
	int ret;

	if (!entry || !container->running || !container->netdev[0])
		return;
	ret = firewall_load(firewall);
	if (ret) {
		set_state(firewall, entry, FIREWALL_OFF);
		snprintf(entry->fault, sizeof(entry->fault), "%.255s", firewall->fault);
		return;
	}
	ifindex = if_nametoindex(container->netdev);
	if (!ifindex) {
		fail(firewall, entry, "there is no network interface %s", container->netdev);
		return;
	}
	if (entry->ifindex != ifindex)
		leave_interface(firewall, entry);
	ret = take_slot(firewall, entry);
	if (ret) {
		fail(firewall, entry, "%s", error_text(ret));
		return;
	}
	if (compile(firewall, container, entry, entry->rules, entry->slot, &image, &fault)) {
		/* Nothing passes rather than what the rules may forbid. */
		if (!entry->ifindex)
			knl_bpf_attach(firewall->bpf, ifindex);
		fail(firewall, entry, "%s", fault.message);
		return;
	}
	ret = commit(firewall, entry, ifindex, &image);
	fw_image_clear(&image);
	if (ret)
		fail(firewall, entry, "%s: %s", container->netdev, error_text(ret));
	else
		set_state(firewall, entry, FIREWALL_ENFORCED);
}

/* Whether rules of @entry speak of @container or its project. */
static bool depends(const struct firewall_entry *entry, const struct container *container)
{
	for (uint32_t i = 0; entry->rules && i < entry->rules->count; i++) {
		const struct firewall_rule *rule = &entry->rules->rules[i];

		if ((rule->peer == FIREWALL_CONTAINER || rule->peer == FIREWALL_PROJECT) &&
		    (!container ||
		     !memcmp(rule->peer_id,
			     rule->peer == FIREWALL_PROJECT ? container->project : container->id,
			     ID_LEN)))
			return true;
	}
	return false;
}

/* @container NULL: one that is gone, of whatever project. */
void firewall_apply_dependents(struct firewall *firewall, const struct container *container)
{
	if (!firewall->bpf)
		return;
	for (uint32_t slot = 1; slot < FW_SLOTS_MAX; slot++) {
		const struct firewall_entry *entry = firewall->slots[slot];
		const struct container *other;

		if (!entry || !depends(entry, container))
			continue;
		other = model_find(firewall->control->model, entry->id);
		if (other && other != container)
			firewall_apply(firewall, other);
	}
}

void firewall_apply_all(struct firewall *firewall)
{
	for (size_t i = 0; i < model_containers_count(firewall->control->model); i++)
		firewall_apply(firewall, model_container_at(firewall->control->model, i));
}

void firewall_withdraw(struct firewall *firewall, struct firewall_entry *entry)
{
	struct knl_bpf_counters old;

	if (firewall->bpf && entry->ifindex) {
		/* Off the interface last: what still comes from it does not pass. */
		if (!knl_bpf_withdraw(firewall->bpf, entry->ifindex, &old))
			keep_counters(entry, &old);
		knl_bpf_detach(firewall->bpf, entry->ifindex);
	}
	if (firewall->bpf && entry->slot)
		knl_bpf_slot_clear(firewall->bpf, entry->slot);
	if (entry->slot)
		firewall->slots[entry->slot] = NULL;
	firewall_names_clear(entry);
	entry->ifindex = entry->slot = 0;
	set_state(firewall, entry, FIREWALL_IDLE);
}

static int check_names(struct firewall *firewall, const struct firewall_rules *rules,
		       struct container_fault *fault)
{
	int ret;

	if (!firewall_has_names(rules))
		return 0;
	ret = network_need_relay(firewall->control->network);
	if (!ret)
		return 0;
	return container_fault_set(fault, 503, "not_enforceable", "",
				   "rules about names need the relay, which cannot be started: %s",
				   strerror(-ret));
}

static bool needs_firewall(const struct firewall_rules *rules)
{
	return rules && (rules->count || rules->closed[FW_EGRESS] || rules->closed[FW_INGRESS]);
}

int firewall_check(struct firewall *firewall, const struct container *container,
		   const struct firewall_rules *rules, struct container_fault *fault)
{
	const struct firewall_entry *entry = firewall_find(firewall, container->id);
	const bool needed = needs_firewall(rules) || (entry && entry->exit_flags);
	const struct firewall_entry nothing = { .slot = 0 };
	struct fw_image image = { 0 };
	int ret;

	if (!container->netdev[0])
		return needed ? container_fault_set(fault, 409, "not_enforceable", "netdev",
						    "the container has firewall rules and no interface to enforce them on: register it with its netdev") :
				0;
	ret = firewall_load(firewall);
	if (ret) {
		if (!needed && (ret == -EOPNOTSUPP ||
				firewall->control->config->firewall != CONFIG_FIREWALL_ON))
			return 0;
		return container_fault_set(fault, 409, "not_enforceable", "firewall",
					   "the firewall cannot be enforced: %.300s",
					   firewall->fault);
	}
	if ((!entry || !entry->slot) && !free_slot(firewall))
		return container_fault_set(fault, 507, "full", "firewall",
					   "%d containers have a firewall, more are not possible",
					   FW_SLOTS_MAX - 1);
	if (check_names(firewall, rules, fault) ||
	    compile(firewall, container, entry ? entry : &nothing, rules, 1, &image, fault))
		return -1;
	fw_image_clear(&image);
	return 0;
}

int firewall_exit_set(struct firewall *firewall, const uint8_t id[ID_LEN], uint32_t flags,
		      const uint8_t *steer_mac)
{
	static const uint8_t none[6];
	struct firewall_entry *entry = firewall_entry_get(firewall, id);
	const struct container *container = model_find(firewall->control->model, id);

	if (!entry)
		return -ENOMEM;
	if (!steer_mac)
		steer_mac = none;
	if (entry->exit_flags == flags && !memcmp(entry->steer_mac, steer_mac, sizeof(none)))
		return 0;
	entry->exit_flags = flags;
	memcpy(entry->steer_mac, steer_mac, sizeof(none));
	if (!container || !container->running || !firewall->bpf)
		return 0;
	firewall_apply(firewall, container);
	return entry->state == FIREWALL_ENFORCED ? 0 : -EIO;
}

/* --- what an earlier process left --- */

static void take_image(void *context, uint32_t ifindex, const struct fw_header *header)
{
	struct firewall *firewall = context;
	const struct container *container = model_find(firewall->control->model, header->owner);
	struct firewall_entry *entry = firewall_find(firewall, header->owner);
	char name[IF_NAMESIZE] = "";

	if_indextoname(ifindex, name);
	if (container && container->running && entry && !entry->slot && header->head.slot &&
	    header->head.slot < FW_SLOTS_MAX && !firewall->slots[header->head.slot] &&
	    !strcmp(name, container->netdev)) {
		entry->slot = header->head.slot;
		entry->ifindex = ifindex;
		entry->generation = header->head.generation;
		firewall->slots[entry->slot] = entry;
		/* Made of these very rules: then its counters are theirs. */
		if (header->head.generation >> 32 == (entry->rules ? entry->rules->revision : 0))
			remember_image(entry, entry->rules);
		return;
	}
	knl_bpf_withdraw(firewall->bpf, ifindex, NULL);
	knl_bpf_detach(firewall->bpf, ifindex);
}

void firewall_take_over(struct firewall *firewall)
{
	if (knl_bpf_images(firewall->bpf, take_image, firewall))
		log_error("firewall: policies that are in force cannot all be read");
}
