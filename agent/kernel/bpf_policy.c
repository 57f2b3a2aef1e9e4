// SPDX-License-Identifier: Apache-2.0
/*
 * Policies, counters and flows in the programs' maps.
 *
 * An image is a map of its own, filled before anybody can see it; writing its
 * descriptor into the table of policies is the moment in which it holds. The
 * kernel returns from that write only when no program uses the old one.
 */
#include "kernel/bpf_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRESH		"-new"	/* a bpf file system knows no dots in names */

/*
 * Images are pinned by the interface that they are in force on: to open one by
 * its number takes CAP_SYS_ADMIN, which the agent does not have.
 */
static void image_path(const struct knl_bpf *bpf, uint32_t ifindex, const char *suffix,
		       char path[KNL_BPF_PATH_MAX])
{
	snprintf(path, KNL_BPF_PATH_MAX, "%s/v%d/images/%u%s", bpf->pins, FW_LAYOUT, ifindex,
		 suffix);
}

/* A descriptor of the image in force on the interface, or a negative errno. */
static int open_image(const struct knl_bpf *bpf, uint32_t ifindex)
{
	char path[KNL_BPF_PATH_MAX];
	int fd;

	image_path(bpf, ifindex, "", path);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* Beside the pin of the one in force, whose place it takes when it is. */
static int pin_fresh(const struct knl_bpf *bpf, uint32_t ifindex, int fd)
{
	char path[KNL_BPF_PATH_MAX];

	image_path(bpf, ifindex, FRESH, path);
	if (unlink(path) && errno != ENOENT)
		return -errno;
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

static void settle_fresh(const struct knl_bpf *bpf, uint32_t ifindex, bool in_force)
{
	char fresh[KNL_BPF_PATH_MAX], path[KNL_BPF_PATH_MAX];

	image_path(bpf, ifindex, FRESH, fresh);
	image_path(bpf, ifindex, "", path);
	if (!in_force || rename(fresh, path))
		unlink(fresh);
}

static int read_counters(int fd, struct knl_bpf_counters *out)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	const struct fw_header *header;
	void *memory;
	size_t bytes;
	int ret = 0;

	if (bpf_map_get_info_by_fd(fd, &info, &size))
		return -errno;
	bytes = (size_t)info.max_entries * FW_LINE_SIZE;
	memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	header = memory;
	if (header->head.counters * 4ull + header->head.rules * sizeof(struct fw_counter) > bytes) {
		ret = -EBADMSG;
		goto out;
	}
	out->counters = malloc(header->head.rules * sizeof(struct fw_counter) + 1);
	if (!out->counters) {
		ret = -ENOMEM;
		goto out;
	}
	out->generation = header->head.generation;
	out->count = header->head.rules;
	memcpy(out->counters, (const uint32_t *)memory + header->head.counters,
	       header->head.rules * sizeof(struct fw_counter));
out:
	munmap(memory, bytes);
	return ret;
}

static int make_image(const struct fw_image *image)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	const size_t bytes = (size_t)image->lines * FW_LINE_SIZE;
	void *memory;
	int fd;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "fw_image", sizeof(uint32_t), FW_LINE_SIZE,
			    image->lines, &opts);
	if (fd < 0)
		return -errno;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		const int ret = -errno;

		close(fd);
		return ret;
	}
	memcpy(memory, image->words, bytes);
	munmap(memory, bytes);
	return fd;
}

/*
 * What was replaced counted until now: nobody uses it any more. The new one is in
 * force whether or not the counters can be read.
 */
static void close_old(int fd, struct knl_bpf_counters *old)
{
	if (fd < 0)
		return;
	if (old && read_counters(fd, old))
		*old = (struct knl_bpf_counters){ 0 };
	close(fd);
}

int knl_bpf_commit(struct knl_bpf *bpf, uint32_t ifindex, const struct fw_image *image,
		   struct knl_bpf_counters *old)
{
	const struct fw_header *header = (const struct fw_header *)image->words;
	const struct fw_policy_key key = { .ifindex = ifindex };
	uint64_t quota = 0;
	int fd, before, ret = 0, i;

	if (old)
		*old = (struct knl_bpf_counters){ 0 };
	for (i = 0; i < FW_FLOW_CLASSES; i++)
		quota += header->head.quota[i];
	if (quota > bpf->share)
		return -ENOSPC;
	fd = make_image(image);
	if (fd < 0)
		return fd;
	before = open_image(bpf, ifindex);
	ret = pin_fresh(bpf, ifindex, fd);
	if (!ret && bpf_map_update_elem(bpf->policies, &key, &fd, BPF_ANY))
		ret = errno == E2BIG ? -ENOSPC : -errno;
	settle_fresh(bpf, ifindex, !ret);
	close(fd);
	if (ret) {
		if (before >= 0)
			close(before);
		return ret;
	}
	close_old(before, old);
	return 0;
}

int knl_bpf_withdraw(struct knl_bpf *bpf, uint32_t ifindex, struct knl_bpf_counters *old)
{
	const struct fw_policy_key key = { .ifindex = ifindex };
	const int before = open_image(bpf, ifindex);
	char path[KNL_BPF_PATH_MAX];
	int ret = 0;

	if (old)
		*old = (struct knl_bpf_counters){ 0 };
	if (bpf_map_delete_elem(bpf->policies, &key) && errno != ENOENT)
		ret = -errno;
	image_path(bpf, ifindex, "", path);
	if (!ret)
		unlink(path);
	close_old(before, old);
	return ret;
}

