/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container firewall's control side: rule sets as the API speaks of them,
 * kept as one document for each container, compiled by agent/firewall and pushed
 * by agent/kernel/bpf. What the programs do with it is in docs/firewall.md.
 *
 *	document (database) -> struct firewall_rules -> fw_policy -> image -> kernel
 *
 * A container without rules is open in both directions, and still held to its own
 * addresses. The first allow rule of a direction closes the direction, a reset
 * closes both. What is closed stays closed while the agent is away: programs and
 * images are pinned.
 */
#ifndef HOODY_CONTROL_FIREWALL_H
#define HOODY_CONTROL_FIREWALL_H

#include "control/container_json.h"
#include "control/control.h"
#include "firewall/policy.h"
#include "relay/protocol.h"

#define FIREWALL_DESCRIPTION_MAX	256	/* bytes of UTF-8, with the NUL */
#define FIREWALL_EVENTS_MAX		256	/* remembered of each container and kind */
#define FIREWALL_LEARNED_MAX		1024	/* remembered of each container */
#define FIREWALL_PEER_MAX		256
#define FIREWALL_NAMES_MAX		4096	/* addresses of names, of each container */
#define FIREWALL_EVENTS_PER_SECOND	100	/* of each container */

enum firewall_peer {
	FIREWALL_ANYWHERE,
	FIREWALL_PREFIX,
	FIREWALL_CONTAINER,
	FIREWALL_PROJECT,
	FIREWALL_NAME,
};

struct firewall_rule {
	uint32_t	id;		/* never used again within its container */
	uint8_t		direction;	/* enum fw_direction */
	uint8_t		action;		/* FW_ALLOW, FW_DENY */
	uint8_t		protocol;	/* enum fw_protocol */
	uint8_t		peer;		/* enum firewall_peer */
	uint16_t	port_first, port_last;	/* 0 to 65535: every port */
	struct fw_prefix prefix;
	uint8_t		peer_id[ID_LEN];
	char		*name;		/* FIREWALL_NAME: as of name_parse() */
	char		*description;	/* NULL: none */
	int64_t		created_at;
	/* Counted by images that have been replaced; not in the database. */
	uint64_t	packets, bytes;
};

/* Rules in the order of their ids. */
struct firewall_rules {
	uint64_t	revision;	/* grows with every write */
	uint32_t	next_id;
	bool		closed[FW_DIRECTIONS];
	bool		learn;
	bool		log_flows;	/* new flows are told as drops are */
	bool		strict_names;	/* connections have to say a name that is allowed */
	uint32_t	count, room;
	struct firewall_rule *rules;
};

/* --- firewall_rules.c: pure, but for the clock --- */

/* Frees what a rule holds. */
void firewall_rule_clear(struct firewall_rule *rule);
struct firewall_rules *firewall_rules_create(void);
struct firewall_rules *firewall_rules_copy(const struct firewall_rules *rules);
void firewall_rules_free(struct firewall_rules *rules);

/*
 * firewall_rules_add(): takes a rule without an id over, with what it holds,
 * and gives it one. 0, or -1 with @fault: too many, or the same rule is there.
 */
int firewall_rules_add(struct firewall_rules *rules, struct firewall_rule *rule,
		       struct container_fault *fault);
/* Several at once: compared with each other by sorting. Names them "rules[i]". */
int firewall_rules_check_duplicates(const struct firewall_rules *rules,
				    struct container_fault *fault);
struct firewall_rule *firewall_rules_find(const struct firewall_rules *rules, uint32_t id);
void firewall_rules_remove(struct firewall_rules *rules, struct firewall_rule *rule);

/* --- firewall_json.c --- */

/*
 * firewall_rule_from_json(): a rule of a direction (@direction below
 * FW_DIRECTIONS), or with a "direction" of its own. @where is put in front of the
 * field's name: "rules[3]." or "". 0, or -1 with @fault; to firewall_rule_clear().
 */
int firewall_rule_from_json(struct firewall_rule *rule, yyjson_val *body, unsigned int direction,
			    const char *where, struct container_fault *fault);
yyjson_mut_val *firewall_rule_to_json(const struct firewall_rule *rule, yyjson_mut_doc *document);

/* A whole set: {"defaults", "mode", "rules"}; what is not given is closed, enforced, empty. */
int firewall_rules_from_json(struct firewall_rules *rules, yyjson_val *body,
			     struct container_fault *fault);
/* defaults and mode of @body alone. */
int firewall_settings_from_json(struct firewall_rules *rules, yyjson_val *body,
				struct container_fault *fault);
