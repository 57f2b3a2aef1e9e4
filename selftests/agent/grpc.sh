#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# HTTP/2 to the app: gRPC through a worker without control, by Python's gRPC at both
# ends, and by an app in node that speaks HTTP/2 and nothing else.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=18543 CERTIFICATE=$WORK/pem.crt PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE
export HOST=$PREFIX-http-19100.$DOMAIN DEAD=$PREFIX-http-19199.$DOMAIN PLAIN=$PREFIX-raw-1.$DOMAIN
H1=$PREFIX-http-19103.$DOMAIN PAGES=$PREFIX-http-19101.$DOMAIN
cases=(unary server_stream client_stream bidirectional status deadline big unread many goodbyes no_app unmarked)
# The same app from clients that speak HTTP/3.
http3_cases=(unary server_stream client_stream bidirectional status)

tap_plan $((${#cases[@]} + ${#http3_cases[@]} + 16))
certificate "$WORK/pem" || tap_bail 'openssl made no certificate'
: >"$WORK/record"
serve 19100 python3 "$HERE/grpc_app.py" 19100 "$WORK/record"
head -c 3000000 /dev/urandom >"$WORK/page"
cat >"$WORK/app.js" <<-'JS'
const http2 = require('http2'), page = require('fs').readFileSync(process.env.WORK + '/page');
http2.createServer().on('stream', (stream, headers) => {
	let bytes = 0;
	stream.on('error', () => {});
	stream.on('data', d => { bytes += d.length; });
	if (headers[':method'] === 'POST') {
		stream.on('end', () => { stream.respond({ ':status': 200 }); stream.end(String(bytes)); });
		return;
	}
	if (headers[':path'] !== '/page') {
		stream.respond({ ':status': 404 }, { endStream: true });
	} else if (headers[':method'] === 'HEAD') {
		stream.respond({ ':status': 200, 'content-length': page.length }, { endStream: true });
	} else {
		stream.additionalHeaders({ ':status': 103, link: '</style.css>; rel=preload' });
		stream.respond({ ':status': 200 }, { waitForTrailers: true });
		stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '3' }));
		stream.end(page);
	}
}).listen(19101, '127.0.0.1');
JS
export WORK
serve 19101 node "$WORK/app.js"
serve 19103 python3 -m http.server --bind 127.0.0.1 19103
driver_start -L 127.0.0.1:$TLS -Q 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -2 http -p raw=19100
run() { timeout 120 python3 "$HERE/grpc_client.py" "$1"; }
connections() { sed -n 's/^unary \([^ ]*\) .*/\1/p' "$WORK/record" | sort -u | wc -l; }
for name in "${cases[@]}"; do
	before=$(connections)
	tap_run "grpc_$name" run "$name"
	[ $name != many ] || shared=$(($(connections) - before))
	[ $name != goodbyes ] || moved=$(($(connections) - before))
done
for name in "${http3_cases[@]}"; do
	tap_run "grpc_over_http3_$name" timeout 120 python3 "$HERE/grpc_http3.py" "$name"
done
tap_run grpc_goodbyes_were_said test "$moved" -ge 2
tap_run grpc_cancelled_at_the_app tap_wait 30 grep -q '^hang .* cancelled$' "$WORK/record"
tap_like grpc_fields "$(grep -m 1 ^unary "$WORK/record")" '^unary ipv4:127.0.0.1:[0-9]+ 19100 header$'
# A thousand calls of a client at once share connections of a hundred streams each.
tap_run grpc_connections_are_shared test "$shared" -le 15

get() { # HOST PATH [OPTION...]
	local host=$1 path=$2
	shift 2
	curl -sS --max-time 60 --cacert "$WORK/pem.crt" --resolve "$host:$TLS:127.0.0.1" "$@" "https://$host:$TLS$path"
}
for version in --http1.1 --http2 --http3-only; do
	get "$PAGES" /page $version -o "$WORK/got" && cmp -s "$WORK/got" "$WORK/page"
	tap_is "h2c_page${version#-}" $? 0
done
tap_is h2c_head "$(get "$PAGES" /page -I -o /dev/null -w '%{http_code} %header{content-length}')" '200 3000000'
tap_is h2c_missing "$(get "$PAGES" /none -o /dev/null -w '%{http_code}')" 404
tap_like h2c_early_hints "$(get "$PAGES" /page -D - -o /dev/null)" 'HTTP/2 103'
tap_like h2c_trailers "$(nghttp -nv -H":authority: $PAGES" "https://127.0.0.1:$TLS/page" 2>&1)" 'x-sum: 3'
tap_is h2c_upload "$(head -c 2000000 /dev/zero | get "$PAGES" /page -T - -X POST)" 2000000
# An app that knows HTTP/1.1 alone is never taken for something else.
tap_is h2c_http1_app_is_bad_gateway "$(get "$H1" / -o /dev/null -w '%{http_code}')" 502

# Taken away: the stream ends, the client's connection does not.
python3 "$HERE/grpc_client.py" open_stream >"$WORK/open" 2>&1 &
client=$!
is_open() { [ "$(counter requests_open)" = 1 ]; }
tap_run grpc_stream_is_open tap_wait 30 is_open
driver stop >/dev/null
wait $client
tap_like grpc_stream_is_cut "$(cat "$WORK/open")" '^(INTERNAL|UNAVAILABLE|UNKNOWN)$'
none_open() { [ "$(counter requests_open)" = 0 ]; }
tap_run grpc_nothing_left_open tap_wait 30 none_open
driver_stop
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/worker.log")"
tap_done
