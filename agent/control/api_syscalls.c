// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about a container's system calls: which profile it has, what the gate
 * counted and refused, attaching and detaching, and what was learned.
 */
#include "control/api_syscalls.h"
#include "control/container_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_DENIALS	64	/* the newest ones */

static const char *const arch_names[HOODY_ARCHS] = {
	[HOODY_ARCH_X86_64] = "x86_64",
	[HOODY_ARCH_IA32] = "ia32",
};

static const char *const action_texts[HOODY_ACTION_MAX + 1] = {
	[HOODY_ACTION_ALLOW] = "allow", [HOODY_ACTION_LOG] = "log",
	[HOODY_ACTION_ERRNO] = "errno", [HOODY_ACTION_TRAP] = "trap",
	[HOODY_ACTION_KILL_THREAD] = "kill", [HOODY_ACTION_KILL_PROCESS] = "kill",
};

static bool counted(const struct control *control, const struct container *container)
{
	return container->running && control->knl && knl_state(control->knl) == KNL_READY;
}

struct counters {
	yyjson_mut_doc	*document;
	yyjson_mut_val	*list;
};

static void add_counter(void *context, uint32_t arch, uint32_t nr, uint64_t count)
{
	struct counters *counters = context;
	yyjson_mut_val *object;
	char name[48];

	if (arch >= HOODY_ARCHS)
		return;
	profile_call_name(arch, nr, name, sizeof(name));
	object = yyjson_mut_arr_add_obj(counters->document, counters->list);
	yyjson_mut_obj_add_strcpy(counters->document, object, "syscall", name);
	yyjson_mut_obj_add_str(counters->document, object, "arch", arch_names[arch]);
	yyjson_mut_obj_add_uint(counters->document, object, "count", count);
}

static void add_denial(yyjson_mut_doc *document, yyjson_mut_val *list,
		       const struct syscalls_denial *denial)
{
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list), *args;
	const struct knl_denial *call = &denial->call;
	uint32_t kind = call->action & 0xffff;
	char text[48];

	container_format_time(denial->time, text);
	yyjson_mut_obj_add_strcpy(document, object, "time", text);
	profile_call_name(call->arch, call->nr, text, sizeof(text));
	yyjson_mut_obj_add_strcpy(document, object, "syscall", text);
	yyjson_mut_obj_add_str(document, object, "arch",
			       call->arch < HOODY_ARCHS ? arch_names[call->arch] : "unknown");
	yyjson_mut_obj_add_str(document, object, "action",
			       kind <= HOODY_ACTION_MAX ? action_texts[kind] : "unknown");
	yyjson_mut_obj_add_uint(document, object, "errno", call->action >> 16);
	yyjson_mut_obj_add_bool(document, object, "passed",
				call->mode == HOODY_GATE_LEARN || kind == HOODY_ACTION_LOG);
	yyjson_mut_obj_add_uint(document, object, "pid", call->pid);
	yyjson_mut_obj_add_strcpy(document, object, "command", call->comm);
	args = yyjson_mut_obj_add_arr(document, object, "args");
	for (int i = 0; i < 6; i++)
		yyjson_mut_arr_add_uint(document, args, call->args[i]);
	yyjson_mut_obj_add_uint(document, object, "left_out_before", call->left_out);
}

static void add_denials(const struct syscalls *syscalls, const uint8_t id[ID_LEN],
			yyjson_mut_doc *document, yyjson_mut_val *data)
{
	size_t kept = syscalls->denials_count < SYSCALLS_DENIALS_MAX ? syscalls->denials_count :
								       SYSCALLS_DENIALS_MAX;
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, data, "denials");
	const struct syscalls_denial *shown[SHOWN_DENIALS];
	size_t count = 0;

	for (size_t i = 1; i <= kept && count < SHOWN_DENIALS; i++) {
		const struct syscalls_denial *denial =
			&syscalls->denials[(syscalls->denials_count - i) % SYSCALLS_DENIALS_MAX];

		if (!memcmp(denial->call.id, id, ID_LEN))
			shown[count++] = denial;
	}
	while (count)
		add_denial(document, list, shown[--count]);
}

/* The state of a container, as every call here answers. @report may be NULL. */
static void reply(struct api_call *call, const struct container *container,
		  const struct profile_report *report)
{
	static const struct profile_report nothing;
	const struct control *control = call->control;
	const struct syscalls_attachment *attachment = syscalls_find(control->syscalls,
								     container->id);
	const char *reason = syscalls_unenforced(control, container);
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	struct counters counters = { .document = document };
	char id[ID_TEXT_LEN + 1];

	id_format(container->id, id);
	yyjson_mut_obj_add_strcpy(document, data, "container", id);
	if (attachment) {
		yyjson_mut_obj_add_strcpy(document, data, "profile", attachment->profile);
		yyjson_mut_obj_add_str(document, data, "mode", syscalls_modes[attachment->mode]);
	} else {
		yyjson_mut_obj_add_null(document, data, "profile");
		yyjson_mut_obj_add_null(document, data, "mode");
	}
	yyjson_mut_obj_add_bool(document, data, "in_force",
				attachment && container->running && !*reason);
	if (*reason)
		yyjson_mut_obj_add_strcpy(document, data, "reason", reason);
	else
		yyjson_mut_obj_add_null(document, data, "reason");
	counters.list = yyjson_mut_obj_add_arr(document, data, "counters");
	if (counted(control, container))
		knl_gate_counts(control->knl, container->id, add_counter, &counters);
	add_denials(control->syscalls, container->id, document, data);
	syscalls_add_warnings(document, data, report ? report : &nothing);
	api_reply_data(call, 200, document, data);
}