void firewall_settings_to_json(const struct firewall_rules *rules, yyjson_mut_doc *document,
			       yyjson_mut_val *object);

/* The stored form; NULL without memory, or where it is none. */
char *firewall_rules_format(const struct firewall_rules *rules);
struct firewall_rules *firewall_rules_parse(const char *text);

extern const char *const firewall_directions[FW_DIRECTIONS];
extern const char *const firewall_protocols[];		/* by enum fw_protocol, NULL-terminated */
const char *firewall_action_name(uint8_t action);

/* "192.0.2.0/24", "container:...", "project:..."; NULL for anywhere. */
const char *firewall_peer_format(const struct firewall_rule *rule, char text[FIREWALL_PEER_MAX]);
/* 0, or -1 with @why: the end of a sentence about it. */
int firewall_peer_parse(const char *text, struct firewall_rule *rule, const char **why);

/* --- firewall_compile.c --- */

/* Where a container's policy is held in the kernel. */
struct firewall_place {
	uint32_t	slot;
	uint64_t	generation;
	uint32_t	quota[FW_FLOW_CLASSES];
	uint32_t	exit_flags;	/* FW_EXIT_* */
	uint8_t		steer_mac[6];
};

/* The host's own addresses, each a /32 or /128. */
struct firewall_host {
	struct fw_prefix *addresses;
	uint32_t	count, room;
};

/*
 * firewall_compile(): the image of @container under @rules (NULL: none). Rules
 * that were not asked for (the metadata services of an open container) come behind
 * the container's own. 0, or -1 with @fault.
 */
int firewall_compile(const struct control *control, const struct firewall_host *host,
		     const struct container *container, const struct firewall_rules *rules,
		     const struct firewall_place *place, struct fw_image *image,
		     struct container_fault *fault);

/* --- firewall_enforce.c, firewall.c --- */

enum firewall_state {
	FIREWALL_IDLE,		/* the container does not run, or has no interface */
	FIREWALL_ENFORCED,
	FIREWALL_FAILED,	/* what held before holds on, or nothing passes */
	FIREWALL_OFF,		/* not on this host: switched off, or no BPF */
};

/* A drop, or a new flow. */
struct firewall_event {
	uint64_t	sequence;	/* of all containers */
	int64_t		time_ms;	/* since 1970 */
	struct fw_event	event;
	uint32_t	rule_id;	/* 0: none */
};

/* The last ones of a kind: new flows never push out drops. */
struct firewall_ring {
	struct firewall_event	*events;	/* FIREWALL_EVENTS_MAX, or NULL */
	uint64_t		total;
};

/* A destination or source that the default would have refused. */
struct firewall_learned {
	uint64_t	packets;
	uint8_t		direction, family, protocol, spare;
	uint16_t	port, spare2;	/* compared byte by byte: without holes */
	uint8_t		address[16];
};

struct firewall_entry {
	uint8_t			id[ID_LEN];
	struct firewall_rules	*rules;		/* NULL: none */
	enum firewall_state	state;
	char			fault[256];	/* of FIREWALL_FAILED and FIREWALL_OFF */
	uint32_t		slot, ifindex;	/* 0: none */
	uint64_t		generation;	/* of the image in force */
	struct firewall_names	*names;		/* NULL: none was heard */
	uint32_t		*image_ids;	/* the rules of the image in force */
	uint32_t		image_count;
	uint32_t		exit_flags;	/* FW_EXIT_*, see firewall_exit_set() */
	uint8_t			steer_mac[6];
	struct firewall_ring	drops, flows;
	struct firewall_learned	*learned;
	uint32_t		learned_count;
	uint64_t		learned_lost;	/* found the table full */
	struct address		*addresses;	/* that the kernel knows as its own */
	uint8_t			addresses_count;
	struct firewall_entry	*next;		/* in its bucket */
};

struct knl_bpf;
struct knl_links;

#define FIREWALL_BUCKETS	4096

struct firewall {
	struct control		*control;
	struct knl_bpf		*bpf;		/* NULL: not loaded (yet) */
	struct knl_links	*links;
	sd_event_source		*link_events, *drop_events;
	char			fault[768];	/* why it cannot be loaded; empty: not tried */
	struct firewall_host	host;
	struct firewall_entry	*buckets[FIREWALL_BUCKETS];
	struct firewall_entry	*slots[FW_SLOTS_MAX];
	uint64_t		sequence;	/* of the last event */
	uint32_t		enforced, failed;
	uint32_t		load_ms;	/* how long the kernel took over the programs */
};

