// SPDX-License-Identifier: Apache-2.0
/*
 * WireGuard by netlink, see wireguard.h: the interface itself (generic netlink
 * family "wireguard"), what it says of its peers, and which ones there are. Link,
 * addresses and routes are in wireguard_route.c.
 */
#include "kernel/wireguard_internal.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netlink/attr.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A device with 16 peers of 256 prefixes each, and room. */
#define MESSAGE_BYTES	(256u << 10)

/* libnl has a numbering of its own; these are what may come. */
int knl_tunnel_error(int error)
{
	switch (-error) {
	case 0:
		return 0;
	case NLE_OPNOTSUPP:
	case NLE_OBJ_NOTFOUND:
		return -EOPNOTSUPP;
	case NLE_EXIST:
		return -EEXIST;
	case NLE_NODEV:
		return -ENODEV;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_AGAIN:
		return -ETIMEDOUT;
	case NLE_INVAL:
	case NLE_RANGE:
		return -EINVAL;
	}
	return -EIO;
}

static int put_sockaddr(struct nl_msg *message, const struct address_listen *place)
{
	struct sockaddr_storage storage;
	const socklen_t len = address_sockaddr(&place->address, place->port, &storage);

	return nla_put(message, WGPEER_A_ENDPOINT, (int)len, &storage);
}

static int put_allowed(struct nl_msg *message, const struct knl_tunnel_peer *peer)
{
	struct nlattr *list = nla_nest_start(message, WGPEER_A_ALLOWEDIPS), *one;
	int ret = list ? 0 : -NLE_NOMEM;

	for (uint32_t i = 0; !ret && i < peer->allowed_count; i++) {
		const struct knl_tunnel_prefix *prefix = &peer->allowed[i];
		const bool v4 = prefix->address.family == AF_INET;

		one = nla_nest_start(message, 0);
		if (!one || nla_put_u16(message, WGALLOWEDIP_A_FAMILY,
					(uint16_t)prefix->address.family) ||
		    nla_put(message, WGALLOWEDIP_A_IPADDR, v4 ? 4 : 16, &prefix->address.v6) ||
		    nla_put_u8(message, WGALLOWEDIP_A_CIDR_MASK, prefix->length))
			return -NLE_NOMEM;
		nla_nest_end(message, one);
	}
	if (!ret)
		nla_nest_end(message, list);
	return ret;
}

static int put_peer(struct nl_msg *message, const struct knl_tunnel_peer *peer)
{
	static const uint8_t none[KNL_TUNNEL_KEY_LEN];
	struct nlattr *one = nla_nest_start(message, 0);

	if (!one ||
	    nla_put(message, WGPEER_A_PUBLIC_KEY, KNL_TUNNEL_KEY_LEN, peer->public_key) ||
	    nla_put(message, WGPEER_A_PRESHARED_KEY, KNL_TUNNEL_KEY_LEN,
		    peer->preshared_key ? peer->preshared_key : none) ||
	    nla_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS) ||
	    (peer->endpoint.address.family && put_sockaddr(message, &peer->endpoint)) ||
	    nla_put_u16(message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer->keepalive) ||
	    put_allowed(message, peer))
		return -NLE_NOMEM;
	nla_nest_end(message, one);
	return 0;
}

static int put_device(struct nl_msg *message, int family, const struct knl_tunnel *tunnel)
{
	char name[IFNAMSIZ];
	struct nlattr *peers;
	int ret = 0;

	knl_tunnel_name(tunnel->index, name);
	if (!genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_ACK,
			 WG_CMD_SET_DEVICE, WG_GENL_VERSION) ||
	    nla_put_string(message, WGDEVICE_A_IFNAME, name) ||
	    nla_put(message, WGDEVICE_A_PRIVATE_KEY, KNL_TUNNEL_KEY_LEN, tunnel->private_key) ||
	    nla_put_u16(message, WGDEVICE_A_LISTEN_PORT, tunnel->listen_port) ||
	    nla_put_u32(message, WGDEVICE_A_FWMARK, 0) ||
	    nla_put_u32(message, WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS))
		return -NLE_NOMEM;
	peers = nla_nest_start(message, WGDEVICE_A_PEERS);
	if (!peers)
		return -NLE_NOMEM;
	for (uint32_t i = 0; !ret && i < tunnel->peers_count; i++)
		ret = put_peer(message, &tunnel->peers[i]);
	if (!ret)
		nla_nest_end(message, peers);
	return ret;
}

