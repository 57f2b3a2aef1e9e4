/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By which way what a container opens leaves the host: its exit, kept as one
 * document for each container. The decision is a part of the container's
 * firewall policy (network_policy()), so that both change in one step; what
 * carries the bytes is the relay (relay_daemon.h).
 *
 *	document -> struct network_settings -> flags of the policy -> kernel
 *	                                    -> the relay's policy, or a tunnel
 *
 * A container without a document leaves directly. Fails closed: where an exit
 * cannot be enforced the container is not started and the call refused.
 */
#ifndef HOODY_CONTROL_NETWORK_H
#define HOODY_CONTROL_NETWORK_H

#include "control/control.h"
#include "control/id_table.h"
#include "control/relay_daemon.h"
#include "control/resolve.h"
#include "control/tunnel.h"
#include "firewall/policy.h"
#include "relay/exit.h"

#include <stdio.h>
#include <yyjson.h>

#define NETWORK_EXIT_MAX	2048	/* bytes of an exit as text, percent-encoded */
#define NETWORK_CA_MAX		65536	/* bytes of PEM */

struct firewall_rules;

struct network_settings {
	uint8_t			id[ID_LEN];
	struct exit_spec	spec;
	char			*text;	/* the exit as it was given: a secret */
	char			*ca;	/* PEM, or NULL */
	char			*wireguard;	/* the file of EXIT_WIREGUARD: a secret */
	uint8_t			tunnel[TUNNEL_HASH_LEN];	/* of that file */
	struct address		tunnel_dns[RELAY_DNS_MAX];	/* its servers of names */
	uint8_t			tunnel_dns_count;
	uint8_t			dns_count;
	struct address		dns[RELAY_DNS_MAX];
};

struct network {
	struct control		*control;
	struct relay_daemon	*daemon;	/* NULL: not needed so far */
	struct resolver		*resolver;	/* the same */
	struct tunnels		*tunnels;
	struct id_table		settings;	/* struct network_settings */
	bool			retry;		/* the relay lacks the last policy */
	uint8_t			servers_count;	/* of the host's resolv.conf */
	struct address		servers[RELAY_DNS_MAX];
};

const struct network_settings *network_find(const struct network *network,
					    const uint8_t id[ID_LEN]);

/* A document's fields. All but @exit may be NULL; @dns is an array of texts. */
struct network_fields {
	const char	*exit, *ca, *wireguard;
	yyjson_val	*dns;
};

struct network_fault {
	const char	*field;
	char		why[256];	/* the end of a sentence about it */
};

/* NULL with errno EINVAL and @fault, or ENOMEM. */
struct network_settings *network_settings_create(const uint8_t id[ID_LEN],
						 const struct network_fields *fields,
						 struct network_fault *fault);
void network_settings_free(struct network_settings *settings);
/* Overwritten first; NULL is fine. */
void network_secret_free(char *text);

/*
 * network_policy(): puts the container's exit into its policy. Where the interface
 * is not there the policy is one under which nothing leaves.
 */
void network_policy(const struct network *network, const struct container *container,
		    struct fw_policy *policy);

/* --- network_relay.c --- */

/* The relay process is there, or is being started. 0 or a negative errno. */
int network_need_relay(struct network *network);
/* From one control process to the next, see handover.h: there is a relay, and what it leaves. */
bool network_has_relay(const struct control *control);
void network_save(struct control *control, struct handover *handover);
/* Relays of the control process before this one; NULL: there are none. */
yyjson_val *network_left_relay(const struct control *control);
/*
 * network_replace_relay(): a relay of this program is to come before a worker of it;
 * false where there is none to replace. Once it is ready the worker is started, and
 * where it does not come up the upgrade is given up. network_waits_for_relay(): it is
 * not ready yet. network_take_over_relay(): the worker serves, and so may the relay.
 */
bool network_replace_relay(struct control *control);
bool network_waits_for_relay(const struct control *control);
void network_take_over_relay(struct control *control);

/* --- network.c --- */

/* The names that are known; false: none is looked up here. */
bool network_save_names(struct control *control, struct handover *handover);
/* Rules about names have changed: the relay hears of them. */
void network_names_changed(struct network *network);

/* --- network_names.c --- */

/*
 * The servers that the host asks, where a container has no others. Returns true where
 * they are not those that were read before.
 */
bool network_read_servers(struct network *network);
/* The container's rules, or NULL. */
const struct firewall_rules *network_rules(const struct network *network,
					   const struct container *container);
/* Whether the container's exit is a tunnel. */
bool network_has_tunnel(const struct network *network, const uint8_t id[ID_LEN]);
/* Whether it is one, and its file names no server to ask for names. */
bool network_lacks_servers(const struct network *network, const uint8_t id[ID_LEN]);
/* Whether something of a container goes through the relay. */
bool network_is_relayed(const struct network *network, const struct container *container);
/* All of those, in the order of ids, to free(); NULL without memory. */
const struct container **network_list_relayed(const struct network *network, size_t *count);

/*
 * network_store(): @settings, taken over, become the container's, in database,
 * kernel and relay. @done is called at once or later, when nothing leaves by the
 * old exit any more. 0, or a negative errno with nothing changed and @fault.
 */
int network_store(struct network *network, const struct container *container,
		  struct network_settings *settings, relay_daemon_done *done, void *context,
		  char *fault, size_t fault_size);

/*
 * Names of proxies and of tunnels' peers: those of running containers' exits are looked
 * up, others no more.
 */
void network_hosts_sync(struct network *network);
/* What looks names up is there. 0 or a negative errno. */
int network_need_resolver(struct network *network);
/* From now on looked up, until network_hosts_sync() does not ask for it any more. */
void network_host_need(struct network *network, const char *host);
/* The addresses of a name, as far as they are known and no name may not have them. */
unsigned int network_host_find(const struct network *network, const char *host,
			       struct address addresses[EXIT_ADDRESSES_MAX]);
/* Where the exit's proxy is, as far as it is known; how many addresses there are. */
unsigned int network_hosts_find(const struct network *network, const struct exit_spec *spec,
				struct address addresses[EXIT_ADDRESSES_MAX]);

/* --- network_tunnel.c --- */

/* For a policy; 0: not there yet, and nothing leaves. */
uint8_t network_tunnel_index(const struct network *network,
			     const struct network_settings *settings);
/* Makes it, or finds it. 0, or a negative errno with @fault. */
int network_tunnel_need(struct network *network, const struct network_settings *settings,
			char *fault, size_t size);
/* Makes what running containers need and removes the rest; after their policies. */
void network_tunnels_sync(struct network *network);
/* Now and then. */
void network_tunnels_repair(struct network *network);
/* The names of its peers, for resolver_need(). */
void network_tunnel_hosts(struct network *network, const struct network_settings *settings);
/* Peers that are given by name are sent where their names lead. */
void network_tunnels_follow(struct network *network);

/* How many there are of each health; @counts is by enum relay_health. */
void network_tunnels_count(const struct network *network, uint32_t counts[RELAY_HEALTHS]);

/* --- network_metrics.c --- */

/* A word for the API and for labels. */
const char *network_health_name(uint32_t health);
/* Asks the relay for its counters; @done is called in any case, perhaps at once. */
void network_totals(const struct network *network, relay_daemon_totals_done *done, void *context);
/* Exits as text for Prometheus; @totals may be NULL, and so may @network. */
void network_metrics(const struct network *network, const struct relay_totals *totals, FILE *out);

#endif /* HOODY_CONTROL_NETWORK_H */
