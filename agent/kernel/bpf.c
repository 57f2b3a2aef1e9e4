// SPDX-License-Identifier: Apache-2.0
/* Loading, pinning and taking over, see bpf.h. */
#include "kernel/bpf_internal.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "firewall.skel.h"

#ifndef BPF_FS_MAGIC
#define BPF_FS_MAGIC		0xcafe4a11
#endif

static const char *const pinned[] = { "fw_policies", "fw_config", "fw_states", "fw_events",
				      "fw_flows", "fw_fragments", "fw_relay", "fw_members",
				      "fw_names", "fw_tellers", "fw_strict" };

__attribute__((format(printf, 3, 4))) static int fail(char fault[KNL_BPF_FAULT_MAX], int error,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault, KNL_BPF_FAULT_MAX, format, args);
	va_end(args);
	return error;
}

/* libbpf's own words go nowhere: what matters comes back as @fault. */
static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int make_directories(struct knl_bpf *bpf, char fault[KNL_BPF_FAULT_MAX])
{
	char path[KNL_BPF_PATH_MAX];
	struct statfs fs;

	if (mkdir(bpf->pins, 0700) && errno != EEXIST)
		return fail(fault, -errno, "%s: %s", bpf->pins, strerror(errno));
	if (statfs(bpf->pins, &fs) || (uint32_t)fs.f_type != BPF_FS_MAGIC)
		return fail(fault, -ENOTSUP, "%s is not on a bpf file system: mount one "
			    "(mount -t bpf bpf /sys/fs/bpf)", bpf->pins);
	snprintf(path, sizeof(path), "%s/links", bpf->pins);
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail(fault, -errno, "%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/v%d", bpf->pins, FW_LAYOUT);
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail(fault, -errno, "%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/v%d/images", bpf->pins, FW_LAYOUT);
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail(fault, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int choose_pins(struct knl_bpf *bpf)
{
	char path[KNL_BPF_PATH_MAX];
	size_t i;
	int ret;

	for (i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(bpf->object, pinned[i]);

		snprintf(path, sizeof(path), "%s/v%d/%s", bpf->pins, FW_LAYOUT, pinned[i]);
		ret = bpf_map__set_pin_path(map, path);
		if (ret)
			return ret;
	}
	return 0;
}

static int map_fd(const struct knl_bpf *bpf, const char *name)
{
	return bpf_map__fd(bpf_object__find_map_by_name(bpf->object, name));
}

static int load(struct knl_bpf *bpf, char fault[KNL_BPF_FAULT_MAX])
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "hoody");
	size_t size;
	const void *bytes = firewall_bpf__elf_bytes(&size);
	int ret;

	bpf->object = bpf_object__open_mem(bytes, size, &opts);
	if (!bpf->object)
		return fail(fault, -errno, "the firewall programs cannot be read: %s",
			    strerror(errno));
	ret = choose_pins(bpf);
	if (!ret)
		ret = bpf_map__set_max_entries(bpf_object__find_map_by_name(bpf->object, "fw_flows"),
					       bpf->flows_max);
	if (!ret)
		ret = bpf_object__load(bpf->object);
	if (ret == -EINVAL)
		return fail(fault, ret, "the firewall's maps below %s were made with other sizes "
			    "or by another version, or this kernel refuses the programs", bpf->pins);
	if (ret)
		return fail(fault, ret, "the kernel refuses the firewall programs: %s",
			    strerror(-ret));
	bpf->programs[FW_EGRESS] = bpf_object__find_program_by_name(bpf->object,
								    "fw_from_container");
	bpf->programs[FW_INGRESS] = bpf_object__find_program_by_name(bpf->object,
								     "fw_to_container");
	bpf->sweeper = bpf_object__find_program_by_name(bpf->object, "fw_sweep");
	bpf->policies = map_fd(bpf, "fw_policies");
	bpf->states = map_fd(bpf, "fw_states");
	bpf->flows = map_fd(bpf, "fw_flows");
	bpf->config = map_fd(bpf, "fw_config");
	bpf->events = map_fd(bpf, "fw_events");
	bpf->relay = map_fd(bpf, "fw_relay");
	bpf->members = map_fd(bpf, "fw_members");
	bpf->names = map_fd(bpf, "fw_names");
	bpf->tellers = map_fd(bpf, "fw_tellers");
	bpf->strict = map_fd(bpf, "fw_strict");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int knl_bpf_remove(const char *pins)
{
	if (access(pins, F_OK))
		return 0;
	return nftw(pins, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) ? -errno : 0;
}

/*
 * Maps of another layout, which nobody uses now that the interfaces have these programs:
 * a table of flows is tens of megabytes. What cannot be removed is in nobody's way.
 */
static void remove_other_layouts(const struct knl_bpf *bpf)
{
	char path[KNL_BPF_PATH_MAX];
	struct dirent *entry;
	DIR *directory = opendir(bpf->pins);

	while (directory && (entry = readdir(directory))) {
		char *end;
		const unsigned long layout = strtoul(entry->d_name + 1, &end, 10);

		if (entry->d_name[0] != 'v' || *end || !layout || layout > 9999 ||
		    layout == FW_LAYOUT)
			continue;
		snprintf(path, sizeof(path), "%s/v%lu", bpf->pins, layout);
		knl_bpf_remove(path);
	}
	if (directory)
		closedir(directory);
}

int knl_bpf_open(const struct knl_bpf_options *options, struct knl_bpf **out,
		 char fault[KNL_BPF_FAULT_MAX])
{
	struct knl_bpf *bpf;
	int ret;

	fault[0] = '\0';
	bpf = calloc(1, sizeof(*bpf));
	if (!bpf)
		return fail(fault, -ENOMEM, "out of memory");
	ret = -ENAMETOOLONG;
	if (strlen(options->pins) >= sizeof(bpf->pins)) {
		fail(fault, ret, "the directory of pins has a name of more than %zu bytes",
		     sizeof(bpf->pins) - 1);
		goto err_free;
	}
	strcpy(bpf->pins, options->pins);
	bpf->flows_max = options->flows ? options->flows : KNL_BPF_FLOWS;
	bpf->share = bpf->flows_max / (options->containers ? options->containers :
							     KNL_BPF_CONTAINERS);
	bpf->hook = options->hook;
	libbpf_set_print(say_nothing);
	ret = make_directories(bpf, fault);
	if (ret)
		goto err_free;
	ret = load(bpf, fault);
	if (ret)
		goto err_close;
	ret = knl_bpf_relink(bpf);
	if (ret) {
		fail(fault, ret, "interfaces that were attached before cannot be taken over: %s",
		     strerror(-ret));
		goto err_close;
	}
	remove_other_layouts(bpf);
	*out = bpf;
	return 0;
err_close:
	bpf_object__close(bpf->object);
err_free:
	free(bpf);
	return ret;
}

void knl_bpf_close(struct knl_bpf *bpf)
{
	if (!bpf)
		return;
	ring_buffer__free(bpf->ring);
	bpf_object__close(bpf->object);
	free(bpf);
}

int knl_bpf_program(struct knl_bpf *bpf, enum fw_direction direction)
{
	return bpf_program__fd(bpf->programs[direction]);
}

int knl_bpf_configure(struct knl_bpf *bpf, const struct fw_config *config)
{
	struct fw_config next = *config, now;
	const uint32_t zero = 0;

	if (bpf_map_lookup_elem(bpf->config, &zero, &now))
		return -errno;
	next.swept = now.swept;
	return bpf_map_update_elem(bpf->config, &zero, &next, BPF_ANY) ? -errno : 0;
}

static int take_event(void *context, void *data, size_t size)
{
	const struct knl_bpf *bpf = context;

	if (size >= sizeof(struct fw_event))
		bpf->event(bpf->event_context, data);
	return 0;
}

int knl_bpf_events_open(struct knl_bpf *bpf, knl_bpf_event *event, void *context)
{
	if (bpf->ring)
		return -EBUSY;
	bpf->event = event;
	bpf->event_context = context;
	bpf->ring = ring_buffer__new(bpf->events, take_event, bpf, NULL);
	if (!bpf->ring)
		return -errno;
	return ring_buffer__epoll_fd(bpf->ring);
}

int knl_bpf_events_read(struct knl_bpf *bpf)
{
	return bpf->ring ? ring_buffer__consume(bpf->ring) : -EBADF;
}
