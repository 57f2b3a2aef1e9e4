# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A cgroup whose memory runs out, for tests of what happens then. Source it after tap.sh.

MEMORY_LEFT=$((1024 * 1024))

memory_event() { # CGROUP NAME
	awk -v name="$2" '$1 == name { print $2 }' "$1/memory.events"
}

# A mebibyte is left while COMMAND runs, until the kernel has ended a process. (A limit
# below what is in use would be another matter: the kernel then ends one after the other,
# faster than their memory comes back.)
memory_runs_out() { # CGROUP COMMAND...
	local cgroup=$1 kills eater
	shift
	kills=$(memory_event "$cgroup" oom_kill)
	"$@" &
	eater=$!
	# What can be had back without ending anything is not counted as used.
	echo 1G >"$cgroup/memory.reclaim" 2>/dev/null
	echo $(($(<"$cgroup/memory.current") + MEMORY_LEFT)) >"$cgroup/memory.max"
	tap_wait 60 eval "[ \$(memory_event $cgroup oom_kill) -gt $kills ]"
	echo max >"$cgroup/memory.max"
	{ kill $eater; wait $eater; } 2>/dev/null
	[ "$(memory_event "$cgroup" oom_kill)" -gt "$kills" ]
}
