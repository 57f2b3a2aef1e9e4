#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What goes wrong on a host, done to a running agent: its processes are killed at random
# under load, descriptors and memory run out, an application stops reading or answers
# with rubbish, the disk refuses to be written to, the clock jumps. Each says what was
# lost: nothing that was acknowledged. A full disk and a damaged database are in
# control.sh and db_test, upgrades in upgrade.sh, a whole day in faults_day.sh.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/faults.sh
. "$(dirname "$0")/../lib/faults.sh"

faults_network
faults_shim
config
tap_plan 43

# ---- killed at random, under load ----

test_kills() {
	local status=0
	export APP
	python3 "$HERE/faults_kill.py" "$AGENT" "$WORK/agent.conf" "$SOCKET" 127.0.0.1:8094 "$HOST" 6 >"$WORK/kills" 2>&1 || status=$?
	AGENT_PID=$(sed -n 's/^agent //p' "$WORK/kills" | tail -n 1)
	tap_note "$(grep -v ^agent "$WORK/kills")"
	[ $status = 0 ] || tap_note "$(tail -n 20 "$WORK/agent.conf.log")"
	tap_is kills_lose_nothing_that_was_acknowledged "$status $(grep ^lost: "$WORK/kills")" '0 lost: 0 changes, 0 audit entries'
	# It is no child of this shell: not waited for, but seen to be gone.
	kill "$AGENT_PID"
	tap_run kills_leave_no_process tap_wait 60 gone "$AGENT_PID"
	rm -rf "$WORK/state"
}

# ---- what runs out ----

# hold COUNT: connections that say that they are there, and end with the file.
hold() {
	rm -f "$WORK/held" "$WORK/release"
	python3 - "$1" "$WORK" "$HOST" <<'PY' &
import os, socket, sys, time
held = []
for number in range(int(sys.argv[1])):
    s = socket.create_connection(("127.0.0.1", 8094), 60)
    try:
        # Those in it are read and kept: a head that goes on.
        s.sendall(b"GET / HTTP/1.1\r\nHost: " + sys.argv[3].encode() + b"\r\nX: " + b"y" * 8000)
    except OSError:
        pass
    held.append(s)
open(sys.argv[2] + "/held", "w").close()
while not os.path.exists(sys.argv[2] + "/release"):
    time.sleep(0.02)
PY
	HOLD=$!
	tap_need 60 test -e "$WORK/held"
}
release() {
	touch "$WORK/release"
	wait $HOLD
}

