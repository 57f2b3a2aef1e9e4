// SPDX-License-Identifier: Apache-2.0
/*
 * The way into a tunnel, see wireguard.h: link, addresses, routing rules and
 * routes (rtnetlink). In an order in which a packet with a tunnel's mark finds the
 * tunnel or nothing: the rule that refuses comes first and is never taken away.
 */
#include "kernel/wireguard_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define KIND		"wireguard"
#define PATIENCE_S	10	/* the kernel may have to load a module */

static const uint8_t families[] = { AF_INET, AF_INET6 };
#define FAMILIES	(sizeof(families) / sizeof(families[0]))

void knl_tunnel_name(unsigned int index, char name[IFNAMSIZ])
{
	snprintf(name, IFNAMSIZ, KNL_TUNNEL_PREFIX "%u", index & 0xff);
}

struct nl_sock *knl_tunnel_open(int protocol)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct nl_sock *sock = nl_socket_alloc();

	if (!sock)
		return NULL;
	if (nl_connect(sock, protocol) ||
	    setsockopt(nl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience))) {
		nl_socket_free(sock);
		return NULL;
	}
	return sock;
}

static struct nl_msg *make(uint16_t type, uint16_t flags, const void *header, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags | NLM_F_ACK);

	if (message && nlmsg_append(message, (void *)header, size, NLMSG_ALIGNTO)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

/* Sends and frees @message, whose attributes fit: none is large. */
static int talk(struct nl_sock *sock, struct nl_msg *message)
{
	int ret;

	if (!message)
		return -ENOMEM;
	ret = nl_send_auto(sock, message);
	nlmsg_free(message);
	return knl_tunnel_error(ret < 0 ? ret : nl_wait_for_ack(sock));
}

static int make_link(struct nl_sock *sock, const char *name)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	struct nl_msg *message = make(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	struct nlattr *nest;
	int ret;

	if (message) {
		nla_put_string(message, IFLA_IFNAME, name);
		nest = nla_nest_start(message, IFLA_LINKINFO);
		nla_put_string(message, IFLA_INFO_KIND, KIND);
		nla_nest_end(message, nest);
	}
	ret = talk(sock, message);
	return ret == -EEXIST ? 0 : ret;
}

/* max(all, interface) holds (ip-sysctl): strict becomes loose, none stays none. */
static uint32_t reverse_path(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/conf/all/rp_filter", "re");
	const int c = file ? fgetc(file) : '0';

	if (file)
		fclose(file);
	return c == '0' ? 0 : 2;
}

/*
 * Up, with alias and MTU. What comes out of the tunnel is from where the main table
 * has another way to: AllowedIPs have checked it better than that.
 */
static int set_link(struct nl_sock *sock, const struct knl_tunnel *tunnel, unsigned int ifindex)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex,
					.ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *message = make(RTM_NEWLINK, 0, &info, sizeof(info));
	struct nlattr *all, *inet, *values;

	if (message) {
		nla_put_string(message, IFLA_IFALIAS, tunnel->alias);
		if (tunnel->mtu)
			nla_put_u32(message, IFLA_MTU, tunnel->mtu);
		all = nla_nest_start(message, IFLA_AF_SPEC);
		inet = nla_nest_start(message, AF_INET);
		values = nla_nest_start(message, IFLA_INET_CONF);
		nla_put_u32(message, IPV4_DEVCONF_RP_FILTER, reverse_path());
		nla_nest_end(message, values);
		nla_nest_end(message, inet);
		nla_nest_end(message, all);
	}
	return talk(sock, message);
}

/* Alone: no route of the host may lead into the tunnel. */
static int add_address(struct nl_sock *sock, const struct address *address, unsigned int ifindex)
{
	const bool v4 = address->family == AF_INET;
	const struct ifaddrmsg info = { .ifa_family = (uint8_t)address->family,
					.ifa_prefixlen = v4 ? 32 : 128, .ifa_index = ifindex };
	struct nl_msg *message = make(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &info,
				      sizeof(info));

	if (message) {
		nla_put(message, IFA_LOCAL, v4 ? 4 : 16, &address->v6);
		nla_put(message, IFA_ADDRESS, v4 ? 4 : 16, &address->v6);
		nla_put_u32(message, IFA_FLAGS, IFA_F_NOPREFIXROUTE | (v4 ? 0 : IFA_F_NODAD));
	}
	return talk(sock, message);
}

