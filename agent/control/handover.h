/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a control process leaves to the next one that takes its place in the same
 * process, by execve(2): a text (JSON, in a memfd) that names the descriptors which
 * stay open over it. Everything else is in the database or made anew.
 *
 *	listeners	sockets of all addresses and slots, the secret of QUIC
 *	workers		pid, channel, what is unanswered, audit rings, counts
 *	relay		pid, channel and sockets of the one that serves; those that drain
 *	resolver	addresses of proxies that are known
 *	api		the control socket, and connections that wait for a request
 *	tickets		keys of session tickets
 *	old		the program that hands over, and its configuration, for the
 *			way back (upgrade.h)
 *
 * A part of control saves itself with handover_*() and finds itself again in
 * handover_find(). HANDOVER_FORMAT grows when an older program would misread it;
 * IPC_VERSION and IMAGE_VERSION say whether workers understand the next control.
 */
#ifndef HOODY_CONTROL_HANDOVER_H
#define HOODY_CONTROL_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

/* 2: relays that drain, which a program that knows only 1 would leave unrevoked. */
#define HANDOVER_FORMAT		2
#define HANDOVER_FORMAT_FIRST	1	/* that is understood */
#define HANDOVER_BYTES_MAX	(1024 * 1024)
#define HANDOVER_FDS_MAX	2048
#define HANDOVER_VARIABLE	"HOODY_HANDOVER"	/* in the environment: the memfd */

struct control;

/* One that is being written. */
struct handover {
	yyjson_mut_doc	*document;	/* NULL: out of memory */
	yyjson_mut_val	*root;
	int		fds[HANDOVER_FDS_MAX];
	size_t		fds_count;
	int		format;		/* that the next program knows */
	bool		failed;		/* something did not fit */
};

/* One that was found. */
struct handover_found {
	yyjson_doc	*document;
	yyjson_val	*root;
	bool		returned;	/* the next program has given up: this is the way back */
};

/*
 * handover_fd(): @fd under @key of @object, or, without @key, behind what the
 * array @object has; it is to stay open. Below 0 it is left out of an object.
 */
void handover_fd(struct handover *handover, yyjson_mut_val *object, const char *key, int fd);
void handover_hex(struct handover *handover, yyjson_mut_val *object, const char *key,
		  const uint8_t *bytes, size_t len);

/*
 * handover_save(): all of @control, or what it has found itself of parts that it
 * has not set up yet. Returns a sealed memfd or a negative errno; @handover's fds
 * are those that have to stay open. @old is this program, @configuration its
 * struct config, and @why (may be NULL) makes it a way back.
 */
int handover_save(struct control *control, struct handover *handover, int old, int configuration,
		  const char *why);
void handover_clear(struct handover *handover);
/* Whether they survive execve(2). 0 or a negative errno. */
int handover_keep(const struct handover *handover, bool keep);

/*
 * handover_find(): what HANDOVER_VARIABLE names, which is taken out of the
 * environment; handover_read(): what @fd has. Descriptors are closed on exec from
 * then on. 0, -ENOENT where there is nothing, -EBADMSG with words in @fault.
 */
int handover_find(struct handover_found *found, char *fault, size_t fault_size);
int handover_read(struct handover_found *found, int fd, char *fault, size_t fault_size);
void handover_forget(struct handover_found *found);

/* Of what was found. handover_taken_fd(): -1 where @key is no open descriptor. */
int handover_taken_fd(yyjson_val *value);
int64_t handover_number(yyjson_val *object, const char *key);
const char *handover_text(yyjson_val *object, const char *key);	/* empty: none */
/* 0 or -EBADMSG. */
int handover_bytes(yyjson_val *object, const char *key, uint8_t *bytes, size_t len);

#endif /* HOODY_CONTROL_HANDOVER_H */
