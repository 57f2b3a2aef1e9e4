// SPDX-License-Identifier: Apache-2.0
/*
 * Syscall profiles of the family "hoody", see genl.h: loading them, what the gate
 * counted, and its events. Events come on a socket of their own: they are lost
 * when nobody reads them, and must not be in the way of an answer.
 */
#include "kernel/genl_internal.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <string.h>

#define EVENTS_BUFFER	(1 << 20)
/* What a dead loop of events may take of the caller's time. */
#define EVENTS_AT_ONCE	4096

/* What the kernel has under a name, beside what is wanted there. */
struct loaded {
	const struct hoody_table *table;
	uint64_t	generation;
	bool		same;
};

static void take_loaded(struct knl_request *request, struct nl_msg *message, struct nlattr **attrs)
{
	struct loaded *loaded = request->context;
	const struct nlattr *table = attrs[HOODY_A_TABLE];

	if (attrs[HOODY_A_GENERATION])
		loaded->generation = nla_get_u64(attrs[HOODY_A_GENERATION]);
	loaded->same = table && (uint32_t)nla_len(table) == loaded->table->size &&
		       !memcmp(nla_data(table), loaded->table, loaded->table->size);
}

static int profile_get(struct knl *knl, const char *name, struct loaded *loaded)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_PROFILE_GET, NLM_F_ACK);
	struct knl_request request = { .each = take_loaded, .context = loaded };

	if (message)
		nla_put_string(message, HOODY_A_PROFILE, name);
	return knl_transact(knl, message, &request);
}

int knl_profile_set(struct knl *knl, const char *name, uint64_t generation,
		    const struct hoody_table *table)
{
	struct loaded loaded = { .table = table };
	struct knl_request request = { 0 };
	struct nl_msg *message;
	int ret;

	ret = profile_get(knl, name, &loaded);
	if (ret && ret != -ENOENT)
		return ret;
	if (!ret && loaded.same)
		return 0;
	/* The module outlived a database that is older: ours is the truth. */
	if (generation < loaded.generation)
		generation = loaded.generation;
	message = knl_message_sized(knl, HOODY_CMD_PROFILE_SET, NLM_F_ACK, table->size + 256);
	if (message) {
		nla_put_string(message, HOODY_A_PROFILE, name);
		nla_put_u64(message, HOODY_A_GENERATION, generation ?: 1);
		nla_put(message, HOODY_A_TABLE, (int)table->size, table);
	}
	return knl_transact(knl, message, &request);
}

int knl_profile_del(struct knl *knl, const char *name)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_PROFILE_DEL, NLM_F_ACK);
	struct knl_request request = { 0 };
	int ret;

	if (message)
		nla_put_string(message, HOODY_A_PROFILE, name);
	ret = knl_transact(knl, message, &request);
	return ret == -ENOENT ? 0 : ret;
}

static void take_profile(struct knl_request *request, struct nl_msg *message,
			 struct nlattr **attrs)
{
	char name[HOODY_PROFILE_NAME_MAX + 1];

	if (!attrs[HOODY_A_PROFILE])
		return;
	nla_strlcpy(name, attrs[HOODY_A_PROFILE], sizeof(name));
	request->profile(request->context, name,
			 attrs[HOODY_A_USERS] ? nla_get_u32(attrs[HOODY_A_USERS]) : 0);
}

int knl_profile_dump(struct knl *knl,
		     void (*each)(void *context, const char *name, uint32_t users), void *context)
{
	struct knl_request request = { .each = take_profile, .profile = each, .context = context };

	return knl_transact(knl, knl_message(knl, HOODY_CMD_PROFILE_GET, NLM_F_DUMP), &request);
}

static void take_count(struct knl_request *request, struct nl_msg *message, struct nlattr **attrs)
{
	if (attrs[HOODY_A_ARCH] && attrs[HOODY_A_SYSCALL] && attrs[HOODY_A_COUNT])
		request->count(request->context, nla_get_u32(attrs[HOODY_A_ARCH]),
			       nla_get_u32(attrs[HOODY_A_SYSCALL]),
			       nla_get_u64(attrs[HOODY_A_COUNT]));
}

