#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What goes wrong on the way: a smaller path MTU behind a router, ICMP errors,
# ends of connections in every order, packets that are lost. Whatever happens,
# nothing of it may travel on to the client in whose name it is done.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

tap_plan 37
kmod_load
kmod_topology routed
kmod_server c1 8080
one() { agent "$BIN/realip_load" one "$@"; }

# c3 lives behind a router, whose link to it takes 1280 bytes; c3 itself believes
# in 1500 and says so (advmss), so only the router's errors tell. Towards 10.7.4.2
# and fd07:4::2 there is nothing.
for name in router c3; do
	ip netns add $name
	tap_cleanup "ip netns del $name"
	ip -n $name link set lo up
done
ip -n host link add vr type veth peer name north netns router
ip -n router link add south mtu 1280 type veth peer name eth0 mtu 1500 netns c3
on router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n host -batch - <<-BATCH
	addr add 10.9.0.1/30 dev vr
	addr add fd09::1/64 dev vr nodad
	link set vr up
	route add 10.7.3.2 via 10.9.0.2
	route add 10.7.4.2 via 10.9.0.2
	route add fd07:3::2 via fd09::2
	route add fd07:4::2 via fd09::2
BATCH
ip -n router -batch - <<-BATCH
	addr add 10.9.0.2/30 dev north
	addr add fd09::2/64 dev north nodad
	link set north up
	addr add 10.9.1.1/32 dev south
	addr add fd09:1::1/64 dev south nodad
	link set south up
	route add 10.7.3.2 dev south
	route add fd07:3::2 dev south
	route add default via 10.9.0.1
	route add default via fd09::1
	route add unreachable 10.7.4.2
	route add unreachable fd07:4::2
BATCH
ip -n c3 -batch - <<-BATCH
	addr add 10.7.3.2/32 dev eth0
	addr add fd07:3::2/128 dev eth0 nodad
	addr add fd09:1::2/64 dev eth0 nodad
	link set eth0 up
	route add 10.9.1.1 dev eth0
	route add default via 10.9.1.1 mtu lock 1280 advmss 1460
	route add default via fd09:1::1 mtu lock 1280 advmss 1440
BATCH
hoodynl batch <<-BATCH
	set c00000000000000000000003 $PROJECT 1 addr=10.7.3.2 addr=fd07:3::2 flags=1
	set c00000000000000000000004 $PROJECT 1 addr=10.7.4.2 addr=fd07:4::2 flags=1
BATCH
kmod_server c3 8080

foreign='(src net 10.7.0.0/16 or src net fd07::/16 or icmp or (icmp6 and ip6[40] < 128))'
capture_start client eth0 "$WORK/client" "inbound and $foreign"
client_capture=$capture_pid

big=(--up 2000000 --down 2000000)
icmp=$(stat_of realip_icmp)
tap_is mtu_small_transfer "$(one --client4 198.51.100.3 --client-port 3001 --dest4 10.7.3.2)" "ok 198.51.100.3 3001"
tap_is mtu_large_both_ways_v4 "$(one --client4 198.51.100.3 --client-port 3002 --dest4 10.7.3.2 "${big[@]}")" "ok 198.51.100.3 3002"
tap_run mtu_error_came_v4 test "$(stat_of realip_icmp)" -gt "$icmp"
icmp=$(stat_of realip_icmp)
tap_is mtu_large_both_ways_v6 "$(one --client6 2001:db8:c::3 --client-port 3003 --dest6 fd07:3::2 "${big[@]}")" "ok 2001:db8:c::3 3003"
tap_run mtu_error_came_v6 test "$(stat_of realip_icmp)" -gt "$icmp"
icmp=$(stat_of realip_icmp)
tap_is unreachable_v4_fails_at_once "$(one --client4 198.51.100.3 --client-port 3004 --dest4 10.7.4.2)" "connect: EHOSTUNREACH"
tap_like unreachable_v6_fails_at_once "$(one --client6 2001:db8:c::3 --client-port 3005 --dest6 fd07:4::2)" "^connect: E(HOST|NET)UNREACH"
tap_run unreachable_is_counted test "$(stat_of realip_icmp)" -ge "$((icmp + 2))"
tap_is refused_port_is_reported "$(one --client4 198.51.100.3 --dest4 "$C1" --port 9999)" "connect: ECONNREFUSED"
tap_is wire_of_the_client_is_clean_of_errors "$(cat "$WORK/client")" ""
{ kill $client_capture; wait $client_capture; } 2>/dev/null
# An error about a connection of the client's own is the client's.
icmp=$(stat_of realip_icmp)
tap_is error_of_the_client_itself_reaches_it "$(on client "$BIN/realip_load" plain 198.51.100.1 10.7.4.2 8080)" "connect: EHOSTUNREACH"
tap_is error_of_the_client_itself_is_not_counted "$(stat_of realip_icmp)" "$icmp"

