// SPDX-License-Identifier: Apache-2.0
/*
 * Peers whose Endpoint is a name, see tunnel.h. The kernel knows addresses only, and
 * follows a peer that speaks from another one by itself; so a peer that answers is
 * left where it is, whatever its name says by now.
 *
 *	no address -> the name's first -> answers: stays
 *	                               -> does not: the next one, or a new one
 *
 * A name that is gone changes nothing: there is nowhere to send it to.
 */
#include "control/tunnel.h"

#include "lib/log.h"

#include <string.h>
#include <time.h>

/*
 * Seconds. A session in use is renewed after 120 (REKEY_AFTER_TIME of the protocol);
 * where that took 15 more nobody is there. A new place has as long to answer, which
 * is three attempts.
 */
#define STALE_S		135
#define PATIENCE_S	15

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const struct address *tunnel_place_choose(const struct address *addresses, unsigned int count,
					  const struct address *now, int64_t age,
					  uint64_t patience)
{
	unsigned int at = 0;

	if (!count || (now->family && age >= 0 && age <= STALE_S))
		return NULL;
	while (at < count && !(now->family && address_equal(&addresses[at], now)))
		at++;
	if (at == count)
		return &addresses[0];
	if (count == 1 || patience <= PATIENCE_S)
		return NULL;
	return &addresses[(at + 1) % count];
}

static const struct knl_tunnel_peer_stats *find(const struct knl_tunnel_stats *stats,
						const uint8_t *key)
{
	for (uint32_t i = 0; i < stats->listed; i++) {
		if (!memcmp(stats->list[i].public_key, key, KNL_TUNNEL_KEY_LEN))
			return &stats->list[i];
	}
	return NULL;
}

static bool has_names(const struct tunnel *tunnel)
{
	for (uint32_t i = 0; i < tunnel->file.peers_count; i++) {
		if (tunnel->file.peers[i].host[0])
			return true;
	}
	return false;
}

bool tunnel_lacks_place(const struct tunnel *tunnel)
{
	for (uint32_t i = 0; i < tunnel->file.peers_count; i++) {
		if (tunnel->file.peers[i].host[0] && !tunnel->places[i].at.address.family)
			return true;
	}
	return false;
}

void tunnel_places_keep(struct tunnel *tunnel)
{
	struct knl_tunnel_stats stats;

	_Static_assert(WIREGUARD_PEERS_MAX <= KNL_TUNNEL_PEERS_MAX, "all are listed");
	if (!tunnel_lacks_place(tunnel) || knl_tunnel_stats(tunnel->index, &stats))
		return;
	for (uint32_t i = 0; i < tunnel->file.peers_count; i++) {
		const struct wireguard_peer *peer = &tunnel->file.peers[i];
		const struct knl_tunnel_peer_stats *now = find(&stats, peer->public_key);

		if (peer->host[0] && now && now->endpoint.port && !tunnel->places[i].at.port)
			tunnel->places[i].at = now->endpoint;
	}
}

static void follow_one(struct tunnel *tunnel, uint32_t i, const struct knl_tunnel_peer_stats *now,
		       const struct address *addresses, unsigned int count)
{
	const struct wireguard_peer *peer = &tunnel->file.peers[i];
	const int64_t age = now->last_handshake ? (int64_t)time(NULL) - now->last_handshake : -1;
	const uint64_t since = (now_us() - tunnel->places[i].set_us) / 1000000;
	const struct address *next = tunnel_place_choose(addresses, count, &now->endpoint.address,
							 age, since);
	struct address_listen place = { .port = peer->endpoint.port };
	char text[ADDRESS_LISTEN_TEXT_MAX];
	int ret;

	if (!next)
		return;
	place.address = *next;
	address_listen_format(&place, text);
	ret = knl_tunnel_endpoint(tunnel->index, peer->public_key, &place);
	if (ret) {
		log_error("a tunnel's peer stays where it was: interface=" KNL_TUNNEL_PREFIX
			  "%u name=%s endpoint=%s error=\"%s\"", tunnel->index, peer->host, text,
			  strerror(-ret));
		return;
	}
	tunnel->places[i] = (struct tunnel_place){ .at = place, .set_us = now_us() };
	log_info("event=tunnel_endpoint interface=" KNL_TUNNEL_PREFIX "%u name=%s endpoint=%s",
		 tunnel->index, peer->host, text);
}

void tunnel_places_follow(struct tunnel *tunnel, tunnel_lookup *lookup, void *context)
{
	struct address addresses[EXIT_ADDRESSES_MAX];
	struct knl_tunnel_stats stats;

	if (!tunnel->ready || !has_names(tunnel) || knl_tunnel_stats(tunnel->index, &stats))
		return;
	for (uint32_t i = 0; i < tunnel->file.peers_count; i++) {
		const struct wireguard_peer *peer = &tunnel->file.peers[i];
		const struct knl_tunnel_peer_stats *now = find(&stats, peer->public_key);

		if (peer->host[0] && now)
			follow_one(tunnel, i, now, addresses,
				   lookup(context, peer->host, addresses));
	}
}
