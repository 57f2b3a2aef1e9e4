// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration: defaults, every kind of value, and a table of mistakes,
 * each of which has to be reported with its line and its key.
 */
#include "control/config.h"
#include "lib/log.h"
#include "tap.h"

#include <string.h>
#include <unistd.h>

#define MINIMUM "[agent]\nnode = node-us\nbase_domain = containers.example.com\n" \
		"[tls]\ncertificate = /c.pem\nkey = /k.pem\n"

static char path[64];
static char reports[8192];
static int reports_count;

static void report(void *context, const char *line)
{
	size_t used = strlen(reports);

	snprintf(reports + used, sizeof(reports) - used, "%s\n", line);
	reports_count++;
}

static struct config *load_bytes(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	fwrite(text, 1, len, file);
	fclose(file);
	reports[0] = '\0';
	reports_count = 0;
	return config_load(path, report, NULL);
}

static struct config *load(const char *text)
{
	return load_bytes(text, strlen(text));
}

static void test_defaults(void)
{
	struct config *config = load(MINIMUM);
	char text[ADDRESS_LISTEN_TEXT_MAX];

	tap_ok(config != NULL, "config_minimum_is_enough");
	if (!config) {
		tap_note("%s", reports);
		exit(1);
	}
	address_listen_format(&config->listeners[1].address, text);
	tap_ok(config->listeners_count == 4 && config->listeners[0].tls &&
	       config->listeners[0].address.port == 443 && !strcmp(text, "[::]:443"),
	       "config_listens_on_443_of_both_families");
	tap_ok(config->listeners[2].quic && config->listeners[3].quic &&
	       config->listeners[2].address.port == 443 &&
	       address_equal(&config->listeners[3].address.address,
			     &config->listeners[1].address.address),
	       "config_quic_listens_where_tls_does");
	tap_ok(!strcmp(config->state_directory, "/var/lib/hoody") &&
	       !strcmp(config->control_socket, "/run/hoody/control.sock") &&
	       !strcmp(config->worker_user, "hoody") && config->real_ip && !config->cgroup[0] &&
	       config->tombstone_days == 365 && config->log_level == LOG_LEVEL_INFO,
	       "config_defaults");
	tap_ok(config->settings.threads >= 1 && config->settings.threads <= 64,
	       "config_threads_auto");
	tap_ok(config->settings.head_bytes_max == 16384 &&
	       config->settings.upstream_idle_per_key_max == 64 &&
	       config->settings.connect_timeout == 5000 &&
	       config->settings.upgrade_idle_timeout == 3600000, "config_limits_and_times");
	config_free(config);
}

static uint16_t port_of(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->services_count; i++) {
		if (!strcmp(config->services[i].name, name))
			return config->services[i].port;
	}
	return 0;
}

static void test_values(void)
{
	struct config *config = load(MINIMUM
		"[services]\nterminal = 7681\nmine = 4000\ndisplay = 0\n"
		"[listen]\ntls = 192.0.2.1, [2001:db8::1]:8443\ntls = 192.0.2.2:1\nplain = 127.0.0.1\n"
		"[limits]\nbuffer_bytes = 64K\nupstream_idle_max = 16\n"
		"[timeouts]\nhead = 500ms\nconnect = 7\nupgrade_idle = 2h\nbody = 3m\n");

	tap_ok(config != NULL, "config_values_are_taken");
	if (!config) {
		tap_note("%s", reports);
		exit(1);
	}
	tap_ok(port_of(config, "terminal") == 7681 && port_of(config, "mine") == 4000 &&
	       port_of(config, "display") == 0 && port_of(config, "sqlite") == 5, "config_services");
	tap_ok(config->listeners_count == 7 && config->listeners[0].address.port == 443 &&
	       config->listeners[1].address.port == 8443 &&
	       config->listeners[2].address.port == 1 && !config->listeners[3].tls &&
	       config->listeners[3].address.port == 80, "config_listeners_repeat_and_have_ports");
	tap_ok(config->settings.upstream_idle_per_key_max == 16, "config_kept_of_a_key_follow_all");
	tap_ok(config->settings.buffer_bytes == 65536 && config->settings.head_timeout == 500 &&
	       config->settings.connect_timeout == 7000 &&
	       config->settings.upgrade_idle_timeout == 7200000 &&
	       config->settings.body_timeout == 180000, "config_units");
	config_free(config);
	config = load("[agent]\nNode = x\nnode = NODE-US\nbase_domain = Example.COM\n");
	config_free(config);
	config = load("[agent]\nnode = NODE-US\nbase_domain = Example.COM\n"
		      "[listen]\ntls = none\nplain = 127.0.0.1:80\n");
	tap_ok(config && !strcmp(config->settings.node, "node-us") &&
	       !strcmp(config->settings.base_domain, "example.com"), "config_names_in_lower_case");
	tap_ok(config && config->listeners_count == 1, "config_without_tls_needs_no_certificate");
	config_free(config);
}

