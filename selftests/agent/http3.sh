#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# HTTP/3 in front of a worker without control: curl, and a client that does what
# it is told (http3_peer.py, by aioquic). The app behind is proxy_app.py, which
# records every byte that it gets. What needs control (other workers, permissions)
# is http3_control.sh.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
# shellcheck source=../lib/shim.sh
. "$TOP/selftests/lib/shim.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=18443 RECORD=$WORK/record PREFIX DOMAIN
export HOST=$PREFIX-http-19000.$DOMAIN

cases=(announced methods five_hundred streams_given late_priority request_fields trailers early_response app_dies cancel
	deaf_app slow_client
	websocket websocket_app_first websocket_early websocket_refused
	key_update version_negotiation wrong_protocol stateless_reset
	migration migration_again migration_port_then_address migration_address_then_port migration_between_two
	migration_unproved
	malformed_frames malformed_heads bodies large_heads)
# Each counts: case and counter.
counted=(header_bomb:http3_header_bombs rapid_reset:http3_reset_floods)

case_run() { PYTHONDONTWRITEBYTECODE=1 timeout 120 python3 "$HERE/http3_client.py" "$@"; }

get() { # PATH [OPTION...]: curl to the app
	local path=$1
	shift
	curl -sS --http3-only --max-time 120 --cacert "$WORK/pem.crt" --resolve "$HOST:$TLS:127.0.0.1" "$@" "https://$HOST:$TLS$path"
}

test_peers() {
	tap_is http3_curl_version "$(get /count -o /dev/null -w '%{http_version} %{http_code}')" '3 200'
	tap_like http3_is_announced_over_http2 "$(get /count --http2 -i)" "alt-svc: h3=\":$TLS\"; ma=86400"
	# (aioquic takes neither a length without a body nor an interim response.)
	tap_like http3_head_has_the_length "$(get /upload -I)" 'content-length: [67]'
	tap_is http3_length_of_not_modified "$(get /not_modified -i | grep -ciE '^HTTP/3 304|content-length: 77')" 2
	tap_like http3_interim_passes "$(get /hints -i | tr -d '\r' | tr '\n' ' ')" 'HTTP/3 103.*link: </style.css>.*HTTP/3 200.*hinted'
	tap_like http3_continue_passes "$(get /continue -i -H 'Expect: 100-continue' -d hello | tr -d '\r' | tr '\n' ' ')" 'HTTP/3 100.*HTTP/3 200.*5 '
	tap_is http3_curl_parallel "$(get '/count?[1-200]' -Z --parallel-max 50 -o /dev/null -w '%{http_code}\n' | sort | uniq -c | tr -d ' ')" 200200
}

# Half a gigabyte each way in bounded memory.
test_big() {
	local size=536870912 peak before sent
	before=$(counter quic_sends) sent=$(counter quic_datagrams_sent)
	tap_is http3_big_download "$(get "/big?$size" | wc -c)" "$size"
	before=$(($(counter quic_sends) - before)) sent=$(($(counter quic_datagrams_sent) - sent))
	tap_run "http3_download_goes_in_trains ($sent datagrams in $before calls)" test "$sent" -gt $((4 * before))
	tap_is http3_big_upload "$(head -c $size /dev/zero | get /sink -T - -X POST)" "$size"
	peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$WORKER/status")
	tap_run "http3_memory_bounded ($peak kB)" test "$peak" -lt 100000
}

# The app is fast: its answer leaves in one datagram with the acknowledgement of the
# request. With one request at a time that is a datagram for each, and two otherwise. Where
# other work is in the way answers are late: a part of a second without it is enough.
test_held() {
	local tries=40 before sent=0 answers=0
	while ((tries--)); do
		before=$(counter quic_datagrams_sent)
		answers=$("$HOODY_BUILD/selftests/bench/http3_load" 127.0.0.1 "$TLS" "$PREFIX-http-19005.$DOMAIN" 1 1 0.3) || break
		sent=$(($(counter quic_datagrams_sent) - before))
		[ "$answers" -lt 50 ] || [ $((sent * 2)) -ge $((answers * 3)) ] || break
	done
	tap_run "http3_acknowledgement_goes_with_the_answer ($sent datagrams, $answers answers)" \
		test "$answers" -ge 50 -a $((sent * 2)) -lt $((answers * 3))
}

