// SPDX-License-Identifier: Apache-2.0
/*
 * Reading agent.conf, see config.h. The keys, their ranges and defaults are one
 * table in config_keys.c; this file drives libinih, keeps count of lines (the
 * library does not hand them out) and does the checks that need several keys.
 */
#include "control/config.h"
#include "control/config_keys.h"
#include "lib/ipc.h"

#include <errno.h>
#include <ini.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES	4096

struct reader {
	FILE			*file;
	int			line;
	const char		*path;
	config_report		*report;
	void			*context;
	struct config		*config;
	int			errors;
	int			seen[CONFIG_KEYS_MAX];	/* line of each key, 0: not given */
	bool			services_given;
};

__attribute__((format(printf, 3, 4))) static void fail(struct reader *reader, int line,
						       const char *format, ...)
{
	char text[1024], message[768];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (line)
		snprintf(text, sizeof(text), "%.200s:%d: %s", reader->path, line, message);
	else
		snprintf(text, sizeof(text), "%.200s: %s", reader->path, message);
	reader->errors++;
	reader->report(reader->context, text);
}

/* fgets() for libinih; also finds what the library would cut or not see. */
static char *read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	size_t len;

	memset(buffer, 0, size);
	if (!fgets(buffer, size, reader->file))
		return NULL;
	reader->line++;
	len = strlen(buffer);
	if (len == (size_t)size - 1 && buffer[len - 1] != '\n') {
		int c;

		fail(reader, reader->line, "the line is longer than %d bytes", size - 2);
		while ((c = fgetc(reader->file)) != EOF && c != '\n')
			;
		snprintf(buffer, size, ";\n");
	} else if (len && buffer[len - 1] != '\n' && !feof(reader->file)) {
		fail(reader, reader->line, "the line holds a NUL byte");
		snprintf(buffer, size, ";\n");
	}
	return buffer;
}

static void take_service(struct reader *reader, const char *name, const char *value)
{
	struct config *config = reader->config;
	unsigned long port;
	unsigned int i;
	char *end;

	if (!config_service_name_ok(name, strlen(name))) {
		fail(reader, reader->line,
		     "[services] %s: a service name is a letter and then letters and digits, in lower case, at most %d",
		     name, IMAGE_NAME_MAX - 1);
		return;
	}
	if (!strcmp(name, "http")) {
		fail(reader, reader->line,
		     "[services] http: http-N always goes to port N; remove the line");
		return;
	}
	errno = 0;
	port = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || port > 65535) {
		fail(reader, reader->line,
		     "[services] %s: '%s' is no port; give 1 to 65535, or 0 to remove the service",
		     name, value);
		return;
	}
	for (i = 0; i < config->services_count; i++) {
		if (!strcmp(config->services[i].name, name))
			break;
	}
	if (i == CONFIG_SERVICES_MAX) {
		fail(reader, reader->line, "[services] %s: more than %d services", name,
		     CONFIG_SERVICES_MAX);
		return;
	}
	if (port == 0) {
		if (i < config->services_count)
			config->services[i] = config->services[--config->services_count];
		return;
	}
	if (i == config->services_count)
		config->services_count++;
	snprintf(config->services[i].name, sizeof(config->services[i].name), "%s", name);
	config->services[i].port = (uint16_t)port;
}

/* libinih's handler: 1 goes on; errors are counted here, not by the library. */
static int take(void *user, const char *section, const char *name, const char *value)
{
	struct reader *reader = user;
	const struct config_key *key;
	char fault[512];
	int index;

	if (!strcmp(section, "services")) {
		take_service(reader, name, value);
		return 1;
	}
	index = config_key_find(section, name);
	if (index < 0) {
		const char *known = config_key_section_of(name);

		if (known)
			fail(reader, reader->line, "%s is a key of [%s], not of [%s]", name, known,
			     section);
		else
			fail(reader, reader->line, "[%s] %s: no such key; see hoody-agent.conf(5)",
			     section, name);
		return 1;
	}
	key = &config_keys[index];
	if (reader->seen[index] && !key->repeatable) {
		fail(reader, reader->line, "[%s] %s: given twice, first in line %d", section, name,
		     reader->seen[index]);
		return 1;
	}
	fault[0] = '\0';
	if (key->set(key, reader->config, value, !reader->seen[index], fault, sizeof(fault)))
		fail(reader, reader->line, "[%s] %s: %s", section, name, fault);
	reader->seen[index] = reader->line;
	return 1;
}

