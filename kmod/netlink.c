// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: its commands, dumps and events. message.c turns
 * messages into policies and back; the uAPI header is the contract of both.
 *
 * Fail direction: what is not understood completely is refused and changes
 * nothing; every refusal names the attribute.
 */
#include <linux/cgroup.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "gate.h"
#include "ksm.h"
#include "message.h"

static const struct nla_policy set_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_ID]		= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
	[HOODY_A_PROJECT]	= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
	[HOODY_A_GENERATION]	= NLA_POLICY_MIN(NLA_U64, 1),
	[HOODY_A_ADDR4]		= NLA_POLICY_EXACT_LEN(sizeof(struct in_addr)),
	[HOODY_A_ADDR6]		= NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),
	[HOODY_A_CGROUP]	= { .type = NLA_U64 },
	[HOODY_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, HOODY_CONTAINER_FLAGS_ALL),
	[HOODY_A_MODE]		= NLA_POLICY_MAX(NLA_U32, HOODY_SET_MAX),
	[HOODY_A_PROFILE]	= { .type = NLA_NUL_STRING, .len = HOODY_PROFILE_NAME_MAX },
	[HOODY_A_GATE_MODE]	= NLA_POLICY_MAX(NLA_U32, HOODY_GATE_MAX),
};

static const struct nla_policy del_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_ID]		= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
	[HOODY_A_GENERATION]	= NLA_POLICY_MIN(NLA_U64, 1),
};

static const struct nla_policy get_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_ID]		= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
};

static const struct nla_policy agent_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_CGROUP]	= { .type = NLA_U64 },
};

static const struct nla_policy none_policy[HOODY_A_MAX + 1] = {};

/*
 * The registry that @net writes to, made where it is missing. NULL: no memory.
 * hoody_net.lock is held on return.
 */
struct hoody_registry *hoody_netlink_lock(struct net *net)
{
	struct hoody_net *hoody = hoody_main_net(net);
	struct hoody_registry *registry;

	mutex_lock(&hoody->lock);
	registry = hoody_main_registry(net);
	if (!registry) {
		registry = hoody_container_registry_create(net);
		rcu_assign_pointer(hoody->registry, registry);
	}
	if (!registry)
		mutex_unlock(&hoody->lock);
	return registry;
}

void hoody_netlink_unlock(struct hoody_registry *registry)
{
	mutex_unlock(&hoody_main_net(registry->net)->lock);
}

/* Tells the group "events". @policy is NULL for the agent's event. */
static void event_send(struct hoody_registry *registry, enum hoody_event event, const u8 *id,
		       const struct hoody_policy *policy, u64 cgroup)
{
	struct sk_buff *skb;
	void *header;

	if (!genl_has_listeners(&hoody_family, registry->net, 0))
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		goto err_lost;
	header = genlmsg_put(skb, 0, 0, &hoody_family, 0, HOODY_CMD_EVENT);
	if (!header || nla_put_u32(skb, HOODY_A_EVENT, event))
		goto err_free;
	if (policy) {
		if (nla_put(skb, HOODY_A_ID, HOODY_ID_LEN, id) ||
		    nla_put(skb, HOODY_A_PROJECT, HOODY_ID_LEN, policy->project) ||
		    nla_put_u64_64bit(skb, HOODY_A_GENERATION, policy->generation, HOODY_A_PAD))
			goto err_free;
	} else if (nla_put_u64_64bit(skb, HOODY_A_CGROUP, cgroup, HOODY_A_PAD)) {
		goto err_free;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast_netns(&hoody_family, registry->net, skb, 0, 0, GFP_KERNEL);
	return;

err_free:
	nlmsg_free(skb);
err_lost:
	hoody_stat_inc(registry, HOODY_STAT_EVENTS_LOST);
}

static int container_set(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_addr conflict = {};
	struct hoody_registry *registry;
	struct hoody_policy *policy;
	u32 mode = HOODY_SET_ANY, gate_mode;
	const char *profile;
	const u8 *id;
	int err;

	policy = kzalloc(sizeof(*policy), GFP_KERNEL_ACCOUNT);
	if (!policy)
		return -ENOMEM;
	err = hoody_message_policy(info, policy) ?:
	      hoody_netlink_gate_parse(info, &profile, &gate_mode);
	if (err)
		goto err_free;
	id = nla_data(info->attrs[HOODY_A_ID]);
	if (info->attrs[HOODY_A_MODE])
		mode = nla_get_u32(info->attrs[HOODY_A_MODE]);
	err = -ENOMEM;
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry)
		goto err_free;
	if (profile) {
		policy->gate = hoody_gate_create(registry, id, profile, gate_mode, policy->cgroup,
						 info->extack);
		if (IS_ERR(policy->gate)) {
			err = PTR_ERR(policy->gate);
			NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_PROFILE]);
			goto err_unlock;
		}
	}
	err = hoody_container_set(registry, id, policy, mode, info->extack, &conflict);
	if (!err) {	/* under the lock: events come in the order of the changes */
		event_send(registry, HOODY_EVENT_CONTAINER_SET, id, policy, 0);
		hoody_netlink_unlock(registry);
		return 0;
	}
	hoody_gate_discard(policy->gate);
	if (err == -EADDRINUSE)
		hoody_message_blame(info, &conflict);
	else if (err == -EBUSY)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_CGROUP]);
	else if (err == -ESTALE)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_GENERATION]);
	else if (err == -ENOENT || err == -EEXIST)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_ID]);
