// SPDX-License-Identifier: Apache-2.0
/* Who asks for names through the relay, and of which servers, see network.h. */
#include "control/network.h"

#include "control/firewall.h"
#include "control/handover.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* resolv.conf(5) */
#define PATH	"/etc/resolv.conf"

bool network_read_servers(struct network *network)
{
	struct address servers[RELAY_DNS_MAX];
	FILE *file = fopen(PATH, "re");
	uint8_t count = 0;
	char line[256];
	bool same;

	memset(servers, 0, sizeof(servers));
	while (file && count < RELAY_DNS_MAX && fgets(line, sizeof(line), file)) {
		char *text = line + strlen("nameserver");

		if (strncmp(line, "nameserver", strlen("nameserver")) || !strspn(text, " \t"))
			continue;
		text += strspn(text, " \t");
		/* One with a zone (fe80::1%eth0) is not asked. */
		if (!address_parse(text, strcspn(text, " \t\r\n"), &servers[count]))
			count++;
	}
	if (file)
		fclose(file);
	same = count == network->servers_count;
	for (unsigned int i = 0; same && i < count; i++)
		same = address_equal(&servers[i], &network->servers[i]);
	memcpy(network->servers, servers, sizeof(servers));
	network->servers_count = count;
	return !same;
}

const struct firewall_rules *network_rules(const struct network *network,
					   const struct container *container)
{
	const struct firewall *firewall = network->control->firewall;
	const struct firewall_entry *entry = firewall ? firewall_find(firewall, container->id) :
							NULL;

	return entry ? entry->rules : NULL;
}

bool network_has_tunnel(const struct network *network, const uint8_t id[ID_LEN])
{
	const struct network_settings *settings = network_find(network, id);

	return settings && settings->spec.kind == EXIT_WIREGUARD;
}

bool network_lacks_servers(const struct network *network, const uint8_t id[ID_LEN])
{
	const struct network_settings *settings = network_find(network, id);

	return network_has_tunnel(network, id) && !settings->tunnel_dns_count;
}

bool network_is_relayed(const struct network *network, const struct container *container)
{
	const struct network_settings *settings = network_find(network, container->id);

	if (!container->running || !container->netdev[0])
		return false;
	if (settings && (exit_is_relayed(&settings->spec) || settings->dns_count))
		return true;
	return firewall_has_names(network_rules(network, container));
}

static void hosts_changed(void *context)
{
	network_names_changed(context);
	network_tunnels_follow(context);
}

int network_need_resolver(struct network *network)
{
	const struct control *control = network->control;
	struct spawn_identity identity;
	int ret;

	if (network->resolver)
		return 0;
	ret = spawn_identity_find(control->config->worker_user, &identity);
	if (ret)
		return ret;
	network->resolver = resolver_create(control->event, &identity, hosts_changed, network);
	if (!network->resolver)
		return -ENOMEM;
	/* What the control process before this one knew. */
	if (control->handover)
		resolver_adopt(network->resolver,
			       yyjson_obj_get(control->handover->root, "resolver"));
	return 0;
}

void network_host_need(struct network *network, const char *host)
{
	if (network_need_resolver(network) || resolver_need(network->resolver, host))
		log_error("a name of an exit is not looked up: there are too many, or no memory: "
			  "name=%s", host);
}

/* What is no longer asked for is forgotten with its name. */
void network_hosts_sync(struct network *network)
{
	const struct model *model = network->control->model;

	if (network->resolver)
		resolver_begin(network->resolver);
	for (size_t i = 0; i < network->settings.count; i++) {
		const struct network_settings *settings = network->settings.list[i];
		const struct container *container = model_find(model, settings->id);

		if (!container || !container->running)
			continue;
		if (settings->spec.host[0])
			network_host_need(network, settings->spec.host);
		else if (settings->spec.kind == EXIT_WIREGUARD)
			network_tunnel_hosts(network, settings);
	}
	if (network->resolver)
		resolver_end(network->resolver);
}

unsigned int network_hosts_find(const struct network *network, const struct exit_spec *spec,
				struct address addresses[EXIT_ADDRESSES_MAX])
{
	if (spec->host[0])
		return network_host_find(network, spec->host, addresses);
	addresses[0] = spec->address;
	return 1;
}

unsigned int network_host_find(const struct network *network, const char *host,
			       struct address addresses[EXIT_ADDRESSES_MAX])
{
	struct address known[EXIT_ADDRESSES_MAX];
	unsigned int count, good = 0;

	/* Who answers for the name decides about a proxy, not about the host's own services. */
	if (!network->control->firewall)
		return 0;
	count = resolver_find(network->resolver, host, known);
	for (unsigned int i = 0; i < count; i++) {
		if (!firewall_names_forbid(network->control->firewall, &known[i]))
			addresses[good++] = known[i];
	}
	return good;
}

static int compare_containers(const void *a, const void *b)
{
	return memcmp((*(const struct container *const *)a)->id,
		      (*(const struct container *const *)b)->id, ID_LEN);
}

const struct container **network_list_relayed(const struct network *network, size_t *count)
{
	const struct model *model = network->control->model;
	const size_t all = model_containers_count(model);
	const struct container **list = calloc(all + 1, sizeof(*list));

	*count = 0;
	for (size_t i = 0; list && i < all; i++) {
		if (network_is_relayed(network, model_container_at(model, i)))
			list[(*count)++] = model_container_at(model, i);
	}
	if (list)
		qsort(list, *count, sizeof(*list), compare_containers);
	return list;
}
