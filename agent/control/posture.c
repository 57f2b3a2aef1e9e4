// SPDX-License-Identifier: Apache-2.0
/* Layers of a container's processes and cgroup, from /proc and cgroup v2, see posture.h. */
#include "control/posture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_MAX	4096
#define DEPTH_MAX	8	/* cgroups below a container's that are looked into */

const char *const posture_verdicts[] = {
	[POSTURE_UNKNOWN] = "unknown", [POSTURE_HOLDS] = "holds", [POSTURE_FAILS] = "fails",
};

struct posture_layer *posture_add(struct posture *posture, const char *name, const char *advice)
{
	struct posture_layer *layer;

	if (posture->count < POSTURE_LAYERS_MAX)
		posture->count++;
	layer = &posture->layers[posture->count - 1];
	*layer = (struct posture_layer){ .name = name, .advice = advice };
	return layer;
}

/* 0 or a negative errno; @text is always a string. */
static int read_file(const struct posture *posture, const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	ssize_t len;
	int fd, error;

	text[0] = '\0';
	if (snprintf(full, sizeof(full), "%s%s", posture->root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (len < 0)
		return -error;
	text[len] = '\0';
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return 0;
}

int posture_read(const struct posture *posture, struct posture_layer *layer, const char *path,
		 char *text, size_t size)
{
	int ret = read_file(posture, path, text, size);

	snprintf(layer->source, sizeof(layer->source), "%s", path);
	if (ret)
		snprintf(layer->value, sizeof(layer->value), "cannot be read: %s", strerror(-ret));
	else
		snprintf(layer->value, sizeof(layer->value), "%.*s", (int)strcspn(text, "\n"), text);
	return ret;
}

void posture_field(const char *status, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	value[0] = '\0';
	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " \t");
		snprintf(value, size, "%.*s", (int)strcspn(line, "\n"), line);
		return;
	}
}

/* A layer that is one field of the status: tells what was read. */
static struct posture_layer *add_field(struct posture *posture, const char *name,
				       const char *advice, pid_t pid, const char *status,
				       const char *field, char *value, size_t size)
{
	struct posture_layer *layer = posture_add(posture, name, advice);

	posture_field(status, field, value, size);
	snprintf(layer->source, sizeof(layer->source), "/proc/%d/status %s", pid, field);
	snprintf(layer->value, sizeof(layer->value), "%s", value[0] ? value : "no such field");
	for (char *at = layer->value; *at; at++)
		if (*at == '\t')
			*at = ' ';
	return layer;
}

/* True where the container's root is root of the host as well. */
static bool add_user_namespace(struct posture *posture, pid_t pid)
{
	struct posture_layer *layer = posture_add(posture, "user_namespace",
		"map the container's ids to others of the host: lxc.idmap");
	unsigned long inside, outside, count;
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	if (posture_read(posture, layer, path, text, sizeof(text)))
		return true;
	if (sscanf(text, "%lu %lu %lu", &inside, &outside, &count) != 3)
		return true;
	snprintf(layer->value, sizeof(layer->value), "id %lu is %lu of the host, %lu ids", inside,
		 outside, count);
	layer->verdict = outside ? POSTURE_HOLDS : POSTURE_FAILS;
	return !outside;
}

static void add_pid_namespace(struct posture *posture, pid_t pid, const char *status)
{
	char value[128];
	struct posture_layer *layer = add_field(posture, "pid_namespace",
		"start the container with a pid namespace of its own", pid, status, "NSpid",
		value, sizeof(value));

	if (value[0])
		layer->verdict = strpbrk(value, "\t ") ? POSTURE_HOLDS : POSTURE_FAILS;
}

/*
 * Where nobody may look at another's namespaces, their files still tell them apart: a
 * network namespace by the number of its own net/dev, @inodes, one of mounts by that
 * of its root mount. Process 1 is the host's.
 */
static void add_apart(struct posture *posture, const char *name, const char *advice, pid_t pid,
		      const char *file, bool inodes)
{
	struct posture_layer *layer = posture_add(posture, name, advice);
	unsigned long numbers[2];

	for (int i = 0; i < 2; i++) {
		char path[64], full[PATH_MAX], text[64];
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/%s", i ? 1 : pid, file);
		if (posture_read(posture, layer, path, text, sizeof(text)))
			return;
		snprintf(full, sizeof(full), "%s%s", posture->root, path);
		if (!inodes)
			numbers[i] = strtoul(text, NULL, 10);
		else if (!stat(full, &st))
			numbers[i] = st.st_ino;
		else
			return;
	}
	snprintf(layer->source, sizeof(layer->source), "/proc/%d/%s and /proc/1/%s", pid, file, file);
	snprintf(layer->value, sizeof(layer->value), "%s %lu, the host's is %lu",
		 inodes ? "file" : "root mount", numbers[0], numbers[1]);
	layer->verdict = numbers[0] != numbers[1] ? POSTURE_HOLDS : POSTURE_FAILS;
}

