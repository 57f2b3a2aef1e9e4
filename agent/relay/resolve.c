// SPDX-License-Identifier: Apache-2.0
/*
 * Datagrams of containers that are steered to the relay. Queries to port 53 are the
 * forwarder's (names/forward.h), others are for the exit (udp.c).
 */
#include "relay/strict.h"
#include "relay/udp.h"

#include "names/forward.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define DATAGRAMS_PER_TURN	64

bool relay_send_from(int fd, const struct address *from, const struct address *peer,
		     uint16_t peer_port, const void *bytes, size_t len)
{
	union {
		char		space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr	align;
	} control = { 0 };
	struct sockaddr_storage to;
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr message = {
		.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.space,
	};
	struct cmsghdr *cmsg = &control.align;

	message.msg_namelen = address_sockaddr(peer, peer_port, &to);
	if (from->family == AF_INET) {
		const struct in_pktinfo info = { .ipi_spec_dst = from->v4 };

		cmsg->cmsg_level = SOL_IP;
		cmsg->cmsg_type = IP_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		const struct in6_pktinfo info = { .ipi6_addr = from->v6 };

		cmsg->cmsg_level = SOL_IPV6;
		cmsg->cmsg_type = IPV6_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void take_datagram(struct relay *relay, int udp, const unsigned char *bytes, size_t len,
			  const struct address *peer, uint16_t peer_port,
			  const struct address *asked, uint16_t asked_port, bool strict)
{
	struct relay_container *container = relay_policy_by_address(relay->policy, peer);
	const struct names_client client = {
		.udp = udp, .peer = *peer, .peer_port = peer_port, .asked = *asked,
	};

	if (!container)
		return;
	if (asked_port == 53 && relay_policy_forwards(container))
		names_take(relay->names, container, &client, bytes, len);
	else if (strict && container->names.strict)
		strict_udp_take(relay, container, bytes, len, peer, peer_port, asked, asked_port);
	else if (strict)
		container->stats.udp_refused++;
	else if (!container->exit || !relay_udp_take(relay, container, bytes, len, peer, peer_port,
						     asked, asked_port))
		container->stats.udp_refused++;
}

/* The destination as the container wrote it. */
static bool original(struct msghdr *message, struct sockaddr_storage *to)
{
	struct cmsghdr *cmsg;

	memset(to, 0, sizeof(*to));
	for (cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		const size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if ((cmsg->cmsg_level == SOL_IP && cmsg->cmsg_type == IP_RECVORIGDSTADDR) ||
		    (cmsg->cmsg_level == SOL_IPV6 && cmsg->cmsg_type == IPV6_RECVORIGDSTADDR)) {
			memcpy(to, CMSG_DATA(cmsg), len < sizeof(*to) ? len : sizeof(*to));
			return true;
		}
	}
	return false;
}

bool relay_take_datagrams(struct relay *relay, int udp, bool strict)
{
	static unsigned char bytes[UDP_PAYLOAD_MAX];
	struct sockaddr_storage from, to;
	union {
		char		space[CMSG_SPACE(sizeof(struct sockaddr_in6))];
		struct cmsghdr	align;
	} control;

	relay->heed(relay);
	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
		struct msghdr message = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part,
			.msg_iovlen = 1, .msg_control = control.space,
			.msg_controllen = sizeof(control.space),
		};
		const ssize_t len = recvmsg(udp, &message, 0);
		struct address peer, asked;
		uint16_t peer_port, asked_port;

		if (len < 0 && errno == EAGAIN)
			return false;
		if (len < 0 || !original(&message, &to) ||
		    !relay_address(&from, &peer, &peer_port) ||
		    !relay_address(&to, &asked, &asked_port))
			continue;
		take_datagram(relay, udp, bytes, (size_t)len, &peer, peer_port, &asked, asked_port,
			      strict);
	}
	return true;
}
