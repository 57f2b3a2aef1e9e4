#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The data path without control: a worker (selftests/bench/worker_driver), real
# clients and servers, and, for bytes that none of them sends, proxy_client.py
# and proxy_app.py.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export PLAIN=18080 TLS=18443 RECORD=$WORK/record
export HOST=$PREFIX-http-19000.$DOMAIN

cases=(pipelining pipelining_tls splits bytewise http10_chunked http10_keepalive
	until_close_chunked trailers trailers_up bodiless head_method hints_10 expect_continue
	expect_refused early_response early_response_read request_fields te_trailers
	app_dies app_dies_10 malformed_responses response_splitting stale client_gone upload_aborted
	upgrade_half_close upgrade_tls upgrade_app_half_close upgrade_refused
	slow_reader smuggling smuggling_bodies)

# ---- servers ----

# curl to a service of the container: get PORT PATH [OPTION...]
get() {
	local host=$PREFIX-http-$1.$DOMAIN path=$2
	shift 2
	curl -sS --http1.1 --max-time 120 --cacert "$WORK/pem.crt" --resolve "$host:$TLS:127.0.0.1" "$@" "https://$host:$TLS$path"
}

start_servers() {
	: >"$RECORD"
	serve 19000 python3 "$HERE/proxy_app.py" 19000 "$RECORD"
	mkdir -p "$WORK/www"
	head -c 3000000 /dev/urandom >"$WORK/www/blob"
	serve 19001 python3 -m http.server -b 127.0.0.1 -d "$WORK/www" 19001
	cat >"$WORK/app.js" <<-'JS'
	const http = require('http');
	http.createServer((q, r) => {
		r.setHeader('X-Peer', q.socket.remoteAddress);
		if (q.method === 'POST') q.pipe(r); else r.end('node ' + q.headers['x-hoody-instance'] + '\n');
	}).listen(19002, '127.0.0.1');
	JS
	serve 19002 node "$WORK/app.js"
	cat >"$WORK/nginx.conf" <<-NGINX
	daemon off; master_process off; pid $WORK/nginx.pid; error_log stderr;
	events {}
	http { access_log off; client_body_temp_path $WORK/t1; proxy_temp_path $WORK/t2; fastcgi_temp_path $WORK/t3;
	uwsgi_temp_path $WORK/t4; scgi_temp_path $WORK/t5; gzip on; gzip_min_length 1; gzip_types *;
	server { listen 127.0.0.1:19003; root $WORK/www; } }
	NGINX
	yes 'a line that compresses well' | head -n 20000 >"$WORK/www/text"
	serve 19003 nginx -c "$WORK/nginx.conf" -e stderr
	cat >"$WORK/ws.py" <<-'PY'
	import asyncio, websockets
	async def echo(ws):
	    async for message in ws:
	        await ws.send(message)
	async def main():
	    async with websockets.serve(echo, "127.0.0.1", 19004, max_size=None):
	        await asyncio.Future()
	asyncio.run(main())
	PY
	serve 19004 python3 "$WORK/ws.py"
}

# ---- tests ----

test_statuses() {
	local name wanted got
	while read -r wanted name; do
		got=$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $name" "http://127.0.0.1:$PLAIN/count")
		tap_is "proxy_status_${wanted}_$name" "$got" "$wanted"
	done <<-NAMES
	200 $HOST
	200 ${HOST^^}.:80
	404 $PREFIX-nothing-1.$DOMAIN
	404 other.example
	400 bad..name
	404 aaaaaaaaaaaaaaaaaaaaaaaa-cccccccccccccccccccccccc-http-19000.$DOMAIN
	503 aaaaaaaaaaaaaaaaaaaaaaaa-dddddddddddddddddddddddd-http-19000.$DOMAIN
	503 aaaaaaaaaaaaaaaaaaaaaaaa-eeeeeeeeeeeeeeeeeeeeeeee-http-19000.$DOMAIN
	503 eeeeeeeeeeeeeeeeeeeeeeee-bbbbbbbbbbbbbbbbbbbbbbbb-http-19000.$DOMAIN
	503 eeeeeeeeeeeeeeeeeeeeeeee-cccccccccccccccccccccccc-http-19000.$DOMAIN
	502 $PREFIX-http-19999.$DOMAIN
	NAMES
	tap_like proxy_refusal_as_json "$(curl -s -H 'Accept: application/json' -H 'Host: x.example' "http://127.0.0.1:$PLAIN/")" '^\{"error":\{"code":"no_route",'
}

