// SPDX-License-Identifier: Apache-2.0
/*
 * Exits of kind wireguard: which tunnels running containers need, and which one a
 * container's policy names. A policy gets the number of a tunnel only once the
 * routing and the filter that go with its mark are there: before, nothing leaves.
 */
#include "control/firewall.h"
#include "control/network.h"
#include "lib/log.h"

#include <errno.h>
#include <string.h>

static const struct container *running(const struct network *network,
				       const struct network_settings *settings)
{
	const struct container *container = model_find(network->control->model, settings->id);

	return container && container->running && settings->spec.kind == EXIT_WIREGUARD ?
		       container : NULL;
}

uint8_t network_tunnel_index(const struct network *network, const struct network_settings *settings)
{
	const struct tunnel *tunnel = tunnels_find(network->tunnels, settings->tunnel);

	return tunnel && tunnel->ready ? (uint8_t)tunnel->index : 0;
}

int network_tunnel_need(struct network *network, const struct network_settings *settings,
			char *fault, size_t size)
{
	return tunnels_need(network->tunnels, settings->wireguard, settings->tunnel, fault, size) ?
		       0 : -errno;
}

void network_tunnels_sync(struct network *network)
{
	char fault[256];

	tunnels_begin(network->tunnels);
	for (size_t i = 0; i < network->settings.count; i++) {
		const struct network_settings *settings = network->settings.list[i];

		if (running(network, settings) &&
		    network_tunnel_need(network, settings, fault, sizeof(fault)))
			log_error("an exit cannot be put in force, and nothing leaves by it: "
				  "error=\"%s\"", fault);
	}
	tunnels_end(network->tunnels);
	network_hosts_sync(network);
	network_tunnels_follow(network);
}

void network_tunnel_hosts(struct network *network, const struct network_settings *settings)
{
	const struct tunnel *tunnel = tunnels_find(network->tunnels, settings->tunnel);

	for (uint32_t i = 0; tunnel && i < tunnel->file.peers_count; i++) {
		if (tunnel->file.peers[i].host[0])
			network_host_need(network, tunnel->file.peers[i].host);
	}
}

static unsigned int lookup(void *context, const char *name,
			   struct address addresses[EXIT_ADDRESSES_MAX])
{
	return network_host_find(context, name, addresses);
}

void network_tunnels_follow(struct network *network)
{
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		struct tunnel *tunnel = tunnels_at(network->tunnels, i);

		if (tunnel)
			tunnel_places_follow(tunnel, lookup, network);
	}
}

void network_tunnels_repair(struct network *network)
{
	uint32_t unused[RELAY_HEALTHS] = { 0 };

	/* Looked at now and then, so that a change has its time. */
	network_tunnels_count(network, unused);
	network_tunnels_follow(network);
	if (!tunnels_repair(network->tunnels))
		return;
	/* What was said without it: to the relay, and in policies. */
	if (network->daemon)
		network_names_changed(network);
	for (size_t i = 0; i < network->settings.count; i++) {
		const struct container *container = running(network, network->settings.list[i]);

		if (container)
			firewall_apply(network->control->firewall, container);
	}
}

void network_tunnels_count(const struct network *network, uint32_t counts[RELAY_HEALTHS])
{
	struct knl_tunnel_stats stats;
	const char *fault;

	_Static_assert((int)TUNNEL_UNKNOWN == RELAY_HEALTH_UNKNOWN &&
		       (int)TUNNEL_UP == RELAY_HEALTH_UP && (int)TUNNEL_DOWN == RELAY_HEALTH_DOWN,
		       "one health");
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		struct tunnel *tunnel = tunnels_at(network->tunnels, i);

		if (!tunnel)
			continue;
		memset(&stats, 0, sizeof(stats));
		if (tunnel->ready)
			knl_tunnel_stats(i, &stats);
		counts[tunnel_health(tunnel, &stats, &fault)]++;
	}
}
