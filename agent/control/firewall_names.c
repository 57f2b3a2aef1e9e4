// SPDX-License-Identifier: Apache-2.0
/*
 * Rules about names: what the relay's forwarder is told of them, and the addresses
 * that names stand for, as the forwarder has heard them. Addresses are written to
 * the kernel's table under the revision of the rules, before the container gets its
 * answer, and under the next revision before that is in force. See firewall.h.
 */
#include "control/firewall.h"
#include "kernel/bpf.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUCKETS		512
#define SECOND		1000000000ull
#define TTL_MAX		86400u

struct name_node {
	struct name_node	*next;
	struct address		address;
	uint64_t		expires;	/* ns, CLOCK_MONOTONIC */
	char			name[];
};

struct firewall_names {
	struct name_node	*buckets[BUCKETS];
	uint32_t		count;
	uint32_t		revision;	/* that the kernel has them under */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

bool firewall_has_names(const struct firewall_rules *rules)
{
	for (uint32_t i = 0; rules && i < rules->count; i++) {
		if (rules->rules[i].peer == FIREWALL_NAME)
			return true;
	}
	return false;
}

static uint8_t protocol_of(const struct firewall_rule *rule)
{
	static const uint8_t numbers[] = {
		[FW_ANY] = 0, [FW_TCP] = IPPROTO_TCP, [FW_UDP] = IPPROTO_UDP,
		[FW_ICMP] = IPPROTO_ICMP, [FW_ICMPV6] = IPPROTO_ICMPV6,
	};

	return numbers[rule->protocol];
}

/* What may be said where, see relay/policy.h. */
static void strict_to_json(const struct firewall_rules *rules, yyjson_mut_doc *document,
			   yyjson_mut_val *names)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, names, "strict");

	for (uint32_t i = 0; i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];
		yyjson_mut_val *opening;

		if (rule->peer != FIREWALL_NAME || rule->action != FW_ALLOW ||
		    rule->protocol == FW_ICMP || rule->protocol == FW_ICMPV6)
			continue;
		opening = yyjson_mut_arr_add_arr(document, list);
		yyjson_mut_arr_add_strcpy(document, opening, rule->name);
		yyjson_mut_arr_add_uint(document, opening, protocol_of(rule));
		yyjson_mut_arr_add_uint(document, opening, rule->port_first);
		yyjson_mut_arr_add_uint(document, opening, rule->port_last);
	}
}

void firewall_names_to_json(const struct firewall_rules *rules, yyjson_mut_doc *document,
			    yyjson_mut_val *object)
{
	yyjson_mut_val *names = yyjson_mut_obj_add_obj(document, object, "names");
	yyjson_mut_val *lists[] = {
		[FW_ALLOW] = yyjson_mut_obj_add_arr(document, names, "allow"),
		[FW_DENY] = yyjson_mut_obj_add_arr(document, names, "deny"),
	};

	if (rules->strict_names)
		strict_to_json(rules, document, names);
	yyjson_mut_obj_add_bool(document, names, "closed",
				rules->closed[FW_EGRESS] && !rules->learn);
	for (uint32_t i = 0; i < rules->count; i++) {
		if (rules->rules[i].peer == FIREWALL_NAME)
			yyjson_mut_arr_add_strcpy(document, lists[rules->rules[i].action],
						  rules->rules[i].name);
	}
}

static struct name_node **bucket(struct firewall_names *names, const struct address *address)
{
	return &names->buckets[address_hash(address) % BUCKETS];
}

static void key_of(const struct firewall_entry *entry, uint32_t revision,
		   const struct address *address, struct fw_name_key *key)
{
	const bool v4 = address->family == AF_INET;

	memset(key, 0, sizeof(*key));
	key->slot = entry->slot;
	key->revision = revision;
	key->family = v4 ? FW_V4 : FW_V6;
	memcpy(key->address, v4 ? (const void *)&address->v4 : (const void *)&address->v6,
	       v4 ? 4 : 16);
}

