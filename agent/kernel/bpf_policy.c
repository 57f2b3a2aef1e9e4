// SPDX-License-Identifier: Apache-2.0
/*
 * Policies, counters and flows in the programs' maps.
 *
 * An image is a map of its own, filled before anybody can see it; writing its
 * descriptor into the table of policies is the moment in which it holds. The
 * kernel returns from that write only when no program uses the old one.
 */
#include "kernel/bpf_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A descriptor of the image in force on the interface, or a negative errno. */
static int open_image(const struct knl_bpf *bpf, uint32_t ifindex)
{
	uint32_t id;
	int fd;

	if (bpf_map_lookup_elem(bpf->policies, &ifindex, &id))
		return -errno;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -errno : fd;
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
	if (header->counters * 4ull + header->rules * sizeof(struct fw_counter) > bytes) {
		ret = -EBADMSG;
		goto out;
	}
	out->counters = malloc(header->rules * sizeof(struct fw_counter) + 1);
	if (!out->counters) {
		ret = -ENOMEM;
		goto out;
	}
	out->generation = header->generation;
	out->count = header->rules;
	memcpy(out->counters, (const uint32_t *)memory + header->counters,
	       header->rules * sizeof(struct fw_counter));
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

/* What was replaced counted until now: nobody uses it any more. */
static int close_old(int fd, struct knl_bpf_counters *old)
{
	int ret = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (old)
		ret = read_counters(fd, old);
	close(fd);
	return ret;
}

int knl_bpf_commit(struct knl_bpf *bpf, uint32_t ifindex, const struct fw_image *image,
		   struct knl_bpf_counters *old)
{
	const struct fw_header *header = (const struct fw_header *)image->words;
	uint64_t quota = 0;
	int fd, before, ret = 0, i;

	if (old)
		*old = (struct knl_bpf_counters){ 0 };
	for (i = 0; i < FW_FLOW_CLASSES; i++)
		quota += header->quota[i];
	if (quota > bpf->share)
		return -ENOSPC;
	fd = make_image(image);
	if (fd < 0)
		return fd;
	before = open_image(bpf, ifindex);
	if (bpf_map_update_elem(bpf->policies, &ifindex, &fd, BPF_ANY))
		ret = errno == E2BIG ? -ENOSPC : -errno;
	close(fd);
	if (ret) {
		if (before >= 0)
			close(before);
		return ret;
	}
	return close_old(before, old);
}

int knl_bpf_withdraw(struct knl_bpf *bpf, uint32_t ifindex, struct knl_bpf_counters *old)
{
	const int before = open_image(bpf, ifindex);
	int ret = 0;

	if (old)
		*old = (struct knl_bpf_counters){ 0 };
	if (bpf_map_delete_elem(bpf->policies, &ifindex) && errno != ENOENT)
		ret = -errno;
	return close_old(before, old) ?: ret;
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

int knl_bpf_relay_set(struct knl_bpf *bpf, enum fw_relay_socket which, int sock)
{
	const uint32_t key = which;
	const uint64_t value = (uint64_t)sock;

	return bpf_map_update_elem(bpf->relay, &key, &value, BPF_ANY) ? -errno : 0;
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
	const struct fw_state zero = { 0 };
	const int ret = sweep(bpf, &args);

	if (ret)
		return ret;
	return bpf_map_update_elem(bpf->states, &slot, &zero, BPF_ANY) ? -errno : 0;
}
