#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Rules about names, with a real resolver library inside (dig), a real server outside
# (dnsmasq) and one that lies: root in a namespace that stands for a container. What
# reaches the world from it on the ports of names is counted there.
#
#	a --- ha  host, agent, relay  ho --- out 192.0.2.0/24: .10 dnsmasq, .11 to .13 servers
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"
network_need
tap_plan 69

network() {
	local ns
	sysctl -qw net.ipv4.ip_forward=1
	for ns in a out; do
		netns_pair $ns h${ns:0:1}
	done
	ip addr add 10.0.0.1/24 dev ha
	ip addr add 192.0.2.1/24 dev ho
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip route add default via 10.0.0.1
	for ns in 10 11 12 13 14 15 17 18; do in_ns out ip addr add 192.0.2.$ns/24 dev eth0; done
	in_ns out ip addr add 198.51.1.200/16 dev eth0
	ip route add 198.51.0.0/16 via 192.0.2.10
	in_ns out ip route add 10.0.0.0/24 via 192.0.2.1
	watch_for out 'ip saddr 10.0.0.2 meta l4proto { tcp, udp } th dport { 53, 853 }' \
		'ip saddr 10.0.0.2 ip frag-off & 0x1fff != 0'
}

servers() {
	local i
	for ((i = 0; i < 512; i++)); do
		echo "198.51.$((i / 256)).$((i % 256)) many.github.test"
	done >"$WORK/hosts"
	ip netns exec out dnsmasq -k --listen-address=192.0.2.10 --bind-interfaces --no-resolv --no-hosts \
		--local=/test/ --local-ttl=600 \
		--pid-file= --user=root --edns-packet-max=4096 --addn-hosts="$WORK/hosts" \
		--host-record=api.stripe.test,192.0.2.11,600 --host-record=edge.cdn.test,192.0.2.12,600 \
		--cname=mid.cdn.test,edge.cdn.test --cname=gist.github.test,mid.cdn.test \
		--host-record=shared.stripe.test,192.0.2.12,600 \
		--host-record=evil.test,192.0.2.13,600 --host-record=gone.github.test,192.0.2.15,600 \
		--host-record=brief.github.test,192.0.2.17,1 --host-record=unused.github.test,192.0.2.18,1 \
		--host-record=lo.github.test,127.0.0.1 --host-record=host.github.test,192.0.2.1 \
		--host-record=meta.github.test,169.254.169.254 --host-record=self.github.test,10.0.0.2 \
		--txt-record="long.github.test,$(printf 'x%.0s' {1..250}),$(printf 'y%.0s' {1..250}),$(printf 'z%.0s' {1..250}),$(printf 'w%.0s' {1..250}),$(printf 'v%.0s' {1..250}),$(printf 'u%.0s' {1..250})" \
		>"$WORK/dnsmasq" 2>&1 &
	tap_cleanup "kill $!"
	tap_up 192.0.2.10/53 "$WORK/dnsmasq" in_ns out
	cat >"$WORK/server.py" <<'PY'
import socket, socketserver, threading
# 7000 and 7001 echo lines. Port 53 of .14 lies about names that begin with a word.
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
for port in 7000, 7001, 853:
    threading.Thread(target=Server(("", port), Handler).serve_forever, daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("192.0.2.14", 53))
print("up", flush=True)
count = 0
while True:
    query, asker = udp.recvfrom(4096)
    end = query.index(b"\0", 12) + 5
    word = query[13:13 + query[12]].lower()
    head = lambda n: query[:2] + b"\x81\x80\0\1" + bytes([0, n]) + b"\0\0\0\0" + query[12:end]
    a = lambda name, address: name + b"\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
    if word == b"change":
        count += 1
        answer = head(1) + a(b"\xc0\x0c", "198.51.100.%d" % (count % 250 + 2))
    elif word == b"other":      # an address of a name that nobody asked for
        answer = head(1) + a(b"\4evil\4test\0", "192.0.2.13")
    elif word == b"circle":
        answer = head(1) + b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c"
    elif word == b"id":         # first a guess, then the answer
        udp.sendto(b"\0\0" + head(1)[2:] + a(b"\xc0\x0c", "192.0.2.13"), asker)
        answer = head(1) + a(b"\xc0\x0c", "192.0.2.16")
    else:                       # no DNS at all
        answer = b"\xff" * 40
    udp.sendto(answer, asker)
PY
	ip netns exec out python3 "$WORK/server.py" >"$WORK/server" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 30 grep -q up "$WORK/server" || tap_bail "no server: $(cat "$WORK/server")"
}