static void show(struct api_call *call)
{
	const struct container *container = api_container(call);

	if (container)
		reply(call, container, NULL);
}

/* --- attaching --- */

struct wish {
	const char	*profile;	/* NULL: none */
	uint32_t	mode;
	bool		learn_all, force;
};

/* 0, or -1 where the call has been answered. */
static int read_wish(struct api_call *call, struct wish *wish)
{
	yyjson_val *key, *value, *profile = yyjson_obj_get(call->body, "profile");
	yyjson_val *mode = yyjson_obj_get(call->body, "mode");
	yyjson_val *force = yyjson_obj_get(call->body, "force");
	size_t i, max;

	*wish = (struct wish){ .profile = yyjson_get_str(profile) };
	yyjson_obj_foreach(call->body, i, max, key, value) {
		if (value == profile || value == mode || value == force)
			continue;
		api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
				"this call knows no field of this name");
		return -1;
	}
	if (mode && yyjson_equals_str(mode, syscalls_modes[HOODY_GATE_LEARN])) {
		wish->mode = HOODY_GATE_LEARN;
	} else if (mode && !yyjson_equals_str(mode, syscalls_modes[HOODY_GATE_ENFORCE])) {
		api_reply_error(call, 422, "invalid_value", "mode", "must be enforce or learn");
		return -1;
	}
	if (force && !yyjson_is_bool(force)) {
		api_reply_error(call, 422, "invalid_value", "force", "is neither true nor false");
		return -1;
	}
	wish->force = yyjson_get_bool(force);
	if (!profile || (!wish->profile && !yyjson_is_null(profile))) {
		api_reply_error(call, 422, profile ? "invalid_value" : "missing_field", "profile",
				"must be the name of a profile, or null for none");
		return -1;
	}
	if (!wish->profile && wish->mode == HOODY_GATE_LEARN) {
		wish->profile = SYSCALLS_LEARN;
		wish->learn_all = true;
	} else if (wish->profile && (!strcmp(wish->profile, SYSCALLS_LEARN) ||
				     !syscalls_profile_find(call->control->syscalls, wish->profile))) {
		api_reply_error(call, 422, "invalid_value", "profile",
				"there is no profile of this name: load it first");
		return -1;
	}
	return 0;
}

struct comparison {
	const struct syscalls_profile	*profile;
	struct profile_report		*report;
};

/* A call that the container has made while it was watched. */
static void compare_count(void *context, uint32_t arch, uint32_t nr, uint64_t count)
{
	struct comparison *comparison = context;
	struct profile_report *report = comparison->report;
	char name[48];

	if (arch >= HOODY_ARCHS || !profile_refuses(comparison->profile->table, arch, nr))
		return;
	if (report->warnings_count == PROFILE_WARNINGS_MAX) {
		report->warnings_dropped++;
		return;
	}
	profile_call_name(arch, nr, name, sizeof(name));
	snprintf(report->warnings[report->warnings_count++], PROFILE_TEXT_MAX,
		 "%s is refused now, and was called %llu times while the container was watched",
		 name, (unsigned long long)count);
}

/* Fills @report. 0, or -1 where the call has been answered. */
static int check_wish(struct api_call *call, const struct container *container,
		      const struct wish *wish, struct profile_report *report)
{
	const struct syscalls *syscalls = call->control->syscalls;
	const struct syscalls_attachment *now = syscalls_find(syscalls, container->id);
	struct comparison comparison = { .report = report };

	memset(report, 0, sizeof(*report));
	if (wish->learn_all && now && strcmp(now->profile, SYSCALLS_LEARN)) {
		api_reply_error(call, 409, "in_use", "mode",
				"the container has the profile %s, and learning lets every call pass: detach it first",
				now->profile);
		return -1;
	}
	if (!wish->profile || wish->mode != HOODY_GATE_ENFORCE)
		return 0;
	comparison.profile = syscalls_profile_find(syscalls, wish->profile);
	profile_essential(comparison.profile->table, report);
	if (report->warnings_count && !wish->force) {
		api_reply_error(call, 409, "would_stop", "profile",
				"nothing has changed: %s (%u such calls; force attaches it all the same)",
				report->warnings[0], report->warnings_count);
		return -1;
	}
	if (now && now->mode == HOODY_GATE_LEARN && counted(call->control, container))
		knl_gate_counts(call->control->knl, container->id, compare_count, &comparison);
	return 0;
}

