#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The firewall on real interfaces, against root inside network namespaces that
# stand for containers: a routed one ("a") and two on one bridge ("b", "c"), and
# the world outside ("out"). What they send are real programs' packets (ping,
# nmap, nc, curl, arping) and frames of their own making (raw.py).
#
#	a --- ha \                    ho --- out 192.0.2.0/24, 2001:db8::/64
#	b --- hb -\ host (forwards) -/
#	c --- hc -- br0
#
# shellcheck source=selftests/lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=selftests/lib/netns.sh
. "$TOP/selftests/lib/netns.sh"
# shellcheck source=selftests/lib/bypass.sh
. "$TOP/selftests/lib/bypass.sh"

[ "$(id -u)" = 0 ] || tap_skip_all "needs root"
FWCTL=$HOODY_BUILD/selftests/bpf/fwctl
PINS=/sys/fs/bpf/hoody-opponents-$$
MAC_A=02:00:00:00:0a:02 MAC_B=02:00:00:00:0b:02 MAC_C=02:00:00:00:0b:03
OUT4=192.0.2.10 OUT6=2001:db8::10
HOOK=${HOODY_HOOK:-}

start_fwctl() {
	# shellcheck disable=SC2086
	coproc FW { exec "$FWCTL" "$PINS" $HOOK; }
	FW_OUT=${FW[0]} FW_IN=${FW[1]} FW_CHILD=$FW_PID
	local line
	read -r -t 60 line <&"$FW_OUT" || line="no answer"
	[ "$line" = "ok ready" ] || tap_bail "fwctl: $line"
}

# fw COMMAND...: its answer without "ok"; fails with "error".
fw() {
	local line
	printf '%s\n' "$*" >&"$FW_IN"
	read -r -t 60 line <&"$FW_OUT" || line="error no answer"
	case $line in
	ok) ;;
	ok*) printf '%s\n' "${line#ok }" ;;
	*) printf '%s\n' "$line" >&2; return 1 ;;
	esac
}

drops_of() { # SLOT REASON
	local word
	for word in $(fw drops "$1"); do
		[ "${word%%=*}" = "$2" ] && { echo "${word#*=}"; return; }
	done
	echo 0
}

in_ns() { ip netns exec "$@"; }

network() {
	sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null
	netns_three_and_world c
}

server() { # NS|host PORT...: answers with the address of who asked
	cat >"$WORK/server.py" <<'PY'
import socketserver, sys, threading
class Server(socketserver.ThreadingTCPServer):
    address_family = 10
    allow_reuse_address = True
    daemon_threads = True
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"hello " + self.client_address[0].encode() + b"\n")
for port in sys.argv[1:]:
    threading.Thread(target=Server(("::", int(port)), Handler).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY
	local ns=$1 enter=()
	shift
	[ "$ns" = host ] || enter=(in_ns "$ns")
	"${enter[@]}" python3 "$WORK/server.py" "$@" >"$WORK/server.$ns" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 30 grep -q up "$WORK/server.$ns" || tap_bail "no server in $ns"
}

# talk NS ADDRESS PORT: whether a TCP server answers.
talk() {
	in_ns "$1" timeout 10 python3 - "$2" "$3" <<'PY'
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as s:
    s.sendall(b"x\n")
    s.settimeout(2)
    sys.exit(0 if s.recv(100).startswith(b"hello") else 1)
PY
}

GENERATION=0
# policy NS OPTION...: commits for the container of that name.
policy() {
	local ns=$1
	shift
	GENERATION=$((GENERATION + 1))
	case $ns in
	a) fw commit ha slot=1 gen=$GENERATION mac=$MAC_A addr=10.0.0.2 addr=fd00::2 \
		protect=10.0.0.1 protect=192.0.2.1 "$@" ;;
	b) fw commit hb slot=2 gen=$GENERATION mac=$MAC_B addr=10.1.0.2 addr=fd01::2 "$@" ;;
	c) fw commit hc slot=3 gen=$GENERATION mac=$MAC_C addr=10.1.0.3 addr=fd01::3 "$@" ;;
	esac
}