static const struct {
	const char	*name, *text;
	int		line;		/* within what follows MINIMUM; 0: of the whole file */
	const char	*key, *says;
} mistakes[] = {
	{ "unknown_key", "[agent]\nthread = 2\n", 2, "thread", "no such key" },
	{ "unknown_section", "[agnet]\nthreads = 2\n", 2, "threads", "key of [agent]" },
	{ "key_in_wrong_section", "[agent]\nhead = 5s\n", 2, "head", "key of [timeouts]" },
	{ "given_twice", "[agent]\nnode = a\n", 2, "node", "given twice, first in line 2" },
	{ "threads_0", "[agent]\nthreads = 0\n", 2, "threads", "1 to 64" },
	{ "threads_65", "[agent]\nthreads = 65\n", 2, "threads", "1 to 64" },
	{ "threads_word", "[agent]\nthreads = many\n", 2, "threads", "neither auto" },
	{ "switch", "[agent]\nreal_ip = yes\n", 2, "real_ip", "neither on nor off" },
	{ "relative_path", "[agent]\nstate_directory = hoody\n", 2, "state_directory", "no absolute path" },
	{ "long_socket", "[agent]\ncontrol_socket = /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	  2, "control_socket", "longer than 107" },
	{ "cgroup", "[agent]\ncgroup = a/b\n", 2, "cgroup", "neither auto nor" },
	{ "cgroup_up", "[agent]\ncgroup = /a/../b\n", 2, "cgroup", "neither auto nor" },
	{ "user", "[agent]\nworker_user = a b\n", 2, "worker_user", "no user name" },
	{ "level", "[agent]\nlog_level = loud\n", 2, "log_level", "none of error" },
	{ "days", "[agent]\ntombstone_days = -1\n", 2, "tombstone_days", "0 to 36500" },
	{ "bytes_unit", "[limits]\nhead_bytes_max = 16G\n", 2, "head_bytes_max", "no size" },
	{ "bytes_small", "[limits]\nhead_bytes_max = 100\n", 2, "head_bytes_max", "1024 to 65536" },
	{ "bytes_overflow", "[limits]\nbuffer_bytes = 99999999999999999999\n", 2, "buffer_bytes", "no size" },
	{ "count_negative", "[limits]\nconnections_max = -5\n", 2, "connections_max", "no number" },
	{ "count_hex", "[limits]\nconnections_max = 0x100\n", 2, "connections_max", "no number" },
	{ "time_unit", "[timeouts]\nhead = 5 parsec\n", 2, "head", "no time" },
	{ "time_zero", "[timeouts]\nhead = 0\n", 2, "head", "no time" },
	{ "time_huge", "[timeouts]\nhead = 99999h\n", 2, "head", "no time" },
	{ "listen_name", "[listen]\ntls = localhost:443\n", 2, "tls", "no address" },
	{ "listen_port_0", "[listen]\ntls = 127.0.0.1:0\n", 2, "tls", "no address" },
	{ "listen_port_big", "[listen]\ntls = 127.0.0.1:65536\n", 2, "tls", "no address" },
	{ "listen_bracket", "[listen]\ntls = [::1:443\n", 2, "tls", "no address" },
	{ "listen_twice", "[listen]\ntls = 127.0.0.1, 127.0.0.1:443\n", 2, "tls", "listed twice" },
	{ "listen_both", "[listen]\ntls = 127.0.0.1:80\nplain = 127.0.0.1:80\n", 3, "plain", "listed twice" },
	{ "listen_nowhere", "[listen]\ntls = none\n", 0, "tls", "no address to listen" },
	{ "service_name", "[services]\nMy-Service = 1\n", 2, "My-Service", "lower case" },
	{ "service_http", "[services]\nhttp = 81\n", 2, "http", "always goes to port N" },
	{ "service_port", "[services]\nterminal = 70000\n", 2, "terminal", "no port" },
	{ "service_port_word", "[services]\nterminal = ssh\n", 2, "terminal", "no port" },
	{ "no_equals", "[agent]\nthreads\n", 2, "", "neither [section]" },
	{ "indented_continuation", "[agent]\nthreads = 2\n  real_ip = maybe\n", 3, "real_ip", "neither on nor off" },
	{ "idle_per_key", "[limits]\nupstream_idle_max = 2\nupstream_idle_per_key_max = 8\n", 0,
	  "upstream_idle_per_key_max", "larger than" },
	{ "buffer_below_head", "[limits]\nbuffer_bytes = 4096\n", 0, "buffer_bytes", "smaller than" },
	{ "sockets", "[agent]\nthreads = 64\n[listen]\ntls = 127.0.0.1:1,127.0.0.1:2,127.0.0.1:3\n", 0,
	  "threads", "more than 252 sockets" },
};

static void test_mistakes(void)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		char text[4096], where[128];
		struct config *config;
		bool right;

		snprintf(text, sizeof(text), "%s%s", MINIMUM, mistakes[i].text);
		config = load(text);
		if (mistakes[i].line)
			snprintf(where, sizeof(where), "%s:%d: ", path, 6 + mistakes[i].line);
		else
			snprintf(where, sizeof(where), "%s: ", path);
		right = !config && strstr(reports, where) && strstr(reports, mistakes[i].key) &&
			strstr(reports, mistakes[i].says);
		tap_ok(right, "config_refuses_%s", mistakes[i].name);
		if (!right)
			tap_note("wanted %s %s %s, got: %s", where, mistakes[i].key,
				 mistakes[i].says, reports);
		config_free(config);
	}
}