err_unlock:
	hoody_netlink_unlock(registry);
err_free:
	kfree(policy);
	return err;
}

static int container_del(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_registry *registry;
	struct hoody_policy gone;
	u64 generation = 0;
	const u8 *id;
	int err;

	if (!hoody_message_required(info, HOODY_A_ID))
		return -EINVAL;
	err = hoody_message_validate(info) ?:
	      hoody_message_id_validate(info->attrs[HOODY_A_ID], info->extack);
	if (err)
		return err;
	if (info->attrs[HOODY_A_GENERATION])
		generation = nla_get_u64(info->attrs[HOODY_A_GENERATION]);
	id = nla_data(info->attrs[HOODY_A_ID]);
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry)
		return -ENOMEM;
	err = hoody_container_delete(registry, id, generation, &gone, info->extack);
	if (!err)
		event_send(registry, HOODY_EVENT_CONTAINER_DEL, id, &gone, 0);
	hoody_netlink_unlock(registry);
	if (err == -ESTALE)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_GENERATION]);
	else if (err)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_ID]);
	return err;
}

static int container_get(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_registry *registry = hoody_main_registry(genl_info_net(info));
	struct hoody_container *container;
	struct sk_buff *reply;
	void *header;
	int err;

	if (!hoody_message_required(info, HOODY_A_ID))
		return -EINVAL;
	err = hoody_message_validate(info) ?:
	      hoody_message_id_validate(info->attrs[HOODY_A_ID], info->extack);
	if (err)
		return err;
	reply = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	header = genlmsg_put_reply(reply, info, &hoody_family, 0, HOODY_CMD_CONTAINER_GET);
	if (!header) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	rcu_read_lock();
	container = registry ? hoody_container_find(registry,
						    nla_data(info->attrs[HOODY_A_ID])) : NULL;
	err = -ENOENT;
	if (container)
		err = hoody_message_put(reply, container->id, rcu_dereference(container->policy));
	rcu_read_unlock();
	if (err) {
		if (err == -ENOENT)
			NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_ID],
					    "no such container");
		nlmsg_free(reply);
		return err;
	}
	genlmsg_end(reply, header);
	return genlmsg_reply(reply, info);
}

/* Goes on at the slot that did not fit any more: cb->args[0]. */
static int container_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(skb->sk));
	struct hoody_container *container;
	unsigned long slot;
	int err = 0;

	if (!registry)
		return 0;
	mutex_lock(&hoody_main_net(registry->net)->lock);
	cb->seq = registry->changes;
	xa_for_each_start(&registry->slots, slot, container, cb->args[0]) {
		void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
					   &hoody_family, NLM_F_MULTI, HOODY_CMD_CONTAINER_GET);

		err = -EMSGSIZE;
		if (!header)
			break;
		genl_dump_check_consistent(cb, header);
		err = hoody_message_put(skb, container->id,
				    rcu_dereference_protected(container->policy, true));
		if (err) {
			genlmsg_cancel(skb, header);
			break;
		}
		genlmsg_end(skb, header);
		cb->args[0] = slot + 1;
	}
	hoody_netlink_unlock(registry);
	return skb->len ?: err;
}

static struct hoody_agent *agent_create(struct genl_info *info, u64 id)
{
	struct hoody_agent *agent = kzalloc(sizeof(*agent), GFP_KERNEL_ACCOUNT);

