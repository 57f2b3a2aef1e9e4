// SPDX-License-Identifier: GPL-2.0-only
/*
 * Profiles and what the gate counts, as netlink messages. The tables themselves
 * are checked in gate_profile.c.
 */
#include <linux/ctype.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "gate.h"
#include "message.h"

const struct nla_policy hoody_profile_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_PROFILE]	= { .type = NLA_NUL_STRING, .len = HOODY_PROFILE_NAME_MAX },
	[HOODY_A_GENERATION]	= NLA_POLICY_MIN(NLA_U64, 1),
	[HOODY_A_TABLE]		= { .type = NLA_BINARY },
	[HOODY_A_MODE]		= NLA_POLICY_MAX(NLA_U32, HOODY_SET_MAX),
};

const struct nla_policy hoody_profile_name_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_PROFILE]	= { .type = NLA_NUL_STRING, .len = HOODY_PROFILE_NAME_MAX },
	[HOODY_A_GENERATION]	= NLA_POLICY_MIN(NLA_U64, 1),
};

static int name_validate(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	const char *name = nla_data(attr), *at = name;

	if (isalnum(*at))
		while (isalnum(*at) || *at == '.' || *at == '_' || *at == '-')
			at++;
	if (at > name && !*at)
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, attr,
			    "profile name: letters, digits, '.', '_' and '-', a letter or digit first");
	return -EINVAL;
}

/* The gate's part of a container's policy; @name is NULL where it has none. */
int hoody_netlink_gate_parse(struct genl_info *info, const char **name, u32 *mode)
{
	struct nlattr **attrs = info->attrs;

	*name = NULL;
	*mode = HOODY_GATE_ENFORCE;
	if (!attrs[HOODY_A_PROFILE]) {
		if (!attrs[HOODY_A_GATE_MODE])
			return 0;
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[HOODY_A_GATE_MODE],
				    "a gate mode without a profile");
		return -EINVAL;
	}
	if (!attrs[HOODY_A_CGROUP] || !nla_get_u64(attrs[HOODY_A_CGROUP])) {
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[HOODY_A_PROFILE],
				    "a profile needs the container's cgroup");
		return -EINVAL;
	}
	if (attrs[HOODY_A_GATE_MODE])
		*mode = nla_get_u32(attrs[HOODY_A_GATE_MODE]);
	*name = nla_data(attrs[HOODY_A_PROFILE]);
	return name_validate(attrs[HOODY_A_PROFILE], info->extack);
}

int hoody_netlink_gate_put(struct sk_buff *skb, const struct gate_member *member)
{
	u32 mode;

	if (nla_put_string(skb, HOODY_A_PROFILE, hoody_gate_profile(member, &mode)) ||
	    nla_put_u32(skb, HOODY_A_GATE_MODE, mode))
		return -EMSGSIZE;
	return 0;
}

/* The checked name of the profile that a command is about, or NULL. */
static const char *profile_name(struct genl_info *info)
{
	if (!hoody_message_required(info, HOODY_A_PROFILE) || hoody_message_validate(info) ||
	    name_validate(info->attrs[HOODY_A_PROFILE], info->extack))
		return NULL;
	return nla_data(info->attrs[HOODY_A_PROFILE]);
}

int hoody_netlink_profile_set(struct sk_buff *skb, struct genl_info *info)
{
	const char *name = profile_name(info);
	struct nlattr **attrs = info->attrs;
	struct hoody_registry *registry;
	u32 mode = HOODY_SET_ANY;
	int err;

	if (!name || !hoody_message_required(info, HOODY_A_GENERATION) ||
	    !hoody_message_required(info, HOODY_A_TABLE))
		return -EINVAL;
	if (attrs[HOODY_A_MODE])
		mode = nla_get_u32(attrs[HOODY_A_MODE]);
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry)
		return -ENOMEM;
	err = hoody_profile_set(registry, name, nla_get_u64(attrs[HOODY_A_GENERATION]),
				attrs[HOODY_A_TABLE], mode, info->extack);
	hoody_netlink_unlock(registry);
	if (err == -ESTALE)
		NL_SET_BAD_ATTR(info->extack, attrs[HOODY_A_GENERATION]);
	else if (err && err != -EINVAL && err != -ENOMEM)
		NL_SET_BAD_ATTR(info->extack, attrs[HOODY_A_PROFILE]);
	return err;
}

