// SPDX-License-Identifier: Apache-2.0
/*
 * hoody module reload|resume: the kernel module is exchanged while the host serves.
 * Containers with a syscall profile are frozen from before the old module lets go of them
 * until the agent confirms that the new one has them: docs/adr/0011. Whatever fails, who
 * is frozen stays so unless the agent confirms; a second call goes on from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "module_load.h"
#include "options.h"
#include "print.h"

#define LOCK		"/run/hoody-module.lock"
#define WIDTH		8
#define WAIT_SECONDS	30
#define WAIT_MAX	3600
#define FREEZE_SECONDS	10
#define AGENT_SECONDS	30 /* until one that was restarted answers again */
#define PAUSE_NS	(20 * 1000000l)

struct reload {
	struct cli		*cli;
	struct api		*api;
	unsigned long long	number;
	unsigned long		wait;
	const char		*file; /* NULL: modprobe */
	int			fd;
	unsigned long long	frozen_ns;   /* when the first was; 0: none */
	size_t			count;	     /* of those that are frozen */
	char			held[512];   /* who is frozen still, and why */
	char			version[64]; /* of the module; empty: none */
};

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void pause_shortly(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	nanosleep(&pause, NULL);
}

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static const char *name_of(yyjson_val *hold)
{
	const char *name = text_of(hold, "name");

	return name[0] ? name : text_of(hold, "container");
}

/* Root, on the host, and nobody else at it. CLI_FAILED after the reason was printed. */
static enum cli_status prepare(struct reload *reload)
{
	sigset_t stops;
	int lock;

	reload->api = cli_api(reload->cli);
	if (!reload->api)
		return CLI_FAILED;
	if (strncmp(api_address(reload->api), "unix:", 5))
		return print_error(reload->cli, CLI_FAILED,
				   "the module is the host's: run this there, with HOODY_API unset");
	/* Held until this process ends, however it does. */
	lock = open(LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0)
		return print_error(reload->cli, CLI_FAILED, "%s: %s: root is needed", LOCK,
				   strerror(errno));
	if (flock(lock, LOCK_EX | LOCK_NB))
		return print_error(reload->cli, CLI_FAILED, "another reload is under way");
	/* To stop half-way would help nobody: what fails is undone here. */
	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGHUP);
	sigaddset(&stops, SIGQUIT);
	sigprocmask(SIG_BLOCK, &stops, NULL);
	return CLI_DONE;
}

/* --- freezing and thawing --- */

/* 0, or -1 with @fault. */
static int freeze_all(struct reload *reload, yyjson_val *data, char fault[MODULE_FAULT_MAX])
{
	yyjson_val *hold;
	size_t i, max;
	int ret;

	yyjson_arr_foreach(yyjson_obj_get(data, "containers"), i, max, hold)
	{
		if (!reload->frozen_ns)
			reload->frozen_ns = now_ns();
		ret = module_freeze(text_of(data, "mount"), text_of(hold, "cgroup"),
				    yyjson_get_uint(yyjson_obj_get(hold, "cgroup_id")), true);
		if (ret) {
			snprintf(fault, MODULE_FAULT_MAX, "container %.60s cannot be frozen: %s",
				 name_of(hold), strerror(-ret));
			return -1;
		}
	}
	return 0;
}

static void note_held(struct reload *reload, yyjson_val *hold, const char *reason)
{
	size_t used = strlen(reload->held);

	snprintf(reload->held + used, sizeof(reload->held) - used, "%s%s (%s)", used ? ", " : "",
		 name_of(hold), reason);
}

static void thaw_confirmed(struct reload *reload, yyjson_val *data)
{
	yyjson_val *hold;
	size_t i, max;
	int ret;

	reload->held[0] = '\0';
	yyjson_arr_foreach(yyjson_obj_get(data, "containers"), i, max, hold)
	{
		if (!yyjson_is_true(yyjson_obj_get(hold, "thaw"))) {
			note_held(reload, hold, text_of(hold, "reason"));
			continue;
		}
		ret = module_freeze(text_of(data, "mount"), text_of(hold, "cgroup"),
				    yyjson_get_uint(yyjson_obj_get(hold, "cgroup_id")), false);
		if (ret)
			note_held(reload, hold, strerror(-ret));
	}
	snprintf(reload->version, sizeof(reload->version), "%s", text_of(data, "version"));
}