# One connection that asks again and again, each time that it is told to.
keep_open() {
	coproc KEPT { python3 -c '
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1:8094", timeout=60)
for line in sys.stdin:
    connection.request("GET", "/", headers={"Host": sys.argv[1]})
    reply = connection.getresponse()
    print(reply.status, reply.read().decode(), flush=True)
' "$HOST"; }
	KEPT_IN=${KEPT[1]} KEPT_OUT=${KEPT[0]} KEEP_PID=$KEPT_PID
}
ask_kept() {
	local answer
	echo >&"$KEPT_IN"
	read -r -t 60 -u "$KEPT_OUT" answer
	echo "$answer"
}
close_kept() {
	exec {KEPT_IN}>&-
	wait "$KEEP_PID"
}

# Soft limits, as the worker's own user: who is root here may lack CAP_SYS_RESOURCE.
limit_worker() { setpriv --reuid hoody --regid hoody --clear-groups prlimit --pid "$(worker)" "$@"; }

test_descriptors() {
	local before restarts
	before=$(worker) restarts=$(field .worker.restarts)
	keep_open
	tap_is descriptors_before "$(ask_kept)" '200 hello'
	limit_worker --nofile=$(($(find "/proc/$before/fd" -mindepth 1 | wc -l) + 40)):
	hold 200
	tap_is descriptors_run_out_and_open_connections_go_on "$(ask_kept)" '200 hello'
	tap_is descriptors_run_out_and_changes_are_taken "$(hoody containers register --id "$(ident 1)" --project $PROJECT | cut -d ' ' -f 1)" registered
	release
	tap_run descriptors_are_there_again tap_wait 60 served
	limit_worker --nofile=1024:
	close_kept
	tap_is descriptors_the_worker_is_the_same "$(worker) $(field .worker.restarts)" "$before $restarts"
	# Control's: a hundred callers, of whom it can take a few.
	prlimit --pid $AGENT_PID --nofile=$(($(find "/proc/$AGENT_PID/fd" -mindepth 1 | wc -l) + 8)):
	python3 - "$SOCKET" "$WORK" <<'PY' &
import os, socket, sys, time
held = []
for _ in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
    held.append(s)
open(sys.argv[2] + "/callers", "w").close()
while not os.path.exists(sys.argv[2] + "/hang_up"):
    time.sleep(0.02)
PY
	tap_need 60 test -e "$WORK/callers"
	tap_run descriptors_of_control_run_out_and_requests_are_served served
	touch "$WORK/hang_up"
	wait $!
	tap_run descriptors_of_control_are_there_again tap_wait 60 serving
	prlimit --pid $AGENT_PID --nofile=1024:
	tap_run descriptors_lose_no_container hoody containers show "$(ident 1)"
}

# shellcheck disable=SC2317
not_all_are_held() { [ "$(field .worker.counters.connections_open)" -lt 900 ]; }

test_memory() {
	local before size
	before=$(worker)
	# What it has reserved and not yet used counts when it becomes writable.
	size=$(awk '/^VmData/ { print $2 * 1024 }' "/proc/$before/status")
	limit_worker --data=$((size + 256 * 1024)): || tap_note 'no limit'
	hold 900
	tap_run memory_runs_out tap_wait 60 not_all_are_held
	tap_is memory_runs_out_and_changes_are_taken "$(hoody containers register --id "$(ident 2)" --project $PROJECT | cut -d ' ' -f 1)" registered
	release
	[ "$(worker)" != "$before" ] || limit_worker --data=unlimited:
	tap_run memory_is_there_again tap_wait 60 served
	tap_note "of a worker that had 256 KiB more: $([ "$(worker)" = "$before" ] && echo 'it lives' || echo 'it was replaced')"
	tap_run memory_loses_no_container hoody containers show "$(ident 2)"
}

# ---- the application ----

test_application() {
	local before grown path status wrong='' listed
	before=$(resident "$(worker)")
	# It never reads what it is sent: what the agent takes from the client is bounded.
	head -c 64M /dev/zero >"$WORK/large"
	curl -s -o /dev/null --connect-to ::127.0.0.1:8094 -T "$WORK/large" "http://$PREFIX-http-8001.$BASE/" &
	local uploads=$!
	tap_run deaf_application_is_spoken_to tap_wait 60 open_requests_are 1
	tap_run deaf_application_and_others_are_served served
	grown=$(($(resident "$(worker)") - before))
	tap_note "64 MiB for one that does not read: $grown KiB more memory"
	tap_run deaf_application_costs_bounded_memory test $grown -lt 16384
	kill $uploads
	wait $uploads
	tap_run deaf_application_leaves_nothing tap_wait 60 open_requests_are 0

	listed=$(python3 "$HERE/faults_app.py" list)
	for path in $listed; do
		status=$(curl -s --max-time 60 -o "$WORK/page" -w '%{http_code} %{exitcode}' --connect-to ::127.0.0.1:8094 "http://$PREFIX-http-8002.$BASE$path")
		case $path in
		# The head was good. What it got of the body, and that it is not all, or nothing.
		/short | /chunk | /chunks) [[ $status == "200 "[1-9]* || $status == "000 "[1-9]* ]] || wrong+="$path: $status"$'\n' ;;
		*) [ "$status" = '502 0' ] || wrong+="$path: $status"$'\n' ;;
		esac
	done
	tap_is rubbish_is_no_answer "$wrong" ''
	tap_run rubbish_and_others_are_served served
	tap_run rubbish_leaves_nothing tap_wait 60 open_requests_are 0
}

