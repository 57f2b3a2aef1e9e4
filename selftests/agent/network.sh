#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Exits of containers, through real proxies: root in two namespaces that stand
# for containers (one routed, one on a bridge with a neighbour), and the world
# outside with a server that answers who asked, microsocks, tinyproxy, and
# proxies that misbehave. What reaches the world straight from a container is
# counted there.
#
#	a --- ha \                        ho --- out 192.0.2.0/24, 2001:db8::/64
#	b --- hb -\ host, agent, relay -/        .10 server, .20 SOCKS5, .21 HTTP
#	n --- hn -- br0
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need
tap_plan 89

network() {
	netns_three_and_world n
	in_ns out ip addr add 192.0.2.20/24 dev eth0
	in_ns out ip addr add 192.0.2.21/24 dev eth0
	in_ns out ip addr add 2001:db8::20/64 dev eth0 nodad
	local ns
	for ns in out n; do
		watch_for $ns 'ip saddr { 10.0.0.2, 10.1.0.2 }' 'ip6 saddr { fd00::2, fd01::2 } meta l4proto { tcp, udp }'
	done
}

servers() {
	cat >"$WORK/server.py" <<'PY'
import socket, socketserver, sys, threading
# 7000 says who asks, 7001 sends N bytes, 7002 counts until the client has ended,
# 7003 counts N bytes.
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        port = self.server.server_address[1]
        if port == 7000:
            for line in self.rfile:
                self.wfile.write(self.client_address[0].replace("::ffff:", "").encode() + b"\n")
        elif port == 7001:
            left = int(self.rfile.readline())
            block = bytes(range(256)) * 256
            while left > 0:
                self.wfile.write(block[:min(left, len(block))])
                left -= len(block)
        elif port == 7003:
            left = int(self.rfile.readline())
            while left > 0 and (data := self.rfile.read1(65536)):
                left -= len(data)
            self.wfile.write(b"left %d\n" % left)
        else:
            count = 0
            while data := self.rfile.read1(65536):
                count += len(data)
            self.wfile.write(b"%d\n" % count)
# A SOCKS5 proxy that passes the end of each direction on, which microsocks does not.
class Plain(socketserver.BaseRequestHandler):
    def copy(self, source, sink):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    def handle(self):
        proxy = self.request.makefile("rb", 0)
        assert proxy.read(3) == b"\x05\x01\x00"
        self.request.sendall(b"\x05\x00")
        assert proxy.read(4) == b"\x05\x01\x00\x01"
        place = socket.inet_ntoa(proxy.read(4)), int.from_bytes(proxy.read(2), "big")
        with socket.create_connection(place) as peer:
            # In two parts: what follows must wait for the whole answer.
            self.request.sendall(b"\x05\x00\x00")
            self.request.sendall(b"\x03\x04name\x00\x50")
            there = threading.Thread(target=self.copy, args=(self.request, peer))
            there.start()
            self.copy(peer, self.request)
            there.join()
# Proxies: 9001 garbage, 9002 closes, 9003 says nothing, 9004 never ends its head.
class Bad(socketserver.BaseRequestHandler):
    def handle(self):
        port = self.server.server_address[1]
        if port == 9002:
            return
        self.request.recv(100)
        try:
            if port == 9001:
                self.request.sendall(b"\x00\xff" * 512)
            elif port == 9004:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10000)
            self.request.recv(100)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
for port in range(7000, 7004):
    threading.Thread(target=Server(("::", port), Handler).serve_forever, daemon=True).start()
for port in range(9001, 9005):
    threading.Thread(target=Server(("::", port), Bad).serve_forever, daemon=True).start()
threading.Thread(target=Server(("::", 9005), Plain).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	ip netns exec out python3 "$WORK/server.py" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec n python3 "$WORK/server.py" >"$WORK/server.n" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 60 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
	tap_wait 60 grep -q up "$WORK/server.n" || tap_bail "no server in n: $(cat "$WORK/server.n")"
	cat >"$WORK/tinyproxy.conf" <<'CONF'
Port 3128
Listen 192.0.2.21
Bind 192.0.2.21
Timeout 600
MaxClients 200
BasicAuth anne p:ss
CONF
	ip netns exec out tinyproxy -d -c "$WORK/tinyproxy.conf" >"$WORK/tinyproxy" 2>&1 &
	tap_cleanup "kill $!"
	self_signed "$WORK/proxy" IP:192.0.2.21 DNS:proxy.example.test
	self_signed "$WORK/other" IP:192.0.2.21
	ip netns exec out socat "OPENSSL-LISTEN:3129,bind=192.0.2.21,reuseaddr,fork,verify=0,cert=$WORK/proxy.crt,key=$WORK/proxy.key" \
		TCP:192.0.2.21:3128 >"$WORK/socat" 2>&1 &
	tap_cleanup "kill $!"
	tap_cleanup 'kill $SOCKS'
	start_socks
	tap_up 192.0.2.21/3128 "$WORK/tinyproxy" in_ns out
	tap_up 192.0.2.21/3129 "$WORK/socat" in_ns out
}

