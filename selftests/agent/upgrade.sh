#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent's program is replaced while it serves: requests over HTTP/1.1, 2 and 3,
# WebSockets, a QUIC transfer, the relay and the API go on, what is revoked is cut
# in workers of before, and a program that does not work is refused.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces
HERE=$(cd "$(dirname "$0")" && pwd)

export TLS=8473 WORK PYTHONDONTWRITEBYTECODE=1
PROJECT_ID=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef OTHER_ID=a90abcdef12345678901cdef
BASE=node-us.containers.example.com
NAME=$PROJECT_ID-$CONTAINER_ID-http-8000.$BASE OTHER=$PROJECT_ID-$OTHER_ID-http-8000.$BASE
NETNS=hoody-upgrade-$$
BUILT=$AGENT AGENT=$WORK/bin/hoody-agent

# ---- the agent and a container ----

netns_container $NETNS veth-u 10.81.0.1/24 10.81.0.2/24 10.81.0.3/24
ip netns exec $NETNS python3 "$HERE/upgrade_app.py" 0.0.0.0 8000 2>"$WORK/app.log" &
tap_cleanup "kill $!"
tap_up 10.81.0.2/8000 "$WORK/app.log"
self_signed "$WORK/server" "DNS:*.$BASE"
config() { # LINE...: of [agent]
	cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $WORK/control.sock
	threads = ${THREADS:-2}
	real_ip = off
	$*
	[listen]
	tls = 127.0.0.1:$TLS
	[timeouts]
	handshake = 5m
	keepalive = 10m
	[tls]
	certificate = $WORK/server.crt
	key = $WORK/server.key
	CONF
}
install_program() { # FILE: as a package manager does, by a rename
	cp "$1" "$AGENT.new" && mv "$AGENT.new" "$AGENT"
}
status() { hoody status --json; }
worker() { status | jq -r .worker.pid; }
field() { status | jq -r "$1"; }
fetch() { curl -s -o /dev/null -m 30 -w '%{http_code}' --cacert "$WORK/server.crt" --resolve "$1:$TLS:127.0.0.1" "https://$1:$TLS/"; }
logged() { grep -qE "$1" "$WORK/log"; }
workers() { pgrep -c -P "$AGENT_PID" hoody-worker; }
workers_are() { [ "$(workers)" = "$1" ]; }
client() { # NAME CASE [HOST]: in the background, until it says that it is open
	HOST=${3:-$NAME} timeout 240 python3 "$HERE/upgrade_client.py" "$2" >"$WORK/$1.out" 2>&1 &
	pids[$1]=$!
	tap_wait 60 grep -q open "$WORK/$1.out" || tap_note "$(cat "$WORK/$1.out")"
}
client_is() { # NAME WHAT: how it ended
	wait "${pids[$1]}"
	tap_like "$1" "$? $(tr '\n' ' ' <"$WORK/$1.out")" "^0 open [1-9][0-9]* $2"
}
declare -A pids

tap_plan 42
mkdir "$WORK/bin"
install_program "$BUILT"
config
start_agent
hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --address 10.81.0.2 >/dev/null &&
	hoody containers start $CONTAINER_ID >/dev/null &&
	hoody containers register --id $OTHER_ID --project $PROJECT_ID --address 10.81.0.3 >/dev/null &&
	hoody containers start $OTHER_ID >/dev/null || tap_bail "containers cannot be registered"
tap_is serves_before "$(fetch "$NAME") $(fetch "$OTHER")" '200 200'

# ---- clients of all kinds, and three upgrades ----

client requests_over_http1 load_h1
client requests_over_http2 load_h2
client requests_over_http3 load_h3
client idle_connection_is_answered idle_h1
client handshake_under_way_is_finished half_h1
client websocket_over_http1_lives websocket_h1
client websocket_over_http2_lives websocket_h2
client transfer_over_http3_lives long_h3
client websocket_is_cut websocket_cut "$OTHER"
(
	while ! [ -e "$WORK/stop" ]; do
		hoody containers show $CONTAINER_ID >/dev/null || { echo failed; break; }
		sleep 0.02
	done >"$WORK/api.out" 2>&1
) &
api=$!

before=$(worker)
tap_run upgrade_is_done hoody upgrade
: >"$WORK/replaced"
tap_run another_worker_serves test "$(worker)" != "$before"
tap_is the_process_is_the_same "$(pgrep -o -f "$AGENT --config")" $AGENT_PID
tap_is new_requests_are_served "$(fetch "$NAME")" 200
tap_run the_old_worker_drains test "$(field .worker.draining)" -ge 1

# What is revoked now is in the worker of before, and in no other.
hoody containers stop $OTHER_ID >/dev/null
tap_is revoked_for_new_requests "$(fetch "$OTHER")" 503
client_is websocket_is_cut messages

