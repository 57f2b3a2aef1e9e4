// SPDX-License-Identifier: Apache-2.0
/*
 * Address ranges of all groups as one sorted cut of the address space. Each
 * range begins and ends somewhere; between two such borders the set of groups
 * is constant. The borders are sorted, and one sweep counts for each group how
 * many of its ranges are open (they may overlap).
 */
#include "auth/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct border {
	uint8_t		at[16];
	uint16_t	group;
	bool		end;
};

static int border_compare(const void *a, const void *b)
{
	return memcmp(((const struct border *)a)->at, ((const struct border *)b)->at, 16);
}

/* The address behind the range; false where there is none. */
static bool range_end(const struct permissions_range *range, uint8_t out[16])
{
	memcpy(out, range->address, 16);
	if (range->prefix == 0)
		return false;
	/* Adds one at the prefix's last bit, with carry. */
	for (int bit = range->prefix - 1; bit >= 0; bit--) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		out[bit / 8] ^= mask;
		if (out[bit / 8] & mask)
			return true;
	}
	return false;
}

static size_t collect(const struct permissions *permissions, sa_family_t family,
		      struct border *borders)
{
	size_t count = 0;

	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		const struct permissions_group *group = &permissions->groups[i];

		for (unsigned int k = 0; k < group->ranges_count; k++) {
			const struct permissions_range *range = &group->ranges[k];
			struct border *border = &borders[count];

			if (range->family != family)
				continue;
			memset(border, 0, 2 * sizeof(*border));
			memcpy(border->at, range->address, 16);
			border->group = (uint16_t)i;
			count++;
			border[1].group = (uint16_t)i;
			border[1].end = true;
			count += range_end(range, border[1].at);
		}
	}
	qsort(borders, count, sizeof(*borders), border_compare);
	return count;
}

static void add_piece(struct compiler *compiler, sa_family_t family, const uint8_t at[16],
		      const struct blob_set *groups)
{
	if (family == AF_INET) {
		struct blob_range4 *piece =
			section_add(compiler, &compiler->ranges4, sizeof(*piece));

		if (!piece)
			return;
		piece->first = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
			       (uint32_t)at[2] << 8 | at[3];
		piece->groups = *groups;
	} else {
		struct blob_range6 *piece =
			section_add(compiler, &compiler->ranges6, sizeof(*piece));

		if (!piece)
			return;
		memcpy(piece->first, at, 16);
		piece->groups = *groups;
	}
}

static void sweep(struct compiler *compiler, sa_family_t family, const struct border *borders,
		  size_t count)
{
	uint16_t open[PERMISSIONS_GROUPS_MAX] = { 0 };
	struct blob_set groups = { { 0 } }, last = { { 0 } };
	static const uint8_t zero[16];

	if (!count)
		return;
	/* The search relies on a piece that starts at zero. */
	if (memcmp(borders[0].at, zero, 16))
		add_piece(compiler, family, zero, &groups);
	for (size_t i = 0; i < count; i++) {
		const struct border *border = &borders[i];

		open[border->group] += border->end ? -1 : 1;
		/* Ends may come before starts at one place: look when it is passed. */
		if (i + 1 < count && !border_compare(border, border + 1))
			continue;
		memset(&groups, 0, sizeof(groups));
		for (unsigned int k = 0; k < PERMISSIONS_GROUPS_MAX; k++) {
			if (open[k])
				blob_set_add(&groups, k);
		}
		if (memcmp(&groups, &last, sizeof(groups)) || !memcmp(border->at, zero, 16))
			add_piece(compiler, family, border->at, &groups);
		last = groups;
	}
}

void compile_ranges(struct compiler *compiler, const struct permissions *permissions)
{
	struct border *borders;
	size_t ranges = 0;

	for (unsigned int i = 0; i < permissions->groups_count; i++)
		ranges += permissions->groups[i].ranges_count;
	if (!ranges || compiler->error)
		return;
	borders = calloc(2 * ranges, sizeof(*borders));
	if (!borders) {
		compiler->error = ENOMEM;
		return;
	}
	sweep(compiler, AF_INET, borders, collect(permissions, AF_INET, borders));
	sweep(compiler, AF_INET6, borders, collect(permissions, AF_INET6, borders));
	free(borders);
}
