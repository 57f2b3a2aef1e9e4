// SPDX-License-Identifier: Apache-2.0
/*
 * The keys of agent.conf, see config_keys.h. A new key is one line in the table
 * at the end, one field in struct config, and one paragraph in
 * hoody-agent.conf(5).
 */
#include "control/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char	*name;
	uint64_t	factor;
};

/*
 * A decimal number with one of @units behind it ("": alone), as a product in
 * the field's unit. -EINVAL where it is none, or where it is out of range.
 */
static int parse_number(const char *value, const struct unit *units, uint64_t min, uint64_t max,
			uint64_t *result)
{
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno)
		return -EINVAL;
	while (*end == ' ')
		end++;
	for (; units->name; units++) {
		if (strcmp(end, units->name))
			continue;
		if (number > UINT64_MAX / units->factor)
			return -EINVAL;
		number *= units->factor;
		if (number < min || number > max)
			return -EINVAL;
		*result = number;
		return 0;
	}
	return -EINVAL;
}

static void store_u32(const struct config_key *key, struct config *config, uint64_t number)
{
	*(uint32_t *)((char *)config + key->offset) = (uint32_t)number;
}

static int set_count(const struct config_key *key, struct config *config, const char *value,
		     bool first, char *fault, size_t fault_size)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };
	uint64_t number;

	if (parse_number(value, units, key->min, key->max, &number)) {
		snprintf(fault, fault_size, "'%s' is no number from %llu to %llu", value,
			 (unsigned long long)key->min, (unsigned long long)key->max);
		return -EINVAL;
	}
	store_u32(key, config, number);
	return 0;
}

static int set_bytes(const struct config_key *key, struct config *config, const char *value,
		     bool first, char *fault, size_t fault_size)
{
	static const struct unit units[] = {
		{ "", 1 }, { "K", 1024 }, { "M", 1024 * 1024 }, { NULL, 0 },
	};
	uint64_t number;

	if (parse_number(value, units, key->min, key->max, &number)) {
		snprintf(fault, fault_size,
			 "'%s' is no size from %llu to %llu bytes; 16384, 16K and 1M are understood",
			 value, (unsigned long long)key->min, (unsigned long long)key->max);
		return -EINVAL;
	}
	store_u32(key, config, number);
	return 0;
}

static int set_time(const struct config_key *key, struct config *config, const char *value,
		    bool first, char *fault, size_t fault_size)
{
	static const struct unit units[] = {
		{ "", 1000 },	{ "ms", 1 },	    { "s", 1000 },
		{ "m", 60000 }, { "h", 3600000 }, { NULL, 0 },
	};
	uint64_t number;

	if (parse_number(value, units, key->min, key->max, &number)) {
		snprintf(fault, fault_size,
			 "'%s' is no time from %llu to %llu ms; 30, 30s, 500ms, 5m and 1h are understood",
			 value, (unsigned long long)key->min, (unsigned long long)key->max);
		return -EINVAL;
	}
	store_u32(key, config, number);
	return 0;
}

static int set_path(const struct config_key *key, struct config *config, const char *value,
		    bool first, char *fault, size_t fault_size)
{
	if (value[0] != '/') {
		snprintf(fault, fault_size, "'%s' is no absolute path", value);
		return -EINVAL;
	}
	if (strlen(value) >= key->size) {
		snprintf(fault, fault_size, "the path is longer than %zu bytes", key->size - 1);
		return -EINVAL;
	}
	snprintf((char *)config + key->offset, key->size, "%s", value);
	return 0;
}

static int set_cgroup(const struct config_key *key, struct config *config, const char *value,
		      bool first, char *fault, size_t fault_size)
{
	if (!strcmp(value, "auto")) {
		config->cgroup[0] = '\0';
		return 0;
	}
	if (value[0] != '/' || strstr(value, "/../")) {
		snprintf(fault, fault_size,
			 "'%s' is neither auto nor a path below the cgroup2 mount that starts with /",
			 value);
		return -EINVAL;
	}
	return set_path(key, config, value, first, fault, fault_size);
}

