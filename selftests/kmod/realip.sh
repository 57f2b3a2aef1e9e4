#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The real client IP with everything that a host may have set: many clients,
# ports kept and taken, early demultiplexing off, strict rp_filter, routes that
# come and go, a firewall that drops by default, connection tracking, and
# another program with transparent sockets.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

tap_plan 37
kmod_load
kmod_topology routed
kmod_server c1 8080
kmod_server c2 8080

# All 80 clients, in random order, on kept-alive and fresh connections.
clients=(--client4 198.51.100.1 --clients4 64 --client6 2001:db8:c::1 --clients6 16 --dest4 "$C1" --dest6 "$C1V6")
load() { agent "$BIN/realip_load" load "${clients[@]}" "$@"; }
# agent's background process: a shell around the program.
release() { { pkill -P "$1"; wait "$1"; } 2>/dev/null; }
one() { agent "$BIN/realip_load" one "$@"; }

tap_run clients_80_random_order load --requests 4000 --parallel 32 --seed $RANDOM
tap_run clients_80_fresh_connections load --requests 1000 --fresh 100 --seed $RANDOM
tap_is nothing_was_denied "$(stat_of realip_denied) $(stat_of realip_failed)" "0 0"
tap_need 30 eval '[ "$(stat_of realip_open)" = 0 ]'
tap_is gauge_falls_to_zero "$(stat_of realip_open)" 0

# Ports.
tap_is port_kept_v4 "$(one --client4 198.51.100.7 --client-port 50007 --dest4 "$C1")" "ok 198.51.100.7 50007"
tap_is port_kept_v6 "$(one --client6 2001:db8:c::7 --client-port 50007 --dest6 "$C1V6")" "ok 2001:db8:c::7 50007"
agent "$BIN/realip_load" one --client4 198.51.100.8 --client-port 50008 --dest4 "$C1" --hold >"$WORK/held" &
HELD=$!
tap_need 30 grep -q ok "$WORK/held"
tap_is port_of_held "$(cat "$WORK/held")" "ok 198.51.100.8 50008"
tap_like port_taken_gets_another "$(one --client4 198.51.100.8 --client-port 50008 --dest4 "$C1" | grep -v ' 50008$')" '^ok 198.51.100.8 [0-9]+$'
tap_is port_kept_towards_another_container "$(one --client4 198.51.100.8 --client-port 50008 --dest4 "$C2")" "ok 198.51.100.8 50008"
release $HELD
# The pair of a connection that is over is the same client's again, unless the
# container, whose server stands still here, has not closed its half yet.
end_of() { ! on c1 ss -Htn "sport = :8080 and dport = :$1" | grep -q .; }
half_of() { on c1 ss -Htn state close-wait "sport = :8080 and dport = :$1" | grep -q .; }
server=$(on c1 ss -Hltnp 'sport = :8080' | grep -oP 'pid=\K[0-9]+')
for six in "" V6; do
	same=(--client4 198.51.100.8 --client-port 1008 --dest4 "$C1")
	[ -z "$six" ] || same=(--client6 2001:db8:c::8 --client-port 1008 --dest6 "$C1V6")
	one "${same[@]}" >/dev/null
	tap_need 30 end_of 1008
	tap_like "pair_of_the_past_is_kept$six" "$(one "${same[@]}")" '^ok .*8 1008$'
	tap_need 30 end_of 1008
	agent "$BIN/realip_load" one "${same[@]}" --hold >"$WORK/half" &
	HELD=$!
	tap_need 30 grep -q ok "$WORK/half"
	kill -STOP "$server"
	release $HELD
	tap_need 30 half_of 1008
	agent "$BIN/realip_load" one "${same[@]}" >"$WORK/again" 2>&1 &
	AGAIN=$!
	again() { on c1 ss -Htn state established 'sport = :8080' | grep -q . || [ -s "$WORK/again" ]; }
	tap_need 30 again
	kill -CONT "$server"
	wait $AGAIN
	tap_like "half_closed_pair_gets_another_port$six" "$(grep -v ' 1008$' "$WORK/again")" '^ok .*8 [0-9]+$'
	tap_need 30 end_of 1008
