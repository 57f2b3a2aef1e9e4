/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as the API describes it, and the calls that several commands
 * share. Strings point into the JSON document they were read from.
 */
#ifndef HOODY_CLI_CONTAINER_H
#define HOODY_CLI_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

#include "command.h"

#define CONTAINER_PATH		"/api/v1/containers"
#define CONTAINER_ADDRESSES_MAX 16
#define CONTAINER_PORTS_MAX	64

struct container_port {
	const char *service;
	unsigned int port;
};

/* What a reply lacks is "" or 0, so that a newer or older agent can be shown. */
struct container {
	const char *id;
	const char *project;
	const char *name;
	const char *realm;
	const char *state;
	const char *cgroup;
	const char *netdev;
	const char *real_ip;
	const char *created_at;
	const char *updated_at;
	const char *addresses[CONTAINER_ADDRESSES_MAX];
	size_t addresses_count;
	struct container_port ports[CONTAINER_PORTS_MAX];
	size_t ports_count;
	uint64_t generation;
	bool gateway;
};

/* 0, or -EINVAL where @json is no object with an id. */
int container_parse(yyjson_val *json, struct container *container);

/*
 * container_each(): calls @each for every container the agent knows, page by
 * page; @json lives as long as the call. CLI_DONE, or CLI_FAILED after printing
 * why (@quiet: without).
 */
enum cli_status container_each(struct cli *cli, bool quiet,
			       void (*each)(yyjson_val *json, void *context), void *context);

/* Candidates for an id that starts with @partial; silent. */
void container_complete(struct cli *cli, const char *partial);
/* The same for the name of a syscall profile, in syscalls.c. */
void profile_complete(struct cli *cli, const char *partial);

#endif /* HOODY_CLI_CONTAINER_H */
