# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# For agent.sh: the application, the proxies with the same task, and meters. Wants
# results (a file), HOODY_BUILD; makes a folder of its own and removes it at the end.

bin=$HOODY_BUILD/selftests/bench
work=$(mktemp -d /tmp/bench-agent.XXXXXX)
cores=$(nproc)
proxy_core=0 load_core=$((cores > 1 ? 1 : 0))
prefix=aaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb domain=node-t.containers.test
app=19080 app_status=19081 echo=19082
host=$prefix-http-$app.$domain
echo_host=$prefix-http-$echo.$domain
# plain, TLS (Caddy and nginx: QUIC too), plain without upstream reuse, and to the
# WebSocket application. nghttpx and HAProxy are built without QUIC in Debian.
declare -A plain=([ours]=18080 [nginx]=18180 [haproxy]=18280 [caddy]=18380 [nghttpx]=18480)
declare -A tls=([ours]=18443 [nginx]=18543 [haproxy]=18643 [caddy]=18743 [nghttpx]=18843 [openssl]=18943 [suite]=18944)
declare -A fresh=([ours]=18081 [nginx]=18181 [haproxy]=18281)
declare -A echoed=([ours]=18080 [nginx]=18182 [haproxy]=18282)
declare -A pid fresh_pid

die() { echo "bench: $*" >&2; exit 1; }

