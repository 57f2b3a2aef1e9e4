// SPDX-License-Identifier: Apache-2.0
/*
 * What the firewall dropped, and which flows it let in where that is asked for, as
 * events out of the kernel: the last ones of each container are remembered, and what
 * passes only while learning is gathered by destination. All of it is bounded; what
 * is left out is counted. See firewall.h.
 */
#include "control/firewall.h"
#include "kernel/bpf.h"
#include "lib/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

/* From the clock of the event (CLOCK_MONOTONIC) to that of people. */
static int64_t wall_ms(uint64_t monotonic_ns)
{
	struct timespec wall, monotonic;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000 -
	       ((int64_t)monotonic.tv_sec * 1000 + monotonic.tv_nsec / 1000000 -
		(int64_t)(monotonic_ns / 1000000));
}

static bool has_ports(const struct fw_event *event)
{
	return event->protocol == IPPROTO_TCP || event->protocol == IPPROTO_UDP;
}

static void learn(struct firewall_entry *entry, const struct fw_event *event)
{
	struct firewall_learned key = {
		.direction = event->direction, .family = event->family == 4 ? FW_V4 : FW_V6,
		.protocol = event->protocol,
	};

	if (has_ports(event))
		key.port = ntohs(event->direction == FW_EGRESS ? event->remote_port :
								 event->local_port);
	memcpy(key.address, event->remote, sizeof(key.address));
	if (!entry->learned)
		entry->learned = calloc(FIREWALL_LEARNED_MAX, sizeof(*entry->learned));
	for (uint32_t i = 0; entry->learned && i < entry->learned_count; i++) {
		struct firewall_learned *known = &entry->learned[i];

		key.packets = known->packets;
		if (memcmp(&key, known, sizeof(key)))
			continue;
		known->packets++;
		return;
	}
	if (!entry->learned || entry->learned_count == FIREWALL_LEARNED_MAX) {
		entry->learned_lost++;
		return;
	}
	key.packets = 1;
	entry->learned[entry->learned_count++] = key;
}

static void remember(struct firewall *firewall, struct firewall_entry *entry,
		     const struct fw_event *event)
{
	struct firewall_ring *ring = event->reason == FW_TOLD_FLOW ? &entry->flows : &entry->drops;
	struct firewall_event *drop;

	if (!ring->events)
		ring->events = calloc(FIREWALL_EVENTS_MAX, sizeof(*ring->events));
	if (!ring->events)
		return;
	drop = &ring->events[ring->total++ % FIREWALL_EVENTS_MAX];
	*drop = (struct firewall_event){
		.sequence = ++firewall->sequence, .time_ms = wall_ms(event->time),
		.event = *event,
	};
	/* Of the image that dropped it, unless that has been replaced meanwhile. */
	if (event->generation == entry->generation && event->rule < entry->image_count)
		drop->rule_id = entry->image_ids[event->rule];
}

static void on_event(void *context, const struct fw_event *event)
{
	struct firewall *firewall = context;
	struct firewall_entry *entry;

	if (event->slot >= FW_SLOTS_MAX || !firewall->slots[event->slot])
		return;
	entry = firewall->slots[event->slot];
	if (event->reason == FW_TOLD_LEARNED)
		learn(entry, event);
	remember(firewall, entry, event);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct firewall *firewall = context;

	knl_bpf_events_read(firewall->bpf);
	return 0;
}

int firewall_events_open(struct firewall *firewall)
{
	const int fd = knl_bpf_events_open(firewall->bpf, on_event, firewall);
	int ret;

	if (fd < 0)
		return fd;
	ret = sd_event_add_io(firewall->control->event, &firewall->drop_events, fd, EPOLLIN,
			      on_readable, firewall);
	return ret < 0 ? ret : 0;
}

static const struct firewall_event *ring_after(const struct firewall_ring *ring, uint64_t sequence)
{
	const uint64_t first = ring->total > FIREWALL_EVENTS_MAX ?
				       ring->total - FIREWALL_EVENTS_MAX : 0;

	for (uint64_t i = first; ring->events && i < ring->total; i++) {
		const struct firewall_event *event = &ring->events[i % FIREWALL_EVENTS_MAX];

		if (event->sequence > sequence)
			return event;
	}
	return NULL;
}

const struct firewall_event *firewall_event_after(const struct firewall_entry *entry,
						  uint64_t sequence, bool flows)
{
	const struct firewall_event *drop = ring_after(&entry->drops, sequence);
	const struct firewall_event *flow = flows ? ring_after(&entry->flows, sequence) : NULL;

	if (!drop || !flow)
		return drop ? drop : flow;
	return drop->sequence < flow->sequence ? drop : flow;
}

static void add_time(yyjson_mut_doc *document, yyjson_mut_val *object, int64_t time_ms)
{
	char text[32], whole[48];
	const size_t seconds = sizeof("2026-01-01T00:00:00") - 1;

	container_format_time(time_ms / 1000, text);
	snprintf(whole, sizeof(whole), "%.*s.%03dZ", (int)seconds, text, (int)(time_ms % 1000));
	yyjson_mut_obj_add_strcpy(document, object, "time", whole);
}

