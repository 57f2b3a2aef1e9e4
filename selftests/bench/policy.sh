#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What policy costs a request: the whole agent, control and all, with each kind of
# permission, with the audit trail, and as one of 10,000 running containers whose project
# has 100 groups. CPU time of the worker, in one run, in turns, and the instructions that it
# executed where the machine counts them: those are the same however busy the machine is.
# Each case is checked to be what it says: who has no credentials is refused, and who has
# is not.
#
#	policy.sh RESULTS PATTERN ROUNDS
set -euo pipefail

results=$1 pattern=${2:-.} rounds=${3:-3} seconds=1
work=$(mktemp -d /tmp/bench-policy.XXXXXX)
agent=$HOODY_BUILD/bin/hoody-agent
project=67e89abc123def456789abcd
container=890abcdef12345678901cdef
address=10.79.0.2 netns=bench-policy-$$
steps=(100 1000 10000)
cases=(none ip token password jwt audit)
declare -A port=([plain]=18090 [audit]=18091 [many]=18092) worker control

die() { echo "policy: $*" >&2; exit 1; }

# shellcheck disable=SC2317
finish() {
	local status=$?
	# What is gone already, such as the other end of an interface, is no failure.
	set +e
	jobs -p | xargs -r kill 2>/dev/null
	wait
	ip netns del $netns 2>/dev/null
	ip link del bench-p 2>/dev/null
	rm -rf "$work"
	exit $status
}
trap finish EXIT

wait_for() { # CMD...: until it succeeds
	local end=$((SECONDS + 60))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "not within 60 s: $* ($(tail -n 5 "$work"/*.log))"
		sleep 0.05
	done
}

api() { # AGENT METHOD PATH [BODY]
	curl -sf --max-time 60 --unix-socket "$work/$1.sock" -X "$2" -H 'Content-Type: application/json' \
		${4:+--data-binary "$4"} "http://agent$3"
}
serving() { [ "$(api "$1" GET /api/v1/status | jq -r .data.worker.state)" = serving ]; }

start_app() {
	ip netns add $netns
	ip link add bench-p type veth peer name eth0 netns $netns
	ip addr add 10.79.0.1/24 dev bench-p
	ip link set bench-p up
	ip -n $netns addr add $address/24 dev eth0
	ip -n $netns link set eth0 up
	cat >"$work/app.conf" <<-END
		worker_processes 1; daemon off; pid $work/app.pid; error_log $work/app.log warn;
		events { worker_connections 4096; }
		http {
			access_log off; keepalive_requests 1000000000; client_body_temp_path $work/t1;
			proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
			server { listen $address:8000; location = / { return 200 "$(printf 'x%.0s' {1..130})"; } }
		}
	END
	ip netns exec $netns nginx -c "$work/app.conf" -e stderr 2>>"$work/app.log" &
	wait_for curl -sf "http://$address:8000/"
}

start_agent() { # NAME AUDIT
	cat >"$work/$1.conf" <<-END
		[agent]
		node = node-us
		base_domain = containers.example.com
		state_directory = $work/$1
		control_socket = $work/$1.sock
		threads = 1
		real_ip = off
		[listen]
		tls = none
		plain = 127.0.0.1:${port[$1]}
		[services]
		terminal = 8000
		[audit]
		database = $2
	END
	taskset -c 0 "$agent" --config "$work/$1.conf" 2>>"$work/$1.log" &
	control[$1]=$!
	wait_for serving "$1"
	api "$1" POST /api/v1/containers \
		"{\"id\":\"$container\",\"project\":\"$project\",\"addresses\":[\"$address\"]}" >/dev/null
	api "$1" POST /api/v1/containers/$container/start >/dev/null
	worker[$1]=$(api "$1" GET /api/v1/status | jq -r .data.worker.pid)
}