# ask NAME [OPTION...]: addresses, or the status where there is none.
ask() {
	in_ns a dig @8.8.8.8 +tries=3 +time=10 "$@" >"$WORK/dig" 2>&1
	awk '/^[^;].*\tIN\t/ { sub(/.*\tIN\t/, ""); print; seen = 1 }
	     match($0, /status: [A-Z]+/) { status = substr($0, RSTART + 8, RLENGTH - 8) }
	     END { if (!seen) print status }' "$WORK/dig"
}
asked() { local want=$1; shift; [ "$(ask "$@" | tail -1)" = "A	$want" ]; }
reaches() { # ADDRESS PORT
	[ "$(in_ns a timeout 20 bash -c "exec 3<>/dev/tcp/$1/$2; echo x >&3; head -1 <&3" 2>/dev/null)" = x ]
}
# The first SYN that is dropped is what decides; the others would be too.
dead() { ! in_ns a timeout 1 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }
egress() { "$HOODY" firewall egress create -c $A "$@"; }
allow() { egress --action allow --protocol tcp --destination-port 7000 --destination "$@"; }
counted() { [ "$("$HOODY" network show -c $A --json | jq -r ".counters.$1")" -ge "$2" ]; }
packets() { "$HOODY" firewall egress list -c $A --json | jq -e '.[0] | .packets > 0' >/dev/null; }
rule_of() { "$HOODY" firewall egress list -c $A --json | jq -r ".[] | select(.destination == \"$1\") | .id"; }

network
servers
agent_conf 'names_grace = 1s'
cp /etc/resolv.conf "$WORK/resolv.conf" 2>/dev/null
tap_cleanup 'cp "$WORK/resolv.conf" /etc/resolv.conf 2>/dev/null'
echo 'nameserver 192.0.2.10' >/etc/resolv.conf
# Before there are rules: the counter outside sees what comes straight.
in_ns a python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.10", 53))'
left() { [ "$(straight)" -gt 0 ]; }
tap_run counter_outside_counts tap_wait 60 left
in_ns out nft reset counter inet watch straight >/dev/null
start_agent
start_container $A ha 10.0.0.2

# --- what a rule may say --------------------------------------------------------
tap_run reset_closes_all "$HOODY" firewall reset -c $A
tap_like refuses_other_letters "$(allow 'bücher.test' 2>&1)" 'destination: .*is not ASCII'
tap_like refuses_a_long_part "$(allow "$(printf 'a%.0s' {1..64}).test" 2>&1)" 'destination: .*more than 63'
tap_like refuses_a_long_name "$(allow "$(printf 'a.%.0s' {1..130})test" 2>&1)" 'destination: .*longer than 253'
tap_like refuses_one_part "$(allow localhost 2>&1)" 'destination: .*only one part'
tap_like refuses_a_star_inside "$(allow 'a.*.test' 2>&1)" 'destination: .*star'
tap_like refuses_who_connects "$("$HOODY" firewall ingress create -c $A --action allow --protocol tcp --source a.test 2>&1)" 'source: .*who connects has none'
tap_like refuses_to_deny_a_part "$(egress --action deny --protocol tcp --destination a.test 2>&1)" 'protocol: must be any'
tap_is refused_rules_are_none "$("$HOODY" firewall egress list -c $A --json)" '[]'
tap_run without_rules_nobody_answers dead 192.0.2.10 53