start_socks() {
	ip netns exec out microsocks -i :: -p 1080 -u bob -P 's@crt' >>"$WORK/microsocks" 2>&1 &
	SOCKS=$!
	tap_up 192.0.2.20/1080 "$WORK/microsocks" in_ns out
}

# who NS ADDRESS [PORT]: what the server outside says who asked, or nothing, which takes
# four seconds. Where an answer is due, "patience=30 who" is for a machine that is slow.
who() {
	in_ns "$1" timeout 60 python3 - "$2" "${3:-7000}" "${patience:-4}" 2>/dev/null <<'PY'
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), int(sys.argv[3])) as s:
    s.settimeout(int(sys.argv[3]))
    s.sendall(b"x\n")
    print(s.recv(100).decode().strip())
PY
}
who_is() { tap_is "$1" "$(patience=${4:+30} who "$2" "$3")" "$4"; }

# bulk NS BYTES: takes them, prints how many came and whether they are right.
bulk() {
	in_ns "$1" timeout 60 python3 - "$2" <<'PY'
import socket, sys
count, good, pattern = 0, True, bytes(range(256)) * 512
with socket.create_connection(("192.0.2.10", 7001), 5) as s:
    s.settimeout(20)
    s.sendall(sys.argv[1].encode() + b"\n")
    while data := s.recv(65536):
        at = count % 256
        good &= data == pattern[at:at + len(data)]
        count += len(data)
print(count, good)
PY
}

# upload NS BYTES: sends them, and prints what the server then says.
upload() {
	in_ns "$1" timeout 60 python3 - "$2" <<'PY'
import socket, sys
with socket.create_connection(("192.0.2.10", 7003), 5) as s:
    s.settimeout(20)
    s.sendall(sys.argv[1].encode() + b"\n" + b"z" * int(sys.argv[1]))
    print(s.recv(100).decode().strip())
PY
}

# halves NS BYTES: sends them, ends, and prints what the server then says.
halves() {
	in_ns "$1" timeout 60 python3 - "$2" <<'PY'
import socket, sys
with socket.create_connection(("192.0.2.10", 7002), 5) as s:
    s.settimeout(20)
    s.sendall(b"z" * int(sys.argv[1]))
    s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode().strip())
PY
}

network
servers
agent_conf '[exits]' 'probe = 1s'
start_agent
start_container $A ha 10.0.0.2 fd00::2
start_container $B hb 10.1.0.2 fd01::2

# --- direct ------------------------------------------------------------------
tap_is direct_is_what_there_is_first "$(show $A .exit)" direct
who_is direct_goes_out_by_itself a 192.0.2.10 10.0.0.2
who_is direct_from_the_bridge b 192.0.2.10 10.1.0.2
who_is direct_reaches_the_neighbour b 10.1.0.3 10.1.0.2
tap_is direct_is_counted_as_straight "$([ "$(straight)" -gt 0 ] && echo yes)" yes
tap_is direct_needs_no_relay "$(relay_pid)" ""

# --- socks5 and http, at once --------------------------------------------------
tap_run socks5_is_set set_exit $A 'socks5://bob:s%40crt@192.0.2.20'
tap_run http_is_set set_exit $B 'http://anne:p:ss@192.0.2.21:3128'
mark
who_is socks5_carries_ipv4 a 192.0.2.10 192.0.2.10
who_is http_carries_ipv4 b 192.0.2.10 192.0.2.21
tap_is socks5_carries_ipv6 "$(patience=30 who a 2001:db8::10)" 2001:db8::10
tap_is socks5_carries_much "$(bulk a 8000003)" "8000003 True"
tap_is http_carries_much "$(bulk b 8000003)" "8000003 True"
tap_is socks5_carries_much_the_other_way "$(upload a 3000001)" "left 0"
tap_is http_carries_much_the_other_way "$(upload b 3000001)" "left 0"
who_is http_reaches_the_neighbour_by_its_exit_only b 10.1.0.3 192.0.2.21
in_ns a ping -c 2 -W 1 192.0.2.10 >/dev/null 2>&1
tap_is ping_is_not_answered "$?" 1
in_ns a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("192.0.2.10", 53)); s.sendto(b"x", ("10.0.0.1", 53))'
in_ns b python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("10.1.0.3", 53))'
nothing_straight exits_nothing_goes_straight