int knl_gate_counts(struct knl *knl, const uint8_t id[ID_LEN],
		    void (*each)(void *context, uint32_t arch, uint32_t nr, uint64_t count),
		    void *context)
{
	struct nl_msg *message = knl_message(knl, HOODY_CMD_GATE_GET, NLM_F_DUMP);
	struct knl_request request = { .each = take_count, .count = each, .context = context };

	if (message)
		nla_put(message, HOODY_A_ID, ID_LEN, id);
	return knl_transact(knl, message, &request);
}

static void events_open(struct knl *knl)
{
	knl->events = nl_socket_alloc();
	if (!knl->events)
		return;
	nl_socket_disable_seq_check(knl->events);
	if (genl_connect(knl->events) < 0 || nl_socket_set_nonblocking(knl->events) < 0) {
		nl_socket_free(knl->events);
		knl->events = NULL;
		return;
	}
	nl_socket_set_buffer_size(knl->events, EVENTS_BUFFER, 0);
}

void knl_events_join(struct knl *knl)
{
	int group = genl_ctrl_resolve_grp(knl->socket, HOODY_GENL_NAME, HOODY_GENL_EVENTS);

	if (!knl->events)
		events_open(knl);
	if (!knl->events || group < 0 || group == knl->events_group)
		return;
	/* The old group went with the module that had it. */
	if (knl->events_group)
		nl_socket_drop_memberships(knl->events, knl->events_group, 0);
	knl->events_group = nl_socket_add_memberships(knl->events, group, 0) < 0 ? 0 : group;
}

int knl_events_fd(const struct knl *knl)
{
	return knl->events ? nl_socket_get_fd(knl->events) : -1;
}

struct denials {
	void		(*each)(void *context, const struct knl_denial *denial);
	void		*context;
	unsigned int	taken;
};

static void take_denial(struct denials *denials, struct nlattr **attrs)
{
	struct knl_denial denial = { 0 };

	if (!attrs[HOODY_A_ID] || nla_len(attrs[HOODY_A_ID]) != ID_LEN || !attrs[HOODY_A_ARCH] ||
	    !attrs[HOODY_A_SYSCALL] || !attrs[HOODY_A_ACTION])
		return;
	memcpy(denial.id, nla_data(attrs[HOODY_A_ID]), ID_LEN);
	denial.arch = nla_get_u32(attrs[HOODY_A_ARCH]);
	denial.nr = nla_get_u32(attrs[HOODY_A_SYSCALL]);
	denial.action = nla_get_u32(attrs[HOODY_A_ACTION]);
	if (attrs[HOODY_A_GATE_MODE])
		denial.mode = nla_get_u32(attrs[HOODY_A_GATE_MODE]);
	if (attrs[HOODY_A_PID])
		denial.pid = nla_get_u32(attrs[HOODY_A_PID]);
	if (attrs[HOODY_A_COMM])
		nla_strlcpy(denial.comm, attrs[HOODY_A_COMM], sizeof(denial.comm));
	if (attrs[HOODY_A_ARGS] && nla_len(attrs[HOODY_A_ARGS]) == sizeof(denial.args))
		memcpy(denial.args, nla_data(attrs[HOODY_A_ARGS]), sizeof(denial.args));
	if (attrs[HOODY_A_COUNT])
		denial.left_out = nla_get_u64(attrs[HOODY_A_COUNT]);
	denials->each(denials->context, &denial);
}

static int on_event(struct nl_msg *message, void *arg)
{
	struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attrs[HOODY_A_MAX + 1];
	struct denials *denials = arg;

	denials->taken++;
	if (knl_parse(message, attrs) == 0 && header->cmd == HOODY_CMD_EVENT &&
	    attrs[HOODY_A_EVENT] && nla_get_u32(attrs[HOODY_A_EVENT]) == HOODY_EVENT_GATE)
		take_denial(denials, attrs);
	return NL_OK;
}

void knl_denials(struct knl *knl,
		 void (*each)(void *context, const struct knl_denial *denial), void *context)
{
	struct denials denials = { .each = each, .context = context };
	int ret = 0;

	if (!knl->events)
		return;
	nl_socket_modify_cb(knl->events, NL_CB_VALID, NL_CB_CUSTOM, on_event, &denials);
	/* What a full buffer lost is counted by the kernel: reading goes on. */
	while ((ret >= 0 || ret == -NLE_NOMEM) && denials.taken < EVENTS_AT_ONCE)
		ret = nl_recvmsgs_default(knl->events);
}
