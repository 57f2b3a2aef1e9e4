#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Exits of kind wireguard: root in two namespaces that stand for containers, the
# kernel's own WireGuard on both sides, and a world outside that counts what
# comes by another way than the tunnel.
#
#	a --- ha \                        ho --- out 192.0.2.10: wg0, wg1, 198.51.100.1
#	b --- hb -- host, agent, hoody-wg1
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need "namespaces, BPF, WireGuard"
modprobe wireguard 2>/dev/null || [ -d /sys/module/wireguard ] || tap_skip_all "this kernel has no WireGuard"
tap_plan 58

network() {
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	local i ns
	for i in 0 1; do
		[ $i = 0 ] && ns=a || ns=b
		netns_pair $ns h$ns
		ip addr add 10.$i.0.1/24 dev h$ns
		ip addr add fd0$i::1/64 dev h$ns nodad
		in_ns $ns ip addr add 10.$i.0.2/24 dev eth0
		in_ns $ns ip addr add fd0$i::2/64 dev eth0 nodad
		in_ns $ns ip route add default via 10.$i.0.1
		in_ns $ns ip route add default via fd0$i::1
	done
	netns_pair out ho
	ip addr add 192.0.2.1/24 dev ho
	ip addr add 2001:db8::1/64 dev ho nodad
	ip route add 198.51.100.0/24 via 192.0.2.10
	ip route add 2001:db8:1::/64 via 2001:db8::10
	in_ns out ip addr add 192.0.2.10/24 dev eth0
	in_ns out ip addr add 2001:db8::10/64 dev eth0 nodad
	in_ns out ip addr add 198.51.100.1/32 dev lo
	in_ns out ip addr add 2001:db8:1::1/128 dev lo
	in_ns out ip route add 10.0.0.0/15 via 192.0.2.1
	in_ns out ip route add fd00::/15 via 2001:db8::1
	# Neighbour discovery of the host's own is no leak, nor its own word to the peer that
	# its port is closed.
	watch_for out 'iifname "eth0" ip saddr 10.0.0.0/8' 'iifname "eth0" ip6 saddr fd00::/8' \
		'iifname "eth0" ip saddr 192.0.2.1 udp dport != { 51820, 51821 }' \
		'iifname "eth0" ip saddr 192.0.2.1 meta l4proto != { udp, icmp }' \
		'iifname "eth0" ip saddr 192.0.2.1 icmp type != destination-unreachable'
}

key() { wg genkey | tee "$WORK/$1.key" | wg pubkey >"$WORK/$1.pub"; }

peer() { # NAME PORT NET: an interface outside, and the file for the container's side
	key "$1"
	key "$1-peer"
	in_ns out ip link add "$1" type wireguard
	in_ns out wg set "$1" listen-port "$2" private-key "$WORK/$1-peer.key" \
		peer "$(cat "$WORK/$1.pub")" allowed-ips "10.$3.0.2/32,fd$3::2/128"
	in_ns out ip addr add "10.$3.0.1/24" dev "$1"
	in_ns out ip addr add "fd$3::1/64" dev "$1" nodad
	in_ns out ip link set "$1" up
	cat >"$WORK/$1.conf" <<CONF
[Interface]
# as wg-quick(8) has it
PrivateKey = $(cat "$WORK/$1.key")
Address = 10.$3.0.2/24, fd$3::2/64
DNS = 10.$3.0.1, example.com
MTU = 1400

[Peer]
PublicKey = $(cat "$WORK/$1-peer.pub")
Endpoint = 192.0.2.10:$2
AllowedIPs = 0.0.0.0/0, ::/0
CONF
}

servers() {
	cat >"$WORK/server.py" <<'PY'
import socket, socketserver, ssl, sys, threading
# TCP 7000 says who asks, 7001 sends N bytes, 7443 says who asks in TLS. UDP 7000 says who
# asks and how much, 53 that it is a server of names.
class Who(socketserver.StreamRequestHandler):
    def handle(self):
        if self.server.server_address[1] == 7443:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[1] + ".crt", sys.argv[1] + ".key")
            with context.wrap_socket(self.request, server_side=True) as tls:
                tls.sendall(self.client_address[0].replace("::ffff:", "").encode() + b"\n")
            return
        line = self.rfile.readline()
        if self.server.server_address[1] == 7000:
            self.wfile.write(self.client_address[0].replace("::ffff:", "").encode() + b"\n")
        else:
            self.wfile.write(b"z" * int(line))
