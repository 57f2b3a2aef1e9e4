// SPDX-License-Identifier: GPL-2.0-only
/* Memory merging as netlink messages; what they mean is in linux/hoody.h. */
#include <net/genetlink.h>
#include <net/sock.h>

#include "ksm.h"
#include "message.h"

const struct nla_policy hoody_ksm_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_ID]		= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
	[HOODY_A_KSM_MODE]	= NLA_POLICY_MAX(NLA_U32, HOODY_KSM_MODE_MAX),
	[HOODY_A_KSM_DOMAIN]	= NLA_POLICY_EXACT_LEN(HOODY_ID_LEN),
	[HOODY_A_KSM_NAME]	= { .type = NLA_NUL_STRING, .len = TASK_COMM_LEN - 1 },
};

static int parse_names(struct genl_info *info, struct hoody_ksm_wish *wish)
{
	const struct nlattr *attr;
	int rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attr) != HOODY_A_KSM_NAME)
			continue;
		if (wish->names_count == HOODY_KSM_NAMES_MAX) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "more than 16 names");
			return -E2BIG;
		}
		if (!*(const char *)nla_data(attr)) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "a name is empty");
			return -EINVAL;
		}
		nla_strscpy(wish->names[wish->names_count++], attr, TASK_COMM_LEN);
	}
	return 0;
}

/* Of a registered container: its cgroup, and its project where @domain is missing. */
static int container_look(struct hoody_registry *registry, struct genl_info *info, u64 *cgroup,
			  struct hoody_ksm_wish *wish)
{
	struct hoody_container *container;
	struct hoody_policy *policy;

	container = hoody_container_find(registry, nla_data(info->attrs[HOODY_A_ID]));
	if (!container) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_ID], "no such container");
		return -ENOENT;
	}
	policy = rcu_dereference_protected(container->policy, true);
	*cgroup = policy->cgroup;
	if (!info->attrs[HOODY_A_KSM_DOMAIN])
		memcpy(wish->domain, policy->project, HOODY_ID_LEN);
	return 0;
}

static int ksm_on(struct hoody_registry *registry, struct genl_info *info)
{
	struct nlattr *domain = info->attrs[HOODY_A_KSM_DOMAIN];
	struct hoody_ksm_wish wish = {};
	u64 cgroup;
	int err;

	if (domain) {
		err = hoody_message_id_validate(domain, info->extack);
		if (err)
			return err;
		memcpy(wish.domain, nla_data(domain), HOODY_ID_LEN);
	}
	err = parse_names(info, &wish) ?: container_look(registry, info, &cgroup, &wish);
	if (err)
		return err;
	err = hoody_ksm_set(registry, nla_data(info->attrs[HOODY_A_ID]), cgroup, &wish,
			    info->extack);
	if (err == -EBUSY)
		NL_SET_BAD_ATTR(info->extack, domain ?: info->attrs[HOODY_A_ID]);
	else if (err == -EINVAL)
		NL_SET_BAD_ATTR(info->extack, info->attrs[HOODY_A_ID]);
	return err;
}

int hoody_netlink_ksm_set(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_registry *registry;
	int err;

	if (!hoody_message_required(info, HOODY_A_ID) ||
	    !hoody_message_required(info, HOODY_A_KSM_MODE))
		return -EINVAL;
	err = hoody_message_validate(info) ?:
	      hoody_message_id_validate(info->attrs[HOODY_A_ID], info->extack);
	if (err)
		return err;
	registry = hoody_netlink_lock(genl_info_net(info));
	if (!registry)
		return -ENOMEM;
	if (nla_get_u32(info->attrs[HOODY_A_KSM_MODE]) == HOODY_KSM_ON) {
		err = ksm_on(registry, info);
	} else {
		err = hoody_ksm_clear(registry, nla_data(info->attrs[HOODY_A_ID]));
		if (err)
			NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_ID],
					    "memory of this container is not merged");
	}
	hoody_netlink_unlock(registry);
	return err;
}

static int put_mark(struct sk_buff *skb, const struct hoody_ksm_mark *mark)
{
	if (nla_put(skb, HOODY_A_ID, HOODY_ID_LEN, mark->id) ||
	    nla_put(skb, HOODY_A_KSM_DOMAIN, HOODY_ID_LEN, mark->wish.domain) ||
	    nla_put_u32(skb, HOODY_A_KSM_STATE, hoody_ksm_state(mark)) ||
	    nla_put(skb, HOODY_A_KSM_COUNTS, sizeof(mark->count), mark->count))
		return -EMSGSIZE;
	for (unsigned int i = 0; i < mark->wish.names_count; i++)
		if (nla_put_string(skb, HOODY_A_KSM_NAME, mark->wish.names[i]))
			return -EMSGSIZE;
	return 0;
}

static int put_reply(void *context, const struct hoody_ksm_mark *mark)
{
	/* NLMSG_DEFAULT_SIZE holds it several times over. */
	WARN_ON_ONCE(put_mark(context, mark));
	return 0;
}

int hoody_netlink_ksm_get(struct sk_buff *skb, struct genl_info *info)
{
	struct hoody_registry *registry = hoody_main_registry(genl_info_net(info));
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
	header = genlmsg_put_reply(reply, info, &hoody_family, 0, HOODY_CMD_KSM_GET);
	if (!header) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	if (!registry || !hoody_ksm_each(registry, nla_data(info->attrs[HOODY_A_ID]), 0, put_reply,
					 reply)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[HOODY_A_ID],
				    "memory of this container is not merged");
		nlmsg_free(reply);
		return -ENOENT;
	}
	genlmsg_end(reply, header);
	return genlmsg_reply(reply, info);
}

struct dump {
	struct sk_buff		*skb;
	struct netlink_callback	*cb;
};

static int put_dumped(void *context, const struct hoody_ksm_mark *mark)
{
	struct dump *dump = context;
	struct netlink_callback *cb = dump->cb;
	void *header = genlmsg_put(dump->skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &hoody_family, NLM_F_MULTI, HOODY_CMD_KSM_GET);

	if (!header)
		return -EMSGSIZE;
	if (put_mark(dump->skb, mark)) {
		genlmsg_cancel(dump->skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(dump->skb, header);
	return 0;
}

/* Goes on at the mark that did not fit any more: cb->args[0]. One that ends may hide another. */
int hoody_netlink_ksm_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(skb->sk));
	struct dump dump = { .skb = skb, .cb = cb };

	if (registry)
		cb->args[0] = hoody_ksm_each(registry, NULL, cb->args[0], put_dumped, &dump);
	return skb->len;
}
