#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Early data (TLS 1.3 0-RTT) over TCP and QUIC, in front of a worker without
# control: what may be answered before the handshake's end is, with a word to the
# app; all else waits; nothing is taken twice; and without the setting none is.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=18443 RECORD=$WORK/record WORK PREFIX DOMAIN
export HOST=$PREFIX-http-19000.$DOMAIN

client() { PYTHONDONTWRITEBYTECODE=1 timeout 120 python3 "$HERE/early_client.py" "$@"; }

# What the app got of PATH: its request line, and Early-Data if it was told.
got() { tr -d '\r' <"$RECORD" | awk -v p="$1" 'BEGIN { RS = ""; FS = "\n" } index($1, " " p " ") {
	for (i = 2; i <= NF; i++) if (tolower($i) ~ /^early-data:/) $1 = $1 " " $i
	print $1 }' | sed 's/^.*\(GET\|HEAD\|POST\) /\1 /' | tr '\n' ';'; }

count_is() { [ "$(counter "$1")" = "$2" ]; }
has() { [ -n "$(got "$1")" ]; }

# begin CASE...: a client that sends, and waits to be told to go on.
begin() {
	rm -f "$WORK/go"
	client "$@" >"$WORK/got" 2>&1 &
	client_pid=$!
}

# finish: and goes on.
finish() {
	: >"$WORK/go"
	wait "$client_pid" || { tap_note "$(cat "$WORK/got")"; return 1; }
}

worker() { driver_start -L 127.0.0.1:$TLS -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 "$@"; }

# It ends when it notices that the driver is gone, and then its ports are free.
another_worker() { # OPTION...
	driver_stop
	tap_wait 60 eval "! readlink /proc/$WORKER/exe" || tap_bail 'the worker does not end'
	worker "$@"
}

new_ticket() { # [ALPN]
	: >"$WORK/go"
	client ticket "$@" >"$WORK/got" 2>&1
	[ -s "$WORK/session" ] && grep -aq 'Max Early Data' "$WORK/got"
}

test_tcp() {
	tap_run early_ticket_allows_it eval 'new_ticket && grep -aq "Max Early Data: 16384" "$WORK/got"'
	begin tcp 'GET /count?early_get'
	tap_run early_get_comes_before_the_handshake tap_wait 60 has /count?early_get
	tap_is early_the_app_is_told "$(got /count?early_get)" 'GET /count?early_get HTTP/1.1 Early-Data: 1;'
	tap_run early_get_is_answered finish
	tap_is early_client_sees_it_taken "$(grep -acE 'Early data was accepted|^HTTP/1.1 ' "$WORK/got")" 2
	tap_is early_is_counted "$(counter early_taken) $(counter early_requests)" '1 1'

	# The same bytes again: the handshake goes on without them.
	begin replay
	tap_run early_replay_is_counted tap_wait 60 count_is early_refused 1
	finish
	tap_is early_replay_gets_nothing "$(cat "$WORK/got") $(counter early_taken) $(got /count?early_get)" \
		'True 1 GET /count?early_get HTTP/1.1 Early-Data: 1;'

	new_ticket
	begin tcp 'POST /upload?early_post hello'
	tap_run early_post_waits tap_wait 60 count_is early_waited 1
	tap_is early_post_is_not_sent_on "$(got /upload?early_post)" ''
	tap_run early_post_is_answered finish
	tap_is early_post_comes_as_any_other "$(got /upload?early_post)" 'POST /upload?early_post HTTP/1.1;'

	# One answer at a time: the second waits for its turn, and that is after the handshake.
	new_ticket
	begin tcp 'HEAD /count?early_first' 'GET /count?early_second'
	tap_run early_first_of_two tap_wait 60 has /count?early_first
	tap_run early_both_are_answered finish
	tap_is early_both_arrived "$(got /count?early_first)$(got /count?early_second)" \
		'HEAD /count?early_first HTTP/1.1 Early-Data: 1;GET /count?early_second HTTP/1.1;'

	new_ticket
	begin tcp 'GET /big?8000000'
	tap_run early_download_begins tap_wait 60 has '/big?8000000'
	tap_run early_download_ends finish
	tap_run early_download_is_whole test "$(stat -c %s "$WORK/got")" -gt 8000000
}