done
tap_like any_port_does_not_keep "$(one --client4 198.51.100.9 --client-port 9 --any-port --dest4 "$C1")" '^ok 198.51.100.9 [0-9]{5}$'

# 500 connections of one client at once, then what they leave to the host itself.
host sysctl -qw net.ipv4.ip_local_port_range="40000 40063"
agent "$BIN/realip_load" load --client4 198.51.100.20 --dest4 "$C1" --requests 500 --parallel 100 --fresh 100 --hold >"$WORK/many" 2>&1 &
MANY=$!
tap_need 60 grep -q done= "$WORK/many"
tap_like client_500_connections "$(cat "$WORK/many")" 'done=500 wrong=0 failed=0 opened=500'
tap_is client_500_are_open "$(stat_of realip_open)" 500
release $MANY
# Every ephemeral port of the host is some client's own port.
agent "$BIN/realip_load" load --client4 198.51.100.31 --clients4 2 --client-port 40000 --ports 64 --dest4 "$C1" \
	--requests 128 --parallel 64 --fresh 100 --hold >"$WORK/ports" 2>&1 &
MANY=$!
tap_need 60 grep -q done= "$WORK/ports"
tap_like ephemeral_ports_all_kept "$(cat "$WORK/ports")" 'done=128 wrong=0 failed=0 .* kept=128'
tap_like ephemeral_ports_left_to_the_host "$(host "$BIN/realip_load" plain - "$C1" 8080)" '^ok 10.7.0.1 '
tap_like ephemeral_ports_left_to_another_client "$(one --client4 198.51.100.33 --any-port --dest4 "$C1")" '^ok 198.51.100.33 4'
release $MANY
host sysctl -qw net.ipv4.ip_local_port_range="32768 60999"

# The container itself talks to the same client, at the same port.
kmod_server client 9000
on c1 "$BIN/realip_load" plain - 198.51.100.40 9000 >/dev/null || tap_note "the container does not reach its client"
(on c1 "$BIN/realip_load" load 2>/dev/null; for i in $(seq 20); do on c1 "$BIN/realip_load" plain - 198.51.100.40 9000; done) >"$WORK/outgoing" &
OUT=$!
tap_run container_and_agent_to_the_same_client agent "$BIN/realip_load" load --client4 198.51.100.40 --client-port 9000 --dest4 "$C1" --requests 200 --parallel 1 --fresh 10
wait $OUT
tap_is container_reaches_its_client "$(grep -c '^ok 10.7.1.2 ' "$WORK/outgoing")" 20

# Even from its service's port, which makes the very pair that a connection of
# that client's would have: the container's own one goes on, ours is told.
cat >"$WORK/own.py" <<'PYTHON'
import socket, sys, time, os
source, destination, folder = sys.argv[1:]
slow = int(os.environ.get("HOODY_SLOW", 1))
end = time.monotonic() + 120 * slow
own = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
own.settimeout(60 * slow)
own.bind((source, 8080))
own.connect((destination, 9001))
own.sendall(b"before\n")
print(own.recv(100).decode().strip(), flush=True)
while not os.path.exists(folder + "/go") and time.monotonic() < end:
    time.sleep(0.05)
own.sendall(b"after\n")
print(own.recv(100).decode().strip(), flush=True)
PYTHON
for six in "" V6; do
	source=C1$six client=198.51.100.41 family=4
	[ -z "$six" ] || { client=2001:db8:c::1 family=6; }
	nsenter --net=/run/netns/client socat "TCP$family-LISTEN:9001,reuseaddr,bind=${six:+[}$client${six:+]}" EXEC:cat &
	tap_need 30 eval "nsenter --net=/run/netns/client ss -Hltn | grep -q :9001"
	rm -f "$WORK/go"
	on c1 python3 "$WORK/own.py" "${!source}" "$client" "$WORK" >"$WORK/own" 2>&1 &
	OWN=$!
	tap_need 60 grep -q before "$WORK/own"
	before=$(stat_of realip_pair_taken)
	tap_is "pair_of_the_container_is_told$six" "$(one "--client$family" "$client" --client-port 9001 "--dest$family" "${!source}")" "connect: EADDRINUSE"
	tap_like "any_port_instead$six" "$(one "--client$family" "$client" --any-port "--dest$family" "${!source}")" "^ok $client "
	touch "$WORK/go"
	wait $OWN
	tap_is "connection_of_the_container_goes_on$six" "$(tr '\n' ' ' <"$WORK/own")" "before after "
	tap_run "pair_taken_is_counted$six" test "$(stat_of realip_pair_taken)" -gt "$before"