static struct nl_sock *open_family(int *family)
{
	struct nl_sock *sock = knl_tunnel_open(NETLINK_GENERIC);

	if (!sock)
		return NULL;
	*family = genl_ctrl_resolve(sock, WG_GENL_NAME);
	return sock;
}

int knl_tunnel_configure(const struct knl_tunnel *tunnel)
{
	struct nl_msg *message = nlmsg_alloc_size(MESSAGE_BYTES);
	int family = 0, ret = -NLE_NOMEM;
	struct nl_sock *sock = open_family(&family);

	if (!message || !sock)
		goto out;
	ret = family < 0 ? family : put_device(message, family, tunnel);
	if (!ret) {
		ret = nl_send_auto(sock, message);
		ret = ret < 0 ? ret : nl_wait_for_ack(sock);
	}
out:
	if (message) {
		/* It held the private key. */
		explicit_bzero(nlmsg_data(nlmsg_hdr(message)),
			       (size_t)nlmsg_datalen(nlmsg_hdr(message)));
		nlmsg_free(message);
	}
	nl_socket_free(sock);
	return knl_tunnel_error(ret);
}

int knl_tunnel_endpoint(unsigned int index, const uint8_t public_key[KNL_TUNNEL_KEY_LEN],
			const struct address_listen *endpoint)
{
	struct nl_msg *message = nlmsg_alloc();
	int family = 0, ret = -NLE_NOMEM;
	struct nl_sock *sock = open_family(&family);
	struct nlattr *peers, *one;
	char name[IFNAMSIZ];

	knl_tunnel_name(index, name);
	if (!message || !sock)
		goto out;
	ret = family < 0 ? family : 0;
	if (ret)
		goto out;
	ret = -NLE_NOMEM;
	if (!genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_ACK,
			 WG_CMD_SET_DEVICE, WG_GENL_VERSION) ||
	    nla_put_string(message, WGDEVICE_A_IFNAME, name))
		goto out;
	peers = nla_nest_start(message, WGDEVICE_A_PEERS);
	one = peers ? nla_nest_start(message, 0) : NULL;
	if (!one || nla_put(message, WGPEER_A_PUBLIC_KEY, KNL_TUNNEL_KEY_LEN, public_key) ||
	    nla_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY) ||
	    put_sockaddr(message, endpoint))
		goto out;
	nla_nest_end(message, one);
	nla_nest_end(message, peers);
	ret = nl_send_auto(sock, message);
	ret = ret < 0 ? ret : nl_wait_for_ack(sock);
out:
	nlmsg_free(message);
	nl_socket_free(sock);
	return knl_tunnel_error(ret);
}

static void take_endpoint(const struct nlattr *attr, struct address_listen *out)
{
	const struct sockaddr_in *v4 = nla_data(attr);
	const struct sockaddr_in6 *v6 = nla_data(attr);

	memset(out, 0, sizeof(*out));
	if (nla_len(attr) == sizeof(*v4) && v4->sin_family == AF_INET) {
		out->address.family = AF_INET;
		out->address.v4 = v4->sin_addr;
		out->port = ntohs(v4->sin_port);
	} else if (nla_len(attr) == sizeof(*v6) && v6->sin6_family == AF_INET6) {
		out->address.family = AF_INET6;
		out->address.v6 = v6->sin6_addr;
		out->port = ntohs(v6->sin6_port);
	}
}

static void list_peer(struct nlattr *const attrs[WGPEER_A_MAX + 1], int64_t handshake,
		      struct knl_tunnel_stats *stats)
{
	struct knl_tunnel_peer_stats *last = stats->list + stats->listed - 1, *one;
	const uint8_t *key;

