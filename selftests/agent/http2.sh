#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# HTTP/2 in front of a worker without control: real clients (curl, nghttp, h2load,
# node), and one that sends what they would not (http2_peer.py). The app behind is
# proxy_app.py, which records every byte that it gets.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=18443 RECORD=$WORK/record PREFIX DOMAIN
export HOST=$PREFIX-http-19000.$DOMAIN

cases=(announced methods thousand request_fields hosts trailers interims early_response app_dies cancel
	slow_stream deaf_app many_slow padding
	websocket websocket_app_first websocket_early websocket_refused
	few_resets too_many_streams large_heads)
# Each ends its connection, and counts: case and counter.
floods=(rapid_reset:http2_reset_floods made_reset:http2_reset_floods ping_flood:http2_control_floods
	settings_flood:http2_control_floods priority_update_flood:http2_control_floods
	empty_data_flood:http2_control_floods
	padded_empty_data_flood:http2_control_floods continuation_flood:http2_continuation_floods
	hpack_bomb:http2_header_bombs)

case_run() { PYTHONDONTWRITEBYTECODE=1 timeout 120 python3 "$HERE/http2_client.py" "$@"; }

get() { # PATH [OPTION...]: curl to the app
	local path=$1
	shift
	curl -sS --http2 --max-time 120 --cacert "$WORK/pem.crt" --resolve "$HOST:$TLS:127.0.0.1" "$@" "https://$HOST:$TLS$path"
}

test_peers() {
	tap_is http2_curl_version "$(get /count -o /dev/null -w '%{http_version} %{http_code}')" '2 200'
	tap_like http2_nghttp_trailers "$(nghttp -nv -H":authority: $HOST" "https://127.0.0.1:$TLS/chunked" 2>&1)" 'x-sum: 3'
	tap_like http2_h2load "$(h2load -n 3000 -c 3 -m 100 -H ":authority: $HOST" "https://127.0.0.1:$TLS/count" 2>&1)" '^status codes: 3000 2xx'
	cat >"$WORK/client.js" <<-'JS'
	const http2 = require('http2'), { env } = process;
	const session = http2.connect('https://127.0.0.1:' + env.TLS, { servername: env.HOST, rejectUnauthorized: false, maxSessionMemory: 1000 });
	let left = 500, bytes = 0;
	session.on('error', e => { console.log(e.message); process.exit(1); });
	for (let i = 0; i < 500; i++) {
		const stream = session.request({ ':authority': env.HOST, ':path': '/sink', ':method': 'POST' });
		stream.on('error', e => { console.log(e.message); process.exit(1); });
		stream.on('data', d => { bytes += Number(d); });
		stream.on('end', () => { if (!--left) { console.log(bytes); session.close(); } });
		stream.end(Buffer.alloc(1000 * i));
	}
	JS
	tap_is http2_node_500_posts "$(node "$WORK/client.js" 2>&1)" 124750000
}

# A gigabyte each way in bounded memory.
test_big() {
	local size=1073741824 peak
	tap_is http2_big_download "$(get "/big?$size" | wc -c)" "$size"
	tap_is http2_big_upload "$(head -c $size /dev/zero | get /sink -T - -X POST)" "$size"
	peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$WORKER/status")
	tap_run "http2_memory_bounded ($peak kB)" test "$peak" -lt 100000
}

test_floods() {
	local name counter before
	for name in "${floods[@]}"; do
		counter=${name#*:} name=${name%:*}
		before=$(counter "$counter")
		tap_run "http2_$name" case_run "$name"
		tap_is "http2_${name}_counted" "$(($(counter "$counter") - before))" 1
	done
}

test_malformed() {
	local name
	for name in heads frames bodies; do
		tap_run "http2_malformed_$name" timeout 300 env PYTHONDONTWRITEBYTECODE=1 python3 "$HERE/http2_malformed.py" "$name"
	done
}

test_revocation() {
	local pid before
	before=$(counter exchanges_cut)
	rm -f "$WORK/open"
	case_run cut >"$WORK/open" 2>&1 &
	pid=$!
	tap_need 30 grep -q open "$WORK/open"
	driver stop >/dev/null
	tap_is http2_stop_cuts_at_once "$(($(counter exchanges_cut) - before))" 2
	wait $pid
	tap_is http2_stop_leaves_the_connection "$? $(cat "$WORK/open")" '0 open'
	driver start >/dev/null
}

test_drain() {
	local pid line
	rm -f "$WORK/open"
	case_run drain >"$WORK/open" 2>&1 &
	pid=$!
	tap_need 30 grep -q open "$WORK/open"
	printf 'drain 60000\n' >&8
	wait $pid
	tap_is http2_drain_finishes "$? $(cat "$WORK/open")" '0 open'
	read -r -t 30 -u 9 _
	read -r -t 30 -u 9 line
	tap_is http2_drain_ends "$line" 'ok 0'
	driver_stop
}

test_settings() {
	driver_start -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -o keepalive_timeout=400 -o head_timeout=400 -o body_timeout=400
	tap_run http2_times case_run times
	# A stream, a request's body, the 408 to it that is not read either, idle, head, preface.
	tap_is http2_times_counted "$(counter timeouts_client)" 6
	driver_stop
	driver_start -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -o requests_per_connection_max=3
	tap_run http2_requests_bounded case_run requests_bounded
	driver_stop
}

tap_plan $((${#cases[@]} + 2 * ${#floods[@]} + 4 + 3 + 3 + 2 + 1 + 2 + 3))
certificate "$WORK/pem" || tap_bail 'openssl made no certificate'
: >"$RECORD"
serve 19000 python3 "$HERE/proxy_app.py" 19000 "$RECORD"
driver_start -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1
test_malformed
test_peers
for name in "${cases[@]}"; do
	tap_run "http2_$name" case_run "$name"
done
test_floods
test_big
test_revocation
tap_is http2_nothing_left_open "$(counter requests_open)" 0
test_drain
test_settings
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/worker.log")"
tap_done
