/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bootstrap configuration: /etc/hoody/agent.conf, see hoody-agent.conf(5).
 *
 * It holds what is needed before the database can be opened, and the limits of
 * the host; policy is never in it. Every key but node, base domain and the
 * certificate has a default. A key that is not known, given twice, or out of
 * its range is an error with file, line, key and what is accepted; all errors
 * of a file are reported, not only the first.
 */
#ifndef HOODY_CONTROL_CONFIG_H
#define HOODY_CONTROL_CONFIG_H

#include "lib/address.h"
#include "lib/image.h"
#include "lib/log.h"

#include <limits.h>
#include <stdbool.h>

#define CONFIG_DEFAULT_FILE	"/etc/hoody/agent.conf"
#define CONFIG_LISTENERS_MAX	16	/* struct ipc_listeners has as many flags */
#define CONFIG_SERVICES_MAX	64
#define CONFIG_USER_MAX		64

struct config_listener {
	struct address_listen	address;
	bool			tls;		/* always where @quic is set */
	bool			quic;		/* HTTP/3, on UDP */
	bool			redirects;	/* plain, leads to TLS and does nothing else */
};

enum config_firewall {
	CONFIG_FIREWALL_AUTO,	/* where the kernel can; rules that it cannot hold refuse a start */
	CONFIG_FIREWALL_ON,	/* or a container with an interface does not start */
	CONFIG_FIREWALL_OFF,
};

enum config_challenge {
	CONFIG_CHALLENGE_AUTO,	/* whatever listeners make possible */
	CONFIG_CHALLENGE_HTTP,
	CONFIG_CHALLENGE_ALPN,
};

struct config {
	struct config_listener	listeners[CONFIG_LISTENERS_MAX];
	unsigned int		listeners_count;
	bool			quic_follows;	/* QUIC on the addresses of TLS */
	char			state_directory[PATH_MAX];
	char			control_socket[108];	/* sizeof(sun_path), unix(7) */
	char			certificate[PATH_MAX];
	char			key[PATH_MAX];
	char			certificates[PATH_MAX];	/* a directory; empty: none */
	uint32_t		ticket_rotation;	/* milliseconds */
	char			acme_directory[512];	/* a URL; empty: no ACME */
	char			acme_contact[256];	/* an address; empty: none */
	char			acme_ca_file[PATH_MAX];	/* empty: the host's own */
	char			acme_program[PATH_MAX];
	enum config_challenge	acme_challenge;
	bool			acme_agree;
	uint32_t		acme_retry;		/* milliseconds */
	char			cgroup[PATH_MAX];	/* empty: control's own */
	char			actions[PATH_MAX];	/* empty: the built-in table */
	char			jwks_directory[PATH_MAX];
	char			worker_user[CONFIG_USER_MAX];
	bool			real_ip;
	bool			early_data;	/* TLS 1.3 0-RTT */
	enum config_firewall	firewall;
	char			firewall_pins[128];	/* a directory of a bpf file system */
	uint32_t		firewall_flows;		/* of the whole host */
	uint32_t		firewall_containers;	/* that share them */
	uint32_t		names_grace;		/* milliseconds: an address outlives its TTL */
	uint32_t		exit_timeout;		/* milliseconds: until a proxy carries a connection */
	uint32_t		exit_probe;		/* milliseconds between probes; 0: none */
	uint32_t		tombstone_days;		/* 0: kept until there are too many */
	uint32_t		drain_timeout;		/* milliseconds */
	uint32_t		handover_timeout;	/* the same, of a worker that was replaced */
	uint32_t		ksm_cpu_percent;	/* of one processor, for ksmd */
	enum log_level		log_level;
	bool			audit_database, audit_journal;
	char			audit_file[PATH_MAX];	/* empty: none */
	uint32_t		audit_ring_records;	/* of each thread; a power of two */
	uint32_t		audit_size_max;		/* bytes of the database */
	uint32_t		audit_keep_days;	/* 0: as long as there is room */
	struct address_listen	metrics;		/* port 0: only on the control socket */
	struct image_settings	settings;		/* node, base domain, limits, times */
	struct image_service	services[CONFIG_SERVICES_MAX];
	unsigned int		services_count;
};

/* Is called with one line, without its end, for every error of a file. */
typedef void config_report(void *context, const char *line);

/*
 * config_load(): reads and checks @path. Returns a configuration that the
 * caller frees with config_free(), or NULL after at least one @report.
 */
struct config *config_load(const char *path, config_report *report, void *context);
void config_free(struct config *config);

/* True where a change from @a to @b needs other sockets; another worker. */
bool config_needs_new_sockets(const struct config *a, const struct config *b);
bool config_needs_new_worker(const struct config *a, const struct config *b);

/* True where it needs a restart of the whole agent; @what gets the key. */
bool config_needs_restart(const struct config *a, const struct config *b, const char **what);

/* True where an audit trail is kept somewhere. */
bool config_audits(const struct config *config);

/* [a-z][a-z0-9]*, as in host names, with room in struct image_service. */
bool config_service_name_ok(const char *name, size_t len);

/* A label or a dotted name of RFC 1123 2.1 in lower case. */
bool config_host_label_ok(const char *name, size_t len);
bool config_host_name_ok(const char *name);

#endif /* HOODY_CONTROL_CONFIG_H */
