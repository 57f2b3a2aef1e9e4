// SPDX-License-Identifier: Apache-2.0
/* libnftables at run time, see nft.h; the calls are those of libnftables(3). */
#include "kernel/nft.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY	"libnftables.so.1"

struct nft_ctx;

struct library {
	void		*handle;
	struct nft_ctx	*(*ctx_new)(uint32_t flags);
	void		(*ctx_free)(struct nft_ctx *ctx);
	int		(*buffer_output)(struct nft_ctx *ctx);
	int		(*buffer_error)(struct nft_ctx *ctx);
	const char	*(*get_error)(struct nft_ctx *ctx);
	int		(*run)(struct nft_ctx *ctx, const char *commands);
};

static bool load(struct library *library)
{
	memset(library, 0, sizeof(*library));
	library->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library->handle)
		return false;
#define FIND(member, name) (*(void **)&library->member = dlsym(library->handle, name))
	if (FIND(ctx_new, "nft_ctx_new") && FIND(ctx_free, "nft_ctx_free") &&
	    FIND(buffer_output, "nft_ctx_buffer_output") &&
	    FIND(buffer_error, "nft_ctx_buffer_error") &&
	    FIND(get_error, "nft_ctx_get_error_buffer") &&
	    FIND(run, "nft_run_cmd_from_buffer"))
		return true;
#undef FIND
	dlclose(library->handle);
	return false;
}

int knl_nft_run(const char *commands, char *fault, size_t fault_size)
{
	struct library library;
	struct nft_ctx *ctx;
	int ret = -ENOMEM;

	if (!load(&library)) {
		snprintf(fault, fault_size, "%s is missing: install libnftables1", LIBRARY);
		return -ENOPKG;
	}
	ctx = library.ctx_new(0);
	if (ctx && !library.buffer_output(ctx) && !library.buffer_error(ctx)) {
		ret = library.run(ctx, commands) ? -EINVAL : 0;
		if (ret)
			/* The first line: what follows repeats the commands. */
			snprintf(fault, fault_size, "nftables: %.*s",
				 (int)strcspn(library.get_error(ctx), "\n"),
				 library.get_error(ctx));
	} else {
		snprintf(fault, fault_size, "out of memory");
	}
	if (ctx)
		library.ctx_free(ctx);
	dlclose(library.handle);
	return ret;
}