int hoody_netlink_profile_del(struct sk_buff *skb, struct genl_info *info)
{
	const char *name = profile_name(info);
	struct hoody_registry *registry;
	u64 generation = 0;
	int err;

	if (!name)
		return -EINVAL;
	if (info->attrs[HOODY_A_GENERATION])
		generation = nla_get_u64(info->attrs[HOODY_A_GENERATION]);
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry)
		return -ENOMEM;
	err = hoody_profile_delete(registry, name, generation, info->extack);
	hoody_netlink_unlock(registry);
	if (err)
		NL_SET_BAD_ATTR(info->extack, info->attrs[err == -ESTALE ? HOODY_A_GENERATION :
							  HOODY_A_PROFILE]);
	return err;
}

static int put_profile(struct sk_buff *skb, const struct hoody_profile *profile)
{
	if (nla_put_string(skb, HOODY_A_PROFILE, profile->name) ||
	    nla_put_u64_64bit(skb, HOODY_A_GENERATION, profile->generation, HOODY_A_PAD) ||
	    nla_put_u32(skb, HOODY_A_USERS, profile->users))
		return -EMSGSIZE;
	return 0;
}

/* The message with the table of @profile. Under hoody_net.lock, as its writers are. */
static struct sk_buff *profile_reply(struct genl_info *info, const struct hoody_profile *profile)
{
	const struct gate_table *table = rcu_dereference_protected(profile->table, true);
	struct sk_buff *reply;
	void *header;

	reply = genlmsg_new(NLMSG_DEFAULT_SIZE + table->head.size, GFP_KERNEL);
	if (!reply)
		return ERR_PTR(-ENOMEM);
	header = genlmsg_put_reply(reply, info, &hoody_family, 0, HOODY_CMD_PROFILE_GET);
	if (!header || put_profile(reply, profile) ||
	    nla_put(reply, HOODY_A_TABLE, table->head.size, &table->head)) {
		nlmsg_free(reply);
		return ERR_PTR(-EMSGSIZE);
	}
	genlmsg_end(reply, header);
	return reply;
}

int hoody_netlink_profile_get(struct sk_buff *skb, struct genl_info *info)
{
	const char *name = profile_name(info);
	struct sk_buff *reply = ERR_PTR(-ENOENT);
	struct hoody_profile *profile;
	struct hoody_registry *registry;

	if (!name)
		return -EINVAL;
	registry = hoody_main_registry(genl_info_net(info));
	if (registry) {
		mutex_lock(&hoody_main_net(registry->net)->lock);
		profile = hoody_profile_find(registry, name);
		if (profile)
			reply = profile_reply(info, profile);
		hoody_netlink_unlock(registry);
	}
	if (!IS_ERR(reply))
		return genlmsg_reply(reply, info);
	if (PTR_ERR(reply) == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_PROFILE], "no such profile");
	return PTR_ERR(reply);
}

/* Goes on behind as many profiles as were told: cb->args[0]. */
int hoody_netlink_profile_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(skb->sk));
	struct hoody_profile *profile;
	long index = 0;
	int err = 0;

	if (!registry)
		return 0;
	mutex_lock(&hoody_main_net(registry->net)->lock);
	cb->seq = registry->changes;
	list_for_each_entry(profile, &registry->profiles, node) {
		void *header;

		if (index++ < cb->args[0])
			continue;
		header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				     &hoody_family, NLM_F_MULTI, HOODY_CMD_PROFILE_GET);
		err = -EMSGSIZE;
		if (!header)
			break;
		genl_dump_check_consistent(cb, header);
		err = put_profile(skb, profile);
		if (err) {
			genlmsg_cancel(skb, header);
			break;
		}
		genlmsg_end(skb, header);
		cb->args[0] = index;
	}
	hoody_netlink_unlock(registry);
	return skb->len ?: err;
}