# --- names, through the exit -----------------------------------------------------------
ask() { # NS SERVER NAME [OPTION...]: the address, by a real resolver library
	local ns=$1 server=$2 name=$3
	shift 3
	in_ns "$ns" timeout 20 python3 - "$server" "$name" "$@" <<'PY'
import socket, struct, sys
server, name, opt = sys.argv[1], sys.argv[2], sys.argv[3:]
query = struct.pack("!HHHHHH", 0x4711, 0x100, 1, 0, 0, 1 if "edns" in opt else 0)
query += b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\x10\0\1"
if "edns" in opt:
    query += struct.pack("!BHHIH", 0, 41, 4096, 0, 0)
family = socket.AF_INET6 if ":" in server else socket.AF_INET
if "tcp" in opt:
    s = socket.create_connection((server, 53), 10)
    s.settimeout(15)
    s.sendall(struct.pack("!H", len(query)) + query)
    f = s.makefile("rb")
    answer = f.read(struct.unpack("!H", f.read(2))[0])
else:
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(15)
    s.connect((server, 53))     # an answer from elsewhere is not taken
    s.send(query)
    answer = s.recv(65535)
flags, _, count = struct.unpack("!HHH", answer[2:8])
text = b""
if count:
    at = answer.index(b"\xc0\x0c", 12) + 12
    text = answer[at + 1:at + 1 + answer[at]]
print("truncated" if flags & 0x200 else text.decode()[:20], "rcode", flags & 15)
PY
}
long=$(printf 'x%.0s' {1..250})
ip netns exec out dnsmasq -k --port=53 --listen-address=192.0.2.10 --bind-interfaces --no-resolv --no-hosts \
	--pid-file= --user=root --txt-record=name.test,right --txt-record="big.test,$long,$long,$long" \
	--txt-record="huge.test,$long,$long,$long,$long,$long,$long" --edns-packet-max=4096 >"$WORK/dnsmasq" 2>&1 &
tap_cleanup "kill $!"
tap_up 192.0.2.10/53 "$WORK/dnsmasq" in_ns out
tap_is names_are_not_asked_without_servers "$(ask a 8.8.8.8 name.test 2>&1 | tail -1)" "TimeoutError: timed out"
tap_run names_servers_are_set set_exit $A 'socks5://bob:s%40crt@192.0.2.20' --dns 192.0.2.99 --dns 192.0.2.10
mark
tap_is names_come_from_the_second_server "$(ask a 8.8.8.8 name.test)" "right rcode 0"
tap_is names_over_ipv6 "$(ask a 2001:4860::8888 name.test)" "right rcode 0"
tap_is names_at_the_gateway_s_address "$(ask a 10.0.0.1 name.test)" "right rcode 0"
tap_is names_unknown_ones_are_told "$(ask a 8.8.8.8 none.test)" " rcode 5"
tap_is names_too_long_are_truncated "$(ask a 8.8.8.8 big.test)" "truncated rcode 0"
tap_is names_long_with_room "$(ask a 8.8.8.8 big.test edns)" "xxxxxxxxxxxxxxxxxxxx rcode 0"
tap_is names_too_long_for_every_path "$(ask a 8.8.8.8 huge.test edns)" "truncated rcode 0"
tap_run names_server_is_set set_exit $A 'socks5://bob:s%40crt@192.0.2.20' --dns 192.0.2.10
tap_is names_over_tcp_of_any_resolver "$(ask a 8.8.8.8 huge.test tcp)" "xxxxxxxxxxxxxxxxxxxx rcode 0"
in_ns a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("8.8.8.8", 53)); s.sendto(b"x" * 100, ("192.0.2.10", 123))'
tap_run names_are_counted tap_wait 60 shows $A '.counters | .dns_answered >= 7 and .udp_refused >= 2 and .dns_failed == 0' true
nothing_straight names_nothing_goes_straight

