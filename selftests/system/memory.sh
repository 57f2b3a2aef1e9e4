#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent's memory cgroup runs out of memory, again and again, under load and while
# changes are made, and is cut to less than control alone uses: the kernel ends the worker,
# which is replaced, and not control. No change that was acknowledged is lost.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"
# shellcheck source=../lib/memory.sh
. "$TOP/selftests/lib/memory.sh"

ID=890abcdef12345678901cdef
LIMITED=/sys/fs/cgroup/hoody-memory
ROUNDS=3
tap_plan 12

id() { printf %024x "$1"; }
field() { hoody status --json | jq -r "$1"; }
worker() { field .worker.pid; }
score_of() { cat "/proc/$1/oom_score_adj"; }
served() { [ "$(fetch "$(host_of $ID)" / 2>>"$WORK/fetch.log")" = hello ]; }

echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p $LIMITED
tap_cleanup "tap_wait 30 rmdir $LIMITED"
system_client_net "$CLIENT4"
system_module
system_config 'drain_timeout = 1s'
printf '[limits]\nhandshakes_per_client = 0\nconnections_per_client_max = 0\n' >>"$CONFIG"
echo 0 >$LIMITED/cgroup.procs
choom -n "$(memory_score)" -p $$ >/dev/null || tap_bail "the score of the unit"
system_agent
choom -n 0 -p $$ >/dev/null
echo 0 >/sys/fs/cgroup/cgroup.procs
container web $ID routed 2 "$(nginx_server 'location / { return 200 "hello\n"; }')" || tap_bail "the container does not start"
container_ready web
tap_run served_before tap_wait 60 served
tap_run control_is_in_the_cgroup grep -qx "$AGENT" $LIMITED/cgroup.procs
tap_is control_has_the_units_score "$(score_of "$AGENT")" "$(memory_score)"
tap_is worker_goes_before_control "$(score_of "$(worker)")" $(($(memory_score) + 800))

# Changes, one after the other; what was acknowledged is written down. The pauses leave
# the emulated processor to others.
change() {
	local i
	for ((i = 1; ; i++)); do
		[ ! -e "$WORK/enough" ] || break
		hoody containers register --id "$(id $i)" --project $PROJECT >/dev/null 2>>"$WORK/change.log" &&
			id $i >>"$WORK/acknowledged" && echo >>"$WORK/acknowledged"
		sleep 0.2
	done
}
ask() { while [ ! -e "$WORK/enough" ]; do served && echo >>"$WORK/answers"; sleep 0.2; done; }
change &
CHANGES=$!
ask &
ASKS=$!

# It comes back whenever it was cut off.
in_client python3 "$TOP/selftests/lib/crowd.py" 203.0.113.1 443 "$(host_of $ID)" $CA/ca.pem &
CROWD=$!
tap_cleanup kill $CROWD
crowded() { [ "$(in_client ss -Htn state established dport 443 | wc -l)" -ge 20 ]; }

round=0
for what in memory_runs_out memory_runs_out memory_is_cut; do
	round=$((round + 1))
	tap_wait 60 crowded || tap_note "round $round: nobody is there"
	before=$(worker)
	$what $LIMITED || tap_note "round $round: nothing was ended"
	replaced() { [ "$(worker)" != "$before" ] && served; }
	tap_wait 120 replaced || tap_note "round $round: it does not serve again"
	kill -0 "$AGENT" || break
	echo "$round" >>"$WORK/survived"
done
touch "$WORK/enough"
wait $CHANGES $ASKS
kill $CROWD

tap_run processes_were_ended test "$(memory_event $LIMITED oom_kill)" -ge $ROUNDS
tap_is control_was_not_among_them "$(wc -l <"$WORK/survived")" $ROUNDS
tap_is worker_is_of_the_same_control "$(awk '$1 == "PPid:" { print $2 }' "/proc/$(worker)/status")" "$AGENT"
tap_run replacements_are_counted test "$(field .worker.restarts)" -ge $ROUNDS
tap_run requests_were_answered_in_between test -s "$WORK/answers"
tap_run changes_were_made_in_between test "$(wc -l <"$WORK/acknowledged")" -ge $ROUNDS
hoody containers list --json | jq -r '.[].id' | sort >"$WORK/there"
tap_is nothing_acknowledged_is_lost "$(sort "$WORK/acknowledged" | comm -23 - "$WORK/there")" ""
tap_run served_afterwards tap_wait 60 served
tap_done