struct firewall_entry *firewall_find(const struct firewall *firewall, const uint8_t id[ID_LEN]);

/*
 * firewall_load(): programs and maps, where they are not loaded yet. 0, or a
 * negative errno with firewall->fault; -EOPNOTSUPP where it is switched off.
 */
int firewall_load(struct firewall *firewall);

/* Whether @container could be enforced; -1 with @fault, in words for people. */
int firewall_check(struct firewall *firewall, const struct container *container,
		   const struct firewall_rules *rules, struct container_fault *fault);

/* The container's, made where it is missing; NULL without memory. */
struct firewall_entry *firewall_entry_get(struct firewall *firewall, const uint8_t id[ID_LEN]);

/* Makes the kernel hold what model and rules say. Keeps the outcome in the entry. */
void firewall_apply(struct firewall *firewall, const struct container *container);
/* All whose rules name @container or its project; NULL: one that is gone. */
void firewall_apply_dependents(struct firewall *firewall, const struct container *container);
void firewall_apply_all(struct firewall *firewall);
/* The container is gone: nothing of it stays in the kernel. */
void firewall_withdraw(struct firewall *firewall, struct firewall_entry *entry);
/* What an earlier process left, once the model is loaded. */
void firewall_take_over(struct firewall *firewall);
/* The addresses of @container, as the kernel is to know them now. */
void firewall_members_set(struct firewall *firewall, const struct container *container);
void firewall_members_forget(struct firewall *firewall, struct firewall_entry *entry);
/*
 * firewall_store(): @rules (NULL: none) become the container's: checked, committed,
 * enforced. They are taken over. 0, or -1 with @fault and nothing changed.
 */
int firewall_store(struct firewall *firewall, const struct container *container,
		   struct firewall_rules *rules, struct container_fault *fault);

/*
 * firewall_exit_set(): where what the container opens leaves the host: FW_EXIT_* and
 * the MAC address of struct fw_header; 0 and NULL: directly. Holds for the images
 * made from now on, and is put in force at once where the container runs. 0, or
 * -errno: what held before holds on. Before firewall_load() it is remembered.
 */
int firewall_exit_set(struct firewall *firewall, const uint8_t id[ID_LEN], uint32_t flags,
		      const uint8_t *steer_mac);

/* Packets and bytes that the rule has decided about until now, all of the entry's at once. */
struct firewall_count {
	uint64_t packets, bytes;
};
/* An array by the rules' order, to free(); NULL without memory or rules. */
struct firewall_count *firewall_counts(struct firewall *firewall,
				       const struct firewall_entry *entry);

/* --- firewall_names.c --- */

bool firewall_has_names(const struct firewall_rules *rules);
/* The field "names" of a container in relay/policy.h. */
void firewall_names_to_json(const struct firewall_rules *rules, yyjson_mut_doc *document,
			    yyjson_mut_val *object);
/* What the relay has heard. 0, or as in struct relay_learn, or another negative errno. */
/* Addresses that no name may stand for: it would be a way to the host. */
bool firewall_names_forbid(const struct firewall *firewall, const struct address *address);
int firewall_names_learn(struct firewall *firewall, const struct relay_learn *learn);
/*
 * Around the commit of an image with other rules: the addresses are known under its
 * revision before, and under no other afterwards. 0 or a negative errno.
 */
int firewall_names_prepare(struct firewall *firewall, struct firewall_entry *entry,
			   uint32_t revision);
void firewall_names_settle(struct firewall *firewall, struct firewall_entry *entry,
			   uint32_t revision);
void firewall_names_clear(struct firewall_entry *entry);
void firewall_names_tick(struct firewall *firewall);
/* The rule about a name that opens this now, or NULL. */
const struct firewall_rule *firewall_names_find(const struct firewall_entry *entry,
						const struct address *address, uint8_t protocol,
						uint16_t port);

/* --- firewall_events.c --- */

int firewall_events_open(struct firewall *firewall);
/* The oldest remembered drop, or @flows: event, behind @sequence; NULL: none. */
const struct firewall_event *firewall_event_after(const struct firewall_entry *entry,
						  uint64_t sequence, bool flows);
yyjson_mut_val *firewall_event_to_json(const struct firewall_event *drop,
				       const uint8_t id[ID_LEN], yyjson_mut_doc *document);
/* What was learned, as rules of a set that would allow it. */
yyjson_mut_val *firewall_learned_to_json(const struct firewall_entry *entry,
					 yyjson_mut_doc *document);
void firewall_forget_learned(struct firewall_entry *entry);

#endif /* HOODY_CONTROL_FIREWALL_H */