int knl_bpf_counters(struct knl_bpf *bpf, uint32_t ifindex, struct knl_bpf_counters *out)
{
	const int fd = open_image(bpf, ifindex);
	int ret;

	*out = (struct knl_bpf_counters){ 0 };
	if (fd < 0)
		return fd;
	ret = read_counters(fd, out);
	close(fd);
	return ret;
}

int knl_bpf_state(struct knl_bpf *bpf, uint32_t slot, struct fw_state *state)
{
	return bpf_map_lookup_elem(bpf->states, &slot, state);
}

int knl_bpf_teller(struct knl_bpf *bpf, uint32_t slot, struct fw_teller *teller)
{
	return bpf_map_lookup_elem(bpf->tellers, &slot, teller);
}

int knl_bpf_relay_set(struct knl_bpf *bpf, enum fw_relay_socket which, int sock)
{
	const int map = which < FW_RELAY_PLAIN_SOCKETS ? bpf->relay : bpf->strict;
	const uint32_t key = which % FW_RELAY_PLAIN_SOCKETS;
	const uint64_t value = (uint64_t)sock;

	return bpf_map_update_elem(map, &key, &value, BPF_ANY) ? -errno : 0;
}

static int sweep(struct knl_bpf *bpf, struct fw_sweep_args *args)
{
	/* Programs of this type write their answer where the question was. */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(*args));

	return bpf_prog_test_run_opts(bpf_program__fd(bpf->sweeper), &opts) ? -errno : 0;
}

int knl_bpf_sweep(struct knl_bpf *bpf)
{
	struct fw_sweep_args args = { 0 };
	const int ret = sweep(bpf, &args);

	return ret ? ret : (int)args.deleted;
}

int knl_bpf_slot_clear(struct knl_bpf *bpf, uint32_t slot)
{
	struct fw_sweep_args args = { .slot = slot };
	const struct fw_teller silent = { 0 };
	const struct fw_state zero = { 0 };
	const int ret = sweep(bpf, &args);

	if (ret)
		return ret;
	return bpf_map_update_elem(bpf->states, &slot, &zero, BPF_ANY) ||
	       bpf_map_update_elem(bpf->tellers, &slot, &silent, BPF_ANY) ? -errno : 0;
}

static int read_header(int fd, struct fw_header *header)
{
	uint8_t line[FW_LINE_SIZE];
	uint32_t i;

	for (i = 0; i < FW_HEADER_LINES; i++) {
		if (bpf_map_lookup_elem(fd, &i, line))
			return -errno;
		memcpy((uint8_t *)header + (size_t)i * FW_LINE_SIZE, line, sizeof(line));
	}
	return 0;
}

int knl_bpf_images(struct knl_bpf *bpf, knl_bpf_image *each, void *context)
{
	char path[KNL_BPF_PATH_MAX];
	struct fw_header header;
	struct dirent *entry;
	DIR *directory;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/v%d/images", bpf->pins, FW_LAYOUT);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while (!ret && (entry = readdir(directory))) {
		char *end;
		const unsigned long ifindex = strtoul(entry->d_name, &end, 10);
		int fd;

		if (end == entry->d_name || *end || !ifindex || ifindex > INT32_MAX)
			continue;
		fd = open_image(bpf, (uint32_t)ifindex);
		if (fd < 0) {
			ret = fd;
			break;
		}
		ret = read_header(fd, &header);
		close(fd);
		if (!ret)
			each(context, (uint32_t)ifindex, &header);
	}
	closedir(directory);
	return ret;
}

int knl_bpf_member_set(struct knl_bpf *bpf, const struct fw_member_key *key,
		       const struct fw_member *member)
{
	if (!bpf_map_update_elem(bpf->members, key, member, BPF_ANY))
		return 0;
	return errno == E2BIG ? -ENOSPC : -errno;
}

int knl_bpf_member_delete(struct knl_bpf *bpf, const struct fw_member_key *key)
{
	return bpf_map_delete_elem(bpf->members, key) && errno != ENOENT ? -errno : 0;
}

int knl_bpf_members_keep(struct knl_bpf *bpf, knl_bpf_wanted *wanted, void *context)
{
	struct fw_member_key key, next;
	bool more = !bpf_map_get_next_key(bpf->members, NULL, &next);

	while (more) {
		key = next;
		/* Before it may be deleted: a look-up behind a missing key starts over. */
		more = !bpf_map_get_next_key(bpf->members, &key, &next);
		if (!wanted(context, &key) && knl_bpf_member_delete(bpf, &key))
			return -errno;
	}
	return 0;
}

int knl_bpf_name_set(struct knl_bpf *bpf, const struct fw_name_key *key,
		     const struct fw_name *name)
{
	if (!bpf_map_update_elem(bpf->names, key, name, BPF_ANY))
		return 0;
	return errno == E2BIG ? -ENOSPC : -errno;
}

int knl_bpf_name_get(struct knl_bpf *bpf, const struct fw_name_key *key, struct fw_name *name)
{
	return bpf_map_lookup_elem(bpf->names, key, name) ? -errno : 0;
}

int knl_bpf_name_delete(struct knl_bpf *bpf, const struct fw_name_key *key)
{
	return bpf_map_delete_elem(bpf->names, key) ? -errno : 0;
}