	if (!agent)
		return ERR_PTR(-ENOMEM);
	agent->cgroup_id = id;
	agent->cgroup = cgroup_get_from_id(id);
	if (IS_ERR(agent->cgroup)) {
		kfree(agent);
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_CGROUP],
				    "no cgroup (v2) has this id");
		return ERR_PTR(-ENOENT);
	}
	/* The root has every process of the host below it. */
	if (!cgroup_parent(agent->cgroup)) {
		cgroup_put(agent->cgroup);
		kfree(agent);
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_CGROUP],
				    "the root cgroup cannot be the agent's: give it one of its own");
		return ERR_PTR(-EINVAL);
	}
	return agent;
}

static int agent_set(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_agent *agent = NULL, *before;
	struct hoody_registry *registry;
	u64 id;
	int err;

	if (!hoody_message_required(info, HOODY_A_CGROUP))
		return -EINVAL;
	err = hoody_message_validate(info);
	if (err)
		return err;
	id = nla_get_u64(info->attrs[HOODY_A_CGROUP]);
	if (id) {
		agent = agent_create(info, id);
		if (IS_ERR(agent))
			return PTR_ERR(agent);
	}
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry) {
		if (agent) {
			cgroup_put(agent->cgroup);
			kfree(agent);
		}
		return -ENOMEM;
	}
	before = rcu_replace_pointer(registry->agent, agent, true);
	event_send(registry, HOODY_EVENT_AGENT_SET, NULL, NULL, id);
	hoody_netlink_unlock(registry);
	if (before) {
		/* Who was the agent may not use the option any more when this returns. */
		synchronize_rcu();
		cgroup_put(before->cgroup);
		kfree(before);
	}
	return 0;
}

static int agent_get(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_registry *registry = hoody_main_registry(genl_info_net(info));
	struct hoody_agent *agent;
	struct sk_buff *reply;
	u32 containers = 0;
	u64 cgroup = 0;
	void *header;

	reply = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	if (registry) {
		rcu_read_lock();
		agent = rcu_dereference(registry->agent);
		cgroup = agent ? agent->cgroup_id : 0;
		containers = READ_ONCE(registry->containers);
		rcu_read_unlock();
	}
	header = genlmsg_put_reply(reply, info, &hoody_family, 0, HOODY_CMD_AGENT_GET);
	if (!header ||
	    nla_put_string(reply, HOODY_A_VERSION, HOODY_VERSION) ||
	    nla_put_u32(reply, HOODY_A_PROTOCOL, HOODY_GENL_VERSION) ||
	    nla_put_u64_64bit(reply, HOODY_A_CGROUP, cgroup, HOODY_A_PAD) ||
	    nla_put_u32(reply, HOODY_A_CONTAINERS, containers) ||
	    nla_put_u32(reply, HOODY_A_MAX_CONTAINERS, hoody_container_max())) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, header);
	return genlmsg_reply(reply, info);
}

static const char *const stat_names[] = {
	[HOODY_STAT_REALIP_PORT_KEPT]	 = "realip_port_kept",
	[HOODY_STAT_REALIP_PORT_OTHER]	 = "realip_port_other",
	[HOODY_STAT_REALIP_OPEN]	 = "realip_open",
	[HOODY_STAT_REALIP_DENIED]	 = "realip_denied",
	[HOODY_STAT_REALIP_NO_CONTAINER] = "realip_no_container",
	[HOODY_STAT_REALIP_BAD_CLIENT]	 = "realip_bad_client",
	[HOODY_STAT_REALIP_FAILED]	 = "realip_failed",
	[HOODY_STAT_REALIP_ICMP]	 = "realip_icmp",
	[HOODY_STAT_REALIP_BRIDGED]	 = "realip_bridged",
	[HOODY_STAT_REALIP_PAIR_TAKEN]	 = "realip_pair_taken",
	[HOODY_STAT_EVENTS_LOST]	 = "events_lost",
	[HOODY_STAT_GATE_REFUSED]	 = "gate_refused",
	[HOODY_STAT_GATE_LEARNED]	 = "gate_learned",
	[HOODY_STAT_GATE_LOGGED]	 = "gate_logged",
	[HOODY_STAT_GATE_HOOKED]	 = "gate_hooked",
};
static_assert(ARRAY_SIZE(stat_names) == __HOODY_STAT_MAX);

static u64 stat_sum(struct hoody_registry *registry, unsigned int stat)
{
	u64 sum = 0;
	int cpu;

	if (stat == HOODY_STAT_GATE_HOOKED)
		return hoody_gate_hooked();
	if (registry)
		for_each_possible_cpu(cpu)
			sum += READ_ONCE(per_cpu_ptr(registry->stats, cpu)->count[stat]);
	return sum;
}