test_peers() {
	tap_is proxy_python_blob "$(get 19001 /blob | sha256sum)" "$(sha256sum <"$WORK/www/blob")"
	tap_is proxy_node_echo_chunked "$(get 19002 / -H 'Transfer-Encoding: chunked' --data-binary "@$WORK/www/blob" | sha256sum)" "$(sha256sum <"$WORK/www/blob")"
	tap_is proxy_node_instance "$(get 19002 /)" 'node 19002'
	tap_is proxy_nginx_gzip "$(get 19003 /text --compressed | sha256sum)" "$(sha256sum <"$WORK/www/text")"
	tap_is proxy_nginx_range "$(get 19003 /blob -r 1000-1999 | wc -c)" 1000
	tap_like proxy_nginx_head "$(get 19003 /blob -I)" 'Content-Length: 3000000'
	local host=$PREFIX-http-19000.$DOMAIN
	tap_is proxy_client_connection_kept "$(get 19000 /count -w '%{num_connects}\n' "https://$host:$TLS/count" "https://$host:$TLS/count" | grep -c '^0$')" 2
	tap_run proxy_tls12 get 19000 /count --tls-max 1.2
	tap_refused proxy_tls11_refused get 19000 /count --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0
	tap_refused proxy_alpn_unknown_refused openssl s_client -connect "127.0.0.1:$TLS" -alpn spdy/3 </dev/null
	once() { printf 'GET /count HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$HOST" |
		openssl s_client -connect "127.0.0.1:$TLS" -alpn http/1.1 -ign_eof "$@" 2>/dev/null; }
	once -sess_out "$WORK/session" >/dev/null
	tap_like proxy_tls_session_resumed "$(once -sess_in "$WORK/session" | grep -m1 -E '^(New|Reused)')" '^Reused'
}

test_websocket() {
	cat >"$WORK/ws_client.py" <<-'PY'
	import asyncio, os, ssl, sys, websockets
	async def main():
	    context = ssl.create_default_context(cafile=sys.argv[1])
	    host, port = sys.argv[2], int(sys.argv[3])
	    async with websockets.connect(f"wss://{host}:{port}/", ssl=context, host="127.0.0.1", max_size=None) as ws:
	        for size in (0, 1, 125, 126, 65535, 65536, 5000000):
	            message = os.urandom(size)
	            await ws.send(message)
	            assert await ws.recv() == message, size
	        await ws.send("text")
	        assert await ws.recv() == "text"
	asyncio.run(main())
	PY
	tap_run proxy_websocket python3 "$WORK/ws_client.py" "$WORK/pem.crt" "$PREFIX-http-19004.$DOMAIN" "$TLS"
}

# 1 GiB each way in bounded memory.
test_big() {
	local size=1073741824 peak
	tap_is proxy_big_download "$(get 19000 "/big?$size" | wc -c)" "$size"
	tap_is proxy_big_upload "$(head -c $size /dev/zero | get 19000 /sink -T - -X POST)" "$size"
	peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$WORKER/status")
	tap_run "proxy_big_memory_bounded ($peak kB)" test "$peak" -lt 200000
}

test_pool() {
	local before after
	before=$(counter upstream_connects)
	get 19000 "/count?[1-40]" >/dev/null
	after=$(counter upstream_connects)
	tap_run "proxy_upstream_reused ($((after - before)) for 40)" test $((after - before)) -le 1
	tap_like proxy_retried "$(counter upstream_retried)" '^[1-9]'
}

revoked() { # COMMAND: connections in use are gone when it is answered
	local pid cut
	rm -f "$WORK/open"
	python3 "$HERE/proxy_client.py" cut >"$WORK/open" 2>&1 &
	pid=$!
	tap_wait 30 grep -q open "$WORK/open" || return 1
	cut=$(counter exchanges_cut)
	driver "$1" >/dev/null
	[ "$(counter exchanges_cut)" = $((cut + 1)) ] || { echo "not cut by the time of the answer"; return 1; }
	[ "$(counter upstream_idle)" = 0 ] || { echo "idle connections stay"; return 1; }
	wait $pid
}

test_revocation() {
	status() { curl -s -o /dev/null -w '%{http_code}' -H "Host: $HOST" "http://127.0.0.1:$PLAIN/count"; }
	tap_run proxy_stop_cuts revoked stop
	tap_is proxy_stopped_503 "$(status)" 503
	driver start >/dev/null
	tap_is proxy_started_again "$(status)" 200
	tap_run proxy_new_address_cuts revoked 'address 127.0.0.2'
	driver address 127.0.0.1 >/dev/null
	tap_is proxy_address_back "$(status)" 200
	tap_run proxy_delete_cuts revoked delete
	tap_is proxy_deleted_404 "$(status)" 404
}

test_reload() {
	local old new
	fingerprint() { openssl s_client -connect "127.0.0.1:$TLS" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint; }
	old=$(fingerprint)
	certificate "$WORK/pem2"
	tap_is proxy_reload_certificate "$(driver reload "$WORK/pem2")" ok
	new=$(fingerprint)
	tap_is proxy_new_certificate_served "$new" "$(openssl x509 -noout -fingerprint -in "$WORK/pem2.crt")"
	cat "$WORK/pem.crt" "$WORK/pem2.key" >"$WORK/pem3"
	tap_like proxy_wrong_key_refused "$(driver reload "$WORK/pem3")" '^failed'
	tap_run proxy_refused_reload_keeps_old test "$(fingerprint)" = "$new" -a "$old" != "$new"
	cp "$WORK/pem2.crt" "$WORK/pem.crt"	# what get() trusts from now on
}

