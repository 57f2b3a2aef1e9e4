/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit records on their way from a worker's threads to control: one ring of
 * fixed-size records for each thread, all in one memfd that both map.
 *
 *	thread:  audit_ring_push() -> [ring] -> audit_ring_pop() :control
 *
 * One thread writes a ring, control alone reads it; no lock, no system call, as
 * long as control is reading anyway. Control says when it goes to sleep
 * ("armed"); the next record then costs one write(2) to an eventfd. A ring that
 * is full loses the record, and the thread counts that.
 *
 * The memory belongs to the worker as much as to control, and a worker may be in
 * an attacker's hands: control keeps its own position, copies a record before it
 * looks at it, and audit_record_valid() says whether what it copied can be used.
 */
#ifndef HOODY_LIB_AUDIT_RING_H
#define HOODY_LIB_AUDIT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_ID_LEN		12
#define AUDIT_PATH_MAX		252
#define AUDIT_RINGS_MAX		64	/* threads of a worker */
#define AUDIT_RECORDS_MIN	1024
#define AUDIT_RECORDS_MAX	262144

enum audit_flags {
	AUDIT_TLS		= 1 << 0,
	AUDIT_PATH_CUT		= 1 << 1,	/* it was longer */
	AUDIT_UPGRADED		= 1 << 2,	/* the connection became a tunnel */
	AUDIT_FLAGS_ALL		= (1 << 3) - 1,
};

/* One exchange. Text is NUL-terminated, printable; times that did not come are 0. */
struct audit_record {
	uint64_t	time_us;		/* CLOCK_REALTIME of its end */
	uint64_t	bytes_in, bytes_out;	/* of bodies */
	uint32_t	authorize_us;		/* begin to let in */
	uint32_t	upstream_us;		/* let in to the response's head */
	uint32_t	total_us;		/* begin to end; all ones: that or longer */
	uint16_t	status;			/* 0: none was sent */
	uint16_t	port;			/* of the container; 0: not routed */
	uint16_t	client_port, instance;
	uint16_t	client_family;		/* AF_INET, AF_INET6 */
	uint8_t		flags, reserved;
	uint8_t		client[16];
	uint8_t		container[AUDIT_ID_LEN], project[AUDIT_ID_LEN];
	char		protocol[12];		/* "http/1.1", "h2" */
	char		method[16];
	char		service[32];
	char		outcome[24];		/* "complete", "cut", "forbidden", ... */
	char		reason[24];		/* auth_reason_name(), or empty */
	char		action[16];		/* "terminal: execute" -> "execute" */
	char		group[48];		/* that let it in or refused it */
	char		path[AUDIT_PATH_MAX];
};

_Static_assert(sizeof(struct audit_record) == 512, "rings hold records of half a KiB");

/* False where a field is outside of its range, text has no end or control bytes. */
bool audit_record_valid(const struct audit_record *record);

/*
 * audit_record_path(): @target as it is recorded, masked as @query says (enum
 * image_audit_query). True where not all of it fitted.
 */
bool audit_record_path(const char *target, size_t len, uint32_t query, char out[AUDIT_PATH_MAX]);

/* What both sides map: positions count records and only grow. */
struct audit_ring_shared {
	_Alignas(64) uint64_t	head;	/* the thread's */
	_Alignas(64) uint64_t	tail;	/* control's, for the thread to see the room */
	_Alignas(64) uint32_t	armed;	/* control sleeps: wake it */
	_Alignas(64) struct audit_record records[];
};

/* Of one side; @position is its own truth. */
struct audit_ring {
	struct audit_ring_shared *shared;
	uint32_t		records;	/* a power of two */
	uint64_t		position;
	uint64_t		seen;		/* the other side's, as last read */
	int			wake;		/* eventfd */
};

/*
 * audit_ring_create(): a memfd for @rings rings of @records, sealed against
 * growing and shrinking; or a negative errno.
 * audit_ring_map(): maps all of it: @rings are set up, @wake is lent. 0, or a
 * negative errno; -EBADMSG where the file is of another size or not sealed.
 */
int audit_ring_create(unsigned int rings, uint32_t records);
int audit_ring_map(int fd, struct audit_ring *rings, unsigned int count, uint32_t records,
		   int wake);
void audit_ring_unmap(struct audit_ring *rings, unsigned int count);

/* By the thread. False: full, the record is lost. */
bool audit_ring_push(struct audit_ring *ring, const struct audit_record *record);

/*
 * By control. audit_ring_pop(): 1 with a copy in @record, 0: empty, -EBADMSG: the
 * positions make no sense, the worker is not to be trusted any more.
 * audit_ring_arm(): asks to be woken; true where a record has come meanwhile.
 */
int audit_ring_pop(struct audit_ring *ring, struct audit_record *record);
bool audit_ring_arm(struct audit_ring *ring);

#endif /* HOODY_LIB_AUDIT_RING_H */