# An older version, and the newer one again.
patched() { # FROM TO: of one length
	sed "s|$1|$2|g" "$BUILT" >"$WORK/patched" && chmod 755 "$WORK/patched" && ! cmp -s "$BUILT" "$WORK/patched" &&
		install_program "$WORK/patched"
}
before=$(worker)
version=$(cat "$TOP/kmod/VERSION") older=$(tr '[:digit:]' 0 <"$TOP/kmod/VERSION")
patched "hoody-agent $version" "hoody-agent $older" || tap_note 'nothing was patched'
kill -HUP $AGENT_PID
changed() { local now; now=$(worker) && [ "$now" != "$before" ] && [ "$now" != null ] && serving; }
tap_run a_replaced_file_upgrades_at_reload tap_wait 60 changed
tap_is an_older_version_serves "$(field .version) $(fetch "$NAME")" "$older 200"
install_program "$BUILT"
before=$(worker)
tap_run a_third_time hoody upgrade
tap_run with_a_third_worker changed
tap_is the_newer_version_serves_again "$(field .version) $(field .upgrade.from) $(fetch "$NAME")" "$version $older 200"
tap_is all_of_them_are_counted "$(field .upgrade.number)" 3

# ---- programs that do not work ----

before=$(worker)
refused() { # NAME REASON
	tap_like "$1" "$(hoody upgrade 2>&1)" "$2"
}
install_program /bin/false
refused a_program_of_another_kind_is_refused 'refused, the agent goes on.*status 1'
printf '#!/bin/sh\ncat /proc/self/oom_score_adj >"%s"\nexit 7\n' "$WORK/score" >"$AGENT"
refused a_program_that_says_no_is_refused 'refused, the agent goes on.*status 7'
score=$(($(cat /proc/$AGENT_PID/oom_score_adj) + 800))
tap_is without_memory_it_goes_before_control "$(cat "$WORK/score")" $((score < 1000 ? score : 1000))
echo 'no program' >"$AGENT"
refused no_program_is_refused 'cannot be executed'
printf '#!/bin/sh\nkill -SEGV $$\n' >"$AGENT"
refused a_program_that_crashes_is_refused 'ended by signal 11'
install_program "$BUILT"
config 'nonsense = 1'
refused a_wrong_configuration_is_refused 'nonsense'
THREADS=3 config
refused what_needs_a_restart_is_refused 'threads has changed'
config
# Programs whose check is good: what follows it is not, and they give back what they took.
patched 'PRAGMA integrity_check' 'PRAGMA integrity_chuck' || tap_note 'nothing was patched'
refused a_control_that_does_not_start_gives_back 'could not be set up'
patched /proc/self/statm /proc/self/stXtm || tap_note 'nothing was patched'
refused a_worker_that_does_not_start_gives_back 'worker ended before it served'
tap_is the_process_is_the_same_still "$(readlink /proc/$AGENT_PID/exe)" "$AGENT (deleted)"
install_program "$BUILT"
# What another version would leave.
check_handover() { # FIELDS
	printf '{"threads":2,"state_directory":"%s","control_socket":"%s","cgroup":"","from":"9.9",%s}' \
		"$WORK/state" "$WORK/control.sock" "$1" >"$WORK/left"
	"$AGENT" --config "$WORK/agent.conf" --check-handover 2>&1 3<"$WORK/left"
	echo "status $?"
}
versions=$(check_handover '"format":1,"ipc":-1' | sed -n 's/.*, \([0-9]*\)\.\([0-9]*\)), so.*/"format":1,"ipc":\1,"image":\2/p')
tap_is a_handover_is_checked "$(check_handover "$versions,\"database\":1")" 'status 0'
tap_like older_than_the_database_is_refused "$(check_handover "$versions,\"database\":99")" 'database has version 99.*too old'
tap_like workers_that_do_not_understand_are_refused "$(check_handover '"format":1,"ipc":99,"image":1,"database":1')" 'nothing could be revoked'
tap_like another_layout_of_the_firewall_is_refused "$(check_handover "$versions,\"database\":1,\"firewall\":2")" 'another layout.*what is open would be cut'
tap_like another_format_is_refused "$(check_handover '"format":77')" 'format 77'
tap_is the_same_worker_serves "$(worker) $(fetch "$NAME")" "$before 200"
tap_run the_log_says_why logged 'upgrade refused, version .* goes on: .*threads has changed'

# ---- the end of it ----

: >"$WORK/stop"
client_is requests_over_http1 requests
client_is requests_over_http2 requests
client_is requests_over_http3 requests
client_is idle_connection_is_answered requests
client_is handshake_under_way_is_finished request
client_is websocket_over_http1_lives messages
client_is websocket_over_http2_lives messages
client_is transfer_over_http3_lives bytes
wait $api
tap_is calls_of_the_api_are_answered "$(cat "$WORK/api.out")" ''
tap_run workers_of_before_end tap_wait 60 workers_are 1
tap_is nothing_is_left_of_them "$(pgrep -c -P $AGENT_PID) $(field .worker.draining)" '1 0'
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 60 "$WORK/log")"
tap_done