static void add_seccomp(struct posture *posture, pid_t pid, const char *status)
{
	char value[32], filters[32];
	struct posture_layer *layer = add_field(posture, "seccomp_floor",
		"give LXC a filter: hoody syscalls export NAME --format lxc, and lxc.seccomp.profile",
		pid, status, "Seccomp", value, sizeof(value));

	if (!value[0])
		return;
	posture_field(status, "Seccomp_filters", filters, sizeof(filters));
	layer->verdict = !strcmp(value, "2") ? POSTURE_HOLDS : POSTURE_FAILS;
	snprintf(layer->value, sizeof(layer->value), "%s, %s filters",
		 layer->verdict == POSTURE_HOLDS ? "2 (filter)" : value, filters[0] ? filters : "0");
}

static void add_no_new_privs(struct posture *posture, pid_t pid, const char *status)
{
	char value[32];
	struct posture_layer *layer = add_field(posture, "no_new_privileges",
		"set lxc.no_new_privs = 1, where no program of the container needs setuid",
		pid, status, "NoNewPrivs", value, sizeof(value));

	if (value[0])
		layer->verdict = !strcmp(value, "1") ? POSTURE_HOLDS : POSTURE_FAILS;
}

/* What makes the host's root of a container's: only where no user namespace is between. */
static void add_capabilities(struct posture *posture, pid_t pid, const char *status, bool host_root)
{
	static const struct {
		int		number;
		const char	*name;
	} dangerous[] = {
		{ CAP_SYS_MODULE, "sys_module" }, { CAP_SYS_RAWIO, "sys_rawio" },
		{ CAP_SYS_BOOT, "sys_boot" }, { CAP_SYS_ADMIN, "sys_admin" },
		{ CAP_SYS_PTRACE, "sys_ptrace" }, { CAP_SYS_TIME, "sys_time" },
		{ CAP_MAC_ADMIN, "mac_admin" }, { CAP_MAC_OVERRIDE, "mac_override" },
		{ CAP_SYSLOG, "syslog" }, { CAP_BPF, "bpf" }, { CAP_PERFMON, "perfmon" },
		{ CAP_DAC_READ_SEARCH, "dac_read_search" },
	};
	char value[32];
	struct posture_layer *layer = add_field(posture, "capabilities",
		"drop them (lxc.cap.drop), or map the container's ids (lxc.idmap)",
		pid, status, "CapBnd", value, sizeof(value));
	unsigned long long set = strtoull(value, NULL, 16);
	size_t used;

	if (!value[0])
		return;
	used = strlen(layer->value);
	layer->verdict = POSTURE_HOLDS;
	if (!host_root) {
		snprintf(layer->value + used, sizeof(layer->value) - used,
			 ", all of them in a user namespace only");
		return;
	}
	for (size_t i = 0; i < sizeof(dangerous) / sizeof(*dangerous); i++) {
		if (!(set >> dangerous[i].number & 1))
			continue;
		used = strlen(layer->value);
		snprintf(layer->value + used, sizeof(layer->value) - used, "%s%s",
			 layer->verdict == POSTURE_FAILS ? ", " : " with ", dangerous[i].name);
		layer->verdict = POSTURE_FAILS;
	}
}

static void add_mac(struct posture *posture, pid_t pid)
{
	struct posture_layer *layer = posture_add(posture, "mandatory_access_control",
		"enable AppArmor on the host and set lxc.apparmor.profile = generated");
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/%d/attr/current", pid);
	if (posture_read(posture, layer, path, text, sizeof(text))) {
		/* No such module at all, against one that does not tell. */
		if (strstr(layer->value, strerror(EINVAL)))
			layer->verdict = POSTURE_FAILS;
		return;
	}
	layer->verdict = text[0] && strcmp(text, "unconfined") ? POSTURE_HOLDS : POSTURE_FAILS;
	if (!text[0])
		snprintf(layer->value, sizeof(layer->value), "empty: no security module labels it");
}