static int add_route(struct nl_sock *sock, const struct knl_tunnel_prefix *prefix,
		     unsigned int index, unsigned int ifindex)
{
	const bool v4 = prefix->address.family == AF_INET;
	const struct rtmsg route = {
		.rtm_family = (uint8_t)prefix->address.family, .rtm_dst_len = prefix->length,
		.rtm_table = RT_TABLE_UNSPEC, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
	};
	struct nl_msg *message = make(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route,
				      sizeof(route));

	if (message) {
		if (prefix->length)
			nla_put(message, RTA_DST, v4 ? 4 : 16, &prefix->address.v6);
		nla_put_u32(message, RTA_TABLE, KNL_TUNNEL_TABLE + index);
		nla_put_u32(message, RTA_OIF, ifindex);
	}
	return talk(sock, message);
}

/* The rule for what the host itself sends by the interface: sockets bound to it. */
static int change_own_rule(struct nl_sock *sock, uint8_t family, unsigned int index, bool add)
{
	const struct fib_rule_hdr header = { .family = family, .action = FR_ACT_TO_TBL };
	struct nl_msg *message = make(add ? RTM_NEWRULE : RTM_DELRULE,
				      add ? NLM_F_CREATE | NLM_F_EXCL : 0, &header, sizeof(header));
	char name[IFNAMSIZ];
	int ret;

	if (message) {
		knl_tunnel_name(index, name);
		nla_put_u32(message, FRA_PRIORITY, KNL_TUNNEL_TABLE);
		nla_put_string(message, FRA_OIFNAME, name);
		nla_put_u32(message, FRA_TABLE, KNL_TUNNEL_TABLE + index);
	}
	ret = talk(sock, message);
	return add && ret == -EEXIST ? 0 : ret;
}

/* @index 0: the rule that refuses what no tunnel takes. */
static int change_rule(struct nl_sock *sock, uint8_t family, unsigned int index, bool add)
{
	const struct fib_rule_hdr header = { .family = family,
					     .action = index ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE };
	struct nl_msg *message = make(add ? RTM_NEWRULE : RTM_DELRULE,
				      add ? NLM_F_CREATE | NLM_F_EXCL : 0, &header, sizeof(header));
	int ret;

	if (message) {
		nla_put_u32(message, FRA_PRIORITY, KNL_TUNNEL_TABLE + !index);
		nla_put_u32(message, FRA_FWMARK, FW_TUNNEL_MARK | index << FW_TUNNEL_MARK_SHIFT);
		nla_put_u32(message, FRA_FWMASK, index ? FW_TUNNEL_MARK_MASK : FW_MARK_MASK);
		if (index)
			nla_put_u32(message, FRA_TABLE, KNL_TUNNEL_TABLE + index);
	}
	ret = talk(sock, message);
	return add && ret == -EEXIST ? 0 : ret;
}

static bool has_ipv6(void)
{
	return !access("/proc/net/if_inet6", F_OK);
}

static int set_routes(struct nl_sock *sock, const struct knl_tunnel *tunnel, unsigned int ifindex)
{
	const bool v6 = has_ipv6();
	int ret = 0;

	for (uint32_t i = 0; !ret && i < tunnel->peers_count; i++) {
		const struct knl_tunnel_peer *peer = &tunnel->peers[i];

		for (uint32_t k = 0; !ret && k < peer->allowed_count; k++) {
			if (peer->allowed[k].address.family == AF_INET || v6)
				ret = add_route(sock, &peer->allowed[k], tunnel->index, ifindex);
		}
	}
	for (size_t i = 0; !ret && i < FAMILIES; i++) {
		if (families[i] == AF_INET || v6)
			ret = change_rule(sock, families[i], tunnel->index, true) ?:
			      change_own_rule(sock, families[i], tunnel->index, true);
	}
	return ret;
}