/* The agent takes the module into use again, and who is confirmed runs. 0 or -1. */
static int resume(struct reload *reload, struct api_reply *reply)
{
	const unsigned long long end = now_ns() + AGENT_SECONDS * 1000000000ull;
	int ret;

	/* It may just be restarting. */
	while ((ret = api_call(reload->api, "POST", "/api/v1/module/resume", NULL, reply)) == -EIO &&
	       now_ns() < end) {
		api_reply_clear(reply);
		pause_shortly();
	}
	if (ret)
		return -1;
	thaw_confirmed(reload, reply->data);
	api_reply_clear(reply);
	/* Those who run are struck off. */
	return api_call(reload->api, "POST", "/api/v1/module/resume", NULL, reply) ? -1 : 0;
}

/* After a step that failed: back to what there was, as far as that is safe. */
static enum cli_status give_up(struct reload *reload, const char *why)
{
	struct api_reply reply = {};
	enum cli_status status;

	if (resume(reload, &reply))
		status = print_error(reload->cli, CLI_FAILED,
				     "%s. The agent does not answer, and who was frozen stays so: "
				     "hoody module resume", why);
	else if (reload->held[0])
		status = print_error(reload->cli, CLI_FAILED,
				     "%s. Frozen until a module holds their profiles: %s. Then: hoody "
				     "module resume, or this command again", why, reload->held);
	else
		status = print_error(reload->cli, CLI_FAILED, "%s. %s", why, reload->version[0] ?
				     "All goes on as before" : "Nobody is frozen");
	api_reply_clear(&reply);
	return status;
}

/* --- the steps --- */

/* One question about the reload. 0, or the agent's code in @code ("": no answer) and @fault. */
static int ask(struct reload *reload, bool release, char code[32], char fault[API_FAULT_MAX])
{
	char path[96] = "/api/v1/module/release", body[64];
	struct api_reply reply;
	int ret;

	snprintf(body, sizeof(body), "{\"number\":%llu}", reload->number);
	if (!release)
		snprintf(path, sizeof(path), "/api/v1/module?number=%llu", reload->number);
	ret = api_call(reload->api, release ? "POST" : "GET", path, release ? body : NULL, &reply);
	snprintf(code, 32, "%s", text_of(reply.error, "code"));
	snprintf(fault, API_FAULT_MAX, "%s",
		 ret == -EIO ? reply.fault : text_of(reply.error, "message"));
	api_reply_clear(&reply);
	return ret;
}

/*
 * Asks until the agent lets the module go: 0. While its answer is @code or @other for
 * @seconds; 1 where it is something else, -1 where that does not help. @fault has it.
 */
static int ask_release(struct reload *reload, const char *code, const char *other,
		       unsigned long seconds, char fault[API_FAULT_MAX])
{
	const unsigned long long end = now_ns() + seconds * 1000000000ull;
	char got[32];

	for (;;) {
		if (!ask(reload, false, got, fault) && !ask(reload, true, got, fault))
			return 0;
		if (strcmp(got, code) && strcmp(got, other))
			return !got[0] || !strcmp(got, "no_reload") ? -1 : 1;
		if (now_ns() >= end)
			return -1;
		pause_shortly();
	}
}

/* Until nothing of the agent holds the module. 0, or -1 with @fault. */
static int take_off(struct reload *reload, yyjson_val *data, char fault[API_FAULT_MAX])
{
	int ret = ask_release(reload, "connections_open", "connections_open", reload->wait,
			      fault);

	/* Connections first: what is frozen ends none. */
	if (ret <= 0)
		return ret;
	if (freeze_all(reload, data, fault))
		return -1;
	/* A tracer on the host may be between two looks at its tracee. */
	return ask_release(reload, "not_frozen", "traced", FREEZE_SECONDS, fault) ? -1 : 0;
}

static enum cli_status report(struct reload *reload)
{
	const unsigned long long ms =
		reload->frozen_ns ? (now_ns() - reload->frozen_ns) / 1000000 : 0;
	enum cli_status status;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;

	if (!reload->cli->json) {
		print_field(reload->cli, WIDTH, "module", reload->version, PRINT_GREEN);
		if (reload->count && !reload->frozen_ns)
			print_fieldf(reload->cli, WIDTH, "frozen", "%zu containers, since before",
				     reload->count);
		else
			print_fieldf(reload->cli, WIDTH, "frozen", "%zu containers, for %llu ms",
				     reload->count, ms);
		return CLI_DONE;
	}
	doc = yyjson_mut_doc_new(NULL);
	root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "version", reload->version);
	yyjson_mut_obj_add_uint(doc, root, "frozen", reload->count);
	yyjson_mut_obj_add_uint(doc, root, "frozen_ms", ms);
	status = print_json_mut(doc);
	yyjson_mut_doc_free(doc);
	return status;
}

