// SPDX-License-Identifier: Apache-2.0
/* Sockets and routes for packets that are steered, see steer.h. */
#include "kernel/steer.h"

#include "../../bpf/shared.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define LOOPBACK_INDEX	1	/* of every network namespace */
#define BACKLOG		4096
#define DNS_PORT	53
#define MESSAGE_BYTES	16384	/* an interface's attributes */

/* Of the loopback network, and of a unique local prefix (RFC 4193) that is nobody's. */
#define DNS_ADDRESS4	0x7f686f35u	/* 127.104.111.53 */
static const struct in6_addr dns_address6 = { .s6_addr = { 0xfd, 'h', 'o', 'o', 'd', 'y', [15] = 53 } };

union place {
	struct sockaddr		any;
	struct sockaddr_in	v4;
	struct sockaddr_in6	v6;
};

/* A socket that may have any local address. */
static int open_transparent(sa_family_t family, int type)
{
	const int one = 1, level = family == AF_INET ? SOL_IP : SOL_IPV6;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		ret = setsockopt(fd, level, IPV6_V6ONLY, &one, sizeof(one));
	if (!ret)
		ret = setsockopt(fd, level, family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT,
				 &one, sizeof(one));
	if (!ret && type == SOCK_DGRAM)
		ret = setsockopt(fd, level, family == AF_INET ? IP_RECVORIGDSTADDR :
								IPV6_RECVORIGDSTADDR,
				 &one, sizeof(one));
	/*
	 * What a listener accepts has the port that was asked for, 443 mostly, and keeps it
	 * for a while after its end: not from those who listen there on this host.
	 */
	if (!ret)
		ret = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!ret)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int bind_to(int fd, const union place *at)
{
	return bind(fd, &at->any, at->any.sa_family == AF_INET ? sizeof(at->v4) : sizeof(at->v6));
}

int knl_steer_listen(sa_family_t family)
{
	union place at = { .any.sa_family = family };
	int fd = open_transparent(family, SOCK_STREAM), ret;

	if (fd < 0)
		return fd;
	if (family == AF_INET)
		at.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		at.v6.sin6_addr = in6addr_loopback;
	if (!bind_to(fd, &at) && !listen(fd, BACKLOG))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int open_datagrams(sa_family_t family, uint16_t port, bool shared)
{
	union place at = { .any.sa_family = family };
	int fd = open_transparent(family, SOCK_DGRAM), one = 1, ret;

	if (fd < 0)
		return fd;
	if (family == AF_INET) {
		at.v4.sin_port = htons(port);
		at.v4.sin_addr.s_addr = htonl(DNS_ADDRESS4);
	} else {
		at.v6.sin6_port = htons(port);
		at.v6.sin6_addr = dns_address6;
	}
	if ((!shared || !setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one))) &&
	    !bind_to(fd, &at))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int knl_steer_datagrams(sa_family_t family)
{
	return open_datagrams(family, DNS_PORT, false);
}

int knl_steer_datagrams_from(sa_family_t family, uint16_t port)
{
	/*
	 * The agent's own HTTP/3 may have the port, at all addresses. One that packets
	 * are steered to shares with nobody: the kernel would choose among them.
	 */
	return open_datagrams(family, port, port != 0);
}

/* Sends the request in @header, whose room is MESSAGE_BYTES, and waits for its end. */
static int talk(struct nlmsghdr *header, mnl_cb_t take, void *context)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	const struct timeval patience = { .tv_sec = 2 };
	ssize_t len;
	int ret = 0;

	if (!nl)
		return -errno;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	header->nlmsg_seq = 1;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, header, header->nlmsg_len) < 0) {
		ret = -errno;
		goto out;
	}
	len = mnl_socket_recvfrom(nl, header, MESSAGE_BYTES);
	if (len < 0 || mnl_cb_run(header, (size_t)len, 1, mnl_socket_get_portid(nl), take,
				  context) < 0)
		ret = -errno;
out:
	mnl_socket_close(nl);
	return ret;
}

