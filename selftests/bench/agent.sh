#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the worker costs beside nginx and HAProxy: CPU time of the proxy's own
# process per request, per new TLS connection and per GiB, and its memory per
# idle TLS connection. One proxy core, the load and the application on another.
# Runs in the build root; writes one JSON object a line to the file it is given.
#
#   wrk, curl (core 1) --> ours | nginx | HAProxy (core 0) --> nginx (core 1)
#
# CPU time comes from /proc/PID/task/*/schedstat in nanoseconds, so that what
# else the machine does changes little; proxies take turns, and every run is
# short, so that what changes hits all of them. Each run is checked: no error
# responses, and as many upstream connections as the case says.
set -euo pipefail

results=$1 pattern=${2:-.} rounds=${3:-5} seconds=${4:-2}
bin=$HOODY_BUILD/selftests/bench
work=$(mktemp -d /tmp/bench-agent.XXXXXX)
cores=$(nproc)
proxy_core=0 load_core=$((cores > 1 ? 1 : 0))
host=aaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb-http-19080.node-t.containers.test
app=19080 app_status=19081
proxies=(ours nginx haproxy)
# plain, TLS, and plain without upstream reuse
declare -A plain=([ours]=18080 [nginx]=18180 [haproxy]=18280)
declare -A tls=([ours]=18443 [nginx]=18543 [haproxy]=18643)
declare -A fresh=([ours]=18081 [nginx]=18181 [haproxy]=18281)
declare -A pid fresh_pid
# HTTP/3: Caddy in the place of HAProxy, which Debian builds without QUIC.
declare -A quic=([ours]=18443 [nginx]=18543 [caddy]=18743)

die() { echo "bench: $*" >&2; exit 1; }

# shellcheck disable=SC2317
finish() {
	local status=$?
	jobs -p | xargs -r kill 2>/dev/null
	exec 8>&- 7>&-
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
		events { worker_connections 8192; }
		http {
			access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
			client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
			uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	END
}

start_app() {
	truncate -s 64M "$work/blob"
	{
		nginx_common app
		cat <<-END
				sendfile on; tcp_nopush on;
				server {
					listen 127.0.0.1:$app backlog=4096;
					location = / { return 200 "$(printf 'x%.0s' {1..130})"; }
					location = /blob { root $work; }
				}
				server { listen 127.0.0.1:$app_status; location / { stub_status; } }
			}
		END
	} >"$work/app.conf"
	on_load_core nginx -c "$work/app.conf" -e stderr 2>>"$work/app.log" &
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
		-Q "127.0.0.1:${quic[ours]}" \
		-c "$work/pem" -a 127.0.0.1 -t 1
	start_driver 7 "$work/fresh.ready" -l "127.0.0.1:${fresh[ours]}" -a 127.0.0.1 -t 1 -o upstream_idle_max=0
	pid[ours]=$(cut -d' ' -f2 "$work/ours.ready")
	fresh_pid[ours]=$(cut -d' ' -f2 "$work/fresh.ready")
}

nginx_server() { # LISTEN CONNECTION-HEADER UPSTREAM
	cat <<-END
		server {
			listen $1;
			ssl_certificate $work/pem; ssl_certificate_key $work/pem;
			location / {
				proxy_pass http://$3; proxy_http_version 1.1; proxy_set_header Connection "$2";
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
		END
		nginx_server "127.0.0.1:${plain[nginx]} backlog=4096" "" kept
		nginx_server "127.0.0.1:${tls[nginx]} ssl backlog=4096; listen 127.0.0.1:${quic[nginx]} quic; http2 on; http3 on" "" kept
		nginx_server "127.0.0.1:${fresh[nginx]} backlog=4096" close fresh
		echo "}"
	} >"$work/nginx.conf"
	on_proxy_core nginx -c "$work/nginx.conf" -e stderr 2>>"$work/nginx.log" &
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
		https://$host:${quic[caddy]} {
			bind 127.0.0.1
			tls $work/crt $work/key
			reverse_proxy 127.0.0.1:$app
		}
	END
	GOMAXPROCS=1 HOME=$work taskset -c $proxy_core caddy run --config "$work/Caddyfile" --adapter caddyfile \
		>>"$work/caddy.log" 2>&1 &
	pid[caddy]=$!
	wait_for port_open "${quic[caddy]}"
}