# --- the promised commands --------------------------------------------------------
tap_run rule_of_a_name allow api.stripe.test
tap_run rule_of_all_below allow '*.github.test'
tap_run address_is_closed_before_it_is_asked dead 192.0.2.11 7000
tap_need 60 asked 192.0.2.11 api.stripe.test A
tap_is name_is_answered "$(ask api.stripe.test A)" 'A	192.0.2.11'
tap_run its_port_is_open reaches 192.0.2.11 7000
tap_run another_port_is_closed dead 192.0.2.11 7001
tap_is capitals_are_the_same_name "$(ask API.Stripe.Test A)" 'A	192.0.2.11'
tap_is over_tcp "$(ask api.stripe.test A +tcp)" 'A	192.0.2.11'
tap_is of_any_resolver "$(ask @192.0.2.14 api.stripe.test A; ask @10.0.0.1 api.stripe.test A)" $'A\t192.0.2.11\nA\t192.0.2.11'
tap_is chain_is_followed "$(ask gist.github.test A | tail -1)" 'A	192.0.2.12'
tap_run end_of_the_chain_is_open reaches 192.0.2.12 7000
tap_is another_name_is_refused "$(ask evil.test A)" REFUSED
tap_is another_name_s_text_is_refused "$(ask c2VjcmV0.evil.test TXT)" REFUSED
tap_is the_name_above_is_refused "$(ask github.test A)" REFUSED
tap_run address_that_no_name_has_is_closed dead 192.0.2.13 7000
tap_is no_hints_of_addresses "$(ask api.stripe.test HTTPS)" NOERROR
tap_is unknown_name_is_told "$(ask none.github.test A)" NXDOMAIN
tap_is explain_names_the_rule "$("$HOODY" firewall explain -c $A --direction egress --protocol tcp --to 192.0.2.11:7000 --json | jq -r '.verdict + " " + .rule.destination')" 'pass api.stripe.test'
tap_is explain_knows_what_is_closed "$("$HOODY" firewall explain -c $A --direction egress --protocol tcp --to 192.0.2.13:7000 --json | jq -r .verdict)" drop
tap_run list_counts_packets tap_wait 60 packets

# --- the end of a TTL ---------------------------------------------------------------
cat >"$WORK/hold.py" <<'PY'
import socket, sys, time
# Asks for a name that is short-lived, connects to its address, and echoes lines by that.
query = b"\x47\x11\1\0\0\1\0\0\0\0\0\0\5brief\6github\4test\0\0\1\0\1"
end = time.time() + 60
while True:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(10)
            asker.connect(("8.8.8.8", 53))
            asker.send(query)
            asker.recv(500)
        held = socket.create_connection(("192.0.2.17", 7000), 1)
        break
    except OSError:
        if time.time() > end:
            sys.exit("never opened")
held.settimeout(60)
print("open", flush=True)
for line in sys.stdin:
    held.sendall(line.encode())
    print(held.recv(100).decode().strip(), flush=True)
PY
known() { bpftool -j map dump pinned "$(echo "$PINS"/v*/fw_names)" | grep -qi "\"0xc0\",\"0x00\",\"0x02\",\"0x$1\""; }
unknown() { ! known "$1"; }
asked_and_known() { ask unused.github.test A >/dev/null; known 12; }
coproc HELD { exec ip netns exec a python3 "$WORK/hold.py" 2>&1; }
tap_cleanup "kill $HELD_PID"
read -r line <&"${HELD[0]}"
tap_is brief_name_opens_its_address "$line" open
tap_run address_of_a_name_is_in_the_kernel tap_wait 60 asked_and_known
tap_run after_its_ttl_nothing_new_is_opened tap_wait 60 dead 192.0.2.17 7000
tap_run after_its_ttl_an_unused_address_leaves_the_kernel tap_wait 60 unknown 12
tap_run the_address_of_an_open_connection_stays known 11
echo "still here" >&"${HELD[1]}"
read -r line <&"${HELD[0]}"
tap_is an_open_connection_goes_on "$line" "still here"

# --- answers that lie ---------------------------------------------------------------
for name in lo host meta self; do
	tap_is "rebinding_$name" "$(ask $name.github.test A)" REFUSED
