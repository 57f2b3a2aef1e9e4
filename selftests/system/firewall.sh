#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The firewall around real containers, a routed one and one on a bridge, beside
# real client addresses: the documented commands, root inside that tries to get
# round, connections of the proxy under default deny, and what a container still
# sends on a connection whose socket is gone.
# shellcheck disable=SC2317,SC2153
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"
# shellcheck source=../lib/bypass.sh
. "$TOP/selftests/lib/bypass.sh"
FIREWALL=auto

ROUTED=890abcdef12345678901cdef BRIDGED=890abcdef12345678901cde0
tap_plan 36

inside() { lxc-attach -n "$1" -- "${@:2}"; }
# talk CONTAINER HOST PORT: whether a server of the client's side answers.
talk() { inside "$1" curl -s --max-time 30 -o /dev/null "http://$2:$3/"; }
dead() { ! inside "$1" curl -s --max-time 1 -o /dev/null "http://$2:$3/"; }
drops_of() { hoody firewall show -c "$1" --json | jq -r ".drops.$2 // 0"; }

system_client_net "$CLIENT4" 203.0.113.51 "$CLIENT6"
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
system_module
system_config
system_agent
system_bridge
for port in 80 443; do
	in_client python3 -m http.server --bind :: $port >"$WORK/server.$port" 2>&1 &
	tap_cleanup "kill $!"
	tap_up ::1/$port "$WORK/server.$port" in_client
done
SERVER=$(nginx_server 'location / { return 200 "Your IP: $remote_addr\n"; }')
HOOK_SETTINGS="forward = yes" container web "$ROUTED" routed 2 "$SERVER" || tap_bail "no routed container"
container files "$BRIDGED" bridge 3 "$SERVER" || tap_bail "no bridged container"
container_ready web || tap_bail "web does not serve"
container_ready files || tap_bail "files does not serve"

# What is open is open to the world, not to the neighbours.
tap_run open_neighbours_are_apart dead web 10.80.1.3 8080
for pair in "web $ROUTED" "files $BRIDGED"; do
	read -r name id <<<"$pair"
	tap_is "open_$name"_is_enforced "$(hoody firewall show -c "$id" --json | jq -r .state)" enforced
	tap_run "open_$name"_reaches_out talk "$name" $CLIENT4 443
	tap_run "reset_$name" hoody firewall reset -c "$id"
	tap_run "reset_$name"_denies dead "$name" $CLIENT4 443
	tap_run "reset_$name"_denies_v6 dead "$name" "[$CLIENT6]" 443
	tap_run "rule_$name" hoody firewall egress create -c "$id" --action allow --protocol tcp \
		--destination-port 443 --destination $CLIENT4/32 --description "Allow Stripe API"
	tap_run "rule_$name"_opens talk "$name" $CLIENT4 443
	tap_run "rule_$name"_opens_no_more dead "$name" $CLIENT4 80
done
tap_like real_ip_holds_under_default_deny "$(fetch --interface $CLIENT4 "$(host_of $ROUTED)" / 2>&1)" "Your IP: (::ffff:)?$CLIENT4\$"
tap_like real_ip_holds_in_ipv6 "$(fetch -6 --interface $CLIENT6 "$(host_of $ROUTED)" / 2>&1)" "Your IP: $CLIENT6\$"
tap_like real_ip_holds_on_a_bridge "$(fetch --interface $CLIENT4 "$(host_of $BRIDGED)" / 2>&1)" "Your IP: $CLIENT4\$"
tap_run neighbours_are_apart dead web 10.80.1.3 8080

# Root inside, with frames of its own making.
own_mac=$(inside web cat /sys/class/net/eth0/address)
own4=$(inside web ip -4 -o addr show dev eth0 | grep -oE '10\.[0-9.]+' | head -n 1)
netdev=$(hoody containers show $ROUTED --json | jq -r .netdev)
bypass_send() { inside web python3 - eth0 "$1" "$own_mac" "$(cat "/sys/class/net/$netdev/address")" "$own4" $CLIENT4 fd80::2 $CLIENT6 <"$RAW"; }
# One of each kind: beside a namespace, a container that lxc made.
bypass $ROUTED source_mac:source_mac source_ip:source_address arp_claims_other:arp router_advertisement:rogue_ra \
	vlan:vlan ip_options:ip_options gre:tunnel fragment_behind:fragment stray_ack:no_flow

# A connection in the client's name, whose socket ends; then the container goes on.
fetch --interface $CLIENT4 "$(host_of $ROUTED)" / >/dev/null
peer() { inside web ss -Htn state established "( sport = :8080 )" | grep -oE "$CLIENT4\]?:[0-9]+" | grep -oE '[0-9]+$' | head -n 1; }
tap_need 60 peer
port=$(peer)
in_client nft "add table inet watch; add chain inet watch in { type filter hook prerouting priority -300; }; add rule inet watch in ip saddr $own4 tcp dport ${port:-1} counter"
[ -n "$port" ] || tap_bail "the agent keeps no connection to the container"
# Nothing is to remember the end of the connection: what TIME_WAIT takes in is no stray.
tap_cleanup sysctl -qw "net.ipv4.tcp_max_tw_buckets=$(sysctl -n net.ipv4.tcp_max_tw_buckets)"
sysctl -qw net.ipv4.tcp_max_tw_buckets=0
kill -KILL "$(hoody status --json | jq -r .worker.pid)"
dropped() { echo $(($(drops_of $ROUTED no_socket) + $(drops_of $ROUTED no_flow))); }
strays() {
	inside web python3 - "$own_mac" "$(cat "/sys/class/net/$netdev/address")" "$own4" $CLIENT4 "${port:-1}" <<'PY'
import socket, struct, sys
own, peer = (bytes.fromhex(m.replace(":", "")) for m in sys.argv[1:3])
local, remote = (socket.inet_aton(a) for a in sys.argv[3:5])
tcp = struct.pack("!HHIIBBHHH", 8080, int(sys.argv[5]), 1, 1, 0x50, 16, 1024, 0, 0)
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, local, remote)
total = sum(struct.unpack("!10H", ip))
total = (total & 0xFFFF) + (total >> 16)
ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for i in range(5):
    s.send(peer + own + b"\x08\0" + ip + tcp)
PY
}
# Until both sides have ended it, the host's own socket may still take them.
stopped() {
	local before
	before=$(dropped)
	strays
	[ $(($(dropped) - before)) -ge 5 ]
}
tap_run stray_packets_stop_at_the_firewall tap_wait 60 stopped
tap_like stray_packets_never_reach_the_client "$(in_client nft list chain inet watch in)" "dport ${port:-none} counter packets 0 "

{ kill -KILL "$AGENT"; wait "$AGENT"; } 2>/dev/null
tap_need 60 eval "! kill -0 $AGENT 2>/dev/null"
tap_run killed_still_allows talk web $CLIENT4 443
tap_run killed_still_denies dead web $CLIENT4 80
system_agent
tap_is killed_is_taken_over "$(hoody firewall show -c $ROUTED --json | jq -r .state)" enforced
lxc-stop -k -n web
idle() { [ "$(hoody firewall show -c $ROUTED --json | jq -r .state)" = idle ]; }
tap_run stopped_is_let_go tap_wait 60 idle
tap_done
