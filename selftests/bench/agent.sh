#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the worker costs beside its peers: CPU time of the proxy's own process per
# request, handshake, message and GiB, its memory per idle client, and the time that it
# adds. One proxy core, the load and the application on another. Runs in the build root;
# writes one JSON object a line to the file it is given.
#
#   wrk, curl, ... (core 1) --> ours | nginx | HAProxy | Caddy | nghttpx (core 0) --> nginx (core 1)
#
# CPU time comes from /proc/PID/task/*/schedstat in nanoseconds, so that what
# else the machine does changes little; proxies take turns, and every run is
# short, so that what changes hits all of them. Each run is checked: no error
# responses, and as many upstream connections as the case says.
set -euo pipefail

results=$1 pattern=${2:-.} rounds=${3:-5} seconds=${4:-2}
sizes=(1024 16384 262144 4194304)
# shellcheck source=selftests/bench/peers.sh
. "$(dirname "$0")/peers.sh"

# ---- runs ----

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
	[ "${requests:-0}" -ge 20 ] || return 1
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

# load SCENARIO PROXY reused|fresh|any COMMAND...: a run_load... and its arguments
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
	any) true ;;
	esac || die "$scenario $proxy: $connections upstream connections for $requests requests"
	emit "$scenario" "$proxy" us/request "$cost" \
		"\"requests\":$requests,\"upstream_connections\":$connections"
}

http1() { load http1 "$1" reused run_load "${pid[$1]}" -c 32 "http://127.0.0.1:${plain[$1]}/"; }
http1_tls() { load http1-tls "$1" reused run_load "${pid[$1]}" -c 32 "https://127.0.0.1:${tls[$1]}/"; }
http1_fresh() { load http1-no-reuse "$1" fresh run_load "${fresh_pid[$1]}" -c 32 "http://127.0.0.1:${fresh[$1]}/"; }
http2() { load http2-tls "$1" reused run_load_http2 "${pid[$1]}" "${tls[$1]}"; }
# run_load_http3 PID PORT: the same over HTTP/3. Sets datagrams: what came for each
# request, at either end.
run_load_http3() {
	local before after accepts process=$1
	datagrams=$(datagrams_received)
	accepts=$(app_accepts)
	before=$(cpu_ns "$process")
	requests=$(on_load_core "$HOODY_BUILD/selftests/bench/http3_load" 127.0.0.1 "$2" "$host" 8 4 "$seconds") ||
		die "http3_load failed"
	after=$(cpu_ns "$process")
	connections=$(($(app_accepts) - accepts - 1))
	[ "$requests" -ge 100 ] || return 1
	datagrams=$(awk "BEGIN { printf \"%.3f\", ($(datagrams_received) - $datagrams) / $requests }")
	cost=$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $requests }")
}

# run_curl_http3 PID PORT: by curl, 32 requests at a time on one connection.
run_curl_http3() {
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

http3() {
	local datagrams
	load http3 "$1" reused run_load_http3 "${pid[$1]}" "${tls[$1]}"
	emit http3-datagrams "$1" datagrams "$datagrams"
}
http3_curl() { load http3-curl "$1" reused run_curl_http3 "${pid[$1]}" "${tls[$1]}"; }
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

hold() { # COMMAND...: clients that stay, on file descriptors of "held"
	coproc held { on_load_core "$@"; }
	local word=
	read -r -t 300 word <&"${held[0]}" || true
	[ "$word" = ready ] || die "clients could not be opened: $*"
}

hold_end() {
	# shellcheck disable=SC2154 # coproc sets it
	local process=$held_PID
	eval "exec ${held[1]}>&-"
	wait "$process" || die "clients failed"
}

# idle SCENARIO PROXY COUNT COMMAND...: memory for each of COUNT clients; COMMAND ends before COUNT.
idle() {
	local scenario=$1 proxy=$2 count=$3 before after
	shift 3
	hold "$@" 50
	hold_end
	before=$(anonymous_bytes "${pid[$proxy]}")
	hold "$@" "$count"
	after=$(anonymous_bytes "${pid[$proxy]}")
	hold_end
	# Of a process that has had more clients before, what it has freed would be taken.
	[ $((after - before)) -gt "$count" ] || die "$scenario $proxy: $before bytes before and $after with $count clients"
	emit "$scenario" "$proxy" bytes $(((after - before) / count)) "\"count\":$count"
}

# 9,000: a process may have 20,000 descriptors here, and HAProxy keeps two for each client.
idle_tls() {
	idle idle-tls-connection "$1" 9000 "$bin/tls_hold" 127.0.0.1 "${tls[$1]}" "$host"
}

idle_ws() {
	idle idle-websocket "$1" 9000 "$bin/ws_load" 127.0.0.1 "${echoed[$1]}" "$echo_host" hold
}

websocket() {
	local before after count
	before=$(cpu_ns "${pid[$1]}")
	count=$(on_load_core "$bin/ws_load" 127.0.0.1 "${echoed[$1]}" "$echo_host" "$seconds" 32) || die "ws_load $1"
	after=$(cpu_ns "${pid[$1]}")
	[ "$count" -ge 100 ] || die "websocket $1: $count messages"
	emit websocket-message "$1" us/message "$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $count }")" \
		"\"messages\":$count"
}

shake() { # SCENARIO PROXY new|resumed
	local before after count
	before=$(cpu_ns "${pid[$2]}")
	count=$(on_load_core "$bin/tls_shake" connect 127.0.0.1 "${tls[$2]}" "$host" "$seconds" "$3") || die "tls_shake $2"
	after=$(cpu_ns "${pid[$2]}")
	# A machine that stood still says nothing.
	[ "$count" -ge 100 ] || { ((--tries)) && shake "$@"; return; }
	emit "$1" "$2" us/handshake "$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $count }")" \
		"\"handshakes\":$count"
}

