# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A cgroup whose memory runs out, for tests of what happens then. Source it after tap.sh.

MEMORY_LEFT=$((1024 * 1024))
MEMORY_TAKEN=$((64 * MEMORY_LEFT))

memory_event() { # CGROUP NAME
	awk -v name="$2" '$1 == name { print $2 }' "$1/memory.events"
}

# The unit's place in the order in which the kernel ends processes.
memory_score() { sed -n 's/^OOMScoreAdjust=//p' "$TOP/tools/packaging/hoody-agent.service"; }

# For a moment there is less than is in use. The kernel ends one process after the other,
# faster than their memory comes back, until nobody is left whom it may end: the write
# returns then.
memory_is_cut() { # CGROUP
	local kills
	kills=$(memory_event "$1" oom_kill)
	echo "$MEMORY_LEFT" >"$1/memory.max"
	echo max >"$1/memory.max"
	[ "$(memory_event "$1" oom_kill)" -gt "$kills" ]
}

# Somebody whom the kernel may not end takes all there is, until the kernel has ended a
# process. (A load on the others would take minutes to it: as long as there is program text
# to be had back, the kernel takes that, and the processes read it again.)
memory_runs_out() { # CGROUP
	local cgroup=$1 kills eater
	kills=$(memory_event "$cgroup" oom_kill)
	echo $(($(<"$cgroup/memory.current") + MEMORY_LEFT)) >"$cgroup/memory.max"
	(
		choom -n -1000 -p $BASHPID >/dev/null || exit
		echo $BASHPID >"$cgroup/cgroup.procs"
		head -c $MEMORY_TAKEN /dev/zero | tail -c $MEMORY_TAKEN >/dev/null
	) &
	eater=$!
	tap_wait 60 eval "[ \$(memory_event $cgroup oom_kill) -gt $kills ]" || : # judged below
	echo max >"$cgroup/memory.max"
	wait $eater
	[ "$(memory_event "$cgroup" oom_kill)" -gt "$kills" ]
}