	if (!attrs[WGPEER_A_PUBLIC_KEY] ||
	    nla_len(attrs[WGPEER_A_PUBLIC_KEY]) != KNL_TUNNEL_KEY_LEN)
		return;
	key = nla_data(attrs[WGPEER_A_PUBLIC_KEY]);
	if (stats->listed == KNL_TUNNEL_PEERS_MAX ||
	    (stats->listed && !memcmp(last->public_key, key, KNL_TUNNEL_KEY_LEN)))
		return;
	one = &stats->list[stats->listed++];
	memcpy(one->public_key, key, KNL_TUNNEL_KEY_LEN);
	one->last_handshake = handshake;
	if (attrs[WGPEER_A_ENDPOINT])
		take_endpoint(attrs[WGPEER_A_ENDPOINT], &one->endpoint);
}

/* Long lists of prefixes make one peer come in several parts: the figures then repeat. */
static void take_peer(struct nlattr *peer, struct knl_tunnel_stats *stats)
{
	struct nlattr *attrs[WGPEER_A_MAX + 1];
	struct {
		int64_t	seconds, nanoseconds;
	} handshake = { 0 };

	if (nla_parse_nested(attrs, WGPEER_A_MAX, peer, NULL) || !attrs[WGPEER_A_RX_BYTES] ||
	    !attrs[WGPEER_A_TX_BYTES])
		return;
	if (attrs[WGPEER_A_LAST_HANDSHAKE_TIME] &&
	    nla_len(attrs[WGPEER_A_LAST_HANDSHAKE_TIME]) >= (int)sizeof(handshake))
		memcpy(&handshake, nla_data(attrs[WGPEER_A_LAST_HANDSHAKE_TIME]),
		       sizeof(handshake));
	list_peer(attrs, handshake.seconds, stats);
	stats->peers++;
	stats->received += nla_get_u64(attrs[WGPEER_A_RX_BYTES]);
	stats->sent += nla_get_u64(attrs[WGPEER_A_TX_BYTES]);
	if (attrs[WGPEER_A_ENDPOINT] &&
	    (!stats->endpoint.port || handshake.seconds > stats->last_handshake))
		take_endpoint(attrs[WGPEER_A_ENDPOINT], &stats->endpoint);
	if (handshake.seconds > stats->last_handshake)
		stats->last_handshake = handshake.seconds;
}

static int take_device(struct nl_msg *message, void *context)
{
	struct nlattr *attrs[WGDEVICE_A_MAX + 1], *peer;
	struct knl_tunnel_stats *stats = context;
	int remaining;

	if (genlmsg_parse(nlmsg_hdr(message), 0, attrs, WGDEVICE_A_MAX, NULL))
		return NL_OK;
	if (attrs[WGDEVICE_A_PUBLIC_KEY] &&
	    nla_len(attrs[WGDEVICE_A_PUBLIC_KEY]) == KNL_TUNNEL_KEY_LEN)
		memcpy(stats->public_key, nla_data(attrs[WGDEVICE_A_PUBLIC_KEY]),
		       KNL_TUNNEL_KEY_LEN);
	if (attrs[WGDEVICE_A_LISTEN_PORT])
		stats->listen_port = nla_get_u16(attrs[WGDEVICE_A_LISTEN_PORT]);
	if (attrs[WGDEVICE_A_PEERS]) {
		nla_for_each_nested(peer, attrs[WGDEVICE_A_PEERS], remaining)
			take_peer(peer, stats);
	}
	return NL_OK;
}

int knl_tunnel_stats(unsigned int index, struct knl_tunnel_stats *stats)
{
	struct nl_msg *message = nlmsg_alloc();
	int family = 0, ret = -NLE_NOMEM;
	struct nl_sock *sock = open_family(&family);
	char name[IFNAMSIZ];

	memset(stats, 0, sizeof(*stats));
	knl_tunnel_name(index, name);
	if (!message || !sock)
		goto out;
	ret = family < 0 ? family : 0;
	if (ret)
		goto out;
	ret = -NLE_NOMEM;
	if (!genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_DUMP,
			 WG_CMD_GET_DEVICE, WG_GENL_VERSION) ||
	    nla_put_string(message, WGDEVICE_A_IFNAME, name))
		goto out;
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, take_device, stats);
	ret = nl_send_auto(sock, message);
	if (ret >= 0)
		ret = nl_recvmsgs_default(sock);
out:
	nlmsg_free(message);
	nl_socket_free(sock);
	return knl_tunnel_error(ret < 0 ? ret : 0);
}