# shellcheck disable=SC2317
finish() {
	local status=$? process processes
	set +e
	jobs -p >"$work/jobs"
	mapfile -t processes <"$work/jobs"
	[ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null
	exec 8>&- 7>&-
	# The next run wants their ports.
	for process in "${processes[@]}" "${pid[@]}" "${fresh_pid[@]}"; do
		timeout 20 tail --pid="$process" -f /dev/null || kill -9 "$process" 2>/dev/null
	done
	rm -rf "$work"
	exit $status
}
trap finish EXIT

wait_for() { # CMD...: until it succeeds
	local end=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "not within 30 s: $* ($(tail -n 5 "$work"/*.log 2>/dev/null))"
		sleep 0.05
	done
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

on_proxy_core() { taskset -c $proxy_core "$@"; }
on_load_core() { taskset -c $load_core "$@"; }

# ---- the application and the proxies ----

nginx_common() { # NAME
	cat <<-END
		worker_processes 1; daemon off; pid $work/$1.pid; error_log $work/$1.log warn;
		worker_rlimit_nofile 20000;
		events { worker_connections 20000; }
		http {
			access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
			client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
			uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	END
}

start_app() {
	truncate -s 64M "$work/blob"
	mkdir "$work/size"
	for size in "${sizes[@]}"; do truncate -s "$size" "$work/size/$size"; done
	{
		nginx_common app
		cat <<-END
				sendfile on; tcp_nopush on;
				server {
					listen 127.0.0.1:$app backlog=4096;
					client_max_body_size 0;
					location = / { return 200 "$(printf 'x%.0s' {1..130})"; }
					location = /blob { root $work; }
					# Answers when it has the whole body.
					location = /post {
						client_body_buffer_size 8m;
						proxy_pass http://127.0.0.1:$app/; proxy_pass_request_body off;
						proxy_set_header Content-Length "";
					}
					location /size/ { root $work; }
				}
				server { listen 127.0.0.1:$app_status; location / { stub_status; } }
			}
		END
	} >"$work/app.conf"
	# Not through the function, here and below: its process would be a shell, not nginx.
	taskset -c $load_core nginx -c "$work/app.conf" -e stderr 2>>"$work/app.log" &
	wait_for port_open $app
	wait_for port_open $app_status
}

start_driver() { # FD-IN WORD-FILE OPTION...: prints the worker's pid
	local fd=$1 word=$2
	shift 2
	mkfifo "$word.in"
	on_proxy_core "$bin/worker_driver" "$@" <"$word.in" >"$word" 2>>"$work/ours.log" &
	eval "exec $fd>\"$word.in\""
	wait_for grep -q ready "$word"
}

start_ours() {
	start_driver 8 "$work/ours.ready" -l "127.0.0.1:${plain[ours]}" -L "127.0.0.1:${tls[ours]}" \
		-Q "127.0.0.1:${tls[ours]}" \
		-c "$work/pem" -a 127.0.0.1 -t 1 -o upstream_per_container_max=16000
	start_driver 7 "$work/fresh.ready" -l "127.0.0.1:${fresh[ours]}" -a 127.0.0.1 -t 1 -o upstream_idle_max=0
	pid[ours]=$(cut -d' ' -f2 "$work/ours.ready")
	fresh_pid[ours]=$(cut -d' ' -f2 "$work/fresh.ready")
}

nginx_server() { # LISTEN CONNECTION-HEADER UPSTREAM
	cat <<-END
		server {
			listen $1;
			ssl_certificate $work/pem; ssl_certificate_key $work/pem;
			client_max_body_size 0;
			location / {
				proxy_pass http://$3; proxy_http_version 1.1; proxy_set_header Connection "$2";
				proxy_request_buffering off;
				proxy_set_header Host \$host;
				proxy_set_header X-Forwarded-For \$remote_addr;
				proxy_set_header X-Forwarded-Proto \$scheme;
				proxy_set_header X-Forwarded-Host \$host;
			}
		}
	END
}

start_nginx() {
	{
		nginx_common nginx
		cat <<-END
			upstream kept { server 127.0.0.1:$app; keepalive 256; keepalive_requests 1000000000; }
			upstream fresh { server 127.0.0.1:$app; }
			server {
				listen 127.0.0.1:${echoed[nginx]} backlog=4096;
				location / {
					proxy_pass http://127.0.0.1:$echo; proxy_http_version 1.1; proxy_read_timeout 600s;
					proxy_set_header Connection upgrade; proxy_set_header Upgrade websocket;
				}
			}
		END
		nginx_server "127.0.0.1:${plain[nginx]} backlog=4096" "" kept
		nginx_server "127.0.0.1:${tls[nginx]} ssl backlog=4096; listen 127.0.0.1:${tls[nginx]} quic; http2 on; http3 on" "" kept
		nginx_server "127.0.0.1:${fresh[nginx]} backlog=4096" close fresh
		echo "}"
	} >"$work/nginx.conf"
	taskset -c $proxy_core nginx -c "$work/nginx.conf" -e stderr 2>>"$work/nginx.log" &
	wait_for test -s "$work/nginx.pid"
	wait_for pgrep -P "$(cat "$work/nginx.pid")"
	pid[nginx]=$(pgrep -P "$(cat "$work/nginx.pid")")
	fresh_pid[nginx]=${pid[nginx]}
}

start_caddy() {
	cat >"$work/Caddyfile" <<-END
		{
			admin off
			auto_https off
			storage file_system $work/caddy
		}
		http://$host:${plain[caddy]} {
			bind 127.0.0.1
			reverse_proxy 127.0.0.1:$app
		}
		https://$host:${tls[caddy]} {
			bind 127.0.0.1
			tls $work/crt $work/key
			reverse_proxy 127.0.0.1:$app
		}
	END
	GOMAXPROCS=1 HOME=$work taskset -c $proxy_core caddy run --config "$work/Caddyfile" --adapter caddyfile \
		>>"$work/caddy.log" 2>&1 &
	pid[caddy]=$!
}

start_nghttpx() {
	taskset -c $proxy_core nghttpx --conf=/dev/null --single-process --single-thread --workers=1 \
		--frontend="127.0.0.1,${plain[nghttpx]};no-tls" --frontend="127.0.0.1,${tls[nghttpx]}" \
		--backend="127.0.0.1,$app" --backend-keep-alive-timeout=600s --add-x-forwarded-for --no-via \
		--accesslog-file=/dev/null --errorlog-file="$work/nghttpx.log" "$work/key" "$work/crt" \
		>>"$work/nghttpx.log" 2>&1 &
	pid[nghttpx]=$!
}

