#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Memory merging from end to end: an LXC container and one of another manager that
# hold the same data, what they have of it, who is refused, what a restart of
# container and agent changes, and that in the end all memory and the host's own
# settings are back. What the calls refuse is tested with the agent alone, and eight
# containers with programs of the trade by density.sh.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

ONE=890abcdef12345678901cde1 TWO=890abcdef12345678901cde2 OTHER=890abcdef12345678901cde3
SYS=/sys/kernel/mm/ksm
tap_plan 29

of() { hoody ksm show -c "$1" --json | jq -r "$2"; } # ID FILTER
state_is() { [ "$(of "$1" .state)" = "$2" ]; }
saved() { [ "$(of "$1" .bytes.net)" -gt $((4 << 20)) ]; }
host_settings() { (cd $SYS && grep -H . run pages_to_scan sleep_millisecs use_zero_pages smart_scan advisor_mode 2>/dev/null); }
merged() { # CGROUP: KiB that the kernel shows as merged, of all its processes
	local pid total=0
	for pid in $(cat "/sys/fs/cgroup/$1/cgroup.procs"); do
		total=$((total + $(awk '/^KSM:/ { n += $2 } END { print n + 0 }' "/proc/$pid/smaps")))
	done
	echo $total
}
nothing_merged() { [ "$(merged lxc.payload.one)" = 0 ] && [ "$(merged two)" = 0 ]; }
marked() { grep -q 'VmFlags:.* mg' "/proc/$1/smaps"; } # PID

# The same 16 MiB in each.
DATA='import socket, time
data = bytearray(16 << 20)
for at in range(0, len(data), 4096): data[at:at + 4] = (at + 1).to_bytes(4, "big")'
SERVER="exec python3 -I -S -c '$DATA
server = socket.create_server((\"\", 8080))
time.sleep(1e6)'"

# Walks every second, where a host has one every ten: what comes in is found sooner.
system_module ksm_period=1
system_config 'ksm_cpu_percent = 100'
system_agent
before=$(host_settings)
mkdir /sys/fs/cgroup/two
tap_cleanup 'echo 1 >/sys/fs/cgroup/two/cgroup.kill; tap_wait 30 rmdir /sys/fs/cgroup/two'
(echo 0 >/sys/fs/cgroup/two/cgroup.procs && exec python3 -I -S -c "$DATA
open('$WORK/two', 'w')
time.sleep(1e6)") &
hoody containers register --id "$TWO" --project "$PROJECT" --cgroup /two --address 10.80.0.3 >/dev/null
hoody containers start "$TWO" >/dev/null
container one "$ONE" routed 2 "$SERVER" || tap_bail "no container"
container_ready one
tap_wait 60 test -e "$WORK/two" || tap_bail "no second container"
# One of another project; what it runs does not matter.
mkdir /sys/fs/cgroup/other
tap_cleanup rmdir /sys/fs/cgroup/other
hoody containers register --id "$OTHER" --project 67e89abc123def4567890abd --cgroup /other --address 10.80.0.4 >/dev/null
hoody containers start "$OTHER" >/dev/null

tap_is before_it_is_off "$(of "$ONE" '"\(.mode) \(.state) \(.bytes.net)"')" 'off off 0'
tap_like before_none_takes_part "$(hoody ksm show)" 'none takes part'
tap_is before_settings_are_untouched "$(host_settings)" "$before"

tap_run one_is_switched_on hoody ksm set -c "$ONE" on
tap_run two_is_switched_on hoody ksm set -c "$TWO" on
tap_run one_is_marked tap_wait 30 state_is "$ONE" on
tap_run two_is_marked tap_wait 30 state_is "$TWO" on
tap_refused other_project_is_refused hoody ksm set -c "$OTHER" on
tap_like refusal_says_why "$(hoody ksm set -c "$OTHER" on 2>&1)" "$PROJECT.*never shared between projects"
tap_run one_saves_memory tap_wait 90 saved "$ONE"
tap_run two_saves_memory tap_wait 90 saved "$TWO"
tap_run kernel_shows_it test "$(merged lxc.payload.one)" -gt 4096
tap_is other_is_off "$(of "$OTHER" .state)" off
tap_like table_has_a_bar "$(hoody ksm show)" "$ONE +on .*#"
tap_note "$(hoody ksm show)"

# From outside into the cgroup: no child of a marked process.
lxc-attach -n one -- tail -f /dev/null &
tap_cleanup "kill $!"
newcomer() { pid=$(pgrep -x tail) && marked "$pid"; }
tap_run newcomer_is_marked tap_wait 30 newcomer
newcomer || tap_note "$(pgrep -ax tail) $(of "$ONE" .processes)"
tap_run exclude_is_accepted hoody ksm set -c "$ONE" --exclude tail on
excluded() { [ "$(of "$ONE" .processes.excluded)" = 1 ] && ! newcomer; }
tap_run excluded_is_undone tap_wait 30 excluded

kill -9 "$AGENT"
tap_need 30 eval "! kill -0 $AGENT 2>/dev/null"
tap_run killed_agent_leaves_memory_merged test "$(merged two)" -gt 0
system_agent
tap_run agent_starts_again tap_wait 30 state_is "$ONE" on
tap_is wish_is_remembered "$(of "$ONE" '"\(.mode) \(.exclude[0])"')" 'on tail'
hoody containers stop "$TWO" >/dev/null
tap_run stopped_container_says_so tap_wait 30 state_is "$TWO" stopped
hoody containers start "$TWO" >/dev/null
tap_run started_container_is_marked_again tap_wait 30 state_is "$TWO" on

tap_run one_is_switched_off hoody ksm set -c "$ONE" off
tap_run two_is_switched_off hoody ksm set -c "$TWO" off
tap_run one_is_undone tap_wait 60 state_is "$ONE" off
tap_run all_memory_is_back tap_wait 60 nothing_merged
tap_run other_project_is_accepted hoody ksm set -c "$OTHER" on
hoody containers delete "$OTHER" >/dev/null
settings_back() { [ "$(host_settings)" = "$before" ]; }
tap_run host_settings_are_back tap_wait 60 settings_back
tap_refused no_note_of_them_is_left test -e "$WORK/ksm-host-settings"
tap_done