int knl_tunnel_set(const struct knl_tunnel *tunnel)
{
	struct nl_sock *sock = knl_tunnel_open(NETLINK_ROUTE);
	unsigned int ifindex = 0;
	char name[IFNAMSIZ];
	int ret = 0;

	if (!sock)
		return -ENOMEM;
	knl_tunnel_name(tunnel->index, name);
	for (size_t i = 0; !ret && i < FAMILIES; i++) {
		if (families[i] == AF_INET || has_ipv6())
			ret = change_rule(sock, families[i], 0, true);
	}
	if (!ret)
		ret = make_link(sock, name);
	if (!ret) {
		ifindex = if_nametoindex(name);
		ret = ifindex ? knl_tunnel_configure(tunnel) : -ENODEV;
	}
	if (!ret)
		ret = set_link(sock, tunnel, ifindex);
	for (uint32_t i = 0; !ret && i < tunnel->addresses_count; i++) {
		if (tunnel->addresses[i].family == AF_INET || has_ipv6())
			ret = add_address(sock, &tunnel->addresses[i], ifindex);
	}
	if (!ret)
		ret = set_routes(sock, tunnel, ifindex);
	nl_socket_free(sock);
	return ret;
}

int knl_tunnel_remove(unsigned int index)
{
	struct nl_sock *sock = knl_tunnel_open(NETLINK_ROUTE);
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	char name[IFNAMSIZ];
	int ret = 0;

	if (!sock)
		return -ENOMEM;
	knl_tunnel_name(index, name);
	info.ifi_index = (int)if_nametoindex(name);
	if (info.ifi_index)
		ret = talk(sock, make(RTM_DELLINK, 0, &info, sizeof(info)));
	for (size_t i = 0; i < FAMILIES; i++) {
		change_rule(sock, families[i], index, false);
		change_own_rule(sock, families[i], index, false);
	}
	nl_socket_free(sock);
	return ret == -ENODEV ? 0 : ret;
}

struct look {
	knl_tunnel_each	*each;
	void		*context;
	unsigned int	index;		/* wanted, or 0: all */
	bool		up;
};

static int take_link(struct nl_msg *message, void *context)
{
	const struct ifinfomsg *info = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attrs[IFLA_MAX + 1];
	char name[IFNAMSIZ], alias[KNL_TUNNEL_ALIAS_MAX] = "";
	struct look *look = context;
	unsigned long index;

	if (nlmsg_parse(nlmsg_hdr(message), sizeof(*info), attrs, IFLA_MAX, NULL) ||
	    !attrs[IFLA_IFNAME] ||
	    strncmp(nla_get_string(attrs[IFLA_IFNAME]), KNL_TUNNEL_PREFIX,
		    sizeof(KNL_TUNNEL_PREFIX) - 1))
		return NL_OK;
	index = strtoul(nla_get_string(attrs[IFLA_IFNAME]) + sizeof(KNL_TUNNEL_PREFIX) - 1, NULL,
			10);
	if (!index || index > FW_TUNNELS_MAX)
		return NL_OK;
	knl_tunnel_name((unsigned int)index, name);
	if (strcmp(name, nla_get_string(attrs[IFLA_IFNAME])))
		return NL_OK;
	if (attrs[IFLA_IFALIAS])
		nla_strlcpy(alias, attrs[IFLA_IFALIAS], sizeof(alias));
	if (look->index == index)
		look->up = info->ifi_flags & IFF_UP;
	if (look->each)
		look->each(look->context, (unsigned int)index, alias);
	return NL_OK;
}

static int look_at(struct look *look, unsigned int ifindex)
{
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex };
	struct nl_msg *message = nlmsg_alloc_simple(RTM_GETLINK, ifindex ? 0 : NLM_F_DUMP);
	struct nl_sock *sock = knl_tunnel_open(NETLINK_ROUTE);
	int ret = -NLE_NOMEM;

	if (message && sock && !nlmsg_append(message, (void *)&info, sizeof(info), NLMSG_ALIGNTO)) {
		nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, take_link, look);
		nl_socket_disable_auto_ack(sock);
		ret = nl_send_auto(sock, message);
		if (ret >= 0)
			ret = nl_recvmsgs_default(sock);
	}
	nlmsg_free(message);
	nl_socket_free(sock);
	return knl_tunnel_error(ret < 0 ? ret : 0);
}

bool knl_tunnel_is_up(unsigned int index)
{
	struct look look = { .index = index };
	char name[IFNAMSIZ];
	unsigned int ifindex;

	knl_tunnel_name(index, name);
	ifindex = if_nametoindex(name);
	return ifindex && !look_at(&look, ifindex) && look.up;
}

int knl_tunnels(knl_tunnel_each *each, void *context)
{
	struct look look = { .each = each, .context = context };

	return look_at(&look, 0);
}
