# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What root in a container may send, and as what it is dropped: the table of
# docs/firewall.md. Source it after tap.sh. A test has two functions of its own:
# "drops_of WHO REASON" counts, "bypass_send KIND" has bpf/raw.py send from inside.

# shellcheck disable=SC2034 # for whoever sources it
RAW=$TOP/selftests/bpf/raw.py

# shellcheck disable=SC2034
BYPASSES=(
	source_mac:source_mac
	source_ip:source_address
	source_ip6:source_address
	arp_claims_other:arp
	arp_other_mac:arp
	nd_claims_other:nd
	router_advertisement:rogue_ra
	dhcp_server:rogue_dhcp
	vlan:vlan
	qinq:vlan
	ethertype:ethertype
	ip_options:ip_options
	ip_in_ip:tunnel
	ip6_in_ip4:tunnel
	gre:tunnel
	multicast:multicast
	broadcast:multicast
	extension_header:extension_header
	routing_header:extension_header
	fragment_behind:fragment
	fragment_tiny:fragment
	stray_ack:no_flow
	icmp_redirect:icmp_type
)

bypass_is_counted() { [ "$(drops_of "$1" "$2")" -gt "$3" ]; } # WHO REASON BEFORE

# A veth delivers before sendmsg(2) returns or very soon after; a machine takes longer.
bypass() { # WHO KIND:REASON...
	local who=$1 pair before
	shift
	for pair; do
		before=$(drops_of "$who" "${pair#*:}")
		bypass_send "${pair%:*}"
		tap_run "bypass_${pair%:*}_is_dropped_as_${pair#*:}" tap_wait 60 bypass_is_counted "$who" "${pair#*:}" "$before"
	done
}
