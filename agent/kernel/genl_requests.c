// SPDX-License-Identifier: Apache-2.0
/*
 * The requests of the family "hoody", see genl.h: each writes one message and
 * reads its answer. What the kernel sends is trusted to be well-meant, but its
 * lengths are checked: a module of another version may send other things.
 */
#include "kernel/genl_internal.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <string.h>

#define DUMP_TRIES	8

static void take_info(struct knl_request *request, struct nl_msg *message,
		      struct nlattr **attrs)
{
	struct knl_info *info = &request->knl->info;

	if (attrs[HOODY_A_VERSION])
		nla_strlcpy(info->version, attrs[HOODY_A_VERSION], sizeof(info->version));
	if (attrs[HOODY_A_PROTOCOL])
		info->protocol = nla_get_u32(attrs[HOODY_A_PROTOCOL]);
	if (attrs[HOODY_A_CGROUP])
		info->agent_cgroup = nla_get_u64(attrs[HOODY_A_CGROUP]);
	if (attrs[HOODY_A_CONTAINERS])
		info->containers = nla_get_u32(attrs[HOODY_A_CONTAINERS]);
	if (attrs[HOODY_A_MAX_CONTAINERS])
		info->max_containers = nla_get_u32(attrs[HOODY_A_MAX_CONTAINERS]);
}

int knl_info_get(struct knl *knl)
{
	struct knl_request request = { .each = take_info };

	memset(&knl->info, 0, sizeof(knl->info));
	return knl_transact(knl, knl_message(knl, HOODY_CMD_AGENT_GET, NLM_F_ACK), &request);
}

int knl_agent_set(struct knl *knl, uint64_t cgroup_id)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_AGENT_SET, NLM_F_ACK);
	struct knl_request request = { 0 };

	if (message)
		nla_put_u64(message, HOODY_A_CGROUP, cgroup_id);
	return knl_transact(knl, message, &request);
}

int knl_container_set(struct knl *knl, const struct knl_container *container)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_CONTAINER_SET,
				       NLM_F_ACK);
	struct knl_request request = { 0 };

	/* 16 addresses and the rest need less than a tenth of the buffer. */
	if (message) {
		nla_put(message, HOODY_A_ID, ID_LEN, container->id);
		nla_put(message, HOODY_A_PROJECT, ID_LEN, container->project);
		nla_put_u64(message, HOODY_A_GENERATION, container->generation);
		for (unsigned int i = 0; i < container->addresses_count; i++) {
			const struct address *address = &container->addresses[i];
			bool v4 = address->family == AF_INET;

			nla_put(message, v4 ? HOODY_A_ADDR4 : HOODY_A_ADDR6, v4 ? 4 : 16,
				&address->v6);
		}
		if (container->cgroup_id)
			nla_put_u64(message, HOODY_A_CGROUP, container->cgroup_id);
		nla_put_u32(message, HOODY_A_FLAGS, container->flags);
		if (container->profile[0]) {
			nla_put_string(message, HOODY_A_PROFILE, container->profile);
			nla_put_u32(message, HOODY_A_GATE_MODE, container->gate_mode);
		}
	}
	return knl_transact(knl, message, &request);
}

int knl_container_del(struct knl *knl, const uint8_t id[ID_LEN])
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_CONTAINER_DEL, NLM_F_ACK);
	struct knl_request request = { 0 };
	int ret;

	if (message)
		nla_put(message, HOODY_A_ID, ID_LEN, id);
	ret = knl_transact(knl, message, &request);
	return ret == -ENOENT ? 0 : ret;
}