/* From the first answer of the agent to the last. */
static enum cli_status exchange(struct reload *reload, yyjson_val *data)
{
	char fault[API_FAULT_MAX], why[API_FAULT_MAX + 80];
	struct api_reply reply = {};
	enum cli_status status;

	if (take_off(reload, data, fault) || module_unload(fault))
		return give_up(reload, fault);
	if (module_load(reload->file, reload->fd, fault)) {
		snprintf(why, sizeof(why), "the module that was there is gone, and %s", fault);
		return give_up(reload, why);
	}
	if (resume(reload, &reply) || !reload->version[0] || reload->held[0]) {
		snprintf(why, sizeof(why), "%s", reload->version[0] ? "the module was exchanged" :
				"the agent cannot use the new module: see hoody status");
		status = give_up(reload, why);
	} else {
		status = report(reload);
	}
	api_reply_clear(&reply);
	return status;
}

static const char *check_wait(const char *text)
{
	unsigned long seconds;

	return check_number(text, 0, WAIT_MAX, &seconds) ? "must be seconds, from 0 to 3600" : NULL;
}

static enum cli_status run_reload(struct cli *cli, const struct cli_args *args)
{
	struct reload reload = {.cli = cli, .fd = -1, .wait = WAIT_SECONDS};
	const char *wait = args_value(args, "wait");
	char fault[MODULE_FAULT_MAX];
	struct api_reply reply = {};
	enum cli_status status;

	if (wait)
		check_number(wait, 0, WAIT_MAX, &reload.wait);
	reload.file = args_value(args, "module");
	status = prepare(&reload);
	if (status)
		return status;
	if (module_find(reload.file, &reload.fd, fault))
		return print_error(cli, CLI_FAILED, "%s", fault);
	if (api_call(reload.api, "POST", "/api/v1/module/reload",
		     args_flag(args, "keep") ? "{\"keep\":true}" : "{}", &reply)) {
		status = print_refusal(cli, &reply);
	} else {
		reload.number = yyjson_get_uint(yyjson_obj_get(reply.data, "number"));
		reload.count = yyjson_arr_size(yyjson_obj_get(reply.data, "containers"));
		status = exchange(&reload, reply.data);
	}
	api_reply_clear(&reply);
	if (reload.fd >= 0)
		close(reload.fd);
	return status;
}

static enum cli_status run_resume(struct cli *cli, const struct cli_args *args)
{
	struct reload reload = {.cli = cli, .fd = -1};
	struct api_reply reply = {};
	enum cli_status status = prepare(&reload);

	(void)args;
	if (status)
		return status;
	if (resume(&reload, &reply))
		status = print_refusal(cli, &reply);
	else if (reload.held[0])
		status = print_error(cli, CLI_FAILED, "still frozen: %s", reload.held);
	else if (cli->json)
		status = print_json(reply.data);
	else
		print_field(cli, WIDTH, "frozen", "none", PRINT_GREEN);
	api_reply_clear(&reply);
	return status;
}

static const struct cli_option reload_options[] = {
	{.name = "keep", .kind = CLI_FLAG,
	 .help = "freeze containers with a syscall profile until it holds again"},
	{.name = "module", .kind = CLI_VALUE, .value = "FILE",
	 .help = "load this file instead of what modprobe finds"},
	{.name = "wait", .kind = CLI_VALUE, .value = "SECONDS", .check = check_wait,
	 .help = "for connections that hold the module (30)"},
	{},
};

const struct cli_command module_commands[] = {
	{
		.path = "module reload",
		.summary = "exchange the kernel module while the agent and containers run",
		.details = "Without --keep it is refused while a running container has a syscall profile.\n"
			   "If the new module cannot be loaded, these containers stay frozen: the same\n"
			   "command, or loading a module and \"hoody module resume\", goes on from there.",
		.options = reload_options,
		.run = run_reload,
	},
	{
		.path = "module resume",
		.summary = "thaw what a reload left frozen, where its profile holds again",
		.run = run_resume,
	},
	{},
};
