// SPDX-License-Identifier: Apache-2.0
/*
 * The control process, see control.h: set-up in the order in which things
 * depend on each other, the loop, and the way down. Reloading is reload.c.
 */
#include "control/control.h"
#include "audit/audit.h"
#include "control/acme.h"
#include "control/api.h"
#include "control/certificates.h"
#include "control/change.h"
#include "control/feature.h"
#include "control/handover.h"
#include "control/kernel_sync.h"
#include "control/module.h"
#include "control/network.h"
#include "control/publish.h"
#include "control/reload.h"
#include "control/upgrade.h"
#include "lib/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define PURGE_INTERVAL_US	(3600 * 1000000ull)

enum image_real_ip_mode control_real_ip_mode(const struct control *control)
{
	if (!control->config->real_ip)
		return IMAGE_REAL_IP_OFF;
	/* No more of the sockets that a reload of the module would have to wait for. */
	if (module_is_reloading(control))
		return IMAGE_REAL_IP_UNAVAILABLE;
	if (control->knl && knl_state(control->knl) == KNL_READY && control->agent_cgroup)
		return IMAGE_REAL_IP_ON;
	return IMAGE_REAL_IP_UNAVAILABLE;
}

static void tell_ready(struct control *control)
{
	sd_notifyf(0, "READY=1\nSTATUS=serving %s.%s, %zu containers", control->config->settings.node,
		   control->config->settings.base_domain, model_containers_count(control->model));
}

static void on_progress(void *context)
{
	struct control *control = context;

	publish_progress(control->publisher);
	acme_progress(control);
}

static int on_audit_attach(void *context, struct ipc_audit *message, int fds[2], void **feed)
{
	struct control *control = context;

	return control->audit ? audit_attach(control->audit, message, fds, feed) : -ENODATA;
}

static void on_audit_detach(void *context, void *feed)
{
	struct control *control = context;

	audit_detach(control->audit, feed);
}

static void on_audit_save(void *context, void *feed, struct handover *handover,
			  yyjson_mut_val *object)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *positions;
	struct audit_feed state;

	audit_feed_get(feed, &state);
	handover_fd(handover, object, "ring", state.memory);
	handover_fd(handover, object, "wake", state.wake);
	yyjson_mut_obj_add_uint(document, object, "records", state.records);
	positions = yyjson_mut_obj_add_arr(document, object, "positions");
	for (unsigned int i = 0; i < state.rings; i++)
		handover->failed |= !yyjson_mut_arr_add_uint(document, positions,
							     state.positions[i]);
}

/* A worker whose records nobody reads goes on: they are lost, which it counts. */
static void on_audit_adopt(void *context, yyjson_val *object, void **feed)
{
	struct control *control = context;
	yyjson_val *positions = yyjson_obj_get(object, "positions"), *position;
	struct audit_feed state = {
		.memory = handover_taken_fd(yyjson_obj_get(object, "ring")),
		.wake = handover_taken_fd(yyjson_obj_get(object, "wake")),
		.rings = (unsigned int)yyjson_arr_size(positions),
		.records = (uint32_t)handover_number(object, "records"),
	};
	size_t i, max;

	if (state.rings > AUDIT_RINGS_MAX)
		state.rings = 0;
	yyjson_arr_foreach(positions, i, max, position) {
		if (i < state.rings)
			state.positions[i] = yyjson_get_uint(position);
	}
	if (!control->audit || audit_feed_set(control->audit, &state, feed))
		log_error("audit records of a worker that was taken over are lost");
}

static void on_start_failed(void *context)
{
	struct control *control = context;

	upgrade_failed(control->upgrade, "its worker ended before it served");
}

static void on_api(void *context, int fd)
{
	struct control *control = context;

	api_adopt(control->api, fd);
}

static void on_serving(void *context)
{
	struct control *control = context;

	if (!network_waits_for_relay(control)) {
		network_take_over_relay(control);
		upgrade_serving(control->upgrade);
	}
	if (control->serving_told)
		return;
	control->serving_told = true;
	tell_ready(control);
}

static int on_end(sd_event_source *source, void *context)
{
	struct control *control = context;

	sd_event_exit(control->event, control->exit_status);
	return 0;
}

