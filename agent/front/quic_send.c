/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams out: many of one size leave in one call (UDP_SEGMENT, udp(7)), from
 * the address that the client has sent to.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "front/quic.h"

/* linux/udp.h: as many segments as one call takes. */
#define SEGMENTS_MAX	64

union control {
	char		space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
			      CMSG_SPACE(sizeof(uint16_t))];
	struct cmsghdr	align;
};

static struct cmsghdr *add(struct msghdr *message, struct cmsghdr *at, int level, int type,
			   const void *data, size_t len)
{
	at = at ? CMSG_NXTHDR(message, at) : CMSG_FIRSTHDR(message);
	at->cmsg_level = level;
	at->cmsg_type = type;
	at->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(at), data, len);
	return at;
}

static struct cmsghdr *add_source(struct msghdr *message, const struct sockaddr_storage *local)
{
	if (local->ss_family == AF_INET) {
		struct in_pktinfo info = {
			.ipi_spec_dst = ((const struct sockaddr_in *)local)->sin_addr,
		};

		return add(message, NULL, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)local;
		struct in6_pktinfo info = {
			.ipi6_addr = in6->sin6_addr,
			/* A link-local address means nothing without its link. */
			.ipi6_ifindex = in6->sin6_scope_id,
		};

		return add(message, NULL, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

static int send_once(struct quic_listener *listener, const struct quic_path *path, uint8_t ecn,
		     const char *bytes, size_t len, size_t segment)
{
	bool v4 = path->local.ss_family == AF_INET;
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = len};
	union control control;
	struct msghdr message = {
		.msg_name = (void *)&path->remote,
		.msg_namelen = path->remote_len,
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	uint16_t size = segment;
	struct cmsghdr *at;
	int class = ecn;
	size_t used;

	memset(&control, 0, sizeof(control));
	at = add_source(&message, &path->local);
	used = CMSG_SPACE(at->cmsg_len - CMSG_LEN(0));
	if (ecn) {
		at = add(&message, at, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS,
			 &class, sizeof(class));
		used += CMSG_SPACE(sizeof(class));
	}
	if (len > segment) {
		add(&message, at, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
		used += CMSG_SPACE(sizeof(size));
	}
	message.msg_controllen = used;
	while (sendmsg(listener->source.fd, &message, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	front_count_add(listener->thread, bytes_to_clients, len);
	front_count_add(listener->thread, quic_datagrams_sent, (len + segment - 1) / segment);
	front_count(listener->thread, quic_sends);
	return 0;
}

int quic_send(struct quic_listener *listener, const struct quic_path *path, uint8_t ecn,
	      const char *bytes, size_t len, size_t segment)
{
	size_t at, part, most;
	int err;

	if (!segment)
		segment = len;
	for (at = 0; at < len; at += part) {
		most = listener->segments ? SEGMENTS_MAX * segment : segment;
		part = len - at < most ? len - at : most;
		err = send_once(listener, path, ecn, bytes + at, part, segment);
		if (err == -EIO && part > segment) {
			/* The device cannot make checksums of segments (udp(7)). */
			listener->segments = false;
			part = 0;
			continue;
		}
		/* What has left has left: the client will ask for the rest. */
		if ((err == -EAGAIN || err == -ENOBUFS) && !at) {
			front_count(listener->thread, quic_sends_blocked);
			return -EAGAIN;
		}
		/* Anything else is loss, and ngtcp2 finds out: a probe that was too large, ... */
	}
	return 0;
}
