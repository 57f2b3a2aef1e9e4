// SPDX-License-Identifier: Apache-2.0
/* Figures as text, see metrics.h. */
#include "control/metrics.h"
#include "control/module.h"
#include "audit/audit.h"
#include "control/api.h"
#include "control/api_certificates.h"
#include "control/feature.h"
#include "control/network.h"
#include "lib/list.h"
#include "lib/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct metrics {
	struct control		*control;
	struct http_server	*server;
	struct address_listen	address;
	struct list		scrapes;	/* of @server, under way */
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "gauge", help);
	fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "counter", help);
	fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

static bool is_gauge(const char *name)
{
	size_t len = strlen(name);

	return !strcmp(name, "upstream_idle") || (len > 5 && !strcmp(name + len - 5, "_open"));
}

/* Those with a prefix that makes them one family with a label. */
static bool is_labelled(const char *name)
{
	return !strncmp(name, "responses_", 10) || !strncmp(name, "refused_", 8);
}

static void one(FILE *out, const char *name, uint64_t value)
{
	char full[96], help[160];

	if (is_labelled(name))
		return;
	snprintf(full, sizeof(full), "hoody_%s%s", name, is_gauge(name) ? "" : "_total");
	snprintf(help, sizeof(help), "The workers' %s %s; hoody-agent(8) explains it.",
		 is_gauge(name) ? "gauge" : "counter", name);
	(is_gauge(name) ? gauge : counter)(out, full, help, value);
}

static void labelled(FILE *out, const char *prefix, const char *family, const char *label,
		     const char *name, uint64_t value)
{
	size_t len = strlen(prefix);

	if (!strncmp(name, prefix, len))
		fprintf(out, "%s{%s=\"%s\"} %llu\n", family, label, name + len,
			(unsigned long long)value);
}

static void worker(FILE *out, const struct ipc_stats *stats)
{
#define X(name) one(out, #name, stats->name);
	IPC_COUNTERS(X)
#undef X
	head(out, "hoody_responses_total", "counter", "Responses to clients by class of status.");
#define X(name) labelled(out, "responses_", "hoody_responses_total", "class", #name, stats->name);
	IPC_COUNTERS(X)
#undef X
	head(out, "hoody_refused_total", "counter", "Requests that were refused, by reason.");
#define X(name) labelled(out, "refused_", "hoody_refused_total", "reason", #name, stats->name);
	IPC_COUNTERS(X)
#undef X
}

static void trail(FILE *out, struct control *control)
{
	struct audit_status status;

	if (!control->audit)
		return;
	audit_status(control->audit, &status);
	counter(out, "hoody_audit_entries_total", "Entries of the audit trail.", status.written);
	head(out, "hoody_audit_sink_lost_total", "counter", "Entries that a sink could not take.");
	fprintf(out, "hoody_audit_sink_lost_total{sink=\"database\"} %llu\n",
		(unsigned long long)status.lost_database);
	fprintf(out, "hoody_audit_sink_lost_total{sink=\"journal\"} %llu\n",
		(unsigned long long)status.lost_journal);
	fprintf(out, "hoody_audit_sink_lost_total{sink=\"file\"} %llu\n",
		(unsigned long long)status.lost_file);
	gauge(out, "hoody_audit_database_bytes", "Size of the audit database.", status.size);
}

