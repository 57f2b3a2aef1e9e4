// SPDX-License-Identifier: Apache-2.0
/*
 * The programs on interfaces. With tcx each direction is a link, pinned, first
 * in its chain; without, a classifier of the clsact qdisc, which the interface
 * itself holds.
 */
#include "kernel/bpf_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[FW_DIRECTIONS] = { "egress", "ingress" };

static void link_path(const struct knl_bpf *bpf, uint32_t ifindex, int direction,
		      char path[KNL_BPF_PATH_MAX])
{
	snprintf(path, KNL_BPF_PATH_MAX, "%s/links/%u-%s", bpf->pins, ifindex, names[direction]);
}

/* Whether the pinned link still holds @ifindex; a gone interface's says 0. */
static bool link_holds(const struct bpf_link *link, uint32_t ifindex)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);

	return !bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &size) &&
	       info.type == BPF_LINK_TYPE_TCX && info.tcx.ifindex == ifindex;
}

/* 1: the pinned link was there and holds; 0: there is none any more. */
static int renew_link(struct knl_bpf *bpf, uint32_t ifindex, int direction)
{
	char path[KNL_BPF_PATH_MAX];
	struct bpf_link *link;
	int ret = 0;

	link_path(bpf, ifindex, direction, path);
	link = bpf_link__open(path);
	if (!link)
		return errno == ENOENT ? 0 : -errno;
	if (link_holds(link, ifindex))
		ret = bpf_link__update_program(link, bpf->programs[direction]) ?: 1;
	else if (unlink(path))
		ret = -errno;
	bpf_link__destroy(link);
	return ret;
}

static int attach_tcx(struct knl_bpf *bpf, uint32_t ifindex, int direction)
{
	LIBBPF_OPTS(bpf_tcx_opts, opts, .flags = BPF_F_BEFORE);
	char path[KNL_BPF_PATH_MAX];
	struct bpf_link *link;
	int ret = renew_link(bpf, ifindex, direction);

	if (ret)
		return ret < 0 ? ret : 0;
	link_path(bpf, ifindex, direction, path);
	link = bpf_program__attach_tcx(bpf->programs[direction], (int)ifindex, &opts);
	if (!link)
		return -errno;
	ret = bpf_link__pin(link, path);
	/* Closes the descriptor: from here on the pin alone holds it. */
	bpf_link__destroy(link);
	return ret;
}

static int clsact_hook(uint32_t ifindex, int direction, struct bpf_tc_hook *hook)
{
	*hook = (struct bpf_tc_hook){
		.sz = sizeof(*hook),
		.ifindex = (int)ifindex,
		.attach_point = direction == FW_EGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
	return 0;
}

static int attach_clsact(struct knl_bpf *bpf, uint32_t ifindex, int direction)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE,
		    .prog_fd = bpf_program__fd(bpf->programs[direction]));
	struct bpf_tc_hook hook;
	int ret;

	clsact_hook(ifindex, direction, &hook);
	ret = bpf_tc_hook_create(&hook);
	if (ret && ret != -EEXIST)
		return ret;
	return bpf_tc_attach(&hook, &opts);
}

static int attach_one(struct knl_bpf *bpf, uint32_t ifindex, int direction)
{
	int ret;

	if (bpf->hook != KNL_BPF_CLSACT) {
		ret = attach_tcx(bpf, ifindex, direction);
		if (bpf->hook == KNL_BPF_TCX || ret != -EINVAL)
			return ret;
		/* A kernel before 6.6 does not know the attach type. */
	}
	return attach_clsact(bpf, ifindex, direction);
}

int knl_bpf_attach(struct knl_bpf *bpf, uint32_t ifindex)
{
	int ret, direction;

	for (direction = 0; direction < FW_DIRECTIONS; direction++) {
		ret = attach_one(bpf, ifindex, direction);
		if (ret)
			return ret;
	}
	return 0;
}

int knl_bpf_detach(struct knl_bpf *bpf, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1);
	char path[KNL_BPF_PATH_MAX];
	struct bpf_tc_hook hook;
	int ret = 0, direction;

	for (direction = 0; direction < FW_DIRECTIONS; direction++) {
		link_path(bpf, ifindex, direction, path);
		if (!unlink(path))
			continue;
		if (errno != ENOENT)
			ret = -errno;
		clsact_hook(ifindex, direction, &hook);
		bpf_tc_detach(&hook, &opts);
	}
	return ret;
}

/* "12-egress": 0 or -EINVAL. */
static int parse_link(const char *name, uint32_t *ifindex, int *direction)
{
	char *end;
	const unsigned long value = strtoul(name, &end, 10);

	if (end == name || *end != '-' || value > INT32_MAX)
		return -EINVAL;
	*ifindex = (uint32_t)value;
	for (*direction = 0; *direction < FW_DIRECTIONS; (*direction)++)
		if (!strcmp(end + 1, names[*direction]))
			return 0;
	return -EINVAL;
}

int knl_bpf_relink(struct knl_bpf *bpf)
{
	char path[KNL_BPF_PATH_MAX];
	struct dirent *entry;
	uint32_t ifindex;
	int ret = 0, direction;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/links", bpf->pins);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while (ret >= 0 && (entry = readdir(directory)))
		if (!parse_link(entry->d_name, &ifindex, &direction))
			ret = renew_link(bpf, ifindex, direction);
	closedir(directory);
	return ret < 0 ? ret : 0;
}