/* What the rules open for @name, into @value: an opening there is lives longer. */
static void add_openings(const struct firewall_rules *rules, const struct name_node *node,
			 struct fw_name *value)
{
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];
		uint64_t at = 0;

		if (rule->peer != FIREWALL_NAME || rule->action != FW_ALLOW ||
		    !name_matches(rule->name, node->name))
			continue;
		while (at < value->count && value->openings[at].rule != i)
			at++;
		if (at == FW_OPENINGS_MAX)
			return;
		if (at == value->count) {
			value->count++;
			value->openings[at] = (struct fw_opening){
				.port_first = rule->port_first, .port_last = rule->port_last,
				.protocol = protocol_of(rule),
				.rule = (uint16_t)i,
			};
		}
		if (value->openings[at].expires < node->expires)
			value->openings[at].expires = node->expires;
	}
}

/* Writes what all names of @address open under @revision. 0 or a negative errno. */
static int write_address(struct firewall *firewall, struct firewall_entry *entry,
			 const struct firewall_rules *rules, uint32_t revision,
			 const struct address *address)
{
	struct fw_name value = { 0 }, before;
	const struct name_node *node;
	struct fw_name_key key;

	for (node = *bucket(entry->names, address); node; node = node->next) {
		if (address_equal(&node->address, address))
			add_openings(rules, node, &value);
	}
	key_of(entry, entry->names->revision, address, &key);
	if (!knl_bpf_name_get(firewall->bpf, &key, &before))
		value.linger = before.linger;
	key.revision = revision;
	if (value.count)
		return knl_bpf_name_set(firewall->bpf, &key, &value);
	knl_bpf_name_delete(firewall->bpf, &key);
	return 0;
}

/* Takes out what is over, in the kernel too. */
static void forget_old(struct firewall *firewall, struct firewall_entry *entry)
{
	struct firewall_names *names = entry->names;
	const uint64_t now = now_ns();
	struct fw_name_key key;
	struct fw_name value;

	for (size_t i = 0; names && names->count && i < BUCKETS; i++) {
		struct name_node **link = &names->buckets[i];

		while (*link) {
			struct name_node *node = *link;

			key_of(entry, names->revision, &node->address, &key);
			if (now < node->expires || !firewall->bpf ||
			    (!knl_bpf_name_get(firewall->bpf, &key, &value) &&
			     now < value.linger)) {
				link = &node->next;
				continue;
			}
			*link = node->next;
			names->count--;
			free(node);
		}
	}
}

void firewall_names_tick(struct firewall *firewall)
{
	for (uint32_t slot = 1; slot < FW_SLOTS_MAX; slot++) {
		if (firewall->slots[slot])
			forget_old(firewall, firewall->slots[slot]);
	}
}

void firewall_names_clear(struct firewall_entry *entry)
{
	for (size_t i = 0; entry->names && i < BUCKETS; i++) {
		while (entry->names->buckets[i]) {
			struct name_node *node = entry->names->buckets[i];

			entry->names->buckets[i] = node->next;
			free(node);
		}
	}
	free(entry->names);
	entry->names = NULL;
}

int firewall_names_prepare(struct firewall *firewall, struct firewall_entry *entry,
			   uint32_t revision)
{
	struct firewall_names *names = entry->names;
	int ret = 0;

	if (!names || !entry->rules || names->revision == revision)
		return 0;
	for (size_t i = 0; i < BUCKETS && !ret; i++) {
		for (struct name_node *node = names->buckets[i]; node && !ret; node = node->next)
			ret = write_address(firewall, entry, entry->rules, revision,
					    &node->address);
	}
	return ret;
}

void firewall_names_settle(struct firewall *firewall, struct firewall_entry *entry,
			   uint32_t revision)
{
	struct firewall_names *names = entry->names;
	struct fw_name_key key;

	if (!names || names->revision == revision)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct name_node *node = names->buckets[i]; node; node = node->next) {
			key_of(entry, names->revision, &node->address, &key);
			knl_bpf_name_delete(firewall->bpf, &key);
		}
	}
	names->revision = revision;
}