test_policies() {
	tap_run before_the_firewall_everything_passes talk a $OUT4 443
	tap_run attach_routed fw attach ha
	tap_refused attached_without_policy_nothing_passes talk a $OUT4 443
	tap_refused attached_without_policy_nothing_comes_in talk out 10.0.0.2 22
	tap_run reset_is_committed policy a
	tap_refused reset_denies_egress talk a $OUT4 443
	tap_refused reset_denies_ipv6_egress talk a $OUT6 443
	tap_refused reset_denies_ping in_ns a ping -c 1 -W 1 $OUT4
	tap_run allow_is_committed policy a rule=egress,allow,tcp,192.0.2.0/24,443 \
		rule=egress,allow,tcp,2001:db8::/32,443 rule=egress,allow,icmp,192.0.2.10,- \
		rule=egress,allow,icmpv6,2001:db8::10,- rule=ingress,allow,tcp,192.0.2.10,22
	tap_run allow_opens_the_port talk a $OUT4 443
	tap_run allow_opens_the_port_in_ipv6 talk a $OUT6 443
	tap_refused allow_leaves_another_port_closed talk a $OUT4 80
	tap_run allow_opens_ping in_ns a ping -c 1 -W 5 $OUT4
	tap_run allow_opens_ping6 in_ns a ping -6 -c 1 -W 5 $OUT6
	tap_run allow_opens_ingress talk out 10.0.0.2 22
	tap_refused allow_leaves_other_ingress_closed talk out 10.0.0.2 80
	tap_refused allow_leaves_ingress_of_others_closed talk a 10.0.0.1 443
	tap_like rules_count_packets_and_bytes "$(fw counters ha)" '^[1-9][0-9]*/[1-9][0-9]+ [1-9][0-9]*/[0-9]+ [1-9][0-9]*/[0-9]+ [1-9][0-9]*/[0-9]+ [1-9][0-9]*/[0-9]+$'
	tap_is nmap_sees_the_one_open_port "$(in_ns a nmap -n -Pn -sT --max-retries 1 -p 22,80,443,8080 -oG - $OUT4 |
		grep -oE '[0-9]+/open/' | tr '\n' ' ')" '443/open/ '
	tap_is nmap_syn_scan_sees_the_same "$(in_ns a nmap -n -Pn -sS --max-retries 1 -p 22,80,443,8080 -oG - $OUT4 |
		grep -oE '[0-9]+/open/' | tr '\n' ' ')" '443/open/ '
}

# A connection that the new policy forbids stops; one that it allows goes on.
test_replace() {
	mkfifo "$WORK/hold"
	cat >"$WORK/hold.py" <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], 443), 5)
s.settimeout(3)
print("up", flush=True)
for line in sys.stdin:
    try:
        s.sendall(b"x\n")
        print("answer" if s.recv(100) else "closed", flush=True)
    except OSError as e:
        print("silence", flush=True)
PY
	in_ns a python3 "$WORK/hold.py" $OUT4 <"$WORK/hold" >"$WORK/held" 2>&1 &
	tap_cleanup "kill $!"
	exec 7>"$WORK/hold"
	tap_wait 30 grep -q up "$WORK/held" || tap_bail "no held connection: $(cat "$WORK/held")"
	policy a rule=egress,allow,tcp,192.0.2.10,443
	echo >&7
	tap_need 30 grep -qE 'answer|silence' "$WORK/held"
	tap_is replace_keeps_an_allowed_connection "$(tail -n 1 "$WORK/held")" answer
	policy a rule=egress,allow,tcp,192.0.2.10,80
	echo >&7
	tap_need 30 grep -q silence "$WORK/held"
	tap_is replace_cuts_a_forbidden_connection "$(tail -n 1 "$WORK/held")" silence
	tap_like replace_says_why "$(fw drops 1)" 'policy_changed=[1-9]'
	exec 7>&-
}

bypass_send() { in_ns a "$RAW" eth0 "$1" $MAC_A "$(cat /sys/class/net/ha/address)" 10.0.0.2 $OUT4 fd00::2 $OUT6; }

test_bypasses() {
	# Everything is allowed: only the packets' shape and source can be wrong.
	policy a rule=egress,allow,any,-,- rule=ingress,allow,any,-,-
	local before
	before=$(fw passed 1)
	bypass_send control_udp
	moved() { [ "$(fw passed 1)" != "$before" ]; }
	tap_run bypass_control_passes tap_wait 30 moved
	bypass 1 "${BYPASSES[@]}"
	tap_refused bypass_metadata_is_closed_in_spite_of_any in_ns a nc -z -w 1 169.254.169.254 80
	tap_refused bypass_the_host_is_closed_in_spite_of_any talk a 10.0.0.1 7443
	policy a rule=egress,allow,any,-,- rule=egress,allow,tcp,10.0.0.1/32,7443
	tap_run bypass_the_host_named_exactly_is_open talk a 10.0.0.1 7443
	in_ns a ip addr add 10.0.0.77/24 dev eth0
	tap_refused bypass_second_address_does_not_work in_ns a ping -c 1 -W 1 -I 10.0.0.77 $OUT4
	in_ns a ip addr del 10.0.0.77/24 dev eth0
	in_ns a ip link set eth0 address 02:00:00:00:0a:99
	tap_refused bypass_changed_mac_does_not_work in_ns a ping -c 1 -W 1 $OUT4
	in_ns a ip link set eth0 address $MAC_A
	in_ns a ip route add default via 10.0.0.1 2>/dev/null
	in_ns a ip -6 route add default via fd00::1 2>/dev/null
	tap_run bypass_own_mac_works_again in_ns a ping -c 1 -W 5 $OUT4
	tap_run large_pings_are_fragmented_and_pass in_ns a ping -c 1 -W 5 -s 4000 $OUT4
	tap_run large_pings6_are_fragmented_and_pass in_ns a ping -6 -c 1 -W 5 -s 4000 $OUT6
}