static void put(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct profile_report report;
	char fault[SYSCALLS_FAULT_MAX];
	struct wish wish;
	int ret;

	if (!container || read_wish(call, &wish) || check_wish(call, container, &wish, &report))
		return;
	ret = syscalls_attach(call->control, container, wish.profile, wish.mode, fault,
			      sizeof(fault));
	if (ret)
		syscalls_reply_refusal(call, ret, fault);
	else
		reply(call, container, &report);
}

/* --- what was learned --- */

struct learned {
	yyjson_mut_doc	*document;
	yyjson_mut_val	*names;
	bool		seen[HOODY_ARCHS][HOODY_TABLE_CALLS];
	size_t		count;
};

static void learn_count(void *context, uint32_t arch, uint32_t nr, uint64_t count)
{
	struct learned *learned = context;

	if (arch < HOODY_ARCHS && nr < HOODY_TABLE_CALLS && count) {
		learned->seen[arch][nr] = true;
		learned->count++;
	}
}

static void add_names(struct learned *learned)
{
	/* Of the start of a program that was watched only later, and of its end. */
	static const char *const always[] = {
		"execve", "exit", "exit_group", "restart_syscall", "rt_sigreturn", "rt_sigaction",
		"rt_sigprocmask", "mmap", "mprotect", "munmap", "brk", "read", "write", "close",
		"openat", "newfstatat", "arch_prctl", "clone", "wait4", "futex",
		"set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom",
	};
	char name[48];

	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		yyjson_mut_arr_add_str(learned->document, learned->names, always[i]);
	for (unsigned int arch = 0; arch < HOODY_ARCHS; arch++) {
		for (unsigned int nr = 0; nr < HOODY_TABLE_CALLS; nr++) {
			bool listed = false;
			yyjson_mut_val *value;
			size_t i, max;

			if (!learned->seen[arch][nr])
				continue;
			profile_call_name(arch, nr, name, sizeof(name));
			yyjson_mut_arr_foreach(learned->names, i, max, value)
				listed |= yyjson_mut_equals_str(value, name);
			if (name[0] != '#' && !listed)
				yyjson_mut_arr_add_strcpy(learned->document, learned->names, name);
		}
	}
}

static void reply_learned(struct api_call *call, struct learned *learned)
{
	yyjson_mut_doc *document = learned->document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document), *list, *entry;

	yyjson_mut_obj_add_str(document, data, "defaultAction", "SCMP_ACT_ERRNO");
	/* As if the kernel were older: programs then try what they know besides. */
	yyjson_mut_obj_add_uint(document, data, "defaultErrnoRet", ENOSYS);
	list = yyjson_mut_obj_add_arr(document, data, "architectures");
	yyjson_mut_arr_add_str(document, list, "SCMP_ARCH_X86_64");
	yyjson_mut_arr_add_str(document, list, "SCMP_ARCH_X86");
	yyjson_mut_arr_add_str(document, list, "SCMP_ARCH_X32");
	list = yyjson_mut_obj_add_arr(document, data, "syscalls");
	entry = yyjson_mut_arr_add_obj(document, list);
	learned->names = yyjson_mut_obj_add_arr(document, entry, "names");
	add_names(learned);
	yyjson_mut_obj_add_str(document, entry, "action", "SCMP_ACT_ALLOW");
	api_reply_data(call, 200, document, data);
}

static void show_learned(struct api_call *call)
{
	const struct container *container = api_container(call);
	const struct syscalls_attachment *now;
	struct learned learned = { 0 };
	int ret;

	if (!container)
		return;
	now = syscalls_find(call->control->syscalls, container->id);
	if (!now || strcmp(now->profile, SYSCALLS_LEARN) || !counted(call->control, container)) {
		api_reply_error(call, 409, "not_learning", NULL,
				"this container does not run in learn mode: {\"profile\":null,\"mode\":\"learn\"} starts it");
		return;
	}
	ret = knl_gate_counts(call->control->knl, container->id, learn_count, &learned);
	if (ret) {
		api_reply_error(call, 503, "unavailable", NULL, "the module does not answer: %s",
				knl_fault(call->control->knl));
		return;
	}
	if (!learned.count) {
		api_reply_error(call, 409, "not_learning", NULL,
				"the container has not made a system call yet since it is watched");
		return;
	}
	reply_learned(call, &learned);
}

#define SYSCALLS_PATTERN	"/api/v1/containers/{id}/syscalls"

const struct api_route api_syscalls_routes[] = {
	{ "GET", SYSCALLS_PATTERN, API_BODY_NONE, NULL, show },
	{ "PUT", SYSCALLS_PATTERN, API_BODY_REQUIRED, NULL, put },
	{ "GET", SYSCALLS_PATTERN "/learned", API_BODY_NONE, NULL, show_learned },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