/* From malloc(), or NULL. What is NULL cannot be asked for now. */
static char *metrics_text(struct control *control, const struct ipc_stats *stats,
			  const struct relay_totals *exits)
{
	struct supervise_status status;
	struct timespec now;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	supervise_status(control->supervisor, &status);
	clock_gettime(CLOCK_MONOTONIC, &now);
	head(out, "hoody_build_info", "gauge", "Version of the agent, always 1.");
	fprintf(out, "hoody_build_info{version=\"%s\"} 1\n", HOODY_VERSION);
	gauge(out, "hoody_uptime_seconds", "Since the agent has started.",
	      (uint64_t)now.tv_sec - control->started_us / 1000000);
	gauge(out, "hoody_containers", "Containers that are registered.",
	      model_containers_count(control->model));
	gauge(out, "hoody_containers_running", "Containers that are running.",
	      model_running_count(control->model));
	gauge(out, "hoody_containers_refused_by_kernel",
	      "Running containers that the kernel module has not taken.", control->kernel_failed);
	gauge(out, "hoody_containers_frozen",
	      "Containers that a reload of the kernel module has left frozen.",
	      control->module->holds->table.count);
	gauge(out, "hoody_tombstones", "Ids that were deleted and are remembered.",
	      model_tombstones_count(control->model));
	gauge(out, "hoody_database_copy_kept",
	      "1 while there is a copy that a damaged database is put back from.",
	      !*db_copy_fault(control->db));
	gauge(out, "hoody_database_restored", "1 where it was, at this start.",
	      *db_restored(control->db) != 0);
	gauge(out, "hoody_real_ip_on", "1 while clients' own addresses are used.",
	      control_real_ip_mode(control) == IMAGE_REAL_IP_ON);
	gauge(out, "hoody_worker_serving", "1 while a worker serves.",
	      status.state == SUPERVISE_SERVING);
	counter(out, "hoody_worker_restarts_total", "Ends of workers that nobody asked for.",
		status.restarts);
	if (stats)
		worker(out, stats);
	trail(out, control);
	network_metrics(control->network, exits, out);
	api_certificates_metrics(control, out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- worker and relay are asked, one after the other ---- */

struct scrape {
	struct list		node;
	struct control		*control;
	void			(*reply)(void *request, char *text);	/* NULL: it is gone */
	void			*request;
	bool			has_stats;
	struct ipc_stats	stats;
};

static void on_totals(void *context, const struct relay_totals *totals)
{
	struct scrape *scrape = context;

	if (scrape->reply)
		scrape->reply(scrape->request,
			      metrics_text(scrape->control,
					   scrape->has_stats ? &scrape->stats : NULL, totals));
	list_del(&scrape->node);
	free(scrape);
}

static void on_stats(void *context, const struct ipc_stats *stats)
{
	struct scrape *scrape = context;

	scrape->has_stats = stats != NULL;
	if (stats)
		scrape->stats = *stats;
	network_totals(scrape->control->network, on_totals, scrape);
}

/* False without memory: @reply is not called. @list, or NULL: who is under way. */
static bool start(struct control *control, void (*reply)(void *request, char *text), void *request,
		  struct list *list)
{
	struct scrape *scrape = malloc(sizeof(*scrape));

	if (!scrape)
		return false;
	*scrape = (struct scrape){ .control = control, .reply = reply, .request = request };
	list_setup(&scrape->node);
	if (list)
		list_add_tail(&scrape->node, list);
	supervise_stats(control->supervisor, on_stats, scrape);
	return true;
}

/* ---- on the control socket ---- */

static void reply_call(void *request, char *text)
{
	api_reply_text(request, 200, text, METRICS_TYPE, NULL);
}

static void show(struct api_call *call)
{
	if (!start(call->control, reply_call, call, NULL))
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
}

const struct api_route api_metrics_routes[] = {
	{ "GET", "/metrics", API_BODY_NONE, NULL, show },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};

/* ---- on an address of its own ---- */

static void reply_request(void *request, char *text)
{
	http_reply_as(request, 200, text, METRICS_TYPE, NULL);
}

static char *plain_error(int status, const char *message)
{
	return strdup("{}");
}

static void handle(void *context, struct http_request *request)
{
	struct metrics *metrics = context;

	if (strcmp(request->method, "GET") || strcmp(request->path, "/metrics")) {
		http_reply_as(request, 404, strdup("only GET /metrics is answered here\n"),
			      "text/plain", NULL);
		return;
	}
	if (!start(metrics->control, reply_request, request, &metrics->scrapes))
		http_reply(request, 503, plain_error(503, ""), NULL);
}

/* Closes the address; what was asked there is answered that the agent ends. */
static void stop_listening(struct metrics *metrics)
{
	struct scrape *scrape, *next;

	list_for_each_entry_safe(scrape, next, &metrics->scrapes, node) {
		scrape->reply = NULL;
		list_del(&scrape->node);
	}
	http_server_destroy(metrics->server);
	metrics->server = NULL;
}

static bool same(const struct address_listen *a, const struct address_listen *b)
{
	return a->port == b->port && (!a->port || address_equal(&a->address, &b->address));
}

/* Opens, closes or moves the address. 0, or -1 with @fault and what was before. */
static int apply(struct metrics *metrics, const struct address_listen *wanted, char *fault,
		 size_t fault_size)
{
	struct http_server *server = NULL;

	if (same(&metrics->address, wanted))
		return 0;
	if (wanted->port) {
		server = http_server_create_tcp(metrics->control->event, wanted, handle,
						plain_error, metrics, fault, fault_size);
		if (!server)
			return -1;
	}
	stop_listening(metrics);
	metrics->server = server;
	metrics->address = *wanted;
	return 0;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	control->metrics = calloc(1, sizeof(*control->metrics));
	if (!control->metrics) {
		snprintf(fault, fault_size, "metrics: out of memory");
		return -1;
	}
	control->metrics->control = control;
	list_setup(&control->metrics->scrapes);
	return apply(control->metrics, &control->config->metrics, fault, fault_size);
}

static void tear_down(struct control *control)
{
	if (!control->metrics)
		return;
	stop_listening(control->metrics);
	free(control->metrics);
	control->metrics = NULL;
}

static void reloaded(struct control *control)
{
	char fault[256];

	if (apply(control->metrics, &control->config->metrics, fault, sizeof(fault)))
		log_error("reload: %s; metrics stay where they were", fault);
}

const struct feature metrics_feature = {
	.name = "metrics",
	.set_up = set_up,
	.tear_down = tear_down,
	.reloaded = reloaded,
};