static int set_firewall(const struct config_key *key, struct config *config, const char *value,
			bool first, char *fault, size_t fault_size)
{
	static const char *const words[] = {
		[CONFIG_FIREWALL_AUTO] = "auto", [CONFIG_FIREWALL_ON] = "on", [CONFIG_FIREWALL_OFF] = "off",
	};

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(value, words[i])) {
			config->firewall = i;
			return 0;
		}
	}
	snprintf(fault, fault_size, "'%s' is none of auto, on and off", value);
	return -EINVAL;
}

static int set_actions(const struct config_key *key, struct config *config, const char *value,
		       bool first, char *fault, size_t fault_size)
{
	if (!strcmp(value, "built-in")) {
		config->actions[0] = '\0';
		return 0;
	}
	if (value[0] != '/') {
		snprintf(fault, fault_size, "'%s' is neither built-in nor an absolute path", value);
		return -EINVAL;
	}
	return set_path(key, config, value, first, fault, fault_size);
}

static int set_file(const struct config_key *key, struct config *config, const char *value,
		    bool first, char *fault, size_t fault_size)
{
	if (!strcmp(value, "none")) {
		*((char *)config + key->offset) = '\0';
		return 0;
	}
	if (value[0] != '/') {
		snprintf(fault, fault_size, "'%s' is neither none nor an absolute path", value);
		return -EINVAL;
	}
	return set_path(key, config, value, first, fault, fault_size);
}

/* Printable and without blanks: it becomes an argument of another program. */
static bool is_word(const char *value, size_t size)
{
	for (const char *at = value; *at; at++) {
		if (*at <= ' ' || *at > '~')
			return false;
	}
	return value[0] && value[0] != '-' && strlen(value) < size;
}

static int set_url(const struct config_key *key, struct config *config, const char *value,
		   bool first, char *fault, size_t fault_size)
{
	char *field = (char *)config + key->offset;

	if (!strcmp(value, "none")) {
		field[0] = '\0';
		return 0;
	}
	if (strncmp(value, "https://", 8) || !is_word(value + 8, key->size - 8)) {
		snprintf(fault, fault_size, "'%s' is neither none nor a URL that starts with https://", value);
		return -EINVAL;
	}
	snprintf(field, key->size, "%s", value);
	return 0;
}

static int set_contact(const struct config_key *key, struct config *config, const char *value,
		       bool first, char *fault, size_t fault_size)
{
	char *field = (char *)config + key->offset;

	if (!strcmp(value, "none")) {
		field[0] = '\0';
		return 0;
	}
	if (!is_word(value, key->size) || !strchr(value, '@')) {
		snprintf(fault, fault_size, "'%s' is neither none nor a mail address", value);
		return -EINVAL;
	}
	snprintf(field, key->size, "%s", value);
	return 0;
}

static int set_challenge(const struct config_key *key, struct config *config, const char *value,
			 bool first, char *fault, size_t fault_size)
{
	static const char *const words[] = {
		[CONFIG_CHALLENGE_AUTO] = "auto",
		[CONFIG_CHALLENGE_HTTP] = "http-01",
		[CONFIG_CHALLENGE_ALPN] = "tls-alpn-01",
	};

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(value, words[i])) {
			config->acme_challenge = i;
			return 0;
		}
	}
	snprintf(fault, fault_size, "'%s' is none of auto, http-01 and tls-alpn-01", value);
	return -EINVAL;
}

static int set_audit_query(const struct config_key *key, struct config *config, const char *value,
			   bool first, char *fault, size_t fault_size)
{
	static const char *const words[] = {
		[IMAGE_AUDIT_DROP] = "drop", [IMAGE_AUDIT_NAMES] = "names",
		[IMAGE_AUDIT_KEEP] = "keep",
	};

	for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(value, words[i])) {
			config->settings.audit_query = i;
			return 0;
		}
	}
	snprintf(fault, fault_size, "'%s' is none of drop, names, keep", value);
	return -EINVAL;
}

