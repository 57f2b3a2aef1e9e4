#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The relay is replaced with the agent: downloads of curl through real proxies
# (shadowsocks, tinyproxy) live through it in the relay of before, new connections,
# names (dnsmasq) and datagrams are served by the new one and none is refused, what an
# exit's change forbids is cut in both, and where the new relay does not come up, or
# control dies in the middle, nothing is half done and nothing goes straight.
#
#	a --- ha \                     ho --- out 192.0.2.0/24
#	b --- hb - host, agent, relays -/     .10 server, .11 .30 shadowsocks, .21 HTTP
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need
tap_plan 54
BUILT=$AGENT AGENT=$WORK/bin/hoody-agent

network() {
	local i
	sysctl -qw net.ipv4.ip_forward=1
	netns_pair a ha
	netns_pair b hb
	netns_pair out ho
	ip addr add 10.0.0.1/24 dev ha
	ip addr add 10.1.0.1/24 dev hb
	ip addr add 192.0.2.1/24 dev ho
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip route add default via 10.0.0.1
	in_ns b ip addr add 10.1.0.2/24 dev eth0
	in_ns b ip route add default via 10.1.0.1
	for i in 10 11 21 30; do in_ns out ip addr add 192.0.2.$i/24 dev eth0; done
	in_ns out ip route add default via 192.0.2.1
	watch_for out 'ip saddr { 10.0.0.2, 10.1.0.2 }'
}

