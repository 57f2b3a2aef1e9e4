#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Datagrams of a container through SOCKS5 (UDP ASSOCIATE), by a real proxy
# (shadowsocks' ss-local, and ss-server behind it), by one that has no UDP
# (microsocks), and by one that lies. What reaches the world straight from the
# container is counted there.
#
#	a --- ha - host, agent, relay - ho --- out 192.0.2.10 server, .20 .30 .40 proxies
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need
tap_plan 26

network() {
	local i
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	netns_pair a ha
	netns_pair out ho
	ip addr add 10.0.0.1/24 dev ha
	ip addr add fd00::1/64 dev ha nodad
	ip addr add 192.0.2.1/24 dev ho
	ip addr add 2001:db8::1/64 dev ho nodad
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip addr add fd00::2/64 dev eth0 nodad
	in_ns a ip route add default via 10.0.0.1
	in_ns a ip route add default via fd00::1
	for i in 10 11 20 30 40; do in_ns out ip addr add 192.0.2.$i/24 dev eth0; done
	in_ns out ip addr add 2001:db8::10/64 dev eth0 nodad
	in_ns out ip route add 10.0.0.0/24 via 192.0.2.1
	in_ns out ip route add fd00::/64 via 2001:db8::1
	watch_for out 'ip saddr 10.0.0.2' 'ip6 saddr fd00::2 meta l4proto { tcp, udp }'
}

servers() {
	cat >"$WORK/server.py" <<'PY'
import socket, socketserver, struct, threading
# UDP 53, 7000 to 7099: who asks, by which port, how much.
def echo(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", port))
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(b"%s %d %d" % (peer[0].replace("::ffff:", "").encode(), port, len(data)), peer)
# 192.0.2.40:1080: a proxy with a login that names another address for its UDP, and
# whose datagrams are first all that they must not be.
relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
relay.bind(("192.0.2.40", 0))
def lie():
    while True:
        data, peer = relay.recvfrom(65535)
        address, port, payload = data[4:8], data[8:10], data[10:]
        other = socket.inet_aton("192.0.2.66")
        for answer in (b"", b"\0\0", data[:9], b"\0\0\1\1" + address + port + b"fragment",
                       b"\0\0\0\3\4name" + port + b"name", b"\1\0\0\1" + address + port + b"reserved",
                       b"\0\0\0\1" + other + port + b"another address",
                       b"\0\0\0\1" + address + b"\0\1" + b"another port",
                       b"\0\0\0\1" + address + b"\0\0" + b"no port",
                       b"\0\0\0\1" + address + port + b"right " + payload):
            relay.sendto(answer, peer)
class Proxy(socketserver.BaseRequestHandler):
    def handle(self):
        s = self.request.makefile("rb", 0)
        assert s.read(3) == b"\5\1\2"
        self.request.sendall(b"\5\2")
        assert s.read(9) == b"\1\3bob\3pw!"
        self.request.sendall(b"\1\0")
        assert s.read(4) == b"\5\3\0\1"
        assert s.read(6) == bytes(6)
        self.request.sendall(b"\5\0\0\1" + socket.inet_aton("127.0.0.1") + struct.pack("!H", relay.getsockname()[1]))
        s.read(1)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
for port in [53, *range(7000, 7100)]:
    threading.Thread(target=echo, args=(port,), daemon=True).start()
threading.Thread(target=lie, daemon=True).start()
threading.Thread(target=Server(("192.0.2.40", 1080), Proxy).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	cat >"$WORK/client.py" <<'PY'
import socket, sys, time
# ADDRESS PORT BYTES [SECONDS]: what is answered, by whom was asked; asks again each second.
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
    # Not connected: the kernel here would hide what comes from elsewhere.
    s.settimeout(1)
    end = time.monotonic() + float(sys.argv[4] if len(sys.argv) > 4 else 30)
    while time.monotonic() < end:
        try:
            s.sendto(b"x" * count, (address, port))
            data, peer = s.recvfrom(200)
            print(data.decode() if peer[:2] == (address, port) else f"a stranger: {peer[:2]} {data}")
            break
        except OSError:
            pass
PY
	ip netns exec out python3 "$WORK/server.py" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec out ss-server -s 192.0.2.11 -p 8388 -k secret -m aes-256-gcm -u >"$WORK/ss-server" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec out microsocks -i 192.0.2.20 -p 1080 >"$WORK/microsocks" 2>&1 &
	tap_cleanup "kill $!"
	tap_cleanup 'kill $SOCKS'
	start_socks
	tap_wait 60 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
	tap_up 192.0.2.11/8388 "$WORK/ss-server" in_ns out
	tap_up 192.0.2.20/1080 "$WORK/microsocks" in_ns out
}

start_socks() {
	ip netns exec out ss-local -s 192.0.2.11 -p 8388 -b 192.0.2.30 -l 1080 -k secret -m aes-256-gcm -u >>"$WORK/ss-local" 2>&1 &
	SOCKS=$!
	tap_up 192.0.2.30/1080 "$WORK/ss-local" in_ns out
}

# ask ADDRESS PORT BYTES [SECONDS]
ask() { in_ns a python3 "$WORK/client.py" "$@"; }
network
servers
agent_conf
start_agent
start_container $A ha 10.0.0.2 fd00::2
tap_is before_it_is_direct "$(ask 192.0.2.10 7000 5)" "10.0.0.2 7000 5"

# --- a real proxy ------------------------------------------------------------------
tap_run socks5_is_set set_exit $A socks5://192.0.2.30
mark
tap_is before_was_counted_as_straight "$([ "$STRAIGHT" -gt 0 ] && echo yes)" yes
tap_is udp_is_carried "$(ask 192.0.2.10 7000 5)" "192.0.2.10 7000 5"
tap_is udp_over_ipv6_is_carried "$(ask 2001:db8::10 7000 5)" "2001:db8::10 7000 5"
tap_is udp_of_a_whole_packet_is_carried "$(ask 192.0.2.10 7001 1200)" "192.0.2.10 7001 1200"
tap_is udp_without_a_byte_is_carried "$(ask 192.0.2.10 7001 0)" "192.0.2.10 7001 0"
tap_is udp_to_names_is_carried_without_servers "$(ask 192.0.2.10 53 30)" "192.0.2.10 53 30"
tap_is udp_counts "$(show $A '.counters | .udp_out >= 5 and .udp_in >= 5 and .udp_refused == 0')" true
tap_is udp_health_is_up "$(show $A .health)" up
# One socket, 90 destinations: each answer from the port that was asked.
tap_is udp_one_socket_many_destinations "$(in_ns a timeout 60 python3 - <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
open = set(range(7000, 7050))
while open:
    for port in list(open):
        s.sendto(b"x", ("192.0.2.10", port))
        try:
            data, peer = s.recvfrom(200)
            assert data.split()[1] == b"%d" % peer[1] and peer[0] == "192.0.2.10"
            open.discard(peer[1])
        except TimeoutError:
            pass
print("all")
PY
)" all
# 300 sockets: as many associations as a container may have, the rest is told.
in_ns a timeout 60 python3 - <<'PY'
import socket
all = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(300)]
for s in all:
    s.sendto(b"x", ("192.0.2.10", 7000))