static void add_memory(struct posture *posture, pid_t pid)
{
	struct posture_layer *layer = posture_add(posture, "memory_not_merged",
		"merged memory can be told by its timing: merge only what trusts each other, hoody ksm set -c ID off");
	char path[64], text[512], any[16];

	snprintf(path, sizeof(path), "/proc/%d/ksm_stat", pid);
	if (posture_read(posture, layer, path, text, sizeof(text)))
		return;
	posture_field(text, "ksm_merge_any", any, sizeof(any));
	if (!any[0])
		return;
	snprintf(layer->value, sizeof(layer->value), "ksm_merge_any: %s", any);
	layer->verdict = strcmp(any, "yes") ? POSTURE_HOLDS : POSTURE_FAILS;
}

void posture_process(struct posture *posture, pid_t pid)
{
	char path[64], status[STATUS_MAX];
	struct posture_layer *layer;
	bool host_root;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file(posture, path, status, sizeof(status))) {
		layer = posture_add(posture, "process", "start the container");
		snprintf(layer->source, sizeof(layer->source), "%s", path);
		snprintf(layer->value, sizeof(layer->value), "%s",
			 pid ? "cannot be read: the service must see /proc of others" :
			       "no process of the container is found by its cgroup");
		return;
	}
	host_root = add_user_namespace(posture, pid);
	add_pid_namespace(posture, pid, status);
	add_apart(posture, "network_namespace", "give it an interface of its own: lxc.net.0.type = veth",
		  pid, "net/dev", true);
	add_apart(posture, "mount_namespace", "give it a root of its own: lxc.rootfs.path", pid,
		  "mountinfo", false);
	add_capabilities(posture, pid, status, host_root);
	add_seccomp(posture, pid, status);
	add_no_new_privs(posture, pid, status);
	add_mac(posture, pid);
	add_memory(posture, pid);
}

static void add_limit(struct posture *posture, const char *path, const char *name, const char *file,
		      const char *advice)
{
	struct posture_layer *layer = posture_add(posture, name, advice);
	char full[PATH_MAX], text[64];

	snprintf(full, sizeof(full), "%s/%s", path, file);
	if (!posture_read(posture, layer, full, text, sizeof(text)))
		layer->verdict = strcmp(text, "max") ? POSTURE_HOLDS : POSTURE_FAILS;
}

void posture_cgroup(struct posture *posture, const char *path)
{
	add_limit(posture, path, "memory_limit", "memory.max", "set lxc.cgroup2.memory.max");
	add_limit(posture, path, "process_limit", "pids.max", "set lxc.cgroup2.pids.max");
}

/* --- the container's init --- */

struct search {
	const struct posture *posture;
	pid_t	any, init;
};

static bool is_init(const struct posture *posture, pid_t pid)
{
	char path[64], status[STATUS_MAX], value[128];
	const char *last;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file(posture, path, status, sizeof(status)))
		return false;
	posture_field(status, "NSpid", value, sizeof(value));
	last = strrchr(value, '\t');
	return last && !strcmp(last + 1, "1");
}

static void search_processes(struct search *search, const char *path)
{
	char full[PATH_MAX], text[4096], *line, *rest;

	if (snprintf(full, sizeof(full), "%s/cgroup.procs", path) >= (int)sizeof(full) ||
	    read_file(search->posture, full, text, sizeof(text)))
		return;
	for (line = strtok_r(text, "\n", &rest); line && !search->init;
	     line = strtok_r(NULL, "\n", &rest)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		if (!search->any)
			search->any = pid;
		if (is_init(search->posture, pid))
			search->init = pid;
	}
}

static void search_below(struct search *search, const char *path, unsigned int depth)
{
	char full[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	search_processes(search, path);
	if (search->init || depth == DEPTH_MAX ||
	    snprintf(full, sizeof(full), "%s%s", search->posture->root, path) >= (int)sizeof(full))
		return;
	directory = opendir(full);
	while (directory && !search->init && (entry = readdir(directory))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (snprintf(full, sizeof(full), "%s/%s", path, entry->d_name) < (int)sizeof(full))
			search_below(search, full, depth + 1);
	}
	if (directory)
		closedir(directory);
}

pid_t posture_find_init(const struct posture *posture, const char *path)
{
	struct search search = { .posture = posture };

	search_below(&search, path, 0);
	return search.init ? search.init : search.any;
}
