/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose connections the relay takes, and where to: what control sends, and the
 * table that is made of it. As JSON:
 *
 *	{"containers":[{"id":"...","addresses":["10.0.0.2"],"exit":N,
 *			"dns":["192.0.2.53"],"interface":"hoody-wg1",
 *			"names":{"closed":true,"allow":["*.example.com"],"deny":[],
 *				 "strict":[["*.example.com",6,443,443]]}}],
 *	 "exits":[{"kind":"socks5","host":"...","addresses":["192.0.2.1"],"port":1080,
 *		   "user":"...","password":"...","ca":"PEM"}],
 *	 "timeout_ms":15000,"probe_ms":30000}
 *
 * "host": where the proxy is known by a name, whose addresses are what is known of
 * them now, perhaps none; else there is one. "exit" null: directly; such a container
 * is here for its names. "interface": what is asked and carried directly leaves by it
 * alone, empty: by nothing, for its tunnel is not there. "names": its rules about them, sorted; without them every
 * name is asked. "strict": pattern, protocol and ports of the allow rules, where
 * connections are held against them (strict.h). "timeout_ms": until an exit must
 * carry a connection; "probe_ms": between probes of one that works, 0: none.
 *
 * Containers with the same exit share one: its health is one, and a policy that
 * names it again keeps it and its connections.
 */
#ifndef HOODY_RELAY_POLICY_H
#define HOODY_RELAY_POLICY_H

#include "lib/id.h"
#include "names/name.h"
#include "relay/exit.h"
#include "relay/protocol.h"

#include <net/if.h>
#include <openssl/ssl.h>

/* Where the proxy is. One that has been reached is tried first the next time. */
struct relay_places {
	uint8_t			count, first;
	struct address		addresses[EXIT_ADDRESSES_MAX];
};

struct relay_exit {
	struct exit_spec	spec;
	char			*ca;		/* PEM; NULL: the system's */
	unsigned int		references;
	struct relay_places	places;
	SSL_CTX			*tls;		/* EXIT_HTTPS only */
	enum relay_health	health;
	uint64_t		health_since;	/* loop time */
	char			fault[32];	/* the last; stays when it works again */
	uint64_t		fault_at;	/* loop time; 0: never */
	uint64_t		probe_at;	/* loop time: due then */
	uint32_t		probe_backoff;	/* milliseconds */
	bool			probing;
	uint64_t		probes, probes_failed;
	uint64_t		no_udp_until;	/* loop time: it has refused UDP ASSOCIATE */
};

struct relay_names {
	bool			only;		/* there are rules */
	bool			closed;		/* what none allows is refused */
	struct name_set		allow, deny;
	bool			strict;		/* see strict.h, as the openings */
	size_t			openings_count;
	struct strict_opening	*openings;
};

struct relay_container {
	uint8_t			id[ID_LEN];
	struct relay_exit	*exit;		/* NULL: directly */
	struct relay_names	names;
	uint8_t			dns_count;
	struct address		dns[RELAY_DNS_MAX];
	bool			bound;		/* sockets without an exit leave by @interface */
	char			interface[IFNAMSIZ];	/* empty: there is none now */
	struct relay_stats	stats;
};

struct relay_policy;

/*
 * relay_policy_create(): from @len bytes; exits and counters that @old (may be
 * NULL) has too are taken over, not copied: @old may only be destroyed after
 * that. NULL with errno EBADMSG or ENOMEM, and @old as it was.
 * @trust: the system's certificates, for proxies without a CA of their own.
 */
struct relay_policy *relay_policy_create(const char *json, size_t len,
					 const struct relay_policy *old, X509_STORE *trust);
void relay_policy_destroy(struct relay_policy *policy);

struct relay_times {
	uint32_t	timeout_ms, probe_ms;
};

const struct relay_times *relay_policy_times(const struct relay_policy *policy);
struct relay_exit *const *relay_policy_exits(const struct relay_policy *policy, size_t *count);
const struct relay_container *relay_policy_containers(const struct relay_policy *policy,
						      size_t *count);

/* NULL where no container has it. */
struct relay_container *relay_policy_by_address(const struct relay_policy *policy,
						const struct address *address);
struct relay_container *relay_policy_by_id(const struct relay_policy *policy,
					   const uint8_t id[ID_LEN]);

/*
 * Whether what it asks of port 53 is the forwarder's. With rules about names it is
 * without a server too: then no name is answered, and none leaves by the exit.
 */
static inline bool relay_policy_forwards(const struct relay_container *container)
{
	return container->dns_count || container->names.only;
}

void relay_exit_get(struct relay_exit *exit);
void relay_exit_put(struct relay_exit *exit);

/*
 * TLS towards the proxy of EXIT_HTTPS, whose certificate must name what the exit
 * names: an address, or a name. NULL without memory.
 */
SSL *relay_exit_make_tls(const struct relay_exit *exit, int fd);

#endif /* HOODY_RELAY_POLICY_H */
