/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the netlink client share with each other. */
#ifndef HOODY_KERNEL_GENL_INTERNAL_H
#define HOODY_KERNEL_GENL_INTERNAL_H

#include "kernel/genl.h"

#include <netlink/msg.h>
#include <netlink/socket.h>

struct knl {
	struct nl_sock		*socket;	/* requests, one at a time */
	struct nl_sock		*watch;		/* nlctrl's multicast group "notify" */
	struct nl_sock		*events;	/* the family's group "events" */
	int			events_group;	/* joined; 0: none */
	const struct nlmsghdr	*sent;		/* the request under way */
	int			family;
	uint32_t		protocol;	/* HOODY_GENL_VERSION, but in a test */
	enum knl_state		state;
	bool			probing;	/* requests go out although not KNL_READY */
	bool			family_changed;
	struct knl_info		info;
	char			reason[256];
	char			fault[256];
};

/* One request under way. */
struct knl_request {
	struct knl	*knl;
	bool		done;
	bool		disturbed;	/* NLM_F_DUMP_INTR was set */
	int		error;
	/* For every message of the answer, parsed; @message for what repeats. */
	void		(*each)(struct knl_request *request, struct nl_msg *message,
				struct nlattr **attrs);
	void		*context;
	union {
		void	(*container)(void *context, const struct knl_container *container);
		void	(*stat)(void *context, const char *name, uint64_t value);
		void	(*profile)(void *context, const char *name, uint32_t users);
		void	(*count)(void *context, uint32_t arch, uint32_t nr, uint64_t count);
	};
};

/* Opens the request socket anew: a broken exchange leaves answers behind. */
int knl_socket_open(struct knl *knl);

/* A message with the family's header, or NULL. */
struct nl_msg *knl_message(struct knl *knl, enum hoody_cmd command, int flags);
/* The same with room for @size bytes of attributes. */
struct nl_msg *knl_message_sized(struct knl *knl, enum hoody_cmd command, int flags, size_t size);

/*
 * The attributes of a message, with lengths that fit their types; 0, or an error of
 * libnl's where one is too short or there is no header of generic netlink.
 */
int knl_parse(struct nl_msg *message, struct nlattr *attrs[HOODY_A_MAX + 1]);

/* Sends @message (and frees it; NULL: no memory) and waits for the whole answer. */
int knl_transact(struct knl *knl, struct nl_msg *message, struct knl_request *request);

/* Fills knl->info from the module. */
int knl_info_get(struct knl *knl);

/* Joins the group of the family's events, whose number may have changed. */
void knl_events_join(struct knl *knl);

#endif /* HOODY_KERNEL_GENL_INTERNAL_H */
