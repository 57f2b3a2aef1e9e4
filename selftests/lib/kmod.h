/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For test programs in C that need the module: loading and unloading it, and a
 * plain netlink client on libmnl that keeps what an error says. Include it in
 * one file of a program, like tap.h. It never goes through the agent's library:
 * a fault there must not hide one in the module.
 */
#ifndef HOODY_SELFTESTS_KMOD_H
#define HOODY_SELFTESTS_KMOD_H

#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/hoody.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define KMOD_NL_BUFFER	65536

struct kmod_nl {
	struct mnl_socket	*socket;
	unsigned int		portid;
	unsigned int		seq;
	uint16_t		family;
	uint32_t		group;		/* "events" */
	/* Of the last answer: */
	char			text[256];	/* extack text, "" for none */
	uint32_t		offset;		/* of the attribute at fault, 0: none */
	uint32_t		missing;	/* type of the missing attribute, 0: none */
	bool			interrupted;	/* NLM_F_DUMP_INTR was set */
};

/* What a container's message says; read back into the same. */
struct kmod_container {
	uint8_t		id[HOODY_ID_LEN];
	uint8_t		project[HOODY_ID_LEN];
	uint64_t	generation;
	uint64_t	cgroup;
	uint32_t	flags;
	uint32_t	mode;
	unsigned int	count4, count6;
	struct in_addr	addr4[2 * HOODY_MAX_ADDRS];
	struct in6_addr	addr6[2 * HOODY_MAX_ADDRS];
};

static inline void kmod_die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Loads $HOODY_BUILD/@folder/<release of the running kernel>/@name.ko. */
static inline int kmod_insert(const char *folder, const char *name, const char *parameters)
{
	const char *build = getenv("HOODY_BUILD");
	struct utsname uts;
	char path[512];
	int fd, err;

	uname(&uts);
	snprintf(path, sizeof(path), "%s/%s/%s/%s.ko", build ? build : "build/devroot", folder,
		 uts.release, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return err;
}

static inline int kmod_load(const char *parameters)
{
	return kmod_insert("kmod", "hoody", parameters);
}

/* Loads one of selftests/kmod/modules. */
static inline int kmod_load_helper(const char *name, const char *parameters)
{
	return kmod_insert("selftests/kmod/modules", name, parameters);
}

/* Takes a module out, as soon as nothing holds it; -errno after a minute. */
static inline int kmod_remove(const char *name)
{
	uint64_t end = limit_end_us(60);
	int err;

	while ((err = syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0) &&
	       (err == -EAGAIN || err == -EBUSY) && limit_now_us() < end)
		usleep(10000);
	return err;
}

static inline int kmod_unload(void)
{
	return syscall(SYS_delete_module, "hoody", O_NONBLOCK) ? -errno : 0;
}

static inline struct nlmsghdr *kmod_nl_message(struct kmod_nl *nl, void *buffer, uint8_t command,
					       uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	header->nlmsg_type = nl->family;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = ++nl->seq;
	genl = mnl_nlmsg_put_extra_header(header, sizeof(*genl));
	genl->cmd = command;
	genl->version = HOODY_GENL_VERSION;
	return header;
}

static inline int kmod_nl_note_attr(const struct nlattr *attr, void *data)
{
	struct kmod_nl *nl = data;

	switch (mnl_attr_get_type(attr)) {
	case NLMSGERR_ATTR_MSG:
		snprintf(nl->text, sizeof(nl->text), "%s", mnl_attr_get_str(attr));
		break;
	case NLMSGERR_ATTR_OFFS:
		nl->offset = mnl_attr_get_u32(attr);
		break;
	case NLMSGERR_ATTR_MISS_TYPE:
		nl->missing = mnl_attr_get_u32(attr);
		break;
	}
	return MNL_CB_OK;
}

/* Takes an NLMSG_ERROR apart: returns its error. */
static inline int kmod_nl_error(struct kmod_nl *nl, const struct nlmsghdr *header)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);
	unsigned int skip = sizeof(*error);

	/* The request follows, unless NETLINK_CAP_ACK leaves it out. */
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += error->msg.nlmsg_len - sizeof(struct nlmsghdr);
	if (header->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_parse(header, skip, kmod_nl_note_attr, nl);
	return error->error;
}

/*
 * kmod_nl_talk(): sends @header as it is and reads up to the acknowledgement,
 * the error or the end of the dump. 0 or a negative errno.
 */