static int set_ring_records(const struct config_key *key, struct config *config,
			    const char *value, bool first, char *fault, size_t fault_size)
{
	if (set_count(key, config, value, first, fault, fault_size))
		return -EINVAL;
	if (config->audit_ring_records & (config->audit_ring_records - 1)) {
		snprintf(fault, fault_size, "'%s' is no power of two", value);
		return -EINVAL;
	}
	return 0;
}

static int set_metrics(const struct config_key *key, struct config *config, const char *value,
		       bool first, char *fault, size_t fault_size)
{
	memset(&config->metrics, 0, sizeof(config->metrics));
	if (!strcmp(value, "none"))
		return 0;
	if (address_listen_parse(value, 9745, &config->metrics)) {
		snprintf(fault, fault_size,
			 "'%s' is neither none nor an address; 127.0.0.1:9745 is understood", value);
		return -EINVAL;
	}
	return 0;
}

static int set_threads(const struct config_key *key, struct config *config, const char *value,
		       bool first, char *fault, size_t fault_size)
{
	if (!strcmp(value, "auto")) {
		config->settings.threads = 0;
		return 0;
	}
	if (set_count(key, config, value, first, fault, fault_size)) {
		snprintf(fault, fault_size, "'%s' is neither auto nor a number from 1 to 64", value);
		return -EINVAL;
	}
	return 0;
}

static int set_switch(const struct config_key *key, struct config *config, const char *value,
		      bool first, char *fault, size_t fault_size)
{
	bool *field = (bool *)((char *)config + key->offset);

	if (!strcmp(value, "on") || !strcmp(value, "off")) {
		*field = value[1] == 'n';
		return 0;
	}
	snprintf(fault, fault_size, "'%s' is neither on nor off", value);
	return -EINVAL;
}

static int set_level(const struct config_key *key, struct config *config, const char *value,
		     bool first, char *fault, size_t fault_size)
{
	static const struct {
		const char	*name;
		enum log_level	level;
	} levels[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warning", LOG_LEVEL_WARNING },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(value, levels[i].name)) {
			config->log_level = levels[i].level;
			return 0;
		}
	}
	snprintf(fault, fault_size, "'%s' is none of error, warning, info, debug", value);
	return -EINVAL;
}

static int set_user(const struct config_key *key, struct config *config, const char *value,
		    bool first, char *fault, size_t fault_size)
{
	if (!value[0] || strlen(value) >= key->size || strpbrk(value, ":/ ")) {
		snprintf(fault, fault_size, "'%s' is no user name", value);
		return -EINVAL;
	}
	snprintf((char *)config + key->offset, key->size, "%s", value);
	return 0;
}

/* Host names are kept in lower case: they are compared with what clients send. */
static int set_host(const struct config_key *key, struct config *config, const char *value,
		    bool first, char *fault, size_t fault_size)
{
	char lower[IMAGE_DOMAIN_MAX];
	size_t len = strlen(value);
	bool label = key->size == IMAGE_NAME_MAX;

	if (len < sizeof(lower)) {
		for (size_t i = 0; i <= len; i++)
			lower[i] = (char)tolower((unsigned char)value[i]);
		if (label ? config_host_label_ok(lower, len) : config_host_name_ok(lower)) {
			snprintf((char *)config + key->offset, key->size, "%s", lower);
			return 0;
		}
	}
	snprintf(fault, fault_size,
		 label ? "'%s' is no host name label: letters, digits and '-', at most 63"
		       : "'%s' is no domain name: labels of letters, digits and '-', with dots between",
		 value);
	return -EINVAL;
}

