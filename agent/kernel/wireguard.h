/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard interfaces of the host that carry what containers open, and the
 * routing that leads there. Tunnel @index (1 to FW_TUNNELS_MAX) is
 *
 *	interface hoody-wg<index>, its alias saying whose it is
 *	ip rule: pref KNL_TUNNEL_TABLE fwmark <mark of index> lookup KNL_TUNNEL_TABLE + index
 *	ip rule: pref KNL_TUNNEL_TABLE oif hoody-wg<index> lookup KNL_TUNNEL_TABLE + index
 *	ip rule: pref KNL_TUNNEL_TABLE + 1 fwmark <mark of any> unreachable
 *	table KNL_TUNNEL_TABLE + index: the AllowedIPs, by that interface
 *
 * The second rule is there before any other and stays: a mark without its tunnel
 * leads nowhere. Functions return 0 or a negative errno; @index is not checked.
 */
#ifndef HOODY_KERNEL_WIREGUARD_H
#define HOODY_KERNEL_WIREGUARD_H

#include "../../bpf/shared.h"
#include "lib/address.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define KNL_TUNNEL_TABLE	26736
#define KNL_TUNNEL_PREFIX	"hoody-wg"
#define KNL_TUNNEL_ALIAS_MAX	128
#define KNL_TUNNEL_KEY_LEN	32
#define KNL_TUNNEL_PEERS_MAX	16

struct knl_tunnel_prefix {
	struct address	address;
	uint8_t		length;
};

struct knl_tunnel_peer {
	const uint8_t		*public_key;	/* KNL_TUNNEL_KEY_LEN bytes */
	const uint8_t		*preshared_key;	/* or NULL */
	struct address_listen	endpoint;	/* without a family: none */
	uint16_t		keepalive;	/* seconds, 0: off */
	uint32_t		allowed_count;
	const struct knl_tunnel_prefix *allowed;
};

struct knl_tunnel {
	unsigned int		index;
	const char		*alias;
	const uint8_t		*private_key;
	uint16_t		listen_port;	/* 0: the kernel's choice */
	uint16_t		mtu;		/* 0: the kernel's */
	uint32_t		addresses_count, peers_count;
	const struct address	*addresses;	/* each alone, without a network */
	const struct knl_tunnel_peer *peers;
};

/* What the kernel says of one peer. */
struct knl_tunnel_peer_stats {
	uint8_t		public_key[KNL_TUNNEL_KEY_LEN];
	int64_t		last_handshake;		/* seconds since 1970; 0: never */
	struct address_listen endpoint;		/* port 0: none */
};

struct knl_tunnel_stats {
	uint8_t		public_key[KNL_TUNNEL_KEY_LEN];	/* the tunnel's own */
	uint16_t	listen_port;
	uint32_t	peers;
	int64_t		last_handshake;		/* seconds since 1970, the newest; 0: never */
	uint64_t	received, sent;		/* bytes, of all peers */
	struct address_listen endpoint;		/* of the peer with that handshake, or the first */
	uint32_t	listed;			/* the peers one by one, as far as there is room */
	struct knl_tunnel_peer_stats list[KNL_TUNNEL_PEERS_MAX];
};

void knl_tunnel_name(unsigned int index, char name[IFNAMSIZ]);

/*
 * knl_tunnel_set(): makes the interface, or makes an existing one right, and its
 * routing. -EOPNOTSUPP where the kernel has no WireGuard. Halfway nothing leaks:
 * what is marked leaves by the tunnel or not at all.
 */
int knl_tunnel_set(const struct knl_tunnel *tunnel);
/* What is not there is no error. */
int knl_tunnel_remove(unsigned int index);
/* Whether the interface is there, and up. */
bool knl_tunnel_is_up(unsigned int index);
int knl_tunnel_stats(unsigned int index, struct knl_tunnel_stats *stats);
/* Where a peer that the interface has is from now on; its session goes on. */
int knl_tunnel_endpoint(unsigned int index, const uint8_t public_key[KNL_TUNNEL_KEY_LEN],
			const struct address_listen *endpoint);

/* Each tunnel that the host has, whoever made it. */
typedef void knl_tunnel_each(void *context, unsigned int index, const char *alias);
int knl_tunnels(knl_tunnel_each *each, void *context);

#endif /* HOODY_KERNEL_WIREGUARD_H */
