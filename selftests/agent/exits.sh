#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Exits that stop answering, and how the host knows: proxies that accept and say
# nothing, that stop in the middle of a sentence, or that drop what is sent to them;
# probes, which find out without a container; the figures. What reaches the world
# straight from the container is counted there.
#
#	a --- ha - host, agent, relay - ho --- out 192.0.2.10 server, .20 proxies, .30 silence
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need
tap_plan 48

network() {
	local i
	sysctl -qw net.ipv4.ip_forward=1
	netns_pair a ha
	netns_pair out ho
	ip addr add 10.0.0.1/24 dev ha
	ip addr add 192.0.2.1/24 dev ho
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip route add default via 10.0.0.1
	for i in 10 20 30; do in_ns out ip addr add 192.0.2.$i/24 dev eth0; done
	in_ns out ip route add 10.0.0.0/24 via 192.0.2.1
	watch_for out 'ip saddr 10.0.0.2'
	in_ns out nft add table inet silence
	in_ns out nft add chain inet silence in '{ type filter hook input priority 0; }'
	in_ns out nft add rule inet silence in ip daddr 192.0.2.30 drop
}

servers() {
	cat >"$WORK/server.py" <<'PY'
import socket, socketserver, threading
# 7000 says who asks. Proxies that answer this and then nothing, until they are left:
PARTS = {
    9001: b"",                              # nothing at all
    9002: b"\5\0",                          # SOCKS5: the method
    9003: b"\5\0\5\0\0\1\300",              # the same and the half of an answer, too early
    9004: b"HTTP/1.1 200 OK\r\nVia: half",  # a head without end
    9005: b"\5\2",                          # a login is wanted
    9006: b"\x16\x03\x03\x00\x7a\x02",      # the first bytes of a TLS record
}
left = dict.fromkeys(PARTS, 0)
class Who(socketserver.StreamRequestHandler):
    def handle(self):
        if self.server.server_address[1] == 7000:
            self.rfile.readline()
            self.wfile.write(self.client_address[0].encode() + b"\n")
        else:   # 7001: how many connections to that proxy have been left
            self.wfile.write(b"%d\n" % left[int(self.rfile.readline())])
class Hang(socketserver.BaseRequestHandler):
    def handle(self):
        port = self.server.server_address[1]
        try:
            if self.request.recv(100):
                self.request.sendall(PARTS[port])
                while self.request.recv(100):
                    pass
        except OSError:
            pass
        left[port] += 1
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
for port in 7000, 7001:
    threading.Thread(target=Server(("", port), Who).serve_forever, daemon=True).start()
for port in PARTS:
    threading.Thread(target=Server(("", port), Hang).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	ip netns exec out python3 "$WORK/server.py" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 60 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
}

start_socks() {
	ip netns exec out microsocks -i 192.0.2.20 -p 1080 -u bob -P pw >>"$WORK/microsocks" 2>&1 &
	SOCKS=$!
	tap_up 192.0.2.20/1080 "$WORK/microsocks" in_ns out
}
tap_cleanup 'kill $SOCKS'

# start_names ADDRESS: the host's resolver is outside, and moving.test has this address.
start_names() {
	ip netns exec out dnsmasq -k --listen-address=192.0.2.10 --bind-interfaces --no-resolv --no-hosts --local=/test/ \
		--local-ttl=1 --pid-file= --user=root --host-record=proxy.test,192.0.2.20,1 \
		--host-record=two.test,192.0.2.10,1 --host-record=two.test,192.0.2.20,1 \
		--host-record=slow.test,192.0.2.30,1 --host-record=slow.test,192.0.2.20,1 \
		--host-record=web.test,192.0.2.10,600 --host-record=other.test,192.0.2.20,600 \
		--host-record=lo.test,127.0.0.1,1 --host-record=host.test,192.0.2.1,1 --host-record=inside.test,10.0.0.2,1 \
		--host-record="moving.test,$1,1" >"$WORK/dnsmasq" 2>&1 &
	NAMES=$!
	tap_up 192.0.2.10/53 "$WORK/dnsmasq" in_ns out
}
tap_cleanup 'kill $NAMES'
cp /etc/resolv.conf "$WORK/resolv.conf" 2>/dev/null
tap_cleanup 'cp "$WORK/resolv.conf" /etc/resolv.conf 2>/dev/null'

# who: how a connection to the server ends: with its answer, in order, by a reset.
who() {
	in_ns a python3 - <<'PY'
import socket
try:
    with socket.create_connection(("192.0.2.10", 7000), 60) as s:
        s.settimeout(60)
        s.sendall(b"x\n")
        print(s.recv(100).decode().strip() or "ended")
except ConnectionResetError:
    print("reset")
except OSError as e:
    print(type(e).__name__)
PY
}
was_left() { [ "$(in_ns out bash -c "exec 3<>/dev/tcp/192.0.2.10/7001; echo $1 >&3; head -1 <&3")" -gt 0 ]; }
metric() { curl -s --unix-socket "$SOCKET" http://agent/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
is_metric() { [ "$(metric "$1")" = "$2" ]; }

network
servers
start_socks
# As long as a slow machine takes to be slow, and no longer: six wait for it.
agent_conf '[exits]' 'timeout = 1s' 'probe = 0'
start_agent
start_container $A ha 10.0.0.2
tap_is before_it_is_direct "$(who)" 10.0.0.2
mark

# --- proxies that hang, seen by a container ---------------------------------------
hangs() { # NAME EXIT
	local before
	set_exit $A "$2"
	before=$(show $A .counters.failed_timeout)
	tap_is "$1" "$(who) $(show $A ".health, .fault, (.counters.failed_timeout - ${before/null/0}), .counters.connections_open" | xargs)" \
		"reset down timeout 1 0"
}
hangs says_nothing socks5://192.0.2.20:9001
hangs says_its_method_and_no_more socks5://192.0.2.20:9002
hangs wants_a_login_and_does_not_look_at_it socks5://bob:pw@192.0.2.20:9005
hangs http_head_without_an_end http://192.0.2.20:9004
hangs tls_stops_in_a_record https://192.0.2.20:9006
hangs drops_all_packets socks5://192.0.2.30
for port in 9001 9002 9004 9005 9006; do tap_wait 60 was_left $port || break; done
tap_run none_of_them_is_held_on_to was_left $port
nothing_straight hanging_exits_let_nothing_straight
tap_is failures_are_in_the_figures "$(metric 'hoody_exit_failed_total{reason="timeout"}')" 6
tap_is an_exit_is_in_the_figures "$(metric 'hoody_exits{kind="socks5",health="down"}')" 1
tap_run figures_are_well_formed bash -c "curl -s --unix-socket '$SOCKET' http://agent/metrics | promtool check metrics"

# --- probes ---------------------------------------------------------------------------
sed -i 's/^timeout = .*/timeout = 15s/; s/^probe = .*/probe = 1s/' "$WORK/agent.conf"
kill -HUP "$AGENT_PID"
BEFORE=$(show $A .counters.connections)
tap_run probed_exit_is_set set_exit $A socks5://bob:pw@192.0.2.20
tap_run probe_finds_it_up tap_wait 60 shows $A .health up
tap_is probe_is_none_of_the_container_s "$(show $A "(.counters.connections - $BEFORE), (.probes > 0), .probes_failed, .last_fault" | xargs)" "0 true 0 null"
kill $SOCKS; wait $SOCKS 2>/dev/null
tap_run probe_finds_it_down tap_wait 60 shows $A '"\(.health) \(.fault)"' "down connect"
tap_like down_is_shown_with_its_time "$("$HOODY" network show -c $A)" '^health +down \(connect\) since 2[0-9-]+T[0-9:]+Z$'
tap_run probes_that_failed_are_counted tap_wait 60 shows $A '.probes_failed > 0' true
start_socks
tap_run probe_finds_it_up_again tap_wait 60 shows $A .health up
tap_like last_error_stays "$("$HOODY" network show -c $A)" '^last_error +connect at 2[0-9-]+T[0-9:]+Z$'
tap_run figures_follow tap_wait 60 is_metric 'hoody_exits{kind="socks5",health="up"}' 1
tap_is it_carries_what_is_probed "$(who)" 192.0.2.10
set_exit $A socks5://192.0.2.20:9003
tap_is answers_too_early "$(who) $(show $A .fault)" "reset malformed"
set_exit $A socks5://bob:wrong@192.0.2.20
tap_run probe_tries_the_login tap_wait 60 shows $A '"\(.health) \(.fault)"' "down login"
set_exit $A socks5://192.0.2.20:9001
sed -i 's/^timeout = .*/timeout = 1s/' "$WORK/agent.conf"
kill -HUP "$AGENT_PID"
tap_run probe_does_not_wait_for_ever tap_wait 60 shows $A '"\(.health) \(.fault)"' "down timeout"
nothing_straight probes_let_nothing_straight

# --- proxies that are known by a name -------------------------------------------------------
sed -i 's/^timeout = .*/timeout = 15s/' "$WORK/agent.conf"
kill -HUP "$AGENT_PID"
start_names 192.0.2.10
echo 'nameserver 192.0.2.10' >/etc/resolv.conf
state() { shows $A '"\(.health) \(.fault) \(.exit_addresses | join(","))"' "$1"; }
proxy() { set_exit $A "socks5://bob:pw@$1"; }
proxy PROXY.test.
tap_run name_is_found tap_wait 60 state "up null 192.0.2.20"
tap_is name_carries "$(who)" 192.0.2.10
tap_is name_is_shown "$(show $A .exit)" 'socks5://***:***@proxy.test:1080'
proxy two.test
tap_run name_of_two_the_one_that_works_is_taken tap_wait 60 shows $A .health up
tap_is name_of_two_carries "$(who) $(show $A '.exit_addresses | length')" "192.0.2.10 2"
proxy slow.test
tap_run name_of_two_one_is_silent tap_wait 60 shows $A .health up
for name in lo host inside none; do
	proxy $name.test
	tap_wait 60 state "down name " && echo $name
done >"$WORK/refused"
tap_is name_of_the_host_of_a_container_or_of_nobody "$(xargs <"$WORK/refused") $(who)" "lo host inside none reset"
proxy moving.test
tap_run name_that_moves_is_not_there_yet tap_wait 60 state "down connect 192.0.2.10"
kill $NAMES; wait $NAMES 2>/dev/null
start_names 192.0.2.20
tap_run name_that_moves_is_followed tap_wait 60 state "up null 192.0.2.20"
kill $NAMES; wait $NAMES 2>/dev/null
tap_run nobody_answers_for_the_name tap_wait 60 grep -q 'exit_name_failed name=moving.test reason=no_answer addresses=kept' "$WORK/log"
tap_is what_was_known_is_used_on "$(who)" 192.0.2.10
nothing_straight names_let_nothing_straight

# --- rules about names, and an exit ----------------------------------------------------------
# named NAME: its address as a resolver inside gets it, or why there is none.
named() {
	in_ns a dig @9.9.9.9 +tries=3 +time=10 "$1" A >"$WORK/dig" 2>&1
	awk '/^[^;].*\tIN\tA\t/ { print $5; seen = 1 } match($0, /status: [A-Z]+/) { status = substr($0, RSTART + 8, RLENGTH - 8) }
	     END { if (!seen) print status }' "$WORK/dig"
}
is_named() { [ "$(named "$1")" = "$2" ]; }
start_names 192.0.2.20
"$HOODY" firewall reset -c $A >/dev/null
tap_run rule_about_a_name "$HOODY" firewall egress create -c $A --action allow --protocol tcp --destination-port 7000 --destination web.test
tap_run with_an_exit_and_its_servers set_exit $A socks5://bob:pw@192.0.2.20 --dns 192.0.2.10
dead() { ! in_ns a timeout 1 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }
tap_run address_is_closed_before_it_is_asked_for dead 192.0.2.10 7000
tap_run name_is_asked_through_the_exit tap_wait 60 is_named web.test 192.0.2.10
tap_is its_address_is_carried_by_the_exit "$(who)" 192.0.2.10
tap_run another_port_is_closed dead 192.0.2.10 7001
tap_is another_name_is_refused "$(named other.test)" REFUSED
kill $SOCKS; wait $SOCKS 2>/dev/null
tap_is dead_exit_answers_no_name "$(named new.web.test; in_ns a dig @9.9.9.9 +tries=1 +time=20 web.test AAAA 2>&1 | grep -o SERVFAIL)" $'REFUSED\nSERVFAIL'
tap_is dead_exit_carries_nothing "$(who)" reset
nothing_straight rules_and_exit_let_nothing_straight

tap_done