/* Answers that are being written go out first: the end has the last turn. */
static void on_drained(void *context)
{
	struct control *control = context;
	sd_event_source *source = NULL;

	if (sd_event_add_defer(control->event, &source, on_end, control) < 0) {
		sd_event_exit(control->event, control->exit_status);
		return;
	}
	sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
	sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			  void *context)
{
	struct control *control = context;

	if (control->draining) {
		log_warning("told to end again: connections are cut");
		supervise_kill(control->supervisor);
		return 0;
	}
	log_info("ends: drain_ms=%u", control->config->drain_timeout);
	control->draining = true;
	sd_notify(0, "STOPPING=1\nSTATUS=draining");
	api_stop(control->api);
	supervise_drain(control->supervisor, control->config->drain_timeout);
	return 0;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			    void *context)
{
	struct control *control = context;
	struct timespec now;

	if (control->draining || upgrade_postpones(control->upgrade))
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
		   (unsigned long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	if (upgrade_is_replaced(control->upgrade)) {
		/* Ready again once it is done, or refused. */
		upgrade_begin(control->upgrade);
		return 0;
	}
	control_reload(control);
	tell_ready(control);
	return 0;
}

static int on_kernel_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct control *control = context;

	features_tick(control);
	if (kernel_sync_tick(control))
		publish_request(control->publisher, NULL, NULL);
	sd_event_source_set_time_relative(source, KERNEL_SYNC_RETRY_MS * 1000ull);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_purge_timer(sd_event_source *source, uint64_t usec, void *context)
{
	change_purge_tombstones(context);
	sd_event_source_set_time_relative(source, PURGE_INTERVAL_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static void report_to_log(void *context, const char *line)
{
	if (!strncmp(line, "warning: ", 9))
		log_warning("%s", line + 9);
	else
		log_error("%s", line);
}

/* Event loop, signals and timers. 0 or a negative errno. */
static int set_up_events(struct control *control)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t mask;
	int ret;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = sd_event_new(&control->event);
	if (ret < 0)
		return ret;
	sd_event_set_watchdog(control->event, true);
	ret = sd_event_add_signal(control->event, NULL, SIGTERM, on_stop_signal, control);
	if (ret >= 0)
		ret = sd_event_add_signal(control->event, NULL, SIGINT, on_stop_signal, control);
	if (ret >= 0)
		ret = sd_event_add_signal(control->event, NULL, SIGHUP, on_reload_signal, control);
	if (ret >= 0)
		ret = sd_event_add_time_relative(control->event, NULL, CLOCK_MONOTONIC,
						 KERNEL_SYNC_RETRY_MS * 1000ull, 1000000,
						 on_kernel_timer, control);
	if (ret >= 0)
		ret = sd_event_add_time_relative(control->event, NULL, CLOCK_MONOTONIC,
						 PURGE_INTERVAL_US, 1000000, on_purge_timer, control);
	return ret < 0 ? ret : 0;
}

/* Everything in memory and in the kernel, from the database. 0 or -1 (logged). */
static int set_up_state(struct control *control)
{
	const struct config *config = control->config;
	char fault[1024];

	if (mkdir(config->state_directory, 0700) < 0 && errno != EEXIST) {
		log_error("[agent] state_directory: %s cannot be made: %s", config->state_directory,
			  strerror(errno));
		return -1;
	}
	control->model = model_create();
	if (!control->model)
		return -1;
	control->db = db_open(config->state_directory, fault, sizeof(fault));
	if (!control->db) {
		log_error("database: %s", fault);
		return -1;
	}
	if (db_restored(control->db)[0])
		log_warning("database: %s", db_restored(control->db));
	if (db_load(control->db, control->model, fault, sizeof(fault))) {
		log_error("database: %s/%s cannot be used: %s. It is left as it is",
			  config->state_directory, DB_FILE, fault);
		return -1;
	}
	control->permissions = permission_store_create(config, fault, sizeof(fault));
	if (!control->permissions) {
		log_error("%s", fault);
		return -1;
	}
	if (permission_store_load(control->permissions, control->db, fault, sizeof(fault))) {
		log_error("database: %s/%s cannot be used: %s. It is left as it is",
			  config->state_directory, DB_FILE, fault);
		return -1;
	}
	if (features_set_up(control, fault, sizeof(fault))) {
		log_error("%s", fault);
		return -1;
	}
	change_stop_vanished(control);
	log_info("state loaded: containers=%zu running=%zu tombstones=%zu permissions=%zu "
		 "generation=%llu",
		 model_containers_count(control->model), model_running_count(control->model),
		 model_tombstones_count(control->model),
		 permission_store_count(control->permissions),
		 (unsigned long long)db_generation(control->db));
	return 0;
}

/* The node's certificate, as a file for workers; -1: none, left as it is. 0 or -1 (logged). */
static int take_certificate(struct control *control, int *file)
{
	struct certificate node = { 0 };

	if (!control->config->certificate[0])
		return 0;
	if (certificate_load(control->config, &node, report_to_log, NULL))
		return -1;
	*file = certificates_take(control, &node);
	if (*file >= 0)
		return 0;
	log_error("certificates: %s", strerror(-*file));
	return -1;
}

/* What serves: sockets, certificate, worker, API. 0 or -1 (logged). */
static int set_up_service(struct control *control, const struct spawn_identity *identity)
{
	const struct supervise_callbacks callbacks = {
		.progress = on_progress, .serving = on_serving, .drained = on_drained,
		.audit_attach = on_audit_attach, .audit_detach = on_audit_detach,
		.audit_save = on_audit_save, .audit_adopt = on_audit_adopt,
		.start_failed = on_start_failed, .api = on_api,
		.context = control,
	};
	struct listen_set *set, *left = NULL;
	int certificate = -1, ret;
	char fault[1024];
	bool replace;

	if (take_certificate(control, &certificate))
		return -1;
	if (control->handover) {
		left = listen_adopt(control->handover);
		if (!left) {
			log_error("the sockets that were handed over cannot be used");
			return -1;
		}
	}
	/* On the way back nothing has changed. */
	set = left && control->handover->returned ?
		      left : listen_open(control->config, left, fault, sizeof(fault));
	if (!set) {
		log_error("%s", fault);
		return -1;
	}
	control->supervisor = supervise_create(control->event, &callbacks);
	control->publisher = publish_create(control);
	if (!control->supervisor || !control->publisher) {
		listen_close(set);
		log_error("out of memory");
		return -1;
	}
	if (left && supervise_adopt(control->supervisor, control->handover, left)) {
		log_error("the workers that were handed over cannot be used");
		return -1;
	}
	publish_continue(control->publisher, supervise_image_sequence(control->supervisor));
	control->api = api_create(control, fault, sizeof(fault));
	if (!control->api) {
		log_error("%s", fault);
		return -1;
	}
	upgrade_hold_calls(control->upgrade);
	change_purge_tombstones(control);
	ret = publish_now(control->publisher);
	if (ret) {
		log_error("the first image cannot be built: %s", strerror(-ret));
		return -1;
	}
	replace = left && !control->handover->returned;
	/* The relay first: nothing is replaced where one of both does not come up. */
	supervise_apply(control->supervisor, set, identity, certificate,
			replace && !network_replace_relay(control),
			control->config->handover_timeout);
	return 0;
}

static int on_kernel_event(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct control *control = context;

	if (control->knl && knl_events(control->knl) && kernel_sync_all(control))
		publish_request(control->publisher, NULL, NULL);
	return 0;
}

/*
 * Before capabilities are given up: a directory in the root of the cgroups, mode
 * 0555, can be made with CAP_DAC_OVERRIDE only.
 */
static void join_cgroup(struct control *control)
{
	const char *path = control->config->cgroup[0] ? control->config->cgroup : NULL;
	char joined[PATH_MAX];
	int ret;

	if (!control->config->real_ip && control->config->firewall == CONFIG_FIREWALL_OFF)
		return;
	ret = cgroup_join_agent(&control->cgroups, path, &control->agent_cgroup, joined);
	if (ret) {
		control->agent_cgroup = 0;
		log_error("the agent's cgroup cannot be used: path=%s error=\"%s\"",
			  path ? path : "auto", strerror(-ret));
	} else {
		for (const char *at = joined; (at = strchr(at, '/')); at++)
			control->agent_cgroup_level++;
		log_info("agent's cgroup: path=%s id=%llu", joined,
			 (unsigned long long)control->agent_cgroup);
	}
}

static void set_up_kernel(struct control *control)
{
	if (!control->config->real_ip)
		log_info("real IP is switched off in the configuration");
	control->knl = knl_open();
	if (!control->knl) {
		log_error("generic netlink cannot be used: error=\"%s\"", strerror(errno));
		return;
	}
	if (knl_fd(control->knl) >= 0)
		sd_event_add_io(control->event, &control->kernel_events, knl_fd(control->knl),
				EPOLLIN, on_kernel_event, control);
	kernel_sync_all(control);
}

static void clear_kernel(struct control *control)
{
	control->kernel_events = sd_event_source_disable_unref(control->kernel_events);
	kernel_sync_withdraw(control);
	knl_close(control->knl);
	control->knl = NULL;
}

static void tear_down(struct control *control)
{
	/* Workers first: nothing serves any more when the rest goes. */
	supervise_destroy(control->supervisor);
	control->supervisor = NULL;
	features_tear_down(control);
	clear_kernel(control);
	publish_destroy(control->publisher);
	api_destroy(control->api);
	db_close(control->db);
	permission_store_destroy(control->permissions);
	model_destroy(control->model);
	cgroup_mount_clear(&control->cgroups);
	upgrade_destroy(control->upgrade);
	config_free(control->config);
	sd_event_unref(control->event);
}

/* On the way back that of before: the file may be for the version that was refused. */
static struct config *load_config(const struct control *control)
{
	struct config *config;
	int fd;

	if (!control->handover || !control->handover->returned)
		return config_load(control->config_path, report_to_log, NULL);
	fd = handover_taken_fd(yyjson_obj_get(control->handover->root, "configuration"));
	config = calloc(1, sizeof(*config));
	if (config && pread(fd, config, sizeof(*config), 0) == sizeof(*config))
		return config;
	free(config);
	log_error("the configuration of before cannot be read");
	return NULL;
}

static void introduce(struct control *control)
{
	struct timespec now;

	log_init("control", LOG_FORMAT_AUTO);
	/* Executed through a descriptor, it would be called after its number. */
	prctl(PR_SET_NAME, "hoody-agent", 0, 0, 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	control->started_us = (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int control_run(const char *path)
{
	struct control control = { .config_path = path, .cgroups.fd = -1, .exit_status = 1 };
	struct handover_found found = { 0 };
	struct spawn_identity identity;
	char fault[512];
	int ret;

	introduce(&control);
	ret = handover_find(&found, fault, sizeof(fault));
	if (ret && ret != -ENOENT)
		log_error("%s", fault);
	if (!ret)
		control.handover = &found;
	control.config = load_config(&control);
	if (!control.config)
		return 1;
	log_set_level(control.config->log_level);
	if (control_identity(control.config, &identity, report_to_log, NULL))
		goto out;
	if (set_up_events(&control)) {
		log_error("the event loop cannot be set up");
		goto out;
	}
	control.upgrade = upgrade_create(&control);
	if (!control.upgrade)
		goto out;
	cgroup_mount_setup(&control.cgroups);
	join_cgroup(&control);
	acme_prepare(&control, &identity);
	ret = spawn_restrict_control();
	if (ret) {
		log_error("capabilities cannot be given up: %s", strerror(-ret));
		goto out;
	}
	if (set_up_state(&control))
		goto out;
	set_up_kernel(&control);
	if (set_up_service(&control, &identity))
		goto out;
	if (control.handover && control.handover->returned) {
		handover_forget(control.handover);
		control.handover = NULL;
	}
	control.exit_status = 0;
	ret = sd_event_loop(control.event);
	if (ret < 0)
		log_error("the event loop failed: %s", strerror(-ret));
	control.exit_status = ret != 0;
	log_info("ended");
out:
	if (control.upgrade && control.exit_status)
		upgrade_give_up(control.upgrade, "it could not be set up: see its log");
	tear_down(&control);
	handover_forget(&found);
	return control.exit_status;
}