/* Who wants fewer kept in all does not have to say how many of each. */
static void check_idle(struct reader *reader)
{
	struct image_settings *settings = &reader->config->settings;

	if (settings->upstream_idle_per_key_max <= settings->upstream_idle_max)
		return;
	if (reader->seen[config_key_find("limits", "upstream_idle_per_key_max")])
		fail(reader, 0, "[limits] upstream_idle_per_key_max: is larger than upstream_idle_max");
	settings->upstream_idle_per_key_max = settings->upstream_idle_max;
}

static void check_whole(struct reader *reader)
{
	struct config *config = reader->config;
	struct image_settings *settings = &config->settings;
	bool tls = false;

	if (!settings->node[0])
		fail(reader, 0, "[agent] node: is missing; it is this host's label in every URL, for example node-us");
	if (!settings->base_domain[0])
		fail(reader, 0, "[agent] base_domain: is missing; it is what every URL ends in, for example containers.example.com");
	if (config_follow_tls(config))
		fail(reader, 0, "[listen] quic: there are %d addresses already; list those for QUIC, or none",
		     CONFIG_LISTENERS_MAX);
	for (unsigned int i = 0; i < config->listeners_count; i++)
		tls |= config->listeners[i].tls;
	if (config->listeners_count == 0)
		fail(reader, 0, "[listen] tls: there is no address to listen on");
	if (tls && !config->certificate[0])
		fail(reader, 0, "[tls] certificate: is missing; give the PEM file with the chain, leaf first");
	if (tls && !config->key[0])
		fail(reader, 0, "[tls] key: is missing; give the PEM file with the private key");
	if (config->acme_directory[0] && !config->acme_agree)
		fail(reader, 0, "[acme] agree: is off; read the terms of the certificate authority and set it to on");
	if (config->acme_directory[0] && !tls)
		fail(reader, 0, "[acme] directory: there is no [listen] tls that certificates would be for");
	/* Host name in front of node and base: two ids, service, instance, dots. */
	if (strlen(settings->node) + strlen(settings->base_domain) > 253 - 64 - 2)
		fail(reader, 0, "[agent] base_domain: node and base domain are too long for a host name (RFC 1035: 253)");
	if (settings->threads * config->listeners_count > IPC_FDS_MAX) {
		fail(reader, 0, "[agent] threads: %u threads times %u listen addresses are more than %d sockets; use fewer of one",
		     settings->threads, config->listeners_count, IPC_FDS_MAX);
	}
	check_idle(reader);
	if (settings->buffer_bytes < settings->head_bytes_max)
		fail(reader, 0, "[limits] buffer_bytes: is smaller than head_bytes_max, so that no head of that size would fit");
}

static uint32_t automatic_threads(void)
{
	cpu_set_t set;
	int count = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	if (count > CONFIG_THREADS_AUTO_MAX)
		count = CONFIG_THREADS_AUTO_MAX;
	return (uint32_t)count;
}

static void ini_set_up(void)
{
	/* Off: an indented key would silently become a part of the line above. */
	ini_allow_multiline = false;
	ini_use_stack = false;
	ini_allow_realloc = false;
	ini_initial_alloc = LINE_MAX_BYTES;
	ini_max_line = LINE_MAX_BYTES;
	ini_allow_no_value = false;
	ini_stop_on_first_error = false;
}

struct config *config_load(const char *path, config_report *report, void *context)
{
	struct reader reader = { .path = path, .report = report, .context = context };
	int bad_line;