# --- what is shown --------------------------------------------------------------
tap_is show_hides_the_login "$(show $A .exit)" 'socks5://***:***@192.0.2.20:1080'
tap_is show_hides_it_everywhere "$("$HOODY" network show -c $A | grep -c 's@crt\|s%40crt\|bob')" 0
tap_is show_says_enforced "$(show $A .state)" enforced
tap_is show_says_up "$(show $A .health)" up
tap_is show_counts_bytes "$(show $A '.counters | .bytes_in > 8000000 and .bytes_out > 3000000')" true
tap_is show_counts_connections "$(show $A '.counters | .established >= 4 and .connections_open == 0')" true
tap_is log_hides_the_login "$(grep -c 's@crt\|s%40crt\|p:ss' "$WORK/log")" 0

# --- the process ------------------------------------------------------------------
RELAY=$(relay_pid)
tap_is relay_is_not_root "$(awk '/^Uid:/ { print $2 }' "/proc/$RELAY/status")" "$(id -u hoody)"
tap_is relay_has_no_capability "$(awk '/^Cap(Prm|Eff|Bnd|Amb)/ { s = s $2 } END { gsub("0", "", s); print s }' "/proc/$RELAY/status")" ""
tap_is relay_is_sealed "$(awk '/^Seccomp:/ { print $2 }' "/proc/$RELAY/status")" 2
PORT=$(ss -ltnpH4 | sed -n "s/.*127.0.0.1:\([0-9]*\) .*pid=$RELAY,.*/\1/p")
tap_is relay_refuses_the_host_itself "$(python3 - "$PORT" <<'PY'
import socket, sys
for port in sys.argv[1].split():
    try:
        s = socket.create_connection(("127.0.0.1", int(port)), 20)
        s.settimeout(20)
        print("open" if s.recv(1) else "closed")
    except ConnectionResetError:
        print("reset")
PY
)" $'reset\nreset'

# --- https ------------------------------------------------------------------------
tap_run https_is_set set_exit $B 'https://anne:p:ss@192.0.2.21:3129' --exit-ca "$WORK/proxy.crt"
who_is https_carries b 192.0.2.10 192.0.2.21
tap_is https_carries_much "$(bulk b 3000001)" "3000001 True"
tap_is https_carries_much_the_other_way "$(upload b 1000001)" "left 0"
tap_run https_with_another_ca_is_set set_exit $B 'https://anne:p:ss@192.0.2.21:3129' --exit-ca "$WORK/other.crt"
who_is https_certificate_is_checked b 192.0.2.10 ""
tap_is https_says_why "$(show $B .health,.fault)" $'down\ncertificate'
tap_run https_with_the_system_s_ca_is_set set_exit $B 'https://anne:p:ss@192.0.2.21:3129'
who_is https_unknown_issuer_is_refused b 192.0.2.10 ""

cp /etc/hosts "$WORK/hosts"
tap_cleanup 'cp "$WORK/hosts" /etc/hosts'
echo '192.0.2.21 proxy.example.test other.example.test' >>/etc/hosts
tap_run https_by_name_is_set set_exit $B 'https://anne:p:ss@proxy.example.test:3129' --exit-ca "$WORK/proxy.crt"
tap_run https_by_name_is_found tap_wait 60 shows $B .health up
who_is https_by_name_carries b 192.0.2.10 192.0.2.21
set_exit $B 'https://anne:p:ss@other.example.test:3129' --exit-ca "$WORK/proxy.crt"
tap_run https_certificate_of_another_name tap_wait 60 shows $B '"\(.health) \(.fault)"' "down certificate"
who_is https_certificate_of_another_name_is_refused b 192.0.2.10 ""

# --- an end in one direction ----------------------------------------------------------
tap_run plain_socks5_is_set set_exit $B 'socks5://192.0.2.20:9005'
tap_is half_close_is_told_and_the_answer_comes "$(halves b 3000001)" 3000001

