// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to the family "hoody" and their answers, see genl.h. One socket for
 * requests, strictly one at a time; a second one, in genl_watch.c, hears of
 * families that come and go.
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
#include <sys/socket.h>
#include <sys/time.h>

/* The offset of an attribute in the request tells nobody much: its type does. */
static const char *const attribute_names[HOODY_A_MAX + 1] = {
	[HOODY_A_ID] = "ID",		 [HOODY_A_PROJECT] = "PROJECT",
	[HOODY_A_GENERATION] = "GENERATION", [HOODY_A_ADDR4] = "ADDR4",
	[HOODY_A_ADDR6] = "ADDR6",	 [HOODY_A_CGROUP] = "CGROUP",
	[HOODY_A_FLAGS] = "FLAGS",	 [HOODY_A_PROFILE] = "PROFILE",
	[HOODY_A_TABLE] = "TABLE",	 [HOODY_A_GATE_MODE] = "GATE_MODE",
	[HOODY_A_KSM_DOMAIN] = "KSM_DOMAIN", [HOODY_A_KSM_NAME] = "KSM_NAME",
};

static const char *attribute_at(const struct nlmsghdr *sent, uint32_t offset)
{
	const struct nlattr *attr;

	/* Attributes begin at multiples of NLA_ALIGNTO (linux/netlink.h): elsewhere is none. */
	if (!sent || offset + sizeof(*attr) > sent->nlmsg_len || offset % NLA_ALIGNTO)
		return NULL;
	attr = (const struct nlattr *)((const char *)sent + offset);
	if ((attr->nla_type & NLA_TYPE_MASK) > HOODY_A_MAX)
		return NULL;
	return attribute_names[attr->nla_type & NLA_TYPE_MASK];
}

/* What the kernel's errors can be; callers turn their sign. */
static int sane_error(int error)
{
	return error <= 0 && error >= -4095 ? error : -EPROTO;
}

/* Takes text and attribute out of an extended acknowledgement. */
static void read_extack(struct knl *knl, const struct nlmsghdr *answer,
			const struct nlmsgerr *error)
{
	const char *text = NULL, *attribute = NULL;
	size_t skip = sizeof(*error);
	struct nlattr *attr;
	int remaining;

	if (!(answer->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(struct nlmsghdr);
	if ((answer->nlmsg_flags & NLM_F_ACK_TLVS) && answer->nlmsg_len > NLMSG_HDRLEN + skip) {
		nla_for_each_attr(attr, (struct nlattr *)((char *)error + skip),
				  (int)(answer->nlmsg_len - NLMSG_HDRLEN - skip), remaining) {
			if (nla_type(attr) == NLMSGERR_ATTR_MSG && nla_len(attr) > 0 &&
			    memchr(nla_data(attr), '\0', nla_len(attr)))
				text = nla_data(attr);
			else if (nla_type(attr) == NLMSGERR_ATTR_OFFS && nla_len(attr) == 4)
				attribute = attribute_at(knl->sent, nla_get_u32(attr));
		}
	}
	if (!text)
		text = strerror(-sane_error(error->error));
	snprintf(knl->fault, sizeof(knl->fault), "%s%s%s%s", text,
		 attribute ? " (attribute " : "", attribute ? attribute : "", attribute ? ")" : "");
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct knl_request *request = arg;
	const struct nlmsghdr *answer =
		(const struct nlmsghdr *)((const char *)error - NLMSG_HDRLEN);

	request->done = true;
	request->error = sane_error(error->error);
	if (request->error)
		read_extack(request->knl, answer, error);
	return NL_STOP;
}

static int on_ack(struct nl_msg *message, void *arg)
{
	struct knl_request *request = arg;

	request->done = true;
	return NL_STOP;
}

/* End of a dump: the message carries its result. */
static int on_finish(struct nl_msg *message, void *arg)
{
	const struct nlmsghdr *header = nlmsg_hdr(message);
	struct knl_request *request = arg;

	request->done = true;
	if (header->nlmsg_len >= NLMSG_HDRLEN + sizeof(int))
		request->error = sane_error(*(const int *)nlmsg_data(header));
	return NL_STOP;
}

static int on_disturbed(struct nl_msg *message, void *arg)
{
	struct knl_request *request = arg;

	request->disturbed = true;
	return NL_OK;
}

/*
 * The least that an attribute has: libnl's readers of numbers rely on it. Those that
 * are not here are measured where they are taken.
 */
static const struct nla_policy attribute_policy[HOODY_A_MAX + 1] = {
	[HOODY_A_GENERATION] = { .type = NLA_U64 }, [HOODY_A_CGROUP] = { .type = NLA_U64 },
	[HOODY_A_FLAGS] = { .type = NLA_U32 },	    [HOODY_A_EVENT] = { .type = NLA_U32 },
	[HOODY_A_STAT_VALUE] = { .type = NLA_U64 }, [HOODY_A_PROTOCOL] = { .type = NLA_U32 },
	[HOODY_A_CONTAINERS] = { .type = NLA_U32 }, [HOODY_A_MAX_CONTAINERS] = { .type = NLA_U32 },
	[HOODY_A_GATE_MODE] = { .type = NLA_U32 },  [HOODY_A_ARCH] = { .type = NLA_U32 },
	[HOODY_A_SYSCALL] = { .type = NLA_U32 },    [HOODY_A_PID] = { .type = NLA_U32 },
	[HOODY_A_ACTION] = { .type = NLA_U32 },	    [HOODY_A_COUNT] = { .type = NLA_U64 },
	[HOODY_A_USERS] = { .type = NLA_U32 },	    [HOODY_A_KSM_STATE] = { .type = NLA_U32 },
};

int knl_parse(struct nl_msg *message, struct nlattr *attrs[HOODY_A_MAX + 1])
{
	return genlmsg_parse(nlmsg_hdr(message), 0, attrs, HOODY_A_MAX, attribute_policy);
}

static int on_valid(struct nl_msg *message, void *arg)
{
	struct nlattr *attrs[HOODY_A_MAX + 1];
	struct knl_request *request = arg;

	if (request->each && knl_parse(message, attrs) == 0)
		request->each(request, message, attrs);
	return NL_OK;
}

static int receive_all(struct knl *knl, struct knl_request *request)
{
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_CUSTOM);
	int ret = 0;

	if (!callbacks)
		return -ENOMEM;
	nl_cb_err(callbacks, NL_CB_CUSTOM, on_error, request);
	nl_cb_set(callbacks, NL_CB_ACK, NL_CB_CUSTOM, on_ack, request);
	nl_cb_set(callbacks, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, request);
	nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_valid, request);
	nl_cb_set(callbacks, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_disturbed, request);
	/* An answer that is an error comes back as one of libnl's, too: not ours to see. */
	while (!request->done) {
		ret = nl_recvmsgs(knl->socket, callbacks);
		if (ret < 0 && ret != -NLE_DUMP_INTR && !request->done)
			break;
		ret = 0;
	}
	nl_cb_put(callbacks);
	if (ret == 0)
		return request->error;
	snprintf(knl->fault, sizeof(knl->fault), "no answer: %s", nl_geterror(ret));
	return ret == -NLE_AGAIN ? -ETIMEDOUT : -EIO;
}