done

# What a host may have set.
host sysctl -qw net.ipv4.ip_early_demux=0 net.ipv4.tcp_early_demux=0
tap_run early_demux_off load --requests 500 --fresh 50
host sysctl -qw net.ipv4.ip_early_demux=1 net.ipv4.tcp_early_demux=1
host sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.vc1.rp_filter=1 net.ipv4.conf.client0.rp_filter=1
tap_run rp_filter_strict load --requests 500 --fresh 50

# Routes of the container and of the client go and come back under load. The container
# always has one; the pauses are for look-ups of the kernel that are held up between
# two changes, and see neither route where both happen meanwhile.
mkfifo "$WORK/never"
exec 7<>"$WORK/never"
ip -n host -force -batch <(while :; do
	printf 'route %s\n' 'replace 10.7.1.2/32 dev vc1 metric 5' 'del 10.7.1.2/32 dev vc1 metric 0' \
		'flush cache' 'del 198.51.100.0/24' || break
	read -rt 0.01 -u 7
	printf 'route %s\n' 'add 10.7.1.2/32 dev vc1' 'del 10.7.1.2/32 dev vc1 metric 5' \
		'flush cache' 'add 198.51.100.0/24 via 192.0.2.2' || break
	read -rt 0.01 -u 7
done 2>/dev/null) >/dev/null 2>&1 &
CHURN=$!
ip -n host monitor route >"$WORK/churn" &
MONITOR=$!
tap_run routes_flushed_under_load load --requests 1500 --fresh 20
{ kill $CHURN $MONITOR; wait $CHURN $MONITOR; } 2>/dev/null
tap_run routes_did_change test "$(wc -l <"$WORK/churn")" -gt 50
ip -n host route replace 10.7.1.2/32 dev vc1
ip -n host route replace 198.51.100.0/24 via 192.0.2.2

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
tap_run firewall_drops_by_default load --requests 500 --fresh 50
tap_like firewall_tracks_connections "$(host conntrack -C 2>&1)" '^[1-9]'
host nft delete table inet firewall

# Another program with transparent sockets: everything towards port 7000 that
# passes the host is taken by its listener.
host nft -f - <<RULES
table ip proxy {
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto tcp socket transparent 1 meta mark set 7 accept
		tcp dport 7000 tproxy to 127.0.0.1:7001 meta mark set 7 accept
	}
}
RULES
ip -n host rule add fwmark 7 lookup 70
ip -n host route add local default dev lo table 70
nsenter --net=/run/netns/host python3 - <<'PYTHON' 2>"$WORK/tproxy.log" &
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_IP, 19, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 7001))
listener.listen()
while True:
    connection, _ = listener.accept()
    connection.sendall(("for %s:%d" % connection.getsockname()).encode())
    connection.close()
PYTHON
TPROXY=$!
tap_need 30 kmod_listens host 7001
load --requests 1000 --fresh 30 >"$WORK/beside" 2>&1 &
BESIDE=$!
for i in 1 2 3 4 5; do on client socat -u TCP:"$C1":7000 - ; echo; done >"$WORK/tproxied" 2>&1
wait $BESIDE
tap_like tproxy_real_ip_beside_it "$(cat "$WORK/beside")" 'done=1000 wrong=0 failed=0'
tap_is tproxy_works_beside_real_ip "$(grep -c "for $C1:7000" "$WORK/tproxied")" 5
{ kill $TPROXY; wait $TPROXY; } 2>/dev/null
tap_done