static int put_count(struct sk_buff *skb, struct netlink_callback *cb, unsigned int call, u64 count)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &hoody_family, NLM_F_MULTI, HOODY_CMD_GATE_GET);

	if (!header)
		return -EMSGSIZE;
	if (nla_put_u32(skb, HOODY_A_ARCH, call / HOODY_TABLE_CALLS) ||
	    nla_put_u32(skb, HOODY_A_SYSCALL, call % HOODY_TABLE_CALLS) ||
	    nla_put_u64_64bit(skb, HOODY_A_COUNT, count, HOODY_A_PAD)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* Goes on at the call that did not fit any more: cb->args[0]. */
int hoody_netlink_gate_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(skb->sk));
	struct genl_info *info = (struct genl_info *)genl_info_dump(cb);
	struct hoody_container *container;
	struct gate_member *member;
	unsigned int call;
	int err = 0;

	if (!info->attrs[HOODY_A_ID]) {
		NL_SET_ERR_ATTR_MISS(cb->extack, NULL, HOODY_A_ID);
		NL_SET_ERR_MSG(cb->extack, "a required attribute is missing");
		return -EINVAL;
	}
	rcu_read_lock();
	container = registry ? hoody_container_find(registry, nla_data(info->attrs[HOODY_A_ID])) :
			       NULL;
	if (!container) {
		NL_SET_ERR_MSG_ATTR(cb->extack, info->attrs[HOODY_A_ID], "no such container");
		err = -ENOENT;
		goto out;
	}
	member = rcu_dereference(container->policy)->gate;
	for (call = cb->args[0]; member && call < GATE_CALLS; call++) {
		u64 count = hoody_gate_count(member, call);

		if (count && put_count(skb, cb, call, count))
			break;
	}
	cb->args[0] = call;
out:
	rcu_read_unlock();
	return err ?: skb->len;
}

/* From the gate's worker: tells the group "events" of one call. */
void hoody_netlink_gate_event(struct hoody_registry *registry, const struct hoody_gate_event *event)
{
	struct sk_buff *skb;
	void *header;

	if (!genl_has_listeners(&hoody_family, registry->net, 0))
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		goto err_lost;
	header = genlmsg_put(skb, 0, 0, &hoody_family, 0, HOODY_CMD_EVENT);
	if (!header ||
	    nla_put_u32(skb, HOODY_A_EVENT, HOODY_EVENT_GATE) ||
	    nla_put(skb, HOODY_A_ID, HOODY_ID_LEN, event->id) ||
	    nla_put_u32(skb, HOODY_A_GATE_MODE, event->mode) ||
	    nla_put_u32(skb, HOODY_A_PID, event->pid) ||
	    nla_put_string(skb, HOODY_A_COMM, event->comm) ||
	    nla_put_u32(skb, HOODY_A_ARCH, event->arch) ||
	    nla_put_u32(skb, HOODY_A_SYSCALL, event->nr) ||
	    nla_put(skb, HOODY_A_ARGS, sizeof(event->args), event->args) ||
	    nla_put_u32(skb, HOODY_A_ACTION, event->verdict) ||
	    nla_put_u64_64bit(skb, HOODY_A_COUNT, event->left_out, HOODY_A_PAD))
		goto err_free;
	genlmsg_end(skb, header);
	genlmsg_multicast_netns(&hoody_family, registry->net, skb, 0, 0, GFP_KERNEL);
	return;

err_free:
	nlmsg_free(skb);
err_lost:
	hoody_stat_inc(registry, HOODY_STAT_EVENTS_LOST);
}