static inline int kmod_nl_talk(struct kmod_nl *nl, struct nlmsghdr *header, mnl_cb_t callback,
			       void *data)
{
	char *buffer = malloc(KMOD_NL_BUFFER);
	struct nlmsghdr *answer;
	int length, result = 1;

	nl->text[0] = '\0';
	nl->offset = 0;
	nl->missing = 0;
	nl->interrupted = false;
	if (!(header->nlmsg_flags & NLM_F_DUMP))
		header->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(nl->socket, header, header->nlmsg_len) < 0) {
		free(buffer);
		return -errno;
	}
	while (result > 0) {
		length = mnl_socket_recvfrom(nl->socket, buffer, KMOD_NL_BUFFER);
		if (length < 0)
			kmod_die("netlink");
		for (answer = (void *)buffer; mnl_nlmsg_ok(answer, length);
		     answer = mnl_nlmsg_next(answer, &length)) {
			if (answer->nlmsg_seq != header->nlmsg_seq)
				continue;
			if (answer->nlmsg_flags & NLM_F_DUMP_INTR)
				nl->interrupted = true;
			if (answer->nlmsg_type == NLMSG_ERROR) {
				result = kmod_nl_error(nl, answer);
				break;
			}
			if (answer->nlmsg_type == NLMSG_DONE) {
				result = *(int *)mnl_nlmsg_get_payload(answer);
				break;
			}
			if (callback)
				callback(answer, data);
		}
	}
	free(buffer);
	return result;
}

static inline int kmod_nl_family_attr(const struct nlattr *attr, void *data)
{
	struct kmod_nl *nl = data;
	struct nlattr *group, *field;

	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		nl->family = mnl_attr_get_u16(attr);
	if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
		mnl_attr_for_each_nested(group, attr)
			mnl_attr_for_each_nested(field, group)
				if (mnl_attr_get_type(field) == CTRL_ATTR_MCAST_GRP_ID)
					nl->group = mnl_attr_get_u32(field);
	return MNL_CB_OK;
}

static inline int kmod_nl_family(const struct nlmsghdr *header, void *data)
{
	return mnl_attr_parse(header, sizeof(struct genlmsghdr), kmod_nl_family_attr, data);
}

/* Opens a socket in the caller's namespace. 0, or -ENOENT without the module. */
static inline int kmod_nl_open(struct kmod_nl *nl)
{
	char buffer[512];
	struct nlmsghdr *header;
	int one = 1, size = 4 << 20, err;

	memset(nl, 0, sizeof(*nl));
	nl->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		kmod_die("netlink socket");
	nl->portid = mnl_socket_get_portid(nl->socket);
	mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(nl->socket, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	setsockopt(mnl_socket_get_fd(nl->socket), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	nl->family = GENL_ID_CTRL;
	header = kmod_nl_message(nl, buffer, CTRL_CMD_GETFAMILY, 0);
	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, HOODY_GENL_NAME);
	err = kmod_nl_talk(nl, header, kmod_nl_family, nl);
	if (err)
		mnl_socket_close(nl->socket);
	return err;
}

static inline void kmod_nl_close(struct kmod_nl *nl)
{
	mnl_socket_close(nl->socket);
}

/* An id that is number @n. */
static inline void kmod_id(uint8_t id[HOODY_ID_LEN], uint32_t n)
{
	memset(id, 0, HOODY_ID_LEN);
	id[0] = 0xc0;
	n = htonl(n);
	memcpy(id + HOODY_ID_LEN - 4, &n, 4);
}

static inline int kmod_container_set(struct kmod_nl *nl, const struct kmod_container *container)
{
	char buffer[2048];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_CONTAINER_SET, 0);
	unsigned int i;

	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, container->id);
	mnl_attr_put(header, HOODY_A_PROJECT, HOODY_ID_LEN, container->project);
	mnl_attr_put_u64(header, HOODY_A_GENERATION, container->generation);
	for (i = 0; i < container->count4; i++)
		mnl_attr_put(header, HOODY_A_ADDR4, 4, &container->addr4[i]);
	for (i = 0; i < container->count6; i++)
		mnl_attr_put(header, HOODY_A_ADDR6, 16, &container->addr6[i]);
	if (container->cgroup)
		mnl_attr_put_u64(header, HOODY_A_CGROUP, container->cgroup);
	if (container->flags)
		mnl_attr_put_u32(header, HOODY_A_FLAGS, container->flags);
	if (container->mode)
		mnl_attr_put_u32(header, HOODY_A_MODE, container->mode);
	return kmod_nl_talk(nl, header, NULL, NULL);
}

/* @generation 0: whatever is registered. */
static inline int kmod_container_del(struct kmod_nl *nl, const uint8_t *id, uint64_t generation)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_CONTAINER_DEL, 0);

	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	if (generation)
		mnl_attr_put_u64(header, HOODY_A_GENERATION, generation);
	return kmod_nl_talk(nl, header, NULL, NULL);
}