int knl_socket_open(struct knl *knl)
{
	struct timeval timeout = { .tv_sec = KNL_TIMEOUT };
	int one = 1, ret;

	nl_socket_free(knl->socket);
	knl->socket = nl_socket_alloc();
	if (!knl->socket)
		return -ENOMEM;
	ret = genl_connect(knl->socket);
	if (ret < 0) {
		snprintf(knl->fault, sizeof(knl->fault), "generic netlink: %s", nl_geterror(ret));
		nl_socket_free(knl->socket);
		knl->socket = NULL;
		return -EIO;
	}
	nl_socket_set_buffer_size(knl->socket, 1 << 20, 1 << 16);
	setsockopt(nl_socket_get_fd(knl->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(nl_socket_get_fd(knl->socket), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl_socket_get_fd(knl->socket), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(nl_socket_get_fd(knl->socket), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one,
		   sizeof(one));
	return 0;
}

struct nl_msg *knl_message(struct knl *knl, enum hoody_cmd command, int flags)
{
	return knl_message_sized(knl, command, flags, 4000);
}

struct nl_msg *knl_message_sized(struct knl *knl, enum hoody_cmd command, int flags, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_size(size + 96);

	if (message && !genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, knl->family, 0, flags,
				    command, (uint8_t)knl->protocol)) {
		nlmsg_free(message);
		message = NULL;
	}
	return message;
}

int knl_transact(struct knl *knl, struct nl_msg *message, struct knl_request *request)
{
	int ret;

	request->knl = knl;
	knl->fault[0] = '\0';
	if (!message) {
		snprintf(knl->fault, sizeof(knl->fault), "out of memory");
		return -ENOMEM;
	}
	if (knl->state != KNL_READY && !knl->probing) {
		snprintf(knl->fault, sizeof(knl->fault), "%s", knl->reason);
		nlmsg_free(message);
		return -ENOENT;
	}
	knl->sent = nlmsg_hdr(message);
	ret = nl_send_auto(knl->socket, message);
	if (ret < 0) {
		snprintf(knl->fault, sizeof(knl->fault), "%s", nl_geterror(ret));
		ret = -EIO;
	} else {
		ret = receive_all(knl, request);
	}
	knl->sent = NULL;
	nlmsg_free(message);
	if (ret == -EIO || ret == -ETIMEDOUT)
		knl_socket_open(knl);
	return ret;
}

const char *knl_fault(const struct knl *knl)
{
	return knl->fault;
}