static int add_listener(struct config *config, const char *text, struct config_listener kind,
			char *fault, size_t fault_size)
{
	struct config_listener *listener = &config->listeners[config->listeners_count];

	if (config->listeners_count == CONFIG_LISTENERS_MAX) {
		snprintf(fault, fault_size, "more than %d listen addresses", CONFIG_LISTENERS_MAX);
		return -EINVAL;
	}
	*listener = kind;
	if (address_listen_parse(text, kind.tls ? 443 : 80, &listener->address)) {
		snprintf(fault, fault_size,
			 "'%s' is no address; 0.0.0.0:443, [::]:443 and 192.0.2.1 are understood", text);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < config->listeners_count; i++) {
		struct config_listener *other = &config->listeners[i];

		if (other->quic == listener->quic && other->address.port == listener->address.port &&
		    address_equal(&other->address.address, &listener->address.address)) {
			snprintf(fault, fault_size, "'%s' is listed twice", text);
			return -EINVAL;
		}
	}
	config->listeners_count++;
	return 0;
}

static void remove_listeners(struct config *config, struct config_listener kind)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < config->listeners_count; i++) {
		if (config->listeners[i].tls != kind.tls ||
		    config->listeners[i].quic != kind.quic ||
		    config->listeners[i].redirects != kind.redirects)
			config->listeners[kept++] = config->listeners[i];
	}
	config->listeners_count = kept;
}

/* A list with commas; the first line of this key takes the place of the default. */
static int set_listen(const struct config_key *key, struct config *config, const char *value,
		      bool first, char *fault, size_t fault_size)
{
	struct config_listener kind = { .quic = !strcmp(key->name, "quic"),
					.redirects = !strcmp(key->name, "http") };
	char copy[1024], *next = copy, *text;

	kind.tls = kind.quic || !strcmp(key->name, "tls");
	if (first)
		remove_listeners(config, kind);
	if (kind.quic)
		config->quic_follows = !strcmp(value, "tls");
	if (!strcmp(value, "none") || !value[0] || (kind.quic && config->quic_follows))
		return 0;
	if (strlen(value) >= sizeof(copy)) {
		snprintf(fault, fault_size, "the list is too long; repeat the key instead");
		return -EINVAL;
	}
	snprintf(copy, sizeof(copy), "%s", value);
	while ((text = strsep(&next, ","))) {
		text += strspn(text, " \t");
		text[strcspn(text, " \t")] = '\0';
		if (add_listener(config, text, kind, fault, fault_size))
			return -EINVAL;
	}
	return 0;
}

int config_follow_tls(struct config *config)
{
	unsigned int count = config->listeners_count;

	for (unsigned int i = 0; config->quic_follows && i < count; i++) {
		if (!config->listeners[i].tls || config->listeners[i].quic)
			continue;
		if (config->listeners_count == CONFIG_LISTENERS_MAX)
			return -ENOSPC;
		config->listeners[config->listeners_count] = config->listeners[i];
		config->listeners[config->listeners_count++].quic = true;
	}
	return 0;
}

#define FIELD(member)	offsetof(struct config, member), sizeof(((struct config *)NULL)->member)
#define NUMBER(member)	FIELD(settings.member)