done
tap_run rebinding_is_counted tap_wait 60 counted dns_rebinding 4
tap_is addresses_512 "$(ask many.github.test A | grep -c '^A')" 512
tap_run each_of_them_is_open reaches 198.51.1.200 7000
tap_is long_text_over_udp_and_tcp "$(ask long.github.test TXT | tr -dc 'xyzwvu' | wc -c)" 1500
tap_run servers_of_its_own "$HOODY" network set -c $A --dns 192.0.2.99 --dns 192.0.2.10
tap_is silent_server_is_followed_by_the_next "$(ask api.stripe.test A)" 'A	192.0.2.11'
"$HOODY" network set -c $A --dns 192.0.2.14 >/dev/null
tap_run answer_with_a_guessed_id_is_not_taken tap_wait 60 asked 192.0.2.16 id.github.test A
tap_is address_of_another_name "$(ask other.github.test A)" SERVFAIL
tap_is circle_of_names "$(ask circle.github.test A)" SERVFAIL
tap_run lies_are_counted tap_wait 60 counted dns_malformed 2
for i in {1..8}; do ask change.github.test A +tries=1; done >"$WORK/changes"
tap_is name_that_changes_is_answered "$(grep -c '^A' "$WORK/changes")" 8
printf '[Interface]\nPrivateKey = %s\nAddress = 10.9.0.2/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.14:51820\n' \
	"$(head -c 32 /dev/urandom | base64)" "$(head -c 32 /dev/urandom | base64)" >"$WORK/wg.conf"
tap_like tunnel_without_a_server_is_no_exit_for_names "$("$HOODY" network set -c $A --exit "wireguard:$WORK/wg.conf" 2>&1)" 'no line DNS'
"$HOODY" network set -c $A --exit socks5://192.0.2.14:1 >/dev/null
tap_is no_name_leaves_by_an_exit_without_servers "$(ask api.stripe.test A; ask api.stripe.test A +tcp)" $'SERVFAIL\nSERVFAIL'
tap_run back_to_the_host_s_servers "$HOODY" network set -c $A --exit direct
tap_is exit_is_direct "$("$HOODY" network show -c $A --json | jq -r '.exit, (.dns | length)' | xargs)" 'direct 0'

# --- nothing leaves by another way -------------------------------------------------
in_ns a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x" * 3000, ("192.0.2.10", 53)); s.sendto(b"y", ("192.0.2.10", 53))'
tap_run wide_rule egress --action allow --protocol any --destination 192.0.2.10/32
tap_run wide_rule_opens_a_port reaches 192.0.2.10 7000
tap_run wide_rule_does_not_open_names_behind_tls dead 192.0.2.10 853
ask api.stripe.test A >/dev/null
in_ns a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x" * 3000, ("192.0.2.10", 53)); s.sendto(b"y", ("192.0.2.10", 853))'
tap_is nothing_left_on_these_ports "$(straight)" 0

# --- rules that change ----------------------------------------------------------------
tap_is asked_before_the_change "$(ask gone.github.test A)" 'A	192.0.2.15'
tap_run deny_of_a_name egress --action deny --protocol any --destination gone.github.test
tap_is denied_name_is_refused "$(ask gone.github.test A)" REFUSED
tap_run known_address_stays_open_under_new_rules reaches 192.0.2.11 7000
"$HOODY" firewall egress delete -c $A "$(rule_of api.stripe.test)" >/dev/null
tap_is deleted_rule_s_name_is_refused "$(ask api.stripe.test A)" REFUSED
tap_run deleted_rule_s_address_is_closed dead 192.0.2.11 7000

# --- without the agent -----------------------------------------------------------------
kill -KILL "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
tap_run without_the_agent_known_addresses_stay reaches 192.0.2.12 7000
in_ns a dig @192.0.2.10 +tries=1 +time=1 gist.github.test >/dev/null 2>&1
tap_is without_the_agent_no_name_leaves "$(straight)" 0
start_agent
tap_need 60 asked 192.0.2.12 gist.github.test A
tap_is the_agent_is_back_with_its_names "$(ask gist.github.test A | tail -1)" 'A	192.0.2.12'

tap_done