shake_new() { local tries=10; shake tls-handshake-new "$1" new || die "hardly a handshake in ${seconds} s"; }
shake_resumed() { local tries=10; shake tls-handshake-resumed "$1" resumed || die "hardly a handshake in ${seconds} s"; }

# With more clients (without TLS: so many handshakes would be the cost), with larger
# answers: what the plots show.
connections() {
	local count
	for count in 1 8 64 512; do
		load "connections-$count" "$1" any run_load "${pid[$1]}" -c "$count" "http://127.0.0.1:${plain[$1]}/"
	done
}

request_size() {
	local size
	for size in "${sizes[@]}"; do
		printf 'wrk.method = "POST"\nwrk.body = string.rep("x", %d)\n' "$size" >"$work/post.lua"
		load "request-$size" "$1" any run_load "${pid[$1]}" -c 16 -s "$work/post.lua" "https://127.0.0.1:${tls[$1]}/post"
	done
}

response_size() {
	local size
	for size in "${sizes[@]}"; do
		load "size-$size" "$1" any run_load "${pid[$1]}" -c 16 "https://127.0.0.1:${tls[$1]}/size/$size"
	done
}

# Half of what the machine can do: asked for at that rate, by eight clients; "direct" is
# the application alone.
latency() {
	local port=$app from url out processes
	[ "$1" = direct ] || port=${plain[$1]}
	url="http://$host:$port/"
	if [ -z "${rate:-}" ]; then
		out=$(on_load_core wrk -t1 -c 8 -d "${seconds}s" -H "Host: $host" "http://127.0.0.1:${plain[ours]}/")
		rate=$(awk '$1 == "Requests/sec:" { print int($2 / 2 / 8) }' <<<"$out")
	fi
	from=$work/latency.$1
	mapfile -t processes < <(pgrep -P "$(cat "$work/app.pid")" && echo "${pid[$1]:-}" | grep .)
	ahead "${processes[@]}"
	on_load_core "${first[@]}" h2load --h1 -t1 -c 8 -D "$seconds" --rps="$rate" --log-file="$from" \
		--connect-to="127.0.0.1:$port" "$url" >/dev/null 2>&1 || die "h2load failed"
	no_more "${processes[@]}"
	awk '$2 != 200 { exit 1 }' "$from" || die "latency $1: error responses"
	out=$(cut -f3 "$from" | sort -n | awk '{ v[NR] = $1 } END { print NR, v[int((NR + 1) / 2)], v[int(NR * 0.99)] }')
	read -r count p50 p99 <<<"$out"
	[ "$count" -ge 100 ] || die "latency $1: $count answers"
	emit latency-p50 "$1" us "$p50" "\"requests\":$count,\"rate\":$((rate * 8))"
	emit latency-p99 "$1" us "$p99" "\"requests\":$count,\"rate\":$((rate * 8))"
	rm "$from"
}

# in_turn ROUNDS FUNCTION PROXY...: every proxy once a round, another one first each time
in_turn() {
	local i j rounds=$1 function=$2 proxy
	shift 2
	[[ $function =~ $pattern ]] || return 0
	for proxy in "$@"; do
		[ -n "${pid[$proxy]:-}" ] || [ "$proxy" = direct ] || start "$proxy"
	done
	for ((i = 0; i < rounds; i++)); do
		for ((j = 0; j < $#; j++)); do
			proxy=$(((i + j) % $# + 1))
			"$function" "${!proxy}"
		done
	done
}

start() { # PROXY
	local port
	"start_$1"
	for port in "${plain[$1]:-}" "${tls[$1]:-}" "${fresh[$1]:-}"; do
		[ -z "$port" ] || wait_for port_open "$port"
	done
}

chmod 755 "$work"
# What else a busy machine does would starve one proxy's run and not another's.
renice -n -10 -p $$ >/dev/null 2>&1 || true
{ echo -10 >/proc/self/autogroup; } 2>/dev/null || true
ulimit -n 20000
: >"$results"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=bench \
	-addext "subjectAltName=DNS:*.$domain,IP:127.0.0.1" -keyout "$work/key" -out "$work/crt" 2>/dev/null
cat "$work/crt" "$work/key" >"$work/pem"
start_app
# Memory first, and one of the two in a run.
in_turn 1 idle_tls ours nginx haproxy
if [[ websocket =~ $pattern || idle_ws =~ $pattern ]]; then
	start_echo
	in_turn 1 idle_ws ours nginx haproxy
	in_turn "$rounds" websocket ours nginx haproxy
fi
in_turn "$rounds" http1 ours nginx haproxy caddy nghttpx
in_turn "$rounds" http1_tls ours nginx haproxy caddy nghttpx
in_turn "$rounds" http2 ours nginx haproxy caddy nghttpx
in_turn "$rounds" http3 ours nginx caddy
in_turn "$rounds" http3_curl ours nginx caddy
in_turn "$rounds" http1_fresh ours nginx haproxy
in_turn "$rounds" tls_new ours nginx haproxy
# What is compared here differs by less than the machine's speed does from one second to
# the next: many short runs, so that all have the same share of its moods.
long=$seconds seconds=1
in_turn $((4 * rounds)) shake_new ours openssl suite nginx haproxy
in_turn $((4 * rounds)) shake_resumed ours openssl suite nginx haproxy
seconds=$long
in_turn "$rounds" latency ours direct nginx haproxy
in_turn 3 download_plain ours nginx haproxy
in_turn 3 download_tls ours nginx haproxy
seconds=1
in_turn 2 connections ours nginx haproxy
in_turn 2 request_size ours nginx haproxy
in_turn 2 response_size ours nginx haproxy
