// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's table of containers' addresses: by it the programs know what goes
 * from one container to another. See firewall.h.
 */
#include "control/firewall.h"
#include "kernel/bpf.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void key_of(const struct address *address, struct fw_member_key *key)
{
	const bool v4 = address->family == AF_INET;

	memset(key, 0, sizeof(*key));
	key->family = v4 ? FW_V4 : FW_V6;
	memcpy(key->address, v4 ? (const void *)&address->v4 : (const void *)&address->v6,
	       v4 ? 4 : 16);
}

static bool has(const struct container *container, const struct address *address)
{
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		if (address_equal(&container->addresses[i], address))
			return true;
	}
	return false;
}

void firewall_members_forget(struct firewall *firewall, struct firewall_entry *entry)
{
	struct fw_member_key key;

	for (unsigned int i = 0; firewall->bpf && i < entry->addresses_count; i++) {
		/* Another container may have it by now. */
		if (model_find_address(firewall->control->model, &entry->addresses[i]))
			continue;
		key_of(&entry->addresses[i], &key);
		knl_bpf_member_delete(firewall->bpf, &key);
	}
	free(entry->addresses);
	entry->addresses = NULL;
	entry->addresses_count = 0;
}

static void drop_former(struct firewall *firewall, const struct firewall_entry *entry,
			const struct container *container)
{
	struct fw_member_key key;

	for (unsigned int i = 0; i < entry->addresses_count; i++) {
		if (has(container, &entry->addresses[i]) ||
		    model_find_address(firewall->control->model, &entry->addresses[i]))
			continue;
		key_of(&entry->addresses[i], &key);
		knl_bpf_member_delete(firewall->bpf, &key);
	}
}

void firewall_members_set(struct firewall *firewall, const struct container *container)
{
	struct firewall_entry *entry = firewall_find(firewall, container->id);
	struct fw_member member = { .flags = container->gateway ? FW_GATEWAY : 0 };
	struct address *copy;
	struct fw_member_key key;
	int ret = 0;

	if (!firewall->bpf || !entry)
		return;
	copy = calloc(container->addresses_count + 1u, sizeof(*copy));
	if (!copy) {
		log_error("firewall: out of memory: addresses of a container are not known to it");
		return;
	}
	memcpy(member.project, container->project, ID_LEN);
	drop_former(firewall, entry, container);
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		copy[i] = container->addresses[i];
		key_of(&copy[i], &key);
		ret = knl_bpf_member_set(firewall->bpf, &key, &member) ?: ret;
	}
	if (ret)
		log_error("firewall: a container's address cannot be made known: error=\"%s\"",
			  strerror(-ret));
	free(entry->addresses);
	entry->addresses = copy;
	entry->addresses_count = container->addresses_count;
}