	reader.file = fopen(path, "re");
	if (!reader.file) {
		fail(&reader, 0, "cannot be opened: %s", strerror(errno));
		return NULL;
	}
	reader.config = calloc(1, sizeof(*reader.config));
	if (!reader.config) {
		fail(&reader, 0, "out of memory");
		goto out;
	}
	config_keys_set_defaults(reader.config);
	ini_set_up();
	bad_line = ini_parse_stream(read_line, &reader, take, &reader);
	if (ferror(reader.file))
		fail(&reader, 0, "cannot be read");
	else if (bad_line > 0)
		fail(&reader, bad_line, "is neither [section], key = value nor a comment");
	else if (bad_line < 0)
		fail(&reader, 0, "cannot be read: out of memory");
	if (!reader.config->settings.threads)
		reader.config->settings.threads = automatic_threads();
	check_whole(&reader);
out:
	fclose(reader.file);
	if (reader.errors) {
		config_free(reader.config);
		return NULL;
	}
	return reader.config;
}

void config_free(struct config *config)
{
	free(config);
}

bool config_needs_new_sockets(const struct config *a, const struct config *b)
{
	if (a->listeners_count != b->listeners_count)
		return true;
	for (unsigned int i = 0; i < a->listeners_count; i++) {
		const struct config_listener *x = &a->listeners[i], *y = &b->listeners[i];

		if (x->tls != y->tls || x->quic != y->quic || x->redirects != y->redirects ||
		    x->address.port != y->address.port ||
		    !address_equal(&x->address.address, &y->address.address))
			return true;
	}
	return false;
}

bool config_needs_new_worker(const struct config *a, const struct config *b)
{
	return config_needs_new_sockets(a, b) || strcmp(a->worker_user, b->worker_user) ||
	       a->settings.connections_max != b->settings.connections_max ||
	       a->settings.buffer_bytes != b->settings.buffer_bytes;
}

/* Whether entries go anywhere at all. */
bool config_audits(const struct config *config)
{
	return config->audit_database || config->audit_journal || config->audit_file[0];
}

bool config_needs_restart(const struct config *a, const struct config *b, const char **what)
{
	if (strcmp(a->state_directory, b->state_directory))
		*what = "[agent] state_directory";
	else if (strcmp(a->control_socket, b->control_socket))
		*what = "[agent] control_socket";
	else if (strcmp(a->cgroup, b->cgroup))
		*what = "[agent] cgroup";
	/* One image serves the old worker and the new one: it names one number. */
	else if (a->settings.threads != b->settings.threads)
		*what = "[agent] threads";
	else if (a->audit_database != b->audit_database)
		*what = "[audit] database";
	else if (a->audit_ring_records != b->audit_ring_records)
		*what = "[audit] ring_records";
	else if (config_audits(a) != config_audits(b))
		*what = "[audit] whether there is any";
	/* Programs are loaded and their tables made once; what is in force stays. */
	else if (a->firewall != b->firewall)
		*what = "[firewall] enabled";
	else if (strcmp(a->firewall_pins, b->firewall_pins))
		*what = "[firewall] pins";
	else if (a->firewall_flows != b->firewall_flows)
		*what = "[firewall] flows";
	else if (a->firewall_containers != b->firewall_containers)
		*what = "[firewall] containers";
	else
		return false;
	return true;
}

bool config_service_name_ok(const char *name, size_t len)
{
	if (len == 0 || len >= IMAGE_NAME_MAX || name[0] < 'a' || name[0] > 'z')
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9')))
			return false;
	}
	return true;
}

bool config_host_label_ok(const char *name, size_t len)
{
	if (len == 0 || len > 63 || name[0] == '-' || name[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
		      name[i] == '-'))
			return false;
	}
	return true;
}

bool config_host_name_ok(const char *name)
{
	if (strlen(name) > 253)
		return false;
	for (;;) {
		size_t len = strcspn(name, ".");

		if (!config_host_label_ok(name, len))
			return false;
		if (!name[len])
			return true;
		name += len + 1;
	}
}
