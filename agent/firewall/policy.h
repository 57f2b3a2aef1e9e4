/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall policy of one container as plain data, and the two things that
 * can be made of it: an image for the kernel (fw_compile) and, slowly and
 * obviously, an answer (fw_reference), which the tests hold the image against.
 *
 * Everything here is a pure function over its arguments: no file, no socket, no
 * clock, no state. Names and selectors have been resolved to addresses before.
 */
#ifndef HOODY_FIREWALL_POLICY_H
#define HOODY_FIREWALL_POLICY_H

#include "../../bpf/shared.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fw_protocol {
	FW_ANY,
	FW_TCP,
	FW_UDP,
	FW_ICMP,	/* of IPv4 */
	FW_ICMPV6,
};

/* Bits behind @length are 0. IPv4 in the first four bytes of @address. */
struct fw_prefix {
	uint8_t	family;		/* enum fw_family */
	uint8_t	length;		/* 0 to 32 or 128 */
	uint8_t	address[16];
};

/*
 * A rule's number, in counters, events and answers, is its index in the policy.
 * Ports are those of the destination; only TCP and UDP rules may narrow them.
 */
struct fw_rule {
	uint8_t			direction;	/* enum fw_direction */
	uint8_t			action;		/* FW_ALLOW or FW_DENY */
	uint8_t			protocol;	/* enum fw_protocol */
	bool			anywhere;	/* no address was given: all of both families */
	uint16_t		port_first, port_last;
	uint32_t		prefixes_count;	/* without @anywhere 0 matches nothing */
	const struct fw_prefix	*prefixes;
};

struct fw_policy {
	uint64_t		generation;
	uint32_t		slot;
	uint32_t		flags;		/* enum fw_flags */
	uint8_t			owner[12], project[12];	/* the ids of container and project */
	uint8_t			mac[6];
	uint8_t			steer_mac[6];	/* for FW_EXIT_RELAY and FW_EXIT_TUNNEL */
	uint8_t			tunnel;		/* for FW_EXIT_TUNNEL; 0: none yet */
	uint32_t		steer_bridge;	/* ifindex; 0: no port of a bridge */
	uint32_t		quota[FW_FLOW_CLASSES];
	uint8_t			addresses4_count, addresses6_count;
	uint8_t			addresses4[FW_ADDRESSES_MAX][4];
	uint8_t			addresses6[FW_ADDRESSES_MAX][16];
	uint32_t		rules_count;
	const struct fw_rule	*rules;
	/*
	 * Addresses that no wide rule opens: those of the host, and of the cloud's
	 * metadata service. An egress rule allows one of them only where it names
	 * exactly that address. /32 and /128 only.
	 */
	uint32_t		protected_count;
	const struct fw_prefix	*protected;
};

struct fw_image {
	uint32_t	*words;		/* whole lines */
	uint32_t	lines;
};

/* Why a policy was refused. @rule: its index, or FW_NO_RULE. */
struct fw_fault {
	uint32_t	rule;
	const char	*field;		/* "destination", "port"; NULL: none in particular */
	char		text[160];
};

/*
 * fw_compile(): 0 and an image that fw_image_clear() frees, or -EINVAL, -ENOSPC
 * (does not fit the kernel's tables), -ENOMEM with @fault filled.
 */
int fw_compile(const struct fw_policy *policy, struct fw_image *image, struct fw_fault *fault);
void fw_image_clear(struct fw_image *image);

/* fw_reference(): what the rules say, by reading all of them. */
struct fw_answer fw_reference(const struct fw_policy *policy, const struct fw_question *question);

/* The same from an image, by the code that runs in the kernel. */
struct fw_answer fw_image_decide(const struct fw_image *image, const struct fw_question *question);

/*
 * fw_prefix_parse(): "192.0.2.0/24", "2001:db8::1". 0, or -EINVAL with @why the
 * end of a sentence about it ("has bits set behind its length").
 */
int fw_prefix_parse(const char *text, struct fw_prefix *prefix, const char **why);
#define FW_PREFIX_TEXT_MAX	56
void fw_prefix_format(const struct fw_prefix *prefix, char text[FW_PREFIX_TEXT_MAX]);

/* "443", "8000-8080". 0 or -EINVAL with @why. */
int fw_ports_parse(const char *text, uint16_t *first, uint16_t *last, const char **why);

/* The address words of a question, from an address in network order. */
void fw_question_address(struct fw_question *question, uint32_t family, const uint8_t *address);

/* The metadata services of clouds. */
extern const struct fw_prefix fw_metadata[];
extern const uint32_t fw_metadata_count;

/* A short name ("source_address") and a sentence; never NULL. */
const char *fw_reason_name(uint32_t reason);
const char *fw_reason_text(uint32_t reason);

#endif /* HOODY_FIREWALL_POLICY_H */
