/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates that are served: this node's, those of a directory, those that
 * an authority has issued (acme.h), with the keys of session tickets and the
 * answers to challenges. All of it goes to workers as one text (lib/keys.h).
 *
 * Files are watched: what changes is read and checked anew, and what is broken
 * leaves the one before it in force and says why. Of two certificates for one
 * name the directory's comes before an authority's.
 */
#ifndef HOODY_CONTROL_CERTIFICATES_H
#define HOODY_CONTROL_CERTIFICATES_H

#include "control/certificate.h"
#include "control/control.h"
#include "lib/keys.h"

#include <limits.h>

#define CERTIFICATES_MAX	4096

enum certificates_source {
	CERTIFICATES_NODE,
	CERTIFICATES_FILE,
	CERTIFICATES_ACME,
};

struct certificates_entry {
	enum certificates_source source;
	char			name[NAME_MAX + 1];	/* of the file, or the domain */
	struct certificate	certificate;
	char			fault[512];		/* of the last try to read it; empty: none */
	uint64_t		signature;		/* of its files, as last read */
	bool			seen;
};

struct certificates_challenge {
	enum keys_kind	kind;			/* KEYS_HTTP, KEYS_ALPN */
	char		host[KEYS_NAME_MAX];
	char		token[KEYS_TOKEN_MAX];
	char		text[KEYS_TOKEN_MAX];	/* KEYS_HTTP */
	char		*pem;			/* KEYS_ALPN */
};

struct certificates {
	struct control		*control;
	struct certificates_entry node;
	struct certificates_entry *list;	/* files, in order of their names, and issued ones */
	size_t			count, room;
	uint8_t			tickets[KEYS_TICKETS_MAX][KEYS_TICKET_LEN];	/* newest first */
	unsigned int		tickets_count;
	struct certificates_challenge challenges[KEYS_CHALLENGES_MAX];
	unsigned int		challenges_count;
	int			watch;		/* inotify; -1: none */
	sd_event_source		*watched, *settle, *rotation;
	uint64_t		reloads;	/* that changed something */
};

/*
 * certificates_take(): @node, which is emptied, is in force from now on, with
 * the directory of the configuration. Returns the text for workers as a sealed
 * memfd, or a negative errno.
 */
int certificates_take(struct control *control, struct certificate *node);

/*
 * certificates_push(): workers get what there is now. Returns as
 * supervise_certificate() does; 0 where that cannot be.
 */
uint64_t certificates_push(struct control *control);

/* An issued one; takes @certificate over. 0 or -errno. Push it. */
int certificates_set_issued(struct certificates *certificates, const char *domain,
			    struct certificate *certificate);
/* Whether something has gone. */
bool certificates_forget_issued(struct certificates *certificates, const char *domain);
const struct certificate *certificates_find_issued(const struct certificates *certificates,
						   const char *domain);
/* Whether a file of the directory is for @name. */
bool certificates_have_file(const struct certificates *certificates, const char *name);

/* Both before certificates_push(). -ENOSPC where there are too many. */
int certificates_add_challenge(struct certificates *certificates,
			       const struct certificates_challenge *challenge);
void certificates_clear_challenges(struct certificates *certificates);

#endif /* HOODY_CONTROL_CERTIFICATES_H */