static int stats_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(skb->sk));
	unsigned int stat;

	for (stat = cb->args[0] ?: 1; stat < __HOODY_STAT_MAX; stat++) {
		void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
					   &hoody_family, NLM_F_MULTI, HOODY_CMD_STATS_GET);

		if (!header)
			break;
		if (nla_put_u32(skb, HOODY_A_STAT_ID, stat) ||
		    nla_put_string(skb, HOODY_A_STAT_NAME, stat_names[stat]) ||
		    nla_put_u64_64bit(skb, HOODY_A_STAT_VALUE, stat_sum(registry, stat),
				      HOODY_A_PAD)) {
			genlmsg_cancel(skb, header);
			break;
		}
		genlmsg_end(skb, header);
	}
	cb->args[0] = stat;
	return skb->len;
}

/* A client of another protocol may mean something else by the same message. */
static int version_validate(const struct genlmsghdr *header, struct netlink_ext_ack *extack)
{
	if (header->version == HOODY_GENL_VERSION)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "protocol version %u is unknown: this module speaks %u",
			   header->version, HOODY_GENL_VERSION);
	return -EPROTONOSUPPORT;
}

static int do_start(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info)
{
	return version_validate(info->genlhdr, info->extack);
}

static int dump_start(struct netlink_callback *cb)
{
	return version_validate(nlmsg_data(cb->nlh), cb->extack);
}

#define OP_DO(command, function, attrs)						\
	{									\
		.cmd = (command), .pre_doit = do_start, .doit = (function),	\
		.policy = (attrs), .maxattr = HOODY_A_MAX,			\
		.flags = GENL_ADMIN_PERM | GENL_CMD_CAP_DO,			\
	}

#define OP_DUMP(command, function, attrs)					\
	{									\
		.cmd = (command), .start = dump_start, .dumpit = (function),	\
		.policy = (attrs), .maxattr = HOODY_A_MAX,			\
		.flags = GENL_ADMIN_PERM | GENL_CMD_CAP_DUMP,			\
	}

static const struct genl_split_ops hoody_ops[] = {
	OP_DO(HOODY_CMD_CONTAINER_SET, container_set, set_policy),
	OP_DO(HOODY_CMD_CONTAINER_DEL, container_del, del_policy),
	OP_DO(HOODY_CMD_CONTAINER_GET, container_get, get_policy),
	OP_DUMP(HOODY_CMD_CONTAINER_GET, container_dump, none_policy),
	OP_DO(HOODY_CMD_AGENT_SET, agent_set, agent_policy),
	OP_DO(HOODY_CMD_AGENT_GET, agent_get, none_policy),
	OP_DUMP(HOODY_CMD_STATS_GET, stats_dump, none_policy),
	OP_DO(HOODY_CMD_PROFILE_SET, hoody_netlink_profile_set, hoody_profile_policy),
	OP_DO(HOODY_CMD_PROFILE_DEL, hoody_netlink_profile_del, hoody_profile_name_policy),
	OP_DO(HOODY_CMD_PROFILE_GET, hoody_netlink_profile_get, hoody_profile_name_policy),
	OP_DUMP(HOODY_CMD_PROFILE_GET, hoody_netlink_profile_dump, none_policy),
	OP_DUMP(HOODY_CMD_GATE_GET, hoody_netlink_gate_dump, get_policy),
	OP_DO(HOODY_CMD_KSM_SET, hoody_netlink_ksm_set, hoody_ksm_policy),
	OP_DO(HOODY_CMD_KSM_GET, hoody_netlink_ksm_get, get_policy),
	OP_DUMP(HOODY_CMD_KSM_GET, hoody_netlink_ksm_dump, none_policy),
};

static const struct genl_multicast_group hoody_groups[] = {
	{ .name = HOODY_GENL_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

struct genl_family hoody_family __ro_after_init = {
	.name		= HOODY_GENL_NAME,
	.version	= HOODY_GENL_VERSION,
	.maxattr	= HOODY_A_MAX,
	.module		= THIS_MODULE,
	.netnsok	= true,
	.parallel_ops	= true,		/* hoody_net.lock orders the writers */
	.split_ops	= hoody_ops,
	.n_split_ops	= ARRAY_SIZE(hoody_ops),
	.mcgrps		= hoody_groups,
	.n_mcgrps	= ARRAY_SIZE(hoody_groups),
	.resv_start_op	= HOODY_CMD_UNSPEC + 1,
};

int __init hoody_netlink_init(void)
{
	return genl_register_family(&hoody_family);
}

void hoody_netlink_exit(void)
{
	genl_unregister_family(&hoody_family);
}
