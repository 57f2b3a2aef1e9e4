/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wg-quick(8) file as plain data. Of [Interface]: PrivateKey, Address, DNS, MTU,
 * ListenPort; of each [Peer]: PublicKey, PresharedKey, AllowedIPs, Endpoint,
 * PersistentKeepalive. What would run commands (PostUp and its kind) or decide
 * about routing (Table, FwMark) is refused by name: nothing of a file is run, and
 * routing is the agent's. A pure function over text.
 */
#ifndef HOODY_CONTROL_WIREGUARD_FILE_H
#define HOODY_CONTROL_WIREGUARD_FILE_H

#include "lib/address.h"
#include "names/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIREGUARD_KEY_LEN	32
#define WIREGUARD_FILE_MAX	65536	/* bytes of a file */
#define WIREGUARD_ADDRESSES_MAX	8
#define WIREGUARD_DNS_MAX	8
#define WIREGUARD_PEERS_MAX	16
#define WIREGUARD_ALLOWED_MAX	256	/* of one peer */
#define WIREGUARD_KEEPALIVE	25	/* seconds, where a file says nothing: it tells health */

struct wireguard_prefix {
	struct address	address;	/* bits behind @length are 0 */
	uint8_t		length;
};

struct wireguard_peer {
	uint8_t			public_key[WIREGUARD_KEY_LEN];
	uint8_t			preshared_key[WIREGUARD_KEY_LEN];
	bool			has_public_key, has_preshared_key, has_keepalive;
	struct address_listen	endpoint;	/* port 0: none was given */
	char			host[NAMES_TEXT_MAX];	/* the endpoint's name; it has no address then */
	uint16_t		keepalive;	/* seconds, 0: off */
	uint32_t		allowed_count;
	struct wireguard_prefix	allowed[WIREGUARD_ALLOWED_MAX];
};

struct wireguard_file {
	uint8_t			private_key[WIREGUARD_KEY_LEN];
	bool			has_private_key;
	uint16_t		listen_port, mtu;	/* 0: not given */
	uint8_t			addresses_count, dns_count;
	struct address		addresses[WIREGUARD_ADDRESSES_MAX];
	struct address		dns[WIREGUARD_DNS_MAX];
	uint32_t		peers_count;
	struct wireguard_peer	peers[WIREGUARD_PEERS_MAX];
};

/*
 * wireguard_file_parse(): 0 or -EINVAL with @why, the end of a sentence about the
 * file ("line 3: PrivateKey is no key: ..."). No secret is in @why. @file holds
 * secrets in both cases: clear it.
 */
int wireguard_file_parse(const char *text, size_t len, struct wireguard_file *file, char *why,
			 size_t why_size);

#endif /* HOODY_CONTROL_WIREGUARD_FILE_H */