# Exchanges end, new connections are not taken, the process ends by itself.
test_drain() {
	driver start >/dev/null
	get 19000 /hang >/dev/null 2>&1 &
	exec 7<>"/dev/tcp/127.0.0.1/$PLAIN"
	printf 'POST /sink HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\n' "$HOST" >&7
	two_open() { [ "$(counter requests_open)" = 2 ]; }
	tap_run proxy_drain_begins_with_two_exchanges tap_wait 30 two_open
	printf 'drain 3000\n' >&8
	tap_need 30 refused_now
	tap_run proxy_drain_stops_accepting refused_now
	printf hello >&7
	tap_like proxy_drain_finishes_exchange "$(timeout 30 cat <&7)" 'Connection: close'
	exec 7>&-
	read -r -t 30 -u 9 _
	read -r -t 30 -u 9 line
	tap_is proxy_drain_ends "$line" 'ok 0'
}
refused_now() { ! port_open "$PLAIN"; }

test_timeouts() {
	driver_start -l 127.0.0.1:$PLAIN -a 127.0.0.1 -o keepalive_timeout=300 -o head_timeout=300 -o response_timeout=300
	tap_run proxy_idle_client_closed python3 "$HERE/proxy_client.py" idle_closed 300
	tap_run proxy_slow_head_408 python3 "$HERE/proxy_client.py" slow_head
	tap_run proxy_slow_app_504 python3 "$HERE/proxy_client.py" slow_app
	tap_is proxy_timeouts_counted "$(counter timeouts_client) $(counter upstream_timeout)" '2 1'
	driver_stop
}

# A container that should see its clients' addresses never sees ours instead.
test_fails_closed() {
	local before
	driver_start -l 127.0.0.1:$PLAIN -a 127.0.0.1 -r
	before=$(wc -c <"$RECORD")
	tap_is proxy_real_ip_refused_502 "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $HOST" "http://127.0.0.1:$PLAIN/count")" 502
	tap_is proxy_real_ip_refused_counted "$(counter real_ip_refused) $(counter upstream_connects)" '1 0'
	tap_is proxy_real_ip_refused_sends_nothing "$(wc -c <"$RECORD")" "$before"
	driver_stop
}

# The suite of TLS 1.3 that comes of what the client offers, in the client's own order.
suite() { openssl s_client -connect "127.0.0.1:$TLS" -tls1_3 -ciphersuites "$1" </dev/null 2>/dev/null | sed -n 's/^New, .*Cipher is //p'; }
test_suites() {
	local aes128=TLS_AES_128_GCM_SHA256 aes256=TLS_AES_256_GCM_SHA384 chacha=TLS_CHACHA20_POLY1305_SHA256
	tap_is proxy_suite_preferred "$(suite $aes256:$aes128)" $aes128
	tap_is proxy_suite_that_both_have "$(suite $aes256)" $aes256
	tap_is proxy_suite_of_clients_without_aes "$(suite $chacha:$aes256:$aes128)" $chacha
}

# What the host's own configuration of OpenSSL forbids is not offered.
test_host_policy() {
	cat >"$WORK/openssl.cnf" <<-CNF
	openssl_conf = init
	[init]
	ssl_conf = ssl
	[ssl]
	system_default = policy
	[policy]
	Ciphersuites = TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384
	CNF
	OPENSSL_CONF=$WORK/openssl.cnf driver_start -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -t 1
	tap_is proxy_host_policy_suite "$(suite TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384)" TLS_AES_256_GCM_SHA384
	tap_is proxy_host_policy_forbids "$(suite TLS_AES_128_GCM_SHA256)" '(NONE)'
	driver_stop
}

# What the worker cannot do any more, read from /proc.
test_sandbox() {
	tap_like proxy_no_new_privileges "$(cat "/proc/$WORKER/status")" '^NoNewPrivs:.1$'
	tap_is proxy_every_thread_filtered "$(grep -h '^Seccomp:' /proc/"$WORKER"/task/*/status | sort -u)" "Seccomp:	2"
}

tap_plan $((${#cases[@]} + 12 + 11 + 3 + 1 + 3 + 2 + 7 + 4 + 4 + 2 + 4 + 2 + 3))
certificate "$WORK/pem" || tap_bail 'openssl made no certificate'
start_servers
driver_start -l 127.0.0.1:$PLAIN -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -t 2
test_statuses
test_peers
test_suites
test_websocket
for name in "${cases[@]}"; do
	tap_run "proxy_$name" timeout 60 python3 "$HERE/proxy_client.py" "$name"
done
test_big
test_pool
test_sandbox
test_revocation
test_reload
test_drain
driver_stop
test_host_policy
test_timeouts
# With the module there, loopback clients are local ones and get an ordinary connection.
if [ -e /sys/module/hoody ]; then
	for _ in 1 2 3; do tap_ok 'proxy_real_ip_refused # SKIP the module is loaded'; done
else
	test_fails_closed
fi
# shellcheck disable=SC2154 # of tap.sh
[ "$tap_failed" = 0 ] || tap_note "$(tail -n 40 "$WORK/worker.log")"
tap_done
