// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink messages into policies, and policies into messages. netlink.c calls
 * it; nothing here takes a lock or changes the registry.
 *
 * Fail direction: what is not understood completely is refused, and the
 * acknowledgement says why and which attribute is at fault.
 */
#include <linux/cgroup.h>
#include <net/genetlink.h>

#include "gate.h"
#include "message.h"

int hoody_message_id_validate(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	if (memchr_inv(nla_data(attr), 0, HOODY_ID_LEN))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, attr, "id is all zero");
	return -EINVAL;
}

/* The attribute, or NULL with the acknowledgement saying that it is missing. */
struct nlattr *hoody_message_required(struct genl_info *info, enum hoody_attr attr)
{
	if (!info->attrs[attr]) {
		NL_SET_ERR_ATTR_MISS(info->extack, NULL, attr);
		NL_SET_ERR_MSG(info->extack, "a required attribute is missing");
	}
	return info->attrs[attr];
}

/*
 * What netlink's own check lets pass: attributes that are no lists stand once
 * (it would take the last one), and none is in another byte order than ours.
 */
int hoody_message_validate(struct genl_info *info)
{
	const struct nlattr *attr;
	u64 seen = 0;
	int rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		int type = nla_type(attr);

		if (attr->nla_type & NLA_F_NET_BYTEORDER) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "attribute must be in host byte order");
			return -EINVAL;
		}
		if (type == HOODY_A_ADDR4 || type == HOODY_A_ADDR6 || type == HOODY_A_KSM_NAME)
			continue;
		if (seen & BIT_ULL(type)) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "attribute stands twice");
			return -EINVAL;
		}
		seen |= BIT_ULL(type);
	}
	BUILD_BUG_ON(HOODY_A_MAX >= 64);
	return 0;
}

static int parse_addr(struct genl_info *info, struct hoody_policy *policy,
		      const struct nlattr *attr, bool v4)
{
	struct hoody_addr *addr = &policy->addrs[policy->addrs_count];
	unsigned int i, same = 0;
	bool own;

	addr->family = v4 ? AF_INET : AF_INET6;
	memcpy(&addr->ip, nla_data(attr), nla_len(attr));
	for (i = 0; i < policy->addrs_count; i++)
		same += policy->addrs[i].family == addr->family;
	if (same == HOODY_MAX_ADDRS) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "more than 8 addresses of one family");
		return -E2BIG;
	}
	if (hoody_policy_has_addr(policy, addr)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "address stands twice");
		return -EINVAL;
	}
	if (!hoody_realip_addr_usable(genl_info_net(info), addr, &own)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "no address that a container can have");
		return -EINVAL;
	}
	if (own) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "address is one of this host");
		return -EADDRINUSE;
	}
	policy->addrs_count++;
	return 0;
}

static int parse_addrs(struct genl_info *info, struct hoody_policy *policy)
{
	const struct nlattr *attr;
	int err, rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attr) != HOODY_A_ADDR4 && nla_type(attr) != HOODY_A_ADDR6)
			continue;
		err = parse_addr(info, policy, attr, nla_type(attr) == HOODY_A_ADDR4);
		if (err)
			return err;
	}
	return 0;
}

/* Checks that there is a cgroup with this id. */
static int cgroup_validate(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	struct cgroup *cgroup = cgroup_get_from_id(nla_get_u64(attr));

	if (IS_ERR(cgroup)) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "no cgroup (v2) has this id");
		return -ENOENT;
	}
	cgroup_put(cgroup);
	return 0;
}

int hoody_message_policy(struct genl_info *info, struct hoody_policy *policy)
{
	struct nlattr **attrs = info->attrs;
	int err;

	if (!hoody_message_required(info, HOODY_A_ID) ||
	    !hoody_message_required(info, HOODY_A_PROJECT) ||
	    !hoody_message_required(info, HOODY_A_GENERATION))
		return -EINVAL;
	err = hoody_message_validate(info) ?:
	      hoody_message_id_validate(attrs[HOODY_A_ID], info->extack) ?:
	      hoody_message_id_validate(attrs[HOODY_A_PROJECT], info->extack);
	if (err)
		return err;
	memcpy(policy->project, nla_data(attrs[HOODY_A_PROJECT]), HOODY_ID_LEN);
	policy->generation = nla_get_u64(attrs[HOODY_A_GENERATION]);
	if (attrs[HOODY_A_FLAGS])
		policy->flags = nla_get_u32(attrs[HOODY_A_FLAGS]);
	if (attrs[HOODY_A_CGROUP])
		policy->cgroup = nla_get_u64(attrs[HOODY_A_CGROUP]);
	if (policy->cgroup) {
		err = cgroup_validate(attrs[HOODY_A_CGROUP], info->extack);
		if (err)
			return err;
	}
	return parse_addrs(info, policy);
}

/* Points the acknowledgement at the attribute that holds @addr. */
void hoody_message_blame(struct genl_info *info, const struct hoody_addr *addr)
{
	const struct nlattr *attr;
	int rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest)
		if (nla_type(attr) == (addr->family == AF_INET ? HOODY_A_ADDR4 : HOODY_A_ADDR6) &&
		    !memcmp(nla_data(attr), &addr->ip, nla_len(attr)))
			NL_SET_BAD_ATTR(info->extack, attr);
}

/* -EMSGSIZE: it does not fit. */
int hoody_message_put(struct sk_buff *skb, const u8 *id, const struct hoody_policy *policy)
{
	unsigned int i;

	if (nla_put(skb, HOODY_A_ID, HOODY_ID_LEN, id) ||
	    nla_put(skb, HOODY_A_PROJECT, HOODY_ID_LEN, policy->project) ||
	    nla_put_u64_64bit(skb, HOODY_A_GENERATION, policy->generation, HOODY_A_PAD) ||
	    nla_put_u64_64bit(skb, HOODY_A_CGROUP, policy->cgroup, HOODY_A_PAD) ||
	    nla_put_u32(skb, HOODY_A_FLAGS, policy->flags))
		return -EMSGSIZE;
	for (i = 0; i < policy->addrs_count; i++) {
		bool v4 = policy->addrs[i].family == AF_INET;

		if (nla_put(skb, v4 ? HOODY_A_ADDR4 : HOODY_A_ADDR6,
			    v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr),
			    &policy->addrs[i].ip))
			return -EMSGSIZE;
	}
	return policy->gate ? hoody_netlink_gate_put(skb, policy->gate) : 0;
}