test_bridge() {
	tap_run bridge_before_the_firewall_b_reaches_c talk b 10.1.0.3 443
	fw attach hb
	fw attach hc
	policy b
	policy c
	tap_refused bridge_neighbours_are_apart talk b 10.1.0.3 443
	policy b rule=egress,allow,tcp,10.1.0.3,443
	tap_refused bridge_the_other_side_has_a_say talk b 10.1.0.3 443
	policy c rule=ingress,allow,tcp,10.1.0.2,443
	tap_run bridge_both_allow_and_it_works talk b 10.1.0.3 443
	tap_refused bridge_not_the_other_way talk c 10.1.0.2 443
	in_ns c ip neigh flush all
	in_ns b "$RAW" eth0 arp_claims_other $MAC_B $MAC_C 10.1.0.2 10.1.0.1 fd01::2 fd01::1
	in_ns c ping -c 1 -W 1 10.1.0.1 >/dev/null
	tap_like bridge_arp_of_the_gateway_cannot_be_stolen "$(in_ns c ip neigh show 10.1.0.1)" \
		"$(cat /sys/class/net/br0/address)"
	tap_like bridge_the_attempt_is_counted "$(fw drops 2)" 'arp=[1-9]'
}

# The agent's connections, by its cgroup; and packets of them after their end.
test_agent() {
	local mount group level
	mount=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	[ -n "$mount" ] || tap_bail "no cgroup2 is mounted"
	group=$mount/hoody-opponents-$$
	mkdir "$group"
	tap_cleanup "rmdir $group"
	level=$(awk -F: '$1 == 0 { print gsub("/", "/", $3) - ($3 == "/") }' /proc/self/cgroup)
	# The mount may show a subtree: the depth is counted from what it shows.
	[ "$(stat -c %i "$mount")" = 1 ] && level=0
	policy a
	tap_refused agent_host_needs_a_rule_too talk_host 10.0.0.2 22
	fw agent "$(stat -c %i "$group")" $((level + 1))
	tap_refused agent_another_cgroup_needs_a_rule talk_host 10.0.0.2 22
	tap_run agent_connections_pass in_group "$group" talk_host 10.0.0.2 22
	tap_like agent_flows_have_their_own_quota "$(fw flows 1)" ' [1-9][0-9]*$'
	cat >"$WORK/reset.py" <<'PY'
import socket, struct, sys
s = socket.create_connection(("10.0.0.2", 22), 5)
print(s.getsockname()[1], file=open(sys.argv[1], "w"))
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
PY
	cat >"$WORK/stray.py" <<'PY'
import socket, struct, sys
own, peer = (bytes.fromhex(m.replace(":", "")) for m in sys.argv[1:3])
tcp = struct.pack("!HHIIBBHHH", 22, int(sys.argv[3]), 1, 1, 0x50, 16, 1024, 0, 0)
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
s.send(peer + own + b"\x08\0" + ip + tcp)
PY
	# Two seconds after the reset the flow itself is over: a slow host tries again.
	stray() {
		in_group "$group" python3 "$WORK/reset.py" "$WORK/agent-port" &&
			in_ns a python3 "$WORK/stray.py" "$MAC_A" "$(cat /sys/class/net/ha/address)" \
				"$(cat "$WORK/agent-port")" && [ "$(drops_of 1 no_socket)" -gt 0 ]
	}
	tap_run agent_stray_packets_stop_at_the_firewall tap_wait 60 stray
}