start_haproxy() {
	cat >"$work/haproxy.cfg" <<-END
		global
			nbthread 1
			maxconn 8192
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
	# Not through the function: its process would be a shell, not haproxy.
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

app_accepts() {
	curl -s "http://127.0.0.1:$app_status/" | awk 'NR == 3 { print $1 }'
}

emit() { # SCENARIO PROXY UNIT VALUE [JSON]
	printf '{"section":"agent","scenario":"%s","proxy":"%s","unit":"%s","value":%s%s}\n' \
		"$1" "$2" "$3" "$4" "${5:+,$5}" >>"$results"
}

# run_load PID WRK-OPTION...: sets requests, connections and cost, of one run.
run_load() {
	local before after accepts out process=$1
	shift
	accepts=$(app_accepts)
	before=$(cpu_ns "$process")
	out=$(on_load_core wrk -t1 -d "${seconds}s" -H "Host: $host" "$@") || die "wrk failed: $out"
	after=$(cpu_ns "$process")
	# The one that asks is counted, too.
	connections=$(($(app_accepts) - accepts - 1))
	requests=$(awk '/requests in/ { print $1 }' <<<"$out")
	if grep -q 'Non-2xx' <<<"$out"; then die "error responses to wrk $*:"$'\n'"$out"; fi
	[ "${requests:-0}" -ge 100 ] || return 1
	cost=$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $requests }")
}

# run_load_http2 PID PORT: the same over HTTP/2, four streams on each connection.
run_load_http2() {
	local before after accepts out process=$1
	accepts=$(app_accepts)
	before=$(cpu_ns "$process")
	out=$(on_load_core h2load -t1 -c 8 -m 4 -D "$seconds" --connect-to="127.0.0.1:$2" --sni="$host" \
		"https://$host/" 2>&1) || die "h2load failed: $out"
	after=$(cpu_ns "$process")
	connections=$(($(app_accepts) - accepts - 1))
	requests=$(sed -nE 's/^status codes: ([0-9]+) 2xx, 0 3xx, 0 4xx, 0 5xx$/\1/p' <<<"$out")
	[ -n "$requests" ] || die "error responses to h2load:"$'\n'"$out"
	[ "$requests" -ge 100 ] || return 1
	grep -q '^Application protocol: h2' <<<"$out" || die "no HTTP/2:"$'\n'"$out"
	cost=$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $requests }")
}

# load SCENARIO PROXY reused|fresh COMMAND...: a run_load... and its arguments
load() {
	local scenario=$1 proxy=$2 upstream=$3 requests connections cost tries=10
	shift 3
	# A busy machine may starve a run: it says nothing then.
	until "$@"; do
		((--tries)) || die "$scenario $proxy: hardly an answer in ${seconds} s"
	done
	case $upstream in
	reused) [ "$connections" -lt $((requests / 10 + 300)) ] ;;
	fresh) [ "$connections" -ge "$requests" ] ;;
	esac || die "$scenario $proxy: $connections upstream connections for $requests requests"
	emit "$scenario" "$proxy" us/request "$cost" \
		"\"requests\":$requests,\"upstream_connections\":$connections"
}

http1() { load http1 "$1" reused run_load "${pid[$1]}" -c 32 "http://127.0.0.1:${plain[$1]}/"; }
http1_tls() { load http1-tls "$1" reused run_load "${pid[$1]}" -c 32 "https://127.0.0.1:${tls[$1]}/"; }
http1_fresh() { load http1-no-reuse "$1" fresh run_load "${fresh_pid[$1]}" -c 32 "http://127.0.0.1:${fresh[$1]}/"; }
http2() { load http2-tls "$1" reused run_load_http2 "${pid[$1]}" "${tls[$1]}"; }
# run_load_http3 PID PORT: the same over HTTP/3, by curl: 32 requests at a time on one connection.
run_load_http3() {
	local before after accepts got count=6000 process=$1
	accepts=$(app_accepts)
	before=$(cpu_ns "$process")
	got=$(on_load_core curl -sSkZ --http3-only --parallel-max 32 --resolve "$host:$2:127.0.0.1" -o /dev/null \
		-w '%{http_version} %{http_code}\n' "https://$host:$2/?[1-$count]" | sort | uniq -c | xargs)
	after=$(cpu_ns "$process")
	connections=$(($(app_accepts) - accepts - 1)) requests=$count
	[ "$got" = "$count 3 200" ] || die "not $count answers over HTTP/3: $got"
	cost=$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $requests }")
}

