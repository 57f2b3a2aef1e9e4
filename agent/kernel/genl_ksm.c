// SPDX-License-Identifier: Apache-2.0
/* The requests about memory merging, see genl_ksm.h. */
#include "kernel/genl_ksm.h"
#include "kernel/genl_internal.h"

#include <errno.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <string.h>

int knl_ksm_set(struct knl *knl, const uint8_t id[ID_LEN], const struct knl_ksm_wish *wish)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_KSM_SET, NLM_F_ACK);
	struct knl_request request = { 0 };

	/* At most 16 short names: a tenth of the buffer. */
	if (message) {
		nla_put(message, HOODY_A_ID, ID_LEN, id);
		nla_put_u32(message, HOODY_A_KSM_MODE, HOODY_KSM_ON);
		nla_put(message, HOODY_A_KSM_DOMAIN, ID_LEN, wish->domain);
		for (unsigned int i = 0; i < wish->names_count; i++)
			nla_put_string(message, HOODY_A_KSM_NAME, wish->names[i]);
	}
	return knl_transact(knl, message, &request);
}

int knl_ksm_clear(struct knl *knl, const uint8_t id[ID_LEN])
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_KSM_SET, NLM_F_ACK);
	struct knl_request request = { 0 };
	int ret;

	if (message) {
		nla_put(message, HOODY_A_ID, ID_LEN, id);
		nla_put_u32(message, HOODY_A_KSM_MODE, HOODY_KSM_OFF);
	}
	ret = knl_transact(knl, message, &request);
	return ret == -ENOENT ? 0 : ret;
}

struct dump {
	void	(*each)(void *context, const struct knl_ksm *ksm);
	void	*context;
};

static void take_ksm(struct knl_request *request, struct nl_msg *message, struct nlattr **attrs)
{
	const struct dump *dump = request->context;
	struct knl_ksm ksm = { 0 };
	size_t size;

	if (!attrs[HOODY_A_ID] || nla_len(attrs[HOODY_A_ID]) != ID_LEN ||
	    !attrs[HOODY_A_KSM_DOMAIN] || nla_len(attrs[HOODY_A_KSM_DOMAIN]) != ID_LEN ||
	    !attrs[HOODY_A_KSM_STATE] || !attrs[HOODY_A_KSM_COUNTS])
		return;
	memcpy(ksm.id, nla_data(attrs[HOODY_A_ID]), ID_LEN);
	memcpy(ksm.domain, nla_data(attrs[HOODY_A_KSM_DOMAIN]), ID_LEN);
	ksm.state = nla_get_u32(attrs[HOODY_A_KSM_STATE]);
	size = nla_len(attrs[HOODY_A_KSM_COUNTS]);
	memcpy(ksm.count, nla_data(attrs[HOODY_A_KSM_COUNTS]),
	       size < sizeof(ksm.count) ? size : sizeof(ksm.count));
	dump->each(dump->context, &ksm);
}

int knl_ksm_dump(struct knl *knl, void (*each)(void *context, const struct knl_ksm *ksm),
		 void *context)
{
	struct dump dump = { each, context };
	struct knl_request request = { .each = take_ksm, .context = &dump };

	return knl_transact(knl, knl_message(knl, HOODY_CMD_KSM_GET, NLM_F_DUMP), &request);
}
