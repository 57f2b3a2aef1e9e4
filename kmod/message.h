/* SPDX-License-Identifier: GPL-2.0-only */
/* What message.c does for netlink.c. Errors are negative and say why in info->extack. */
#ifndef _HOODY_MESSAGE_H
#define _HOODY_MESSAGE_H

#include <net/genetlink.h>

#include "hoody.h"

/* The attribute, or NULL with the acknowledgement saying that it is missing. */
struct nlattr *hoody_message_required(struct genl_info *info, enum hoody_attr attr);
int hoody_message_validate(struct genl_info *info);
/* That an id is not all zero; its length has been checked. */
int hoody_message_id_validate(const struct nlattr *attr, struct netlink_ext_ack *extack);
/* Fills the zeroed @policy from the message. */
int hoody_message_policy(struct genl_info *info, struct hoody_policy *policy);
/* Points the acknowledgement at the attribute that holds @addr. */
void hoody_message_blame(struct genl_info *info, const struct hoody_addr *addr);
int hoody_message_put(struct sk_buff *skb, const u8 *id, const struct hoody_policy *policy);

#endif /* _HOODY_MESSAGE_H */