PY
tap_run udp_has_a_limit tap_wait 60 shows $A '.counters | .refused_limit > 0 and .udp_associations_open == 256' true
nothing_straight udp_nothing_goes_straight

# --- what dies -------------------------------------------------------------------------
kill $SOCKS; wait $SOCKS 2>/dev/null
tap_run dead_proxy_ends_all tap_wait 60 shows $A .counters.udp_associations_open 0
tap_is dead_proxy_answers_nothing "$(ask 192.0.2.10 7000 5 2)" ""
start_socks
tap_is proxy_is_back "$(ask 192.0.2.10 7000 5)" "192.0.2.10 7000 5"
nothing_straight dead_proxy_nothing_goes_straight

# --- one that lies -----------------------------------------------------------------------
tap_run liar_is_set set_exit $A 'socks5://bob:pw!@192.0.2.40'
tap_is swap_ends_what_was_open "$(show $A .counters.udp_associations_open)" 0
tap_is liar_only_the_right_answer_comes "$(ask 192.0.2.10 7000 3)" "right xxx"
tap_run liar_is_counted tap_wait 60 shows $A '.counters.udp_dropped >= 9' true

# --- none, and others that carry no UDP ------------------------------------------------------
tap_run proxy_without_udp_is_set set_exit $A socks5://192.0.2.20
tap_is proxy_without_udp_answers_nothing "$(ask 192.0.2.10 7000 3 3)" ""
tap_run proxy_without_udp_is_asked_once tap_wait 60 shows $A '.counters | .failed_refused == 1 and .udp_refused >= 2' true
tap_is proxy_without_udp_is_up "$(show $A .health)" up
nothing_straight others_nothing_goes_straight

tap_done