# ---- cases ----

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
jwt() { # SECRET
	local text
	text=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '{"sub":"bench","exp":4102444800}' | base64url)
	echo "$text.$(printf %s "$text" | openssl dgst -sha256 -hmac "$1" -binary | base64url)"
}

group_of() {
	case $1 in
	ip) echo '{"type":"ip","range":"127.0.0.0/8"}' ;;
	token) echo '{"type":"token","value":"a-token-of-some-length"}' ;;
	password) echo '{"type":"password","username":"bench","password":"a password of some length"}' ;;
	jwt) echo '{"type":"jwt","secret":"a-secret-of-at-least-thirty-two-bytes","algorithms":["HS256"]}' ;;
	esac
}

credentials_of() {
	case $1 in
	token) echo "Authorization: Bearer a-token-of-some-length" ;;
	password) echo "Authorization: Basic $(printf 'bench:a password of some length' | base64 -w0)" ;;
	jwt) echo "Authorization: Bearer $(jwt a-secret-of-at-least-thirty-two-bytes)" ;;
	*) echo "X-Bench: none" ;;
	esac
}

status_of() { # AGENT CREDENTIALS
	curl -s -o /dev/null -w '%{http_code}' --max-time 60 -H "Host: $host" -H "$2" "http://127.0.0.1:${port[$1]}/"
}
answers() { [ "$(status_of "$1" "$2")" = "$3" ]; }

set_policy() { # AGENT KIND: none and audit: no permissions at all
	local body="{\"project\":\"$project\",\"container\":\"$container\",\"groups\":{},\"permissions\":{},\"default\":\"allow\"}"
	[ -z "$(group_of "$2")" ] || body="{\"project\":\"$project\",\"container\":\"$container\",\"groups\":{\"g\":$(group_of "$2")},\"permissions\":{\"g\":{\"terminal\":true}},\"default\":\"deny\"}"
	api "$1" PUT /api/v1/containers/$container/proxy/permissions "$body" >/dev/null
}

# The feature is there: nobody gets in without, and whoever has it does.
check() { # AGENT KIND
	wait_for answers "$1" "$(credentials_of "$2")" 200
	case $2 in
	token | password | jwt) wait_for answers "$1" "X-Bench: none" 401 ;;
	esac
}

# Not another one since: control puts one in the place of what has ended.
alive() { # AGENT
	local now
	now=$(api "$1" GET /api/v1/status | jq -r .data.worker.pid)
	[ "$now" = "${worker[$1]}" ] || die "the worker of $1 was ${worker[$1]} and is $now: $(tail -n 20 "$work/$1.log")"
}

cpu_ns() { cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }

# Control, on the worker's processor, has done what it was told: a tenth of a second in
# which it does next to nothing.
idle() { # AGENT
	local before
	before=$(cpu_ns "${control[$1]}")
	sleep 0.1
	[ $(($(cpu_ns "${control[$1]}") - before)) -lt 5000000 ]
}

counts() { perf stat -e instructions -- true 2>&1 | grep -qE '[0-9] +instructions'; }
counted() { # PID CMD...: and leaves what PID executed meanwhile in $work/perf
	if [ $counting = yes ]; then
		perf stat -x, -o "$work/perf" -e instructions:u,instructions:k -p "$1" -- "${@:2}"
	else
		"${@:2}"
	fi
}

connects() { api "$1" GET /api/v1/status | jq '[.. | .upstream_connects? // empty][0]'; }

