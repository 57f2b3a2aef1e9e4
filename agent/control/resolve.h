/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the host itself looks up: of proxies and tunnels that exits name. It
 * asks as any of the host's programs would (/etc/hosts, /etc/resolv.conf), in a
 * child without privileges for each look-up, so that control waits for nobody and
 * reads no answer of a server.
 *
 *	wanted -> child -> addresses, kept for as long as they say (bounded) -> child ...
 *	                -> no answer: what was known stays, and it is asked again soon
 *	                -> no such name: nothing is known any more
 */
#ifndef HOODY_CONTROL_RESOLVE_H
#define HOODY_CONTROL_RESOLVE_H

#include "control/spawn.h"
#include "lib/address.h"
#include "relay/exit.h"

#include <systemd/sd-event.h>

#define RESOLVE_NAMES_MAX	1024
#define RESOLVE_CHILDREN_MAX	8
/* Seconds. A server that says less or more is not followed beyond these. */
#define RESOLVE_TTL_MIN		5
#define RESOLVE_TTL_MAX		300

struct resolver;

/* What a child says of its name, one message. */
struct resolve_answer {
	int32_t		status;		/* 0, -ENOENT: no such name, -EAGAIN: nobody answers */
	uint32_t	ttl;		/* seconds, as the servers have it */
	uint32_t	count;
	struct address	addresses[EXIT_ADDRESSES_MAX];	/* the best first */
};

/* The addresses of a name have changed. */
typedef void resolver_changed(void *context);

/* NULL without memory. @identity, who the children are, is copied. */
struct resolver *resolver_create(sd_event *event, const struct spawn_identity *identity,
				 resolver_changed *changed, void *context);
void resolver_destroy(struct resolver *resolver);

/* Names that nobody needs between the two are forgotten. */
void resolver_begin(struct resolver *resolver);
/* 0, -ENOMEM, or -ENOSPC where there are too many. */
int resolver_need(struct resolver *resolver, const char *name);
void resolver_end(struct resolver *resolver);

/*
 * From one control process to the next: what is known, and no child any more.
 * resolver_adopt(): names that are not well-formed are left out.
 */
struct handover;
struct yyjson_val;
void resolver_save(struct resolver *resolver, struct handover *handover);
void resolver_adopt(struct resolver *resolver, struct yyjson_val *list);

/* Copies what is known to @addresses, and returns how many there are. */
unsigned int resolver_find(const struct resolver *resolver, const char *name,
			   struct address addresses[EXIT_ADDRESSES_MAX]);

/* resolve_child.c: the child, hoody-agent --resolve NAME. Returns its exit status. */
int resolve_run(const char *name);

#endif /* HOODY_CONTROL_RESOLVE_H */