class Tcp(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
def udp(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::ffff:10.99.0.1" if port == 53 else "::", port))
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(b"names" if port == 53 else b"%s %d" % (peer[0].replace("::ffff:", "").encode(), len(data)), peer)
for port in 7000, 7001, 7443:
    threading.Thread(target=Tcp(("::", port), Who).serve_forever, daemon=True).start()
for port in 53, 7000:
    threading.Thread(target=udp, args=(port,), daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	nsenter --net=/run/netns/out python3 "$WORK/server.py" "$WORK/agent" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 60 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
}

# ask NS tcp|udp ADDRESS PORT [BYTES [PATIENCE]]: what is answered, or nothing.
ask() {
	# shellcheck disable=SC2016  # for the inner shell
	in_ns "$1" timeout "${6:-30}" bash -c '
		exec 3<>"/dev/$0/$1/$2" || exit
		if [ "$0" = udp ]; then
			head -c "$3" /dev/zero >&3
			dd bs=2000 count=1 <&3
		else
			echo "$3" >&3
			if [ "$2" = 7001 ]; then wc -c <&3; else cat <&3; fi
		fi' "$2" "$3" "$4" "${5:-1}" 2>/dev/null
}
# mute NAME NS: nobody answers, by TCP, UDP or ICMP; asked at the same time, because what
# must not come takes its patience to wait for.
mute() {
	(
		ask "$2" tcp 198.51.100.1 7000 1 2 &
		ask "$2" udp 10.99.0.1 7000 1 2 &
		in_ns "$2" ping -c 1 -W 2 198.51.100.1 2>&1 | grep -o 'bytes from' &
		wait
	) >"$WORK/mute"
	tap_is "$1" "$(cat "$WORK/mute")" ""
}
answers() { [ "$(ask "$1" tcp 198.51.100.1 7000 1 5)" = "$2" ]; }

tunnels() { ip -br link show type wireguard | awk '{ print $1 }' | xargs; }

network
peer wg0 51820 99
peer wg1 51821 98
agent_conf
servers
tap_cleanup 'ip link del hoody-wg1; ip link del hoody-wg2; nft delete table inet hoody_exits'
start_agent
start_container $A ha 10.0.0.2 fd00::2
start_container $B hb 10.1.0.2 fd01::2
tap_is before_it_is_direct "$(ask a tcp 198.51.100.1 7000)" 10.0.0.2
tap_is before_is_counted_as_straight "$([ "$(straight)" -gt 0 ] && echo yes)" yes

# --- what is refused -------------------------------------------------------------
with() { sed "$1" "$WORK/wg0.conf" >"$WORK/bad.conf"; "$HOODY" network set -c $A --exit "wireguard:$WORK/bad.conf" 2>&1; }
tap_like refuses_a_command "$(with '5a PostUp = touch /tmp/owned')" 'line 6: PostUp is refused'
tap_like refuses_a_key "$(with 's/^PublicKey = ..../PublicKey = /')" 'line 9: PublicKey is no key'
tap_like refuses_a_file_that_is_not_there "$("$HOODY" network set -c $A --exit "wireguard:$WORK/none" 2>&1)" 'No such file'
tap_is refusals_change_nothing "$(show $A .exit) $(tunnels)" "direct "

# --- one, and two that share it ----------------------------------------------------
tap_run tunnel_is_set "$HOODY" network set -c $A --exit "wireguard:$WORK/wg0.conf"
mark
tap_is tunnel_carries_tcp "$(ask a tcp 198.51.100.1 7000)" 10.99.0.2
tap_is tunnel_carries_tcp_over_ipv6 "$(ask a tcp 2001:db8:1::1 7000)" fd99::2
tap_is tunnel_carries_udp "$(ask a udp 10.99.0.1 7000 100)" "10.99.0.2 100"
tap_is tunnel_carries_udp_in_fragments "$(ask a udp 10.99.0.1 7000 4000)" "10.99.0.2 4000"
tap_is tunnel_carries_much "$(ask a tcp 198.51.100.1 7001 1000000)" 1000000
tap_run tunnel_carries_ping in_ns a ping -c 1 -W 30 198.51.100.1
tap_is tunnel_has_the_names_whatever_server_is_asked "$(ask a udp 9.9.9.9 53)" names
tap_is tunnel_has_the_names_at_the_gateway "$(ask a udp 10.0.0.1 53)" names
nothing_straight tunnel_nothing_goes_straight
"$HOODY" network set -c $B --exit "wireguard:$WORK/wg0.conf" >/dev/null
tap_is second_container_shares_it "$(ask b tcp 198.51.100.1 7000) $(show $B .tunnel.interface) $(tunnels)" "10.99.0.2 hoody-wg1 hoody-wg1"
tap_is shown_is_up_with_a_handshake "$(show $A '"\(.exit) \(.state) \(.health) \(.tunnel.last_handshake > 0) \(.tunnel.endpoint) \(.tunnel.bytes_in > 1000000)"')" \
	"wireguard enforced up true 192.0.2.10:51820 true"
tap_is shown_key_is_the_public_one "$(show $A .tunnel.public_key)" "$(cat "$WORK/wg0.pub")"
tap_is private_key_is_shown_nowhere "$({ "$HOODY" network show -c $A --json; "$HOODY" network show -c $A; cat "$WORK/log"; } | grep -cF "$(cat "$WORK/wg0.key")")" 0
# --- a peer by name -------------------------------------------------------------------
# The first address has nobody; the name moves to where the peer is, and is gone then.
cp /etc/hosts "$WORK/hosts"
tap_cleanup 'cp "$WORK/hosts" /etc/hosts'
name_is() { { cat "$WORK/hosts"; [ -z "$1" ] || echo "$1 vpn.test"; } >/etc/hosts; }
name_is 192.0.2.77
sed 's/^Endpoint = .*:/Endpoint = VPN.test:/' "$WORK/wg1.conf" >"$WORK/named.conf"
"$HOODY" network set -c $B --exit "wireguard:$WORK/named.conf" >/dev/null
tap_run named_peer_is_looked_up tap_wait 60 shows $B .tunnel.endpoint 192.0.2.77:51821
mute named_peer_is_not_there_yet b
name_is 192.0.2.10
tap_run named_peer_is_followed tap_wait 60 answers b 10.98.0.2
name_is ''

in_ns out ping -c 1 -W 1 -I wg0 10.99.0.2 >"$WORK/ping" 2>&1
tap_like peer_does_not_reach_the_host "$(cat "$WORK/ping")" '100% packet loss'

# --- what dies ----------------------------------------------------------------------
mark
in_ns out ip link set wg0 down
mute peer_down_nothing_is_answered a
in_ns out ip link set wg0 up
# It asks for new keys; the other side would find out by itself, in fifteen seconds.
in_ns out ping -c 1 -W 5 10.99.0.2 >/dev/null 2>&1
kill -KILL "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
tap_run no_agent_the_tunnel_goes_on tap_wait 60 answers a 10.99.0.2
ip link del hoody-wg1
mute no_interface_nothing_is_answered a
tap_is no_interface_the_other_goes_on "$(ask b tcp 198.51.100.1 7000)" 10.98.0.2
ip rule del pref 26737
ip -6 rule del pref 26737
mute no_rule_either_nothing_is_answered a
nothing_straight deaths_let_nothing_straight
start_agent
tap_run agent_makes_it_again tap_wait 60 answers a 10.99.0.2
tap_is agent_makes_the_rule_again "$(ip rule show pref 26737 | grep -c unreachable)$(ip -6 rule show pref 26737 | grep -c unreachable)" 11
tap_run agent_keeps_the_peer_whose_name_is_gone tap_wait 60 answers b 10.98.0.2
nothing_straight agent_back_nothing_goes_straight
"$HOODY" network set -c $B --exit "wireguard:$WORK/wg0.conf" >/dev/null

# --- swaps ----------------------------------------------------------------------------
tap_run swap_is_set "$HOODY" network set -c $A --exit "wireguard:$WORK/wg1.conf"
tap_is swap_takes_the_new_one_at_once "$(ask a tcp 198.51.100.1 7000) $(ask b tcp 198.51.100.1 7000)" "10.98.0.2 10.99.0.2"
nothing_straight swap_nothing_goes_straight

# --- rules about names, and their server inside of the tunnel -----------------------------
nsenter --net=/run/netns/out dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
	--listen-address=10.98.0.1 --bind-interfaces --log-queries --log-facility="$WORK/dns" \
	--address=/example.com/198.51.100.1 >/dev/null 2>&1 &
tap_cleanup "kill $!"
lookup() { in_ns a dig +time=5 +tries=1 +noall +comments +answer "${@:2}" @9.9.9.9 "$1" A | grep -oE 'status: [A-Z]+|A.198.*' | xargs; }
knows() { [ "$(lookup "$1")" = "status: NOERROR A 198.51.100.1" ]; }
who_tls() { in_ns a timeout 30 openssl s_client -quiet -connect 198.51.100.1:7443 -servername "$1" 2>/dev/null </dev/null; }
mark
"$HOODY" firewall reset -c $A >/dev/null
for port in 7000 7443; do
	tap_run names_rule_for_$port "$HOODY" firewall egress create -c $A --action allow --protocol tcp \
		--destination-port $port --destination api.example.com
done
sed /^DNS/d "$WORK/wg1.conf" >"$WORK/bad.conf"
tap_like names_need_a_server "$("$HOODY" network set -c $A --exit "wireguard:$WORK/bad.conf" 2>&1)" 'no line DNS'
tap_is names_are_not_open_before_they_are_asked "$(ask a tcp 198.51.100.1 7000 1 2)" ""
tap_run names_server_answers tap_wait 60 knows api.example.com
tap_is names_are_asked_over_tcp_too "$(lookup api.example.com +tcp)" "status: NOERROR A 198.51.100.1"
tap_is names_others_are_refused "$(lookup other.example.com)" "status: REFUSED"
tap_is names_server_saw_only_the_one "$(grep -c 'query\[A\] api.example.com from 10.98.0.2' "$WORK/dns" | sed 's/^[1-9].*/some/') $(grep -c 'query.*other' "$WORK/dns")" "some 0"
tap_is names_are_reached_by_the_tunnel "$(ask a tcp 198.51.100.1 7000) $(who_tls other.example.com)" "10.98.0.2 10.98.0.2"
tap_is names_open_no_other_port "$(ask a tcp 198.51.100.1 7001 1 2)" ""
"$HOODY" firewall set -c $A --strict-names on >/dev/null
tap_is names_strict_goes_by_the_tunnel "$(who_tls api.example.com)" 10.98.0.2
tap_is names_strict_refuses_another "$(who_tls other.example.com)" ""
# A service of the host, which has no way to answer by the tunnel, but hears.
python3 -uc 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7777))
while True: print(s.recv(99).decode())' >"$WORK/heard" &
tap_cleanup "kill $!"
tell() { in_ns out bash -c 'echo -n "$0" >"/dev/udp/$1/7777"' "$@"; }
heard() { tell "$1" "$2"; grep -q "$1" "$WORK/heard"; }
tap_run names_host_hears_from_outside tap_wait 30 heard outside 192.0.2.1
tell inside 10.98.0.2
in_ns out ping -c 1 -W 1 -I wg1 10.98.0.2 >/dev/null 2>&1
tap_run names_host_hears_what_came_later tap_wait 30 heard later 192.0.2.1
tap_is names_peer_does_not_reach_the_host "$(grep -c inside "$WORK/heard")" 0
# The relay alone: the agent would make it again.
interface=$(show $A .tunnel.interface)
kill -STOP "$AGENT_PID"
ip link del "$interface"
tap_is names_without_the_tunnel_are_not_asked "$(lookup api.example.com)$(who_tls api.example.com)" "status: SERVFAIL"
kill -CONT "$AGENT_PID"
tap_run names_are_asked_again_with_it tap_wait 60 knows api.example.com
nothing_straight names_let_nothing_straight
"$HOODY" firewall set -c $A --strict-names off >/dev/null
"$HOODY" firewall reset -c $A >/dev/null
"$HOODY" firewall egress create -c $A --action allow --protocol any --destination 0.0.0.0/0 >/dev/null
"$HOODY" network set -c $A --exit direct >/dev/null
"$HOODY" network set -c $B --exit block >/dev/null
tap_is direct_again "$(ask a tcp 198.51.100.1 7000) $(ask b tcp 198.51.100.1 7000 1 2)" "10.0.0.2 "
tap_is unused_tunnels_are_gone "$(tunnels)" ""
tap_is unused_rules_are_gone "$(ip rule show pref 26736)" ""

tap_done