static void test_whole(void)
{
	static char huge[6000];
	struct config *config;

	config = load("");
	tap_ok(!config && reports_count == 4 && strstr(reports, "node: is missing") &&
	       strstr(reports, "base_domain: is missing") &&
	       strstr(reports, "certificate: is missing") && strstr(reports, "key: is missing"),
	       "config_names_all_that_is_missing");
	config = load("[agent]\nnode = -bad\nbase_domain = a..b\nthreads = x\n");
	tap_ok(!config && strstr(reports, ":2: ") && strstr(reports, ":3: ") && strstr(reports, ":4: "),
	       "config_reports_every_mistake");
	config = load_bytes("[agent]\nnode = a\0b\n", 19);
	tap_ok(!config && strstr(reports, ":2: the line holds a NUL byte"), "config_refuses_nul");
	memset(huge, 'a', sizeof(huge) - 1);
	memcpy(huge, "[agent]\nnode = ", 15);
	config = load(huge);
	tap_ok(!config && strstr(reports, ":2: the line is longer"), "config_refuses_long_line");
	reports[0] = '\0';
	config = config_load("/nonexistent/agent.conf", report, NULL);
	tap_ok(!config && strstr(reports, "/nonexistent/agent.conf: cannot be opened"),
	       "config_says_which_file");
}

/* Programs and tables of the firewall are made once: no key of it can be reloaded. */
static void test_reload_firewall(void)
{
	static const struct {
		const char	*line, *what;
	} keys[] = {
		{ "enabled = off", "[firewall] enabled" },
		{ "pins = /sys/fs/bpf/other", "[firewall] pins" },
		{ "flows = 65536", "[firewall] flows" },
		{ "containers = 16", "[firewall] containers" },
	};
	struct config *config = load(MINIMUM), *other;
	const char *what;
	char text[512];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), MINIMUM "[firewall]\n%s\n", keys[i].line);
		other = load(text);
		what = "";
		tap_ok(other && config_needs_restart(config, other, &what) &&
		       !strcmp(what, keys[i].what), "config_reload_refuses %s", keys[i].line);
		config_free(other);
	}
	config_free(config);
}

static void test_reload_rules(void)
{
	struct config *a = load(MINIMUM), *same = load(MINIMUM);
	struct config *listen = load(MINIMUM "[listen]\ntls = 127.0.0.1\n");
	struct config *state = load(MINIMUM "[agent]\nstate_directory = /other\n");
	struct config *times = load(MINIMUM "[timeouts]\nhead = 1s\n");
	const char *what = "";

	tap_ok(!config_needs_new_worker(a, same) && !config_needs_restart(a, same, &what),
	       "config_same_needs_nothing");
	tap_ok(config_needs_new_worker(a, listen) && config_needs_new_sockets(a, listen),
	       "config_new_address_needs_new_worker");
	tap_ok(!config_needs_new_worker(a, times), "config_new_time_needs_no_new_worker");
	tap_ok(config_needs_restart(a, state, &what) && !strcmp(what, "[agent] state_directory"),
	       "config_new_state_directory_needs_restart");
	config_free(a);
	config_free(same);
	config_free(listen);
	config_free(state);
	config_free(times);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/hoody-config-test.%d", (int)getpid());
	tap_plan(26 + (int)(sizeof(mistakes) / sizeof(mistakes[0])));
	test_defaults();
	test_values();
	test_mistakes();
	test_whole();
	test_reload_firewall();
	test_reload_rules();
	unlink(path);
	return tap_done();
}