static void add_address(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
			uint8_t family, const uint8_t *address)
{
	char text[INET6_ADDRSTRLEN];

	if (family && inet_ntop(family == 4 ? AF_INET : AF_INET6, address, text, sizeof(text)))
		yyjson_mut_obj_add_strcpy(document, object, name, text);
	else
		yyjson_mut_obj_add_null(document, object, name);
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	}
	return NULL;
}

static void add_protocol(yyjson_mut_doc *document, yyjson_mut_val *object, uint8_t protocol)
{
	const char *name = protocol_name(protocol);

	if (name)
		yyjson_mut_obj_add_str(document, object, "protocol", name);
	else
		yyjson_mut_obj_add_uint(document, object, "protocol", protocol);
}

static const char *event_name(uint8_t reason)
{
	return reason == FW_TOLD_LEARNED ? "firewall_learned" :
	       reason == FW_TOLD_FLOW ? "firewall_flow" : "firewall_drop";
}

static void add_reason(yyjson_mut_doc *document, yyjson_mut_val *object,
		       const struct fw_event *event)
{
	static const char *const openers[FW_FLOW_CLASSES] = { "container", "outside", "agent" };

	if (event->reason == FW_TOLD_FLOW) {
		if (event->opener < FW_FLOW_CLASSES)
			yyjson_mut_obj_add_str(document, object, "opened_by",
					       openers[event->opener]);
		return;
	}
	yyjson_mut_obj_add_str(document, object, "reason", fw_reason_name(event->reason));
	yyjson_mut_obj_add_uint(document, object, "reason_number", event->reason);
	yyjson_mut_obj_add_str(document, object, "text", fw_reason_text(event->reason));
}

yyjson_mut_val *firewall_event_to_json(const struct firewall_event *drop,
				       const uint8_t id[ID_LEN], yyjson_mut_doc *document)
{
	const struct fw_event *event = &drop->event;
	const bool out = event->direction == FW_EGRESS;
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char text[ID_TEXT_LEN + 1];

	id_format(id, text);
	yyjson_mut_obj_add_uint(document, object, "sequence", drop->sequence);
	add_time(document, object, drop->time_ms);
	yyjson_mut_obj_add_str(document, object, "event", event_name(event->reason));
	yyjson_mut_obj_add_strcpy(document, object, "container", text);
	yyjson_mut_obj_add_str(document, object, "direction",
			       firewall_directions[out ? FW_EGRESS : FW_INGRESS]);
	add_reason(document, object, event);
	if (drop->rule_id)
		yyjson_mut_obj_add_uint(document, object, "rule", drop->rule_id);
	else
		yyjson_mut_obj_add_null(document, object, "rule");
	if (event->family)
		add_protocol(document, object, event->protocol);
	else
		yyjson_mut_obj_add_uint(document, object, "ethertype", ntohs(event->ethertype));
	add_address(document, object, "source", event->family,
		    out ? event->local : event->remote);
	add_address(document, object, "destination", event->family,
		    out ? event->remote : event->local);
	if (has_ports(event)) {
		yyjson_mut_obj_add_uint(document, object, "source_port",
					ntohs(out ? event->local_port : event->remote_port));
		yyjson_mut_obj_add_uint(document, object, "destination_port",
					ntohs(out ? event->remote_port : event->local_port));
	}
	yyjson_mut_obj_add_uint(document, object, "length", event->length);
	return object;
}

yyjson_mut_val *firewall_learned_to_json(const struct firewall_entry *entry,
					 yyjson_mut_doc *document)
{
	yyjson_mut_val *list = yyjson_mut_arr(document);

	for (uint32_t i = 0; i < entry->learned_count; i++) {
		const struct firewall_learned *learned = &entry->learned[i];
		const char *protocol = protocol_name(learned->protocol);
		yyjson_mut_val *rule = yyjson_mut_arr_add_obj(document, list);
		struct fw_prefix prefix = {
			.family = learned->family, .length = learned->family == FW_V4 ? 32 : 128,
		};
		char text[FW_PREFIX_TEXT_MAX];

		memcpy(prefix.address, learned->address, sizeof(prefix.address));
		fw_prefix_format(&prefix, text);
		yyjson_mut_obj_add_str(document, rule, "direction",
				       firewall_directions[learned->direction]);
		yyjson_mut_obj_add_str(document, rule, "action", "allow");
		/* Others have no name in rules: "any" is the least that covers them. */
		yyjson_mut_obj_add_str(document, rule, "protocol", protocol ? protocol : "any");
		yyjson_mut_obj_add_strcpy(document, rule, learned->direction == FW_EGRESS ?
					  "destination" : "source", text);
		if (learned->port)
			yyjson_mut_obj_add_uint(document, rule, "destination_port", learned->port);
		yyjson_mut_obj_add_str(document, rule, "description", "learned");
		yyjson_mut_obj_add_uint(document, rule, "packets", learned->packets);
	}
	return list;
}

void firewall_forget_learned(struct firewall_entry *entry)
{
	free(entry->learned);
	entry->learned = NULL;
	entry->learned_count = 0;
	entry->learned_lost = 0;
}