servers() {
	cat >"$WORK/server.py" <<'PY'
import hashlib, os, socket, socketserver, sys, threading, time
# TCP 7000 says who asks, 8000 is HTTP: /NAME lasts until the file finish.NAME is there.
# UDP 7000 says who asks.
work = sys.argv[1]
class Who(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(self.client_address[0].encode() + b"\n")
class Long(socketserver.StreamRequestHandler):
    def handle(self):
        name = self.rfile.readline().split()[1].decode().strip("/")
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        digest, number = hashlib.sha256(), 0
        while not os.path.exists(f"{work}/finish.{name}"):
            block = number.to_bytes(8, "big") * 2048
            digest.update(block)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            number += 1
            time.sleep(0.01)
        with open(f"{work}/sent.{name}", "w") as out:
            out.write(f"{digest.hexdigest()} {number * 16384}\n")
        self.wfile.write(b"0\r\n\r\n")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 256
def echo():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("192.0.2.10", 7000))
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(data, peer)
threading.Thread(target=Server(("192.0.2.10", 7000), Who).serve_forever, daemon=True).start()
threading.Thread(target=Server(("192.0.2.10", 8000), Long).serve_forever, daemon=True).start()
threading.Thread(target=echo, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	ip netns exec out python3 "$WORK/server.py" "$WORK" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec out ss-server -s 192.0.2.11 -p 8388 -k secret -m aes-256-gcm -u >"$WORK/ss-server" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec out ss-local -s 192.0.2.11 -p 8388 -b 192.0.2.30 -l 1080 -k secret -m aes-256-gcm -u >"$WORK/ss-local" 2>&1 &
	tap_cleanup "kill $!"
	printf 'Port 3128\nListen 192.0.2.21\nBind 192.0.2.21\nTimeout 600\nMaxClients 200\n' >"$WORK/tinyproxy.conf"
	ip netns exec out tinyproxy -d -c "$WORK/tinyproxy.conf" >"$WORK/tinyproxy" 2>&1 &
	tap_cleanup "kill $!"
	ip netns exec out dnsmasq -k --port=53 --listen-address=192.0.2.10 --bind-interfaces --no-resolv --no-hosts \
		--pid-file= --user=root --txt-record=name.test,right >"$WORK/dnsmasq" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 60 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
	tap_up 192.0.2.11/8388 "$WORK/ss-server" in_ns out
	tap_up 192.0.2.30/1080 "$WORK/ss-local" in_ns out
	tap_up 192.0.2.21/3128 "$WORK/tinyproxy" in_ns out
	tap_up 192.0.2.10/53 "$WORK/dnsmasq" in_ns out
}

# who NS: what the server outside says who asked, or nothing.
who() { in_ns "$1" timeout 10 bash -c 'exec 3<>/dev/tcp/192.0.2.10/7000; echo x >&3; head -1 <&3' 2>/dev/null; }

declare -A pids
download() { # NAME NS: in the background, once it has begun
	ip netns exec "$2" curl -sS -m 120 -o "$WORK/long.$1" http://192.0.2.10:8000/"$1" 2>"$WORK/curl.$1" &
	pids[$1]=$!
	tap_wait 60 test -s "$WORK/long.$1" || tap_note "$(cat "$WORK/curl.$1")"
}
grows() { # NAME: by more than what pipes and sockets hold
	local size
	size=$(stat -c %s "$WORK/long.$1")
	tap_wait 60 eval "[ \$(stat -c %s '$WORK/long.$1') -gt $((size + 1000000)) ]"
}
download_is_whole() { # NAME
	: >"$WORK/finish.$1"
	wait "${pids[$1]}" || return 1
	[ "$(sha256sum <"$WORK/long.$1" | cut -d' ' -f1) $(stat -c %s "$WORK/long.$1")" = "$(cat "$WORK/sent.$1")" ]
}
download_is_cut() { # NAME: by a reset, not by an end
	wait "${pids[$1]}"
	grep -q 'Connection reset by peer\|Recv failure' "$WORK/curl.$1"
}

# load NS: connections one after the other until the file "stop" is there; what came of them.
load() {
	in_ns "$1" python3 - "$WORK/stop" <<'PY'
import collections, os, socket, sys, time
seen = collections.Counter()
while not os.path.exists(sys.argv[1]):
    try:
        with socket.create_connection(("192.0.2.10", 7000), 20) as s:
            s.settimeout(20)
            s.sendall(b"x\n")
            seen[s.recv(100).decode().strip()] += 1
    except OSError as error:
        seen[str(error)] += 1
    time.sleep(0.01)
print(*sorted(seen), "many" if sum(seen.values()) > 50 else "few")
PY
}
# names NS: the same with queries, over UDP and over TCP.
names() {
	in_ns "$1" python3 - "$WORK/stop" <<'PY'
import collections, os, socket, struct, sys, time
seen, number = collections.Counter(), 0
while not os.path.exists(sys.argv[1]):
    number = (number + 1) & 0xffff
    query = struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + b"\4name\4test\0\0\x10\0\1"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(20)
            s.connect(("8.8.8.8", 53))
            s.send(query)
            seen["udp", b"\5right" in s.recv(1000)] += 1
        with socket.create_connection(("8.8.8.8", 53), 20) as s:
            s.settimeout(20)
            s.sendall(struct.pack("!H", len(query)) + query)
            f = s.makefile("rb")
            seen["tcp", b"\5right" in f.read(struct.unpack("!H", f.read(2))[0])] += 1
    except OSError as error:
        seen["error", str(error)] += 1
    time.sleep(0.01)
print(*(f"{by}:{what}" for by, what in sorted(seen)), "many" if sum(seen.values()) > 50 else "few")
PY
}
# datagrams NS: one socket; asks until the server has answered each of ROUND files' numbers.
datagrams() {
	in_ns "$1" python3 - "$WORK" <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
for number in b"1", b"2":
    while not os.path.exists(f"{sys.argv[1]}/round.{number.decode()}"):
        pass
    while True:
        try:
            s.sendto(number, ("192.0.2.10", 7000))
            while s.recv(100) != number:
                pass
            break
        except OSError:
            pass
    print("answered", number.decode(), flush=True)
PY
}

install_program() { # FILE: as a package manager does, by a rename
	cp "$1" "$AGENT.new" && mv "$AGENT.new" "$AGENT"
}
patched() { # FROM TO: the built program with a text of one length in another's place
	sed "s|$1|$2|g" "$BUILT" >"$WORK/patched" && chmod 755 "$WORK/patched" && ! cmp -s "$BUILT" "$WORK/patched" &&
		install_program "$WORK/patched" || tap_note "nothing was patched: $1"
}
field() { "$HOODY" status --json | jq -r "$1"; }
metrics() { curl -s --unix-socket "$SOCKET" http://localhost/metrics; }
upgrade() { "$HOODY" upgrade 2>&1; }
relays() { pgrep -c -P "$AGENT_PID" -f -- --relay; }
# As processes, and as control has taken note: one that ends is both for a moment.
relays_are() { [ "$(relays) $(field .relay.draining)" = "$1 $(($1 - 1))" ]; }
program_of() { sha256sum <"/proc/$1/exe"; }
hold() { # NS ADDRESS: a connection from port 40001, until the test ends
	ip netns exec "$1" python3 - "$2" >"$WORK/held" <<'PY' &
import socket, sys
s = socket.create_connection(("192.0.2.10", 7000), 20, (sys.argv[1], 40001))
s.sendall(b"x\n")
print(s.recv(100).decode(), flush=True)
s.recv(1)
PY
	held=$!
	tap_need 60 test -s "$WORK/held"
}
# holder ADDRESS: the relay that has it.
holder() { ss -tnpH state established "dst $1:40001" | sed -n 's/.*pid=\([0-9]*\),.*/\1/p' | sort -u; }

mkdir "$WORK/bin"
install_program "$BUILT"
network
servers
agent_conf '[exits]' 'probe = 1s'
# Room for the flows that so many connections leave for a while.
sed -i 's/^containers = .*/containers = 2/' "$WORK/agent.conf"
start_agent
start_container $A ha 10.0.0.2
start_container $B hb 10.1.0.2
tap_is no_relay_where_none_is_needed "$(field .relay.state)" off
set_exit $A socks5://192.0.2.30 --dns 192.0.2.10
set_exit $B http://192.0.2.21:3128
tap_is exits_carry "$(who a) $(who b)" "192.0.2.10 192.0.2.21"
mark

# ---- an upgrade under load ----

download a a
download b b
load a >"$WORK/load.a" &
loads=$!
load b >"$WORK/load.b" &
loads="$loads $!"
names a >"$WORK/names" &
loads="$loads $!"
datagrams a >"$WORK/datagrams" &
datagrams=$!
: >"$WORK/round.1"
tap_run datagrams_are_carried tap_wait 60 grep -q 'answered 1' "$WORK/datagrams"
before=$(field .relay.pid) program=$(program_of "$(field .relay.pid)")
version=$(cat "$TOP/kmod/VERSION") older=$(tr '[:digit:]' 0 <"$TOP/kmod/VERSION")
patched "hoody-agent $version" "hoody-agent $older"
tap_run upgrade_is_done upgrade
now=$(field .relay.pid)
tap_is another_relay_serves "$([ "$now" != "$before" ] && echo another) $(field .relay.state)" 'another serving'
tap_is it_is_the_new_program "$(program_of "$now")" "$(sha256sum <"$AGENT")"
tap_is the_one_before_is_the_old_program "$(program_of "$before")" "$program"
tap_is it_drains_and_is_shown "$(relays) $(field .relay.draining)" '2 1'
tap_like it_is_shown_to_people "$("$HOODY" status)" '1 relays that were replaced'
tap_is it_is_in_the_metrics "$(metrics | grep -E '^hoody_relay_(ready|draining) ')" $'hoody_relay_ready 1\nhoody_relay_draining 1'
tap_is it_listens_no_more "$(ss -ltnpH | grep -c "pid=$before,")" 0
hold a 10.0.0.2
tap_is a_new_connection_is_the_new_one_s "$(holder 10.0.0.2)" "$now"
tap_run the_download_goes_on_through_socks5 grows a
tap_run the_download_goes_on_through_http grows b
: >"$WORK/round.2"
tap_run datagrams_of_the_same_socket_are_carried tap_wait 60 grep -q 'answered 2' "$WORK/datagrams"
wait $datagrams

kill $held

# ---- what is revoked is revoked in both ----

tap_run an_exit_is_changed set_exit $B socks5://192.0.2.30
tap_is its_connection_in_the_relay_of_before_is_gone "$(ss -tnpH state established dst 10.1.0.2 | grep -c "pid=$before,")" 0
tap_run its_download_is_cut download_is_cut b
tap_is it_is_counted "$(show $B '.counters.cut >= 1')" true
tap_is its_next_connection_takes_the_new_exit "$(who b)" 192.0.2.10
tap_run the_other_goes_on grows a
tap_run the_download_is_whole download_is_whole a
tap_run the_relay_of_before_ends tap_wait 60 relays_are 1
tap_is it_is_the_new_one "$(pgrep -P "$AGENT_PID" -f -- --relay) $(field .relay.draining)" "$now 0"
tap_is what_it_has_counted_is_kept "$(show $A ".counters.bytes_in >= $(cut -d' ' -f2 "$WORK/sent.a")")" true
: >"$WORK/stop"
wait $loads
tap_is no_connection_is_refused "$(cat "$WORK/load.a")" '192.0.2.10 many'
tap_is nor_where_the_exit_was_changed "$(tr ' ' '\n' <"$WORK/load.b" | grep -E '^(192|many|few)' | tr '\n' ' ')" '192.0.2.10 192.0.2.21 many '
tap_is no_query_is_lost "$(cat "$WORK/names")" 'tcp:True udp:True many'

# ---- a relay that does not come up ----

download c a
before=$(field .relay.pid) worker=$(field .worker.pid)
patched 'event=relay_ready version=%s' 'event=relay_ready version=%n'
tap_like a_relay_that_does_not_start_gives_back "$(upgrade)" 'relay ended before it served'
tap_is the_same_relay_and_worker_serve "$(field .relay.pid) $(field .relay.draining) $(field .worker.pid)" "$before 0 $worker"
tap_run it_has_no_other_beside_it tap_wait 60 relays_are 1
tap_is it_carries_what_is_new "$(who a) $(who b)" '192.0.2.10 192.0.2.10'
tap_run and_what_is_open grows c

# ---- one that ends when it is ready, and the worker beside it is not yet ----

# Whatever is executed is held back for two seconds: the worker, which is started when the
# relay is ready, is still called as control is.
install_program "$BUILT"
strace -qq -f -p "$AGENT_PID" -o "$WORK/strace" -e trace=execve -e inject=execve:delay_enter=2000000 &
holds_back=$!
tap_wait 20 grep -q '^TracerPid:.[1-9]' "/proc/$AGENT_PID/status" || tap_note "control is not held back"
upgrade >"$WORK/given.back" &
upgrades=$!
next_relay() { pgrep -P "$AGENT_PID" -x hoody-relay | grep -vx "$before"; }
tap_run its_worker_is_still_to_be_executed tap_wait 20 eval 'next_relay && pgrep -P "$AGENT_PID" -x hoody-agent'
kill -KILL "$(next_relay)"
wait $upgrades
kill $holds_back
tap_like it_is_given_back_too "$(cat "$WORK/given.back")" 'relay ended before it served'
tap_is then_too_the_same_ones_serve "$(field .relay.pid) $(field .relay.draining) $(field .worker.pid) $(who a)" "$before 0 $worker 192.0.2.10"
tap_run and_carry_what_is_open grows c
tap_run then_a_good_one_takes_over upgrade
tap_is with_another_relay "$([ "$(field .relay.pid)" != "$before" ] && echo another) $(field .relay.draining)" 'another 1'

# ---- more of them than there may be ----

download d a
tap_run a_second_one_drains upgrade
download e a
tap_run a_third_one_drains upgrade
tap_run four_live tap_wait 60 relays_are 4
download g a
tap_run the_oldest_is_ended_for_a_fourth upgrade
tap_run what_it_carried_is_cut download_is_cut c
tap_run the_others_live tap_wait 60 relays_are 4
tap_run what_they_carry_lives eval 'grows d && grows e && grows g'

# ---- control dies while relays drain ----

kill -KILL "$AGENT_PID"
wait "$AGENT_PID" 2>/dev/null
nobody() { ! pgrep -x hoody-relay; }
tap_run no_relay_outlives_control tap_wait 60 nobody
tap_run what_they_carried_is_cut eval 'download_is_cut d && download_is_cut e && download_is_cut g'
tap_is nothing_leaves_without_it "$(who a)" ''
nothing_straight nothing_has_gone_straight
sed -i 's/^threads = .*/&\nhandover_timeout = 1s/' "$WORK/agent.conf"
start_agent
tap_run it_is_back tap_wait 60 shows $A .health up

# ---- a time that is over ----

download f a
upgrade >/dev/null
tap_run what_lasts_too_long_is_cut download_is_cut f
tap_run and_its_relay_ends tap_wait 60 relays_are 1
nothing_straight nothing_goes_straight_still
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 80 "$WORK/log")"
tap_done
