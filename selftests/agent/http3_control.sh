#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# HTTP/3 with control: a worker that is replaced keeps its QUIC connections while
# the new one gets what is new, a client that moves is asked for permission again,
# and what the configuration says about QUIC. The container is a namespace.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=8463 RECORD=$WORK/record
PROJECT_ID=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef
BASE=node-us.containers.example.com
export HOST=$PROJECT_ID-$CONTAINER_ID-http-8000.$BASE
NETNS=hoody-http3-$$

tap_plan 19

netns_container $NETNS veth-q 10.79.0.1/24 10.79.0.2/24
cat >"$WORK/app.py" <<'APP'
import http.server, os, socketserver, time
GO = os.path.dirname(__file__) + "/go"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.send_header("Alt-Svc", 'h3="app.example:1"')
        self.end_headers()
        self.wfile.write(b"begin")
        self.wfile.flush()
        while self.path == "/slow" and not os.path.exists(GO): time.sleep(0.02)
        self.wfile.write(b"end")
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("10.79.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
tap_cleanup "kill $!"
tap_up 10.79.0.2/8000 "$WORK/app.log"

certificate() { # Key and certificate at once, as far as files can be.
	self_signed "$WORK/new" "DNS:*.$BASE"
	mv "$WORK/new.key" "$WORK/server.key" && mv "$WORK/new.crt" "$WORK/server.crt"
}
certificate
config() { # QUIC BUFFER: writes the configuration
	cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $WORK/control.sock
	threads = 2
	real_ip = off
	[listen]
	tls = 127.0.0.1:$TLS
	quic = $1
	[tls]
	certificate = $WORK/server.crt
	key = $WORK/server.key
	[limits]
	buffer_bytes = $2
	CONF
}
worker() { hoody status --json | jq -r .worker.pid; }
counter() { hoody status --json | jq -r ".worker.counters.$1"; }
case_run() { PYTHONDONTWRITEBYTECODE=1 timeout 120 python3 "$HERE/http3_client.py" "$@"; }
get() { # [OPTION...]: curl to the app
	curl -sS --max-time 30 --cacert "$WORK/server.crt" --resolve "$HOST:$TLS:127.0.0.1" "$@" "https://$HOST:$TLS/"
}
reload() { # CONFIG...: and waits for another worker
	local before
	before=$(worker)
	config "$@"
	kill -HUP $AGENT_PID
	tap_wait 30 eval '[ "$(worker)" != '"$before"' ] && serving'
}

config tls 32K
start_agent
hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --address 10.79.0.2 >/dev/null &&
	hoody containers start $CONTAINER_ID >/dev/null || tap_bail "the container cannot be registered"
tap_is quic_follows_tls "$(get --http3-only -o /dev/null -w '%{http_version} %{http_code}')" '3 200'
tap_is alternative_is_ours "$(get --http2 -i | grep -i ^alt-svc | tr -d '\r')" "alt-svc: h3=\":$TLS\"; ma=86400"

# ---- another worker while a response is on its way, again and again ----
for round in 1 2 3; do
	rm -f "$WORK/go" "$WORK/open"
	case_run hold >"$WORK/open" 2>&1 &
	pid=$!
	tap_need 30 grep -q open "$WORK/open"
	tap_run "replaced_$round" reload tls $((32 + round))K
	rm -f "$WORK/codes"
	for _ in 1 2 3 4 5 6 7 8; do
		get --http3-only -o /dev/null -w '%{http_code} '
	done >"$WORK/codes"
	tap_is "new_connections_go_to_the_new_worker_$round" "$(cat "$WORK/codes")" '200 200 200 200 200 200 200 200 '
	: >"$WORK/go"
	wait $pid
	tap_is "old_connection_is_finished_$round" "$? $(tr '\n' ' ' <"$WORK/open")" '0 open old '
done

# ---- certificates that change within a handshake ----
before=$(worker)
rm -f "$WORK/go"
case_run half >"$WORK/half" 2>&1 &
pid=$!
tap_need 30 grep -q half "$WORK/half"
certificate
tap_need 30 get --http3-only -o /dev/null
: >"$WORK/go"
wait $pid
tap_is handshake_outlives_its_certificate "$? $(tr '\n' ' ' <"$WORK/half")" '0 half finished '
tap_is by_the_same_worker "$(worker)" "$before"

# ---- a client that moves ----
rm -f "$WORK/go"
hoody containers proxy permissions replace -c $CONTAINER_ID --groups here='{"type":"ip","range":"127.0.0.1/32"}' \
	--permissions here='{"http":true}' --default deny >/dev/null
tap_run permission_moves_with_the_client case_run permission_moves
tap_run permission_is_asked_at_each_of_many_moves case_run permission_travels

# ---- configuration ----
tap_run quic_is_switched_off reload none 40K
tap_is no_alternative_then "$(get --http2 -i | grep -ci '^alt-svc')" 0
tap_is nobody_listens_then "$(ss -lnu | grep -c ":$TLS ")" 0
tap_run quic_is_switched_on_again reload tls 41K
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/log")"
tap_done
