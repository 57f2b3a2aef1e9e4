/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, RFC 6891), taken apart by c-ares. What a container asks
 * is made anew for the servers: name, type, and whether it wants signatures; what
 * a server answers is passed on as it is once it has been understood. Pure
 * functions over bytes.
 */
#ifndef HOODY_NAMES_MESSAGE_H
#define HOODY_NAMES_MESSAGE_H

#include "lib/address.h"
#include "names/name.h"

#include <stdint.h>
#include <sys/types.h>

#define NAMES_HEADER		12
#define NAMES_QUERY_MAX		4096
#define NAMES_MESSAGE_MAX	65535
#define NAMES_UDP_SIZE		512	/* RFC 1035: without a word about it */
#define NAMES_UDP_LARGEST	1232	/* fits every path; larger ones go over TCP */
#define NAMES_ADDRESSES_MAX	512	/* of one answer */
#define NAMES_CHAIN_MAX		16	/* CNAMEs of one answer */
/* Header, a name of 255 bytes, type and class, an OPT record. */
#define NAMES_REQUEST_MAX	(NAMES_HEADER + 255 + 4 + 11)

enum names_type {
	NAMES_A		= 1,
	NAMES_AAAA	= 28,
	NAMES_SVCB	= 64,
	NAMES_HTTPS	= 65,
	NAMES_ANY	= 255,
};

enum names_rcode {
	NAMES_NOERROR,
	NAMES_FORMERR,
	NAMES_SERVFAIL,
	NAMES_NXDOMAIN,
	NAMES_NOTIMP,
	NAMES_REFUSED,
};

struct names_question {
	uint16_t	id;
	uint16_t	type;
	bool		signatures;		/* the DO bit, RFC 3225 */
	bool		unchecked;		/* the CD bit, RFC 4035 */
	bool		recursion;		/* the RD bit */
	uint16_t	room;			/* of the asker, over UDP */
	size_t		end;			/* of the question in the query */
	char		name[NAMES_TEXT_MAX];	/* lower case; "" is the root */
};

/*
 * names_read_query(): 0, or the enum names_rcode to answer with; -EBADMSG: what
 * gets no answer at all. What is 0 names_make_request() can ask.
 */
int names_read_query(const unsigned char *bytes, size_t len, struct names_question *question);

/* The request to a server. Returns its length, or -ENOMEM. */
ssize_t names_make_request(const struct names_question *question, uint16_t id,
			   unsigned char out[NAMES_REQUEST_MAX]);

struct names_answer {
	uint8_t		rcode;
	bool		truncated;
	uint32_t	ttl;		/* seconds that it may be kept; 0: not */
	uint32_t	address_ttl;	/* of the addresses, over the CNAMEs to them */
	unsigned int	count;
	struct address	addresses[NAMES_ADDRESSES_MAX];
};

/*
 * names_read_answer(): what @bytes say about @question, asked with @id. 0; -EAGAIN:
 * it is no answer to that; -EBADMSG: it contradicts itself; -E2BIG: it has more
 * addresses or CNAMEs than the bounds above.
 */
int names_read_answer(const unsigned char *bytes, size_t len,
		      const struct names_question *question, uint16_t id,
		      struct names_answer *answer);

/*
 * names_set_asker(): makes a server's answer one to @query: its id, its spelling of
 * the name, and times to live that are @seconds shorter.
 */
void names_set_asker(unsigned char *answer, size_t len, const unsigned char *query,
		     const struct names_question *question, uint32_t seconds);

/* An answer without records to @query, in place. Returns its length. */
size_t names_make_refusal(unsigned char *query, size_t len, const struct names_question *question,
			  enum names_rcode rcode);

/* Cuts the answer to what fits @room. Returns the new length. */
size_t names_truncate(unsigned char *answer, size_t len, size_t room);

/*
 * Whether no name may stand for this address: loopback, link-local, unspecified,
 * multicast, and IPv4 written as IPv6.
 */
bool names_address_is_local(const struct address *address);

#endif /* HOODY_NAMES_MESSAGE_H */