http3() { load http3 "$1" reused run_load_http3 "${pid[$1]}" "${quic[$1]}"; }
tls_new() {
	load tls-new-connection "$1" reused run_load "${pid[$1]}" -c 8 -H 'Connection: close' \
		"https://127.0.0.1:${tls[$1]}/"
}

# 1 GiB as 16 responses on one connection.
download() { # SCENARIO PROXY URL
	local before after got
	before=$(cpu_ns "${pid[$2]}")
	got=$(on_load_core curl -sSk --http1.1 -o /dev/null -w '%{http_code} %{size_download}\n' \
		-H "Host: $host" "$3/blob?[1-16]" | sort | uniq -c | xargs)
	after=$(cpu_ns "${pid[$2]}")
	[ "$got" = "16 200 67108864" ] || die "$1 $2: got $got"
	emit "$1" "$2" ms/GiB "$(awk "BEGIN { printf \"%.1f\", ($after - $before) / 1e6 }")"
}

download_plain() { download download-1GiB "$1" "http://127.0.0.1:${plain[$1]}"; }
download_tls() { download download-1GiB-tls "$1" "https://127.0.0.1:${tls[$1]}"; }

hold_connections() { # PROXY COUNT: opens them on file descriptors of "hold"
	coproc hold { on_load_core "$bin/tls_hold" 127.0.0.1 "${tls[$1]}" "$host" "$2"; }
	local word=
	read -r -t 120 word <&"${hold[0]}" || true
	[ "$word" = ready ] || die "tls_hold $1 failed"
}

hold_end() {
	# shellcheck disable=SC2154 # coproc sets it
	local process=$hold_PID
	eval "exec ${hold[1]}>&-"
	wait "$process" || die "tls_hold failed"
}

idle_tls() {
	local before after
	hold_connections "$1" 50
	hold_end
	before=$(anonymous_bytes "${pid[$1]}")
	hold_connections "$1" 1000
	after=$(anonymous_bytes "${pid[$1]}")
	hold_end
	emit idle-tls-connection "$1" bytes $(((after - before) / 1000))
}

# in_turn ROUNDS FUNCTION: every proxy once a round, another one first each time
in_turn() {
	local i j
	[[ $2 =~ $pattern ]] || return 0
	for ((i = 0; i < $1; i++)); do
		for ((j = 0; j < ${#proxies[@]}; j++)); do
			"$2" "${proxies[(i + j) % ${#proxies[@]}]}"
		done
	done
}

chmod 755 "$work"
# What else a busy machine does would starve one proxy's run and not another's.
renice -n -10 -p $$ >/dev/null 2>&1 || true
{ echo -10 >/proc/self/autogroup; } 2>/dev/null || true
ulimit -n 20000
: >"$results"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=bench \
	-addext "subjectAltName=DNS:*.node-t.containers.test" -keyout "$work/key" -out "$work/crt" 2>/dev/null
cat "$work/crt" "$work/key" >"$work/pem"
start_app
for proxy in "${proxies[@]}"; do
	"start_$proxy"
	for port in "${plain[$proxy]}" "${tls[$proxy]}" "${fresh[$proxy]}"; do wait_for port_open "$port"; done
done
# Memory first: what the load leaves in the allocators would blur it.
in_turn 1 idle_tls
in_turn "$rounds" http1
in_turn "$rounds" http1_tls
in_turn "$rounds" http2
if [[ http3 =~ $pattern ]]; then
	start_caddy
	proxies=(ours nginx caddy)
	in_turn "$rounds" http3
	proxies=(ours nginx haproxy)
	kill "${pid[caddy]}"
fi
in_turn "$rounds" http1_fresh
in_turn "$rounds" tls_new
in_turn 3 download_plain
in_turn 3 download_tls