# Ends in every order. Strays are allowed only after a reset of our own side, so
# those come last, on a capture of their own.
nsenter --net=/run/netns/c1 "$BIN/realip_wire" server 8090 >/dev/null 2>"$WORK/wire-server" &
server=$!
disown $server
tap_cleanup "kill $server"
tap_need 30 kmod_listens c1 8090
capture_start client eth0 "$WORK/client" "inbound and $foreign"
client_capture=$capture_pid
wire() { agent "$BIN/realip_wire" "$@" "$C1" 8090; }
wire6() { agent "$BIN/realip_wire" "$@" "$C1V6" 8090; }
port=4000
for case in client-closes-first container-closes-first container-resets container-resets-unread \
	client-half-closes container-half-closes both-close; do
	port=$((port + 1))
	tap_like "end_${case//-/_}_v4" "$(wire $case 198.51.100.4 $port)" ^ok
	tap_like "end_${case//-/_}_v6" "$(wire6 $case 2001:db8:c::4 $port)" ^ok
done
tap_need 30 eval '[ "$(grep -c "got 262144" "$WORK/wire-server")" = 2 ]'
tap_is end_half_closed_got_everything "$(grep -c 'got 262144' "$WORK/wire-server")" 2

# The container's FIN is repeated, because it never sees that it was received.
on c1 nft -f - <<RULES
table inet lost {
	chain input {
		type filter hook input priority 0;
		tcp dport 8090 tcp flags & (syn | fin | rst | psh) == 0 meta mark set 1 counter drop
	}
}
RULES
capture_start host vc1 "$WORK/vc1" "src host $C1 and dst port 4100 and tcp[tcpflags] & tcp-fin != 0"
fin_capture=$capture_pid
tap_like fin_repeated_ends "$(wire client-closes-first 198.51.100.4 4100)" ^ok
tap_run fin_repeated_in_time_wait tap_wait 30 eval '[ "$(wc -l <"$WORK/vc1")" -ge 3 ]'
on c1 nft delete table inet lost
last_ack() { on c1 ss -Htan state last-ack | grep -q 4100; }
tap_run fin_repeated_is_answered tap_wait 60 eval '! last_ack'
{ kill $fin_capture; wait $fin_capture; } 2>/dev/null

# A lost SYN, a lost SYN-ACK.
host nft -f - <<RULES
table inet lost {
	chain prerouting {
		type filter hook prerouting priority raw;
		iifname "vc1" tcp sport 8080 tcp flags & (syn | ack) == (syn | ack) tcp dport 4201 quota until 60 bytes counter drop
	}
	chain output {
		type filter hook output priority 0;
		tcp dport 8080 tcp flags & (syn | ack) == syn tcp sport 4200 quota until 60 bytes counter drop
	}
}
RULES
tap_is syn_lost "$(one --client4 198.51.100.4 --client-port 4200 --dest4 "$C1")" "ok 198.51.100.4 4200"
tap_is syn_ack_lost "$(one --client4 198.51.100.4 --client-port 4201 --dest4 "$C1")" "ok 198.51.100.4 4201"
tap_is syn_were_lost "$(host nft list table inet lost | grep -c 'counter packets 1 ')" 2
host nft delete table inet lost
tap_is wire_of_the_client_is_clean_of_ends "$(cat "$WORK/client")" ""
{ kill $client_capture; wait $client_capture; } 2>/dev/null
tap_like end_client_resets_v4 "$(wire client-resets 198.51.100.4 4301)" ^ok
tap_like end_client_resets_v6 "$(wire6 client-resets 2001:db8:c::4 4301)" ^ok
tap_need 30 eval '[ "$(stat_of realip_open)" = 0 ]'
tap_is gauge_falls_to_zero "$(stat_of realip_open)" 0
tap_done
