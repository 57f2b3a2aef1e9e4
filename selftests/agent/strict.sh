#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Strict rules about names: several names on one address, of which one is allowed,
# asked for with curl over TLS and over HTTP/3, with hellos that are cut into pieces,
# that hide their name or have none, at a real server (caddy).
#
#	a --- ha  host, agent, relay  ho --- out 192.0.2.0/24: .10 dnsmasq, .11 caddy, .12 and .13 SOCKS5
#
# shellcheck source=../lib/tap.sh disable=SC2317
. "$(dirname "$0")/../lib/tap.sh"

# shellcheck source=../lib/network.sh
. "$TOP/selftests/lib/network.sh"

network_need "namespaces, BPF"
curl --version | grep -q HTTP3 || tap_skip_all "needs a curl with HTTP/3"

tap_plan 42

network() {
	local ns
	sysctl -qw net.ipv4.ip_forward=1
	netns_pair a ha
	netns_pair out ho
	ip addr add 10.0.0.1/24 dev ha
	ip addr add 192.0.2.1/24 dev ho
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip route add default via 10.0.0.1
	for ns in 10 11 12 13; do in_ns out ip addr add 192.0.2.$ns/24 dev eth0; done
	in_ns out ip route add 10.0.0.0/24 via 192.0.2.1
}

# On port 8443 the same, so that a rule's port matters too.
servers() {
	in_ns out dnsmasq -k --listen-address=192.0.2.10 --bind-interfaces --no-resolv --no-hosts \
		--local=/test/ --pid-file= --user=root --host-record=good.test,192.0.2.11,600 \
		--host-record=www.wild.test,192.0.2.11,600 --host-record=evil.wild.test,192.0.2.11,600 \
		--host-record=elsewhere.test,192.0.2.11,600 >"$WORK/dnsmasq" 2>&1 &
	tap_cleanup "kill $!"
	tap_up 192.0.2.10/53 "$WORK/dnsmasq" in_ns out
	self_signed "$WORK/server" DNS:good.test DNS:other.test DNS:elsewhere.test 'DNS:*.wild.test'
	cat >"$WORK/caddy.conf" <<CADDY
{
	admin off
	auto_https disable_redirects
	default_sni good.test
	servers {
		protocols h1 h2 h3
	}
}
https://good.test, https://other.test, https://elsewhere.test, https://*.wild.test, https://good.test:8443 {
	bind 192.0.2.11
	tls $WORK/server.crt $WORK/server.key
	respond "{host} {http.request.proto}"
}
CADDY
	HOME=$WORK XDG_DATA_HOME=$WORK/caddy in_ns out caddy run --adapter caddyfile --config "$WORK/caddy.conf" >"$WORK/caddy.log" 2>&1 &
	tap_cleanup "kill $!"
	tap_up 192.0.2.11/443 "$WORK/caddy.log" in_ns out
	in_ns out microsocks -i 192.0.2.12 -p 1080 >"$WORK/socks" 2>&1 &
	tap_cleanup "kill $!"
	# One that carries UDP.
	in_ns out ss-server -s 192.0.2.13 -p 8388 -k secret -m aes-256-gcm -u >"$WORK/ss-server" 2>&1 &
	tap_cleanup "kill $!"
	tap_up 192.0.2.13/8388 "$WORK/ss-server" in_ns out
	in_ns out ss-local -s 192.0.2.13 -p 8388 -b 192.0.2.13 -l 1080 -k secret -m aes-256-gcm -u >"$WORK/ss-local" 2>&1 &
	tap_cleanup "kill $!"
	tap_up 192.0.2.13/1080 "$WORK/ss-local" in_ns out
}


# fetch NAME [OPTION...]: what the server says to a client inside; nothing where it is refused.
fetch() {
	local name=$1
	shift
	in_ns a curl -s --cacert "$WORK/server.crt" --max-time 20 --resolve "$name:443:192.0.2.11" \
		--resolve "$name:8443:192.0.2.11" "$@" "https://$name${PORT:+:$PORT}/"
}
passes() { [ -n "$(fetch "$@")" ]; }
counter() { "$HOODY" network show -c $A --json | jq -r ".counters.$1"; }
counts() { # COUNTER COMMAND...
	local before what=$1
	shift
	before=$(counter "$what")
	"$@" >/dev/null 2>&1
	more() { [ "$(counter "$what")" -gt "$before" ]; }
	tap_wait 30 more
}
egress() { "$HOODY" firewall egress create -c $A "$@"; }
http3() { fetch "$1" --http3-only --max-time "${2:-20}"; }