static int keep_node(struct firewall_names *names, const char *name, const struct address *address,
		     uint64_t expires)
{
	struct name_node **head = bucket(names, address), *node;
	const size_t len = strlen(name) + 1;

	for (node = *head; node; node = node->next) {
		if (address_equal(&node->address, address) && !strcmp(node->name, name)) {
			if (node->expires < expires)
				node->expires = expires;
			return 0;
		}
	}
	if (names->count >= FIREWALL_NAMES_MAX)
		return -ENOSPC;
	node = malloc(sizeof(*node) + len);
	if (!node)
		return -ENOMEM;
	node->address = *address;
	node->expires = expires;
	memcpy(node->name, name, len);
	node->next = *head;
	*head = node;
	names->count++;
	return 0;
}

bool firewall_names_forbid(const struct firewall *firewall, const struct address *address)
{
	const bool v4 = address->family == AF_INET;
	const struct firewall_host *host = &firewall->host;
	struct fw_prefix prefix = { .family = v4 ? FW_V4 : FW_V6, .length = v4 ? 32 : 128 };

	memcpy(prefix.address, v4 ? (const void *)&address->v4 : (const void *)&address->v6,
	       v4 ? 4 : 16);
	for (uint32_t i = 0; i < host->count; i++) {
		if (!memcmp(&host->addresses[i], &prefix, sizeof(prefix)))
			return true;
	}
	for (uint32_t i = 0; i < fw_metadata_count; i++) {
		if (!memcmp(&fw_metadata[i], &prefix, sizeof(prefix)))
			return true;
	}
	return names_address_is_local(address) ||
	       model_find_address(firewall->control->model, address);
}

static bool is_allowed(const struct firewall_rules *rules, const char *name)
{
	bool allowed = !rules->closed[FW_EGRESS] || rules->learn;

	for (uint32_t i = 0; i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];

		if (rule->peer != FIREWALL_NAME || !name_matches(rule->name, name))
			continue;
		if (rule->action == FW_DENY)
			return false;
		allowed = true;
	}
	return allowed;
}

int firewall_names_learn(struct firewall *firewall, const struct relay_learn *learn)
{
	struct firewall_entry *entry = firewall_find(firewall, learn->id);
	const uint64_t ttl = learn->ttl < TTL_MAX ? learn->ttl : TTL_MAX;
	/* An answer is on its way for a while, and a connection is opened behind it. */
	const uint64_t grace = firewall->control->config->names_grace * (SECOND / 1000);
	int ret = 0;

	if (!entry || !firewall->bpf || !entry->slot)
		return -ENOENT;
	for (unsigned int i = 0; i < learn->count; i++) {
		if (firewall_names_forbid(firewall, &learn->addresses[i]))
			return -EPERM;
	}
	if (!firewall_has_names(entry->rules))
		return 0;
	if (!is_allowed(entry->rules, learn->name))
		return -EACCES;
	if (!entry->names) {
		entry->names = calloc(1, sizeof(*entry->names));
		if (!entry->names)
			return -ENOMEM;
		entry->names->revision = (uint32_t)(entry->generation >> 32);
	}
	if (entry->names->count + learn->count > FIREWALL_NAMES_MAX)
		forget_old(firewall, entry);
	for (unsigned int i = 0; i < learn->count && !ret; i++)
		ret = keep_node(entry->names, learn->name, &learn->addresses[i],
				now_ns() + ttl * SECOND + grace);
	for (unsigned int i = 0; i < learn->count && !ret; i++)
		ret = write_address(firewall, entry, entry->rules, entry->names->revision,
				    &learn->addresses[i]);
	if (ret)
		log_warning("addresses of a name cannot be allowed, it is not answered: error=\"%s\"",
			    strerror(-ret));
	return ret;
}

const struct firewall_rule *firewall_names_find(const struct firewall_entry *entry,
						const struct address *address, uint8_t protocol,
						uint16_t port)
{
	struct name_node *node = entry && entry->names ? *bucket(entry->names, address) : NULL;

	for (; node; node = node->next) {
		struct fw_name value = { 0 };

		if (!address_equal(&node->address, address) || now_ns() >= node->expires)
			continue;
		add_openings(entry->rules, node, &value);
		for (uint64_t i = 0; i < value.count; i++) {
			const struct fw_opening *opening = &value.openings[i];

			if ((!opening->protocol || opening->protocol == protocol) &&
			    port >= opening->port_first && port <= opening->port_last)
				return &entry->rules->rules[opening->rule];
		}
	}
	return NULL;
}