const struct config_key config_keys[] = {
	{ "agent", "node", set_host, NULL, FIELD(settings.node), 0, 0, false },
	{ "agent", "base_domain", set_host, NULL, FIELD(settings.base_domain), 0, 0, false },
	{ "agent", "state_directory", set_path, "/var/lib/hoody", FIELD(state_directory), 0, 0, false },
	{ "agent", "control_socket", set_path, "/run/hoody/control.sock", FIELD(control_socket), 0, 0, false },
	{ "agent", "worker_user", set_user, "hoody", FIELD(worker_user), 0, 0, false },
	{ "agent", "threads", set_threads, "auto", FIELD(settings.threads), 1, 64, false },
	{ "agent", "real_ip", set_switch, "on", FIELD(real_ip), 0, 0, false },
	{ "agent", "cgroup", set_cgroup, "auto", FIELD(cgroup), 0, 0, false },
	{ "agent", "tombstone_days", set_count, "365", FIELD(tombstone_days), 0, 36500, false },
	{ "agent", "drain_timeout", set_time, "30s", FIELD(drain_timeout), 0, 3600000, false },
	{ "agent", "handover_timeout", set_time, "1h", FIELD(handover_timeout), 0, 86400000, false },
	{ "agent", "ksm_cpu_percent", set_count, "2", FIELD(ksm_cpu_percent), 1, 100, false },
	{ "agent", "log_level", set_level, "info", FIELD(log_level), 0, 0, false },

	{ "listen", "tls", set_listen, "0.0.0.0:443, [::]:443", FIELD(listeners), 0, 0, true },
	{ "listen", "quic", set_listen, "tls", FIELD(listeners), 0, 0, true },
	{ "listen", "http", set_listen, "none", FIELD(listeners), 0, 0, true },
	{ "listen", "plain", set_listen, "none", FIELD(listeners), 0, 0, true },

	{ "tls", "certificate", set_path, NULL, FIELD(certificate), 0, 0, false },
	{ "tls", "key", set_path, NULL, FIELD(key), 0, 0, false },

	{ "tls", "directory", set_file, "none", FIELD(certificates), 0, 0, false },
	{ "tls", "early_data", set_switch, "off", FIELD(early_data), 0, 0, false },
	{ "tls", "ticket_rotation", set_time, "8h", FIELD(ticket_rotation), 1000, 604800000, false },

	{ "acme", "directory", set_url, "none", FIELD(acme_directory), 0, 0, false },
	{ "acme", "contact", set_contact, "none", FIELD(acme_contact), 0, 0, false },
	{ "acme", "agree", set_switch, "off", FIELD(acme_agree), 0, 0, false },
	{ "acme", "ca_file", set_file, "none", FIELD(acme_ca_file), 0, 0, false },
	{ "acme", "challenge", set_challenge, "auto", FIELD(acme_challenge), 0, 0, false },
	{ "acme", "retry", set_time, "1m", FIELD(acme_retry), 1000, 86400000, false },
	{ "acme", "program", set_path, "/usr/bin/uacme", FIELD(acme_program), 0, 0, false },

	{ "permissions", "actions", set_actions, "built-in", FIELD(actions), 0, 0, false },
	{ "permissions", "jwks_directory", set_path, "/etc/hoody/jwks", FIELD(jwks_directory), 0, 0, false },

	{ "audit", "database", set_switch, "on", FIELD(audit_database), 0, 0, false },
	{ "audit", "journal", set_switch, "off", FIELD(audit_journal), 0, 0, false },
	{ "audit", "file", set_file, "none", FIELD(audit_file), 0, 0, false },
	{ "audit", "query", set_audit_query, "names", NUMBER(audit_query), 0, 0, false },
	{ "audit", "ring_records", set_ring_records, "16384", FIELD(audit_ring_records), 1024, 262144, false },
	{ "audit", "size_max", set_bytes, "1024M", FIELD(audit_size_max), 1024 * 1024, UINT32_MAX, false },
	{ "audit", "keep_days", set_count, "90", FIELD(audit_keep_days), 0, 36500, false },

	{ "metrics", "listen", set_metrics, "none", FIELD(metrics), 0, 0, false },
	{ "firewall", "enabled", set_firewall, "auto", FIELD(firewall), 0, 0, false },
	{ "firewall", "pins", set_path, "/sys/fs/bpf/hoody", FIELD(firewall_pins), 0, 0, false },
	{ "firewall", "flows", set_count, "4194304", FIELD(firewall_flows), 65536, 67108864, false },
	{ "firewall", "containers", set_count, "1024", FIELD(firewall_containers), 1, 4095, false },
	{ "firewall", "names_grace", set_time, "30s", FIELD(names_grace), 1000, 3600000, false },

	{ "exits", "timeout", set_time, "15s", FIELD(exit_timeout), 100, 600000, false },
	{ "exits", "probe", set_time, "30s", FIELD(exit_probe), 0, 86400000, false },

	{ "limits", "connections_max", set_count, "16384", NUMBER(connections_max), 16, 1048576, false },
	{ "limits", "connections_per_client_max", set_count, "1024", NUMBER(connections_per_client_max), 0, 1048576, false },
	{ "limits", "handshakes_per_client", set_count, "100", NUMBER(handshakes_per_client), 0, 100000, false },
	{ "limits", "memory_max", set_count, "4096", NUMBER(memory_max), 0, 16777216, false },
	{ "limits", "upstream_idle_max", set_count, "4096", NUMBER(upstream_idle_max), 0, 65536, false },
	{ "limits", "upstream_idle_per_key_max", set_count, "64", NUMBER(upstream_idle_per_key_max), 0, 1024, false },
	{ "limits", "upstream_per_container_max", set_count, "4096", NUMBER(upstream_per_container_max), 1, 65536, false },
	{ "limits", "head_bytes_max", set_bytes, "16K", NUMBER(head_bytes_max), 1024, 65536, false },
	{ "limits", "header_fields_max", set_count, "100", NUMBER(header_fields_max), 16, 1000, false },
	{ "limits", "buffer_bytes", set_bytes, "32K", NUMBER(buffer_bytes), 4096, 1048576, false },
	{ "limits", "requests_per_connection_max", set_count, "0", NUMBER(requests_per_connection_max), 0, UINT32_MAX, false },

	{ "timeouts", "handshake", set_time, "10s", NUMBER(handshake_timeout), 100, 600000, false },
	{ "timeouts", "head", set_time, "15s", NUMBER(head_timeout), 100, 600000, false },
	{ "timeouts", "keepalive", set_time, "75s", NUMBER(keepalive_timeout), 0, 86400000, false },
	{ "timeouts", "body", set_time, "60s", NUMBER(body_timeout), 100, 86400000, false },
	{ "timeouts", "connect", set_time, "5s", NUMBER(connect_timeout), 100, 600000, false },
	{ "timeouts", "response", set_time, "5m", NUMBER(response_timeout), 100, 86400000, false },
	{ "timeouts", "upgrade_idle", set_time, "1h", NUMBER(upgrade_idle_timeout), 0, 604800000, false },
	{ "timeouts", "upstream_idle", set_time, "60s", NUMBER(upstream_idle_timeout), 100, 86400000, false },
};