# --- exits that do not work ---------------------------------------------------------
try_bad() { # NAME EXIT FAULT
	set_exit $B "$2"
	tap_is "$1" "$(who b 192.0.2.10) $(show $B .health,.fault | xargs)" " down $3"
}
try_bad bad_socks5_password 'socks5://bob:wrong@192.0.2.20' login
try_bad bad_socks5_no_login 'socks5://192.0.2.20' login
try_bad bad_http_password 'http://anne:no@192.0.2.21:3128' login
try_bad bad_port 'socks5://192.0.2.20:9' connect
try_bad bad_socks5_garbage 'socks5://192.0.2.20:9001' malformed
try_bad bad_http_garbage 'http://192.0.2.20:9001' malformed
try_bad bad_socks5_closes 'socks5://192.0.2.20:9002' closed
try_bad bad_http_endless_head 'http://192.0.2.20:9004' malformed
try_bad bad_https_garbage 'https://192.0.2.20:9001' tls
set_exit $B 'http://anne:p:ss@192.0.2.21:3128'
tap_is unreachable_is_not_the_exit_s_fault "$(who b 192.0.2.77) $(who b 192.0.2.10 9) $(show $B .health)" "  up"
nothing_straight bad_exits_nothing_goes_straight

# --- what dies ------------------------------------------------------------------------
kill $SOCKS; wait $SOCKS 2>/dev/null
who_is dead_exit_carries_nothing a 192.0.2.10 ""
tap_is dead_exit_is_shown "$(show $A .health,.fault)" $'down\nconnect'
start_socks
who_is exit_is_back a 192.0.2.10 192.0.2.10
kill -KILL "$(relay_pid)"
who a 192.0.2.10 >/dev/null
tap_run relay_is_started_again tap_wait 30 bash -c "[ \"\$(ip netns exec a timeout 5 bash -c 'exec 3<>/dev/tcp/192.0.2.10/7000; echo x >&3; head -1 <&3')\" = 192.0.2.10 ]"
kill -KILL "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
who_is no_agent_nothing_leaves a 192.0.2.10 ""
who_is no_agent_nothing_leaves_the_bridge b 192.0.2.10 ""
nothing_straight deaths_let_nothing_straight
start_agent
tap_need 60 shows $A .health up
who_is agent_is_back_with_its_exits a 192.0.2.10 192.0.2.10
who_is agent_is_back_with_the_other_exit b 192.0.2.10 192.0.2.21

# --- swaps under load --------------------------------------------------------------------
ip netns exec a python3 - "$WORK/stop" "$WORK/begun" >"$WORK/load" <<'PY' &
import collections, os, socket, sys, time
seen = collections.Counter()
while not os.path.exists(sys.argv[1]):
    try:
        with socket.create_connection(("192.0.2.10", 7000), 5) as s:
            s.settimeout(5)
            s.sendall(b"x\n")
            seen[s.recv(100).decode().strip()] += 1
            open(sys.argv[2], "w").close()
        time.sleep(0.02)    # flows that have ended stay for a while, and are bounded
    except OSError:
        seen["broken"] += 1
print(*(key for key, value in sorted(seen.items()) if key and key != "broken"))
PY
LOAD=$!
tap_need 60 test -e "$WORK/begun"
for swap in 1 2 3 4 5; do
	set_exit $A 'http://anne:p:ss@192.0.2.21:3128'
	[ "$(patience=30 who a 192.0.2.10)" = 192.0.2.21 ] || break
	set_exit $A 'socks5://bob:s%40crt@192.0.2.20'
	[ "$(patience=30 who a 192.0.2.10)" = 192.0.2.10 ] || break
done
tap_is swap_the_next_connection_takes_the_new_exit "$swap $(patience=30 who a 192.0.2.10)" "5 192.0.2.10"
touch "$WORK/stop"; wait $LOAD
tap_is swap_under_load_only_exits_are_seen "$(cat "$WORK/load")" "192.0.2.10 192.0.2.21"
nothing_straight swap_nothing_goes_straight

# --- block, and back ----------------------------------------------------------------------
tap_run block_is_set set_exit $A block
tap_is block_lets_nothing_out "$(who a 192.0.2.10)$(who a 2001:db8::10)" ""
nothing_straight block_nothing_goes_straight
set_exit $A direct
who_is direct_again a 192.0.2.10 10.0.0.2

# --- refusals ----------------------------------------------------------------------------
refused() { "$HOODY" network set -c $A --exit "$1" 2>&1; }
tap_like refuses_a_name_of_one_part "$(refused socks5://proxy)" 'exit: must name its proxy by an IP address or a name with a dot'
tap_like refuses_an_unknown_kind "$(refused ftp://192.0.2.1)" 'exit: must be direct, block'
tap_like refuses_the_stars "$(refused 'socks5://***:***@192.0.2.20')" 'give the login itself'
tap_is refusal_changes_nothing "$(show $A .exit)" direct

tap_done
