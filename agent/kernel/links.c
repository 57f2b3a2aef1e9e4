// SPDX-License-Identifier: Apache-2.0
/* Watching interfaces and addresses, see links.h. */
#include "kernel/links.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>

struct knl_links {
	struct nl_sock	*socket;
	int		seen;		/* of the round of knl_links_events() */
};

static int on_message(struct nl_msg *message, void *context)
{
	struct knl_links *links = context;

	switch (nlmsg_hdr(message)->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		links->seen |= KNL_LINKS_INTERFACES;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		links->seen |= KNL_LINKS_ADDRESSES;
		break;
	}
	return NL_OK;
}

struct knl_links *knl_links_open(void)
{
	struct knl_links *links = calloc(1, sizeof(*links));

	if (!links)
		return NULL;
	links->socket = nl_socket_alloc();
	if (!links->socket)
		goto err_free;
	nl_socket_disable_seq_check(links->socket);
	nl_socket_modify_cb(links->socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, links);
	if (nl_connect(links->socket, NETLINK_ROUTE) < 0 ||
	    nl_socket_add_memberships(links->socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, 0) < 0 ||
	    nl_socket_set_nonblocking(links->socket) < 0)
		goto err_socket;
	return links;

err_socket:
	nl_socket_free(links->socket);
err_free:
	free(links);
	errno = EPROTONOSUPPORT;
	return NULL;
}

void knl_links_close(struct knl_links *links)
{
	if (!links)
		return;
	nl_socket_free(links->socket);
	free(links);
}

int knl_links_fd(const struct knl_links *links)
{
	return nl_socket_get_fd(links->socket);
}

int knl_links_events(struct knl_links *links)
{
	int ret;

	links->seen = 0;
	do
		ret = nl_recvmsgs_default(links->socket);
	while (ret >= 0);
	/* The kernel had more to say than the socket could hold: anything may be new. */
	if (ret == -NLE_NOMEM)
		links->seen = KNL_LINKS_INTERFACES | KNL_LINKS_ADDRESSES;
	else if (ret != -NLE_AGAIN && ret != -NLE_INTR)
		return -EIO;
	return links->seen;
}

struct walk {
	knl_links_address	*each;
	void			*context;
};

static void on_address(struct nl_object *object, void *context)
{
	const struct walk *walk = context;
	const struct nl_addr *local = rtnl_addr_get_local((struct rtnl_addr *)object);
	struct address address = { 0 };

	if (!local)
		return;
	address.family = (sa_family_t)nl_addr_get_family(local);
	if (address.family == AF_INET && nl_addr_get_len(local) == 4)
		memcpy(&address.v4, nl_addr_get_binary_addr(local), 4);
	else if (address.family == AF_INET6 && nl_addr_get_len(local) == 16)
		memcpy(&address.v6, nl_addr_get_binary_addr(local), 16);
	else
		return;
	walk->each(walk->context, &address);
}

int knl_links_addresses(knl_links_address *each, void *context)
{
	struct walk walk = { .each = each, .context = context };
	struct nl_sock *socket = nl_socket_alloc();
	struct nl_cache *cache = NULL;
	int ret = -ENOMEM;

	if (!socket)
		return ret;
	ret = -EIO;
	if (nl_connect(socket, NETLINK_ROUTE) < 0 || rtnl_addr_alloc_cache(socket, &cache) < 0)
		goto out;
	nl_cache_foreach(cache, on_address, &walk);
	nl_cache_free(cache);
	ret = 0;
out:
	nl_socket_free(socket);
	return ret;
}