/* ADDR4 and ADDR6 repeat, so that the parsed table holds only the last of each. */
static void take_addresses(struct knl_container *container, const struct nlattr *start, int len)
{
	struct nlattr *attr;
	int remaining;

	nla_for_each_attr(attr, (struct nlattr *)start, len, remaining) {
		int type = nla_type(attr), size = type == HOODY_A_ADDR4 ? 4 : 16;
		struct address *address = &container->addresses[container->addresses_count];

		if ((type != HOODY_A_ADDR4 && type != HOODY_A_ADDR6) || nla_len(attr) != size ||
		    container->addresses_count == KNL_ADDRESSES_MAX)
			continue;
		memset(address, 0, sizeof(*address));
		address->family = size == 4 ? AF_INET : AF_INET6;
		memcpy(&address->v6, nla_data(attr), size);
		container->addresses_count++;
	}
}

static void take_container(struct knl_request *request, struct nl_msg *message,
			   struct nlattr **attrs)
{
	struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));
	struct knl_container container = { 0 };

	if (!attrs[HOODY_A_ID] || nla_len(attrs[HOODY_A_ID]) != ID_LEN)
		return;
	memcpy(container.id, nla_data(attrs[HOODY_A_ID]), ID_LEN);
	if (attrs[HOODY_A_PROJECT] && nla_len(attrs[HOODY_A_PROJECT]) == ID_LEN)
		memcpy(container.project, nla_data(attrs[HOODY_A_PROJECT]), ID_LEN);
	if (attrs[HOODY_A_GENERATION])
		container.generation = nla_get_u64(attrs[HOODY_A_GENERATION]);
	if (attrs[HOODY_A_CGROUP])
		container.cgroup_id = nla_get_u64(attrs[HOODY_A_CGROUP]);
	if (attrs[HOODY_A_FLAGS])
		container.flags = nla_get_u32(attrs[HOODY_A_FLAGS]);
	if (attrs[HOODY_A_PROFILE])
		nla_strlcpy(container.profile, attrs[HOODY_A_PROFILE], sizeof(container.profile));
	if (attrs[HOODY_A_GATE_MODE])
		container.gate_mode = nla_get_u32(attrs[HOODY_A_GATE_MODE]);
	take_addresses(&container, genlmsg_attrdata(header, 0), genlmsg_attrlen(header, 0));
	request->container(request->context, &container);
}

static void copy_container(void *context, const struct knl_container *container)
{
	*(struct knl_container *)context = *container;
}

int knl_container_get(struct knl *knl, const uint8_t id[ID_LEN], struct knl_container *container)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_CONTAINER_GET, NLM_F_ACK);
	struct knl_request request = {
		.each = take_container, .container = copy_container, .context = container,
	};

	if (message)
		nla_put(message, HOODY_A_ID, ID_LEN, id);
	return knl_transact(knl, message, &request);
}

int knl_dump(struct knl *knl, void (*restart)(void *context),
	     void (*each)(void *context, const struct knl_container *container), void *context)
{
	for (int tries = 0; tries < DUMP_TRIES; tries++) {
		struct knl_request request = {
			.each = take_container, .container = each, .context = context,
		};
		int ret;

		restart(context);
		ret = knl_transact(knl, knl_message(knl, HOODY_CMD_CONTAINER_GET, NLM_F_DUMP),
				   &request);
		if (ret || !request.disturbed)
			return ret;
	}
	return -EAGAIN;
}

static void take_stat(struct knl_request *request, struct nl_msg *message, struct nlattr **attrs)
{
	char name[64];

	if (!attrs[HOODY_A_STAT_NAME] || !attrs[HOODY_A_STAT_VALUE])
		return;
	nla_strlcpy(name, attrs[HOODY_A_STAT_NAME], sizeof(name));
	request->stat(request->context, name, nla_get_u64(attrs[HOODY_A_STAT_VALUE]));
}

int knl_stats(struct knl *knl,
	      void (*each)(void *context, const char *name, uint64_t value), void *context)
{
	struct knl_request request = { .each = take_stat, .stat = each, .context = context };

	return knl_transact(knl, knl_message(knl, HOODY_CMD_STATS_GET, NLM_F_DUMP), &request);
}