test_counted() {
	local name counter before
	for name in "${counted[@]}"; do
		counter=${name#*:} name=${name%:*}
		before=$(counter "$counter")
		tap_run "http3_$name" case_run "$name"
		tap_is "http3_${name}_counted" "$(($(counter "$counter") - before))" 1
	done
}

test_retry() {
	tap_run http3_retry_under_load case_run retry
	tap_run http3_retry_counted test "$(counter quic_retries)" -ge 1
	tap_is http3_wrong_token_counted "$(counter quic_tokens_refused)" 1
}

test_revocation() {
	local pid before
	before=$(counter exchanges_cut)
	rm -f "$WORK/open"
	case_run cut >"$WORK/open" 2>&1 &
	pid=$!
	tap_need 30 grep -q open "$WORK/open"
	driver stop >/dev/null
	tap_is http3_stop_cuts_at_once "$(($(counter exchanges_cut) - before))" 2
	wait $pid
	tap_is http3_stop_leaves_the_connection "$? $(cat "$WORK/open")" '0 open'
	driver start >/dev/null
}

test_drain() {
	local pid line
	rm -f "$WORK/open"
	case_run drain >"$WORK/open" 2>&1 &
	pid=$!
	tap_need 30 grep -q open "$WORK/open"
	printf 'drain 60000\n' >&8
	: >"$RECORD.drained"
	wait $pid
	tap_is http3_drain_finishes "$? $(cat "$WORK/open")" '0 open'
	read -r -t 30 -u 9 _
	read -r -t 30 -u 9 line
	tap_is http3_drain_ends "$line" 'ok 0'
	driver_stop
}

# A client that is gone without a word, its last answer unacknowledged, does not
# hold a worker that ends until the deadline.
test_lost_client() {
	local line
	driver_start -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1
	tap_run http3_client_is_lost case_run lost
	printf 'drain 600000\n' >&8
	read -r -t 60 -u 9 _
	read -r -t 60 -u 9 line
	tap_is http3_drain_does_not_wait_for_it "$line" 'ok 0'
	driver_stop
}

# A socket that is full most of the time: nothing is given up for lost, and what waits
# goes as soon as there is room.
test_full_socket() {
	local size=4194304
	shim_build
	LD_PRELOAD=$WORK/shim.so driver_start -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1
	tap_is http3_before_it_is_full "$(get /count -o /dev/null -w '%{http_code}') $(counter quic_sends_blocked)" '200 0'
	shim 0 0 4
	tap_is http3_download_by_a_full_socket "$(get "/big?$size" | wc -c)" "$size"
	tap_run http3_full_socket_counted test "$(counter quic_sends_blocked)" -gt 20
	shim 0 0
	driver_stop
}

test_threads() {
	driver_start -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -t 4
	for _ in 1 2 3 4 5 6; do
		case_run migration || return
	done
	# A packet at another thread would be answered with a reset.
	tap_is http3_ids_lead_to_their_thread "$(counter quic_resets) $(counter quic_migrations)" '0 18'
	driver_stop
}

tap_plan $((${#cases[@]} + 2 * ${#counted[@]} + 7 + 1 + 4 + 3 + 2 + 1 + 2 + 2 + 3 + 1))
certificate "$WORK/pem" || tap_bail 'openssl made no certificate'
: >"$RECORD"
serve 19000 python3 "$HERE/proxy_app.py" 19000 "$RECORD"
cat >"$WORK/nginx.conf" <<-NGINX
	daemon off; master_process off; pid $WORK/nginx.pid; error_log stderr;
	events {}
	http { access_log off; keepalive_requests 1000000; client_body_temp_path $WORK/t1; proxy_temp_path $WORK/t2;
	fastcgi_temp_path $WORK/t3; uwsgi_temp_path $WORK/t4; scgi_temp_path $WORK/t5;
	server { listen 127.0.0.1:19005; location / { return 200 fast; } } }
NGINX
serve 19005 nginx -c "$WORK/nginx.conf" -e stderr
driver_start -L 127.0.0.1:$TLS -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1
test_peers
test_held
for name in "${cases[@]}"; do
	tap_run "http3_$name" case_run "$name"
done
test_counted
test_big
test_retry
test_revocation
tap_need 30 eval '[ "$(counter requests_open)" = 0 ]'
tap_is http3_nothing_left_open "$(counter requests_open)" 0
test_drain
test_lost_client
test_full_socket
test_threads
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/worker.log")"
tap_done
