// SPDX-License-Identifier: Apache-2.0
/* The relay of exits and names: made when it is needed, and replaced, see network.h. */
#include "control/network.h"

#include "control/firewall.h"
#include "control/handover.h"
#include "control/upgrade.h"

#include <errno.h>

static int attach(void *context, enum fw_relay_socket which, int sock)
{
	struct network *network = context;
	struct firewall *firewall = network->control->firewall;
	int ret = firewall_load(firewall);

	return ret ? ret : knl_bpf_relay_set(firewall->bpf, which, sock);
}

static int learn(void *context, const struct relay_learn *learned)
{
	struct network *network = context;

	return firewall_names_learn(network->control->firewall, learned);
}

/* The relay of the control process before this one; NULL: there is none. */
yyjson_val *network_left_relay(const struct control *control)
{
	return control->handover ? yyjson_obj_get(control->handover->root, "relay") : NULL;
}

/* The process is made once there is something to carry. */
int network_need_relay(struct network *network)
{
	const struct control *control = network->control;
	struct spawn_identity identity;
	int ret;

	if (network->daemon)
		return 0;
	ret = spawn_identity_find(control->config->worker_user, &identity);
	if (ret)
		return ret;
	network->daemon = relay_daemon_create(control->event, &identity, attach, network);
	if (!network->daemon)
		return -ENOMEM;
	relay_daemon_learns(network->daemon, learn);
	ret = network_need_resolver(network);
	if (ret) {
		relay_daemon_destroy(network->daemon);
		network->daemon = NULL;
		return ret;
	}
	network_read_servers(network);
	if (!control->relay_taken && network_left_relay(control)) {
		network->control->relay_taken = true;
		return relay_daemon_adopt(network->daemon, network_left_relay(control));
	}
	return 0;
}

bool network_has_relay(const struct control *control)
{
	return control->network && control->network->daemon;
}

void network_save(struct control *control, struct handover *handover)
{
	/* A program that knows the first format only would never close the sockets. */
	relay_daemon_save(control->network->daemon, handover, handover->format > 1);
}

/* ---- in an upgrade ---- */

static void on_next(void *context, bool ready)
{
	struct network *network = context;

	if (ready)
		supervise_replace(network->control->supervisor);
	else
		upgrade_failed(network->control->upgrade, "its relay ended before it served");
}

bool network_replace_relay(struct control *control)
{
	struct network *network = control->network;

	return network->daemon &&
	       relay_daemon_replace(network->daemon, control->config->handover_timeout, on_next);
}

bool network_waits_for_relay(const struct control *control)
{
	return network_has_relay(control) && relay_daemon_waits(control->network->daemon);
}

void network_take_over_relay(struct control *control)
{
	if (network_has_relay(control))
		relay_daemon_take_over(control->network->daemon);
}
