#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers at isolated ports of a bridge, and clients that are containers of
# the same host, in both topologies; the bridge also with br_netfilter, which
# shows bridged packets to netfilter before they are in IP.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

tap_plan 30
kmod_load
one() { agent "$BIN/realip_load" one "$@"; }

# The wires: what is addressed to a client may not travel on to it.
watch_wires() {
	capture_start c2 eth0 "$WORK/c2" "inbound and tcp and dst port 5151"
	watch_c2=$capture_pid
	capture_start client eth0 "$WORK/client" "inbound and tcp and dst port 5151"
}
unwatch_wires() {
	{ kill $watch_c2 $capture_pid; wait $watch_c2 $capture_pid; } 2>/dev/null
}

topology() { # NAME
	kmod_server c1 8080
	kmod_server c2 8080
	watch_wires
	tap_is "$1_client_v4" "$(one --client4 198.51.100.5 --client-port 5151 --dest4 "$C1")" "ok 198.51.100.5 5151"
	tap_is "$1_client_v6" "$(one --client6 2001:db8:c::5 --client-port 5151 --dest6 "$C1V6")" "ok 2001:db8:c::5 5151"
	tap_is "$1_client_is_a_container_v4" "$(one --client4 "$C2" --client-port 5151 --dest4 "$C1")" "ok $C2 5151"
	tap_is "$1_client_is_a_container_v6" "$(one --client6 "$C2V6" --client-port 5151 --dest6 "$C1V6")" "ok $C2V6 5151"
	tap_is "$1_client_is_the_container_v4" "$(one --client4 "$C1" --client-port 5151 --dest4 "$C1")" "option: EADDRNOTAVAIL"
	tap_is "$1_client_is_the_container_v6" "$(one --client6 "$C1V6" --client-port 5151 --dest6 "$C1V6")" "option: EADDRNOTAVAIL"
	unwatch_wires
	tap_is "$1_nothing_reaches_the_clients" "$(cat "$WORK/c2" "$WORK/client")" ""
	tap_run "$1_load_between_containers" agent "$BIN/realip_load" load --client4 "$C2" --client6 "$C2V6" \
		--dest4 "$C1" --dest6 "$C1V6" --requests 200 --parallel 16
}

# What a container opens itself is its own affair, also from its service's port.
kmod_topology routed
topology routed
kmod_server client 9000
tap_like routed_container_reaches_clients "$(on c1 "$BIN/realip_load" plain - 198.51.100.1 9000)" "^ok $C1 "
one --client4 198.51.100.1 --client-port 9000 --dest4 "$C1" >/dev/null
one --client6 2001:db8:c::1 --client-port 9000 --dest6 "$C1V6" >/dev/null
tap_like routed_container_reaches_clients_after "$(on c1 "$BIN/realip_load" plain - 198.51.100.1 9000)" "^ok $C1 "
# The very pair of a connection that is in TIME_WAIT at the host: the container's
# SYN goes to its client, not to a listener of the host.
# Says nothing to a request.
nsenter --net=/run/netns/host "$BIN/realip_wire" server 9000 >/dev/null 2>&1 &
listener=$!
disown $listener
tap_cleanup "kill $listener"
tap_need 30 kmod_listens host 9000
tap_is routed_container_reuses_a_pair "$(on c1 "$BIN/realip_load" plain "$C1" 198.51.100.1 9000 8080)" "ok $C1 8080"
tap_is routed_container_reuses_a_pair_v6 "$(on c1 "$BIN/realip_load" plain "$C1V6" 2001:db8:c::1 9000 8080)" "ok $C1V6 8080"
kmod_undo

kmod_topology bridge
topology bridge

modprobe br_netfilter
host sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
before=$(stat_of realip_bridged)
topology br_netfilter
tap_run br_netfilter_was_in_the_way test "$(stat_of realip_bridged)" -gt "$before"
host sysctl -qw net.ipv4.ip_early_demux=0 net.ipv4.tcp_early_demux=0
host nft -f - <<RULES
table inet firewall {
	chain input {
		type filter hook input priority 0; policy drop;
		iif lo accept
		meta l4proto ipv6-icmp accept
		ct state established,related accept
	}
}
RULES
tap_run br_netfilter_early_demux_off_and_firewall agent "$BIN/realip_load" load --client4 "$C2" --clients4 1 \
	--dest4 "$C1" --client6 "$C2V6" --dest6 "$C1V6" --requests 200 --parallel 16
tap_done
