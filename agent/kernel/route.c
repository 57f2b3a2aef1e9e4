// SPDX-License-Identifier: Apache-2.0
/* Questions to the kernel's routing, see route.h: one socket for each question. */
#include "kernel/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct route_query {
	struct nlmsghdr	header;
	struct rtmsg	route;
	struct rtattr	attr;
	uint8_t		address[16];
};

int knl_address_is_local(const struct address *address)
{
	const size_t len = address->family == AF_INET ? 4 : 16;
	struct timeval timeout = { .tv_sec = 2 };
	struct route_query query = {
		.header.nlmsg_type = RTM_GETROUTE,
		.header.nlmsg_flags = NLM_F_REQUEST,
		.header.nlmsg_seq = 1,
		.route.rtm_family = address->family,
		.route.rtm_dst_len = (uint8_t)(len * 8),
		.attr.rta_type = RTA_DST,
		.attr.rta_len = (uint16_t)RTA_LENGTH(len),
	};
	_Alignas(struct nlmsghdr) char answer[4096];
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	ssize_t received;
	int sock, ret;

	memcpy(query.address, &address->v6, len);
	query.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(query.route)) + RTA_LENGTH(len));
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (sock < 0)
		return -errno;
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (send(sock, &query, query.header.nlmsg_len, 0) < 0) {
		ret = -errno;
		goto out;
	}
	received = recv(sock, answer, sizeof(answer), 0);
	if (received < 0) {
		ret = -errno;
	} else if (received < (ssize_t)NLMSG_LENGTH(sizeof(struct rtmsg)) ||
		   header->nlmsg_len > (size_t)received) {
		ret = -EBADMSG;
	} else if (header->nlmsg_type == NLMSG_ERROR) {
		/* No route to it: then it is not here either. */
		ret = 0;
	} else {
		const struct rtmsg *route = NLMSG_DATA(header);

		ret = route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_BROADCAST ||
		      route->rtm_type == RTN_ANYCAST;
	}
out:
	close(sock);
	return ret;
}