#define KEYS_COUNT (sizeof(config_keys) / sizeof(config_keys[0]))
_Static_assert(KEYS_COUNT <= CONFIG_KEYS_MAX, "struct reader remembers the line of every key");

/* Ports on which the services of the Hoody Kit listen inside a container. */
static const struct image_service default_services[] = {
	{ "sqlite", 5, 0 },	 { "agent", 70, 0 },	  { "code", 71, 0 },
	{ "exec", 72, 0 },	 { "files", 73, 0 },	  { "curl", 74, 0 },
	{ "browser", 75, 0 },	 { "terminal", 76, 0 },	  { "workspaces", 77, 0 },
	{ "cron", 78, 0 },	 { "daemon", 79, 0 },	  { "notifications", 81, 0 },
	{ "pipe", 82, 0 },	 { "tunnel", 83, 0 },	  { "logs", 84, 0 },
	{ "watch", 85, 0 },	 { "display", 3998, 0 },
};

int config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < KEYS_COUNT; i++) {
		if (!strcmp(config_keys[i].section, section) && !strcmp(config_keys[i].name, name))
			return (int)i;
	}
	return -1;
}

const char *config_key_section_of(const char *name)
{
	for (size_t i = 0; i < KEYS_COUNT; i++) {
		if (!strcmp(config_keys[i].name, name))
			return config_keys[i].section;
	}
	return NULL;
}

void config_keys_set_defaults(struct config *config)
{
	char fault[512];

	for (size_t i = 0; i < KEYS_COUNT; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->fallback &&
		    key->set(key, config, key->fallback, true, fault, sizeof(fault)))
			abort();	/* the table contradicts itself */
	}
	config->services_count = sizeof(default_services) / sizeof(default_services[0]);
	memcpy(config->services, default_services, sizeof(default_services));
}
