#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# 10,000 containers: all are kept, found and brought back, each costs a bounded
# amount of memory in both processes, and what a registration takes with none
# and with all of them present is printed (not judged: machines differ).
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need
PROJECT=aaaaaaaaaaaaaaaaaaaaaaaa
COUNT=10000
tap_plan 11

cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $SOCKET
threads = 1
real_ip = off
[listen]
tls = none
plain = 127.0.0.1:8080
CONF

api() { curl -s --max-time 60 --unix-socket "$SOCKET" "$@"; }
status() { api http://agent/api/v1/status | jq -r "$1"; }
# Private and anonymous memory in KiB; an image is shared by both processes.
memory() { awk '/^(RssAnon|RssShmem)/ { sum += $2 } END { print sum }' "/proc/$1/status"; }

# calls ACTION FROM TO [CURL-OPTION]...: one call for each container; its status and time.
calls() {
	local i action=$1 first=$2 last=$3
	shift 3
	for ((i = first; i <= last; i++)); do
		$action "$i"
		[ "$i" = "$last" ] || echo next
	done >"$WORK/requests"
	curl -s "$@" -K "$WORK/requests"
}
start() { printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers/%024x/start"\nrequest = POST\noutput = /dev/null\nwrite-out = "%%{http_code} %%{time_total}\\n"\n' "$SOCKET" "$1"; }
stop() { start "$1" | sed 's,/start",/stop",'; }
register() { # with one address and one port of its own
	local i=$1
	printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers"\nheader = "Content-Type: application/json"\noutput = /dev/null\nwrite-out = "%%{http_code} %%{time_total}\\n"\ndata = "{\\"id\\":\\"%024x\\",\\"project\\":\\"%s\\",\\"name\\":\\"container %d\\",\\"addresses\\":[\\"10.%d.%d.%d\\"],\\"ports\\":{\\"terminal\\":7681}}"\n' \
		"$SOCKET" "$i" $PROJECT "$i" $((64 + i / 62500)) $((i / 250 % 250)) $((i % 250 + 1))
}
median() { cut -d' ' -f2 | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f ms", v[int((NR + 1) / 2)] * 1000 }'; }

start_agent
control_before=$(memory $AGENT_PID) worker_before=$(memory "$(status .data.worker.pid)")
calls register 1 100 >"$WORK/few"
tap_is first_100_registered "$(grep -c '^201 ' "$WORK/few")" 100
calls register 101 $((COUNT - 100)) --parallel --parallel-max 50 >"$WORK/most"
tap_is most_registered "$(grep -c '^201 ' "$WORK/most")" $((COUNT - 200))
calls register $((COUNT - 99)) $COUNT >"$WORK/last"
tap_is last_100_registered "$(grep -c '^201 ' "$WORK/last")" 100
tap_note "one registration, one after the other: $(median <"$WORK/few") with none present, $(median <"$WORK/last") with $COUNT"

calls start 1 100 >"$WORK/few"
calls start 101 $COUNT --parallel --parallel-max 50 >"$WORK/most"
tap_is all_started "$(grep -c '^200 ' "$WORK/most") $(status .data.containers.running)" "$((COUNT - 100)) $COUNT"
calls stop 1 100 >"$WORK/last"
tap_is some_stopped "$(grep -c '^200 ' "$WORK/last")" 100
tap_note "one start with none running: $(median <"$WORK/few"); one stop with $COUNT running: $(median <"$WORK/last")"
per_control=$((($(memory $AGENT_PID) - control_before) * 1024 / COUNT))
per_worker=$((($(memory "$(status .data.worker.pid)") - worker_before) * 1024 / COUNT))
tap_note "memory for one container: control $per_control bytes, worker $per_worker bytes"
tap_run control_memory_is_bounded test $per_control -lt 2048
tap_run worker_memory_is_bounded test $per_worker -lt 512

tap_is every_one_is_found "$(api "http://agent/api/v1/containers/$(printf %024x $COUNT)" | jq -r .data.name)" "container $COUNT"
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
start_agent
tap_is all_come_back_after_sigkill "$(status .data.containers.registered)" $COUNT
last=$(printf %024x $COUNT)
tap_is they_run_again "$(status .data.containers.running)" $((COUNT - 100))
api -X DELETE "http://agent/api/v1/containers/$last" >/dev/null
tap_is one_of_them_is_deleted "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $PROJECT-$last-http-80.node-us.containers.example.com" http://127.0.0.1:8080/)" 404
tap_done