static inline int kmod_container_attr(const struct nlattr *attr, void *data)
{
	struct kmod_container *container = data;

	switch (mnl_attr_get_type(attr)) {
	case HOODY_A_ID:
		memcpy(container->id, mnl_attr_get_payload(attr), HOODY_ID_LEN);
		break;
	case HOODY_A_PROJECT:
		memcpy(container->project, mnl_attr_get_payload(attr), HOODY_ID_LEN);
		break;
	case HOODY_A_GENERATION:
		container->generation = mnl_attr_get_u64(attr);
		break;
	case HOODY_A_CGROUP:
		container->cgroup = mnl_attr_get_u64(attr);
		break;
	case HOODY_A_FLAGS:
		container->flags = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_ADDR4:
		if (container->count4 < 2 * HOODY_MAX_ADDRS)
			memcpy(&container->addr4[container->count4++], mnl_attr_get_payload(attr), 4);
		break;
	case HOODY_A_ADDR6:
		if (container->count6 < 2 * HOODY_MAX_ADDRS)
			memcpy(&container->addr6[container->count6++], mnl_attr_get_payload(attr),
			       16);
		break;
	}
	return MNL_CB_OK;
}

static inline int kmod_container_read(const struct nlmsghdr *header, void *data)
{
	memset(data, 0, sizeof(struct kmod_container));
	return mnl_attr_parse(header, sizeof(struct genlmsghdr), kmod_container_attr, data);
}

static inline int kmod_container_get(struct kmod_nl *nl, const uint8_t *id,
				     struct kmod_container *container)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_CONTAINER_GET, 0);

	mnl_attr_put(header, HOODY_A_ID, HOODY_ID_LEN, id);
	return kmod_nl_talk(nl, header, kmod_container_read, container);
}

/* @callback gets every message of the dump. */
static inline int kmod_container_dump(struct kmod_nl *nl, mnl_cb_t callback, void *data)
{
	char buffer[512];

	return kmod_nl_talk(nl, kmod_nl_message(nl, buffer, HOODY_CMD_CONTAINER_GET, NLM_F_DUMP),
			    callback, data);
}

static inline int kmod_agent_set(struct kmod_nl *nl, uint64_t cgroup)
{
	char buffer[512];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, HOODY_CMD_AGENT_SET, 0);

	mnl_attr_put_u64(header, HOODY_A_CGROUP, cgroup);
	return kmod_nl_talk(nl, header, NULL, NULL);
}

struct kmod_agent {
	uint64_t	cgroup;
	uint32_t	protocol, containers, max_containers;
	char		version[64];
};

static inline int kmod_agent_attr(const struct nlattr *attr, void *data)
{
	struct kmod_agent *agent = data;

	switch (mnl_attr_get_type(attr)) {
	case HOODY_A_CGROUP:
		agent->cgroup = mnl_attr_get_u64(attr);
		break;
	case HOODY_A_PROTOCOL:
		agent->protocol = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_CONTAINERS:
		agent->containers = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_MAX_CONTAINERS:
		agent->max_containers = mnl_attr_get_u32(attr);
		break;
	case HOODY_A_VERSION:
		snprintf(agent->version, sizeof(agent->version), "%s", mnl_attr_get_str(attr));
		break;
	}
	return MNL_CB_OK;
}

static inline int kmod_agent_read(const struct nlmsghdr *header, void *data)
{
	memset(data, 0, sizeof(struct kmod_agent));
	return mnl_attr_parse(header, sizeof(struct genlmsghdr), kmod_agent_attr, data);
}

static inline int kmod_agent_get(struct kmod_nl *nl, struct kmod_agent *agent)
{
	char buffer[512];

	return kmod_nl_talk(nl, kmod_nl_message(nl, buffer, HOODY_CMD_AGENT_GET, 0),
			    kmod_agent_read, agent);
}

struct kmod_stats {
	uint64_t	value[__HOODY_STAT_MAX];
	char		name[__HOODY_STAT_MAX][32];
	unsigned int	messages;
};

static inline int kmod_stats_read(const struct nlmsghdr *header, void *data)
{
	struct kmod_stats *stats = data;
	const struct nlattr *attr;
	const char *name = "";
	uint64_t value = 0;
	uint32_t id = 0;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == HOODY_A_STAT_ID)
			id = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == HOODY_A_STAT_NAME)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == HOODY_A_STAT_VALUE)
			value = mnl_attr_get_u64(attr);
	}
	stats->messages++;
	if (id < __HOODY_STAT_MAX) {
		stats->value[id] = value;
		snprintf(stats->name[id], sizeof(stats->name[id]), "%s", name);
	}
	return MNL_CB_OK;
}

static inline int kmod_stats_get(struct kmod_nl *nl, struct kmod_stats *stats)
{
	char buffer[512];

	memset(stats, 0, sizeof(*stats));
	return kmod_nl_talk(nl, kmod_nl_message(nl, buffer, HOODY_CMD_STATS_GET, NLM_F_DUMP),
			    kmod_stats_read, stats);
}

/* The id of a cgroup v2 directory: its inode number. 0 where there is none. */
static inline uint64_t kmod_cgroup_id(const char *path)
{
	struct stat info;

	return stat(path, &info) ? 0 : info.st_ino;
}

#endif /* HOODY_SELFTESTS_KMOD_H */
