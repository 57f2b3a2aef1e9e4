#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Many clients: 64 over IPv4 and 16 over IPv6, kept-alive and fresh connections
# mixed, through the whole agent to nginx in a container. No request may ever
# arrive with another client's address, and connections are used again.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

ID=890abcdef12345678901cdef
REQUESTS=${REQUESTS:-20000}	# in all
LOAD=$HOODY_BUILD/selftests/system/load
tap_plan 11

clients=()
for i in $(seq 101 164); do clients+=("203.0.113.$i"); done
for i in $(seq 101 116); do clients+=("2001:db8:1::$i"); done
system_client_net "${clients[@]}"
system_module
# 80 handshakes at once on an emulated CPU that others use as well.
system_config
# All IPv6 clients are of one /64, which is one client: as fast as the machine is.
printf '[limits]\nhandshakes_per_client = 0\n[timeouts]\nhandshake = 120s\nhead = 120s\nkeepalive = 600s\n' >>"$CONFIG"
system_agent

tap_run container_starts container web "$ID" routed 2 \
	"$(nginx_server 'location / { return 200 "$remote_addr $remote_port\n"; }')"
container_ready web || tap_note "$(lxc-attach -n web -- cat /var/log/error 2>&1)"

counter() { hoody status --json | grep -oE "\"$1\": *[0-9]+" | head -n 1 | grep -oE '[0-9]+$'; }

run_load() { SSL_CERT_FILE=$CA/ca.pem in_client "$LOAD" "$@" 203.0.113.1 2001:db8:1::1 "${clients[@]}"; }

# Mostly kept: what a browser does. Most of it over plain HTTP, so that encryption
# does not hide the rest: what arrives at the app is the same.
browse() { # NAME REQUESTS LOAD-OPTION...
	local name=$1 requests=$2 figures
	shift 2
	figures=$(run_load -n "$requests" "$@" "$(host_of $ID)" 2>"$WORK/errors") || tap_note "$(head -n 20 "$WORK/errors")"
	tap_note "$name: $figures"
	tap_is "${name}_every_answer_right" "${figures% connections=*}" "right=$requests wrong=0 failed=0"
}
browse kept_alive_tls $((REQUESTS / 10)) -f 3
browse kept_alive_plain $((REQUESTS / 2)) -f 3 -p 80 --plain
connects=$(counter upstream_connects) reused=$(counter upstream_reused)
tap_note "upstream: $connects connections, $reused exchanges on a kept one"
tap_run upstream_reused_90_percent test $((reused * 100)) -ge $((90 * (reused + connects)))
tap_run all_by_real_ip test "$(counter real_ip_used)" = "$connects"

# Fresh connections at random.
fresh=$((REQUESTS / 10))
browse fresh $fresh -f 50 -p 80 --plain

# The same while routes are flushed and set again, without early demultiplexing.
settings=$(sysctl net.ipv4.ip_early_demux net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter | tr -d ' ' | xargs)
tap_cleanup "sysctl -qw $settings"
tap_cleanup 'ip route del 198.51.100.0/24 dev lo; ip -6 route del 2001:db8:99::/64 dev lo'
sysctl -qw net.ipv4.ip_early_demux=0 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
ip -force -batch <(while :; do
	printf 'route %s\n' 'add 198.51.100.0/24 dev lo' 'flush cache' 'del 198.51.100.0/24 dev lo' \
		'add 2001:db8:99::/64 dev lo' 'del 2001:db8:99::/64 dev lo' || break
done 2>/dev/null) >/dev/null 2>&1 &
churn=$!
ip monitor route >"$WORK/churn" &
monitor=$!
browse route_changes $fresh -f 10 -p 80 --plain
{ kill $churn $monitor; wait $churn $monitor; } 2>/dev/null
tap_run routes_did_change test "$(wc -l <"$WORK/churn")" -gt 100

# A default-drop host firewall that only knows "established".
nft -f - <<RULES
table inet strict {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		iif lo accept
		tcp dport { 80, 443 } accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
	}
}
RULES
browse strict_firewall $fresh -f 20 -p 80 --plain
nft delete table inet strict

# And with another program that takes connections by TPROXY on the same host.
nft -f - <<RULES
table inet other {
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		iif eth0 tcp dport 9999 tproxy ip to 127.0.0.1:9998 meta mark set 7 accept
		socket transparent 1 meta mark set 7 accept
	}
}
RULES
tap_cleanup nft delete table inet other
ip rule add fwmark 7 lookup 100
tap_cleanup ip rule del fwmark 7
ip route add local default dev lo table 100
tap_cleanup ip route flush table 100
cat >"$WORK/tproxy.py" <<'PYTHON'
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 9998))
listener.listen(16)
while True:
    connection, peer = listener.accept()
    connection.sendall(f"{peer[0]} wanted {connection.getsockname()[1]}\n".encode())
    connection.close()
PYTHON
python3 "$WORK/tproxy.py" &
tap_cleanup kill $!
tap_need 30 eval "ss -Hltn | grep -q :9998"
browse beside_tproxy $fresh -f 20 -p 80 --plain
tap_is the_tproxy_user_still_works "$(in_client socat -T 30 - "TCP:203.0.113.1:9999,bind=203.0.113.101" </dev/null)" "203.0.113.101 wanted 9999"
tap_done