cat >"$WORK/hello.py" <<'PY'
# A hello for the name given (or none), sent in pieces or behind an extension that hides it.
import socket, ssl, sys, time
how, name = sys.argv[1], sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname=name or None)
try: tls.do_handshake()
except ssl.SSLWantReadError: pass
hello = outgoing.read()
if how == "hidden":     # encrypted_client_hello, as a last extension
    body = bytearray(hello[9:])
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at:at + 2], "big")
    at += 1 + body[at]
    more = b"\xfe\x0d\0\x08" + b"\0\0\1\0\1\7\0\0"
    body[at:at + 2] = (int.from_bytes(body[at:at + 2], "big") + len(more)).to_bytes(2, "big")
    body += more
    hello = b"\x16\3\1" + (len(body) + 4).to_bytes(2, "big") + b"\1" + len(body).to_bytes(3, "big") + body
if how == "records":    # the message in records of 7 bytes
    hello = b"".join(b"\x16\3\1" + len(hello[i:i + 7]).to_bytes(2, "big") + hello[i:i + 7] for i in range(5, len(hello), 7))
if how == "plain":
    hello = b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
s = socket.create_connection(("192.0.2.11", 443), timeout=30)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if how == "pieces":     # the name itself is cut
    for i in range(0, len(hello), 100):
        s.sendall(hello[i:i + 100])
        time.sleep(0.01)
else:
    s.sendall(hello)
try: print("answered" if s.recv(1) == b"\x16" else "other", flush=True)
except OSError: print("reset", flush=True)
PY
hello() { in_ns a python3 "$WORK/hello.py" "$@"; }

network
servers
cp /etc/resolv.conf "$WORK/resolv.conf" 2>/dev/null
tap_cleanup 'cp "$WORK/resolv.conf" /etc/resolv.conf 2>/dev/null'
echo 'nameserver 192.0.2.10' >/etc/resolv.conf
agent_conf
start_agent
start_container $A ha 10.0.0.2

"$HOODY" firewall reset -c $A >/dev/null
for protocol in tcp udp; do
	egress --action allow --protocol $protocol --destination good.test --destination-port 443 >/dev/null
done
egress --action allow --protocol tcp --destination '*.wild.test' --destination-port 443 >/dev/null
egress --action deny --protocol any --destination evil.wild.test >/dev/null
egress --action allow --protocol tcp --destination elsewhere.test --destination-port 8443 >/dev/null
# As a program inside would: by asking for the name.
asked() { [ "$(in_ns a dig +short +tries=3 +time=10 @8.8.8.8 "$1")" = 192.0.2.11 ]; }
tap_run name_is_told tap_wait 60 asked good.test
tap_run other_name_of_an_open_port_is_told tap_wait 60 asked elsewhere.test

# --- by address: what strict is there for -------------------------------------------
tap_is by_address_the_name_is_reached "$(fetch good.test)" 'good.test HTTP/2.0'
tap_is by_address_another_name_is_reached_too "$(fetch other.test)" 'other.test HTTP/2.0'
tap_is by_address_http3_too "$(http3 other.test)" 'other.test HTTP/3.0'

explained() { # PROTOCOL FILTER
	"$HOODY" firewall explain -c $A --direction egress --protocol "$1" --to 192.0.2.11:443 --json | jq -c "$2"
}
tap_is by_address_is_explained "$(explained tcp '[.verdict, .reason, .names]')" '["pass","allowed",null]'

# --- TLS ------------------------------------------------------------------------------
tap_is strict_on "$("$HOODY" firewall set -c $A --strict-names on --json | jq .strict_names)" true
tap_is strict_is_explained "$(explained tcp '[.verdict, .reason, .names, .names_denied]')" \
	'["pass","strict",["good.test","*.wild.test"],["evil.wild.test"]]'
tap_is strict_is_explained_for_quic "$(explained udp '[.verdict, .reason, .names]')" '["pass","strict",["good.test"]]'
tap_like strict_is_explained_to_people "$("$HOODY" firewall explain -c $A --direction egress --protocol tcp --to 192.0.2.11:443)" 'if the TLS hello says'
tap_run strict_name_is_reached tap_wait 30 passes good.test
tap_is strict_another_name_is_not "$(fetch other.test)" ''
tap_run strict_another_name_is_counted counts strict_other_name fetch other.test
tap_is strict_names_below_a_star "$(fetch www.wild.test)" 'www.wild.test HTTP/2.0'
tap_is strict_denied_name_is_not "$(fetch evil.wild.test)" ''
tap_is strict_name_of_another_port_is_not "$(fetch elsewhere.test)" ''
tap_is strict_hello_in_pieces "$(hello pieces good.test; hello pieces other.test)" $'answered\nreset'
tap_is strict_hello_in_small_records "$(hello records good.test; hello records other.test)" $'answered\nreset'
tap_run strict_no_name_is_counted counts strict_no_name hello no-name ''
tap_is strict_no_name_is_refused "$(hello no-name '')" reset
tap_run strict_hidden_name_is_counted counts strict_hidden_name hello hidden good.test
tap_is strict_hidden_name_is_refused "$(hello hidden good.test)" reset
tap_run strict_no_tls_is_counted counts strict_no_hello hello plain ''
tap_is strict_no_tls_is_refused "$(hello plain '')" reset