# A tap device, as a microVM has it; a program plays the machine behind it.
test_tap() {
	cat >"$WORK/tap.py" <<'PY'
import fcntl, os, select, struct, sys
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"ht", 0x1002))
own, host = bytes.fromhex("020000000c02"), None
print("up", flush=True)
def udp(source):
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 1, 0, 64, 17, 0, source, bytes([192, 0, 2, 10]))
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
    return host + own + b"\x08\0" + ip + struct.pack("!HHHHI", 7, 9, 12, 0, 0)
while True:
    ready, _, _ = select.select([tap, sys.stdin], [], [])
    if tap in ready:
        frame = os.read(tap, 2000)
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == bytes([10, 2, 0, 2]):
            host = frame[6:12]
            os.write(tap, host + own + frame[12:20] + b"\0\2" + own + frame[38:42] + frame[22:32])
        elif frame[12:14] == b"\x08\0" and frame[23] == 1:
            print("ping", flush=True)
    if sys.stdin in ready:
        word = sys.stdin.readline().strip()
        if not word:
            break
        os.write(tap, udp(bytes([10, 2, 0, 2 if word == "own" else 3])))
PY
	mkfifo "$WORK/tap"
	python3 "$WORK/tap.py" <"$WORK/tap" >"$WORK/tap.log" 2>&1 &
	tap_cleanup "kill $!"
	exec 6>"$WORK/tap"
	tap_wait 30 grep -q up "$WORK/tap.log" || tap_bail "no tap: $(cat "$WORK/tap.log")"
	ip addr add 10.2.0.1/24 dev ht
	ip link set ht up
	tap_run tap_attach fw attach ht
	tap_run tap_policy fw commit ht slot=4 gen=1 mac=02:00:00:00:0c:02 addr=10.2.0.2 \
		rule=egress,allow,udp,192.0.2.10,9 rule=ingress,allow,icmp,10.2.0.1,-
	ping -c 1 -W 1 10.2.0.2 >/dev/null
	tap_run tap_ingress_arrives tap_wait 30 grep -q ping "$WORK/tap.log"
	echo own >&6
	# Two where the answer, "port unreachable", has come already.
	counts() {
		local counters
		counters=$(fw counters ht)
		[ "${counters%%/*}" -ge 1 ]
	}
	tap_run tap_egress_passes tap_wait 30 counts
	echo spoofed >&6
	spoofed() { [ "$(drops_of 4 source_address)" = 1 ]; }
	tap_run tap_spoofed_source_is_dropped tap_wait 30 spoofed
	exec 6>&-
}

talk_host() {
	timeout 10 python3 -c '
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as s:
    s.sendall(b"x\n"); s.settimeout(2); sys.exit(0 if s.recv(100).startswith(b"hello") else 1)' "$@"
}

in_group() { # GROUP COMMAND...
	local group=$1
	shift
	(echo "$BASHPID" >"$group/cgroup.procs" && "$@")
}

# Nobody is there to speak for the policy, and it holds; then it is taken over.
test_survives() {
	policy a rule=egress,allow,tcp,$OUT4,443
	kill -KILL "$FW_CHILD"
	wait "$FW_CHILD" 2>/dev/null
	tap_run killed_policy_still_allows talk a $OUT4 443
	tap_refused killed_policy_still_denies talk a $OUT4 80
	start_fwctl
	tap_like taken_over_counters_go_on "$(fw counters ha)" '^[1-9]'
	tap_run taken_over_policy_still_allows talk a $OUT4 443
	tap_refused taken_over_policy_still_denies talk a $OUT4 80
	tap_run taken_over_policy_can_be_replaced policy a rule=egress,allow,tcp,$OUT4,80
	tap_run taken_over_replacement_holds talk a $OUT4 80
	tap_run withdrawn_is_accepted fw withdraw ha
	tap_refused withdrawn_passes_nothing talk a $OUT4 80
	tap_run detached_is_accepted fw detach ha
	tap_run detached_passes_everything talk a $OUT4 443
}

tap_plan $((20 + 3 + 1 + 23 + 3 + 4 + 2 + 7 + 4 + 5 + 11))
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
tap_cleanup "rm -rf $PINS"
tap_cleanup "ip link del br0"
network
server out 22 80 443
server a 22 80
server b 443
server c 443
server host 7443
python3 "$WORK/server.py" 443 >"$WORK/server" 2>&1 &
tap_cleanup "kill $!"
tap_up 127.0.0.1/443 "$WORK/server"
start_fwctl
# shellcheck disable=SC2016  # of the child that runs then
tap_cleanup 'kill $FW_CHILD'
test_policies
test_replace
test_bypasses
test_bridge
test_agent
test_tap
test_survives
tap_done
