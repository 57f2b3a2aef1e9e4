# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# TAP 13 and waiting for test scripts in bash. Source it, then: tap_plan N,
# tests, tap_done. Exit status as kselftest has it: 0 passed, 1 failed, 4
# skipped as a whole.
#
#   HOODY_BUILD   the folder with bin/ and kmod/<release>/ (make's O)
#   WORK          a scratch folder of this test, removed at its end

set -u
tap_planned=0 tap_ran=0 tap_failed=0
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HOODY_BUILD=${HOODY_BUILD:-$TOP/build/devroot}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/hoody-test.XXXXXX")
# What a test undoes at its end, last first: tap_cleanup CMD...
tap_cleanups=()

tap_plan() {
	tap_planned=$1
	printf 'TAP version 13\n1..%d\n' "$1"
}

tap_note() { printf '%s\n' "$*" | sed 's/^/# /'; }

tap_ok() { # NAME: passed
	tap_ran=$((tap_ran + 1))
	printf 'ok %d %s\n' "$tap_ran" "$1"
}

tap_not_ok() { # NAME [DETAIL]: failed
	tap_ran=$((tap_ran + 1))
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d %s\n' "$tap_ran" "$1"
	[ -z "${2:-}" ] || tap_note "$2"
}

# tap_run NAME CMD...: passes when CMD succeeds; its output is shown otherwise. CMD
# runs in this shell, so that what it hands to tap_cleanup is done in the end.
tap_run() {
	local name=$1 status=0
	shift
	"$@" >"$WORK/tap_run" 2>&1 || status=$?
	if [ $status = 0 ]; then
		tap_ok "$name"
	else
		tap_not_ok "$name" "\$ $* -> $status"$'\n'"$(<"$WORK/tap_run")"
	fi
}

# tap_refused NAME CMD...: passes when CMD fails (and is not ended by a signal). CMD runs
# in this shell as tap_run's does.
tap_refused() {
	local name=$1 status=0
	shift
	"$@" >"$WORK/tap_run" 2>&1 || status=$?
	if [ $status -gt 0 ] && [ $status -lt 128 ]; then
		tap_ok "$name"
	else
		tap_not_ok "$name" "\$ $* -> $status"$'\n'"$(<"$WORK/tap_run")"
	fi
}

# tap_is NAME GOT WANTED
tap_is() {
	if [ "$2" = "$3" ]; then tap_ok "$1"; else tap_not_ok "$1" "got:    $2"$'\n'"wanted: $3"; fi
}

# tap_like NAME TEXT REGEX (extended, anywhere)
tap_like() {
	if grep -qE -- "$3" <<<"$2"; then tap_ok "$1"; else tap_not_ok "$1" "got: $2"$'\n'"wanted a match of: $3"; fi
}

# tap_wait SECONDS CMD...: until CMD succeeds; the limit only bounds a failure. An
# emulated machine is asked less often: asking takes from what is waited for. HOODY_SLOW
# makes limits so many times longer.
tap_wait_step=0.05
[ -z "${HOODY_VM:-}" ] || tap_wait_step=0.2
tap_wait() {
	local end=$((SECONDS + $1 * ${HOODY_SLOW:-1}))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep $tap_wait_step
	done
}

# tap_need SECONDS CMD...: the same for what the rest depends on. A wait whose end nobody
# looks at may be in vain each time, takes its whole limit then, and what it was for is
# not tested.
tap_need() {
	tap_wait "$@" || tap_bail "waited $1 s in vain for: ${*:2}"
}

# tap_up ADDRESS/PORT LOG [COMMAND...]: waits for a program that was started in the
# background: it is up when it takes a connection, not when the next line runs. COMMAND
# asks from elsewhere (a namespace); LOG is what the program said.
tap_up() {
	tap_wait 60 "${@:3}" bash -c "</dev/tcp/$1" || tap_bail "nobody listens at $1"$'\n'"$(tail -n 20 "$2")"
}

# tap_end PID: kills it and what it started, and waits for them: an agent that is killed
# leaves a worker for a moment, on ports that the next test may want to listen on.
tap_end() {
	local pids pid
	pids="$1 $(pgrep -P "$1")"
	# shellcheck disable=SC2086
	kill -KILL $pids
	for pid in $pids; do
		tap_wait 30 eval "! readlink /proc/$pid/exe" || tap_note "process $pid does not end"
	done
}

tap_cleanup() { tap_cleanups+=("$*"); }

# shellcheck disable=SC2317
tap_exit() {
	local status=$? i
	for ((i = ${#tap_cleanups[@]} - 1; i >= 0; i--)); do
		eval "${tap_cleanups[i]}" >/dev/null 2>&1
	done
	rm -rf --one-file-system "$WORK"
	exit $status
}
trap tap_exit EXIT
trap 'exit 130' INT TERM

tap_skip_all() { # REASON
	printf 'TAP version 13\n1..0 # SKIP %s\n' "$*"
	exit 4
}

tap_bail() { # REASON: nothing further makes sense
	# One line of the protocol is the reason's first; the rest is its comment, before it.
	[[ $* != *$'\n'* ]] || tap_note "${*#*$'\n'}"
	printf 'Bail out! %s\n' "${*%%$'\n'*}"
	exit 1
}

tap_done() {
	[ "$tap_ran" = "$tap_planned" ] || tap_note "planned $tap_planned tests, ran $tap_ran"
	[ "$tap_failed" = 0 ] && [ "$tap_ran" = "$tap_planned" ]
	exit $?
}
