/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tunnels of exits of kind wireguard: one for each distinct file that a
 * running container's exit names, however many do. Their interfaces belong to the
 * host and stay when the agent ends; the next one finds them by their alias and
 * goes on with them, and removes what nobody wants any more.
 *
 *	file -> hash -> index -> interface, table, mark (kernel/wireguard.h)
 *	                      -> rules of the packet filter, for all of them at once
 */
#ifndef HOODY_CONTROL_TUNNEL_H
#define HOODY_CONTROL_TUNNEL_H

#include "control/wireguard_file.h"
#include "kernel/wireguard.h"
#include "relay/exit.h"

#define TUNNEL_HASH_LEN	32

/* Where a peer is that its file names. */
struct tunnel_place {
	struct address_listen	at;	/* without a family: not known yet */
	uint64_t		set_us;	/* CLOCK_MONOTONIC */
};

struct tunnel {
	uint8_t			hash[TUNNEL_HASH_LEN];	/* of the file's text */
	unsigned int		index;
	bool			wanted;		/* by tunnels_begin() and what followed */
	bool			ready;		/* interface and filter are in place */
	uint64_t		since_us;	/* CLOCK_MONOTONIC: ready, or not */
	char			fault[192];
	unsigned int		health;		/* as it was seen last */
	int64_t			health_since, fault_at;	/* seconds since 1970; 0: never */
	char			last_fault[192];	/* why it was down last */
	struct wireguard_file	file;		/* secrets */
	struct tunnel_place	places[WIREGUARD_PEERS_MAX];
};

struct tunnels;

struct tunnels *tunnels_create(void);
/* The kernel keeps what it has. */
void tunnels_destroy(struct tunnels *tunnels);

void tunnel_hash(const char *text, size_t len, uint8_t hash[TUNNEL_HASH_LEN]);

/* NULL where there is none. */
struct tunnel *tunnels_at(const struct tunnels *tunnels, unsigned int index);
struct tunnel *tunnels_find(const struct tunnels *tunnels, const uint8_t hash[TUNNEL_HASH_LEN]);

/*
 * tunnels_need(): that of the file with @hash, made where it is not there, and
 * wanted from now on. NULL with errno and @fault, in words for people.
 */
struct tunnel *tunnels_need(struct tunnels *tunnels, const char *text,
			    const uint8_t hash[TUNNEL_HASH_LEN], char *fault, size_t fault_size);

/*
 * Those that nobody asks for between the two are removed. Call it when nothing is
 * steered into them any more.
 */
void tunnels_begin(struct tunnels *tunnels);
void tunnels_end(struct tunnels *tunnels);

/* Makes again what somebody took away, or could not be made. True where it made one. */
bool tunnels_repair(struct tunnels *tunnels);

enum tunnel_health {
	TUNNEL_UNKNOWN,		/* no handshake yet, or none is due */
	TUNNEL_UP,
	TUNNEL_DOWN,
};

/*
 * @stats may be all 0. @fault: why it is down, or NULL. Notes when it has changed, as
 * far as somebody looks.
 */
enum tunnel_health tunnel_health(struct tunnel *tunnel, const struct knl_tunnel_stats *stats,
				 const char **fault);

/* --- tunnel_place.c: peers that are given by name --- */

/* The good addresses of a name, the best first, and how many there are. */
typedef unsigned int tunnel_lookup(void *context, const char *name,
				   struct address addresses[EXIT_ADDRESSES_MAX]);

/* Takes over what the kernel has of them, when an earlier agent made the interface. */
void tunnel_places_keep(struct tunnel *tunnel);
/* Moves peers that do not answer to where their names lead now. */
void tunnel_places_follow(struct tunnel *tunnel, tunnel_lookup *lookup, void *context);
/* Whether there is a peer that nothing can be sent to, for want of an address. */
bool tunnel_lacks_place(const struct tunnel *tunnel);

/*
 * tunnel_place_choose(): which of the @count @addresses a peer is to have, or NULL: it
 * stays where it is. @age: seconds since the last handshake, or less than 0 without one;
 * @patience: since it was sent where it is.
 */
const struct address *tunnel_place_choose(const struct address *addresses, unsigned int count,
					  const struct address *now, int64_t age,
					  uint64_t patience);

#endif /* HOODY_CONTROL_TUNNEL_H */