# What a proxy adds to: OpenSSL in a loop, as it is, and with the suite that ours prefers.
start_openssl() {
	taskset -c $proxy_core "$bin/tls_shake" serve "${tls[openssl]}" "$work/pem" >>"$work/openssl.log" 2>&1 &
	pid[openssl]=$!
	taskset -c $proxy_core "$bin/tls_shake" serve "${tls[suite]}" "$work/pem" TLS_AES_128_GCM_SHA256 >>"$work/openssl.log" 2>&1 &
	pid[suite]=$!
}

start_echo() {
	cat >"$work/echo.js" <<-END
		const { WebSocketServer } = require('ws');
		new WebSocketServer({ port: $echo, host: '127.0.0.1', perMessageDeflate: false, backlog: 4096 })
			.on('connection', (s) => s.on('message', (d, binary) => s.send(d, { binary })));
	END
	NODE_PATH=/usr/share/nodejs:/usr/lib/nodejs taskset -c $load_core node "$work/echo.js" >>"$work/echo.log" 2>&1 &
	wait_for port_open $echo
}

start_haproxy() {
	cat >"$work/haproxy.cfg" <<-END
		global
			nbthread 1
			maxconn 9900
		defaults
			mode http
			timeout connect 5s
			timeout client 600s
			timeout server 600s
			option forwardfor
		listen kept
			bind 127.0.0.1:${plain[haproxy]} backlog 4096
			bind 127.0.0.1:${tls[haproxy]} ssl crt $work/pem alpn h2,http/1.1 backlog 4096
			http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
			http-request set-header X-Forwarded-Host %[req.hdr(host)]
			http-reuse always
			server app 127.0.0.1:$app pool-max-conn 256
		listen fresh
			bind 127.0.0.1:${fresh[haproxy]} backlog 4096
			http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
			http-request set-header X-Forwarded-Host %[req.hdr(host)]
			http-reuse never
			option http-server-close
			server app 127.0.0.1:$app pool-max-conn 0
	END
	cat >>"$work/haproxy.cfg" <<-END
		listen echo
			bind 127.0.0.1:${echoed[haproxy]} backlog 4096
			timeout tunnel 600s
			server app 127.0.0.1:$echo
	END
	taskset -c $proxy_core haproxy -f "$work/haproxy.cfg" >>"$work/haproxy.log" 2>&1 &
	pid[haproxy]=$!
	fresh_pid[haproxy]=$!
}

# ---- meters ----

cpu_ns() { # PID: of all its threads
	cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

anonymous_bytes() { # PID
	awk '$1 == "Anonymous:" { print $2 * 1024 }' "/proc/$1/smaps_rollup"
}

# Of other work on the machine one turn on a processor takes longer than a request: what
# is timed by the clock runs ahead of it, all of it alike, where that is allowed.
first=()
! chrt --fifo 20 true 2>/dev/null || first=(chrt --fifo 20)
ahead() { # PID...
	local process
	for process in "$@"; do [ ${#first[@]} = 0 ] || chrt --all-tasks --fifo --pid 20 "$process"; done
}
no_more() { # PID...: as before
	local process
	for process in "$@"; do [ ${#first[@]} = 0 ] || chrt --all-tasks --other --pid 0 "$process"; done
}

datagrams_received() { awk '$1 == "Udp:" { n = $2 } END { print n }' /proc/net/snmp; }

app_accepts() {
	curl -s "http://127.0.0.1:$app_status/" | awk 'NR == 3 { print $1 }'
}

emit() { # SCENARIO PROXY UNIT VALUE [JSON]
	printf '{"section":"agent","scenario":"%s","proxy":"%s","unit":"%s","value":%s%s}\n' \
		"$1" "$2" "$3" "$4" "${5:+,$5}" >>"$results"
}