measure() { # CASE AGENT KIND
	local before after out requests connects
	set_policy "$2" "$3"
	check "$2" "$3"
	wait_for idle "$2"
	connects=$(connects "$2")
	before=$(cpu_ns "${worker[$2]}")
	out=$(counted "${worker[$2]}" taskset -c $(($(nproc) > 1)) wrk -t1 -c 32 -d "${seconds}s" -H "Host: $host" -H "$(credentials_of "$3")" \
		"http://127.0.0.1:${port[$2]}/")
	alive "$2"
	after=$(cpu_ns "${worker[$2]}")
	requests=$(awk '/requests in/ { print $1 }' <<<"$out")
	connects=$(($(connects "$2") - connects))
	# Otherwise it would be connecting that is measured, and ports of the machine run out.
	[ $connects -lt $((requests / 10 + 300)) ] || die "$1: $connects upstream connections for $requests requests"
	if grep -q Non-2xx <<<"$out" || [ "${requests:-0}" -lt 20 ]; then die "$1: $out"; fi
	printf '{"section":"policy","scenario":"%s","unit":"us/request","value":%s,"requests":%s}\n' "$1" \
		"$(awk "BEGIN { printf \"%.3f\", ($after - $before) / 1000 / $requests }")" "$requests" >>"$results"
	[ $counting = no ] || awk -F, -v requests="$requests" -v name="$1" '/instructions/ { sum += $1 }
		END { printf "{\"section\":\"policy-instructions\",\"scenario\":\"%s\",\"unit\":\"instructions/request\",\"value\":%.0f}\n", name, sum / requests }' \
		"$work/perf" >>"$results"
}

register() { # NUMBER
	printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers"\nheader = "Content-Type: application/json"\noutput = /dev/null\nfail\ndata = "{\\"id\\":\\"%024x\\",\\"project\\":\\"%s\\",\\"addresses\\":[\\"10.%d.%d.%d\\"]}"\n' \
		"$work/many.sock" "$1" $project $((100 + $1 / 62500)) $(($1 / 250 % 250)) $(($1 % 250 + 1))
}

start() { # NUMBER
	printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers/%024x/start"\nrequest = POST\noutput = /dev/null\nfail\n' \
		"$work/many.sock" "$1"
}

# fill FROM COUNT: others of the project, running, from the FROM-th on, until there are COUNT.
fill() {
	local i step
	for step in register start; do
		for ((i = $1; i < $2; i++)); do
			$step "$i"
			[ $((i + 1)) = "$2" ] || echo next
		done >"$work/requests"
		curl -s --parallel --parallel-max 50 -K "$work/requests" || die "$step: not all containers: $(tail -n 5 "$work/many.log")"
	done
	[ "$(api many GET /api/v1/status | jq .data.containers.running)" = "$2" ] || die "some do not run"
	alive many
}

# A hundred groups that all of the project inherit, the asked one's the last of them.
inherit() {
	local i groups='"last":{"type":"ip","range":"127.0.0.0/8"}' permissions='"last":{"terminal":true}'
	for ((i = 1; i < 100; i++)); do
		groups+=",\"g$i\":{\"type\":\"ip\",\"range\":\"10.$i.0.0/16\"}"
		permissions+=",\"g$i\":{\"terminal\":true}"
	done
	api many PUT /api/v1/projects/$project/proxy/permissions \
		"{\"project\":\"$project\",\"groups\":{$groups},\"permissions\":{$permissions},\"default\":\"deny\"}" >/dev/null
}

host=$project-$container-terminal-1.node-us.containers.example.com
id hoody >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin hoody
chmod 755 "$work"
: >"$results"
counting=no
! counts || counting=yes
start_app
start_agent plain off
start_agent audit on
for ((round = 0; round < rounds; round++)); do
	for kind in "${cases[@]}"; do
		[[ $kind =~ $pattern ]] || continue
		if [ "$kind" = audit ]; then measure audit audit none; else measure "$kind" plain "$kind"; fi
	done
done
if [[ containers =~ $pattern ]]; then
	start_agent many off
	inherit
	filled=1
	for count in "${steps[@]}"; do
		fill $filled "$count"
		filled=$count
		for ((round = 0; round < rounds; round++)); do
			# What the aim is about in turns, within seconds.
			[ "$count" != "${steps[-1]}" ] || measure one-container plain ip
			measure "$count-containers" many none
		done
	done
fi