static int change_rule(sa_family_t family, uint16_t type, uint16_t flags)
{
	char buffer[MESSAGE_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct fib_rule_hdr *rule;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	rule = mnl_nlmsg_put_extra_header(header, sizeof(*rule));
	rule->family = (uint8_t)family;
	rule->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(header, FRA_PRIORITY, KNL_STEER_TABLE);
	mnl_attr_put_u32(header, FRA_FWMARK, FW_MARK);
	mnl_attr_put_u32(header, FRA_FWMASK, FW_MARK_MASK);
	mnl_attr_put_u32(header, FRA_TABLE, KNL_STEER_TABLE);
	return talk(header, NULL, NULL);
}

static int change_route(sa_family_t family, uint16_t type, uint16_t flags)
{
	char buffer[MESSAGE_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	route = mnl_nlmsg_put_extra_header(header, sizeof(*route));
	route->rtm_family = (uint8_t)family;
	route->rtm_type = RTN_LOCAL;
	route->rtm_scope = RT_SCOPE_HOST;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_table = RT_TABLE_UNSPEC;
	mnl_attr_put_u32(header, RTA_TABLE, KNL_STEER_TABLE);
	mnl_attr_put_u32(header, RTA_OIF, LOOPBACK_INDEX);
	return talk(header, NULL, NULL);
}

int knl_steer_routes_add(sa_family_t family)
{
	int ret = change_route(family, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);

	/* The rule last: until then a marked packet is dropped. */
	if (!ret)
		ret = change_rule(family, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
	return ret == -EEXIST ? 0 : ret;
}

int knl_steer_routes_remove(sa_family_t family)
{
	int rule = change_rule(family, RTM_DELRULE, 0);
	int route = change_route(family, RTM_DELROUTE, 0);

	rule = rule == -ENOENT || rule == -EAFNOSUPPORT ? 0 : rule;
	route = route == -ESRCH || route == -ENOENT || route == -EAFNOSUPPORT ? 0 : route;
	return rule ? rule : route;
}

struct device {
	uint32_t	master;
	bool		has_mac, in_bridge;
	uint8_t		mac[6];
};

static int take_port_kind(const struct nlattr *attr, void *context)
{
	struct device *device = context;

	if (mnl_attr_get_type(attr) == IFLA_INFO_SLAVE_KIND)
		device->in_bridge = mnl_attr_get_payload_len(attr) >= sizeof("bridge") &&
				    !memcmp(mnl_attr_get_payload(attr), "bridge", sizeof("bridge"));
	return MNL_CB_OK;
}

static int take_device_attr(const struct nlattr *attr, void *context)
{
	struct device *device = context;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(device->mac)) {
			memcpy(device->mac, mnl_attr_get_payload(attr), sizeof(device->mac));
			device->has_mac = true;
		}
		break;
	case IFLA_MASTER:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			device->master = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(attr, take_port_kind, context);
	}
	return MNL_CB_OK;
}

static int take_device(const struct nlmsghdr *header, void *context)
{
	/* One answer, and no acknowledgement behind it. */
	mnl_attr_parse(header, sizeof(struct ifinfomsg), take_device_attr, context);
	return MNL_CB_STOP;
}

static int ask_device(uint32_t ifindex, struct device *device)
{
	char buffer[MESSAGE_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info;

	memset(device, 0, sizeof(*device));
	header->nlmsg_type = RTM_GETLINK;
	header->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->ifi_index = (int)ifindex;
	return talk(header, take_device, device);
}

int knl_steer_device(const char *netdev, uint32_t *bridge, uint8_t mac[6])
{
	const uint32_t ifindex = if_nametoindex(netdev);
	struct device device;
	int ret = ifindex ? ask_device(ifindex, &device) : -ENODEV;

	*bridge = 0;
	/* A VRF is a master too, and takes IP in by the interface itself. */
	if (!ret && device.master && device.in_bridge) {
		*bridge = device.master;
		ret = ask_device(device.master, &device);
	}
	if (!ret && !device.has_mac)
		ret = -ENODEV;
	if (!ret)
		memcpy(mac, device.mac, sizeof(device.mac));
	return ret;
}