# ---- the disk ----

test_disk() {
	local error
	for error in 30 5; do # EROFS, EIO
		shim 0 $error
		tap_like "disk_error_${error}_refuses_changes" "$(api POST /api/v1/containers "{\"id\":\"$(ident 3)\",\"project\":\"$PROJECT\"}")" '^500 .*nothing has changed: '
		tap_is "disk_error_${error}_and_requests_are_served" "$(status_of_request)" 200
		shim 0 0
		tap_like "disk_error_${error}_what_was_refused_is_not_there" "$(api GET "/api/v1/containers/$(ident 3)")" '^404 '
		tap_like "disk_error_${error}_goes_away_and_changes_are_taken" "$(api POST /api/v1/containers "{\"id\":\"$(ident "$error")\",\"project\":\"$PROJECT\"}")" '^201 '
	done
	stop_agent
	start_agent
	tap_is disk_errors_lose_nothing "$(hoody containers list --json | jq -r '.[].id' | grep -cE "^($(ident 30)|$(ident 5)|$(ident 1)|$(ident 2))$") of 4" '4 of 4'
	stop_agent
	mkdir "$WORK/readonly"
	mount --bind "$WORK/state" "$WORK/readonly"
	tap_cleanup "umount -l $WORK/readonly"
	mount -o remount,bind,ro "$WORK/readonly"
	config "s,^state_directory.*,state_directory = $WORK/readonly,"
	tap_like disk_that_is_read_only_is_refused "$(timeout 60 "$AGENT" --config "$WORK/agent.conf" 2>&1 | tr '\n' ' '; echo "status ${PIPESTATUS[0]}")" 'is mounted read-only.*status 1'
	config
	start_agent
	tap_is disk_that_was_read_only_has_all "$(hoody containers list --json | jq length)" 5
}

# ---- the clock ----

newest() { api GET "/api/v1/logs?limit=1&kind=$1" | sed 's/^[0-9]* //' | jq -r ".data[0] | $2"; }
# shellcheck disable=SC2317
is_recorded() { [ "$(newest exchange .id)" -gt "$1" ]; }

test_clock() {
	local before id first last
	before=$(worker)
	keep_open
	ask_kept >/dev/null
	hoody containers register --id "$(ident 7)" --project $PROJECT >/dev/null
	hoody containers delete "$(ident 7)" >/dev/null
	served
	id=$(newest exchange .id) first=$(api GET '/api/v1/logs?after=0&limit=1' | sed 's/^[0-9]* //' | jq '.data[0].id')
	# Two years on, as by a dead battery, and back to an hour before.
	for jump in 63072000 -3600 0; do
		shim "$jump" 0
		tap_is "clock_${jump}_connections_go_on" "$(ask_kept)" '200 hello'
		tap_is "clock_${jump}_new_ones_are_served" "$(status_of_request)" 200
	done
	tap_run clock_requests_are_recorded tap_wait 60 is_recorded $((id + 5))
	# The trail is looked at every ten seconds.
	shim 63072000 0
	tap_run clock_jump_is_noticed tap_wait 120 grep -q 'the wall clock has jumped' "$WORK/log"
	last=$(api GET '/api/v1/logs?after=0&limit=1' | sed 's/^[0-9]* //' | jq '.data[0].id')
	shim 0 0
	tap_is clock_takes_nothing_from_the_trail "$last" "$first"
	tap_like clock_takes_no_tombstone "$(api GET "/api/v1/containers/$(ident 7)")" '^404 .*deleted'
	close_kept
	tap_is clock_replaces_no_worker "$(worker)" "$before"
}

test_kills
start_agent
register
test_descriptors
test_memory
test_application
test_disk
test_clock
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 30 "$WORK/log")"
tap_done
