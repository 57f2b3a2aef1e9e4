// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall's texts: prefixes and ports as users write them, names of the
 * drop reasons, and the metadata addresses of the clouds.
 */
#include "firewall/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V4(a, b, c, d)		{ .family = FW_V4, .length = 32, .address = { a, b, c, d } }

const struct fw_prefix fw_metadata[] = {
	V4(169, 254, 169, 254),		/* nearly every cloud */
	V4(169, 254, 170, 2),		/* AWS, credentials of container tasks */
	V4(169, 254, 170, 23),		/* AWS, credentials of pods */
	V4(100, 100, 100, 200),		/* Alibaba Cloud */
	V4(168, 63, 129, 16),		/* Azure, the host's wire server */
	{ .family = FW_V6, .length = 128, .address = { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54 } },
	{ .family = FW_V6, .length = 128, .address = { 0xfd, 0, 0x0e, 0xc2, [15] = 0x23 } },
	{ .family = FW_V6, .length = 128, .address = { 0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54 } },
};
const uint32_t fw_metadata_count = sizeof(fw_metadata) / sizeof(fw_metadata[0]);

/* Decimal without sign, blanks or leading zeros, at most @limit; -1: not one. */
static long parse_number(const char *text, size_t len, long limit)
{
	long value = 0;
	size_t i;

	if (!len || len > 5 || (text[0] == '0' && len > 1))
		return -1;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value <= limit ? value : -1;
}

int fw_prefix_parse(const char *text, struct fw_prefix *prefix, const char **why)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct fw_prefix result = { 0 };
	unsigned int bit, whole;
	long length;

	*why = "is no address and no CIDR: write 192.0.2.0/24 or 2001:db8::/32";
	if (!len || len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, result.address) == 1)
		result.family = FW_V4;
	else if (inet_pton(AF_INET6, address, result.address) == 1)
		result.family = FW_V6;
	else
		return -EINVAL;
	whole = result.family == FW_V4 ? 32 : 128;
	length = slash ? parse_number(slash + 1, strlen(slash + 1), whole) : whole;
	if (length < 0) {
		*why = whole == 32 ? "has no prefix length from 0 to 32" :
				     "has no prefix length from 0 to 128";
		return -EINVAL;
	}
	result.length = (uint8_t)length;
	if (result.family == FW_V6 && length >= 96 && !memcmp(result.address, mapped, 12)) {
		*why = "is an IPv4-mapped IPv6 address, which no packet carries: write it as IPv4";
		return -EINVAL;
	}
	for (bit = (unsigned int)length; bit < whole; bit++) {
		if (result.address[bit / 8] >> (7 - bit % 8) & 1) {
			*why = "has bits set behind its prefix length";
			return -EINVAL;
		}
	}
	*prefix = result;
	return 0;
}

void fw_prefix_format(const struct fw_prefix *prefix, char text[FW_PREFIX_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(prefix->family == FW_V4 ? AF_INET : AF_INET6, prefix->address, address,
		  sizeof(address));
	snprintf(text, FW_PREFIX_TEXT_MAX, "%s/%u", address, prefix->length);
}

int fw_ports_parse(const char *text, uint16_t *first, uint16_t *last, const char **why)
{
	const char *dash = strchr(text, '-');
	const size_t len = dash ? (size_t)(dash - text) : strlen(text);
	const long low = parse_number(text, len, 65535);
	const long high = dash ? parse_number(dash + 1, strlen(dash + 1), 65535) : low;

	if (low < 1 || high < 1) {
		*why = "is no port and no range from 1 to 65535: write 443 or 8000-8080";
		return -EINVAL;
	}
	if (low > high) {
		*why = "is a range whose end lies before its start";
		return -EINVAL;
	}
	*first = (uint16_t)low;
	*last = (uint16_t)high;
	return 0;
}

static const struct {
	const char *name, *text;
} reasons[FW_REASONS] = {
	[FW_PASSED] = { "passed", "the packet passed" },
	[FW_DROP_NO_POLICY] = { "no_policy", "the interface belongs to no container with a policy" },
	[FW_DROP_MALFORMED] = { "malformed", "the packet is shorter than its headers say" },
	[FW_DROP_VLAN] = { "vlan", "the frame carries a VLAN tag" },
	[FW_DROP_ETHERTYPE] = { "ethertype", "the frame is neither IPv4, IPv6 nor ARP" },
	[FW_DROP_SOURCE_MAC] = { "source_mac", "the sender's MAC address is not the container's" },
	[FW_DROP_SOURCE_ADDRESS] = { "source_address",
				     "the source address is not one of the container's" },
	[FW_DROP_DESTINATION] = { "destination",
				  "the destination is not one of the container's addresses" },
	[FW_DROP_ARP] = { "arp", "the ARP packet claims an address of somebody else" },
	[FW_DROP_ND] = { "nd", "the neighbour discovery packet claims an address of somebody else" },
	[FW_DROP_ROGUE_RA] = { "rogue_ra",
			       "router advertisements and redirects may only come from the host" },
	[FW_DROP_ROGUE_DHCP] = { "rogue_dhcp", "a container may not be a DHCP server" },
	[FW_DROP_IP_OPTIONS] = { "ip_options", "the IPv4 header carries options" },
	[FW_DROP_EXTENSION_HEADER] = { "extension_header",
				       "the IPv6 packet carries an extension header" },
	[FW_DROP_FRAGMENT] = { "fragment", "the fragment is too small or its first one never passed" },
	[FW_DROP_TUNNEL] = { "tunnel", "tunnels of IP in IP, GRE and MPLS are never passed" },
	[FW_DROP_MULTICAST] = { "multicast", "multicast and broadcast are not passed" },
	[FW_DROP_ICMP_TYPE] = { "icmp_type",
				"the ICMP message is neither echo nor an error of a known flow" },
	[FW_DROP_NO_FLOW] = { "no_flow", "the packet belongs to no known connection and opens none" },
	[FW_DROP_NO_SOCKET] = { "no_socket", "the agent's end of this connection is gone" },
	[FW_DROP_RULE] = { "rule", "a deny rule matches" },
	[FW_DROP_DEFAULT] = { "default", "no rule allows it" },
	[FW_DROP_POLICY_CHANGED] = { "policy_changed", "the policy no longer allows this connection" },
	[FW_DROP_FLOW_QUOTA] = { "flow_quota", "the container has as many connections as it may" },
	[FW_DROP_FLOW_TABLE] = { "flow_table", "the host's flow table is full" },
	[FW_DROP_LAYOUT] = { "layout", "the policy image contradicts itself: please report this" },
	[FW_DROP_EXIT_BLOCKED] = { "exit_blocked", "the container's exit is \"block\"" },
	[FW_DROP_EXIT_DOWN] = { "exit_down", "the relay of the container's exit is not running" },
	[FW_DROP_EXIT_PROTOCOL] = { "exit_protocol",
				    "neither the container's exit nor the check of names carries this protocol or fragments" },
	[FW_DROP_CONTAINER] = { "container", "no rule opens the way between these containers" },
	[FW_TOLD_LEARNED] = { "learned", "passed while learning: no rule allows it" },
	[FW_TOLD_FLOW] = { "flow", "passed: the first packet of a flow" },
};

const char *fw_reason_name(uint32_t reason)
{
	return reason < FW_REASONS ? reasons[reason].name : "unknown";
}

const char *fw_reason_text(uint32_t reason)
{
	return reason < FW_REASONS ? reasons[reason].text : "a reason of a newer version";
}