# --- QUIC -----------------------------------------------------------------------------
tap_is quic_name_is_reached "$(http3 good.test)" 'good.test HTTP/3.0'
# Silence is all that is refused gets: the counter says that it was heard.
before=$(counter strict_other_name)
tap_is quic_another_name_is_not_reached "$(http3 other.test 4)" ''
another() { [ "$(counter strict_other_name)" -gt "$before" ]; }
tap_run quic_another_name_is_counted tap_wait 30 another
garbage() { in_ns a python3 -c 'import os, socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(os.urandom(1) and b"\x40" + os.urandom(60), ("192.0.2.11", 443))'; }
tap_run quic_what_is_none_is_counted counts strict_no_hello garbage
fragments() { in_ns a python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"\xc0" * 3000, ("192.0.2.11", 443))'; }
cut() { [ "$("$HOODY" firewall show -c $A --json | jq '.drops.exit_protocol // 0')" -gt 0 ]; }
fragments
tap_run quic_in_fragments_is_dropped tap_wait 30 cut

# --- rules about addresses are not concerned, nor is an exit ---------------------------
by_rule=$(egress --action allow --protocol any --destination 192.0.2.11 --json | jq .id)
tap_is address_rule_lets_any_name_pass "$(fetch other.test)" 'other.test HTTP/2.0'
"$HOODY" firewall egress delete -c $A "$by_rule" >/dev/null
tap_is address_rule_is_gone "$(fetch other.test)" ''
"$HOODY" network set -c $A --exit socks5://192.0.2.12:1080 --dns 192.0.2.10 >/dev/null
tap_run exit_carries_the_name tap_wait 30 passes good.test
tap_is exit_does_not_carry_another "$(fetch other.test)" ''
"$HOODY" network set -c $A --exit socks5://192.0.2.13:1080 --dns 192.0.2.10 >/dev/null
quic_passes() { [ "$(http3 good.test 10)" = 'good.test HTTP/3.0' ]; }
tap_run exit_carries_quic_of_the_name tap_wait 60 quic_passes
before=$(counter strict_other_name)
tap_is exit_does_not_carry_quic_of_another "$(http3 other.test 4)$(tap_wait 30 another || echo uncounted)" ''
"$HOODY" network set -c $A --exit block >/dev/null
tap_is exit_that_blocks_is_explained "$(explained tcp '[.verdict, .reason]')" '["drop","exit_blocked"]'
"$HOODY" network set -c $A --exit direct >/dev/null

# --- a restart --------------------------------------------------------------------------
# The relay's sockets have the ports that containers asked for, here on the host, and where
# the server is the first to end a connection they linger: the agent's own 443 is one of them.
cat >"$WORK/last.py" <<'PY'
import os, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
s = context.wrap_socket(socket.create_connection(("192.0.2.11", 443), 20), server_hostname="good.test")
s.sendall(b"GET / HTTP/1.1\r\nHost: good.test\r\nConnection: close\r\n\r\n")
# Below TLS, whose end is not that of the connection.
with socket.socket(fileno=os.dup(s.fileno())) as raw:
    raw.settimeout(20)
    while raw.recv(65536):
        pass
PY
tap_run direct_carries_the_name_again tap_wait 30 passes good.test
in_ns a python3 "$WORK/last.py" "$WORK/server.crt" 2>"$WORK/last" || tap_note "$(cat "$WORK/last")"
lingers() { [ -n "$(ss -tanH state time-wait 'sport = :443 and src 192.0.2.11')" ]; }
tap_run socket_of_the_relay_lingers tap_wait 30 lingers
tap_end $AGENT_PID
tap_run it_outlives_the_relay lingers
start_agent
tap_is agent_has_its_ports_again "$("$HOODY" status --json | jq -r .worker.state)" serving

# --- rules that change ------------------------------------------------------------------
tap_is set_survives_a_reset "$("$HOODY" firewall reset -c $A --json | jq .strict_names)" true
"$HOODY" firewall set -c $A --strict-names off >/dev/null
egress --action allow --protocol tcp --destination good.test --destination-port 443 >/dev/null
tap_need 60 asked good.test
tap_is off_the_address_decides_again "$(fetch other.test)" 'other.test HTTP/2.0'
tap_done
