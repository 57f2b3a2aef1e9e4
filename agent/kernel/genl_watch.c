// SPDX-License-Identifier: Apache-2.0
/*
 * Whether the module is there: the family is looked up, and the controller's
 * multicast group "notify" tells when families come and go, see genl.h.
 */
#include "kernel/genl_internal.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int on_notification(struct nl_msg *message, void *arg)
{
	struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attrs[CTRL_ATTR_MAX + 1];
	struct knl *knl = arg;

	/* Checks the length, too: before it there need not be a header. */
	if (genlmsg_parse(nlmsg_hdr(message), 0, attrs, CTRL_ATTR_MAX, NULL) == 0 &&
	    (header->cmd == CTRL_CMD_NEWFAMILY || header->cmd == CTRL_CMD_DELFAMILY) &&
	    attrs[CTRL_ATTR_FAMILY_NAME] &&
	    !nla_strcmp(attrs[CTRL_ATTR_FAMILY_NAME], HOODY_GENL_NAME))
		knl->family_changed = true;
	return NL_OK;
}

/* Without the watch the agent still sees changes, when it probes by its timer. */
static void watch_open(struct knl *knl)
{
	int group;

	knl->watch = nl_socket_alloc();
	if (!knl->watch)
		return;
	nl_socket_disable_seq_check(knl->watch);
	nl_socket_modify_cb(knl->watch, NL_CB_VALID, NL_CB_CUSTOM, on_notification, knl);
	if (genl_connect(knl->watch) < 0)
		goto err_free;
	group = genl_ctrl_resolve_grp(knl->socket, "nlctrl", "notify");
	if (group < 0 || nl_socket_add_memberships(knl->watch, group, 0) < 0 ||
	    nl_socket_set_nonblocking(knl->watch) < 0)
		goto err_free;
	return;

err_free:
	nl_socket_free(knl->watch);
	knl->watch = NULL;
}

struct knl *knl_open(void)
{
	struct knl *knl = calloc(1, sizeof(*knl));

	if (!knl)
		return NULL;
	knl->protocol = HOODY_GENL_VERSION;
	if (knl_socket_open(knl)) {
		free(knl);
		errno = EPROTONOSUPPORT;
		return NULL;
	}
	watch_open(knl);
	knl_probe(knl);
	return knl;
}

void knl_close(struct knl *knl)
{
	if (!knl)
		return;
	nl_socket_free(knl->events);
	nl_socket_free(knl->watch);
	nl_socket_free(knl->socket);
	free(knl);
}

enum knl_state knl_probe(struct knl *knl)
{
	int ret;

	knl->state = KNL_ABSENT;
	if (!knl->socket && knl_socket_open(knl)) {
		snprintf(knl->reason, sizeof(knl->reason), "%.200s", knl->fault);
		return knl->state;
	}
	knl->family = genl_ctrl_resolve(knl->socket, HOODY_GENL_NAME);
	if (knl->family < 0) {
		snprintf(knl->reason, sizeof(knl->reason),
			 "the kernel module hoody is not loaded: modprobe hoody");
		return knl->state;
	}
	knl->probing = true;
	ret = knl_info_get(knl);
	knl->probing = false;
	if (ret == -EPERM) {
		snprintf(knl->reason, sizeof(knl->reason),
			 "the module refuses this process: CAP_NET_ADMIN in the initial user namespace is needed");
		return knl->state;
	}
	/* It refuses requests of a version that is not its own. */
	if (ret == -EPROTONOSUPPORT) {
		snprintf(knl->reason, sizeof(knl->reason),
			 "the module does not speak protocol %u of this agent: install module and agent of one release",
			 knl->protocol);
		knl->state = KNL_INCOMPATIBLE;
		return knl->state;
	}
	if (ret) {
		snprintf(knl->reason, sizeof(knl->reason), "the module does not answer: %.200s",
			 knl->fault);
		return knl->state;
	}
	if (knl->info.protocol != knl->protocol) {
		snprintf(knl->reason, sizeof(knl->reason),
			 "module %s speaks protocol %u, this agent %u: install module and agent of one release",
			 knl->info.version, knl->info.protocol, knl->protocol);
		knl->state = KNL_INCOMPATIBLE;
		return knl->state;
	}
	knl->reason[0] = '\0';
	knl->state = KNL_READY;
	knl_events_join(knl);
	return knl->state;
}

enum knl_state knl_state(const struct knl *knl)
{
	return knl->state;
}

const char *knl_reason(const struct knl *knl)
{
	return knl->reason;
}

const struct knl_info *knl_info(const struct knl *knl)
{
	return &knl->info;
}

int knl_fd(const struct knl *knl)
{
	return knl->watch ? nl_socket_get_fd(knl->watch) : -1;
}

bool knl_events(struct knl *knl)
{
	int ret;

	knl->family_changed = false;
	if (!knl->watch)
		return false;
	do {
		ret = nl_recvmsgs_default(knl->watch);
	} while (ret >= 0);
	/* Lost notifications (a full buffer) may have been about ours. */
	if (ret == -NLE_NOMEM)
		knl->family_changed = true;
	return knl->family_changed;
}