test_http2() {
	local requests waited
	requests=$(counter early_requests) waited=$(counter early_waited)
	: >"$RECORD"
	new_ticket h2
	begin h2
	tap_run early_h2_get tap_wait 60 has /count?early_get
	tap_run early_h2_post_waits tap_wait 60 count_is early_waited $((waited + 1))
	tap_is early_h2_apart "$(got /count?early_get)$(got /upload?early_post) $(($(counter early_requests) - requests))" \
		'GET /count?early_get HTTP/1.1 Early-Data: 1; 1'
	finish
	tap_run early_h2_post_follows tap_wait 60 has /upload?early_post
	tap_is early_h2_post_as_any_other "$(got /upload?early_post)" 'POST /upload?early_post HTTP/1.1;'
}

test_quic() {
	local waited refused
	: >"$RECORD"
	tap_is early_quic_ticket "$(client quic_ticket)" 'max_early_data 4294967295'
	begin quic token 'GET /count?early_get' 'POST /upload?early_post hello'
	waited=$(counter early_waited)
	tap_run early_quic_get tap_wait 60 has /count?early_get
	tap_run early_quic_post_waits tap_wait 60 count_is early_waited $((waited + 1))
	tap_is early_quic_apart "$(got /count?early_get)$(got /upload?early_post)" 'GET /count?early_get HTTP/1.1 Early-Data: 1;'
	finish
	tap_is early_quic_answered "$(grep -cE '^200|^404' "$WORK/got") $(tail -n 1 "$WORK/got")" '2 accepted'
	tap_is early_quic_post "$(got /upload?early_post)" 'POST /upload?early_post HTTP/1.1;'

	tap_run early_quic_closed tap_wait 60 count_is quic_connections_open 0
	refused=$(counter early_refused)
	begin quic_replay
	tap_run early_quic_replay_counted tap_wait 60 count_is early_refused $((refused + 1))
	finish
	tap_is early_quic_replay_gets_nothing "$(got /count?early_get)" 'GET /count?early_get HTTP/1.1 Early-Data: 1;'

	# Permissions go by addresses: who has not proved its own waits.
	: >"$RECORD"
	client quic_ticket >/dev/null
	waited=$(counter early_waited)
	begin quic none 'GET /count?early_get'
	tap_run early_quic_unproved_waits tap_wait 60 count_is early_waited $((waited + 1))
	tap_is early_quic_unproved_is_not_sent_on "$(got /count?early_get)" ''
	finish
	tap_is early_quic_unproved_follows "$(tail -n 1 "$WORK/got") $(got /count?early_get)" 'accepted GET /count?early_get HTTP/1.1;'
}

# A client that never ends its handshake does not keep what waits for that.
test_never() {
	another_worker -o early_data=1 -o handshake_timeout=1000
	new_ticket
	begin tcp 'POST /upload?early_never hello'
	tap_run early_never_finished tap_wait 60 count_is timeouts_client 1
	tap_run early_never_closed tap_wait 60 count_is connections_open 0
	tap_is early_never_sent_on "$(got /upload?early_never) $(counter requests_open)" ' 0'
	finish >/dev/null
}

# Another worker with the same keys of tickets: it cannot know what this one has seen.
test_another() {
	new_ticket
	another_worker -o early_data=1
	begin rejected 'GET /count?early_another' 'GET /count?afterwards'
	finish
	tap_is early_of_another_worker "$(grep -acE '^Reused|Early data was rejected' "$WORK/got") $(counter early_refused) $(counter early_taken)" '2 1 0'
	tap_is early_of_another_is_not_sent_on "$(got /count?early_another)$(got /count?afterwards)" 'GET /count?afterwards HTTP/1.1;'
}

test_off() {
	another_worker
	new_ticket
	tap_is early_off_by_default "$(grep -ac 'Max Early Data: 0' "$WORK/got") $(client quic_ticket)" '1 max_early_data None'
	driver_stop
}

tap_plan 41
certificate "$WORK/pem" || tap_bail 'openssl made no certificate'
printf '@ticket %s\n' "$(openssl rand -hex 80)" >>"$WORK/pem"
: >"$RECORD"
serve 19000 python3 "$HERE/proxy_app.py" 19000 "$RECORD"
worker -o early_data=1
test_tcp
test_http2
test_quic
test_never
test_another
test_off
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/worker.log")"
tap_done
